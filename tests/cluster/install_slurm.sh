#!/usr/bin/env bash
# Installs SLURM and munge from Debian's or Ubuntu's packages. Needs root. Starts nothing and configures nothing:
# slurm.sh starts a cluster of one machine that keeps all its files in one folder.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
if command -v slurmctld slurmd munged sinfo >/dev/null; then
  echo "SLURM is there: $(slurmctld -V)"
  exit 0
fi
[ "$(id -u)" = 0 ] || { echo "Installing slurm-wlm and munge needs root." >&2; exit 1; }
command -v apt-get >/dev/null || { echo "There is no apt-get here: install slurm-wlm and munge by hand." >&2; exit 1; }
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends slurm-wlm munge
echo "Installed: $(slurmctld -V)"

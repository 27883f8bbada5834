#!/usr/bin/env bash
# The tests that need a real SLURM: installs it where it is missing, starts it on this machine, and ends it again.
# PYTHON names the interpreter, by default the one of the checkout's .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
tests/cluster/install_slurm.sh
SR_SLURM=$(mktemp -d)
export SR_SLURM SLURM_CONF=$SR_SLURM/slurm.conf
trap 'tests/cluster/slurm.sh stop; rm -rf "$SR_SLURM"' EXIT
tests/cluster/slurm.sh start
"$python" -m pytest -rs tests/cluster "$@"

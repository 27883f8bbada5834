#!/usr/bin/env bash
# A real SLURM on this machine alone: slurm.sh start | stop | status. `slurm.sh start` prints what to export.
# All its files (key, configuration, sockets, logs, state) lie in $SR_SLURM, by default /tmp/sr-slurm-UID.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${SR_SLURM:-/tmp/sr-slurm-$(id -u)}
export SLURM_CONF=$folder/slurm.conf
PATH=$PATH:/usr/sbin:/sbin

fill_in() {  # the template on standard input, on standard output with this machine's values
  sed -e "s|@FOLDER@|$folder|g" -e "s|@HOST@|$(hostname -s)|g" -e "s|@USER@|$(id -un)|g" -e "s|@CPUS@|4|g" \
    -e "s|@PORT_CONTROLLER@|$1|g" -e "s|@PORT_NODE@|$2|g"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  ! running slurmctld || { echo "It runs already: export SLURM_CONF=$SLURM_CONF"; return; }
  mkdir -p "$folder"/{state,spool,munge}
  chmod 755 "$folder" "$folder/munge"
  (umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")
  munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munge/munged.log" --seed-file="$folder/munge/seed"
  fill_in "$(free_port)" "$(free_port)" <"$here/slurm.conf.in" >"$SLURM_CONF"
  slurmctld -c   # -c: forget the jobs of an earlier cluster in this folder
  slurmd
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --partition=main --format=%T 2>/dev/null)" = idle ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.5
  done
  echo "SLURM does not come up; the end of its logs:" >&2
  tail -n 5 "$folder"/slurm*.log >&2
  stop
  return 1
}

running() {  # whether a daemon of this folder runs
  { [ -s "$folder/$1.pid" ] && kill -0 "$(cat "$folder/$1.pid")"; } 2>/dev/null
}

stop() {
  if running slurmctld; then
    scancel --user="$(id -un)" || true
    for _ in $(seq 20); do [ -z "$(squeue --noheader 2>/dev/null)" ] && break || sleep 0.5; done
  fi
  for daemon in slurmd slurmctld munged; do
    if running "$daemon"; then
      kill "$(cat "$folder/$daemon.pid")"
      for _ in $(seq 40); do running "$daemon" && sleep 0.25 || break; done
    fi
  done
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  status) running slurmctld && sinfo && squeue ;;
  *) echo "usage: slurm.sh start | stop | status" >&2; exit 2 ;;
esac

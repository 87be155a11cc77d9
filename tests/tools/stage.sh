#!/usr/bin/env bash
# stage.sh NAME EXPECTED COMMAND...: runs a step that takes long, with one line on the terminal: its name, the seconds so far, and
# what is expected of a fresh machine. What the command says goes to target/logs; V=1 shows it instead.
# Each command gets a process group of its own, so that Ctrl-C ends its children too.
set -muo pipefail

name=$1 expected=$2
shift 2
[ "${V:-}" != 1 ] || exec "$@"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$root/target/logs"
log=$root/target/logs/$(printf '%s' "$name" | tr -c 'A-Za-z0-9\n' '-').log
started=$(date +%s)
line() { printf '%-34s %4s s%s' "$name" "$(($(date +%s) - started))" "$1"; }

"$@" >"$log" 2>&1 &
command=$!
trap 'kill -- -$command 2>/dev/null; exit 130' INT TERM
[ -t 1 ] || printf '%s: %s on a fresh machine with two cores\n' "$name" "$expected"
while kill -0 $command 2>/dev/null; do
  [ ! -t 1 ] || printf '\r%s' "$(line ", $expected on a fresh machine")"
  sleep 1
done
wait $command
result=$?
[ ! -t 1 ] || printf '\r\033[K'
if [ $result -ne 0 ]; then
  printf '%s\n' "$(line ', failed')"
  tail -n 30 "$log"
  printf 'the whole log: %s\n' "$log"
  exit $result
fi
printf '%s\n' "$(line '')"

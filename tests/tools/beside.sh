#!/usr/bin/env bash
# beside.sh LOG COMMAND COMMAND: runs the first with the time that the second leaves, and shows what it has said at the end.
# The end-to-end tests wait most of the time; the simulated evenings only count.
# Each command gets a process group of its own, so that Ctrl-C ends its children too.
set -muo pipefail

log=$1 patient=$2 first=$3
mkdir -p "$(dirname "$log")"
nice -n 19 bash -c "$patient" >"$log" 2>&1 &
beside=$!
trap 'kill -- -$beside 2>/dev/null; exit 130' INT TERM
bash -c "$first"
result=$?
wait $beside
played=$?
cat "$log"
[ $result -eq 0 ] || exit $result
exit $played

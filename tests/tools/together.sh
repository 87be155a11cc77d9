#!/usr/bin/env bash
# together.sh COMMAND COMMAND: runs two builds side by side where there is memory for both, or one after the other. Go leaves half
# of two cores idle while it links, Cargo while the AWS SDK is parsed. The largest compilation of each takes 8 and 3 GB.
# Each command gets a process group of its own, so that Ctrl-C ends its children too.
set -muo pipefail

needed=12
# In GB; what cannot be found out is taken for enough.
free() {
  if [ -r /proc/meminfo ]; then
    awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo
  else
    sysctl -n hw.memsize 2>/dev/null | awk '{ print int($1 / 1073741824) }'
  fi
}

if [ "$(free || echo $needed)" -lt $needed ]; then
  bash -c "$1" && exec bash -c "$2"
  exit
fi
bash -c "$1" &
one=$!
bash -c "$2" &
other=$!
trap 'kill -- -$one -$other 2>/dev/null; exit 130' INT TERM
wait $one
first=$?
wait $other
second=$?
[ $first -eq 0 ] || exit $first
exit $second

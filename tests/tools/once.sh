#!/usr/bin/env bash
# once.sh TOOLS PROGRAM PATH... -- COMMAND...: runs a suite that has a build of its own, unless what it concerns has passed it on
# this machine. What it concerns is the content of the paths, and which programs are in the folder TOOLS (see ensure.sh); the mark
# lies beside the cached build of PROGRAM.
set -euo pipefail

tools=$1 program=$1/$2
shift 2
[ -x "$program" ] || { printf 'once: %s is not there\n' "$program" >&2; exit 1; }
paths=()
while [ "$1" != -- ]; do paths+=("$1"); shift; done
shift

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
for path in "${paths[@]}"; do
  [ -e "$path" ] || { printf 'once: %s is not there: its suite would be passed by nothing\n' "$path" >&2; exit 1; }
done
content=$({
  find "${paths[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  for tool in "$tools"/*; do readlink -f "$tool"; done
} | sha256sum | cut -c1-32)
mark=$(dirname "$(readlink -f "$program")")/passed-$content
if [ -e "$mark" ]; then
  printf 'passed already, with the same content: %s (remove that file to run it again)\n' "$mark"
  exit 0
fi
"$@"
touch "$mark"

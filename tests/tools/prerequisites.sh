#!/usr/bin/env bash
# Checks what cannot be built here, and says what to do about it.
set -uo pipefail

missing=0
need() {
  local name=$1 why=$2 how=$3
  if ! command -v "$name" >/dev/null; then
    printf 'missing: %s (%s)\n  %s\n' "$name" "$why" "$how" >&2
    missing=1
  fi
}

need cargo "builds Primetime" "install Rust 1.95 or newer: https://rustup.rs"
need cc "links Rust programs and compiles ring" "on Debian: apt-get install build-essential"
# Go and Python build what is not there yet, and only that.
"$(dirname "${BASH_SOURCE[0]}")/ensure.sh" --check >/dev/null || missing=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ ! -x "$root/target/debug/primetime-demo" ]; then
  printf 'build: Primetime will be built with Cargo: about 10 minutes on two cores the first time, into %s\n' "$root/target" >&2
fi

memory=$(awk '/MemTotal/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || echo 99)
if [ "$memory" -lt 8 ]; then
  printf 'warning: %s GB of memory; compiling the AWS SDK takes 7 GB\n' "$memory" >&2
fi
exit $missing

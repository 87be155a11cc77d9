#!/usr/bin/env bash
# Checks the spelling of everything that is tracked, with typos from PATH or from PyPI (a ready-made binary, kept in the cache).
set -euo pipefail

version=1.52.0
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
typos=$(command -v typos || true)
if [ -z "$typos" ]; then
  venv=${PRIMETIME_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/primetime}/typos-$version
  if [ ! -e "$venv/.complete" ]; then
    rm -rf "$venv"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "typos==$version"; } >&2; then
      printf 'not asked: spelling (typos is not installed, and Python could not install it)\n'
      exit 0
    fi
    touch "$venv/.complete"
  fi
  typos=$venv/bin/typos
fi
"$typos" --format brief .

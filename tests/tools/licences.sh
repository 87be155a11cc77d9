#!/usr/bin/env bash
# Licences, duplicate versions and sources of all dependencies, with cargo-deny where it is installed. Advisories need a database from
# the network: `make deny` and the release workflow ask for those.
set -euo pipefail

if command -v cargo-deny >/dev/null; then
  cargo deny --locked --offline check bans licenses sources
else
  printf 'not asked: licences, duplicates, sources (cargo install --locked cargo-deny)\n'
fi

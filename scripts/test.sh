#!/usr/bin/env bash
# Runs every test, each part even if one before it failed, and closes with "N passed, N failed".
# Called by `make test`, which sets up the tools and the environment first. WITH_CHECK=1 runs `make check` before.
set -uo pipefail
cd "$(dirname "$0")/.."

passed=0
failed=0
broken=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Counts from the summaries of cargo ("7 passed; 1 failed") and of the browser tests ("e2e: 7 passed, 1 failed").
count() {
  local sum=0 number
  while read -r number _; do sum=$((sum + number)); done < <(grep -aE '^(test result|e2e):' "$log" | grep -oE "[0-9]+ $1")
  echo "$sum"
}

part() { # title, command…
  local title=$1 status
  shift
  printf '\n== %s\n' "$title"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  local good bad
  good=$(count passed)
  bad=$(count failed)
  # A part without tests of its own counts as one, and so does one that could not run.
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  if [ "$status" = 0 ] && [ "$good" = 0 ]; then good=1; fi
  if [ "$status" != 0 ]; then broken+=("$title"); fi
  passed=$((passed + good))
  failed=$((failed + bad))
}

if [ -n "${WITH_CHECK:-}" ]; then part "Format, clippy, documentation" make --no-print-directory check; fi
part "Native tests" make --no-print-directory test-native
part "Tests in wasm" make --no-print-directory test-wasm
part "The page in Chromium" make --no-print-directory test-e2e

echo
if [ "${#broken[@]}" != 0 ]; then printf 'failed: %s\n' "${broken[@]}"; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "${#broken[@]}" = 0 ]

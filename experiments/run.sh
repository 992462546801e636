#!/usr/bin/env bash
# Runs Quantscope and its peers side by side and writes what was measured into docs/benchmarks.md and docs/figures/.
#
#   experiments/run.sh [decoder] [kmeans] [codec] [coders] [lossless] [runtime]      all six where none is named
#
# `decoder` needs no peers and writes nothing: a second decoder reads the golden files and the test vectors of docs/format.md.
# Peers go to ${QUANTSCOPE_TOOLS:-$HOME/.cache/quantscope}/peers, outside the checkout, once. Networks are read from
# QUANTSCOPE_DATA or ../shared/data. What is absent is skipped with a printed line.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${QUANTSCOPE_TOOLS:-$HOME/.cache/quantscope}/peers"
stamp="$venv/.installed-from"

say() { printf 'experiments: %s\n' "$*" >&2; }

decoder() {
  local golden="${CARGO_TARGET_DIR:-$PWD/target}/experiments/golden"
  rm -rf "$golden"
  mkdir -p "$golden"
  QUANTSCOPE_GOLDEN_FILES="$golden" cargo test --locked --test golden_files
  PYTHONDONTWRITEBYTECODE=1 python3 experiments/qsz.py vectors
  PYTHONDONTWRITEBYTECODE=1 python3 experiments/qsz.py check "$golden"
}

[ $# -gt 0 ] || set -- decoder kmeans codec coders lossless runtime
peers=()
for name in "$@"; do
  if [ "$name" = decoder ]; then decoder; else peers+=("$name"); fi
done
[ ${#peers[@]} -gt 0 ] || exit 0

pinned() { grep -oE '^[A-Za-z0-9_.-]+==[^ ]+' "$1"; }

install() { # requirements, further pip flags
  local file=$1
  shift
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$@" -r "$file" && return
  # One package that cannot be had must not cost the others.
  pinned "$file" | while read -r package; do
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$@" "$package" ||
      say "$package cannot be installed here; what needs it will be skipped"
  done
}

if ! cat experiments/requirements*.txt | cmp -s - "$stamp"; then
  say "installing the peers into $venv (a few minutes, once)"
  mkdir -p "$(dirname "$venv")"
  python3 -m venv "$venv"
  install experiments/requirements.txt
  install experiments/requirements-alone.txt
  cat experiments/requirements*.txt >"$stamp"
fi

say "building Quantscope"
cargo build --locked --release --bin quantscope --example kmeans_bench --example coders_bench

# One thread each, whatever library a peer calculates with.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" experiments/main.py "${peers[@]}"

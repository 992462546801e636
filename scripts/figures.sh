#!/usr/bin/env bash
# Draws the charts of docs/reproduction.md, writes its tables, and the table of methods: everything in docs/ that is computed.
# Reads the networks from QUANTSCOPE_DATA or ../shared/data.
set -euo pipefail
cd "$(dirname "$0")/.."
data="${QUANTSCOPE_DATA:-../shared/data}"
out=docs/figures
mkdir -p "$out"
cargo build --locked --release --bin quantscope --example table1
release="${CARGO_TARGET_DIR:-target}/release"
quantscope="$release/quantscope"

{
  echo '# Methods'
  echo
  echo 'Made from the table of methods in `src/quantize/methods.rs` by `make figures`; a test fails when it is stale.'
  echo
  "$quantscope" methods
} >docs/methods.md

if [ ! -e "$data/lenet/lenet.safetensors" ]; then
  echo "skipped: $data holds no networks; the charts stay as they are" >&2
  exit 0
fi

# One chart per network and code: k-means with and without importance, uniform, ECSQ, on weighted distortion.
curves() { # name, weights, Hessian, further flags
  local name=$1 weights=$2 hessian=$3
  shift 3
  for rate in fixed huffman; do
    "$quantscope" sweep "$weights" --importance-file "$hessian" --methods kmeans:plain,kmeans,uniform,ecsq \
      --points 40 --weighted --rate "$rate" --quiet "$@" \
      --svg "$out/$name-$rate.svg" -o "$out/$name.csv"
  done
  "$quantscope" sweep "$weights" --quiet "$@" --svg "$out/$name-methods.svg" >/dev/null
}
curves lenet "$data/lenet/lenet.safetensors" "$data/lenet/lenet_hessian_diag_ggn.safetensors"
curves resnet32 "$data/resnet32/resnet32-d509ac18.th" "$data/resnet32/resnet32_hessian_diag_ggn.safetensors" \
  --exclude '*running_mean,*running_var'

"$release/examples/table1" "$data" >"$out/table1.txt"
node scripts/points.mjs "$out/lenet.csv" "$out/resnet32.csv" >"$out/points.md"
cat "$out/table1.txt" "$out/points.md"

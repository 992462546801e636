#!/usr/bin/env bash
# Makes www/samples anew: trains the networks, then computes their curvature (the exact Gauss-Newton diagonal over their
# training images) with the program itself. `scripts/samples.sh curvature` does the second step alone.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != curvature ]; then
  if [ ! -x .venv/bin/python ]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet -r samples/requirements.txt
  fi
  .venv/bin/python samples/train.py
fi
cargo build --locked --release --bin quantscope
for sample in lenet:28 resnet:8 lstm:8 transformer:8; do
  name=${sample%:*}
  target/release/quantscope importance "www/samples/$name.onnx" --data "www/samples/digits-${sample#*:}-train.npz" \
    --kind exact --half -o "www/samples/$name.curvature.safetensors"
done

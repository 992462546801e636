#!/usr/bin/env bash
# Builds the page's second wasm binary into Trunk's staging folder; Trunk calls it beside its own build.
# It has build settings of its own, for speed where the page's are for size, hence a target folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=release
if [ "${TRUNK_PROFILE:-release}" = debug ]; then profile=dev; fi
folder=$([ "$profile" = dev ] && echo debug || echo release)
stage=${TRUNK_STAGING_DIR:-dist}
target=target/accuracy

RUSTFLAGS="-C target-feature=+simd128" cargo build --locked --profile "$profile" --target wasm32-unknown-unknown \
  --target-dir "$target" --no-default-features --features network --bin accuracy
wasm-bindgen --target web --no-typescript --out-dir "$target/out" --out-name accuracy \
  "$target/wasm32-unknown-unknown/$folder/accuracy.wasm"
if [ "$profile" = release ]; then
  wasm-opt -O2 --strip-debug --enable-simd --enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext \
    --enable-mutable-globals --enable-reference-types --enable-multivalue \
    "$target/out/accuracy_bg.wasm" -o "$stage/accuracy_bg.wasm"
else
  cp "$target/out/accuracy_bg.wasm" "$stage/accuracy_bg.wasm"
fi
cp "$target/out/accuracy.js" "$stage/accuracy.js"

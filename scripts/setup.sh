#!/usr/bin/env bash
# Installs what Quantscope builds and tests with, at pinned versions, and skips what is already there.
#
#   scripts/setup.sh build   wasm target, Trunk, wasm-bindgen-cli, binaryen   (for make serve, make dist)
#   scripts/setup.sh test    all of that, Chromium with its driver, Playwright (for make test)
#   scripts/setup.sh fuzz    cargo-fuzz alone                                 (for make fuzz)
#
# Tools go to ${QUANTSCOPE_TOOLS:-$HOME/.cache/quantscope}, outside the checkout, so that a clean clone finds them again.
set -euo pipefail
cd "$(dirname "$0")/.."

TRUNK_VERSION=0.21.14
WASM_BINDGEN_VERSION=0.2.130
BINARYEN_VERSION=132.0.0
CARGO_FUZZ_VERSION=0.13.2
TOOLS="${QUANTSCOPE_TOOLS:-$HOME/.cache/quantscope}"
BIN="$TOOLS/bin"
WANT="${1:-build}"
export PATH="$BIN:$PATH"
mkdir -p "$BIN"

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

version_of() { "$1" --version 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }

wasm_target() {
  if [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then return; fi
  say "adding the wasm32-unknown-unknown target (a few seconds)"
  rustup target add wasm32-unknown-unknown
}

cargo_tool() { # name, version, crate, optimisation, extra cargo flags
  local name=$1 version=$2 crate=$3 level=$4
  shift 4
  if [ "$(version_of "$name" || true)" = "$version" ]; then return; fi
  say "building $crate $version into $BIN (2 to 3 minutes on two cores, once)"
  # They run for seconds and are compiled for minutes: hardly optimised, they are there in half the time.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=$level CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols \
    CARGO_TARGET_DIR="$TOOLS/target" cargo install "$crate" --version "$version" --root "$TOOLS" --force "$@"
  rm -rf "$TOOLS/target"
}

binaryen() {
  if [ -x "$TOOLS/npm/node_modules/.bin/wasm-opt" ] &&
    [ "$(cat "$TOOLS/npm/binaryen.version" 2>/dev/null || true)" = "$BINARYEN_VERSION" ]; then
    ln -sf "$TOOLS/npm/node_modules/.bin/wasm-opt" "$BIN/wasm-opt"
    return
  fi
  say "fetching binaryen $BINARYEN_VERSION from npm (10 seconds)"
  mkdir -p "$TOOLS/npm"
  npm install --silent --no-save --prefix "$TOOLS/npm" "binaryen@$BINARYEN_VERSION"
  echo "$BINARYEN_VERSION" >"$TOOLS/npm/binaryen.version"
  ln -sf "$TOOLS/npm/node_modules/.bin/wasm-opt" "$BIN/wasm-opt"
}

chromium() {
  if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then return; fi
  say "installing Debian's chromium, its driver and a font (1 minute)"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null
}

playwright() {
  if [ -d tests/e2e/node_modules/playwright-core ] && [ -d tests/e2e/node_modules/axe-core ] &&
    cmp -s tests/e2e/package-lock.json tests/e2e/node_modules/.installed-from; then return; fi
  say "installing playwright-core and axe-core for the browser tests (10 seconds)"
  (cd tests/e2e && npm ci --silent)
  cp tests/e2e/package-lock.json tests/e2e/node_modules/.installed-from
}

command -v cargo >/dev/null || { say "needs Rust: install rustup from https://rustup.rs, then run this again"; exit 1; }
if [ "$WANT" = fuzz ]; then
  cargo_tool cargo-fuzz "$CARGO_FUZZ_VERSION" cargo-fuzz 1 --locked
  exit 0
fi

command -v npm >/dev/null || { say "needs node with npm: apt-get install nodejs npm, then run this again"; exit 1; }

if [ "$WANT" = test ] && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  say "needs node 20 or later for the browser tests, found $(node --version): install it from nodejs.org or by a version manager"
  exit 1
fi

wasm_target
binaryen
cargo_tool wasm-bindgen "$WASM_BINDGEN_VERSION" wasm-bindgen-cli 1
# Trunk calls the other tools and asks no server: neither speed nor encryption is worth minutes.
cargo_tool trunk "$TRUNK_VERSION" trunk 0 --locked --no-default-features
if [ "$WANT" = test ]; then
  chromium
  playwright
fi

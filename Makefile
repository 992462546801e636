# Quantscope's commands; `make help` lists them. Everything they need is installed by scripts/setup.sh.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PORT ?= 8080
TOOLS := $(or $(QUANTSCOPE_TOOLS),$(HOME)/.cache/quantscope)
export PATH := $(TOOLS)/bin:$(PATH)

# Trunk takes its tools from PATH and asks no server for newer ones.
export TRUNK_OFFLINE := true
export TRUNK_SKIP_VERSION_CHECK := true
export TRUNK_BUILD_DIST := $(CURDIR)/dist
export WITH_CHECK

WASM := --locked --target wasm32-unknown-unknown --no-default-features
# Integration tests that also run in wasm say so by importing its test attribute.
WASM_TESTS := $(patsubst tests/%.rs,--test %,$(patsubst %/main.rs,%.rs,$(shell grep -l wasm_bindgen_test tests/*.rs tests/*/main.rs 2>/dev/null)))

say = @printf '\n== %s\n' "$(1)" >&2

.PHONY: help serve dist test check fmt fuzz figures samples bench bench-page experiments setup setup-test test-native test-wasm test-e2e

help: ## list these commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1|/' | column -t -s '|'

serve: dist ## build the release page and serve it on http://127.0.0.1:8080/ (PORT=…); 8 minutes the first time, then seconds
	@node scripts/serve.mjs dist $(PORT)

dist: setup ## build the page into dist/, a folder that any static host can serve from any path; 4 minutes
	$(call say,Building the release page into dist/ (2 to 5 minutes on two cores the first time))
	cargo fetch --locked
	@# Trunk stops at NO_COLOR=1: it wants true or false.
	env -u NO_COLOR trunk build --release
	@printf 'dist/ is ready: %s, of which gzipped wasm %s bytes, and %s more when accuracy is asked for\n' \
	  "$$(du -sh dist | cut -f1)" "$$(cat dist/page*.wasm | gzip -9 | wc -c)" "$$(gzip -9 <dist/accuracy_bg.wasm | wc -c)"

test: setup-test ## run every test: native, wasm, and the page in a real browser; 12 to 16 minutes
	@scripts/test.sh

test-native: ## run the native tests only; 3 minutes
	$(call say,Native tests)
	cargo test --locked --no-fail-fast

test-wasm: setup ## run the tests that also run in wasm; 2 minutes
	$(call say,Tests in wasm)
	cargo test $(WASM) --no-fail-fast $(WASM_TESTS)

test-e2e: setup-test dist ## run the page's tests in Chromium; 6 minutes beside the page
	$(call say,The native program that checks the page)
	cargo build --locked --bin quantscope
	$(call say,The page in Chromium)
	node tests/e2e/run.mjs

check: setup ## check format, clippy and documentation, with warnings denied; 2 minutes
	$(call say,Format)
	cargo fmt --check
	$(call say,Clippy natively)
	cargo clippy --locked --all-targets -- -D warnings
	$(call say,Clippy in wasm)
	cargo clippy $(WASM) --lib --bin page $(WASM_TESTS) -- -D warnings
	cargo clippy $(WASM) --features network --lib --bin accuracy -- -D warnings
	$(call say,Documentation)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib

fuzz: ## fuzz every reader, the decoder, recipes, samples and networks, guided by coverage; six hours (SECONDS_EACH=… for each of five)
	@scripts/setup.sh fuzz
	$(call say,Fuzzing: $(or $(SECONDS_EACH),7200) s of each target)
	SECONDS_EACH=$(or $(SECONDS_EACH),7200) fuzz/run.sh

fmt: ## format the code
	cargo fmt

figures: ## draw the charts and tables of docs/reproduction.md and docs/methods.md anew
	$(call say,Figures (needs ../shared/data or QUANTSCOPE_DATA))
	scripts/figures.sh

samples: ## train the sample networks and compute their curvature anew (needs python3)
	scripts/samples.sh

bench-page: setup-test dist ## time the page in Chromium on a 244 MB file with AlexNet's shapes
	$(call say,A file with AlexNet's shapes)
	cargo run --locked --release --example weights -- alexnet target/alexnet.safetensors
	cargo run --locked --release --example weights -- laplace target/laplace.safetensors
	node scripts/bench-page.mjs target/alexnet.safetensors 256
	node scripts/bench-page.mjs target/laplace.safetensors 256

experiments: ## compare with peers and write docs/benchmarks.md anew (about half an hour; needs python3)
	$(call say,Experiments against peers (leave the machine alone; networks from ../shared/data or QUANTSCOPE_DATA))
	experiments/run.sh

bench: ## run the benchmarks; several minutes
	$(call say,Benchmarks (several minutes; leave the machine alone))
	cargo bench --locked

setup:
	@scripts/setup.sh build

setup-test:
	@scripts/setup.sh test

#!/usr/bin/env bash
# Fuzzes the doors that hostile bytes come in by, guided by coverage, two targets at a time.
#
#   fuzz/run.sh [TARGET…]     all five by default
#   SECONDS_EACH=7200         how long each is tried
#
# Corpora grow in fuzz/corpus, finds are kept in fuzz/artifacts. Fails when there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

each=${SECONDS_EACH:-7200}
targets=("$@")
[ "${#targets[@]}" != 0 ] || targets=(weights pair container recipe network)
triple=$(rustc -vV | sed -n 's/^host: //p')

cargo build --locked --bin quantscope
# The toolchain is the stable one: only the compiler's flags that watch coverage are not.
RUSTC_BOOTSTRAP=1 cargo fuzz build --release --sanitizer none
data="${QUANTSCOPE_DATA:-../shared/data}"
[ -d "$data" ] || data=
python3 fuzz/seeds.py target/debug/quantscope fuzz/seeds ${data:+"$data"}

try() {
  local target=$1
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  # 5 seconds of this build, which checks and watches everything, are one of the program's; memory is counted by the target itself.
  if "fuzz/target/$triple/release/$target" -max_total_time="$each" -timeout=5 -rss_limit_mb=1024 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" "fuzz/seeds/$target" \
    >"fuzz/artifacts/$target.log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/artifacts/$target.log") executions in $each s, no find"
  else
    grep -aE 'panicked|ERROR: libFuzzer|Test unit written' -A1 "fuzz/artifacts/$target.log" | head -n 8
    echo "$target: a find, see fuzz/artifacts/$target.log"
    return 1
  fi
}
export -f try
export each triple
printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'set -o pipefail; try {}'

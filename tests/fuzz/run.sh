#!/usr/bin/env bash
# Fuzzes every target for so many seconds, as many at once as there are cores: tests/fuzz/run.sh [seconds] [target]
# One line for each; what is found lies in tests/fuzz/crashes/<target>/ and makes the end fail. What was learned stays in
# target/fuzz-corpus/. To keep it: tests/fuzz/run.sh 0 <target> puts the smallest set with the same coverage into corpus/.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
only=${2:-}
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
fuzz=${CARGO_FUZZ:-target/tools/bin/cargo-fuzz}
[ -x "$fuzz" ] || cargo install cargo-fuzz --version 0.13.2 --locked --quiet --root target/tools --target-dir target/tools-build
built=target/fuzz
"$fuzz" build --fuzz-dir tests/fuzz -s none --target-dir "$PWD/$built" ${only:+"$only"}

# Puts into the corpus what is worth keeping.
keep() {
    local name=$1 kept
    # Seeds stay as they are; of what was learned the few that add coverage to them, the smallest first.
    kept=$(mktemp -d)
    cp "tests/fuzz/corpus/$name"/seed-* "$kept"/
    "$(echo "$built"/*/release/"$name")" -merge=1 -max_len=8192 "$kept" "target/fuzz-corpus/$name" "tests/fuzz/corpus/$name" \
        >"target/fuzz-corpus/$name.log" 2>&1 || true
    python3 tests/fuzz/keep.py "$kept" "tests/fuzz/corpus/$name"
    rm -rf "$kept"
}

# Looks for so many seconds; fails when something was found.
look() {
    local name=$1 log=target/fuzz-corpus/$1.log crashes=tests/fuzz/crashes/$1 code=0 edges runs used
    local TIMEFORMAT='%0U %0S'
    mkdir -p "$crashes"
    { time nice -n 10 "$(echo "$built"/*/release/"$name")" "target/fuzz-corpus/$name" "tests/fuzz/corpus/$name" \
        -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1500 -artifact_prefix="$crashes/" \
        -print_final_stats=1 >"$log" 2>&1; } 2>"$log.time" || code=$?
    used=$(awk '{print $1 + $2}' "$log.time")
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*' || echo 0)
    runs=$(grep -o 'number_of_executed_units: [0-9]*' "$log" | grep -o '[0-9]*' || echo 0)
    echo "$name: $runs executions, $edges edges, $used s of processor, $([ "$code" = 0 ] && echo 'nothing found' || echo "FOUND, see $log")"
    rmdir --ignore-fail-on-non-empty "$crashes" 2>/dev/null || true
    return "$code"
}

found=0 running=0
for body in tests/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$body" .rs)
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    mkdir -p "target/fuzz-corpus/$name"
    if [ "$seconds" = 0 ]; then
        keep "$name"
        continue
    fi
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || found=1
        running=$((running - 1))
    fi
    look "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || found=1
    running=$((running - 1))
done
exit "$found"

#!/usr/bin/env bash
# Fuzzes every target for so many seconds, one after the other: tests/fuzz/run.sh [seconds] [target]
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
found=0
for body in tests/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$body" .rs)
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    binary=$(echo "$built"/*/release/"$name")
    corpus=tests/fuzz/corpus/$name
    learned=target/fuzz-corpus/$name
    mkdir -p "$learned"
    log=target/fuzz-corpus/$name.log
    if [ "$seconds" = 0 ]; then
        # Seeds stay as they are; of what was learned the few that add coverage to them, the smallest first.
        kept=$(mktemp -d)
        cp "$corpus"/seed-* "$kept"/
        "$binary" -merge=1 -max_len=8192 "$kept" "$learned" "$corpus" >"$log" 2>&1 || true
        python3 tests/fuzz/keep.py "$kept" "$corpus"
        rm -rf "$kept"
        continue
    fi
    code=0
    mkdir -p "tests/fuzz/crashes/$name"
    nice -n 10 "$binary" "$learned" "$corpus" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1500 \
        -artifact_prefix="tests/fuzz/crashes/$name/" -print_final_stats=1 >"$log" 2>&1 || code=$?
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*' || echo 0)
    runs=$(grep -o 'number_of_executed_units: [0-9]*' "$log" | grep -o '[0-9]*' || echo 0)
    echo "$name: $runs executions, $edges edges, $([ "$code" = 0 ] && echo 'nothing found' || echo "FOUND, see $log")"
    [ "$code" = 0 ] || found=1
    rmdir --ignore-fail-on-non-empty "tests/fuzz/crashes/$name" 2>/dev/null || true
done
exit "$found"

#!/usr/bin/env bash
# The store under a fault at every system call. A short history, compactions included, is run once for each call that
# touches the disk; at that call the process is killed, or the call fails. Then everything acknowledged is compared.
#
#   syscalls.sh [--step N] [--commits N] [--only kill|early|ENOSPC|EIO]      every Nth call (default 7)
#
# A batch that was not taken is tried again by the writer; after a failed sync of the journal it must end (status 3),
# never go on. Calibration: a writer that acknowledges before it commits must be caught by the kills.
# Needs strace. Exits 77, naming what is missing, where it cannot run.
set -u

step=7 commits=24 only=
while [ $# -gt 0 ]; do
  case $1 in
    --step) step=$2; shift 2 ;;
    --commits) commits=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) echo "syscalls.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
skip() { echo "syscalls: skipped: $1"; exit 77; }
command -v strace > /dev/null || skip "strace is not installed"
strace -o /dev/null true 2> /dev/null || skip "strace may not trace here"

root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${STORE_WRITER:-}" ]; then
  (cd "$root" && cargo build -q --workspace --example store_writer --features clearhouse-store/planted) || exit 1
  STORE_WRITER=${CARGO_TARGET_DIR:-$root/target}/debug/examples/store_writer
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/syscalls.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

writes=write,pwrite64,ftruncate,fallocate,rename,unlink,unlinkat,mkdir,openat
syncs=fsync,fdatasync,sync_file_range

# calls SET: how many such calls the history makes.
calls() {
  rm -rf "$work/store"
  strace -f -qq -o "$work/trace" -e trace="$1" \
    "$STORE_WRITER" "$work/store" 1 --commits "$commits" --compact-every 10 > /dev/null || return 1
  grep -vc 'resumed>' "$work/trace"
}

all_passed=0 all_failed=0 passed=0 failed=0
# series NAME SET FAULT STATUS [writer options]: one run for each (step-th) call of the set. STATUS is how the writer
# must end, or "any".
series() {
  local name=$1 set=$2 fault=$3 must=$4 total n status
  shift 4
  passed=0 failed=0
  [ -z "$only" ] || [ "$only" = "${name%% *}" ] || return 1
  total=$(calls "$set") || { echo "$name: the history does not run"; all_failed=$((all_failed + 1)); return; }
  for n in $(seq $((1 + RANDOM % step)) "$step" "$total"); do
    rm -rf "$work/store"
    # In a shell of its own, so that the news of a killed child goes nowhere.
    (timeout 60 strace -f -qq -o /dev/null -e trace="$set" -e inject="$set:$fault:when=$n" \
      "$STORE_WRITER" "$work/store" 1 --commits "$commits" --compact-every 10 "$@" > "$work/acks" 2> "$work/err"
     exit $?) 2> /dev/null
    status=$?
    if [ $status = 124 ]; then
      failed=$((failed + 1)); echo "  $name at call $n: hangs"
    elif [ "$must" != any ] && [ "$status" != "$must" ]; then
      failed=$((failed + 1)); echo "  $name at call $n: ended with $status and not with $must: $(tail -n 1 "$work/err")"
    elif [ -d "$work/store" ] && ! timeout 60 "$STORE_WRITER" "$work/store" 1 --check "$work/acks" > "$work/log" 2>&1; then
      failed=$((failed + 1)); echo "  $name at call $n of $total (status $status): $(tail -n 1 "$work/log")"
    else
      passed=$((passed + 1))
    fi
  done
  echo "$name, calls $total: $passed passed, $failed failed"
}
count() { all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed)); }

series "kill" "$writes,$syncs" signal=KILL any && count
coarse=$step step=3
if series "early acknowledgement, killed (must fail)" write signal=KILL any --planted-early-ack > "$work/early"; then
  echo "early acknowledgement, killed: seen in $failed of $((passed + failed)) runs"
  if [ "$failed" -gt 0 ]; then all_passed=$((all_passed + 1)); else
    echo "syscalls: the planted bug was not seen, so nothing above is proven"
    all_failed=$((all_failed + 1))
  fi
fi
step=$coarse
series "ENOSPC" write,pwrite64,ftruncate,fallocate,mkdir,rename error=ENOSPC any && count
series "EIO in writes" write,pwrite64,rename,unlink error=EIO any && count
series "EIO in syncs of files and folders" fsync error=EIO any && count
# Nothing but the journal calls fdatasync.
series "EIO in syncs of the journal" fdatasync error=EIO 3 && count
echo "syscalls: $all_passed passed, $all_failed failed"
[ $all_failed = 0 ]

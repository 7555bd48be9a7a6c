#!/usr/bin/env bash
# Power cuts under the store. A writer commits on a file system of its own, acknowledgements are kept outside it. The
# writer is stopped, its acknowledgements are drained, the file system is shut down without flushing its log, the
# writer is killed, the file system is mounted again, and every acknowledged commit is compared.
#
#   powercut.sh [--rounds N] [--planted-rounds N] [--fs ext4|xfs] [--kills N]
#
# Calibration: the same rounds with a journal that is never synced must fail in most cases, while plain kills of that
# same writer stay green. A harness that does not see the planted bug proves nothing, and this one then fails.
#
# Needs root, loop devices, xfs_io, mkfs. Exits 77, naming what is missing, where it cannot run.
set -u

rounds=20 planted_rounds=10 kills=10 fs=ext4
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --planted-rounds) planted_rounds=$2; shift 2 ;;
    --kills) kills=$2; shift 2 ;;
    --fs) fs=$2; shift 2 ;;
    *) echo "powercut.sh: unknown option $1" >&2; exit 2 ;;
  esac
done

skip() { echo "powercut: skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in losetup mount umount xfs_io "mkfs.$fs" timeout; do
  command -v "$tool" > /dev/null || skip "$tool is not installed"
done
[ -e /dev/loop-control ] || skip "no loop devices"

root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${STORE_WRITER:-}" ]; then
  (cd "$root" && cargo build -q --workspace --example store_writer --features clearhouse-store/planted) || exit 1
  STORE_WRITER=${CARGO_TARGET_DIR:-$root/target}/debug/examples/store_writer
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/powercut.XXXXXX")
mnt=$work/mnt loop= writer=
mkdir "$mnt"

clean() {
  [ -n "$writer" ] && kill -KILL "$writer" 2> /dev/null && wait "$writer" 2> /dev/null
  writer=
  mountpoint -q "$mnt" && { umount "$mnt" 2> /dev/null || umount -l "$mnt"; }
  [ -n "$loop" ] && losetup -d "$loop" 2> /dev/null
  loop=
}
trap 'clean; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mounted() { timeout 30 mount "$loop" "$mnt"; }

# A file system of its own on a file of its own.
prepare() {
  clean
  rm -f "$work/image" "$work/acks"
  truncate -s 400M "$work/image"
  case $fs in
    ext4) mkfs.ext4 -q -F "$work/image" ;;
    xfs) mkfs.xfs -q -f "$work/image" ;;
    *) skip "file system $fs is not known here" ;;
  esac || skip "mkfs.$fs failed"
  loop=$(losetup -f --show "$work/image") || skip "no free loop device"
  mounted || skip "a loop device cannot be mounted"
}

# Every thread must be stopped: one that is still in a sync would make the cut come before its acknowledgement.
all_stopped() {
  local stat state
  for stat in /proc/"$writer"/task/*/stat; do
    state=$(sed 's/.*) //; s/ .*//' "$stat" 2> /dev/null) || continue
    [ "$state" = T ] || return 1
  done
}

# one SEED HOW [writer options]: one round, HOW being cut or kill. Prints why when it fails.
one() {
  local seed=$1 how=$2 tries=0
  shift 2
  prepare
  # Not through a wrapper such as timeout: the stop must reach the writer itself.
  "$STORE_WRITER" "$mnt/store" "$seed" "$@" > "$work/acks" 2> "$work/writer.log" &
  writer=$!
  sleep "$(awk -v s="$seed" 'BEGIN { srand(s); printf "%.2f", 0.4 + rand() * 1.6 }')"
  kill -STOP "$writer" 2> /dev/null || { echo "the writer ended: $(cat "$work/writer.log")"; return 1; }
  until all_stopped; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "the writer does not stop"; return 1; }
    sleep 0.02
  done
  [ -s "$work/acks" ] || { echo "nothing was acknowledged"; return 1; }
  if [ "$how" = cut ]; then
    xfs_io -x -c shutdown "$mnt" > "$work/cut.log" 2>&1 || { echo "shutdown failed: $(cat "$work/cut.log")"; return 1; }
  fi
  kill -KILL "$writer"
  wait "$writer" 2> /dev/null
  writer=
  if [ "$how" = cut ]; then
    umount "$mnt" || { echo "umount failed"; return 1; }
    mounted || { echo "the file system does not mount after the cut"; return 1; }
  fi
  timeout 60 "$STORE_WRITER" "$mnt/store" "$seed" --check "$work/acks" > "$work/check.log" 2>&1 \
    || { tail -n 1 "$work/check.log"; return 1; }
}

passed=0 failed=0
# series NAME ROUNDS HOW [writer options]
series() {
  local name=$1 count=$2 how=$3 n why
  shift 3
  passed=0 failed=0
  for n in $(seq 1 "$count"); do
    if one "$n" "$how" "$@" > "$work/why"; then
      passed=$((passed + 1))
    else
      why=$(cat "$work/why")
      case $why in "powercut: skipped"*) echo "$why"; exit 77 ;; esac
      failed=$((failed + 1))
      echo "  $name, seed $n: $why"
    fi
  done
  echo "$name: $passed passed, $failed failed"
}

all_passed=0 all_failed=0
expect_green() { all_passed=$((all_passed + passed)); all_failed=$((all_failed + failed)); }

series "power cuts on $fs" "$rounds" cut --compact-every 150
expect_green
if [ "$kills" -gt 0 ]; then
  series "kills on $fs" "$kills" kill --compact-every 150
  expect_green
fi
if [ "$planted_rounds" -gt 0 ]; then
  series "never synced, killed: a kill test sees nothing" "$((planted_rounds / 2))" kill --planted-no-sync
  expect_green
  series "never synced, power cut: must be seen" "$planted_rounds" cut --planted-no-sync > "$work/planted"
  sed '$d' "$work/planted"
  echo "never synced, power cut: seen in $failed of $planted_rounds rounds"
  if [ $((failed * 10)) -ge $((planted_rounds * 6)) ]; then all_passed=$((all_passed + 1)); else
    echo "powercut: the planted bug was not seen, so nothing above is proven"
    all_failed=$((all_failed + 1))
  fi
fi
echo "powercut: $all_passed passed, $all_failed failed"
[ $all_failed = 0 ]

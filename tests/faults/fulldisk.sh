#!/usr/bin/env bash
# A full disk under the store: a small file system is filled by commits, everything accepted stays readable, the store
# opens on the full disk, and when space is freed it goes on by itself. Many cycles, a new file system each.
#
#   fulldisk.sh [--rounds N]
#
# Needs root, loop devices, mkfs.ext4. Exits 77, naming what is missing, where it cannot run.
set -u

rounds=20
[ "${1:-}" = --rounds ] && rounds=$2
skip() { echo "fulldisk: skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in losetup mount umount mkfs.ext4 timeout; do
  command -v "$tool" > /dev/null || skip "$tool is not installed"
done
[ -e /dev/loop-control ] || skip "no loop devices"

root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${STORE_WRITER:-}" ]; then
  (cd "$root" && cargo build -q --workspace --example store_writer --features clearhouse-store/planted) || exit 1
  STORE_WRITER=${CARGO_TARGET_DIR:-$root/target}/debug/examples/store_writer
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/fulldisk.XXXXXX")
mnt=$work/mnt loop=
mkdir "$mnt"
clean() {
  mountpoint -q "$mnt" && { umount "$mnt" 2> /dev/null || umount -l "$mnt"; }
  [ -n "$loop" ] && losetup -d "$loop" 2> /dev/null
  loop=
}
trap 'clean; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

passed=0 failed=0
for seed in $(seq 1 "$rounds"); do
  clean
  rm -f "$work/image"
  # Every third file system has no room even for the reserve.
  truncate -s "$([ $((seed % 3)) = 0 ] && echo 40M || echo 48M)" "$work/image"
  mkfs.ext4 -q -F "$work/image" || skip "mkfs.ext4 failed"
  loop=$(losetup -f --show "$work/image") || skip "no free loop device"
  timeout 30 mount "$loop" "$mnt" || skip "a loop device cannot be mounted"
  # What the operator will free later; its size moves the point at which the disk is full.
  head -c "$((16000000 + seed * 100003))" /dev/zero > "$mnt/filler"
  if timeout 120 "$STORE_WRITER" "$mnt/store" "$seed" --fill "$mnt/filler" > "$work/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "  seed $seed: $(tail -n 3 "$work/log" | tr '\n' ' ')"
  fi
done
echo "fulldisk: $passed passed, $failed failed"
[ $failed = 0 ]

#!/usr/bin/env bash
# Power cuts under the whole node, by tests/mesh/powercut.rs, and the same node without a single sync, which must be seen.
#
#   powercut_node.sh [CUTS]
#
# Needs root, loop devices, xfs_io, mkfs.ext4, a C compiler. Exits 77, naming what is missing, where it cannot run.
set -eu

skip() { echo "powercut_node: skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in losetup mount umount xfs_io mkfs.ext4 cc; do
  command -v "$tool" > /dev/null || skip "$tool is not installed"
done
[ -e /dev/loop-control ] || skip "no loop devices"
probe=$(mktemp -d)
truncate -s 8M "$probe/image" && mkfs.ext4 -q -F "$probe/image" && mkdir "$probe/mnt"
mount -o loop "$probe/image" "$probe/mnt" 2> /dev/null || { rm -rf "$probe"; skip "a loop device cannot be mounted"; }
umount "$probe/mnt" && rm -rf "$probe"

cd "$(dirname "$0")/../.."
library=$(mktemp --suffix=.so)
trap 'rm -f "$library"' EXIT
cc -shared -fPIC -O1 -o "$library" tests/faults/nosync.c
CLEARHOUSE_POWERCUTS=${1:-20} CLEARHOUSE_NOSYNC=$library \
  cargo test --workspace --test clearhouse --locked -- mesh::powercut mesh::fulldisk --nocapture --test-threads 1

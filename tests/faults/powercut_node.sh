#!/usr/bin/env bash
# Power cuts under the whole node, by tests/mesh/powercut.rs, and the same node without a single sync, which must be seen;
# then a full disk and one that goes away, by tests/mesh/fulldisk.rs and failing_disk.rs.
#
#   powercut_node.sh [CUTS [CUTS ON XFS]]      20 and 7; with CI_LONG=1 60 and 20
#
# Needs root, loop devices, xfs_io, mkfs.ext4, mkfs.xfs, a C compiler. Exits 77, naming what is missing, where it cannot run.
set -eu

skip() { echo "powercut_node: skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
for tool in losetup mount umount xfs_io mkfs.ext4 mkfs.xfs cc; do
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
if [ "${CI_LONG:-}" = 1 ]; then usual="60 20"; else usual="20 7"; fi
CLEARHOUSE_POWERCUTS=${1:-${usual% *}} CLEARHOUSE_POWERCUTS_XFS=${2:-${usual#* }} CLEARHOUSE_NOSYNC=$library \
  cargo test --workspace --test clearhouse --locked -- mesh::powercut mesh::fulldisk mesh::failing_disk::a_disk_that_goes_away --nocapture --test-threads 1

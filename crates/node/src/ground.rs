//! What a node's folder lies on. A file system that keeps its files in memory, on another machine or behind a layer may
//! lose what was acknowledged when the power fails, however often it is synced (reliability section 5, row 38).
//!
//! Refuses to guess: it knows by name those that are not to be trusted, and asks any other to sync once before it is used.

use std::fs::File;
use std::io;
use std::path::Path;

/// File systems by the number that the system gives them: those a live network's node is not kept on.
const KNOWN: [(u64, &str); 13] = [
    (0x0102_1994, "tmpfs, which is memory"),
    (0x8584_58F6, "ramfs, which is memory"),
    (0x6969, "NFS, another machine's disk"),
    (0xFF53_4D42, "CIFS, another machine's disk"),
    (0xFE53_4D42, "SMB, another machine's disk"),
    (0x517B, "SMB, another machine's disk"),
    (0x0102_1997, "9p, another machine's disk"),
    (0x5346_414F, "AFS, another machine's disk"),
    (0x6B41_4653, "AFS, another machine's disk"),
    (0x00C3_6400, "Ceph, other machines' disks"),
    (0x786F_4256, "a folder shared with a virtual machine"),
    (0x6573_5546, "FUSE, a program that plays a file system"),
    (0x794C_7630, "overlay, as in a container without a volume"),
];

/// File systems that keep what they are told, by the same number.
const DISKS: [(u64, &str); 5] =
    [(0xEF53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683E, "btrfs"), (0x2FC1_2FC1, "zfs"), (0xF2F5_2010, "f2fs")];

/// What a folder lies on, in words; the system's number where it has no name here.
#[must_use]
pub fn name(folder: &Path) -> String {
    let Some(number) = number(folder) else { return "a file system that cannot be asked".to_owned() };
    let disk = DISKS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    named(number).or(disk).map_or_else(|| format!("a file system of the kind {number:#x}"), str::to_owned)
}

/// What a folder lies on when that is not to be trusted, in words; `None` for any other, and where it cannot be asked.
#[must_use]
pub fn untrusted(folder: &Path) -> Option<&'static str> {
    named(number(folder)?)
}

/// The number has 32 bits; the system's field for it is signed and wider on most machines.
fn number(folder: &Path) -> Option<u64> {
    Some(rustix::fs::statfs(folder).ok()?.f_type as u64 & 0xFFFF_FFFF)
}

fn named(number: u64) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Has a folder synced, which needs no room. One that cannot be synced keeps no promise.
///
/// # Errors
/// Of the system.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk_and_no_number_stands_for_two() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            assert_eq!(untrusted(memory), Some("tmpfs, which is memory"));
            assert_eq!(name(memory), "tmpfs, which is memory");
        }
        assert_eq!(untrusted(Path::new("/no/such/folder")), None);
        for (trusted, _) in DISKS {
            assert_eq!(named(trusted), None);
        }
        for (number, name) in KNOWN {
            assert_eq!(named(number), Some(name));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_synced() {
        let folder = tempfile::tempdir().unwrap();
        sync(folder.path()).unwrap();
        assert_eq!(sync(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

//! Space: how much there is, when it is too little, and a reserve to give back.
//!
//! A full disk must never keep a store from opening, so a little space is held back in a file that is given up when it
//! is needed. Refuses to decide what work to refuse: the node does, by [`Stats::low_on_space`](crate::contract::Stats).

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::files::{length, write_then_rename};
use crate::format::BALLAST_FILE;

/// Below this much free space a node takes no new work. What it has already promised still fits.
pub const LOW_WATER_BYTES: u64 = 256 << 20;
/// Below this many free inodes likewise, on file systems that count them.
pub const LOW_WATER_FILES: u64 = 256;
/// Space held back in a file, for a start on a full disk.
pub const BALLAST_BYTES: u64 = 8 << 20;
/// A journal shorter than this is never worth a compaction.
pub const COMPACT_MIN_BYTES: u64 = 4 << 20;
/// A journal this many times as long as what is live is worth one.
pub const COMPACT_FACTOR: u64 = 4;

/// What a file system has left for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes an ordinary user may still write.
    pub bytes: u64,
    /// Files that may still be made; `None` where the file system does not count them.
    pub files: Option<u64>,
}

impl Room {
    /// Asks the file system a folder is on.
    ///
    /// # Errors
    /// Of the system.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Self { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), files: counted(stat.f_files, stat.f_favail) })
    }

    /// Whether holding the reserve back leaves more than it takes.
    fn spares_ballast(self) -> bool {
        self.bytes / 2 > BALLAST_BYTES
    }

    /// Whether new work is to be refused.
    #[must_use]
    pub fn is_low(self) -> bool {
        self.bytes < LOW_WATER_BYTES || self.files.is_some_and(|files| files < LOW_WATER_FILES)
    }
}

/// How many more files fit; nothing where the file system does not count them.
fn counted(files: u64, free: u64) -> Option<u64> {
    (files > 0).then_some(free)
}

/// Whether a journal has outgrown what is live in it.
#[must_use]
pub fn compaction_due(journal_bytes: u64, live_bytes: u64) -> bool {
    journal_bytes > COMPACT_MIN_BYTES.max(live_bytes.saturating_mul(COMPACT_FACTOR))
}

/// Gives the reserve back to the file system. Returns whether there was one.
pub(crate) fn spend_ballast(dir: &Path) -> bool {
    fs::remove_file(dir.join(BALLAST_FILE)).is_ok()
}

/// Holds back space, unless that would make it scarce. Returns whether there is a reserve now.
pub(crate) fn keep_ballast(dir: &Path) -> bool {
    let path = dir.join(BALLAST_FILE);
    if length(&path).is_ok_and(|len| len == Some(BALLAST_BYTES)) {
        return true;
    }
    let enough = Room::of(dir).is_ok_and(Room::spares_ballast);
    // Zeros are written, not skipped over: a hole would hold nothing back.
    enough
        && write_then_rename(&path, |out| {
            let block = [0u8; 1 << 16];
            (0..BALLAST_BYTES / block.len() as u64).try_for_each(|_| out.write_all(&block))
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compaction_waits_for_both_bounds() {
        assert!(!compaction_due(COMPACT_MIN_BYTES, 0));
        assert!(compaction_due(COMPACT_MIN_BYTES + 1, 0));
        assert!(!compaction_due(400 << 20, 100 << 20));
        assert!(compaction_due((400 << 20) + 1, 100 << 20));
        assert!(!compaction_due(u64::MAX, u64::MAX));
    }

    #[test]
    fn room_is_low_by_bytes_or_by_files() {
        assert!(Room { bytes: LOW_WATER_BYTES - 1, files: None }.is_low());
        assert!(!Room { bytes: LOW_WATER_BYTES, files: None }.is_low());
        assert!(Room { bytes: u64::MAX, files: Some(LOW_WATER_FILES - 1) }.is_low());
        assert!(!Room { bytes: u64::MAX, files: Some(LOW_WATER_FILES) }.is_low());
    }

    #[test]
    fn files_count_where_the_file_system_counts_them_and_a_reserve_leaves_more_than_it_takes() {
        assert_eq!(
            [(0, 0), (0, 7), (1, 0), (9, 7)].map(|(all, free)| counted(all, free)),
            [None, None, Some(0), Some(7)]
        );
        let spares = |bytes| Room { bytes, files: None }.spares_ballast();
        assert_eq!([2 * BALLAST_BYTES, 2 * BALLAST_BYTES + 2].map(spares), [false, true]);
    }

    #[test]
    fn the_reserve_takes_real_space_and_is_given_back() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        assert!(!spend_ballast(dir.path()));
        assert!(keep_ballast(dir.path()));
        let meta = fs::metadata(dir.path().join(BALLAST_FILE)).unwrap();
        assert!(meta.blocks() * 512 >= BALLAST_BYTES);
        assert!(keep_ballast(dir.path()), "a second start keeps the one there is");
        assert!(spend_ballast(dir.path()));
    }
}

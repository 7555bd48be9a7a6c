//! Names, magic numbers and hash labels of everything on disk, in one place. Refuses to be spelled out elsewhere.
//!
//! ```text
//! DIR/FORMAT                      "clearhouse-store 1 <32 hex digits of the store's id>"
//! DIR/LOCK                        held by the one owner
//! DIR/BALLAST                     space given back when the disk is full at start
//! DIR/journal-<first commit>.log  the truth since the snapshot
//! DIR/snapshot-<commit>.snap      the truth up to there
//! DIR/events-<first>-<last>.arc   event leaves up to the snapshot; `-<n>` before the ending when written anew n times
//! DIR/bodies/<sha-256>            large values
//! DIR/index-<commit>/             sled, derived from the above
//! DIR/cut-<commit>-<offset>.bin   bytes cut off a torn journal, until the next compaction
//! ```
//! Integers are little endian, except in index keys, which sort. Every file starts with a heading that names the store, so that a
//! file of another store is recognised.

use sha2::{Digest, Sha256};

use crate::changes::Key;

/// Version of everything below. A store with a higher one is refused untouched.
pub(crate) const VERSION: u32 = 1;
/// First word of the format file.
pub(crate) const PRODUCT: &str = "clearhouse-store";

/// Commits and events are counted up to here. What a file says beyond is damage, so that sums never overflow.
pub(crate) const COUNT_MAX: u64 = 1 << 62;

/// SHA-256 output.
pub(crate) type Hash = [u8; 32];
/// Random name of one store, drawn when it is created.
pub(crate) type StoreId = [u8; 16];

pub(crate) const FORMAT_FILE: &str = "FORMAT";
pub(crate) const LOCK_FILE: &str = "LOCK";
pub(crate) const BALLAST_FILE: &str = "BALLAST";
pub(crate) const BODIES_DIR: &str = "bodies";
/// Ending of files under construction; whatever carries it at start is removed.
pub(crate) const TEMPORARY: &str = ".tmp";

pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"chjrnl01";
pub(crate) const RECORD_MAGIC: &[u8; 4] = b"CHR1";
pub(crate) const SNAPSHOT_MAGIC: &[u8; 8] = b"chsnap01";
pub(crate) const SNAPSHOT_END: &[u8; 8] = b"chsnapEN";
pub(crate) const ARCHIVE_MAGIC: &[u8; 8] = b"charch01";

/// What a hash is of. One label for each use, so that no bytes can serve for another.
#[derive(Clone, Copy)]
pub(crate) enum Label {
    /// The chain value before the first commit.
    Genesis,
    /// A segment's heading.
    Segment,
    /// A record's header.
    Header,
    /// The chain: previous value, header and payload.
    Chain,
    /// One row: table, key and digest of its value.
    Row,
    /// A snapshot's heading.
    Snapshot,
    /// An archive's heading.
    Archive,
}

impl Label {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Genesis => b"clearhouse/store-genesis/v1\0",
            Self::Segment => b"clearhouse/store-segment/v1\0",
            Self::Header => b"clearhouse/store-header/v1\0",
            Self::Chain => b"clearhouse/store-chain/v1\0",
            Self::Row => b"clearhouse/store-row/v1\0",
            Self::Snapshot => b"clearhouse/store-snapshot/v1\0",
            Self::Archive => b"clearhouse/store-archive/v1\0",
        }
    }
}

/// SHA-256 over a label and parts. Callers give parts of fixed length, or one variable part last.
pub(crate) fn labelled(label: Label, parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new_with_prefix(label.text());
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// Plain SHA-256: the name of a value.
pub(crate) fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash that stands for one row.
pub(crate) fn row_hash(table: u8, key: &Key, value: &Hash) -> Hash {
    labelled(Label::Row, &[&[table], key, value])
}

/// A number in a file name: twenty digits, so that names sort as numbers do.
pub(crate) fn numbered(prefix: &str, number: u64, ending: &str) -> String {
    format!("{prefix}{number:020}{ending}")
}

/// The number in a name made by [`numbered`].
pub(crate) fn number_of(name: &str, prefix: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(ending)?;
    if digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Name of the segment whose first record is commit `first`.
pub(crate) fn segment_name(first: u64) -> String {
    numbered("journal-", first, ".log")
}

/// Name of the snapshot taken after commit `generation`.
pub(crate) fn snapshot_name(generation: u64) -> String {
    numbered("snapshot-", generation, ".snap")
}

/// Name of the index derived from the snapshot after commit `base`.
pub(crate) fn index_name(base: u64) -> String {
    numbered("index-", base, "")
}

/// Name of the archive of events `first` to `last`, written anew so many times.
pub(crate) fn archive_name(first: u64, last: u64, anew: u16) -> String {
    let anew = if anew == 0 { String::new() } else { format!("-{anew}") };
    format!("events-{first:020}-{last:020}{anew}.arc")
}

/// A reader of bytes that someone else may have changed: every step checks what is left.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it has read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How much is left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `each` bytes: more than can follow is refused before anything is reserved.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(each)? <= self.left()).then_some(count)
    }
}

/// A length as it is written. Lengths are checked against limits far below 4 GiB before anything is encoded.
pub(crate) fn len32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_sort_and_come_back() {
        assert!(segment_name(9) < segment_name(10));
        assert_eq!(number_of(&segment_name(u64::MAX), "journal-", ".log"), Some(u64::MAX));
        assert_eq!(number_of("journal-1.log", "journal-", ".log"), None);
        assert_eq!(number_of("journal-+0000000000000000001.log", "journal-", ".log"), None);
        assert_eq!(archive_name(1, 20, 0), "events-00000000000000000001-00000000000000000020.arc");
        assert_eq!(archive_name(1, 20, 3), "events-00000000000000000001-00000000000000000020-3.arc");
    }

    #[test]
    fn a_cursor_never_reads_past_its_end() {
        let mut cursor = Cursor::new(&[1, 0, 0, 0, 9]);
        assert_eq!(cursor.count(2), None, "one thing of two bytes does not fit into one byte");
        let mut cursor = Cursor::new(&[1, 0, 0, 0, 9]);
        assert_eq!(cursor.count(1), Some(1));
        assert_eq!(cursor.u32(), None);
        assert_eq!(cursor.u8(), Some(9));
        assert_eq!(cursor.take(usize::MAX), None);
        assert_eq!(cursor.left(), 0);
    }
}

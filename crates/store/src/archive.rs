//! Event leaves up to the snapshot: files that are written once, named in the snapshot with their digest, never changed.
//!
//! Events are never removed, so a snapshot must not rewrite them all. A compaction writes the new ones; only while the
//! last archive is still small is it joined with them, so that files do not multiply. An archive in which events were
//! closed is written anew under another name: until the new snapshot names it, the old one stands.
//!
//! ```text
//! archive  = "charch01" | store id | first u64 | last u64 | check | leaves as in the journal
//! in lists = first u64 | last u64 | length of the file u48 | times written anew u16 | sha-256
//! ```
//! Refuses to return a leaf of a file whose digest is not the one the snapshot names.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::changes::EventLeaf;
use crate::contract::StoreError;
use crate::files::{failed, length, write_then_rename};
use crate::format::{ARCHIVE_MAGIC, Cursor, Hash, Label, StoreId, archive_name, digest, labelled, len32};
use crate::record::{decode_leaf, encode_leaf};

/// An archive below this is joined with what follows; above it, the next one is begun. Whoever reads an event of one has all of it
/// in memory.
pub(crate) const ARCHIVE_BYTES: usize = 256 << 10;
const HEADING_LEN: usize = 8 + 16 + 8 + 8 + 32;
const ENCODED_LEN: usize = 8 + 8 + 8 + 32;
/// Bits of a length in a list of archives; the rest says how often the file was written anew.
const LEN_BITS: u32 = 48;

/// One archive, as a snapshot names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ArchiveInfo {
    /// Index of its first event.
    pub(crate) first: u64,
    /// Index of its last event.
    pub(crate) last: u64,
    /// Length of the file.
    pub(crate) len: u64,
    /// Digest of the file.
    pub(crate) hash: Hash,
    /// How often it was written anew. Part of its name.
    pub(crate) anew: u16,
}

impl ArchiveInfo {
    /// Its file, relative to the store's folder.
    pub(crate) fn file(&self) -> String {
        archive_name(self.first, self.last, self.anew)
    }

    /// Appends a list of them.
    pub(crate) fn encode_all(all: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(&len32(all.len()));
        for one in all {
            out.extend_from_slice(&one.first.to_le_bytes());
            out.extend_from_slice(&one.last.to_le_bytes());
            out.extend_from_slice(&(one.len | u64::from(one.anew) << LEN_BITS).to_le_bytes());
            out.extend_from_slice(&one.hash);
        }
    }

    /// Reads a list of them; refuses one with a hole or an overlap.
    pub(crate) fn decode_all(cursor: &mut Cursor<'_>) -> Option<Vec<Self>> {
        let count = cursor.count(ENCODED_LEN)?;
        let mut next = 0;
        (0..count)
            .map(|_| {
                let (first, last, len) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
                let anew = u16::try_from(len >> LEN_BITS).ok()?;
                let one = Self { first, last, len: len & ((1 << LEN_BITS) - 1), hash: cursor.array()?, anew };
                let follows = one.first == next && one.last >= one.first;
                next = one.last.checked_add(1)?;
                follows.then_some(one)
            })
            .collect()
    }

    /// Whether the file is there, with its length.
    pub(crate) fn is_whole_length(&self, dir: &Path) -> bool {
        length(&dir.join(self.file())).is_ok_and(|found| found == Some(self.len))
    }

    /// Reads and verifies all its events.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the file is missing or any byte of it changed.
    pub(crate) fn read(&self, dir: &Path) -> Result<Vec<EventLeaf>, StoreError> {
        let path = dir.join(self.file());
        let damaged = || StoreError::Damaged { file: self.file(), offset: 0 };
        if !self.is_whole_length(dir) {
            return Err(damaged());
        }
        let bytes = fs::read(&path).map_err(failed("reading", &path))?;
        if digest(&bytes) != self.hash {
            return Err(damaged());
        }
        decode(&bytes, self.first).ok_or_else(damaged)
    }
}

/// Archives being written: each as soon as it is full, so that no more than one is ever in memory. The caller syncs the
/// folder; what was written is unnamed by any snapshot until then, and removed at the next start.
pub(crate) struct Writing<'f> {
    dir: &'f Path,
    id: &'f StoreId,
    bytes: Vec<u8>,
    /// First and last event in `bytes`.
    span: Option<(u64, u64)>,
    written: Vec<ArchiveInfo>,
}

impl<'f> Writing<'f> {
    pub(crate) fn begin(dir: &'f Path, id: &'f StoreId) -> Self {
        Self { dir, id, bytes: vec![0; HEADING_LEN], span: None, written: Vec::new() }
    }

    /// Takes the event that follows the one before.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn push(&mut self, event: &EventLeaf) -> io::Result<()> {
        encode_leaf(&mut self.bytes, event);
        self.span = Some((self.span.map_or(event.index, |(first, _)| first), event.index));
        if self.bytes.len() >= ARCHIVE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(span) = self.span.take() else { return Ok(()) };
        self.written.push(write_one(self.dir, self.id, span, &mut self.bytes, 0)?);
        self.bytes.truncate(HEADING_LEN);
        Ok(())
    }

    /// Writes the last one; the list of all.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn finish(mut self) -> io::Result<Vec<ArchiveInfo>> {
        self.write()?;
        Ok(self.written)
    }
}

/// Writes all events of an archive anew, beside it. The caller syncs the folder.
///
/// # Errors
/// Of the system; then the old one stands.
pub(crate) fn rewrite(dir: &Path, id: &StoreId, old: &ArchiveInfo, events: &[EventLeaf]) -> io::Result<ArchiveInfo> {
    let mut bytes = vec![0; HEADING_LEN];
    events.iter().for_each(|event| encode_leaf(&mut bytes, event));
    // A case has to be erased 65,535 times in the reach of one archive before a name comes again.
    write_one(dir, id, (old.first, old.last), &mut bytes, old.anew.checked_add(1).unwrap_or(1))
}

fn write_one(dir: &Path, id: &StoreId, span: (u64, u64), bytes: &mut [u8], anew: u16) -> io::Result<ArchiveInfo> {
    let (first, last) = span;
    let mut heading = Vec::with_capacity(HEADING_LEN);
    heading.extend_from_slice(ARCHIVE_MAGIC);
    heading.extend_from_slice(id);
    heading.extend_from_slice(&first.to_le_bytes());
    heading.extend_from_slice(&last.to_le_bytes());
    let check = labelled(Label::Archive, &[&heading]);
    heading.extend_from_slice(&check);
    bytes[..HEADING_LEN].copy_from_slice(&heading);
    let info = ArchiveInfo { first, last, len: bytes.len() as u64, hash: digest(bytes), anew };
    write_then_rename(&dir.join(info.file()), |out| out.write_all(bytes))?;
    Ok(info)
}

/// The leaves of a file whose digest was right; `None` if they are not numbered as they must be.
pub(crate) fn decode(bytes: &[u8], first: u64) -> Option<Vec<EventLeaf>> {
    let cursor = &mut Cursor::new(bytes);
    cursor.take(HEADING_LEN)?;
    let mut events = Vec::new();
    while cursor.left() > 0 {
        let event = decode_leaf(cursor)?;
        if event.index != first + events.len() as u64 {
            return None;
        }
        events.push(event);
    }
    Some(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(range: std::ops::Range<u64>, len: usize) -> Vec<EventLeaf> {
        range.map(|index| EventLeaf { index, commitment: [index as u8; 32], sealed: vec![1; len] }).collect()
    }

    fn write(dir: &Path, id: &StoreId, events: &[EventLeaf]) -> io::Result<Vec<ArchiveInfo>> {
        let mut writing = Writing::begin(dir, id);
        events.iter().try_for_each(|event| writing.push(event))?;
        writing.finish()
    }

    #[test]
    fn events_come_back_from_as_many_files_as_they_need() {
        let dir = tempfile::tempdir().unwrap();
        let all = events(5..3005, 3000);
        let infos = write(dir.path(), &[1; 16], &all).unwrap();
        assert!(infos.len() > 1);
        let mut back = Vec::new();
        for info in &infos {
            assert!(info.len <= (ARCHIVE_BYTES + 4096) as u64);
            back.extend(info.read(dir.path()).unwrap());
        }
        assert!(back == all);
    }

    #[test]
    fn any_flipped_bit_and_a_missing_file_are_damage() {
        let dir = crate::journal::tests::folder();
        let info = write(dir.path(), &[1; 16], &events(0..3, 10)).unwrap().remove(0);
        let path = dir.path().join(info.file());
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            assert!(matches!(info.read(dir.path()), Err(StoreError::Damaged { .. })), "bit {bit}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(info.read(dir.path()), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn an_archive_written_anew_stands_beside_the_old_one_and_is_told_from_it_in_a_list() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = events(0..5, 300);
        let old = write(dir.path(), &[1; 16], &all).unwrap().remove(0);
        let before = old.read(dir.path()).unwrap();
        all[2].sealed.clear();
        let new = rewrite(dir.path(), &[1; 16], &old, &all).unwrap();
        let newer = rewrite(dir.path(), &[1; 16], &new, &all).unwrap();
        assert!(old.read(dir.path()).unwrap() == before && new.read(dir.path()).unwrap() == all);
        assert_eq!((old.anew, new.anew, newer.anew), (0, 1, 2));
        let mut bytes = Vec::new();
        ArchiveInfo::encode_all(std::slice::from_ref(&newer), &mut bytes);
        assert_eq!(ArchiveInfo::decode_all(&mut Cursor::new(&bytes)), Some(vec![newer]));
    }

    #[test]
    fn a_list_of_archives_with_a_hole_is_refused() {
        let one = |first, last| ArchiveInfo { first, last, len: 1, hash: [0; 32], anew: 0 };
        let listed = |all: &[ArchiveInfo]| {
            let mut bytes = Vec::new();
            ArchiveInfo::encode_all(all, &mut bytes);
            ArchiveInfo::decode_all(&mut Cursor::new(&bytes)).is_some()
        };
        assert!(listed(&[one(0, 4), one(5, 5)]));
        assert!(!listed(&[one(0, 4), one(6, 7)]));
        assert!(!listed(&[one(1, 4)]));
        assert!(!listed(&[one(0, 4), one(5, 4)]), "and one that ends before it begins");
        assert!(!listed(&[one(0, u64::MAX), one(0, 0)]));
    }
}

//! What the index knows of one row: the digest of its value, and where the value lies.
//!
//! Values up to [`SMALL_MAX`] are kept in the index itself; larger ones stay where they were written and the index
//! points there. Refuses an entry with anything left over: an index is derived and can be derived again.

use crate::census::Counted;
use crate::changes::{INLINE_MAX, VALUE_MAX};
use crate::format::{Cursor, Hash, len32};
use crate::journal::Spot;

/// Largest value that is kept in the index itself.
pub(crate) const SMALL_MAX: usize = 256;

const SMALL: u8 = 0;
const JOURNAL: u8 = 1;
const SNAPSHOT: u8 = 2;
const BODY: u8 = 3;

/// One row, as the index knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Digest of the value.
    pub(crate) hash: Hash,
    /// Where the value lies.
    pub(crate) place: Place,
}

/// Where a value lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Here.
    Small(Vec<u8>),
    /// In a segment of the journal.
    Journal { spot: Spot, len: u32 },
    /// In the snapshot the index is based on.
    Snapshot { at: u64, len: u32 },
    /// In a file of its own.
    Body { len: u64 },
}

impl Entry {
    /// The entry of a value that was written at a spot of the journal.
    pub(crate) fn journalled(hash: Hash, value: &[u8], spot: Spot) -> Self {
        Self::of(hash, value, |len| Place::Journal { spot, len })
    }

    /// The entry of a value that stands `at` bytes into the snapshot.
    pub(crate) fn snapshotted(hash: Hash, value: &[u8], at: u64) -> Self {
        Self::of(hash, value, |len| Place::Snapshot { at, len })
    }

    fn of(hash: Hash, value: &[u8], place: impl FnOnce(u32) -> Place) -> Self {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let place = if value.len() <= SMALL_MAX { Place::Small(value.to_vec()) } else { place(len) };
        Self { hash, place }
    }

    /// The entry of a value in a file of its own.
    pub(crate) fn body(hash: Hash, len: u64) -> Self {
        Self { hash, place: Place::Body { len } }
    }

    /// The row as the census counts it.
    pub(crate) fn counted(&self) -> Counted {
        let live = match &self.place {
            Place::Small(value) => value.len() as u64,
            Place::Journal { len, .. } | Place::Snapshot { len, .. } => u64::from(*len),
            Place::Body { .. } => 0,
        };
        Counted { hash: self.hash, live }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        out.extend_from_slice(&self.hash);
        match &self.place {
            Place::Small(value) => {
                out.push(SMALL);
                out.extend_from_slice(value);
            }
            Place::Journal { spot, len } => {
                out.push(JOURNAL);
                out.extend_from_slice(&spot.segment.to_le_bytes());
                out.extend_from_slice(&spot.at.to_le_bytes());
                out.extend_from_slice(&len.to_le_bytes());
            }
            Place::Snapshot { at, len } => {
                out.push(SNAPSHOT);
                out.extend_from_slice(&at.to_le_bytes());
                out.extend_from_slice(&len32(*len as usize));
            }
            Place::Body { len } => {
                out.push(BODY);
                out.extend_from_slice(&len.to_le_bytes());
            }
        }
        out
    }

    /// Reads an entry; `None` for anything [`Entry::encode`] would not have written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let cursor = &mut Cursor::new(bytes);
        let hash = cursor.array()?;
        let inline = |len: &u32| *len as usize <= INLINE_MAX;
        let place = match cursor.u8()? {
            SMALL => Place::Small(cursor.take(cursor.left().min(SMALL_MAX))?.to_vec()),
            JOURNAL => {
                let spot = Spot { segment: cursor.u64()?, at: cursor.u64()? };
                Place::Journal { spot, len: cursor.u32().filter(inline)? }
            }
            SNAPSHOT => Place::Snapshot { at: cursor.u64()?, len: cursor.u32().filter(inline)? },
            BODY => Place::Body { len: cursor.u64().filter(|len| *len <= VALUE_MAX as u64)? },
            _ => return None,
        };
        (cursor.left() == 0).then_some(Self { hash, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_comes_back_and_none_shortened() {
        let spot = Spot { segment: 3, at: 4 };
        let entries = [
            Entry::journalled([1; 32], &[7; SMALL_MAX], spot),
            Entry::journalled([2; 32], &[7; SMALL_MAX + 1], spot),
            Entry::snapshotted([3; 32], &[7; SMALL_MAX + 1], 9),
            Entry::body([4; 32], 1 << 20),
        ];
        assert!(matches!(entries[0].place, Place::Small(_)));
        for entry in entries {
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes).as_ref(), Some(&entry));
            if !matches!(entry.place, Place::Small(_)) {
                assert!((0..bytes.len()).all(|len| Entry::decode(&bytes[..len]).is_none()));
                assert_eq!(Entry::decode(&[bytes, vec![0]].concat()), None);
            }
        }
    }
}

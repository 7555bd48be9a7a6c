//! Count and digest of all rows, kept up to date with every commit and checked against the rows themselves.
//!
//! sled can lose a record without a word after one flipped bit. The census is how that is noticed: the journal carries
//! what it must be, and a start or a scrub counts again. It refuses to be a proof against an adversary who can rewrite
//! the disk; it is a proof against rot.

use crate::changes::Key;
use crate::format::{COUNT_MAX, Cursor, Hash, row_hash};

/// What all rows together amount to. Independent of the order in which rows came and went.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Census {
    /// Rows in all tables.
    pub(crate) rows: u64,
    /// Bytes of values that are not files of their own.
    pub(crate) live: u64,
    /// Sum of the row hashes, lane by lane, modulo 2^64. A sum, not an exclusive or: a row counted twice shows.
    sum: [u64; 4],
}

/// A row as the census sees it.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    /// Digest of the value.
    pub(crate) hash: Hash,
    /// Bytes it takes in the journal or a snapshot; 0 for a body.
    pub(crate) live: u64,
}

impl Census {
    pub(crate) fn add(&mut self, table: u8, key: &Key, row: Counted) {
        self.rows = self.rows.wrapping_add(1);
        self.live = self.live.wrapping_add(row.live);
        for (sum, lane) in self.sum.iter_mut().zip(lanes(table, key, &row)) {
            *sum = sum.wrapping_add(lane);
        }
    }

    pub(crate) fn remove(&mut self, table: u8, key: &Key, row: Counted) {
        self.rows = self.rows.wrapping_sub(1);
        self.live = self.live.wrapping_sub(row.live);
        for (sum, lane) in self.sum.iter_mut().zip(lanes(table, key, &row)) {
            *sum = sum.wrapping_sub(lane);
        }
    }

    /// The digest for [`Stats`](crate::contract::Stats).
    pub(crate) fn digest(&self) -> Hash {
        let mut out = [0; 32];
        for (bytes, lane) in out.chunks_exact_mut(8).zip(self.sum) {
            bytes.copy_from_slice(&lane.to_le_bytes());
        }
        out
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.live.to_le_bytes());
        out.extend_from_slice(&self.digest());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            rows: cursor.u64()?,
            live: cursor.u64()?,
            sum: [cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?],
        })
    }
}

/// What a commit leaves behind: the rows, and how many events there are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Totals {
    /// All rows.
    pub(crate) census: Census,
    /// Event leaves, which is the index of the next one.
    pub(crate) events: u64,
}

impl Totals {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.census.encode(out);
        out.extend_from_slice(&self.events.to_le_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let census = Census::decode(cursor)?;
        Some(Self { census, events: cursor.u64().filter(|events| *events <= COUNT_MAX)? })
    }
}

fn lanes(table: u8, key: &Key, row: &Counted) -> [u64; 4] {
    let hash = row_hash(table, key, &row.hash);
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(hash.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *lane = u64::from_le_bytes(word);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: u8) -> Counted {
        Counted { hash: [value; 32], live: u64::from(value) }
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let (mut there, mut back) = (Census::default(), Census::default());
        there.add(1, &[1; 32], row(1));
        there.add(2, &[2; 32], row(2));
        back.add(2, &[2; 32], row(2));
        back.add(1, &[1; 32], row(1));
        assert_eq!(there, back);
        back.remove(1, &[1; 32], row(1));
        back.remove(2, &[2; 32], row(2));
        assert_eq!(back, Census::default());
    }

    #[test]
    fn table_key_value_and_number_of_times_all_count() {
        let of = |rows: &[(u8, u8, u8)]| {
            let mut census = Census::default();
            rows.iter().for_each(|(table, key, value)| census.add(*table, &[*key; 32], row(*value)));
            census.digest()
        };
        let one = of(&[(1, 1, 1)]);
        assert_ne!(one, of(&[(2, 1, 1)]));
        assert_ne!(one, of(&[(1, 2, 1)]));
        assert_ne!(one, of(&[(1, 1, 2)]));
        assert_ne!(one, of(&[(1, 1, 1), (1, 1, 1), (1, 1, 1)]));
    }

    #[test]
    fn totals_come_back_from_their_encoding() {
        let mut totals = Totals { events: 7, ..Totals::default() };
        totals.census.add(3, &[4; 32], row(5));
        let mut bytes = Vec::new();
        totals.encode(&mut bytes);
        assert_eq!(bytes.len(), 56);
        assert_eq!(Totals::decode(&mut Cursor::new(&bytes)), Some(totals));
        assert_eq!(Totals::decode(&mut Cursor::new(&bytes[1..])), None);
    }
}

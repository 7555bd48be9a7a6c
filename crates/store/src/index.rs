//! Which rows there are and where their values lie: sled, derived from snapshot and journal and never trusted alone.
//!
//! sled 0.34.7 does not sync when it says so and loses records silently after one flipped bit. So it holds nothing that
//! is not in the journal, it is counted against the census at every start and scrub, and a set of fingerprints of all
//! rows is kept in memory: a row sled does not find and the set has is not a missing row but a failed index. Every
//! commit is one sled batch that also carries the number of the commit; one tree, because a batch is atomic in one
//! tree only.
//!
//! ```text
//! 0            store id | last commit
//! 0 | index    sha-256 of the key: this event was closed since the snapshot
//! table | key  entry (see `entry.rs`)
//! 255 | index  up to 64 events from that index on, big endian: { sha-256 | segment | offset | length }
//! ```
//! Refuses to sync: the journal did, before anything came here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::path::Path;

use crate::census::Census;
use crate::changes::{Key, TABLE_MAX, TABLE_MIN};
use crate::entry::{Entry, Place};
use crate::format::{Cursor, Hash, StoreId, digest};
use crate::journal::Spot;
use crate::shelf::{Edit, IndexFailed, Indexed, Shelf};

/// Entries of one batch while an index is filled. sled frees nothing that a batch replaced before its end, and each entry
/// replaces a page: 500 of them took 2 MiB.
pub(crate) const FILL_BATCH: usize = 32;
/// Events that share an entry.
const RUN: usize = 64;
/// Bytes of one of them in it.
const LEAF_PLACE_LEN: usize = 32 + 8 + 8 + 4;
/// Prefix of event keys, above every table.
const EVENTS: u8 = TABLE_MAX + 1;
/// Where the number of the last commit stands, below every table.
const APPLIED: &[u8] = &[TABLE_MIN - 1];

/// An event leaf, as the index knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeafPlace {
    pub(crate) hash: Hash,
    pub(crate) spot: Spot,
    pub(crate) len: u32,
}

/// Changes to the index, made for one commit.
#[derive(Default)]
pub(crate) struct Edits(Vec<Edit>);

impl Edits {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn put(&mut self, table: u8, key: &Key, entry: &Entry) {
        self.0.push((row_key(table, key), Some(entry.encode())));
    }

    pub(crate) fn del(&mut self, table: u8, key: &Key) {
        self.0.push((row_key(table, key), None));
    }

    /// Events that follow each other, from index `first` on.
    pub(crate) fn events(&mut self, first: u64, leaves: &[LeafPlace]) {
        for (index, run) in (first..).step_by(RUN).zip(leaves.chunks(RUN)) {
            let mut places = Vec::with_capacity(run.len() * LEAF_PLACE_LEN);
            run.iter().for_each(|leaf| encode_leaf_place(&mut places, leaf));
            self.0.push((event_key(index), Some(places)));
        }
    }

    /// Events that are closed.
    pub(crate) fn close(&mut self, events: &[u64]) {
        for index in events {
            let key = closed_key(*index);
            let value = digest(&key).to_vec();
            self.0.push((key, Some(value)));
        }
    }

    fn applied(&mut self, id: &StoreId, seq: u64) {
        self.0.push((APPLIED.to_vec(), Some([id.as_slice(), &seq.to_le_bytes()].concat())));
    }
}

/// What a count of the whole index found.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) census: Census,
    /// How many rows name each body, and its length.
    pub(crate) bodies: BTreeMap<Hash, (u32, u64)>,
    /// Stretches of events the index holds, each from its first up to, not including, its end.
    pub(crate) events: Vec<(u64, u64)>,
    /// Events closed since the snapshot. The journal says the same, but for a commit of it that is damaged.
    pub(crate) closed: BTreeSet<u64>,
    present: Present,
}

/// The index of one store.
pub(crate) struct Index {
    id: StoreId,
    shelf: Shelf,
    /// Which rows there are. `None` before an index that was found was counted, and for one in memory.
    present: Option<Present>,
}

impl Index {
    /// Opens an index that is on disk.
    pub(crate) fn open(dir: &Path, id: StoreId) -> Indexed<Self> {
        Ok(Self { id, shelf: Shelf::open(dir)?, present: None })
    }

    /// Makes an empty index on disk, where there is none, to be filled.
    pub(crate) fn create(dir: &Path, id: StoreId) -> Indexed<Self> {
        Ok(Self { id, shelf: Shelf::open_to_fill(dir)?, present: Some(Present::default()) })
    }

    /// An empty index in memory.
    pub(crate) fn in_memory(id: StoreId) -> Self {
        Self { id, shelf: Shelf::in_memory(), present: None }
    }

    /// Closes it. `false` when sled does not come to rest; then its folder must not be used again by this process.
    pub(crate) fn close(self) -> bool {
        self.shelf.close()
    }

    /// Whether it is kept in memory only.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.shelf, Shelf::Memory(_))
    }

    /// The last commit it holds; `None` when it is empty or was made for another store.
    pub(crate) fn applied(&self) -> Indexed<Option<u64>> {
        let Some(bytes) = self.shelf.get(APPLIED)? else { return Ok(None) };
        let cursor = &mut Cursor::new(&bytes);
        let read = cursor.array::<16>().zip(cursor.u64());
        Ok(read.and_then(|(id, seq)| (id == self.id).then_some(seq)))
    }

    /// One row.
    pub(crate) fn row(&self, table: u8, key: &Key) -> Indexed<Option<Entry>> {
        let expected = self.present.as_ref().map(|present| present.has(table, key));
        if expected == Some(false) {
            return Ok(None);
        }
        match self.shelf.get(&row_key(table, key))? {
            Some(bytes) => decoded(&bytes).map(Some),
            None if expected == Some(true) => Err(IndexFailed("it lost a row".to_owned())),
            None => Ok(None),
        }
    }

    /// Up to `limit` rows of a table in key order, behind `after`.
    pub(crate) fn rows(&self, table: u8, after: Option<&Key>, limit: usize) -> Indexed<Vec<(Key, Entry)>> {
        let from = after.map_or(Bound::Included(vec![table]), |key| Bound::Excluded(row_key(table, key)));
        let found = self.shelf.range(from, Bound::Excluded(vec![table.saturating_add(1)]), limit)?;
        found.iter().map(|(key, bytes)| Ok((row_of(key)?.1, decoded(bytes)?))).collect()
    }

    /// Events from index `from` on that share its entry; empty when the index does not hold that one.
    pub(crate) fn events(&self, from: u64) -> Indexed<Vec<LeafPlace>> {
        let Some((key, bytes)) = self.shelf.last_until(event_key(from))? else { return Ok(Vec::new()) };
        if key.first() != Some(&EVENTS) {
            return Ok(Vec::new());
        }
        let skip = usize::try_from(from - event_of(&key)?).unwrap_or(usize::MAX);
        Ok(decode_run(&bytes)?.into_iter().skip(skip).collect())
    }

    /// Applies one commit, all of it or nothing.
    pub(crate) fn apply(&mut self, seq: u64, mut edits: Edits) -> Indexed<()> {
        edits.applied(&self.id, seq);
        self.write(edits.0)
    }

    /// Fills an empty index on disk with everything another holds but its number.
    pub(crate) fn fill_from(&mut self, other: &Self) -> Indexed<()> {
        let mut edits = Vec::new();
        let mut failed = Ok(());
        other.shelf.each(&mut |key, bytes| {
            if failed.is_ok() && key != APPLIED {
                edits.push((key.to_vec(), Some(bytes.to_vec())));
                if edits.len() >= FILL_BATCH {
                    failed = self.write(std::mem::take(&mut edits));
                }
            }
        })?;
        failed?;
        self.write(edits)
    }

    /// Adds to an index that is being filled. It holds no number yet, so a crash leaves one that is not believed.
    pub(crate) fn fill(&mut self, edits: Edits) -> Indexed<()> {
        self.write(edits.0)
    }

    /// Syncs a filled index, gives it its number, and opens it anew in its folder as one in service: without the pages that
    /// filling left in memory.
    pub(crate) fn finish_filling(mut self, dir: &Path, seq: u64) -> Indexed<Self> {
        self.shelf.flush()?;
        self.apply(seq, Edits::default())?;
        if !self.shelf.close() {
            return Err(IndexFailed("it does not come to rest".to_owned()));
        }
        Ok(Self { id: self.id, shelf: Shelf::open(dir)?, present: self.present })
    }

    fn write(&mut self, edits: Vec<Edit>) -> Indexed<()> {
        if let Some(present) = &mut self.present {
            edits.iter().for_each(|(key, value)| present.follow(key, value.is_some()));
        }
        self.shelf.apply(edits)
    }

    /// Counts everything and checks every small value against its digest.
    pub(crate) fn count(&self) -> Indexed<Count> {
        let mut count = Count::default();
        let mut wrong = None;
        self.shelf.each(&mut |key, bytes| {
            if let Err(error) = count.add(key, bytes) {
                wrong = Some(error);
            }
        })?;
        wrong.map_or(Ok(count), Err)
    }

    /// Believes a count that was found right: from now on, a row it counted cannot go missing unnoticed.
    pub(crate) fn trust(&mut self, count: &mut Count) {
        if !self.is_in_memory() {
            self.present = Some(std::mem::take(&mut count.present));
        }
    }

    /// Gives every row to `visit`, in order.
    pub(crate) fn each_row(&self, visit: &mut dyn FnMut(u8, Key, &Entry)) -> Indexed<()> {
        let mut wrong = Ok(());
        self.shelf.each(&mut |key, bytes| {
            if !is_row(key) || wrong.is_err() {
                return;
            }
            match row_of(key).and_then(|(table, key)| Ok((table, key, decoded(bytes)?))) {
                Ok((table, key, entry)) => visit(table, key, &entry),
                Err(error) => wrong = Err(error),
            }
        })?;
        wrong
    }

    /// Makes it fail from now on.
    #[cfg(test)]
    pub(crate) fn break_it(&mut self) {
        self.shelf = Shelf::broken();
    }

    /// Makes it lose a row without a word, as rot in sled does.
    #[cfg(test)]
    pub(crate) fn lose(&mut self, table: u8, key: &Key) {
        self.shelf.apply(vec![(row_key(table, key), None)]).unwrap();
    }

    /// Makes it lose the entry of events that begins with this one.
    #[cfg(test)]
    pub(crate) fn lose_events(&mut self, first: u64) {
        self.shelf.apply(vec![(event_key(first), None)]).unwrap();
    }
}

impl Count {
    fn add(&mut self, key: &[u8], bytes: &[u8]) -> Indexed<()> {
        if key.first() == Some(&EVENTS) {
            return self.add_events(event_of(key)?, decode_run(bytes)?.len() as u64);
        }
        if let Some(index) = closed_of(key) {
            if digest(key) != bytes {
                return Err(unreadable());
            }
            self.closed.insert(index);
            return Ok(());
        }
        if !is_row(key) {
            return Ok(());
        }
        self.present.follow(key, true);
        let (table, key) = row_of(key)?;
        let entry = decoded(bytes)?;
        match &entry.place {
            Place::Small(value) if digest(value) != entry.hash => return Err(unreadable()),
            Place::Body { len } => self.bodies.entry(entry.hash).or_insert((0, *len)).0 += 1,
            Place::Small(_) | Place::Journal { .. } | Place::Snapshot { .. } => {}
        }
        self.census.add(table, &key, entry.counted());
        Ok(())
    }

    fn add_events(&mut self, first: u64, events: u64) -> Indexed<()> {
        let end = first.checked_add(events).ok_or_else(unreadable)?;
        match self.events.last_mut() {
            Some((_, last_end)) if *last_end == first => *last_end = end,
            _ => self.events.push((first, end)),
        }
        Ok(())
    }
}

/// Fingerprints of all rows. Keys are blinded, so half of one tells rows apart as well as the whole.
#[derive(Default)]
struct Present(HashSet<u128>);

impl Present {
    fn has(&self, table: u8, key: &Key) -> bool {
        self.0.contains(&fingerprint(&row_key(table, key)))
    }

    /// Takes in an edit of the index.
    fn follow(&mut self, key: &[u8], there: bool) {
        if !is_row(key) {
            return;
        }
        if there {
            self.0.insert(fingerprint(key));
        } else {
            self.0.remove(&fingerprint(key));
        }
    }
}

fn fingerprint(row: &[u8]) -> u128 {
    const ODD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
    let half = |from: usize| {
        let mut half = [0; 16];
        half.iter_mut().zip(row.iter().skip(from)).for_each(|(to, byte)| *to = *byte);
        u128::from_le_bytes(half)
    };
    let table = row.first().copied().map_or(0, u128::from);
    half(1).wrapping_add(half(17).wrapping_mul(ODD)) ^ (table << 120)
}

fn is_row(key: &[u8]) -> bool {
    key.first().is_some_and(|first| (TABLE_MIN..=TABLE_MAX).contains(first))
}

fn row_key(table: u8, key: &Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(33);
    out.push(table);
    out.extend_from_slice(key);
    out
}

fn row_of(key: &[u8]) -> Indexed<(u8, Key)> {
    let (table, key) = key.split_first().ok_or_else(unreadable)?;
    Ok((*table, key.try_into().map_err(|_| unreadable())?))
}

fn closed_key(index: u64) -> Vec<u8> {
    [APPLIED, &index.to_be_bytes()].concat()
}

fn closed_of(key: &[u8]) -> Option<u64> {
    key.strip_prefix(APPLIED)?.try_into().ok().map(u64::from_be_bytes)
}

fn event_key(index: u64) -> Vec<u8> {
    let mut out = vec![EVENTS];
    out.extend_from_slice(&index.to_be_bytes());
    out
}

fn event_of(key: &[u8]) -> Indexed<u64> {
    let digits = key.get(1..).and_then(|digits| digits.try_into().ok()).ok_or_else(unreadable)?;
    Ok(u64::from_be_bytes(digits))
}

fn encode_leaf_place(out: &mut Vec<u8>, leaf: &LeafPlace) {
    out.extend_from_slice(&leaf.hash);
    out.extend_from_slice(&leaf.spot.segment.to_le_bytes());
    out.extend_from_slice(&leaf.spot.at.to_le_bytes());
    out.extend_from_slice(&leaf.len.to_le_bytes());
}

pub(crate) fn decode_run(bytes: &[u8]) -> Indexed<Vec<LeafPlace>> {
    let mut cursor = Cursor::new(bytes);
    let mut run = Vec::new();
    while cursor.left() > 0 {
        let leaf = (|| {
            let hash = cursor.array()?;
            let spot = Spot { segment: cursor.u64()?, at: cursor.u64()? };
            Some(LeafPlace { hash, spot, len: cursor.u32()? })
        })();
        run.push(leaf.ok_or_else(unreadable)?);
    }
    if run.is_empty() || run.len() > RUN { Err(unreadable()) } else { Ok(run) }
}

fn decoded(bytes: &[u8]) -> Indexed<Entry> {
    Entry::decode(bytes).ok_or_else(unreadable)
}

fn unreadable() -> IndexFailed {
    IndexFailed("an entry is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u64) -> LeafPlace {
        LeafPlace { hash: [n as u8; 32], spot: Spot { segment: 1, at: n }, len: 5 }
    }

    fn with_events(runs: &[(u64, u64)]) -> Index {
        let mut index = Index::in_memory([1; 16]);
        for (first, end) in runs {
            let mut edits = Edits::default();
            edits.events(*first, &(*first..*end).map(leaf).collect::<Vec<_>>());
            index.apply(1, edits).unwrap();
        }
        index
    }

    #[test]
    fn events_are_found_from_any_index_and_counted_in_stretches() {
        let index = with_events(&[(10, 11), (11, 200), (300, 301)]);
        for from in 10..200 {
            assert_eq!(index.events(from).unwrap().first(), Some(&leaf(from)), "{from}");
        }
        assert!([0, 9, 200, 299, 301].iter().all(|from| index.events(*from).unwrap().is_empty()));
        assert_eq!(index.count().unwrap().events, [(10, 200), (300, 301)]);
    }

    #[test]
    fn a_row_sled_lost_is_a_failed_index_and_one_never_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::create(dir.path(), [1; 16]).unwrap();
        let mut edits = Edits::default();
        for n in 0..9 {
            edits.put(1, &[n; 32], &Entry::body([n; 32], 1));
        }
        index.apply(1, edits).unwrap();
        index.lose(1, &[3; 32]);
        assert!(index.row(1, &[3; 32]).is_err());
        assert_eq!(index.row(1, &[9; 32]).unwrap(), None);
        assert_eq!(index.row(2, &[4; 32]).unwrap(), None);
        assert!(index.row(1, &[4; 32]).unwrap().is_some());
        let mut edits = Edits::default();
        edits.del(1, &[4; 32]);
        index.apply(2, edits).unwrap();
        assert_eq!(index.row(1, &[4; 32]).unwrap(), None, "removed, not lost");
    }

    #[test]
    fn closed_events_are_counted_and_hide_neither_rows_nor_events() {
        let mut index = with_events(&[(10, 80)]);
        let mut edits = Edits::default();
        edits.close(&[12, u64::MAX, 12]);
        index.apply(2, edits).unwrap();
        let count = index.count().unwrap();
        assert_eq!((count.closed, count.events, count.census.rows), ([12, u64::MAX].into(), vec![(10, 80)], 0));
        assert_eq!(index.events(13).unwrap().first(), Some(&leaf(13)));
        assert_eq!(index.applied().unwrap(), Some(2));
        index.shelf.apply(vec![(closed_key(13), Some(digest(&closed_key(14)).to_vec()))]).unwrap();
        assert!(index.count().is_err(), "a mark that is not of its event is damage, and closes nothing");
    }

    #[test]
    fn an_entry_of_events_has_some_and_no_more_than_a_run() {
        let run = |leaves: usize| {
            let mut bytes = Vec::new();
            (0..leaves).for_each(|n| encode_leaf_place(&mut bytes, &leaf(n as u64)));
            decode_run(&bytes).map(|run| run.len())
        };
        assert_eq!((run(1), run(RUN)), (Ok(1), Ok(RUN)));
        assert!(run(0).is_err() && run(RUN + 1).is_err());
        let mut cut = Vec::new();
        encode_leaf_place(&mut cut, &leaf(1));
        assert_eq!(cut.len(), LEAF_PLACE_LEN);
        cut.pop();
        assert!(decode_run(&cut).is_err());
    }

    #[test]
    fn every_row_is_visited_once_and_nothing_else_is() {
        let mut index = with_events(&[(10, 80)]);
        let mut edits = Edits::default();
        for n in [3, 1, 2] {
            edits.put(n, &[n; 32], &Entry::body([n; 32], u64::from(n)));
        }
        edits.close(&[12]);
        assert_eq!(edits.len(), 4);
        index.apply(2, edits).unwrap();
        let mut seen = Vec::new();
        index.each_row(&mut |table, key, entry| seen.push((table, key, entry.hash))).unwrap();
        assert_eq!(seen, [1, 2, 3].map(|n| (n, [n; 32], [n; 32])));
        index.shelf.apply(vec![(row_key(2, &[9; 32]), Some(vec![0xff]))]).unwrap();
        assert!(index.each_row(&mut |_, _, _| ()).is_err());
    }

    #[test]
    fn one_that_is_filled_from_another_has_no_number_before_all_of_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::create(dir.path(), [1; 16]).unwrap();
        index.fill_from(&with_events(&[(10, 80)])).unwrap();
        assert_eq!(index.applied().unwrap(), None);
        let index = index.finish_filling(dir.path(), 7).unwrap();
        assert_eq!((index.applied().unwrap(), index.count().unwrap().events), (Some(7), vec![(10, 80)]));
    }

    #[test]
    fn a_small_value_that_rots_in_the_index_is_an_index_that_failed() {
        for value in [[7; 9], [8; 9]] {
            let mut index = Index::in_memory([1; 16]);
            let mut edits = Edits::default();
            edits.put(1, &[1; 32], &Entry { hash: digest(&[7; 9]), place: Place::Small(value.to_vec()) });
            index.apply(1, edits).unwrap();
            assert_eq!(index.count().is_ok(), value == [7; 9]);
        }
    }

    #[test]
    fn an_index_of_another_store_has_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::create(dir.path(), [1; 16]).unwrap();
        index.apply(7, Edits::default()).unwrap();
        assert_eq!(index.applied().unwrap(), Some(7));
        assert!(index.close());
        assert_eq!(Index::open(dir.path(), [2; 16]).unwrap().applied().unwrap(), None);
    }
}

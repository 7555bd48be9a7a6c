//! Which rows there are and where their values lie: sled, derived from snapshot and journal and never trusted alone.
//!
//! sled 0.34.7 does not sync when it says so, loses records silently after one flipped bit, and panics on damage. So it
//! holds nothing that is not in the journal, it is counted against the census at every start and scrub, a panic inside
//! it is caught, and when it fails the same index is kept in memory instead. Every commit is one sled batch that also
//! carries the number of the commit; one tree, because a batch is atomic in one tree only.
//!
//! Refuses to sync: the journal did, before anything came here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::census::Census;
use crate::changes::{Key, TABLE_MAX, TABLE_MIN};
use crate::entry::{Entry, Place};
use crate::format::{Cursor, Hash, StoreId, digest};

/// Memory sled may use for pages. It was measured to use up to two and a half times this.
const CACHE_BYTES: u64 = 32 << 20;
/// How long sled may take to come to rest when it is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// Entries of one batch while an index is filled.
pub(crate) const FILL_BATCH: usize = 2000;
/// Prefix of event keys, above every table.
const EVENTS: u8 = TABLE_MAX + 1;
/// Where the number of the last commit stands, below every table.
const APPLIED: &[u8] = &[TABLE_MIN - 1];

/// The index failed: an error of sled, a panic in it, or an entry nobody wrote. It has to be derived anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFailed(pub(crate) String);

type Indexed<T> = Result<T, IndexFailed>;

/// Changes to the index, made for one commit.
#[derive(Default)]
pub(crate) struct Edits(Vec<(Vec<u8>, Option<Vec<u8>>)>);

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

    pub(crate) fn event(&mut self, index: u64, entry: &Entry) {
        self.0.push((event_key(index), Some(entry.encode())));
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
    /// The stretch of events the index holds; `None` when it holds none.
    pub(crate) events: Option<(u64, u64)>,
    /// Whether that stretch has no hole.
    pub(crate) events_whole: bool,
}

/// The index of one store.
pub(crate) struct Index {
    id: StoreId,
    shelf: Shelf,
}

enum Shelf {
    Sled(Open),
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// An open sled. Its own drop waits for its threads without an end, and one that panicked never comes; so it is dropped
/// on a thread of its own and waited for with a limit.
struct Open(Option<sled::Db>);

impl Open {
    /// Closes it; `false` when it does not come to rest, so that its files must be left alone.
    fn close(&mut self) -> bool {
        let Some(db) = self.0.take() else { return true };
        let (done, closed) = mpsc::channel();
        let closing = move || {
            drop(db);
            let _ = done.send(());
        };
        // Where no thread can be had the closure is dropped here, and sled with it.
        thread::Builder::new().name("index-close".to_owned()).spawn(closing).is_err()
            || closed.recv_timeout(CLOSE_TIMEOUT).is_ok()
    }

    fn run<T>(&self, run: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Indexed<T> {
        let db = self.0.as_ref().ok_or_else(|| IndexFailed("it is closed".to_owned()))?;
        guarded(|| run(db))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

impl Index {
    /// Opens an index on disk, or makes an empty one.
    pub(crate) fn open(dir: &Path, id: StoreId) -> Indexed<Self> {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES);
        let db = guarded(|| config.open())?;
        Ok(Self { id, shelf: Shelf::Sled(Open(Some(db))) })
    }

    /// An empty index in memory.
    pub(crate) fn in_memory(id: StoreId) -> Self {
        Self { id, shelf: Shelf::Memory(BTreeMap::new()) }
    }

    /// Closes it. `false` when sled does not come to rest; then its folder must not be used again by this process.
    pub(crate) fn close(mut self) -> bool {
        match &mut self.shelf {
            Shelf::Sled(open) => open.close(),
            Shelf::Memory(_) => true,
        }
    }

    /// Makes it fail from now on.
    #[cfg(test)]
    pub(crate) fn break_it(&mut self) {
        self.shelf = Shelf::Sled(Open(None));
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
        self.shelf.get(&row_key(table, key))?.map(|bytes| decoded(&bytes)).transpose()
    }

    /// Up to `limit` rows of a table in key order, behind `after`.
    pub(crate) fn rows(&self, table: u8, after: Option<&Key>, limit: usize) -> Indexed<Vec<(Key, Entry)>> {
        let from = after.map_or(Bound::Included(vec![table]), |key| Bound::Excluded(row_key(table, key)));
        let found = self.shelf.range(from, Bound::Excluded(vec![table.saturating_add(1)]), limit)?;
        found.iter().map(|(key, bytes)| Ok((row_of(key)?.1, decoded(bytes)?))).collect()
    }

    /// Up to `limit` events from index `from` on, as far as the index holds them.
    pub(crate) fn events(&self, from: u64, limit: usize) -> Indexed<Vec<(u64, Entry)>> {
        let found = self.shelf.range(Bound::Included(event_key(from)), Bound::Unbounded, limit)?;
        found.iter().map(|(key, bytes)| Ok((event_of(key)?, decoded(bytes)?))).collect()
    }

    /// Applies one commit, all of it or nothing.
    pub(crate) fn apply(&mut self, seq: u64, mut edits: Edits) -> Indexed<()> {
        edits.applied(&self.id, seq);
        self.shelf.apply(edits.0)
    }

    /// Fills an empty index on disk with everything another holds, and syncs it: from then on its number counts.
    pub(crate) fn fill_from(&mut self, other: &Self, seq: u64) -> Indexed<()> {
        let mut edits = Vec::new();
        let mut failed = Ok(());
        other.shelf.each(&mut |key, bytes| {
            if failed.is_ok() && key != APPLIED {
                edits.push((key.to_vec(), Some(bytes.to_vec())));
                if edits.len() >= FILL_BATCH {
                    failed = self.shelf.apply(std::mem::take(&mut edits));
                }
            }
        })?;
        failed?;
        self.shelf.apply(edits)?;
        self.finish_filling(seq)
    }

    /// Adds to an index that is being filled. It holds no number yet, so a crash leaves one that is not believed.
    pub(crate) fn fill(&mut self, edits: Edits) -> Indexed<()> {
        edits.0.chunks(FILL_BATCH).try_for_each(|chunk| self.shelf.apply(chunk.to_vec()))
    }

    /// Syncs a filled index and gives it its number.
    pub(crate) fn finish_filling(&mut self, seq: u64) -> Indexed<()> {
        self.shelf.flush()?;
        self.apply(seq, Edits::default())
    }

    /// Counts everything and checks every small value against its digest.
    pub(crate) fn count(&self) -> Indexed<Count> {
        let mut count = Count { events_whole: true, ..Count::default() };
        let mut wrong = None;
        self.shelf.each(&mut |key, bytes| {
            if let Err(error) = count_one(&mut count, key, bytes) {
                wrong = Some(error);
            }
        })?;
        wrong.map_or(Ok(count), Err)
    }

    /// Gives every row to `visit`, in order.
    pub(crate) fn each_row(&self, visit: &mut dyn FnMut(u8, Key, &Entry)) -> Indexed<()> {
        let mut wrong = Ok(());
        self.shelf.each(&mut |key, bytes| {
            if key == APPLIED || key.first() == Some(&EVENTS) || wrong.is_err() {
                return;
            }
            match row_of(key).and_then(|(table, key)| Ok((table, key, decoded(bytes)?))) {
                Ok((table, key, entry)) => visit(table, key, &entry),
                Err(error) => wrong = Err(error),
            }
        })?;
        wrong
    }
}

fn count_one(count: &mut Count, key: &[u8], bytes: &[u8]) -> Indexed<()> {
    if key == APPLIED {
        return Ok(());
    }
    let entry = decoded(bytes)?;
    if key.first() == Some(&EVENTS) {
        let index = event_of(key)?;
        let (first, last) = count.events.unwrap_or((index, index));
        count.events_whole &= count.events.is_none() || last + 1 == index;
        count.events = Some((first, index));
        return Ok(());
    }
    let (table, key) = row_of(key)?;
    match &entry.place {
        Place::Small(value) if digest(value) != entry.hash => return Err(unreadable()),
        Place::Body { len } => count.bodies.entry(entry.hash).or_insert((0, *len)).0 += 1,
        Place::Small(_) | Place::Journal { .. } | Place::Snapshot { .. } => {}
    }
    count.census.add(table, &key, entry.counted());
    Ok(())
}

impl Shelf {
    fn get(&self, key: &[u8]) -> Indexed<Option<Vec<u8>>> {
        match self {
            Self::Sled(open) => Ok(open.run(|db| db.get(key))?.map(|bytes| bytes.to_vec())),
            Self::Memory(map) => Ok(map.get(key).cloned()),
        }
    }

    fn range(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>, limit: usize) -> Indexed<Vec<(Vec<u8>, Vec<u8>)>> {
        match self {
            Self::Sled(open) => open.run(|db| {
                let found = db.range::<Vec<u8>, _>((from, to)).take(limit);
                found.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
            }),
            Self::Memory(map) => {
                let found = map.range::<Vec<u8>, _>((from, to)).take(limit);
                Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Indexed<()> {
        match self {
            Self::Sled(open) => open.run(|db| {
                db.iter().try_for_each(|pair| {
                    let (key, value) = pair?;
                    visit(&key, &value);
                    Ok(())
                })
            }),
            Self::Memory(map) => {
                map.iter().for_each(|(key, value)| visit(key, value));
                Ok(())
            }
        }
    }

    fn apply(&mut self, edits: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Indexed<()> {
        match self {
            Self::Sled(open) => open.run(|db| {
                let mut batch = sled::Batch::default();
                for (key, value) in edits {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                db.apply_batch(batch)
            }),
            Self::Memory(map) => {
                for (key, value) in edits {
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.remove(&key),
                    };
                }
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> Indexed<()> {
        match self {
            Self::Sled(open) => open.run(|db| db.flush()).map(|_| ()),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// Runs sled with its errors and its panics turned into ours. Nothing of the closure is used after a panic: the index
/// is dropped and derived anew, which is why unwinding through it is safe.
fn guarded<T>(run: impl FnOnce() -> sled::Result<T>) -> Indexed<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(IndexFailed(format!("sled: {error}"))),
        Err(_) => Err(IndexFailed("sled panicked".to_owned())),
    }
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

fn event_key(index: u64) -> Vec<u8> {
    let mut out = vec![EVENTS];
    out.extend_from_slice(&index.to_be_bytes());
    out
}

fn event_of(key: &[u8]) -> Indexed<u64> {
    let digits = key.get(1..).and_then(|digits| digits.try_into().ok()).ok_or_else(unreadable)?;
    Ok(u64::from_be_bytes(digits))
}

fn decoded(bytes: &[u8]) -> Indexed<Entry> {
    Entry::decode(bytes).ok_or_else(unreadable)
}

fn unreadable() -> IndexFailed {
    IndexFailed("an entry is damaged".to_owned())
}

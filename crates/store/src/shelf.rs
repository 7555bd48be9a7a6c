//! What the index stands on: sled, or the same in memory when sled fails. Keys and values are bytes here.
//!
//! sled 0.34.7 panics on damage and can hang when it is closed after a panic. Both end here: an error or a panic
//! becomes [`IndexFailed`], and closing has a limit in time. Refuses to know what a key means.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Memory sled may use for pages; it was measured to use up to two and a half times as much. What is read again comes from
/// the memory of the system, and deposits are as fast as with four times as much.
const CACHE_BYTES: u64 = 1 << 20;
/// How many turns of sled's collector after which what was replaced before them is free.
const FREED_AFTER: usize = 3;
/// How long sled may take to come to rest when it is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How sled says that somebody holds its file. It has no kind of error for it.
const LOCKED: &str = "could not acquire lock";
/// How long somebody may hold it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(10);

/// The index failed: an error of sled, a panic in it, or an entry nobody wrote. It has to be derived anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexFailed(pub(crate) String);

pub(crate) type Indexed<T> = Result<T, IndexFailed>;
/// A key and its new value, or `None` to remove it.
pub(crate) type Edit = (Vec<u8>, Option<Vec<u8>>);
/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Ordered keys and values.
pub(crate) enum Shelf {
    Sled(Open),
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// An open sled. Its own drop waits for its threads without an end, and one that panicked never comes; so it is dropped
/// on a thread of its own and waited for with a limit.
pub(crate) struct Open(Option<sled::Db>);

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

impl Shelf {
    /// Opens sled in a folder, or makes an empty one.
    pub(crate) fn open(dir: &Path) -> Indexed<Self> {
        Self::open_with(dir, sled::Config::default())
    }

    /// As [`Shelf::open`], to be filled, flushed and closed: sled does not flush it now and then by itself. While it does
    /// so, nothing is freed that was replaced meanwhile, and filling replaces tens of megabytes a second.
    pub(crate) fn open_to_fill(dir: &Path) -> Indexed<Self> {
        Self::open_with(dir, sled::Config::default().flush_every_ms(None))
    }

    #[expect(clippy::disallowed_methods, reason = "sled tells nobody when it lets go of its file")]
    fn open_with(dir: &Path, config: sled::Config) -> Indexed<Self> {
        let config = config.path(dir).cache_capacity(CACHE_BYTES);
        let began = Instant::now();
        loop {
            match guarded(|| config.open()) {
                // The folder is ours alone (its own lock says so): this is an index of ours that was closed a moment
                // ago, and a thread of sled's that has not let go of the file yet.
                Err(IndexFailed(why)) if why.contains(LOCKED) && began.elapsed() < LOCK_TIMEOUT => {
                    thread::sleep(LOCK_LOOK_EVERY);
                }
                done => return Ok(Self::Sled(Open(Some(done?)))),
            }
        }
    }

    /// An empty one in memory.
    pub(crate) fn in_memory() -> Self {
        Self::Memory(BTreeMap::new())
    }

    /// One that fails.
    #[cfg(test)]
    pub(crate) fn broken() -> Self {
        Self::Sled(Open(None))
    }

    /// Closes it. `false` when sled does not come to rest; then its folder must not be used again by this process.
    pub(crate) fn close(mut self) -> bool {
        match &mut self {
            Self::Sled(open) => open.close(),
            Self::Memory(_) => true,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Indexed<Option<Vec<u8>>> {
        match self {
            Self::Sled(open) => Ok(open.run(|db| db.get(key))?.map(|bytes| bytes.to_vec())),
            Self::Memory(map) => Ok(map.get(key).cloned()),
        }
    }

    pub(crate) fn range(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>, limit: usize) -> Indexed<Vec<Pair>> {
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

    /// The last pair at or before a key.
    pub(crate) fn last_until(&self, key: Vec<u8>) -> Indexed<Option<Pair>> {
        match self {
            Self::Sled(open) => open.run(|db| {
                let found = db.range::<Vec<u8>, _>(..=key).next_back();
                found.transpose().map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
            }),
            Self::Memory(map) => {
                let found = map.range::<Vec<u8>, _>(..=key).next_back();
                Ok(found.map(|(key, value)| (key.clone(), value.clone())))
            }
        }
    }

    pub(crate) fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Indexed<()> {
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

    pub(crate) fn apply(&mut self, edits: Vec<Edit>) -> Indexed<()> {
        match self {
            Self::Sled(open) => open.run(|db| {
                let mut batch = sled::Batch::default();
                for (key, value) in edits {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                db.apply_batch(batch)?;
                // What the batch replaced is freed now, and not when sled happens to come to it.
                (0..FREED_AFTER).for_each(|_| crossbeam_epoch::pin().flush());
                Ok(())
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

    pub(crate) fn flush(&mut self) -> Indexed<()> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn an_index_that_is_still_being_let_go_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        drop(Shelf::open(dir.path()).unwrap());
        let held = File::open(dir.path().join("db")).unwrap();
        held.lock().unwrap();
        let opening = thread::spawn({
            let dir = dir.path().to_owned();
            move || Shelf::open(&dir).is_ok()
        });
        thread::sleep(20 * LOCK_LOOK_EVERY);
        assert!(!opening.is_finished());
        drop(held);
        assert!(opening.join().unwrap());
    }
}

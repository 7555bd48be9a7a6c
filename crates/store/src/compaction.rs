//! Writing what is live anew, and removing everything older.
//!
//! ```text
//! 1 archives of the events since the last snapshot,
//!   and anew those in which events were closed         unnamed by any snapshot until 4
//! 2 a new, empty segment                               continues the old ones as well as the new snapshot
//! 3 the new index, unfinished                          believed only where the snapshot of its number is the newest
//! 4 the snapshot: written, synced, renamed, folder synced          <- from here on the new store is the store
//! 5 older index, segments, snapshots, archives, cuttings removed
//! ```
//! A crash before 4 leaves the old store and some leftovers; after 4, the new one and some leftovers. Refuses to start
//! when a live row cannot be read: what is dropped here is gone.

use std::io;
use std::path::Path;

use crate::archive::{self, ARCHIVE_BYTES, ArchiveInfo, Writing};
use crate::census::Census;
use crate::changes::{EventLeaf, Key, TABLE_MAX, TABLE_MIN};
use crate::contract::{CommitError, PAGE_ROWS_MAX, StoreError};
use crate::derive::Loss;
use crate::durable::{DurableStore, close};
use crate::entry::{Entry, Place};
use crate::files::{failed, short_name, sync_folder, write_then_rename};
use crate::folder::remove_index;
use crate::format::index_name;
use crate::index::{Edits, FILL_BATCH, Index};
use crate::journal::remove_segments_until;
use crate::opening::{clean_up, remove_cuttings};
use crate::shelf::IndexFailed;
use crate::snapshot::{Snapshot, Writer};
use crate::view::View;

/// Where a compaction can be made to stop, as if the power had gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Step {
    Archives,
    Segment,
    Rows,
    Snapshot,
    Done,
}

/// Compacts a store.
///
/// # Errors
/// As [`Store::compact`](crate::contract::Store::compact).
pub(crate) fn compact(store: &mut DurableStore, loss: Loss) -> Result<(), StoreError> {
    compact_until(store, loss, Step::Done)
}

/// Compacts a store as far as `last`.
pub(crate) fn compact_until(store: &mut DurableStore, loss: Loss, last: Step) -> Result<(), StoreError> {
    if store.journal.is_poisoned() {
        return Err(StoreError::Stopped);
    }
    recount(store)?;
    let point = store.journal.end();
    if point == store.snapshot.point {
        return Ok(());
    }
    let archives = write_archives(store, loss)?;
    if last == Step::Archives {
        return Ok(());
    }
    store.journal.roll().map_err(|error| refused(error, &store.folder.dir))?;
    if last == Step::Segment {
        return Ok(());
    }
    let new = Snapshot { point, totals: store.totals(), archives };
    let index = write_snapshot(store, &new, last)?;
    if last <= Step::Snapshot {
        return Ok(());
    }
    switch(store, new, index)
}

/// Makes sure that what is about to be written is what the commits amount to; mends the index if it is not.
fn recount(store: &DurableStore) -> Result<(), StoreError> {
    let count = store.ask(Index::count)?;
    if count.census == store.totals().census {
        return Ok(());
    }
    store.mend("it does not hold the rows it should".to_owned())
}

/// Writes the events since the last snapshot, joined to the last archive while that is small, and anew every archive in
/// which an event was closed.
fn write_archives(store: &DurableStore, loss: Loss) -> Result<Vec<ArchiveInfo>, StoreError> {
    let dir = &store.folder.dir;
    let mut archives = store.snapshot.archives.clone();
    let end = store.totals().events;
    let mut next = store.snapshot.totals.events;
    if next != end
        && let Some(small) = archives.pop_if(|archive| archive.len < ARCHIVE_BYTES as u64)
    {
        next = small.first;
    }
    for archive in &mut archives {
        rewrite_closed(dir, store, archive, loss)?;
    }
    let failing = || failed("writing event archives in", dir);
    let mut writing = Writing::begin(dir, &store.folder.id);
    while next < end {
        let events = match store.some_events(next, PAGE_ROWS_MAX) {
            Ok(events) if events.first().is_some_and(|event| event.index == next) => events,
            unread if loss == Loss::Refuse => return Err(unread.err().unwrap_or_else(|| store.events_lost())),
            // What is lost keeps its number, so that the others keep theirs.
            Ok(_) | Err(_) => vec![EventLeaf { index: next, commitment: [0; 32], sealed: Vec::new() }],
        };
        next += events.len() as u64;
        events.iter().try_for_each(|event| writing.push(event)).map_err(failing())?;
    }
    archives.extend(writing.finish().map_err(failing())?);
    Ok(archives)
}

/// Writes an archive anew without what was closed in it, beside the one the last snapshot names.
fn rewrite_closed(dir: &Path, store: &DurableStore, archive: &mut ArchiveInfo, loss: Loss) -> Result<(), StoreError> {
    if store.closed.range(archive.first..=archive.last).next().is_none() {
        return Ok(());
    }
    let mut events = match archive.read(dir) {
        Ok(events) => events,
        // What cannot be read is in no file that a loss was not accepted for.
        Err(StoreError::Damaged { .. }) if loss == Loss::Accept => return Ok(()),
        Err(error) => return Err(error),
    };
    close(&mut events, &store.closed);
    *archive =
        archive::rewrite(dir, &store.folder.id, archive, &events).map_err(failed("writing archives anew in", dir))?;
    Ok(())
}

/// Writes the snapshot and, beside it, the index that points into it. Without an index, one is derived later.
fn write_snapshot(store: &mut DurableStore, new: &Snapshot, last: Step) -> Result<Option<Index>, StoreError> {
    let (dir, id) = (store.folder.dir.clone(), store.folder.id);
    let path = new.path(&dir);
    let mut index = empty_index(store, new);
    let mut troubled = None;
    let rows = write_then_rename(&path, |out| {
        let mut writer = Writer::begin(out, &id, new)?;
        let mut census = Census::default();
        let mut filling = Filling { index: &mut index, edits: Edits::default() };
        let done = each_row(store, &mut |table, key, entry| {
            let entry = write_row(store, &mut writer, table, key, entry)?;
            census.add(table, key, entry.counted());
            filling.put(table, key, &entry);
            Ok(())
        });
        filling.flush();
        if let Err(error) = done {
            troubled = Some(error);
            return Err(io::Error::other("stopped"));
        }
        if census != new.totals.census || last == Step::Rows {
            return Err(io::Error::other("the rows are not those that were counted"));
        }
        writer.finish()
    });
    match (rows, troubled) {
        (Ok(()), _) => {}
        (Err(_), Some(error)) => return Err(error),
        (Err(_), None) if last == Step::Rows => return Ok(None),
        (Err(source), None) => return Err(failed("writing", &path)(source)),
    }
    if sync_folder(&dir).is_err() {
        // The old files must stay, and nobody knows which snapshot a crash would leave.
        store.journal.stop();
        return Err(StoreError::Stopped);
    }
    Ok(index)
}

fn empty_index(store: &DurableStore, new: &Snapshot) -> Option<Index> {
    let dir = &store.folder.dir;
    remove_index(dir, new.point.seq).ok()?;
    Index::create(&dir.join(index_name(new.point.seq)), store.folder.id).ok()
}

/// Gives every row to `visit`, table by table, in key order.
pub(crate) fn each_row(
    store: &DurableStore,
    visit: &mut dyn FnMut(u8, &Key, &Entry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for table in TABLE_MIN..=TABLE_MAX {
        let mut after: Option<Key> = None;
        loop {
            let page = store.ask(|index| index.rows(table, after.as_ref(), PAGE_ROWS_MAX))?;
            for (key, entry) in &page {
                visit(table, key, entry)?;
            }
            match page.last() {
                Some((key, _)) => after = Some(*key),
                None => break,
            }
        }
    }
    Ok(())
}

fn write_row<W: io::Write>(
    store: &DurableStore,
    writer: &mut Writer<'_, W>,
    table: u8,
    key: &Key,
    old: &Entry,
) -> Result<Entry, StoreError> {
    let writing = |source| StoreError::Io { doing: "writing", file: "the snapshot".to_owned(), source };
    if let Place::Body { len } = old.place {
        writer.body(table, key, &old.hash, len).map_err(writing)?;
        return Ok(old.clone());
    }
    let value = store.fetch(old)?;
    let at = writer.inline(table, key, &old.hash, &value).map_err(writing)?;
    Ok(Entry::snapshotted(old.hash, &value, at))
}

/// Fills an index in batches; the first failure gives it up.
struct Filling<'f> {
    index: &'f mut Option<Index>,
    edits: Edits,
}

impl Filling<'_> {
    fn put(&mut self, table: u8, key: &Key, entry: &Entry) {
        self.edits.put(table, key, entry);
        if self.edits.len() >= FILL_BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let edits = std::mem::take(&mut self.edits);
        if self.index.as_mut().is_some_and(|index| index.fill(edits).is_err()) {
            *self.index = None;
        }
    }
}

/// Goes over to the new snapshot and removes what it replaces.
fn switch(store: &mut DurableStore, new: Snapshot, index: Option<Index>) -> Result<(), StoreError> {
    let dir = store.folder.dir.clone();
    let filled = index.ok_or_else(|| IndexFailed("it could not be written".to_owned()));
    let seq = new.point.seq;
    let finished = filled.and_then(|index| index.finish_filling(&dir.join(index_name(seq)), seq));
    let totals = new.totals;
    store.snapshot = new;
    store.closed.clear();
    store.last.close();
    match finished {
        Ok(index) => store.view.replace(View::new(index, totals, None)),
        Err(IndexFailed(why)) => {
            let derived = store.derive()?;
            store.view.replace(View::new(derived.index, totals, Some(why)))
        }
    };
    let cleaned = remove_segments_until(&dir, store.snapshot.point.seq)
        .and_then(|_| remove_cuttings(&dir))
        .and_then(|()| clean_up(&dir, &store.snapshot, &store.bodies, true))
        .and_then(|_| sync_folder(&dir));
    cleaned.map_err(failed("removing what is old from", &dir))?;
    store.journal.older_segments_are_gone();
    Ok(())
}

pub(crate) fn refused(error: CommitError, dir: &Path) -> StoreError {
    match error {
        CommitError::NotTaken { doing, source } => StoreError::Io { doing, file: short_name(dir), source },
        CommitError::Full => {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            StoreError::Io { doing: "starting a new segment in", file: short_name(dir), source }
        }
        CommitError::Conflict { .. }
        | CommitError::WrongGeneration { .. }
        | CommitError::EventGap { .. }
        | CommitError::NoSuchEvent(_)
        | CommitError::Refused(_)
        | CommitError::Unreadable(_)
        | CommitError::Fatal { .. } => StoreError::Stopped,
    }
}

#[cfg(test)]
mod tests;

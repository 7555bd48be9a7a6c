//! The store of a node: the journal is the truth, sled an index derived from it, large values files of their own.
//!
//! A commit is: check expectations, make bodies durable, append one record and sync it. The index is told afterwards, in
//! [`Store::settle`] or before anything is asked of it, and that cannot fail the commit. When sled fails, the same index is
//! derived in memory and the store goes on.
//!
//! Refuses to go on after a failed sync, to share its folder, and to return a byte that is not what was committed.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use crate::archive::ArchiveInfo;
use crate::bodies::Bodies;
use crate::census::Totals;
use crate::changes::{Changes, EventLeaf, INLINE_MAX, Key, ROWS_MAX, usable};
use crate::contract::{CommitError, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Stats, Store, StoreError};
pub use crate::derive::Loss;
use crate::derive::{Derived, Sources, derive, fetch, fetch_leaf, leaf_place};
use crate::entry::{Entry, Place};
use crate::files::LastFile;
use crate::finding::Finding;
use crate::folder::{Folder, OpenError};
use crate::format::{Hash, digest, segment_name};
use crate::index::{Edits, Index};
use crate::journal::{Journal, Spot, Through, plain};
use crate::opening::{self, Opened};
use crate::record::{self, Places};
use crate::room::{BALLAST_BYTES, Room, compaction_due, keep_ballast, spend_ballast};
use crate::shelf::IndexFailed;
use crate::snapshot::Snapshot;
use crate::view::View;

/// Commitments of the newest events that are kept at hand, 1 MiB: a log signs over them soon after.
const RECENT_MAX: usize = 32 << 10;

/// A store on disk.
pub struct DurableStore {
    pub(crate) folder: Folder,
    pub(crate) snapshot: Snapshot,
    pub(crate) journal: Journal,
    pub(crate) bodies: Bodies,
    pub(crate) last: LastFile,
    /// Events closed since the snapshot. In the files they still lie as they were written, until the next compaction.
    pub(crate) closed: BTreeSet<u64>,
    /// Commitments of events that were committed since it was opened, up to the newest.
    recent: VecDeque<Hash>,
    /// In a cell because a read may find that the index failed, and mends it. One thread, no borrow outlives a call.
    pub(crate) view: RefCell<View>,
}

/// What a commit does to the rows, worked out before anything is written.
struct Staged {
    hashes: Vec<Hash>,
    after: Totals,
    /// Bodies that rows of this commit name, and bodies that rows named before it.
    added: Vec<Hash>,
    dropped: Vec<Hash>,
}

impl DurableStore {
    /// Opens the store in a folder, or makes one if the folder is missing or empty. Returns everything that was found
    /// to be wrong and is not in the way: it belongs in the operator's log.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path) -> Result<(Self, Vec<Finding>), OpenError> {
        Self::open_through(dir, plain)
    }

    /// Like [`DurableStore::open`], but the journal is never synced. A planted bug: a power-cut harness that does not
    /// find it proves nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    #[cfg(feature = "planted")]
    pub fn open_without_sync(dir: &Path) -> Result<(Self, Vec<Finding>), OpenError> {
        Self::open_through(dir, || Box::new(|file| Box::new(crate::planted::NeverSynced(file))))
    }

    /// Opens with a say in how the journal reaches the disk.
    pub(crate) fn open_through(dir: &Path, through: impl Fn() -> Through) -> Result<(Self, Vec<Finding>), OpenError> {
        let is_scarce = || Room::of(dir).is_ok_and(|room| room.bytes < BALLAST_BYTES);
        let mut spent = dir.exists() && is_scarce() && spend_ballast(dir);
        let mut opened = Folder::take(dir).and_then(|folder| opening::open(folder, through()));
        if matches!(opened, Err(OpenError::Full)) && spend_ballast(dir) {
            spent = true;
            opened = Folder::take(dir).and_then(|folder| opening::open(folder, through()));
        }
        let (mut store, mut findings) = Self::in_service(opened?);
        if spent || !keep_ballast(dir) {
            findings.push(Finding::NoReserve);
        }
        if findings.iter().any(|finding| matches!(finding, Finding::RowsDisagree { .. })) {
            // Commits counted rows wrongly because the index misled them. A snapshot of what is true ends that; if it
            // cannot be written now, the next start finds the same and tries again.
            let _ = store.compact();
        }
        Ok((store, findings))
    }

    /// Derives the index anew from snapshot and journal, whatever state it is in, and puts it on disk.
    ///
    /// With [`Loss::Accept`] it also serves what is left of a store that does not open: commits that cannot be read are
    /// left out, so a row may be missing or be an older one; rows that cannot be read are removed, lost events keep
    /// their number and are empty; then everything is compacted. Make a copy of the folder first.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn rebuild(dir: &Path, loss: Loss) -> Result<Vec<Finding>, OpenError> {
        let (opened, given_up) = opening::rebuild(Folder::take_existing(dir)?, loss)?;
        let (mut store, mut findings) = Self::in_service(opened);
        if loss == Loss::Accept {
            let rows = store.remove_unreadable()?;
            crate::compaction::compact(&mut store, loss)?;
            let (lost, commits) = given_up;
            if lost + rows + commits > 0 {
                findings.push(Finding::GivenUp { rows: lost + rows, commits });
            }
        }
        Ok(findings)
    }

    /// Removes every row whose value is damaged or missing, as ordinary commits. Returns how many.
    fn remove_unreadable(&mut self) -> Result<u64, OpenError> {
        let mut damaged = Vec::new();
        crate::compaction::each_row(self, &mut |table, key, entry| match self.fetch(entry) {
            Err(StoreError::Damaged { .. }) => {
                damaged.push((table, *key));
                Ok(())
            }
            other => other.map(|_| ()),
        })?;
        for dels in damaged.chunks(ROWS_MAX) {
            let changes = Changes { generation: self.generation(), dels: dels.to_vec(), ..Changes::default() };
            self.commit(&changes).map_err(|error| {
                let file = self.folder.dir.display().to_string();
                OpenError::Io { doing: "removing damaged rows from", file, source: std::io::Error::other(error) }
            })?;
        }
        Ok(damaged.len() as u64)
    }

    pub(crate) fn in_service(opened: Opened) -> (Self, Vec<Finding>) {
        let Opened { folder, snapshot, journal, index, bodies, totals, closed, findings } = opened;
        let view = RefCell::new(View::new(index, totals, None));
        let (last, recent) = (LastFile::default(), VecDeque::new());
        (Self { folder, snapshot, journal, bodies, last, closed, recent, view }, findings)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.view.borrow().totals
    }

    /// Asks the index. If it fails, derives it anew in memory and asks once more.
    pub(crate) fn ask<T>(&self, question: impl Fn(&Index) -> Result<T, IndexFailed>) -> Result<T, StoreError> {
        self.tell()?;
        let IndexFailed(why) = match question(&self.view.borrow().index) {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        self.mend(why)?;
        question(&self.view.borrow().index).map_err(|IndexFailed(file)| StoreError::Damaged { file, offset: 0 })
    }

    /// Tells the index of the newest commit, if it was not told yet.
    fn tell(&self) -> Result<(), StoreError> {
        if self.journal.is_poisoned() {
            return Err(StoreError::Stopped);
        }
        let told = self.view.borrow_mut().tell();
        told.or_else(|IndexFailed(why)| self.mend(why))
    }

    /// Another index, with every commit that was made.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] also when the files end before the newest commit.
    pub(crate) fn derive(&self) -> Result<Derived, StoreError> {
        let derived = derive(&self.folder.dir, &self.folder.id, &self.snapshot, Loss::Refuse)?;
        if derived.walked.end.seq == self.generation() {
            return Ok(derived);
        }
        Err(StoreError::Damaged { file: self.journal.file_name(), offset: 0 })
    }

    /// Replaces a failed index by one in memory.
    pub(crate) fn mend(&self, why: String) -> Result<(), StoreError> {
        let derived = self.derive()?;
        *self.view.borrow_mut() = View::new(derived.index, derived.totals, Some(why));
        Ok(())
    }

    pub(crate) fn fetch(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        fetch(&self.sources(), entry)
    }

    fn sources(&self) -> Sources<'_> {
        Sources { dir: &self.folder.dir, snapshot: &self.snapshot, bodies: &self.bodies, last: &self.last }
    }

    fn check(&self, changes: &Changes) -> Result<(), CommitError> {
        changes.check()?;
        let store = self.generation();
        if changes.generation != store {
            return Err(CommitError::WrongGeneration { store, caller: changes.generation });
        }
        for (expected, event) in (self.totals().events..).zip(&changes.events) {
            if event.index != expected {
                return Err(CommitError::EventGap { expected, found: event.index });
            }
        }
        let events = self.totals().events;
        if let Some(index) = changes.closes.iter().find(|index| **index >= events) {
            return Err(CommitError::NoSuchEvent(*index));
        }
        for (table, key) in &changes.must_be_new {
            if self.row(*table, key)?.is_some() {
                return Err(CommitError::Conflict { table: *table, key: *key });
            }
        }
        Ok(())
    }

    fn row(&self, table: u8, key: &Key) -> Result<Option<Entry>, CommitError> {
        self.ask(|index| index.row(table, key)).map_err(CommitError::Unreadable)
    }

    fn stage(&self, changes: &Changes) -> Result<Staged, CommitError> {
        let mut staged = Staged { hashes: Vec::new(), after: self.totals(), added: Vec::new(), dropped: Vec::new() };
        // Rows that had to be new were just looked up and are not there.
        let new: BTreeSet<&(u8, Key)> = changes.must_be_new.iter().collect();
        let named = changes.puts.iter().map(|put| (put.table, put.key)).chain(changes.dels.iter().copied());
        for (table, key) in named.filter(|row| !new.contains(row)) {
            let Some(old) = self.row(table, &key)? else { continue };
            staged.after.census.remove(table, &key, old.counted());
            if matches!(old.place, Place::Body { .. }) {
                staged.dropped.push(old.hash);
            }
        }
        for put in &changes.puts {
            let hash = digest(&put.value);
            let entry = entry_of(hash, &put.value, Spot { segment: 0, at: 0 });
            staged.after.census.add(put.table, &put.key, entry.counted());
            if matches!(entry.place, Place::Body { .. }) {
                staged.added.push(hash);
            }
            staged.hashes.push(hash);
        }
        staged.after.events += changes.events.len() as u64;
        Ok(staged)
    }

    /// Notes what a durable commit does to the index.
    fn enter(&mut self, changes: &Changes, staged: &Staged, places: &Places, spot: Spot) {
        let before = self.totals();
        let mut edits = Edits::default();
        let within = |at: &usize| Spot { at: spot.at + *at as u64, ..spot };
        for ((put, hash), at) in changes.puts.iter().zip(&staged.hashes).zip(&places.values) {
            edits.put(put.table, &put.key, &entry_of(*hash, &put.value, within(at)));
        }
        changes.dels.iter().for_each(|(table, key)| edits.del(*table, key));
        let mut bytes = Vec::new();
        let leaves = changes.events.iter().zip(&places.events).map(|(event, at)| {
            bytes.clear();
            record::encode_leaf(&mut bytes, event);
            leaf_place(&bytes, within(at))
        });
        edits.events(before.events, &leaves.collect::<Vec<_>>());
        edits.close(&changes.closes);
        let seq = self.journal.end().seq;
        self.view.get_mut().owe(seq, edits, staged.after);
    }

    /// That the index lacks events which the journal counts.
    pub(crate) fn events_lost(&self) -> StoreError {
        StoreError::Damaged { file: segment_name(self.journal.segment()), offset: 0 }
    }

    /// Up to `limit` events from `from` on that lie in one place: one archive, or one entry of the index. Empty when
    /// `from` is lost, though it is below the count.
    pub(crate) fn some_events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        let mut events = self.written_events(from, limit)?;
        close(&mut events, &self.closed);
        Ok(events)
    }

    /// [`DurableStore::some_events`] as they were written, what was closed since included.
    fn written_events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        if let Some(archive) = self.archive_of(from) {
            let all = archive.read(&self.folder.dir)?;
            let skip = usize::try_from(from - archive.first).unwrap_or(usize::MAX);
            return Ok(all.into_iter().skip(skip).take(limit).collect());
        }
        let mut events = Vec::new();
        for place in self.ask(|index| index.events(from))?.iter().take(limit) {
            match fetch_leaf(&self.sources(), place) {
                Ok(event) => events.push(event),
                Err(error) if events.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(events)
    }

    fn archive_of(&self, event: u64) -> Option<&ArchiveInfo> {
        let at = self.snapshot.archives.partition_point(|archive| archive.last < event);
        self.snapshot.archives.get(at)
    }
}

/// Drops what was sealed in those of `events` that are closed.
pub(crate) fn close(events: &mut [EventLeaf], closed: &BTreeSet<u64>) {
    events.iter_mut().filter(|event| closed.contains(&event.index)).for_each(|event| event.sealed = Vec::new());
}

fn entry_of(hash: Hash, value: &[u8], spot: Spot) -> Entry {
    if value.len() > INLINE_MAX { Entry::body(hash, value.len() as u64) } else { Entry::journalled(hash, value, spot) }
}

impl Store for DurableStore {
    fn generation(&self) -> u64 {
        self.journal.end().seq
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        self.journal.alive()?;
        self.tell().map_err(CommitError::Unreadable)?;
        self.check(changes)?;
        let staged = self.stage(changes)?;
        let large = changes.puts.iter().zip(&staged.hashes).filter(|(put, _)| put.value.len() > INLINE_MAX);
        let large: Vec<(Hash, &[u8])> = large.map(|(put, hash)| (*hash, put.value.as_slice())).collect();
        let made = self.bodies.write(&large).inspect_err(|error| {
            if error.is_fatal() {
                self.journal.stop();
            }
        })?;
        let mut places = Places::default();
        let fill = |out: &mut Vec<u8>| places = record::encode(out, changes, &staged.hashes, &staged.after);
        let spot = self.journal.append(fill).inspect_err(|error| {
            if !error.is_fatal() {
                self.bodies.discard(&made);
            }
        })?;
        // Durable from here on: nothing below may fail.
        self.enter(changes, &staged, &places, spot);
        self.closed.extend(&changes.closes);
        self.recent.extend(changes.events.iter().map(|event| event.commitment));
        self.recent.drain(..self.recent.len().saturating_sub(RECENT_MAX));
        self.bodies.settle(&staged.added, &staged.dropped);
        Ok(self.generation())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.tell()
    }

    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        usable(table)?;
        self.ask(|index| index.row(table, key))?.map(|entry| self.fetch(&entry)).transpose()
    }

    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError> {
        usable(table)?;
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        // One more than asked for tells whether the page is the last.
        let entries = self.ask(|index| index.rows(table, after.as_ref(), limit + 1))?;
        let mut page = Page::default();
        let mut bytes = 0;
        for (n, (key, entry)) in entries.iter().take(limit).enumerate() {
            match self.fetch(entry) {
                Ok(value) => {
                    bytes += value.len();
                    page.rows.push((*key, value));
                }
                Err(StoreError::Damaged { .. }) => page.damaged.push(*key),
                Err(error) => return Err(error),
            }
            if (bytes >= PAGE_BYTES_MAX || n + 1 == limit) && n + 1 < entries.len() {
                page.next = Some(*key);
                break;
            }
        }
        Ok(page)
    }

    fn event_count(&self) -> u64 {
        self.totals().events
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let mut events: Vec<EventLeaf> = Vec::new();
        while events.len() < limit && from + (events.len() as u64) < self.event_count() {
            match self.some_events(from + events.len() as u64, limit - events.len()) {
                Ok(more) if !more.is_empty() => events.extend(more),
                unread if events.is_empty() => return Err(unread.err().unwrap_or_else(|| self.events_lost())),
                _ => break,
            }
        }
        Ok(events)
    }

    fn commitments(&self, from: u64, limit: usize) -> Result<Vec<Hash>, StoreError> {
        let skip = from.checked_sub(self.event_count() - self.recent.len() as u64);
        match skip.and_then(|skip| usize::try_from(skip).ok()) {
            Some(_) if self.journal.is_poisoned() => Err(StoreError::Stopped),
            Some(skip) => Ok(self.recent.iter().skip(skip).take(limit.min(PAGE_ROWS_MAX)).copied().collect()),
            None => Ok(self.events(from, limit)?.iter().map(|event| event.commitment).collect()),
        }
    }

    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError> {
        crate::scrub::scrub(self)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        crate::compaction::compact(self, Loss::Refuse)
    }

    fn pin(&mut self, into: &Path) -> Result<(), StoreError> {
        crate::backup::pin(self, into)
    }

    fn stats(&self) -> Stats {
        let (totals, view) = (self.totals(), self.view.borrow());
        let room = Room::of(&self.folder.dir);
        Stats {
            generation: self.generation(),
            rows: totals.census.rows,
            digest: totals.census.digest(),
            events: totals.events,
            live_bytes: totals.census.live,
            journal_bytes: self.journal.bytes(),
            compaction_due: compaction_due(self.journal.bytes(), totals.census.live),
            free_bytes: room.as_ref().map_or(0, |room| room.bytes),
            low_on_space: room.map_or(true, Room::is_low),
            index_in_memory: view.index.is_in_memory(),
        }
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        // The next start would do it, too; and derives the index anew, if it failed.
        let _ = self.view.get_mut().tell();
    }
}

#[cfg(test)]
mod rot;

#[cfg(test)]
mod salvage;
#[cfg(test)]
mod tests;

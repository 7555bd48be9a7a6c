//! The contract every back end keeps: one way in, few ways out.
//!
//! # Who calls
//! One owner thread. The trait is synchronous on purpose: a commit *is* a disk sync, there is exactly one writer, and
//! decisions follow each other. An `async` trait would only hide the thread that blocks; here the owner task runs on a
//! thread of its own and the network never waits on this lock, because there is none. `Send` but not `Sync`.
//!
//! # What is promised
//! * **Atomic.** After a crash at any instant either all of a batch is there or nothing of it: rows, removals and
//!   event leaves together.
//! * **Durable on return.** `commit` returns `Ok` only after the batch would survive a power cut, on a disk that
//!   honours a flush.
//! * **Expected.** Generation, `must_be_new`, the next event number and the events to close are checked before the first
//!   byte is written.
//! * **Ordered.** Generations count commits from 0 (empty) without a gap.
//! * **Chained and checked.** What is stored is covered by digests from the commit on. A damaged row is an error with
//!   a name when it is read, and a [`Finding`] of the next scrub. It is never an absent row and never a wrong value.
//! * **Erasable.** After [`Store::compact`] returns, no file of the store holds bytes of a row that was overwritten or
//!   removed before, nor what was sealed in an event that was closed before. (The medium may; that is why values are
//!   sealed under keys that are destroyed.)
//!
//! # What is not promised
//! A store does not seal, does not know what a row means, and does not notice that its whole folder was replaced by
//! an older copy of itself: witnesses of the audit log do.
//!
//! `conformance.rs` holds any implementation against this page.

use std::io;
use std::path::Path;

use crate::changes::{Changes, EventLeaf, Key, Refusal};
use crate::finding::Finding;

/// Rows of one page at most.
pub const PAGE_ROWS_MAX: usize = 1024;
/// A page ends early once it holds this many bytes, so that a page of large rows stays small. It always holds a row.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// Where a node keeps what it must not lose. See the module for the whole contract.
pub trait Store: Send {
    /// How many commits are in the store.
    fn generation(&self) -> u64;

    /// Makes one batch durable, all of it or nothing. Returns the new generation, which is `changes.generation + 1`.
    ///
    /// # Errors
    /// See [`CommitError`]. After every error but [`CommitError::Fatal`] nothing has changed and the store goes on.
    /// After `Fatal` it is unknown whether the batch is there; the process must stop, and the next start tells.
    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError>;

    /// Does what a commit left to be done once its answer is out. Whoever never calls it loses nothing: the next call of
    /// anything else does it.
    ///
    /// # Errors
    /// The store cannot be read any more: stop the process and start it again. What was committed stays.
    fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The value of one row, verified; `None` when there is no such row.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the row exists and its bytes are not those that were committed.
    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// One page of a table in key order, starting behind `after` (`None`: at the beginning). At most `limit` rows and
    /// never more than [`PAGE_ROWS_MAX`] or about [`PAGE_BYTES_MAX`]. Only [`Page::next`] says whether more follow.
    ///
    /// # Errors
    /// As for the whole read; a damaged row does not fail the page but is listed in [`Page::damaged`].
    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError>;

    /// How many event leaves there are, which is the index of the next one.
    fn event_count(&self) -> u64;

    /// Event leaves from index `from` on, in order and without a gap; empty when there are none from there on. At most
    /// `limit`, and never more than [`PAGE_ROWS_MAX`]. A closed one has its commitment and nothing sealed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the leaf at `from` is damaged; a page ends before a damaged leaf.
    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError>;

    /// The commitments alone of [`Store::events`], for whoever signs over them. A back end may have the newest at hand.
    ///
    /// # Errors
    /// As [`Store::events`].
    fn commitments(&self, from: u64, limit: usize) -> Result<Vec<[u8; 32]>, StoreError> {
        Ok(self.events(from, limit)?.iter().map(|event| event.commitment).collect())
    }

    /// Reads and verifies everything: every file, row, body and event. Meant for once a day. Heals what is derived
    /// (the index) and names what is lost.
    ///
    /// # Errors
    /// Only when the scrub itself could not run; damage is a finding.
    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError>;

    /// Rewrites what is live and removes everything older. A crash in it leaves the old store or the new one.
    /// To be called when [`Stats::compaction_due`] says so, and by an erasure after it committed the surviving key
    /// wraps under their new key and before it destroys the old key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a live row cannot be read: write or remove the row first. [`StoreError::Io`] when
    /// there is no room. Either leaves the store as it was.
    fn compact(&mut self) -> Result<(), StoreError>;

    /// Counts and sizes. Cheap enough for every tick.
    fn stats(&self) -> Stats;

    /// Puts the store as it is after the last commit into an empty folder, as second names of its files: quick however
    /// large it is, and later commits, compactions and erasures leave it as it was. To be read and removed, never opened:
    /// what is opened there would be changed in both places. The folder is on the same file system.
    ///
    /// # Errors
    /// [`StoreError::Io`]; of the kind unsupported for a store without files.
    fn pin(&mut self, into: &Path) -> Result<(), StoreError> {
        let source = io::Error::from(io::ErrorKind::Unsupported);
        Err(StoreError::Io { doing: "copying to", file: into.display().to_string(), source })
    }
}

/// One page of a table.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows in key order.
    pub rows: Vec<(Key, Vec<u8>)>,
    /// Keys of rows in this stretch whose value is damaged or missing.
    pub damaged: Vec<Key>,
    /// Give this as `after` for the next page; `None` when the table is at its end.
    pub next: Option<Key>,
}

/// Counts and sizes of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commits.
    pub generation: u64,
    /// Rows in all tables.
    pub rows: u64,
    /// Order-independent digest of all rows: equal rows, equal digest, in every back end.
    pub digest: [u8; 32],
    /// Event leaves.
    pub events: u64,
    /// Bytes of live values that are not files of their own.
    pub live_bytes: u64,
    /// Bytes of journal since the last compaction; 0 where there is no journal.
    pub journal_bytes: u64,
    /// Whether [`Store::compact`] is worth its time now.
    pub compaction_due: bool,
    /// Bytes free on the disk; `u64::MAX` where there is no disk.
    pub free_bytes: u64,
    /// Whether free space is below the low-water mark: new work is to be refused, receipts and revocations not.
    pub low_on_space: bool,
    /// Whether the index runs from memory because the one on disk failed.
    pub index_in_memory: bool,
}

/// Why a batch was not committed. Nothing has changed, except after [`CommitError::Fatal`].
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row that had to be new exists.
    #[error("a row of table {table} that had to be new exists already; nothing was changed")]
    Conflict {
        /// Its table.
        table: u8,
        /// Its blinded key.
        key: Key,
    },
    /// The caller decided upon another generation than the store has: there is a second owner, or the caller's memory
    /// is not the store's. Stop and start again.
    #[error("decided upon generation {caller}, but the store is at {store}; stop and start again")]
    WrongGeneration {
        /// The store's.
        store: u64,
        /// The caller's.
        caller: u64,
    },
    /// Event leaves must be numbered on without a gap.
    #[error("the next event is {expected}, but {found} was given; nothing was changed")]
    EventGap {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An event that is to be closed does not exist before this batch.
    #[error("event {0} is to be closed and does not exist; nothing was changed")]
    NoSuchEvent(u64),
    /// The batch breaks a limit, and always will.
    #[error("the batch was refused: {0}")]
    Refused(#[from] Refusal),
    /// The disk is full. Nothing was taken; free space and try again.
    #[error("the disk is full: nothing was taken; free some space and send again")]
    Full,
    /// Writing failed before anything was taken. The store goes on; try again later.
    #[error("{doing} failed: nothing was taken; try again later")]
    NotTaken {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The expectations could not be checked because the store could not be read. Nothing was taken.
    #[error("the batch could not be checked against the store: nothing was taken")]
    Unreadable(#[source] StoreError),
    /// The disk did not confirm a write. Whether the batch is there is unknown until the next start. Never retried.
    #[error("{doing} failed and the disk can no longer be trusted; stop the process and start it again")]
    Fatal {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl CommitError {
    /// The error for a write that failed before the sync: [`CommitError::Full`] when the disk or quota is full.
    #[must_use]
    pub fn not_taken(doing: &'static str, source: io::Error) -> Self {
        if is_full(&source) { Self::Full } else { Self::NotTaken { doing, source } }
    }

    /// Whether the process has to stop.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. } | Self::WrongGeneration { .. })
    }
}

/// Why a read, a scrub or a compaction failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes in this file are not those that were committed.
    #[error("{file}: damaged at byte {offset}; run a scrub to see what is affected")]
    Damaged {
        /// The file, relative to the store's folder.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// Reading or writing failed.
    #[error("{doing} {file} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file, relative to the store's folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The question itself was wrong.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// An earlier sync failed. Stop the process and start it again.
    #[error("an earlier write was not confirmed by the disk; stop the process and start it again")]
    Stopped,
}

/// Whether an error of the system means that there is no room: disk, quota, or the process's file size limit.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_room_is_a_full_disk() {
        let told = |kind: io::ErrorKind| CommitError::not_taken("writing", kind.into());
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge] {
            assert!(matches!(told(kind), CommitError::Full), "{kind}");
        }
        for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(told(kind), CommitError::NotTaken { doing: "writing", .. }), "{kind}");
        }
    }
}

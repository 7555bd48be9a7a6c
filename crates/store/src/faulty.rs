//! A store that fails on demand, for tests of whoever stands above one; and one that lies, for tests of the judge.
//!
//! A [`Fault`] is something an honest store may do. A [`Lie`] breaks the contract, and `conformance.rs` must notice
//! each of them. Refuses to keep anything itself: it wraps a real store.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::changes::{Changes, EventLeaf, Key};
use crate::contract::{CommitError, Page, Stats, Store, StoreError};
use crate::finding::Finding;

/// What the next commit shall meet. All of these are within the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is taken, and the caller is told so.
    NotTaken,
    /// Nothing is taken because the disk is full.
    Full,
    /// The sync fails and the batch is lost. The store stops.
    FatalAndLost,
    /// The sync fails and the batch is there all the same. The store stops.
    FatalButSaved,
    /// The commit takes this long and then succeeds.
    Slow(Duration),
}

/// A way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Says yes and writes nothing.
    ForgetsBatches,
    /// Leaves out the last row of each batch.
    ForgetsARow,
    /// Leaves out removals.
    ForgetsRemovals,
    /// Leaves out event leaves but counts them in none.
    ForgetsEvents,
    /// Takes rows that had to be new over those that are there.
    IgnoresMustBeNew,
    /// Takes a batch decided upon any generation.
    IgnoresGeneration,
    /// Renumbers event leaves instead of refusing a gap.
    IgnoresGaps,
    /// Reports a conflict, having written the rest.
    WritesBeforeChecking,
    /// Changes a byte of what it returns.
    ReturnsOtherBytes,
    /// Leaves out the last row of a page.
    SkipsRows,
    /// Mixes up tables.
    MixesTables,
    /// Forgets a row while it compacts.
    LosesRowsInCompaction,
    /// Says that events are closed and keeps what was sealed in them.
    ForgetsToClose,
    /// Closes the event behind the one that was named.
    ClosesAnother,
    /// Takes closes of events that do not exist.
    ClosesWhatIsNotThere,
}

impl Lie {
    /// Every lie.
    pub const ALL: [Self; 15] = [
        Self::ForgetsBatches,
        Self::ForgetsARow,
        Self::ForgetsRemovals,
        Self::ForgetsEvents,
        Self::IgnoresMustBeNew,
        Self::IgnoresGeneration,
        Self::IgnoresGaps,
        Self::WritesBeforeChecking,
        Self::ReturnsOtherBytes,
        Self::SkipsRows,
        Self::MixesTables,
        Self::LosesRowsInCompaction,
        Self::ForgetsToClose,
        Self::ClosesAnother,
        Self::ClosesWhatIsNotThere,
    ];
}

/// A store that fails as planned.
pub struct Faulty<S> {
    inner: S,
    plan: VecDeque<Option<Fault>>,
    lie: Option<Lie>,
    stopped: bool,
}

impl<S: Store> Faulty<S> {
    /// Wraps a store. Nothing is planned yet.
    pub fn new(inner: S) -> Self {
        Self { inner, plan: VecDeque::new(), lie: None, stopped: false }
    }

    /// Wraps a store that lies.
    pub fn lying(inner: S, lie: Lie) -> Self {
        Self { lie: Some(lie), ..Self::new(inner) }
    }

    /// Plans what the next commits not yet planned for shall meet; `None` is no fault.
    pub fn plan(&mut self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.plan.extend(faults);
    }

    /// The store as a restart would find it.
    pub fn restart(self) -> S {
        self.inner
    }

    fn told_wrong(&self, changes: &Changes) -> Changes {
        let mut told = changes.clone();
        match self.lie {
            Some(Lie::ForgetsBatches) => told = Changes { generation: changes.generation, ..Changes::default() },
            Some(Lie::ForgetsARow) => drop(told.puts.pop()),
            Some(Lie::ForgetsRemovals) => told.dels.clear(),
            Some(Lie::ForgetsEvents) => told.events.clear(),
            Some(Lie::IgnoresMustBeNew) => told.must_be_new.clear(),
            Some(Lie::IgnoresGeneration) => told.generation = self.inner.generation(),
            Some(Lie::IgnoresGaps) => {
                let numbers = self.inner.event_count()..;
                told.events.iter_mut().zip(numbers).for_each(|(event, number)| event.index = number);
            }
            Some(Lie::MixesTables) => told.puts.iter_mut().for_each(|put| put.table = 1),
            Some(Lie::ForgetsToClose) if changes.closes.iter().all(|index| *index < self.inner.event_count()) => {
                told.closes.clear();
            }
            Some(Lie::ClosesAnother) => {
                let last = self.inner.event_count().saturating_sub(1);
                let closes = told.closes.iter_mut().filter(|index| **index < last);
                closes.for_each(|index| *index += 1);
            }
            Some(Lie::ClosesWhatIsNotThere) => told.closes.retain(|index| *index < self.inner.event_count()),
            Some(
                Lie::ForgetsToClose
                | Lie::WritesBeforeChecking
                | Lie::ReturnsOtherBytes
                | Lie::SkipsRows
                | Lie::LosesRowsInCompaction,
            )
            | None => {}
        }
        told
    }

    fn commit_told(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        let told = self.told_wrong(changes);
        let done = self.inner.commit(&told);
        if self.lie == Some(Lie::WritesBeforeChecking) && matches!(done, Err(CommitError::Conflict { .. })) {
            let _ = self.inner.commit(&Changes { must_be_new: Vec::new(), ..told });
        }
        done
    }

    fn stop(&mut self) -> CommitError {
        self.stopped = true;
        CommitError::Fatal { doing: "confirming a commit", source: io::Error::other("planned") }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.stopped { Err(StoreError::Stopped) } else { Ok(()) }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        if self.stopped {
            return Err(self.stop());
        }
        match self.plan.pop_front().flatten() {
            None => self.commit_told(changes),
            Some(Fault::NotTaken) => {
                Err(CommitError::NotTaken { doing: "writing a commit", source: io::Error::other("planned") })
            }
            Some(Fault::Full) => Err(CommitError::Full),
            Some(Fault::FatalAndLost) => Err(self.stop()),
            Some(Fault::FatalButSaved) => {
                self.commit_told(changes)?;
                Err(self.stop())
            }
            Some(Fault::Slow(time)) => {
                #[expect(clippy::disallowed_methods, reason = "a slow disk is slow in real time")]
                std::thread::sleep(time);
                self.commit_told(changes)
            }
        }
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.settle()
    }

    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive()?;
        let mut value = self.inner.get(table, key)?;
        if self.lie == Some(Lie::ReturnsOtherBytes)
            && let Some(byte) = value.as_mut().and_then(|value| value.first_mut())
        {
            *byte ^= 1;
        }
        Ok(value)
    }

    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError> {
        self.alive()?;
        let mut page = self.inner.scan(table, after, limit)?;
        if self.lie == Some(Lie::SkipsRows) {
            page.rows.pop();
        }
        Ok(page)
    }

    fn event_count(&self) -> u64 {
        self.inner.event_count()
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        self.alive()?;
        self.inner.events(from, limit)
    }

    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError> {
        self.alive()?;
        self.inner.scrub()
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        if self.lie == Some(Lie::LosesRowsInCompaction) {
            let first = self.inner.scan(1, None, 1)?.rows.pop();
            let dels = first.map(|(key, _)| (1, key)).into_iter().collect();
            let _ = self.inner.commit(&Changes { generation: self.inner.generation(), dels, ..Changes::default() });
        }
        self.inner.compact()
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Put;
    use crate::memory::MemoryStore;

    fn one(generation: u64) -> Changes {
        Changes { generation, puts: vec![Put { table: 1, key: [1; 32], value: vec![1] }], ..Changes::default() }
    }

    #[test]
    fn a_fault_meets_one_commit_and_the_store_goes_on() {
        let mut store = Faulty::new(MemoryStore::new());
        store.plan([Some(Fault::NotTaken), Some(Fault::Full), None]);
        assert!(matches!(store.commit(&one(0)), Err(CommitError::NotTaken { .. })));
        assert!(matches!(store.commit(&one(0)), Err(CommitError::Full)));
        assert_eq!(store.get(1, &[1; 32]).unwrap(), None);
        assert_eq!(store.commit(&one(0)).unwrap(), 1);
    }

    #[test]
    fn after_a_fatal_fault_only_a_restart_tells_what_happened() {
        for (fault, generation) in [(Fault::FatalAndLost, 0), (Fault::FatalButSaved, 1)] {
            let mut store = Faulty::new(MemoryStore::new());
            store.plan([Some(fault)]);
            assert!(store.commit(&one(0)).unwrap_err().is_fatal());
            assert!(store.commit(&one(0)).unwrap_err().is_fatal());
            assert!(matches!(store.get(1, &[1; 32]), Err(StoreError::Stopped)));
            assert_eq!(store.restart().generation(), generation);
        }
    }
}

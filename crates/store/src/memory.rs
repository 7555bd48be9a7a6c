//! The store of a simulation: the same contract, kept in memory.
//!
//! Cheap to clone, so that a simulation can keep the state a crash would leave and go back to it. Refuses nothing that
//! the store on disk takes, and takes nothing that one refuses.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::census::{Census, Counted};
use crate::changes::{Changes, EventLeaf, INLINE_MAX, Key, usable};
use crate::contract::{CommitError, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Stats, Store, StoreError};
use crate::finding::Finding;
use crate::format::digest;

/// A store in memory. A clone is a copy of what is durable at that moment.
#[derive(Clone, Default)]
pub struct MemoryStore {
    generation: u64,
    rows: BTreeMap<(u8, Key), Arc<[u8]>>,
    events: Vec<Arc<EventLeaf>>,
    census: Census,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn expect(&self, changes: &Changes) -> Result<(), CommitError> {
        changes.check()?;
        if changes.generation != self.generation {
            return Err(CommitError::WrongGeneration { store: self.generation, caller: changes.generation });
        }
        for (expected, event) in (self.event_count()..).zip(&changes.events) {
            if event.index != expected {
                return Err(CommitError::EventGap { expected, found: event.index });
            }
        }
        if let Some(index) = changes.closes.iter().find(|index| **index >= self.event_count()) {
            return Err(CommitError::NoSuchEvent(*index));
        }
        let taken = changes.must_be_new.iter().find(|row| self.rows.contains_key(*row));
        taken.map_or(Ok(()), |(table, key)| Err(CommitError::Conflict { table: *table, key: *key }))
    }

    fn remove(&mut self, table: u8, key: &Key) {
        if let Some(old) = self.rows.remove(&(table, *key)) {
            self.census.remove(table, key, counted(&old));
        }
    }
}

fn counted(value: &[u8]) -> Counted {
    Counted { hash: digest(value), live: if value.len() > INLINE_MAX { 0 } else { value.len() as u64 } }
}

impl Store for MemoryStore {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        self.expect(changes)?;
        for (table, key) in &changes.dels {
            self.remove(*table, key);
        }
        for put in &changes.puts {
            self.remove(put.table, &put.key);
            self.census.add(put.table, &put.key, counted(&put.value));
            self.rows.insert((put.table, put.key), put.value.as_slice().into());
        }
        for index in &changes.closes {
            if let Some(event) = usize::try_from(*index).ok().and_then(|at| self.events.get_mut(at)) {
                *event = Arc::new(EventLeaf { sealed: Vec::new(), ..EventLeaf::clone(event) });
            }
        }
        self.events.extend(changes.events.iter().cloned().map(Arc::new));
        self.generation += 1;
        Ok(self.generation)
    }

    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        usable(table)?;
        Ok(self.rows.get(&(table, *key)).map(|value| value.to_vec()))
    }

    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError> {
        usable(table)?;
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let from = after.map_or(Bound::Included((table, [0; 32])), |key| Bound::Excluded((table, key)));
        let mut rest = self.rows.range((from, Bound::Included((table, [0xFF; 32])))).peekable();
        let mut page = Page::default();
        let mut bytes = 0;
        while let Some(((_, key), value)) = rest.next() {
            bytes += value.len();
            page.rows.push((*key, value.to_vec()));
            if page.rows.len() == limit || bytes >= PAGE_BYTES_MAX {
                page.next = rest.peek().map(|_| *key);
                break;
            }
        }
        Ok(page)
    }

    fn event_count(&self) -> u64 {
        self.events.len() as u64
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let found = self.events.iter().skip(from).take(limit.min(PAGE_ROWS_MAX));
        Ok(found.map(|event| EventLeaf::clone(event)).collect())
    }

    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError> {
        let mut census = Census::default();
        for ((table, key), value) in &self.rows {
            census.add(*table, key, counted(value));
        }
        let disagree = Finding::RowsDisagree { expected: self.census.rows, found: census.rows };
        Ok(if census == self.census { Vec::new() } else { vec![disagree] })
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn stats(&self) -> Stats {
        Stats {
            generation: self.generation,
            rows: self.census.rows,
            digest: self.census.digest(),
            events: self.event_count(),
            live_bytes: self.census.live,
            free_bytes: u64::MAX,
            ..Stats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Put;

    fn with(lens: &[usize]) -> MemoryStore {
        let mut store = MemoryStore::new();
        let put = |(n, len): (u8, &usize)| Put { table: 1, key: [n; 32], value: vec![n; *len] };
        let puts = (0..).zip(lens).map(put).collect();
        store.commit(&Changes { puts, ..Changes::default() }).unwrap();
        store
    }

    #[test]
    fn what_lies_in_files_of_its_own_is_not_live_in_the_journal() {
        assert_eq!(with(&[INLINE_MAX]).stats().live_bytes, INLINE_MAX as u64);
        assert_eq!(with(&[INLINE_MAX + 1]).stats().live_bytes, 0);
        let stats = with(&[5, 7]).stats();
        assert_eq!((stats.generation, stats.rows, stats.live_bytes, stats.events), (1, 2, 12, 0));
        assert!(!stats.low_on_space && !stats.compaction_due && stats.free_bytes == u64::MAX);
        let mut store = with(&[5]);
        let events = vec![EventLeaf { index: 0, commitment: [1; 32], sealed: vec![2] }];
        store.commit(&Changes { generation: 1, events, ..Changes::default() }).unwrap();
        assert_eq!(store.stats().events, 1);
        // Nothing of it lies in files.
        let unsupported = |error: &StoreError| matches!(error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::Unsupported);
        assert!(store.pin(std::path::Path::new("nowhere")).is_err_and(|error| unsupported(&error)));
    }

    #[test]
    fn a_page_ends_at_its_limit_and_the_last_one_says_so() {
        let store = with(&[1; 5]);
        let page = store.scan(1, None, 2).unwrap();
        assert_eq!((page.rows.len(), page.next), (2, Some([1; 32])));
        let last = store.scan(1, Some([2; 32]), 2).unwrap();
        assert_eq!((last.rows.len(), last.next), (2, None));
    }

    #[test]
    fn a_census_that_disagrees_with_the_rows_is_a_finding() {
        let mut store = with(&[1, 2]);
        assert_eq!(store.scrub().unwrap(), []);
        store.rows.remove(&(1, [1; 32]));
        assert_eq!(store.scrub().unwrap(), [Finding::RowsDisagree { expected: 2, found: 1 }]);
    }

    #[test]
    fn what_a_caller_got_wrong_changes_nothing() {
        let mut store = with(&[1]);
        let right = Changes { generation: 1, ..Changes::default() };
        let event = |index| EventLeaf { index, commitment: [1; 32], sealed: vec![1] };
        let told = |store: &mut MemoryStore, changes| store.commit(&changes).unwrap_err();
        let wrong = Changes { generation: 0, ..Changes::default() };
        assert!(matches!(told(&mut store, wrong), CommitError::WrongGeneration { store: 1, caller: 0 }));
        let gap = Changes { events: vec![event(1)], ..right.clone() };
        assert!(matches!(told(&mut store, gap), CommitError::EventGap { expected: 0, found: 1 }));
        let closed = Changes { closes: vec![0], ..right.clone() };
        assert!(matches!(told(&mut store, closed), CommitError::NoSuchEvent(0)));
        let taken = Changes { must_be_new: vec![(1, [0; 32])], ..right.clone() };
        assert!(matches!(told(&mut store, taken), CommitError::Conflict { table: 1, .. }));
        assert_eq!((store.generation(), store.event_count()), (1, 0));
        assert_eq!(store.commit(&Changes { events: vec![event(0)], ..right }).unwrap(), 2);
    }
}

//! The disk under a node: the store in memory, watched and, where a bug is planted, spoilt.
//!
//! A clone is what a power cut would leave. Every byte that ever goes in is searched for canaries on its way, so that
//! what was erased since has been seen too.

use std::io;

use clearhouse_protocol::rows::Table;
use clearhouse_store::faulty::Fault;
use clearhouse_store::{Changes, CommitError, EventLeaf, Finding, Key, MemoryStore, Page, Stats, Store, StoreError};

use super::canary;
use super::flaw::Flaw;

/// One node's disk.
#[derive(Clone, Default)]
pub(super) struct Disk {
    store: MemoryStore,
    flaw: Option<Flaw>,
    /// What the next commit shall meet.
    next: Option<Fault>,
    /// The first canary that was seen in clear.
    pub(super) leaked: Option<&'static str>,
}

impl Disk {
    /// Plants a bug in everything written from now on.
    pub(super) fn plant(&mut self, flaw: Option<Flaw>) {
        self.flaw = flaw;
    }

    /// What the next commit shall meet.
    pub(super) fn plan(&mut self, fault: Fault) {
        self.next = Some(fault);
    }

    /// The disk as a start finds it.
    pub(super) fn restarted(mut self) -> Self {
        self.next = None;
        self
    }

    fn write(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        let rows = changes.puts.iter().map(|put| put.value.as_slice());
        let events = changes.events.iter().map(|event| event.sealed.as_slice());
        self.leaked = self.leaked.or_else(|| rows.chain(events).find_map(canary::find));
        match self.spoil(changes) {
            Some(told) => self.store.commit(&told),
            None => self.store.commit(changes),
        }
    }

    fn spoil(&self, changes: &Changes) -> Option<Changes> {
        let rare = |n: u64| changes.generation % n == n - 1;
        match self.flaw? {
            Flaw::BatchForgotten if rare(23) => Some(Changes { generation: changes.generation, ..Changes::default() }),
            Flaw::RowForgotten if rare(11) => {
                let mut told = changes.clone();
                drop(told.puts.pop());
                Some(told)
            }
            Flaw::DedupeNotKept => {
                let mut told = changes.clone();
                told.puts.retain(|put| put.table != Table::Taken as u8);
                Some(told)
            }
            _ => None,
        }
    }
}

impl Store for Disk {
    fn generation(&self) -> u64 {
        self.store.generation()
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        let fatal = || CommitError::Fatal { doing: "confirming a commit", source: io::Error::other("planned") };
        match self.next.take() {
            None | Some(Fault::Slow(_)) => self.write(changes),
            Some(Fault::NotTaken) => Err(CommitError::not_taken("writing a commit", io::Error::other("planned"))),
            Some(Fault::Full) => Err(CommitError::Full),
            Some(Fault::FatalAndLost) => Err(fatal()),
            Some(Fault::FatalButSaved) => {
                self.write(changes)?;
                Err(fatal())
            }
        }
    }

    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError> {
        self.store.scan(table, after, limit)
    }

    fn event_count(&self) -> u64 {
        self.store.event_count()
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        self.store.events(from, limit)
    }

    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError> {
        self.store.scrub()
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.store.compact()
    }

    fn stats(&self) -> Stats {
        self.store.stats()
    }
}

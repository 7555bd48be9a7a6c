//! Every back end before the judge, and the judge before stores that lie.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use clearhouse_store::conformance::{Bench, run};
use clearhouse_store::faulty::{Faulty, Lie};
use clearhouse_store::{DurableStore, MemoryStore, Store};

struct Memory;

impl Bench for Memory {
    fn fresh(&mut self) -> Box<dyn Store> {
        Box::new(MemoryStore::new())
    }

    fn restart(&mut self, store: Box<dyn Store>) -> Box<dyn Store> {
        store
    }
}

struct OnDisk {
    root: tempfile::TempDir,
    stores: usize,
}

impl OnDisk {
    fn dir(&self) -> PathBuf {
        self.root.path().join(self.stores.to_string())
    }
}

impl Bench for OnDisk {
    fn fresh(&mut self) -> Box<dyn Store> {
        self.stores += 1;
        let (store, findings) = DurableStore::open(&self.dir()).unwrap();
        assert_eq!(findings, []);
        Box::new(store)
    }

    fn restart(&mut self, store: Box<dyn Store>) -> Box<dyn Store> {
        drop(store);
        let (store, findings) = DurableStore::open(&self.dir()).unwrap();
        assert_eq!(findings, []);
        Box::new(store)
    }
}

struct Lying(Lie);

impl Bench for Lying {
    fn fresh(&mut self) -> Box<dyn Store> {
        Box::new(Faulty::lying(MemoryStore::new(), self.0))
    }

    fn restart(&mut self, store: Box<dyn Store>) -> Box<dyn Store> {
        store
    }
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    assert_eq!(run(&mut Memory), []);
}

#[test]
fn the_store_on_disk_keeps_the_contract() {
    assert_eq!(run(&mut OnDisk { root: tempfile::tempdir().unwrap(), stores: 0 }), []);
}

#[test]
fn every_lie_turns_the_suite_red() {
    for lie in Lie::ALL {
        assert_ne!(run(&mut Lying(lie)), [], "{lie:?} was not noticed");
    }
}

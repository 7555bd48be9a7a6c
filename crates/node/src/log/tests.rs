//! A log that is kept through starts, lost tiles, old disks and changed events.

use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::merkle;
use clearhouse_store::keyfile::ServiceKeys;
use clearhouse_store::{Changes, EventLeaf, MemoryStore};

use super::*;
use crate::clock::chance;

const ORIGIN: &str = "clearhouse.01010101/0202/0303/g1";

struct Stage {
    dir: tempfile::TempDir,
    keys: ServiceKeys,
    store: MemoryStore,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            dir: tempfile::tempdir().unwrap(),
            keys: ServiceKeys::generate(&mut chance()),
            store: MemoryStore::new(),
        };
        HeadsFile::create(&stage.heads(), whose(), &stage.keys, Heads::default()).unwrap();
        stage
    }

    fn heads(&self) -> std::path::PathBuf {
        self.dir.path().join("heads")
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_seed(self.keys.log_seed.expose())
    }

    fn happen(&mut self, events: u64) {
        for _ in 0..events {
            let index = self.store.event_count();
            let commitment = sha256(&index.to_be_bytes());
            let event = EventLeaf { index, commitment, sealed: vec![1] };
            let generation = self.store.generation();
            self.store.commit(&Changes { generation, events: vec![event], ..Changes::default() }).unwrap();
        }
    }

    fn open(&self) -> Result<Keeper, LogError> {
        let heads = HeadsFile::open(&self.heads(), whose(), &self.keys)?;
        Keeper::open(heads, &self.log(), ORIGIN.to_owned(), self.key(), &self.store)
    }

    fn tick(&self, keeper: &mut Keeper) {
        let events = self.store.events(keeper.size(), usize::MAX).unwrap();
        let fresh: Vec<Hash> = events.iter().map(|event| event.commitment).collect();
        keeper.advance(&fresh, self.store.generation()).unwrap();
    }

    fn remember(&self, keeper: &mut Keeper) {
        keeper.remember(self.store.event_count(), self.store.generation()).unwrap();
    }

    fn root(&self) -> Hash {
        let events = self.store.events(0, usize::MAX).unwrap();
        merkle::root(&events.iter().map(|event| leaf_hash(&event.commitment)).collect::<Vec<_>>())
    }

    /// The checkpoint file, believed.
    fn signed(&self) -> Checkpoint {
        let known = NoteKey::new(ORIGIN, KeyKind::Log, &self.key().public()).unwrap();
        let note = std::fs::read(self.log().join(CHECKPOINT)).unwrap();
        SignedCheckpoint::open(&note, &known).ok().unwrap().checkpoint().clone()
    }
}

fn whose() -> (Net, NodeId) {
    (Net([1; 32]), NodeId([3; 16]))
}

#[test]
fn every_tick_signs_a_head_over_everything_and_a_start_goes_on_from_there() {
    let mut stage = Stage::new();
    for events in [1, 254, 1, 1, 300] {
        stage.happen(events);
        let mut keeper = stage.open().unwrap();
        stage.tick(&mut keeper);
        let head = stage.signed();
        assert_eq!((head.size, head.root), (stage.store.event_count(), stage.root()));
        let told = keeper.watch().borrow().clone().unwrap();
        assert_eq!(told.checkpoint, head);
    }
    // Nothing new: not a byte is written.
    let before = std::fs::read(stage.heads()).unwrap();
    stage.tick(&mut stage.open().unwrap());
    assert_eq!(std::fs::read(stage.heads()).unwrap(), before);
}

#[test]
fn tiles_that_are_lost_or_changed_are_written_anew_from_the_events() {
    let mut stage = Stage::new();
    stage.happen(600);
    stage.tick(&mut stage.open().unwrap());
    let edge_tile = stage.log().join("tile/0/002.p/88");
    for spoil in [0, 1, 2] {
        match spoil {
            0 => std::fs::remove_dir_all(stage.log()).unwrap(),
            1 => std::fs::write(&edge_tile, [0; 88 * 32]).unwrap(),
            _ => std::fs::write(&edge_tile, [0; 7]).unwrap(),
        }
        let keeper = stage.open().unwrap();
        assert_eq!((keeper.size(), stage.signed().root), (600, stage.root()));
        assert_eq!(std::fs::read(&edge_tile).unwrap().len(), 88 * 32);
    }
}

#[test]
fn attack_30_an_old_store_under_newer_heads_is_refused() {
    let mut stage = Stage::new();
    stage.happen(5);
    let old: Vec<_> = stage.store.events(0, usize::MAX).unwrap();
    stage.happen(3);
    stage.tick(&mut stage.open().unwrap());
    stage.store = MemoryStore::new();
    for event in old {
        let generation = stage.store.generation();
        stage.store.commit(&Changes { generation, events: vec![event], ..Changes::default() }).unwrap();
    }
    assert!(matches!(stage.open(), Err(LogError::Heads(HeadsError::RolledBack { store_events: 5, events: 8, .. }))));
}

#[test]
fn events_that_are_not_those_signed_for_are_noticed_when_the_tiles_are_gone() {
    let mut stage = Stage::new();
    stage.happen(10);
    stage.tick(&mut stage.open().unwrap());
    let mut other = MemoryStore::new();
    for mut event in stage.store.events(0, usize::MAX).unwrap() {
        if event.index == 4 {
            event.commitment[0] ^= 1;
        }
        let generation = other.generation();
        other.commit(&Changes { generation, events: vec![event], ..Changes::default() }).unwrap();
    }
    stage.store = other;
    std::fs::remove_dir_all(stage.log()).unwrap();
    assert!(matches!(stage.open(), Err(LogError::Changed { size: 10 })));
}

#[test]
fn a_crash_between_the_head_and_its_signature_signs_the_same_head() {
    let mut stage = Stage::new();
    stage.happen(3);
    let mut keeper = stage.open().unwrap();
    stage.tick(&mut keeper);
    let signed = std::fs::read(stage.log().join(CHECKPOINT)).unwrap();
    std::fs::remove_file(stage.log().join(CHECKPOINT)).unwrap();
    drop(keeper);
    stage.happen(4);
    stage.open().unwrap();
    assert_eq!(std::fs::read(stage.log().join(CHECKPOINT)).unwrap(), signed);
}

#[test]
fn heads_of_another_log_are_refused() {
    let mut stage = Stage::new();
    stage.happen(3);
    stage.tick(&mut stage.open().unwrap());
    let heads = HeadsFile::open(&stage.heads(), whose(), &stage.keys).unwrap();
    let other = "clearhouse.01010101/0202/0303/g2".to_owned();
    let opened = Keeper::open(heads, &stage.log(), other, stage.key(), &stage.store);
    assert!(matches!(opened, Err(LogError::Head(NoteFault::OtherOrigin))));
}

#[test]
fn what_is_not_signed_yet_is_remembered_so_that_an_older_store_is_known() {
    let mut stage = Stage::new();
    stage.happen(3);
    let mut keeper = stage.open().unwrap();
    stage.tick(&mut keeper);
    let signed = stage.signed();
    let old = stage.store.clone();
    stage.happen(4);
    stage.remember(&mut keeper);
    stage.remember(&mut keeper);
    assert_eq!(stage.signed(), signed, "nothing new is signed");
    drop(keeper);
    // The next start goes on with the head that was signed, and signs all of it when it may.
    let mut keeper = stage.open().unwrap();
    assert_eq!((keeper.size(), stage.signed()), (3, signed));
    stage.tick(&mut keeper);
    assert_eq!((stage.signed().size, stage.signed().root), (7, stage.root()));
    drop(keeper);
    stage.store = old;
    assert!(matches!(stage.open(), Err(LogError::Heads(HeadsError::RolledBack { .. }))));
}

#[test]
fn an_older_store_is_known_by_what_was_remembered_alone() {
    let mut stage = Stage::new();
    stage.happen(3);
    let mut keeper = stage.open().unwrap();
    stage.tick(&mut keeper);
    let old = stage.store.clone();
    stage.happen(1);
    stage.remember(&mut keeper);
    drop(keeper);
    stage.store = old;
    assert!(matches!(stage.open(), Err(LogError::Heads(HeadsError::RolledBack { .. }))));
}

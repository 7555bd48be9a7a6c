//! The ledger over a store in memory: what went in comes back in clear, what does not open is counted, and what is taken
//! away is gone with its commit.

use clearhouse_protocol::ids::{CaseId, Net, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::*;
use crate::changes::{Changes, Put};
use crate::durable::DurableStore;
use crate::erasure::{Step, finalise_stepwise};
use crate::keyfile::{ContentKeys, DeviceSecret, KdfCost, KeyFile, NewSlot, Opens, ServiceKeys};
use crate::memory::MemoryStore;
use crate::passphrase::Passphrase;
use crate::private_file::tests::Folder;

const ANA: Under = Under::Case(CaseId([0xA1; 16]), 0);
const MIRA: Under = Under::Case(CaseId([0xB2; 16]), 0);

struct World {
    ledger: Ledger<MemoryStore>,
    service: ServiceKeys,
    content: ContentKeys,
    rng: ChaCha20Rng,
}

fn row(table: Table, key: &[u8], value: &[u8], under: Under) -> Row {
    Row { table, key: key.to_vec(), value: Some(value.to_vec()), under, must_be_new: false }
}

fn event(index: u64) -> EventRow {
    EventRow { index, commitment: [5; 32], salt: [6; 32], opening: vec![7; 300] }
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (service, content) = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let vault = Vault::new(&service, Some(&content)).ok().unwrap();
        Self { ledger: Ledger::new(MemoryStore::new(), vault), service, content, rng }
    }

    fn commit(&mut self, rows: &[Row], events: &[EventRow]) -> Result<u64, LedgerError> {
        self.ledger.commit(rows, events, &mut self.rng)
    }

    fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.ledger.read(table, key).unwrap().map(|value| value.to_vec())
    }

    /// The same store at the next start: nothing is remembered but the keys.
    fn restart(self) -> Self {
        let Self { ledger, service, content, rng } = self;
        let vault = Vault::new(&service, Some(&content)).ok().unwrap();
        Self { ledger: Ledger::new(ledger.into_store(), vault), service, content, rng }
    }

    /// Puts bytes that no vault sealed where a row lies.
    fn spoil(&mut self, table: Table, key: &[u8]) {
        let key = self.ledger.vault().blind(table, key);
        let puts = vec![Put { table: table as u8, key, value: vec![1; 100] }];
        let changes = Changes { generation: self.ledger.store().generation(), puts, ..Changes::default() };
        self.ledger.store_mut().commit(&changes).unwrap();
    }
}

#[test]
fn what_is_committed_is_read_back_in_clear_and_nothing_else_is_there() {
    let mut world = World::new();
    let rows = [row(Table::Fact, b"ana", b"one", ANA), row(Table::Outbox, b"out", b"two", Under::Service)];
    assert_eq!(world.commit(&rows, &[event(0)]).ok(), Some(1));
    assert_eq!(world.commit(&[row(Table::Fact, b"mira", b"three", MIRA)], &[event(1), event(2)]).ok(), Some(2));
    let world = world.restart();
    assert_eq!(world.ledger.store().event_count(), 3);
    for (table, key, value) in [
        (Table::Fact, &b"ana"[..], Some(&b"one"[..])),
        (Table::Outbox, b"out", Some(b"two")),
        (Table::Fact, b"mira", Some(b"three")),
        (Table::Fact, b"out", None),
        (Table::Outbox, b"nobody", None),
    ] {
        assert_eq!(world.read(table, key).as_deref(), value);
    }
    let loaded = world.ledger.load(&[Table::Fact, Table::Outbox, Table::Mailbox]).unwrap();
    let mut all: Vec<_> = loaded.rows.iter().map(|row| (row.table as u8, row.key.clone(), row.value.clone())).collect();
    all.sort();
    let of = |table: Table, key: &[u8], value: &[u8]| (table as u8, key.to_vec(), Some(value.to_vec()));
    let mut wanted =
        [of(Table::Fact, b"ana", b"one"), of(Table::Fact, b"mira", b"three"), of(Table::Outbox, b"out", b"two")];
    wanted.sort();
    assert_eq!(all, wanted);
    assert!(loaded.locked == 0 && loaded.damaged.is_empty());
}

#[test]
fn what_does_not_open_is_counted_by_its_table_over_all_pages_and_what_is_locked_is_no_damage() {
    let mut world = World::new();
    let key = |n: usize| n.to_be_bytes();
    let rows: Vec<Row> = (0..PAGE + 9).map(|n| row(Table::Outbox, &key(n), b"v", Under::Service)).collect();
    for rows in rows.chunks(PAGE / 2) {
        world.commit(rows, &[]).unwrap();
    }
    world.commit(&[row(Table::Fact, b"ana", b"v", ANA), row(Table::Fact, b"mira", b"v", MIRA)], &[]).unwrap();
    assert!(world.ledger.load(&[Table::Outbox, Table::Fact]).unwrap().damaged.is_empty());
    (0..3).for_each(|n| world.spoil(Table::Outbox, &key(300 * n)));
    world.ledger.vault().lock();
    let loaded = world.ledger.load(&[Table::Outbox, Table::Fact]).unwrap();
    assert_eq!((loaded.rows.len(), loaded.locked), (PAGE + 6, 2));
    assert_eq!(loaded.damaged, [(Table::Outbox, 3)]);
    assert!(matches!(world.ledger.read(Table::Outbox, &key(300)), Err(ReadError::Vault(VaultError::Damaged { .. }))));
    assert!(matches!(world.ledger.read(Table::Fact, b"ana"), Err(ReadError::Vault(VaultError::Locked))));
}

#[test]
fn a_commit_that_is_refused_leaves_nothing_behind() {
    let mut world = World::new();
    let first = Row { must_be_new: true, ..row(Table::Fact, b"ana", b"one", ANA) };
    world.commit(&[first], &[event(0)]).unwrap();
    let again = Row { must_be_new: true, ..row(Table::Fact, b"ana", b"two", ANA) };
    let refused = world.commit(&[row(Table::Fact, b"mira", b"three", MIRA), again], &[event(1)]);
    assert!(matches!(refused, Err(LedgerError::Commit(_))));
    assert_eq!((world.read(Table::Fact, b"ana"), world.read(Table::Fact, b"mira")), (Some(b"one".to_vec()), None));
    assert_eq!((world.ledger.store().generation(), world.ledger.store().event_count()), (1, 1));
    // The key that the refused commit made for her is not taken for one that is kept.
    world.commit(&[row(Table::Fact, b"mira", b"four", MIRA)], &[]).unwrap();
    assert_eq!(world.restart().read(Table::Fact, b"mira"), Some(b"four".to_vec()));
}

#[test]
fn keys_and_openings_go_with_the_commit_that_takes_them_away() {
    let mut world = World::new();
    let rows = [row(Table::Fact, b"ana", b"one", ANA), row(Table::Fact, b"mira", b"two", MIRA)];
    world.commit(&rows, &[event(0), event(1)]).unwrap();
    let gone = Gone { keys: &[ANA], events: &[0] };
    let World { ledger, rng, .. } = &mut world;
    assert_eq!(ledger.commit_erasing(&[], &[event(2)], gone, rng).ok(), Some(2));
    let sealed: Vec<bool> = ledger.store().events(0, 9).unwrap().iter().map(|leaf| !leaf.sealed.is_empty()).collect();
    assert_eq!(sealed, [false, true, true]);
    let world = world.restart();
    assert!(matches!(world.ledger.read(Table::Fact, b"ana"), Err(ReadError::Vault(VaultError::Erased))));
    assert_eq!(world.read(Table::Fact, b"mira"), Some(b"two".to_vec()));
}

#[test]
fn an_erasure_is_final_with_new_keys_and_what_a_cut_left_of_the_old_ones_is_cleared() {
    let (folder, mut rng) = (Folder::new(), ChaCha20Rng::seed_from_u64(2));
    let secret = Passphrase::new(Zeroizing::new("six words nobody put together".to_owned())).unwrap();
    let device = DeviceSecret::create(&folder.file("device"), &mut rng).ok().unwrap();
    let slots = [NewSlot::Passphrase { secret: &secret, cost: KdfCost::TINY, opens: Opens::Both }];
    let keys = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
    let whose = (Net([7; 32]), NodeId([9; 16]));
    let mut opened = KeyFile::create(&folder.file("key"), whose, keys, &slots, &device, &mut rng).ok().unwrap();
    let vault = Vault::new(opened.service(), opened.content()).ok().unwrap();
    let mut ledger = Ledger::new(MemoryStore::new(), vault);
    let rows = [row(Table::Fact, b"ana", b"one", ANA), row(Table::Fact, b"mira", b"two", MIRA)];
    ledger.commit(&rows, &[], &mut rng).unwrap();
    let wraps = |ledger: &Ledger<MemoryStore>| ledger.store().scan(Table::Wrap as u8, None, 9).unwrap().rows.len();
    let gone = Gone { keys: &[ANA], ..Gone::default() };
    ledger.commit_erasing(&[], &[], gone, &mut rng).unwrap();
    assert_eq!(ledger.finalise_erasure(&mut opened, &mut rng).ok(), Some(Erased { epoch: 2, survivors: 1 }));
    assert_eq!((ledger.vault().epoch(), wraps(&ledger)), (2, 1));

    // Cut short after the new keys counted: the old wraps still lie there, and open nothing.
    let Ledger { store, vault } = &mut ledger;
    let cut = finalise_stepwise(store, vault, &mut opened, &[], &mut rng, &mut |step| step != Step::RemoveOld);
    assert!(cut.is_err() && wraps(&ledger) == 2);
    ledger.clear_old_wraps().unwrap();
    assert_eq!(wraps(&ledger), 1);
    assert_eq!(ledger.read(Table::Fact, b"mira").unwrap().unwrap().as_slice(), b"two");
}

#[test]
fn rows_that_the_disk_spoiled_are_counted_beside_those_that_do_not_open() {
    let World { service, content, mut rng, .. } = World::new();
    let dir = crate::journal::tests::folder();
    let (store, _) = DurableStore::open(dir.path()).unwrap();
    let mut ledger = Ledger::new(store, Vault::new(&service, Some(&content)).ok().unwrap());
    // In the journal alone, not in the index as well.
    let rows = [b"a", b"b"].map(|key| row(Table::Outbox, key, &[3; 3000], Under::Service));
    ledger.commit(&rows, &[], &mut rng).ok().unwrap();
    assert!(ledger.load(&[Table::Outbox]).unwrap().damaged.is_empty());
    let journal = dir.path().join(crate::format::segment_name(1));
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let loaded = ledger.load(&[Table::Outbox]).unwrap();
    assert_eq!((loaded.damaged, loaded.rows.len()), (vec![(Table::Outbox, 1)], 1));
}

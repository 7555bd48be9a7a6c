//! Attacks 33 and 34 with a real store on a real disk: what a thief finds before and after an erasure.

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{CaseId, Digest, Net, NodeId};
use clearhouse_protocol::rows::{EventRow, Row};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::*;
use crate::changes::Key;
use crate::durable::DurableStore;
use crate::keyfile::{ContentKeys, DeviceSecret, KdfCost, KeyFile, NewSlot, Opens, ServiceKeys, SlotSecret};
use crate::memory::MemoryStore;
use crate::passphrase::Passphrase;
use crate::private_file::tests::Folder;
use crate::vault::Batch;

const ANA: Under = Under::Case(CaseId([0xA1; 16]), 0);
const MIRA: Under = Under::Case(CaseId([0xB2; 16]), 0);
const LETTER: Under = Under::Letter(Digest([0xC3; 32]));
const CANARY: &[u8] = b"CANARY Ana Petrovic +381 64 000";

struct Node {
    folder: Folder,
    store: DurableStore,
    vault: Vault,
    opened: Opened,
    passphrase: Passphrase,
    rng: ChaCha20Rng,
}

fn row(key: &[u8], value: &[u8], under: Under) -> Row {
    Row { table: Table::Fact, key: key.to_vec(), value: Some(value.to_vec()), under, must_be_new: false }
}

impl Node {
    fn new(seed: u64) -> Self {
        let (folder, mut rng) = (Folder::new(), ChaCha20Rng::seed_from_u64(seed));
        let passphrase = Passphrase::new(Zeroizing::new("six words nobody put together".to_owned())).unwrap();
        let device = DeviceSecret::create(&folder.file("device"), &mut rng).ok().unwrap();
        let slots = [NewSlot::Passphrase { secret: &passphrase, cost: KdfCost::TINY, opens: Opens::Both }];
        let keys = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let whose = (Net([7; 32]), NodeId([9; 16]));
        let opened = KeyFile::create(&folder.file("key"), whose, keys, &slots, &device, &mut rng).ok().unwrap();
        let vault = Vault::new(opened.service(), opened.content()).ok().unwrap();
        let (store, _) = DurableStore::open(&folder.file("store")).ok().unwrap();
        let mut node = Self { folder, store, vault, opened, passphrase, rng };
        node.put(&[row(b"ana", CANARY, ANA), row(b"mira", b"stays", MIRA), row(b"letter", b"sealed", LETTER)]);
        node
    }

    fn put(&mut self, rows: &[Row]) {
        self.commit(Batch { rows, ..Batch::default() });
    }

    fn commit(&mut self, batch: Batch<'_>) {
        let batch = Batch { generation: self.store.generation(), ..batch };
        let (changes, ticket) = self.vault.seal(batch, &self.store, &mut self.rng).ok().unwrap();
        self.store.commit(&changes).unwrap();
        self.vault.committed(ticket);
    }

    fn read(&self, key: &[u8]) -> Result<Vec<u8>, VaultError> {
        let value = self.store.get(Table::Fact as u8, &self.vault.blind(Table::Fact, key)).unwrap().unwrap();
        self.vault.open_at(Table::Fact, key, &value, &self.store).map(|plain| plain.value.to_vec())
    }

    /// A process that died and started again. The store is taken out first: it holds its folder's lock.
    fn restart(self) -> Self {
        let Self { folder, store, passphrase, rng, .. } = self;
        drop(store);
        let device = DeviceSecret::open(&folder.file("device")).ok().unwrap();
        let locked = KeyFile::open(&folder.file("key")).ok().unwrap();
        let opened = locked.unlock(&SlotSecret::Passphrase(&passphrase), &device).ok().unwrap();
        let vault = Vault::new(opened.service(), opened.content()).ok().unwrap();
        let (store, _) = DurableStore::open(&folder.file("store")).ok().unwrap();
        Self { folder, store, vault, opened, passphrase, rng }
    }

    fn erase(&mut self, erased: &[Under]) -> Erased {
        let Self { store, vault, opened, rng, .. } = self;
        finalise(store, vault, opened, erased, rng).unwrap_or_else(|e| panic!("{e}"))
    }

    fn wraps(&self) -> Vec<(Key, Vec<u8>)> {
        self.store.scan(Table::Wrap as u8, None, 100).unwrap().rows
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn attack_33_a_stolen_disk_shows_no_name_no_key_and_no_id() {
    let mut node = Node::new(1);
    let large = CANARY.repeat(5000);
    let events = [EventRow { index: 0, commitment: [5; 32], salt: [6; 32], opening: CANARY.to_vec() }];
    let rows = [
        row(b"CANARY-key-1", CANARY, Under::Service),
        row(b"CANARY-key-2", CANARY, Under::Evidence),
        row(b"CANARY-key-3", &large, MIRA),
        row(b"CANARY-key-4", CANARY, LETTER),
    ];
    node.commit(Batch { rows: &rows, events: &events, ..Batch::default() });
    node.store.compact().unwrap();
    node.put(&[row(b"CANARY-key-5", CANARY, ANA)]);
    assert_eq!(node.read(b"CANARY-key-3").unwrap(), large);
    let node = node.restart();

    let found = files(&node.folder.0);
    assert!(found.len() > 5, "the search must see the store: {found:?}");
    for path in found {
        let (name, bytes) = (path.display().to_string(), fs::read(&path).unwrap());
        for needle in [b"CANARY".as_slice(), b"Petrovic", &[0xA1; 8], &[0xB2; 8], &[0xC3; 8]] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{name}");
        }
        assert!(!name.contains("CANARY"));
    }
    // With the disk, the device secret too, and a list of guesses.
    let device = DeviceSecret::open(&node.folder.file("device")).ok().unwrap();
    let locked = KeyFile::open(&node.folder.file("key")).ok().unwrap();
    for guess in ["password password", "six words nobody puts together", "Six words nobody put together"] {
        let guess = Passphrase::new(Zeroizing::new(guess.to_owned())).unwrap();
        let refused = locked.unlock(&SlotSecret::Passphrase(&guess), &device);
        assert!(matches!(refused, Err(KeyFileError::WrongPassphrase)));
    }
}

#[test]
fn attack_33_values_swapped_between_keys_do_not_open() {
    let mut node = Node::new(2);
    let places = [b"ana".as_slice(), b"mira"].map(|key| node.vault.blind(Table::Fact, key));
    let [ana, mira] = places.map(|key| node.store.get(8, &key).unwrap().unwrap());
    let puts =
        vec![crate::Put { table: 8, key: places[0], value: mira }, crate::Put { table: 8, key: places[1], value: ana }];
    node.store.commit(&Changes { generation: node.store.generation(), puts, ..Changes::default() }).unwrap();
    for key in [b"ana".as_slice(), b"mira"] {
        assert!(matches!(node.read(key), Err(VaultError::Damaged { table: 8 })));
    }
}

#[test]
fn attack_34_an_erased_case_is_gone_from_the_whole_disk_with_every_key_there_is() {
    let mut node = Node::new(3);
    let old_wraps = node.wraps();
    let place = node.vault.blind(Table::Fact, b"ana");
    let ciphertext = node.store.get(8, &place).unwrap().unwrap();
    let key_file = fs::read(node.folder.file("key")).unwrap();
    assert_eq!(node.erase(&[ANA]), Erased { epoch: 2, survivors: 2 });
    let mut node = node.restart();
    assert_eq!(node.read(b"mira").unwrap(), b"stays");
    assert_eq!(node.read(b"letter").unwrap(), b"sealed");
    assert!(matches!(node.read(b"ana"), Err(VaultError::Erased)));
    assert_eq!(node.wraps().len(), 2);

    // The thief kept an old image of the store: its wraps and the ciphertext, put back under today's keys.
    let puts = old_wraps.into_iter().map(|(key, value)| crate::Put { table: 1, key, value });
    let puts = puts.chain([crate::Put { table: 8, key: place, value: ciphertext }]).collect();
    node.store.commit(&Changes { generation: node.store.generation(), puts, ..Changes::default() }).unwrap();
    assert!(matches!(node.read(b"ana"), Err(VaultError::Erased)));
    // And the old block of the key file, with the pass phrase and today's device secret.
    fs::write(node.folder.file("key"), key_file).unwrap();
    let device = DeviceSecret::open(&node.folder.file("device")).ok().unwrap();
    let locked = KeyFile::open(&node.folder.file("key")).ok().unwrap();
    let refused = locked.unlock(&SlotSecret::Passphrase(&node.passphrase), &device);
    assert!(matches!(refused, Err(KeyFileError::Altered)));
}

#[test]
fn attack_34_a_crash_before_any_step_locks_nobody_out_and_loses_no_survivor() {
    let steps = [Step::Wrap, Step::Compact, Step::ReplaceKeyFile, Step::TakeKeys, Step::RemoveOld];
    for (n, at) in steps.into_iter().enumerate() {
        let mut node = Node::new(4);
        let Node { store, vault, opened, rng, .. } = &mut node;
        assert!(finalise_stepwise(store, vault, opened, &[ANA], rng, &mut |step| step != at).is_err());
        let mut node = node.restart();
        let replaced = n >= 3;
        assert_eq!(node.opened.epoch(), 1 + u32::from(replaced), "{at:?}");
        assert_eq!(node.read(b"mira").unwrap(), b"stays");
        assert_eq!(node.read(b"letter").unwrap(), b"sealed");
        assert_eq!(node.read(b"ana").is_err(), replaced, "{at:?}");
        // A case begun in between survives the repetition.
        node.put(&[row(b"new", b"begun since", Under::Case(CaseId([0xD4; 16]), 0))]);
        assert_eq!(node.erase(&[ANA]).survivors, 3, "{at:?}");
        let node = node.restart();
        assert_eq!(node.read(b"mira").unwrap(), b"stays");
        assert_eq!(node.read(b"new").unwrap(), b"begun since");
        assert!(matches!(node.read(b"ana"), Err(VaultError::Erased)), "{at:?}");
        assert_eq!(node.wraps().len(), 3, "{at:?}");
    }
}

#[test]
fn more_keys_than_a_page_and_a_batch_hold_are_all_carried_over() {
    let mut node = Node::new(5);
    let mut store = MemoryStore::new();
    let case = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Under::Case(CaseId(id), 0)
    };
    let all = u32::try_from(2 * PAGE_ROWS_MAX + 5).unwrap();
    let rows: Vec<_> = (0..all).map(|n| row(&n.to_be_bytes(), b"v", case(n))).collect();
    for rows in rows.chunks(1000) {
        let batch = Batch { generation: store.generation(), rows, ..Batch::default() };
        let (changes, ticket) = node.vault.seal(batch, &store, &mut node.rng).ok().unwrap();
        store.commit(&changes).unwrap();
        node.vault.committed(ticket);
    }
    let gone: Vec<_> = (0..10).map(case).collect();
    let Node { vault, opened, rng, .. } = &mut node;
    let erased = finalise(&mut store, vault, opened, &gone, rng).ok().unwrap();
    assert_eq!(erased, Erased { epoch: 2, survivors: u64::from(all) - 10 });
    for n in 0..all {
        let key = n.to_be_bytes();
        let value = store.get(8, &vault.blind(Table::Fact, &key)).unwrap().unwrap();
        assert_eq!(vault.open_at(Table::Fact, &key, &value, &store).is_ok(), n >= 10, "{n}");
    }
}

#[test]
fn nothing_is_erased_while_cases_are_locked_or_a_wrap_is_damaged() {
    let mut node = Node::new(6);
    node.vault.lock();
    let Node { store, vault, opened, rng, .. } = &mut node;
    let locked = finalise(store, vault, opened, &[ANA], rng);
    assert!(matches!(locked, Err(ErasureError::Vault(VaultError::Locked))));
    vault.unlock(opened.content().unwrap()).unwrap();
    let (key, mut value) = store.scan(1, None, 10).unwrap().rows.remove(0);
    let good = value.clone();
    *value.last_mut().unwrap() ^= 1;
    let mut plant = |value| {
        let puts = vec![crate::Put { table: 1, key, value }];
        store.commit(&Changes { generation: store.generation(), puts, ..Changes::default() }).unwrap();
        finalise(store, vault, opened, &[ANA], rng)
    };
    assert!(matches!(plant(value), Err(ErasureError::Vault(VaultError::WrapDamaged))));
    // And the node goes on: the next try, with the row put back, succeeds.
    assert_eq!(plant(good).ok(), Some(Erased { epoch: 2, survivors: 2 }));
}

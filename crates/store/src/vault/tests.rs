//! The vault against a thief with the disk, against mixed-up rows, and against commits that fail.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::{CaseId, Digest};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;

const ANA: Under = Under::Case(CaseId([0xA1; 16]), 0);
const ANA_HEALTH: Under = Under::Case(CaseId([0xA1; 16]), 3);
const MIRA: Under = Under::Case(CaseId([0xB2; 16]), 0);
const LETTER: Under = Under::Letter(Digest([0xC3; 32]));

/// A store as a thief sees it.
#[derive(Default, Clone)]
struct Shelf {
    rows: BTreeMap<(u8, Key), Vec<u8>>,
    events: Vec<EventLeaf>,
}

impl WrapSource for Shelf {
    fn wrap(&self, row: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.get(&(Table::Wrap as u8, *row)).cloned())
    }
}

struct BlindShelf;

impl WrapSource for BlindShelf {
    fn wrap(&self, _: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Stopped)
    }
}

impl Shelf {
    /// Commits as a store does: all or nothing, expectations first.
    fn commit(&mut self, changes: Changes) -> bool {
        changes.check().unwrap();
        if changes.must_be_new.iter().any(|place| self.rows.contains_key(place)) {
            return false;
        }
        for put in changes.puts {
            self.rows.insert((put.table, put.key), put.value);
        }
        for place in changes.dels {
            self.rows.remove(&place);
        }
        self.events.extend(changes.events);
        true
    }

    fn wraps(&self) -> Vec<(Key, Vec<u8>)> {
        let wraps = self.rows.iter().filter(|((table, _), _)| *table == Table::Wrap as u8);
        wraps.map(|((_, key), value)| (*key, value.clone())).collect()
    }

    fn holds(&self, needle: &[u8]) -> bool {
        let rows = self.rows.iter().flat_map(|((_, key), value)| [key.as_slice(), value.as_slice()]);
        let events = self.events.iter().map(|leaf| leaf.sealed.as_slice());
        rows.chain(events).any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    }
}

struct World {
    vault: Vault,
    service: ServiceKeys,
    content: ContentKeys,
    shelf: Shelf,
    rng: ChaCha20Rng,
}

fn row(table: Table, key: &[u8], value: &[u8], under: Under) -> Row {
    Row { table, key: key.to_vec(), value: Some(value.to_vec()), under, must_be_new: false }
}

fn fact(key: &[u8], value: &[u8], under: Under) -> Row {
    row(Table::Fact, key, value, under)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (service, content) = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let vault = Vault::new(&service, Some(&content)).ok().unwrap();
        Self { vault, service, content, shelf: Shelf::default(), rng }
    }

    fn seal(&mut self, rows: &[Row]) -> Result<(Changes, Ticket), VaultError> {
        let batch = Batch { rows, ..Batch::default() };
        self.vault.seal(batch, &self.shelf, &mut self.rng)
    }

    fn put(&mut self, rows: &[Row]) {
        let (changes, ticket) = self.seal(rows).unwrap_or_else(|e| panic!("{e}"));
        assert!(self.shelf.commit(changes));
        self.vault.committed(ticket);
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, VaultError> {
        let blind = self.vault.blind(table, key);
        let value = &self.shelf.rows[&(table as u8, blind)];
        let plain = self.vault.open(table, &blind, value, &self.shelf)?;
        assert_eq!(plain.key, key);
        Ok(plain.value.to_vec())
    }

    /// A vault of the same keys that has opened nothing yet: the next start.
    fn restart(&mut self) {
        self.vault = Vault::new(&self.service, Some(&self.content)).ok().unwrap();
    }

    fn stored(&self, key: &[u8]) -> ((u8, Key), Vec<u8>) {
        let place = (Table::Fact as u8, self.vault.blind(Table::Fact, key));
        (place, self.shelf.rows[&place].clone())
    }
}

#[test]
fn rows_come_back_with_their_logical_keys_after_a_restart() {
    let mut world = World::new(1);
    let unders = [Under::Service, Under::Evidence, ANA, ANA_HEALTH, MIRA, LETTER];
    let rows: Vec<_> = unders.iter().zip(0u8..).map(|(under, n)| fact(&[n], &[n; 40], *under)).collect();
    world.put(&rows);
    world.put(&[fact(b"", b"", ANA), fact(&[9; KEY_MAX], b"x", Under::Service)]);
    for _ in 0..2 {
        for n in 0..6 {
            assert_eq!(world.read(Table::Fact, &[n]).unwrap(), [n; 40]);
        }
        assert_eq!(world.read(Table::Fact, b"").unwrap(), b"");
        assert_eq!(world.read(Table::Fact, &[9; KEY_MAX]).unwrap(), b"x");
        world.restart();
    }
    // One wrap for each case and class and one for the letter.
    assert_eq!(world.shelf.wraps().len(), 4);
}

#[test]
fn a_stolen_store_shows_no_name_no_key_and_no_id() {
    let mut world = World::new(2);
    let (name, key) = (b"CANARY Ana Petrovic +381".as_slice(), b"fact/CANARY-logical-key".as_slice());
    for under in [Under::Service, Under::Evidence, ANA, LETTER] {
        world.put(&[fact(key, name, under)]);
    }
    let events = [EventRow {
        index: 0,
        commitment: [5; 32],
        salt: *b"CANARY-salt-of-thirty-two-bytes!",
        opening: name.to_vec(),
    }];
    let batch = Batch { events: &events, ..Batch::default() };
    let (changes, ticket) = world.vault.seal(batch, &world.shelf, &mut world.rng).ok().unwrap();
    assert!(world.shelf.commit(changes));
    world.vault.committed(ticket);
    for needle in [b"CANARY".as_slice(), b"Petrovic", &name[..8], &key[..8], &[0xA1; 8], &[0xC3; 8]] {
        assert!(!world.shelf.holds(needle));
    }
    let keys = [&world.service.data, &world.service.evidence, &world.service.index, &world.service.nmk];
    for secret in keys.into_iter().chain([&world.content.nmk]) {
        assert!(!world.shelf.holds(&secret.expose()[..8]));
    }
    let opened = world.vault.open_event(&world.shelf.events[0]).ok().unwrap();
    assert!(opened == events[0]);
    // Closed, it says so; lost altogether, it is damage.
    let closed = EventLeaf { sealed: vec![], ..world.shelf.events[0].clone() };
    assert!(matches!(world.vault.open_event(&closed), Err(VaultError::Erased)));
    let lost = EventLeaf { commitment: [0; 32], ..closed };
    assert!(matches!(world.vault.open_event(&lost), Err(VaultError::Damaged { .. })));
}

#[test]
fn a_stolen_store_does_not_tell_which_rows_belong_together() {
    let mut world = World::new(3);
    world.put(&[fact(b"1", b"same", ANA), fact(b"2", b"same", ANA), fact(b"3", b"same", Under::Service)]);
    let unders: BTreeSet<_> = [b"1", b"2", b"3"].iter().map(|key| world.stored(*key).1[1..18].to_vec()).collect();
    assert_eq!(unders.len(), 3);
    // And it is the nonce that hides them: the same tag lies beneath.
    let tag = |key: &[u8]| value::parse(&world.service.index, Table::Fact as u8, &world.stored(key).1).map(|p| p.tag);
    assert!(tag(b"1").ok() == tag(b"2").ok());
}

#[test]
fn two_sealings_of_one_row_differ() {
    let mut world = World::new(4);
    let rows = [fact(b"key", b"value", ANA)];
    let (first, _ticket) = world.seal(&rows).ok().unwrap();
    let (second, _ticket) = world.seal(&rows).ok().unwrap();
    let value = |changes: &Changes| changes.puts.iter().find(|p| p.table == Table::Fact as u8).unwrap().value.clone();
    assert_ne!(value(&first), value(&second));
    assert_eq!(value(&first).len(), value(&second).len());
}

#[test]
fn values_swapped_between_keys_tables_or_cases_do_not_open() {
    let mut world = World::new(5);
    world.put(&[fact(b"a1", b"one", ANA), fact(b"a2", b"two", ANA), fact(b"b1", b"three", MIRA)]);
    world.put(&[row(Table::Draft, b"a1", b"draft", ANA)]);
    let (place_a1, a1) = world.stored(b"a1");
    let (place_a2, a2) = world.stored(b"a2");
    let (place_b1, b1) = world.stored(b"b1");
    let swaps = [(place_a1, &a2), (place_a2, &a1), (place_a1, &b1), (place_b1, &a1)];
    for (place, value) in swaps {
        let opened = world.vault.open(Table::Fact, &place.1, value, &world.shelf);
        assert!(matches!(opened, Err(VaultError::Damaged { table: 8 })));
    }
    let opened = world.vault.open(Table::Draft, &place_a1.1, &a1, &world.shelf);
    assert!(matches!(opened, Err(VaultError::Damaged { table: 14 })));
    // Two wraps swapped: each case would open with the other's key.
    let wraps = world.shelf.wraps();
    world.shelf.rows.insert((Table::Wrap as u8, wraps[0].0), wraps[1].1.clone());
    world.shelf.rows.insert((Table::Wrap as u8, wraps[1].0), wraps[0].1.clone());
    world.restart();
    assert!(matches!(world.read(Table::Fact, b"a1"), Err(VaultError::WrapDamaged)));
}

#[test]
fn ciphertext_of_one_case_under_the_tag_of_another_does_not_open() {
    let mut world = World::new(6);
    world.put(&[fact(b"a", b"one", ANA), fact(b"b", b"two", MIRA)]);
    let (place, value) = world.stored(b"a");
    let index = &world.service.index;
    let (ana, mira) = (wrap::tag(index, ANA), wrap::tag(index, MIRA));
    let mut forged = value.clone();
    let handles = ana.handle.iter().zip(mira.handle);
    forged[2..18].iter_mut().zip(handles).for_each(|(byte, (a, b))| *byte ^= a ^ b);
    assert!(value::parse(index, 8, &forged).ok().unwrap().tag == mira);
    let opened = world.vault.open(Table::Fact, &place.1, &forged, &world.shelf);
    assert!(matches!(opened, Err(VaultError::Damaged { table: 8 })));
    // From case to service, where no wrap is asked for.
    let mut forged = value;
    forged[1] ^= Kind::Case as u8 ^ Kind::Service as u8;
    let opened = world.vault.open(Table::Fact, &place.1, &forged, &world.shelf);
    assert!(matches!(opened, Err(VaultError::Damaged { table: 8 })));
}

#[test]
fn a_box_is_bound_to_all_that_stands_before_it() {
    let mut rng = ChaCha20Rng::seed_from_u64(19);
    let [index, dek, nmk] = [(); 3].map(|()| SecretBytes::random(&mut rng));
    // With the very key that sealed it: what binds is the associated data, not the choice of a key.
    let (tag, other) = (wrap::tag(&index, ANA), wrap::tag(&index, MIRA));
    let (blind, place) = ([4; 32], |blind| Place { table: 8, blind });
    let value = value::seal((&index, &dek), tag, place(&blind), (b"key", b"value"), &mut rng).ok().unwrap();
    let parsed = || value::parse(&index, 8, &value).ok().unwrap();
    assert!(value::open(&parsed(), &dek, place(&blind)).is_ok());
    let mut forged = parsed();
    forged.tag = other;
    assert!(value::open(&forged, &dek, place(&blind)).is_err());
    assert!(value::open(&parsed(), &dek, place(&[5; 32])).is_err());
    assert!(value::open(&parsed(), &dek, Place { table: 9, blind: &blind }).is_err());

    let wrap = wrap::seal(&nmk, &blind, tag, 7, &dek, &mut rng).ok().unwrap();
    assert!(wrap::open(&nmk, &blind, &wrap).is_ok());
    assert!(wrap::open(&nmk, &[5; 32], &wrap).is_err());
    for at in 0..6 {
        let mut bytes = wrap.clone();
        bytes[at] ^= 1;
        assert!(wrap::open(&nmk, &blind, &bytes).is_err(), "byte {at}");
    }
}

#[test]
fn every_flipped_bit_of_a_value_a_wrap_and_an_event_is_refused() {
    let mut world = World::new(7);
    world.put(&[fact(b"a", b"one", ANA)]);
    let (place, value) = world.stored(b"a");
    for at in 0..value.len() {
        let mut bytes = value.clone();
        bytes[at] ^= 1;
        assert!(world.vault.open(Table::Fact, &place.1, &bytes, &world.shelf).is_err(), "byte {at}");
        assert!(world.vault.open(Table::Fact, &place.1, &value[..at], &world.shelf).is_err(), "cut {at}");
    }
    let (wrap_row, wrap) = world.shelf.wraps().remove(0);
    for at in 0..wrap.len() {
        let mut bytes = wrap.clone();
        bytes[at] ^= 1;
        world.shelf.rows.insert((Table::Wrap as u8, wrap_row), bytes);
        world.restart();
        assert!(world.read(Table::Fact, b"a").is_err(), "byte {at} of the wrap");
    }
    let events = [EventRow { index: 3, commitment: [5; 32], salt: [6; 32], opening: vec![7; 256] }];
    let batch = Batch { events: &events, ..Batch::default() };
    let (changes, _ticket) = world.vault.seal(batch, &world.shelf, &mut world.rng).ok().unwrap();
    let leaf = &changes.events[0];
    for at in 0..leaf.sealed.len() {
        let mut bad = leaf.clone();
        bad.sealed[at] ^= 1;
        assert!(world.vault.open_event(&bad).is_err(), "byte {at} of the event");
    }
    assert!(world.vault.open_event(&EventLeaf { index: 4, ..leaf.clone() }).is_err());
    assert!(world.vault.open_event(&EventLeaf { commitment: [4; 32], ..leaf.clone() }).is_err());
}

#[test]
fn a_newer_value_is_named_and_not_called_damaged() {
    let mut world = World::new(8);
    world.put(&[fact(b"a", b"one", ANA)]);
    let (place, mut value) = world.stored(b"a");
    value[0] = 2;
    let opened = world.vault.open(Table::Fact, &place.1, &value, &world.shelf);
    assert!(matches!(opened, Err(VaultError::Newer { found: 2, known: 1 })));
    let events = [EventRow { index: 3, commitment: [5; 32], salt: [6; 32], opening: vec![7; 256] }];
    let batch = Batch { events: &events, ..Batch::default() };
    let (mut changes, _ticket) = world.vault.seal(batch, &world.shelf, &mut world.rng).ok().unwrap();
    let leaf = &mut changes.events[0];
    assert!(world.vault.open_event(leaf).ok().unwrap() == events[0]);
    leaf.sealed[0] = 2;
    assert!(matches!(world.vault.open_event(leaf), Err(VaultError::Newer { found: 2, known: 1 })));
    leaf.sealed[0] = 0;
    assert!(matches!(world.vault.open_event(leaf), Err(VaultError::Damaged { .. })));
}

#[test]
fn locking_drops_the_cases_and_nothing_else() {
    let mut world = World::new(9);
    world.put(&[fact(b"a", b"case", ANA), fact(b"l", b"letter", LETTER), fact(b"s", b"service", Under::Service)]);
    assert_eq!(world.vault.deks().len(), 2);
    world.vault.lock();
    assert!(world.vault.is_locked());
    assert_eq!(world.vault.deks().len(), 1);
    assert!(matches!(world.read(Table::Fact, b"a"), Err(VaultError::Locked)));
    assert!(matches!(world.seal(&[fact(b"a", b"new", ANA)]), Err(VaultError::Locked)));
    assert!(matches!(world.vault.begin_turn(), Err(VaultError::Locked)));
    assert_eq!(world.read(Table::Fact, b"l").unwrap(), b"letter");
    let other = Under::Letter(Digest([0xD4; 32]));
    world.put(&[fact(b"m", b"received at night", other), fact(b"e", b"evidence", Under::Evidence)]);
    let gone = Row { value: None, ..fact(b"a", b"", ANA) };
    assert!(world.seal(&[gone]).is_ok());
    world.vault.unlock(&world.content).unwrap();
    assert_eq!(world.read(Table::Fact, b"a").unwrap(), b"case");
    assert_eq!(world.read(Table::Fact, b"m").unwrap(), b"received at night");
}

#[test]
fn a_locked_node_says_locked_and_not_whether_a_case_was_erased() {
    let mut world = World::new(20);
    world.put(&[fact(b"a", b"case", ANA)]);
    world.vault.lock();
    world.shelf.rows.retain(|(table, _), _| *table != Table::Wrap as u8);
    assert!(matches!(world.read(Table::Fact, b"a"), Err(VaultError::Locked)));
}

#[test]
fn a_wrap_that_holds_the_key_of_another_case_is_refused() {
    let mut world = World::new(21);
    world.put(&[fact(b"a", b"one", ANA)]);
    let (row, _) = world.shelf.wraps().remove(0);
    let (mira, dek) = (wrap::tag(&world.service.index, MIRA), SecretBytes::random(&mut world.rng));
    let wrap = wrap::seal(&world.content.nmk, &row, mira, 1, &dek, &mut world.rng).ok().unwrap();
    world.shelf.rows.insert((Table::Wrap as u8, row), wrap);
    world.restart();
    assert!(matches!(world.read(Table::Fact, b"a"), Err(VaultError::WrapDamaged)));
}

#[test]
fn a_batch_that_fails_takes_no_key_with_it() {
    let mut world = World::new(10);
    // The first batch of a new case is refused for another reason; the second must bring the key all the same.
    let (_, ticket) = world.seal(&[fact(b"a", b"one", ANA)]).ok().unwrap();
    world.vault.abandoned(ticket);
    world.put(&[fact(b"b", b"two", ANA)]);
    world.restart();
    assert_eq!(world.read(Table::Fact, b"b").unwrap(), b"two");

    // Once durable it is not written again.
    world.put(&[fact(b"c", b"three", ANA)]);
    let (changes, _ticket) = world.seal(&[fact(b"d", b"four", ANA)]).ok().unwrap();
    assert!(changes.puts.iter().all(|put| put.table != Table::Wrap as u8));
}

#[test]
fn two_keys_for_one_case_cannot_both_be_committed() {
    let mut world = World::new(11);
    let (first, _ticket) = world.seal(&[fact(b"a", b"one", ANA)]).ok().unwrap();
    world.restart();
    let (second, _ticket) = world.seal(&[fact(b"b", b"two", ANA)]).ok().unwrap();
    assert!(world.shelf.commit(first));
    assert!(!world.shelf.commit(second));
}

#[test]
fn a_store_that_cannot_answer_is_an_error_and_not_a_new_key() {
    let mut world = World::new(12);
    world.put(&[fact(b"a", b"one", ANA)]);
    world.restart();
    let rows = [fact(b"a", b"two", ANA)];
    let sealed = world.vault.seal(Batch { rows: &rows, ..Batch::default() }, &BlindShelf, &mut world.rng);
    assert!(matches!(sealed, Err(VaultError::Store(_))));
    let (place, value) = world.stored(b"a");
    assert!(matches!(world.vault.open(Table::Fact, &place.1, &value, &BlindShelf), Err(VaultError::Store(_))));
}

#[test]
fn of_several_rows_at_one_key_the_last_stands_and_a_new_one_cannot_be_the_second() {
    let mut world = World::new(13);
    let gone = Row { value: None, ..fact(b"b", b"", ANA) };
    world.put(&[fact(b"a", b"one", ANA), fact(b"a", b"two", ANA), fact(b"b", b"three", ANA), gone]);
    assert_eq!(world.read(Table::Fact, b"a").unwrap(), b"two");
    let b = world.vault.blind(Table::Fact, b"b");
    assert!(!world.shelf.rows.contains_key(&(Table::Fact as u8, b)));
    let new = Row { must_be_new: true, ..fact(b"c", b"four", ANA) };
    assert!(matches!(world.seal(&[new.clone(), new.clone()]), Err(VaultError::NotNew { table: 8 })));
    let (changes, _ticket) = world.seal(&[new]).ok().unwrap();
    assert_eq!(changes.must_be_new, [(8, world.vault.blind(Table::Fact, b"c"))]);
}

#[test]
fn limits_and_the_wrap_table_are_guarded() {
    let mut world = World::new(14);
    assert!(matches!(world.seal(&[row(Table::Wrap, b"k", b"v", Under::Service)]), Err(VaultError::WrapTable)));
    let long = fact(&[0; KEY_MAX + 1], b"v", Under::Service);
    assert!(matches!(world.seal(&[long]), Err(VaultError::KeyTooLong { table: 8 })));
    let large = fact(b"k", &vec![0; crate::changes::VALUE_MAX], Under::Service);
    assert!(matches!(world.seal(&[large]), Err(VaultError::ValueTooLong { table: 8 })));
    // The longest value is not sealed here, which would take seconds: its length is that of every value.
    world.put(&[fact(b"key", b"value", ANA)]);
    assert_eq!(world.stored(b"key").1.len(), value::sealed_len(3, 5));
}

#[test]
fn the_keys_in_memory_are_bounded() {
    let mut world = World::new(15);
    for n in 0..=(deks::DEKS_MAX as u32 / 500 + 1) {
        let unders = (0..500u32).map(|m| [n.to_be_bytes(), m.to_be_bytes(), [0; 4], [0; 4]].concat());
        let rows: Vec<_> =
            unders.map(|id| fact(&id, b"v", Under::Case(CaseId::try_from(id.as_slice()).unwrap(), 0))).collect();
        world.put(&rows);
        assert!(world.vault.deks().len() <= deks::DEKS_MAX);
    }
    assert_eq!(world.read(Table::Fact, &[0; 16]).unwrap(), b"v");
}

#[test]
fn an_erased_key_is_refused_until_the_batch_is_settled_and_gone_after_it() {
    let mut world = World::new(16);
    world.put(&[fact(b"a", b"one", ANA), fact(b"b", b"two", MIRA)]);
    let erase = [ANA, Under::Service];
    let rows = [fact(b"c", b"three", ANA)];
    let both = Batch { rows: &rows, erase: &erase, ..Batch::default() };
    let refused = world.vault.seal(both, &world.shelf, &mut world.rng);
    assert!(matches!(refused, Err(VaultError::BeingErased)));

    let only = Batch { erase: &erase, ..Batch::default() };
    let (_, ticket) = world.vault.seal(only, &world.shelf, &mut world.rng).ok().unwrap();
    assert!(matches!(world.seal(&rows), Err(VaultError::BeingErased)));
    world.vault.abandoned(ticket);
    assert!(world.seal(&rows).is_ok());

    let (changes, ticket) = world.vault.seal(only, &world.shelf, &mut world.rng).ok().unwrap();
    assert!(world.shelf.commit(changes));
    world.vault.committed(ticket);
    assert!(matches!(world.read(Table::Fact, b"a"), Err(VaultError::Erased)));
    assert_eq!(world.read(Table::Fact, b"b").unwrap(), b"two");
    world.put(&rows);
    assert_eq!(world.read(Table::Fact, b"c").unwrap(), b"three");
    assert!(matches!(world.read(Table::Fact, b"a"), Err(VaultError::Damaged { .. })));
}

#[test]
fn the_wanted_wrap_is_named_for_those_who_fetch_it_themselves() {
    let mut world = World::new(17);
    world.put(&[fact(b"a", b"one", ANA), fact(b"s", b"two", Under::Service)]);
    let (_, value) = world.stored(b"a");
    assert_eq!(world.vault.wanted_wrap(Table::Fact, &value).unwrap(), None);
    world.restart();
    assert_eq!(world.vault.wanted_wrap(Table::Fact, &value).unwrap(), Some(world.shelf.wraps()[0].0));
    assert_eq!(world.vault.wanted_wrap(Table::Fact, &world.stored(b"s").1).unwrap(), None);
}

#[test]
fn keys_of_another_epoch_are_refused() {
    let world = World::new(18);
    let other = ContentKeys { epoch: 2, ..ContentKeys::generate(&mut ChaCha20Rng::seed_from_u64(1)) };
    assert!(matches!(world.vault.unlock(&other), Err(VaultError::OtherEpoch)));
    assert!(matches!(Vault::new(&world.service, Some(&other)), Err(VaultError::OtherEpoch)));
}

mod turning {
    use super::*;
    use crate::keyfile::{DeviceSecret, KeyFile, NewSlot, Opened, Opens, SlotSecret};
    use crate::passphrase::Credential;
    use crate::private_file::tests::Folder;
    use clearhouse_protocol::ids::{Net, NodeId};

    struct Node {
        world: World,
        folder: Folder,
        credential: Credential,
        opened: Opened,
    }

    impl Node {
        fn new(seed: u64) -> Self {
            let mut world = World::new(seed);
            let folder = Folder::new();
            let credential = Credential::create(&folder.file("credential"), &mut world.rng).unwrap();
            let device = DeviceSecret::create(&folder.file("device"), &mut world.rng).ok().unwrap();
            let slots = [NewSlot::Credential { secret: &credential, opens: Opens::Both }];
            let keys = (world.service.duplicate(), ContentKeys::generate(&mut world.rng));
            let whose = (Net([1; 32]), NodeId([2; 16]));
            let opened = KeyFile::create(&folder.file("key"), whose, keys, &slots, &device, &mut world.rng);
            let opened = opened.ok().unwrap();
            world.vault = Vault::new(opened.service(), opened.content()).ok().unwrap();
            Self { world, folder, credential, opened }
        }

        fn reopen(&mut self) {
            let device = DeviceSecret::open(&self.folder.file("device")).ok().unwrap();
            let locked = KeyFile::open(&self.folder.file("key")).ok().unwrap();
            self.opened = locked.unlock(&SlotSecret::Credential(&self.credential), &device).ok().unwrap();
            self.world.vault = Vault::new(self.opened.service(), self.opened.content()).ok().unwrap();
        }

        /// The first half of an erasure: everything but the key file.
        fn rewrap(&mut self, erased: &[Under]) -> crate::keyfile::NextEpoch {
            let world = &mut self.world;
            world.vault.begin_turn().unwrap();
            let next = self.opened.next_epoch(&mut world.rng).ok().unwrap();
            let page = world.shelf.wraps();
            let rewrapped = world.vault.rewrap(&next, &page, erased, &mut world.rng).unwrap();
            assert!(world.shelf.commit(Changes { puts: rewrapped.puts, ..Changes::default() }));
            next
        }

        fn erase(&mut self, erased: &[Under]) {
            let next = self.rewrap(erased);
            self.opened.enter_epoch(next, &mut self.world.rng).ok().unwrap();
            self.world.vault.end_turn(self.opened.service(), self.opened.content()).unwrap();
            let dels = self.world.vault.unusable_wraps(&self.world.shelf.wraps()).unwrap();
            assert!(self.world.shelf.commit(Changes { dels, ..Changes::default() }));
        }
    }

    #[test]
    fn an_erased_case_does_not_come_back_with_the_whole_disk_and_todays_keys() {
        let mut node = Node::new(30);
        node.world.put(&[fact(b"a", b"CANARY", ANA), fact(b"b", b"stays", MIRA), fact(b"l", b"letter", LETTER)]);
        let before = node.world.shelf.clone();
        node.erase(&[ANA]);
        assert_eq!(node.world.shelf.wraps().len(), 2);
        node.reopen();
        assert_eq!(node.world.read(Table::Fact, b"b").unwrap(), b"stays");
        assert_eq!(node.world.read(Table::Fact, b"l").unwrap(), b"letter");
        assert!(matches!(node.world.read(Table::Fact, b"a"), Err(VaultError::Erased)));
        // The thief adds every row the disk ever had, old wraps included.
        for (place, value) in before.rows {
            node.world.shelf.rows.entry(place).or_insert(value);
        }
        node.reopen();
        assert!(matches!(node.world.read(Table::Fact, b"a"), Err(VaultError::Erased)));
        // Even where the old wrap is put in the new one's place.
        let tag = wrap::tag(&node.opened.service().index, ANA);
        let (old, new) = [1, 2].map(|epoch| wrap::row_key(&node.opened.service().index, &tag.handle, epoch)).into();
        let wrap = node.world.shelf.rows[&(1, old)].clone();
        node.world.shelf.rows.insert((1, new), wrap);
        assert!(matches!(node.world.read(Table::Fact, b"a"), Err(VaultError::WrapDamaged)));
    }

    #[test]
    fn a_crash_before_or_after_the_key_file_is_replaced_loses_no_survivor() {
        for replaced in [false, true] {
            let mut node = Node::new(31);
            node.world.put(&[fact(b"a", b"erased", ANA), fact(b"b", b"stays", MIRA), fact(b"l", b"letter", LETTER)]);
            let next = node.rewrap(&[ANA]);
            if replaced {
                node.opened.enter_epoch(next, &mut node.world.rng).ok().unwrap();
            }
            node.reopen();
            assert_eq!(node.world.read(Table::Fact, b"b").unwrap(), b"stays");
            assert_eq!(node.world.read(Table::Fact, b"l").unwrap(), b"letter");
            assert_eq!(node.world.read(Table::Fact, b"a").is_ok(), !replaced);
            // What the crash left does not stand in the way of doing it again, with a new case in between.
            node.world.put(&[fact(b"n", b"new", ANA_HEALTH)]);
            node.erase(&[ANA]);
            node.reopen();
            assert_eq!(node.world.read(Table::Fact, b"b").unwrap(), b"stays");
            assert_eq!(node.world.read(Table::Fact, b"n").unwrap(), b"new");
            assert!(node.world.read(Table::Fact, b"a").is_err());
            assert_eq!(node.world.shelf.wraps().len(), 3, "replaced: {replaced}");
        }
    }

    #[test]
    fn no_key_is_made_between_wrapping_and_replacing_and_none_without_a_beginning() {
        let mut node = Node::new(32);
        node.world.put(&[fact(b"a", b"one", ANA)]);
        // A key that was made and whose batch was given up: nothing in the store carries it into the next epoch.
        let (_, ticket) = node.world.seal(&[fact(b"c", b"three", ANA_HEALTH)]).ok().unwrap();
        node.world.vault.abandoned(ticket);
        let next = node.opened.next_epoch(&mut node.world.rng).ok().unwrap();
        let page = node.world.shelf.wraps();
        let early = node.world.vault.rewrap(&next, &page, &[], &mut node.world.rng);
        assert!(matches!(early, Err(VaultError::Turning)));
        node.world.vault.begin_turn().unwrap();
        assert!(matches!(node.world.seal(&[fact(b"b", b"two", MIRA)]), Err(VaultError::Turning)));
        assert!(matches!(node.world.seal(&[fact(b"c", b"three", ANA_HEALTH)]), Err(VaultError::Turning)));
        assert!(node.world.seal(&[fact(b"a", b"more", ANA)]).is_ok());
        node.world.vault.abandon_turn();
        assert!(node.world.seal(&[fact(b"b", b"two", MIRA)]).is_ok());
    }

    #[test]
    fn a_damaged_wrap_stops_the_erasure() {
        let mut node = Node::new(33);
        node.world.put(&[fact(b"a", b"one", ANA), fact(b"b", b"two", MIRA)]);
        node.world.vault.begin_turn().unwrap();
        let next = node.opened.next_epoch(&mut node.world.rng).ok().unwrap();
        let mut page = node.world.shelf.wraps();
        *page[1].1.last_mut().unwrap() ^= 1;
        let refused = node.world.vault.rewrap(&next, &page, &[], &mut node.world.rng);
        assert!(matches!(refused, Err(VaultError::WrapDamaged)));
    }
}

#[test]
fn a_lock_takes_the_keys_of_cases_out_of_memory_and_no_others() {
    let mut world = World::new(40);
    world.put(&[fact(b"ana", b"1", ANA), fact(b"mira", b"2", MIRA), fact(b"letter", b"3", LETTER)]);
    assert!(!world.vault.is_locked() && world.vault.deks().len() == 3);
    world.vault.lock();
    assert!(world.vault.is_locked() && world.vault.deks().len() == 1);
    assert_eq!(world.read(Table::Fact, b"letter").ok(), Some(b"3".to_vec()));
    world.vault.unlock(&world.content).unwrap();
    assert!(!world.vault.is_locked());
}

#[test]
fn a_turn_ends_with_keys_of_the_next_epoch_for_both_compartments_and_no_others() {
    for (service, content, is_next) in
        [(2, Some(2), true), (2, None, true), (2, Some(1), false), (3, Some(3), false), (1, None, false)]
    {
        let mut world = World::new(41);
        let service = ServiceKeys { epoch: service, ..ServiceKeys::generate(&mut world.rng) };
        let content = content.map(|epoch| ContentKeys { epoch, ..ContentKeys::generate(&mut world.rng) });
        let ended = world.vault.end_turn(&service, content.as_ref());
        assert_eq!((ended.is_ok(), world.vault.epoch()), (is_next, if is_next { 2 } else { 1 }));
    }
}

//! A key file against thieves, power cuts, tired administrators and flipped bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clearhouse_protocol::ids::{Net, NodeId, StaffId};
use clearhouse_protocol::pae::sha256;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::*;
use crate::passphrase::{Credential, Passphrase};
use crate::private_file::PrivateFileError;
use crate::private_file::tests::{Folder, STEPS, chmod};

const NET: Net = Net([7; 32]);
const NODE: NodeId = NodeId([9; 16]);
const ANA: StaffId = StaffId([1; 16]);
const MIRA: StaffId = StaffId([2; 16]);

struct World {
    folder: Folder,
    rng: ChaCha20Rng,
    credential: Credential,
    passphrase: Passphrase,
}

fn pass(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
}

fn person(who: StaffId, secret: &Passphrase) -> NewSlot<'_> {
    NewSlot::Person { staff: who, secret, cost: KdfCost::TINY }
}

impl World {
    /// A node with a credential for the service (slot 1) and a pass phrase for everything (slot 2).
    fn new(seed: u64) -> (Self, Opened) {
        let folder = Folder::new();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let credential = Credential::create(&folder.file("credential"), &mut rng).unwrap();
        let passphrase = pass("six words nobody ever put together");
        let device = DeviceSecret::create(&folder.file("device"), &mut rng).ok().unwrap();
        let slots = [
            NewSlot::Credential { secret: &credential, opens: Opens::Service },
            NewSlot::Passphrase { secret: &passphrase, cost: KdfCost::TINY, opens: Opens::Both },
        ];
        let mut content = ContentKeys::generate(&mut rng);
        content.prekeys.insert(2900, SecretBytes::random(&mut rng));
        let keys = (ServiceKeys::generate(&mut rng), content);
        let opened = KeyFile::create(&folder.file("key"), (NET, NODE), keys, &slots, &device, &mut rng);
        let opened = opened.ok().unwrap();
        (Self { folder, rng, credential, passphrase }, opened)
    }

    fn key(&self) -> PathBuf {
        self.folder.file("key")
    }

    fn device(&self) -> DeviceSecret {
        DeviceSecret::open(&self.folder.file("device")).ok().unwrap()
    }

    fn try_open(&self, secret: &SlotSecret<'_>) -> Result<Opened, KeyFileError> {
        KeyFile::open(&self.key())?.unlock(secret, &self.device())
    }

    fn both(&self) -> Opened {
        self.try_open(&SlotSecret::Passphrase(&self.passphrase)).ok().unwrap()
    }

    fn by_credential(&self) -> Result<Opened, KeyFileError> {
        self.try_open(&SlotSecret::Credential(&self.credential))
    }

    /// Replaces the file by other bytes, as a thief with a disk would.
    fn plant(&self, bytes: &[u8]) {
        fs::write(self.key(), bytes).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.key()).unwrap()
    }
}

/// Bytes of a key file with the checksum made right again.
fn resum(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 32;
    let sum = sha256(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum);
    bytes
}

fn same(a: &SecretBytes, b: &SecretBytes) -> bool {
    a.expose() == b.expose()
}

#[test]
fn what_was_put_in_comes_out_and_only_what_the_slot_opens() {
    let (world, made) = World::new(1);
    let service = world.by_credential().ok().unwrap();
    assert!(same(&service.service().node_seed, &made.service().node_seed));
    assert!(same(&service.service().nmk, &made.service().nmk));
    assert!(service.content().is_none());
    let both = world.both();
    let (content, want) = (both.content().unwrap(), made.content().unwrap());
    assert!(same(&content.nmk, &want.nmk));
    assert!(same(&content.prekeys()[&2900], &want.prekeys()[&2900]));
    assert_eq!((both.net(), both.node(), both.epoch()), (NET, NODE, 1));
    assert_eq!(world.folder.names(), ["credential", "device", "key"]);
}

#[test]
fn a_wrong_pass_phrase_and_a_damaged_slot_look_the_same() {
    let (world, _) = World::new(2);
    let wrong = world.try_open(&SlotSecret::Passphrase(&pass("not that one at all"))).err().unwrap();
    assert_eq!(wrong.to_string(), "the pass phrase does not open this key file");
    let mut body = Body::from_file(&world.bytes()).unwrap();
    *body.slots[1].boxed.last_mut().unwrap() ^= 1;
    world.plant(&body.to_file());
    let damaged = world.try_open(&SlotSecret::Passphrase(&world.passphrase)).err().unwrap();
    assert_eq!(damaged.to_string(), wrong.to_string());
}

#[test]
fn the_pass_phrase_opens_nothing_without_the_device_secret() {
    let (mut world, _) = World::new(3);
    let other = DeviceSecret::create(&world.folder.file("other"), &mut world.rng).ok().unwrap();
    let locked = KeyFile::open(&world.key()).ok().unwrap();
    let refused = locked.unlock(&SlotSecret::Passphrase(&world.passphrase), &other);
    assert!(matches!(refused, Err(KeyFileError::WrongPassphrase)));
    let refused = locked.unlock(&SlotSecret::Credential(&world.credential), &other);
    assert!(matches!(refused, Err(KeyFileError::WrongCredential)));
}

#[test]
fn a_file_of_mode_0644_is_refused_with_its_chmod() {
    let (world, _) = World::new(4);
    chmod(&world.key(), 0o644);
    let error = KeyFile::open(&world.key()).err().unwrap();
    assert!(matches!(error, KeyFileError::File(PrivateFileError::OpenToOthers { mode: 0o644, .. })));
    assert!(error.to_string().ends_with(&format!("run: chmod 600 {}", world.key().display())), "{error}");
    chmod(&world.key(), 0o600);
    chmod(&world.folder.file("device"), 0o640);
    let device = DeviceSecret::open(&world.folder.file("device"));
    assert!(matches!(device, Err(KeyFileError::File(PrivateFileError::OpenToOthers { .. }))));
}

#[test]
fn a_file_made_weaker_is_refused_by_name_and_one_made_absurd_too() {
    let (world, _) = World::new(5);
    let with = |m_kib, t, p| {
        let mut body = Body::from_file(&world.bytes()).unwrap();
        let slot = &mut body.slots[1];
        (slot.m_kib, slot.t, slot.p) = (m_kib, t, p);
        let altered = body.to_file();
        world.plant(&altered);
        let result = KeyFile::open(&world.key()).map(|_| ());
        body.slots[1] = Body::from_file(&altered).map(|b| b.slots[1].clone()).unwrap_or_else(|_| body.slots[1].clone());
        result
    };
    let original = world.bytes();
    for (m, t, p) in [(65_535, 3, 4), (65_536, 2, 4), (65_536, 3, 3), (0, 0, 0)] {
        world.plant(&original);
        assert!(matches!(with(m, t, p), Err(KeyFileError::WeakKdf { slot: 2 })), "{m} {t} {p}");
    }
    for (m, t, p) in [(u32::MAX, 3, 4), (65_536, 17, 4), (65_536, 3, 17)] {
        world.plant(&original);
        assert!(matches!(with(m, t, p), Err(KeyFileError::ExcessiveKdf { slot: 2 })), "{m} {t} {p}");
    }
    // Numbers inside the limits that are not the slot's own: they are authenticated, so the slot stays shut.
    world.plant(&original);
    assert!(with(65_536, 3, 4).is_ok());
    let refused = world.try_open(&SlotSecret::Passphrase(&world.passphrase));
    assert!(matches!(refused, Err(KeyFileError::WrongPassphrase)));
    // And the lid notices even when another slot is used.
    assert!(matches!(world.by_credential(), Err(KeyFileError::Altered)));
}

#[test]
fn a_newer_version_is_refused_and_left_untouched_with_all_beside_it() {
    let (world, _) = World::new(6);
    let mut newer = world.bytes();
    newer[23] = 2;
    let newer = resum(newer);
    world.plant(&newer);
    fs::write(world.folder.file("key.new"), b"of the newer program").unwrap();
    chmod(&world.folder.file("key.new"), 0o600);
    assert!(matches!(KeyFile::open(&world.key()), Err(KeyFileError::Newer { found: 2, known: 1 })));
    assert_eq!(world.bytes(), newer);
    assert_eq!(fs::read(world.folder.file("key.new")).unwrap(), b"of the newer program");
}

#[test]
fn a_flipped_bit_anywhere_is_refused_whether_or_not_the_checksum_is_mended() {
    let (world, _) = World::new(7);
    let original = world.bytes();
    for at in 0..original.len() {
        for bit in [0, 7] {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << bit;
            world.plant(&bytes);
            let error = KeyFile::open(&world.key()).err().unwrap();
            assert!(matches!(error, KeyFileError::Damaged | KeyFileError::NotAKeyFile), "byte {at}: {error}");
            if at < original.len() - 32 {
                world.plant(&resum(bytes));
                assert!(world.by_credential().is_err(), "byte {at}, checksum mended");
            }
        }
    }
    for cut in [0, 1, 19, 24, 28, 60, original.len() - 1] {
        world.plant(&original[..cut]);
        assert!(KeyFile::open(&world.key()).is_err(), "cut to {cut}");
    }
    world.plant(&[original.as_slice(), b"\0"].concat());
    assert!(KeyFile::open(&world.key()).is_err());
    world.plant(&original);
    assert!(world.by_credential().is_ok());
}

#[test]
fn a_second_encoding_of_the_same_file_is_refused() {
    let (world, _) = World::new(22);
    let original = world.bytes();
    let with_body = |body: &[u8]| {
        let mut bytes = original[..24].to_vec();
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&[0; 32]);
        resum(bytes)
    };
    let body = &original[28..original.len() - 32];
    assert!(Body::from_file(&with_body(body)).is_ok());
    let unknown_field = [body, &[0x7a, 0x01, 0x00]].concat();
    let empty_field_twice = [body, &[0x3a, 0x00]].concat();
    let epoch_again = [body, &[0x18, 0x01]].concat();
    for other in [unknown_field, empty_field_twice, epoch_again] {
        assert!(matches!(Body::from_file(&with_body(&other)), Err(KeyFileError::Damaged)));
    }
}

#[test]
fn parts_of_an_older_file_cannot_be_brought_back() {
    let (mut world, mut opened) = World::new(8);
    let old = Body::from_file(&world.bytes()).unwrap();
    let mira = pass("mira's own long pass phrase");
    let id = opened.add_slot(&person(MIRA, &mira), &mut world.rng).ok().unwrap();
    let with_mira = Body::from_file(&world.bytes()).unwrap();
    opened.remove_slot(id, &mut world.rng).ok().unwrap();
    let now = Body::from_file(&world.bytes()).unwrap();
    let grafts: [fn(&mut Body, &Body, &Body); 4] = [
        |now, _, with| now.slots.push(with.slots[2].clone()),
        |now, old, _| now.content.clone_from(&old.content),
        |now, _, _| now.slots.truncate(1),
        |now, old, _| now.service.clone_from(&old.service),
    ];
    for (n, graft) in grafts.into_iter().enumerate() {
        let mut body = now.clone();
        graft(&mut body, &old, &with_mira);
        world.plant(&body.to_file());
        assert!(matches!(world.by_credential(), Err(KeyFileError::Altered)), "graft {n}");
    }
    // The whole old file: she would need the device secret of that time as well.
    world.plant(&with_mira.to_file());
    assert!(matches!(world.by_credential(), Err(KeyFileError::Altered)));
}

#[test]
fn another_nodes_and_another_networks_file_are_told_apart() {
    let (world, _) = World::new(9);
    let locked = KeyFile::open(&world.key()).ok().unwrap();
    assert!(locked.expect(NET, NODE).is_ok());
    assert!(matches!(locked.expect(Net([8; 32]), NODE), Err(KeyFileError::OtherNet)));
    assert!(matches!(locked.expect(NET, NodeId([8; 16])), Err(KeyFileError::OtherNode)));
    let mut body = Body::from_file(&world.bytes()).unwrap();
    body.node = vec![8; 16];
    world.plant(&body.to_file());
    assert!(matches!(world.by_credential(), Err(KeyFileError::WrongCredential)));
}

#[test]
fn a_person_opens_cases_on_a_running_node_and_not_after_she_left() {
    let (mut world, mut opened) = World::new(10);
    let (anas, miras) = (pass("ana's own long pass phrase"), pass("mira's own long pass phrase"));
    let ana = opened.add_slot(&person(ANA, &anas), &mut world.rng).ok().unwrap();
    opened.add_slot(&person(MIRA, &miras), &mut world.rng).ok().unwrap();
    drop(opened);

    let cold = world.try_open(&SlotSecret::Person(ANA, &anas));
    assert!(matches!(cold, Err(KeyFileError::OpensContentOnly)));
    let mut node = world.by_credential().ok().unwrap();
    assert!(matches!(node.unlock_content(&SlotSecret::Person(ANA, &miras)), Err(KeyFileError::WrongPassphrase)));
    assert!(matches!(node.unlock_content(&SlotSecret::Person(MIRA, &anas)), Err(KeyFileError::WrongPassphrase)));
    let service_only = node.unlock_content(&SlotSecret::Credential(&world.credential));
    assert!(matches!(service_only, Err(KeyFileError::OpensServiceOnly)));
    assert!(node.content().is_none());
    node.unlock_content(&SlotSecret::Person(ANA, &anas)).ok().unwrap();
    assert!(node.content().is_some());
    node.lock_content();
    assert!(node.content().is_none());
    assert!(matches!(node.remove_slot(ana, &mut world.rng), Err(KeyFileError::ContentLocked)));
    node.unlock_content(&SlotSecret::Person(MIRA, &miras)).ok().unwrap();
    node.remove_slot(ana, &mut world.rng).ok().unwrap();
    assert!(matches!(node.unlock_content(&SlotSecret::Person(ANA, &anas)), Err(KeyFileError::WrongPassphrase)));

    let mut node = world.by_credential().ok().unwrap();
    node.unlock_content(&SlotSecret::Person(MIRA, &miras)).ok().unwrap();
    assert!(matches!(node.unlock_content(&SlotSecret::Person(ANA, &anas)), Err(KeyFileError::WrongPassphrase)));
    assert_eq!(node.slots().iter().map(|slot| slot.id).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_slot_given_to_another_person_or_another_use_does_not_open() {
    let (mut world, mut opened) = World::new(23);
    let anas = pass("ana's own long pass phrase");
    opened.add_slot(&person(ANA, &anas), &mut world.rng).ok().unwrap();
    let original = Body::from_file(&world.bytes()).unwrap();
    let planted: [fn(&mut format::SlotRecord); 3] =
        [|slot| slot.staff = MIRA.to_vec(), |slot| slot.opens = 1, |slot| slot.salt[0] ^= 1];
    for (n, plant) in planted.into_iter().enumerate() {
        let mut body = original.clone();
        plant(&mut body.slots[2]);
        world.plant(&body.to_file());
        let who = if n == 0 { MIRA } else { ANA };
        let refused = world.try_open(&SlotSecret::Person(who, &anas));
        assert!(matches!(refused, Err(KeyFileError::WrongPassphrase)), "{n}");
    }
}

#[test]
fn a_changed_pass_phrase_replaces_the_old_one_in_one_step() {
    let (mut world, mut opened) = World::new(11);
    let fresh = pass("quite another long pass phrase");
    let new = NewSlot::Passphrase { secret: &fresh, cost: KdfCost::TINY, opens: Opens::Both };
    let service_only = NewSlot::Passphrase { secret: &fresh, cost: KdfCost::TINY, opens: Opens::Service };
    assert!(matches!(opened.change_slot(2, &service_only, &mut world.rng), Err(KeyFileError::LastSlot(2))));
    assert_eq!(opened.change_slot(2, &new, &mut world.rng).ok(), Some(3));
    assert!(world.try_open(&SlotSecret::Passphrase(&world.passphrase)).is_err());
    assert!(world.try_open(&SlotSecret::Passphrase(&fresh)).is_ok());
}

#[test]
fn the_last_door_is_not_removed_and_limits_hold() {
    let (mut world, mut opened) = World::new(12);
    assert!(matches!(opened.remove_slot(2, &mut world.rng), Err(KeyFileError::LastSlot(2))));
    assert!(matches!(opened.remove_slot(77, &mut world.rng), Err(KeyFileError::NoSuchSlot(77))));
    let short = pass("too short");
    let refused = opened.add_slot(&person(ANA, &short), &mut world.rng);
    assert!(matches!(refused, Err(KeyFileError::Passphrase(_))));
    let another = pass("yet another long pass phrase");
    for _ in 1..PASSPHRASE_SLOTS_MAX {
        let new = NewSlot::Passphrase { secret: &another, cost: KdfCost::TINY, opens: Opens::Service };
        opened.add_slot(&new, &mut world.rng).ok().unwrap();
    }
    let new = NewSlot::Passphrase { secret: &another, cost: KdfCost::TINY, opens: Opens::Service };
    assert!(matches!(opened.add_slot(&new, &mut world.rng), Err(KeyFileError::TooManySlots)));
    while opened.slots().len() < SLOTS_MAX {
        opened.add_slot(&person(ANA, &another), &mut world.rng).ok().unwrap();
    }
    assert!(matches!(opened.add_slot(&person(ANA, &another), &mut world.rng), Err(KeyFileError::TooManySlots)));
    let mut seeds = |n: usize| (0..n as u64).map(|week| (week, SecretBytes::random(&mut world.rng))).collect();
    let (most, more) = (seeds(PREKEYS_MAX), seeds(PREKEYS_MAX + 1));
    assert!(matches!(opened.set_prekeys(more, &mut world.rng), Err(KeyFileError::TooManyPrekeys)));
    opened.set_prekeys(most, &mut world.rng).unwrap();
    assert_eq!(world.both().content().unwrap().prekeys().len(), PREKEYS_MAX);
    assert_eq!(world.both().slots().len(), SLOTS_MAX);
}

#[test]
fn slots_can_be_added_for_the_service_while_cases_are_locked() {
    let (mut world, _) = World::new(13);
    let mut node = world.by_credential().ok().unwrap();
    let second = Credential::create(&world.folder.file("second"), &mut world.rng).unwrap();
    let service = NewSlot::Credential { secret: &second, opens: Opens::Service };
    let both = NewSlot::Credential { secret: &second, opens: Opens::Both };
    assert!(matches!(node.add_slot(&both, &mut world.rng), Err(KeyFileError::ContentLocked)));
    node.add_slot(&service, &mut world.rng).ok().unwrap();
    assert!(world.try_open(&SlotSecret::Credential(&second)).is_ok());
    assert!(world.both().content().is_some());
}

#[test]
fn a_dropped_prekey_turns_the_device_secret_and_an_added_one_does_not() {
    let (mut world, mut opened) = World::new(14);
    let device = fs::read(world.folder.file("device")).unwrap();
    let mut prekeys = opened.content().unwrap().duplicate_prekeys();
    prekeys.insert(2901, SecretBytes::random(&mut world.rng));
    opened.set_prekeys(prekeys, &mut world.rng).ok().unwrap();
    assert_eq!(fs::read(world.folder.file("device")).unwrap(), device);
    let old_file = world.bytes();

    let mut prekeys = opened.content().unwrap().duplicate_prekeys();
    prekeys.remove(&2900);
    opened.set_prekeys(prekeys, &mut world.rng).ok().unwrap();
    let turned = fs::read(world.folder.file("device")).unwrap();
    assert_eq!(turned[..32], device[..32]);
    assert_ne!(turned[32..], device[32..]);
    assert_eq!(world.both().content().unwrap().prekeys().keys().copied().collect::<Vec<_>>(), [2901]);
    assert_eq!(world.folder.names(), ["credential", "device", "key"]);

    // The old block of the key file, found on a worn disk: with everything else at hand it opens nothing.
    world.plant(&old_file);
    let refused = world.try_open(&SlotSecret::Passphrase(&world.passphrase));
    assert!(matches!(refused, Err(KeyFileError::Altered)));
}

#[test]
fn a_renewed_seed_is_the_only_thing_that_changes() {
    let (mut world, mut opened) = World::new(15);
    let seed = SecretBytes::random(&mut world.rng);
    opened.renew(Seed::Tls, seed.duplicate(), &mut world.rng).ok().unwrap();
    let again = world.by_credential().ok().unwrap();
    assert!(same(&again.service().tls_seed, &seed));
    assert!(same(&again.service().node_seed, &opened.service().node_seed));
}

#[test]
fn a_power_cut_at_any_step_of_an_erasure_leaves_one_openable_state() {
    for at in STEPS {
        let (mut world, mut opened) = World::new(16);
        let old = opened.content().unwrap().nmk.duplicate();
        assert!(opened.cut_short(&mut world.rng, at).is_err());
        let unfinished = opened.renew(Seed::Log, SecretBytes::random(&mut world.rng), &mut world.rng);
        assert!(matches!(unfinished, Err(KeyFileError::Unfinished)));
        drop(opened);

        let mut again = world.both();
        let (epoch, nmk) = (again.epoch(), &again.content().unwrap().nmk);
        assert_eq!(epoch == 1, same(nmk, &old), "{at:?}");
        // Once the new keys count, the turn under which the erased ones still opened is gone from the disk.
        let device = DeviceSecret::open(&world.folder.file("device")).ok().unwrap();
        assert!(epoch == 1 || device.turns().count() == 1, "{at:?}");
        // And the erasure can be done again from whichever state it is.
        let next = again.next_epoch(&mut world.rng).ok().unwrap();
        again.enter_epoch(next, &mut world.rng).ok().unwrap();
        let after = world.both();
        assert_eq!(after.epoch(), epoch + 1, "{at:?}");
        assert!(!same(&after.content().unwrap().nmk, &old));
        assert!(world.by_credential().is_ok());
        assert_eq!(world.folder.names(), ["credential", "device", "key"], "{at:?}");
    }
}

#[test]
fn an_epoch_is_entered_once_and_in_order() {
    let (mut world, mut opened) = World::new(17);
    let next = opened.next_epoch(&mut world.rng).ok().unwrap();
    let stale = opened.next_epoch(&mut world.rng).ok().unwrap();
    opened.enter_epoch(next, &mut world.rng).ok().unwrap();
    assert!(matches!(opened.enter_epoch(stale, &mut world.rng), Err(KeyFileError::Altered)));
    assert_eq!(world.both().epoch(), 2);
    let mut locked = world.by_credential().ok().unwrap();
    assert!(matches!(locked.next_epoch(&mut world.rng), Err(KeyFileError::ContentLocked)));
    let next = opened.next_epoch(&mut world.rng).ok().unwrap();
    assert!(matches!(locked.enter_epoch(next, &mut world.rng), Err(KeyFileError::ContentLocked)));
}

#[test]
fn two_programs_do_not_overwrite_each_others_changes() {
    let (mut world, mut first) = World::new(18);
    let mut second = world.both();
    first.renew(Seed::Log, SecretBytes::random(&mut world.rng), &mut world.rng).ok().unwrap();
    let refused = second.renew(Seed::Tls, SecretBytes::random(&mut world.rng), &mut world.rng);
    assert!(matches!(refused, Err(KeyFileError::File(PrivateFileError::Changed { .. }))));
    assert!(same(&world.both().service().log_seed, &first.service().log_seed));
}

#[test]
fn a_file_without_a_door_to_either_compartment_is_never_made() {
    let (mut world, _) = World::new(19);
    let device = world.device();
    let slots = [NewSlot::Credential { secret: &world.credential, opens: Opens::Service }];
    let keys = (ServiceKeys::generate(&mut world.rng), ContentKeys::generate(&mut world.rng));
    let path = world.folder.file("another");
    let refused = KeyFile::create(&path, (NET, NODE), keys, &slots, &device, &mut world.rng);
    assert!(matches!(refused, Err(KeyFileError::LastSlot(0))));
    let keys = (ServiceKeys::generate(&mut world.rng), ContentKeys::generate(&mut world.rng));
    let slots = [NewSlot::Credential { secret: &world.credential, opens: Opens::Both }];
    let refused = KeyFile::create(&world.key(), (NET, NODE), keys, &slots, &device, &mut world.rng);
    assert!(matches!(refused, Err(KeyFileError::File(PrivateFileError::Exists { .. }))));
    assert!(!path.exists());
}

#[test]
fn no_key_or_seed_stands_in_the_file_in_clear() {
    let (mut world, mut opened) = World::new(20);
    let seeds = (0..5).map(|week| (week, SecretBytes::random(&mut world.rng))).collect::<BTreeMap<_, _>>();
    opened.set_prekeys(seeds, &mut world.rng).ok().unwrap();
    let (service, content) = (opened.service(), opened.content().unwrap());
    let secrets = [&service.node_seed, &service.tls_seed, &service.log_seed, &service.witness_seed]
        .into_iter()
        .chain([&service.mailbox_secret, &service.data, &service.evidence, &service.index, &service.nmk])
        .chain([&content.nmk, opened.boxes_for_test().0, opened.boxes_for_test().1])
        .chain(content.prekeys().values());
    let bytes = world.bytes();
    for secret in secrets {
        assert!(!bytes.windows(8).any(|w| secret.expose().windows(8).any(|s| s == w)));
    }
}

#[test]
fn a_wiped_key_file_or_device_secret_opens_nothing() {
    let (world, _) = World::new(21);
    DeviceSecret::destroy(&world.folder.file("device")).ok().unwrap();
    KeyFile::destroy(&world.key()).ok().unwrap();
    assert_eq!(world.folder.names(), ["credential"]);
    assert!(matches!(KeyFile::open(&world.key()), Err(KeyFileError::File(PrivateFileError::Missing { .. }))));
}

#[test]
fn the_next_epoch_wraps_under_keys_that_are_new_and_keeps_the_others() {
    let (mut world, opened) = World::new(21);
    let next = opened.next_epoch(&mut world.rng).ok().unwrap();
    let (service, content) = (opened.service(), opened.content().unwrap());
    assert!(next.service().nmk.expose() != service.nmk.expose(), "who kept the old one opens nothing");
    assert!(next.content().nmk.expose() != content.nmk.expose());
    assert_eq!((next.service().epoch(), next.content().epoch()), (opened.epoch() + 1, opened.epoch() + 1));
    assert_eq!(next.service().node_seed.expose(), service.node_seed.expose());
    assert_eq!(next.service().data.expose(), service.data.expose());
    assert_eq!(next.content().prekeys().len(), content.prekeys().len());
}

#[test]
fn a_file_says_its_epoch_and_its_slots_before_anybody_opens_it() {
    let (mut world, mut opened) = World::new(22);
    let next = opened.next_epoch(&mut world.rng).ok().unwrap();
    opened.enter_epoch(next, &mut world.rng).ok().unwrap();
    let locked = KeyFile::open(&world.key()).ok().unwrap();
    assert_eq!((locked.epoch(), locked.slots().len()), (opened.epoch(), 2));
    assert_eq!((opened.epoch(), opened.service().epoch()), (2, 2));
}

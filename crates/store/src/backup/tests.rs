use std::path::PathBuf;

use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::labels;
use clearhouse_protocol::limits::SKEW_SECS;
use clearhouse_protocol::pae::pae_parts;
use clearhouse_protocol::recovery::RecoverySecret;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

use super::keys::{About, KeysFault, KeysFile, Sealed};
use super::records::{NAME_MAX, RecordsFault, Writer, Written, read};
use super::*;
use crate::changes::{Changes, EventLeaf, INLINE_MAX, Put};
use crate::contract::Store;
use crate::files::names;
use crate::keyfile::{ContentKeys, DeviceSecret, KdfCost, KeyFile, NewSlot, Opened, Opens, ServiceKeys};
use crate::passphrase::Passphrase;
use crate::private_file::tests::Folder as Private;

const ID: [u8; 16] = [7; 16];

fn commit(store: &mut DurableStore, n: u8, len: usize) {
    let put = Put { table: 1, key: [n; 32], value: vec![n; len] };
    let event = EventLeaf { index: store.event_count(), commitment: [n; 32], sealed: vec![n; 9] };
    let generation = store.generation();
    let changes = Changes { generation, puts: vec![put], events: vec![event], ..Changes::default() };
    store.commit(&changes).unwrap();
}

/// A store with a snapshot, a journal since, archives and bodies; and what was pinned of it before it went on.
fn pinned(dir: &Path) -> (DurableStore, PathBuf, crate::Stats) {
    let (mut store, _) = DurableStore::open(&dir.join("store")).unwrap();
    for n in 0..20 {
        commit(&mut store, n, if n % 5 == 0 { INLINE_MAX + 1 } else { 100 });
    }
    store.compact().unwrap();
    for n in 10..30 {
        commit(&mut store, n, if n % 7 == 0 { INLINE_MAX + 1 } else { 50 });
    }
    let (stats, pin) = (store.stats(), dir.join("pin"));
    store.pin(&pin).unwrap();
    (store, pin, stats)
}

/// Every file below a folder.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for name in names(dir).unwrap() {
        if dir.join(&name).is_dir() {
            all.extend(files(&dir.join(&name)).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            all.push(name);
        }
    }
    all
}

fn written(dir: &Path, pin: &Path) -> (PathBuf, Written) {
    let path = dir.join("a.backup");
    let mut writer = Writer::begin(&path, ID).unwrap();
    writer.part("node.toml", 5, &mut b"hello".as_slice()).unwrap();
    for name in files(pin) {
        writer.file(&format!("store/{name}"), &pin.join(&name)).unwrap();
    }
    (path, writer.finish().unwrap())
}

#[test]
fn what_was_pinned_stays_as_it_was_while_the_store_goes_on() {
    let dir = crate::journal::tests::folder();
    let (mut store, pin, stats) = pinned(dir.path());
    for n in 0..60 {
        commit(&mut store, n, if n % 3 == 0 { INLINE_MAX + 2 } else { 10 });
    }
    store.compact().unwrap();
    commit(&mut store, 99, 10);
    let after = store.stats();
    let (path, told) = written(dir.path(), &pin);
    fs::remove_dir_all(&pin).unwrap();
    let back = dir.path().join("back");
    fs::create_dir(&back).unwrap();
    let (id, found) = read(&path, Some(&back)).unwrap();
    assert_eq!((id, found), (ID, told));
    assert_eq!(fs::read(back.join("node.toml")).unwrap(), b"hello");
    let (mut restored, findings) = DurableStore::open(&back.join("store")).unwrap();
    assert!(findings.iter().all(|f| matches!(f, crate::Finding::IndexRebuilt { .. })), "{findings:?}");
    let now = restored.stats();
    assert_eq!(
        (now.generation, now.rows, now.digest, now.events),
        (stats.generation, stats.rows, stats.digest, stats.events)
    );
    assert_eq!(restored.scrub().unwrap(), []);
    commit(&mut restored, 200, 10);
    assert_eq!(store.stats().digest, after.digest);
    assert_eq!(store.scrub().unwrap(), []);
}

#[test]
fn a_store_that_was_just_compacted_or_is_new_is_pinned_too() {
    let dir = crate::journal::tests::folder();
    let (mut store, _) = DurableStore::open(&dir.path().join("store")).unwrap();
    for round in 0..3 {
        let pin = dir.path().join(format!("pin{round}"));
        store.pin(&pin).unwrap();
        let (path, _) = written(dir.path(), &pin);
        let back = dir.path().join(format!("back{round}"));
        fs::create_dir(&back).unwrap();
        read(&path, Some(&back)).unwrap();
        fs::remove_file(path).unwrap();
        let (restored, _) = DurableStore::open(&back.join("store")).unwrap();
        assert_eq!(restored.stats().digest, store.stats().digest, "round {round}");
        commit(&mut store, round, 10);
        if round == 1 {
            store.compact().unwrap();
        }
    }
}

#[test]
fn a_changed_byte_is_named_by_the_part_it_is_in() {
    let dir = crate::journal::tests::folder();
    let path = dir.path().join("a.backup");
    let mut writer = Writer::begin(&path, ID).unwrap();
    let parts = [("identity.toml", 40), ("store/FORMAT", 30), ("store/journal-1.log", 300), ("store/bodies/ab", 0)];
    for (name, len) in parts {
        writer.part(name, len, &mut vec![9u8; usize::try_from(len).unwrap()].as_slice()).unwrap();
    }
    let told = writer.finish().unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, told.bytes);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        // The id of another backup is whole in itself; the keys do not fit it.
        let Err(fault) = read(&path, None) else { panic!("byte {at}") };
        let within = |name: &str| {
            let start = whole.windows(name.len()).position(|w| w == name.as_bytes()).unwrap() + name.len();
            let len = usize::try_from(parts.iter().find(|(n, _)| *n == name).unwrap().1).unwrap();
            (start..start + len + 32).contains(&at)
        };
        for (name, _) in parts.iter().filter(|(name, _)| within(name)) {
            assert!(matches!(&fault, RecordsFault::Part(part) if part == name), "byte {at}: {fault}");
        }
        fs::write(&path, &whole[..at]).unwrap();
        assert!(matches!(read(&path, None), Err(RecordsFault::Cut(_))), "cut at {at}");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(matches!(read(&path, None), Err(RecordsFault::Longer)));
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(&path, None).unwrap().1, told);
}

#[test]
fn a_part_that_was_exchanged_with_its_digest_is_named_and_so_is_a_list_that_was() {
    let dir = crate::journal::tests::folder();
    let make = |name: &str, content: &[u8], id| {
        let path = dir.path().join(name);
        let mut writer = Writer::begin(&path, id).unwrap();
        writer.part("node.toml", content.len() as u64, &mut &*content).unwrap();
        writer.part("genesis.record", 3, &mut b"abc".as_slice()).unwrap();
        (fs::read(&path).unwrap(), writer.finish().unwrap(), path)
    };
    let (_, one, path) = make("one", b"good", ID);
    let (_, two, other) = make("two", b"evil", ID);
    let (good, evil) = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
    assert_ne!(one.contents, two.contents);
    let end = good.windows(14).position(|w| w == b"genesis.record").unwrap();
    fs::write(&path, [&evil[..end], &good[end..]].concat()).unwrap();
    assert!(matches!(read(&path, None), Err(RecordsFault::Part(part)) if part == "node.toml"));
}

#[test]
fn no_part_leads_out_of_its_folder() {
    let dir = crate::journal::tests::folder();
    let mut writer = Writer::begin(&dir.path().join("a"), ID).unwrap();
    for name in ["", "/etc/passwd", "../x", "a/../x", "a//b", ".hidden", "a/.b", "a/b/c/d/e", "na\u{ef}ve", "a b"] {
        assert!(matches!(writer.part(name, 0, &mut io::empty()), Err(RecordsFault::Name(_))), "{name}");
    }
}

#[test]
fn the_digest_of_a_part_is_over_its_backup_its_name_and_its_length() {
    let dir = crate::journal::tests::folder();
    let path = dir.path().join("a");
    let mut writer = Writer::begin(&path, ID).unwrap();
    writer.part("node.toml", 5, &mut b"hello".as_slice()).unwrap();
    writer.finish().unwrap();
    let before = pae_parts(labels::BACKUP, &[&ID, b"node.toml", &5u64.to_be_bytes()]);
    let digest: [u8; 32] = Sha256::digest([before.as_slice(), b"hello"].concat()).into();
    let whole = fs::read(&path).unwrap();
    // Behind the part, and in the list of contents.
    assert_eq!(whole.windows(32).filter(|window| *window == digest).count(), 2);
}

#[test]
fn names_of_parts_have_a_longest_and_a_deepest() {
    let dir = crate::journal::tests::folder();
    let mut writer = Writer::begin(&dir.path().join("a"), ID).unwrap();
    for (name, taken) in [("a/b/c/d".to_owned(), true), ("x".repeat(NAME_MAX), true), ("x".repeat(NAME_MAX + 1), false)]
    {
        assert_eq!(writer.part(&name, 0, &mut io::empty()).is_ok(), taken, "{name}");
    }
    let told = writer.finish().unwrap();
    assert_eq!((read(&dir.path().join("a"), None).unwrap().1, told.parts), (told, 2));
}

#[test]
fn a_file_of_keys_says_of_which_node_and_backup_it_is_in_full_or_is_damaged() {
    let whole =
        About { id: ID.to_vec(), net: vec![7; 32], node: vec![9; 16], contents: vec![5; 32], ..About::default() };
    let made = |about: &About, more: &[u8]| {
        let about = prost::Message::encode_to_vec(about);
        let field = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
        [keys::MAGIC, &1u32.to_be_bytes()[..], &field(&about), &field(b"sealed"), more, &[0; 32]].concat()
    };
    let file = KeysFile::parse(&made(&whole, b"")).ok().unwrap();
    assert!(*file.about() == whole);
    let wrong = [
        About { id: vec![7; 15], ..whole.clone() },
        About { id: vec![7; 17], ..whole.clone() },
        About { contents: vec![5; 31], ..whole.clone() },
        About { net: vec![7; 31], ..whole.clone() },
        About { node: vec![9; 17], ..whole.clone() },
    ];
    for about in &wrong {
        assert!(matches!(KeysFile::parse(&made(about, b"")), Err(KeysFault::Damaged)));
    }
    assert!(matches!(KeysFile::parse(&made(&whole, b"x")), Err(KeysFault::Damaged)), "and nothing stands behind");
}

#[test]
fn a_place_for_keys_is_tried_and_left_as_it_was() {
    let folder = Private::new();
    keys::probe(&folder.file("tried")).unwrap();
    assert!(folder.names().is_empty());
    assert!(keys::probe(&folder.file("none/tried")).is_err());
}

#[test]
fn a_pin_takes_what_was_linked_beforehand_and_misses_nothing_that_is_gone() {
    let dir = crate::journal::tests::folder();
    let (mut store, pin, _) = pinned(dir.path());
    let before = files(&pin);
    store.pin(&pin).unwrap();
    assert_eq!(files(&pin), before);
    let bodies = dir.path().join("store").join(BODIES_DIR);
    fs::remove_file(bodies.join(&names(&bodies).unwrap()[0])).unwrap();
    assert!(matches!(store.pin(&dir.path().join("other")), Err(StoreError::Io { .. })));
}

fn opened(folder: &Private, seed: u64) -> (Opened, RecoverySecret) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let secret = RecoverySecret::generate(&mut rng);
    let device = DeviceSecret::create(&folder.file("device"), &mut rng).ok().unwrap();
    let words = Passphrase::new("a long enough pass phrase".to_owned().into()).ok().unwrap();
    let slots = [NewSlot::Passphrase { secret: &words, cost: KdfCost::FLOOR, opens: Opens::Both }];
    let keys = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
    let whose = (Net([7; 32]), NodeId([9; 16]));
    let mut opened = KeyFile::create(&folder.file("keys"), whose, keys, &slots, &device, &mut rng).ok().unwrap();
    opened.set_recovery(secret.key().unwrap(), &mut rng).unwrap();
    (opened, secret)
}

#[test]
fn keys_open_with_the_sheets_alone_and_only_as_they_were_made() {
    let folder = Private::new();
    let (opened, secret) = opened(&folder, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let told = Written { parts: 3, bytes: 1000, contents: [5; 32] };
    let about = About {
        created: 1_000_000,
        net: opened.net().to_vec(),
        node: opened.node().to_vec(),
        epoch: opened.epoch(),
        ..About::default()
    };
    let sealed = Sealed::seal(&opened, ID, &mut rng).ok().unwrap();
    let bytes = sealed.complete(about, &told);
    let path = folder.file("b.keys");
    keys::create(&path, &bytes).unwrap();
    let file = KeysFile::read(&path).ok().unwrap();
    assert!(file.fits(&ID, &told) && !file.fits(&[8; 16], &told));
    assert!(!file.fits(&ID, &Written { contents: [6; 32], ..told }) && !file.fits(&ID, &Written { bytes: 1, ..told }));
    assert_eq!((file.age(1_000_007), file.age(1_000_000 - SKEW_SECS)), (Some(7), Some(0)));
    assert_eq!(file.age(1_000_000 - SKEW_SECS - 1), None);
    let keys = file.open(&secret).ok().unwrap();
    assert_eq!(keys.service.node_seed.expose(), opened.service().node_seed.expose());
    assert!(keys.service.recovery().is_some_and(|key| file.is_by(key)));
    let stranger = RecoverySecret::generate(&mut rng);
    assert!(matches!(file.open(&stranger), Err(KeysFault::OtherSheets(_))));
    for seed in [opened.service().node_seed.expose(), opened.service().data.expose()] {
        assert!(!bytes.windows(32).any(|window| window == seed));
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let taken = KeysFile::read(&path).is_ok_and(|file| file.open(&secret).is_ok());
        assert!(!taken, "byte {at}");
    }
    keys::destroy(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn keys_that_anybody_sealed_to_the_public_key_are_not_taken() {
    let folder = Private::new();
    let (_, secret) = opened(&folder, 1);
    let other = Private::new();
    let (mut forger, _) = opened_of(&other);
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let public = secret.key().unwrap();
    let pretended = clearhouse_protocol::recovery::RecoveryKey::kept(public.public(), &[0; 32]).ok().unwrap();
    forger.set_recovery(pretended, &mut rng).unwrap();
    let about = About { net: vec![7; 32], node: vec![9; 16], epoch: 1, ..About::default() };
    let told = Written { parts: 0, bytes: 0, contents: [0; 32] };
    let bytes = Sealed::seal(&forger, ID, &mut rng).ok().unwrap().complete(about, &told);
    keys::create(&folder.file("forged"), &bytes).unwrap();
    let file = KeysFile::read(&folder.file("forged")).ok().unwrap();
    assert!(matches!(file.open(&secret), Err(KeysFault::Forged)));
}

fn opened_of(folder: &Private) -> (Opened, RecoverySecret) {
    opened(folder, 5)
}

#[test]
fn a_recovery_key_survives_a_restart_a_turn_and_a_change() {
    let folder = Private::new();
    let (mut first, secret) = opened(&folder, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let next = first.next_epoch(&mut rng).ok().unwrap();
    first.enter_epoch(next, &mut rng).unwrap();
    let device = DeviceSecret::open(&folder.file("device")).ok().unwrap();
    let words = Passphrase::new("a long enough pass phrase".to_owned().into()).ok().unwrap();
    let locked = KeyFile::open(&folder.file("keys")).ok().unwrap();
    let again = locked.unlock(&crate::keyfile::SlotSecret::Passphrase(&words), &device).ok().unwrap();
    let kept = again.service().recovery().unwrap();
    assert_eq!((kept.public(), kept.mark()), (secret.key().unwrap().public(), secret.key().unwrap().mark()));
}

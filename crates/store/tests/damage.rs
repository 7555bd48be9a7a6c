//! Rot: every kind of file of a store, damaged in every way, must be named or provably unused. Never silent.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod history;

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_store::durable::Loss;
use clearhouse_store::{DurableStore, Finding, MemoryStore, OpenError, Store, StoreError};
use history::{Dice, Verdict, copy_dir, files, folder, held, judge, lived_in, same};

/// What can happen to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip,
    ZeroBlock,
    Cut,
    Empty,
    Remove,
    Swap,
    Yesterday,
}

const DAMAGES: [Damage; 7] =
    [Damage::Flip, Damage::ZeroBlock, Damage::Cut, Damage::Empty, Damage::Remove, Damage::Swap, Damage::Yesterday];

struct Stores {
    root: tempfile::TempDir,
    model: MemoryStore,
}

impl Stores {
    fn new() -> Self {
        let root = folder();
        let model = lived_in(&root.path().join("today"), 1);
        lived_in(&root.path().join("other"), 2);
        // Yesterday: the same store, three commits ago.
        let yesterday = root.path().join("yesterday");
        copy_dir(&root.path().join("today"), &yesterday);
        let mut stores = Self { root, model };
        let (mut store, _) = DurableStore::open(&stores.dir("today")).unwrap();
        history::commit(&mut store, &mut stores.model, &mut Dice(3), 3);
        stores
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The file in another store that stands where this one does.
    fn counterpart(&self, store: &str, file: &Path) -> Option<PathBuf> {
        let name = file.file_name().unwrap().to_str().unwrap();
        let same_kind = |other: &PathBuf| {
            let other_name = other.file_name().unwrap().to_str().unwrap();
            let kind = |name: &str| name.trim_end_matches(|c: char| c != '-' && c != '.').to_owned();
            other.parent() == file.parent()
                && (other_name == name || (name.len() == 64 && other_name.len() == 64) || {
                    name.contains('-') && kind(other_name) == kind(name)
                })
        };
        files(&self.dir(store)).into_iter().find(same_kind).map(|found| self.dir(store).join(found))
    }

    fn apply(&self, image: &Path, file: &Path, damage: Damage, dice: &mut Dice) -> bool {
        let path = image.join(file);
        let mut bytes = fs::read(&path).unwrap();
        match damage {
            Damage::Flip | Damage::ZeroBlock | Damage::Cut if bytes.is_empty() => return false,
            Damage::Flip => {
                let bit = dice.roll(bytes.len() as u64 * 8);
                bytes[bit as usize / 8] ^= 1 << (bit % 8);
            }
            Damage::ZeroBlock => {
                let from = dice.roll(bytes.len() as u64) as usize / 4096 * 4096;
                let to = bytes.len().min(from + 4096);
                bytes[from..to].fill(0);
            }
            Damage::Cut => bytes.truncate(dice.roll(bytes.len() as u64) as usize),
            Damage::Empty => bytes.clear(),
            Damage::Remove => {
                fs::remove_file(&path).unwrap();
                return true;
            }
            Damage::Swap | Damage::Yesterday => {
                let store = if matches!(damage, Damage::Swap) { "other" } else { "yesterday" };
                let Some(other) = self.counterpart(store, file) else { return false };
                bytes = fs::read(other).unwrap();
            }
        }
        let changed = fs::read(&path).unwrap() != bytes;
        fs::write(&path, bytes).unwrap();
        changed
    }
}

/// The kind of a file, for the table that is printed.
fn kind(file: &Path) -> &'static str {
    let text = file.to_str().unwrap();
    let kinds = ["journal-", "snapshot-", "events-", "bodies/", "index-", "FORMAT", "LOCK"];
    kinds.into_iter().find(|kind| text.starts_with(kind)).unwrap_or("other")
}

#[test]
fn no_damage_to_any_file_goes_unnoticed() {
    let long = std::env::var("CI_LONG").is_ok();
    let each = if long { 40 } else { 3 };
    let stores = Stores::new();
    let mut dice = Dice(11);
    let mut table = std::collections::BTreeMap::new();
    for file in files(&stores.dir("today")) {
        if file == Path::new("BALLAST") {
            continue;
        }
        for damage in DAMAGES {
            let times = if matches!(damage, Damage::Flip | Damage::ZeroBlock | Damage::Cut) { each } else { 1 };
            for _ in 0..times {
                let image = stores.dir("image");
                let _ = fs::remove_dir_all(&image);
                copy_dir(&stores.dir("today"), &image);
                if !stores.apply(&image, &file, damage, &mut dice) {
                    continue;
                }
                let what = format!("{damage:?} of {}", file.display());
                let verdict = judge(&image, &stores.model, &what);
                let derived = ["index-", "LOCK"].contains(&kind(&file));
                if let (Verdict::Unharmed, false) = (&verdict, derived) {
                    panic!("{what}: not noticed");
                }
                if let (Verdict::Refused(why), true) = (&verdict, derived) {
                    panic!("{what}: the index can be derived, but: {why}");
                }
                let counts: &mut [usize; 3] = table.entry(kind(&file)).or_default();
                counts[match verdict {
                    Verdict::Refused(_) => 0,
                    Verdict::Found(_) => 1,
                    Verdict::Unharmed => 2,
                }] += 1;
            }
        }
    }
    println!("kind: refused, found, unharmed");
    table.iter().for_each(|(kind, counts)| println!("{kind}: {counts:?}"));
    assert!(table.len() >= 7, "a kind of file was not damaged: {table:?}");
}

#[test]
fn one_damaged_body_costs_one_row_and_a_new_value_heals_it() {
    let root = folder();
    let model = lived_in(root.path(), 1);
    let body = fs::read_dir(root.path().join("bodies")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&body).unwrap();
    bytes[100] ^= 1;
    fs::write(&body, bytes).unwrap();
    let Verdict::Found(findings) = judge(root.path(), &model, "body") else { panic!("not found") };
    let Some(Finding::RowDamaged { table, key, .. }) = findings.first() else { panic!("{findings:?}") };
    let (mut store, _) = DurableStore::open(root.path()).unwrap();
    assert!(matches!(store.get(*table, key), Err(StoreError::Damaged { .. })));
    let healed = clearhouse_store::Put { table: *table, key: *key, value: b"sent again".to_vec() };
    let generation = store.generation();
    store.commit(&clearhouse_store::Changes { generation, puts: vec![healed], ..Default::default() }).unwrap();
    assert_eq!(store.scrub().unwrap(), []);
    store.compact().unwrap();
    assert_eq!(store.get(*table, key).unwrap().unwrap(), b"sent again");
}

#[test]
fn compaction_refuses_while_a_live_row_is_damaged() {
    let root = folder();
    let (dir, image) = (root.path().join("store"), root.path().join("image"));
    lived_in(&dir, 1);
    let segment = files(&dir).into_iter().find(|file| kind(file) == "journal-").unwrap();
    let whole = fs::read(dir.join(&segment)).unwrap();
    let (mut refused, mut healed) = (0, 0);
    for at in (200..whole.len()).step_by(whole.len() / 20) {
        let _ = fs::remove_dir_all(&image);
        copy_dir(&dir, &image);
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(image.join(&segment), &bytes).unwrap();
        let Ok((mut store, findings)) = DurableStore::open(&image) else { continue };
        assert!(!findings.is_empty());
        let damaged = !held(&store).damaged_rows.is_empty() || held(&store).events_damaged;
        match store.compact() {
            Err(StoreError::Damaged { .. }) => {
                assert!(damaged);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
            // Nothing live was hit, so the compaction healed the store.
            Ok(()) => {
                assert!(!damaged);
                assert_eq!(store.scrub().unwrap(), []);
                healed += 1;
            }
        }
    }
    assert!(refused > 0 && healed > 0, "{refused} refused, {healed} healed");
}

#[test]
fn an_index_that_is_ahead_stops_the_start_and_nothing_is_touched() {
    let root = folder();
    let dir = root.path().join("store");
    let (mut dice, mut model) = (Dice(5), MemoryStore::new());
    let (mut store, _) = DurableStore::open(&dir).unwrap();
    history::commit(&mut store, &mut model, &mut dice, 5);
    let segment = dir.join(files(&dir).into_iter().find(|file| kind(file) == "journal-").unwrap());
    let earlier = fs::read(&segment).unwrap();
    history::commit(&mut store, &mut model, &mut dice, 5);
    drop(store);
    fs::write(&segment, &earlier).unwrap();
    let Err(OpenError::JournalBehind { index: 10, journal: 5, .. }) = DurableStore::open(&dir) else {
        panic!("yesterday's journal was taken")
    };
    assert_eq!(fs::read(&segment).unwrap(), earlier);
    // A last record that is damaged at rest is not a torn tail: the index knows that it was acknowledged.
    let mut torn = earlier.clone();
    torn.truncate(earlier.len() - 1);
    fs::write(&segment, &torn).unwrap();
    assert!(matches!(DurableStore::open(&dir), Err(OpenError::JournalBehind { index: 10, journal: 4, .. })));
    assert_eq!(fs::read(&segment).unwrap(), torn);
    // Only somebody who says so loses it.
    let findings = DurableStore::rebuild(&dir, Loss::Refuse).unwrap();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::TailCut { .. })), "{findings:?}");
    assert_eq!(DurableStore::open(&dir).unwrap().0.generation(), 4);
}

#[test]
fn a_lost_or_broken_index_is_rebuilt_with_nothing_missing() {
    let root = folder();
    let dir = root.path().join("store");
    let model = lived_in(&dir, 9);
    let index = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("index-"));
    let index = index.unwrap();
    let garbage = |name: &str, bytes: &[u8]| fs::write(index.join(name), bytes).unwrap();
    let breakages: [(&str, &dyn Fn()); 6] = [
        ("gone", &|| fs::remove_dir_all(&index).unwrap()),
        ("empty", &|| {
            fs::remove_dir_all(&index).unwrap();
            fs::create_dir(&index).unwrap();
        }),
        ("no log", &|| fs::remove_file(index.join("db")).unwrap()),
        ("garbage log", &|| garbage("db", &[0xA5; 700_000])),
        ("garbage configuration", &|| garbage("conf", b"segment_size: 12\nnonsense")),
        ("a file in its place", &|| {
            fs::remove_dir_all(&index).unwrap();
            fs::write(&index, b"").unwrap();
        }),
    ];
    for (what, breakage) in breakages {
        breakage();
        let (store, findings) = DurableStore::open(&dir).unwrap();
        assert!(
            findings
                .iter()
                .any(|finding| matches!(finding, Finding::IndexRebuilt { .. } | Finding::IndexInMemory { .. })),
            "{what}: {findings:?}"
        );
        assert!(same(&store, &model), "{what}");
        drop(store);
        if what == "a file in its place" {
            let _ = fs::remove_file(&index);
        }
        let (store, _) = DurableStore::open(&dir).unwrap();
        assert!(same(&store, &model), "{what}, second start");
    }
}

#[test]
fn a_salvage_says_what_it_gave_up_and_the_store_lives_on() {
    let root = folder();
    let dir = root.path().join("store");
    let model = lived_in(&dir, 4);
    let segment = dir.join(files(&dir).into_iter().find(|file| kind(file) == "journal-").unwrap());
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("index-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    // With the index gone too, what the damaged commit did is not known: the start refuses, and says where.
    let Err(OpenError::Damaged { file, offset, .. }) = DurableStore::open(&dir) else { panic!("opened") };
    assert_eq!(dir.join(file), segment);
    assert!((1..=middle as u64).contains(&offset), "{offset}");
    assert!(matches!(DurableStore::rebuild(&dir, Loss::Refuse), Err(OpenError::Damaged { .. })));
    let findings = DurableStore::rebuild(&dir, Loss::Accept).unwrap();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::GivenUp { commits: 1, .. })), "{findings:?}");
    let (mut store, findings) = DurableStore::open(&dir).unwrap();
    assert_eq!(findings, []);
    assert_eq!(store.scrub().unwrap(), []);
    assert!(store.generation() >= model.generation());
    assert_eq!(store.event_count(), model.event_count());
    assert!(held(&store).rows.len() + 10 > held(&model).rows.len());
}

#[test]
fn two_stores_do_not_open_one_folder() {
    let root = folder();
    let (first, _) = DurableStore::open(root.path()).unwrap();
    assert!(matches!(DurableStore::open(root.path()), Err(OpenError::InUse(_))));
    drop(first);
    assert!(DurableStore::open(root.path()).is_ok());
}

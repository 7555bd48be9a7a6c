//! Histories to damage: a store on disk with everything in it, and what a model says it must hold.

#![allow(dead_code)] // Each test binary uses its part.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_store::{Changes, DurableStore, EventLeaf, Finding, Key, MemoryStore, Put, Store, StoreError};

pub(crate) const TABLES: [u8; 3] = [1, 7, 0xFE];

/// A folder on a file system in memory where there is one: these tests open many stores.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A generator with a seed, so that a failure can be had again.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

pub(crate) fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

pub(crate) fn value(n: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(n);
    (0..len).map(|_| dice.roll(256) as u8).collect()
}

/// A batch of a few rows of all sizes, some removals and an event or two.
pub(crate) fn batch(dice: &mut Dice, generation: u64, events: u64) -> Changes {
    let mut changes = Changes { generation, ..Changes::default() };
    let mut named = BTreeSet::new();
    for _ in 0..1 + dice.roll(4) {
        let (table, n) = (TABLES[dice.roll(3) as usize], dice.roll(30));
        if !named.insert((table, n)) {
            continue;
        }
        if dice.roll(5) == 0 {
            changes.dels.push((table, key(n)));
            continue;
        }
        let len = [20, 200, 700, 4096, 4096, 70_000][dice.roll(6) as usize];
        changes.puts.push(Put { table, key: key(n), value: value(dice.roll(1 << 40), len) });
    }
    let leaf = |index| EventLeaf { index, commitment: key(index), sealed: value(index, 300) };
    changes.events = (events..events + 1 + dice.roll(2)).map(leaf).collect();
    changes.closes = (0..dice.roll(2).min(events)).map(|_| dice.roll(events)).collect();
    changes
}

/// Commits random batches to a store and to its model.
pub(crate) fn commit(store: &mut DurableStore, model: &mut MemoryStore, dice: &mut Dice, commits: u64) {
    for _ in 0..commits {
        let changes = batch(dice, model.generation(), model.event_count());
        store.commit(&changes).unwrap();
        model.commit(&changes).unwrap();
    }
}

/// A store with a snapshot, archives, bodies and a journal behind them, closed; and its model.
pub(crate) fn lived_in(dir: &Path, seed: u64) -> MemoryStore {
    let (mut dice, mut model) = (Dice(seed), MemoryStore::new());
    let (mut store, _) = DurableStore::open(dir).unwrap();
    commit(&mut store, &mut model, &mut dice, 25);
    store.compact().unwrap();
    commit(&mut store, &mut model, &mut dice, 15);
    model
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_name() != "BALLAST" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder, relative to it, sorted.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What a store holds, with everything it refuses to return set apart.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) rows: Vec<(u8, Key, Vec<u8>)>,
    pub(crate) damaged_rows: Vec<(u8, Key)>,
    pub(crate) events: Vec<EventLeaf>,
    pub(crate) events_damaged: bool,
}

pub(crate) fn held(store: &dyn Store) -> Held {
    let mut held = Held::default();
    for table in TABLES {
        let mut after = None;
        loop {
            let page = store.scan(table, after, 100).unwrap();
            held.rows.extend(page.rows.into_iter().map(|(key, value)| (table, key, value)));
            held.damaged_rows.extend(page.damaged.into_iter().map(|key| (table, key)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    while (held.events.len() as u64) < store.event_count() {
        match store.events(held.events.len() as u64, 100) {
            Ok(events) if !events.is_empty() => held.events.extend(events),
            Ok(_) => panic!("events end before their count"),
            Err(StoreError::Damaged { .. }) => {
                held.events_damaged = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    held
}

/// Whether a store holds exactly what its model does. Nothing damaged, nothing missing, nothing more.
pub(crate) fn same(store: &dyn Store, model: &MemoryStore) -> bool {
    let (found, expected) = (held(store), held(model));
    found.rows == expected.rows
        && found.events == expected.events
        && found.damaged_rows.is_empty()
        && !found.events_damaged
        && store.generation() == model.generation()
        && store.stats().digest == model.stats().digest
}

/// What became of a damaged store.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It did not open, and said which file is at fault.
    Refused(String),
    /// It opened with findings; everything it returns is true.
    Found(Vec<Finding>),
    /// It opened without findings and holds exactly what it should.
    Unharmed,
}

/// Opens, reads and scrubs a damaged store. Fails when anything is wrong or missing without being named.
pub(crate) fn judge(dir: &Path, model: &MemoryStore, what: &str) -> Verdict {
    let (mut store, mut findings) = match DurableStore::open(dir) {
        Ok(opened) => opened,
        Err(error) => return Verdict::Refused(error.to_string()),
    };
    let (found, expected) = (held(&store), held(model));
    findings.extend(store.scrub().unwrap());
    for row in &found.rows {
        assert!(expected.rows.contains(row), "{what}: a row is shown that was never so. {findings:?}");
    }
    assert!(found.events.iter().eq(expected.events.iter().take(found.events.len())), "{what}: other events");
    for (table, key, _) in &expected.rows {
        let shown = found.rows.iter().any(|(t, k, _)| (t, k) == (table, key));
        let refused = found.damaged_rows.contains(&(*table, *key));
        let named = findings
            .iter()
            .any(|finding| matches!(finding, Finding::RowDamaged { table: t, key: k, .. } if (t, k) == (table, key)));
        assert!(shown || (refused && named), "{what}: a row is missing silently. {findings:?}");
    }
    if found.events.len() < expected.events.len() {
        let named = findings.iter().any(|finding| matches!(finding, Finding::EventsDamaged { .. }));
        assert!(found.events_damaged && named, "{what}: events are missing silently. {findings:?}");
    }
    assert_eq!(store.generation(), model.generation(), "{what}: commits are missing silently. {findings:?}");
    if findings.is_empty() { Verdict::Unharmed } else { Verdict::Found(findings) }
}

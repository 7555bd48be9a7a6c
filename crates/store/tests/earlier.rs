//! A store that an earlier build wrote must open: its bytes lie in `earlier/`. When this test fails, the format on disk has
//! changed, and every office's store would be refused; a change that is meant gets a new version and a way over.
//! `CLEARHOUSE_REGENERATE=earlier` writes it anew: a word of its own, so that it is not done beside the other golden files.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_store::changes::{Changes, EventLeaf, Put};
use clearhouse_store::{DurableStore, Finding, Store};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier")
}

/// What is derived anew, or held back for a full disk, is not kept.
fn is_kept(name: &str) -> bool {
    ["FORMAT", "journal-", "snapshot-", "events-"].iter().any(|kind| name.starts_with(kind))
}

fn event(index: u64) -> EventLeaf {
    EventLeaf { index, commitment: [index as u8; 32], sealed: vec![index as u8; 40] }
}

fn put(table: u8, n: u8, len: usize) -> Put {
    Put { table, key: [n; 32], value: vec![n; len] }
}

/// A snapshot with an archive of which one event was closed, and a journal behind it with one closed in it.
fn write(dir: &Path) {
    let (mut store, _) = DurableStore::open(dir).unwrap();
    let commit = |store: &mut DurableStore, changes: Changes| {
        store.commit(&Changes { generation: store.generation(), ..changes }).unwrap();
    };
    let puts = vec![put(1, 1, 10), put(2, 2, 2000), put(1, 3, 5)];
    commit(&mut store, Changes { puts, events: (0..3).map(event).collect(), ..Changes::default() });
    commit(&mut store, Changes { dels: vec![(1, [3; 32])], closes: vec![1], ..Changes::default() });
    store.compact().unwrap();
    commit(
        &mut store,
        Changes { puts: vec![put(1, 1, 11), put(3, 4, 7)], events: vec![event(3)], ..Changes::default() },
    );
    commit(&mut store, Changes { events: vec![event(4)], closes: vec![3], ..Changes::default() });
}

#[test]
fn a_store_of_an_earlier_build_opens_with_all_that_was_in_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("store");
    if std::env::var("CLEARHOUSE_REGENERATE").is_ok_and(|what| what == "earlier") {
        write(&dir);
        let _ = fs::remove_dir_all(kept());
        fs::create_dir_all(kept()).unwrap();
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if is_kept(entry.file_name().to_str().unwrap()) {
                fs::copy(entry.path(), kept().join(entry.file_name())).unwrap();
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir(&dir).unwrap();
    for entry in fs::read_dir(kept()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    let (store, findings) = DurableStore::open(&dir).unwrap();
    assert!(matches!(findings[..], [Finding::IndexRebuilt { .. }]), "{findings:?}");
    for (row, value) in [((1, 1), Some(11)), ((2, 2), Some(2000)), ((1, 3), None), ((3, 4), Some(7))] {
        let (table, n): (u8, u8) = row;
        assert_eq!(store.get(table, &[n; 32]).unwrap(), value.map(|len| vec![n; len]), "{row:?}");
    }
    let closed = |index| EventLeaf { sealed: vec![], ..event(index) };
    let events = [event(0), closed(1), event(2), closed(3), event(4)];
    assert!(store.events(0, 9).unwrap() == events);
    assert_eq!((store.generation(), store.stats().rows), (4, 3));
}

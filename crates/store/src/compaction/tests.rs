//! Compaction stopped at every step, refused, repeated; and that nothing old is left on disk.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::changes::{Changes, Put};
use crate::contract::Store;
use crate::finding::Weight;
use crate::format::snapshot_name;
use crate::journal::tests::folder;

const STEPS: [Step; 5] = [Step::Archives, Step::Segment, Step::Rows, Step::Snapshot, Step::Done];

fn commit(store: &mut DurableStore, n: u64) {
    let row = |key: u8, len: usize| Put { table: 1 + key % 3, key: [key; 32], value: marked(n, len) };
    let changes = Changes {
        generation: store.generation(),
        puts: vec![row(n as u8 % 7, 100), row(10 + n as u8 % 5, 3000), row(20 + n as u8 % 3, 70_000)],
        dels: vec![(1, [30 + n as u8 % 4; 32])],
        events: vec![EventLeaf { index: store.event_count(), commitment: [n as u8; 32], sealed: marked(n, 300) }],
        ..Changes::default()
    };
    store.commit(&changes).unwrap();
}

/// Bytes that say which commit they are of, all the way through.
fn marked(n: u64, len: usize) -> Vec<u8> {
    format!("<commit {n:08}>").bytes().cycle().take(len).collect()
}

fn opened(dir: &Path) -> DurableStore {
    let (store, findings) = DurableStore::open(dir).unwrap();
    assert!(findings.iter().all(|finding| finding.weight() == Weight::Note), "{findings:?}");
    store
}

/// Everything that can be read.
fn read(store: &DurableStore) -> impl PartialEq + use<> {
    let mut rows = Vec::new();
    for table in 1..=3 {
        let page = store.scan(table, None, 1000).unwrap();
        assert!(page.next.is_none() && page.damaged.is_empty());
        rows.push(page.rows);
    }
    let mut events = Vec::new();
    while (events.len() as u64) < store.event_count() {
        events.extend(store.events(events.len() as u64, 1000).unwrap());
    }
    (store.generation(), store.stats().digest, rows, events)
}

fn all_bytes(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_bytes(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(text)
}

#[test]
fn a_stop_at_any_step_leaves_the_old_store_or_the_new_one() {
    for step in STEPS {
        let root = folder();
        let dir = root.path().join("store");
        let mut store = opened(&dir);
        (0..20).for_each(|n| commit(&mut store, n));
        compact(&mut store, Loss::Refuse).unwrap();
        (20..40).for_each(|n| commit(&mut store, n));
        let before = read(&store);
        compact_until(&mut store, Loss::Refuse, step).unwrap();
        drop(store);
        let mut store = opened(&dir);
        assert!(read(&store) == before, "{step:?}");
        assert_eq!(store.scrub().unwrap(), [], "{step:?}");
        // And life goes on: commits, another compaction, another start.
        commit(&mut store, 40);
        compact(&mut store, Loss::Refuse).unwrap();
        commit(&mut store, 41);
        let before = read(&store);
        drop(store);
        assert!(read(&opened(&dir)) == before, "{step:?}, later");
    }
}

#[test]
fn a_compaction_stopped_at_a_step_can_be_repeated_without_a_restart() {
    for step in [Step::Archives, Step::Segment, Step::Rows] {
        let root = folder();
        let mut store = opened(root.path());
        (0..20).for_each(|n| commit(&mut store, n));
        let before = read(&store);
        compact_until(&mut store, Loss::Refuse, step).unwrap();
        assert!(read(&store) == before, "{step:?}");
        commit(&mut store, 20);
        let before = read(&store);
        compact(&mut store, Loss::Refuse).unwrap();
        assert!(read(&store) == before, "{step:?}");
        drop(store);
        assert!(read(&opened(root.path())) == before, "{step:?}");
    }
}

#[test]
fn after_a_compaction_no_file_holds_what_was_overwritten_or_removed() {
    let root = folder();
    let mut store = opened(root.path());
    (0..40).for_each(|n| commit(&mut store, n));
    let dels = (0..255).flat_map(|key| [(1, [key; 32]), (2, [key; 32]), (3, [key; 32])]).collect();
    let generation = store.generation();
    store.commit(&Changes { generation, dels, ..Changes::default() }).unwrap();
    // Events stay for ever; what is looked for are rows, so their marks must not be in events.
    let last_row = |n: u64| marked(n, 16);
    let old = String::from_utf8(last_row(5)).unwrap();
    let holders = |old: &str| {
        let found = all_bytes(root.path()).into_iter().filter(|(_, bytes)| holds(bytes, old));
        found.map(|(path, _)| path).filter(|path| !path.to_str().unwrap().contains("events-")).collect::<Vec<_>>()
    };
    assert!(!holders(&old).is_empty(), "the test looks for the wrong thing");
    store.compact().unwrap();
    for n in 0..40 {
        let old = String::from_utf8(last_row(n)).unwrap();
        assert_eq!(holders(&old), Vec::<PathBuf>::new(), "commit {n}");
    }
    drop(store);
    opened(root.path());
    assert_eq!(holders(&old), Vec::<PathBuf>::new(), "a restart brought it back");
}

#[test]
fn what_is_closed_is_in_no_file_after_a_compaction_wherever_it_was_stopped_before() {
    for step in STEPS {
        let root = folder();
        let dir = root.path().join("store");
        let mut store = opened(&dir);
        // In an archive that is full, in one that is joined with what follows, and in the journal.
        let big = |index: u64| EventLeaf { index, commitment: [9; 32], sealed: marked(1000 + index, 4000) };
        for first in [0, 600] {
            let events = (first..first + 600).map(big).collect();
            store.commit(&Changes { generation: store.generation(), events, ..Changes::default() }).unwrap();
        }
        compact(&mut store, Loss::Refuse).unwrap();
        (0..3).for_each(|n| commit(&mut store, n));
        assert!(store.snapshot.archives.len() > 1);
        let closes = vec![7, 1199, 1201];
        let marks = [1007, 2199, 1].map(|n| String::from_utf8(marked(n, 17)).unwrap());
        let before = read(&store);
        store
            .commit(&Changes { generation: store.generation(), closes: closes.clone(), ..Changes::default() })
            .unwrap();
        assert!(read(&store) != before);
        let before = read(&store);
        compact_until(&mut store, Loss::Refuse, step).unwrap();
        drop(store);
        let mut store = opened(&dir);
        assert!(read(&store) == before, "{step:?}");
        assert_eq!(store.scrub().unwrap(), [], "{step:?}");
        // A commit, so that there is something to compact where the first one came to its end.
        let changes = Changes { generation: store.generation(), ..Changes::default() };
        store.commit(&changes).unwrap();
        compact(&mut store, Loss::Refuse).unwrap();
        for mark in &marks[..2] {
            let holders = all_bytes(&dir).into_iter().filter(|(_, bytes)| holds(bytes, mark));
            assert_eq!(holders.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{step:?}");
        }
        // The row of the same commit has the same mark: it alone may hold it.
        let events = all_bytes(&dir).into_iter().filter(|(path, _)| path.to_str().unwrap().contains("events-"));
        assert!(events.clone().any(|(_, bytes)| holds(&bytes, "<commit 00001008>")), "its neighbours stay");
        assert!(!events.clone().any(|(_, bytes)| holds(&bytes, &marks[2])), "{step:?}");
        for index in closes {
            assert!(store.events(index, 1).unwrap()[0].sealed.is_empty());
        }
    }
}

#[test]
fn events_are_kept_in_few_files_over_many_compactions() {
    let root = folder();
    let mut store = opened(root.path());
    for n in 0..30 {
        commit(&mut store, n);
        store.compact().unwrap();
    }
    let archives = fs::read_dir(root.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("events-"));
    assert_eq!(archives.count(), 1);
    let events = store.events(0, 100).unwrap();
    assert!((0..30).all(|n| events[n as usize].sealed == marked(n, 300)));
}

#[test]
fn a_compaction_that_cannot_be_written_leaves_the_store_in_service() {
    let root = folder();
    let mut store = opened(root.path());
    (0..10).for_each(|n| commit(&mut store, n));
    let before = read(&store);
    // A folder where the snapshot should go: the rename fails, as it would on a full disk.
    let in_the_way = root.path().join(snapshot_name(10));
    fs::create_dir(&in_the_way).unwrap();
    assert!(matches!(store.compact(), Err(StoreError::Io { .. })));
    assert!(read(&store) == before);
    commit(&mut store, 10);
    fs::remove_dir(&in_the_way).unwrap();
    let before = read(&store);
    store.compact().unwrap();
    assert!(read(&store) == before);
    drop(store);
    assert!(read(&opened(root.path())) == before);
}

#[test]
fn compacting_twice_does_nothing_the_second_time() {
    let root = folder();
    let mut store = opened(root.path());
    (0..10).for_each(|n| commit(&mut store, n));
    store.compact().unwrap();
    let name = |(path, _): &(PathBuf, Vec<u8>)| path.clone();
    let files: Vec<PathBuf> = all_bytes(root.path()).iter().map(name).collect();
    let journal = store.stats().journal_bytes;
    assert!(journal < 200, "an empty journal is {journal} bytes long");
    store.compact().unwrap();
    assert_eq!(all_bytes(root.path()).iter().map(name).collect::<Vec<_>>(), files);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_an_error_and_the_old_store_goes_on() {
    let root = folder();
    let mut store = opened(root.path());
    (0..20).for_each(|n| commit(&mut store, n));
    let before = read(&store);
    // What stands where it would be written.
    let name = format!("{}{}", snapshot_name(store.generation()), crate::format::TEMPORARY);
    fs::create_dir(root.path().join(&name)).unwrap();
    assert!(matches!(store.compact(), Err(StoreError::Io { .. })));
    assert!(read(&store) == before && store.snapshot.point.seq == 0);
    fs::remove_dir(root.path().join(&name)).unwrap();
    store.compact().unwrap();
    assert!(read(&store) == before && store.snapshot.point.seq == 20);
    drop(store);
    assert!(read(&opened(root.path())) == before);
}

#[test]
fn an_archive_that_is_gone_or_cut_is_told_at_the_next_start_by_its_events() {
    let root = folder();
    let mut store = opened(root.path());
    (0..20).for_each(|n| commit(&mut store, n));
    store.compact().unwrap();
    let path = root.path().join(store.snapshot.archives[0].file());
    drop(store);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    // What a finished compaction would have removed may be all there is of them now.
    let older = root.path().join(snapshot_name(3));
    fs::write(&older, b"older").unwrap();
    let (_, findings) = DurableStore::open(root.path()).unwrap();
    let file = short_name(&path);
    assert!(findings.contains(&crate::Finding::EventsDamaged { first: 0, last: 19, file }), "{findings:?}");
    assert!(older.exists());
    fs::write(&path, &whole).unwrap();
    let (_, findings) = DurableStore::open(root.path()).unwrap();
    assert_eq!(findings, [crate::Finding::LeftoversRemoved { files: 1 }]);
    assert!(!older.exists());
}

#[test]
fn rows_that_are_not_those_that_were_counted_are_not_written_as_a_snapshot() {
    let root = folder();
    let mut store = opened(root.path());
    (0..20).for_each(|n| commit(&mut store, n));
    let mut new = Snapshot { point: store.journal.end(), totals: store.totals(), archives: Vec::new() };
    new.totals.census.rows += 1;
    assert!(matches!(write_snapshot(&mut store, &new, Step::Done), Err(StoreError::Io { .. })));
    assert!(!new.path(root.path()).exists());
}

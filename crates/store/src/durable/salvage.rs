//! A store that does not open whole, served again with what is left of it: what was given up is counted, everything else
//! stays, and nothing of that happens to anybody who did not ask for it.

use std::fs;
use std::path::Path;

use super::*;
use crate::changes::Put;
use crate::files::names;
use crate::format::BODIES_DIR;
use crate::journal::tests::folder;

/// Length of a value that lies in a file of its own.
const BODY: usize = 70_000;

fn commit(store: &mut DurableStore, puts: Vec<Put>, closes: Vec<u64>) {
    let event = EventLeaf { index: store.event_count(), commitment: [9; 32], sealed: vec![9; 300] };
    let changes = Changes { generation: store.generation(), puts, events: vec![event], closes, ..Changes::default() };
    store.commit(&changes).unwrap();
}

fn put(n: u8, len: usize) -> Put {
    Put { table: 1, key: [n; 32], value: vec![n; len] }
}

/// A store with two large rows and a small one, each of a commit of its own.
fn lived_in(dir: &Path) -> DurableStore {
    let (mut store, _) = DurableStore::open(dir).unwrap();
    for (n, len) in [(1, BODY), (2, BODY), (3, 10)] {
        commit(&mut store, vec![put(n, len)], vec![]);
    }
    store
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn given_up(findings: &[Finding]) -> Option<(u64, u64)> {
    findings.iter().find_map(|finding| {
        if let Finding::GivenUp { rows, commits } = finding { Some((*rows, *commits)) } else { None }
    })
}

#[test]
fn rows_that_cannot_be_read_are_removed_and_counted_and_all_others_stay() {
    for damaged in 0..=2 {
        let root = folder();
        let dir = root.path().join("store");
        drop(lived_in(&dir));
        let bodies = dir.join(BODIES_DIR);
        names(&bodies).unwrap().iter().take(damaged).for_each(|name| flip(&bodies.join(name)));
        let refused = DurableStore::rebuild(&dir, Loss::Refuse).unwrap();
        assert_eq!(given_up(&refused), None, "nobody asked for it");
        let (store, _) = DurableStore::open(&dir).unwrap();
        assert_eq!((store.stats().rows, store.generation()), (3, 3));
        drop(store);
        let findings = DurableStore::rebuild(&dir, Loss::Accept).unwrap();
        assert_eq!(given_up(&findings), (damaged > 0).then_some((damaged as u64, 0)));
        let (mut store, findings) = DurableStore::open(&dir).unwrap();
        assert_eq!((findings, store.scrub().unwrap()), (vec![], vec![]));
        let left = [1, 2].iter().filter(|n| store.get(1, &[**n; 32]).unwrap() == Some(vec![**n; BODY])).count();
        assert_eq!((left, store.stats().rows), (2 - damaged, 3 - damaged as u64));
        assert_eq!(store.get(1, &[3; 32]).unwrap(), Some(vec![3; 10]));
        assert_eq!(store.events(0, 9).unwrap().len(), 3);
    }
}

#[test]
fn a_body_that_is_missing_is_told_at_the_start_by_its_row_and_no_other_row_is() {
    let root = folder();
    let dir = root.path().join("store");
    drop(lived_in(&dir));
    let name = names(&dir.join(BODIES_DIR)).unwrap().remove(0);
    fs::remove_file(dir.join(BODIES_DIR).join(&name)).unwrap();
    let (store, findings) = DurableStore::open(&dir).unwrap();
    let lost = [1, 2].into_iter().find(|n| store.get(1, &[*n; 32]).is_err()).unwrap();
    let [Finding::RowDamaged { table: 1, key, file }] = findings.as_slice() else { panic!("{findings:?}") };
    assert!(*key == [lost; 32] && file.contains(&name), "{file}");
}

#[test]
fn an_archive_that_cannot_be_read_stops_a_compaction_and_with_a_loss_accepted_its_events_are_empty() {
    for close in [false, true] {
        let root = folder();
        let dir = root.path().join("store");
        let mut store = lived_in(&dir);
        store.compact().unwrap();
        let archive = store.snapshot.archives[0].file();
        // With an event that follows, the small archive is joined; without, it is only written anew.
        let generation = store.generation();
        if close {
            store.commit(&Changes { generation, closes: vec![1], ..Changes::default() }).unwrap();
        } else {
            commit(&mut store, vec![put(4, 10)], vec![]);
        }
        drop(store);
        flip(&dir.join(&archive));
        let (mut store, _) = DurableStore::open(&dir).unwrap();
        assert!(matches!(store.compact(), Err(StoreError::Damaged { .. })), "what is closed would lie in it");
        drop(store);
        DurableStore::rebuild(&dir, Loss::Accept).unwrap();
        let (store, _) = DurableStore::open(&dir).unwrap();
        assert_eq!((store.event_count(), store.stats().rows), (3 + u64::from(!close), 3 + u64::from(!close)));
        if !close {
            let events = store.events(0, 9).unwrap();
            let told: Vec<_> = events.iter().map(|event| (event.index, event.sealed.len())).collect();
            assert_eq!(told, [(0, 0), (1, 0), (2, 0), (3, 300)], "each keeps its number");
        }
    }
}

#[test]
fn a_journal_that_is_gone_is_begun_anew_only_for_who_accepts_the_loss() {
    let home = folder();
    let dir = home.path().join("store");
    let mut store = lived_in(&dir);
    store.compact().unwrap();
    commit(&mut store, vec![put(4, 10)], vec![]);
    drop(store);
    let journal = dir.join(crate::format::segment_name(4));
    fs::remove_file(&journal).unwrap();
    let refused = DurableStore::rebuild(&dir, Loss::Refuse).err();
    assert!(matches!(refused, Some(OpenError::Damaged { .. })), "{refused:?}");
    assert!(!journal.exists(), "what came after the snapshot is not forgotten unasked");
    DurableStore::rebuild(&dir, Loss::Accept).unwrap();
    let (store, _) = DurableStore::open(&dir).unwrap();
    assert_eq!(store.stats().rows, 3);
}

//! What a start and a scrub make of an index that lags or lacks something, of a cut tail, of files of another place, and
//! of a snapshot that does not hold what it says it holds.

use std::fs;

use super::tests::{Stage, commit, put};
use super::*;
use crate::derive::derive;
use crate::files::write_then_rename;
use crate::finding::Weight;
use crate::format::{index_name, numbered, segment_name};
use crate::snapshot::Writer;

/// Five commits of one row and one event each; the index that is on disk is of the third. Where each begins in the journal.
fn lagging() -> (Stage, Vec<usize>) {
    let stage = Stage::new();
    let (index, kept) = (stage.path(&index_name(0)), stage.path("kept"));
    let mut ends = vec![];
    for n in 0..5 {
        let (mut store, _) = stage.open();
        ends.push(fs::metadata(stage.path(&segment_name(1))).unwrap().len() as usize);
        commit(&mut store, vec![put(n, 10)]).unwrap();
        drop(store);
        if n == 2 {
            fs::create_dir(&kept).unwrap();
            copy_all(&index, &kept);
        }
    }
    fs::remove_dir_all(&index).unwrap();
    fs::rename(&kept, &index).unwrap();
    (stage, ends)
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// So many commits of one row and one event each.
fn fill(store: &mut DurableStore, commits: u8) {
    for n in 0..commits {
        commit(store, vec![put(n, 10)]).unwrap();
    }
}

fn flip(stage: &Stage, name: &str, at: usize) {
    let mut bytes = fs::read(stage.path(name)).unwrap();
    bytes[at] ^= 1;
    fs::write(stage.path(name), bytes).unwrap();
}

#[test]
fn an_index_outlives_damage_to_commits_that_it_took_in_before_and_no_other() {
    let (stage, _) = lagging();
    let (store, findings) = stage.open();
    assert!(findings.is_empty() && store.stats().rows == 5, "{findings:?}");
    for damaged in 1..=4 {
        let (stage, begins) = lagging();
        flip(&stage, &segment_name(1), begins[damaged - 1] + 100);
        let opened = DurableStore::open(stage.dir.path());
        if damaged <= 3 {
            let (store, findings) = opened.unwrap_or_else(|refused| panic!("{damaged}: {refused}"));
            let commits = damaged as u64;
            assert!(
                matches!(findings[..], [Finding::JournalDamaged { first, last, .. }] if first == commits && last == commits),
                "{damaged}: {findings:?}"
            );
            assert_eq!(store.stats().rows, 5);
        } else {
            assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{damaged}");
        }
    }
}

#[test]
fn an_index_that_lacks_events_is_derived_anew_at_a_start() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    fill(&mut store, 3);
    store.view.get_mut().index.lose_events(0);
    drop(store);
    let (store, findings) = stage.open();
    assert!(matches!(&findings[..], [Finding::IndexRebuilt { why }] if why.contains("events")), "{findings:?}");
    assert_eq!(store.events(0, 9).unwrap().len(), 3);
}

#[test]
fn a_scrub_names_each_event_that_nothing_can_bring_back_and_ends() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    fill(&mut store, 3);
    store.view.get_mut().index.lose_events(0);
    flip(&stage, &segment_name(1), 300);
    let findings = store.scrub().unwrap();
    let lost = Finding::EventsDamaged { first: 0, last: 0, file: segment_name(1) };
    assert!(findings.contains(&lost), "{findings:?}");
    assert!(matches!(store.events(0, 9), Err(StoreError::Damaged { file, .. }) if file == segment_name(1)));
}

#[test]
fn a_cutting_bears_the_number_of_the_commit_it_may_have_been() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    fill(&mut store, 3);
    drop(store);
    let path = stage.path(&segment_name(1));
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.extend_from_slice(b"begun");
    fs::write(&path, bytes).unwrap();
    let kept = numbered("cut-", 4, &format!("-{len}.bin"));
    let (_, findings) = stage.open();
    assert!(matches!(&findings[..], [Finding::TailCut { kept: name, .. }] if *name == kept), "{findings:?}");
    assert_eq!(fs::read(stage.path(&kept)).unwrap(), b"begun");
}

#[test]
fn leftovers_go_while_nothing_is_lost_and_stay_when_something_is() {
    for is_lost in [false, true] {
        let stage = Stage::new();
        let (mut store, _) = stage.open();
        commit(&mut store, vec![put(1, 70_000), put(2, 10)]).unwrap();
        commit(&mut store, vec![put(3, 10)]).unwrap();
        drop(store);
        let left = stage.path("events-00000000000000000007.arc");
        fs::write(&left, b"of a compaction that was cut short").unwrap();
        // Less than a loss: an index that has to be derived. A loss: a body.
        fs::remove_dir_all(stage.path(&index_name(0))).unwrap();
        if is_lost {
            fs::remove_dir_all(stage.path(crate::format::BODIES_DIR)).unwrap();
        }
        let (_, findings) = stage.open();
        let told = |weight| findings.iter().filter(|finding| finding.weight() >= weight).count();
        assert_eq!((told(Weight::Loss) > 0, left.exists()), (is_lost, is_lost), "{findings:?}");
    }
}

#[test]
fn a_store_without_its_journal_names_the_file_that_must_be_there() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    fill(&mut store, 2);
    store.compact().unwrap();
    drop(store);
    fs::remove_file(stage.path(&segment_name(3))).unwrap();
    let refused = DurableStore::open(stage.dir.path()).err();
    assert!(matches!(&refused, Some(OpenError::Damaged { file, .. }) if *file == segment_name(3)), "{refused:?}");
}

#[test]
fn a_file_that_stands_where_none_can_be_is_found_by_a_scrub() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    fill(&mut store, 4);
    fs::copy(stage.path(&segment_name(1)), stage.path(&segment_name(2))).unwrap();
    let findings = store.scrub().unwrap();
    let named = Finding::JournalDamaged { file: segment_name(2), offset: 0, first: 1, last: 4 };
    assert!(findings.contains(&named), "{findings:?}");
}

#[test]
fn a_snapshot_that_cannot_be_read_is_another_matter_than_one_that_is_gone() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10)]).unwrap();
    store.compact().unwrap();
    let path = store.snapshot.path(stage.dir.path());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(store.scrub(), Err(StoreError::Io { .. })));
}

#[test]
fn a_whole_snapshot_with_other_rows_than_it_counts_is_damage() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 10)]).unwrap();
    store.compact().unwrap();
    let (dir, id, snapshot) = (stage.dir.path().to_owned(), store.folder.id, store.snapshot.clone());
    drop(store);
    assert!(derive(&dir, &id, &snapshot, Loss::Refuse).is_ok());
    write_then_rename(&snapshot.path(&dir), |out| {
        let mut writer = Writer::begin(out, &id, &snapshot)?;
        writer.inline(1, &[1; 32], &digest(&[1; 10]), &[1; 10])?;
        writer.finish()
    })
    .unwrap();
    let refused = derive(&dir, &id, &snapshot, Loss::Refuse).err();
    assert!(matches!(refused, Some(StoreError::Damaged { .. })), "{refused:?}");
    assert_eq!(derive(&dir, &id, &snapshot, Loss::Accept).unwrap().given_up.0, 1);
}

#[test]
fn a_commit_whose_bytes_are_gone_without_a_trace_is_named_by_the_one_behind_it() {
    let (stage, begins) = lagging();
    drop(stage.open());
    let path = stage.path(&segment_name(1));
    let mut bytes = fs::read(&path).unwrap();
    bytes.drain(begins[1]..begins[2]);
    fs::write(&path, bytes).unwrap();
    let (_, findings) = stage.open();
    assert!(matches!(findings[..], [Finding::JournalDamaged { first: 2, last: 2, .. }]), "{findings:?}");
    fs::remove_dir_all(stage.path(&index_name(0))).unwrap();
    assert!(matches!(DurableStore::open(stage.dir.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_row_that_sled_loses_after_a_start_is_noticed_when_it_is_asked_for() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    drop(store);
    let (mut store, findings) = stage.open();
    assert_eq!(findings, []);
    store.view.get_mut().index.lose(1, &[2; 32]);
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
    assert!(store.stats().index_in_memory);
}

//! The store on disk when the disk, or sled, does not do what it should.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::changes::Put;
use crate::files::names;
use crate::finding::Weight;
use crate::format::{BALLAST_FILE, BODIES_DIR, index_name, segment_name};
use crate::journal::tests::{Script, folder, through};

pub(super) fn put(n: u8, len: usize) -> Put {
    Put { table: 1, key: [n; 32], value: vec![n; len] }
}

fn batch(store: &DurableStore, puts: Vec<Put>) -> Changes {
    let event = EventLeaf { index: store.event_count(), commitment: [9; 32], sealed: vec![9; 300] };
    Changes { generation: store.generation(), puts, events: vec![event], ..Changes::default() }
}

pub(super) fn commit(store: &mut DurableStore, puts: Vec<Put>) -> Result<u64, CommitError> {
    let changes = batch(store, puts);
    let done = store.commit(&changes)?;
    store.settle().unwrap();
    Ok(done)
}

pub(super) struct Stage {
    pub(super) dir: tempfile::TempDir,
    script: Arc<Mutex<Script>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { dir: folder(), script: Arc::default() }
    }

    pub(super) fn open(&self) -> (DurableStore, Vec<Finding>) {
        DurableStore::open_through(self.dir.path(), || through(&self.script)).unwrap()
    }

    fn bodies(&self) -> usize {
        names(&self.dir.path().join(BODIES_DIR)).unwrap().len()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn a_full_disk_takes_nothing_says_so_and_the_store_goes_on() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 70_000)]).unwrap();
    stage.script.lock().unwrap().fail_append_after = Some(40);
    assert!(matches!(commit(&mut store, vec![put(1, 11), put(3, 80_000)]), Err(CommitError::Full)));
    assert_eq!(stage.bodies(), 1, "the body of a batch that was not taken was left behind");
    assert_eq!((store.generation(), store.event_count()), (1, 1));
    assert_eq!(store.get(1, &[1; 32]).unwrap().unwrap().len(), 10);
    assert_eq!(commit(&mut store, vec![put(1, 12)]).unwrap(), 2);
    drop(store);
    let (store, findings) = stage.open();
    assert_eq!(findings, []);
    assert_eq!(store.get(1, &[1; 32]).unwrap().unwrap().len(), 12);
}

#[test]
fn after_a_failed_sync_every_call_says_stop_and_the_next_start_tells() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10)]).unwrap();
    stage.script.lock().unwrap().fail_sync = true;
    assert!(commit(&mut store, vec![put(1, 11), put(2, 70_000)]).unwrap_err().is_fatal());
    stage.script.lock().unwrap().fail_sync = false;
    assert!(commit(&mut store, vec![put(1, 12)]).unwrap_err().is_fatal());
    assert!(matches!(store.get(1, &[1; 32]), Err(StoreError::Stopped)));
    assert!(matches!(store.scan(1, None, 1), Err(StoreError::Stopped)));
    assert!(matches!(store.scrub(), Err(StoreError::Stopped)));
    assert!(matches!(store.compact(), Err(StoreError::Stopped)));
    assert!(matches!(store.events(0, 1), Err(StoreError::Stopped)));
    drop(store);
    // The bytes reached the file, so this restart finds the commit. Its body must be there then.
    let (store, findings) = stage.open();
    assert!(findings.iter().all(|finding| finding.weight() < Weight::Loss), "{findings:?}");
    assert_eq!(store.generation(), 2);
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap().len(), 70_000);
}

#[test]
fn when_sled_fails_reads_and_commits_go_on_from_memory() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    store.compact().unwrap();
    commit(&mut store, vec![put(3, 5000)]).unwrap();
    store.view.get_mut().index.break_it();
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
    assert!(store.stats().index_in_memory);
    commit(&mut store, vec![put(4, 5000)]).unwrap();
    assert_eq!(store.events(0, 10).unwrap().len(), 3);
    let findings = store.scrub().unwrap();
    assert!(matches!(findings[..], [Finding::IndexInMemory { .. }]), "{findings:?}");
    assert_eq!(store.scrub().unwrap(), [], "it was said once");
    drop(store);
    let (store, _) = stage.open();
    assert!(!store.stats().index_in_memory);
    assert_eq!(store.get(1, &[4; 32]).unwrap().unwrap(), vec![4; 5000]);
}

#[test]
fn a_commit_during_which_sled_fails_is_a_commit() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10)]).unwrap();
    let changes = batch(&store, vec![put(2, 5000)]);
    let staged = store.stage(&changes).unwrap();
    let mut places = Places::default();
    let fill = |out: &mut Vec<u8>| places = record::encode(out, &changes, &staged.hashes, &staged.after);
    let spot = store.journal.append(fill).unwrap();
    store.view.get_mut().index.break_it();
    store.enter(&changes, &staged, &places, spot);
    store.settle().unwrap();
    assert!(store.stats().index_in_memory);
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
    assert_eq!(store.stats().rows, 2);
}

/// A copy of a store's folder, as a crash would leave it now.
fn crashed(stage: &Stage) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for found in fs::read_dir(stage.dir.path().join(&inside)).unwrap().map(Result::unwrap) {
            let name = inside.join(found.file_name());
            if found.file_type().unwrap().is_dir() {
                fs::create_dir(copy.path().join(&name)).unwrap();
                folders.push(name);
            } else {
                fs::copy(found.path(), copy.path().join(&name)).unwrap();
            }
        }
    }
    copy
}

#[test]
fn a_commit_that_the_index_was_not_told_of_yet_is_there_for_everybody_and_after_a_crash() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(9, 10)]).unwrap();
    let looks: [fn(&mut DurableStore, u8); 6] = [
        |store, n| assert_eq!(store.get(1, &[n; 32]).unwrap().unwrap().len(), 5000),
        |store, n| assert_eq!(store.scan(1, None, 99).unwrap().rows.len(), usize::from(n) + 1),
        |store, n| assert_eq!(store.events(0, 99).unwrap().len(), usize::from(n)),
        |store, n| assert_eq!((store.stats().rows, store.event_count()), (u64::from(n) + 1, u64::from(n))),
        |store, _| assert_eq!(store.scrub().unwrap(), []),
        |store, _| store.compact().unwrap(),
    ];
    for (n, look) in (2..).zip(looks) {
        let mut changes = batch(&store, vec![put(n, 5000)]);
        changes.dels = vec![(1, [7 + n; 32])];
        changes.puts.push(put(8 + n, 1));
        store.commit(&changes).unwrap();
        let copy = crashed(&stage);
        look(&mut store, n);
        let (store, findings) = DurableStore::open(copy.path()).unwrap();
        assert!(findings.iter().all(|finding| finding.weight() < Weight::Loss), "{n}: {findings:?}");
        assert_eq!((store.stats().rows, store.get(1, &[7 + n; 32]).unwrap()), (u64::from(n) + 1, None), "{n}");
        assert_eq!(store.get(1, &[n; 32]).unwrap().unwrap().len(), 5000, "{n}");
    }
}

#[test]
fn an_index_that_lacks_a_commit_and_cannot_be_derived_answers_nothing() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10)]).unwrap();
    let changes = batch(&store, vec![put(2, 5000)]);
    store.commit(&changes).unwrap();
    store.view.get_mut().index.break_it();
    let (segment, aside) = (stage.path(&segment_name(1)), stage.path("aside"));
    fs::rename(&segment, &aside).unwrap();
    assert!(store.settle().is_err());
    assert!(store.get(1, &[2; 32]).is_err() && store.get(1, &[1; 32]).is_err() && store.scan(1, None, 9).is_err());
    let next = batch(&store, vec![put(3, 10)]);
    assert!(matches!(store.commit(&next), Err(CommitError::Unreadable(_))));
    fs::rename(&aside, &segment).unwrap();
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap().len(), 5000);
    assert_eq!(store.commit(&next).unwrap(), 3);
}

#[test]
fn a_compaction_brings_an_index_in_memory_back_to_disk() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10)]).unwrap();
    store.view.get_mut().index.break_it();
    commit(&mut store, vec![put(2, 10)]).unwrap();
    assert!(store.stats().index_in_memory);
    store.compact().unwrap();
    assert!(!store.stats().index_in_memory);
    assert_eq!(store.stats().rows, 2);
}

#[test]
fn a_scrub_finds_damage_to_the_journal_while_it_is_in_use_even_where_nothing_live_lies() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    let path = stage.path(&segment_name(1));
    commit(&mut store, vec![put(1, 5000)]).unwrap();
    let first = fs::metadata(&path).unwrap().len();
    commit(&mut store, vec![put(1, 5001)]).unwrap();
    let whole = fs::read(&path).unwrap();
    // In the middle of the value that was overwritten, then at the very end.
    for (at, damaged) in [(1000, 1), (whole.len() - 1, 2)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let findings = store.scrub().unwrap();
        let named = |finding: &Finding| matches!(finding, Finding::JournalDamaged { first, last, .. } if *first == damaged && *last == damaged);
        assert!(findings.iter().any(named), "byte {at}: {findings:?}");
    }
    fs::write(&path, &whole[..first as usize]).unwrap();
    let findings = store.scrub().unwrap();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::JournalDamaged { first: 2, last: 2, .. })));
    assert!(findings.iter().any(|finding| matches!(finding, Finding::RowDamaged { .. })));
    fs::write(&path, &whole).unwrap();
    assert_eq!(store.scrub().unwrap(), []);
}

#[test]
fn a_scrub_finds_damage_to_the_snapshot_while_it_is_in_use_and_that_it_is_gone() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 5000), put(2, 10)]).unwrap();
    store.compact().unwrap();
    let path = store.snapshot.path(stage.dir.path());
    let (file, whole) = (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    let told = |store: &mut DurableStore| {
        let findings = store.scrub().unwrap();
        findings.into_iter().any(|finding| finding == Finding::SnapshotDamaged { file: file.clone() })
    };
    assert!(!told(&mut store));
    for at in [whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(told(&mut store), "byte {at}");
    }
    fs::remove_file(&path).unwrap();
    assert!(told(&mut store));
    fs::write(&path, &whole).unwrap();
    assert!(!told(&mut store));
}

/// Makes the index forget a row and that it ever had it, as if it had been opened without the row.
fn forget(store: &mut DurableStore, n: u8) {
    let mut edits = Edits::default();
    edits.del(1, &[n; 32]);
    let seq = store.generation();
    store.view.get_mut().index.apply(seq, edits).unwrap();
}

#[test]
fn a_row_sled_loses_while_it_runs_is_noticed_when_it_is_asked_for() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    for _ in 0..2 {
        store.view.get_mut().index.lose(1, &[2; 32]);
        assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
        assert!(store.stats().index_in_memory);
        // Nor can the same row be written as a new one.
        drop(store);
        store = stage.open().0;
        store.view.get_mut().index.lose(1, &[1; 32]);
        let generation = store.generation();
        let again =
            Changes { generation, must_be_new: vec![(1, [1; 32])], puts: vec![put(1, 1)], ..Changes::default() };
        assert!(matches!(store.commit(&again), Err(CommitError::Conflict { .. })));
        drop(store);
        store = stage.open().0;
    }
}

#[test]
fn a_row_the_index_lost_silently_is_found_by_a_scrub() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    forget(&mut store, 2);
    assert_eq!(store.get(1, &[2; 32]).unwrap(), None, "this is how it looks until then");
    let findings = store.scrub().unwrap();
    assert!(findings.contains(&Finding::RowsDisagree { expected: 2, found: 1 }), "{findings:?}");
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
    assert_eq!(store.scrub().unwrap(), []);
    commit(&mut store, vec![put(3, 1)]).unwrap();
    drop(store);
    assert_eq!(stage.open().1, []);
}

#[test]
fn a_row_the_index_lost_silently_is_found_at_the_next_start() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    forget(&mut store, 1);
    drop(store);
    let (store, findings) = stage.open();
    assert!(matches!(findings[..], [Finding::IndexRebuilt { .. }]), "{findings:?}");
    assert_eq!(store.get(1, &[1; 32]).unwrap().unwrap(), vec![1; 10]);
}

#[test]
fn commits_misled_by_a_forgetful_index_are_put_right_once_and_for_all() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 10)]).unwrap();
    forget(&mut store, 1);
    // Overwrites a row the index does not know of: from here on the journal counts one row too many.
    commit(&mut store, vec![put(1, 20)]).unwrap();
    assert_eq!(store.stats().rows, 3);
    drop(store);
    let (store, findings) = stage.open();
    assert!(findings.contains(&Finding::RowsDisagree { expected: 3, found: 2 }), "{findings:?}");
    assert_eq!(store.stats().rows, 2);
    drop(store);
    let (store, findings) = stage.open();
    assert_eq!(findings, []);
    assert_eq!((store.stats().rows, store.get(1, &[1; 32]).unwrap().unwrap().len()), (2, 20));
}

#[test]
fn a_compaction_counts_before_it_writes() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 10), put(2, 5000)]).unwrap();
    forget(&mut store, 2);
    store.compact().unwrap();
    assert_eq!(store.get(1, &[2; 32]).unwrap().unwrap(), vec![2; 5000]);
    assert_eq!(store.stats().rows, 2);
}

#[test]
fn a_body_is_durable_before_the_record_that_names_it_and_gone_after_the_one_that_drops_it() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 70_000), put(2, 70_000)]).unwrap();
    commit(&mut store, vec![put(2, 70_000)]).unwrap();
    assert_eq!(stage.bodies(), 2);
    commit(&mut store, vec![put(2, 5)]).unwrap();
    assert_eq!(stage.bodies(), 1);
    // The same bytes in two rows are one file, and stay until the last row lets go.
    let twice = Put { key: [3; 32], ..put(1, 70_000) };
    commit(&mut store, vec![twice]).unwrap();
    let dels = |n: u8| vec![(1, [n; 32])];
    store.commit(&Changes { generation: 4, dels: dels(1), ..Changes::default() }).unwrap();
    assert_eq!(store.get(1, &[3; 32]).unwrap().unwrap(), vec![1; 70_000]);
    store.commit(&Changes { generation: 5, dels: dels(3), ..Changes::default() }).unwrap();
    assert_eq!(stage.bodies(), 0);
}

#[test]
fn what_a_crash_leaves_in_the_folder_is_collected_and_strangers_are_left_alone() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, vec![put(1, 70_000)]).unwrap();
    drop(store);
    fs::write(stage.path(BODIES_DIR).join("ab".repeat(32)), b"orphan").unwrap();
    fs::write(stage.path("snapshot-00000000000000000001.snap.tmp"), b"half").unwrap();
    fs::write(stage.path("notes.txt"), b"mine").unwrap();
    fs::create_dir(stage.path(&index_name(77))).unwrap();
    let (_, findings) = stage.open();
    assert!(findings.contains(&Finding::UnknownFile { file: "notes.txt".to_owned() }), "{findings:?}");
    assert!(findings.contains(&Finding::LeftoversRemoved { files: 3 }), "{findings:?}");
    assert_eq!(stage.bodies(), 1);
    assert!(stage.path("notes.txt").exists() && !stage.path(&index_name(77)).exists());
}

#[test]
fn a_missing_reserve_is_made_again() {
    let stage = Stage::new();
    drop(stage.open());
    fs::remove_file(stage.path(BALLAST_FILE)).unwrap();
    let (_, findings) = stage.open();
    assert_eq!(findings, []);
    assert!(stage.path(BALLAST_FILE).exists());
}

#[test]
fn commitments_are_those_of_the_events_whether_they_are_at_hand_or_not() {
    let stage = Stage::new();
    let number = |index: u64| digest(&index.to_le_bytes());
    let add = |store: &mut DurableStore, count: u64| {
        let first = store.event_count();
        let leaf = |index| EventLeaf { index, commitment: number(index), sealed: vec![1] };
        let events = (first..first + count).map(leaf).collect();
        store.commit(&Changes { generation: store.generation(), events, ..Changes::default() }).unwrap();
    };
    let (mut store, _) = stage.open();
    add(&mut store, 5);
    drop(store);
    // Half of them from before the start, half since.
    let (mut store, _) = stage.open();
    add(&mut store, 3);
    add(&mut store, 4);
    for from in 0..15 {
        for limit in [0, 1, 4, 100] {
            let expected: Vec<Hash> = (from..12.min(from + limit)).map(number).collect();
            let found = store.commitments(from, limit as usize).unwrap();
            assert_eq!(found, expected, "{limit} from {from}");
        }
    }
    // A batch that was not taken has none.
    stage.script.lock().unwrap().fail_append_after = Some(40);
    commit(&mut store, vec![put(1, 11)]).unwrap_err();
    assert_eq!(store.commitments(11, 9).unwrap(), [number(11)]);
    // Only so many are kept.
    while store.recent.len() < RECENT_MAX {
        add(&mut store, 8000);
    }
    add(&mut store, 7);
    let count = store.event_count();
    assert_eq!(store.recent.len(), RECENT_MAX);
    let oldest = count - RECENT_MAX as u64;
    for from in [0, oldest - 1, oldest, oldest + 1, count - 1] {
        assert_eq!(store.commitments(from, 1).unwrap(), [number(from)]);
    }
    stage.script.lock().unwrap().fail_sync = true;
    commit(&mut store, vec![put(1, 11)]).unwrap_err();
    assert!(matches!(store.commitments(count - 1, 1), Err(StoreError::Stopped)));
}

#[test]
fn events_before_a_damaged_one_are_read_and_the_damaged_one_is_an_error() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    let leaf = |index: u64| EventLeaf { index, commitment: [9; 32], sealed: vec![0xA0 + index as u8; 40] };
    store.commit(&Changes { events: (0..3).map(leaf).collect(), ..Changes::default() }).unwrap();
    let path = stage.path(&segment_name(1));
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(40).position(|window| window == leaf(1).sealed).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(store.events(0, 10).unwrap() == [leaf(0)], "what stands before it");
    assert!(matches!(store.events(1, 10), Err(StoreError::Damaged { .. })));
    assert!(store.events(2, 10).unwrap() == [leaf(2)]);
    assert!(store.events(3, 10).unwrap().is_empty());
    let damaged: Vec<Finding> =
        store.scrub().unwrap().into_iter().filter(|finding| matches!(finding, Finding::EventsDamaged { .. })).collect();
    assert_eq!(damaged, [Finding::EventsDamaged { first: 1, last: 1, file: segment_name(1) }]);
}

#[test]
fn names_that_only_resemble_ours_are_strangers_and_stay() {
    let stage = Stage::new();
    assert_eq!(stage.open().1, [], "a new store is nothing to report");
    let strangers =
        ["events-notes.txt", "old.arc", "cut-out.txt", "trash.bin", "journal-1.log", "snapshot-7.snap", "index-x"];
    for name in strangers {
        fs::write(stage.path(name), b"mine").unwrap();
    }
    let kept = ["cut-00000000000000000002-9.bin", "events-00000000000000000000-00000000000000000001.arc"];
    fs::write(stage.path(kept[0]), b"ours").unwrap();
    let (mut store, findings) = stage.open();
    let mut named: Vec<&str> = Vec::new();
    for finding in &findings {
        if let Finding::UnknownFile { file } = finding {
            named.push(file);
        }
    }
    named.sort_unstable();
    let mut expected = strangers.to_vec();
    expected.sort_unstable();
    assert_eq!(named, expected);
    // What was cut off is of no more use once all of it is written anew.
    commit(&mut store, vec![put(1, 10)]).unwrap();
    store.compact().unwrap();
    assert!(!stage.path(kept[0]).exists());
    assert!(strangers.iter().all(|name| stage.path(name).exists()));
}

#[test]
fn a_page_ends_at_its_limit_and_the_last_one_says_so() {
    let stage = Stage::new();
    let (mut store, _) = stage.open();
    commit(&mut store, (0..5).map(|n| put(n, 10)).collect()).unwrap();
    let page = store.scan(1, None, 2).unwrap();
    assert_eq!((page.rows.len(), page.next), (2, Some([1; 32])));
    let last = store.scan(1, Some([2; 32]), 2).unwrap();
    assert_eq!((last.rows.len(), last.next), (2, None));
    let some = store.scan(1, Some([2; 32]), 1).unwrap();
    assert_eq!((some.rows.len(), some.next), (1, Some([3; 32])));
}

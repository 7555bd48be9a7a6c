//! The journal under every cut, every flipped bit, lost blocks and failing calls.

use std::sync::{Arc, Mutex};

use super::*;
use crate::format::digest;

const ID: StoreId = [7; 16];

/// A journal in a folder of its own, in memory where there is such a file system: these tests make many files.
struct Made {
    dir: tempfile::TempDir,
    payloads: Vec<Vec<u8>>,
    /// Length of the last segment after each commit, the heading first.
    lengths: Vec<u64>,
}

pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn start(dir: &Path) -> Journal {
    Journal::create_segment(dir, &ID, &Point::genesis(&ID)).unwrap();
    reopen(dir)
}

fn reopen(dir: &Path) -> Journal {
    let walked = walk(dir, &ID, Point::genesis(&ID), &mut |_| Ok(())).unwrap();
    Journal::resume(dir, ID, &walked, plain()).unwrap()
}

fn append(journal: &mut Journal, payload: &[u8]) -> Result<Spot, CommitError> {
    journal.append(|out| out.extend_from_slice(payload))
}

fn payload(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (n * 37 + at * 11 + at / 256) as u8).collect()
}

fn made(sizes: &[usize]) -> Made {
    let dir = folder();
    let mut journal = start(dir.path());
    let payloads: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, len)| payload(n, *len)).collect();
    let mut lengths = vec![HEADING_LEN];
    for payload in &payloads {
        append(&mut journal, payload).unwrap();
        lengths.push(journal.last.len);
    }
    Made { dir, payloads, lengths }
}

impl Made {
    fn path(&self) -> PathBuf {
        self.dir.path().join(segment_name(1))
    }

    /// Walks, and holds every payload that is visited against the one that was appended under its number.
    fn walk(&self) -> Result<(Walked, Vec<u64>), StoreError> {
        let mut seen = Vec::new();
        let walked = walk(self.dir.path(), &ID, Point::genesis(&ID), &mut |met| {
            if let Seen::Record(placed) = met {
                assert_eq!(placed.payload, self.payloads[placed.seq as usize - 1], "commit {}", placed.seq);
                seen.push(placed.seq);
            }
            Ok(())
        })?;
        Ok((walked, seen))
    }
}

#[test]
fn what_was_appended_is_walked_in_order_and_lies_where_it_was_said_to() {
    let dir = folder();
    let mut journal = start(dir.path());
    let spots: Vec<Spot> = (0..5).map(|n| append(&mut journal, &payload(n, 100)).unwrap()).collect();
    let mut n = 0;
    let walked = walk(dir.path(), &ID, Point::genesis(&ID), &mut |met| {
        let Seen::Record(placed) = met else { panic!("damage") };
        assert_eq!((placed.spot, placed.payload), (spots[n], payload(n, 100).as_slice()));
        n += 1;
        Ok(())
    });
    assert_eq!((n, walked.unwrap().end), (5, journal.end()));
}

#[test]
fn a_cut_at_any_byte_loses_the_record_it_cuts_and_no_other() {
    let made = made(&[10, 0, 300, 5, 80]);
    let whole = fs::read(made.path()).unwrap();
    for len in HEADING_LEN..=whole.len() as u64 {
        fs::write(made.path(), &whole[..len as usize]).unwrap();
        let (walked, seen) = made.walk().unwrap();
        let records = made.lengths.iter().filter(|end| **end <= len).count() as u64 - 1;
        assert_eq!(seen, (1..=records).collect::<Vec<_>>(), "cut at {len}");
        let behind = len - made.lengths[records as usize];
        assert_eq!(walked.tail.map_or(0, |tail| tail.bytes), behind, "cut at {len}");
        assert_eq!(walked.findings, []);
    }
}

#[test]
fn a_cut_heading_is_never_taken_for_an_empty_journal() {
    let made = made(&[10, 10]);
    let whole = fs::read(made.path()).unwrap();
    for len in 0..HEADING_LEN {
        fs::write(made.path(), &whole[..len as usize]).unwrap();
        assert!(matches!(made.walk(), Err(StoreError::Damaged { offset, .. }) if offset == len));
    }
}

#[test]
fn any_flipped_bit_before_the_last_record_is_reported_and_costs_one_record_at_most() {
    let made = made(&[40, 0, 90, 60]);
    let whole = fs::read(made.path()).unwrap();
    let last = made.lengths[3];
    for bit in 0..last as usize * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(made.path(), flipped).unwrap();
        let (walked, seen) = made.walk().unwrap();
        assert_eq!(walked.end.seq, 4, "bit {bit}: the walk did not reach the end");
        assert_eq!(walked.findings.len(), 1, "bit {bit}: {:?}", walked.findings);
        let finding = &walked.findings[0];
        if matches!(finding, Finding::HeadingDamaged { .. }) {
            assert!((bit as u64) < HEADING_LEN * 8 && seen.len() == 4);
        } else {
            let Finding::JournalDamaged { offset, first, last, .. } = finding else { panic!("bit {bit}: {finding}") };
            assert!(first == last && !seen.contains(first) && seen.len() == 3, "bit {bit}");
            assert_eq!(*offset, made.lengths[*first as usize - 1]);
        }
    }
}

#[test]
fn any_flipped_bit_in_the_last_record_makes_it_a_tail_and_no_other_content() {
    let made = made(&[40, 60]);
    let whole = fs::read(made.path()).unwrap();
    for bit in made.lengths[1] as usize * 8..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(made.path(), flipped).unwrap();
        let (walked, seen) = made.walk().unwrap();
        assert_eq!((seen, walked.findings), (vec![1], vec![]));
        assert_eq!(walked.tail.unwrap().offset, made.lengths[1]);
    }
}

#[test]
fn lost_blocks_of_an_unsynced_record_never_touch_those_before_it() {
    let mut dice = 1u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    for _ in 0..40 {
        let sizes: Vec<usize> = (0..4).map(|_| roll(20_000) as usize).collect();
        let made = made(&sizes);
        let whole = fs::read(made.path()).unwrap();
        let synced = made.lengths[3];
        for _ in 0..100 {
            let mut image = whole.clone();
            image.truncate(synced as usize + 1 + roll(whole.len() as u64 - synced) as usize);
            // Blocks that never reached the disk read as zeros; one may be torn in sectors of 512 bytes.
            for block in synced / 4096..=(image.len() as u64 - 1) / 4096 {
                let (from, sectors) = (block * 4096, if roll(4) == 0 { roll(9) } else { 8 * roll(2) });
                let lost = (from.max(synced) as usize)..((from + 512 * sectors).min(image.len() as u64) as usize);
                if lost.start < lost.end {
                    image[lost].fill(0);
                }
            }
            let survived = image == whole;
            fs::write(made.path(), &image).unwrap();
            let (walked, seen) = made.walk().unwrap();
            assert_eq!(seen.len(), if survived { 4 } else { 3 });
            assert_eq!(walked.findings, []);
            if let Some(tail) = walked.tail {
                assert_eq!(tail.offset, synced);
            }
        }
    }
}

#[test]
fn a_walk_gives_up_on_a_journal_that_is_nothing_but_damage() {
    let made = made(&[40; 200]);
    let mut bytes = fs::read(made.path()).unwrap();
    for end in made.lengths.iter().skip(1).step_by(2) {
        bytes[*end as usize - 1] ^= 1;
    }
    fs::write(made.path(), bytes).unwrap();
    assert!(matches!(made.walk(), Err(StoreError::Damaged { .. })));
}

#[test]
fn numbers_no_store_can_reach_are_damage_and_not_arithmetic() {
    let dir = folder();
    let far = Point { seq: u64::MAX - 1, chain: [1; 32] };
    let mut bytes = heading(&ID, &far);
    let mut frame = vec![0; HEADER_LEN];
    seal_frame(&mut frame, &far.chain, &far);
    bytes.extend_from_slice(&frame);
    fs::write(dir.path().join(segment_name(u64::MAX)), bytes).unwrap();
    assert!(matches!(walk(dir.path(), &ID, Point::genesis(&ID), &mut |_| Ok(())), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_tail_is_put_aside_cut_and_appended_over() {
    let made = made(&[40, 60]);
    let whole = fs::read(made.path()).unwrap();
    fs::write(made.path(), &whole[..whole.len() - 5]).unwrap();
    let (walked, _) = made.walk().unwrap();
    let finding = cut(made.dir.path(), &walked.tail.unwrap(), 2).unwrap();
    let Finding::TailCut { kept, offset, bytes, .. } = finding else { panic!("{finding}") };
    assert_eq!(fs::read(made.dir.path().join(kept)).unwrap(), &whole[offset as usize..(offset + bytes) as usize]);
    let mut journal = reopen(made.dir.path());
    assert_eq!((journal.end().seq, journal.bytes()), (1, made.lengths[1]));
    append(&mut journal, &made.payloads[1]).unwrap();
    assert_eq!(fs::read(made.path()).unwrap(), whole, "the same commit makes the same bytes");
}

#[test]
fn segments_follow_each_other_and_a_missing_one_is_named() {
    let dir = folder();
    let mut journal = start(dir.path());
    for n in 0..6 {
        append(&mut journal, &payload(n, 50)).unwrap();
        if n % 2 == 1 {
            journal.roll().unwrap();
            journal.roll().unwrap();
        }
    }
    assert_eq!(segments_after(dir.path(), 0).unwrap(), [1, 3, 5, 7]);
    let made = Made { payloads: (0..6).map(|n| payload(n, 50)).collect(), lengths: Vec::new(), dir };
    let (walked, seen) = made.walk().unwrap();
    assert_eq!((walked.end, seen.len()), (journal.end(), 6));
    assert_eq!(walked.bytes, journal.bytes());

    let second = made.dir.path().join(segment_name(3));
    let kept = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    let (walked, seen) = made.walk().unwrap();
    assert_eq!((walked.end, seen), (journal.end(), vec![1, 2, 5, 6]));
    assert!(matches!(walked.findings[..], [Finding::JournalDamaged { first: 3, last: 4, .. }]));

    fs::write(&second, &kept[..50]).unwrap();
    let (walked, seen) = made.walk().unwrap();
    assert_eq!((walked.end, seen), (journal.end(), vec![1, 2, 5, 6]));
    assert!(matches!(walked.findings[..], [Finding::JournalDamaged { first: 3, last: 4, .. }]));

    fs::write(&second, &kept[..kept.len() - 1]).unwrap();
    let (walked, seen) = made.walk().unwrap();
    assert_eq!(seen, [1, 2, 3, 5, 6], "only the last file can have a tail");
    assert!(walked.tail.is_none());
    assert!(matches!(walked.findings[..], [Finding::JournalDamaged { first: 4, last: 4, .. }]));
}

#[test]
fn a_segment_of_another_store_is_refused_and_not_cut() {
    let ours = made(&[40, 60]);
    let other = folder();
    Journal::create_segment(other.path(), &[8; 16], &Point::genesis(&[8; 16])).unwrap();
    let walked = walk(other.path(), &[8; 16], Point::genesis(&[8; 16]), &mut |_| Ok(())).unwrap();
    let mut journal = Journal::resume(other.path(), [8; 16], &walked, plain()).unwrap();
    append(&mut journal, b"theirs").unwrap();
    fs::copy(other.path().join(segment_name(1)), ours.path()).unwrap();
    assert!(matches!(ours.walk(), Err(StoreError::Damaged { offset: HEADING_LEN, .. })));
}

#[test]
fn records_of_an_earlier_time_are_not_taken_for_later_ones() {
    let made = made(&[40, 60]);
    let mut bytes = fs::read(made.path()).unwrap();
    let first = bytes[HEADING_LEN as usize..made.lengths[1] as usize].to_vec();
    bytes.extend_from_slice(&first);
    fs::write(made.path(), bytes).unwrap();
    assert!(matches!(made.walk(), Err(StoreError::Damaged { offset, .. }) if offset == made.lengths[2]));
}

#[test]
fn records_of_another_history_of_the_same_store_are_not_taken_for_ours() {
    // A copy of the folder that lived on by itself: same store, same segment, same numbers.
    let (ours, theirs) = (made(&[40, 60, 80]), made(&[40, 61, 80]));
    let (mine, other) = (fs::read(ours.path()).unwrap(), fs::read(theirs.path()).unwrap());
    let spliced = [&mine[..ours.lengths[2] as usize], &other[theirs.lengths[2] as usize..]].concat();
    fs::write(ours.path(), spliced).unwrap();
    assert!(matches!(ours.walk(), Err(StoreError::Damaged { offset, .. }) if offset == ours.lengths[2]));
}

#[test]
fn more_garbage_than_one_record_can_leave_is_not_a_tail() {
    let made = made(&[40]);
    let file = OpenOptions::new().write(true).open(made.path()).unwrap();
    file.set_len(made.lengths[1] + RECORD_MAX).unwrap();
    assert!(made.walk().unwrap().0.tail.is_some());
    file.set_len(made.lengths[1] + RECORD_MAX + 1).unwrap();
    assert!(matches!(made.walk(), Err(StoreError::Damaged { .. })));
}

/// What the file under a journal shall do, call by call, and what it did.
#[derive(Default)]
pub(crate) struct Script {
    /// Bytes of the next append that are written before it fails.
    pub(crate) fail_append_after: Option<usize>,
    pub(crate) fail_sync: bool,
    pub(crate) fail_cut: bool,
    pub(crate) syncs: usize,
}

struct Scripted(File, Arc<Mutex<Script>>);

/// Opens journals that do what the script says.
pub(crate) fn through(script: &Arc<Mutex<Script>>) -> Through {
    let shared = Arc::clone(script);
    Box::new(move |file| Box::new(Scripted(file, Arc::clone(&shared))))
}

impl Appended for Scripted {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.1.lock().unwrap().fail_append_after.take() {
            None => self.0.write_all(bytes),
            Some(written) => {
                self.0.write_all(&bytes[..written.min(bytes.len())])?;
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut script = self.1.lock().unwrap();
        script.syncs += 1;
        if script.fail_sync { Err(io::Error::other("the device is gone")) } else { self.0.sync_data() }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        if self.1.lock().unwrap().fail_cut { Err(io::Error::other("no")) } else { self.0.set_len(len) }
    }
}

fn scripted(dir: &Path) -> (Journal, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(Script::default()));
    start(dir);
    let walked = walk(dir, &ID, Point::genesis(&ID), &mut |_| Ok(())).unwrap();
    (Journal::resume(dir, ID, &walked, through(&script)).unwrap(), script)
}

#[test]
fn every_commit_is_synced_once() {
    let dir = folder();
    let (mut journal, script) = scripted(dir.path());
    for n in 0..4 {
        append(&mut journal, &payload(n, 9)).unwrap();
        assert_eq!(script.lock().unwrap().syncs, n + 1);
    }
}

#[test]
fn a_write_that_fails_anywhere_is_taken_back_and_the_journal_goes_on() {
    for written in 0..200 {
        let dir = folder();
        let (mut journal, script) = scripted(dir.path());
        append(&mut journal, b"first").unwrap();
        script.lock().unwrap().fail_append_after = Some(written);
        assert!(matches!(append(&mut journal, &[1; 100]), Err(CommitError::Full)));
        append(&mut journal, b"second").unwrap();
        let again = reopen(dir.path());
        assert_eq!((again.end(), again.bytes()), (journal.end(), journal.bytes()));
        assert_eq!(again.end().seq, 2);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_appended_ever_again() {
    let dir = folder();
    let (mut journal, script) = scripted(dir.path());
    script.lock().unwrap().fail_sync = true;
    assert!(append(&mut journal, b"lost?").unwrap_err().is_fatal());
    let before = fs::read(dir.path().join(segment_name(1))).unwrap();
    script.lock().unwrap().fail_sync = false;
    assert!(append(&mut journal, b"more").unwrap_err().is_fatal());
    assert!(journal.roll().unwrap_err().is_fatal());
    assert!(journal.is_poisoned());
    assert_eq!(fs::read(dir.path().join(segment_name(1))).unwrap(), before);
    assert_eq!(script.lock().unwrap().syncs, 1, "a failed sync was tried again");
}

#[test]
fn a_write_that_cannot_be_taken_back_stops_the_journal() {
    let dir = folder();
    let (mut journal, script) = scripted(dir.path());
    *script.lock().unwrap() = Script { fail_append_after: Some(70), fail_cut: true, ..Script::default() };
    assert!(append(&mut journal, b"x").unwrap_err().is_fatal());
    assert!(journal.is_poisoned());
}

#[test]
fn the_chain_covers_every_commit_before() {
    let (one, other) = (folder(), folder());
    let (mut a, mut b) = (start(one.path()), start(other.path()));
    append(&mut a, b"yes").unwrap();
    append(&mut b, b"no").unwrap();
    append(&mut a, b"same").unwrap();
    append(&mut b, b"same").unwrap();
    assert_ne!(a.end().chain, b.end().chain);
    assert_ne!(a.end().chain, digest(b"same"));
}

#[test]
fn what_hangs_behind_the_last_record_of_an_older_segment_loses_no_commit() {
    let dir = folder();
    let mut journal = start(dir.path());
    for n in 0..2 {
        append(&mut journal, &payload(n, 50)).unwrap();
    }
    journal.roll().unwrap();
    append(&mut journal, &payload(2, 50)).unwrap();
    let made = Made { payloads: (0..3).map(|n| payload(n, 50)).collect(), lengths: Vec::new(), dir };
    let whole = fs::read(made.path()).unwrap();
    fs::write(made.path(), [whole.as_slice(), &[0xee; 70]].concat()).unwrap();
    let (walked, seen) = made.walk().unwrap();
    assert_eq!((walked.end, seen), (journal.end(), vec![1, 2, 3]));
    // No commit is named: from the third up to the second there is none.
    let offset = whole.len() as u64;
    let finding = Finding::JournalDamaged { file: segment_name(1), offset, first: 3, last: 2 };
    assert_eq!((walked.findings, walked.tail), (vec![finding], None));
}

#[test]
fn a_journal_without_a_segment_is_refused_by_the_name_of_the_one_that_is_missing() {
    let dir = folder();
    let base = Point { seq: 41, chain: [3; 32] };
    let walked = walk(dir.path(), &ID, base, &mut |_| Ok(())).unwrap();
    let Err(StoreError::Damaged { file, .. }) = Journal::resume(dir.path(), ID, &walked, plain()) else {
        panic!("resumed")
    };
    assert_eq!(file, segment_name(42));
}

#[test]
fn a_file_is_cut_to_its_confirmed_length_and_a_shorter_write_is_left_alone() {
    let dir = folder();
    let path = dir.path().join("file");
    fs::write(&path, b"confirmed and more").unwrap();
    let mut file = open_to_append(&path).unwrap();
    file.cut(9).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"confirmed");
    // There is nothing to take back, so nothing is asked of a file that cannot be written.
    let mut read_only = File::open(&path).unwrap();
    assert!(read_only.cut(9).is_ok() && read_only.cut(3).is_err());
}

#[test]
fn a_journal_that_was_stopped_takes_nothing_more() {
    let dir = folder();
    let mut journal = start(dir.path());
    append(&mut journal, b"first").unwrap();
    assert!(!journal.is_poisoned() && journal.alive().is_ok());
    journal.stop();
    assert!(append(&mut journal, b"second").unwrap_err().is_fatal());
    assert!(journal.is_poisoned());
}

#[test]
fn segments_up_to_a_commit_are_removed_and_counted_and_nothing_else_is() {
    let dir = folder();
    for name in [segment_name(1), segment_name(5), segment_name(6), "journal-5.log".to_owned(), "notes".to_owned()] {
        fs::write(dir.path().join(name), b"").unwrap();
    }
    assert_eq!(remove_segments_until(dir.path(), 5).unwrap(), 2);
    assert_eq!(names(dir.path()).unwrap(), [segment_name(6).as_str(), "journal-5.log", "notes"]);
}

#[test]
fn a_segment_that_is_full_is_followed_by_another() {
    let dir = folder();
    let mut journal = start(dir.path());
    append(&mut journal, b"first").unwrap();
    journal.last.len = SEGMENT_MAX - 1;
    append(&mut journal, b"second").unwrap();
    assert_eq!(journal.segment(), 1);
    journal.last.len = SEGMENT_MAX;
    append(&mut journal, b"third").unwrap();
    assert_eq!((journal.segment(), journal.last.first()), (3, 3));
    assert_eq!(segments_after(dir.path(), 0).unwrap(), [1, 3]);
    assert_eq!(segments_after(dir.path(), 1).unwrap(), [3], "the one that starts behind it, and not at it");
}

#[test]
fn behind_a_missing_segment_only_one_of_this_store_and_this_name_is_taken() {
    let dir = folder();
    let mut journal = start(dir.path());
    append(&mut journal, b"first").unwrap();
    let place = |first: u64, id: &StoreId, before: &Point| {
        let name = dir.path().join(segment_name(first));
        fs::write(&name, heading(id, before)).unwrap();
        let walked = walk(dir.path(), &ID, Point::genesis(&ID), &mut |_| Ok(()));
        fs::remove_file(name).unwrap();
        walked.map(|walked| (walked.end.seq, walked.findings.len()))
    };
    let before = |seq| Point { seq, chain: [5; 32] };
    // Commits 2 to 4 are missing, and said to be.
    assert_eq!(place(5, &ID, &before(4)).ok(), Some((4, 1)));
    assert!(matches!(place(5, &[8; 16], &before(4)), Err(StoreError::Damaged { offset: 0, .. })), "another store's");
    assert!(matches!(place(5, &ID, &before(3)), Err(StoreError::Damaged { offset: 0, .. })), "under another name");
}

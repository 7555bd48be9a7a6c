//! What a store reads from its disk: commits, segments, snapshots, archives, entries of the index. As a broken disk leaves
//! them, and as somebody leaves them who knows every sum.
//!
//! Promises: what is read was written so, commits come in order, and damage is an answer and not an end.

use std::path::Path;

use clearhouse_store::probe;

use super::bytes::{Bytes, piece};
use super::{Seed, seed};

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for one file");
}

fn folder<T>(give: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| give(folder.path()))
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 7 {
        0 => {
            let _ = probe::record(bytes.rest());
        }
        1 => {
            let _ = folder(|folder| probe::segment(folder, bytes.rest()));
        }
        2 => framed(&mut bytes),
        3 => {
            let _ = folder(|folder| probe::snapshot(folder, bytes.rest()));
        }
        4 => {
            let (heading, rows) = (bytes.piece(), bytes.piece());
            let made = probe::snapshot_of(heading, rows, bytes.rest());
            let _ = folder(|folder| probe::snapshot(folder, &made));
        }
        5 => {
            let first = bytes.u64();
            let _ = probe::archive(bytes.rest(), first);
        }
        _ => {
            let _ = probe::index(bytes.rest());
        }
    }
}

/// Commits in right frames, and the segment then changed at one place or not.
fn framed(bytes: &mut Bytes<'_>) {
    let (at, mask) = (usize::from(bytes.u16()), bytes.u8());
    let mut payloads = Vec::new();
    while !bytes.is_empty() && payloads.len() < 8 {
        payloads.push(bytes.piece());
    }
    let mut segment = probe::segment_of(payloads.iter().copied());
    let place = at % segment.len();
    segment[place] ^= mask;
    let walk = folder(|folder| probe::segment(folder, &segment));
    match mask {
        0 => {
            let all = probe::Walk { whole: payloads.len(), is_damaged: false };
            assert_eq!(walk, Some(all), "a segment in right frames was not read");
        }
        // The heading is there for people: what it says follows from the records.
        _ if place < probe::SEGMENT_HEADING || payloads.is_empty() => {}
        // A payload may be a commit in its own frame, which is read in the place of the one around it: not without a word.
        _ => {
            let is_noticed = walk.is_none_or(|walk| walk.is_damaged || walk.whole < payloads.len());
            assert!(is_noticed, "a changed byte was not noticed");
        }
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let record = probe::record_of(b"a sealed value");
    let segment = probe::segment_of([record.as_slice(), &record].into_iter());
    let framed = [&[0, 0, 0][..], &piece(&record), &piece(b"no commit")].concat();
    let changed = [&[0, 120, 1][..], &piece(&record), &piece(&record)].concat();
    // Chain value, totals, no archives; no rows; an ending as `snapshot.rs` writes it.
    let heading = [0; 32 + 56 + 4];
    let ending = |rows: u64| {
        let heading_len = (8 + 16 + 8 + heading.len() + 32) as u32;
        [&heading_len.to_le_bytes()[..], &rows.to_le_bytes(), &[0; 32], b"chsnapEN"].concat()
    };
    let snapshot = |rows: &[u8], told: u64| [&piece(&heading)[..], &piece(rows), &ending(told)].concat();
    let row = [&[3][..], &[5; 32], &[0], &2u64.to_le_bytes(), &[6; 32], b"ab"].concat();
    let leaf = [&4u64.to_le_bytes()[..], &[6; 32], &3u32.to_le_bytes(), b"abc"].concat();
    let entry = [&[1; 32][..], &[0], b"small"].concat();
    let run = [&[1; 32][..], &[0; 20]].concat();
    vec![
        seed("record", 0, &record),
        seed("record-cut", 0, &record[..record.len() - 1]),
        seed("record-count", 0, &[&[1][..], &[0; 56], &[0xff; 8]].concat()),
        seed("segment", 1, &segment),
        seed("segment-cut", 1, &segment[..segment.len() - 9]),
        seed("framed", 2, &framed),
        seed("framed-changed", 2, &changed),
        seed("snapshot", 4, &snapshot(&[], 0)),
        seed("snapshot-row", 4, &snapshot(&row, row.len() as u64)),
        seed("snapshot-huge", 4, &snapshot(&[], u64::MAX)),
        seed("archive", 5, &[&4u64.to_be_bytes()[..], &[0; 72], &leaf].concat()),
        seed("entry", 6, &entry),
        seed("run", 6, &run),
    ]
}

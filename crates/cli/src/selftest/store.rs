//! The store, as a node has it: killed while it writes, and with one record damaged. Every row that must be there is
//! compared; counts alone prove nothing.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clearhouse_store::{Changes, DurableStore, EventLeaf, Key, Put, Store, Weight};

use super::line::{Line, Part};

/// How often the writer is killed.
const KILLS: usize = 10;
/// Rows that are written over and over.
const ROWS: u64 = 40;
/// Bytes of a row of the writer: a notice.
const ROW: usize = 4096;
/// Rows of the store that is damaged, and bytes of each: large enough for files of their own.
const LARGE_ROWS: u64 = 12;
const LARGE: usize = 100 << 10;

/// Kills a writer ten times over and looks each time whether all it acknowledged is there. `write` lets it write into the
/// folder and be killed, and returns the last commit that was acknowledged.
pub(crate) fn killed(folder: &Path, stop: &AtomicBool, write: impl FnMut(&Path) -> Result<u64, String>) -> Line {
    Line::of(Part::Store, "store, killed while it writes", kills(folder, stop, write))
}

fn kills(
    folder: &Path,
    stop: &AtomicBool,
    mut write: impl FnMut(&Path) -> Result<u64, String>,
) -> Result<String, String> {
    let mut acknowledged = 0;
    for n in 1..=KILLS {
        if stop.load(Ordering::SeqCst) {
            return Err("stopped".to_owned());
        }
        acknowledged = write(folder)?;
        let (mut store, findings) = DurableStore::open(folder).map_err(|e| sentence(&e))?;
        if let Some(loss) = findings.iter().find(|finding| finding.weight() == Weight::Loss) {
            return Err(format!("after kill {n}: {loss}"));
        }
        let there = store.generation();
        // One more may have become durable before it could be said.
        if there < acknowledged || there > acknowledged + 1 {
            return Err(format!("after kill {n}: {acknowledged} commits were acknowledged and {there} are there"));
        }
        compare(&store, there).map_err(|why| format!("after kill {n}: {why}"))?;
        let found = store.scrub().map_err(|e| sentence(&e))?;
        if let Some(loss) = found.iter().find(|finding| finding.weight() == Weight::Loss) {
            return Err(format!("after kill {n}: {loss}"));
        }
    }
    Ok(format!("{KILLS} times; all of {acknowledged} acknowledged commits are there"))
}

/// Every row and event that so many commits leave.
fn compare(store: &DurableStore, commits: u64) -> Result<(), String> {
    for n in 0..ROWS.min(commits) {
        // The last commit that wrote this row.
        let last = (0..commits).rev().find(|commit| commit % ROWS == n).unwrap_or(n);
        let found = store.get(1, &key(n)).map_err(|e| sentence(&e))?;
        if found != Some(bytes(last, ROW)) {
            return Err(format!("row {n} is not what was committed"));
        }
    }
    if store.event_count() == commits { Ok(()) } else { Err("there are other events than were committed".to_owned()) }
}

/// What commit number `commit` carries: one row and one event.
pub(crate) fn batch(commit: u64) -> Changes {
    let put = Put { table: 1, key: key(commit % ROWS), value: bytes(commit, ROW) };
    let event = EventLeaf { index: commit, commitment: key(commit), sealed: bytes(commit, 320) };
    Changes { generation: commit, puts: vec![put], events: vec![event], ..Changes::default() }
}

fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    key[8..16].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

/// Bytes that follow from a number and differ in every place.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let word = |at: u64| (seed << 20 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes();
    (0..len.div_ceil(8) as u64).flat_map(word).take(len).collect()
}

/// Has one record damaged and looks whether the store names it and serves the others. `damage` does it, and returns what
/// it changed.
pub(crate) fn damaged(folder: &Path, damage: impl FnOnce(&Path) -> Result<(), String>) -> Line {
    Line::of(Part::Store, "store, one record damaged", named(folder, damage))
}

fn named(folder: &Path, damage: impl FnOnce(&Path) -> Result<(), String>) -> Result<String, String> {
    let (mut store, _) = DurableStore::open(folder).map_err(|e| sentence(&e))?;
    for n in 0..LARGE_ROWS {
        let put = Put { table: 1, key: key(n), value: bytes(n, LARGE) };
        let changes = Changes { generation: store.generation(), puts: vec![put], ..Changes::default() };
        store.commit(&changes).map_err(|e| sentence(&e))?;
    }
    drop(store);
    damage(folder)?;
    let (mut store, mut findings) =
        DurableStore::open(folder).map_err(|e| format!("it does not open: {}", sentence(&e)))?;
    findings.extend(store.scrub().map_err(|e| sentence(&e))?);
    let losses: Vec<_> = findings.iter().filter(|finding| finding.weight() == Weight::Loss).collect();
    let is_whole = |n: &u64| matches!(store.get(1, &key(*n)), Ok(Some(found)) if found == bytes(*n, LARGE));
    let served = (0..LARGE_ROWS).filter(is_whole).count() as u64;
    let changed = (0..LARGE_ROWS).any(|n| matches!(store.get(1, &key(n)), Ok(Some(found)) if found != bytes(n, LARGE)));
    match (changed, losses.is_empty(), served) {
        (true, ..) => Err("a changed record was served as if it were whole".to_owned()),
        (_, true, _) => Err("nothing was named".to_owned()),
        (_, false, served) if served + 1 == LARGE_ROWS => Ok(format!("named; the other {served} are served")),
        (_, false, served) => Err(format!("of the other {} records {served} are served", LARGE_ROWS - 1)),
    }
}

/// Changes one byte in the middle of the first file that holds a record by itself.
pub(crate) fn damage(folder: &Path) -> Result<(), String> {
    let file = large_file(folder).map_err(|e| e.to_string())?.ok_or("no record has a file of its own")?;
    let change = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(file)?;
        let mut byte = [0];
        file.seek(SeekFrom::Start(LARGE as u64 / 2))?;
        file.read_exact(&mut byte)?;
        file.seek(SeekFrom::Start(LARGE as u64 / 2))?;
        file.write_all(&[byte[0] ^ 1])?;
        file.sync_all()
    };
    change().map_err(|e| e.to_string())
}

/// Some file of about the size of one record.
fn large_file(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let (path, about) = entry.and_then(|e| Ok((e.path(), e.metadata()?)))?;
        let found = match about.is_dir() {
            true => large_file(&path)?,
            false => (LARGE as u64..LARGE as u64 + 4096).contains(&about.len()).then_some(path),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// An error with what it came of. A store names no person in them.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::line::State;
    use super::*;

    static GOES_ON: AtomicBool = AtomicBool::new(false);

    /// Commits a few, as the writer does, and says how far it came plus `ahead`.
    fn write(folder: &Path, ahead: u64) -> Result<u64, String> {
        let (mut store, _) = DurableStore::open(folder).unwrap();
        for _ in 0..7 {
            store.commit(&batch(store.generation())).unwrap();
        }
        Ok(store.generation() + ahead)
    }

    #[test]
    fn a_store_that_keeps_its_word_passes() {
        let folder = tempfile::tempdir().unwrap();
        let line = killed(&folder.path().join("store"), &GOES_ON, |folder| write(folder, 0));
        assert_eq!(line.state, State::Ok);
    }

    #[test]
    fn a_writer_that_acknowledges_before_the_commit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let line = killed(&folder.path().join("store"), &GOES_ON, |folder| write(folder, 1));
        assert_eq!(line.state, State::Failed);
    }

    #[test]
    fn a_row_that_is_not_what_was_committed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let other = |folder: &Path| {
            let done = write(folder, 0)?;
            let (mut store, _) = DurableStore::open(folder).unwrap();
            let mut changes = batch(done);
            changes.puts[0].value[100] ^= 1;
            store.commit(&changes).map_err(|e| sentence(&e))
        };
        assert_eq!(killed(&folder.path().join("store"), &GOES_ON, other).state, State::Failed);
    }

    #[test]
    fn a_writer_that_does_not_run_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let line = killed(&folder.path().join("store"), &GOES_ON, |_| Err("no process".to_owned()));
        assert_eq!(line.state, State::Failed);
    }

    #[test]
    fn damage_is_named_and_damage_that_nobody_named_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(damaged(&folder.path().join("a"), damage).state, State::Ok);
        // Nothing was damaged, so nothing is named: a store that looked away would say the same.
        assert_eq!(damaged(&folder.path().join("b"), |_| Ok(())).state, State::Failed);
        let twice = |folder: &Path| {
            let file = large_file(folder).unwrap().unwrap();
            damage(folder)?;
            fs::rename(&file, file.with_extension("gone")).unwrap();
            damage(folder)
        };
        assert_eq!(damaged(&folder.path().join("c"), twice).state, State::Failed);
    }
}

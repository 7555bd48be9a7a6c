//! From a folder to a store in service: find the newest snapshot, verify the journal, bring the index up to date or
//! derive it anew, and say what was found.
//!
//! The order matters. Nothing is cut, removed or rebuilt before the journal was read to its end and the index was
//! asked how far it had come: an index that is ahead proves that acknowledged commits are missing, and then nothing is
//! touched. Where damage was found, nothing is cleaned up either.
//!
//! Refuses to serve a store from which an acknowledged commit is missing, unless every row it concerned is known.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::archive::ArchiveInfo;
use crate::bodies::Bodies;
use crate::census::Totals;
use crate::contract::StoreError;
use crate::derive::{Derived, Loss, derive, file_of, read, replay};
use crate::entry::Place;
use crate::files::{failed, length, names, sync_folder};
use crate::finding::{Finding, Weight};
use crate::folder::{Folder, OpenError, remove_index};
use crate::format::{
    BALLAST_FILE, BODIES_DIR, FORMAT_FILE, LOCK_FILE, StoreId, TEMPORARY, index_name, number_of, segment_name,
};
use crate::index::{Count, Index};
use crate::journal::{Journal, Last, Seen, Through, Walked, cut, plain, remove_segments_until, walk};
use crate::shelf::IndexFailed;
use crate::snapshot::{self, Snapshot};

/// Everything a store in service is made of.
pub(crate) struct Opened {
    pub(crate) folder: Folder,
    pub(crate) snapshot: Snapshot,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) bodies: Bodies,
    pub(crate) totals: Totals,
    /// Events closed since the snapshot.
    pub(crate) closed: BTreeSet<u64>,
    pub(crate) findings: Vec<Finding>,
}

/// Opens a store.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn open(folder: Folder, through: Through) -> Result<Opened, OpenError> {
    let mut findings = Vec::new();
    let dir = folder.dir.clone();
    let snapshot = newest_snapshot(&dir, &folder.id, &mut findings)?;
    let mut kept = KeptIndex::open(&dir, &folder.id, &snapshot);
    let (walked, totals) = read_journal(&dir, &folder.id, &snapshot, &mut kept).map_err(|e| told(e, &findings))?;
    findings.extend(walked.findings.iter().cloned());
    if let Some(applied) = kept.applied.filter(|applied| *applied > walked.end.seq) {
        return Err(journal_behind(&walked, applied));
    }
    kept.settle(&snapshot, &totals);
    let closed = std::mem::take(&mut kept.closed);
    let (index, totals) = match kept.index {
        Ok(index) => (index, totals),
        Err(why) => {
            let kept = (why, kept.at_rest);
            rebuild_index(&folder, &snapshot, kept, &mut findings).map_err(|e| told(e, &findings))?
        }
    };
    if walked.end.seq == 0 {
        // A new store has no index yet, which is nothing to report.
        findings.retain(|finding| !matches!(finding, Finding::IndexRebuilt { .. }));
    }
    finish(folder, through, Parts { snapshot, walked, index, totals, closed, findings })
}

/// Opens a store with an index derived anew. Also returns the rows and commits that had to be left out.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn rebuild(folder: Folder, loss: Loss) -> Result<(Opened, (u64, u64)), OpenError> {
    let mut findings = Vec::new();
    let (dir, id) = (folder.dir.clone(), folder.id);
    let snapshot = newest_snapshot(&dir, &id, &mut findings)?;
    let mut derived = derive(&dir, &id, &snapshot, loss).map_err(|e| told(e, &findings))?;
    if derived.walked.last.is_none() && loss == Loss::Accept {
        Journal::create_segment(&dir, &id, &derived.walked.end).map_err(failed("making a segment in", &dir))?;
        derived = derive(&dir, &id, &snapshot, loss)?;
    }
    let Derived { index, totals, walked, closed, findings: disagree, given_up } = derived;
    findings.extend(walked.findings.iter().cloned());
    findings.extend(disagree);
    let index = on_disk(&folder, &snapshot, index, ("asked for".to_owned(), true), walked.end.seq, &mut findings);
    let opened = finish(folder, plain(), Parts { snapshot, walked, index, totals, closed, findings })?;
    Ok((opened, given_up))
}

/// What is known when the index is settled.
struct Parts {
    snapshot: Snapshot,
    walked: Walked,
    index: Index,
    totals: Totals,
    closed: BTreeSet<u64>,
    findings: Vec<Finding>,
}

/// Cuts the tail, checks that bodies and archives are there, cleans up, and opens the journal for appending.
fn finish(folder: Folder, through: Through, parts: Parts) -> Result<Opened, OpenError> {
    let Parts { snapshot, walked, index, totals, mut closed, mut findings } = parts;
    let dir = &folder.dir;
    if let Some(tail) = &walked.tail {
        findings.push(cut(dir, tail, walked.end.seq + 1)?);
    }
    let mut bodies = Bodies::open(dir).map_err(failed("opening", dir))?;
    let count = index.count().map_err(|IndexFailed(file)| StoreError::Damaged { file, offset: 0 })?;
    // A commit that is damaged now was read when the index took it in.
    closed.extend(&count.closed);
    findings.extend(missing_bodies(&snapshot, &index, &bodies, &count)?);
    bodies.set_live(count.bodies.iter().map(|(hash, (rows, _))| (*hash, *rows)).collect());
    findings.extend(missing_archives(dir, &snapshot));
    let journal = Journal::resume(dir, folder.id, &walked, through)?;
    let clean = walked.tail.is_none() && findings.iter().all(|finding| finding.weight() < Weight::Loss);
    findings.extend(clean_up(dir, &snapshot, &bodies, clean).map_err(failed("cleaning up in", dir))?);
    Ok(Opened { folder, snapshot, journal, index, bodies, totals, closed, findings })
}

/// The newest snapshot that can be read; the beginning of time if there is none.
fn newest_snapshot(dir: &Path, id: &StoreId, findings: &mut Vec<Finding>) -> Result<Snapshot, StoreError> {
    for commit in snapshot::all(dir).map_err(failed("listing", dir))? {
        match snapshot::open(dir, id, commit) {
            Ok(found) => {
                if !found.whole {
                    findings.push(Finding::SnapshotDamaged { file: crate::format::snapshot_name(commit) });
                }
                return Ok(found.snapshot);
            }
            // An older one may still be there after a compaction that was cut short; the journal then reaches back to it.
            Err(StoreError::Damaged { file, .. }) => findings.push(Finding::SnapshotDamaged { file }),
            Err(other) => return Err(other),
        }
    }
    Ok(Snapshot::genesis(id))
}

/// The index as it was found on disk, followed along the journal as long as it holds.
struct KeptIndex {
    index: Result<Index, String>,
    /// The last commit it had when it was found, if it could say.
    applied: Option<u64>,
    /// Whether its folder may be used again: not while a sled that failed is still about in it.
    at_rest: bool,
    /// Events closed since the snapshot, by the journal.
    closed: BTreeSet<u64>,
}

impl KeptIndex {
    fn open(dir: &Path, id: &StoreId, snapshot: &Snapshot) -> Self {
        let path = dir.join(index_name(snapshot.point.seq));
        if !path.exists() {
            return Self::unusable("it is missing".to_owned());
        }
        let opened = Index::open(&path, *id).and_then(|index| Ok((index.applied()?, index)));
        match opened {
            Ok((Some(applied), index)) => {
                Self { index: Ok(index), applied: Some(applied), at_rest: true, closed: BTreeSet::new() }
            }
            Ok((None, index)) => {
                let mut kept = Self { index: Ok(index), applied: None, at_rest: true, closed: BTreeSet::new() };
                kept.fail("it was never finished or is of another store");
                kept
            }
            Err(IndexFailed(why)) => Self::unusable(why),
        }
    }

    fn unusable(why: String) -> Self {
        Self { index: Err(why), applied: None, at_rest: true, closed: BTreeSet::new() }
    }

    fn fail(&mut self, why: impl Into<String>) {
        if let Ok(index) = std::mem::replace(&mut self.index, Err(why.into())) {
            self.at_rest = index.close();
        }
    }

    /// Holds it, once it followed the journal to its end, against what the journal says it must be.
    fn settle(&mut self, snapshot: &Snapshot, totals: &Totals) {
        let Ok(index) = &mut self.index else { return };
        let wrong = match index.count() {
            Err(IndexFailed(why)) => why,
            Ok(count) if count.census != totals.census => {
                format!("it holds {} rows where {} must be, or other ones", count.census.rows, totals.census.rows)
            }
            Ok(count) if !holds_events(&count, snapshot.totals.events, totals.events) => "it lacks events".to_owned(),
            Ok(mut count) => {
                index.trust(&mut count);
                return;
            }
        };
        self.fail(wrong);
    }

    /// Takes in what the journal says next. Commits the index already holds are only passed by.
    fn follow(&mut self, seen: Seen<'_>, totals: &mut Totals) -> Result<(), StoreError> {
        let placed = match seen {
            Seen::Damage { first, last, .. } => {
                if first <= last && self.applied.is_none_or(|applied| last > applied) {
                    self.fail(format!("commits {first} to {last} cannot be read"));
                }
                return Ok(());
            }
            Seen::Record(placed) => placed,
        };
        let record = read(&placed)?;
        if self.applied.is_none_or(|applied| placed.seq > applied)
            && let Ok(index) = &mut self.index
            && let Err(IndexFailed(why)) = replay(index, totals, &placed, &record)
        {
            self.fail(why);
        }
        *totals = record.after;
        self.closed.extend(record.closes);
        Ok(())
    }
}

fn read_journal(
    dir: &Path,
    id: &StoreId,
    snapshot: &Snapshot,
    kept: &mut KeptIndex,
) -> Result<(Walked, Totals), StoreError> {
    let mut totals = snapshot.totals;
    let walked = walk(dir, id, snapshot.point, &mut |seen| kept.follow(seen, &mut totals))?;
    if walked.last.is_none() {
        return Err(StoreError::Damaged { file: segment_name(walked.end.seq + 1), offset: 0 });
    }
    Ok((walked, totals))
}

/// Whether an index holds exactly the events from `first` up to, not including, `end`.
pub(crate) fn holds_events(count: &Count, first: u64, end: u64) -> bool {
    match count.events[..] {
        [] => first == end,
        [stretch] => stretch == (first, end),
        _ => false,
    }
}

fn journal_behind(walked: &Walked, index: u64) -> OpenError {
    let segment = walked.tail.as_ref().map(|tail| tail.segment).or(walked.last.as_ref().map(Last::first));
    let file = segment_name(segment.unwrap_or(walked.end.seq + 1));
    OpenError::JournalBehind { index, journal: walked.end.seq, file }
}

/// Derives the index from snapshot and journal and puts it on disk; keeps it in memory where the disk will not have it.
fn rebuild_index(
    folder: &Folder,
    snapshot: &Snapshot,
    kept: (String, bool),
    findings: &mut Vec<Finding>,
) -> Result<(Index, Totals), StoreError> {
    let derived = derive(&folder.dir, &folder.id, snapshot, Loss::Refuse)?;
    findings.extend(derived.findings);
    let seq = derived.walked.end.seq;
    Ok((on_disk(folder, snapshot, derived.index, kept, seq, findings), derived.totals))
}

fn on_disk(
    folder: &Folder,
    snapshot: &Snapshot,
    index: Index,
    (why, usable): (String, bool),
    seq: u64,
    findings: &mut Vec<Finding>,
) -> Index {
    let stored = if usable {
        store_index(&folder.dir, &folder.id, snapshot.point.seq, &index, seq)
    } else {
        Err("the one on disk does not come to rest".to_owned())
    };
    match stored {
        Ok(index) => {
            findings.push(Finding::IndexRebuilt { why });
            index
        }
        Err(also) => {
            findings.push(Finding::IndexInMemory { why: format!("{why}; {also}") });
            index
        }
    }
}

/// Writes an index that is in memory to disk, in place of whatever is there.
pub(crate) fn store_index(dir: &Path, id: &StoreId, base: u64, from: &Index, seq: u64) -> Result<Index, String> {
    remove_index(dir, base).map_err(|error| error.to_string())?;
    let dir = dir.join(index_name(base));
    let filled = Index::create(&dir, *id).and_then(|mut index| {
        index.fill_from(from)?;
        index.finish_filling(&dir, seq)
    });
    filled.map_err(|IndexFailed(why)| why)
}

/// Rows whose body is missing or of the wrong length.
fn missing_bodies(
    snapshot: &Snapshot,
    index: &Index,
    bodies: &Bodies,
    count: &Count,
) -> Result<Vec<Finding>, StoreError> {
    let gone = |(hash, (_, len)): (&_, &(u32, u64))| (!bodies.is_whole_length(hash, *len)).then_some(*hash);
    let missing: BTreeSet<_> = count.bodies.iter().filter_map(gone).collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let named = index.each_row(&mut |table, key, entry| {
            if matches!(entry.place, Place::Body { .. }) && missing.contains(&entry.hash) {
                findings.push(Finding::RowDamaged { table, key, file: file_of(snapshot, entry) });
            }
        });
        named.map_err(|IndexFailed(file)| StoreError::Damaged { file, offset: 0 })?;
    }
    Ok(findings)
}

fn missing_archives(dir: &Path, snapshot: &Snapshot) -> Vec<Finding> {
    let missing = snapshot.archives.iter().filter(|archive| !archive.is_whole_length(dir));
    missing.map(events_damaged).collect()
}

/// The finding for an archive that cannot be read.
pub(crate) fn events_damaged(archive: &ArchiveInfo) -> Finding {
    Finding::EventsDamaged { first: archive.first, last: archive.last, file: archive.file() }
}

/// Removes what unfinished work left behind. Where anything is damaged only temporary files go: the rest may be needed.
pub(crate) fn clean_up(dir: &Path, snapshot: &Snapshot, bodies: &Bodies, clean: bool) -> io::Result<Vec<Finding>> {
    let mut files = 0;
    let mut findings = Vec::new();
    let base = snapshot.point.seq;
    if clean {
        files += bodies.sweep()?;
        files += remove_segments_until(dir, base)?;
    }
    for name in names(dir)? {
        let older = |prefix, ending| number_of(&name, prefix, ending).map(|commit| commit != base);
        let archive = name.starts_with("events-") && name.ends_with(".arc");
        let unnamed = || !snapshot.archives.iter().any(|archive| archive.file() == name);
        if name.ends_with(TEMPORARY) || (clean && (older("snapshot-", ".snap") == Some(true) || archive && unnamed())) {
            fs::remove_file(dir.join(&name))?;
            files += 1;
        } else if older("index-", "") == Some(true) {
            fs::remove_dir_all(dir.join(&name))?;
            files += 1;
        } else if !is_ours(&name) {
            findings.push(Finding::UnknownFile { file: name });
        }
    }
    if files > 0 {
        sync_folder(dir)?;
        findings.push(Finding::LeftoversRemoved { files });
    }
    Ok(findings)
}

fn is_ours(name: &str) -> bool {
    [FORMAT_FILE, LOCK_FILE, BALLAST_FILE, BODIES_DIR].contains(&name)
        || number_of(name, "journal-", ".log").is_some()
        || number_of(name, "snapshot-", ".snap").is_some()
        || number_of(name, "index-", "").is_some()
        || (name.starts_with("events-") && name.ends_with(".arc"))
        || (name.starts_with("cut-") && name.ends_with(".bin"))
}

/// Bytes cut off at earlier starts.
pub(crate) fn remove_cuttings(dir: &Path) -> io::Result<()> {
    let cuttings = names(dir)?.into_iter().filter(|name| name.starts_with("cut-") && name.ends_with(".bin"));
    for name in cuttings {
        if length(&dir.join(&name))?.is_some() {
            fs::remove_file(dir.join(name))?;
        }
    }
    Ok(())
}

fn told(error: StoreError, so_far: &[Finding]) -> OpenError {
    let mut error = OpenError::from(error);
    if let OpenError::Damaged { findings, .. } = &mut error {
        findings.extend_from_slice(so_far);
    }
    error
}

//! Reading everything and holding it against what it must be. Once a day, while nobody waits.
//!
//! Refuses to repair what is true: it mends the index, which is derived, and names the rest.

use std::io;

use crate::changes::Key;
use crate::contract::StoreError;
use crate::derive::file_of;
use crate::durable::DurableStore;
use crate::entry::Entry;
use crate::finding::Finding;
use crate::format::{segment_name, snapshot_name};
use crate::index::Index;
use crate::journal::walk;
use crate::opening::{events_damaged, holds_events, store_index};
use crate::snapshot::read_rows;
use crate::view::View;

/// Scrubs a store.
///
/// # Errors
/// As [`Store::scrub`](crate::contract::Store::scrub).
pub(crate) fn scrub(store: &mut DurableStore) -> Result<Vec<Finding>, StoreError> {
    if store.journal.is_poisoned() {
        return Err(StoreError::Stopped);
    }
    let mut findings = Vec::new();
    journal(store, &mut findings)?;
    snapshot(store, &mut findings)?;
    index(store, &mut findings)?;
    rows(store, &mut findings)?;
    events(store, &mut findings)?;
    Ok(findings)
}

fn journal(store: &DurableStore, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let end = store.journal.end();
    let damaged = |file, offset, first| Finding::JournalDamaged { file, offset, first, last: end.seq };
    match walk(&store.folder.dir, &store.folder.id, store.snapshot.point, &mut |_| Ok(())) {
        Ok(walked) => {
            findings.extend(walked.findings);
            if walked.end != end {
                let (segment, offset) =
                    walked.tail.map_or((store.journal.segment(), 0), |tail| (tail.segment, tail.offset));
                findings.push(damaged(segment_name(segment), offset, walked.end.seq + 1));
            }
            Ok(())
        }
        Err(StoreError::Damaged { file, offset }) => {
            findings.push(damaged(file, offset, store.snapshot.point.seq + 1));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn snapshot(store: &DurableStore, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    if store.snapshot.point.seq == 0 {
        return Ok(());
    }
    let file = snapshot_name(store.snapshot.point.seq);
    match read_rows(&store.folder.dir, &store.folder.id, &store.snapshot, &mut |_| Ok(())) {
        Ok(back) if back.whole => {}
        Ok(_) => findings.push(Finding::SnapshotDamaged { file }),
        Err(StoreError::Io { source, .. }) if is_gone(&source) => findings.push(Finding::SnapshotDamaged { file }),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

/// Counts the index; derives it anew if it is not what the commits amount to.
fn index(store: &mut DurableStore, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let count = store.ask(Index::count)?;
    if let Some(why) = store.view.get_mut().failed.take() {
        findings.push(Finding::IndexInMemory { why });
    }
    let totals = store.totals();
    let complete = holds_events(&count, store.snapshot.totals.events, totals.events);
    if count.census == totals.census && complete {
        return Ok(());
    }
    findings.push(Finding::RowsDisagree { expected: totals.census.rows, found: count.census.rows });
    let (dir, id, base) = (store.folder.dir.clone(), store.folder.id, store.snapshot.point.seq);
    let derived = match store.derive() {
        Ok(derived) => derived,
        // The journal is damaged as well, and that was named. What index there is stays.
        Err(StoreError::Damaged { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let why = format!("a scrub counted {} rows where {} must be", count.census.rows, totals.census.rows);
    // The index in memory takes over first, so that the one on disk is closed before its files are replaced.
    let new = View::new(derived.index, derived.totals, None);
    let closed = store.view.replace(new).index.close();
    let view = store.view.get_mut();
    let stored = match closed {
        true => store_index(&dir, &id, base, &view.index, derived.walked.end.seq),
        false => Err("the one on disk does not come to rest".to_owned()),
    };
    match stored {
        Ok(index) => {
            view.index = index;
            findings.push(Finding::IndexRebuilt { why });
        }
        Err(also) => findings.push(Finding::IndexInMemory { why: format!("{why}; {also}") }),
    }
    Ok(())
}

fn rows(store: &DurableStore, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    crate::compaction::each_row(store, &mut |table, key: &Key, entry: &Entry| match store.fetch(entry) {
        Ok(_) => Ok(()),
        Err(StoreError::Damaged { .. }) => {
            findings.push(Finding::RowDamaged { table, key: *key, file: file_of(&store.snapshot, entry) });
            Ok(())
        }
        Err(error) => Err(error),
    })
}

fn events(store: &DurableStore, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    for archive in &store.snapshot.archives {
        match archive.read(&store.folder.dir) {
            Ok(_) => {}
            Err(StoreError::Damaged { .. }) => findings.push(events_damaged(archive)),
            Err(error) => return Err(error),
        }
    }
    let mut next = store.snapshot.totals.events;
    while next < store.totals().events {
        match store.some_events(next, crate::contract::PAGE_ROWS_MAX) {
            Ok(events) if !events.is_empty() => next += events.len() as u64,
            Ok(_) | Err(StoreError::Damaged { .. }) => {
                let file = segment_name(store.journal.segment());
                findings.push(Finding::EventsDamaged { first: next, last: next, file });
                next += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

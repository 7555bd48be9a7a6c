//! The index, made from what is true: the rows of the snapshot, then every record of the journal in order.
//!
//! The same [`replay`] brings an index up to date that is a little behind and makes one from nothing. It changes no
//! file but the index's own.
//!
//! Refuses to skip what it cannot read, unless it is told in so many words that loss is accepted.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bodies::Bodies;
use crate::census::Totals;
use crate::changes::EventLeaf;
use crate::contract::StoreError;
use crate::entry::{Entry, Place};
use crate::files::{LastFile, failed, short_name};
use crate::finding::Finding;
use crate::format::{Cursor, StoreId, digest, segment_name};
use crate::index::{Edits, Index, LeafPlace};
use crate::journal::{Placed, Seen, Spot, Walked, walk};
use crate::record::{LeafAt, Record, Value, decode, decode_leaf};
use crate::shelf::IndexFailed;
use crate::snapshot::{RowValue, Snapshot, read_rows};

/// What to do about commits and rows that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Stop and say which.
    Refuse,
    /// Leave them out: a row may then be missing or be an older one. A last resort, for a copy of the folder.
    Accept,
}

/// An index made from nothing.
pub(crate) struct Derived {
    /// In memory, complete up to the end of the journal.
    pub(crate) index: Index,
    /// What it amounts to.
    pub(crate) totals: Totals,
    pub(crate) walked: Walked,
    /// Events closed since the snapshot.
    pub(crate) closed: BTreeSet<u64>,
    pub(crate) findings: Vec<Finding>,
    /// Rows and commits that were left out.
    pub(crate) given_up: (u64, u64),
}

/// Derives an index in memory.
///
/// # Errors
/// [`StoreError::Damaged`] when something cannot be read and loss is refused; [`StoreError::Io`].
pub(crate) fn derive(dir: &Path, id: &StoreId, snapshot: &Snapshot, loss: Loss) -> Result<Derived, StoreError> {
    let mut index = Index::in_memory(*id);
    let mut totals = Totals { events: snapshot.totals.events, ..Totals::default() };
    let mut given_up = (0, 0);
    if snapshot.point.seq > 0 {
        given_up.0 = load_snapshot(dir, id, snapshot, loss, &mut index, &mut totals)?;
    }
    let (mut disagreed, mut closed) = (None, BTreeSet::new());
    let walked = walk(dir, id, snapshot.point, &mut |seen| match seen {
        Seen::Damage { first, last, file, offset } if loss == Loss::Refuse && first <= last => {
            Err(StoreError::Damaged { file: file.to_owned(), offset })
        }
        Seen::Damage { first, last, .. } => {
            given_up.1 += (last + 1).saturating_sub(first);
            Ok(())
        }
        Seen::Record(placed) => {
            let record = read(&placed)?;
            let after = replay(&mut index, &totals, &placed, &record).map_err(|failed| memory_failed(&failed))?;
            disagreed = (after.census != record.after.census).then_some((record.after.census.rows, after.census.rows));
            totals = after;
            closed.extend(record.closes);
            Ok(())
        }
    })?;
    let disagree = |(expected, found)| Finding::RowsDisagree { expected, found };
    let findings = disagreed.map(disagree).into_iter().collect();
    Ok(Derived { index, totals, walked, closed, findings, given_up })
}

/// Reads the snapshot's rows into an index. Returns how many had to be left out.
fn load_snapshot(
    dir: &Path,
    id: &StoreId,
    snapshot: &Snapshot,
    loss: Loss,
    index: &mut Index,
    totals: &mut Totals,
) -> Result<u64, StoreError> {
    let back = read_rows(dir, id, snapshot, &mut |row| {
        let entry = match row.value {
            RowValue::Inline { at, bytes } => Entry::snapshotted(row.hash, bytes, at),
            RowValue::Body { len } => Entry::body(row.hash, len),
        };
        totals.census.add(row.table, &row.key, entry.counted());
        let mut edits = Edits::default();
        edits.put(row.table, &row.key, &entry);
        index.fill(edits).map_err(|failed| memory_failed(&failed))
    })?;
    let agrees = totals.census == snapshot.totals.census;
    if loss == Loss::Refuse && !(back.whole && agrees) {
        return Err(StoreError::Damaged { file: short_name(&snapshot.path(dir)), offset: 0 });
    }
    Ok(snapshot.totals.census.rows.saturating_sub(totals.census.rows))
}

/// Reads a record whose bytes the chain vouches for.
///
/// # Errors
/// [`StoreError::Damaged`]: a record of another version of this program, which the format file should have refused.
pub(crate) fn read<'a>(placed: &Placed<'a>) -> Result<Record<'a>, StoreError> {
    let damaged = || StoreError::Damaged { file: segment_name(placed.spot.segment), offset: placed.spot.at };
    decode(placed.payload).ok_or_else(damaged)
}

/// Applies one record to an index that holds everything before it. Returns what everything amounts to then; the record
/// says what it should be.
pub(crate) fn replay(
    index: &mut Index,
    before: &Totals,
    placed: &Placed<'_>,
    record: &Record<'_>,
) -> Result<Totals, IndexFailed> {
    let mut after = *before;
    let mut edits = Edits::default();
    let spot = |at: usize| Spot { at: placed.spot.at + at as u64, ..placed.spot };
    for wrote in &record.puts {
        if let Some(old) = index.row(wrote.table, &wrote.key)? {
            after.census.remove(wrote.table, &wrote.key, old.counted());
        }
        let entry = match wrote.value {
            Value::Inline { at, bytes } => Entry::journalled(digest(bytes), bytes, spot(at)),
            Value::Body { hash, len } => Entry::body(hash, len),
        };
        after.census.add(wrote.table, &wrote.key, entry.counted());
        edits.put(wrote.table, &wrote.key, &entry);
    }
    for (table, key) in &record.dels {
        if let Some(old) = index.row(*table, key)? {
            after.census.remove(*table, key, old.counted());
            edits.del(*table, key);
        }
    }
    if let Some(first) = record.events.first() {
        let place = |leaf: &LeafAt<'_>| leaf_place(leaf.bytes, spot(leaf.at));
        edits.events(first.index, &record.events.iter().map(place).collect::<Vec<_>>());
        after.events = first.index.saturating_add(record.events.len() as u64);
    }
    edits.close(&record.closes);
    index.apply(placed.seq, edits)?;
    Ok(after)
}

/// Where an encoded event leaf lies.
pub(crate) fn leaf_place(leaf: &[u8], spot: Spot) -> LeafPlace {
    LeafPlace { hash: digest(leaf), spot, len: u32::try_from(leaf.len()).unwrap_or(u32::MAX) }
}

/// An index in memory does not fail by itself; its one failure is an entry that does not decode.
fn memory_failed(failed: &IndexFailed) -> StoreError {
    StoreError::Damaged { file: failed.0.clone(), offset: 0 }
}

/// Where values are read from.
pub(crate) struct Sources<'s> {
    pub(crate) dir: &'s Path,
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) bodies: &'s Bodies,
    pub(crate) last: &'s LastFile,
}

/// Reads the bytes an entry stands for and holds them against its digest.
///
/// # Errors
/// [`StoreError::Damaged`] naming the file, or [`StoreError::Io`].
pub(crate) fn fetch(from: &Sources<'_>, entry: &Entry) -> Result<Vec<u8>, StoreError> {
    let (path, at, len) = match &entry.place {
        Place::Small(value) => return Ok(value.clone()),
        Place::Body { len } => return from.bodies.read(&entry.hash, *len),
        Place::Journal { spot, len } => (from.dir.join(segment_name(spot.segment)), spot.at, *len),
        Place::Snapshot { at, len } => (from.snapshot.path(from.dir), *at, *len),
    };
    let bytes = from.last.read_at(&path, at, len as usize).map_err(failed("reading", &path))?;
    let whole = bytes.filter(|bytes| digest(bytes) == entry.hash);
    whole.ok_or_else(|| StoreError::Damaged { file: short_name(&path), offset: at })
}

/// Reads an event leaf and holds it against its digest.
///
/// # Errors
/// As [`fetch`].
pub(crate) fn fetch_leaf(from: &Sources<'_>, place: &LeafPlace) -> Result<EventLeaf, StoreError> {
    let path = from.dir.join(segment_name(place.spot.segment));
    let bytes = from.last.read_at(&path, place.spot.at, place.len as usize).map_err(failed("reading", &path))?;
    let whole = bytes.filter(|bytes| digest(bytes) == place.hash);
    let leaf = whole.and_then(|bytes| decode_leaf(&mut Cursor::new(&bytes)));
    leaf.ok_or_else(|| StoreError::Damaged { file: short_name(&path), offset: place.spot.at })
}

/// The file an entry's value lies in, for a finding.
pub(crate) fn file_of(snapshot: &Snapshot, entry: &Entry) -> String {
    match &entry.place {
        Place::Small(_) => "the index".to_owned(),
        Place::Body { .. } => Bodies::file(&entry.hash),
        Place::Journal { spot, .. } => segment_name(spot.segment),
        Place::Snapshot { .. } => crate::format::snapshot_name(snapshot.point.seq),
    }
}

//! The readers of what lies on a disk, one at a time and from bytes, for `tests/fuzz`: what a file may hold is whatever a
//! broken disk or a thief wrote. Behind the feature `probe`, which no node is built with.
//!
//! Each function answers whether the bytes were taken, and panics when what was taken does not keep a promise of its
//! reader. Those that end in `_of` put the sums around hostile contents that a reader asks for first.

use std::fs;
use std::path::Path;

use clearhouse_protocol::labels;
use clearhouse_protocol::pae::{pae, sha256};

use crate::aead;
use crate::archive;
use crate::backup::keys::KeysFile;
use crate::census::Totals;
use crate::changes::{Changes, EventLeaf, Put};
use crate::derive::{self, Loss};
use crate::entry::Entry;
use crate::format::{Cursor, Label, StoreId, labelled, segment_name, snapshot_name};
use crate::heads;
use crate::index;
use crate::journal::{self, Seen};
use crate::keyfile::format::{self as key_format, Body};
use crate::record::{self, Value};
use crate::secret::SecretBytes;
use crate::segment::{self, HEADER_LEN, Point};
use crate::snapshot::{self, Snapshot};

/// Bytes before the first commit of a segment.
pub const SEGMENT_HEADING: usize = segment::HEADING_LEN as usize;
const STORE: StoreId = [7; 16];
const HEADS_KEY: [u8; 32] = [9; 32];

/// A commit's payload.
#[must_use]
pub fn record(payload: &[u8]) -> bool {
    let Some(read) = record::decode(payload) else { return false };
    if read.puts.iter().any(|put| matches!(put.value, Value::Body { .. })) {
        return true;
    }
    let mut changes = Changes::default();
    for put in &read.puts {
        let Value::Inline { bytes, .. } = put.value else { continue };
        changes.puts.push(Put { table: put.table, key: put.key, value: bytes.to_vec() });
    }
    changes.dels.clone_from(&read.dels);
    changes.events = read.events.iter().filter_map(|leaf| record::decode_leaf(&mut Cursor::new(leaf.bytes))).collect();
    changes.closes.clone_from(&read.closes);
    let mut again = Vec::new();
    record::encode(&mut again, &changes, &vec![[0; 32]; changes.puts.len()], &read.after);
    assert!(again == payload, "a commit that was read is written otherwise");
    true
}

/// A payload that writes one row and one event and closes another, as a store would.
#[must_use]
pub fn record_of(value: &[u8]) -> Vec<u8> {
    let put = Put { table: 3, key: [5; 32], value: value.to_vec() };
    let events = vec![EventLeaf { index: 4, commitment: [6; 32], sealed: value.to_vec() }];
    let changes = Changes { puts: vec![put], dels: vec![(4, [8; 32])], events, closes: vec![2], ..Changes::default() };
    let mut out = Vec::new();
    record::encode(&mut out, &changes, &[[1; 32]], &Totals::default());
    out
}

/// Makes a file the only one in a folder.
fn alone(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    [segment_name(1), snapshot_name(1)].iter().for_each(|other| drop(fs::remove_file(folder.join(other))));
    fs::write(folder.join(name), bytes).is_ok()
}

/// A whole segment, read as at a start from a folder that holds nothing else; `None` when it is not read to its end.
///
/// # Panics
/// When commits come in another order than they were made in.
#[must_use]
pub fn segment(folder: &Path, bytes: &[u8]) -> Option<Walk> {
    if !alone(folder, &segment_name(1), bytes) {
        return None;
    }
    let mut last = 0;
    let mut walk = Walk::default();
    let mut see = |seen: Seen<'_>| {
        match seen {
            Seen::Record(placed) => {
                assert!(placed.seq > last, "commit {} after {last}", placed.seq);
                last = placed.seq;
                walk.whole += 1;
            }
            // A stretch without a commit in it says that none is missing.
            Seen::Damage { first, last: until, .. } => {
                assert!(first == last + 1 && until >= last, "damage {first} to {until} after {last}");
                last = until;
                walk.is_damaged = true;
            }
        }
        Ok(())
    };
    let walked = journal::walk(folder, &STORE, Point::genesis(&STORE), &mut see);
    let begun = Snapshot::genesis(&STORE);
    for loss in [Loss::Refuse, Loss::Accept] {
        let derived = derive::derive(folder, &STORE, &begun, loss);
        assert!(derived.is_err() || walked.is_ok(), "an index is made of a journal that cannot be walked");
    }
    (walked.ok()?.end.seq == last).then_some(walk)
}

/// What a walk over a segment found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// Commits that were read.
    pub whole: usize,
    /// A stretch that was not.
    pub is_damaged: bool,
}

/// A segment whose frames are right around these payloads.
#[must_use]
pub fn segment_of<'p>(payloads: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut end = Point::genesis(&STORE);
    let start = end.chain;
    let mut out = segment::heading(&STORE, &end);
    for payload in payloads {
        let mut frame = [&[0; HEADER_LEN][..], payload].concat();
        end = segment::seal_frame(&mut frame, &start, &end);
        out.extend(frame);
    }
    out
}

/// A whole snapshot, with all its rows.
#[must_use]
pub fn snapshot(folder: &Path, bytes: &[u8]) -> bool {
    if !alone(folder, &snapshot_name(1), bytes) {
        return false;
    }
    let Ok(found) = snapshot::open(folder, &STORE, 1) else { return false };
    let derived = derive::derive(folder, &STORE, &found.snapshot, Loss::Accept);
    derived.is_ok_and(|derived| derived.given_up == (0, 0))
}

/// A snapshot after commit 1 whose heading is right around `totals` (chain value, totals, list of archives), with these
/// rows, and an ending that says what `ending` does.
#[must_use]
pub fn snapshot_of(totals: &[u8], rows: &[u8], ending: &[u8]) -> Vec<u8> {
    let mut heading = crate::format::SNAPSHOT_MAGIC.to_vec();
    heading.extend(STORE);
    heading.extend(1u64.to_le_bytes());
    heading.extend(totals);
    let check = labelled(Label::Snapshot, &[&heading]);
    heading.extend(check);
    [&heading, rows, &heading, ending].concat()
}

/// The leaves of an archive that begins with event `first`.
#[must_use]
pub fn archive(bytes: &[u8], first: u64) -> bool {
    archive::decode(bytes, first).is_some()
}

/// An entry of the index, and a run of places of events.
///
/// # Panics
/// When an entry that was read is written otherwise.
#[must_use]
pub fn index(bytes: &[u8]) -> bool {
    let entry = Entry::decode(bytes);
    assert!(entry.as_ref().is_none_or(|entry| entry.encode() == bytes), "an entry that was read is written otherwise");
    entry.is_some() | index::decode_run(bytes).is_ok()
}

/// A key file, as far as it is read without a secret.
///
/// # Panics
/// When what was read is written otherwise.
#[must_use]
pub fn key_file(bytes: &[u8]) -> bool {
    let Ok(body) = Body::from_file(bytes) else { return false };
    assert!(body.to_file() == bytes, "a key file that was read is written otherwise");
    true
}

/// A key file with these contents, and the version, length and sum around them.
#[must_use]
pub fn key_file_of(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let out = [key_format::MAGIC, &key_format::VERSION.to_be_bytes()[..], &len, body].concat();
    let sum = sha256(&out);
    [&out[..], &sum].concat()
}

/// The file of last signed heads.
///
/// # Panics
/// When what was read is written otherwise.
#[must_use]
pub fn heads(bytes: &[u8]) -> bool {
    let Some(key) = SecretBytes::from_slice(&HEADS_KEY) else { return false };
    let Ok(read) = heads::decode(&key, bytes) else { return false };
    assert!(heads::encode(&key, &read).is_ok_and(|again| again == bytes), "heads that were read are written otherwise");
    true
}

/// A file of heads that says this, with the code of its node behind.
#[must_use]
pub fn heads_of(content: &[u8]) -> Vec<u8> {
    let code = SecretBytes::from_slice(&HEADS_KEY).map(|key| aead::hmac(&key, &pae(labels::HEADS, content)));
    [content, &code.unwrap_or_default()].concat()
}

/// The file of keys beside a backup, as far as it is read without sheets.
#[must_use]
pub fn backup_keys(bytes: &[u8]) -> bool {
    KeysFile::parse(bytes).is_ok()
}

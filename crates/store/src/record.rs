//! One commit as bytes: what the journal carries, hand-written so that the place of every value in it is known.
//!
//! ```text
//! payload = version | totals after | puts | dels | events | closes, in version 2
//! puts    = count u32 | { table | key | 0 | length u32 | value   or   table | key | 1 | length u64 | sha-256 }
//! dels    = count u32 | { table | key }
//! events  = count u32 | leaf
//! leaf    = index u64 | commitment | length u32 | sealed
//! closes  = count u32, not 0 | { index u64 }
//! ```
//! A commit that closes nothing is written in version 1, so that a store that never closed anything is read by older
//! programs too.
//! Refuses bytes that break a limit, name a reserved table, or go on after their end.

use crate::census::Totals;
use crate::changes::{
    BODIES_MAX, CLOSES_MAX, Changes, EVENT_MAX, EVENTS_MAX, EventLeaf, INLINE_MAX, Key, ROWS_MAX, VALUE_MAX,
    WEIGHT_MAX, usable,
};
use crate::format::{COUNT_MAX, Cursor, Hash, len32};

/// Longest payload: the heaviest batch and what frames it.
pub(crate) const PAYLOAD_MAX: usize = WEIGHT_MAX + 1024;

const VERSION: u8 = 1;
const VERSION_CLOSING: u8 = 2;
const INLINE: u8 = 0;
const BODY: u8 = 1;

/// A payload, read.
pub(crate) struct Record<'a> {
    /// What everything amounts to after this commit.
    pub(crate) after: Totals,
    pub(crate) puts: Vec<Wrote<'a>>,
    pub(crate) dels: Vec<(u8, Key)>,
    pub(crate) events: Vec<LeafAt<'a>>,
    pub(crate) closes: Vec<u64>,
}

/// A row that was written.
pub(crate) struct Wrote<'a> {
    pub(crate) table: u8,
    pub(crate) key: Key,
    pub(crate) value: Value<'a>,
}

/// A value as a record holds it.
pub(crate) enum Value<'a> {
    /// Here, `at` bytes into the payload.
    Inline { at: usize, bytes: &'a [u8] },
    /// In a file of its own.
    Body { hash: Hash, len: u64 },
}

/// An encoded event leaf, `at` bytes into the payload.
pub(crate) struct LeafAt<'a> {
    pub(crate) index: u64,
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
}

/// Where in a payload its parts start.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) values: Vec<usize>,
    pub(crate) events: Vec<usize>,
}

/// Appends the payload of a commit to `out`. `hashes` are the digests of the values, in the order of `puts`.
/// Limits were checked by [`Changes::check`]; a batch that passed fits [`PAYLOAD_MAX`]. Returns where in the payload
/// the values and the events start, in their order; a body has no such place and its number means nothing.
pub(crate) fn encode(out: &mut Vec<u8>, changes: &Changes, hashes: &[Hash], after: &Totals) -> Places {
    let base = out.len();
    let mut places = Places::default();
    out.push(if changes.closes.is_empty() { VERSION } else { VERSION_CLOSING });
    after.encode(out);
    out.extend_from_slice(&len32(changes.puts.len()));
    for (put, hash) in changes.puts.iter().zip(hashes) {
        encode_row_head(out, put.table, &put.key);
        encode_value(out, &put.value, hash);
        places.values.push((out.len() - base).saturating_sub(put.value.len()));
    }
    out.extend_from_slice(&len32(changes.dels.len()));
    for (table, key) in &changes.dels {
        encode_row_head(out, *table, key);
    }
    out.extend_from_slice(&len32(changes.events.len()));
    for event in &changes.events {
        places.events.push(out.len() - base);
        encode_leaf(out, event);
    }
    if !changes.closes.is_empty() {
        out.extend_from_slice(&len32(changes.closes.len()));
        changes.closes.iter().for_each(|index| out.extend_from_slice(&index.to_le_bytes()));
    }
    places
}

fn encode_row_head(out: &mut Vec<u8>, table: u8, key: &Key) {
    out.push(table);
    out.extend_from_slice(key);
}

fn encode_value(out: &mut Vec<u8>, value: &[u8], hash: &Hash) {
    if value.len() > INLINE_MAX {
        out.push(BODY);
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        out.extend_from_slice(hash);
    } else {
        out.push(INLINE);
        out.extend_from_slice(&len32(value.len()));
        out.extend_from_slice(value);
    }
}

/// Reads a payload; `None` for anything [`encode`] would not have written.
pub(crate) fn decode(payload: &[u8]) -> Option<Record<'_>> {
    let cursor = &mut Cursor::new(payload);
    let version = cursor.u8().filter(|version| [VERSION, VERSION_CLOSING].contains(version))?;
    let after = Totals::decode(cursor)?;
    let puts = listed(cursor, ROWS_MAX, decode_put)?;
    let dels = listed(cursor, ROWS_MAX, |cursor| row_head(cursor))?;
    let events = listed(cursor, EVENTS_MAX, |cursor| {
        let at = cursor.at();
        let leaf = decode_leaf(cursor)?;
        Some(LeafAt { index: leaf.index, at, bytes: payload.get(at..cursor.at())? })
    })?;
    let closes = if version == VERSION_CLOSING {
        let index = |cursor: &mut Cursor<'_>| cursor.u64().filter(|index| *index <= COUNT_MAX);
        listed(cursor, CLOSES_MAX, index).filter(|closes| !closes.is_empty())?
    } else {
        Vec::new()
    };
    (cursor.left() == 0).then_some(Record { after, puts, dels, events, closes })
}

fn listed<'a, T>(cursor: &mut Cursor<'a>, limit: usize, read: impl Fn(&mut Cursor<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = cursor.count(1)?;
    if count > limit {
        return None;
    }
    (0..count).map(|_| read(cursor)).collect()
}

fn row_head(cursor: &mut Cursor<'_>) -> Option<(u8, Key)> {
    let table = cursor.u8()?;
    usable(table).ok()?;
    Some((table, cursor.array()?))
}

fn decode_put<'a>(cursor: &mut Cursor<'a>) -> Option<Wrote<'a>> {
    let (table, key) = row_head(cursor)?;
    let value = match cursor.u8()? {
        INLINE => {
            let len = cursor.count(1).filter(|len| *len <= INLINE_MAX)?;
            Value::Inline { at: cursor.at(), bytes: cursor.take(len)? }
        }
        BODY => {
            let len = cursor.u64().filter(|len| *len <= VALUE_MAX.min(BODIES_MAX) as u64)?;
            Value::Body { len, hash: cursor.array()? }
        }
        _ => return None,
    };
    Some(Wrote { table, key, value })
}

/// Appends one event leaf. The same bytes stand in the journal and in archives.
pub(crate) fn encode_leaf(out: &mut Vec<u8>, event: &EventLeaf) {
    out.extend_from_slice(&event.index.to_le_bytes());
    out.extend_from_slice(&event.commitment);
    out.extend_from_slice(&len32(event.sealed.len()));
    out.extend_from_slice(&event.sealed);
}

/// Reads one event leaf.
pub(crate) fn decode_leaf(cursor: &mut Cursor<'_>) -> Option<EventLeaf> {
    let (index, commitment) = (cursor.u64().filter(|index| *index <= COUNT_MAX)?, cursor.array()?);
    let len = cursor.count(1).filter(|len| *len <= EVENT_MAX)?;
    Some(EventLeaf { index, commitment, sealed: cursor.take(len)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Put;
    use crate::format::digest;

    fn sample() -> (Changes, Vec<Hash>) {
        let put = |table, key, len| Put { table, key: [key; 32], value: vec![key; len] };
        let changes = Changes {
            puts: vec![put(1, 1, 0), put(2, 2, INLINE_MAX), put(3, 3, INLINE_MAX + 1)],
            dels: vec![(4, [4; 32])],
            events: vec![EventLeaf { index: 5, commitment: [6; 32], sealed: vec![7; 8] }],
            closes: vec![4, 2],
            ..Changes::default()
        };
        let hashes = changes.puts.iter().map(|put| digest(&put.value)).collect();
        (changes, hashes)
    }

    #[test]
    fn what_was_encoded_is_read_back_with_the_place_of_every_value() {
        let (changes, hashes) = sample();
        let mut framed = vec![0; 64];
        let places = encode(&mut framed, &changes, &hashes, &Totals::default());
        let payload = &framed[64..];
        let record = decode(payload).unwrap();
        let inline = record.puts.iter().map(|wrote| matches!(wrote.value, Value::Inline { .. })).collect::<Vec<_>>();
        assert_eq!(inline, [true, true, false], "up to the limit in the journal, above it a file");
        for ((wrote, put), place) in record.puts.iter().zip(&changes.puts).zip(places.values) {
            assert_eq!((wrote.table, wrote.key), (put.table, put.key));
            match wrote.value {
                Value::Inline { at, bytes } => {
                    assert_eq!(bytes, put.value);
                    assert_eq!(at, place);
                    assert_eq!(&payload[at..at + bytes.len()], put.value);
                }
                Value::Body { hash, len } => assert_eq!((hash, len), (digest(&put.value), put.value.len() as u64)),
            }
        }
        assert_eq!((record.dels, record.closes), (changes.dels.clone(), changes.closes.clone()));
        let leaf = &record.events[0];
        assert_eq!(leaf.at, places.events[0]);
        assert!(decode_leaf(&mut Cursor::new(leaf.bytes)) == Some(changes.events[0].clone()));
        assert!(payload.len() <= changes.weight() + 1024);
    }

    #[test]
    fn every_truncation_and_every_addition_is_refused() {
        let (mut changes, hashes) = sample();
        changes.puts[1].value.truncate(40);
        let mut payload = Vec::new();
        encode(&mut payload, &changes, &hashes, &Totals::default());
        assert!((0..payload.len()).all(|len| decode(&payload[..len]).is_none()));
        payload.push(0);
        assert!(decode(&payload).is_none());
    }

    #[test]
    fn a_commit_that_closes_nothing_is_written_as_it_always_was() {
        let (mut changes, hashes) = sample();
        changes.closes.clear();
        let mut payload = Vec::new();
        encode(&mut payload, &changes, &hashes, &Totals::default());
        assert_eq!(payload[0], VERSION);
        assert!(decode(&payload).unwrap().closes.is_empty());
        // An empty list of closes is nothing that is ever written.
        payload[0] = VERSION_CLOSING;
        payload.extend_from_slice(&len32(0));
        assert!(decode(&payload).is_none());
    }

    #[test]
    fn the_heaviest_batch_fits_the_longest_payload() {
        let mut changes = Changes::default();
        let full = WEIGHT_MAX / (INLINE_MAX + 74);
        for n in 0..full {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(n as u64).to_le_bytes());
            changes.puts.push(Put { table: 1, key, value: vec![0; INLINE_MAX] });
        }
        assert_eq!(changes.check(), Ok(()));
        let mut payload = Vec::new();
        encode(&mut payload, &changes, &vec![[0; 32]; full], &Totals::default());
        assert!(payload.len() <= PAYLOAD_MAX);
    }

    #[test]
    fn a_list_holds_what_a_batch_may_and_not_one_more() {
        let read = |changes: &Changes| {
            let mut payload = Vec::new();
            encode(&mut payload, changes, &[], &Totals::default());
            decode(&payload).is_some()
        };
        for (more, taken) in [(0, true), (1, false)] {
            let dels = vec![(1, [0; 32]); ROWS_MAX + more];
            assert_eq!(read(&Changes { dels, ..Changes::default() }), taken);
            let events = vec![EventLeaf { index: 1, commitment: [0; 32], sealed: vec![] }; EVENTS_MAX + more];
            assert_eq!(read(&Changes { events, ..Changes::default() }), taken);
            assert_eq!(read(&Changes { closes: vec![1; CLOSES_MAX + more], ..Changes::default() }), taken);
            let events = vec![EventLeaf { index: 1, commitment: [0; 32], sealed: vec![0; EVENT_MAX + more] }];
            assert_eq!(read(&Changes { events, ..Changes::default() }), taken);
        }
        let numbered = |index| read(&Changes { closes: vec![index], ..Changes::default() });
        assert!(numbered(COUNT_MAX) && !numbered(COUNT_MAX + 1));
    }
}

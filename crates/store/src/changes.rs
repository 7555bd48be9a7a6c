//! What one commit carries: rows to write and remove, expectations, event leaves, openings to close; and the hard
//! limits of a batch.
//!
//! Refuses to know what a value means. Every value arrives sealed and every key arrives blinded (the vault sees to
//! both), so nothing in this room can print, log or name a person.

/// A blinded row key.
pub type Key = [u8; 32];

/// Lowest table number a caller may use.
pub const TABLE_MIN: u8 = 1;
/// Highest table number a caller may use. The numbers outside are the index's own.
pub const TABLE_MAX: u8 = 0xFE;
/// Largest sealed value: an envelope of the largest size class under its seal, with room to spare.
pub const VALUE_MAX: usize = 40 << 20;
/// Values above this go to files of their own, named by digest, and only their digest enters the journal.
pub const INLINE_MAX: usize = 64 << 10;
/// Largest sealed opening of an event.
pub const EVENT_MAX: usize = 4 << 10;
/// Rows written, removed and expected in one batch, each counted by itself.
pub const ROWS_MAX: usize = 8192;
/// Event leaves in one batch.
pub const EVENTS_MAX: usize = 8192;
/// Events closed in one batch.
pub const CLOSES_MAX: usize = 8192;
/// Bytes of one batch that enter the journal; [`Changes::weight`] says how many a batch has.
pub const WEIGHT_MAX: usize = 32 << 20;
/// Bytes of one batch that go to files of their own.
pub const BODIES_MAX: usize = 128 << 20;

/// Bytes a row costs in the journal besides its value: table, key, kind, length or digest.
const ROW_OVERHEAD: usize = 1 + 32 + 1 + 40;
/// Bytes an event costs in the journal besides its opening.
const EVENT_OVERHEAD: usize = 8 + 32 + 4;
/// Bytes a closed event costs in the journal.
const CLOSE_WEIGHT: usize = 8;

/// One atomic batch. Either all of it is durable when `commit` returns, or nothing changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The generation the caller decided upon. Any other generation in the store means a second owner.
    pub generation: u64,
    /// Rows that must not exist before this batch. Usually, but not necessarily, also in `puts`.
    pub must_be_new: Vec<(u8, Key)>,
    /// Rows to write. A row may be named once in `puts` and `dels` together.
    pub puts: Vec<Put>,
    /// Rows to remove. Removing what is not there is no error.
    pub dels: Vec<(u8, Key)>,
    /// Event leaves, numbered on from the store's `event_count` without a gap.
    pub events: Vec<EventLeaf>,
    /// Events of earlier batches that are closed: the commitment stays, what was sealed with it goes. Closing what is
    /// closed is no error.
    pub closes: Vec<u64>,
}

/// One row to write.
#[derive(Clone, PartialEq, Eq)]
pub struct Put {
    /// Which table.
    pub table: u8,
    /// The blinded key.
    pub key: Key,
    /// The sealed value; may be empty.
    pub value: Vec<u8>,
}

/// One line of the node's record of its own acts. Never removed; closed once, if ever.
#[derive(Clone, PartialEq, Eq)]
pub struct EventLeaf {
    /// Gap-free position, from 0.
    pub index: u64,
    /// The future leaf of the audit log.
    pub commitment: [u8; 32],
    /// Salt and opening, sealed; empty when the event was closed.
    pub sealed: Vec<u8>,
}

/// A batch that no store takes. A mistake of the caller: nothing was changed, and the same batch never succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More of something than its named limit.
    #[error("{what}: {found}, and the limit is {limit}; split the batch")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there was.
        found: usize,
        /// How much is taken.
        limit: usize,
    },
    /// A table number outside [`TABLE_MIN`]..=[`TABLE_MAX`].
    #[error("table {0} is reserved")]
    ReservedTable(u8),
    /// The same row is written or removed twice, so the outcome would depend on the order.
    #[error("a row of table {0} is named twice in one batch")]
    NamedTwice(u8),
}

impl Changes {
    /// Bytes this batch will take in the journal, to be held against [`WEIGHT_MAX`] while a batch is gathered.
    #[must_use]
    pub fn weight(&self) -> usize {
        let puts: usize = self.puts.iter().map(|put| ROW_OVERHEAD + inline_len(put.value.len())).sum();
        let events: usize = self.events.iter().map(|event| EVENT_OVERHEAD + event.sealed.len()).sum();
        puts + events + self.dels.len() * ROW_OVERHEAD + self.closes.len() * CLOSE_WEIGHT
    }

    /// Whether the batch says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.dels.is_empty() && self.events.is_empty() && self.closes.is_empty()
    }

    /// Holds the batch against every limit that does not depend on what is stored.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first limit broken.
    pub fn check(&self) -> Result<(), Refusal> {
        at_most("rows to write", self.puts.len(), ROWS_MAX)?;
        at_most("rows to remove", self.dels.len(), ROWS_MAX)?;
        at_most("rows expected to be new", self.must_be_new.len(), ROWS_MAX)?;
        at_most("events", self.events.len(), EVENTS_MAX)?;
        at_most("events to close", self.closes.len(), CLOSES_MAX)?;
        for put in &self.puts {
            at_most("bytes of a value", put.value.len(), VALUE_MAX)?;
        }
        for event in &self.events {
            at_most("bytes of an event", event.sealed.len(), EVENT_MAX)?;
        }
        at_most("bytes of the batch", self.weight(), WEIGHT_MAX)?;
        let bodies = self.puts.iter().map(|put| put.value.len()).filter(|len| *len > INLINE_MAX).sum();
        at_most("bytes of bodies in the batch", bodies, BODIES_MAX)?;
        self.check_rows()
    }

    fn check_rows(&self) -> Result<(), Refusal> {
        let touched = self.puts.iter().map(|put| (put.table, put.key)).chain(self.dels.iter().copied());
        let mut named = std::collections::BTreeSet::new();
        for (table, key) in touched {
            usable(table)?;
            if !named.insert((table, key)) {
                return Err(Refusal::NamedTwice(table));
            }
        }
        self.must_be_new.iter().try_for_each(|(table, _)| usable(*table))
    }
}

/// Whether a caller may use this table number.
///
/// # Errors
/// [`Refusal::ReservedTable`].
pub fn usable(table: u8) -> Result<(), Refusal> {
    if (TABLE_MIN..=TABLE_MAX).contains(&table) { Ok(()) } else { Err(Refusal::ReservedTable(table)) }
}

fn inline_len(len: usize) -> usize {
    if len > INLINE_MAX { 0 } else { len }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found > limit { Err(Refusal::TooMuch { what, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: u8, key: u8, len: usize) -> Put {
        Put { table, key: [key; 32], value: vec![0; len] }
    }

    #[test]
    fn a_row_may_be_named_once() {
        let twice = Changes { puts: vec![put(1, 1, 1), put(1, 1, 2)], ..Changes::default() };
        assert_eq!(twice.check(), Err(Refusal::NamedTwice(1)));
        let both = Changes { puts: vec![put(1, 1, 1)], dels: vec![(1, [1; 32])], ..Changes::default() };
        assert_eq!(both.check(), Err(Refusal::NamedTwice(1)));
        let tables = Changes { puts: vec![put(1, 1, 1), put(2, 1, 2)], ..Changes::default() };
        assert_eq!(tables.check(), Ok(()));
    }

    #[test]
    fn reserved_tables_are_refused_wherever_they_are_named() {
        let reserved = Err(Refusal::ReservedTable(0xFF));
        assert_eq!(Changes { puts: vec![put(0xFF, 1, 1)], ..Changes::default() }.check(), reserved);
        assert_eq!(Changes { dels: vec![(0xFF, [0; 32])], ..Changes::default() }.check(), reserved);
        assert_eq!(Changes { must_be_new: vec![(0xFF, [0; 32])], ..Changes::default() }.check(), reserved);
        assert_eq!(usable(0), Err(Refusal::ReservedTable(0)));
    }

    #[test]
    fn every_limit_bites_one_above_itself() {
        let refused = |changes: Changes| matches!(changes.check(), Err(Refusal::TooMuch { .. }));
        assert!(refused(Changes { puts: vec![put(1, 1, VALUE_MAX + 1)], ..Changes::default() }));
        assert!(!refused(Changes { puts: vec![put(1, 1, VALUE_MAX)], ..Changes::default() }));
        let event = |len| EventLeaf { index: 0, commitment: [0; 32], sealed: vec![0; len] };
        assert!(refused(Changes { events: vec![event(EVENT_MAX + 1)], ..Changes::default() }));
        assert!(!refused(Changes { events: vec![event(EVENT_MAX)], ..Changes::default() }));
        let heavy = (0..=255).map(|key| put(1, key, INLINE_MAX)).chain((0..=255).map(|key| put(2, key, INLINE_MAX)));
        assert!(refused(Changes { puts: heavy.collect(), ..Changes::default() }));
        let bodies = (0..4).map(|key| put(1, key, VALUE_MAX)).collect();
        assert!(refused(Changes { puts: bodies, ..Changes::default() }));
        assert!(refused(Changes { dels: vec![(1, [0; 32]); ROWS_MAX + 1], ..Changes::default() }));
        assert!(refused(Changes { must_be_new: vec![(1, [0; 32]); ROWS_MAX + 1], ..Changes::default() }));
        assert!(refused(Changes { events: vec![event(0); EVENTS_MAX + 1], ..Changes::default() }));
        assert!(refused(Changes { closes: vec![0; CLOSES_MAX + 1], ..Changes::default() }));
        assert!(!refused(Changes { closes: vec![0; CLOSES_MAX], ..Changes::default() }));
        assert!(!refused(Changes { events: vec![event(0); EVENTS_MAX], ..Changes::default() }));
        assert!(!refused(Changes { dels: vec![(1, [0; 32]); ROWS_MAX], ..Changes::default() }));
        assert!(!refused(Changes { must_be_new: vec![(1, [0; 32]); ROWS_MAX], ..Changes::default() }));
        let rows = |n: usize| Changes { puts: vec![put(1, 1, 0); n], ..Changes::default() };
        assert!(refused(rows(ROWS_MAX + 1)) && !refused(rows(ROWS_MAX)));
    }

    #[test]
    fn what_lies_in_the_journal_is_none_of_the_bodies_of_a_batch() {
        let with = |last: usize| {
            let lens = [VALUE_MAX, VALUE_MAX, VALUE_MAX, BODIES_MAX - 3 * VALUE_MAX, last];
            let puts = lens.into_iter().zip(1..).map(|(len, key)| put(1, key, len)).collect();
            Changes { puts, ..Changes::default() }.check()
        };
        assert_eq!(with(INLINE_MAX), Ok(()));
        assert!(matches!(with(INLINE_MAX + 1), Err(Refusal::TooMuch { .. })), "the smallest of bodies");
    }

    #[test]
    fn the_heaviest_batch_is_taken_and_one_byte_more_is_not() {
        let puts: Vec<Put> = (0..=255).map(|key| put(1, key, INLINE_MAX)).collect();
        let mut changes = Changes { puts, ..Changes::default() };
        let mut rest = WEIGHT_MAX - changes.weight();
        for key in 0..=255 {
            let len = rest.saturating_sub(ROW_OVERHEAD).min(INLINE_MAX);
            changes.puts.push(put(2, key, len));
            rest = WEIGHT_MAX - changes.weight();
            if len < INLINE_MAX {
                break;
            }
        }
        assert_eq!((changes.weight(), changes.check()), (WEIGHT_MAX, Ok(())));
        if let Some(last) = changes.puts.last_mut() {
            last.value.push(0);
        }
        let more = Refusal::TooMuch { what: "bytes of the batch", found: WEIGHT_MAX + 1, limit: WEIGHT_MAX };
        assert_eq!(changes.check(), Err(more));
        // Bodies are counted by themselves.
        let bodies = |last| Changes {
            puts: (0..3).map(|key| put(1, key, VALUE_MAX)).chain([put(1, 3, last)]).collect(),
            ..Changes::default()
        };
        let left = BODIES_MAX - 3 * VALUE_MAX;
        assert_eq!(bodies(left).check(), Ok(()));
        let more = Refusal::TooMuch { what: "bytes of bodies in the batch", found: BODIES_MAX + 1, limit: BODIES_MAX };
        assert_eq!(bodies(left + 1).check(), Err(more));
        assert_eq!(Changes { puts: vec![put(1, 1, INLINE_MAX)], ..bodies(0) }.check(), Ok(()));
    }

    #[test]
    fn a_batch_weighs_what_each_thing_in_it_costs() {
        let event = |len| EventLeaf { index: 0, commitment: [0; 32], sealed: vec![0; len] };
        let changes = Changes {
            generation: 7,
            must_be_new: vec![(1, [1; 32])],
            puts: vec![put(1, 1, 10), put(1, 2, 0)],
            dels: vec![(1, [3; 32]); 3],
            events: vec![event(5), event(6)],
            closes: vec![1, 2, 3, 4],
        };
        assert_eq!(changes.weight(), (74 + 10) + 74 + 3 * 74 + (44 + 5) + (44 + 6) + 4 * 8);
    }

    #[test]
    fn a_batch_is_empty_only_when_it_changes_nothing() {
        let event = EventLeaf { index: 0, commitment: [0; 32], sealed: vec![] };
        assert!(Changes { generation: 1, must_be_new: vec![(1, [1; 32])], ..Changes::default() }.is_empty());
        assert!(!Changes { puts: vec![put(1, 1, 0)], ..Changes::default() }.is_empty());
        assert!(!Changes { dels: vec![(1, [1; 32])], ..Changes::default() }.is_empty());
        assert!(!Changes { events: vec![event], ..Changes::default() }.is_empty());
        assert!(!Changes { closes: vec![0], ..Changes::default() }.is_empty());
    }

    #[test]
    fn a_body_weighs_its_digest_only() {
        let body = Changes { puts: vec![put(1, 1, INLINE_MAX + 1)], ..Changes::default() };
        let inline = Changes { puts: vec![put(1, 1, INLINE_MAX)], ..Changes::default() };
        assert!(body.weight() < 100);
        assert!(inline.weight() > INLINE_MAX);
    }
}

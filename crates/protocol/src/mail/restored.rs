//! After a backup or an old copy was put back: the next place out moves on, and what was under way then is held, because a
//! person may have recalled it since, or she may have withdrawn, and nothing here remembers that.
//!
//! Refuses nothing by itself: whether a held message is her own word, which goes, is known to the office alone.

use super::{Delivery, Mailroom, Outgoing, Places, service_row};
use crate::envelope::Opened;
use crate::ids::{ConversationId, MsgId};
use crate::limits::{BEGUN_SLACK_SECS, ENVELOPE_LIFE_SECS, PLACES_SKIPPED};
use crate::rows::{Row, Table};
use clearhouse_wire::v1::MessageType;

/// Why a message of an old copy did not leave, as its row says it.
pub const FAULT_OF_OLD: u32 = 12;

/// Why a message waits at a node that does not know yet whether its folder is the newest, as its row says it.
pub const FAULT_UNASKED: u32 = 13;

/// The key of the row for all conversations; shorter than those of one conversation.
pub(super) const PLACES: &[u8] = b"places";

impl Mailroom {
    /// The row that moves the next place of every conversation on by [`PLACES_SKIPPED`], so that none is used twice that was
    /// used since the copy; also of those that are not known here, because their first message went after it. The other
    /// side sees that places are missing, as they are here. Twice moves on twice, and does no harm.
    #[must_use]
    pub fn move_places_on(&self, now: u64) -> Row {
        let sent = self.threads.values().map(|thread| thread.sent).fold(self.places.from, u64::max);
        let places = Places { from: sent.saturating_add(PLACES_SKIPPED), at: now.max(self.places.at) };
        service_row(Table::Conversation, PLACES, Some(&places))
    }

    /// The row that says that this office begins a conversation now: nothing can have been sent in it before, and its first
    /// place is 1. `None` where no copy was ever put back.
    #[must_use]
    pub fn begin(&self, conversation: ConversationId) -> Option<Row> {
        let is_put_back = self.places.from > 0;
        is_put_back.then(|| service_row(Table::Conversation, conversation.as_bytes(), Some(&self.places)))
    }

    /// [`Mailroom::begin`] of a conversation that another office began with this letter; `None` too where it may be older
    /// than the restore, and places in it may have been used.
    ///
    /// It is its sender's first in the conversation, and was first made [`BEGUN_SLACK_SECS`] after the restore. What is sealed
    /// anew is dated anew, but keeps its end: so the end is asked, which lies at most [`ENVELOPE_LIFE_SECS`] after the time
    /// at which it was first made.
    #[must_use]
    pub fn begun_by(&self, opened: &Opened) -> Option<Row> {
        let inner = opened.inner();
        let made_after = inner.expires.saturating_sub(ENVELOPE_LIFE_SECS);
        let is_later = self.places.at > 0 && made_after > self.places.at.saturating_add(BEGUN_SLACK_SECS);
        (inner.seq == 1 && is_later).then(|| self.begin(opened.conversation)).flatten()
    }

    /// Whether one of these rows says that this conversation begins.
    pub(super) fn begins(rows: &[Row], conversation: ConversationId) -> bool {
        rows.iter().any(|row| row.table == Table::Conversation && row.key == conversation.as_bytes())
    }

    /// Whether [`Mailroom::begin`] keeps a row of this conversation, under its id.
    #[must_use]
    pub fn has_begun(&self, conversation: ConversationId) -> bool {
        self.begun.contains_key(&conversation)
    }

    /// Up to where places of a conversation may have been used in what is not remembered here.
    pub(super) fn places_used(&self, conversation: ConversationId) -> u64 {
        let begun_since = self.begun.get(&conversation).is_some_and(|begun| begun.from >= self.places.from);
        if begun_since { 0 } else { self.places.from }
    }

    /// Rows that hold at most `limit` of the messages that were under way in the copy; none when all of them are. A
    /// withdrawal, a receipt and what nodes tell each other go on: held back, they would only do harm.
    #[must_use]
    pub fn hold_old(&self, limit: usize, now: u64) -> Vec<Row> {
        let held = |(id, old): (MsgId, &Outgoing)| {
            let row = Outgoing { of_old: true, may_have_left: true, next_try: now, ..old.clone() };
            service_row(Table::Outbox, id.as_bytes(), Some(&row))
        };
        self.open().filter(|(_, o)| !o.of_old && is_decided_on(o.msg_type)).take(limit).map(held).collect()
    }

    /// Rows that end a held message and say why. The message is never carried again; an answer still counts.
    #[must_use]
    pub fn end_old(&self, msg_id: MsgId, now: u64) -> Vec<Row> {
        let Some(old) = self.outgoing.get(&msg_id) else { return Vec::new() };
        let row = Outgoing { state: Delivery::Expired as u32, settled_at: now, fault: FAULT_OF_OLD, ..old.clone() };
        let ended = service_row(Table::Outbox, msg_id.as_bytes(), Some(&row));
        std::iter::once(ended).chain(self.drop_envelope(old)).collect()
    }

    /// Whether people may have recalled this message, or decided otherwise, where this folder is an old copy and nothing here
    /// says so yet.
    #[must_use]
    pub fn may_be_recalled(&self, msg_id: MsgId) -> bool {
        self.outgoing.get(&msg_id).is_some_and(|o| !o.of_old && is_decided_on(o.msg_type))
    }

    /// Rows that make due what waited until witnesses said that this folder is the newest.
    #[must_use]
    pub fn is_newest(&self, now: u64) -> Vec<Row> {
        let waited = |o: &Outgoing| Delivery::of(o) == Delivery::Queued && o.fault == FAULT_UNASKED;
        let row = |(id, o): (MsgId, &Outgoing)| {
            service_row(Table::Outbox, id.as_bytes(), Some(&Outgoing { next_try: now, fault: 0, ..o.clone() }))
        };
        self.open().filter(|(_, o)| waited(o)).map(row).collect()
    }

    /// Messages of an old copy that were not carried, and wait for a person or were ended for one to look at.
    pub fn held_old(&self) -> impl Iterator<Item = (MsgId, &Outgoing)> {
        self.all_outgoing().filter(|(_, o)| o.of_old && o.fault == FAULT_OF_OLD)
    }
}

/// Whether people decide on messages of this kind, and may have decided otherwise since; also of kinds to come.
fn is_decided_on(msg_type: u32) -> bool {
    let goes_on = [
        MessageType::Withdrawal,
        MessageType::Receipt,
        MessageType::Audit,
        MessageType::Proofs,
        MessageType::Erased,
        MessageType::Alarm,
    ];
    !goes_on.into_iter().any(|kind| kind as u32 == msg_type)
}

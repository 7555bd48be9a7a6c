//! The mailroom of a node: letters that came, messages that go, and what keeps each of them to one effect.
//!
//! Pure. Methods answer with the [`Row`]s to keep; [`Mailroom::apply`] is the only thing that changes memory, and it
//! takes the same rows, so a node that starts again is where it was. Bodies pass through sealed: nothing here can
//! open one. Split by subject: [`letters`](self) in, `outgoing` out, `threads` for order.

mod confirming;
mod ending;
mod letters;
mod outgoing;
mod restored;
mod rows;
mod threads;

use std::collections::{BTreeMap, BTreeSet};

pub use letters::{Arrival, DepositFault, LetterState};
pub use outgoing::{Attempt, Delivery, Outbound};
pub use restored::{FAULT_OF_OLD, FAULT_UNASKED};
pub use rows::{Letter, Outgoing, Places, Quarantine, Taken, Thread};
pub use threads::Place;

use crate::ids::{ConversationId, Digest, MsgId, NodeId};
use crate::rows::{Row, Table, Under};
use clearhouse_wire::v1::MessageType;
use prost::Message;

/// Everything the mailroom remembers. A fold over rows of the tables Mailbox, Outbox, Taken and Conversation.
#[derive(Clone, Default)]
pub struct Mailroom {
    letters: BTreeMap<Digest, Letter>,
    outgoing: BTreeMap<MsgId, Outgoing>,
    taken: BTreeMap<(NodeId, MsgId), Taken>,
    threads: BTreeMap<(ConversationId, NodeId), Thread>,
    /// Places up to there may have been used in what this folder does not remember; 0 when it was never put back.
    places: Places,
    /// Conversations that this office began since a restore, and up to where places were used up then.
    begun: BTreeMap<ConversationId, Places>,
    /// Outgoing messages that have not ended: what every beat looks at, however long the history grows.
    open: BTreeSet<MsgId>,
    /// Whose mailbox is to be asked what became of them, the soonest first: see [`Mailroom::to_ask`].
    asks: BTreeSet<(u64, MsgId)>,
    /// Outgoing messages by their current sealing.
    by_digest: BTreeMap<Digest, MsgId>,
    /// Sealed letters waiting, by order of arrival, and their bytes.
    waiting: BTreeMap<u64, Digest>,
    waiting_bytes: u64,
    last_arrival: u64,
}

impl Mailroom {
    /// Takes one row into memory. Rows of other tables and rows that do not decode change nothing; the latter
    /// cannot come from a vault that opened them.
    pub fn apply(&mut self, row: &Row) {
        let value = row.value.as_deref();
        match row.table {
            Table::Mailbox => self.apply_letter(digest(&row.key), value),
            Table::Outbox => self.apply_outgoing(msg(&row.key), value),
            Table::Taken => fold(&mut self.taken, pair(&row.key), value),
            Table::Conversation => self.apply_conversation(&row.key, value),
            Table::Wrap
            | Table::Directory
            | Table::Envelope
            | Table::Fact
            | Table::Document
            | Table::Staff
            | Table::Timer
            | Table::Meta
            | Table::Receipt
            | Table::Draft
            | Table::DirectoryLog
            | Table::DirectoryEntry
            | Table::Witness
            | Table::Told
            | Table::Heard
            | Table::Account
            | Table::Proving
            | Table::Erasing
            | Table::Alarm
            | Table::ConsentHistory
            | Table::Relay => {}
        }
    }

    fn apply_letter(&mut self, key: Option<Digest>, value: Option<&[u8]>) {
        let waiting = |l: &&Letter| l.state == LetterState::Stored as u32;
        if let Some(old) = key.and_then(|k| self.letters.get(&k)).filter(waiting) {
            self.waiting.remove(&old.arrival);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(old.len);
        }
        fold(&mut self.letters, key, value);
        let Some((key, new)) = key.and_then(|k| Some((k, self.letters.get(&k)?))) else { return };
        self.last_arrival = self.last_arrival.max(new.arrival);
        if waiting(&new) {
            self.waiting.insert(new.arrival, key);
            self.waiting_bytes += new.len;
        }
    }

    fn apply_conversation(&mut self, key: &[u8], value: Option<&[u8]>) {
        if key == restored::PLACES {
            let places = value.and_then(|value| Places::decode(value).ok());
            self.places = places.unwrap_or_else(|| std::mem::take(&mut self.places));
        } else if let Ok(begun) = ConversationId::try_from(key) {
            fold(&mut self.begun, Some(begun), value);
        } else {
            fold(&mut self.threads, thread(key), value);
        }
    }

    fn apply_outgoing(&mut self, key: Option<MsgId>, value: Option<&[u8]>) {
        let sealed = |o: Option<&Outgoing>| o.and_then(|o| digest(&o.digest));
        let Some(key) = key else { return };
        let old = self.outgoing.get(&key);
        let (old_seal, old_ask) = (sealed(old), old.map(|o| o.next_try));
        old_seal.map(|digest| self.by_digest.remove(&digest));
        old_ask.map(|at| self.asks.remove(&(at, key)));
        fold(&mut self.outgoing, Some(key), value);
        let new = self.outgoing.get(&key);
        sealed(new).map(|digest| self.by_digest.insert(digest, key));
        if let Some(asked) = new.filter(|o| confirming::is_asked_after(o)) {
            self.asks.insert((asked.next_try, key));
        }
        if new.is_some_and(outgoing::is_open) {
            self.open.insert(key);
        } else {
            self.open.remove(&key);
        }
    }
}

fn fold<K: Ord, V: Message + Default>(map: &mut BTreeMap<K, V>, key: Option<K>, value: Option<&[u8]>) {
    let Some(key) = key else { return };
    match value.map(V::decode) {
        Some(Ok(value)) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
        Some(Err(_)) => {}
    }
}

fn digest(key: &[u8]) -> Option<Digest> {
    Digest::try_from(key).ok()
}

fn msg(key: &[u8]) -> Option<MsgId> {
    MsgId::try_from(key).ok()
}

fn pair(key: &[u8]) -> Option<(NodeId, MsgId)> {
    let (node, id) = key.split_at_checked(NodeId::LEN)?;
    Some((NodeId::try_from(node).ok()?, MsgId::try_from(id).ok()?))
}

fn thread(key: &[u8]) -> Option<(ConversationId, NodeId)> {
    let (conversation, node) = key.split_at_checked(ConversationId::LEN)?;
    Some((ConversationId::try_from(conversation).ok()?, NodeId::try_from(node).ok()?))
}

/// Whether messages of this class (MessageType number) are the nodes' own: receipts, and mail about logs. No person
/// opens them.
#[must_use]
pub fn is_node_mail(class: u32) -> bool {
    use MessageType as M;
    [M::Receipt, M::Audit, M::Proofs, M::Erased, M::Alarm].iter().any(|kind| *kind as u32 == class)
}

/// Whether nobody answers messages of this class.
#[must_use]
pub fn is_unanswered(class: u32) -> bool {
    [MessageType::Receipt, MessageType::Proofs].iter().any(|t| *t as u32 == class)
}

/// A row under the service key.
fn service_row(table: Table, key: &[u8], value: Option<&impl Message>) -> Row {
    Row {
        table,
        key: key.to_vec(),
        value: value.map(Message::encode_to_vec),
        under: Under::Service,
        must_be_new: false,
    }
}

#[cfg(test)]
mod tests;

//! Cases as the office knows them while content is open: folds over their facts, found by id or by conversation.
//!
//! What a mailbox holds or a timetable ended is not written twice: it lies in the outbox rows, which stay readable
//! while cases are locked, and is folded in here.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::ids::{CaseId, ConversationId, MsgId, OrgId};
use clearhouse_protocol::mail::{Delivery, Outgoing};
use clearhouse_protocol::rows::{Row, Table, Under};

use crate::case::Case;
use crate::case::fact::{Ended, Fact, Stored};
use crate::consent::DataClass;

/// All cases of an office.
#[derive(Default)]
pub struct Cases {
    cases: BTreeMap<CaseId, Entry>,
    conversations: BTreeMap<(ConversationId, OrgId), CaseId>,
    damaged: u32,
    /// When each case is to be looked at by the next tick, the soonest first; 0 for one that changed.
    looks: BTreeSet<(u64, CaseId)>,
    /// The time of the newest tick.
    looked_at: u64,
}

struct Entry {
    case: Case,
    next_fact: u64,
    look: u64,
}

/// Which cases a tick looked at, and when each is to be looked at again, if nothing of it changes before.
#[derive(Clone, Default)]
pub struct Looked {
    /// The time of the tick, unix seconds.
    at: u64,
    pub(super) again: Vec<(CaseId, u64)>,
}

impl Looked {
    pub(super) fn new(at: u64) -> Self {
        Self { at, again: Vec::new() }
    }

    /// Whether it is of a tick; other steps look at nothing.
    pub(super) fn is_some(&self) -> bool {
        self.at > 0
    }
}

impl Cases {
    /// Takes one kept fact. Facts of a case come in their order.
    pub(super) fn apply(&mut self, row: &Row) {
        let Some((id, n)) = split_key(&row.key) else { return };
        let fact = row.value.as_deref().map(Fact::decode);
        match (self.cases.get_mut(&id), fact) {
            (Some(entry), Some(Ok(fact))) => {
                entry.case.apply(&fact);
                entry.next_fact = n + 1;
                self.look(id, 0);
            }
            (None, Some(Ok(fact))) => match Case::fold([&fact]) {
                Ok(case) => {
                    self.conversations.insert((case.conversation(), case.peer_org()), id);
                    self.cases.insert(id, Entry { case, next_fact: n + 1, look: 0 });
                    self.looks.insert((0, id));
                }
                Err(_) => self.damaged += 1,
            },
            (_, Some(Err(_))) => self.damaged += 1,
            (_, None) => self.forget(id),
        }
    }

    /// Drops everything known of a case.
    pub(super) fn forget(&mut self, id: CaseId) {
        if let Some(entry) = self.cases.remove(&id) {
            self.conversations.remove(&(entry.case.conversation(), entry.case.peer_org()));
            self.looks.remove(&(entry.look, id));
        }
    }

    fn look(&mut self, id: CaseId, at: u64) {
        if let Some(entry) = self.cases.get_mut(&id) {
            self.looks.remove(&(entry.look, id));
            entry.look = at;
            self.looks.insert((at, id));
        }
    }

    /// Takes what a tick looked at. Before the rows of that tick: what they change is looked at again.
    pub(super) fn looked(&mut self, looked: &Looked) {
        self.looked_at = looked.at;
        looked.again.iter().for_each(|(id, at)| self.look(*id, *at));
    }

    /// Has every case looked at by the next tick.
    pub(super) fn look_at_all(&mut self) {
        self.looks = self.cases.keys().map(|id| (0, *id)).collect();
        self.cases.values_mut().for_each(|entry| entry.look = 0);
    }

    /// The cases for a tick at `now` to look at: all where the clock went back, for what was noted down goes by it.
    pub(super) fn to_look_at(&self, now: u64) -> impl Iterator<Item = &Case> {
        let until = if now < self.looked_at { u64::MAX } else { now };
        let due = self.looks.iter().take_while(move |(at, _)| *at <= until);
        due.filter_map(|(_, id)| self.case(*id))
    }

    /// Folds in how far an outgoing message of a case got.
    pub(super) fn note_delivery(&mut self, msg_id: MsgId, out: &Outgoing) {
        let Ok(case) = CaseId::try_from(out.case.as_slice()) else { return };
        self.look(case, 0);
        let Some(entry) = self.cases.get_mut(&case) else { return };
        if out.stored_at > 0 {
            entry.case.apply(&Fact::Stored(Stored {
                msg_id: msg_id.to_vec(),
                node: if out.keeper.is_empty() { out.peer_node.clone() } else { out.keeper.clone() },
                at: out.stored_at,
                locked: out.locked,
                org: out.peer_org.clone(),
            }));
        }
        let ended = Ended { msg_id: msg_id.to_vec(), at: out.settled_at };
        match Delivery::of(out) {
            Delivery::Expired => entry.case.apply(&Fact::Expired(ended)),
            Delivery::NotOpened => entry.case.apply(&Fact::SendFailed(ended)),
            Delivery::Queued | Delivery::Stored | Delivery::Settled | Delivery::Recalled => {}
        }
    }

    /// One case.
    #[must_use]
    pub fn case(&self, id: CaseId) -> Option<&Case> {
        self.cases.get(&id).map(|e| &e.case)
    }

    /// The case of a conversation with an organisation.
    #[must_use]
    pub fn in_conversation(&self, conversation: ConversationId, org: OrgId) -> Option<&Case> {
        self.case(*self.conversations.get(&(conversation, org))?)
    }

    /// Every case, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Case> {
        self.cases.values().map(|e| &e.case)
    }

    /// Facts that could not be read, in all: a finding for `doctor`.
    #[must_use]
    pub fn damaged(&self) -> u32 {
        self.damaged + self.iter().map(Case::unreadable).sum::<u32>()
    }

    pub(super) fn next_fact(&self, id: CaseId) -> u64 {
        self.cases.get(&id).map_or(0, |e| e.next_fact)
    }
}

/// Writes facts of one case, numbered on from what is kept.
pub(super) struct FactWriter {
    case: CaseId,
    next: u64,
}

impl FactWriter {
    pub(super) fn new(case: CaseId, next: u64) -> Self {
        Self { case, next }
    }

    /// The row of the next fact.
    pub(super) fn row(&mut self, fact: &Fact) -> Row {
        let key = [self.case.as_bytes(), &self.next.to_be_bytes()].concat();
        self.next += 1;
        Row {
            table: Table::Fact,
            key,
            value: Some(fact.encode().to_vec()),
            under: Under::Case(self.case, 0),
            must_be_new: true,
        }
    }
}

/// The case of which a row is a fact.
pub(super) fn case_of(row: &Row) -> Option<CaseId> {
    split_key(&row.key).map(|(case, _)| case)
}

fn split_key(key: &[u8]) -> Option<(CaseId, u64)> {
    let (id, n) = key.split_at_checked(CaseId::LEN)?;
    Some((CaseId::try_from(id).ok()?, u64::from_be_bytes(n.try_into().ok()?)))
}

/// What a document row holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A part of a profile.
    Part(DataClass),
    /// An attachment, by its handle, and the class of the part that speaks of it.
    Attachment([u8; 16], DataClass),
    /// A message of a later version, kept as it was signed.
    Unread,
}

/// The row of a document of a case: a part, an attachment, or a message kept unread. Each under its class's own key.
#[must_use]
pub fn document_row(case: CaseId, message: MsgId, what: Document, value: Option<Vec<u8>>) -> Row {
    let (key, class) = document_key(case, message, what);
    Row { table: Table::Document, key, value, under: Under::Case(case, class), must_be_new: false }
}

/// The logical key of a document and the number of its class's key.
#[must_use]
pub fn document_key(case: CaseId, message: MsgId, what: Document) -> (Vec<u8>, u8) {
    let (mark, tail, class) = match &what {
        Document::Part(class) => (b'P', class.code().as_bytes(), class.number()),
        Document::Attachment(tag, class) => (b'A', tag.as_slice(), class.number()),
        Document::Unread => (b'U', &[][..], 0),
    };
    ([case.as_bytes(), message.as_bytes(), &[mark], tail].concat(), class)
}

const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bytes of a conversation of which its code is made.
pub(super) const CODE_LEN: usize = 5;

/// The code by which people of both offices speak of a case: eight letters of its conversation, `T-` first on a
/// training network. Says nothing about the person.
#[must_use]
pub fn case_code(conversation: ConversationId, training: bool) -> String {
    let bits = code_of(conversation).iter().fold(0u64, |acc, b| acc << 8 | u64::from(*b));
    let letter = |i: u32| char::from(LETTERS[usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0)]);
    let code: String = (0..8).map(letter).collect();
    format!("{}{}-{}", if training { "T-" } else { "" }, &code[..4], &code[4..])
}

/// What a conversation's code is made of.
pub(super) fn code_of(conversation: ConversationId) -> [u8; CODE_LEN] {
    std::array::from_fn(|i| conversation.0[i])
}

/// Reads a whole code back, however it is spaced and with or without its `T-`, and where a hand wrote a letter for the
/// digit it looks like; `None` for anything else.
pub(super) fn code_bits(code: &str) -> Option<[u8; CODE_LEN]> {
    let upper = code.trim().to_ascii_uppercase();
    let letters = upper.strip_prefix("T-").unwrap_or(&upper).bytes().filter(|b| !b" -".contains(b));
    let value = |letter: u8| {
        let meant = match letter {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        LETTERS.iter().position(|l| *l == meant).and_then(|n| u64::try_from(n).ok())
    };
    let values: Option<Vec<u64>> = letters.map(value).collect();
    let values = values.filter(|values| values.len() == CODE_LEN * 8 / 5)?;
    let bits = values.iter().fold(0u64, |acc, value| acc << 5 | value).to_be_bytes();
    bits[8 - CODE_LEN..].try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_from_any_spelling_and_from_no_beginning() {
        let conversation = ConversationId(
            [0, 0x44, 0x32, 0x14, 0xc7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9].repeat(2).try_into().unwrap_or([0; 32]),
        );
        let code = case_code(conversation, false);
        assert_eq!(code, "0123-4567");
        for spelt in ["0123-4567", "T-0123-4567", " t-0123-4567 ", "O123 4567", "oI234567", "0L23-4567"] {
            assert_eq!(code_bits(spelt), Some(code_of(conversation)), "{spelt}");
        }
        for wrong in ["", "T-", "0123-456", "0123-45678", "0123-456U", "0123-456\u{142}", "T0123-4567"] {
            assert_eq!(code_bits(wrong), None, "{wrong}");
        }
    }
}

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
#[derive(Clone)]
pub struct Looked {
    /// The time of the tick, unix seconds.
    at: u64,
    pub(super) again: Vec<(CaseId, u64)>,
}

impl Looked {
    pub(super) fn new(at: u64) -> Self {
        Self { at, again: Vec::new() }
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

    fn row(key: Vec<u8>, value: Option<Vec<u8>>) -> Row {
        Row { table: Table::Fact, key, value, under: Under::Service, must_be_new: true }
    }

    fn key(case: u8, n: u64) -> Vec<u8> {
        [&[case; 16][..], &n.to_be_bytes()].concat()
    }

    #[test]
    fn facts_that_cannot_be_read_are_counted_and_a_case_that_is_gone_is_forgotten() {
        let opened = |case: u8| {
            let opened = crate::case::fact::Opened {
                case: vec![case; 16],
                direction: 1,
                conversation: vec![case; 32],
                peer_org: vec![8; 16],
                own_org: vec![9; 16],
                own_node: vec![9; 16],
                at: 5,
                by: None,
            };
            Some(Fact::Opened(opened).encode().to_vec())
        };
        let mut cases = Cases::default();
        cases.apply(&row(vec![1; 23], opened(1)));
        assert_eq!((cases.iter().count(), cases.damaged()), (0, 0), "no key of a fact");
        cases.apply(&row(key(1, 4), opened(1)));
        cases.apply(&row(key(2, 0), opened(2)));
        assert_eq!((cases.iter().count(), cases.damaged()), (2, 0));
        assert_eq!((cases.next_fact(CaseId([1; 16])), cases.next_fact(CaseId([3; 16]))), (5, 0));
        let found = cases.in_conversation(ConversationId([1; 32]), OrgId([8; 16])).map(Case::id);
        assert_eq!(found, Some(CaseId([1; 16])));
        // No fact at all, of a case that is there and of one that is not; and a first fact that opens nothing.
        cases.apply(&row(key(1, 5), Some(vec![0xff; 3])));
        cases.apply(&row(key(3, 0), Some(vec![0xff; 3])));
        assert_eq!(cases.damaged(), 2);
        let ended = Fact::Expired(Ended { msg_id: vec![1; 16], at: 7 }).encode().to_vec();
        cases.apply(&row(key(3, 0), Some(ended)));
        assert_eq!((cases.iter().count(), cases.damaged()), (2, 3));
        cases.apply(&row(key(1, 4), None));
        assert!(cases.case(CaseId([1; 16])).is_none() && cases.case(CaseId([2; 16])).is_some());
        assert!(cases.in_conversation(ConversationId([1; 32]), OrgId([8; 16])).is_none());
    }

    #[test]
    fn documents_lie_apart_by_case_message_kind_and_name_under_the_key_of_their_class() {
        let (case, message) = (CaseId([1; 16]), MsgId([2; 16]));
        let start = |mark: u8| [&[1; 16][..], &[2; 16], &[mark]].concat();
        let health = DataClass::Health;
        let at = |what| document_key(case, message, what);
        assert_eq!(at(Document::Part(health)), ([start(b'P'), b"Health".to_vec()].concat(), health.number()));
        assert_eq!(at(Document::Attachment([7; 16], health)), ([start(b'A'), vec![7; 16]].concat(), health.number()));
        assert_eq!(at(Document::Unread), (start(b'U'), 0));
        let row = document_row(case, message, Document::Part(health), Some(vec![3]));
        assert!(row.table == Table::Document && row.under == Under::Case(case, health.number()) && !row.must_be_new);
        assert_eq!((row.key, row.value), (at(Document::Part(health)).0, Some(vec![3])));
    }

    #[test]
    fn what_is_due_is_counted_up_to_its_second() {
        let mut due = crate::office::watch::DueTimes::default();
        let at = |case: u8, at: Option<u64>| Row {
            table: Table::Timer,
            ..row(vec![case; 16], at.map(|at| at.to_be_bytes().to_vec()))
        };
        due.apply(&at(1, Some(100)));
        due.apply(&at(2, Some(200)));
        assert_eq!([99, 100, 199, 200].map(|now| due.overdue(now)), [0, 1, 1, 2]);
        due.apply(&at(1, None));
        assert_eq!(due.overdue(500), 1);
    }
}

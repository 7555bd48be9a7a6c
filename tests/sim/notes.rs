//! What a step says, read from its rows: the judge learns from them what a node decided, and never asks the node.

use clearhouse_casework::case::Fact;
use clearhouse_casework::case::fact::{MessageIn, MessageOut};
use clearhouse_casework::office::Step;
use clearhouse_protocol::ids::{CaseId, Digest, MsgId};
use clearhouse_protocol::mail::{Letter, LetterState, Outgoing};
use clearhouse_protocol::relay::Kept;
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::Withdrawal;
use clearhouse_wire::v1::case_body::What;
use prost::Message as _;

use super::Violation;

/// What a departure or an arrival says of her when she stays.
const STAYS: &str = "ChoseNotToTravel";

/// One thing a step says, read from its rows.
pub(super) enum Note {
    /// A message was queued, or its row changed.
    Outgoing(MsgId, Outgoing),
    /// A letter was stored, or its row changed.
    Letter(Digest),
    /// An envelope was taken for another office, or its row changed.
    Kept(Digest),
    /// Her consent was withdrawn here, or the other side says so.
    Withdrawn(CaseId, Withdrawal),
    /// She stays.
    Stayed(CaseId),
    /// A message had its effect.
    Effect(MsgId),
    /// A message was refused, or is kept unread.
    NotTaken(MsgId),
    /// A person read a message.
    Read(MsgId),
    /// A receipt about our message came.
    Receipt(MsgId, wire::Receipt),
    /// A party is out.
    Revoked(Vec<u8>),
    /// A courier may put a message on the line from now on.
    Departs(MsgId),
    /// A message goes no further: what it rested on has ended, or the other side declined since.
    MayNotGoOn(MsgId),
}

/// Reads what a step says, and holds it against P5: what changes a case, a mailbox, the directory or the evidence has
/// its event in the same commit.
pub(super) fn notes(step: &Step) -> Result<Vec<Note>, Violation> {
    let mut notes = Vec::new();
    let mut act = None;
    for row in &step.rows {
        let had = notes.len();
        read_row(row, &mut notes)?;
        let needs = match row.table {
            Table::Fact | Table::Receipt | Table::Directory | Table::Staff => true,
            Table::Outbox | Table::Taken | Table::Envelope => row.must_be_new && notes.len() > had,
            Table::Mailbox => is_more_than_laid_aside(row),
            _ => false,
        };
        act = act.or(needs.then_some(row.table));
    }
    match act {
        Some(table) if step.events.is_empty() => Err(Violation::new(format!("a row of {table:?} without an event"))),
        _ => Ok(notes),
    }
}

fn read_row(row: &Row, notes: &mut Vec<Note>) -> Result<(), Violation> {
    let Some(value) = row.value.as_deref() else { return Ok(()) };
    match row.table {
        Table::Outbox => {
            let out = Outgoing::decode(value).map_err(Violation::because("an outbox row does not decode"))?;
            notes.push(Note::Outgoing(id(&row.key)?, out));
        }
        Table::Mailbox => {
            Letter::decode(value).map_err(Violation::because("a mailbox row does not decode"))?;
            notes.push(Note::Letter(Digest::try_from(row.key.as_slice()).map_err(Violation::because("a digest"))?));
        }
        Table::Relay => {
            let kept = Kept::decode(value).map_err(Violation::because("a row kept for another does not decode"))?;
            notes.push(Note::Kept(Digest::try_from(kept.digest.as_slice()).map_err(Violation::because("a digest"))?));
        }
        Table::Fact => {
            let case = CaseId::try_from(&row.key[..16]).map_err(Violation::because("a case id"))?;
            read_fact(case, &Fact::decode(value).map_err(Violation::because("a fact does not decode"))?, notes)?;
        }
        Table::Receipt => {
            let signed = wire::Signed::decode(value).map_err(Violation::because("a kept receipt does not decode"))?;
            let said = wire::Receipt::decode(signed.payload.as_slice());
            notes.push(Note::Receipt(id(&row.key[..16])?, said.map_err(Violation::because("a kept receipt"))?));
        }
        Table::Directory if row.key.first() == Some(&b'V') => {
            let subject = row.key.get(1..17).unwrap_or_default();
            notes.push(Note::Revoked(subject.to_vec()));
        }
        _ => {}
    }
    Ok(())
}

fn read_fact(case: CaseId, fact: &Fact, notes: &mut Vec<Note>) -> Result<(), Violation> {
    match fact {
        Fact::MessageIn(MessageIn { msg_id, body, .. }) => {
            notes.push(Note::Effect(id(msg_id)?));
            let body = wire::CaseBody::decode(body.as_slice()).map_err(Violation::because("a kept body"))?;
            match body.what {
                Some(What::Withdrawal(w)) => notes.push(Note::Withdrawn(case, w)),
                Some(What::Departure(d)) if d.outcome == STAYS => notes.push(Note::Stayed(case)),
                Some(What::Arrival(a)) if a.result == STAYS => notes.push(Note::Stayed(case)),
                _ => {}
            }
        }
        Fact::ConsentWithdrawn(f) => notes.extend(f.withdrawal.clone().map(|w| Note::Withdrawn(case, w))),
        Fact::Stayed(_) => notes.push(Note::Stayed(case)),
        Fact::OpenedHere(f) => notes.push(Note::Read(id(&f.msg_id)?)),
        Fact::RefusedHere(f) => notes.push(Note::NotTaken(id(&f.msg_id)?)),
        Fact::HeldUnread(f) => notes.push(Note::NotTaken(id(&f.msg_id)?)),
        Fact::MessageOut(MessageOut { .. })
        | Fact::Opened(_)
        | Fact::ConsentRecorded(_)
        | Fact::Stored(_)
        | Fact::ReceiptIn(_)
        | Fact::SendFailed(_)
        | Fact::Expired(_)
        | Fact::Recalled(_)
        | Fact::Gap(_)
        | Fact::Logged(_)
        | Fact::PartsErased(_)
        | Fact::TimerFired(_) => {}
    }
    Ok(())
}

fn id(bytes: &[u8]) -> Result<MsgId, Violation> {
    MsgId::try_from(bytes).map_err(Violation::because("a message id"))
}

/// Whether a mailbox's row says that something happened to a letter. One that is laid aside, and taken up again, lies
/// there as before.
fn is_more_than_laid_aside(row: &Row) -> bool {
    let letter = row.value.as_deref().map(Letter::decode);
    letter.is_some_and(|letter| row.must_be_new || !letter.is_ok_and(|l| l.state == LetterState::Stored as u32))
}

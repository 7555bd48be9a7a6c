//! Receipts, out and in: what is said of a letter that came, and what the other side says of one that went.
//!
//! Refuses to believe a receipt whose signature does not hold, or that is about a message of somebody else.

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::envelope::Opened;
use clearhouse_protocol::ids::{ConversationId, Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::limits::{RECEIPT_ASKS_MAX, RECEIPTS_REMADE_MAX};
use clearhouse_protocol::mail::{Attempt, Delivery};
use clearhouse_protocol::receipt;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::{MessageType, RefusalCode, Stage};
use prost::Message as _;
use rand_core::CryptoRng;

use super::super::sending::Parcel;
use super::super::{Now, Office, Step};

impl Office {
    /// Queues a receipt about the event just recorded. A sender whom the directory no longer reaches gets none; the
    /// fact stands here all the same.
    pub(in crate::office) fn send_receipt<R: CryptoRng>(
        &self,
        said: &Said<'_>,
        to: (OrgId, NodeId),
        conversation: ConversationId,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        let Some(event) = step.events.last() else { return };
        let statement = receipt::Statement {
            digest: said.digest,
            msg_id: said.msg_id,
            stage: said.stage,
            refusal: said.refusal,
            holder: (self.me.org, self.me.node),
            actor_label: said.actor_label,
            event,
        };
        let signed = receipt::issue(self.me.net, &statement, now.time, now.key).encode_to_vec();
        let parcel = parcel(&signed, to, conversation, 0);
        if self.seal_and_queue(&parcel, step, now).is_ok() {
            let happening = Happening::of(AuditEvent::ReceiptSent).with(to.0, to.1).about(said.digest, 0);
            self.record(step, &happening, now);
        }
    }

    /// A receipt went and its recipient's node signed that it could not open it: the same words go again, sealed anew, a few
    /// times. Then it is shown like any message that did not open there, and a person has to phone.
    pub(super) fn make_again<R: CryptoRng>(&self, msg_id: MsgId, now: &mut Now<'_, R>) -> Step {
        let rows = self.mail.attempted(msg_id, Attempt::NotOpened, now.time, now.rng);
        let mut step = Step { rows, ..Step::default() };
        self.record(&mut step, &self.about_outgoing(AuditEvent::NotOpened, msg_id), now);
        let Some(out) = self.mail.outgoing(msg_id) else { return step };
        let to = out.peer_org.as_slice().try_into().ok().zip(out.peer_node.as_slice().try_into().ok());
        let conversation = ConversationId::try_from(out.conversation.as_slice()).ok();
        if let Some((to, conversation)) = to.zip(conversation)
            && out.remade < RECEIPTS_REMADE_MAX
            && self.seal_and_queue(&parcel(&out.statement, to, conversation, out.remade + 1), &mut step, now).is_ok()
        {
            let happening =
                Happening { digest: about(&out.statement), ..Happening::of(AuditEvent::ReceiptSent).with(to.0, to.1) };
            self.record(&mut step, &happening, now);
        } else if out.remade < RECEIPTS_REMADE_MAX && out.attempts + 1 < RECEIPT_ASKS_MAX {
            // Nothing can be sealed to them today, because a key of theirs ran out or the directory is contested: asked later.
            step.rows = self.mail.attempted(msg_id, Attempt::Failed { fault: 0 }, now.time, now.rng);
        } else {
            step.rows = self.mail.end(msg_id, Delivery::NotOpened, now.time);
        }
        step
    }

    /// A receipt or a proof that came before in another envelope: the letter ends. Nobody answers either.
    pub(super) fn end_repeated<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        let rows = self.mail.take(opened, Stage::Received, RefusalCode::Unspecified);
        let mut step = Step { rows, ..Step::default() };
        let happening = Happening::of(AuditEvent::ReceiptReceived)
            .with(opened.sender.0, opened.sender.1)
            .about(opened.digest, opened.inner().msg_type);
        self.record(&mut step, &happening, now);
        step
    }

    pub(super) fn take_receipt<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        step.rows.extend(self.mail.take(opened, Stage::Received, RefusalCode::Unspecified));
        let evidence = wire::Signed::decode(opened.inner().body.as_slice()).ok();
        let key = self.directory.signing_key(opened.sender.0, opened.sender.1, now.time).ok();
        let checked = evidence
            .as_ref()
            .zip(key)
            .and_then(|(signed, key)| receipt::check(signed, self.me.net, opened.sender, &key).ok());
        let Some(checked) = checked else {
            self.record(&mut step, &Happening::of(AuditEvent::Rejected).about(opened.digest, 100), now);
            return step;
        };
        let said = checked.value();
        let about = MsgId::try_from(said.msg_id.as_slice()).ok();
        let ours = about.filter(|id| self.mail.outgoing(*id).is_some_and(|o| o.peer_node == opened.sender.1.0));
        if let Some(msg_id) = ours {
            step.rows.extend(self.mail.settle(msg_id, opened.sender.1, now.time).unwrap_or_default());
            step.rows.push(receipt_row(msg_id, said.stage, &opened.inner().body));
            self.note_receipt(msg_id, said, opened, &mut step);
            step.rows.extend(self.account_answered(msg_id, opened.sender.1, said));
        }
        let event = if ours.is_some() { AuditEvent::ReceiptReceived } else { AuditEvent::Rejected };
        let happening = Happening {
            answers: ours.and_then(|msg_id| self.digest_of_ours(msg_id)),
            ..Happening::of(event)
                .with(opened.sender.0, opened.sender.1)
                .about(opened.digest, MessageType::Receipt as u32)
        };
        self.record(&mut step, &happening, now);
        step
    }
}

fn parcel(signed: &[u8], to: (OrgId, NodeId), conversation: ConversationId, remade: u32) -> Parcel<'_> {
    Parcel {
        msg_type: MessageType::Receipt as u32,
        body_version: 1,
        to,
        conversation,
        body: signed,
        attachments: &[],
        actor: None,
        case: None,
        not_after: u64::MAX,
        remade,
    }
}

/// The envelope that a receipt of this node is about.
fn about(statement: &[u8]) -> Option<Digest> {
    let signed = wire::Signed::decode(statement).ok()?;
    let said = wire::Receipt::decode(signed.payload.as_slice()).ok()?;
    Digest::try_from(said.envelope_digest.as_slice()).ok()
}

/// What a receipt is about to say.
pub(in crate::office) struct Said<'a> {
    pub(in crate::office) digest: Digest,
    pub(in crate::office) msg_id: MsgId,
    pub(in crate::office) stage: Stage,
    pub(in crate::office) refusal: RefusalCode,
    pub(in crate::office) actor_label: &'a str,
}

/// Every key under which a receipt of a message may be kept.
pub(in crate::office) fn receipt_keys(msg_id: MsgId) -> impl Iterator<Item = Vec<u8>> {
    (0..=STAGE_LAST).map(move |stage| receipt_key(msg_id, stage))
}

/// The highest number of a stage.
const STAGE_LAST: i32 = 16;

fn receipt_key(msg_id: MsgId, stage: i32) -> Vec<u8> {
    [msg_id.as_bytes(), &stage.to_be_bytes()].concat()
}

fn receipt_row(msg_id: MsgId, stage: i32, body: &[u8]) -> Row {
    Row {
        table: Table::Receipt,
        key: receipt_key(msg_id, stage),
        value: Some(body.to_vec()),
        under: Under::Evidence,
        must_be_new: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

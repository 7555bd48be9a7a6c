//! What the other side of a case sent: asked of the case, kept, refused with a reason, or kept unread. Nothing of it is
//! shown to anybody here.

use clearhouse_protocol::envelope::{Attachment, Opened};
use clearhouse_protocol::ids::{CaseId, MsgId};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{RefusalCode, Stage};
use rand_core::CryptoRng;

use super::cases::{Document, FactWriter, document_row};
use super::desk::{Attached, is_not_her_word, rests_on};
use super::{Now, Office, Step};
use crate::body::{self, CheckedBody, FaultKind};
use crate::case::Case;
use crate::case::fact::{Fact, Gap, HeldUnread, MessageIn, ReceiptIn, RefusedHere};
use crate::consent::DataClass;
use crate::refusal::Refusal;
use crate::roles::ActKind;

impl Office {
    /// Takes a verified message of a case: asks the case, writes it down or refuses it with a coarse code.
    pub(super) fn take_case_message<R: CryptoRng>(
        &self,
        opened: &Opened,
        now: &mut Now<'_, R>,
    ) -> (Stage, RefusalCode, Step) {
        let inner = opened.inner();
        let known = self.cases.as_ref().and_then(|c| c.in_conversation(opened.conversation, opened.sender.0));
        let body = match body::check(inner.msg_type, inner.body_version, &inner.body) {
            Ok(body) => body,
            Err(fault) if fault.kind == FaultKind::CannotRead => {
                return (Stage::CannotRead, RefusalCode::Unspecified, self.keep_unread(opened, now));
            }
            Err(fault) => return self.refuse(opened, known, Refusal::Body(fault), now),
        };
        let unmatched = || Refusal::Body(body::BodyFault { kind: FaultKind::WrongPayload, field: "attachments" });
        let Some(attached) = attached_to(&body, opened.attachments()) else {
            return self.refuse(opened, known, unmatched(), now);
        };
        let mut step = Step::default();
        let founded;
        let (case, mut facts) = match known {
            Some(case) => (case, FactWriter::new(case.id(), self.next_fact(case.id()))),
            None => {
                // A notice opens a case here, and so does her word: it may overtake the notice it takes back, which must
                // then find it. Anything else speaks of a case we do not have.
                if body.kind() != body::Kind::ReturnNotice && is_not_her_word(&body) {
                    return self.refuse(opened, None, Refusal::NotThisNotice, now);
                }
                let mut id = [0u8; 16];
                now.rng.fill_bytes(&mut id);
                let id = CaseId(id);
                let first = self.opening_fact(id, 2, opened.conversation, opened.sender.0, now.time, None);
                let Ok(case) = Case::fold([&first]) else {
                    return self.refuse(opened, None, Refusal::NotParty, now);
                };
                founded = case;
                let mut facts = FactWriter::new(id, 0);
                step.rows.push(facts.row(&first));
                // Only a notice begins a conversation: her word may come as the first thing in one that is older.
                let is_notice = body.kind() == body::Kind::ReturnNotice;
                step.rows.extend(is_notice.then(|| self.mail.begun_by(opened)).flatten());
                (&founded, facts)
            }
        };
        if let Err(refusal) = case.accepts(&body, opened.sender.0, now.time) {
            return self.refuse(opened, known, refusal, now);
        }
        // It was written to people, and they have to see it.
        self.call_off(case.id(), "", &mut step, now);
        self.note_gap(opened, &mut facts, &mut step, now.time);
        step.rows.push(facts.row(&Fact::MessageIn(message_in(opened, &body, now.time))));
        // Her word counts here from this commit on, whoever heard it: nothing that rests on it leaves after it.
        match body.what() {
            Some(What::Withdrawal(w)) => {
                drop(self.recall_waiting(case, |b| rests_on(b, w), &mut facts, &mut step, now))
            }
            _ if body.act() == ActKind::Stay => {
                drop(self.recall_waiting(case, is_not_her_word, &mut facts, &mut step, now));
            }
            _ => {}
        }
        for (class, part) in body.parts() {
            step.rows.push(document_row(case.id(), opened.msg_id, Document::Part(class), Some(part.to_vec())));
        }
        for (class, attachment) in attached {
            let what = Document::Attachment(attachment.name_tag, class);
            step.rows.push(document_row(case.id(), opened.msg_id, what, Some(attachment.bytes.to_vec())));
        }
        (Stage::Received, RefusalCode::Unspecified, step)
    }

    /// Keeps a message of a type or version this node does not read, under the case's key when there is a case.
    pub(super) fn keep_unread<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        let case = self.cases.as_ref().and_then(|c| c.in_conversation(opened.conversation, opened.sender.0));
        let Some(case) = case else { return Step::default() };
        let inner = opened.inner();
        let held = HeldUnread {
            msg_id: opened.msg_id.to_vec(),
            msg_type: inner.msg_type,
            seq: inner.seq,
            at: inner.created,
            digest: opened.digest.to_vec(),
        };
        let (signed, sig) = opened.signed_bytes();
        let kept = [sig.as_slice(), signed].concat();
        let mut facts = FactWriter::new(case.id(), self.next_fact(case.id()));
        let rows = vec![
            facts.row(&Fact::HeldUnread(held)),
            document_row(case.id(), opened.msg_id, Document::Unread, Some(kept)),
        ];
        let mut step = Step { rows, ..Step::default() };
        self.call_off(case.id(), "", &mut step, now);
        step
    }

    /// Writes a receipt into the case of the message it is about.
    pub(super) fn note_receipt(&self, msg_id: MsgId, said: &wire::Receipt, opened: &Opened, step: &mut Step) {
        let case = self.mail.outgoing(msg_id).and_then(|o| CaseId::try_from(o.case.as_slice()).ok());
        let Some(case) = case.filter(|id| self.cases.as_ref().is_some_and(|c| c.case(*id).is_some())) else { return };
        let fact = ReceiptIn {
            msg_id: msg_id.to_vec(),
            stage: said.stage,
            at: said.time,
            node: opened.sender.1.to_vec(),
            org: opened.sender.0.to_vec(),
            actor_label: said.actor_label.clone(),
            refusal: said.refusal,
        };
        step.rows.push(FactWriter::new(case, self.next_fact(case)).row(&Fact::ReceiptIn(fact)));
    }

    pub(super) fn refuse<R: CryptoRng>(
        &self,
        opened: &Opened,
        case: Option<&Case>,
        refusal: Refusal,
        now: &mut Now<'_, R>,
    ) -> (Stage, RefusalCode, Step) {
        let mut step = Step::default();
        if let Some(case) = case {
            let fact = RefusedHere {
                msg_id: opened.msg_id.to_vec(),
                msg_type: opened.inner().msg_type,
                seq: opened.inner().seq,
                at: now.time,
                code: refusal.code().to_owned(),
                digest: opened.digest.to_vec(),
            };
            step.rows.push(FactWriter::new(case.id(), self.next_fact(case.id())).row(&Fact::RefusedHere(fact)));
        }
        (Stage::Refused, refusal.wire(), step)
    }

    pub(super) fn note_gap(&self, opened: &Opened, facts: &mut FactWriter, step: &mut Step, now: u64) {
        let (node, seq) = (opened.sender.1, opened.inner().seq);
        let expected = self.mail.received_up_to(opened.conversation, node) + 1;
        if seq > expected {
            step.rows.push(facts.row(&Fact::Gap(Gap { from: expected, to: seq - 1, at: now })));
        }
    }
}

/// Matches attachments with the parts that speak of them; `None` unless each is spoken of exactly once.
pub(super) fn attached_to(body: &CheckedBody, attachments: &[Attachment]) -> Option<Vec<Attached>> {
    let parts = match body.what() {
        Some(What::VictimProfile(profile)) => profile.parts.as_slice(),
        _ => &[],
    };
    let mut notes: Vec<(&[u8], DataClass)> = Vec::new();
    for part in parts {
        let class = DataClass::from_code(&part.data_class)?;
        notes.extend(part.attachments.iter().map(|note| (note.name_tag.as_slice(), class)));
    }
    if notes.len() != attachments.len() {
        return None;
    }
    attachments
        .iter()
        .map(|a| {
            let mut spoken = notes.iter().filter(|(tag, _)| *tag == a.name_tag);
            let (_, class) = spoken.next()?;
            spoken.next().is_none().then(|| (*class, a.clone()))
        })
        .collect()
}

fn message_in(opened: &Opened, body: &CheckedBody, now: u64) -> MessageIn {
    let inner = opened.inner();
    MessageIn {
        msg_id: opened.msg_id.to_vec(),
        msg_type: inner.msg_type,
        body_version: inner.body_version,
        seq: inner.seq,
        body: body.skeleton().to_vec(),
        sent_at: inner.created,
        received_at: now,
        org: opened.sender.0.to_vec(),
        node: opened.sender.1.to_vec(),
        digest: opened.digest.to_vec(),
    }
}

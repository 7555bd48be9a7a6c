//! What persons do: open a case, record consent, send each message of a return, withdraw, recall, read.
//!
//! Every act is somebody's. An act is asked of the case first ([`Case::may`]); what it sends is sealed, queued and
//! written down in one step with its event. What the other side sent is taken by the same files ([`super::mailing`]
//! verified it): it is asked of [`Case::accepts`] and never shown to anybody before.

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::envelope::{Attachment, Letter, Opened, SealFault, seal};
use clearhouse_protocol::ids::{CaseId, ConsentId, ConversationId, Digest, MsgId, NodeId, OrgId, StaffId};
use clearhouse_protocol::limits::ENVELOPE_LIFE_SECS;
use clearhouse_protocol::mail::{Delivery, Outbound};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, Consent, MessageType, RefusalCode, Stage, Withdrawal};
use rand_core::CryptoRng;

use super::cases::{Document, FactWriter, document_row};
use super::{Effect, Now, Office, Step};
use crate::body::{self, BODY_VERSION, CheckedBody, FaultKind};
use crate::case::Case;
use crate::case::act::Act;
use crate::case::fact::{
    By, ConsentRecorded, ConsentWithdrawn, Fact, Gap, HeldUnread, Logged, MessageIn, MessageOut, OpenedHere, Recalled,
    ReceiptIn, RefusedHere, Stayed,
};
use crate::consent::{DataClass, Purpose};
use crate::refusal::{Refusal, Subject};
use crate::roles::{ActKind, Actor};

/// Why an act had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Cases are locked.
    Locked,
    /// No such case, or no such message.
    NoSuch,
    /// The case refuses: role, order, consent, child path.
    Refused(Refusal),
    /// The directory has no way to them now.
    Route(RouteFault),
    /// It cannot be sealed.
    Seal(SealFault),
    /// Their node does not read this kind of message yet.
    CannotRead,
    /// Too many messages wait already.
    OutboxFull,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One message to seal and queue.
pub(super) struct Parcel<'a> {
    pub(super) msg_type: u32,
    pub(super) body_version: u32,
    pub(super) to: (OrgId, NodeId),
    pub(super) conversation: ConversationId,
    pub(super) body: &'a [u8],
    pub(super) attachments: &'a [Attachment],
    pub(super) actor: Option<StaffId>,
    pub(super) case: Option<CaseId>,
    /// When it must not be opened any more: the end of the consent it rests on.
    pub(super) not_after: u64,
}

/// A message just queued.
pub(super) struct Queued {
    pub(super) msg_id: MsgId,
    pub(super) seq: u64,
    pub(super) digest: Digest,
}

/// An attachment and the class of the profile part that speaks of it.
pub type Attached = (DataClass, Attachment);

impl Office {
    /// Opens a case towards an organisation. Nothing leaves yet.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::Refused`] for an account that handles no cases, [`Stop::Route`] for an organisation
    /// that could not be written to.
    pub fn open_case<R: CryptoRng>(
        &self,
        actor: &Actor,
        peer: OrgId,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, CaseId), Stop> {
        self.cases.as_ref().ok_or(Stop::Locked)?;
        if !actor.role.handles_cases() {
            return Err(Refusal::NoContentRole.into());
        }
        self.node_of(peer, now.time)?;
        let (mut id, mut conversation) = ([0u8; 16], [0u8; 32]);
        now.rng.fill_bytes(&mut id);
        now.rng.fill_bytes(&mut conversation);
        let id = CaseId(id);
        let opened = self.opening_fact(id, 1, ConversationId(conversation), peer, now.time, Some(actor));
        let mut facts = FactWriter::new(id, 0);
        let mut step = Step { rows: vec![facts.row(&opened)], ..Step::default() };
        self.log(&Happening::of(AuditEvent::LocalAct).by(actor.role.code()), &mut facts, &mut step, now);
        Ok((step, id))
    }

    /// Writes down a consent.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn record_consent<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        consent: Consent,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let (case, mut facts) = self.to_act(case)?;
        case.may(&Act::RecordConsent(&consent), actor, now.time)?;
        let fact = ConsentRecorded { consent: Some(consent), at: now.time, by: Some(By::from(actor)) };
        let mut step = Step { rows: vec![facts.row(&Fact::ConsentRecorded(fact))], ..Step::default() };
        self.log(&Happening::of(AuditEvent::LocalAct).by(actor.role.code()), &mut facts, &mut step, now);
        Ok(step)
    }

    /// Sends a message of a case: everything but a withdrawal and a stay, which have acts of their own.
    ///
    /// # Errors
    /// [`Stop`]: then nothing was written and nothing leaves.
    pub fn send<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        what: What,
        in_reply_to: Option<MsgId>,
        attached: &[Attached],
        now: &mut Now<'_, R>,
    ) -> Result<(Step, MsgId), Stop> {
        let (case, mut facts) = self.to_act(case)?;
        let body = self.compose(case, actor, what, in_reply_to, now.time)?;
        case.may(&Act::Send(&body), actor, now.time)?;
        let mut step = Step::default();
        let sent = self.send_body(case, actor, &body, attached, &mut facts, &mut step, now)?;
        Ok((step, sent))
    }

    /// Withdraws a consent, on her word: counts here at once, takes back what has not left, tells who has it.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`]; never a refusal to anybody who handles cases.
    pub fn withdraw<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        withdrawal: Withdrawal,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, Withdrawn), Stop> {
        let (case, mut facts) = self.to_hear(case)?;
        case.may(&Act::WithdrawConsent(&withdrawal), actor, now.time)?;
        let mut step = Step::default();
        self.call_off(case.id(), actor.role.code(), &mut step, now);
        let fact = ConsentWithdrawn { withdrawal: Some(withdrawal.clone()), at: now.time, by: Some(By::from(actor)) };
        step.rows.push(facts.row(&Fact::ConsentWithdrawn(fact)));
        self.log(&Happening::of(AuditEvent::Withdrawn).by(actor.role.code()), &mut facts, &mut step, now);
        let recalled = self.recall_waiting(case, |body| rests_on(body, &withdrawal), &mut facts, &mut step, now);
        // Her word travels wherever a message of this case may be, even when its receiver cannot be reached today.
        let left = case.letters().iter().any(|l| !l.is_out() || (l.counts() && !recalled.contains(&l.id())));
        let mut told = None;
        if left {
            let body = self.compose(case, actor, What::Withdrawal(withdrawal), None, now.time)?;
            match self.send_body(case, actor, &body, &[], &mut facts, &mut step, now) {
                Ok(msg_id) => told = Some(msg_id),
                Err(Stop::Route(_) | Stop::CannotRead | Stop::OutboxFull) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok((step, Withdrawn { recalled, told, must_tell: left && told.is_none() }))
    }

    /// Writes down that she stays: a good end. What waits is taken back, and who knows of her is told.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`]; never a refusal to anybody who handles cases.
    pub fn stay<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, Withdrawn), Stop> {
        let (case, mut facts) = self.to_hear(case)?;
        case.may(&Act::Stay, actor, now.time)?;
        let mut step = Step::default();
        self.call_off(case.id(), actor.role.code(), &mut step, now);
        let stayed = Stayed { at: now.time, by: Some(By::from(actor)) };
        step.rows.push(facts.row(&Fact::Stayed(stayed)));
        self.log(&Happening::of(AuditEvent::LocalAct).by(actor.role.code()), &mut facts, &mut step, now);
        let recalled = self.recall_waiting(case, is_not_her_word, &mut facts, &mut step, now);
        let left = case.letters().iter().any(|l| !l.is_out() || (l.counts() && !recalled.contains(&l.id())));
        let mut told = None;
        if left {
            let what = self.stay_message(case, now.time);
            let body = self.compose(case, actor, what, case.notice().map(crate::case::Letter::id), now.time)?;
            told = self.send_body(case, actor, &body, &[], &mut facts, &mut step, now).ok();
        }
        Ok((step, Withdrawn { recalled, told, must_tell: left && told.is_none() }))
    }

    /// Takes back one message that has not left.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn recall<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        msg_id: MsgId,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let (case, mut facts) = self.to_act(case)?;
        case.may(&Act::Recall(msg_id), actor, now.time)?;
        if !self.mail.can_recall(msg_id) {
            return Err(Refusal::HasLeft.into());
        }
        let mut step = Step::default();
        self.recall_one(msg_id, Some(actor), &mut facts, &mut step, now);
        Ok(step)
    }

    /// A person opens a message: the fact, the event, and at the first time the receipt that says so to its sender.
    ///
    /// # Errors
    /// [`Stop`]: then nothing is shown.
    pub fn open_message<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        msg_id: MsgId,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let (case, mut facts) = self.to_act(case)?;
        case.may(&Act::OpenMessage(msg_id), actor, now.time)?;
        let letter = case.letter(msg_id).ok_or(Stop::NoSuch)?;
        let mut step = Step::default();
        let opened = OpenedHere { msg_id: msg_id.to_vec(), at: now.time, by: Some(By::from(actor)) };
        step.rows.push(facts.row(&Fact::OpenedHere(opened)));
        let node = self.node_that_sent(case.peer_org(), msg_id);
        let digest =
            node.and_then(|n| self.mail.seen(n, msg_id)).and_then(|t| Digest::try_from(t.digest.as_slice()).ok());
        let mut happening = Happening::of(AuditEvent::AuditOpened).by(actor.role.code());
        happening.digest = digest;
        happening.peer = node.map(|n| (case.peer_org(), n));
        happening.msg_class = letter.kind().map_or(0, |k| k.message_type() as u32);
        self.record(&mut step, &happening, now);
        if let (None, Some(node), Some(digest)) = (letter.read(), node, digest) {
            let said = super::mailing::Said {
                digest,
                msg_id,
                stage: Stage::Opened,
                refusal: RefusalCode::Unspecified,
                actor_label: &actor.label,
            };
            self.send_receipt(&said, (case.peer_org(), node), case.conversation(), &mut step, now);
            step.effects.push(Effect::Deliver);
        }
        Ok(step)
    }

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

    /// Seals a message to a node and queues it. The only way out of this office.
    pub(super) fn seal_and_queue<R: CryptoRng>(
        &self,
        parcel: &Parcel<'_>,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<Queued, Stop> {
        if !self.mail.outbox_has_room() {
            return Err(Stop::OutboxFull);
        }
        let to = self.directory.recipient(parcel.to.0, parcel.to.1, now.time).map_err(Stop::Route)?;
        if self.is_withheld(parcel.to.1, parcel.msg_type) {
            return Err(Stop::Route(RouteFault::Suspended));
        }
        if !to.reads.iter().any(|(t, v)| *t == parcel.msg_type && *v >= parcel.body_version) {
            return Err(Stop::CannotRead);
        }
        let place = self.mail.next_place(parcel.conversation, parcel.to.1);
        let mut msg_id = [0u8; 16];
        now.rng.fill_bytes(&mut msg_id);
        let letter = Letter {
            net: self.me.net,
            msg_type: parcel.msg_type,
            body_version: parcel.body_version,
            msg_id: MsgId(msg_id),
            sender: (self.me.org, self.me.node),
            conversation: parcel.conversation,
            seq: place.seq,
            prev_digest: place.prev,
            created: now.time,
            expires: parcel.not_after.min(now.time + ENVELOPE_LIFE_SECS),
            actor: parcel.actor,
            body: parcel.body,
            attachments: parcel.attachments,
        };
        let sealed = seal(&letter, &to, 0, now.key, now.rng).map_err(Stop::Seal)?;
        let out = Outbound {
            sealed: &sealed,
            msg_id: letter.msg_id,
            peer: parcel.to,
            conversation: parcel.conversation,
            seq: place.seq,
            msg_type: parcel.msg_type,
            body: parcel.body,
            expires: letter.expires,
            case: parcel.case,
        };
        step.rows.extend(self.mail.queue(&out, now.time));
        step.effects.push(Effect::Deliver);
        Ok(Queued { msg_id: letter.msg_id, seq: place.seq, digest: sealed.digest })
    }

    #[expect(clippy::too_many_arguments, reason = "one sending, all of whose parts differ by caller")]
    fn send_body<R: CryptoRng>(
        &self,
        case: &Case,
        actor: &Actor,
        body: &CheckedBody,
        attached: &[Attached],
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<MsgId, Stop> {
        let encoded = body.encode();
        let attachments: Vec<Attachment> = attached.iter().map(|(_, a)| a.clone()).collect();
        let parcel = Parcel {
            msg_type: body.kind().message_type() as u32,
            body_version: BODY_VERSION,
            to: (case.peer_org(), self.node_of(case.peer_org(), now.time)?),
            conversation: case.conversation(),
            body: &encoded,
            attachments: &attachments,
            actor: Some(actor.staff_id),
            case: Some(case.id()),
            not_after: body.consents().map(|c| c.expires_at).min().unwrap_or(u64::MAX),
        };
        let queued = self.seal_and_queue(&parcel, step, now)?;
        let fact = MessageOut {
            msg_id: queued.msg_id.to_vec(),
            msg_type: parcel.msg_type,
            body_version: parcel.body_version,
            seq: queued.seq,
            body: body.skeleton().to_vec(),
            at: now.time,
            by: Some(By::from(actor)),
        };
        step.rows.push(facts.row(&Fact::MessageOut(fact)));
        for (class, part) in body.parts() {
            step.rows.push(document_row(case.id(), queued.msg_id, Document::Part(class), Some(part.to_vec())));
        }
        for (class, attachment) in attached {
            let what = Document::Attachment(attachment.name_tag, *class);
            step.rows.push(document_row(case.id(), queued.msg_id, what, Some(attachment.bytes.to_vec())));
        }
        let happening = Happening {
            answers: self.settles(case, body),
            due_day: due_day(body),
            ..Happening::of(event_of(body))
                .with(parcel.to.0, parcel.to.1)
                .about(queued.digest, parcel.msg_type)
                .by(actor.role.code())
        };
        self.record(step, &happening, now);
        Ok(queued.msg_id)
    }

    /// Makes the body of a message: who acts, and the consents in force that its content needs. Which consent is
    /// missing is for the case to say.
    fn compose(
        &self,
        case: &Case,
        actor: &Actor,
        what: What,
        in_reply_to: Option<MsgId>,
        now: u64,
    ) -> Result<CheckedBody, Stop> {
        let mut body = CaseBody {
            actor_label: actor.label.clone(),
            actor_role: actor.role.code().to_owned(),
            zone: self.me.zone.name().to_owned(),
            in_reply_to: in_reply_to.map(MsgId::to_vec).unwrap_or_default(),
            what: Some(what),
            ..CaseBody::default()
        };
        let needs = body::prepare(&body).map_err(Refusal::Body)?.needs();
        let mut consents: Vec<Consent> = Vec::new();
        for (purpose, class) in needs {
            let subject = Subject { purpose, class, receiver: case.receiver() };
            let of_purpose = || case.ledger().consents().filter(move |c| c.purpose == purpose.code());
            let covering = of_purpose().find(|c| case.ledger().covers(Some(c), &subject, now).is_ok());
            // None covers it: the newest of that purpose lets the case say what is wrong with it.
            let newest = || of_purpose().max_by_key(|c| c.given_at);
            if let Some(consent) = covering.or_else(newest)
                && !consents.iter().any(|c| c.id == consent.id)
            {
                consents.push(consent.clone());
            }
        }
        let mut consents = consents.into_iter();
        body.consent = consents.next();
        if let Some(What::VictimProfile(profile)) = &mut body.what {
            profile.consents = consents.collect();
        }
        Ok(body::prepare(&body).map_err(Refusal::Body)?)
    }

    fn refuse<R: CryptoRng>(
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

    fn note_gap(&self, opened: &Opened, facts: &mut FactWriter, step: &mut Step, now: u64) {
        let (node, seq) = (opened.sender.1, opened.inner().seq);
        let expected = self.mail.received_up_to(opened.conversation, node) + 1;
        if seq > expected {
            step.rows.push(facts.row(&Fact::Gap(Gap { from: expected, to: seq - 1, at: now })));
        }
    }

    fn recall_waiting<R: CryptoRng>(
        &self,
        case: &Case,
        which: impl Fn(&CheckedBody) -> bool,
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Vec<MsgId> {
        let waiting = case.letters().iter().filter(|l| l.is_out() && self.mail.is_waiting(l.id()));
        let mut recalled: Vec<MsgId> =
            waiting.filter(|l| l.body().is_some_and(&which)).map(crate::case::Letter::id).collect();
        for msg_id in &recalled {
            self.recall_one(*msg_id, None, facts, step, now);
        }
        // What may have got through is carried no further, and still counts as something the other side has.
        recalled.retain(|msg_id| self.mail.can_recall(*msg_id));
        recalled
    }

    /// Takes back one message that waits and may not leave any more.
    pub(super) fn take_back<R: CryptoRng>(&self, case: &Case, msg_id: MsgId, step: &mut Step, now: &mut Now<'_, R>) {
        let mut facts = FactWriter::new(case.id(), self.next_fact(case.id()));
        self.recall_one(msg_id, None, &mut facts, step, now);
    }

    fn recall_one<R: CryptoRng>(
        &self,
        msg_id: MsgId,
        actor: Option<&Actor>,
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        step.rows.extend(self.mail.end(msg_id, Delivery::Recalled, now.time));
        let fact = Recalled { msg_id: msg_id.to_vec(), at: now.time, by: actor.map(By::from) };
        step.rows.push(facts.row(&Fact::Recalled(fact)));
        let happening = self.about_outgoing(AuditEvent::Recalled, msg_id).by(actor.map_or("", |a| a.role.code()));
        self.record(step, &happening, now);
    }

    fn stay_message(&self, case: &Case, now: u64) -> What {
        match case.direction() {
            crate::case::Direction::Sent => What::Departure(wire::Departure {
                outcome: "ChoseNotToTravel".to_owned(),
                at: now,
                ..wire::Departure::default()
            }),
            crate::case::Direction::Received => What::Arrival(wire::Arrival {
                result: "ChoseNotToTravel".to_owned(),
                at: now,
                ..wire::Arrival::default()
            }),
        }
    }

    fn opening_fact(
        &self,
        id: CaseId,
        direction: u32,
        conversation: ConversationId,
        peer: OrgId,
        at: u64,
        by: Option<&Actor>,
    ) -> Fact {
        Fact::Opened(crate::case::fact::Opened {
            case: id.to_vec(),
            direction,
            conversation: conversation.to_vec(),
            peer_org: peer.to_vec(),
            own_org: self.me.org.to_vec(),
            own_node: self.me.node.to_vec(),
            at,
            by: by.map(By::from),
        })
    }

    /// A case on which somebody may act: one that is being erased is not.
    pub(super) fn to_act(&self, case: CaseId) -> Result<(&Case, FactWriter), Stop> {
        let found = self.to_hear(case)?;
        if self.is_hidden(case) { Err(Refusal::BeingErased.into()) } else { Ok(found) }
    }

    /// A case in which her own word counts, whatever is being done with it.
    fn to_hear(&self, case: CaseId) -> Result<(&Case, FactWriter), Stop> {
        let cases = self.cases.as_ref().ok_or(Stop::Locked)?;
        let found = cases.case(case).ok_or(Stop::NoSuch)?;
        Ok((found, FactWriter::new(case, cases.next_fact(case))))
    }

    /// Records an event that names no message, and in the case that it is of this case.
    pub(super) fn log<R: CryptoRng>(
        &self,
        happening: &Happening,
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        let event = self.record(step, happening, now).index;
        step.rows.push(facts.row(&Fact::Logged(Logged { event })));
    }

    fn next_fact(&self, case: CaseId) -> u64 {
        self.cases.as_ref().map_or(0, |c| c.next_fact(case))
    }

    /// The node of an organisation that can be written to now; one node per organisation in this version.
    pub(super) fn node_of(&self, org: OrgId, now: u64) -> Result<NodeId, Stop> {
        let mut fault = RouteFault::Unknown;
        for node in self.directory.nodes_of(org) {
            match self.directory.recipient(org, node, now) {
                Ok(_) => return Ok(node),
                Err(f) => fault = f,
            }
        }
        Err(Stop::Route(fault))
    }

    /// The envelope that a message settles, for those who hold logs against each other: the one it answers, of either
    /// side; for a newer notice the one before it; for her staying, and her word that takes back everything, whatever
    /// was still waited for.
    fn settles(&self, case: &Case, body: &CheckedBody) -> Option<Digest> {
        let newest =
            |kind| case.letters().iter().filter(|l| l.kind() == Some(kind) && l.counts()).max_by_key(|l| l.seq());
        let takes_all_back = match body.what() {
            Some(What::Withdrawal(w)) => Purpose::parse(&w.purpose).is_some_and(Purpose::is_core),
            _ => body.act() == ActKind::Stay,
        };
        let settled = if takes_all_back {
            newest(body::Kind::Departure).or_else(|| case.notice()).map(crate::case::Letter::id)
        } else {
            let before = || case.notice().filter(|_| body.kind() == body::Kind::ReturnNotice);
            body.in_reply_to().or_else(|| before().map(crate::case::Letter::id))
        };
        settled.and_then(|id| self.digest_of_theirs(case.peer_org(), id).or_else(|| self.digest_of_ours(id)))
    }

    /// Names a letter of a case in an event: its envelope, its class and the other side.
    pub(super) fn name_letter(&self, case: &Case, letter: &crate::case::Letter, of: Happening) -> Option<Happening> {
        let (org, id) = (case.peer_org(), letter.id());
        if letter.is_out() {
            let out = self.mail.outgoing(id)?;
            let node = NodeId::try_from(out.peer_node.as_slice()).ok()?;
            return Some(of.with(org, node).about(self.digest_of_ours(id)?, out.msg_type));
        }
        let node = self.node_that_sent(org, id)?;
        let class = letter.kind()?.message_type() as u32;
        Some(of.with(org, node).about(self.digest_of_theirs(org, id)?, class))
    }

    pub(super) fn digest_of_ours(&self, msg_id: MsgId) -> Option<Digest> {
        Digest::try_from(self.mail.outgoing(msg_id)?.digest.as_slice()).ok()
    }

    fn node_that_sent(&self, org: OrgId, msg_id: MsgId) -> Option<NodeId> {
        self.directory.nodes_of(org).find(|node| self.mail.seen(*node, msg_id).is_some())
    }

    fn digest_of_theirs(&self, org: OrgId, msg_id: MsgId) -> Option<Digest> {
        let node = self.node_that_sent(org, msg_id)?;
        Digest::try_from(self.mail.seen(node, msg_id)?.digest.as_slice()).ok()
    }
}

/// What a withdrawal or a stay did besides counting at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdrawn {
    /// Messages taken back before they left.
    pub recalled: Vec<MsgId>,
    /// The message that tells the other side.
    pub told: Option<MsgId>,
    /// The other side has something and could not be written to: a person must tell them, now.
    pub must_tell: bool,
}

/// The consent a withdrawal would name, by id.
#[must_use]
pub fn withdrawal_of(case: &Case, consent: ConsentId, classes: &[DataClass], now: u64) -> Option<Withdrawal> {
    let consent = case.ledger().find(consent.as_bytes())?;
    Some(Withdrawal {
        consent_id: consent.id.clone(),
        purpose: consent.purpose.clone(),
        data_classes: classes.iter().map(|c| c.code().to_owned()).collect(),
        effective: now,
    })
}

/// True when a message travels under a consent that is withdrawn, under another of the same purpose, or under any when
/// what the whole case rests on is withdrawn.
fn rests_on(body: &CheckedBody, withdrawal: &Withdrawal) -> bool {
    let whole = Purpose::parse(&withdrawal.purpose).is_some_and(Purpose::is_core);
    whole && !body.needs().is_empty()
        || body.consents().any(|c| c.id == withdrawal.consent_id || c.purpose == withdrawal.purpose)
}

fn is_not_her_word(body: &CheckedBody) -> bool {
    !matches!(body.act(), ActKind::WithdrawConsent | ActKind::Stay)
}

/// Matches attachments with the parts that speak of them; `None` unless each is spoken of exactly once.
fn attached_to(body: &CheckedBody, attachments: &[Attachment]) -> Option<Vec<Attached>> {
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

fn event_of(body: &CheckedBody) -> AuditEvent {
    match (body.act(), body.what()) {
        (ActKind::Acknowledge, _) => AuditEvent::Acknowledged,
        (ActKind::Answer, Some(What::Answer(a))) if a.answer == "Declined" => AuditEvent::Declined,
        (ActKind::Answer, _) => AuditEvent::Accepted,
        (ActKind::SendProfile, _) => AuditEvent::Released,
        (ActKind::ConfirmArrival, Some(What::Arrival(a))) if a.result == "NotArrived" => AuditEvent::NotArrived,
        (ActKind::ConfirmArrival, _) => AuditEvent::Arrived,
        (_, _) => AuditEvent::Sent,
    }
}

fn due_day(body: &CheckedBody) -> u64 {
    let due = match body.what() {
        Some(What::ReturnNotice(n)) => n.answer_by.as_ref().map(|d| d.at),
        Some(What::Departure(d)) => d.arrival_due.as_ref().map(|d| d.at),
        _ => None,
    };
    due.unwrap_or(0) / clearhouse_protocol::limits::DAY
}

/// The message type of a body, for callers that show it.
#[must_use]
pub fn message_type(kind: body::Kind) -> MessageType {
    kind.message_type()
}

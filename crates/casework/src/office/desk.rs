//! What persons do: open a case, record consent, send each message of a return, withdraw, recall, read.
//!
//! Every act is somebody's. An act is asked of the case first ([`Case::may`]); what it sends is sealed, queued and
//! written down in one step with its event (`sending`). What the other side sent is asked of [`Case::accepts`] (`taking`)
//! and never shown to anybody before.

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::envelope::{Attachment, SealFault};
use clearhouse_protocol::ids::{CaseId, ConsentId, ConversationId, Digest, MsgId, OrgId};
use clearhouse_protocol::mail::Delivery;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{Consent, RefusalCode, Stage, Withdrawal};
use rand_core::CryptoRng;

use super::cases::FactWriter;
use super::{Effect, Now, Office, Step};
use crate::body::CheckedBody;
use crate::case::Case;
use crate::case::act::Act;
use crate::case::fact::{By, ConsentRecorded, ConsentWithdrawn, Fact, Logged, OpenedHere, Recalled, Stayed};
use crate::consent::{DataClass, Purpose};
use crate::refusal::Refusal;
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
        step.rows.extend(self.mail.begin(ConversationId(conversation)));
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

    pub(super) fn recall_waiting<R: CryptoRng>(
        &self,
        case: &Case,
        which: impl Fn(&CheckedBody) -> bool,
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Vec<MsgId> {
        let waiting = case.letters().iter().filter(|l| l.is_out() && self.mail.is_waiting(l.id()));
        let mut recalled: Vec<MsgId> =
            waiting.filter(|l| l.body().is_some_and(|body| which(&body))).map(crate::case::Letter::id).collect();
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

    pub(super) fn opening_fact(
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

    pub(super) fn next_fact(&self, case: CaseId) -> u64 {
        self.cases.as_ref().map_or(0, |c| c.next_fact(case))
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
pub(super) fn rests_on(body: &CheckedBody, withdrawal: &Withdrawal) -> bool {
    let whole = Purpose::parse(&withdrawal.purpose).is_some_and(Purpose::is_core);
    whole && !body.needs().is_empty()
        || body.consents().any(|c| c.id == withdrawal.consent_id || c.purpose == withdrawal.purpose)
}

pub(super) fn is_not_her_word(body: &CheckedBody) -> bool {
    !matches!(body.act(), ActKind::WithdrawConsent | ActKind::Stay)
}

//! Letters in and out: deposits, what opening gave, what became of attempts. The four beats' second.
//!
//! A letter is stored first and understood later; what a message means for a case is asked of [`super::cases`].

mod aside;
mod of_old;
mod receipts;

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::envelope::{Opened, Opening, Outside, Rejected, Unopenable};
use clearhouse_protocol::ids::{CaseId, Digest, MsgId};
use clearhouse_protocol::mail::{Arrival, Attempt, Delivery, DepositFault, is_unanswered};
use clearhouse_protocol::receipt;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::{MessageType, RefusalCode, Stage};
use rand_core::CryptoRng;

pub(super) use receipts::{Said, receipt_keys};

use super::witness::FAULT_SUSPENDED;
use super::{Effect, Now, Office, Step};
use crate::roles::Actor;

/// A deposit to decide on: its outside, read and sound, and its bytes.
pub struct Deposit {
    /// The outside.
    pub outside: Outside,
    /// The encoded envelope.
    pub bytes: Vec<u8>,
}

/// What a depositor is told once the batch is durable.
pub type Deposited = Result<wire::StorageReceipt, DepositFault>;

impl Office {
    /// Decides on a batch of deposits at once: one signature covers all that are new (decision 24).
    pub fn deposit<R: CryptoRng>(&self, batch: Vec<Deposit>, now: &mut Now<'_, R>) -> (Step, Vec<Deposited>) {
        let me = &self.me;
        let (mut fresh, mut bytes, mut decided) = (Vec::new(), 0, Vec::with_capacity(batch.len()));
        let mut nth = BTreeMap::new();
        for d in &batch {
            let staged = (fresh.len(), bytes);
            let arrival = self.mail.arrive(&d.outside, d.bytes.len(), staged, &me.mailboxes, now.time);
            if matches!(arrival, Ok(Arrival::New)) && !nth.contains_key(&d.outside.digest) {
                nth.insert(d.outside.digest, fresh.len());
                fresh.push(d.outside.digest);
                bytes += d.bytes.len() as u64;
            }
            decided.push(arrival);
        }
        let receipts = receipt::storage_batch(me.net, me.node, &fresh, now.time, now.key);
        // Each is handed out once; for the same envelope again it is copied from the reply that has it.
        let mut receipts: Vec<_> = receipts.into_iter().map(Some).collect();
        let mut step = Step::default();
        let mut replies: Vec<Deposited> = Vec::with_capacity(batch.len());
        let mut told = vec![None; fresh.len()];
        let mut stored = 0;
        for (deposit, arrival) in batch.into_iter().zip(decided) {
            let place = nth.get(&deposit.outside.digest).copied();
            let reply = match (arrival, place) {
                (Ok(Arrival::Repeat(receipt)), _) => Ok(receipt),
                (Ok(Arrival::New), Some(place)) => match (receipts[place].take(), told[place]) {
                    (Some(receipt), _) => {
                        told[place] = Some(replies.len());
                        step.rows.extend(self.mail.store(&deposit.outside, deposit.bytes, stored, &receipt, now.time));
                        stored += 1;
                        let happening = Happening::of(AuditEvent::Deposited).about(deposit.outside.digest, 0);
                        self.record(&mut step, &happening, now);
                        Ok(receipt)
                    }
                    (None, Some(first)) => replies.get::<usize>(first).cloned().unwrap_or(Err(DepositFault::Full)),
                    (None, None) => Err(DepositFault::Full),
                },
                (Ok(Arrival::New), None) => Err(DepositFault::Full),
                (Err(fault), _) => Err(fault),
            };
            replies.push(reply);
        }
        if !step.rows.is_empty() {
            step.effects.push(Effect::OpenLetters);
        }
        (step, replies)
    }

    /// Decides on what opening a letter gave. `None` while content is locked: the letter waits.
    pub fn opened<R: CryptoRng>(
        &self,
        digest: Digest,
        result: Result<Opening, Unopenable>,
        now: &mut Now<'_, R>,
    ) -> Option<Step> {
        let waiting = self.mail.letter(digest).is_some_and(|l| l.state == 1);
        if !waiting {
            return Some(Step::default());
        }
        self.cases.as_ref()?;
        // It was opened beside the owner, by the directory as it stood then: a party put out since has no effect any
        // more (promise P14).
        let stands = |opened: &Opened| {
            let (org, node) = opened.sender;
            self.directory.may_speak(org, node, now.time).is_ok()
        };
        let released = self.mail.letter(digest).is_some_and(|letter| letter.released);
        Some(match result {
            Ok(Opening::Ended(opened)) if released => self.understand(&opened, now),
            Ok(Opening::Ended(opened) | Opening::Whole(opened)) if self.is_for_a_person(&opened, now.time) => {
                self.quarantine(&opened, now)
            }
            Ok(Opening::Whole(opened) | Opening::Rejected(opened, Rejected::Extension))
                if stands(&opened) && self.must_wait(opened.sender.0, now.time) =>
            {
                Step { rows: self.mail.lay_aside(digest, true).into_iter().collect(), ..Step::default() }
            }
            Ok(Opening::Rejected(opened, Rejected::Extension)) if stands(&opened) => {
                self.answer(&opened, Stage::Refused, RefusalCode::Extension, Step::default(), now)
            }
            // Who was just let in is in the logs, and this node may not have read them yet.
            Err(Unopenable::Sender(RouteFault::Unpublished)) if self.may_be_behind(digest, now.time) => {
                Step { rows: self.mail.lay_aside(digest, true).into_iter().collect(), ..Step::default() }
            }
            Ok(Opening::Early(opens_at)) => {
                Step { rows: self.mail.lay_aside_until(digest, opens_at).into_iter().collect(), ..Step::default() }
            }
            Ok(Opening::Whole(opened)) if stands(&opened) => self.understand(&opened, now),
            Ok(_) | Err(_) => self.unopenable(digest, now),
        })
    }

    /// Whether a letter is somebody's message about a person and its sender was put out: then nobody is answered and
    /// nothing is lost. What nodes tell each other ends instead.
    fn is_for_a_person(&self, opened: &Opened, now: u64) -> bool {
        let (org, node) = opened.sender;
        let revoked = self.directory.standing(org, node, now).is_ok_and(|(_, revoked)| revoked);
        revoked && is_of_a_case(opened.inner().msg_type)
    }

    fn quarantine<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        let mut step = Step { rows: self.mail.quarantine(opened, now.time).into_iter().collect(), ..Step::default() };
        // Without a name: a thief gave it.
        self.record(&mut step, &Happening::of(AuditEvent::Quarantined).about(opened.digest, 0), now);
        step
    }

    /// A person decides on a letter in quarantine: it is taken like any other, or it ends as one that does not open.
    /// `None` when no such letter waits.
    pub fn decide_quarantined<R: CryptoRng>(
        &self,
        digest: Digest,
        take: bool,
        actor: &Actor,
        now: &mut Now<'_, R>,
    ) -> Option<Step> {
        let released = self.mail.release(digest)?;
        let mut step = Step::default();
        if take {
            step.rows.push(released);
            step.effects.push(Effect::OpenLetters);
        } else {
            step = self.unopenable(digest, now);
        }
        self.record(&mut step, &Happening::of(AuditEvent::LocalAct).about(digest, 0).by(actor.role.code()), now);
        Some(step)
    }

    fn unopenable<R: CryptoRng>(&self, digest: Digest, now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        let statement = receipt::not_opened(self.me.net, self.me.node, digest, now.time, now.key);
        step.rows = self.mail.end_unopened(digest, &statement);
        self.record(&mut step, &Happening::of(AuditEvent::NotOpened).about(digest, 0), now);
        step
    }

    fn understand<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        if let Some(taken) = self.mail.seen(opened.sender.1, opened.msg_id) {
            if is_unanswered(opened.inner().msg_type) {
                return self.end_repeated(opened, now);
            }
            // The same message in another envelope: the same answer again, for this envelope, and nothing else.
            let stage = Stage::try_from(taken.stage).unwrap_or(Stage::Received);
            let refusal = RefusalCode::try_from(taken.refusal).unwrap_or(RefusalCode::Unspecified);
            return self.answer(opened, stage, refusal, Step::default(), now);
        }
        match MessageType::try_from(i32::try_from(opened.inner().msg_type).unwrap_or(0)) {
            Ok(MessageType::Receipt) => self.take_receipt(opened, now),
            Ok(
                MessageType::ReturnNotice
                | MessageType::Acknowledgement
                | MessageType::Answer
                | MessageType::VictimProfile
                | MessageType::Departure
                | MessageType::Arrival
                | MessageType::ConsentRecord
                | MessageType::Withdrawal,
            ) => {
                let (from, msg_type) = (opened.sender.0, opened.inner().msg_type);
                // Their node should not have sent it; what it says is not looked at.
                if self.directory.corridor(from, self.me.org, msg_type, now.time).is_err() {
                    return self.answer(opened, Stage::Refused, RefusalCode::NotAllowed, Step::default(), now);
                }
                let (stage, refusal, step) = self.take_case_message(opened, now);
                self.answer(opened, stage, refusal, step, now)
            }
            Ok(MessageType::Audit) => {
                let (stage, refusal, step) = self.take_account(opened, now.time);
                self.answer(opened, stage, refusal, step, now)
            }
            Ok(MessageType::Proofs) => self.take_proofs(opened, now),
            Ok(MessageType::Erased) => {
                let (stage, refusal, step) = self.take_erased(opened, now.time);
                self.answer(opened, stage, refusal, step, now)
            }
            Ok(MessageType::Alarm) => {
                let (stage, refusal, step) = self.take_alarm(opened, now.time);
                self.answer(opened, stage, refusal, step, now)
            }
            Ok(MessageType::Unspecified) | Err(_) => {
                let step = self.keep_unread(opened, now);
                self.answer(opened, Stage::CannotRead, RefusalCode::Unspecified, step, now)
            }
        }
    }

    /// Ends the letter, remembers the message, records the event and queues the signed receipt: one commit.
    fn answer<R: CryptoRng>(
        &self,
        opened: &Opened,
        stage: Stage,
        refusal: RefusalCode,
        mut step: Step,
        now: &mut Now<'_, R>,
    ) -> Step {
        step.rows.extend(self.mail.take(opened, stage, refusal));
        let event = if stage == Stage::Refused { AuditEvent::Rejected } else { AuditEvent::AuditReceived };
        // In another envelope than before: the first one says which message it is.
        let first = self.mail.seen(opened.sender.1, opened.msg_id);
        let happening = Happening {
            answers: first.and_then(|taken| Digest::try_from(taken.digest.as_slice()).ok()),
            ..Happening::of(event).with(opened.sender.0, opened.sender.1).about(opened.digest, opened.inner().msg_type)
        };
        self.record(&mut step, &happening, now);
        let said = Said { digest: opened.digest, msg_id: opened.msg_id, stage, refusal, actor_label: "" };
        self.send_receipt(&said, opened.sender, opened.conversation, &mut step, now);
        step.effects.push(Effect::Deliver);
        step
    }

    /// Decides whether the courier may carry a message now: asked before every attempt, and the step is durable before
    /// the first byte leaves. What a withdrawal, her staying or a changed answer holds back is taken back instead, also
    /// when an earlier attempt may have got through: its receipt would say so, and would count (promise P4).
    pub fn depart<R: CryptoRng>(&self, msg_id: MsgId, now: &mut Now<'_, R>) -> (Step, bool) {
        let mut step = Step::default();
        let Some(rows) = self.mail.depart(msg_id, now.time) else { return (step, false) };
        if let Some(step) = self.hold_back_old(msg_id, now) {
            return (step, false);
        }
        let case = self.mail.outgoing(msg_id).and_then(|o| CaseId::try_from(o.case.as_slice()).ok());
        let case = case.and_then(|id| self.cases.as_ref()?.case(id));
        if let Some(case) = case.filter(|case| case.release_still_allowed(msg_id, now.time).is_err()) {
            self.take_back(case, msg_id, &mut step, now);
            return (step, false);
        }
        if self.waits_for_suspended(msg_id) {
            step.rows = self.mail.attempted(msg_id, Attempt::Failed { fault: FAULT_SUSPENDED }, now.time, now.rng);
            return (step, false);
        }
        step.rows = rows;
        (step, true)
    }

    /// Decides on how an attempt ended. An answer by the mailbox that its owner could not open the envelope is a
    /// fact a person must see, unless the same message can go again to a newer prekey; everything else moves the timetable.
    pub fn attempted<R: CryptoRng>(&self, msg_id: MsgId, attempt: Attempt, now: &mut Now<'_, R>) -> Step {
        if attempt == Attempt::NotOpened
            && self.mail.is_under_way(msg_id)
            && !self.mail.outgoing(msg_id).is_some_and(|out| out.of_old)
            && let Some(step) = self.reseal(msg_id, now)
        {
            return step;
        }
        if attempt == Attempt::NotOpened && self.mail.is_unconfirmed(msg_id) {
            return self.make_again(msg_id, now);
        }
        let rows = self.mail.attempted(msg_id, attempt, now.time, now.rng);
        let mut step = Step { rows, ..Step::default() };
        let first_stored = matches!(attempt, Attempt::Stored { .. } | Attempt::StoredAt { .. })
            && self.mail.outgoing(msg_id).is_some_and(|o| Delivery::of(o) == Delivery::Queued);
        if first_stored || attempt == Attempt::NotOpened {
            let event = if first_stored { AuditEvent::ReceiptReceived } else { AuditEvent::NotOpened };
            self.record(&mut step, &self.about_outgoing(event, msg_id), now);
        }
        if first_stored || attempt == Attempt::Lost {
            step.effects.push(Effect::Deliver);
        }
        step
    }

    /// Names an outgoing message in an event.
    pub(super) fn about_outgoing(&self, event: AuditEvent, msg_id: MsgId) -> Happening {
        let mut happening = Happening::of(event);
        if let Some(out) = self.mail.outgoing(msg_id) {
            happening.msg_class = out.msg_type;
            happening.digest = Digest::try_from(out.digest.as_slice()).ok();
            let org = out.peer_org.as_slice().try_into();
            let node = out.peer_node.as_slice().try_into();
            happening.peer = org.ok().zip(node.ok());
        }
        happening
    }
}

/// Whether a message belongs to a case, and not to what nodes tell each other.
fn is_of_a_case(msg_type: u32) -> bool {
    let of_cases = [
        MessageType::ReturnNotice,
        MessageType::Acknowledgement,
        MessageType::Answer,
        MessageType::VictimProfile,
        MessageType::Departure,
        MessageType::Arrival,
        MessageType::ConsentRecord,
        MessageType::Withdrawal,
    ];
    of_cases.iter().any(|kind| *kind as u32 == msg_type)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod batch;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unseen;

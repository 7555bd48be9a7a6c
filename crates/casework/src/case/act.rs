//! What a person here may do with a case, and why not. The guards look at the state now, at the role, at consent and at
//! the child path. Withdrawal and "she stays" pass every guard but one: that the account is a caseworker's at all.

use clearhouse_protocol::ids::MsgId;
use clearhouse_protocol::limits::{DAY, SKEW_SECS};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{
    Acknowledgement, Answer, Arrival, Consent, Departure, ReturnNotice, VictimProfile, Withdrawal,
};

use super::{Case, Direction, Fate, Letter, State, child};
use crate::body::codes::{AnswerKind, ArrivalResult, Outcome};
use crate::body::{CheckedBody, Kind};
use crate::consent;
use crate::refusal::Refusal;
use crate::roles::{self, ActKind, Actor, Role};

/// What a person wants to do. A message is judged whole: its payload says which act it is.
#[derive(Clone, Copy)]
pub enum Act<'a> {
    /// Write down a consent.
    RecordConsent(&'a Consent),
    /// Send a message: notice, acknowledgement, answer, profile, departure, arrival, withdrawal.
    Send(&'a CheckedBody),
    /// Write down a withdrawal, whether or not anything has left yet.
    WithdrawConsent(&'a Withdrawal),
    /// Write down that she stays, whether or not anything has left yet.
    Stay,
    /// Take back a message that has not left.
    Recall(MsgId),
    /// Open a message of theirs.
    OpenMessage(MsgId),
}

impl Act<'_> {
    /// Which act it is.
    #[must_use]
    pub fn kind(&self) -> ActKind {
        match self {
            Self::RecordConsent(_) => ActKind::RecordConsent,
            Self::Send(body) => body.act(),
            Self::WithdrawConsent(_) => ActKind::WithdrawConsent,
            Self::Stay => ActKind::Stay,
            Self::Recall(_) => ActKind::Recall,
            Self::OpenMessage(_) => ActKind::OpenMessage,
        }
    }
}

/// The end from which a kind of act is done; `None` for either.
pub(super) fn side_of(act: ActKind) -> Option<Direction> {
    match act {
        ActKind::RecordConsent
        | ActKind::SendNotice
        | ActKind::SupersedeNotice
        | ActKind::SendProfile
        | ActKind::Depart => Some(Direction::Sent),
        ActKind::Acknowledge | ActKind::AskInfo | ActKind::Answer | ActKind::ConfirmArrival => {
            Some(Direction::Received)
        }
        ActKind::WithdrawConsent | ActKind::Stay | ActKind::Recall | ActKind::OpenMessage | ActKind::Erase => None,
    }
}

impl Case {
    /// Whether `actor` may do this now (unix seconds).
    ///
    /// # Errors
    /// [`Refusal`]. [`ActKind::WithdrawConsent`] and [`ActKind::Stay`] are refused to nobody who handles cases.
    pub fn may(&self, act: &Act<'_>, actor: &Actor, now: u64) -> Result<(), Refusal> {
        let sending = if let Act::Send(body) = act { Some(*body) } else { None };
        roles::may(actor.role, act.kind(), self.stakes(sending))?;
        if matches!(act.kind(), ActKind::WithdrawConsent | ActKind::Stay) {
            return Ok(());
        }
        if side_of(act.kind()).is_some_and(|side| side != self.direction) {
            return Err(Refusal::WrongSide);
        }
        match act {
            Act::RecordConsent(consent) => self.may_record(consent, now),
            Act::Send(body) => self.may_send(body, actor, now),
            Act::Recall(id) => self.may_recall(*id),
            Act::OpenMessage(id) => self.may_open(*id, actor, now),
            Act::WithdrawConsent(_) | Act::Stay => Ok(()),
        }
    }

    fn may_record(&self, consent: &Consent, now: u64) -> Result<(), Refusal> {
        if self.state.is_end() {
            return Err(Refusal::CaseEnded);
        }
        consent::check(consent).map_err(Refusal::Body)?;
        if self.ledger.is_full() {
            return Err(Refusal::TooManyMessages);
        }
        self.recordable(consent, now)
    }

    fn may_send(&self, body: &CheckedBody, actor: &Actor, now: u64) -> Result<(), Refusal> {
        if body.body().actor_label != actor.label || body.actor_role() != actor.role {
            return Err(Refusal::SignedForAnother);
        }
        if self.state.is_end() {
            return Err(Refusal::CaseEnded);
        }
        if self.letters.len() >= super::LETTERS_MAX {
            return Err(Refusal::TooManyMessages);
        }
        match body.what() {
            Some(What::ReturnNotice(notice)) => self.may_notify(body, notice, now),
            Some(What::Acknowledgement(ack)) => self.may_acknowledge(body, ack),
            Some(What::Answer(answer)) => self.may_answer(body, answer),
            Some(What::VictimProfile(profile)) => self.may_send_profile(body, profile, now),
            Some(What::Departure(departure)) => self.may_depart(body, departure, now),
            Some(What::Arrival(arrival)) => self.may_confirm(body, arrival, now),
            Some(What::Withdrawal(_)) | None => Ok(()),
        }
    }

    fn may_notify(&self, body: &CheckedBody, notice: &ReturnNotice, now: u64) -> Result<(), Refusal> {
        let replaces = MsgId::try_from(notice.supersedes.as_slice()).ok();
        match (replaces, self.notice()) {
            (None, None) => {}
            (None, Some(_)) => return Err(Refusal::AlreadySent),
            (Some(old), Some(current)) if old == current.id && self.state == State::InfoRequested => {}
            (Some(_), _) => return Err(Refusal::NothingToSupersede),
        }
        if u64::from(notice.window_to_day) < now / DAY {
            return Err(Refusal::WindowPast);
        }
        self.guard_notice(notice, now)?;
        self.guard_consents(body, now)
    }

    /// What must be true of a notice at both ends.
    pub(super) fn guard_notice(&self, notice: &ReturnNotice, now: u64) -> Result<(), Refusal> {
        if child::is_child(notice) {
            child::guard_notice(notice)?;
        } else if self.child {
            return Err(Refusal::ChildStaysChild);
        }
        let ends = u64::from(notice.reflection_ends_day).saturating_mul(DAY);
        if ends > now.saturating_add(SKEW_SECS) && !notice.wishes_to_go_earlier {
            return Err(Refusal::ReflectionRuns);
        }
        Ok(())
    }

    fn may_acknowledge(&self, body: &CheckedBody, ack: &Acknowledgement) -> Result<(), Refusal> {
        let notice = self.notice().ok_or(Refusal::NothingToAcknowledge)?;
        self.guard_acknowledgement(body, ack, notice)
    }

    /// What must be true of an acknowledgement of `notice` at both ends.
    pub(super) fn guard_acknowledgement(
        &self,
        body: &CheckedBody,
        ack: &Acknowledgement,
        notice: &Letter,
    ) -> Result<(), Refusal> {
        if body.in_reply_to() != Some(notice.id) {
            return Err(Refusal::NotThisNotice);
        }
        if self.acknowledgement_of(notice.id).is_some() {
            return Err(Refusal::NothingToAcknowledge);
        }
        if self.child {
            child::guard_contact(ack.contact.as_ref().map_or("", |c| c.role.as_str()))?;
        }
        Ok(())
    }

    fn may_answer(&self, body: &CheckedBody, answer: &Answer) -> Result<(), Refusal> {
        let notice = self.notice().ok_or(Refusal::NotAcknowledged)?;
        if body.in_reply_to() != Some(notice.id) {
            return Err(Refusal::NotThisNotice);
        }
        if self.acknowledgement_of(notice.id).is_none() {
            return Err(Refusal::NotAcknowledged);
        }
        if self.journey_state().is_some() {
            return Err(Refusal::AnsweredAlready);
        }
        self.guard_answer(answer, notice)
    }

    /// What must be true of an answer to `notice` at both ends.
    pub(super) fn guard_answer(&self, answer: &Answer, notice: &Letter) -> Result<(), Refusal> {
        use AnswerKind::{Accepted, AcceptedWithConditions, Declined, InfoRequested};
        let kind = AnswerKind::parse(&answer.answer).ok_or(Refusal::AnsweredAlready)?;
        match (self.answer_to(notice.id).and_then(Letter::answer_kind), kind) {
            (_, InfoRequested) if self.has_asked() => return Err(Refusal::AskedAlready),
            (None, _)
            | (Some(InfoRequested | AcceptedWithConditions), Accepted | AcceptedWithConditions | Declined)
            // A receiver that can no longer receive must be able to say so.
            | (Some(Accepted), Declined) => {}
            (Some(_), _) => return Err(Refusal::AnsweredAlready),
        }
        if self.child { child::guard_place(kind, answer.child_place) } else { Ok(()) }
    }

    fn may_send_profile(&self, body: &CheckedBody, profile: &VictimProfile, now: u64) -> Result<(), Refusal> {
        if self.child {
            child::guard_act(ActKind::SendProfile)?;
        }
        // On the way she may still agree to tell more; nothing is asked of her for it.
        if !matches!(self.state, State::Accepted | State::Prepared | State::InTransit) {
            return Err(Refusal::NotAccepted);
        }
        let names =
            |a: &Answer| a.contact.iter().chain(&a.alternate).any(|contact| contact.label == profile.for_worker);
        let answer = self.notice().and_then(|n| self.answer_to(n.id));
        if !answer.and_then(|l| l.answer(names)).ok_or(Refusal::NotAccepted)? {
            return Err(Refusal::NotTheirWorker);
        }
        self.guard_consents(body, now)
    }

    /// Departure needs an acceptance and no profile: she may refuse to share anything and still be met (domain g, 10).
    fn may_depart(&self, body: &CheckedBody, departure: &Departure, now: u64) -> Result<(), Refusal> {
        if self.child {
            child::guard_act(ActKind::Depart)?;
        }
        let left = departure.outcome == Outcome::Left.code();
        match self.state {
            State::Accepted | State::Prepared | State::NoShow => {}
            State::InTransit if !left => {}
            State::InTransit | State::Arrived | State::ArrivedUnmet => return Err(Refusal::NotWaitingToLeave),
            State::Draft
            | State::Notified
            | State::Delivered
            | State::Acknowledged
            | State::InfoRequested
            | State::Declined
            | State::Expired
            | State::AcceptedCond
            | State::Withdrawn
            | State::Stayed => return Err(Refusal::NotAccepted),
        }
        has_happened(departure.at, now)?;
        self.guard_consents(body, now)
    }

    fn may_confirm(&self, body: &CheckedBody, arrival: &Arrival, now: u64) -> Result<(), Refusal> {
        let departure = self.journey().filter(|l| left(l)).ok_or(Refusal::NotOnTheWay)?;
        if body.in_reply_to() != Some(departure.id) {
            return Err(Refusal::NotThisJourney);
        }
        has_happened(arrival.at, now)?;
        self.guard_arrival(departure)
    }

    /// What must be true of an arrival after `departure` at both ends: nobody is met twice.
    pub(super) fn guard_arrival(&self, departure: &Letter) -> Result<(), Refusal> {
        let met = |l: &Letter| l.arrival(|a| a.result == ArrivalResult::ArrivedMet.code()) == Some(true);
        if self.arrival_of(departure.id).is_some_and(met) { Err(Refusal::AnsweredAlready) } else { Ok(()) }
    }

    fn may_recall(&self, id: MsgId) -> Result<(), Refusal> {
        let letter = self.letter(id).filter(|l| l.out).ok_or(Refusal::NoSuchMessage)?;
        if matches!(letter.act(), Some(ActKind::WithdrawConsent | ActKind::Stay)) {
            return Err(Refusal::NeverRecalled);
        }
        match letter.fate() {
            Fate::Waiting => Ok(()),
            Fate::Recalled | Fate::Failed | Fate::Expired => Err(Refusal::IsOver),
            Fate::Stored { .. } | Fate::Received | Fate::Opened | Fate::Refused(_) | Fate::CannotRead => {
                Err(Refusal::HasLeft)
            }
        }
    }

    pub(super) fn may_open(&self, id: MsgId, actor: &Actor, now: u64) -> Result<(), Refusal> {
        let letter = self.letter(id).ok_or(Refusal::NoSuchMessage)?;
        if letter.out {
            return Err(Refusal::NotForReading);
        }
        let body = letter.body().ok_or(Refusal::NoSuchMessage)?;
        if let Some(What::VictimProfile(profile)) = body.what()
            && profile.for_worker != actor.label
            && actor.role != Role::Manager
        {
            return Err(Refusal::ProfileForAnother);
        }
        match letter.kind() {
            Some(Kind::VictimProfile) => self.guard_any_part(&body, now),
            // Whom to meet and when must not vanish overnight because a date ran out; her own word still hides it.
            Some(Kind::Departure) => self.guard_consents(&body, now.min(letter.at)),
            Some(Kind::ReturnNotice) => self.guard_consents(&body, now),
            Some(Kind::Acknowledgement | Kind::Answer | Kind::Arrival | Kind::Withdrawal) | None => Ok(()),
        }
    }
}

/// True for a departure that says she left.
pub(super) fn left(letter: &Letter) -> bool {
    letter.departure(|d| d.outcome == Outcome::Left.code()) == Some(true)
}

pub(super) fn has_happened(at: u64, now: u64) -> Result<(), Refusal> {
    if at > now.saturating_add(SKEW_SECS) { Err(Refusal::NotYetHappened) } else { Ok(()) }
}

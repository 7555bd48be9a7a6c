//! What a peer may send into a case. Messages cross and overtake one another, so a peer is judged by what it could have
//! known: ours may not have reached it yet, and an earlier one of its own may still be on its way (an answer is taken
//! before its acknowledgement: whoever answers has read). What is refused here goes back as a signed refusal and then
//! counts at neither end. Withdrawal and "she stays" are always taken.

use clearhouse_protocol::ids::{MsgId, OrgId};
use clearhouse_wire::v1::ReturnNotice;
use clearhouse_wire::v1::case_body::What;

use super::act::{has_happened, left, side_of};
use super::{Case, Direction, LETTERS_MAX, Letter, State, child};
use crate::body::codes::AnswerKind;
use crate::body::{CheckedBody, Kind};
use crate::refusal::Refusal;
use crate::roles::{self, ActKind};

impl Case {
    /// Whether a verified message from `sender` is taken into the case now (unix seconds).
    ///
    /// Called after the inner signature was verified and before anything is shown to a person.
    ///
    /// # Errors
    /// [`Refusal`]; its [`Refusal::wire`] code goes back in a signed receipt.
    pub fn accepts(&self, incoming: &CheckedBody, sender: OrgId, now: u64) -> Result<(), Refusal> {
        if sender != self.peer_org {
            return Err(Refusal::NotParty);
        }
        let act = incoming.act();
        if matches!(act, ActKind::WithdrawConsent | ActKind::Stay) {
            return Ok(());
        }
        if side_of(act) == Some(self.direction) {
            return Err(Refusal::WrongSide);
        }
        if self.letters.len() >= LETTERS_MAX {
            return Err(Refusal::TooManyMessages);
        }
        roles::may(incoming.actor_role(), act, self.stakes(Some(incoming)))?;
        match incoming.what() {
            Some(What::ReturnNotice(notice)) => self.takes_notice(incoming, notice, now),
            Some(What::Acknowledgement(ack)) => {
                self.guard_acknowledgement(incoming, ack, self.answered_notice(incoming)?)
            }
            Some(What::Answer(answer)) => self.guard_answer(answer, self.answered_notice(incoming)?),
            Some(What::VictimProfile(_)) => self.takes_profile(incoming, now),
            Some(What::Departure(departure)) => {
                self.takes_departure(incoming, now)?;
                has_happened(departure.at, now)
            }
            Some(What::Arrival(arrival)) => {
                has_happened(arrival.at, now)?;
                self.guard_arrival(self.confirmed_departure(incoming)?)
            }
            Some(What::Withdrawal(_)) | None => Ok(()),
        }
    }

    fn takes_notice(&self, body: &CheckedBody, notice: &ReturnNotice, now: u64) -> Result<(), Refusal> {
        let replaces = MsgId::try_from(notice.supersedes.as_slice()).ok();
        match (replaces, self.notice()) {
            (None, None) => {}
            // We asked about exactly this one, and may have answered while the new one was on its way.
            (Some(old), Some(current)) if old == current.id && self.asked_about(current) => {}
            (None, Some(_)) => return Err(Refusal::NotSuperseding),
            (Some(_), _) => return Err(Refusal::NothingToSupersede),
        }
        if self.state == State::Stayed {
            return Err(Refusal::CaseEnded);
        }
        self.guard_notice(notice, now)?;
        self.guard_consents(body, now)
    }

    /// A profile is taken only while our own "accepted" stands: who has declined since does not need her file.
    fn takes_profile(&self, body: &CheckedBody, now: u64) -> Result<(), Refusal> {
        self.guard_after_acceptance(body, ActKind::SendProfile, now)?;
        let answer = self.notice().and_then(|n| self.answer_to(n.id)).and_then(Letter::answer_kind);
        if answer == Some(AnswerKind::Accepted) { Ok(()) } else { Err(Refusal::NotAccepted) }
    }

    /// A departure is taken even if we declined since: she is on her way, and somebody must know.
    fn takes_departure(&self, body: &CheckedBody, now: u64) -> Result<(), Refusal> {
        self.guard_after_acceptance(body, ActKind::Depart, now)
    }

    /// What follows an acceptance: we must have given one, to this notice, at some time.
    fn guard_after_acceptance(&self, body: &CheckedBody, act: ActKind, now: u64) -> Result<(), Refusal> {
        if self.child {
            child::guard_act(act)?;
        }
        if self.state == State::Stayed {
            return Err(Refusal::CaseEnded);
        }
        // Her word comes before the order of things: a withdrawn consent is named as such.
        self.guard_consents(body, now)?;
        if self.was_accepted() { Ok(()) } else { Err(Refusal::NotAccepted) }
    }

    fn asked_about(&self, notice: &Letter) -> bool {
        let asked = |l: &Letter| l.replies_to(notice.id) && l.answer_kind() == Some(AnswerKind::InfoRequested);
        self.latest(Kind::Answer, asked).is_some()
    }

    /// Our notice a reply speaks of; an earlier one when messages crossed.
    fn answered_notice(&self, reply: &CheckedBody) -> Result<&Letter, Refusal> {
        self.ours(reply, Kind::ReturnNotice).ok_or(Refusal::NotThisNotice)
    }

    fn confirmed_departure(&self, reply: &CheckedBody) -> Result<&Letter, Refusal> {
        if self.direction == Direction::Received || self.journey().is_none() {
            return Err(Refusal::NotOnTheWay);
        }
        self.ours(reply, Kind::Departure).filter(|l| left(l)).ok_or(Refusal::NotThisJourney)
    }

    /// A message of ours that a reply names, unless they refused it. Whoever answers it has it, so a note of ours that
    /// it expired, failed or was recalled does not stand against the answer.
    fn ours(&self, reply: &CheckedBody, kind: Kind) -> Option<&Letter> {
        let letter = self.letter(reply.in_reply_to()?)?;
        (letter.out && letter.kind() == Some(kind) && letter.refused.is_none()).then_some(letter)
    }
}

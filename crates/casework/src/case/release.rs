//! Consent at every door: before a message is signed, again before it leaves, when it comes in, and each time somebody
//! here wants to look. Refuses what is not covered at that very moment: nothing overtakes a withdrawal (promise P4).

use clearhouse_protocol::ids::{ConsentId, MsgId};
use clearhouse_wire::v1::Consent;
use clearhouse_wire::v1::case_body::What;

use super::{Case, Direction, Fate, Letter, State, child};
use crate::body::{CheckedBody, Kind};
use crate::consent::{self, ConsentFault, DataClass, Purpose};
use crate::refusal::{Refusal, Subject};

/// A part of a profile that may be shown now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VisiblePart {
    /// The message that brought it.
    pub message: MsgId,
    /// Its class.
    pub class: DataClass,
    /// The consent it rests on.
    pub consent: ConsentId,
}

impl Case {
    /// Whether a message may still leave now (unix seconds). Asked again for every attempt, whatever was true when it
    /// was written.
    ///
    /// # Errors
    /// [`Refusal`]: the message must then be recalled, and whoever wrote it told.
    pub fn release_still_allowed(&self, id: MsgId, now: u64) -> Result<(), Refusal> {
        let letter = self.letter(id).filter(|l| l.out).ok_or(Refusal::NoSuchMessage)?;
        let body = letter.body().ok_or(Refusal::NoSuchMessage)?;
        if letter.recalled {
            return Err(Refusal::IsOver);
        }
        if body.needs().is_empty() {
            // Her own word, and what the receiver says about itself: nothing of hers that needs leave to go.
            return Ok(());
        }
        self.guard_consents(&body, now)?;
        if self.state.is_end() {
            return Err(Refusal::CaseEnded);
        }
        if self.child {
            child::guard_act(body.act())?;
        }
        let accepted = matches!(
            self.state,
            State::Accepted | State::Prepared | State::InTransit | State::NoShow | State::Arrived | State::ArrivedUnmet
        );
        if letter.kind() == Some(Kind::VictimProfile) && !accepted {
            return Err(Refusal::NotAccepted);
        }
        Ok(())
    }

    /// Messages that wait here and may no longer leave: after a withdrawal, "she stays", or a changed answer.
    #[must_use]
    pub fn to_recall(&self, now: u64) -> Vec<MsgId> {
        let stopped =
            |l: &&Letter| l.out && l.fate() == Fate::Waiting && self.release_still_allowed(l.id, now).is_err();
        self.letters.iter().filter(stopped).map(|l| l.id).collect()
    }

    /// Whether a message of this case has not left yet.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.letters.iter().any(|l| l.out && l.fate() == Fate::Waiting)
    }

    /// Messages resting on a consent that have left already: she is told so, and the receiver must stop using them.
    #[must_use]
    pub fn already_left(&self, consent: ConsentId) -> Vec<MsgId> {
        let rests = |l: &Letter| l.body().is_some_and(|b| b.consents().any(|c| c.id == consent.as_bytes()));
        let gone = |l: &Letter| !matches!(l.fate(), Fate::Waiting | Fate::Recalled);
        self.letters.iter().filter(|l| l.out && rests(l) && gone(l)).map(|l| l.id).collect()
    }

    /// The parts of profiles a person here may see now: the newest of each class, while its consent stands.
    ///
    /// A withdrawal or the end of a consent takes effect the moment it is known, before anything is erased.
    #[must_use]
    pub fn visible_parts(&self, now: u64) -> Vec<VisiblePart> {
        let mut profiles: Vec<_> =
            self.letters.iter().filter(|l| l.kind() == Some(Kind::VictimProfile) && l.counts()).collect();
        profiles.sort_by_key(|l| std::cmp::Reverse(l.seq));
        let mut seen: Vec<DataClass> = Vec::new();
        let mut parts = Vec::new();
        for (letter, body) in profiles.iter().filter_map(|l| Some((l, l.body()?))) {
            for (purpose, class) in body.needs() {
                // An older part never takes the place of a newer one that may not be shown.
                let Some(class) = class.filter(|c| !seen.contains(c)) else { continue };
                seen.push(class);
                if !self.is_erased(letter.id, class)
                    && let Ok(consent) = self.consent_for(&body, purpose, Some(class), now)
                {
                    parts.push(VisiblePart { message: letter.id, class, consent });
                }
            }
        }
        parts
    }

    /// Whether a consent may be written into this case.
    pub(super) fn recordable(&self, consent: &Consent, now: u64) -> Result<(), Refusal> {
        let purpose = Purpose::parse(&consent.purpose).unwrap_or(Purpose::Interview);
        let subject = Subject { purpose, class: None, receiver: self.receiver() };
        consent::covers(Some(consent), &subject, now).map_err(|fault| Refusal::Consent(fault, subject))?;
        if self.ledger.find(&consent.id).is_some_and(|old| old != consent) {
            return Err(Refusal::Consent(ConsentFault::Changed, subject));
        }
        if self.child { child::guard_consent(consent) } else { Ok(()) }
    }

    /// Every consent a message needs is there, is known here, and covers it now.
    pub(super) fn guard_consents(&self, body: &CheckedBody, now: u64) -> Result<(), Refusal> {
        body.needs().into_iter().try_for_each(|(purpose, class)| self.consent_for(body, purpose, class, now).map(drop))
    }

    /// At least one part of a profile may be shown.
    pub(super) fn guard_any_part(&self, body: &CheckedBody, now: u64) -> Result<(), Refusal> {
        let mut last = Ok(());
        for (purpose, class) in body.needs() {
            last = self.consent_for(body, purpose, class, now).map(drop);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// The consent among those that travel in `body` that covers one need, or the most telling reason why none does.
    fn consent_for(
        &self,
        body: &CheckedBody,
        purpose: Purpose,
        class: Option<DataClass>,
        now: u64,
    ) -> Result<ConsentId, Refusal> {
        let subject = Subject { purpose, class, receiver: self.receiver() };
        let refuse = |fault| Err(Refusal::Consent(fault, subject));
        if self.ledger.core_withdrawn() {
            return refuse(ConsentFault::Withdrawn);
        }
        let mut reason = ConsentFault::Missing;
        for consent in body.consents() {
            match self.ledger.covers(Some(consent), &subject, now) {
                Ok(()) => return self.known(body, consent, subject),
                Err(fault) if telling(fault, body, consent) > telling(reason, body, consent) => reason = fault,
                Err(_) => {}
            }
        }
        refuse(reason)
    }

    /// A consent is one this case knows, word for word, and for a child one the guardian gave.
    fn known(&self, body: &CheckedBody, consent: &Consent, subject: Subject) -> Result<ConsentId, Refusal> {
        let refuse = |fault| Err(Refusal::Consent(fault, subject));
        match (self.direction, self.ledger.find(&consent.id)) {
            (_, Some(recorded)) if recorded != consent => return refuse(ConsentFault::Changed),
            (Direction::Sent, None) => return refuse(ConsentFault::NotRecorded),
            (_, Some(_)) | (Direction::Received, None) => {}
        }
        let child = match body.what() {
            Some(What::ReturnNotice(notice)) => self.child || child::is_child(notice),
            _ => self.child,
        };
        if child {
            child::guard_consent(consent)?;
        }
        ConsentId::try_from(consent.id.as_slice()).map_err(|_| Refusal::Consent(ConsentFault::Missing, subject))
    }
}

/// How much a fault tells: the nearest miss is the one to name. A consent that is there for another part of the same
/// message is no miss at all.
fn telling(fault: ConsentFault, body: &CheckedBody, consent: &Consent) -> u8 {
    let for_another = body.needs().iter().filter(|(purpose, _)| purpose.code() == consent.purpose).count() > 0;
    match fault {
        ConsentFault::Missing => 0,
        ConsentFault::OtherPurpose => u8::from(!for_another),
        ConsentFault::ClassNotCovered => 2,
        ConsentFault::OtherReceiver => 3,
        ConsentFault::NotSeparate => 4,
        ConsentFault::GivenInFuture => 5,
        ConsentFault::Expired => 6,
        ConsentFault::NotRecorded | ConsentFault::Changed => 7,
        ConsentFault::Withdrawn => 8,
    }
}

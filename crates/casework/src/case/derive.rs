//! Where a case stands, derived from the messages that count, and the questions the guards ask of them.
//!
//! Nothing here looks at the order of arrival: each side numbers its own messages, and a reply names what it answers.
//! Refuses to count silence as an answer; only a clock that was written down moves a case without a message.

use clearhouse_protocol::ids::MsgId;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{Answer, Arrival, Consent, Departure, ReturnNotice};

use super::act::left;
use super::{Case, Fate, Letter, State, child};
use crate::body::codes::{AnswerKind, ArrivalResult, Outcome, RiskLevel};
use crate::body::{CheckedBody, Kind};
use crate::consent::Purpose;
use crate::deadlines::Rule;
use crate::roles::{ActKind, Stakes};

impl Case {
    pub(super) fn derive(&self) -> State {
        if self.has_stayed() {
            return State::Stayed;
        }
        if self.ledger.core_withdrawn() {
            return State::Withdrawn;
        }
        let Some(notice) = self.notice() else { return State::Draft };
        if let Some(on_the_way) = self.journey_state() {
            return on_the_way;
        }
        match self.answer_to(notice.id).and_then(Letter::answer_kind) {
            Some(AnswerKind::Accepted) if self.profile_was_read() => State::Prepared,
            Some(AnswerKind::Accepted) => State::Accepted,
            Some(AnswerKind::AcceptedWithConditions) => State::AcceptedCond,
            Some(AnswerKind::InfoRequested) => State::InfoRequested,
            Some(AnswerKind::Declined) => State::Declined,
            None if self.has_fired(&[Rule::NoticeExpires], notice.id) => State::Expired,
            None if self.acknowledgement_of(notice.id).is_some() => State::Acknowledged,
            None if !notice.out || notice.received.is_some() => State::Delivered,
            None => State::Notified,
        }
    }

    pub(super) fn journey_state(&self) -> Option<State> {
        let departure = self.journey()?;
        if !left(departure) {
            return None;
        }
        let arrival = self.arrival_of(departure.id);
        Some(match arrival.and_then(|l| l.arrival(|a| ArrivalResult::parse(&a.result))?) {
            Some(ArrivalResult::ArrivedMet) => State::Arrived,
            Some(ArrivalResult::ArrivedNotMet) => State::ArrivedUnmet,
            Some(ArrivalResult::NotArrived | ArrivalResult::Diverted | ArrivalResult::ReturnedByBorder) => {
                State::NoShow
            }
            Some(ArrivalResult::ChoseNotToTravel) => State::Stayed,
            None if self.has_fired(&[Rule::ArrivalConfirm, Rule::ArrivalConfirmChild], departure.id) => State::NoShow,
            None => State::InTransit,
        })
    }

    /// True when somebody wrote down that she stays, at either end. A refused or recalled word of hers still counts.
    pub(super) fn has_stayed(&self) -> bool {
        let said = |l: &Letter| l.act() == Some(ActKind::Stay);
        self.stayed_here.is_some() || self.letters.iter().any(said)
    }

    pub(super) fn profile_was_read(&self) -> bool {
        self.letters
            .iter()
            .any(|l| l.kind() == Some(Kind::VictimProfile) && l.fate() == Fate::Opened && self.is_usable(l))
    }

    pub(super) fn has_fired(&self, rules: &[Rule], about: MsgId) -> bool {
        self.fired.iter().any(|f| rules.contains(&f.rule) && f.about == Some(about))
    }

    /// The latest message of a kind that counts, by the sender's own numbering.
    pub(super) fn latest(&self, kind: Kind, which: impl Fn(&Letter) -> bool) -> Option<&Letter> {
        self.letters.iter().filter(|l| l.kind() == Some(kind) && l.counts() && which(l)).max_by_key(|l| l.seq)
    }

    pub(super) fn earliest(&self, kind: Kind, which: impl Fn(&Letter) -> bool) -> Option<&Letter> {
        self.letters.iter().filter(|l| l.kind() == Some(kind) && l.counts() && which(l)).min_by_key(|l| l.seq)
    }

    pub(super) fn answer_to(&self, notice: MsgId) -> Option<&Letter> {
        self.latest(Kind::Answer, |l| l.replies_to(notice))
    }

    pub(super) fn acknowledgement_of(&self, notice: MsgId) -> Option<&Letter> {
        self.earliest(Kind::Acknowledgement, |l| l.replies_to(notice))
    }

    /// The last word on her leaving; "she stays" apart.
    pub(super) fn journey(&self) -> Option<&Letter> {
        self.latest(Kind::Departure, |l| l.departure(|d| d.outcome != Outcome::ChoseNotToTravel.code()) == Some(true))
    }

    pub(super) fn arrival_of(&self, departure: MsgId) -> Option<&Letter> {
        self.latest(Kind::Arrival, |l| l.replies_to(departure))
    }

    pub(super) fn has_asked(&self) -> bool {
        self.latest(Kind::Answer, |l| l.answer_kind() == Some(AnswerKind::InfoRequested)).is_some()
    }

    /// True when the receiver ever answered "accepted" to the notice in force.
    pub(super) fn was_accepted(&self) -> bool {
        let Some(notice) = self.notice() else { return false };
        let yes = |l: &Letter| l.replies_to(notice.id) && l.answer_kind() == Some(AnswerKind::Accepted);
        self.latest(Kind::Answer, yes).is_some()
    }

    /// What about this case, or the notice about to be sent, changes who may act.
    pub(super) fn stakes(&self, sending: Option<&CheckedBody>) -> Stakes {
        let of = |n: &ReturnNotice| Stakes {
            child: self.child || child::is_child(n),
            high_risk: n.risk_level == RiskLevel::High.code(),
        };
        let fresh = sending.and_then(|b| match b.what() {
            Some(What::ReturnNotice(n)) => Some(of(n)),
            _ => None,
        });
        let said = fresh.or_else(|| self.notice()?.notice(of));
        said.unwrap_or(Stakes { child: self.child, high_risk: false })
    }

    /// True when at least one part of a profile still rests on a consent nobody withdrew.
    pub(super) fn is_usable(&self, letter: &Letter) -> bool {
        let Some(body) = letter.body() else { return false };
        body.needs().into_iter().any(|(purpose, class)| {
            let named = |c: &&Consent| {
                Purpose::parse(&c.purpose) == Some(purpose)
                    && class.is_none_or(|class| c.data_classes.iter().any(|d| d == class.code()))
            };
            body.consents().filter(named).any(|c| !self.ledger.is_withdrawn(c, class))
        })
    }
}

/// Reads one payload out of a body; the closure takes of it what is asked for, and the rest is overwritten.
macro_rules! payload {
    ($($name:ident: $variant:ident -> $type:ty;)+) => {
        impl Letter {
            $(pub(super) fn $name<T>(&self, read: impl FnOnce(&$type) -> T) -> Option<T> {
                if self.kind() != Some(Kind::$variant) {
                    return None;
                }
                match self.body()?.what()? {
                    What::$variant(payload) => Some(read(payload)),
                    _ => None,
                }
            })+
        }
    };
}

payload! {
    notice: ReturnNotice -> ReturnNotice;
    answer: Answer -> Answer;
    departure: Departure -> Departure;
    arrival: Arrival -> Arrival;
}

impl Letter {
    pub(super) fn answer_kind(&self) -> Option<AnswerKind> {
        self.answer(|a| AnswerKind::parse(&a.answer))?
    }
}

//! What both ends show of a case: five separate lights, each with its signer, and in words what is still waited for.
//! Stored is not received, received is not read, read is not accepted, accepted is not met. Refuses to let one light
//! another: a light without its own signature stays "not yet".

use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1::RefusalCode;

use super::act::left;
use super::{Case, Direction, Fate, Letter, Light, State};
use crate::body::Kind;
use crate::body::codes::{AnswerKind, ArrivalResult};
use crate::consent::{DataClass, Purpose};
use crate::deadlines::{Deadlines, Rule};

/// What a light shows while it is dark.
pub const NOT_YET: &str = "not yet";
/// What stands beside an acceptance while the joint risk and needs annex (M05) is not there.
pub const RISK_ANNEX_MISSING: &str = "risk annex missing";

/// What a case waits for, or what is odd about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Waiting {
    /// Nothing has been sent.
    NothingSent,
    /// The notice was refused by the other node.
    NoticeRefused(CodeWord),
    /// The other node cannot read this version of the notice yet.
    NoticeNotReadable,
    /// The notice never arrived: undeliverable or run out.
    NoticeNotDelivered,
    /// A message of ours has not left this office.
    NotLeftHere,
    /// A mailbox holds it, nobody has opened it.
    StoredUnopened,
    /// A mailbox holds it and its node is locked.
    StoredLocked,
    /// The node has it, no person has acknowledged it.
    NotRead,
    /// Read, no answer.
    NotAnswered,
    /// They asked for more; a new notice is due.
    InfoDue,
    /// They answered an earlier notice; the one in force waits.
    AnswerToEarlierNotice,
    /// Conditions are open.
    ConditionsOpen,
    /// Declined or unanswered: another receiver is needed.
    AnotherReceiverNeeded,
    /// Accepted, and the risk annex is not there.
    RiskAnnexMissing,
    /// Accepted, and no profile has been sent.
    ProfileNotSent,
    /// The profile has not been opened by the worker it names.
    ProfileNotRead,
    /// She has not left.
    NotLeft,
    /// She is on her way, and nobody has met her yet.
    NotMet,
    /// She is on her way, and the receiver has declined since.
    DeclinedOnTheWay,
    /// She came and nobody was there.
    CameUnmet,
    /// She did not come.
    DidNotCome,
    /// Messages of theirs are missing.
    Gap,
    /// A message of theirs waits sealed for a newer version.
    CannotReadYet,
    /// A message of theirs was refused here.
    RefusedTheirs,
    /// A withdrawal has not been read by a person at the other end.
    WithdrawalNotRead,
    /// A record of this case is damaged.
    Damaged,
}

/// A refusal's coarse word, ordered so that it can stand in a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CodeWord(i32);

impl CodeWord {
    /// The code as the other node signed it.
    #[must_use]
    pub fn code(self) -> RefusalCode {
        RefusalCode::try_from(self.0).unwrap_or(RefusalCode::Unspecified)
    }
}

impl Waiting {
    /// In words, for a page or a terminal. Holds no value of the case.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NothingSent => "nothing has been sent",
            Self::NoticeRefused(_) => "their node refused the notice",
            Self::NoticeNotReadable => "their software cannot read the notice yet",
            Self::NoticeNotDelivered => "the notice could not be delivered",
            Self::NotLeftHere => "a message has not left this office",
            Self::StoredUnopened => "stored for them, not opened yet",
            Self::StoredLocked => "stored, their node is locked",
            Self::NotRead => "nobody has said that they read it",
            Self::NotAnswered => "not answered yet",
            Self::InfoDue => "more information is asked for",
            Self::AnswerToEarlierNotice => "the answer was to an earlier notice",
            Self::ConditionsOpen => "conditions are not settled",
            Self::AnotherReceiverNeeded => "another receiver is needed",
            Self::RiskAnnexMissing => RISK_ANNEX_MISSING,
            Self::ProfileNotSent => "no profile has been sent",
            Self::ProfileNotRead => "the named worker has not opened the profile",
            Self::NotLeft => "she has not left",
            Self::NotMet => "on her way, nobody has met her yet",
            Self::DeclinedOnTheWay => "on her way, but the receiver has declined: phone them now",
            Self::CameUnmet => "she came and nobody was there",
            Self::DidNotCome => "she has not arrived",
            Self::Gap => "earlier messages of theirs are missing",
            Self::CannotReadYet => "a message of theirs cannot be read yet",
            Self::RefusedTheirs => "a message of theirs was refused here",
            Self::WithdrawalNotRead => "the withdrawal has not been read there yet",
            Self::Damaged => "a record of this case is damaged",
        }
    }
}

/// A case as both ends show it.
pub struct View {
    /// Where it stands.
    pub state: State,
    /// A mailbox holds the notice.
    pub stored: Option<Light>,
    /// The receiver's node has opened and verified the notice.
    pub received: Option<Light>,
    /// A named person has read the notice.
    pub read: Option<Light>,
    /// A named person has accepted without open conditions.
    pub accepted: Option<Light>,
    /// A named person has met her.
    pub met: Option<Light>,
    /// The receiver's node holds something and is locked.
    pub their_node_locked: bool,
    /// Accepted, and the joint risk annex is not there. Always so in this version: M05 is not supported yet.
    pub risk_annex_missing: bool,
    /// She left with less than the agreed time between profile and departure, or without a profile.
    pub unprepared: bool,
    /// The notice came later before the journey than agreed, an emergency for instance. Shown and counted, not refused.
    pub short_notice: bool,
    /// Positions of their messages that are missing, from and to.
    pub gaps: Vec<(u64, u64)>,
    /// What was withdrawn: purpose and classes; no classes means all of that purpose.
    pub withdrawn: Vec<(Purpose, Vec<DataClass>)>,
    /// What is waited for: the next step first, then what has not arrived, then what is odd.
    pub waiting: Vec<Waiting>,
}

impl Case {
    /// The lights and what is waited for. `deadlines` judges only whether notice and profile came early enough.
    #[must_use]
    pub fn facts_view(&self, deadlines: &Deadlines) -> View {
        let notice = self.notice().or_else(|| self.last_tried());
        let accepted = self.standing_acceptance();
        View {
            state: self.state,
            stored: notice.and_then(|n| n.stored.clone()),
            received: notice.and_then(|n| n.received.clone()),
            read: notice.and_then(|n| self.read_light(n)),
            accepted: accepted.map(Letter::signature),
            met: self.met_light(),
            their_node_locked: self.letters.iter().any(|l| l.out && l.fate() == Fate::Stored { locked: true }),
            risk_annex_missing: accepted.is_some(),
            unprepared: self.is_unprepared(deadlines),
            short_notice: self.is_short_notice(deadlines),
            gaps: self.gaps.clone(),
            withdrawn: self.withdrawn(),
            waiting: self.waiting(),
        }
    }

    /// The notice that was tried last, where none counts: its lights still say what happened to it.
    fn last_tried(&self) -> Option<&Letter> {
        self.letters.iter().filter(|l| l.kind() == Some(Kind::ReturnNotice)).max_by_key(|l| l.seq)
    }

    fn standing_acceptance(&self) -> Option<&Letter> {
        self.answer_to(self.notice()?.id).filter(|l| l.answer_kind() == Some(AnswerKind::Accepted))
    }

    /// The first person who read it: who opened it there, or who signed that it was read.
    fn read_light(&self, notice: &Letter) -> Option<Light> {
        let acknowledged = self.acknowledgement_of(notice.id).map(Letter::signature);
        let opened = notice.read.clone().filter(|light| !light.label.is_empty());
        [opened, acknowledged].into_iter().flatten().min_by_key(|light| light.at)
    }

    /// Once met stays met, whatever was written later.
    fn met_light(&self) -> Option<Light> {
        let met = |l: &Letter| l.arrival(|a| a.result == ArrivalResult::ArrivedMet.code()) == Some(true);
        self.earliest(Kind::Arrival, met).map(Letter::signature)
    }

    fn is_unprepared(&self, deadlines: &Deadlines) -> bool {
        let Some(journey) = self.journey().filter(|l| left(l)) else { return false };
        let Some(profile) = self.earliest(Kind::VictimProfile, |_| true) else { return true };
        let departed = journey.departure(|d| d.at).unwrap_or(0);
        departed < deadlines.shared(Rule::ProfileLead, profile.at).at
    }

    fn is_short_notice(&self, deadlines: &Deadlines) -> bool {
        let rule = if self.child { Rule::NoticeLeadChild } else { Rule::NoticeLead };
        let Some(letter) = self.earliest(Kind::ReturnNotice, |_| true) else { return false };
        let first_day = letter.notice(|n| u64::from(n.window_from_day)).unwrap_or(0);
        first_day < deadlines.shared(rule, letter.at).at / DAY
    }

    fn withdrawn(&self) -> Vec<(Purpose, Vec<DataClass>)> {
        let read = |w: &clearhouse_wire::v1::Withdrawal| {
            let classes = w.data_classes.iter().filter_map(|c| DataClass::from_code(c)).collect();
            Some((Purpose::parse(&w.purpose)?, classes))
        };
        self.ledger.withdrawals().iter().filter_map(read).collect()
    }

    fn waiting(&self) -> Vec<Waiting> {
        let mut list = self.waiting_by_state();
        self.waiting_by_delivery(&mut list);
        list.extend((!self.gaps.is_empty()).then_some(Waiting::Gap));
        list.extend(self.not_taken.values().any(|n| n.code.is_none()).then_some(Waiting::CannotReadYet));
        list.extend(self.not_taken.values().any(|n| n.code.is_some()).then_some(Waiting::RefusedTheirs));
        list.extend((self.unreadable > 0).then_some(Waiting::Damaged));
        list
    }

    fn waiting_by_state(&self) -> Vec<Waiting> {
        match self.state {
            State::Draft => vec![self.why_draft()],
            State::Notified => Vec::new(),
            State::Delivered | State::Acknowledged if self.answers_an_earlier_one() => {
                vec![Waiting::AnswerToEarlierNotice]
            }
            State::Delivered => vec![Waiting::NotRead],
            State::Acknowledged => vec![Waiting::NotAnswered],
            State::InfoRequested => vec![Waiting::InfoDue],
            State::Declined | State::Expired => vec![Waiting::AnotherReceiverNeeded],
            State::AcceptedCond => vec![Waiting::ConditionsOpen, Waiting::RiskAnnexMissing],
            State::Accepted | State::Prepared => self.why_not_left(),
            State::InTransit => {
                let declined = self.standing_acceptance().is_none();
                vec![if declined { Waiting::DeclinedOnTheWay } else { Waiting::NotMet }]
            }
            State::ArrivedUnmet => vec![Waiting::CameUnmet],
            State::NoShow => vec![Waiting::DidNotCome],
            State::Arrived | State::Withdrawn | State::Stayed => Vec::new(),
        }
    }

    fn why_draft(&self) -> Waiting {
        match self.last_tried().map(Letter::fate) {
            Some(Fate::Refused(code)) => Waiting::NoticeRefused(CodeWord(code.into())),
            Some(Fate::CannotRead) => Waiting::NoticeNotReadable,
            Some(Fate::Failed | Fate::Expired) => Waiting::NoticeNotDelivered,
            Some(Fate::Recalled | Fate::Waiting | Fate::Stored { .. } | Fate::Received | Fate::Opened) | None => {
                Waiting::NothingSent
            }
        }
    }

    fn answers_an_earlier_one(&self) -> bool {
        let Some(notice) = self.notice() else { return false };
        let last = self.latest(Kind::Answer, |_| true);
        last.is_some_and(|l| !l.replies_to(notice.id) && l.answer_kind() != Some(AnswerKind::InfoRequested))
    }

    fn why_not_left(&self) -> Vec<Waiting> {
        let mut list = vec![Waiting::RiskAnnexMissing];
        let profile = self.latest(Kind::VictimProfile, |_| true);
        if self.state == State::Accepted {
            list.push(if profile.is_some() { Waiting::ProfileNotRead } else { Waiting::ProfileNotSent });
        }
        list.push(Waiting::NotLeft);
        list
    }

    fn waiting_by_delivery(&self, list: &mut Vec<Waiting>) {
        let ours = || self.letters.iter().filter(|l| l.out);
        list.extend(ours().any(|l| l.fate() == Fate::Waiting).then_some(Waiting::NotLeftHere));
        list.extend(ours().any(|l| l.fate() == Fate::Stored { locked: false }).then_some(Waiting::StoredUnopened));
        list.extend(ours().any(|l| l.fate() == Fate::Stored { locked: true }).then_some(Waiting::StoredLocked));
        // Also one that could not be delivered: her word is not there yet.
        let unread = |l: &Letter| l.kind() == Some(Kind::Withdrawal) && l.read.is_none();
        list.extend(self.letters.iter().any(unread).then_some(Waiting::WithdrawalNotRead));
    }

    /// Since when something has been waiting to leave or to be received, unix seconds: "receiver unreachable since".
    /// The other side's clocks go on, and both ends can see that a line was down.
    #[must_use]
    pub fn unreachable_since(&self) -> Option<u64> {
        let pending = |l: &&Letter| l.out && matches!(l.fate(), Fate::Waiting | Fate::Stored { .. });
        self.letters.iter().filter(pending).map(|l| l.at).min()
    }

    /// The day she is expected, unix days, while she is on her way.
    #[must_use]
    pub fn expected_day(&self) -> Option<u64> {
        let under_way = matches!(self.state, State::InTransit | State::NoShow);
        self.journey().filter(|_| under_way)?.departure(|d| d.planned_arrival / DAY)
    }

    /// True at the end that receives.
    #[must_use]
    pub fn is_receiver(&self) -> bool {
        self.direction == Direction::Received
    }
}

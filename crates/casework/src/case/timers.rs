//! The clocks of a case, the same at both ends, and what became of each: running, overdue, met, met late. Derived from
//! signed times and signed due times alone. A clock is never removed; late stays late after the answer came.

use clearhouse_protocol::ids::MsgId;
use clearhouse_wire::v1::Due;
use clearhouse_wire::v1::case_body::What;

use super::fact::{Fact, TimerFired};
use super::{Case, Direction, Letter};
use crate::body::codes::{AnswerKind, ArrivalResult, RiskLevel};
use crate::body::{CheckedBody, Kind};
use crate::consent::Status;
use crate::deadlines::{Alert, Deadlines, Rule};

/// What became of a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerState {
    /// Not due yet.
    Running,
    /// Due and unanswered: both ends show it.
    Overdue,
    /// Answered in time.
    Met,
    /// Answered after it was due.
    MetLate,
    /// The case ended before it was answered.
    Stopped,
}

/// One clock of a case.
#[derive(Clone, PartialEq)]
pub struct Timer {
    /// Which clock.
    pub rule: Rule,
    /// When it ends, as the side that started it computed it.
    pub due: Due,
    /// What became of it at the time asked for.
    pub state: TimerState,
    /// The message that started it; none for a clock of the case itself.
    pub about: Option<MsgId>,
}

impl Timer {
    /// Who hears of it.
    #[must_use]
    pub fn alert(&self) -> Alert {
        self.rule.line().alert
    }
}

/// A clock before it is judged: when due, and when answered if it was.
struct Clock {
    rule: Rule,
    due: Due,
    about: Option<MsgId>,
    answered: Option<u64>,
}

impl Case {
    /// Every clock of the case as it stands at `now` (unix seconds), in the order they started.
    #[must_use]
    pub fn timers(&self, deadlines: &Deadlines, now: u64) -> Vec<Timer> {
        let mut clocks = Vec::new();
        self.draft_clock(deadlines, &mut clocks);
        for letter in &self.letters {
            self.delivery_clock(letter, deadlines, &mut clocks);
            if letter.counts() {
                self.letter_clocks(letter, deadlines, &mut clocks);
            }
        }
        self.consent_clocks(deadlines, now, &mut clocks);
        let ended = self.state.is_end();
        clocks.into_iter().map(|clock| clock.judge(ended, now)).collect()
    }

    /// True when any clock is overdue: the word a list of cases shows.
    #[must_use]
    pub fn is_overdue(&self, deadlines: &Deadlines, now: u64) -> bool {
        self.timers(deadlines, now).iter().any(|t| t.state == TimerState::Overdue)
    }

    /// When the next running clock ends, unix seconds.
    #[must_use]
    pub fn next_due(&self, deadlines: &Deadlines, now: u64) -> Option<u64> {
        self.timers(deadlines, now).iter().filter(|t| t.state == TimerState::Running).map(|t| t.due.at).min()
    }

    /// When time alone next changes what its clocks say: one ends, or a consent under one. Unix seconds.
    #[must_use]
    pub fn next_change(&self, deadlines: &Deadlines, now: u64) -> Option<u64> {
        let consents = self.ledger.consents().map(|consent| consent.expires_at).filter(|at| *at > now);
        self.next_due(deadlines, now).into_iter().chain(consents).min()
    }

    /// The facts to commit for clocks that have run out and are not written down yet. Each fires once, for ever.
    #[must_use]
    pub fn fires(&self, deadlines: &Deadlines, now: u64) -> Vec<Fact> {
        let fresh = |t: &Timer| {
            t.state == TimerState::Overdue && !self.fired.iter().any(|f| f.rule == t.rule && f.about == t.about)
        };
        let fact = |t: Timer| {
            let msg_id = t.about.map(MsgId::to_vec).unwrap_or_default();
            Fact::TimerFired(TimerFired { rule: t.rule.id().to_owned(), due: t.due.at, at: now, msg_id })
        };
        self.timers(deadlines, now).into_iter().filter(fresh).map(fact).collect()
    }

    fn draft_clock(&self, deadlines: &Deadlines, clocks: &mut Vec<Clock>) {
        if self.direction == Direction::Received {
            return;
        }
        let answered = self.earliest(Kind::ReturnNotice, |_| true).map(|l| l.at);
        let due = deadlines.shared(Rule::DraftPurge, self.opened_at);
        clocks.push(Clock { rule: Rule::DraftPurge, due, about: None, answered });
    }

    /// From signing to the other node's receipt. Each end watches its own messages: only it can see them wait.
    fn delivery_clock(&self, letter: &Letter, deadlines: &Deadlines, clocks: &mut Vec<Clock>) {
        if !letter.out || letter.recalled {
            return;
        }
        let answered = letter.received.as_ref().map(|l| l.at).or(letter.refused.map(|_| letter.at));
        let due = deadlines.shared(Rule::NodeReceipt, letter.at);
        clocks.push(Clock { rule: Rule::NodeReceipt, due, about: Some(letter.id), answered });
    }

    fn letter_clocks(&self, letter: &Letter, deadlines: &Deadlines, clocks: &mut Vec<Clock>) {
        let mut shared = |rule, answered| {
            let due = deadlines.shared(rule, letter.at);
            clocks.push(Clock { rule, due, about: Some(letter.id), answered });
        };
        let body = letter.body();
        match body.as_ref().and_then(CheckedBody::what) {
            Some(What::ReturnNotice(notice)) => {
                let read = self.acknowledgement_of(letter.id).map(|l| l.at);
                let answer = self.earliest(Kind::Answer, |l| l.replies_to(letter.id)).map(|l| l.at);
                shared(Rule::UnansweredReroute, read);
                shared(Rule::NoticeExpires, answer);
                signed(&notice.acknowledge_by, letter.id, read, clocks);
                signed(&notice.answer_by, letter.id, answer, clocks);
            }
            Some(What::Answer(_)) => match letter.answer_kind() {
                Some(AnswerKind::InfoRequested) => shared(Rule::InfoReply, self.info_came(letter)),
                Some(AnswerKind::AcceptedWithConditions) => shared(Rule::ConditionsSettle, self.settled(letter)),
                Some(AnswerKind::Declined) => shared(self.reroute_rule(), None),
                Some(AnswerKind::Accepted) | None => {}
            },
            Some(What::Departure(departure)) => {
                let answered = self.earliest(Kind::Arrival, |l| l.replies_to(letter.id)).map(|l| l.at);
                let answered = answered.or_else(|| self.later_departure(letter));
                signed(&departure.arrival_due, letter.id, answered, clocks);
            }
            Some(What::Arrival(arrival)) if arrival.result == ArrivalResult::ArrivedNotMet.code() => {
                shared(Rule::UnmetContact, self.later_arrival(letter));
            }
            Some(What::Withdrawal(_)) => shared(Rule::WithdrawalRead, letter.read.as_ref().map(|l| l.at)),
            Some(What::Acknowledgement(_) | What::VictimProfile(_) | What::Arrival(_)) | None => {}
        }
    }

    /// A consent in force asks to be renewed some time before its end. Watched where consents are recorded.
    fn consent_clocks(&self, deadlines: &Deadlines, now: u64, clocks: &mut Vec<Clock>) {
        if self.direction == Direction::Received {
            return;
        }
        let lead = deadlines.shared(Rule::ConsentRenewal, 0).at;
        for consent in self.ledger.consents() {
            if self.ledger.status(consent, now) != Status::Active {
                continue;
            }
            let at = consent.expires_at.saturating_sub(lead).max(consent.given_at);
            let due = Due { at, ..deadlines.shared(Rule::ConsentRenewal, 0) };
            let about = MsgId::try_from(consent.id.as_slice()).ok();
            clocks.push(Clock { rule: Rule::ConsentRenewal, due, about, answered: None });
        }
    }

    fn info_came(&self, question: &Letter) -> Option<u64> {
        let notice = question.in_reply_to()?;
        let newer = |l: &Letter| l.notice(|n| n.supersedes == notice.as_bytes()) == Some(true);
        let newer = self.earliest(Kind::ReturnNotice, newer).map(|l| l.at);
        newer.or_else(|| self.later_answer(question, notice))
    }

    fn settled(&self, conditions: &Letter) -> Option<u64> {
        let notice = conditions.in_reply_to()?;
        self.later_answer(conditions, notice)
    }

    fn later_answer(&self, than: &Letter, notice: MsgId) -> Option<u64> {
        self.earliest(Kind::Answer, |l| l.seq > than.seq && l.replies_to(notice)).map(|l| l.at)
    }

    fn later_departure(&self, than: &Letter) -> Option<u64> {
        self.earliest(Kind::Departure, |l| l.seq > than.seq).map(|l| l.at)
    }

    fn later_arrival(&self, than: &Letter) -> Option<u64> {
        self.earliest(Kind::Arrival, |l| l.seq > than.seq).map(|l| l.at)
    }

    fn reroute_rule(&self) -> Rule {
        let high = self.notice().and_then(|l| l.notice(|n| n.risk_level == RiskLevel::High.code())) == Some(true);
        if high { Rule::DeclineRerouteHigh } else { Rule::DeclineReroute }
    }
}

/// A clock whose end its starter signed. A journey that was not begun has none.
fn signed(due: &Option<Due>, about: MsgId, answered: Option<u64>, clocks: &mut Vec<Clock>) {
    let Some(due) = due else { return };
    if let Some(rule) = Rule::parse(&due.rule) {
        clocks.push(Clock { rule, due: due.clone(), about: Some(about), answered });
    }
}

impl Clock {
    fn judge(self, ended: bool, now: u64) -> Timer {
        let state = match self.answered {
            Some(at) if at <= self.due.at => TimerState::Met,
            Some(_) => TimerState::MetLate,
            // She ended it; nothing is owed any more, but that the word arrives still is.
            None if ended && !matches!(self.rule, Rule::WithdrawalRead | Rule::NodeReceipt) => TimerState::Stopped,
            None if now > self.due.at => TimerState::Overdue,
            None => TimerState::Running,
        };
        Timer { rule: self.rule, due: self.due, state, about: self.about }
    }
}

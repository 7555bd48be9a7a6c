//! What time does to an office: messages expire, clocks run out, memory of old mail ends. Asked for on every tick.
//!
//! While cases are locked their due times are still known, without content, so that lateness shows all the same
//! (decision 21); the fact is written into the case at the next tick after an unlock.

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{CaseId, MsgId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_protocol::mail::Delivery;
use clearhouse_protocol::rows::{Row, Table, Under};
use rand_core::CryptoRng;

use super::cases::{FactWriter, Looked};
use super::{Now, Office, Step};
use crate::case::Case;
use crate::case::fact::{Fact, Recalled, TimerFired};
use crate::deadlines::Rule;

/// How long a case in which nothing happens goes without a look, seconds: what is not foreseen is seen then.
const LOOK_EVERY_SECS: u64 = HOUR;

/// The next due time of each case, kept without content.
#[derive(Clone, Default)]
pub struct DueTimes(BTreeMap<CaseId, u64>);

impl DueTimes {
    pub(super) fn apply(&mut self, row: &Row) {
        let Ok(case) = CaseId::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().and_then(|v| v.try_into().ok()).map(u64::from_be_bytes) {
            Some(due) => drop(self.0.insert(case, due)),
            None => drop(self.0.remove(&case)),
        }
    }

    /// How many cases have something overdue at `now`.
    #[must_use]
    pub fn overdue(&self, now: u64) -> usize {
        self.0.values().filter(|due| **due <= now).count()
    }
}

impl Office {
    /// Decides on what time has done. Repeating it at the same time asks for nothing.
    ///
    /// `sure` is the time that more than this node's clock vouches for, never later than `now`: by it things expire and are
    /// forgotten. What only reminds goes by `now`.
    pub fn tick<R: CryptoRng>(&self, sure: u64, now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        let sure = sure.min(now.time);
        for msg_id in self.mail.expired(sure) {
            step.rows.extend(self.mail.end(msg_id, Delivery::Expired, now.time));
            self.record(&mut step, &self.about_outgoing(AuditEvent::ExpiredUnsent, msg_id), now);
        }
        step.rows.extend(self.mail.forget(sure));
        step.rows.extend(self.forget_alarms(sure));
        self.forget_histories(&mut step, sure, now);
        self.end_relayed(&mut step, sure, now);
        self.open_aside(&mut step, now.time);
        if let Some(cases) = &self.cases {
            let mut looked = Looked::new(now.time);
            for case in cases.to_look_at(now.time).filter(|case| !self.is_hidden(case.id())) {
                looked.again.push((case.id(), self.watch_case(case, &mut step, now)));
            }
            step.looked = Some(looked);
        }
        step
    }

    /// Has the next tick look at every case, whatever it expects of them.
    pub fn look_at_all(&mut self) {
        if let Some(cases) = &mut self.cases {
            cases.look_at_all();
        }
    }

    /// Due times of cases, locked or not.
    #[must_use]
    pub fn due_times(&self) -> &DueTimes {
        &self.due_times
    }

    /// What the log says when a clock of a case ran out: that a message was not taken or read, or not answered; of the
    /// office's own clocks, that it was reminded.
    fn lapse(&self, case: &Case, fired: &TimerFired) -> Happening {
        let about = MsgId::try_from(fired.msg_id.as_slice()).ok();
        let event = match (Rule::parse(&fired.rule), about) {
            (Some(Rule::DraftPurge | Rule::ConsentRenewal), _) | (_, None) => AuditEvent::LocalAct,
            (Some(rule), Some(_)) if rule.awaits_reading() => AuditEvent::Unread,
            (Some(_) | None, Some(_)) => AuditEvent::Unanswered,
        };
        let happening = Happening { due_day: fired.due / DAY, ..Happening::of(event) };
        let message = about.filter(|_| event != AuditEvent::LocalAct).and_then(|id| case.letter(id));
        message.and_then(|letter| self.name_letter(case, letter, happening)).unwrap_or(happening)
    }

    /// Decides on one case; when it is to be looked at again.
    fn watch_case<R: CryptoRng>(&self, case: &Case, step: &mut Step, now: &mut Now<'_, R>) -> u64 {
        let mut facts = FactWriter::new(case.id(), self.cases.as_ref().map_or(0, |c| c.next_fact(case.id())));
        for fact in case.fires(&self.deadlines, now.time) {
            step.rows.push(facts.row(&fact));
            if let Fact::TimerFired(fired) = &fact {
                let happening = self.lapse(case, fired);
                if happening.digest.is_some() {
                    let event = self.record(step, &happening, now).index;
                    step.rows.push(self.urgent_row(event, now.time));
                } else {
                    self.log(&happening, &mut facts, step, now);
                }
            }
        }
        // What may no longer leave is taken back, if it certainly has not left.
        for msg_id in case.to_recall(now.time).into_iter().filter(|id| self.mail.can_recall(*id)) {
            step.rows.extend(self.mail.end(msg_id, Delivery::Recalled, now.time));
            let recalled = Recalled { msg_id: msg_id.to_vec(), at: now.time, by: None };
            step.rows.push(facts.row(&Fact::Recalled(recalled)));
            self.record(step, &self.about_outgoing(AuditEvent::Recalled, msg_id), now);
        }
        let overdue = case.is_overdue(&self.deadlines, now.time).then_some(now.time);
        let due = overdue.or_else(|| case.next_due(&self.deadlines, now.time));
        let held = self.due_times.0.get(&case.id()).copied();
        // An overdue case keeps the time at which it was first seen overdue, so a tick does not write for ever.
        let unchanged = held == due || (overdue.is_some() && held.is_some_and(|h| h <= now.time));
        if !unchanged {
            step.rows.push(Row {
                table: Table::Timer,
                key: case.id().to_vec(),
                value: due.map(|d| d.to_be_bytes().to_vec()),
                under: Under::Service,
                must_be_new: false,
            });
        }
        // What still waits to leave is taken back the moment it may not any more.
        let soon = if case.has_waiting() { now.time } else { now.time.saturating_add(LOOK_EVERY_SECS) };
        let next = case.next_change(&self.deadlines, now.time);
        next.map_or(soon, |next| next.min(soon))
    }
}

#[cfg(test)]
mod tests;

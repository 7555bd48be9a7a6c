//! Erasing a case, or parts of its profile: decided by a person, final once a coordinator has its entries, and done to
//! the end whatever is cut short (protocol section 7.10, decision 20).
//!
//! 1. The *decision* is a row and an event. From then on the case is only shown as being erased.
//! 2. When a coordinator's node has taken every entry of the case, the decision's included, it becomes a *plan*: one
//!    commit with the CASE_ERASED events and a list of everything that has to go. From here there is no way back.
//! 3. The plan is carried out, part by part; each part can be repeated.
//! 4. A mark says that the wrapping keys still have to turn; only then is it gone from a disk that keeps old blocks.
//!
//! Here are the decision and what guards it; `trail` finds what is of a case, `plan` makes it final and carries it out.
//! Refuses to erase what nobody read, what is on its way, and, unless somebody says so, what is still waited for. A
//! message that comes before 2 calls it off: it was written to people, and they have to see it.

mod again;
mod plan;
mod trail;

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{CaseId, OrgId};
use clearhouse_protocol::rows::{Row, Table, Under};
use prost::Message as _;
use rand_core::CryptoRng;

use super::desk::Stop;
use super::{Now, Office, Step};
use crate::case::Case;
use crate::case::erase::ErasureRule;
use crate::consent::DataClass;
use crate::refusal::Refusal;
use crate::roles::Actor;

use again::Retractions;
pub use again::{AfterCopy, Elsewhere, Letters};
pub use plan::Part;
use plan::Plan;
pub use trail::{Places, Trail};

const INTENT: u8 = b'I';
const PLAN: u8 = b'P';
const TURN: u8 = b'T';
const RETRACT: u8 = b'R';
const AFTER: u8 = b'A';
const ELSEWHERE: u8 = b'E';

/// What a person asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// By which rule.
    pub rule: ErasureRule,
    /// These parts of the profile alone; none means the whole case.
    pub classes: Vec<DataClass>,
    /// Also while an answer or an arrival is still waited for. Coordinators will see that.
    pub although_open: bool,
}

/// A decision to erase, as it is kept. Field numbers are on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Decision {
    /// The role of who decided it. Who it was says the log of sign-ins.
    #[prost(string, tag = "1")]
    pub role: String,
    /// By which rule, see [`ErasureRule`].
    #[prost(string, tag = "2")]
    pub rule: String,
    /// Codes of the classes; none means the whole case.
    #[prost(string, repeated, tag = "3")]
    pub classes: Vec<String>,
    /// Also while something is waited for.
    #[prost(bool, tag = "4")]
    pub although_open: bool,
    /// Unix seconds.
    #[prost(uint64, tag = "5")]
    pub at: u64,
    /// Its entry in the node's log.
    #[prost(uint64, tag = "6")]
    pub event: u64,
}

impl Decision {
    /// Whether the whole case goes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.classes.is_empty()
    }

    fn classes(&self) -> Vec<DataClass> {
        self.classes.iter().filter_map(|code| DataClass::from_code(code)).collect()
    }
}

/// What is being erased.
#[derive(Default)]
pub(super) struct Erasing {
    decisions: BTreeMap<CaseId, Decision>,
    plans: BTreeMap<CaseId, Plan>,
    turn: Option<u32>,
    retracted: Retractions,
    after: Option<AfterCopy>,
    elsewhere: Option<Elsewhere>,
}

impl Erasing {
    /// Takes one row; says of which case nothing may be known any more.
    pub(super) fn apply(&mut self, row: &Row) -> Option<CaseId> {
        let (kind, key) = row.key.split_first()?;
        let value = row.value.as_deref();
        if *kind == TURN {
            self.turn = value.and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
            return None;
        }
        if *kind == RETRACT {
            self.retracted = value.and_then(|value| Retractions::decode(value).ok()).unwrap_or_default();
            return None;
        }
        if *kind == AFTER {
            self.after = value.and_then(|value| AfterCopy::decode(value).ok());
            return None;
        }
        if *kind == ELSEWHERE {
            // One that cannot be read says that something is missing, and not how much.
            let unreadable = || Elsewhere { signed: u64::MAX, ..Elsewhere::default() };
            self.elsewhere = value.map(|value| Elsewhere::decode(value).unwrap_or_else(|_| unreadable()));
            return None;
        }
        let case = CaseId::try_from(key).ok()?;
        match (*kind, value) {
            (INTENT, Some(value)) => drop(self.decisions.insert(case, Decision::decode(value).ok()?)),
            (INTENT, None) => drop(self.decisions.remove(&case)),
            (PLAN, Some(value)) => drop(self.plans.insert(case, Plan::decode(value).ok()?)),
            (PLAN, None) => drop(self.plans.remove(&case)),
            _ => {}
        }
        self.is_gone(case).then_some(case)
    }

    /// Whether the rows of a case are on their way out: a fact of it that is still there is not one any more.
    pub(super) fn is_gone(&self, case: CaseId) -> bool {
        self.plans.get(&case).is_some_and(|plan| plan.whole)
    }
}

impl Office {
    /// Decides that a case, or parts of its profile, is erased. Nothing goes yet.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`], [`Stop::Refused`]: then nothing changes.
    pub fn erase<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        order: &Order,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let (case, _) = self.to_act(case)?;
        case.may_erase(actor, &order.classes, order.although_open, now.time)?;
        self.guard_mail(case)?;
        if self.erasing.decisions.contains_key(&case.id()) {
            return Err(Refusal::BeingErased.into());
        }
        let mut step = Step::default();
        let happening = Happening::of(AuditEvent::ErasureDecided).by(actor.role.code());
        let event = self.record(&mut step, &happening, now).index;
        let decision = Decision {
            role: actor.role.code().to_owned(),
            rule: order.rule.code().to_owned(),
            classes: order.classes.iter().map(|class| class.code().to_owned()).collect(),
            although_open: order.although_open,
            at: now.time,
            event,
        };
        step.rows.push(row(INTENT, case.id().as_bytes(), Some(decision.encode_to_vec())));
        if decision.is_whole() {
            step.rows.push(self.urgent_row(event, now.time));
        }
        Ok(step)
    }

    /// Takes a decision to erase back. Nothing was erased.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`], [`Refusal::NotBeingErased`], and for roles that may not erase either.
    pub fn keep<R: CryptoRng>(&self, case: CaseId, actor: &Actor, now: &mut Now<'_, R>) -> Result<Step, Stop> {
        let cases = self.cases.as_ref().ok_or(Stop::Locked)?;
        let case = cases.case(case).ok_or(Stop::NoSuch)?;
        case.may_keep(actor)?;
        let mut step = Step::default();
        self.call_off(case.id(), actor.role.code(), &mut step, now);
        if step.rows.is_empty() { Err(Refusal::NotBeingErased.into()) } else { Ok(step) }
    }

    /// Calls an erasure off that is not a plan yet, if there is one.
    pub(super) fn call_off<R: CryptoRng>(
        &self,
        case: CaseId,
        role: &'static str,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        if self.erasing.decisions.contains_key(&case) {
            step.rows.push(row(INTENT, case.as_bytes(), None));
            self.record(step, &Happening::of(AuditEvent::ErasureCalledOff).by(role), now);
        }
    }

    /// The decision that is about to erase a case or parts of it; `None` for any other.
    #[must_use]
    pub fn being_erased(&self, case: CaseId) -> Option<&Decision> {
        self.erasing.decisions.get(&case)
    }

    /// Whether a case as a whole is being erased: then nothing of it is shown and nobody acts on it.
    #[must_use]
    pub fn is_hidden(&self, case: CaseId) -> bool {
        self.erasing.decisions.get(&case).is_some_and(Decision::is_whole)
    }

    /// Cases whose erasure can become final now, as far as memory tells. Empty while content is locked.
    #[must_use]
    pub fn to_erase(&self, now: u64) -> Vec<CaseId> {
        let ready = |(id, decision): (&CaseId, &Decision)| {
            let case = self.cases.as_ref()?.case(*id)?;
            let told = !decision.is_whole() || self.is_heard(decision.event);
            (told && self.may_go(case, decision, now).is_ok()).then_some(*id)
        };
        self.erasing.decisions.iter().filter_map(ready).collect()
    }

    /// Plans that were not carried out to the end.
    #[must_use]
    pub fn plans(&self) -> Vec<CaseId> {
        self.erasing.plans.keys().copied().collect()
    }

    /// The epoch of the wrapping keys that still have to turn; `None` when nothing was erased since they did.
    #[must_use]
    pub fn turn_due(&self) -> Option<u32> {
        self.erasing.turn
    }

    /// The step after the wrapping keys turned.
    #[must_use]
    pub fn turned(&self) -> Step {
        Step { rows: vec![row(TURN, &[], None)], ..Step::default() }
    }

    /// What of the guards may have changed since the decision.
    fn may_go(&self, case: &Case, decision: &Decision, now: u64) -> Result<(), Stop> {
        case.erasable(&decision.classes(), decision.although_open, now)?;
        self.guard_mail(case)
    }

    /// Letters that this node has not opened may be of any case; receipts are mail of this one.
    fn guard_mail(&self, case: &Case) -> Result<(), Stop> {
        // What is laid aside is of somebody with whom there is no case here, or dated ahead: then it is taken like a letter
        // that comes after, and nobody holds an erasure back by the date he writes.
        if self.mail.to_open().next().is_some() {
            return Err(Refusal::ErasureLettersWait.into());
        }
        let mut out = self.mail.in_conversation(case.conversation(), case.peer_org());
        if out.any(|(id, _)| self.mail.is_under_way(id)) {
            return Err(Refusal::ErasureUnderWay.into());
        }
        Ok(())
    }

    /// Whether somebody else keeps account of this entry: a coordinator's node, where there is another one.
    #[must_use]
    pub fn is_heard(&self, event: u64) -> bool {
        let another = |org: OrgId| org != self.me.org && self.directory.is_coordinator(org);
        if !self.directory.orgs().any(|(org, _)| another(org)) {
            return true;
        }
        self.told()
            .iter()
            .any(|standing| standing.took > event && self.directory.org_of(standing.node).is_some_and(another))
    }
}

fn row(kind: u8, key: &[u8], value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Erasing, key: [&[kind], key].concat(), value, under: Under::Service, must_be_new: false }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests;

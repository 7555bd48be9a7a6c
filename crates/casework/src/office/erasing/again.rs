//! What was erased after the copy that this folder is: a backup that was restored, or an old disk image. The node's own
//! CASE_ERASED entries came back from a coordinator's mirror, proved by their commitments; they name entries, and whichever
//! case here has one of those goes again.
//!
//! Tells nobody and records nothing: that the case was erased has been told and recorded. Refuses nothing; an erasure
//! of parts names no entry, and is only counted by whoever asks.

use clearhouse_protocol::ids::CaseId;
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::plan::{Plan, planned};
use super::{Decision, PLAN, RETRACT, Trail, row};
use crate::office::{Office, Step};

/// The erasures that are to be done again, as they are kept. Field numbers are on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Retractions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Retraction>,
}

/// One stretch of entries of an erased case.
#[derive(Clone, PartialEq, prost::Message)]
struct Retraction {
    #[prost(uint64, tag = "1")]
    from: u64,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(string, tag = "3")]
    rule: String,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(uint64, tag = "5")]
    at: u64,
    #[prost(uint64, tag = "6")]
    event: u64,
}

impl Retraction {
    fn covers(&self, trail: &Trail) -> bool {
        trail.entries.range(self.from..=self.to).next().is_some()
    }
}

impl Office {
    /// The row that keeps what these CASE_ERASED entries name, beside what is kept already; `None` when they name nothing.
    #[must_use]
    pub fn retractions<'a>(&self, erasures: impl Iterator<Item = &'a wire::Opening>) -> Option<Row> {
        let mut all = self.erasing.retracted.clone();
        all.all.extend(erasures.flat_map(|opening| {
            opening.erased.iter().map(|range| Retraction {
                from: range.from,
                to: range.to,
                rule: opening.retention_rule.clone(),
                role: opening.actor_role.clone(),
                at: opening.time,
                event: opening.index,
            })
        }));
        (!all.all.is_empty()).then(|| row(RETRACT, &[], Some(all.encode_to_vec())))
    }

    /// Whether something has to be erased again before a case is shown.
    #[must_use]
    pub fn has_retractions(&self) -> bool {
        !self.erasing.retracted.all.is_empty()
    }

    /// What to look for in the log for every case. None while cases are locked.
    #[must_use]
    pub fn trails(&self) -> Vec<(CaseId, Trail)> {
        let ids: Vec<CaseId> = self.cases.iter().flat_map(|cases| cases.iter().map(|case| case.id())).collect();
        ids.into_iter().filter_map(|id| Some((id, self.trail(id)?))).collect()
    }

    /// Whether a case with this trail was erased.
    #[must_use]
    pub fn is_retracted(&self, trail: &Trail) -> bool {
        self.erasing.retracted.all.iter().any(|one| one.covers(trail))
    }

    /// The plan by which a case that was erased goes again, and the history of its consents, which stays.
    #[must_use]
    pub fn plan_again<R: CryptoRng>(
        &self,
        id: CaseId,
        trail: &Trail,
        found: Vec<(Table, Vec<u8>)>,
        rng: &mut R,
    ) -> Step {
        let Some(case) = self.cases.as_ref().and_then(|cases| cases.case(id)) else { return Step::default() };
        let mut plan = Plan { whole: true, ..Plan::default() };
        plan.rows = found.into_iter().map(|(table, key)| planned(table, key)).collect();
        self.plan_case(case, trail, &mut plan);
        plan.events = trail.entries().collect();
        let mut step = Step { rows: self.proving.without(&trail.entries), ..Step::default() };
        if let Some(said) = self.erasing.retracted.all.iter().find(|one| one.covers(trail)) {
            let (rule, role) = (said.rule.clone(), said.role.clone());
            let decision = Decision { role, rule, at: said.at, event: said.event, ..Decision::default() };
            step.rows.extend(self.history_row(case, &decision, rng));
        }
        step.rows.push(row(super::INTENT, id.as_bytes(), None));
        step.rows.push(row(PLAN, id.as_bytes(), Some(plan.encode_to_vec())));
        step
    }

    /// The step after all of them are gone.
    #[must_use]
    pub fn retracted(&self) -> Step {
        Step { rows: vec![row(RETRACT, &[], None)], ..Step::default() }
    }
}

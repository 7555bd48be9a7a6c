//! What was erased after the copy that this folder is: a backup that was restored, or an old disk image. The node's own
//! CASE_ERASED entries came back from a coordinator's mirror, proved by their commitments; they name entries, and whichever
//! case here has one of those goes again.
//!
//! Letters that the copy has not opened go too, before anybody opens them: their case may be known by nothing else here.
//!
//! Tells nobody; records no case, because that it was erased has been told and recorded, and of each letter that it is gone.
//! Refuses nothing; an erasure of parts names no entry, and is only counted, for `doctor`.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{CaseId, Digest};
use clearhouse_protocol::limits::RESTORE_TOLD_SECS;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::plan::{Plan, planned};
use super::{AFTER, Decision, ELSEWHERE, PLAN, RETRACT, TURN, Trail, row};
use crate::office::{Now, Office, Step};

/// What came back of the log when this folder was found to be an old copy, as it is kept. Field numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AfterCopy {
    /// When, unix seconds.
    #[prost(uint64, tag = "1")]
    pub at: u64,
    /// Entries that came back without what they say.
    #[prost(uint64, tag = "2")]
    pub entries: u64,
    /// Erasures of parts of a profile among them: nobody can say of which case.
    #[prost(uint64, tag = "3")]
    pub parts: u64,
    /// The entry that says so, of the last time; 0 where that was not kept.
    #[prost(uint64, tag = "4")]
    pub event: u64,
    /// Entries that came back the last time alone.
    #[prost(uint64, tag = "5")]
    pub last: u64,
}

impl AfterCopy {
    /// Entries that came back the last time, where no head was signed since that covers the entry which says so: `None` when
    /// one was, and it is nothing new. `signed` is the size of the last head.
    #[must_use]
    pub fn unfinished(&self, signed: u64) -> Option<u64> {
        (self.event >= signed && self.event > 0).then_some(self.last)
    }
}

/// How far this node's own log was signed where it is not all here, as it is kept until all of it came back. Field numbers
/// are on disk.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Elsewhere {
    /// Entries under the largest head that was shown. Nothing may be signed that is not a continuation of it.
    #[prost(uint64, tag = "1")]
    pub signed: u64,
    /// Entries that are being taken back from a mirror; 0 before that began.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// The root of those.
    #[prost(bytes = "vec", tag = "3")]
    pub root: Vec<u8>,
}

/// Unopened letters of erased cases, with the entries that name each.
pub type Letters = BTreeMap<Digest, Vec<u64>>;

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

    /// The row that keeps what came back, which `event` says in the log, beside what came back not long before: it is told
    /// together.
    #[must_use]
    pub fn came_back(&self, last: u64, parts: u64, event: u64, now: u64) -> Row {
        let told =
            self.erasing.after.filter(|after| now < after.at.saturating_add(RESTORE_TOLD_SECS)).unwrap_or_default();
        let (entries, parts) = (told.entries.saturating_add(last), told.parts.saturating_add(parts));
        row(AFTER, &[], Some(AfterCopy { at: now, entries, parts, event, last }.encode_to_vec()))
    }

    /// What came back when this folder was found to be an old copy; `None` when it never was.
    #[must_use]
    pub fn after_copy(&self) -> Option<AfterCopy> {
        self.erasing.after
    }

    /// How far this node's log was signed that is not all here; `None` when nothing is missing, as far as is known.
    #[must_use]
    pub fn signed_elsewhere(&self) -> Option<&Elsewhere> {
        self.erasing.elsewhere.as_ref()
    }

    /// Keeps that this node signed a head of so many entries, more than are here.
    #[must_use]
    pub fn was_signed(&self, signed: u64) -> Step {
        let known = self.erasing.elsewhere.clone().unwrap_or_default();
        let next = Elsewhere { signed: known.signed.max(signed), ..known };
        Step { rows: vec![self.elsewhere(Some(&next))], ..Step::default() }
    }

    /// The row that keeps that; that forgets it, when all of it came back.
    #[must_use]
    pub fn elsewhere(&self, known: Option<&Elsewhere>) -> Row {
        row(ELSEWHERE, &[], known.map(prost::Message::encode_to_vec))
    }

    /// Letters that nobody opened here, those laid aside and in quarantine included.
    #[must_use]
    pub fn unopened_letters(&self) -> BTreeSet<Digest> {
        self.mail.sealed_letters().collect()
    }

    /// Whether an entry of the log is of a case that was erased after the copy.
    #[must_use]
    pub fn is_entry_retracted(&self, index: u64) -> bool {
        self.erasing.retracted.all.iter().any(|one| (one.from..=one.to).contains(&index))
    }

    /// The step that ends unopened letters of erased cases, the keys that go with it, and the entries that are closed.
    /// `epoch` is that of the wrapping keys now. It may be done while cases are locked.
    pub fn end_letters<R: CryptoRng>(
        &self,
        letters: &Letters,
        epoch: u32,
        now: &mut Now<'_, R>,
    ) -> (Step, Vec<Under>, Vec<u64>) {
        let mut step = Step::default();
        for digest in letters.keys() {
            step.rows.extend(self.mail.end_erased(*digest));
            // Without a name: what it was is erased.
            self.record(&mut step, &Happening::of(AuditEvent::KeyErased), now);
        }
        step.rows.push(row(TURN, &[], Some(epoch.to_be_bytes().to_vec())));
        let keys = letters.keys().map(|digest| Under::Letter(*digest)).collect();
        (step, keys, letters.values().flatten().copied().collect())
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
            let decision = Decision { role, rule, at: said.at, ..Decision::default() };
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

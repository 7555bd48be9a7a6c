//! What stays of a case that was erased as a whole: the history of its consents, under the evidence key, for a time of
//! its own (decision 20).
//!
//! It is kept under the code of the case, which was random from its first day and stands on the paper in her file; who
//! has no paper learns from it that two organisations shared something, and not about whom. Refuses to list: whoever
//! asks has to name the whole code.

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::limits::CONSENT_HISTORY_KEPT_SECS;
use clearhouse_protocol::rows::{Row, Table, Under};
use prost::Message as _;
use rand_core::CryptoRng;

use super::cases::{CODE_LEN, code_bits, code_of};
use super::erasing::Decision;
use super::{Now, Office, Step};
use crate::case::Case;
use crate::consent::history::History;
use crate::roles::{Actor, Role};

/// Histories whose time is over that one step deletes, at most; the next tick goes on.
const DELETED_AT_ONCE: usize = 1024;
/// Random bytes behind the code in a key: a code may return, a history is never written over.
const SALT: usize = 16;

/// Until when each history stays, by the key of its row. What it says is read when somebody asks.
#[derive(Default)]
pub(super) struct Histories(BTreeMap<Vec<u8>, u64>);

impl Histories {
    pub(super) fn apply(&mut self, row: &Row) {
        match row.value.as_deref().map(History::decode) {
            Some(Ok(history)) => drop(self.0.insert(row.key.clone(), history.until)),
            Some(Err(_)) | None => drop(self.0.remove(&row.key)),
        }
    }
}

/// Until when the history of a case is kept, unix seconds.
#[must_use]
pub fn kept_until(decision: &Decision) -> u64 {
    decision.at.saturating_add(CONSENT_HISTORY_KEPT_SECS)
}

/// Whether somebody may see what stays of erased cases: who answers for the team, and who reads the log for those whose
/// data it is about (domain section d.1). Not a caseworker: whose own it was nobody knows any more.
#[must_use]
pub fn may_see(actor: &Actor) -> bool {
    match actor.role {
        Role::Manager | Role::Auditor => true,
        Role::Caseworker | Role::ChildOfficer | Role::Administrator => false,
    }
}

impl Office {
    /// The row that stays of a case: none where nobody agreed to anything, took anything back or shared anything.
    pub(super) fn history_row<R: CryptoRng>(&self, case: &Case, decision: &Decision, rng: &mut R) -> Option<Row> {
        let lines = case.consent_history();
        if lines.is_empty() {
            return None;
        }
        let history = History {
            until: kept_until(decision),
            erased_at: decision.at,
            rule: decision.rule.clone(),
            role: Role::parse(&decision.role).map_or("", Role::code).to_owned(),
            lines,
            incomplete: case.unreadable() > 0,
        };
        let mut salt = [0; SALT];
        rng.fill_bytes(&mut salt);
        Some(Row {
            table: Table::ConsentHistory,
            key: [code_of(case.conversation()).as_slice(), &salt].concat(),
            value: Some(history.encode_to_vec()),
            under: Under::Evidence,
            must_be_new: true,
        })
    }

    /// The keys of the histories under a case's whole code, which a person reads from paper: any spelling of it will do,
    /// a beginning will not.
    #[must_use]
    pub fn histories(&self, code: &str) -> Vec<Vec<u8>> {
        let Some(bits) = code_bits(code) else { return Vec::new() };
        let from = self.histories.0.range(bits.to_vec()..);
        from.map(|(key, _)| key.clone()).take_while(|key| key.get(..CODE_LEN) == Some(&bits)).collect()
    }

    /// Deletes the histories whose time is over by our clock and by the newest time that somebody else signed: what is
    /// gone is gone, and one clock that jumped must not be enough. Their keys are one and live on; the rows go.
    pub(super) fn forget_histories<R: CryptoRng>(&self, step: &mut Step, sure: u64, now: &mut Now<'_, R>) {
        let heard = self.directory.newest_word_of_others(self.me.node).unwrap_or(0);
        let time = sure.min(heard);
        let over = self.histories.0.iter().filter(|(_, until)| **until <= time).take(DELETED_AT_ONCE);
        let before = step.rows.len();
        step.rows.extend(over.map(|(key, _)| Row {
            table: Table::ConsentHistory,
            key: key.clone(),
            value: None,
            under: Under::Evidence,
            must_be_new: false,
        }));
        if step.rows.len() > before {
            self.record(step, &Happening::of(AuditEvent::KeyErased), now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! Policies: each follows the one before, signed by those who let go and those who take up (as in TUF).

use clearhouse_wire::v1::{NetworkKind, RootPolicy, Signed};

use super::{
    Checked, Directory, RecordFault, Rival, as_usize, checked_parse, is_code, is_country, lifetime, no_critical,
};
use crate::directory::corridor::check_rules;
use crate::directory::entry::check_name;
use crate::directory::held::Place;
use crate::directory::logs::{ends_of, log_of, witness_of};
use crate::ids::Net;
use crate::keys::VerifyKey;
use crate::labels::media;
use crate::limits::{COORDINATORS_MAX, RECORD_LIFE_SECS};
use crate::log::policy::Policy;
use crate::pae::sha256;
use crate::signed::{self, Verified};

impl Directory {
    pub(super) fn check_next_policy(&self, signed: &Signed) -> Result<Option<Checked>, RecordFault> {
        let record: Verified<RootPolicy> = checked_parse(media::ROOT, signed)?;
        let next = record.value();
        let current = self.policy();
        if next.version == 1 && sha256(&signed.payload) != self.net.0 {
            return Err(RecordFault::OtherNetwork);
        }
        // A bundle begins with every policy: one that was walked past is held, and no rollback.
        if self.policies().any(|walked| walked.payload == signed.payload) {
            return Ok(None);
        }
        let place = self.policy.place(next, &signed.payload, true)?;
        if place == Place::Same {
            return Ok(None);
        }
        if next.kind != current.kind {
            return Err(RecordFault::OtherNetwork);
        }
        let coordinators = check_policy(next)?;
        check_logs(self.net, next)?;
        // As in TUF: the old holders let go and the new ones take up, in the same record.
        let before = self.policy.predecessor(next).ok_or(RecordFault::Broken)?.value();
        let old = signed::count(media::ROOT, signed, &check_policy(before)?)?.len();
        let new = signed::count(media::ROOT, signed, &coordinators)?.len();
        if old < as_usize(before.k_root) || new < as_usize(next.k_root) {
            return Err(RecordFault::Threshold);
        }
        if place == Place::Rival {
            return Ok(Some(Checked::Rival(Rival::Policy(record))));
        }
        Ok(Some(Checked::Policy(record, coordinators)))
    }
}

pub(super) fn check_policy(policy: &RootPolicy) -> Result<Vec<VerifyKey>, RecordFault> {
    no_critical(&policy.extensions)?;
    lifetime(policy.not_before, policy.not_after, RECORD_LIFE_SECS)?;
    let n = policy.coordinators.len();
    let thresholds = [policy.k_accredit, policy.k_revoke, policy.k_root];
    let sound = (1..=COORDINATORS_MAX).contains(&n)
        && thresholds.iter().all(|k| (1..=n).contains(&as_usize(*k)))
        && policy.kind() != NetworkKind::Unspecified
        && policy.allowed_suites.contains(&policy.min_suite)
        && (policy.witness_policy.is_empty() || Policy::parse(&policy.witness_policy).is_ok())
        && policy.coordinators.iter().all(|c| is_country(&c.country));
    if !sound {
        return Err(RecordFault::Field);
    }
    check_name(&policy.label)?;
    check_rules(policy, is_code, is_country)?;
    let mut keys = Vec::with_capacity(n);
    for coordinator in &policy.coordinators {
        let key = VerifyKey::admit(&coordinator.accreditation_pk)?;
        // A key listed twice would count twice.
        if keys.contains(&key) || coordinator.id.len() != 16 {
            return Err(RecordFault::Field);
        }
        keys.push(key);
    }
    Ok(keys)
}

/// A log and a key to cosign the others' with, of the coordinator's own node, or neither; and never a log that nobody else
/// cosigns.
fn check_logs(net: Net, policy: &RootPolicy) -> Result<(), RecordFault> {
    let mut keys = Vec::new();
    for coordinator in &policy.coordinators {
        if coordinator.log_vkey.is_empty() && coordinator.witness_vkey.is_empty() {
            continue;
        }
        let ends = ends_of(coordinator).ok_or(RecordFault::Field)?;
        if !ends.1.is_of(net, ends.0) {
            return Err(RecordFault::NotItsNode);
        }
        let (_, log) = log_of(net, coordinator, VerifyKey::admit).ok_or(RecordFault::Field)?;
        keys.extend([log.public(), witness_of(net, coordinator, VerifyKey::admit).ok_or(RecordFault::Field)?.public()]);
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() == count && count != 2 { Ok(()) } else { Err(RecordFault::Field) }
}

//! Revocations: who may put whom out. Refuses to lift one, to ask one that was taken for its signers again, and a new one by
//! those who are coordinators no more.

use clearhouse_wire::v1::{NodeCert, Revocation, RootPolicy, Signed, SubjectKind};
use prost::Message as _;

use super::{Checked, Directory, RecordFault, as_usize, check_policy, checked_parse, is_code, no_critical, org_id};
use crate::ids::{KeyId, NodeId, OrgId};
use crate::keys::VerifyKey;
use crate::labels::media;
use crate::pae::sha256;
use crate::signed::{self, Verdicts, Verified};

impl Directory {
    pub(super) fn check_revocation(
        &self,
        signed: &Signed,
        verdicts: &Verdicts,
    ) -> Result<Option<Checked>, RecordFault> {
        let claim = self.check_end(signed)?;
        let revocation = claim.value();
        let subject: [u8; 16] = revocation.subject.as_slice().try_into().map_err(|_| RecordFault::Field)?;
        let coordinators = signed::count_beside(media::REVOCATION, signed, &self.coordinators, verdicts)?.len();
        let own = self.own_keys(revocation.subject_kind(), subject)?;
        let by_itself = !signed::count_beside(media::REVOCATION, signed, &own, verdicts)?.is_empty();
        if coordinators < as_usize(self.policy().k_revoke) && !by_itself && !self.stood_before(signed, verdicts) {
            return Err(RecordFault::Threshold);
        }
        Ok(self.place_end(claim, signed))
    }

    /// Whether enough coordinators of an earlier policy signed it, and everybody was shown it before they were replaced: for
    /// who joined since, or slept. More logs than coordinators may lie must show it ahead of the policy that came next; a
    /// log without that one shows nothing yet. A keeper that is honest entered it while the earlier policy was in force to it, and so took it by
    /// that policy's keys and threshold; no log is written anew behind its witnesses. Keys that were stolen, or kept, sign
    /// nothing new with this: what they sign today stands behind the next policy in every honest log, or in none. What the
    /// founders alone signed is beyond it where the second policy replaces them: no log was there before that.
    fn stood_before(&self, signed: &Signed, verdicts: &Verdicts) -> bool {
        let hash = sha256(&signed.payload);
        if !self.knows_published(&hash) {
            return false;
        }
        let policies: Vec<&Signed> = self.policies().collect();
        let lies = |policy: &RootPolicy| as_usize(policy.f);
        policies.windows(2).any(|two| {
            let [Ok(then), Ok(next)] = [0, 1].map(|at| RootPolicy::decode(two[at].payload.as_slice())) else {
                return false;
            };
            let Ok(keys) = check_policy(&then) else { return false };
            let enough = signed::count_beside(media::REVOCATION, signed, &keys, verdicts)
                .is_ok_and(|signers| signers.len() >= as_usize(then.k_revoke));
            let liars = lies(&then).max(lies(&next)).max(lies(self.policy()));
            enough && self.logs_showing_ahead(&hash, &sha256(&two[1].payload)) > liars
        })
    }

    /// Whether it says whose end it is; who signed it is not asked here.
    pub(super) fn check_end(&self, signed: &Signed) -> Result<Verified<Revocation>, RecordFault> {
        let claim: Verified<Revocation> = checked_parse(media::REVOCATION, signed)?;
        let revocation = claim.value();
        self.same_net(&revocation.net)?;
        no_critical(&revocation.extensions)?;
        let sound = revocation.subject.len() == 16 && revocation.subject_kind() != SubjectKind::Unspecified;
        if sound && is_code(&revocation.reason) { Ok(claim) } else { Err(RecordFault::Field) }
    }

    /// Nothing lifts a revocation and a later date cannot replace it. Of two of one date the smaller hash stays, so that
    /// everybody ends with the same one, in whatever order they came.
    pub(super) fn place_end(&self, claim: Verified<Revocation>, signed: &Signed) -> Option<Checked> {
        let revocation = claim.value();
        let subject: [u8; 16] = revocation.subject.as_slice().try_into().ok()?;
        let order = (revocation.effective, sha256(&signed.payload));
        match self.revocations.get(&(subject, revocation.subject_kind)) {
            Some(held) if (held.value().effective, held.hash) <= order => None,
            Some(_) | None => Some(Checked::Revocation(claim)),
        }
    }

    /// The keys with which a subject may end itself.
    fn own_keys(&self, kind: SubjectKind, subject: [u8; 16]) -> Result<Vec<VerifyKey>, RecordFault> {
        let org_root = |org: OrgId| self.org(org).map(|record| record.org_root_pk.clone());
        let mut keys = Vec::new();
        match kind {
            SubjectKind::Organisation => keys.extend(org_root(OrgId(subject))),
            SubjectKind::Node => {
                if let Some(cert) = self.cert(NodeId(subject)) {
                    keys.push(cert.sign_pk.clone());
                    keys.extend(org_root(org_id(&cert.org_id)?));
                }
            }
            SubjectKind::Key => {
                let with_id = |cert: &&NodeCert| VerifyKey::held(&cert.sign_pk).is_ok_and(|k| k.id() == KeyId(subject));
                if let Some(cert) = self.certs.values().map(|held| held.shown().value()).find(with_id) {
                    keys.push(cert.sign_pk.clone());
                    keys.extend(org_root(org_id(&cert.org_id)?));
                }
            }
            SubjectKind::Unspecified => return Err(RecordFault::Field),
        }
        keys.iter().map(|k| VerifyKey::held(k).map_err(RecordFault::from)).collect()
    }
}

#[cfg(test)]
#[path = "../tests/replaced.rs"]
mod tests;

//! Revocations: who may put whom out. Refuses to lift one, and to ask one that was taken for its signers again.

use clearhouse_wire::v1::{NodeCert, Revocation, Signed, SubjectKind};

use super::{Checked, Directory, RecordFault, as_usize, checked_parse, is_code, no_critical, org_id};
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
        if coordinators < as_usize(self.policy().k_revoke) && !by_itself {
            return Err(RecordFault::Threshold);
        }
        Ok(self.place_end(claim, signed))
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

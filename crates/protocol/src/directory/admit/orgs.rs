//! Accreditations: who may let an organisation in, and which record follows which.
//!
//! Refuses a new root key that the one before did not sign, unless the record says that this one is lost: then it waits
//! where all can see it, and is nothing before ([`lost_key`](super::super::lost_key)).

use clearhouse_wire::v1::{NetworkKind, OrgRecord, RootPolicy, Signed};
use prost::Message as _;

use super::super::entry::membership::{is_sound, is_vouched_for};
use super::super::entry::{CODES_MAX, check_name, is_code};
use super::super::held::Place;
use super::{Checked, Directory, RecordFault, Rival, as_usize, check_policy, lifetime, no_critical, org_id};
use crate::ids::OrgId;
use crate::labels::media;
use crate::limits::RECORD_LIFE_SECS;
use crate::pae::sha256;
use crate::signed::{self, Verdicts, Verified};

impl Directory {
    /// `kept` is one that this node took when it came: whether the root key before signed it is not asked again.
    pub(in super::super) fn check_org(
        &self,
        signed: &Signed,
        verdicts: &Verdicts,
        kept: bool,
    ) -> Result<Option<Checked>, RecordFault> {
        let (id, record) = self.check_alone(signed, verdicts, kept)?;
        let org = record.value();
        let Some(held) = self.orgs.get(&id) else {
            // Who meets an organisation by such a record has seen no other key of it, and waits like everybody.
            return if org.lost_key && !kept { self.announce(id, record) } else { Ok(Some(Checked::Org(id, record))) };
        };
        match held.place(org, &signed.payload, self.is_published(&held.newest().hash))? {
            Place::Same => return Ok(None),
            // It came too late for its place, and contradicts nobody: whatever took it counts.
            Place::Rival if org.lost_key => return Err(RecordFault::Rollback),
            Place::Rival => return Ok(Some(Checked::Rival(Rival::Org(id, record)))),
            Place::Next => {}
        }
        // A new root key needs the word of the one that counts. Of two that contradict each other neither does: what follows
        // one of them asks the one before, or coordinators could name a key and have it hand itself on.
        let before = held.shown().value();
        if kept {
            return Ok(Some(Checked::Org(id, record)));
        }
        if before.org_root_pk != org.org_root_pk {
            let old = verdicts.held(&before.org_root_pk)?;
            if signed::count_beside(media::ORG, signed, &[old], verdicts)?.is_empty() {
                return if org.lost_key { self.announce(id, record) } else { Err(RecordFault::Signer) };
            }
            // What it said no to it does not sign later: whoever does has its key as well.
            if org.lost_key && self.is_objected(id, &sha256(&signed.payload)) {
                return Err(RecordFault::Objected);
            }
        } else if org.lost_key {
            return Err(RecordFault::Field);
        }
        Ok(Some(Checked::Org(id, record)))
    }

    /// An accreditation by what stands in it and who signed it, whatever is held.
    pub(in super::super) fn check_alone(
        &self,
        signed: &Signed,
        verdicts: &Verdicts,
        kept: bool,
    ) -> Result<(OrgId, Verified<OrgRecord>), RecordFault> {
        let signers = signed::count_beside(media::ORG, signed, &self.coordinators, verdicts)?;
        let record: Verified<OrgRecord> = signed::parse_verified(signed)?;
        let org = record.value();
        self.same_net(&org.net)?;
        let id = org_id(&org.org_id)?;
        no_critical(&org.extensions)?;
        if !is_country(&org.country) || !codes(&org.roles) || !codes(&org.competences) || !is_sound(org) {
            return Err(RecordFault::Field);
        }
        if org.version < 2 && org.lost_key {
            return Err(RecordFault::Field);
        }
        check_name(&org.label)?;
        if !is_vouched_for(org, self.asks_for_sponsors(org)) {
            return Err(RecordFault::Sponsors);
        }
        lifetime(org.valid_from, org.valid_until, RECORD_LIFE_SECS)?;
        verdicts.admit(&org.org_root_pk)?;
        let let_in =
            enough(self.policy(), &signers, &org.country) || (kept && self.was_let_in(signed, &org.country, verdicts));
        if !let_in {
            return Err(RecordFault::Threshold);
        }
        Ok((id, record))
    }

    /// Whether enough coordinators of an earlier policy signed: what was taken while they were is not lost at the next start
    /// because they were replaced since.
    fn was_let_in(&self, signed: &Signed, applicant: &str, verdicts: &Verdicts) -> bool {
        let mut policies = self.policies().filter_map(|policy| RootPolicy::decode(policy.payload.as_slice()).ok());
        policies.any(|policy| {
            let keys = check_policy(&policy).unwrap_or_default();
            let signers = signed::count_beside(media::ORG, signed, &keys, verdicts);
            signers.is_ok_and(|signers| enough(&policy, &signers, applicant))
        })
    }

    /// Whether an organisation joins with this record, in a network of real cases. One that any policy held names as a
    /// coordinator was let in by those who signed that policy.
    fn asks_for_sponsors(&self, org: &OrgRecord) -> bool {
        if self.policy().kind() != NetworkKind::Live || org.version != 1 || !org.sponsors.is_empty() {
            return false;
        }
        let names = |policy: &RootPolicy| policy.coordinators.iter().any(|c| c.id == org.org_id);
        !self.policies().any(|policy| RootPolicy::decode(policy.payload.as_slice()).is_ok_and(|policy| names(&policy)))
    }
}

/// Whether these coordinators of a policy, by their positions, are as many as let somebody in: of at least two countries, and
/// not only the applicant's.
fn enough(policy: &RootPolicy, signers: &[usize], applicant: &str) -> bool {
    let country = |i: &usize| policy.coordinators.get(*i).map_or("", |c| c.country.as_str());
    let mut countries: Vec<&str> = signers.iter().map(country).collect();
    countries.sort_unstable();
    countries.dedup();
    let several = countries.len() >= 2 && countries.iter().any(|c| *c != applicant);
    signers.len() >= as_usize(policy.k_accredit) && several
}

fn codes(codes: &[String]) -> bool {
    codes.len() <= CODES_MAX && codes.iter().all(|code| is_code(code))
}

/// ISO 3166-1 alpha-2, or XK.
pub(super) fn is_country(country: &str) -> bool {
    country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase())
}

//! The notice by which a coordinator refuses an application: signed, with a reason, about exactly one record.
//!
//! It goes to the applicant as a file and stands in no directory: who was not let in is nobody else's business. Refuses to be
//! made with a key that has no say, or about an application to another network. An application that no directory would
//! take can be refused like any other.

use clearhouse_wire::v1::{OrgRecord, Refusal, RootPolicy, Signed};
use prost::Message as _;

use crate::canon;
use crate::directory::entry::is_code;
use crate::directory::{Directory, RecordFault};
use crate::ids::OrgId;
use crate::keys::{SigningKey, VerifyKey};
use crate::labels::media;
use crate::limits::RECORD_MAX;
use crate::pae::sha256;
use crate::signed::{self, SignedFault, Verified, sign};

/// What a notice says, once its signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Who applied.
    pub org: OrgId,
    /// SHA-256 of the payload of the application.
    pub application: [u8; 32],
    /// Why: a code.
    pub reason: String,
    /// The coordinator's id in the policy.
    pub coordinator: [u8; 16],
    /// The coordinator's country.
    pub country: String,
    /// When, unix seconds, by the coordinator's clock.
    pub made: u64,
}

/// A notice about an application, signed with a coordinator's accreditation key.
///
/// # Errors
/// [`RecordFault::Signer`] for a key of no coordinator of the policy in force, [`RecordFault::OtherNetwork`],
/// [`RecordFault::Field`] for a reason that is no code or an application without an id; [`RecordFault::Signed`] for what is
/// no application.
pub fn refuse(
    directory: &Directory,
    application: &Signed,
    reason: &str,
    key: &SigningKey,
    now: u64,
) -> Result<Signed, RecordFault> {
    if application.payload_type != media::ORG {
        return Err(SignedFault::OtherType.into());
    }
    let org: OrgRecord = canon::decode(&application.payload, RECORD_MAX).map_err(SignedFault::from)?;
    let public = key.public();
    let mut coordinators = directory.policy().coordinators.iter();
    let coordinator = coordinators.find(|c| c.accreditation_pk == public).ok_or(RecordFault::Signer)?;
    let refusal = Refusal {
        net: org.net,
        org_id: org.org_id,
        application: sha256(&application.payload).to_vec(),
        reason: reason.to_owned(),
        coordinator: coordinator.id.clone(),
        made: now,
    };
    check(directory, &refusal)?;
    Ok(sign(media::REFUSAL, refusal.encode_to_vec(), key))
}

/// What a notice says, if a coordinator of the policy in force signed it.
///
/// # Errors
/// [`RecordFault`], naming the first check that failed.
pub fn read(directory: &Directory, signed: &Signed) -> Result<Refused, RecordFault> {
    // Type and lengths before anything is parsed; whose key it must be the notice itself names.
    signed::count(media::REFUSAL, signed, &[])?;
    let claim: Verified<Refusal> = signed::parse_verified(signed)?;
    let refused = check(directory, claim.value())?;
    let coordinator = named(directory.policy(), &claim.value().coordinator)?;
    let key = VerifyKey::admit(&coordinator.accreditation_pk)?;
    if signed::count(media::REFUSAL, signed, &[key])?.is_empty() {
        return Err(RecordFault::Signer);
    }
    Ok(refused)
}

fn check(directory: &Directory, refusal: &Refusal) -> Result<Refused, RecordFault> {
    if refusal.net != directory.net().as_bytes() {
        return Err(RecordFault::OtherNetwork);
    }
    if !is_code(&refusal.reason) {
        return Err(RecordFault::Field);
    }
    let coordinator = named(directory.policy(), &refusal.coordinator)?;
    Ok(Refused {
        org: OrgId::try_from(refusal.org_id.as_slice()).map_err(|_| RecordFault::Field)?,
        application: refusal.application.as_slice().try_into().map_err(|_| RecordFault::Field)?,
        reason: refusal.reason.clone(),
        coordinator: refusal.coordinator.as_slice().try_into().map_err(|_| RecordFault::Field)?,
        country: coordinator.country.clone(),
        made: refusal.made,
    })
}

fn named<'p>(policy: &'p RootPolicy, id: &[u8]) -> Result<&'p clearhouse_wire::v1::Coordinator, RecordFault> {
    policy.coordinators.iter().find(|c| c.id == id).ok_or(RecordFault::Signer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, Region};

    fn notice(region: &Region, change: impl FnOnce(&mut Refusal), key: &SigningKey) -> Signed {
        let made = refuse(&region.directory, &region.records[0], "Incomplete", &region.coordinators[1], NOW).unwrap();
        let mut refusal = Refusal::decode(made.payload.as_slice()).unwrap();
        change(&mut refusal);
        sign(media::REFUSAL, refusal.encode_to_vec(), key)
    }

    #[test]
    fn a_notice_says_who_refused_which_application_why_and_when() {
        let region = Region::new(1, 1);
        let key = &region.coordinators[2];
        let signed = refuse(&region.directory, &region.records[0], "IdentityNotProven", key, NOW).unwrap();
        let refused = Refused {
            org: region.members[0].org,
            application: sha256(&region.records[0].payload),
            reason: "IdentityNotProven".to_owned(),
            coordinator: [3; 16],
            country: "IT".to_owned(),
            made: NOW,
        };
        assert_eq!(read(&region.directory, &signed), Ok(refused));
        assert_eq!(region.directory.check(&signed, NOW).err(), Some(RecordFault::UnknownType), "no directory holds it");
    }

    #[test]
    fn a_notice_of_a_stranger_or_with_anothers_name_is_none() {
        let region = Region::new(1, 1);
        let (own, other) = (&region.coordinators[1], &region.coordinators[0]);
        let says = |change: fn(&mut Refusal), key| read(&region.directory, &notice(&region, change, key)).err();
        assert_eq!(says(|_| {}, own), None);
        assert_eq!(says(|_| {}, other), Some(RecordFault::Signer), "signed by another coordinator than it names");
        assert_eq!(says(|_| {}, &region.members[0].root), Some(RecordFault::Signer));
        assert_eq!(says(|r| r.coordinator = vec![9; 16], own), Some(RecordFault::Signer));
        assert_eq!(says(|r| r.net = vec![0; 32], own), Some(RecordFault::OtherNetwork));
        assert_eq!(says(|r| r.reason = "she is from Str. Lunga".to_owned(), own), Some(RecordFault::Field));
        assert_eq!(says(|r| r.reason.clear(), own), Some(RecordFault::Field));
        assert_eq!(says(|r| r.application.truncate(31), own), Some(RecordFault::Field));
        assert_eq!(says(|r| r.org_id.clear(), own), Some(RecordFault::Field));
        // The key of an accreditation under another label is a signature over something else.
        let mut relabelled = notice(&region, |_| {}, own);
        relabelled.payload_type = media::ORG.to_owned();
        assert_eq!(read(&region.directory, &relabelled).err(), Some(SignedFault::OtherType.into()));
        relabelled.payload_type = media::REFUSAL.to_owned();
        relabelled.signatures = region.records[0].signatures.clone();
        assert_eq!(read(&region.directory, &relabelled).err(), Some(RecordFault::Signer));
    }

    #[test]
    fn only_a_coordinator_refuses_and_only_an_application_to_this_network() {
        let region = Region::new(1, 1);
        let live = Region::of_kind(1, 1, clearhouse_wire::v1::NetworkKind::Live);
        let key = &region.coordinators[0];
        let made = |record: &Signed, key: &SigningKey| refuse(&region.directory, record, "Incomplete", key, NOW).err();
        assert_eq!(made(&region.records[0], &region.members[0].root), Some(RecordFault::Signer));
        assert_eq!(made(&live.records[0], key), Some(RecordFault::OtherNetwork));
        assert_eq!(made(&region.records[1], key), Some(SignedFault::OtherType.into()));
        // What no directory would take can be refused all the same.
        let mut org = OrgRecord::decode(region.records[0].payload.as_slice()).unwrap();
        org.label = "Strada Lunga 12".to_owned();
        let bad = Signed { payload: org.encode_to_vec(), signatures: vec![], ..region.records[0].clone() };
        assert_eq!(made(&bad, key), None);
    }
}

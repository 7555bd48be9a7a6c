use clearhouse_wire::v1::{Agreement, NetworkKind, OrgRecord, Signed};
use prost::Message as _;

use super::*;
use crate::ceremony::{Application, Membership, apply, next_policy};
use crate::directory::{Directory, RecordFault};
use crate::fixture::{NOW, Region};
use crate::ids::OrgId;
use crate::keys::SigningKey;
use crate::labels::media;
use crate::limits::DAY;
use crate::signed::add_signature;

/// An applicant of MD that the region's coordinators sign, changed.
fn joins(region: &Region, directory: &Directory, change: impl FnOnce(&mut OrgRecord)) -> Option<RecordFault> {
    let application = Application {
        org: OrgId([7; 16]),
        label: "Casa Nova",
        country: "MD",
        roles: &["Origin"],
        competences: &[],
        root_pk: SigningKey::from_seed(&[7; 32]).public(),
    };
    let said = Membership {
        area: "MD-CU".to_owned(),
        standards: Some(("Region2026".to_owned(), NOW - DAY)),
        agreements: vec![("south-2026".to_owned(), NOW + DAY), ("old".to_owned(), 1)],
        sponsors: vec![[1; 16], [2; 16]],
    };
    let made = apply(region.net, &application, &said, NOW);
    let mut org = OrgRecord::decode(made.payload.as_slice()).unwrap();
    change(&mut org);
    let mut signed = Signed { payload_type: media::ORG.into(), payload: org.encode_to_vec(), signatures: vec![] };
    region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
    directory.check(&signed, NOW).err()
}

#[test]
fn what_an_organisation_bound_itself_to_is_said_in_codes_and_times_alone() {
    let region = Region::new(1, 0);
    let fault = |change: fn(&mut OrgRecord)| joins(&region, &region.directory, change);
    let held: [fn(&mut OrgRecord); 10] = [
        |_| {},
        |r| r.area.clear(),
        |r| r.area = "MD-1".into(),
        |r| (r.standards, r.standards_signed) = (String::new(), 0),
        |r| r.standards_signed = r.valid_from + DAY,
        |r| r.agreements.clear(),
        |r| r.agreements[0].name = "n".repeat(SLUG_MAX),
        |r| r.sponsors.clear(),
        |r| {
            let many = 0..AGREEMENTS_MAX as u64;
            r.agreements = many.map(|n| Agreement { name: format!("a{n}"), valid_until: 1 }).collect();
        },
        |r| (r.version, r.prev_hash) = (2, vec![0; 32]),
    ];
    for (n, change) in held.into_iter().enumerate() {
        assert_eq!(fault(change), None, "good row {n}");
    }
    let refused: [fn(&mut OrgRecord); 21] = [
        |r| r.area = "RO-IS".into(),
        |r| r.area = "MD".into(),
        |r| r.area = "MD-".into(),
        |r| r.area = "MD-CUXX".into(),
        |r| r.area = "MD-cu".into(),
        |r| r.area = "Strada Lunga 12".into(),
        |r| r.area = "MD-CU-1".into(),
        |r| r.standards = "the rules of 2026".into(),
        |r| r.standards.clear(),
        |r| r.standards_signed = 0,
        |r| r.standards_signed = r.valid_from + DAY + 1,
        |r| r.standards_signed = u64::MAX,
        |r| r.agreements[0].name = "South".into(),
        |r| r.agreements[0].name = "with Ana Popescu".into(),
        |r| r.agreements[0].name = "0722-123-456".into(),
        |r| r.agreements[0].name.clear(),
        |r| r.agreements[0].name = "n".repeat(SLUG_MAX + 1),
        |r| r.agreements[0].name = r.agreements[1].name.clone(),
        |r| r.agreements[0].valid_until = 0,
        |r| {
            let many = 0..=AGREEMENTS_MAX as u64;
            r.agreements = many.map(|n| Agreement { name: format!("a{n}"), valid_until: 1 }).collect();
        },
        |r| r.standards = "Str12345".into(),
    ];
    for (n, change) in refused.into_iter().enumerate() {
        assert_eq!(fault(change), Some(RecordFault::Field), "bad row {n}");
    }
}

#[test]
fn sponsors_are_two_others_or_none_at_all() {
    let region = Region::new(1, 0);
    let refused: [fn(&mut OrgRecord); 6] = [
        |r| r.sponsors.truncate(1),
        |r| r.sponsors.push(vec![3; 16]),
        |r| r.sponsors[1] = r.sponsors[0].clone(),
        |r| r.sponsors[1] = r.org_id.clone(),
        |r| r.sponsors[1].truncate(15),
        |r| r.sponsors[0].clear(),
    ];
    for (n, change) in refused.into_iter().enumerate() {
        assert_eq!(joins(&region, &region.directory, change), Some(RecordFault::Sponsors), "row {n}");
    }
}

#[test]
fn nobody_joins_a_live_network_unvouched_but_a_coordinator_that_a_policy_names() {
    let mut region = Region::of_kind(1, 0, NetworkKind::Live);
    let alone: fn(&mut OrgRecord) = |r| r.sponsors.clear();
    assert_eq!(joins(&region, &region.directory, |_| {}), None, "whoever they are: the door does not ask");
    assert_eq!(joins(&region, &region.directory, alone), Some(RecordFault::Sponsors));
    let later: fn(&mut OrgRecord) = |r| (r.version, r.prev_hash, r.sponsors) = (2, vec![0; 32], vec![]);
    assert_eq!(joins(&region, &region.directory, later), None, "who is in stays in");
    // A policy that names it, and the one after, which does not any more.
    for id in [vec![7; 16], vec![8; 16]] {
        let mut next = next_policy(region.directory.newest_policy(), NOW, |p| p.coordinators[0].id = id).unwrap();
        region.coordinators.iter().for_each(|key| add_signature(&mut next, key));
        let checked = region.directory.check(&next, NOW).ok().unwrap().unwrap();
        region.directory.insert(checked);
        assert_eq!(joins(&region, &region.directory, alone), None, "policies do not take back who came in by them");
    }
    let other: fn(&mut OrgRecord) = |r| (r.org_id, r.sponsors) = (vec![9; 16], vec![]);
    assert_eq!(joins(&region, &region.directory, other), Some(RecordFault::Sponsors));
}

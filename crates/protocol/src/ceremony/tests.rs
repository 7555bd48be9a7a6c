//! What each ceremony signs says what was asked for, and for how long.

use super::*;
use crate::fixture::{NOW, Region};

fn read<T: Message + Default>(signed: &Signed) -> T {
    crate::canon::decode(&signed.payload, RECORD_MAX).unwrap()
}

#[test]
fn what_a_person_attests_is_what_the_next_descriptor_says_and_nothing_else_changes() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let held = region.directory.descriptor(m.node).unwrap();
    for child_places in [None, Some(true), Some(false)] {
        let said = Attested {
            at: NOW + 5,
            duty: vec![DutyHours { day: 1, from_minute: 2, until_minute: 3 }],
            alternate: "Manager".to_owned(),
            child_places,
        };
        let next: Descriptor = read(&attest(held, &said, &m.sign, NOW));
        assert!(Attested::of(&next) == said);
        assert_eq!((next.serial, next.expires), (held.serial + 1, (held.serial + 1) * HOUR + DESCRIPTOR_LIFE_SECS));
        let unsaid = Descriptor { serial: held.serial, expires: held.expires, ..next };
        let before = Attested::of(held);
        let unsaid = Descriptor {
            attested: before.at,
            duty: before.duty.clone(),
            alternate: before.alternate.clone(),
            child_places: held.child_places,
            ..unsaid
        };
        assert!(unsaid == *held);
    }
    let later: Descriptor = read(&attest(held, &Attested::default(), &m.sign, NOW + 9 * HOUR));
    assert_eq!(later.serial, NOW / HOUR + 9, "the hour, or the first after the one held");
}

#[test]
fn an_end_signed_beforehand_counts_from_the_set_up_on() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let end: Revocation = read(&end_itself(region.net, m.org, &m.root, NOW));
    let expected = Revocation {
        net: region.net.to_vec(),
        subject_kind: SubjectKind::Organisation.into(),
        subject: m.org.to_vec(),
        reason: COMPROMISED.to_owned(),
        effective: NOW,
        pre_signed: true,
        ..Revocation::default()
    };
    assert!(end == expected);
    let mut directory = region.directory.clone();
    let checked = directory.check(&end_itself(region.net, m.org, &m.root, NOW), NOW).unwrap().unwrap();
    directory.insert(checked);
    assert_eq!([NOW - 1, NOW].map(|at| directory.is_revoked(&m.org.0, at)), [false, true]);
}

#[test]
fn each_next_record_follows_the_one_held_and_begins_a_day_ago() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let later = NOW + 40 * DAY;
    let held = region.directory.newest_org(m.org).unwrap();
    let org: OrgRecord = read(&next_org(held, later, |_| {}).unwrap());
    assert_eq!((org.version, org.prev_hash, org.lost_key), (2, sha256(&held.payload).to_vec(), false));
    assert_eq!((org.valid_from, org.valid_until), (later - DAY, later + 360 * DAY));
    let held = region.directory.newest_cert(m.node).unwrap();
    let cert: NodeCert = read(&next_cert(held, later, &m.root).unwrap());
    assert_eq!((cert.version, cert.prev_hash), (2, sha256(&held.payload).to_vec()));
    assert_eq!((cert.valid_from, cert.valid_until), (later - DAY, later + 360 * DAY));
    let policy: RootPolicy = read(&next_policy(&region.genesis, later, |_| {}).unwrap());
    assert_eq!((policy.version, policy.prev_hash), (2, sha256(&region.genesis.payload).to_vec()));
    assert_eq!((policy.not_before, policy.not_after), (later - DAY, later + 360 * DAY));
    let nothing = Signed { payload: vec![0xff], ..region.genesis.clone() };
    assert!(next_policy(&nothing, later, |_| {}).is_none() && next_org(&nothing, later, |_| {}).is_none());
}

//! Attacks on the directory that this version answers: keys, thresholds, versions, networks.
mod certificates;
mod contested;
mod limits;
mod lookups;

use super::entry::Telling;
use super::*;
use crate::ceremony::{self, Application};
use crate::fixture::{Member, NOW, Region, member_records};
use crate::ids::Net;
use crate::keys::SigningKey;
use crate::limits::DAY;
use crate::signed::{add_signature, sign};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

pub(crate) fn next_org(
    region: &Region,
    m: &Member,
    change: impl FnOnce(&mut OrgRecord),
    keys: &[&SigningKey],
) -> Signed {
    let held = region.directory.orgs.get(&m.org).unwrap().newest();
    let mut record = held.value().clone();
    record.version += 1;
    record.prev_hash = held.hash.to_vec();
    change(&mut record);
    let mut signed = Signed { payload_type: media::ORG.into(), payload: record.encode_to_vec(), signatures: vec![] };
    for key in keys {
        add_signature(&mut signed, key);
    }
    signed
}

fn coordinators(region: &Region) -> Vec<&SigningKey> {
    region.coordinators.iter().collect()
}

fn fault(region: &Region, signed: &Signed) -> Option<RecordFault> {
    region.directory.check(signed, NOW).err()
}

#[test]
fn a_repeated_record_changes_nothing_and_the_next_version_is_taken() {
    let region = Region::new(1, 2);
    for record in &region.records {
        assert!(matches!(region.directory.check(record, NOW), Ok(None)));
    }
    let next = next_org(&region, &region.members[0], |_| {}, &coordinators(&region));
    assert!(matches!(region.directory.check(&next, NOW), Ok(Some(Checked::Org(..)))));
}

#[test]
fn attack_10_a_small_order_root_key_is_not_admitted() {
    let region = Region::new(1, 1);
    for weak in [[0u8; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let bad = next_org(&region, &region.members[0], |r| r.org_root_pk = weak.to_vec(), &coordinators(&region));
        assert!(matches!(fault(&region, &bad), Some(RecordFault::Key(_))));
    }
}

#[test]
fn attack_11_a_prekey_with_a_zero_x25519_half_is_refused() {
    let mut region = Region::new(1, 1);
    let m = &region.members[0];
    let mut pk = m.prekey(NOW).public().unwrap().as_bytes().to_vec();
    let len = pk.len();
    pk[len - 32..].fill(0);
    let mut descriptor = region.directory.descriptor(m.node).unwrap().clone();
    descriptor.serial += 1;
    descriptor.prekeys[0].sha256 = sha256(&pk).to_vec();
    let signed = sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &m.sign);
    let checked = region.directory.check(&signed, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    assert!(matches!(region.directory.check_prekey(NOW / crate::limits::WEEK, &pk).err(), Some(RecordFault::Key(_))));
}

#[test]
fn attack_18_thresholds_count_distinct_keys_of_the_policy() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let k = &region.coordinators;
    let stranger = SigningKey::from_seed(&[77; 32]);
    for keys in [vec![&k[0], &k[0], &k[0]], vec![&k[0], &k[1]], vec![&k[0], &k[1], &stranger], vec![]] {
        assert_eq!(fault(&region, &next_org(&region, m, |_| {}, &keys)), Some(RecordFault::Threshold));
    }
}

#[test]
fn coordinators_of_the_applicants_own_country_alone_do_not_accredit() {
    let mut region = Region::new(1, 0);
    let mut rng = region.rng.clone();
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate(&mut rng).0).collect();
    let founders: Vec<ceremony::Founder<'_>> = keys
        .iter()
        .zip(1u8..)
        .map(|(key, n)| ceremony::Founder { id: [n; 16], country: "RO", key, node: NodeId([0; 16]) })
        .collect();
    let k = ceremony::Thresholds { accredit: 2, revoke: 2, root: 3, f: 0 };
    let (genesis, net) = ceremony::genesis(wire::NetworkKind::Training, "one country", &founders, k, NOW);
    region.directory = Directory::found(&genesis, Some(net)).unwrap();
    let application = Application {
        org: OrgId([1; 16]),
        label: "X",
        country: "RO",
        roles: &[],
        competences: &[],
        root_pk: keys[0].public(),
    };
    let record = ceremony::accredit(net, &application, &keys.iter().collect::<Vec<_>>(), NOW);
    assert_eq!(fault(&region, &record), Some(RecordFault::Threshold));
}

#[test]
fn a_record_of_another_network_is_refused() {
    let region = Region::new(1, 1);
    let other = Region::of_kind(1, 1, wire::NetworkKind::Live);
    for record in &other.records {
        let fault = fault(&region, record);
        assert_eq!(fault, Some(RecordFault::OtherNetwork));
    }
    assert_eq!(Directory::found(&other.genesis, Some(region.net)).err(), Some(RecordFault::OtherNetwork));
    assert_eq!(fault(&region, &other.genesis), Some(RecordFault::OtherNetwork));
    let _: Net = other.net;
}

#[test]
fn a_network_is_for_training_or_live_and_nothing_else() {
    let region = Region::new(1, 0);
    for kind in [0, 3, -1] {
        let policy = RootPolicy { kind, ..region.directory.policy().clone() };
        let mut signed =
            Signed { payload_type: media::ROOT.into(), payload: policy.encode_to_vec(), signatures: vec![] };
        region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
        assert_eq!(Directory::found(&signed, None).err(), Some(RecordFault::Field), "kind {kind}");
    }
}

#[test]
fn attack_17_versions_only_rise_by_one_and_carry_their_predecessor() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let k = coordinators(&region);
    let skips = next_org(&region, m, |r| r.version += 1, &k);
    let unchained = next_org(&region, m, |r| r.prev_hash = vec![0; 32], &k);
    assert_eq!(fault(&region, &skips), Some(RecordFault::Broken));
    assert_eq!(fault(&region, &unchained), Some(RecordFault::Broken));
    let mut newer = Region::new(1, 1);
    let next = next_org(&newer, &newer.members[0], |_| {}, &coordinators(&newer));
    let checked = newer.directory.check(&next, NOW).unwrap().unwrap();
    newer.directory.insert(checked);
    assert_eq!(fault(&newer, &newer.records[0]), Some(RecordFault::Rollback));
}

#[test]
fn a_serial_from_the_future_is_refused_and_an_older_one_too() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let mut descriptor = region.directory.descriptor(m.node).unwrap().clone();
    descriptor.serial += 3;
    assert_eq!(
        fault(&region, &sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &m.sign)),
        Some(RecordFault::Broken)
    );
    descriptor.serial -= 4;
    descriptor.expires -= crate::limits::DAY;
    assert_eq!(
        fault(&region, &sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &m.sign)),
        Some(RecordFault::Rollback)
    );
}

#[test]
fn revocation_needs_its_threshold_or_the_subjects_own_key_and_then_ends_everything() {
    let mut region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let (org, node) = (a.org, a.node);
    let k = &region.coordinators;
    let kind = wire::SubjectKind::Organisation;
    let alone = ceremony::revoke(region.net, kind, org.0, "Compromised", NOW, &[&k[0]]);
    let by_peer = ceremony::revoke(region.net, kind, org.0, "Compromised", NOW, &[&b.root]);
    assert_eq!(fault(&region, &alone), Some(RecordFault::Threshold));
    assert_eq!(fault(&region, &by_peer), Some(RecordFault::Threshold));
    let tls = SigningKey::from_seed(&a.tls_seed).public();
    assert_eq!(region.directory.peer(&tls, NOW), Some(node));
    let both = ceremony::revoke(region.net, kind, org.0, "Compromised", NOW, &[&k[0], &k[1]]);
    let checked = region.directory.check(&both, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    assert_eq!(region.directory.peer(&tls, NOW), None);
    assert_eq!(region.directory.recipient(org, node, NOW).err(), Some(RouteFault::Revoked));
    assert_eq!(region.directory.signing_key(org, node, NOW - 1).err(), None);
}

#[test]
fn what_expired_is_kept_and_not_used() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let later = NOW + 36 * crate::limits::DAY;
    assert_eq!(region.directory.recipient(m.org, m.node, later).err(), Some(RouteFault::NoDescriptor));
    let much_later = NOW + 361 * crate::limits::DAY;
    assert_eq!(region.directory.recipient(m.org, m.node, much_later).err(), Some(RouteFault::Expired));
    let week_without_key = NOW + 34 * crate::limits::DAY + crate::limits::DAY / 2;
    let fault = region.directory.recipient(m.org, m.node, week_without_key).err();
    assert!(matches!(fault, Some(RouteFault::NoDescriptor | RouteFault::NoPrekey) | None));
}

#[test]
fn a_bundle_brings_a_stranger_to_the_same_directory() {
    let region = Region::new(1, 2);
    let m = &region.members[1];
    let mut fresh = Directory::found(&region.genesis, Some(region.net)).unwrap();
    let bundle = region.directory.bundle(m.org);
    for record in &bundle.records {
        if let Some(checked) = fresh.check(record, NOW).unwrap() {
            fresh.insert(checked);
        }
    }
    for prekey in &bundle.prekeys {
        if let Some(checked) = fresh.check_prekey(prekey.week, &prekey.pk).unwrap() {
            fresh.insert(checked);
        }
    }
    assert!(fresh.recipient(m.org, m.node, NOW).is_ok());
    assert_eq!(member_records(region.net, m, 1, &region.coordinators).len(), 3);
}

#[test]
fn what_tells_where_or_who_is_refused_at_admission_whoever_signed_it() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let refused = |change: fn(&mut OrgRecord)| fault(&region, &next_org(&region, m, change, &coordinators(&region)));
    let tells = |telling| Some(RecordFault::Tells(telling));
    assert_eq!(refused(|r| r.label = "Shelter, Strada Lungă 12".into()), tells(Telling::Address));
    assert_eq!(refused(|r| r.label = "House 44.4268".into()), tells(Telling::Coordinates));
    assert_eq!(refused(|r| r.label = String::new()), tells(Telling::Length));
    for change in [
        (|r| r.roles.push("at Strada Lunga".into())) as fn(&mut OrgRecord),
        |r| r.competences.push("Ana Popescu".into()),
        |r| r.competences = vec!["Shelter".into(); entry::CODES_MAX + 1],
        |r| r.country = "Ro".into(),
    ] {
        assert_eq!(refused(change), Some(RecordFault::Field));
    }
    // A code that this version does not know is a newer one's.
    assert_eq!(refused(|r| r.competences.push("NightShelter".into())), None);
    let ended = |reason: &str| {
        let signed = ceremony::revoke(region.net, wire::SubjectKind::Node, m.node.0, reason, NOW, &[&m.root]);
        fault(&region, &signed)
    };
    assert_eq!((ended("Compromised"), ended("Ana left with the keys")), (None, Some(RecordFault::Field)));
    let mut descriptor = region.directory.descriptor(m.node).unwrap().clone();
    descriptor.serial += 1;
    descriptor.languages.push("Ana".into());
    let signed = sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &m.sign);
    assert_eq!(fault(&region, &signed), Some(RecordFault::Field));
}

#[test]
fn an_entry_that_nobody_confirmed_for_ninety_days_is_stale_and_says_no_more_than_codes_and_hours() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    let directory = &region.directory;
    assert_eq!(
        [NOW, NOW + 90 * DAY - 1, NOW + 90 * DAY].map(|at| directory.is_stale(m.node, at)),
        [false, false, true]
    );
    assert!(directory.is_stale(NodeId([0; 16]), NOW));
    let held = directory.descriptor(m.node).unwrap();
    let said = |change: &dyn Fn(&mut Descriptor)| {
        let mut next = Descriptor { serial: held.serial + 1, ..held.clone() };
        change(&mut next);
        fault(&region, &sign(media::DESCRIPTOR, next.encode_to_vec(), &m.sign))
    };
    let hours = |day, from_minute, until_minute| wire::DutyHours { day, from_minute, until_minute };
    assert_eq!(said(&|d| d.duty = vec![hours(0, 0, 1440); 14]), None);
    assert_eq!(said(&|d| d.alternate = "Manager".into()), None);
    for wrong in [
        &|d: &mut Descriptor| d.duty = vec![hours(0, 0, 1440); 15],
        &|d: &mut Descriptor| d.duty = vec![hours(8, 0, 60)],
        &|d: &mut Descriptor| d.duty = vec![hours(1, 60, 60)],
        &|d: &mut Descriptor| d.duty = vec![hours(1, 0, 1441)],
        &|d: &mut Descriptor| d.alternate = "Ana Popescu".into(),
        // A word of next year, signed today.
        &|d: &mut Descriptor| d.attested = NOW + 365 * DAY,
    ] as [&dyn Fn(&mut Descriptor); 6]
    {
        assert_eq!(said(wrong), Some(RecordFault::Field));
    }
}

#[test]
fn who_lists_anothers_prekey_takes_it_from_nobody() {
    let region = Region::new(1, 2);
    let (victim, thief) = (&region.members[1], &region.members[0]);
    let mut descriptor = region.directory.descriptor(thief.node).unwrap().clone();
    descriptor.serial += 1;
    descriptor.prekeys = region.directory.descriptor(victim.node).unwrap().prekeys.clone();
    let signed = sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &thief.sign);
    let (week, pk) = (NOW / crate::limits::WEEK, victim.prekey(NOW).public().unwrap());
    // Wherever their ids stand in the order, whoever comes first.
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    for record in region.records.iter().chain([&signed]) {
        let checked = fresh.check(record, NOW).unwrap().unwrap();
        fresh.insert(checked);
    }
    for _ in 0..2 {
        let checked = fresh.check_prekey(week, pk.as_bytes()).unwrap().unwrap();
        fresh.insert(checked);
    }
    assert!(fresh.check_prekey(week, pk.as_bytes()).unwrap().is_none(), "known for both");
    assert!(fresh.recipient(victim.org, victim.node, NOW).is_ok());
    // A week it no longer lists, and a key it no longer has, end with the next descriptor.
    let mut next = descriptor.clone();
    next.serial += 1;
    next.prekeys.retain(|prekey| prekey.week != week);
    let signed = sign(media::DESCRIPTOR, next.encode_to_vec(), &thief.sign);
    let checked = fresh.check(&signed, NOW).unwrap().unwrap();
    fresh.insert(checked);
    assert!(fresh.recipient(victim.org, victim.node, NOW).is_ok());
    assert_eq!(fresh.prekey_ids(thief.node).len(), 0);
}

#[test]
fn of_two_revocations_of_one_date_everybody_keeps_the_same() {
    let region = Region::new(1, 1);
    let (org, k) = (region.members[0].org, coordinators(&region));
    let revoke =
        |reason: &str, at: u64| ceremony::revoke(region.net, wire::SubjectKind::Organisation, org.0, reason, at, &k);
    let all = [revoke("Closed", NOW), revoke("Compromised", NOW), revoke("Suspended", NOW), revoke("Closed", NOW + 1)];
    let held = |order: [usize; 4]| {
        let mut directory = region.directory.clone();
        for n in order {
            if let Some(checked) = directory.check(&all[n], NOW).unwrap() {
                directory.insert(checked);
            }
        }
        directory.revocations.values().map(|entry| entry.hash).collect::<Vec<_>>()
    };
    let kept = held([0, 1, 2, 3]);
    assert_eq!(kept, [all[..3].iter().map(|signed| sha256(&signed.payload)).min().unwrap()]);
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        assert_eq!(held(order), kept, "{order:?}");
    }
}

// Two records of one version, of which one names a root key that the holder never agreed to; then one that follows that.
#[test]
fn attack_20_a_rival_does_not_hand_its_root_key_on() {
    let mut region = Region::new(1, 2);
    let thief = SigningKey::from_seed(&[7; 32]);
    let m = &region.members[0];
    let rekeyed = next_org(&region, m, |record| record.org_root_pk = thief.public().to_vec(), &coordinators(&region));
    assert_eq!(fault(&region, &rekeyed), Some(RecordFault::Signer));
    let agreed = next_org(&region, m, |_| {}, &coordinators(&region));
    for record in [&agreed, &rekeyed] {
        let checked = region.directory.check(record, NOW).unwrap().unwrap();
        region.directory.insert(checked);
    }
    let mut onward = OrgRecord::decode(rekeyed.payload.as_slice()).unwrap();
    onward.version += 1;
    onward.prev_hash = sha256(&rekeyed.payload).to_vec();
    let payload = onward.encode_to_vec();
    let mut signed = Signed { payload_type: media::ORG.into(), payload, signatures: vec![] };
    region.coordinators.iter().chain([&thief]).for_each(|key| add_signature(&mut signed, key));
    assert_eq!(fault(&region, &signed), Some(RecordFault::Signer));
    add_signature(&mut signed, &region.members[0].root);
    assert_eq!(fault(&region, &signed), None, "the holder may");
}

//! What follows from the records: at the second at which each begins and ends, of whom they speak, and what others hear.

use super::contested::{next_policy, other_truth, take};
use super::*;
use crate::limits::{DESCRIPTOR_LIFE_SECS, WEEK};

/// A region whose first member's next record, of one kind, is valid for this one stretch.
fn valid(kind: &str, from: u64, until: u64) -> Region {
    let mut region = Region::new(1, 2);
    let m = &region.members[0];
    let signed = match kind {
        media::ORG => next_org(&region, m, |r| (r.valid_from, r.valid_until) = (from, until), &coordinators(&region)),
        media::NODECERT => {
            let held = region.directory.newest_cert(m.node).unwrap();
            let mut cert = NodeCert::decode(held.payload.as_slice()).unwrap();
            (cert.version, cert.prev_hash) = (cert.version + 1, sha256(&held.payload).to_vec());
            (cert.valid_from, cert.valid_until) = (from, until);
            sign(media::NODECERT, cert.encode_to_vec(), &m.root)
        }
        _ => {
            let change = |p: &mut RootPolicy| (p.not_before, p.not_after) = (from, until);
            next_policy(&region.genesis, change, &coordinators(&region))
        }
    };
    take(&mut region.directory, &signed);
    region
}

/// Why a node may not speak, by both ways to ask.
fn fault(region: &Region, (org, node): (OrgId, NodeId), at: u64) -> Option<RouteFault> {
    let why = region.directory.may_speak(org, node, at).err();
    assert_eq!(region.directory.signing_key(org, node, at).err(), why);
    why
}

#[test]
fn a_record_counts_from_its_first_second_until_its_last() {
    for kind in [media::ROOT, media::ORG, media::NODECERT] {
        let (from, until) = (NOW + 100, NOW + 200);
        let region = valid(kind, from, until);
        let m = &region.members[0];
        let at = [from - 1, from, until - 1, until].map(|at| fault(&region, (m.org, m.node), at));
        let expired = Some(RouteFault::Expired);
        assert_eq!(at, [expired, None, None, expired], "{kind}");
    }
}

#[test]
fn a_descriptor_counts_until_its_last_second_for_letters_and_for_lines() {
    let mut region = Region::new(1, 2);
    let m = &region.members[0];
    let until = NOW + DESCRIPTOR_LIFE_SECS - WEEK;
    let held = region.directory.descriptor(m.node).unwrap();
    let next = Descriptor { serial: held.serial + 1, expires: until, ..held.clone() };
    take(&mut region.directory, &sign(media::DESCRIPTOR, next.encode_to_vec(), &m.sign));
    let tls = SigningKey::from_seed(&m.tls_seed).public();
    for (at, counts) in [(until - 1, true), (until, false)] {
        assert_eq!(region.directory.recipient(m.org, m.node, at).is_ok(), counts);
        assert_eq!(region.directory.peer(&tls, at), counts.then_some(m.node));
    }
}

#[test]
fn a_revocation_counts_from_its_first_second() {
    let mut region = Region::new(1, 1);
    let m = &region.members[0];
    let ends = ceremony::revoke(region.net, wire::SubjectKind::Node, m.node.0, "Closed", NOW + 5, &[&m.root]);
    take(&mut region.directory, &ends);
    assert_eq!([4, 5].map(|at| region.directory.is_revoked(&m.node.0, NOW + at)), [false, true]);
    assert!(region.directory.check(&ends, NOW).unwrap().is_none(), "it is held");
    let later = ceremony::revoke(region.net, wire::SubjectKind::Node, m.node.0, "Closed", NOW + 6, &[&m.root]);
    assert!(region.directory.check(&later, NOW).unwrap().is_none(), "a later date replaces nothing");
    let sooner = ceremony::revoke(region.net, wire::SubjectKind::Node, m.node.0, "Closed", NOW + 4, &[&m.root]);
    take(&mut region.directory, &sooner);
    assert!(region.directory.is_revoked(&m.node.0, NOW + 4));
    let m = &region.members[0];
    let at = [3, 4].map(|at| fault(&region, (m.org, m.node), NOW + at));
    assert_eq!(at, [None, Some(RouteFault::Revoked)]);
}

#[test]
fn a_message_is_sealed_in_a_suite_that_both_sides_and_the_policy_have() {
    let fault = |policy: Option<(&[u32], u32)>, suites: &[u32]| {
        let mut region = Region::new(1, 1);
        let m = &region.members[0];
        if let Some((allowed, min)) = policy {
            let change = |p: &mut RootPolicy| (p.allowed_suites, p.min_suite) = (allowed.to_vec(), min);
            let policy = next_policy(&region.genesis, change, &coordinators(&region));
            take(&mut region.directory, &policy);
        }
        let held = region.directory.descriptor(m.node).unwrap();
        let next = Descriptor { serial: held.serial + 1, suites: suites.to_vec(), ..held.clone() };
        take(&mut region.directory, &sign(media::DESCRIPTOR, next.encode_to_vec(), &m.sign));
        region.directory.recipient(m.org, m.node, NOW).err()
    };
    let none = Some(RouteFault::NoSuite);
    assert_eq!(fault(None, &[2, 1]), None);
    assert_eq!(fault(None, &[2]), none, "they do not have it");
    assert_eq!(fault(Some((&[1, 2], 1)), &[2]), none, "this version does not have it");
    assert_eq!(fault(Some((&[1, 2], 2)), &[1, 2]), none, "the policy asks for more");
    assert_eq!(fault(Some((&[0], 0)), &[0, 1]), none, "the policy does not allow it");
}

#[test]
fn a_node_speaks_for_its_own_organisation_and_for_no_other() {
    let region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let fault = |org, node| fault(&region, (org, node), NOW);
    assert_eq!(fault(a.org, a.node), None);
    for (org, node) in [(b.org, a.node), (OrgId([0; 16]), a.node), (a.org, NodeId([0; 16]))] {
        assert_eq!(fault(org, node), Some(RouteFault::Unknown));
    }
    assert_eq!(region.directory.org_of(a.node), Some(a.org));
    assert_eq!(region.directory.nodes_of(b.org).collect::<Vec<_>>(), [b.node]);
    let weeks: Vec<u64> = region.directory.prekey_ids(a.node).into_iter().map(|(week, _)| week).collect();
    assert_eq!(weeks, crate::prekeys::published(NOW).collect::<Vec<_>>());
    let ids = a.prekeys.iter().map(|(_, secret)| secret.public().unwrap().id());
    assert!(region.directory.prekey_ids(a.node).into_iter().map(|(_, id)| id).eq(ids));
    assert!(*region.directory.genesis() == region.genesis);
}

#[test]
fn a_coordinator_is_found_by_the_ids_it_has_and_had_while_its_key_is_named() {
    let mut region = Region::new(1, 1);
    let named = |directory: &Directory, id: u8| {
        directory.coordinator_named(&[id; 16]).map(|(c, today)| (c.accreditation_pk, today))
    };
    let key = |n: usize| region.coordinators[n].public().to_vec();
    assert_eq!([1, 3, 9].map(|id| named(&region.directory, id)), [Some((key(0), true)), Some((key(2), true)), None]);
    // The first gets another id, the third is replaced by somebody of another id.
    let fresh = SigningKey::from_seed(&[90; 32]);
    let changed = |policy: &mut RootPolicy| {
        policy.coordinators[0].id = vec![9; 16];
        (policy.coordinators[2].id, policy.coordinators[2].accreditation_pk) = (vec![8; 16], fresh.public().to_vec());
    };
    let keys: Vec<&SigningKey> = region.coordinators.iter().chain([&fresh]).collect();
    let policy = next_policy(&region.genesis, changed, &keys);
    let third = key(2);
    let first = key(0);
    take(&mut region.directory, &policy);
    let d = &region.directory;
    assert_eq!([9, 1].map(|id| named(d, id)), [Some((first.clone(), true)), Some((first, true))]);
    assert_eq!([8, 3].map(|id| named(d, id)), [Some((fresh.public().to_vec(), true)), Some((third, false))]);
    assert_eq!(d.coordinator_named(&[1; 16]).unwrap().0.id, [9; 16], "as it is called today");
}

#[test]
fn what_others_signed_last_tells_the_time_and_what_a_node_signed_itself_does_not() {
    let region = Region::new(1, 2);
    let (a, b) = (region.members[0].node, region.members[1].node);
    let held = region.directory.descriptor(a).unwrap();
    let next = Descriptor { serial: held.serial + 1, ..held.clone() };
    let newer = sign(media::DESCRIPTOR, next.encode_to_vec(), &region.members[0].sign);
    let mut directory = region.directory.clone();
    let word = |me| directory.newest_word_in(std::slice::from_ref(&newer), me, NOW);
    assert_eq!((word(b), word(a)), (Some(NOW + HOUR), None));
    assert_eq!(directory.newest_word_in(&region.records, b, NOW), None, "they are held");
    take(&mut directory, &newer);
    let said = [a, b].map(|me| directory.newest_word_of_others(me));
    assert_eq!(said, [Some(NOW), Some(NOW + HOUR)]);
}

#[test]
fn what_contradicts_itself_is_told_of_its_own_organisation_and_named_by_its_hash() {
    let region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let about = |directory: &Directory| [a, b].map(|m| directory.is_contested_about(m.org));
    assert_eq!(about(&region.directory), [false, false]);
    let rival = other_truth(&region, a, "Other");
    let mut cert = region.directory.cert(b.node).unwrap().clone();
    cert.valid_until -= 1;
    let cert = sign(media::NODECERT, cert.encode_to_vec(), &b.root);
    let rivals = [next_policy(&region.genesis, |p| p.label = "one".into(), &coordinators(&region)), rival, cert];
    let two = next_policy(&region.genesis, |p| p.label = "two".into(), &coordinators(&region));
    for (n, signed) in rivals.iter().enumerate() {
        let mut directory = region.directory.clone();
        if n == 0 {
            take(&mut directory, &two);
        }
        let Some(Checked::Rival(found)) = directory.check(signed, NOW).unwrap() else { panic!("{n}") };
        assert_eq!(found.hash(), sha256(&signed.payload), "{n}");
        directory.insert(Checked::Rival(found));
        assert_eq!(about(&directory), [n == 1, n == 2]);
    }
}

#[test]
fn a_prekey_is_taken_for_the_week_for_which_it_is_listed() {
    let region = Region::new(1, 1);
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    region.records.iter().for_each(|record| take(&mut fresh, record));
    let (week, secret) = &region.members[0].prekeys[0];
    let pk = secret.public().unwrap();
    for wrong in [week - 1, week + 1] {
        assert_eq!(fresh.check_prekey(wrong, pk.as_bytes()).err(), Some(RecordFault::Signer));
        assert_eq!(fresh.check_kept_prekey(wrong, pk.as_bytes()).err(), Some(RecordFault::Signer));
    }
    assert!(fresh.check_prekey(*week, pk.as_bytes()).unwrap().is_some());
}

#[test]
fn what_an_earlier_root_key_signed_is_taken_at_a_start_and_not_as_news() {
    let region = Region::new(1, 1);
    let (m, fresh) = (&region.members[0], SigningKey::from_seed(&[90; 32]));
    let keys: Vec<&SigningKey> = region.coordinators.iter().chain([&m.root]).collect();
    let rekeyed = |by: &[&SigningKey]| next_org(&region, m, |r| r.org_root_pk = fresh.public().to_vec(), by);
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    take(&mut directory, &region.records[0]);
    // What an office's own node tells is judged by what is held as well.
    let by_coordinators = rekeyed(&coordinators(&region));
    assert_eq!(directory.check_told(&by_coordinators, NOW).err(), Some(RecordFault::Signer));
    take(&mut directory, &rekeyed(&keys));
    let cert = &region.records[1];
    assert_eq!(directory.check(cert, NOW).err(), Some(RecordFault::Signer));
    let kept = directory.check_kept(cert, &crate::signed::Verdicts::default());
    assert!(matches!(kept, Ok(Some(Checked::Cert(..)))));
}

#[test]
fn coordinators_are_listed_by_their_nodes_while_they_may_speak_and_without_who_asks() {
    let region = Region::with_coordinators(1, 5, 3);
    let mut all: Vec<(OrgId, NodeId)> = region.members[..3].iter().map(|m| (m.org, m.node)).collect();
    all.sort_by_key(|(_, node)| *node);
    let listed = |me: NodeId, at| region.directory.coordinators(me, at);
    assert_eq!(listed(region.members[4].node, NOW), all);
    let me = all.remove(1);
    assert_eq!(listed(me.1, NOW), all);
    assert!(listed(me.1, NOW + 400 * DAY).is_empty());
}

#[test]
fn a_log_is_found_by_its_name_and_by_no_other() {
    let region = Region::with_logs(1, 4);
    let named = |origin: &str| region.directory.log_named(origin).map(|(node, key)| (node, key.public()));
    for m in &region.members[..3] {
        let (own, shared) =
            (crate::audit::origin(region.net, m.org, m.node, 1), logs::origin(region.net, m.org, m.node));
        assert_eq!(named(&shared), Some((m.node, m.log().public())));
        assert_eq!(named(&own), Some((m.node, m.log().public())));
        assert_eq!(named(&own[..own.len() - 1]), None, "only the beginning of it");
    }
    let last = &region.members[3];
    assert_eq!(named(&logs::origin(region.net, last.org, last.node)), None, "it keeps none");
}

#[test]
fn a_channel_key_that_was_replaced_lets_nobody_in() {
    let mut region = Region::new(1, 1);
    let m = &region.members[0];
    let [old, new] = [m.tls_seed, [91; 32]].map(|seed| SigningKey::from_seed(&seed).public());
    let held = region.directory.descriptor(m.node).unwrap();
    let next = Descriptor { serial: held.serial + 1, tls_pks: vec![new.to_vec()], ..held.clone() };
    take(&mut region.directory, &sign(media::DESCRIPTOR, next.encode_to_vec(), &m.sign));
    assert_eq!([old, new].map(|key| region.directory.peer(&key, NOW)), [None, Some(m.node)]);
}

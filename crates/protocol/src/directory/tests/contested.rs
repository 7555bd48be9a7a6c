//! Two truths about one subject, and policies that somebody wants to take over.

use super::*;

pub(super) fn take(directory: &mut Directory, signed: &Signed) {
    let checked = directory.check(signed, NOW).unwrap().unwrap();
    directory.insert(checked);
}

/// A record of the version held, with another name.
pub(super) fn other_truth(region: &Region, m: &Member, label: &str) -> Signed {
    let held = region.directory.orgs.get(&m.org).unwrap().newest().value().clone();
    let change = |r: &mut OrgRecord| *r = OrgRecord { label: label.into(), ..held.clone() };
    next_org(region, m, change, &coordinators(region))
}

#[test]
fn attack_20_two_records_of_one_version_freeze_at_the_one_before_and_stay_as_evidence() {
    let mut region = Region::new(1, 2);
    let (org, node) = (region.members[0].org, region.members[0].node);
    let second = next_org(&region, &region.members[0], |r| r.label = "Second".into(), &coordinators(&region));
    take(&mut region.directory, &second);
    assert_eq!(region.directory.accredited(org).unwrap().label, "Second");
    let rival = other_truth(&region, &region.members[0], "Shelter of friends");
    // Nobody who may not sign can freeze anybody.
    let unsigned = Signed { signatures: rival.signatures[..1].to_vec(), ..rival.clone() };
    assert_eq!(fault(&region, &unsigned), Some(RecordFault::Threshold));
    take(&mut region.directory, &rival);
    let before = region.directory.accredited(org).unwrap();
    assert_eq!((before.version, region.directory.signing_key(org, node, NOW).is_ok()), (1, true));
    let evidence: Vec<_> = region.directory.contested().collect();
    assert!(evidence == [[&second, &rival]]);
    for known in [&second, &rival] {
        assert!(region.directory.check(known, NOW).unwrap().is_none());
    }
    let third = other_truth(&region, &region.members[0], "A third");
    assert_eq!(fault(&region, &third), Some(RecordFault::Equivocation), "two are evidence enough");
    // A stranger who reads all of it, and one who starts again, come to the same.
    let mut stranger = Directory::found(&region.genesis, None).unwrap();
    region.directory.records().skip(1).for_each(|record| take(&mut stranger, record));
    assert_eq!((stranger.accredited(org).unwrap().version, stranger.contested().count()), (1, 1));
    // Only a higher version ends it, whichever of the two it follows.
    for prior in [&second, &rival] {
        let mut directory = region.directory.clone();
        let change = |r: &mut OrgRecord| (r.version, r.prev_hash) = (3, sha256(&prior.payload).to_vec());
        let third = next_org(&region, &region.members[0], change, &coordinators(&region));
        take(&mut directory, &third);
        assert_eq!((directory.accredited(org).unwrap().version, directory.contested().count()), (3, 0));
        assert_eq!(directory.check(prior, NOW).err(), Some(RecordFault::Rollback));
        // Contested again, it freezes at the one of the two that was gone on from.
        let again = |r: &mut OrgRecord| {
            (r.version, r.prev_hash, r.label) = (3, sha256(&prior.payload).to_vec(), "Again".into());
        };
        take(&mut directory, &next_org(&region, &region.members[0], again, &coordinators(&region)));
        let gone_on_from = OrgRecord::decode(prior.payload.as_slice()).unwrap();
        assert!(*directory.accredited(org).unwrap() == gone_on_from);
    }
}

#[test]
fn attack_20_with_nothing_before_them_two_first_records_count_for_nothing() {
    let mut region = Region::new(1, 2);
    let (org, node) = (region.members[0].org, region.members[0].node);
    let rival = other_truth(&region, &region.members[0], "Other");
    take(&mut region.directory, &rival);
    assert!(region.directory.accredited(org).is_none() && !region.directory.is_coordinator(org));
    assert!(region.directory.org(org).is_some(), "its name is still known");
    assert_eq!(region.directory.signing_key(org, node, NOW).err(), Some(RouteFault::Contested));
    let tls = SigningKey::from_seed(&region.members[0].tls_seed).public();
    assert_eq!(region.directory.peer(&tls, NOW), None);
    assert!(region.directory.recipient(region.members[1].org, region.members[1].node, NOW).is_ok());
    // A certificate likewise, by the organisation's own root.
    let other = &region.members[1];
    let mut cert = region.directory.cert(other.node).unwrap().clone();
    cert.valid_until -= 1;
    let cert = sign(media::NODECERT, cert.encode_to_vec(), &other.root);
    let (org, node) = (other.org, other.node);
    take(&mut region.directory, &cert);
    assert_eq!(region.directory.signing_key(org, node, NOW).err(), Some(RouteFault::Contested));
}

/// A policy that follows one, signed by these keys.
pub(super) fn next_policy(before: &Signed, change: impl FnOnce(&mut RootPolicy), keys: &[&SigningKey]) -> Signed {
    let mut policy = RootPolicy::decode(before.payload.as_slice()).unwrap();
    policy.version += 1;
    policy.prev_hash = sha256(&before.payload).to_vec();
    change(&mut policy);
    let mut signed = Signed { payload_type: media::ROOT.into(), payload: policy.encode_to_vec(), signatures: vec![] };
    keys.iter().for_each(|key| add_signature(&mut signed, key));
    signed
}

#[test]
fn attack_21_a_policy_is_taken_over_by_nobody() {
    let region = Region::new(1, 1);
    let old = coordinators(&region);
    let fresh: Vec<SigningKey> = (90..93).map(|n| SigningKey::from_seed(&[n; 32])).collect();
    let new: Vec<&SigningKey> = fresh.iter().collect();
    let takes_over = |policy: &mut RootPolicy| {
        for (coordinator, key) in policy.coordinators.iter_mut().zip(&fresh) {
            coordinator.accreditation_pk = key.public().to_vec();
        }
    };
    let both: Vec<&SigningKey> = old.iter().chain(&new).copied().collect();
    for (keys, why) in [(&new, "only the new"), (&old, "only the old"), (&vec![], "nobody")] {
        let policy = next_policy(&region.genesis, takes_over, keys);
        assert_eq!(fault(&region, &policy), Some(RecordFault::Threshold), "{why}");
    }
    let skips = next_policy(&region.genesis, |policy| policy.version += 1, &both);
    assert_eq!(fault(&region, &skips), Some(RecordFault::Broken));
    let live = next_policy(&region.genesis, |policy| policy.kind = wire::NetworkKind::Live.into(), &old);
    assert_eq!(fault(&region, &live), Some(RecordFault::OtherNetwork), "a training network stays one");
    // By both it is taken, the old keys have no say any more, and a stranger walks every step.
    let mut directory = region.directory.clone();
    let second = next_policy(&region.genesis, takes_over, &both);
    take(&mut directory, &second);
    let again = next_org(&region, &region.members[0], |_| {}, &old);
    assert_eq!(
        directory.check(&again, NOW).err(),
        Some(RecordFault::Threshold),
        "attack 18: keys that the newest policy removed"
    );
    let third = next_policy(&second, |policy| policy.label = "third".into(), &new);
    take(&mut directory, &third);
    let walk: Vec<u64> = directory.records().map_while(version_of_policy).collect();
    assert_eq!(walk, [1, 2, 3]);
    for walked in [&region.genesis, &second, &third] {
        assert!(directory.check(walked, NOW).unwrap().is_none(), "every bundle brings all of them");
    }
    let elsewhere = next_policy(&region.genesis, |policy| policy.label = "elsewhere".into(), &old);
    assert_eq!(directory.check(&elsewhere, NOW).err(), Some(RecordFault::Rollback));
    let mut stranger = Directory::found(&region.genesis, Some(region.net)).unwrap();
    assert_eq!(stranger.check(&third, NOW).err(), Some(RecordFault::Broken), "no step is left out");
    take(&mut stranger, &second);
    take(&mut stranger, &third);
    assert_eq!(stranger.policy().version, 3);
}

#[test]
fn a_policy_names_each_coordinator_once_and_whole() {
    let region = Region::new(1, 1);
    let keys = coordinators(&region);
    let fault = |change: fn(&mut RootPolicy)| fault(&region, &next_policy(&region.genesis, change, &keys));
    assert_eq!(fault(|_| {}), None);
    assert_eq!(fault(|policy| policy.coordinators[1].id.truncate(15)), Some(RecordFault::Field));
    let twice = |policy: &mut RootPolicy| {
        policy.coordinators[1].accreditation_pk = policy.coordinators[0].accreditation_pk.clone();
    };
    assert_eq!(fault(twice), Some(RecordFault::Field));
    assert_eq!(fault(|policy| policy.witness_policy = "nonsense".into()), Some(RecordFault::Field));
    assert_eq!(fault(|policy| policy.k_revoke = 0), Some(RecordFault::Field));
    assert_eq!(fault(|policy| policy.k_revoke = 4), Some(RecordFault::Field));
    assert_eq!(fault(|policy| policy.coordinators[2].country = "??".into()), Some(RecordFault::Field));
}

#[test]
fn a_network_begins_with_a_first_policy_that_follows_none() {
    let region = Region::new(1, 1);
    let keys = coordinators(&region);
    let first = |change: fn(&mut RootPolicy)| {
        let undo = |policy: &mut RootPolicy| (policy.version, policy.prev_hash) = (1, Vec::new());
        let policy = next_policy(&region.genesis, |policy| (undo(policy), change(policy)).1, &keys);
        Directory::found(&policy, None).err()
    };
    assert_eq!(first(|_| {}), None);
    assert_eq!(first(|policy| policy.version = 2), Some(RecordFault::Broken));
    assert_eq!(first(|policy| policy.prev_hash = vec![7; 32]), Some(RecordFault::Broken));
}

fn version_of_policy(record: &Signed) -> Option<u64> {
    let policy = record.payload_type == media::ROOT;
    policy.then(|| RootPolicy::decode(record.payload.as_slice()).unwrap().version)
}

#[test]
fn attack_20_two_policies_of_one_version_stop_what_leaves_until_a_higher_one() {
    let mut region = Region::new(1, 2);
    let k = coordinators(&region);
    let named = |label: &str| next_policy(&region.genesis, |policy| policy.label = label.into(), &k);
    let (second, rival) = (named("second"), named("rival"));
    let short = Signed { signatures: rival.signatures[..1].to_vec(), ..rival.clone() };
    let to = (region.members[1].org, region.members[1].node);
    take(&mut region.directory, &second);
    assert_eq!(fault(&region, &short), Some(RecordFault::Threshold));
    assert!(region.directory.recipient(to.0, to.1, NOW).is_ok());
    take(&mut region.directory, &rival);
    assert!(region.directory.is_contested());
    assert_eq!(region.directory.recipient(to.0, to.1, NOW).err(), Some(RouteFault::Contested));
    assert!(region.directory.signing_key(to.0, to.1, NOW).is_ok(), "what comes is still read");
    let keys: Vec<_> = region.coordinators.iter().collect();
    for prior in [&second, &rival] {
        let mut directory = region.directory.clone();
        take(&mut directory, &next_policy(prior, |policy| policy.label = "third".into(), &keys));
        assert!(!directory.is_contested() && directory.recipient(to.0, to.1, NOW).is_ok());
        let mut stranger = Directory::found(&region.genesis, Some(region.net)).unwrap();
        directory.records().skip(1).for_each(|record| take(&mut stranger, record));
        assert_eq!(stranger.policy().version, 3, "the walk goes the way that was gone on");
    }
}

#[test]
fn what_is_kept_is_read_back_in_an_order_in_which_it_can_be_checked() {
    let mut region = Region::new(1, 1);
    let mut kept: Vec<(Vec<u8>, Signed)> = Vec::new();
    let keep = |directory: &mut Directory, signed: &Signed, kept: &mut Vec<(Vec<u8>, Signed)>| {
        let checked = directory.check(signed, NOW).unwrap().unwrap();
        kept.push((Directory::row_key(&checked), signed.clone()));
        directory.insert(checked);
    };
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    region.records.iter().for_each(|record| keep(&mut directory, record, &mut kept));
    region.directory = directory.clone();
    let second = next_org(&region, &region.members[0], |_| {}, &coordinators(&region));
    keep(&mut directory, &second, &mut kept);
    region.directory = directory.clone();
    let rival = other_truth(&region, &region.members[0], "rival");
    keep(&mut directory, &rival, &mut kept);
    let follows = |r: &mut OrgRecord| (r.version, r.prev_hash) = (3, sha256(&rival.payload).to_vec());
    keep(&mut directory, &next_org(&region, &region.members[0], follows, &coordinators(&region)), &mut kept);
    let rank = |(key, _): &(Vec<u8>, Signed)| b"PONQRV".iter().position(|kind| key.first() == Some(kind));
    kept.sort_by_cached_key(|row| (rank(row), row.0.clone()));
    kept.dedup_by(|b, a| a.0 == b.0);
    let mut again = Directory::found(&region.genesis, None).unwrap();
    kept.iter().for_each(|(_, record)| take(&mut again, record));
    assert_eq!(again.accredited(region.members[0].org).unwrap().version, 3);
}

//! Lost root keys: nothing of them counts before everybody could see it for three days and the holder of the old one could
//! object.

#[path = "lost_key/orders.rs"]
mod orders;
#[path = "lost_key/seen.rs"]
mod seen;

use clearhouse_wire::v1::{self as wire, SubjectKind};
use prost::Message as _;

use super::*;
use crate::ceremony;
use crate::directory::tests::next_org;
use crate::fixture::{Member, NOW, Region};
use crate::keys::SigningKey;
use crate::limits::HOUR;
use crate::signed::add_signature;

const WAIT: u64 = LOST_KEY_WAIT_SECS;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn all<'k>(region: &'k Region, also: &[&'k SigningKey]) -> Vec<&'k SigningKey> {
    region.coordinators.iter().chain(also.iter().copied()).collect()
}

/// The next accreditation of a member with another root key, and that the old one is lost.
fn lost(region: &Region, of: &Member, key: &SigningKey) -> Signed {
    let change = |record: &mut OrgRecord| (record.org_root_pk, record.lost_key) = (key.public().to_vec(), true);
    next_org(region, of, change, &all(region, &[]))
}

/// The accreditation behind a record, with a change.
fn after(region: &Region, record: &Signed, change: impl FnOnce(&mut OrgRecord), also: &[&SigningKey]) -> Signed {
    let mut next = ceremony::next_org(record, NOW, change).unwrap();
    all(region, also).iter().for_each(|key| add_signature(&mut next, key));
    next
}

fn take(directory: &mut Directory, signed: &Signed) {
    let checked = directory.check(signed, NOW).unwrap().unwrap();
    directory.insert(checked);
}

fn fault(directory: &Directory, signed: &Signed) -> Option<RecordFault> {
    directory.check(signed, NOW).err()
}

/// What a node does each minute.
fn look(directory: &mut Directory, now: u64) {
    directory.waits_begun(now).iter().for_each(|wait| directory.begin_wait(wait));
    directory.waits_over(now).into_iter().for_each(|checked| directory.insert(checked));
}

fn root(directory: &Directory, of: &Member) -> Vec<u8> {
    directory.org(of.org).unwrap().org_root_pk.clone()
}

fn stage(directory: &Directory, of: &Member, now: u64) -> Option<Stage> {
    Some(directory.lost_key(of.org, now)?.stage)
}

/// A region without logs: a training of two organisations.
fn training() -> (Region, SigningKey) {
    (Region::new(1, 2), key(7))
}

#[test]
fn attack_16_a_root_key_that_the_old_one_did_not_sign_gives_no_right_for_three_days() {
    let (mut region, new) = training();
    let old = root(&region.directory, &region.members[0]);
    let signed = lost(&region, &region.members[0], &new);
    let (directory, m) = (&mut region.directory, &region.members[0]);
    take(directory, &signed);
    assert!(matches!(directory.check(&signed, NOW), Ok(None)), "it is held");
    for at in [NOW, NOW + HOUR, NOW + WAIT - 1] {
        look(directory, at);
        assert_eq!((root(directory, m), directory.accredited(m.org).unwrap().version), (old.clone(), 1));
        assert_eq!(stage(directory, m, at), Some(Stage::Until(NOW + WAIT)));
    }
    // What the new one vouches for is nobody's until then.
    let cert = ceremony::next_cert(directory.newest_cert(m.node).unwrap(), NOW, &new).unwrap();
    assert_eq!(fault(directory, &cert), Some(RecordFault::Signer));
    let ends = ceremony::end_itself(region.net, m.org, &new, NOW);
    assert_eq!(fault(directory, &ends), Some(RecordFault::Threshold));
    look(directory, NOW + WAIT);
    assert_eq!((root(directory, m), stage(directory, m, NOW)), (new.public().to_vec(), None));
    assert!(directory.waits_over(NOW + WAIT).is_empty() && directory.check(&signed, NOW).unwrap().is_none());
    take(directory, &cert);
}

#[test]
fn only_what_says_that_the_old_key_is_lost_waits_and_only_where_one_is() {
    let (region, new) = training();
    let (m, directory) = (&region.members[0], &region.directory);
    let next = |change: &dyn Fn(&mut OrgRecord)| next_org(&region, m, change, &all(&region, &[]));
    let unsaid = next(&|record| record.org_root_pk = new.public().to_vec());
    assert_eq!(fault(directory, &unsaid), Some(RecordFault::Signer));
    let same = next(&|record| record.lost_key = true);
    assert_eq!(fault(directory, &same), Some(RecordFault::Field), "it is the same key");
    let first = next(&|record| (record.lost_key, record.version, record.prev_hash) = (true, 1, vec![]));
    let founded = Directory::found(&region.genesis, None).unwrap();
    assert_eq!(fault(&founded, &first), Some(RecordFault::Field), "there was none before");
    // Everything else is asked of it as of any other.
    let waits = lost(&region, m, &new);
    let few = Signed { signatures: waits.signatures[..2].to_vec(), ..waits.clone() };
    assert_eq!(fault(directory, &few), Some(RecordFault::Threshold));
    let far = next(&|record| {
        (record.org_root_pk, record.lost_key, record.valid_until) = (new.public().to_vec(), true, NOW * 2);
    });
    assert_eq!(fault(directory, &far), Some(RecordFault::Field));
    let skips = next(&|record| (record.org_root_pk, record.lost_key, record.version) = (vec![7; 32], true, 3));
    assert!(fault(directory, &skips).is_some());
}

#[test]
fn the_word_of_the_old_key_needs_no_wait_before_or_during_it() {
    let (region, new) = training();
    let m = &region.members[0];
    let waits = lost(&region, m, &new);
    // The same record, with the signature after all.
    let mut agreed = waits.clone();
    add_signature(&mut agreed, &m.root);
    let mut directory = region.directory.clone();
    take(&mut directory, &waits);
    look(&mut directory, NOW);
    let kept = directory.check_waiting(&agreed, &Verdicts::default());
    assert!(matches!(kept, Ok(None)), "what was written down as waiting is nothing more at a start");
    take(&mut directory, &agreed);
    assert_eq!((root(&directory, m), stage(&directory, m, NOW)), (new.public().to_vec(), None));
    // Or another successor, of the same key or a third: what waited is gone, and stays away.
    let (same, third) =
        (|_: &mut OrgRecord| {}, |record: &mut OrgRecord| record.org_root_pk = key(8).public().to_vec());
    let successors =
        [next_org(&region, m, same, &all(&region, &[])), next_org(&region, m, third, &all(&region, &[&m.root]))];
    for next in successors {
        let mut directory = region.directory.clone();
        take(&mut directory, &waits);
        look(&mut directory, NOW);
        take(&mut directory, &next);
        look(&mut directory, NOW + 9 * WAIT);
        assert_eq!((directory.accredited(m.org).unwrap().version, stage(&directory, m, NOW)), (2, None));
        assert_ne!(root(&directory, m), new.public());
        assert_eq!(fault(&directory, &waits), Some(RecordFault::Rollback), "nor does it contradict anybody");
        assert_eq!(directory.contested().count(), 0);
    }
}

// A review voided a first attempt by this: the second record asked the first, which waited, for its word.
#[test]
fn two_in_a_row_wait_one_after_the_other() {
    let (mut region, new) = training();
    let m = &region.members[0];
    let first = lost(&region, m, &new);
    let second = after(&region, &first, |record| record.label = "Shelter of friends".into(), &[&new]);
    let another = after(&region, &first, |r| (r.org_root_pk, r.lost_key) = (key(8).public().to_vec(), true), &[&new]);
    let directory = &mut region.directory;
    take(directory, &first);
    look(directory, NOW);
    for next in [&second, &another] {
        assert_eq!(fault(directory, next), Some(RecordFault::Broken));
    }
    look(directory, NOW + WAIT);
    assert_eq!(root(directory, m), new.public());
    take(directory, &second);
    assert_eq!(directory.accredited(m.org).unwrap().label, "Shelter of friends");
}

#[test]
fn of_two_that_wait_for_one_place_neither_comes_to_its_end_and_the_old_key_goes_on() {
    let (region, new) = training();
    let m = &region.members[0];
    let (first, rival) = (lost(&region, m, &new), lost(&region, m, &key(8)));
    let mut directory = region.directory.clone();
    take(&mut directory, &first);
    look(&mut directory, NOW);
    let checked = directory.check(&rival, NOW).unwrap().unwrap();
    assert!(matches!(checked, Checked::Rival(Rival::Announced(..))), "evidence");
    directory.insert(checked);
    assert_eq!(fault(&directory, &lost(&region, m, &key(9))), Some(RecordFault::Equivocation));
    look(&mut directory, NOW + 9 * WAIT);
    assert_eq!(stage(&directory, m, NOW), Some(Stage::Contested));
    assert_eq!(root(&directory, m), m.root.public());
    assert_eq!(directory.accredited(m.org).unwrap().version, 1, "what is in force stays in force");
    assert!(directory.signing_key(m.org, m.node, NOW).is_ok());
    let next = next_org(&region, m, |_| {}, &all(&region, &[]));
    take(&mut directory, &next);
    assert_eq!((directory.accredited(m.org).unwrap().version, stage(&directory, m, NOW)), (2, None));
    // What was taken twice is contested, and nothing follows one of them by its own word.
    let mut frozen = region.directory.clone();
    let other = next_org(&region, m, |record| record.label = "Other".into(), &all(&region, &[]));
    [&next, &other].iter().for_each(|record| take(&mut frozen, record));
    let change = |r: &mut OrgRecord| (r.org_root_pk, r.lost_key) = (new.public().to_vec(), true);
    assert_eq!(fault(&frozen, &after(&region, &next, change, &[])), Some(RecordFault::Equivocation));
}

#[test]
fn a_network_of_real_cases_without_logs_lets_no_root_key_wait_itself_in() {
    let mut region = Region::of_kind(1, 2, NetworkKind::Live);
    let signed = lost(&region, &region.members[0], &key(7));
    take(&mut region.directory, &signed);
    look(&mut region.directory, NOW);
    look(&mut region.directory, NOW + 9 * WAIT);
    assert_eq!(stage(&region.directory, &region.members[0], NOW), Some(Stage::Unseen));
}

#[test]
fn the_holder_of_the_old_key_objects_before_or_after_the_record_is_read() {
    let (region, new) = training();
    let (m, other) = (&region.members[0], &region.members[1]);
    let signed = lost(&region, m, &new);
    let object = |by: &SigningKey| ceremony::object(&signed, by, NOW).unwrap();
    for by in [&other.root, &new, &m.sign, &region.coordinators[0]] {
        assert_eq!(fault(&region.directory, &object(by)), Some(RecordFault::Signer));
    }
    let mut late = region.directory.clone();
    take(&mut late, &signed);
    look(&mut late, NOW);
    take(&mut late, &object(&m.root));
    look(&mut late, NOW + 9 * WAIT);
    assert_eq!((stage(&late, m, NOW), root(&late, m)), (Some(Stage::Objected), m.root.public().to_vec()));
    for known in [&signed, &object(&m.root)] {
        assert!(late.check(known, NOW).unwrap().is_none(), "it is held");
    }

    let mut early = region.directory.clone();
    take(&mut early, &object(&m.root));
    assert_eq!(fault(&early, &signed), Some(RecordFault::Objected), "for ever");
    let mut agreed = signed.clone();
    add_signature(&mut agreed, &m.root);
    for directory in [&early, &late] {
        assert_eq!(fault(directory, &agreed), Some(RecordFault::Objected), "whatever is signed later");
    }
    // Another one is another matter: it takes the place of the one that was objected to.
    let again = lost(&region, m, &key(8));
    take(&mut late, &again);
    look(&mut late, NOW);
    assert_eq!(stage(&late, m, NOW), Some(Stage::Until(NOW + WAIT)));
    assert_eq!(fault(&late, &signed), Some(RecordFault::Objected));
    look(&mut late, NOW + WAIT);
    assert_eq!(root(&late, m), key(8).public());
    // The key that was replaced says nothing any more.
    let change = |r: &mut OrgRecord| (r.org_root_pk, r.lost_key) = (key(9).public().to_vec(), true);
    let third = after(&region, &again, change, &[]);
    assert_eq!(fault(&late, &ceremony::object(&third, &m.root, NOW).unwrap()), Some(RecordFault::Signer));
}

#[test]
fn objections_are_few_and_a_full_row_of_them_lets_nothing_through() {
    let (mut region, _) = training();
    let m = &region.members[0];
    let announced: Vec<Signed> = (0..=OBJECTIONS_MAX as u8).map(|n| lost(&region, m, &key(20 + n))).collect();
    let object = |signed: &Signed| ceremony::object(signed, &m.root, NOW).unwrap();
    let (last, others) = announced.split_last().unwrap();
    let next = next_org(&region, m, |_| {}, &all(&region, &[]));
    let directory = &mut region.directory;
    take(directory, last);
    look(directory, NOW);
    others.iter().for_each(|signed| take(directory, &object(signed)));
    assert_eq!(fault(directory, &object(last)), Some(RecordFault::Objected));
    look(directory, NOW + 9 * WAIT);
    assert_eq!((stage(directory, m, NOW), root(directory, m)), (Some(Stage::Objected), m.root.public().to_vec()));
    // The next version clears it.
    take(directory, &next);
    assert!(!directory.objections.contains_key(&m.org));
    assert_eq!(fault(directory, &object(last)), Some(RecordFault::Rollback));
    let mut far = wire::Objection::decode(object(last).payload.as_slice()).unwrap();
    far.version = 9;
    let far = crate::signed::sign(media::OBJECTION, far.encode_to_vec(), &m.root);
    assert_eq!(fault(directory, &far), Some(RecordFault::Broken), "none is kept for what nobody can announce");
}

#[test]
fn an_organisation_that_was_ended_gets_no_new_key() {
    let (mut region, new) = training();
    let m = &region.members[0];
    let signed = lost(&region, m, &new);
    let ended = ceremony::revoke(region.net, SubjectKind::Organisation, m.org.0, "Closed", NOW, &all(&region, &[]));
    let directory = &mut region.directory;
    take(directory, &signed);
    look(directory, NOW);
    take(directory, &ended);
    look(directory, NOW + 9 * WAIT);
    assert_eq!((stage(directory, m, NOW), root(directory, m)), (Some(Stage::Ended), m.root.public().to_vec()));
}

#[test]
fn coordinators_that_the_next_policy_names_no_more_end_no_wait() {
    let (mut region, new) = training();
    let m = &region.members[0];
    let signed = lost(&region, m, &new);
    let fresh = key(90);
    let policy = ceremony::next_policy(&region.genesis, NOW, |policy| {
        policy.coordinators[0].accreditation_pk = fresh.public().to_vec();
    });
    let mut policy = policy.unwrap();
    all(&region, &[&fresh]).iter().for_each(|key| add_signature(&mut policy, key));
    let directory = &mut region.directory;
    take(directory, &signed);
    look(directory, NOW);
    take(directory, &policy);
    look(directory, NOW + 9 * WAIT);
    assert_eq!(root(directory, m), m.root.public());
    assert_eq!(stage(directory, m, NOW), Some(Stage::Ended));
    // The others sign it anew, and it waits from the beginning.
    let named = signed.signatures[1..].to_vec();
    let mut anew = Signed { signatures: named, ..signed };
    add_signature(&mut anew, &fresh);
    take(directory, &anew);
    assert_eq!(stage(directory, m, NOW), Some(Stage::Unseen));
    look(directory, NOW);
    look(directory, NOW + WAIT);
    assert_eq!(root(directory, m), new.public());
}

#[test]
fn what_was_objected_to_or_ended_is_settled_and_nothing_else() {
    let (mut region, new) = training();
    let signed = lost(&region, &region.members[0], &new);
    take(&mut region.directory, &signed);
    let waits = region.directory.lost_key(region.members[0].org, NOW).unwrap();
    for (stage, settled) in [
        (Stage::Unseen, false),
        (Stage::Until(NOW), false),
        (Stage::Contested, false),
        (Stage::Objected, true),
        (Stage::Ended, true),
    ] {
        assert_eq!(LostKey { stage, ..waits }.is_settled(), settled, "{stage:?}");
    }
}

#[test]
fn while_what_is_in_force_is_contested_no_wait_begins_or_ends() {
    let (mut region, new) = training();
    let m = &region.members[0];
    let signed = lost(&region, m, &new);
    let held = region.directory.newest_org(m.org).unwrap().clone();
    let mut rival = OrgRecord::decode(held.payload.as_slice()).unwrap();
    rival.label = "Other".to_owned();
    let mut rival = Signed { payload: rival.encode_to_vec(), signatures: vec![], ..held };
    all(&region, &[]).iter().for_each(|key| add_signature(&mut rival, key));
    let directory = &mut region.directory;
    take(directory, &signed);
    look(directory, NOW);
    take(directory, &rival);
    assert_eq!(stage(directory, m, NOW), Some(Stage::Contested));
    look(directory, NOW + 9 * WAIT);
    assert_eq!((stage(directory, m, NOW), root(directory, m)), (Some(Stage::Contested), m.root.public().to_vec()));
}

#[test]
fn the_rows_of_what_waits_no_longer_go_with_the_record_that_ends_it() {
    let (region, new) = training();
    let m = &region.members[0];
    let (first, second) = (lost(&region, m, &new), lost(&region, m, &key(8)));
    let row = |signed: &Signed| announced_key(m.org, &sha256(&signed.payload));
    let left = |directory: &Directory, signed: &Signed| {
        directory.rows_left_by(&directory.check(signed, NOW).unwrap().unwrap())
    };
    let mut directory = region.directory.clone();
    assert!(left(&directory, &first).is_empty(), "nothing waits yet");
    take(&mut directory, &first);
    look(&mut directory, NOW);
    // The word of the old key: for another record, or for this very one.
    let mut agreed = first.clone();
    add_signature(&mut agreed, &m.root);
    for next in [next_org(&region, m, |_| {}, &all(&region, &[])), agreed] {
        assert_eq!(left(&directory, &next), [row(&first), wait_key(m.org)]);
    }
    assert!(left(&directory, &second).is_empty(), "both stand");
    let cert = ceremony::next_cert(directory.newest_cert(m.node).unwrap(), NOW, &m.root).unwrap();
    assert!(left(&directory, &cert).is_empty());
    // In the place of one that was objected to.
    take(&mut directory, &ceremony::object(&first, &m.root, NOW).unwrap());
    assert_eq!(left(&directory, &second), [row(&first), wait_key(m.org)]);
    // Who met the organisation by the record that waits learns the one before it: that one it follows, another it does not.
    let change = |r: &mut OrgRecord| (r.org_root_pk, r.lost_key) = (key(9).public().to_vec(), true);
    let far = after(&region, &first, change, &[]);
    for (met, gone) in [(&first, vec![]), (&far, vec![row(&far), wait_key(m.org)])] {
        let mut stranger = Directory::found(&region.genesis, None).unwrap();
        take(&mut stranger, met);
        assert_eq!(left(&stranger, &region.records[0]), gone);
    }
}

use super::*;
use crate::ceremony::revoke;
use crate::directory::tests::next_org;
use crate::directory::{Checked, RecordFault};
use crate::fixture::{Member, NOW, Region};
use crate::keys::SigningKey;
use crate::limits::HOUR;
use crate::pae::sha256;
use clearhouse_wire::v1::{self as wire, SubjectKind};

fn fresh_key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

/// The next accreditation of a member with another root key, signed by all coordinators and by `also`.
fn with_root(region: &Region, of: &Member, key: &SigningKey, also: &[&SigningKey]) -> wire::Signed {
    let keys: Vec<&SigningKey> = region.coordinators.iter().chain(also.iter().copied()).collect();
    next_org(region, of, |record| record.org_root_pk = key.public().to_vec(), &keys)
}

fn take(directory: &mut Directory, signed: &wire::Signed) -> bool {
    let checked = directory.check(signed, NOW).unwrap().unwrap();
    let waits = matches!(checked, Checked::Rekeyed(..));
    directory.insert(checked);
    waits
}

/// What the node does each minute.
fn look(directory: &mut Directory, now: u64) {
    for (org, wait) in directory.waits_due(now) {
        directory.set_wait(org, wait);
    }
}

fn root(directory: &Directory, org: OrgId) -> Vec<u8> {
    directory.org(org).unwrap().org_root_pk.clone()
}

#[test]
fn a_new_root_key_that_the_old_one_signed_counts_at_once() {
    let mut region = Region::new(1, 2);
    let key = fresh_key(7);
    let signed = with_root(&region, &region.members[0], &key, &[&region.members[0].root]);
    assert!(!take(&mut region.directory, &signed));
    assert_eq!(root(&region.directory, region.members[0].org), key.public());
}

#[test]
fn attack_16_a_root_key_that_the_old_one_did_not_sign_waits_three_days_where_all_can_see_it() {
    let mut region = Region::new(1, 2);
    let (key, org) = (fresh_key(7), region.members[0].org);
    let old = root(&region.directory, org);
    let signed = with_root(&region, &region.members[0], &key, &[]);
    assert!(take(&mut region.directory, &signed), "it waits");
    let directory = &mut region.directory;
    assert_eq!(root(directory, org), old);
    assert!(matches!(directory.check(&signed, NOW), Ok(None)), "it is held");

    // Nobody but this node knows since when; a time in the record is not asked.
    look(directory, NOW);
    for at in [NOW, NOW + HOUR, NOW + LOST_KEY_WAIT_SECS - 1] {
        look(directory, at);
        assert_eq!(root(directory, org), old, "after {}", at - NOW);
    }
    assert_eq!(directory.waiting_keys(NOW).next().unwrap().until(), Some(NOW + LOST_KEY_WAIT_SECS));
    look(directory, NOW + LOST_KEY_WAIT_SECS);
    assert_eq!(root(directory, org), key.public());
    assert_eq!(directory.waiting_keys(NOW).count(), 0);
    assert!(directory.waits_due(NOW + LOST_KEY_WAIT_SECS).is_empty());
}

#[test]
fn the_wait_begins_when_the_record_stands_in_a_log() {
    let mut region = Region::with_council(
        3,
        8,
        &["RO", "IT", "MD", "RS"],
        crate::ceremony::Thresholds { accredit: 3, revoke: 2, root: 3, f: 1 },
    );
    region.publish_all(NOW);
    let (key, org) = (fresh_key(7), region.members[6].org);
    let signed = with_root(&region, &region.members[6], &key, &[]);
    let mut directory = region.directory.clone();
    assert!(take(&mut directory, &signed));
    look(&mut directory, NOW);
    look(&mut directory, NOW + 9 * LOST_KEY_WAIT_SECS);
    assert_eq!(directory.waiting_keys(NOW).next().unwrap().since, None, "it was shown to nobody");
    directory.publish(sha256(&signed.payload));
    look(&mut directory, NOW + 1);
    look(&mut directory, NOW + LOST_KEY_WAIT_SECS);
    assert_ne!(root(&directory, org), key.public());
    look(&mut directory, NOW + 1 + LOST_KEY_WAIT_SECS);
    assert_eq!(root(&directory, org), key.public());
}

#[test]
fn whoever_has_the_old_key_objects_by_revoking_the_new_one() {
    let mut region = Region::new(1, 2);
    let (key, org) = (fresh_key(7), region.members[0].org);
    let old = root(&region.directory, org);
    let signed = with_root(&region, &region.members[0], &key, &[]);
    take(&mut region.directory, &signed);
    let subject = key_id(&key.public()).0;
    let object = |by: &SigningKey| revoke(region.net, SubjectKind::Key, subject, "NotOurs", NOW, &[by]);
    let other = region.directory.check(&object(&region.members[1].root), NOW);
    assert_eq!(other.err(), Some(RecordFault::Threshold), "another organisation has no say");
    let objection = object(&region.members[0].root);
    let directory = &mut region.directory;
    look(directory, NOW);
    take(directory, &objection);
    look(directory, NOW + 9 * LOST_KEY_WAIT_SECS);
    assert_eq!(root(directory, org), old);
    let waiting = directory.waiting_keys(NOW).next().unwrap();
    assert!(waiting.objected && waiting.until().is_none());

    // The next version goes on with the old key, and needs nobody else's.
    let next = with_root(&region, &region.members[0], &region.members[0].root, &[]);
    let version = region.directory.org(org).unwrap().version;
    assert!(!take(&mut region.directory, &next));
    assert_eq!((root(&region.directory, org), region.directory.org(org).unwrap().version), (old, version + 2));
}

#[test]
fn a_waiting_key_hands_nothing_on_and_certifies_nothing() {
    let mut region = Region::new(1, 2);
    let (key, third) = (fresh_key(7), fresh_key(8));
    let signed = with_root(&region, &region.members[0], &key, &[]);
    take(&mut region.directory, &signed);
    let onward = with_root(&region, &region.members[0], &third, &[&key]);
    assert!(matches!(region.directory.check(&onward, NOW), Ok(Some(Checked::Rekeyed(..)))));
    let m = &region.members[0];
    let mut cert = region.directory.cert(m.node).unwrap().clone();
    cert.version += 1;
    cert.prev_hash = sha256(&region.records.iter().find(|r| is_cert_of(r, m)).unwrap().payload).to_vec();
    let signed =
        |by: &SigningKey| crate::signed::sign(crate::labels::media::NODECERT, prost::Message::encode_to_vec(&cert), by);
    assert_eq!(region.directory.check(&signed(&key), NOW).err(), Some(RecordFault::Signer));
    assert!(region.directory.check(&signed(&m.root), NOW).is_ok());
}

fn is_cert_of(record: &wire::Signed, m: &Member) -> bool {
    let cert = <wire::NodeCert as prost::Message>::decode(record.payload.as_slice());
    record.payload_type == crate::labels::media::NODECERT && cert.is_ok_and(|cert| cert.node_id == m.node.0)
}

#[test]
fn what_is_kept_of_a_wait_is_read_back_and_its_row_stands_behind_the_record() {
    for wait in [Wait::Announced, Wait::Begun(NOW), Wait::Over] {
        assert_eq!(Wait::of_bytes(&wait.to_bytes()), Some(wait));
    }
    for bytes in [&[][..], &[0; 8], &[0; 10], &[0, 0, 0, 0, 0, 0, 0, 0, 3]] {
        assert_eq!(Wait::of_bytes(bytes), None);
    }
    let mut region = Region::new(1, 2);
    let signed = with_root(&region, &region.members[0], &fresh_key(7), &[]);
    let checked = region.directory.check(&signed, NOW).unwrap().unwrap();
    let record = Directory::row_key(&checked);
    region.directory.insert(checked);
    let key = region.directory.wait_key(region.members[0].org).unwrap();
    assert!(key.starts_with(&record) && key.len() == record.len() + 1);
    assert_eq!(Directory::wait_in(&key), Some(region.members[0].org));
    assert_eq!((Directory::wait_in(&record), Directory::wait_in(b"w")), (None, None));
}

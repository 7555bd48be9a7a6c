use super::*;
use crate::directory::Directory;
use crate::fixture::{NOW, Region};
use prost::Message as _;

fn take(directory: &mut Directory, record: &wire::Signed) -> bool {
    directory.check(record, NOW).ok().flatten().map(|checked| directory.insert(checked)).is_some()
}

#[test]
fn a_node_introduces_itself_and_nobody_else() {
    let region = Region::new(9, 3);
    let (one, other) = (&region.members[1], &region.members[2]);
    let said = introduction(&region.directory, one.node, other.org);
    assert!(!said.prekeys.is_empty());
    let bundle = introduced(said.clone(), one.node, Some(one.org)).unwrap();
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    for record in region.records.iter().filter(|record| record.payload_type != crate::labels::media::DESCRIPTOR) {
        assert!(take(&mut fresh, record));
    }
    assert!(take(&mut fresh, &bundle.records[0]) && fresh.descriptor(one.node).is_some());
    assert!(introduced(said.clone(), other.node, Some(other.org)).is_none(), "about somebody else");
    let org = region.records.iter().find(|record| record.payload_type == crate::labels::media::ORG).cloned();
    let of = |request: wire::DigestsRequest| introduced(request, one.node, Some(one.org));
    assert!(of(wire::DigestsRequest { own: org, ..said.clone() }).is_none(), "another record");
    let many = vec![said.prekeys[0].clone(); INTRODUCED_PREKEYS_MAX + 1];
    assert!(of(wire::DigestsRequest { prekeys: many, ..said }).is_none());
    assert!(of(wire::DigestsRequest::default()).is_none(), "it said nothing");
}

#[test]
fn to_a_coordinator_a_node_brings_what_vouches_for_it_and_for_nobody_else() {
    let region = Region::with_coordinators(12, 6, 3);
    let (first, one, other) = (&region.members[0], &region.members[4], &region.members[5]);
    let to_member = introduction(&region.directory, one.node, other.org);
    assert!(to_member.vouching.is_empty(), "other members learn it from the logs");
    let said = introduction(&region.directory, one.node, first.org);
    assert_eq!(said.vouching.len(), 2);

    // Who knows nothing of the caller but its policy knows all of it afterwards.
    let bundle = introduced(said.clone(), one.node, Some(one.org)).unwrap();
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    assert!(bundle.records.iter().all(|record| take(&mut fresh, record)));
    assert!(fresh.descriptor(one.node).is_some());

    let of = |vouching: Vec<wire::Signed>| {
        introduced(wire::DigestsRequest { vouching, ..said.clone() }, one.node, Some(one.org))
    };
    let others = introduction(&region.directory, other.node, first.org).vouching;
    for foreign in others {
        assert!(of(vec![foreign]).is_none(), "another's");
    }
    assert!(of(vec![region.genesis.clone()]).is_none(), "no record of a member");
    assert!(of(vec![said.vouching[0].clone(); INTRODUCED_RECORDS_MAX]).is_some());
    assert!(of(vec![said.vouching[0].clone(); INTRODUCED_RECORDS_MAX + 1]).is_none());
}

#[test]
fn it_is_said_only_where_it_is_not_held() {
    let region = Region::with_coordinators(12, 6, 3);
    let (first, one, other) = (&region.members[0], &region.members[4], &region.members[5]);
    let lacks = |directory: &Directory, to: OrgId| {
        let said = own_digest(&region.directory, one.node, to).unwrap();
        is_unheard(directory, to, one.node, &said, NOW)
    };
    assert!(!lacks(&region.directory, first.org) && !lacks(&region.directory, other.org));
    assert!(!is_unheard(&region.directory, first.org, one.node, &[], NOW), "it names none");
    assert!(is_unheard(&region.directory, first.org, one.node, &[7; 32], NOW), "another");

    // Everything but the prekeys: they are asked for, too.
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    for record in &region.records {
        take(&mut fresh, record);
    }
    assert!(lacks(&fresh, other.org));
    for prekey in introduction(&region.directory, one.node, other.org).prekeys {
        fresh.insert(fresh.check_prekey(prekey.week, &prekey.pk).unwrap().unwrap());
    }
    assert!(!lacks(&fresh, other.org) && !lacks(&fresh, first.org));
    // What vouches for it is of account to a coordinator alone.
    assert_ne!(own_digest(&fresh, one.node, first.org), own_digest(&fresh, one.node, other.org));
}

#[test]
fn what_a_coordinator_has_not_heard_of_a_renewal_is_said_to_it_and_to_nobody_else() {
    let region = Region::with_coordinators(12, 6, 3);
    let (first, one, other) = (&region.members[0], &region.members[4], &region.members[5]);
    let digests = |directory: &Directory| [first, other].map(|to| own_digest(directory, one.node, to.org).unwrap());
    let keys: Vec<_> = region.coordinators.iter().collect();
    let org = crate::directory::tests::next_org(&region, one, |_| {}, &keys);
    let held = region.directory.newest_cert(one.node).unwrap();
    let cert = crate::ceremony::next_cert(held, NOW, &one.root).unwrap();
    for renewed in [org, cert] {
        let mut directory = region.directory.clone();
        assert!(take(&mut directory, &renewed));
        let changed: Vec<bool> =
            digests(&region.directory).iter().zip(digests(&directory)).map(|(before, now)| *before != now).collect();
        assert_eq!(changed, [true, false]);
    }
}

#[test]
fn prekeys_of_this_week_and_the_next_are_asked_for_and_later_ones_are_not() {
    let region = Region::new(9, 2);
    let (one, other) = (&region.members[0], &region.members[1]);
    let said = own_digest(&region.directory, one.node, other.org).unwrap();
    for (n, (week, _)) in one.prekeys.iter().enumerate() {
        let mut directory = region.directory.clone();
        directory.prekeys.remove(&(one.node, *week));
        assert_eq!(is_unheard(&directory, other.org, one.node, &said, NOW), n < 2, "{n} weeks ahead");
    }
}

#[test]
fn a_record_of_itself_is_as_long_as_may_be_and_of_this_node_and_organisation() {
    let region = Region::new(9, 2);
    let (one, other) = (&region.members[0], &region.members[1]);
    let own = introduction(&region.directory, one.node, other.org).own;
    let of = |kind: &str, payload: Vec<u8>| {
        let record = wire::Signed { payload_type: kind.into(), payload, signatures: vec![] };
        let request = wire::DigestsRequest { own: own.clone(), vouching: vec![record], ..Default::default() };
        introduced(request, one.node, Some(one.org)).is_some()
    };
    let described = |spare: usize| wire::Descriptor {
        node_id: one.node.to_vec(),
        alternate: "x".repeat(spare),
        ..wire::Descriptor::default()
    };
    let beside = described(RECORD_MAX - 100).encode_to_vec().len() - (RECORD_MAX - 100);
    for (len, taken) in [(RECORD_MAX, true), (RECORD_MAX + 1, false)] {
        let payload = described(len - beside).encode_to_vec();
        assert_eq!(payload.len(), len);
        assert_eq!(of(media::DESCRIPTOR, payload), taken, "{len}");
    }
    let cert = |node: NodeId, org: OrgId| {
        wire::NodeCert { node_id: node.to_vec(), org_id: org.to_vec(), ..Default::default() }.encode_to_vec()
    };
    assert!(of(media::NODECERT, cert(one.node, one.org)));
    assert!(!of(media::NODECERT, cert(other.node, one.org)), "another node of it");
    assert!(!of(media::NODECERT, cert(one.node, other.org)), "in the name of another");
    let most = vec![wire::Prekey::default(); INTRODUCED_PREKEYS_MAX];
    let request = wire::DigestsRequest { own: own.clone(), prekeys: most, ..Default::default() };
    assert!(introduced(request, one.node, Some(one.org)).is_some());
}

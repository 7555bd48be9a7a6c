//! Certificates: whose a node's id is, by which keys, and who may sign.

use super::*;

fn take(directory: &mut Directory, records: &[Signed]) {
    for record in records {
        let checked = directory.check(record, NOW).unwrap().unwrap();
        directory.insert(checked);
    }
}

#[test]
fn a_certificate_names_log_and_witness_keys_of_its_own_node_each_for_one_use() {
    let region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let log = region.directory.log_key(a.node).unwrap();
    assert_eq!(log.public(), a.log().public());
    assert_eq!(log.name(), crate::audit::origin(region.net, a.org, a.node, 1));
    let held = region.directory.cert(a.node).unwrap().clone();
    let theirs = region.directory.cert(b.node).unwrap();
    let with = |change: &dyn Fn(&mut wire::NodeCert)| {
        let mut cert = held.clone();
        let second = NodeId::of(region.net, a.org, [9; 16]);
        cert.node_id = second.to_vec();
        let own = ceremony::certify(region.net, a.org, second, &a.keys(), &a.root, NOW).unwrap();
        let own = wire::NodeCert::decode(own.payload.as_slice()).unwrap();
        (cert.log_vkey, cert.witness_vkey) = (own.log_vkey, own.witness_vkey);
        change(&mut cert);
        fault(&region, &sign(media::NODECERT, cert.encode_to_vec(), &a.root))
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(with(&|cert| (cert.log_vkey, cert.witness_vkey) = Default::default()), None, "of before the log");
    assert_eq!(with(&|cert| cert.log_vkey = held.log_vkey.clone()), Some(RecordFault::Field), "another node's log");
    assert_eq!(with(&|cert| cert.log_vkey = theirs.log_vkey.clone()), Some(RecordFault::Field));
    assert_eq!(with(&|cert| cert.witness_vkey = held.witness_vkey.clone()), Some(RecordFault::Field));
    assert_eq!(with(&|cert| cert.log_vkey = cert.witness_vkey.clone()), Some(RecordFault::Field), "another use");
    assert_eq!(with(&|cert| cert.log_vkey = "nonsense".to_owned()), Some(RecordFault::Field));
    assert_eq!(with(&|cert| cert.sign_pk = a.log().public().to_vec()), Some(RecordFault::Field), "one key, two uses");
}

// A member that read an application certifies the applicant's node first.
#[test]
fn nobody_certifies_a_nodes_id_of_another_organisation_before_its_owner() {
    let region = Region::new(1, 2);
    let mut early = Directory::found(&region.genesis, None).unwrap();
    let (before, newcomers) = region.records.split_at(3);
    take(&mut early, before);
    let (squatter, newcomer) = (&region.members[0], &region.members[1]);
    let theirs = ceremony::certify(region.net, squatter.org, newcomer.node, &squatter.keys(), &squatter.root, NOW);
    assert_eq!(early.check(&theirs.unwrap(), NOW).err(), Some(RecordFault::NotItsNode));
    let drawn = ceremony::certify(region.net, squatter.org, NodeId([9; 16]), &squatter.keys(), &squatter.root, NOW);
    assert_eq!(early.check(&drawn.unwrap(), NOW).err(), Some(RecordFault::NotItsNode));
    take(&mut early, newcomers);
    assert_eq!(early.cert(newcomer.node).unwrap().org_id, newcomer.org.0);
}

#[test]
fn a_certificate_or_descriptor_by_the_wrong_key_is_refused() {
    let region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let second = NodeId::of(region.net, a.org, [9; 16]);
    let stolen = ceremony::certify(region.net, a.org, second, &b.keys(), &b.root, NOW).unwrap();
    assert_eq!(fault(&region, &stolen), Some(RecordFault::Signer));
    let moved = ceremony::certify(region.net, b.org, a.node, &b.keys(), &b.root, NOW).unwrap();
    assert_eq!(fault(&region, &moved), Some(RecordFault::NotItsNode));
    let mut descriptor = region.directory.descriptor(a.node).unwrap().clone();
    descriptor.serial += 1;
    let signed = sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &b.sign);
    assert_eq!(fault(&region, &signed), Some(RecordFault::Signer));
    descriptor.tls_pks = region.directory.descriptor(b.node).unwrap().tls_pks.clone();
    let hijack = sign(media::DESCRIPTOR, descriptor.encode_to_vec(), &a.sign);
    assert_eq!(fault(&region, &hijack), Some(RecordFault::Field));
}

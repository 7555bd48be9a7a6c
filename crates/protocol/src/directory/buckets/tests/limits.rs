//! As many as may be are told of, asked for and taken; the rest is left for the next session.

use super::*;
use crate::directory::entry::CODES_MAX;

/// A directory in which one bucket holds more nodes than are told of: all of them copies of the first member.
fn crowded(count: usize) -> (Region, Vec<NodeId>) {
    let mut region = Region::new(1, 1);
    let node = region.members[0].node;
    let nodes = of_bucket(0, count);
    let (cert, descriptor) = (region.directory.certs[&node].clone(), region.directory.descriptors[&node].clone());
    for node in &nodes {
        region.directory.certs.insert(*node, cert.clone());
        region.directory.descriptors.insert(*node, descriptor.clone());
    }
    (region, nodes)
}

#[test]
fn a_bucket_tells_of_as_many_nodes_as_may_be_and_of_the_first_by_their_ids() {
    let (region, nodes) = crowded(BUCKET_ITEMS_MAX + 1);
    let buckets = Buckets::of(&region.directory);
    let told: Vec<NodeId> = buckets.lists[0].iter().map(|item| item.node).take(BUCKET_ITEMS_MAX + 1).collect();
    assert_eq!(told, nodes[..BUCKET_ITEMS_MAX]);
    // As many to a page as fit, and all of them are read.
    let page = buckets.page(0, None);
    let (len, item) = (page.encoded_len(), framed(page.items[0].encoded_len()));
    assert!(len <= SYNC_PAGE_MAX && len + item > SYNC_PAGE_MAX, "{len}");
    let (mut listing, mut after) = (Listing::new(0), None);
    loop {
        after = listing.read(&buckets.page(0, after)).unwrap();
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listing.whole(buckets.digests()).unwrap().len(), BUCKET_ITEMS_MAX);
}

#[test]
fn an_answer_has_as_many_descriptors_as_are_asked_for_at_once_and_fit_it() {
    let (mut region, nodes) = crowded(DESCRIPTORS_ASKED_MAX + 1);
    let records = |region: &Region| Buckets::descriptors(&region.directory, &nodes).records.len();
    assert_eq!(records(&region), DESCRIPTORS_ASKED_MAX);
    let strangers = [vec![NodeId([9; 16])], nodes[..2].to_vec()].concat();
    assert_eq!(Buckets::descriptors(&region.directory, &strangers).records.len(), 2, "what is not held is passed over");
    // Swollen ones.
    let m = &region.members[0];
    let held = region.directory.descriptor(m.node).unwrap();
    let extension = wire::Extension { r#type: 9, critical: false, value: vec![7; 50_000] };
    let languages = vec!["ron".to_owned(); CODES_MAX];
    let next = wire::Descriptor { serial: held.serial + 1, extensions: vec![extension], languages, ..held.clone() };
    let signed = sign(crate::labels::media::DESCRIPTOR, next.encode_to_vec(), &m.sign);
    let node = m.node;
    assert!(take(&mut region.directory, &signed));
    let swollen = region.directory.descriptors[&node].clone();
    for node in &nodes {
        region.directory.descriptors.insert(*node, swollen.clone());
    }
    assert_eq!(records(&region), UNARY_MAX / framed(signed.encoded_len()));
}

#[test]
fn as_many_descriptors_are_wanted_as_one_session_brings() {
    let (region, nodes) = crowded(DESCRIPTORS_SESSION_MAX + 1);
    let serial = NOW / HOUR + 1;
    let known: Vec<Item> = nodes.iter().map(|node| item(*node, serial)).collect();
    let strangers: Vec<Item> = of_bucket(1, known.len()).into_iter().map(|node| item(node, serial)).collect();
    let mut wanted = Wanted::default();
    assert!(wanted.is_empty());
    wanted.add(&region.directory, &known[..DESCRIPTORS_SESSION_MAX], NOW);
    assert!(!wanted.is_empty());
    wanted.add(&region.directory, &strangers, NOW);
    wanted.add(&region.directory, &known, NOW);
    assert_eq!((wanted.known.len(), wanted.strangers.len()), (DESCRIPTORS_SESSION_MAX, DESCRIPTORS_SESSION_MAX));
    assert_eq!(wanted.orgs, [OrgId([1; 16])], "each organisation once");
    assert_eq!(wanted.left(&region.directory).count(), 2 * DESCRIPTORS_SESSION_MAX);
    let mut only = Wanted::default();
    only.add(&region.directory, &strangers[..1], NOW);
    assert!(!only.is_empty());
    // Of one organisation too many nobody is asked for, and of those before it everybody still is.
    let mut full = Wanted::default();
    let of = |n: usize, node: NodeId| Item { org: OrgId((n as u128).to_be_bytes()), ..item(node, serial) };
    let many: Vec<Item> = strangers.iter().take(ORGS_SESSION_MAX + 1).enumerate().map(|(n, i)| of(n, i.node)).collect();
    full.add(&region.directory, &many, NOW);
    full.add(&region.directory, &[of(0, strangers[99].node)], NOW);
    assert_eq!((full.orgs.len(), full.strangers.len()), (ORGS_SESSION_MAX, ORGS_SESSION_MAX + 1));
}

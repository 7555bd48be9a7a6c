use clearhouse_protocol::ceremony;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::fixture::{NOW, Region};

use super::super::tests::again;
use super::*;
use crate::office::hearing::tests::Node;
use prost::Message as _;

/// The keeper of the log that is followed, and the newcomer whose records come in it, among the region's members.
const KEEPER: usize = 0;
const NEWCOMER: usize = 5;

/// The region as it was founded.
fn founded() -> Region {
    let mut region = Region::with_logs(21, 6);
    region.directory = Directory::found(&region.genesis, None).unwrap();
    region
}

/// A node that knows everything but the newcomer, with the newcomer's record and certificate.
fn before(region: &Region) -> (Node, wire::Signed, wire::Signed) {
    let mut node = Node::new(&founded(), 4);
    let theirs = 1 + 3 * NEWCOMER;
    let records = region.records[..theirs].to_vec();
    let bundle = wire::RecordBundle { records, ..wire::RecordBundle::default() };
    let (_, intake) = node.act(region, NOW, |office, now| office.admit(&bundle, now));
    assert!(intake.refused.is_empty());
    (node, region.records[theirs].clone(), region.records[theirs + 1].clone())
}

/// Follows the keeper's log to its end, over these entries; the last from `first` on.
fn follow(node: &mut Node, region: &Region, entries: &[Vec<u8>], first: usize) -> Intake {
    let page = region.log_page(KEEPER, entries, (first, entries.len()), (&[1, 2], NOW));
    let keeper = region.members[KEEPER].node;
    node.act(region, NOW, |office, now| office.follow(keeper, &page, now)).1.unwrap()
}

/// Tries what is due again, with the bytes of the rows, as often as something comes of it.
fn settle(node: &mut Node, region: &Region, mut due: News) -> usize {
    let mut taken = 0;
    while !due.is_empty() {
        let bytes = |leaf: &[u8; 32]| {
            let row = node.rows.iter().rev().find(|row| row.key == leaf)?;
            wire::Signed::decode(row.value.as_deref()?).ok()
        };
        let entries: Vec<_> = node.office.waiting_for(&due).into_iter().map(|at| (at, bytes(&at.1))).collect();
        let again = |office: &Office, now: &mut Now<'_, _>| office.try_again(&entries, Verdicts::default(), now);
        let (_, intake) = node.act(region, NOW, again);
        taken += intake.new;
        due = intake.due;
    }
    taken
}

fn waiting(node: &Node) -> usize {
    node.office.waiting_for(&News::of_everybody()).len()
}

#[test]
fn a_certificate_that_comes_before_its_organisation_is_taken_when_that_comes() {
    let region = Region::with_logs(21, 6);
    let (mut node, org, cert) = before(&region);
    let m = &region.members[NEWCOMER];
    let entries = [cert.encode_to_vec(), org.encode_to_vec()];
    let first = follow(&mut node, &region, &entries[..1], 0);
    assert!(matches!(first.refused.as_slice(), [(0, RecordFault::Signer)]) && first.due.is_empty());
    assert!(node.office.waiting_for(&News::of(region.members[1].org)).is_empty());
    assert_eq!(waiting(&node), 1);
    let second = follow(&mut node, &region, &entries, 1);
    assert_eq!(second.due, News::of(m.org));
    assert!(node.office.directory().cert(m.node).is_none());
    assert_eq!(settle(&mut node, &region, second.due), 1);
    assert!(node.office.directory().cert(m.node).is_some());
    assert_eq!(waiting(&node), 0);
    assert!(node.office.directory().signing_key(m.org, m.node, NOW).is_ok(), "it stood in the log all the time");
}

#[test]
fn what_waits_is_there_after_a_restart_with_whatever_came_until_then() {
    let region = Region::with_logs(21, 6);
    let (mut node, org, cert) = before(&region);
    follow(&mut node, &region, &[cert.encode_to_vec(), org.encode_to_vec()], 0);
    // It ended between the commit of the record and the next try.
    let rows = node.rows.clone();
    let mut node = again(&founded(), &node, 4);
    node.rows = rows;
    assert_eq!(waiting(&node), 1);
    assert_eq!(settle(&mut node, &region, News::of_everybody()), 1);
    assert!(node.office.directory().cert(region.members[NEWCOMER].node).is_some());
    let node = again(&founded(), &node, 4);
    assert_eq!(waiting(&node), 0);
}

#[test]
fn an_end_that_comes_before_whom_it_ends_acts_when_that_comes() {
    let region = Region::with_logs(21, 6);
    let m = &region.members[NEWCOMER];
    let (mut node, org, cert) = before(&region);
    let end = ceremony::end_itself(region.net, m.org, &m.root, NOW);
    let node_kind = wire::SubjectKind::Node;
    let by_key = ceremony::revoke(region.net, node_kind, m.node.0, "Compromised", NOW, &[&m.sign]);
    let entries = [end, by_key, cert].map(|signed| signed.encode_to_vec());
    assert_eq!(follow(&mut node, &region, &entries, 0).refused.len(), 3);
    assert_eq!(waiting(&node), 3);
    // The record comes from somewhere else than the log.
    let bundle = wire::RecordBundle { records: vec![org], ..wire::RecordBundle::default() };
    let (_, intake) = node.act(&region, NOW, |office, now| office.admit(&bundle, now));
    assert_eq!(settle(&mut node, &region, intake.due), 3);
    let ended = |subject| node.office.directory().is_revoked(subject, NOW);
    assert!(ended(&m.org.0) && ended(&m.node.0));
    assert_eq!(waiting(&node), 0);
}

#[test]
fn what_nothing_makes_good_does_not_wait_and_one_log_has_so_much_room() {
    let region = Region::with_logs(21, 6);
    let m = &region.members[NEWCOMER];
    let (mut node, org, cert) = before(&region);
    let mut wrong = wire::NodeCert::decode(cert.payload.as_slice()).unwrap();
    wrong.net = vec![9; 32];
    let wrong = wire::Signed { payload: wrong.encode_to_vec(), ..cert.clone() };
    let mut entries = vec![wrong.encode_to_vec(), b"no record".to_vec()];
    follow(&mut node, &region, &entries, 0);
    assert_eq!(waiting(&node), 0);
    // Certificates by nobody of what will be an organisation.
    let stray = |n: usize| {
        let mut signed = cert.clone();
        signed.signatures[0].sig = [&n.to_be_bytes()[..], &[0; 56]].concat();
        signed.encode_to_vec()
    };
    for page in 0..3 {
        let first = entries.len();
        entries.extend((0..500).map(|n| stray(page * 500 + n)));
        follow(&mut node, &region, &entries, first);
    }
    assert_eq!(waiting(&node), WAITING_ENTRIES_MAX);
    // What another log shows has room all the same, and is found among them.
    let other = region.log_page(1, &[cert.encode_to_vec()], (0, 1), (&[0, 2], NOW));
    let log = region.members[1].node;
    node.act(&region, NOW, |office, now| office.follow(log, &other, now)).1.unwrap();
    assert_eq!(waiting(&node), WAITING_ENTRIES_MAX + 1);
    let bundle = wire::RecordBundle { records: vec![org], ..wire::RecordBundle::default() };
    let (_, intake) = node.act(&region, NOW, |office, now| office.admit(&bundle, now));
    let due = node.office.waiting_for(&intake.due);
    let true_one: Vec<_> = due.into_iter().filter(|(of, _)| *of == log).map(|at| (at, Some(cert.clone()))).collect();
    assert_eq!(true_one.len(), 1);
    let again = |office: &Office, now: &mut Now<'_, _>| office.try_again(&true_one, Verdicts::default(), now);
    assert_eq!(node.act(&region, NOW, again).1.new, 1);
    assert!(node.office.directory().cert(m.node).is_some());
    // What is still refused waits on; what has no bytes any more does not.
    let all = node.office.waiting_for(&News::of_everybody());
    let bytes = |n: usize| wire::Signed::decode(stray(n).as_slice()).ok();
    let some: Vec<_> = all.iter().take(2).enumerate().map(|(n, at)| (*at, bytes(n).filter(|_| n == 1))).collect();
    let again = |office: &Office, now: &mut Now<'_, _>| office.try_again(&some, Verdicts::default(), now);
    node.act(&region, NOW, again);
    assert_eq!(waiting(&node), WAITING_ENTRIES_MAX - 1);
}

#[test]
fn of_several_that_are_tried_those_that_still_lack_something_wait_on_and_the_others_are_gone() {
    let region = Region::with_logs(21, 6);
    let (mut node, org, cert) = before(&region);
    let mut stray = cert.clone();
    stray.signatures[0].sig = vec![7; 64];
    let entries = [stray.encode_to_vec(), cert.encode_to_vec()];
    follow(&mut node, &region, &entries, 0);
    assert_eq!(waiting(&node), 2);
    let bundle = wire::RecordBundle { records: vec![org], ..wire::RecordBundle::default() };
    node.act(&region, NOW, |office, now| office.admit(&bundle, now));
    let leaf = |signed: &wire::Signed| {
        let row = node.rows.iter().find(|row| row.value.as_deref() == Some(signed.encode_to_vec().as_slice()));
        <[u8; 32]>::try_from(row.unwrap().key.as_slice()).unwrap()
    };
    let log = region.members[KEEPER].node;
    let of_waiting = row(log, &[0; 32], vec![]).table;
    let (bad, good) = (leaf(&stray), leaf(&cert));
    // One without its bytes stands before both: places are those of what is tried.
    let tried = [((log, [9; 32]), None), ((log, good), Some(cert.clone())), ((log, bad), Some(stray))];
    let again = |office: &Office, now: &mut Now<'_, _>| office.try_again(&tried, Verdicts::default(), now);
    let (step, intake) = node.act(&region, NOW, again);
    assert_eq!((intake.new, intake.refused.len()), (1, 1));
    let waits = step.rows.iter().filter(|row| [[9; 32], good, bad].iter().any(|leaf| row.key.ends_with(leaf)));
    let waits: Vec<_> = waits.filter(|row| row.table == of_waiting).collect();
    assert!(waits.len() == 2 && waits.iter().all(|row| row.value.is_none()), "gone, and not kept empty");
    assert!(!waits.iter().any(|row| row.key.ends_with(&bad)));
    let left: Vec<_> = node.office.waiting_for(&News::of_everybody()).into_iter().map(|(_, leaf)| leaf).collect();
    assert_eq!(left, [bad]);
}

#[test]
fn news_of_two_are_news_of_both() {
    let region = Region::with_logs(21, 6);
    let [one, other] = [1, 2].map(|n| region.members[n].org);
    let mut both = News::of(one);
    both.join(News::of(other));
    assert!(both != News::of(one) && both != News::of(other));
    let mut turned = News::of(other);
    turned.join(News::of(one));
    assert_eq!(both, turned);
    both.join(News::of_everybody());
    let mut everybody = News::of_everybody();
    everybody.join(turned);
    assert_eq!(both, everybody);
    let mut still = News::of_everybody();
    still.join(News::default());
    assert_eq!(still, News::of_everybody());
    let mut nobody = News::default();
    nobody.join(News::default());
    assert!(nobody.is_empty() && !both.is_empty());
}

#[test]
fn a_policy_that_comes_before_the_one_it_follows_is_taken_when_that_comes() {
    let region = Region::with_logs(21, 6);
    let (mut node, ..) = before(&region);
    let after = |held: &wire::Signed| {
        let mut next = ceremony::next_policy(held, NOW, |policy| policy.label.push('+')).unwrap();
        region.coordinators.iter().for_each(|key| clearhouse_protocol::signed::add_signature(&mut next, key));
        next
    };
    let third = after(node.office.directory().newest_policy());
    let fourth = after(&third);
    let entries = [fourth.encode_to_vec(), third.encode_to_vec()];
    assert_eq!(follow(&mut node, &region, &entries[..1], 0).refused.len(), 1);
    assert_eq!(waiting(&node), 1);
    let due = follow(&mut node, &region, &entries, 1).due;
    assert_eq!(settle(&mut node, &region, due), 1);
    assert!(node.office.directory().newest_policy().payload == fourth.payload && waiting(&node) == 0);
}

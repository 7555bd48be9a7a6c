#[path = "logs/limits.rs"]
mod limits;

use clearhouse_wire::v1::Signed;
use prost::Message as _;

use super::super::{RecordFault, RouteFault};
use super::*;
use crate::ceremony;
use crate::fixture::{Member, NOW, Region};
use crate::keys::SigningKey;
use crate::limits::{DAY, HOUR};
use crate::log::note::Note;
use crate::signed::add_signature;

const OTHERS: [usize; 2] = [1, 2];
/// After every time at which a head of these tests is cosigned.
const LATER: u64 = NOW + 400 * DAY;

fn entries(region: &Region, node: NodeId) -> Vec<Vec<u8>> {
    region.directory.to_enter(node).into_iter().map(|signed| signed.encode_to_vec()).collect()
}

fn speaks(directory: &Directory, m: &Member) -> Option<RouteFault> {
    directory.signing_key(m.org, m.node, NOW).err()
}

#[test]
fn attack_19_enough_signatures_that_no_log_shows_accredit_nobody() {
    let mut region = Region::with_logs(1, 5);
    let (shelter, keeper) = (4, region.members[0].node);
    assert_eq!(speaks(&region.directory, &region.members[shelter]), Some(RouteFault::Unpublished));
    assert!(region.directory.accredited(region.members[shelter].org).is_none());
    assert_eq!(speaks(&region.directory, &region.members[0]), None, "the policy itself names the coordinators");
    let tls = SigningKey::from_seed(&region.members[shelter].tls_seed).public();
    assert!(region.directory.peer(&tls, NOW).is_none(), "nor does it get in at the door");

    // A log that shows it under a head that too few cosigned, then under one of its keeper's own making.
    let all = entries(&region, keeper);
    for witnesses in [[].as_slice(), &[1], &[0, 1]] {
        let page = region.log_page(0, &all, (0, all.len()), (witnesses, NOW));
        assert_eq!(region.directory.check_page(keeper, &page, LATER).err(), Some(LogFault::NotWitnessed));
    }
    let page = region.log_page(0, &all, (0, all.len()), (&OTHERS, NOW));
    let page = region.directory.check_page(keeper, &page, LATER).unwrap();
    region.directory.follow(&page);
    assert_eq!(speaks(&region.directory, &region.members[shelter]), None);
    assert!(region.directory.peer(&tls, NOW).is_some());
}

#[test]
fn attack_19_a_second_version_that_nobody_was_shown_changes_nothing() {
    let mut region = Region::with_logs(2, 4);
    region.publish_all(NOW);
    let m = &region.members[3];
    let held = region.directory.orgs.get(&m.org).unwrap().newest();
    let mut record = held.value().clone();
    record.version += 1;
    record.prev_hash = held.hash.to_vec();
    record.roles = vec!["Coordinator".to_owned()];
    let payload = record.encode_to_vec();
    let mut signed = Signed { payload_type: crate::labels::media::ORG.into(), payload, signatures: vec![] };
    region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
    let checked = region.directory.check(&signed, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    assert!(!region.directory.is_coordinator(m.org), "the version before counts");
    assert_eq!(speaks(&region.directory, m), None);
    let org = m.org;

    let (one, other) = (region.members[0].node, region.members[1].node);
    let late = entries(&region, one);
    assert_eq!(late.len(), 1);
    let known: Vec<Vec<u8>> = {
        let mut fresh = Region::with_logs(2, 4);
        let all = entries(&fresh, one);
        fresh.publish_all(NOW);
        all
    };
    let all = [known, late].concat();
    let first = all.len() - 1;
    let page = region.log_page(0, &all, (first, first + 1), (&OTHERS, NOW));
    let page = region.directory.check_page(one, &page, LATER).unwrap();
    region.directory.follow(&page);
    assert!(region.directory.is_coordinator(org));
    assert_eq!(region.directory.to_enter(one).len(), 0);
    assert_eq!(region.directory.to_enter(other).len(), 1, "the others enter it at their next tick");
}

#[test]
fn attack_15_a_smaller_head_and_one_that_forgets_are_refused_and_what_was_shown_stays() {
    let region = Region::with_logs(3, 6);
    let node = region.members[0].node;
    let all = entries(&region, node);
    let mut directory = region.directory.clone();
    let page = |all: &[Vec<u8>], first, until, time| region.log_page(0, all, (first, until), (&OTHERS, time));
    let whole = directory.check_page(node, &page(&all, 0, all.len(), NOW), LATER).unwrap();
    directory.follow(&whole);

    let less = &all[..all.len() - 2];
    let smaller = DirectoryLogReply { entries: vec![], ..page(less, 0, less.len(), NOW + HOUR) };
    assert_eq!(directory.check_page(node, &smaller, LATER).err(), Some(LogFault::Smaller));

    // As large, with one entry changed: cosigned, and against what was shown. The proof is in the fault.
    let mut other = all.clone();
    other[1].push(0);
    let forked = DirectoryLogReply { entries: vec![], ..page(&other, 0, other.len(), NOW + HOUR) };
    let Some(LogFault::Forked(Some(proof))) = directory.check_page(node, &forked, LATER).err() else { panic!() };
    assert!(proof.check(&directory.directory_log(node).unwrap()).is_ok());

    // Larger, and not out of the same beginning.
    other.push(all[0].clone());
    let longer = page(&other, all.len(), all.len() + 1, NOW + HOUR);
    assert!(matches!(directory.check_page(node, &longer, LATER).err(), Some(LogFault::Forked(_))));
    assert_eq!(directory.followed(node), all.len() as u64);
    assert_eq!(speaks(&directory, &region.members[5]), None);

    // The true log goes on.
    let more = [all.clone(), vec![all[0].clone()]].concat();
    assert!(directory.check_page(node, &page(&more, all.len(), all.len() + 1, NOW + HOUR), LATER).is_ok());
}

#[test]
fn a_long_log_is_followed_page_by_page_and_counts_as_far_as_it_was_read() {
    let region = Region::with_logs(4, 9);
    let node = region.members[2].node;
    let all = entries(&region, node);
    let mut directory = region.directory.clone();
    let mut from = 0;
    while from < all.len() {
        let until = (from + 5).min(all.len());
        let page = region.log_page(2, &all, (from, until), (&[0, 1], NOW));
        assert!(directory.check_page(region.members[1].node, &page, LATER).is_err(), "another's log");
        let checked = directory.check_page(node, &page, LATER).unwrap();
        directory.follow(&checked);
        assert!(directory.check_page(node, &page, LATER).is_err(), "entries that are held already");
        from = until;
        let mut words = directory.logs.get(&node).into_iter().flat_map(|log| log.newest.iter());
        assert!(words.all(|head| head.size() == all.len() as u64));
    }
    assert!(region.members.iter().all(|m| speaks(&directory, m).is_none()));
    // What was read is told on, in pages, to somebody who has nothing.
    let mut second = region.directory.clone();
    while second.followed(node) < all.len() as u64 {
        let first = second.followed(node);
        let entries = all[first as usize..].iter().take(3).cloned().collect();
        let page = directory.page_of(node, first, 0, entries);
        let checked = second.check_page(node, &page, LATER).unwrap();
        second.follow(&checked);
    }
    assert!(region.members.iter().all(|m| speaks(&second, m).is_none()));
    assert!(directory.page_of(node, all.len() as u64, NOW, vec![]).head.is_empty(), "nothing newer");
}

#[test]
fn a_page_that_is_none_is_refused_with_nothing_taken() {
    let region = Region::with_logs(5, 5);
    let node = region.members[0].node;
    let all = entries(&region, node);
    let sound = region.log_page(0, &all, (0, 4), (&OTHERS, NOW));
    let refused = |change: &dyn Fn(&mut DirectoryLogReply)| {
        let mut page = sound.clone();
        change(&mut page);
        region.directory.check_page(node, &page, LATER).err()
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|p| p.entries.clear()), Some(LogFault::Page));
    assert_eq!(refused(&|p| p.entries = vec![vec![0]; LOG_PAGE_ENTRIES_MAX + 1]), Some(LogFault::Page));
    assert_eq!(refused(&|p| p.entries[0] = vec![0; LOG_ENTRY_MAX + 1]), Some(LogFault::Page));
    assert_eq!(refused(&|p| p.path[0] = vec![0; 31]), Some(LogFault::Page));
    assert!(matches!(refused(&|p| p.entries[0][9] ^= 1), Some(LogFault::Forked(None))));
    assert!(matches!(refused(&|p| p.path[0][0] ^= 1), Some(LogFault::Forked(None))));
    assert!(matches!(refused(&|p| drop(p.path.pop())), Some(LogFault::Forked(None))));
    assert!(matches!(refused(&|p| p.head[5] ^= 1), Some(LogFault::Head(_))));
    assert!(matches!(refused(&|p| p.head.clear()), Some(LogFault::Head(_))));
}

#[test]
fn a_record_with_its_proof_counts_for_somebody_who_follows_no_log() {
    let mut region = Region::with_logs(6, 5);
    let stranger = region.directory.clone();
    region.publish_all(NOW);
    let bundle = region.directory.bundle(region.members[4].org);
    assert_eq!(bundle.published.len(), 3, "policy, accreditation and certificate");
    let mut told = stranger.clone();
    for published in &bundle.published {
        let record = told.check_published(published).unwrap();
        told.publish(record);
    }
    assert_eq!(speaks(&told, &region.members[4]), None);
    assert_eq!(speaks(&told, &region.members[3]), Some(RouteFault::Unpublished));

    let mut other = bundle.published[1].clone();
    other.entry = bundle.published[2].entry.clone();
    assert!(matches!(stranger.check_published(&other).err(), Some(LogFault::Proof(_))));
    other.node = region.members[4].node.to_vec();
    assert_eq!(stranger.check_published(&other).err(), Some(LogFault::NoSuchLog));
}

#[test]
fn attack_16_without_new_words_of_coordinators_the_directory_ages() {
    let mut region = Region::with_logs(7, 4);
    assert_eq!(region.directory.freshness(NOW), Freshness::Old(0));
    region.publish_all(NOW);
    let at = |secs| region.directory.freshness(NOW + secs);
    assert_eq!(at(47 * HOUR), Freshness::Fresh(NOW));
    assert_eq!(at(48 * HOUR), Freshness::Aged(NOW));
    assert_eq!(at(14 * DAY), Freshness::Old(NOW));
    // The same entries, cosigned later: nothing new, and fresh again.
    let node = region.members[0].node;
    let all: Vec<Vec<u8>> = {
        let fresh = Region::with_logs(7, 4);
        entries(&fresh, node)
    };
    let none = DirectoryLogReply { entries: vec![], ..region.log_page(0, &all, (0, all.len()), (&OTHERS, NOW + DAY)) };
    let page = region.directory.check_page(node, &none, LATER).unwrap();
    region.directory.follow(&page);
    assert_eq!(region.directory.freshness(NOW + 50 * HOUR), Freshness::Fresh(NOW + DAY));
}

/// The policy says how many coordinators may lie, and all of them may be among the witnesses of one log.
#[test]
fn attack_16_two_liars_of_seven_do_not_keep_an_old_head_young_between_them() {
    let k = ceremony::Thresholds { accredit: 4, revoke: 3, root: 5, f: 2 };
    let region = Region::with_council(7, 8, &["RO", "RO", "IT", "MD", "MD", "RS", "AL"], k);
    let node = region.members[0].node;
    let all = entries(&region, node);
    let seen = region.log_page(0, &all, (0, all.len()), (&[3, 4, 5, 6], NOW));
    let mut note = Note::parse(&seen.head).unwrap();
    for liar in &region.members[1..3] {
        let name = crate::audit::witness_name(region.net, liar.org, liar.node);
        note.cosign(&name, &liar.witness(), NOW + 3 * DAY).unwrap();
    }
    let frozen = DirectoryLogReply { head: note.to_string().into_bytes(), ..seen };
    let page = region.directory.check_page(node, &frozen, NOW + 3 * DAY).unwrap();
    assert_eq!(page.newest().fresh(), NOW);
}

/// A witness whose clock runs ahead, or who says so, does not make an old head young for as long as it likes.
#[test]
fn attack_16_a_cosignature_from_the_future_says_nothing_about_freshness() {
    let region = Region::with_logs(7, 4);
    let mut directory = region.directory.clone();
    for keeper in 0..3 {
        let node = region.members[keeper].node;
        let all = entries(&region, node);
        let others: Vec<usize> = (0..3).filter(|n| *n != keeper).collect();
        let head = |time| region.log_page(keeper, &all, (0, all.len()), (&others, time));
        let page = directory.check_page(node, &head(NOW + 30 * DAY), NOW).unwrap();
        assert_eq!(page.newest().fresh(), 0);
        directory.follow(&page);
        // Two hours of difference are a clock, and no lie.
        let again = DirectoryLogReply { entries: vec![], ..head(NOW + 2 * HOUR) };
        let page = directory.check_page(node, &again, NOW).unwrap();
        assert_eq!(page.newest().fresh(), NOW + 2 * HOUR);
        directory.follow(&page);
        // Nor does a head without a time undo what was heard before.
        let again = DirectoryLogReply { entries: vec![], ..head(NOW + 30 * DAY) };
        let page = directory.check_page(node, &again, NOW).unwrap();
        directory.follow(&page);
    }
    assert_eq!(directory.freshness(NOW), Freshness::Fresh(NOW + 2 * HOUR));
    assert!(speaks(&directory, &region.members[3]).is_none(), "its entries count all the same");
}

/// Whoever shows one entry under a true and longer head, and nothing more, takes no word away that was heard before.
#[test]
fn attack_16_a_log_begun_and_not_shown_to_its_end_ages_nothing_and_shuts_nobody_out() {
    let mut region = Region::with_logs(7, 9);
    let node = region.members[0].node;
    let all = entries(&region, node);
    let early = region.log_page(0, &all[..6], (0, 6), (&OTHERS, NOW));
    let checked = region.directory.check_page(node, &early, NOW).unwrap();
    region.directory.follow(&checked);
    assert_eq!(region.directory.freshness(NOW), Freshness::Fresh(NOW));
    let begun = region.log_page(0, &all, (6, 7), (&OTHERS, NOW + HOUR));
    let checked = region.directory.check_page(node, &begun, NOW + HOUR).unwrap();
    assert!(!checked.is_whole());
    region.directory.follow(&checked);
    assert_eq!((region.directory.freshness(NOW), region.directory.followed(node)), (Freshness::Fresh(NOW), 7));
    assert_eq!(region.directory.heads(), vec![early.head.clone()], "told on as far as it is whole");
    // A head between the two, from somebody who has no more: it helps, and is no smaller one.
    let between = region.log_page(0, &all[..8], (7, 8), (&OTHERS, NOW + HOUR / 2));
    let checked = region.directory.check_page(node, &between, NOW + HOUR).unwrap();
    region.directory.follow(&checked);
    assert_eq!(region.directory.freshness(NOW + HOUR), Freshness::Fresh(NOW + HOUR / 2));
    let smaller = DirectoryLogReply { entries: vec![], ..early };
    assert_eq!(region.directory.check_page(node, &smaller, NOW + HOUR).err(), Some(LogFault::Smaller));
    // What completes it must be what the longer head is over, or two histories were shown.
    let mut other = all.clone();
    other[8].push(0);
    let forked = region.log_page(0, &other, (8, other.len()), (&OTHERS, NOW + HOUR));
    let Some(LogFault::Forked(Some(proof))) = region.directory.check_page(node, &forked, NOW + HOUR).err() else {
        panic!()
    };
    assert!(proof.check(&region.directory.directory_log(node).unwrap()).is_ok());
    let rest = region.log_page(0, &all, (8, all.len()), (&OTHERS, NOW + HOUR));
    let checked = region.directory.check_page(node, &rest, NOW + HOUR).unwrap();
    assert!(checked.is_whole());
    region.directory.follow(&checked);
    assert_eq!(region.directory.freshness(NOW + HOUR), Freshness::Fresh(NOW + HOUR));
}

#[test]
fn without_logs_in_the_policy_signatures_accredit_and_it_is_said_so() {
    let region = Region::with_coordinators(8, 4, 3);
    assert!(region.members.iter().all(|m| speaks(&region.directory, m).is_none()));
    assert_eq!(region.directory.freshness(NOW + 300 * DAY), Freshness::NoLogs);
}

#[test]
fn a_policy_names_logs_of_its_own_coordinators_nodes_or_none() {
    let region = Region::with_logs(9, 4);
    let before = region.records[0].clone();
    let check = |change: &dyn Fn(&mut clearhouse_wire::v1::RootPolicy)| {
        let mut next = ceremony::next_policy(&before, NOW, change).unwrap();
        region.coordinators.iter().for_each(|key| add_signature(&mut next, key));
        region.directory.check(&next, NOW).err()
    };
    let field = Some(RecordFault::Field);
    assert_eq!(check(&|_| ()), None);
    assert_eq!(check(&|p| p.coordinators[0].witness_vkey.clear()), field);
    assert_eq!(check(&|p| p.coordinators[0].log_vkey.clear()), field);
    assert_eq!(check(&|p| p.coordinators[0].log_vkey = p.coordinators[1].log_vkey.clone()), field);
    assert_eq!(check(&|p| p.coordinators[0].node_id.truncate(8)), field);
    let others = check(&|p| p.coordinators[0].node_id = p.coordinators[1].node_id.clone());
    assert_eq!(others, Some(RecordFault::NotItsNode));
    let alone = check(&|p| {
        for c in &mut p.coordinators[1..] {
            c.log_vkey.clear();
            c.witness_vkey.clear();
        }
    });
    assert_eq!(alone, field, "a log that nobody else cosigns");
    let none = check(&|p| {
        for c in &mut p.coordinators {
            c.log_vkey.clear();
            c.witness_vkey.clear();
        }
    });
    assert_eq!(none, None);
}

#[test]
fn what_one_log_showed_is_named_by_the_next_and_what_none_showed_is_asked_for() {
    let mut region = Region::with_logs(10, 6);
    let stranger = region.directory.clone();
    region.publish_all(NOW);
    let nodes: Vec<NodeId> = region.members[..3].iter().map(|m| m.node).collect();
    let mut directory = stranger.clone();
    let slim = region.directory.page_of_leaves(nodes[1], 0, 0);
    assert!(slim.entries.is_empty() && slim.leaves.len() == 32 * region.directory.followed(nodes[1]) as usize);
    assert_eq!(directory.check_page(nodes[1], &slim, LATER).err(), Some(LogFault::NotHeld));
    let all = entries(&Region::with_logs(10, 6), nodes[0]);
    let page = region.log_page(0, &all, (0, all.len()), (&OTHERS, NOW));
    let page = directory.check_page(nodes[0], &page, LATER).unwrap();
    assert!(!directory.shows_more(nodes[1]));
    directory.follow(&page);
    assert!(directory.shows_more(nodes[1]));
    for node in &nodes[1..] {
        let slim = region.directory.page_of_leaves(*node, 0, 0);
        let mut wrong = slim.clone();
        wrong.leaves.swap(0, 32);
        assert!(directory.check_page(*node, &wrong, LATER).is_err());
        wrong = DirectoryLogReply { leaves: slim.leaves[..33].to_vec(), ..slim.clone() };
        assert_eq!(directory.check_page(*node, &wrong, LATER).err(), Some(LogFault::Page));
        wrong = DirectoryLogReply { entries: vec![all[0].clone()], ..slim.clone() };
        assert_eq!(directory.check_page(*node, &wrong, LATER).err(), Some(LogFault::Page));
        let slim = directory.check_page(*node, &slim, LATER).unwrap();
        directory.follow(&slim);
        assert_eq!(directory.followed(*node), all.len() as u64);
    }
    assert!(!directory.shows_more(nodes[1]));
    assert!(region.directory.page_of_leaves(nodes[1], all.len() as u64, NOW).head.is_empty(), "nothing newer");
}

#[test]
fn the_largest_record_fits_a_page_and_a_swollen_one_ends_nobodys_log() {
    let region = Region::with_logs(11, 5);
    let (node, m) = (region.members[0].node, &region.members[4]);
    let held = region.directory.certs.get(&m.node).unwrap().newest();
    let next = |value: usize| {
        let mut cert = held.value().clone();
        cert.version += 1;
        cert.prev_hash = held.hash.to_vec();
        let extension = clearhouse_wire::v1::Extension { r#type: 9, critical: false, value: vec![7; value] };
        cert.extensions.push(extension);
        crate::signed::sign(crate::labels::media::NODECERT, cert.encode_to_vec(), &m.root)
    };
    let spare = crate::limits::RECORD_MAX - next(0).payload.len() - 16;
    let largest = next(spare);
    let mut swollen = next(1);
    swollen.signatures.push(clearhouse_wire::v1::Signature { key_id: vec![], sig: vec![0; 200_000] });
    assert!(region.directory.check(&swollen, NOW).is_err());
    assert!(largest.encode_to_vec().len() > crate::limits::RECORD_MAX, "longer than its payload may be");
    let mut directory = region.directory.clone();
    let checked = directory.check(&largest, NOW).unwrap().unwrap();
    directory.insert(checked);
    let all: Vec<Vec<u8>> = directory.to_enter(node).into_iter().map(Signed::encode_to_vec).collect();
    assert!(all.contains(&largest.encode_to_vec()));
    let page = region.log_page(0, &all, (0, all.len()), (&OTHERS, NOW));
    assert!(directory.check_page(node, &page, LATER).is_ok());
}

//! The limits of what is shown of a log and told of it, from both sides, and which of two heads that come stays.

use clearhouse_wire::v1::{Published, SubjectKind};

use super::*;
use crate::merkle;

fn other_logs(of: usize) -> [usize; 2] {
    [[1, 2], [0, 2], [0, 1]][of]
}

/// Entries that are no records and have their places all the same.
fn numbered(n: usize) -> Vec<Vec<u8>> {
    (0..n as u64).map(|n| n.to_be_bytes().to_vec()).collect()
}

#[test]
fn a_page_is_as_long_as_may_be_and_no_longer() {
    let region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    let fault = |all: &[Vec<u8>], until: usize| {
        let page = region.log_page(0, all, (0, until), (&OTHERS, NOW));
        region.directory.check_page(node, &page, LATER).map(|page| page.is_whole())
    };
    let many = numbered(LOG_PAGE_ENTRIES_MAX + 1);
    assert_eq!(fault(&many, LOG_PAGE_ENTRIES_MAX), Ok(false), "and one is left");
    assert_eq!(fault(&many, LOG_PAGE_ENTRIES_MAX + 1), Err(LogFault::Page));
    assert_eq!(fault(&many[1..], LOG_PAGE_ENTRIES_MAX), Ok(true));
    assert_eq!(fault(&[vec![7; LOG_ENTRY_MAX]], 1), Ok(true));
    assert_eq!(fault(&[vec![7; LOG_ENTRY_MAX + 1]], 1), Err(LogFault::Page));
}

#[test]
fn as_many_leaves_as_may_be_are_named_on_a_page_and_no_more() {
    let mut region = Region::with_logs(1, 3);
    let all = numbered(LOG_LEAVES_MAX + 1);
    let first = region.members[0].node;
    for from in (0..all.len()).step_by(LOG_PAGE_ENTRIES_MAX) {
        let until = (from + LOG_PAGE_ENTRIES_MAX).min(all.len());
        let page = region.log_page(0, &all, (from, until), (&OTHERS, NOW));
        let page = region.directory.check_page(first, &page, LATER).unwrap();
        region.directory.follow(&page);
    }
    for (n, refused) in [(LOG_LEAVES_MAX, None), (LOG_LEAVES_MAX + 1, Some(LogFault::Page))] {
        let mut page = region.log_page(1, &all, (0, n), (&other_logs(1), NOW));
        page.leaves = page.entries.drain(..).flat_map(|entry| merkle::leaf(&entry)).collect();
        assert_eq!(region.directory.check_page(region.members[1].node, &page, LATER).err(), refused, "{n}");
    }
}

#[test]
fn an_answer_has_as_many_entries_as_fit_its_bytes() {
    let mut region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    // Fifteen of them with what frames them are exactly as many bytes as an answer has for entries.
    let exact = (15 << 16) / 15 - 8;
    for (len, told) in [(exact, 15), (exact + 1, 14)] {
        let all = vec![vec![7; len]; 16];
        let page = region.log_page(0, &all, (0, 16), (&OTHERS, NOW));
        let mut directory = region.directory.clone();
        let page = directory.check_page(node, &page, LATER).unwrap();
        directory.follow(&page);
        assert_eq!(directory.page_of(node, 0, 0, all).entries.len(), told, "{len}");
    }
    // To whom has all of it a head is told that was seen later than the one known there, and no other.
    region.publish_all(NOW);
    let size = region.directory.followed(node);
    let told = |first, fresh| !region.directory.page_of(node, first, fresh, vec![]).head.is_empty();
    assert_eq!(
        [told(size, NOW - 1), told(size, NOW), told(size + 1, 0), told(size - 1, NOW)],
        [true, false, false, true]
    );
}

#[test]
fn an_entry_with_its_proof_is_as_long_as_may_be_and_no_longer() {
    let region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    for (len, refused) in [(LOG_ENTRY_MAX, None), (LOG_ENTRY_MAX + 1, Some(LogFault::Page))] {
        let all = [vec![1], vec![7; len]];
        let note = Note::parse(&region.log_page(0, &all, (0, 2), (&OTHERS, NOW)).head).unwrap();
        let leaves: Vec<_> = all.iter().map(|entry| merkle::leaf(entry)).collect();
        let proof = crate::log::proof::Proof { extra: vec![], index: 1, path: merkle::path(&leaves, 1), note };
        let proof = proof.to_string().into_bytes();
        let published = Published { node: node.to_vec(), entry: all[1].clone(), proof };
        assert_eq!(region.directory.check_published(&published).err(), refused, "{len}");
    }
}

#[test]
fn of_heads_that_wait_for_their_entries_the_longest_stays() {
    let region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    let all = numbered(8);
    let head = |size: usize| {
        let page = region.log_page(0, &all[..size], (0, size), (&OTHERS, NOW));
        region.directory.check_page(node, &page, LATER).unwrap()
    };
    for order in [[5, 8, 6], [8, 5, 6], [5, 6, 8]] {
        let mut directory = region.directory.clone();
        order.iter().for_each(|size| directory.take_newest(node, head(*size).newest().clone()));
        assert!(directory.newest_head(node).is_none(), "nothing of it is held");
        directory.take_entries(node, 0, head(8).entered());
        assert_eq!(directory.newest_head(node).map(Newest::size), Some(8), "{order:?}");
    }
}

#[test]
fn an_end_that_no_log_shows_is_told_after_its_time_while_the_logs_are_fresh() {
    let mut region = Region::with_logs(1, 5);
    region.publish_all(NOW);
    let keys: Vec<&SigningKey> = region.coordinators.iter().collect();
    let org = region.members[4].org;
    let ended = ceremony::revoke(region.net, SubjectKind::Organisation, org.0, "Closed", NOW, &keys);
    let checked = region.directory.check(&ended, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    let told = |directory: &Directory, after: u64| directory.unlogged_revocations(NOW + after).count();
    let late = REVOCATION_LOGGED_SECS;
    assert_eq!([late, late + 1, late + HOUR, DIRECTORY_AGED_SECS].map(|at| told(&region.directory, at)), [0, 1, 1, 0]);
    let record = crate::pae::sha256(&ended.payload);
    region.directory.publish(record);
    assert_eq!(told(&region.directory, late + 1), 0, "a log shows it");
}

#[test]
fn what_no_log_shows_yet_is_told_with_the_version_before_it() {
    let mut region = Region::with_logs(2, 5);
    region.publish_all(NOW);
    let m = &region.members[4];
    let first = region.directory.newest_org(m.org).unwrap().clone();
    let mut second = ceremony::next_org(&first, NOW, |record| record.label = "Second".into()).unwrap();
    region.coordinators.iter().for_each(|key| add_signature(&mut second, key));
    let org = m.org;
    let checked = region.directory.check(&second, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    let told = |directory: &Directory| {
        let known = [&first, &second].map(|of| directory.records().any(|record| record == of));
        (
            known,
            directory.check(&first, NOW).map(|checked| checked.is_some()),
            directory.accredited(org).unwrap().version,
        )
    };
    assert_eq!(told(&region.directory), ([true, true], Ok(false), 1));
    region.directory.publish(crate::pae::sha256(&second.payload));
    assert_eq!(told(&region.directory), ([false, true], Err(RecordFault::Rollback), 2));
}

#[test]
fn the_policy_vouches_for_the_first_certificate_with_the_key_that_it_names_and_for_no_other() {
    let region = Region::with_coordinators(3, 4, 3);
    let counts = |named: &dyn Fn(usize) -> usize| {
        let policy = ceremony::next_policy(&region.genesis, NOW, |policy| {
            for (n, coordinator) in policy.coordinators.iter_mut().enumerate() {
                let (m, keys) = (&region.members[n], region.members[named(n)].keys());
                ceremony::name_log(coordinator, region.net, (m.org, m.node), &m.keys().log, &keys.witness).unwrap();
            }
        });
        let mut policy = policy.unwrap();
        region.coordinators.iter().for_each(|key| add_signature(&mut policy, key));
        let mut directory = region.directory.clone();
        let checked = directory.check(&policy, NOW).unwrap().unwrap();
        directory.insert(checked);
        [0, 1, 2, 3].map(|n| speaks(&directory, &region.members[n]).is_none())
    };
    assert_eq!(counts(&|n| n), [true, true, true, false]);
    // The first is named with the key of somebody else: its own certificate is then nobody's word but its own.
    assert_eq!(counts(&|n| if n == 0 { 3 } else { n }), [false, true, true, false]);
}

#[test]
fn a_page_that_held_says_whose_it_is_and_from_where_to_where() {
    let region = Region::with_logs(1, 3);
    let m = &region.members[0];
    let all = numbered(7);
    let mut directory = region.directory.clone();
    for (from, until) in [(0, 4), (4, 7)] {
        let page = region.log_page(0, &all, (from, until), (&OTHERS, NOW));
        let page = directory.check_page(m.node, &page, LATER).unwrap();
        assert_eq!((page.node(), page.first(), page.entered().len()), (m.node, from as u64, until - from));
        assert_eq!((page.newest().size(), page.is_whole()), (7, until == 7));
        for (entered, entry) in page.entered().iter().zip(&all[from..]) {
            assert_eq!(entered.leaf(), merkle::leaf(entry));
            assert!(Entered::kept(&entered.bytes()) == *entered);
        }
        assert!(Newest::kept(&page.newest().bytes()).as_ref() == Some(page.newest()));
        directory.follow(&page);
    }
    let name = format!("clearhouse.{}/{}/{}/directory", crate::ids::hex(&region.net.0[..4]), m.org, m.node);
    assert_eq!(directory.directory_log(m.node).unwrap().name(), name);
    assert_eq!(directory.head_to_sign(m.node, m.org).origin, name);
    assert_eq!(format!("{:?}", LogFault::Page), LogFault::Page.to_string());
}

#[test]
fn a_keeper_that_has_entered_more_tells_of_what_its_head_covers_and_holds_others_heads_against_it() {
    let region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    let all = numbered(6);
    let page = |entries: &[Vec<u8>]| region.log_page(0, entries, (0, entries.len()), (&OTHERS, NOW));
    let entered: Vec<Entered> = all.iter().map(|entry| Entered::of(entry)).collect();
    let mut keeper = region.directory.clone();
    keeper.take_entries(node, 0, &entered);
    keeper.take_entries(node, 7, &entered);
    assert_eq!(keeper.followed(node), 6, "nothing behind a gap");
    let bare = |entries: &[Vec<u8>]| DirectoryLogReply { entries: vec![], path: vec![], ..page(entries) };
    let mut other = all[..4].to_vec();
    other[1].push(0);
    assert!(matches!(keeper.check_page(node, &bare(&other), LATER), Err(LogFault::Forked(_))));
    let head = keeper.check_page(node, &bare(&all[..4]), LATER).unwrap();
    keeper.follow(&head);
    assert_eq!(keeper.newest_head(node).map(Newest::size), Some(4));
    let told = keeper.page_of(node, 1, 0, all[1..].to_vec());
    assert_eq!((told.entries.len(), keeper.page_of_leaves(node, 1, 0).leaves.len()), (3, 3 * 32));
    // Whoever has the first of them reads on from there, in either way.
    let mut reader = region.directory.clone();
    let first = region.log_page(0, &all[..4], (0, 1), (&OTHERS, NOW));
    let first = reader.check_page(node, &first, LATER).unwrap();
    reader.follow(&first);
    assert!(reader.check_page(node, &told, LATER).is_ok_and(|page| page.is_whole()));
    reader.take_entries(region.members[1].node, 0, &entered);
    assert!(reader.check_page(node, &keeper.page_of_leaves(node, 1, 0), LATER).is_ok_and(|page| page.is_whole()));
}

#[test]
fn who_has_more_of_a_log_is_read_on_from_and_who_has_less_is_not() {
    let mut region = Region::with_logs(1, 3);
    let node = region.members[0].node;
    let all = numbered(6);
    let page = |size: usize| region.log_page(0, &all[..size], (0, size), (&OTHERS, NOW));
    let held = region.directory.check_page(node, &page(4), LATER).unwrap();
    let heads = [3, 4, 5].map(|size| page(size).head);
    region.directory.follow(&held);
    let further = heads.map(|head| region.directory.hear_heads(&[head]).further);
    assert_eq!(further, [vec![], vec![], vec![node]]);
}

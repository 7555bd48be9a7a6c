//! Lists that lie and lists without end.

mod limits;
mod pulled;

use super::*;
use crate::ceremony::{Attested, Presence, attest, describe};
use crate::fixture::{Member, NOW, Region, member_records};
use crate::keys::SigningKey;
use crate::limits::{DAY, SYNC_SESSION_MAX};
use crate::signed::sign;
use clearhouse_wire::v1::Signed;

fn item(node: NodeId, serial: u64) -> Item {
    Item { node, org: OrgId([1; 16]), serial, hash: [7; 32] }
}

/// Node ids of one bucket, rising.
fn of_bucket(bucket: u8, count: usize) -> Vec<NodeId> {
    let ids = (0u128..).map(|n| NodeId(n.to_be_bytes())).filter(|node| bucket_of(*node) == bucket);
    ids.take(count).collect()
}

fn page_of(items: &[Item], more: bool) -> wire::BucketReply {
    let next = items.last().filter(|_| more).map(|item| item.node.to_vec()).unwrap_or_default();
    wire::BucketReply { items: items.iter().map(Item::show).collect(), next }
}

fn take(directory: &mut Directory, record: &Signed) -> bool {
    match directory.check(record, NOW) {
        Ok(Some(checked)) => {
            directory.insert(checked);
            true
        }
        Ok(None) | Err(_) => false,
    }
}

fn learn<'a>(directory: &mut Directory, records: impl IntoIterator<Item = &'a Signed>) -> usize {
    records.into_iter().filter(|record| take(directory, record)).count()
}

fn newer(region: &Region, member: &Member, now: u64) -> Signed {
    let held = region.directory.descriptor(member.node).unwrap();
    attest(held, &Attested { at: now, ..Attested::default() }, &member.sign, now)
}

#[test]
fn who_has_the_same_is_told_so_in_one_word() {
    let mut region = Region::with_logs(3, 6);
    let empty = Directory::found(&region.genesis, None).unwrap();
    let (mine, theirs) = (Buckets::of(&empty), Buckets::of(&region.directory));
    let answer = theirs.answer(&region.directory, &mine.state(), NOW);
    let (differing, news) = mine.compare(&answer).unwrap();
    assert!(!differing.is_empty() && news, "the second policy");
    let same = theirs.answer(&region.directory, &theirs.state(), NOW);
    assert_eq!(theirs.compare(&same), Ok((vec![], false)));
    assert!(same.encoded_len() < 10);
    // A log that went on is another state, and its head is in the answer.
    region.publish_all(NOW);
    let further = Buckets::of(&region.directory);
    let answer = further.answer(&region.directory, &theirs.state(), NOW);
    assert_eq!(theirs.compare(&answer), Ok((vec![], false)));
    assert_eq!(answer.heads.len(), 3);
    let halved = wire::DigestsReply { common: vec![], ..answer };
    assert_eq!(theirs.compare(&halved), Err(SyncFault::Digests));
}

#[test]
fn two_directories_that_hold_the_same_say_the_same_in_whatever_order_they_learned_it() {
    let region = Region::new(1, 12);
    let mut other = Directory::found(&region.genesis, None).unwrap();
    for _ in 0..3 {
        learn(&mut other, region.records.iter().rev());
    }
    let (a, b) = (Buckets::of(&region.directory), Buckets::of(&other));
    assert_eq!(a.differing(b.digests()), Ok(vec![]));
    assert_eq!((a.digests().len(), a.common()), (8192, b.common()));
    let member = &region.members[3];
    assert!(take(&mut other, &newer(&region, member, NOW + HOUR)));
    assert_eq!(a.differing(Buckets::of(&other).digests()), Ok(vec![bucket_of(member.node)]));
    let revocation = crate::ceremony::revoke(
        region.net,
        wire::SubjectKind::Node,
        member.node.0,
        "Compromised",
        NOW,
        &[&member.root],
    );
    assert!(take(&mut other, &revocation));
    assert_ne!(a.common(), Buckets::of(&other).common());
}

#[test]
fn a_digest_names_node_serial_and_payload() {
    let base = vec![item(NodeId([1; 16]), 5), item(NodeId([2; 16]), 6)];
    let mut said = BTreeSet::from([digest(&base), digest(&base[..1]), digest(&[])]);
    for change in [
        |items: &mut Vec<Item>| items[0].serial = 4,
        |items: &mut Vec<Item>| items[1].hash[31] = 0,
        |items: &mut Vec<Item>| items[1].node = NodeId([3; 16]),
    ] {
        let mut items = base.clone();
        change(&mut items);
        assert!(said.insert(digest(&items)));
    }
}

#[test]
fn a_list_comes_in_pages_and_whole() {
    let region = Region::new(2, 3);
    let mut buckets = Buckets::of(&region.directory);
    let full: Vec<Item> = of_bucket(9, BUCKET_ITEMS_MAX).into_iter().map(|node| item(node, u64::MAX)).collect();
    buckets.lists[9] = full.clone();
    let (mut listing, mut after, mut pages) = (Listing::new(9), None, 0);
    loop {
        let page = buckets.page(9, after);
        assert!(page.encoded_len() <= SYNC_PAGE_MAX);
        pages += 1;
        match listing.read(&page).unwrap() {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((pages, listing.items.len()), (6, BUCKET_ITEMS_MAX));
    let mut digests = vec![0; BUCKETS * DIGEST];
    digests[9 * DIGEST..10 * DIGEST].copy_from_slice(&digest(&full));
    assert_eq!(listing.whole(&digests).unwrap(), full);
    assert!(buckets.page(9, Some(NodeId([255; 16]))) == wire::BucketReply::default());
}

#[test]
fn attack_42_a_bucket_of_a_million_items_is_cut_off_at_the_cap() {
    // No list is ever built of it: pages come as long as anybody asks.
    let nodes = of_bucket(0, BUCKET_ITEMS_MAX + 800);
    let endless = |page: usize, len: usize| {
        let items: Vec<Item> = nodes[page * len..(page + 1) * len].iter().map(|node| item(*node, 1)).collect();
        page_of(&items, true)
    };
    let cut = |len: usize| {
        let mut listing = Listing::new(0);
        (0..).find_map(|page| listing.read(&endless(page, len)).err().map(|fault| (page, fault))).unwrap()
    };
    assert_eq!(cut(700), (5, SyncFault::TooManyItems), "six pages of seven hundred");
    assert_eq!(cut(1), (BUCKET_PAGES_MAX, SyncFault::TooManyPages), "a page for each item");
    let mut listing = Listing::new(0);
    let empty = wire::BucketReply { items: vec![], next: vec![1; 16] };
    assert_eq!(listing.read(&empty), Err(SyncFault::List), "empty pages without end");
}

#[test]
fn attack_42_a_list_that_lies_is_told_by_what_is_wrong_with_it() {
    let nodes = of_bucket(5, 3);
    let items: Vec<Item> = nodes.iter().map(|node| item(*node, 1)).collect();
    let read = |items: Vec<Item>, next: Option<Vec<u8>>| {
        let mut page = page_of(&items, false);
        page.next = next.unwrap_or_default();
        Listing::new(5).read(&page)
    };
    assert_eq!(read(items.clone(), None), Ok(None));
    assert_eq!(read(vec![items[0].clone(), items[0].clone()], None), Err(SyncFault::List), "one node twice");
    assert_eq!(read(vec![items[1].clone(), items[0].clone()], None), Err(SyncFault::List), "not rising");
    assert_eq!(read(vec![item(of_bucket(6, 1)[0], 1)], None), Err(SyncFault::List), "of another bucket");
    assert_eq!(read(items.clone(), Some(nodes[0].to_vec())), Err(SyncFault::List), "leads back");
    let mut short = page_of(&items, false);
    short.items[1].sha256.pop();
    assert_eq!(Listing::new(5).read(&short), Err(SyncFault::List));
    let mut again = Listing::new(5);
    assert!(again.read(&page_of(&items, true)).is_ok());
    assert_eq!(again.read(&page_of(&items, false)), Err(SyncFault::List), "the same page again");
    let mut listing = Listing::new(5);
    listing.read(&page_of(&items, false)).unwrap();
    assert_eq!(listing.whole(&[0; BUCKETS * DIGEST]), Err(SyncFault::OtherList));
    let region = Region::new(1, 1);
    for digests in [&[0u8; 8191][..], &[], &[0; 8192 + 32]] {
        assert_eq!(Buckets::of(&region.directory).differing(digests), Err(SyncFault::Digests));
    }
}

#[test]
fn only_newer_descriptors_are_asked_for_and_none_from_the_future() {
    let region = Region::new(3, 2);
    let (known, held) = (region.members[0].node, NOW / HOUR);
    let stranger = NodeId([9; 16]);
    let ask = |items: &[Item]| {
        let mut wanted = Wanted::default();
        wanted.add(&region.directory, items, NOW);
        assert_eq!(wanted.left(&region.directory).count(), wanted.known.len() + wanted.strangers.len());
        (wanted.known.iter().map(|item| item.node).collect::<Vec<_>>(), wanted.orgs)
    };
    assert_eq!(ask(&[item(known, held + 1)]), (vec![known], vec![]));
    assert_eq!(ask(&[item(known, held + 2)]), (vec![known], vec![]));
    assert_eq!(ask(&[item(known, held)]), (vec![], vec![]), "what contradicts is no news");
    assert_eq!(ask(&[item(known, held - 1)]), (vec![], vec![]));
    for ahead in [held + 3, held + 72, u64::MAX / HOUR, u64::MAX] {
        assert_eq!(ask(&[item(known, ahead), item(stranger, ahead)]), (vec![], vec![]), "{ahead}");
    }
    assert_eq!(ask(&[item(stranger, held), item(NodeId([8; 16]), held)]), (vec![], vec![OrgId([1; 16])]));
    let many: Vec<Item> = (0u128..1_000_000)
        .step_by(50)
        .map(|n| Item { org: OrgId(n.to_be_bytes()), ..item(NodeId((n + (1 << 90)).to_be_bytes()), held) })
        .collect();
    assert_eq!(ask(&many).1.len(), ORGS_SESSION_MAX);
}

#[test]
fn attack_38_a_clock_three_days_off_uses_nothing_that_expired_by_it_and_takes_nothing_from_its_future() {
    let region = Region::new(8, 2);
    let (member, days) = (&region.members[1], 3 * DAY);
    let ends = region.directory.descriptor(member.node).unwrap().expires;
    let tls = SigningKey::from_seed(&member.tls_seed).public();
    let usable = |now: u64| {
        let sealed_to = region.directory.recipient(member.org, member.node, now).err();
        (sealed_to != Some(crate::directory::RouteFault::NoDescriptor), region.directory.peer(&tls, now).is_some())
    };
    // The true time is a day before the end. Who is ahead stops too early, and does not seal to what is gone.
    assert_eq!(usable(ends - DAY), (true, true));
    assert_eq!(usable(ends - DAY + days), (false, false));
    assert_eq!(usable(ends - DAY - days), (true, true));
    // Others have renewed; by a clock that is behind that is the future: not asked for, and not taken when it comes.
    let renewed = newer(&region, member, NOW + 2 * DAY);
    let item = item(member.node, (NOW + 2 * DAY) / HOUR);
    for (clock, taken) in [(NOW + 2 * DAY - days, false), (NOW + 2 * DAY, true), (NOW + 2 * DAY + days, true)] {
        let mut wanted = Wanted::default();
        wanted.add(&region.directory, std::slice::from_ref(&item), clock);
        assert_eq!((!wanted.is_empty(), region.directory.check(&renewed, clock).is_ok()), (taken, taken), "{clock}");
    }
}

#[test]
fn attack_42_a_descriptor_of_a_node_that_nobody_accredited_is_refused() {
    let region = Region::new(4, 2);
    let mut rng = region.rng;
    let mut stranger = Region::new(77, 1).members.remove(0).moved_to(region.net);
    let [_, _, by_itself] = member_records(region.net, &stranger, 0, &region.coordinators);
    assert_eq!(region.directory.check(&by_itself, NOW).err(), Some(crate::directory::RecordFault::Signer));
    // In the name of a member, by a key of its own; and of itself with a member's TLS key.
    let held = region.directory.descriptor(region.members[0].node).unwrap();
    let forged = attest(held, &Attested::default(), &SigningKey::generate(&mut rng).0, NOW + HOUR);
    assert_eq!(region.directory.check(&forged, NOW).err(), Some(crate::directory::RecordFault::Signer));
    stranger.tls_seed = region.members[0].tls_seed;
    let records = member_records(region.net, &stranger, 0, &region.coordinators);
    let mut directory = region.directory.clone();
    assert!(take(&mut directory, &records[0]) && take(&mut directory, &records[1]));
    assert_eq!(directory.check(&records[2], NOW).err(), Some(crate::directory::RecordFault::Field));
}

#[test]
fn attack_42_mailboxes_beyond_what_a_descriptor_may_list_are_refused() {
    let region = Region::new(4, 1);
    let member = &region.members[0];
    let tls = SigningKey::from_seed(&member.tls_seed).public();
    let prekeys: Vec<_> = member.prekeys.iter().map(|(week, secret)| (*week, secret.public().unwrap())).collect();
    let with = |mailboxes: usize| {
        let one = (member.mailbox, member.node, "a.example.org:7443".to_owned());
        let presence = Presence {
            node: member.node,
            tls_pks: &[tls],
            mailboxes: &vec![one; mailboxes],
            prekeys: &prekeys,
            languages: &[],
            reads: &[],
            attested: &Attested::default(),
        };
        let record = describe(region.net, &presence, &member.sign, NOW / HOUR, NOW);
        region.directory.check(&record, NOW).err()
    };
    assert_eq!(with(1), None);
    for refused in [0, 4, 1000] {
        assert_eq!(with(refused), Some(crate::directory::RecordFault::Field), "{refused}");
    }
}

#[test]
fn every_answer_says_what_time_it_is_there() {
    let region = Region::new(4, 2);
    let buckets = Buckets::of(&region.directory);
    let state = buckets.answer(&region.directory, &[], NOW);
    assert_eq!((state.now, state.digests.is_empty()), (NOW, false));
    let same = buckets.answer(&region.directory, &buckets.state(), NOW + 1);
    assert_eq!((same.now, same.digests.is_empty()), (NOW + 1, true), "in one word");
}

//! Lists that lie, lists without end, and what a session costs.

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
fn a_bucket_tells_of_as_many_nodes_as_may_be_and_of_the_first_by_their_ids() {
    let mut region = Region::new(1, 1);
    let node = region.members[0].node;
    let nodes = of_bucket(0, BUCKET_ITEMS_MAX + 1);
    let (cert, descriptor) = (region.directory.certs[&node].clone(), region.directory.descriptors[&node].clone());
    for node in &nodes {
        region.directory.certs.insert(*node, cert.clone());
        region.directory.descriptors.insert(*node, descriptor.clone());
    }
    let buckets = Buckets::of(&region.directory);
    let told: Vec<NodeId> = buckets.lists[0].iter().map(|item| item.node).take(BUCKET_ITEMS_MAX + 1).collect();
    assert_eq!(told, nodes[..BUCKET_ITEMS_MAX]);
    // It takes as many pages as the reader reads, and is read whole.
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

/// One pull of `mine` from `theirs`, as a node does it, over encoded messages. The bytes of all answers, and how many there
/// were.
pub(super) fn pull(mine: &mut Directory, theirs: &Directory, now: u64) -> (usize, usize) {
    let (mut bytes, mut answers) = (0, 0);
    let mut count = |len: usize| {
        bytes += len;
        answers += 1;
    };
    let there = Buckets::of(theirs);
    count(there.digests().len());
    let here = Buckets::of(mine);
    let mut wanted = Wanted::default();
    for bucket in here.differing(there.digests()).unwrap() {
        let (mut listing, mut after) = (Listing::new(bucket), None);
        loop {
            let page = there.page(bucket, after);
            count(page.encoded_len());
            after = listing.read(&page).unwrap();
            if after.is_none() {
                break;
            }
        }
        wanted.add(mine, &listing.whole(there.digests()).unwrap(), now);
    }
    for org in &wanted.orgs {
        let bundle = wire::RecordBundle { prekeys: vec![], ..theirs.bundle(*org) };
        count(bundle.encoded_len());
        learn(mine, &bundle.records);
    }
    let nodes: Vec<NodeId> = wanted.known.iter().map(|item| item.node).collect();
    for nodes in nodes.chunks(DESCRIPTORS_ASKED_MAX) {
        let bundle = Buckets::descriptors(theirs, nodes);
        count(bundle.encoded_len());
        learn(mine, &bundle.records);
    }
    assert_eq!(wanted.left(mine).count(), 0);
    let mut groups: Vec<_> = Buckets::of(mine).missing(mine, now).iter().map(|m| (m.week, m.group)).collect();
    groups.dedup();
    for (week, group) in groups {
        let reply = there.group(theirs, week, group);
        count(reply.encoded_len());
        for prekey in &reply.prekeys {
            if let Ok(Some(checked)) = mine.check_prekey(prekey.week, &prekey.pk) {
                mine.insert(checked);
            }
        }
    }
    (bytes, answers)
}

#[test]
fn prekeys_come_in_whole_groups_and_only_those_that_are_listed_count() {
    let region = Region::new(5, 40);
    let there = Buckets::of(&region.directory);
    let week = NOW / WEEK;
    let sizes: Vec<usize> = (0..3).map(|g| there.group(&region.directory, week, g).prekeys.len()).collect();
    assert_eq!(sizes, [PREKEY_GROUP, 8, 0]);
    assert_eq!(there.group(&region.directory, 1, 0).prekeys.len(), 0);
    assert_eq!(there.group(&region.directory, week, u32::MAX).prekeys.len(), 0);
    assert!(there.group(&region.directory, week, 0).encoded_len() <= SYNC_PAGE_MAX);
    let mut bare = Directory::found(&region.genesis, None).unwrap();
    region.records.iter().for_each(|record| assert!(take(&mut bare, record)));
    let missing = Buckets::of(&bare).missing(&bare, NOW);
    assert_eq!(missing.len(), 40 * 5);
    assert_eq!(missing[0].week, week, "this week's first");
    // One whose descriptor ends tomorrow: the day after nobody writes to it.
    let member = &region.members[0];
    let held = region.directory.descriptor(member.node).unwrap();
    let short = wire::Descriptor { serial: NOW / HOUR + 1, expires: NOW + DAY, ..held.clone() };
    let mut ending = bare.clone();
    assert!(take(&mut ending, &sign(crate::labels::media::DESCRIPTOR, short.encode_to_vec(), &member.sign)));
    let of_it = |now: u64| Buckets::of(&ending).missing(&ending, now).iter().any(|m| m.node == member.node);
    assert!(of_it(NOW) && !of_it(NOW + DAY));
    // A stranger's prekey among them is not taken.
    let stranger = Region::new(6, 1);
    let foreign = stranger.members[0].prekey(NOW).public().unwrap();
    assert!(bare.check_prekey(week, foreign.as_bytes()).is_err());
    pull(&mut bare, &region.directory, NOW);
    assert!(Buckets::of(&bare).missing(&bare, NOW).is_empty());
    for member in &region.members {
        assert!(bare.recipient(member.org, member.node, NOW).is_ok());
    }
}

#[test]
fn a_prekey_that_its_owner_replaced_within_its_week_is_dropped_and_missed() {
    let mut region = Region::new(7, 2);
    let member = &region.members[0];
    let tls = SigningKey::from_seed(&member.tls_seed).public();
    let fresh = |rng: &mut _| crate::keys::PrekeySecret::generate(rng).public().unwrap();
    let prekeys: Vec<_> = published(NOW).map(|week| (week, fresh(&mut region.rng))).collect();
    let presence = Presence {
        node: member.node,
        tls_pks: &[tls],
        mailboxes: &[(member.mailbox, member.node, "a.example.org:7443".to_owned())],
        prekeys: &prekeys,
        languages: &[],
        reads: &[],
        attested: &Attested::default(),
    };
    let record = describe(region.net, &presence, &member.sign, NOW / HOUR, NOW);
    let mut directory = region.directory.clone();
    assert!(take(&mut directory, &record));
    let fault = directory.recipient(member.org, member.node, NOW).err();
    assert_eq!(fault, Some(crate::directory::RouteFault::NoPrekey), "sealed to a key that opens nothing");
    assert_eq!(Buckets::of(&directory).missing(&directory, NOW).len(), 5);
    let other = &region.members[1];
    assert!(directory.recipient(other.org, other.node, NOW).is_ok());
}

#[test]
fn replicas_that_pull_at_random_come_to_hold_the_same() {
    use rand_core::Rng as _;
    for seed in 1..=8 {
        let mut region = Region::new(seed, 24);
        let count = 12;
        // Each begins with its own records and those of its neighbour; some have a newer descriptor of themselves.
        let mut replicas: Vec<Directory> = (0..count)
            .map(|n| {
                let mut directory = Directory::found(&region.genesis, None).unwrap();
                for m in 0..4 {
                    let member = (2 * n + m) % 24;
                    region.records[3 * member..3 * member + 3].iter().for_each(|r| assert!(take(&mut directory, r)));
                }
                if n % 3 == 0 {
                    let record = newer(&region, &region.members[2 * n], NOW + HOUR);
                    assert!(take(&mut directory, &record));
                }
                for (week, secret) in &region.members[2 * n].prekeys {
                    let checked = directory.check_prekey(*week, secret.public().unwrap().as_bytes());
                    directory.insert(checked.unwrap().unwrap());
                }
                directory
            })
            .collect();
        let mut draw = |below: usize| (region.rng.next_u64() % below as u64) as usize;
        let mut rounds = 0;
        loop {
            let said: BTreeSet<Vec<u8>> = replicas.iter().map(|d| Buckets::of(d).digests().to_vec()).collect();
            let lacking: usize = replicas.iter().map(|d| Buckets::of(d).missing(d, NOW).len()).sum();
            // Half of the members keep no replica: nobody has their prekeys.
            if said.len() == 1 && lacking == count * 12 * 5 {
                break;
            }
            rounds += 1;
            assert!(rounds <= 12, "seed {seed}: {} views after {rounds} rounds, {lacking} prekeys missing", said.len());
            for me in 0..count {
                for _ in 0..2 {
                    let peer = draw(count);
                    if peer != me {
                        let theirs = replicas[peer].clone();
                        pull(&mut replicas[me], &theirs, NOW);
                    }
                }
            }
        }
        println!("seed {seed}: {count} replicas agree after {rounds} rounds");
    }
}

#[test]
fn a_thousand_nodes_cost_what_the_design_says() {
    let region = Region::new(9, 1000);
    let mut fresh = Directory::found(&region.genesis, None).unwrap();
    region.records.iter().for_each(|record| assert!(take(&mut fresh, record)));
    let (bytes, answers) = pull(&mut fresh.clone(), &region.directory, NOW);
    println!("all prekeys of a thousand nodes: {bytes} bytes in {answers} answers");
    assert!(bytes < SYNC_SESSION_MAX / 2 && answers <= 1 + 5 * 32, "{bytes} in {answers}");
    let same = pull(&mut region.directory.clone(), &region.directory, NOW);
    println!("in sync: {} bytes in {} answers", same.0, same.1);
    assert_eq!(same, (8192, 1));
    // A day's change: every descriptor is renewed.
    let mut renewed = region.directory.clone();
    region.members.iter().for_each(|member| assert!(take(&mut renewed, &newer(&region, member, NOW + HOUR))));
    let (bytes, answers) = pull(&mut region.directory.clone(), &renewed, NOW);
    println!("a thousand renewed descriptors: {bytes} bytes in {answers} answers");
    assert!(bytes < 1 << 20 && answers <= 1 + 256 + 16, "{bytes} in {answers}");
    let one = newer(&region, &region.members[0], NOW + HOUR);
    let mut renewed = region.directory.clone();
    assert!(take(&mut renewed, &one));
    let (bytes, answers) = pull(&mut region.directory.clone(), &renewed, NOW);
    println!("one renewed descriptor: {bytes} bytes in {answers} answers");
    assert!(bytes < 12 << 10 && answers == 3, "{bytes} in {answers}");
}

#[test]
fn in_a_large_region_the_prekeys_of_two_weeks_are_fetched_and_whole_groups_all_the_same() {
    let region = Region::new(12, 3);
    let mut bare = Directory::found(&region.genesis, None).unwrap();
    learn(&mut bare, &region.records);
    let mut buckets = Buckets::of(&bare);
    let weeks = |buckets: &Buckets| {
        let missing = buckets.missing(&bare, NOW).into_iter().map(|m| m.week - NOW / WEEK);
        missing.collect::<BTreeSet<u64>>().into_iter().collect::<Vec<_>>()
    };
    buckets.nodes = PREKEYS_ALL_NODES;
    assert_eq!(weeks(&buckets), [0, 1, 2, 3, 4]);
    buckets.nodes += 1;
    assert_eq!(weeks(&buckets), [0, 1]);
}

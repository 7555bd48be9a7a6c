//! What comes of pulling: prekeys in whole groups, replicas that agree, and what a session costs.

use super::*;

/// One pull of `mine` from `theirs`, as a node does it, over encoded messages. The bytes of all answers, and how many there
/// were.
fn pull(mine: &mut Directory, theirs: &Directory, now: u64) -> (usize, usize) {
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

//! How long a node needs from its store on the disk to a directory it can serve from: everything is read, opened, and each
//! signature verified again. `cargo run --release -p clearhouse-node --example restart [N ...]`
//!
//! A region of N organisations with three directory logs, taken in as from peers, then read back by a fresh world.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that cannot go on must stop")]

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Now, Office, Step};
use clearhouse_node::owner::World;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::{BUNDLE_MAX, LOG_PAGE_ENTRIES_MAX};
use clearhouse_store::DurableStore;
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    println!("{:>6} {:>10} {:>10} {:>10} {:>10}", "orgs", "take in", "open", "load", "prekeys");
    for n in if sizes.is_empty() { vec![10, 100, 1_000, 10_000] } else { sizes } {
        row(n);
    }
}

fn row(n: usize) {
    let region = Region::with_logs(1, n);
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
    let began = Instant::now();
    take_in(&mut open(folder.path(), &region, &keys).0, &region, &mut rng);
    let taken = began.elapsed();
    let (world, opened, loaded) = open(folder.path(), &region, &keys);
    let usable = region.members.iter().filter(|m| world.office.directory().signing_key(m.org, m.node, NOW).is_ok());
    assert_eq!(usable.count(), n);
    let prekeys: usize =
        region.members.iter().map(|m| world.office.directory().bundle(m.org).prekeys.len()).take(100).sum();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{n:>6} {:>8.0}ms {:>8.0}ms {:>8.0}ms {:>10.1}",
        millis(taken),
        millis(opened),
        millis(loaded),
        prekeys as f64 / n.min(100) as f64
    );
}

/// The world of an office that knows its genesis and what is in its store; how long the store took, and the reading.
fn open(
    folder: &Path,
    region: &Region,
    keys: &(ServiceKeys, ContentKeys),
) -> (World<DurableStore>, Duration, Duration) {
    let began = Instant::now();
    let (store, _) = DurableStore::open(&folder.join("store")).unwrap();
    let opened = began.elapsed();
    let began = Instant::now();
    let me = &region.members[n_of(region)];
    let me = Me {
        net: region.net,
        org: me.org,
        node: me.node,
        mailboxes: vec![me.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    let office = Office::new(me, Directory::found(&region.genesis, None).unwrap());
    let ledger = Ledger::new(store, Vault::new(&keys.0, Some(&keys.1)).unwrap());
    let (world, _) = World::load(office, ledger).unwrap();
    (world, opened, began.elapsed())
}

/// The last member: no coordinator.
fn n_of(region: &Region) -> usize {
    region.members.len() - 1
}

fn take_in(world: &mut World<DurableStore>, region: &Region, rng: &mut ChaCha20Rng) {
    let policy = wire::RecordBundle { records: vec![region.records[0].clone()], ..Default::default() };
    step(world, region, rng, |office, now| office.admit(&policy, now).0);
    let entries: Vec<Vec<u8>> =
        region.directory.to_enter(region.members[0].node).into_iter().map(wire::Signed::encode_to_vec).collect();
    for keeper in 0..3 {
        let others: Vec<usize> = (0..3).filter(|n| *n != keeper).collect();
        for first in (0..entries.len()).step_by(LOG_PAGE_ENTRIES_MAX) {
            let until = entries.len().min(first + LOG_PAGE_ENTRIES_MAX);
            let page = region.log_page(keeper, &entries, (first, until), (&others, NOW));
            let node = region.members[keeper].node;
            step(world, region, rng, |office, now| {
                let (step, taken) = office.follow(node, &page, now);
                taken.unwrap();
                step
            });
        }
    }
    let prekeys = region.members.iter().flat_map(|m| region.directory.bundle(m.org).prekeys);
    let (records, prekeys) = (region.records[1..].to_vec(), prekeys.collect::<Vec<_>>());
    for records in records.chunks(BUNDLE_MAX) {
        let bundle = wire::RecordBundle { records: records.to_vec(), ..Default::default() };
        step(world, region, rng, |office, now| office.admit(&bundle, now).0);
    }
    for prekeys in prekeys.chunks(BUNDLE_MAX) {
        let bundle = wire::RecordBundle { prekeys: prekeys.to_vec(), ..Default::default() };
        step(world, region, rng, |office, now| office.admit(&bundle, now).0);
    }
}

fn step(
    world: &mut World<DurableStore>,
    region: &Region,
    rng: &mut ChaCha20Rng,
    decide: impl FnOnce(&Office, &mut Now<'_, ChaCha20Rng>) -> Step,
) {
    let key = &region.members[n_of(region)].sign;
    let step = decide(&world.office, &mut Now { time: NOW, rng, key });
    world.office.take(&step);
    world.ledger.commit(&step.rows, &step.events, rng).unwrap();
}

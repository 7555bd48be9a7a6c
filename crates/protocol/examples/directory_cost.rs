//! What it costs a node that knows nothing but the genesis and the policy to come to hold the whole directory, at 10 to
//! 10,000 organisations: bytes of answers beside the bytes of the records, time beside verifying each signature once, and
//! memory. `cargo run --release -p clearhouse-protocol --features fixture --example directory_cost [N ...]`
//!
//! Without a line and without the work of those who answer, so nothing but the directory's own work is counted, and with
//! as many threads as there are cores for what can be verified ahead. The floor is one thread's, divided by nothing. Then
//! the same records are read back as after a restart. The first log is read in full, the others by the hashes of their
//! leaves; descriptors come by buckets and prekeys by groups, as many at once as between nodes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that cannot go on must stop")]

use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::buckets::{Buckets, Listing, Wanted};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::{BUNDLE_MAX, LOG_PAGE_ENTRIES_MAX};
use clearhouse_protocol::signed::Verdicts;
use clearhouse_wire::v1::{Prekey, Signed};
use prost::Message as _;

/// Descriptors asked for with one question.
const ASKED: usize = 64;

/// The time in which the node that knows nothing works, rather than those who answer it.
#[derive(Default)]
struct Watch(Duration);

impl Watch {
    fn over<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.0 += began.elapsed();
        result
    }
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100, 1_000, 10_000] } else { sizes };
    println!(
        "{:>6} {:>12} {:>12} {:>6} {:>9} {:>9} {:>6} {:>9} {:>9} {:>9}",
        "orgs", "records", "answers", "ratio", "verify", "sync", "ratio", "prekeys", "resident", "again"
    );
    for n in sizes {
        row(n);
    }
}

fn row(n: usize) {
    let mut region = Region::with_logs(1, n);
    let policy = region.records[0].clone();
    let rows: Vec<(String, Signed)> = region.records[1..].iter().map(|r| (r.payload_type.clone(), r.clone())).collect();
    let entries: Vec<Vec<u8>> =
        region.directory.to_enter(region.members[0].node).into_iter().map(Signed::encode_to_vec).collect();
    region.publish_all(NOW);
    let floor = verify_each(&region, &rows);
    let records: usize = rows.iter().map(|(_, signed)| signed.encoded_len()).sum();

    let before = resident();
    let mut watch = Watch::default();
    let mut cold = watch.over(|| {
        let mut cold = Directory::found(&region.genesis, None).unwrap();
        take(&mut cold, &[policy], &[]);
        cold
    });
    let mut bytes = follow(&mut cold, &region, &entries, &mut watch);
    // One session asks for so many at most; the next goes on.
    while Buckets::of(&cold).digests() != Buckets::of(&region.directory).digests() {
        bytes += describe(&mut cold, &region, &mut watch);
    }
    let sync = watch.0;
    let grown = resident().saturating_sub(before);
    assert!(
        region
            .members
            .iter()
            .all(|m| cold.signing_key(m.org, m.node, NOW).is_ok() && cold.descriptor(m.node).is_some())
    );
    let prekeys = prekeys(&mut cold, &region);
    let kept: Vec<Signed> = cold.records().cloned().collect();
    let began = Instant::now();
    let mut again = Directory::found(&region.genesis, None).unwrap();
    take(&mut again, &kept, &[]);
    let again = began.elapsed();
    println!(
        "{n:>6} {records:>12} {bytes:>12} {:>6.2} {:>8.0}m {:>8.0}m {:>6.2} {prekeys:>9} {:>7}kB {:>8.0}m",
        bytes as f64 / records as f64,
        millis(floor),
        millis(sync),
        sync.as_secs_f64() / floor.as_secs_f64(),
        grown,
        millis(again)
    );
}

/// Every signature of every record verified once, by the key that made it: what nobody can do without.
fn verify_each(region: &Region, rows: &[(String, Signed)]) -> Duration {
    let coordinators: Vec<VerifyKey> =
        region.coordinators.iter().map(|key| VerifyKey::admit(&key.public()).unwrap()).collect();
    let sign: Vec<VerifyKey> = region.members.iter().map(|m| VerifyKey::admit(&m.sign.public()).unwrap()).collect();
    let root: Vec<VerifyKey> = region.members.iter().map(|m| VerifyKey::admit(&m.root.public()).unwrap()).collect();
    let began = Instant::now();
    for (place, (kind, signed)) in rows.iter().enumerate() {
        let member = place / 3;
        for (n, signature) in signed.signatures.iter().enumerate() {
            let key = match kind.as_str() {
                media::ORG => &coordinators[n],
                media::NODECERT => &root[member],
                _ => &sign[member],
            };
            key.verify(kind, &signed.payload, &signature.sig).unwrap();
        }
    }
    began.elapsed()
}

/// Takes records as a node does: what can be verified ahead, on all cores.
fn take(directory: &mut Directory, records: &[Signed], prekeys: &[Prekey]) {
    let verdicts = directory.try_ahead(records, prekeys, &on_all_cores);
    for signed in records {
        if let Some(checked) = directory.check_beside(signed, NOW, &verdicts).unwrap() {
            directory.insert(checked);
        }
    }
    for prekey in prekeys {
        if let Some(checked) = directory.check_prekey_beside(prekey.week, &prekey.pk, &verdicts).unwrap() {
            directory.insert(checked);
        }
    }
}

fn on_all_cores(work: &(dyn Fn(usize, usize) -> Verdicts + Sync)) -> Verdicts {
    let of = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let others: Vec<_> = (1..of).map(|part| scope.spawn(move || work(part, of))).collect();
        let mut all = work(0, of);
        others.into_iter().for_each(|other| all.join(other.join().unwrap()));
        all
    })
}

/// The three logs: one by its entries, two by their leaves. Bytes of all answers.
fn follow(cold: &mut Directory, region: &Region, entries: &[Vec<u8>], watch: &mut Watch) -> usize {
    let mut bytes = 0;
    for (n, member) in region.members[..3].iter().enumerate() {
        while cold.followed(member.node) < region.directory.followed(member.node) {
            let first = cold.followed(member.node);
            let page = if n == 0 {
                let from = usize::try_from(first).unwrap();
                let some = entries[from..].iter().take(LOG_PAGE_ENTRIES_MAX).cloned().collect();
                region.directory.page_of(member.node, first, 0, some)
            } else {
                region.directory.page_of_leaves(member.node, first, 0)
            };
            bytes += page.encoded_len();
            watch.over(|| {
                let checked = cold.check_page(member.node, &page, NOW).unwrap();
                cold.follow(&checked);
                let records: Vec<Signed> = page.entries.iter().map(|e| Signed::decode(e.as_slice()).unwrap()).collect();
                take(cold, &records, &[]);
            });
        }
    }
    bytes
}

/// All descriptors, by buckets. Bytes of all answers.
fn describe(cold: &mut Directory, region: &Region, watch: &mut Watch) -> usize {
    let theirs = Buckets::of(&region.directory);
    let mine = watch.over(|| Buckets::of(cold));
    let mut bytes = theirs.digests().len();
    let mut wanted = Wanted::default();
    for bucket in mine.differing(theirs.digests()).unwrap() {
        let (mut listing, mut after) = (Listing::new(bucket), None);
        loop {
            let page = theirs.page(bucket, after);
            bytes += page.encoded_len();
            after = watch.over(|| listing.read(&page).unwrap());
            if after.is_none() {
                break;
            }
        }
        watch.over(|| wanted.add(cold, &listing.whole(theirs.digests()).unwrap(), NOW));
    }
    let nodes: Vec<_> = wanted.left(cold).map(|item| item.node).collect();
    let mut records = Vec::new();
    for some in nodes.chunks(ASKED) {
        let bundle = Buckets::descriptors(&region.directory, some);
        bytes += bundle.encoded_len();
        records.extend(bundle.records);
        if records.len() + ASKED > BUNDLE_MAX {
            watch.over(|| take(cold, &std::mem::take(&mut records), &[]));
        }
    }
    watch.over(|| take(cold, &records, &[]));
    bytes
}

/// The prekeys of this week, by groups: bytes of all answers.
fn prekeys(cold: &mut Directory, region: &Region) -> usize {
    let theirs = Buckets::of(&region.directory);
    let mine = Buckets::of(cold);
    let mut bytes = 0;
    let groups: BTreeSet<(u64, u32)> = mine.missing(cold, NOW).iter().map(|m| (m.week, m.group)).collect();
    let mut all = Vec::new();
    for (week, group) in groups {
        let reply = theirs.group(&region.directory, week, group);
        bytes += reply.encoded_len();
        all.extend(reply.prekeys);
    }
    take(cold, &[], &all);
    bytes
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Kilobytes this process holds in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

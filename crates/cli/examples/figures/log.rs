//! The log: checking one from disk, proofs, what it adds to a deposit, how it grows, holding many against each other.
//! Each beside its floor of the same run. What takes memory runs in a process of its own, so that its peak is its own.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_node::clock::chance;
use clearhouse_node::log::Keeper;
use clearhouse_node::log::folder::{self, Export, Known};
use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::ids::{Digest, Net, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::log::tiles::Tiled;
use clearhouse_protocol::log::tree::{self, Edge};
use clearhouse_protocol::log::{Hash, leaf_data, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::receipt::storage_batch;
use clearhouse_protocol::rows::{EventRow, Row, Table, Under};
use clearhouse_store::heads::{Heads, HeadsFile};
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::tile_files::TileFiles;
use clearhouse_store::vault::Vault;
use clearhouse_store::{DurableStore, Store as _};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use crate::measure::{Outcome, Spread, micros, thread_time};

/// Sizes of the table of growth; the last is the one that everything else is measured on.
const SIZES: [u64; 3] = [10_000, 100_000, MILLION];
const MILLION: u64 = 1_000_000;
/// Entries signed for at once, as at a busy node's tick.
const TICK: usize = 1000;
/// Proofs made and checked in each round.
const PROOFS: u64 = 20_000;
/// Deposits of one commit, and commits of one tick.
const BATCH: usize = 64;
const BATCHES: usize = 16;
/// Ticks in each round.
const TICKS: usize = 2;
/// Bytes of an envelope that is kept.
const ENVELOPE: usize = 4096;
const ORIGIN: &str = "clearhouse.01010101/02020202020202020202020202020202/03030303030303030303030303030303/g1";
const NOW: u64 = 1_794_657_600;

/// What a process of its own is told to do.
pub(crate) const VERIFY: &str = "verify";
pub(crate) const RECONCILE: &str = "reconcile";

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn known() -> Outcome<NoteKey> {
    Ok(NoteKey::new(ORIGIN, KeyKind::Log, &key().public())?)
}

fn commitments(n: u64) -> impl Iterator<Item = Hash> {
    (0..n).map(|n| sha256(&n.to_be_bytes()))
}

/// All figures of the log, on `rounds` rounds. `deposit` is what a deposit takes of the processor altogether, in
/// microseconds, where that was measured.
pub(crate) fn print(rounds: usize, folder: &Path, deposit: Option<f64>) -> Outcome<()> {
    println!("The log: leaves of 33 bytes, heads signed each {TICK} entries, one thread");
    fs::create_dir_all(folder)?;
    let grown = growth(folder)?;
    checked(rounds, &grown)?;
    proofs(rounds, &grown)?;
    added(rounds, folder, deposit)?;
    print!("{}", alone(&[RECONCILE])?);
    Ok(())
}

/// Exports logs of each size, head by head. Returns the folder of the largest.
fn growth(folder: &Path) -> Outcome<PathBuf> {
    let mut last = folder.to_owned();
    for size in SIZES {
        last = folder.join(format!("log-{size}"));
        let (began, cpu) = (Instant::now(), thread_time());
        let (mut export, mut edge) = (Export::new(&last)?, Edge::default());
        let all: Vec<Hash> = commitments(size).collect();
        let mut head = None;
        for page in all.chunks(TICK) {
            export.push(page)?;
            page.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
            let next = Checkpoint { origin: ORIGIN.to_owned(), size: edge.size(), root: edge.root() };
            head = Some(next.sign(&key())?);
        }
        export.finish(&head.ok_or("a log of nothing")?, &known()?.to_string(), b"", b"")?;
        let (wall, cpu) = (began.elapsed(), thread_time().saturating_sub(cpu));
        let (tiles, bundles) = (bytes(&last.join("tile"), "entries")?, bytes(&last.join("tile/entries"), "")?);
        println!(
            "  {size:>9} entries: written in {:.2} s (processor {:.2}); tiles {:.1} MB, entries {:.1} MB: {:.1} bytes an entry",
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            tiles as f64 / 1e6,
            bundles as f64 / 1e6,
            (tiles + bundles) as f64 / size as f64,
        );
    }
    Ok(last)
}

/// Bytes of all files below a folder, but not below the one named.
fn bytes(folder: &Path, but: &str) -> Outcome<u64> {
    let mut sum = 0;
    for item in fs::read_dir(folder)? {
        let item = item?;
        sum += match item.metadata()? {
            meta if meta.is_file() => meta.len(),
            _ if item.file_name() == but => 0,
            _ => bytes(&item.path(), but)?,
        };
    }
    Ok(sum)
}

/// A log of a million entries checked from disk, beside hashing as many from memory.
fn checked(rounds: usize, log: &Path) -> Outcome<()> {
    let leaves: Vec<Hash> = commitments(MILLION).collect();
    let (mut ratios, mut own, mut floors, mut memory, mut walls) = (vec![], vec![], vec![], 0.0f64, vec![]);
    for _ in 0..rounds {
        let began = thread_time();
        let mut edge = Edge::default();
        leaves.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        black_box(edge.root());
        let floor = thread_time().saturating_sub(began).as_secs_f64();
        let said = alone(&[VERIFY, &log.display().to_string()])?;
        let mut said = said.split_whitespace().map(str::parse::<f64>);
        let mut next = || said.next().ok_or("a check that says nothing")?.map_err(|e| e.to_string());
        let (cpu, wall, peak) = (next()?, next()?, next()?);
        memory = memory.max(peak);
        ratios.push(cpu / floor);
        own.push(cpu);
        floors.push(floor);
        walls.push(wall);
    }
    line("  hashing 1,000,000 entries from memory", &Spread::of(floors), "s", "");
    let ratio = format!(
        "{} times that; wall {} s; at most {:.0} MB of memory",
        Spread::of(ratios),
        Spread::of(walls),
        memory / 1e6
    );
    line("  checking them from disk", &Spread::of(own), "s", &ratio);
    Ok(())
}

/// Checks a folder and says how long that took of the processor and of the day, and how much memory at most.
pub(crate) fn verify(folder: &Path) -> Outcome<()> {
    let (began, cpu) = (Instant::now(), thread_time());
    folder::verify(folder, Known { key: Some(known()?), ..Known::default() }, NOW)?;
    let (wall, cpu) = (began.elapsed(), thread_time().saturating_sub(cpu));
    println!("{} {} {}", cpu.as_secs_f64(), wall.as_secs_f64(), peak()? * 1024);
    Ok(())
}

/// Most memory this process had, in KiB.
fn peak() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("the system does not count memory")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number of KiB")?.parse()?)
}

/// This program again, in a process of its own. Returns what it prints.
fn alone(args: &[&str]) -> Outcome<String> {
    let ran = Command::new(std::env::current_exe()?).args(args).output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned().into()) }
}

/// Inclusion proofs made out of tiles on the disk and checked, beside Go's and ct-merkle's in memory.
fn proofs(rounds: usize, log: &Path) -> Outcome<()> {
    let (files, leaves) = (TileFiles::new(log), commitments(MILLION).collect::<Vec<Hash>>());
    let root = tree::root(&Tiled::new(&files, MILLION), MILLION)?;
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 33]>::new();
    leaves.iter().for_each(|commitment| theirs.push(leaf_data(commitment)));
    let their_root = theirs.root();
    let go = tlog(log)?;
    let (mut made, mut by_go, mut by_ct, mut in_order) = (vec![], vec![], vec![], vec![]);
    let (mut checks, mut their_checks) = (vec![], vec![]);
    let mut at = 1u64;
    for _ in 0..rounds {
        let places: Vec<u64> = (0..PROOFS)
            .map(|_| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                at % MILLION
            })
            .collect();
        let tiled = Tiled::new(&files, MILLION);
        let (paths, rate) = rated(&places, |index| Ok(tree::inclusion(&tiled, *index, MILLION)?))?;
        made.push(rate);
        // As a node makes them: of entries that follow each other, for the other side of each message.
        let from = places.first().copied().unwrap_or(0);
        let neighbours: Vec<u64> = (from..MILLION).chain(0..).take(places.len()).collect();
        let tiled = Tiled::new(&files, MILLION);
        let (_, rate) = rated(&neighbours, |index| Ok(tree::inclusion(&tiled, *index, MILLION)?))?;
        in_order.push(rate);
        let (their_paths, rate) = rated(&places, |index| Ok(theirs.prove_inclusion(usize::try_from(*index)?)))?;
        by_ct.push(rate);
        by_go.extend(go.as_ref().map(|go| run_go(go)).transpose()?);
        let both: Vec<_> = places.iter().zip(&paths).collect();
        let (_, rate) = rated(&both, |(index, path)| {
            let leaf = merkle::leaf(&leaf_data(&leaves[usize::try_from(**index)?]));
            merkle::includes(&leaf, **index, MILLION, path, &root).then_some(()).ok_or_else(|| "a proof failed".into())
        })?;
        checks.push(rate);
        let both: Vec<_> = places.iter().zip(&their_paths).collect();
        let (_, rate) = rated(&both, |(index, path)| {
            let leaf = leaf_data(&leaves[usize::try_from(**index)?]);
            their_root.verify_inclusion(&leaf, **index, path).map_err(|error| error.to_string().into())
        })?;
        their_checks.push(rate);
    }
    let ratio = |of: &[f64], to: &[f64]| Spread::of(of.iter().zip(to).map(|(a, b)| a / b).collect());
    line("  proofs made by ct-merkle in memory", &Spread::of(by_ct.clone()), "/s", "");
    let mut beside =
        [format!("{} of ct-merkle", ratio(&made, &by_ct)), format!("{} of ct-merkle", ratio(&in_order, &by_ct))];
    if by_go.is_empty() {
        println!("  (Go with golang.org/x/mod is not here)");
    } else {
        beside = [&made, &in_order].map(|own| format!("{} of Go", ratio(own, &by_go)));
        line("  proofs made by Go's tlog in memory", &Spread::of(by_go), "/s", "");
    }
    line("  made from tiles on the disk, anywhere", &Spread::of(made), "/s", &beside[0]);
    line("  made from them, one entry after the other", &Spread::of(in_order), "/s", &beside[1]);
    let beside = format!("{} of ct-merkle", ratio(&checks, &their_checks));
    line("  proofs checked by ct-merkle", &Spread::of(their_checks), "/s", "");
    line("  checked", &Spread::of(checks), "/s", &beside);
    Ok(())
}

/// Does something with each and says how many it did in a second of processor time.
fn rated<T, R>(all: &[T], mut one: impl FnMut(&T) -> Outcome<R>) -> Outcome<(Vec<R>, f64)> {
    let began = thread_time();
    let done = all.iter().map(&mut one).collect::<Outcome<Vec<R>>>()?;
    Ok((done, all.len() as f64 / thread_time().saturating_sub(began).as_secs_f64()))
}

/// Builds the Go program; `None` where Go or its library is not.
fn tlog(folder: &Path) -> Outcome<Option<PathBuf>> {
    if !Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").exists() {
        return Ok(None);
    }
    let program = folder.join("tlog-floor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/figures/tlog.go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .args([&program, &source])
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local")])
        .env("GOCACHE", folder.join("gocache"))
        .output();
    Ok(built.is_ok_and(|built| built.status.success()).then_some(program))
}

fn run_go(program: &Path) -> Outcome<f64> {
    let ran = Command::new(program).args([MILLION.to_string(), PROOFS.to_string()]).output()?;
    Ok(String::from_utf8_lossy(&ran.stdout).trim().parse()?)
}

/// What an office's record costs a deposit: the same envelopes kept without and with their receipts, events and ticks.
fn added(rounds: usize, folder: &Path, deposit: Option<f64>) -> Outcome<()> {
    let (service, content) = (ServiceKeys::generate(&mut chance()), ContentKeys::generate(&mut chance()));
    let open = |name: &str| -> Outcome<Ledger<DurableStore>> {
        let (store, _) = DurableStore::open(&folder.join(name))?;
        Ok(Ledger::new(store, Vault::new(&service, Some(&content))?))
    };
    let (mut bare, mut full) = (open("bare")?, open("full")?);
    let (whose, heads) = ((Net([1; 32]), NodeId([3; 16])), folder.join("heads"));
    let heads = HeadsFile::create(&heads, whose, &service, Heads::default())?;
    let mut keeper = Keeper::open(heads, &folder.join("kept"), ORIGIN.to_owned(), key(), full.store())?;
    let mut figures = [(); 6].map(|()| Vec::new());
    for round in 0..=rounds {
        let (mut floor, mut whole, mut ticks) = (Cost::default(), Cost::default(), Cost::default());
        for batch in 0..TICKS * BATCHES {
            let digests: Vec<Digest> = (0..BATCH).map(|n| digest(round, batch, n)).collect();
            let rows = letters(&digests, &[]);
            floor.add(|| Ok(bare.commit(&rows, &[], &mut chance())?))?;
            whole.add(|| keep(&mut full, &digests))?;
            if batch % BATCHES == BATCHES - 1 {
                let store = full.store();
                let fresh: Vec<Hash> = store.events(keeper.size(), usize::MAX)?.iter().map(|e| e.commitment).collect();
                let generation = store.generation();
                ticks.add(|| Ok(keeper.advance(&fresh, generation)?))?;
            }
        }
        // The first round does not count: files grow to their working size.
        if round > 0 {
            let n = (TICKS * BATCHES * BATCH) as f64;
            let both = (whole.cpu + ticks.cpu, whole.wall + ticks.wall);
            let per = |of: Duration| micros(of) / n;
            let values = [
                per(floor.cpu),
                per(both.0) / per(floor.cpu) - 1.0,
                per(both.1) / per(floor.wall) - 1.0,
                per(both.0) - per(floor.cpu),
                micros(ticks.wall) / 1000.0 / TICKS as f64,
                per(floor.wall),
            ];
            figures.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
    }
    let [cpu, more, later, own, tick, wall] = figures.map(Spread::of);
    println!("  a deposit of {ENVELOPE} bytes kept, {BATCH} a commit, a tick each {}", BATCH * BATCHES);
    line("  without receipt, event and tick", &cpu, "us", &format!("of the processor; {wall} us of time"));
    let of = deposit.map_or_else(String::new, |all| format!("; {:.0} % of all a deposit takes", 100.0 * own.mid / all));
    let beside = format!(
        "of the processor: {} of that more{of}; {} more time; a tick {} ms",
        percent(&more),
        percent(&later),
        tick
    );
    line("  what these three add", &own, "us", &beside);
    Ok(())
}

fn percent(share: &Spread) -> String {
    format!("{:.0} % ({:.0}-{:.0})", share.mid * 100.0, share.low * 100.0, share.high * 100.0)
}

#[derive(Default)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn add<T>(&mut self, work: impl FnOnce() -> Outcome<T>) -> Outcome<()> {
        let (began, cpu) = (Instant::now(), thread_time());
        black_box(work()?);
        self.cpu += thread_time().saturating_sub(cpu);
        self.wall += began.elapsed();
        Ok(())
    }
}

fn digest(round: usize, batch: usize, n: usize) -> Digest {
    Digest(sha256(format!("{round} {batch} {n}").as_bytes()))
}

/// The rows of deposits: the envelope under its own key, and what the mailbox knows of it.
fn letters(digests: &[Digest], receipts: &[Vec<u8>]) -> Vec<Row> {
    let row = |table, digest: &Digest, value, under| Row {
        table,
        key: digest.as_bytes().to_vec(),
        value: Some(value),
        under,
        must_be_new: true,
    };
    let known = |n: usize| [vec![0xA5; 80], receipts.get(n).cloned().unwrap_or_default()].concat();
    let both = |(n, digest): (usize, &Digest)| {
        let envelope = row(Table::Envelope, digest, vec![0xA5; ENVELOPE], Under::Letter(*digest));
        [envelope, row(Table::Mailbox, digest, known(n), Under::Service)]
    };
    digests.iter().enumerate().flat_map(both).collect()
}

/// Keeps deposits as an office does: receipts under one signature, an event each, one commit.
fn keep(ledger: &mut Ledger<DurableStore>, digests: &[Digest]) -> Outcome<u64> {
    let (net, node) = (Net([1; 32]), NodeId([3; 16]));
    let receipts: Vec<Vec<u8>> =
        storage_batch(net, node, digests, NOW, &key()).iter().map(prost::Message::encode_to_vec).collect();
    let first = ledger.store().event_count();
    let peer = (OrgId([4; 16]), NodeId([5; 16]));
    let event = |(index, digest): (u64, &Digest)| {
        let happening = Happening::of(AuditEvent::Deposited).with(peer.0, peer.1).about(*digest, 0);
        audit::record(&happening, net, ORIGIN, index, NOW, &mut chance())
    };
    let events: Vec<EventRow> = (first..).zip(digests).map(event).collect();
    Ok(ledger.commit(&letters(digests, &receipts), &events, &mut chance())?)
}

fn line(case: &str, figure: &Spread, unit: &str, beside: &str) {
    println!("{case:<44} {:<32} {beside}", format!("{figure} {unit}"));
}

//! The log: checking one from disk, proofs, what it adds to a deposit, how it grows, holding many against each other.
//! Each beside its floor of the same run. What takes memory runs in a process of its own, so that its peak is its own.

use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clearhouse_node::log::folder::{self, Export, Known};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::log::tiles::{TILE_WIDTH, Tiled};
use clearhouse_protocol::log::tree::{self, Edge};
use clearhouse_protocol::log::{Hash, leaf_data, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::pae::sha256;
use clearhouse_store::tile_files::TileFiles;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use crate::measure::{Outcome, Spread, thread_time};

/// Sizes of the table of growth; the last is the one that everything else is measured on.
const SIZES: [u64; 3] = [10_000, 100_000, MILLION];
const MILLION: u64 = 1_000_000;
/// Entries signed for at once, as at a busy node's tick.
const TICK: usize = 1000;
/// Proofs made and checked in each round.
const PROOFS: u64 = 20_000;
/// Proofs made by readers that know nothing of the log yet: at most one out of each tile of leaves.
const FIRST_PROOFS: usize = 2000;
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
    crate::accept::print(rounds, folder, deposit)?;
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
    let (mut made, mut by_go, mut by_ct, mut in_order, mut first) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut checks, mut their_checks) = (vec![], vec![]);
    let mut at = 1u64;
    for _ in 0..rounds {
        let places: Vec<u64> = (0..PROOFS)
            .map(|_| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                at % MILLION
            })
            .collect();
        // Nothing is remembered, and no tile of leaves is asked twice.
        let tiled = Tiled::new(&files, MILLION);
        let tiles: BTreeSet<u64> = places.iter().map(|index| index / TILE_WIDTH).collect();
        let apart: Vec<u64> = tiles.iter().map(|tile| tile * TILE_WIDTH).take(FIRST_PROOFS).collect();
        let (_, rate) = rated(&apart, |index| Ok(tree::inclusion(&tiled, *index, MILLION)?))?;
        first.push(rate);
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
    let own = [&made, &first, &in_order];
    let mut beside = own.map(|own| format!("{} of ct-merkle", ratio(own, &by_ct)));
    if by_go.is_empty() {
        println!("  (Go with golang.org/x/mod is not here)");
    } else {
        beside = own.map(|own| format!("{} of Go", ratio(own, &by_go)));
        line("  proofs made by Go's tlog in memory", &Spread::of(by_go), "/s", "");
    }
    line("  made from tiles on the disk, anywhere", &Spread::of(made), "/s", &beside[0]);
    line("  the first ones, each out of another tile", &Spread::of(first), "/s", &beside[1]);
    line("  made from them, one entry after the other", &Spread::of(in_order), "/s", &beside[2]);
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

pub(crate) fn line(case: &str, figure: &Spread, unit: &str, beside: &str) {
    println!("{case:<44} {:<32} {beside}", format!("{figure} {unit}"));
}

//! Inclusion proofs made out of tiles on the disk and checked, beside Go's tlog and ct-merkle in memory, which no part of the
//! product knows. Everything else that is measured is `clearhouse bench`.
//!
//! ```text
//! proofs DIR [ROUNDS]     build with --release; DIR on the disk that is meant
//! ```
//! Processor time, median and range of the rounds.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clearhouse_protocol::log::tiles::{TILE_WIDTH, Tiled, grow};
use clearhouse_protocol::log::tree;
use clearhouse_protocol::log::{Hash, leaf_data, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::pae::sha256;
use clearhouse_store::tile_files::TileFiles;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use rustix::time::{ClockId, clock_gettime};
use sha2::Sha256;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Leaves written at once: sixteen tiles.
const PAGE: usize = 4096;
const MILLION: u64 = 1_000_000;
/// Proofs made and checked in each round.
const PROOFS: u64 = 20_000;
/// Proofs made by readers that know nothing of the log yet: at most one out of each tile of leaves.
const FIRST_PROOFS: usize = 2000;
fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: proofs DIR [ROUNDS]")?;
    let rounds = args.next().map_or(Ok(5), |text| text.parse())?;
    let log = Path::new(&dir).join(format!("proofs-{}", std::process::id()));
    let done = write(&log).and_then(|()| proofs(rounds, &log));
    let _ = std::fs::remove_dir_all(&log);
    done
}

/// The tiles of a log of a million entries.
fn write(log: &Path) -> Outcome<()> {
    let files = TileFiles::new(log);
    let all: Vec<Hash> = commitments(MILLION).collect();
    let mut size = 0;
    // Whole tiles at once: nothing narrower is ever written.
    for page in all.chunks(PAGE) {
        let fresh: Vec<Hash> = page.iter().map(leaf_hash).collect();
        for (id, hashes) in grow(&files, size, &fresh)? {
            files.write(id, &hashes)?;
        }
        size += fresh.len() as u64;
    }
    Ok(())
}

fn commitments(n: u64) -> impl Iterator<Item = Hash> {
    (0..n).map(|n| sha256(&n.to_be_bytes()))
}

/// Processor time of the calling thread so far.
fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// Median and range of the rounds.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |n: usize| values.get(n).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    format!("{:.2} ({:.2}-{:.2})", at(last / 2), at(0), at(last))
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
    let ratio = |of: &[f64], to: &[f64]| spread(of.iter().zip(to).map(|(a, b)| a / b).collect());
    line("  proofs made by ct-merkle in memory", by_ct.clone(), "/s", "");
    let own = [&made, &first, &in_order];
    let mut beside = own.map(|own| format!("{} of ct-merkle", ratio(own, &by_ct)));
    if by_go.is_empty() {
        println!("  (Go with golang.org/x/mod is not here)");
    } else {
        beside = own.map(|own| format!("{} of Go", ratio(own, &by_go)));
        line("  proofs made by Go's tlog in memory", by_go, "/s", "");
    }
    line("  made from tiles on the disk, anywhere", made, "/s", &beside[0]);
    line("  the first ones, each out of another tile", first, "/s", &beside[1]);
    line("  made from them, one entry after the other", in_order, "/s", &beside[2]);
    let beside = format!("{} of ct-merkle", ratio(&checks, &their_checks));
    line("  proofs checked by ct-merkle", their_checks, "/s", "");
    line("  checked", checks, "/s", &beside);
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
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/proofs/tlog.go");
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

fn line(case: &str, figures: Vec<f64>, unit: &str, beside: &str) {
    println!("{case:<44} {:<36} {beside}", format!("{} {unit}", spread(figures)));
}

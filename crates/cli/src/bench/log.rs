//! The log: checking one from disk, what it adds to a deposit, how it grows, holding many against each other. What takes
//! memory runs in a process of its own, so that its peak is its own.
//!
//! Proofs beside other programs' are `store/examples/proofs`: the floors there are no part of this program.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clearhouse_node::log::folder::{self, Export, Known};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::pae::sha256;

use super::Part;
use super::children::figure;
use super::measure::{Outcome, Spread, thread_time};
use super::table::{Goal, Row, Sheet};
use crate::interrupt;

/// Sizes that are written; the last is the one that is checked.
const SIZES: [u64; 3] = [10_000, 100_000, MILLION];
const MILLION: u64 = 1_000_000;
/// Entries signed for at once, as at a busy node's tick.
const TICK: usize = 1000;
const ORIGIN: &str = "clearhouse.01010101/02020202020202020202020202020202/03030303030303030303030303030303/g1";
const NOW: u64 = 1_794_657_600;

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn known() -> Outcome<NoteKey> {
    Ok(NoteKey::new(ORIGIN, KeyKind::Log, &key().public())?)
}

fn commitments(n: u64) -> impl Iterator<Item = Hash> {
    (0..n).map(|n| sha256(&n.to_be_bytes()))
}

/// All figures of the log, on `rounds` rounds, with files below `folder`.
pub(crate) fn add(rounds: usize, folder: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let grown = growth(folder, sheet)?;
    checked(rounds, &grown, sheet)?;
    super::accept::add(rounds, folder, sheet)?;
    sheet.remark(alone(&[Part::Reconcile.word()])?.trim_end());
    Ok(())
}

/// Exports logs of each size, head by head. Returns the folder of the largest.
fn growth(folder: &Path, sheet: &mut Sheet) -> Outcome<PathBuf> {
    let mut last = folder.to_owned();
    for size in SIZES {
        last = folder.join(format!("log-{size}"));
        let (began, cpu) = (Instant::now(), thread_time());
        write(&last, size)?;
        let (wall, cpu) = (began.elapsed(), thread_time().saturating_sub(cpu));
        let (tiles, bundles) = (bytes(&last.join("tile"), "entries")?, bytes(&last.join("tile/entries"), "")?);
        sheet.remark(format!(
            "a log of {size} entries: written in {:.2} s (processor {:.2}); tiles {:.1} MB, entries {:.1} MB: {:.1} bytes an entry",
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            tiles as f64 / 1e6,
            bundles as f64 / 1e6,
            (tiles + bundles) as f64 / size as f64,
        ));
    }
    Ok(last)
}

fn write(folder: &Path, size: u64) -> Outcome<()> {
    let (mut export, mut edge) = (Export::new(folder)?, Edge::default());
    let all: Vec<Hash> = commitments(size).collect();
    let mut head = None;
    for page in all.chunks(TICK) {
        export.push(page)?;
        page.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        let next = Checkpoint { origin: ORIGIN.to_owned(), size: edge.size(), root: edge.root() };
        head = Some(next.sign(&key())?);
    }
    Ok(export.finish(&head.ok_or("a log of nothing")?, &known()?.to_string(), b"", b"")?)
}

/// Bytes of all files below a folder, but not below the one named.
pub(crate) fn bytes(folder: &Path, but: &str) -> Outcome<u64> {
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
fn checked(rounds: usize, log: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let leaves: Vec<Hash> = commitments(MILLION).collect();
    let (mut of, mut walls, mut peaks) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let began = thread_time();
        let mut edge = Edge::default();
        leaves.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        black_box(edge.root());
        let floor = thread_time().saturating_sub(began).as_secs_f64();
        let said = alone(&[Part::Verify.word(), &log.display().to_string()])?;
        let mut said = said.split_whitespace().map(str::parse::<f64>);
        let mut next = || said.next().ok_or("a check that says nothing")?.map_err(|e| e.to_string());
        of.push((next()?, floor));
        walls.push(next()?);
        peaks.push(next()?);
    }
    let name = "log of 1,000,000 entries checked from disk; floor: hashing them from memory";
    sheet.rows.push(Row::held(name, "s", &of, Goal::AtMost(3.0)));
    sheet.rows.push(Row::alone("that check, time of the day", "s", Spread::of(walls), Goal::None));
    sheet.rows.push(Row::alone("that check, most memory", "MB", Spread::of(peaks), Goal::Within(64.0)));
    Ok(())
}

/// Checks a folder and says seconds of the processor and of the day, and megabytes of memory at most.
pub(crate) fn verify(folder: &Path) -> Outcome<String> {
    let (began, cpu) = (Instant::now(), thread_time());
    folder::verify(folder, Known { key: Some(known()?), ..Known::default() }, NOW)?;
    let (wall, cpu) = (began.elapsed(), thread_time().saturating_sub(cpu));
    let peak = figure("self", "VmHWM")? as f64 * 1024.0 / 1e6;
    Ok(format!("{} {} {}", cpu.as_secs_f64(), wall.as_secs_f64(), peak))
}

/// This program again, in a process of its own. Returns what it prints.
fn alone(args: &[&str]) -> Outcome<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--part"]).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let id = child.id();
    interrupt::started(id);
    let ran = child.wait_with_output();
    interrupt::over(id);
    let ran = ran?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned().into()) }
}

//! A writer for the power-cut and kill harness, and the checker that comes after it.
//!
//! ```text
//! store_writer DIR SEED [--compact-every N] [--planted-no-sync]    commits until it is killed; "ack N" after each
//! store_writer DIR SEED --check ACKS                                opens and compares with what ACKS promises
//! ```
//! Everything a history holds follows from its seed, so the checker knows every row that must be there. Refuses to
//! call a store whole on the strength of counts: every row, body and event is compared.
#![expect(clippy::print_stdout, reason = "the acknowledgements are the output")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clearhouse_store::{Changes, DurableStore, EventLeaf, Key, MemoryStore, Put, Store, Weight};

type Outcome = Result<(), Box<dyn Error>>;

/// Rows a history lives in: few, so that most are overwritten and removed again.
const ROWS: u64 = 60;
/// Sizes of values, in bytes: small, a notice, the largest in the journal, a body.
const SIZES: [usize; 8] = [200, 200, 200, 4 << 10, 4 << 10, 4 << 10, 64 << 10, 200 << 10];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [dir, seed, "--check", acks] => check(Path::new(dir), seed.parse()?, Path::new(acks)),
        [dir, seed, rest @ ..] => {
            let every = rest.iter().position(|word| *word == "--compact-every").and_then(|at| rest.get(at + 1));
            let compact_every = every.map_or(Ok(u64::MAX), |number| number.parse())?;
            write(Path::new(dir), seed.parse()?, compact_every, rest.contains(&"--planted-no-sync"))
        }
        _ => Err("usage: store_writer DIR SEED [--compact-every N] [--planted-no-sync] [--check ACKS]".into()),
    }
}

fn write(dir: &Path, seed: u64, compact_every: u64, planted: bool) -> Outcome {
    let mut store = if planted { open_planted(dir)? } else { DurableStore::open(dir)?.0 };
    loop {
        let commit = store.generation();
        let new = store.commit(&batch(seed, commit, store.event_count()))?;
        println!("ack {new}");
        if new % compact_every == 0 {
            store.compact()?;
        }
    }
}

#[cfg(feature = "planted")]
fn open_planted(dir: &Path) -> Result<DurableStore, Box<dyn Error>> {
    Ok(DurableStore::open_without_sync(dir)?.0)
}

#[cfg(not(feature = "planted"))]
fn open_planted(_: &Path) -> Result<DurableStore, Box<dyn Error>> {
    Err("built without the planted bug: build with --features planted".into())
}

fn check(dir: &Path, seed: u64, acks: &Path) -> Outcome {
    let text = std::fs::read_to_string(acks)?;
    let whole_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let acked: u64 = whole_lines.lines().last().and_then(|line| line.strip_prefix("ack ")).unwrap_or("0").parse()?;
    let (mut store, findings) = DurableStore::open(dir)?;
    for finding in &findings {
        println!("finding: {finding}");
    }
    if findings.iter().any(|finding| finding.weight() == Weight::Loss) {
        return Err("the start found a loss".into());
    }
    let generation = store.generation();
    println!("acknowledged {acked}, found {generation}");
    if generation < acked || generation > acked + 1 {
        return Err(format!("{acked} commits were acknowledged and {generation} are there").into());
    }
    let mut model = MemoryStore::new();
    while model.generation() < generation {
        model.commit(&batch(seed, model.generation(), model.event_count()))?;
    }
    compare(&store, &model)?;
    let findings = store.scrub()?;
    if findings.is_empty() { Ok(()) } else { Err(format!("the scrub found {findings:?}").into()) }
}

fn compare(store: &dyn Store, model: &MemoryStore) -> Outcome {
    for n in 0..ROWS {
        let (table, key) = row(n);
        if store.get(table, &key)? != model.get(table, &key)? {
            return Err(format!("row {n} is not what was committed").into());
        }
    }
    if store.stats().digest != model.stats().digest || store.event_count() != model.event_count() {
        return Err("there are other rows or events than were committed".into());
    }
    let mut next = 0;
    while next < model.event_count() {
        let events = store.events(next, 1000)?;
        if events.is_empty() || events != model.events(next, events.len())? {
            return Err(format!("events from {next} are not what was committed").into());
        }
        next += events.len() as u64;
    }
    Ok(())
}

fn row(n: u64) -> (u8, Key) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&mixed(n).to_be_bytes());
    (1 + (n % 5) as u8, key)
}

/// The batch that follows commit `commit` in the history of a seed.
fn batch(seed: u64, commit: u64, events: u64) -> Changes {
    let chance = |n: u64, sides: u64| mixed(seed.wrapping_mul(1_000_003) ^ mixed(commit * 64 + n)) % sides;
    let mut changes = Changes { generation: commit, ..Changes::default() };
    let mut named = BTreeSet::new();
    for n in 0..1 + chance(0, 4) {
        let number = chance(1 + n * 4, ROWS);
        if !named.insert(number) {
            continue;
        }
        let (table, key) = row(number);
        if chance(2 + n * 4, 4) == 0 {
            changes.dels.push((table, key));
        } else {
            let value = bytes(mixed(commit * 64 + n), SIZES[chance(3 + n * 4, 8) as usize]);
            changes.puts.push(Put { table, key, value });
        }
    }
    let leaf = |index| EventLeaf { index, commitment: row(index).1, sealed: bytes(index, 320) };
    changes.events = (events..events + chance(63, 3)).map(leaf).collect();
    changes
}

/// Bytes that do not compress and differ in every place.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).step_by(8).flat_map(|at| mixed(seed ^ (at << 20)).to_le_bytes()).take(len).collect()
}

fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

//! A writer for the fault harnesses in `tests/faults`, and the checker that comes after it.
//!
//! ```text
//! store_writer DIR SEED [--commits N] [--compact-every N] [--planted-no-sync] [--planted-early-ack]
//!                                    commits until it is killed or done; "ack N" after each; a batch that was not
//!                                    taken is tried again, after a fatal error it ends with status 3
//! store_writer DIR SEED --check ACKS opens and compares with what ACKS promises
//! store_writer DIR SEED --fill FILE  commits until the disk is full, reads, opens again on the full disk, reads,
//!                                    removes FILE and goes on
//! ```
//! Everything a history holds follows from its seed, so the checker knows every row that must be there. Refuses to
//! call a store whole on the strength of counts: every row, body and event is compared.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the acknowledgements are the output")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clearhouse_store::{
    Changes, CommitError, DurableStore, EventLeaf, Key, MemoryStore, Put, Store, StoreError, Weight,
};

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
        [dir, seed, "--fill", filler] => fill(Path::new(dir), seed.parse()?, Path::new(filler)),
        [dir, seed, rest @ ..] => {
            let number = |name: &str| -> Result<u64, Box<dyn Error>> {
                let value = rest.iter().position(|word| *word == name).and_then(|at| rest.get(at + 1));
                Ok(value.map_or(Ok(u64::MAX), |text| text.parse())?)
            };
            let (commits, compact_every) = (number("--commits")?, number("--compact-every")?);
            let never_synced = rest.contains(&"--planted-no-sync");
            let mut store =
                if never_synced { open_planted(Path::new(dir))? } else { DurableStore::open(Path::new(dir))?.0 };
            let writer =
                Writer { seed: seed.parse()?, commits, compact_every, early: rest.contains(&"--planted-early-ack") };
            writer.run(&mut store)
        }
        _ => Err("usage: store_writer DIR SEED [options]; see the top of its source".into()),
    }
}

struct Writer {
    seed: u64,
    commits: u64,
    compact_every: u64,
    /// Acknowledge before the commit: a planted bug.
    early: bool,
}

impl Writer {
    fn run(&self, store: &mut DurableStore) -> Outcome {
        let mut refused = 0;
        while store.generation() < self.commits {
            if self.early {
                println!("ack {}", store.generation() + 1);
            }
            match store.commit(&batch(self.seed, store.generation(), store.event_count())) {
                Ok(new) => {
                    println!("ack {new}");
                    if new % self.compact_every == 0 {
                        compact(store)?;
                    }
                }
                Err(error) if error.is_fatal() => {
                    eprintln!("{error}");
                    std::process::exit(3);
                }
                Err(CommitError::Full | CommitError::NotTaken { .. }) if refused < 1000 => refused += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A compaction that finds no room leaves the store in service; one that is in doubt does not.
fn compact(store: &mut DurableStore) -> Outcome {
    match store.compact() {
        Err(StoreError::Stopped) => {
            eprintln!("stopped in a compaction");
            std::process::exit(3);
        }
        Err(StoreError::Io { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Fills the disk, and holds the store to what it promises then.
fn fill(dir: &Path, seed: u64, filler: &Path) -> Outcome {
    let (mut store, _) = DurableStore::open(dir)?;
    let full = loop {
        match store.commit(&batch(seed, store.generation(), store.event_count())) {
            Ok(_) => {}
            Err(CommitError::Full) => break store.generation(),
            Err(error) => return Err(format!("a full disk was reported as: {error}").into()),
        }
    };
    let model = history(seed, full)?;
    compare(&store, &model)?;
    println!("full after {full} commits, all readable; low on space: {}", store.stats().low_on_space);
    drop(store);
    let (mut store, findings) = DurableStore::open(dir)?;
    findings.iter().for_each(|finding| println!("  {finding}"));
    compare(&store, &model)?;
    println!("opened on a full disk, all readable");
    std::fs::remove_file(filler)?;
    for _ in 0..20 {
        store.commit(&batch(seed, store.generation(), store.event_count()))?;
    }
    compare(&store, &history(seed, full + 20)?)?;
    store.compact()?;
    drop(store);
    let (mut store, findings) = DurableStore::open(dir)?;
    compare(&store, &history(seed, full + 20)?)?;
    let scrubbed = store.scrub()?;
    if findings.iter().chain(&scrubbed).any(|finding| finding.weight() > Weight::Note) {
        return Err(format!("after the disk had room again: {findings:?} {scrubbed:?}").into());
    }
    println!("goes on by itself when there is room");
    Ok(())
}

/// What a history of so many commits must leave.
fn history(seed: u64, commits: u64) -> Result<MemoryStore, CommitError> {
    let mut model = MemoryStore::new();
    while model.generation() < commits {
        model.commit(&batch(seed, model.generation(), model.event_count()))?;
    }
    Ok(model)
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
    compare(&store, &history(seed, generation)?)?;
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

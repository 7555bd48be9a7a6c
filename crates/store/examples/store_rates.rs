//! How fast the store is, beside the floor of the same disk in the same run: one append and one fdatasync for each
//! batch. And how long a start, a rebuild and a compaction take.
//!
//! ```text
//! store_rates DIR [MESSAGES]     build with --release; DIR on the disk that is meant
//! ```
//! Absolute figures are of this machine at this minute; the ratio is what to compare. Refuses to say otherwise.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_store::{Changes, DurableStore, EventLeaf, Key, Put, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const MESSAGE: usize = 4096;
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_millis(1500);

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: store_rates DIR [MESSAGES]")?;
    let messages: u64 = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let dir = Path::new(&dir);
    fs::create_dir_all(dir)?;
    println!("messages of {MESSAGE} bytes: envelope, mailbox row, taken row and event leaf each; {ROUNDS} rounds");
    for batch in [1, 64] {
        rates(dir, batch)?;
    }
    life(&dir.join("life"), messages)
}

/// Commits and raw appends of the same bytes, round about.
fn rates(dir: &Path, batch: u64) -> Outcome<()> {
    let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let place = dir.join(format!("rates-{batch}"));
    let (mut store, _) = DurableStore::open(&place)?;
    let mut raw = OpenOptions::new().create(true).append(true).open(dir.join("raw"))?;
    for _ in 0..ROUNDS {
        let bytes = vec![0xA5; deposits(&store, batch).weight() + 170];
        let appended = timed(|| Ok(append(&mut raw, &bytes)?))?;
        let committed = timed(|| {
            let changes = deposits(&store, batch);
            store.commit(&changes)?;
            Ok(())
        })?;
        ours.push(committed);
        floor.push(appended);
        ratios.push(committed / appended);
    }
    drop(store);
    let per_message = |rates: &mut Vec<f64>| spread(rates, batch as f64);
    println!("batch {batch}: raw append + fdatasync, messages/s  {}", per_message(&mut floor));
    println!("batch {batch}: store, messages/s                   {}", per_message(&mut ours));
    println!("batch {batch}: ratio                               {}", spread(&mut ratios, 1.0));
    fs::remove_dir_all(place)?;
    fs::remove_file(dir.join("raw"))?;
    Ok(())
}

fn append(raw: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    raw.write_all(bytes)?;
    raw.sync_data()
}

/// How often a second something can be done.
fn timed(mut act: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let (start, mut times) = (Instant::now(), 0u32);
    while start.elapsed() < ROUND {
        act()?;
        times += 1;
    }
    Ok(f64::from(times) / start.elapsed().as_secs_f64())
}

fn spread(rates: &mut [f64], times: f64) -> String {
    rates.sort_by(f64::total_cmp);
    let at = |n: usize| rates.get(n).copied().unwrap_or_default() * times;
    let digits = if times * at(0) < 50.0 { 2 } else { 0 };
    format!("{:.digits$} ({:.digits$}-{:.digits$})", at(rates.len() / 2), at(0), at(rates.len().saturating_sub(1)))
}

/// What accepting messages writes.
fn deposits(store: &DurableStore, messages: u64) -> Changes {
    let mut changes = Changes { generation: store.generation(), ..Changes::default() };
    let first = store.event_count();
    for n in first..first + messages {
        let row = |table, len| Put { table, key: key(n, table), value: filled(n, len) };
        changes.must_be_new.push((6, key(n, 6)));
        changes.puts.extend([row(4, MESSAGE), row(3, 120), row(6, 90)]);
        changes.events.push(EventLeaf { index: n, commitment: key(n, 0), sealed: filled(n, 330) });
    }
    changes
}

fn key(n: u64, table: u8) -> Key {
    let mut key = [table; 32];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

fn filled(n: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (n.wrapping_mul(31).wrapping_add(at * 7 + (at >> 8))) as u8).collect()
}

/// A store of many messages: started, rebuilt, compacted, scrubbed.
fn life(dir: &Path, messages: u64) -> Outcome<()> {
    let (mut store, _) = DurableStore::open(dir)?;
    clock("fill", || {
        while store.event_count() < messages {
            let changes = deposits(&store, 64);
            store.commit(&changes)?;
        }
        Ok(())
    })?;
    println!("rows {}, journal {} MiB", store.stats().rows, store.stats().journal_bytes >> 20);
    drop(store);
    let mut store = clock("start, index whole", || opened(dir, 0))?;
    clock("compact", || Ok(store.compact()?))?;
    drop(store);
    let mut store = clock("start after compaction", || opened(dir, 0))?;
    clock("scrub", || {
        let findings = store.scrub()?;
        if findings.is_empty() { Ok(()) } else { Err(format!("{findings:?}").into()) }
    })?;
    drop(store);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("bodies") {
            fs::remove_dir_all(path)?;
        }
    }
    drop(clock("start, index missing", || opened(dir, 1))?);
    fs::remove_dir_all(dir)?;
    Ok(())
}

fn opened(dir: &Path, expected: usize) -> Outcome<DurableStore> {
    let (store, findings) = DurableStore::open(dir)?;
    if findings.len() == expected { Ok(store) } else { Err(format!("{findings:?}").into()) }
}

fn clock<T>(what: &str, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let start = Instant::now();
    let done = act()?;
    println!("{what}: {:.2} s, {} MiB resident", start.elapsed().as_secs_f64(), resident()?);
    Ok(done)
}

fn resident() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

//! How fast the store is, beside the floor of the same disk in the same run: one append and one fdatasync for each
//! batch. And how long a start, a rebuild and a compaction take.
//!
//! ```text
//! store_rates DIR [MESSAGES]     build with --release; DIR on the disk that is meant
//! ```
//! Wall figures are of this machine at this minute; compare the ratio, and the processor time, which bears a busy
//! machine. Each step of the second part runs in a process of its own, so that its memory is its own.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_store::{Changes, DurableStore, EventLeaf, Key, Put, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const MESSAGE: usize = 4096;
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(3);

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: store_rates DIR [MESSAGES]")?;
    let messages: u64 = args.next().map_or(Ok(100_000), |text| text.parse())?;
    let dir = Path::new(&dir);
    if let Some(step) = args.next() {
        return live(&dir.join("life"), messages, &step);
    }
    fs::create_dir_all(dir)?;
    println!("messages of {MESSAGE} bytes: envelope, mailbox row, taken row and event leaf each; {ROUNDS} rounds");
    for batch in [1, 64] {
        rates(dir, batch)?;
    }
    for step in ["fill", "start", "compact", "start", "scrub", "forget", "start"] {
        let run = Command::new(std::env::current_exe()?).arg(dir).arg(messages.to_string()).arg(step).status()?;
        if !run.success() {
            return Err(format!("{step} failed").into());
        }
    }
    fs::remove_dir_all(dir.join("life"))?;
    Ok(())
}

/// Commits and raw appends of the same bytes, one after the other, so that both meet the same disk.
fn rates(dir: &Path, batch: u64) -> Outcome<()> {
    let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let place = dir.join(format!("rates-{batch}"));
    let (mut store, _) = DurableStore::open(&place)?;
    let mut raw = OpenOptions::new().create(true).append(true).open(dir.join("raw"))?;
    for _ in 0..ROUNDS {
        let (start, mut times) = (Instant::now(), 0.0);
        let (mut appending, mut committing) = (Duration::ZERO, Duration::ZERO);
        while start.elapsed() < ROUND {
            let changes = deposits(&store, batch);
            let bytes = vec![0xA5; changes.weight() + 170];
            let now = Instant::now();
            append(&mut raw, &bytes)?;
            appending += now.elapsed();
            let now = Instant::now();
            store.commit(&changes)?;
            committing += now.elapsed();
            times += 1.0;
        }
        ours.push(times / committing.as_secs_f64());
        floor.push(times / appending.as_secs_f64());
        ratios.push(appending.as_secs_f64() / committing.as_secs_f64());
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
    let mut bytes = vec![0xA5; len];
    bytes.iter_mut().zip(n.to_le_bytes()).for_each(|(byte, own)| *byte = own);
    bytes
}

/// One step in the life of a store of many messages.
fn live(dir: &Path, messages: u64, step: &str) -> Outcome<()> {
    if step == "forget" {
        return forget_index(dir);
    }
    let (mut store, findings) = clock("  start", || Ok(DurableStore::open(dir)?))?;
    findings.iter().for_each(|finding| println!("  {finding}"));
    match step {
        "fill" => clock("fill", || {
            while store.event_count() < messages {
                let changes = deposits(&store, 64);
                store.commit(&changes)?;
            }
            Ok(())
        })?,
        "compact" => clock("compact", || Ok(store.compact()?))?,
        "scrub" => clock("scrub", || {
            let findings = store.scrub()?;
            if findings.is_empty() { Ok(()) } else { Err(format!("{findings:?}").into()) }
        })?,
        _ => println!("rows {}, journal {} MiB", store.stats().rows, store.stats().journal_bytes >> 20),
    }
    clock("  close", || {
        drop(store);
        Ok(())
    })
}

fn forget_index(dir: &Path) -> Outcome<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("bodies") {
            fs::remove_dir_all(path)?;
        }
    }
    println!("index removed");
    Ok(())
}

fn clock<T>(what: &str, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let (start, cpu) = (Instant::now(), processor()?);
    let done = act()?;
    let cpu = (processor()? - cpu) as f64 / 100.0;
    println!("{what}: {:.2} s, of processor {cpu:.2} s, {} MiB resident", start.elapsed().as_secs_f64(), resident()?);
    Ok(done)
}

/// Processor time of this process, in hundredths of a second.
fn processor() -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    let ticks: Result<Vec<u64>, _> = fields.map(str::parse).collect();
    Ok(ticks?.iter().sum())
}

fn resident() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

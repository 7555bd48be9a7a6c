//! A process of this program that commits and acknowledges until it is killed, and the one that kills it.
//!
//! Refuses to acknowledge before the commit is durable: that is what is tried.

use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use clearhouse_node::clock::chance;
use clearhouse_store::{DurableStore, Store as _};
use rand_core::Rng as _;

use super::store::{batch, sentence};
use crate::interrupt;

/// Commits of one life, when nobody kills it before.
const COMMITS_MAX: u64 = 5000;
/// A kill comes after so many acknowledgements at most.
const ACKS_MAX: u64 = 120;
/// Every other kill comes at once after an acknowledgement, where one that was given too early is caught; the others after so
/// many turns of an empty loop more, to come anywhere in a commit.
const SPIN_MAX: u64 = 2_000_000;

/// Commits into `folder` and says the number of each commit once it is durable.
pub(crate) fn run(folder: &Path, acks: &mut impl Write) -> Result<(), String> {
    let (mut store, _) = DurableStore::open(folder).map_err(|e| sentence(&e))?;
    for _ in 0..COMMITS_MAX {
        let done = store.commit(&batch(store.generation())).map_err(|e| sentence(&e))?;
        // Whoever reads this has gone: then nobody counts either.
        if writeln!(acks, "{done}").and_then(|()| acks.flush()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts the writer and kills it at a place that chance names. Returns the last commit it acknowledged.
pub(crate) fn killed(folder: &Path) -> Result<u64, String> {
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let program = std::env::current_exe().map_err(told("this program does not find itself"))?;
    let mut command = Command::new(program);
    command.args(["selftest", "--writer"]).arg(folder);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(told("a process could not be started"))?;
    interrupt::started(child.id());
    let mut lines = child.stdout.take().map(|pipe| BufReader::new(pipe).lines()).ok_or("no pipe")?;
    let mut rng = chance();
    let acks = 1 + rng.next_u64() % ACKS_MAX;
    let spin = if acks.is_multiple_of(2) { 0 } else { rng.next_u64() % SPIN_MAX };
    let mut last = (&mut lines).take(usize::try_from(acks).unwrap_or(1)).map_while(Result::ok).last();
    for n in 0..spin {
        std::hint::black_box(n);
    }
    let _ = child.kill();
    let _ = child.wait();
    interrupt::over(child.id());
    // What it said before the kill reached it counts too.
    if let Some(line) = lines.map_while(Result::ok).last() {
        last = Some(line);
    }
    last.and_then(|line| line.parse().ok()).ok_or_else(|| "it was killed before it acknowledged anything".to_owned())
}

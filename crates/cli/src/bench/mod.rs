//! `bench`: what this program takes on this machine, each figure beside the floor it stands on, taken in the same run.
//!
//! Every case once in each round, one after the other; medians, and ratios of the same round. Absolute figures are of
//! this machine at this minute, and both ends of every line share it; the ratios are what to read. Nothing passes or
//! fails. Works in a folder of its own that goes with it, and refuses one that belongs to a node. Knows no cipher and no
//! gRPC: the floors are `protocol::bare` and `node::echo`.
//!
//! Other programs that stand beside these figures (brokers, databases) get a file each here, as `postgres` has, and are
//! measured where they are installed.

mod accept;
mod children;
mod deposit;
mod disk;
mod log;
mod machine;
mod measure;
mod node;
mod postgres;
mod reconcile;
mod rounds;
mod rows;
mod sealing;
mod stock;
mod table;
mod trip;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

use clap::{Args, ValueEnum};

use crate::cli::App;
use crate::scratch::Scratch;
use crate::trouble::{Code, Exit, Trouble};
use measure::Outcome;
use table::Sheet;

/// Rounds at most: a day of them says no more than an hour.
const ROUNDS_MAX: u64 = 1000;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum What {
    /// Seal and sign, open and verify, on one thread
    Sealing,
    /// A call, with nothing behind the door
    Rpc,
    /// A letter into a locked node's mailbox, durable
    Deposit,
    /// A notice end to end, with its signed receipt
    Trip,
    /// The log: checking a million entries, what it adds to an accept
    Log,
    /// Start to SERVING of an empty node; the size of this program
    Start,
    /// Memory of an idle node with 10,000 messages
    Memory,
    /// Nodes with 1,000 to 300,000 messages; takes hours
    Growth,
}

/// What a process of its own is told to do, so that its memory is its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Verify,
    Reconcile,
}

impl Part {
    /// How it is told.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reconcile => "reconcile",
        }
    }
}

/// Measure this program on this machine
///
/// Prints each figure beside the floor it stands on, measured in the same run, and
/// what was promised. Run it while the machine is quiet. Touches no node: it works
/// in a folder of its own below --folder, which must lie on the disk that is
/// meant, and removes it. Exits with 0 whatever the figures are.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse bench
  clearhouse bench sealing rpc --rounds 9
  clearhouse bench deposit trip --folder /var/lib --json")]
pub(crate) struct Bench {
    /// What to measure [default: all but growth]
    #[arg(value_enum, value_name = "WHAT")]
    what: Vec<What>,
    /// How often each case is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=ROUNDS_MAX))]
    rounds: u64,
    /// A folder on the disk that is meant [default: the temporary folder]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
    /// What this process does for another one of this program
    #[arg(long, hide = true, num_args = 1..=2, conflicts_with_all = ["what", "folder"])]
    part: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        // The nodes of a benchmark have runtimes of their own, which cannot be made inside another.
        let done = thread::scope(|scope| scope.spawn(|| self.measure(app)).join());
        done.unwrap_or_else(|_| Err(failed("an error of this program")))
    }

    fn measure(self, app: &App) -> Result<Exit, Trouble> {
        if !self.part.is_empty() {
            let said = part(&self.part).map_err(|error| part_failed(&error.to_string()))?;
            app.out.data(format!("{said}\n").as_bytes())?;
            return Ok(Exit::Done);
        }
        if cfg!(debug_assertions) {
            app.out.say("This program was built without --release: these figures say nothing, and no goal is judged.");
        }
        let what = wanted(&self.what);
        let scratch = Scratch::make(self.folder.as_deref(), "bench")?;
        let rounds = usize::try_from(self.rounds).unwrap_or(1);
        let (before, mut sheet) = (machine::load_average(), Sheet::default());
        let measured = all(&what, rounds, scratch.path(), &mut sheet, app);
        let machine = machine::told(scratch.beside(), &before);
        drop(scratch);
        measured.map_err(|error| failed(&error.to_string()))?;
        app.out.reply(&sheet.json(&machine, rounds))?;
        Ok(Exit::Done)
    }
}

fn wanted(named: &[What]) -> BTreeSet<What> {
    if named.is_empty() {
        return What::value_variants().iter().copied().filter(|what| *what != What::Growth).collect();
    }
    named.iter().copied().collect()
}

fn all(what: &BTreeSet<What>, rounds: usize, folder: &Path, sheet: &mut Sheet, app: &App) -> Outcome<()> {
    let tell = |text: &str| app.out.progress(text);
    if [What::Sealing, What::Rpc, What::Deposit, What::Trip].iter().any(|one| what.contains(one)) {
        tell("Measuring envelopes, calls, deposits, trips.");
        rows::add(&rounds::measure(what, rounds, folder)?, what, sheet);
    }
    if what.contains(&What::Log) {
        tell("Measuring the log.");
        log::add(rounds, folder, sheet)?;
    }
    if what.contains(&What::Start) {
        tell("Measuring starts.");
        stock::start(rounds, folder, sheet)?;
    }
    if what.contains(&What::Memory) {
        tell("Filling a node and measuring its memory.");
        stock::memory(rounds, folder, sheet)?;
    }
    if what.contains(&What::Growth) {
        stock::growth(rounds, folder, sheet, tell)?;
    }
    Ok(())
}

fn part(words: &[String]) -> Outcome<String> {
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [word, folder] if *word == Part::Verify.word() => log::verify(Path::new(folder)),
        [word] if *word == Part::Reconcile.word() => reconcile::million(),
        _ => Err("no part of a benchmark".into()),
    }
}

fn failed(why: &str) -> Trouble {
    let text = format!("The benchmark stopped: {why}. No node was touched, and its folder is removed.");
    Trouble::new(Code::Stopped, text, "clearhouse bench --help")
}

/// A part works in the folder of the benchmark that started it, and removes nothing itself.
fn part_failed(why: &str) -> Trouble {
    let text = format!("A part of the benchmark stopped: {why}. No node was touched, and nothing was removed.");
    Trouble::new(Code::Stopped, text, "clearhouse bench --help")
}

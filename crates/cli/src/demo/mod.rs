//! `clearhouse demo`: one return, from a destination NGO to an origin NGO, with a coordinator looking on, told in
//! sentences a caseworker understands; then an organisation that joins, is written to behind its router, and is put out.
//! Real processes, real TLS, real files; every figure is from this run.
//!
//! Refuses to keep anything when the case comes from a workbook: keys are destroyed on every way out.

mod admission;
mod alarm;
pub(crate) mod disks;
mod hidden;
pub(crate) mod journey;
mod log;
mod outsider;
pub(crate) mod person;
mod portless;
pub(crate) mod region;
mod revoked;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::ControlFailure;
use serde_json::json;

use crate::fresh_folder;
use crate::interrupt::{self, Asked};
use person::Person;
use region::Region;

/// One line of output. A reader that went away must not end the demo before its keys are destroyed.
fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Carry one return through three real nodes on this computer
///
/// A training network in a temporary folder, on loopback, about twenty seconds; nothing
/// is kept. At the end an organisation joins, is written to although it has no port, and
/// is revoked while its answer is under way. With --json the steps are JSON objects, one a line.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  clearhouse demo
  clearhouse demo --seed 7 --json
  clearhouse demo --input cases.xlsx --row 1")]
pub(crate) struct Args {
    /// Which invented person; the same number gives the same case
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Keep the folder afterwards and print where it is
    #[arg(long, conflicts_with = "input")]
    keep: bool,
    /// Take the case from an HTCDS v2.0 workbook; nothing of it is kept
    #[arg(long, value_name = "FILE", requires = "row")]
    input: Option<PathBuf>,
    /// Which data row of the workbook, from 1
    #[arg(long, value_name = "N", requires = "input")]
    row: Option<usize>,
    /// TOML with values of the notice that the workbook lacks
    #[arg(long, value_name = "FILE", requires = "input")]
    with: Option<PathBuf>,
}

/// A step that did not do what it should: a stable code and a sentence.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    text: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }

    fn bug(what: &str) -> Self {
        Self::new("CH-E0001", format!("An error of this program ({what}). Please report it."))
    }
}

impl From<ControlFailure> for Failure {
    fn from(failure: ControlFailure) -> Self {
        Self { code: failure.code, text: failure.text }
    }
}

/// Tells the steps, in words or as JSON.
pub(crate) struct Teller {
    json: bool,
    is_silent: bool,
    step: u32,
    began: Instant,
}

impl Teller {
    /// One that tells nothing: the self test has lines of its own.
    pub(crate) fn silent() -> Self {
        Self { json: false, is_silent: true, step: 0, began: Instant::now() }
    }

    fn head(&self, text: &str) {
        if !self.json {
            tell(text);
        }
    }

    /// One step that went as it should.
    fn step(&mut self, name: &str, text: &str, took: Option<Duration>) {
        self.step += 1;
        if self.is_silent {
            return;
        }
        if self.json {
            let ms = took.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX));
            tell(&json!({"schema": "ch.demo-step/1", "step": self.step, "name": name, "text": text, "ms": ms, "ok": true}).to_string());
        } else {
            let took = took.map_or_else(String::new, |t| format!("  ({} ms)", t.as_millis()));
            tell(&format!("{:>2}  {name:<12} {text}{took}", self.step));
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.step += 1;
        if self.json {
            tell(&json!({"schema": "ch.demo-step/1", "step": self.step, "code": failure.code, "text": failure.text, "ok": false}).to_string());
        } else {
            tell(&format!("{:>2}  stopped      {}", self.step, failure.text));
            tell(&format!("    code {}", failure.code));
        }
    }
}

/// Runs the demo; the exit code: 0, 1 for a step that failed, 130 when interrupted.
pub(crate) async fn run(args: Args, json: bool) -> u8 {
    let mut teller = Teller { json, is_silent: false, step: 0, began: Instant::now() };
    let mut asked = match Asked::watch() {
        Ok(asked) => asked,
        Err(e) => {
            teller.failed(&Failure::new("CH-E0204", format!("Ctrl-C cannot be watched: {e}. Nothing was started.")));
            return 1;
        }
    };
    let work = tell_it(&args, &mut teller);
    let outcome = tokio::select! {
        outcome = work => outcome,
        // Dropping the work ends the processes and destroys the keys.
        () = asked.come() => return 130,
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            teller.failed(&failure);
            1
        }
    }
}

async fn tell_it(args: &Args, teller: &mut Teller) -> Result<(), Failure> {
    let now = SystemClock.now();
    let person = match (&args.input, args.row) {
        (Some(file), Some(row)) => Person::from_workbook(file, row, args.with.as_deref(), now)?,
        _ => Person::invented(args.seed, now),
    };
    teller.head("Three nodes on this computer: Porto Sicuro (Italy, destination), Casa Nova (Moldova,");
    teller.head("origin) and the regional coordinator (Romania). A training network: nothing leaves");
    teller.head(&format!(
        "this machine. The case is {}.{}\n",
        person.source,
        if args.input.is_none() { format!(" Seed {}.", args.seed) } else { String::new() }
    ));
    for (field, from) in &person.filled {
        teller.head(&format!("    {field}: {from}"));
    }
    if !person.filled.is_empty() {
        teller.head("");
    }
    let mut region = Region::found(args.keep, now)?;
    journey::travel(&mut region, &person, teller).await?;
    let total = teller.began.elapsed();
    if teller.json {
        tell(&json!({"schema": "ch.demo/1", "ok": true, "steps": teller.step, "ms": u64::try_from(total.as_millis()).unwrap_or(u64::MAX), "kept": args.keep.then(|| region.folder.clone())}).to_string());
        return Ok(());
    }
    teller.head(&format!(
        "\nDone in {:.1} s. {}",
        total.as_secs_f32(),
        if args.keep {
            format!("Kept in {}", region.folder.display())
        } else {
            "The folder and all its keys are destroyed.".to_owned()
        }
    ));
    teller.head("Prove it yourself:    cargo test");
    teller.head("Set up a real node:   clearhouse init --help");
    Ok(())
}

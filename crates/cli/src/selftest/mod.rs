//! `selftest`: what an operator can try on her own machine before she trusts it with a case: the primitives against published
//! answers, chance, the disk, a store that is killed, a damaged record, a whole case between two nodes, a backup that is
//! put back, and what the system lets this program protect.
//!
//! Touches nothing but a folder of its own, which goes with it, and refuses one that belongs to a node. Every part can
//! fail: it is handed what it tries, and its tests hand it something broken. A full disk is not tried here.

mod journey;
mod line;
mod machine;
mod primitives;
mod store;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use clearhouse_node::clock::chance;
use clearhouse_node::ground;
use rand_core::Rng as _;

use crate::cli::App;
use crate::interrupt::Asked;
use crate::scratch::{self, Scratch};
use crate::trouble::{Code, Exit, Trouble};
use line::{Line, State, reply};
use machine::{Ground, Moment};

/// The name of this command, in its folder as well.
const NAME: &str = "selftest";

/// Try on this machine what a node relies on
///
/// Known answers of every primitive, chance, the disk, a store that is killed while
/// it writes, a damaged record, a whole case between two nodes on loopback, a
/// backup that is put back. Takes less than a minute, touches no node, and removes
/// all it made. Exits with 0 only when nothing failed.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse selftest
  clearhouse selftest --folder /var/lib --json")]
pub(crate) struct Selftest {
    /// A folder on the disk that the node will use [default: the temporary folder]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
    /// Commits into this folder until it is killed: what this program starts itself for
    #[arg(long, hide = true, value_name = "DIR", conflicts_with = "folder")]
    writer: Option<PathBuf>,
}

impl Selftest {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        if let Some(folder) = &self.writer {
            return written(folder);
        }
        let began = Instant::now();
        // Before there is anything to remove.
        let mut asked = Asked::watch().map_err(|e| {
            stopped(format!("Ctrl-C cannot be watched: {e}. Nothing was tried, and no folder was made."))
        })?;
        let scratch = Scratch::make(self.folder.as_deref(), NAME)?;
        let is_named = self.folder.is_some();
        let Some(lines) = tried(&scratch, is_named, app, &mut asked).await? else { return Ok(Exit::Interrupted) };
        drop(scratch);
        let any_failed = lines.iter().any(|line| line.state == State::Failed);
        app.out.reply(&reply(&lines, began.elapsed()))?;
        Ok(if any_failed { Exit::Findings } else { Exit::Done })
    }
}

/// All parts; `None` when it was asked to end.
async fn tried(scratch: &Scratch, is_named: bool, app: &App, asked: &mut Asked) -> Result<Option<Vec<Line>>, Trouble> {
    let moment = Moment::read();
    let stop = Arc::new(AtomicBool::new(false));
    app.out.progress("Trying primitives, disk and store.");
    let (folder, halt) = (scratch.path().to_owned(), Arc::clone(&stop));
    let mut here = tokio::task::spawn_blocking(move || alone(&folder, is_named, &halt));
    let done = tokio::select! {
        lines = &mut here => Some(lines),
        () = asked.come() => None,
    };
    let Some(done) = done else {
        // It looks at this between two kills, and must not find its folder gone.
        stop.store(true, Ordering::SeqCst);
        let _ = here.await;
        return Ok(None);
    };
    let mut lines = done.map_err(|_| failed("an error of this program"))?;
    app.out.progress("Carrying a case between two nodes, and putting a backup back.");
    tokio::select! {
        more = journey::tried(scratch.path()) => lines.extend(more),
        // Dropping the work ends the processes and destroys the keys.
        () = asked.come() => return Ok(None),
    }
    lines.push(machine::clock(moment, Moment::read()));
    Ok(Some(lines))
}

/// What needs no other node.
fn alone(folder: &Path, is_named: bool, stop: &AtomicBool) -> Vec<Line> {
    let mut lines: Vec<Line> = primitives::known().iter().map(primitives::answer).collect();
    lines.push(primitives::chance(|bytes| chance().fill_bytes(bytes)));
    let ground = Ground { name: ground::name(folder), untrusted: ground::untrusted(folder), is_named };
    lines.push(machine::disk(&ground, || machine::synced(folder)));
    lines.push(store::killed(&folder.join("killed"), stop, writer::killed));
    lines.push(store::damaged(&folder.join("damaged"), store::damage));
    lines.push(machine::core_dumps(machine::turned_off()));
    lines.push(machine::memory_lock(machine::memory_lock_limit(), machine::has_swap()));
    lines
}

/// What a process of this program is started for, in a folder of the self test that started it and in no other.
fn written(folder: &Path) -> Result<Exit, Trouble> {
    let folder = scratch::of_whoever_started_this(folder, NAME)?;
    let wrote = writer::run(&folder, &mut std::io::stdout());
    wrote.map(|()| Exit::Done).map_err(|why| stopped(format!("{why}. Its folder stays with the test that started it.")))
}

fn failed(why: &str) -> Trouble {
    stopped(format!("{why}. No node was touched, and its folder is removed."))
}

fn stopped(why: String) -> Trouble {
    Trouble::new(Code::Stopped, format!("The self test stopped: {why}"), "clearhouse selftest --help")
}

//! First figures of the product, each beside the floor it stands on, taken in the same run:
//!
//! ```text
//! cargo run --release --example figures [-- ROUNDS | log | accept]
//! ```
//! With `log` alone the figures of the log only, which stand at the end of the others too; with `accept` of them only
//! what the log costs a deposit.
//! Every case once in each of five rounds, one after the other; medians, and ratios of the same round. Absolute
//! figures are of this machine at this minute, and both ends of every line share it; the ratios are what to read.
//! Nothing passes or fails. Writes to the temporary folder (`TMPDIR`), which must be on the disk that is meant.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod accept;
mod deposit;
mod disk;
mod echo;
mod log;
mod measure;
mod node;
mod reconcile;
mod report;
mod sealing;
mod trip;

#[allow(dead_code, reason = "the demo uses all of it, this a part")]
#[path = "../../src/demo/person.rs"]
mod person;
#[allow(dead_code, reason = "the demo uses all of it, this a part")]
#[path = "../../src/demo/region.rs"]
mod region;

use std::path::Path;
use std::time::Duration;

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::ControlFailure;
use clearhouse_protocol::directory::Directory;
use deposit::{Mailbox, Null};
use disk::RawLog;
use echo::Echo;
use measure::{Outcome, Run};
use node::{Commits, Node, directory, identity, threads};
use region::Region;
use sealing::{Bench, Costs, Sealer, Size};
use tokio::runtime::Runtime;
use trip::{Milestones, Road, Trips};

/// Rounds unless told otherwise.
const ROUNDS: usize = 5;
/// Callers side by side, where there are many.
const IN_FLIGHT: usize = 64;
/// Connections they share: as many as a node may open to another.
const LINES: usize = 4;
/// Bytes of the message of the floors.
const MESSAGE: usize = 4096;
/// Turns in each round: product and floors one after the other, so that all see the same minute of the machine.
const TURNS: usize = 6;
/// How long a floor goes on in each turn.
const STRETCH: Duration = Duration::from_millis(160);
/// Processor time of each side of a sealing case, in each round.
const SEALING: Duration = Duration::from_millis(250);
/// Messages sent one by one in each turn.
const ALONE: usize = 5;
/// Messages sent with many under way in each round.
const TOGETHER: usize = 384;

/// Everything one round measured.
#[derive(Default)]
struct Round {
    /// The body that fills the smallest envelope, a body of 4 KiB, an attachment of 1 MiB.
    sealing: [Costs; 3],
    log_alone: Run,
    log: Run,
    echo_alone: Run,
    echo: Run,
    null: Run,
    deposits: Run,
    commits: Commits,
    alone: Trips,
    milestones: Vec<Milestones>,
    together: Trips,
}

/// What the report tells besides the rounds.
struct Setting {
    folder: std::path::PathBuf,
    small_body: usize,
    envelopes: (u64, u64),
    load: [String; 2],
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [log::VERIFY, folder] => return log::verify(Path::new(folder)),
        [log::RECONCILE] => return reconcile::million(),
        ["log"] => return of_the_log(|folder| log::print(ROUNDS, folder, None)),
        ["accept"] => return of_the_log(|folder| accept::print(ROUNDS, folder, None)),
        _ => {}
    }
    let rounds = args.first().map_or(Ok(ROUNDS), |n| n.parse())?.max(1);
    if cfg!(debug_assertions) {
        println!("built without --release: these figures say nothing");
    }
    let before = report::load_average();
    let senders = threads("senders")?;
    let region = Region::found_with(Path::new("clearhouse"), "", false, SystemClock.now())?;
    let directory = directory(&region)?;
    // The sender of everything, its partner, and a third whose cases are locked.
    let a = Node::start(&region, &region.destination, "a", true)?;
    let b = Node::start(&region, &region.origin, "b", true)?;
    let c = Node::start(&region, &region.coordinator, "c", false)?;
    let measured = measure(rounds, &senders, &region, &directory, [&a, &b, &c]);
    let folder = region.folder.clone();
    senders.shutdown_timeout(Duration::from_secs(2));
    [a, b, c].into_iter().for_each(Node::stop);
    let (rounds, small_body, envelopes) = measured?;
    let deposit = measure::median(rounds.iter().map(|round| round.deposits.cpu_us()).collect());
    report::print(&rounds, &Setting { folder, small_body, envelopes, load: [before, report::load_average()] });
    println!();
    of_the_log(|folder| log::print(rounds.len(), folder, Some(deposit)))
}

/// The log's figures, in a folder that goes with them.
fn of_the_log(print: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("clearhouse-figures-{}", std::process::id()));
    let done = print(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    done
}

type Measured = (Vec<Round>, usize, (u64, u64));

fn measure(
    rounds: usize,
    senders: &Runtime,
    region: &Region,
    directory: &Directory,
    [a, b, c]: [&Node; 3],
) -> Outcome<Measured> {
    let (from, to, locked, now) = (&region.destination, &region.origin, &region.coordinator, SystemClock.now());
    let bench = Bench::new(directory, from, to, now)?;
    let sealer = Sealer::new(directory, from, locked, now)?;
    let small_body = sealer.longest_small_body()?;
    let echo = senders.block_on(Echo::start(&identity(to)?, &identity(from)?, LINES))?;
    let null = Null::start(senders, directory, (locked, from), &sealer, small_body)?;
    let mailbox = senders.block_on(Mailbox::new(region, (c, locked), from, &sealer, small_body))?;
    let road = senders.block_on(Road::new(a, b, to.made.org))?;
    let mut all = Vec::new();
    // The first round does not count: lines are dialled, files and caches grow to their working size.
    for n in 0..=rounds {
        let mut round = Round::default();
        let sizes = [Size::Body(small_body), Size::Body(MESSAGE), Size::Attachment(1 << 20)];
        for (costs, size) in round.sealing.iter_mut().zip(sizes) {
            *costs = bench.round(size, SEALING)?;
        }
        let log = RawLog::new(&region.folder.join("raw"))?;
        senders.block_on(async {
            for _ in 0..if n == 0 { 1 } else { TURNS } {
                round.log.absorb(log.measure(IN_FLIGHT, MESSAGE, STRETCH).await?);
                round.echo.absorb(echo.measure(IN_FLIGHT, MESSAGE, STRETCH).await?);
                round.null.absorb(null.measure(STRETCH).await?);
                let (run, commits) = mailbox.measure().await?;
                round.deposits.absorb(run);
                round.commits.absorb(commits);
                round.log_alone.absorb(log.measure(1, MESSAGE, STRETCH / 2).await?);
                round.echo_alone.absorb(echo.measure(1, MESSAGE, STRETCH / 2).await?);
                round.alone.absorb(road.alone(ALONE, &mut round.milestones).await?);
            }
            round.together = road.together(if n == 0 { IN_FLIGHT } else { TOGETHER }).await?;
            Outcome::Ok(())
        })?;
        if n > 0 {
            all.push(round);
        }
    }
    let envelopes = senders.block_on(road.sizes())?;
    drop((road, mailbox));
    echo.stop();
    null.stop();
    Ok((all, small_body, envelopes))
}

/// What the region's code tells when something does not work.
#[derive(Debug)]
struct Failure {
    code: String,
    text: String,
}

impl Failure {
    fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }

    fn bug(what: &str) -> Self {
        Self::new("bug", what)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl std::error::Error for Failure {}

impl From<ControlFailure> for Failure {
    fn from(failure: ControlFailure) -> Self {
        Self { code: failure.code, text: failure.text }
    }
}

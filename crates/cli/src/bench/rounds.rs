//! The rounds of sealing, calls, deposits and whole trips: product and floors one after the other in each, so that all
//! see the same minute of the machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::echo::Echo;
use tokio::runtime::Runtime;

use super::What;
use super::deposit::{Mailbox, Null};
use super::disk::RawLog;
use super::measure::{Outcome, Run, during, load};
use super::node::{Commits, Node, directory, identity, threads};
use super::postgres::Postgres;
use super::sealing::{Bench, Costs, Sealer, Size};
use super::trip::{Milestones, Road, Trips};
use crate::demo::region::Region;

/// Callers side by side, where there are many.
pub(crate) const IN_FLIGHT: usize = 64;
/// Connections they share: as many as a node may open to another.
pub(crate) const LINES: usize = 4;
/// Bytes of the message of the floors.
pub(crate) const MESSAGE: usize = 4096;
/// Turns in each round.
const TURNS: usize = 6;
/// How long a floor goes on in each turn.
const STRETCH: Duration = Duration::from_millis(160);
/// Processor time of each side of a sealing case, in each round.
const SEALING: Duration = Duration::from_millis(250);
/// Messages sent one by one in each turn.
const ALONE: usize = 5;
/// Messages sent with many under way in each round.
pub(crate) const TOGETHER: usize = 384;

/// Everything one round measured; what was not asked for is empty.
#[derive(Default)]
pub(crate) struct Round {
    /// The body that fills the smallest envelope, a body of 4 KiB, an attachment of 1 MiB.
    pub(crate) sealing: [Costs; 3],
    pub(crate) log_alone: Run,
    pub(crate) log: Run,
    pub(crate) echo_alone: Run,
    pub(crate) echo: Run,
    pub(crate) null: Run,
    pub(crate) deposits: Run,
    pub(crate) commits: Commits,
    /// Rows a second of PostgreSQL, where it is measured.
    pub(crate) postgres: Option<f64>,
    pub(crate) alone: Trips,
    pub(crate) milestones: Vec<Milestones>,
    pub(crate) together: Trips,
}

/// The rounds, and what the report tells besides.
pub(crate) struct Measured {
    pub(crate) rounds: Vec<Round>,
    pub(crate) small_body: usize,
    /// Bytes of a notice's and of its receipt's envelope, where trips were measured.
    pub(crate) envelopes: Option<(u64, u64)>,
    /// Why PostgreSQL is not beside the deposits, where they were measured.
    pub(crate) no_postgres: Option<String>,
}

/// Measures what of `what` is measured in rounds.
///
/// # Errors
/// What did not work, which is an error of the program or of the machine.
pub(crate) fn measure(what: &BTreeSet<What>, rounds: usize, folder: &Path) -> Outcome<Measured> {
    let senders = threads("senders")?;
    let region = Region::found_in(folder, Path::new("clearhouse"), "", false, SystemClock.now())?;
    let site = Site::open(what, &senders, &region)?;
    let measured = site.measure(what, rounds);
    site.close();
    senders.shutdown_timeout(Duration::from_secs(2));
    measured
}

/// The nodes that are needed: the sender of everything, its partner, and a third whose cases are locked.
struct Site<'a> {
    senders: &'a Runtime,
    region: &'a Region,
    ends: Option<[Node; 2]>,
    locked: Option<Node>,
}

impl<'a> Site<'a> {
    fn open(what: &BTreeSet<What>, senders: &'a Runtime, region: &'a Region) -> Outcome<Self> {
        let (mut ends, mut locked) = (None, None);
        if what.contains(&What::Trip) {
            let a = Node::start(region, &region.destination, "a", true)?;
            ends = Some([a, Node::start(region, &region.origin, "b", true)?]);
        }
        if what.contains(&What::Deposit) {
            locked = Some(Node::start(region, &region.coordinator, "c", false)?);
        }
        Ok(Self { senders, region, ends, locked })
    }

    fn measure(&self, what: &BTreeSet<What>, rounds: usize) -> Outcome<Measured> {
        let (region, senders, now) = (self.region, self.senders, SystemClock.now());
        let (from, to, locked) = (&region.destination, &region.origin, &region.coordinator);
        let directory = directory(region)?;
        let bench = Bench::new(&directory, from, to, now)?;
        let sealer = Sealer::new(&directory, from, locked, now)?;
        let small_body = sealer.longest_small_body()?;
        let (mut null, mut mailbox, mut road) = (None, None, None);
        let beside = self.locked.as_ref().map(|_| beside_deposits(&region.folder));
        let (postgres, no_postgres) = match beside {
            Some(Ok(server)) => (Some(server), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        if what.contains(&What::Rpc) {
            null = Some(Null::start(senders, &directory, (locked, from), &sealer, small_body)?);
        }
        if let Some(node) = &self.locked {
            mailbox = Some(senders.block_on(Mailbox::new(region, (node, locked), from, &sealer, small_body))?);
        }
        if let Some([a, b]) = &self.ends {
            road = Some(senders.block_on(Road::new(a, b, to.made.org))?);
        }
        let echo = senders.block_on(Echo::start(&identity(to)?, &identity(from)?, LINES))?;
        let course = Course { bench: &bench, echo: &echo, null: null.as_ref(), mailbox: mailbox.as_ref(), road };
        let mut all = Vec::new();
        // The first round does not count: lines are dialled, files and caches grow to their working size.
        for n in 0..=rounds {
            let mut round = Round { sealing: course.sealing(what, small_body)?, ..Round::default() };
            let log = RawLog::new(&region.folder.join("raw"))?;
            senders.block_on(course.turns(&mut round, &log, n == 0))?;
            round.postgres = postgres.as_ref().map(Postgres::rate).transpose()?;
            if n > 0 {
                all.push(round);
            }
        }
        let envelopes = course.road.as_ref().map(|road| senders.block_on(road.sizes())).transpose()?;
        drop(course);
        echo.stop();
        null.into_iter().for_each(Null::stop);
        Ok(Measured { rounds: all, small_body, envelopes, no_postgres })
    }

    fn close(self) {
        self.ends.into_iter().flatten().chain(self.locked).for_each(Node::stop);
    }
}

/// PostgreSQL, or why it is not measured.
fn beside_deposits(folder: &Path) -> Result<Postgres, String> {
    let programs = Postgres::installed().ok_or("PostgreSQL is not installed here")?;
    Postgres::start(programs, folder).map_err(|error| error.to_string())
}

/// What one round goes over.
struct Course<'a> {
    bench: &'a Bench<'a>,
    echo: &'a Echo,
    null: Option<&'a Null>,
    mailbox: Option<&'a Mailbox<'a>>,
    road: Option<Road<'a>>,
}

impl Course<'_> {
    /// All three sizes, or the small one alone where it is but a part of a floor.
    fn sealing(&self, what: &BTreeSet<What>, small_body: usize) -> Outcome<[Costs; 3]> {
        let mut all = [Costs::default(); 3];
        let sizes = [Size::Body(small_body), Size::Body(MESSAGE), Size::Attachment(1 << 20)];
        let wanted = match (what.contains(&What::Sealing), self.road.is_some()) {
            (true, _) => sizes.len(),
            (false, true) => 1,
            (false, false) => 0,
        };
        for (costs, size) in all.iter_mut().zip(sizes).take(wanted) {
            *costs = self.bench.round(size, SEALING)?;
        }
        Ok(all)
    }

    /// The turns of one round; of the first, which only warms, one.
    async fn turns(&self, round: &mut Round, log: &RawLog, is_first: bool) -> Outcome<()> {
        for _ in 0..if is_first { 1 } else { TURNS } {
            if self.mailbox.is_some() || self.road.is_some() {
                round.log.absorb(log.measure(IN_FLIGHT, MESSAGE, STRETCH).await?);
            }
            if self.null.is_some() || self.mailbox.is_some() || self.road.is_some() {
                round.echo.absorb(echoed(self.echo, IN_FLIGHT, STRETCH).await?);
            }
            if let Some(null) = self.null {
                round.null.absorb(null.measure(STRETCH).await?);
            }
            if let Some(mailbox) = self.mailbox {
                let (run, commits) = mailbox.measure().await?;
                round.deposits.absorb(run);
                round.commits.absorb(commits);
            }
            if let Some(road) = &self.road {
                round.log_alone.absorb(log.measure(1, MESSAGE, STRETCH / 2).await?);
                round.echo_alone.absorb(echoed(self.echo, 1, STRETCH / 2).await?);
                round.alone.absorb(road.alone(ALONE, &mut round.milestones).await?);
            }
        }
        if let Some(road) = &self.road {
            round.together = road.together(if is_first { IN_FLIGHT } else { TOGETHER }).await?;
        }
        Ok(())
    }
}

/// `lanes` callers of the echo, spread over all its lines, for `time`.
async fn echoed(echo: &Echo, lanes: usize, time: Duration) -> Outcome<Run> {
    let lines = echo.lines();
    let call = move |lane: usize, ()| {
        let line = lines[lane % lines.len()].clone();
        async move { Ok(line.call(MESSAGE).await?) }
    };
    Run::of(load(lanes, during(time), call)).await
}

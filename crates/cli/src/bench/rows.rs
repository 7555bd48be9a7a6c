//! Rows and remarks out of the rounds: which ratio each goal is about, and where the time goes.

use std::collections::BTreeSet;

use clearhouse_node::limits::Limits;
use clearhouse_protocol::limits::MAILBOX_ITEMS_MAX;

use super::What;
use super::deposit::BURST;
use super::machine::cores;
use super::measure::{Run, Spread, median};
use super::node::Commits;
use super::rounds::{IN_FLIGHT, LINES, MESSAGE, Measured, Round, TOGETHER};
use super::sealing::Costs;
use super::table::{Goal, Row, Sheet};
use super::trip::Milestones;

/// The rounds, and what is read from each.
struct Rounds<'a>(&'a [Round]);

impl Rounds<'_> {
    fn over(&self, read: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.0.iter().map(read).collect())
    }

    fn mid(&self, read: impl Fn(&Round) -> f64) -> f64 {
        self.over(read).mid
    }

    fn held(
        &self,
        name: impl Into<String>,
        unit: &'static str,
        (product, floor): (impl Fn(&Round) -> f64, impl Fn(&Round) -> f64),
        goal: Goal,
    ) -> Row {
        let rounds: Vec<_> = self.0.iter().map(|r| (product(r), floor(r))).collect();
        Row::held(name, unit, &rounds, goal)
    }

    /// What a commit takes, and how much of it is not work.
    fn commits(&self, of: fn(&Round) -> &Commits, run: fn(&Round) -> &Run, owner: &'static str) -> String {
        let each_ms = |read: fn(&Commits) -> f64| self.mid(|r| read(of(r)) / of(r).count / 1000.0);
        format!(
            "a commit takes {:.1} ms: processor {:.1}, waiting {:.1} (its thread found no free core for {:.1} ms a commit, \
             in and between); commits fill {:.0} % of the time",
            each_ms(|c| c.wall_us),
            each_ms(|c| c.cpu_us),
            each_ms(|c| c.wall_us - c.cpu_us),
            self.mid(|r| run(r).queued_us(owner) / of(r).count / 1000.0),
            self.mid(|r| of(r).wall_us / run(r).wall() / 10_000.0),
        )
    }
}

/// Adds what was measured in rounds.
pub(crate) fn add(measured: &Measured, what: &BTreeSet<What>, sheet: &mut Sheet) {
    let rounds = Rounds(&measured.rounds);
    if what.contains(&What::Sealing) {
        sealing(&rounds, measured, sheet);
    }
    if what.contains(&What::Rpc) {
        calls(&rounds, sheet);
    }
    if what.contains(&What::Deposit) {
        deposits(&rounds, sheet);
        measured
            .no_postgres
            .iter()
            .for_each(|why| sheet.remark(format!("deposit: not held against PostgreSQL: {why}")));
    }
    if what.contains(&What::Trip) {
        alone(&rounds, sheet);
        together(&rounds, sheet);
    }
    if what.contains(&What::Deposit) || what.contains(&What::Trip) {
        setting(measured, sheet);
    }
}

fn sealing(rounds: &Rounds<'_>, measured: &Measured, sheet: &mut Sheet) {
    let small = format!("{} bytes", measured.small_body);
    let sizes = [(small.as_str(), Goal::None), ("4 KiB", Goal::AtLeast(0.90)), ("1 MiB", Goal::AtLeast(0.85))];
    for (n, (size, goal)) in sizes.into_iter().enumerate() {
        let of = (|r: &Round| 1e6 / r.sealing[n].whole(), |r: &Round| 1e6 / r.sealing[n].bare.both());
        sheet.rows.push(rounds.held(format!("seal to verify, {size}; floor: bare primitives"), "/s", of, goal));
    }
    let of = (|r: &Round| 1e6 / r.sealing[1].whole(), |r: &Round| 1e6 / r.sealing[1].classical.both());
    let name = "seal to verify, 4 KiB; floor: bare HPKE X25519 + Ed25519";
    sheet.rows.push(rounds.held(name, "/s", of, Goal::Stretch(1.0)));
    for (n, (size, _)) in sizes.into_iter().enumerate() {
        let us = |read: fn(&Costs) -> f64| rounds.mid(|r| read(&r.sealing[n]));
        sheet.remark(format!(
            "sealing {size} into {} bytes, us of one thread: seal {:.0}, open {:.0} (the sender's key {:.0}); bare: X-Wing \
             wrap {:.0}, unwrap {:.0}, ChaCha20-Poly1305 {:.0}+{:.0}, SHA-256 2x{:.0}, Ed25519 sign {:.0}, verify {:.0}; \
             X25519 wrap {:.0}, unwrap {:.0}",
            us(|c| c.envelope as f64),
            us(|c| c.seal),
            us(|c| c.open),
            us(|c| c.sender),
            us(|c| c.bare.kem_seal),
            us(|c| c.bare.kem_open),
            us(|c| c.bare.encrypt),
            us(|c| c.bare.decrypt),
            us(|c| c.bare.hash),
            us(|c| c.bare.sign),
            us(|c| c.bare.verify),
            us(|c| c.classical.kem_seal),
            us(|c| c.classical.kem_open),
        ));
    }
}

fn calls(rounds: &Rounds<'_>, sheet: &mut Sheet) {
    let name = format!("rpc without storage, {IN_FLIGHT} in flight; floor: mTLS echo");
    let of = (|r: &Round| r.null.rate(), |r: &Round| r.echo.rate());
    sheet.rows.push(rounds.held(name, "/s", of, Goal::AtLeast(0.80)));
    sheet.remark(format!(
        "rpc, us of processor a call at both ends: echo {:.0}, product {:.0}; by processor time {} of the echo",
        rounds.mid(|r| r.echo.cpu_us()),
        rounds.mid(|r| r.null.cpu_us()),
        rounds.over(|r| r.echo.cpu_us() / r.null.cpu_us()),
    ));
}

fn deposits(rounds: &Rounds<'_>, sheet: &mut Sheet) {
    let name = format!("deposit, durable, {IN_FLIGHT} in flight; floor: mTLS echo");
    let of = (|r: &Round| r.deposits.rate(), |r: &Round| r.echo.rate());
    sheet.rows.push(rounds.held(name, "/s", of, Goal::AtLeast(0.70)));
    let name = format!("deposit, durable, {IN_FLIGHT} in flight; floor: raw log, one fdatasync a batch");
    sheet.rows.push(rounds.held(name, "/s", (|r: &Round| r.deposits.rate(), |r: &Round| r.log.rate()), Goal::None));
    if rounds.0.iter().all(|r| r.postgres.is_some()) {
        let name =
            format!("deposit, durable, {IN_FLIGHT} in flight; beside it: PostgreSQL, a row of {MESSAGE} bytes each");
        let of = (|r: &Round| r.deposits.rate(), |r: &Round| r.postgres.unwrap_or(f64::NAN));
        sheet.rows.push(rounds.held(name, "/s", of, Goal::AtLeast(1.0)));
    }
    let slowest = rounds.over(|r| r.deposits.quantile_ms(0.99));
    sheet.rows.push(Row::alone("deposit, its slowest of a hundred", "ms", slowest, Goal::None));
    sheet.remark(format!(
        "deposit, us of processor a message: log {:.0}, echo {:.0}, deposit {:.0} = senders {:.0} + door {:.0} + owner {:.0} \
         (of it commit {:.0}); by processor time {} of the echo",
        rounds.mid(|r| r.log.cpu_us()),
        rounds.mid(|r| r.echo.cpu_us()),
        rounds.mid(|r| r.deposits.cpu_us()),
        rounds.mid(|r| r.deposits.thread_us("senders")),
        rounds.mid(|r| r.deposits.thread_us("node-c")),
        rounds.mid(|r| r.deposits.thread_us("owner-c")),
        rounds.mid(|r| r.commits.cpu_us / r.deposits.count()),
        rounds.over(|r| r.echo.cpu_us() / r.deposits.cpu_us()),
    ));
    sheet.remark(format!(
        "deposit, a commit holds {:.0} letters; {}",
        rounds.mid(|r| r.deposits.count() / r.commits.count),
        rounds.commits(|r| &r.commits, |r| &r.deposits, "owner-c"),
    ));
}

fn alone(rounds: &Rounds<'_>, sheet: &mut Sheet) {
    // A message and its receipt: each sealed, opened and verified once, each one round trip.
    let floor = |r: &Round| {
        let commits = (r.alone.sender.count + r.alone.receiver.count) / r.alone.run.count();
        let sealing = 2.0 * r.sealing[0].bare.both() / 1000.0;
        sealing + commits * r.log_alone.quantile_ms(0.5) + 2.0 * r.echo_alone.quantile_ms(0.5)
    };
    let name = "end to end, 1 in flight, p50; floor: bare seal to verify, its fdatasyncs, its round trips";
    let of = (|r: &Round| r.alone.run.quantile_ms(0.5), floor);
    sheet.rows.push(rounds.held(name, "ms", of, Goal::AtMost(1.5)));
    let m = |read: fn(&Milestones) -> f64| rounds.mid(|r| median(r.milestones.iter().map(read).collect()));
    sheet.remark(format!(
        "alone, ms after sending: queued {:.1}, stored there {:.1}, opened and in its case {:.1}, receipt stored here {:.1}, \
         settled {:.1}; one fdatasync {:.2} ms, one echo {:.2} ms",
        m(|m| m.queued),
        m(|m| m.stored),
        m(|m| m.received),
        m(|m| m.answered),
        m(|m| m.settled),
        rounds.mid(|r| r.log_alone.quantile_ms(0.5)),
        rounds.mid(|r| r.echo_alone.quantile_ms(0.5)),
    ));
    sheet.remark(format!(
        "alone, fdatasyncs a message: {:.1} at the sender, {:.1} at the receiver",
        rounds.mid(|r| r.alone.sender.count / r.alone.run.count()),
        rounds.mid(|r| r.alone.receiver.count / r.alone.run.count()),
    ));
}

fn together(rounds: &Rounds<'_>, sheet: &mut Sheet) {
    let rate = |r: &Round| r.together.run.rate();
    let floor = |r: &Round| cores() as f64 * 1e6 / (r.sealing[0].bare.opening() + r.echo.cpu_us());
    let name = format!("end to end, {IN_FLIGHT} in flight; floor: cores / (bare open + verify + echo)");
    sheet.rows.push(rounds.held(name, "/s", (rate, floor), Goal::AtLeast(0.60)));
    // What no program that answers each message with a sealed receipt can leave out, when both ends share the cores.
    let whole = |r: &Round| cores() as f64 * 1e6 / (2.0 * (r.sealing[0].bare.both() + r.echo.cpu_us()));
    let name = format!("end to end, {IN_FLIGHT} in flight; floor: cores / (2 bare seal to verify + 2 echoes)");
    sheet.rows.push(rounds.held(name, "/s", (rate, whole), Goal::None));
    let half = rounds.over(|r| r.together.run.quantile_ms(0.5));
    sheet.rows.push(Row::alone(
        format!("end to end, {IN_FLIGHT} in flight, half are settled within"),
        "ms",
        half,
        Goal::None,
    ));
    let of = |name: &'static str| rounds.mid(|r| r.together.run.thread_us(name));
    sheet.remark(format!(
        "together, us of processor a message and its receipt: {:.0}; sender's calls and openings {:.0}, owner {:.0} (commit \
         {:.0}); receiver's {:.0}, owner {:.0} (commit {:.0})",
        rounds.mid(|r| r.together.run.cpu_us()),
        of("node-a"),
        of("owner-a"),
        rounds.mid(|r| r.together.sender.cpu_us / r.together.run.count()),
        of("node-b"),
        of("owner-b"),
        rounds.mid(|r| r.together.receiver.cpu_us / r.together.run.count()),
    ));
    let commits = |name: &str, of: fn(&Round) -> &Commits, owner: &'static str| {
        let each = rounds.mid(|r| of(r).count / r.together.run.count());
        format!(
            "together, the {name}: {each:.2} fdatasyncs a message; {}",
            rounds.commits(of, |r| &r.together.run, owner)
        )
    };
    sheet.remark(commits("sender", |r| &r.together.sender, "owner-a"));
    sheet.remark(commits("receiver", |r| &r.together.receiver, "owner-b"));
}

fn setting(measured: &Measured, sheet: &mut Sheet) {
    let hard = Limits::HARD;
    sheet.remark(format!(
        "the nodes of the benchmark have every limit of a node but these paces, which are lifted: deposits {}, outcomes {}, \
         records {}, calls {} a minute, frames that carry nothing {} a second",
        hard.deposits_per_minute,
        hard.outcomes_per_minute,
        hard.records_per_minute,
        hard.calls_per_minute,
        hard.chatter_per_second,
    ));
    sheet.remark(format!(
        "{IN_FLIGHT} in flight on {LINES} lines; deposits in bursts of {BURST}, for a mailbox holds {MAILBOX_ITEMS_MAX}; \
         {TOGETHER} notices together a round; both ends of every line share the cores"
    ));
    if let Some((notice, receipt)) = measured.envelopes {
        sheet.remark(format!("bytes: floors {MESSAGE}; a notice's envelope {notice}, its receipt's {receipt}"));
    }
}

//! The table: what was measured, its median and range over the rounds, its ratio to its floor, where the time goes.

use std::fs;

use clearhouse_node::limits::Limits;
use clearhouse_protocol::limits::MAILBOX_ITEMS_MAX;

use crate::deposit::BURST;
use crate::measure::{Run, Spread, median};
use crate::node::{Commits, lifted};
use crate::sealing::Costs;
use crate::trip::Milestones;
use crate::{ALONE, IN_FLIGHT, LINES, MESSAGE, Round, Setting, TOGETHER, TURNS};

/// A ratio: of what, and how it is read from a round.
type Ratio<'a> = (&'a str, &'a dyn Fn(&Round) -> f64);

/// The rounds, and what is read from each.
struct Table<'a>(&'a [Round]);

impl Table<'_> {
    fn over(&self, read: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.0.iter().map(read).collect())
    }

    fn mid(&self, read: impl Fn(&Round) -> f64) -> f64 {
        self.over(read).mid
    }

    /// One line: a case, its figure, and its ratios to floors.
    fn line(&self, case: &str, figure: impl Fn(&Round) -> f64, unit: &str, ratios: &[Ratio<'_>]) {
        let figure = format!("{} {unit}", self.over(figure));
        let ratios: Vec<String> = ratios.iter().map(|(of, read)| format!("{} {of}", self.over(read))).collect();
        println!("{case:<44} {figure:<32} {}", ratios.join("; ").trim_end());
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

pub(crate) fn print(rounds: &[Round], setting: &Setting) {
    head(rounds.len(), setting);
    let table = Table(rounds);
    sealing(&table, setting);
    deposits(&table);
    trips(&table);
}

fn head(rounds: usize, setting: &Setting) {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo");
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    println!("clearhouse {}: {rounds} rounds, every case in each; median (least-most)", env!("CARGO_PKG_VERSION"));
    println!(
        "machine  {} cores, {}; Linux {}; load {} before, {} after",
        cores(),
        model.trim_start_matches(['\t', ' ', ':']),
        file("/proc/sys/kernel/osrelease").trim(),
        setting.load[0],
        setting.load[1]
    );
    println!(
        "folder   {}{}",
        setting.folder.display(),
        if in_memory(setting) { " IN MEMORY: nothing is synced" } else { "" }
    );
    let (hard, used) = (Limits::HARD, lifted());
    println!(
        "limits   a node's caps, but a minute's deposits {} -> {}, outcomes {} -> {}, records {} -> {}",
        hard.deposits_per_minute,
        used.deposits_per_minute,
        hard.outcomes_per_minute,
        used.outcomes_per_minute,
        hard.records_per_minute,
        used.records_per_minute
    );
    println!(
        "load     {IN_FLIGHT} in flight on {LINES} lines; deposits in bursts of {BURST}, for a mailbox holds \
         {MAILBOX_ITEMS_MAX}; {} notices alone and {TOGETHER} together a round",
        ALONE * TURNS
    );
    let (notice, receipt) = setting.envelopes;
    println!("bytes    floors {MESSAGE}; a notice's envelope {notice}, its receipt's {receipt}");
    println!("ratios   product to floor in the same round; by processor time: what the floor's message takes of it to");
    println!("         what the product's takes, which other programs disturb least\n");
}

fn sealing(table: &Table<'_>, setting: &Setting) {
    println!("Seal and sign, then open and verify: one thread, messages a second of processor time");
    let names =
        [format!("body of {} bytes", setting.small_body), "body of 4 KiB".to_owned(), "attachment of 1 MiB".to_owned()];
    for (n, name) in names.iter().enumerate() {
        let bytes = table.0.first().map_or(0, |r| r.sealing[n].envelope);
        table.line(&format!("  bare primitives, {name}"), |r| 1e6 / r.sealing[n].bare.both(), "/s", &[]);
        let case = format!("  clearhouse, envelope of {bytes} bytes");
        table.line(
            &case,
            |r| 1e6 / (r.sealing[n].seal + r.sealing[n].open),
            "/s",
            &[("of bare", &|r| r.sealing[n].ratio())],
        );
    }
    for (n, name) in names.iter().enumerate() {
        let us = |read: fn(&Costs) -> f64| table.mid(|r| read(&r.sealing[n]));
        println!(
            "  us, {name}: seal {:.0}, open {:.0} (the sender's key {:.0}); bare: X-Wing wrap {:.0}, unwrap {:.0}, \
             ChaCha20-Poly1305 {:.0}+{:.0}, SHA-256 2x{:.0}, Ed25519 sign {:.0}, verify {:.0}",
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
        );
    }
    println!();
}

fn deposits(table: &Table<'_>) {
    println!("Durable deposit, {IN_FLIGHT} in flight, 4 KiB messages; the mailbox's cases are locked");
    table.line("  raw log, one fdatasync a batch", |r| r.log.rate(), "/s", &[]);
    table.line("  bare tonic mTLS echo", |r| r.echo.rate(), "/s", &[]);
    let echo = |run: fn(&Round) -> &Run| move |r: &Round| run(r).rate() / r.echo.rate();
    let echo_cpu = |run: fn(&Round) -> &Run| move |r: &Round| r.echo.cpu_us() / run(r).cpu_us();
    table.line(
        "  clearhouse, nothing behind the door",
        |r| r.null.rate(),
        "/s",
        &[("of the echo", &echo(|r| &r.null)), ("by processor time", &echo_cpu(|r| &r.null))],
    );
    table.line(
        "  clearhouse, durable",
        |r| r.deposits.rate(),
        "/s",
        &[
            ("of the log", &|r| r.deposits.rate() / r.log.rate()),
            ("of the echo", &echo(|r| &r.deposits)),
            ("by processor time", &echo_cpu(|r| &r.deposits)),
        ],
    );
    table.line("  its answers, slowest of a hundred", |r| r.deposits.quantile_ms(0.99), "ms", &[]);
    println!(
        "  us of processor a message: log {:.0}, echo {:.0}, null door {:.0}, deposit {:.0} = senders {:.0} + door {:.0} + owner {:.0} \
         (of it commit {:.0})",
        table.mid(|r| r.log.cpu_us()),
        table.mid(|r| r.echo.cpu_us()),
        table.mid(|r| r.null.cpu_us()),
        table.mid(|r| r.deposits.cpu_us()),
        table.mid(|r| r.deposits.thread_us("senders")),
        table.mid(|r| r.deposits.thread_us("node-c")),
        table.mid(|r| r.deposits.thread_us("owner-c")),
        table.mid(|r| r.commits.cpu_us / r.deposits.count()),
    );
    println!(
        "  a commit holds {:.0} letters; {}\n",
        table.mid(|r| r.deposits.count() / r.commits.count),
        table.commits(|r| &r.commits, |r| &r.deposits, "owner-c"),
    );
}

fn trips(table: &Table<'_>) {
    println!("A notice end to end with its signed receipt, between two nodes on this machine");
    table.line("  raw log alone, append + fdatasync", |r| r.log_alone.quantile_ms(0.5), "ms", &[]);
    table.line("  bare echo alone", |r| r.echo_alone.quantile_ms(0.5), "ms", &[]);
    let floor = |r: &Round| {
        let commits = (r.alone.sender.count + r.alone.receiver.count) / r.alone.run.count();
        let sealing = 2.0 * r.sealing[0].bare.both() / 1000.0;
        sealing + commits * r.log_alone.quantile_ms(0.5) + 2.0 * r.echo_alone.quantile_ms(0.5)
    };
    table.line("  floor: 2 bare seal+open, its syncs, 2 echoes", floor, "ms", &[]);
    let alone = |r: &Round| r.alone.run.quantile_ms(0.5);
    table.line("  alone, half are settled within", alone, "ms", &[("times the floor", &|r| alone(r) / floor(r))]);
    let m = |read: fn(&Milestones) -> f64| table.mid(|r| median(r.milestones.iter().map(read).collect()));
    println!(
        "  ms after sending: queued {:.1}, stored there {:.1}, opened and in its case {:.1}, receipt stored here {:.1}, settled {:.1}",
        m(|m| m.queued),
        m(|m| m.stored),
        m(|m| m.received),
        m(|m| m.answered),
        m(|m| m.settled),
    );
    println!(
        "  fdatasyncs a message: {:.1} at the sender, {:.1} at the receiver",
        table.mid(|r| r.alone.sender.count / r.alone.run.count()),
        table.mid(|r| r.alone.receiver.count / r.alone.run.count()),
    );

    let ceiling = |r: &Round| cores() as f64 * 1e6 / (2.0 * (r.sealing[0].bare.both() + r.echo.cpu_us()));
    table.line("  floor: cores / (2 bare seal+open + 2 echoes)", ceiling, "/s", &[]);
    table.line(
        &format!("  {IN_FLIGHT} in flight, settled"),
        |r| r.together.run.rate(),
        "/s",
        &[
            ("of that", &|r| r.together.run.rate() / ceiling(r)),
            ("of the log", &|r| r.together.run.rate() / r.log.rate()),
            ("by processor time", &|r| cores() as f64 * 1e6 / r.together.run.cpu_us() / ceiling(r)),
        ],
    );
    table.line("  half are settled within", |r| r.together.run.quantile_ms(0.5), "ms", &[]);
    let of = |name: &'static str| table.mid(|r| r.together.run.thread_us(name));
    println!(
        "  us of processor a message: {:.0}; sender's calls and openings {:.0}, owner {:.0} (commit {:.0}); receiver's {:.0}, \
         owner {:.0} (commit {:.0})",
        table.mid(|r| r.together.run.cpu_us()),
        of("node-a"),
        of("owner-a"),
        table.mid(|r| r.together.sender.cpu_us / r.together.run.count()),
        of("node-b"),
        of("owner-b"),
        table.mid(|r| r.together.receiver.cpu_us / r.together.run.count()),
    );
    let commits = |name: &str, of: fn(&Round) -> &Commits, owner: &'static str| {
        let each = table.mid(|r| of(r).count / r.together.run.count());
        println!("  the {name}: {each:.2} fdatasyncs a message; {}", table.commits(of, |r| &r.together.run, owner));
    };
    commits("sender", |r| &r.together.sender, "owner-a");
    commits("receiver", |r| &r.together.receiver, "owner-b");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The load of the last minute, as the system counts it.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn in_memory(setting: &Setting) -> bool {
    /// `TMPFS_MAGIC` of Linux's magic.h.
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    let folder = setting.folder.parent().unwrap_or(&setting.folder);
    rustix::fs::statfs(folder).is_ok_and(|s| s.f_type == TMPFS)
}

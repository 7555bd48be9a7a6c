//! A region in one thread: four offices with a clock each, one of them behind a router with its mailbox at another, the
//! real decisions and the real store contract, and a net and a power supply that fail. Everything is drawn from a seed, so a failing run is one command away.
//!
//! # What counts as failure
//! Named after the promises of the product (`deploy/THREATS.md`).
//!
//! * **P1** A storage receipt left, and the letter is neither in the mailbox nor was it taken; a part of a profile is
//!   not, byte for byte, what was sent; a table does not read back.
//! * **P2** A message changed the receiver's case twice, or was answered and changed nothing, or was answered in two
//!   ways; two storage receipts for one envelope differ.
//! * **P3** A message of an office is gone, never comes to an end, or the person who sent it sees no end; a fair net
//!   does not bring everything to rest; a letter lies unopened at an open node for ever.
//! * **P4** After her word was committed (a withdrawal, that she stays, a revocation), a message that rests on it is
//!   released; or something had left, and nobody is told.
//! * **P5** A row of an act without an event in the same commit; a gap in the events, or one that does not open; a
//!   packet, a receipt or a "sent" before its commit; a node that starts again is another node than before.
//! * **P9, P10** A word of hers in clear on a disk or on the line, in whichever writing; a locked node that holds cases
//!   or keys, or whose disk opens to the service keys.
//! * **P22** A message expires before its time, or what a node writes down is dated before what it wrote down, because its
//!   clock was set wrong.
//! * **P14** A message of a party known to be out has an effect.
//! * A message takes a way that the small model of `tests/model` does not know.
//! * A receipt says *received* without the fact, *opened* without the reader, or names an event that its signer does not
//!   have. The two ends of a case end in different states.
//!
//! # How to replay
//! `CLEARHOUSE_SIM_SEED=<seed> cargo test -p clearhouse --test clearhouse sim::five_hundred_seeds`.
//! `CLEARHOUSE_SIM_SEEDS=<count>` runs another number; `CI_LONG=1` runs 5,000.

#![allow(clippy::wildcard_enum_match_arm, reason = "a judge looks at what it judges and passes over the rest")]

mod canary;
mod clocks;
mod courier;
mod dice;
mod disk;
mod ends;
mod flaw;
mod forms;
mod judging;
mod model;
mod net;
mod node;
mod notes;
mod owner;
mod people;
mod portrait;
mod relay;
mod world;

use std::env;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use flaw::Flaw;
use world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 500;
/// Seeds of a long run, with `CI_LONG=1`.
const SEEDS_LONG: u64 = 5_000;
/// Failing seeds after which a worker stops looking for more.
const FAILURES_MAX: usize = 10;
/// Things that happen in one run before the calm.
const STEPS: u64 = 320;

/// Every so many seeds is a run in which the faults end for all but one site, which never comes back: the others must get
/// everything done among themselves. The remaining runs ask whether anything went wrong, these whether anything stops.
const LIVENESS_EVERY: u64 = 5;

/// A rule that was broken.
#[derive(Debug)]
struct Violation(String);

impl Violation {
    fn new(what: String) -> Self {
        Self(what)
    }

    fn because<E: Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// What a run was like.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    commits: u64,
    crashes: u64,
    packets: u64,
    messages: u64,
    effects: u64,
    read: u64,
    arrived: u64,
    withdrawn: u64,
    fetched: u64,
    /// Messages that the small model followed to where they were opened.
    followed: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.packets += other.packets;
        self.messages += other.messages;
        self.effects += other.effects;
        self.read += other.read;
        self.arrived += other.arrived;
        self.withdrawn += other.withdrawn;
        self.fetched += other.fetched;
        self.followed += other.followed;
    }
}

/// Runs one seed to its end.
fn run(seed: u64, flaw: Option<Flaw>) -> Result<Tally, String> {
    let mut world = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(seed, flaw)?);
        world.live(STEPS)?;
        if seed % LIVENESS_EVERY == LIVENESS_EVERY - 1 {
            world.loses_one()?;
        }
        world.calm()?;
        world.both_ends_agree()?;
        world.nothing_kept_is_lost()?;
        world.months()?;
        world.judge()?;
        Ok::<_, Violation>(world.tally())
    }));
    let trail = world.map(|w| w.trail()).unwrap_or_default();
    match outcome {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(Violation(what))) => Err(format!("{what}\n  {trail}")),
        Err(_) => Err(format!("a panic, printed above\n  {trail}")),
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn replay(seed: u64) -> String {
    format!("CLEARHOUSE_SIM_SEED={seed} cargo test -p clearhouse --test clearhouse sim::five_hundred_seeds")
}

#[test]
fn five_hundred_seeds() {
    if let Some(seed) = number("CLEARHOUSE_SIM_SEED") {
        let tally = run(seed, None).unwrap_or_else(|what| panic!("seed {seed}: {what}\n{}", replay(seed)));
        println!("seed {seed}: {tally:?}");
        return;
    }
    let long = if env::var("CI_LONG").is_ok_and(|v| v == "1") { SEEDS_LONG } else { SEEDS };
    let seeds = number("CLEARHOUSE_SIM_SEEDS").unwrap_or(long);
    let next = AtomicU64::new(0);
    let work = || {
        let (mut sum, mut failed) = (Tally::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failed.len() >= FAILURES_MAX {
                return (sum, failed);
            }
            match run(seed, None) {
                Ok(tally) => sum.add(tally),
                Err(what) => failed.push((seed, what)),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, |n| n.get().min(8));
    let (mut sum, mut failed) = (Tally::default(), Vec::new());
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for one in all {
            let (tally, bad) = one.join().expect("a worker of the simulation ends");
            sum.add(tally);
            failed.extend(bad);
        }
    });
    failed.sort();
    println!("{seeds} seeds: {sum:?}");
    for (seed, what) in failed.iter().skip(1) {
        println!("seed {seed}: {}", what.lines().next().unwrap_or_default());
    }
    if let Some((seed, what)) = failed.first() {
        panic!("{} seeds failed. Seed {seed}: {what}\n{}", failed.len(), replay(*seed));
    }
    assert!(
        sum.effects > 3 * seeds && sum.crashes > seeds && sum.fetched > seeds && sum.followed > 3 * seeds,
        "the runs are too quiet to prove anything: {sum:?}"
    );
}

#[test]
fn a_seed_is_one_history() {
    for seed in [3, 4] {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

/// Seeds within which every planted bug must be found.
const PATIENCE: u64 = 100;

fn is_found(flaw: Flaw) {
    assert!(Flaw::ALL.contains(&flaw));
    let found = (0..PATIENCE).find_map(|seed| run(seed, Some(flaw)).err().map(|what| (seed, what)));
    let (seed, what) = found.unwrap_or_else(|| panic!("{flaw:?} was not found in {PATIENCE} seeds"));
    println!("{flaw:?}: seed {seed}: {}", what.lines().next().unwrap_or_default());
}

macro_rules! planted {
    ($($name:ident: $flaw:ident;)+) => { $(
        #[test]
        fn $name() {
            is_found(Flaw::$flaw);
        }
    )+ };
}

planted! {
    a_planted_bug_is_found_receipt_before_commit: ReceiptBeforeCommit;
    a_planted_bug_is_found_carried_before_commit: CarriesUncommitted;
    a_planted_bug_is_found_batch_forgotten: BatchForgotten;
    a_planted_bug_is_found_row_forgotten: RowForgotten;
    a_planted_bug_is_found_dedupe_not_kept: DedupeNotKept;
    a_planted_bug_is_found_outbox_not_read_back: OutboxNotReadBack;
    a_planted_bug_is_found_opening_not_written: OpeningNotWritten;
    a_planted_bug_is_found_event_left_out: EventLeftOut;
    a_planted_bug_is_found_memory_ahead_of_store: MemoryAheadOfStore;
    a_planted_bug_is_found_receipt_signed_again: ReceiptSignedAgain;
    a_planted_bug_is_found_kept_in_clear: KeptInClear;
    a_planted_bug_is_found_lock_keeps_cases: LockKeepsCases;
    a_planted_bug_is_found_withdrawal_takes_nothing_back: WithdrawalTakesNothingBack;
    a_planted_bug_is_found_leaves_unannounced: LeavesUnannounced;
    a_planted_bug_is_found_fetched_before_commit: FetchedBeforeCommit;
    a_planted_bug_is_found_forgotten_when_handed_out: ForgottenWhenHandedOut;
    a_planted_bug_is_found_clock_believed: ClockBelieved;
}

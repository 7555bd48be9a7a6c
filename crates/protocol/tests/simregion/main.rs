//! The directory of a whole region in one thread: the real checks, logs, heads, cosignatures and lists of every node, and
//! a driver that moves as a node does. Everything is drawn from a seed.
//!
//! # What it decides
//! * How many rounds pass until an admission, a node's new key and a revocation reach every node that is awake, with 30 %
//!   of all asleep at any time; that who was asleep has all of it after its first session; what that costs in bytes.
//! * That two coordinators of seven who lie make nobody believe anything: each round they forge records with their own
//!   keys, hand out old ones, show frozen directories, lists that lie and descriptors of others, show one victim an
//!   accreditation made under duress that stands in no log, show pages under heads that too few cosigned, date
//!   cosignatures a hundred years ahead, spoil others' heads, and one of them shows two histories of its log.
//!
//! # What counts as failure
//! * A node believes a key, an end, a descriptor or a policy that nobody who may say so ever signed; goes back behind what
//!   it acted on; acts on an accreditation that stands under no cosigned head; holds an honest log to be forked.
//! * Two nodes follow two histories of one log; a head is held to be newer than the time.
//! * After calm rounds somebody has not acted on something, or two hold different directories; a node that heard nobody but
//!   the liars for two days holds its directory to be fresh.
//!
//! # What it leaves out
//! Prekeys by value, storage, crashes and lost packets (other simulations have them); coordinators asleep: the two that
//! lie are the two that may fail. Who is asked next is drawn by a node's rule, written again here, because the node is a
//! room further right; a replica skips the check of a record that it holds byte for byte.
//!
//! # How to run
//! `cargo test -p clearhouse-protocol --features fixture --test simregion`. `CLEARHOUSE_REGION_ORGS=<n>`,
//! `CLEARHOUSE_REGION_ROUNDS=<rounds in which things happen>`, `CLEARHOUSE_REGION_SEEDS=<count>` run another size,
//! `CLEARHOUSE_SIM_SEED=<seed>` replays one history; with `--release` a thousand take some minutes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod common;
mod dice;
mod figures;
mod flaw;
mod follow;
mod forgery;
mod fork;
mod freeze;
mod judge;
mod liar;
mod line;
mod plan;
mod replica;
mod session;
mod standings;
mod world;

use std::env;
use std::time::Instant;

use common::Tally;
use figures::Figures;
use flaw::Flaw;
use plan::What;
use world::{Scale, World};

/// Organisations of an ordinary run.
const ORGS: u64 = 100;
/// Rounds of it in which things happen.
const ROUNDS: u64 = 18;
/// Seeds of an ordinary run.
const SEEDS: u64 = 1;
/// Seeds within which a planted bug must be found.
const SEEDS_FLAW: u64 = 10;
/// Rounds within which 95 of 100 nodes that are awake act on what happened.
const ROUNDS_P95: u64 = 8;
/// Bytes that an idle node may cause in a round: in a region of fifty so much, in a larger one as much more as it is larger;
/// but what four calls and three logs take is no less in a small one.
const IDLE_BYTES_FIFTY: u64 = 100;
const IDLE_BYTES_LEAST: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn scale(orgs: u64, live: u64) -> Scale {
    Scale { orgs: usize::try_from(orgs).unwrap(), idle: 4, live, calm: 14 }
}

fn run(seed: u64, scale: Scale, flaw: Option<Flaw>) -> Result<(Figures, Tally), String> {
    let mut world = World::new(seed, scale, true, flaw);
    world.live()?;
    let tally = *world.tally();
    Ok((world.figures, tally))
}

#[test]
fn news_reaches_everybody_in_eight_rounds_and_two_coordinators_who_lie_are_believed_nothing() {
    let orgs = number("CLEARHOUSE_REGION_ORGS").unwrap_or(ORGS);
    let scale = scale(orgs, number("CLEARHOUSE_REGION_ROUNDS").unwrap_or(ROUNDS));
    let count = number("CLEARHOUSE_REGION_SEEDS").unwrap_or(SEEDS);
    let seeds = number("CLEARHOUSE_SIM_SEED").map_or(0..count, |seed| seed..seed + 1);
    let (mut all, mut tally) = (Figures::default(), Tally::default());
    for seed in seeds {
        let began = Instant::now();
        let (figures, happened) = run(seed, scale, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        eprintln!("seed {seed}, {orgs} organisations, {:?}: {}", began.elapsed(), figures.table());
        all.add(&figures);
        tally.add(&happened);
    }
    eprintln!("{tally:?}\nby call, idle and under churn: {:?}", all.by_call);
    for what in [What::Admission, What::Rotation, What::Revocation] {
        let rounds = all.percentile(what, 95);
        assert!((1..=ROUNDS_P95).contains(&rounds), "{what:?} took {rounds} rounds");
    }
    let (idle, most) = (all.idle.node_round, (IDLE_BYTES_FIFTY * orgs / 50).max(IDLE_BYTES_LEAST));
    assert!((1..=most).contains(&idle), "an idle node causes {idle} bytes a round, and {most} at most are allowed");
    // A run in which nothing happens proves nothing.
    let happened =
        [all.sleepers, tally.refused, tally.faults, tally.pages_refused, tally.lies, tally.proofs, tally.away];
    assert!(happened.iter().all(|n| *n > 0), "{tally:?}");
}

#[test]
fn a_seed_is_one_history() {
    let once = || run(5, scale(20, 9), None).map(|(figures, tally)| format!("{} {tally:?}", figures.table()));
    assert_eq!(once(), once());
}

#[test]
fn every_planted_bug_is_found() {
    for flaw in Flaw::ALL {
        let found = (0..SEEDS_FLAW).find_map(|seed| Some((seed, run(seed, scale(20, 9), Some(flaw)).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{flaw:?} was not found in {SEEDS_FLAW} seeds"));
        eprintln!("{flaw:?}: seed {seed}: {what}");
    }
}

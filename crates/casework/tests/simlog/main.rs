//! Logs and their witnesses in one thread: the real decisions, heads, cosignatures, quorums and proofs, and a net, disks
//! and parties that fail or lie. Everything is drawn from a seed.
//!
//! # What counts as failure
//! * A witness cosigned a smaller tree after a larger, or one that does not continue what it cosigned before.
//! * Two heads of a log that do not continue each other both have a quorum, whatever signatures are put together.
//! * An honest node signed a head that does not continue its last one, while its file of heads knew better or after a
//!   witness had told it.
//! * Two holders exchange heads that do not continue each other, and no proof comes of it; or a proof against a log that
//!   showed one history only.
//! * A witness that met both histories of a log has no proof; one is gone after a restart, or is an event twice.
//!
//! # What may happen
//! Crashes between any two beats of a witness (decide, store, reply) and of a node (head in its file, signed, sent);
//! packets lost, late and in another order; two requests decided in one go; a store or a whole disk put back from an
//! image; a quarter that changes; nodes with two faces; as many lying witnesses as a list tolerates.
//!
//! # How to replay
//! `CLEARHOUSE_SIM_SEED=<seed> cargo test -p clearhouse-casework --test simlog`; `CLEARHOUSE_SIM_SEEDS=<count>` runs
//! another number, `CI_LONG=1` runs 5,000.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod dice;
mod flaw;
mod judge;
mod log;
mod place;
mod witness;
mod world;

use std::env;

use flaw::Flaw;
use world::{Tally, World};

/// Seeds of an ordinary run.
const SEEDS: u64 = 500;
/// Seeds of a long run, with `CI_LONG=1`.
const SEEDS_LONG: u64 = 5_000;
/// Seeds within which a planted bug must be found.
const SEEDS_FLAW: u64 = 500;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, flaw: Option<Flaw>) -> Result<Tally, String> {
    let mut world = World::new(seed, flaw);
    world.live()?;
    world.calm()?;
    Ok(world.tally())
}

#[test]
fn attack_22_23_31_five_hundred_seeds_of_logs_and_witnesses() {
    let long = env::var("CI_LONG").is_ok_and(|v| v == "1");
    let count = number("CLEARHOUSE_SIM_SEEDS").unwrap_or(if long { SEEDS_LONG } else { SEEDS });
    let seeds = number("CLEARHOUSE_SIM_SEED").map_or(0..count, |seed| seed..seed + 1);
    let one = seeds.end - seeds.start == 1;
    let mut all = Tally::default();
    for seed in seeds {
        match run(seed, None) {
            Ok(tally) => all.add(tally),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    eprintln!("{all:?}");
    // A run in which nothing happens proves nothing.
    let happened =
        [all.cosigned, all.crashes, all.refused, all.witnessed, all.proofs, all.images, all.stops, all.races];
    assert!(one || happened.iter().all(|n| *n > 0), "{all:?}");
}

#[test]
fn every_planted_bug_is_found() {
    for flaw in Flaw::ALL {
        let found = (0..SEEDS_FLAW).find_map(|seed| Some((seed, run(seed, Some(flaw)).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{flaw:?} was not found in {SEEDS_FLAW} seeds"));
        eprintln!("{flaw:?}: seed {seed}: {what}");
    }
}

//! Logs told, heard and proved in one thread: real offices, real envelopes, and a net and a power supply that fail.
//! Everything is drawn from a seed.
//!
//! # What counts as failure
//! * What a coordinator holds of a log is not the beginning of one history that its node signed; or shrinks.
//! * An honest log is held to contradict itself; or a log put back from an old image that went another way is not found
//!   out once it has grown past what was heard.
//! * A node believes that a coordinator has entries that it does not have.
//! * A fair net does not bring everything to rest: an entry worth telling is not heard, a proof stays owed, or the other
//!   end of a message does not hold it.
//! * A row that must be new stands there already; an entry is not numbered on.
//!
//! # What may happen
//! Crashes between deciding, storing and sending; envelopes lost, late, twice, in another order; answers lost; heads
//! that come late; a node or a coordinator put back from an old image of its whole disk.
//!
//! # How to replay
//! `CLEARHOUSE_SIM_SEED=<seed> cargo test -p clearhouse-casework --test simtell`; `CLEARHOUSE_SIM_SEEDS=<count>` runs
//! another number, `CI_LONG=1` runs 5,000.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod flaw;
mod judge;
mod node;
mod world;

use std::env;

use flaw::Flaw;
use world::{Tally, World};

/// Seeds of an ordinary run.
const SEEDS: u64 = 500;
/// Seeds of a long run, with `CI_LONG=1`.
const SEEDS_LONG: u64 = 5_000;
/// Seeds within which a planted bug must be found.
const SEEDS_FLAW: u64 = 200;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, flaw: Option<Flaw>) -> Result<Tally, String> {
    let mut world = World::new(seed, flaw);
    world.live()?;
    world.calm()?;
    world.judge()?;
    Ok(world.tally())
}

#[test]
fn five_hundred_seeds_of_accounts_and_proofs() {
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
    let happened = [all.told, all.heard, all.proved, all.crashes, all.lost, all.images, all.found_out];
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

//! A region in one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod common;
mod dice;
mod figures;
mod flaw;
mod follow;
mod forgery;
mod fork;
mod judge;
mod liar;
mod line;
mod plan;
mod replica;
mod session;
mod standings;
mod world;

use world::{Scale, World};

#[test]
fn first() {
    let n = std::env::var("CLEARHOUSE_REGION_ORGS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let scale = Scale { orgs: n, idle: 5, live: 36, calm: 14 };
    for seed in 0..4 {
        let start = std::time::Instant::now();
        let mut world = World::new(seed, scale, std::env::var("LIE").is_ok(), None);
        let built = start.elapsed();
        let lived = world.live();
        eprintln!("seed {seed}: {} {:?}\n{:?} built {built:?} in all {:?}", world.figures.table(), world.common.refused, world.tally(), start.elapsed());
        eprintln!("{:?}", world.figures.by_call);
        lived.unwrap();
    }
}

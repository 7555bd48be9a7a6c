//! Small worlds, one for each finding; a seeded region with known sabotage; the logs by themselves.

mod erased;
mod lapsed;
mod limits;
mod logs;
mod region;
mod small;
mod world;

//! The bodies as a library for cargo-fuzz; `fuzz_targets/` calls one each.

pub mod bodies;
#[path = "../invented.rs"]
mod invented;

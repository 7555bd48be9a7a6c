//! Everything that needs the whole house. One linked binary; `tests/README.md` says which file proves what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod cmd;
#[path = "../crates/cli/src/free_port.rs"]
mod free_port;
mod fuzz;
mod generated;
mod interop;
mod invented;
mod layers;
mod mesh;
mod model;
mod mutants;
mod sim;

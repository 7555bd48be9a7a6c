//! What a message is, who may say it, and what happens to it on the way.
//!
//! Pure: no I/O, no clock, no global randomness. `now` and `rng` are arguments. Bodies are carried sealed and are
//! never understood here; `casework` gives them meaning.
#![deny(missing_docs)]

pub mod account;
pub mod alarm;
pub mod answers;
pub mod audit;
pub mod bare;
pub mod canon;
pub mod ceremony;
pub mod chunked;
pub mod clocks;
pub mod directory;
pub mod envelope;
pub mod erased;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod ids;
pub mod keys;
pub mod labels;
pub mod limits;
pub mod log;
pub mod mail;
pub mod merkle;
pub mod pae;
pub mod prekeys;
pub mod proofs;
pub mod receipt;
pub mod reconcile;
pub mod recovery;
pub mod refusal;
pub mod relay;
pub mod rows;
pub mod signed;
#[cfg(test)]
mod vectors;
pub mod words;

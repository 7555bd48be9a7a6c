//! What a message is, who may say it, and what happens to it on the way.
//!
//! Pure: no I/O, no clock, no global randomness. `now` and `rng` are arguments. Bodies are carried sealed and are
//! never understood here; `casework` gives them meaning.
#![deny(missing_docs)]

pub mod ids;
pub mod labels;
pub mod limits;
pub mod rows;

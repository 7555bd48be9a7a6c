//! What a case message means: consent, notices, profiles, case states, timers and the HTCDS data standard.
//!
//! Pure: no I/O, no clock, no global randomness. `now` and `rng` are arguments; files come in as bytes.
#![deny(missing_docs)]

pub mod body;
pub mod case;
pub mod consent;
pub mod deadlines;
pub mod forms;
pub mod htcds;
pub mod office;
pub mod refusal;
pub mod roles;

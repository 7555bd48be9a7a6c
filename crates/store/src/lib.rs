//! Where a node keeps what it must not lose: the contract, its back ends, the vault that seals what goes in.
//!
//! Refuses to see plaintext: below the vault, values are sealed and keys are blinded. Imports `protocol` for its names
//! and rows, and nothing that talks to a network.
//!
//! * [`contract`]: the [`Store`] trait and what it promises. Read this first.
//! * `memory`: the back end of the simulation.
//! * `durable`: the back end of a node. The journal is the truth, sled is an index derived from it.
#![deny(missing_docs)]

pub mod changes;
pub mod contract;
pub mod finding;

pub use changes::{Changes, EventLeaf, Key, Put, Refusal};
pub use contract::{CommitError, Page, Stats, Store, StoreError};
pub use finding::{Finding, Weight};

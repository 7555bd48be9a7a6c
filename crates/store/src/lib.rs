//! Where a node keeps what it must not lose: the contract, its back ends, the vault that seals what goes in.
//!
//! Refuses to see plaintext: below the vault, values are sealed and keys are blinded. Imports `protocol` for its names
//! and rows, and nothing that talks to a network.
//!
//! * [`contract`]: the [`Store`] trait and what it promises. Read this first.
//! * [`memory`]: the back end of the simulation.
//! * [`durable`]: the back end of a node. The journal is the truth, sled is an index derived from it.
//! * [`vault`]: seals rows on their way in and opens them on their way out; [`erasure`] makes an erasure final.
//! * [`backup`]: a copy of all of it, and its keys sealed to the recovery key.
//! * [`answers`]: known answers of its own primitives, for a running program.
//! * [`keyfile`]: the small file outside the store that opens everything in it; [`heads`]: what was signed last.
#![deny(missing_docs)]

mod aead;
pub mod answers;
mod archive;
#[cfg(test)]
mod at_rest;
pub mod backup;
mod bodies;
mod census;
pub mod changes;
mod compaction;
pub mod conformance;
pub mod contract;
mod derive;
pub mod durable;
mod entry;
pub mod erasure;
pub mod faulty;
mod files;
pub mod finding;
mod folder;
mod format;
pub mod heads;
mod index;
mod journal;
pub mod keyfile;
pub mod ledger;
pub mod memory;
mod opening;
pub mod passphrase;
#[cfg(feature = "planted")]
mod planted;
pub mod private_file;
#[cfg(feature = "probe")]
pub mod probe;
mod record;
pub mod room;
mod scrub;
pub mod secret;
mod segment;
mod shelf;
mod snapshot;
pub mod tile_files;
pub mod vault;
mod view;

pub use changes::{Changes, EventLeaf, Key, Put, Refusal};
pub use contract::{CommitError, Page, Stats, Store, StoreError};
pub use durable::DurableStore;
pub use finding::{Finding, Weight};
pub use folder::OpenError;
pub use memory::MemoryStore;

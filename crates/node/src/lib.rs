//! The shell of a node: sockets, TLS, time and tasks around the pure rooms. The only room that touches the world.
//!
//! Decides nothing about a message: it verifies beside the owner, lets the office decide, commits, and only then acts.
//! Knows no cipher and no store by name beyond starting them.

mod ahead;
pub mod alarms;
pub mod backup;
pub mod calls;
pub mod clock;
pub mod config;
pub mod control;
pub mod courier;
pub mod door;
pub mod echo;
pub mod erasing;
pub mod fetcher;
mod findings;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fixture;
pub mod ground;
pub mod handle;
pub mod limits;
pub mod listener;
pub mod log;
pub mod membership;
pub mod opener;
pub mod owner;
pub mod prekeys;
pub mod pressing;
#[cfg(feature = "probe")]
pub mod probe;
pub mod reconcile;
pub mod relay;
pub mod restored;
pub mod retention;
pub mod rpc;
pub mod serve;
pub mod setup;
pub mod sync;
pub mod tls;

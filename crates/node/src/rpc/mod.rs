//! Node to node over gRPC: the services, both ends of each, and the one place that knows gRPC codes.
//!
//! Refuses to decide anything about a message: that is the door's business, see [`server::Door`].

pub mod client;
mod codec;
mod contain;
mod descriptor;
pub mod mailboxes;
#[cfg(test)]
mod matrix;
pub mod server;
mod shape;
pub mod status;
mod sync;

pub(crate) use contain::contained;
pub use descriptor::DESCRIPTOR_SET;

/// Whether a message of this kind is decoded at all.
#[cfg(feature = "probe")]
pub(crate) fn fits<M: prost::Name>(bytes: &[u8]) -> bool {
    shape::Shape::of::<M>().holds(bytes)
}

/// Generated from the services of `proto/clearhouse/v1`; messages come from [`clearhouse_wire::v1`].
#[allow(unreachable_pub, dead_code, clippy::all, clippy::pedantic, clippy::restriction, missing_docs)]
pub(crate) mod stubs {
    include!("gen/clearhouse.v1.rs");
}

#[cfg(test)]
pub(crate) mod tests;

//! The desk: pages for caseworkers and the coordinator's view, served on loopback over the node's handle.
//!
//! A door without pages yet. It will refuse every peer that is not this computer, and will know nothing of wires, keys
//! or stores: what the desk can do, the command line can do, and both ask the same handle.

#[doc(no_inline)]
pub use clearhouse_node::handle::Handle;

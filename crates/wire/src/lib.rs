//! The messages of `proto/`, as generated. Nothing here is written by hand and nothing here decides.
//!
//! Generated types have no `Debug`: many of them carry a person's data, and what cannot be printed cannot leak.

/// Messages of package `clearhouse.v1`.
#[allow(unreachable_pub, clippy::all, clippy::pedantic, missing_docs)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/clearhouse.v1.rs");
}

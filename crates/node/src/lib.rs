//! node

pub mod limits;
pub mod listener;
pub mod rpc;
pub mod tls;

//! node

pub mod config;
pub mod control;
pub mod limits;
pub mod listener;
pub mod rpc;
pub mod tls;

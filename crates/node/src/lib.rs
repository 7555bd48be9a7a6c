//! node

pub mod limits;
pub mod tls;

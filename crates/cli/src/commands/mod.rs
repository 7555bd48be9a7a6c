//! One file per command: what can be typed, what is asked of the node, what is done without one.

pub(crate) mod arrival;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod case;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consent;
pub(crate) mod directory;
pub(crate) mod doors;
pub(crate) mod import;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod netcheck;
pub(crate) mod notice;
pub(crate) mod outbox;
pub(crate) mod profile;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod user;
pub(crate) mod version;

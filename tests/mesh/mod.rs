//! Real processes, real TLS, real files, on loopback. The region is founded by the demo's own code; what is tried is
//! the program itself.

#[allow(dead_code, reason = "the demo uses all of it, the tests a part")]
#[path = "../../crates/cli/src/demo/region.rs"]
mod region;

#[path = "../../crates/cli/src/fresh_folder.rs"]
mod fresh_folder;

mod account;
mod alarm;
mod backup;
mod backup_age;
mod backup_keys;
mod bad_input;
mod behind;
mod canaries;
mod damages;
mod directory_log;
mod erasure;
mod erasure_kills;
mod every_call;
mod failing_disk;
mod fulldisk;
mod held;
mod histories;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod hosts;
mod kill;
mod load;
mod memory_bounds;
mod netcheck;
mod notice;
mod old_image;
mod powercut;
mod recovery;
mod relay;
mod revoked;
mod schedule;
mod sync;
mod twin;
mod witness;
mod witness_beats;

use std::path::Path;

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::ControlFailure;
use region::Region;

/// The region's code names its processes here, for a program that is asked to end. A test ends them by dropping them.
mod interrupt {
    pub(super) fn started(_: u32) {}
    pub(super) fn over(_: u32) {}
}

/// What the region's code tells when something does not work.
pub(crate) struct Failure {
    code: String,
    text: String,
}

impl Failure {
    fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }

    fn bug(what: &str) -> Self {
        Self::new("bug", what)
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl From<ControlFailure> for Failure {
    fn from(failure: ControlFailure) -> Self {
        Self { code: failure.code, text: failure.text }
    }
}

fn found(config: &str) -> Region {
    let program = Path::new(env!("CARGO_BIN_EXE_clearhouse"));
    Region::found_with(program, config, false, SystemClock.now()).unwrap()
}

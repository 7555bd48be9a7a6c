//! The one place that reads the clock and the one that draws chance. Everything else takes them as arguments.

use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Unix seconds.
    fn now(&self) -> u64;
}

/// The machine's clock. Before 1970 counts as 1970: then nothing is valid and nothing is erased.
#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }
}

/// The operating system's generator. A machine that has none stops the process: keys need it.
pub type Chance = UnwrapErr<SysRng>;

/// A generator fit for keys.
#[must_use]
pub fn chance() -> Chance {
    UnwrapErr(SysRng)
}

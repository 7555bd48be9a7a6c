//! The one place that reads the clocks and the one that draws chance. Everything else takes them as arguments.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use clearhouse_protocol::clocks::watch::{Doubt, Watch};
use clearhouse_protocol::clocks::{Off, Reading};
use clearhouse_protocol::ids::OrgId;
use getrandom::SysRng;
use rand_core::UnwrapErr;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time to go by, unix seconds.
    fn now(&self) -> u64;

    /// The time that more than one clock vouches for, never later than [`Clock::now`]. Only by this one may anything
    /// expire or be erased.
    fn sure(&self) -> u64 {
        self.now()
    }

    /// Whether another node's clock has agreed with this one since the start.
    fn is_confirmed(&self) -> bool {
        true
    }

    /// Why the machine's clock is not trusted. Then no letter is opened, and no message of a case sealed.
    fn doubt(&self) -> Option<Doubt> {
        None
    }

    /// What the machine's clock shows, trusted or not: what others are told, who compare it with theirs. Two nodes that
    /// both wait for somebody else's word would otherwise wait for each other.
    fn wall(&self) -> u64 {
        self.now()
    }

    /// Seconds this machine is up: to measure how long something took.
    fn up(&self) -> u64 {
        self.now()
    }

    /// Takes down what the clock of a node of `org` showed when this machine had been up for so long.
    fn hear(&self, org: OrgId, theirs: u64, up: u64) {
        let _ = (org, theirs, up);
    }

    /// Takes down that somebody else signed `time`.
    fn attest(&self, time: u64) {
        let _ = time;
    }

    /// How far the machine's clock is off, as others say, if that is more than letters allow.
    fn off(&self) -> Option<Off> {
        None
    }
}

/// The machine's clock as it stands. Before 1970 counts as 1970: then nothing is valid and nothing is erased.
#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }
}

/// A node's clock: the machine's, judged by what was signed before, by a counter that nobody sets, and by other nodes.
pub struct JudgedClock {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    watch: Mutex<Watch>,
}

impl JudgedClock {
    /// The machine's clock, held against the newest time that was signed here and elsewhere, unix seconds.
    #[must_use]
    pub fn of_machine(signed: u64, attested: u64) -> Self {
        Self::over(|| Reading { wall: SystemClock.now(), up: up() }, signed, attested)
    }

    /// A clock read by `read`.
    #[must_use]
    pub fn over(read: impl Fn() -> Reading + Send + Sync + 'static, signed: u64, attested: u64) -> Self {
        let watch = Mutex::new(Watch::begin(read(), signed, attested));
        Self { read: Box::new(read), watch }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for JudgedClock {
    fn now(&self) -> u64 {
        // Read under the lock: of two readings the older must not be judged after the newer.
        let mut watch = self.watch();
        let before = watch.doubt();
        let now = watch.read((self.read)());
        match (before, watch.doubt()) {
            (None, Some(doubt)) => {
                tracing::error!(%doubt, "this machine's clock is not trusted; no letter is opened, no message of a case sealed")
            }
            (Some(_), None) => tracing::info!("this machine's clock is trusted again"),
            _ => {}
        }
        now
    }

    fn sure(&self) -> u64 {
        let mut watch = self.watch();
        watch.sure((self.read)())
    }

    fn is_confirmed(&self) -> bool {
        self.now();
        self.watch().is_confirmed()
    }

    fn doubt(&self) -> Option<Doubt> {
        self.now();
        self.watch().doubt()
    }

    fn wall(&self) -> u64 {
        (self.read)().wall
    }

    fn up(&self) -> u64 {
        (self.read)().up
    }

    fn hear(&self, org: OrgId, theirs: u64, up: u64) {
        self.watch().hear(org, theirs, up);
    }

    fn attest(&self, time: u64) {
        self.watch().attest(time, (self.read)());
    }

    fn off(&self) -> Option<Off> {
        let reading = (self.read)();
        self.watch().others().off(reading)
    }
}

/// Seconds since this machine was started, sleep included.
fn up() -> u64 {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(at.tv_sec).unwrap_or(0)
}

/// The operating system's generator. A machine that has none stops the process: keys need it.
pub type Chance = UnwrapErr<SysRng>;

/// A generator fit for keys.
#[must_use]
pub fn chance() -> Chance {
    UnwrapErr(SysRng)
}

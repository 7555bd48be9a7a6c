//! Which time a node goes by (promise P22): its machine's clock for as long as nothing speaks against it, and otherwise
//! the last time that was believed, carried on by a counter that nobody can set.
//!
//! What speaks against a clock: it lies behind what was signed already; it is weeks ahead of all that is known, and
//! nobody confirms it; it leaps while the machine runs; two other organisations and more say otherwise. A clock in doubt
//! is told, and by it no letter is opened, no message of a case sealed and no log cosigned ([`Watch::doubt`]); what has to
//! go on, such as reading a case, or taking down and telling that she withdraws, goes by a time that lags, not leads.
//!
//! Refuses to let anything end by one clock alone: what expires or is erased goes by [`Watch::sure`].

use std::fmt;

use super::{Clocks, Reading};
use crate::ids::OrgId;
use crate::limits::{DAY, DESCRIPTOR_AHEAD_SECS, HOUR, SKEW_SECS};

/// How long a node may have been off and its clock be believed without anybody's word: an office's holidays. A clock that
/// lies further ahead of all that is known waits for one other node.
pub const AWAY_MAX_SECS: u64 = 21 * DAY;
/// Other organisations' nodes that must contradict a clock for it to be doubted: one may be the one that is wrong.
pub const CONTRADICTING_MIN: usize = 2;
/// How often the believed reading is taken anew, so that a clock that is slowly set right is followed.
const BELIEVED_ANEW: u64 = HOUR;

/// Why a clock is not trusted. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It lies so far behind what was signed already.
    Behind(u64),
    /// It lies so far ahead of everything known, and nobody has confirmed it since the start.
    Ahead(u64),
    /// It was set by so much while the machine ran; ahead when positive.
    Leapt(i64),
    /// Other nodes say that it is off by so much; ahead when positive.
    Contradicted {
        /// By the middle of what they say.
        ahead: i64,
        /// How many organisations were heard.
        others: usize,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |ahead: i64| if ahead > 0 { "ahead" } else { "back" };
        match self {
            Self::Behind(by) => write!(f, "it shows a time {} before what was signed here or by others", Span(*by)),
            Self::Ahead(by) => {
                write!(f, "it is {} ahead of all that is known here, and nobody has confirmed it", Span(*by))
            }
            Self::Leapt(by) => write!(f, "it was set {} {} while the node ran", way(*by), Span(by.unsigned_abs())),
            Self::Contradicted { ahead, others } => {
                let way = if *ahead > 0 { "ahead of" } else { "behind" };
                write!(f, "it is {} {way} those of {others} other organisations", Span(ahead.unsigned_abs()))
            }
        }
    }
}

/// A length of time for a person.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            secs if secs >= 2 * DAY => write!(f, "{} days", secs / DAY),
            secs if secs >= 2 * HOUR => write!(f, "{} hours", secs / HOUR),
            secs => write!(f, "{} minutes", secs / 60),
        }
    }
}

/// Judges one machine's clock over one run of the node.
#[derive(Clone)]
pub struct Watch {
    begun: Reading,
    /// The newest time that was signed, here or elsewhere, before the start.
    signed: u64,
    /// The newest time that somebody else signed, and when that was read.
    attested: Reading,
    /// The last reading that was believed, if one was.
    believed: Option<Reading>,
    /// The newest time that was gone by, and when.
    shown: Reading,
    /// Somebody else's clock agreed with a believed reading of this run.
    confirmed: bool,
    doubt: Option<Doubt>,
    others: Clocks,
}

impl Watch {
    /// Begins at `reading`. `signed` is the newest time this node signed or recorded, `attested` the newest that somebody
    /// else did, both unix seconds, 0 when there is none.
    #[must_use]
    pub fn begin(reading: Reading, signed: u64, attested: u64) -> Self {
        let (begun, others) = (reading, Clocks::default());
        let attested = Reading { wall: attested, up: reading.up };
        let shown = Reading { wall: 0, up: reading.up };
        let mut watch = Self { begun, signed, attested, believed: None, shown, confirmed: false, doubt: None, others };
        watch.read(reading);
        watch
    }

    /// The time to go by at `reading`, unix seconds. Goes back only when other nodes say that it was ahead.
    pub fn read(&mut self, reading: Reading) -> u64 {
        let agreed = self.agree(reading);
        let before = self.doubt;
        self.doubt = self.judge(reading, agreed).err();
        if before.is_none() && matches!(self.doubt, Some(Doubt::Leapt(_))) {
            // Either the wall leapt, or the machine stood still and with it what was heard: who is heard from now on knows.
            self.others = Clocks::default();
        }
        if self.doubt.is_some() {
            return self.slow(reading);
        }
        self.confirmed |= agreed;
        let lasting = self.believed.filter(|last| !agreed && reading.up.saturating_sub(last.up) < BELIEVED_ANEW);
        self.believed = lasting.or(Some(reading));
        let set_right = agreed && self.shown.wall.saturating_sub(reading.wall) > SKEW_SECS;
        let wall = if set_right { reading.wall } else { self.shown.wall.max(reading.wall) };
        self.shown = Reading { wall, ..reading };
        wall
    }

    /// The time to go by while the clock is in doubt. Where it lies ahead of the guess it goes on at half the pace until it
    /// is caught up: standing still, nothing would be tried again by it, such as telling that she withdraws.
    fn slow(&mut self, reading: Reading) -> u64 {
        let half = reading.up.saturating_sub(self.shown.up) / 2;
        // An odd second is kept for the next reading: they come more often than that.
        let gone_by = Reading { wall: self.shown.wall.saturating_add(half), up: self.shown.up + 2 * half };
        let guess = Reading { wall: self.guess(reading), ..reading };
        self.shown = if guess.wall >= gone_by.wall { guess } else { gone_by };
        self.shown.wall
    }

    /// The time at `reading` that more than this clock vouches for: nothing may expire or be erased by a later one.
    pub fn sure(&mut self, reading: Reading) -> u64 {
        let now = self.read(reading);
        if self.confirmed { now } else { now.min(carried(self.attested, reading)) }
    }

    /// Whether somebody else's clock agreed with a believed reading of this run.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Why the clock is not trusted, as of the last reading.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// What other nodes say.
    #[must_use]
    pub fn others(&self) -> &Clocks {
        &self.others
    }

    /// Takes down what the clock of a node of `org` showed when this machine had been up for `up`.
    pub fn hear(&mut self, org: OrgId, theirs: u64, up: u64) {
        self.others.hear(org, theirs, up);
    }

    /// Takes down at `reading` that somebody else signed `time`.
    pub fn attest(&mut self, time: u64, reading: Reading) {
        if time > carried(self.attested, reading) {
            self.attested = Reading { wall: time, up: reading.up };
        }
    }

    /// All that is known of the time without the clock on the wall, carried on.
    fn known(&self, reading: Reading) -> u64 {
        carried(Reading { wall: self.signed, ..self.begun }, reading).max(carried(self.attested, reading))
    }

    /// Whether another node was heard and the middle of them agrees with the wall.
    fn agree(&self, reading: Reading) -> bool {
        self.others.agree(reading)
    }

    fn judge(&self, reading: Reading, agreed: bool) -> Result<(), Doubt> {
        if agreed {
            return Ok(());
        }
        if let Some(off) = self.others.off(reading).filter(|off| off.others >= CONTRADICTING_MIN) {
            return Err(Doubt::Contradicted { ahead: off.ahead, others: off.others });
        }
        if let Some(last) = self.believed {
            let leap = i128::from(reading.wall) - i128::from(carried(last, reading));
            let leap = i64::try_from(leap).unwrap_or(if leap < 0 { i64::MIN } else { i64::MAX });
            return if leap.unsigned_abs() <= SKEW_SECS { Ok(()) } else { Err(Doubt::Leapt(leap)) };
        }
        if self.signed.max(self.attested.wall) == 0 {
            return Ok(());
        }
        let known = self.known(reading);
        // Others may sign that much ahead, so one of them must not put this clock into doubt.
        let own = carried(Reading { wall: self.signed, ..self.begun }, reading);
        let least = own.saturating_sub(SKEW_SECS).max(known.saturating_sub(DESCRIPTOR_AHEAD_SECS + SKEW_SECS));
        if reading.wall < least {
            return Err(Doubt::Behind(known - reading.wall));
        }
        let ahead = reading.wall.saturating_sub(known);
        if ahead > AWAY_MAX_SECS { Err(Doubt::Ahead(ahead)) } else { Ok(()) }
    }

    /// The time to go by while the clock is in doubt: what was last believed, or all that is known, carried on. Where
    /// others contradict it, no later than they say.
    fn guess(&self, reading: Reading) -> u64 {
        let guess = self.believed.map_or_else(|| self.known(reading), |last| carried(last, reading));
        let middle = self.others.distance(reading).filter(|off| off.others >= CONTRADICTING_MIN);
        middle.map_or(guess, |off| guess.min(reading.wall.saturating_add_signed(off.ahead.saturating_neg())))
    }
}

/// What a clock that showed `from` shows now.
fn carried(from: Reading, now: Reading) -> u64 {
    from.wall.saturating_add(now.up.saturating_sub(from.up))
}

#[cfg(test)]
mod tests;

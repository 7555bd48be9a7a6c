//! What time it is, as far as that can be known: by this machine's clock, and by those of other nodes over lines that
//! proved their keys.
//!
//! [`Clocks`] remembers what others say. [`watch`] judges by it, and by what was signed before, which time to go by.

pub mod watch;

use std::collections::BTreeMap;

use crate::ids::OrgId;
use crate::limits::{DAY, SKEW_SECS};

/// One look at this machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the clock on the wall shows, unix seconds. Anybody may set it.
    pub wall: u64,
    /// Seconds that passed since some moment of this run of the machine, sleep included. Nobody sets it.
    pub up: u64,
}

/// Organisations whose clocks are remembered. The one heard longest ago makes way.
const HEARD_MAX: usize = 64;
/// How long what was heard counts, by this machine's uptime: a machine that was stopped for a while has a wrong one.
const HEARD_SECS: u64 = DAY;

/// What others' clocks said last.
#[derive(Clone, Default)]
pub struct Clocks {
    /// What a clock of each organisation showed when this machine's uptime was nothing, and at which uptime it was heard.
    /// Held against the uptime, what was heard stays true when somebody sets the clock on the wall. One voice each: whoever
    /// runs many nodes does not outvote the rest.
    heard: BTreeMap<OrgId, (i128, u64)>,
}

/// That this clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Off {
    /// By how many seconds this clock is ahead of the others; behind when negative.
    pub ahead: i64,
    /// How many organisations' nodes were heard.
    pub others: usize,
}

impl Clocks {
    /// Remembers what the clock of a node of `org` said when this machine had been up for `up`.
    pub fn hear(&mut self, org: OrgId, theirs: u64, up: u64) {
        self.heard.insert(org, (i128::from(theirs) - i128::from(up), up));
        if self.heard.len() > HEARD_MAX {
            let oldest = self.heard.iter().filter(|(heard, _)| **heard != org).min_by_key(|(_, (_, up))| *up);
            let oldest = oldest.map(|(heard, _)| *heard);
            oldest.and_then(|heard| self.heard.remove(&heard));
        }
    }

    /// Whether, and how far, the clock on the wall is off by more than a letter allows ([`SKEW_SECS`]).
    #[must_use]
    pub fn off(&self, at: Reading) -> Option<Off> {
        self.distance(at).filter(|off| off.ahead.unsigned_abs() > SKEW_SECS)
    }

    /// How far the clock on the wall is from the middle of what others say, so that fewer than half of them cannot make it
    /// look wrong. Of two, the one that says less counts, and nothing where it lies between them. `None` when nobody was
    /// heard.
    #[must_use]
    pub fn distance(&self, at: Reading) -> Option<Off> {
        let (low, high, others) = self.middle(at)?;
        let ahead = if low.signum() != high.signum() {
            0
        } else if low.unsigned_abs() < high.unsigned_abs() {
            low
        } else {
            high
        };
        Some(Off { ahead, others })
    }

    /// Whether somebody was heard, and the middle of what others say is within what a letter allows ([`SKEW_SECS`]): of two,
    /// one of them. A clock between two that are both far from it has nobody's word.
    #[must_use]
    pub fn agree(&self, at: Reading) -> bool {
        self.middle(at).is_some_and(|(low, high, _)| low.unsigned_abs().min(high.unsigned_abs()) <= SKEW_SECS)
    }

    /// How far the clock is ahead of the two in the middle of what others say, one of an odd number, and how many there are.
    fn middle(&self, at: Reading) -> Option<(i64, i64, usize)> {
        let origin = i128::from(at.wall) - i128::from(at.up);
        let near = |ahead: i128| i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        let lasting = self.heard.values().filter(|(_, up)| at.up.saturating_sub(*up) <= HEARD_SECS);
        let mut all: Vec<i64> = lasting.map(|(theirs, _)| near(origin - theirs)).collect();
        all.sort_unstable();
        Some((*all.get(all.len().checked_sub(1)? / 2)?, *all.get(all.len() / 2)?, all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOUR;

    const NOW: u64 = 1_794_657_600;

    const UP: u64 = 77;
    const AT: Reading = Reading { wall: NOW, up: UP };

    fn heard(said: &[u64]) -> Clocks {
        let mut clocks = Clocks::default();
        said.iter().zip(1u8..).for_each(|(theirs, n)| clocks.hear(OrgId([n; 16]), *theirs, UP));
        clocks
    }

    #[test]
    fn attack_38_three_days_either_way_are_told_and_ten_minutes_are_not() {
        let days = 3 * DAY;
        let off = heard(&[NOW - days, NOW - days + 5, NOW - days - 5]).off(AT).unwrap();
        assert_eq!((off.ahead, off.others), (259_200, 3));
        assert_eq!(heard(&[NOW + days; 4]).off(AT).map(|off| off.ahead), Some(-259_200));
        assert_eq!(heard(&[NOW + SKEW_SECS, NOW + SKEW_SECS]).off(AT), None);
        assert_eq!(heard(&[]).off(AT), None);
        assert_eq!(heard(&[0, 0]).off(AT).map(|off| off.ahead), Some(1_794_657_600));
        assert!(heard(&[u64::MAX]).off(AT).is_some());
        // Further off than can be written is as far off as can be, and on the right side.
        let far = |theirs: u64, wall: u64| heard(&[theirs]).distance(Reading { wall, up: UP }).map(|off| off.ahead);
        assert_eq!([far(0, u64::MAX), far(u64::MAX, 0)], [Some(i64::MAX), Some(i64::MIN)]);
    }

    #[test]
    fn a_clock_between_two_that_are_both_wrong_has_nobodys_word() {
        let days = 3 * DAY;
        let agree = |said: &[u64]| heard(said).agree(AT);
        assert!(!agree(&[]) && !agree(&[NOW - days]) && agree(&[NOW - SKEW_SECS]) && !agree(&[NOW + SKEW_SECS + 1]));
        assert!(!agree(&[NOW - days, NOW + days]), "nor is it contradicted");
        assert_eq!(heard(&[NOW - days, NOW + days]).off(AT), None);
        assert!(agree(&[NOW - days, NOW + 5]) && agree(&[NOW + 5, NOW + days]));
        assert!(agree(&[NOW - days, NOW, NOW + days]) && !agree(&[NOW - days, NOW - days, NOW + days, NOW + days]));
    }

    #[test]
    fn fewer_than_half_that_lie_are_not_believed() {
        let lie = NOW + 30 * DAY;
        assert_eq!(heard(&[NOW, lie]).off(AT), None, "one against one");
        assert_eq!(heard(&[NOW, NOW, lie]).off(AT), None);
        assert_eq!(heard(&[NOW, NOW, lie, lie]).off(AT), None);
        assert!(heard(&[lie]).off(AT).is_some());
        assert_eq!(heard(&[NOW - 30 * DAY, lie]).off(AT), None, "they contradict each other");
    }

    #[test]
    fn the_newest_word_of_a_node_counts_and_few_are_remembered() {
        let mut clocks = heard(&[NOW + DAY]);
        clocks.hear(OrgId([1; 16]), NOW, UP);
        assert_eq!(clocks.off(AT), None);
        for n in 0..1000u128 {
            clocks.hear(OrgId(n.to_be_bytes()), NOW, UP);
        }
        assert_eq!(clocks.heard.len(), HEARD_MAX);
        // Of those, whoever was heard longest ago makes room, and never who is heard now.
        clocks.hear(OrgId([0xfe; 16]), NOW, UP - 1);
        assert!(clocks.heard.contains_key(&OrgId([0xfe; 16])));
        clocks.hear(OrgId([0xfd; 16]), NOW, UP);
        assert!(!clocks.heard.contains_key(&OrgId([0xfe; 16])) && clocks.heard.contains_key(&OrgId([0xfd; 16])));
        assert_eq!(clocks.distance(Reading { wall: NOW, up: UP + DAY }).map(|off| off.others), Some(HEARD_MAX));
        assert_eq!(clocks.distance(Reading { wall: NOW, up: UP + DAY + 1 }), None, "of yesterday");
    }

    #[test]
    fn what_was_heard_stays_true_when_the_clock_on_the_wall_is_set() {
        let clocks = heard(&[NOW, NOW + 2, NOW - 2]);
        assert_eq!(clocks.off(Reading { wall: NOW + HOUR, up: UP + HOUR }), None);
        let off = clocks.off(Reading { wall: NOW + DAY + HOUR, up: UP + HOUR });
        assert_eq!(off, Some(Off { ahead: 86_400, others: 3 }));
    }
}

//! Which weeks a node has prekeys for, and when a past one has done its work. Refuses to hold a secret: it speaks of
//! week numbers (Unix time divided by [`WEEK`]).

use std::ops::Range;

use crate::limits::{PREKEY_KEEP_MAX_SECS, PREKEY_WEEKS, WEEK};

/// The weeks to publish: this one and the next four.
#[must_use]
pub fn published(now: u64) -> Range<u64> {
    now / WEEK..(now / WEEK).saturating_add(PREKEY_WEEKS)
}

/// True when a week ended so long ago that no envelope sealed to its prekey can still be valid (protocol study 7.1: at
/// the latest after 35 days; an envelope lives for 30 at most).
///
/// Two clocks must say so: ours, and the newest time that another party signed (`heard`). A seed that is gone is gone,
/// and a clock that jumped ahead must not be able to lose letters that are on their way.
#[must_use]
pub fn is_outlived(week: u64, now: u64, heard: Option<u64>) -> bool {
    let ended = week.saturating_add(1).saturating_mul(WEEK);
    heard.is_some_and(|heard| ended.saturating_add(PREKEY_KEEP_MAX_SECS) <= now.min(heard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DAY;

    const END: u64 = 3000 * WEEK;

    #[test]
    fn a_week_is_kept_for_thirty_five_days_after_its_end() {
        let later = |days: u64| is_outlived(2999, END + days * DAY, Some(END + 400 * DAY));
        assert!(!later(0) && !later(14) && !later(34) && later(35));
        assert!(!is_outlived(2999, END + 35 * DAY - 1, Some(END + 400 * DAY)));
    }

    #[test]
    fn one_clock_alone_outlives_nothing() {
        assert!(!is_outlived(2999, END + 3650 * DAY, None));
        assert!(!is_outlived(2999, END + 3650 * DAY, Some(END + 34 * DAY)));
        assert!(!is_outlived(2999, 0, Some(END + 400 * DAY)));
    }

    #[test]
    fn what_is_published_is_never_outlived() {
        for now in [0, END, END + 1, 1 << 40] {
            assert!(published(now).all(|week| !is_outlived(week, now, Some(u64::MAX))));
        }
    }
}

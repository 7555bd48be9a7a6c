//! How long is too long: the thresholds of reconciliation. Defaults of protocol section 7.8; a network may choose
//! others. Refuses nothing: a policy of zeros finds fault with everything.

use crate::limits::{DAY, HOUR, OPENING_STEP_SECS, SKEW_SECS};

/// Thresholds. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From sent to received.
    pub received_within_secs: u64,
    /// From received to opened by a person.
    pub opened_within_secs: u64,
    /// How long an opening may be late, and how long an account may be late when an alarm waits for it.
    pub grace_secs: u64,
    /// How long an alarm that one end raises waits for the word of the other end.
    pub alarm_wait_secs: u64,
    /// From the last cosignatures of a log on.
    pub head_stale_secs: u64,
    /// How far clocks may be apart.
    pub skew_secs: u64,
    /// Fewest open messages with which a corridor is shown in figures.
    pub min_cell: u64,
    /// Fewest refused messages of one sender that are worth a finding.
    pub probing_count: u64,
    /// Refused messages of one sender, in percent of all that were received from it, above which it is unusual.
    pub probing_percent: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            received_within_secs: 72 * HOUR,
            opened_within_secs: 72 * HOUR,
            grace_secs: DAY,
            alarm_wait_secs: HOUR,
            head_stale_secs: 48 * HOUR,
            skew_secs: SKEW_SECS,
            min_cell: 11,
            probing_count: 20,
            probing_percent: 25,
        }
    }
}

impl Policy {
    /// What two clocks and the steps of opening times can be apart together.
    #[must_use]
    pub fn slack_secs(&self) -> u64 {
        self.skew_secs.saturating_add(OPENING_STEP_SECS)
    }
}

//! Which directory logs are read in a round: so many in their turn, and all of them after a start and after a sleep.
//!
//! Asks no clock and reads nothing.

use std::time::Duration;

use clearhouse_protocol::ids::NodeId;

/// Pauses after which a node that was suspended reads every log, as one that starts does.
const SLEPT_PAUSES: u64 = 3;

/// Whose turn it is, and when it was last asked, in unix seconds; at a start never.
#[derive(Default)]
pub(super) struct Turns {
    next: usize,
    looked: u64,
}

impl Turns {
    /// The logs of this round: the next `each` of `logs`, each at most once, or all of them when the last round is longer
    /// ago than a node that is awake would leave it.
    pub(super) fn due(&mut self, logs: &[NodeId], each: usize, pause: Duration, now: u64) -> Vec<NodeId> {
        let slept = now.saturating_sub(self.looked) > SLEPT_PAUSES * pause.as_secs().max(1);
        let count = if slept { logs.len() } else { each.min(logs.len()) };
        let due = logs.iter().cycle().skip(self.next).take(count).copied().collect();
        (self.next, self.looked) = ((self.next + count) % logs.len().max(1), now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const PAUSE: Duration = Duration::from_secs(60);

    fn logs(count: u8) -> Vec<NodeId> {
        (1..=count).map(|n| NodeId([n; 16])).collect()
    }

    #[test]
    fn so_many_a_round_are_read_in_their_turn_and_none_is_left_out() {
        let (all, mut turns) = (logs(5), Turns::default());
        assert_eq!(turns.due(&all, 2, PAUSE, NOW), all, "a start reads all");
        let rounds: Vec<Vec<NodeId>> = (1..=5).map(|n| turns.due(&all, 2, PAUSE, NOW + n * 60)).collect();
        assert!(rounds.iter().all(|due| due.len() == 2 && due[0] != due[1]));
        assert_eq!(rounds[0], all[..2]);
        assert_eq!(rounds[2], [all[4], all[0]], "around the end");
        assert!(all.iter().all(|log| rounds.concat().iter().filter(|read| *read == log).count() == 2));
    }

    #[test]
    fn who_slept_reads_all_and_who_was_only_late_does_not() {
        let (all, mut turns) = (logs(4), Turns::default());
        turns.due(&all, 1, PAUSE, NOW);
        assert_eq!(turns.due(&all, 1, PAUSE, NOW + 180).len(), 1, "three pauses may be a slow round");
        assert_eq!(turns.due(&all, 1, PAUSE, NOW + 180 + 181).len(), 4);
        assert_eq!(turns.due(&all, 1, PAUSE, NOW + 400).len(), 1);
        // A clock set back is no sleep, and what follows is counted from there.
        assert_eq!(turns.due(&all, 1, PAUSE, NOW - 1000).len(), 1);
        assert_eq!(turns.due(&all, 1, PAUSE, NOW - 1000 + 181).len(), 4);
        // A pause below a second counts as one.
        let mut quick = Turns::default();
        quick.due(&all, 1, Duration::ZERO, NOW);
        assert_eq!(quick.due(&all, 1, Duration::ZERO, NOW + 3).len(), 1);
        assert_eq!(quick.due(&all, 1, Duration::ZERO, NOW + 7).len(), 4);
    }

    #[test]
    fn logs_that_come_and_go_between_rounds_are_followed_from_where_the_turn_is() {
        let mut turns = Turns::default();
        assert!(turns.due(&[], 2, PAUSE, NOW).is_empty());
        turns.due(&logs(5), 4, PAUSE, NOW + 60);
        let fewer = logs(3);
        assert_eq!(turns.due(&fewer, 2, PAUSE, NOW + 120), [fewer[1], fewer[2]]);
        assert_eq!(turns.due(&fewer, 9, PAUSE, NOW + 180).len(), 3, "each once");
    }
}

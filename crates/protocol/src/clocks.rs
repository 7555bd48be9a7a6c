//! How far this node's clock is off, as other nodes say over lines that proved their keys.
//!
//! Decides nothing by it: what is valid is judged by the own clock, what is erased needs another party's signature
//! ([`crate::prekeys`]). It only warns, because an office whose clock is wrong is an office whose letters are refused.

use std::collections::BTreeMap;

use crate::ids::NodeId;
use crate::limits::SKEW_SECS;

/// Nodes whose clocks are remembered. The one heard longest ago makes way.
const HEARD_MAX: usize = 64;

/// What others' clocks said last.
#[derive(Clone, Default)]
pub struct Clocks {
    heard: BTreeMap<NodeId, (i64, u64)>,
    turn: u64,
}

/// That this clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Off {
    /// By how many seconds this clock is ahead of the others; behind when negative.
    pub ahead: i64,
    /// How many nodes were heard.
    pub nodes: usize,
}

impl Clocks {
    /// Remembers what one node's clock said when ours said `ours`.
    pub fn hear(&mut self, node: NodeId, theirs: u64, ours: u64) {
        self.turn += 1;
        let ahead = i128::from(ours) - i128::from(theirs);
        let ahead = i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        self.heard.insert(node, (ahead, self.turn));
        if self.heard.len() > HEARD_MAX {
            let oldest = self.heard.iter().min_by_key(|(_, (_, turn))| *turn).map(|(node, _)| *node);
            oldest.and_then(|node| self.heard.remove(&node));
        }
    }

    /// Whether, and how far, this clock is off by more than a letter allows ([`SKEW_SECS`]): by the middle of what others
    /// say, so that fewer than half of them cannot make it look so. Of two, the one that says less counts.
    #[must_use]
    pub fn off(&self) -> Option<Off> {
        let mut all: Vec<i64> = self.heard.values().map(|(ahead, _)| *ahead).collect();
        all.sort_unstable();
        let (low, high) = (*all.get(all.len().checked_sub(1)? / 2)?, *all.get(all.len() / 2)?);
        let ahead = if low.signum() != high.signum() {
            0
        } else if low.unsigned_abs() < high.unsigned_abs() {
            low
        } else {
            high
        };
        (ahead.unsigned_abs() > SKEW_SECS).then_some(Off { ahead, nodes: all.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DAY;

    const NOW: u64 = 1_794_657_600;

    fn heard(said: &[u64]) -> Clocks {
        let mut clocks = Clocks::default();
        said.iter().zip(1u8..).for_each(|(theirs, n)| clocks.hear(NodeId([n; 16]), *theirs, NOW));
        clocks
    }

    #[test]
    fn attack_38_three_days_either_way_are_told_and_ten_minutes_are_not() {
        let days = 3 * DAY;
        let off = heard(&[NOW - days, NOW - days + 5, NOW - days - 5]).off().unwrap();
        assert_eq!((off.ahead, off.nodes), (259_200, 3));
        assert_eq!(heard(&[NOW + days; 4]).off().map(|off| off.ahead), Some(-259_200));
        assert_eq!(heard(&[NOW + SKEW_SECS, NOW + SKEW_SECS]).off(), None);
        assert_eq!(heard(&[]).off(), None);
        assert_eq!(heard(&[0, 0]).off().map(|off| off.ahead), Some(1_794_657_600));
        assert!(heard(&[u64::MAX]).off().is_some());
    }

    #[test]
    fn fewer_than_half_that_lie_are_not_believed() {
        let lie = NOW + 30 * DAY;
        assert_eq!(heard(&[NOW, lie]).off(), None, "one against one");
        assert_eq!(heard(&[NOW, NOW, lie]).off(), None);
        assert_eq!(heard(&[NOW, NOW, lie, lie]).off(), None);
        assert!(heard(&[lie]).off().is_some());
        assert_eq!(heard(&[NOW - 30 * DAY, lie]).off(), None, "they contradict each other");
    }

    #[test]
    fn the_newest_word_of_a_node_counts_and_few_are_remembered() {
        let mut clocks = heard(&[NOW + DAY]);
        clocks.hear(NodeId([1; 16]), NOW, NOW);
        assert_eq!(clocks.off(), None);
        for n in 0..1000u128 {
            clocks.hear(NodeId(n.to_be_bytes()), NOW, NOW);
        }
        assert_eq!(clocks.heard.len(), HEARD_MAX);
    }
}

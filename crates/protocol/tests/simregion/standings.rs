//! Who is passed over for now, by the rule of a node: who lied for a growing while up to 64 rounds, who was away or had
//! nothing up to four. The rule itself is a node's and tested there; this is what a run needs of it.

use std::collections::BTreeMap;

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Good,
    Barren,
    Away,
    Lied,
}

/// How each did lately: failures one after the other, and the round up to which it is passed over.
#[derive(Default)]
pub(crate) struct Standings {
    round: u64,
    of: BTreeMap<usize, (u32, u64)>,
}

impl Standings {
    pub(crate) fn begin(&mut self) {
        self.round += 1;
    }

    pub(crate) fn is_passed_over(&self, place: usize) -> bool {
        self.of.get(&place).is_some_and(|(_, until)| *until > self.round)
    }

    pub(crate) fn ended(&mut self, place: usize, ending: Ending) {
        let most = match ending {
            Ending::Good => {
                self.of.remove(&place);
                return;
            }
            Ending::Barren | Ending::Away => 4,
            Ending::Lied => 64,
        };
        let (times, until) = self.of.entry(place).or_default();
        *times += 1;
        *until = self.round + (1u64 << (*times - 1).min(32)).min(most) + 1;
    }
}

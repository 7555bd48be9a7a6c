//! Parties as small numbers, so that a million events fit in memory. Refuses to grow without end: a log may name
//! whomever it likes, and after [`PARTIES_MAX`] of them all further ones are one stranger.

use std::collections::BTreeMap;

use super::Party;
use crate::ids::{NodeId, OrgId};

/// Parties told apart.
pub(super) const PARTIES_MAX: usize = 60_000;

/// A party's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct No(u16);

impl No {
    /// Nobody.
    pub(super) const NONE: Self = Self(u16::MAX);
    /// Somebody beyond [`PARTIES_MAX`].
    const STRANGER: Self = Self(u16::MAX - 1);

    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// Numbers and parties.
#[derive(Default)]
pub(super) struct Parties {
    numbers: BTreeMap<Party, No>,
    parties: Vec<Party>,
}

impl Parties {
    /// The number of a party, a new one if it has none yet.
    pub(super) fn number(&mut self, party: Party) -> No {
        if let Some(no) = self.numbers.get(&party) {
            return *no;
        }
        let next = u16::try_from(self.parties.len()).ok().filter(|_| self.parties.len() < PARTIES_MAX);
        let Some(next) = next.map(No) else { return No::STRANGER };
        self.parties.push(party);
        self.numbers.insert(party, next);
        next
    }

    /// The number of a party that has one.
    pub(super) fn known(&self, party: Party) -> Option<No> {
        self.numbers.get(&party).copied()
    }

    /// The party with this number; all zeros for a stranger or nobody.
    pub(super) fn party(&self, no: No) -> Party {
        self.parties.get(usize::from(no.0)).copied().unwrap_or((OrgId([0; 16]), NodeId([0; 16])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_names_everybody_fills_no_memory_and_displaces_nobody() {
        let party = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            (OrgId(id), NodeId([1; 16]))
        };
        let mut parties = Parties::default();
        let known = parties.number(party(1));
        for n in 0..70_000 {
            parties.number(party(n));
        }
        assert_eq!(parties.parties.len(), PARTIES_MAX);
        assert!(parties.number(party(1)) == known && parties.party(known) == party(1));
        assert!(parties.number(party(69_999)) == No::STRANGER);
        assert!(No::STRANGER.is_some() && !No::NONE.is_some());
    }
}

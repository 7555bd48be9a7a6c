//! Whom to ask next: coordinators' nodes and others, drawn by lot; who lied, had nothing or was away is passed over for
//! a growing while that ends.

use std::collections::BTreeMap;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{NodeId, OrgId};
use rand_core::Rng;

use crate::rpc::client::Address;

/// Rounds for which who lied is passed over at most.
const LIED_MAX: u64 = 64;
/// Rounds for which who could not be reached, or differed and had nothing newer, is passed over at most: it may be only
/// behind, and what it says next is news. All nodes are to agree ten minutes after a partition heals (promise P15).
const BARREN_MAX: u64 = 4;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// In step, or with something new.
    Good,
    /// Its directory differs and nothing of it was new here.
    Barren,
    /// It could not be reached, or the line broke.
    Away,
    /// What it said did not hold.
    Lied,
}

/// How each node did lately.
#[derive(Default)]
pub(super) struct Standings {
    round: u64,
    nodes: BTreeMap<NodeId, (u32, u64)>,
}

impl Standings {
    /// A round begins.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        // Kept for nodes that misbehaved alone, and of these none longer than it counts twice over.
        let round = self.round;
        self.nodes.retain(|_, (_, until)| *until + LIED_MAX > round);
    }

    /// The number of this round.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Whether a node is not asked in this round.
    pub(super) fn is_passed_over(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|(_, until)| *until > self.round)
    }

    /// Remembers how a session ended.
    pub(super) fn ended(&mut self, node: NodeId, ending: Ending) {
        let most = match ending {
            Ending::Good => {
                self.nodes.remove(&node);
                return;
            }
            Ending::Barren | Ending::Away => BARREN_MAX,
            Ending::Lied => LIED_MAX,
        };
        let (times, until) = self.nodes.entry(node).or_default();
        *times = times.saturating_add(1);
        *until = self.round + pause(*times).min(most) + 1;
    }
}

/// Rounds between the tries after so many in vain: 1, 2, 4 and so on.
pub(super) fn pause(times: u32) -> u64 {
    1u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX)
}

/// Where a node itself answers: the first of its mailboxes that it keeps. `None` for one that only fetches its mail
/// elsewhere.
pub(crate) fn own_address(directory: &Directory, node: NodeId) -> Option<Address> {
    let descriptor = directory.descriptor(node)?;
    let own = descriptor.mailboxes.iter().find(|mailbox| mailbox.node_id == node.0)?;
    let tls_pks = descriptor.tls_pks.iter().filter_map(|k| k.as_slice().try_into().ok()).collect();
    Some(Address { node, endpoint: own.endpoint.clone(), tls_pks })
}

/// The coordinators' nodes and the others that may speak and answer themselves, each in an order drawn by lot.
pub(super) fn candidates(
    directory: &Directory,
    me: NodeId,
    now: u64,
    rng: &mut impl Rng,
) -> (Vec<NodeId>, Vec<NodeId>) {
    let answers = |node: &NodeId| own_address(directory, *node).is_some();
    let coordinators = directory.coordinators(me, now).into_iter().map(|(_, node)| node);
    let mut coordinators: Vec<NodeId> = coordinators.filter(answers).collect();
    let nodes = directory.orgs().flat_map(|(org, _)| directory.nodes_of(org).map(move |node| (org, node)));
    let speaks = |(org, node): &(OrgId, NodeId)| *node != me && directory.may_speak(*org, *node, now).is_ok();
    let others = nodes.filter(speaks).map(|(_, node)| node).filter(answers);
    let mut others: Vec<NodeId> = others.filter(|node| !coordinators.contains(node)).collect();
    shuffle(&mut coordinators, rng);
    shuffle(&mut others, rng);
    (coordinators, others)
}

/// Whether coordinators of other organisations have a node that can be asked, valid or not as of today.
pub(crate) fn has_coordinators(directory: &Directory, me: NodeId) -> bool {
    let own = directory.org_of(me);
    let theirs = directory.orgs().map(|(org, _)| org).filter(|org| Some(*org) != own && directory.is_coordinator(*org));
    let mut nodes = theirs.flat_map(|org| directory.nodes_of(org));
    nodes.any(|node| own_address(directory, node).is_some())
}

fn shuffle<T>(all: &mut [T], rng: &mut impl Rng) {
    for n in (1..all.len()).rev() {
        // The bias of the remainder is of no account here.
        let with = usize::try_from(rng.next_u64() % (n as u64 + 1)).unwrap_or(0);
        all.swap(n, with);
    }
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::fixture::{NOW, Region};

    use super::*;

    const NODE: NodeId = NodeId([1; 16]);
    const OTHER: NodeId = NodeId([2; 16]);

    /// The rounds of the first hundred in which a node that always ends so is asked.
    fn asked(ending: Ending) -> Vec<u64> {
        let mut standings = Standings::default();
        let mut asked = Vec::new();
        for round in 1..=200 {
            standings.begin();
            assert!(!standings.is_passed_over(OTHER));
            standings.ended(OTHER, Ending::Good);
            if !standings.is_passed_over(NODE) {
                asked.push(round);
                standings.ended(NODE, ending);
            }
        }
        asked
    }

    #[test]
    fn who_lies_is_passed_over_for_a_growing_while_that_ends_and_others_are_not() {
        assert_eq!(asked(Ending::Lied), [1, 3, 6, 11, 20, 37, 70, 135, 200]);
        assert_eq!(asked(Ending::Good).len(), 200);
        let away = asked(Ending::Away);
        assert_eq!(away[..6], [1, 3, 6, 11, 16, 21], "at most four rounds");
        assert_eq!(asked(Ending::Barren), away);
    }

    #[test]
    fn one_good_session_makes_good() {
        let mut standings = Standings::default();
        standings.begin();
        for _ in 0..9 {
            standings.ended(NODE, Ending::Lied);
        }
        assert!(standings.is_passed_over(NODE));
        standings.ended(NODE, Ending::Good);
        assert!(!standings.is_passed_over(NODE));
        standings.ended(NODE, Ending::Lied);
        for _ in 0..2 {
            standings.begin();
        }
        assert!(!standings.is_passed_over(NODE));
    }

    #[test]
    fn a_coordinator_is_one_also_when_its_certificate_is_over_and_never_the_asker_itself() {
        let region = Region::with_coordinators(3, 5, 1);
        let late = NOW + 4000 * clearhouse_protocol::limits::DAY;
        let member = region.members[3].node;
        assert!(region.directory.coordinators(member, late).is_empty(), "none could be asked by this directory");
        assert!(has_coordinators(&region.directory, member));
        assert!(!has_coordinators(&region.directory, region.members[0].node), "it is the only one");
    }

    #[test]
    fn everybody_who_may_speak_is_a_candidate_once_and_the_order_changes() {
        let mut region = Region::with_coordinators(3, 12, 3);
        let me = region.members[5].node;
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let (mut coordinators, mut others) = candidates(&region.directory, me, NOW, &mut region.rng);
            orders.insert(others.clone());
            coordinators.sort();
            others.sort();
            let mut all: Vec<NodeId> = region.members[3..].iter().map(|m| m.node).filter(|n| *n != me).collect();
            let mut first: Vec<NodeId> = region.members[..3].iter().map(|m| m.node).collect();
            all.sort();
            first.sort();
            assert_eq!((coordinators, others), (first, all));
        }
        assert!(orders.len() > 15);
    }
}

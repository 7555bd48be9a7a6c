//! Who witnesses a log: what the policy says, or the coordinators' nodes and some members' nodes drawn by lot.
//!
//! The lot is a hash of the log's name, the quarter and each node, so everybody draws the same and no node picks its
//! friends. Never the node itself or another of its organisation (protocol section 7.6). Refuses to guess: a log whose
//! owner is not known has nobody who could witness it.

use clearhouse_wire::v1::OrgRecord;

use super::Directory;
use crate::ids::{NodeId, OrgId};
use crate::labels::WITNESS_DRAW;
use crate::limits::{CORE_MAX, DRAWN_MAX, QUARTER_GRACE_SECS, QUARTER_SECS};
use crate::log::note::NoteKey;
use crate::log::policy::Policy;
use crate::log::quorum::{List, Listed, Quorum};
use crate::pae::hash;

/// The role of organisations whose nodes witness every log.
const COORDINATOR: &str = "Coordinator";

impl Directory {
    /// Who witnesses the log of `node`, and how many are enough, at the time `at` of the head in question (not of the
    /// asking: an old head was witnessed by those of its quarter). For [`QUARTER_GRACE_SECS`] after a change of quarter
    /// the draw before counts too.
    #[must_use]
    pub fn quorum(&self, node: NodeId, at: u64) -> Quorum {
        let text = &self.policy().witness_policy;
        if !text.is_empty() {
            // It was read when the policy was admitted; one that cannot be read satisfies nobody.
            let policy = Policy::parse(text).ok().filter(|p| self.log_key(node).is_some_and(|log| p.is_about(&log)));
            let own = self.witness_key(node);
            let known = self.all_witnesses();
            let list = policy.map(|p| List::of_policy(&p, own.as_ref(), |key| whose(&known, key)));
            return Quorum { current: list.unwrap_or_else(List::nobody), before: None };
        }
        let quarter = at / QUARTER_SECS;
        let graced = at % QUARTER_SECS < QUARTER_GRACE_SECS;
        let before = quarter.checked_sub(1).filter(|_| graced).map(|before| self.draw(node, before, at));
        Quorum { current: self.draw(node, quarter, at), before }
    }

    /// The nodes of this network that witness the log of `me` at `now`, with the keys they cosign with: the core first,
    /// then the drawn, then those of the quarter before while they count.
    #[must_use]
    pub fn witnesses(&self, me: NodeId, now: u64) -> Vec<(NodeId, NoteKey)> {
        let quorum = self.quorum(me, now);
        let may = |node: &NodeId| self.org_of(*node).is_some_and(|org| self.may_witness(org, *node, now));
        let asked = |listed: &Listed| Some((listed.node.filter(may)?, listed.key.clone()));
        quorum.witnesses().into_iter().filter_map(asked).collect()
    }

    /// The list of one quarter, out of the nodes that may speak at `at`.
    fn draw(&self, node: NodeId, quarter: u64, at: u64) -> List {
        let (Some(log), Some(own)) = (self.log_key(node), self.org_of(node)) else { return List::nobody() };
        let mut core = Vec::new();
        let mut lots = Vec::new();
        for (org, record) in self.orgs().filter(|(org, _)| *org != own) {
            let Some((id, listed)) = self.first_witness(org, &record.country, at) else { continue };
            if record.roles.iter().any(|role| role == COORDINATOR) {
                core.push((id, listed));
            } else {
                let name = log.name().as_bytes();
                let parts = [&(name.len() as u64).to_be_bytes(), name, &quarter.to_be_bytes(), id.as_bytes()];
                lots.push((hash(WITNESS_DRAW, &parts), listed));
            }
        }
        core.sort_by_key(|(id, _)| *id);
        lots.sort_by_key(|(lot, _)| *lot);
        let core = core.into_iter().take(CORE_MAX).map(|(_, listed)| listed).collect();
        let keys = lots.into_iter().map(|(_, listed)| listed).take(DRAWN_MAX).collect();
        List::drawn(core, keys)
    }

    /// The one node with which an organisation witnesses: an organisation with many nodes has one voice.
    fn first_witness(&self, org: OrgId, country: &str, at: u64) -> Option<(NodeId, Listed)> {
        let node = self.nodes_of(org).find(|node| self.may_witness(org, *node, at))?;
        Some((node, Listed { node: Some(node), key: self.witness_key(node)?, country: country.to_owned() }))
    }

    fn may_witness(&self, org: OrgId, node: NodeId, at: u64) -> bool {
        self.witness_key(node).is_some() && !self.is_suspended(node) && self.may_speak(org, node, at).is_ok()
    }

    /// Every node that has a witness key, valid or not: whoever may ever have cosigned.
    #[must_use]
    pub fn all_witnesses(&self) -> Vec<Listed> {
        let nodes = self.orgs().flat_map(|(org, record)| self.nodes_of(org).map(move |node| (node, record)));
        let listed = |(node, record): (NodeId, &OrgRecord)| {
            Some(Listed { node: Some(node), key: self.witness_key(node)?, country: record.country.clone() })
        };
        nodes.filter_map(listed).collect()
    }
}

/// Who is behind a key that a policy names: one of these, or somebody outside this network.
fn whose(known: &[Listed], key: &NoteKey) -> Listed {
    let found = known.iter().find(|listed| listed.key == *key).cloned();
    found.unwrap_or_else(|| Listed { node: None, key: key.clone(), country: String::new() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fixture::{NOW, Region};

    /// The start of the quarter after `NOW`.
    const TURN: u64 = (NOW / QUARTER_SECS + 1) * QUARTER_SECS;

    fn nodes(region: &Region, of: usize, at: u64) -> BTreeSet<NodeId> {
        region.directory.witnesses(region.members[of].node, at).into_iter().map(|(node, _)| node).collect()
    }

    fn ids(region: &Region, members: std::ops::Range<usize>) -> BTreeSet<NodeId> {
        members.map(|n| region.members[n].node).collect()
    }

    #[test]
    fn coordinators_witness_every_log_but_their_own_and_four_members_are_drawn_for_each() {
        let region = Region::with_coordinators(1, 12, 3);
        let core = ids(&region, 0..3);
        let mut draws = BTreeSet::new();
        for n in 3..12 {
            let all = nodes(&region, n, NOW);
            assert!(all.is_superset(&core) && all.len() == 3 + DRAWN_MAX && !all.contains(&region.members[n].node));
            draws.insert(all);
        }
        assert!(draws.len() > 1, "the lot falls differently for each log");
        for n in 0..3 {
            let all = nodes(&region, n, NOW);
            assert!(all.len() == 2 + DRAWN_MAX && !all.contains(&region.members[n].node));
        }
        let quorum = region.directory.quorum(region.members[5].node, NOW);
        assert_eq!(quorum.current.witnesses().len(), 7);
        assert!(quorum.current.witnesses().iter().all(|w| ["IT", "MD", "RS", "AL"].contains(&w.country.as_str())));
        let stranger = region.directory.quorum(NodeId([9; 16]), NOW);
        assert!(stranger.witnesses().is_empty());
    }

    #[test]
    fn the_draw_changes_with_the_quarter_and_both_count_for_a_week() {
        let region = Region::with_coordinators(2, 14, 2);
        let me = 7;
        assert_eq!(nodes(&region, me, NOW), nodes(&region, me, TURN - 1), "the same all through a quarter");
        let (old, both, new) =
            (nodes(&region, me, TURN - 1), nodes(&region, me, TURN), nodes(&region, me, TURN + QUARTER_GRACE_SECS));
        assert_ne!(old, new);
        assert_eq!(both, old.union(&new).copied().collect());
        let quorum = |at| region.directory.quorum(region.members[me].node, at);
        assert!(quorum(TURN).before == Some(quorum(TURN - 1).current));
        assert!(quorum(TURN + QUARTER_GRACE_SECS).before.is_none() && quorum(TURN - 1).before.is_none());
    }

    #[test]
    fn a_suspended_node_and_one_whose_accreditation_ended_witness_nothing() {
        let mut region = Region::with_coordinators(3, 9, 2);
        let coordinator = region.members[0].node;
        assert!(nodes(&region, 5, NOW).contains(&coordinator));
        region.directory.suspend(coordinator);
        assert!(!nodes(&region, 5, NOW).contains(&coordinator));
        assert!(nodes(&region, 5, NOW + 400 * crate::limits::DAY).is_empty());
    }

    #[test]
    fn a_policys_witness_is_the_node_that_has_its_key_or_somebody_outside() {
        use crate::log::note::KeyKind;
        let mut region = Region::with_coordinators(5, 4, 2);
        let inside = region.directory.witness_key(region.members[3].node).unwrap();
        let stranger = crate::keys::SigningKey::from_seed(&[9; 32]).public();
        let outside = NoteKey::new("outside.example.org", KeyKind::Witness, &stranger).unwrap();
        let text = format!("witness a {outside}\nwitness b {inside}\ngroup g all a b\nquorum g\n");
        let change = |p: &mut clearhouse_wire::v1::RootPolicy| p.witness_policy.clone_from(&text);
        let mut policy = crate::ceremony::next_policy(&region.genesis, NOW, change).unwrap();
        region.coordinators.iter().for_each(|key| crate::signed::add_signature(&mut policy, key));
        let checked = region.directory.check(&policy, NOW).unwrap().unwrap();
        region.directory.insert(checked);
        let known = |of: usize| {
            let quorum = region.directory.quorum(region.members[of].node, NOW);
            let listed = quorum.witnesses().into_iter().map(|l| (l.node, l.country.clone()));
            listed.collect::<Vec<_>>()
        };
        let somebody = (None, String::new());
        assert_eq!(known(0), [somebody.clone(), (Some(region.members[3].node), "AL".to_owned())]);
        assert_eq!(known(3), [somebody], "nobody witnesses for itself");
        assert_eq!(nodes(&region, 0, NOW), ids(&region, 3..4));
    }

    #[test]
    fn a_lone_coordinator_is_witnessed_by_members_and_a_pair_by_each_other() {
        let region = Region::with_coordinators(4, 3, 1);
        assert_eq!(nodes(&region, 0, NOW), ids(&region, 1..3));
        assert_eq!(nodes(&region, 2, NOW), ids(&region, 0..2));
    }
}

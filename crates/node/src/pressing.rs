//! Who presses against this node's limits: nodes whose deposits are refused for their pace or their share again and again
//! (attack case 39). Accredited ones, for others do not come this far.
//!
//! Counts in memory alone, by node and hour, and forgets with a restart: a keeper has nothing on its disk about who
//! wrote. Refuses to know what was in a deposit, or for whom it was.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{NodeId, OrgId};

use crate::limits::{METERED_NODES_MAX, lock};

/// Deposits of one organisation refused for its limits within an hour from which on it is told. Who has to wait comes
/// again after a pause that grows, and stays far below.
pub const PROBING_REFUSALS_PER_HOUR: u64 = 300;
/// How long it is told.
pub const PROBING_TOLD: Duration = Duration::from_secs(24 * 3600);

const HOUR: Duration = Duration::from_secs(3600);

/// One hour of a node's refusals, from the first of them on.
#[derive(Clone, Copy)]
struct Spell {
    began: Instant,
    refused: u64,
    /// The most of an hour within [`PROBING_TOLD`], and when that was.
    most: Option<(u64, Instant)>,
}

/// Refusals by node. Bounded: beyond [`METERED_NODES_MAX`] nodes those with nothing to tell are forgotten first.
#[derive(Default)]
pub struct Pressing(Mutex<BTreeMap<NodeId, Spell>>);

impl Pressing {
    /// A deposit of a node was refused for its pace or its share.
    pub(crate) fn refused(&self, node: NodeId, now: Instant) {
        let mut all = lock(&self.0);
        if all.len() >= METERED_NODES_MAX && !all.contains_key(&node) {
            all.retain(|_, spell| now.duration_since(spell.began) < HOUR);
            if all.len() >= METERED_NODES_MAX {
                return;
            }
        }
        let spell = all.entry(node).or_insert(Spell { began: now, refused: 0, most: None });
        if now.duration_since(spell.began) >= HOUR {
            (spell.began, spell.refused) = (now, 0);
        }
        spell.refused += 1;
        let held = spell.most.filter(|(_, at)| now.duration_since(*at) < PROBING_TOLD);
        spell.most = Some(held.filter(|(most, _)| *most > spell.refused).unwrap_or((spell.refused, now)));
    }

    #[cfg(test)]
    pub(crate) fn of(&self, node: NodeId) -> u64 {
        lock(&self.0).get(&node).map_or(0, |spell| spell.refused)
    }

    /// The organisations that pressed beyond [`PROBING_REFUSALS_PER_HOUR`] within [`PROBING_TOLD`], and how many of their
    /// deposits were refused in the worst hour of each of their nodes.
    #[must_use]
    pub fn probing(&self, directory: &Directory, now: Instant) -> Vec<(OrgId, u64)> {
        let mut by_org = BTreeMap::<OrgId, u64>::new();
        for (node, spell) in lock(&self.0).iter() {
            let most = spell.most.filter(|(_, at)| now.duration_since(*at) < PROBING_TOLD);
            if let Some((org, (most, _))) = directory.org_of(*node).zip(most) {
                *by_org.entry(org).or_default() += most;
            }
        }
        by_org.into_iter().filter(|(_, refused)| *refused >= PROBING_REFUSALS_PER_HOUR).collect()
    }
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::fixture::Region;

    use super::*;

    #[test]
    fn attack_39_who_presses_on_is_told_for_a_day_and_who_only_waits_is_not() {
        let region = Region::new(1, 3);
        let (pressing, start) = (Pressing::default(), Instant::now());
        let (loud, patient) = (&region.members[0], &region.members[1]);
        let told = |after| pressing.probing(&region.directory, start + after);
        (1..PROBING_REFUSALS_PER_HOUR).for_each(|_| pressing.refused(loud.node, start));
        assert_eq!(told(Duration::ZERO), []);
        pressing.refused(loud.node, start + HOUR / 2);
        for hour in 0..40 {
            (0..60).for_each(|_| pressing.refused(patient.node, start + HOUR * hour));
        }
        assert_eq!(told(HOUR), [(loud.org, PROBING_REFUSALS_PER_HOUR)]);
        // Quieter hours take nothing back before the day is over.
        pressing.refused(loud.node, start + 2 * HOUR);
        assert_eq!(told(3 * HOUR), [(loud.org, PROBING_REFUSALS_PER_HOUR)]);
        assert_eq!(told(HOUR / 2 + PROBING_TOLD), []);
    }

    #[test]
    fn attack_39_two_nodes_of_one_organisation_share_its_number_and_memory_is_bounded() {
        let region = Region::new(1, 2);
        let (pressing, now) = (Pressing::default(), Instant::now());
        for n in 0..METERED_NODES_MAX as u128 + 50 {
            pressing.refused(NodeId(n.to_be_bytes()), now);
        }
        assert_eq!(lock(&pressing.0).len(), METERED_NODES_MAX);
        assert_eq!(pressing.probing(&region.directory, now), [], "who is in no directory has no name");
        pressing.refused(region.members[0].node, now + HOUR);
        assert_eq!(lock(&pressing.0).len(), 1, "the quiet are forgotten");
    }
}

//! Regions, who witnesses which log in them, and who lies.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{QUARTER_GRACE_SECS, QUARTER_SECS};
use clearhouse_protocol::log::quorum::{Quorum, tolerated};

use crate::dice::Dice;
use crate::log::Lie;

/// The first moment of the next quarter.
pub(crate) const TURN: u64 = (NOW / QUARTER_SECS + 1) * QUARTER_SECS;
/// Before the turn, while both quarters count, and after.
pub(crate) const TIMES: [u64; 3] = [NOW, TURN, TURN + QUARTER_GRACE_SECS];
/// Logs of one run, the last members' of the region.
pub(crate) const LOGS: usize = 3;

/// A region and what follows from its directory, which stays the same in all runs.
pub(crate) struct Place {
    pub(crate) region: Region,
    /// Who witnesses each log: until the turn, for a while after it, and then.
    pub(crate) lists: Vec<[Vec<usize>; 3]>,
    pub(crate) quorums: Vec<[Quorum; 3]>,
    pub(crate) core: BTreeSet<usize>,
}

/// Regions: each kind often enough that their lots fall differently.
pub(crate) const PLACES: u64 = 20;

/// One to four coordinators beside fourteen members, or three coordinators alone.
pub(crate) fn place(seed: u64) -> &'static Place {
    static ALL: [OnceLock<Place>; PLACES as usize] = [const { OnceLock::new() }; PLACES as usize];
    let which = seed % PLACES;
    ALL[usize::try_from(which).unwrap()].get_or_init(|| {
        let region = match usize::try_from(which % 5).unwrap() {
            4 => Region::with_coordinators(100 + which, 3, 3),
            n => Region::with_coordinators(100 + which, n + 15, n + 1),
        };
        let logs: Vec<NodeId> = region.members[region.members.len() - LOGS..].iter().map(|m| m.node).collect();
        let member = |(node, _)| region.members.iter().position(|m| m.node == node).unwrap();
        let list = |node, at| region.directory.witnesses(node, at).into_iter().map(member).collect();
        let lists = logs.iter().map(|node| TIMES.map(|at| list(*node, at))).collect();
        let quorums = logs.iter().map(|node| TIMES.map(|at| region.directory.quorum(*node, at))).collect();
        let core = (region.directory.orgs())
            .filter(|(_, org)| org.roles.iter().any(|role| role == "Coordinator"))
            .filter_map(|(org, _)| region.members.iter().position(|m| m.org == org))
            .collect();
        Place { region, lists, quorums, core }
    })
}

/// Which face a witness is shown.
pub(crate) fn face(place: &Place, lie: Lie, log: usize, witness: usize) -> usize {
    match lie {
        Lie::Split(bits) => usize::from(bits >> (witness % 64) & 1 == 1),
        Lie::ByQuarter if place.core.contains(&witness) => witness % 2,
        Lie::ByQuarter => usize::from(!place.lists[log][0].contains(&witness)),
    }
}

/// As many liars as every list of every log tolerates, and the coordinators among them by themselves.
pub(crate) fn liars(place: &Place, dice: &mut Dice) -> BTreeSet<usize> {
    let mut liars = BTreeSet::new();
    for _ in 0..4 {
        let mut more = liars.clone();
        more.insert(dice.below(place.region.members.len()));
        let lists = place.quorums.iter().flatten().flat_map(|q| std::iter::once(&q.current).chain(&q.before));
        let mut all = lists.map(|list| -> BTreeSet<usize> {
            let member = |node| place.region.members.iter().position(|m| Some(m.node) == node).unwrap();
            list.witnesses().iter().map(|listed| member(listed.node)).collect()
        });
        let tolerable = all.all(|list| {
            let inner: BTreeSet<usize> = list.intersection(&place.core).copied().collect();
            let lying = |of: &BTreeSet<usize>| of.intersection(&more).count();
            lying(&list) <= tolerated(list.len()) && lying(&inner) <= tolerated(inner.len())
        });
        if tolerable {
            liars = more;
        }
    }
    liars
}

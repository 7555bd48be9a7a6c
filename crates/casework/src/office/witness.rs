//! The office as a witness of other nodes' logs: what it cosigned of each, and whether a new head follows from that.
//!
//! Leaves no entry in the office's own log: two nodes that cosign each other would never come to rest.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::note::NoteFault;
use clearhouse_protocol::log::witness::{Cosigning, Held, Request, WitnessFault, decide};
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::rows::{Row, Table, Under};

use super::{Office, Step};

/// The largest head cosigned of each log, by SHA-256 of its origin.
#[derive(Default)]
pub(super) struct Witnessed(BTreeMap<[u8; 32], Held>);

impl Witnessed {
    pub(super) fn apply(&mut self, row: &Row) {
        let Ok(log) = <[u8; 32]>::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().and_then(read) {
            Some(held) => drop(self.0.insert(log, held)),
            None => drop(self.0.remove(&log)),
        }
    }
}

impl Office {
    /// Decides on a node's request to cosign a head of its own log. What comes back may be signed once the step is
    /// durable.
    pub fn cosign(&self, from: NodeId, request: &Request) -> (Step, Result<Cosigning, WitnessFault>) {
        let mut step = Step::default();
        let Some(log) = self.directory.log_key(from) else {
            return (step, Err(NoteFault::NotSigned.into()));
        };
        let key = sha256(log.name().as_bytes());
        let held = self.witnessed.0.get(&key).cloned().unwrap_or_default();
        let decided = decide(request, &log, &held);
        if let Ok(cosigning) = &decided
            && *cosigning.held() != held
        {
            step.rows.push(Row {
                table: Table::Witness,
                key: key.to_vec(),
                value: Some(write(cosigning.held())),
                under: Under::Service,
                must_be_new: false,
            });
        }
        (step, decided)
    }
}

/// Size, big-endian, and root.
fn write(held: &Held) -> Vec<u8> {
    [held.size.to_be_bytes().as_slice(), &held.root].concat()
}

fn read(bytes: &[u8]) -> Option<Held> {
    let (size, root) = bytes.split_first_chunk::<8>()?;
    Some(Held { size: u64::from_be_bytes(*size), root: root.try_into().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::audit::origin;
    use clearhouse_protocol::fixture::Region;
    use clearhouse_protocol::log::checkpoint::Checkpoint;
    use clearhouse_protocol::log::tree::Edge;
    use clearhouse_protocol::merkle;

    use super::*;
    use crate::office::Me;

    fn office(region: &Region, n: usize) -> Office {
        let member = &region.members[n];
        let me = Me {
            net: region.net,
            org: member.org,
            node: member.node,
            mailboxes: vec![member.mailbox],
            generation: 1,
            zone: crate::deadlines::Zone::utc(),
        };
        Office::new(me, region.directory.clone())
    }

    /// A head of member 1's log with so many entries; `face` makes another log of the same name.
    fn request(region: &Region, size: u64, face: u8, old: u64) -> Request {
        let member = &region.members[1];
        let mut edge = Edge::default();
        let leaves: Vec<_> = (0..size).map(|n| merkle::leaf(&[n as u8, face])).collect();
        leaves.iter().for_each(|leaf| edge.push(*leaf));
        let origin = origin(region.net, member.org, member.node, 1);
        let note = Checkpoint { origin, size, root: edge.root() }.sign(&member.log()).unwrap();
        // From a tree of one leaf to one of two, the proof is the second leaf.
        let path = if (old, size) == (1, 2) { vec![leaves[1]] } else { Vec::new() };
        Request { old, path, note }
    }

    #[test]
    fn what_was_cosigned_is_remembered_over_a_restart_and_never_gets_smaller() {
        let region = Region::new(1, 3);
        let mut witness = office(&region, 0);
        let from = region.members[1].node;
        let mut rows = Vec::new();
        for (size, old) in [(1, 0), (1, 1), (2, 1)] {
            let (step, decided) = witness.cosign(from, &request(&region, size, 0, old));
            assert_eq!(decided.ok().unwrap().held().size, size);
            assert_eq!(step.rows.len(), usize::from(size != old), "a repeat keeps nothing new");
            witness.take(&step);
            rows.extend(step.rows);
        }
        let mut again = office(&region, 0);
        again.apply(&rows);
        for office in [&witness, &again] {
            let smaller = office.cosign(from, &request(&region, 1, 0, 1));
            assert_eq!((smaller.0.rows.len(), smaller.1.err()), (0, Some(WitnessFault::Conflict(2))));
            let other = office.cosign(from, &request(&region, 2, 1, 2));
            assert_eq!(other.1.err(), Some(WitnessFault::Equivocation));
        }
    }

    #[test]
    fn a_node_speaks_for_its_own_log_alone() {
        let region = Region::new(1, 3);
        let witness = office(&region, 0);
        let asked = |from| witness.cosign(from, &request(&region, 1, 0, 0));
        assert!(asked(region.members[1].node).1.is_ok());
        for from in [region.members[2].node, NodeId([9; 16])] {
            let (step, decided) = asked(from);
            assert!(step.rows.is_empty() && decided.err() == Some(NoteFault::NotSigned.into()));
        }
    }
}

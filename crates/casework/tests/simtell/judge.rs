//! What must always hold, and what must hold when everything has come to rest.

use clearhouse_casework::office::hearing::{Page, page_key};
use clearhouse_casework::office::telling::is_telling;
use clearhouse_protocol::audit::{origin, unpad};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::proofs::concerns;
use clearhouse_protocol::rows::Table;
use prost::Message as _;

use crate::world::{COORDINATOR, NODES, World};

impl World {
    /// Entries that the coordinator's office says it heard of a node's log.
    pub(crate) fn heard_size(&self, n: usize) -> u64 {
        let node = self.region.members[n].node;
        let heard = self.nodes[COORDINATOR].office.heard().find(|(of, _)| *of == node);
        heard.map_or(0, |(_, heard)| heard.size)
    }

    /// The leaves it holds, page after page from its disk.
    fn mirrored(&self, n: usize) -> Result<Vec<Hash>, String> {
        let member = &self.region.members[n];
        let origin = origin(self.region.net, member.org, member.node, 1);
        let (size, mut leaves) = (self.heard_size(n), Vec::new());
        while (leaves.len() as u64) < size {
            let key = page_key(&origin, leaves.len() as u64);
            let page =
                self.nodes[COORDINATOR].disk.value(Table::Account, &key).and_then(|value| Page::decode(value).ok());
            let page = page.filter(|page| !page.entries.is_empty());
            let page = page.ok_or_else(|| format!("log {n}: entry {} was heard and is not kept", leaves.len()))?;
            leaves.extend(page.entries.iter().map(|kept| leaf_hash(&kept.commitment[..].try_into().unwrap())));
        }
        Ok(leaves)
    }

    /// At every moment.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        for node in &self.nodes {
            let (counted, kept) = (node.office.event_count(), node.disk.events.len());
            if counted != kept as u64 {
                return Err(format!("node {}: {counted} entries were recorded and {kept} are kept", node.n));
            }
        }
        for n in 1..NODES {
            let mirrored = self.mirrored(n)?;
            let (node, named) = (&self.nodes[n], self.region.members[n].node);
            // What was not signed yet was shown to nobody.
            // A page in the middle of a longer log is held against the head that comes with the last: until then what a log
            // put back from an image tells may be of two histories.
            let one = node.histories.iter().any(|history| history.starts_with(&mirrored));
            if !one && !node.strayed {
                return Err(format!("log {n}: the {} entries heard are of no history that it signed", mirrored.len()));
            }
            let coordinator = &self.nodes[COORDINATOR];
            let Some((_, heard)) = coordinator.office.heard().find(|(of, _)| *of == named) else { continue };
            let mut edge = Edge::default();
            mirrored.iter().for_each(|leaf| edge.push(*leaf));
            if edge.roots() != heard.edge {
                return Err(format!("log {n}: the edge kept is not that of the entries kept"));
            }
            if !heard.contradiction.is_empty() && !node.strayed {
                return Err(format!("log {n} is honest and is held to contradict itself"));
            }
        }
        Ok(())
    }

    /// When everything has come to rest.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        for n in 1..NODES {
            let (size, strayed) = (self.heard_size(n), self.nodes[n].strayed);
            let disk = &self.nodes[n].disk;
            let named = self.region.members[n].node;
            let heard = self.nodes[COORDINATOR].office.heard().find(|(of, _)| *of == named).map(|(_, heard)| heard);
            if strayed {
                let mirrored = self.mirrored(n)?;
                let fits = disk.leaves().starts_with(&mirrored);
                let found_out = heard.is_some_and(|heard| !heard.contradiction.is_empty());
                if !fits && !found_out {
                    return Err(format!("log {n} went another way after {size} entries and nobody knows"));
                }
                self.tally.found_out += u64::from(found_out);
                continue;
            }
            let untold = disk.events.get(usize::try_from(size).unwrap()..).unwrap_or_default();
            if is_telling(untold) {
                return Err(format!("log {n}: {} entries came to rest unheard, some worth telling", untold.len()));
            }
            let took = self.nodes[n].office.told().first().map_or(0, |standing| standing.took);
            if took > size {
                return Err(format!("node {n} believes that {took} entries were heard, and it is {size}"));
            }
            self.tally.heard += size;
            self.proofs_are_held(n)?;
        }
        Ok(())
    }

    /// Every entry that concerns the other end is proved to it.
    fn proofs_are_held(&mut self, n: usize) -> Result<(), String> {
        let other = if n == 1 { 2 } else { 1 };
        if !self.nodes[n].office.owed().is_empty() {
            return Err(format!("node {n} still owes proofs"));
        }
        // A node put back from an image may have lost what it was shown.
        if self.tally.images > 0 {
            return Ok(());
        }
        let looked = usize::try_from(self.nodes[n].office.proofs_cursor()).unwrap();
        for row in &self.nodes[n].disk.events[..looked] {
            let Some(opening) = unpad(&row.opening).filter(|opening| concerns(opening).is_some()) else { continue };
            let key = [opening.envelope_digest.as_slice(), &opening.event.to_be_bytes()].concat();
            if self.nodes[other].disk.value(Table::Receipt, &key).is_none() {
                return Err(format!("node {other} holds no proof of entry {} of log {n}", row.index));
            }
            self.tally.proved += 1;
        }
        Ok(())
    }
}

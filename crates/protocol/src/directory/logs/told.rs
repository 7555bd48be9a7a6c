//! What a directory log tells others: its keeper's next head, pages for those who follow, and proofs for those who do not.
//!
//! Refuses to tell of entries that no head covers.

use std::collections::BTreeSet;
use std::sync::Arc;

use clearhouse_wire::v1::{DirectoryLogReply, Published, Signed};
use prost::Message as _;

use super::kept::Entered;
use super::{LogFault, origin};
use crate::directory::Directory;
use crate::ids::{NodeId, OrgId};
use crate::limits::{LOG_ENTRY_MAX, LOG_LEAVES_MAX, LOG_PAGE_ENTRIES_MAX, UNARY_MAX};
use crate::log::Hash;
use crate::log::checkpoint::Checkpoint;
use crate::log::proof::Proof;
use crate::log::tree::{Edge, consistency, inclusion};
use crate::merkle;
use crate::pae::sha256;

/// Bytes that an answer leaves for its head and its path.
const PAGE_BYTES_MAX: usize = UNARY_MAX - (64 << 10);

impl Directory {
    /// The head over all entries that are held of a log, unsigned: what its keeper signs next.
    #[must_use]
    pub fn head_to_sign(&self, node: NodeId, org: OrgId) -> Checkpoint {
        let edge = self.logs.get(&node).map_or_else(Edge::default, |followed| followed.edge.clone());
        Checkpoint { origin: origin(self.net(), org, node), size: edge.size(), root: edge.root() }
    }

    /// The consistency proof between two sizes of a log, of which all entries are held; empty where there is none.
    #[must_use]
    pub fn consistency(&self, node: NodeId, old: u64, new: u64) -> Vec<Hash> {
        let Some(followed) = self.logs.get(&node).filter(|followed| new <= followed.size()) else { return Vec::new() };
        let Ok(path) = consistency(&followed.levels(), old, new);
        path
    }

    /// The answer to somebody who has the first `first` entries of a log and knows it cosigned at `fresh`, but for the
    /// entries themselves: how many to send of [`Directory::entered`], given how long each is.
    #[must_use]
    pub fn page_of(&self, node: NodeId, first: u64, fresh: u64, entries: Vec<Vec<u8>>) -> DirectoryLogReply {
        let nothing = DirectoryLogReply::default();
        let Some(followed) = self.logs.get(&node) else { return nothing };
        let Some(head) = followed.newest.as_ref().filter(|head| head.size <= followed.size()) else { return nothing };
        if first > head.size || (first == head.size && fresh >= head.fresh) {
            return nothing;
        }
        let mut bytes = 0;
        let left = usize::try_from(head.size - first).unwrap_or(usize::MAX).min(LOG_PAGE_ENTRIES_MAX);
        let entries: Vec<Vec<u8>> = entries
            .into_iter()
            .take(left)
            .take_while(|entry| {
                bytes += entry.len() + 8;
                bytes <= PAGE_BYTES_MAX
            })
            .collect();
        let path = self.consistency(node, first + entries.len() as u64, head.size);
        let path = path.into_iter().map(Vec::from).collect();
        DirectoryLogReply { head: head.note.to_string().into_bytes(), entries, path, leaves: Vec::new() }
    }

    /// [`Directory::page_of`] for somebody who has the entries from another log.
    #[must_use]
    pub fn page_of_leaves(&self, node: NodeId, first: u64, fresh: u64) -> DirectoryLogReply {
        let bare = self.page_of(node, first, fresh, Vec::new());
        let Some(head) = self.newest_head(node).filter(|_| !bare.head.is_empty()) else { return bare };
        let left = usize::try_from(head.size - first).unwrap_or(usize::MAX).min(LOG_LEAVES_MAX);
        let leaves: Vec<Hash> = self.entered(node, first, left).iter().map(|entered| entered.leaf).collect();
        let path = self.consistency(node, first + leaves.len() as u64, head.size);
        DirectoryLogReply { path: path.into_iter().map(Vec::from).collect(), leaves: leaves.concat(), ..bare }
    }

    /// Whether another log than this shows entries beyond what is held of this one: those probably are the same.
    #[must_use]
    pub fn shows_more(&self, node: NodeId) -> bool {
        self.entries.len() as u64 > self.followed(node)
    }

    /// Records that are held and stand in no log of `node` yet: what its keeper enters next, in reading order.
    #[must_use]
    pub fn to_enter(&self, node: NodeId) -> Vec<&Signed> {
        let entered: BTreeSet<Hash> =
            self.logs.get(&node).into_iter().flat_map(|f| f.entries.iter().map(|entered| entered.record)).collect();
        let policies = self.walk.iter();
        let orgs = self.orgs.values().flat_map(|held| held.records(false));
        let certs = self.certs.values().flat_map(|held| held.records(false));
        let revocations = self.revocations.values().map(|entry| entry.record.raw());
        let all = policies.chain(orgs).chain(self.waiting_records()).chain(certs).chain(revocations);
        // One that no follower would take would end the log for everybody.
        let fits = |signed: &&Signed| signed.encoded_len() <= LOG_ENTRY_MAX;
        all.filter(|signed| !entered.contains(&sha256(&signed.payload))).filter(fits).collect()
    }

    /// That these records stand in a log, for somebody who follows none: for each the proof under the newest head of the
    /// first log that has it as it is here.
    #[must_use]
    pub fn prove(&self, records: &[Signed]) -> Vec<Published> {
        let mut proofs = Vec::new();
        let mut left: Vec<Vec<u8>> = records.iter().map(Signed::encode_to_vec).collect();
        for (node, followed) in &self.logs {
            let Some(head) = &followed.newest else { continue };
            let covered = usize::try_from(head.size).unwrap_or(usize::MAX).min(followed.entries.len());
            let levels = followed.levels();
            left.retain(|entry| {
                let leaf = merkle::leaf(entry);
                let Some(index) = followed.entries[..covered].iter().position(|entered| entered.leaf == leaf) else {
                    return true;
                };
                let Ok(path) = inclusion(&levels, index as u64, head.size);
                let proof = Proof { extra: Vec::new(), index: index as u64, path, note: head.note.clone() };
                let proof = proof.to_string().into_bytes();
                proofs.push(Published { node: node.to_vec(), entry: entry.clone(), proof });
                false
            });
        }
        proofs
    }

    /// Checks that a record stands in a directory log, for somebody who has not followed it so far: returns the hash of
    /// its payload, by which it counts.
    ///
    /// # Errors
    /// [`LogFault`].
    pub fn check_published(&self, published: &Published) -> Result<Hash, LogFault> {
        let node = published.node.as_slice().try_into().map_err(|_| LogFault::Page)?;
        let log = self.directory_log(node).ok_or(LogFault::NoSuchLog)?;
        if published.entry.len() > LOG_ENTRY_MAX {
            return Err(LogFault::Page);
        }
        let shown = Proof::parse(&published.proof)?.check(&published.entry, &log)?;
        self.witnessed(node, &shown, 0)?;
        Ok(Entered::of(&published.entry).record)
    }

    /// Takes what [`Directory::check_published`] returned, or what was kept of it.
    pub fn publish(&mut self, record: Hash) {
        Arc::make_mut(&mut self.published).insert(record);
    }

    /// The entries of a log that count: read, and under a head that was witnessed.
    fn counted(&self, node: NodeId) -> &[Entered] {
        self.logs.get(&node).map_or(&[], |followed| &followed.entries[..followed.counted])
    }

    /// How many of the logs that the policy in force names show a record and another one behind it, as far as they are read
    /// and witnessed.
    pub(in crate::directory) fn logs_showing_ahead(&self, record: &Hash, other: &Hash) -> usize {
        let shows = |node: &NodeId| {
            let mut both = self.counted(*node).iter().filter(|entered| [record, other].contains(&&entered.record));
            let first = both.next().is_some_and(|entered| entered.record == *record);
            first && both.any(|entered| entered.record == *other)
        };
        self.directory_logs().filter(|(node, _)| shows(node)).count()
    }

    /// Whether more of these logs show a record than coordinators may lie: an honest keeper, who enters what holds and
    /// nothing else, is one of them. Of fewer logs all; where there are none, nobody can show anything.
    pub(in crate::directory) fn is_shown_by_enough(&self, record: &Hash) -> bool {
        if !self.has_logs() {
            return true;
        }
        let shows = |node: &NodeId| self.counted(*node).iter().any(|entered| entered.record == *record);
        self.directory_logs().filter(|(node, _)| shows(node)).count() >= self.logs_each_round().max(1)
    }

    /// Whether a record is known to stand in a log, whatever the policy asks for.
    #[must_use]
    pub fn knows_published(&self, record: &Hash) -> bool {
        self.published.contains(record)
    }
}

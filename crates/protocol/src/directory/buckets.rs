//! What two directories say to each other to find what is newer on one side: 256 buckets of descriptors with a digest
//! each, lists of those that differ, and prekeys in whole groups (protocol study 7.4).
//!
//! Refuses to trust a list: it only says what to ask for, and every record is checked as a stranger's. Nobody can push,
//! a list is read up to a named bound, and what lies in the future is not even asked for.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::Directory;
use crate::ids::{NodeId, OrgId};
use crate::labels;
use crate::limits::{
    BUCKET_ITEMS_MAX, BUCKET_PAGES_MAX, BUCKETS, DESCRIPTOR_AHEAD_SECS, DESCRIPTORS_ASKED_MAX, DESCRIPTORS_SESSION_MAX,
    HOUR, ORGS_SESSION_MAX, PREKEY_GROUP, PREKEYS_ALL_NODES, SYNC_PAGE_MAX, UNARY_MAX, WEEK,
};
use crate::pae::{hash, sha256};
use crate::prekeys::published;

/// Bytes of one digest.
const DIGEST: usize = 32;

/// Why what a peer says of its directory is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncFault {
    /// Not 256 digests, or not one over the common records.
    #[error("its digests are not {BUCKETS} of {DIGEST} bytes")]
    Digests,
    /// More items than any bucket has.
    #[error("a bucket of more than {BUCKET_ITEMS_MAX} items")]
    TooManyItems,
    /// More pages than any bucket needs.
    #[error("a bucket of more than {BUCKET_PAGES_MAX} pages")]
    TooManyPages,
    /// An item that does not rise, is of another bucket or has a field of the wrong length.
    #[error("a list that is out of order or not of its bucket")]
    List,
    /// The list read is not what its digest is over. Once may be chance: the directory changed in between.
    #[error("a list that is not what its digest says")]
    OtherList,
    /// Nothing of what it listed as newer came, or nothing that came held.
    #[error("descriptors that it lists and does not have, or that do not hold")]
    Hollow,
    /// More bytes than one session may bring.
    #[error("more bytes than one session may bring")]
    TooMuch,
}

/// One descriptor, as a list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The node.
    pub node: NodeId,
    /// Its organisation: a hint, for whoever does not know the node.
    pub org: OrgId,
    /// The descriptor's serial.
    pub serial: u64,
    /// SHA-256 of its payload.
    pub hash: [u8; 32],
}

impl Item {
    fn read(item: &wire::BucketItem) -> Option<Self> {
        let node = NodeId::try_from(item.node.as_slice()).ok()?;
        let org = OrgId::try_from(item.org.as_slice()).ok()?;
        Some(Self { node, org, serial: item.serial, hash: item.sha256.as_slice().try_into().ok()? })
    }

    fn show(&self) -> wire::BucketItem {
        wire::BucketItem {
            node: self.node.to_vec(),
            org: self.org.to_vec(),
            serial: self.serial,
            sha256: self.hash.to_vec(),
        }
    }
}

/// The bucket of a node.
#[must_use]
pub fn bucket_of(node: NodeId) -> u8 {
    sha256(node.as_bytes())[0]
}

/// The digest of a bucket that holds these items, which rise by node id.
#[must_use]
pub fn digest(items: &[Item]) -> [u8; 32] {
    let serials: Vec<[u8; 8]> = items.iter().map(|item| item.serial.to_be_bytes()).collect();
    let parts = items.iter().zip(&serials);
    let parts: Vec<&[u8]> = parts.flat_map(|(i, serial)| [&i.node.0[..], &serial[..], &i.hash[..]]).collect();
    hash(labels::SYNC_BUCKET, &parts)
}

/// A directory as others are told of it. Made once for each state of the directory: with ten thousand descriptors that is
/// some milliseconds, and an answer is a copy.
pub struct Buckets {
    lists: Vec<Vec<Item>>,
    digests: Vec<u8>,
    common: [u8; 32],
    state: [u8; 32],
    /// By week, every hash that a descriptor lists, in order, with whose it is.
    listed: BTreeMap<u64, Vec<([u8; 32], NodeId)>>,
    nodes: usize,
}

impl Buckets {
    /// Looks through a directory.
    #[must_use]
    pub fn of(directory: &Directory) -> Self {
        let mut lists: Vec<Vec<Item>> = vec![Vec::new(); BUCKETS];
        let mut listed: BTreeMap<u64, Vec<([u8; 32], NodeId)>> = BTreeMap::new();
        for (node, entry) in &directory.descriptors {
            let list = &mut lists[usize::from(bucket_of(*node))];
            // By rising node id, so that everybody leaves out the same ones.
            if let Some(org) = directory.org_of(*node).filter(|_| list.len() < BUCKET_ITEMS_MAX) {
                list.push(Item { node: *node, org, serial: entry.value().serial, hash: entry.hash });
            }
            for prekey in &entry.value().prekeys {
                if let Ok(hash) = prekey.sha256.as_slice().try_into() {
                    listed.entry(prekey.week).or_default().push((hash, *node));
                }
            }
        }
        listed.values_mut().for_each(|hashes| hashes.sort_unstable());
        let digests: Vec<u8> = lists.iter().flat_map(|list| digest(list)).collect();
        let common = common(directory);
        let state = state(directory, &digests, &common);
        Self { lists, digests, common, state, listed, nodes: directory.descriptors.len() }
    }

    /// The digests of all buckets, one after the other.
    #[must_use]
    pub fn digests(&self) -> &[u8] {
        &self.digests
    }

    /// One hash over every policy and revocation held.
    #[must_use]
    pub fn common(&self) -> [u8; 32] {
        self.common
    }

    /// One hash over all that is said of this directory: the digests, `common`, and how far each directory log is held.
    #[must_use]
    pub fn state(&self) -> [u8; 32] {
        self.state
    }

    /// The answer to somebody whose own state is `theirs`: in one word when it is the same.
    #[must_use]
    pub fn answer(&self, directory: &Directory, theirs: &[u8], now: u64) -> wire::DigestsReply {
        if theirs == self.state {
            return wire::DigestsReply { now, ..Default::default() };
        }
        let heads = directory.heads();
        wire::DigestsReply { digests: self.digests.clone(), heads, now, common: self.common.to_vec(), unheard: false }
    }

    /// Reads such an answer: the buckets that differ, and whether policies and revocations do.
    ///
    /// # Errors
    /// [`SyncFault::Digests`].
    pub fn compare(&self, answer: &wire::DigestsReply) -> Result<(Vec<u8>, bool), SyncFault> {
        if answer.digests.is_empty() && answer.common.is_empty() {
            return Ok((Vec::new(), false));
        }
        let common = <[u8; 32]>::try_from(answer.common.as_slice()).map_err(|_| SyncFault::Digests)?;
        Ok((self.differing(&answer.digests)?, common != self.common))
    }

    /// Which buckets differ from what a peer says of its own.
    ///
    /// # Errors
    /// [`SyncFault::Digests`].
    pub fn differing(&self, theirs: &[u8]) -> Result<Vec<u8>, SyncFault> {
        if theirs.len() != self.digests.len() {
            return Err(SyncFault::Digests);
        }
        let pairs = self.digests.chunks(DIGEST).zip(theirs.chunks(DIGEST)).zip(0u8..=255);
        Ok(pairs.filter(|((ours, theirs), _)| ours != theirs).map(|(_, bucket)| bucket).collect())
    }

    /// One page of a bucket's list, from behind a node on; at most [`SYNC_PAGE_MAX`] bytes encoded.
    #[must_use]
    pub fn page(&self, bucket: u8, after: Option<NodeId>) -> wire::BucketReply {
        let list = &self.lists[usize::from(bucket)];
        let from = after.map_or(0, |after| list.partition_point(|item| item.node <= after));
        let rest = list.get(from..).unwrap_or_default();
        let mut page = wire::BucketReply::default();
        let mut len = NEXT_LEN;
        for item in rest {
            let item = item.show();
            len += framed(item.encoded_len());
            if len > SYNC_PAGE_MAX {
                break;
            }
            page.items.push(item);
        }
        if page.items.len() < rest.len() {
            page.next = page.items.last().map(|item| item.node.clone()).unwrap_or_default();
        }
        page
    }

    /// The descriptors of these nodes that are held, as many as one answer has room for. More than
    /// [`DESCRIPTORS_ASKED_MAX`] are not looked at.
    #[must_use]
    pub fn descriptors(directory: &Directory, nodes: &[NodeId]) -> wire::RecordBundle {
        let mut bundle = wire::RecordBundle::default();
        let mut len = 0;
        for node in nodes.iter().take(DESCRIPTORS_ASKED_MAX) {
            let Some(entry) = directory.descriptors.get(node) else { continue };
            let record = entry.record.raw();
            len += framed(record.encoded_len());
            if len > UNARY_MAX {
                break;
            }
            bundle.records.push(record.clone());
        }
        bundle
    }

    /// The prekeys held of one group.
    #[must_use]
    pub fn group(&self, directory: &Directory, week: u64, group: u32) -> wire::PrekeysReply {
        let hashes = self.listed.get(&week).map_or(&[][..], Vec::as_slice);
        let group = usize::try_from(group).ok().and_then(|n| hashes.chunks(PREKEY_GROUP).nth(n)).unwrap_or_default();
        let held = group.iter().filter_map(|(_, node)| directory.prekeys.get(&(*node, week)));
        let prekeys = held.map(|key| wire::Prekey { week, pk: key.as_bytes().to_vec() }).collect();
        wire::PrekeysReply { prekeys }
    }

    /// The prekeys that a reader of this directory should have and has not, in the order in which to fetch them: the
    /// weeks one after the other, from this one on. Of nodes whose descriptor expired nothing is missed.
    #[must_use]
    pub fn missing(&self, directory: &Directory, now: u64) -> Vec<Missing> {
        let weeks = if self.nodes <= PREKEYS_ALL_NODES { published(now) } else { now / WEEK..now / WEEK + 2 };
        let current = |node: &NodeId| directory.descriptor(*node).is_some_and(|d| d.expires > now);
        let mut missing = Vec::new();
        for (week, hashes) in self.listed.range(weeks) {
            for (group, chunk) in (0u32..).zip(hashes.chunks(PREKEY_GROUP)) {
                let lacks = |node: &NodeId| !directory.prekeys.contains_key(&(*node, *week)) && current(node);
                let lacking = chunk.iter().filter(|(_, node)| lacks(node));
                missing.extend(lacking.map(|(_, node)| Missing { week: *week, group, node: *node }));
            }
        }
        missing
    }
}

/// A prekey that is listed and not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Its week.
    pub week: u64,
    /// The group it is in.
    pub group: u32,
    /// Whose it is.
    pub node: NodeId,
}

/// Length of a field inside another message: tag, length, contents.
fn framed(len: usize) -> usize {
    1 + prost::length_delimiter_len(len) + len
}

/// Length of `BucketReply.next`.
const NEXT_LEN: usize = 2 + NodeId::LEN;

fn common(directory: &Directory) -> [u8; 32] {
    let policies = std::iter::once(&directory.genesis).chain(&directory.walk).map(|signed| sha256(&signed.payload));
    let rivals = directory.policy.contested().into_iter().flatten().map(|entry| entry.hash);
    // Whichever of two truths came first: a set.
    let policies: BTreeSet<[u8; 32]> = policies.chain(rivals).collect();
    let ends = directory.revocations.values().map(|entry| entry.hash);
    let all: Vec<[u8; 32]> = policies.into_iter().chain(ends).collect();
    hash(labels::SYNC_COMMON, &all.iter().map(|h| &h[..]).collect::<Vec<_>>())
}

fn state(directory: &Directory, digests: &[u8], common: &[u8; 32]) -> [u8; 32] {
    let heads: Vec<Vec<u8>> = directory.reached().map(|(node, held)| [&node.0[..], &held[..]].concat()).collect();
    let parts = [digests, &common[..]].into_iter().chain(heads.iter().map(Vec::as_slice));
    hash(labels::SYNC_STATE, &parts.collect::<Vec<_>>())
}

/// A peer's list of one bucket while it is read, page by page.
pub struct Listing {
    bucket: u8,
    items: Vec<Item>,
    pages: usize,
}

impl Listing {
    /// Nothing read yet.
    #[must_use]
    pub fn new(bucket: u8) -> Self {
        Self { bucket, items: Vec::new(), pages: 0 }
    }

    /// Reads one page; answers with what to ask for next, or `None` at the end.
    ///
    /// # Errors
    /// [`SyncFault`]; then nothing of the list is followed.
    pub fn read(&mut self, page: &wire::BucketReply) -> Result<Option<NodeId>, SyncFault> {
        self.pages += 1;
        if self.pages > BUCKET_PAGES_MAX {
            return Err(SyncFault::TooManyPages);
        }
        if page.items.len() > BUCKET_ITEMS_MAX - self.items.len() {
            return Err(SyncFault::TooManyItems);
        }
        for item in &page.items {
            let item = Item::read(item).ok_or(SyncFault::List)?;
            let rises = self.items.last().is_none_or(|last| last.node < item.node);
            if !rises || bucket_of(item.node) != self.bucket {
                return Err(SyncFault::List);
            }
            self.items.push(item);
        }
        if page.next.is_empty() {
            return Ok(None);
        }
        let last = page.items.last().filter(|last| last.node == page.next).ok_or(SyncFault::List)?;
        NodeId::try_from(last.node.as_slice()).map(Some).map_err(|_| SyncFault::List)
    }

    /// The whole list.
    ///
    /// # Errors
    /// [`SyncFault::OtherList`] when `digests`, all of them, say something else of this bucket.
    pub fn whole(self, digests: &[u8]) -> Result<Vec<Item>, SyncFault> {
        let told = digests.chunks(DIGEST).nth(usize::from(self.bucket));
        if told == Some(&digest(&self.items)[..]) { Ok(self.items) } else { Err(SyncFault::OtherList) }
    }
}

/// What to ask a peer for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Descriptors that are newer there, of nodes whose certificate is held; at most [`DESCRIPTORS_SESSION_MAX`].
    pub known: Vec<Item>,
    /// Descriptors of nodes that are not known; as many at most, all of `orgs`.
    pub strangers: Vec<Item>,
    /// Organisations of nodes that are not known; at most [`ORGS_SESSION_MAX`], each once.
    pub orgs: Vec<OrgId>,
}

impl Wanted {
    /// Adds what is newer in a list of a peer's. What was made ahead of our clock is left for when its time has come.
    pub fn add(&mut self, directory: &Directory, items: &[Item], now: u64) {
        for item in items {
            let ahead = item.serial.checked_mul(HOUR).is_none_or(|at| at > now.saturating_add(DESCRIPTOR_AHEAD_SECS));
            if ahead || holds(directory, item) {
                continue;
            }
            if directory.certs.contains_key(&item.node) {
                if self.known.len() < DESCRIPTORS_SESSION_MAX {
                    self.known.push(item.clone());
                }
                continue;
            }
            let listed = self.orgs.contains(&item.org);
            if !listed && self.orgs.len() < ORGS_SESSION_MAX {
                self.orgs.push(item.org);
            }
            if (listed || self.orgs.last() == Some(&item.org)) && self.strangers.len() < DESCRIPTORS_SESSION_MAX {
                self.strangers.push(item.clone());
            }
        }
    }

    /// Whether anything is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.strangers.is_empty()
    }

    /// What of it a directory does not hold, nor anything newer.
    pub fn left(&self, directory: &Directory) -> impl Iterator<Item = &Item> {
        self.known.iter().chain(&self.strangers).filter(|item| !holds(directory, item))
    }
}

/// Whether the descriptor of an item, another of its serial or a newer one is held.
fn holds(directory: &Directory, item: &Item) -> bool {
    directory.descriptors.get(&item.node).is_some_and(|held| held.value().serial >= item.serial)
}

#[cfg(test)]
mod tests;

//! The directory logs of coordinators as this node follows them: every entry of each, under a head that enough of the
//! other coordinators cosigned, and how long ago they did (protocol sections 7.3 and 7.4).
//!
//! An entry is an accreditation, a certificate, a policy or a revocation as it was signed; the log says that it was shown
//! to everybody. Refuses a head that is smaller than one already followed, one that too few cosigned, and entries that do
//! not lead to it. Whether a record is sound is the business of the directory's door, not of the log.

mod heads;
mod kept;
mod told;

use std::sync::Arc;

use clearhouse_wire::v1::{Coordinator, DirectoryLogReply, Revocation};

pub(crate) use kept::Followed;
pub use kept::{Entered, Newest};

use super::{Directory, Entry};
use crate::audit;
use crate::ids::{Net, NodeId, OrgId};
use crate::keys::{KeyFault, VerifyKey};
use crate::limits::{
    DESCRIPTOR_AHEAD_SECS, DIRECTORY_AGED_SECS, DIRECTORY_OLD_SECS, LOG_ENTRY_MAX, LOG_LEAVES_MAX,
    LOG_PAGE_ENTRIES_MAX, REVOCATION_LOGGED_SECS,
};
use crate::log::Hash;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::equivocation::Equivocation;
use crate::log::note::{KeyKind, NoteFault, NoteKey};
use crate::log::proof::ProofFault;
use crate::log::quorum::{List, Listed, Standing, tolerated};
use crate::merkle;

/// Why what was shown of a directory log is not followed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The policy in force names no such log.
    #[error("the policy in force names no directory log of this node")]
    NoSuchLog,
    /// The head, or a signature under it.
    #[error("its head: {0}")]
    Head(#[from] NoteFault),
    /// Too few of the other coordinators cosigned.
    #[error("its head was not cosigned by enough of the other coordinators")]
    NotWitnessed,
    /// A head below the one already followed (attack case 15).
    #[error("its head has fewer entries than one that was shown before")]
    Smaller,
    /// More entries than a page may have, a larger one than a record may be, or none where there should be some.
    #[error("a page of it is not as it has to be")]
    Page,
    /// Somebody else showed the same entries while this page was on its way: it is asked for anew.
    #[error("it was read from somewhere else meanwhile")]
    Overtaken,
    /// Entries named by the hashes of their leaves, one of which no other log has shown: ask for the entries.
    #[error("a page of it names entries that are not held")]
    NotHeld,
    /// The entries do not lead to the head; with the proof, where it is one, that the log shows two histories.
    #[error("its entries do not lead to its head")]
    Forked(Option<Box<Equivocation>>),
    /// A proof that an entry is in it.
    #[error("{0}")]
    Proof(#[from] ProofFault),
}

// By hand: a proof holds nothing secret, and nothing readable either.
impl std::fmt::Debug for LogFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// How old the newest word of enough coordinators is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// The policy names no directory logs: accreditation rests on signatures alone.
    NoLogs,
    /// Cosigned then, within 48 hours.
    Fresh(u64),
    /// Cosigned then, within 14 days: nothing of a person's profile leaves.
    Aged(u64),
    /// Longer ago, or never (0): nobody new is told anything.
    Old(u64),
}

/// A page that held. Only [`Directory::check_page`] makes one.
#[derive(Clone)]
pub struct CheckedPage {
    node: NodeId,
    first: u64,
    entered: Vec<Entered>,
    newest: Newest,
}

impl CheckedPage {
    /// Whether all entries under its head are held with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.first + self.entered.len() as u64 >= self.newest.size
    }

    /// Whose log it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The position of its first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Its entries.
    #[must_use]
    pub fn entered(&self) -> &[Entered] {
        &self.entered
    }

    /// The head they lead to.
    #[must_use]
    pub fn newest(&self) -> &Newest {
        &self.newest
    }
}

/// The name of a coordinator's directory log: `clearhouse.<net8>/<org>/<node>/directory`.
#[must_use]
pub fn origin(net: Net, org: OrgId, node: NodeId) -> String {
    format!("clearhouse.{}/{org}/{node}/directory", crate::ids::hex(&net.0[..4]))
}

/// The key of the directory log that a policy names for a coordinator, if it is one of exactly this coordinator's.
pub(super) fn log_of(
    net: Net,
    coordinator: &Coordinator,
    read: impl Fn(&[u8]) -> Result<VerifyKey, KeyFault>,
) -> Option<(NodeId, NoteKey)> {
    let (org, node) = ends_of(coordinator)?;
    let key = NoteKey::parse_by(&coordinator.log_vkey, read).ok().filter(|key| key.kind() == KeyKind::Log)?;
    (key.name() == origin(net, org, node)).then_some((node, key))
}

/// The key with which a coordinator cosigns the others' directory logs, by the same policy.
pub(super) fn witness_of(
    net: Net,
    coordinator: &Coordinator,
    read: impl Fn(&[u8]) -> Result<VerifyKey, KeyFault>,
) -> Option<NoteKey> {
    let (org, node) = ends_of(coordinator)?;
    audit::witness_key(&coordinator.witness_vkey, net, org, node, read)
}

/// Organisation and node of a coordinator, by the same policy.
pub(super) fn ends_of(coordinator: &Coordinator) -> Option<(OrgId, NodeId)> {
    Some((coordinator.id.as_slice().try_into().ok()?, coordinator.node_id.as_slice().try_into().ok()?))
}

impl Directory {
    /// Whether the policy in force names directory logs: then a record counts only when it stands in one.
    #[must_use]
    pub fn has_logs(&self) -> bool {
        self.policy().coordinators.iter().any(|c| !c.log_vkey.is_empty())
    }

    /// The directory logs that the policy in force names: whose, and its key.
    pub fn directory_logs(&self) -> impl Iterator<Item = (NodeId, NoteKey)> {
        let logs = self.policy().coordinators.iter().filter_map(|c| log_of(self.net(), c, VerifyKey::held));
        // What a keeper of two histories showed may be what it showed to nobody else.
        logs.filter(|(node, _)| !self.is_suspended(*node))
    }

    /// How many logs a node reads in a round, in their turn: one of so many is that of an honest coordinator, which enters
    /// whatever it learns from anybody.
    #[must_use]
    pub fn logs_each_round(&self) -> usize {
        let liars = usize::try_from(self.policy().f).unwrap_or(usize::MAX);
        liars.saturating_add(1).min(self.directory_logs().count())
    }

    /// The key of one coordinator's directory log.
    #[must_use]
    pub fn directory_log(&self, node: NodeId) -> Option<NoteKey> {
        self.directory_logs().find(|(of, _)| *of == node).map(|(_, key)| key)
    }

    /// Who cosigns the directory log of a coordinator's node, and how many are enough: the policy's other coordinators.
    /// The policy alone says so, or nobody could read the log in which their certificates stand.
    #[must_use]
    pub fn directory_witnesses(&self, node: NodeId) -> List {
        let others = self.policy().coordinators.iter().filter(|c| c.node_id != node.0);
        let listed = others.filter_map(|c| {
            let key = witness_of(self.net(), c, VerifyKey::held)?;
            Some(Listed { node: Some(c.node_id.as_slice().try_into().ok()?), key, country: c.country.clone() })
        });
        List::drawn(listed.collect(), Vec::new())
    }

    /// Checks what somebody showed of a directory log: the entries after those that are held, and a head. `now` decides
    /// only which cosignatures may say how fresh it is: one from the future says nothing, and its head counts all the same.
    ///
    /// # Errors
    /// [`LogFault`]: then nothing of it is taken.
    pub fn check_page(&self, node: NodeId, page: &DirectoryLogReply, now: u64) -> Result<CheckedPage, LogFault> {
        let log = self.directory_log(node).ok_or(LogFault::NoSuchLog)?;
        let shown = SignedCheckpoint::open(&page.head, &log)?;
        let mut newest = self.witnessed(node, &shown, now)?;
        let none = Followed::default();
        let held = self.logs.get(&node).map_or(&none, Arc::as_ref);
        newest.fresh = newest.fresh.max(held.newest.as_ref().map_or(0, |head| head.fresh));
        if held.newest.as_ref().is_some_and(|held| held.size > newest.size) {
            return Err(LogFault::Smaller);
        }
        let fits = page.entries.len() <= LOG_PAGE_ENTRIES_MAX && page.entries.iter().all(|e| e.len() <= LOG_ENTRY_MAX);
        let (leaves, odd) = page.leaves.as_chunks::<32>();
        let one_kind = page.entries.is_empty() || leaves.is_empty();
        let count = page.entries.len() + leaves.len();
        let stands_still = count == 0 && held.size() < newest.size;
        let beyond = count > 0 && held.size() + count as u64 > newest.size;
        if !fits || !one_kind || !odd.is_empty() || leaves.len() > LOG_LEAVES_MAX || stands_still || beyond {
            return Err(LogFault::Page);
        }
        let named = leaves.iter().map(|leaf| Some(Entered { leaf: *leaf, record: *self.entries.get(leaf)? }));
        let shown_before = named.collect::<Option<Vec<Entered>>>().ok_or(LogFault::NotHeld)?;
        let entered: Vec<Entered> = page.entries.iter().map(|entry| Entered::of(entry)).chain(shown_before).collect();
        let path: Vec<Hash> = page
            .path
            .iter()
            .map(|hash| hash.as_slice().try_into())
            .collect::<Result<_, _>>()
            .map_err(|_| LogFault::Page)?;
        if !leads(held, &entered, shown.checkpoint(), &path) {
            let before = held.newest.as_ref().and_then(|head| SignedCheckpoint::of(head.note.clone(), &log).ok());
            let proof = before.and_then(|before| Equivocation::of(&before, &shown, &path, &log).ok());
            return Err(LogFault::Forked(proof.map(Box::new)));
        }
        // A longer head was shown before these entries were: it has to be theirs, too, once it is reached.
        let awaited = held.pending.as_ref().filter(|head| head.size <= held.size() + entered.len() as u64);
        if let Some(awaited) = awaited.and_then(|head| SignedCheckpoint::of(head.note.clone(), &log).ok())
            && !leads(held, &entered, awaited.checkpoint(), &[])
        {
            let proof = Equivocation::of(&awaited, &shown, &path, &log).ok();
            return Err(LogFault::Forked(proof.map(Box::new)));
        }
        Ok(CheckedPage { node, first: held.size(), entered, newest })
    }

    /// A head that enough of the others cosigned, and when one of them that is honest still saw it: of the f+1 newest
    /// times the oldest, because f of them may be invented.
    fn witnessed(&self, node: NodeId, shown: &SignedCheckpoint, now: u64) -> Result<Newest, LogFault> {
        let standing: Standing = self.directory_witnesses(node).standing(shown)?;
        if !standing.reached {
            return Err(LogFault::NotWitnessed);
        }
        // By the policy f of all coordinators may lie, and every one of them may be among this log's witnesses.
        let liars = tolerated(standing.listed).max(usize::try_from(self.policy().f).unwrap_or(usize::MAX));
        let until = now.saturating_add(DESCRIPTOR_AHEAD_SECS);
        let newest = || standing.seen.iter().rev().map(|seen| seen.at);
        let fresh = newest().filter(|at| *at <= until).nth(liars).unwrap_or(0);
        let told = newest().nth(liars).unwrap_or(0);
        Ok(Newest { size: shown.checkpoint().size, fresh, told, note: shown.note().clone() })
    }

    /// Takes a page that held.
    pub fn follow(&mut self, page: &CheckedPage) {
        self.take_entries(page.node, page.first, &page.entered);
        self.take_newest(page.node, page.newest.clone());
    }

    /// Takes entries of a log at their place: those of a page that held, those of this node's own log, or those that were
    /// kept. They count once a head covers them. Entries that would leave a gap are not taken.
    pub fn take_entries(&mut self, node: NodeId, first: u64, entered: &[Entered]) {
        let followed = Arc::make_mut(self.logs.entry(node).or_default());
        if first > followed.size() {
            return;
        }
        let known = usize::try_from(followed.size() - first).unwrap_or(usize::MAX);
        let fresh = entered.get(known..).unwrap_or_default();
        for entered in fresh {
            followed.edge.push(entered.leaf);
            followed.entries.push(*entered);
        }
        followed.settle();
        Arc::make_mut(&mut self.entries).extend(fresh.iter().map(|entered| (entered.leaf, entered.record)));
        self.count_published(node);
    }

    /// Takes a head that held. Until all its entries are held, it only says which of them count.
    pub fn take_newest(&mut self, node: NodeId, newest: Newest) {
        Arc::make_mut(self.logs.entry(node).or_default()).take(newest);
        self.count_published(node);
    }

    fn count_published(&mut self, node: NodeId) {
        let Some(followed) = self.logs.get_mut(&node).map(Arc::make_mut) else { return };
        let covered = followed.covered();
        if followed.counted < covered {
            let fresh = &followed.entries[followed.counted..covered];
            Arc::make_mut(&mut self.published).extend(fresh.iter().map(|entered| entered.record));
            followed.counted = covered;
        }
    }

    /// How many entries of a directory log are held.
    #[must_use]
    pub fn followed(&self, node: NodeId) -> u64 {
        self.logs.get(&node).map_or(0, |followed| followed.size())
    }

    /// The newest head of a directory log that held and of which all entries are held.
    #[must_use]
    pub fn newest_head(&self, node: NodeId) -> Option<&Newest> {
        self.logs.get(&node)?.newest.as_ref()
    }

    /// What can be told of a directory log: its entries as they are held, at most `count` from `first` on.
    #[must_use]
    pub fn entered(&self, node: NodeId, first: u64, count: usize) -> &[Entered] {
        let Some(followed) = self.logs.get(&node) else { return &[] };
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let rest = followed.entries.get(first..).unwrap_or_default();
        &rest[..count.min(rest.len())]
    }

    /// Whether a record stands in a log that everybody follows. Without logs in the policy nothing has to.
    pub(super) fn is_published(&self, record: &Hash) -> bool {
        !self.has_logs() || self.published.contains(record)
    }

    /// Revocations that took effect more than [`REVOCATION_LOGGED_SECS`] ago and stand in no directory log: somebody was put
    /// out without everybody seeing it. They count all the same. None are named while the logs themselves are out of date.
    pub fn unlogged_revocations(&self, now: u64) -> impl Iterator<Item = &Revocation> {
        let fresh = matches!(self.freshness(now), Freshness::Fresh(_));
        let late = move |r: &Revocation| now.saturating_sub(r.effective) > REVOCATION_LOGGED_SECS;
        let unseen = self.revocations.values().filter(move |entry| fresh && !self.published.contains(&entry.hash));
        unseen.map(Entry::value).filter(move |revocation| late(revocation))
    }

    /// The newest time that any log's coordinators told, f of them left out, whatever this node's clock says of it.
    pub(super) fn newest_word(&self) -> u64 {
        let heads = self.logs.values().flat_map(|followed| followed.newest.iter().chain(&followed.pending));
        heads.map(|head| head.told).max().unwrap_or(0)
    }

    /// How old the newest word of f+1 coordinators is, all entries up to it held (protocol section 7.4).
    #[must_use]
    pub fn freshness(&self, now: u64) -> Freshness {
        if !self.has_logs() {
            return Freshness::NoLogs;
        }
        let word = |node: NodeId| Some(self.newest_head(node)?.fresh);
        let mut words: Vec<u64> = self.directory_logs().filter_map(|(node, _)| word(node)).collect();
        words.sort_unstable_by(|a, b| b.cmp(a));
        let liars = usize::try_from(self.policy().f).unwrap_or(usize::MAX);
        let at = words.get(liars).copied().unwrap_or(0);
        match now.saturating_sub(at) {
            age if age < DIRECTORY_AGED_SECS => Freshness::Fresh(at),
            age if age < DIRECTORY_OLD_SECS => Freshness::Aged(at),
            _ => Freshness::Old(at),
        }
    }
}

/// Whether the entries that are held and these lead to a head.
fn leads(held: &Followed, entered: &[Entered], head: &Checkpoint, path: &[Hash]) -> bool {
    let mut edge = held.edge.clone();
    entered.iter().for_each(|entered| edge.push(entered.leaf));
    if edge.size() <= head.size {
        return merkle::extends((edge.size(), &edge.root()), (head.size, &head.root), path);
    }
    // The keeper of a log has entries that no head covers yet.
    let count = usize::try_from(head.size).unwrap_or(usize::MAX);
    let leaves: Vec<Hash> = held.entries.iter().chain(entered).take(count).map(|entered| entered.leaf).collect();
    merkle::root(&leaves) == head.root
}

#[cfg(test)]
#[path = "tests/logs.rs"]
mod tests;

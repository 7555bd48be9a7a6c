//! What is held about one subject whose records are chained by version: the newest, the one before, and what contradicts
//! the newest (protocol section 7.3; attack case 20).
//!
//! Two records of one version, each signed by who may, are two truths. Then neither counts: the version before does, the
//! evidence stays, and only a higher version ends it. Refuses to choose between the two.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

use clearhouse_wire::v1::{NodeCert, OrgRecord, RootPolicy, Signed};

use super::{Entry, RecordFault};
use crate::pae::sha256;

/// A record with a place in a chain.
pub(crate) trait Chained {
    /// Its version.
    fn version(&self) -> u64;
    /// SHA-256 of the payload of the version before.
    fn prev_hash(&self) -> &[u8];
}

/// How a record relates to what is held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is held.
    Same,
    /// The direct successor.
    Next,
    /// Another record of the version held.
    Rival,
}

/// The records of one subject.
#[derive(Clone)]
pub(crate) struct Held<T> {
    newest: Entry<T>,
    before: Option<Entry<T>>,
    rival: Option<Entry<T>>,
}

impl<T: Chained> Held<T> {
    /// The first record of a subject, of whatever version.
    pub(crate) fn first(entry: Entry<T>) -> Self {
        Self { newest: entry, before: None, rival: None }
    }

    /// The newest record that is not contested and of which `counts` says that it does; of the two that are held.
    pub(crate) fn in_force(&self, counts: impl Fn(&Entry<T>) -> bool) -> Option<&Entry<T>> {
        let newest = Some(&self.newest).filter(|_| self.rival.is_none());
        newest.into_iter().chain(&self.before).find(|entry| counts(entry))
    }

    /// The record that is not contested, or the newest: for names and for old signatures, never for rights.
    pub(crate) fn shown(&self) -> &Entry<T> {
        self.in_force(|_| true).unwrap_or(&self.newest)
    }

    /// The newest record, contested or not.
    pub(crate) fn newest(&self) -> &Entry<T> {
        &self.newest
    }

    /// The record that another one follows: the newest, its rival, or for a rival itself the one before.
    pub(crate) fn predecessor(&self, next: &T) -> Option<&Entry<T>> {
        let all = [Some(&self.newest), self.rival.as_ref(), self.before.as_ref()];
        all.into_iter().flatten().find(|entry| entry.hash == next.prev_hash())
    }

    /// The two records that contradict each other, if there are two.
    pub(crate) fn contested(&self) -> Option<[&Entry<T>; 2]> {
        Some([&self.newest, self.rival.as_ref()?])
    }

    /// The records that lead to what is held, in the order in which a stranger must read them. `counts` is whether
    /// everybody was shown the newest: until then the one before counts, and again when the newest is contested.
    pub(crate) fn records(&self, counts: bool) -> impl Iterator<Item = &Signed> {
        let before = self.before.iter().filter(move |_| !counts || self.rival.is_some());
        before.chain([&self.newest]).chain(&self.rival).map(|entry| entry.record.raw())
    }

    /// Where a record belongs; `counts` as in [`Held::records`]. After two contradicting records a third of that version says nothing new.
    pub(crate) fn place(&self, next: &T, payload: &[u8], counts: bool) -> Result<Place, RecordFault> {
        let (hash, version) = (sha256(payload), self.newest.value().version());
        let follows = |entry: &Entry<T>| entry.hash == next.prev_hash();
        let before = self.before.as_ref().filter(|_| !counts || self.rival.is_some());
        let all = [Some(&self.newest), self.rival.as_ref(), before];
        if all.into_iter().flatten().any(|entry| entry.hash == hash) {
            return Ok(Place::Same);
        }
        if next.version() < version {
            return Err(RecordFault::Rollback);
        }
        if next.version() == version {
            return if self.rival.is_some() { Err(RecordFault::Equivocation) } else { Ok(Place::Rival) };
        }
        let chained = follows(&self.newest) || self.rival.as_ref().is_some_and(follows);
        if version.checked_add(1) == Some(next.version()) && chained {
            Ok(Place::Next)
        } else {
            Err(RecordFault::Broken)
        }
    }

    /// Takes the direct successor; it ends whatever was contested.
    pub(crate) fn advance(&mut self, next: Entry<T>) {
        let newest = std::mem::replace(&mut self.newest, next);
        let rival = self.rival.take().filter(|rival| rival.hash == self.newest.value().prev_hash());
        self.before = Some(rival.unwrap_or(newest));
    }

    /// Takes another record of the version held.
    pub(crate) fn contest(&mut self, rival: Entry<T>) {
        self.rival = Some(rival);
    }
}

/// Takes the direct successor of what is held of a subject, or its first record.
pub(super) fn advance<K: Ord, T: Chained>(all: &mut BTreeMap<K, Held<T>>, subject: K, next: Entry<T>) {
    match all.entry(subject) {
        MapEntry::Occupied(held) => held.into_mut().advance(next),
        MapEntry::Vacant(place) => drop(place.insert(Held::first(next))),
    }
}

/// Takes another record of the version held of a subject.
pub(super) fn contest<K: Ord, T: Chained>(all: &mut BTreeMap<K, Held<T>>, subject: K, rival: Entry<T>) {
    if let Some(held) = all.get_mut(&subject) {
        held.contest(rival);
    }
}

impl Chained for RootPolicy {
    fn version(&self) -> u64 {
        self.version
    }
    fn prev_hash(&self) -> &[u8] {
        &self.prev_hash
    }
}

impl Chained for OrgRecord {
    fn version(&self) -> u64 {
        self.version
    }
    fn prev_hash(&self) -> &[u8] {
        &self.prev_hash
    }
}

impl Chained for NodeCert {
    fn version(&self) -> u64 {
        self.version
    }
    fn prev_hash(&self) -> &[u8] {
        &self.prev_hash
    }
}

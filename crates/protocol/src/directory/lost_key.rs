//! A root key that is lost: the next accreditation names another one, and the old one has not signed it (protocol section
//! 7.3; attack case 16).
//!
//! Such a record stands beside what is held, never in it. It gives no right before everybody could see it in the directory
//! logs for [`LOST_KEY_WAIT_SECS`], and coordinators have spoken since then with all their entries read here. Meanwhile the
//! root key in force has every say: the next version that it signs takes the place, and its objection ends the matter.
//! Refuses to believe a time that signers or this node's own clock alone would choose, and to choose between two of them.

use std::collections::BTreeMap;

use clearhouse_wire::v1::{NetworkKind, Objection, OrgRecord, Signed};

use super::admit::{self, Checked, RecordFault, Rival};
use super::held::{Held, Place};
use super::logs::Freshness;
use super::{Directory, Entry};
use crate::ids::OrgId;
use crate::labels::media;
use crate::limits::{LOST_KEY_WAIT_SECS, OBJECTIONS_MAX};
use crate::signed::{self, Verdicts, Verified};

/// Whose wait began, with which record, and when.
const WAIT_LEN: usize = 40;

/// What waits for one organisation.
#[derive(Clone)]
pub(super) struct Announced {
    first: Entry<OrgRecord>,
    /// Another one: with two of them neither counts.
    rival: Option<Entry<OrgRecord>>,
    /// Since when this node saw the first where everybody can, unix seconds.
    since: Option<u64>,
}

impl Announced {
    fn entries(&self) -> impl Iterator<Item = &Entry<OrgRecord>> {
        std::iter::once(&self.first).chain(&self.rival)
    }
}

/// The word of the root key in force against records that would replace it, by the hash of their payload.
pub(super) type Objections = BTreeMap<OrgId, BTreeMap<[u8; 32], Entry<Objection>>>;

/// A root key that waits, for people.
#[derive(Clone, Copy)]
pub struct LostKey<'d> {
    /// Whose it would be.
    pub org: OrgId,
    /// The record that names it.
    pub record: &'d OrgRecord,
    /// SHA-256 of the payload of that record: what an objection names.
    pub announced: [u8; 32],
    /// How far it is.
    pub stage: Stage,
}

impl LostKey<'_> {
    /// Whether nothing can come of it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Objected | Stage::Ended)
    }
}

/// How far the wait of a new root key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// No log that is followed here shows it yet.
    Unseen,
    /// It was seen: not before this time, in unix seconds, does it count.
    Until(u64),
    /// Another record of its version waits, too: neither comes to its end.
    Contested,
    /// The root key in force said no: it never counts.
    Objected,
    /// The organisation was ended: nothing of it counts.
    Ended,
}

/// The beginning of a wait, as a node keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    org: OrgId,
    announced: [u8; 32],
    since: u64,
}

impl Wait {
    /// The row key under which a node keeps it.
    #[must_use]
    pub fn row_key(&self) -> Vec<u8> {
        wait_key(self.org)
    }

    /// What is kept of it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&self.announced[..], &self.since.to_be_bytes()].concat()
    }

    /// Reads a row; `None` for one that is none of these.
    #[must_use]
    pub fn kept(key: &[u8], value: &[u8]) -> Option<Self> {
        let org = key.strip_prefix(b"W")?.try_into().ok()?;
        let value: &[u8; WAIT_LEN] = value.try_into().ok()?;
        let (announced, since) = value.split_first_chunk::<32>()?;
        Some(Self { org, announced: *announced, since: u64::from_be_bytes(since.try_into().ok()?) })
    }
}

fn wait_key(org: OrgId) -> Vec<u8> {
    [b"W".as_slice(), org.as_bytes()].concat()
}

impl Directory {
    /// Where a sound record belongs that names another root key without the word of the one before.
    pub(super) fn announce(&self, id: OrgId, record: Verified<OrgRecord>) -> Result<Option<Checked>, RecordFault> {
        let entry = Entry::new(record);
        // What the policy in force would not let in any more keeps nobody's place.
        let waiting = self.announced.get(&id).filter(|waiting| self.judge(&waiting.first).is_some());
        if waiting.is_some_and(|waiting| waiting.entries().any(|held| held.hash == entry.hash)) {
            return Ok(None);
        }
        if self.is_objected(id, &entry.hash) {
            return Err(RecordFault::Objected);
        }
        if self.orgs.get(&id).is_some_and(|held| held.contested().is_some()) {
            return Err(RecordFault::Equivocation);
        }
        let record = Verified::clone(&entry.record);
        match waiting {
            Some(waiting) if waiting.rival.is_some() => Err(RecordFault::Equivocation),
            Some(waiting) if !self.is_objected(id, &waiting.first.hash) => {
                Ok(Some(Checked::Rival(Rival::Announced(id, record))))
            }
            Some(_) | None => Ok(Some(Checked::Announced(id, record))),
        }
    }

    /// Checks an objection. Who asks what an organisation's key said needs to hold the organisation.
    pub(super) fn check_objection(&self, signed: &Signed, verdicts: &Verdicts) -> Result<Option<Checked>, RecordFault> {
        let claim: Verified<Objection> = admit::checked_parse(media::OBJECTION, signed)?;
        let objection = claim.value();
        self.same_net(&objection.net)?;
        let id = admit::org_id(&objection.org_id)?;
        admit::no_critical(&objection.extensions)?;
        let announced: [u8; 32] = objection.announced.as_slice().try_into().map_err(|_| RecordFault::Field)?;
        let held = self.orgs.get(&id).ok_or(RecordFault::Signer)?;
        let root = verdicts.held(&held.shown().value().org_root_pk)?;
        if signed::count_beside(media::OBJECTION, signed, &[root], verdicts)?.is_empty() {
            return Err(RecordFault::Signer);
        }
        let newest = held.newest().value().version;
        if objection.version <= newest {
            return Err(RecordFault::Rollback);
        }
        if newest.checked_add(1) != Some(objection.version) {
            return Err(RecordFault::Broken);
        }
        let all = self.objections.get(&id);
        if all.is_some_and(|all| all.contains_key(&announced)) {
            return Ok(None);
        }
        // One more says nothing new: after so many none is listened to that would take the key away.
        if all.is_some_and(|all| all.len() >= OBJECTIONS_MAX) {
            return Err(RecordFault::Objected);
        }
        Ok(Some(Checked::Objection(id, claim)))
    }

    /// Whether the root key in force said no to a record, or so often that it is taken to say no to any.
    pub(super) fn is_objected(&self, org: OrgId, announced: &[u8; 32]) -> bool {
        let all = self.objections.get(&org);
        all.is_some_and(|all| all.contains_key(announced) || all.len() >= OBJECTIONS_MAX)
    }

    pub(super) fn take_announced(&mut self, org: OrgId, first: Entry<OrgRecord>) {
        self.announced.insert(org, Announced { first, rival: None, since: None });
    }

    pub(super) fn contest_announced(&mut self, org: OrgId, rival: Entry<OrgRecord>) {
        if let Some(waiting) = self.announced.get_mut(&org) {
            waiting.rival = Some(rival);
        }
    }

    pub(super) fn take_objection(&mut self, org: OrgId, entry: Entry<Objection>) {
        if let Ok(announced) = <[u8; 32]>::try_from(entry.value().announced.as_slice()) {
            self.objections.entry(org).or_default().insert(announced, entry);
        }
    }

    /// After an organisation's record was taken: what does not follow it waits no longer, and what was said against such a
    /// record has done its work.
    pub(super) fn settle_announced(&mut self, org: OrgId) {
        let Some(held) = self.orgs.get(&org) else { return };
        let follows = |entry: &Entry<OrgRecord>| follows(held, entry);
        if self.announced.get(&org).is_some_and(|waiting| !follows(&waiting.first)) {
            self.announced.remove(&org);
        }
        if let Some(waiting) = self.announced.get_mut(&org) {
            waiting.rival.take_if(|rival| !follows(rival));
        }
        let newest = held.newest().value().version;
        if let Some(all) = self.objections.get_mut(&org) {
            all.retain(|_, entry| entry.value().version > newest);
        }
    }

    /// Every root key that waits, by organisation; of two for one organisation the first.
    pub fn lost_keys(&self, now: u64) -> impl Iterator<Item = LostKey<'_>> {
        self.announced.iter().map(move |(org, waiting)| LostKey {
            org: *org,
            record: waiting.first.value(),
            announced: waiting.first.hash,
            stage: self.stage(*org, waiting, now),
        })
    }

    /// The root key that waits for one organisation.
    #[must_use]
    pub fn lost_key(&self, org: OrgId, now: u64) -> Option<LostKey<'_>> {
        self.lost_keys(now).find(|waiting| waiting.org == org)
    }

    fn stage(&self, org: OrgId, waiting: &Announced, now: u64) -> Stage {
        let contested = self.orgs.get(&org).is_some_and(|held| held.contested().is_some());
        if self.is_revoked(&org.0, now) {
            Stage::Ended
        } else if self.is_objected(org, &waiting.first.hash) {
            Stage::Objected
        } else if waiting.rival.is_some() || contested {
            Stage::Contested
        } else {
            waiting.since.map_or(Stage::Unseen, |since| Stage::Until(since.saturating_add(LOST_KEY_WAIT_SECS)))
        }
    }

    /// The waits that begin: everybody can see the record since now. What coordinators said last counts where it is later
    /// than this node's clock, or a clock that is behind would end the wait early.
    #[must_use]
    pub fn waits_begun(&self, now: u64) -> Vec<Wait> {
        // Without logs nobody can say what everybody saw: a network of real cases waits until it has some.
        if !self.has_logs() && self.policy().kind() != NetworkKind::Training {
            return Vec::new();
        }
        let since = match self.freshness(now) {
            Freshness::NoLogs => now,
            Freshness::Fresh(at) | Freshness::Aged(at) | Freshness::Old(at) => now.max(at),
        };
        let unseen = self.announced.iter().filter(|(_, waiting)| waiting.since.is_none());
        let shown = unseen.filter(|(_, waiting)| self.is_published(&waiting.first.hash));
        shown.map(|(org, waiting)| Wait { org: *org, announced: waiting.first.hash, since }).collect()
    }

    /// Takes the beginning of a wait. One of another record, or of one that began, says nothing.
    pub fn begin_wait(&mut self, wait: &Wait) {
        if let Some(waiting) = self.announced.get_mut(&wait.org).filter(|waiting| waiting.first.hash == wait.announced)
        {
            waiting.since.get_or_insert(wait.since);
        }
    }

    /// The waits that are over at `now`: the records, each to be taken like any other. The time is the coordinators' word,
    /// all entries up to it read; who slept through the three days has to hear them first. Each is judged again by the
    /// policy in force, whose coordinators may be others than when it came.
    #[must_use]
    pub fn waits_over(&self, now: u64) -> Vec<Checked> {
        let heard = match self.freshness(now) {
            Freshness::NoLogs => now,
            Freshness::Fresh(at) | Freshness::Aged(at) => at.min(now),
            Freshness::Old(_) => return Vec::new(),
        };
        let over = |org: OrgId, waiting: &Announced| {
            let Stage::Until(until) = self.stage(org, waiting, now) else { return false };
            until <= heard && self.is_published(&waiting.first.hash)
        };
        let over = self.announced.iter().filter(|(org, waiting)| over(**org, waiting));
        over.filter_map(|(_, waiting)| self.judge(&waiting.first)).collect()
    }

    /// What becomes of a record that waits once it does no more; `None` when the policy in force does not let it in.
    fn judge(&self, waiting: &Entry<OrgRecord>) -> Option<Checked> {
        let judged = self.check_org(waiting.record.raw(), &Verdicts::default(), true).ok()?;
        judged.filter(|checked| matches!(checked, Checked::Org(..)))
    }

    /// The row keys under which a node keeps what waits for an organisation: to be deleted when the wait is over.
    #[must_use]
    pub fn waiting_row_keys(org: OrgId) -> [Vec<u8>; 2] {
        [announced_key(org), wait_key(org)]
    }

    /// What waits and what was said against it, as it came, in the order in which a stranger must read it.
    pub(super) fn waiting_records(&self) -> impl Iterator<Item = &Signed> {
        let announced = self.announced.values().flat_map(Announced::entries).map(|entry| entry.record.raw());
        let objections = self.objections.values().flat_map(BTreeMap::values).map(|entry| entry.record.raw());
        announced.chain(objections)
    }

    /// The records with another root key that wait for one organisation, as they came: at most two.
    pub fn announced(&self, org: OrgId) -> impl Iterator<Item = &Signed> {
        self.announced.get(&org).into_iter().flat_map(Announced::entries).map(|entry| entry.record.raw())
    }

    /// [`Directory::waiting_records`] of one organisation.
    pub(super) fn waiting_records_of(&self, org: OrgId) -> impl Iterator<Item = &Signed> {
        let announced = self.announced(org);
        let objections = self.objections.get(&org).into_iter().flat_map(BTreeMap::values).map(|e| e.record.raw());
        announced.chain(objections)
    }
}

pub(super) fn announced_key(org: OrgId) -> Vec<u8> {
    [b"A".as_slice(), org.as_bytes()].concat()
}

fn follows(held: &Held<OrgRecord>, entry: &Entry<OrgRecord>) -> bool {
    matches!(held.place(entry.value(), &entry.record.raw().payload, true), Ok(Place::Next))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/lost_key.rs"]
mod tests;

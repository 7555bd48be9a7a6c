//! A root key that is lost: the next accreditation names another one, and the old one has not signed it (protocol section
//! 7.3; attack case 16).
//!
//! Such a record stands beside what is held, never in it. It gives no right before everybody could see it for
//! [`LOST_KEY_WAIT_SECS`], in more directory logs than coordinators may lie, and coordinators have spoken since then with all their entries read here. Meanwhile the
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
use crate::pae::sha256;
use crate::signed::{self, Verdicts, Verified};

/// Whose wait began, with which record, and when.
const WAIT_LEN: usize = 40;

/// What waits for one organisation.
#[derive(Clone)]
pub(super) struct Announced {
    first: Entry<OrgRecord>,
    /// Another one: while both stand, neither counts.
    rival: Option<Entry<OrgRecord>>,
    /// Which of them this node saw where everybody can, and since when, unix seconds.
    since: Option<([u8; 32], u64)>,
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
    /// The organisation was ended, or those who signed are no coordinators any more: nothing comes of it.
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
        let held = self.announced.get(&id).into_iter().flat_map(Announced::entries);
        if held.filter(|held| self.judge(held).is_some()).any(|held| held.hash == entry.hash) {
            return Ok(None);
        }
        if self.is_objected(id, &entry.hash) {
            return Err(RecordFault::Objected);
        }
        if self.orgs.get(&id).is_some_and(|held| held.contested().is_some()) {
            return Err(RecordFault::Equivocation);
        }
        let record = Verified::clone(&entry.record);
        match self.candidates(id).len() {
            0 => Ok(Some(Checked::Announced(id, record))),
            1 => Ok(Some(Checked::Rival(Rival::Announced(id, record)))),
            _ => Err(RecordFault::Equivocation),
        }
    }

    /// Of the records that wait for an organisation those that may come to their end: not objected to, and such as the policy
    /// in force lets in. What is neither keeps nobody's place.
    fn candidates(&self, org: OrgId) -> Vec<&Entry<OrgRecord>> {
        let all = self.announced.get(&org).into_iter().flat_map(Announced::entries);
        all.filter(|entry| !self.is_objected(org, &entry.hash) && self.judge(entry).is_some()).collect()
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

    /// Whether the root key in force said no to a record, or so often that it is taken to say no to any. It says so where
    /// everybody can hear it: who has an old key could else keep every newcomer on it, long after all others had the new one.
    /// An honest keeper enters no objection that comes too late.
    pub(super) fn is_objected(&self, org: OrgId, announced: &[u8; 32]) -> bool {
        let Some(all) = self.objections.get(&org) else { return false };
        let heard = |entry: &Entry<Objection>| self.is_shown_by_enough(&entry.hash);
        all.get(announced).is_some_and(heard) || all.values().filter(|entry| heard(entry)).count() >= OBJECTIONS_MAX
    }

    pub(super) fn take_announced(&mut self, org: OrgId, first: Entry<OrgRecord>) {
        self.announced.insert(org, Announced { first, rival: None, since: None });
    }

    /// Takes another one beside the one that stands, whichever of the two that were held that is.
    pub(super) fn contest_announced(&mut self, org: OrgId, rival: Entry<OrgRecord>) {
        let stands = self.candidates(org).first().map(|entry| (*entry).clone());
        if let Some((waiting, stands)) = self.announced.get_mut(&org).zip(stands) {
            (waiting.first, waiting.rival) = (stands, Some(rival));
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
        if let Some(mut waiting) = self.announced.remove(&org) {
            let rival = waiting.rival.take().filter(follows);
            let mut left = Some(waiting.first).filter(follows).into_iter().chain(rival);
            if let Some(first) = left.next() {
                self.announced.insert(org, Announced { first, rival: left.next(), since: waiting.since });
            }
        }
        // All of them were against this version, which nothing contradicts any more.
        self.objections.remove(&org);
    }

    /// Every root key that waits, by organisation; of two for one organisation the one that stands, or the first.
    pub fn lost_keys(&self, now: u64) -> impl Iterator<Item = LostKey<'_>> {
        self.announced.iter().map(move |(org, waiting)| {
            let shown = self.candidates(*org).first().copied().unwrap_or(&waiting.first);
            LostKey { org: *org, record: shown.value(), announced: shown.hash, stage: self.stage(*org, waiting, now) }
        })
    }

    /// The root key that waits for one organisation.
    #[must_use]
    pub fn lost_key(&self, org: OrgId, now: u64) -> Option<LostKey<'_>> {
        self.lost_keys(now).find(|waiting| waiting.org == org)
    }

    fn stage(&self, org: OrgId, waiting: &Announced, now: u64) -> Stage {
        let contested = self.orgs.get(&org).is_some_and(|held| held.contested().is_some());
        match self.candidates(org)[..] {
            _ if self.is_revoked(&org.0, now) => Stage::Ended,
            [] if waiting.entries().any(|entry| self.is_objected(org, &entry.hash)) => Stage::Objected,
            [] => Stage::Ended,
            [one] if !contested => {
                let since = waiting.since.filter(|(of, _)| *of == one.hash);
                since.map_or(Stage::Unseen, |(_, since)| Stage::Until(since.saturating_add(LOST_KEY_WAIT_SECS)))
            }
            _ => Stage::Contested,
        }
    }

    /// The waits that begin: everybody can see the record since now, in more logs than coordinators may lie. What any
    /// coordinators said counts where it is later than this node's clock, however much later: a clock that is behind would
    /// end the wait early, and one that began too late only lasts longer.
    #[must_use]
    pub fn waits_begun(&self, now: u64) -> Vec<Wait> {
        // Without logs nobody can say what everybody saw: a network of real cases waits until it has some.
        if !self.has_logs() && self.policy().kind() != NetworkKind::Training {
            return Vec::new();
        }
        let since = now.max(self.newest_word());
        let unseen = self.announced.iter().filter_map(|(org, waiting)| {
            let [one] = self.candidates(*org)[..] else { return None };
            let begun = waiting.since.is_some_and(|(of, _)| of == one.hash);
            (!begun && self.is_shown_by_enough(&one.hash)).then_some(Wait { org: *org, announced: one.hash, since })
        });
        unseen.collect()
    }

    /// Takes the beginning of a wait. One of another record, or of one that began, says nothing.
    pub fn begin_wait(&mut self, wait: &Wait) {
        let Some(waiting) = self.announced.get_mut(&wait.org) else { return };
        let begun = waiting.since.is_some_and(|(of, _)| of == wait.announced);
        if !begun && waiting.entries().any(|entry| entry.hash == wait.announced) {
            waiting.since = Some((wait.announced, wait.since));
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
        let over = self.lost_keys(now).filter(|waiting| {
            let Stage::Until(until) = waiting.stage else { return false };
            until <= heard && self.is_shown_by_enough(&waiting.announced)
        });
        over.filter_map(|waiting| self.judge(self.candidates(waiting.org).first()?)).collect()
    }

    /// What becomes of a record that waits once it does no more; `None` when the policy in force does not let it in.
    fn judge(&self, waiting: &Entry<OrgRecord>) -> Option<Checked> {
        let (record, none) = (waiting.record.raw(), Verdicts::default());
        self.check_alone(record, &none, false).ok()?;
        let judged = self.check_org(record, &none, true).ok()?;
        judged.filter(|checked| matches!(checked, Checked::Org(..)))
    }

    /// The row keys of what waited and does no more once a record is taken: to be deleted with it.
    #[must_use]
    pub fn rows_left_by(&self, checked: &Checked) -> Vec<Vec<u8>> {
        let (org, stays) = match checked {
            Checked::Org(org, record) => {
                let taken = sha256(&record.raw().payload);
                let all = self.announced.get(org).into_iter().flat_map(Announced::entries);
                (*org, all.filter(|entry| entry.value().prev_hash == taken).collect())
            }
            Checked::Announced(org, _) | Checked::Rival(Rival::Announced(org, _)) => (*org, self.candidates(*org)),
            Checked::Policy(..)
            | Checked::Cert(..)
            | Checked::Descriptor(..)
            | Checked::Revocation(_)
            | Checked::Rival(_)
            | Checked::Objection(..)
            | Checked::Prekey(..) => return Vec::new(),
        };
        let held = self.announced.get(&org).into_iter().flat_map(Announced::entries);
        let gone = held.filter(|entry| stays.iter().all(|stays| stays.hash != entry.hash));
        let mut keys: Vec<Vec<u8>> = gone.map(|entry| announced_key(org, &entry.hash)).collect();
        if stays.is_empty() && !keys.is_empty() {
            keys.push(wait_key(org));
        }
        keys
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

pub(super) fn announced_key(org: OrgId, announced: &[u8; 32]) -> Vec<u8> {
    [b"A".as_slice(), org.as_bytes(), announced].concat()
}

fn follows(held: &Held<OrgRecord>, entry: &Entry<OrgRecord>) -> bool {
    matches!(held.place(entry.value(), &entry.record.raw().payload, true), Ok(Place::Next))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/lost_key.rs"]
mod tests;

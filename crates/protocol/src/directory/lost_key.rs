//! A new root key that the old one did not agree to: who lost it gets another, but not before all could see it (protocol
//! section 7.3).
//!
//! Such an accreditation is held and does not count until it stood in the coordinators' logs, as this node follows them, for
//! [`LOST_KEY_WAIT_SECS`]. Until then the record before counts, and whoever has the old key can object by revoking the new
//! one. Refuses to shorten the wait by any time that a record says of itself: coordinators who are forced to sign would say
//! whatever is wanted. What began and what is over is kept by the node, which alone knows what it saw when.

use clearhouse_wire::v1::OrgRecord;

use super::held::Held;
use super::{Directory, Entry};
use crate::ids::OrgId;
use crate::keys::key_id;
use crate::limits::LOST_KEY_WAIT_SECS;
use crate::log::Hash;

/// The last byte of the row in which a wait is kept; before it stands the key of the record's own row.
const ROW_MARK: u8 = b'w';
/// Bytes of such a row's key: kind, organisation, version, mark.
const ROW_KEY_LEN: usize = 1 + OrgId::LEN + 8 + 1;

/// How far the wait for a new root key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It was not in a log yet when last looked.
    Announced,
    /// It was seen in a log at this time, unix seconds.
    Begun(u64),
    /// It is over: the record counts like any other.
    Over,
}

impl Wait {
    /// What is kept of it: nine bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let (since, over) = match self {
            Self::Announced => (0, 0),
            Self::Begun(since) => (since, 1),
            Self::Over => (0, 2),
        };
        [&u64::to_be_bytes(since)[..], &[over]].concat()
    }

    /// Reads what was kept.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (since, over) = bytes.split_first_chunk::<8>()?;
        match over {
            [0] => Some(Self::Announced),
            [1] => Some(Self::Begun(u64::from_be_bytes(*since))),
            [2] => Some(Self::Over),
            _ => None,
        }
    }
}

/// A new root key that waits.
#[derive(Clone, Copy)]
pub struct Waiting<'d> {
    /// Whose.
    pub org: OrgId,
    /// The record that names it.
    pub record: &'d OrgRecord,
    /// Since when, if it began.
    pub since: Option<u64>,
    /// Whether somebody who may has objected: then it never counts.
    pub objected: bool,
}

impl Waiting<'_> {
    /// When it counts, if it began and nobody objects.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        self.since.filter(|_| !self.objected).map(|since| since.saturating_add(LOST_KEY_WAIT_SECS))
    }
}

impl Directory {
    /// Whether a record may count as far as waits go.
    pub(super) fn has_waited(&self, record: &Hash) -> bool {
        self.waits.get(record).is_none_or(|wait| *wait == Wait::Over)
    }

    /// The record of an organisation that names its root key now: the newest that is neither contested nor waiting.
    pub(super) fn shown_org<'h>(&self, held: &'h Held<OrgRecord>) -> &'h Entry<OrgRecord> {
        held.in_force(|entry| self.has_waited(&entry.hash)).unwrap_or(held.newest())
    }

    /// The root keys that may hand an organisation over to the key that `next` names: that of the record in force, and of
    /// the one that `next` follows, unless that one waits itself.
    pub(super) fn root_keys<'h>(&'h self, held: &'h Held<OrgRecord>, next: &OrgRecord) -> Vec<&'h [u8]> {
        let followed = held.predecessor(next).filter(|entry| self.has_waited(&entry.hash));
        let records = [Some(self.shown_org(held)), followed].into_iter().flatten();
        records.map(|entry| entry.value().org_root_pk.as_slice()).collect()
    }

    /// Every new root key that waits.
    pub fn waiting_keys(&self, now: u64) -> impl Iterator<Item = Waiting<'_>> {
        self.orgs.iter().filter_map(move |(org, held)| {
            let newest = held.newest();
            let wait = self.waits.get(&newest.hash).filter(|wait| **wait != Wait::Over)?;
            let key = key_id(newest.value().org_root_pk.as_slice().try_into().ok()?);
            let since = if let Wait::Begun(since) = wait { Some(*since) } else { None };
            Some(Waiting { org: *org, record: newest.value(), since, objected: self.is_revoked(&key.0, now) })
        })
    }

    /// The waits that begin or end at `now`: whose, and how far they are then. One that is objected to never ends.
    #[must_use]
    pub fn waits_due(&self, now: u64) -> Vec<(OrgId, Wait)> {
        let due = self.waiting_keys(now).filter_map(|waiting| {
            let held = self.orgs.get(&waiting.org)?;
            let contested = held.contested().is_some();
            match (waiting.since, waiting.until()) {
                (None, _) => self.is_published(&held.newest().hash).then_some((waiting.org, Wait::Begun(now))),
                (Some(_), Some(until)) if now >= until && !contested => Some((waiting.org, Wait::Over)),
                (Some(_), _) => None,
            }
        });
        due.collect()
    }

    /// Takes how far the wait of an organisation's newest record is.
    pub fn set_wait(&mut self, org: OrgId, wait: Wait) {
        if let Some(held) = self.orgs.get(&org) {
            let hash = held.newest().hash;
            if let Some(held) = self.waits.get_mut(&hash) {
                *held = wait;
            }
        }
    }

    /// The row key under which a node keeps it: right behind the row of the record.
    #[must_use]
    pub fn wait_key(&self, org: OrgId) -> Option<Vec<u8>> {
        let version = self.orgs.get(&org)?.newest().value().version;
        Some([b"O", &org.0[..], &version.to_be_bytes(), &[ROW_MARK]].concat())
    }

    /// Whose wait a row keeps, if it keeps one.
    #[must_use]
    pub fn wait_in(key: &[u8]) -> Option<OrgId> {
        let whole = key.len() == ROW_KEY_LEN && key.first() == Some(&b'O') && key.last() == Some(&ROW_MARK);
        whole.then(|| key.get(1..=OrgId::LEN)?.try_into().ok()).flatten()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/lost_key.rs"]
mod tests;

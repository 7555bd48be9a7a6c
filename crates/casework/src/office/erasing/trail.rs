//! What is of a case: its entries in the log, and where rows of it may stand.
//!
//! Entries are found in the log itself, by the digests of the case's messages; those that name no message are written
//! into the case as facts. Refuses to guess: an entry that names none of them is not the case's.

use std::collections::BTreeSet;

use clearhouse_protocol::ids::{CaseId, Digest, MsgId};
use clearhouse_protocol::rows::Table;
use clearhouse_wire::v1 as wire;

use super::{Decision, Office};
use crate::case::Case;
use crate::consent::DataClass;

/// Which entries of the log are of a case. Shown every entry once, the newest first: what came in an envelope is known
/// by what was done with it later.
#[derive(Clone)]
pub struct Trail {
    pub(super) digests: BTreeSet<Digest>,
    pub(super) entries: BTreeSet<u64>,
}

impl Trail {
    /// Looks at one entry. Says whether it is of the case.
    pub fn see(&mut self, opening: &wire::Opening) -> bool {
        let known =
            |bytes: &[u8]| Digest::try_from(bytes).ok().filter(|digest| self.digests.contains(digest)).is_some();
        let named = [&opening.envelope_digest, &opening.ref_digest, &opening.replaces_digest];
        if !named.into_iter().any(|digest| known(digest)) && !self.entries.contains(&opening.index) {
            return false;
        }
        self.entries.insert(opening.index);
        let more = [&opening.envelope_digest, &opening.replaces_digest];
        self.digests.extend(more.into_iter().filter_map(|digest| Digest::try_from(digest.as_slice()).ok()));
        true
    }

    /// The entries found so far, in order.
    pub fn entries(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().copied()
    }

    /// The same, as runs from and to.
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for index in self.entries() {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == index => *to = index,
                _ => ranges.push((index, index)),
            }
        }
        ranges
    }
}

/// Where rows of a case may stand that the office does not hold in memory: whoever has the store says which do.
#[derive(Clone, Default)]
pub struct Places {
    /// Parts of profiles: message and class. What is attached to them says the part itself.
    pub parts: Vec<(MsgId, DataClass)>,
    /// Receipts and proofs, by table and key.
    pub evidence: Vec<(Table, Vec<u8>)>,
}

impl Office {
    /// What to look for in the log. `None` when cases are locked or there is no such case.
    #[must_use]
    pub fn trail(&self, case: CaseId) -> Option<Trail> {
        let case = self.cases.as_ref()?.case(case)?;
        let ours = self.mail.in_conversation(case.conversation(), case.peer_org());
        let ours = ours.filter_map(|(_, out)| Digest::try_from(out.digest.as_slice()).ok());
        let digests = ours.chain(self.came_in(case)).collect();
        Some(Trail { digests, entries: case.logged().iter().copied().collect() })
    }

    /// Where else rows of the case may stand.
    #[must_use]
    pub fn places(&self, case: CaseId, trail: &Trail) -> Places {
        let Some(found) = self.cases.as_ref().and_then(|cases| cases.case(case)) else { return Places::default() };
        let wanted = self.being_erased(case).map(Decision::classes).unwrap_or_default();
        let parts = found.parts().into_iter().filter(|(_, class)| wanted.is_empty() || wanted.contains(class));
        let mut places = Places { parts: parts.collect(), evidence: Vec::new() };
        if wanted.is_empty() {
            let receipts = self.mail.in_conversation(found.conversation(), found.peer_org());
            for (msg_id, _) in receipts {
                places.evidence.extend(super::super::mailing::receipt_keys(msg_id).map(|key| (Table::Receipt, key)));
            }
            for digest in &trail.digests {
                places.evidence.extend(super::super::proving::evidence_keys(*digest).map(|key| (Table::Receipt, key)));
            }
        }
        places
    }

    /// The envelopes in which their messages came.
    pub(super) fn came_in(&self, case: &Case) -> Vec<Digest> {
        let theirs = case.letters().iter().filter(|letter| !letter.is_out());
        // Facts of earlier versions do not name the envelope; the mailroom remembers it for a while.
        let seen = theirs.filter_map(|letter| self.mail.seen(letter.signature().node, letter.id()));
        let seen = seen.filter_map(|taken| Digest::try_from(taken.digest.as_slice()).ok());
        case.came_in().iter().copied().chain(seen).collect()
    }
}

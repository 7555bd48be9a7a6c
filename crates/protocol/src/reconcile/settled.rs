//! What a coordinator may let go of before its time: openings of a case that its node erased, as soon as there is
//! nothing more to find about any message they name (protocol section 7.8). What stays is that those messages are
//! settled, for as long as the other side's account of them is kept.
//!
//! Refuses whatever another message's question still rests on: an answer stays as long as what it answers is open.

use std::collections::BTreeSet;

use clearhouse_wire::v1::{AuditEvent, Opening};

use super::account::covers;
use super::judge::SEALINGS_MAX;
use super::{Join, Party, Report};
use crate::ids::Digest;

/// A join and what of it is settled.
pub struct Settled {
    join: Join,
    settled: BTreeSet<Digest>,
    now: u64,
}

impl Join {
    /// What is settled, by a report of this join as of `now`.
    #[must_use]
    pub fn settled(self, report: &Report, now: u64) -> Settled {
        let mut settled: BTreeSet<Digest> = self.closed.iter().chain(&report.closed).copied().collect();
        for needed in self.needed(&settled) {
            settled.remove(&needed);
        }
        Settled { join: self, settled, now }
    }

    /// Messages whose accounts others are judged by: earlier sealings of one that is open, and questions about one.
    fn needed(&self, settled: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let open = |digest: &Digest| self.records.contains_key(digest) && !settled.contains(digest);
        let mut needed = BTreeSet::new();
        for later in self.replaces.keys().filter(|later| open(later)) {
            let earlier = std::iter::successors(self.replaces.get(later), |digest| self.replaces.get(*digest));
            needed.extend(earlier.take(SEALINGS_MAX).copied());
        }
        needed.extend(self.asked.iter().filter(|(answered, _)| open(answered)).map(|(_, question)| *question));
        needed
    }
}

impl Settled {
    /// Whether what an entry of a node's log says is needed no more: the node erased it, and every message it names is
    /// settled.
    #[must_use]
    pub fn lets_go(&self, owner: Party, opening: &Opening) -> bool {
        let erased = self.join.standing(owner).is_some_and(|standing| covers(&standing.erased, opening.index));
        // By these two, other entries are explained.
        let explains = matches!(opening.event(), AuditEvent::CaseErased | AuditEvent::Restore);
        let named = [&opening.envelope_digest, &opening.ref_digest, &opening.replaces_digest];
        let late = self.now >= opening.time.saturating_add(self.join.policy.grace_secs);
        let open = |digest: &Digest| {
            let record = self.join.records.get(digest).filter(|_| !self.settled.contains(digest));
            // A receipt has neither a sender's nor a recipient's account; nor has a message, until they are heard.
            record.is_some_and(|record| !late || record.sent.owner.is_some() || record.received.owner.is_some())
        };
        let mut named = named.into_iter().filter_map(|digest| Digest::try_from(digest.as_slice()).ok());
        erased && !explains && !named.any(|digest| open(&digest))
    }

    /// Whether no account that is kept speaks of a message any more: then that it is settled need not be known either.
    #[must_use]
    pub fn is_forgotten(&self, digest: &Digest) -> bool {
        !self.join.records.contains_key(digest)
    }
}

//! Mailboxes kept here for others: what is left in them, what their owners fetched, and what nobody fetched in time.
//!
//! Refuses to write down who left an envelope, or when but for the hour. So nothing of it is in this node's log either:
//! an entry names an envelope beside a time, coordinators read it, and one that does not name the sender would still
//! lead to it by the sender's own. Only that an envelope expired here is logged, without a party: silence about a lost
//! message would be worse.

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_protocol::limits::HOUR;
use clearhouse_protocol::mail::{Arrival, DepositFault};
use clearhouse_protocol::receipt;
use clearhouse_protocol::relay::{Depot, Handle, Leaving, Left};
use rand_core::CryptoRng;

use super::mailing::Deposited;
use super::{Effect, Now, Office, Step};

/// An envelope for a mailbox kept here for another node. Who brings it was judged before and is not told.
pub struct Leave {
    /// The mailbox; that a tenant of this node has it was made sure of.
    pub mailbox: MailboxId,
    /// The outside, read and sound.
    pub outside: Outside,
    /// The encoded envelope.
    pub bytes: Vec<u8>,
    /// What the operator offers to keep for others in all, in bytes.
    pub bytes_max: u64,
}

impl Leave {
    fn leaving(&self) -> Leaving<'_> {
        Leaving { mailbox: self.mailbox, outside: &self.outside, bytes_max: self.bytes_max }
    }

    fn name(&self) -> (MailboxId, Digest) {
        (self.mailbox, self.outside.digest)
    }
}

/// What is decided of one envelope of a batch.
enum Place {
    /// New: its number among the new ones of the batch, and among those of its mailbox.
    Fresh(usize, u64),
    /// The same as an earlier one of the batch.
    Again(usize),
    Other(Deposited),
}

impl Office {
    /// What is kept for others.
    #[must_use]
    pub fn depot(&self) -> &Depot {
        &self.depot
    }

    /// Decides on a batch of envelopes for others' mailboxes: one signature covers all that are new.
    pub fn leave<R: CryptoRng>(&self, batch: Vec<Leave>, now: &mut Now<'_, R>) -> (Step, Vec<Deposited>) {
        let (mut left, mut fresh) = (Left::default(), Vec::new());
        let mut nth = BTreeMap::new();
        let mut place = |leave: &Leave| match self.depot.arrive(&leave.leaving(), &left, now.time) {
            Ok(Arrival::New) => {
                if let Some(first) = nth.get(&leave.name()) {
                    return Place::Again(*first);
                }
                nth.insert(leave.name(), fresh.len());
                fresh.push(leave.outside.digest);
                Place::Fresh(fresh.len() - 1, left.count(&leave.leaving()))
            }
            Ok(Arrival::Repeat(receipt)) => Place::Other(Ok(receipt)),
            Err(fault) => Place::Other(Err(fault)),
        };
        let places: Vec<Place> = batch.iter().map(&mut place).collect();
        // The hour and no more: the receipt is kept.
        let hour = now.time - now.time % HOUR;
        let receipts = receipt::storage_batch(self.me.net, self.me.node, &fresh, hour, now.key);
        let receipt = |n: usize| receipts.get(n).cloned().ok_or(DepositFault::Full);
        let (mut step, mut replies) = (Step::default(), Vec::with_capacity(batch.len()));
        for (leave, place) in batch.into_iter().zip(places) {
            replies.push(match place {
                Place::Other(reply) => reply,
                Place::Again(first) => receipt(first),
                Place::Fresh(n, before) => receipt(n).inspect(|receipt| {
                    let mut handle = Handle::default();
                    now.rng.fill_bytes(&mut handle);
                    let (mailbox, outside) = (leave.mailbox, leave.outside);
                    let leaving = Leaving { mailbox, outside: &outside, bytes_max: leave.bytes_max };
                    step.rows.extend(self.depot.keep(&leaving, leave.bytes, before, receipt, handle, now.time));
                    step.effects.push(Effect::Relayed(mailbox));
                }),
            });
        }
        (step, replies)
    }

    /// Decides on the word of a mailbox's owner that it has these on its own disk.
    #[must_use]
    pub fn fetched(&self, mailbox: MailboxId, digests: &[Digest], now: u64) -> Step {
        Step { rows: self.depot.fetched(mailbox, digests, now), ..Step::default() }
    }

    /// Ends what nobody fetched in time, with a signed word for its sender, and forgets what ended long ago.
    pub(super) fn end_relayed<R: CryptoRng>(&self, step: &mut Step, sure: u64, now: &mut Now<'_, R>) {
        for (mailbox, digest) in self.depot.outlived(sure) {
            let word = receipt::expired(self.me.net, self.me.node, digest, now.time, now.key);
            step.rows.extend(self.depot.expire(mailbox, digest, &word, now.time));
            self.record(step, &Happening::of(AuditEvent::ExpiredAtRelay).about(digest, 0), now);
        }
        step.rows.extend(self.depot.forget(sure));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! Keeping mailboxes for others: who may leave how much, who waits for it, and what an answer to a fetch is made of.
//!
//! Refuses to remember on disk or in the log who left anything: how much an organisation brings is counted in memory, by
//! the hour, and forgotten with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use clearhouse_casework::office::Me;
use clearhouse_casework::office::relay::Leave;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::limits::{FETCH_SLOTS, HOUR};
use clearhouse_protocol::mail::DepositFault;
use clearhouse_protocol::relay::{Depot, KeptState, Tenants, rented};
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::limits::{METERED_NODES_MAX, RELAY_ORG_BYTES_PER_HOUR, RELAY_ORG_ITEMS_PER_HOUR, lock};
use crate::owner::{NotTaken, Owner};
use crate::rpc::client::Address;
use crate::rpc::mailboxes::Keeper;
use crate::rpc::status::Refused;

/// Who waits for something to be left in which mailbox. One at a time: a newer one ends an older.
#[derive(Default)]
pub struct Polls {
    waiting: Mutex<BTreeMap<MailboxId, Arc<Poll>>>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Poll {
    bell: Notify,
    over: AtomicBool,
}

impl Polls {
    /// Begins to wait for a mailbox.
    #[must_use]
    pub fn begin(self: &Arc<Self>, mailbox: MailboxId) -> Turn {
        let poll = Arc::<Poll>::default();
        let before = lock(&self.waiting).insert(mailbox, Arc::clone(&poll));
        before.iter().for_each(|before| before.end());
        if self.closed.load(Ordering::Acquire) {
            poll.end();
        }
        Turn { polls: Arc::clone(self), mailbox, poll }
    }

    /// Tells whoever waits for a mailbox to look again.
    pub fn ring(&self, mailbox: MailboxId) {
        if let Some(poll) = lock(&self.waiting).get(&mailbox) {
            poll.bell.notify_one();
        }
    }

    /// Ends every wait, and those that begin from now on: the node is stopping and nobody shall hold it up.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        lock(&self.waiting).values().for_each(|poll| poll.end());
    }
}

impl Poll {
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.bell.notify_one();
    }
}

/// One who waits. Ends with the value.
pub struct Turn {
    polls: Arc<Polls>,
    mailbox: MailboxId,
    poll: Arc<Poll>,
}

impl Turn {
    /// Waits until something was left since the last look, or the turn is over.
    pub async fn rung(&self) {
        self.poll.bell.notified().await;
    }

    /// Whether a newer one waits instead.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.poll.over.load(Ordering::Acquire)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut polls = lock(&self.polls.waiting);
        if polls.get(&self.mailbox).is_some_and(|now| Arc::ptr_eq(now, &self.poll)) {
            polls.remove(&self.mailbox);
        }
    }
}

/// What each organisation left within the hour. In memory alone.
#[derive(Default)]
struct Hourly(Mutex<BTreeMap<OrgId, (u64, usize, u64)>>);

impl Hourly {
    fn take(&self, org: OrgId, len: u64, now: u64) -> bool {
        let hour = now / HOUR;
        let mut all = lock(&self.0);
        if all.len() >= METERED_NODES_MAX {
            all.retain(|_, (of, _, _)| *of == hour);
        }
        if all.len() >= METERED_NODES_MAX && !all.contains_key(&org) {
            return false;
        }
        let (of, items, bytes) = all.entry(org).or_insert((hour, 0, 0));
        if *of != hour {
            (*of, *items, *bytes) = (hour, 0, 0);
        }
        if *items >= RELAY_ORG_ITEMS_PER_HOUR || *bytes + len > RELAY_ORG_BYTES_PER_HOUR {
            return false;
        }
        *items += 1;
        *bytes += len;
        true
    }
}

/// The mailboxes this node keeps for others.
pub struct Keeping<S> {
    owner: Owner<S>,
    clock: Arc<dyn Clock>,
    me: NodeId,
    /// What the operator offers, in bytes.
    bytes_max: u64,
    /// Whose mailboxes they are, and by which directory.
    tenants: Mutex<Option<(Arc<Directory>, Arc<Tenants>)>>,
    hourly: Hourly,
}

impl<S: Store + 'static> Keeping<S> {
    /// Offers `bytes_max` bytes for mailboxes of others at node `me`.
    #[must_use]
    pub fn new(owner: Owner<S>, clock: Arc<dyn Clock>, me: NodeId, bytes_max: u64) -> Self {
        Self { owner, clock, me, bytes_max, tenants: Mutex::default(), hourly: Hourly::default() }
    }

    /// Whose mailbox this is; `None` when it is nobody's that this node keeps it for.
    fn tenant(&self, mailbox: MailboxId) -> Option<NodeId> {
        let directory = self.owner.signals.directory.borrow().clone();
        let mut held = lock(&self.tenants);
        let tenants = match held.as_ref() {
            Some((of, tenants)) if Arc::ptr_eq(of, &directory) => Arc::clone(tenants),
            Some(_) | None => {
                let tenants = Arc::new(Tenants::of(&directory, self.me));
                *held = Some((Arc::clone(&directory), Arc::clone(&tenants)));
                tenants
            }
        };
        drop(held);
        tenants.tenant(&directory, mailbox, self.clock.now())
    }

    /// Whether `from` may leave `len` bytes in a mailbox kept here; counts them.
    ///
    /// # Errors
    /// [`Refused::UnknownMailbox`]; [`Refused::Full`] when its organisation left its share of this hour.
    pub fn allowed(&self, from: NodeId, mailbox: MailboxId, len: u64) -> Result<(), Refused> {
        self.tenant(mailbox).ok_or(Refused::UnknownMailbox)?;
        let org = self.owner.signals.directory.borrow().org_of(from).ok_or(Refused::NotAccredited)?;
        if self.hourly.take(org, len, self.clock.now()) { Ok(()) } else { Err(Refused::Full) }
    }

    /// Takes an envelope. What its header names is for its reader to judge: a mailbox that its reader had when it was
    /// sealed may be another than the one it is left in.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn leave(
        &self,
        mailbox: MailboxId,
        outside: Outside,
        bytes: Vec<u8>,
    ) -> Result<wire::DepositReply, Refused> {
        self.tenant(mailbox).ok_or(Refused::UnknownMailbox)?;
        let leave = Leave { mailbox, outside, bytes, bytes_max: self.bytes_max };
        match self.owner.leave(leave).await {
            // Whether this node's own people have locked it is nobody's business here.
            Ok(Ok(receipt)) => Ok(wire::DepositReply { receipt: Some(receipt), locked: false }),
            Ok(Err(DepositFault::Full)) => Err(Refused::Full),
            Ok(Err(DepositFault::NoSuchMailbox)) => Err(Refused::UnknownMailbox),
            Ok(Err(DepositFault::Expired)) => Err(Refused::Malformed),
            Err(not_taken) => Err(not_now(&not_taken)),
        }
    }
}

fn not_now(not_taken: &NotTaken) -> Refused {
    match not_taken {
        NotTaken::Store(_) | NotTaken::Stopping => Refused::Unavailable,
        NotTaken::Bug => Refused::Broken,
    }
}

impl<S: Store + 'static> Keeper for Keeping<S> {
    fn may_fetch(&self, from: NodeId, mailbox: MailboxId) -> Result<(), Refused> {
        if self.tenant(mailbox) == Some(from) { Ok(()) } else { Err(Refused::UnknownMailbox) }
    }

    fn begin(&self, mailbox: MailboxId) -> Turn {
        self.owner.signals.polls.begin(mailbox)
    }

    fn waiting(&self, mailbox: MailboxId) -> impl Future<Output = Result<Vec<Digest>, Refused>> + Send {
        let look = self.owner.look(move |world| world.office.depot().waiting(mailbox).take(FETCH_SLOTS).collect());
        async move { look.await.map_err(|e| not_now(&e)) }
    }

    fn read(
        &self,
        mailbox: MailboxId,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Refused>> + Send {
        let look = self.owner.look(move |world| {
            let read = world.ledger.read(Table::Envelope, &Depot::bytes_key(mailbox, digest));
            read.map(|found| found.map(|bytes| bytes.to_vec()))
        });
        async move {
            look.await.map_err(|e| not_now(&e))?.or_else(|error| {
                tracing::error!(%error, "an envelope kept for another node cannot be read back: run doctor");
                Ok(None)
            })
        }
    }

    fn ack(&self, mailbox: MailboxId, digests: Vec<Digest>) -> impl Future<Output = Result<(), Refused>> + Send {
        let decided = self.owner.decide(move |world, now| (world.office.fetched(mailbox, &digests, now.time), ()));
        async move { decided.await.map_err(|e| not_now(&e)) }
    }
}

/// What a keeper says of an envelope that it has or had for another node.
#[must_use]
pub fn outcome(depot: &Depot, digest: Digest) -> wire::OutcomeReply {
    let (state, expired) = match depot.outcome(digest) {
        None => (wire::MailboxState::NotHere, None),
        Some(kept) => match kept.state() {
            KeptState::Waiting => (wire::MailboxState::Stored, None),
            KeptState::Fetched => (wire::MailboxState::Fetched, None),
            KeptState::Expired => (wire::MailboxState::Expired, wire::Signed::decode(kept.expired.as_slice()).ok()),
        },
    };
    wire::OutcomeReply { state: state.into(), not_opened: None, expired }
}

/// The mailboxes of this node as its descriptor lists them: its own when it can be reached, then those at its keepers,
/// as far as the directory knows where they are.
#[must_use]
pub fn listed(me: &Me, endpoint: &str, keepers: &[NodeId], directory: &Directory) -> Vec<(MailboxId, NodeId, String)> {
    let own = me.mailboxes.first().filter(|_| !endpoint.is_empty()).map(|m| (*m, me.node, endpoint.to_owned()));
    let there = keepers.iter().filter_map(|keeper| {
        let address = Address::of(directory, *keeper)?;
        Some((rented(me.net, me.node, *keeper), *keeper, address.endpoint))
    });
    own.into_iter().chain(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BOX: MailboxId = MailboxId([1; 16]);

    #[tokio::test]
    async fn a_newer_turn_ends_the_older_and_a_ring_before_the_wait_is_not_lost() {
        let polls = Arc::<Polls>::default();
        let first = polls.begin(BOX);
        polls.ring(BOX);
        let soon = tokio::time::timeout(Duration::from_secs(5), first.rung());
        assert!(soon.await.is_ok() && !first.is_over());
        let second = polls.begin(BOX);
        assert!(tokio::time::timeout(Duration::from_secs(5), first.rung()).await.is_ok());
        assert!(first.is_over() && !second.is_over());
        drop(first);
        polls.ring(BOX);
        assert!(tokio::time::timeout(Duration::from_secs(5), second.rung()).await.is_ok());
        polls.close();
        assert!(second.is_over() && polls.begin(MailboxId([2; 16])).is_over());
        drop(second);
        assert!(lock(&polls.waiting).is_empty());
    }

    // Attack 39, by the hour: what one organisation may leave, whatever the mailboxes.
    #[test]
    fn attack_39_an_organisation_has_its_share_of_an_hour_and_others_theirs() {
        let hourly = Hourly::default();
        let (a, b) = (OrgId([1; 16]), OrgId([2; 16]));
        assert!((0..RELAY_ORG_ITEMS_PER_HOUR).all(|_| hourly.take(a, 1, HOUR)));
        assert!(!hourly.take(a, 1, 2 * HOUR - 1));
        assert!(hourly.take(b, 1, HOUR));
        assert!(hourly.take(a, 1, 2 * HOUR));
        assert!(!hourly.take(b, RELAY_ORG_BYTES_PER_HOUR, HOUR), "bytes count beside items");
    }
}

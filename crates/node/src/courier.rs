//! Carries messages out: deposits what is due, asks after what is stored, reports back how each attempt ended.
//!
//! Decides nothing about a message: the mailroom says what is due and what an outcome means. A storage receipt is
//! believed only after its signature and path held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{Digest, MailboxId, MsgId, NodeId, OrgId};
use clearhouse_protocol::mail::Attempt;
use clearhouse_protocol::receipt;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::owner::Owner;
use crate::rpc::client::{Address, Pool};
use crate::rpc::status::PeerError;

/// Messages carried side by side.
const AT_ONCE: usize = 16;
/// Longest sleep without looking at the outbox.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Stable numbers of what went wrong with an attempt, for the outbox row and its sentence.
pub mod fault {
    /// The directory does not let us send to this node now.
    pub const NO_ROUTE: u32 = 1;
    /// The node could not be reached.
    pub const UNREACHABLE: u32 = 2;
    /// Something answered that did not prove the node's key.
    pub const NOT_THAT_NODE: u32 = 3;
    /// The connection broke, or the answer took too long.
    pub const BROKE_OFF: u32 = 4;
    /// The mailbox refused for now: full, busy, stopping.
    pub const REFUSED_FOR_NOW: u32 = 5;
    /// The mailbox refused.
    pub const REFUSED: u32 = 6;
    /// The receipt did not hold.
    pub const BAD_RECEIPT: u32 = 7;
    /// The sealed message could not be read back from the store.
    pub const STORE: u32 = 8;
    /// Their log showed two histories.
    pub use clearhouse_casework::office::witness::FAULT_SUSPENDED as SUSPENDED;

    /// What an operator or caseworker reads.
    #[must_use]
    pub fn sentence(fault: u32) -> &'static str {
        match fault {
            0 => "",
            NO_ROUTE => {
                "the directory has no valid address or key for them now; new records will be tried by themselves"
            }
            UNREACHABLE => "their node cannot be reached; it is tried again by itself",
            NOT_THAT_NODE => {
                "what answers at their address is not their node; tell your technician, the message is safe here"
            }
            BROKE_OFF => "the line broke; it is tried again by itself",
            REFUSED_FOR_NOW => "their mailbox takes nothing now; it is tried again by itself",
            REFUSED => "their mailbox refuses it; phone them, and check that their directory entry is current",
            BAD_RECEIPT => "their mailbox answered without a valid signature; it counts as not delivered",
            STORE => "the sealed message could not be read back from this node's store; run doctor",
            SUSPENDED => {
                "their log was shown with two histories and nothing new about a person goes there; phone them and ask \
                 your coordinator"
            }
            _ => "it failed; it is tried again by itself",
        }
    }
}

/// One message to carry.
struct Errand {
    msg_id: MsgId,
    digest: Digest,
    peer: (OrgId, NodeId),
    /// The sealed bytes to deposit; `None` to ask after it.
    bytes: Option<Zeroizing<Vec<u8>>>,
}

/// What the courier needs.
pub struct Courier<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl<S: Store + 'static> Courier<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let mut under_way: BTreeSet<MsgId> = BTreeSet::new();
        let mut errands: JoinSet<(MsgId, Option<Attempt>)> = JoinSet::new();
        loop {
            let room = AT_ONCE.saturating_sub(under_way.len());
            let Some(next) = self.next_errands(&under_way, room).await else { return };
            for errand in next {
                under_way.insert(errand.msg_id);
                let (pool, now, owner) = (Arc::clone(&self.pool), self.clock.now(), self.owner.clone());
                errands.spawn(async move {
                    let msg_id = errand.msg_id;
                    // That it departs is durable before its first byte leaves, or a recall could not be believed.
                    if errand.bytes.is_some() && !may_depart(&owner, msg_id).await {
                        return (msg_id, None);
                    }
                    // Read only now: a party put out before the departure gets nothing after it.
                    let directory = owner.signals.directory.borrow().clone();
                    (msg_id, Some(carry(&pool, &directory, errand, now).await))
                });
            }
            tokio::select! {
                Some(ended) = errands.join_next() => {
                    if let Ok((msg_id, attempt)) = ended {
                        under_way.remove(&msg_id);
                        if let Some(attempt) = attempt
                            && self.report(msg_id, attempt).await.is_none()
                        {
                            return;
                        }
                    }
                }
                () = self.owner.signals.outbox.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn next_errands(&self, under_way: &BTreeSet<MsgId>, room: usize) -> Option<Vec<Errand>> {
        let (now, under_way) = (self.clock.now(), under_way.clone());
        let look = self.owner.look(move |world| {
            let mail = world.office.mail();
            let due = mail.due(now).into_iter().map(|id| (id, true));
            let all = due.chain(mail.to_ask(now).into_iter().map(|id| (id, false)));
            let free = all.filter(|(id, _)| !under_way.contains(id)).take(room);
            free.filter_map(|(msg_id, deposit)| {
                let row = mail.outgoing(msg_id)?;
                let digest = Digest::try_from(row.digest.as_slice()).ok()?;
                let org = OrgId::try_from(row.peer_org.as_slice()).ok()?;
                let node = NodeId::try_from(row.peer_node.as_slice()).ok()?;
                let read = || world.ledger.read(Table::Envelope, digest.as_bytes()).ok().flatten().unwrap_or_default();
                Some(Errand { msg_id, digest, peer: (org, node), bytes: deposit.then(read) })
            })
            .collect::<Vec<_>>()
        });
        look.await.ok()
    }

    async fn report(&self, msg_id: MsgId, attempt: Attempt) -> Option<()> {
        let decided = self.owner.decide(move |world, now| (world.office.attempted(msg_id, attempt, now), ()));
        match decided.await {
            Err(crate::owner::NotTaken::Stopping) => None,
            Ok(()) | Err(_) => Some(()),
        }
    }
}

/// Whether a message may still leave, asked of the office at the last moment. Not when the answer cannot be kept.
async fn may_depart<S: Store + 'static>(owner: &Owner<S>, msg_id: MsgId) -> bool {
    owner.decide(move |world, now| world.office.depart(msg_id, now)).await.unwrap_or(false)
}

async fn carry(pool: &Pool, directory: &Directory, errand: Errand, now: u64) -> Attempt {
    let Ok(to) = directory.recipient(errand.peer.0, errand.peer.1, now) else {
        return Attempt::Failed { fault: fault::NO_ROUTE };
    };
    let mut last = Attempt::Failed { fault: fault::NO_ROUTE };
    // The first mailbox that answers takes it (decision 9); here there is one, the recipient's own.
    for (mailbox, keeper, endpoint) in &to.mailboxes {
        let tls_pks =
            directory.descriptor(*keeper).map(|d| d.tls_pks.iter().filter_map(|k| k.as_slice().try_into().ok()));
        let tls_pks: Vec<[u8; 32]> = tls_pks.map(Iterator::collect).unwrap_or_default();
        let address = Address { node: *keeper, endpoint: endpoint.clone(), tls_pks };
        last = match &errand.bytes {
            Some(bytes) if bytes.is_empty() => return Attempt::Failed { fault: fault::STORE },
            Some(bytes) => deposit(pool, directory, &address, *mailbox, errand.digest, bytes.to_vec(), now).await,
            None => ask(pool, directory, &address, errand.digest, now).await,
        };
        if !matches!(last, Attempt::Failed { .. }) {
            return last;
        }
    }
    last
}

async fn deposit(
    pool: &Pool,
    directory: &Directory,
    address: &Address,
    mailbox: MailboxId,
    digest: Digest,
    bytes: Vec<u8>,
    now: u64,
) -> Attempt {
    let reply = match send(pool, address, mailbox, digest, bytes).await {
        Ok(reply) => reply,
        Err(error) => return failed(&error),
    };
    let key = keeper_key(directory, address.node, now);
    let held = reply
        .receipt
        .as_ref()
        .zip(key)
        .is_some_and(|(r, key)| receipt::check_storage(r, directory.net(), address.node, digest, &key).is_ok());
    if held { Attempt::Stored { locked: reply.locked } } else { Attempt::Unclear { fault: fault::BAD_RECEIPT } }
}

async fn ask(pool: &Pool, directory: &Directory, address: &Address, digest: Digest, now: u64) -> Attempt {
    let reply = match question(pool, address, digest).await {
        Ok(reply) => reply,
        Err(error) => return failed(&error),
    };
    match reply.state() {
        wire::MailboxState::Stored => Attempt::Stored { locked: false },
        wire::MailboxState::StoredLocked => Attempt::Stored { locked: true },
        wire::MailboxState::Taken => Attempt::Taken,
        wire::MailboxState::NotHere => Attempt::Lost,
        wire::MailboxState::Unopenable => {
            let key = keeper_key(directory, address.node, now);
            let held = reply.not_opened.as_ref().zip(key).is_some_and(|(s, key)| {
                receipt::check_not_opened(s, directory.net(), address.node, digest, &key).is_ok()
            });
            if held { Attempt::NotOpened } else { Attempt::Unclear { fault: fault::BAD_RECEIPT } }
        }
        wire::MailboxState::Unspecified => Attempt::Unclear { fault: fault::BAD_RECEIPT },
    }
}

async fn send(
    pool: &Pool,
    address: &Address,
    mailbox: MailboxId,
    digest: Digest,
    bytes: Vec<u8>,
) -> Result<wire::DepositReply, PeerError> {
    pool.client(address).await?.deposit(mailbox, digest, bytes).await
}

async fn question(pool: &Pool, address: &Address, digest: Digest) -> Result<wire::OutcomeReply, PeerError> {
    pool.client(address).await?.outcome(digest).await
}

fn keeper_key(directory: &Directory, keeper: NodeId, now: u64) -> Option<clearhouse_protocol::keys::VerifyKey> {
    directory.signing_key(directory.org_of(keeper)?, keeper, now).ok()
}

fn failed(error: &PeerError) -> Attempt {
    match error {
        PeerError::Refused(refused) if refused.passes() => Attempt::Failed { fault: fault::REFUSED_FOR_NOW },
        PeerError::Refused(_) => Attempt::Failed { fault: fault::REFUSED },
        PeerError::Name | PeerError::Unreachable => Attempt::Failed { fault: fault::UNREACHABLE },
        PeerError::Tls(_) => Attempt::Failed { fault: fault::NOT_THAT_NODE },
        PeerError::Deadline(_) | PeerError::Protocol => Attempt::Unclear { fault: fault::BROKE_OFF },
    }
}

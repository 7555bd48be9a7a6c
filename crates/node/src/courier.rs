//! Carries messages out: deposits what is due, asks after what is stored, reports back how each attempt ended.
//!
//! Decides nothing about a message: the mailroom says what is due and what an outcome means. A storage receipt is
//! believed only after its signature and path held.

mod unsure;

pub use unsure::Unsure;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{Digest, MailboxId, MsgId, Net, NodeId, OrgId};
use clearhouse_protocol::keys::VerifyKey;
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
use crate::rpc::status::{PeerError, TlsFault};

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
    /// Nobody fetched it from the mailbox it was left in.
    pub const NOT_FETCHED: u32 = 10;
    /// They do not know this node's key, or know that it has ended.
    pub const NOT_KNOWN_THERE: u32 = 11;
    /// It was under way in a backup or an old copy that was put back.
    pub use clearhouse_protocol::mail::FAULT_OF_OLD as OF_OLD;

    /// It was here when the node started, and its witnesses have not said yet that this folder is the newest.
    pub use clearhouse_protocol::mail::FAULT_UNASKED as UNASKED;

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
            NOT_KNOWN_THERE => {
                "their node does not accept this node's key: its entry may be new to them, or it was revoked; phone your \
                 coordinator, the message is safe here"
            }
            NOT_FETCHED => "their node did not fetch it in its time; phone them",
            OF_OLD => {
                "this node's folder was put back from a backup or an old copy, and what was decided since is not here: ask them \
                 what they have, look whether it should still go, and send it again"
            }
            UNASKED => {
                "it was waiting when this node started, and too few of the nodes that cosign its log have said yet that its \
                 folder is the newest: it may have been recalled since. It goes by itself when they answer; if it must go \
                 now, recall it and send it again"
            }
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
    /// The node that keeps it for them, when it was left at one.
    keeper: Option<NodeId>,
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
    /// What must not leave yet.
    pub unsure: Unsure,
}

impl<S: Store + 'static> Courier<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let unsure = Arc::new(self.unsure.clone());
        let (mut word, mut heard, mut to_tell) = (unsure.word(), false, false);
        let mut under_way: BTreeSet<MsgId> = BTreeSet::new();
        let mut errands: JoinSet<(MsgId, Option<Attempt>)> = JoinSet::new();
        loop {
            if to_tell {
                let Some(told) = self.tell_newest().await else { return };
                // Refused by a full disk, say: the next look tells it.
                to_tell = !told;
            }
            let room = AT_ONCE.saturating_sub(under_way.len());
            let Some(next) = self.next_errands(&under_way, room).await else { return };
            for errand in next {
                under_way.insert(errand.msg_id);
                let (pool, now, owner) = (Arc::clone(&self.pool), self.clock.now(), self.owner.clone());
                let unsure = Arc::clone(&unsure);
                errands.spawn(async move {
                    let msg_id = errand.msg_id;
                    // That it departs is durable before its first byte leaves, or a recall could not be believed.
                    if errand.bytes.is_some() && !may_depart(&owner, msg_id, unsure).await {
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
                came = word.comes(), if !heard => (heard, to_tell) = (true, came),
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
            let all = due.chain(mail.to_ask(now).map(|id| (id, false)));
            let free = all.filter(|(id, _)| !under_way.contains(id)).take(room);
            free.filter_map(|(msg_id, deposit)| {
                let row = mail.outgoing(msg_id)?;
                let digest = Digest::try_from(row.digest.as_slice()).ok()?;
                let org = OrgId::try_from(row.peer_org.as_slice()).ok()?;
                let node = NodeId::try_from(row.peer_node.as_slice()).ok()?;
                let read = || world.ledger.read(Table::Envelope, digest.as_bytes()).ok().flatten().unwrap_or_default();
                let keeper = NodeId::try_from(row.keeper.as_slice()).ok();
                Some(Errand { msg_id, digest, peer: (org, node), keeper, bytes: deposit.then(read) })
            })
            .collect::<Vec<_>>()
        });
        look.await.ok()
    }

    /// What waited for the witnesses goes; whether that was taken.
    async fn tell_newest(&self) -> Option<bool> {
        match self.owner.decide(|world, now| (world.office.is_newest(now.time), ())).await {
            Err(crate::owner::NotTaken::Stopping) => None,
            told => Some(told.is_ok()),
        }
    }

    async fn report(&self, msg_id: MsgId, attempt: Attempt) -> Option<()> {
        let decided = self.owner.decide(move |world, now| (world.office.attempted(msg_id, attempt, now), ()));
        match decided.await {
            Err(crate::owner::NotTaken::Stopping) => None,
            Ok(()) | Err(_) => Some(()),
        }
    }
}

/// Whether a message may still leave, asked of the office at the last moment. Not when the answer cannot be kept. Whether it may
/// have been recalled since the copy that this folder may be is asked in the same turn: else the witnesses' word could
/// come between, and it would wait for what was told already.
async fn may_depart<S: Store + 'static>(owner: &Owner<S>, msg_id: MsgId, unsure: Arc<Unsure>) -> bool {
    let depart = owner.decide(move |world, now| match unsure.waits(msg_id) {
        true => world.office.depart_unasked(msg_id, now),
        false => world.office.depart(msg_id, now),
    });
    depart.await.unwrap_or(false)
}

async fn carry(pool: &Pool, directory: &Directory, errand: Errand, now: u64) -> Attempt {
    let Ok(to) = directory.recipient(errand.peer.0, errand.peer.1, now) else {
        return Attempt::Failed { fault: fault::NO_ROUTE };
    };
    let (digest, node) = (errand.digest, errand.peer.1);
    let Some(bytes) = errand.bytes else {
        return ask_around(pool, directory, &to.mailboxes, (node, errand.keeper), digest, now).await;
    };
    if bytes.is_empty() {
        return Attempt::Failed { fault: fault::STORE };
    }
    let mut last = Attempt::Failed { fault: fault::NO_ROUTE };
    // The first mailbox that signs for it has it (decision 9). One that may have it and does not say so is no reason to
    // wait: where it comes twice it is taken once.
    for (mailbox, keeper, endpoint) in &to.mailboxes {
        let address = address(directory, *keeper, endpoint);
        let attempt = deposit(pool, directory, &address, *mailbox, digest, bytes.to_vec(), now).await;
        match attempt {
            Attempt::Stored { .. } if *keeper != node => return Attempt::StoredAt { keeper: *keeper },
            Attempt::Stored { .. } => return attempt,
            Attempt::Failed { .. } if matches!(last, Attempt::Unclear { .. }) => {}
            Attempt::Failed { .. }
            | Attempt::Unclear { .. }
            | Attempt::StoredAt { .. }
            | Attempt::Fetched
            | Attempt::Taken
            | Attempt::NotOpened
            | Attempt::Lost => last = attempt,
        }
    }
    last
}

/// Where a mailbox is: the keeper's own word first, which is newer than what its tenant wrote down.
fn address(directory: &Directory, keeper: NodeId, endpoint: &str) -> Address {
    let listed = || Address { node: keeper, endpoint: endpoint.to_owned(), tls_pks: Vec::new() };
    Address::of(directory, keeper).unwrap_or_else(listed)
}

/// Asks what became of a message: its keeper, if one has it, or else the recipient's own node and then its keepers.
async fn ask_around(
    pool: &Pool,
    directory: &Directory,
    mailboxes: &[(MailboxId, NodeId, String)],
    (node, keeper): (NodeId, Option<NodeId>),
    digest: Digest,
    now: u64,
) -> Attempt {
    if let Some(keeper) = keeper {
        let Some(address) = Address::of(directory, keeper) else {
            return Attempt::Failed { fault: fault::NO_ROUTE };
        };
        return match ask(pool, directory, &address, digest, now).await {
            Attempt::Stored { .. } => Attempt::StoredAt { keeper },
            // What a keeper cannot know, or may not say for its tenant.
            Attempt::Taken | Attempt::NotOpened => Attempt::Unclear { fault: fault::BAD_RECEIPT },
            told @ (Attempt::StoredAt { .. }
            | Attempt::Fetched
            | Attempt::Failed { .. }
            | Attempt::Unclear { .. }
            | Attempt::Lost) => told,
        };
    }
    let mut last = Attempt::Failed { fault: fault::NO_ROUTE };
    for (_, keeper, endpoint) in mailboxes {
        let told = ask(pool, directory, &address(directory, *keeper, endpoint), digest, now).await;
        match told {
            Attempt::Failed { .. } => last = told,
            told if *keeper == node => return told,
            Attempt::Stored { .. } => return Attempt::StoredAt { keeper: *keeper },
            Attempt::Fetched => return told,
            // A keeper that has forgotten, or never had it, says nothing about the recipient.
            Attempt::StoredAt { .. }
            | Attempt::Unclear { .. }
            | Attempt::Taken
            | Attempt::NotOpened
            | Attempt::Lost => {}
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
    let (net, node) = (directory.net(), address.node);
    let proven = |word: &Option<wire::Signed>, check: Check| {
        let key = keeper_key(directory, node, now);
        word.as_ref().zip(key).is_some_and(|(word, key)| check(word, net, node, digest, &key).is_ok())
    };
    match reply.state() {
        wire::MailboxState::Stored => Attempt::Stored { locked: false },
        wire::MailboxState::StoredLocked => Attempt::Stored { locked: true },
        wire::MailboxState::Taken => Attempt::Taken,
        wire::MailboxState::NotHere => Attempt::Lost,
        wire::MailboxState::Fetched => Attempt::Fetched,
        wire::MailboxState::Unopenable if proven(&reply.not_opened, receipt::check_not_opened) => Attempt::NotOpened,
        // Its own time is over as well, which ends it here.
        wire::MailboxState::Expired if proven(&reply.expired, receipt::check_expired) => {
            Attempt::Failed { fault: fault::NOT_FETCHED }
        }
        wire::MailboxState::Unopenable | wire::MailboxState::Expired | wire::MailboxState::Unspecified => {
            Attempt::Unclear { fault: fault::BAD_RECEIPT }
        }
    }
}

/// How a signed word of a mailbox about one envelope is checked.
type Check = fn(&wire::Signed, Net, NodeId, Digest, &VerifyKey) -> Result<(), receipt::ReceiptFault>;

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

fn keeper_key(directory: &Directory, keeper: NodeId, now: u64) -> Option<VerifyKey> {
    directory.signing_key(directory.org_of(keeper)?, keeper, now).ok()
}

fn failed(error: &PeerError) -> Attempt {
    match error {
        PeerError::Refused(refused) if refused.passes() => Attempt::Failed { fault: fault::REFUSED_FOR_NOW },
        PeerError::Refused(_) => Attempt::Failed { fault: fault::REFUSED },
        PeerError::Name | PeerError::Unreachable => Attempt::Failed { fault: fault::UNREACHABLE },
        PeerError::Tls(TlsFault::NotKnownThere) => Attempt::Failed { fault: fault::NOT_KNOWN_THERE },
        PeerError::Tls(_) => Attempt::Failed { fault: fault::NOT_THAT_NODE },
        PeerError::Deadline(_) | PeerError::Protocol => Attempt::Unclear { fault: fault::BROKE_OFF },
    }
}

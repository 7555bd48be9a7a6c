//! The asking end: dials one node, makes sure it is that node, and asks.
//!
//! Refuses to guess: each failure says whether it was the name, the address, the key, the line or the answer. A call
//! is never repeated here; whether a repeat is safe is known to who asked.

mod bundle;
mod dial;
mod mailboxes;
mod sync;

pub use dial::Step;
pub use mailboxes::Fetching;

use super::status::PeerError;
use super::stubs::exchange_client::ExchangeClient;
use crate::limits::{CLIENT_LINE_AGE, Limits, lock};
use crate::tls::Identity;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::limits::{FRAME_MAX, UNARY_MAX};
use clearhouse_wire::v1::{
    AddCheckpointReply, AddCheckpointRequest, DepositFrame, DepositReply, DirectoryLogReply, DirectoryLogRequest,
    OutcomeReply, OutcomeRequest, OwnLogReply, OwnLogRequest, RecordBundle, RecordsRequest, TellEquivocationRequest,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::transport::Channel;

/// What goes to a coordinator's node with a head, so that it mirrors the log; nothing by default.
#[derive(Clone, Default)]
pub struct Along {
    /// The entry of the first commitment.
    pub first: u64,
    /// Commitments, 32 bytes each, at most [`TAIL_MAX`](clearhouse_protocol::limits::TAIL_MAX).
    pub leaves: Vec<u8>,
    /// Consistency proof from the end of them to the head, 32 bytes each; empty when they reach it.
    pub path: Vec<u8>,
    /// It is to cosign only when it then mirrors the log up to the head.
    pub mirror: bool,
}

/// Where and who a node is, from its verified descriptor.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The node, under whose name the line is kept.
    pub node: NodeId,
    /// `host:port`, as the mailbox in its descriptor says.
    pub endpoint: String,
    /// The TLS keys its descriptor lists; it must prove one of them.
    pub tls_pks: Vec<[u8; 32]>,
}

impl Address {
    /// The address a directory knows of a node: where it keeps a mailbox itself, and the keys of its newest descriptor.
    /// `None` of one that cannot be reached.
    #[must_use]
    pub fn of(directory: &Directory, node: NodeId) -> Option<Self> {
        let descriptor = directory.descriptor(node)?;
        let tls_pks = descriptor.tls_pks.iter().filter_map(|k| k.as_slice().try_into().ok()).collect();
        let own = descriptor.mailboxes.iter().find(|m| m.node_id == node.0)?;
        Some(Self { node, endpoint: own.endpoint.clone(), tls_pks })
    }
}

/// An open line to one node. Clones share it.
#[derive(Clone)]
pub struct Client {
    pub(super) channel: Channel,
    limits: Arc<Limits>,
    born: Instant,
    over: Arc<AtomicBool>,
}

impl Client {
    /// Dials `endpoint` (`host:port`) as `identity` and makes sure that one of `pins` is proven there.
    ///
    /// # Errors
    /// [`PeerError`], but no refusal.
    pub async fn connect(
        endpoint: &str,
        pins: &[[u8; 32]],
        identity: &Identity,
        limits: &Limits,
    ) -> Result<Self, PeerError> {
        Self::connect_by_steps(endpoint, pins, identity, limits).await.map_err(|(_, error)| error)
    }

    /// [`Client::connect`], for whoever wants to know how far it came.
    ///
    /// # Errors
    /// [`PeerError`] with the step that failed.
    pub async fn connect_by_steps(
        endpoint: &str,
        pins: &[[u8; 32]],
        identity: &Identity,
        limits: &Limits,
    ) -> Result<Self, (Step, PeerError)> {
        let channel = dial::dial(endpoint, pins, identity, limits).await?;
        Ok(Self { channel, limits: Arc::new(limits.clone()), born: Instant::now(), over: Arc::default() })
    }

    /// Deposits the encoded envelope `bytes`, named `digest`, for `mailbox`. `Ok` says it is durable there.
    ///
    /// # Errors
    /// [`PeerError`]. After [`PeerError::Deadline`] or [`PeerError::Protocol`] it may be durable all the same; asking
    /// for its outcome or depositing again tells, and changes nothing.
    pub async fn deposit(&self, mailbox: MailboxId, digest: Digest, bytes: Vec<u8>) -> Result<DepositReply, PeerError> {
        let time = self.limits.deposit_allowance(bytes.len() as u64).saturating_add(ANSWER_TIME);
        let mut stub = self.stub();
        self.call(time, async move { stub.deposit(tokio_stream::iter(frames(mailbox, digest, bytes))).await }).await
    }

    /// Asks what the node's mailboxes know of `digest`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn outcome(&self, digest: Digest) -> Result<OutcomeReply, PeerError> {
        let mut stub = self.stub();
        let request = OutcomeRequest { digest: digest.to_vec() };
        self.call(self.limits.call, async move { stub.outcome(request).await }).await
    }

    /// Asks for the records of `org`, or the node's own. Nothing of the answer is verified yet.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn records(&self, org: Option<OrgId>) -> Result<RecordBundle, PeerError> {
        let channel = self.channel.clone();
        let request = RecordsRequest { org: org.map(OrgId::to_vec).unwrap_or_default() };
        self.call(self.limits.call, bundle::ask(channel, request, &bundle::RECORDS)).await
    }

    /// Asks the node to cosign a head of our log, with what goes `along` for a mirror. Nothing of the answer is verified yet.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn add_checkpoint(&self, request: Vec<u8>, along: Along) -> Result<AddCheckpointReply, PeerError> {
        let mut stub = self.stub();
        let Along { first, leaves, path, mirror } = along;
        let request = AddCheckpointRequest { request, first, leaves, path, mirror };
        self.call(self.limits.call, async move { stub.add_checkpoint(request).await }).await
    }

    /// Tells the node that some log showed two histories.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn tell_equivocation(&self, proof: Vec<u8>) -> Result<(), PeerError> {
        let mut stub = self.stub();
        let request = TellEquivocationRequest { proof };
        self.call(self.limits.call, async move { stub.tell_equivocation(request).await }).await.map(drop)
    }

    /// Asks a coordinator's node for its mirror of our own log, from an entry on. Nothing of the answer is verified yet.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn own_log(&self, first: u64) -> Result<OwnLogReply, PeerError> {
        let mut stub = ExchangeClient::new(self.channel.clone()).max_decoding_message_size(UNARY_MAX);
        self.call(self.limits.call, async move { stub.own_log(OwnLogRequest { first }).await }).await
    }

    /// Asks for the next entries of a coordinator's directory log. Nothing of the answer is verified yet.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn directory_log(&self, request: DirectoryLogRequest) -> Result<DirectoryLogReply, PeerError> {
        let mut stub = ExchangeClient::new(self.channel.clone()).max_decoding_message_size(UNARY_MAX);
        self.call(self.limits.call, async move { stub.directory_log(request).await }).await
    }

    /// Whether new calls should be made on this line: nothing broke it, and it is young enough for a long deposit.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.over.load(Ordering::Acquire) && self.born.elapsed() < CLIENT_LINE_AGE
    }

    /// Small answers: what a hostile one could blow up to in memory stays small too.
    pub(super) fn stub(&self) -> ExchangeClient<Channel> {
        ExchangeClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX)
    }

    async fn call<T>(
        &self,
        time: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, PeerError> {
        let result = match tokio::time::timeout(time, call).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => PeerError::of(&status),
            Err(_) => PeerError::Deadline(time),
        };
        if result.ends_line() {
            self.over.store(true, Ordering::Release);
        }
        Err(result)
    }
}

/// Largest answer to a deposit or a question for an outcome: a signed head with a Merkle path is about 2 KiB.
const ANSWER_MAX: usize = 64 << 10;
/// Time a mailbox has to make a deposit durable and to say so, after the last byte's time.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The frames of a deposit, made one at a time.
fn frames(mailbox: MailboxId, digest: Digest, bytes: Vec<u8>) -> impl Iterator<Item = DepositFrame> + Send + 'static {
    let count = bytes.len().div_ceil(FRAME_MAX).max(1);
    (0..count).map(move |i| {
        let data = bytes[i * FRAME_MAX..bytes.len().min((i + 1) * FRAME_MAX)].to_vec();
        if i > 0 {
            return DepositFrame { data, ..DepositFrame::default() };
        }
        let total_len = bytes.len() as u64;
        DepositFrame { mailbox: mailbox.to_vec(), digest: digest.to_vec(), total_len, data }
    })
}

/// Lines to other nodes, one each, kept while they are good.
pub struct Pool {
    identity: Identity,
    limits: Limits,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_node: BTreeMap<NodeId, (u64, Arc<Slot>)>,
    turn: u64,
}

/// Held while dialling, so that two couriers to one node dial once.
type Slot = tokio::sync::Mutex<Option<(Address, Client)>>;

/// Nodes a pool keeps a line to. The one asked for longest ago makes way for a new one.
pub const POOL_MAX: usize = 64;

impl Pool {
    /// No lines yet; `identity` is shown to everyone dialled.
    #[must_use]
    pub fn new(identity: Identity, limits: Limits) -> Self {
        Self { identity, limits, slots: Mutex::default() }
    }

    /// The line to the node at `address`: the one there is, or a new one.
    ///
    /// # Errors
    /// [`PeerError`] of the dialling, but no refusal.
    pub async fn client(&self, address: &Address) -> Result<Client, PeerError> {
        let slot = self.slot(address.node);
        let mut held = slot.lock().await;
        if let Some((at, client)) = held.as_ref()
            && at == address
            && client.is_usable()
        {
            return Ok(client.clone());
        }
        *held = None;
        let client = Client::connect(&address.endpoint, &address.tls_pks, &self.identity, &self.limits).await?;
        *held = Some((address.clone(), client.clone()));
        Ok(client)
    }

    /// A fresh line to the node at `address` that is not kept; for finding out what stands in between.
    ///
    /// # Errors
    /// [`PeerError`] with the step that failed.
    pub async fn probe(&self, address: &Address) -> Result<Client, (Step, PeerError)> {
        Client::connect_by_steps(&address.endpoint, &address.tls_pks, &self.identity, &self.limits).await
    }

    /// Lets go of the line to `node`; calls under way on it end by themselves. For a revocation.
    pub fn forget(&self, node: NodeId) {
        lock(&self.slots).by_node.remove(&node);
    }

    fn slot(&self, node: NodeId) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        slots.turn += 1;
        let turn = slots.turn;
        if slots.by_node.len() >= POOL_MAX && !slots.by_node.contains_key(&node) {
            let oldest = slots.by_node.iter().min_by_key(|(_, (used, _))| *used).map(|(node, _)| *node);
            oldest.and_then(|node| slots.by_node.remove(&node));
        }
        let (used, slot) = slots.by_node.entry(node).or_default();
        *used = turn;
        Arc::clone(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_every_byte_once_and_announce_them_in_the_first() {
        for len in [0, 1, FRAME_MAX - 1, FRAME_MAX, FRAME_MAX + 1, 3 * FRAME_MAX, 3 * FRAME_MAX + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let frames: Vec<_> = frames(MailboxId([1; 16]), Digest([2; 32]), bytes.clone()).collect();
            assert_eq!(frames[0].total_len, len as u64);
            assert_eq!((frames[0].mailbox.len(), frames[0].digest.len()), (16, 32));
            assert!(frames[1..].iter().all(|f| f.total_len == 0 && f.mailbox.is_empty() && f.digest.is_empty()));
            assert!(frames.iter().all(|f| f.data.len() <= FRAME_MAX));
            assert!(frames[1..].iter().all(|f| !f.data.is_empty()));
            assert_eq!(frames.iter().flat_map(|f| f.data.clone()).collect::<Vec<_>>(), bytes);
        }
    }

    #[test]
    fn a_pool_keeps_a_bounded_number_of_lines_and_drops_the_one_unused_longest() {
        let pool = Pool::new(crate::tls::tests::identity(1), Limits::HARD);
        for n in 0..=POOL_MAX as u128 {
            let slot = pool.slot(NodeId(n.to_be_bytes()));
            assert!(slot.try_lock().is_ok());
            pool.slot(NodeId([0; 16]));
        }
        let slots = lock(&pool.slots);
        assert_eq!(slots.by_node.len(), POOL_MAX);
        assert!(slots.by_node.contains_key(&NodeId([0; 16])));
        assert!(!slots.by_node.contains_key(&NodeId(1u128.to_be_bytes())));
    }
}

//! The answering end: who may call, how fast and how much, and frames put together into one body.
//!
//! Refuses before it allocates, and hands over bytes it has not looked into: whether a digest fits, a mailbox takes
//! or a record holds is the [`Door`]'s to say, behind which the node decides.

use super::DESCRIPTOR_SET;
use super::contain::Contain;
use super::status::Refused;
use super::stubs::exchange_server::{Exchange, ExchangeServer};
use super::stubs::sync_server::SyncServer;
use crate::limits::{Counters, Limits, Meter, NoRoom, Room, Taken};
use crate::listener::Caller;
use crate::sync::Told;
use crate::tls::Pins;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::limits::TAIL_MAX;
use clearhouse_protocol::limits::{ENVELOPE_MAX, FRAME_MAX, UNARY_MAX};
use clearhouse_protocol::log::equivocation::EQUIVOCATION_MAX;
use clearhouse_protocol::log::witness::REQUEST_MAX as CHECKPOINT_MAX;
use clearhouse_wire::v1::{
    AddCheckpointReply, AddCheckpointRequest, DepositFrame, DepositReply, DirectoryLogReply, DirectoryLogRequest,
    OutcomeReply, OutcomeRequest, OwnLogReply, OwnLogRequest, RecordBundle, RecordsRequest, TellEquivocationReply,
    TellEquivocationRequest,
};
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

/// What stands behind the answering end. Every `from` is an accredited node that has proven its key.
///
/// A call may be dropped at any await when the caller goes away: what must not be left half done belongs into a task
/// or behind a queue of the door's own.
pub trait Door: Send + Sync + 'static {
    /// Whether `from` may deposit `total_len` bytes for `mailbox` now. Asked before any byte of it is kept.
    ///
    /// # Errors
    /// [`Refused`], for the caller.
    fn deposit_allowed(&self, from: NodeId, mailbox: MailboxId, total_len: u64) -> Result<(), Refused>;

    /// Takes the bytes said to be the envelope `digest` for `mailbox`. An answer means they are durable.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::Malformed`] for everything about the inside of an envelope, its digest included.
    fn deposit(
        &self,
        from: NodeId,
        mailbox: MailboxId,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<DepositReply, Refused>> + Send;

    /// What the mailboxes here know of one envelope. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    fn outcome(&self, from: NodeId, digest: Digest) -> impl Future<Output = Result<OutcomeReply, Refused>> + Send;

    /// The directory records of `org`, or this node's own. At most [`UNARY_MAX`] bytes encoded. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    fn records(&self, from: NodeId, org: Option<OrgId>) -> impl Future<Output = Result<RecordBundle, Refused>> + Send;

    /// Cosigns a head of `from`'s own log, or says why not. A signature means that it is durable here. At most
    /// [`CHECKPOINT_MAX`] bytes.
    ///
    /// # Errors
    /// [`Refused`]; what a witness refuses is an answer.
    fn add_checkpoint(
        &self,
        from: NodeId,
        asked: AddCheckpointRequest,
    ) -> impl Future<Output = Result<AddCheckpointReply, Refused>> + Send;

    /// Takes a proof that some log showed two histories. An answer means that it holds and is durable here. At most
    /// [`EQUIVOCATION_MAX`] bytes.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::Malformed`] for one that shows nothing.
    fn tell_equivocation(&self, from: NodeId, proof: Vec<u8>) -> impl Future<Output = Result<(), Refused>> + Send;

    /// What is mirrored here of `from`'s own log, from an entry on. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    fn own_log(&self, from: NodeId, first: u64) -> impl Future<Output = Result<OwnLogReply, Refused>> + Send;

    /// The next entries of the directory log of `node`, as `asked`. At most [`UNARY_MAX`] bytes encoded. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    fn directory_log(
        &self,
        from: NodeId,
        node: NodeId,
        asked: DirectoryLogRequest,
    ) -> impl Future<Output = Result<DirectoryLogReply, Refused>> + Send;

    /// This node's directory as it tells of it. Changes nothing. A door without one offers no such call.
    ///
    /// # Errors
    /// [`Refused`].
    fn told(&self, from: NodeId) -> Result<Told, Refused> {
        let _ = from;
        Err(Refused::NotOffered)
    }

    /// Whether what a caller could say of itself, named by a hash, is not held here. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    fn is_unheard(&self, from: NodeId, own_digest: &[u8]) -> Result<bool, Refused> {
        let _ = (from, own_digest);
        Ok(false)
    }

    /// Takes what a caller says of itself, if it holds: its own descriptor and prekeys. One that does not hold is no reason
    /// not to answer.
    ///
    /// # Errors
    /// [`Refused`], when nothing can be taken now.
    fn introduced(&self, from: NodeId, said: RecordBundle) -> impl Future<Output = Result<(), Refused>> + Send {
        let _ = (from, said);
        async { Ok(()) }
    }
}

/// A door with its bell and doorman, ready to be served by a [`Listener`](crate::listener::Listener).
pub struct Service {
    /// The calls.
    pub(crate) routes: Routes,
    /// What is around every one of them.
    pub(crate) contain: Contain,
    /// Where the node says that it takes calls, or no longer.
    pub health: Health,
}

/// The node's word on its own health, as `grpc.health.v1` tells it.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Says that calls are taken, or that they are not for now. Starts as "not".
    pub async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.0.set_service_status("", status).await;
        self.0.set_service_status(super::stubs::exchange_server::SERVICE_NAME, status).await;
    }
}

/// Puts `door` behind all checks. `reflection` offers `proto/` to callers; off in production.
///
/// # Errors
/// [`tonic_reflection::server::Error`] when the built-in descriptor set is broken.
pub async fn service<D: Door>(
    door: Arc<D>,
    pins: Arc<dyn Pins>,
    limits: &Limits,
    counters: Arc<Counters>,
    reflection: bool,
) -> Result<Service, tonic_reflection::server::Error> {
    let (reporter, health_server) = health_reporter();
    let health = Health(reporter);
    health.set(false).await;
    let doorman = Arc::new(Doorman::new(door, pins, limits, Arc::clone(&counters)));
    let sync = SyncServer::from_arc(Arc::clone(&doorman)).max_decoding_message_size(super::sync::REQUEST_MAX);
    let exchange =
        ExchangeServer::from_arc(doorman).max_decoding_message_size(REQUEST_MAX).max_encoding_message_size(UNARY_MAX);
    let mut routes =
        Routes::new(exchange).add_service(sync).add_service(health_server.max_decoding_message_size(HEALTH_MAX));
    if reflection {
        let told = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Older tools ask for v1alpha only.
        routes = routes.add_service(told().build_v1()?).add_service(told().build_v1alpha()?);
    }
    Ok(Service { routes, contain: Contain::new(limits, counters), health })
}

/// The path of the one call that has a pace instead of a deadline.
pub(super) const DEPOSIT: &str = "/clearhouse.v1.Exchange/Deposit";

/// Largest consistency proof: a hash for each level of a tree.
const PATH_MAX: usize = 63 * size_of::<[u8; 32]>();
/// Largest request message: one full frame with the first frame's other fields and all tags, or a head to cosign with all
/// that may go along.
pub(super) const REQUEST_MAX: usize = FRAME_MAX + PATH_MAX + 128;
/// Largest question after a node's health: the name of a service.
const HEALTH_MAX: usize = 1 << 10;

/// Stands before both services: [`super::sync`] has the other.
pub(super) struct Doorman<D> {
    pub(super) door: Arc<D>,
    pins: Arc<dyn Pins>,
    limits: Limits,
    counters: Arc<Counters>,
    room: Arc<Room>,
    deposits: Meter,
    outcomes: Meter,
    records: Meter,
    checkpoints: Meter,
    pub(super) syncs: Meter,
}

impl<D: Door> Doorman<D> {
    fn new(door: Arc<D>, pins: Arc<dyn Pins>, limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            door,
            pins,
            counters,
            room: Room::new(limits),
            deposits: Meter::new(limits.deposits_per_minute),
            outcomes: Meter::new(limits.outcomes_per_minute),
            records: Meter::new(limits.records_per_minute),
            checkpoints: Meter::new(limits.checkpoints_per_minute),
            syncs: Meter::new(limits.syncs_per_minute),
            limits: limits.clone(),
        }
    }

    /// Who calls, if that node is still accredited and not too fast.
    pub(super) fn admit<T>(&self, request: &Request<T>, meter: &Meter) -> Result<NodeId, Refused> {
        let caller = request.extensions().get::<Caller>().ok_or(Refused::NotAccredited)?;
        if self.pins.peer(&caller.tls_pk) != Some(caller.node) {
            caller.line.hang_up();
            return Err(Refused::NotAccredited);
        }
        if meter.take(caller.node, Instant::now()) { Ok(caller.node) } else { Err(Refused::TooFast) }
    }

    async fn take_in(&self, request: Request<Streaming<DepositFrame>>) -> Result<DepositReply, Refused> {
        let from = self.admit(&request, &self.deposits)?;
        let mut frames = Frames { stream: request.into_inner(), limits: &self.limits, started: Instant::now() };
        let (first, data) = First::read(frames.next(0).await?.ok_or(Refused::Malformed)?)?;
        self.door.deposit_allowed(from, first.mailbox, first.total_len as u64).inspect_err(|refused| {
            // Its own share of the hour: that a mailbox is full is nobody's pressing.
            if *refused == Refused::Full {
                self.counters.pressing.refused(from, Instant::now());
            }
        })?;
        let taken = self.room.take(from, first.total_len).map_err(|full| match full {
            NoRoom::Yours | NoRoom::Everyones => Refused::Busy,
        })?;
        let bytes = frames.put_together(first.total_len, data).await?;
        self.counters.deposits.add();
        let reply = self.door.deposit(from, first.mailbox, first.digest, bytes).await;
        // The room is the bytes' as long as the door works on them.
        drop::<Taken>(taken);
        reply
    }

    async fn look_up(&self, request: Request<OutcomeRequest>) -> Result<OutcomeReply, Refused> {
        let from = self.admit(&request, &self.outcomes)?;
        let digest = name(&request.get_ref().digest)?;
        self.door.outcome(from, Digest(digest)).await
    }

    async fn hand_out(&self, request: Request<RecordsRequest>) -> Result<RecordBundle, Refused> {
        let from = self.admit(&request, &self.records)?;
        let org = match request.get_ref().org.as_slice() {
            [] => None,
            named => Some(OrgId(name(named)?)),
        };
        let bundle = self.door.records(from, org).await?;
        if bundle.encoded_len() > UNARY_MAX {
            tracing::error!(bytes = bundle.encoded_len(), "a bundle of records is larger than one answer may be");
            return Err(Refused::Broken);
        }
        Ok(bundle)
    }

    async fn cosign(&self, request: Request<AddCheckpointRequest>) -> Result<AddCheckpointReply, Refused> {
        let from = self.admit(&request, &self.checkpoints)?;
        let asked = request.into_inner();
        let is_small = asked.leaves.len() <= TAIL_MAX * size_of::<[u8; 32]>() && asked.path.len() <= PATH_MAX;
        if asked.request.len() > CHECKPOINT_MAX || !is_small {
            return Err(Refused::TooLarge);
        }
        self.door.add_checkpoint(from, asked).await
    }

    async fn be_told(&self, request: Request<TellEquivocationRequest>) -> Result<TellEquivocationReply, Refused> {
        let from = self.admit(&request, &self.checkpoints)?;
        let proof = request.into_inner().proof;
        if proof.len() > EQUIVOCATION_MAX {
            return Err(Refused::TooLarge);
        }
        self.door.tell_equivocation(from, proof).await?;
        Ok(TellEquivocationReply {})
    }

    async fn show_own(&self, request: Request<OwnLogRequest>) -> Result<OwnLogReply, Refused> {
        let from = self.admit(&request, &self.checkpoints)?;
        self.door.own_log(from, request.into_inner().first).await
    }

    async fn show_directory_log(&self, request: Request<DirectoryLogRequest>) -> Result<DirectoryLogReply, Refused> {
        let from = self.admit(&request, &self.checkpoints)?;
        let asked = request.into_inner();
        self.door.directory_log(from, NodeId(name(&asked.node)?), asked).await
    }
}

/// What a call ended with, as gRPC says it. A refusal is counted on its way out, by [`super::contain`].
pub(super) fn answer<T>(result: Result<T, Refused>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

#[tonic::async_trait]
impl<D: Door> Exchange for Doorman<D> {
    async fn deposit(&self, request: Request<Streaming<DepositFrame>>) -> Result<Response<DepositReply>, Status> {
        let from = request.extensions().get::<Caller>().map(|caller| caller.node);
        let taken = self.take_in(request).await;
        if let (Some(from), Err(Refused::TooFast)) = (from, &taken) {
            self.counters.pressing.refused(from, Instant::now());
        }
        answer(taken)
    }

    async fn outcome(&self, request: Request<OutcomeRequest>) -> Result<Response<OutcomeReply>, Status> {
        answer(self.look_up(request).await)
    }

    async fn records(&self, request: Request<RecordsRequest>) -> Result<Response<RecordBundle>, Status> {
        answer(self.hand_out(request).await)
    }

    async fn add_checkpoint(
        &self,
        request: Request<AddCheckpointRequest>,
    ) -> Result<Response<AddCheckpointReply>, Status> {
        answer(self.cosign(request).await)
    }

    async fn tell_equivocation(
        &self,
        request: Request<TellEquivocationRequest>,
    ) -> Result<Response<TellEquivocationReply>, Status> {
        answer(self.be_told(request).await)
    }

    async fn own_log(&self, request: Request<OwnLogRequest>) -> Result<Response<OwnLogReply>, Status> {
        answer(self.show_own(request).await)
    }

    async fn directory_log(
        &self,
        request: Request<DirectoryLogRequest>,
    ) -> Result<Response<DirectoryLogReply>, Status> {
        answer(self.show_directory_log(request).await)
    }
}

/// What the first frame of a deposit announces, checked.
struct First {
    mailbox: MailboxId,
    digest: Digest,
    total_len: usize,
}

impl First {
    /// Reads the announcement and the data that came with it.
    fn read(frame: DepositFrame) -> Result<(Self, Vec<u8>), Refused> {
        let total_len = usize::try_from(frame.total_len).map_err(|_| Refused::TooLarge)?;
        if total_len > ENVELOPE_MAX {
            return Err(Refused::TooLarge);
        }
        if total_len == 0 {
            return Err(Refused::Malformed);
        }
        let first = Self { mailbox: MailboxId(name(&frame.mailbox)?), digest: Digest(name(&frame.digest)?), total_len };
        Ok((first, frame.data))
    }
}

/// The frames of one deposit, each by the time its predecessors have earned.
struct Frames<'a> {
    stream: Streaming<DepositFrame>,
    limits: &'a Limits,
    started: Instant,
}

impl Frames<'_> {
    async fn next(&mut self, received: usize) -> Result<Option<DepositFrame>, Refused> {
        let until = self.started + self.limits.deposit_allowance(received as u64);
        match tokio::time::timeout_at(until.into(), self.stream.message()).await {
            Err(_) => Err(Refused::TooSlow),
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(status)) if status.code() == Code::OutOfRange => Err(Refused::TooLarge),
            Ok(Err(_)) => Err(Refused::Malformed),
        }
    }

    /// All data, when it is exactly `total_len` bytes in frames that carry some and nothing else.
    async fn put_together(mut self, total_len: usize, data: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let mut bytes = Vec::with_capacity(total_len);
        append(&mut bytes, &data, total_len)?;
        drop(data);
        while let Some(frame) = self.next(bytes.len()).await? {
            let bare = frame.mailbox.is_empty() && frame.digest.is_empty() && frame.total_len == 0;
            if !bare || frame.data.is_empty() {
                return Err(Refused::Malformed);
            }
            append(&mut bytes, &frame.data, total_len)?;
        }
        if bytes.len() == total_len { Ok(bytes) } else { Err(Refused::Malformed) }
    }
}

/// Never more than was announced and taken room for.
fn append(bytes: &mut Vec<u8>, data: &[u8], total_len: usize) -> Result<(), Refused> {
    if data.len() > FRAME_MAX {
        return Err(Refused::TooLarge);
    }
    if data.len() > total_len - bytes.len() {
        return Err(Refused::Malformed);
    }
    bytes.extend_from_slice(data);
    Ok(())
}

pub(super) fn name<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refused> {
    bytes.try_into().map_err(|_| Refused::Malformed)
}

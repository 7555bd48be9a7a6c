//! The answering end for mailboxes kept for others: long polls that are answered in constant slots, and what their
//! owners say they have.
//!
//! Refuses to hold more than one envelope of an answer in memory, to wait for a caller that does not take its answer, and
//! to answer two calls for one mailbox at once.

use super::server::Service;
use super::status::Refused;
use super::stubs::mailboxes_server::{Mailboxes, MailboxesServer};
use crate::limits::{Counters, Limits, Meter};
use crate::listener::Caller;
use crate::relay::Turn;
use crate::tls::Pins;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId};
use clearhouse_protocol::limits::{FETCH_SLOTS, FRAME_MAX};
use clearhouse_protocol::relay::slots::{dummy, frames};
use clearhouse_wire::v1::{AckReply, AckRequest, FetchFrame, FetchRequest};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// What stands behind this end. Every `from` is an accredited node that has proven its key.
pub trait Keeper: Send + Sync + 'static {
    /// Whether `mailbox` is kept here for `from`.
    ///
    /// # Errors
    /// [`Refused::UnknownMailbox`] otherwise.
    fn may_fetch(&self, from: NodeId, mailbox: MailboxId) -> Result<(), Refused>;

    /// Begins to wait for what is left in a mailbox, and ends whoever waited before.
    fn begin(&self, mailbox: MailboxId) -> Turn;

    /// What waits in a mailbox, the oldest first, at most [`FETCH_SLOTS`].
    ///
    /// # Errors
    /// [`Refused`].
    fn waiting(&self, mailbox: MailboxId) -> impl Future<Output = Result<Vec<Digest>, Refused>> + Send;

    /// The bytes of one envelope; `None` when it is gone or cannot be read back.
    ///
    /// # Errors
    /// [`Refused`].
    fn read(&self, mailbox: MailboxId, digest: Digest)
    -> impl Future<Output = Result<Option<Vec<u8>>, Refused>> + Send;

    /// Lets go of envelopes that their owner has. An answer means that this is durable.
    ///
    /// # Errors
    /// [`Refused`].
    fn ack(&self, mailbox: MailboxId, digests: Vec<Digest>) -> impl Future<Output = Result<(), Refused>> + Send;
}

impl Service {
    /// Offers the mailboxes of `keeper` beside the exchange.
    #[must_use]
    pub fn keeping<K: Keeper>(
        self,
        keeper: Arc<K>,
        pins: Arc<dyn Pins>,
        limits: &Limits,
        counters: Arc<Counters>,
    ) -> Self {
        let hall = Hall {
            keeper,
            pins,
            counters,
            fetches: Meter::new(limits.fetches_per_minute),
            acks: Meter::new(limits.fetches_per_minute),
            limits: limits.clone(),
        };
        let server = MailboxesServer::new(hall)
            .max_decoding_message_size(REQUEST_MAX)
            .max_encoding_message_size(FRAME_MAX + 128);
        Self { routes: self.routes.add_service(server), ..self }
    }
}

/// The path of the one call that is answered slowly on purpose.
pub(super) const FETCH: &str = "/clearhouse.v1.Mailboxes/Fetch";

/// Largest request: eight digests and a mailbox, with their tags.
const REQUEST_MAX: usize = 1 << 10;

struct Hall<K> {
    keeper: Arc<K>,
    pins: Arc<dyn Pins>,
    limits: Limits,
    counters: Arc<Counters>,
    fetches: Meter,
    acks: Meter,
}

impl<K: Keeper> Hall<K> {
    /// Who calls about which mailbox, if it is that node's and the node still is accredited and not too fast.
    fn admit<T>(&self, request: &Request<T>, mailbox: &[u8], meter: &Meter) -> Result<(Caller, MailboxId), Refused> {
        let caller = request.extensions().get::<Caller>().ok_or(Refused::NotAccredited)?;
        if self.pins.peer(&caller.tls_pk) != Some(caller.node) {
            caller.line.hang_up();
            return Err(Refused::NotAccredited);
        }
        if !meter.take(caller.node, Instant::now()) {
            return Err(Refused::TooFast);
        }
        let mailbox = MailboxId::try_from(mailbox).map_err(|_| Refused::Malformed)?;
        self.keeper.may_fetch(caller.node, mailbox)?;
        Ok((caller.clone(), mailbox))
    }
}

#[tonic::async_trait]
impl<K: Keeper> Mailboxes for Hall<K> {
    type FetchStream = ReceiverStream<Result<FetchFrame, Status>>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let admitted = self.admit(&request, &request.get_ref().mailbox, &self.fetches);
        let (caller, mailbox) = admitted?;
        // One frame ahead of the line: an answer is made as fast as it is taken.
        let (frames, answer) = mpsc::channel(1);
        let answering = Answering {
            keeper: Arc::clone(&self.keeper),
            turn: self.keeper.begin(mailbox),
            limits: self.limits.clone(),
            counters: Arc::clone(&self.counters),
            caller,
            mailbox,
            frames,
            slots: 0,
            pace: None,
        };
        tokio::spawn(answering.run());
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn ack(&self, request: Request<AckRequest>) -> Result<Response<AckReply>, Status> {
        let acked = async {
            let asked = request.get_ref();
            let (_, mailbox) = self.admit(&request, &asked.mailbox, &self.acks)?;
            if !(1..=FETCH_SLOTS).contains(&asked.digests.len()) {
                return Err(Refused::Malformed);
            }
            let digest = |d: &Vec<u8>| Digest::try_from(d.as_slice()).map_err(|_| Refused::Malformed);
            let digests = asked.digests.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
            self.keeper.ack(mailbox, digests).await
        };
        acked.await.map(|()| Response::new(AckReply {})).map_err(Status::from)
    }
}

/// One answer on its way.
struct Answering<K> {
    keeper: Arc<K>,
    turn: Turn,
    limits: Limits,
    counters: Arc<Counters>,
    caller: Caller,
    mailbox: MailboxId,
    frames: mpsc::Sender<Result<FetchFrame, Status>>,
    slots: usize,
    /// When the first byte was offered, and how many were taken since.
    pace: Option<(Instant, u64)>,
}

/// Why an answer ends before its end.
enum Cut {
    /// The caller is gone, or does not take it.
    Silent,
    /// The caller is told.
    Said(Refused),
}

impl From<Refused> for Cut {
    fn from(refused: Refused) -> Self {
        Self::Said(refused)
    }
}

impl<K: Keeper> Answering<K> {
    async fn run(mut self) {
        match self.answer().await {
            Ok(()) | Err(Cut::Silent) => {}
            Err(Cut::Said(refused)) => drop(self.frames.try_send(Err(refused.into()))),
        }
    }

    async fn answer(&mut self) -> Result<(), Cut> {
        for digest in self.wait().await? {
            // Who was put out meanwhile gets nothing more.
            self.keeper.may_fetch(self.caller.node, self.mailbox)?;
            let Some(bytes) = self.keeper.read(self.mailbox, digest).await? else { continue };
            for frame in frames(digest, bytes) {
                self.send(frame).await?;
            }
            self.slots += 1;
        }
        while self.slots < FETCH_SLOTS {
            self.send(dummy()).await?;
            self.slots += 1;
        }
        Ok(())
    }

    /// What there is, as soon as there is something, or nothing when the time is over.
    async fn wait(&self) -> Result<Vec<Digest>, Cut> {
        let until = tokio::time::Instant::now() + self.limits.fetch_hold;
        loop {
            let waiting = self.keeper.waiting(self.mailbox).await?;
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            tokio::select! {
                () = self.turn.rung() => {}
                () = self.frames.closed() => return Err(Cut::Silent),
                () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
            }
            if self.turn.is_over() {
                return Err(Cut::Said(Refused::Busy));
            }
        }
    }

    /// Offers a frame for the time that what was taken has earned. A caller that takes nothing loses its line.
    async fn send(&mut self, frame: FetchFrame) -> Result<(), Cut> {
        let len = frame.data.len() as u64;
        let (began, taken) = *self.pace.get_or_insert_with(|| (Instant::now(), 0));
        let until = began + self.limits.deposit_allowance(taken);
        let place = loop {
            tokio::select! {
                place = tokio::time::timeout_at(until.into(), self.frames.reserve()) => break place,
                // Or every call of an impatient caller would hold an envelope.
                () = self.turn.rung() => {
                    if self.turn.is_over() {
                        return Err(Cut::Said(Refused::Busy));
                    }
                }
            }
        };
        match place {
            Ok(Ok(place)) => {
                place.send(Ok(frame));
                self.pace = Some((began, taken + len));
                Ok(())
            }
            Ok(Err(_)) => Err(Cut::Silent),
            Err(_) => {
                self.counters.answers_not_taken.add();
                self.caller.line.hang_up();
                Err(Cut::Silent)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

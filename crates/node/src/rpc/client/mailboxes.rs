//! Asking a keeper for what waits in this node's mailbox there.
//!
//! Refuses to wait longer than the keeper's own time and a pace, and to read on what is not an answer.

use super::Client;
use crate::rpc::status::PeerError;
use crate::rpc::stubs::mailboxes_client::MailboxesClient;
use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_protocol::limits::FRAME_MAX;
use clearhouse_protocol::relay::slots::{Reader, Slot};
use clearhouse_wire::v1::{AckRequest, FetchFrame, FetchRequest};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::Streaming;
use tonic::transport::Channel;

/// Largest frame of an answer, with its tags.
const FRAME_READ_MAX: usize = FRAME_MAX + 128;

/// An answer under way.
pub struct Fetching {
    client: Client,
    stream: Streaming<FetchFrame>,
    reader: Reader,
    /// Until when the first frame must come.
    hold: Instant,
    /// When it came, and what has come since.
    pace: Option<(Instant, u64)>,
}

impl Client {
    fn mailboxes(&self) -> MailboxesClient<Channel> {
        MailboxesClient::new(self.channel.clone()).max_decoding_message_size(FRAME_READ_MAX)
    }

    /// Asks for what waits in our mailbox there; the answer comes when there is something, or after the keeper's time.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn fetch(&self, mailbox: MailboxId) -> Result<Fetching, PeerError> {
        let mut stub = self.mailboxes();
        let request = FetchRequest { mailbox: mailbox.to_vec() };
        let stream = self.call(self.limits.call, async move { stub.fetch(request).await }).await?;
        let hold = Instant::now() + self.limits.fetch_hold + self.limits.deposit_grace;
        Ok(Fetching { client: self.clone(), stream, reader: Reader::default(), hold, pace: None })
    }

    /// Tells the keeper that these envelopes are on our own disk.
    ///
    /// # Errors
    /// [`PeerError`]; the same again changes nothing.
    pub async fn ack(&self, mailbox: MailboxId, digests: &[Digest]) -> Result<(), PeerError> {
        let mut stub = self.mailboxes();
        let digests = digests.iter().map(|d| d.to_vec()).collect();
        let request = AckRequest { mailbox: mailbox.to_vec(), digests };
        self.call(self.limits.call, async move { stub.ack(request).await }).await.map(drop)
    }
}

impl Fetching {
    /// The next envelope of the answer, unread; `None` after the last slot.
    ///
    /// # Errors
    /// [`PeerError`]. Envelopes that came before it are whole.
    pub async fn next(&mut self) -> Result<Option<(Digest, Vec<u8>)>, PeerError> {
        let result = self.read().await;
        if result.as_ref().is_err_and(PeerError::ends_line) {
            self.client.over.store(true, Ordering::Release);
        }
        result
    }

    async fn read(&mut self) -> Result<Option<(Digest, Vec<u8>)>, PeerError> {
        loop {
            let until = match self.pace {
                None => self.hold,
                Some((began, received)) => began + self.client.limits.deposit_allowance(received),
            };
            let frame = match tokio::time::timeout_at(until.into(), self.stream.message()).await {
                Err(_) => {
                    return Err(PeerError::Deadline(until.saturating_duration_since(Instant::now()).max(TOLD_MIN)));
                }
                Ok(Err(status)) => return Err(PeerError::of(&status)),
                Ok(Ok(frame)) => frame,
            };
            let Some(frame) = frame else {
                return if self.reader.is_done() { Ok(None) } else { Err(PeerError::Protocol) };
            };
            let (_, received) = self.pace.get_or_insert_with(|| (Instant::now(), 0));
            *received += frame.data.len() as u64;
            match self.reader.take(frame).map_err(|_| PeerError::Protocol)? {
                Slot::Unfinished | Slot::Empty => {}
                Slot::Filled(digest, bytes) => return Ok(Some((digest, bytes))),
            }
        }
    }
}

/// What a deadline that has passed is told as.
const TOLD_MIN: Duration = Duration::from_secs(1);

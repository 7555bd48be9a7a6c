//! Fetches what waits for this node in a mailbox that another one keeps: dials out, waits on an open call, hands each
//! envelope to the owner as if it had been deposited here, and only then lets the keeper forget it.
//!
//! Refuses to let go of anything that is not durable here. What does not fit its name, or has expired by this clock,
//! stays at the keeper, whose signed word ends it for its sender.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::mailing::Deposit;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId};
use clearhouse_store::Store;
use rand_core::Rng as _;
use tokio::time::{Instant, sleep};

use crate::clock::chance;
use crate::owner::{NotTaken, Owner};
use crate::rpc::client::{Address, Client, Pool};
use crate::rpc::status::PeerError;

/// First pause after a failure; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause: a message may be one that has to be answered within two hours.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// An answer without envelopes that comes sooner than this is no keeper's that waits; it is not asked at once again.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// What the fetcher of one mailbox needs.
pub struct Fetcher<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// Who keeps it.
    pub keeper: NodeId,
    /// The mailbox there.
    pub mailbox: MailboxId,
}

/// How one answer went.
enum Round {
    /// So many envelopes are durable here and gone there.
    Taken(usize),
    /// Try again after a pause: no way to the keeper, or something came that cannot be taken now.
    Later,
    /// The node is stopping.
    Stopping,
}

impl<S: Store + 'static> Fetcher<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            failures = match self.round().await {
                Round::Taken(0) if began.elapsed() < IDLE_MIN => failures + 1,
                Round::Taken(_) => 0,
                Round::Later => failures + 1,
                Round::Stopping => return,
            };
            if failures > 0 {
                sleep(pause(failures)).await;
            }
        }
    }

    async fn round(&self) -> Round {
        let address = {
            let directory = self.owner.signals.directory.borrow();
            Address::of(&directory, self.keeper)
        };
        let Some(address) = address else { return Round::Later };
        let Ok(client) = self.pool.client(&address).await else { return Round::Later };
        let (mut durable, mut whole) = (Vec::new(), true);
        let read = self.take_in(&client, &mut durable, &mut whole).await;
        if matches!(read, Err(Stop::Owner)) {
            return Round::Stopping;
        }
        // What came before a line broke is here all the same.
        if !durable.is_empty() && client.ack(self.mailbox, &durable).await.is_err() {
            return Round::Later;
        }
        if read.is_ok() && whole { Round::Taken(durable.len()) } else { Round::Later }
    }

    /// Reads one answer; names what of it is durable here, and whether that is all of it.
    async fn take_in(&self, client: &Client, durable: &mut Vec<Digest>, whole: &mut bool) -> Result<(), Stop> {
        let mut answer = client.fetch(self.mailbox).await?;
        while let Some((digest, bytes)) = answer.next().await? {
            if self.hand_in(digest, bytes).await? {
                durable.push(digest);
            } else {
                *whole = false;
            }
        }
        Ok(())
    }

    /// Whether an envelope is durable here now, or was before.
    async fn hand_in(&self, digest: Digest, bytes: Vec<u8>) -> Result<bool, Stop> {
        let Some(mut outside) = Outside::parse(&bytes).ok().filter(|outside| outside.digest == digest) else {
            tracing::warn!(keeper = %self.keeper, "a keeper of this node's mailbox sent something else than was left");
            return Ok(false);
        };
        // It came through our own mailbox there, whichever of ours its header names.
        outside.mailbox = self.mailbox;
        match self.owner.deposit(Deposit { outside, bytes }).await {
            Ok((deposited, _)) => Ok(deposited.is_ok()),
            Err(NotTaken::Stopping) => Err(Stop::Owner),
            Err(NotTaken::Store(_) | NotTaken::Bug) => Ok(false),
        }
    }
}

/// Why an answer is not read on.
enum Stop {
    Owner,
    Line,
}

impl From<PeerError> for Stop {
    fn from(_: PeerError) -> Self {
        Self::Line
    }
}

/// Between half and the whole of 1, 2, 4 ... seconds, at most [`PAUSE_MAX`].
fn pause(failures: u32) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1 << (failures - 1).min(10)).min(PAUSE_MAX);
    let half = whole / 2;
    let more = chance().next_u64() % (u64::try_from(half.as_millis()).unwrap_or(u64::MAX) + 1);
    half + Duration::from_millis(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_never_vanish() {
        for failures in 1..40 {
            let whole = Duration::from_secs(1 << (failures - 1).min(10)).min(PAUSE_MAX);
            let got = pause(failures);
            assert!(got >= whole / 2 && got <= whole, "{failures}: {got:?}");
        }
    }
}

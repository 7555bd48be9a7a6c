//! Tells coordinators' nodes of this node's log, as the policy asks: reads what they have not heard, and queues it.
//!
//! Shows only what a head with enough witnesses covers: a coordinator never hears of a tree that nobody else saw. Refuses
//! to guess: an entry whose opening does not open is shown closed, and explained by nobody.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::telling::{ToTell, is_telling};
use clearhouse_protocol::account::Shown;
use clearhouse_protocol::limits::ACCOUNT_ENTRIES_MAX;
use clearhouse_store::{Store, StoreError};

use super::Head;
use super::view::View;
use crate::clock::Clock;
use crate::owner::{NotTaken, Owner, World};

/// Between two looks at whether somebody is to be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the telling stands on.
pub struct Teller<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The log.
    pub log: View,
}

impl<S: Store + 'static> Teller<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // Where there is nobody to cosign, there is nobody to tell either.
            let Some(head) = self.log.witnessed() else { continue };
            if self.clock.doubt().is_some() {
                continue;
            }
            let now = self.clock.now();
            let due = self.owner.look(move |world| world.office.to_tell(now)).await;
            let Ok(due) = due else { return };
            for tell in due.into_iter().filter(|tell| tell.first < head.checkpoint.size) {
                match self.tell(tell, &head).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "the log cannot be read to be told"),
                    Err(NotTaken::Stopping) => return,
                    Err(error) => tracing::warn!(%error, "an account was not queued"),
                }
            }
        }
    }

    async fn tell(&self, tell: ToTell, head: &Head) -> Result<Result<(), StoreError>, NotTaken> {
        let (size, note) = (head.checkpoint.size, head.note.to_string());
        let look = self.owner.look(move |world| page(world, tell, size));
        let entries = match look.await? {
            Ok(Some(entries)) => entries,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let queued = self.owner.decide(move |world, now| match world.office.tell(tell, &entries, &note, now) {
            Ok(step) => (step, None),
            Err(stop) => (Default::default(), Some(stop)),
        });
        // No way to them now: the next look tries again, and the witnesses' round says that they cannot be reached.
        if let Some(stop) = queued.await? {
            tracing::debug!(?stop, "an account waits");
        }
        Ok(Ok(()))
    }
}

/// The next entries to show; `None` when nothing in them has to be told now.
fn page<S: Store>(world: &World<S>, tell: ToTell, size: u64) -> Result<Option<Vec<Shown>>, StoreError> {
    let left = usize::try_from(size - tell.first).unwrap_or(usize::MAX);
    let leaves = world.ledger.store().events(tell.first, left.min(ACCOUNT_ENTRIES_MAX))?;
    let vault = world.ledger.vault();
    let opened: Vec<_> = leaves.iter().map(|leaf| (leaf.commitment, vault.open_event(leaf).ok())).collect();
    let full = opened.len() == ACCOUNT_ENTRIES_MAX;
    let rows: Vec<_> = opened.iter().filter_map(|(_, row)| row.clone()).collect();
    if opened.is_empty() || !(full || tell.anyway || is_telling(&rows)) {
        return Ok(None);
    }
    let shown = opened.into_iter().map(|(leaf, row)| row.map_or(Shown::Closed(leaf), Shown::Open));
    Ok(Some(shown.collect()))
}

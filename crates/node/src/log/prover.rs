//! Sends the other sides of messages the proofs they are owed, after each head.
//!
//! Waits for a quorum of witnesses where there are any: a proof under another head would not be believed. Refuses to hold anything back for one peer that cannot be reached: it stays owed, the others get theirs.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::rows::EventRow;
use clearhouse_store::Store;
use clearhouse_store::tile_files::TileError;

use super::Head;
use super::view::View;
use crate::clock::Clock;
use crate::owner::{NotTaken, Owner};

/// Between two looks at the newest head.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer without a way to it is tried again after so many looks.
const AGAIN_AFTER: u32 = 60;
/// Entries looked through at once.
const PAGE: u64 = 1000;

/// What the proving stands on.
pub struct Prover<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The log.
    pub log: View,
    /// This node.
    pub me: NodeId,
}

impl<S: Store + 'static> Prover<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let (mut done, mut looks) = (0, 0);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            looks += 1;
            let Some(head) = self.head().filter(|_| self.clock.doubt().is_none()) else { continue };
            if head.checkpoint.size == done && looks < AGAIN_AFTER {
                continue;
            }
            looks = 0;
            match self.go(&head).await {
                Ok(true) => done = head.checkpoint.size,
                Ok(false) => {}
                Err(NotTaken::Stopping) => return,
                Err(error) => tracing::warn!(%error, "proofs were not queued; they stay owed"),
            }
        }
    }

    fn head(&self) -> Option<Head> {
        let directory = self.owner.signals.directory.borrow().clone();
        let alone = directory.witnesses(self.me, self.clock.now()).is_empty();
        if alone { self.log.head() } else { self.log.witnessed() }
    }

    /// `false` when the log moved on meanwhile, so that some proofs have to be made under a newer head.
    async fn go(&self, head: &Head) -> Result<bool, NotTaken> {
        let size = head.checkpoint.size;
        while self.look_through(size).await? {}
        let mut whole = true;
        for (to, indices) in self.owner.look(|world| world.office.owed()).await? {
            whole &= self.send(to, indices, head).await?;
        }
        Ok(whole)
    }

    /// Writes down what is owed for the next entries; `false` when there are none.
    async fn look_through(&self, size: u64) -> Result<bool, NotTaken> {
        let read = self.owner.look(move |world| {
            let from = world.office.proofs_cursor();
            let count = usize::try_from(size.saturating_sub(from).min(PAGE)).unwrap_or(0);
            let leaves = world.ledger.store().events(from, count).unwrap_or_default();
            let rows = leaves.iter().filter_map(|leaf| world.ledger.vault().open_event(leaf).ok());
            (from + leaves.len() as u64, leaves.len(), rows.collect::<Vec<EventRow>>())
        });
        let (up_to, count, rows) = read.await?;
        if count > 0 {
            self.owner.decide(move |world, _| (world.office.owe(up_to, &rows), ())).await?;
        }
        Ok(count > 0)
    }

    async fn send(&self, to: (OrgId, NodeId), indices: Vec<u64>, head: &Head) -> Result<bool, NotTaken> {
        let (size, root) = (head.checkpoint.size, head.checkpoint.root);
        let covered: Vec<u64> = indices.into_iter().filter(|index| *index < size).collect();
        let read = self.owner.look(move |world| {
            let store = world.ledger.store();
            let leaves = covered.into_iter().filter_map(|index| store.events(index, 1).ok()?.into_iter().next());
            leaves.filter_map(|leaf| world.ledger.vault().open_event(&leaf).ok()).collect::<Vec<EventRow>>()
        });
        let rows = read.await?;
        let log = self.log.clone();
        let prove = move || {
            let paths = log.paths(rows.iter().map(|row| row.index), size, Some(&root))?;
            Ok(rows.into_iter().zip(paths).collect::<Vec<_>>())
        };
        let entries = match tokio::task::spawn_blocking(prove).await {
            Ok(Ok(entries)) => entries,
            // The head moved on and took its last tiles with it.
            Ok(Err(TileError::Io { .. })) | Err(_) => return Ok(false),
            // Looking at once again would find the same. They stay owed.
            Ok(Err(error @ (TileError::Length(_) | TileError::Damaged(_) | TileError::Edge(_)))) => {
                tracing::error!(%error, "proofs wait");
                return Ok(true);
            }
        };
        if entries.is_empty() {
            return Ok(true);
        }
        let note = head.note.to_string();
        let queued = self.owner.decide(move |world, now| match world.office.send_proofs(to, &note, &entries, now) {
            Ok(step) => (step, None),
            Err(stop) => (Default::default(), Some(stop)),
        });
        if let Some(stop) = queued.await? {
            tracing::debug!(?stop, "proofs wait");
        }
        Ok(true)
    }
}

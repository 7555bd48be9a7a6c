//! Carries out what persons decided to erase: looks for what belongs to a case, asks the office for the plan, carries it
//! out, turns the wrapping keys, compacts. Each step starts from what the rows say, so that a crash at any of them is
//! mended by the next beat or the next start.
//!
//! Refuses to do anything while cases are locked but to finish what already has no way back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clearhouse_casework::office::Now;
use clearhouse_casework::office::cases::{Document, document_key};
use clearhouse_casework::office::erasing::{Letters, Places, Trail};
use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::ids::{CaseId, Digest};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::rows::Table;
use clearhouse_store::erasure::ErasureError;
use clearhouse_store::keyfile::Opened;
use clearhouse_store::ledger::{Gone, LedgerError};
use clearhouse_store::{Store, StoreError};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::clock::{Chance, Clock, chance};
use crate::owner::{NotTaken, Owner, World};

/// Between two looks at what is to be erased.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After an error, before it is tried again: turning the keys rewrites the whole store.
const AGAIN_AFTER_SECS: u64 = 300;
/// When something of a case came between, before its entries are looked for again: that reads the whole log.
const LOOK_AGAIN_SECS: u64 = 30;
/// Entries of the log looked through at once.
const PAGE: u64 = 1000;
/// Unopened letters that are ended in one commit.
const LETTERS_AT_ONCE: usize = 500;

/// Why an erasure did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A step was not committed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The wrapping keys did not turn.
    #[error(transparent)]
    Keys(#[from] ErasureError),
}

impl Unfinished {
    /// Whether nobody knows any more what the disk holds: the process has to stop, and the next start goes on.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Ledger(LedgerError::Commit(error)) | Self::Keys(ErasureError::Commit(error)) => error.is_fatal(),
            Self::Keys(ErasureError::KeyFile(_)) => true,
            Self::Keys(ErasureError::Store(StoreError::Stopped)) | Self::Store(StoreError::Stopped) => true,
            Self::Ledger(LedgerError::Vault(_)) | Self::Keys(_) | Self::Store(_) => false,
        }
    }
}

/// What erasing stands on.
pub struct Eraser<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The open key file.
    pub keys: Arc<Mutex<Opened>>,
}

impl<S: Store + 'static> Eraser<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let mut not_before = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.clock.now() < not_before {
                continue;
            }
            match self.beat().await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => not_before = self.clock.now() + LOOK_AGAIN_SECS,
                Ok(Err(error)) => {
                    tracing::error!(%error, "an erasure is not finished; it is tried again");
                    not_before = self.clock.now() + AGAIN_AFTER_SECS;
                }
                Err(NotTaken::Stopping) => return,
                Err(error) => tracing::warn!(%error, "an erasure waits"),
            }
        }
    }

    /// Looks once, and does everything that can be done. `false` when something that looked ready has to wait.
    ///
    /// # Errors
    /// [`NotTaken`] by the owner; inside, [`Unfinished`].
    pub async fn beat(&self) -> Result<Result<bool, Unfinished>, NotTaken> {
        let now = self.clock.sure();
        let mut whole = true;
        for case in self.owner.look(move |world| world.office.to_erase(now)).await? {
            let (trail, seen) = match self.trail(case).await? {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => return Ok(Err(error.into())),
            };
            let planned = self.alone(move |world, now| world.plan_erasure(case, trail, seen, now)).await?;
            match planned {
                Ok(planned) => whole &= planned,
                Err(error) => return Ok(Err(error)),
            }
        }
        let due =
            self.owner.look(|world| (!world.office.plans().is_empty(), world.office.turn_due().is_some())).await?;
        if due.0
            && let Err(error) = self.alone(|world, _| world.finish_plans()).await?
        {
            return Ok(Err(error));
        }
        if due.0 || due.1 {
            let keys = Arc::clone(&self.keys);
            let turn = move |world: &mut World<S>, _: &mut Now<'_, Chance>| {
                world.turn_keys(&mut keys.lock().unwrap_or_else(PoisonError::into_inner))
            };
            return Ok(self.alone(turn).await?.map(|()| whole));
        }
        Ok(Ok(whole))
    }

    async fn alone<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut World<S>, &mut Now<'_, Chance>) -> Result<T, Unfinished> + Send + 'static,
    ) -> Result<Result<T, Unfinished>, NotTaken> {
        let done = self.owner.alone(move |world, now| {
            let done = act(world, now);
            let fatal = done.as_ref().err().filter(|error| error.is_fatal()).map(ToString::to_string);
            (done, fatal)
        });
        done.await
    }

    /// Every entry of a case, and how many entries there were when the look began.
    async fn trail(&self, case: CaseId) -> Result<Result<Option<(Trail, u64)>, StoreError>, NotTaken> {
        let begin = move |world: &mut World<S>| (world.office.trail(case), world.ledger.store().event_count());
        let (Some(mut trail), top) = self.owner.look(begin).await? else { return Ok(Ok(None)) };
        let mut to = top;
        while to > 0 {
            let from = to.saturating_sub(PAGE);
            let read = self.owner.look(move |world| {
                let seen = world.follow(&mut trail, from, to);
                seen.map(|_| trail)
            });
            trail = match read.await? {
                Ok(trail) => trail,
                Err(error) => return Ok(Err(error)),
            };
            to = from;
        }
        Ok(Ok(Some((trail, top))))
    }
}

impl<S: Store> World<S> {
    /// Shows a trail the entries from `from` up to, not including, `to`, the newest first. Says how many are of the case.
    fn follow(&self, trail: &mut Trail, from: u64, to: u64) -> Result<usize, StoreError> {
        Ok(self.openings(from, to)?.iter().filter(|opening| trail.see(opening)).count())
    }

    /// Commits the plan of an erasure that can become final. `false`, and nothing is done, when something of the case
    /// happened since the trail was looked for, or no coordinator's node has the latest of it yet.
    ///
    /// # Errors
    /// [`Unfinished`].
    pub fn plan_erasure(
        &mut self,
        case: CaseId,
        mut trail: Trail,
        seen: u64,
        now: &mut Now<'_, Chance>,
    ) -> Result<bool, Unfinished> {
        let fresh = self.follow(&mut trail, seen, self.ledger.store().event_count())?;
        if fresh > 0 {
            return Ok(false);
        }
        let found = self.found(case, &self.office.places(case, &trail));
        match self.office.plan(case, &trail, found, now) {
            Ok(step) => {
                self.ledger.commit(&step.rows, &step.events, now.rng)?;
                self.office.take(&step);
                tracing::info!("an erasure is final: it is being carried out");
                Ok(true)
            }
            Err(stop) => {
                tracing::debug!(?stop, "an erasure waits");
                Ok(false)
            }
        }
    }

    /// Of the places where rows of a case may stand, those where some do.
    fn found(&self, case: CaseId, places: &Places) -> Vec<(Table, Vec<u8>)> {
        let mut found = Vec::new();
        for (message, class) in &places.parts {
            let key = document_key(case, *message, Document::Part(*class)).0;
            let part = self.ledger.read(Table::Document, &key).ok().flatten();
            let part = part.and_then(|bytes| wire::ProfilePart::decode(bytes.as_slice()).ok());
            let tags = part.iter().flat_map(|part| &part.attachments);
            let tags = tags.filter_map(|note| <[u8; 16]>::try_from(note.name_tag.as_slice()).ok());
            let attached = tags.map(|tag| document_key(case, *message, Document::Attachment(tag, *class)).0);
            found.extend(attached.map(|key| (Table::Document, key)));
            found.push((Table::Document, key));
        }
        let there = |(table, key): &&(Table, Vec<u8>)| {
            // One that cannot be read is there.
            !matches!(self.ledger.store().get(*table as u8, &self.ledger.vault().blind(*table, key)), Ok(None))
        };
        found.extend(places.evidence.iter().filter(there).cloned());
        found
    }

    /// Carries out every plan to its end. Needs no key: also done at a start, before anything else is.
    ///
    /// # Errors
    /// [`Unfinished::Ledger`]: the plan is still there and is carried out again from its beginning.
    pub fn finish_plans(&mut self) -> Result<(), Unfinished> {
        for case in self.office.plans() {
            let epoch = self.ledger.vault().epoch();
            for n in 0.. {
                let Some(part) = self.office.part(case, n, epoch) else { break };
                let gone = Gone { keys: &part.keys, events: &part.closes };
                self.ledger.commit_erasing(&part.step.rows, &part.step.events, gone, &mut chance())?;
                self.office.take(&part.step);
                if part.is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Erases again what was erased after the copy that this folder is (see [`crate::log::resume`]). Nothing while cases are
    /// locked; before anybody sees one when they are opened.
    ///
    /// # Errors
    /// [`Unfinished`]: cases must not be shown then.
    pub fn retract(&mut self) -> Result<(), Unfinished> {
        if !self.office.has_retractions() || !self.office.is_open() {
            return Ok(());
        }
        let mut trails = self.office.trails();
        let mut to = self.ledger.store().event_count();
        while to > 0 {
            let from = to.saturating_sub(PAGE);
            for opening in self.openings(from, to)? {
                for (_, trail) in &mut trails {
                    trail.see(&opening);
                }
            }
            to = from;
        }
        let mut gone = 0;
        trails.retain(|(_, trail)| self.office.is_retracted(trail));
        for (case, trail) in &trails {
            let found = self.found(*case, &self.office.places(*case, trail));
            let step = self.office.plan_again(*case, trail, found, &mut chance());
            self.ledger.commit(&step.rows, &step.events, &mut chance())?;
            self.office.take(&step);
            gone += 1;
        }
        self.finish_plans()?;
        let step = self.office.retracted();
        self.ledger.commit(&step.rows, &step.events, &mut chance())?;
        self.office.take(&step);
        tracing::warn!(gone, "cases that were erased after this folder's copy was made are erased again");
        Ok(())
    }

    /// Ends letters of those cases that were not opened in the copy, also while cases are locked: one of them may be all that
    /// is here of its case. The entry that says that it came is among those that the erasure named. Goes before
    /// [`World::retract`], which forgets what was named, and before anything opens a letter.
    ///
    /// # Errors
    /// [`Unfinished`]: no letter must be opened then.
    pub fn retract_letters(&mut self, key: &SigningKey, now: u64) -> Result<(), Unfinished> {
        if !self.office.has_retractions() {
            return Ok(());
        }
        let unopened = self.office.unopened_letters();
        let (mut from, count) = (0, self.ledger.store().event_count());
        let mut letters = Letters::new();
        while from < count && !unopened.is_empty() {
            let to = count.min(from + PAGE);
            for opening in self.openings(from, to)? {
                let named = Digest::try_from(opening.envelope_digest.as_slice()).ok();
                let named = named.filter(|digest| unopened.contains(digest));
                if let Some(digest) = named.filter(|_| self.office.is_entry_retracted(opening.index)) {
                    letters.entry(digest).or_default().push(opening.index);
                }
            }
            from = to;
        }
        let letters: Vec<_> = letters.into_iter().collect();
        for some in letters.chunks(LETTERS_AT_ONCE) {
            let epoch = self.ledger.vault().epoch();
            let mut rng = chance();
            let mut now = Now { time: now, rng: &mut rng, key };
            let (step, keys, closes) = self.office.end_letters(&some.iter().cloned().collect(), epoch, &mut now);
            let gone = Gone { keys: &keys, events: &closes };
            self.ledger.commit_erasing(&step.rows, &step.events, gone, &mut chance())?;
            self.office.take(&step);
            tracing::warn!(letters = some.len(), "unopened letters of cases that were erased since are erased");
        }
        Ok(())
    }

    /// The entries from `from` up to, not including, `to` that open, the newest first.
    fn openings(&self, from: u64, to: u64) -> Result<Vec<wire::Opening>, StoreError> {
        let mut leaves = Vec::new();
        while from + (leaves.len() as u64) < to {
            let at = from + leaves.len() as u64;
            let more = self.ledger.store().events(at, usize::try_from(to - at).unwrap_or(usize::MAX))?;
            if more.is_empty() {
                break;
            }
            leaves.extend(more);
        }
        // What is closed already is of a case that is gone.
        let vault = self.ledger.vault();
        Ok(leaves.iter().rev().filter_map(|leaf| unpad(&vault.open_event(leaf).ok()?.opening)).collect())
    }

    /// Turns the wrapping keys, when something was erased since they last did: from then on no old copy of the store
    /// opens with what this node has. Nothing while cases are locked.
    ///
    /// # Errors
    /// [`Unfinished`].
    pub fn turn_keys(&mut self, keys: &mut Opened) -> Result<(), Unfinished> {
        let Some(epoch) = self.office.turn_due() else { return Ok(()) };
        if keys.epoch() > epoch {
            // They turned, and what follows was cut short.
            self.ledger.clear_old_wraps()?;
        } else {
            if keys.content().is_none() || self.ledger.vault().is_locked() {
                return Ok(());
            }
            let erased = self.ledger.finalise_erasure(keys, &mut chance())?;
            tracing::info!(epoch = erased.epoch, "what was erased is gone from this disk");
        }
        let step = self.office.turned();
        self.ledger.commit(&step.rows, &step.events, &mut chance())?;
        self.office.take(&step);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

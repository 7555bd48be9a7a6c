//! The node's own log: takes the events that were committed since the last head, signs a head over all of them, and
//! keeps tiles for proofs.
//!
//! The order is fixed (decision 22): the events are durable in the store, then the head is durable in its own file, then
//! it is signed. Signing is deterministic, so a crash between the two signs the same text again. Refuses to start on a
//! store that is older than what was signed, and to go on after the file of heads failed.

pub mod alone;
pub mod bundle;
pub mod directory;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod herald;
mod lost_keys;
mod order;
pub mod prover;
pub mod resume;
pub mod teller;
pub mod view;
pub mod vouched;
pub mod witnesses;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{Note, NoteFault};
use clearhouse_protocol::log::tiles::{TileId, Tiled, grow};
use clearhouse_protocol::log::tree::{self, Edge};
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::pae::sha256;
use clearhouse_store::contract::is_full;
use clearhouse_store::heads::{Heads, HeadsError, HeadsFile};
use clearhouse_store::private_file::PrivateFileError;
use clearhouse_store::tile_files::{TileError, TileFiles};
use clearhouse_store::{Store, StoreError};
use tokio::sync::watch;

use crate::owner::{NotTaken, Owner};
use alone::Alone;
use witnesses::Memory;

/// Events read from the store in one look.
const PAGE: usize = 1000;
/// The newest checkpoint, beside the tiles.
const CHECKPOINT: &str = "checkpoint";
/// How often the log is looked at when the policy does not say.
const TICK_DEFAULT: Duration = Duration::from_secs(30);

/// Why the log cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file of signed heads.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// A tile.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The events cannot be read.
    #[error("the events of the log: {0}")]
    Store(#[from] StoreError),
    /// The events in the store are not those that were signed.
    #[error(
        "the events in the store are not those this node signed for ({size} of them): the store was changed or another \
         one was put here. Nothing is signed; put back the store and the keys of the same day"
    )]
    Changed {
        /// How many the signed head covers.
        size: u64,
    },
    /// The folder is older than what this node signed: it was put back from an image, or is a copy.
    #[error(
        "this node signed a log of {signed} entries, and only {here} are here: this folder is an old copy. Cases and \
         messages that came since are not in it either. Put back the newest copy; without one ask your coordinators for a \
         new node and tell your partners"
    )]
    Older {
        /// Entries it signed for, by its own signature.
        signed: u64,
        /// Entries under the newest head that it knows.
        here: u64,
    },
    /// Another process signs with this node's keys.
    #[error(
        "another process uses this node's keys: it signed a head of {signed} entries that is not of the log here ({here} \
         entries). This process stopped, so that the two do not contradict each other. Let one folder run alone, and keep \
         both: what each took in since the copy was made is only there"
    )]
    Twin {
        /// The size of the head that was shown.
        signed: u64,
        /// Entries under the newest head of this process.
        here: u64,
    },
    /// The keeping itself broke.
    #[error("the log ended by an error of this program")]
    Broken,
    /// What is missing of the log came back from a mirror and cannot be written.
    #[error("what is missing of the log cannot be taken back: {0}")]
    NotTakenBack(String),
    /// The last signed head cannot be read, or the log's name is no name.
    #[error("the last signed head is not one of this log: {0}")]
    Head(#[from] NoteFault),
}

impl LogError {
    /// Whether it is only for want of room on the disk. Then nothing has changed, and the next tick tries again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Tile(TileError::Io { source, .. })
            | Self::Heads(HeadsError::File(PrivateFileError::Io { source, .. })) => is_full(source),
            Self::Tile(_)
            | Self::Heads(_)
            | Self::Store(_)
            | Self::Changed { .. }
            | Self::Older { .. }
            | Self::Twin { .. }
            | Self::Broken
            | Self::NotTakenBack(_)
            | Self::Head(_) => false,
        }
    }
}

/// The newest head of this node, for whoever wants to show or prove it.
#[derive(Clone)]
pub struct Head {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: Arc<Note>,
}

/// Keeps the log. One of it lives, as one owner does.
pub struct Keeper {
    heads: HeadsFile,
    files: TileFiles,
    edge: Edge,
    origin: String,
    key: SigningKey,
    told: watch::Sender<Option<Head>>,
}

impl Keeper {
    /// Takes the log up where it was signed last. Tiles that do not fit are written anew from the store's events.
    ///
    /// # Errors
    /// [`LogError`]; after each of them the node must not serve, because it could not sign what it does.
    pub fn open(
        heads: HeadsFile,
        dir: &Path,
        origin: String,
        key: SigningKey,
        store: &impl Store,
    ) -> Result<Self, LogError> {
        heads.check(store.generation(), store.event_count())?;
        let files = TileFiles::new(dir);
        let (size, root) = match heads.last().head.as_slice() {
            [] => (0, sha256(&[])),
            text => {
                let text = std::str::from_utf8(text).map_err(|_| NoteFault::NotACheckpoint)?;
                let head = Checkpoint::parse(text)?;
                if head.origin != origin || head.size > heads.last().events {
                    return Err(NoteFault::OtherOrigin.into());
                }
                (head.size, head.root)
            }
        };
        let edge = Edge::of(&Tiled::new(&files, size), size).ok().filter(|edge| edge.root() == root);
        let edge = edge.map_or_else(|| derive(&files, size, root, store), Ok)?;
        let keeper = Self { heads, files, edge, origin, key, told: watch::Sender::new(None) };
        if size > 0 {
            keeper.tell()?;
        }
        Ok(keeper)
    }

    /// How many events the newest head covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The newest head, now and whenever it changes; `None` before the first.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Head>> {
        self.told.subscribe()
    }

    /// The newest head, or before there is one that of a log without entries: every log begins with it.
    ///
    /// # Errors
    /// [`LogError::Head`], when the log's name is no name.
    pub fn head(&self) -> Result<Head, LogError> {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.edge.size(), root: self.edge.root() };
        let note = checkpoint.sign(&self.key)?;
        Ok(Head { checkpoint, note: Arc::new(note) })
    }

    /// Signs a head over everything so far and these commitments, which are durable in the store at `generation`.
    /// Returns without a word when there is nothing new.
    ///
    /// # Errors
    /// [`LogError`]. After one that [is for want of room](LogError::is_full) nothing has changed, and the same can be
    /// asked again; after any other the process must stop.
    pub fn advance(&mut self, commitments: &[Hash], generation: u64) -> Result<(), LogError> {
        if commitments.is_empty() {
            return Ok(());
        }
        let fresh: Vec<Hash> = commitments.iter().map(leaf_hash).collect();
        let before = self.edge.clone();
        let replaced = append(&self.files, &mut self.edge, &fresh)?;
        let head = Checkpoint { origin: self.origin.clone(), size: self.edge.size(), root: self.edge.root() };
        let next = Heads { generation, events: head.size, head: head.text().into_bytes() };
        if let Err(error) = self.heads.advance(next) {
            self.edge = before;
            return Err(error.into());
        }
        replaced.into_iter().for_each(|tile| self.files.remove(tile));
        self.tell()
    }

    /// Signs nothing, and remembers beside the last head how far the store has come, so that an older one is known.
    ///
    /// # Errors
    /// As [`Keeper::advance`].
    pub fn remember(&mut self, events: u64, generation: u64) -> Result<(), LogError> {
        let last = self.heads.last();
        if (last.events, last.generation) == (events, generation) {
            return Ok(());
        }
        let next = Heads { generation, events, head: last.head.clone() };
        Ok(self.heads.advance(next)?)
    }

    /// Signs what the heads file holds, and tells everybody.
    fn tell(&self) -> Result<(), LogError> {
        let head = self.head()?;
        // For tools that look at the folder; the head itself is durable already.
        if let Err(error) = self.files.write_bytes(CHECKPOINT, head.note.to_string().as_bytes()) {
            tracing::warn!(%error, "the newest checkpoint is not beside the tiles");
        }
        self.told.send_replace(Some(head));
        Ok(())
    }
}

/// Writes the tiles that these leaves add, and moves the edge. Returns the narrower tiles that they replace: they are
/// what a start after a crash here reads, and go when the new head is durable.
fn append(files: &TileFiles, edge: &mut Edge, fresh: &[Hash]) -> Result<Vec<TileId>, TileError> {
    let old = edge.size();
    let mut replaced = Vec::new();
    for (id, hashes) in grow(files, old, fresh)? {
        files.write(id, &hashes)?;
        replaced.extend(id.narrower(old));
    }
    fresh.iter().for_each(|leaf| edge.push(*leaf));
    Ok(replaced)
}

/// Writes all tiles anew from the events, which must be those that were signed.
fn derive(files: &TileFiles, size: u64, root: Hash, store: &impl Store) -> Result<Edge, LogError> {
    tracing::warn!(size, "the log's tiles do not fit the signed head and are written anew");
    files.clear()?;
    let mut edge = Edge::default();
    while edge.size() < size {
        let wanted = usize::try_from(size - edge.size()).unwrap_or(usize::MAX).min(PAGE);
        let page = store.commitments(edge.size(), wanted)?;
        if page.is_empty() {
            break;
        }
        let fresh: Vec<Hash> = page.iter().map(leaf_hash).collect();
        append(files, &mut edge, &fresh)?.into_iter().for_each(|tile| files.remove(tile));
    }
    let fits = edge.size() == size && tree::root(&Tiled::new(files, size), size)? == root;
    if fits { Ok(edge) } else { Err(LogError::Changed { size }) }
}

/// Keeps the log until the node stops. Returns why when it cannot be kept. Signs nothing until witnesses have said that
/// this node remembers all it signed, and nothing when they know of a process that signs beside this one.
pub async fn keep<S: Store + 'static>(
    owner: Owner<S>,
    mut keeper: Keeper,
    tick_secs: u32,
    mut memory: watch::Receiver<Memory>,
    mut alone: Alone,
) -> LogError {
    let tick = if tick_secs == 0 { TICK_DEFAULT } else { Duration::from_secs(tick_secs.into()) };
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_tick = tokio::select! {
            _ = ticks.tick() => true,
            // A network that signs every few hours is not to wait for days until an office that starts each morning may.
            () = tokio::time::sleep(TICK_DEFAULT), if tick > TICK_DEFAULT && !alone.may_sign() => false,
            fatal = fatal(&mut memory) => return stopped(fatal, keeper.size()),
        };
        let told = *memory.borrow();
        if told.is_fatal() {
            return stopped(told, keeper.size());
        }
        if !is_tick {
            if told == Memory::Whole
                && let Some(stop) = look(&owner, &keeper, &mut alone).await
            {
                return stop;
            }
            continue;
        }
        let (commitments, generation) = match unsigned(&owner, keeper.size()).await {
            Ok(Ok(found)) => found,
            // The owner says why; here nothing is signed until it is mended.
            Ok(Err(error)) => {
                tracing::error!(%error, "the log waits");
                continue;
            }
            Err(_) => return std::future::pending().await,
        };
        if told == Memory::Whole
            && alone.is_due(!commitments.is_empty())
            && let Some(stop) = look(&owner, &keeper, &mut alone).await
        {
            return stop;
        }
        let may_sign = told == Memory::Whole && alone.may_sign();
        let advanced = tokio::task::spawn_blocking(move || {
            let done = if may_sign {
                keeper.advance(&commitments, generation)
            } else {
                keeper.remember(keeper.size() + commitments.len() as u64, generation)
            };
            (keeper, done)
        });
        match advanced.await {
            Ok((back, Ok(()))) => keeper = back,
            Ok((back, Err(error))) if error.is_full() => {
                tracing::error!(%error, "the log waits for room on the disk");
                keeper = back;
            }
            Ok((_, Err(error))) => return error,
            Err(_) => return LogError::Broken,
        }
    }
}

/// Asks the witnesses whether somebody else signs with this node's keys; why to stop, if so.
async fn look<S: Store + 'static>(owner: &Owner<S>, keeper: &Keeper, alone: &mut Alone) -> Option<LogError> {
    let directory = owner.signals.directory.borrow().clone();
    match keeper.head() {
        Ok(head) => {
            let fatal = alone.look(&directory, &head).await?;
            witnesses::remember(owner, fatal).await;
            Some(stopped(fatal, keeper.size()))
        }
        Err(error) => Some(error),
    }
}

/// Waits until the witnesses' round finds a reason to stop.
async fn fatal(memory: &mut watch::Receiver<Memory>) -> Memory {
    let found = memory.wait_for(|memory| memory.is_fatal()).await.map(|found| *found);
    match found {
        Ok(found) => found,
        // The round ended with the node.
        Err(_) => std::future::pending().await,
    }
}

fn stopped(why: Memory, here: u64) -> LogError {
    match why {
        Memory::Older { signed } => LogError::Older { signed, here },
        Memory::Twin { signed } => LogError::Twin { signed, here },
        Memory::Unasked | Memory::Whole => LogError::Broken,
    }
}

/// The commitments that no head covers yet, and the generation they are durable in.
async fn unsigned<S: Store + 'static>(
    owner: &Owner<S>,
    size: u64,
) -> Result<Result<(Vec<Hash>, u64), StoreError>, NotTaken> {
    let mut all = Vec::new();
    loop {
        let from = size + all.len() as u64;
        let page = owner.look(move |world| {
            let store = world.ledger.store();
            Ok((store.commitments(from, PAGE)?, store.generation()))
        });
        match page.await? {
            Ok((page, generation)) if page.is_empty() => return Ok(Ok((all, generation))),
            Ok((page, _)) => all.extend(page),
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

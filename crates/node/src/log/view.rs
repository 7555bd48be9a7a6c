//! The log as others may see it: the newest head, proofs out of the tiles. Reads; signs nothing.
//!
//! Refuses to make a proof out of tiles that are not those of the signed head: whoever got it would take this node for a
//! liar, not its disk for a bad one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::proof::Proof;
use clearhouse_protocol::log::tiles::{Remembered, Tiled};
use clearhouse_protocol::log::tree;
use clearhouse_store::tile_files::{TileError, TileFiles};
use tokio::sync::watch;

use super::Head;

/// A reader beside the keeper. Clones share it.
#[derive(Clone)]
pub struct View {
    files: TileFiles,
    head: watch::Receiver<Option<Head>>,
    cosigned: watch::Receiver<Option<Head>>,
    witnessed: watch::Receiver<Option<Head>>,
    /// What the last reader knew of the tiles.
    remembered: Arc<Mutex<Remembered>>,
}

impl View {
    /// A view of the log in `dir`, whose heads come by `head`, with witnesses' signatures by `cosigned`, and with enough
    /// of them by `witnessed`.
    #[must_use]
    pub fn new(
        dir: &Path,
        head: watch::Receiver<Option<Head>>,
        cosigned: watch::Receiver<Option<Head>>,
        witnessed: watch::Receiver<Option<Head>>,
    ) -> Self {
        Self { files: TileFiles::new(dir), head, cosigned, witnessed, remembered: Arc::default() }
    }

    /// The newest head, with the witnesses' signatures that came so far; `None` before the first.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let newest = self.head.borrow().clone()?;
        let cosigned = self.cosigned.borrow().clone();
        Some(cosigned.filter(|head| head.checkpoint == newest.checkpoint).unwrap_or(newest))
    }

    /// The newest head that enough witnesses cosigned; `None` before the first.
    #[must_use]
    pub fn witnessed(&self) -> Option<Head> {
        self.witnessed.borrow().clone()
    }

    /// The inclusion paths of entries under the head of `size` entries, in the order asked for. Neighbours share the work.
    /// Without the `root` of that head, whoever has it must hold the paths against it. Blocks.
    ///
    /// # Errors
    /// [`TileError`]: the next start writes the tiles anew.
    pub fn paths(
        &self,
        entries: impl IntoIterator<Item = u64>,
        size: u64,
        root: Option<&Hash>,
    ) -> Result<Vec<Vec<Hash>>, TileError> {
        // Taken, not shared: a second reader at the same time reads for itself, and one that fails forgets.
        let remembered = std::mem::take(&mut *self.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        let tiled = Tiled::with(&self.files, size, remembered);
        if let Some(root) = root
            && tree::root(&tiled, size)? != *root
        {
            return Err(TileError::Edge(size));
        }
        let paths = entries.into_iter().map(|index| tree::inclusion(&tiled, index, size)).collect::<Result<_, _>>()?;
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = tiled.into_remembered();
        Ok(paths)
    }

    /// The proof that entry `index` is in the log, under the newest head; `None` when no head covers it yet. Blocks.
    ///
    /// # Errors
    /// [`TileError`]: the next start writes the tiles anew.
    pub fn prove(&self, index: u64) -> Result<Option<Proof>, TileError> {
        let Some(head) = self.head().filter(|head| index < head.checkpoint.size) else { return Ok(None) };
        let size = head.checkpoint.size;
        match self.paths([index], size, Some(&head.checkpoint.root)).map(|mut paths| paths.pop().unwrap_or_default()) {
            Ok(path) => Ok(Some(Proof { extra: Vec::new(), index, path, note: (*head.note).clone() })),
            // The head moved on and took its edge tiles with it: the newer one has them.
            Err(_) if self.head().is_some_and(|newer| newer.checkpoint.size > size) => self.prove(index),
            Err(error) => Err(error),
        }
    }
}

//! The log as others may see it: the newest head, proofs out of the tiles. Reads; signs nothing.

use std::path::Path;

use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::proof::Proof;
use clearhouse_protocol::log::tiles::Tiled;
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
        Self { files: TileFiles::new(dir), head, cosigned, witnessed }
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
    /// Blocks.
    ///
    /// # Errors
    /// [`TileError`]: the next start writes the tiles anew.
    pub fn paths(&self, entries: impl IntoIterator<Item = u64>, size: u64) -> Result<Vec<Vec<Hash>>, TileError> {
        let tiled = Tiled::new(&self.files, size);
        entries.into_iter().map(|index| tree::inclusion(&tiled, index, size)).collect()
    }

    /// The proof that entry `index` is in the log, under the newest head; `None` when no head covers it yet. Blocks.
    ///
    /// # Errors
    /// [`TileError`]: the next start writes the tiles anew.
    pub fn prove(&self, index: u64) -> Result<Option<Proof>, TileError> {
        let Some(head) = self.head().filter(|head| index < head.checkpoint.size) else { return Ok(None) };
        let size = head.checkpoint.size;
        match tree::inclusion(&Tiled::new(&self.files, size), index, size) {
            Ok(path) => Ok(Some(Proof { extra: Vec::new(), index, path, note: (*head.note).clone() })),
            // The head moved on and took its edge tiles with it: the newer one has them.
            Err(_) if self.head().is_some_and(|newer| newer.checkpoint.size > size) => self.prove(index),
            Err(error) => Err(error),
        }
    }
}

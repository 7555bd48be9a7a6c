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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::log::checkpoint::Checkpoint;
    use clearhouse_protocol::log::note::{KeyKind, NoteKey};
    use clearhouse_protocol::log::tiles::grow;
    use clearhouse_protocol::log::{leaf_data, leaf_hash};
    use clearhouse_protocol::merkle;

    use super::*;

    const ORIGIN: &str = "example.org/log";

    /// A log of numbered entries that grows as a node's does, and a view of it.
    struct Stage {
        dir: tempfile::TempDir,
        heads: watch::Sender<Option<Head>>,
        view: View,
        size: u64,
    }

    fn commitment(n: u64) -> Hash {
        merkle::leaf(&n.to_be_bytes())
    }

    impl Stage {
        fn new() -> Self {
            let (dir, heads) = (tempfile::tempdir().unwrap(), watch::Sender::new(None));
            let none = || watch::Sender::new(None).subscribe();
            let view = View::new(dir.path(), heads.subscribe(), none(), none());
            Self { dir, heads, view, size: 0 }
        }

        fn grow_to(&mut self, size: u64) {
            let files = TileFiles::new(self.dir.path());
            let fresh: Vec<Hash> = (self.size..size).map(|n| leaf_hash(&commitment(n))).collect();
            for (id, hashes) in grow(&files, self.size, &fresh).unwrap() {
                files.write(id, &hashes).unwrap();
                id.narrower(self.size).into_iter().for_each(|narrower| files.remove(narrower));
            }
            self.size = size;
            let root = tree::root(&Tiled::new(&files, size), size).unwrap();
            let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
            let note = Arc::new(checkpoint.sign(&SigningKey::from_seed(&[1; 32])).unwrap());
            self.heads.send_replace(Some(Head { checkpoint, note }));
        }

        /// Whether the proof of an entry holds under the newest head; an error's text.
        fn proves(&self, index: u64) -> Result<bool, String> {
            let key = NoteKey::new(ORIGIN, KeyKind::Log, &SigningKey::from_seed(&[1; 32]).public()).unwrap();
            let proof = self.view.prove(index).map_err(|error| error.to_string())?.unwrap();
            let signed = proof.check(&leaf_data(&commitment(index)), &key);
            Ok(signed.is_ok_and(|signed| signed.checkpoint().size == self.size))
        }

        /// Flips one bit of a tile; a second time flips it back.
        fn flip(&self, tile: &str, at: usize) {
            let path = self.dir.path().join(tile);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }

    #[test]
    fn a_log_that_grows_is_proved_with_what_was_read_of_it_before() {
        let mut stage = Stage::new();
        assert!(stage.view.prove(0).unwrap().is_none(), "before the first head");
        for size in [1, 3, 255, 256, 257, 300, 511, 512, 700, 1024, 1300] {
            stage.grow_to(size);
            for index in (0..size).step_by(37).chain([size - 1]) {
                assert_eq!(stage.proves(index), Ok(true), "{index} of {size}");
            }
            assert!(stage.view.prove(size).unwrap().is_none(), "not in it yet");
        }
        // Somebody else's reading is shared, and an older head still proved.
        assert!(stage.view.clone().remembered.lock().unwrap().bytes() > 0);
        let root = merkle::root(&(0..300).map(|n| leaf_hash(&commitment(n))).collect::<Vec<_>>());
        let path = stage.view.paths([299], 300, Some(&root)).unwrap().pop().unwrap();
        assert!(merkle::includes(&leaf_hash(&commitment(299)), 299, 300, &path, &root));
    }

    #[test]
    fn no_proof_is_made_out_of_damaged_tiles() {
        let mut stage = Stage::new();
        stage.grow_to(1000);
        for known in [false, true] {
            if known {
                assert_eq!(stage.proves(300), Ok(true));
            }
            stage.flip("tile/0/001", 32 * 44);
            let error = stage.proves(301).unwrap_err();
            assert!(error.contains("tile/0/001 of the log is damaged"), "{error}");
            stage.flip("tile/0/001", 32 * 44);
            assert_eq!(stage.proves(301), Ok(true));
        }
        for edge in ["tile/0/003.p/232", "tile/1/000.p/3"] {
            stage.flip(edge, 40);
            let error = stage.proves(5).unwrap_err();
            assert!(error.contains("do not lead to the signed root of 1000 entries"), "{error}");
            stage.flip(edge, 40);
            assert_eq!(stage.proves(5), Ok(true));
        }
        assert!(matches!(stage.view.paths([5], 1000, Some(&[0; 32])), Err(TileError::Edge(1000))));
    }
}

//! The log's tiles as files (C2SP tlog-tiles): hashes only, so a folder of them tells nobody anything.
//!
//! They are derived: the events in the store are the truth, and whoever opens a log holds the tiles' root against the
//! last signed head and writes them anew when they differ. That is why nothing here is synced. Refuses a tile that is
//! not as long as its name says; whether its hashes are those of the log its reader knows (`log::tiles::Tiled`).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::tiles::{TILE_WIDTH, TileId, Tiles};

/// How often a tile that is being replaced is looked for.
const LOOKS: usize = 3;
/// Bytes of a full tile.
const TILE_BYTES_MAX: usize = TILE_WIDTH as usize * size_of::<Hash>();

/// A folder of tiles.
#[derive(Clone)]
pub struct TileFiles {
    dir: PathBuf,
}

/// Why a tile cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The system said no.
    #[error("the tile {path} of the log: {source}")]
    Io {
        /// The file, below the log's folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there and is not a tile of this width.
    #[error("the tile {0} of the log is cut off or too long")]
    Length(String),
    /// Its hashes do not lead to the tile above it.
    #[error(
        "the tile {0} of the log is damaged: its hashes do not lead to the tile above it. The next start writes it anew"
    )]
    Damaged(String),
    /// The tiles that are not full, with which the log ends, do not lead to the root that was signed.
    #[error(
        "the tiles at the end of the log do not lead to the signed root of {0} entries. The next start writes them anew"
    )]
    Edge(u64),
}

impl TileFiles {
    /// The tiles below a folder. Nothing is read or made yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Writes a tile beside its place and moves it there.
    ///
    /// # Errors
    /// [`TileError::Io`].
    pub fn write(&self, id: TileId, hashes: &[Hash]) -> Result<(), TileError> {
        self.write_bytes(&id.path(), &hashes.concat())
    }

    /// Removes a tile that a wider one has made needless. One that stays only takes up room.
    pub fn remove(&self, id: TileId) {
        let _ = fs::remove_file(self.dir.join(id.path()));
    }

    /// Writes any file of the layout: a tile, an entry bundle, the checkpoint.
    ///
    /// # Errors
    /// [`TileError::Io`].
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), TileError> {
        let failed = |source| TileError::Io { path: name.to_owned(), source };
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(&self.dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let beside = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)
    }

    /// Removes every tile, to write them anew.
    ///
    /// # Errors
    /// [`TileError::Io`].
    pub fn clear(&self) -> Result<(), TileError> {
        match fs::remove_dir_all(self.dir.join("tile")) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(TileError::Io { path: "tile".to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// The full tile in a tile's place, or the narrowest that is wider than it. `None` for one of the wrong length.
    fn wider(&self, id: TileId) -> io::Result<Option<Vec<Hash>>> {
        // A narrower one is removed when its successor is there, which can be between the listing and the reading.
        for _ in 0..LOOKS {
            let full = TileId { width: TILE_WIDTH, ..id };
            if let Some(found) = self.read(full)? {
                return Ok(found);
            }
            let folder = self.dir.join(format!("{}.p", full.path()));
            let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            let Some(width) = names.filter(|width| (id.width..TILE_WIDTH).contains(width)).min() else { continue };
            if let Some(found) = self.read(TileId { width, ..id })? {
                return Ok(found);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// `None` when there is no such file, `Some(None)` when it has another length.
    fn read(&self, id: TileId) -> io::Result<Option<Option<Vec<Hash>>>> {
        let file = match File::open(self.dir.join(id.path())) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A byte more than a full tile has, so that a longer file is noticed.
        let mut bytes = Vec::with_capacity(TILE_BYTES_MAX + 1);
        file.take(TILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        let (hashes, rest) = bytes.as_chunks();
        let is_whole = rest.is_empty() && hashes.len() as u64 == id.width;
        Ok(Some(is_whole.then(|| hashes.to_vec())))
    }
}

impl Tiles for TileFiles {
    type Error = TileError;

    /// A tile of this width, or the beginning of a wider one: a proof under an older head can still be made when the log
    /// has moved on.
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, TileError> {
        let failed = |source| TileError::Io { path: id.path(), source };
        let found = match self.read(id).map_err(failed)? {
            Some(exact) => exact,
            None => self.wider(id).map_err(failed)?,
        };
        let mut hashes = found.ok_or_else(|| TileError::Length(id.path()))?;
        hashes.truncate(id.width as usize);
        Ok(hashes)
    }

    fn part(&self, id: TileId, from: usize, into: &mut [Hash]) -> Result<(), TileError> {
        let path = id.path();
        let at = (from * size_of::<Hash>()) as u64;
        let read = File::open(self.dir.join(&path)).and_then(|file| file.read_exact_at(into.as_flattened_mut(), at));
        read.map_err(|source| {
            let short = source.kind() == io::ErrorKind::UnexpectedEof;
            if short { TileError::Length(path) } else { TileError::Io { path, source } }
        })
    }

    fn damaged(&self, id: TileId) -> TileError {
        TileError::Damaged(id.path())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::log::tiles::{Tiled, grow};
    use clearhouse_protocol::log::{leaf_hash, tree};
    use clearhouse_protocol::merkle;

    use super::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&merkle::leaf(&i.to_be_bytes()))).collect()
    }

    #[test]
    fn a_full_tile_that_is_longer_than_full_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = TileFiles::new(dir.path());
        let id = TileId { level: Some(0), index: 0, width: TILE_WIDTH };
        let full = leaves(TILE_WIDTH).concat();
        for (more, is_tile) in [(0, true), (1, false), (32, false)] {
            files.write_bytes(&id.path(), &[&full[..], &vec![0; more]].concat()).unwrap();
            assert_eq!(files.tile(id).is_ok(), is_tile, "{more}");
        }
    }

    #[test]
    fn tiles_are_removed_to_be_written_anew_and_none_at_all_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let files = TileFiles::new(dir.path());
        files.clear().unwrap();
        for (id, hashes) in grow(&files, 0, &leaves(9)).unwrap() {
            files.write(id, &hashes).unwrap();
        }
        fs::write(dir.path().join("head"), b"of the log").unwrap();
        let id = TileId { level: Some(0), index: 0, width: 9 };
        assert!(files.tile(id).is_ok());
        files.clear().unwrap();
        assert!(files.tile(id).is_err() && dir.path().join("head").exists(), "the tiles alone");
        // What cannot be removed is told: a file in the place of the folder.
        fs::write(dir.path().join("tile"), b"no folder").unwrap();
        assert!(matches!(files.clear(), Err(TileError::Io { .. })));
        assert!(matches!(files.tile(id), Err(TileError::Io { .. })), "and is not taken for a tile that is missing");
    }

    #[test]
    fn a_log_grown_in_files_has_the_root_of_its_leaves_at_every_size() {
        let dir = tempfile::tempdir().unwrap();
        let (files, leaves) = (TileFiles::new(dir.path()), leaves(1000));
        let mut old = 0;
        for new in [1, 2, 255, 256, 257, 600, 1000] {
            for (id, hashes) in grow(&files, old, &leaves[old as usize..new]).unwrap() {
                files.write(id, &hashes).unwrap();
            }
            old = new as u64;
            let root = tree::root(&Tiled::new(&files, old), old).unwrap();
            assert_eq!(root, merkle::root(&leaves[..new]), "{new}");
        }
        // Every earlier size can still be read out of the wider tiles.
        assert_eq!(tree::root(&Tiled::new(&files, 300), 300).unwrap(), merkle::root(&leaves[..300]));
        // Also when only a wider one is left that is not full.
        let narrow = TileId { level: Some(0), index: 3, width: 232 };
        assert_eq!(files.tile(TileId { width: 100, ..narrow }).unwrap(), leaves[768..868]);
        files.remove(narrow);
        assert!(files.tile(TileId { width: 100, ..narrow }).is_err());
    }

    #[test]
    fn a_proof_is_not_made_of_a_damaged_file_and_says_which_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (files, leaves) = (TileFiles::new(dir.path()), leaves(1000));
        for (id, hashes) in grow(&files, 0, &leaves).unwrap() {
            files.write(id, &hashes).unwrap();
        }
        let prove =
            |tiled: &Tiled<'_, TileFiles>, index| tree::inclusion(tiled, index, 1000).map_err(|e| e.to_string());
        let path = dir.path().join("tile/0/001");
        let whole = fs::read(&path).unwrap();
        for at in [0, 5000, whole.len() - 1] {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1;
            fs::write(&path, spoilt).unwrap();
            let error = prove(&Tiled::new(&files, 1000), 300).unwrap_err();
            assert!(error.contains("tile/0/001 of the log is damaged"), "{error}");
        }
        // With its upper half known, all that is read of it is still held against that.
        fs::write(&path, &whole).unwrap();
        let known = Tiled::new(&files, 1000);
        let before = prove(&known, 300).unwrap();
        let mut spoilt = whole.clone();
        spoilt[(300 - 256) * 32] ^= 1;
        fs::write(&path, &spoilt).unwrap();
        let known = Tiled::with(&files, 1000, known.into_remembered());
        assert!(prove(&known, 301).unwrap_err().contains("tile/0/001 of the log is damaged"));
        assert!(prove(&known, 320).is_ok(), "another group of it is whole");
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(prove(&known, 500).unwrap_err().contains("tile/0/001 of the log is cut off"));
        fs::remove_file(&path).unwrap();
        assert!(prove(&known, 480).unwrap_err().contains("tile/0/001"));
        fs::write(&path, &whole).unwrap();
        assert_eq!(prove(&known, 300).unwrap(), before);
    }

    #[test]
    fn a_tile_cut_off_missing_or_too_long_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (files, leaves) = (TileFiles::new(dir.path()), leaves(5));
        let id = TileId { level: Some(0), index: 0, width: 5 };
        files.write(id, &leaves).unwrap();
        let path = dir.path().join(id.path());
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() - 1], &whole[..128], &[whole.clone(), vec![0; 32]].concat()] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(files.tile(id), Err(TileError::Length(name)) if name == "tile/0/000.p/5"));
        }
        fs::remove_file(&path).unwrap();
        let error = files.tile(id).unwrap_err().to_string();
        assert!(error.contains("tile/0/000.p/5"), "{error}");
    }
}

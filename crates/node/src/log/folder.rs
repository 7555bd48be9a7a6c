//! A log as a folder that anybody can check: checkpoint, tiles and entry bundles in the C2SP layout, with the key and the
//! records that say whose it is. Made here and checked here; the checking needs no node and no secret.
//!
//! Entries are commitments: the folder says how much happened and never what. Refuses to call a folder whole on the
//! word of its tiles: every root is computed again from the entries.

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{NOTE_MAX, Note, NoteFault, NoteKey};
use clearhouse_protocol::log::policy::Policy;
use clearhouse_protocol::log::tiles::{
    TILE_HEIGHT, TILE_WIDTH, TileId, Tiles, bundled, bundles_added, grow, hashes_of, read_bundle,
};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, LEAF_LEN, commitment, leaf_data};
use clearhouse_protocol::merkle;
use clearhouse_store::tile_files::{TileError, TileFiles};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::vouched::{Sight, Vouched, Voucher, VoucherFault};

/// The newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The log's key, as the folder's maker names it.
pub const KEY: &str = "log.vkey";
/// The network's genesis.
pub const GENESIS: &str = "genesis.record";
/// The records that vouch for the log's key.
pub const RECORDS: &str = "directory.records";
/// Bytes of a bundle of records that are read.
const RECORDS_MAX: u64 = 4 << 20;

impl From<VoucherFault> for FolderFault {
    fn from(fault: VoucherFault) -> Self {
        match fault {
            VoucherFault::Broken => Self::Broken(RECORDS.to_owned()),
            VoucherFault::Refused(why) => Self::Records(why),
            VoucherFault::Name(fault) => fault.into(),
        }
    }
}

/// Why a folder is not a log that holds. Each says what is wrong and where.
#[derive(Debug, thiserror::Error)]
pub enum FolderFault {
    /// A file is not there or cannot be read.
    #[error("{file} is missing or cannot be read ({kind})")]
    Missing {
        /// The file, below the folder.
        file: String,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// A file is cut off, too long, or not what its name says.
    #[error("{0} is cut off, too long, or not what its name says")]
    Broken(String),
    /// The checkpoint.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] NoteFault),
    /// The records do not vouch for a key of this log.
    #[error("the records do not vouch for the key of this log: {0}")]
    Records(String),
    /// An entry is not the one that was signed.
    #[error("entry {0} is not the one that was logged")]
    Entry(u64),
    /// Some entry of these is not the one that was signed, and its tile was changed with it.
    #[error("an entry from {from} to {to} is not the one that was logged")]
    Entries {
        /// The first that may be it.
        from: u64,
        /// The last that may be it.
        to: u64,
    },
    /// A tile differs from the entries below it, which hold.
    #[error("the tile {0} does not fit its entries, which are whole")]
    Tile(String),
    /// The entries are not those of the signed root, and all tiles agree with them.
    #[error("the {0} entries are not those that were signed")]
    Root(u64),
    /// The older checkpoint is of another log, or larger.
    #[error("the older checkpoint is of another log or of a larger one: the log shrank, or it is the wrong file")]
    Older,
    /// The log does not begin with what was signed before.
    #[error("the first {0} entries are not those that were signed before: entries were removed or changed")]
    Rewritten(u64),
    /// The folder cannot be written.
    #[error(transparent)]
    Write(#[from] TileError),
}

/// A log that holds.
pub struct Whole {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The key that signed it.
    pub key: NoteKey,
    /// How that key is known.
    pub vouched: Vouched,
    /// Who saw it.
    pub sight: Sight,
    /// The older checkpoint it was held against.
    pub since: Option<Older>,
}

/// A head of before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Older {
    /// Its entries.
    pub size: u64,
    /// When enough witnesses had seen it, unix seconds.
    pub time: Option<u64>,
}

/// What somebody who checks brings along. All of it may be missing.
#[derive(Default)]
pub struct Known<'a> {
    /// The network's genesis.
    pub genesis: Option<&'a wire::Signed>,
    /// The log's key.
    pub key: Option<NoteKey>,
    /// Who must have witnessed it (C2SP tlog-policy).
    pub policy: Option<Policy>,
    /// A checkpoint of the same log, kept from before.
    pub older: Option<&'a [u8]>,
}

/// Makes a folder, a page of commitments at a time.
pub struct Export {
    files: TileFiles,
    edge: Edge,
    /// The bundle that is not full yet, and how many entries it has.
    open: (Vec<u8>, usize),
}

impl Export {
    /// Into a folder that is empty or not there yet.
    ///
    /// # Errors
    /// [`FolderFault::Broken`] when something is in it.
    pub fn new(dir: &Path) -> Result<Self, FolderFault> {
        let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(FolderFault::Broken(dir.display().to_string()));
        }
        Ok(Self { files: TileFiles::new(dir), edge: Edge::default(), open: (Vec::new(), 0) })
    }

    /// How many entries it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Takes the next commitments.
    ///
    /// # Errors
    /// [`FolderFault::Write`].
    pub fn push(&mut self, commitments: &[Hash]) -> Result<(), FolderFault> {
        let leaves: Vec<_> = commitments.iter().map(leaf_data).collect();
        self.push_entries(&leaves)
    }

    /// Takes the next entries of a log of anything, each of at most 65,535 bytes.
    ///
    /// # Errors
    /// [`FolderFault::Write`]; [`FolderFault::Entry`] for one that is longer.
    pub fn push_entries<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<(), FolderFault> {
        let old = self.edge.size();
        let fresh: Vec<Hash> = entries.iter().map(|entry| merkle::leaf(entry.as_ref())).collect();
        for (id, hashes) in grow(&self.files, old, &fresh)? {
            self.files.write(id, &hashes)?;
            id.narrower(old).into_iter().for_each(|narrower| self.files.remove(narrower));
        }
        fresh.iter().for_each(|leaf| self.edge.push(*leaf));
        let mut rest = (old..).zip(entries);
        for id in bundles_added(old, self.edge.size()) {
            let (open, count) = &mut self.open;
            for (index, entry) in rest.by_ref().take((id.width as usize).saturating_sub(*count)) {
                open.extend(bundled(entry.as_ref()).ok_or(FolderFault::Entry(index))?);
                *count += 1;
            }
            self.files.write_bytes(&id.path(), open)?;
            id.narrower(old).into_iter().for_each(|narrower| self.files.remove(narrower));
            if id.width == TILE_WIDTH {
                (*open, *count) = (Vec::new(), 0);
            }
        }
        Ok(())
    }

    /// Ends it with the checkpoint and whose it is; the checkpoint comes last, so that a half-made folder has none.
    ///
    /// # Errors
    /// [`FolderFault::Root`] when the entries are not those of the checkpoint; [`FolderFault::Write`].
    pub fn finish(self, note: &Note, key: &str, genesis: &[u8], records: &[u8]) -> Result<(), FolderFault> {
        let head = Checkpoint::parse(note.text())?;
        if (head.size, head.root) != (self.edge.size(), self.edge.root()) {
            return Err(FolderFault::Root(self.edge.size()));
        }
        self.files.write_bytes(KEY, format!("{key}\n").as_bytes())?;
        self.files.write_bytes(GENESIS, genesis)?;
        self.files.write_bytes(RECORDS, records)?;
        self.files.write_bytes(CHECKPOINT, note.to_string().as_bytes())?;
        Ok(())
    }
}

/// Checks a folder.
///
/// Where nothing is `known` the folder's own files are taken, and [`Whole::vouched`] says so.
///
/// # Errors
/// [`FolderFault`]: the first thing that is wrong, and where.
pub fn verify(dir: &Path, known: Known<'_>, now: u64) -> Result<Whole, FolderFault> {
    let note = Note::parse(&read(dir, CHECKPOINT, NOTE_MAX as u64)?)?;
    let claimed = Checkpoint::parse(note.text())?;
    let older = known.older;
    let voucher = whose(dir, known, &claimed.origin, now)?;
    let signed = SignedCheckpoint::of(note, voucher.key())?;
    let sight = voucher.sight(&signed, now)?;
    let older = older.map(|bytes| SignedCheckpoint::open(bytes, voucher.key())).transpose()?;
    if older.as_ref().is_some_and(|older| older.checkpoint().size > claimed.size) {
        return Err(FolderFault::Older);
    }
    entries(dir, signed.checkpoint(), older.as_ref().map(SignedCheckpoint::checkpoint))?;
    let before = |older: SignedCheckpoint| {
        let time = voucher.sight(&older, now)?.time;
        Ok::<_, NoteFault>(Older { size: older.checkpoint().size, time })
    };
    let since = older.map(before).transpose()?;
    let (key, vouched) = (voucher.key().clone(), voucher.by().clone());
    Ok(Whole { checkpoint: signed.checkpoint().clone(), key, vouched, sight, since })
}

/// Computes the root again from the entries, tile by tile.
fn entries(dir: &Path, head: &Checkpoint, older: Option<&Checkpoint>) -> Result<(), FolderFault> {
    let tiles = TileFiles::new(dir);
    let mut edge = Edge::default();
    let before = |edge: &Edge| match older {
        Some(older) if older.size == edge.size() && older.root != edge.root() => {
            Err(FolderFault::Rewritten(older.size))
        }
        _ => Ok(()),
    };
    before(&edge)?;
    for id in bundles_added(0, head.size) {
        let name = id.path();
        let most = id.width * (LEAF_LEN as u64 + 2);
        let leaves = read_bundle(&read(dir, &name, most)?).filter(|leaves| leaves.len() as u64 == id.width);
        let leaves = leaves.ok_or_else(|| FolderFault::Broken(name.clone()))?;
        let first = id.index * TILE_WIDTH;
        if let Some(at) = leaves.iter().position(|leaf| commitment(leaf).is_none()) {
            return Err(FolderFault::Entry(first + at as u64));
        }
        let hashes = hashes_of(&leaves);
        let whole = (id.width == TILE_WIDTH).then(|| merkle::root(&hashes));
        compare(&tiles, id, &hashes, whole)?;
        // A bundle at once, unless the older head ends within it.
        let within = older.is_some_and(|older| (first + 1..first + TILE_WIDTH).contains(&older.size));
        if !whole.is_some_and(|whole| !within && edge.push_whole(TILE_HEIGHT, whole)) {
            for hash in hashes {
                edge.push(hash);
                before(&edge)?;
            }
        }
        before(&edge)?;
    }
    if edge.root() == head.root { Ok(()) } else { Err(FolderFault::Root(head.size)) }
}

/// Holds the hashes of a bundle against its tile, and its root against the tile above. Where they differ, the tile above
/// says which of the two was changed.
fn compare(tiles: &TileFiles, id: TileId, hashes: &[Hash], whole: Option<Hash>) -> Result<(), FolderFault> {
    let below = TileId { level: Some(0), ..id };
    let tile = tiles.tile(below);
    let fits = whole.and_then(|whole| Some(above(tiles, id.index)? == whole));
    let first = id.index * TILE_WIDTH;
    let differs = tile.as_ref().ok().and_then(|tile| tile.iter().zip(hashes).position(|(a, b)| a != b));
    match (tile, differs, fits) {
        (Err(TileError::Io { path, source }), ..) => Err(FolderFault::Missing { file: path, kind: source.kind() }),
        (Err(TileError::Length(name) | TileError::Damaged(name)), ..) => Err(FolderFault::Broken(name)),
        (Err(TileError::Edge(size)), ..) => Err(FolderFault::Root(size)),
        (Ok(_), Some(_), Some(true)) => Err(FolderFault::Tile(below.path())),
        (Ok(_), Some(at), _) => Err(FolderFault::Entry(first + at as u64)),
        (Ok(_), None, Some(false)) => Err(FolderFault::Entries { from: first, to: first + TILE_WIDTH - 1 }),
        (Ok(_), None, _) => Ok(()),
    }
}

/// What the tile above says of a full tile of level 0; `None` when it cannot be read.
fn above(tiles: &TileFiles, index: u64) -> Option<Hash> {
    let within = index % TILE_WIDTH;
    // As wide as needed; what is wider is read instead.
    let parent = TileId { level: Some(1), index: index / TILE_WIDTH, width: within + 1 };
    tiles.tile(parent).ok()?.get(usize::try_from(within).ok()?).copied()
}

/// The key of the log with this origin, and who vouches for it.
pub(super) fn whose(dir: &Path, known: Known<'_>, origin: &str, now: u64) -> Result<Voucher, FolderFault> {
    if let Some(key) = known.key {
        return Ok(Voucher::of_key(key, Vouched::Given).under(known.policy));
    }
    let genesis = match (known.genesis, read(dir, GENESIS, RECORDS_MAX)) {
        (Some(genesis), _) => genesis.clone(),
        (None, Ok(own)) => wire::Signed::decode(own.as_slice()).map_err(|_| FolderFault::Broken(GENESIS.to_owned()))?,
        (None, Err(_)) => return Ok(by_its_own_word(dir)?.under(known.policy)),
    };
    let voucher = Voucher::of_records(&genesis, &read(dir, RECORDS, RECORDS_MAX)?, origin, now);
    Ok(voucher?.under(known.policy))
}

fn by_its_own_word(dir: &Path) -> Result<Voucher, FolderFault> {
    let text = read(dir, KEY, 1024)?;
    let text = std::str::from_utf8(&text).map_err(|_| FolderFault::Broken(KEY.to_owned()))?;
    Ok(Voucher::of_key(NoteKey::parse(text.trim_end_matches('\n'))?, Vouched::Folder))
}

/// A file of the folder, no longer than `most` bytes.
pub(super) fn read(dir: &Path, name: &str, most: u64) -> Result<Vec<u8>, FolderFault> {
    let path: PathBuf = dir.join(name);
    let missing = |error: std::io::Error| FolderFault::Missing { file: name.to_owned(), kind: error.kind() };
    if fs::metadata(&path).map_err(missing)?.len() > most {
        return Err(FolderFault::Broken(name.to_owned()));
    }
    fs::read(&path).map_err(missing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

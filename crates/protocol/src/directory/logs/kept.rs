//! What is kept of a directory log: its entries by their hashes, and the newest head that held. The entries themselves lie
//! elsewhere. Refuses nothing: what comes here was checked.

use clearhouse_wire::v1::Signed;
use prost::Message as _;

use crate::log::Hash;
use crate::log::checkpoint::Checkpoint;
use crate::log::note::Note;
use crate::log::tree::{Edge, Levels};
use crate::merkle;
use crate::pae::sha256;

/// One entry: the hash of its leaf, and of the payload of the record in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    pub(super) leaf: Hash,
    pub(super) record: Hash,
}

impl Entered {
    /// Bytes of one entry as it is kept.
    pub const LEN: usize = 64;

    /// What an entry says, whatever it says.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        // What is no record publishes nothing; it has its place in the log all the same.
        let payload = Signed::decode(entry).map(|signed| signed.payload).unwrap_or_default();
        Self { leaf: merkle::leaf(entry), record: sha256(&payload) }
    }

    /// The hash of its leaf: by this an entry is kept.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        self.leaf
    }

    /// As it is kept.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.leaf);
        bytes[32..].copy_from_slice(&self.record);
        bytes
    }

    /// As it was kept.
    #[must_use]
    pub fn kept(bytes: &[u8; Self::LEN]) -> Self {
        let (mut leaf, mut record) = ([0; 32], [0; 32]);
        leaf.copy_from_slice(&bytes[..32]);
        record.copy_from_slice(&bytes[32..]);
        Self { leaf, record }
    }
}

/// A head with enough cosignatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Newest {
    pub(super) size: u64,
    pub(super) fresh: u64,
    /// The same of all times that were given, however far ahead of this node's clock: what a clock that is behind misses.
    pub(super) told: u64,
    pub(super) note: Note,
}

impl Newest {
    /// How many entries it covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When an honest coordinator still saw it, unix seconds.
    #[must_use]
    pub fn fresh(&self) -> u64 {
        self.fresh
    }

    /// The note with its signatures.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// As it is kept: when, what was told, and the note.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&self.fresh.to_be_bytes()[..], &self.told.to_be_bytes(), self.note.to_string().as_bytes()].concat()
    }

    /// As it was kept. It was checked when it came; who may cosign can have changed since.
    #[must_use]
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        let (fresh, rest) = bytes.split_first_chunk::<8>()?;
        let (told, note) = rest.split_first_chunk::<8>()?;
        let note = Note::parse(note).ok()?;
        let size = Checkpoint::parse(note.text()).ok()?.size;
        Some(Self { size, fresh: u64::from_be_bytes(*fresh), told: u64::from_be_bytes(*told), note })
    }
}

/// One log.
#[derive(Clone, Default)]
pub(crate) struct Followed {
    pub(super) entries: Vec<Entered>,
    pub(super) edge: Edge,
    /// The newest head of which all entries are held: what freshness rests on, and what is told on.
    pub(super) newest: Option<Newest>,
    /// A longer one, of which some are held: they count, and the rest is to come.
    pub(super) pending: Option<Newest>,
    /// How many of the entries count already.
    pub(super) counted: usize,
}

impl Followed {
    pub(super) fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn covered(&self) -> usize {
        let size = self.newest.iter().chain(&self.pending).map(|head| head.size).max().unwrap_or(0);
        usize::try_from(size).unwrap_or(usize::MAX).min(self.entries.len())
    }

    /// Takes a head that held, where its entries are; else it waits for them. An older word about the same entries changes
    /// nothing; and that a longer head comes without a time that can be believed does not undo the word about what was
    /// before it.
    pub(super) fn take(&mut self, mut head: Newest) {
        if head.size > self.size() {
            if self.pending.as_ref().is_none_or(|held| held.size <= head.size) {
                self.pending = Some(head);
            }
            return;
        }
        let held = self.newest.as_ref().map(|held| (held.size, held.fresh));
        head.fresh = head.fresh.max(held.map_or(0, |(_, fresh)| fresh));
        head.told = head.told.max(self.newest.as_ref().map_or(0, |held| held.told));
        if held.is_none_or(|held| held < (head.size, head.fresh)) {
            self.newest = Some(head);
        } else if let Some(held) = &mut self.newest {
            held.told = head.told;
        }
    }

    /// Takes up the head that waited, once its entries are here.
    pub(super) fn settle(&mut self) {
        if let Some(head) = self.pending.take_if(|head| head.size <= self.entries.len() as u64) {
            self.take(head);
        }
    }

    pub(super) fn levels(&self) -> Levels {
        Levels::over(self.entries.iter().map(|entered| entered.leaf).collect())
    }
}

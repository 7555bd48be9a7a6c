//! Proofs of inclusion as files (C2SP tlog-proof): this leaf is in that log, to be checked off-line by anyone who knows
//! the log's key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::SignedCheckpoint;
use super::note::{NOTE_MAX, Note, NoteFault, NoteKey};
use super::{Hash, read_hash, read_number, show_hash};
use crate::merkle;

/// First line.
const HEAD: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of one proof: a tree has at most 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;
/// Bytes of opaque data in a proof.
pub const EXTRA_MAX: usize = 4 << 10;
/// Bytes of one proof.
pub const PROOF_MAX: usize = NOTE_MAX + 16 * 1024;

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Not a tlog-proof text.
    #[error("this is not a tlog-proof")]
    Malformed,
    /// More hashes than a proof can have.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] NoteFault),
    /// The hashes do not lead from the leaf to the root.
    #[error("the proof does not lead to the checkpoint's root")]
    NotIncluded,
}

/// A proof as it was read. Nothing about it is believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// Opaque data for whoever the proof is made for; empty when there is none.
    pub extra: Vec<u8>,
    /// Position of the leaf.
    pub index: u64,
    /// Siblings, the nearest first.
    pub path: Vec<Hash>,
    /// The checkpoint's note.
    pub note: Note,
}

impl Proof {
    /// Reads a proof, strictly.
    ///
    /// # Errors
    /// [`ProofFault::Malformed`], [`ProofFault::TooManyHashes`], [`ProofFault::Checkpoint`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFault> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= PROOF_MAX);
        let (head, note) = text.and_then(|text| text.split_once("\n\n")).ok_or(ProofFault::Malformed)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEAD) {
            return Err(ProofFault::Malformed);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => read_extra(&line[6..]).ok_or(ProofFault::Malformed)?,
            None => Vec::new(),
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(read_number);
        let hashes: Vec<&str> = lines.collect();
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(ProofFault::TooManyHashes);
        }
        let path = hashes.into_iter().map(read_hash).collect::<Option<_>>().ok_or(ProofFault::Malformed)?;
        Ok(Self { extra, index: index.ok_or(ProofFault::Malformed)?, path, note: Note::parse(note.as_bytes())? })
    }

    /// Checks that `leaf` (its data, not its hash) is in the log whose key is `log`, and returns the checkpoint that
    /// says so.
    ///
    /// # Errors
    /// [`ProofFault`].
    pub fn check(&self, leaf: &[u8], log: &NoteKey) -> Result<SignedCheckpoint, ProofFault> {
        let head = SignedCheckpoint::of(self.note.clone(), log)?;
        let (size, root) = (head.checkpoint().size, &head.checkpoint().root);
        let included = merkle::includes(&merkle::leaf(leaf), self.index, size, &self.path, root);
        if included { Ok(head) } else { Err(ProofFault::NotIncluded) }
    }
}

fn read_extra(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (!bytes.is_empty() && bytes.len() <= EXTRA_MAX).then_some(bytes)
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{HEAD}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", show_hash(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::log::checkpoint::Checkpoint;
    use crate::log::note::KeyKind;

    const ORIGIN: &str = "example.org/log";

    fn proof(index: u64, size: usize) -> (Proof, Vec<[u8; 33]>, NoteKey) {
        let key = SigningKey::from_seed(&[1; 32]);
        let leaves: Vec<[u8; 33]> = (0..size).map(|n| crate::log::leaf_data(&[n as u8; 32])).collect();
        let hashes: Vec<Hash> = leaves.iter().map(|l| merkle::leaf(l)).collect();
        let head = Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root: merkle::root(&hashes) };
        let note = head.sign(&key).unwrap();
        let proof = Proof { extra: b"for you".to_vec(), index, path: merkle::path(&hashes, index as usize), note };
        (proof, leaves, NoteKey::new(ORIGIN, KeyKind::Log, &key.public()).unwrap())
    }

    #[test]
    fn a_proof_reads_back_and_shows_its_leaf_and_no_other() {
        for size in [1, 2, 7, 200] {
            for index in [0, size / 2, size - 1] {
                let (made, leaves, key) = proof(index as u64, size);
                let text = made.to_string();
                let read = Proof::parse(text.as_bytes()).ok().unwrap();
                assert!(read == made);
                assert!(read.check(&leaves[index], &key).is_ok());
                assert_eq!(read.check(&[9; 33], &key).err(), Some(ProofFault::NotIncluded));
                let elsewhere = Proof { index: read.index + 1, ..read };
                assert_eq!(elsewhere.check(&leaves[index], &key).err(), Some(ProofFault::NotIncluded));
            }
        }
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let (made, ..) = proof(3, 7);
        let good = made.to_string();
        let wrong = [
            String::new(),
            good.replace("@v1", "@v2"),
            good.replace("index 3", "index 03"),
            good.replace("index 3", "index -3"),
            good.replace("index 3\n", ""),
            good.replace("index 3", "garbage\nindex 3"),
            good.replace("extra Zm9yIHlvdQ==", "extra "),
            good.replace("extra Zm9yIHlvdQ==", "extra Zm9yIHlvdQ"),
            good.replace("index 3\n", "index 3\nnot a hash\n"),
            good.replace("\n\n", "\n"),
        ];
        for text in wrong {
            assert_eq!(Proof::parse(text.as_bytes()).err(), Some(ProofFault::Malformed), "{text}");
        }
        let hash = format!("{}\n", show_hash(&[1; 32]));
        let most = PROOF_HASHES_MAX - made.path.len();
        let longest = good.replace("index 3\n", &format!("index 3\n{}", hash.repeat(most)));
        assert_eq!(Proof::parse(longest.as_bytes()).ok().unwrap().path.len(), PROOF_HASHES_MAX);
        for (len, read) in [(EXTRA_MAX, true), (EXTRA_MAX + 1, false)] {
            let text = Proof { extra: vec![7; len], ..made.clone() }.to_string();
            assert_eq!(Proof::parse(text.as_bytes()).is_ok(), read, "{len} bytes beside");
        }
        let long = good.replace("index 3\n", &format!("index 3\n{}", hash.repeat(most + 1)));
        assert_eq!(Proof::parse(long.as_bytes()).err(), Some(ProofFault::TooManyHashes));
        assert!(Proof::parse(&good.as_bytes()[..good.len() - 5]).is_err());
    }
}

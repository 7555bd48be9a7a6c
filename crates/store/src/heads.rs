//! The last thing this node signed, in a small file of its own (decision 22).
//!
//! The order is: journal commit, head synced here, sign, act. So after a restart the store may be ahead of this file
//! and never behind it; behind means that somebody put back an older copy of the disk, and a node that then signed
//! again would contradict itself in front of its witnesses (attack case 31). Refuses to go backwards, a file of another
//! node, and a file that was changed by anyone without the service keys.
//!
//! ```text
//! "clearhouse heads\n"   17 bytes
//! version                u32, big-endian: 1
//! generation, events     u64 each, big-endian
//! length of head         u32, big-endian
//! head                   the signed head, as its owner encodes it
//! HMAC-SHA256            32 bytes over PAE("clearhouse/heads/v1", all above); its key is
//!                        HKDF-SHA256(service data key, PAE("clearhouse/heads/v1", NET || node))
//! ```
//!
//! It is written often, so the file is authenticated and not encrypted: counts and a public head are no secret.

use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::labels;
use clearhouse_protocol::pae::{pae, pae_parts};

use crate::aead;
use crate::keyfile::ServiceKeys;
use crate::private_file::{self, Owner, Previous, PrivateFileError};
use crate::secret::SecretBytes;

/// Longest head.
pub const HEAD_MAX: usize = 16 << 10;

const MAGIC: &[u8; 17] = b"clearhouse heads\n";
const VERSION: u32 = 1;
const MAC_LEN: usize = 32;
const FIXED_LEN: usize = MAGIC.len() + 4 + 8 + 8 + 4;
const FILE_MAX: usize = FIXED_LEN + HEAD_MAX + MAC_LEN;

/// What was signed last.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Heads {
    /// The store's generation that was durable when the head was signed.
    pub generation: u64,
    /// Event leaves the head covers.
    pub events: u64,
    /// The signed head, as its owner encodes it; at most [`HEAD_MAX`] bytes. Empty before the first.
    pub head: Vec<u8>,
}

/// Why the file of heads was refused.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Cut, changed, another node's, or not such a file.
    #[error("the file of signed heads is damaged or another node's; nothing is signed until it is restored")]
    Damaged,
    /// Written by a newer program. The file is left as it is.
    #[error(
        "the file of signed heads is of version {found}, this program reads version {known}; use the newer program"
    )]
    Newer {
        /// The file's version.
        found: u32,
        /// The version this program reads.
        known: u32,
    },
    /// The store is older than what was signed.
    #[error(
        "the store is older than what this node has signed (commit {store_generation} of {generation}, event \
         {store_events} of {events}): an old copy was put back. Nothing is signed; ask the witnesses for the newer log"
    )]
    RolledBack {
        /// Commits in the store.
        store_generation: u64,
        /// Commits when the last head was signed.
        generation: u64,
        /// Events in the store.
        store_events: u64,
        /// Events covered by the last head.
        events: u64,
    },
    /// The caller's next head is behind the last one.
    #[error("a head may not be older than the one signed before it")]
    Backwards,
    /// More than [`HEAD_MAX`] bytes.
    #[error("the head is too long")]
    TooLong,
    /// The key could not be derived. Cannot happen.
    #[error("the cipher failed; nothing was written")]
    Cipher,
}

/// The open file of heads.
pub struct HeadsFile {
    path: PathBuf,
    key: SecretBytes,
    image: Vec<u8>,
    last: Heads,
}

impl HeadsFile {
    /// Makes the file of a new node, mode 0600. An existing one is refused.
    ///
    /// # Errors
    /// [`HeadsError::File`], [`HeadsError::TooLong`].
    pub fn create(path: &Path, whose: (Net, NodeId), keys: &ServiceKeys, first: Heads) -> Result<Self, HeadsError> {
        let key = derive(whose, keys)?;
        let image = encode(&key, &first)?;
        private_file::create(path, &image)?;
        Ok(Self { path: path.to_owned(), key, image, last: first })
    }

    /// Reads and authenticates the file.
    ///
    /// # Errors
    /// [`HeadsError::File`], [`HeadsError::Damaged`], [`HeadsError::Newer`].
    pub fn open(path: &Path, whose: (Net, NodeId), keys: &ServiceKeys) -> Result<Self, HeadsError> {
        let key = derive(whose, keys)?;
        let image = private_file::read(path, FILE_MAX, Owner::Me).map_err(|error| {
            let too_long = matches!(error, PrivateFileError::TooLong { .. });
            if too_long { HeadsError::Damaged } else { HeadsError::File(error) }
        })?;
        let last = decode(&key, &image)?;
        private_file::settle(path)?;
        Ok(Self { path: path.to_owned(), key, image: image.to_vec(), last })
    }

    /// What was signed last.
    #[must_use]
    pub fn last(&self) -> &Heads {
        &self.last
    }

    /// Holds the store against what was signed. To be asked at start, before anything is signed.
    ///
    /// # Errors
    /// [`HeadsError::RolledBack`].
    pub fn check(&self, store_generation: u64, store_events: u64) -> Result<(), HeadsError> {
        let Heads { generation, events, .. } = self.last;
        if store_generation < generation || store_events < events {
            return Err(HeadsError::RolledBack { store_generation, generation, store_events, events });
        }
        Ok(())
    }

    /// Makes the next head durable: written beside, synced, renamed, the folder synced, read back. Sign only after it
    /// returned. After an error it is unknown which head the file holds; stop the process.
    ///
    /// # Errors
    /// [`HeadsError::Backwards`], [`HeadsError::TooLong`], [`HeadsError::File`].
    pub fn advance(&mut self, next: Heads) -> Result<(), HeadsError> {
        if next.generation < self.last.generation || next.events < self.last.events {
            return Err(HeadsError::Backwards);
        }
        let image = encode(&self.key, &next)?;
        private_file::replace(&self.path, &self.image, &image, Previous::Release)?;
        (self.image, self.last) = (image, next);
        Ok(())
    }
}

fn derive((net, node): (Net, NodeId), keys: &ServiceKeys) -> Result<SecretBytes, HeadsError> {
    let info = pae_parts(labels::HEADS, &[net.as_bytes(), node.as_bytes()]);
    aead::derive(&[keys.data.expose()], &info).map_err(|_| HeadsError::Cipher)
}

pub(crate) fn encode(key: &SecretBytes, heads: &Heads) -> Result<Vec<u8>, HeadsError> {
    let len = u32::try_from(heads.head.len()).ok().filter(|_| heads.head.len() <= HEAD_MAX);
    let mut out = Vec::with_capacity(FIXED_LEN + heads.head.len() + MAC_LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&heads.generation.to_be_bytes());
    out.extend_from_slice(&heads.events.to_be_bytes());
    out.extend_from_slice(&len.ok_or(HeadsError::TooLong)?.to_be_bytes());
    out.extend_from_slice(&heads.head);
    let mac = aead::hmac(key, &pae(labels::HEADS, &out));
    out.extend_from_slice(&mac);
    Ok(out)
}

pub(crate) fn decode(key: &SecretBytes, image: &[u8]) -> Result<Heads, HeadsError> {
    let (content, mac) = image.split_last_chunk::<MAC_LEN>().ok_or(HeadsError::Damaged)?;
    // The code stands at the end in every version, so damage is not mistaken for a newer program's file.
    if !aead::hmac_holds(key, &pae(labels::HEADS, content), mac) {
        return Err(HeadsError::Damaged);
    }
    let rest = content.strip_prefix(MAGIC).ok_or(HeadsError::Damaged)?;
    let (version, rest) = rest.split_first_chunk().ok_or(HeadsError::Damaged)?;
    let version = u32::from_be_bytes(*version);
    if version > VERSION {
        return Err(HeadsError::Newer { found: version, known: VERSION });
    }
    let (generation, rest) = rest.split_first_chunk().ok_or(HeadsError::Damaged)?;
    let (events, rest) = rest.split_first_chunk().ok_or(HeadsError::Damaged)?;
    let (len, head) = rest.split_first_chunk().ok_or(HeadsError::Damaged)?;
    if version != VERSION || u32::try_from(head.len()) != Ok(u32::from_be_bytes(*len)) {
        return Err(HeadsError::Damaged);
    }
    Ok(Heads { generation: u64::from_be_bytes(*generation), events: u64::from_be_bytes(*events), head: head.to_vec() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::private_file::tests::{Folder, chmod};

    const WHOSE: (Net, NodeId) = (Net([7; 32]), NodeId([9; 16]));

    fn keys(seed: u64) -> ServiceKeys {
        ServiceKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn heads(n: u64) -> Heads {
        Heads { generation: n, events: 2 * n, head: vec![b'h'; usize::try_from(n).unwrap()] }
    }

    #[test]
    fn the_last_head_survives_a_restart() {
        let folder = Folder::new();
        let path = folder.file("heads");
        let mut file = HeadsFile::create(&path, WHOSE, &keys(1), Heads::default()).ok().unwrap();
        for n in 1..5 {
            file.advance(heads(n)).unwrap();
            assert_eq!(HeadsFile::open(&path, WHOSE, &keys(1)).ok().unwrap().last(), &heads(n));
        }
        assert_eq!(folder.names(), ["heads"]);
        assert!(matches!(
            HeadsFile::create(&path, WHOSE, &keys(1), Heads::default()),
            Err(HeadsError::File(PrivateFileError::Exists { .. }))
        ));
    }

    #[test]
    fn a_store_older_than_what_was_signed_is_named() {
        let folder = Folder::new();
        let file = HeadsFile::create(&folder.file("heads"), WHOSE, &keys(1), heads(10)).ok().unwrap();
        assert!(file.check(10, 20).is_ok());
        assert!(file.check(11, 25).is_ok());
        assert!(matches!(file.check(9, 20), Err(HeadsError::RolledBack { .. })));
        let error = file.check(10, 19).err().unwrap();
        assert!(error.to_string().contains("event 19 of 20"), "{error}");
    }

    #[test]
    fn it_never_goes_backwards() {
        let folder = Folder::new();
        let mut file = HeadsFile::create(&folder.file("heads"), WHOSE, &keys(1), heads(10)).ok().unwrap();
        assert!(matches!(file.advance(heads(9)), Err(HeadsError::Backwards)));
        let fewer = Heads { events: 1, ..heads(11) };
        assert!(matches!(file.advance(fewer), Err(HeadsError::Backwards)));
        let long = Heads { head: vec![0; HEAD_MAX + 1], ..heads(11) };
        assert!(matches!(file.advance(long), Err(HeadsError::TooLong)));
        assert!(file.advance(Heads { head: vec![0; HEAD_MAX], ..heads(11) }).is_ok());
        assert!(HeadsFile::open(&folder.file("heads"), WHOSE, &keys(1)).is_ok());
        // Another head over the same commits and events is not older than the first.
        let same = Heads { head: b"cosigned".to_vec(), ..heads(11) };
        file.advance(same.clone()).unwrap();
        assert_eq!(file.last(), &same);
    }

    #[test]
    fn what_bears_the_right_code_and_is_not_such_a_file_is_damage() {
        let folder = Folder::new();
        let path = folder.file("heads");
        let file = HeadsFile::create(&path, WHOSE, &keys(1), heads(5)).ok().unwrap();
        let image = fs::read(&path).unwrap();
        let content = &image[..image.len() - MAC_LEN];
        let changed = |at: usize, to: u8| {
            let mut bytes = content.to_vec();
            bytes[at] = to;
            bytes
        };
        // No magic, version 0, a length too short and too long, a byte too many, nothing behind the version.
        let wrong = [
            changed(0, b'C'),
            changed(20, 0),
            changed(FIXED_LEN - 1, 4),
            changed(FIXED_LEN - 1, 6),
            [content, b"h"].concat(),
            content[..21].to_vec(),
        ];
        for bytes in wrong {
            let mac = aead::hmac(&file.key, &pae(labels::HEADS, &bytes));
            let found = decode(&file.key, &[bytes.as_slice(), &mac].concat());
            assert!(matches!(found, Err(HeadsError::Damaged)), "{bytes:?}");
        }
        assert_eq!(decode(&file.key, &image).ok().unwrap(), heads(5));
    }

    #[test]
    fn yesterdays_file_put_back_under_a_running_node_is_noticed() {
        let folder = Folder::new();
        let path = folder.file("heads");
        let mut file = HeadsFile::create(&path, WHOSE, &keys(1), heads(1)).ok().unwrap();
        let yesterday = fs::read(&path).unwrap();
        file.advance(heads(2)).unwrap();
        fs::write(&path, yesterday).unwrap();
        let error = file.advance(heads(3)).err().unwrap();
        assert!(matches!(error, HeadsError::File(PrivateFileError::Changed { .. } | PrivateFileError::TooLong { .. })));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_other_nodes_file_is_refused() {
        let folder = Folder::new();
        let path = folder.file("heads");
        HeadsFile::create(&path, WHOSE, &keys(1), heads(5)).ok().unwrap();
        let original = fs::read(&path).unwrap();
        for at in 0..original.len() {
            let mut bytes = original.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(HeadsFile::open(&path, WHOSE, &keys(1)), Err(HeadsError::Damaged)), "byte {at}");
            fs::write(&path, &original[..at]).unwrap();
            assert!(matches!(HeadsFile::open(&path, WHOSE, &keys(1)), Err(HeadsError::Damaged)), "cut {at}");
        }
        fs::write(&path, &original).unwrap();
        assert!(HeadsFile::open(&path, WHOSE, &keys(1)).is_ok());
        assert!(matches!(HeadsFile::open(&path, WHOSE, &keys(2)), Err(HeadsError::Damaged)));
        let other = (WHOSE.0, NodeId([8; 16]));
        assert!(matches!(HeadsFile::open(&path, other, &keys(1)), Err(HeadsError::Damaged)));
        chmod(&path, 0o644);
        assert!(matches!(HeadsFile::open(&path, WHOSE, &keys(1)), Err(HeadsError::File(_))));
    }

    #[test]
    fn a_newer_version_is_named_and_left_alone() {
        let folder = Folder::new();
        let path = folder.file("heads");
        let file = HeadsFile::create(&path, WHOSE, &keys(1), heads(5)).ok().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - MAC_LEN);
        bytes[20] = 2;
        let mac = aead::hmac(&file.key, &pae(labels::HEADS, &bytes));
        let bytes = [bytes.as_slice(), &mac].concat();
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(HeadsFile::open(&path, WHOSE, &keys(1)), Err(HeadsError::Newer { found: 2, known: 1 })));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

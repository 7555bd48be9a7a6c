//! The keys of a backup: what it is of, in clear, and what opens its records, sealed to the recovery key.
//!
//! ```text
//! file = "clearhouse backup keys\n" | version u32 | length u32 | about | length u32 | sealed | code [32]
//! ```
//! `sealed` is bound to the backup's id; `code` is an HMAC under the recovery key's mark over all before it, so that
//! nobody can make a backup, or change what one says of itself, who has not this node's keys or two of the sheets.
//! Whoever restores refuses a backup that is older than [`EXPIRES_SECS`] unless it is told otherwise.

use std::path::Path;

use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::limits::{DAY, SKEW_SECS};
use clearhouse_protocol::recovery::{MARK_LEN, RecoveryKey, RecoverySecret};
use prost::Message as _;
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use super::records::{Hash, ID_LEN, Written};
use crate::keyfile::{ContentKeys, Opened, ServiceKeys};
use crate::private_file::{self, Owner, PrivateFileError};

/// How old a backup may be: what was erased since must not come back by it (promise P11).
pub const EXPIRES_SECS: u64 = 35 * DAY;
/// Longest file of keys.
pub const FILE_MAX: usize = 64 << 10;

pub(super) const MAGIC: &[u8; 23] = b"clearhouse backup keys\n";
const VERSION: u32 = 1;

/// Why a file of keys is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Not such a file, or damaged where nothing can be made of it.
    #[error("it is not the keys of a backup, or it is damaged")]
    Damaged,
    /// Made by a newer program.
    #[error("it is of version {found}, and this program reads version {VERSION}: use the newer program")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// The sheets are of another recovery key than the one it was sealed to.
    #[error("the sheets are of another recovery key: it is sealed to {0}")]
    OtherSheets(String),
    /// The code does not hold: something in it was changed, or somebody else made it.
    #[error("it was changed, or was not made by this organisation's node")]
    Forged,
    /// The keys themselves do not fit what it says of itself.
    #[error("the keys in it do not open, or are not those of its node")]
    Shut,
    /// The key file is not open, or there is no recovery key in it.
    #[error("cases are locked, or there is no recovery key")]
    NotOpen,
}

/// What a backup says of itself. Nothing in it is of a case.
#[derive(Clone, PartialEq, prost::Message)]
pub struct About {
    /// Its id, the same in the records.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// When it was made, unix seconds.
    #[prost(uint64, tag = "2")]
    pub created: u64,
    /// The network.
    #[prost(bytes = "vec", tag = "3")]
    pub net: Vec<u8>,
    /// The node.
    #[prost(bytes = "vec", tag = "4")]
    pub node: Vec<u8>,
    /// Commits in the store.
    #[prost(uint64, tag = "5")]
    pub generation: u64,
    /// Rows in the store.
    #[prost(uint64, tag = "6")]
    pub rows: u64,
    /// The store's digest of all rows.
    #[prost(bytes = "vec", tag = "7")]
    pub digest: Vec<u8>,
    /// Entries of the node's log.
    #[prost(uint64, tag = "8")]
    pub events: u64,
    /// The head that was signed last: its text, or nothing before the first.
    #[prost(bytes = "vec", tag = "9")]
    pub head: Vec<u8>,
    /// The epoch of the wrapping keys; rises with every erasure.
    #[prost(uint32, tag = "10")]
    pub epoch: u32,
    /// Bytes of the records.
    #[prost(uint64, tag = "11")]
    pub bytes: u64,
    /// Digest of the records' list of contents.
    #[prost(bytes = "vec", tag = "12")]
    pub contents: Vec<u8>,
    /// Eight words of the recovery key it is sealed to.
    #[prost(string, tag = "13")]
    pub key: String,
}

/// The keys, sealed: made while the key file is open, so that none of them lies about until the records are written.
pub struct Sealed {
    id: [u8; ID_LEN],
    sealed: Vec<u8>,
    recovery: RecoveryKey,
}

/// What two sheets got out of a file of keys.
pub struct Keys {
    /// The service keys.
    pub service: ServiceKeys,
    /// The content keys.
    pub content: ContentKeys,
}

/// A file of keys that was read, and not opened. What it says of itself is not proved.
pub struct KeysFile {
    about: About,
    sealed: Vec<u8>,
    covered: Vec<u8>,
    code: [u8; MARK_LEN],
}

#[derive(prost::Message)]
#[prost(skip_debug)]
struct KeysRecord {
    #[prost(bytes = "vec", tag = "1")]
    service: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

impl Drop for KeysRecord {
    fn drop(&mut self) {
        self.service.zeroize();
        self.content.zeroize();
    }
}

impl Sealed {
    /// Seals the keys of an open key file to its recovery key.
    ///
    /// # Errors
    /// [`KeysFault::NotOpen`], [`KeysFault::Shut`].
    pub fn seal(opened: &Opened, id: [u8; ID_LEN], rng: &mut impl CryptoRng) -> Result<Self, KeysFault> {
        let service = opened.service();
        let (Some(content), Some(recovery)) = (opened.content(), service.recovery()) else {
            return Err(KeysFault::NotOpen);
        };
        let record = KeysRecord { service: service.encode().to_vec(), content: content.encode().to_vec() };
        let mut plain = Zeroizing::new(Vec::with_capacity(record.encoded_len()));
        // Cannot fail: a Vec grows as needed.
        let _ = record.encode(&mut *plain);
        let sealed = recovery.seal(&id, &plain, rng).map_err(|_| KeysFault::Shut)?;
        Ok(Self { id, sealed, recovery: recovery.duplicate() })
    }

    /// Eight words of the recovery key it is sealed to.
    #[must_use]
    pub fn key(&self) -> String {
        self.recovery.words()
    }

    /// The bytes of the file. `about` is completed with what the records came to.
    #[must_use]
    pub fn complete(&self, mut about: About, written: &Written) -> Vec<u8> {
        (about.id, about.key) = (self.id.to_vec(), self.key());
        (about.bytes, about.contents) = (written.bytes, written.contents.to_vec());
        let about = about.encode_to_vec();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [&about, &self.sealed] {
            out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(field);
        }
        let code = self.recovery.code(&out);
        out.extend_from_slice(&code);
        out
    }
}

impl KeysFile {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// [`KeysFault::File`], [`KeysFault::Damaged`], [`KeysFault::Newer`].
    pub fn read(path: &Path) -> Result<Self, KeysFault> {
        Self::parse(&private_file::read(path, FILE_MAX, Owner::Me)?)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeysFault> {
        let (covered, code) = bytes.split_last_chunk::<MARK_LEN>().ok_or(KeysFault::Damaged)?;
        let rest = covered.strip_prefix(MAGIC).ok_or(KeysFault::Damaged)?;
        let (version, rest) = rest.split_first_chunk().ok_or(KeysFault::Damaged)?;
        match u32::from_be_bytes(*version) {
            VERSION => {}
            0 => return Err(KeysFault::Damaged),
            found => return Err(KeysFault::Newer { found }),
        }
        let (about, rest) = field(rest).ok_or(KeysFault::Damaged)?;
        let (sealed, rest) = field(rest).ok_or(KeysFault::Damaged)?;
        let about = About::decode(about).map_err(|_| KeysFault::Damaged)?;
        let whole = rest.is_empty() && about.id.len() == ID_LEN && about.contents.len() == 32;
        if !whole || Net::try_from(about.net.as_slice()).is_err() || NodeId::try_from(about.node.as_slice()).is_err() {
            return Err(KeysFault::Damaged);
        }
        Ok(Self { about, sealed: sealed.to_vec(), covered: covered.to_vec(), code: *code })
    }

    /// What it says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// How old it is at `now`, seconds; `None` by a clock that shows a time before it was made, by more than nodes may
    /// differ ([`SKEW_SECS`]): such a clock can tell no age.
    #[must_use]
    pub fn age(&self, now: u64) -> Option<u64> {
        let made = self.about.created;
        (now.saturating_add(SKEW_SECS) >= made).then(|| now.saturating_sub(made))
    }

    /// Whether these records are those it was made for.
    #[must_use]
    pub fn fits(&self, id: &[u8; ID_LEN], written: &Written) -> bool {
        let contents: &Hash = &written.contents;
        self.about.id == id && self.about.contents == contents && self.about.bytes == written.bytes
    }

    /// Whether the node with this recovery key made it, byte for byte.
    #[must_use]
    pub fn is_by(&self, key: &RecoveryKey) -> bool {
        key.holds(&self.covered, &self.code)
    }

    /// Opens it with what two sheets give.
    ///
    /// # Errors
    /// [`KeysFault::OtherSheets`], [`KeysFault::Forged`], [`KeysFault::Shut`].
    pub fn open(&self, secret: &RecoverySecret) -> Result<Keys, KeysFault> {
        let key = secret.key().map_err(|_| KeysFault::Shut)?;
        if !self.is_by(&key) {
            let other = key.words() != self.about.key;
            return Err(if other { KeysFault::OtherSheets(self.about.key.clone()) } else { KeysFault::Forged });
        }
        let plain = secret.open(&self.about.id, &self.sealed).map_err(|_| KeysFault::Shut)?;
        let record = KeysRecord::decode(plain.as_slice()).map_err(|_| KeysFault::Shut)?;
        let service = ServiceKeys::decode(&record.service, self.about.epoch).ok_or(KeysFault::Shut)?;
        let content = ContentKeys::decode(&record.content, self.about.epoch).ok_or(KeysFault::Shut)?;
        Ok(Keys { service, content })
    }
}

/// Writes the file of keys, mode 0600, whole or not at all. An existing one is refused.
///
/// # Errors
/// [`KeysFault::File`].
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), KeysFault> {
    Ok(private_file::create(path, bytes)?)
}

/// Whether a file of keys can be kept at `path`: makes one of mode 0600 there, looks, and removes it. A file system that
/// knows no modes (FAT) cannot.
///
/// # Errors
/// [`KeysFault::File`]; nothing of it stays.
pub fn probe(path: &Path) -> Result<(), KeysFault> {
    let made = create(path, MAGIC);
    destroy(path)?;
    made
}

/// Overwrites and removes a file of keys: the records that it opened are noise from then on.
///
/// # Errors
/// [`KeysFault::File`].
pub fn destroy(path: &Path) -> Result<(), KeysFault> {
    Ok(private_file::destroy(path)?)
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

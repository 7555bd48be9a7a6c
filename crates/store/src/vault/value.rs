//! The bytes of a sealed value.
//!
//! ```text
//! version      1 byte: 1
//! under        17 bytes, masked: kind (1 service, 2 evidence, 3 case, 4 letter), then 16 bytes of handle
//! nonce        24 bytes, random
//! box          XChaCha20-Poly1305(DEK, value || logical key || u16 length of key,
//!                  aad = PAE("clearhouse/value/v1", table || blind key || version || under in clear))
//! ```
//!
//! The handle names a wrapped key and no case; it is masked with HMAC(index key, nonce), so that a stolen disk does not
//! even tell which values belong together. For service and evidence it is zero, with room for a key number. The logical
//! key stands inside because a scan returns blind keys only. Refuses a value that stands at another key or table.

use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::aead::{self, NONCE_LEN};
use crate::changes::{Key, VALUE_MAX};
use crate::secret::{SecretBytes, never};
use crate::vault::error::VaultError;

/// Longest logical key.
pub const KEY_MAX: usize = 512;
/// The version this program writes and reads.
pub(super) const VERSION: u8 = 1;
/// Length of a handle.
pub(super) const HANDLE_LEN: usize = 16;
const UNDER_LEN: usize = 1 + HANDLE_LEN;
const PREFIX_LEN: usize = 1 + UNDER_LEN + NONCE_LEN;

/// Names a data key without naming what it is for.
pub(super) type Handle = [u8; HANDLE_LEN];

/// What kind of key seals a value. Numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Service = 1,
    Evidence = 2,
    Case = 3,
    Letter = 4,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Service, Self::Evidence, Self::Case, Self::Letter].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Which key seals a value, as the value itself says it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    pub(super) handle: Handle,
}

impl Tag {
    fn bytes(self) -> [u8; UNDER_LEN] {
        let mut out = [self.kind as u8; UNDER_LEN];
        out[1..].copy_from_slice(&self.handle);
        out
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: u8,
    pub(super) blind: &'a Key,
}

/// A row as it was before it was sealed. The value is wiped when dropped; there is no `Debug`.
pub struct Plain {
    /// The logical key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Zeroizing<Vec<u8>>,
}
never!(Plain: std::fmt::Debug, Clone);

/// A sealed value taken apart.
pub(super) struct Parsed<'a> {
    pub(super) tag: Tag,
    nonce: [u8; NONCE_LEN],
    boxed: &'a [u8],
}

/// Seals one value.
pub(super) fn seal(
    (index, dek): (&SecretBytes, &SecretBytes),
    tag: Tag,
    place: Place<'_>,
    (key, value): (&[u8], &[u8]),
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, VaultError> {
    let table = place.table;
    let key_len = u16::try_from(key.len()).ok().filter(|len| usize::from(*len) <= KEY_MAX);
    let key_len = key_len.ok_or(VaultError::KeyTooLong { table })?;
    if sealed_len(key.len(), value.len()) > VALUE_MAX {
        return Err(VaultError::ValueTooLong { table });
    }
    let nonce = aead::nonce(rng);
    let mut prefix = [VERSION; PREFIX_LEN];
    prefix[1..=UNDER_LEN].copy_from_slice(&masked(index, &nonce, tag.bytes()));
    prefix[1 + UNDER_LEN..].copy_from_slice(&nonce);
    Ok(aead::seal_after(&prefix, dek, &nonce, &aad(place, tag), &[value, key, &key_len.to_be_bytes()])?)
}

/// How long a sealed value is.
pub(super) fn sealed_len(key: usize, value: usize) -> usize {
    PREFIX_LEN.saturating_add(value).saturating_add(key + 2 + aead::TAG_LEN)
}

/// Takes a sealed value apart without opening it.
pub(super) fn parse<'a>(index: &SecretBytes, table: u8, bytes: &'a [u8]) -> Result<Parsed<'a>, VaultError> {
    let damaged = VaultError::Damaged { table };
    let Some((version, rest)) = bytes.split_first() else { return Err(damaged) };
    if *version > VERSION {
        return Err(VaultError::Newer { found: *version, known: VERSION });
    }
    let Some((under, rest)) = rest.split_first_chunk::<UNDER_LEN>() else { return Err(damaged) };
    let Some((nonce, boxed)) = rest.split_first_chunk::<NONCE_LEN>() else { return Err(damaged) };
    let [kind, handle @ ..] = masked(index, nonce, *under);
    match Kind::from_byte(kind) {
        Some(kind) if *version == VERSION => Ok(Parsed { tag: Tag { kind, handle }, nonce: *nonce, boxed }),
        Some(_) | None => Err(damaged),
    }
}

/// Opens a value taken apart, if it stands where it was put.
pub(super) fn open(parsed: &Parsed<'_>, dek: &SecretBytes, place: Place<'_>) -> Result<Plain, VaultError> {
    let damaged = || VaultError::Damaged { table: place.table };
    let aad = aad(place, parsed.tag);
    let mut plain = aead::open(dek, &parsed.nonce, &aad, parsed.boxed).map_err(|_| damaged())?;
    let (rest, key_len) = plain.split_last_chunk::<2>().ok_or_else(damaged)?;
    let split = rest.len().checked_sub(usize::from(u16::from_be_bytes(*key_len))).ok_or_else(damaged)?;
    let key = rest[split..].to_vec();
    plain.truncate(split);
    Ok(Plain { key, value: plain })
}

fn masked(index: &SecretBytes, nonce: &[u8; NONCE_LEN], mut under: [u8; UNDER_LEN]) -> [u8; UNDER_LEN] {
    let mask = aead::hmac(index, &pae_parts(labels::VALUE, &[nonce]));
    under.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    under
}

fn aad(place: Place<'_>, tag: Tag) -> Vec<u8> {
    pae_parts(labels::VALUE, &[&[place.table], place.blind, &[VERSION], &tag.bytes()])
}

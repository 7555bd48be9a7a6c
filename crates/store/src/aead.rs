//! The one cipher at rest: XChaCha20-Poly1305 with random nonces, and HKDF-SHA256 for its keys.
//!
//! The long nonce is why: a counter would repeat when yesterday's disk image is restored (protocol section 7.10).
//! Refuses to say why something does not open.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::SecretBytes;

/// Length of a nonce.
pub(crate) const NONCE_LEN: usize = 24;
/// What sealing adds: the authentication tag.
pub(crate) const TAG_LEN: usize = 16;

/// A box did not open, or could not be closed. Deliberately without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shut;

/// A fresh random nonce.
pub(crate) fn nonce(rng: &mut impl CryptoRng) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// Seals the concatenation of `parts` and puts `prefix` before it in clear. No plaintext is left behind: it is
/// encrypted where it was gathered.
pub(crate) fn seal_after(
    prefix: &[u8],
    key: &SecretBytes,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    parts: &[&[u8]],
) -> Result<Vec<u8>, Shut> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut buffer = Zeroizing::new(Vec::with_capacity(prefix.len() + len + TAG_LEN));
    buffer.extend_from_slice(prefix);
    for part in parts {
        buffer.extend_from_slice(part);
    }
    let nonce = XNonce::from(*nonce);
    let plain = &mut buffer[prefix.len()..];
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let tag = cipher.encrypt_inout_detached(&nonce, aad, plain.into()).map_err(|_| Shut)?;
    buffer.extend_from_slice(&tag);
    Ok(std::mem::take(&mut *buffer))
}

/// Opens what [`seal_after`] put after its prefix.
pub(crate) fn open(
    key: &SecretBytes,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let nonce = XNonce::from(*nonce);
    XChaCha20Poly1305::new(key.expose().into()).decrypt_in_place(&nonce, aad, &mut *buffer).map_err(|_| Shut)?;
    Ok(buffer)
}

/// Seals under a fresh nonce, which is put in front.
pub(crate) fn seal_framed(
    key: &SecretBytes,
    aad: &[u8],
    parts: &[&[u8]],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, Shut> {
    let nonce = nonce(rng);
    seal_after(&nonce, key, &nonce, aad, parts)
}

/// Opens what [`seal_framed`] made.
pub(crate) fn open_framed(key: &SecretBytes, aad: &[u8], framed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let (nonce, sealed) = framed.split_first_chunk::<NONCE_LEN>().ok_or(Shut)?;
    open(key, nonce, aad, sealed)
}

/// HKDF-SHA256 without salt, 32 bytes out.
pub(crate) fn derive(ikm: &[&[u8]], info: &[u8]) -> Result<SecretBytes, Shut> {
    let gathered = Zeroizing::new(ikm.concat());
    let mut out = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(None, &gathered).expand(info, out.as_mut()).map_err(|_| Shut)?;
    Ok(SecretBytes::from(out))
}

/// HMAC-SHA256.
pub(crate) fn hmac(key: &SecretBytes, message: &[u8]) -> [u8; 32] {
    keyed(key, message).finalize().into_bytes().into()
}

/// Whether `tag` is the HMAC-SHA256 of `message`, in constant time.
pub(crate) fn hmac_holds(key: &SecretBytes, message: &[u8], tag: &[u8]) -> bool {
    keyed(key, message).verify_slice(tag).is_ok()
}

fn keyed(key: &SecretBytes, message: &[u8]) -> Hmac<Sha256> {
    // Unwrap safety: HMAC takes a key of any length; ours has 32 bytes.
    #[expect(clippy::expect_used, reason = "HMAC accepts every key length")]
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose()).expect("any key length");
    mac.update(message);
    mac
}

//! The content stream: C2SP chunked-encryption with ChaCha20-Poly1305 and HKDF-Expand-SHA256.
//!
//! Output is `salt[24] || commitment[32] || chunks`, every chunk 16 KiB but the last, which is always shorter,
//! so a cut or an appended chunk cannot pass. The commitment fixes the one key a stream opens under.
//! Whole messages only: no partial plaintext is ever given out.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::labels::CHUNK_AEAD;
use crate::limits::CHUNK_LEN;

const SALT_LEN: usize = 24;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Bytes before the first chunk.
pub const PREFIX_LEN: usize = SALT_LEN + COMMITMENT_LEN;

/// Why a stream does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// Shorter than the shortest stream, or of a length no stream has.
    #[error("not a length a stream can have")]
    Length,
    /// The commitment belongs to another key, salt or context.
    #[error("the key commitment does not match")]
    Commitment,
    /// A chunk was changed, moved, or belongs elsewhere.
    #[error("a chunk does not authenticate")]
    Chunk,
}

struct StreamKeys {
    key: Zeroizing<[u8; 32]>,
    base_nonce: [u8; 12],
    commitment: [u8; COMMITMENT_LEN],
}

fn derive(input_key: &[u8; 32], salt: &[u8], context: &[u8]) -> StreamKeys {
    let info: [&[u8]; 5] = [b"c2sp.org/chunked-encryption@v1+", CHUNK_AEAD.as_bytes(), &[0], salt, context];
    let mut okm = Zeroizing::new([0u8; 32 + 12 + COMMITMENT_LEN]);
    // A 32-byte key is exactly SHA-256's output length and 76 bytes are far below HKDF's limit: neither call
    // can fail, and a zero key would never match a commitment.
    if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(input_key) {
        let _ = hkdf.expand_multi_info(&info, okm.as_mut());
    }
    let mut keys = StreamKeys { key: Zeroizing::new([0; 32]), base_nonce: [0; 12], commitment: [0; 32] };
    keys.key.copy_from_slice(&okm[..32]);
    keys.base_nonce.copy_from_slice(&okm[32..44]);
    keys.commitment.copy_from_slice(&okm[44..]);
    keys
}

fn nonce(base: &[u8; 12], chunk: u64) -> Nonce {
    let mut nonce = *base;
    for (byte, count) in nonce[4..].iter_mut().zip(chunk.to_be_bytes()) {
        *byte ^= count;
    }
    nonce.into()
}

/// Encrypts `plaintext` under a fresh salt. `input_key` must be uniformly random and used for this message only.
pub fn seal(input_key: &[u8; 32], context: &[u8], plaintext: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut salt = [0u8; SALT_LEN];
    rng.fill_bytes(&mut salt);
    seal_with_salt(input_key, context, plaintext, &salt)
}

pub(crate) fn seal_with_salt(input_key: &[u8; 32], context: &[u8], plaintext: &[u8], salt: &[u8; 24]) -> Vec<u8> {
    let keys = derive(input_key, salt, context);
    let cipher = ChaCha20Poly1305::new(&Key::from(*keys.key));
    let mut out = Vec::with_capacity(sealed_len(plaintext.len()));
    out.extend_from_slice(salt);
    out.extend_from_slice(&keys.commitment);
    let mut rest = plaintext;
    let mut index = 0u64;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK_LEN));
        let start = out.len();
        out.extend_from_slice(chunk);
        // ChaCha20-Poly1305 fails only above 256 GiB; a chunk is 16 KiB.
        if let Ok(tag) = cipher.encrypt_inout_detached(&nonce(&keys.base_nonce, index), &[], (&mut out[start..]).into())
        {
            out.extend_from_slice(&tag);
        }
        if chunk.len() < CHUNK_LEN {
            return out;
        }
        rest = after;
        index += 1;
    }
}

/// Length of the stream for a plaintext of `len` bytes.
#[must_use]
pub fn sealed_len(len: usize) -> usize {
    PREFIX_LEN + len + (len / CHUNK_LEN + 1) * TAG_LEN
}

/// Opens a whole stream. Checks the commitment, in constant time, before any chunk.
///
/// # Errors
/// [`ChunkFault`]; no plaintext is returned then.
pub fn open(input_key: &[u8; 32], context: &[u8], stream: &[u8]) -> Result<Zeroizing<Vec<u8>>, ChunkFault> {
    if stream.len() < PREFIX_LEN + TAG_LEN {
        return Err(ChunkFault::Length);
    }
    let (salt, rest) = stream.split_at(SALT_LEN);
    let (commitment, mut rest) = rest.split_at(COMMITMENT_LEN);
    let last = rest.len() % (CHUNK_LEN + TAG_LEN);
    if last < TAG_LEN {
        return Err(ChunkFault::Length);
    }
    let keys = derive(input_key, salt, context);
    if !bool::from(keys.commitment.ct_eq(commitment)) {
        return Err(ChunkFault::Commitment);
    }
    let cipher = ChaCha20Poly1305::new(&Key::from(*keys.key));
    let mut plaintext = Zeroizing::new(Vec::with_capacity(rest.len()));
    let mut index = 0u64;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK_LEN + TAG_LEN));
        let (body, tag) = chunk.split_at(chunk.len() - TAG_LEN);
        let tag: [u8; TAG_LEN] = tag.try_into().map_err(|_| ChunkFault::Length)?;
        let start = plaintext.len();
        plaintext.extend_from_slice(body);
        cipher
            .decrypt_inout_detached(&nonce(&keys.base_nonce, index), &[], (&mut plaintext[start..]).into(), &tag.into())
            .map_err(|_| ChunkFault::Chunk)?;
        rest = after;
        index += 1;
    }
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const LENGTHS: [usize; 6] = [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN + 5];

    fn sealed(len: usize) -> Vec<u8> {
        seal_with_salt(&KEY, b"context", &vec![42; len], &[9; 24])
    }

    #[test]
    fn every_length_round_trips_at_its_predicted_size() {
        for len in LENGTHS {
            let stream = sealed(len);
            assert_eq!(stream.len(), sealed_len(len));
            assert_eq!(open(&KEY, b"context", &stream).map(|p| p.to_vec()), Ok(vec![42; len]));
        }
    }

    // Attack 7.
    #[test]
    fn a_stream_cut_at_or_inside_any_chunk_is_refused() {
        for len in LENGTHS {
            let stream = sealed(len);
            for cut in (0..stream.len()).step_by(997).chain([
                stream.len() - 1,
                stream.len() - TAG_LEN,
                PREFIX_LEN,
                PREFIX_LEN + CHUNK_LEN + TAG_LEN,
            ]) {
                if cut < stream.len() {
                    assert!(open(&KEY, b"context", &stream[..cut]).is_err(), "length {len}, cut {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_shorter_than_any_stream_is_refused_at_every_length() {
        let shortest = sealed(0);
        assert_eq!(shortest.len(), PREFIX_LEN + TAG_LEN);
        for len in 0..shortest.len() {
            assert_eq!(open(&KEY, b"context", &shortest[..len]).err(), Some(ChunkFault::Length), "{len}");
        }
    }

    // Attack 7.
    #[test]
    fn swapped_appended_and_missing_chunks_are_refused() {
        let stream = sealed(2 * CHUNK_LEN + 100);
        let piece = CHUNK_LEN + TAG_LEN;
        let (a, b) = (PREFIX_LEN..PREFIX_LEN + piece, PREFIX_LEN + piece..PREFIX_LEN + 2 * piece);
        let swapped = [&stream[..PREFIX_LEN], &stream[b.clone()], &stream[a.clone()], &stream[b.end..]].concat();
        let doubled = [&stream[..a.end], &stream[a.clone()], &stream[a.end..]].concat();
        let dropped = [&stream[..PREFIX_LEN], &stream[a.end..]].concat();
        let no_final = stream[..b.end].to_vec();
        for bad in [swapped, doubled, dropped, no_final] {
            assert!(open(&KEY, b"context", &bad).is_err());
        }
    }

    // Attack 9.
    #[test]
    fn another_key_context_or_any_flipped_prefix_bit_fails_the_commitment() {
        let stream = sealed(100);
        assert_eq!(open(&[8; 32], b"context", &stream).err(), Some(ChunkFault::Commitment));
        assert_eq!(open(&KEY, b"contexu", &stream).err(), Some(ChunkFault::Commitment));
        for bit in 0..PREFIX_LEN * 8 {
            let mut bad = stream.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&KEY, b"context", &bad).err(), Some(ChunkFault::Commitment));
        }
    }

    #[test]
    fn any_flipped_ciphertext_bit_is_refused() {
        let stream = sealed(40);
        for bit in PREFIX_LEN * 8..stream.len() * 8 {
            let mut bad = stream.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&KEY, b"context", &bad).err(), Some(ChunkFault::Chunk));
        }
    }
}

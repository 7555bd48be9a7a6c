//! Golden vectors of the content stream, `tests/vectors/chunked.json`: six that open and many more that must not.
//!
//! Inputs are described, not listed: byte `i` of a plaintext is `i mod 251`. Broken streams are recipes over good
//! ones, so that another implementation can follow each of them by hand.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha512;

use super::{assemble, fixed, golden, held, list, recipe, text};
use crate::chunked::{ChunkFault, PREFIX_LEN, open, seal_with_salt, sealed_len};
use crate::ids::hex;
use crate::limits::CHUNK_LEN;
use crate::pae::sha256;

const FILE: &str = "chunked.json";
const KEY: [u8; 32] = [0x11; 32];
const SALT: [u8; 24] = [0x22; 24];
const CONTEXT: [u8; 32] = [0x33; 32];
const LENGTHS: [usize; 6] = [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 40_000];
const PIECE: usize = CHUNK_LEN + 16;

fn plaintext(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn stream(len: usize) -> Vec<u8> {
    seal_with_salt(&KEY, &CONTEXT, &plaintext(len), &SALT)
}

fn good(len: usize) -> Value {
    let stream = stream(len);
    assert_eq!(stream.len(), sealed_len(len));
    json!({
        "plaintext_len": len,
        "stream_len": stream.len(),
        "stream_sha256": hex(&sha256(&stream)),
        "stream_first": hex(&stream[..stream.len().min(128)]),
        "stream_last": hex(&stream[stream.len() - 16..]),
    })
}

/// One byte in a stream that is right but for its keys: they come from HKDF-Expand with SHA-512.
fn keyed_by_sha512() -> Vec<u8> {
    let info = [b"c2sp.org/chunked-encryption@v1+AEAD_CHACHA20_POLY1305\0".as_slice(), &SALT, &CONTEXT].concat();
    let block = |previous: &[u8], n: u8| {
        let mut mac = <Hmac<Sha512> as hmac::KeyInit>::new_from_slice(&KEY).unwrap();
        mac.update(&[previous, &info, &[n]].concat());
        mac.finalize().into_bytes().to_vec()
    };
    let first = block(b"", 1);
    let okm = [first.as_slice(), &block(&first, 2)].concat();
    let cipher = ChaCha20Poly1305::new(&Key::try_from(&okm[..32]).unwrap());
    let mut sealed = plaintext(1);
    let tag =
        cipher.encrypt_inout_detached(okm[32..44].try_into().unwrap(), &[], sealed.as_mut_slice().into()).unwrap();
    [&SALT, &okm[44..76], &sealed, &tag].concat()
}

/// Name, length of the good stream, what became of it, the refusal.
fn bad_streams() -> Vec<(&'static str, usize, Value, &'static str)> {
    let long = stream(40_000);
    let (a, b) = (PREFIX_LEN, PREFIX_LEN + PIECE);
    let (c, end) = (PREFIX_LEN + 2 * PIECE, long.len());
    let flip = |len: usize, at: usize, mask: u8| {
        let good = stream(len);
        let mut bad = good.clone();
        bad[at] ^= mask;
        recipe(&good, &bad)
    };
    let other_salt = seal_with_salt(&KEY, &CONTEXT, &plaintext(1), &[0x23; 24]);
    let full = PREFIX_LEN + PIECE;
    vec![
        ("nothing at all", 0, json!([]), "Length"),
        ("a prefix without a chunk", 0, json!([[0, a]]), "Length"),
        ("a final chunk shorter than its tag", 0, json!([[0, a + 15]]), "Length"),
        ("a byte after an empty final chunk", 0, json!([[0, a + 16], "00"]), "Chunk"),
        ("the first bit of the salt", 1, flip(1, 0, 0x80), "Commitment"),
        ("the last bit of the salt", 1, flip(1, 23, 1), "Commitment"),
        ("the first bit of the commitment", 1, flip(1, 24, 0x80), "Commitment"),
        ("the last bit of the commitment", 1, flip(1, 55, 1), "Commitment"),
        ("a commitment of zeros", 1, json!([[0, 24], hex(&[0; 32]), [56, 73]]), "Commitment"),
        ("one bit of the ciphertext", 1, flip(1, 56, 1), "Chunk"),
        ("one bit of the tag", 1, flip(1, 72, 1), "Chunk"),
        ("a tag of zeros", 1, json!([[0, 57], hex(&[0; 16])]), "Chunk"),
        ("a chunk from a stream of another salt", 1, json!([[0, 56], hex(&other_salt[56..])]), "Chunk"),
        ("a salt from another stream", 1, json!([hex(&other_salt[..24]), [24, 73]]), "Commitment"),
        ("keys derived with SHA-512", 1, json!([hex(&keyed_by_sha512())]), "Commitment"),
        ("one byte less than a whole chunk, cut by one", CHUNK_LEN - 1, json!([[0, full - 2]]), "Chunk"),
        ("a whole chunk without the empty final one", CHUNK_LEN, json!([[0, full]]), "Length"),
        ("a whole chunk and half a final tag", CHUNK_LEN, json!([[0, full + 8]]), "Length"),
        (
            "a whole chunk with the final tag of another length",
            CHUNK_LEN,
            json!([[0, full], [full - 16, full]]),
            "Chunk",
        ),
        ("the final chunk before the whole one", CHUNK_LEN, json!([[0, a], [full, full + 16], [a, full]]), "Chunk"),
        ("the one-byte final chunk emptied", CHUNK_LEN + 1, json!([[0, full], [full + 1, full + 17]]), "Chunk"),
        ("the first chunk flipped", 40_000, flip(40_000, a, 1), "Chunk"),
        ("the middle chunk flipped", 40_000, flip(40_000, b + 9, 1), "Chunk"),
        ("the last byte flipped", 40_000, flip(40_000, end - 1, 0x80), "Chunk"),
        ("two chunks exchanged", 40_000, json!([[0, a], [b, c], [a, b], [c, end]]), "Chunk"),
        ("the first chunk twice", 40_000, json!([[0, b], [a, end]]), "Chunk"),
        ("the first chunk missing", 40_000, json!([[0, a], [b, end]]), "Chunk"),
        ("the middle chunk missing", 40_000, json!([[0, b], [c, end]]), "Chunk"),
        ("the final chunk missing", 40_000, json!([[0, c]]), "Length"),
        ("all but the final chunk missing", 40_000, json!([[0, a], [c, end]]), "Chunk"),
        ("the final chunk cut by one byte", 40_000, json!([[0, end - 1]]), "Chunk"),
        ("the final chunk cut to its first sixteen bytes", 40_000, json!([[0, c + 16]]), "Chunk"),
        ("a zero byte at the end", 40_000, json!([[0, end], "00"]), "Chunk"),
        ("the final chunk twice", 40_000, json!([[0, end], [c, end]]), "Chunk"),
        ("another stream behind the first", 1, json!([[0, 73], [0, 73]]), "Chunk"),
    ]
}

fn made() -> Value {
    let bad = |(name, of, recipe, refusal): (&str, usize, Value, &str)| json!({ "name": name, "plaintext_len": of, "recipe": recipe, "refusal": refusal });
    let mut refused: Vec<Value> = bad_streams().into_iter().map(bad).collect();
    for (name, of, part, value) in [
        ("another key", 1, "input_key", hex(&[0x12; 32])),
        (
            "a key that differs in its last bit",
            40_000,
            "input_key",
            hex(&[KEY.as_slice()[..31].as_ref(), &[0x10]].concat()),
        ),
        ("another context", 1, "context", hex(&[0x34; 32])),
        ("a longer context", 1, "context", hex(&[0x33; 33])),
        ("no context", 0, "context", String::new()),
    ] {
        let whole = json!([[0, sealed_len(of)]]);
        refused
            .push(json!({ "name": name, "plaintext_len": of, "recipe": whole, part: value, "refusal": "Commitment" }));
    }
    json!({
        "about": "C2SP chunked-encryption with ChaCha20-Poly1305 and HKDF-Expand-SHA256, proto/README.md section 5. \
                  Byte i of every plaintext is i mod 251. A recipe joins parts: [from, to] is a slice of the good \
                  stream of that plaintext_len, a text is hex. A refused entry may name its own key or context.",
        "input_key": hex(&KEY),
        "salt": hex(&SALT),
        "context": hex(&CONTEXT),
        "good": LENGTHS.map(good),
        "refused": refused,
    })
}

#[test]
fn golden_chunked_streams_are_what_this_version_makes() {
    golden(FILE, &made());
}

#[test]
fn golden_chunked_streams_open_or_are_refused_as_written() {
    let file = held(FILE);
    let (key, context) = (fixed::<32>(&file, "input_key"), super::bytes(&file, "context"));
    let lengths = list(&file, "good").iter().map(|good| good["plaintext_len"].as_u64().unwrap() as usize);
    assert_eq!(lengths.clone().collect::<Vec<_>>(), LENGTHS);
    for len in lengths {
        assert_eq!(open(&key, &context, &stream(len)).as_deref().unwrap(), &plaintext(len));
    }
    let refused = list(&file, "refused");
    for bad in refused {
        let name = text(bad, "name");
        let good = stream(bad["plaintext_len"].as_u64().unwrap() as usize);
        let key = if bad.get("input_key").is_some() { fixed(bad, "input_key") } else { key };
        let context = if bad.get("context").is_some() { super::bytes(bad, "context") } else { context.clone() };
        let fault: Option<ChunkFault> = open(&key, &context, &assemble(&bad["recipe"], &good)).err();
        assert_eq!(fault.map(|f| format!("{f:?}")).as_deref(), Some(text(bad, "refusal")), "{name}");
    }
    assert_eq!(refused.len(), 40);
}

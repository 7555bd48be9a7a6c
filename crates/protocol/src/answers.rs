//! Known answers: what each primitive of this room must give for inputs that others published, so that a program that was
//! built wrong, or a processor that reckons wrong, is told apart from one that can be trusted with a case.
//!
//! A handful for a running program; the whole published files are tried by this room's own tests. The cipher at rest and
//! the price of a pass phrase are the room `store`'s, which has answers of its own. Goes through the calls that the
//! product makes wherever there is one. Refuses to judge by less than all bytes.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hpke::{Deserializable as _, OpModeR};
use sha2::Sha256;

use crate::ids::{hex, unhex};
use crate::keys::{Kem, PrekeySecret, SigningKey, VerifyKey};
use crate::log::note::{Note, NoteKey};
use crate::merkle;
use crate::pae::sha256;

/// One published answer.
#[derive(Clone)]
pub struct KnownAnswer {
    /// What is tried.
    pub name: &'static str,
    /// Where the answer is published.
    pub source: &'static str,
    /// The answer, in hex.
    pub expected: String,
    /// What this program gives; `None` when it gives nothing.
    pub found: fn() -> Option<Vec<u8>>,
}

impl KnownAnswer {
    /// Whether this program gives the published answer.
    #[must_use]
    pub fn holds(&self) -> bool {
        (self.found)().is_some_and(|found| hex(&found) == self.expected)
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<KnownAnswer> {
    let answer =
        |name, source, expected: &str, found| KnownAnswer { name, source, expected: expected.to_owned(), found };
    vec![
        answer("SHA-256", "FIPS 180-4, the message abc", ABC, || Some(sha256(b"abc").to_vec())),
        answer("HKDF-SHA-256", "RFC 5869, A.1", OKM, hkdf),
        answer("ChaCha20-Poly1305, sealed", "RFC 8439, 2.8.2", SUNSCREEN, sealed),
        answer("ChaCha20-Poly1305, a changed byte refused", "RFC 8439, 2.8.2", "00", changed),
        answer("Ed25519, signed", "RFC 8032, 7.1, test 2", SIGNATURE, || Some(key().0.sign_bare(&[0x72]).to_vec())),
        answer("Ed25519, verified", "RFC 8032, 7.1, test 2", "01", || verified(|_| ())),
        answer("Ed25519, a changed signature refused", "RFC 8032, 7.1, test 2", "00", || verified(|sig| sig[5] ^= 1)),
        answer("Ed25519, S above the order refused", "RFC 8032, 5.1.7", "00", || verified(add_order)),
        answer("Ed25519, keys of small order refused", "RFC 8032, 5.1.7", "000000", weak_keys),
        answer("X-Wing, a public key", "draft-connolly-cfrg-xwing-kem, C", XWING_PUBLIC, xwing),
        answer("HPKE with X-Wing, opened", "draft-ietf-hpke-pq, mode base", PLAIN, || opened(0)),
        answer("HPKE with X-Wing, a changed byte refused", "draft-ietf-hpke-pq, mode base", "00", || {
            Some(vec![u8::from(opened(1).is_some())])
        }),
        answer("Merkle tree", "RFC 6962, the tree of its reference code", ROOT, || {
            Some(merkle::root(&leaves()).to_vec())
        }),
        answer("Merkle path, true and changed", "RFC 6962, the tree of its reference code", "0100", path),
        answer("note, signed by its key and changed", "golang.org/x/mod/sumdb/note", "0100", note),
    ]
}

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const OKM: &str = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";

fn hkdf() -> Option<Vec<u8>> {
    let mut okm = vec![0; 42];
    let (salt, info) = (unhex("000102030405060708090a0b0c")?, unhex("f0f1f2f3f4f5f6f7f8f9")?);
    hkdf::Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut okm).ok()?;
    Some(okm)
}

const SUNSCREEN: &str = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e0\
60b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26\
a7e902ecbd0600691";
const SUNSCREEN_PLAIN: &[u8] =
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
sunscreen would be it.";

fn cipher() -> (ChaCha20Poly1305, chacha20poly1305::Nonce) {
    let key: [u8; 32] = std::array::from_fn(|n| 0x80 + n as u8);
    let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    (ChaCha20Poly1305::new(&key.into()), nonce.into())
}

const BESIDE: [u8; 12] = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];

fn sealed() -> Option<Vec<u8>> {
    let ((cipher, nonce), mut text) = (cipher(), SUNSCREEN_PLAIN.to_vec());
    let tag = cipher.encrypt_inout_detached(&nonce, &BESIDE, text.as_mut_slice().into()).ok()?;
    text.extend_from_slice(&tag);
    Some(text)
}

fn changed() -> Option<Vec<u8>> {
    let ((cipher, nonce), mut sealed) = (cipher(), sealed()?);
    let tag: [u8; 16] = sealed.split_off(SUNSCREEN_PLAIN.len()).try_into().ok()?;
    sealed[3] ^= 1;
    let opened = cipher.decrypt_inout_detached(&nonce, &BESIDE, sealed.as_mut_slice().into(), &tag.into());
    Some(vec![u8::from(opened.is_ok())])
}

const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d\
291612bb0c00";

fn key() -> (SigningKey, [u8; 32]) {
    let seed = [
        0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a,
        0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb,
    ];
    let key = SigningKey::from_seed(&seed);
    let public = key.public();
    (key, public)
}

/// Whether the published signature, after `change`, is the published key's.
fn verified(change: impl Fn(&mut [u8; 64])) -> Option<Vec<u8>> {
    let mut signature: [u8; 64] = unhex(SIGNATURE)?.try_into().ok()?;
    change(&mut signature);
    let key = VerifyKey::admit(&key().1).ok()?;
    Some(vec![u8::from(key.verify_bare(&[0x72], &signature).is_ok())])
}

/// Adds the order of the group to S: the same point, and another signature of the same message where nobody looks.
fn add_order(signature: &mut [u8; 64]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
}

/// The neutral point, one of order two, and the neutral point written another way.
fn weak_keys() -> Option<Vec<u8>> {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut second = [0xff; 32];
    (second[0], second[31]) = (0xec, 0x7f);
    let mut other = neutral;
    other[31] = 0x80;
    Some([neutral, second, other].iter().map(|public| u8::from(VerifyKey::admit(public).is_ok())).collect())
}

/// SHA-256 of the 1216 bytes.
const XWING_PUBLIC: &str = "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb";

fn xwing() -> Option<Vec<u8>> {
    let seed = unhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")?;
    let public = PrekeySecret::from_seed(&seed.try_into().ok()?).public().ok()?;
    Some(sha256(public.as_bytes()).to_vec())
}

const PLAIN: &str = "34323635363137353734373932303639373332303734373237353734363832633230373437323735373436383230363236353631373537343739";

/// The published ciphertext, opened after its first byte was changed by `change`.
fn opened(change: u8) -> Option<Vec<u8>> {
    let secret = PrekeySecret::from_seed(
        &unhex("3ec47fa82dd5689d27c6190e724c74ec8f608df3331ce331929e37b829676630")?.try_into().ok()?,
    );
    let enc: String = include_str!("answers/hpke_enc.hex").split_whitespace().collect();
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&unhex(&enc)?).ok()?;
    let info = unhex("34663634363532303666366532303631323034373732363536333639363136653230353537323665")?;
    let (aad, mut ct) = (unhex("436f756e742d30")?, unhex(CIPHERTEXT)?);
    *ct.first_mut()? ^= change;
    hpke::single_shot_open::<hpke::aead::ChaCha20Poly1305, hpke::kdf::HkdfSha256, Kem>(
        &OpModeR::Base,
        secret.private().ok()?,
        &enc,
        &info,
        &ct,
        &aad,
    )
    .ok()
}

const CIPHERTEXT: &str = "c5c591f99092d5e38df0a52699af249c66f8275a863423c076de8147a53e65cc584041c963b77a7e59ea93841b1339b5efda8909b71f74bb0073ad62e899de310c1566dea2fd29eba377";

const ROOT: &str = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";

fn leaves() -> Vec<[u8; 32]> {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    leaves.map(merkle::leaf).to_vec()
}

/// The path of the sixth leaf, and the same with one bit changed.
fn path() -> Option<Vec<u8>> {
    let (leaves, root) = (leaves(), unhex(ROOT)?.try_into().ok()?);
    let pair = |n: usize| merkle::node(&leaves[n], &leaves[n + 1]);
    let mut path = vec![leaves[4], pair(6), merkle::node(&pair(0), &pair(2))];
    let is_there = |path: &[[u8; 32]]| u8::from(merkle::includes(&leaves[5], 5, 8, path, &root));
    let holds = is_there(&path);
    path[1][31] ^= 1;
    Some(vec![holds, is_there(&path)])
}

const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn note() -> Option<Vec<u8>> {
    let key = NoteKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").ok()?;
    let is_signed = |text: &str| {
        let note = Note::parse(text.as_bytes()).ok()?;
        Some(u8::from(matches!(note.signed_by(&key), Ok(Some(_)))))
    };
    Some(vec![is_signed(NOTE)?, is_signed(&NOTE.replace("cryptography", "cryptographY"))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_answer_is_given() {
        let all = all();
        assert_eq!(all.len(), 15);
        for answer in all {
            let found = (answer.found)().map(|found| hex(&found));
            assert!(answer.holds(), "{} ({}): {found:?}", answer.name, answer.source);
        }
    }

    #[test]
    fn any_other_answer_does_not_hold() {
        for mut answer in all() {
            let last = if answer.expected.pop() == Some('f') { 'e' } else { 'f' };
            answer.expected.push(last);
            assert!(!answer.holds(), "{}", answer.name);
            answer.found = || None;
            assert!(!answer.holds());
        }
    }
}

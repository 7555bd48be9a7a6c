//! Known answers of what only this room reckons with: the cipher at rest, the price of a pass phrase, the mark under a key
//! file. Together with those of `protocol` they are every primitive of the program.
//!
//! Goes through the calls that the store itself makes. Refuses to judge by less than all bytes.

use clearhouse_protocol::answers::KnownAnswer;
use clearhouse_protocol::ids::unhex;
use zeroize::Zeroizing;

use crate::aead::{NONCE_LEN, hmac, open, seal_after};
use crate::keyfile::KdfCost;
use crate::keyfile::kdf::stretch;
use crate::passphrase::Passphrase;
use crate::secret::SecretBytes;

/// All of them. Argon2id takes the least memory that any key file takes: 64 MiB, for as long as it reckons.
#[must_use]
pub fn all() -> Vec<KnownAnswer> {
    let answer =
        |name, source, expected: &str, found| KnownAnswer { name, source, expected: expected.to_owned(), found };
    let draft = "draft-irtf-cfrg-xchacha-03, A.3.1";
    vec![
        answer("XChaCha20-Poly1305, sealed", draft, SUNSCREEN, sealed),
        answer("XChaCha20-Poly1305, opened and changed", draft, "0100", opened),
        answer("HMAC-SHA-256", "RFC 4231, test case 2", JEFE, jefe),
        answer("Argon2id", "OpenSSL 4.0.0, 64 MiB, 3 passes, 4 lanes", STRETCHED, stretched),
    ]
}

const SUNSCREEN: &str = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c\
54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c798\
7947deafd8780acf49";
const PLAIN: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
sunscreen would be it.";
const BESIDE: [u8; 12] = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];

fn key() -> SecretBytes {
    SecretBytes::from(Zeroizing::new(std::array::from_fn(|n| 0x80 + n as u8)))
}

fn nonce() -> [u8; NONCE_LEN] {
    std::array::from_fn(|n| 0x40 + n as u8)
}

fn sealed() -> Option<Vec<u8>> {
    seal_after(&[], &key(), &nonce(), &BESIDE, &[PLAIN]).ok()
}

/// Whether the published box opens to the published text, and whether it opens after one bit was changed.
fn opened() -> Option<Vec<u8>> {
    let mut sealed = unhex(SUNSCREEN)?;
    let opens = |sealed: &[u8]| open(&key(), &nonce(), &BESIDE, sealed).is_ok_and(|found| *found == PLAIN);
    let whole = opens(&sealed);
    sealed[3] ^= 1;
    Some(vec![u8::from(whole), u8::from(opens(&sealed))])
}

const JEFE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

/// The published key is short, and HMAC fills a short key with zeros: with ours of 32 bytes the answer is the same.
fn jefe() -> Option<Vec<u8>> {
    let mut key = Zeroizing::new([0; SecretBytes::LEN]);
    key[..4].copy_from_slice(b"Jefe");
    Some(hmac(&SecretBytes::from(key), b"what do ya want for nothing?").to_vec())
}

/// RFC 9106, 5.3 has a secret, which no key file has, and less memory than any may have. So this is its salt and its associated
/// data at our least cost, reckoned by OpenSSL's own Argon2id (called by python's `cryptography`), which gives the
/// answer of the RFC for the numbers of the RFC.
const STRETCHED: &str = "061c5053acea9311cd4526242c3077c22ba327406cfa8d2d9b8594015297f83f";

fn stretched() -> Option<Vec<u8>> {
    let passphrase = Passphrase::new(Zeroizing::new("correct horse battery staple".to_owned())).ok()?;
    Some(stretch(&passphrase, &[2; 16], KdfCost::FLOOR, &[4; 12]).ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    // That no other answer holds is tried where `KnownAnswer` is.
    #[test]
    fn every_published_answer_is_given() {
        let wrong: Vec<_> = all().iter().filter(|answer| !answer.holds()).map(|answer| answer.name).collect();
        assert_eq!((all().len(), wrong), (4, vec![]));
    }
}

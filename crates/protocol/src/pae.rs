//! DSSE's pre-authentication encoding, the frame around everything that is signed or hashed here.
//!
//! It is injective: two different (type, body) pairs never give the same bytes. DSSE v1.0.2, "protocol".

use sha2::{Digest as _, Sha256};

/// `DSSEv1 <len(kind)> <kind> <len(body)> <body>`, lengths in decimal bytes.
#[must_use]
pub fn pae(kind: &str, body: &[u8]) -> Vec<u8> {
    pae_parts(kind, &[body])
}

/// [`pae`] of a body given in parts; the parts must have fixed lengths or frame themselves.
#[must_use]
pub fn pae_parts(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(HEAD_MAX + kind.len() + len);
    head(&mut out, kind, len);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// What stands before the body: for whoever hashes it without putting the two together.
pub(crate) fn pae_head(kind: &str, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_MAX + kind.len());
    head(&mut out, kind, len);
    out
}

/// Bytes of a head beside its kind, at most.
const HEAD_MAX: usize = "DSSEv1 ".len() + 2 * DIGITS_MAX + 3;
/// Digits of the largest length.
const DIGITS_MAX: usize = 20;

fn head(out: &mut Vec<u8>, kind: &str, len: usize) {
    out.extend_from_slice(b"DSSEv1 ");
    decimal(out, kind.len());
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b' ');
    decimal(out, len);
    out.push(b' ');
}

fn decimal(out: &mut Vec<u8>, mut n: usize) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut first = DIGITS_MAX - 1;
    loop {
        digits[first] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
        first -= 1;
    }
    out.extend_from_slice(&digits[first..]);
}

/// SHA-256 of [`pae_parts`].
#[must_use]
pub fn hash(kind: &str, parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(pae_parts(kind, parts)).into()
}

/// Plain SHA-256, for the places where a published format asks for it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_comes_out() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn lengths_are_written_in_decimal_without_leading_zeros() {
        for n in [0, 1, 9, 10, 99, 100, 4096, 1_000_000, usize::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, n);
            assert_eq!(out, n.to_string().into_bytes());
            assert_eq!(pae_head("kind", n), format!("DSSEv1 4 kind {n} ").into_bytes());
            assert!(pae_head("kind", n).len() <= HEAD_MAX + 4);
        }
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn parts_and_whole_agree_and_types_separate() {
        assert_eq!(pae("t", b"abc"), pae_parts("t", &[b"a", b"bc"]));
        assert_ne!(hash("a", &[b"x"]), hash("b", &[b"x"]));
    }
}

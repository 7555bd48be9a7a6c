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
    let mut out = format!("DSSEv1 {} {kind} {len} ", kind.len()).into_bytes();
    out.reserve_exact(len);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
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
    fn parts_and_whole_agree_and_types_separate() {
        assert_eq!(pae("t", b"abc"), pae_parts("t", &[b"a", b"bc"]));
        assert_ne!(hash("a", &[b"x"]), hash("b", &[b"x"]));
    }
}

//! A node's append-only log: the tree over its commitments and the texts in which it is shown to others (C2SP
//! signed-note, tlog-checkpoint, tlog-cosignature, tlog-witness, tlog-tiles, tlog-proof).
//!
//! A leaf is 33 bytes and says nothing: one byte of kind and the commitment to an event (protocol section 7.5). Pure:
//! hashes are read through [`tree::Hashes`], and where they lie is somebody else's business. Refuses to sign a head it
//! was not given; that heads never shrink is [`witness`]'s and the heads file's.

pub mod checkpoint;
pub mod equivocation;
pub mod note;
pub mod policy;
pub mod proof;
pub mod quorum;
pub mod tiles;
pub mod tree;
pub mod witness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A hash in the tree.
pub type Hash = [u8; 32];

/// Bytes of one leaf.
pub const LEAF_LEN: usize = 33;

/// What the one byte before a commitment says: HMAC-SHA256 of a padded opening under a salt of its own.
const KIND_COMMITMENT: u8 = 1;

/// The leaf of an event: `0x01 || commitment`.
#[must_use]
pub fn leaf_data(commitment: &Hash) -> [u8; LEAF_LEN] {
    let mut data = [KIND_COMMITMENT; LEAF_LEN];
    data[1..].copy_from_slice(commitment);
    data
}

/// The commitment in a leaf; `None` for a leaf of a kind this program does not know.
#[must_use]
pub fn commitment(leaf: &[u8]) -> Option<Hash> {
    let (kind, commitment) = leaf.split_first()?;
    (*kind == KIND_COMMITMENT).then_some(())?;
    commitment.try_into().ok()
}

/// The leaf hash of an event.
#[must_use]
pub fn leaf_hash(commitment: &Hash) -> Hash {
    crate::merkle::leaf(&leaf_data(commitment))
}

/// A hash as the texts write it: base64 of RFC 4648, section 4.
fn show_hash(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Reads a hash written so, and in no other way.
fn read_hash(text: &str) -> Option<Hash> {
    let bytes = STANDARD.decode(text).ok()?;
    bytes.try_into().ok()
}

/// Reads a decimal number without sign, blanks or leading zeros.
fn read_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_has_33_bytes_and_gives_its_commitment_back() {
        assert_eq!(leaf_data(&[7; 32])[..2], [1, 7]);
        assert_eq!(commitment(&leaf_data(&[7; 32])), Some([7; 32]));
        assert_eq!(commitment(&[2; 33]), None);
        assert_eq!(commitment(&[1; 32]), None);
        assert_eq!(commitment(&[]), None);
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        assert_eq!(read_number("0"), Some(0));
        assert_eq!(read_number("1204"), Some(1204));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1\r", "18446744073709551616", "1_000", "0x1"] {
            assert_eq!(read_number(wrong), None, "{wrong:?}");
        }
    }
}

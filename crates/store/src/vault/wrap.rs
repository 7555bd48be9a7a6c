//! Wrapped data keys: one per (case, data class) and one per deposited letter, each a row of the wrap table.
//!
//! ```text
//! row key      blind(wrap table, handle || epoch): wraps of the next epoch stand beside those of this one
//! version      1 byte: 1
//! kind         1 byte: 3 case (wrapped under the content compartment's key), 4 letter (the service compartment's)
//! epoch        u32, big-endian
//! nonce, box   XChaCha20-Poly1305(NMK of that epoch, DEK || handle,
//!                  aad = PAE("clearhouse/wrap/v1", row key || version || kind || epoch))
//! ```
//!
//! Refuses a wrap that stands at another key, or that was made in another epoch.

use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use clearhouse_protocol::rows::{Table, Under};
use rand_core::CryptoRng;

use crate::aead;
use crate::changes::Key;
use crate::secret::SecretBytes;
use crate::vault::error::VaultError;
use crate::vault::value::{HANDLE_LEN, Handle, Kind, Tag};

const VERSION: u8 = 1;
const PREFIX_LEN: usize = 1 + 1 + 4;

/// Blind key of a row: HMAC-SHA256(index key, PAE("clearhouse/blind-key/v1", table || key)).
pub(super) fn blind(index: &SecretBytes, table: u8, key: &[u8]) -> Key {
    aead::hmac(index, &pae_parts(labels::BLIND_KEY, &[&[table], key]))
}

/// How values say under which key they are. A handle is a keyed hash: it is found again without being stored, and says
/// nothing to whom the index key is unknown.
pub(super) fn tag(index: &SecretBytes, under: Under) -> Tag {
    let (kind, name) = match under {
        Under::Service => return Tag { kind: Kind::Service, handle: [0; HANDLE_LEN] },
        Under::Evidence => return Tag { kind: Kind::Evidence, handle: [0; HANDLE_LEN] },
        Under::Case(case, class) => (Kind::Case, [case.as_bytes(), &[class]].concat()),
        Under::Letter(digest) => (Kind::Letter, digest.to_vec()),
    };
    let full = blind(index, Table::Wrap as u8, &[&[kind as u8], name.as_slice()].concat());
    let mut handle = [0; HANDLE_LEN];
    handle.copy_from_slice(&full[..HANDLE_LEN]);
    Tag { kind, handle }
}

/// Key of the wrap row of a handle in one epoch.
pub(super) fn row_key(index: &SecretBytes, handle: &Handle, epoch: u32) -> Key {
    blind(index, Table::Wrap as u8, &[handle.as_slice(), &epoch.to_be_bytes()].concat())
}

/// What a wrap says without being opened.
pub(super) struct Label {
    pub(super) kind: Kind,
    pub(super) epoch: u32,
}

/// Reads what a wrap says without being opened.
pub(super) fn label(wrap: &[u8]) -> Result<Label, VaultError> {
    let (prefix, _) = wrap.split_first_chunk::<PREFIX_LEN>().ok_or(VaultError::WrapDamaged)?;
    let [version, kind, epoch @ ..] = *prefix;
    if version > VERSION {
        return Err(VaultError::Newer { found: version, known: VERSION });
    }
    match Kind::from_byte(kind) {
        Some(kind @ (Kind::Case | Kind::Letter)) if version == VERSION => {
            Ok(Label { kind, epoch: u32::from_be_bytes(epoch) })
        }
        Some(Kind::Case | Kind::Letter | Kind::Service | Kind::Evidence) | None => Err(VaultError::WrapDamaged),
    }
}

/// Wraps a data key.
pub(super) fn seal(
    nmk: &SecretBytes,
    row: &Key,
    tag: Tag,
    epoch: u32,
    dek: &SecretBytes,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, VaultError> {
    let prefix = prefix(tag.kind, epoch);
    let framed = aead::seal_framed(nmk, &aad(row, &prefix), &[dek.expose(), &tag.handle], rng)?;
    Ok([prefix.as_slice(), &framed].concat())
}

/// Opens a wrap that stands at `row`.
pub(super) fn open(nmk: &SecretBytes, row: &Key, wrap: &[u8]) -> Result<(SecretBytes, Handle), VaultError> {
    let (prefix, framed) = wrap.split_first_chunk::<PREFIX_LEN>().ok_or(VaultError::WrapDamaged)?;
    let plain = aead::open_framed(nmk, &aad(row, prefix), framed).map_err(|_| VaultError::WrapDamaged)?;
    let (dek, handle) = plain.split_at_checked(SecretBytes::LEN).ok_or(VaultError::WrapDamaged)?;
    let handle = handle.try_into().map_err(|_| VaultError::WrapDamaged)?;
    Ok((SecretBytes::from_slice(dek).ok_or(VaultError::WrapDamaged)?, handle))
}

fn prefix(kind: Kind, epoch: u32) -> [u8; PREFIX_LEN] {
    let [a, b, c, d] = epoch.to_be_bytes();
    [VERSION, kind as u8, a, b, c, d]
}

fn aad(row: &Key, prefix: &[u8; PREFIX_LEN]) -> Vec<u8> {
    pae_parts(labels::WRAP, &[row, prefix])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_says_its_version_kind_and_epoch_and_another_is_refused_by_its_name() {
        let said = |version: u8, kind: u8| label(&[version, kind, 0, 0, 1, 2, 99]);
        for kind in [Kind::Case, Kind::Letter] {
            let label = said(VERSION, kind as u8).ok().unwrap();
            assert!(label.kind == kind && label.epoch == 258);
        }
        assert!(matches!(said(VERSION + 1, 3), Err(VaultError::Newer { found: 2, known: 1 })));
        assert!(matches!(said(0, 3), Err(VaultError::WrapDamaged)));
        // Keys that are in the key file are never wrapped.
        for kind in [0, Kind::Service as u8, Kind::Evidence as u8, 5] {
            assert!(matches!(said(VERSION, kind), Err(VaultError::WrapDamaged)), "{kind}");
        }
        assert!(matches!(label(&[VERSION, 3, 0, 0, 0]), Err(VaultError::WrapDamaged)));
    }
}

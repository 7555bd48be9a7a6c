//! Every way the vault refuses, each with what to do about it. Never a byte of what was refused.

use crate::contract::StoreError;

/// Why something was not sealed or not opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The case keys are not there.
    #[error("cases are locked; unlock them first")]
    Locked,
    /// The value does not open: it was changed, or stands where it was not put, or was sealed for another node.
    #[error("a stored value of table {table} does not open; run doctor and put back what it names")]
    Damaged {
        /// The table.
        table: u8,
    },
    /// A wrapped data key does not open.
    #[error("a wrapped key in the store does not open; run doctor and put back what it names")]
    WrapDamaged,
    /// The key of the value is no longer in the store: what it sealed was erased.
    #[error("what this value held was erased")]
    Erased,
    /// Written by a newer program.
    #[error("a stored value is of version {found}, this program reads version {known}; use the newer program")]
    Newer {
        /// The value's version.
        found: u8,
        /// The version this program reads.
        known: u8,
    },
    /// A logical key above [`KEY_MAX`](super::KEY_MAX).
    #[error("a row key of table {table} is too long")]
    KeyTooLong {
        /// The table.
        table: u8,
    },
    /// A value above what the store takes.
    #[error("a value of table {table} is too large for the store")]
    ValueTooLong {
        /// The table.
        table: u8,
    },
    /// A caller tried to write wrapped keys itself.
    #[error("wrapped keys are written by the vault alone")]
    WrapTable,
    /// The same batch already writes what was expected to be new.
    #[error("a row of table {table} is expected to be new and written twice in one batch")]
    NotNew {
        /// The table.
        table: u8,
    },
    /// A value was to be sealed under a key that this batch, or one under way, erases.
    #[error("a value is written under a key that is being erased")]
    BeingErased,
    /// Keys are being wrapped for the next epoch; a new one would be left behind.
    #[error("an erasure is under way; try again when it is done")]
    Turning,
    /// The keys given are of another epoch than the vault's.
    #[error("these keys are of another epoch; open the key file again")]
    OtherEpoch,
    /// The cipher refused. Cannot happen within the limits.
    #[error("the cipher failed; nothing was written")]
    Cipher,
    /// The store did not give a wrapped key.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<crate::aead::Shut> for VaultError {
    fn from(_: crate::aead::Shut) -> Self {
        Self::Cipher
    }
}

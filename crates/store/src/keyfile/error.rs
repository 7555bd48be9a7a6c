//! Every way a key file can be refused, each with what to do about it.

use crate::passphrase::PassphraseError;
use crate::private_file::PrivateFileError;

/// Why a key file was not opened or not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file or its neighbour, the device secret, could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A pass phrase that may not be chosen.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// It does not begin as a key file does.
    #[error("this is not a clearhouse key file; put back the copy from your backup")]
    NotAKeyFile,
    /// Its checksum or its structure does not hold.
    #[error("the key file is damaged; put back the copy from your backup")]
    Damaged,
    /// A slot opened, and what it opens was altered, or the device secret is another one's or an older one.
    #[error("the key file does not fit its device secret, or was altered; put both back from the same backup")]
    Altered,
    /// Written by a newer program. The file is left as it is.
    #[error("the key file is of version {found}, this program reads version {known}; use the newer program")]
    Newer {
        /// The file's version.
        found: u32,
        /// The version this program reads.
        known: u32,
    },
    /// A slot's Argon2id numbers are below the floor: someone may have weakened the file.
    #[error("slot {slot} of the key file asks for less work than is safe; do not use this file, put back your backup")]
    WeakKdf {
        /// The slot.
        slot: u32,
    },
    /// A slot's Argon2id numbers would exhaust this machine.
    #[error("slot {slot} of the key file asks for more work than any machine here does; put back your backup")]
    ExcessiveKdf {
        /// The slot.
        slot: u32,
    },
    /// Not enough free memory for Argon2id.
    #[error("not enough free memory to check a pass phrase ({mib} MiB are needed); close other programs and try again")]
    NoMemory {
        /// What is needed.
        mib: u32,
    },
    /// No slot opens with this pass phrase. A damaged slot looks the same on purpose.
    #[error("the pass phrase does not open this key file")]
    WrongPassphrase,
    /// No slot opens with this credential.
    #[error("the credential does not open this key file; use the one that was made with it")]
    WrongCredential,
    /// The slot opens the case keys only; the node must be started with another one.
    #[error("this pass phrase opens cases, not the node; start the node with its own pass phrase or credential")]
    OpensContentOnly,
    /// The slot does not open the case keys.
    #[error("this pass phrase starts the node, it does not open cases")]
    OpensServiceOnly,
    /// It belongs to another network.
    #[error("this key file belongs to another network; put back this node's own from your backup")]
    OtherNet,
    /// It belongs to another node.
    #[error("this key file belongs to another node; put back this node's own from your backup")]
    OtherNode,
    /// The case keys are locked, and the change needs them.
    #[error("cases are locked; unlock them first")]
    ContentLocked,
    /// No slot has this number.
    #[error("the key file has no slot {0}")]
    NoSuchSlot(u32),
    /// Removing it would leave nothing that opens the service keys, or nothing that opens the case keys.
    #[error("slot {0} is the last one that opens this; add another first")]
    LastSlot(u32),
    /// [`SLOTS_MAX`](super::SLOTS_MAX) or [`PASSPHRASE_SLOTS_MAX`](super::PASSPHRASE_SLOTS_MAX) is reached.
    #[error("the key file has no room for another slot of this kind; remove one first")]
    TooManySlots,
    /// More than [`PREKEYS_MAX`](super::PREKEYS_MAX).
    #[error("too many prekeys for the key file")]
    TooManyPrekeys,
    /// An earlier write failed, so what is on disk may be newer than what is in memory.
    #[error("an earlier change of the key file did not finish; restart before changing it again")]
    Unfinished,
    /// The cipher refused. Cannot happen with the sizes used here.
    #[error("the cipher failed; nothing was written")]
    Cipher,
}

impl From<crate::aead::Shut> for KeyFileError {
    fn from(_: crate::aead::Shut) -> Self {
        Self::Cipher
    }
}

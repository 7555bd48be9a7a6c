//! The key file: the one small file that opens everything a node keeps (protocol section 7.10, decisions 21 and 22).
//!
//! Two compartments under random box keys: *service*, open while the process runs, and *content*, dropped by lock.
//! Slots (a pass phrase, a service's credential, a person) each give the box keys of what they open. While a
//! compartment is open the file can be rewritten without anyone's pass phrase. The bytes are described in
//! `keyfile/format.rs`.
//!
//! Refuses: a file others can read, weaker key stretching than the floor, a newer version (left untouched), a damaged
//! or altered file, and to write over a file that changed meanwhile. Keys have no `Debug`, no `Clone`, and are wiped
//! when dropped. The pass phrase alone opens nothing: the device secret lies in its own file.

mod device;
mod error;
pub(crate) mod format;
pub(crate) mod kdf;
mod keys;
mod opened;
mod slot;
mod verifier;

use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{Net, NodeId, StaffId};
use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use device::DeviceSecret;
pub use error::KeyFileError;
pub use kdf::KdfCost;
pub use keys::{ContentKeys, Seed, ServiceKeys};
pub use opened::{NextEpoch, Opened};
pub use slot::{NewSlot, SlotSecret};
pub use verifier::Verifier;

use crate::aead;
use crate::private_file::{self, Owner};
use crate::secret::SecretBytes;
use format::{Body, VERSION};

/// Slots of one key file.
pub const SLOTS_MAX: usize = 64;
/// Pass-phrase slots among them: each costs a wrong guess its full time.
pub const PASSPHRASE_SLOTS_MAX: usize = 4;
/// Prekey seeds kept: five weeks ahead and five behind, with room.
pub const PREKEYS_MAX: usize = 32;

/// Who a slot is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotKind {
    /// A pass phrase of the node.
    Passphrase,
    /// A service's credential.
    Credential,
    /// A member of staff.
    Person(StaffId),
}

/// Which compartments a slot opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opens {
    /// The node's own keys.
    Service,
    /// The case keys.
    Content,
    /// Both: an office of one, or an unattended server that keeps content open by policy.
    Both,
}

impl Opens {
    fn bits(self) -> u32 {
        u32::from(self.service()) | u32::from(self.content()) << 1
    }

    fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            1 => Some(Self::Service),
            2 => Some(Self::Content),
            3 => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether the service keys are among them.
    #[must_use]
    pub fn service(self) -> bool {
        matches!(self, Self::Service | Self::Both)
    }

    /// Whether the case keys are among them.
    #[must_use]
    pub fn content(self) -> bool {
        matches!(self, Self::Content | Self::Both)
    }
}

/// A slot as anyone may see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotInfo {
    /// Its number; never used twice.
    pub id: u32,
    /// Who it is for.
    pub kind: SlotKind,
    /// What it opens.
    pub opens: Opens,
    /// What a guess costs; `None` for a credential, which nobody guesses.
    pub cost: Option<KdfCost>,
}

/// Makes and reads key files.
pub enum KeyFile {}

impl KeyFile {
    /// Makes a key file with the given keys and slots, mode 0600, and opens it.
    ///
    /// # Errors
    /// [`KeyFileError::File`] when one exists already; [`KeyFileError::LastSlot`] (0) when no slot opens the service
    /// keys or none opens the case keys; the errors of adding a slot.
    pub fn create(
        path: &Path,
        (net, node): (Net, NodeId),
        (service, content): (ServiceKeys, ContentKeys),
        slots: &[NewSlot<'_>],
        device: &DeviceSecret,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, KeyFileError> {
        Opened::create(path, (net, node), (service, content), slots, device, rng)
    }

    /// Reads a key file and checks all that can be checked without a secret. Nothing is decrypted.
    ///
    /// # Errors
    /// [`KeyFileError::File`], [`KeyFileError::NotAKeyFile`], [`KeyFileError::Newer`], [`KeyFileError::Damaged`],
    /// [`KeyFileError::WeakKdf`], [`KeyFileError::ExcessiveKdf`].
    pub fn open(path: &Path) -> Result<Locked, KeyFileError> {
        let image = private_file::read(path, format::FILE_MAX, Owner::Me)?;
        let body = Body::from_file(&image)?;
        // Only now: a file of a newer version, and whatever that version left beside it, stays untouched.
        private_file::settle(path)?;
        Ok(Locked { path: path.to_owned(), image: image.to_vec(), body })
    }

    /// Overwrites and removes a key file: with the device secret's, the panic wipe. What was in it comes back from a
    /// backup only.
    ///
    /// # Errors
    /// [`KeyFileError::File`].
    pub fn destroy(path: &Path) -> Result<(), KeyFileError> {
        Ok(private_file::destroy(path)?)
    }
}

/// A key file that was read and not opened.
pub struct Locked {
    path: PathBuf,
    image: Vec<u8>,
    body: Body,
}

impl Locked {
    /// The network it is for.
    #[must_use]
    pub fn net(&self) -> Net {
        self.body.net()
    }

    /// The node it is for.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.body.node()
    }

    /// The epoch of its wrapping keys.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.body.epoch
    }

    /// Its slots, by number.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        slots(&self.body)
    }

    /// Refuses another network's or another node's file.
    ///
    /// # Errors
    /// [`KeyFileError::OtherNet`], [`KeyFileError::OtherNode`].
    pub fn expect(&self, net: Net, node: NodeId) -> Result<(), KeyFileError> {
        if self.net() != net {
            return Err(KeyFileError::OtherNet);
        }
        if self.node() != node {
            return Err(KeyFileError::OtherNode);
        }
        Ok(())
    }

    /// Opens the service compartment, and the content compartment when the slot opens both. Takes as long as the
    /// slot's cost says, for each slot of that kind; after a wrong one wait
    /// [`pause_after`](crate::passphrase::pause_after). Finishes an erasure that was cut short.
    ///
    /// # Errors
    /// [`KeyFileError::WrongPassphrase`] or [`KeyFileError::WrongCredential`], for a damaged slot too;
    /// [`KeyFileError::OpensContentOnly`]; [`KeyFileError::Altered`]; [`KeyFileError::NoMemory`].
    pub fn unlock(&self, secret: &SlotSecret<'_>, device: &DeviceSecret) -> Result<Opened, KeyFileError> {
        Opened::unlock(self, secret, device)
    }
}

fn slots(body: &Body) -> Vec<SlotInfo> {
    let read = body.slots.iter().filter_map(|record| record.read().ok());
    read.map(|s| SlotInfo { id: s.id, kind: s.kind, opens: s.opens, cost: s.stretch.map(|(cost, _)| cost) }).collect()
}

/// The two compartments; the numbers are in the bytes.
#[derive(Clone, Copy)]
enum Compartment {
    Service = 1,
    Content = 2,
}

/// Seals or opens one compartment of `body` under its box key and the device's turn.
struct Sealing<'a> {
    which: Compartment,
    body: &'a Body,
    box_key: &'a SecretBytes,
    turn: &'a SecretBytes,
}

impl Sealing<'_> {
    fn seal(&self, plain: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, KeyFileError> {
        Ok(aead::seal_framed(&self.key()?, &self.aad(), &[plain], rng)?)
    }

    fn open(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let sealed = match self.which {
            Compartment::Service => &self.body.service,
            Compartment::Content => &self.body.content,
        };
        aead::open_framed(&self.key()?, &self.aad(), sealed).map_err(|_| KeyFileError::Altered)
    }

    fn key(&self) -> Result<SecretBytes, KeyFileError> {
        let info = pae_parts(labels::KEY_COMPARTMENT, &[&[self.which as u8], &self.body.net, &self.body.node]);
        Ok(aead::derive(&[self.box_key.expose(), self.turn.expose()], &info)?)
    }

    fn aad(&self) -> Vec<u8> {
        let bound = match self.which {
            Compartment::Service => self.body.without_lid(),
            Compartment::Content => {
                [self.body.net.as_slice(), &self.body.node, &self.body.epoch.to_be_bytes()].concat()
            }
        };
        pae_parts(labels::KEY_COMPARTMENT, &[&[self.which as u8], &VERSION.to_be_bytes(), &bound])
    }
}

#[cfg(test)]
mod tests;

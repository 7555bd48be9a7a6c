//! The device secret: what a stolen key file and a guessed pass phrase still lack.
//!
//! One small file of 64 bytes, on this machine or on a stick: 32 bytes that go into every slot's key and stay for good,
//! then 32 that go into the compartments' keys and *turn* with every erasure, so that an old block of the key file
//! found on a worn disk opens nothing (protocol section 7.10, "erase a case"). Slots need only the first half: that is
//! why an erasure does not need everyone's pass phrase. Refuses to print itself.

use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::keyfile::error::KeyFileError;
use crate::private_file::{self, Owner, Previous, PrivateFileError};
use crate::secret::{SecretBytes, never};

/// Bytes of the file.
const FILE_LEN: usize = 64;
/// Suffix of the file that holds the next turn while the key file is being replaced.
const NEXT: &str = ".next";

/// A device secret and where it lives. Zeroized when dropped; has no `Debug` and no `Clone`.
pub struct DeviceSecret {
    path: PathBuf,
    fixed: SecretBytes,
    turn: SecretBytes,
    next: Option<SecretBytes>,
}
never!(DeviceSecret: std::fmt::Debug, Clone);

impl DeviceSecret {
    /// Makes a random device secret and its file of mode 0600. An existing file is refused.
    ///
    /// # Errors
    /// [`KeyFileError::File`].
    pub fn create(path: &Path, rng: &mut impl CryptoRng) -> Result<Self, KeyFileError> {
        let secret =
            Self { path: path.to_owned(), fixed: SecretBytes::random(rng), turn: SecretBytes::random(rng), next: None };
        private_file::create(path, &secret.image(&secret.turn))?;
        Ok(secret)
    }

    /// Reads a device secret, and the one staged beside it if an erasure was cut short.
    ///
    /// # Errors
    /// [`KeyFileError::File`]; [`KeyFileError::Damaged`] when it has not 64 bytes.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        private_file::settle(path)?;
        let (fixed, turn) = halves(&private_file::read(path, FILE_LEN, Owner::Me)?)?;
        let next = match private_file::read(&private_file::sibling(path, NEXT), FILE_LEN, Owner::Me) {
            Ok(bytes) => Some(halves(&bytes)?.1),
            Err(PrivateFileError::Missing { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        Ok(Self { path: path.to_owned(), fixed, turn, next })
    }

    /// Overwrites and removes the file: without it no slot opens. For the panic wipe.
    ///
    /// # Errors
    /// [`KeyFileError::File`].
    pub fn destroy(path: &Path) -> Result<(), KeyFileError> {
        private_file::destroy(&private_file::sibling(path, NEXT))?;
        Ok(private_file::destroy(path)?)
    }

    pub(crate) fn fixed(&self) -> &SecretBytes {
        &self.fixed
    }

    /// The turns a key file may be under: the current one, then the staged one.
    pub(crate) fn turns(&self) -> impl Iterator<Item = &SecretBytes> {
        std::iter::once(&self.turn).chain(&self.next)
    }

    /// A copy that holds `turn` as its current one.
    pub(crate) fn at(&self, turn: &SecretBytes) -> Self {
        Self { path: self.path.clone(), fixed: self.fixed.duplicate(), turn: turn.duplicate(), next: None }
    }

    /// The turn in use.
    pub(crate) fn turn(&self) -> &SecretBytes {
        &self.turn
    }

    /// Puts `turn` beside the file, durably, before a key file under it is written.
    pub(crate) fn stage(&self, turn: &SecretBytes) -> Result<(), KeyFileError> {
        let path = private_file::sibling(&self.path, NEXT);
        // A staged turn that was never used opens nothing; the next one takes its place.
        private_file::destroy(&path)?;
        Ok(private_file::create(&path, &self.image(turn))?)
    }

    /// Makes `turn` the file's own and destroys the turn it replaces. Repeating it is harmless.
    pub(crate) fn promote(&self, turn: &SecretBytes) -> Result<(), KeyFileError> {
        let current = private_file::read(&self.path, FILE_LEN, Owner::Me)?;
        let image = self.image(turn);
        if *current != *image {
            private_file::replace(&self.path, &current, &image, Previous::Erase)?;
        }
        Ok(private_file::destroy(&private_file::sibling(&self.path, NEXT))?)
    }

    fn image(&self, turn: &SecretBytes) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([*self.fixed.expose(), *turn.expose()].concat())
    }
}

fn halves(bytes: &[u8]) -> Result<(SecretBytes, SecretBytes), KeyFileError> {
    if bytes.len() != FILE_LEN {
        return Err(KeyFileError::Damaged);
    }
    let (fixed, turn) = bytes.split_at(SecretBytes::LEN);
    SecretBytes::from_slice(fixed).zip(SecretBytes::from_slice(turn)).ok_or(KeyFileError::Damaged)
}

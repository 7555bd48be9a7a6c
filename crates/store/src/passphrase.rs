//! Where a secret typed or handed to a program comes from, and how long a wrong guess must wait.
//!
//! Refuses secrets from arguments or the environment by offering no such door, and files that others can read.
//! Prompting belongs to the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::private_file::{self, Owner, PrivateFileError};
use crate::secret::{SecretBytes, never};

/// Longest pass phrase, in bytes.
pub const PASSPHRASE_MAX: usize = 1024;
/// As much of a file as is read of it: with a line break, of two bytes at most.
const FILE_MAX: usize = PASSPHRASE_MAX + 2;
/// Shortest pass phrase that is accepted when one is chosen, in characters.
pub const PASSPHRASE_MIN_CHARS: usize = 12;

/// Why a pass phrase or credential was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing in it.
    #[error("the pass phrase is empty")]
    Empty,
    /// More than [`PASSPHRASE_MAX`] bytes.
    #[error("the pass phrase is longer than {PASSPHRASE_MAX} bytes")]
    TooLong,
    /// Not UTF-8, has a line break or another control character: it could not be typed again.
    #[error("the pass phrase holds a line break or another character that cannot be typed")]
    NotTypable,
    /// Fewer than [`PASSPHRASE_MIN_CHARS`] characters where one is chosen.
    #[error("a pass phrase needs at least {PASSPHRASE_MIN_CHARS} characters; five or six random words are better")]
    TooShort,
    /// A credential file has not exactly 32 bytes.
    #[error("{} is not a credential: it must hold exactly 32 random bytes", .path.display())]
    NotACredential {
        /// The file.
        path: PathBuf,
    },
    /// The file itself.
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// A pass phrase. Zeroized when dropped; has no `Debug` and no `Clone`.
pub struct Passphrase(Zeroizing<Vec<u8>>);
never!(Passphrase: std::fmt::Debug, Clone);

impl Passphrase {
    /// Takes a pass phrase as typed.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`], [`PassphraseError::TooLong`] or [`PassphraseError::NotTypable`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        let bytes = Zeroizing::new(text.as_bytes().to_vec());
        Self::checked(bytes)
    }

    /// Reads a pass phrase from a file of mode 0600 or 0400 that this user (or root, for a service) owns. One line
    /// break at its end is not part of it.
    ///
    /// # Errors
    /// As [`Passphrase::new`], and [`PassphraseError::File`].
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let mut bytes = private_file::read(path, FILE_MAX, Owner::MeOrRoot).map_err(|error| {
            let too_long = matches!(error, PrivateFileError::TooLong { .. });
            if too_long { PassphraseError::TooLong } else { PassphraseError::File(error) }
        })?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::checked(bytes)
    }

    fn checked(bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        if bytes.is_empty() {
            return Err(PassphraseError::Empty);
        }
        if bytes.len() > PASSPHRASE_MAX {
            return Err(PassphraseError::TooLong);
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(PassphraseError::NotTypable),
        }
    }

    /// Whether it may be chosen for a new slot or a new sign-in.
    ///
    /// # Errors
    /// [`PassphraseError::TooShort`].
    pub fn check_new(&self) -> Result<(), PassphraseError> {
        let chars = std::str::from_utf8(&self.0).map_or(0, |text| text.chars().count());
        if chars < PASSPHRASE_MIN_CHARS { Err(PassphraseError::TooShort) } else { Ok(()) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Thirty-two random bytes that stand for a pass phrase where nobody is there to type one: a service, a test.
/// Zeroized when dropped; has no `Debug` and no `Clone`.
pub struct Credential(pub(crate) SecretBytes);
never!(Credential: std::fmt::Debug, Clone);

impl Credential {
    /// Reads a credential: a file of exactly 32 bytes, mode 0600 or 0400, of this user or of root.
    ///
    /// # Errors
    /// [`PassphraseError::NotACredential`] or [`PassphraseError::File`].
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let wrong = || PassphraseError::NotACredential { path: path.to_owned() };
        match private_file::read(path, SecretBytes::LEN, Owner::MeOrRoot) {
            Ok(bytes) => SecretBytes::from_slice(&bytes).map(Self).ok_or_else(wrong),
            Err(PrivateFileError::TooLong { .. }) => Err(wrong()),
            Err(other) => Err(PassphraseError::File(other)),
        }
    }

    /// Makes a credential and its file of mode 0600. An existing file is refused.
    ///
    /// # Errors
    /// [`PassphraseError::File`].
    pub fn create(path: &Path, rng: &mut impl CryptoRng) -> Result<Self, PassphraseError> {
        let secret = SecretBytes::random(rng);
        private_file::create(path, secret.expose())?;
        Ok(Self(secret))
    }
}

/// How long to wait before the next try after `failures` wrong ones in a row: nothing for the first three, then
/// doubling from one second up to [`PAUSE_MAX`]. It never becomes a lock-out: the owner must get in at night.
#[must_use]
pub fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_TRIES) {
        None | Some(0) => Duration::ZERO,
        Some(more) => Duration::from_secs(1u64.checked_shl(more - 1).unwrap_or(u64::MAX)).min(PAUSE_MAX),
    }
}

/// Wrong tries without a pause.
pub const FREE_TRIES: u32 = 3;
/// Longest pause between two tries.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::private_file::tests::{Folder, chmod};

    fn from_bytes(bytes: &[u8]) -> Result<Passphrase, PassphraseError> {
        let folder = Folder::new();
        let path = folder.file("pass");
        fs::write(&path, bytes).unwrap();
        chmod(&path, 0o600);
        Passphrase::from_file(&path)
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_it() {
        assert_eq!(from_bytes(b"correct horse").unwrap().as_bytes(), b"correct horse");
        assert_eq!(from_bytes(b"correct horse\n").unwrap().as_bytes(), b"correct horse");
        assert_eq!(from_bytes(b"correct horse\r\n").unwrap().as_bytes(), b"correct horse");
        assert_eq!(from_bytes(b" spaces stay \n").unwrap().as_bytes(), b" spaces stay ");
        assert!(matches!(from_bytes(b"two\nlines\n"), Err(PassphraseError::NotTypable)));
        assert!(matches!(from_bytes(b"twice\n\n"), Err(PassphraseError::NotTypable)));
        assert!(matches!(from_bytes(b"\n"), Err(PassphraseError::Empty)));
        assert!(matches!(from_bytes(b"\xff"), Err(PassphraseError::NotTypable)));
        assert!(from_bytes(&[b'a'; PASSPHRASE_MAX]).is_ok());
        assert!(matches!(from_bytes(&[b'a'; PASSPHRASE_MAX + 1]), Err(PassphraseError::TooLong)));
        assert!(matches!(from_bytes(&[b'a'; PASSPHRASE_MAX + 9]), Err(PassphraseError::TooLong)));
    }

    #[test]
    fn a_pass_phrase_file_others_can_read_is_refused() {
        let folder = Folder::new();
        let path = folder.file("pass");
        fs::write(&path, b"correct horse").unwrap();
        chmod(&path, 0o644);
        let error = Passphrase::from_file(&path).err().unwrap();
        assert!(error.to_string().ends_with(&format!("run: chmod 600 {}", path.display())), "{error}");
    }

    #[test]
    fn a_new_pass_phrase_is_counted_in_characters_not_bytes() {
        assert!(from_bytes("ђђђђђђђђђђђ".as_bytes()).unwrap().check_new().is_err());
        assert!(from_bytes("ђђђђђђђђђђђђ".as_bytes()).unwrap().check_new().is_ok());
    }

    #[test]
    fn a_credential_has_exactly_32_bytes() {
        let folder = Folder::new();
        let path = folder.file("credential");
        for len in [0, 31, 33] {
            fs::write(&path, vec![7; len]).unwrap();
            chmod(&path, 0o400);
            assert!(matches!(Credential::from_file(&path), Err(PassphraseError::NotACredential { .. })), "{len}");
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, [7; 32]).unwrap();
        chmod(&path, 0o400);
        assert_eq!(Credential::from_file(&path).ok().unwrap().0.expose(), &[7; 32]);
    }

    #[test]
    fn the_pause_grows_and_never_becomes_a_lock_out() {
        let seconds: Vec<_> = (0..12).map(|n| pause_after(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }
}

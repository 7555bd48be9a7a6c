//! Sign-in of a person: a record that knows her pass phrase when it hears it, and opens nothing.
//!
//! It is independent of her slot in the key file (another salt, another use of the output), so that a page can check
//! who is there without touching a key. Kept among the staff rows, sealed. Refuses costs below the floor.

use clearhouse_protocol::ids::StaffId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;

use crate::keyfile::error::KeyFileError;
use crate::keyfile::kdf::{self, CostFault, KdfCost, SALT_LEN};
use crate::passphrase::Passphrase;

/// A sign-in verifier: version, Argon2id numbers, salt and output.
///
/// Bytes: `1 || m in KiB || t || p (u32 big-endian each) || salt[16] || Argon2id[32]`, 61 in all; the staff id is
/// Argon2id's associated data, so one person's record never signs in another.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    cost: KdfCost,
    salt: [u8; SALT_LEN],
    output: [u8; 32],
}

const VERSION: u8 = 1;

impl Verifier {
    /// Length of its bytes.
    pub const LEN: usize = 1 + 12 + SALT_LEN + 32;

    /// Makes the verifier of a newly chosen pass phrase. Takes as long as `cost` says; call it off the main task.
    ///
    /// # Errors
    /// [`KeyFileError::Passphrase`] when it is too short, [`KeyFileError::NoMemory`].
    pub fn make(
        staff: StaffId,
        passphrase: &Passphrase,
        cost: KdfCost,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        passphrase.check_new()?;
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        Ok(Self { cost, salt, output: output(staff, passphrase, &salt, cost)? })
    }

    /// Whether this is `staff`'s pass phrase. The comparison takes the same time whatever it finds.
    ///
    /// # Errors
    /// [`KeyFileError::NoMemory`].
    pub fn check(&self, staff: StaffId, passphrase: &Passphrase) -> Result<bool, KeyFileError> {
        Ok(output(staff, passphrase, &self.salt, self.cost)?.ct_eq(&self.output).into())
    }

    /// The bytes to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [[VERSION].as_slice(), &self.cost.to_bytes(), &self.salt, &self.output].concat()
    }

    /// Reads kept bytes.
    ///
    /// # Errors
    /// [`KeyFileError::Damaged`]; [`KeyFileError::Newer`]; [`KeyFileError::WeakKdf`] or
    /// [`KeyFileError::ExcessiveKdf`] (slot 0) for numbers out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let (version, rest) = bytes.split_first().ok_or(KeyFileError::Damaged)?;
        if *version > VERSION {
            return Err(KeyFileError::Newer { found: u32::from(*version), known: u32::from(VERSION) });
        }
        let exact: &[u8; Self::LEN - 1] = rest.try_into().map_err(|_| KeyFileError::Damaged)?;
        let number = |at: usize| exact[at..].first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        let cost = KdfCost::read(number(0), number(4), number(8)).map_err(|fault| match fault {
            CostFault::Weak => KeyFileError::WeakKdf { slot: 0 },
            CostFault::Excessive => KeyFileError::ExcessiveKdf { slot: 0 },
        })?;
        let (salt, output) = exact[12..].split_first_chunk().ok_or(KeyFileError::Damaged)?;
        let output = output.try_into().map_err(|_| KeyFileError::Damaged)?;
        if *version != VERSION {
            return Err(KeyFileError::Damaged);
        }
        Ok(Self { cost, salt: *salt, output })
    }
}

fn output(
    staff: StaffId,
    passphrase: &Passphrase,
    salt: &[u8; SALT_LEN],
    cost: KdfCost,
) -> Result<[u8; 32], KeyFileError> {
    let stretched = kdf::stretch(passphrase, salt, cost, staff.as_bytes())
        .map_err(|_| KeyFileError::NoMemory { mib: cost.m_kib().div_ceil(1024) })?;
    Ok(*stretched)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use zeroize::Zeroizing;

    use super::*;

    fn pass(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn it_knows_its_person_and_her_pass_phrase_and_nobody_else() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (ana, mira) = (StaffId([1; 16]), StaffId([2; 16]));
        let made = Verifier::make(ana, &pass("correct horse battery"), KdfCost::TINY, &mut rng).unwrap();
        let kept = Verifier::from_bytes(&made.to_bytes()).ok().unwrap();
        assert!(kept.check(ana, &pass("correct horse battery")).unwrap());
        assert!(!kept.check(ana, &pass("correct horse batterz")).unwrap());
        assert!(!kept.check(mira, &pass("correct horse battery")).unwrap());
    }

    #[test]
    fn weak_newer_and_cut_records_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let made = Verifier::make(StaffId([1; 16]), &pass("correct horse battery"), KdfCost::TINY, &mut rng).unwrap();
        let bytes = made.to_bytes();
        assert_eq!(bytes.len(), Verifier::LEN);
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            Verifier::from_bytes(&bytes).err().unwrap()
        };
        assert!(matches!(with(0, 2), KeyFileError::Newer { found: 2, known: 1 }));
        assert!(matches!(with(0, 0), KeyFileError::Damaged));
        assert!(matches!(with(4, 31), KeyFileError::WeakKdf { .. }));
        assert!(matches!(Verifier::from_bytes(&bytes[..60]), Err(KeyFileError::Damaged)));
        assert!(matches!(Verifier::from_bytes(&[]), Err(KeyFileError::Damaged)));
        assert!(Verifier::make(StaffId([1; 16]), &pass("too short"), KdfCost::TINY, &mut rng).is_err());
    }
}

//! An organisation's recovery key: backups are sealed to it, and the sheets of two of three people open them (protocol
//! section 7.10). A node keeps the public half and a mark; the seed is on paper, in shares, and nowhere else.
//!
//! The mark is a secret that follows from the seed. What a node makes carries a code under it, so that the sheets tell the
//! node's own backups from what somebody else sealed to a public key. Refuses to open what was sealed for another
//! purpose, and to print or copy a secret.

mod sheet;

use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use sheet::{SHEET_TEXT_MAX, SHEETS, SHEETS_NEEDED, Sheet, SheetFault, join};

use crate::keys::{Kem, KeyFault, Prekey, PrekeySecret};
use crate::labels;
use crate::limits::KEM_ENC_LEN;
use crate::pae::{pae, pae_parts};
use crate::words::words;

type Aead = hpke::aead::ChaCha20Poly1305;
type Kdf = hpke::kdf::HkdfSha256;

/// Bytes of the code under the mark.
pub const MARK_LEN: usize = 32;

/// What was to be opened or sealed is not to be. Without a reason, as for every seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recovery key does not open this")]
pub struct Shut;

/// The seed, as long as somebody holds two sheets together. Wiped when dropped; no `Debug`, no `Clone`.
pub struct RecoverySecret {
    secret: PrekeySecret,
}

/// What a node keeps: the public key, and the mark. Wiped when dropped; no `Debug`.
pub struct RecoveryKey {
    public: Prekey,
    mark: Zeroizing<[u8; 32]>,
}

impl RecoverySecret {
    /// A new one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { secret: PrekeySecret::generate(rng) }
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        Self { secret: PrekeySecret::from_seed(seed) }
    }

    fn seed(&self) -> &[u8; 32] {
        self.secret.seed()
    }

    /// What a node keeps of it.
    ///
    /// # Errors
    /// [`KeyFault`] only if the KEM refuses its own seed.
    pub fn key(&self) -> Result<RecoveryKey, KeyFault> {
        let mut mark = Zeroizing::new([0u8; 32]);
        let info = pae_parts(labels::RECOVERY_MARK, &[]);
        Hkdf::<Sha256>::new(None, self.seed()).expand(&info, mark.as_mut()).map_err(|_| KeyFault::Length)?;
        Ok(RecoveryKey { public: self.secret.public()?, mark })
    }

    /// Opens what [`RecoveryKey::seal`] made for this purpose.
    ///
    /// # Errors
    /// [`Shut`].
    pub fn open(&self, purpose: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
        let (enc, sealed) = sealed.split_at_checked(KEM_ENC_LEN).ok_or(Shut)?;
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| Shut)?;
        let (secret, info) = (self.secret.private().map_err(|_| Shut)?, pae(labels::RECOVERY, purpose));
        hpke::single_shot_open::<Aead, Kdf, Kem>(&OpModeR::Base, secret, &enc, &info, sealed, b"")
            .map(Zeroizing::new)
            .map_err(|_| Shut)
    }
}

impl RecoveryKey {
    /// A key as it was kept.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn kept(public: &[u8], mark: &[u8]) -> Result<Self, KeyFault> {
        let mark = mark.try_into().map(Zeroizing::new).map_err(|_| KeyFault::Length)?;
        Ok(Self { public: Prekey::admit(public)?, mark })
    }

    /// The public bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.public.as_bytes()
    }

    /// The mark, to be kept where nobody but the node reads it.
    #[must_use]
    pub fn mark(&self) -> &[u8; 32] {
        &self.mark
    }

    /// A second copy, for a key file that is written anew.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { public: self.public.clone(), mark: self.mark.clone() }
    }

    /// Eight words that name it, on each sheet and in a backup.
    #[must_use]
    pub fn words(&self) -> String {
        words(self.public.as_bytes())
    }

    /// Seals for whoever holds the seed. `purpose` says what it is and of what; it must be the same to open it.
    ///
    /// # Errors
    /// [`Shut`] for a key that is not sound.
    pub fn seal(&self, purpose: &[u8], plain: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<u8>, Shut> {
        let (key, info) = (self.public.key().map_err(|_| Shut)?, pae(labels::RECOVERY, purpose));
        let sealed = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, key, &info, plain, b"", rng);
        let (enc, sealed) = sealed.map_err(|_| Shut)?;
        Ok([enc.to_bytes().as_slice(), &sealed].concat())
    }

    /// The code under the mark: only a node of this organisation, and two sheets, can make it.
    #[must_use]
    pub fn code(&self, of: &[u8]) -> [u8; MARK_LEN] {
        self.keyed(of).finalize().into_bytes().into()
    }

    /// Whether the code is that of these bytes.
    #[must_use]
    pub fn holds(&self, of: &[u8], code: &[u8]) -> bool {
        self.keyed(of).verify_slice(code).is_ok()
    }

    fn keyed(&self, of: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC accepts every key length")]
        let mut code = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.mark.as_ref()).expect("any key length");
        code.update(&pae(labels::RECOVERY_MARK, of));
        code
    }
}

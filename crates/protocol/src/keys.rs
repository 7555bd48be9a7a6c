//! Signing keys and prekeys: how they are made, admitted and used. Refuses to print or copy a secret.
//!
//! A public key is worth nothing until it is *admitted*: Ed25519 keys must be canonical, of large order and
//! torsion-free; X-Wing keys must pass ML-KEM's modulus check and have an X25519 half that is not of low order
//! (protocol sections 1.2 and 7.0; attack cases 10 and 11).

mod together;

use std::sync::OnceLock;

use ed25519_dalek::Signer as _;
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::ids::{KeyId, PrekeyId};
use crate::limits::PREKEY_LEN;
use crate::pae::{pae, sha256};

pub(crate) use together::{Claim, judge_all};

/// The suite-1 key encapsulation: X-Wing (ML-KEM-768 and X25519), HPKE code point 0x647a.
pub(crate) type Kem = hpke::kem::XWing;

/// Why a public key is not admitted, or a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not the right number of bytes.
    #[error("a key or signature has the wrong length")]
    Length,
    /// Not a point, not the canonical encoding of one, of small order, or with a torsion part.
    #[error("a signing key that must not be used")]
    WeakSigningKey,
    /// Out of range for ML-KEM, or with an X25519 half of low order.
    #[error("a prekey that must not be used")]
    WeakPrekey,
    /// The signature does not verify.
    #[error("a signature does not verify")]
    BadSignature,
}

/// An Ed25519 signing key. Zeroized when dropped; has no `Debug` and no `Clone`.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// A new key and the seed to keep.
    pub fn generate(rng: &mut impl CryptoRng) -> (Self, Zeroizing<[u8; 32]>) {
        let mut seed = Zeroizing::new([0u8; 32]);
        rng.fill_bytes(seed.as_mut());
        (Self::from_seed(&seed), seed)
    }

    /// The public bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        key_id(&self.public())
    }

    /// Ed25519 over PAE(`media`, `body`). Deterministic.
    #[must_use]
    pub fn sign(&self, media: &str, body: &[u8]) -> [u8; 64] {
        self.0.sign(&pae(media, body)).to_bytes()
    }

    /// Ed25519 over bare bytes: for C2SP notes, whose texts frame themselves and whose keys sign nothing else.
    pub(crate) fn sign_bare(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The id of a public key: the first half of its SHA-256.
#[must_use]
pub fn key_id(public: &[u8; 32]) -> KeyId {
    let mut id = [0; 16];
    id.copy_from_slice(&sha256(public)[..16]);
    KeyId(id)
}

/// An Ed25519 public key that passed admission.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyKey(ed25519_dalek::VerifyingKey);

impl VerifyKey {
    /// Admits a public key.
    ///
    /// # Errors
    /// [`KeyFault::Length`] or [`KeyFault::WeakSigningKey`].
    pub fn admit(public: &[u8]) -> Result<Self, KeyFault> {
        let key = Self::of_large_order(public)?;
        if key.0.to_edwards().is_torsion_free() { Ok(key) } else { Err(KeyFault::WeakSigningKey) }
    }

    /// A point in its canonical encoding and not of small order: all of admission but the torsion part.
    fn of_large_order(public: &[u8]) -> Result<Self, KeyFault> {
        let key = Self::held(public)?;
        let sound = is_reduced(key.0.as_bytes()) && !key.0.is_weak();
        if sound { Ok(key) } else { Err(KeyFault::WeakSigningKey) }
    }

    /// A key out of a record that the directory holds: it was admitted when the record was, and is not multiplied by the
    /// group's order again for each message.
    ///
    /// # Errors
    /// As [`VerifyKey::admit`], but for the order of the point.
    pub(crate) fn held(public: &[u8]) -> Result<Self, KeyFault> {
        let bytes: [u8; 32] = public.try_into().map_err(|_| KeyFault::Length)?;
        ed25519_dalek::VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyFault::WeakSigningKey)
    }

    /// The public bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        key_id(&self.public())
    }

    /// Checks a signature over PAE(`media`, `body`), strictly.
    ///
    /// # Errors
    /// [`KeyFault::Length`] or [`KeyFault::BadSignature`].
    pub fn verify(&self, media: &str, body: &[u8], sig: &[u8]) -> Result<(), KeyFault> {
        let sig: [u8; 64] = sig.try_into().map_err(|_| KeyFault::Length)?;
        self.verify_bare(&pae(media, body), &sig)
    }

    /// Checks a signature over bare bytes: of a C2SP note, or of a published vector. All else is signed with PAE.
    ///
    /// # Errors
    /// [`KeyFault::BadSignature`].
    pub fn verify_bare(&self, message: &[u8], sig: &[u8; 64]) -> Result<(), KeyFault> {
        let sig = ed25519_dalek::Signature::from_bytes(sig);
        self.0.verify_strict(message, &sig).map_err(|_| KeyFault::BadSignature)
    }
}

/// Whether the y of an encoded point is below the field's prime 2^255 - 19. The other encodings that are not canonical, of
/// an x of zero with a sign, are of points of small order.
fn is_reduced(encoded: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = encoded;
    high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff) || *low < 0xed
}

/// A prekey's secret: the 32-byte X-Wing seed, and the key that follows from it once it was used, which is some quarter of
/// an opening's work. Both are zeroized when dropped; has no `Debug` and no `Clone`.
pub struct PrekeySecret {
    seed: Zeroizing<[u8; 32]>,
    key: OnceLock<<Kem as hpke::Kem>::PrivateKey>,
}

impl PrekeySecret {
    /// The prekey of a stored seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { seed: Zeroizing::new(*seed), key: OnceLock::new() }
    }

    /// A new prekey.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0u8; 32]);
        rng.fill_bytes(seed.as_mut());
        Self { seed, key: OnceLock::new() }
    }

    /// The seed, to be kept in the content compartment of the key file.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    pub(crate) fn private(&self) -> Result<&<Kem as hpke::Kem>::PrivateKey, KeyFault> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = <Kem as hpke::Kem>::PrivateKey::from_bytes(self.seed.as_ref()).map_err(|_| KeyFault::WeakPrekey)?;
        Ok(self.key.get_or_init(|| key))
    }

    /// The public prekey.
    ///
    /// # Errors
    /// [`KeyFault::WeakPrekey`] only if the KEM refuses its own seed.
    pub fn public(&self) -> Result<Prekey, KeyFault> {
        Prekey::admit(&Kem::sk_to_pk(self.private()?).to_bytes())
    }
}

/// A public prekey that passed admission, when it came or in the days of a store before: 1216 bytes, ML-KEM-768 key then
/// X25519 key. What follows from them is kept from the first message that is sealed to it.
#[derive(Clone)]
pub struct Prekey {
    bytes: Vec<u8>,
    key: OnceLock<Box<<Kem as hpke::Kem>::PublicKey>>,
}

impl Prekey {
    /// Admits a prekey.
    ///
    /// # Errors
    /// [`KeyFault::Length`] or [`KeyFault::WeakPrekey`].
    pub fn admit(bytes: &[u8]) -> Result<Self, KeyFault> {
        Self::parse(bytes)?;
        Self::held(bytes)
    }

    fn parse(bytes: &[u8]) -> Result<<Kem as hpke::Kem>::PublicKey, KeyFault> {
        let x25519_half: [u8; 32] =
            bytes.get(PREKEY_LEN - 32..PREKEY_LEN).and_then(|b| b.try_into().ok()).ok_or(KeyFault::Length)?;
        if bytes.len() != PREKEY_LEN {
            return Err(KeyFault::Length);
        }
        // The KEM accepts an X25519 half of low order, which would leave security to ML-KEM alone. Any clamped
        // scalar maps exactly the low-order points to zero.
        if x25519_dalek::x25519([0x55; 32], x25519_half) == [0; 32] {
            return Err(KeyFault::WeakPrekey);
        }
        <Kem as hpke::Kem>::PublicKey::from_bytes(bytes).map_err(|_| KeyFault::WeakPrekey)
    }

    /// A prekey that was admitted when it came. It is admitted again when something is first sealed to it.
    ///
    /// # Errors
    /// [`KeyFault::Length`].
    pub(crate) fn held(bytes: &[u8]) -> Result<Self, KeyFault> {
        if bytes.len() != PREKEY_LEN {
            return Err(KeyFault::Length);
        }
        Ok(Self { bytes: bytes.to_vec(), key: OnceLock::new() })
    }

    /// The key to seal to.
    ///
    /// # Errors
    /// As [`Prekey::admit`]: nothing is sealed to a key that is not sound, wherever it was kept in between.
    pub(crate) fn key(&self) -> Result<&<Kem as hpke::Kem>::PublicKey, KeyFault> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = Box::new(Self::parse(&self.bytes)?);
        Ok(self.key.get_or_init(|| key))
    }

    /// The public bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The prekey's id.
    #[must_use]
    pub fn id(&self) -> PrekeyId {
        let mut id = [0; 16];
        id.copy_from_slice(&sha256(&self.bytes)[..16]);
        PrekeyId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_signatures_of_another_length_are_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let public = VerifyKey::admit(&key.public()).unwrap();
        let signature = key.sign("kind", b"body");
        assert_eq!(public.verify("kind", b"body", &signature), Ok(()));
        assert_eq!(public.verify("kind", b"body", &signature[..63]), Err(KeyFault::Length));
        assert_eq!(public.verify("kind", b"body", &[&signature[..], &[0]].concat()), Err(KeyFault::Length));
        assert_eq!(public.verify("kinds", b"body", &signature), Err(KeyFault::BadSignature));
        assert_eq!(VerifyKey::admit(&key.public()[..31]).err(), Some(KeyFault::Length));
        let prekey = PrekeySecret::from_seed(&[1; 32]).public().unwrap();
        let long = [prekey.as_bytes(), &[0]].concat();
        for (bytes, fault) in [
            (&long[..PREKEY_LEN], None),
            (&long[..PREKEY_LEN - 1], Some(KeyFault::Length)),
            (&long[..], Some(KeyFault::Length)),
            (&[][..], Some(KeyFault::Length)),
        ] {
            assert_eq!(Prekey::admit(bytes).err(), fault, "{}", bytes.len());
            assert_eq!(Prekey::held(bytes).err(), fault, "{}", bytes.len());
        }
        assert_eq!(prekey.id().0, sha256(prekey.as_bytes())[..16]);
        assert_eq!(key.id().0, sha256(&key.public())[..16]);
    }

    // 2^255 - 19 and above are second spellings of the first numbers.
    #[test]
    fn a_point_is_spelt_below_the_prime_alone() {
        let number = |low: u8, middle: u8, high: u8| {
            let mut bytes = [middle; 32];
            (bytes[0], bytes[31]) = (low, high);
            bytes
        };
        for (encoded, reduced) in [
            (number(0xec, 0xff, 0x7f), true),
            (number(0xed, 0xff, 0x7f), false),
            (number(0xff, 0xff, 0x7f), false),
            (number(0xff, 0xff, 0xff), false),
            (number(0xec, 0xff, 0xff), true),
            (number(0xff, 0xfe, 0x7f), true),
            (number(0xff, 0xff, 0x7e), true),
        ] {
            assert_eq!(is_reduced(&encoded), reduced, "{encoded:?}");
        }
    }
}

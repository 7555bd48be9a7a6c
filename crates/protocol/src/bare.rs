//! The primitives of a message and nothing else: wrap a key, encrypt, hash, sign; hash, verify, unwrap, decrypt. What a
//! benchmark holds the envelope against, as no design with these primitives can leave one of these steps out.
//!
//! No envelope is made of this: no padding, no canonical encoding, no directory, no labels. Refuses to be used for a
//! message: its keys are drawn here and cannot be taken out.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce, Tag};
use ed25519_dalek::Signer as _;
pub use hpke::Kem;
use hpke::{OpModeR, OpModeS, single_shot_open, single_shot_seal_with_rng};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::pae::sha256;

type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// What a wrapped key is bound to.
const INFO: &[u8] = b"clearhouse bench";

/// The primitives of suite 1: X-Wing, ChaCha20-Poly1305, SHA-256, Ed25519.
pub type Hybrid = Bare<hpke::kem::XWing>;
/// The same with X25519 alone, as HPKE had it before anybody reckoned with quantum computers.
pub type Classical = Bare<hpke::kem::X25519HkdfSha256>;

/// A receiver's and a signer's key, drawn for one measurement.
pub struct Bare<K: Kem> {
    secret: K::PrivateKey,
    public: K::PublicKey,
    signing: ed25519_dalek::SigningKey,
}

/// A message's key on its way to the receiver.
pub struct Wrapped<K: Kem> {
    encapsulated: K::EncappedKey,
    key: Vec<u8>,
}

/// What authenticates an encrypted text.
pub struct Seal(Tag);

/// A signature over a digest.
pub struct Signed(ed25519_dalek::Signature);

impl<K: Kem> Bare<K> {
    /// New keys.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        let (secret, public) = K::gen_keypair_with_rng(rng);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self { secret, public, signing: ed25519_dalek::SigningKey::from_bytes(&seed) }
    }

    /// Draws a message key and wraps it for the receiver. `None` when the library refuses, which it does not here.
    pub fn wrap(&self, rng: &mut impl CryptoRng) -> Option<(Zeroizing<[u8; 32]>, Wrapped<K>)> {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        let mode = OpModeS::Base;
        let wrapped =
            single_shot_seal_with_rng::<Aead, Kdf, K>(&mode, &self.public, INFO, key.as_ref(), b"", rng).ok()?;
        Some((key, Wrapped { encapsulated: wrapped.0, key: wrapped.1 }))
    }

    /// The key in it; `None` when it is not one of [`Bare::wrap`] for this receiver.
    pub fn unwrap(&self, wrapped: &Wrapped<K>) -> Option<Zeroizing<[u8; 32]>> {
        let mode = OpModeR::Base;
        let (from, key) = (&wrapped.encapsulated, &wrapped.key);
        let key = single_shot_open::<Aead, Kdf, K>(&mode, &self.secret, from, INFO, key, b"").ok()?;
        key.as_slice().try_into().ok().map(Zeroizing::new)
    }

    /// Encrypts in place. A key of its own for each message: any fixed nonce does.
    pub fn encrypt(key: &[u8; 32], bytes: &mut [u8]) -> Option<Seal> {
        let cipher = ChaCha20Poly1305::new(&Key::from(*key));
        cipher.encrypt_inout_detached(&Nonce::default(), &[], bytes.into()).ok().map(Seal)
    }

    /// Decrypts in place what [`Bare::encrypt`] made; whether it was that.
    pub fn decrypt(key: &[u8; 32], bytes: &mut [u8], seal: &Seal) -> bool {
        let cipher = ChaCha20Poly1305::new(&Key::from(*key));
        cipher.decrypt_inout_detached(&Nonce::default(), &[], bytes.into(), &seal.0).is_ok()
    }

    /// SHA-256, which each end computes once.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> [u8; 32] {
        sha256(bytes)
    }

    /// Signs a digest.
    #[must_use]
    pub fn sign(&self, digest: &[u8; 32]) -> Signed {
        Signed(self.signing.sign(digest))
    }

    /// Whether the signature is the signer's, strictly.
    #[must_use]
    pub fn verify(&self, digest: &[u8; 32], signed: &Signed) -> bool {
        self.signing.verifying_key().verify_strict(digest, &signed.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn there_and_back<K: Kem>() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (bare, other) = (Bare::<K>::new(&mut rng), Bare::<K>::new(&mut rng));
        let (key, wrapped) = bare.wrap(&mut rng).unwrap();
        let mut text = *b"a text of no importance";
        let seal = Bare::<K>::encrypt(&key, &mut text).unwrap();
        let digest = Bare::<K>::hash(&text);
        let signed = bare.sign(&digest);
        assert!(bare.verify(&digest, &signed) && !other.verify(&digest, &signed));
        assert!(other.unwrap(&wrapped).is_none());
        let again = bare.unwrap(&wrapped).unwrap();
        assert!(Bare::<K>::decrypt(&again, &mut text, &seal));
        assert_eq!(&text, b"a text of no importance");
        text[0] ^= 1;
        assert!(!Bare::<K>::decrypt(&again, &mut text, &seal));
    }

    #[test]
    fn what_is_wrapped_encrypted_and_signed_comes_back_and_nothing_else_does() {
        there_and_back::<hpke::kem::XWing>();
        there_and_back::<hpke::kem::X25519HkdfSha256>();
    }
}

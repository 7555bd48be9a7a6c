//! Thirty-two secret bytes. Refuses to print, to compare in variable time, and to be copied outside this crate.

use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

/// A key or a seed of 32 bytes, on the heap so that moving it leaves no copy behind. Zeroized when dropped; has no
/// `Debug`, no `Clone` and no `PartialEq`.
pub struct SecretBytes(Box<[u8; 32]>);

/// Does not compile when a type has one of the traits: the promise that a secret is never printed or copied by
/// mistake is kept by the compiler. (With the trait there are two candidates for `probe`, and the choice is ambiguous.)
macro_rules! never {
    ($type:ty: $($trait:path),+) => {
        $(const _: fn() = || {
            struct WithTrait;
            trait Probe<Candidate> {
                fn probe() {}
            }
            impl<T: ?Sized> Probe<()> for T {}
            impl<T: ?Sized + $trait> Probe<WithTrait> for T {}
            let _ = <$type as Probe<_>>::probe;
        };)+
    };
}
pub(crate) use never;

never!(SecretBytes: std::fmt::Debug, Clone, PartialEq);

impl SecretBytes {
    /// Bytes it has.
    pub const LEN: usize = 32;

    /// A new random secret.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Box::new([0u8; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// A secret of given bytes; `None` unless there are exactly 32. The caller wipes its own copy.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LEN {
            return None;
        }
        let mut secret = Self(Box::new([0u8; 32]));
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// The bytes, for the one computation that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy. Crate-private: outside, a secret has one owner.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl From<Zeroizing<[u8; 32]>> for SecretBytes {
    fn from(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut secret = Self(Box::new([0u8; 32]));
        secret.0.copy_from_slice(bytes.as_ref());
        secret
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

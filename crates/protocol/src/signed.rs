//! DSSE envelopes: opaque payload bytes, a type, signatures. Verified first, parsed second, never re-encoded.
//!
//! [`Verified`] can be made only here, after a signature held; everything that decides asks for it.

mod verdicts;

use clearhouse_wire::v1::{Signature, Signed};
use prost::Message;

use crate::canon::{self, NotCanonical};
use crate::keys::{KeyFault, SigningKey, VerifyKey};
use crate::limits::{RECORD_MAX, SIGNATURES_MAX};
use crate::pae::{pae, sha256};

pub(crate) use verdicts::Trial;
pub use verdicts::Verdicts;

/// Why a signed record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedFault {
    /// The payload type is not the one this place expects.
    #[error("signed for another purpose")]
    OtherType,
    /// The payload is not canonical.
    #[error("the payload is {0}")]
    Payload(#[from] NotCanonical),
    /// More signatures than are read.
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A signature that is not 64 bytes, or the id of a key that is not 16 bytes.
    #[error("a signature of another length")]
    Shape,
    /// A signature that had to hold does not.
    #[error("{0}")]
    Key(#[from] KeyFault),
}

const SIGNATURE_LEN: usize = 64;
const KEY_ID_LEN: usize = 16;

/// A payload whose signature, by a key the caller named, held over exactly `raw`.
#[derive(Clone)]
pub struct Verified<T> {
    value: T,
    raw: Signed,
}

impl<T> Verified<T> {
    /// The parsed payload.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The record exactly as it was received.
    pub fn raw(&self) -> &Signed {
        &self.raw
    }

    /// Gives up the parsed payload.
    pub fn into_value(self) -> T {
        self.value
    }
}

/// Signs a payload with one key.
#[must_use]
pub fn sign(media: &str, payload: Vec<u8>, key: &SigningKey) -> Signed {
    let mut signed = Signed { payload_type: media.to_owned(), payload, signatures: Vec::new() };
    add_signature(&mut signed, key);
    signed
}

/// Adds one more signature over the same payload.
pub fn add_signature(signed: &mut Signed, key: &SigningKey) {
    let sig = key.sign(&signed.payload_type, &signed.payload).to_vec();
    signed.signatures.push(Signature { key_id: key.id().to_vec(), sig });
}

/// Checks the type, at least one valid signature by `key`, then parses the payload canonically.
///
/// # Errors
/// [`SignedFault`], naming the first check that failed.
pub fn verify<T: Message + Default>(media: &str, signed: &Signed, key: &VerifyKey) -> Result<Verified<T>, SignedFault> {
    if count(media, signed, std::slice::from_ref(key))?.is_empty() {
        return Err(SignedFault::Key(KeyFault::BadSignature));
    }
    parse_verified(signed)
}

/// Which of `keys` signed: their positions, each at most once. A signature is tried on the key that it names and on no other,
/// so that a record costs one verification a signature at most, whoever made it up; that it names a key shows nothing.
///
/// # Errors
/// [`SignedFault::OtherType`], [`SignedFault::TooManySignatures`], [`SignedFault::Shape`], or [`SignedFault::Payload`] for
/// a payload above [`RECORD_MAX`].
pub fn count(media: &str, signed: &Signed, keys: &[VerifyKey]) -> Result<Vec<usize>, SignedFault> {
    count_beside(media, signed, keys, &Verdicts::default())
}

/// [`count`], where some signatures are known to hold.
///
/// # Errors
/// As there.
pub(crate) fn count_beside(
    media: &str,
    signed: &Signed,
    keys: &[VerifyKey],
    verdicts: &Verdicts,
) -> Result<Vec<usize>, SignedFault> {
    if signed.payload_type != media {
        return Err(SignedFault::OtherType);
    }
    if signed.signatures.len() > SIGNATURES_MAX {
        return Err(SignedFault::TooManySignatures);
    }
    if signed.payload.len() > RECORD_MAX {
        return Err(SignedFault::Payload(NotCanonical::TooLong { max: RECORD_MAX }));
    }
    // Nobody needs more bytes to sign, and what is kept for ever is not to be padded.
    if signed.signatures.iter().any(|s| s.sig.len() != SIGNATURE_LEN || s.key_id.len() != KEY_ID_LEN) {
        return Err(SignedFault::Shape);
    }
    let framed = if verdicts.is_empty() { [0; 32] } else { sha256(&pae(media, &signed.payload)) };
    let holds = |key: &VerifyKey, s: &Signature| {
        let known = verdicts.holds(key, &framed, &s.sig);
        known.unwrap_or_else(|| key.verify(media, &signed.payload, &s.sig).is_ok())
    };
    let by = |key: &VerifyKey| {
        let id = key.id();
        signed.signatures.iter().any(|s| s.key_id == id.0 && holds(key, s))
    };
    let all = keys.iter().enumerate();
    Ok(all.filter(|(i, key)| !keys[..*i].contains(key) && by(key)).map(|(i, _)| i).collect())
}

/// Parses a payload whose signatures the caller has just counted with [`count`].
pub(crate) fn parse_verified<T: Message + Default>(signed: &Signed) -> Result<Verified<T>, SignedFault> {
    Ok(Verified { value: canon::decode(&signed.payload, RECORD_MAX)?, raw: signed.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::media;
    use clearhouse_wire::v1::{Descriptor, NotOpened};

    fn key(n: u8) -> (SigningKey, VerifyKey) {
        let secret = SigningKey::from_seed(&[n; 32]);
        let public = VerifyKey::admit(&secret.public()).expect("a fresh key is sound");
        (secret, public)
    }

    // Attack 14.
    #[test]
    fn a_signature_for_one_purpose_does_not_serve_another() {
        let (secret, public) = key(1);
        let receipt = sign(media::NOT_OPENED, NotOpened::default().encode_to_vec(), &secret);
        assert!(verify::<NotOpened>(media::NOT_OPENED, &receipt, &public).is_ok());
        assert_eq!(verify::<Descriptor>(media::DESCRIPTOR, &receipt, &public).err(), Some(SignedFault::OtherType));
        let mut relabelled = receipt;
        relabelled.payload_type = media::DESCRIPTOR.into();
        assert_eq!(
            verify::<Descriptor>(media::DESCRIPTOR, &relabelled, &public).err(),
            Some(SignedFault::Key(KeyFault::BadSignature))
        );
    }

    // Attack 18: one key counts once, under whatever ids it appears.
    #[test]
    fn a_key_counts_once_however_often_it_signed() {
        let ((a, public_a), (_, public_b)) = (key(1), key(2));
        let mut signed = sign(media::ORG, vec![], &a);
        add_signature(&mut signed, &a);
        signed.signatures[1].key_id = public_b.id().to_vec();
        assert_eq!(count(media::ORG, &signed, &[public_a, public_b]), Ok(vec![0]));
    }

    #[test]
    fn a_signature_counts_for_the_key_it_names_and_lends_nothing_to_another() {
        let ((a, public_a), (b, public_b), (_, public_c)) = (key(1), key(2), key(3));
        let mut signed = sign(media::ORG, vec![], &a);
        add_signature(&mut signed, &b);
        let all = [public_a, public_b, public_c];
        assert_eq!(count(media::ORG, &signed, &all), Ok(vec![0, 1]));
        let [hint_a, hint_b] = [0, 1].map(|n: usize| signed.signatures[n].key_id.clone());
        for hints in [[&hint_b, &hint_a], [&hint_b, &hint_b], [&all[2].id().to_vec(), &vec![7; 16]]] {
            let mut other = signed.clone();
            other.signatures.iter_mut().zip(hints).for_each(|(s, hint)| s.key_id = hint.clone());
            let theirs = usize::from(hints[0] == hints[1]);
            assert_eq!(count(media::ORG, &other, &all), Ok([1][..theirs].to_vec()));
        }
        // What names the key and does not hold takes nothing away from what does.
        let mut beside = signed.clone();
        beside.signatures.insert(0, Signature { key_id: hint_a, sig: vec![0; SIGNATURE_LEN] });
        assert_eq!(count(media::ORG, &beside, &all), Ok(vec![0, 1]));
        assert_eq!(count(media::ORG, &beside, &[all[0].clone(), all[0].clone()]), Ok(vec![0]));
    }

    #[test]
    fn as_much_as_may_be_is_taken_and_one_more_is_not() {
        let (secret, public) = key(1);
        let keys = [public];
        let mut signed = sign(media::ORG, vec![7; RECORD_MAX], &secret);
        signed.signatures = vec![signed.signatures[0].clone(); SIGNATURES_MAX];
        assert_eq!(count(media::ORG, &signed, &keys), Ok(vec![0]));
        let mut more = signed.clone();
        more.signatures.push(signed.signatures[0].clone());
        assert_eq!(count(media::ORG, &more, &keys), Err(SignedFault::TooManySignatures));
        let longer = sign(media::ORG, vec![7; RECORD_MAX + 1], &secret);
        let too_long = SignedFault::Payload(NotCanonical::TooLong { max: RECORD_MAX });
        assert_eq!(count(media::ORG, &longer, &keys), Err(too_long));
    }

    // Attack 13.
    #[test]
    fn a_validly_signed_body_that_is_not_canonical_is_refused() {
        let (secret, public) = key(1);
        let mut body = NotOpened { time: 5, ..NotOpened::default() }.encode_to_vec();
        body.extend_from_slice(&[0x7a, 1, 0]);
        let signed = sign(media::NOT_OPENED, body, &secret);
        assert_eq!(
            verify::<NotOpened>(media::NOT_OPENED, &signed, &public).err(),
            Some(SignedFault::Payload(NotCanonical::OtherEncoding))
        );
    }
}

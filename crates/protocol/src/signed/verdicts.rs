//! What was found out about signatures and keys beforehand, many at once and on as many cores as there are, so that whoever
//! decides afterwards does not do it again: neither for what holds nor for what does not.
//!
//! A [`Verdicts`] can be made only here, by verifying; what is not in it is verified where it is asked for, so that leaving
//! something out costs time and nothing else. It says that a key signed some bytes, and never what that key may sign.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1::Signed;

use crate::keys::{Claim, KeyFault, Prekey, VerifyKey, judge_all};
use crate::pae::{pae, sha256};

/// What was found.
#[derive(Default, Clone)]
pub struct Verdicts {
    /// By name, whether it holds.
    signatures: BTreeMap<[u8; 32], bool>,
    /// Admitted.
    keys: BTreeMap<[u8; 32], VerifyKey>,
    /// Only read: what they are worth was not asked.
    points: BTreeMap<[u8; 32], VerifyKey>,
    prekeys: BTreeSet<[u8; 32]>,
}

/// One signature to try: of which record, by which of its signatures, by which key.
pub(crate) struct Trial<'a> {
    pub(crate) signed: &'a Signed,
    pub(crate) signature: &'a [u8],
    pub(crate) key: [u8; 32],
    /// Whether the directory holds that key, and so admitted it.
    pub(crate) admitted: bool,
}

impl Verdicts {
    /// Takes up what somebody else found.
    pub fn join(&mut self, other: Self) {
        self.signatures.extend(other.signatures);
        self.keys.extend(other.keys);
        self.points.extend(other.points);
        self.prekeys.extend(other.prekeys);
    }

    #[cfg(test)]
    pub(crate) fn signatures(&self) -> usize {
        self.signatures.values().filter(|holds| **holds).count()
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, public: &[u8; 32]) -> bool {
        self.keys.contains_key(public)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Admits these keys, verifies these signatures, and remembers what is sound.
    pub(crate) fn try_all(&mut self, keys: &[[u8; 32]], trials: &[Trial<'_>]) {
        let mut claims = Vec::with_capacity(trials.len());
        for trial in trials {
            let Ok(signature) = trial.signature.try_into() else { continue };
            // A coordinator signs thousands: its point is read once.
            let key = match self.points.get(&trial.key) {
                Some(key) => key.clone(),
                None => {
                    let Ok(key) = VerifyKey::held(&trial.key) else { continue };
                    self.points.insert(trial.key, key.clone());
                    key
                }
            };
            let admitted = trial.admitted;
            claims.push(Claim {
                key,
                admitted,
                message: pae(&trial.signed.payload_type, &trial.signed.payload),
                signature,
            });
        }
        let (admitted, held) = judge_all(keys, &claims);
        self.keys.extend(admitted.into_iter().map(|key| (key.public(), key)));
        let name = |claim: &Claim| name(&claim.key.public(), &sha256(&claim.message), &claim.signature);
        self.signatures.extend(claims.iter().map(name).zip(held));
    }

    /// Admits these prekeys and remembers those that are sound.
    pub(crate) fn try_prekeys<'a>(&mut self, prekeys: impl IntoIterator<Item = &'a [u8]>) {
        let sound = prekeys.into_iter().filter(|pk| Prekey::admit(pk).is_ok());
        self.prekeys.extend(sound.map(sha256));
    }

    /// Whether this key made this signature over bytes of which the frame has this hash, where that was tried.
    pub(super) fn holds(&self, key: &VerifyKey, framed: &[u8; 32], signature: &[u8]) -> Option<bool> {
        self.signatures.get(&name(&key.public(), framed, signature)).copied()
    }

    /// [`VerifyKey::admit`], unless that was done before.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn admit(&self, public: &[u8]) -> Result<VerifyKey, KeyFault> {
        let known = <[u8; 32]>::try_from(public).ok().and_then(|public| self.keys.get(&public));
        known.map_or_else(|| VerifyKey::admit(public), |key| Ok(key.clone()))
    }

    /// [`VerifyKey::held`], without reading the point again where it was read before.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn held(&self, public: &[u8]) -> Result<VerifyKey, KeyFault> {
        let read = |public| self.points.get(&public).or_else(|| self.keys.get(&public));
        let known = <[u8; 32]>::try_from(public).ok().and_then(read);
        known.map_or_else(|| VerifyKey::held(public), |key| Ok(key.clone()))
    }

    /// [`Prekey::admit`], unless that was done before.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn admit_prekey(&self, pk: &[u8], hash: &[u8; 32]) -> Result<Prekey, KeyFault> {
        if self.prekeys.contains(hash) { Prekey::held(pk) } else { Prekey::admit(pk) }
    }
}

/// The name of a signature in this memory: nothing of another length can have the same.
fn name(key: &[u8; 32], framed: &[u8; 32], signature: &[u8]) -> [u8; 32] {
    sha256(&[key.as_slice(), framed, signature].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::labels::media;

    #[test]
    fn what_was_tried_is_known_either_way_and_what_was_not_is_not() {
        let secret = SigningKey::from_seed(&[1; 32]);
        let key = VerifyKey::admit(&secret.public()).unwrap();
        let signed = crate::signed::sign(media::ORG, vec![1], &secret);
        let (true_one, made_up) = (signed.signatures[0].sig.clone(), vec![0; 64]);
        let mut verdicts = Verdicts::default();
        let tried = |signature| Trial { signed: &signed, signature, key: secret.public(), admitted: false };
        verdicts.try_all(&[], &[tried(&true_one), tried(&made_up)]);
        let framed = sha256(&pae(media::ORG, &[1]));
        assert_eq!(verdicts.holds(&key, &framed, &true_one), Some(true));
        assert_eq!(verdicts.holds(&key, &framed, &made_up), Some(false));
        assert_eq!(verdicts.holds(&key, &framed, &[1; 64]), None);
        assert_eq!(verdicts.signatures(), 1);
    }

    #[test]
    fn a_prekey_that_was_tried_is_taken_as_found_and_an_unsound_one_never_is() {
        let region = crate::fixture::Region::new(1, 1);
        let sound = region.members[0].prekeys[0].1.public().unwrap();
        let mut unsound = sound.as_bytes().to_vec();
        let len = unsound.len();
        unsound[len - 32..].fill(0);
        let mut verdicts = Verdicts::default();
        verdicts.try_prekeys([sound.as_bytes(), &unsound]);
        assert_eq!(verdicts.prekeys, [sha256(sound.as_bytes())].into());
        assert!(verdicts.admit_prekey(sound.as_bytes(), &sha256(sound.as_bytes())).is_ok());
        assert_eq!(verdicts.admit_prekey(&unsound, &sha256(&unsound)).err(), Some(KeyFault::WeakPrekey));
    }
}

//! Admits many signing keys and verifies many signatures at once: the same rules as for one, at a fraction of the work.
//!
//! Whether a point has a torsion part costs more to find out than a signature costs to verify, and a stranger who takes
//! in a directory has as many keys as signatures before him. A sum of torsion-free points is torsion-free. If one of them
//! is not, a sum over a random half of them shows it with a chance of one half or more, whatever the others are; so many
//! such sums are tried that it hides from all of them once in 2^[`SUMS`]. Which points are in which sum follows from the
//! hash of all of them: who chooses the points has chosen that, too, and cannot choose again without that many tries.
//!
//! Signatures are verified as one random sum of their equations, which is what `ed25519-dalek` calls a batch. By itself
//! that is laxer than verifying each strictly: torsion parts of different signatures can cancel out. Here the keys and the
//! first halves of the signatures are known to have none, to be spelt in the only canonical way and not to be of small
//! order; what is left to go wrong in an equation lies in the group of prime order, and hides from the sum once in 2^128.
//!
//! Refuses to say which key or signature it was that spoilt a sum: then each is looked at by itself.

use std::collections::BTreeSet;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::Identity as _;
use ed25519_dalek::{Signature, verify_batch};
use sha2::{Digest as _, Sha256};

use super::{VerifyKey, is_reduced};

/// Sums tried.
const SUMS: usize = 128;
/// Sums made in one pass over the points: each goes into one of 2^8 heaps, out of which eight sums are made.
const SUMS_A_PASS: usize = 8;
const PASSES: usize = SUMS / SUMS_A_PASS;
const HEAPS: usize = 1 << SUMS_A_PASS;
/// Below so many keys and signatures, one by one is quicker.
const TOGETHER_MIN: usize = 256;

/// That a key made a signature over some bytes; to be found out.
pub(crate) struct Claim {
    pub(crate) key: VerifyKey,
    /// Whether the key is known to be admitted; what is left out here is only looked at once more.
    pub(crate) admitted: bool,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: [u8; 64],
}

/// A point and its only canonical spelling.
type Spelt = ([u8; 32], EdwardsPoint);

/// The keys among `keys` that are admitted, as [`VerifyKey::admit`] would each of them, and for each claim whether it
/// holds, as [`VerifyKey::verify_bare`] would say of each; by a key that is spelt in a way that nobody admits, none may.
pub(crate) fn judge_all(keys: &[[u8; 32]], claims: &[Claim]) -> (Vec<VerifyKey>, Vec<bool>) {
    let sound: Vec<VerifyKey> = keys.iter().filter_map(|public| VerifyKey::of_large_order(public).ok()).collect();
    let nonces: Vec<Option<Spelt>> = claims.iter().map(nonce).collect();
    if sound.len() + claims.len() >= TOGETHER_MIN {
        let fresh = claims.iter().zip(&nonces).filter(|(claim, nonce)| nonce.is_some() && !claim.admitted);
        // A coordinator signs thousands: its key is looked at once. Any other point that is there twice costs its sums twice.
        let mut seen = BTreeSet::new();
        let signers = fresh.map(|(claim, _)| &claim.key).filter(|key| seen.insert(key.0.as_bytes()));
        let points: Vec<Spelt> =
            sound.iter().chain(signers).map(VerifyKey::spelt).chain(nonces.iter().flatten().copied()).collect();
        if are_torsion_free(&points) {
            let held = all_hold(claims, &nonces).unwrap_or_else(|| each(claims));
            return (sound, held);
        }
    }
    let admitted = sound.into_iter().filter(|key| key.0.to_edwards().is_torsion_free()).collect();
    (admitted, each(claims))
}

/// The first half of a signature by a key that may sign at all, where it can hold.
fn nonce(claim: &Claim) -> Option<Spelt> {
    let spelt = *claim.signature.first_chunk::<32>()?;
    let canonical = is_reduced(&spelt) && is_reduced(claim.key.0.as_bytes()) && !claim.key.0.is_weak();
    let point = canonical.then(|| CompressedEdwardsY(spelt).decompress()).flatten()?;
    (!point.is_small_order()).then_some((spelt, point))
}

fn each(claims: &[Claim]) -> Vec<bool> {
    claims.iter().map(|claim| claim.key.verify_bare(&claim.message, &claim.signature).is_ok()).collect()
}

/// Whether each claim holds, where all do of which the first half can; nothing where one of these does not.
fn all_hold(claims: &[Claim], nonces: &[Option<Spelt>]) -> Option<Vec<bool>> {
    let can: Vec<&Claim> = claims.iter().zip(nonces).filter(|(_, n)| n.is_some()).map(|(claim, _)| claim).collect();
    let messages: Vec<&[u8]> = can.iter().map(|claim| claim.message.as_slice()).collect();
    let signatures: Vec<Signature> = can.iter().map(|claim| Signature::from_bytes(&claim.signature)).collect();
    let keys: Vec<ed25519_dalek::VerifyingKey> = can.iter().map(|claim| claim.key.0).collect();
    verify_batch(&messages, &signatures, &keys).ok()?;
    Some(nonces.iter().map(Option::is_some).collect())
}

fn are_torsion_free(points: &[Spelt]) -> bool {
    let all = points.iter().fold(Sha256::new(), |hash, (spelt, _)| hash.chain_update(spelt)).finalize();
    let coins: Vec<[u8; 32]> = (0..points.len() as u64)
        .map(|n| Sha256::new().chain_update(all).chain_update(n.to_be_bytes()).finalize().into())
        .collect();
    (0..PASSES).all(|pass| {
        let mut heaps = vec![EdwardsPoint::identity(); HEAPS];
        for ((_, point), coins) in points.iter().zip(&coins) {
            if let Some(heap) = heaps.get_mut(usize::from(coins[pass])) {
                *heap += point;
            }
        }
        // The heaps with the highest bit of their number are one sum; then each is poured onto the one without that bit.
        (0..SUMS_A_PASS).rev().all(|bit| {
            let upper = heaps.split_off(1 << bit);
            heaps.iter_mut().zip(&upper).for_each(|(heap, upper)| *heap += upper);
            upper.iter().fold(EdwardsPoint::identity(), |sum, heap| sum + heap).is_torsion_free()
        })
    })
}

impl VerifyKey {
    fn spelt(&self) -> Spelt {
        (self.public(), self.0.to_edwards())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

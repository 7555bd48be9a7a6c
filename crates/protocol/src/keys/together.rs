//! Admits many signing keys at once: the same rules as for one, at a fraction of the work.
//!
//! Whether a point has a torsion part costs more to find out than a signature costs to verify, and a stranger who takes
//! in a directory has as many keys as signatures before him. A sum of torsion-free points is torsion-free. If one of them
//! is not, a sum over a random half of them shows it with a chance of one half or more, whatever the others are; so many
//! such sums are tried that it hides from all of them once in 2^[`SUMS`]. Which keys are in which sum follows from the
//! hash of all keys: who chooses the keys has chosen that, too, and cannot choose again without that many tries.
//!
//! Refuses to say which key it was that spoilt a sum: then each is looked at by itself.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::traits::Identity as _;
use sha2::{Digest as _, Sha256};

use super::VerifyKey;

/// Sums tried.
const SUMS: usize = 128;
/// Sums made in one pass over the keys: each key goes into one of 2^8 heaps, out of which eight sums are made.
const SUMS_A_PASS: usize = 8;
const PASSES: usize = SUMS / SUMS_A_PASS;
const HEAPS: usize = 1 << SUMS_A_PASS;
/// Below so many keys, one by one is quicker.
const TOGETHER_MIN: usize = 256;

/// The keys among `all` that are admitted, as [`VerifyKey::admit`] would each of them.
pub(crate) fn admit_all(all: &[[u8; 32]]) -> Vec<VerifyKey> {
    let sound: Vec<VerifyKey> = all.iter().filter_map(|public| VerifyKey::of_large_order(public).ok()).collect();
    if sound.len() >= TOGETHER_MIN && are_torsion_free(&sound) {
        return sound;
    }
    sound.into_iter().filter(|key| key.0.to_edwards().is_torsion_free()).collect()
}

fn are_torsion_free(keys: &[VerifyKey]) -> bool {
    let all = keys.iter().fold(Sha256::new(), |hash, key| hash.chain_update(key.0.as_bytes())).finalize();
    let points: Vec<EdwardsPoint> = keys.iter().map(|key| key.0.to_edwards()).collect();
    let coins: Vec<[u8; 32]> = (0..keys.len() as u64)
        .map(|n| Sha256::new().chain_update(all).chain_update(n.to_be_bytes()).finalize().into())
        .collect();
    (0..PASSES).all(|pass| {
        let mut heaps = vec![EdwardsPoint::identity(); HEAPS];
        for (point, coins) in points.iter().zip(&coins) {
            if let Some(heap) = heaps.get_mut(usize::from(coins[pass])) {
                *heap += point;
            }
        }
        (0..SUMS_A_PASS).all(|sum| {
            let of_it = heaps.iter().enumerate().filter(|(heap, _)| heap >> sum & 1 == 1);
            of_it.fold(EdwardsPoint::identity(), |sum, (_, heap)| sum + heap).is_torsion_free()
        })
    })
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;

    use super::*;
    use crate::keys::SigningKey;

    fn keys(n: u64) -> Vec<[u8; 32]> {
        let seed = |n: u64| Sha256::digest(n.to_be_bytes()).into();
        (0..n).map(|n| SigningKey::from_seed(&seed(n)).public()).collect()
    }

    fn with_torsion(public: &[u8; 32], torsion: usize) -> [u8; 32] {
        let key = VerifyKey::admit(public).unwrap();
        (key.0.to_edwards() + EIGHT_TORSION[torsion]).compress().to_bytes()
    }

    #[test]
    fn many_sound_keys_are_admitted_in_their_order() {
        for n in [0, 1, TOGETHER_MIN as u64 - 1, TOGETHER_MIN as u64 + 1] {
            let all = keys(n);
            let admitted: Vec<[u8; 32]> = admit_all(&all).iter().map(VerifyKey::public).collect();
            assert_eq!(admitted, all);
        }
    }

    // Attack 10, in a crowd: every kind of torsion, alone and where two of them would cancel out.
    #[test]
    fn a_key_with_a_torsion_part_does_not_hide_among_sound_ones() {
        let sound = keys(TOGETHER_MIN as u64 + 8);
        for torsion in 1..8 {
            for spoilt in [vec![3], vec![3, 4], (0..sound.len()).collect()] {
                let mut all = sound.clone();
                spoilt.iter().for_each(|n| all[*n] = with_torsion(&sound[*n], torsion));
                assert!(!are_torsion_free(&parsed(&all)), "torsion {torsion}, {} keys", spoilt.len());
                let admitted: Vec<[u8; 32]> = admit_all(&all).iter().map(VerifyKey::public).collect();
                let left = (0..all.len()).filter(|n| !spoilt.contains(n)).map(|n| sound[n]).collect::<Vec<_>>();
                assert_eq!(admitted, left);
            }
            let mut opposed = sound.clone();
            opposed[3] = with_torsion(&sound[3], torsion);
            opposed[4] = with_torsion(&sound[4], 8 - torsion);
            assert!(!are_torsion_free(&parsed(&opposed)), "torsion {torsion}, opposed");
        }
    }

    #[test]
    fn weak_and_misspelt_keys_are_left_out_of_a_crowd() {
        let mut all = keys(TOGETHER_MIN as u64 + 2);
        all[0] = EIGHT_TORSION[1].compress().to_bytes();
        all[1] = [0xff; 32];
        assert_eq!(admit_all(&all).len(), TOGETHER_MIN);
    }

    fn parsed(all: &[[u8; 32]]) -> Vec<VerifyKey> {
        all.iter().map(|public| VerifyKey::of_large_order(public).unwrap()).collect()
    }
}

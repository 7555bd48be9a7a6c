use curve25519_dalek::Scalar;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

use super::*;
use crate::keys::SigningKey;
use sha2::Sha512;

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

fn parsed(all: &[[u8; 32]]) -> Vec<Spelt> {
    all.iter().map(|public| VerifyKey::of_large_order(public).unwrap().spelt()).collect()
}

fn admit_all(all: &[[u8; 32]]) -> Vec<VerifyKey> {
    judge_all(all, &[]).0
}

/// A claim about the n-th message by the n-th of some keys, made with a nonce of the caller's choice.
fn claim(n: u64, torsion: usize, nonce: Option<Scalar>) -> Claim {
    let seed: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
    let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
    let key = VerifyKey::admit(secret.verifying_key().as_bytes()).unwrap();
    claim_by(&secret, key, n, torsion, nonce)
}

fn claim_by(
    secret: &ed25519_dalek::SigningKey,
    key: VerifyKey,
    n: u64,
    torsion: usize,
    nonce: Option<Scalar>,
) -> Claim {
    let message = [b"message ".as_slice(), &n.to_be_bytes()].concat();
    let r = nonce.unwrap_or_else(|| Scalar::from(0x9e37_79b9_7f4a_7c15 ^ n));
    let spelt = (ED25519_BASEPOINT_POINT * r + EIGHT_TORSION[torsion]).compress().to_bytes();
    let hash = Sha512::new().chain_update(spelt).chain_update(key.0.as_bytes()).chain_update(&message).finalize();
    let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret.to_scalar();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&spelt);
    signature[32..].copy_from_slice(s.as_bytes());
    Claim { key, admitted: n.is_multiple_of(2), message, signature }
}

fn crowd() -> Vec<Claim> {
    (0..TOGETHER_MIN as u64 + 8).map(|n| claim(n, 0, None)).collect()
}

/// What is said of the crowd is what is said of each; the answer itself.
fn judged(claims: &[Claim]) -> Vec<bool> {
    let held = judge_all(&[], claims).1;
    assert!(held == each(claims));
    held
}

#[test]
fn true_signatures_hold_together_and_few_do_one_by_one() {
    let all = crowd();
    assert!(judged(&all).iter().all(|holds| *holds));
    assert!(judged(&all[..3]).iter().all(|holds| *holds));
    // A coordinator signs thousands.
    let one: Vec<Claim> = (0..TOGETHER_MIN as u64).map(|_| claim(1, 0, None)).collect();
    assert!(judged(&one).iter().all(|holds| *holds));
}

#[test]
fn what_is_wrong_in_a_crowd_is_found_and_spoils_nothing_else() {
    let wrongs: [fn(&mut Claim); 6] = [
        |c| c.message[0] ^= 1,
        |c| c.signature[0] ^= 1,
        |c| c.signature[40] ^= 1,
        // An s that is not reduced.
        |c| c.signature[63] |= 0xf0,
        |c| c.key = claim(0, 0, None).key,
        |c| c.signature[..32].fill(0xff),
    ];
    for wrong in wrongs {
        let mut all = crowd();
        wrong(&mut all[7]);
        let held = judged(&all);
        assert!(held.iter().enumerate().all(|(n, holds)| *holds == (n != 7)));
    }
}

// A sum of equations alone would let these pass: of one in two of these crowds the torsion parts vanish in it.
#[test]
fn torsion_in_signatures_does_not_cancel_out_in_a_crowd() {
    for first in 0..16 {
        let mut all = crowd();
        all[first] = claim(first as u64, 4, None);
        all[first + 1] = claim(first as u64 + 1, 4, None);
        let held = judged(&all);
        assert_eq!(held.iter().filter(|holds| **holds).count(), all.len() - 2);
    }
    let all: Vec<Claim> = (0..TOGETHER_MIN as u64).map(|n| claim(n, 4, None)).collect();
    assert!(!judged(&all).contains(&true));
}

// Nobody admitted the key: of one in two of its signatures the torsion part vanishes in the sum of all, and not by itself.
#[test]
fn a_key_with_a_torsion_part_that_nobody_admitted_signs_no_more_in_a_crowd_than_alone() {
    let mut refused = 0;
    for n in 0..32 {
        let seed: [u8; 32] = Sha256::digest(n.to_string()).into();
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
        let twisted = VerifyKey::held(&with_torsion(secret.verifying_key().as_bytes(), 4)).unwrap();
        let mut all = crowd();
        all[5] = Claim { admitted: false, ..claim_by(&secret, twisted, n, 0, None) };
        refused += usize::from(!judged(&all)[5]);
    }
    assert!(refused > 0, "none of them was a false one");
}

// The equation holds for both; strict verification refuses them.
#[test]
fn signatures_with_a_key_or_a_nonce_of_small_order_are_refused_in_a_crowd() {
    let mut all = crowd();
    all[3] = claim(3, 0, Some(Scalar::ZERO));
    let neutral = EdwardsPoint::identity().compress().to_bytes();
    all[9].key = VerifyKey::held(&neutral).unwrap();
    let s = Scalar::from(77u64);
    all[9].signature[..32].copy_from_slice((ED25519_BASEPOINT_POINT * s).compress().as_bytes());
    all[9].signature[32..].copy_from_slice(s.as_bytes());
    let held = judged(&all);
    assert!(held.iter().enumerate().all(|(n, holds)| *holds != [3, 9].contains(&n)));
}

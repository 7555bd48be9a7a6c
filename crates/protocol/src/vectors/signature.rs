//! Attacks 10 and 12 for Ed25519, against [`VerifyKey`] as the product calls it.

use super::{bytes, fixed, published_json, text, wycheproof};
use crate::keys::{KeyFault, VerifyKey};

fn verifies(public: &[u8], message: &[u8], sig: &[u8]) -> Result<(), KeyFault> {
    let sig: &[u8; 64] = sig.try_into().map_err(|_| KeyFault::Length)?;
    VerifyKey::admit(public)?.verify_bare(message, sig)
}

#[test]
fn attack_12_published_vectors_ed25519() {
    let Some(cases) = wycheproof("ed25519_test.json", 151) else { return };
    let mut holding = 0;
    for case in &cases {
        let public = bytes(&case.group["publicKey"], "pk");
        let verdict = verifies(&public, &case.bytes("msg"), &case.bytes("sig"));
        assert_eq!(verdict.is_ok(), case.is("valid"), "{case}: {verdict:?}");
        holding += usize::from(verdict.is_ok());
    }
    assert_eq!(holding, 88);
}

#[test]
fn attack_10_published_vectors_cctv_ed25519() {
    let Some(file) = published_json("cctv/ed25519vectors.json") else { return };
    let cases = file.as_array().expect("a list");
    let (mut flagged, mut holding) = (0, 0);
    for case in cases {
        let flags: Vec<&str> = case["flags"].as_array().into_iter().flatten().filter_map(|f| f.as_str()).collect();
        let has = |flag: &str| flags.contains(&flag);
        let (key, sig) = (fixed::<32>(case, "key"), fixed::<64>(case, "sig"));
        let admission = VerifyKey::admit(&key).err();
        let verdict = verifies(&key, text(case, "msg").as_bytes(), &sig);
        let number = &case["number"];

        // Anything torsion touches in the key is turned away at the door, whoever signed with it.
        let torsion = has("low_order_A") || has("low_order_component_A");
        assert!(!torsion || admission == Some(KeyFault::WeakSigningKey), "case {number}");
        assert!(!has("non_canonical_A") || admission.is_some(), "case {number}");
        if torsion || has("low_order_R") {
            assert!(verdict.is_err(), "case {number}");
            flagged += 1;
        }
        // What is left has a sound key and a torsion part in R or in the equation: cofactored only, so not ours.
        assert!(!has("low_order_residue") || verdict.is_err(), "case {number}");
        holding += usize::from(verdict.is_ok());
    }
    assert_eq!((cases.len(), flagged, holding), (914, 906, 1));
}

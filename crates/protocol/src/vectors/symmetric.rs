//! Attack 12 for what works with one key: the ciphers, HKDF, HMAC, Argon2id. Refuses nothing by itself: the crates
//! are called exactly as `chunked` and the store call them.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use chacha20poly1305::aead::{self, AeadCore, AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::{blocks, bytes, published, text, wycheproof};

/// Opens `ct` both ways the product does, and seals back what opened. `None` when it is refused.
fn opened<A: AeadInOut + KeyInit + AeadCore>(case: &super::Case) -> Option<Vec<u8>> {
    let cipher = A::new_from_slice(&case.bytes("key")).expect("32 bytes");
    let nonce = aead::Nonce::<A>::try_from(case.bytes("iv").as_slice()).ok()?;
    let (aad, ct, tag) = (case.bytes("aad"), case.bytes("ct"), case.bytes("tag"));

    let tag = aead::Tag::<A>::try_from(tag.as_slice()).expect("16 bytes");
    let mut detached = ct.clone();
    let first = cipher.decrypt_inout_detached(&nonce, &aad, detached.as_mut_slice().into(), &tag);
    let mut in_place = [ct.as_slice(), &tag].concat();
    let second = cipher.decrypt_in_place(&nonce, &aad, &mut in_place);
    assert_eq!(first.is_ok(), second.is_ok(), "{case}");
    first.ok()?;
    assert_eq!(detached, in_place, "{case}");

    let mut sealed = in_place.clone();
    cipher.encrypt_in_place(&nonce, &aad, &mut sealed).expect("short enough");
    assert_eq!(sealed, [ct.as_slice(), &tag].concat(), "{case}");
    let sealed_tag = cipher.encrypt_inout_detached(&nonce, &aad, detached.as_mut_slice().into()).expect("short enough");
    assert_eq!((detached, sealed_tag.as_slice()), (ct, tag.as_slice()), "{case}");
    Some(in_place)
}

fn aead_file<A: AeadInOut + KeyInit + AeadCore>(file: &str, count: usize, valid: usize) {
    let Some(cases) = wycheproof(file, count) else { return };
    let mut opening = 0;
    for case in &cases {
        let plaintext = opened::<A>(case);
        assert_eq!(plaintext.is_some(), case.is("valid"), "{case}");
        if let Some(plaintext) = plaintext {
            assert_eq!(plaintext, case.bytes("msg"), "{case}");
            opening += 1;
        }
    }
    assert_eq!(opening, valid);
}

#[test]
fn attack_12_published_vectors_chacha20_poly1305() {
    aead_file::<ChaCha20Poly1305>("chacha20_poly1305_test.json", 325, 256);
}

#[test]
fn attack_12_published_vectors_xchacha20_poly1305() {
    aead_file::<XChaCha20Poly1305>("xchacha20_poly1305_test.json", 315, 246);
}

#[test]
fn attack_12_published_vectors_hkdf_sha256() {
    let Some(cases) = wycheproof("hkdf_sha256_test.json", 86) else { return };
    let mut too_large = 0;
    for case in &cases {
        let size = case.test["size"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a size");
        let mut okm = vec![0; size];
        let done =
            Hkdf::<Sha256>::new(Some(&case.bytes("salt")), &case.bytes("ikm")).expand(&case.bytes("info"), &mut okm);
        assert_eq!(done.is_ok(), case.is("valid"), "{case}");
        too_large += usize::from(done.is_err());
        assert!(done.is_err() || okm == case.bytes("okm"), "{case}");
    }
    assert_eq!(too_large, 3);
}

#[test]
fn attack_12_published_vectors_rfc_5869() {
    let Some(file) = published("kdf/rfc-5869-HKDF-SHA256.txt") else { return };
    let cases = blocks(&file);
    for case in &cases {
        let (salt, ikm, info, prk) = (bytes(case, "salt"), bytes(case, "IKM"), bytes(case, "info"), bytes(case, "PRK"));
        let mut okm = vec![0; text(case, "L").parse().expect("a length")];
        let (extracted, _) = Hkdf::<Sha256>::extract(Some(&salt), &ikm);
        assert_eq!(extracted.as_slice(), prk);
        // As `chunked` does: from a pseudorandom key, with an info in pieces.
        let (front, back) = info.split_at(info.len() / 2);
        let expand = Hkdf::<Sha256>::from_prk(&prk).expect("as long as a hash");
        expand.expand_multi_info(&[front, back], &mut okm).expect("short enough");
        assert_eq!(okm, bytes(case, "OKM"));
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn attack_12_published_vectors_hmac_sha256() {
    let Some(cases) = wycheproof("hmac_sha256_test.json", 174) else { return };
    let (mut whole, mut holding) = (0, 0);
    for case in &cases {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&case.bytes("key")).expect("any length");
        mac.update(&case.bytes("msg"));
        let tag = case.bytes("tag");
        // The product compares whole tags only: a shortened one must not pass for a whole one.
        let held = if case.group["tagSize"] == 256 {
            whole += 1;
            mac.verify_slice(&tag).is_ok()
        } else {
            assert!(mac.clone().verify_slice(&tag).is_err(), "{case}");
            mac.verify_truncated_left(&tag).is_ok()
        };
        assert_eq!(held, case.is("valid"), "{case}");
        holding += usize::from(held);
    }
    assert_eq!((whole, holding), (87, 66));
}

#[test]
fn attack_12_published_vectors_argon2id() {
    let Some(file) = published("kdf/argon2id.txt") else { return };
    let cases = blocks(&file);
    let optional = |case: &Value, name: &str| if case.get(name).is_some() { bytes(case, name) } else { vec![] };
    for case in &cases {
        let number = |name: &str| text(case, name).parse::<u32>().expect("a number");
        let want = bytes(case, "output");
        let (secret, data) = (optional(case, "secret"), optional(case, "ad"));
        let mut builder = ParamsBuilder::new();
        builder.m_cost(number("memcost")).t_cost(number("iter")).p_cost(number("lanes")).output_len(want.len());
        builder.data(AssociatedData::new(&data).expect("short"));
        let params = builder.build().expect("sound costs");
        let mut blocks = vec![argon2::Block::new(); params.block_count()];
        let argon = Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params).expect("short");
        let mut out = vec![0; want.len()];
        argon
            .hash_password_into_with_memory(&bytes(case, "pass"), &bytes(case, "salt"), &mut out, &mut blocks)
            .expect("it computes");
        assert_eq!(out, want, "COUNT = {}", text(case, "COUNT"));
    }
    assert_eq!(cases.len(), 6);
}

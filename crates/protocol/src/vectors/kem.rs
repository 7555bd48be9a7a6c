//! Attacks 11 and 12 for prekeys, X-Wing, its two halves and HPKE, against [`Prekey`], [`PrekeySecret`] and the
//! very types the envelope wraps its key with.

use std::convert::Infallible;
use std::io::Read as _;

use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use ml_kem::kem::Decapsulate as _;
use ml_kem::{DecapsulationKey768, EncapsulationKey768, KeyExport as _};
use rand_core::{TryCryptoRng, TryRng};

use super::{bytes, fixed, list, published, published_json, wycheproof};
use crate::ids::unhex;
use crate::keys::{Kem, KeyFault, Prekey, PrekeySecret};
use crate::limits::{KEM_ENC_LEN, PREKEY_LEN};

type Aead = hpke::aead::ChaCha20Poly1305;
type Kdf = hpke::kdf::HkdfSha256;

const MLKEM_LEN: usize = PREKEY_LEN - 32;

/// A generator that gives out the published randomness, once.
struct Published(Vec<u8>);

impl TryRng for Published {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = [0; 4];
        self.try_fill_bytes(&mut word).map(|()| u32::from_le_bytes(word))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.try_fill_bytes(&mut word).map(|()| u64::from_le_bytes(word))
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.copy_from_slice(&self.0.drain(..dst.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Published {}

fn sound_prekey() -> Vec<u8> {
    PrekeySecret::from_seed(&[1; 32]).public().expect("a fresh prekey is sound").as_bytes().to_vec()
}

fn prekey_of(mlkem: &[u8], x25519: &[u8]) -> Result<Prekey, KeyFault> {
    Prekey::admit(&[mlkem, x25519].concat())
}

#[test]
fn attack_12_published_vectors_hpke() {
    let Some(file) = published_json("hpke/mlkem768-x25519_hkdf-sha256_chacha20poly1305.json") else { return };
    let (mut opened, mut exported) = (0, 0);
    for case in file.as_array().expect("a list") {
        assert_eq!(
            (&case["mode"], &case["kem_id"], &case["kdf_id"], &case["aead_id"]),
            (&0.into(), &0x647a.into(), &1.into(), &3.into())
        );
        let (info, enc) = (bytes(case, "info"), bytes(case, "enc"));
        let secret = PrekeySecret::from_seed(&fixed(case, "skRm"));
        let public = secret.public().expect("a published prekey is sound");
        assert_eq!(public.as_bytes(), bytes(case, "pkRm"));
        let (derived, _) = Kem::derive_keypair(&bytes(case, "ikmR"));
        assert_eq!(derived.to_bytes().as_slice(), secret.seed());

        let mut rng = Published(bytes(case, "ikmE"));
        let (made, mut sender) =
            hpke::setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, public.key().unwrap(), &info, &mut rng)
                .unwrap();
        assert_eq!(made.to_bytes().as_slice(), enc);
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&enc).unwrap();
        let private = secret.private().unwrap();
        let mut receiver = hpke::setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, private, &enc, &info).unwrap();
        for (n, message) in list(case, "encryptions").iter().enumerate() {
            let (aad, pt, ct) = (bytes(message, "aad"), bytes(message, "pt"), bytes(message, "ct"));
            assert_eq!(sender.seal(&pt, &aad).unwrap(), ct);
            assert_eq!(receiver.open(&ct, &aad).unwrap(), pt);
            // The product opens one message per encapsulation, the first.
            let single = |info: &[u8], ct: &[u8], aad: &[u8]| {
                hpke::single_shot_open::<Aead, Kdf, Kem>(&OpModeR::Base, private, &enc, info, ct, aad).ok()
            };
            assert_eq!(single(&info, &ct, &aad), (n == 0).then_some(pt));
            assert_eq!(single(b"other info", &ct, &aad), None);
            assert_eq!(single(&info, &ct, b"other aad"), None);
            assert_eq!(single(&info, &ct[1..], &aad), None);
            opened += 1;
        }
        for export in list(case, "exports") {
            let mut out = [0; 32];
            receiver.export(&bytes(export, "exporter_context"), &mut out).unwrap();
            assert_eq!(out, fixed::<32>(export, "exported_value"));
            exported += 1;
        }
    }
    assert_eq!((opened, exported), (10, 5));
}

#[test]
fn attack_12_published_vectors_xwing() {
    let Some(file) = published_json("xwing/test-vectors.json") else { return };
    let cases = file.as_array().expect("a list");
    for case in cases {
        assert_eq!(case["seed"], case["sk"]);
        let public = PrekeySecret::from_seed(&fixed(case, "sk")).public().expect("a published prekey is sound");
        assert_eq!(public.as_bytes(), bytes(case, "pk"));
        let key = x_wing::EncapsulationKey::try_from(public.as_bytes()).expect("admitted");
        let (ct, ss) = key.encapsulate_deterministic(&fixed::<64>(case, "eseed").into());
        assert_eq!((ct.as_slice(), ss.as_slice()), (bytes(case, "ct").as_slice(), bytes(case, "ss").as_slice()));
        let secret = x_wing::DecapsulationKey::from(fixed::<32>(case, "sk"));
        assert_eq!(x_wing::kem::Decapsulate::decapsulate(&secret, &ct).as_slice(), bytes(case, "ss"));
        assert_eq!(ct.len(), KEM_ENC_LEN);
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn attack_12_published_vectors_x25519() {
    let Some(cases) = wycheproof("x25519_test.json", 518) else { return };
    let mlkem = &sound_prekey()[..MLKEM_LEN];
    let mut zero = 0;
    for case in &cases {
        let public: [u8; 32] = case.bytes("public").try_into().expect("32 bytes");
        let private: [u8; 32] = case.bytes("private").try_into().expect("32 bytes");
        let shared = x25519_dalek::x25519(private, public);
        assert_eq!(shared.as_slice(), case.bytes("shared"), "{case}");
        // Wycheproof finds a zero result acceptable; we do not, and refuse the key before it is used.
        let low = shared == [0; 32];
        assert_eq!(low, case.has_flag("ZeroSharedSecret"), "{case}");
        let verdict = prekey_of(mlkem, &public).err();
        assert_eq!(verdict, low.then_some(KeyFault::WeakPrekey), "{case}");
        zero += usize::from(low);
    }
    assert_eq!(zero, 31);
}

#[test]
fn attack_11_published_vectors_cctv_mlkem_modulus() {
    let Some(packed) = published("cctv/ml-kem/modulus-ML-KEM-768.txt.gz") else { return };
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).expect("gzip of text");
    let sound = sound_prekey();
    let (mlkem, x25519) = sound.split_at(MLKEM_LEN);
    let mut refused = 0;
    for line in unpacked.lines() {
        let out_of_range = unhex(line).expect("hex");
        assert_eq!(out_of_range.len(), MLKEM_LEN);
        for appended in [x25519, &[0xff; 32], &[9; 32], &[0; 32]] {
            assert_eq!(prekey_of(&out_of_range, appended).err(), Some(KeyFault::WeakPrekey));
        }
        refused += 1;
    }
    assert_eq!(refused, 780);
    assert!(prekey_of(mlkem, x25519).is_ok());
}

#[test]
fn attack_12_published_vectors_mlkem_768_encaps() {
    let Some(cases) = wycheproof("mlkem_768_encaps_test.json", 265) else { return };
    let x25519 = &sound_prekey()[MLKEM_LEN..];
    let mut admitted = 0;
    for case in &cases {
        let ek = case.bytes("ek");
        let verdict = prekey_of(&ek, x25519);
        assert_eq!(verdict.is_ok(), case.is("valid"), "{case}");
        let expected = if ek.len() == MLKEM_LEN { KeyFault::WeakPrekey } else { KeyFault::Length };
        assert!(verdict.is_ok() || verdict.err() == Some(expected), "{case}");
        let Ok(key) = ek.as_slice().try_into() else { continue };
        let key = EncapsulationKey768::new(key);
        assert_eq!(key.is_ok(), case.is("valid"), "{case}");
        if let Ok(key) = key {
            let (c, k) = key.encapsulate_deterministic(&fixed::<32>(&case.test, "m").into());
            assert_eq!((c.as_slice(), k.as_slice()), (&*case.bytes("c"), &*case.bytes("K")), "{case}");
            admitted += 1;
        }
    }
    assert_eq!(admitted, 133);
}

#[test]
#[allow(deprecated, reason = "the published expanded keys are in the form that FIPS 203 gives them")]
fn attack_12_published_vectors_mlkem_768_keygen_seed() {
    use ml_kem::ExpandedKeyEncoding as _;
    let Some(cases) = wycheproof("mlkem_768_keygen_seed_test.json", 100) else { return };
    for case in &cases {
        let key = DecapsulationKey768::from_seed(fixed::<64>(&case.test, "seed").into());
        assert_eq!(key.encapsulation_key().to_bytes().as_slice(), case.bytes("ek"), "{case}");
        assert_eq!(key.to_expanded_bytes().as_slice(), case.bytes("dk"), "{case}");
    }
}

#[test]
fn attack_12_published_vectors_mlkem_768() {
    let Some(cases) = wycheproof("mlkem_768_test.json", 193) else { return };
    let mut opened = 0;
    for case in &cases {
        let seed = <[u8; 64]>::try_from(case.bytes("seed"));
        let c = case.bytes("c");
        let (Ok(seed), Ok(c)) = (seed, c.as_slice().try_into()) else {
            assert!(case.is("invalid"), "{case}");
            continue;
        };
        let key = DecapsulationKey768::from_seed(seed.into());
        assert_eq!(key.encapsulation_key().to_bytes().as_slice(), case.bytes("ek"), "{case}");
        let c: &ml_kem::ml_kem_768::Ciphertext = c;
        assert_eq!(key.decapsulate(c).as_slice(), case.bytes("K"), "{case}");
        assert!(case.is("valid"), "{case}");
        opened += 1;
    }
    assert_eq!(opened, 153);
}

#[test]
#[allow(deprecated, reason = "the product keeps seeds only; the file is about expanded keys")]
fn attack_12_published_vectors_mlkem_768_semi_expanded_decaps() {
    let Some(cases) = wycheproof("mlkem_768_semi_expanded_decaps_test.json", 9) else { return };
    let mut opened = 0;
    for case in &cases {
        let (dk, c) = (case.bytes("dk"), case.bytes("c"));
        let key = dk.as_slice().try_into().ok().and_then(|dk| DecapsulationKey768::from_expanded(dk).ok());
        let c: Option<&ml_kem::ml_kem_768::Ciphertext> = c.as_slice().try_into().ok();
        let shared = key.zip(c).map(|(key, c)| key.decapsulate(c));
        assert_eq!(shared.is_some(), case.is("valid"), "{case}");
        if let Some(shared) = shared {
            assert_eq!(shared.as_slice(), case.bytes("K"), "{case}");
            opened += 1;
        }
    }
    assert_eq!(opened, 3);
}

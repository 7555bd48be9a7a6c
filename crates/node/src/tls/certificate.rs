//! The certificate around a TLS key: made with nothing in it but the key, read for nothing but the key.
//!
//! Refuses every other kind of key, and every byte that is not where a plain self-signed certificate has it.

use super::SCHEMES;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use std::sync::Arc;

/// Largest certificate read. Ours are below 300 bytes.
pub const CERTIFICATE_MAX: usize = 1024;

/// Names, dates and serial say nothing: whoever probes the port learns no more than it must.
pub(super) fn self_signed(key: Arc<dyn SigningKey>, public: [u8; 32]) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.self_signed(&Signer { key, public })?.into())
}

/// Lets the certificate be signed by the key TLS uses, so that the secret exists once.
struct Signer {
    key: Arc<dyn SigningKey>,
    public: [u8; 32],
}

impl rcgen::PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(SCHEMES).ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// The key in a version 3 X.509 certificate of an Ed25519 key, signed with Ed25519; `None` for anything else.
pub(crate) fn ed25519_key_of(certificate: &[u8]) -> Option<[u8; 32]> {
    if certificate.len() > CERTIFICATE_MAX {
        return None;
    }
    let (certificate, after) = element(certificate, SEQUENCE)?;
    let (tbs, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, rest) = element(rest, SEQUENCE)?;
    let (_signature, end) = element(rest, BIT_STRING)?;
    let (_version, rest) = element(tbs, EXPLICIT_0)?;
    let (_serial, rest) = element(rest, INTEGER)?;
    let (inner_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (_validity, rest) = element(rest, SEQUENCE)?;
    let (_subject, rest) = element(rest, SEQUENCE)?;
    let whole = after.is_empty() && end.is_empty() && algorithm == OID_ED25519 && inner_algorithm == OID_ED25519;
    if whole { key_of_spki(rest.get(..SPKI_ED25519.len() + 32)?) } else { None }
}

pub(super) fn key_of_spki(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&SPKI_ED25519)?.try_into().ok()
}

/// One DER element with `tag` at the front of `bytes`: its contents and what follows. Lengths up to 65535, minimal.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (len, rest) = rest.split_first()?;
            (usize::from(*len).checked_sub(0x80)? + 0x80, rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)).checked_sub(0x100)? + 0x100, rest)
        }
        _ => return None,
    };
    if *found == tag { rest.split_at_checked(len) } else { None }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const EXPLICIT_0: u8 = 0xa0;
/// 1.3.101.112, RFC 8410 section 3, as an element of its own.
pub(super) const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// What stands before the 32 bytes of a public key in DER, RFC 8410 section 4.
pub(super) const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::identity;
    use x509_parser::prelude::{FromDer, X509Certificate};

    #[test]
    fn our_reading_of_a_certificate_is_the_one_of_a_full_parser() {
        for n in 0..8 {
            let ours = identity(n);
            let der = ours.certificate().to_vec();
            let (_, parsed) = X509Certificate::from_der(&der).unwrap();
            let theirs = parsed.public_key().subject_public_key.data.to_vec();
            assert_eq!(ed25519_key_of(&der).map(|k| k.to_vec()), Some(theirs));
            assert_eq!(ed25519_key_of(&der), Some(ours.public_key()));
            assert!(parsed.subject().iter().next().is_none(), "nothing about us for whoever probes the port");
        }
    }

    #[test]
    fn a_certificate_of_another_kind_shape_or_length_has_no_key() {
        let der = identity(1).certificate().to_vec();
        for cut in 0..der.len() {
            assert_eq!(ed25519_key_of(&der[..cut]), None);
        }
        assert_eq!(ed25519_key_of(&[der.as_slice(), &[0]].concat()), None);
        assert_eq!(ed25519_key_of(&[0x30; CERTIFICATE_MAX + 1]), None);
        // The three places that say "Ed25519": the signed algorithm, the key's and the signature's.
        let said: Vec<_> = (0..der.len()).filter(|at| der[*at..].starts_with(OID_ED25519)).collect();
        assert_eq!(said.len(), 3);
        for at in said {
            let mut bent = der.clone();
            bent[at + OID_ED25519.len() - 1] = 0x71;
            assert_eq!(ed25519_key_of(&bent), None);
        }
        let mut p256 = rcgen::CertificateParams::default();
        p256.distinguished_name = rcgen::DistinguishedName::new();
        let other = p256.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(ed25519_key_of(other.der()), None);
        // No single changed byte makes it panic, whatever it then says.
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut bent = der.clone();
                bent[at] ^= 1 << bit;
                let _ = ed25519_key_of(&bent);
            }
        }
    }
}

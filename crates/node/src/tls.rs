//! The node's TLS: version 1.3, one post-quantum group, a self-signed Ed25519 certificate, keys compared by value.
//!
//! Refuses what most TLS is about: names, dates, authorities, resumption, early data, anything older. Who a key
//! belongs to is known from the signed directory alone (protocol section 4); attack 32 is this module's test.

mod certificate;

pub use certificate::CERTIFICATE_MAX;
#[cfg(feature = "probe")]
pub(crate) use certificate::ed25519_key_of as key_in;
use certificate::{SPKI_ED25519, ed25519_key_of, key_of_spki, self_signed};
use clearhouse_protocol::ids::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Who may speak to us, by the key they prove to hold.
pub trait Pins: Send + Sync + 'static {
    /// The node that lists `tls_pk` in its valid descriptor and is accredited and unrevoked; `None` for anyone else.
    ///
    /// Asked in the handshake and again at each call, so that a revocation ends an open connection too.
    fn peer(&self, tls_pk: &[u8; 32]) -> Option<NodeId>;
}

impl<F: Fn(&[u8; 32]) -> Option<NodeId> + Send + Sync + 'static> Pins for F {
    fn peer(&self, tls_pk: &[u8; 32]) -> Option<NodeId> {
        self(tls_pk)
    }
}

/// TLS could not be set up on our own side.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The seed gave no usable key or certificate.
    #[error("the TLS key could not be used: {0}. Restore the key file from its backup")]
    Key(String),
    /// The library refused our settings.
    #[error("TLS could not be configured: {0}. This is a bug: please report it")]
    Config(#[from] Error),
    /// A peer without a key cannot be dialled.
    #[error("the peer's descriptor lists no TLS key. Ask for its newest records")]
    NoPin,
}

/// Our own TLS key and the certificate around it. Has no `Debug`.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    public: [u8; 32],
}

impl Identity {
    /// Makes key and certificate from 32 secret bytes. The same seed always gives the same key.
    ///
    /// # Errors
    /// [`TlsError::Key`].
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Result<Self, TlsError> {
        let mut pkcs8 = Zeroizing::new([0u8; PKCS8_ED25519.len() + 32]);
        pkcs8[..PKCS8_ED25519.len()].copy_from_slice(&PKCS8_ED25519);
        pkcs8[PKCS8_ED25519.len()..].copy_from_slice(&seed[..]);
        let key = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8[..]))?;
        let spki = key.public_key().ok_or_else(|| TlsError::Key("no public key".into()))?;
        let public = key_of_spki(&spki).ok_or_else(|| TlsError::Key("not an Ed25519 key".into()))?;
        let certificate = self_signed(Arc::clone(&key), public).map_err(|e| TlsError::Key(e.to_string()))?;
        Ok(Self { certified: Arc::new(CertifiedKey::new(vec![certificate], key)), public })
    }

    /// The certificate itself.
    #[cfg(feature = "probe")]
    pub(crate) fn leaf(&self) -> Option<Vec<u8>> {
        self.certified.cert.first().map(|certificate| certificate.to_vec())
    }

    /// The public key, as the node's descriptor lists it.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    #[cfg(test)]
    fn certificate(&self) -> CertificateDer<'static> {
        self.certified.cert[0].clone()
    }
}

/// How we answer: every client must prove a key that `pins` knows.
///
/// # Errors
/// [`TlsError::Config`].
pub fn server_config(identity: &Identity, pins: Arc<dyn Pins>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Accredited { pins }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.certified))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// How we dial: the other side must prove one of the `expected` keys, those its descriptor lists.
///
/// # Errors
/// [`TlsError::NoPin`] when `expected` is empty, [`TlsError::Config`].
pub fn client_config(identity: &Identity, expected: &[[u8; 32]]) -> Result<Arc<ClientConfig>, TlsError> {
    if expected.is_empty() {
        return Err(TlsError::NoPin);
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Expected { keys: expected.to_vec() }))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.certified))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The name of the other side would travel in clear and is compared with nothing.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The Ed25519 key of a certificate a peer proved in its handshake; `None` when there is none.
#[must_use]
pub fn peer_key(certificates: Option<&[CertificateDer<'_>]>) -> Option<[u8; 32]> {
    match certificates {
        Some([only]) => ed25519_key_of(only),
        _ => None,
    }
}

/// The name of the application protocol; both sides insist on it.
pub const ALPN: &[u8] = b"h2";

/// One group and the default TLS 1.3 suites. Every peer runs our code, so there is nobody to be lenient with.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768], ..aws_lc_rs::default_provider() })
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// The server's judge of clients.
struct Accredited {
    pins: Arc<dyn Pins>,
}

impl ClientCertVerifier for Accredited {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let key = lone_key(end_entity, intermediates)?;
        self.pins.peer(&key).map(|_| ClientCertVerified::assertion()).ok_or(REFUSED)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(ONLY_TLS13)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl fmt::Debug for Accredited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accredited")
    }
}

/// The client's judge of the one node it dials.
struct Expected {
    keys: Vec<[u8; 32]>,
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = lone_key(end_entity, intermediates)?;
        if self.keys.contains(&key) { Ok(ServerCertVerified::assertion()) } else { Err(REFUSED) }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(ONLY_TLS13)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expected")
    }
}

/// The peer signed this very handshake with the key that was compared.
///
/// The signature is checked under the 32 bytes themselves and not under whatever another parser finds in the
/// certificate: two readings of one certificate can then never disagree.
fn verify_possession(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = ed25519_key_of(cert).ok_or(REFUSED)?;
    let spki: Vec<u8> = [&SPKI_ED25519[..], &key].concat();
    verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(spki), dss, &algorithms())
}

fn lone_key(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<[u8; 32], Error> {
    if !intermediates.is_empty() {
        return Err(REFUSED);
    }
    ed25519_key_of(end_entity).ok_or(REFUSED)
}

/// What stands before the 32 bytes of a seed in PKCS #8 version 1, RFC 8410 section 7.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const SCHEMES: &[SignatureScheme] = &[SignatureScheme::ED25519];
/// One answer to every certificate we do not want.
const REFUSED: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
const ONLY_TLS13: Error = Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustls::HandshakeKind;
    use rustls::crypto::SupportedKxGroup;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    /// A test identity; equal numbers give equal keys.
    pub(crate) fn identity(n: u8) -> Identity {
        Identity::from_seed(&Zeroizing::new([n; 32])).unwrap()
    }

    /// Pins the identities of `known`, whose node ids repeat their number.
    pub(crate) fn pins(known: &[u8]) -> Arc<dyn Pins> {
        let known: Vec<_> = known.iter().map(|n| (identity(*n).public_key(), NodeId([*n; 16]))).collect();
        Arc::new(move |pk: &[u8; 32]| known.iter().find(|(k, _)| k == pk).map(|(_, node)| *node))
    }

    /// A client that behaves, except where a test makes it not to.
    pub(crate) fn hostile(
        shown: Arc<CertifiedKey>,
        expected: [u8; 32],
        group: &'static dyn SupportedKxGroup,
    ) -> Arc<ClientConfig> {
        let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Expected { keys: vec![expected] }))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Arc::new(config)
    }

    /// The certificate of one identity with the key of another.
    pub(crate) fn copied_certificate(of: &Identity, with_key_of: &Identity) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(of.certified.cert.clone(), Arc::clone(&with_key_of.certified.key)))
    }

    /// Both ends' verdicts. The client's comes from a byte the server sends once it is content.
    async fn meet(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (Result<u16, String>, Result<(), String>) {
        let (near, far) = tokio::io::duplex(64 << 10);
        let serve = async move {
            let mut stream = TlsAcceptor::from(server).accept(far).await.map_err(|e| e.to_string())?;
            stream.write_all(b"!").await.map_err(|e| e.to_string())?;
            stream.flush().await.map_err(|e| e.to_string())?;
            let group = stream.get_ref().1.negotiated_key_exchange_group().map(|g| u16::from(g.name()));
            group.ok_or_else(|| "no group".to_owned())
        };
        tokio::join!(serve, dial(client, near))
    }

    async fn dial(client: Arc<ClientConfig>, near: DuplexStream) -> Result<(), String> {
        let name = ServerName::try_from("node.invalid").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, near).await.map_err(|e| e.to_string())?;
        stream.read_u8().await.map(|_| ()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn two_nodes_that_list_each_other_meet_over_the_post_quantum_group() {
        let server = server_config(&identity(1), pins(&[2])).unwrap();
        let client = client_config(&identity(2), &[[0; 32], identity(1).public_key()]).unwrap();
        let (served, dialled) = meet(server, client).await;
        assert_eq!(served, Ok(0x11ec), "X25519MLKEM768");
        assert_eq!(dialled, Ok(()));
    }

    #[tokio::test]
    async fn attack_32_a_certificate_without_its_key_is_refused_on_both_sides() {
        let (server, member, thief) = (identity(1), identity(2), identity(9));
        let group = aws_lc_rs::kx_group::X25519MLKEM768;
        let client = hostile(copied_certificate(&member, &thief), server.public_key(), group);
        let (served, dialled) = meet(server_config(&server, pins(&[2])).unwrap(), client).await;
        assert!(served.is_err() && dialled.is_err());

        let mut stolen = ServerConfig::clone(&server_config(&thief, pins(&[2])).unwrap());
        stolen.cert_resolver = Arc::new(SingleCertAndKey::from(copied_certificate(&server, &thief)));
        let client = client_config(&member, &[server.public_key()]).unwrap();
        let (served, dialled) = meet(Arc::new(stolen), client).await;
        assert!(served.is_err() && dialled.is_err());
    }

    #[tokio::test]
    async fn attack_32_another_nodes_key_is_not_the_one_dialled() {
        let server = server_config(&identity(1), pins(&[2])).unwrap();
        let client = client_config(&identity(2), &[identity(3).public_key()]).unwrap();
        let (served, dialled) = meet(server, client).await;
        assert!(served.is_err());
        assert!(dialled.unwrap_err().contains("ApplicationVerificationFailure"));
    }

    #[tokio::test]
    async fn attack_32_a_valid_certificate_nobody_vouched_for_is_refused() {
        let server = server_config(&identity(1), pins(&[2])).unwrap();
        let client = client_config(&identity(7), &[identity(1).public_key()]).unwrap();
        let (served, dialled) = meet(server, client).await;
        assert!(served.unwrap_err().contains("ApplicationVerificationFailure"));
        assert!(dialled.unwrap_err().contains("AccessDenied"));
    }

    #[tokio::test]
    async fn attack_32_a_client_without_the_post_quantum_group_is_refused() {
        for group in [aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::MLKEM768] {
            let server = server_config(&identity(1), pins(&[2])).unwrap();
            let shown = Arc::clone(&identity(2).certified);
            let (served, dialled) = meet(server, hostile(shown, identity(1).public_key(), group)).await;
            assert!(served.unwrap_err().contains("NoKxGroupsInCommon"));
            assert!(dialled.is_err());
        }
    }

    #[tokio::test]
    async fn attack_32_a_tls_1_2_hello_gets_an_alert_and_nothing_else() {
        let (mut near, far) = tokio::io::duplex(64 << 10);
        let acceptor = TlsAcceptor::from(server_config(&identity(1), pins(&[2])).unwrap());
        let served = tokio::spawn(async move { acceptor.accept(far).await.map(|_| ()).map_err(|e| e.to_string()) });
        near.write_all(&tls12_hello()).await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        assert!(served.await.unwrap().is_err());
        // Record type 21 is an alert: one, fatal, and then the end.
        assert_eq!((answer[0], answer.len(), answer[5]), (21, 7, 2));
    }

    /// Two handshakes of the same two ends, a byte exchanged after each; the kind of the second and its tickets.
    async fn meet_again(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Option<HandshakeKind>, u32) {
        let mut last = (None, 0);
        for _ in 0..2 {
            let (near, far) = tokio::io::duplex(64 << 10);
            let acceptor = TlsAcceptor::from(Arc::clone(server));
            let connector = TlsConnector::from(Arc::clone(client));
            let name = ServerName::try_from("node.invalid").unwrap();
            let (served, dialled) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
            let (mut served, mut dialled) = (served.unwrap(), dialled.unwrap());
            served.write_all(b"!").await.unwrap();
            dialled.read_u8().await.unwrap();
            last = (dialled.get_ref().1.handshake_kind(), dialled.get_ref().1.tls13_tickets_received());
        }
        last
    }

    #[tokio::test]
    async fn neither_side_resumes_even_when_the_other_would() {
        let server = server_config(&identity(1), pins(&[2])).unwrap();
        let client = client_config(&identity(2), &[identity(1).public_key()]).unwrap();
        let group = aws_lc_rs::kx_group::X25519MLKEM768;
        let willing_client = hostile(Arc::clone(&identity(2).certified), identity(1).public_key(), group);
        assert_eq!(meet_again(&server, &willing_client).await, (Some(HandshakeKind::Full), 0));

        let mut willing_server = ServerConfig::clone(&server);
        willing_server.send_tls13_tickets = 2;
        willing_server.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
        let willing_server = Arc::new(willing_server);
        assert_eq!(meet_again(&willing_server, &client).await, (Some(HandshakeKind::Full), 2));
        // The test would notice: two willing ends do resume.
        let resumed = meet_again(&willing_server, &willing_client).await.0;
        assert_eq!(resumed, Some(HandshakeKind::Resumed));
    }

    #[test]
    fn a_peer_without_a_listed_key_is_not_dialled() {
        assert!(matches!(client_config(&identity(1), &[]), Err(TlsError::NoPin)));
    }

    /// A ClientHello as a TLS 1.2 client without extensions of 1.3 sends it.
    pub(crate) fn tls12_hello() -> Vec<u8> {
        let extensions: &[u8] = &[
            0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d, // groups: x25519
            0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, // point formats
            0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x08, 0x07, 0x04, 0x03, // ed25519, ecdsa p256
        ];
        let mut body = vec![0x03, 0x03];
        body.extend([0x5a; 32]);
        body.push(0);
        body.extend([0x00, 0x04, 0xc0, 0x2b, 0xc0, 0x2f, 0x01, 0x00]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let len = u16::try_from(body.len()).unwrap();
        let mut record = vec![0x16, 0x03, 0x01];
        record.extend((len + 4).to_be_bytes());
        record.extend([0x01, 0x00]);
        record.extend(len.to_be_bytes());
        record.extend(body);
        record
    }
}

//! From `host:port` to an HTTP/2 connection with the right node, each step failing in its own words.
//!
//! Refuses to hand over a line before the other side has accepted our key too: in TLS 1.3 the client is done before
//! the server has judged it, so the first bytes of HTTP/2 are awaited here.

use crate::limits::Limits;
use crate::rpc::status::{LineGone, PeerError, TlsFault};
use crate::tls::{self, ALPN, Identity};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How far a dialling came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its name, or its address as numbers.
    Name,
    /// A connection to that address.
    Connection,
    /// TLS 1.3 with what answers there.
    Tls,
    /// The keys of both sides.
    Key,
}

/// A channel over one line. When the line is gone the channel is, too: it never dials again by itself.
pub(super) async fn dial(
    endpoint: &str,
    pins: &[[u8; 32]],
    identity: &Identity,
    limits: &Limits,
) -> Result<Channel, (Step, PeerError)> {
    let config = tls::client_config(identity, pins).map_err(|_| (Step::Key, PeerError::Tls(TlsFault::OtherKey)))?;
    let stream = timeout(limits.dial, reach(endpoint)).await.unwrap_or(Err(PeerError::Unreachable));
    let stream =
        stream.map_err(|error| (if error == PeerError::Name { Step::Name } else { Step::Connection }, error))?;
    let time = limits.handshake.saturating_add(limits.preface);
    let line = timeout(time, secure(config, stream)).await.unwrap_or(Err(PeerError::Deadline(time)));
    let by_key = |error: &PeerError| matches!(error, PeerError::Tls(TlsFault::OtherKey | TlsFault::NotKnownThere));
    let line = line.map_err(|error| (if by_key(&error) { Step::Key } else { Step::Tls }, error))?;
    channel(line, limits).await.map_err(|error| (Step::Tls, error))
}

/// A TCP connection to the first address that answers.
async fn reach(endpoint: &str) -> Result<TcpStream, PeerError> {
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host(endpoint).await.map_err(|_| PeerError::Name)?.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(PeerError::Name);
    }
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(address).await {
            stream.set_nodelay(true).map_err(|_| PeerError::Unreachable)?;
            return Ok(stream);
        }
    }
    Err(PeerError::Unreachable)
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The handshake and the server's first frame header.
async fn secure(config: Arc<ClientConfig>, stream: TcpStream) -> Result<Begun<TlsStream<TcpStream>>, PeerError> {
    // Never sent and never compared; the type asks for one.
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
    let mut stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| fault(&e))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(PeerError::Tls(TlsFault::NotANode));
    }
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).await.map_err(|e| fault(&e))?;
    // RFC 9113 section 3.4: the server's first frame is SETTINGS, type 4, on stream 0.
    if head[3] != 4 || head[5..] != [0; 4] {
        return Err(PeerError::Protocol);
    }
    Ok(Begun { head, given: 0, stream })
}

const FRAME_HEAD: usize = 9;

/// Reads a failed handshake.
fn fault(error: &io::Error) -> PeerError {
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
        // A peer at its cap, or not a node at all, closes without a word.
        let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        return if closed.contains(&error.kind()) { PeerError::Unreachable } else { PeerError::Protocol };
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open, and all others are one to us")]
    PeerError::Tls(match tls {
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => TlsFault::OtherKey,
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => TlsFault::OtherKey,
        rustls::Error::AlertReceived(AlertDescription::AccessDenied | AlertDescription::CertificateUnknown) => {
            TlsFault::NotKnownThere
        }
        _ => TlsFault::NotANode,
    })
}

async fn channel(line: Begun<TlsStream<TcpStream>>, limits: &Limits) -> Result<Channel, PeerError> {
    let once = Mutex::new(Some(TokioIo::new(line)));
    let connector = tower::service_fn(move |_: Uri| {
        let line = crate::limits::lock(&once).take();
        std::future::ready(line.ok_or(LineGone))
    });
    // The authority is the same for every peer: a name here would only be one more thing to log.
    Endpoint::from_static("http://node.invalid")
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .http2_max_header_list_size(limits.header_list)
        .max_frame_size(limits.http_frame)
        .http2_max_local_error_reset_streams(limits.local_resets)
        .connect_with_connector(connector)
        .await
        .map_err(|_| PeerError::Protocol)
}

/// A stream whose first bytes were read already and are given out again.
struct Begun<S> {
    head: [u8; FRAME_HEAD],
    given: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given < FRAME_HEAD {
            let len = buf.remaining().min(FRAME_HEAD - self.given);
            buf.put_slice(&self.head[self.given..self.given + len]);
            self.given += len;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_bytes_read_ahead_are_given_out_first_in_any_portions() {
        for portion in [1, 4, 9, 100] {
            let stream: &[u8] = b"and the rest";
            let mut begun = Begun { head: *b"123456789", given: 0, stream: tokio::io::join(stream, tokio::io::sink()) };
            let mut all: Vec<u8> = Vec::new();
            loop {
                let mut part = vec![0; portion];
                let read = begun.read(&mut part).await.unwrap();
                if read == 0 {
                    break;
                }
                all.extend(&part[..read]);
            }
            assert_eq!(all, b"123456789and the rest");
        }
    }
}

//! The floor of every call: a bare tonic server that gives back what it got, over the product's own TLS settings and
//! nothing else of the product. What a benchmark holds the node's calls against.
//!
//! Listens on loopback alone, lets nobody in but the one key it is told, and knows nothing of a node: there is nothing
//! behind it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use clearhouse_protocol::ids::NodeId;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::tls::{Identity, Pins, TlsError, client_config, server_config};

/// Threads of the server: as many as a small office's machine has cores.
const THREADS: usize = 2;
/// Connections whose handshake is done and that the server has not taken yet.
const SECURED_MAX: usize = 8;

/// Why there is no echo.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// Of the system.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A key or certificate that cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The library refused to dial.
    #[error("{0}")]
    Dial(#[from] tonic::transport::Error),
    /// The call failed.
    #[error("{0}")]
    Call(#[from] Status),
    /// Something else came back.
    #[error("the echo gave back something else")]
    NotTheSame,
}

/// What goes there and comes back.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

type Codec = ProstCodec<Payload, Payload>;

/// A running echo and lines to it. Ends with [`Echo::stop`].
pub struct Echo {
    lines: Arc<Vec<Line>>,
    server: Runtime,
}

/// One connection to an echo.
#[derive(Clone)]
pub struct Line(Channel);

impl Echo {
    /// Starts the server on threads of its own and opens `lines` connections to it from the calling runtime.
    ///
    /// # Errors
    /// [`EchoError`].
    pub async fn start(server: &Identity, client: &Identity, lines: usize) -> Result<Self, EchoError> {
        let only = client.public_key();
        let pins: Arc<dyn Pins> = Arc::new(move |pk: &[u8; 32]| (*pk == only).then_some(NodeId([1; 16])));
        let tls = TlsAcceptor::from(server_config(server, pins)?);
        let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
        tcp.set_nonblocking(true)?;
        let at = tcp.local_addr()?;
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("echo").enable_all().build()?;
        let (secured, incoming) = mpsc::channel(SECURED_MAX);
        runtime.spawn(async move { accept(TcpListener::from_std(tcp)?, tls, secured).await });
        runtime.spawn(Server::builder().add_service(Same).serve_with_incoming(ReceiverStream::new(incoming)));
        let connector = TlsConnector::from(client_config(client, &[server.public_key()])?);
        let mut opened = Vec::new();
        for _ in 0..lines {
            opened.push(Line(dial(at, &connector).await?));
        }
        Ok(Self { lines: Arc::new(opened), server: runtime })
    }

    /// The connections.
    #[must_use]
    pub fn lines(&self) -> Arc<Vec<Line>> {
        Arc::clone(&self.lines)
    }

    /// Ends the server, without waiting for it.
    pub fn stop(self) {
        self.server.shutdown_background();
    }
}

impl Line {
    /// One call: `len` bytes there and back.
    ///
    /// # Errors
    /// [`EchoError::Call`], [`EchoError::Dial`], [`EchoError::NotTheSame`].
    pub async fn call(&self, len: usize) -> Result<(), EchoError> {
        let mut client = tonic::client::Grpc::new(self.0.clone());
        client.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/bench.Echo/Same");
        let payload = Payload { data: vec![0xA5; len] };
        let got = client.unary(Request::new(payload), path, Codec::default()).await?.into_inner();
        if got.data.len() == len { Ok(()) } else { Err(EchoError::NotTheSame) }
    }
}

async fn accept(tcp: TcpListener, tls: TlsAcceptor, secured: mpsc::Sender<io::Result<Secured>>) -> io::Result<()> {
    loop {
        let (stream, _) = tcp.accept().await?;
        stream.set_nodelay(true)?;
        let stream = tls.accept(stream).await?;
        if secured.send(Ok(Secured(stream))).await.is_err() {
            return Ok(());
        }
    }
}

async fn dial(at: SocketAddr, connector: &TlsConnector) -> Result<Channel, EchoError> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
    let stream = connector.connect(name, stream).await?;
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_: Uri| {
        let line = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready(line.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    Ok(Endpoint::from_static("http://echo.invalid").connect_with_connector(connector).await?)
}

/// The service, written out: one call, the same bytes back.
#[derive(Clone)]
struct Same;

impl NamedService for Same {
    const NAME: &'static str = "bench.Echo";
}

impl tower::Service<http::Request<Body>> for Same {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Codec::default()).unary(Same, request).await) })
    }
}

impl UnaryService<Payload> for Same {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// A TLS stream, for a server that wants to know nothing about it.
struct Secured(TlsStream<TcpStream>);

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(&Zeroizing::new([seed; 32])).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sent_comes_back_to_the_one_that_is_let_in() {
        let (server, client) = (identity(1), identity(2));
        let echo = Echo::start(&server, &client, 2).await.unwrap();
        for line in echo.lines().iter() {
            line.call(4096).await.unwrap();
        }
        echo.stop();
    }
}

//! The floor of every call: a bare tonic server that gives back what it got, over the product's own TLS settings and
//! nothing else of the product.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use clearhouse_node::tls::{Identity, Pins, client_config, server_config};
use clearhouse_protocol::ids::NodeId;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
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

use crate::measure::{Outcome, Run, during, load};

/// What goes there and comes back.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

type Codec = ProstCodec<Payload, Payload>;

/// A running echo and lines to it.
pub(crate) struct Echo {
    lines: Arc<Vec<Channel>>,
    server: Runtime,
}

impl Echo {
    /// Starts the server on threads of its own and opens `lines` connections to it from the calling runtime.
    pub(crate) async fn start(server: &Identity, client: &Identity, lines: usize) -> Outcome<Self> {
        let anybody: Arc<dyn Pins> = Arc::new(|_: &[u8; 32]| Some(NodeId([1; 16])));
        let tls = TlsAcceptor::from(server_config(server, anybody)?);
        let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
        tcp.set_nonblocking(true)?;
        let at = tcp.local_addr()?;
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("echo").enable_all().build()?;
        let (secured, incoming) = mpsc::channel(8);
        runtime.spawn(async move { accept(TcpListener::from_std(tcp)?, tls, secured).await });
        runtime.spawn(Server::builder().add_service(Same).serve_with_incoming(ReceiverStream::new(incoming)));
        let connector = TlsConnector::from(client_config(client, &[server.public_key()])?);
        let mut opened = Vec::new();
        for _ in 0..lines {
            opened.push(dial(at, &connector).await?);
        }
        Ok(Self { lines: Arc::new(opened), server: runtime })
    }

    /// `lanes` callers, spread over all lines, each with `len` bytes at a time, for `time`.
    pub(crate) async fn measure(&self, lanes: usize, len: usize, time: Duration) -> Outcome<Run> {
        let lines = Arc::clone(&self.lines);
        let call = move |lane: usize, ()| {
            let line = lines[lane % lines.len()].clone();
            async move {
                let sent = Payload { data: vec![0xA5; len] };
                let got = ask(line, sent).await?;
                if got.data.len() == len { Ok(()) } else { Err("the echo gave back something else".into()) }
            }
        };
        Run::of(load(lanes, during(time), call)).await
    }

    /// Ends the server.
    pub(crate) fn stop(self) {
        self.server.shutdown_background();
    }
}

async fn ask(line: Channel, payload: Payload) -> Outcome<Payload> {
    let mut client = tonic::client::Grpc::new(line);
    client.ready().await?;
    let path = http::uri::PathAndQuery::from_static("/figures.Echo/Same");
    Ok(client.unary(Request::new(payload), path, Codec::default()).await?.into_inner())
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

async fn dial(at: SocketAddr, connector: &TlsConnector) -> Outcome<Channel> {
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
    const NAME: &'static str = "figures.Echo";
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

//! The planted bug: the same attacks against a door as the library builds one by default. Where they end well there, they
//! show nothing; so each of these must be found.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use clearhouse_node::clock::chance;
use clearhouse_node::tls::{Identity, Pins, server_config};
use clearhouse_protocol::ids::NodeId;
use clearhouse_wire::v1::{DigestsReply, DigestsRequest};
use rand_core::Rng as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::frames::{PING, SETTINGS, WINDOW_UPDATE, frame};
use super::peer::Target;
use super::{calls, floods, strangers};

#[test]
fn the_attacks_find_a_door_without_limits() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let target = lax_door().await;
        let halves = async || {
            let preface = strangers::half_begun(&target, 20, strangers::half_a_preface());
            let settings = strangers::half_begun(&target, 20, strangers::half_a_settings_frame());
            let (preface, settings) = tokio::join!(preface, settings);
            for ending in [preface, settings] {
                assert_eq!(ending, Err("20 are open after 6s".to_owned()));
            }
        };
        let bombs = async || {
            assert_eq!(calls::records(&target).await, Err("status 0, not 3".to_owned()));
            let held = floods::open_streams(&target).await;
            assert!(held.as_ref().is_err_and(|how| how.ends_with("streams are held")), "{held:?}");
        };
        let chatter = async || {
            for piece in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
                let held = floods::unread(&target, &piece).await;
                assert!(held.as_ref().is_err_and(|how| how.contains("taken")), "{held:?}");
            }
            let window = frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes());
            let taken = floods::unread(&target, &window).await;
            assert!(taken.as_ref().is_err_and(|how| how.contains("reads nothing")), "{taken:?}");
        };
        tokio::join!(halves(), bombs(), chatter());
    });
}

/// A door with our handshake and everything else as it comes.
async fn lax_door() -> Target {
    let identity = || {
        let mut seed = Zeroizing::new([0; 32]);
        chance().fill_bytes(seed.as_mut());
        Identity::from_seed(&seed).unwrap()
    };
    let (own, shown) = (identity(), identity());
    let pins: Arc<dyn Pins> = Arc::new(|_: &[u8; 32]| Some(NodeId([1; 16])));
    let acceptor = TlsAcceptor::from(server_config(&own, pins).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (lines, incoming) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, lines) = (acceptor.clone(), lines.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (mut near, far) = tokio::io::duplex(64 << 10);
                let _ = lines.send(Ok::<_, std::io::Error>(far)).await;
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
            });
        }
    });
    let served = Server::builder().add_service(Lax::<SYNC>).add_service(Lax::<EXCHANGE>).add_service(Lax::<HEALTH>);
    tokio::spawn(served.serve_with_incoming(ReceiverStream::new(incoming)));
    Target { at, pins: vec![own.public_key()], shown }
}

/// Answers every call of one of three services, once it has decoded it as the library does.
#[derive(Clone)]
struct Lax<const SERVICE: u8>;

const SYNC: u8 = 0;
const EXCHANGE: u8 = 1;
const HEALTH: u8 = 2;

impl NamedService for Lax<SYNC> {
    const NAME: &'static str = "clearhouse.v1.Sync";
}

impl NamedService for Lax<EXCHANGE> {
    const NAME: &'static str = "clearhouse.v1.Exchange";
}

impl NamedService for Lax<HEALTH> {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl<const SERVICE: u8> Service<http::Request<Body>> for Lax<SERVICE> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let codec = tonic_prost::ProstCodec::<DigestsReply, DigestsRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(Yes, request).await) })
    }
}

struct Yes;

impl UnaryService<DigestsRequest> for Yes {
    type Response = DigestsReply;
    type Future = std::future::Ready<Result<Response<DigestsReply>, Status>>;

    fn call(&mut self, _: Request<DigestsRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(DigestsReply::default())))
    }
}

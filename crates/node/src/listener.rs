//! The public door: accepts, shakes hands, and gives the gRPC server only connections of accredited nodes.
//!
//! Refuses silence, slowness and numbers (reliability section 5 A): every wait has a deadline, every count a cap, and
//! nothing a stranger does ends the loop. Addresses are counted in memory and never logged.

mod chatter;
mod line;
mod places;

#[cfg(feature = "probe")]
pub(crate) use chatter::probe;
pub use line::Caller;
pub use places::{Fate, Places};

use crate::limits::{Counters, FILES_KEPT, Limits};
use crate::rpc::server::Service;
use crate::tls::{self, ALPN, Identity, Pins, TlsError};
use line::Line;
use places::StrangerPlace;
use rustix::process::{Resource, getrlimit};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

/// The door could not be opened or fell shut.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be listened on.
    #[error("cannot listen on {at}: {source}. Is another program, or this node already, using the port?")]
    Bind {
        /// The address as configured.
        at: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The gRPC server ended by itself.
    #[error("the gRPC server ended: {0}. This is a bug: please report it")]
    Server(#[from] tonic::transport::Error),
}

/// A port that is listened on but not served yet.
pub struct Listener {
    tcp: TcpListener,
    greeter: Arc<Greeter>,
}

impl Listener {
    /// Listens on `at` as `identity` for the nodes `pins` knows.
    ///
    /// # Errors
    /// [`ListenError::Bind`], [`ListenError::Tls`].
    pub async fn bind(
        at: SocketAddr,
        identity: &Identity,
        pins: Arc<dyn Pins>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Result<Self, ListenError> {
        let tls = tls::server_config(identity, Arc::clone(&pins))?;
        let tcp = TcpListener::bind(at).await.map_err(|source| ListenError::Bind { at, source })?;
        let greeter = Greeter {
            tls,
            pins,
            places: Places::new(&limits, Arc::clone(&counters)),
            turns: Semaphore::new(limits.handshakes_in_flight),
            limits,
            counters,
        };
        Ok(Self { tcp, greeter: Arc::new(greeter) })
    }

    /// Where it listens: the real port when 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Who is connected, and by which to hang up on a node.
    #[must_use]
    pub fn places(&self) -> Arc<Places> {
        Arc::clone(&self.greeter.places)
    }

    /// Serves until `shutdown`, then gives open calls [`Limits::drain`] to end and ends the rest.
    ///
    /// # Errors
    /// [`ListenError::Server`].
    pub async fn serve(self, service: Service, shutdown: impl Future<Output = ()>) -> Result<(), ListenError> {
        let Self { tcp, greeter } = self;
        let limits = greeter.limits.clone();
        let places = Arc::clone(&greeter.places);
        let (lines, incoming) = mpsc::channel(LINES_WAITING);
        let (stop, stopped) = oneshot::channel::<()>();
        let incoming = ReceiverStream::new(incoming);
        let served = http2(&limits).layer(service.contain).add_routes(service.routes).serve_with_incoming_shutdown(
            tokio_stream::StreamExt::map(incoming, Ok::<_, io::Error>),
            async {
                // A dropped sender is a stop as well.
                let _ = stopped.await;
            },
        );
        let mut served = std::pin::pin!(served);
        let mut accepting = std::pin::pin!(accept(tcp, greeter, lines));
        let mut shutdown = std::pin::pin!(shutdown);
        tokio::select! {
            ended = &mut served => return Ok(ended?),
            () = &mut accepting => {}
            () = &mut shutdown => {}
        }
        drop(stop);
        // From here the port is closed: `incoming` is gone and with it the accept loop's reason to go on.
        let drained = timeout(limits.drain, async { tokio::join!(&mut served, &mut accepting).0 });
        if let Ok(ended) = drained.await {
            return Ok(ended?);
        }
        places.hang_up_all();
        timeout(HANG_UP_TIME, served).await.unwrap_or(Ok(()))?;
        Ok(())
    }
}

/// Lines that have shaken hands and wait for the gRPC server to take them, which it does at once.
const LINES_WAITING: usize = 32;
/// Time for ended lines to be noticed.
const HANG_UP_TIME: Duration = Duration::from_secs(1);
/// Pause after an error of the system while accepting. Without it a process out of file handles would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The gRPC server with every bound it leaves open by default.
///
/// Its own `timeout` stays unset: calls are timed in the layer around them, where a deposit has its pace. Its
/// `max_connection_age_grace` too: with it, lines that reach their age are cut without being told to finish, so the
/// end of the grace is kept by the line itself.
fn http2(limits: &Limits) -> Server {
    Server::builder()
        .max_concurrent_streams(limits.streams_per_connection)
        .concurrency_limit_per_connection(limits.calls_per_connection)
        .load_shed(true)
        .http2_max_header_list_size(limits.header_list)
        .max_frame_size(limits.http_frame)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .http2_max_pending_accept_reset_streams(Some(limits.pending_resets))
        .http2_max_local_error_reset_streams(Some(limits.local_resets))
        .http2_keepalive_interval(Some(limits.keepalive_every))
        .http2_keepalive_timeout(Some(limits.keepalive_answer))
        .max_connection_age(limits.connection_age)
}

/// Accepts until nobody takes the lines any more.
async fn accept(tcp: TcpListener, greeter: Arc<Greeter>, lines: mpsc::Sender<Line<TlsStream<TcpStream>>>) {
    let mut greetings = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = lines.closed() => return,
            accepted = tcp.accept() => accepted,
            Some(ended) = greetings.join_next() => {
                if matches!(ended, Err(ref error) if error.is_panic()) {
                    greeter.counters.panics.add();
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, from)) => {
                // At a cap the stream is dropped, which closes it at once.
                if takes_a_last_file(&stream) {
                    greeter.counters.no_files.add();
                } else if let Some(place) = greeter.places.stranger(from.ip()) {
                    greetings.spawn(greet(Arc::clone(&greeter), stream, place, lines.clone()));
                }
            }
            Err(error) => {
                greeter.counters.accept_failed.add();
                tracing::debug!(kind = ?error.kind(), "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether fewer than [`FILES_KEPT`] are left. The system gives the lowest number that is free, so that the number says how
/// many are open.
fn takes_a_last_file(stream: &TcpStream) -> bool {
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or(u64::MAX);
    let all = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    number.saturating_add(FILES_KEPT) >= all
}

async fn greet(
    greeter: Arc<Greeter>,
    stream: TcpStream,
    place: StrangerPlace,
    lines: mpsc::Sender<Line<TlsStream<TcpStream>>>,
) {
    let deadline = tokio::time::Instant::now() + greeter.limits.handshake;
    match timeout_at(deadline, greeter.shake_hands(stream)).await {
        Ok(Some((stream, node, key))) => {
            greeter.counters.lines_opened.add();
            let line = Line::new(stream, node, key, place.settle(node), &greeter.limits, Arc::clone(&greeter.counters));
            // Fails only when the node is stopping.
            let _ = lines.send(line).await;
        }
        Ok(None) => greeter.counters.handshake_failed.add(),
        Err(_) => greeter.counters.handshake_slow.add(),
    }
}

struct Greeter {
    tls: Arc<ServerConfig>,
    pins: Arc<dyn Pins>,
    places: Arc<Places>,
    turns: Semaphore,
    limits: Limits,
    counters: Arc<Counters>,
}

impl Greeter {
    /// A stream whose peer has proven a key that `pins` knows; `None` for any reason it has not.
    async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, clearhouse_protocol::ids::NodeId, [u8; 32])> {
        stream.set_nodelay(true).ok()?;
        // Reading the hello costs nothing; a turn is only taken by who has said all of it.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let turn = self.turns.acquire().await.ok()?;
        let stream = hello.into_stream(Arc::clone(&self.tls)).await.ok()?;
        drop(turn);
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN) {
            return None;
        }
        let key = tls::peer_key(session.peer_certificates())?;
        let node = self.pins.peer(&key)?;
        Some((stream, node, key))
    }
}

#[cfg(test)]
mod tests;

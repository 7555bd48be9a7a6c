//! One connection of somebody who means no good: where it comes from, what key it shows, what it heard.
//!
//! Refuses to judge: an attack says what must have happened, here is only kept what did.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clearhouse_node::tls::{Identity, client_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::frames::{
    DATA, FRAME_MAX, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, beginning, frame, read_headers,
};

/// How long a member may be kept out by strangers, with what a busy machine adds; and how soon it comes again.
const LET_IN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// Whom to attack, as whom, and from where.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) at: SocketAddr,
    pub(super) pins: Vec<[u8; 32]>,
    pub(super) shown: Identity,
}

/// A TCP connection from one of the many addresses that a loopback has.
pub(super) async fn tcp(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

/// One that takes next to nothing ahead of its reader, so that a reader who never reads is felt soon.
pub(super) async fn narrow_tcp(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    socket.set_send_buffer_size(64 << 10)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

impl Target {
    pub(super) async fn shake(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = client_config(&self.shown, &self.pins).unwrap();
        let name = ServerName::try_from("node.invalid").unwrap();
        TlsConnector::from(config).connect(name, tcp).await
    }

    /// A line past its handshake on which nothing was said yet.
    pub(super) async fn silent(&self, from: [u8; 4]) -> std::io::Result<TlsStream<TcpStream>> {
        self.shake(tcp(from, self.at).await?).await
    }

    /// As [`Self::silent`], but while strangers in numbers stand at the door a newcomer is turned away, and comes again as a
    /// member would.
    pub(super) async fn let_in(&self, from: [u8; 4]) -> TlsStream<TcpStream> {
        let began = Instant::now();
        loop {
            match self.silent(from).await {
                Ok(stream) => return stream,
                Err(error) => assert!(began.elapsed() < LET_IN, "no way in: {error}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A line that has begun HTTP/2 as it should, whose answers are read.
    pub(super) async fn line(&self, from: [u8; 4]) -> Hostile {
        let mut line = Hostile::new(self.let_in(from).await);
        assert!(line.say(&beginning()).await, "the door ended a line that began well");
        line
    }
}

/// What the door said on one line.
#[derive(Default, Clone, Debug)]
pub(super) struct Heard {
    /// The code of its GOAWAY; tonic says 0 first when it only wants to be left.
    pub(super) goaway: Option<u32>,
    /// Streams it reset, with the code.
    pub(super) resets: BTreeMap<u32, u32>,
    /// `grpc-status` of streams, and the text.
    pub(super) status: BTreeMap<u32, (u32, String)>,
    /// Streams it sent headers on.
    pub(super) answered: usize,
    /// Bytes of answers.
    pub(super) data: usize,
    /// PING and SETTINGS it acknowledged.
    pub(super) acks: usize,
    /// Bytes it lets us send more than at first, on each stream and, as 0, in all.
    pub(super) windows: BTreeMap<u32, usize>,
    /// When the connection ended.
    pub(super) closed: Option<Instant>,
}

/// A line of the attacker's. Reads beside writing, or it would only ever learn what its own buffers let it.
pub(super) struct Hostile {
    writer: WriteHalf<TlsStream<TcpStream>>,
    heard: Arc<Mutex<Heard>>,
    reader: JoinHandle<()>,
    pub(super) began: Instant,
    /// Bytes of bodies said within windows.
    said: usize,
}

/// How long one write may wait before the door counts as pressing back.
const WRITE_MAX: Duration = Duration::from_secs(3);

impl Hostile {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let heard = Arc::<Mutex<Heard>>::default();
        let reader = tokio::spawn(read(reader, Arc::clone(&heard)));
        Self { writer, heard, reader, began: Instant::now(), said: 0 }
    }

    /// One that never reads.
    pub(super) fn deaf(stream: TlsStream<TcpStream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let heard = Arc::<Mutex<Heard>>::default();
        let kept = tokio::spawn(async move {
            let _unread = reader;
            std::future::pending::<()>().await;
        });
        Self { writer, heard, reader: kept, began: Instant::now(), said: 0 }
    }

    /// Writes, unless the line is closed or the door takes nothing for [`WRITE_MAX`].
    pub(super) async fn say(&mut self, bytes: &[u8]) -> bool {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        matches!(tokio::time::timeout(WRITE_MAX, written).await, Ok(Ok(())))
    }

    /// Says a body as large as its windows let it be said, until it is answered; to its end when `ends`.
    pub(super) async fn say_within_windows(&mut self, stream: u32, body: &[u8], ends: bool) {
        let mut on_stream = 0;
        let last = body.len().div_ceil(FRAME_MAX).saturating_sub(1);
        for (at, piece) in body.chunks(FRAME_MAX).enumerate() {
            on_stream += piece.len();
            self.said += piece.len();
            let in_all = self.said;
            let may = move |heard: &Heard| {
                let window = |of: u32| WINDOW + heard.windows.get(&of).copied().unwrap_or(0);
                (on_stream <= window(stream) && in_all <= window(0)) || over(heard, stream)
            };
            let heard = self.until(WRITE_MAX, may).await;
            if over(&heard, stream) || !self.say(&frame(DATA, u8::from(ends && at == last), stream, piece)).await {
                return;
            }
        }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until what was heard is enough, for `at_most`.
    pub(super) async fn until(&self, at_most: Duration, enough: impl Fn(&Heard) -> bool) -> Heard {
        let began = Instant::now();
        while began.elapsed() < at_most && !enough(&self.heard()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.heard()
    }

    /// Waits for the status of a stream, or for the end of stream or line.
    pub(super) async fn answer(&self, stream: u32, at_most: Duration) -> Option<(u32, String)> {
        self.until(at_most, |heard| over(heard, stream)).await.status.get(&stream).cloned()
    }

    /// Waits for the end of the line, and says how long after its beginning it came.
    pub(super) async fn closed(&self, at_most: Duration) -> Option<Duration> {
        self.until(at_most, |heard| heard.closed.is_some()).await.closed.map(|at| at.duration_since(self.began))
    }
}

/// A stream was answered or reset, or its line ended.
fn over(heard: &Heard, stream: u32) -> bool {
    heard.closed.is_some() || heard.status.contains_key(&stream) || heard.resets.contains_key(&stream)
}

/// What may be sent on a stream, and in all, before the other side has said anything.
const WINDOW: usize = 65_535;

impl Drop for Hostile {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut stream: ReadHalf<TlsStream<TcpStream>>, heard: Arc<Mutex<Heard>>) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut contents = vec![0; len];
        if stream.read_exact(&mut contents).await.is_err() {
            break;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        note(&mut heard.lock().unwrap(), (head[3], head[4]), id, &contents);
    }
    heard.lock().unwrap().closed.get_or_insert_with(Instant::now);
}

fn note(heard: &mut Heard, (kind, flags): (u8, u8), stream: u32, contents: &[u8]) {
    let number = |at: usize| contents.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().unwrap()));
    match kind {
        GOAWAY => heard.goaway = number(4),
        RST_STREAM => drop(number(0).map(|code| heard.resets.insert(stream, code))),
        DATA => heard.data += contents.len(),
        WINDOW_UPDATE => *heard.windows.entry(stream).or_default() += number(0).unwrap_or_default() as usize,
        PING | SETTINGS => heard.acks += usize::from(flags & 1),
        HEADERS => {
            heard.answered += 1;
            let headers = read_headers(contents).unwrap_or_default();
            let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            if let Some(code) = value("grpc-status").and_then(|code| code.parse().ok()) {
                let text = value("grpc-message").unwrap_or_default();
                heard.status.insert(stream, (code, text));
            }
        }
        _ => {}
    }
}

//! One accepted connection as the HTTP/2 server sees it: a TLS stream with a start to make and an end to come.
//!
//! Refuses a peer that does not begin HTTP/2 in time or at all, one that chatters, one that outstays its age, and one hung
//! up on.

use super::chatter::Chatter;
use super::places::{Fate, LinePlace};
use crate::limits::{Counters, Limits};
use clearhouse_protocol::ids::NodeId;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// Who is at the other end of a call. Part of every request's extensions.
#[derive(Clone)]
pub struct Caller {
    /// The accredited node that proved its key when the line was opened.
    pub node: NodeId,
    /// That key.
    pub tls_pk: [u8; 32],
    /// By which its line can be ended.
    pub line: Arc<Fate>,
}

/// A connection past its handshake.
pub(super) struct Line<S> {
    stream: S,
    caller: Caller,
    gate: Gate,
    chatter: Chatter,
    /// Runs to the end of the gate's time, later to the end of the line's life.
    clock: Pin<Box<Sleep>>,
    rest_of_life: Duration,
    counters: Arc<Counters>,
    /// Given back when the line is dropped.
    _place: LinePlace,
}

impl<S> Line<S> {
    pub(super) fn new(
        stream: S,
        node: NodeId,
        tls_pk: [u8; 32],
        place: LinePlace,
        limits: &Limits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            stream,
            caller: Caller { node, tls_pk, line: Arc::clone(&place.fate) },
            gate: Gate::default(),
            chatter: Chatter::new(limits.chatter_ahead, limits.chatter_per_second, Instant::now().into_std()),
            clock: Box::pin(tokio::time::sleep(limits.preface)),
            rest_of_life: limits.connection_age.saturating_add(limits.connection_grace),
            counters,
            _place: place,
        }
    }

    /// Whether the line goes on: not hung up, and its clock still runs.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.caller.line.is_over(cx) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.clock.as_mut().poll(cx).is_ready() {
            if !self.gate.is_open() {
                self.counters.preface_slow.add();
            }
            self.caller.line.hang_up();
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let behind = if self.gate.is_open() { bytes } else { &bytes[self.begin(bytes)?..] };
        if behind.is_empty() || self.chatter.pass(behind, Instant::now().into_std()) {
            return Ok(());
        }
        self.counters.chatter.add();
        self.caller.line.hang_up();
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// How many of the bytes belong to the beginning of HTTP/2.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(passed) = self.gate.pass(bytes) else {
            self.counters.preface_wrong.add();
            return Err(io::ErrorKind::InvalidData.into());
        };
        if self.gate.is_open() {
            self.clock.as_mut().reset(Instant::now() + self.rest_of_life);
        }
        Ok(passed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf)? {
            Poll::Ready(()) => Poll::Ready(this.pass(&buf.filled()[before..])),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> Connected for Line<S> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

/// Watches the first bytes go by until HTTP/2 has begun: the preface and one whole SETTINGS frame.
#[derive(Default)]
struct Gate {
    seen: usize,
    /// Bytes of the SETTINGS frame's contents, read from its header.
    settings: usize,
}

impl Gate {
    /// How many of `bytes` belong to the beginning; `None` when this is not the beginning of HTTP/2 (RFC 9113 section 3.4).
    fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        for (passed, byte) in bytes.iter().enumerate() {
            if self.is_open() {
                return Some(passed);
            }
            let at = self.seen;
            let fits = match at {
                0..PREFACE_LEN => *byte == PREFACE[at],
                PREFACE_LEN..FRAME_TYPE_AT => {
                    self.settings = self.settings << 8 | usize::from(*byte);
                    self.settings <= SETTINGS_MAX
                }
                FRAME_TYPE_AT => *byte == SETTINGS,
                _ => true,
            };
            if !fits {
                return None;
            }
            self.seen += 1;
        }
        Some(bytes.len())
    }

    fn is_open(&self) -> bool {
        self.seen >= BEGINNING + self.settings
    }
}

const PREFACE: &[u8; PREFACE_LEN] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_LEN: usize = 24;
/// The preface and a frame header.
const BEGINNING: usize = PREFACE_LEN + 9;
/// A frame header is three bytes of length, then the type.
const FRAME_TYPE_AT: usize = PREFACE_LEN + 3;
const SETTINGS: u8 = 4;
/// Longest first SETTINGS frame: a hundred settings, where about ten exist.
const SETTINGS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(settings: u8) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, settings, SETTINGS, 0, 0, 0, 0, 0]);
        bytes.extend(vec![0; usize::from(settings)]);
        bytes
    }

    #[test]
    fn the_gate_opens_at_the_last_byte_of_the_settings_and_not_before() {
        for settings in [0, 6, 36] {
            let bytes = beginning(settings);
            let mut gate = Gate::default();
            for byte in &bytes[..bytes.len() - 1] {
                assert!(gate.pass(&[*byte]) == Some(1) && !gate.is_open());
            }
            assert!(gate.pass(&bytes[bytes.len() - 1..]) == Some(1) && gate.is_open());
            let mut at_once = Gate::default();
            assert_eq!(at_once.pass(&[bytes.as_slice(), b"more"].concat()), Some(bytes.len()));
            assert!(at_once.is_open());
        }
    }

    #[test]
    fn what_is_not_http2_is_noticed_at_its_first_wrong_byte() {
        assert!(Gate::default().pass(b"GET / HTTP/1.1\r\n").is_none());
        let mut wrong_type = beginning(0);
        wrong_type[FRAME_TYPE_AT] = 0;
        assert!(Gate::default().pass(&wrong_type).is_none());
        let mut huge = beginning(0);
        huge[PREFACE_LEN] = 1;
        assert!(Gate::default().pass(&huge).is_none());
    }
}

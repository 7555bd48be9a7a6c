//! A long way: what passes arrives later, each byte by the same time, and no slower for it. Kernels that delay packets are
//! rare; this delays the bytes of lines that a router leads through it.
//!
//! Refuses more lines than [`LINES_MAX`], and ends all of them when it is dropped.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

/// Lines at once.
const LINES_MAX: usize = 64;
/// Pieces under way on a line: more than a fast line brings within the delay.
const PIECES_MAX: usize = 4096;
/// Between two looks for a new line, and at whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the far end may take to answer.
const DIAL: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "to arrive later is what this is for; nothing waits for it to be true")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// The way, while it exists.
pub(super) struct Forwarder {
    state: Arc<State>,
}

struct State {
    delay: Duration,
    over: AtomicBool,
    passed: AtomicU64,
    lines: Mutex<Vec<TcpStream>>,
}

impl Forwarder {
    /// Leads what comes to each of these ports of this machine to the address beside it, `delay` later, both ways.
    pub(super) fn start(ways: &[(u16, SocketAddr)], delay: Duration) -> Self {
        let bound = |(port, to): &(u16, SocketAddr)| (TcpListener::bind(("0.0.0.0", *port)).unwrap(), *to);
        Self::start_at(ways.iter().map(bound).collect(), delay)
    }

    fn start_at(ways: Vec<(TcpListener, SocketAddr)>, delay: Duration) -> Self {
        let state = State { delay, over: AtomicBool::new(false), passed: AtomicU64::new(0), lines: Mutex::default() };
        let state = Arc::new(state);
        for (listener, to) in ways {
            listener.set_nonblocking(true).unwrap();
            let state = Arc::clone(&state);
            spawn(move || state.accept(&listener, to));
        }
        Self { state }
    }

    /// Bytes that came out at either end.
    pub(super) fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        for line in self.state.lines.lock().unwrap().iter() {
            let _ = line.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, to: SocketAddr) {
        while !self.is_over() {
            match listener.accept() {
                Ok((near, _)) => {
                    let state = Arc::clone(self);
                    spawn(move || state.carry(near, to));
                }
                Err(_) => sleep(LOOK_EVERY),
            }
        }
    }

    fn carry(self: Arc<Self>, near: TcpStream, to: SocketAddr) {
        let Ok(far) = TcpStream::connect_timeout(&to, DIAL) else { return };
        let _ = near.set_nonblocking(false);
        let both = |line: &TcpStream| (line.try_clone(), line.try_clone());
        let ((Ok(near_in), Ok(near_out)), (Ok(far_in), Ok(far_out))) = (both(&near), both(&far)) else { return };
        {
            let mut lines = self.lines.lock().unwrap();
            if lines.len() >= 2 * LINES_MAX || self.is_over() {
                return;
            }
            lines.extend([near, far]);
        }
        let state = Arc::clone(&self);
        spawn(move || state.later(near_in, far_out));
        self.later(far_in, near_out);
    }

    /// One direction: each piece leaves its own delay after it came, the end as well.
    fn later(self: Arc<Self>, mut from: TcpStream, mut to: TcpStream) {
        let (sender, pieces) = sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
        let state = Arc::clone(&self);
        spawn(move || {
            for (due, piece) in pieces {
                sleep(due.saturating_duration_since(Instant::now()));
                if state.is_over() || piece.is_empty() || to.write_all(&piece).is_err() {
                    break;
                }
                state.passed.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            let _ = to.shutdown(Shutdown::Write);
        });
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            if sender.send((Instant::now() + self.delay, buffer[..read].to_vec())).is_err() || read == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_comes_later_whole_in_order_and_no_slower() {
        let far = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let delay = Duration::from_millis(300);
        let at = door.local_addr().unwrap();
        let way = Forwarder::start_at(vec![(door, far.local_addr().unwrap())], delay);
        let mut near = TcpStream::connect(at).unwrap();
        let sent: Vec<u8> = (0..3u32 << 20).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let began = Instant::now();
        let answering = spawn(move || {
            let (mut line, _) = far.accept().unwrap();
            let mut got = Vec::new();
            line.read_to_end(&mut got).unwrap();
            line.write_all(b"got it").unwrap();
            got
        });
        near.write_all(&sent).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).unwrap();
        assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
        assert!(answering.join().unwrap() == expected && answer == b"got it");
        assert_eq!(way.passed(), expected.len() as u64 + 6);
    }
}

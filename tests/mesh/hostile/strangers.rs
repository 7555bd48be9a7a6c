//! Attacks without a key, and with a key but without a word of HTTP/2: silence, halves, numbers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::frames::{PREFACE, settings};
use super::peer::{Target, tcp};
use super::siege::{Ending, must};

/// Connections of one attack.
const CROWD: usize = 1000;
/// After so long everything must be closed that has not begun: five seconds, and what a busy machine adds.
const CLOSED_MAX: Duration = Duration::from_secs(6);
/// Connections of one address that have shown no key, and of all of them.
const PER_ADDRESS: usize = 8;
const STRANGERS: usize = 256;
/// What is closed within this was refused, and not waited for.
const AT_ONCE: Duration = Duration::from_secs(2);

/// When each of a crowd was closed, counted from its own beginning.
struct Crowd {
    refused: usize,
    waited_for: usize,
    last: Duration,
    open: usize,
}

/// Connects `count` times from as many addresses as `address` gives, says `words` to each, and waits for the end.
async fn crowd(at: SocketAddr, count: usize, address: impl Fn(usize) -> [u8; 4], words: &'static [u8]) -> Crowd {
    let mut all = JoinSet::new();
    for n in 0..count {
        let stream = tcp(address(n), at).await;
        all.spawn(async move {
            let began = Instant::now();
            let Ok(mut stream) = stream else { return Some(Duration::ZERO) };
            // Who is refused may hear of it while speaking.
            let _ = stream.write_all(words).await;
            closed(&mut stream).await.map(|_| began.elapsed())
        });
    }
    let (mut told, mut open) = (Vec::new(), 0);
    while let Some(one) = all.join_next().await {
        match one.unwrap() {
            Some(after) => told.push(after),
            None => open += 1,
        }
    }
    let refused = told.iter().filter(|after| **after < AT_ONCE).count();
    Crowd { refused, waited_for: told.len() - refused, last: told.into_iter().max().unwrap_or_default(), open }
}

/// Reads to the end of a stream; `None` when it does not end in time.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
    let mut scrap = [0; 256];
    let read = async { while stream.read(&mut scrap).await.is_ok_and(|n| n > 0) {} };
    tokio::time::timeout(CLOSED_MAX, read).await.ok()
}

impl Crowd {
    fn judge(&self, most: usize) -> Ending {
        must(self.open == 0, format!("{} are open after {CLOSED_MAX:?}", self.open))?;
        must(self.waited_for <= most, format!("{} were let wait, where {most} may", self.waited_for))?;
        must(self.waited_for > 0, "nobody was let wait: not what is tried")?;
        Ok(format!("{} refused at once, {} closed within {:.1?}", self.refused, self.waited_for, self.last))
    }
}

/// Forty addresses that no other attack uses.
fn forty(n: usize) -> [u8; 4] {
    [127, 0, 2, u8::try_from(n % 40 + 1).unwrap()]
}

pub(super) async fn silent(at: SocketAddr) -> Ending {
    crowd(at, CROWD, forty, b"").await.judge(STRANGERS)
}

pub(super) async fn half_a_hello(at: SocketAddr) -> Ending {
    // A record that says it is 512 bytes long, the beginning of a ClientHello, and no more.
    crowd(at, CROWD, forty, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7]).await.judge(STRANGERS)
}

pub(super) async fn from_one_address(at: SocketAddr) -> Ending {
    crowd(at, 100, |_| [127, 0, 3, 1], b"").await.judge(PER_ADDRESS)
}

pub(super) async fn not_tls(at: SocketAddr) -> Ending {
    let told = crowd(at, 64, forty, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    must(told.open == 0 && told.last < AT_ONCE, format!("closed after {:?}", told.last))?;
    Ok(format!("all closed within {:.1?}", told.last))
}

/// A key of its own, which nobody listed.
pub(super) async fn unknown_key(target: &Target) -> Ending {
    let mut refused = 0;
    for _ in 0..20 {
        match target.silent([127, 0, 3, 2]).await {
            Err(_) => refused += 1,
            // TLS 1.3: the client is done before the server has judged its certificate.
            Ok(mut stream) => refused += usize::from(closed(&mut stream).await.is_some()),
        }
    }
    must(refused == 20, format!("{refused} of 20 were refused"))?;
    Ok("20 refused".to_owned())
}

/// Handshakes with a listed key, and then `words` and no more. The fifth line of a node ends its first.
pub(super) async fn half_begun(target: &Target, count: usize, words: Vec<u8>) -> Ending {
    let (mut all, mut open) = (JoinSet::new(), 0);
    let mut last = Duration::ZERO;
    let began = Instant::now();
    for n in 0..count {
        let (target, words) = (target.clone(), words.clone());
        let from = [127, 0, 4, u8::try_from(n % 200 + 1).unwrap()];
        all.spawn(async move {
            let Ok(mut stream) = target.silent(from).await else { return Some(Duration::ZERO) };
            let since = Instant::now();
            let _ = stream.write_all(&words).await;
            let _ = stream.flush().await;
            closed(&mut stream).await.map(|()| since.elapsed())
        });
        while all.len() >= AT_A_TIME
            && let Some(ended) = all.join_next().await
        {
            note(ended.unwrap(), &mut last, &mut open);
        }
    }
    let opened = began.elapsed();
    while let Some(ended) = all.join_next().await {
        note(ended.unwrap(), &mut last, &mut open);
    }
    must(open == 0, format!("{open} are open after {CLOSED_MAX:?}"))?;
    Ok(format!("{count} opened in {opened:.1?}, each closed within {last:.1?}"))
}

/// Handshakes of one attacker under way at once.
const AT_A_TIME: usize = 48;

fn note(ended: Option<Duration>, last: &mut Duration, open: &mut usize) {
    match ended {
        Some(after) => *last = (*last).max(after),
        None => *open += 1,
    }
}

pub(super) fn half_a_preface() -> Vec<u8> {
    PREFACE[..12].to_vec()
}

pub(super) fn half_a_settings_frame() -> Vec<u8> {
    let whole = settings(&[(1, 0), (3, 100), (4, 65535)]);
    [PREFACE, &whole[..whole.len() - 4]].concat()
}

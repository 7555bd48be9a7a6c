//! Frames go by: how many of them carry nothing. HTTP/2 sets no bound to those, and whoever sends millions a second keeps
//! a core busy with reading them (attack row 4 of reliability section 5).
//!
//! Refuses to understand a frame: what is wrong in one is found behind this, where it is read.

use std::time::Instant;

/// Counts the frames of one line.
pub(super) struct Chatter {
    /// The header of the next frame, as far as it has come.
    header: [u8; HEADER_LEN],
    filled: usize,
    /// Contents still to come of the frame that goes by.
    contents: usize,
    left: f64,
    ahead: f64,
    per_second: f64,
    seen: Instant,
}

impl Chatter {
    /// So many `ahead`, and `per_second` from `now` on.
    pub(super) fn new(ahead: u32, per_second: u32, now: Instant) -> Self {
        let (ahead, per_second) = (f64::from(ahead), f64::from(per_second));
        Self { header: [0; HEADER_LEN], filled: 0, contents: 0, left: ahead, ahead, per_second, seen: now }
    }

    /// Sees bytes behind the beginning of HTTP/2 go by; false once there was too much in them that carries nothing.
    pub(super) fn pass(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.ahead);
        self.seen = now;
        while !bytes.is_empty() {
            let skipped = self.contents.min(bytes.len());
            self.contents -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_LEN - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER_LEN {
                self.filled = 0;
                let [a, b, c, kind, ..] = self.header;
                self.contents = u32::from_be_bytes([0, a, b, c]) as usize;
                if !CARRIES.contains(&kind) {
                    self.left -= 1.0;
                }
            }
        }
        self.left >= 0.0
    }
}

/// Whether a line of ten such frames may go on after these bytes, which come in pieces.
#[cfg(feature = "probe")]
pub(crate) fn probe(bytes: &[u8], piece: usize, now: Instant) -> bool {
    let mut chatter = Chatter::new(10, 1, now);
    bytes.chunks(piece.max(1)).all(|piece| chatter.pass(piece, now))
}

const HEADER_LEN: usize = 9;
/// DATA, HEADERS and CONTINUATION. How many of them may be empty is the HTTP/2 server's to say.
const CARRIES: [u8; 3] = [0, 1, 9];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, len: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, len, kind, 0, 0, 0, 0, 0];
        // Contents that look like headers of frames.
        bytes.extend(vec![6; usize::from(len)]);
        bytes
    }

    #[test]
    fn what_carries_nothing_is_counted_however_the_bytes_are_cut() {
        let calls = [frame(1, 40), frame(0, 255), frame(9, 0)].concat();
        let pings = frame(6, 8).repeat(3);
        for piece in [1, 2, 7, 9, 10, 1000] {
            let now = Instant::now();
            let mut chatter = Chatter::new(3, 1, now);
            let mut all = |bytes: &[u8]| bytes.chunks(piece).all(|cut| chatter.pass(cut, now));
            assert!(all(&calls.repeat(50)) && all(&pings) && all(&calls), "{piece}");
            assert!(!all(&frame(0xee, 3)), "{piece}: an unknown frame is one too many");
        }
    }

    #[test]
    fn who_is_quiet_may_speak_again_and_not_more_than_at_first() {
        let start = Instant::now();
        let mut chatter = Chatter::new(10, 2, start);
        assert!(chatter.pass(&frame(4, 0).repeat(10), start));
        assert!(chatter.pass(&frame(4, 0).repeat(2), start + Duration::from_secs(1)));
        let later = start + Duration::from_secs(600);
        assert!(chatter.pass(&frame(4, 0).repeat(10), later));
        assert!(!chatter.pass(&frame(4, 0), later));
    }
}

//! One event of the log is one line, and nobody fills it: what a peer's words or a library's would do to a terminal is
//! escaped, and of what is said of one peer, or at one place of the program, there are [`LINES_PER_SECOND`].
//!
//! Refuses to lose count: what was left out is said with the next line about the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::output::plain;

/// Lines a second about one peer, or from one place that names none.
pub(crate) const LINES_PER_SECOND: u32 = 50;
/// Peers and places that are told apart. Beyond it those that were quiet for a second are forgotten, and if there are none
/// all others are one.
const SUBJECTS_MAX: usize = 1024;
/// Fields that name a peer.
const PEERS: [&str; 6] = ["node", "told_by", "peer", "witness", "keeper", "from"];

/// A format of events around another one.
pub(crate) struct Lines<F> {
    inner: F,
    subjects: Mutex<BTreeMap<String, Subject>>,
}

struct Subject {
    left: f64,
    seen: Instant,
    left_out: u64,
}

impl<F> Lines<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self { inner, subjects: Mutex::default() }
    }

    /// How many lines about `subject` were left out before this one; `None` when this one is left out, too.
    fn may_say(&self, subject: String, now: Instant) -> Option<u64> {
        let full = f64::from(LINES_PER_SECOND);
        let filled =
            |one: &Subject| (one.left + now.saturating_duration_since(one.seen).as_secs_f64() * full).min(full);
        let mut all = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SUBJECTS_MAX && !all.contains_key(&subject) {
            all.retain(|_, one| filled(one) < full || one.left_out > 0);
        }
        let subject = if all.len() < SUBJECTS_MAX || all.contains_key(&subject) { subject } else { String::new() };
        let one = all.entry(subject).or_insert(Subject { left: full, seen: now, left_out: 0 });
        (one.left, one.seen) = (filled(one), now);
        if one.left < 1.0 {
            one.left_out += 1;
            return None;
        }
        one.left -= 1.0;
        Some(std::mem::take(&mut one.left_out))
    }
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut about = About(None);
        event.record(&mut about);
        let subject = about.0.unwrap_or_else(|| event.metadata().name().to_owned());
        let Some(left_out) = self.may_say(subject, Instant::now()) else { return Ok(()) };
        let mut line = String::new();
        self.inner.format_event(cx, Writer::new(&mut line), event)?;
        to.write_str(&plain(line.trim_end_matches('\n')))?;
        if left_out > 0 {
            write!(to, " ({left_out} more about the same left out before this)")?;
        }
        writeln!(to)
    }
}

/// Who an event is about, if it names a peer.
struct About(Option<String>);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.is_none() && PEERS.contains(&field.name()) {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::Format;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn said(say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let log = tracing_subscriber::fmt().with_writer(kept.clone()).event_format(Lines::new(Format::default()));
        tracing::subscriber::with_default(log.finish(), say);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        let hostile = "a\r\n2026 ERROR forged\u{1b}[2J\u{7}\u{202e}gnp\u{2028}\u{85}\u{feff}";
        let log = said(|| tracing::warn!(fault = %hostile, debug = ?hostile, "what was said: {hostile}"));
        assert_eq!(log.matches('\n').count(), 1, "{log:?}");
        let line = log.trim_end_matches('\n');
        assert_eq!(plain(line), line, "nothing is left to escape");
        assert!(line.contains("forged") && line.contains("\\u{1b}"), "{log:?}");
    }

    #[test]
    fn of_one_peer_there_are_so_many_lines_and_of_another_its_own() {
        let of = |peer: &str, n: u32| (0..n).for_each(|_| tracing::error!(node = %peer, "again"));
        let log = said(|| {
            of("aa", 10 * LINES_PER_SECOND);
            of("bb", 3);
        });
        let count = |peer: &str| log.lines().filter(|line| line.contains(&format!("node={peer}"))).count();
        assert_eq!(count("bb"), 3);
        // A second's worth, and what came in while a slow machine wrote them.
        assert!((50..200).contains(&count("aa")), "{}", count("aa"));
    }

    #[test]
    fn what_was_left_out_is_counted_and_said_once() {
        let lines = Lines::new(());
        let start = Instant::now();
        let all: Vec<_> = (0..60).map(|_| lines.may_say("x".into(), start)).collect();
        assert_eq!(all.iter().filter(|said| said.is_some()).count(), 50);
        let later = start + Duration::from_secs(1);
        assert_eq!(lines.may_say("x".into(), later), Some(10));
        assert_eq!(lines.may_say("x".into(), later), Some(0));
    }

    #[test]
    fn the_number_of_subjects_is_bounded() {
        let lines = Lines::new(());
        let start = Instant::now();
        assert!((0..2 * SUBJECTS_MAX).filter_map(|n| lines.may_say(n.to_string(), start)).count() > SUBJECTS_MAX);
        assert!(lines.subjects.lock().unwrap().len() <= SUBJECTS_MAX + 1);
        lines.may_say("new".into(), start + Duration::from_secs(2));
        assert!(lines.subjects.lock().unwrap().len() <= 2);
    }
}

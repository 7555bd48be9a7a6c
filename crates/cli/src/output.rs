//! Where words go: data on stdout, everything else on stderr, JSON as it came, peers' text made harmless.
//!
//! Refuses to panic when the reader of a pipe has gone, and to let a peer's text move the cursor, change its
//! direction or begin a line of its own (reliability section 5, row 32).

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::Formatter;

use crate::render;
use crate::trouble::{Code, Trouble};

/// How this call speaks.
pub(crate) struct Out {
    json: bool,
    quiet: bool,
}

impl Out {
    /// `json` prints replies as one line of JSON each; `quiet` drops remarks.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether replies are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A reply with a `schema`: as JSON, or as text for a person.
    ///
    /// # Errors
    /// [`Code::File`] when stdout cannot be written; a reader that went away is no error.
    pub(crate) fn reply(&self, value: &Value) -> Result<(), Trouble> {
        if self.json { self.data(json_line(value).as_bytes()) } else { self.data(render::reply(value).as_bytes()) }
    }

    /// Bytes as they are, on stdout.
    ///
    /// # Errors
    /// As [`Out::reply`].
    pub(crate) fn data(&self, bytes: &[u8]) -> Result<(), Trouble> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(e) => {
                let text = format!("The output could not be written: {e}. What was asked has been done.");
                Err(Trouble::new(Code::File, text, "clearhouse status"))
            }
        }
    }

    /// A remark for the person at the keyboard; nothing with `--quiet`.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            words(text);
        }
    }

    /// What is about to be signed or sent, for the person at the keyboard before it is. A program finds all of it in the
    /// reply, and nothing but an error on stderr.
    pub(crate) fn read_out(&self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }

    /// A remark that only somebody who watches needs.
    pub(crate) fn progress(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.say(text);
        }
    }

    /// What went wrong, with code and next command.
    pub(crate) fn trouble(&self, trouble: &Trouble) {
        if self.json {
            let value = serde_json::json!({
                "schema": "ch.error/1", "code": trouble.code, "text": trouble.text, "next": trouble.next,
                "exit": trouble.exit.number(),
            });
            words(json_line(&value).trim_end());
        } else {
            words(&format!("clearhouse: {}\n  code: {}\n  next: {}", trouble.text, trouble.code, trouble.next));
        }
    }
}

/// Writes to stderr, each line made harmless. Nobody to read it is no reason to fail.
fn words(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(err, "{}", plain(line));
    }
}

/// One reply as one line of JSON that is safe on a terminal and still says the same.
pub(crate) fn json_line(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Harmless);
    // A `Value` has only string keys and finite numbers, and a `Vec` takes every byte: this cannot fail.
    let _ = value.serialize(&mut serializer);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Escapes what a terminal might obey, which JSON by itself would let through.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if is_unsafe(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                write!(writer, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Text of another as it may stand in a line: what could steer the terminal or deceive the eye is spelled out.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line separators, what changes the direction of text, and what cannot be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_spelled_out() {
        assert_eq!(plain("Casa \u{1b}[31mNova"), "Casa \\u{1b}[31mNova");
        assert_eq!(plain("a\u{202e}b\u{2066}c\u{200b}\n\r\u{9b}"), "a\\u{202e}b\\u{2066}c\\u{200b}\\u{a}\\u{d}\\u{9b}");
        assert_eq!(plain("Chișinău Кућа Ελλάδα šđ"), "Chișinău Кућа Ελλάδα šđ");
    }

    #[test]
    fn json_stays_json_and_says_the_same() {
        for text in ["a\u{1b}[0m\"\\", "x\u{202e}y", "\u{9b}31m", "\u{e0041}tag", "Кућа\u{2028}"] {
            let value = json!({"schema": "t/1", "text": text, text: [text]});
            let line = json_line(&value);
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
            assert!(!line.trim_end().chars().any(is_unsafe), "{line:?}");
            assert_eq!(line.lines().count(), 1);
        }
    }
}

//! One line of the self test: what was tried, what came of it, and what to do when it failed.

use std::time::Duration;

use serde_json::{Value, json};

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Ok,
    Failed,
    /// It cannot be tried here, or cannot be judged.
    Cannot,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cannot => "cannot here",
        }
    }
}

/// Which part of a node it is about: one stable code each.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Primitive,
    Disk,
    Store,
    Case,
    Protection,
}

impl Part {
    const fn code(self) -> &'static str {
        match self {
            Self::Primitive => "CH-D0235",
            Self::Disk => "CH-D0236",
            Self::Store => "CH-D0237",
            Self::Case => "CH-D0238",
            Self::Protection => "CH-D0239",
        }
    }

    const fn next(self) -> &'static str {
        match self {
            Self::Primitive => {
                "Do not use this program on this machine. Install it anew from a source you trust; if it fails again, use another \
                 machine and report it"
            }
            Self::Disk => {
                "Name a folder on a local disk with ext4 or xfs: clearhouse selftest --folder DIR; keep no node elsewhere"
            }
            Self::Store => {
                "Keep no node on this disk. Try another: clearhouse selftest --folder DIR; if that fails too, report it"
            }
            Self::Case => {
                "Run clearhouse demo, which tells every step; look for what keeps this program from loopback; then report it"
            }
            Self::Protection => "Put the system right before a node runs on it: deploy/README.md, Checking a machine",
        }
    }
}

/// The line.
pub(crate) struct Line {
    name: String,
    pub(crate) state: State,
    text: String,
    part: Part,
}

impl Line {
    pub(crate) fn ok(part: Part, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, text: text.into(), part }
    }

    pub(crate) fn failed(part: Part, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Failed, text: text.into(), part }
    }

    pub(crate) fn cannot(part: Part, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Cannot, text: text.into(), part }
    }

    /// `ok` with what it says, or failed with why.
    pub(crate) fn of(part: Part, name: &str, outcome: Result<String, String>) -> Self {
        match outcome {
            Ok(text) => Self::ok(part, name, text),
            Err(why) => Self::failed(part, name, why),
        }
    }

    fn json(&self) -> Value {
        let mut line = json!({"name": self.name, "state": self.state.word(), "text": self.text});
        if self.state != State::Ok {
            (line["code"], line["next"]) = (json!(self.part.code()), json!(self.part.next()));
        }
        line
    }
}

/// The whole reply.
pub(crate) fn reply(lines: &[Line], took: Duration) -> Value {
    let count = |state| lines.iter().filter(|line| line.state == state).count();
    json!({
        "schema": "ch.selftest/1", "version": env!("CARGO_PKG_VERSION"),
        "failed": count(State::Failed), "cannot": count(State::Cannot), "seconds": took.as_secs_f64(),
        "rows": lines.iter().map(Line::json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_and_says_what_to_do() {
        let lines =
            [Line::ok(Part::Disk, "a", ""), Line::failed(Part::Store, "b", "why"), Line::cannot(Part::Disk, "c", "")];
        let said = reply(&lines, Duration::from_secs(1));
        assert_eq!((&said["failed"], &said["cannot"]), (&1.into(), &1.into()));
        assert!(said["rows"][0]["next"].is_null() && said["rows"][1]["code"] == "CH-D0237");
        assert!(said["rows"][1]["next"].as_str().unwrap().contains("--folder"));
    }
}

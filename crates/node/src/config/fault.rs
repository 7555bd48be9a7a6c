//! What can be wrong with a configuration, where, and what to do about it.

use crate::control::SOCKET_PATH_MAX;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// A configuration that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1, when there is one to point at.
    pub line: Option<usize>,
    /// The key it is about, as far as it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key '{}'", key.escape_debug())?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("the file cannot be read ({0}). `clearhouse init` writes a new one")]
    Unreadable(io::ErrorKind),
    /// The file is longer than any configuration.
    #[error("this is longer than any configuration. Is it the right file?")]
    TooLong,
    /// Not TOML.
    #[error("{0}. See `clearhouse config default` for a file that is right")]
    Syntax(String),
    /// No such key exists.
    #[error("no such key exists{}", .meant.map(|m| format!(". Did you mean '{m}'?")).unwrap_or_default())]
    UnknownKey {
        /// The key that was probably meant.
        meant: Option<&'static str>,
    },
    /// A key without default is not there.
    #[error("the key '{0}' is missing. See `clearhouse config default` for what it is for")]
    Missing(&'static str),
    /// The value has the wrong type or form.
    #[error("{0}")]
    Value(String),
    /// An empty path.
    #[error("the path is empty")]
    Empty,
    /// A text that is empty or too long.
    #[error("must have 1 to {max} bytes")]
    TextLength {
        /// Longest allowed.
        max: usize,
    },
    /// A number outside what is allowed.
    #[error("must be {min} to {max}. The upper end is a cap of the program and cannot be raised here")]
    OutOfRange {
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Not a host and a port.
    #[error("must be host:port, as other nodes dial it, for example node.example.org:7443")]
    Endpoint,
    /// Not an address and a port.
    #[error("must be address:port, for example 0.0.0.0:7443, or \"none\" for an office that lets nobody in")]
    Listen,
    /// Not ids of keepers.
    #[error("must be at most two different node ids, 32 hex digits each, as `clearhouse directory show` prints them")]
    Relays,
    /// The node itself as its keeper.
    #[error("this node's own id is among them, and it keeps its own mailbox anyway: name other nodes")]
    OwnRelay,
    /// Nobody could send anything here.
    #[error("an office that lets nobody in needs a node that keeps a mailbox for it: name one in `relays`")]
    NoWayIn,
    /// A key that only makes sense for a node others can reach.
    #[error("listen = \"none\" lets nobody in: leave this out, or say where to listen")]
    NoPort,
    /// Two ways to open the keys.
    #[error("passphrase_file and credential_file exclude each other: keep the one that is used")]
    TwoSecrets,
    /// The socket's path does not fit into the system's structure.
    #[error(
        "the socket's whole path may have at most {SOCKET_PATH_MAX} bytes: choose a shorter one, for example under /run"
    )]
    SocketPath,
    /// `trace` on a live network.
    #[error(
        "log_level = \"trace\" shows who exchanges with whom and is refused on a live network. Use \"debug\", or set \
         allow_trace_on_live = true, which every screen then shows"
    )]
    TraceOnLive,
    /// A file system that may lose what was acknowledged, on a live network.
    #[error(
        "the node's folder or its keys lie on {0}: when the power fails, what was acknowledged may be gone. Refused on a \
         live network. Move them to a local disk with ext4 or xfs, or set allow_any_file_system = true, which \
         `clearhouse doctor` then shows"
    )]
    FileSystem(&'static str),
    /// A secret others can read.
    #[error("others can read or change this file: run `chmod 600 {}`", .0.display())]
    SecretMode(PathBuf),
    /// A secret of another user.
    #[error("this file belongs to another user: run `chown` so that it belongs to the node's own")]
    SecretOwner,
    /// A secret that is no ordinary file, is empty, or is too long to be one.
    #[error("this is not a file with a secret in it")]
    SecretShape,
}

/// Where faults are found.
pub(super) struct Place<'a> {
    pub(super) file: &'a Path,
}

impl Place<'_> {
    /// A fault of the file as a whole.
    pub(super) fn whole(&self, fault: Fault) -> ConfigError {
        ConfigError { file: self.file.into(), line: None, key: None, fault }
    }

    /// A fault of the key that begins at byte `at`.
    pub(super) fn key(&self, text: &str, at: usize, key: &str, fault: Fault) -> ConfigError {
        ConfigError {
            line: Some(line(text, at)),
            key: Some(key.chars().take(KEY_SHOWN_MAX).collect()),
            ..self.whole(fault)
        }
    }

    /// A fault of the value of `key`, at the top or among the limits.
    pub(super) fn at(&self, text: &str, table: &DeTable<'_>, key: &str, fault: Fault) -> ConfigError {
        let limits = table.get("limits").and_then(|v| v.get_ref().as_table());
        let value = table.get(key).or_else(|| limits.and_then(|l| l.get(key)));
        match value {
            Some(value) => self.key(text, value.span().start, key, fault),
            // A default that does not fit what else was written.
            None => ConfigError { key: Some(key.to_owned()), ..self.whole(fault) },
        }
    }

    /// What the parser says.
    pub(super) fn syntax(&self, text: &str, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map(|span| line(text, span.start));
        ConfigError { line, ..self.whole(Fault::Syntax(one_line(error.message()))) }
    }

    /// What the reader of values says, with the key whose value it is about.
    pub(super) fn value(&self, text: &str, table: &DeTable<'_>, error: &toml::de::Error) -> ConfigError {
        let fault = Fault::Value(without_value(error.message()));
        let Some(span) = error.span() else {
            return self.whole(fault);
        };
        let limits = table.get("limits").and_then(|v| v.get_ref().as_table());
        let inner = limits.into_iter().flat_map(|l| l.iter());
        let found = inner.chain(table.iter()).find(|(_, value)| value.span().contains(&span.start));
        match found {
            Some((key, _)) => self.key(text, span.start, key.get_ref(), fault),
            None => ConfigError { line: Some(line(text, span.start)), ..self.whole(fault) },
        }
    }
}

/// Letters of a key that are repeated in an error.
const KEY_SHOWN_MAX: usize = 60;

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// A parser's words, without what a file could smuggle into a terminal.
fn one_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_MAX).collect()
}

/// What belongs there, without what stands there: people type secrets into the wrong line.
fn without_value(message: &str) -> String {
    match one_line(message).rsplit_once(", expected ") {
        Some((_, wanted)) if !wanted.contains('"') => format!("here belongs {wanted}"),
        _ => "this value cannot be used here. See `clearhouse config default` for one that can".to_owned(),
    }
}

const MESSAGE_MAX: usize = 200;

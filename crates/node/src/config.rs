//! The node's one configuration file: read whole, checked whole, explained by line.
//!
//! Refuses unknown keys, values above a hard cap, and secrets: those are only named by the path of a file, and
//! [`read_secret`] refuses one that others can read.

mod fault;
mod secret;

pub use fault::{ConfigError, Fault};
pub use secret::read_secret;

use crate::control::SOCKET_PATH_MAX;
use crate::ground::untrusted;
use crate::limits::Limits;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{LABEL_MAX, MAILBOXES_MAX, RELAY_BYTES_MAX};
use clearhouse_wire::v1::NetworkKind;
use fault::Place;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// What an operator decides about a node. Holds no secret, so it may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What screens call the network; 1 to 120 bytes.
    pub network: String,
    /// Folder for everything the node keeps.
    pub data: PathBuf,
    /// The key file.
    pub key_file: PathBuf,
    /// The secret of this machine, without which the key file cannot be guessed at.
    pub device_secret: PathBuf,
    /// Where other nodes are answered; `None` for an office that lets nobody in.
    pub listen: Option<SocketAddr>,
    /// `host:port` under which other nodes find this one; `None` when nobody can reach it.
    pub endpoint: Option<String>,
    /// The nodes that keep mailboxes for this one, in order; at most two.
    pub relays: Vec<NodeId>,
    /// How many bytes this node offers to keep in mailboxes of others; `None` when it keeps none.
    pub keeps: Option<u64>,
    /// How the keys are opened without anyone at the keyboard.
    pub unattended: Unattended,
    /// Seconds without anyone at work after which content is locked.
    pub idle_lock_secs: u64,
    /// Content stays open as long as the process runs (decision 21).
    pub keep_content_open: bool,
    /// The calls are described to tools.
    pub reflection: bool,
    /// How much is logged.
    pub log_level: LogLevel,
    /// `trace` is meant even on a live network.
    pub allow_trace_on_live: bool,
    /// The folder may lie on a file system that may lose what was acknowledged, even on a live network.
    pub allow_any_file_system: bool,
    /// The local socket.
    pub control_socket: PathBuf,
    /// What the doors allow: the caps, or less.
    pub limits: Limits,
}

/// Where a starting node finds what opens its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unattended {
    /// Nowhere: a person unlocks it.
    No,
    /// A file with a pass phrase.
    Passphrase(PathBuf),
    /// A file with a credential of 32 random bytes, as service managers keep them.
    Credential(PathBuf),
}

/// How much is logged. Nothing from inside a message is, at any level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Bugs, and data at risk.
    Error,
    /// What is worth waking someone for.
    Warn,
    /// Changes an operator would tell a colleague.
    Info,
    /// The rest.
    Debug,
    /// Every step, by which the traffic of single nodes can be followed.
    Trace,
}

impl Config {
    /// Reads and checks `file`. Relative paths in it count from its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with the line and what to do.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let place = Place { file };
        let meta = std::fs::metadata(file).map_err(|e| place.whole(Fault::Unreadable(e.kind())))?;
        if meta.len() > FILE_MAX {
            return Err(place.whole(Fault::TooLong));
        }
        let text = std::fs::read_to_string(file).map_err(|e| place.whole(Fault::Unreadable(e.kind())))?;
        Self::parse(&text, file)
    }

    /// Reads and checks `text` as if it stood in `file`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let place = Place { file };
        let table = DeTable::parse(text).map_err(|e| place.syntax(text, &e))?.into_inner();
        known_keys(&place, text, &table, KEYS)?;
        if let Some(limits) = table.get("limits").and_then(|v| v.get_ref().as_table()) {
            known_keys(&place, text, limits, LIMIT_KEYS)?;
        }
        if let Some(missing) = REQUIRED.iter().find(|key| !table.contains_key(**key)) {
            return Err(place.whole(Fault::Missing(missing)));
        }
        let written: Written = toml::from_str(text).map_err(|e| place.value(text, &table, &e))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        written.check(folder).map_err(|(key, fault)| place.at(text, &table, key, fault))
    }

    /// A configuration with every key and what it is for.
    #[must_use]
    pub fn sample() -> &'static str {
        include_str!("../../../deploy/samples/node.toml")
    }

    /// What only the network can say: whether this may be used on one of `kind`.
    ///
    /// # Errors
    /// [`Fault::TraceOnLive`], [`Fault::FileSystem`].
    pub fn check_for(&self, kind: NetworkKind) -> Result<(), Fault> {
        let live = kind != NetworkKind::Training;
        if live && self.log_level == LogLevel::Trace && !self.allow_trace_on_live {
            return Err(Fault::TraceOnLive);
        }
        match self.untrusted_ground() {
            Some(ground) if live && !self.allow_any_file_system => Err(Fault::FileSystem(ground)),
            _ => Ok(()),
        }
    }

    /// What the node's folder or its keys lie on when that may lose what was acknowledged, in words.
    #[must_use]
    pub fn untrusted_ground(&self) -> Option<&'static str> {
        [Some(self.data.as_path()), self.key_file.parent()].into_iter().flatten().find_map(untrusted)
    }
}

/// The file as it is written, before it is checked. Each key is described in `deploy/samples/node.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    network: String,
    data: PathBuf,
    key_file: PathBuf,
    device_secret: PathBuf,
    listen: Option<String>,
    endpoint: Option<String>,
    relays: Option<Vec<String>>,
    relay: Option<bool>,
    relay_gib: Option<u32>,
    passphrase_file: Option<PathBuf>,
    credential_file: Option<PathBuf>,
    idle_lock_secs: Option<u64>,
    keep_content_open: Option<bool>,
    reflection: Option<bool>,
    log_level: Option<LogLevel>,
    allow_trace_on_live: Option<bool>,
    allow_any_file_system: Option<bool>,
    control_socket: Option<PathBuf>,
    #[serde(default)]
    limits: WrittenLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    connections: Option<u32>,
    strangers_per_address: Option<u32>,
    lines_per_node: Option<u32>,
    deposits_per_minute: Option<u32>,
    outcomes_per_minute: Option<u32>,
    records_per_minute: Option<u32>,
    checkpoints_per_minute: Option<u32>,
    syncs_per_minute: Option<u32>,
}

const KEYS: &[&str] = &[
    "network",
    "data",
    "key_file",
    "device_secret",
    "listen",
    "endpoint",
    "relays",
    "relay",
    "relay_gib",
    "passphrase_file",
    "credential_file",
    "idle_lock_secs",
    "keep_content_open",
    "reflection",
    "log_level",
    "allow_trace_on_live",
    "allow_any_file_system",
    "control_socket",
    "limits",
];
const LIMIT_KEYS: &[&str] = &[
    "connections",
    "strangers_per_address",
    "lines_per_node",
    "deposits_per_minute",
    "outcomes_per_minute",
    "records_per_minute",
    "checkpoints_per_minute",
    "syncs_per_minute",
];
const REQUIRED: &[&str] = &["network", "data", "key_file", "device_secret"];

/// Largest configuration file in bytes.
pub const FILE_MAX: u64 = 64 << 10;
/// Port other nodes are answered on unless the configuration says another.
pub const PORT: u16 = 7443;
/// What `listen` says of an office that lets nobody in.
pub const NO_PORT: &str = "none";
/// Nodes that may keep mailboxes for this one, beside its own.
pub const RELAYS_MAX: usize = MAILBOXES_MAX - 1;
/// GiB offered to others unless the configuration says otherwise.
pub const RELAY_GIB: u32 = 4;
/// Seconds until content locks unless the configuration says otherwise.
pub const IDLE_LOCK_SECS: u64 = 900;
/// What an operator may choose instead: a minute to half a day.
pub const IDLE_LOCK_SECS_ALLOWED: std::ops::RangeInclusive<u64> = 60..=43_200;

impl Written {
    /// The whole configuration, or the key that is wrong and why.
    fn check(self, folder: &Path) -> Result<Config, (&'static str, Fault)> {
        let path = |key, path: PathBuf| {
            if path.as_os_str().is_empty() { Err((key, Fault::Empty)) } else { Ok(plain(&folder.join(path))) }
        };
        if self.network.is_empty() || self.network.len() > LABEL_MAX {
            return Err(("network", Fault::TextLength { max: LABEL_MAX }));
        }
        if self.endpoint.as_ref().is_some_and(|e| !is_endpoint(e)) {
            return Err(("endpoint", Fault::Endpoint));
        }
        let listen = self.listen()?;
        let relays = self.relays()?;
        let keeps = self.keeps()?;
        if listen.is_none() && relays.is_empty() {
            return Err(("listen", Fault::NoWayIn));
        }
        if listen.is_none() && self.endpoint.is_some() {
            return Err(("endpoint", Fault::NoPort));
        }
        let unattended = match (self.passphrase_file, self.credential_file) {
            (Some(_), Some(_)) => return Err(("credential_file", Fault::TwoSecrets)),
            (Some(file), None) => Unattended::Passphrase(path("passphrase_file", file)?),
            (None, Some(file)) => Unattended::Credential(path("credential_file", file)?),
            (None, None) => Unattended::No,
        };
        let idle_lock_secs = self.idle_lock_secs.unwrap_or(IDLE_LOCK_SECS);
        if !IDLE_LOCK_SECS_ALLOWED.contains(&idle_lock_secs) {
            let (min, max) = IDLE_LOCK_SECS_ALLOWED.into_inner();
            return Err(("idle_lock_secs", Fault::OutOfRange { min, max }));
        }
        let data = path("data", self.data)?;
        let control_socket = match self.control_socket {
            Some(socket) => path("control_socket", socket)?,
            None => data.join("control.sock"),
        };
        if control_socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(("control_socket", Fault::SocketPath));
        }
        Ok(Config {
            network: self.network,
            key_file: path("key_file", self.key_file)?,
            device_secret: path("device_secret", self.device_secret)?,
            data,
            listen,
            endpoint: self.endpoint,
            relays,
            keeps,
            unattended,
            idle_lock_secs,
            keep_content_open: self.keep_content_open.unwrap_or(false),
            reflection: self.reflection.unwrap_or(false),
            log_level: self.log_level.unwrap_or(LogLevel::Info),
            allow_trace_on_live: self.allow_trace_on_live.unwrap_or(false),
            allow_any_file_system: self.allow_any_file_system.unwrap_or(false),
            control_socket,
            limits: self.limits.check()?,
        })
    }
}

impl Written {
    fn listen(&self) -> Result<Option<SocketAddr>, (&'static str, Fault)> {
        match self.listen.as_deref() {
            None => Ok(Some((Ipv4Addr::UNSPECIFIED, PORT).into())),
            Some(NO_PORT) => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ("listen", Fault::Listen)),
        }
    }

    fn relays(&self) -> Result<Vec<NodeId>, (&'static str, Fault)> {
        let written = self.relays.as_deref().unwrap_or_default();
        let relays: Option<Vec<NodeId>> = written.iter().map(|text| NodeId::from_hex(text)).collect();
        let apart = |relays: &Vec<NodeId>| (1..relays.len()).all(|i| !relays[..i].contains(&relays[i]));
        let sound = relays.filter(|relays| relays.len() <= RELAYS_MAX && apart(relays));
        sound.ok_or(("relays", Fault::Relays))
    }

    fn keeps(&self) -> Result<Option<u64>, (&'static str, Fault)> {
        let most = u32::try_from(RELAY_BYTES_MAX >> 30).unwrap_or(u32::MAX);
        let gib = self.relay_gib.unwrap_or(RELAY_GIB);
        if !(1..=most).contains(&gib) {
            return Err(("relay_gib", Fault::OutOfRange { min: 1, max: most.into() }));
        }
        let keeps = self.relay.unwrap_or(false);
        if keeps && self.listen.as_deref() == Some(NO_PORT) {
            return Err(("relay", Fault::NoPort));
        }
        Ok(keeps.then_some(u64::from(gib) << 30))
    }
}

impl WrittenLimits {
    fn check(self) -> Result<Limits, (&'static str, Fault)> {
        let caps = Limits::HARD;
        let count = |key, asked, cap: usize| {
            let cap = u32::try_from(cap).unwrap_or(u32::MAX);
            below(key, asked, cap).map(|n| n as usize)
        };
        Ok(Limits {
            connections: count("connections", self.connections, caps.connections)?,
            strangers_per_address: count(
                "strangers_per_address",
                self.strangers_per_address,
                caps.strangers_per_address,
            )?,
            lines_per_node: count("lines_per_node", self.lines_per_node, caps.lines_per_node)?,
            deposits_per_minute: below("deposits_per_minute", self.deposits_per_minute, caps.deposits_per_minute)?,
            outcomes_per_minute: below("outcomes_per_minute", self.outcomes_per_minute, caps.outcomes_per_minute)?,
            records_per_minute: below("records_per_minute", self.records_per_minute, caps.records_per_minute)?,
            checkpoints_per_minute: below(
                "checkpoints_per_minute",
                self.checkpoints_per_minute,
                caps.checkpoints_per_minute,
            )?,
            syncs_per_minute: below("syncs_per_minute", self.syncs_per_minute, caps.syncs_per_minute)?,
            ..caps
        })
    }
}

/// The same path without the `.` of `data = "."`, which people would read in every message.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// What was asked for, when it is at least one and at most the cap; the cap when nothing was.
fn below(key: &'static str, asked: Option<u32>, cap: u32) -> Result<u32, (&'static str, Fault)> {
    let asked = asked.unwrap_or(cap);
    if (1..=cap).contains(&asked) { Ok(asked) } else { Err((key, Fault::OutOfRange { min: 1, max: cap.into() })) }
}

/// Whether `text` has the form `host:port` or `[v6]:port`. Whether it is reachable only dialling tells.
fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_is_good = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
    };
    text.len() <= LABEL_MAX && host_is_good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn known_keys(place: &Place<'_>, text: &str, table: &DeTable<'_>, known: &[&'static str]) -> Result<(), ConfigError> {
    // By place in the file, so that the first mistake is the one that is told.
    let mut unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
    unknown.sort_by_key(|key| key.span().start);
    match unknown.first() {
        None => Ok(()),
        Some(key) => {
            let fault = Fault::UnknownKey { meant: nearest(key.get_ref(), known) };
            Err(place.key(text, key.span().start, key.get_ref(), fault))
        }
    }
}

/// The known key that `typed` is most likely a slip of.
fn nearest(typed: &str, known: &[&'static str]) -> Option<&'static str> {
    let typed: String = typed.chars().take(TYPED_MAX).map(|c| if c == '-' { '_' } else { c }).collect();
    let typed = typed.to_lowercase();
    if let Some(begun) = known.iter().find(|key| typed.len() >= BEGUN_MIN && key.starts_with(&typed)) {
        return Some(begun);
    }
    let (best, distance) = known.iter().map(|key| (*key, edits(&typed, key))).min_by_key(|(_, distance)| *distance)?;
    (distance <= 1 + best.len() / 4).then_some(best)
}

/// Letters by which the beginning of a key counts as the key.
const BEGUN_MIN: usize = 4;
/// Letters of an unknown key that are compared.
const TYPED_MAX: usize = 40;

/// Letters to insert, remove or change to make one word the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;

//! Why a node does not start, or stops by itself: each with what to do.

use std::path::PathBuf;

use clearhouse_store::keyfile::KeyFileError;
use clearhouse_store::passphrase::PassphraseError;

use crate::config::ConfigError;
use crate::control::ControlError;
use crate::listener::ListenError;
use crate::log::LogError;
use crate::restored::NotYet;
use crate::tls::TlsError;

/// Why a node did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the node's folder.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// The key file.
    #[error("{0}")]
    Keys(#[from] KeyFileError),
    /// A pass phrase or credential file.
    #[error("{0}")]
    Passphrase(#[from] PassphraseError),
    /// The node's folder lost its store. A new one would look as if there never had been a case.
    #[error("{}: no store is here, and this folder's node has one; none was begun anew. Put it back from your backup", .0.display())]
    NoStore(PathBuf),
    /// Another process has the store.
    #[error("a node already runs on {}: stop it before you start another", .0.display())]
    AlreadyRuns(PathBuf),
    /// The store.
    #[error("{0}")]
    Store(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The public door.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The local door.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The node was restored, and has not heard yet what it has to.
    #[error("{0}")]
    Restored(#[from] NotYet),
    /// Another process uses this node's keys.
    #[error("{0}")]
    Twin(LogError),
    /// The store can no longer be trusted.
    #[error("{0}")]
    Fatal(String),
}

impl From<LogError> for ServeError {
    fn from(error: LogError) -> Self {
        if matches!(error, LogError::Twin { .. }) { Self::Twin(error) } else { Self::Store(error.to_string()) }
    }
}

impl ServeError {
    /// Whether a pass phrase or key was missing or wrong.
    #[must_use]
    pub fn is_about_keys(&self) -> bool {
        matches!(self, Self::Keys(_) | Self::Passphrase(_))
    }

    /// Whether something stored is not what was stored.
    #[must_use]
    pub fn is_about_integrity(&self) -> bool {
        matches!(self, Self::NoStore(_) | Self::Store(_) | Self::Twin(_) | Self::Fatal(_))
    }
}

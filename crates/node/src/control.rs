//! The local door: one socket in the node's folder, through which the command line and the desk ask.
//!
//! Refuses other users of the machine by what the system says about them, a second node on the same path, and frames
//! too long or too slow. It knows nothing of what is asked: calls and answers are JSON values, and since they may
//! speak of people nothing here prints them.

mod frame;
mod socket;

pub use frame::{FRAME_MAX, FRAME_TIME};
pub use socket::{ControlSocket, SOCKET_PATH_MAX};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

/// What a porch asks. Has no `Debug`: a call may carry a pass phrase or a case.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// Chosen by who asks; comes back with the answer.
    pub id: u64,
    /// For whom this is asked; `None` before anyone has signed in.
    pub session: Option<SessionToken>,
    /// What is asked.
    pub call: Value,
}

/// What the node answers. Has no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlReply {
    /// The request's.
    pub id: u64,
    /// What was asked for, or why not.
    pub result: Result<Value, ControlFailure>,
}

/// Why a call was not done, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{text}")]
pub struct ControlFailure {
    /// A stable word for programs.
    pub code: String,
    /// A sentence, and what to do next.
    pub text: String,
}

/// Shows for whom a call is made. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(Zeroizing<String>);

impl SessionToken {
    /// Takes over `token`.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for SessionToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The local door did not open, or a call through it did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The path does not fit into the system's structure.
    #[error(
        "the control socket's path has {len} bytes, and the system allows {SOCKET_PATH_MAX}: set control_socket to a \
         shorter one, for example under /run"
    )]
    PathTooLong {
        /// Its length.
        len: usize,
    },
    /// Others may put files where the socket shall be.
    #[error("the folder {} can be written to by others: run `chmod go-w` on it or choose another", .0.display())]
    Folder(PathBuf),
    /// Something that is no socket of ours stands at the path.
    #[error("{} is there and is not a socket of this node: look at it, then move it away", .0.display())]
    NotASocket(PathBuf),
    /// A node answers there already.
    #[error("a node already runs on {}: stop it first", .0.display())]
    AlreadyServed(PathBuf),
    /// No node answers.
    #[error("no node runs on {}: start it with `clearhouse serve`", .0.display())]
    NotRunning(PathBuf),
    /// Whoever answers is another user.
    #[error("the socket is served by another user: run this as the node's own user, or as root")]
    OtherUser,
    /// The answer did not come in time.
    #[error("the node did not answer within {} s: what was asked may have been done", .0.as_secs())]
    Deadline(Duration),
    /// Question or answer is longer than a frame.
    #[error("this is longer than the {FRAME_MAX} bytes one call may have: ask for less at once")]
    TooLong,
    /// What came is not an answer, or the line ended.
    #[error("the node's answer broke off: what was asked may have been done")]
    Broken,
    /// The system refused.
    #[error("the control socket cannot be used ({0})")]
    System(io::ErrorKind),
}

/// Asks the node that serves `path` and waits up to `time` for its answer.
///
/// # Errors
/// [`ControlError`]. A refusal of the node is not an error here but the reply's `result`.
pub async fn call_control(path: &Path, request: &ControlRequest, time: Duration) -> Result<ControlReply, ControlError> {
    socket::check_length(path)?;
    let call = async {
        let mut stream = UnixStream::connect(path).await.map_err(|e| not_running(path, &e))?;
        let theirs = stream.peer_cred().map_err(|e| ControlError::System(e.kind()))?.uid();
        // The other way round as when serving: root may ask anyone's node.
        if !socket::is_own_user(rustix::process::geteuid().as_raw(), theirs) {
            return Err(ControlError::OtherUser);
        }
        frame::write(&mut stream, request).await?;
        let reply: ControlReply = frame::read(&mut stream, time).await?.ok_or(ControlError::Broken)?;
        if reply.id == request.id { Ok(reply) } else { Err(ControlError::Broken) }
    };
    tokio::time::timeout(time, call).await.unwrap_or(Err(ControlError::Deadline(time)))
}

fn not_running(path: &Path, error: &io::Error) -> ControlError {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        ControlError::NotRunning(path.into())
    } else {
        ControlError::System(error.kind())
    }
}

#[cfg(test)]
mod tests;

//! The serving side of the local door: taking the path, telling users apart, answering.

use super::{ControlError, ControlFailure, ControlReply, ControlRequest, frame};
use crate::limits::Counters;
use crate::rpc::contained;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest path of a socket. The system's structure has 108 bytes; five go to the suffix while it is being made.
pub const SOCKET_PATH_MAX: usize = 100;
/// Porches connected at once. More are closed at once.
pub(super) const PORCHES_MAX: usize = 32;
/// A porch that asks nothing for this long is let go.
pub(super) const PORCH_IDLE: Duration = Duration::from_secs(300);
/// Time for calls under way when the node stops.
pub(super) const PORCH_DRAIN: Duration = Duration::from_secs(5);
/// Pause after an error of the system while accepting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is bound to its path and not served yet. The path is given back when it is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that only our own socket is removed.
    made: (u64, u64),
}

impl ControlSocket {
    /// Takes `path`, mode 0600. A socket left by a node that died is replaced; anything else there is left alone.
    ///
    /// Two nodes that start in the same instant are not told apart here but by the lock on the data folder.
    ///
    /// # Errors
    /// [`ControlError`] before a call; nothing was changed.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        check_length(path)?;
        check_folder(path)?;
        check_free(path)?;
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        check_free(&unfinished)?;
        remove(&unfinished)?;
        // It gets its name only after its rights, so nobody can be earlier.
        let listener = UnixListener::bind(&unfinished).map_err(|e| system(&e))?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o600)).map_err(|e| system(&e))?;
        let meta = fs::symlink_metadata(&unfinished).map_err(|e| system(&e))?;
        fs::rename(&unfinished, path).map_err(|e| system(&e))?;
        Ok(Self { listener, path: path.into(), made: (meta.dev(), meta.ino()) })
    }

    /// Answers with `handler` until `shutdown`, each porch's calls in order; then lets calls under way end.
    ///
    /// A handler that panics answers with the code `broken` and is counted.
    pub async fn serve<H, F>(self, counters: Arc<Counters>, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(ControlRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, ControlFailure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let (stop, stopping) = watch::channel(false);
        let mut porches = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
                Some(_) = porches.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if may_ask(&stream) && porches.len() < PORCHES_MAX => {
                    porches.spawn(porch(stream, Arc::clone(&counters), Arc::clone(&handler), stopping.clone()));
                }
                Ok(_) => counters.control_refused.add(),
                Err(error) => {
                    counters.accept_failed.add();
                    tracing::debug!(kind = ?error.kind(), "a local connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        stop.send_replace(true);
        let drained = async { while porches.join_next().await.is_some() {} };
        // What does not end is dropped with the set.
        let _ = tokio::time::timeout(PORCH_DRAIN, drained).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.made);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(kind = ?error.kind(), "the control socket could not be removed");
        }
    }
}

fn may_ask(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|them| is_own_user(them.uid(), rustix::process::geteuid().as_raw()))
}

/// Only the node's own user, and root, who could read its memory anyway.
pub(super) fn is_own_user(them: u32, us: u32) -> bool {
    them == us || them == 0
}

async fn porch<H, F>(
    mut stream: UnixStream,
    counters: Arc<Counters>,
    handler: Arc<H>,
    mut stopping: watch::Receiver<bool>,
) where
    H: Fn(ControlRequest) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, ControlFailure>> + Send + 'static,
{
    loop {
        let request: ControlRequest = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            read = frame::read(&mut stream, PORCH_IDLE) => match read {
                Ok(Some(request)) => request,
                Ok(None) | Err(ControlError::Deadline(_)) => return,
                Err(_) => return counters.control_refused.add(),
            },
        };
        let id = request.id;
        // In an async block, so that a panic before its first await is contained as well.
        let result = contained(async { handler(request).await }).await.unwrap_or_else(|_| {
            counters.panics.add();
            tracing::error!("a local call panicked and was ended: this is a bug");
            Err(failure("broken", "the node failed while doing this. Look at its log, and please report it"))
        });
        let written = match frame::write(&mut stream, &ControlReply { id, result }).await {
            Err(ControlError::TooLong) => {
                let failed = failure("too-long", "the answer is longer than one call may bring: ask for less at once");
                frame::write(&mut stream, &ControlReply { id, result: Err(failed) }).await
            }
            written => written,
        };
        if written.is_err() {
            return;
        }
    }
}

fn failure(code: &str, text: &str) -> ControlFailure {
    ControlFailure { code: code.into(), text: text.into() }
}

pub(super) fn check_length(path: &Path) -> Result<(), ControlError> {
    let len = path.as_os_str().as_bytes().len();
    if len > SOCKET_PATH_MAX { Err(ControlError::PathTooLong { len }) } else { Ok(()) }
}

/// Whoever may write to the folder could put a socket of their own in our place.
fn check_folder(path: &Path) -> Result<(), ControlError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let meta = fs::metadata(folder).map_err(|e| system(&e))?;
    let owned = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
    if owned && meta.mode() & 0o022 == 0 { Ok(()) } else { Err(ControlError::Folder(folder.into())) }
}

/// Nothing is there, or a socket of ours that nobody answers.
fn check_free(path: &Path) -> Result<(), ControlError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(&error)),
    };
    if !meta.file_type().is_socket() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(ControlError::NotASocket(path.into()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(ControlError::AlreadyServed(path.into())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Its queue is full: somebody is there.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(ControlError::AlreadyServed(path.into())),
        Err(error) => Err(system(&error)),
    }
}

fn remove(path: &Path) -> Result<(), ControlError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system(&error)),
        _ => Ok(()),
    }
}

fn system(error: &io::Error) -> ControlError {
    ControlError::System(error.kind())
}

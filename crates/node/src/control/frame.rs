//! Frames of the local door: four bytes of length, then that many bytes of JSON.
//!
//! Refuses a length above the cap before reading on, and wipes every buffer: pass phrases go through here.

use super::ControlError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Longest frame, its length apart.
pub const FRAME_MAX: usize = 1 << 20;
/// Time for the rest of a frame once its first byte has come.
pub const FRAME_TIME: Duration = Duration::from_secs(10);

/// The next frame; `None` when the line ended where one could have begun. Its first byte is awaited for `idle`.
pub(super) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    idle: Duration,
) -> Result<Option<T>, ControlError> {
    let mut len = [0; 4];
    let first = tokio::time::timeout(idle, stream.read(&mut len[..1]));
    match first.await.map_err(|_| ControlError::Deadline(idle))? {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(_) => return Err(ControlError::Broken),
    }
    let rest = async {
        stream.read_exact(&mut len[1..]).await.map_err(|_| ControlError::Broken)?;
        let len = usize::try_from(u32::from_be_bytes(len)).map_err(|_| ControlError::TooLong)?;
        if len > FRAME_MAX {
            return Err(ControlError::TooLong);
        }
        let mut bytes = Zeroizing::new(vec![0; len]);
        stream.read_exact(&mut bytes).await.map_err(|_| ControlError::Broken)?;
        // What the parser says could repeat what was sent.
        serde_json::from_slice(&bytes).map_err(|_| ControlError::Broken)
    };
    tokio::time::timeout(FRAME_TIME, rest).await.map_err(|_| ControlError::Deadline(FRAME_TIME))?.map(Some)
}

/// Writes one frame, whole or not at all as far as its length is concerned.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> Result<(), ControlError> {
    let bytes = encode(value)?;
    let written = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    match tokio::time::timeout(FRAME_TIME, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(ControlError::Broken),
        Err(_) => Err(ControlError::Deadline(FRAME_TIME)),
    }
}

/// The frame's bytes, measured first: a buffer that grew would leave copies behind.
fn encode(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, ControlError> {
    let mut len = Measure(0);
    serde_json::to_writer(&mut len, value).map_err(|_| ControlError::TooLong)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + len.0));
    bytes.extend(u32::try_from(len.0).map_err(|_| ControlError::TooLong)?.to_be_bytes());
    serde_json::to_writer(&mut *bytes, value).map_err(|_| ControlError::Broken)?;
    Ok(bytes)
}

/// Counts what is written and fails above the cap.
struct Measure(usize);

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > FRAME_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

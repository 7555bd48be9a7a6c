//! The floor of everything durable: bytes appended to one file by one thread, one fdatasync for all that wait. The
//! same queue and the same answers as a node's owner has, and nothing decided, sealed or indexed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::measure::{Outcome, Run, during, load};

/// Appends that may wait for the writer.
const QUEUE_MAX: usize = 1024;
/// Appends written and synced together.
const BATCH_MAX: usize = 256;

type Append = (Arc<Vec<u8>>, oneshot::Sender<()>);

/// The log. Its thread ends with it.
pub(crate) struct RawLog {
    appends: mpsc::Sender<Append>,
}

impl RawLog {
    /// A log in a new file at `path`.
    pub(crate) fn new(path: &Path) -> Outcome<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        let (appends, waiting) = mpsc::channel(QUEUE_MAX);
        // An error drops who waits, which tells them.
        thread::Builder::new().name("rawlog".to_owned()).spawn(move || write_all(file, waiting))?;
        Ok(Self { appends })
    }

    /// `lanes` writers of `len` bytes each, for `time`.
    pub(crate) async fn measure(&self, lanes: usize, len: usize, time: Duration) -> Outcome<Run> {
        let bytes = Arc::new(vec![0xA5; len]);
        let appends = self.appends.clone();
        Run::of(load(lanes, during(time), move |_, ()| append(appends.clone(), Arc::clone(&bytes)))).await
    }
}

async fn append(appends: mpsc::Sender<Append>, bytes: Arc<Vec<u8>>) -> Outcome<()> {
    let (reply, durable) = oneshot::channel();
    appends.send((bytes, reply)).await?;
    Ok(durable.await?)
}

fn write_all(mut file: File, mut waiting: mpsc::Receiver<Append>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let (mut next, mut replies) = (Some(first), Vec::new());
        buffer.clear();
        while let Some((bytes, reply)) = next {
            buffer.extend_from_slice(&bytes);
            replies.push(reply);
            next = if replies.len() < BATCH_MAX { waiting.try_recv().ok() } else { None };
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        for reply in replies {
            let _ = reply.send(());
        }
    }
    Ok(())
}

//! One look at one directory log at one peer: its pages after those that are held, one after the other, each taken before
//! the next is asked for.
//!
//! Refuses to be kept busy: pages and their bytes have an end, and what is left is read in the next look. Refuses a page
//! that brings nothing on.

use clearhouse_protocol::directory::logs::LogFault;
use clearhouse_protocol::ids::NodeId;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::owner::{NotTaken, Owner};
use crate::rpc::client::Client;
use crate::rpc::status::PeerError;

/// Pages read of one log in one look.
const PAGES_MAX: usize = 256;

/// How far one log was read from one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// To the end of what the peer knows.
    Whole,
    /// On, and not to the end: there is more than one look reads.
    Part,
    /// Not at all, or not to the end.
    Not,
}

/// Who shows pages of directory logs.
pub(crate) trait Pages {
    /// The page that was asked for.
    ///
    /// # Errors
    /// [`PeerError`], when none comes.
    fn page(
        &self,
        asked: wire::DirectoryLogRequest,
    ) -> impl Future<Output = Result<wire::DirectoryLogReply, PeerError>> + Send;
}

impl Pages for Client {
    async fn page(&self, asked: wire::DirectoryLogRequest) -> Result<wire::DirectoryLogReply, PeerError> {
        self.directory_log(asked).await
    }
}

/// Reads a log on from one peer, page by page, until `room` bytes of pages are read: at least one, so that every look gets
/// on, and at most one beyond.
///
/// # Errors
/// [`NotTaken`], when nothing can be kept here.
pub(crate) async fn read<S: Store + 'static>(
    owner: &Owner<S>,
    log: NodeId,
    peer: NodeId,
    from: &impl Pages,
    room: usize,
) -> Result<Read, NotTaken> {
    let (mut in_full, mut room) = (false, room);
    for _ in 0..PAGES_MAX {
        let directory = owner.signals.directory.borrow().clone();
        let (first, fresh) = (directory.followed(log), directory.newest_head(log).map_or(0, |head| head.fresh()));
        // What another log showed already is named, not sent again.
        let leaves = !std::mem::take(&mut in_full) && directory.shows_more(log);
        let asked = wire::DirectoryLogRequest { node: log.to_vec(), first, fresh, leaves };
        let Ok(page) = from.page(asked).await else { return Ok(Read::Not) };
        if page.head.is_empty() {
            return Ok(Read::Whole);
        }
        room = room.saturating_sub(page.encoded_len());
        let taken = owner.follow(log, Some(first), page).await?;
        match taken {
            Ok(intake) if intake.refused.is_empty() => {
                let now = owner.signals.directory.borrow().clone();
                let reached = (now.followed(log), now.newest_head(log).map_or(0, |head| head.fresh()));
                // Who tells the same page again would otherwise be read two hundred times.
                if reached == (first, fresh) {
                    return Ok(Read::Not);
                }
            }
            Ok(intake) => {
                tracing::warn!(%log, refused = intake.refused.len(), "a directory log holds records that do not hold");
            }
            Err(LogFault::NotHeld) if leaves => in_full = true,
            Err(LogFault::Overtaken) => return Ok(Read::Not),
            Err(fault) => {
                match fault {
                    LogFault::Forked(Some(_)) => {
                        tracing::error!(%log, %peer, "this directory log shows two histories: tell a coordinator")
                    }
                    LogFault::Smaller | LogFault::Forked(None) => {
                        tracing::error!(%log, %fault, "a directory log does not continue what was shown before")
                    }
                    LogFault::NoSuchLog
                    | LogFault::Overtaken
                    | LogFault::Head(_)
                    | LogFault::NotWitnessed
                    | LogFault::Page
                    | LogFault::NotHeld
                    | LogFault::Proof(_) => {
                        tracing::warn!(%log, %fault, "what was shown of a directory log is not taken");
                    }
                }
                return Ok(Read::Not);
            }
        }
        if room == 0 {
            return Ok(Read::Part);
        }
    }
    Ok(Read::Part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

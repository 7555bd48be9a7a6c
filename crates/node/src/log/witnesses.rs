//! Asks the witnesses' nodes, coordinators' and those drawn by lot, to cosign each head of this node's log, gathers what
//! they sign, and tells when it is enough.
//!
//! A head without them is good evidence against this node and none for it: only somebody else's memory keeps a log from
//! being rewritten unseen. Refuses to stop the node for what one witness says; it alarms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::tiles::Tiled;
use clearhouse_protocol::log::tree::consistency;
use clearhouse_protocol::log::witness::Request;
use clearhouse_store::Store;
use clearhouse_store::tile_files::TileFiles;
use tokio::sync::watch;

use super::Head;
use crate::clock::Clock;
use crate::owner::Owner;
use crate::rpc::client::{Address, Pool};

/// Witnesses asked at most.
const WITNESSES_MAX: usize = 15;
/// A witness that has another size says which; it is asked again at most so often.
const TRIES: usize = 3;
/// A head that is not fully cosigned is taken round again after this.
const AGAIN: Duration = Duration::from_secs(15);

/// What the gathering stands on.
pub struct Round<S> {
    /// The way to the owner, for its directory.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This node.
    pub me: NodeId,
    /// The log's tiles.
    pub files: TileFiles,
    /// Heads as they are signed.
    pub heads: watch::Receiver<Option<Head>>,
    /// Where cosigned ones are told.
    pub cosigned: watch::Sender<Option<Head>>,
    /// Where those are told that enough witnesses cosigned.
    pub witnessed: watch::Sender<Option<Head>>,
}

impl<S: Store + 'static> Round<S> {
    /// Goes round until the node stops.
    pub async fn run(mut self) {
        let mut known = BTreeMap::new();
        loop {
            let head = self.heads.borrow_and_update().clone();
            let whole = match head {
                Some(head) => self.go(head, &mut known).await,
                None => true,
            };
            let changed = self.heads.changed();
            let ended = if whole {
                changed.await.is_err()
            } else {
                tokio::time::timeout(AGAIN, changed).await.is_ok_and(|done| done.is_err())
            };
            if ended {
                return;
            }
        }
    }

    /// Takes one head to every witness; `true` when all of them signed it.
    async fn go(&self, head: Head, known: &mut BTreeMap<NodeId, u64>) -> bool {
        let directory = self.owner.signals.directory.borrow().clone();
        let mut note = (*head.note).clone();
        let mut whole = true;
        for (node, key) in directory.witnesses(self.me, self.clock.now()).into_iter().take(WITNESSES_MAX) {
            let old = known.get(&node).copied().unwrap_or(0).min(head.checkpoint.size);
            match self.ask(&directory, node, &key, &head, old).await {
                Some(signed) => {
                    known.insert(node, head.checkpoint.size);
                    note.gather(&signed);
                }
                None => whole = false,
            }
        }
        if note != *head.note {
            let head = Head { checkpoint: head.checkpoint, note: Arc::new(note) };
            if self.is_enough(&directory, &head) {
                self.witnessed.send_replace(Some(head.clone()));
            }
            self.cosigned.send_replace(Some(head));
        }
        whole
    }

    fn is_enough(&self, directory: &Directory, head: &Head) -> bool {
        let signed = directory.log_key(self.me).and_then(|key| SignedCheckpoint::of((*head.note).clone(), &key).ok());
        let standing = |head| directory.quorum(self.me, self.clock.now()).standing(&head).ok();
        signed.and_then(standing).is_some_and(|standing| standing.reached)
    }

    /// One witness's signature under this head.
    async fn ask(&self, directory: &Directory, node: NodeId, key: &NoteKey, head: &Head, mut old: u64) -> Option<Note> {
        let client = self.pool.client(&Address::of(directory, node)?).await.ok()?;
        for _ in 0..TRIES {
            let request = self.request(head, old).await?;
            let reply = client.add_checkpoint(request.to_string().into_bytes()).await.ok()?;
            match reply.status {
                200 => return signature(&reply.note, key, &head.checkpoint),
                409 if reply.size > head.checkpoint.size => {
                    tracing::error!(
                        witness = %node, theirs = reply.size, ours = head.checkpoint.size,
                        "a witness has seen more of this node's log than is here: an old copy was put back, or the \
                         witness lies. Tell a coordinator"
                    );
                    return None;
                }
                409 if reply.size != old => old = reply.size,
                status => {
                    tracing::warn!(witness = %node, status, "a witness does not cosign");
                    return None;
                }
            }
        }
        None
    }

    async fn request(&self, head: &Head, old: u64) -> Option<Request> {
        let (files, size) = (self.files.clone(), head.checkpoint.size);
        let path = tokio::task::spawn_blocking(move || consistency(&Tiled::new(&files, size), old, size));
        Some(Request { old, path: path.await.ok()?.ok()?, note: (*head.note).clone() })
    }
}

/// What came back, if it is this witness's signature under exactly this head.
fn signature(bytes: &[u8], key: &NoteKey, head: &Checkpoint) -> Option<Note> {
    let note = Note::parse(bytes).ok()?;
    let signed = note.text() == head.text() && matches!(note.signed_by(key), Ok(Some(_)));
    signed.then_some(note)
}

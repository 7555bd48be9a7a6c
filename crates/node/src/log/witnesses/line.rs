//! The way from this node's log to one witness: one request, and what the answer is worth.
//!
//! Believes a signature under exactly the head that was sent, and this node's own under another. Refuses to take anything
//! else for more than a word.

use std::sync::Arc;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::tiles::Tiled;
use clearhouse_protocol::log::tree::consistency;
use clearhouse_protocol::log::witness::{MIRROR_BEHIND, Request};
use clearhouse_protocol::merkle;
use clearhouse_store::tile_files::TileFiles;

use super::{Said, Word};
use crate::log::Head;
use crate::rpc::client::{Address, Along, Pool};

/// A witness that has another size says which; it is asked again at most so often.
const TRIES: usize = 3;

/// One answer to one request.
pub(super) enum Answer {
    /// What it came to.
    Said(Said),
    /// The witness holds a head of this size, which this log continues as far as it shows.
    Holds(u64),
    /// A coordinator's node was to sign what it mirrors, and mirrors so many entries, not all. It signed nothing.
    Behind(u64),
}

/// The way from this node's log to a witness.
#[derive(Clone)]
pub struct Line {
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// This node.
    pub me: NodeId,
    /// The log's tiles.
    pub files: TileFiles,
}

impl Line {
    /// One witness's signature under this head, or what else it says. `old` is the size of the head it holds as far as is
    /// known, and what it says of that.
    pub(super) async fn ask(
        &self,
        directory: &Directory,
        witness: (NodeId, &NoteKey),
        head: &Head,
        old: &mut u64,
    ) -> Option<Said> {
        for _ in 0..TRIES {
            match self.once(directory, witness, head, *old, Along::default()).await? {
                Answer::Said(said) => return Some(said),
                Answer::Holds(size) if size != *old => *old = size,
                Answer::Holds(_) | Answer::Behind(_) => return None,
            }
        }
        None
    }

    /// What a witness says to a head that it may have: whether it holds anything that is not of the log here. It is asked
    /// for no new signature.
    pub(in crate::log) async fn probe(
        &self,
        directory: &Directory,
        witness: (NodeId, &NoteKey),
        head: &Head,
    ) -> Option<Said> {
        let answer = self.once(directory, witness, head, head.checkpoint.size, Along::default()).await?;
        Some(match answer {
            Answer::Said(said) => said,
            Answer::Holds(_) | Answer::Behind(_) => Said { word: Word::NothingMore, mirrored: 0 },
        })
    }

    /// One request.
    pub(super) async fn once(
        &self,
        directory: &Directory,
        (node, key): (NodeId, &NoteKey),
        head: &Head,
        old: u64,
        along: Along,
    ) -> Option<Answer> {
        let client = self.pool.client(&Address::of(directory, node)?).await.ok()?;
        let request = self.request(head, old.min(head.checkpoint.size)).await?;
        let reply = client.add_checkpoint(request.to_string().into_bytes(), along).await.ok()?;
        let said = |word| Some(Answer::Said(Said { word, mirrored: reply.mirrored }));
        let own = directory.log_key(self.me);
        let shown = own.and_then(|key| SignedCheckpoint::open(&reply.note, &key).ok());
        match (reply.status, shown.as_ref().map(SignedCheckpoint::checkpoint)) {
            (200, _) => signature(&reply.note, key, &head.checkpoint).and_then(|note| said(Word::Signed(note))),
            (MIRROR_BEHIND, _) => Some(Answer::Behind(reply.mirrored)),
            // It does not know this node yet, so it cannot have seen more.
            (403, _) => said(Word::NothingMore),
            (409 | 422, Some(shown)) if shown.size > head.checkpoint.size => said(Word::More(shown.size)),
            // Said before the way from there is shown: with it, the witness would have a proof.
            (409 | 422, Some(shown)) if !self.continues(shown, &head.checkpoint).await? => {
                said(Word::Other(shown.size))
            }
            (409, _) if reply.size > head.checkpoint.size => {
                tracing::error!(
                    witness = %node, theirs = reply.size, ours = head.checkpoint.size,
                    "a witness says that it has seen more of this node's log than is here, and does not show it. \
                     Tell a coordinator"
                );
                None
            }
            (409, _) if reply.size != old => Some(Answer::Holds(reply.size)),
            (status, _) => {
                tracing::warn!(witness = %node, status, "a witness does not cosign");
                None
            }
        }
    }

    /// Whether the log here, up to `head`, begins with another head.
    async fn continues(&self, older: &Checkpoint, head: &Checkpoint) -> Option<bool> {
        let path = self.path(older.size, head.size).await?;
        Some(merkle::extends((older.size, &older.root), (head.size, &head.root), &path))
    }

    /// The consistency proof from `old` entries of the log here to `size`.
    pub(super) async fn path(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
        let files = self.files.clone();
        let path = tokio::task::spawn_blocking(move || consistency(&Tiled::new(&files, size), old, size));
        path.await.ok()?.ok()
    }

    async fn request(&self, head: &Head, old: u64) -> Option<Request> {
        Some(Request { old, path: self.path(old, head.checkpoint.size).await?, note: (*head.note).clone() })
    }
}

/// What came back, if it is this witness's signature under exactly this head.
fn signature(bytes: &[u8], key: &NoteKey, head: &Checkpoint) -> Option<Note> {
    let note = Note::parse(bytes).ok()?;
    let signed = note.text() == head.text() && matches!(note.signed_by(key), Ok(Some(_)));
    signed.then_some(note)
}

//! Asks the witnesses' nodes, coordinators' and those drawn by lot, to cosign each head of this node's log, gathers what
//! they sign, and tells when it is enough.
//!
//! A head without them is good evidence against this node and none for it: only somebody else's memory keeps a log from
//! being rewritten unseen. After a start it also tells whether this node is the one that signed last: until enough of
//! them have said that they know of nothing more, nothing new is signed. Refuses to stop the node for what one witness
//! says; its own signature under a head that is not of the log here stops it, whoever shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::TAIL_MAX;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::quorum::tolerated;
use clearhouse_protocol::log::tiles::Tiled;
use clearhouse_protocol::log::tree::consistency;
use clearhouse_protocol::log::witness::Request;
use clearhouse_protocol::merkle;
use clearhouse_store::Store;
use clearhouse_store::tile_files::TileFiles;
use tokio::sync::watch;

use super::Head;
use super::alone::Heard;
use super::order::{Part, Question, Turns};
use crate::clock::Clock;
use crate::owner::Owner;
use crate::rpc::client::{Address, Pool};

/// Witnesses asked at most.
pub(super) const WITNESSES_MAX: usize = 15;
/// A witness that has another size says which; it is asked again at most so often.
const TRIES: usize = 3;
/// A head that is not fully cosigned is taken round again after this.
const AGAIN: Duration = Duration::from_secs(15);
/// The first pause while nobody has said yet that this node remembers all it signed; it doubles up to [`AGAIN`].
const SOON: Duration = Duration::from_millis(500);

/// Whether this node remembers everything it signed, as far as its witnesses can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Nobody has said yet. Nothing is signed meanwhile: an old disk would sign a second history.
    Unasked,
    /// More witnesses than may lie know of nothing more; or there is nobody to ask; or nothing was ever signed.
    Whole,
    /// This node signed more entries than it has: its own signature was shown.
    Older {
        /// How many it signed.
        signed: u64,
    },
    /// Another process signs with this node's keys: a head was shown that did not come from here.
    Twin {
        /// The size of that head.
        signed: u64,
    },
}

impl Memory {
    /// Whether the node must stop.
    pub(super) fn is_fatal(self) -> bool {
        match self {
            Self::Older { .. } | Self::Twin { .. } => true,
            Self::Unasked | Self::Whole => false,
        }
    }
}

/// What a witness answered.
pub(super) enum Word {
    /// Its signature.
    Signed(Note),
    /// It does not cosign, and knows of nothing more.
    NothingMore,
    /// This node's own signature under a larger head.
    More(u64),
    /// This node's own signature under a head of this size that is not of the log here.
    Other(u64),
    /// No answer, or one that tells nothing.
    Silent,
}

/// One answer to one request.
enum Answer {
    /// What it came to.
    Said(Word),
    /// The witness holds a head of this size, which this log continues as far as it shows.
    Holds(u64),
}

/// The first entry that a coordinator's node was not told of, and commitments from there to the end of a head.
pub(super) type Tail = (u64, Vec<u8>);

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

/// What the gathering stands on.
pub struct Round<S> {
    /// The way to the owner, for its directory.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to witnesses.
    pub line: Line,
    /// What the witnesses have said so far.
    pub heard: Heard,
    /// Heads as they are signed.
    pub heads: watch::Receiver<Option<Head>>,
    /// Where cosigned ones are told.
    pub cosigned: watch::Sender<Option<Head>>,
    /// Where those are told that enough witnesses cosigned.
    pub witnessed: watch::Sender<Option<Head>>,
    /// Where it is told whether this node remembers all it signed.
    pub memory: watch::Sender<Memory>,
}

impl<S: Store + 'static> Round<S> {
    /// Goes round until the node stops.
    pub async fn run(mut self) {
        let (mut known, mut soon) = (BTreeMap::new(), SOON);
        loop {
            let head = self.heads.borrow_and_update().clone();
            let whole = match head {
                Some(head) => self.go(head, &mut known).await,
                None => {
                    self.memory.send_replace(Memory::Whole);
                    true
                }
            };
            if self.memory.borrow().is_fatal() {
                return;
            }
            let pause = if *self.memory.borrow() == Memory::Unasked { soon } else { AGAIN };
            soon = (soon * 2).min(AGAIN);
            let changed = self.heads.changed();
            let ended = if whole {
                changed.await.is_err()
            } else {
                tokio::time::timeout(pause, changed).await.is_ok_and(|done| done.is_err())
            };
            if ended {
                return;
            }
        }
    }

    /// Takes one head to the witnesses in their [order](super::order); `true` when all of them signed it.
    async fn go(&mut self, head: Head, known: &mut BTreeMap<NodeId, u64>) -> bool {
        let directory = self.owner.signals.directory.borrow().clone();
        let mut note = (*head.note).clone();
        let (mut whole, mut nothing_more) = (true, 0);
        let witnesses = directory.witnesses(self.line.me, self.clock.now());
        let all = witnesses.len();
        let tails = self.tails(&directory, &witnesses, head.checkpoint.size).await;
        let mut turns = Turns::of(witnesses, |node| part(&directory, &tails, node), WITNESSES_MAX);
        while let Some((node, key, part, question)) = turns.next() {
            let old = known.get(&node).copied().unwrap_or(0).min(head.checkpoint.size);
            let tail = tails.get(&node).cloned().unwrap_or_default();
            let word = match question {
                Question::Sign => self.line.ask(&directory, (node, &key), &head, old, &tail).await,
                Question::Holds => self.line.probe(&directory, (node, &key), &head).await,
            };
            let word = word.unwrap_or(Word::Silent);
            // A newer head of this very process went there meanwhile; it comes round next.
            let newest = self.heads.borrow().as_ref().map_or(0, |newest| newest.checkpoint.size);
            let word = if matches!(word, Word::More(size) if size <= newest) { Word::Silent } else { word };
            whole &= matches!(word, Word::Signed(_));
            // Nobody else is shown this head: another witness would have to keep it as a proof against this node.
            if let Some(fatal) = self.heard.take(node, &word) {
                self.memory.send_replace(fatal);
                return false;
            }
            nothing_more += usize::from(!matches!(word, Word::Silent));
            if let Word::Signed(signed) = word {
                turns.signed(part);
                known.insert(node, head.checkpoint.size);
                // Its own line alone: a false one under another's name would spoil the head for everybody.
                note.gather(&signed.only(&key));
            }
        }
        if all == 0 || nothing_more > tolerated(all) {
            self.memory.send_replace(Memory::Whole);
        }
        self.tell(&directory, head, note);
        whole
    }

    /// Tells what was gathered under a head.
    fn tell(&self, directory: &Directory, head: Head, note: Note) {
        if note == *head.note {
            return;
        }
        let head = Head { checkpoint: head.checkpoint, note: Arc::new(note) };
        if self.is_enough(directory, &head) {
            self.witnessed.send_replace(Some(head.clone()));
        }
        self.cosigned.send_replace(Some(head));
    }

    /// What to send along to each coordinator's node among the witnesses, as far as one request takes it.
    async fn tails(&self, directory: &Directory, witnesses: &[(NodeId, NoteKey)], size: u64) -> BTreeMap<NodeId, Tail> {
        let mut tails = BTreeMap::new();
        for (node, _) in witnesses.iter().filter(|(node, _)| is_coordinators(directory, *node)) {
            if let Some(tail) = self.tail(*node, size).await {
                tails.insert(*node, tail);
            }
        }
        tails
    }

    /// The commitments that a coordinator's node has not taken with an account yet, so that it mirrors the log up to what
    /// it cosigns; `None` when they are too many, or cannot be read.
    async fn tail(&self, node: NodeId, size: u64) -> Option<Tail> {
        let tail = self.owner.look(move |world| {
            // Who was told nothing yet mirrors the log from its first entry.
            let first = world.office.told().iter().find(|told| told.node == node).map_or(0, |told| told.took);
            let count = usize::try_from(size.checked_sub(first)?).ok().filter(|count| *count <= TAIL_MAX)?;
            let mut leaves = Vec::with_capacity(count * size_of::<Hash>());
            while leaves.len() < count * size_of::<Hash>() {
                let had = leaves.len() / size_of::<Hash>();
                let page = world.ledger.store().events(first + had as u64, count - had).ok()?;
                if page.is_empty() {
                    return None;
                }
                leaves.extend(page.iter().flat_map(|leaf| leaf.commitment));
            }
            Some((first, leaves))
        });
        tail.await.ok().flatten()
    }

    fn is_enough(&self, directory: &Directory, head: &Head) -> bool {
        let signed =
            directory.log_key(self.line.me).and_then(|key| SignedCheckpoint::of((*head.note).clone(), &key).ok());
        let standing = |head| directory.quorum(self.line.me, self.clock.now()).standing(&head).ok();
        signed.and_then(standing).is_some_and(|standing| standing.reached)
    }
}

/// What a witness can do for a log: coordinators mirror it, as far as what goes along with the head brings them up to it.
fn part(directory: &Directory, tails: &BTreeMap<NodeId, Tail>, node: NodeId) -> Part {
    match (is_coordinators(directory, node), tails.contains_key(&node)) {
        (true, true) => Part::Mirrors,
        (true, false) => Part::IsBehind,
        (false, _) => Part::OnlySigns,
    }
}

fn is_coordinators(directory: &Directory, node: NodeId) -> bool {
    directory.org_of(node).is_some_and(|org| directory.is_coordinator(org))
}

impl Line {
    /// One witness's signature under this head, or what else it says.
    pub(super) async fn ask(
        &self,
        directory: &Directory,
        witness: (NodeId, &NoteKey),
        head: &Head,
        mut old: u64,
        tail: &Tail,
    ) -> Option<Word> {
        for _ in 0..TRIES {
            match self.once(directory, witness, head, old, tail).await? {
                Answer::Said(word) => return Some(word),
                Answer::Holds(size) if size != old => old = size,
                Answer::Holds(_) => return None,
            }
        }
        None
    }

    /// What a witness says to a head that it may have: whether it holds anything that is not of the log here. It is asked
    /// for no new signature.
    pub(super) async fn probe(&self, directory: &Directory, witness: (NodeId, &NoteKey), head: &Head) -> Option<Word> {
        let answer = self.once(directory, witness, head, head.checkpoint.size, &Tail::default()).await?;
        Some(match answer {
            Answer::Said(word) => word,
            Answer::Holds(_) => Word::NothingMore,
        })
    }

    async fn once(
        &self,
        directory: &Directory,
        (node, key): (NodeId, &NoteKey),
        head: &Head,
        old: u64,
        tail: &Tail,
    ) -> Option<Answer> {
        let client = self.pool.client(&Address::of(directory, node)?).await.ok()?;
        let request = self.request(head, old).await?;
        let reply = client.add_checkpoint(request.to_string().into_bytes(), tail.clone()).await.ok()?;
        let own = directory.log_key(self.me);
        let shown = own.and_then(|key| SignedCheckpoint::open(&reply.note, &key).ok());
        match (reply.status, shown.as_ref().map(SignedCheckpoint::checkpoint)) {
            (200, _) => signature(&reply.note, key, &head.checkpoint).map(|note| Answer::Said(Word::Signed(note))),
            // It does not know this node yet, so it cannot have seen more.
            (403, _) => Some(Answer::Said(Word::NothingMore)),
            (409 | 422, Some(shown)) if shown.size > head.checkpoint.size => Some(Answer::Said(Word::More(shown.size))),
            // Said before the way from there is shown: with it, the witness would have a proof.
            (409 | 422, Some(shown)) if !self.continues(shown, &head.checkpoint).await? => {
                Some(Answer::Said(Word::Other(shown.size)))
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

    async fn path(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
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

//! Asks the witnesses' nodes, coordinators' and those drawn by lot, to cosign each head of this node's log, gathers what
//! they sign, and tells when it is enough.
//!
//! A head without them is good evidence against this node and none for it: only somebody else's memory keeps a log from
//! being rewritten unseen. After a start it also tells whether this node is the one that signed last: until enough of
//! them have said that they know of nothing more, nothing new is signed. Refuses to stop the node for what one witness
//! says; its own signature under a head that is not of the log here stops it, whoever shows it.

mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::TAIL_MAX;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::quorum::tolerated;
use clearhouse_store::Store;
use tokio::sync::watch;

use super::Head;
use super::alone::Heard;
use super::order::{Question, Turns};
use crate::clock::Clock;
use crate::owner::Owner;
use crate::rpc::client::Along;
use line::Answer;
pub use line::Line;

/// Witnesses asked at most.
pub(super) const WITNESSES_MAX: usize = 15;
/// Requests by which one coordinator's mirror is brought up in one round; the next round goes on from there.
const PAGES_MAX: usize = 16;
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
#[derive(Default)]
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
    #[default]
    Silent,
}

/// What a witness answered, and how far it says that it mirrors this node's log: entries that begin the head.
#[derive(Default)]
pub(super) struct Said {
    pub(super) word: Word,
    pub(super) mirrored: u64,
}

/// What a witness said last.
#[derive(Default)]
struct Known {
    /// The size of the head it holds.
    old: u64,
    /// Entries that it mirrors.
    mirrored: u64,
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
    async fn go(&mut self, head: Head, known: &mut BTreeMap<NodeId, Known>) -> bool {
        let directory = self.owner.signals.directory.borrow().clone();
        let mut note = (*head.note).clone();
        let (mut whole, mut is_mirrored, mut nothing_more) = (true, false, BTreeSet::new());
        let witnesses = directory.witnesses(self.line.me, self.clock.now());
        let all = witnesses.len();
        self.learn(&directory, &witnesses, known).await;
        let mut turns = Turns::of(witnesses, |node| is_coordinators(&directory, node), WITNESSES_MAX);
        while let Some((node, key, question)) = turns.next() {
            let known = known.entry(node).or_default();
            let said = self.ask(&directory, (node, &key), &head, (question, known)).await;
            let word = said.word;
            // A newer head of this very process went there meanwhile; it comes round next.
            let newest = self.heads.borrow().as_ref().map_or(0, |newest| newest.checkpoint.size);
            let word = if matches!(word, Word::More(size) if size <= newest) { Word::Silent } else { word };
            // Nobody else is shown this head: another witness would have to keep it as a proof against this node.
            if let Some(fatal) = self.heard.take(node, &word) {
                remember(&self.owner, fatal).await;
                self.memory.send_replace(fatal);
                return false;
            }
            if !matches!(word, Word::Silent) {
                nothing_more.insert(node);
            }
            match (word, question) {
                (Word::Signed(signed), _) => {
                    // Only coordinators are asked to, and only their word counts.
                    let mirrors = question == Question::Mirror && said.mirrored >= head.checkpoint.size;
                    turns.signed(mirrors);
                    is_mirrored |= mirrors;
                    known.old = head.checkpoint.size;
                    // Its own line alone: a false one under another's name would spoil the head for everybody.
                    note.gather(&signed.only(&key));
                }
                // It holds less than the head; whether it signs all the same depends on the others.
                (Word::NothingMore, Question::Mirror) => turns.is_behind(node, key),
                _ => whole = false,
            }
        }
        if all == 0 || nothing_more.len() > tolerated(all) {
            self.memory.send_replace(Memory::Whole);
        }
        let size = head.checkpoint.size;
        self.tell(&directory, head, note);
        if is_mirrored {
            self.keep_mirrored(size).await;
        }
        whole && !turns.was_any_behind()
    }

    /// Keeps that a coordinator has the log up to a head, so that `doctor` can say since when none has.
    async fn keep_mirrored(&self, size: u64) {
        let kept = self.owner.decide(move |world, now| (world.office.has_coordinator(size, now.time), ()));
        if let Err(error) = kept.await {
            tracing::warn!(%error, "that a coordinator has the log could not be kept");
        }
    }

    /// One question to one witness.
    async fn ask(
        &self,
        directory: &Directory,
        witness: (NodeId, &NoteKey),
        head: &Head,
        (question, known): (Question, &mut Known),
    ) -> Said {
        let said = match question {
            Question::Mirror => self.bring_up(directory, witness, head, known).await,
            Question::Sign => self.line.ask(directory, witness, head, &mut known.old).await,
            Question::Holds => self.line.probe(directory, witness, head).await,
        };
        said.unwrap_or_default()
    }

    /// Brings a coordinator's mirror up to a head, page by page, and has the head cosigned when it is there. Goes by what
    /// the coordinator says it keeps; [`Word::NothingMore`] when that is less after [`PAGES_MAX`] requests.
    async fn bring_up(
        &self,
        directory: &Directory,
        witness: (NodeId, &NoteKey),
        head: &Head,
        known: &mut Known,
    ) -> Option<Said> {
        let mut behind = None;
        for _ in 0..PAGES_MAX {
            let along = self.along(known.mirrored.min(head.checkpoint.size), head.checkpoint.size).await?;
            match self.line.once(directory, witness, head, known.old, along).await? {
                Answer::Said(said) => {
                    if matches!(said.word, Word::Signed(_)) {
                        known.mirrored = said.mirrored;
                    }
                    return Some(said);
                }
                Answer::Holds(size) if size != known.old => known.old = size,
                Answer::Holds(_) => return None,
                Answer::Behind(mirrored) => {
                    behind = Some(Said { word: Word::NothingMore, mirrored });
                    // It does not take what it is sent.
                    if mirrored == known.mirrored {
                        break;
                    }
                    known.mirrored = mirrored;
                }
            }
        }
        if let Some(said) = &behind {
            tracing::warn!(
                witness = %witness.0, mirrored = said.mirrored, size = head.checkpoint.size,
                "a coordinator does not mirror this node's log up to its head yet"
            );
        }
        behind
    }

    /// The next commitments for a mirror of `first` entries, at most [`TAIL_MAX`]; `None` when they cannot be read.
    async fn along(&self, first: u64, size: u64) -> Option<Along> {
        let count = usize::try_from(size - first).unwrap_or(usize::MAX).min(TAIL_MAX);
        let look = self.owner.look(move |world| {
            let mut leaves: Vec<Hash> = Vec::with_capacity(count);
            while leaves.len() < count {
                let page = world.ledger.store().commitments(first + leaves.len() as u64, count - leaves.len()).ok()?;
                if page.is_empty() {
                    return None;
                }
                leaves.extend(page);
            }
            Some(leaves)
        });
        let leaves = look.await.ok().flatten()?;
        let end = first + count as u64;
        let path = if end < size && count > 0 { self.line.path(end, size).await?.concat() } else { Vec::new() };
        Some(Along { first, leaves: leaves.concat(), path, mirror: true })
    }

    /// What is not known of coordinators' mirrors since the start: at least what they took with accounts.
    async fn learn(&self, directory: &Directory, all: &[(NodeId, NoteKey)], known: &mut BTreeMap<NodeId, Known>) {
        let is_new = |node: &NodeId| is_coordinators(directory, *node) && !known.contains_key(node);
        let new: Vec<_> = all.iter().map(|(node, _)| *node).filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let told = self.owner.look(|world| world.office.told()).await.unwrap_or_default();
        for node in new {
            let mirrored = told.iter().find(|told| told.node == node).map_or(0, |told| told.took);
            known.insert(node, Known { old: 0, mirrored });
        }
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

    fn is_enough(&self, directory: &Directory, head: &Head) -> bool {
        let signed =
            directory.log_key(self.line.me).and_then(|key| SignedCheckpoint::of((*head.note).clone(), &key).ok());
        let standing = |head| directory.quorum(self.line.me, self.clock.now()).standing(&head).ok();
        signed.and_then(standing).is_some_and(|standing| standing.reached)
    }
}

/// Makes durable, before the node stops, what it signed that is not here: at the next start who showed it may be away.
pub(super) async fn remember<S: Store + 'static>(owner: &Owner<S>, fatal: Memory) {
    let Memory::Older { signed } = fatal else { return };
    if let Err(error) = owner.decide(move |world, _| (world.office.was_signed(signed), ())).await {
        tracing::error!(%error, "that this folder is an old copy could not be kept");
    }
}

fn is_coordinators(directory: &Directory, node: NodeId) -> bool {
    directory.org_of(node).is_some_and(|org| directory.is_coordinator(org))
}

//! A node that keeps a log: honest, with a store and a file of heads that may be put back from an image; or with two
//! faces.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::tree::Hashes;
use clearhouse_protocol::merkle;

use crate::flaw::Flaw;

/// All leaf hashes of one tree.
pub(crate) type Leaves = Rc<Vec<Hash>>;

/// Leaves as a tree.
pub(crate) struct Tree<'l>(pub(crate) &'l [Hash]);

impl Hashes for Tree<'_> {
    type Error = Infallible;

    fn at(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let from = usize::try_from(index << level).unwrap();
        Ok(merkle::root(&self.0[from..from + (1 << level)]))
    }
}

/// Whether one of two trees begins with the other.
pub(crate) fn agree(one: &[Hash], other: &[Hash]) -> bool {
    let shorter = one.len().min(other.len());
    one[..shorter] == other[..shorter]
}

/// What survives a crash of a node.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) store: Vec<Hash>,
    /// Size and root of the last head.
    pub(crate) heads: Option<(usize, Hash)>,
}

/// To whom a node with two faces shows which.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Each witness one face, by these bits.
    Split(u64),
    /// Half of the coordinators and the old quarter's draw see one, all others the other.
    ByQuarter,
}

/// What a node is.
pub(crate) enum Kind {
    Honest,
    Lying(Lie, [Vec<Hash>; 2]),
}

/// A node with its log.
pub(crate) struct LogNode {
    /// Its place among the members.
    pub(crate) member: usize,
    pub(crate) kind: Kind,
    pub(crate) disk: Disk,
    /// An image of the disk as it once was.
    pub(crate) image: Option<Disk>,
    /// Stopped for good by what it found in its files or by a witness's word, until a person mends it.
    pub(crate) stopped: bool,
    /// The tree of the newest head in memory; none after a crash, until the next tick.
    pub(crate) newest: Option<Leaves>,
    /// The sizes that it believes witnesses have.
    pub(crate) known: BTreeMap<usize, u64>,
    /// The last tree that it signed, as a just observer remembers it.
    pub(crate) last: Leaves,
    /// Whether its whole disk was put back since: it cannot know what it signed after the image.
    pub(crate) amnesia: bool,
    /// Whether an honest witness's word that it had signed something else has reached it.
    pub(crate) told: bool,
}

/// Where a node crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Before anything.
    Before,
    /// Between the file of heads and the signature, in whatever order they come.
    Between,
}

impl LogNode {
    pub(crate) fn new(member: usize, kind: Kind) -> Self {
        Self {
            member,
            kind,
            disk: Disk::default(),
            image: None,
            stopped: false,
            newest: None,
            known: BTreeMap::new(),
            last: Rc::default(),
            amnesia: false,
            told: false,
        }
    }

    /// Takes a new head over all that is in the store. Returns the tree when it was signed: then the signature exists,
    /// even if the node crashed right after.
    pub(crate) fn tick(&mut self, crash: Option<Beat>, flaw: Option<Flaw>) -> Option<Leaves> {
        if self.stopped || crash == Some(Beat::Before) {
            self.newest = None;
            return None;
        }
        let tree = &self.disk.store;
        let follows = self
            .disk
            .heads
            .is_none_or(|(size, root)| tree.get(..size).is_some_and(|beginning| merkle::root(beginning) == root));
        if !follows && flaw != Some(Flaw::NoHeadsFile) {
            self.stopped = true;
            return None;
        }
        let head = (tree.len(), merkle::root(tree));
        let tree = Rc::new(tree.clone());
        if crash == Some(Beat::Between) {
            self.newest = None;
            if flaw == Some(Flaw::SignsBeforeHeadsFile) {
                return Some(tree);
            }
            self.disk.heads = Some(head);
            return None;
        }
        self.disk.heads = Some(head);
        self.newest = Some(Rc::clone(&tree));
        Some(tree)
    }

    /// A witness's word that there is another history than this one.
    pub(crate) fn alarm(&mut self, flaw: Option<Flaw>) {
        if matches!(self.kind, Kind::Honest) && flaw != Some(Flaw::GoesOnAfterAlarm) {
            self.stopped = true;
        }
    }
}

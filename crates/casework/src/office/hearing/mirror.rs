//! What a coordinator's node mirrors of a log beyond the entries it heard: bare commitments, up to the newest head, from
//! which the log's own node takes its log back when its disk is older than what it signed.
//!
//! They come in pages, each shown to begin the head it came with, and are kept in blocks of their own; the last, unfinished
//! one lies with what was heard. How far it goes is told to the log's node, which counts on nothing else. Refuses a page
//! that does not follow what is here or does not begin the head, and more of one log than [`MIRRORED_MAX`].

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{MIRRORED_MAX, TAIL_MAX};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::rows::{Row, Table, Under};

use super::{Heard, heard_row};
use crate::office::Office;

/// Entries of a log that one block ends with: block n holds the commitments before entry `(n + 1) * BLOCK`, as many as
/// were not heard of when it was made.
pub const BLOCK: u64 = 1024;
/// Before the key of a block, so that none is that of a page.
const MARK: u8 = b'M';

/// Commitments that go along with a head.
#[derive(Clone, Copy, Default, Debug)]
pub struct Offered<'a> {
    /// The entry of the first.
    pub first: u64,
    /// At most [`TAIL_MAX`] of them.
    pub leaves: &'a [Hash],
    /// Consistency proof from the end of them to the head; empty when they reach it.
    pub path: &'a [Hash],
}

/// How a mirror stands to a head.
#[derive(Default)]
pub struct Mirrored {
    /// Rows to keep before anything of this is said.
    pub rows: Vec<Row>,
    /// Entries that begin the head, from the first on without a gap.
    pub up_to: u64,
    /// They make up the head.
    pub reaches: bool,
    /// Accounts already reach the head or further, and nothing here shows that it is of their log.
    pub strays: bool,
}

/// The key of block `nth` of a log.
#[must_use]
pub fn block_key(origin: &str, nth: u64) -> Vec<u8> {
    [&[MARK], sha256(origin.as_bytes()).as_slice(), &nth.to_be_bytes()].concat()
}

/// The entry with which block `nth` begins when it holds these bytes.
#[must_use]
pub fn block_first(nth: u64, block: &[u8]) -> u64 {
    ((nth + 1) * BLOCK).saturating_sub((block.len() / size_of::<Hash>()) as u64)
}

fn block_row(origin: &str, nth: u64, value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Account, key: block_key(origin, nth), value, under: Under::Evidence, must_be_new: false }
}

impl Heard {
    /// The entry with which [`Heard::tail`] begins.
    #[must_use]
    pub fn tail_first(&self) -> u64 {
        self.tail_first.max(self.size)
    }

    /// Entries whose commitments are here, from the first on without a gap.
    #[must_use]
    pub fn mirrored(&self) -> u64 {
        self.tail_first() + (self.tail.len() / size_of::<Hash>()) as u64
    }

    /// The edge of the tree before the tail.
    fn before_tail(&self) -> Option<Edge> {
        let first = self.tail_first();
        Edge::kept(first, if first == self.size { &self.edge } else { &self.tail_edge })
    }

    fn edge_of_mirror(&self) -> Option<Edge> {
        let mut edge = self.before_tail()?;
        self.tail.as_chunks().0.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        Some(edge)
    }

    /// This mirror with more commitments at its end, the edge of all of them, and the blocks that became full.
    fn extended(&self, fresh: &[Hash]) -> Option<(Self, Edge, Vec<Row>)> {
        let mut edge = self.before_tail()?;
        let mut tail = [self.tail.as_chunks().0, fresh].concat();
        let mut rows = Vec::new();
        loop {
            let (nth, room) = (edge.size() / BLOCK, BLOCK - edge.size() % BLOCK);
            let Some((block, rest)) = usize::try_from(room).ok().and_then(|room| tail.split_at_checked(room)) else {
                break;
            };
            block.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
            rows.push(block_row(&self.origin, nth, Some(block.concat())));
            tail = rest.to_vec();
        }
        let tail_edge = if edge.size() == self.size { Vec::new() } else { edge.roots() };
        let next = Self { tail_first: edge.size(), tail_edge, tail: tail.concat(), ..self.clone() };
        tail.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        Some((next, edge, rows))
    }

    /// What is heard now that accounts reach `edge`, with what is left of the mirror beyond it, and the blocks that go.
    pub(super) fn heard_on(&self, edge: &Edge) -> (Self, Vec<Row>) {
        let (size, tail_first) = (edge.size(), self.tail_first());
        let heard = Self { size, edge: edge.roots(), ..self.clone() };
        let rows = self.without_blocks(size.min(tail_first));
        if size < tail_first {
            return (heard, rows);
        }
        let known = usize::try_from(size - tail_first).unwrap_or(usize::MAX).saturating_mul(size_of::<Hash>());
        let tail = self.tail.get(known..).unwrap_or_default().to_vec();
        (Self { tail, tail_first: size, tail_edge: Vec::new(), ..heard }, rows)
    }

    /// This mirror without what no head came to, and the blocks that go: with what was cosigned as far as that lies in the
    /// tail, or else with what was heard. What goes of it is sent again at once.
    fn cut(&self) -> (Self, Vec<Row>) {
        let cosigned = self.sure.checked_sub(self.tail_first()).and_then(|count| usize::try_from(count).ok());
        if let Some(tail) = cosigned.and_then(|count| self.tail.get(..count.checked_mul(size_of::<Hash>())?)) {
            return (Self { tail: tail.to_vec(), ..self.clone() }, Vec::new());
        }
        let sure = self.sure.min(self.size);
        let heard = Self { tail: Vec::new(), tail_first: self.size, tail_edge: Vec::new(), sure, ..self.clone() };
        (heard, self.without_blocks(self.tail_first()))
    }

    /// Rows without the blocks that end at or before this entry.
    fn without_blocks(&self, end: u64) -> Vec<Row> {
        // Where the tail begins with what was not heard there are none.
        let has_blocks = self.tail_first() > self.size;
        let all = if has_blocks { self.size / BLOCK..end / BLOCK } else { 0..0 };
        all.map(|nth| block_row(&self.origin, nth, None)).collect()
    }
}

impl Office {
    /// What is mirrored of a node's log, also before its first account came.
    #[must_use]
    pub fn mirrored(&self, node: NodeId) -> Option<&Heard> {
        self.hearing.0.get(&node)
    }

    /// Takes what goes along with a head of a node's own log that continues what was cosigned here. Of a log not heard of
    /// commitments are kept from its first entry on. Nothing is mirrored where this organisation is no coordinator.
    #[must_use]
    pub fn mirror(&self, node: NodeId, offered: Offered<'_>, (size, root): (u64, Hash)) -> Mirrored {
        let key = self.directory.log_key(node).filter(|_| self.directory.is_coordinator(self.me.org));
        let Some(key) = key else { return Mirrored::default() };
        let fresh = || {
            let org = self.directory.org_of(node).map(|org| org.to_vec());
            Heard { org: org.unwrap_or_default(), origin: key.name().to_owned(), ..Heard::default() }
        };
        let old = self.hearing.0.get(&node).filter(|heard| heard.origin == key.name()).cloned().unwrap_or_else(fresh);
        let page = page(&old, offered, (size, root));
        let (next, mut rows) = match page {
            Page::Follows(next, rows) => (*next, rows),
            Page::Nothing => (old.clone(), Vec::new()),
            // What no head came to is of a log that went another way, and stands in the way of this one.
            Page::Strays if old.mirrored() > old.sure.max(old.size) => old.cut(),
            Page::Strays => (old.clone(), Vec::new()),
        };
        let reaches = next.is_of((size, root));
        let sure = if reaches { next.sure.max(size) } else { next.sure };
        let next = Heard { sure, ..next };
        if next != old {
            rows.push(heard_row(node, &next));
        }
        let most = if reaches { u64::MAX } else { size.saturating_sub(1) };
        Mirrored { rows, up_to: next.mirrored().min(most), reaches, strays: !reaches && size <= next.size }
    }
}

/// How a page stands to a mirror and a head.
enum Page {
    /// It follows, and begins the head: the mirror with it.
    Follows(Box<Heard>, Vec<Row>),
    /// There is nothing new in it, it leaves a gap, or there is no room for it.
    Nothing,
    /// With it, or without it already, the mirror does not begin the head.
    Strays,
}

fn page(old: &Heard, offered: Offered<'_>, (size, root): (u64, Hash)) -> Page {
    let had = old.mirrored();
    if had >= size {
        // A smaller head than what was heard says nothing of what is mirrored beyond.
        return if size < old.size || old.is_of((size, root)) { Page::Nothing } else { Page::Strays };
    }
    let known = had.checked_sub(offered.first).and_then(|known| usize::try_from(known).ok());
    let fresh = known.and_then(|known| offered.leaves.get(known..)).unwrap_or_default();
    let has_room = had - old.size + fresh.len() as u64 <= MIRRORED_MAX && offered.leaves.len() <= TAIL_MAX;
    if fresh.is_empty() || !has_room {
        return Page::Nothing;
    }
    match old.extended(fresh) {
        Some((next, edge, rows)) if begins(&edge, (size, &root), offered.path) => Page::Follows(Box::new(next), rows),
        Some(_) | None => Page::Strays,
    }
}

fn begins(edge: &Edge, head: (u64, &Hash), path: &[Hash]) -> bool {
    merkle::extends((edge.size(), &edge.root()), head, path)
}

impl Heard {
    /// Whether the commitments here make up a head. Of a smaller one it is known only when one at least as large was cosigned
    /// here; accounts may have been heard under a head that others cosigned, and what was heard tells no smaller root.
    fn is_of(&self, (size, root): (u64, Hash)) -> bool {
        match self.mirrored().cmp(&size) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.edge_of_mirror().is_some_and(|edge| edge.root() == root),
            std::cmp::Ordering::Greater => size <= self.sure,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

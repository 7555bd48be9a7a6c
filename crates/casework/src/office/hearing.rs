//! What a coordinator's node hears of other nodes' logs, and keeps to hold them against each other.
//!
//! Of each log: how far it was heard, the edge of its tree, the newest heads, and the entries in pages. A stretch whose
//! entries do not make the tree that its own head claims is refused and remembered as a contradiction. Refuses accounts
//! when this organisation is no coordinator, and entries before those that came.

mod mirror;

use std::collections::BTreeMap;

use clearhouse_protocol::account::{self, Account};
use clearhouse_protocol::audit::{AuditEvent, Happening, unpad};
use clearhouse_protocol::envelope::Opened;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::log::leaf_hash;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1::{Opening, RefusalCode, Stage};
use prost::Message as _;
use prost::bytes::Bytes;
use rand_core::CryptoRng;

pub use self::mirror::{BLOCK, Mirrored, Offered, block_first, block_key};
use super::{Now, Office, Step};

/// What is kept of one log that is heard of.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heard {
    /// Whose it is.
    #[prost(bytes = "vec", tag = "1")]
    pub org: Vec<u8>,
    /// The log's name.
    #[prost(string, tag = "2")]
    pub origin: String,
    /// Entries heard, without a gap.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// The edge of their tree.
    #[prost(bytes = "vec", tag = "4")]
    pub edge: Vec<u8>,
    /// The newest head heard that covers no more than that: a signed note.
    #[prost(bytes = "vec", tag = "5")]
    pub head: Vec<u8>,
    /// Its size.
    #[prost(uint64, tag = "6")]
    pub head_size: u64,
    /// When it existed at the latest by the word of its witnesses, unix seconds; 0 unless they were enough.
    #[prost(uint64, tag = "7")]
    pub head_at: u64,
    /// When this node last heard of the log, unix seconds.
    #[prost(uint64, tag = "8")]
    pub heard_at: u64,
    /// A signed head that does not fit the entries: a signed note; empty when there is none.
    #[prost(bytes = "vec", tag = "9")]
    pub contradiction: Vec<u8>,
    /// What entries below this say is deleted: it was settled long ago. Always the first entry of a page.
    #[prost(uint64, tag = "10")]
    pub first: u64,
    /// The last commitments of the mirror: 32 bytes each. With them, those heard and those in blocks its node can take its
    /// log back whole.
    #[prost(bytes = "vec", tag = "11")]
    pub tail: Vec<u8>,
    /// The entry with which `tail` begins; those between the entries heard and this one are in blocks of their own.
    #[prost(uint64, tag = "12")]
    pub tail_first: u64,
    /// The edge of the tree before `tail`; empty where that is `edge`.
    #[prost(bytes = "vec", tag = "13")]
    pub tail_edge: Vec<u8>,
    /// Entries of the mirror that a head cosigned here covers; what follows goes again when no head comes to it.
    #[prost(uint64, tag = "14")]
    pub sure: u64,
}

/// A stretch of another log as it was heard.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Page {
    /// Its entries.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Kept>,
    /// Size of the head that came with it.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// Its root.
    #[prost(bytes = "vec", tag = "3")]
    pub root: Vec<u8>,
    /// When each of its witnesses cosigned it, unix seconds; empty unless they were enough.
    #[prost(uint64, repeated, tag = "4")]
    pub seen: Vec<u64>,
}

/// One entry of another log. Read out of a page that is [`Bytes`], its fields are parts of that one piece of memory: every
/// look at all logs reads all of them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Kept {
    /// The leaf.
    #[prost(bytes = "bytes", tag = "1")]
    pub commitment: Bytes,
    /// The salt; empty when it was shown closed.
    #[prost(bytes = "bytes", tag = "2")]
    pub salt: Bytes,
    /// The padded opening; empty when it was shown closed.
    #[prost(bytes = "bytes", tag = "3")]
    pub opening: Bytes,
    /// Salt and opening were deleted here: the entry's node erased them, and nothing they spoke of is open.
    #[prost(bool, tag = "4")]
    pub is_let_go: bool,
    /// The message it was about, as long as another log still speaks of it: that it is settled has to be known. Empty
    /// otherwise.
    #[prost(bytes = "bytes", tag = "5")]
    pub settled: Bytes,
}

impl Kept {
    /// What it says, if that is kept.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        unpad(&self.opening)
    }

    /// This entry without what it says.
    #[must_use]
    pub fn let_go(&self) -> Self {
        let settled = self.opening().map(|opening| opening.envelope_digest.into()).unwrap_or_default();
        Self { commitment: self.commitment.clone(), is_let_go: true, settled, ..Self::default() }
    }
}

/// Every log heard of.
#[derive(Default)]
pub(super) struct Hearing(BTreeMap<NodeId, Heard>);

impl Hearing {
    pub(super) fn apply(&mut self, row: &Row) {
        let Ok(node) = NodeId::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().map(Heard::decode) {
            Some(Ok(heard)) => drop(self.0.insert(node, heard)),
            Some(Err(_)) | None => drop(self.0.remove(&node)),
        }
    }
}

/// The key of the page of a log that begins with this entry.
#[must_use]
pub fn page_key(origin: &str, first: u64) -> Vec<u8> {
    [sha256(origin.as_bytes()).as_slice(), &first.to_be_bytes()].concat()
}

impl Office {
    /// The logs this coordinator's node heard of.
    pub fn heard(&self) -> impl Iterator<Item = (NodeId, &Heard)> {
        // Before its first account a log is mirrored, and nothing was heard of it.
        let is_heard = |heard: &Heard| heard.heard_at > 0 || heard.size > 0;
        self.hearing.0.iter().filter(move |(_, heard)| is_heard(heard)).map(|(node, heard)| (*node, heard))
    }

    /// Deletes what the entries of these pages say, the next ones of a log that are not deleted yet; their commitments
    /// stay, so the tree can be held against heads for ever. `None` unless they are the next ones.
    #[must_use]
    pub fn close_pages<R: CryptoRng>(&self, node: NodeId, pages: &[(u64, Page)], now: &mut Now<'_, R>) -> Option<Step> {
        let heard = self.hearing.0.get(&node)?;
        let org = OrgId::try_from(heard.org.as_slice()).ok()?;
        let mut next = heard.first;
        let mut step = Step::default();
        for (first, page) in pages {
            if *first != next {
                return None;
            }
            next += page.entries.len() as u64;
            let closed = |kept: &Kept| Kept { commitment: kept.commitment.clone(), ..Kept::default() };
            let closed = Page { entries: page.entries.iter().map(closed).collect(), ..page.clone() };
            step.rows.push(page_row(page_key(&heard.origin, *first), &closed, false));
        }
        step.rows.push(heard_row(node, &Heard { first: next, ..heard.clone() }));
        self.record(&mut step, &Happening::of(AuditEvent::KeyErased).with(org, node), now);
        Some(step)
    }

    /// Writes pages of a log in which entries were [let go of](Kept::let_go). `None` for a log not heard of.
    #[must_use]
    pub fn let_go<R: CryptoRng>(&self, node: NodeId, pages: &[(u64, Page)], now: &mut Now<'_, R>) -> Option<Step> {
        let heard = self.hearing.0.get(&node)?;
        let org = OrgId::try_from(heard.org.as_slice()).ok()?;
        let rows = pages.iter().map(|(first, page)| page_row(page_key(&heard.origin, *first), page, false));
        let mut step = Step { rows: rows.collect(), ..Step::default() };
        self.record(&mut step, &Happening::of(AuditEvent::KeyErased).with(org, node), now);
        Some(step)
    }

    /// Takes an account of another node's log.
    pub(super) fn take_account(&self, opened: &Opened, now: u64) -> (Stage, RefusalCode, Step) {
        let (org, node) = opened.sender;
        let refuse = |code, rows| (Stage::Refused, code, Step { rows, ..Step::default() });
        let Some(key) = self.directory.log_key(node).filter(|_| self.directory.is_coordinator(self.me.org)) else {
            return refuse(RefusalCode::NotAllowed, Vec::new());
        };
        let Ok(account) = account::check(&opened.inner().body, self.me.net, &key) else {
            return refuse(RefusalCode::Malformed, Vec::new());
        };
        let fresh = Heard { org: org.to_vec(), origin: key.name().to_owned(), ..Heard::default() };
        // Another name is another log: a generation that coordinators handed over.
        let old = self.hearing.0.get(&node).filter(|heard| heard.origin == key.name()).unwrap_or(&fresh);
        if account.first() > old.size {
            return refuse(RefusalCode::OutOfOrder, Vec::new());
        }
        let heard = Heard { heard_at: now, ..old.clone() };
        match self.hear(node, &account, &heard, now) {
            Some(rows) => (Stage::Received, RefusalCode::Unspecified, Step { rows, ..Step::default() }),
            None => {
                let head = account.head().note().to_string().into_bytes();
                let row = heard_row(node, &Heard { contradiction: head, ..heard });
                refuse(RefusalCode::Malformed, vec![row])
            }
        }
    }

    /// The rows of an account that continues what was heard; `None` when its entries do not make the tree its head
    /// claims.
    fn hear(&self, node: NodeId, account: &Account, old: &Heard, now: u64) -> Option<Vec<Row>> {
        let head = account.head().checkpoint();
        let mut edge = Edge::kept(old.size, &old.edge)?;
        let known = usize::try_from(old.size - account.first()).unwrap_or(usize::MAX);
        let fresh = account.entries().get(known..).unwrap_or_default();
        fresh.iter().for_each(|entry| edge.push(leaf_hash(&entry.commitment)));
        if edge.size() == head.size && edge.root() != head.root {
            return None;
        }
        let standing = self.directory.quorum(node, now).standing(account.head()).ok();
        let at = standing.as_ref().and_then(|standing| standing.time).unwrap_or(0);
        let seen = standing.filter(|standing| standing.reached).map(|standing| standing.seen).unwrap_or_default();
        let seen = seen.into_iter().map(|seen| seen.at).collect();
        let (mut heard, covered) = old.heard_on(&edge);
        if edge.size() >= head.size && head.size >= old.head_size {
            let first_seen = if head.size == old.head_size && old.head_at > 0 { old.head_at } else { at };
            heard.head = account.head().note().to_string().into_bytes();
            (heard.head_size, heard.head_at) = (head.size, first_seen);
        }
        let mut rows = vec![heard_row(node, &heard)];
        rows.extend(covered);
        if !fresh.is_empty() {
            let page =
                Page { entries: fresh.iter().map(kept).collect(), size: head.size, root: head.root.to_vec(), seen };
            rows.push(page_row(page_key(&old.origin, old.size), &page, true));
        }
        Some(rows)
    }
}

fn kept(entry: &account::Entry) -> Kept {
    let (salt, opening) = entry
        .opened
        .as_ref()
        .map(|(salt, opening)| (Bytes::copy_from_slice(salt), Bytes::from(opening.clone())))
        .unwrap_or_default();
    Kept { commitment: Bytes::copy_from_slice(&entry.commitment), salt, opening, ..Kept::default() }
}

fn page_row(key: Vec<u8>, page: &Page, must_be_new: bool) -> Row {
    Row { table: Table::Account, key, value: Some(page.encode_to_vec()), under: Under::Evidence, must_be_new }
}

fn heard_row(node: NodeId, heard: &Heard) -> Row {
    Row {
        table: Table::Heard,
        key: node.to_vec(),
        value: Some(heard.encode_to_vec()),
        under: Under::Service,
        must_be_new: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod heads;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests;

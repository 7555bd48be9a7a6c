//! A coordinator that lies: in its digests, lists, records, log pages and cosignatures, each time as the dice fall, never
//! with more than its own keys and those of the other liar.
//!
//! Most of what it says is still true: who only lies is passed over and harms nobody.

use std::collections::BTreeMap;

use clearhouse_protocol::audit;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::buckets::{Buckets, Item, bucket_of, digest};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::tree::{Levels, consistency};
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::merkle;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::common::Common;
use crate::fork::Fork;
use crate::replica::Replica;

/// How far in the future a false cosignature is made.
pub(crate) const AHEAD_SECS: u64 = 36_500 * DAY;

/// What it does in one session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    Truth,
    /// Says that it has the same, whatever the other one has.
    Same,
    /// Shows what it knew when it began to lie, for ever.
    Frozen,
    /// Hands out everything that was forged, and what is out of date.
    Forged,
    /// Digests over nothing.
    Wild,
    /// Digests of another length.
    Short,
    /// A list with an item of another bucket.
    Unsorted,
    /// A newer descriptor that it does not have.
    Hollow,
    /// A newer descriptor that its node never signed.
    Foreign,
    /// A node that nobody accredited, or, to its victim, one that others were made to accredit in secret.
    Stranger,
}

const LIES: [Lie; 13] = [
    Lie::Truth,
    Lie::Truth,
    Lie::Truth,
    Lie::Truth,
    Lie::Same,
    Lie::Frozen,
    Lie::Forged,
    Lie::Wild,
    Lie::Short,
    Lie::Unsorted,
    Lie::Hollow,
    Lie::Foreign,
    Lie::Stranger,
];

// Of six things that a witness does: to have seen more of a log, or nothing, and to spoil a head for everybody else.
const BOAST: usize = 1;
const SPOIL: usize = 3;

/// See the module.
pub(crate) struct Liar {
    me: usize,
    pal: usize,
    frozen: (Directory, Buckets),
    lie: Lie,
    asker: usize,
    /// What it always does as a witness, if it is not something else each time.
    habit: Option<usize>,
    lists: BTreeMap<u8, wire::BucketReply>,
    pub(crate) fork: Option<Fork>,
    /// The round from which on it shows two histories of its log.
    pub(crate) forks_at: u64,
}

impl Liar {
    pub(crate) fn new(me: usize, pal: usize, replica: &Replica, forks_at: u64, common: &mut Common) -> Self {
        let frozen = (replica.directory.clone(), Buckets::of(&replica.directory));
        let (lists, habit) = (BTreeMap::new(), common.dice.one(&[None, Some(BOAST), Some(SPOIL)]));
        Self { me, pal, frozen, lie: Lie::Truth, asker: 0, habit, lists, fork: None, forks_at }
    }

    pub(crate) fn digests(
        &mut self,
        peer: &mut Replica,
        common: &mut Common,
        asker: usize,
        reply: &mut wire::DigestsReply,
    ) {
        self.lie = common.dice.one(&LIES);
        self.asker = asker;
        self.lists.clear();
        common.tally.lies += u64::from(self.lie != Lie::Truth);
        let Some(forgery) = common.forgery.take() else { return };
        if self.lie != Lie::Truth {
            // Whoever lies has to say something.
            *reply = peer.tell_digests(&[], common.now);
        }
        match self.lie {
            Lie::Truth => {}
            Lie::Same => *reply = wire::DigestsReply { now: common.now, ..Default::default() },
            Lie::Frozen => {
                reply.digests = self.frozen.1.digests().to_vec();
                reply.common = self.frozen.1.common().to_vec();
            }
            Lie::Forged => reply.common = common.dice.bytes::<32>().to_vec(),
            Lie::Wild => reply.digests = (0..256).flat_map(|_| common.dice.bytes::<32>()).collect(),
            Lie::Short => drop(reply.digests.pop()),
            Lie::Unsorted => {
                let item = Item { node: NodeId(common.dice.bytes()), org: peer.org, serial: 1, hash: [7; 32] };
                let bucket = bucket_of(item.node).wrapping_add(1);
                self.list(peer, bucket, item, reply);
            }
            Lie::Hollow | Lie::Foreign => {
                let item = forgery.item(&forgery.foreign, common.member(forgery.target));
                self.list(peer, bucket_of(item.node), item, reply);
            }
            Lie::Stranger => {
                let (member, records) = if forgery.tells(asker, common) { &forgery.stealth } else { &forgery.fake };
                let item = forgery.item(&records[2], member);
                self.list(peer, bucket_of(item.node), item, reply);
            }
        }
        common.forgery = Some(forgery);
    }

    /// Shows a list with one more item, and a digest over just that.
    fn list(&mut self, peer: &mut Replica, bucket: u8, item: Item, reply: &mut wire::DigestsReply) {
        let mut page = peer.told().page(bucket, None);
        let read = |item: &wire::BucketItem| Item {
            node: item.node.as_slice().try_into().unwrap(),
            org: item.org.as_slice().try_into().unwrap(),
            serial: item.serial,
            hash: item.sha256.as_slice().try_into().unwrap(),
        };
        let mut items: Vec<Item> = page.items.iter().map(read).filter(|known| known.node != item.node).collect();
        items.push(item);
        items.sort_by_key(|item| item.node);
        page.items = items
            .iter()
            .map(|item| wire::BucketItem {
                node: item.node.to_vec(),
                org: item.org.to_vec(),
                serial: item.serial,
                sha256: item.hash.to_vec(),
            })
            .collect();
        let at = usize::from(bucket) * 32;
        reply.digests[at..at + 32].copy_from_slice(&digest(&items));
        self.lists.insert(bucket, page);
    }

    pub(crate) fn bucket(&mut self, bucket: u8, reply: &mut wire::BucketReply) {
        match self.lie {
            Lie::Frozen => *reply = self.frozen.1.page(bucket, None),
            Lie::Truth
            | Lie::Same
            | Lie::Forged
            | Lie::Wild
            | Lie::Short
            | Lie::Unsorted
            | Lie::Hollow
            | Lie::Foreign
            | Lie::Stranger => {
                if let Some(page) = self.lists.get(&bucket) {
                    reply.clone_from(page);
                }
            }
        }
    }

    pub(crate) fn descriptors(&mut self, nodes: &[NodeId], common: &Common, reply: &mut wire::RecordBundle) {
        let Some(forgery) = &common.forgery else { return };
        let target = common.member(forgery.target).node;
        match self.lie {
            Lie::Frozen => *reply = Buckets::descriptors(&self.frozen.0, nodes),
            Lie::Hollow => reply.records.clear(),
            Lie::Foreign if nodes.contains(&target) => reply.records.push(forgery.foreign.clone()),
            Lie::Truth
            | Lie::Same
            | Lie::Forged
            | Lie::Wild
            | Lie::Short
            | Lie::Unsorted
            | Lie::Foreign
            | Lie::Stranger => {}
        }
    }

    pub(crate) fn records(&mut self, org: Option<OrgId>, common: &Common, reply: &mut wire::RecordBundle) {
        let Some(forgery) = &common.forgery else { return };
        let rotated = common.region.records.iter().skip(1 + 3 * forgery.target).take(3);
        match self.lie {
            Lie::Frozen => *reply = self.frozen.0.bundle(org.unwrap_or(common.member(self.me).org)),
            Lie::Forged => {
                reply.records.extend(forgery.never.iter().cloned());
                // What everybody knew at the beginning: older than what some hold by now.
                reply.records.extend(common.old.iter().cloned().chain(rotated.cloned()));
                if forgery.tells(self.asker, common) {
                    reply.records.extend(forgery.stealth.1.iter().cloned());
                }
            }
            Lie::Stranger if forgery.tells(self.asker, common) => {
                reply.records.extend(forgery.stealth.1.iter().cloned())
            }
            Lie::Stranger => reply.records.extend(forgery.fake.1.iter().cloned()),
            Lie::Truth | Lie::Same | Lie::Wild | Lie::Short | Lie::Unsorted | Lie::Hollow | Lie::Foreign => {}
        }
    }

    /// What it answers who follows a log through it: its own, or another's.
    pub(crate) fn log(
        &mut self,
        peer: &mut Replica,
        common: &mut Common,
        asker: usize,
        asked: &wire::DirectoryLogRequest,
        reply: &mut wire::DirectoryLogReply,
    ) {
        let own = asked.node == peer.node.to_vec();
        if let Some(fork) = self.fork.as_ref().filter(|_| own) {
            common.tally.lies += 1;
            return fork.show(asker, asked, reply);
        }
        let lie = common.dice.below(10);
        common.tally.lies += u64::from(lie < 5);
        match lie {
            0 => *reply = wire::DirectoryLogReply::default(),
            1 if own => {
                if let Some(page) = self.unwitnessed(peer, common, asked) {
                    *reply = page;
                }
            }
            2 => {
                if let Some(byte) = reply.entries.first_mut().and_then(|entry| entry.last_mut()) {
                    *byte ^= 1;
                }
            }
            3 => {
                let node = asked.node.as_slice().try_into().unwrap();
                if let Some(head) = self.frozen.0.newest_head(node) {
                    reply.head = head.note().to_string().into_bytes();
                    reply.entries.clear();
                }
            }
            4 => {
                let ahead = common.dice.one(&[0, HOUR, AHEAD_SECS]);
                let node = asked.node.as_slice().try_into().unwrap();
                if let Some(head) = peer.directory.newest_head(node).filter(|head| head.size() == asked.first) {
                    let note = postdated(head.note(), &[self.me, self.pal], common, ahead);
                    *reply = wire::DirectoryLogReply { head: note.to_string().into_bytes(), ..Default::default() };
                }
            }
            _ => {}
        }
    }

    /// Its own log with the secret accreditation in it, under a head that nobody but the two signed.
    fn unwitnessed(
        &self,
        peer: &Replica,
        common: &Common,
        asked: &wire::DirectoryLogRequest,
    ) -> Option<wire::DirectoryLogReply> {
        let held = peer.directory.entered(peer.node, 0, usize::MAX);
        let forgery = common.forgery.as_ref().filter(|f| common.now < f.until && held.len() as u64 == asked.first)?;
        let entries: Vec<Vec<u8>> = forgery.stealth.1[..2].iter().map(wire::Signed::encode_to_vec).collect();
        let mut leaves: Vec<[u8; 32]> = held.iter().map(|entered| entered.leaf()).collect();
        leaves.extend(entries.iter().map(|entry| merkle::leaf(entry)));
        let mut head = peer.directory.head_to_sign(peer.node, peer.org);
        (head.size, head.root) = (leaves.len() as u64, merkle::root(&leaves));
        let mut note = head.sign(&common.member(self.me).log()).unwrap();
        cosign_as(&mut note, self.pal, common, common.now);
        let Ok(path) = consistency(&Levels::over(leaves), head.size, head.size);
        let path = path.into_iter().map(Vec::from).collect();
        Some(wire::DirectoryLogReply { head: note.to_string().into_bytes(), entries, path, leaves: vec![] })
    }

    /// What it answers a keeper that asks it to cosign.
    pub(crate) fn cosign(
        &mut self,
        peer: &Replica,
        common: &mut Common,
        request: &Request,
        answer: &mut Result<Note, Option<WitnessFault>>,
    ) {
        let lie = self.habit.unwrap_or_else(|| common.dice.below(6));
        common.tally.lies += u64::from(lie < 4);
        match lie {
            0 => *answer = Err(None),
            BOAST => *answer = Err(Some(WitnessFault::Conflict(common.dice.one(&[0, u64::MAX])))),
            2 | SPOIL => {
                let mut note = Note::unsigned(request.note.text().to_owned());
                let ahead = common.dice.one(&[HOUR, AHEAD_SECS]);
                cosign_as(&mut note, self.me, common, common.now + ahead);
                *answer = Ok(if lie == 2 { note } else { with_false_lines(&note, peer) });
            }
            _ => {}
        }
    }
}

/// A note with lines of other witnesses that they made under another text.
fn with_false_lines(note: &Note, peer: &Replica) -> Note {
    let named = |(node, _)| peer.directory.newest_head(node);
    let other = peer.directory.directory_logs().filter_map(named).find(|head| head.note().text() != note.text());
    let lines = other.map(|head| head.note().to_string()).unwrap_or_default();
    let lines = lines.rsplit_once("\n\n").map(|(_, lines)| lines.to_owned()).unwrap_or_default();
    Note::parse(format!("{note}{lines}").as_bytes()).unwrap()
}

/// The same head, with the lines of these made again, so much later than it is.
pub(crate) fn postdated(note: &Note, by: &[usize], common: &Common, ahead: u64) -> Note {
    let mut note = note.clone();
    by.iter().for_each(|by| cosign_as(&mut note, *by, common, common.now + ahead));
    note
}

pub(crate) fn cosign_as(note: &mut Note, by: usize, common: &Common, time: u64) {
    let member = common.member(by);
    let name = audit::witness_name(common.region.net, member.org, member.node);
    note.cosign(&name, &member.witness(), time).unwrap();
}

//! Everything together: what happens, in which order, and what fails.

use std::sync::OnceLock;

use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::telling::is_telling;
use clearhouse_protocol::account::Shown;
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{Digest, MsgId};
use clearhouse_protocol::limits::ACCOUNT_ENTRIES_MAX;
use clearhouse_protocol::mail::{Attempt, Delivery};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::{EventRow, Table};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::flaw::Flaw;
use crate::node::{Beat, Node};

/// Things that happen in one run before the calm.
const STEPS: usize = 130;
/// Rounds of fair weather within which everything comes to rest.
const CALM_ROUNDS: usize = 24;
/// Time that passes in each of them, seconds: longer than any pause.
const CALM_SECS: u64 = 5000;
/// The coordinator among the members; the others are ends.
pub(crate) const COORDINATOR: usize = 0;
/// Members.
pub(crate) const NODES: usize = 3;

/// What a run was like.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) told: u64,
    pub(crate) heard: u64,
    pub(crate) proved: u64,
    pub(crate) crashes: u64,
    pub(crate) lost: u64,
    pub(crate) images: u64,
    pub(crate) found_out: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.told += other.told;
        self.heard += other.heard;
        self.proved += other.proved;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.images += other.images;
        self.found_out += other.found_out;
    }
}

/// An envelope on its way.
struct Packet {
    from: usize,
    to: usize,
    msg_id: MsgId,
    bytes: Vec<u8>,
}

/// One run.
pub(crate) struct World {
    pub(crate) region: &'static Region,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: u64,
    pub(crate) tally: Tally,
    pub(crate) flaw: Option<Flaw>,
    /// The weather is fair: nothing fails.
    fair: bool,
    line: Vec<Packet>,
    dice: ChaCha20Rng,
}

fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| Region::with_coordinators(1, NODES, 1))
}

impl World {
    pub(crate) fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let nodes = (0..NODES).map(|n| Node::new(region(), n, seed)).collect();
        let (tally, line) = (Tally::default(), Vec::new());
        let dice = ChaCha20Rng::seed_from_u64(seed);
        Self { region: region(), nodes, now: NOW, tally, flaw, fair: false, line, dice }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.dice.next_u64() % n.max(1) as u64).unwrap_or(0)
    }

    fn percent(&mut self, chance: usize) -> bool {
        !self.fair && self.below(100) < chance
    }

    fn crash(&mut self) -> Option<Beat> {
        if !self.percent(6) {
            return None;
        }
        self.tally.crashes += 1;
        Some(if self.below(2) == 0 { Beat::BeforeStore } else { Beat::BeforeSending })
    }

    /// Things happen, in any order.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.now += self.below(3) as u64;
            let n = self.below(NODES);
            match self.below(100) {
                0..16 => self.happens(n)?,
                16..30 => self.tick(n),
                30..45 => self.tell(n)?,
                45..55 => self.prove(n)?,
                55..75 => self.carry(n)?,
                75..90 => self.open(n)?,
                90..93 => self.ask(n)?,
                93..96 => {
                    self.nodes[n].restart(self.region, self.flaw);
                    self.tally.crashes += 1;
                }
                96..98 => self.nodes[n].image = Some(self.nodes[n].disk.clone()),
                _ => self.put_back(n),
            }
            self.look()?;
        }
        Ok(())
    }

    /// Fair weather, until nothing is left to do.
    pub(crate) fn calm(&mut self) -> Result<(), String> {
        self.fair = true;
        // What strayed signs beyond what was heard of it, so that it can be found out.
        for n in 1..NODES {
            let heard = self.heard_size(n);
            while self.nodes[n].strayed && (self.nodes[n].disk.events.len() as u64) <= heard {
                self.happens(n)?;
            }
        }
        for _ in 0..CALM_ROUNDS {
            self.now += CALM_SECS;
            for n in 0..NODES {
                self.tick(n);
                self.tell(n)?;
                self.prove(n)?;
                self.ask(n)?;
            }
            for _ in 0..4 {
                (0..NODES).try_for_each(|n| self.carry(n))?;
                (0..NODES).try_for_each(|n| self.open(n))?;
            }
            self.look()?;
        }
        Ok(())
    }

    /// An end does something with a message that concerns the other end.
    fn happens(&mut self, n: usize) -> Result<(), String> {
        let other = if n == 1 { 2 } else { 1 };
        let mut digest = [0; 32];
        self.dice.fill_bytes(&mut digest);
        let events = [AuditEvent::Sent, AuditEvent::AuditReceived, AuditEvent::AuditOpened, AuditEvent::Unanswered];
        let event = events[self.below(events.len())];
        let peer = &self.region.members[other];
        let happening = Happening::of(event).with(peer.org, peer.node).about(Digest(digest), 2);
        let (crash, now, flaw) = (self.crash(), self.now, self.flaw);
        self.nodes[n]
            .act(self.region, now, crash, flaw, |office, now| (office.note_happening(&happening, now), ()))
            .map(drop)
    }

    /// A head, and who of the others cosigns it now.
    fn tick(&mut self, n: usize) {
        let others: Vec<usize> = (0..NODES).filter(|other| *other != n && !self.percent(20)).collect();
        self.nodes[n].sign(self.region, &others, NODES - 1, self.now);
    }

    fn tell(&mut self, n: usize) -> Result<(), String> {
        let Some((size, note)) = self.nodes[n].head.clone() else { return Ok(()) };
        let due = self.nodes[n].office.to_tell(self.now);
        for tell in due.into_iter().filter(|tell| tell.first < size) {
            let (first, last) = (usize::try_from(tell.first).unwrap(), usize::try_from(size).unwrap());
            let mut entries: Vec<EventRow> =
                self.nodes[n].disk.events[first..last].iter().take(ACCOUNT_ENTRIES_MAX).cloned().collect();
            if !(tell.anyway || is_telling(&entries)) {
                continue;
            }
            if self.flaw == Some(Flaw::LeavesOneOut) && entries.len() > 2 {
                entries.remove(1);
            }
            let shown: Vec<Shown> = entries.into_iter().map(Shown::Open).collect();
            let (crash, now, flaw, head) = (self.crash(), self.now, self.flaw, note.to_string());
            let queued = self.nodes[n].act(self.region, now, crash, flaw, |office, now| {
                (office.tell(tell, &shown, &head, now).unwrap_or_else(|_| panic!("no way to the coordinator")), ())
            })?;
            self.tally.told += u64::from(queued.is_some());
        }
        Ok(())
    }

    fn prove(&mut self, n: usize) -> Result<(), String> {
        let Some((size, note)) = self.nodes[n].head.clone() else { return Ok(()) };
        let (cursor, now, flaw) = (self.nodes[n].office.proofs_cursor(), self.now, self.flaw);
        if cursor < size {
            let part = usize::try_from(cursor).unwrap()..usize::try_from(size).unwrap();
            let (crash, entries) = (self.crash(), self.nodes[n].disk.events[part].to_vec());
            self.nodes[n].act(self.region, now, crash, flaw, |office, _| (office.owe(size, &entries), ()))?;
        }
        for (to, entries) in self.nodes[n].office.owed() {
            let disk = &self.nodes[n].disk;
            let leaves = &disk.leaves()[..usize::try_from(size).unwrap()];
            let covered =
                entries.into_iter().filter_map(|index| usize::try_from(index).ok()).filter(|i| *i < leaves.len());
            let proved: Vec<_> = covered.map(|i| (disk.events[i].clone(), merkle::path(leaves, i))).collect();
            if proved.is_empty() {
                continue;
            }
            let (crash, head) = (self.crash(), note.to_string());
            self.nodes[n].act(self.region, now, crash, flaw, |office, now| {
                (office.send_proofs(to, &head, &proved, now).unwrap_or_else(|_| panic!("no way to the other end")), ())
            })?;
        }
        Ok(())
    }

    /// The courier: what is due leaves, by the four beats; what is on the line arrives, or does not.
    fn carry(&mut self, n: usize) -> Result<(), String> {
        let (now, flaw) = (self.now, self.flaw);
        for msg_id in self.nodes[n].office.mail().due(now) {
            let crash = self.crash();
            let gone = self.nodes[n].act(self.region, now, crash, flaw, |office, now| office.depart(msg_id, now))?;
            if gone != Some(true) {
                continue;
            }
            let node = &self.nodes[n];
            let Some(out) = node.office.mail().outgoing(msg_id) else { continue };
            let to = self.region.members.iter().position(|m| m.node.0[..] == out.peer_node).unwrap();
            let Some(bytes) = node.disk.value(Table::Envelope, &out.digest).map(<[u8]>::to_vec) else {
                return Err(format!("node {n}: a message that waits has no envelope"));
            };
            self.line.push(Packet { from: n, to, msg_id, bytes });
        }
        while !self.line.is_empty() && (self.fair || self.below(4) > 0) {
            let nth = self.below(self.line.len());
            let packet = self.line.swap_remove(nth);
            self.arrive(packet)?;
        }
        Ok(())
    }

    fn arrive(&mut self, packet: Packet) -> Result<(), String> {
        let Packet { from, to, msg_id, bytes } = packet;
        let (now, flaw) = (self.now, self.flaw);
        let lost = self.percent(12);
        self.tally.lost += u64::from(lost);
        let mut stored = None;
        if !lost {
            let crash = self.crash();
            let outside = Outside::parse(&bytes).unwrap();
            let deposit = Deposit { outside, bytes: bytes.clone() };
            let answer =
                self.nodes[to].act(self.region, now, crash, flaw, |office, now| office.deposit(vec![deposit], now))?;
            stored = answer.map(|replies| replies.iter().all(Result::is_ok));
        }
        if self.percent(8) {
            self.line.push(Packet { from, to, msg_id, bytes });
        }
        let answered = stored.filter(|_| !self.percent(10));
        let attempt = match answered {
            Some(true) => Attempt::Stored { locked: false },
            Some(false) => Attempt::Failed { fault: 6 },
            None => Attempt::Unclear { fault: 4 },
        };
        let crash = self.crash();
        self.nodes[from]
            .act(self.region, now, crash, flaw, |office, now| (office.attempted(msg_id, attempt, now), ()))
            .map(drop)
    }

    /// The opener: every letter that waits, one after the other.
    fn open(&mut self, n: usize) -> Result<(), String> {
        let (now, flaw, member) = (self.now, self.flaw, &self.region.members[n]);
        for digest in self.nodes[n].office.mail().unopened() {
            let Some(bytes) = self.nodes[n].disk.value(Table::Envelope, digest.as_bytes()) else {
                return Err(format!("node {n}: a letter that waits cannot be read"));
            };
            let outside = Outside::parse(bytes).unwrap();
            let me = Reader::new((member.org, member.node), &self.region.directory, now);
            let opened = open(&outside, Some(member.prekey(now)), &me);
            let crash = self.crash();
            self.nodes[n].act(self.region, now, crash, flaw, |office, now| {
                (office.opened(digest, opened, now).unwrap_or_default(), ())
            })?;
        }
        Ok(())
    }

    /// The courier asks what became of messages that were stored and not answered.
    fn ask(&mut self, n: usize) -> Result<(), String> {
        let (now, flaw) = (self.now, self.flaw);
        let due: Vec<MsgId> = self.nodes[n].office.mail().to_ask(now).collect();
        for msg_id in due {
            let Some(out) =
                self.nodes[n].office.mail().outgoing(msg_id).filter(|o| Delivery::of(o) == Delivery::Stored)
            else {
                continue;
            };
            let to = self.region.members.iter().position(|m| m.node.0[..] == out.peer_node).unwrap();
            let digest = Digest::try_from(out.digest.as_slice()).unwrap();
            let attempt = match self.nodes[to].office.mail().letter(digest).map(|letter| letter.state) {
                None => Attempt::Lost,
                Some(1) => Attempt::Stored { locked: false },
                Some(2) => Attempt::Taken,
                Some(_) => Attempt::NotOpened,
            };
            let crash = self.crash();
            self.nodes[n]
                .act(self.region, now, crash, flaw, |office, now| (office.attempted(msg_id, attempt, now), ()))?;
        }
        Ok(())
    }

    fn put_back(&mut self, n: usize) {
        if self.nodes[n].put_back(self.region) {
            self.tally.images += 1;
        }
    }
}

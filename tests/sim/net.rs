//! The net between nodes: it loses, doubles, delays, reorders and parts, and an eavesdropper keeps every envelope.
//!
//! Carries calls and answers as the wire does; authentication is the sender's number, which TLS proves in the product.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::Violation;
use super::canary;
use super::dice::Dice;

/// A node, by its place in the region.
pub(super) type Site = usize;
/// One call of one courier; answers carry it back.
pub(super) type Call = u64;

/// What goes over the line.
#[derive(Clone)]
pub(super) enum Said {
    /// A deposit.
    Deposit { mailbox: MailboxId, digest: Digest, bytes: Rc<[u8]> },
    /// What became of a deposit?
    Ask { digest: Digest },
    /// What is there for me?
    Fetch,
    /// These are on my own disk.
    Ack(Vec<Digest>),
    /// The answer to a fetch.
    Slots(Vec<(Digest, Rc<[u8]>)>),
    /// The answer to a deposit.
    Stored(wire::DepositReply),
    /// The answer to a question.
    Became(wire::OutcomeReply),
    /// Refused; `passes` when it may go another time.
    Refused { passes: bool },
}

/// One packet.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) call: Call,
    pub(super) from: Site,
    pub(super) to: Site,
    /// Not there before this time.
    pub(super) at: u64,
    pub(super) said: Said,
}

/// How bad the line is, in percent.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    pub(super) lose: u64,
    pub(super) double: u64,
    pub(super) delay: u64,
}

/// Nothing is lost.
pub(super) const FAIR: Weather = Weather { lose: 0, double: 0, delay: 0 };

/// The net.
pub(super) struct Net {
    flying: Vec<Packet>,
    pub(super) weather: Weather,
    /// Pairs between which nothing passes, in this direction.
    parted: BTreeSet<(Site, Site)>,
    /// Every envelope that was ever on the line, with the site it went to.
    heard: BTreeMap<Digest, (Site, Rc<[u8]>)>,
    pub(super) carried: u64,
}

impl Net {
    pub(super) fn new() -> Self {
        Self { flying: Vec::new(), weather: FAIR, parted: BTreeSet::new(), heard: BTreeMap::new(), carried: 0 }
    }

    /// Puts a packet on the line. Fails when it can be read there.
    pub(super) fn send(&mut self, packet: Packet, dice: &mut Dice) -> Result<(), Violation> {
        self.overhear(&packet)?;
        self.carried += 1;
        if dice.percent(self.weather.lose) || (self.is_parted(packet.from, packet.to) && dice.percent(50)) {
            return Ok(());
        }
        if dice.percent(self.weather.double) {
            let at = packet.at + dice.between(0, 900);
            self.flying.push(Packet { at, ..packet.clone() });
        }
        let late = if dice.percent(self.weather.delay) { dice.between(1, 90) } else { 0 };
        self.flying.push(Packet { at: packet.at + late, ..packet });
        Ok(())
    }

    /// Takes one packet off the line, any of those that are there by now.
    pub(super) fn arrive(&mut self, time: u64, dice: &mut Dice) -> Option<Packet> {
        let there: Vec<usize> =
            (0..self.flying.len()).filter(|i| self.flying[*i].at <= time && !self.holds(&self.flying[*i])).collect();
        if there.is_empty() {
            return None;
        }
        Some(self.flying.swap_remove(dice.pick(&there)))
    }

    fn holds(&self, packet: &Packet) -> bool {
        self.is_parted(packet.from, packet.to)
    }

    /// When the next packet is there.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        self.flying.iter().map(|packet| packet.at).min()
    }

    pub(super) fn is_parted(&self, from: Site, to: Site) -> bool {
        self.parted.contains(&(from, to))
    }

    /// Parts two sites, in one direction or both.
    pub(super) fn part(&mut self, a: Site, b: Site, both: bool) {
        self.parted.insert((a, b));
        if both {
            self.parted.insert((b, a));
        }
    }

    pub(super) fn heal(&mut self) {
        self.parted.clear();
    }

    /// An envelope that was on the line at some time, for whoever wants to send it again.
    pub(super) fn recorded(&self, dice: &mut Dice) -> Option<(Site, Digest, Rc<[u8]>)> {
        let nth = dice.index(self.heard.len());
        self.heard.iter().nth(nth).map(|(digest, (to, bytes))| (*to, *digest, Rc::clone(bytes)))
    }

    fn overhear(&mut self, packet: &Packet) -> Result<(), Violation> {
        let seen = match &packet.said {
            Said::Deposit { digest, bytes, .. } => {
                if self.heard.contains_key(digest) {
                    return Ok(());
                }
                self.heard.insert(*digest, (packet.to, Rc::clone(bytes)));
                canary::find(bytes)
            }
            Said::Stored(reply) => canary::find(&reply.encode_to_vec()),
            Said::Became(reply) => canary::find(&reply.encode_to_vec()),
            Said::Slots(slots) => slots.iter().find_map(|(_, bytes)| canary::find(bytes)),
            Said::Ask { .. } | Said::Fetch | Said::Ack(_) | Said::Refused { .. } => None,
        };
        match seen {
            Some(word) => Err(Violation::new(format!("in clear on the line: {word:?}"))),
            None => Ok(()),
        }
    }
}

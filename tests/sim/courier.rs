//! What stands around a node's owner, by hand: the courier that carries, the door that takes, the opener that opens.
//! The same order of steps as the product's; instead of sockets and tasks there are packets and turns.

use std::rc::Rc;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Outside, Reader, Unopenable, open};
use clearhouse_protocol::ids::{Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::mail::Attempt;
use clearhouse_protocol::receipt;
use clearhouse_protocol::rows::Table;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use clearhouse_casework::office::mailing::Deposit;

use super::Violation;
use super::model::site_of;
use super::net::{Call, Packet, Said, Site};
use super::node::{Ask, BEHIND, Errand, Ground, KEEPER};
use super::relay::{self, mailbox_there};
use super::world::World;

/// How long a call waits for its answer, seconds.
pub(super) const CALL_SECS: u64 = 30;
/// Letters opened side by side.
const LETTERS_AT_ONCE: usize = 8;
/// Asks a node lets wait before its door says "later".
pub(super) const INBOX_MAX: usize = 64;

/// Stable numbers of failures, as the product's courier has them.
const NO_ROUTE: u32 = 1;
const UNREACHABLE: u32 = 2;
const BROKE_OFF: u32 = 4;
const REFUSED_FOR_NOW: u32 = 5;
const REFUSED: u32 = 6;
const BAD_RECEIPT: u32 = 7;
const STORE: u32 = 8;
const NOT_FETCHED: u32 = 10;

impl World {
    /// One turn of the courier of a site: gives up calls, asks leave for what is due, asks after what is stored.
    pub(super) fn courier(&mut self, site: Site) -> Result<(), Violation> {
        self.put_on_the_line(site)?;
        let now = self.nodes[site].clock(self.time);
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        for (msg_id, errand) in &mut up.errands {
            if matches!(errand, Errand::OnTheLine { until, .. } if *until <= self.time) {
                *errand = Errand::WithOwner;
                let attempt = Attempt::Unclear { fault: BROKE_OFF };
                up.inbox.push_back(Ask::Attempt { msg_id: *msg_id, attempt });
            }
        }
        let free = |id: &MsgId| !up.errands.contains_key(id);
        let due: Vec<MsgId> = up.office.mail().due(now).into_iter().filter(free).collect();
        let questions: Vec<MsgId> = up.office.mail().to_ask(now).filter(free).collect();
        for msg_id in due {
            up.errands.insert(msg_id, Errand::WithOwner);
            up.inbox.push_back(Ask::Leave(msg_id));
        }
        questions.into_iter().try_for_each(|msg_id| self.question(site, msg_id))
    }

    /// The owner lets a message leave, and that is durable. It goes at the courier's next turn: until then anything may
    /// happen.
    pub(super) fn carry(&mut self, site: Site, msg_id: MsgId) -> Result<(), Violation> {
        let now = self.nodes[site].clock(self.time);
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        let Some(out) = up.office.mail().outgoing(msg_id) else { return Ok(()) };
        let digest = Digest::try_from(out.digest.as_slice()).map_err(Violation::because("a digest"))?;
        let Some((to, mailbox)) = route(&up.directory, &out.peer_org, &out.peer_node, now) else {
            return self.report(site, msg_id, Attempt::Failed { fault: NO_ROUTE });
        };
        let bytes =
            up.ledger.read(Table::Envelope, digest.as_bytes()).map_err(Violation::because("a sealed message"))?;
        let Some(bytes) = bytes else {
            return self.report(site, msg_id, Attempt::Failed { fault: STORE });
        };
        let said = Said::Deposit { mailbox, digest, bytes: Rc::from(bytes.as_slice()) };
        up.errands.insert(msg_id, Errand::InHand { to, digest, said });
        Ok(())
    }

    fn put_on_the_line(&mut self, site: Site) -> Result<(), Violation> {
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        let in_hand = up.errands.iter().filter_map(|(id, errand)| match errand {
            Errand::InHand { to, digest, said } => Some((*id, *to, *digest, said.clone())),
            Errand::WithOwner | Errand::OnTheLine { .. } => None,
        });
        let in_hand: Vec<_> = in_hand.collect();
        for (msg_id, to, digest, said) in in_hand {
            if self.no_answer(site, to) {
                self.report(site, msg_id, Attempt::Failed { fault: UNREACHABLE })?;
            } else {
                self.model.leaves(site, digest)?;
                self.call(site, to, msg_id, false, said)?;
            }
        }
        Ok(())
    }

    fn question(&mut self, site: Site, msg_id: MsgId) -> Result<(), Violation> {
        let now = self.nodes[site].clock(self.time);
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        let Some(out) = up.office.mail().outgoing(msg_id) else { return Ok(()) };
        let digest = Digest::try_from(out.digest.as_slice()).map_err(Violation::because("a digest"))?;
        match route(&up.directory, &out.peer_org, &out.peer_node, now) {
            None => self.report(site, msg_id, Attempt::Failed { fault: NO_ROUTE }),
            Some((to, _)) if self.no_answer(site, to) => {
                self.report(site, msg_id, Attempt::Failed { fault: UNREACHABLE })
            }
            Some((to, _)) => self.call(site, to, msg_id, true, Said::Ask { digest }),
        }
    }

    /// Nobody there, and the line says so at once. As often it says nothing.
    fn no_answer(&mut self, site: Site, to: Site) -> bool {
        (self.nodes[to].up.is_none() || self.net.is_parted(site, to)) && self.dice.percent(50)
    }

    fn call(&mut self, site: Site, to: Site, msg_id: MsgId, question: bool, said: Said) -> Result<(), Violation> {
        self.calls += 1;
        let call = self.calls;
        if let Some(up) = self.nodes[site].up.as_mut() {
            up.errands.insert(msg_id, Errand::OnTheLine { call, until: self.time + CALL_SECS, question });
        }
        self.net.send(Packet { call, from: site, to, at: self.time, said }, &mut self.dice)
    }

    fn report(&mut self, site: Site, msg_id: MsgId, attempt: Attempt) -> Result<(), Violation> {
        if let Some(up) = self.nodes[site].up.as_mut() {
            up.errands.insert(msg_id, Errand::WithOwner);
            up.inbox.push_back(Ask::Attempt { msg_id, attempt });
        }
        Ok(())
    }

    /// A packet arrives. At a node that is down it is lost.
    pub(super) fn arrive(&mut self, packet: Packet) -> Result<(), Violation> {
        match packet.said {
            Said::Deposit { .. } | Said::Ask { .. } | Said::Fetch | Said::Ack(_) => self.door(packet),
            Said::Slots(_) if packet.to == BEHIND => self.take_in(&packet),
            Said::Slots(_) => Ok(()),
            Said::Stored(_) | Said::Became(_) | Said::Refused { .. } => self.answered(packet),
        }
    }

    fn door(&mut self, packet: Packet) -> Result<(), Violation> {
        let (site, from, call) = (packet.to, packet.from, packet.call);
        let now = self.nodes[site].clock(self.time);
        if self.closed.contains(&call) {
            return Ok(());
        }
        let caller = self.nodes[from].member();
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        if up.directory.signing_key(caller.org, caller.node, now).is_err() {
            return self.turn_away(site, from, call, false);
        }
        match packet.said {
            Said::Deposit { mailbox, digest, ref bytes } if site == KEEPER && mailbox == mailbox_there() => {
                // What its header names is for its reader to judge.
                match Outside::parse(bytes).ok().filter(|outside| outside.digest == digest) {
                    Some(outside) => self.left_here(&packet, outside, bytes),
                    None => self.turn_away(site, from, call, false),
                }
            }
            Said::Deposit { mailbox, digest, bytes } => {
                let outside = Outside::parse(&bytes).ok().filter(|o| o.digest == digest && o.mailbox == mailbox);
                let passes = up.inbox.len() >= INBOX_MAX;
                match outside {
                    Some(outside) if !passes => {
                        let deposit = Deposit { outside, bytes: bytes.to_vec() };
                        up.inbox.push_back(Ask::Deposit { call, from, deposit });
                        Ok(())
                    }
                    Some(_) | None => self.turn_away(site, from, call, passes),
                }
            }
            Said::Ask { digest } => {
                let letter = up.office.mail().letter(digest);
                let kept = relay::outcome(up.office.depot(), digest).filter(|_| letter.is_none());
                let reply = kept.unwrap_or_else(|| outcome(letter, up.office.is_open()));
                self.answer(site, from, call, Said::Became(reply))
            }
            Said::Fetch => self.hand_out(&packet),
            Said::Ack(digests) if (from, site) == (BEHIND, KEEPER) => self.ask(site, Ask::Acked(digests)),
            Said::Ack(_) | Said::Slots(_) | Said::Stored(_) | Said::Became(_) | Said::Refused { .. } => Ok(()),
        }
    }

    /// Says no, and closes the line.
    pub(super) fn turn_away(&mut self, site: Site, to: Site, call: Call, passes: bool) -> Result<(), Violation> {
        if call > 0 {
            self.closed.insert(call);
        }
        self.answer(site, to, call, Said::Refused { passes })
    }

    fn answered(&mut self, packet: Packet) -> Result<(), Violation> {
        let (site, keeper) = (packet.to, self.nodes[packet.from].member().node);
        let now = self.nodes[site].clock(self.time);
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        let waits = |e: &Errand| matches!(e, Errand::OnTheLine { call, .. } if *call == packet.call);
        let Some((msg_id, question)) = up.errands.iter().find_map(|(id, e)| match e {
            Errand::OnTheLine { question, .. } if waits(e) => Some((*id, *question)),
            _ => None,
        }) else {
            return Ok(());
        };
        let Some(out) = up.office.mail().outgoing(msg_id) else { return Ok(()) };
        let digest = Digest::try_from(out.digest.as_slice()).map_err(Violation::because("a digest"))?;
        let attempt = match packet.said {
            Said::Stored(reply) if !question => stored(&reply, &up.directory, keeper, digest, now),
            Said::Became(reply) if question => became(&reply, &up.directory, keeper, digest, now),
            Said::Refused { passes } => {
                if !question {
                    self.model.turned_away(digest);
                }
                Attempt::Failed { fault: if passes { REFUSED_FOR_NOW } else { REFUSED } }
            }
            Said::Stored(_)
            | Said::Became(_)
            | Said::Deposit { .. }
            | Said::Ask { .. }
            | Said::Fetch
            | Said::Ack(_)
            | Said::Slots(_) => Attempt::Unclear { fault: BAD_RECEIPT },
        };
        self.report(site, msg_id, attempt)
    }

    /// One turn of the opener of a site: opens some letters beside the owner and hands in what it found.
    pub(super) fn opener(&mut self, site: Site) -> Result<(), Violation> {
        let (node, ground) = (&self.nodes[site], self.nodes[site].ground());
        let times = (node.clock(self.time), node.sure(self.time), node.is_confirmed(self.time));
        let doubts = self.nodes[site].doubts(self.time);
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        let waits = up.inbox.iter().any(|ask| matches!(ask, Ask::Letter { .. }));
        if !up.open || waits || doubts {
            return Ok(());
        }
        let directory = std::sync::Arc::clone(&up.directory);
        for digest in up.office.mail().to_open().take(LETTERS_AT_ONCE).collect::<Vec<_>>() {
            let bytes = up.ledger.read(Table::Envelope, digest.as_bytes());
            let Ok(Some(bytes)) = bytes else {
                return Err(Violation::new(format!("P1: the letter {digest} at site {site} cannot be read back")));
            };
            let result = open_one(&bytes, ground, &directory, times);
            up.inbox.push_back(Ask::Letter { digest, result });
        }
        Ok(())
    }
}

fn open_one(
    bytes: &[u8],
    ground: &Ground,
    directory: &Directory,
    (now, sure, is_confirmed): (u64, u64, bool),
) -> Result<clearhouse_protocol::envelope::Opening, Unopenable> {
    let outside = Outside::parse(bytes)?;
    let prekey = ground.prekeys.iter().find(|(id, _)| *id == outside.prekey).map(|(_, secret)| *secret);
    let reader = Reader::new((ground.member.org, ground.member.node), directory, now);
    open(&outside, prekey, &Reader { sure: sure.min(now), is_confirmed, ..reader })
}

fn route(
    directory: &Directory,
    org: &[u8],
    node: &[u8],
    now: u64,
) -> Option<(Site, clearhouse_protocol::ids::MailboxId)> {
    let to = directory.recipient(OrgId::try_from(org).ok()?, NodeId::try_from(node).ok()?, now).ok()?;
    let (mailbox, keeper, _) = to.mailboxes.first()?;
    Some((site_of(keeper.as_bytes())?, *mailbox))
}

fn outcome(letter: Option<&clearhouse_protocol::mail::Letter>, open: bool) -> wire::OutcomeReply {
    let (state, not_opened) = match letter.map(|l| l.state) {
        None => (wire::MailboxState::NotHere, None),
        Some(1) if !open => (wire::MailboxState::StoredLocked, None),
        Some(1) => (wire::MailboxState::Stored, None),
        Some(3) => {
            let statement = letter.and_then(|l| wire::Signed::decode(l.not_opened.as_slice()).ok());
            (wire::MailboxState::Unopenable, statement)
        }
        Some(_) => (wire::MailboxState::Taken, None),
    };
    wire::OutcomeReply { state: state.into(), not_opened, expired: None }
}

fn keeper_key(directory: &Directory, keeper: NodeId, now: u64) -> Option<VerifyKey> {
    directory.signing_key(directory.org_of(keeper)?, keeper, now).ok()
}

fn stored(reply: &wire::DepositReply, directory: &Directory, keeper: NodeId, digest: Digest, now: u64) -> Attempt {
    let key = keeper_key(directory, keeper, now);
    let held = reply
        .receipt
        .as_ref()
        .zip(key)
        .is_some_and(|(r, key)| receipt::check_storage(r, directory.net(), keeper, digest, &key).is_ok());
    if held { Attempt::Stored { locked: reply.locked } } else { Attempt::Unclear { fault: BAD_RECEIPT } }
}

fn became(reply: &wire::OutcomeReply, directory: &Directory, keeper: NodeId, digest: Digest, now: u64) -> Attempt {
    match reply.state() {
        wire::MailboxState::Stored => Attempt::Stored { locked: false },
        wire::MailboxState::StoredLocked => Attempt::Stored { locked: true },
        wire::MailboxState::Taken => Attempt::Taken,
        wire::MailboxState::NotHere => Attempt::Lost,
        wire::MailboxState::Unopenable => {
            let key = keeper_key(directory, keeper, now);
            let held =
                reply.not_opened.as_ref().zip(key).is_some_and(|(s, key)| {
                    receipt::check_not_opened(s, directory.net(), keeper, digest, &key).is_ok()
                });
            if held { Attempt::NotOpened } else { Attempt::Unclear { fault: BAD_RECEIPT } }
        }
        wire::MailboxState::Fetched => Attempt::Fetched,
        wire::MailboxState::Expired => {
            let key = keeper_key(directory, keeper, now);
            let held = reply
                .expired
                .as_ref()
                .zip(key)
                .is_some_and(|(s, key)| receipt::check_expired(s, directory.net(), keeper, digest, &key).is_ok());
            if held { Attempt::Failed { fault: NOT_FETCHED } } else { Attempt::Unclear { fault: BAD_RECEIPT } }
        }
        wire::MailboxState::Unspecified => Attempt::Unclear { fault: BAD_RECEIPT },
    }
}

//! What was promised and what really happened, kept beside the nodes: the judge of a run.
//!
//! Learns of a message when its row is committed, of an effect when its fact is committed, of a promise when the
//! answer leaves, and of a departure when a packet is on the line. Believes no node's account of itself.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::mail::{Delivery, Outgoing};
use clearhouse_wire::v1 as wire;

use super::Violation;
use super::net::Site;
use super::node::{BEHIND, KEEPER, SITES, region};
use super::notes::Note;
use crate::model::Act;
use crate::model::replay::Way;

/// A message, from the commit that queued it.
pub(super) struct Mail {
    pub(super) from: Site,
    pub(super) to: Site,
    pub(super) case: Option<CaseId>,
    pub(super) is_receipt: bool,
    /// A person was told "sent".
    pub(super) promised: bool,
    /// Packets with it that were on the line and were not turned away.
    left: u32,
    /// Its departure is durable and it has not left yet.
    granted: bool,
    /// It must not leave any more, and why.
    stopped: Option<&'static str>,
}

impl Mail {
    /// The other side may have it.
    pub(super) fn has_left(&self) -> bool {
        self.left > 0
    }

    fn may_leave(&self, msg_id: &MsgId) -> Result<(), Violation> {
        match self.stopped {
            Some(why) => Err(Violation::new(format!("P4: message {msg_id} leaves site {} although {why}", self.from))),
            None => Ok(()),
        }
    }
}

/// The judge.
#[derive(Default)]
pub(super) struct Model {
    mail: BTreeMap<MsgId, Mail>,
    by_digest: BTreeMap<Digest, MsgId>,
    digests: BTreeSet<Digest>,
    threads: BTreeSet<(ConversationId, NodeId)>,
    /// Letters whose storing was committed.
    stored: BTreeSet<(Site, Digest)>,
    /// Those that are for another office.
    kept: BTreeSet<Digest>,
    /// How the outbox says that each message stands.
    ends: BTreeMap<MsgId, Delivery>,
    /// Receipts that left, and when the letter ends.
    receipts: BTreeMap<(Site, Digest), (wire::StorageReceipt, u64)>,
    effects: BTreeMap<(Site, MsgId), u32>,
    not_taken: BTreeSet<(Site, MsgId)>,
    read: BTreeSet<(Site, MsgId)>,
    revoked: BTreeSet<(Site, Vec<u8>)>,
    /// The way of each message of an office, as the small model ([`crate::model`]) must know it.
    ways: BTreeMap<MsgId, Way>,
}

/// The place of a node in the region.
pub(super) fn site_of(node: &[u8]) -> Option<Site> {
    region().members.iter().position(|m| m.node.as_bytes() == node)
}

fn site_of_org(org: &[u8]) -> Option<Site> {
    region().members.iter().position(|m| m.org.as_bytes() == org)
}

impl Model {
    /// Learns the names of what a site decided, whatever becomes of it.
    pub(super) fn hears(&mut self, note: &Note) {
        match note {
            Note::Outgoing(_, out) => {
                self.digests.extend(Digest::try_from(out.digest.as_slice()));
                let conversation = ConversationId::try_from(out.conversation.as_slice());
                let nodes = region().members.iter().map(|m| m.node);
                self.threads.extend(conversation.into_iter().flat_map(|c| nodes.clone().map(move |node| (c, node))));
            }
            Note::Letter(digest) | Note::Kept(digest) => drop(self.digests.insert(*digest)),
            Note::Withdrawn(..)
            | Note::Stayed(_)
            | Note::Effect(_)
            | Note::NotTaken(_)
            | Note::Read(_)
            | Note::Receipt(..)
            | Note::Departs(_)
            | Note::MayNotGoOn(_)
            | Note::Revoked(_) => {}
        }
    }

    /// Takes what a message's receiver says of it: one that is refused before there is a case leaves nothing there to see.
    pub(super) fn answered(&mut self, note: &Note) {
        if let Note::Receipt(msg_id, said) = note
            && said.stage() == wire::Stage::Refused
        {
            self.ways.entry(*msg_id).or_default().was_refused();
        }
    }

    /// Takes what a site committed.
    pub(super) fn committed(&mut self, site: Site, note: &Note) -> Result<(), Violation> {
        match note {
            Note::Outgoing(msg_id, out) => self.outgoing(site, *msg_id, out)?,
            Note::Letter(digest) => {
                if self.stored.insert((site, *digest)) {
                    // At its own node's mailbox there is nobody in between.
                    let acts: &[Act] =
                        if site == BEHIND { &[Act::Fetch] } else { &[Act::Keep, Act::Offer, Act::Fetch] };
                    self.saw_envelope(*digest, acts)?;
                }
            }
            Note::Kept(digest) => {
                self.kept.insert(*digest);
                if self.stored.insert((site, *digest)) {
                    self.saw_envelope(*digest, &[Act::Keep])?;
                }
            }
            Note::Effect(msg_id) => {
                self.saw(*msg_id, Act::Open)?;
                let times = self.effects.entry((site, *msg_id)).or_default();
                *times += 1;
                if *times > 1 {
                    return Err(Violation::new(format!("P2: message {msg_id} changed the case of site {site} twice")));
                }
                let from = self.mail.get(msg_id).map(|m| region().members[m.from].org);
                if from.is_some_and(|org| self.revoked.contains(&(site, org.to_vec()))) {
                    return Err(Violation::new(format!("P14: site {site} took {msg_id} of a party it knows is out")));
                }
            }
            Note::NotTaken(msg_id) => {
                self.saw(*msg_id, Act::Open)?;
                let again = !self.not_taken.insert((site, *msg_id)) || self.effects(site, *msg_id) > 0;
                if again {
                    return Err(Violation::new(format!("P2: message {msg_id} was answered twice by site {site}")));
                }
            }
            Note::Read(msg_id) => drop(self.read.insert((site, *msg_id))),
            Note::Departs(msg_id) => self.saw(*msg_id, Act::Depart)?,
            Note::Revoked(subject) => {
                self.revoked.insert((site, subject.clone()));
                let out = site_of_org(subject).or_else(|| site_of(subject));
                for mail in self.mail.values_mut().filter(|m| m.from == site && Some(m.to) == out) {
                    mail.stopped = Some("its receiver was revoked");
                }
            }
            Note::MayNotGoOn(msg_id) => self.may_stop(*msg_id),
            Note::Withdrawn(..) | Note::Stayed(_) | Note::Receipt(..) => {}
        }
        Ok(())
    }

    fn outgoing(&mut self, site: Site, msg_id: MsgId, out: &Outgoing) -> Result<(), Violation> {
        let to = site_of(&out.peer_node).ok_or(Violation::new("a message to nobody".into()))?;
        let digest = Digest::try_from(out.digest.as_slice()).map_err(Violation::because("a digest"))?;
        if self.by_digest.insert(digest, msg_id).is_none() && self.mail.contains_key(&msg_id) {
            // Sealed anew for another key: the model has one envelope a message.
            self.is_strange(msg_id);
        }
        self.mail.entry(msg_id).or_insert(Mail {
            from: site,
            to,
            case: CaseId::try_from(out.case.as_slice()).ok(),
            is_receipt: out.msg_type == wire::MessageType::Receipt as u32,
            promised: false,
            left: 0,
            granted: false,
            stopped: None,
        });
        self.saw_row(msg_id, out)
    }

    /// What a row of the outbox says of a message's way.
    fn saw_row(&mut self, msg_id: MsgId, out: &Outgoing) -> Result<(), Violation> {
        let last = self.ends.insert(msg_id, Delivery::of(out));
        let act = match Delivery::of(out) {
            now if last == Some(now) => return Ok(()),
            // Her word, in the tick that found it expired.
            Delivery::Recalled if last == Some(Delivery::Expired) => return Ok(()),
            Delivery::Queued => Act::Send,
            Delivery::Stored => Act::HearStored,
            Delivery::Settled => Act::HearReceipt,
            Delivery::Recalled => Act::Recall,
            Delivery::Expired => Act::Expire,
            Delivery::NotOpened => {
                self.is_strange(msg_id);
                return Ok(());
            }
        };
        self.saw(msg_id, act)
    }

    /// The next step of a message's way. Receipts are no messages of a person, and go their own way.
    fn saw(&mut self, msg_id: MsgId, act: Act) -> Result<(), Violation> {
        if self.mail.get(&msg_id).is_none_or(|mail| mail.is_receipt) {
            return Ok(());
        }
        let way = self.ways.entry(msg_id).or_default();
        if way.saw(act) {
            return Ok(());
        }
        Err(Violation::new(format!("the small model knows no such way of {msg_id}: {:?}", way.seen())))
    }

    fn saw_envelope(&mut self, digest: Digest, acts: &[Act]) -> Result<(), Violation> {
        let Some(msg_id) = self.by_digest.get(&digest).copied() else { return Ok(()) };
        acts.iter().try_for_each(|act| self.saw(msg_id, *act))
    }

    /// It goes in an envelope that the small model does not know.
    pub(super) fn is_strange(&mut self, msg_id: MsgId) {
        self.ways.entry(msg_id).or_default().is_strange();
    }

    /// How many messages the small model followed from their sender to where they were opened.
    pub(super) fn followed(&self) -> u64 {
        self.ways.values().filter(|way| way.was_followed_to(Act::Open)).count() as u64
    }

    /// A person was told "sent".
    pub(super) fn promised(&mut self, msg_id: MsgId) -> Result<(), Violation> {
        let mail = self.mail.get_mut(&msg_id);
        let mail = mail.ok_or(Violation::new(format!("P5: {msg_id} was called sent and is not committed")))?;
        mail.promised = true;
        Ok(())
    }

    /// A storage receipt leaves a site.
    pub(super) fn receipt(
        &mut self,
        site: Site,
        digest: Digest,
        receipt: &wire::StorageReceipt,
        expires: u64,
    ) -> Result<(), Violation> {
        if !self.stored.contains(&(site, digest)) {
            return Err(Violation::new(format!("P1: a receipt for {digest} left site {site} before its commit")));
        }
        let (first, _) = self.receipts.entry((site, digest)).or_insert_with(|| (receipt.clone(), expires));
        if first != receipt {
            return Err(Violation::new(format!("two different storage receipts for {digest} by site {site}")));
        }
        Ok(())
    }

    /// A person was told "taken back before it left".
    pub(super) fn taken_back(&mut self, msg_id: MsgId) -> Result<(), Violation> {
        match self.mail.get(&msg_id) {
            Some(mail) if mail.has_left() => {
                Err(Violation::new(format!("P4: {msg_id} of site {} is called taken back, and it has left", mail.from)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The mailbox said that it did not take it: nothing of it is there.
    pub(super) fn turned_away(&mut self, digest: Digest) {
        if let Some(mail) = self.by_digest.get(&digest).and_then(|id| self.mail.get_mut(id)) {
            mail.left = mail.left.saturating_sub(1);
        }
        // In the small model nobody is turned away.
        if let Some(msg_id) = self.by_digest.get(&digest).copied() {
            self.is_strange(msg_id);
        }
    }

    /// That a message departs was committed.
    pub(super) fn granted(&mut self, msg_id: MsgId) {
        if let Some(mail) = self.mail.get_mut(&msg_id) {
            mail.granted = mail.stopped.is_none();
        }
    }

    /// A batch is believed before it is answered: what ended in it may still be carried by what came before.
    fn saw_carried(&mut self, msg_id: MsgId) -> Result<(), Violation> {
        match self.ends.get(&msg_id) {
            Some(Delivery::Queued) => self.saw(msg_id, Act::Carry),
            _ => {
                self.ways.entry(msg_id).or_default().carried_late();
                Ok(())
            }
        }
    }

    /// A courier puts a message on the line.
    pub(super) fn leaves(&mut self, site: Site, digest: Digest) -> Result<(), Violation> {
        let mail = self.by_digest.get(&digest).and_then(|id| Some((id, self.mail.get_mut(id)?)));
        let Some((msg_id, mail)) = mail.filter(|(_, m)| m.from == site) else {
            return Err(Violation::new(format!("P5: {digest} left site {site} before its commit")));
        };
        // What was released before her word may be on the line a moment after it.
        if !std::mem::take(&mut mail.granted) {
            mail.may_leave(msg_id)?;
        }
        mail.left += 1;
        let msg_id = *msg_id;
        self.saw_carried(msg_id)
    }

    /// Her word was committed where this message is: it must not leave any more.
    pub(super) fn stop(&mut self, msg_id: MsgId, why: &'static str) {
        if let Some(mail) = self.mail.get_mut(&msg_id) {
            mail.stopped.get_or_insert(why);
            self.ways.entry(msg_id).or_default().withdrawn();
        }
    }

    /// Her word was committed where this message is: whatever it says, it may be stopped.
    pub(super) fn may_stop(&mut self, msg_id: MsgId) {
        self.ways.entry(msg_id).or_default().may_stop();
    }

    pub(super) fn mail(&self) -> impl Iterator<Item = (MsgId, &Mail)> {
        self.mail.iter().map(|(id, mail)| (*id, mail))
    }

    pub(super) fn one(&self, msg_id: MsgId) -> Option<&Mail> {
        self.mail.get(&msg_id)
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = (Site, Digest, u64)> {
        self.receipts.iter().map(|((site, digest), (_, expires))| (*site, *digest, *expires))
    }

    pub(super) fn effects(&self, site: Site, msg_id: MsgId) -> u32 {
        self.effects.get(&(site, msg_id)).copied().unwrap_or(0)
    }

    /// Effects of all messages at all sites.
    pub(super) fn all_effects(&self) -> u64 {
        self.effects.values().map(|n| u64::from(*n)).sum()
    }

    pub(super) fn all_read(&self) -> u64 {
        self.read.len() as u64
    }

    pub(super) fn was_read(&self, site: Site, msg_id: MsgId) -> bool {
        self.read.contains(&(site, msg_id))
    }

    pub(super) fn was_not_taken(&self, site: Site, msg_id: MsgId) -> bool {
        self.not_taken.contains(&(site, msg_id))
    }

    pub(super) fn is_out(&self, site: Site, org: OrgId) -> bool {
        self.revoked.contains(&(site, org.to_vec()))
    }

    /// Whether the keeper took this for the office behind a router.
    pub(super) fn was_kept(&self, digest: Digest) -> bool {
        self.kept.contains(&digest)
    }

    /// True when any site knows that any of the two is out, or the one that keeps a mailbox between them.
    pub(super) fn is_cut(&self, a: Site, b: Site) -> bool {
        let mut orgs = vec![a, b];
        orgs.extend([a, b].contains(&BEHIND).then_some(KEEPER));
        let orgs: Vec<OrgId> = orgs.into_iter().map(|site| region().members[site].org).collect();
        (0..SITES).any(|site| orgs.iter().any(|org| self.is_out(site, *org)))
    }

    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.digests.iter().copied()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = (NodeId, MsgId)> {
        self.mail.iter().map(|(id, mail)| (region().members[mail.from].node, *id))
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = (ConversationId, NodeId)> {
        self.threads.iter().copied()
    }
}

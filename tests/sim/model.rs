//! What was promised and what really happened, kept beside the nodes: the judge of a run.
//!
//! Learns of a message when its row is committed, of an effect when its fact is committed, of a promise when the
//! answer leaves, and of a departure when a packet is on the line. Believes no node's account of itself.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_casework::case::Fact;
use clearhouse_casework::case::fact::{MessageIn, MessageOut};
use clearhouse_casework::office::Step;
use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::mail::{Letter, LetterState, Outgoing};
use clearhouse_protocol::relay::Kept;
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::Withdrawal;
use prost::Message as _;

use super::Violation;
use super::net::Site;
use super::node::{BEHIND, KEEPER, SITES, region};

/// One thing a step says, read from its rows.
pub(super) enum Note {
    /// A message was queued, or its row changed.
    Outgoing(MsgId, Outgoing),
    /// A letter was stored, or its row changed.
    Letter(Digest),
    /// An envelope was taken for another office, or its row changed.
    Kept(Digest),
    /// Her consent was withdrawn here, or the other side says so.
    Withdrawn(CaseId, Withdrawal),
    /// She stays.
    Stayed(CaseId),
    /// A message had its effect.
    Effect(MsgId),
    /// A message was refused, or is kept unread.
    NotTaken(MsgId),
    /// A person read a message.
    Read(MsgId),
    /// A receipt about our message came.
    Receipt(MsgId, wire::Receipt),
    /// A party is out.
    Revoked(Vec<u8>),
}

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
    /// Receipts that left, and when the letter ends.
    receipts: BTreeMap<(Site, Digest), (wire::StorageReceipt, u64)>,
    effects: BTreeMap<(Site, MsgId), u32>,
    not_taken: BTreeSet<(Site, MsgId)>,
    read: BTreeSet<(Site, MsgId)>,
    revoked: BTreeSet<(Site, Vec<u8>)>,
}

/// The place of a node in the region.
pub(super) fn site_of(node: &[u8]) -> Option<Site> {
    region().members.iter().position(|m| m.node.as_bytes() == node)
}

fn site_of_org(org: &[u8]) -> Option<Site> {
    region().members.iter().position(|m| m.org.as_bytes() == org)
}

/// Whether a mailbox's row says that something happened to a letter. One that is laid aside, and taken up again, lies
/// there as before.
fn is_more_than_laid_aside(row: &Row) -> bool {
    let letter = row.value.as_deref().map(Letter::decode);
    letter.is_some_and(|letter| row.must_be_new || !letter.is_ok_and(|l| l.state == LetterState::Stored as u32))
}

/// Reads what a step says, and holds it against P5: what changes a case, a mailbox, the directory or the evidence has
/// its event in the same commit.
pub(super) fn notes(step: &Step) -> Result<Vec<Note>, Violation> {
    let mut notes = Vec::new();
    let mut act = None;
    for row in &step.rows {
        let had = notes.len();
        read_row(row, &mut notes)?;
        let needs = match row.table {
            Table::Fact | Table::Receipt | Table::Directory | Table::Staff => true,
            Table::Outbox | Table::Taken | Table::Envelope => row.must_be_new && notes.len() > had,
            Table::Mailbox => is_more_than_laid_aside(row),
            _ => false,
        };
        act = act.or(needs.then_some(row.table));
    }
    match act {
        Some(table) if step.events.is_empty() => Err(Violation::new(format!("a row of {table:?} without an event"))),
        _ => Ok(notes),
    }
}

fn read_row(row: &Row, notes: &mut Vec<Note>) -> Result<(), Violation> {
    let Some(value) = row.value.as_deref() else { return Ok(()) };
    match row.table {
        Table::Outbox => {
            let out = Outgoing::decode(value).map_err(Violation::because("an outbox row does not decode"))?;
            notes.push(Note::Outgoing(id(&row.key)?, out));
        }
        Table::Mailbox => {
            Letter::decode(value).map_err(Violation::because("a mailbox row does not decode"))?;
            notes.push(Note::Letter(Digest::try_from(row.key.as_slice()).map_err(Violation::because("a digest"))?));
        }
        Table::Relay => {
            let kept = Kept::decode(value).map_err(Violation::because("a row kept for another does not decode"))?;
            notes.push(Note::Kept(Digest::try_from(kept.digest.as_slice()).map_err(Violation::because("a digest"))?));
        }
        Table::Fact => {
            let case = CaseId::try_from(&row.key[..16]).map_err(Violation::because("a case id"))?;
            read_fact(case, &Fact::decode(value).map_err(Violation::because("a fact does not decode"))?, notes)?;
        }
        Table::Receipt => {
            let signed = wire::Signed::decode(value).map_err(Violation::because("a kept receipt does not decode"))?;
            let said = wire::Receipt::decode(signed.payload.as_slice());
            notes.push(Note::Receipt(id(&row.key[..16])?, said.map_err(Violation::because("a kept receipt"))?));
        }
        Table::Directory if row.key.first() == Some(&b'V') => {
            let subject = row.key.get(1..17).unwrap_or_default();
            notes.push(Note::Revoked(subject.to_vec()));
        }
        _ => {}
    }
    Ok(())
}

fn read_fact(case: CaseId, fact: &Fact, notes: &mut Vec<Note>) -> Result<(), Violation> {
    match fact {
        Fact::MessageIn(MessageIn { msg_id, body, .. }) => {
            notes.push(Note::Effect(id(msg_id)?));
            let body = wire::CaseBody::decode(body.as_slice()).map_err(Violation::because("a kept body"))?;
            if let Some(wire::case_body::What::Withdrawal(w)) = body.what {
                notes.push(Note::Withdrawn(case, w));
            }
        }
        Fact::ConsentWithdrawn(f) => notes.extend(f.withdrawal.clone().map(|w| Note::Withdrawn(case, w))),
        Fact::Stayed(_) => notes.push(Note::Stayed(case)),
        Fact::OpenedHere(f) => notes.push(Note::Read(id(&f.msg_id)?)),
        Fact::RefusedHere(f) => notes.push(Note::NotTaken(id(&f.msg_id)?)),
        Fact::HeldUnread(f) => notes.push(Note::NotTaken(id(&f.msg_id)?)),
        Fact::MessageOut(MessageOut { .. })
        | Fact::Opened(_)
        | Fact::ConsentRecorded(_)
        | Fact::Stored(_)
        | Fact::ReceiptIn(_)
        | Fact::SendFailed(_)
        | Fact::Expired(_)
        | Fact::Recalled(_)
        | Fact::Gap(_)
        | Fact::Logged(_)
        | Fact::PartsErased(_)
        | Fact::TimerFired(_) => {}
    }
    Ok(())
}

fn id(bytes: &[u8]) -> Result<MsgId, Violation> {
    MsgId::try_from(bytes).map_err(Violation::because("a message id"))
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
            | Note::Revoked(_) => {}
        }
    }

    /// Takes what a site committed.
    pub(super) fn committed(&mut self, site: Site, note: &Note) -> Result<(), Violation> {
        match note {
            Note::Outgoing(msg_id, out) => self.outgoing(site, *msg_id, out)?,
            Note::Letter(digest) => drop(self.stored.insert((site, *digest))),
            Note::Kept(digest) => {
                self.stored.insert((site, *digest));
                self.kept.insert(*digest);
            }
            Note::Effect(msg_id) => {
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
                let again = !self.not_taken.insert((site, *msg_id)) || self.effects(site, *msg_id) > 0;
                if again {
                    return Err(Violation::new(format!("P2: message {msg_id} was answered twice by site {site}")));
                }
            }
            Note::Read(msg_id) => drop(self.read.insert((site, *msg_id))),
            Note::Revoked(subject) => {
                self.revoked.insert((site, subject.clone()));
                let out = site_of_org(subject).or_else(|| site_of(subject));
                for mail in self.mail.values_mut().filter(|m| m.from == site && Some(m.to) == out) {
                    mail.stopped = Some("its receiver was revoked");
                }
            }
            Note::Withdrawn(..) | Note::Stayed(_) | Note::Receipt(..) => {}
        }
        Ok(())
    }

    fn outgoing(&mut self, site: Site, msg_id: MsgId, out: &Outgoing) -> Result<(), Violation> {
        let to = site_of(&out.peer_node).ok_or(Violation::new("a message to nobody".into()))?;
        let digest = Digest::try_from(out.digest.as_slice()).map_err(Violation::because("a digest"))?;
        self.by_digest.insert(digest, msg_id);
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
        Ok(())
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
    }

    /// That a message departs was committed.
    pub(super) fn granted(&mut self, msg_id: MsgId) {
        if let Some(mail) = self.mail.get_mut(&msg_id) {
            mail.granted = mail.stopped.is_none();
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
        Ok(())
    }

    /// Her word was committed where this message is: it must not leave any more.
    pub(super) fn stop(&mut self, msg_id: MsgId, why: &'static str) {
        if let Some(mail) = self.mail.get_mut(&msg_id) {
            mail.stopped.get_or_insert(why);
        }
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

//! Alarms: what a coordinator's node raises when nobody says that a person arrived or that a notice was answered, and
//! what both ends of the message hear of it; besides, the other side's own word, proved by its log, that time was over, and
//! that its copy of the case was erased.
//!
//! An alarm is raised once, told to both ends until their nodes took it, and ended by the word that was missing. Rows
//! are under the service key and hold digests, times and organisations, so lateness shows while cases are locked.
//! Refuses an alarm of anybody but a coordinator, and one about an envelope that is not known here.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::alarm::{self, Alarm, AlarmKind};
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::envelope::Opened;
use clearhouse_protocol::erased;
use clearhouse_protocol::ids::{Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::mail::Delivery;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1::{MessageType, RefusalCode, Stage};
use prost::Message as _;
use rand_core::CryptoRng;

use super::desk::Stop;
use super::{Now, Office, Step};
use crate::roles::Actor;

/// Alarms that go on at a coordinator's node, alarms that go on at an end, and words of others that an end holds, at
/// most; and as many that ended. What is beyond is found again at the next look.
pub const ALARMS_MAX: usize = 4096;
/// An alarm that ended is shown so long.
const SHOWN_SECS: u64 = 30 * DAY;

/// Something urgent that was found between the logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub kind: AlarmKind,
    /// The envelope of the notice or the departure.
    pub digest: Digest,
    /// Who sent it.
    pub from: (OrgId, NodeId),
    /// Who owes the answer or the word of the arrival.
    pub to: (OrgId, NodeId),
    /// Since when, unix seconds.
    pub since: u64,
}

/// An alarm as its coordinator's node keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Raised {
    /// AlarmKind.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The envelope.
    #[prost(bytes = "vec", tag = "2")]
    pub digest: Vec<u8>,
    /// Who sent it: organisation and node.
    #[prost(bytes = "vec", tag = "3")]
    pub from: Vec<u8>,
    /// Who owes the word: organisation and node.
    #[prost(bytes = "vec", tag = "4")]
    pub to: Vec<u8>,
    /// Since when the word is missing, unix seconds.
    #[prost(uint64, tag = "5")]
    pub since: u64,
    /// When the alarm was raised, unix seconds.
    #[prost(uint64, tag = "6")]
    pub raised_at: u64,
    /// Its entry in this node's log: the number by which people name it.
    #[prost(uint64, tag = "7")]
    pub entry: u64,
    /// The message that tells the sender's node; empty until it is queued.
    #[prost(bytes = "vec", tag = "8")]
    pub told_from: Vec<u8>,
    /// The same for the other end.
    #[prost(bytes = "vec", tag = "9")]
    pub told_to: Vec<u8>,
    /// When a duty officer took it up; 0 before.
    #[prost(uint64, tag = "10")]
    pub taken_at: u64,
    /// The officer, as colleagues read the name.
    #[prost(string, tag = "11")]
    pub taken_by: String,
    /// When the word came after all; 0 before.
    #[prost(uint64, tag = "12")]
    pub ended_at: u64,
}

impl Raised {
    /// What is missing.
    #[must_use]
    pub fn kind(&self) -> AlarmKind {
        AlarmKind::try_from(self.kind).unwrap_or(AlarmKind::Unspecified)
    }
}

/// An alarm as an end of the message keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heard {
    /// AlarmKind.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The coordinator's organisation.
    #[prost(bytes = "vec", tag = "2")]
    pub org: Vec<u8>,
    /// Since when the word is missing, unix seconds.
    #[prost(uint64, tag = "3")]
    pub since: u64,
    /// When it was heard, unix seconds.
    #[prost(uint64, tag = "4")]
    pub heard_at: u64,
    /// When it was heard that it ended; 0 before.
    #[prost(uint64, tag = "5")]
    pub ended_at: u64,
}

/// The word of the other end, proved by its log, that time was over and nothing had come.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Missed {
    /// When it recorded that, unix seconds, in steps of ten minutes.
    #[prost(uint64, tag = "1")]
    pub at: u64,
    /// When it proved it here, unix seconds.
    #[prost(uint64, tag = "2")]
    pub proved_at: u64,
}

/// The word of the other side that its copy of the case was erased.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TheirsErased {
    /// By which rule.
    #[prost(string, tag = "1")]
    pub rule: String,
    /// When it was heard, unix seconds.
    #[prost(uint64, tag = "2")]
    pub heard_at: u64,
}

/// The two ends of a message, seen from a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The one who sent it.
    Sender,
    /// The one who owes the word.
    Other,
}

/// What is known of alarms.
#[derive(Default)]
pub(super) struct Alarms {
    raised: BTreeMap<(Digest, i32), Raised>,
    heard: BTreeMap<(Digest, i32, NodeId), Heard>,
    missed: BTreeMap<(Digest, NodeId), Missed>,
    erased: BTreeMap<(Digest, NodeId), TheirsErased>,
}

const RAISED: u8 = b'R';
const HEARD: u8 = b'H';
const MISSED: u8 = b'M';
const ERASED: u8 = b'E';

impl Alarms {
    pub(super) fn apply(&mut self, row: &Row) {
        let Some((what, digest, rest)) = split(&row.key) else { return };
        let value = row.value.as_deref();
        match (what, rest.split_first()) {
            (RAISED, Some((kind, []))) => fold(&mut self.raised, (digest, i32::from(*kind)), value),
            (HEARD, Some((kind, node))) => {
                let Ok(node) = NodeId::try_from(node) else { return };
                fold(&mut self.heard, (digest, i32::from(*kind), node), value);
            }
            (MISSED, Some(_)) => {
                let Ok(node) = NodeId::try_from(rest) else { return };
                fold(&mut self.missed, (digest, node), value);
            }
            (ERASED, Some(_)) => {
                let Ok(node) = NodeId::try_from(rest) else { return };
                fold(&mut self.erased, (digest, node), value);
            }
            _ => {}
        }
    }
}

impl Alarms {
    /// The keys of every row about these envelopes that an end of them keeps.
    pub(super) fn keys_about(&self, digests: &BTreeSet<Digest>) -> Vec<Vec<u8>> {
        let heard = self.heard.keys().filter(|(digest, _, _)| digests.contains(digest));
        let heard = heard.map(|(digest, kind, node)| heard_key(*digest, *kind, *node));
        let words = |mark: u8, of: (&Digest, &NodeId)| [&[mark], of.0.0.as_slice(), &of.1.0].concat();
        let missed = self.missed.keys().map(|(digest, node)| (MISSED, digest, node));
        let all = missed.chain(self.erased.keys().map(|(digest, node)| (ERASED, digest, node)));
        let words = all.filter(|(_, digest, _)| digests.contains(digest)).map(|(mark, d, n)| words(mark, (d, n)));
        heard.chain(words).collect()
    }
}

fn heard_key(digest: Digest, kind: i32, node: NodeId) -> Vec<u8> {
    [&[HEARD], digest.0.as_slice(), &[u8::try_from(kind).unwrap_or(0)], &node.0].concat()
}

fn fold<K: Ord, V: prost::Message + Default>(map: &mut BTreeMap<K, V>, key: K, value: Option<&[u8]>) {
    match value.map(V::decode) {
        Some(Ok(value)) => drop(map.insert(key, value)),
        Some(Err(_)) | None => drop(map.remove(&key)),
    }
}

fn split(key: &[u8]) -> Option<(u8, Digest, &[u8])> {
    let (what, rest) = key.split_first()?;
    let (digest, rest) = rest.split_at_checked(Digest::LEN)?;
    Some((*what, Digest::try_from(digest).ok()?, rest))
}

impl Office {
    /// The alarms this coordinator's node raised, ended ones for a while.
    pub fn raised(&self) -> impl Iterator<Item = &Raised> {
        self.alarms.raised.values()
    }

    /// What coordinators said of an envelope: node, and what it said.
    pub fn alarms_about(&self, digest: Digest) -> impl Iterator<Item = (NodeId, &Heard)> {
        let all = self.alarms.heard.range((digest, 0, NodeId([0; NodeId::LEN]))..);
        all.take_while(move |((d, _, _), _)| *d == digest).map(|((_, _, node), heard)| (*node, heard))
    }

    /// The other end's proved word that the time of an envelope was over.
    pub fn missed_about(&self, digest: Digest) -> impl Iterator<Item = (NodeId, &Missed)> {
        let all = self.alarms.missed.range((digest, NodeId([0; NodeId::LEN]))..);
        all.take_while(move |((d, _), _)| *d == digest).map(|((_, node), missed)| (*node, missed))
    }

    /// The word of the other side that its copy of the case of an envelope was erased.
    pub fn theirs_erased(&self, digest: Digest) -> impl Iterator<Item = (NodeId, &TheirsErased)> {
        let all = self.alarms.erased.range((digest, NodeId([0; NodeId::LEN]))..);
        all.take_while(move |((d, _), _)| *d == digest).map(|((_, node), erased)| (*node, erased))
    }

    /// Takes the word of the other side of a case that its copy is gone.
    pub(super) fn take_erased(&self, opened: &Opened, now: u64) -> (Stage, RefusalCode, Step) {
        let node = opened.sender.1;
        let refuse = |code| (Stage::Refused, code, Step::default());
        let Some(said) = erased::check(&opened.inner().body) else { return refuse(RefusalCode::Malformed) };
        let room = ALARMS_MAX.saturating_sub(self.alarms.erased.len());
        let value = TheirsErased { rule: said.rule.clone(), heard_at: now }.encode_to_vec();
        let known = said.digests.iter().filter(|digest| self.mail.is_shared(**digest, node)).take(room);
        let key = |digest: &Digest| [&[ERASED], digest.0.as_slice(), &node.0].concat();
        let rows: Vec<Row> = known.map(|digest| row(key(digest), Some(value.clone()))).collect();
        if rows.is_empty() {
            return refuse(RefusalCode::NotAllowed);
        }
        (Stage::Received, RefusalCode::Unspecified, Step { rows, ..Step::default() })
    }

    /// Alarms that go on: raised here, and heard here.
    #[must_use]
    pub fn alarms_open(&self) -> (usize, usize) {
        let raised = self.alarms.raised.values().filter(|raised| raised.ended_at == 0).count();
        let heard = self.alarms.heard.values().filter(|heard| heard.ended_at == 0).count();
        (raised, heard)
    }

    /// Decides on everything urgent that was found now, and on nothing else: new alarms are raised, those of which
    /// nothing is found any more end. Asking again with the same asks for nothing.
    #[must_use]
    pub fn raise<R: CryptoRng>(&self, found: &[Found], now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        let mut room = ALARMS_MAX.saturating_sub(self.alarms_open().0);
        for found in found {
            let old = self.alarms.raised.get(&(found.digest, found.kind.into()));
            if room == 0 || old.is_some_and(|old| old.ended_at == 0) {
                continue;
            }
            room -= 1;
            let happening = about(AuditEvent::AlarmRaised, found.digest, found.kind, Some(found.to));
            let entry = self.record(&mut step, &happening, now).index;
            step.rows.push(raised_row(&Raised {
                kind: found.kind.into(),
                digest: found.digest.to_vec(),
                from: party_bytes(found.from),
                to: party_bytes(found.to),
                since: found.since,
                raised_at: now.time,
                entry,
                ..Raised::default()
            }));
        }
        let still = |raised: &Raised| found.iter().any(|f| f.digest.0[..] == raised.digest && f.kind == raised.kind());
        for raised in self.raised().filter(|raised| raised.ended_at == 0 && !still(raised)) {
            let Ok(digest) = Digest::try_from(raised.digest.as_slice()) else { continue };
            let happening = about(AuditEvent::AlarmEnded, digest, raised.kind(), party(&raised.to));
            self.record(&mut step, &happening, now);
            // Both ends are told anew.
            let ended = Raised { ended_at: now.time, told_from: vec![], told_to: vec![], ..raised.clone() };
            step.rows.push(raised_row(&ended));
        }
        step
    }

    /// Ends that have to be told of an alarm, or to be told again because the last message ended without an answer.
    #[must_use]
    pub fn alarms_to_tell(&self) -> Vec<(Digest, AlarmKind, End)> {
        let lost = |id: &[u8]| match MsgId::try_from(id).ok().and_then(|id| self.mail.outgoing(id)).map(Delivery::of) {
            Some(Delivery::Queued | Delivery::Stored | Delivery::Settled) => false,
            Some(Delivery::NotOpened | Delivery::Expired | Delivery::Recalled) => true,
            // Forgotten with the outbox, long after its end; or never queued.
            None => id.is_empty(),
        };
        let ends = |raised: &Raised| {
            let digest = Digest::try_from(raised.digest.as_slice()).ok();
            let due = [(lost(&raised.told_from), End::Sender), (lost(&raised.told_to), End::Other)];
            let kind = raised.kind();
            due.into_iter().filter_map(move |(due, end)| Some((digest?, kind, end)).filter(|_| due))
        };
        self.alarms.raised.values().flat_map(ends).collect()
    }

    /// Seals and queues what one end has to be told of an alarm. One at a time: mail to one node keeps its order.
    ///
    /// # Errors
    /// [`Stop::Route`], [`Stop::CannotRead`], [`Stop::OutboxFull`]: it is tried again at the next look.
    pub fn tell_alarm<R: CryptoRng>(
        &self,
        (digest, kind, end): (Digest, AlarmKind, End),
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let mut step = Step::default();
        let Some(raised) = self.alarms.raised.get(&(digest, kind.into())) else { return Ok(step) };
        let side = if end == End::Sender { &raised.from } else { &raised.to };
        let Some(to) = party(side) else { return Ok(step) };
        let body = alarm::compose(&Alarm { kind, digest, since: raised.since, ended: raised.ended_at > 0 });
        let msg_id = self.send_node_mail(MessageType::Alarm, to, &body, &mut step, now)?;
        let mut told = raised.clone();
        *(if end == End::Sender { &mut told.told_from } else { &mut told.told_to }) = msg_id.to_vec();
        step.rows.push(raised_row(&told));
        Ok(step)
    }

    /// Whether the node of an end took what it was told last.
    #[must_use]
    pub fn alarm_reached(&self, raised: &Raised, end: End) -> bool {
        let id = if end == End::Sender { &raised.told_from } else { &raised.told_to };
        let out = MsgId::try_from(id.as_slice()).ok().and_then(|id| self.mail.outgoing(id));
        out.is_some_and(|out| Delivery::of(out) == Delivery::Settled)
    }

    /// A duty officer takes up the alarm of this number: from now on somebody is known to see to it. `None` when there
    /// is none. Taking it up again changes nothing.
    #[must_use]
    pub fn take_up<R: CryptoRng>(&self, entry: u64, actor: &Actor, now: &mut Now<'_, R>) -> Option<Step> {
        let raised = self.raised().find(|raised| raised.entry == entry)?;
        let digest = Digest::try_from(raised.digest.as_slice()).ok()?;
        let mut step = Step::default();
        if raised.taken_at == 0 {
            let happening = about(AuditEvent::AlarmTaken, digest, raised.kind(), party(&raised.to));
            self.record(&mut step, &happening.by(actor.role.code()), now);
            let taken = Raised { taken_at: now.time, taken_by: actor.label.clone(), ..raised.clone() };
            step.rows.push(raised_row(&taken));
        }
        Some(step)
    }

    /// Takes a coordinator's word about an envelope that came here or went from here.
    pub(super) fn take_alarm(&self, opened: &Opened, now: u64) -> (Stage, RefusalCode, Step) {
        let (org, node) = opened.sender;
        let refuse = |code| (Stage::Refused, code, Step::default());
        let Some(alarm) = alarm::check(&opened.inner().body) else { return refuse(RefusalCode::Malformed) };
        let old = self.alarms.heard.get(&(alarm.digest, alarm.kind.into(), node));
        let room = old.is_some() || self.alarms_open().1 < ALARMS_MAX;
        if !room || !self.mail.knows(alarm.digest) || !self.directory.is_coordinator(org) {
            return refuse(RefusalCode::NotAllowed);
        }
        // One that ended and is raised again begins anew.
        let goes_on = old.filter(|old| alarm.ended || old.ended_at == 0);
        let heard = Heard {
            kind: alarm.kind.into(),
            org: org.to_vec(),
            since: alarm.since,
            heard_at: goes_on.map_or(now, |old| old.heard_at),
            ended_at: if alarm.ended { now } else { 0 },
        };
        let key = heard_key(alarm.digest, alarm.kind.into(), node);
        let rows = vec![row(key, Some(heard.encode_to_vec()))];
        (Stage::Received, RefusalCode::Unspecified, Step { rows, ..Step::default() })
    }

    /// The row that keeps the other end's proved word that time was over; `None` when nothing is known of the envelope.
    pub(super) fn note_missed(&self, digest: Digest, node: NodeId, at: u64, now: u64) -> Option<Row> {
        let room = self.alarms.missed.len() < ALARMS_MAX;
        let fresh = room && self.mail.knows(digest) && !self.alarms.missed.contains_key(&(digest, node));
        let key = [&[MISSED], digest.0.as_slice(), &node.0].concat();
        fresh.then(|| row(key, Some(Missed { at, proved_at: now }.encode_to_vec())))
    }

    /// Rows that forget what ended long ago.
    pub(super) fn forget_alarms(&self, now: u64) -> Vec<Row> {
        let raised_since = newest(self.alarms.raised.values().map(|raised| raised.ended_at));
        let heard_since = newest(self.alarms.heard.values().map(|heard| heard.ended_at));
        let past = |ended_at: u64| ended_at > 0 && ended_at.saturating_add(SHOWN_SECS) < now;
        let raised =
            self.alarms.raised.iter().filter(|(_, r)| past(r.ended_at) || (1..raised_since).contains(&r.ended_at));
        let raised = raised.map(|((digest, kind), _)| raised_key(*digest, *kind));
        let heard =
            self.alarms.heard.iter().filter(|(_, h)| past(h.ended_at) || (1..heard_since).contains(&h.ended_at));
        let heard = heard.map(|((digest, kind, node), _)| heard_key(*digest, *kind, *node));
        let missed = self.alarms.missed.iter().filter(|((digest, _), _)| !self.mail.knows(*digest));
        let missed = missed.map(|((digest, node), _)| [&[MISSED], digest.0.as_slice(), &node.0].concat());
        let erased = self.alarms.erased.iter().filter(|((digest, _), _)| !self.mail.knows(*digest));
        let erased = erased.map(|((digest, node), _)| [&[ERASED], digest.0.as_slice(), &node.0].concat());
        raised.chain(heard).chain(missed).chain(erased).map(|key| row(key, None)).collect()
    }
}

/// When the oldest of the newest [`ALARMS_MAX`] ended; 0 when there are fewer. Those before it go.
fn newest(ended: impl Iterator<Item = u64>) -> u64 {
    let mut ended: Vec<u64> = ended.filter(|at| *at > 0).collect();
    ended.sort_unstable();
    ended.len().checked_sub(ALARMS_MAX).and_then(|n| ended.get(n)).copied().unwrap_or(0)
}

fn about(event: AuditEvent, digest: Digest, kind: AlarmKind, peer: Option<(OrgId, NodeId)>) -> Happening {
    let class = if kind == AlarmKind::OverdueArrival { MessageType::Departure } else { MessageType::ReturnNotice };
    Happening { peer, ..Happening::of(event).about(digest, class as u32) }
}

/// Organisation and node of one end, as [`Raised`] keeps them.
#[must_use]
pub fn party(bytes: &[u8]) -> Option<(OrgId, NodeId)> {
    let (org, node) = bytes.split_at_checked(OrgId::LEN)?;
    Some((OrgId::try_from(org).ok()?, NodeId::try_from(node).ok()?))
}

fn party_bytes((org, node): (OrgId, NodeId)) -> Vec<u8> {
    [org.as_bytes(), node.as_bytes()].concat()
}

fn raised_key(digest: Digest, kind: i32) -> Vec<u8> {
    [&[RAISED], digest.0.as_slice(), &[u8::try_from(kind).unwrap_or(0)]].concat()
}

fn raised_row(raised: &Raised) -> Row {
    let digest = Digest::try_from(raised.digest.as_slice()).unwrap_or(Digest([0; 32]));
    row(raised_key(digest, raised.kind), Some(raised.encode_to_vec()))
}

fn row(key: Vec<u8>, value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Alarm, key, value, under: Under::Service, must_be_new: false }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

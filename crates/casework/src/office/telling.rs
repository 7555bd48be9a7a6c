//! What this node tells coordinators of its own log: stretch after stretch, each as an ordinary sealed envelope.
//!
//! A coordinator that took a stretch answers with an ordinary receipt; until then the next one waits, so a coordinator
//! hears a log in order and without a gap. One that lost its memory says so and hears everything again. Mail about logs
//! is itself in the log, but does not by itself make a node tell more: two that tell each other come to rest.

use std::collections::BTreeMap;

use clearhouse_protocol::account::{Shown, compose};
use clearhouse_protocol::audit::{AuditEvent, Happening, unpad};
use clearhouse_protocol::ids::{ConversationId, MsgId, NodeId, OrgId};
use clearhouse_protocol::labels;
use clearhouse_protocol::limits::{ACCOUNT_ENTRIES_MAX, DAY, HOUR};
use clearhouse_protocol::mail::Delivery;
use clearhouse_protocol::mail::is_node_mail;
use clearhouse_protocol::pae::hash;
use clearhouse_protocol::rows::{EventRow, Row, Table, Under};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::{MessageType, RefusalCode, Stage};
use prost::Message as _;
use rand_core::CryptoRng;

use super::desk::Stop;
use super::sending::Parcel;
use super::{Now, Office, Step};

/// How long a node waits between two accounts when the policy does not say.
const PUSH_DEFAULT_SECS: u64 = HOUR;

/// How long a coordinator's node hears nothing at most. A head counts as stale after twice that.
const QUIET_SECS: u64 = DAY;

/// How far one coordinator's node was told.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    /// Entries sent.
    #[prost(uint64, tag = "1")]
    up_to: u64,
    /// Entries it took, by its receipt.
    #[prost(uint64, tag = "2")]
    confirmed: u64,
    /// The account under way; empty when none is.
    #[prost(bytes = "vec", tag = "3")]
    under_way: Vec<u8>,
    /// When the last one was queued, unix seconds.
    #[prost(uint64, tag = "4")]
    at: u64,
    /// The last one was full: more is known to follow.
    #[prost(bool, tag = "5")]
    more: bool,
    /// It refused the last one.
    #[prost(bool, tag = "6")]
    refused: bool,
}

impl Told {
    /// Whether something has to be told without the pause. One that refuses, or that says again and again that it has to
    /// hear everything, is not hurried.
    fn is_pressed(&self, urgent: &Urgent) -> bool {
        !self.refused && urgent.entry >= self.up_to && (self.up_to > 0 || self.at < urgent.at)
    }
}

/// The row of the newest entry that coordinators have to hear of without a pause.
const URGENT: &[u8] = b"urgent";

/// An entry that does not wait for the pause.
#[derive(Clone, PartialEq, prost::Message)]
struct Urgent {
    /// Which.
    #[prost(uint64, tag = "1")]
    entry: u64,
    /// When it was recorded, unix seconds.
    #[prost(uint64, tag = "2")]
    at: u64,
}

/// The row of the largest head that a coordinator cosigned and mirrors.
const MIRRORED: &[u8] = b"mirrored";

/// What coordinators have of this node's log, by their own word: a head that one of them cosigned and mirrors to its end.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AtCoordinators {
    /// Entries under it.
    #[prost(uint64, tag = "1")]
    pub size: u64,
    /// When it was first said, unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
}

/// How far each coordinator's node was told, and up to where they must be told at once.
#[derive(Default)]
pub(super) struct Telling {
    told: BTreeMap<NodeId, Told>,
    urgent: Option<Urgent>,
    mirrored: Option<AtCoordinators>,
}

impl Telling {
    pub(super) fn apply(&mut self, row: &Row) {
        if row.key == URGENT {
            self.urgent = row.value.as_deref().and_then(|value| Urgent::decode(value).ok());
            return;
        }
        if row.key == MIRRORED {
            self.mirrored = row.value.as_deref().and_then(|value| AtCoordinators::decode(value).ok());
            return;
        }
        let Ok(node) = NodeId::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().map(Told::decode) {
            Some(Ok(told)) => drop(self.told.insert(node, told)),
            Some(Err(_)) | None => drop(self.told.remove(&node)),
        }
    }
}

/// A stretch to tell: to whom, from where on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToTell {
    /// The coordinator's node.
    pub to: (OrgId, NodeId),
    /// The first entry it has not been told.
    pub first: u64,
    /// It has not heard for so long that it is told whatever there is, so that a quiet log is not taken for a dead one.
    pub anyway: bool,
}

/// How a coordinator's node stands to this node's log, for a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The node.
    pub node: NodeId,
    /// Entries it took.
    pub took: u64,
    /// It refused the last account.
    pub refused: bool,
}

/// Whether something happened that coordinators have to hear of. Mail about logs, what a mailbox took unopened and
/// receipts alone are not: they go along with the next thing that is.
#[must_use]
pub fn is_telling(entries: &[EventRow]) -> bool {
    let unsaid = [AuditEvent::Deposited, AuditEvent::ReceiptSent];
    let mut openings = entries.iter().filter_map(|row| unpad(&row.opening));
    openings.any(|opening| !unsaid.contains(&opening.event()) && !is_node_mail(opening.msg_class))
}

impl Office {
    /// Coordinators' nodes that may be told something now.
    #[must_use]
    pub fn to_tell(&self, now: u64) -> Vec<ToTell> {
        let pause = match u64::from(self.directory.policy().audit_push_secs) {
            0 => PUSH_DEFAULT_SECS,
            secs => secs,
        };
        let due = |to: (OrgId, NodeId)| {
            let Some(told) = self.telling.told.get(&to.1) else { return Some(ToTell { to, first: 0, anyway: true }) };
            let anyway = now >= told.at.saturating_add(QUIET_SECS);
            let pressing = self.telling.urgent.as_ref().is_some_and(|urgent| told.is_pressed(urgent));
            let rested = pressing || now >= told.at.saturating_add(pause);
            let id = MsgId::try_from(told.under_way.as_slice()).ok();
            match id.and_then(|id| self.mail.outgoing(id)).map(Delivery::of) {
                // Its answer came to somebody who does not remember it: this node, before it was put back from an image.
                Some(Delivery::Stored) if anyway => Some(ToTell { to, first: told.confirmed, anyway }),
                Some(Delivery::Queued | Delivery::Stored) => None,
                // It ended without an answer: what was in it is told again, and no sooner than anything else.
                Some(Delivery::Settled | Delivery::NotOpened | Delivery::Expired | Delivery::Recalled) => {
                    rested.then_some(ToTell { to, first: told.confirmed, anyway })
                }
                None if !told.more && !rested => None,
                None => Some(ToTell { to, first: told.up_to, anyway }),
            }
        };
        self.directory.coordinators(self.me.node, now).into_iter().filter_map(due).collect()
    }

    /// Seals and queues an account of the entries from `tell.first` on, at most [`ACCOUNT_ENTRIES_MAX`], under a head
    /// that covers them.
    ///
    /// # Errors
    /// [`Stop::Route`], [`Stop::CannotRead`], [`Stop::OutboxFull`]: it is tried again at the next look.
    pub fn tell<R: CryptoRng>(
        &self,
        tell: ToTell,
        entries: &[Shown],
        head: &str,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let body = compose(&self.origin, tell.first, entries, head);
        let mut step = Step::default();
        let msg_id = self.send_node_mail(MessageType::Audit, tell.to, &body, &mut step, now)?;
        let old = self.telling.told.get(&tell.to.1).cloned().unwrap_or_default();
        let told = Told {
            up_to: tell.first + entries.len().min(ACCOUNT_ENTRIES_MAX) as u64,
            under_way: msg_id.to_vec(),
            at: now.time,
            more: entries.len() >= ACCOUNT_ENTRIES_MAX,
            ..old
        };
        step.rows.push(told_row(tell.to.1, &told));
        Ok(step)
    }

    /// What a receipt means for the telling: taken, or to be told again.
    pub(super) fn account_answered(&self, msg_id: MsgId, from: NodeId, said: &wire::Receipt) -> Option<Row> {
        let told = self.telling.told.get(&from).filter(|told| told.under_way == msg_id.0)?;
        let ended = Told { under_way: Vec::new(), ..told.clone() };
        let next = if said.stage() == Stage::Received {
            Told { confirmed: told.up_to, refused: false, ..ended }
        } else if said.refusal() == RefusalCode::OutOfOrder {
            // It knows less than it once did. It hears all of it after the pause: one that always says so costs no more.
            Told { confirmed: 0, up_to: 0, more: false, ..ended }
        } else {
            Told { up_to: told.confirmed, more: false, refused: true, ..ended }
        };
        Some(told_row(from, &next))
    }

    /// Rows after which accounts that were under way in an old copy are told again, without the pause: their answers came to
    /// what this node does not remember. Who has them already takes nothing twice.
    pub(super) fn tell_again(&self) -> impl Iterator<Item = Row> {
        let under_way = self.telling.told.iter().filter(|(_, told)| !told.under_way.is_empty());
        under_way.map(|(node, told)| {
            let again = Told { up_to: told.confirmed, under_way: Vec::new(), more: true, ..told.clone() };
            told_row(*node, &again)
        })
    }

    /// The row that says that coordinators have to hear of an entry at once, whatever the pause.
    pub(super) fn urgent_row(&self, entry: u64, now: u64) -> Row {
        Row {
            table: Table::Told,
            key: URGENT.to_vec(),
            value: Some(Urgent { entry, at: now }.encode_to_vec()),
            under: Under::Service,
            must_be_new: false,
        }
    }

    /// Keeps that a coordinator cosigned a head of this size and mirrors all of it; nothing when that is not news.
    #[must_use]
    pub fn has_coordinator(&self, size: u64, now: u64) -> Step {
        if self.telling.mirrored.is_some_and(|known| known.size >= size) {
            return Step::default();
        }
        let row = Row {
            table: Table::Told,
            key: MIRRORED.to_vec(),
            value: Some(AtCoordinators { size, at: now }.encode_to_vec()),
            under: Under::Service,
            must_be_new: false,
        };
        Step { rows: vec![row], ..Step::default() }
    }

    /// What coordinators have of this node's log; `None` before one of them had anything.
    #[must_use]
    pub fn at_coordinators(&self) -> Option<AtCoordinators> {
        self.telling.mirrored
    }

    /// How far each coordinator's node was told.
    #[must_use]
    pub fn told(&self) -> Vec<Standing> {
        let standing =
            |(node, told): (&NodeId, &Told)| Standing { node: *node, took: told.confirmed, refused: told.refused };
        self.telling.told.iter().map(standing).collect()
    }

    /// Seals, queues and records a message of this node about logs. Its conversation is one for each kind, so that none
    /// waits for another kind.
    pub(super) fn send_node_mail<R: CryptoRng>(
        &self,
        kind: MessageType,
        to: (OrgId, NodeId),
        body: &[u8],
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<MsgId, Stop> {
        let msg_type = kind as u32;
        let parts: [&[u8]; 4] = [&self.me.net.0, &self.me.node.0, &to.1.0, &msg_type.to_be_bytes()];
        let parcel = Parcel {
            msg_type,
            body_version: 1,
            to,
            conversation: ConversationId(hash(labels::NODE_MAIL, &parts)),
            body,
            attachments: &[],
            actor: None,
            case: None,
            not_after: u64::MAX,
            remade: 0,
        };
        let queued = self.seal_and_queue(&parcel, step, now)?;
        self.record(step, &Happening::of(AuditEvent::Sent).with(to.0, to.1).about(queued.digest, msg_type), now);
        Ok(queued.msg_id)
    }
}

fn told_row(node: NodeId, told: &Told) -> Row {
    Row {
        table: Table::Told,
        key: node.to_vec(),
        value: Some(told.encode_to_vec()),
        under: Under::Service,
        must_be_new: false,
    }
}

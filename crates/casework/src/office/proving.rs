//! Proofs between the two ends of a message: what this node owes the others, and what they proved to it.
//!
//! Which events somebody is owed a proof of is written down with how far the log was looked through, so that a peer
//! without a way to it today gets its proofs when there is one. Refuses a proof under a head without a quorum of
//! witnesses, where there are any: a log shown to one reader alone proves nothing (protocol section 7.7).

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::audit::{AuditEvent, Happening, unpad};
use clearhouse_protocol::envelope::Opened;
use clearhouse_protocol::ids::{Digest, NodeId, OrgId};
use clearhouse_protocol::limits::PROVED_ENTRIES_MAX;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::proofs::{self, Concerns, Proved, concerns};
use clearhouse_protocol::rows::{EventRow, Row, Table, Under};
use clearhouse_wire::v1::{MessageType, RefusalCode, Stage};
use prost::Message as _;
use rand_core::CryptoRng;

use super::desk::Stop;
use super::{Now, Office, Step};

/// Proofs owed to one node at most. Beyond it the oldest go: it has had no way to it for weeks, and a coordinator has
/// the same entries.
pub const OWED_MAX: usize = 4096;
/// The row that says how far the log was looked through.
const CURSOR: &[u8] = b"cursor";

/// What one node is owed.
#[derive(Clone, PartialEq, prost::Message)]
struct Owed {
    /// Its organisation.
    #[prost(bytes = "vec", tag = "1")]
    org: Vec<u8>,
    /// Entries, in order.
    #[prost(uint64, repeated, tag = "2")]
    entries: Vec<u64>,
}

/// What is owed, and how far the log was looked through.
#[derive(Default)]
pub(super) struct Proving {
    cursor: u64,
    owed: BTreeMap<NodeId, Owed>,
}

impl Proving {
    pub(super) fn apply(&mut self, row: &Row) {
        if row.key == CURSOR {
            let cursor = row.value.as_deref().and_then(|value| value.try_into().ok());
            self.cursor = cursor.map_or(0, u64::from_be_bytes);
            return;
        }
        let Ok(node) = NodeId::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().map(Owed::decode) {
            Some(Ok(owed)) => drop(self.owed.insert(node, owed)),
            Some(Err(_)) | None => drop(self.owed.remove(&node)),
        }
    }
}

impl Proving {
    /// Rows after which nobody is owed a proof of these entries: they cannot be opened any more.
    pub(super) fn without(&self, entries: &BTreeSet<u64>) -> Vec<Row> {
        let touched = self.owed.iter().filter(|(_, owed)| owed.entries.iter().any(|index| entries.contains(index)));
        let row = |(node, owed): (&NodeId, &Owed)| {
            let mut left = owed.clone();
            left.entries.retain(|index| !entries.contains(index));
            service_row(node.as_bytes(), (!left.entries.is_empty()).then(|| left.encode_to_vec()))
        };
        touched.map(row).collect()
    }
}

impl Office {
    /// How far the log was looked through for what others are owed.
    #[must_use]
    pub fn proofs_cursor(&self) -> u64 {
        self.proving.cursor
    }

    /// Writes down what is owed for these entries, the next of the log, and that they were looked through.
    #[must_use]
    pub fn owe(&self, up_to: u64, entries: &[EventRow]) -> Step {
        let mut fresh: BTreeMap<NodeId, Owed> = BTreeMap::new();
        for row in entries {
            let Some(opening) = unpad(&row.opening).filter(|opening| concerns(opening).is_some()) else { continue };
            let Ok(node) = NodeId::try_from(opening.peer_node.as_slice()) else { continue };
            let held = || self.proving.owed.get(&node).cloned().unwrap_or_default();
            let owed = fresh.entry(node).or_insert_with(held);
            owed.org = opening.peer_org;
            owed.entries.push(row.index);
        }
        let mut rows = vec![service_row(CURSOR, Some(up_to.to_be_bytes().to_vec()))];
        for (node, mut owed) in fresh {
            let over = owed.entries.len().saturating_sub(OWED_MAX);
            owed.entries.drain(..over);
            rows.push(service_row(node.as_bytes(), Some(owed.encode_to_vec())));
        }
        Step { rows, ..Step::default() }
    }

    /// Who is owed proofs of which entries, as many as one message takes.
    #[must_use]
    pub fn owed(&self) -> Vec<((OrgId, NodeId), Vec<u64>)> {
        let first = |(node, owed): (&NodeId, &Owed)| {
            let org = OrgId::try_from(owed.org.as_slice()).ok()?;
            Some(((org, *node), owed.entries.iter().copied().take(PROVED_ENTRIES_MAX).collect()))
        };
        self.proving.owed.iter().filter_map(first).collect()
    }

    /// Whether somebody is still owed the proof of this entry.
    #[must_use]
    pub fn owed_for(&self, index: u64) -> bool {
        self.proving.owed.values().any(|owed| owed.entries.contains(&index))
    }

    /// Seals and queues the proofs of these entries under a head; they are owed no more.
    ///
    /// # Errors
    /// [`Stop::Route`], [`Stop::CannotRead`], [`Stop::OutboxFull`]: they stay owed.
    pub fn send_proofs<R: CryptoRng>(
        &self,
        to: (OrgId, NodeId),
        head: &str,
        entries: &[(EventRow, Vec<Hash>)],
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let mut step = Step::default();
        let body = proofs::compose(head, entries);
        self.send_node_mail(MessageType::Proofs, to, &body, &mut step, now)?;
        let mut owed = self.proving.owed.get(&to.1).cloned().unwrap_or_default();
        owed.entries.retain(|index| !entries.iter().any(|(row, _)| row.index == *index));
        let left = (!owed.entries.is_empty()).then(|| owed.encode_to_vec());
        step.rows.push(service_row(to.1.as_bytes(), left));
        Ok(step)
    }

    /// Takes proofs of another node: the messages they are about are marked, the texts are kept as evidence. Nobody
    /// answers them.
    pub(super) fn take_proofs<R: CryptoRng>(&self, opened: &Opened, now: &mut Now<'_, R>) -> Step {
        let (org, node) = opened.sender;
        let mut step = Step::default();
        step.rows.extend(self.mail.take(opened, Stage::Received, RefusalCode::Unspecified));
        let proved = self.proved(opened, now.time);
        let event = if proved.is_some() { AuditEvent::ReceiptReceived } else { AuditEvent::Rejected };
        for proved in proved.unwrap_or_default() {
            let mark = match proved.concerns() {
                Concerns::Sent => self.mail.sending_proved(proved.digest(), now.time),
                Concerns::Got => self.mail.fate_proved(proved.digest(), node, now.time),
                Concerns::Missed => self.note_missed(proved.digest(), node, proved.opening().time, now.time),
            };
            // Twice about one message in one body: the first mark stands.
            step.rows.extend(mark.filter(|mark| !step.rows.iter().any(|r| r.table == mark.table && r.key == mark.key)));
            step.rows.push(evidence_row(&proved));
        }
        self.record(
            &mut step,
            &Happening::of(event).with(org, node).about(opened.digest, MessageType::Proofs as u32),
            now,
        );
        step
    }

    fn proved(&self, opened: &Opened, now: u64) -> Option<Vec<Proved>> {
        let node = opened.sender.1;
        let key = self.directory.log_key(node)?;
        let (head, proved) = proofs::check(&opened.inner().body, self.me.net, &key, self.me.node).ok()?;
        let quorum = self.directory.quorum(node, now);
        let alone = quorum.witnesses().is_empty();
        (alone || quorum.standing(&head).is_ok_and(|standing| standing.reached)).then_some(proved)
    }
}

/// The key of the kept proof that an event about an envelope is in somebody's log.
#[must_use]
pub fn evidence_key(proved: &Proved) -> Vec<u8> {
    evidence_key_of(proved.digest(), proved.opening().event)
}

/// Every key under which a proof about an envelope may be kept.
pub(super) fn evidence_keys(digest: Digest) -> impl Iterator<Item = Vec<u8>> {
    (1..=AuditEvent::ErasureCalledOff as i32).map(move |event| evidence_key_of(digest, event))
}

fn evidence_key_of(digest: Digest, event: i32) -> Vec<u8> {
    [digest.as_bytes(), &event.to_be_bytes()].concat()
}

fn evidence_row(proved: &Proved) -> Row {
    Row {
        table: Table::Receipt,
        key: evidence_key(proved),
        value: Some(proved.evidence().into_bytes()),
        under: Under::Evidence,
        must_be_new: false,
    }
}

fn service_row(key: &[u8], value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Proving, key: key.to_vec(), value, under: Under::Service, must_be_new: false }
}

//! How messages that went come to their end: answered, out of time, taken back. Refuses to recall what may have left.

use super::outgoing::envelope_row;
use super::{Delivery, Mailroom, Outgoing, service_row};
use crate::ids::{Digest, MsgId, NodeId};
use crate::rows::{Row, Table};

impl Mailroom {
    /// Rows that close a message because its recipient answered. `None` when it is not ours or already closed.
    #[must_use]
    pub fn settle(&self, msg_id: MsgId, from: NodeId, now: u64) -> Option<Vec<Row>> {
        let old = self.outgoing.get(&msg_id).filter(|o| o.peer_node == from.0)?;
        if Delivery::of(old) == Delivery::Settled {
            return None;
        }
        let stored_at = if old.stored_at == 0 { now } else { old.stored_at };
        let row = Outgoing {
            state: Delivery::Settled as u32,
            settled_at: now,
            stored_at,
            locked: false,
            fault: 0,
            ..old.clone()
        };
        let mut rows = vec![service_row(Table::Outbox, msg_id.as_bytes(), Some(&row))];
        rows.extend(self.drop_envelope(old));
        Some(rows)
    }

    /// The row that marks a message as one whose fate is in the other node's log, by a proof that came from `from`;
    /// `None` when there is nothing to mark.
    #[must_use]
    pub fn fate_proved(&self, digest: Digest, from: NodeId, now: u64) -> Option<Row> {
        let msg_id = *self.by_digest.get(&digest)?;
        let old = self.outgoing.get(&msg_id).filter(|o| o.peer_node == from.0 && o.proved_at == 0)?;
        Some(service_row(Table::Outbox, msg_id.as_bytes(), Some(&Outgoing { proved_at: now, ..old.clone() })))
    }

    /// Messages whose time ran out unanswered.
    #[must_use]
    pub fn expired(&self, now: u64) -> Vec<MsgId> {
        self.open().filter(|(_, o)| o.expires <= now).map(|(id, _)| id).collect()
    }

    /// Rows that end a message, expired or recalled. The row stays, so the end can be shown.
    #[must_use]
    pub fn end(&self, msg_id: MsgId, how: Delivery, now: u64) -> Vec<Row> {
        let Some(old) = self.outgoing.get(&msg_id) else { return Vec::new() };
        let row = Outgoing { state: how as u32, settled_at: now, statement: Vec::new(), ..old.clone() };
        let mut rows = vec![service_row(Table::Outbox, msg_id.as_bytes(), Some(&row))];
        rows.extend(self.drop_envelope(old));
        rows
    }

    /// Whether a message certainly has not left this machine and can be recalled.
    #[must_use]
    pub fn can_recall(&self, msg_id: MsgId) -> bool {
        let here = |o: &Outgoing| Delivery::of(o) == Delivery::Queued && !o.may_have_left && !o.departing;
        self.outgoing.get(&msg_id).is_some_and(here)
    }

    /// Whether a message still waits here to be carried, even if an earlier attempt may have got through.
    #[must_use]
    pub fn is_waiting(&self, msg_id: MsgId) -> bool {
        self.outgoing.get(&msg_id).is_some_and(|o| Delivery::of(o) == Delivery::Queued)
    }

    pub(super) fn drop_envelope(&self, outgoing: &Outgoing) -> Option<Row> {
        Digest::try_from(outgoing.digest.as_slice()).ok().map(|digest| envelope_row(digest, None))
    }
}

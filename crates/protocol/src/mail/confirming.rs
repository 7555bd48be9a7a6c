//! Whether receipts opened there. Nobody answers a receipt: that it is stored ends it here, and nothing would ever bring it
//! again if its recipient's node could not open it, because one of two clocks was wrong or a key had just gone. So the mailbox
//! that stored one is asked after it a few times, and the words are kept until it says that they were read.

use super::{Attempt, Delivery, Mailroom, Outgoing, service_row};
use crate::ids::MsgId;
use crate::limits::{RECEIPT_ASK_SECS, RECEIPT_ASKS_MAX};
use crate::rows::{Row, Table};

impl Mailroom {
    /// Whether a receipt is stored there, and nobody said yet whether it opened.
    #[must_use]
    pub fn is_unconfirmed(&self, msg_id: MsgId) -> bool {
        self.unconfirmed.contains(&msg_id)
    }

    fn unconfirmed(&self) -> impl Iterator<Item = (MsgId, &Outgoing)> {
        self.unconfirmed.iter().filter_map(|id| Some((*id, self.outgoing.get(id)?)))
    }

    pub(super) fn receipts_to_ask(&self, now: u64) -> impl Iterator<Item = MsgId> {
        self.unconfirmed().filter(move |(_, o)| o.next_try <= now).map(|(id, _)| id)
    }

    pub(super) fn next_receipt_to_ask(&self) -> Option<u64> {
        self.unconfirmed().map(|(_, o)| o.next_try).min()
    }

    /// The row that records how a question about a stored receipt ended; `None` when nothing was asked.
    pub(super) fn asked(&self, msg_id: MsgId, attempt: Attempt, now: u64) -> Option<Row> {
        let old = self.outgoing.get(&msg_id).filter(|o| is_unconfirmed(o))?;
        let mut row = old.clone();
        row.attempts = row.attempts.saturating_add(1);
        // Pauses of 1, 4, 16 ... times the first: it may lie there while their people have locked their node.
        let pause = RECEIPT_ASK_SECS << (2 * row.attempts.min(RECEIPT_ASKS_MAX));
        row.next_try = now.saturating_add(pause);
        let told = match attempt {
            // A keeper knows no more than that it was fetched.
            Attempt::Taken | Attempt::NotOpened | Attempt::Fetched | Attempt::Lost => true,
            Attempt::Stored { .. } | Attempt::StoredAt { .. } | Attempt::Failed { .. } | Attempt::Unclear { .. } => {
                false
            }
        };
        if told || row.attempts >= RECEIPT_ASKS_MAX {
            row.statement.clear();
        }
        Some(service_row(Table::Outbox, msg_id.as_bytes(), Some(&row)))
    }
}

pub(super) fn is_unconfirmed(outgoing: &Outgoing) -> bool {
    Delivery::of(outgoing) == Delivery::Settled && !outgoing.statement.is_empty()
}

//! Whether receipts opened there. Nobody answers a receipt: that it is stored ends it here, and nothing would ever bring it
//! again if its recipient's node could not open it, because one of two clocks was wrong or a key had just gone. So the mailbox
//! that stored one is asked after it a few times, and the words are kept until it says that they were read.

use super::{Attempt, Delivery, Mailroom, Outgoing, service_row};
use crate::ids::MsgId;
use crate::limits::{RECEIPT_ASK_SECS, RECEIPT_ASKS_MAX};
use crate::rows::{Row, Table};

/// The longest pause between two questions.
const PAUSE_MAX_SECS: u64 = RECEIPT_ASK_SECS << (2 * RECEIPT_ASKS_MAX);

impl Mailroom {
    /// Whether a receipt is stored there, and nobody said yet whether it opened.
    #[must_use]
    pub fn is_unconfirmed(&self, msg_id: MsgId) -> bool {
        self.outgoing.get(&msg_id).is_some_and(is_unconfirmed)
    }

    /// Messages whose mailbox is to be asked again what became of them, the longest due first: letters stored there, and
    /// receipts that may not have opened. One by one: after a busy hour there are many times more than anybody asks after at once.
    pub fn to_ask(&self, now: u64) -> impl Iterator<Item = MsgId> + '_ {
        let due = self.asks.iter().take_while(move |(at, _)| *at <= now);
        // No pause between two questions is longer: a later one was set by a clock that was wrong.
        let latest = now.saturating_add(PAUSE_MAX_SECS);
        let misset = self.asks.iter().rev().take_while(move |(at, _)| *at > latest);
        let due = due.chain(misset).map(|(_, id)| *id);
        // A letter that ran out is not asked after any more; the next beat ends it.
        let lives = move |id: &MsgId| self.outgoing.get(id).is_some_and(|o| is_unconfirmed(o) || o.expires > now);
        due.filter(lives)
    }

    pub(super) fn next_to_ask(&self) -> Option<u64> {
        self.asks.first().map(|(at, _)| *at)
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

/// Whether somebody has it, and it is asked after at its `next_try`.
pub(super) fn is_asked_after(outgoing: &Outgoing) -> bool {
    Delivery::of(outgoing) == Delivery::Stored || is_unconfirmed(outgoing)
}

fn is_unconfirmed(outgoing: &Outgoing) -> bool {
    Delivery::of(outgoing) == Delivery::Settled && !outgoing.statement.is_empty()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::fixture::NOW;

    #[test]
    fn who_is_asked_after_follows_from_the_rows_however_they_came() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut room = Mailroom::default();
        let states = [Delivery::Queued, Delivery::Stored, Delivery::Settled, Delivery::NotOpened, Delivery::Expired];
        for _ in 0..2_000 {
            let mut below = |n: u64| rng.next_u64() % n;
            let (id, state) = (MsgId([below(40) as u8; 16]), states[below(5) as usize]);
            let statement = vec![1; below(2) as usize];
            let (next_try, expires) = (NOW + below(50), NOW + below(50));
            let row = Outgoing { state: state as u32, next_try, expires, statement, ..Outgoing::default() };
            room.apply(&service_row(Table::Outbox, id.as_bytes(), (below(9) > 0).then_some(&row)));
            let now = NOW + below(60);
            let is_due = |o: &Outgoing| match Delivery::of(o) {
                Delivery::Stored => o.expires > now,
                Delivery::Settled => !o.statement.is_empty(),
                Delivery::Queued | Delivery::NotOpened | Delivery::Expired | Delivery::Recalled => false,
            };
            let due = room.all_outgoing().filter(|(_, o)| is_due(o) && o.next_try <= now);
            let mut expected: Vec<(u64, MsgId)> = due.map(|(id, o)| (o.next_try, id)).collect();
            expected.sort_unstable();
            let expected: Vec<MsgId> = expected.into_iter().map(|(_, id)| id).collect();
            assert_eq!(room.to_ask(now).collect::<Vec<_>>(), expected, "the longest due first");
        }
    }
}

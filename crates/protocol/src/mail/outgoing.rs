//! Messages that go: durable before the first attempt, tried until stored, kept until answered, never silently lost.
//!
//! Within a conversation a message waits for the one before it to be stored, so an honest mailbox never sees them
//! out of order. That an attempt begins is written down before its first byte leaves ([`Mailroom::depart`]): a recall
//! ends what certainly has not left, whatever was under way and whoever crashed; for anything else a withdrawal has to
//! be sent.

use std::collections::BTreeMap;

use super::{Mailroom, Outgoing, is_unanswered, service_row};
use crate::envelope::{Sealed, body_digest};
use crate::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId, PrekeyId, StaffId};
use crate::limits::{BACKOFF_FIRST_SECS, BACKOFF_MAX_SECS, KEEPER_LOST_ASKS, OUTBOX_MAX, RECEIPT_ASK_SECS};
use crate::rows::{Row, Table, Under};
use clearhouse_wire::v1::MessageType;
use rand_core::CryptoRng;

/// Where an outgoing message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Delivery {
    /// Durable here, not yet stored there.
    Queued = 1,
    /// On disk in the recipient's mailbox, not yet opened.
    Stored = 2,
    /// Answered by the recipient's node: taken or refused.
    Settled = 3,
    /// The recipient's node could not open it.
    NotOpened = 4,
    /// Its time ran out unanswered.
    Expired = 5,
    /// Taken back before it left.
    Recalled = 6,
}

impl Delivery {
    /// Reads the number on disk; an unknown one counts as queued, the state that loses nothing.
    #[must_use]
    pub fn of(row: &Outgoing) -> Self {
        [Self::Stored, Self::Settled, Self::NotOpened, Self::Expired, Self::Recalled]
            .into_iter()
            .find(|s| *s as u32 == row.state)
            .unwrap_or(Self::Queued)
    }
}

/// A sealed message to be queued.
pub struct Outbound<'a> {
    /// The sealed envelope.
    pub sealed: &'a Sealed,
    /// The message.
    pub msg_id: MsgId,
    /// To whom.
    pub peer: (OrgId, NodeId),
    /// Its conversation and place.
    pub conversation: ConversationId,
    /// Its place in the conversation.
    pub seq: u64,
    /// MessageType number.
    pub msg_type: u32,
    /// The body, for the chain.
    pub body: &'a [u8],
    /// When the envelope ends.
    pub expires: u64,
    /// The local case, if it belongs to one.
    pub case: Option<CaseId>,
    /// The prekey it is sealed to.
    pub prekey: PrekeyId,
    /// What it names as the body before it.
    pub prev: Option<[u8; 32]>,
    /// For whom it goes.
    pub actor: Option<StaffId>,
    /// It does not leave by itself before this, unix seconds; 0 at once.
    pub not_before: u64,
    /// A receipt: how often it was made again before.
    pub remade: u32,
}

/// How an attempt to deposit, or a question about a deposit, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// The mailbox has it on disk and signed for it.
    Stored {
        /// The recipient's people have locked their node.
        locked: bool,
    },
    /// A node that keeps a mailbox for the recipient has it on disk and signed for it; the recipient has to fetch it.
    StoredAt {
        /// That node.
        keeper: NodeId,
    },
    /// The keeper says that the recipient's node has it on its own disk. The answer travels by itself.
    Fetched,
    /// Nothing left this machine, or it was refused before it was taken. The code is for people.
    Failed {
        /// A stable number of the failure.
        fault: u32,
    },
    /// It may have arrived: the connection broke after bytes were sent.
    Unclear {
        /// A stable number of the failure.
        fault: u32,
    },
    /// The mailbox says it was opened; its receipt travels by itself.
    Taken,
    /// The recipient's node signed that it could not open it.
    NotOpened,
    /// The mailbox does not know it (any more).
    Lost,
}

impl Mailroom {
    /// An outgoing message.
    #[must_use]
    pub fn outgoing(&self, msg_id: MsgId) -> Option<&Outgoing> {
        self.outgoing.get(&msg_id)
    }

    /// Every outgoing message, by id.
    pub fn all_outgoing(&self) -> impl Iterator<Item = (MsgId, &Outgoing)> {
        self.outgoing.iter().map(|(id, o)| (*id, o))
    }

    /// Everything that ever went out in a conversation with an organisation: messages of the case and receipts.
    pub fn in_conversation(
        &self,
        conversation: ConversationId,
        org: OrgId,
    ) -> impl Iterator<Item = (MsgId, &Outgoing)> {
        let of = move |o: &Outgoing| o.conversation == conversation.0 && o.peer_org == org.0;
        self.all_outgoing().filter(move |(_, o)| of(o))
    }

    /// Whether a message has not come to its end: it may still leave, or its answer may still come.
    #[must_use]
    pub fn is_under_way(&self, msg_id: MsgId) -> bool {
        self.open.contains(&msg_id)
    }

    /// Whether the outbox takes one more.
    #[must_use]
    pub fn outbox_has_room(&self) -> bool {
        self.open.len() < OUTBOX_MAX
    }

    /// Rows that make a sealed message durable and start its way out. `staged` are those of the same commit so far: what came
    /// in it, and what leaves in it before, is not forgotten.
    #[must_use]
    pub fn queue(&self, staged: &[Row], out: &Outbound<'_>, now: u64) -> Vec<Row> {
        let row = Outgoing {
            digest: out.sealed.digest.to_vec(),
            conversation: out.conversation.to_vec(),
            seq: out.seq,
            peer_org: out.peer.0.to_vec(),
            peer_node: out.peer.1.to_vec(),
            msg_type: out.msg_type,
            queued_at: now,
            expires: out.expires,
            state: Delivery::Queued as u32,
            next_try: now.max(out.not_before),
            case: out.case.map(CaseId::to_vec).unwrap_or_default(),
            prekey: out.prekey.to_vec(),
            prev_digest: out.prev.map(Vec::from).unwrap_or_default(),
            actor: out.actor.map(StaffId::to_vec).unwrap_or_default(),
            statement: if out.msg_type == MessageType::Receipt as u32 { out.body.to_vec() } else { Vec::new() },
            remade: out.remade,
            ..Outgoing::default()
        };
        let mut entry = service_row(Table::Outbox, out.msg_id.as_bytes(), Some(&row));
        entry.must_be_new = true;
        let conversation = (out.conversation, out.peer.1);
        let thread = self.sent(staged, conversation, out.seq, body_digest(out.msg_id, out.body));
        vec![entry, envelope_row(out.sealed.digest, Some(out.sealed.bytes.clone())), thread]
    }

    /// Rows that put a newer sealing of a message, to another prekey, in the place of its old one.
    #[must_use]
    pub fn reseal(&self, msg_id: MsgId, sealed: &Sealed, prekey: PrekeyId, now: u64) -> Vec<Row> {
        let Some(old) = self.outgoing.get(&msg_id) else { return Vec::new() };
        let mut rows = Vec::new();
        if let Ok(digest) = Digest::try_from(old.digest.as_slice()) {
            rows.push(envelope_row(digest, None));
        }
        let row = Outgoing {
            digest: sealed.digest.to_vec(),
            prekey: prekey.to_vec(),
            state: Delivery::Queued as u32,
            attempts: 0,
            next_try: now,
            fault: 0,
            ..old.clone()
        };
        rows.push(service_row(Table::Outbox, msg_id.as_bytes(), Some(&row)));
        rows.push(envelope_row(sealed.digest, Some(sealed.bytes.clone())));
        rows
    }

    /// Messages to deposit now: due, and with nothing of their conversation still ahead of them. What was never tried and
    /// only waits for its time goes with the first message behind it that does not: nobody's word waits for a receipt.
    #[must_use]
    pub fn due(&self, now: u64) -> Vec<MsgId> {
        /// A conversation and a peer.
        type Thread<'a> = (&'a [u8], &'a [u8]);
        let mut first: BTreeMap<Thread<'_>, (u64, MsgId, u64)> = BTreeMap::new();
        let mut soonest: BTreeMap<Thread<'_>, u64> = BTreeMap::new();
        for (id, o) in self.open() {
            if Delivery::of(o) != Delivery::Queued || o.expires <= now {
                continue;
            }
            let thread = (&o.conversation[..], &o.peer_node[..]);
            let slot = first.entry(thread).or_insert((o.seq, id, o.next_try));
            if o.seq < slot.0 {
                *slot = (o.seq, id, o.next_try);
            }
            soonest.entry(thread).and_modify(|at: &mut u64| *at = o.next_try.min(*at)).or_insert(o.next_try);
        }
        for (thread, slot) in &mut first {
            if self.outgoing.get(&slot.1).is_some_and(|o| o.attempts == 0) {
                slot.2 = soonest.get(thread).map_or(slot.2, |at| slot.2.min(*at));
            }
        }
        let was_tried = |id: &MsgId| self.outgoing.get(id).is_some_and(|o| o.attempts > 0);
        // No pause between two attempts is longer: a later one was set by a clock that was wrong.
        let latest = now.saturating_add(BACKOFF_MAX_SECS);
        let is_due = |id: &MsgId, at: u64| at <= now || at > latest && was_tried(id);
        first.into_values().filter(|(_, id, at)| is_due(id, *at)).map(|(_, id, _)| id).collect()
    }

    /// Whether an attempt to carry this may begin now, and the rows that say so. They must be durable before anything
    /// leaves; from then on the message is not recalled until [`Mailroom::attempted`] says that nothing left. `None`
    /// when it does not wait any more: it ended, was recalled, or is stored.
    #[must_use]
    pub fn depart(&self, msg_id: MsgId, now: u64) -> Option<Vec<Row>> {
        let old = self.outgoing.get(&msg_id).filter(|o| Delivery::of(o) == Delivery::Queued && o.expires > now)?;
        if old.may_have_left {
            return Some(Vec::new());
        }
        // An attempt that began and never ended may have got through.
        let row = Outgoing { departing: true, may_have_left: old.departing, ..old.clone() };
        Some(vec![service_row(Table::Outbox, msg_id.as_bytes(), Some(&row))])
    }

    pub(super) fn open(&self) -> impl Iterator<Item = (MsgId, &Outgoing)> {
        self.open.iter().filter_map(|id| Some((*id, self.outgoing.get(id)?)))
    }

    /// Rows that make everything under way due now, because a person asked for it; but not what was never tried and waits for
    /// its time.
    #[must_use]
    pub fn hurry(&self, now: u64) -> Vec<Row> {
        let row = |(id, o): (MsgId, &Outgoing)| {
            service_row(Table::Outbox, id.as_bytes(), Some(&Outgoing { next_try: now, ..o.clone() }))
        };
        self.open().filter(|(_, o)| o.attempts > 0 || Delivery::of(o) != Delivery::Queued).map(row).collect()
    }

    /// When the outbox next wants to be looked at, if ever.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let letters = self.open().map(|(_, o)| o.next_try.min(o.expires));
        letters.chain(self.next_to_ask()).min()
    }

    /// Rows that record how an attempt ended. An attempt on a message that already ended changes nothing.
    pub fn attempted(&self, msg_id: MsgId, attempt: Attempt, now: u64, rng: &mut impl CryptoRng) -> Vec<Row> {
        let Some(old) = self.outgoing.get(&msg_id) else { return Vec::new() };
        if !is_open(old) {
            return self.asked(msg_id, attempt, now).into_iter().collect();
        }
        let mut row = old.clone();
        row.attempts = row.attempts.saturating_add(1);
        row.next_try = now + backoff(row.attempts, rng);
        row.departing = false;
        let mut rows = Vec::new();
        match attempt {
            Attempt::Stored { .. } | Attempt::StoredAt { .. } => {
                if Delivery::of(old) == Delivery::Queued {
                    row.stored_at = now;
                    row.attempts = 0;
                    row.next_try = now + backoff(1, rng);
                }
                row.state = Delivery::Stored as u32;
                row.locked = attempt == Attempt::Stored { locked: true };
                row.keeper = if let Attempt::StoredAt { keeper } = attempt { keeper.to_vec() } else { Vec::new() };
                row.unanswered = 0;
                row.fault = 0;
                row.may_have_left = true;
                // Nobody answers a receipt or a proof: being stored is its end. Whether a receipt opened is asked later.
                if is_unanswered(row.msg_type) {
                    row.state = Delivery::Settled as u32;
                    row.settled_at = now;
                    row.next_try = now.saturating_add(RECEIPT_ASK_SECS);
                    rows.extend(self.drop_envelope(old));
                }
            }
            Attempt::Failed { fault } => {
                row.fault = fault;
                miss_keeper(&mut row, now);
            }
            Attempt::Unclear { fault } => {
                row.fault = fault;
                row.may_have_left = true;
                miss_keeper(&mut row, now);
            }
            Attempt::Taken | Attempt::Fetched => {
                row.locked = false;
                row.keeper.clear();
                row.unanswered = 0;
            }
            Attempt::NotOpened => {
                row.state = Delivery::NotOpened as u32;
                row.settled_at = now;
            }
            Attempt::Lost => {
                row.state = Delivery::Queued as u32;
                row.next_try = now;
                row.keeper.clear();
                row.unanswered = 0;
            }
        }
        rows.push(service_row(Table::Outbox, msg_id.as_bytes(), Some(&row)));
        rows
    }
}

pub(super) fn is_open(outgoing: &Outgoing) -> bool {
    matches!(Delivery::of(outgoing), Delivery::Queued | Delivery::Stored)
}

/// A message whose keeper does not answer any more goes to the recipient's next mailbox. It may be there twice then;
/// the recipient takes it once.
fn miss_keeper(row: &mut Outgoing, now: u64) {
    if Delivery::of(row) != Delivery::Stored || row.keeper.is_empty() {
        return;
    }
    row.unanswered = row.unanswered.saturating_add(1);
    if row.unanswered >= KEEPER_LOST_ASKS {
        row.state = Delivery::Queued as u32;
        row.next_try = now;
        row.keeper.clear();
        row.unanswered = 0;
    }
}

pub(super) fn envelope_row(digest: Digest, bytes: Option<Vec<u8>>) -> Row {
    Row { table: Table::Envelope, key: digest.to_vec(), value: bytes, under: Under::Letter(digest), must_be_new: false }
}

/// Exponential pause with jitter: between half and the whole of 2, 4, 8 ... seconds, at most 15 minutes.
fn backoff(attempts: u32, rng: &mut impl CryptoRng) -> u64 {
    let whole = BACKOFF_FIRST_SECS.saturating_mul(1 << (attempts - 1).min(16)).min(BACKOFF_MAX_SECS);
    let half = whole / 2;
    half + rng.next_u64() % (whole - half + 1)
}

//! What lies in the mailboxes kept for others, and for a while what became of it.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::envelope::Outside;
use crate::ids::{Digest, MailboxId};
use crate::labels::RELAYED;
use crate::limits::{
    HOUR, MAILBOX_BYTES_MAX, MAILBOX_ITEMS_MAX, RELAY_BYTES_MAX, RELAY_ENDED_MAX, RELAY_ENDS_AT_ONCE, RELAY_ITEMS_MAX,
    RELAY_KEEP_SECS, RELAY_TOLD_SECS,
};
use crate::mail::{Arrival, DepositFault};
use crate::pae::hash;
use crate::rows::{Row, Table, Under};

/// A random name of one envelope in one mailbox: the key of its row says nothing of its arrival.
pub type Handle = [u8; 16];

/// One envelope left in a mailbox of another node. Field numbers are on disk: never renumbered, never reused. There is
/// no field for who left it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Kept {
    /// The envelope.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// Its place in the mailbox's order.
    #[prost(uint64, tag = "2")]
    pub order: u64,
    /// The hour in which it came.
    #[prost(uint64, tag = "3")]
    pub hour: u64,
    /// The hour in which it ends; of one that was fetched or expired, in which that is forgotten.
    #[prost(uint64, tag = "4")]
    pub until_hour: u64,
    /// Its size class in bytes.
    #[prost(uint64, tag = "5")]
    pub size_class: u64,
    /// 1 waiting, 2 fetched, 3 expired.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// The storage receipt that was given for it, encoded; its time is an hour.
    #[prost(bytes = "vec", tag = "7")]
    pub receipt: Vec<u8>,
    /// The signed statement that it expired, encoded; empty otherwise.
    #[prost(bytes = "vec", tag = "8")]
    pub expired: Vec<u8>,
}

/// Where a kept envelope stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum KeptState {
    /// It waits to be fetched.
    Waiting = 1,
    /// Its owner has it on its own disk.
    Fetched = 2,
    /// Nobody fetched it in its time.
    Expired = 3,
}

impl Kept {
    /// Reads the number on disk; an unknown one counts as expired, the state that promises nothing.
    #[must_use]
    pub fn state(&self) -> KeptState {
        [KeptState::Waiting, KeptState::Fetched]
            .into_iter()
            .find(|s| *s as u32 == self.state)
            .unwrap_or(KeptState::Expired)
    }
}

/// An envelope to be left in a mailbox of another node.
pub struct Leaving<'a> {
    /// Whose mailbox it is, by its id.
    pub mailbox: MailboxId,
    /// Its outside.
    pub outside: &'a Outside,
    /// What the operator offers to keep in all, in bytes.
    pub bytes_max: u64,
}

/// What was left in the same batch ahead of an envelope.
#[derive(Default)]
pub struct Left {
    boxes: BTreeMap<MailboxId, (usize, u64)>,
    items: usize,
    bytes: u64,
}

impl Left {
    /// Counts one more and says how many the same mailbox took before it.
    pub fn count(&mut self, leaving: &Leaving<'_>) -> u64 {
        let (items, bytes) = self.boxes.entry(leaving.mailbox).or_default();
        let before = *items as u64;
        *items += 1;
        *bytes += leaving.outside.size_class;
        self.items += 1;
        self.bytes += leaving.outside.size_class;
        before
    }
}

/// Everything kept for others, and for [`RELAY_TOLD_SECS`] what became of it.
#[derive(Clone, Default)]
pub struct Depot {
    kept: BTreeMap<(MailboxId, Digest), (Handle, Kept)>,
    names: BTreeMap<(MailboxId, Handle), Digest>,
    by_digest: BTreeSet<(Digest, MailboxId)>,
    boxes: BTreeMap<MailboxId, Pigeonhole>,
    /// When something happens to it next, by hour.
    due: BTreeSet<(u64, MailboxId, Digest)>,
    items: usize,
    bytes: u64,
}

#[derive(Clone, Default)]
struct Pigeonhole {
    waiting: BTreeMap<u64, Digest>,
    bytes: u64,
    last: u64,
}

impl Depot {
    /// Takes one row of the table Relay into memory.
    pub fn apply(&mut self, row: &Row) {
        let Some((mailbox, handle)) = row.key.split_at_checked(MailboxId::LEN) else { return };
        let (Ok(mailbox), Ok(handle)) = (MailboxId::try_from(mailbox), Handle::try_from(handle)) else { return };
        let old = self.names.remove(&(mailbox, handle));
        if let Some((_, old)) = old.and_then(|digest| self.kept.remove(&(mailbox, digest))) {
            self.uncount(mailbox, &old);
        }
        let Some(kept) = row.value.as_deref().and_then(|value| Kept::decode(value).ok()) else { return };
        let Ok(digest) = Digest::try_from(kept.digest.as_slice()) else { return };
        self.names.insert((mailbox, handle), digest);
        self.by_digest.insert((digest, mailbox));
        self.due.insert((kept.until_hour, mailbox, digest));
        let hole = self.boxes.entry(mailbox).or_default();
        hole.last = hole.last.max(kept.order);
        if kept.state() == KeptState::Waiting {
            hole.waiting.insert(kept.order, digest);
            hole.bytes += kept.size_class;
            self.items += 1;
            self.bytes += kept.size_class;
        }
        self.kept.insert((mailbox, digest), (handle, kept));
    }

    fn uncount(&mut self, mailbox: MailboxId, old: &Kept) {
        let Ok(digest) = Digest::try_from(old.digest.as_slice()) else { return };
        self.by_digest.remove(&(digest, mailbox));
        self.due.remove(&(old.until_hour, mailbox, digest));
        if old.state() != KeptState::Waiting {
            return;
        }
        if let Some(hole) = self.boxes.get_mut(&mailbox) {
            hole.waiting.remove(&old.order);
            hole.bytes = hole.bytes.saturating_sub(old.size_class);
        }
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(old.size_class);
    }

    /// Decides on an envelope for a mailbox kept for another node, with what was `left` in the same batch before it.
    /// Quotas refuse; they never drop what is held.
    ///
    /// # Errors
    /// [`DepositFault::Full`] for this mailbox or for all, [`DepositFault::Expired`].
    pub fn arrive(&self, leaving: &Leaving<'_>, left: &Left, now: u64) -> Result<Arrival, DepositFault> {
        if let Some((_, kept)) = self.kept.get(&(leaving.mailbox, leaving.outside.digest))
            && let Ok(receipt) = wire::StorageReceipt::decode(kept.receipt.as_slice())
        {
            return Ok(Arrival::Repeat(receipt));
        }
        if leaving.outside.expires <= now {
            return Err(DepositFault::Expired);
        }
        let (items, bytes) = left.boxes.get(&leaving.mailbox).copied().unwrap_or_default();
        let hole = self.boxes.get(&leaving.mailbox);
        let items = items + hole.map_or(0, |hole| hole.waiting.len());
        let bytes = bytes + hole.map_or(0, |hole| hole.bytes) + leaving.outside.size_class;
        let all = self.bytes + left.bytes + leaving.outside.size_class;
        let full = items >= MAILBOX_ITEMS_MAX
            || bytes > MAILBOX_BYTES_MAX
            || self.items + left.items >= RELAY_ITEMS_MAX
            || all > leaving.bytes_max.min(RELAY_BYTES_MAX);
        if full { Err(DepositFault::Full) } else { Ok(Arrival::New) }
    }

    /// Rows that keep an envelope, the `nth` new one of its batch in this mailbox, with the receipt for it.
    #[must_use]
    pub fn keep(
        &self,
        leaving: &Leaving<'_>,
        bytes: Vec<u8>,
        nth: u64,
        receipt: &wire::StorageReceipt,
        handle: Handle,
        now: u64,
    ) -> Vec<Row> {
        let last = self.boxes.get(&leaving.mailbox).map_or(0, |hole| hole.last);
        let hour = now / HOUR;
        let kept = Kept {
            digest: leaving.outside.digest.to_vec(),
            order: last + 1 + nth,
            hour,
            until_hour: (leaving.outside.expires / HOUR).min(hour + RELAY_KEEP_SECS / HOUR),
            size_class: leaving.outside.size_class,
            state: KeptState::Waiting as u32,
            receipt: receipt.encode_to_vec(),
            expired: Vec::new(),
        };
        let mut row = row(leaving.mailbox, handle, Some(&kept));
        row.must_be_new = true;
        let mut body = body(leaving.mailbox, leaving.outside.digest, Some(bytes));
        body.must_be_new = true;
        vec![row, body]
    }

    /// What waits in a mailbox, the oldest first.
    pub fn waiting(&self, mailbox: MailboxId) -> impl Iterator<Item = Digest> {
        self.boxes.get(&mailbox).into_iter().flat_map(|hole| hole.waiting.values().copied())
    }

    /// Rows that end what its owner fetched. Digests that do not wait there change nothing.
    #[must_use]
    pub fn fetched(&self, mailbox: MailboxId, digests: &[Digest], now: u64) -> Vec<Row> {
        let once: BTreeSet<&Digest> = digests.iter().collect();
        let waits = |digest: &&Digest| {
            self.kept.get(&(mailbox, **digest)).filter(|(_, kept)| kept.state() == KeptState::Waiting)
        };
        let ends = |digest: &Digest| {
            let (handle, kept) = waits(&digest)?;
            Some(self.end(mailbox, *digest, *handle, kept, KeptState::Fetched, Vec::new(), now))
        };
        once.into_iter().filter_map(ends).flatten().collect()
    }

    /// Envelopes whose time is over, at most [`RELAY_ENDS_AT_ONCE`].
    #[must_use]
    pub fn outlived(&self, now: u64) -> Vec<(MailboxId, Digest)> {
        self.due_by(now, KeptState::Waiting)
    }

    /// Rows that end an envelope nobody fetched. The statement stays for whoever asks with the digest.
    #[must_use]
    pub fn expire(&self, mailbox: MailboxId, digest: Digest, statement: &wire::Signed, now: u64) -> Vec<Row> {
        let Some((handle, kept)) = self.kept.get(&(mailbox, digest)) else { return Vec::new() };
        self.end(mailbox, digest, *handle, kept, KeptState::Expired, statement.encode_to_vec(), now)
    }

    #[expect(clippy::too_many_arguments, reason = "one end, all of whose parts differ by caller")]
    fn end(
        &self,
        mailbox: MailboxId,
        digest: Digest,
        handle: Handle,
        kept: &Kept,
        state: KeptState,
        expired: Vec<u8>,
        now: u64,
    ) -> Vec<Row> {
        let until_hour = (now + RELAY_TOLD_SECS) / HOUR;
        let ended = Kept { state: state as u32, until_hour, expired, ..kept.clone() };
        vec![row(mailbox, handle, Some(&ended)), body(mailbox, digest, None)]
    }

    /// Rows that forget what ended long ago, and the oldest of it when there is more than [`RELAY_ENDED_MAX`].
    #[must_use]
    pub fn forget(&self, now: u64) -> Vec<Row> {
        let ended = self.kept.len() - self.items;
        let mut past: Vec<_> = self.due_by(now, KeptState::Fetched);
        let over = ended.saturating_sub(RELAY_ENDED_MAX).min(RELAY_ENDS_AT_ONCE);
        let is_ended = |(_, m, d): &&(u64, MailboxId, Digest)| {
            self.kept.get(&(*m, *d)).is_some_and(|(_, kept)| kept.state() != KeptState::Waiting)
        };
        past.extend(self.due.iter().filter(is_ended).take(over).map(|(_, m, d)| (*m, *d)));
        let unique: BTreeSet<_> = past.into_iter().collect();
        let handle = |(mailbox, digest)| self.kept.get(&(mailbox, digest)).map(|(handle, _)| (mailbox, *handle));
        unique.into_iter().filter_map(handle).map(|(mailbox, handle)| row(mailbox, handle, None)).collect()
    }

    /// What is due by `now`: of the waiting, or of all that ended.
    fn due_by(&self, now: u64, state: KeptState) -> Vec<(MailboxId, Digest)> {
        let waiting = state == KeptState::Waiting;
        let due = self.due.iter().take_while(|(hour, _, _)| *hour <= now / HOUR).map(|(_, m, d)| (*m, *d));
        let of_state = |name: &(MailboxId, Digest)| {
            self.kept.get(name).is_some_and(|(_, kept)| (kept.state() == KeptState::Waiting) == waiting)
        };
        due.filter(of_state).take(RELAY_ENDS_AT_ONCE).collect()
    }

    /// What is known of an envelope: in whichever mailbox most can still become of it.
    #[must_use]
    pub fn outcome(&self, digest: Digest) -> Option<&Kept> {
        let all = self.by_digest.range((digest, MailboxId([0; 16]))..=(digest, MailboxId([0xff; 16])));
        all.filter_map(|(digest, mailbox)| Some(&self.kept.get(&(*mailbox, *digest))?.1))
            .min_by_key(|kept| kept.state())
    }

    /// Envelopes waiting for others, and their bytes by size class.
    #[must_use]
    pub fn held(&self) -> (usize, u64) {
        (self.items, self.bytes)
    }
}

/// Under which name the bytes of an envelope are kept for a mailbox. Not its digest: the same envelope may have been
/// sent from here, or lie in another's mailbox, and each of them goes by itself.
#[must_use]
pub(super) fn name(mailbox: MailboxId, digest: Digest) -> Digest {
    Digest(hash(RELAYED, &[mailbox.as_bytes(), digest.as_bytes()]))
}

impl Depot {
    /// The key in the table Envelope of the bytes that a mailbox holds.
    #[must_use]
    pub fn bytes_key(mailbox: MailboxId, digest: Digest) -> Vec<u8> {
        name(mailbox, digest).to_vec()
    }
}

fn row(mailbox: MailboxId, handle: Handle, value: Option<&Kept>) -> Row {
    Row {
        table: Table::Relay,
        key: [mailbox.as_bytes(), &handle].concat(),
        value: value.map(prost::Message::encode_to_vec),
        under: Under::Service,
        must_be_new: false,
    }
}

fn body(mailbox: MailboxId, digest: Digest, value: Option<Vec<u8>>) -> Row {
    let name = name(mailbox, digest);
    Row { table: Table::Envelope, key: name.to_vec(), value, under: Under::Letter(name), must_be_new: false }
}

//! Letters that came: stored sealed, opened later, each with one effect.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::{Letter, Mailroom, Quarantine, Taken, service_row};
use crate::envelope::{Opened, Outside};
use crate::ids::{Digest, MailboxId, MsgId, NodeId};
use crate::limits::{HOUR, MAILBOX_BYTES_MAX, MAILBOX_ITEMS_MAX, REPLAY_MEMORY_SECS};
use crate::rows::{Row, Table, Under};

/// Where a letter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum LetterState {
    /// Sealed, waiting to be opened.
    Stored = 1,
    /// Opened and answered.
    Taken = 2,
    /// It does not open here.
    Unopenable = 3,
    /// Its sender was revoked: sealed as before, and a person decides.
    Quarantined = 4,
}

/// What a deposit meets.
pub enum Arrival {
    /// Not seen before: to be stored.
    New,
    /// Stored earlier: the same receipt again.
    Repeat(wire::StorageReceipt),
}

/// Why a deposit is not taken. None of these says anything about what is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepositFault {
    /// Not a mailbox of this node.
    #[error("no such mailbox here")]
    NoSuchMailbox,
    /// Past its end.
    #[error("the envelope has expired")]
    Expired,
    /// The mailbox holds as much as it may.
    #[error("the mailbox is full")]
    Full,
}

impl Mailroom {
    /// Decides on a deposit of `len` bytes, with `staged` (letters, bytes) of the same batch ahead of it. Quotas
    /// refuse; they never drop what is already held.
    ///
    /// # Errors
    /// [`DepositFault`].
    pub fn arrive(
        &self,
        outside: &Outside,
        len: usize,
        staged: (usize, u64),
        mine: &[MailboxId],
        now: u64,
    ) -> Result<Arrival, DepositFault> {
        if !mine.contains(&outside.mailbox) {
            return Err(DepositFault::NoSuchMailbox);
        }
        if let Some(letter) = self.letters.get(&outside.digest)
            && let Ok(receipt) = wire::StorageReceipt::decode(letter.receipt.as_slice())
        {
            return Ok(Arrival::Repeat(receipt));
        }
        if outside.expires <= now {
            return Err(DepositFault::Expired);
        }
        let bytes = self.waiting_bytes + staged.1 + len as u64;
        if self.waiting.len() + staged.0 >= MAILBOX_ITEMS_MAX || bytes > MAILBOX_BYTES_MAX {
            return Err(DepositFault::Full);
        }
        Ok(Arrival::New)
    }

    /// Rows that store the `nth` new letter of a batch together with the receipt its depositor will get.
    #[must_use]
    pub fn store(
        &self,
        outside: &Outside,
        bytes: Vec<u8>,
        nth: u64,
        receipt: &wire::StorageReceipt,
        now: u64,
    ) -> Vec<Row> {
        let letter = Letter {
            mailbox: outside.mailbox.to_vec(),
            arrival: self.last_arrival + 1 + nth,
            len: bytes.len() as u64,
            stored_hour: now / HOUR,
            expires: outside.expires,
            state: LetterState::Stored as u32,
            receipt: receipt.encode_to_vec(),
            not_opened: vec![],
            proved_at: 0,
            quarantine: None,
            released: false,
            aside: false,
            opens_at: 0,
        };
        let mut row = service_row(Table::Mailbox, outside.digest.as_bytes(), Some(&letter));
        row.must_be_new = true;
        let body = Row {
            table: Table::Envelope,
            key: outside.digest.to_vec(),
            value: Some(bytes),
            under: Under::Letter(outside.digest),
            must_be_new: true,
        };
        vec![row, body]
    }

    /// Sealed letters waiting to be opened, in the order they came.
    #[must_use]
    pub fn unopened(&self) -> Vec<Digest> {
        self.waiting.values().copied().collect()
    }

    /// The letters to open now, in the order they came: those that wait and are not laid aside.
    pub fn to_open(&self) -> impl Iterator<Item = Digest> {
        self.waiting.values().copied().filter(|digest| !self.letters.get(digest).is_some_and(|letter| letter.aside))
    }

    /// The letters that are laid aside, in the order they came. They wait sealed, and count against the mailbox.
    pub fn aside(&self) -> impl Iterator<Item = Digest> {
        self.waiting.values().copied().filter(|digest| self.letters.get(digest).is_some_and(|letter| letter.aside))
    }

    /// The letters that are laid aside because they are dated ahead of their time.
    pub fn dated_ahead(&self) -> impl Iterator<Item = Digest> {
        self.aside().filter(|digest| self.letters.get(digest).is_some_and(|letter| letter.opens_at > 0))
    }

    /// The row that lays a letter aside, or takes it up again; `None` for one that is not waiting.
    #[must_use]
    pub fn lay_aside(&self, digest: Digest, aside: bool) -> Option<Row> {
        self.put(digest, aside, 0)
    }

    /// The row that lays a letter aside until its time has come, unix seconds; `None` for one that is not waiting.
    #[must_use]
    pub fn lay_aside_until(&self, digest: Digest, opens_at: u64) -> Option<Row> {
        self.put(digest, true, opens_at)
    }

    fn put(&self, digest: Digest, aside: bool, opens_at: u64) -> Option<Row> {
        let letter = self.letters.get(&digest).filter(|letter| letter.state == LetterState::Stored as u32)?;
        let put = Letter { aside, opens_at, ..letter.clone() };
        Some(service_row(Table::Mailbox, digest.as_bytes(), Some(&put)))
    }

    /// Whether this names an envelope that came here, or one that went from here.
    #[must_use]
    pub fn knows(&self, digest: Digest) -> bool {
        self.letters.contains_key(&digest) || self.by_digest.contains_key(&digest)
    }

    /// Whether this names a message that went from here to a node, or one of its that was taken here.
    #[must_use]
    pub fn is_shared(&self, digest: Digest, node: NodeId) -> bool {
        let ours = self.by_digest.get(&digest).and_then(|id| self.outgoing.get(id));
        let mut theirs = self.taken.range((node, MsgId([0; MsgId::LEN]))..).take_while(|((of, _), _)| *of == node);
        ours.is_some_and(|out| out.peer_node == node.0) || theirs.any(|(_, taken)| taken.digest == digest.0)
    }

    /// What is known of one letter.
    #[must_use]
    pub fn letter(&self, digest: Digest) -> Option<&Letter> {
        self.letters.get(&digest)
    }

    /// Rows that end a letter which does not open here. The statement stays for whoever asks with the digest.
    #[must_use]
    pub fn end_unopened(&self, digest: Digest, statement: &wire::Signed) -> Vec<Row> {
        let Some(letter) = self.letters.get(&digest) else { return Vec::new() };
        let ended =
            Letter { state: LetterState::Unopenable as u32, not_opened: statement.encode_to_vec(), ..letter.clone() };
        vec![service_row(Table::Mailbox, digest.as_bytes(), Some(&ended)), gone(digest)]
    }

    /// The row that keeps a letter, sealed as it is, until a person decides; `None` for one that is not waiting.
    #[must_use]
    pub fn quarantine(&self, opened: &Opened, now: u64) -> Option<Row> {
        let letter = self.letters.get(&opened.digest).filter(|letter| letter.state == LetterState::Stored as u32)?;
        let quarantine = Quarantine {
            org: opened.sender.0.to_vec(),
            node: opened.sender.1.to_vec(),
            msg_type: opened.inner().msg_type,
            created: opened.inner().created,
            since: now,
        };
        let state = LetterState::Quarantined as u32;
        let held = Letter { state, quarantine: Some(quarantine), ..letter.clone() };
        Some(service_row(Table::Mailbox, opened.digest.as_bytes(), Some(&held)))
    }

    /// The letters in quarantine, the oldest first.
    #[must_use]
    pub fn quarantined(&self) -> Vec<(Digest, &Letter)> {
        let held = self.letters.iter().filter(|(_, letter)| letter.state == LetterState::Quarantined as u32);
        let mut held: Vec<_> = held.map(|(digest, letter)| (*digest, letter)).collect();
        held.sort_by_key(|(_, letter)| letter.arrival);
        held
    }

    /// Letters that were never opened to their end: they wait, lie aside or are in quarantine.
    pub fn sealed_letters(&self) -> impl Iterator<Item = Digest> {
        let sealed = [LetterState::Stored as u32, LetterState::Quarantined as u32];
        self.letters.iter().filter(move |(_, letter)| sealed.contains(&letter.state)).map(|(digest, _)| *digest)
    }

    /// Rows that end a letter which belongs to an erased case: it had its effect in what this folder does not remember.
    /// None for one that ended already.
    #[must_use]
    pub fn end_erased(&self, digest: Digest) -> Vec<Row> {
        let sealed = [LetterState::Stored as u32, LetterState::Quarantined as u32];
        let Some(letter) = self.letters.get(&digest).filter(|letter| sealed.contains(&letter.state)) else {
            return Vec::new();
        };
        let ended = Letter { state: LetterState::Taken as u32, quarantine: None, aside: false, ..letter.clone() };
        vec![service_row(Table::Mailbox, digest.as_bytes(), Some(&ended)), gone(digest)]
    }

    /// The row that lets a letter out of quarantine: it is opened like any other, its sender's revocation apart.
    #[must_use]
    pub fn release(&self, digest: Digest) -> Option<Row> {
        let letter = self.letters.get(&digest).filter(|letter| letter.state == LetterState::Quarantined as u32)?;
        let stored = Letter { state: LetterState::Stored as u32, released: true, ..letter.clone() };
        Some(service_row(Table::Mailbox, digest.as_bytes(), Some(&stored)))
    }

    /// Whether a message had its effect already, and with which answer.
    #[must_use]
    pub fn seen(&self, sender: NodeId, msg_id: MsgId) -> Option<&Taken> {
        self.taken.get(&(sender, msg_id))
    }

    /// Rows that record the effect of an opened message: the letter ends, the id is remembered, the thread moves.
    /// A message seen before changes neither id nor thread.
    #[must_use]
    pub fn take(&self, opened: &Opened, stage: wire::Stage, refusal: wire::RefusalCode) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(letter) = self.letters.get(&opened.digest) {
            let ended = Letter { state: LetterState::Taken as u32, ..letter.clone() };
            rows.push(service_row(Table::Mailbox, opened.digest.as_bytes(), Some(&ended)));
            rows.push(gone(opened.digest));
        }
        let (_, node) = opened.sender;
        if self.seen(node, opened.msg_id).is_none() {
            let taken = Taken {
                digest: opened.digest.to_vec(),
                stage: stage.into(),
                refusal: refusal.into(),
                keep_until: opened.inner().expires.saturating_add(REPLAY_MEMORY_SECS),
            };
            let key = [node.as_bytes(), opened.msg_id.as_bytes()].concat();
            let mut row = service_row(Table::Taken, &key, Some(&taken));
            row.must_be_new = true;
            rows.push(row);
            rows.push(self.received(opened));
        }
        rows
    }

    /// The row that marks a letter as one whose sending is in its sender's log; `None` when there is nothing to mark.
    #[must_use]
    pub fn sending_proved(&self, digest: Digest, now: u64) -> Option<Row> {
        let letter = self.letters.get(&digest).filter(|letter| letter.proved_at == 0)?;
        Some(service_row(Table::Mailbox, digest.as_bytes(), Some(&Letter { proved_at: now, ..letter.clone() })))
    }

    /// Rows that forget what can no longer come again: ended letters past their expiry, ids past their memory.
    #[must_use]
    pub fn forget(&self, now: u64) -> Vec<Row> {
        let past = |l: &Letter| l.expires.saturating_add(REPLAY_MEMORY_SECS) < now;
        let letters = self.letters.iter().filter(|(_, l)| past(l) && l.state != LetterState::Stored as u32);
        let letters = letters.flat_map(|(d, l)| {
            let body = (l.state == LetterState::Quarantined as u32).then(|| gone(*d));
            [Some(service_row(Table::Mailbox, d.as_bytes(), None::<&Letter>)), body].into_iter().flatten()
        });
        let taken = self.taken.iter().filter(|(_, t)| t.keep_until < now);
        let taken = taken.map(|((node, id), _)| {
            service_row(Table::Taken, &[node.as_bytes(), id.as_bytes()].concat(), None::<&Taken>)
        });
        letters.chain(taken).collect()
    }
}

fn gone(digest: Digest) -> Row {
    Row { table: Table::Envelope, key: digest.to_vec(), value: None, under: Under::Letter(digest), must_be_new: false }
}

//! What a decision asks to be kept: rows of named tables, each sealed under a named key.
//!
//! All memory of a node is a fold over its rows, so what is in memory and what is on disk cannot drift apart.
//! This module knows no format of any row; the module that owns a table encodes its values.

use crate::ids::{CaseId, Digest};

/// The tables of a node. Numbers are on disk and are never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Table {
    /// Wrapped data keys. Written by the vault alone.
    Wrap = 1,
    /// Directory records as received.
    Directory = 2,
    /// What the mailbox knows of each envelope; small, loaded at start.
    Mailbox = 3,
    /// Sealed envelopes as received or sent, by digest; read one at a time.
    Envelope = 4,
    /// Messages under way; small, loaded at start.
    Outbox = 5,
    /// Message ids already taken, with their outcome.
    Taken = 6,
    /// Sequence and chain position of each conversation.
    Conversation = 7,
    /// Facts of a case, in order.
    Fact = 8,
    /// Profile parts and attachments, read one at a time.
    Document = 9,
    /// Staff, invitations and sign-in verifiers.
    Staff = 10,
    /// Timers by due time, without content.
    Timer = 11,
    /// Small counters and settings of the node.
    Meta = 12,
    /// Receipts held as evidence.
    Receipt = 13,
    /// Drafts not yet sent.
    Draft = 14,
    /// The largest head cosigned of each other log; small, loaded at start.
    Witness = 15,
    /// How much of this node's log each coordinator's node was told; small, loaded at start.
    Told = 16,
    /// What a coordinator's node heard of each other log: how far, its edge, its heads; small, loaded at start.
    Heard = 17,
    /// Stretches of other logs as they were shown to a coordinator's node, in pages; read one at a time.
    Account = 18,
    /// Proofs owed to the other sides of messages; small, loaded at start.
    Proving = 19,
    /// Cases that are being erased, and what of that is left to do; small, loaded at start.
    Erasing = 20,
    /// Alarms: at a coordinator those it raised, at an end of a message those it heard; small, loaded at start.
    Alarm = 22,
    /// What stays of erased cases: the history of their consents; how long each stays is loaded at start.
    ConsentHistory = 23,
    /// Coordinators' directory logs: hashes of their entries, newest heads, proofs that came with a file; loaded at start.
    DirectoryLog = 24,
    /// What this node keeps in the mailboxes of others, and lately kept; small, loaded at start.
    Relay = 25,
    /// Entries of directory logs, by the hash of their leaf; read one at a time.
    DirectoryEntry = 26,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Self; 25] = [
        Self::Wrap,
        Self::Directory,
        Self::Mailbox,
        Self::Envelope,
        Self::Outbox,
        Self::Taken,
        Self::Conversation,
        Self::Fact,
        Self::Document,
        Self::Staff,
        Self::Timer,
        Self::Meta,
        Self::Receipt,
        Self::Draft,
        Self::Witness,
        Self::Told,
        Self::Heard,
        Self::Account,
        Self::Proving,
        Self::Erasing,
        Self::Alarm,
        Self::ConsentHistory,
        Self::DirectoryLog,
        Self::Relay,
        Self::DirectoryEntry,
    ];
}

/// Which key seals a value, and so who can read it and what erases it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Under {
    /// The service key: open while the process runs.
    Service,
    /// The evidence key: consent history and audit openings, with a retention of their own.
    Evidence,
    /// One case and one data class of it (0 is the core): content, dropped by lock.
    Case(CaseId, u8),
    /// One deposited envelope: it is sealed to a prekey already, and has a key of its own to be erased by.
    Letter(Digest),
}

/// One row to write, or to remove when `value` is `None`.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub table: Table,
    /// The logical key. The vault blinds it.
    pub key: Vec<u8>,
    /// What. The vault seals it.
    pub value: Option<Vec<u8>>,
    /// Under which key.
    pub under: Under,
    /// The commit fails unless no value stands at this key.
    pub must_be_new: bool,
}

/// One line of the node's own record, made before it is numbered into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Gap-free position.
    pub index: u64,
    /// HMAC-SHA256(salt, PAE(opening type, padded opening)): the future leaf.
    pub commitment: [u8; 32],
    /// The key of the commitment.
    pub salt: [u8; 32],
    /// The padded opening.
    pub opening: Vec<u8>,
}

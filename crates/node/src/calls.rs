//! Everything the local door can be asked, as plain values: the command line, the desk and the demo all speak this.
//!
//! What one porch can do the other can do. Types that carry a pass phrase or a case have no `Debug`.

use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, DepartureForm, NoticeForm, ProfileForm,
};
use serde::{Deserialize, Serialize};

/// Codes of a refused [`Call::BackupKey`] that say for certain that the node has the recovery key it had. After any other
/// failure it may have the new one.
pub const RECOVERY_KEY_UNCHANGED: [&str; 6] = ["CH-K0101", "CH-R0110", "CH-U0120", "CH-P0120", "CH-P0101", "CH-S0101"];

/// One question. `case` is a case code as shown (`T-7Q4M-2KXY`), or enough of its beginning to be unique.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "fields are named after what they are")]
pub enum Call {
    /// How the node is. Anybody on this socket may ask. Answers `ch.status/1`.
    Status,
    /// What is wrong and what repairs it. Answers `ch.doctor/1`.
    Doctor,
    /// Reads everything in the store and holds it against what it must be, now; it happens once a day by itself. An
    /// administrator or a manager. Answers as [`Call::Doctor`].
    Scrub,
    /// Makes a backup in a folder, given by its whole path, and verifies it. An administrator or a manager, while cases
    /// are open. Answers `ch.backup/1`.
    BackupCreate { folder: String },
    /// Puts a recovery key in the place of the one before: its public half and its mark, in hex. The same people. Answers
    /// `ch.recovery-key/1`.
    BackupKey { public: String, mark: String },
    /// Signs a person in; unlocks cases when that person's pass phrase opens them. Answers `ch.session/1`.
    SignIn { login: String, passphrase: String },
    /// Ends the session of the request.
    SignOut,
    /// Drops every case key now. Anybody who is signed in.
    Lock,
    /// Opens cases with the pass phrase of the node, or of the person named.
    Unlock { login: Option<String>, passphrase: String },
    /// Invites a person. Answers `ch.invitation/1` with a code to hand over.
    UserInvite { login: String, label: String, role: String },
    /// Takes up an invitation with a pass phrase of one's own.
    UserAccept { login: String, code: String, passphrase: String },
    /// Who works here. Answers `ch.users/1`.
    UserList,
    /// Ends an account.
    UserLeave { login: String },
    /// The organisations. Answers `ch.directory/1`.
    DirectoryList,
    /// One organisation, by id or label, with its records. Answers `ch.organisation/1`.
    DirectoryShow { org: String },
    /// Takes records from a file: base64 of an encoded RecordBundle. Answers `ch.import/1`.
    DirectoryImport { bundle: String },
    /// The records of an organisation, or of this one, for a file. Answers `ch.bundle/1`.
    DirectoryExport { org: Option<String> },
    /// One page of everything the directory holds, for a file: the first names no ticket, each next one that of the answer
    /// before. Answers `ch.directory-page/1`.
    DirectoryPage { number: u32, ticket: Option<String> },
    /// Entries of the directory log of an organisation's node, from `first` on, with the head that covers them. Answers
    /// `ch.directory-log/1`.
    DirectoryLog { of: String, first: u64 },
    /// Asks every coordinator's node and some others what is newer there, now. Answers `ch.import/1`.
    DirectoryRefresh,
    /// Tries each step of the way to the nodes of an organisation, or of the first 32 organisations, and says what to fix.
    /// Anybody on this socket may ask. Answers `ch.netcheck/1`.
    Netcheck { peer: Option<String> },
    /// Says that this organisation's entry is right, and changes what is given: duty hours (day 0 to 7, minutes of the day
    /// in UTC), the role to ask for when nobody answers, places for children. Answers `ch.attested/1`.
    DirectoryAttest { duty: Option<Vec<[u32; 3]>>, alternate: Option<String>, child_places: Option<bool> },
    /// Opens a case towards an organisation, by id or label. Answers `ch.case-code/1`.
    CaseOpen { to: String },
    /// The cases. Answers `ch.cases/1`.
    CaseList,
    /// One case: its separate facts, timers, consents, messages. Answers `ch.case/1`.
    CaseShow { case: String },
    /// Writes down a consent. Answers `ch.consent/1`.
    ConsentRecord { case: String, form: ConsentForm },
    /// The consents of a case. Answers `ch.consents/1`.
    ConsentShow { case: String },
    /// Withdraws a consent, by id or purpose; no classes means all of it. Answers `ch.withdrawn/1`.
    ConsentWithdraw { case: String, consent: String, classes: Vec<String> },
    /// Sends the return notice; replaces an earlier one when more was asked. Answers `ch.sent/1`.
    NoticeSend { case: String, form: Box<NoticeForm> },
    /// Messages of others that nobody here has opened, and what waits. Answers `ch.inbox/1`.
    Inbox,
    /// Decides on a letter of a sender who was revoked: take it like any other, or end it. Answers `ch.done/1`.
    QuarantineDecide { letter: String, take: bool },
    /// Opens a message for the person who asks: the newest unread of the case when none is named. Answers
    /// `ch.message/1`.
    Open { case: String, message: Option<String> },
    /// Says who has read the notice.
    Acknowledge { case: String, form: AcknowledgeForm },
    /// Accepts, asks, or declines.
    Answer { case: String, form: AnswerForm },
    /// Stages a piece of an attachment (base64, at most 512 KiB a piece); the first piece names no handle. Answers
    /// `ch.staged/1` with the handle.
    Stage { handle: Option<String>, piece: String },
    /// Sends the profile. Attachments were staged before.
    ProfileSend { case: String, form: ProfileForm, attachments: Vec<AttachmentForm> },
    /// Shows the parts of the profile that consent still covers. Answers `ch.profile/1`.
    ProfileShow { case: String },
    /// One attachment, a piece at a time. Answers `ch.attachment/1` with base64 and the next offset.
    Attachment { case: String, message: String, handle: String, offset: u64 },
    /// Says that she left, or did not.
    Depart { case: String, form: DepartureForm },
    /// Says whether she came and was met.
    Arrive { case: String, form: ArrivalForm },
    /// Writes down that she stays. Answers `ch.withdrawn/1`.
    Stay { case: String },
    /// Takes back a message that has not left.
    Recall { case: String, message: String },
    /// Has a case erased, or classes of its profile alone, by a rule of the closed list. A manager; for a child also a
    /// child officer. Final once a coordinator's node has the case's entries. Answers `ch.erasing/1`.
    CaseErase { case: String, rule: String, classes: Vec<String>, although_open: bool },
    /// Calls an erasure off that is not final yet. The same people.
    CaseKeep { case: String },
    /// What stays of cases that were erased under this whole code: the history of their consents. A manager or an
    /// auditor, locked or not; that somebody looked is an entry of the log. Answers `ch.consent-history/1`.
    CaseConsents { case: String },
    /// Messages under way. Answers `ch.outbox/1`.
    Outbox,
    /// Tries everything under way now.
    OutboxRetry,
    /// Entries of the node's log, opened: from a number on, or the newest; at most 1,000. An auditor, an administrator
    /// or a manager. Answers `ch.audit/1`.
    AuditList { from: Option<u64>, count: Option<u64> },
    /// The proof that an entry is in the log. The same people. Answers `ch.audit-proof/1` with a C2SP tlog-proof.
    AuditProve { index: u64 },
    /// One entry, and how well it is proved. The same people. Answers `ch.audit-entry/1`.
    AuditShow { index: u64 },
    /// Chooses entries for evidence: those about a case (for who may see it), about a message (16 or more digits of its
    /// number), or from a number to a number. The same people. Answers `ch.audit-chosen/1` with their numbers, the head
    /// and the records.
    AuditChoose { case: Option<String>, message: Option<String>, from: Option<u64>, to: Option<u64> },
    /// Openings and paths of at most 256 chosen entries under the head of this size. The same people. Answers
    /// `ch.audit-evidence/1`.
    AuditEvidence { entries: Vec<u64>, size: u64 },
    /// Commitments of the log from a number on, at most 1,000, with checkpoint, key and records, to be written to a
    /// folder. The same people. Answers `ch.audit-entries/1`.
    AuditEntries { from: u64 },
    /// The logs of others that this coordinator's node heard of, and how far coordinators' nodes heard of this one. The
    /// same people. Answers `ch.audit-logs/1`.
    AuditLogs,
    /// Holds the logs heard of against each other, signs what was found and records that. At a coordinator, the same
    /// people. Answers `ch.audit-reconcile/1`.
    AuditReconcile,
    /// The alarms this coordinator's node raised. The same people. Answers `ch.alarms/1`.
    AuditAlarms,
    /// Takes up the alarm of this number, so that others see that somebody does. Anybody who is signed in.
    AuditAlarmTake { alarm: u64 },
}

/// A staged attachment and where it belongs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentForm {
    /// From [`Call::Stage`].
    pub handle: String,
    /// The data class of the part that speaks of it.
    pub data_class: String,
    /// A name to show; never used as a path.
    pub name: String,
    /// Its media type.
    pub media_type: String,
}

/// Bytes in one piece of an attachment, before base64.
pub const PIECE_MAX: usize = 512 << 10;

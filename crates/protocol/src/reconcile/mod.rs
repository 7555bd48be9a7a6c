//! What a coordinator finds by holding the accounts of nodes against each other (protocol sections 7.6 to 7.8).
//!
//! First [`account`] judges one node's log by itself and hands out the openings that really belong to it; then [`Join`]
//! lays the openings of all nodes side by side, by envelope digest. What comes out is a list of [`Finding`]s, and
//! [`coarse`] says what of it may leave the coordinator's process.
//!
//! Nothing here reads content: an opening names organisations, a class, a coarse time, a due day and digests. And
//! nothing here guesses: where a node's account is not in yet, its silence proves nothing, and the [`Report`] says how
//! many messages wait for it.

pub mod account;
pub mod coarse;
mod join;
mod judge;
mod parties;
mod policy;
mod settled;
#[cfg(test)]
mod tests;

pub use join::{Join, RelayWord, Word};
pub use judge::{Corridor, Report};
pub use policy::Policy;
pub use settled::Settled;

use crate::ids::{Digest, NodeId, OrgId};

/// One node of one organisation.
pub type Party = (OrgId, NodeId);

/// What was found. The urgent ones come first, and so does a list of findings that is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A departure was announced, the day is over, and nobody said whether she arrived.
    OverdueArrival,
    /// The day for an answer to a notice is over, and nobody accepted or declined.
    Unanswered,
    /// A log signed heads that are not of one tree.
    SplitView,
    /// No head with enough cosignatures, or none lately.
    NotWitnessed,
    /// The leaves handed over are not those of the head.
    LogMismatch,
    /// A leaf without its opening, or with another one, and nothing that says it was erased.
    Unexplained,
    /// An event claims a time at which its leaf was not, or cannot have been, in the log.
    Backdated,
    /// Received, and no person opened it in time.
    Unattended,
    /// The recipient's mailbox took it, and the recipient's log knows nothing of it.
    WithheldByRecipient,
    /// It lies in a mailbox and its recipient has not taken it in.
    RecipientOffline,
    /// Sent, and no trace of it after that.
    LostOrNotDeposited,
    /// Received, and the sender's log does not say that it was sent.
    UnloggedSender,
    /// The accounts of one envelope disagree on who sent it, to whom, or of which class it is.
    Misdirected,
    /// One envelope received more than once.
    Replay,
    /// Erased by its recipient, and no person had opened it.
    ErasedUnopened,
    /// Erased by one side while an answer or an arrival was still due.
    ErasedOpenNotice,
    /// Far more of a sender's messages are refused than is usual.
    Probing,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 17] = [
        Self::OverdueArrival,
        Self::Unanswered,
        Self::SplitView,
        Self::NotWitnessed,
        Self::LogMismatch,
        Self::Unexplained,
        Self::Backdated,
        Self::Unattended,
        Self::WithheldByRecipient,
        Self::RecipientOffline,
        Self::LostOrNotDeposited,
        Self::UnloggedSender,
        Self::Misdirected,
        Self::Replay,
        Self::ErasedUnopened,
        Self::ErasedOpenNotice,
        Self::Probing,
    ];

    /// Its name, which never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OverdueArrival => "OVERDUE_ARRIVAL",
            Self::Unanswered => "UNANSWERED",
            Self::SplitView => "SPLIT_VIEW",
            Self::NotWitnessed => "NOT_WITNESSED",
            Self::LogMismatch => "LOG_MISMATCH",
            Self::Unexplained => "UNEXPLAINED",
            Self::Backdated => "BACKDATED",
            Self::Unattended => "UNATTENDED",
            Self::WithheldByRecipient => "WITHHELD_BY_RECIPIENT",
            Self::RecipientOffline => "RECIPIENT_OFFLINE",
            Self::LostOrNotDeposited => "LOST_OR_NOT_DEPOSITED",
            Self::UnloggedSender => "UNLOGGED_SENDER",
            Self::Misdirected => "MISDIRECTED",
            Self::Replay => "REPLAY",
            Self::ErasedUnopened => "ERASED_UNOPENED",
            Self::ErasedOpenNotice => "ERASED_OPEN_NOTICE",
            Self::Probing => "PROBING",
        }
    }

    /// Whether a person may be in danger now: then both ends and the duty officer are told at once.
    #[must_use]
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::OverdueArrival | Self::Unanswered)
    }
}

/// One finding. It says what the accounts say, not who is to blame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The nodes it concerns. Where it has a digest: sender, recipient, then others.
    pub parties: Vec<Party>,
    /// The envelope. Never leaves the coordinator's process.
    pub digest: Option<Digest>,
    /// The position in the log of the node the finding rests on.
    pub index: Option<u64>,
    /// Since when, unix seconds; 0 when nobody knows.
    pub since: u64,
}

impl Finding {
    /// [`Kind::is_urgent`].
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.kind.is_urgent()
    }
}

/// Puts findings in order and leaves each out that says what the one before it says; the earliest `since` stays.
pub fn settle(findings: &mut Vec<Finding>) {
    findings.sort();
    findings.dedup_by(|b, a| a.kind == b.kind && a.parties == b.parties && a.digest == b.digest && a.index == b.index);
}

//! What a door answers instead of "yes", as gRPC says it, and back: the only file that knows both.
//!
//! Refuses to explain: every [`Refused`] has one code and one fixed text of at most 200 bytes, so that a peer learns
//! nothing about the inside of an envelope from how it was refused (attack 43).

use crate::limits::Counters;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};

/// Every way a node says no to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// No such mailbox is kept here.
    #[error("no such mailbox is kept here: read the recipient's newest descriptor")]
    UnknownMailbox,
    /// The mailbox holds as much as it may.
    #[error("the mailbox is full: try its owner's next mailbox, or later")]
    Full,
    /// The caller is not, or no longer, accredited here.
    #[error("the caller is not accredited here: exchange directory records")]
    NotAccredited,
    /// More bytes than any envelope or record may have.
    #[error("larger than the exchange carries")]
    TooLarge,
    /// More calls than one node may make.
    #[error("too many calls: slow down")]
    TooFast,
    /// The call brought bytes too slowly, or took too long.
    #[error("the call took too long: try again on a better line")]
    TooSlow,
    /// The bytes are not what they should be. Never says in what way.
    #[error("refused")]
    Malformed,
    /// All room for calls is taken for the moment.
    #[error("busy: try again shortly")]
    Busy,
    /// The node takes nothing now: it is starting, stopping, or short of disk.
    #[error("not available now: try again later")]
    Unavailable,
    /// This node offers no such call.
    #[error("no such call is offered here")]
    NotOffered,
    /// An error of the answering node itself.
    #[error("the answering node failed: its operator has been told")]
    Broken,
}

impl Refused {
    /// Every refusal, in order.
    pub const ALL: [Self; 11] = [
        Self::UnknownMailbox,
        Self::Full,
        Self::NotAccredited,
        Self::TooLarge,
        Self::TooFast,
        Self::TooSlow,
        Self::Malformed,
        Self::Busy,
        Self::Unavailable,
        Self::NotOffered,
        Self::Broken,
    ];

    /// Whether the very same call may succeed later without anyone doing anything.
    #[must_use]
    pub fn passes(self) -> bool {
        match self {
            Self::Full | Self::TooFast | Self::TooSlow | Self::Busy | Self::Unavailable | Self::Broken => true,
            // Accreditation and mailboxes change when records spread, but that is not waiting for this call.
            Self::UnknownMailbox | Self::NotAccredited | Self::TooLarge | Self::Malformed | Self::NotOffered => false,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::UnknownMailbox => Code::NotFound,
            Self::Full | Self::TooFast => Code::ResourceExhausted,
            Self::NotAccredited => Code::PermissionDenied,
            Self::TooLarge => Code::OutOfRange,
            Self::TooSlow => Code::DeadlineExceeded,
            Self::Malformed => Code::InvalidArgument,
            Self::Busy | Self::Unavailable => Code::Unavailable,
            Self::NotOffered => Code::Unimplemented,
            Self::Broken => Code::Internal,
        }
    }

    /// Counts it at the door.
    pub(super) fn count(self, counters: &Counters) {
        match self {
            Self::NotAccredited => counters.not_accredited.add(),
            Self::TooFast => counters.too_fast.add(),
            Self::TooSlow => counters.too_slow.add(),
            Self::Busy => counters.busy.add(),
            Self::Malformed | Self::TooLarge => counters.malformed.add(),
            Self::NotOffered => counters.not_offered.add(),
            Self::UnknownMailbox | Self::Full | Self::Unavailable | Self::Broken => {}
        }
    }

    /// The refusal that `status` is, code and text.
    fn exactly(status: &Status) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == status.code() && r.to_string() == status.message())
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code(), refused.to_string())
    }
}

/// What leaves this node in place of `status`, whoever made it.
///
/// The libraries below us describe in words what they could not read, and a bad message is "internal" to them.
/// Outward all of it is the peer's malformed call.
pub(super) fn outward(status: &Status) -> Refused {
    Refused::exactly(status).unwrap_or(match status.code() {
        Code::NotFound | Code::Unimplemented => Refused::NotOffered,
        Code::ResourceExhausted => Refused::Busy,
        Code::PermissionDenied | Code::Unauthenticated => Refused::NotAccredited,
        Code::OutOfRange => Refused::TooLarge,
        Code::DeadlineExceeded => Refused::TooSlow,
        Code::Unavailable | Code::Aborted => Refused::Unavailable,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::DataLoss => Refused::Malformed,
    })
}

/// Why a call to another node brought no answer, told apart by who can do something about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The node answered, and the answer is no.
    #[error("the other node refused: {0}")]
    Refused(Refused),
    /// Its host name has no address.
    #[error("the other node's host name could not be resolved: check this office's DNS, then the peer's descriptor")]
    Name,
    /// Nobody answers at its address.
    #[error("nobody answers at the other node's address: it may be switched off, or a firewall may stand between")]
    Unreachable,
    /// Somebody answers, but not as it must.
    #[error("{0}")]
    Tls(TlsFault),
    /// It did not answer in time. What it did is unknown and may have been everything that was asked.
    #[error("the other node did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// It answered with something that is not an answer, or the line broke. What it did is unknown.
    #[error("the line to the other node broke or carried something else than the exchange")]
    Protocol,
}

/// What went wrong before the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The other side proved another key than its descriptor lists, or none.
    #[error("somebody else answered at the other node's address: an intercepting proxy, or its key has changed")]
    OtherKey,
    /// The other side does not know our key.
    #[error("the other node does not know this node's key: exchange directory records")]
    NotKnownThere,
    /// What answered does not speak our TLS at all.
    #[error(
        "what answers at the other node's address is not an exchange node: a login page or proxy may stand between"
    )]
    NotANode,
}

impl PeerError {
    /// Whether the same call may succeed later without anyone doing anything.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.passes(),
            Self::Name | Self::Unreachable | Self::Deadline(_) | Self::Protocol => true,
            // Captive portals and proxies come and go with the network; keys change with records.
            Self::Tls(TlsFault::NotANode | TlsFault::OtherKey | TlsFault::NotKnownThere) => true,
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn ends_line(&self) -> bool {
        match self {
            Self::Refused(refused) => *refused == Refused::NotAccredited,
            Self::Name | Self::Unreachable | Self::Tls(_) | Self::Deadline(_) | Self::Protocol => true,
        }
    }

    /// Reads what a call came back with.
    ///
    /// Our own side makes statuses too, for a broken line or an answer it cannot read; those are not refusals.
    pub(super) fn of(status: &Status) -> Self {
        if let Some(refused) = Refused::exactly(status) {
            return Self::Refused(refused);
        }
        // A kept line that ended unseen: this call is what found it out, and not a byte of it left.
        if found_line_gone(status) {
            return Self::Unreachable;
        }
        match status.code() {
            // What the peer's own libraries say before its door is asked: too many calls, no such call, no time.
            Code::ResourceExhausted if status.source().is_none() => Self::Refused(Refused::Busy),
            Code::Unimplemented if status.source().is_none() => Self::Refused(Refused::NotOffered),
            Code::DeadlineExceeded if status.source().is_none() => Self::Refused(Refused::TooSlow),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Self::Protocol,
        }
    }
}

/// A call came to a line that is gone, and was not sent on it: lines are not dialled again by themselves.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the line is gone")]
pub(super) struct LineGone;

fn found_line_gone(status: &Status) -> bool {
    let mut below = status.source();
    while let Some(error) = below {
        if error.is::<LineGone>() {
            return true;
        }
        below = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearhouse_protocol::limits::ERROR_TEXT_MAX;

    #[test]
    fn every_refusal_arrives_as_itself_and_is_short() {
        for refused in Refused::ALL {
            let status = Status::from(refused);
            assert!(status.message().len() <= ERROR_TEXT_MAX && status.message().is_ascii());
            assert_eq!(PeerError::of(&status), PeerError::Refused(refused));
            assert_eq!(outward(&status), refused);
        }
    }

    #[test]
    fn the_list_of_all_refusals_is_whole_and_its_texts_differ() {
        let texts: std::collections::BTreeSet<_> = Refused::ALL.map(|r| (i32::from(r.code()), r.to_string())).into();
        assert_eq!(texts.len(), Refused::ALL.len());
        assert!(Refused::ALL.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(Refused::ALL.last(), Some(&Refused::Broken));
    }

    #[test]
    fn what_the_libraries_say_about_bad_bytes_never_leaves() {
        for status in [
            Status::internal("failed to decode Protobuf message: DepositFrame.mailbox: invalid wire type"),
            Status::unknown("h2 protocol error: stream no longer needed"),
            Status::data_loss("x".repeat(5000)),
        ] {
            assert_eq!(outward(&status), Refused::Malformed);
        }
    }
}

//! One message of a case with its lights: where it is, who signed for it, whether it counts. Refuses to count what was
//! refused, recalled or never arrived, and to call anything read that no person opened.

use clearhouse_protocol::ids::{MsgId, NodeId, OrgId};
use clearhouse_wire::v1::RefusalCode;
use zeroize::Zeroizing;

use crate::body::{self, CheckedBody, Kind};
use crate::roles::ActKind;

/// A signed fact about a message: when, by which node of whom, for which person.
#[derive(Clone, PartialEq, Eq)]
pub struct Light {
    /// Unix seconds, as signed.
    pub at: u64,
    /// The node that signed.
    pub node: NodeId,
    /// Whose node it is; `None` for a relay of somebody else.
    pub org: Option<OrgId>,
    /// The person it was done for, as colleagues know that person; empty where a machine acted.
    pub label: String,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has not left this office.
    Waiting,
    /// A mailbox holds it unopened.
    Stored {
        /// The mailbox's node says it is locked and cannot read now.
        locked: bool,
    },
    /// The other node opened and verified it.
    Received,
    /// A person opened it.
    Opened,
    /// The other node will not take it.
    Refused(RefusalCode),
    /// The other node keeps it sealed until it learns the type.
    CannotRead,
    /// Taken back before it left.
    Recalled,
    /// Could not be delivered.
    Failed,
    /// Its life ended without a receipt.
    Expired,
}

/// What a message says, encoded as its fact has it: read, it takes four times the room, and an office remembers thousands.
/// Beside it stands what every look at a case asks for. Overwritten when dropped.
pub(super) struct Kept {
    kind: Kind,
    act: ActKind,
    in_reply_to: Option<MsgId>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Kept {
    pub(super) fn of(body: &CheckedBody) -> Self {
        Self { kind: body.kind(), act: body.act(), in_reply_to: body.in_reply_to(), bytes: body.encode() }
    }

    fn read(&self) -> Option<CheckedBody> {
        body::restore(self.kind.message_type() as u32, &self.bytes)
    }
}

/// One message of a case, ours or theirs.
pub struct Letter {
    pub(super) id: MsgId,
    pub(super) out: bool,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) node: NodeId,
    pub(super) org: OrgId,
    pub(super) body: Option<Kept>,
    pub(super) stored: Option<Light>,
    pub(super) locked: bool,
    pub(super) received: Option<Light>,
    pub(super) read: Option<Light>,
    pub(super) refused: Option<RefusalCode>,
    pub(super) cannot_read: bool,
    pub(super) recalled: bool,
    pub(super) failed: bool,
    pub(super) expired: bool,
}

impl Letter {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> MsgId {
        self.id
    }

    /// True for a message from this office.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out
    }

    /// Its place among the messages of its direction.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// When it was signed, unix seconds.
    #[must_use]
    pub fn sent_at(&self) -> u64 {
        self.at
    }

    /// What it is; `None` when its record is damaged.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.body.as_ref().map(|kept| kept.kind)
    }

    /// What it says, read anew at each call; a profile without the content of its parts. `None` when its record is
    /// damaged.
    #[must_use]
    pub fn body(&self) -> Option<CheckedBody> {
        self.body.as_ref().and_then(Kept::read)
    }

    /// What a person did by sending it; `None` when its record is damaged.
    pub(super) fn act(&self) -> Option<ActKind> {
        self.body.as_ref().map(|kept| kept.act)
    }

    /// The message it answers, if any.
    pub(super) fn in_reply_to(&self) -> Option<MsgId> {
        self.body.as_ref().and_then(|kept| kept.in_reply_to)
    }

    /// The mailbox's light.
    #[must_use]
    pub fn stored(&self) -> Option<&Light> {
        self.stored.as_ref()
    }

    /// The receiving node's light.
    #[must_use]
    pub fn received(&self) -> Option<&Light> {
        self.received.as_ref()
    }

    /// The reader's light.
    #[must_use]
    pub fn read(&self) -> Option<&Light> {
        self.read.as_ref()
    }

    /// What became of it. Evidence that it arrived outweighs any note that it did not.
    #[must_use]
    pub fn fate(&self) -> Fate {
        if let Some(code) = self.refused {
            Fate::Refused(code)
        } else if self.read.is_some() {
            Fate::Opened
        } else if self.received.is_some() {
            Fate::Received
        } else if self.cannot_read {
            Fate::CannotRead
        } else if self.recalled {
            Fate::Recalled
        } else if self.failed {
            Fate::Failed
        } else if self.expired {
            Fate::Expired
        } else if self.stored.is_some() {
            Fate::Stored { locked: self.locked }
        } else {
            Fate::Waiting
        }
    }

    /// True when the state of the case may rest on it.
    #[must_use]
    pub fn counts(&self) -> bool {
        match self.fate() {
            Fate::Waiting | Fate::Stored { .. } | Fate::Received | Fate::Opened => true,
            Fate::Refused(_) | Fate::CannotRead | Fate::Recalled | Fate::Failed | Fate::Expired => false,
        }
    }

    pub(super) fn replies_to(&self, id: MsgId) -> bool {
        self.in_reply_to() == Some(id)
    }

    /// The signature under the message itself, as a light.
    pub fn signature(&self) -> Light {
        let label = self.body().map(|b| b.body().actor_label.clone()).unwrap_or_default();
        Light { at: self.at, node: self.node, org: Some(self.org), label }
    }
}

//! What each fact of a case says, field by field. Field numbers are on disk and are never reused; a field that a later
//! version added is empty in facts of an earlier one.
//!
//! What holds words of a person is overwritten when dropped. Refuses to know what a fact does to a case.

use clearhouse_wire::v1::{Consent, Withdrawal};
use zeroize::Zeroize as _;

use crate::consent;
use crate::roles::Actor;

/// Who did it, in this office.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct By {
    /// Staff id, 16 bytes; empty when the node acted by itself.
    #[prost(bytes = "vec", tag = "1")]
    pub staff_id: Vec<u8>,
    /// As colleagues know that person.
    #[prost(string, tag = "2")]
    pub label: String,
    /// Role code.
    #[prost(string, tag = "3")]
    pub role: String,
}

impl From<&Actor> for By {
    fn from(actor: &Actor) -> Self {
        Self { staff_id: actor.staff_id.to_vec(), label: actor.label.clone(), role: actor.role.code().to_owned() }
    }
}

/// See [`Fact::Opened`](super::Fact::Opened).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Opened {
    /// Case id, 16 bytes, local and random.
    #[prost(bytes = "vec", tag = "1")]
    pub case: Vec<u8>,
    /// 1: the notice goes out from here. 2: it came in.
    #[prost(uint32, tag = "2")]
    pub direction: u32,
    /// Conversation id, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub conversation: Vec<u8>,
    /// The other organisation, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub peer_org: Vec<u8>,
    /// This organisation, 16 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub own_org: Vec<u8>,
    /// This node, 16 bytes.
    #[prost(bytes = "vec", tag = "6")]
    pub own_node: Vec<u8>,
    /// Unix seconds.
    #[prost(uint64, tag = "7")]
    pub at: u64,
    /// Who opened it.
    #[prost(message, optional, tag = "8")]
    pub by: Option<By>,
}

/// See [`Fact::ConsentRecorded`](super::Fact::ConsentRecorded).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ConsentRecorded {
    /// The consent, checked.
    #[prost(message, optional, tag = "1")]
    pub consent: Option<Consent>,
    /// Unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// Who wrote it down.
    #[prost(message, optional, tag = "3")]
    pub by: Option<By>,
}

/// See [`Fact::ConsentWithdrawn`](super::Fact::ConsentWithdrawn).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ConsentWithdrawn {
    /// The withdrawal as it is passed on.
    #[prost(message, optional, tag = "1")]
    pub withdrawal: Option<Withdrawal>,
    /// Unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// Who heard it.
    #[prost(message, optional, tag = "3")]
    pub by: Option<By>,
}

/// See [`Fact::MessageOut`](super::Fact::MessageOut).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct MessageOut {
    /// Message id, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// `MessageType`.
    #[prost(uint32, tag = "2")]
    pub msg_type: u32,
    /// Version of the body.
    #[prost(uint32, tag = "3")]
    pub body_version: u32,
    /// Position among our messages of this conversation, from 1.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// [`CheckedBody::skeleton`](crate::body::CheckedBody::skeleton) of the body.
    #[prost(bytes = "vec", tag = "5")]
    pub body: Vec<u8>,
    /// `created` of the signed inner message, unix seconds: the other side counts from the same instant.
    #[prost(uint64, tag = "6")]
    pub at: u64,
    /// Who sent it.
    #[prost(message, optional, tag = "7")]
    pub by: Option<By>,
}

/// See [`Fact::Stored`](super::Fact::Stored).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Stored {
    /// Message id, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// The node whose mailbox holds it, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub node: Vec<u8>,
    /// Unix seconds, as signed.
    #[prost(uint64, tag = "3")]
    pub at: u64,
    /// That node says its content is locked: it stores and cannot read.
    #[prost(bool, tag = "4")]
    pub locked: bool,
    /// The organisation that runs that node, 16 bytes; empty when it is a relay of somebody else.
    #[prost(bytes = "vec", tag = "5")]
    pub org: Vec<u8>,
}

/// See [`Fact::ReceiptIn`](super::Fact::ReceiptIn).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ReceiptIn {
    /// Our message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// `Stage`.
    #[prost(int32, tag = "2")]
    pub stage: i32,
    /// Unix seconds, as signed.
    #[prost(uint64, tag = "3")]
    pub at: u64,
    /// The node that signed, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub node: Vec<u8>,
    /// Its organisation, 16 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub org: Vec<u8>,
    /// For whom, where a person acted.
    #[prost(string, tag = "6")]
    pub actor_label: String,
    /// `RefusalCode`, where it refuses.
    #[prost(int32, tag = "7")]
    pub refusal: i32,
}

/// See [`Fact::MessageIn`](super::Fact::MessageIn).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct MessageIn {
    /// Message id, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// `MessageType`.
    #[prost(uint32, tag = "2")]
    pub msg_type: u32,
    /// Version of the body.
    #[prost(uint32, tag = "3")]
    pub body_version: u32,
    /// Position among their messages of this conversation, from 1.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// [`CheckedBody::skeleton`](crate::body::CheckedBody::skeleton) of the body.
    #[prost(bytes = "vec", tag = "5")]
    pub body: Vec<u8>,
    /// `created` of the signed inner message, unix seconds.
    #[prost(uint64, tag = "6")]
    pub sent_at: u64,
    /// When this node took it, unix seconds.
    #[prost(uint64, tag = "7")]
    pub received_at: u64,
    /// The sending organisation, 16 bytes.
    #[prost(bytes = "vec", tag = "8")]
    pub org: Vec<u8>,
    /// The node that signed, 16 bytes.
    #[prost(bytes = "vec", tag = "9")]
    pub node: Vec<u8>,
    /// The envelope it came in, 32 bytes; empty in facts of earlier versions.
    #[prost(bytes = "vec", tag = "10")]
    pub digest: Vec<u8>,
}

/// See [`Fact::OpenedHere`](super::Fact::OpenedHere).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct OpenedHere {
    /// Their message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// Unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// Who opened it.
    #[prost(message, optional, tag = "3")]
    pub by: Option<By>,
}

/// See [`Fact::SendFailed`](super::Fact::SendFailed) and [`Fact::Expired`](super::Fact::Expired).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Ended {
    /// Our message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// Unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
}

/// See [`Fact::Recalled`](super::Fact::Recalled).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Recalled {
    /// Our message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// Unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// Who took it back; none when a withdrawal did.
    #[prost(message, optional, tag = "3")]
    pub by: Option<By>,
}

/// See [`Fact::Gap`](super::Fact::Gap).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Gap {
    /// First missing position.
    #[prost(uint64, tag = "1")]
    pub from: u64,
    /// Last missing position.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// Unix seconds.
    #[prost(uint64, tag = "3")]
    pub at: u64,
}

/// See [`Fact::TimerFired`](super::Fact::TimerFired).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct TimerFired {
    /// Rule id.
    #[prost(string, tag = "1")]
    pub rule: String,
    /// When it was due, unix seconds.
    #[prost(uint64, tag = "2")]
    pub due: u64,
    /// When this node noticed, unix seconds.
    #[prost(uint64, tag = "3")]
    pub at: u64,
    /// The message that started the clock, 16 bytes; empty for a clock of the case itself.
    #[prost(bytes = "vec", tag = "4")]
    pub msg_id: Vec<u8>,
}

/// See [`Fact::Stayed`](super::Fact::Stayed).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Stayed {
    /// Unix seconds.
    #[prost(uint64, tag = "1")]
    pub at: u64,
    /// Who heard it.
    #[prost(message, optional, tag = "2")]
    pub by: Option<By>,
}

/// See [`Fact::RefusedHere`](super::Fact::RefusedHere).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct RefusedHere {
    /// Their message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// `MessageType`.
    #[prost(uint32, tag = "2")]
    pub msg_type: u32,
    /// Position among their messages.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Unix seconds.
    #[prost(uint64, tag = "4")]
    pub at: u64,
    /// The stable code, `CH-C....`.
    #[prost(string, tag = "5")]
    pub code: String,
    /// The envelope it came in, 32 bytes; empty in facts of earlier versions.
    #[prost(bytes = "vec", tag = "6")]
    pub digest: Vec<u8>,
}

/// See [`Fact::HeldUnread`](super::Fact::HeldUnread).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct HeldUnread {
    /// Their message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub msg_id: Vec<u8>,
    /// `MessageType` as sent.
    #[prost(uint32, tag = "2")]
    pub msg_type: u32,
    /// Position among their messages.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Unix seconds.
    #[prost(uint64, tag = "4")]
    pub at: u64,
    /// The envelope it came in, 32 bytes; empty in facts of earlier versions.
    #[prost(bytes = "vec", tag = "5")]
    pub digest: Vec<u8>,
}

/// See [`Fact::Logged`](super::Fact::Logged).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Logged {
    /// Its position in the log.
    #[prost(uint64, tag = "1")]
    pub event: u64,
}

/// See [`Fact::PartsErased`](super::Fact::PartsErased).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct PartsErased {
    /// Codes of the classes.
    #[prost(string, repeated, tag = "1")]
    pub classes: Vec<String>,
    /// The rule by which, see [`ErasureRule`](crate::case::erase::ErasureRule).
    #[prost(string, tag = "2")]
    pub rule: String,
    /// Unix seconds.
    #[prost(uint64, tag = "3")]
    pub at: u64,
    /// The role of who decided it.
    #[prost(string, tag = "4")]
    pub role: String,
}

impl Drop for MessageOut {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

impl Drop for MessageIn {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

impl Drop for ConsentRecorded {
    fn drop(&mut self) {
        self.consent.iter_mut().for_each(consent::wipe);
    }
}

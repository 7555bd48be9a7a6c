//! The facts of a case as they lie on disk: what happened, in order, never rewritten. Everything else about a case is a
//! fold over them. Field and variant numbers are on disk and are never reused; a new kind of fact is a new number.
//!
//! A fact is kept only after what it tells was verified and committed; this file checks nothing and refuses only bytes
//! that are no fact. Facts hold case content: they have no `Debug`, and bodies are overwritten when dropped.

use clearhouse_wire::v1::{Consent, Withdrawal};
use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::consent;
use crate::roles::Actor;

/// Declares [`Fact`] and its form on disk, a protobuf oneof, from one list of numbers.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $tag:tt;)+) => {
        /// One thing that happened.
        #[derive(Clone, PartialEq)]
        pub enum Fact { $($(#[$doc])* $name($type)),+ }

        #[derive(Clone, PartialEq, prost::Oneof)]
        #[prost(skip_debug)]
        enum Any { $(#[prost(message, tag = $tag)] $name($type)),+ }

        impl From<Any> for Fact {
            fn from(any: Any) -> Self {
                match any { $(Any::$name(fact) => Self::$name(fact)),+ }
            }
        }

        impl From<&Fact> for Any {
            fn from(fact: &Fact) -> Self {
                match fact { $(Fact::$name(fact) => Self::$name(fact.clone())),+ }
            }
        }
    };
}

facts! {
    /// The case was opened in this office. Always the first fact.
    Opened(Opened) = "1";
    /// A consent was written down here.
    ConsentRecorded(ConsentRecorded) = "2";
    /// A withdrawal was heard here. It counts from now on, whatever becomes of the message that passes it on.
    ConsentWithdrawn(ConsentWithdrawn) = "3";
    /// A message was signed here and put on its way.
    MessageOut(MessageOut) = "4";
    /// A mailbox holds it.
    Stored(Stored) = "5";
    /// The other node signed a receipt about a message of ours.
    ReceiptIn(ReceiptIn) = "6";
    /// A message of the other side was verified and taken.
    MessageIn(MessageIn) = "7";
    /// A person here opened it.
    OpenedHere(OpenedHere) = "8";
    /// A message of ours could not be delivered for good.
    SendFailed(Ended) = "9";
    /// A message of ours reached the end of its life without a receipt.
    Expired(Ended) = "10";
    /// A message of ours was taken back before it left.
    Recalled(Recalled) = "11";
    /// A later message of theirs came while earlier ones are missing.
    Gap(Gap) = "12";
    /// A clock ran out. Written once, never removed.
    TimerFired(TimerFired) = "13";
    /// She stays: her word, written down here.
    Stayed(Stayed) = "14";
    /// A message of theirs was verified and not taken; a signed refusal went back.
    RefusedHere(RefusedHere) = "15";
    /// A message of theirs is kept sealed because this version cannot read its type.
    HeldUnread(HeldUnread) = "16";
    /// An entry of the node's log that names no message is of this case.
    Logged(Logged) = "17";
    /// Parts of the profile were erased here.
    PartsErased(PartsErased) = "18";
}

/// A fact in the one field it is stored in.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Record {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18")]
    fact: Option<Any>,
}

/// Bytes of the store that are no fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a stored fact cannot be read: the record is damaged or from a newer version; run doctor")]
pub struct NotAFact;

impl Fact {
    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Record { fact: Some(self.into()) }.encode_to_vec())
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`NotAFact`] for anything that is not one of the variants above.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAFact> {
        Record::decode(bytes).ok().and_then(|record| record.fact).map(Self::from).ok_or(NotAFact)
    }
}

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

/// See [`Fact::Opened`].
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

/// See [`Fact::ConsentRecorded`].
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

/// See [`Fact::ConsentWithdrawn`].
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

/// See [`Fact::MessageOut`].
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

/// See [`Fact::Stored`].
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

/// See [`Fact::ReceiptIn`].
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

/// See [`Fact::MessageIn`].
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

/// See [`Fact::OpenedHere`].
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

/// See [`Fact::SendFailed`] and [`Fact::Expired`].
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

/// See [`Fact::Recalled`].
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

/// See [`Fact::Gap`].
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

/// See [`Fact::TimerFired`].
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

/// See [`Fact::Stayed`].
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

/// See [`Fact::RefusedHere`].
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

/// See [`Fact::HeldUnread`].
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

/// See [`Fact::Logged`].
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Logged {
    /// Its position in the log.
    #[prost(uint64, tag = "1")]
    pub event: u64,
}

/// See [`Fact::PartsErased`].
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct PartsErased {
    /// Codes of the classes.
    #[prost(string, repeated, tag = "1")]
    pub classes: Vec<String>,
    /// The rule by which, see [`ErasureRule`](super::erase::ErasureRule).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_survives_the_disk_and_damage_is_seen() {
        let fact = Fact::TimerFired(TimerFired { rule: "answer".into(), due: 5, at: 6, msg_id: vec![1; 16] });
        let bytes = fact.encode();
        assert!(Fact::decode(&bytes).is_ok_and(|read| read == fact));
        assert!(Fact::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Fact::decode(&[]).is_err());
        assert!(Fact::decode(&[0xfa, 0x01, 0x00]).is_err(), "a fact of a later version is not silently dropped");
    }

    /// The numbers are on disk: this list may only grow.
    #[test]
    fn variant_numbers_never_move() {
        let message_in = MessageIn {
            msg_id: Vec::new(),
            msg_type: 0,
            body_version: 0,
            seq: 0,
            body: Vec::new(),
            sent_at: 0,
            received_at: 0,
            org: Vec::new(),
            node: Vec::new(),
            digest: Vec::new(),
        };
        let table = [
            (1, Fact::Opened(Opened::default())),
            (2, Fact::ConsentRecorded(ConsentRecorded::default())),
            (3, Fact::ConsentWithdrawn(ConsentWithdrawn::default())),
            (4, Fact::MessageOut(MessageOut::default())),
            (5, Fact::Stored(Stored::default())),
            (6, Fact::ReceiptIn(ReceiptIn::default())),
            (7, Fact::MessageIn(message_in)),
            (8, Fact::OpenedHere(OpenedHere::default())),
            (9, Fact::SendFailed(Ended::default())),
            (10, Fact::Expired(Ended::default())),
            (11, Fact::Recalled(Recalled::default())),
            (12, Fact::Gap(Gap::default())),
            (13, Fact::TimerFired(TimerFired::default())),
            (14, Fact::Stayed(Stayed::default())),
            (15, Fact::RefusedHere(RefusedHere::default())),
            (16, Fact::HeldUnread(HeldUnread::default())),
            (17, Fact::Logged(Logged::default())),
            (18, Fact::PartsErased(PartsErased::default())),
        ];
        for (number, fact) in table {
            let tag = (number << 3) | 2;
            let expected = if tag < 128 { vec![tag, 0] } else { vec![(tag & 127) | 128, tag >> 7, 0] };
            assert_eq!(*fact.encode(), expected, "fact {number}");
        }
    }
}

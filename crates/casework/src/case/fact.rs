//! The facts of a case as they lie on disk: what happened, in order, never rewritten. Everything else about a case is a
//! fold over them. Field and variant numbers are on disk and are never reused; a new kind of fact is a new number.
//!
//! A fact is kept only after what it tells was verified and committed; this file checks nothing and refuses only bytes
//! that are no fact. Facts hold case content: they have no `Debug`, and bodies are overwritten when dropped.

mod kinds;

use prost::Message as _;
use zeroize::Zeroizing;

pub use kinds::{
    By, ConsentRecorded, ConsentWithdrawn, Ended, Gap, HeldUnread, Logged, MessageIn, MessageOut, Opened, OpenedHere,
    PartsErased, Recalled, ReceiptIn, RefusedHere, Stayed, Stored, TimerFired,
};

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

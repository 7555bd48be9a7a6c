//! Names of things, each its own type so that one can never stand in for another. Refuses a wrong length.

use std::fmt;

use crate::labels::NODE_ID;
use crate::pae::hash;

/// A byte string had the wrong length for the name it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {want} bytes, found {found}")]
pub struct WrongLength {
    /// Bytes the name has.
    pub want: usize,
    /// Bytes that were given.
    pub found: usize,
}

/// Lower-case hex of any bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// Bytes of lower- or upper-case hex; `None` for anything else.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes as an owned vector, for a protobuf field.
            #[must_use]
            pub fn to_vec(self) -> Vec<u8> {
                self.0.to_vec()
            }

            /// Reads the name from hex; `None` when it is not hex of the right length.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                Self::try_from(unhex(text)?.as_slice()).ok()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WrongLength;
            fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
                bytes.try_into().map(Self).map_err(|_| WrongLength { want: $len, found: bytes.len() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0[..4]))
            }
        }
    };
}

name!(
    /// A network: SHA-256 of its genesis RootPolicy payload.
    Net, 32
);
name!(
    /// An organisation.
    OrgId, 16
);
name!(
    /// One organisation's node. Its first bytes tell whose it is: [`NodeId::of`].
    NodeId, 16
);

impl NodeId {
    /// How many of its bytes, from the first, follow from its network and organisation. The others are drawn.
    pub const BOUND: usize = 12;

    /// The id of a node of this organisation, from bytes that were drawn for it; of those the first [`NodeId::BOUND`] are
    /// put aside. Who learns an id can so not certify it for an organisation of its own before its owner does.
    #[must_use]
    pub fn of(net: Net, org: OrgId, drawn: [u8; 16]) -> Self {
        let mut id = drawn;
        id.iter_mut()
            .zip(hash(NODE_ID, &[net.as_bytes(), org.as_bytes()]))
            .take(Self::BOUND)
            .for_each(|(to, b)| *to = b);
        Self(id)
    }

    /// Whether an organisation may give a node this id.
    #[must_use]
    pub fn is_of(self, net: Net, org: OrgId) -> bool {
        Self::of(net, org, self.0) == self
    }
}

name!(
    /// A mailbox, as listed in its owner's descriptor.
    MailboxId, 16
);
name!(
    /// A prekey: the first half of SHA-256 of its public bytes.
    PrekeyId, 16
);
name!(
    /// A signing key: the first half of SHA-256 of its public bytes. A hint, never proof.
    KeyId, 16
);
name!(
    /// A message, across every sealing of it.
    MsgId, 16
);
name!(
    /// One exact sealed envelope.
    Digest, 32
);
name!(
    /// A conversation: one case between one pair of organisations. Random, derived from nothing.
    ConversationId, 32
);
name!(
    /// A case as one node knows it. Local and random.
    CaseId, 16
);
name!(
    /// A member of staff.
    StaffId, 16
);
name!(
    /// A consent record.
    ConsentId, 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_hex() {
        assert_eq!(unhex(&hex(&[0, 1, 254, 255])), Some(vec![0, 1, 254, 255]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("+1"), None);
        assert_eq!(unhex("ђђ"), None);
    }

    #[test]
    fn a_nodes_id_tells_its_organisation_and_network_and_keeps_what_was_drawn() {
        let (net, org) = (Net([1; 32]), OrgId([2; 16]));
        let node = NodeId::of(net, org, [7; 16]);
        assert_eq!(node.0[NodeId::BOUND..], [7; 16 - NodeId::BOUND]);
        assert_eq!(node.0[..NodeId::BOUND], hash(NODE_ID, &[[1u8; 32].as_slice(), &[2u8; 16]])[..NodeId::BOUND]);
        assert!(node.is_of(net, org));
        assert!(!node.is_of(Net([3; 32]), org) && !node.is_of(net, OrgId([3; 16])));
        for n in 0..16 {
            let mut other = node;
            other.0[n] ^= 1;
            assert_eq!(other.is_of(net, org), n >= NodeId::BOUND, "byte {n}");
        }
    }

    #[test]
    fn a_name_of_the_wrong_length_is_refused() {
        assert_eq!(NodeId::try_from([0u8; 15].as_slice()), Err(WrongLength { want: 16, found: 15 }));
    }
}

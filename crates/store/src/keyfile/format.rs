//! The bytes of a key file. Refuses anything but the one encoding, so that every byte of it is accounted for.
//!
//! ```text
//! "clearhouse key file\n"   20 bytes
//! version                   u32, big-endian: 1
//! length of body            u32, big-endian
//! body                      protobuf `Body`, canonical
//! SHA-256 of all above      32 bytes: tells damage from a wrong pass phrase; proves nothing against an attacker
//! ```
//!
//! Each slot is authenticated by its own box (aad = PAE("clearhouse/key-slot/v1", header bytes)); the content
//! compartment by aad = PAE("clearhouse/key-compartment/v1", 2 || version || NET || node || epoch); and the service
//! compartment is the *lid*: its aad is PAE(same label, 1 || version || the whole body without the lid), so whoever
//! opens it knows that no slot, number or box was added, removed or brought back from an older file.

use clearhouse_protocol::ids::{Net, NodeId, StaffId};
use clearhouse_protocol::pae::sha256;
use prost::Message as _;

use crate::keyfile::error::KeyFileError;
use crate::keyfile::kdf::{CostFault, KdfCost, SALT_LEN};
use crate::keyfile::{Opens, PASSPHRASE_SLOTS_MAX, SLOTS_MAX, SlotKind};

/// First bytes of every key file, whatever its version.
pub(crate) const MAGIC: &[u8; 20] = b"clearhouse key file\n";
/// The version this program writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Largest key file.
pub(crate) const FILE_MAX: usize = 64 << 10;
const FRAME_LEN: usize = MAGIC.len() + 8;
const SUM_LEN: usize = 32;

/// Everything of a key file but the frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Body {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) net: Vec<u8>,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) node: Vec<u8>,
    /// Rises with every erasure.
    #[prost(uint32, tag = "3")]
    pub(crate) epoch: u32,
    /// Number of the next slot; numbers are never used twice.
    #[prost(uint32, tag = "4")]
    pub(crate) next_slot: u32,
    #[prost(message, repeated, tag = "5")]
    pub(crate) slots: Vec<SlotRecord>,
    /// Nonce and sealed `ContentRecord`.
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) content: Vec<u8>,
    /// Nonce and sealed `ServiceRecord`: the lid.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) service: Vec<u8>,
}

/// One slot: who opens it, what it costs to guess, and the box keys it gives.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SlotRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    /// 1 pass phrase, 2 credential, 3 person.
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    /// 16 bytes for a person, else empty.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) staff: Vec<u8>,
    /// 1 service, 2 content, 3 both.
    #[prost(uint32, tag = "4")]
    pub(crate) opens: u32,
    /// Argon2id memory in KiB; 0 for a credential, as are the next two.
    #[prost(uint32, tag = "5")]
    pub(crate) m_kib: u32,
    /// Argon2id passes.
    #[prost(uint32, tag = "6")]
    pub(crate) t: u32,
    /// Argon2id lanes.
    #[prost(uint32, tag = "7")]
    pub(crate) p: u32,
    /// 16 bytes; empty for a credential.
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) salt: Vec<u8>,
    /// Nonce and sealed box keys, 32 bytes each: service first, then content.
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) boxed: Vec<u8>,
}

/// A slot as checked: nothing in it is out of range.
pub(crate) struct Slot<'a> {
    pub(crate) id: u32,
    pub(crate) kind: SlotKind,
    pub(crate) opens: Opens,
    /// `None` for a credential.
    pub(crate) stretch: Option<(KdfCost, &'a [u8; SALT_LEN])>,
    pub(crate) boxed: &'a [u8],
}

impl SlotRecord {
    /// Checks the slot's numbers.
    ///
    /// # Errors
    /// [`KeyFileError::WeakKdf`], [`KeyFileError::ExcessiveKdf`], [`KeyFileError::Damaged`].
    pub(crate) fn read(&self) -> Result<Slot<'_>, KeyFileError> {
        let staff = StaffId::try_from(self.staff.as_slice());
        let kind = match (self.kind, staff, self.staff.is_empty()) {
            (1, _, true) => SlotKind::Passphrase,
            (2, _, true) => SlotKind::Credential,
            (3, Ok(staff), _) => SlotKind::Person(staff),
            _ => return Err(KeyFileError::Damaged),
        };
        let opens = Opens::from_bits(self.opens).ok_or(KeyFileError::Damaged)?;
        let stretch = if kind == SlotKind::Credential {
            if (self.m_kib, self.t, self.p, self.salt.len()) != (0, 0, 0, 0) {
                return Err(KeyFileError::Damaged);
            }
            None
        } else {
            let cost = KdfCost::read(self.m_kib, self.t, self.p).map_err(|fault| match fault {
                CostFault::Weak => KeyFileError::WeakKdf { slot: self.id },
                CostFault::Excessive => KeyFileError::ExcessiveKdf { slot: self.id },
            })?;
            Some((cost, self.salt.as_slice().try_into().map_err(|_| KeyFileError::Damaged)?))
        };
        Ok(Slot { id: self.id, kind, opens, stretch, boxed: &self.boxed })
    }
}

impl Body {
    /// Reads the file's bytes and checks everything that can be checked without a secret.
    ///
    /// # Errors
    /// [`KeyFileError::NotAKeyFile`], [`KeyFileError::Newer`], [`KeyFileError::Damaged`], [`KeyFileError::WeakKdf`],
    /// [`KeyFileError::ExcessiveKdf`].
    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(KeyFileError::NotAKeyFile)?;
        let (version, rest) = take_u32(rest)?;
        // The sum stands at the end in every version, so damage is not mistaken for a newer program's file.
        let (summed, sum) = bytes.split_last_chunk::<SUM_LEN>().ok_or(KeyFileError::Damaged)?;
        if sha256(summed) != *sum {
            return Err(KeyFileError::Damaged);
        }
        if version > VERSION {
            return Err(KeyFileError::Newer { found: version, known: VERSION });
        }
        let (len, rest) = take_u32(rest)?;
        let exact = u32::try_from(rest.len().saturating_sub(SUM_LEN)).ok();
        if version != VERSION || exact != Some(len) {
            return Err(KeyFileError::Damaged);
        }
        let encoded = rest.get(..rest.len() - SUM_LEN).ok_or(KeyFileError::Damaged)?;
        let body = Self::decode(encoded).map_err(|_| KeyFileError::Damaged)?;
        if body.encode_to_vec() != encoded {
            return Err(KeyFileError::Damaged);
        }
        body.check()?;
        Ok(body)
    }

    /// The file's bytes.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let body = self.encode_to_vec();
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(FRAME_LEN + body.len() + SUM_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&body);
        let sum = sha256(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// What the lid is bound to: the body without it.
    pub(crate) fn without_lid(&self) -> Vec<u8> {
        Self { service: Vec::new(), ..self.clone() }.encode_to_vec()
    }

    pub(crate) fn net(&self) -> Net {
        // Lengths were checked when the body was read or made.
        Net::try_from(self.net.as_slice()).unwrap_or(Net([0; 32]))
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId::try_from(self.node.as_slice()).unwrap_or(NodeId([0; 16]))
    }

    fn check(&self) -> Result<(), KeyFileError> {
        if self.net.len() != Net::LEN || self.node.len() != NodeId::LEN || self.slots.len() > SLOTS_MAX {
            return Err(KeyFileError::Damaged);
        }
        let mut passphrases = 0;
        let mut last = None;
        for record in &self.slots {
            let slot = record.read()?;
            if last.is_some_and(|last| slot.id <= last) || slot.id >= self.next_slot {
                return Err(KeyFileError::Damaged);
            }
            last = Some(slot.id);
            passphrases += usize::from(slot.kind == SlotKind::Passphrase);
        }
        if passphrases > PASSPHRASE_SLOTS_MAX {
            return Err(KeyFileError::Damaged);
        }
        Ok(())
    }
}

fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), KeyFileError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(KeyFileError::Damaged)?;
    Ok((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(id: u32) -> SlotRecord {
        let salt = vec![0; SALT_LEN];
        SlotRecord { id, kind: 1, staff: vec![], opens: 3, m_kib: 64 << 10, t: 3, p: 4, salt, boxed: vec![] }
    }

    fn credential(id: u32) -> SlotRecord {
        SlotRecord { kind: 2, m_kib: 0, t: 0, p: 0, salt: vec![], ..slot(id) }
    }

    fn holds(slots: Vec<SlotRecord>, next_slot: u32) -> bool {
        let body = Body { net: vec![7; 32], node: vec![9; 16], next_slot, slots, ..Body::default() };
        body.check().is_ok()
    }

    #[test]
    fn a_file_has_so_many_pass_phrases_and_so_many_slots() {
        let many = PASSPHRASE_SLOTS_MAX as u32;
        assert!(holds((1..=many).map(slot).collect(), many + 1));
        assert!(!holds((1..=many + 1).map(slot).collect(), many + 2));
        assert!(holds((1..=many).map(slot).chain([credential(many + 1)]).collect(), many + 2));
        let most = SLOTS_MAX as u32;
        assert!(holds((1..=most).map(credential).collect(), most + 1));
        assert!(!holds((1..=most + 1).map(credential).collect(), most + 2));
    }

    #[test]
    fn numbers_of_slots_rise_and_stay_below_the_next_one() {
        assert!(holds(vec![slot(1), slot(3)], 4));
        assert!(!holds(vec![slot(1), slot(3)], 3));
        assert!(!holds(vec![slot(3), slot(1)], 4) && !holds(vec![slot(1), slot(1)], 4));
    }

    #[test]
    fn a_slot_is_of_one_kind_and_has_what_its_kind_has() {
        assert!(holds(vec![slot(1)], 2) && holds(vec![credential(1)], 2));
        assert!(holds(vec![SlotRecord { kind: 3, staff: vec![1; 16], ..slot(1) }], 2));
        let wrong = [
            SlotRecord { kind: 0, ..slot(1) },
            SlotRecord { kind: 4, ..slot(1) },
            SlotRecord { staff: vec![1; 16], ..slot(1) },
            SlotRecord { staff: vec![1; 16], ..credential(1) },
            SlotRecord { kind: 3, staff: vec![1; 15], ..slot(1) },
            SlotRecord { kind: 3, ..slot(1) },
            SlotRecord { opens: 0, ..slot(1) },
            SlotRecord { opens: 4, ..slot(1) },
            SlotRecord { salt: vec![0; SALT_LEN - 1], ..slot(1) },
            SlotRecord { salt: vec![0; SALT_LEN], ..credential(1) },
            SlotRecord { t: 1, ..credential(1) },
        ];
        for record in wrong {
            assert!(matches!(record.read(), Err(KeyFileError::Damaged)), "{} {}", record.kind, record.opens);
        }
    }

    #[test]
    fn a_file_of_another_length_of_names_is_damaged() {
        let body = |net, node| Body { net: vec![7; net], node: vec![9; node], next_slot: 1, ..Body::default() };
        assert!(body(32, 16).check().is_ok());
        assert!(body(31, 16).check().is_err() && body(32, 17).check().is_err());
    }
}

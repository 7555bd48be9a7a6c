//! Under which key a node keeps each record, and in which order the kinds are read back.
//!
//! Refuses to give two records that both have to stay the same key.

use super::held::Chained;
use super::lost_key::announced_key;
use super::{Checked, Directory, Rival};
use crate::pae::sha256;

/// The first byte of the key of each kind of row, in the order in which a node that starts can take them: policies,
/// organisations, what waits, what was said against it and since when it waits, certificates, descriptors, prekeys, ends.
pub const ROW_KINDS: &[u8; 9] = b"POAXWNQRV";

impl Directory {
    /// The row key under which a node keeps a record. Of what is chained every version has its own, in order, and one
    /// that contradicts another stands right behind it; of the rest a newer record takes the older one's place.
    #[must_use]
    pub fn row_key(checked: &Checked) -> Vec<u8> {
        match checked {
            Checked::Policy(record, _) => chained(b"P", &[], record.value()),
            Checked::Org(id, record) => chained(b"O", id.as_bytes(), record.value()),
            Checked::Cert(id, record) => chained(b"N", id.as_bytes(), record.value()),
            Checked::Announced(id, record) | Checked::Rival(Rival::Announced(id, record)) => {
                announced_key(*id, &sha256(&record.raw().payload))
            }
            Checked::Objection(id, record) => [b"X".as_slice(), id.as_bytes(), &record.value().announced].concat(),
            Checked::Rival(Rival::Policy(record)) => beside(chained(b"P", &[], record.value())),
            Checked::Rival(Rival::Org(id, record)) => beside(chained(b"O", id.as_bytes(), record.value())),
            Checked::Rival(Rival::Cert(id, record)) => beside(chained(b"N", id.as_bytes(), record.value())),
            Checked::Descriptor(id, _) => [b"Q".as_slice(), id.as_bytes()].concat(),
            Checked::Prekey(id, week, _) => [b"R".as_slice(), id.as_bytes(), &week.to_be_bytes()].concat(),
            Checked::Revocation(record) => {
                let revocation = record.value();
                [b"V".as_slice(), &revocation.subject, &revocation.subject_kind.to_be_bytes()].concat()
            }
        }
    }
}

fn beside(mut key: Vec<u8>) -> Vec<u8> {
    key.push(b'!');
    key
}

fn chained(kind: &[u8], subject: &[u8], record: &impl Chained) -> Vec<u8> {
    [kind, subject, &record.version().to_be_bytes()].concat()
}

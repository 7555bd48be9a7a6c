//! Who is who: the records a node holds, each verified by this node, and what follows from them now.
//!
//! A record enters by [`Directory::check`] (pure, [`admit`]) and [`Directory::insert`]; the raw bytes are kept and
//! re-verified at every start. Nothing here trusts where a record came from, and nothing here deletes: a newer
//! version replaces, a revocation ends. Inclusion proofs in coordinators' logs are demanded once logs exist.

mod admit;
mod lookup;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1::{Descriptor, NodeCert, OrgRecord, Revocation, RootPolicy, Signed};

pub use admit::{Checked, RecordFault};
pub use lookup::{Recipient, RouteFault};

use crate::audit;
use crate::ids::{Net, NodeId, OrgId};
use crate::keys::{Prekey, VerifyKey};
use crate::labels::media;
use crate::limits::HOUR;
use crate::log::note::NoteKey;
use crate::pae::sha256;
use crate::signed::Verified;

/// One accepted record with what later checks need of it.
#[derive(Clone)]
pub(crate) struct Entry<T> {
    pub(crate) record: Verified<T>,
    pub(crate) hash: [u8; 32],
}

impl<T> Entry<T> {
    fn new(record: Verified<T>) -> Self {
        let hash = sha256(&record.raw().payload);
        Self { record, hash }
    }

    pub(crate) fn value(&self) -> &T {
        self.record.value()
    }
}

/// The directory of one network as one node knows it.
#[derive(Clone)]
pub struct Directory {
    net: Net,
    policy: Entry<RootPolicy>,
    coordinators: Vec<VerifyKey>,
    orgs: BTreeMap<OrgId, Entry<OrgRecord>>,
    certs: BTreeMap<NodeId, Entry<NodeCert>>,
    descriptors: BTreeMap<NodeId, Entry<Descriptor>>,
    prekeys: BTreeMap<(NodeId, u64), Prekey>,
    revocations: BTreeMap<([u8; 16], i32), Entry<Revocation>>,
    tls: BTreeMap<[u8; 32], NodeId>,
    suspended: BTreeSet<NodeId>,
}

impl Directory {
    /// The network's name for itself in every signature.
    #[must_use]
    pub fn net(&self) -> Net {
        self.net
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &RootPolicy {
        self.policy.value()
    }

    /// An organisation's record, valid or not.
    #[must_use]
    pub fn org(&self, org: OrgId) -> Option<&OrgRecord> {
        self.orgs.get(&org).map(Entry::value)
    }

    /// Every organisation, by id.
    pub fn orgs(&self) -> impl Iterator<Item = (OrgId, &OrgRecord)> {
        self.orgs.iter().map(|(id, e)| (*id, e.value()))
    }

    /// A node's certificate, valid or not.
    #[must_use]
    pub fn cert(&self, node: NodeId) -> Option<&NodeCert> {
        self.certs.get(&node).map(Entry::value)
    }

    /// The key of a node's log, as its certificate names it; valid or not, a log can always be checked.
    #[must_use]
    pub fn log_key(&self, node: NodeId) -> Option<NoteKey> {
        let cert = self.cert(node)?;
        audit::log_key(&cert.log_vkey, self.net(), cert.org_id.as_slice().try_into().ok()?, node)
    }

    /// The key with which a node cosigns others' logs, as its certificate names it.
    #[must_use]
    pub fn witness_key(&self, node: NodeId) -> Option<NoteKey> {
        let cert = self.cert(node)?;
        audit::witness_key(&cert.witness_vkey, self.net(), cert.org_id.as_slice().try_into().ok()?, node)
    }

    /// The node whose log has this origin, and the key of that log.
    #[must_use]
    pub fn log_named(&self, origin: &str) -> Option<(NodeId, NoteKey)> {
        let names = |vkey: &str| vkey.strip_prefix(origin).is_some_and(|rest| rest.starts_with('+'));
        let mut named = self.certs.iter().filter(|(_, e)| names(&e.value().log_vkey));
        named.find_map(|(node, _)| Some((*node, self.log_key(*node)?)))
    }

    /// Remembers that this node's log showed two histories: from now on nothing about a person is disclosed to it. No
    /// record takes that back; who may be trusted again is for the coordinators, who accredit another node.
    pub fn suspend(&mut self, node: NodeId) {
        self.suspended.insert(node);
    }

    /// Whether this node is suspended here.
    #[must_use]
    pub fn is_suspended(&self, node: NodeId) -> bool {
        self.suspended.contains(&node)
    }

    /// The nodes of an organisation.
    pub fn nodes_of(&self, org: OrgId) -> impl Iterator<Item = NodeId> {
        self.certs.iter().filter(move |(_, e)| e.value().org_id == org.0).map(|(id, _)| *id)
    }

    /// A node's newest descriptor, expired or not.
    #[must_use]
    pub fn descriptor(&self, node: NodeId) -> Option<&Descriptor> {
        self.descriptors.get(&node).map(Entry::value)
    }

    /// The newest time (Unix seconds) at which a node other than `me` signed a descriptor that was admitted: what
    /// somebody else's clock says at least.
    #[must_use]
    pub fn newest_word_of_others(&self, me: NodeId) -> Option<u64> {
        let others = self.descriptors.iter().filter(|(node, _)| **node != me);
        others.map(|(_, e)| e.value().serial.saturating_mul(HOUR)).max()
    }

    /// Every record as received, in the order a stranger must read them.
    pub fn records(&self) -> impl Iterator<Item = &Signed> {
        std::iter::once(self.policy.record.raw())
            .chain(self.orgs.values().map(|e| e.record.raw()))
            .chain(self.certs.values().map(|e| e.record.raw()))
            .chain(self.descriptors.values().map(|e| e.record.raw()))
            .chain(self.revocations.values().map(|e| e.record.raw()))
    }

    /// The records that vouch for one organisation, and its nodes' prekeys, for a peer or a file.
    #[must_use]
    pub fn bundle(&self, org: OrgId) -> clearhouse_wire::v1::RecordBundle {
        let nodes: Vec<NodeId> = self.nodes_of(org).collect();
        let mut bundle = clearhouse_wire::v1::RecordBundle::default();
        bundle.records.push(self.policy.record.raw().clone());
        bundle.records.extend(self.orgs.get(&org).map(|e| e.record.raw().clone()));
        for node in nodes {
            bundle.records.extend(self.certs.get(&node).map(|e| e.record.raw().clone()));
            bundle.records.extend(self.descriptors.get(&node).map(|e| e.record.raw().clone()));
            for ((_, week), prekey) in self.prekeys.range((node, 0)..=(node, u64::MAX)) {
                bundle.prekeys.push(clearhouse_wire::v1::Prekey { week: *week, pk: prekey.as_bytes().to_vec() });
            }
        }
        bundle.records.extend(self.revocations.values().map(|e| e.record.raw().clone()));
        bundle
    }

    /// Takes a record that [`check`](Self::check) let through. Repeating it changes nothing.
    pub fn insert(&mut self, checked: Checked) {
        match checked {
            Checked::Policy(record, coordinators) => {
                self.policy = Entry::new(record);
                self.coordinators = coordinators;
            }
            Checked::Org(id, record) => drop(self.orgs.insert(id, Entry::new(record))),
            Checked::Cert(id, record) => drop(self.certs.insert(id, Entry::new(record))),
            Checked::Descriptor(id, record) => {
                self.tls.retain(|_, node| *node != id);
                for pk in &record.value().tls_pks {
                    if let Ok(pk) = <[u8; 32]>::try_from(pk.as_slice()) {
                        self.tls.insert(pk, id);
                    }
                }
                let listed: Vec<u64> = record.value().prekeys.iter().map(|p| p.week).collect();
                self.prekeys.retain(|(node, week), _| *node != id || listed.contains(week));
                self.descriptors.insert(id, Entry::new(record));
            }
            Checked::Revocation(record) => {
                if let Ok(subject) = <[u8; 16]>::try_from(record.value().subject.as_slice()) {
                    self.revocations.insert((subject, record.value().subject_kind), Entry::new(record));
                }
            }
            Checked::Prekey(node, week, prekey) => drop(self.prekeys.insert((node, week), *prekey)),
        }
    }

    /// The row key under which a node keeps a record: its kind and subject, so a newer version takes its place.
    #[must_use]
    pub fn row_key(checked: &Checked) -> Vec<u8> {
        match checked {
            Checked::Policy(record, _) => [b"P".as_slice(), &record.value().version.to_be_bytes()].concat(),
            Checked::Org(id, _) => [b"O".as_slice(), id.as_bytes()].concat(),
            Checked::Cert(id, _) => [b"N".as_slice(), id.as_bytes()].concat(),
            Checked::Descriptor(id, _) => [b"Q".as_slice(), id.as_bytes()].concat(),
            Checked::Prekey(id, week, _) => [b"R".as_slice(), id.as_bytes(), &week.to_be_bytes()].concat(),
            Checked::Revocation(record) => {
                let revocation = record.value();
                [b"V".as_slice(), &revocation.subject, &revocation.subject_kind.to_be_bytes()].concat()
            }
        }
    }
}

/// The payload types a directory reads.
pub const RECORD_TYPES: [&str; 5] = [media::ROOT, media::ORG, media::NODECERT, media::DESCRIPTOR, media::REVOCATION];

#[cfg(test)]
pub(crate) mod tests;

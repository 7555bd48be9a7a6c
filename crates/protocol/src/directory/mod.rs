//! Who is who: the records a node holds, each verified by this node, and what follows from them now.
//!
//! A record enters by [`Directory::check`] (pure, [`admit`]) and [`Directory::insert`]; the raw bytes are kept and
//! re-verified at every start. Nothing here trusts where a record came from, and nothing here deletes: a newer
//! version replaces, a revocation ends, and two records of one version freeze their subject at the one before.
//! Once the policy names directory logs, an accreditation or a certificate counts only when it stands in one ([`logs`]).

mod admit;
pub mod beforehand;
pub mod buckets;
mod corridor;
pub mod entry;
mod held;
pub mod introduction;
pub mod logs;
mod lookup;
pub mod lost_key;
pub mod pages;
mod rows;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clearhouse_wire::v1::{Descriptor, NodeCert, OrgRecord, Revocation, RootPolicy, Signed};

pub use admit::{Checked, RecordFault, Rival};
pub use corridor::RuleName;
use held::{Chained, Held, advance, contest};
pub use lookup::{Recipient, RouteFault};
pub use rows::ROW_KINDS;

use crate::audit;
use crate::ids::{Net, NodeId, OrgId};
use crate::keys::{Prekey, VerifyKey};
use crate::labels::media;
use crate::limits::HOUR;
use crate::log::note::NoteKey;
use crate::pae::sha256;
use crate::signed::Verified;

/// One accepted record with what later checks need of it. Shared by every copy of the directory: each decision on records
/// is made on a copy.
pub(crate) struct Entry<T> {
    pub(crate) record: Arc<Verified<T>>,
    pub(crate) hash: [u8; 32],
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), hash: self.hash }
    }
}

impl<T> Entry<T> {
    fn new(record: Verified<T>) -> Self {
        let hash = sha256(&record.raw().payload);
        Self { record: Arc::new(record), hash }
    }

    pub(crate) fn value(&self) -> &T {
        self.record.value()
    }
}

/// The directory of one network as one node knows it.
#[derive(Clone)]
pub struct Directory {
    net: Net,
    genesis: Signed,
    /// Every later policy, each as it came, without those that contradict one.
    walk: Vec<Signed>,
    policy: Held<RootPolicy>,
    coordinators: Vec<VerifyKey>,
    orgs: BTreeMap<OrgId, Held<OrgRecord>>,
    certs: BTreeMap<NodeId, Held<NodeCert>>,
    descriptors: BTreeMap<NodeId, Entry<Descriptor>>,
    prekeys: BTreeMap<(NodeId, u64), Arc<Prekey>>,
    /// Which node lists which prekey, by hash, for which week.
    listed: BTreeSet<([u8; 32], NodeId, u64)>,
    revocations: BTreeMap<([u8; 16], i32), Entry<Revocation>>,
    tls: BTreeMap<[u8; 32], NodeId>,
    suspended: BTreeSet<NodeId>,
    announced: BTreeMap<OrgId, lost_key::Announced>,
    objections: lost_key::Objections,
    /// Every root key that an accreditation held here ever named: what one of them signed before it was replaced, and was
    /// taken then, is taken again at a start.
    roots: BTreeMap<OrgId, BTreeSet<[u8; 32]>>,
    logs: BTreeMap<NodeId, Arc<logs::Followed>>,
    /// The record in each entry of any log, by the hash of its leaf: what one log showed need not be shown by the next.
    entries: Arc<BTreeMap<[u8; 32], [u8; 32]>>,
    /// Hashes of the payloads of all records that are known to stand in a log.
    published: Arc<BTreeSet<[u8; 32]>>,
}

impl Directory {
    /// The network's name for itself in every signature.
    #[must_use]
    pub fn net(&self) -> Net {
        self.net
    }

    /// The policy in force: the newest, also when another of its version contradicts it ([`RouteFault::Contested`]).
    #[must_use]
    pub fn policy(&self) -> &RootPolicy {
        self.policy.newest().value()
    }

    /// The policy in force as it was signed: the next one names its hash.
    #[must_use]
    pub fn newest_policy(&self) -> &Signed {
        self.policy.newest().record.raw()
    }

    /// The policy this network was founded on.
    #[must_use]
    pub fn genesis(&self) -> &Signed {
        &self.genesis
    }

    /// An organisation's record, valid or not, contested or not: for its name, never for its rights.
    #[must_use]
    pub fn org(&self, org: OrgId) -> Option<&OrgRecord> {
        self.orgs.get(&org).map(|held| held.shown().value())
    }

    /// Every organisation, by id, as [`Directory::org`] shows it.
    pub fn orgs(&self) -> impl Iterator<Item = (OrgId, &OrgRecord)> {
        self.orgs.iter().map(|(id, held)| (*id, held.shown().value()))
    }

    /// What coordinators accredit an organisation for, contested records apart; whether that is valid now is not asked.
    #[must_use]
    pub fn accredited(&self, org: OrgId) -> Option<&OrgRecord> {
        Some(self.org_in_force(org)?.value())
    }

    /// The newest record of an organisation that counts: not contested, and shown to everybody. The first record of a
    /// coordinator that the policy names counts by the policy, or nobody could cosign the first head.
    fn org_in_force(&self, org: OrgId) -> Option<&Entry<OrgRecord>> {
        let named = || self.policy().coordinators.iter().any(|c| c.id == org.0);
        let counts =
            |entry: &Entry<OrgRecord>| self.is_published(&entry.hash) || (entry.value().version == 1 && named());
        self.orgs.get(&org)?.in_force(counts)
    }

    /// The newest certificate of a node that counts; by the policy when that names the node with this witness key.
    fn cert_in_force(&self, node: NodeId) -> Option<&Entry<NodeCert>> {
        let named = |cert: &NodeCert| {
            let mut named = self.policy().coordinators.iter().filter(|c| c.node_id == node.0 && c.id == cert.org_id);
            named.any(|c| !c.witness_vkey.is_empty() && c.witness_vkey == cert.witness_vkey)
        };
        let counts = |entry: &Entry<NodeCert>| {
            self.is_published(&entry.hash) || (entry.value().version == 1 && named(entry.value()))
        };
        self.certs.get(&node)?.in_force(counts)
    }

    /// Whether a record of an organisation or of a node is held that does not count because no log shows it.
    fn is_unpublished(&self, org: OrgId, node: NodeId) -> bool {
        let org = self.orgs.get(&org).is_some_and(|held| held.in_force(|_| true).is_some());
        org && self.certs.get(&node).is_some_and(|held| held.in_force(|_| true).is_some())
    }

    /// The newest record of an organisation as it was signed, contested or not: what the next one follows.
    #[must_use]
    pub fn newest_org(&self, org: OrgId) -> Option<&Signed> {
        self.orgs.get(&org).map(|held| held.newest().record.raw())
    }

    /// A node's certificate, valid or not, contested or not: for the keys of its log, never for its rights.
    #[must_use]
    pub fn cert(&self, node: NodeId) -> Option<&NodeCert> {
        self.certs.get(&node).map(|held| held.shown().value())
    }

    /// The newest certificate of a node as it was signed, contested or not: what the next one follows.
    #[must_use]
    pub fn newest_cert(&self, node: NodeId) -> Option<&Signed> {
        self.certs.get(&node).map(|held| held.newest().record.raw())
    }

    /// The key of a node's log, as its certificate names it; valid or not, a log can always be checked.
    #[must_use]
    pub fn log_key(&self, node: NodeId) -> Option<NoteKey> {
        let cert = self.cert(node)?;
        audit::log_key(&cert.log_vkey, self.net(), cert.org_id.as_slice().try_into().ok()?, node, VerifyKey::held)
    }

    /// The key with which a node cosigns others' logs, as its certificate names it.
    #[must_use]
    pub fn witness_key(&self, node: NodeId) -> Option<NoteKey> {
        let cert = self.cert(node)?;
        audit::witness_key(
            &cert.witness_vkey,
            self.net(),
            cert.org_id.as_slice().try_into().ok()?,
            node,
            VerifyKey::held,
        )
    }

    /// The node whose log has this origin, its own or its directory log, and the key of that log.
    #[must_use]
    pub fn log_named(&self, origin: &str) -> Option<(NodeId, NoteKey)> {
        if let Some(named) = self
            .policy()
            .coordinators
            .iter()
            .filter_map(|c| logs::log_of(self.net, c, VerifyKey::held))
            .find(|(_, key)| key.name() == origin)
        {
            return Some(named);
        }
        let names = |vkey: &str| vkey.strip_prefix(origin).is_some_and(|rest| rest.starts_with('+'));
        let mut named = self.certs.iter().filter(|(_, held)| names(&held.shown().value().log_vkey));
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
        self.certs.iter().filter(move |(_, held)| held.shown().value().org_id == org.0).map(|(id, _)| *id)
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

    /// The newest time at which a node other than `me` signed a descriptor among `records` that holds by `now`, unix
    /// seconds: what a file can say of the time to a node whose own clock waits for somebody's word.
    #[must_use]
    pub fn newest_word_in(&self, records: &[Signed], me: NodeId, now: u64) -> Option<u64> {
        let descriptors = records.iter().filter(|record| record.payload_type == media::DESCRIPTOR);
        let word = |record| match self.check(record, now) {
            Ok(Some(Checked::Descriptor(node, said))) if node != me => Some(said.value().serial.saturating_mul(HOUR)),
            _ => None,
        };
        descriptors.filter_map(word).max()
    }

    /// Every policy that was in force, from the genesis on, as received.
    pub(crate) fn policies(&self) -> impl DoubleEndedIterator<Item = &Signed> {
        std::iter::once(&self.genesis).chain(&self.walk)
    }

    /// Every record as received, in the order a stranger must read them.
    pub fn records(&self) -> impl Iterator<Item = &Signed> {
        let policies = self.policies().chain(self.policy.contested().into_iter().map(|[_, rival]| rival.record.raw()));
        policies
            .chain(self.orgs.values().flat_map(|held| self.leading(held)))
            .chain(self.waiting_records())
            .chain(self.certs.values().flat_map(|held| self.leading(held)))
            .chain(self.descriptors.values().map(|e| e.record.raw()))
            .chain(self.revocations.values().map(|e| e.record.raw()))
    }

    fn leading<'d, T: Chained>(&self, held: &'d Held<T>) -> impl Iterator<Item = &'d Signed> + use<'d, T> {
        held.records(self.is_published(&held.newest().hash))
    }

    /// The records that vouch for a node of an organisation, in the order a stranger must read them.
    pub(crate) fn vouching(&self, org: OrgId, node: NodeId) -> Vec<Signed> {
        let org = self.orgs.get(&org).into_iter().flat_map(|held| self.leading(held));
        org.chain(self.certs.get(&node).into_iter().flat_map(|held| self.leading(held))).cloned().collect()
    }

    /// The records that vouch for one organisation, and its nodes' prekeys, for a peer or a file.
    #[must_use]
    pub fn bundle(&self, org: OrgId) -> clearhouse_wire::v1::RecordBundle {
        let nodes: Vec<NodeId> = self.nodes_of(org).collect();
        let mut bundle = clearhouse_wire::v1::RecordBundle::default();
        bundle.records.extend(self.policies().cloned());
        bundle.records.extend(self.orgs.get(&org).into_iter().flat_map(|held| self.leading(held)).cloned());
        bundle.records.extend(self.waiting_records_of(org).cloned());
        for node in nodes {
            bundle.records.extend(self.certs.get(&node).into_iter().flat_map(|held| self.leading(held)).cloned());
            bundle.records.extend(self.descriptors.get(&node).map(|e| e.record.raw().clone()));
            for ((_, week), prekey) in self.prekeys.range((node, 0)..=(node, u64::MAX)) {
                bundle.prekeys.push(clearhouse_wire::v1::Prekey { week: *week, pk: prekey.as_bytes().to_vec() });
            }
        }
        bundle.published = self.prove(&bundle.records);
        bundle.records.extend(self.revocations.values().map(|e| e.record.raw().clone()));
        bundle
    }

    /// Takes a record that [`check`](Self::check) let through. Repeating it changes nothing.
    pub fn insert(&mut self, checked: Checked) {
        match checked {
            Checked::Policy(record, coordinators) => {
                self.follow_policy(Entry::new(record));
                self.coordinators = coordinators;
            }
            Checked::Org(id, record) => {
                self.roots.entry(id).or_default().extend(<[u8; 32]>::try_from(record.value().org_root_pk.as_slice()));
                advance(&mut self.orgs, id, Entry::new(record));
                self.settle_announced(id);
            }
            Checked::Announced(id, record) => self.take_announced(id, Entry::new(record)),
            Checked::Objection(id, record) => self.take_objection(id, Entry::new(record)),
            Checked::Cert(id, record) => advance(&mut self.certs, id, Entry::new(record)),
            Checked::Rival(rival) => match rival {
                Rival::Policy(record) => self.policy.contest(Entry::new(record)),
                Rival::Org(id, record) => contest(&mut self.orgs, id, Entry::new(record)),
                Rival::Cert(id, record) => contest(&mut self.certs, id, Entry::new(record)),
                Rival::Announced(id, record) => self.contest_announced(id, Entry::new(record)),
            },
            Checked::Descriptor(id, record) => self.describe(id, Entry::new(record)),
            Checked::Revocation(record) => {
                if let Ok(subject) = <[u8; 16]>::try_from(record.value().subject.as_slice()) {
                    self.revocations.insert((subject, record.value().subject_kind), Entry::new(record));
                }
            }
            Checked::Prekey(node, week, prekey) => drop(self.prekeys.insert((node, week), Arc::from(prekey))),
        }
    }

    /// Takes a node's newest descriptor. Of a week whose prekey changed, the old one opens nothing there any more.
    fn describe(&mut self, id: NodeId, entry: Entry<Descriptor>) {
        if let Some(old) = self.descriptors.get(&id) {
            let old = Arc::clone(&old.record);
            for pk in tls_keys(old.value()).filter(|pk| self.tls.get(pk) == Some(&id)).collect::<Vec<_>>() {
                self.tls.remove(&pk);
            }
            for (hash, week) in prekey_hashes(old.value()) {
                self.listed.remove(&(hash, id, week));
            }
        }
        self.tls.extend(tls_keys(entry.value()).map(|pk| (pk, id)));
        self.listed.extend(prekey_hashes(entry.value()).map(|(hash, week)| (hash, id, week)));
        let held = self.prekeys.range((id, 0)..=(id, u64::MAX));
        let lists = |week: u64, key: &Prekey| self.listed.contains(&(sha256(key.as_bytes()), id, week));
        let ended: Vec<u64> = held.filter(|((_, week), key)| !lists(*week, key)).map(|((_, week), _)| *week).collect();
        for week in ended {
            self.prekeys.remove(&(id, week));
        }
        self.descriptors.insert(id, entry);
    }

    fn follow_policy(&mut self, next: Entry<RootPolicy>) {
        // The walk has the policy that was seen first. Whoever follows the other goes its way from there.
        let taken = self.policy.predecessor(next.value()).map(|taken| taken.record.raw());
        if let (Some(taken), Some(last)) = (taken, self.walk.last_mut()) {
            last.clone_from(taken);
        }
        self.walk.push(next.record.raw().clone());
        self.policy.advance(next);
    }

    /// The records that contradict each other, two by two: evidence that somebody signed two truths.
    pub fn contested(&self) -> impl Iterator<Item = [&Signed; 2]> {
        let policy = self.policy.contested().map(|two| two.map(|entry| entry.record.raw()));
        let orgs = self.orgs.values().filter_map(|held| Some(held.contested()?.map(|entry| entry.record.raw())));
        let certs = self.certs.values().filter_map(|held| Some(held.contested()?.map(|entry| entry.record.raw())));
        policy.into_iter().chain(orgs).chain(certs)
    }

    /// Whether records of an organisation, or of a node of it, contradict each other.
    #[must_use]
    pub fn is_contested_about(&self, org: OrgId) -> bool {
        let mut nodes = self.nodes_of(org);
        self.orgs.get(&org).is_some_and(|held| held.contested().is_some())
            || nodes.any(|node| self.certs.get(&node).is_some_and(|held| held.contested().is_some()))
    }

    /// Whether two policies of one version are held: then nobody can say what holds, and nothing new leaves.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.policy.contested().is_some()
    }
}

fn tls_keys(descriptor: &Descriptor) -> impl Iterator<Item = [u8; 32]> {
    descriptor.tls_pks.iter().filter_map(|pk| pk.as_slice().try_into().ok())
}

fn prekey_hashes(descriptor: &Descriptor) -> impl Iterator<Item = ([u8; 32], u64)> {
    descriptor.prekeys.iter().filter_map(|prekey| Some((prekey.sha256.as_slice().try_into().ok()?, prekey.week)))
}

/// The payload types a directory reads.
pub const RECORD_TYPES: [&str; 6] =
    [media::ROOT, media::ORG, media::NODECERT, media::DESCRIPTOR, media::REVOCATION, media::OBJECTION];

#[cfg(test)]
pub(crate) mod tests;

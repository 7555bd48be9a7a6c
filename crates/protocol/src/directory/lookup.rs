//! What follows from the records at a given moment: may this node speak, may we seal to it, who owns a TLS key.
//!
//! Every answer walks the whole chain organisation, certificate, descriptor, prekey again: a record that expired
//! or was revoked a second ago no longer counts.

use std::sync::Arc;

use clearhouse_wire::v1::{Coordinator, NodeCert, RootPolicy};
use prost::Message as _;

use super::Directory;
use crate::ids::{MailboxId, NodeId, OrgId, PrekeyId};
use crate::keys::{Prekey, VerifyKey, key_id};
use crate::limits::{ATTESTED_SECS, WEEK};

/// Why a node may not be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// No record of it.
    #[error("not in the directory")]
    Unknown,
    /// A record on its chain is not valid now.
    #[error("its accreditation or certificate is not valid now")]
    Expired,
    /// A revocation is in force.
    #[error("revoked")]
    Revoked,
    /// Its descriptor expired or was never seen.
    #[error("its current address and keys are not known")]
    NoDescriptor,
    /// No prekey for the current week.
    #[error("no key to seal to this week")]
    NoPrekey,
    /// Two contradicting records of it are held, and none before them; or two policies of one version are.
    #[error("two different records of it are signed: neither counts")]
    Contested,
    /// Its accreditation or certificate stands in no coordinators' log that this node follows: whoever signed it may have
    /// shown it to nobody else.
    #[error("its accreditation was not shown to everybody: it is in no coordinators' log")]
    Unpublished,
    /// What coordinators said last is older than 48 hours (for profiles) or 14 days: it may have been revoked since.
    #[error("the directory here is out of date: no new word of enough coordinators")]
    OutOfDate,
    /// A rule of the network does not let a message of this kind go there.
    #[error("the rule `{0}` of this network does not let a message of this kind go there")]
    Corridor(super::RuleName),
    /// Nobody there has said for [`ATTESTED_SECS`] that its entry is right: not used for anybody new.
    #[error("not confirmed by its people for 90 days")]
    Stale,
    /// Its log showed two histories: nothing new about a person goes there.
    #[error("suspended: its log was shown with two histories")]
    Suspended,
    /// No suite that both sides and the policy allow.
    #[error("no cipher suite in common")]
    NoSuite,
}

/// Where and how to seal a message to a node now.
#[derive(Clone)]
pub struct Recipient {
    /// Its organisation.
    pub org: OrgId,
    /// The node.
    pub node: NodeId,
    /// Its mailboxes in order of preference: id, keeping node, endpoint.
    pub mailboxes: Vec<(MailboxId, NodeId, String)>,
    /// This week's prekey.
    pub prekey: Arc<Prekey>,
    /// The week it serves.
    pub week: u64,
    /// Message types it reads, each with the highest version.
    pub reads: Vec<(u32, u32)>,
}

impl Directory {
    /// Whom an id names as a coordinator, in the policy in force or in one before it, where the same coordinator may have had
    /// another id; and whether the policy in force still names its key. Of two policies the newer one is asked first.
    #[must_use]
    pub fn coordinator_named(&self, id: &[u8]) -> Option<(Coordinator, bool)> {
        let today = &self.policy().coordinators;
        if let Some(named) = today.iter().find(|c| c.id == id) {
            return Some((named.clone(), true));
        }
        let before = self.policies().rev();
        let named = before.filter_map(|policy| RootPolicy::decode(policy.payload.as_slice()).ok());
        let was = named.flat_map(|policy| policy.coordinators).find(|c| c.id == id)?;
        let is = today.iter().find(|c| c.accreditation_pk == was.accreditation_pk);
        Some(is.map_or((was, false), |is| (is.clone(), true)))
    }

    /// The signing key of a node whose whole chain is valid at `now`.
    ///
    /// # Errors
    /// [`RouteFault`].
    pub fn signing_key(&self, org: OrgId, node: NodeId, now: u64) -> Result<VerifyKey, RouteFault> {
        match self.standing(org, node, now)? {
            (key, false) => Ok(key),
            (_, true) => Err(RouteFault::Revoked),
        }
    }

    /// Whether a node has a [`Directory::signing_key`], for whoever does not need the key itself: to make a point of its
    /// bytes takes longer than all the rest.
    ///
    /// # Errors
    /// As there.
    pub fn may_speak(&self, org: OrgId, node: NodeId, now: u64) -> Result<(), RouteFault> {
        match self.chain(org, node, now)? {
            (_, false) => Ok(()),
            (_, true) => Err(RouteFault::Revoked),
        }
    }

    /// [`Directory::signing_key`], and whether a revocation is in force against it: for a letter that waits for a
    /// person's decision, never for anything that has an effect by itself.
    ///
    /// # Errors
    /// [`RouteFault`]; `Revoked` where nothing else of the chain is valid either.
    pub fn standing(&self, org: OrgId, node: NodeId, now: u64) -> Result<(VerifyKey, bool), RouteFault> {
        let (cert, revoked) = self.chain(org, node, now)?;
        // It was admitted when the certificate was.
        Ok((VerifyKey::held(&cert.sign_pk).map_err(|_| RouteFault::Unknown)?, revoked))
    }

    /// The certificate of a node whose chain is valid at `now`, and whether a revocation is in force against it.
    fn chain(&self, org: OrgId, node: NodeId, now: u64) -> Result<(&NodeCert, bool), RouteFault> {
        if !self.certs.contains_key(&node) || !self.orgs.contains_key(&org) {
            return Err(RouteFault::Unknown);
        }
        let (Some(cert), Some(record)) = (self.cert_in_force(node), self.org_in_force(org)) else {
            return Err(if self.is_unpublished(org, node) { RouteFault::Unpublished } else { RouteFault::Contested });
        };
        let (cert, record) = (cert.value(), record.value());
        if cert.org_id != org.0 {
            return Err(RouteFault::Unknown);
        }
        let key = cert.sign_pk.as_slice().try_into().map_err(|_| RouteFault::Unknown)?;
        let revoked = [org.0, node.0, key_id(key).0].iter().any(|subject| self.is_revoked(subject, now));
        let within = |from: u64, until: u64| from <= now && now < until;
        let policy = self.policy();
        let valid = within(record.valid_from, record.valid_until)
            && within(cert.valid_from, cert.valid_until)
            && within(policy.not_before, policy.not_after);
        match (valid, revoked) {
            (true, _) => Ok((cert, revoked)),
            (false, true) => Err(RouteFault::Revoked),
            (false, false) => Err(RouteFault::Expired),
        }
    }

    /// Whether an organisation is accredited as a coordinator.
    #[must_use]
    pub fn is_coordinator(&self, org: OrgId) -> bool {
        self.accredited(org).is_some_and(|record| record.roles.iter().any(|role| role == "Coordinator"))
    }

    /// The nodes of coordinators that may speak at `now`, without `me`; by node id.
    #[must_use]
    pub fn coordinators(&self, me: NodeId, now: u64) -> Vec<(OrgId, NodeId)> {
        let orgs = self.orgs().map(|(org, _)| org).filter(|org| self.is_coordinator(*org));
        let nodes = orgs.flat_map(|org| self.nodes_of(org).map(move |node| (org, node)));
        let speaks = |(org, node): &(OrgId, NodeId)| *node != me && self.may_speak(*org, *node, now).is_ok();
        let mut all: Vec<_> = nodes.filter(speaks).collect();
        all.sort_by_key(|(_, node)| *node);
        all
    }

    /// Everything needed to seal a message to `node` at `now`.
    ///
    /// # Errors
    /// [`RouteFault`].
    pub fn recipient(&self, org: OrgId, node: NodeId, now: u64) -> Result<Recipient, RouteFault> {
        if self.is_contested() {
            return Err(RouteFault::Contested);
        }
        self.may_speak(org, node, now)?;
        let descriptor = self.descriptors.get(&node).ok_or(RouteFault::NoDescriptor)?.value();
        if descriptor.expires <= now {
            return Err(RouteFault::NoDescriptor);
        }
        let policy = self.policy();
        let common = |s: &u32| *s == 1 && *s >= policy.min_suite && policy.allowed_suites.contains(s);
        if !descriptor.suites.iter().any(common) {
            return Err(RouteFault::NoSuite);
        }
        let week = now / WEEK;
        let prekey = Arc::clone(self.prekeys.get(&(node, week)).ok_or(RouteFault::NoPrekey)?);
        let mailboxes = descriptor
            .mailboxes
            .iter()
            .filter_map(|m| {
                let keeper = NodeId::try_from(m.node_id.as_slice()).ok()?;
                Some((MailboxId::try_from(m.id.as_slice()).ok()?, keeper, m.endpoint.clone()))
            })
            .collect();
        let reads = descriptor.reads.iter().map(|r| (r.msg_type, r.max_version)).collect();
        Ok(Recipient { org, node, mailboxes, prekey, week, reads })
    }

    /// The node behind a TLS key, if that node may speak at `now`.
    #[must_use]
    pub fn peer(&self, tls_pk: &[u8; 32], now: u64) -> Option<NodeId> {
        let node = *self.tls.get(tls_pk)?;
        let cert = self.cert(node)?;
        let org = OrgId::try_from(cert.org_id.as_slice()).ok()?;
        self.may_speak(org, node, now).ok()?;
        self.descriptors.get(&node).filter(|d| d.value().expires > now)?;
        Some(node)
    }

    /// Every node with its newest descriptor, expired or not.
    pub fn described(&self) -> impl Iterator<Item = (NodeId, &clearhouse_wire::v1::Descriptor)> {
        self.descriptors.iter().map(|(node, held)| (*node, held.value()))
    }

    /// The organisation a node belongs to, whatever its standing.
    #[must_use]
    pub fn org_of(&self, node: NodeId) -> Option<OrgId> {
        OrgId::try_from(self.cert(node)?.org_id.as_slice()).ok()
    }

    /// Whether nobody at a node has said for [`ATTESTED_SECS`] that its entry is right. One without a descriptor is.
    #[must_use]
    pub fn is_stale(&self, node: NodeId, now: u64) -> bool {
        self.descriptor(node).is_none_or(|d| d.attested.saturating_add(ATTESTED_SECS) <= now)
    }

    /// Whether a revocation of this organisation, node or key id is in force.
    #[must_use]
    pub fn is_revoked(&self, subject: &[u8; 16], now: u64) -> bool {
        let range = (*subject, i32::MIN)..=(*subject, i32::MAX);
        self.revocations.range(range).any(|(_, e)| e.value().effective <= now)
    }

    /// The prekey ids a node currently publishes, by week.
    #[must_use]
    pub fn prekey_ids(&self, node: NodeId) -> Vec<(u64, PrekeyId)> {
        self.prekeys.range((node, 0)..=(node, u64::MAX)).map(|((_, week), key)| (*week, key.id())).collect()
    }
}

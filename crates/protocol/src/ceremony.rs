//! Making records: what coordinators, organisations and nodes sign, with the shape the directory demands.
//!
//! Used by set-up commands, the demo and tests alike, so that what is tested is what is signed. Nothing here
//! stores a key or reads a clock.

use clearhouse_wire::v1::{
    Agreement, ChildPlaces, Coordinator, Descriptor, DutyHours, Mailbox, NetworkKind, NodeCert, Objection, OrgRecord,
    PrekeyHash, Readable, Revocation, RootPolicy, Signed, SubjectKind,
};
use prost::Message;

use crate::audit::{self, FIRST_GENERATION};
use crate::directory::logs;
use crate::ids::{MailboxId, Net, NodeId, OrgId};
use crate::keys::{Prekey, SigningKey};
use crate::labels::media;
use crate::limits::{DAY, DESCRIPTOR_LIFE_SECS, HOUR, RECORD_LIFE_SECS, RECORD_MAX};
use crate::log::note::{KeyKind, NoteFault, NoteKey};
use crate::pae::sha256;
use crate::signed::{add_signature, sign};

/// The reason of a revocation that was signed beforehand.
const COMPROMISED: &str = "Compromised";

/// One founding coordinator.
pub struct Founder<'a> {
    /// Its id.
    pub id: [u8; 16],
    /// ISO 3166-1 alpha-2, or XK.
    pub country: &'a str,
    /// Its accreditation key.
    pub key: &'a SigningKey,
    /// Its node, or zeros while it runs none.
    pub node: NodeId,
}

/// Thresholds of a network.
#[derive(Clone, Copy)]
pub struct Thresholds {
    /// Signatures that accredit.
    pub accredit: u32,
    /// Signatures that revoke.
    pub revoke: u32,
    /// Signatures that change the policy.
    pub root: u32,
    /// Dishonest coordinators tolerated.
    pub f: u32,
}

/// The genesis policy, signed by every founder, valid 360 days from `now`, and the network it founds.
#[must_use]
pub fn genesis(kind: NetworkKind, label: &str, founders: &[Founder<'_>], k: Thresholds, now: u64) -> (Signed, Net) {
    let coordinators = founders
        .iter()
        .map(|f| Coordinator {
            id: f.id.to_vec(),
            country: f.country.to_owned(),
            accreditation_pk: f.key.public().to_vec(),
            node_id: f.node.to_vec(),
            ..Coordinator::default()
        })
        .collect();
    let policy = RootPolicy {
        version: 1,
        kind: kind.into(),
        label: label.to_owned(),
        not_before: now.saturating_sub(DAY),
        not_after: now + 360 * DAY,
        coordinators,
        k_accredit: k.accredit,
        k_revoke: k.revoke,
        k_root: k.root,
        f: k.f,
        allowed_suites: vec![1],
        min_suite: 1,
        log_tick_secs: if kind == NetworkKind::Training { 1 } else { 30 },
        audit_push_secs: if kind == NetworkKind::Training { 1 } else { 3600 },
        ..RootPolicy::default()
    };
    let mut signed = Signed { payload_type: media::ROOT.into(), payload: policy.encode_to_vec(), signatures: vec![] };
    for founder in founders {
        add_signature(&mut signed, founder.key);
    }
    let net = Net(sha256(&signed.payload));
    (signed, net)
}

/// The policy after `held`, valid 360 days from `now`, with a change; nobody has signed it. `None` when `held` is none.
#[must_use]
pub fn next_policy(held: &Signed, now: u64, change: impl FnOnce(&mut RootPolicy)) -> Option<Signed> {
    let mut policy: RootPolicy = crate::canon::decode(&held.payload, RECORD_MAX).ok()?;
    policy.version += 1;
    policy.prev_hash = sha256(&held.payload).to_vec();
    policy.not_before = now.saturating_sub(DAY);
    policy.not_after = now + 360 * DAY;
    change(&mut policy);
    Some(Signed { payload_type: media::ROOT.into(), payload: policy.encode_to_vec(), signatures: vec![] })
}

/// Names, in a policy, the node of a coordinator with its directory log and the key by which it cosigns the others'. The
/// log is signed with the key of the node's own log: the name of a log is part of what is signed.
///
/// # Errors
/// [`NoteFault`] for a key that must not be used.
pub fn name_log(
    coordinator: &mut Coordinator,
    net: Net,
    (org, node): (OrgId, NodeId),
    log: &[u8; 32],
    witness: &[u8; 32],
) -> Result<(), NoteFault> {
    coordinator.id = org.to_vec();
    coordinator.node_id = node.to_vec();
    coordinator.log_vkey = NoteKey::new(&logs::origin(net, org, node), KeyKind::Log, log)?.to_string();
    coordinator.witness_vkey =
        NoteKey::new(&audit::witness_name(net, org, node), KeyKind::Witness, witness)?.to_string();
    Ok(())
}

/// What an organisation applies with.
pub struct Application<'a> {
    /// Its id.
    pub org: OrgId,
    /// Its working name; a pseudonym where a shelter needs one.
    pub label: &'a str,
    /// ISO 3166-1 alpha-2, or XK.
    pub country: &'a str,
    /// What it does in a return: Destination, Origin, Coordinator ...
    pub roles: &'a [&'a str],
    /// What it can offer.
    pub competences: &'a [&'a str],
    /// Its root key.
    pub root_pk: [u8; 32],
}

/// How an organisation comes in, and what it bound itself to. The default says nothing of it: enough for training.
#[derive(Clone, Default)]
pub struct Membership {
    /// Where in its country it works, ISO 3166-2; empty for all of it.
    pub area: String,
    /// The version of the region's standards that it signed, and when in unix seconds.
    pub standards: Option<(String, u64)>,
    /// Names of agreements and when each ends.
    pub agreements: Vec<(String, u64)>,
    /// Who vouches for it: none or two ids of organisations or coordinators.
    pub sponsors: Vec<[u8; 16]>,
}

/// A first OrgRecord that nobody has signed, valid 360 days.
#[must_use]
pub fn apply(net: Net, a: &Application<'_>, m: &Membership, now: u64) -> Signed {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let (standards, standards_signed) = m.standards.clone().unwrap_or_default();
    let agreement = |(name, until): &(String, u64)| Agreement { name: name.clone(), valid_until: *until };
    let record = OrgRecord {
        net: net.to_vec(),
        org_id: a.org.to_vec(),
        version: 1,
        prev_hash: vec![],
        label: a.label.to_owned(),
        country: a.country.to_owned(),
        roles: owned(a.roles),
        competences: owned(a.competences),
        org_root_pk: a.root_pk.to_vec(),
        valid_from: now.saturating_sub(DAY),
        valid_until: now + 360 * DAY,
        extensions: vec![],
        area: m.area.clone(),
        standards,
        standards_signed,
        agreements: m.agreements.iter().map(agreement).collect(),
        sponsors: m.sponsors.iter().map(|id| id.to_vec()).collect(),
        lost_key: false,
    };
    Signed { payload_type: media::ORG.into(), payload: record.encode_to_vec(), signatures: vec![] }
}

/// A first OrgRecord signed by the given coordinators, valid 360 days, that says nothing of its membership.
#[must_use]
pub fn accredit(net: Net, a: &Application<'_>, coordinators: &[&SigningKey], now: u64) -> Signed {
    let mut signed = apply(net, a, &Membership::default(), now);
    for key in coordinators {
        add_signature(&mut signed, key);
    }
    signed
}

/// The accreditation after `held`, valid 360 days from `now`, with a change; nobody has signed it. `None` when `held` is
/// none.
#[must_use]
pub fn next_org(held: &Signed, now: u64, change: impl FnOnce(&mut OrgRecord)) -> Option<Signed> {
    let mut record: OrgRecord = crate::canon::decode(&held.payload, RECORD_MAX).ok()?;
    record.version += 1;
    record.prev_hash = sha256(&held.payload).to_vec();
    record.valid_from = now.saturating_sub(DAY);
    record.valid_until = now + 360 * DAY;
    record.lost_key = false;
    change(&mut record);
    Some(Signed { payload_type: media::ORG.into(), payload: record.encode_to_vec(), signatures: vec![] })
}

/// The certificate after `held`, of the same keys, signed by the organisation's root key, valid 360 days from `now`. `None`
/// when `held` is none.
#[must_use]
pub fn next_cert(held: &Signed, now: u64, org_root: &SigningKey) -> Option<Signed> {
    let mut cert: NodeCert = crate::canon::decode(&held.payload, RECORD_MAX).ok()?;
    cert.version += 1;
    cert.prev_hash = sha256(&held.payload).to_vec();
    cert.valid_from = now.saturating_sub(DAY);
    cert.valid_until = now + RECORD_LIFE_SECS - 6 * DAY;
    Some(sign(media::NODECERT, cert.encode_to_vec(), org_root))
}

/// The public keys of a node that its organisation vouches for. Each has one use.
#[derive(Clone, Copy)]
pub struct NodeKeys {
    /// Signs messages, receipts and the node's descriptors.
    pub sign: [u8; 32],
    /// Signs the heads of the node's own log.
    pub log: [u8; 32],
    /// Cosigns the heads of others' logs.
    pub witness: [u8; 32],
}

/// A first NodeCert, signed by the organisation's root key, valid 360 days.
///
/// # Errors
/// [`NoteFault`] for a log or witness key that must not be used.
pub fn certify(
    net: Net,
    org: OrgId,
    node: NodeId,
    keys: &NodeKeys,
    org_root: &SigningKey,
    now: u64,
) -> Result<Signed, NoteFault> {
    let log = NoteKey::new(&audit::origin(net, org, node, FIRST_GENERATION), KeyKind::Log, &keys.log)?;
    let witness = NoteKey::new(&audit::witness_name(net, org, node), KeyKind::Witness, &keys.witness)?;
    let cert = NodeCert {
        net: net.to_vec(),
        org_id: org.to_vec(),
        node_id: node.to_vec(),
        version: 1,
        sign_pk: keys.sign.to_vec(),
        log_vkey: log.to_string(),
        witness_vkey: witness.to_string(),
        valid_from: now.saturating_sub(DAY),
        valid_until: now + RECORD_LIFE_SECS - 6 * DAY,
        ..NodeCert::default()
    };
    Ok(sign(media::NODECERT, cert.encode_to_vec(), org_root))
}

/// What a node says of itself.
pub struct Presence<'a> {
    /// The node.
    pub node: NodeId,
    /// Its TLS keys, one or two.
    pub tls_pks: &'a [[u8; 32]],
    /// Its mailboxes: id, keeping node, endpoint.
    pub mailboxes: &'a [(MailboxId, NodeId, String)],
    /// Its prekeys by week, ascending.
    pub prekeys: &'a [(u64, Prekey)],
    /// Languages its people read, ISO 639-2.
    pub languages: &'a [String],
    /// Message types it reads, each with the highest version.
    pub reads: &'a [(u32, u32)],
    /// What its people say of it, and when they last did.
    pub attested: &'a Attested,
}

/// What a person at an organisation attests: that the entry is as they would have it, and this.
#[derive(Clone, Default, PartialEq)]
pub struct Attested {
    /// When, unix seconds; 0 never.
    pub at: u64,
    /// When somebody answers, UTC.
    pub duty: Vec<DutyHours>,
    /// The role to ask for when nobody does: a code.
    pub alternate: String,
    /// Whether they have places for children; `None` when nobody said.
    pub child_places: Option<bool>,
}

impl Attested {
    /// What a descriptor says.
    #[must_use]
    pub fn of(descriptor: &Descriptor) -> Self {
        Self {
            at: descriptor.attested,
            duty: descriptor.duty.clone(),
            alternate: descriptor.alternate.clone(),
            child_places: match descriptor.child_places() {
                ChildPlaces::Unspecified => None,
                ChildPlaces::Yes => Some(true),
                ChildPlaces::No => Some(false),
            },
        }
    }

    fn child_places(&self) -> ChildPlaces {
        match self.child_places {
            None => ChildPlaces::Unspecified,
            Some(true) => ChildPlaces::Yes,
            Some(false) => ChildPlaces::No,
        }
    }
}

/// A descriptor with the serial of `now`'s hour, or the first after `held`, the serial of the one before; valid 35 days.
#[must_use]
pub fn describe(net: Net, p: &Presence<'_>, key: &SigningKey, held: u64, now: u64) -> Signed {
    let mailbox = |(id, node, endpoint): &(MailboxId, NodeId, String)| Mailbox {
        id: id.to_vec(),
        node_id: node.to_vec(),
        endpoint: endpoint.clone(),
    };
    let serial = (now / HOUR).max(held.saturating_add(1));
    let descriptor = Descriptor {
        net: net.to_vec(),
        node_id: p.node.to_vec(),
        serial,
        tls_pks: p.tls_pks.iter().map(|k| k.to_vec()).collect(),
        mailboxes: p.mailboxes.iter().map(mailbox).collect(),
        prekeys: p
            .prekeys
            .iter()
            .map(|(week, key)| PrekeyHash { week: *week, sha256: sha256(key.as_bytes()).to_vec() })
            .collect(),
        suites: vec![1],
        languages: p.languages.to_vec(),
        reads: p.reads.iter().map(|(msg_type, max)| Readable { msg_type: *msg_type, max_version: *max }).collect(),
        expires: serial * HOUR + DESCRIPTOR_LIFE_SECS,
        extensions: vec![],
        attested: p.attested.at,
        duty: p.attested.duty.clone(),
        alternate: p.attested.alternate.clone(),
        child_places: p.attested.child_places().into(),
    };
    sign(media::DESCRIPTOR, descriptor.encode_to_vec(), key)
}

/// The descriptor after `held`, the same but for what a person attests now.
#[must_use]
pub fn attest(held: &Descriptor, said: &Attested, key: &SigningKey, now: u64) -> Signed {
    let serial = (now / HOUR).max(held.serial.saturating_add(1));
    let descriptor = Descriptor {
        serial,
        expires: serial * HOUR + DESCRIPTOR_LIFE_SECS,
        attested: said.at,
        duty: said.duty.clone(),
        alternate: said.alternate.clone(),
        child_places: said.child_places().into(),
        ..held.clone()
    };
    sign(media::DESCRIPTOR, descriptor.encode_to_vec(), key)
}

/// A revocation, signed by the given keys.
#[must_use]
pub fn revoke(
    net: Net,
    kind: SubjectKind,
    subject: [u8; 16],
    reason: &str,
    effective: u64,
    keys: &[&SigningKey],
) -> Signed {
    let revocation = Revocation {
        net: net.to_vec(),
        subject_kind: kind.into(),
        subject: subject.to_vec(),
        reason: reason.to_owned(),
        effective,
        ..Revocation::default()
    };
    let payload = revocation.encode_to_vec();
    let mut signed = Signed { payload_type: media::REVOCATION.into(), payload, signatures: vec![] };
    for key in keys {
        add_signature(&mut signed, key);
    }
    signed
}

/// What whoever holds the root key in force says against `announced`, a record that would replace it. `None` when that is
/// no accreditation.
#[must_use]
pub fn object(announced: &Signed, root: &SigningKey, now: u64) -> Option<Signed> {
    let record: OrgRecord = crate::canon::decode(&announced.payload, RECORD_MAX).ok()?;
    let objection = Objection {
        net: record.net,
        org_id: record.org_id,
        version: record.version,
        announced: sha256(&announced.payload).to_vec(),
        made: now,
        extensions: vec![],
    };
    Some(sign(media::OBJECTION, objection.encode_to_vec(), root))
}

/// The revocation with which an organisation can end itself at any later time, made at its set-up and kept by somebody it
/// trusts. From the set-up on, so that nothing signed in between counts: when its keys were taken nobody can tell.
#[must_use]
pub fn end_itself(net: Net, org: OrgId, root: &SigningKey, now: u64) -> Signed {
    let revocation = Revocation {
        net: net.to_vec(),
        subject_kind: SubjectKind::Organisation.into(),
        subject: org.to_vec(),
        reason: COMPROMISED.to_owned(),
        effective: now,
        pre_signed: true,
        ..Revocation::default()
    };
    sign(media::REVOCATION, revocation.encode_to_vec(), root)
}

#[cfg(test)]
mod tests;

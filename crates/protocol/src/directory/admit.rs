//! The door of the directory: what a record must satisfy before it counts (protocol section 7.3).
//!
//! Order of every check: type, signatures, canonical payload, this network, admission of keys, version chain,
//! lifetimes. Time decides nothing here but fast-forward: an expired record is kept and simply not usable.

use clearhouse_wire::v1::{Descriptor, NodeCert, Objection, OrgRecord, Revocation, RootPolicy, Signed};
use prost::Message as _;

use super::entry::{Telling, is_code};
use super::held::{Held, Place};
use super::{Directory, Entry};
use crate::audit;
use crate::ids::{Net, NodeId, OrgId};
use crate::keys::{Prekey, VerifyKey};
use crate::labels::media;
use crate::limits::RECORD_LIFE_SECS;
use crate::pae::sha256;
use crate::signed::{self, SignedFault, Verdicts, Verified};

mod descriptors;
mod ends;
mod orgs;
mod policies;

use orgs::is_country;
use policies::check_policy;

/// Why a record is refused. The peer was wrong, or we lack the record it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The envelope around it.
    #[error("{0}")]
    Signed(#[from] SignedFault),
    /// A key in it is not admitted.
    #[error("{0}")]
    Key(#[from] crate::keys::KeyFault),
    /// A payload type no directory reads.
    #[error("not a directory record")]
    UnknownType,
    /// Made for another network: training records never pass on a live network, nor the reverse.
    #[error("a record of another network")]
    OtherNetwork,
    /// Fewer distinct coordinator keys than the policy asks, or all from the applicant's own country.
    #[error("not enough coordinators signed")]
    Threshold,
    /// Signed by a key that has no say here, or vouched for by a record that we do not hold.
    #[error("not signed by the key that may sign it")]
    Signer,
    /// A version we already passed, or a serial that does not rise.
    #[error("older than the record already held")]
    Rollback,
    /// A version that skips one, a serial in the future, or a chain hash that does not match.
    #[error("does not follow the record already held")]
    Broken,
    /// The same version with other bytes: two truths were signed.
    #[error("two different records carry this version")]
    Equivocation,
    /// The holder of the root key in force said no to the one that would replace it.
    #[error("the root key in force objected to it")]
    Objected,
    /// A field outside its limits: an identifier, a lifetime, a count, a text.
    #[error("a field is outside its limits")]
    Field,
    /// Sponsors that are not two different organisations beside the one they vouch for, or none where two are asked for.
    #[error("an organisation joins a live network with two sponsors, and names two different ones or none elsewhere")]
    Sponsors,
    /// The id of a node that does not follow from the organisation that certifies it.
    #[error("a node's id that is not one of its organisation")]
    NotItsNode,
    /// A text that tells where somebody is or how to reach them.
    #[error("{0}")]
    Tells(#[from] Telling),
    /// Not a record but the proof that one stands in a directory log: it shows nothing.
    #[error("the proof that it stands in a coordinators' log does not hold")]
    Proof,
    /// A critical extension that we do not know.
    #[error("a critical extension this version does not know")]
    Extension,
}

/// A record that passed every check and may be inserted.
#[derive(Clone)]
pub enum Checked {
    /// The next policy, with its coordinators' keys admitted.
    Policy(Verified<RootPolicy>, Vec<VerifyKey>),
    /// An accreditation.
    Org(OrgId, Verified<OrgRecord>),
    /// An accreditation with another root key that the one before did not sign: it waits, and gives no right.
    Announced(OrgId, Verified<OrgRecord>),
    /// The word of the root key in force against such a record.
    Objection(OrgId, Verified<Objection>),
    /// A node of an accredited organisation.
    Cert(NodeId, Verified<NodeCert>),
    /// How to reach a node.
    Descriptor(NodeId, Verified<Descriptor>),
    /// An end.
    Revocation(Verified<Revocation>),
    /// Another record of a version held, signed by who may: from now on neither counts.
    Rival(Rival),
    /// A prekey by value, matching a descriptor's hash.
    Prekey(NodeId, u64, Box<Prekey>),
}

/// One of two truths.
#[derive(Clone)]
pub enum Rival {
    /// Of the network.
    Policy(Verified<RootPolicy>),
    /// Of an organisation.
    Org(OrgId, Verified<OrgRecord>),
    /// Of a node.
    Cert(NodeId, Verified<NodeCert>),
    /// Of an organisation whose root key is lost, beside one that waits.
    Announced(OrgId, Verified<OrgRecord>),
}

impl Rival {
    /// SHA-256 of its payload: what the log's entry about it names.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(match self {
            Self::Policy(record) => &record.raw().payload,
            Self::Org(_, record) | Self::Announced(_, record) => &record.raw().payload,
            Self::Cert(_, record) => &record.raw().payload,
        })
    }
}

impl Directory {
    /// Founds a directory on a genesis policy. `expected` is the network compared on paper or by voice.
    ///
    /// # Errors
    /// [`RecordFault`]; `OtherNetwork` when the bytes are not the expected genesis.
    pub fn found(genesis: &Signed, expected: Option<Net>) -> Result<Self, RecordFault> {
        let net = Net(sha256(&genesis.payload));
        if expected.is_some_and(|e| e != net) {
            return Err(RecordFault::OtherNetwork);
        }
        let record: Verified<RootPolicy> = checked_parse(media::ROOT, genesis)?;
        let policy = record.value();
        if policy.version != 1 || !policy.prev_hash.is_empty() {
            return Err(RecordFault::Broken);
        }
        let coordinators = check_policy(policy)?;
        // A log is named after the network, and that after this very record: logs begin with the second policy.
        if policy.coordinators.iter().any(|c| !c.log_vkey.is_empty() || !c.witness_vkey.is_empty()) {
            return Err(RecordFault::Field);
        }
        let signers = signed::count(media::ROOT, genesis, &coordinators)?;
        if signers.len() < as_usize(policy.k_root) {
            return Err(RecordFault::Threshold);
        }
        Ok(Self {
            net,
            genesis: genesis.clone(),
            walk: Vec::new(),
            policy: Held::first(Entry::new(record)),
            coordinators,
            orgs: Default::default(),
            certs: Default::default(),
            descriptors: Default::default(),
            prekeys: Default::default(),
            listed: Default::default(),
            revocations: Default::default(),
            tls: Default::default(),
            suspended: Default::default(),
            announced: Default::default(),
            objections: Default::default(),
            roots: Default::default(),
            logs: Default::default(),
            entries: Default::default(),
            published: Default::default(),
        })
    }

    /// Checks a record against what is held. Pure; `now` is used only against serials from the future.
    ///
    /// # Errors
    /// [`RecordFault`], naming the first check that failed. `Ok(None)` for a record already held, byte for byte.
    pub fn check(&self, signed: &Signed, now: u64) -> Result<Option<Checked>, RecordFault> {
        self.check_beside(signed, now, &Verdicts::default())
    }

    /// [`Directory::check`], where [`Directory::try_ahead`] has verified beforehand what it could.
    ///
    /// # Errors
    /// As there.
    pub fn check_beside(&self, signed: &Signed, now: u64, verdicts: &Verdicts) -> Result<Option<Checked>, RecordFault> {
        match signed.payload_type.as_str() {
            media::ROOT => self.check_next_policy(signed),
            media::ORG => self.check_org(signed, verdicts, false),
            media::OBJECTION => self.check_objection(signed, verdicts),
            media::NODECERT => self.check_cert(signed, verdicts, false),
            media::DESCRIPTOR => self.check_descriptor(signed, now, verdicts),
            media::REVOCATION => self.check_revocation(signed, verdicts),
            _ => Err(RecordFault::UnknownType),
        }
    }

    /// Checks a record that this node took when it came, read back from its own store. Its clock is not asked twice; a
    /// certificate may be by any root key that was held, as it was when it came; and an end is an end: by whose key it was
    /// signed, and whose that is today, is not asked again, or a new root key or policy would lift it at the next start.
    ///
    /// # Errors
    /// As [`Directory::check`].
    pub fn check_kept(&self, signed: &Signed, verdicts: &Verdicts) -> Result<Option<Checked>, RecordFault> {
        match signed.payload_type.as_str() {
            media::ORG => self.check_org(signed, verdicts, true),
            media::NODECERT => self.check_cert(signed, verdicts, true),
            media::REVOCATION => self.check_end(signed).map(|claim| self.place_end(claim, signed)),
            _ => self.check_beside(signed, u64::MAX, verdicts),
        }
    }

    /// Checks a record that waited when this node wrote it down, read back from its own store: whatever it says, it is taken
    /// for nothing that counts.
    ///
    /// # Errors
    /// As [`Directory::check`].
    pub fn check_waiting(&self, signed: &Signed, verdicts: &Verdicts) -> Result<Option<Checked>, RecordFault> {
        let checked = self.check_org(signed, verdicts, false)?;
        Ok(checked.filter(|checked| matches!(checked, Checked::Announced(..) | Checked::Rival(Rival::Announced(..)))))
    }

    /// Checks a record where no wait is asked for: of what this organisation's own node tells, which has judged by which
    /// record an organisation is met first, or in a file that is only looked at. Never for a directory that is acted on.
    ///
    /// # Errors
    /// As [`Directory::check`].
    pub fn check_told(&self, signed: &Signed, now: u64) -> Result<Option<Checked>, RecordFault> {
        let met =
            OrgRecord::decode(signed.payload.as_slice()).ok().and_then(|org| org.org_id.as_slice().try_into().ok());
        if signed.payload_type == media::ORG && met.is_some_and(|org: OrgId| !self.orgs.contains_key(&org)) {
            return self.check_org(signed, &Verdicts::default(), true);
        }
        self.check(signed, now)
    }

    /// Checks a prekey against the descriptors held: admitted, and listed by hash for its week.
    ///
    /// # Errors
    /// [`RecordFault::Key`], or [`RecordFault::Signer`] when no descriptor lists it.
    pub fn check_prekey(&self, week: u64, pk: &[u8]) -> Result<Option<Checked>, RecordFault> {
        self.check_prekey_beside(week, pk, &Verdicts::default())
    }

    /// [`Directory::check_prekey`], where [`Directory::try_ahead`] has admitted beforehand what it could.
    ///
    /// # Errors
    /// As there.
    pub fn check_prekey_beside(
        &self,
        week: u64,
        pk: &[u8],
        verdicts: &Verdicts,
    ) -> Result<Option<Checked>, RecordFault> {
        self.check_listed(week, pk, |hash| verdicts.admit_prekey(pk, hash))
    }

    fn check_listed(
        &self,
        week: u64,
        pk: &[u8],
        admit: impl FnOnce(&[u8; 32]) -> Result<Prekey, crate::keys::KeyFault>,
    ) -> Result<Option<Checked>, RecordFault> {
        let hash = sha256(pk);
        let all = self.listed.range((hash, NodeId([0; 16]), 0)..=(hash, NodeId([0xff; 16]), u64::MAX));
        let mut nodes = all.filter(|(_, _, of)| *of == week).map(|(_, node, _)| *node).peekable();
        nodes.peek().ok_or(RecordFault::Signer)?;
        let prekey = admit(&hash)?;
        // Anybody can list another's: it is taken for each of them, one after the other.
        let lacking = nodes.find(|node| !self.prekeys.contains_key(&(*node, week)));
        Ok(lacking.map(|node| Checked::Prekey(node, week, Box::new(prekey))))
    }

    /// A prekey that this node took when it came, read back from its own store: it is what a descriptor lists, and is
    /// admitted again before anything is sealed to it.
    ///
    /// # Errors
    /// As [`Directory::check_prekey`], but for the soundness of the key.
    pub fn check_kept_prekey(&self, week: u64, pk: &[u8]) -> Result<Option<Checked>, RecordFault> {
        self.check_listed(week, pk, |_| Prekey::held(pk))
    }

    fn check_cert(&self, signed: &Signed, verdicts: &Verdicts, kept: bool) -> Result<Option<Checked>, RecordFault> {
        let claim: Verified<NodeCert> = checked_parse(media::NODECERT, signed)?;
        let cert = claim.value();
        self.same_net(&cert.net)?;
        let (org, node) = (org_id(&cert.org_id)?, node_id(&cert.node_id)?);
        no_critical(&cert.extensions)?;
        if !node.is_of(self.net, org) {
            return Err(RecordFault::NotItsNode);
        }
        lifetime(cert.valid_from, cert.valid_until, RECORD_LIFE_SECS)?;
        verdicts.admit(&cert.sign_pk)?;
        self.check_note_keys(cert, org, node, verdicts)?;
        let root = &self.org(org).ok_or(RecordFault::Signer)?.org_root_pk;
        let before = self.roots.get(&org).into_iter().flatten().filter(|_| kept).map(<[u8; 32]>::as_slice);
        let roots = std::iter::once(root.as_slice()).chain(before).map(|key| verdicts.held(key));
        let roots = roots.collect::<Result<Vec<_>, _>>()?;
        if signed::count_beside(media::NODECERT, signed, &roots, verdicts)?.is_empty() {
            return Err(RecordFault::Signer);
        }
        let Some(held) = self.certs.get(&node) else { return Ok(Some(Checked::Cert(node, claim))) };
        if held.shown().value().org_id != cert.org_id {
            return Err(RecordFault::Signer);
        }
        Ok(match held.place(cert, &signed.payload, self.is_published(&held.newest().hash))? {
            Place::Same => None,
            Place::Rival => Some(Checked::Rival(Rival::Cert(node, claim))),
            Place::Next => Some(Checked::Cert(node, claim)),
        })
    }

    /// A log key and a witness key of this very node, each of its own use. A certificate of before the log has neither.
    fn check_note_keys(
        &self,
        cert: &NodeCert,
        org: OrgId,
        node: NodeId,
        verdicts: &Verdicts,
    ) -> Result<(), RecordFault> {
        let net = self.net();
        let admit = |key: &[u8]| verdicts.admit(key);
        let log = (!cert.log_vkey.is_empty()).then(|| audit::log_key(&cert.log_vkey, net, org, node, admit));
        let witness =
            (!cert.witness_vkey.is_empty()).then(|| audit::witness_key(&cert.witness_vkey, net, org, node, admit));
        let mut keys = vec![cert.sign_pk.clone()];
        for key in [log, witness].into_iter().flatten() {
            keys.push(key.ok_or(RecordFault::Field)?.public().to_vec());
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        if keys.len() == count { Ok(()) } else { Err(RecordFault::Field) }
    }

    pub(super) fn same_net(&self, net: &[u8]) -> Result<(), RecordFault> {
        if net == self.net.as_bytes() { Ok(()) } else { Err(RecordFault::OtherNetwork) }
    }
}

/// Parses a payload of which the signatures are about to be counted by the same caller.
pub(super) fn checked_parse<T: prost::Message + Default>(
    media: &str,
    signed: &Signed,
) -> Result<Verified<T>, RecordFault> {
    signed::count(media, signed, &[])?;
    Ok(signed::parse_verified(signed)?)
}

fn lifetime(from: u64, until: u64, max: u64) -> Result<(), RecordFault> {
    if until > from && until - from <= max { Ok(()) } else { Err(RecordFault::Field) }
}

pub(super) fn no_critical(extensions: &[clearhouse_wire::v1::Extension]) -> Result<(), RecordFault> {
    if extensions.iter().any(|e| e.critical) { Err(RecordFault::Extension) } else { Ok(()) }
}

pub(super) fn org_id(bytes: &[u8]) -> Result<OrgId, RecordFault> {
    OrgId::try_from(bytes).map_err(|_| RecordFault::Field)
}

fn node_id(bytes: &[u8]) -> Result<NodeId, RecordFault> {
    NodeId::try_from(bytes).map_err(|_| RecordFault::Field)
}

fn as_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

//! What the two compartments hold. Service keys are open while the process runs; content keys are dropped by lock.
//!
//! Refuses to print or copy any of them; the types have no `Debug` and no `Clone` (decision 21).

use std::collections::BTreeMap;

use clearhouse_protocol::recovery::RecoveryKey;
use prost::Message as _;
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keyfile::PREKEYS_MAX;
use crate::secret::{SecretBytes, never};

/// The keys a node needs to receive at night and to be believed: open while the process runs.
pub struct ServiceKeys {
    /// Seed of the Ed25519 key that signs inner messages, receipts and descriptors.
    pub node_seed: SecretBytes,
    /// Seed of the Ed25519 key of the TLS certificate.
    pub tls_seed: SecretBytes,
    /// Seed of the Ed25519 key of the node's own log.
    pub log_seed: SecretBytes,
    /// Seed of the Ed25519 key that cosigns others' logs.
    pub witness_seed: SecretBytes,
    /// Secret with which a mailbox proves itself to a relay.
    pub mailbox_secret: SecretBytes,
    pub(crate) data: SecretBytes,
    pub(crate) evidence: SecretBytes,
    pub(crate) index: SecretBytes,
    pub(crate) nmk: SecretBytes,
    pub(crate) epoch: u32,
    pub(crate) recovery: Option<RecoveryKey>,
}

/// The keys of the cases and the prekey seeds: open while a person works, dropped by lock.
pub struct ContentKeys {
    pub(crate) nmk: SecretBytes,
    pub(crate) epoch: u32,
    pub(crate) prekeys: BTreeMap<u64, SecretBytes>,
}

never!(ServiceKeys: std::fmt::Debug, Clone);
never!(ContentKeys: std::fmt::Debug, Clone);
never!(ServiceRecord: std::fmt::Debug, Clone);
never!(ContentRecord: std::fmt::Debug, Clone);
never!(PrekeyRecord: std::fmt::Debug, Clone);

/// Seeds of the service compartment that may be renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seed {
    /// [`ServiceKeys::node_seed`].
    Node,
    /// [`ServiceKeys::tls_seed`].
    Tls,
    /// [`ServiceKeys::log_seed`].
    Log,
    /// [`ServiceKeys::witness_seed`].
    Witness,
    /// [`ServiceKeys::mailbox_secret`].
    Mailbox,
}

impl ServiceKeys {
    /// New random keys of the first epoch.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut fresh = || SecretBytes::random(rng);
        Self {
            node_seed: fresh(),
            tls_seed: fresh(),
            log_seed: fresh(),
            witness_seed: fresh(),
            mailbox_secret: fresh(),
            data: fresh(),
            evidence: fresh(),
            index: fresh(),
            nmk: fresh(),
            epoch: FIRST_EPOCH,
            recovery: None,
        }
    }

    /// These keys with the organisation's recovery key, to which backups are sealed.
    #[must_use]
    pub fn with_recovery(mut self, key: RecoveryKey) -> Self {
        self.recovery = Some(key);
        self
    }

    /// The recovery key; `None` where none was made yet.
    #[must_use]
    pub fn recovery(&self) -> Option<&RecoveryKey> {
        self.recovery.as_ref()
    }

    /// The epoch of the key that wraps letter keys; rises with every erasure.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            node_seed: self.node_seed.duplicate(),
            tls_seed: self.tls_seed.duplicate(),
            log_seed: self.log_seed.duplicate(),
            witness_seed: self.witness_seed.duplicate(),
            mailbox_secret: self.mailbox_secret.duplicate(),
            data: self.data.duplicate(),
            evidence: self.evidence.duplicate(),
            index: self.index.duplicate(),
            nmk: self.nmk.duplicate(),
            epoch: self.epoch,
            recovery: self.recovery.as_ref().map(RecoveryKey::duplicate),
        }
    }

    pub(crate) fn with_seed(&self, which: Seed, seed: SecretBytes) -> Self {
        let mut keys = self.duplicate();
        match which {
            Seed::Node => keys.node_seed = seed,
            Seed::Tls => keys.tls_seed = seed,
            Seed::Log => keys.log_seed = seed,
            Seed::Witness => keys.witness_seed = seed,
            Seed::Mailbox => keys.mailbox_secret = seed,
        }
        keys
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let copy = |secret: &SecretBytes| secret.expose().to_vec();
        encode(&ServiceRecord {
            node_seed: copy(&self.node_seed),
            tls_seed: copy(&self.tls_seed),
            log_seed: copy(&self.log_seed),
            witness_seed: copy(&self.witness_seed),
            mailbox_secret: copy(&self.mailbox_secret),
            data: copy(&self.data),
            evidence: copy(&self.evidence),
            index: copy(&self.index),
            nmk: copy(&self.nmk),
            recovery: self.recovery.as_ref().map_or_else(Vec::new, |key| key.public().to_vec()),
            recovery_mark: self.recovery.as_ref().map_or_else(Vec::new, |key| key.mark().to_vec()),
        })
    }

    /// `None` when a key is missing or has the wrong length.
    pub(crate) fn decode(bytes: &[u8], epoch: u32) -> Option<Self> {
        let record = ServiceRecord::decode(bytes).ok()?;
        let recovery = match (record.recovery.as_slice(), record.recovery_mark.as_slice()) {
            ([], []) => None,
            (public, mark) => Some(RecoveryKey::kept(public, mark).ok()?),
        };
        Some(Self {
            node_seed: SecretBytes::from_slice(&record.node_seed)?,
            tls_seed: SecretBytes::from_slice(&record.tls_seed)?,
            log_seed: SecretBytes::from_slice(&record.log_seed)?,
            witness_seed: SecretBytes::from_slice(&record.witness_seed)?,
            mailbox_secret: SecretBytes::from_slice(&record.mailbox_secret)?,
            data: SecretBytes::from_slice(&record.data)?,
            evidence: SecretBytes::from_slice(&record.evidence)?,
            index: SecretBytes::from_slice(&record.index)?,
            nmk: SecretBytes::from_slice(&record.nmk)?,
            epoch,
            recovery,
        })
    }
}

impl ContentKeys {
    /// New random keys of the first epoch, without prekeys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { nmk: SecretBytes::random(rng), epoch: FIRST_EPOCH, prekeys: BTreeMap::new() }
    }

    /// The epoch of the key that wraps case keys; the same as the service keys'.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The prekey seeds by week number, oldest first.
    #[must_use]
    pub fn prekeys(&self) -> &BTreeMap<u64, SecretBytes> {
        &self.prekeys
    }

    pub(crate) fn duplicate_prekeys(&self) -> BTreeMap<u64, SecretBytes> {
        self.prekeys.iter().map(|(week, seed)| (*week, seed.duplicate())).collect()
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let prekeys =
            self.prekeys.iter().map(|(week, seed)| PrekeyRecord { week: *week, seed: seed.expose().to_vec() });
        encode(&ContentRecord { nmk: self.nmk.expose().to_vec(), prekeys: prekeys.collect() })
    }

    /// `None` when a key is missing or has the wrong length, or there are too many prekeys.
    pub(crate) fn decode(bytes: &[u8], epoch: u32) -> Option<Self> {
        let record = ContentRecord::decode(bytes).ok()?;
        if record.prekeys.len() > PREKEYS_MAX {
            return None;
        }
        let prekeys = record.prekeys.iter().map(|p| Some((p.week, SecretBytes::from_slice(&p.seed)?)));
        Some(Self { nmk: SecretBytes::from_slice(&record.nmk)?, epoch, prekeys: prekeys.collect::<Option<_>>()? })
    }
}

/// The epoch of a new key file.
pub(crate) const FIRST_EPOCH: u32 = 1;

/// Encodes into one buffer of the final size, so that no copy is left behind by growing.
fn encode(record: &impl prost::Message) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(record.encoded_len()));
    // Cannot fail: a Vec grows as needed.
    let _ = record.encode(&mut *out);
    out
}

/// Plaintext of the service compartment: nine keys of 32 bytes, and the recovery key's public half with its mark.
#[derive(prost::Message)]
#[prost(skip_debug)]
struct ServiceRecord {
    #[prost(bytes = "vec", tag = "1")]
    node_seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    tls_seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    log_seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    witness_seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    mailbox_secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    data: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    evidence: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    index: Vec<u8>,
    #[prost(bytes = "vec", tag = "9")]
    nmk: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    recovery: Vec<u8>,
    #[prost(bytes = "vec", tag = "11")]
    recovery_mark: Vec<u8>,
}

impl Drop for ServiceRecord {
    fn drop(&mut self) {
        let Self { node_seed, tls_seed, log_seed, witness_seed, mailbox_secret, data, evidence, index, nmk, .. } = self;
        for secret in [node_seed, tls_seed, log_seed, witness_seed, mailbox_secret, data, evidence, index, nmk] {
            secret.zeroize();
        }
        self.recovery_mark.zeroize();
    }
}

/// Plaintext of the content compartment.
#[derive(prost::Message)]
#[prost(skip_debug)]
struct ContentRecord {
    #[prost(bytes = "vec", tag = "1")]
    nmk: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    prekeys: Vec<PrekeyRecord>,
}

impl Drop for ContentRecord {
    fn drop(&mut self) {
        self.nmk.zeroize();
    }
}

/// One week's prekey: `week` counts weeks since the epoch, `seed` is its 32-byte X-Wing seed.
#[derive(prost::Message)]
#[prost(skip_debug)]
struct PrekeyRecord {
    #[prost(uint64, tag = "1")]
    week: u64,
    #[prost(bytes = "vec", tag = "2")]
    seed: Vec<u8>,
}

impl Drop for PrekeyRecord {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

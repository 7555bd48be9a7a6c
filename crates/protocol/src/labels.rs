//! Every label that separates one use of a key or hash from another. A new meaning is a new line here.
//!
//! Nothing else in the project spells a label; `proto/README.md` lists the same table.

/// DSSE payload types of signed records and bodies.
pub mod media {
    /// [`RootPolicy`](clearhouse_wire::v1::RootPolicy).
    pub const ROOT: &str = "application/vnd.clearhouse.root.v1+pb";
    /// [`OrgRecord`](clearhouse_wire::v1::OrgRecord).
    pub const ORG: &str = "application/vnd.clearhouse.org.v1+pb";
    /// [`NodeCert`](clearhouse_wire::v1::NodeCert).
    pub const NODECERT: &str = "application/vnd.clearhouse.nodecert.v1+pb";
    /// [`Descriptor`](clearhouse_wire::v1::Descriptor).
    pub const DESCRIPTOR: &str = "application/vnd.clearhouse.descriptor.v1+pb";
    /// [`Revocation`](clearhouse_wire::v1::Revocation).
    pub const REVOCATION: &str = "application/vnd.clearhouse.revocation.v1+pb";
    /// [`Objection`](clearhouse_wire::v1::Objection).
    pub const OBJECTION: &str = "application/vnd.clearhouse.objection.v1+pb";
    /// [`Refusal`](clearhouse_wire::v1::Refusal).
    pub const REFUSAL: &str = "application/vnd.clearhouse.refusal.v1+pb";
    /// [`Inner`](clearhouse_wire::v1::Inner).
    pub const INNER: &str = "application/vnd.clearhouse.inner.v1+pb";
    /// [`Receipt`](clearhouse_wire::v1::Receipt).
    pub const RECEIPT: &str = "application/vnd.clearhouse.receipt.v1+pb";
    /// [`StorageHead`](clearhouse_wire::v1::StorageHead).
    pub const STORAGE: &str = "application/vnd.clearhouse.storage-receipt.v1+pb";
    /// [`NotOpened`](clearhouse_wire::v1::NotOpened).
    pub const NOT_OPENED: &str = "application/vnd.clearhouse.not-opened.v1+pb";
    /// [`Expired`](clearhouse_wire::v1::Expired).
    pub const EXPIRED: &str = "application/vnd.clearhouse.expired.v1+pb";
    /// [`Opening`](clearhouse_wire::v1::Opening).
    pub const OPENING: &str = "application/vnd.clearhouse.opening.v1+pb";
    /// A coordinator's findings, coarsened, as JSON.
    pub const FINDINGS: &str = "application/vnd.clearhouse.findings.v1+json";
}

/// HPKE info of the content-key wrap.
pub const HPKE_INFO: &str = "clearhouse/hpke-info/v1";
/// Hash that binds header and encapsulation into the inner signature and the content keys.
pub const OUTER: &str = "clearhouse/outer/v1";
/// Hash that names one exact envelope.
pub const ENVELOPE_DIGEST: &str = "clearhouse/envelope-digest/v1";
/// Hash that chains bodies of one conversation.
pub const BODY_DIGEST: &str = "clearhouse/body-digest/v1";
/// The conversation of two nodes about their own logs.
pub const NODE_MAIL: &str = "clearhouse/node-mail/v1";
/// Key-encryption keys of the key file.
pub const KEK: &str = "clearhouse/kek/v1";
/// One slot of the key file.
pub const KEY_SLOT: &str = "clearhouse/key-slot/v1";
/// One compartment of the key file.
pub const KEY_COMPARTMENT: &str = "clearhouse/key-compartment/v1";
/// A wrapped data key in the store.
pub const WRAP: &str = "clearhouse/wrap/v1";
/// A sealed value in the store.
pub const VALUE: &str = "clearhouse/value/v1";
/// A blind key in the store.
pub const BLIND_KEY: &str = "clearhouse/blind-key/v1";
/// The file of last signed heads.
pub const HEADS: &str = "clearhouse/heads/v1";
/// HPKE info of what is sealed to an organisation's recovery key.
pub const RECOVERY: &str = "clearhouse/recovery/v1";
/// Secret by which the recovery sheets know what a node of theirs made.
pub const RECOVERY_MARK: &str = "clearhouse/recovery-mark/v1";
/// Check words of a recovery sheet.
pub const RECOVERY_SHEET: &str = "clearhouse/recovery-sheet/v1";
/// Hash over one part of a backup, over its list of parts, and the mark on its keys.
pub const BACKUP: &str = "clearhouse/backup/v1";
/// Hash that draws the witnesses of a log for a quarter.
pub const WITNESS_DRAW: &str = "clearhouse/witness-draw/v1";
/// Hash over what is held in one bucket of descriptors.
pub const SYNC_BUCKET: &str = "clearhouse/sync-bucket/v1";
/// Hash over every policy and revocation held.
pub const SYNC_COMMON: &str = "clearhouse/sync-common/v1";
/// The one hash over all that a node says of its directory.
pub const SYNC_STATE: &str = "clearhouse/sync-state/v1";
/// Hash over what a node says of itself.
pub const SYNC_OWN: &str = "clearhouse/sync-own/v1";
/// Checksum of one page of a directory's file.
pub const DIRECTORY_PAGE: &str = "clearhouse/directory-page/v1";
/// Hash that names the mailbox of one node at another.
pub const RENTED_MAILBOX: &str = "clearhouse/rented-mailbox/v1";
/// Hash that binds a node's id to its organisation.
pub const NODE_ID: &str = "clearhouse/node-id/v1";
/// Hash under which a keeper stores an envelope of another's mailbox.
pub const RELAYED: &str = "clearhouse/relayed/v1";
/// What the chunked content names as its cipher, after C2SP chunked-encryption.
pub const CHUNK_AEAD: &str = "AEAD_CHACHA20_POLY1305";

//! The order in which an envelope is opened.
//!
//! Fails closed. Until the sender is authenticated every failure is [`Unopenable`], one answer outward whatever the reason;
//! only after the inner signature held does a failure become a [`Rejected`] that the sender may be told, or its date a
//! reason to wait. No plaintext leaves [`open`] before that (protocol section 7.2).

use clearhouse_wire::v1 as wire;
use hpke::{Deserializable as _, OpModeR};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Aead, Attachment, Kdf, Outside, SIG_LEN, SUITE, Unopenable, info};
use crate::canon;
use crate::chunked;
use crate::directory::Directory;
use crate::ids::{ConversationId, Digest, KeyId, MsgId, Net, NodeId, OrgId, StaffId};
use crate::keys::{Kem, PrekeySecret};
use crate::labels::media;
use crate::limits::{
    ATTACHMENTS_MAX, ENVELOPE_LIFE_SECS, HOUR, INNER_MAX, KEM_ENC_LEN, LETTER_AHEAD_WAIT_SECS, SKEW_SECS,
    UNCONFIRMED_LOOK_SECS,
};
use crate::pae::sha256;

/// A message whose whole chain held: made only by [`open`].
pub struct Opened {
    inner: wire::Inner,
    inner_bytes: Vec<u8>,
    sig: [u8; SIG_LEN],
    attachments: Vec<Attachment>,
    /// The envelope it came in.
    pub digest: Digest,
    /// Who sent it.
    pub sender: (OrgId, NodeId),
    /// The message.
    pub msg_id: MsgId,
    /// The conversation.
    pub conversation: ConversationId,
    /// For whom the sender acted.
    pub actor: Option<StaffId>,
}

impl Opened {
    /// The signed inner message.
    #[must_use]
    pub fn inner(&self) -> &wire::Inner {
        &self.inner
    }

    /// The exact bytes that were signed, and the signature: evidence.
    #[must_use]
    pub fn signed_bytes(&self) -> (&[u8], &[u8; SIG_LEN]) {
        (&self.inner_bytes, &self.sig)
    }

    /// The attachments, each checked against its reference.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.inner.body.zeroize();
        self.inner_bytes.zeroize();
    }
}

/// Why an authenticated message is refused. The sender gets a signed refusal with the coarse code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A critical extension that this node does not know.
    #[error("a critical extension this node does not know")]
    Extension,
}

/// What opening gave.
pub enum Opening {
    /// Whole, authentic and addressed to us.
    Whole(Box<Opened>),
    /// Authentic, but it will not be taken.
    Rejected(Box<Opened>, Rejected),
    /// Authentic by a key that a revocation ended: whoever holds it now may have written this, whatever date it bears
    /// (attack case 25). A person decides.
    Ended(Box<Opened>),
    /// Authentic, and dated further ahead than clocks are forgiven: one of two clocks is wrong. By more than
    /// [`LETTER_AHEAD_WAIT_SECS`] only while nobody has confirmed this node's. Whether it is taken is asked again from this
    /// time on, unix seconds, at most that long from now.
    Early(u64),
}

/// What [`open`] needs to know of this node.
pub struct Reader<'a> {
    /// This organisation.
    pub org: OrgId,
    /// This node.
    pub node: NodeId,
    /// The directory now.
    pub directory: &'a Directory,
    /// Unix seconds.
    pub now: u64,
    /// The time that more than this node's clock vouches for, never later than `now`: by it a letter's life is over.
    pub sure: u64,
    /// Somebody else's clock agreed with this node's: a date that does not fit is the sender's mistake.
    pub is_confirmed: bool,
}

impl<'a> Reader<'a> {
    /// An organisation's node that goes by a time which others confirm, unix seconds.
    #[must_use]
    pub fn new((org, node): (OrgId, NodeId), directory: &'a Directory, now: u64) -> Self {
        Self { org, node, directory, now, sure: now, is_confirmed: true }
    }
}

/// Opens an envelope with the one prekey its header names.
///
/// # Errors
/// [`Unopenable`], before the sender was authenticated. Whether it was seen before is the caller's next question.
pub fn open(outside: &Outside, prekey: Option<&PrekeySecret>, me: &Reader<'_>) -> Result<Opening, Unopenable> {
    let policy = me.directory.policy();
    if SUITE < policy.min_suite || !policy.allowed_suites.contains(&SUITE) {
        return Err(Unopenable::Suite);
    }
    if outside.expires <= me.sure {
        return Err(Unopenable::Time);
    }
    let prekey = prekey.ok_or(Unopenable::Prekey)?;
    let cek = unwrap_key(outside, prekey, me.directory.net())?;
    let plaintext = chunked::open(&cek, &outside.outer, &outside.content)?;
    let (inner_bytes, sig, rest) = split(&plaintext).ok_or(Unopenable::Inner)?;
    let inner: wire::Inner = canon::decode(inner_bytes, INNER_MAX).map_err(|_| Unopenable::Inner)?;
    let attachments = take_attachments(&inner, rest)?;
    addressed_to_me(&inner, outside, me)?;
    let opens_at = timely(&inner, outside, me)?;

    let (org, node, key_id) = sender(&inner).ok_or(Unopenable::Inner)?;
    let (key, revoked) = me.directory.standing(org, node, me.now)?;
    if key_id != key.id() {
        return Err(Unopenable::Signature);
    }
    key.verify(media::INNER, inner_bytes, &sig).map_err(|_| Unopenable::Signature)?;
    // Only now: a date that nobody signed lays nothing aside.
    if opens_at > me.now {
        return Ok(Opening::Early(opens_at));
    }

    let name = |bytes: &[u8]| MsgId::try_from(bytes).map_err(|_| Unopenable::Inner);
    let actor = match inner.actor_id.as_slice() {
        [] => None,
        id => Some(StaffId::try_from(id).map_err(|_| Unopenable::Inner)?),
    };
    let opened = Box::new(Opened {
        digest: outside.digest,
        sender: (org, node),
        msg_id: name(&inner.msg_id)?,
        conversation: ConversationId::try_from(inner.conversation.as_slice()).map_err(|_| Unopenable::Inner)?,
        actor,
        inner_bytes: inner_bytes.to_vec(),
        sig,
        attachments,
        inner,
    });
    if revoked {
        return Ok(Opening::Ended(opened));
    }
    if opened.inner.extensions.iter().any(|e| e.critical) {
        return Ok(Opening::Rejected(opened, Rejected::Extension));
    }
    Ok(Opening::Whole(opened))
}

fn unwrap_key(outside: &Outside, prekey: &PrekeySecret, net: Net) -> Result<Zeroizing<[u8; 32]>, Unopenable> {
    let (enc, wrapped) = outside.kem.split_at_checked(KEM_ENC_LEN).ok_or(Unopenable::Length)?;
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| Unopenable::Kem)?;
    let secret = prekey.private().map_err(|_| Unopenable::Prekey)?;
    let info = info(net, &outside.header_bytes);
    let cek = hpke::single_shot_open::<Aead, Kdf, Kem>(&OpModeR::Base, secret, &enc, &info, wrapped, b"")
        .map(Zeroizing::new)
        .map_err(|_| Unopenable::Kem)?;
    let cek: [u8; 32] = cek.as_slice().try_into().map_err(|_| Unopenable::Kem)?;
    Ok(Zeroizing::new(cek))
}

/// `u32be len || inner || sig[64] || rest`.
pub(super) fn split(plaintext: &[u8]) -> Option<(&[u8], [u8; SIG_LEN], &[u8])> {
    let (len, rest) = plaintext.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (inner, rest) = rest.split_at_checked(len)?;
    let (sig, rest) = rest.split_first_chunk::<SIG_LEN>()?;
    Some((inner, *sig, rest))
}

pub(super) fn take_attachments(inner: &wire::Inner, mut rest: &[u8]) -> Result<Vec<Attachment>, Unopenable> {
    if inner.attachments.len() > ATTACHMENTS_MAX {
        return Err(Unopenable::Inner);
    }
    let mut taken = Vec::with_capacity(inner.attachments.len());
    for refer in &inner.attachments {
        let len = usize::try_from(refer.len).ok().filter(|l| *l > 0).ok_or(Unopenable::Inner)?;
        let (bytes, after) = rest.split_at_checked(len).ok_or(Unopenable::Inner)?;
        if refer.sha256 != sha256(bytes) {
            return Err(Unopenable::Inner);
        }
        let name_tag = refer.name_tag.as_slice().try_into().map_err(|_| Unopenable::Inner)?;
        taken.push(Attachment { name_tag, bytes: Zeroizing::new(bytes.to_vec()) });
        rest = after;
    }
    // Padding is zero, or it could carry what nobody signed.
    if rest.iter().any(|b| *b != 0) {
        return Err(Unopenable::Inner);
    }
    Ok(taken)
}

fn addressed_to_me(inner: &wire::Inner, outside: &Outside, me: &Reader<'_>) -> Result<(), Unopenable> {
    let to_me =
        inner.recipient.as_ref().is_some_and(|r| r.org == me.org.0 && r.node == me.node.0 && r.key == outside.prekey.0);
    let same = inner.outer == outside.outer && inner.suite == SUITE && inner.net == me.directory.net().0;
    if to_me && same { Ok(()) } else { Err(Unopenable::Misdirected) }
}

/// From when on a message may be taken, or is to be looked at again, unix seconds.
fn timely(inner: &wire::Inner, outside: &Outside, me: &Reader<'_>) -> Result<u64, Unopenable> {
    let life = inner.expires.checked_sub(inner.created).ok_or(Unopenable::Time)?;
    let opens_at = inner.created.saturating_sub(SKEW_SECS);
    let may_wait = opens_at <= me.now.saturating_add(LETTER_AHEAD_WAIT_SECS);
    let sound = life > 0
        && life <= ENVELOPE_LIFE_SECS
        && inner.expires > me.sure
        && (may_wait || !me.is_confirmed)
        && inner.expires.div_ceil(HOUR).checked_mul(HOUR) == Some(outside.expires);
    match (sound, may_wait) {
        (false, _) => Err(Unopenable::Time),
        (true, true) => Ok(opens_at),
        (true, false) => Ok(me.now.saturating_add(UNCONFIRMED_LOOK_SECS)),
    }
}

fn sender(inner: &wire::Inner) -> Option<(OrgId, NodeId, KeyId)> {
    let party = inner.sender.as_ref()?;
    let org = OrgId::try_from(party.org.as_slice()).ok()?;
    let node = NodeId::try_from(party.node.as_slice()).ok()?;
    Some((org, node, KeyId::try_from(party.key.as_slice()).ok()?))
}

//! The envelope of suite 1: how a message is sealed to one node, and what its outside says. How one is opened is next door
//! ([`open`]). Refuses to seal what no recipient could take.

mod opening;

use clearhouse_wire::v1 as wire;
use hpke::{OpModeS, Serializable as _};
use prost::Message;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use opening::{Opened, Opening, Reader, Rejected, open};

use crate::canon::{self, NotCanonical};
use crate::chunked;
use crate::directory::{Recipient, RouteFault};
use crate::ids::{ConversationId, Digest, KeyId, MailboxId, MsgId, Net, NodeId, OrgId, PrekeyId, StaffId};
use crate::keys::{Kem, SigningKey};
use crate::labels::{BODY_DIGEST, ENVELOPE_DIGEST, HPKE_INFO, OUTER, media};
use crate::limits::{
    ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES, ENVELOPE_LIFE_SECS, ENVELOPE_MAX, HEADER_MAX, HOUR, INNER_MAX, KEM_LEN,
    PLAINTEXT_MAX, SIZE_CLASSES,
};
use crate::pae::{hash, pae_parts, sha256};

type Aead = hpke::aead::ChaCha20Poly1305;
type Kdf = hpke::kdf::HkdfSha256;

/// The suite this version speaks.
pub const SUITE: u32 = 1;
const HEADER_VERSION: u32 = 1;
const SIG_LEN: usize = 64;

/// An attachment: a random handle by which the body speaks of it, and its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// 16 random bytes.
    pub name_tag: [u8; 16],
    /// 1 byte to 32 MiB, all attachments of a message together.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What a sender wants to say, before it is sealed.
pub struct Letter<'a> {
    /// The network.
    pub net: Net,
    /// A [`wire::MessageType`] number.
    pub msg_type: u32,
    /// The version of the body's format.
    pub body_version: u32,
    /// Names the message across every sealing.
    pub msg_id: MsgId,
    /// Sending organisation and node.
    pub sender: (OrgId, NodeId),
    /// The conversation.
    pub conversation: ConversationId,
    /// 1, 2, 3 ... in this direction.
    pub seq: u64,
    /// [`body_digest`] of the previous message of this direction; `None` at 1.
    pub prev_digest: Option<[u8; 32]>,
    /// Unix seconds.
    pub created: u64,
    /// Unix seconds, at most 30 days after `created`.
    pub expires: u64,
    /// For whom; `None` when the node acts by itself.
    pub actor: Option<StaffId>,
    /// The encoded body.
    pub body: &'a [u8],
    /// What goes behind the inner message.
    pub attachments: &'a [Attachment],
}

/// A sealed envelope, ready to be deposited.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The encoded [`wire::Envelope`].
    pub bytes: Vec<u8>,
    /// Its name.
    pub digest: Digest,
    /// The mailbox it is for.
    pub mailbox: MailboxId,
}

/// Why a letter cannot be sealed. Our own fault, told to our own people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// The body and attachments exceed the largest size class.
    #[error("the message is larger than an envelope can be")]
    TooLarge,
    /// An attachment is empty, or there are too many.
    #[error("an attachment is empty, or there are more than {ATTACHMENTS_MAX}")]
    Attachments,
    /// The lifetime is empty or longer than 30 days.
    #[error("the message would live longer than 30 days")]
    Lifetime,
    /// The recipient publishes no mailbox.
    #[error("the recipient has no mailbox")]
    NoMailbox,
    /// The key encapsulation failed.
    #[error("the recipient's key could not be used")]
    Kem,
}

/// Seals `letter` to `to`, for its mailbox number `mailbox` (0 is the preferred one).
///
/// # Errors
/// [`SealFault`]; nothing was produced.
pub fn seal(
    letter: &Letter<'_>,
    to: &Recipient,
    mailbox: usize,
    key: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<Sealed, SealFault> {
    let (mailbox, _, _) = to.mailboxes.get(mailbox).ok_or(SealFault::NoMailbox)?;
    let lifetime = letter.expires.checked_sub(letter.created).ok_or(SealFault::Lifetime)?;
    if lifetime == 0 || lifetime > ENVELOPE_LIFE_SECS {
        return Err(SealFault::Lifetime);
    }
    let attached: usize = letter.attachments.iter().map(|a| a.bytes.len()).sum();
    let too_many = letter.attachments.len() > ATTACHMENTS_MAX || letter.attachments.iter().any(|a| a.bytes.is_empty());
    if too_many {
        return Err(SealFault::Attachments);
    }
    if attached as u64 > ATTACHMENTS_MAX_BYTES || letter.body.len() > INNER_MAX - 4096 {
        return Err(SealFault::TooLarge);
    }
    let mut inner = unbound_inner(letter, to, key.id());
    let needed = 4 + inner.encoded_len() + 34 + SIG_LEN + attached;
    let class = size_class(needed as u64).ok_or(SealFault::TooLarge)?;
    let header = wire::Header {
        version: HEADER_VERSION,
        suite: SUITE,
        mailbox: mailbox.to_vec(),
        prekey_id: to.prekey.id().to_vec(),
        expires_hour: letter.expires.div_ceil(HOUR),
        size_class: class,
    }
    .encode_to_vec();

    let mut cek = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(cek.as_mut());
    let (enc, wrapped) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
        &OpModeS::Base,
        to.prekey.key().map_err(|_| SealFault::Kem)?,
        &info(letter.net, &header),
        cek.as_ref(),
        b"",
        rng,
    )
    .map_err(|_| SealFault::Kem)?;
    let kem = [enc.to_bytes().as_slice(), &wrapped].concat();
    let outer = hash(OUTER, &[&header, &kem]);

    inner.outer = outer.to_vec();
    let inner = Zeroizing::new(inner.encode_to_vec());
    let sig = key.sign(media::INNER, &inner);
    let len = u32::try_from(inner.len()).map_err(|_| SealFault::TooLarge)?;
    let class = usize::try_from(class).map_err(|_| SealFault::TooLarge)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(class));
    plaintext.extend_from_slice(&len.to_be_bytes());
    plaintext.extend_from_slice(&inner);
    plaintext.extend_from_slice(&sig);
    for attachment in letter.attachments {
        plaintext.extend_from_slice(&attachment.bytes);
    }
    if plaintext.len() > class {
        return Err(SealFault::TooLarge);
    }
    plaintext.resize(class, 0);
    let content = chunked::seal(&cek, &outer, &plaintext, rng);
    let digest = envelope_digest(&outer, &content);
    let bytes = wire::Envelope { header, kem, content }.encode_to_vec();
    Ok(Sealed { bytes, digest, mailbox: *mailbox })
}

fn unbound_inner(letter: &Letter<'_>, to: &Recipient, key: KeyId) -> wire::Inner {
    let refer = |a: &Attachment| wire::AttachmentRef {
        name_tag: a.name_tag.to_vec(),
        len: a.bytes.len() as u64,
        sha256: sha256(&a.bytes).to_vec(),
    };
    wire::Inner {
        net: letter.net.to_vec(),
        suite: SUITE,
        msg_type: letter.msg_type,
        body_version: letter.body_version,
        msg_id: letter.msg_id.to_vec(),
        sender: Some(wire::Party { org: letter.sender.0.to_vec(), node: letter.sender.1.to_vec(), key: key.to_vec() }),
        recipient: Some(wire::Party { org: to.org.to_vec(), node: to.node.to_vec(), key: to.prekey.id().to_vec() }),
        outer: vec![],
        created: letter.created,
        expires: letter.expires,
        conversation: letter.conversation.to_vec(),
        seq: letter.seq,
        prev_digest: letter.prev_digest.map(|d| d.to_vec()).unwrap_or_default(),
        directory_head: None,
        attachments: letter.attachments.iter().map(refer).collect(),
        body: letter.body.to_vec(),
        actor_id: letter.actor.map(StaffId::to_vec).unwrap_or_default(),
        actor_key_id: vec![],
        actor_sig: vec![],
        extensions: vec![],
    }
}

fn info(net: Net, header: &[u8]) -> Vec<u8> {
    pae_parts(HPKE_INFO, &[net.as_bytes(), header])
}

fn envelope_digest(outer: &[u8; 32], content: &[u8]) -> Digest {
    Digest(hash(ENVELOPE_DIGEST, &[outer, &sha256(content)]))
}

/// The hash that the next message of a conversation names as its predecessor.
#[must_use]
pub fn body_digest(msg_id: MsgId, body: &[u8]) -> [u8; 32] {
    hash(BODY_DIGEST, &[msg_id.as_bytes(), &sha256(body)])
}

/// The smallest class that holds `len` plaintext bytes; Padmé above the largest. `None` above the maximum.
#[must_use]
pub fn size_class(len: u64) -> Option<u64> {
    // Asked first: a stranger's header names any length, and above some Padmé has none. The largest is a class itself.
    (len <= PLAINTEXT_MAX).then(|| SIZE_CLASSES.iter().copied().find(|c| *c >= len).unwrap_or_else(|| padme(len)))
}

/// Padmé: keeps as many leading bits of a length as its exponent has bits (Nikitin et al., PoPETs 2019).
fn padme(len: u64) -> u64 {
    let exponent = u64::from(len.ilog2());
    let kept = u64::from(exponent.ilog2()) + 1;
    let step = 1u64 << (exponent - kept);
    len.div_ceil(step) * step
}

/// An envelope whose outside is sound: lengths, header, suite. Says nothing about its inside.
#[derive(Clone)]
pub struct Outside {
    header_bytes: Vec<u8>,
    kem: Vec<u8>,
    content: Vec<u8>,
    outer: [u8; 32],
    /// The envelope's name.
    pub digest: Digest,
    /// The mailbox it asks for.
    pub mailbox: MailboxId,
    /// The prekey it is sealed to.
    pub prekey: PrekeyId,
    /// When it ends, unix seconds; a whole hour.
    pub expires: u64,
    /// Length of its padded plaintext.
    pub size_class: u64,
}

/// Why an envelope is not opened, before its sender is known. Outward all of these are one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unopenable {
    /// Not an envelope, or not canonically encoded.
    #[error("not an envelope: {0}")]
    Encoding(#[from] NotCanonical),
    /// A fixed-length part has another length, or the size class does not exist or does not fit.
    #[error("a part has the wrong length")]
    Length,
    /// Header version or suite unknown, or below policy: the peer needs an update.
    #[error("a version or suite this node does not accept")]
    Suite,
    /// Past its end, or created too far ahead or too long ago.
    #[error("not valid at this time")]
    Time,
    /// No prekey of that id is held.
    #[error("sealed to a key this node does not hold")]
    Prekey,
    /// The key wrap does not open: wrong recipient, edited header, other network.
    #[error("the key wrap does not open")]
    Kem,
    /// The content stream does not open.
    #[error("{0}")]
    Content(#[from] chunked::ChunkFault),
    /// The inner message is malformed, badly padded, or its attachments do not match.
    #[error("the inner message is malformed")]
    Inner,
    /// The inner message was made for another recipient, envelope, suite or network.
    #[error("the inner message belongs to another envelope")]
    Misdirected,
    /// The sender may not speak: unknown, expired or revoked.
    #[error("sender: {0}")]
    Sender(#[from] RouteFault),
    /// The inner signature does not hold.
    #[error("the inner signature does not hold")]
    Signature,
}

impl Outside {
    /// Reads an envelope's outside. Everything a mailbox may know.
    ///
    /// # Errors
    /// [`Unopenable::Encoding`], [`Unopenable::Length`] or [`Unopenable::Suite`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Unopenable> {
        let envelope: wire::Envelope = canon::decode(bytes, ENVELOPE_MAX)?;
        let header: wire::Header = canon::decode(&envelope.header, HEADER_MAX)?;
        if header.version != HEADER_VERSION || header.suite != SUITE {
            return Err(Unopenable::Suite);
        }
        if envelope.kem.len() != KEM_LEN || size_class(header.size_class) != Some(header.size_class) {
            return Err(Unopenable::Length);
        }
        let class = usize::try_from(header.size_class).map_err(|_| Unopenable::Length)?;
        if envelope.content.len() != chunked::sealed_len(class) {
            return Err(Unopenable::Length);
        }
        let outer = hash(OUTER, &[&envelope.header, &envelope.kem]);
        Ok(Self {
            digest: envelope_digest(&outer, &envelope.content),
            mailbox: MailboxId::try_from(header.mailbox.as_slice()).map_err(|_| Unopenable::Length)?,
            prekey: PrekeyId::try_from(header.prekey_id.as_slice()).map_err(|_| Unopenable::Length)?,
            expires: header.expires_hour.checked_mul(HOUR).ok_or(Unopenable::Time)?,
            size_class: header.size_class,
            header_bytes: envelope.header,
            kem: envelope.kem,
            content: envelope.content,
            outer,
        })
    }
}

#[cfg(test)]
mod tests;

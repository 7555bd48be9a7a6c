//! Sealing and opening on one thread: the product's envelope beside the bare primitives it is made of.
//!
//! The bare side does what no design with these primitives can leave out, on exactly the bytes of the message: wrap a
//! key, encrypt, hash, sign; hash, verify, unwrap, decrypt. No padding, no canonical encoding, no directory.

use std::sync::Arc;
use std::time::Duration;

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use clearhouse_node::clock::chance;
use clearhouse_protocol::directory::{Directory, Recipient};
use clearhouse_protocol::envelope::{Attachment, Letter, Opening, Outside, Reader, Sealed, open, seal};
use clearhouse_protocol::ids::{ConversationId, MsgId, Net, NodeId, OrgId};
use clearhouse_protocol::keys::{PrekeySecret, SigningKey};
use clearhouse_protocol::limits::{DAY, WEEK};
use clearhouse_wire::v1::MessageType;
use ed25519_dalek::Signer as _;
use hpke::{Kem as _, OpModeR, OpModeS};
use rand_core::Rng as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::measure::{Outcome, micros, thread_time};
use crate::region::Member;

type Kem = hpke::kem::XWing;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

/// Seals letters from one member to another, as the sender's node does.
#[derive(Clone)]
pub(crate) struct Sealer {
    net: Net,
    from: (OrgId, NodeId),
    key: Arc<SigningKey>,
    to: Recipient,
    now: u64,
}

impl Sealer {
    pub(crate) fn new(directory: &Directory, from: &Member, to: &Member, now: u64) -> Outcome<Self> {
        Ok(Self {
            net: directory.net(),
            from: (from.made.org, from.made.node),
            key: Arc::new(SigningKey::from_seed(from.made.keys.service().node_seed.expose())),
            to: directory.recipient(to.made.org, to.made.node, now)?,
            now,
        })
    }

    /// A letter in a conversation of its own.
    pub(crate) fn seal(&self, body: &[u8], attachments: &[Attachment]) -> Outcome<Sealed> {
        let mut rng = chance();
        let (mut msg_id, mut conversation) = ([0; 16], [0; 32]);
        rng.fill_bytes(&mut msg_id);
        rng.fill_bytes(&mut conversation);
        let letter = Letter {
            net: self.net,
            msg_type: MessageType::ReturnNotice as u32,
            body_version: 1,
            msg_id: MsgId(msg_id),
            sender: self.from,
            conversation: ConversationId(conversation),
            seq: 1,
            prev_digest: None,
            created: self.now,
            expires: self.now + DAY,
            actor: None,
            body,
            attachments,
        };
        Ok(seal(&letter, &self.to, 0, &self.key, &mut rng)?)
    }

    /// The longest body whose envelope is still one of the smallest class, to 16 bytes.
    pub(crate) fn longest_small_body(&self) -> Outcome<usize> {
        let smallest = self.seal(&[0], &[])?.bytes.len();
        for len in (0..4096usize).rev().step_by(16) {
            if self.seal(&vec![0xA5; len], &[])?.bytes.len() == smallest {
                return Ok(len);
            }
        }
        Err("no body fits the smallest class".into())
    }
}

/// Processor time of one message on one thread, in microseconds: the mean over one round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Costs {
    /// The product: sealed and signed.
    pub(crate) seal: f64,
    /// The product: outside read, opened, verified.
    pub(crate) open: f64,
    /// Of that: the sender's key looked up and admitted.
    pub(crate) sender: f64,
    /// Each bare primitive.
    pub(crate) bare: Bare,
    /// Bytes of the product's envelope.
    pub(crate) envelope: usize,
}

impl Costs {
    /// How many round trips a second the product does for each of the bare primitives.
    pub(crate) fn ratio(&self) -> f64 {
        self.bare.both() / (self.seal + self.open)
    }
}

/// Processor time of the primitives, in microseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bare {
    pub(crate) kem_seal: f64,
    pub(crate) kem_open: f64,
    pub(crate) encrypt: f64,
    pub(crate) decrypt: f64,
    pub(crate) hash: f64,
    pub(crate) sign: f64,
    pub(crate) verify: f64,
}

impl Bare {
    /// Sealing and opening.
    pub(crate) fn both(&self) -> f64 {
        self.kem_seal + self.kem_open + self.encrypt + self.decrypt + 2.0 * self.hash + self.sign + self.verify
    }
}

/// What is sealed: all of it body, or all of it attachment.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    Body(usize),
    Attachment(usize),
}

/// Two ends of a road, and the bare keys beside them.
pub(crate) struct Bench<'a> {
    sealer: Sealer,
    reader: Reader<'a>,
    prekey: PrekeySecret,
    bare_secret: <Kem as hpke::Kem>::PrivateKey,
    bare_public: <Kem as hpke::Kem>::PublicKey,
    bare_key: ed25519_dalek::SigningKey,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(directory: &'a Directory, from: &Member, to: &Member, now: u64) -> Outcome<Self> {
        let content = to.made.keys.content().ok_or("the receiver's content is locked")?;
        let seed = content.prekeys().get(&(now / WEEK)).ok_or("no prekey of this week")?;
        let mut rng = chance();
        let (bare_secret, bare_public) = Kem::gen_keypair_with_rng(&mut rng);
        let mut bare_seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(bare_seed.as_mut());
        Ok(Self {
            sealer: Sealer::new(directory, from, to, now)?,
            reader: Reader { org: to.made.org, node: to.made.node, directory, now },
            prekey: PrekeySecret::from_seed(seed.expose()),
            bare_secret,
            bare_public,
            bare_key: ed25519_dalek::SigningKey::from_bytes(&bare_seed),
        })
    }

    /// One round: both sides in turn, message by message, until each has had `time` of the processor.
    pub(crate) fn round(&self, size: Size, time: Duration) -> Outcome<Costs> {
        let (body, attachments, len) = match size {
            Size::Body(len) => (vec![0xA5; len], vec![], len),
            Size::Attachment(len) => (vec![0xA5; 64], vec![attachment(len)], len),
        };
        let plain = vec![0xA5; len];
        let (mut sum, mut times) = (Costs::default(), 0u32);
        let began = thread_time();
        while times < 3 || thread_time().saturating_sub(began) < 2 * time {
            self.product(&body, &attachments, &mut sum)?;
            self.primitives(&plain, &mut sum.bare)?;
            times += 1;
        }
        let n = f64::from(times);
        let b = sum.bare;
        Ok(Costs {
            seal: sum.seal / n,
            open: sum.open / n,
            sender: sum.sender / n,
            bare: Bare {
                kem_seal: b.kem_seal / n,
                kem_open: b.kem_open / n,
                encrypt: b.encrypt / n,
                decrypt: b.decrypt / n,
                // Hashed once at each end.
                hash: b.hash / n / 2.0,
                sign: b.sign / n,
                verify: b.verify / n,
            },
            envelope: sum.envelope,
        })
    }

    fn product(&self, body: &[u8], attachments: &[Attachment], sum: &mut Costs) -> Outcome<()> {
        let sealed = clock(&mut sum.seal, || self.sealer.seal(body, attachments))?;
        sum.envelope = sealed.bytes.len();
        let opening = clock(&mut sum.open, || {
            let outside = Outside::parse(&sealed.bytes)?;
            open(&outside, Some(&self.prekey), &self.reader)
        })?;
        let Opening::Whole(opened) = opening else { return Err("an envelope was not taken".into()) };
        if opened.inner().body != body || opened.attachments() != attachments {
            return Err("an envelope opened to something else".into());
        }
        let (org, node) = self.sealer.from;
        clock(&mut sum.sender, || self.reader.directory.signing_key(org, node, self.reader.now))?;
        Ok(())
    }

    fn primitives(&self, plain: &[u8], sum: &mut Bare) -> Outcome<()> {
        let mut rng = chance();
        let mut key = Zeroizing::new([0u8; 32]);
        let (enc, wrapped) = clock(&mut sum.kem_seal, || {
            rng.fill_bytes(key.as_mut());
            let to = (&OpModeS::Base, &self.bare_public);
            hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(to.0, to.1, b"figures", key.as_ref(), b"", &mut rng)
        })
        .map_err(|e| e.to_string())?;
        // A key of its own for each message: any fixed nonce does.
        let nonce = Nonce::default();
        let mut bytes = plain.to_vec();
        let tag = clock(&mut sum.encrypt, || {
            ChaCha20Poly1305::new(&Key::from(*key)).encrypt_inout_detached(&nonce, &[], bytes.as_mut_slice().into())
        })
        .map_err(|_| "encryption failed")?;
        let digest = clock(&mut sum.hash, || Sha256::digest(&bytes));
        let signature = clock(&mut sum.sign, || self.bare_key.sign(&digest));

        let again = clock(&mut sum.hash, || Sha256::digest(&bytes));
        clock(&mut sum.verify, || self.bare_key.verifying_key().verify_strict(&again, &signature))?;
        let unwrapped = clock(&mut sum.kem_open, || {
            let secret = (&OpModeR::Base, &self.bare_secret);
            hpke::single_shot_open::<Aead, Kdf, Kem>(secret.0, secret.1, &enc, b"figures", &wrapped, b"")
        })
        .map_err(|e| e.to_string())?;
        let key: [u8; 32] = unwrapped.as_slice().try_into()?;
        clock(&mut sum.decrypt, || {
            let cipher = ChaCha20Poly1305::new(&Key::from(key));
            cipher.decrypt_inout_detached(&nonce, &[], bytes.as_mut_slice().into(), &tag)
        })
        .map_err(|_| "decryption failed")?;
        if bytes == plain { Ok(()) } else { Err("the primitives gave back something else".into()) }
    }
}

fn attachment(len: usize) -> Attachment {
    Attachment { name_tag: [7; 16], bytes: Zeroizing::new(vec![0xA5; len]) }
}

/// Adds what `act` takes of the processor, in microseconds.
fn clock<T>(sum: &mut f64, act: impl FnOnce() -> T) -> T {
    let began = thread_time();
    let done = act();
    *sum += micros(thread_time().saturating_sub(began));
    done
}

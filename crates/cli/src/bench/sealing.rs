//! Sealing and opening on one thread: the product's envelope beside the bare primitives it is made of, and beside those
//! that HPKE had before anybody reckoned with quantum computers.
//!
//! The bare side does what no design with these primitives can leave out ([`clearhouse_protocol::bare`]), on exactly the
//! bytes of the message.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_node::clock::chance;
use clearhouse_protocol::bare::{Bare, Classical, Hybrid, Kem};
use clearhouse_protocol::directory::{Directory, Recipient};
use clearhouse_protocol::envelope::{Attachment, Letter, Opening, Outside, Reader, Sealed, open, seal};
use clearhouse_protocol::ids::{ConversationId, MsgId, Net, NodeId, OrgId};
use clearhouse_protocol::keys::{PrekeySecret, SigningKey};
use clearhouse_protocol::limits::{DAY, WEEK};
use clearhouse_wire::v1::MessageType;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::measure::{Outcome, micros, thread_time};
use crate::demo::region::Member;

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
    pub(crate) bare: Steps,
    /// The same with X25519 alone.
    pub(crate) classical: Steps,
    /// Bytes of the product's envelope.
    pub(crate) envelope: usize,
}

impl Costs {
    /// Sealed and opened, in microseconds.
    pub(crate) fn whole(&self) -> f64 {
        self.seal + self.open
    }

    fn each(&self, times: f64) -> Self {
        Self {
            seal: self.seal / times,
            open: self.open / times,
            sender: self.sender / times,
            bare: self.bare.each(times),
            classical: self.classical.each(times),
            envelope: self.envelope,
        }
    }
}

/// Processor time of the primitives, in microseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Steps {
    pub(crate) kem_seal: f64,
    pub(crate) kem_open: f64,
    pub(crate) encrypt: f64,
    pub(crate) decrypt: f64,
    pub(crate) hash: f64,
    pub(crate) sign: f64,
    pub(crate) verify: f64,
}

impl Steps {
    /// Sealing and opening.
    pub(crate) fn both(&self) -> f64 {
        self.kem_seal + self.encrypt + self.hash + self.sign + self.opening()
    }

    /// Opening and verifying.
    pub(crate) fn opening(&self) -> f64 {
        self.hash + self.verify + self.kem_open + self.decrypt
    }

    fn each(&self, times: f64) -> Self {
        Self {
            kem_seal: self.kem_seal / times,
            kem_open: self.kem_open / times,
            encrypt: self.encrypt / times,
            decrypt: self.decrypt / times,
            // Hashed once at each end.
            hash: self.hash / times / 2.0,
            sign: self.sign / times,
            verify: self.verify / times,
        }
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
    bare: Hybrid,
    classical: Classical,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(directory: &'a Directory, from: &Member, to: &Member, now: u64) -> Outcome<Self> {
        let content = to.made.keys.content().ok_or("the receiver's content is locked")?;
        let seed = content.prekeys().get(&(now / WEEK)).ok_or("no prekey of this week")?;
        let mut rng = chance();
        Ok(Self {
            sealer: Sealer::new(directory, from, to, now)?,
            reader: Reader::new((to.made.org, to.made.node), directory, now),
            prekey: PrekeySecret::from_seed(seed.expose()),
            bare: Hybrid::new(&mut rng),
            classical: Classical::new(&mut rng),
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
        while times < 3 || thread_time().saturating_sub(began) < 3 * time {
            self.product(&body, &attachments, &mut sum)?;
            primitives(&self.bare, &plain, &mut sum.bare)?;
            primitives(&self.classical, &plain, &mut sum.classical)?;
            times += 1;
        }
        Ok(sum.each(f64::from(times)))
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
}

fn primitives<K: Kem>(keys: &Bare<K>, plain: &[u8], sum: &mut Steps) -> Outcome<()> {
    let mut rng = chance();
    let (key, wrapped) = clock(&mut sum.kem_seal, || keys.wrap(&mut rng)).ok_or("a key was not wrapped")?;
    let mut bytes = plain.to_vec();
    let seal = clock(&mut sum.encrypt, || Bare::<K>::encrypt(&key, &mut bytes)).ok_or("encryption failed")?;
    let digest = clock(&mut sum.hash, || Bare::<K>::hash(&bytes));
    let signature = clock(&mut sum.sign, || keys.sign(&digest));

    let again = clock(&mut sum.hash, || Bare::<K>::hash(&bytes));
    let verified = clock(&mut sum.verify, || keys.verify(&again, &signature));
    let key = clock(&mut sum.kem_open, || keys.unwrap(&wrapped)).ok_or("a key was not unwrapped")?;
    let decrypted = clock(&mut sum.decrypt, || Bare::<K>::decrypt(&key, &mut bytes, &seal));
    if verified && decrypted && bytes == plain { Ok(()) } else { Err("the primitives gave back something else".into()) }
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

//! Envelopes and content streams: from strangers, on the line, and from insiders whose seal and signature hold.
//!
//! Promises: an outside that is read is written again byte for byte; what opens was signed by its sender, byte for byte;
//! nothing that was changed on the way opens; a stream has the length that its plaintext gives.

use std::sync::OnceLock;

use clearhouse_protocol::envelope::{Attachment, Letter, Opened, Opening, Outside, Reader, open, seal};
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::{ConversationId, MsgId, StaffId};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::labels::{HPKE_INFO, OUTER, media};
use clearhouse_protocol::limits::{ATTACHMENTS_MAX, DAY, HOUR};
use clearhouse_protocol::pae::{hash, pae_parts, sha256};
use clearhouse_protocol::{canon, chunked};
use clearhouse_wire::v1 as wire;
use hpke::{Deserializable as _, OpModeS, Serializable as _};
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::bytes::Bytes;
use super::{Seed, seed};

/// Plaintext of the one size that is forged.
const CLASS: usize = 4 << 10;
const EXPIRES: u64 = NOW + DAY;
const KEY: [u8; 32] = [3; 32];

/// A region, and an outside whose content key is known: what an insider can put into it is whatever she likes.
struct Ground {
    region: Region,
    header: Vec<u8>,
    kem: Vec<u8>,
    cek: [u8; 32],
    outer: [u8; 32],
}

fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| {
        let mut region = Region::new(7, 2);
        let b = &region.members[1];
        let to = region.directory.recipient(b.org, b.node, NOW).expect("a member can be written to");
        let header = wire::Header {
            version: 1,
            suite: 1,
            mailbox: b.mailbox.to_vec(),
            prekey_id: to.prekey.id().to_vec(),
            expires_hour: EXPIRES.div_ceil(HOUR),
            size_class: CLASS as u64,
        };
        let (header, cek) = (header.encode_to_vec(), [5; 32]);
        let public = <hpke::kem::XWing as hpke::Kem>::PublicKey::from_bytes(to.prekey.as_bytes()).expect("sound");
        let info = pae_parts(HPKE_INFO, &[region.net.as_bytes(), &header]);
        type Aead = hpke::aead::ChaCha20Poly1305;
        let (mode, rng) = (OpModeS::Base, &mut region.rng);
        let wrapped = hpke::single_shot_seal_with_rng::<Aead, hpke::kdf::HkdfSha256, hpke::kem::XWing>(
            &mode, &public, &info, &cek, b"", rng,
        );
        let (enc, wrapped) = wrapped.expect("a sound key is sealed to");
        let kem = [enc.to_bytes().as_slice(), &wrapped].concat();
        let outer = hash(OUTER, &[&header, &kem]);
        Ground { region, header, kem, cek, outer }
    })
}

impl Ground {
    fn ends(&self) -> (&Member, &Member) {
        (&self.region.members[0], &self.region.members[1])
    }

    /// An envelope that opens to this plaintext, padded.
    fn forged(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut padded = plaintext.to_vec();
        padded.resize(CLASS, 0);
        let content = chunked::seal(&self.cek, &self.outer, &padded, &mut ChaCha20Rng::seed_from_u64(1));
        wire::Envelope { header: self.header.clone(), kem: self.kem.clone(), content }.encode_to_vec()
    }

    fn opened(&self, outside: &Outside) -> Option<Box<Opened>> {
        let (_, b) = self.ends();
        let reader = Reader::new((b.org, b.node), &self.region.directory, NOW);
        match open(outside, Some(b.prekey(NOW)), &reader) {
            Ok(Opening::Whole(opened) | Opening::Rejected(opened, _) | Opening::Ended(opened)) => Some(opened),
            Ok(Opening::Early(at)) => {
                assert!(at > NOW, "a letter waits for a time that is over");
                None
            }
            Err(_) => None,
        }
    }

    fn letter<'a>(&self, body: &'a [u8], attachments: &'a [Attachment]) -> Letter<'a> {
        let (a, _) = self.ends();
        Letter {
            net: self.region.net,
            msg_type: wire::MessageType::ReturnNotice as u32,
            body_version: 1,
            msg_id: MsgId([1; 16]),
            sender: (a.org, a.node),
            conversation: ConversationId([2; 32]),
            seq: 1,
            prev_digest: None,
            created: NOW,
            expires: EXPIRES,
            actor: Some(StaffId([4; 16])),
            body,
            attachments,
        }
    }

    fn sealed(&self, body: &[u8], attachments: &[Attachment]) -> Vec<u8> {
        let (a, b) = self.ends();
        let to = self.region.directory.recipient(b.org, b.node, NOW).expect("a member can be written to");
        let mut rng = ChaCha20Rng::seed_from_u64(body.len() as u64);
        seal(&self.letter(body, attachments), &to, 0, &a.sign, &mut rng).expect("it fits").bytes
    }

    /// What an insider writes as her message: bound to the outside and signed, whatever else it says.
    fn insider(&self, said: &[u8], behind: &[u8], is_bound: bool) -> Vec<u8> {
        let (a, b) = self.ends();
        let mut inner = said.to_vec();
        if let (true, Ok(mut message)) = (is_bound, wire::Inner::decode(said)) {
            let key = a.sign.public();
            let id = VerifyKey::admit(&key).expect("a sound key").id().to_vec();
            let prekey = wire::Header::decode(self.header.as_slice()).expect("our own").prekey_id;
            (message.net, message.suite) = (self.region.net.to_vec(), 1);
            message.outer = self.outer.to_vec();
            message.sender = Some(wire::Party { org: a.org.to_vec(), node: a.node.to_vec(), key: id });
            message.recipient = Some(wire::Party { org: b.org.to_vec(), node: b.node.to_vec(), key: prekey });
            (message.created, message.expires) = (NOW - message.created % 1000, EXPIRES);
            inner = message.encode_to_vec();
        }
        let sig = a.sign.sign(media::INNER, &inner);
        let len = u32::try_from(inner.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut plaintext = [&len[..], &inner, &sig, behind].concat();
        plaintext.truncate(CLASS);
        plaintext
    }
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 6 {
        0 => outside(bytes.rest()),
        1 => insider(&ground().forged(bytes.take(CLASS))),
        2 => {
            let said = bytes.piece();
            insider(&ground().forged(&ground().insider(said, bytes.rest(), true)));
        }
        3 => {
            let said = bytes.piece();
            insider(&ground().forged(&ground().insider(said, bytes.rest(), false)));
        }
        4 => stream(&mut bytes),
        _ => on_the_way(&mut bytes),
    }
}

fn outside(bytes: &[u8]) {
    let Ok(read) = Outside::parse(bytes) else { return };
    let envelope: wire::Envelope = wire::Envelope::decode(bytes).expect("it was read");
    assert!(envelope.encode_to_vec() == bytes, "an outside that was read is written otherwise");
    assert!(read.size_class <= bytes.len() as u64 && read.expires.is_multiple_of(HOUR));
    if let Some(opened) = ground().opened(&read) {
        holds(&opened, &read);
    }
}

fn insider(bytes: &[u8]) {
    let read = Outside::parse(bytes).expect("the outside is sound");
    if let Some(opened) = ground().opened(&read) {
        holds(&opened, &read);
    }
}

/// What was opened is what its sender signed.
fn holds(opened: &Opened, outside: &Outside) {
    let (a, _) = ground().ends();
    let (signed, sig) = opened.signed_bytes();
    let key = VerifyKey::admit(&a.sign.public()).expect("a sound key");
    assert!(key.verify(media::INNER, signed, sig).is_ok(), "what was opened was not signed");
    let read = canon::decode::<wire::Inner>(signed, signed.len()).expect("it was opened");
    assert!(read == *opened.inner() && opened.digest == outside.digest);
    assert!(opened.attachments().len() <= ATTACHMENTS_MAX);
    for (attachment, told) in opened.attachments().iter().zip(&read.attachments) {
        assert!(told.sha256 == sha256(&attachment.bytes) && told.len == attachment.bytes.len() as u64);
    }
}

/// A stream under a key that the reader has: any bytes, and one that was made and then changed.
fn stream(bytes: &mut Bytes<'_>) {
    let (at, mask) = (usize::from(bytes.u16()), bytes.u8());
    let said = bytes.rest();
    if let Ok(plain) = chunked::open(&KEY, b"", said) {
        assert_eq!(chunked::sealed_len(plain.len()), said.len());
    }
    let mut sealed = chunked::seal(&KEY, b"", said, &mut ChaCha20Rng::seed_from_u64(2));
    assert_eq!(sealed.len(), chunked::sealed_len(said.len()));
    let place = at % sealed.len();
    sealed[place] ^= mask;
    let opened = chunked::open(&KEY, b"", &sealed);
    assert_eq!(opened.is_ok_and(|plain| *plain == said), mask == 0, "a stream was changed at {place}");
}

/// An honest envelope, changed at one place or not, opens only if it was not.
fn on_the_way(bytes: &mut Bytes<'_>) {
    let (at, mask, len) = (usize::from(bytes.u16()), bytes.u8(), usize::from(bytes.u8()) + 1);
    let attached = bytes.take(len).to_vec();
    let attachments = [Attachment { name_tag: [6; 16], bytes: attached.into() }];
    let attachments = if attachments[0].bytes.is_empty() { &[][..] } else { &attachments };
    let body = bytes.take(CLASS);
    let mut sealed = ground().sealed(body, attachments);
    let place = at % sealed.len();
    sealed[place] ^= mask;
    let opened = Outside::parse(&sealed).ok().and_then(|outside| ground().opened(&outside));
    assert_eq!(opened.is_some(), mask == 0, "an envelope was changed at {place}");
    if let Some(opened) = opened {
        assert!(opened.inner().body == body && opened.attachments() == attachments);
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let ground = ground();
    let attachments = [Attachment { name_tag: [6; 16], bytes: b"a paper".to_vec().into() }];
    let sealed = ground.sealed(b"a notice", &attachments);
    let outside = Outside::parse(&sealed).expect("our own");
    let opened = ground.opened(&outside).expect("our own");
    let inner = opened.signed_bytes().0;
    let bare = Outside::parse(&ground.sealed(b"", &[])).expect("our own");
    let bare = ground.opened(&bare).expect("our own");
    let mut more = opened.inner().clone();
    more.extensions.push(wire::Extension { r#type: 1, critical: true, value: vec![] });
    more.attachments.push(more.attachments[0].clone());
    let piece = super::bytes::piece;
    vec![
        seed("outside", 0, &sealed),
        seed("outside-cut", 0, &sealed[..sealed.len() - 1]),
        seed("outside-longer", 0, &[&sealed[..], &[0x7a, 1, 0]].concat()),
        seed("plaintext", 1, &ground.insider(inner, b"a paper", true)),
        seed("insider", 2, &[&piece(inner)[..], b"a paper"].concat()),
        seed("insider-bare", 2, &piece(bare.signed_bytes().0)),
        seed("insider-more", 2, &[&piece(&more.encode_to_vec())[..], b"a papera paper"].concat()),
        seed("unbound", 3, &[&piece(inner)[..], b"a paper"].concat()),
        seed("stream", 4, &[&[0, 0, 0][..], &[9; 40]].concat()),
        seed("stream-changed", 4, &[&[0, 60, 1][..], &[9; 40]].concat()),
        seed("honest", 5, &[&[0, 0, 0, 3][..], b"abcda body"].concat()),
        seed("honest-changed", 5, &[&[4, 9, 1, 3][..], b"abcda body"].concat()),
    ]
}

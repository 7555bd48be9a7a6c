//! What an accredited sender can do that seals properly and lies inside, and what it can do with another's words.

use clearhouse_wire::v1 as wire;

use super::Sample;
use super::forge::{Draft, FORGED, World};
use crate::fixture::{NOW, Region};
use crate::labels::media;
use crate::limits::{DAY, HOUR, MINUTE};
use crate::pae::sha256;

/// The order of the group in which Ed25519 signs, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

type Change = fn(&mut Draft);

pub(super) fn samples(world: &World) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (refusal, changes) in [
        ("Length", LENGTH),
        ("Inner", INNER),
        ("Misdirected", MISDIRECTED),
        ("Time", TIME),
        ("Sender(Unknown)", UNKNOWN),
        ("Signature", SIGNATURE),
        ("Kem", KEY_WRAP),
        ("Content(Commitment)", CONTENT),
        ("Rejected(Extension)", EXTENSION),
    ] {
        for (name, change) in changes {
            samples.push(Sample::refused(name, world.forge(*change), refusal).change_of(FORGED));
        }
    }
    let live = another_network(world);
    samples.push(Sample::refused("the same people on a live network", live, "Kem").change_of(FORGED));
    samples
}

/// The same keys and ids on a network of the other kind.
fn another_network(world: &World) -> Vec<u8> {
    let live = Region::of_kind(7, 2, wire::NetworkKind::Live);
    assert!(live.members[1].org == world.region.members[1].org && live.net != world.region.net);
    world.forge(|draft| {
        draft.net = live.net;
        draft.inner.net = live.net.to_vec();
    })
}

fn attach(draft: &mut Draft, len: u64, hash: [u8; 32], bytes: &[u8]) {
    draft.inner.attachments.push(wire::AttachmentRef { name_tag: vec![1; 16], len, sha256: hash.to_vec() });
    draft.behind.extend_from_slice(bytes);
}

const LENGTH: &[(&str, Change)] = &[("a plaintext of a size that is no class, sealed as such", |d| {
    d.header.size_class += 1;
    d.padded = |p| p.push(0);
})];

const INNER: &[(&str, Change)] = &[
    ("an inner length of four gigabytes", |d| d.padded = |p| p[..4].fill(0xff)),
    ("an inner length one too long", |d| d.padded = |p| p[3] = p[3].wrapping_add(1)),
    ("an inner message that is no message", |d| d.encoded = |b| b.fill(0xff)),
    ("an unknown field, validly signed", |d| d.encoded = |b| b.extend_from_slice(&[0xf8, 0x07, 1])),
    ("a field twice, validly signed", |d| d.encoded = |b| b.extend_from_slice(&[0x10, 1])),
    ("an explicit zero, validly signed", |d| d.encoded = |b| b.extend_from_slice(&[0x90, 0x01, 0])),
    ("a byte in the padding that nobody signed", |d| d.padded = |p| p[4000] = 1),
    ("the last byte of the padding not zero", |d| d.padded = |p| p[4095] = 1),
    ("an attachment of another hash", |d| attach(d, 3, sha256(b"abd"), b"abc")),
    ("an attachment of no bytes", |d| attach(d, 0, sha256(b""), b"")),
    ("an attachment longer than the envelope", |d| attach(d, 1 << 40, sha256(b"abc"), b"abc")),
    ("an attachment no reference speaks of", |d| d.behind = b"abc".to_vec()),
    ("an attachment with a name of 15 bytes", |d| {
        attach(d, 3, sha256(b"abc"), b"abc");
        d.inner.attachments[0].name_tag.pop();
    }),
    ("33 attachments", |d| (0..33).for_each(|_| attach(d, 1, sha256(b"a"), b"a"))),
    ("a message id of 15 bytes", |d| d.inner.msg_id.truncate(d.inner.msg_id.len() - 1)),
    ("a conversation of 31 bytes", |d| d.inner.conversation.truncate(d.inner.conversation.len() - 1)),
    ("an actor of one byte", |d| d.inner.actor_id = vec![1]),
    ("no sender", |d| d.inner.sender = None),
];

const MISDIRECTED: &[(&str, Change)] = &[
    ("no recipient", |d| d.inner.recipient = None),
    ("another organisation as recipient", |d| recipient(d).org = vec![9; 16]),
    ("another node as recipient", |d| recipient(d).node = vec![9; 16]),
    ("another prekey as recipient", |d| recipient(d).key = vec![9; 16]),
    ("a genuine inner message wrapped anew", |d| d.bound = false),
    ("a suite that is not the header's", |d| d.inner.suite = 2),
    ("another network inside", |d| d.inner.net = vec![9; 32]),
];

const TIME: &[(&str, Change)] = &[
    ("a life of more than thirty days", |d| d.inner.created = d.inner.expires - 30 * DAY - 1),
    ("a life of no length", |d| {
        (d.inner.created, d.inner.expires) = (NOW + 5 * MINUTE, NOW + 5 * MINUTE);
        d.header.expires_hour = (NOW + 5 * MINUTE).div_ceil(HOUR);
    }),
    ("created after its end", |d| d.inner.created = d.inner.expires + 1),
    ("an end that is not the header's", |d| d.inner.expires += 3600),
    ("an end beyond all time", |d| d.inner.expires = u64::MAX),
];

const UNKNOWN: &[(&str, Change)] = &[
    ("a sender nobody certified", |d| sender(d).node = vec![9; 16]),
    ("a sender of an organisation that is not its own", |d| {
        let other = recipient(d).org.clone();
        sender(d).org = other;
    }),
];

const SIGNATURE: &[(&str, Change)] = &[
    ("signed by a stranger", |d| d.signer = None),
    ("signed by the recipient in the sender's name", |d| d.signer = Some(1)),
    ("signed for another purpose", |d| d.media = media::RECEIPT),
    ("a signature of zeros", |d| d.signature = |s| s.fill(0)),
    ("one bit of the signature", |d| d.signature = |s| s[0] ^= 1),
    ("the same signature with the group order added", |d| d.signature = add_group_order),
    ("another key id than the sender's", |d| sender(d).key = vec![9; 16]),
];

const KEY_WRAP: &[(&str, Change)] = &[("a header of another network in the wrap", |d| d.net.0[0] ^= 1)];

const CONTENT: &[(&str, Change)] = &[
    ("content sealed under another key than the wrapped one", |d| d.wrapped = vec![9; 32]),
    ("content bound to another envelope", |d| d.context = Some([9; 32])),
];

const EXTENSION: &[(&str, Change)] = &[("a critical extension this version does not know", |d| {
    d.inner.extensions.push(wire::Extension { r#type: 77, critical: true, value: vec![1] });
})];

fn recipient(draft: &mut Draft) -> &mut wire::Party {
    draft.inner.recipient.as_mut().unwrap()
}

fn sender(draft: &mut Draft) -> &mut wire::Party {
    draft.inner.sender.as_mut().unwrap()
}

/// S + L: the same equation, another signature. Strict verification takes only S below L.
fn add_group_order(sig: &mut [u8; 64]) {
    let mut carry = 0;
    for (byte, order) in sig[32..].iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}

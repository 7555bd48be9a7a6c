//! What a relay, a thief of the wire or a bad disk can do to an honest envelope, and moments at which it is no good.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::Sample;
use super::forge::{EXPIRES, PLAIN, World};
use crate::fixture::NOW;
use crate::limits::{DAY, KEM_ENC_LEN, MINUTE};
use crate::signed::add_signature;

pub(super) fn samples(world: &World, plain: &[u8]) -> Vec<Sample> {
    let mut samples = encodings(plain);
    samples.extend(headers(plain));
    samples.extend(parts(plain));
    samples.extend(moments(plain));
    samples.extend(records(world, plain));
    samples
}

fn refused(name: &str, bytes: Vec<u8>, refusal: &'static str) -> Sample {
    Sample::refused(name, bytes, refusal).change_of(PLAIN)
}

fn encodings(plain: &[u8]) -> Vec<Sample> {
    let other = "Encoding(OtherEncoding)";
    let no_message = "Encoding(Undecodable)";
    let envelope = wire::Envelope::decode(plain).unwrap();
    let field = |tag: u8, value: &[u8]| {
        let mut out = vec![tag];
        prost::encode_length_delimiter(value.len(), &mut out).unwrap();
        [out.as_slice(), value].concat()
    };
    let (header, kem, content) =
        (field(0x0a, &envelope.header), field(0x12, &envelope.kem), field(0x1a, &envelope.content));
    // The length of the header in two bytes where one does.
    let header_len = u8::try_from(envelope.header.len()).unwrap();
    let overlong = [&[0x0a, header_len | 0x80, 0], envelope.header.as_slice(), &kem, &content].concat();
    let inside = |header: Vec<u8>| wire::Envelope { header, ..envelope.clone() }.encode_to_vec();
    let h = &envelope.header;
    vec![
        refused("one byte cut off", plain[..plain.len() - 1].to_vec(), no_message),
        refused("one zero byte at the end", [plain, &[0]].concat(), no_message),
        refused("only the first half", plain[..plain.len() / 2].to_vec(), no_message),
        refused("a text", b"hello".to_vec(), no_message),
        refused("a field that claims two gigabytes", vec![0x1a, 0xff, 0xff, 0xff, 0xff, 0x07, 1, 2, 3], no_message),
        refused("five thousand empty fields", [0x0a, 0].repeat(5000), "Encoding(TooMany)"),
        refused("an unknown field at the end", [plain, &[0x22, 1, 0]].concat(), other),
        refused("the header twice", [header.as_slice(), plain].concat(), other),
        refused("the key before the header", [kem.as_slice(), &header, &content].concat(), other),
        refused("an overlong length", overlong, other),
        refused("a group", [plain, &[0x23, 0x24]].concat(), other),
        refused("an unknown field in the header", inside([h.as_slice(), &[0x38, 1]].concat()), other),
        refused("a header field twice", inside([h.as_slice(), &[0x08, 1]].concat()), other),
        refused("header fields out of order", inside([&h[2..], &h[..2]].concat()), other),
        refused("an overlong version", inside([&[0x08, 0x81, 0], &h[2..]].concat()), other),
        refused("a header that is no message", inside(vec![0xff; 20]), no_message),
        refused("a header of 513 bytes", inside(vec![0; 513]), "Encoding(TooLong)"),
    ]
}

fn headers(plain: &[u8]) -> Vec<Sample> {
    let with = |name: &str, refusal: &'static str, change: fn(&mut wire::Header)| {
        let mut envelope = wire::Envelope::decode(plain).unwrap();
        let mut header = wire::Header::decode(envelope.header.as_slice()).unwrap();
        change(&mut header);
        envelope.header = header.encode_to_vec();
        refused(name, envelope.encode_to_vec(), refusal)
    };
    vec![
        refused("an empty envelope", vec![], "Suite"),
        with("header version 0", "Suite", |h| h.version = 0),
        with("header version 2", "Suite", |h| h.version = 2),
        with("suite 0", "Suite", |h| h.suite = 0),
        with("suite 2", "Suite", |h| h.suite = 2),
        with("suite 65535", "Suite", |h| h.suite = 0xffff),
        with("a mailbox of 15 bytes", "Length", |h| h.mailbox.truncate(h.mailbox.len() - 1)),
        with("a prekey id of 17 bytes", "Length", |h| h.prekey_id.push(0)),
        with("no size class", "Length", |h| h.size_class = 0),
        with("a size that is no class", "Length", |h| h.size_class += 1),
        with("the next size class", "Length", |h| h.size_class = 16 << 10),
        with("a size above all classes", "Length", |h| h.size_class = 1 << 40),
        with("another mailbox", "Kem", |h| h.mailbox = vec![0xbb; 16]),
        with("a prekey nobody holds", "Prekey", |h| h.prekey_id = vec![0xbb; 16]),
        with("an hour more to live", "Kem", |h| h.expires_hour += 1),
        with("an end in the past", "Time", |h| h.expires_hour = NOW / 3600),
        with("an end beyond all time", "Time", |h| h.expires_hour = u64::MAX),
        with("no end", "Time", |h| h.expires_hour = 0),
    ]
}

fn parts(plain: &[u8]) -> Vec<Sample> {
    let with = |name: &str, refusal: &'static str, change: fn(&mut wire::Envelope)| {
        let mut envelope = wire::Envelope::decode(plain).unwrap();
        change(&mut envelope);
        refused(name, envelope.encode_to_vec(), refusal)
    };
    vec![
        with("a key wrap one byte short", "Length", |e| e.kem.truncate(e.kem.len() - 1)),
        with("a key wrap one byte long", "Length", |e| e.kem.push(0)),
        with("no key wrap", "Length", |e| e.kem.clear()),
        with("a bit of the ML-KEM ciphertext", "Kem", |e| e.kem[0] ^= 1),
        with("a bit of the X25519 share", "Kem", |e| e.kem[KEM_ENC_LEN - 32] ^= 1),
        with("an X25519 share of zeros", "Kem", |e| e.kem[KEM_ENC_LEN - 32..KEM_ENC_LEN].fill(0)),
        with("a bit of the wrapped key", "Kem", |e| e.kem[KEM_ENC_LEN] ^= 1),
        with("a bit of the wrapped key's tag", "Kem", |e| e.kem[KEM_ENC_LEN + 47] ^= 0x80),
        with("no content", "Length", |e| e.content.clear()),
        with("content one byte short", "Length", |e| e.content.truncate(e.content.len() - 1)),
        with("content one byte long", "Length", |e| e.content.push(0)),
        with("content without its tag", "Length", |e| e.content.truncate(e.content.len() - 16)),
        with("a bit of the salt", "Content(Commitment)", |e| e.content[0] ^= 1),
        with("a bit of the commitment", "Content(Commitment)", |e| e.content[55] ^= 1),
        with("the first bit of the chunk", "Content(Chunk)", |e| e.content[56] ^= 0x80),
        with("the last bit of the tag", "Content(Chunk)", |e| *e.content.last_mut().unwrap() ^= 1),
    ]
}

fn moments(plain: &[u8]) -> Vec<Sample> {
    let at = |name: &str, now: u64| refused(name, plain.to_vec(), "Time").at(now);
    vec![
        at("created more than ten minutes ahead of our clock", NOW - 11 * MINUTE - 1),
        at("in the first second after its life, within its last hour", EXPIRES),
        at("after the hour it names", EXPIRES + 3600),
        at("years later", NOW + 3650 * DAY),
    ]
}

fn records(world: &World, plain: &[u8]) -> Vec<Sample> {
    let region = &world.region;
    let signed_by_all = |media: &str, payload: Vec<u8>| {
        let mut signed = wire::Signed { payload_type: media.to_owned(), payload, signatures: vec![] };
        region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
        signed
    };
    let held = &region.records[0];
    let mut ended = wire::OrgRecord::decode(held.payload.as_slice()).unwrap();
    (ended.version, ended.prev_hash) = (2, crate::pae::sha256(&held.payload).to_vec());
    (ended.valid_from, ended.valid_until) = (NOW - 2 * DAY, NOW);
    let ended = signed_by_all(&held.payload_type, ended.encode_to_vec());

    let mut raised = wire::RootPolicy::decode(region.genesis.payload.as_slice()).unwrap();
    (raised.version, raised.prev_hash) = (2, region.net.to_vec());
    (raised.min_suite, raised.allowed_suites) = (2, vec![2]);
    let raised = signed_by_all(&region.genesis.payload_type, raised.encode_to_vec());
    let with =
        |name: &str, refusal: &'static str, record: wire::Signed| refused(name, plain.to_vec(), refusal).with(record);
    vec![
        with("the sender's node is revoked since this second", "Sender(Revoked)", world.revoke_sender(NOW)),
        with("the sender's accreditation ended this second", "Sender(Expired)", ended),
        with("the policy no longer allows suite 1", "Suite", raised),
    ]
}

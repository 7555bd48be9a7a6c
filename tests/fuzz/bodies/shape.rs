//! What stands before a message is one: the count of its parts at the door and before anything signed is read, the frames
//! of a line, the certificate of a handshake.
//!
//! Promises: what an honest writer makes is let in; what is let in and decoded has no more parts than the named limits; how
//! a line's bytes are cut changes nothing.

use clearhouse_node::limits::FIELDS_MAX;
use clearhouse_node::probe::{certificate, certificate_of, chatter, shape};
use clearhouse_node::tls::CERTIFICATE_MAX;
use clearhouse_protocol::canon::{self, NotCanonical};
use clearhouse_protocol::limits::{ELEMENTS_MAX, UNARY_MAX};
use clearhouse_wire::v1 as wire;
use prost::{Message, Name};

use super::bytes::Bytes;
use super::{Seed, seed};

/// Below this many bytes nothing can have too many parts: an empty one has two.
const FEW: usize = 2 * ELEMENTS_MAX;

/// Longest of those that are made of a few bytes many times over: room for more than is let in.
const MANY_MAX: usize = 3 * FIELDS_MAX;

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 4 {
        0 => one_of_all(bytes.u8(), bytes.rest()),
        1 => many(&mut bytes),
        2 => frames(&mut bytes),
        _ => {
            let der = bytes.rest();
            let key = certificate(der);
            assert!(key.is_none_or(|key| der.len() <= CERTIFICATE_MAX && der.windows(32).any(|part| part == key)));
        }
    }
}

/// One kind of message that comes over a line or in a file.
fn one_of_all(kind: u8, bytes: &[u8]) {
    match kind % 20 {
        0 => read::<wire::DepositFrame>(bytes),
        1 => read::<wire::DepositReply>(bytes),
        2 => read::<wire::OutcomeRequest>(bytes),
        3 => read::<wire::OutcomeReply>(bytes),
        4 => read::<wire::AddCheckpointRequest>(bytes),
        5 => read::<wire::AddCheckpointReply>(bytes),
        6 => read::<wire::TellEquivocationRequest>(bytes),
        7 => read::<wire::OwnLogReply>(bytes),
        8 => read::<wire::RecordBundle>(bytes),
        9 => read::<wire::DirectoryLogRequest>(bytes),
        10 => read::<wire::DirectoryLogReply>(bytes),
        11 => read::<wire::DigestsRequest>(bytes),
        12 => read::<wire::DigestsReply>(bytes),
        13 => read::<wire::BucketReply>(bytes),
        14 => read::<wire::PrekeysReply>(bytes),
        15 => read::<wire::FetchFrame>(bytes),
        16 => read::<wire::AckRequest>(bytes),
        17 => read::<wire::CaseBody>(bytes),
        18 => read::<wire::Inner>(bytes),
        _ => read::<wire::RootPolicy>(bytes),
    }
}

fn read<M: Message + Name + Default + PartialEq>(bytes: &[u8]) {
    let (is_let_in, decoded) = (shape::<M>(bytes), M::decode(bytes));
    let canonical = canon::decode::<M>(bytes, UNARY_MAX);
    if let Ok(message) = &canonical {
        assert!(message.encode_to_vec() == bytes, "what is canonical is written otherwise");
        assert!(is_let_in, "what is canonical is not let in");
    }
    let Ok(message) = decoded else { return };
    let again = message.encode_to_vec();
    if again == bytes && bytes.len() < FEW {
        assert!(is_let_in && canonical.is_ok(), "what an honest writer makes is refused");
    }
    if again.len() < FEW {
        assert!(shape::<M>(&again), "what was read and written again is refused");
    }
}

/// A few bytes many times over: how a small message becomes a large one.
fn many(bytes: &mut Bytes<'_>) {
    let (times, front) = (usize::from(bytes.u16()), bytes.u8() % 32);
    let (front, unit) = (bytes.take(front.into()), bytes.take(32));
    let all: Vec<u8> = [front, &unit.repeat(times)].concat();
    let Some(all) = all.get(..all.len().min(MANY_MAX)) else { return };
    if let Some(bundle) = canon::claimed::<wire::RecordBundle>(all) {
        assert!(parts(&bundle) <= ELEMENTS_MAX, "{} parts were decoded before they were counted", parts(&bundle));
    }
    if shape::<wire::RecordBundle>(all) {
        let bundle = wire::RecordBundle::decode(all);
        assert!(bundle.is_err() || bundle.is_ok_and(|bundle| parts(&bundle) <= FIELDS_MAX));
    }
    let canonical = canon::decode::<wire::RecordBundle>(all, UNARY_MAX);
    if canonical.as_ref().err() == Some(&NotCanonical::OtherEncoding) {
        // It was built to be compared.
        let built = wire::RecordBundle::decode(all).map_or(0, |bundle| parts(&bundle));
        assert!(built <= ELEMENTS_MAX, "{built} parts were decoded before they were counted");
    }
}

fn parts(bundle: &wire::RecordBundle) -> usize {
    let signatures: usize = bundle.records.iter().map(|record| record.signatures.len()).sum();
    bundle.records.len() + bundle.prekeys.len() + bundle.published.len() + signatures
}

fn frames(bytes: &mut Bytes<'_>) {
    let piece = usize::from(bytes.u8());
    let all = bytes.rest();
    assert_eq!(chatter(all, piece), chatter(all, usize::MAX), "frames in pieces of {piece} are counted otherwise");
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let signed = wire::Signed {
        payload_type: "type".into(),
        payload: vec![1; 20],
        signatures: vec![wire::Signature { key_id: vec![2; 16], sig: vec![3; 64] }; 2],
    };
    let bundle = wire::RecordBundle {
        records: vec![signed.clone(); 2],
        prekeys: vec![wire::Prekey { week: 4, pk: vec![5; 30] }],
        published: vec![],
    };
    let request = wire::DigestsRequest { own: Some(signed), ..wire::DigestsRequest::default() };
    let frame = |kind: u8, len: u8| [&[0, 0, len, kind, 0, 0, 0, 0, 0][..], &vec![kind; len.into()]].concat();
    let certificate = certificate_of([1; 32]).expect("a key of any seed");
    vec![
        seed("bundle", 0, &[&[8][..], &bundle.encode_to_vec()].concat()),
        seed("digests", 0, &[&[11][..], &request.encode_to_vec()].concat()),
        seed(
            "policy",
            0,
            &[&[19][..], &wire::RootPolicy { allowed_suites: vec![1, 2], ..Default::default() }.encode_to_vec()]
                .concat(),
        ),
        seed("cut", 0, &[8, 0x0a, 9, 1]),
        seed("group", 0, &[8, 0x7b, 0x7c]),
        seed("many", 1, &[0x10, 0, 0, 0x0a, 0]),
        seed("many-more", 1, &[0x20, 0, 0, 0x0a, 0]),
        seed("many-within", 1, &[4, 1, 0, 0x0a, 4, 0x1a, 0, 0x1a, 0]),
        seed("many-behind-a-group", 1, &[0x20, 0, 2, 0x7b, 0x7c, 0x0a, 0]),
        seed("frames", 2, &[&[4][..], &frame(1, 40), &frame(6, 8), &frame(0, 0)].concat()),
        seed("chatter", 2, &[&[7][..], &frame(6, 8).repeat(11)].concat()),
        seed("certificate", 3, &certificate),
        seed("certificate-cut", 3, &certificate[..90]),
    ]
}

//! Attacks on envelopes, named after the cases of the protocol's list.
mod limits;

use super::opening::{split, take_attachments};
use super::*;
use crate::fixture::{Member, NOW, Region};
use crate::limits::{CHUNK_LEN, DAY, LETTER_AHEAD_WAIT_SECS, MINUTE, SKEW_SECS, UNCONFIRMED_LOOK_SECS, WEEK};

fn letter<'a>(region: &Region, from: &Member, body: &'a [u8]) -> Letter<'a> {
    Letter {
        net: region.net,
        msg_type: 2,
        body_version: 1,
        msg_id: MsgId([5; 16]),
        sender: (from.org, from.node),
        conversation: ConversationId([6; 32]),
        seq: 1,
        prev_digest: None,
        created: NOW,
        expires: NOW + 7 * DAY,
        actor: None,
        body,
        attachments: &[],
    }
}

fn send(region: &mut Region, body: &[u8]) -> Sealed {
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let letter = letter(region, a, body);
    seal(&letter, &to, 0, &a.sign, &mut region.rng).unwrap()
}

fn read(region: &Region, member: usize, bytes: &[u8], now: u64) -> Result<Opening, Unopenable> {
    let me = &region.members[member];
    read_as(region, member, bytes, &Reader::new((me.org, me.node), &region.directory, now))
}

fn read_as(region: &Region, member: usize, bytes: &[u8], reader: &Reader<'_>) -> Result<Opening, Unopenable> {
    let me = &region.members[member];
    let outside = Outside::parse(bytes)?;
    let held = me.prekeys.iter().find(|(_, s)| s.public().unwrap().id() == outside.prekey).map(|(_, s)| s);
    open(&outside, held, reader)
}

fn fault(region: &Region, member: usize, bytes: &[u8], now: u64) -> Option<Unopenable> {
    read(region, member, bytes, now).err()
}

fn parts(bytes: &[u8]) -> wire::Envelope {
    wire::Envelope::decode(bytes).unwrap()
}

/// What an insider can build: an envelope around any inner bytes and signature, to any prekey, honestly keyed.
fn forge(region: &mut Region, to: usize, make: impl FnOnce(&[u8; 32]) -> (Vec<u8>, [u8; 64]), suite: u32) -> Vec<u8> {
    let member = &region.members[to];
    let prekey = member.prekey(NOW).public().unwrap();
    let class = 4096;
    let header = wire::Header {
        version: 1,
        suite,
        mailbox: member.mailbox.to_vec(),
        prekey_id: prekey.id().to_vec(),
        expires_hour: (NOW + 7 * DAY).div_ceil(HOUR),
        size_class: class as u64,
    }
    .encode_to_vec();
    let cek = [3u8; 32];
    let info = info(region.net, &header);
    let rng = &mut region.rng;
    let (enc, ct) =
        hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, prekey.key().unwrap(), &info, &cek, b"", rng)
            .unwrap();
    let kem = [enc.to_bytes().as_slice(), &ct].concat();
    let outer = hash(OUTER, &[&header, &kem]);
    let (inner, sig) = make(&outer);
    let mut plaintext = (inner.len() as u32).to_be_bytes().to_vec();
    plaintext.extend_from_slice(&inner);
    plaintext.extend_from_slice(&sig);
    plaintext.resize(class, 0);
    let content = chunked::seal(&cek, &outer, &plaintext, &mut region.rng);
    wire::Envelope { header, kem, content }.encode_to_vec()
}

/// A's genuine inner message to B, as B sees it after opening.
fn genuine_inner(region: &mut Region) -> (Vec<u8>, [u8; 64]) {
    let sealed = send(region, b"body");
    let Ok(Opening::Whole(opened)) = read(region, 1, &sealed.bytes, NOW) else { panic!("a genuine letter opens") };
    let (bytes, sig) = opened.signed_bytes();
    (bytes.to_vec(), *sig)
}

#[test]
fn a_letter_with_attachments_opens_at_its_recipient_and_nowhere_else() {
    let mut region = Region::new(1, 3);
    let attachments = [
        Attachment { name_tag: [1; 16], bytes: Zeroizing::new(vec![9; 100_000]) },
        Attachment { name_tag: [2; 16], bytes: Zeroizing::new(vec![8; 1]) },
    ];
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let letter = Letter { attachments: &attachments, ..letter(&region, a, b"body") };
    let sealed = seal(&letter, &to, 0, &a.sign, &mut region.rng).unwrap();
    let Ok(Opening::Whole(opened)) = read(&region, 1, &sealed.bytes, NOW) else { panic!("it opens") };
    assert_eq!(opened.inner().body, b"body");
    assert!(opened.attachments() == attachments);
    assert_eq!(opened.digest, sealed.digest);
    assert_eq!(opened.sender, (region.members[0].org, region.members[0].node));
    assert_eq!(fault(&region, 2, &sealed.bytes, NOW), Some(Unopenable::Prekey));
}

#[test]
fn attack_01_recipient_substitution_is_refused() {
    let mut region = Region::new(1, 3);
    let sealed = send(&mut region, b"body");
    let mut envelope = parts(&sealed.bytes);
    let mut header = wire::Header::decode(envelope.header.as_slice()).unwrap();
    let c = &region.members[2];
    header.mailbox = c.mailbox.to_vec();
    envelope.header = header.encode_to_vec();
    // The relay moved it to C's mailbox: C holds no such prekey; B, given it back, finds the wrap broken.
    assert_eq!(fault(&region, 2, &envelope.encode_to_vec(), NOW), Some(Unopenable::Prekey));
    assert_eq!(fault(&region, 1, &envelope.encode_to_vec(), NOW), Some(Unopenable::Kem));
    header.prekey_id = c.prekey(NOW).public().unwrap().id().to_vec();
    envelope.header = header.encode_to_vec();
    assert_eq!(fault(&region, 2, &envelope.encode_to_vec(), NOW), Some(Unopenable::Kem));
}

#[test]
fn attack_02_surreptitious_forwarding_is_refused() {
    let mut region = Region::new(1, 3);
    let (inner, sig) = genuine_inner(&mut region);
    // B re-seals A's signed words to C, as they are.
    let forged = forge(&mut region, 2, |_| (inner.clone(), sig), SUITE);
    assert_eq!(fault(&region, 2, &forged, NOW), Some(Unopenable::Misdirected));
    // B also rewrites recipient and binding, which the signature does not survive.
    let c = (region.members[2].org, region.members[2].node, region.members[2].prekey(NOW).public().unwrap().id());
    let forged = forge(
        &mut region,
        2,
        |outer| {
            let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
            inner.recipient = Some(wire::Party { org: c.0.to_vec(), node: c.1.to_vec(), key: c.2.to_vec() });
            inner.outer = outer.to_vec();
            (inner.encode_to_vec(), sig)
        },
        SUITE,
    );
    assert_eq!(fault(&region, 2, &forged, NOW), Some(Unopenable::Signature));
}

#[test]
fn attack_03_rewrapping_to_the_same_recipient_is_refused() {
    let mut region = Region::new(1, 2);
    let (inner, sig) = genuine_inner(&mut region);
    let forged = forge(&mut region, 1, |_| (inner, sig), SUITE);
    assert_eq!(fault(&region, 1, &forged, NOW), Some(Unopenable::Misdirected));
}

#[test]
fn attack_05_time_is_bounded_on_both_sides() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    assert!(read(&region, 1, &sealed.bytes, NOW - 9 * MINUTE).is_ok());
    let ahead = |secs: u64| read(&region, 1, &sealed.bytes, NOW - SKEW_SECS - secs);
    assert!(matches!(ahead(0), Ok(Opening::Whole(_))));
    for secs in [1, LETTER_AHEAD_WAIT_SECS] {
        assert!(matches!(ahead(secs), Ok(Opening::Early(at)) if at == NOW - SKEW_SECS), "it may wait for its time");
    }
    assert_eq!(ahead(LETTER_AHEAD_WAIT_SECS + 1).err(), Some(Unopenable::Time));
    // Nobody has said that it is not this clock that is behind: it is looked at again, and again, until somebody does.
    let unconfirmed = |now: u64, sure: u64| {
        let me = &region.members[1];
        let reader = Reader { sure, is_confirmed: false, ..Reader::new((me.org, me.node), &region.directory, now) };
        read_as(&region, 1, &sealed.bytes, &reader)
    };
    let behind = NOW - SKEW_SECS - 3 * LETTER_AHEAD_WAIT_SECS;
    assert!(matches!(unconfirmed(behind, behind), Ok(Opening::Early(at)) if at == behind + UNCONFIRMED_LOOK_SECS));
    // Nor that it is not ahead: its life is over when more than this clock says so.
    assert!(matches!(unconfirmed(NOW + 7 * DAY, NOW), Ok(Opening::Whole(_))));
    assert_eq!(unconfirmed(NOW + 7 * DAY, NOW + 7 * DAY).err(), Some(Unopenable::Time));
    assert!(read(&region, 1, &sealed.bytes, NOW + 7 * DAY - 1).is_ok());
    assert_eq!(fault(&region, 1, &sealed.bytes, NOW + 7 * DAY), Some(Unopenable::Time));

    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let long = Letter { expires: NOW + 31 * DAY, ..letter(&region, a, b"body") };
    assert_eq!(seal(&long, &to, 0, &a.sign, &mut region.rng).err(), Some(SealFault::Lifetime));
    // A sender that ignores the rule. It is A itself, so the signature is good; only the times are wrong.
    let signer = Region::new(1, 2).members.remove(0).sign;
    let (inner, _) = genuine_inner(&mut region);
    for (created, expires) in [(NOW - 31 * DAY, NOW + 7 * DAY), (NOW, NOW), (NOW + 8 * DAY, NOW + 7 * DAY)] {
        let forged = forge(
            &mut region,
            1,
            |outer| {
                let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
                (inner.created, inner.expires, inner.outer) = (created, expires, outer.to_vec());
                let bytes = inner.encode_to_vec();
                let sig = signer.sign(media::INNER, &bytes);
                (bytes, sig)
            },
            SUITE,
        );
        assert_eq!(fault(&region, 1, &forged, NOW), Some(Unopenable::Time), "{created} {expires}");
    }
}

#[test]
fn attack_05_a_date_ahead_that_its_sender_did_not_sign_lays_nothing_aside() {
    let mut region = Region::new(1, 2);
    let (inner, sig) = genuine_inner(&mut region);
    let forged = forge(
        &mut region,
        1,
        |outer| {
            let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
            inner.outer = outer.to_vec();
            (inner.encode_to_vec(), sig)
        },
        SUITE,
    );
    assert_eq!(fault(&region, 1, &forged, NOW - HOUR), Some(Unopenable::Signature));
}

#[test]
fn attack_06_suite_downgrade_is_refused() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    for suite in [0, 2, 0xffff] {
        let mut envelope = parts(&sealed.bytes);
        let mut header = wire::Header::decode(envelope.header.as_slice()).unwrap();
        header.suite = suite;
        envelope.header = header.encode_to_vec();
        assert_eq!(fault(&region, 1, &envelope.encode_to_vec(), NOW), Some(Unopenable::Suite));
    }
    let (inner, _) = genuine_inner(&mut region);
    let signer = Region::new(1, 2).members.remove(0).sign;
    let forged = forge(
        &mut region,
        1,
        |outer| {
            let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
            inner.suite = 2;
            inner.outer = outer.to_vec();
            let bytes = inner.encode_to_vec();
            let sig = signer.sign(media::INNER, &bytes);
            (bytes, sig)
        },
        SUITE,
    );
    assert_eq!(fault(&region, 1, &forged, NOW), Some(Unopenable::Misdirected));
}

#[test]
fn attack_07_truncated_and_rearranged_streams_are_refused() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, &[1; 40_000]);
    let envelope = parts(&sealed.bytes);
    let piece = CHUNK_LEN + 16;
    let content = &envelope.content;
    let chunk = |n: usize| &content[56 + n * piece..56 + (n + 1) * piece];
    let swapped = [&content[..56], chunk(1), chunk(0), &content[56 + 2 * piece..]].concat();
    let appended = [content.as_slice(), chunk(0)].concat();
    let cuts = (0..3).map(|n| content[..56 + n * piece].to_vec());
    let inside_last = content[..content.len() - 1].to_vec();
    for bad in cuts.chain([swapped, appended, inside_last, content[..content.len() - 16].to_vec()]) {
        let bad = wire::Envelope { content: bad, ..envelope.clone() }.encode_to_vec();
        assert!(fault(&region, 1, &bad, NOW).is_some());
    }
}

#[test]
fn attack_08_huge_length_prefixes_are_refused() {
    let mut region = Region::new(1, 2);
    assert!(split(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]).is_none());
    let forged = forge(&mut region, 1, |_| (vec![0x0a; 9], [0; 64]), SUITE);
    assert_eq!(fault(&region, 1, &forged, NOW), Some(Unopenable::Inner));
    let mut claim = vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x07];
    claim.resize(100, 0);
    assert!(matches!(Outside::parse(&claim).err(), Some(Unopenable::Encoding(_))));
}

#[test]
fn attack_09_invisible_salamander_is_refused_by_the_commitment() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    let envelope = parts(&sealed.bytes);
    for bit in (0..56 * 8).step_by(7) {
        let mut bad = envelope.clone();
        bad.content[bit / 8] ^= 1 << (bit % 8);
        let commitment = Unopenable::Content(chunked::ChunkFault::Commitment);
        assert_eq!(fault(&region, 1, &bad.encode_to_vec(), NOW), Some(commitment));
    }
}

#[test]
fn attack_13_a_second_encoding_of_an_envelope_is_refused() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    let envelope = parts(&sealed.bytes);
    let trailing = [sealed.bytes.as_slice(), &[0x22, 1, 0]].concat();
    let doubled_header =
        [wire::Envelope { header: vec![1], ..Default::default() }.encode_to_vec(), sealed.bytes].concat();
    let padded_header = wire::Envelope { header: [envelope.header.as_slice(), &[0x38, 1]].concat(), ..envelope };
    for bad in [trailing, doubled_header, padded_header.encode_to_vec()] {
        assert!(matches!(Outside::parse(&bad).err(), Some(Unopenable::Encoding(NotCanonical::OtherEncoding))));
    }
}

#[test]
fn attack_14_another_network_or_purpose_does_not_verify() {
    let mut live = Region::of_kind(1, 2, wire::NetworkKind::Live);
    let mut training = Region::new(1, 2);
    // The same keys on both networks: only NET differs.
    let sealed = send(&mut training, b"body");
    assert_eq!(fault(&live, 1, &sealed.bytes, NOW), Some(Unopenable::Kem));
    let (inner, sig) = genuine_inner(&mut training);
    let forged = forge(&mut live, 1, |_| (inner, sig), SUITE);
    assert_eq!(fault(&live, 1, &forged, NOW), Some(Unopenable::Misdirected));
    let signer = Region::new(1, 2).members.remove(0).sign;
    let (inner, _) = genuine_inner(&mut training);
    let forged = forge(
        &mut training,
        1,
        |outer| {
            let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
            inner.outer = outer.to_vec();
            let bytes = inner.encode_to_vec();
            let sig = signer.sign(media::RECEIPT, &bytes);
            (bytes, sig)
        },
        SUITE,
    );
    assert_eq!(fault(&training, 1, &forged, NOW), Some(Unopenable::Signature));
}

#[test]
fn every_single_bit_of_an_envelope_counts() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    for bit in (0..sealed.bytes.len() * 8).step_by(101) {
        let mut bad = sealed.bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(fault(&region, 1, &bad, NOW).is_some(), "bit {bit}");
    }
}

#[test]
fn padding_that_is_not_zero_and_attachments_that_do_not_match_are_refused() {
    let inner = wire::Inner { attachments: vec![], ..Default::default() };
    assert!(take_attachments(&inner, &[0, 0, 1]).is_err());
    let refer = |len: u64, sha: [u8; 32]| wire::AttachmentRef { name_tag: vec![1; 16], len, sha256: sha.to_vec() };
    let bytes = [7u8; 10];
    for (len, sha) in [(10, [0; 32]), (0, sha256(&[])), (11, sha256(&bytes)), (u64::MAX, sha256(&bytes))] {
        let inner = wire::Inner { attachments: vec![refer(len, sha)], ..Default::default() };
        assert!(take_attachments(&inner, &bytes).is_err());
    }
    let inner = wire::Inner { attachments: vec![refer(10, sha256(&bytes))], ..Default::default() };
    assert!(take_attachments(&inner, &bytes).is_ok());
}

#[test]
fn a_revoked_or_expired_sender_is_refused() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, b"body");
    let a = &region.members[0];
    let by_root =
        crate::ceremony::revoke(region.net, wire::SubjectKind::Node, a.node.0, "Compromised", NOW - 1, &[&a.root]);
    let checked = region.directory.check(&by_root, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    assert!(matches!(read(&region, 1, &sealed.bytes, NOW), Ok(Opening::Ended(_))), "for a person to decide");
    // Without a valid accreditation there is nothing to decide.
    let later = NOW + 20 * DAY;
    let mut other = sealed.bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(fault(&region, 1, &other, NOW).is_some() && fault(&region, 1, &sealed.bytes, later).is_some());
}

#[test]
fn attack_25_a_revoked_key_with_an_old_timestamp_signs_nothing_that_counts_by_itself() {
    use crate::ceremony::revoke;
    use wire::SubjectKind::{Key, Node, Organisation};
    let (ended, arrives) = (NOW + 5 * DAY, NOW + 6 * DAY);
    for kind in [Node, Organisation, Key] {
        let mut region = Region::new(1, 2);
        let seal_at = |region: &mut Region, created: u64| {
            let (a, b) = (&region.members[0], &region.members[1]);
            let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
            let letter = Letter { created, expires: NOW + 9 * DAY, ..letter(region, a, b"body") };
            seal(&letter, &to, 0, &a.sign, &mut region.rng).unwrap().bytes
        };
        // A thief writes any date: long before the end, a second before it, after it.
        let dates = [NOW, ended - 1, ended, arrives];
        let letters: Vec<_> = dates.iter().map(|created| seal_at(&mut region, *created)).collect();
        let whole = |region: &Region, bytes: &[u8], at| matches!(read(region, 1, bytes, at), Ok(Opening::Whole(_)));
        assert!(letters.iter().all(|bytes| whole(&region, bytes, arrives)), "all of them count before");
        let a = &region.members[0];
        let (subject, by) = match kind {
            Node => (a.node.0, vec![&a.root]),
            Organisation => (a.org.0, region.coordinators.iter().collect()),
            Key | wire::SubjectKind::Unspecified => {
                (crate::keys::VerifyKey::admit(&a.sign.public()).unwrap().id().0, region.coordinators.iter().collect())
            }
        };
        let record = revoke(region.net, kind, subject, "Compromised", ended, &by);
        let checked = region.directory.check(&record, NOW).unwrap().unwrap();
        region.directory.insert(checked);
        for (bytes, created) in letters.iter().zip(dates) {
            let held = matches!(read(&region, 1, bytes, arrives), Ok(Opening::Ended(_)));
            assert!(held, "{}, dated {created}", kind.as_str_name());
        }
        // What was read before the end had its effect then: revoking changes no past.
        assert!(whole(&region, &letters[0], ended - 1));
    }
}

#[test]
fn sizes_fall_into_the_published_classes() {
    for (len, class) in [(1, 4096), (4096, 4096), (4097, 16384), (1 << 20, 1 << 20)] {
        assert_eq!(size_class(len), Some(class));
    }
    for len in [(1 << 20) + 1, 3_000_000, 20_000_000] {
        let class = size_class(len).unwrap();
        assert!(class >= len && class - len <= len / 8, "{len} {class}");
        assert_eq!(size_class(class), Some(class));
    }
    assert_eq!(size_class(PLAINTEXT_MAX + 1), None);
    assert_eq!(NOW / WEEK, 2967);
}

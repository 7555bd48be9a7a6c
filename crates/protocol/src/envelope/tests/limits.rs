//! The limits of a letter, on both sides of each: what its sender seals and what its recipient takes.

use super::*;
use crate::limits::{ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES, INNER_MAX, SIZE_CLASSES};

fn attachments(lens: &[usize]) -> Vec<Attachment> {
    lens.iter().map(|len| Attachment { name_tag: [1; 16], bytes: Zeroizing::new(vec![9; *len]) }).collect()
}

/// What sealing says of a letter with a change.
fn sealed<'a>(region: &mut Region, change: impl FnOnce(&mut Letter<'a>)) -> Result<Sealed, SealFault> {
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let mut letter = letter(region, a, b"body");
    change(&mut letter);
    seal(&letter, &to, 0, &a.sign, &mut region.rng)
}

/// What the second member says of a letter that its sender itself made otherwise than it may.
fn forged(region: &mut Region, change: impl FnOnce(&mut wire::Inner)) -> Option<Unopenable> {
    let signer = Region::new(1, 2).members.remove(0).sign;
    let (inner, _) = genuine_inner(region);
    let make = |outer: &[u8; 32]| {
        let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
        inner.outer = outer.to_vec();
        change(&mut inner);
        let bytes = inner.encode_to_vec();
        let sig = signer.sign(media::INNER, &bytes);
        (bytes, sig)
    };
    let forged = forge(region, 1, make, SUITE);
    fault(region, 1, &forged, NOW)
}

#[test]
fn what_is_as_large_as_it_may_be_is_sealed_and_one_byte_more_is_not() {
    let mut region = Region::new(1, 2);
    let most = ATTACHMENTS_MAX_BYTES as usize;
    for (lens, wrong) in [
        (vec![1; ATTACHMENTS_MAX], None),
        (vec![1; ATTACHMENTS_MAX + 1], Some(SealFault::Attachments)),
        (vec![1, 0], Some(SealFault::Attachments)),
        (vec![most - 1, 1], None),
        (vec![most, 1], Some(SealFault::TooLarge)),
    ] {
        let all = attachments(&lens);
        let result = sealed(&mut region, |letter| letter.attachments = &all);
        assert_eq!(result.as_ref().err(), wrong.as_ref(), "{} attachments", lens.len());
        if let Ok(sealed) = result {
            let Ok(Opening::Whole(opened)) = read(&region, 1, &sealed.bytes, NOW) else { panic!("it opens") };
            assert!(opened.attachments() == all);
        }
    }
    let body = vec![7; INNER_MAX - 4095];
    assert!(sealed(&mut region, |letter| letter.body = &body[1..]).is_ok());
    assert_eq!(sealed(&mut region, |letter| letter.body = &body).err(), Some(SealFault::TooLarge));
    for expires in [NOW + 1, NOW + ENVELOPE_LIFE_SECS] {
        assert!(sealed(&mut region, |l| l.expires = expires).is_ok());
    }
    for expires in [NOW - 1, NOW, NOW + ENVELOPE_LIFE_SECS + 1] {
        assert_eq!(sealed(&mut region, |l| l.expires = expires).err(), Some(SealFault::Lifetime));
    }
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let second = seal(&letter(&region, a, b"body"), &to, 1, &a.sign, &mut region.rng);
    assert_eq!(second.err(), Some(SealFault::NoMailbox));
}

#[test]
fn a_letter_is_of_the_smallest_class_that_holds_it() {
    let mut region = Region::new(1, 2);
    let sealed = send(&mut region, &[1; 1000]);
    let Ok(Opening::Whole(opened)) = read(&region, 1, &sealed.bytes, NOW) else { panic!("it opens") };
    let beside = opened.signed_bytes().0.len() - 1000 + 4 + SIG_LEN;
    let fits = SIZE_CLASSES[0] as usize - beside;
    for (len, class) in [(fits, SIZE_CLASSES[0]), (fits + 1, SIZE_CLASSES[1])] {
        let sealed = send(&mut region, &vec![1; len]);
        assert_eq!(Outside::parse(&sealed.bytes).unwrap().size_class, class, "{len}");
        assert!(matches!(read(&region, 1, &sealed.bytes, NOW), Ok(Opening::Whole(_))));
    }
}

// As the paper's formula gives them: E = floor(log2 L), S = floor(log2 E) + 1, the lowest E - S bits rounded up.
#[test]
fn above_the_fixed_classes_padme_says_how_long() {
    for (len, class) in [
        ((1 << 20) + 1, (1 << 20) + (1 << 15)),
        (3_000_000, 46 << 16),
        (20_000_000, 39 << 19),
        (PLAINTEXT_MAX - 1, PLAINTEXT_MAX),
        (PLAINTEXT_MAX, PLAINTEXT_MAX),
    ] {
        assert_eq!(size_class(len), Some(class), "{len}");
    }
}

#[test]
fn a_letter_lives_as_long_as_it_may_and_ends_at_its_own_second() {
    let mut region = Region::new(1, 2);
    let time = Some(Unopenable::Time);
    let ends = NOW + 7 * DAY;
    assert_eq!(forged(&mut region, |inner| inner.created = ends - ENVELOPE_LIFE_SECS), None);
    assert_eq!(forged(&mut region, |inner| inner.created = ends - ENVELOPE_LIFE_SECS - 1), time);
    assert_eq!(forged(&mut region, |inner| inner.expires = ends - HOUR), time, "its outside says another hour");
    assert_eq!(forged(&mut region, |inner| inner.expires = ends - HOUR + 1), None);
    let within = sealed(&mut region, |letter| letter.expires = NOW + 1800).unwrap();
    assert_eq!(fault(&region, 1, &within.bytes, NOW + 1799), None);
    assert_eq!(fault(&region, 1, &within.bytes, NOW + 1800), time, "its outside ends with the hour");
}

#[test]
fn every_name_inside_a_letter_counts_by_itself() {
    let mut region = Region::new(1, 3);
    let (a, c) = (region.members[0].org, &region.members[2]);
    let (org, node, key) = (c.org, c.node, c.prekey(NOW).public().unwrap().id());
    let mut of = |change: &dyn Fn(&mut wire::Inner)| forged(&mut region, change);
    let to = |inner: &mut wire::Inner| inner.recipient.clone().unwrap();
    let misdirected = Some(Unopenable::Misdirected);
    assert_eq!(of(&|_| {}), None);
    assert_eq!(of(&|i| i.recipient = None), misdirected);
    assert_eq!(of(&|i| i.recipient = Some(wire::Party { org: org.to_vec(), ..to(i) })), misdirected);
    assert_eq!(of(&|i| i.recipient = Some(wire::Party { node: node.to_vec(), ..to(i) })), misdirected);
    assert_eq!(of(&|i| i.recipient = Some(wire::Party { key: key.to_vec(), ..to(i) })), misdirected);
    assert_eq!(of(&|i| i.outer[0] ^= 1), misdirected);
    assert_eq!(of(&|i| i.net[0] ^= 1), misdirected);
    let from = |inner: &mut wire::Inner| inner.sender.clone().unwrap();
    assert_eq!(of(&|i| i.sender = None), Some(Unopenable::Inner));
    assert_eq!(of(&|i| i.sender = Some(wire::Party { key: key.to_vec(), ..from(i) })), Some(Unopenable::Signature));
    assert_eq!(
        of(&|i| i.sender = Some(wire::Party { org: org.to_vec(), ..from(i) })),
        Some(Unopenable::Sender(RouteFault::Unknown))
    );
    let other = wire::Party { org: org.to_vec(), node: node.to_vec(), key: vec![] };
    assert_eq!(
        of(&|i| i.sender = Some(wire::Party { key: from(i).key, ..other.clone() })),
        Some(Unopenable::Signature)
    );
    assert_eq!(of(&|i| i.msg_id.truncate(15)), Some(Unopenable::Inner));
    assert_eq!(of(&|i| i.conversation.truncate(31)), Some(Unopenable::Inner));
    assert_eq!(of(&|i| i.actor_id = a.to_vec()), None);
    assert_eq!(of(&|i| i.actor_id = vec![1; 15]), Some(Unopenable::Inner));
}

#[test]
fn a_critical_extension_is_refused_aloud_and_any_other_is_passed_over() {
    for critical in [false, true] {
        let mut region = Region::new(1, 2);
        let signer = Region::new(1, 2).members.remove(0).sign;
        let (inner, _) = genuine_inner(&mut region);
        let make = |outer: &[u8; 32]| {
            let mut inner = wire::Inner::decode(inner.as_slice()).unwrap();
            inner.outer = outer.to_vec();
            inner.extensions.push(wire::Extension { r#type: 9, critical, value: vec![] });
            let bytes = inner.encode_to_vec();
            let sig = signer.sign(media::INNER, &bytes);
            (bytes, sig)
        };
        let forged = forge(&mut region, 1, make, SUITE);
        let rejected = matches!(read(&region, 1, &forged, NOW), Ok(Opening::Rejected(..)));
        let whole = matches!(read(&region, 1, &forged, NOW), Ok(Opening::Whole(_)));
        assert_eq!((rejected, whole), (critical, !critical));
    }
}

#[test]
fn as_many_attachments_as_may_be_are_taken_and_one_more_is_not() {
    let bytes = [7u8; ATTACHMENTS_MAX + 1];
    let refer = wire::AttachmentRef { name_tag: vec![1; 16], len: 1, sha256: sha256(&[7]).to_vec() };
    for (n, taken) in [(ATTACHMENTS_MAX, true), (ATTACHMENTS_MAX + 1, false)] {
        let inner = wire::Inner { attachments: vec![refer.clone(); n], ..Default::default() };
        assert_eq!(take_attachments(&inner, &bytes[..n]).is_ok(), taken, "{n}");
    }
    let unnamed = wire::AttachmentRef { name_tag: vec![1; 15], ..refer };
    let inner = wire::Inner { attachments: vec![unnamed], ..Default::default() };
    assert!(take_attachments(&inner, &[7]).is_err());
}

#[test]
fn a_letter_is_opened_in_a_suite_that_the_policy_has() {
    for (allowed, min, refused) in [
        (&[1, 2][..], 2, Some(Unopenable::Suite)),
        (&[0][..], 0, Some(Unopenable::Suite)),
        (&[0, 1][..], 0, None),
        (&[1, 2][..], 1, None),
    ] {
        let mut region = Region::new(1, 2);
        let sealed = send(&mut region, b"body");
        let change = |p: &mut wire::RootPolicy| (p.allowed_suites, p.min_suite) = (allowed.to_vec(), min);
        let mut policy = crate::ceremony::next_policy(&region.genesis, NOW, change).unwrap();
        region.coordinators.iter().for_each(|key| crate::signed::add_signature(&mut policy, key));
        let checked = region.directory.check(&policy, NOW).unwrap().unwrap();
        region.directory.insert(checked);
        assert_eq!(fault(&region, 1, &sealed.bytes, NOW), refused, "{allowed:?} from {min}");
    }
}

#[test]
fn an_outside_whose_lengths_are_not_those_of_a_class_is_refused() {
    let mut region = Region::new(1, 2);
    let genuine = parts(&send(&mut region, b"body").bytes);
    let with = |change: &dyn Fn(&mut wire::Envelope, &mut wire::Header)| {
        let mut envelope = genuine.clone();
        let mut header = wire::Header::decode(envelope.header.as_slice()).unwrap();
        change(&mut envelope, &mut header);
        envelope.header = header.encode_to_vec();
        Outside::parse(&envelope.encode_to_vec()).err()
    };
    let length = Some(Unopenable::Length);
    assert_eq!(with(&|_, _| {}), None);
    assert_eq!(with(&|e, _| e.kem.push(0)), length);
    assert_eq!(with(&|e, _| e.kem.truncate(KEM_LEN - 1)), length);
    assert_eq!(with(&|e, _| e.content.push(0)), length);
    assert_eq!(with(&|e, _| e.content.truncate(genuine.content.len() - 1)), length);
    for class in [0, 4095, 4097, 16384, PLAINTEXT_MAX + 1, u64::MAX] {
        assert_eq!(with(&|_, h| h.size_class = class), length, "{class}");
    }
    assert_eq!(with(&|_, h| h.mailbox.truncate(15)), length);
    assert_eq!(with(&|_, h| h.prekey_id.truncate(15)), length);
    assert_eq!(with(&|_, h| h.version = 2), Some(Unopenable::Suite));
    assert_eq!(with(&|_, h| h.expires_hour = u64::MAX), Some(Unopenable::Time));
    let long = vec![0; ENVELOPE_MAX + 1];
    let too_long = NotCanonical::TooLong { max: ENVELOPE_MAX };
    assert_eq!(Outside::parse(&long).err(), Some(Unopenable::Encoding(too_long)));
}

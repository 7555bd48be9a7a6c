//! Every limit of a record from both sides: what is exactly at it is taken, and one step further is refused.

use super::contested::next_policy;
use super::*;
use crate::limits::{
    COORDINATORS_MAX, DESCRIPTOR_AHEAD_SECS, DESCRIPTOR_LIFE_SECS, DUTY_MAX, LABEL_MAX, MAILBOXES_MAX, PREKEY_WEEKS,
    RECORD_LIFE_SECS, TLS_KEYS_MAX,
};
use crate::signed::Verdicts;

const FIELD: Option<RecordFault> = Some(RecordFault::Field);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

/// What the door says of the next policy with a change.
fn policy(region: &Region, change: &dyn Fn(&mut RootPolicy)) -> Option<RecordFault> {
    fault(region, &next_policy(&region.genesis, change, &coordinators(region)))
}

/// What the door says of the next descriptor of the first member with a change.
fn descriptor(region: &Region, change: &dyn Fn(&mut Descriptor)) -> Option<RecordFault> {
    let m = &region.members[0];
    let held = region.directory.descriptor(m.node).unwrap();
    let mut next = Descriptor { serial: held.serial + 1, ..held.clone() };
    change(&mut next);
    fault(region, &sign(media::DESCRIPTOR, next.encode_to_vec(), &m.sign))
}

/// What the door says of the next accreditation of the first member with a change.
fn org(region: &Region, change: &dyn Fn(&mut OrgRecord)) -> Option<RecordFault> {
    fault(region, &next_org(region, &region.members[0], change, &coordinators(region)))
}

/// What the door says of the next certificate of the first member with a change.
fn cert(region: &Region, change: &dyn Fn(&mut NodeCert)) -> Option<RecordFault> {
    let m = &region.members[0];
    let held = region.directory.newest_cert(m.node).unwrap();
    let mut next = NodeCert::decode(held.payload.as_slice()).unwrap();
    (next.version, next.prev_hash) = (next.version + 1, sha256(&held.payload).to_vec());
    change(&mut next);
    fault(region, &sign(media::NODECERT, next.encode_to_vec(), &m.root))
}

#[test]
fn a_record_lives_a_year_at_most_and_at_least_a_second() {
    let region = Region::new(1, 1);
    for (secs, wrong) in [(1, None), (RECORD_LIFE_SECS, None), (0, FIELD), (RECORD_LIFE_SECS + 1, FIELD)] {
        assert_eq!(policy(&region, &|p| p.not_after = p.not_before + secs), wrong, "policy, {secs}");
        assert_eq!(org(&region, &|r| r.valid_until = r.valid_from + secs), wrong, "accreditation, {secs}");
        assert_eq!(cert(&region, &|c| c.valid_until = c.valid_from + secs), wrong, "certificate, {secs}");
    }
    assert_eq!(policy(&region, &|p| p.not_after = p.not_before - 1), FIELD);
    assert_eq!(org(&region, &|r| r.valid_until = 0), FIELD);
    assert_eq!(cert(&region, &|c| c.valid_until = 0), FIELD);
}

#[test]
fn a_policy_has_as_many_coordinators_as_are_read_and_thresholds_that_they_can_reach() {
    let region = Region::new(1, 0);
    let of = |n: usize| {
        move |policy: &mut RootPolicy| {
            let one = policy.coordinators[0].clone();
            let more = (3..n as u8)
                .map(|n| wire::Coordinator { accreditation_pk: key(100 + n).public().to_vec(), ..one.clone() });
            policy.coordinators.extend(more);
        }
    };
    assert_eq!(policy(&region, &of(COORDINATORS_MAX)), None);
    assert_eq!(policy(&region, &of(COORDINATORS_MAX + 1)), FIELD);
    assert_eq!(policy(&region, &|p| p.coordinators.clear()), FIELD);
    for (k, wrong) in [(1, None), (3, None), (0, FIELD), (4, FIELD)] {
        assert_eq!(policy(&region, &|p| p.k_accredit = k), wrong, "accredit {k}");
        assert_eq!(policy(&region, &|p| p.k_revoke = k), wrong, "revoke {k}");
        assert_eq!(policy(&region, &|p| p.k_root = k), wrong, "root {k}");
    }
    assert_eq!(policy(&region, &|p| p.min_suite = 2), FIELD, "a suite that it does not allow itself");
    assert_eq!(policy(&region, &|p| p.label = "Strada Lungă 12".into()), Some(RecordFault::Tells(Telling::Address)));
    for country in ["", "R", "ROU", "ro", "R1"] {
        assert_eq!(policy(&region, &|p| p.coordinators[0].country = country.into()), FIELD, "{country}");
    }
}

#[test]
fn a_network_is_founded_by_as_many_as_its_policy_asks_for_and_names_no_logs_yet() {
    let region = Region::new(1, 0);
    let all = coordinators(&region);
    let found = |change: fn(&mut RootPolicy), keys: &[&SigningKey]| {
        let first = |policy: &mut RootPolicy| {
            (policy.version, policy.prev_hash) = (1, Vec::new());
            change(policy);
        };
        Directory::found(&next_policy(&region.genesis, first, keys), None).err()
    };
    assert_eq!(found(|_| {}, &all), None);
    assert_eq!(found(|_| {}, &all[..2]), Some(RecordFault::Threshold));
    assert_eq!(found(|p| p.k_root = 2, &all[..2]), None);
    assert_eq!(found(|p| p.coordinators[0].log_vkey = "log".into(), &all), FIELD);
    assert_eq!(found(|p| p.coordinators[0].witness_vkey = "witness".into(), &all), FIELD);
}

#[test]
fn two_countries_let_somebody_in_and_one_does_not_whoevers_it_is() {
    let k = ceremony::Thresholds { accredit: 2, revoke: 2, root: 2, f: 0 };
    let region = Region::with_council(1, 5, &["RO", "RO", "IT"], k);
    let m = &region.members[4];
    let by = |keys: [usize; 2], country: &str| {
        let keys = keys.map(|n| &region.coordinators[n]);
        let signed = next_org(&region, m, |record| record.country = country.into(), &keys);
        let fault = fault(&region, &signed);
        assert_eq!(region.directory.check_kept(&signed, &Verdicts::default()).err(), fault, "nor after a start");
        fault
    };
    for country in ["RO", "IT", "MD"] {
        assert_eq!(by([0, 2], country), None, "{country}");
        assert_eq!(by([0, 1], country), Some(RecordFault::Threshold), "{country}");
    }
}

#[test]
fn an_accreditation_has_as_many_codes_as_are_read() {
    let region = Region::new(1, 1);
    for (n, wrong) in [(entry::CODES_MAX, None), (entry::CODES_MAX + 1, FIELD)] {
        assert_eq!(org(&region, &|r| r.roles = vec!["Origin".into(); n]), wrong, "{n} roles");
        assert_eq!(org(&region, &|r| r.competences = vec!["Shelter".into(); n]), wrong, "{n} competences");
    }
    assert_eq!(org(&region, &|r| r.org_id.truncate(15)), FIELD);
    assert_eq!(cert(&region, &|c| c.node_id.truncate(15)), FIELD);
    assert_eq!(cert(&region, &|c| c.org_id.truncate(15)), FIELD);
    assert!(matches!(cert(&region, &|c| c.sign_pk = vec![0; 32]), Some(RecordFault::Key(_))));
}

#[test]
fn a_descriptor_has_as_many_ways_to_its_node_as_are_read() {
    let region = Region::new(1, 4);
    let d = |change: &dyn Fn(&mut Descriptor)| descriptor(&region, change);
    let me = region.members[0].node;
    for (n, wrong) in [(1, None), (TLS_KEYS_MAX, None), (0, FIELD), (TLS_KEYS_MAX + 1, FIELD)] {
        let keys = (0..n as u8).map(|n| key(50 + n).public().to_vec());
        assert_eq!(d(&|d| d.tls_pks = keys.clone().collect()), wrong, "{n} keys");
    }
    let rented = |n: usize| {
        let keeper = region.members[n].node;
        let id = crate::relay::rented(region.net, me, keeper).to_vec();
        wire::Mailbox { id, node_id: keeper.to_vec(), endpoint: "relay.example.org:7443".into() }
    };
    for (n, wrong) in [(1, None), (MAILBOXES_MAX, None), (0, FIELD), (MAILBOXES_MAX + 1, FIELD)] {
        let all = |own: &wire::Mailbox| std::iter::once(own.clone()).chain((1..4).map(rented)).take(n).collect();
        assert_eq!(d(&|d| d.mailboxes = all(&d.mailboxes[0])), wrong, "{n} mailboxes");
    }
    let twice = |d: &mut Descriptor| d.mailboxes = vec![rented(1), rented(1)];
    assert_eq!(d(&twice), FIELD);
    assert_eq!(d(&|d| d.mailboxes.push(wire::Mailbox { id: vec![9; 16], ..rented(1) })), FIELD, "not its own there");
    assert_eq!(d(&|d| d.mailboxes.push(wire::Mailbox { node_id: me.to_vec(), ..rented(1) })), FIELD, "one keeper");
    let other = |d: &mut Descriptor| d.mailboxes.push(wire::Mailbox { id: d.mailboxes[0].id.clone(), ..rented(1) });
    assert_eq!(d(&other), FIELD, "one id");
    assert_eq!(d(&|d| d.mailboxes[0].id.truncate(15)), FIELD);
    assert_eq!(d(&|d| d.mailboxes[0].node_id.truncate(15)), FIELD);
    for (endpoint, wrong) in [("ș".repeat(LABEL_MAX), None), ("ș".repeat(LABEL_MAX + 1), FIELD), ("a\nb".into(), FIELD)]
    {
        assert_eq!(d(&|d| d.mailboxes[0].endpoint.clone_from(&endpoint)), wrong, "{endpoint:?}");
    }
}

#[test]
fn a_descriptor_lists_as_much_as_is_read_and_each_week_once() {
    let region = Region::new(1, 1);
    let d = |change: &dyn Fn(&mut Descriptor)| descriptor(&region, change);
    let weeks = |weeks: &[u64]| {
        weeks.iter().map(|week| wire::PrekeyHash { week: *week, sha256: vec![7; 32] }).collect::<Vec<_>>()
    };
    let row: Vec<u64> = (1..=PREKEY_WEEKS + 2).collect();
    let most = row.len() - 1;
    for (list, wrong) in
        [(&row[..1], None), (&row[..most], None), (&row[..], FIELD), (&[], FIELD), (&[1, 1], FIELD), (&[2, 1], FIELD)]
    {
        assert_eq!(d(&|d| d.prekeys = weeks(list)), wrong, "{list:?}");
    }
    assert_eq!(d(&|d| d.prekeys[0].sha256.truncate(31)), FIELD);
    for (n, wrong) in [(1, None), (16, None), (0, FIELD), (17, FIELD)] {
        assert_eq!(d(&|d| d.suites = (1..=n).collect()), wrong, "{n} suites");
    }
    let readable = wire::Readable { msg_type: 2, max_version: 1 };
    for (n, wrong) in [(0, None), (64, None), (65, FIELD)] {
        assert_eq!(d(&|d| d.reads = vec![readable; n]), wrong, "reads {n}");
    }
    for (n, wrong) in [(0, None), (entry::CODES_MAX, None), (entry::CODES_MAX + 1, FIELD)] {
        assert_eq!(d(&|d| d.languages = vec!["ron".into(); n]), wrong, "{n} languages");
    }
    for language in ["ro", "rona", "Ron", "r0n"] {
        assert_eq!(d(&|d| d.languages = vec![language.into()]), FIELD, "{language}");
    }
    let hours = |day, from_minute, until_minute| wire::DutyHours { day, from_minute, until_minute };
    for (n, wrong) in [(0, None), (DUTY_MAX, None), (DUTY_MAX + 1, FIELD)] {
        assert_eq!(d(&|d| d.duty = vec![hours(0, 0, 1440); n]), wrong, "{n} hours");
    }
    for (one, wrong) in [(hours(7, 1439, 1440), None), (hours(8, 0, 1), FIELD), (hours(7, 2, 1), FIELD)] {
        assert_eq!(d(&|d| d.duty = vec![one]), wrong, "day {}, until {}", one.day, one.until_minute);
    }
}

#[test]
fn a_descriptor_speaks_of_its_own_time() {
    let region = Region::new(1, 1);
    let d = |change: &dyn Fn(&mut Descriptor)| descriptor(&region, change);
    let hours = NOW / crate::limits::HOUR;
    let broken = Some(RecordFault::Broken);
    for (serial, wrong) in [(hours + 2, None), (hours + 3, broken), (u64::MAX, broken)] {
        assert_eq!(d(&|d| d.serial = serial), wrong, "serial {serial}");
    }
    let made = |d: &Descriptor| d.serial * crate::limits::HOUR;
    for (more, wrong) in [(0, None), (1, FIELD)] {
        assert_eq!(d(&|d| d.expires = made(d) + DESCRIPTOR_LIFE_SECS + more), wrong, "expires, {more}");
        assert_eq!(d(&|d| d.attested = made(d) + DESCRIPTOR_AHEAD_SECS + more), wrong, "attested, {more}");
    }
    // The serial held: the same words, other words, and an older one.
    let held = region.directory.descriptor(region.members[0].node).unwrap().clone();
    assert_eq!(d(&|d| *d = held.clone()), None);
    assert_eq!(
        d(&|d| *d = Descriptor { alternate: "Manager".into(), ..held.clone() }),
        Some(RecordFault::Equivocation)
    );
    assert_eq!(d(&|d| *d = Descriptor { serial: held.serial - 1, ..held.clone() }), FIELD, "it expires too late then");
    let older =
        |d: &mut Descriptor| *d = Descriptor { serial: held.serial - 1, expires: NOW, attested: 0, ..held.clone() };
    assert_eq!(d(&older), Some(RecordFault::Rollback));
}

#[test]
fn nobody_takes_a_record_with_a_critical_extension_that_is_not_known() {
    let region = Region::new(1, 1);
    let m = &region.members[0];
    for (critical, wrong) in [(false, None), (true, Some(RecordFault::Extension))] {
        let with = || vec![wire::Extension { r#type: 9, critical, value: vec![] }];
        assert_eq!(policy(&region, &|p| p.extensions = with()), wrong);
        assert_eq!(org(&region, &|r| r.extensions = with()), wrong);
        assert_eq!(cert(&region, &|c| c.extensions = with()), wrong);
        assert_eq!(descriptor(&region, &|d| d.extensions = with()), wrong);
        let ended = ceremony::revoke(region.net, wire::SubjectKind::Node, m.node.0, "Closed", NOW, &[]);
        let ended = Revocation { extensions: with(), ..Revocation::decode(ended.payload.as_slice()).unwrap() };
        assert_eq!(fault(&region, &sign(media::REVOCATION, ended.encode_to_vec(), &m.root)), wrong);
        let objection = ceremony::object(&next_org(&region, m, |_| {}, &[]), &m.root, NOW).unwrap();
        let objection = wire::Objection { extensions: with(), ..wire::Objection::decode(&*objection.payload).unwrap() };
        assert_eq!(fault(&region, &sign(media::OBJECTION, objection.encode_to_vec(), &m.root)), wrong);
    }
    let unknown = Signed { payload_type: media::RECEIPT.into(), ..region.genesis.clone() };
    assert_eq!(fault(&region, &unknown), Some(RecordFault::UnknownType));
}

#[test]
fn an_end_says_whose_it_is_and_is_signed_by_that_subject_or_by_enough() {
    let region = Region::new(1, 3);
    let (a, b) = (&region.members[0], &region.members[1]);
    let end = |kind: wire::SubjectKind, subject: &[u8], by: &[&SigningKey]| {
        let signed = ceremony::revoke(region.net, kind, [0; 16], "Closed", NOW, &[]);
        let of = Revocation::decode(signed.payload.as_slice()).unwrap();
        let payload = Revocation { subject: subject.to_vec(), ..of }.encode_to_vec();
        let mut signed = Signed { payload, ..signed };
        by.iter().for_each(|key| add_signature(&mut signed, key));
        let kept = region.directory.check_kept(&signed, &Verdicts::default()).err();
        let fault = fault(&region, &signed);
        assert_eq!(kept, fault.filter(|fault| *fault == RecordFault::Field), "its signers are not asked again");
        fault
    };
    let id = |m: &Member| crate::keys::VerifyKey::admit(&m.sign.public()).unwrap().id().0;
    let threshold = Some(RecordFault::Threshold);
    for m in [a, b] {
        for (kind, subject, may, may_not) in [
            (wire::SubjectKind::Organisation, m.org.0, vec![&m.root], vec![&m.sign, &region.members[2].root]),
            (wire::SubjectKind::Node, m.node.0, vec![&m.root, &m.sign], vec![&region.members[2].sign]),
            (
                wire::SubjectKind::Key,
                id(m),
                vec![&m.root, &m.sign],
                vec![&region.members[2].root, &region.members[2].sign],
            ),
        ] {
            let what = kind.as_str_name();
            may.iter().for_each(|key| assert_eq!(end(kind, &subject, &[key]), None, "{what}"));
            may_not.iter().for_each(|key| assert_eq!(end(kind, &subject, &[key]), threshold, "{what}"));
            assert_eq!(end(kind, &subject, &coordinators(&region)[..2]), None, "{what}");
            assert_eq!(end(kind, &subject, &coordinators(&region)[..1]), threshold, "{what}");
            assert_eq!(end(kind, &subject[..15], &coordinators(&region)), FIELD, "{what}");
        }
    }
    assert_eq!(end(wire::SubjectKind::Unspecified, &a.org.0, &coordinators(&region)), FIELD);
}

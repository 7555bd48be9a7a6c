//! Every rule of every body, each broken once.

use clearhouse_wire::v1::{Acknowledgement, Answer, Arrival, AttachmentNote, Departure, ReturnNotice, VictimProfile};

use super::samples::*;
use super::*;

fn every_body() -> Vec<CaseBody> {
    let to = [9; 16];
    let mut all =
        vec![notice(), child_notice(), acknowledgement(&to), profile(), withdrawal(1, "ShareNotice", &[], NOW)];
    all.extend(["Accepted", "AcceptedWithConditions", "InfoRequested", "Declined"].map(|kind| answer(kind, &to)));
    all.extend(["Left", "DidNotLeave", "ChoseNotToTravel"].map(|outcome| departure(outcome, NOW)));
    let results = codes::ArrivalResult::ALL.iter().map(|r| arrival(r.code(), &to, NOW));
    all.extend(results);
    all
}

fn type_of(body: &CaseBody) -> u32 {
    Kind::of(body.what.as_ref().unwrap()).message_type() as u32
}

fn faults(body: &CaseBody) -> Option<(FaultKind, &'static str)> {
    prepare(body).err().map(|f| (f.kind, f.field))
}

#[test]
fn whole_bodies_pass_and_come_back_as_they_were() {
    for body in every_body() {
        let bytes = encode(&body);
        let checked = check(type_of(&body), BODY_VERSION, &bytes).map_err(|f| f.to_string()).unwrap();
        assert!(*checked.encode() == *bytes && *checked.body() == body);
    }
}

#[test]
fn only_the_one_exact_encoding_of_a_known_type_is_read() {
    let good = encode(&notice());
    let kind = |msg_type, version, bytes: &[u8]| check(msg_type, version, bytes).err().map(|f| f.kind);
    assert_eq!(kind(2, 1, &good), None);
    assert_eq!(kind(2, 2, &good), Some(FaultKind::CannotRead));
    for unknown in [0, 1, 5, 16, 18, 100, 101, u32::MAX] {
        assert_eq!(kind(unknown, 1, &good), Some(FaultKind::CannotRead), "{unknown}");
    }
    assert_eq!(kind(3, 1, &good), Some(FaultKind::WrongPayload));
    assert_eq!(kind(2, 1, &[]), Some(FaultKind::WrongPayload));
    assert_eq!(kind(2, 1, &good[..good.len() - 1]), Some(FaultKind::NotExact));
    let unknown_field = [&good[..], &[0xf8, 0x07, 0x01]].concat();
    assert_eq!(kind(2, 1, &unknown_field), Some(FaultKind::NotExact));
    let twice = [&good[..], &good[..2 + usize::from(good[1])]].concat();
    assert_eq!(kind(2, 1, &twice), Some(FaultKind::NotExact));
    // Two payloads in one message: the later one would win in a lenient reader.
    let two = [&good[..], &encode(&CaseBody { what: acknowledgement(&[9; 16]).what, ..CaseBody::default() })].concat();
    assert_eq!(kind(3, 1, &two), Some(FaultKind::NotExact));
    assert_eq!(kind(2, 1, &vec![0; INNER_MAX + 1]), Some(FaultKind::TooLarge));
}

#[test]
fn every_cut_of_every_body_is_refused_without_a_panic() {
    for body in every_body() {
        let bytes = encode(&body);
        for len in 0..bytes.len() {
            assert!(check(type_of(&body), BODY_VERSION, &bytes[..len]).is_err());
        }
    }
}

#[test]
fn the_frame_of_a_body_keeps_its_rules() {
    type Spoil = fn(&mut CaseBody);
    let long = |critical, value| Extension { r#type: 7, critical, value };
    let table: [(Spoil, FaultKind, &str); 10] = [
        (|b| b.actor_label.clear(), FaultKind::Missing, "actor_label"),
        (|b| b.actor_label = "Ana +373 60".into(), FaultKind::Label, "actor_label"),
        (|b| b.actor_role.clear(), FaultKind::Missing, "actor_role"),
        (|b| b.actor_role = "Police".into(), FaultKind::NotACode, "actor_role"),
        (|b| b.actor_role = "Administrator".into(), FaultKind::Label, "actor_role"),
        (|b| b.zone.clear(), FaultKind::Missing, "zone"),
        (|b| b.zone = "Home of Maria".into(), FaultKind::NotACode, "zone"),
        (|b| b.in_reply_to = vec![1], FaultKind::Id, "in_reply_to"),
        (|b| b.consent.as_mut().unwrap().purpose = "All".into(), FaultKind::NotACode, "consent.purpose"),
        (|b| b.what = None, FaultKind::Missing, "what"),
    ];
    for (spoil, kind, field) in table {
        let mut bad = notice();
        spoil(&mut bad);
        assert_eq!(faults(&bad), Some((kind, field)));
    }
    let extended = |extensions| CaseBody { extensions, ..notice() };
    assert_eq!(faults(&extended(vec![long(false, vec![0; EXTENSION_MAX])])), None, "others are carried");
    assert_eq!(faults(&extended(vec![long(true, vec![])])), Some((FaultKind::Critical, "extensions")));
    assert_eq!(
        faults(&extended(vec![long(false, vec![0; EXTENSION_MAX + 1])])),
        Some((FaultKind::TooLarge, "extensions"))
    );
    assert_eq!(
        faults(&extended(vec![long(false, vec![]); EXTENSIONS_MAX + 1])),
        Some((FaultKind::Count, "extensions"))
    );

    let mut reply = acknowledgement(&[]);
    assert_eq!(faults(&reply), Some((FaultKind::Missing, "in_reply_to")));
    reply = acknowledgement(&[9; 16]);
    reply.consent = Some(consent(1, "ShareNotice", &[]));
    assert_eq!(faults(&reply), Some((FaultKind::NotHere, "consent")));
}

/// Spoils a notice and says what must be refused.
#[test]
fn a_notice_keeps_every_one_of_its_rules() {
    use FaultKind as K;
    type Spoil = fn(&mut ReturnNotice);
    let table: [(Spoil, K, &str); 48] = [
        (|n| n.age_band.clear(), K::Missing, "age_band"),
        (|n| n.age_band = "22".into(), K::NotACode, "age_band"),
        (|n| n.age_status.clear(), K::Missing, "age_status"),
        (|n| n.age_status = "adult".into(), K::NotACode, "age_status"),
        (|n| n.age_band = "9--17".into(), K::NeverAnAdult, "age_status"),
        (|n| n.age_basis = "DocumentDoubted".into(), K::NeverAnAdult, "age_status"),
        (|n| n.age_basis = "Guessed".into(), K::NotACode, "age_basis"),
        (|n| n.gender = "F".into(), K::NotACode, "gender"),
        (|n| n.citizenship = vec!["MDA".into()], K::NotACode, "citizenship"),
        (|n| n.citizenship = vec!["MD".into(); 2], K::Count, "citizenship"),
        (|n| n.languages.clear(), K::Missing, "languages"),
        (|n| n.languages = vec!["Romanian".into()], K::NotACode, "languages"),
        (|n| n.dependant_bands = vec!["0--8".into(); 9], K::Count, "dependant_bands"),
        (|n| n.dependant_bands = vec!["Ion, 6".into()], K::NotACode, "dependant_bands"),
        (|n| n.guardian_status = "Appointed".into(), K::NotHere, "guardian_status"),
        (|n| n.best_interests = "Pending".into(), K::NotHere, "best_interests"),
        (|n| n.window_from_day = 0, K::Missing, "window_from_day"),
        (|n| n.window_to_day = 0, K::Missing, "window_to_day"),
        (|n| n.window_to_day = n.window_from_day - 1, K::Contradiction, "window_to_day"),
        (|n| n.window_to_day = n.window_from_day + 367, K::Contradiction, "window_to_day"),
        (|n| n.country.clear(), K::Missing, "country"),
        (|n| n.country = "Moldova".into(), K::NotACode, "country"),
        (|n| n.region.clear(), K::Missing, "region"),
        (|n| n.region = "RO-B".into(), K::NotACode, "region"),
        (|n| n.region = "Chisinau".into(), K::NotACode, "region"),
        (|n| n.region = "MD-Maria".into(), K::NotACode, "region"),
        (|n| n.services.clear(), K::Missing, "services"),
        (|n| n.services = vec!["Prayer".into()], K::NotACode, "services"),
        (|n| n.services = vec!["Legal".into(); 2], K::Count, "services"),
        (|n| n.risk_level = "Extreme".into(), K::NotACode, "risk_level"),
        (|n| n.urgency = "Now".into(), K::NotACode, "urgency"),
        (|n| n.voluntary.clear(), K::Missing, "voluntary"),
        (|n| n.alternatives_explained = false, K::AlternativesNotExplained, "alternatives_explained"),
        (|n| n.trafficking_status = "Victim".into(), K::NotACode, "trafficking_status"),
        (|n| n.status_decided_by.clear(), K::Missing, "status_decided_by"),
        (|n| n.referral_reason = "Because".into(), K::NotACode, "referral_reason"),
        (|n| n.supersedes = vec![1; 3], K::Id, "supersedes"),
        (|n| n.worker = None, K::Missing, "worker"),
        (|n| n.worker = contact("Ana, ask for 0888 123", "Caseworker"), K::Label, "worker"),
        (|n| n.worker = contact("Ana P.", "Auditor"), K::Label, "worker"),
        (|n| n.worker = contact("", "Caseworker"), K::Missing, "worker"),
        (|n| n.acknowledge_by.as_mut().unwrap().at = 0, K::Missing, "acknowledge_by"),
        (|n| n.alternate = None, K::Missing, "alternate"),
        (|n| n.acknowledge_by = None, K::Missing, "acknowledge_by"),
        (|n| n.acknowledge_by = due(NOW, "acknowledge-emergency"), K::NotACode, "acknowledge_by"),
        (|n| n.answer_by = due(NOW, "lunch"), K::NotACode, "answer_by"),
        (|n| n.answer_by = due(NOW, "answer"), K::Contradiction, "answer_by"),
        (|n| n.answer_by.as_mut().unwrap().zone = "at home".into(), K::NotACode, "answer_by"),
    ];
    for (at, (spoil, kind, field)) in table.into_iter().enumerate() {
        let mut bad = notice();
        let Some(What::ReturnNotice(n)) = &mut bad.what else { unreachable!() };
        spoil(n);
        let field = format!("return_notice.{field}");
        let found = faults(&bad).map(|(kind, field)| (kind, field.to_owned()));
        assert_eq!(found, Some((kind, field)), "row {at}");
    }
}

#[test]
fn a_notice_has_no_field_in_which_a_name_fits() {
    // Every text of the notice in turn is replaced by a name; none passes, but the workers' labels, which are theirs.
    type Put = fn(&mut ReturnNotice, String);
    let table: [Put; 20] = [
        |n, s| n.age_band = s,
        |n, s| n.age_status = s,
        |n, s| n.age_basis = s,
        |n, s| n.gender = s,
        |n, s| n.citizenship = vec![s],
        |n, s| n.languages = vec![s],
        |n, s| n.dependant_bands = vec![s],
        |n, s| n.country = s,
        |n, s| n.region = s,
        |n, s| n.services = vec![s],
        |n, s| n.risk_level = s,
        |n, s| n.urgency = s,
        |n, s| n.voluntary = s,
        |n, s| n.trafficking_status = s,
        |n, s| n.status_decided_by = s,
        |n, s| n.referral_reason = s,
        |n, s| n.guardian_status = s,
        |n, s| n.best_interests = s,
        |n, s| n.acknowledge_by.as_mut().unwrap().rule = s,
        |n, s| n.answer_by.as_mut().unwrap().zone = s,
    ];
    for name in ["Ileana Popescu", "Илеана", "ileana", "ILEANA", "MD-Ileana", "I"] {
        for (at, put) in table.iter().enumerate() {
            let mut bad = notice();
            let Some(What::ReturnNotice(n)) = &mut bad.what else { unreachable!() };
            put(n, name.to_owned());
            let fault = prepare(&bad).err();
            assert!(fault.is_some_and(|f| !f.to_string().contains(name) || name == "I"), "field {at} took {name}");
        }
    }
}

#[test]
fn a_stateless_person_and_one_from_kosovo_fit_the_form() {
    let mut good = notice();
    let Some(What::ReturnNotice(n)) = &mut good.what else { unreachable!() };
    n.citizenship.clear();
    (n.country, n.region) = ("XK".into(), String::new());
    assert_eq!(faults(&good), None);
}

#[test]
fn an_emergency_starts_the_short_clocks() {
    let mut body = notice();
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.urgency = "Emergency24h".into();
    n.acknowledge_by = due(NOW + 2 * HOUR, "acknowledge-emergency");
    n.answer_by = due(NOW + 12 * HOUR, "answer-emergency");
    assert_eq!(faults(&body), None);
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.answer_by = due(NOW + 12 * HOUR, "answer");
    assert_eq!(faults(&body), Some((FaultKind::NotACode, "return_notice.answer_by")));
}

#[test]
fn an_answer_keeps_every_one_of_its_rules() {
    use FaultKind as K;
    type Spoil = fn(&mut Answer);
    let table: [(&str, Spoil, K, &str); 37] = [
        ("Accepted", |a| a.answer.clear(), K::Missing, "answer.answer"),
        ("Accepted", |a| a.answer = "Maybe".into(), K::NotACode, "answer.answer"),
        ("Accepted", |a| a.services.clear(), K::Missing, "answer.services"),
        ("Accepted", |a| a.services = vec![a.services[0].clone(); 2], K::Count, "answer.services"),
        ("Accepted", |a| a.services[0].service = "Bed".into(), K::NotACode, "answer.services.service"),
        ("Accepted", |a| a.services[0].start_day = 0, K::Missing, "answer.services.start_day"),
        ("Accepted", |a| a.services[0].days = 0, K::Missing, "answer.services.days"),
        ("Accepted", |a| a.services[0].days = 5_000, K::Contradiction, "answer.services.days"),
        ("Accepted", |a| a.services[0].paid_by = "Her".into(), K::NotACode, "answer.services.paid_by"),
        ("Accepted", |a| a.conflict_check_done = false, K::NoConflictCheck, "answer.conflict_check_done"),
        ("Accepted", |a| a.language.clear(), K::Missing, "answer.language"),
        ("Accepted", |a| a.contact = None, K::Missing, "answer.contact"),
        ("Accepted", |a| a.alternate = None, K::Missing, "answer.alternate"),
        ("Accepted", |a| a.decline_reason = "Other".into(), K::NotHere, "answer.decline_reason"),
        ("Accepted", |a| a.conditions = vec!["x".into()], K::NotHere, "answer.conditions"),
        ("AcceptedWithConditions", |a| a.conditions.clear(), K::Missing, "answer.conditions"),
        ("AcceptedWithConditions", |a| a.conditions = vec!["x".repeat(201)], K::Text, "answer.conditions"),
        ("AcceptedWithConditions", |a| a.conditions = vec!["a\u{202e}b".into()], K::Text, "answer.conditions"),
        ("AcceptedWithConditions", |a| a.conditions = words(&["x", "x"]), K::Count, "answer.conditions"),
        (
            "AcceptedWithConditions",
            |a| a.conditions = (0..9).map(|i| format!("condition {i}")).collect(),
            K::Count,
            "answer.conditions",
        ),
        ("InfoRequested", |a| a.info_requested.clear(), K::Missing, "answer.info_requested"),
        ("InfoRequested", |a| a.info_requested = vec!["her name".into()], K::NotACode, "answer.info_requested"),
        ("Accepted", |a| a.alternative_org = vec![1; 16], K::NotHere, "answer.alternative_org"),
        ("Accepted", |a| a.info_requested = words(&["region"]), K::NotHere, "answer.info_requested"),
        ("AcceptedWithConditions", |a| a.conflict_check_done = false, K::NoConflictCheck, "answer.conflict_check_done"),
        ("InfoRequested", |a| a.conditions = words(&["x"]), K::NotHere, "answer.conditions"),
        ("InfoRequested", |a| a.decline_reason = "Other".into(), K::NotHere, "answer.decline_reason"),
        ("InfoRequested", |a| a.alternative_org = vec![1; 16], K::NotHere, "answer.alternative_org"),
        ("Declined", |a| a.conditions = words(&["x"]), K::NotHere, "answer.conditions"),
        ("Declined", |a| a.info_requested = words(&["region"]), K::NotHere, "answer.info_requested"),
        ("Declined", |a| a.language = "Romanian".into(), K::NotACode, "answer.language"),
        ("Declined", |a| a.contact = contact("call 112", "Manager"), K::Label, "answer.contact"),
        ("Declined", |a| a.alternate = contact("Mira M.", "Boss"), K::Label, "answer.alternate"),
        ("Declined", |a| a.decline_reason = "Busy".into(), K::NotACode, "answer.decline_reason"),
        ("Declined", |a| a.decline_reason.clear(), K::Missing, "answer.decline_reason"),
        ("Declined", |a| a.child_place = true, K::NotHere, "answer.child_place"),
        ("Declined", |a| a.alternative_org = vec![1], K::Id, "answer.alternative_org"),
    ];
    for (at, (kind, spoil, fault, field)) in table.into_iter().enumerate() {
        let mut bad = answer(kind, &[9; 16]);
        let Some(What::Answer(a)) = &mut bad.what else { unreachable!() };
        spoil(a);
        assert_eq!(faults(&bad), Some((fault, field)), "row {at}");
    }
}

#[test]
fn an_acknowledgement_names_two_people_and_a_day() {
    type Spoil = fn(&mut Acknowledgement);
    let table: [(Spoil, &str); 3] = [
        (|a| a.contact = None, "acknowledgement.contact"),
        (|a| a.alternate = None, "acknowledgement.alternate"),
        (|a| a.expected_answer_day = 0, "acknowledgement.expected_answer_day"),
    ];
    for (spoil, field) in table {
        let mut bad = acknowledgement(&[9; 16]);
        let Some(What::Acknowledgement(a)) = &mut bad.what else { unreachable!() };
        spoil(a);
        assert_eq!(faults(&bad), Some((FaultKind::Missing, field)));
    }
}

fn note(p: &VictimProfile) -> AttachmentNote {
    p.parts[2].attachments[0].clone()
}

fn numbered(n: u8) -> Consent {
    consent(n, "ShareHealth", &["Health"])
}

#[test]
fn a_part_may_be_fields_alone_or_attachments_alone() {
    let mut good = profile();
    let Some(What::VictimProfile(p)) = &mut good.what else { unreachable!() };
    p.parts[2].fields.clear();
    assert_eq!(faults(&good), None);
    let Some(What::VictimProfile(p)) = &mut good.what else { unreachable!() };
    p.parts[2].attachments.clear();
    assert_eq!(faults(&good), Some((FaultKind::Missing, "victim_profile.parts.fields")));
}

#[test]
fn a_childs_notice_says_what_was_decided() {
    for (guardian, interests, fault) in [
        ("Appointed", "", Some((FaultKind::Missing, "return_notice.best_interests"))),
        ("Appointed", "Soon", Some((FaultKind::NotACode, "return_notice.best_interests"))),
        ("Uncle", "Pending", Some((FaultKind::NotACode, "return_notice.guardian_status"))),
        // That there is none is refused by the rule for children, with its own sentence.
        ("", "Pending", None),
    ] {
        let mut body = child_notice();
        let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
        (n.guardian_status, n.best_interests) = (guardian.into(), interests.into());
        assert_eq!(faults(&body), fault, "{guardian} {interests}");
    }
}

#[test]
fn a_profile_keeps_every_one_of_its_rules() {
    use FaultKind as K;
    type Spoil = fn(&mut VictimProfile);
    let table: [(Spoil, K, &str); 32] = [
        (|p| p.for_worker.clear(), K::Missing, "for_worker"),
        (|p| p.for_worker = "anyone at 12".into(), K::Label, "for_worker"),
        (|p| p.parts.clear(), K::Missing, "parts"),
        (|p| p.parts = vec![p.parts[0].clone(); 2], K::Count, "parts"),
        (|p| p.parts[0].data_class = "Gossip".into(), K::NotACode, "parts.data_class"),
        (|p| p.parts[0].fields.clear(), K::Missing, "parts.fields"),
        (|p| p.parts[0].fields = vec![p.parts[0].fields[0].clone(); 2], K::Count, "parts.fields"),
        (|p| p.parts[0].fields[0].field.clear(), K::Missing, "parts.fields.field"),
        (|p| p.parts[0].fields[0].field = "prs_ShoeSize".into(), K::NotACode, "parts.fields.field"),
        // A name under the consent for contact.
        (|p| p.parts[1].fields.push(value("prs_FirstName", &["Ileana"])), K::NotHere, "parts.fields.field"),
        // Fields that never leave a case file.
        (|p| p.parts[0].fields[0].field = "prs_IdentityNumber".into(), K::NotHere, "parts.fields.field"),
        (|p| p.parts[0].fields[0].field = "per_RoleDetails".into(), K::NotHere, "parts.fields.field"),
        (|p| p.parts[0].fields[0].field = "hte_Description".into(), K::NotHere, "parts.fields.field"),
        (|p| p.parts[0].fields[0].values.clear(), K::Missing, "parts.fields.values"),
        (|p| p.parts[0].fields[0].values = vec!["x".repeat(10_000)], K::Text, "parts.fields.values"),
        (|p| p.parts[0].fields[0].values = words(&["a", "b"]), K::Count, "parts.fields.values"),
        (|p| p.parts[0].fields[0].null_reason = "Refused".into(), K::Contradiction, "parts.fields.values"),
        (|p| p.parts[0].fields[1].null_reason = "Lost".into(), K::NotACode, "parts.fields.null_reason"),
        (|p| p.parts[1].fields[0].values = words(&["call me"]), K::NotACode, "parts.fields.values"),
        (|p| drop(p.parts[1].fields.remove(3)), K::UnsafeContact, "parts.fields"),
        (|p| p.parts[2].attachments[0].name_tag = vec![1], K::Id, "parts.attachments.name_tag"),
        (|p| p.parts[2].attachments[0].name = "../x".into(), K::Text, "parts.attachments.name"),
        (|p| p.parts[2].attachments[0].name = "a\nb".into(), K::Text, "parts.attachments.name"),
        (|p| p.parts[2].attachments[0].media_type = "pdf".into(), K::NotACode, "parts.attachments.media_type"),
        (|p| p.consents = vec![p.consents[0].clone(); 2], K::Count, "consents"),
        (
            |p| p.consents = (0..=crate::consent::CONSENTS_MAX).map(|n| numbered(n as u8)).collect(),
            K::Count,
            "consents",
        ),
        (
            |p| p.parts[2].attachments = (0..33).map(|n| AttachmentNote { name_tag: vec![n; 16], ..note(p) }).collect(),
            K::Count,
            "parts.attachments",
        ),
        (|p| p.parts[2].attachments = vec![note(p); 2], K::Count, "parts.attachments"),
        (
            |p| p.parts[2].attachments[0].media_type = format!("a/{}", "b".repeat(99)),
            K::NotACode,
            "parts.attachments.media_type",
        ),
        (|p| p.parts[2].attachments[0].name = ".hidden".into(), K::Text, "parts.attachments.name"),
        (|p| p.parts[2].attachments[0].media_type = "a b/c".into(), K::NotACode, "parts.attachments.media_type"),
        (|p| p.parts[2].attachments[0].media_type = "a/".into(), K::NotACode, "parts.attachments.media_type"),
    ];
    for (at, (spoil, kind, field)) in table.into_iter().enumerate() {
        let mut bad = profile();
        let Some(What::VictimProfile(p)) = &mut bad.what else { unreachable!() };
        spoil(p);
        let field = format!("victim_profile.{field}");
        let found = faults(&bad).map(|(kind, field)| (kind, field.to_owned()));
        assert_eq!(found, Some((kind, field)), "row {at}");
    }
}

#[test]
fn each_safe_contact_rule_is_needed_beside_a_phone_number() {
    for rule in 1..5 {
        let mut bad = profile();
        let Some(What::VictimProfile(p)) = &mut bad.what else { unreachable!() };
        p.parts[1].fields[rule].values.clear();
        p.parts[1].fields[rule].null_reason = "NotAsked".into();
        assert_eq!(faults(&bad).map(|f| f.0), Some(FaultKind::UnsafeContact), "rule {rule}");
        let Some(What::VictimProfile(p)) = &mut bad.what else { unreachable!() };
        p.parts[1].fields.remove(0);
        assert_eq!(faults(&bad), None, "without a number nothing is asked");
    }
}

#[test]
fn departure_and_arrival_keep_every_one_of_their_rules() {
    use FaultKind as K;
    type SpoilDeparture = fn(&mut Departure);
    let table: [(&str, SpoilDeparture, K, &str); 10] = [
        ("Left", |d| d.outcome = "Gone".into(), K::NotACode, "departure.outcome"),
        ("Left", |d| d.at = 0, K::Missing, "departure.at"),
        ("Left", |d| d.planned_arrival = 0, K::Missing, "departure.planned_arrival"),
        ("Left", |d| d.planned_arrival = d.at - 1, K::Contradiction, "departure.planned_arrival"),
        ("Left", |d| d.planned_arrival = d.at + 15 * DAY, K::Contradiction, "departure.planned_arrival"),
        ("Left", |d| d.arrival_due = None, K::Missing, "departure.arrival_due"),
        (
            "Left",
            |d| d.arrival_due = due(d.planned_arrival - 1, "arrival-confirm"),
            K::Contradiction,
            "departure.arrival_due",
        ),
        ("Left", |d| d.arrival_due = due(NOW + 30 * DAY, "arrival-confirm"), K::Contradiction, "departure.arrival_due"),
        ("DidNotLeave", |d| d.planned_arrival = NOW, K::NotHere, "departure.planned_arrival"),
        ("ChoseNotToTravel", |d| d.arrival_due = due(NOW, "arrival-confirm"), K::NotHere, "departure.arrival_due"),
    ];
    for (outcome, spoil, kind, field) in table {
        let mut bad = departure(outcome, NOW);
        let Some(What::Departure(d)) = &mut bad.what else { unreachable!() };
        spoil(d);
        assert_eq!(faults(&bad), Some((kind, field)));
    }
    type SpoilArrival = fn(&mut Arrival);
    let table: [(&str, SpoilArrival, K, &str); 6] = [
        ("ArrivedMet", |a| a.result = "Seen".into(), K::NotACode, "arrival.result"),
        ("ArrivedMet", |a| a.at = 0, K::Missing, "arrival.at"),
        ("ArrivedMet", |a| a.needs_now.clear(), K::Missing, "arrival.needs_now"),
        ("ArrivedMet", |a| a.met_by = None, K::Missing, "arrival.met_by"),
        ("NotArrived", |a| a.needs_now = "Shelter".into(), K::NotHere, "arrival.needs_now"),
        ("ArrivedNotMet", |a| a.met_by = contact("Elena R.", "Caseworker"), K::NotHere, "arrival.met_by"),
    ];
    for (result, spoil, kind, field) in table {
        let mut bad = arrival(result, &[9; 16], NOW);
        let Some(What::Arrival(a)) = &mut bad.what else { unreachable!() };
        spoil(a);
        assert_eq!(faults(&bad), Some((kind, field)));
    }
}

#[test]
fn each_body_names_the_consents_it_cannot_leave_without() {
    let needs = |body: &CaseBody| prepare(body).map_err(|f| f.to_string()).unwrap().needs();
    assert_eq!(needs(&notice()), [(Purpose::ShareNotice, None)]);
    let of_profile = [
        (Purpose::ShareProfile, Some(DataClass::Identity)),
        (Purpose::ShareProfile, Some(DataClass::Contact)),
        (Purpose::ShareHealth, Some(DataClass::Health)),
    ];
    assert_eq!(needs(&profile()), of_profile);
    assert_eq!(needs(&departure("Left", NOW)), [(Purpose::ShareTravel, Some(DataClass::Travel))]);
    assert_eq!(needs(&departure("DidNotLeave", NOW)), [(Purpose::ShareTravel, Some(DataClass::Travel))]);
    for free in [departure("ChoseNotToTravel", NOW), arrival("ArrivedMet", &[9; 16], NOW), answer("Accepted", &[9; 16])]
    {
        assert!(needs(&free).is_empty());
    }
    assert_eq!(needs_consent(2), Some(Purpose::ShareNotice));
    assert_eq!(needs_consent(6), Some(Purpose::ShareProfile));
    assert_eq!(needs_consent(9), Some(Purpose::ShareTravel));
    for free in [3, 4, 10, 17, 100, 0] {
        assert_eq!(needs_consent(free), None);
    }
}

#[test]
fn a_skeleton_keeps_the_classes_and_consents_of_a_profile_and_none_of_its_content() {
    let whole = prepare(&profile()).map_err(|f| f.to_string()).unwrap();
    let skeleton = whole.skeleton();
    for word in ["Ileana", "+37360000101", "quiet room", "letter.pdf"] {
        let found = skeleton.windows(word.len()).any(|w| w == word.as_bytes());
        assert!(!found, "{word} is in the skeleton");
        assert!(whole.encode().windows(word.len()).any(|w| w == word.as_bytes()), "{word} is in the whole");
    }
    let kept = restore(6, &skeleton).unwrap();
    assert_eq!(kept.needs(), whole.needs());
    assert_eq!(kept.consents().count(), 2);
    let parts = whole.parts();
    assert_eq!(
        parts.iter().map(|p| p.0).collect::<Vec<_>>(),
        [DataClass::Identity, DataClass::Contact, DataClass::Health]
    );
    assert!(ProfilePart::decode(parts[0].1.as_slice()).is_ok_and(|p| p.fields[0].values == ["Ileana"]));
    let plain = prepare(&notice()).map_err(|f| f.to_string()).unwrap();
    assert!(plain.parts().is_empty() && *plain.skeleton() == *plain.encode());
}

#[test]
fn a_notice_that_replaces_another_is_another_act() {
    let mut body = notice();
    assert_eq!(prepare(&body).ok().unwrap().act(), ActKind::SendNotice);
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.supersedes = vec![7; 16];
    assert_eq!(prepare(&body).ok().unwrap().act(), ActKind::SupersedeNotice);
}

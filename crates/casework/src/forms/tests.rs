//! What people type, read as the messages that it becomes.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

const NOW: u64 = 1_796_126_400;

#[test]
fn days_and_times_are_read_and_shown_alike() {
    assert_eq!(day("1970-01-02", "d"), Ok(1));
    assert_eq!(show_day(1), "1970-01-02");
    assert_eq!(time("2026-12-01T14:30Z", "t").map(show_time), Ok("2026-12-01T14:30Z".to_owned()));
    assert_eq!(time("2026-12-01T14:30:15Z", "t").map(show_time), Ok("2026-12-01T14:30Z".to_owned()));
    for bad in ["", "1.12.2026", "2026-13-01", "1969-12-31", "2026-12-01x"] {
        assert_eq!(day(bad, "d"), Err(FormFault::Day("d")), "{bad}");
    }
    assert_eq!(time("yesterday", "t"), Err(FormFault::Time("t")));
}

fn text(words: &str) -> Option<String> {
    (!words.is_empty()).then(|| words.to_owned())
}

#[test]
fn a_consent_is_given_now_and_ends_by_the_network_unless_it_says_otherwise() {
    let deadlines = Deadlines::default();
    let built = |given_at: &str, expires: &str| {
        let form = ConsentForm {
            purpose: "ShareNotice".into(),
            data_classes: vec![],
            given_by: "Person".into(),
            child_view: String::new(),
            form: "Written".into(),
            language: "ron".into(),
            interpreter_used: false,
            given_at: text(given_at),
            expires: text(expires),
        };
        form.build(OrgId([5; 16]), &deadlines, NOW, &mut ChaCha20Rng::seed_from_u64(1))
    };
    let consent = built("", "").ok().unwrap();
    assert_eq!((consent.given_at, consent.expires_at), (NOW, default_expiry(&deadlines, NOW)));
    assert_eq!((consent.recipient_org, consent.id.len(), consent.purpose.as_str()), (vec![5; 16], 16, "ShareNotice"));
    let consent = built("2026-11-01T10:00Z", "2026-12-31").ok().unwrap();
    assert_eq!(show_time(consent.given_at), "2026-11-01T10:00Z");
    assert_eq!((show_day(consent.expires_at / DAY), consent.expires_at % DAY), ("2026-12-31".to_owned(), 0));
    assert_eq!(built("", "soon").err(), Some(FormFault::Day("expires")));
    assert_eq!(built("now", "").err(), Some(FormFault::Time("given_at")));
}

#[test]
fn a_day_that_may_be_left_out_is_none_and_one_that_is_there_is_read() {
    assert_eq!(days(&None, "d"), Ok(0));
    assert_eq!(days(&Some("1970-01-03".to_owned()), "d"), Ok(2));
    assert_eq!(days(&Some("tomorrow".to_owned()), "d"), Err(FormFault::Day("d")));
}

#[test]
fn who_left_is_expected_at_a_time_and_waited_for_as_her_age_asks() {
    let (deadlines, zone) = (Deadlines::default(), Zone::utc());
    let built = |(outcome, at, planned): (&str, &str, &str), child| {
        let form = DepartureForm { outcome: outcome.into(), at: text(at), planned_arrival: text(planned) };
        form.build(child, &deadlines, &zone, NOW)
    };
    let left = ("Left", "", "2026-12-02T14:30Z");
    let planned = time("2026-12-02T14:30Z", "t").unwrap();
    for (child, rule) in [(false, Rule::ArrivalConfirm), (true, Rule::ArrivalConfirmChild)] {
        let departure = built(left, child).ok().unwrap();
        assert_eq!((departure.outcome.as_str(), departure.at, departure.planned_arrival), ("Left", NOW, planned));
        assert!(departure.arrival_due == Some(deadlines.due(rule, planned, &zone)));
    }
    assert!(built(left, true).ok().unwrap().arrival_due != built(left, false).ok().unwrap().arrival_due);
    assert_eq!(built(("Left", "", ""), false).err(), Some(FormFault::Missing("planned_arrival")));
    let stayed = built(("DidNotLeave", "2026-11-30T08:00Z", ""), false).ok().unwrap();
    assert_eq!((show_time(stayed.at).as_str(), stayed.planned_arrival), ("2026-11-30T08:00Z", 0));
    assert!(stayed.arrival_due.is_none());
}

#[test]
fn a_part_and_a_contact_are_what_was_typed() {
    let field =
        |name: &str| FieldForm { field: name.into(), values: vec!["Ileana".into()], null_reason: "Unknown".into() };
    let form = PartForm { data_class: "Identity".into(), fields: vec![field("prs_FirstName"), field("prs_LastName")] };
    let part = form.build();
    assert_eq!((part.data_class.as_str(), part.attachments.len()), ("Identity", 0));
    let fields: Vec<_> =
        part.fields.iter().map(|f| (f.field.as_str(), f.values.concat(), f.null_reason.as_str())).collect();
    let typed = |name| (name, "Ileana".to_owned(), "Unknown");
    assert_eq!(fields, [typed("prs_FirstName"), typed("prs_LastName")]);
    let contact = wire::Contact::from(ContactForm { label: "Ana P.".into(), role: "Manager".into() });
    assert_eq!((contact.label.as_str(), contact.role.as_str()), ("Ana P.", "Manager"));
}

#[test]
fn an_answer_and_an_acknowledgement_are_what_was_typed_and_their_days_are_days() {
    let contact = |label: &str| ContactForm { label: label.into(), role: "Caseworker".into() };
    let answer = |start: &str| {
        let offer =
            ServiceForm { service: "Shelter".into(), start: start.into(), days: 90, paid_by: "Receiver".into() };
        let form = AnswerForm {
            answer: "Accepted".into(),
            decline_reason: "none".into(),
            services: vec![offer],
            conditions: vec!["on a working day".into()],
            info_requested: vec!["region".into()],
            conflict_check_done: true,
            language: "ron".into(),
            child_place: true,
            contact: Some(contact("Elena R.")),
            alternate: None,
        };
        form.build()
    };
    let built = answer("1970-01-11").ok().unwrap();
    let [offer] = built.services.as_slice() else { panic!("one service") };
    assert_eq!(
        (offer.service.as_str(), offer.start_day, offer.days, offer.paid_by.as_str()),
        ("Shelter", 10, 90, "Receiver")
    );
    assert_eq!(
        (built.answer.as_str(), built.decline_reason.as_str(), built.language.as_str()),
        ("Accepted", "none", "ron")
    );
    assert!(built.conflict_check_done && built.child_place && built.alternate.is_none());
    assert_eq!(
        (built.conditions.concat(), built.info_requested.concat()),
        ("on a working day".into(), "region".into())
    );
    assert_eq!(built.contact.unwrap().label, "Elena R.");
    assert_eq!(answer("soon").err(), Some(FormFault::Day("services.start")));
    let acknowledged = |day: &str| {
        let (contact, alternate) = (contact("Elena R."), contact("Mira M."));
        AcknowledgeForm { contact, alternate, expected_answer: day.into() }.build()
    };
    let built = acknowledged("1970-01-04").ok().unwrap();
    assert_eq!(built.expected_answer_day, 3);
    assert_eq!([built.contact, built.alternate].map(|c| c.unwrap().label), ["Elena R.", "Mira M."]);
    assert_eq!(acknowledged("").err(), Some(FormFault::Day("expected_answer")));
}

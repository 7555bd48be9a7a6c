//! Every rule of consent, each broken once.

use clearhouse_protocol::ids::OrgId;
use clearhouse_wire::v1::Withhold;

use super::*;

const NOW: u64 = 1_800_000_000;
const ORG: OrgId = OrgId([7; 16]);

fn consent() -> Consent {
    Consent {
        id: vec![1; 16],
        purpose: "ShareProfile".into(),
        recipient_org: ORG.to_vec(),
        data_classes: vec!["Identity".into(), "Needs".into()],
        given_by: "Person".into(),
        child_view: String::new(),
        form: "OralWitnessed".into(),
        language: "ron".into(),
        interpreter_used: true,
        given_at: NOW - DAY,
        expires_at: NOW + 100 * DAY,
        withhold: vec![Withhold { what: "Risk".into(), from: "family".into(), reason: "fear".into() }],
    }
}

fn subject(class: DataClass) -> Subject {
    Subject { purpose: purpose_of(class), class: Some(class), receiver: ORG }
}

fn withdrawal(classes: &[&str]) -> Withdrawal {
    Withdrawal {
        consent_id: vec![1; 16],
        purpose: "ShareProfile".into(),
        data_classes: classes.iter().map(|c| (*c).to_owned()).collect(),
        effective: NOW,
    }
}

#[test]
fn a_complete_consent_passes_and_each_broken_field_is_named() {
    assert_eq!(check(&consent()), Ok(()));
    type Break = fn(&mut Consent);
    let table: [(Break, FaultKind, &str); 22] = [
        (|c| c.id.clear(), FaultKind::Missing, "consent.id"),
        (|c| c.id = vec![1; 15], FaultKind::Id, "consent.id"),
        (|c| c.purpose.clear(), FaultKind::Missing, "consent.purpose"),
        (|c| c.purpose = "Everything".into(), FaultKind::NotACode, "consent.purpose"),
        (|c| c.recipient_org.clear(), FaultKind::Missing, "consent.recipient_org"),
        (|c| c.data_classes.clear(), FaultKind::Missing, "consent.data_classes"),
        (|c| c.data_classes.push("Needs".into()), FaultKind::Count, "consent.data_classes"),
        (|c| c.data_classes.push("Gossip".into()), FaultKind::NotACode, "consent.data_classes"),
        (|c| c.data_classes.push("Health".into()), FaultKind::NotACode, "consent.data_classes"),
        (|c| c.given_by = "Police".into(), FaultKind::NotACode, "consent.given_by"),
        (|c| c.child_view = "Agrees".into(), FaultKind::NotHere, "consent.child_view"),
        (
            |c| (c.given_by, c.child_view) = ("Guardian".into(), "Fine".into()),
            FaultKind::NotACode,
            "consent.child_view",
        ),
        (|c| c.form = "Ticked".into(), FaultKind::NotACode, "consent.form"),
        (|c| c.language = "ro".into(), FaultKind::NotACode, "consent.language"),
        (|c| c.given_at = 0, FaultKind::Missing, "consent.given_at"),
        (|c| c.expires_at = 0, FaultKind::Missing, "consent.expires_at"),
        (|c| c.expires_at = c.given_at, FaultKind::Contradiction, "consent.expires_at"),
        (|c| c.expires_at = c.given_at + 367 * DAY, FaultKind::Contradiction, "consent.expires_at"),
        (|c| c.withhold[0].from = "everybody".into(), FaultKind::NotACode, "consent.withhold.from"),
        (|c| c.withhold[0].what = "Everything".into(), FaultKind::NotACode, "consent.withhold.what"),
        (|c| c.withhold[0].reason = "because".into(), FaultKind::NotACode, "consent.withhold.reason"),
        (|c| c.withhold = vec![c.withhold[0].clone(); 2], FaultKind::Count, "consent.withhold"),
    ];
    for (spoil, kind, field) in table {
        let mut bad = consent();
        spoil(&mut bad);
        assert_eq!(check(&bad), Err(BodyFault { kind, field }));
    }
}

#[test]
fn a_complete_withdrawal_passes_and_each_broken_field_is_named() {
    assert_eq!(check_withdrawal(&withdrawal(&["Needs"])), Ok(()));
    type Break = fn(&mut Withdrawal);
    let table: [(Break, FaultKind, &str); 5] = [
        (|w| w.consent_id.clear(), FaultKind::Missing, "withdrawal.consent_id"),
        (|w| w.purpose = "Life".into(), FaultKind::NotACode, "withdrawal.purpose"),
        (|w| w.data_classes.push("Gossip".into()), FaultKind::NotACode, "withdrawal.data_classes"),
        (|w| w.data_classes.push("Needs".into()), FaultKind::Count, "withdrawal.data_classes"),
        (|w| w.effective = 0, FaultKind::Missing, "withdrawal.effective"),
    ];
    for (spoil, kind, field) in table {
        let mut bad = withdrawal(&["Needs"]);
        spoil(&mut bad);
        assert_eq!(check_withdrawal(&bad), Err(BodyFault { kind, field }));
    }
}

#[test]
fn a_consent_covers_its_own_receiver_purpose_class_and_time_only() {
    let good = consent();
    let check = |c: Option<&Consent>, s: &Subject, now| covers(c, s, now);
    assert_eq!(check(Some(&good), &subject(DataClass::Identity), NOW), Ok(()));
    assert_eq!(check(None, &subject(DataClass::Identity), NOW), Err(ConsentFault::Missing));
    assert_eq!(check(Some(&good), &subject(DataClass::Health), NOW), Err(ConsentFault::OtherPurpose));
    assert_eq!(check(Some(&good), &subject(DataClass::Family), NOW), Err(ConsentFault::ClassNotCovered));
    let other = Subject { receiver: OrgId([8; 16]), ..subject(DataClass::Identity) };
    assert_eq!(check(Some(&good), &other, NOW), Err(ConsentFault::OtherReceiver));
    let (start, end) = (good.given_at, good.expires_at);
    assert_eq!(check(Some(&good), &subject(DataClass::Identity), end - 1), Ok(()));
    assert_eq!(check(Some(&good), &subject(DataClass::Identity), end), Err(ConsentFault::Expired));
    assert_eq!(check(Some(&good), &subject(DataClass::Identity), start - SKEW_SECS), Ok(()));
    assert_eq!(
        check(Some(&good), &subject(DataClass::Identity), start - SKEW_SECS - 1),
        Err(ConsentFault::GivenInFuture)
    );
}

#[test]
fn detail_of_sexual_exploitation_needs_a_consent_of_its_own() {
    let mut c = consent();
    c.data_classes.push("SexualExploitationDetail".into());
    let detail = subject(DataClass::SexualExploitationDetail);
    assert_eq!(covers(Some(&c), &detail, NOW), Err(ConsentFault::NotSeparate));
    c.data_classes = vec!["SexualExploitationDetail".into()];
    assert_eq!(covers(Some(&c), &detail, NOW), Ok(()));
}

#[test]
fn a_withdrawal_stops_the_class_it_names_or_all() {
    let mut ledger = Ledger::default();
    ledger.record(&consent());
    ledger.withdraw(&withdrawal(&["Needs"]));
    ledger.withdraw(&withdrawal(&["Needs"]));
    assert_eq!(ledger.withdrawals().len(), 1, "heard twice is heard once");
    let stands = |l: &Ledger, class| l.covers(l.find(&[1; 16]), &subject(class), NOW);
    assert_eq!(stands(&ledger, DataClass::Needs), Err(ConsentFault::Withdrawn));
    assert_eq!(stands(&ledger, DataClass::Identity), Ok(()));
    ledger.withdraw(&withdrawal(&[]));
    assert_eq!(stands(&ledger, DataClass::Identity), Err(ConsentFault::Withdrawn));
    assert!(!ledger.core_withdrawn());
    ledger.withdraw(&Withdrawal { purpose: "ShareNotice".into(), ..withdrawal(&[]) });
    assert!(ledger.core_withdrawn());
}

#[test]
fn a_withdrawal_stops_older_consents_of_the_purpose_but_not_one_given_after_it() {
    let mut ledger = Ledger::default();
    let older = Consent { id: vec![2; 16], given_at: NOW - 2 * DAY, ..consent() };
    let fresh = Consent { id: vec![3; 16], given_at: NOW + 60, ..consent() };
    for c in [&consent(), &older, &fresh] {
        ledger.record(c);
    }
    ledger.withdraw(&withdrawal(&[]));
    let stands = |id: u8| ledger.covers(ledger.find(&[id; 16]), &subject(DataClass::Needs), NOW + 120);
    assert_eq!(stands(1), Err(ConsentFault::Withdrawn));
    assert_eq!(stands(2), Err(ConsentFault::Withdrawn));
    assert_eq!(stands(3), Ok(()));
    assert_eq!(ledger.status(&fresh, NOW), Status::Active);
    assert_eq!(ledger.status(&older, NOW), Status::Withdrawn);
}

#[test]
fn a_consent_is_never_edited_and_a_newer_one_supersedes() {
    let mut ledger = Ledger::default();
    ledger.record(&consent());
    ledger.record(&Consent { expires_at: NOW + 300 * DAY, ..consent() });
    assert!(ledger.find(&[1; 16]) == Some(&consent()));
    ledger.record(&Consent { id: vec![3; 16], given_at: NOW, data_classes: vec!["Family".into()], ..consent() });
    assert_eq!(ledger.status(&consent(), NOW), Status::Active, "another class is another consent");
    ledger.record(&Consent { id: vec![2; 16], given_at: NOW, ..consent() });
    assert_eq!(ledger.status(&consent(), NOW), Status::Superseded);
    assert_eq!(ledger.status(&consent(), NOW + 200 * DAY), Status::Expired);
}

#[test]
fn too_many_withdrawals_stop_everything() {
    let mut ledger = Ledger::default();
    ledger.record(&consent());
    for effective in 1..=WITHDRAWALS_MAX as u64 {
        ledger.withdraw(&Withdrawal {
            consent_id: vec![9; 16],
            purpose: "Feedback".into(),
            effective,
            ..withdrawal(&[])
        });
    }
    assert!(!ledger.is_withdrawn(&consent(), None) && !ledger.core_withdrawn());
    ledger.withdraw(&Withdrawal { consent_id: vec![9; 16], purpose: "Feedback".into(), ..withdrawal(&[]) });
    assert!(ledger.is_withdrawn(&consent(), None) && ledger.core_withdrawn());
}

#[test]
fn the_default_life_is_half_a_year() {
    assert_eq!(default_expiry(&Deadlines::default(), NOW), NOW + 183 * DAY);
}

#[test]
fn class_numbers_never_move() {
    let numbers: Vec<_> = DataClass::ALL.iter().map(|c| (c.code(), c.number())).collect();
    assert_eq!(numbers[0], ("Identity", 1));
    assert_eq!(numbers[4], ("Health", 5));
    assert_eq!(numbers[11], ("Outcome", 12));
}

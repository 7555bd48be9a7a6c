//! What people of these offices do: a notice in a case of its own, and the whole journey of one person.
//!
//! Every act is taken down for the judge in the moment it is done.

use std::time::{Duration, Instant};

use clearhouse_casework::forms::{show_day, show_time};
use clearhouse_node::calls::Call;
use clearhouse_protocol::limits::DAY;
use serde_json::{Value, json};

use super::super::canaries::ask;
use super::super::region::Member;
use super::PATIENCE;
use super::judge::Sent;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Opens a case with consent to everything that may follow, and sends its notice. The case's code.
pub(super) async fn notice(sent: &mut Sent, from: &Member, to: &Member, now: u64) -> String {
    let opened = ask(from, Call::CaseOpen { to: to.name.to_owned() }).await;
    let case = opened["case"].as_str().unwrap().to_owned();
    let consents = [
        ("ShareNotice", json!([])),
        ("ShareProfile", json!(["Identity", "Needs"])),
        ("ShareTravel", json!(["Travel"])),
    ];
    for (purpose, classes) in consents {
        let form = json!({
            "purpose": purpose, "data_classes": classes, "given_by": "Person", "form": "OralWitnessed",
            "language": "ron", "expires": null,
        });
        ask(from, Call::ConsentRecord { case: case.clone(), form: form_of(form) }).await;
    }
    let day = |days: u64| show_day(now / DAY + days);
    let form = json!({
        "age_band": "27--29", "age_status": "Adult", "age_basis": "Declared", "gender": "Feminine",
        "citizenship": ["MD"], "languages": ["ron"], "window_from": day(14), "window_to": day(28), "country": "MD",
        "region": "MD-CU", "services": ["Shelter"], "risk_level": "Low", "urgency": "Routine",
        "voluntary": "Voluntary", "alternatives_explained": true, "trafficking_status": "ActualVictimOfTrafficking",
        "status_decided_by": "NGO", "referral_reason": "MigrationOrChangeOfLocation",
        "worker": {"label": "Elena R.", "role": "Caseworker"}, "alternate": {"label": "Paola G.", "role": "Manager"},
    });
    ask(from, Call::NoticeSend { case: case.clone(), form: Box::new(form_of(form)) }).await;
    sent.sent(from, &case, "return_notice");
    case
}

/// The receiver opens a case and says that it was read.
pub(super) async fn acknowledge(sent: &mut Sent, at: &Member, case: &str, now: u64) {
    ask(at, Call::Open { case: case.to_owned(), message: None }).await;
    let form = json!({"contact": ana(), "alternate": ana(), "expected_answer": show_day(now / DAY + 1)});
    ask(at, Call::Acknowledge { case: case.to_owned(), form: form_of(form) }).await;
    sent.sent(at, case, "acknowledgement");
}

/// From a notice to the meeting at the end: each side waits for the other's word.
pub(super) async fn journey(sent: &mut Sent, from: &Member, to: &Member, now: u64) -> String {
    let case = notice(sent, from, to, now).await;
    until(from, &case, |shown| !shown["facts"]["received"].is_null()).await;
    acknowledge(sent, to, &case, now).await;
    let service = json!({"service": "Shelter", "start": show_day(now / DAY + 14), "days": 30, "paid_by": "Receiver"});
    let form = json!({
        "answer": "Accepted", "services": [service], "conflict_check_done": true, "language": "ron",
        "contact": ana(), "alternate": ana(),
    });
    ask(to, Call::Answer { case: case.clone(), form: form_of(form) }).await;
    sent.sent(to, &case, "answer");
    until(from, &case, |shown| !shown["facts"]["accepted"].is_null()).await;
    let field = |name: &str, value: &str| json!({"field": name, "values": [value], "null_reason": ""});
    let form = json!({"for_worker": "", "parts": [
        {"data_class": "Identity", "fields": [field("prs_FirstName", "Ilinca")]},
        {"data_class": "Needs", "fields": [field("prs_PrimaryLanguage", "ron")]},
    ]});
    ask(from, Call::ProfileSend { case: case.clone(), form: form_of(form), attachments: vec![] }).await;
    sent.sent(from, &case, "victim_profile");
    until(to, &case, |shown| shown["messages"].to_string().contains("victim_profile")).await;
    assert!(ask(to, Call::ProfileShow { case: case.clone() }).await.to_string().contains("Ilinca"));
    let form = json!({"outcome": "Left", "at": null, "planned_arrival": show_time(now + 3600)});
    ask(from, Call::Depart { case: case.clone(), form: form_of(form) }).await;
    sent.sent(from, &case, "departure");
    until(to, &case, |shown| shown["state"] == "IN_TRANSIT").await;
    let form = json!({"result": "ArrivedMet", "at": null, "needs_now": "None", "met_by": ana()});
    ask(to, Call::Arrive { case: case.clone(), form: form_of(form) }).await;
    sent.sent(to, &case, "arrival");
    until(from, &case, |shown| !shown["facts"]["met"].is_null()).await;
    case
}

/// Waits until a case at an office is as `done` wants it.
pub(super) async fn until(member: &Member, case: &str, done: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let shown = ask(member, Call::CaseShow { case: case.to_owned() }).await;
        if done(&shown) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen: {shown}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ana() -> Value {
    json!({"label": "Ana P.", "role": "Manager"})
}

fn form_of<F: serde::de::DeserializeOwned>(form: Value) -> F {
    serde_json::from_value(form).unwrap()
}

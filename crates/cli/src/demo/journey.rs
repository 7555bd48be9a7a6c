//! The journey itself, step by step. Each step does the real thing, looks at the real result, and says one sentence.

use std::time::{Duration, Instant};

use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ContactForm, DepartureForm, ProfileForm, ServiceForm, show_day, show_time,
};
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::limits::{DAY, HOUR};
use serde_json::Value;

use super::person::Person;
use super::region::{Member, Region};
use super::{Failure, Teller, admission, portless};

/// How long a step waits for the other side's signed word.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(20);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The receiver's worker, as the sender reads her.
const WORKER: &str = "Ana P.";

pub(super) async fn travel(region: &mut Region, person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    directory(region, person, teller).await?;
    let case = refusal(region, teller).await?;
    notice(region, person, &case, teller).await?;
    receipts(region, &case, teller).await?;
    acceptance(region, &case, teller).await?;
    profile(region, person, &case, teller).await?;
    power_cut(region, &case, teller).await?;
    super::alarm::raised(region, &case, teller).await?;
    arrival(region, &case, teller).await?;
    super::alarm::ended(region, &case, teller).await?;
    super::outsider::tamper(region, teller).await?;
    super::log::proved(region, &case, teller).await?;
    super::log::reconciled(region, teller).await?;
    super::hidden::named(region, teller)?;
    super::log::checked(region, teller).await?;
    around(region, person, teller).await
}

/// The return alone, and the search of every disk for the person: what the self test tries.
pub(crate) async fn carried(region: &mut Region, person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    directory(region, person, teller).await?;
    let case = refusal(region, teller).await?;
    notice(region, person, &case, teller).await?;
    receipts(region, &case, teller).await?;
    acceptance(region, &case, teller).await?;
    profile(region, person, &case, teller).await?;
    power_cut(region, &case, teller).await?;
    arrival(region, &case, teller).await?;
    super::disks::searched(region, &[], person, teller)
}

/// What happens around the one return: an organisation comes to belong, is written to, and is put out.
async fn around(region: &mut Region, person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    let second = admission::logs(region, teller).await?;
    let mut newcomer = admission::admitted(region, teller).await?;
    portless::started(region, &mut newcomer, teller).await?;
    let case = portless::waits(region, &mut newcomer, teller).await?;
    portless::kept(region, &newcomer, teller).await?;
    portless::fetched(region, &mut newcomer, &case, teller).await?;
    super::revoked::overtaken(region, &newcomer, &case, teller).await?;
    super::disks::searched(region, &[&second.folder, &newcomer.folder], person, teller)
}

async fn directory(region: &mut Region, person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let records = region.records.clone();
    let (d, o, c) = (&mut region.destination, &mut region.origin, &mut region.coordinator);
    tokio::try_join!(d.start(), o.start(), c.start())?;
    let employed = async {
        let elena = async {
            d.learn(&records).await?;
            // A child's case is a child officer's, from the first step.
            d.employ("elena", "Elena R.", if person.is_child() { "ChildOfficer" } else { "Caseworker" }).await
        };
        let ana = async {
            o.learn(&records).await?;
            o.employ("ana", WORKER, "Manager").await
        };
        let looking_on = async { c.learn(&records).await };
        tokio::try_join!(elena, ana, looking_on)
    };
    employed.await?;
    let known = region.destination.ask(Call::DirectoryList).await?;
    let organisations = known["organisations"].as_array().map_or(0, Vec::len);
    let text = format!("{organisations} organisations, each accredited by three coordinators of three countries");
    teller.step("Directory", &text, Some(began.elapsed()));
    Ok(())
}

/// Opens the case and shows that nothing leaves without consent.
async fn refusal(region: &mut Region, teller: &mut Teller) -> Result<String, Failure> {
    let opened = region.destination.ask(Call::CaseOpen { to: "Casa Nova".to_owned() }).await?;
    let case = opened["case"].as_str().unwrap_or_default().to_owned();
    let form = Person::invented(0, SystemClock.now()).notice;
    match region.destination.ask(Call::NoticeSend { case: case.clone(), form: Box::new(form) }).await {
        Err(refused) if refused.code.starts_with("CH-C03") || refused.text.contains("onsent") => {
            teller.step("No consent", &format!("the notice is refused, as it must be: {}", refused.text), None);
            Ok(case)
        }
        Err(other) => Err(other.into()),
        Ok(_) => Err(Failure::new("CH-E0301", "A notice left without consent.")),
    }
}

async fn notice(region: &mut Region, person: &Person, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let d = &region.destination;
    let consent = |purpose: &str, classes: Vec<String>| Call::ConsentRecord {
        case: case.to_owned(),
        form: person.consent(purpose, classes),
    };
    d.ask(consent("ShareNotice", vec![])).await?;
    let began = Instant::now();
    d.ask(Call::NoticeSend { case: case.to_owned(), form: Box::new(person.notice.clone()) }).await?;
    wait(d, case, "received").await?;
    let text = format!("{case} is at Casa Nova's node: an age band, a region, needs; no name in it");
    teller.step("Notice", &text, Some(began.elapsed()));
    Ok(())
}

async fn receipts(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    region.origin.ask(Call::Open { case: case.to_owned(), message: None }).await?;
    let contact = || ContactForm { label: WORKER.to_owned(), role: "Manager".to_owned() };
    let form = AcknowledgeForm {
        contact: contact(),
        alternate: ContactForm { label: "Ion C.".to_owned(), role: "Caseworker".to_owned() },
        expected_answer: show_day(SystemClock.now() / DAY + 1),
    };
    region.origin.ask(Call::Acknowledge { case: case.to_owned(), form }).await?;
    let seen = wait(&region.destination, case, "read").await?;
    let by = seen["facts"]["read"]["for"].as_str().unwrap_or_default();
    let text = format!("stored, received by their node, and read by {by}: three signed facts, three times");
    teller.step("Receipts", &text, Some(began.elapsed()));
    Ok(())
}

/// Yes, with a place; whom to ask for, and who else.
pub(super) fn accepted(language: &str, contacts: [(&str, &str); 2]) -> AnswerForm {
    let [contact, alternate] =
        contacts.map(|(label, role)| Some(ContactForm { label: label.to_owned(), role: role.to_owned() }));
    AnswerForm {
        answer: "Accepted".to_owned(),
        decline_reason: String::new(),
        services: vec![ServiceForm {
            service: "Shelter".to_owned(),
            start: show_day(SystemClock.now() / DAY + 14),
            days: 90,
            paid_by: "Receiver".to_owned(),
        }],
        conditions: vec![],
        info_requested: vec![],
        conflict_check_done: true,
        language: language.to_owned(),
        child_place: false,
        contact,
        alternate,
    }
}

async fn acceptance(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let form = accepted("ron", [(WORKER, "Manager"), ("Ion C.", "Caseworker")]);
    region.origin.ask(Call::Answer { case: case.to_owned(), form }).await?;
    let seen = wait(&region.destination, case, "accepted").await?;
    let annex =
        if seen["risk_annex_missing"] == Value::Bool(true) { "; shown beside it: risk annex missing" } else { "" };
    teller.step("Accepted", &format!("by {WORKER}, with a place from the first day{annex}"), Some(began.elapsed()));
    Ok(())
}

async fn profile(region: &mut Region, person: &Person, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let d = &region.destination;
    let classes = person.classes();
    let alone = ["Health", "Travel", "SexualExploitationDetail"];
    let shared: Vec<String> = classes.iter().filter(|c| !alone.contains(&c.as_str())).cloned().collect();
    let apart = |class: &str| classes.iter().filter(|c| *c == class).cloned().collect::<Vec<_>>();
    // What is more private than the rest is asked for by itself, and may be refused by itself.
    let asked = [
        ("ShareProfile", shared),
        ("ShareProfile", apart("SexualExploitationDetail")),
        ("ShareHealth", apart("Health")),
        ("ShareTravel", vec!["Travel".to_owned()]),
    ];
    for (purpose, covered) in asked {
        if !covered.is_empty() {
            d.ask(Call::ConsentRecord { case: case.to_owned(), form: person.consent(purpose, covered) }).await?;
        }
    }
    let form = ProfileForm { for_worker: String::new(), parts: person.parts.clone() };
    let sent = d.ask(Call::ProfileSend { case: case.to_owned(), form, attachments: vec![] }).await?;
    let message = sent["message"].as_str().unwrap_or_default().to_owned();
    wait_for(d, case, |shown| fate_of(shown, &message).is_some_and(|f| f.starts_with("received"))).await?;
    let shown = region.origin.ask(Call::ProfileShow { case: case.to_owned() }).await?;
    let parts = shown["parts"].as_array().map_or(0, Vec::len);
    let text = shown["parts"].to_string();
    // What was typed in the destination's script reads the same at the origin, letter for letter.
    let first = |field: &str| {
        person.parts.iter().flat_map(|p| &p.fields).find(|f| f.field == field).and_then(|f| f.values.first())
    };
    let whole = ["prs_FirstName", "prs_SecondName"].iter().filter_map(|f| first(f)).all(|v| text.contains(v.as_str()));
    if parts != person.parts.len() || !whole {
        return Err(Failure::new("CH-E0302", "The profile did not arrive as it was written."));
    }
    let text = format!("only now, with her consent class by class: {parts} parts, opened by {WORKER} alone");
    teller.step("Profile", &text, Some(began.elapsed()));
    Ok(())
}

async fn power_cut(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    region.origin.kill();
    // Told late: she was expected long ago, so that the next step need not wait for a day.
    let now = SystemClock.now();
    let (left, expected) = (show_time(now - 2 * DAY), show_time(now - DAY - HOUR));
    let form = DepartureForm { outcome: "Left".to_owned(), at: Some(left), planned_arrival: Some(expected) };
    let sent = region.destination.ask(Call::Depart { case: case.to_owned(), form }).await?;
    let message = sent["message"].as_str().unwrap_or_default().to_owned();
    wait_for(&region.destination, case, |shown| fate_of(shown, &message).is_some_and(|f| f == "waiting here")).await?;
    let outbox = region.destination.ask(Call::Outbox).await?;
    let waits = outbox["messages"].as_array().map_or(0, Vec::len);
    let began = Instant::now();
    region.origin.start().await?;
    region.destination.ask(Call::OutboxRetry).await?;
    wait_for(&region.destination, case, |shown| fate_of(shown, &message).is_some_and(|f| f.starts_with("received")))
        .await?;
    let text = format!(
        "Casa Nova's node lost power: the departure waited ({waits} in the outbox), came back with all it had, delivered"
    );
    teller.step("Power cut", &text, Some(began.elapsed()));
    // The process is new, so is the session of whoever works there.
    region.origin.session = None;
    Ok(region.origin.sign_in("ana").await?)
}

async fn arrival(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    region.origin.ask(Call::Open { case: case.to_owned(), message: None }).await?;
    let form = ArrivalForm {
        result: "ArrivedMet".to_owned(),
        at: None,
        needs_now: "Shelter".to_owned(),
        met_by: Some(ContactForm { label: WORKER.to_owned(), role: "Manager".to_owned() }),
    };
    region.origin.ask(Call::Arrive { case: case.to_owned(), form }).await?;
    let shown = wait(&region.destination, case, "met").await?;
    let times = ["stored", "received", "read", "accepted", "met"];
    let lit = times.iter().filter(|f| !shown["facts"][**f].is_null()).count();
    let text = format!("she was met by {WORKER}; the sender holds {lit} of 5 facts, each signed: {}", times.join(", "));
    teller.step("Arrival", &text, Some(began.elapsed()));
    Ok(())
}

fn fate_of(shown: &Value, message: &str) -> Option<String> {
    let messages = shown["messages"].as_array()?;
    let found = messages.iter().find(|m| m["message"] == message)?;
    Some(found["fate"].as_str()?.to_owned())
}

/// Waits until one of the five facts is there, and returns the case as shown.
async fn wait(member: &Member, case: &str, fact: &str) -> Result<Value, Failure> {
    wait_for(member, case, |shown| !shown["facts"][fact].is_null()).await
}

pub(super) async fn wait_for(member: &Member, case: &str, done: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let shown = member.ask(Call::CaseShow { case: case.to_owned() }).await?;
        if done(&shown) {
            return Ok(shown);
        }
        if Instant::now() > deadline {
            let waiting = shown["waiting"].to_string();
            return Err(Failure::new("CH-E0307", format!("The other side's word did not come: {waiting}.")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

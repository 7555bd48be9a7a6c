//! Forty planted names, dates and phone numbers, in two scripts, through the whole journey with one lock in the middle;
//! then every byte of every folder, log and socket frame that left the desks is searched for them.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, ContactForm, DepartureForm, FieldForm, NoticeForm, PartForm,
    ProfileForm, ServiceForm, show_day, show_time,
};
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::rows::Table;
use clearhouse_store::DurableStore;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use serde_json::Value;

use super::found;
use super::region::{Member, Region, demo_passphrase};

pub(super) fn text(s: &str) -> String {
    s.to_owned()
}

pub(super) fn contact(label: &str, role: &str) -> ContactForm {
    ContactForm { label: text(label), role: text(role) }
}

/// Ten persons' worth of what must never be seen: 40 in all.
fn canaries() -> Vec<String> {
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(format!("Zarnixa{n}"));
        all.push(format!("Жарникса{n}"));
        all.push(format!("19{}-0{}-1{n}", 80 + n, 1 + n % 9));
        all.push(format!("+37369{n}10{n}47"));
    }
    all
}

fn profile() -> ProfileForm {
    let canaries = canaries();
    let field = |field: &str, values: Vec<String>| FieldForm { field: text(field), values, null_reason: String::new() };
    let names: Vec<String> = canaries.iter().filter(|c| c.starts_with("Zarnixa")).cloned().collect();
    let scripts: Vec<String> = canaries.iter().filter(|c| c.starts_with("Жарникса")).cloned().collect();
    let dates: Vec<String> = canaries.iter().filter(|c| c.contains("-0")).cloned().collect();
    let phones: Vec<String> = canaries.iter().filter(|c| c.starts_with('+')).cloned().collect();
    let joined = |what: &[String]| what.join(" ");
    ProfileForm {
        for_worker: String::new(),
        parts: vec![
            PartForm {
                data_class: text("Identity"),
                fields: vec![
                    field("prs_FirstName", vec![joined(&names[..5])]),
                    field("prs_SecondName", vec![joined(&names[5..])]),
                    field("xpr_NameOriginalScript", vec![joined(&scripts)]),
                    field("xpr_Transliteration", vec![joined(&dates)]),
                    field("xpr_Alias", vec![joined(&phones)]),
                ],
            },
            PartForm { data_class: text("Needs"), fields: vec![field("prs_PrimaryLanguage", vec![text("ron")])] },
        ],
    }
}

pub(super) fn consent(purpose: &str, classes: &[&str]) -> ConsentForm {
    ConsentForm {
        purpose: text(purpose),
        data_classes: classes.iter().map(|c| text(c)).collect(),
        given_by: text("Person"),
        child_view: String::new(),
        form: text("OralWitnessed"),
        language: text("ron"),
        interpreter_used: true,
        given_at: None,
        expires: None,
    }
}

pub(super) fn notice() -> NoticeForm {
    let now = SystemClock.now();
    NoticeForm {
        age_band: text("39--47"),
        age_status: text("Adult"),
        age_basis: text("Document"),
        gender: text("Feminine"),
        citizenship: vec![text("MD")],
        languages: vec![text("ron")],
        dependant_bands: vec![],
        window_from: show_day(now / DAY + 14),
        window_to: show_day(now / DAY + 28),
        country: text("MD"),
        region: text("MD-CU"),
        services: vec![text("Shelter")],
        risk_level: text("Low"),
        urgency: text("Routine"),
        voluntary: text("Voluntary"),
        alternatives_explained: true,
        reflection_ends: None,
        wishes_to_go_earlier: false,
        trafficking_status: text("ActualVictimOfTrafficking"),
        status_decided_by: text("NGO"),
        referral_reason: text("MigrationOrChangeOfLocation"),
        worker: contact("Elena R.", "Caseworker"),
        alternate: contact("Paola G.", "Manager"),
        guardian_status: String::new(),
        best_interests: String::new(),
    }
}

pub(super) async fn until(member: &Member, case: &str, done: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let shown = member.ask(Call::CaseShow { case: text(case) }).await.unwrap_or_else(|f| panic!("{}", f.text));
        if done(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "it did not happen: {}", shown["waiting"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn ask(member: &Member, call: Call) -> Value {
    member.ask(call).await.unwrap_or_else(|f| panic!("{} {}", f.code, f.text))
}

/// A journey from the start of the nodes to the acceptance; the code of its case.
pub(super) async fn accepted(region: &mut Region) -> String {
    staffed(region).await;
    agreed(region).await
}

/// The nodes run, know each other, and somebody works at both offices.
pub(super) async fn staffed(region: &mut Region) {
    let records = region.records.clone();
    for member in region.members() {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    region.destination.employ("elena", "Elena R.", "Caseworker").await.unwrap();
    region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
}

/// From the opening of a case to the acceptance, between people who are signed in.
pub(super) async fn agreed(region: &Region) -> String {
    let (d, o) = (&region.destination, &region.origin);
    let opened = ask(d, Call::CaseOpen { to: text("Casa Nova") }).await;
    let case = opened["case"].as_str().unwrap().to_owned();
    let record = |form| Call::ConsentRecord { case: case.clone(), form };
    ask(d, record(consent("ShareNotice", &[]))).await;
    ask(d, record(consent("ShareProfile", &["Identity", "Needs"]))).await;
    ask(d, record(consent("ShareTravel", &["Travel"]))).await;
    ask(d, Call::NoticeSend { case: case.clone(), form: Box::new(notice()) }).await;
    until(d, &case, |s| !s["facts"]["received"].is_null()).await;
    ask(o, Call::Open { case: case.clone(), message: None }).await;
    let form = AcknowledgeForm {
        contact: contact("Ana P.", "Manager"),
        alternate: contact("Ion C.", "Caseworker"),
        expected_answer: show_day(SystemClock.now() / DAY + 1),
    };
    ask(o, Call::Acknowledge { case: case.clone(), form }).await;
    let answer = AnswerForm {
        answer: text("Accepted"),
        decline_reason: String::new(),
        services: vec![ServiceForm {
            service: text("Shelter"),
            start: show_day(SystemClock.now() / DAY + 14),
            days: 30,
            paid_by: text("Receiver"),
        }],
        conditions: vec![],
        info_requested: vec![],
        conflict_check_done: true,
        language: text("ron"),
        child_place: false,
        contact: Some(contact("Ana P.", "Manager")),
        alternate: Some(contact("Ion C.", "Caseworker")),
    };
    ask(o, Call::Answer { case: case.clone(), form: answer }).await;
    until(d, &case, |s| !s["facts"]["accepted"].is_null()).await;
    case
}

/// The whole journey; the receiver's node is locked in the middle and its sender sees that.
pub(super) async fn journey(region: &mut Region) -> String {
    let case = accepted(region).await;
    let (d, o) = (&region.destination, &region.origin);
    ask(o, Call::Lock).await;
    ask(d, Call::ProfileSend { case: case.clone(), form: profile(), attachments: vec![] }).await;
    until(d, &case, |s| s["their_node_locked"] == true).await;
    let refused = o.ask(Call::CaseShow { case: case.clone() }).await.unwrap_err();
    assert_eq!(refused.code, "CH-K0102", "a locked node showed a case");
    let passphrase = demo_passphrase("ana").as_str().to_owned();
    ask(o, Call::Unlock { login: Some(text("ana")), passphrase }).await;
    until(d, &case, |s| s["their_node_locked"] == false).await;
    until(o, &case, |s| s["messages"].as_array().unwrap().iter().any(|m| m["kind"] == "victim_profile")).await;
    let shown = ask(o, Call::ProfileShow { case: case.clone() }).await.to_string();
    for canary in canaries() {
        assert!(shown.contains(&canary), "the desk that may read it does not show {canary}");
    }

    let planned_arrival = Some(show_time(SystemClock.now() + 3600));
    let form = DepartureForm { outcome: text("Left"), at: None, planned_arrival };
    ask(d, Call::Depart { case: case.clone(), form }).await;
    until(o, &case, |s| s["state"] == "IN_TRANSIT").await;
    let met_by = Some(contact("Ana P.", "Manager"));
    let form = ArrivalForm { result: text("ArrivedMet"), at: None, needs_now: text("None"), met_by };
    ask(o, Call::Arrive { case: case.clone(), form }).await;
    let end = until(d, &case, |s| !s["facts"]["met"].is_null()).await;
    for fact in ["stored", "received", "read", "accepted", "met"] {
        let light = &end["facts"][fact];
        assert!(light["at"].as_u64().unwrap() > 0 && !light["node"].as_str().unwrap().is_empty(), "{fact}: {light}");
    }
    assert_eq!(end["facts"]["accepted"]["for"], "Ana P.");
    assert_eq!(end["risk_annex_missing"], true);
    case
}

/// Every byte of a folder, against every form a text can hide in.
fn search(folder: &Path, forms: &[(String, Vec<u8>)], bytes: &mut u64, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_string_lossy().into_owned();
        found.extend(
            forms.iter().filter(|(c, _)| name.contains(c.as_str())).map(|(c, _)| format!("{c} in a file name")),
        );
        if path.is_dir() {
            search(&path, forms, bytes, found);
        } else if path.is_file() {
            let Ok(content) = std::fs::read(&path) else { continue };
            *bytes += content.len() as u64;
            for (canary, form) in forms {
                if memchr::memmem::find(&content, form).is_some() {
                    found.push(format!("{canary} in {name}"));
                }
            }
        }
    }
}

pub(super) fn forms() -> Vec<(String, Vec<u8>)> {
    use base64::Engine as _;
    let mut forms = Vec::new();
    for canary in canaries() {
        let plain = canary.as_bytes().to_vec();
        let wide: Vec<u8> = canary.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let hex = clearhouse_protocol::ids::hex(&plain).into_bytes();
        let base64 =
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(&plain[..plain.len() / 3 * 3]).into_bytes();
        let escaped = canary.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) });
        let escaped = escaped.collect::<String>().into_bytes();
        let mut all = vec![plain, wide, hex, base64, escaped];
        all.sort_unstable();
        all.dedup();
        for form in all {
            forms.push((canary.clone(), form));
        }
    }
    forms
}

/// Everything that leaves in evidence for a court: entry after entry, and what is behind its base64.
async fn evidence(member: &Member, told: &mut Vec<Vec<u8>>) {
    let signed = ask(member, Call::Status).await["log_signed"].as_u64().unwrap();
    let choose = Call::AuditChoose { case: None, message: None, from: Some(0), to: Some(signed - 1) };
    let chosen = ask(member, choose).await;
    let entries: Vec<u64> = chosen["entries"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert!(entries.len() > 20, "{chosen}");
    let size = chosen["size"].as_u64().unwrap();
    deepen(&chosen, told);
    for part in entries.chunks(256) {
        deepen(&ask(member, Call::AuditEvidence { entries: part.to_vec(), size }).await, told);
    }
}

/// A value as text, and every text in it as the bytes it stands for.
fn deepen(value: &Value, told: &mut Vec<Vec<u8>>) {
    use base64::Engine as _;
    match value {
        Value::String(text) => {
            told.push(text.clone().into_bytes());
            told.extend(base64::engine::general_purpose::STANDARD.decode(text));
        }
        Value::Array(values) => values.iter().for_each(|value| deepen(value, told)),
        Value::Object(fields) => fields.values().for_each(|value| deepen(value, told)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Everything that coordinators and auditors can be told of the journey, in clear: the log's entries, the stretches a
/// coordinator's node was shown, what it found, and the proofs the two ends hold.
async fn told(region: &mut Region) -> Vec<Vec<u8>> {
    let entries = ask(&region.origin, Call::AuditList { from: Some(0), count: None }).await;
    let happened = entries["events"].as_u64().unwrap();
    assert!(entries.to_string().contains("victim profile"), "the journey is not in the log: {entries}");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let logs = ask(&region.coordinator, Call::AuditLogs).await;
        let heard = logs["heard"].as_array().unwrap().iter().find(|log| log["with"] == region.origin.name);
        // The last ones are about the telling itself.
        if heard.is_some_and(|log| log["entries"].as_u64().unwrap() + 24 > happened) {
            break;
        }
        assert!(Instant::now() < deadline, "{happened} entries were not heard: {logs}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut told = vec![entries.to_string().into_bytes()];
    told.push(ask(&region.origin, Call::AuditEntries { from: 0 }).await.to_string().into_bytes());
    told.push(ask(&region.coordinator, Call::AuditReconcile).await.to_string().into_bytes());
    told.push(ask(&region.coordinator, Call::AuditAlarms).await.to_string().into_bytes());
    evidence(&region.origin, &mut told).await;
    region.coordinator.kill();
    let keys = &region.coordinator.made.keys;
    let store = DurableStore::open(&region.coordinator.folder.join(files::STORE)).unwrap().0;
    let ledger = Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap());
    let kept = ledger
        .load(&[Table::Account, Table::Heard, Table::Receipt, Table::Told, Table::Proving, Table::Alarm])
        .unwrap();
    assert!(kept.damaged.is_empty() && kept.rows.iter().any(|row| row.table == Table::Account));
    told.extend(kept.rows.into_iter().filter_map(|row| row.value));
    told
}

#[test]
fn forty_canaries_are_found_nowhere_but_on_the_two_desks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut region = found("keep_content_open = true\nlog_level = \"trace\"\n");
    runtime.block_on(journey(&mut region));
    let told = runtime.block_on(told(&mut region));
    let openings = told.iter().map(Vec::len).sum::<usize>();
    assert!(openings > 20_000, "only {openings} bytes were told");
    for (canary, form) in forms() {
        assert!(told.iter().all(|text| memchr::memmem::find(text, &form).is_none()), "{canary} was told");
    }
    let (mut bytes, mut found) = (0, Vec::new());
    search(&region.folder, &forms(), &mut bytes, &mut found);
    // The coordinator's process has ended.
    for member in [&region.destination, &region.origin] {
        let status = std::fs::read(format!("/proc/{}/environ", member.pid().unwrap())).unwrap_or_default();
        let cmdline = std::fs::read(format!("/proc/{}/cmdline", member.pid().unwrap())).unwrap_or_default();
        for (canary, form) in forms() {
            let seen = [&status, &cmdline].iter().any(|text| memchr::memmem::find(text, &form).is_some());
            assert!(!seen, "{canary} stands in the environment or command line of a process");
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(bytes > 1 << 20, "only {bytes} bytes were searched");
    println!("{bytes} bytes searched for 40 canaries in five forms each: none found");
    // The search itself is tried: a canary put on the disk is found.
    std::fs::write(region.folder.join("planted"), canaries()[7].as_bytes()).unwrap();
    search(&region.folder, &forms(), &mut bytes, &mut found);
    assert_eq!(found.len(), 1);
}

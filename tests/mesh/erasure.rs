//! A case erased at both ends of a real region, over a kill: guarded, waited for, gone from the disk, explained to the
//! coordinators, and told from what an ended case leaves when nobody erases it.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_casework::office::hearing::{Kept, Page};
use clearhouse_node::calls::Call;
use clearhouse_node::setup::files;
use clearhouse_protocol::ids::unhex;
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_store::keyfile::{DeviceSecret, KeyFile, Opened, SlotSecret};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::passphrase::Credential;
use clearhouse_store::vault::Vault;
use clearhouse_store::{DurableStore, Store as _};
use clearhouse_wire::v1::{AuditEvent, Opening};
use memchr::memmem::find;
use prost::Message as _;
use serde_json::Value;

use super::alarm::sign_in;
use super::canaries::{ask, forms, journey};
use super::found;
use super::region::{Member, Region};

/// A coordinator has to cosign, be told and answer on a busy machine.
pub(super) const GONE_SECS: Duration = Duration::from_secs(90);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn erase(case: &str, classes: &[&str]) -> Call {
    Call::CaseErase {
        case: case.to_owned(),
        rule: "RetentionEnded".to_owned(),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        although_open: false,
    }
}

async fn code(member: &Member, call: Call) -> String {
    member.ask(call).await.err().map_or_else(|| "done".to_owned(), |failure| failure.code)
}

/// Opens everything that nobody has opened.
pub(super) async fn read_all(member: &Member) {
    for message in ask(member, Call::Inbox).await["messages"].as_array().unwrap() {
        let id = message["message"].as_str().map(str::to_owned);
        ask(member, Call::Open { case: message["case"].as_str().unwrap().to_owned(), message: id }).await;
    }
}

/// Waits until nothing of the member is on its way any more.
pub(super) async fn settle(member: &Member) {
    let began = Instant::now();
    let under_way = |outbox: &Value| {
        let mut messages = outbox["messages"].as_array().into_iter().flatten();
        // Mail about logs goes on as long as something happens.
        messages.any(|message| message["type"].as_u64().is_none_or(|kind| kind < 101))
    };
    while under_way(&ask(member, Call::Outbox).await) {
        assert!(began.elapsed() < GONE_SECS, "{}", ask(member, Call::Outbox).await);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) async fn decide(member: &Member, call: impl Fn() -> Call) -> Value {
    let began = Instant::now();
    loop {
        match member.ask(call()).await {
            Ok(shown) => return shown,
            // A receipt, or a letter nobody has looked into yet.
            Err(failure) if ["CH-C0703", "CH-C0706"].contains(&failure.code.as_str()) => {}
            Err(failure) => panic!("{} {}", failure.code, failure.text),
        }
        assert!(began.elapsed() < GONE_SECS, "something is on its way for ever");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) async fn gone(member: &Member) {
    let began = Instant::now();
    loop {
        let cases = ask(member, Call::CaseList).await;
        let doctor = ask(member, Call::Doctor).await;
        if cases["cases"].as_array().unwrap().is_empty() {
            assert!(!doctor.to_string().contains("damaged"), "{doctor}");
            return;
        }
        assert!(cases.to_string().contains("BEING_ERASED"), "{cases}");
        assert!(began.elapsed() < GONE_SECS, "{} still has it: {cases}", member.name);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) fn keys(folder: &Path) -> Opened {
    let device = DeviceSecret::open(&folder.join(files::DEVICE)).unwrap();
    let secret = Credential::from_file(&folder.join("credential")).unwrap();
    KeyFile::open(&folder.join(files::KEYS)).unwrap().unlock(&SlotSecret::Credential(&secret), &device).unwrap()
}

/// Everything in a store that opens with the keys there are, once the keys have turned.
fn everything(member: &mut Member) -> Vec<Row> {
    let began = Instant::now();
    loop {
        member.kill();
        let keys = keys(&member.folder);
        let store = DurableStore::open(&member.folder.join(files::STORE)).unwrap().0;
        let ledger = Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap());
        let tables: Vec<Table> = Table::ALL.into_iter().filter(|table| *table != Table::Wrap).collect();
        let loaded = ledger.load(&tables).unwrap();
        assert!(loaded.damaged.is_empty(), "{:?}", loaded.damaged);
        if keys.epoch() == 1 {
            assert!(began.elapsed() < GONE_SECS, "the keys never turned");
            // It was killed between the plan and the turn: the next start goes on.
            drop(ledger);
            tokio::runtime::Handle::current().block_on(async {
                member.start().await.unwrap();
                tokio::time::sleep(Duration::from_secs(3)).await;
            });
            continue;
        }
        let wraps = ledger.store().scan(Table::Wrap as u8, None, 1000).unwrap();
        println!("{}: {} rows, {} wrapped keys", member.name, loaded.rows.len(), wraps.rows.len());
        return loaded.rows;
    }
}

/// The ids of a case that must be in no row any more.
pub(super) async fn ids(member: &Member, case: &str) -> Vec<Vec<u8>> {
    let shown = ask(member, Call::CaseShow { case: case.to_owned() }).await;
    let messages = shown["messages"].as_array().unwrap().iter();
    messages.map(|message| unhex(message["message"].as_str().unwrap()).unwrap()).collect()
}

async fn both_ends(region: &mut Region) {
    let case = journey(region).await;
    region.destination.session = None;
    let records = region.records.clone();
    region.destination.learn(&records).await.unwrap();
    region.destination.employ("mira", "Mira M.", "Manager").await.unwrap();
    let (d, o) = (&region.destination, &region.origin);

    // Refused while a message is unread, at either end; and for who may not.
    assert_eq!(code(o, erase(&case, &[])).await, "CH-C0701");
    assert_eq!(code(d, erase(&case, &[])).await, "CH-C0701");
    assert_eq!(code(o, Call::CaseKeep { case: case.clone() }).await, "CH-C0708");
    let mut wrong = erase(&case, &[]);
    if let Call::CaseErase { rule, .. } = &mut wrong {
        *rule = "BecauseISaySo".to_owned();
    }
    assert_eq!(code(o, wrong).await, "CH-U0109");
    read_all(o).await;
    read_all(d).await;
    settle(o).await;
    settle(d).await;

    // A class first: the case stays, and says so.
    decide(o, || erase(&case, &["Identity"])).await;
    let began = Instant::now();
    loop {
        let shown = ask(o, Call::CaseShow { case: case.clone() }).await;
        if shown["erased_classes"] == serde_json::json!(["Identity"]) {
            break;
        }
        assert!(began.elapsed() < GONE_SECS, "{shown}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let profile = ask(o, Call::ProfileShow { case: case.clone() }).await.to_string();
    assert!(profile.contains("prs_PrimaryLanguage") && !profile.contains("prs_FirstName"), "{profile}");
    settle(o).await;

    // Called off, nothing is erased.
    let of_case = ids(o, &case).await;
    let shown = decide(o, || erase(&case, &[])).await;
    assert_eq!((shown["state"].as_str(), shown["rule"].as_str()), (Some("BEING_ERASED"), Some("RetentionEnded")));
    for call in [Call::ProfileShow { case: case.clone() }, Call::ConsentShow { case: case.clone() }] {
        assert_eq!(code(o, call).await, "CH-C0707");
    }
    ask(o, Call::CaseKeep { case: case.clone() }).await;
    assert_eq!(ids(o, &case).await, of_case);

    // Decided again, and the power goes.
    decide(o, || erase(&case, &[])).await;
    let o = &mut region.origin;
    o.kill();
    o.start().await.unwrap();
    o.session = None;
    o.learn(&records).await.unwrap();
    sign_in(o, "ana").await;
    gone(&region.origin).await;

    // What happened is in the log, and what was of the case verifies and explains nothing.
    let list = ask(&region.origin, Call::AuditList { from: Some(0), count: None }).await;
    let entries = list["entries"].as_array().unwrap();
    let of = |word: &str| entries.iter().filter(|entry| entry["event"] == word).count();
    assert!(of("case erased") > 1 && of("erased") > 20, "{list}");
    assert_eq!((of("erasure decided"), of("erasure called off")), (3, 1));
    assert_eq!((of("received"), of("opened"), of("not readable")), (0, 0, 0), "{list}");
    let erased = entries.iter().find(|entry| entry["event"] == "erased").unwrap()["index"].as_u64().unwrap();
    let proof = ask(&region.origin, Call::AuditProve { index: erased }).await;
    assert!(proof["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));

    // The other end knows, and holds its own.
    let began = Instant::now();
    loop {
        let shown = ask(&region.destination, Call::CaseShow { case: case.clone() }).await;
        let told = shown["alarms"].as_array().unwrap().iter().filter(|word| word["kind"] == "COPY_ERASED");
        match told.collect::<Vec<_>>().as_slice() {
            [word] => break assert_eq!((&word["by"], &word["rule"]), (&"Casa Nova".into(), &"RetentionEnded".into())),
            _ => assert!(began.elapsed() < GONE_SECS, "{shown}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }

    // On what ground her data was shared stays, also of the class that was erased first.
    let stays = ask(&region.origin, Call::CaseConsents { case: case.clone() }).await;
    let lines = stays["histories"][0]["lines"].as_array().unwrap();
    let said: Vec<[&str; 2]> = lines.iter().map(|l| ["said", "purpose"].map(|f| l[f].as_str().unwrap())).collect();
    let profile = |said: &str| lines.iter().find(|l| l["said"] == said && l["purpose"] == "ShareProfile").unwrap();
    for purpose in ["ShareNotice", "ShareProfile", "ShareTravel"] {
        assert!(said.contains(&["Given", purpose]) && said.contains(&["Shared", purpose]), "{stays}");
    }
    assert_eq!(profile("Shared")["data_classes"], serde_json::json!(["Identity", "Needs"]));
    assert!(profile("Shared")["opened"].is_string() && profile("Given")["by"] == "Porto Sicuro", "{stays}");
    assert_eq!(profile("Given")["receiver"], "Casa Nova");

    // The other end erases too, and the coordinators have nothing to ask.
    decide(&region.destination, || erase(&case, &[])).await;
    gone(&region.destination).await;
    let found = ask(&region.coordinator, Call::AuditReconcile).await;
    assert!(!found.to_string().contains("ERASED") && !found.to_string().contains("UNEXPLAINED"), "{found}");

    let_go(region).await;

    for member in [&mut region.origin, &mut region.destination] {
        let rows = tokio::task::block_in_place(|| everything(member));
        let (forms, remembered) = (forms(), [Table::Taken, Table::Mailbox]);
        for row in &rows {
            let value = row.value.as_deref().unwrap_or_default();
            for (canary, form) in &forms {
                assert!(find(value, form).is_none(), "{canary} in a row of {:?}", row.table);
            }
            let names = |id: &&Vec<u8>| find(&row.key, id).is_some() || find(value, id).is_some();
            let named = of_case.iter().find(names);
            assert!(named.is_none() || remembered.contains(&row.table), "a row of {:?} names a message", row.table);
        }
        assert!(!rows.iter().any(|row| [Table::Fact, Table::Document, Table::Erasing].contains(&row.table)));
        assert_eq!(rows.iter().filter(|row| row.table == Table::ConsentHistory).count(), 1);
        // And with the keys of the new epoch the node serves on.
        member.start().await.unwrap();
        assert_eq!(ask(member, Call::Status).await["cases"], "open");
    }
}

/// What the coordinator's disk holds of others' logs: entries it let go of, and what the others say.
fn heard(coordinator: &mut Member) -> (usize, Vec<Opening>) {
    coordinator.kill();
    let keys = keys(&coordinator.folder);
    let store = DurableStore::open(&coordinator.folder.join(files::STORE)).unwrap().0;
    let ledger = Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap());
    let rows = ledger.load(&[Table::Account]).unwrap().rows;
    let pages = rows.iter().map(|row| Page::decode(row.value.as_deref().unwrap()).unwrap());
    let entries: Vec<Kept> = pages.flat_map(|page| page.entries).collect();
    assert!(entries.iter().all(|kept| kept.commitment.len() == 32 && (!kept.is_let_go || kept.opening.is_empty())));
    (entries.iter().filter(|kept| kept.is_let_go).count(), entries.iter().filter_map(Kept::opening).collect())
}

/// The coordinator lets go of what it was told of the case, as soon as nothing is left to find.
async fn let_go(region: &mut Region) {
    let began = Instant::now();
    let of_it = |opening: &Opening| [AuditEvent::AuditOpened, AuditEvent::Released].contains(&opening.event());
    loop {
        let (count, openings) = tokio::task::block_in_place(|| heard(&mut region.coordinator));
        let left = openings.iter().filter(|opening| of_it(opening)).count();
        println!("the coordinator let go of {count} entries, {left} of {} are left", openings.len());
        region.coordinator.start().await.unwrap();
        if count > 20 && left == 0 {
            let kept = openings.iter().filter(|opening| opening.event() == AuditEvent::CaseErased).count();
            assert!(kept > 1, "what explains the rest stays");
            break;
        }
        assert!(began.elapsed() < GONE_SECS, "{left} of {} are still there", openings.len());
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let records = region.records.clone();
    region.coordinator.session = None;
    region.coordinator.learn(&records).await.unwrap();
    let found = ask(&region.coordinator, Call::AuditReconcile).await;
    assert_eq!((&found["findings"], &found["alerts"]), (&0.into(), &serde_json::json!([])), "{found}");
}

#[test]
fn a_case_erased_at_both_ends_is_gone_and_the_coordinators_have_nothing_to_ask() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut region = found("keep_content_open = true\n");
    runtime.block_on(both_ends(&mut region));
}

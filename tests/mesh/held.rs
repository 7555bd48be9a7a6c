//! What was on its way when a backup was made does not leave again by itself: she may have
//! changed her mind since.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use serde_json::Value;

use super::backup::{KEPT_OPEN, block_on, create, restore, said, shelf, take_sheets};
use super::canaries::{ask, consent, notice, staffed, text, until};
use super::found;
use super::region::{Member, Region};

async fn outbox(member: &Member) -> Vec<Value> {
    ask(member, Call::Outbox).await["messages"].as_array().unwrap().clone()
}

/// A notice in a case of its own, sent while nobody is there to take it. The case.
async fn notice_to_nobody(region: &mut Region) -> String {
    let d = &region.destination;
    let case = ask(d, Call::CaseOpen { to: text("Casa Nova") }).await["case"].as_str().unwrap().to_owned();
    ask(d, Call::ConsentRecord { case: case.clone(), form: consent("ShareNotice", &[]) }).await;
    region.origin.kill();
    ask(&region.destination, Call::NoticeSend { case: case.clone(), form: Box::new(notice()) }).await;
    case
}

#[test]
fn a_notice_of_somebody_who_stays_since_the_backup_is_not_sent_by_the_node_that_was_put_back() {
    block_on(async {
        let mut region = found(KEPT_OPEN);
        staffed(&mut region).await;
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.destination, &region.folder));
        let case = notice_to_nobody(&mut region).await;
        region.destination.sign_in("admin").await.unwrap();
        let backup = create(&region.destination, &shelf).await;
        region.destination.sign_in("elena").await.unwrap();
        let d = &region.destination;
        let waiting = outbox(d).await.into_iter().find(|row| row["case"] == case.as_str()).unwrap();
        let message = waiting["message"].as_str().unwrap().to_owned();
        ask(d, Call::Stay { case: case.clone() }).await;

        region.destination.kill();
        std::fs::remove_dir_all(&region.destination.folder).unwrap();
        let file = PathBuf::from(backup["file"].as_str().unwrap());
        let restored = restore(&file, &region.destination.folder, [&sheets[0], &sheets[1]], &[]);
        assert!(restored.status.success(), "{}", said(&restored));
        let records = region.records.clone();
        for member in [&mut region.origin, &mut region.destination] {
            member.session = None;
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        region.origin.sign_in("ana").await.unwrap();
        region.destination.sign_in("elena").await.unwrap();
        let began = Instant::now();
        let ended = loop {
            let row = outbox(&region.destination).await.into_iter().find(|row| row["message"] == message.as_str());
            let row = row.expect("it is gone without a word, or it was answered");
            if row["state"] == "expired" {
                break row;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{row}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(ended["why"].as_str().unwrap().contains("send it again"), "{ended}");
        let doctor = ask(&region.destination, Call::Doctor).await.to_string();
        assert!(doctor.contains("CH-D0229"), "{doctor}");
        let cases = ask(&region.origin, Call::CaseList).await;
        assert!(cases["cases"].as_array().unwrap().is_empty(), "{cases}");
    });
}

#[test]
fn a_notice_that_waits_for_a_node_that_is_away_is_recalled_and_never_arrives() {
    block_on(async {
        let mut region = found(KEPT_OPEN);
        staffed(&mut region).await;
        let case = notice_to_nobody(&mut region).await;
        let d = &region.destination;
        let waiting = outbox(d).await.into_iter().find(|row| row["case"] == case.as_str()).unwrap();
        let message = waiting["message"].as_str().unwrap().to_owned();
        // While an attempt is under way nobody can say that nothing left; it ends soon, and then somebody can.
        let began = Instant::now();
        while let Err(refused) = d.ask(Call::Recall { case: case.clone(), message: message.clone() }).await {
            let row = outbox(d).await.into_iter().find(|row| row["message"] == message.as_str());
            assert!(began.elapsed() < Duration::from_secs(60), "{} {}: {row:?}", refused.code, refused.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let row = outbox(d).await.into_iter().find(|row| row["message"] == message.as_str());
        assert!(row.is_none_or(|row| row["state"] == "recalled"));
        region.origin.session = None;
        region.origin.start().await.unwrap();
        region.origin.learn(&region.records.clone()).await.unwrap();
        region.origin.sign_in("ana").await.unwrap();
        let cases = ask(&region.origin, Call::CaseList).await;
        assert!(cases["cases"].as_array().unwrap().is_empty(), "{cases}");
    });
}

#[test]
fn what_waits_at_a_start_waits_until_a_witness_was_heard_and_doctor_says_so() {
    block_on(async {
        let mut region = found(KEPT_OPEN);
        staffed(&mut region).await;
        let case = notice_to_nobody(&mut region).await;
        region.coordinator.kill();
        region.destination.kill();
        region.destination.session = None;
        region.destination.start().await.unwrap();
        region.destination.sign_in("elena").await.unwrap();
        let is_said =
            async |region: &Region| ask(&region.destination, Call::Doctor).await.to_string().contains("CH-D0232");
        assert!(is_said(&region).await);
        let waits = outbox(&region.destination).await.into_iter().any(|row| row["case"] == case.as_str());
        assert!(waits, "the notice is still here");

        // The coordinator alone: it knows of nothing more, and what waits may go.
        let records = region.records.clone();
        region.coordinator.start().await.unwrap();
        let began = Instant::now();
        while is_said(&region).await {
            assert!(began.elapsed() < Duration::from_secs(60), "a witness answers, and is not heard");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        region.origin.session = None;
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        until(&region.destination, &case, |state| !state["facts"]["received"].is_null()).await;
    });
}

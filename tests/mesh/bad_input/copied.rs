//! Two machines with one copied data folder: each believes to be the node. Row 23 of reliability section 5.
//!
//! Refuses a silent loss: what either of them sent is at its receiver or is shown as unanswered, and
//! one log goes on at one of them alone.

use std::time::Instant;

use clearhouse_node::calls::Call;

use super::super::region::Member;
use super::{Kept, Office, Told, WAIT_MAX, found, runtime, silent};

const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

async fn cases(member: &Member) -> Vec<String> {
    let listed = member.ask(Call::CaseList).await.unwrap();
    listed["cases"].as_array().unwrap().iter().map(|case| case["case"].as_str().unwrap().to_owned()).collect()
}

/// A notice from an office of these two to the origin; its case.
async fn send(office: &Office) -> String {
    let case = office.open_case().await;
    office.consent(&case, "ShareNotice", None).await.unwrap_or_else(|f| panic!("{}", f.text));
    office.notice(&case).await.unwrap_or_else(|f| panic!("{}", f.text));
    case
}

#[test]
fn two_nodes_from_one_copied_folder_are_found_out_and_lose_no_letter_in_silence() {
    runtime().block_on(async {
        let mut region = found("keep_content_open = true\nlog_level = \"debug\"\n");
        let records = region.records.clone();
        for member in region.members() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        region.destination.employ("elena", "Zarnixa R.", "Caseworker").await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        region.destination.kill();
        // Until both have sent, nobody who would find them out is there.
        region.coordinator.kill();
        let mut second = Office::of(&Kept::of(&region.destination.folder));
        let mut first = Office::running_in(&region.destination.folder);
        for office in [&mut first, &mut second] {
            office.start().await.unwrap_or_else(|told| panic!("{}", told.all));
            office.sign_in("elena");
        }
        let (one, other) = (send(&first).await, send(&second).await);
        // Both were sent by a key that the receiver trusts: both are there.
        let began = Instant::now();
        loop {
            let there = cases(&region.origin).await;
            if there.contains(&one) && there.contains(&other) {
                break;
            }
            assert!(began.elapsed() < WAIT_MAX, "a letter is lost: {there:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // The answer finds the one that has the address; the other says that it has none.
        first.until(&one, |shown| !shown["facts"]["received"].is_null()).await;
        let outbox = second.ask(Call::Outbox).await.unwrap();
        let row = outbox["messages"].as_array().unwrap().iter().find(|row| row["case"] == other.as_str());
        assert_eq!(row.unwrap()["state"], "stored there, not answered yet", "{outbox}");
        // One log goes on at one of them alone: the other stops, and says why.
        region.coordinator.start().await.unwrap();
        let began = Instant::now();
        let (stopped, on) = loop {
            if let Some(status) = first.process.as_mut().unwrap().try_wait().unwrap() {
                break ((status, &first), &second);
            }
            if let Some(status) = second.process.as_mut().unwrap().try_wait().unwrap() {
                break ((status, &second), &first);
            }
            if began.elapsed() > WAIT_MAX {
                region.coordinator.session = None;
                region.coordinator.learn(&records).await.unwrap();
                println!("{} {}", first.log(), second.log());
                println!("{}", first.ask(Call::Doctor).await.unwrap());
                println!("{}", second.ask(Call::Doctor).await.unwrap());
                println!("{}", region.coordinator.ask(Call::DirectoryList).await.unwrap());
                panic!("both go on");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let told = Told::of(stopped.0.code().unwrap_or(-1), b"", stopped.1.log().as_bytes());
        told.refused(8, "CH-I0901", &["this folder is an old copy", "Put back the newest copy", "tell your partners"]);
        println!("stopped: {}", if std::ptr::eq(on, &first) { "second" } else { "first" });
        let case = if std::ptr::eq(on, &first) { &one } else { &other };
        assert!(on.run(&["case", "show", case, "--as", "elena"]).exit == 0);
        assert!(cases(&region.origin).await.len() == 2);
        for office in [&first, &second] {
            silent(&office.log());
        }
    });
}

//! `netcheck` as the technician of an office meets it: each step of the way, what is broken, and what to do about it.

use std::net::TcpListener;
use std::process::Command;

use clearhouse_node::calls::Call;
use serde_json::Value;

use super::canaries::ask;
use super::found;
use super::region::{Member, Region};

/// The steps tried to one organisation: name, whether it is well, code.
fn steps(reply: &Value, label: &str) -> Vec<(String, bool, String)> {
    let peer = reply["peers"].as_array().unwrap().iter().find(|peer| peer["label"] == label).unwrap();
    let text = |step: &Value, field: &str| step[field].as_str().unwrap_or_default().to_owned();
    let row = |step: &Value| (text(step, "step"), step["ok"] == true, text(step, "code"));
    peer["steps"].as_array().unwrap().iter().map(row).collect()
}

async fn netcheck(member: &Member, peer: Option<&str>) -> Value {
    ask(member, Call::Netcheck { peer: peer.map(str::to_owned) }).await
}

fn run<F: Future<Output = ()>>(what: impl FnOnce(Region) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(found("keep_content_open = true\nlog_level = \"info\"\n")));
}

#[test]
fn every_step_to_a_node_that_runs_is_well_and_one_that_does_not_run_is_told() {
    run(|mut region| async move {
        let records = region.records.clone();
        for member in [&mut region.destination, &mut region.origin] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let all = netcheck(&region.destination, None).await;
        let ways: Vec<String> =
            steps(&all, "Casa Nova").into_iter().map(|(step, ok, _)| format!("{step} {ok}")).collect();
        let well = ["dns true", "tcp true", "tls true", "key true", "clock true", "mailbox true", "size true"];
        assert_eq!(ways, well, "{all}");
        let (coordinator, one) = ("Regional coordinator", |step: &str, code: &str| (step.into(), false, code.into()));
        assert_eq!(steps(&all, coordinator), [("dns".into(), true, String::new()), one("tcp", "CH-N0202")]);
        assert_eq!((&all["problems"], &all["left_out"]), (&1.into(), &0.into()));
        // Something else answers at that address: not TLS at all.
        let at = ask(&region.destination, Call::DirectoryShow { org: coordinator.into() }).await;
        let at = at["nodes"][0]["endpoints"][0].as_str().unwrap().to_owned();
        let portal = TcpListener::bind(at).unwrap();
        let answers = std::thread::spawn(move || {
            use std::io::Write as _;
            let (mut line, _) = portal.accept().unwrap();
            line.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n").unwrap();
        });
        let told = netcheck(&region.destination, Some(coordinator)).await;
        answers.join().unwrap();
        assert_eq!(steps(&told, coordinator).pop(), Some(one("tls", "CH-N0203")), "{told}");
        assert_eq!(told["peers"].as_array().unwrap().len(), 1);
        assert!(!told.to_string().contains("login.example"), "a peer's words are not repeated");
        // As the technician types it.
        let typed = Command::new(env!("CARGO_BIN_EXE_clearhouse"))
            .args(["netcheck", "--node"])
            .arg(&region.destination.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&typed.stdout);
        assert_eq!(typed.status.code(), Some(3), "{said}");
        assert!(said.contains("PROBLEM  tcp      CH-N0202") && said.contains("1 thing to repair."), "{said}");
    });
}

#[test]
fn a_node_that_does_not_know_ours_and_one_with_another_key_are_told_apart() {
    run(|mut region| async move {
        let records = region.records.clone();
        region.destination.start().await.unwrap();
        region.destination.learn(&records).await.unwrap();
        // It runs, and knows itself alone.
        region.origin.start().await.unwrap();
        let told = netcheck(&region.destination, Some("Casa Nova")).await;
        assert_eq!(steps(&told, "Casa Nova").pop(), Some(("key".into(), false, "CH-N0204".into())), "{told}");
        // Another node answers where it should be: the coordinator's, at the address of the one that is gone.
        region.origin.kill();
        let at = ask(&region.destination, Call::DirectoryShow { org: "Casa Nova".into() }).await;
        let at = at["nodes"][0]["endpoints"][0].as_str().unwrap().to_owned();
        let config = region.coordinator.folder.join("node.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let other = text
            .lines()
            .map(|line| if line.starts_with("listen") { format!("listen = \"{at}\"") } else { line.into() });
        std::fs::write(&config, other.collect::<Vec<_>>().join("\n")).unwrap();
        region.coordinator.start().await.unwrap();
        let told = netcheck(&region.destination, Some("Casa Nova")).await;
        assert_eq!(steps(&told, "Casa Nova").pop(), Some(("key".into(), false, "CH-N0205".into())), "{told}");
    });
}

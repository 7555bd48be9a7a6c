//! A node whose folder was put back from an old image, file of heads and all: nothing in it says that it is old. Its own
//! signature, shown by who cosigned it, stops it before it signs a second history.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use serde_json::Value;

use super::found;
use super::load::{Sent, burst};
use super::notice::directory;
use super::region::Member;

const WAIT: Duration = Duration::from_secs(60);

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, from.metadata().unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn signed(member: &Member) -> u64 {
    member.ask(Call::Status).await.unwrap()["log_signed"].as_u64().unwrap()
}

/// Waits until a head over more than `past` entries has enough witnesses, as the proofs and accounts tell.
async fn heard(coordinator: &Member, name: &str, past: u64) -> u64 {
    let began = Instant::now();
    loop {
        let page = coordinator.ask(Call::AuditLogs).await.unwrap();
        let log = page["heard"].as_array().unwrap().iter().find(|log| log["with"] == name).cloned();
        let log = log.unwrap_or(Value::Null);
        assert_ne!(log["contradicted"], true, "{log}");
        let entries = log["entries"].as_u64().unwrap_or(0);
        if entries > past {
            return entries;
        }
        assert!(began.elapsed() < WAIT, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn attack_31_a_node_put_back_from_an_old_image_signs_nothing_and_stops() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let records = region.records.clone();
        for member in region.members() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let (known, sent) = (directory(&region), Sent::default());
        burst(&known, &region.destination, &region.origin, &sent).await;
        let old = heard(&region.coordinator, "Casa Nova", 10).await;
        region.origin.kill();
        let (folder, image) = (region.origin.folder.clone(), region.origin.folder.with_extension("image"));
        copy(&folder, &image);
        region.origin.start().await.unwrap();
        burst(&known, &region.destination, &region.origin, &sent).await;
        let new = heard(&region.coordinator, "Casa Nova", old + 10).await;

        // The old folder: it starts, because nothing in it is wrong, and its witnesses' word stops it.
        region.origin.kill();
        let kept = folder.with_extension("kept");
        std::fs::rename(&folder, &kept).unwrap();
        std::fs::rename(&image, &folder).unwrap();
        region.origin.session = None;
        let before = std::fs::read(folder.join("log/checkpoint")).unwrap();
        let started = region.origin.start().await;
        let began = Instant::now();
        while started.is_ok() && region.origin.ask(Call::Status).await.is_ok() {
            assert!(began.elapsed() < WAIT, "it goes on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let said = std::fs::read_to_string(folder.join("serve.log")).unwrap();
        assert!(said.contains("this folder is an old copy"), "{said}");
        assert!(std::fs::read(folder.join("log/checkpoint")).unwrap() == before, "it signed");

        // The newest folder goes on where it was, and nobody holds anything against it.
        region.origin.kill();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::rename(&kept, &folder).unwrap();
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.learn(&records).await.unwrap();
        burst(&known, &region.destination, &region.origin, &sent).await;
        heard(&region.coordinator, "Casa Nova", new).await;
        assert!(signed(&region.origin).await >= new);
    });
}

//! A node whose folder was put back from an old image, file of heads and all: nothing in it says that it is old. Its own
//! signature, shown by who cosigned it, stops it before it signs a second history; a coordinator's mirror brings back what
//! is missing of its log.

use std::path::Path;

use clearhouse_node::calls::Call;

use super::account::{at_rest, heard_past};
use super::found;
use super::load::{Sent, burst};
use super::notice::directory;
use super::region::Member;

pub(super) fn copy(from: &Path, to: &Path) {
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

#[test]
fn attack_31_a_node_put_back_from_an_old_image_signs_nothing_and_resumes_from_a_mirror() {
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
        let old = heard_past(&region, &region.origin, 10).await;
        region.origin.kill();
        let (folder, image) = (region.origin.folder.clone(), region.origin.folder.with_extension("image"));
        copy(&folder, &image);
        region.origin.start().await.unwrap();
        burst(&known, &region.destination, &region.origin, &sent).await;
        heard_past(&region, &region.origin, old + 10).await;
        let new = at_rest(&region.origin).await;

        // The old folder, put in the place of the new one, which is kept.
        region.origin.kill();
        let kept = folder.with_extension("kept");
        std::fs::rename(&folder, &kept).unwrap();
        copy(&image, &folder);
        region.origin.session = None;
        let before = std::fs::read(folder.join("log/checkpoint")).unwrap();

        // Without a coordinator, the other witness's word is enough to stop it: it would sign a second history.
        region.coordinator.kill();
        assert!(region.origin.start().await.is_err(), "it serves");
        let said = std::fs::read_to_string(folder.join("serve.log")).unwrap();
        assert!(said.contains("this folder is an old copy"), "{said}");
        assert!(std::fs::read(folder.join("log/checkpoint")).unwrap() == before, "it signed");

        // With one, it takes the log back from the mirror, says so in it, and goes on where it was.
        region.coordinator.start().await.unwrap();
        region.coordinator.session = None;
        region.coordinator.learn(&records).await.unwrap();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let page = region.origin.ask(Call::AuditList { from: Some(0), count: Some(1000) }).await.unwrap();
        let entries = page["entries"].as_array().unwrap();
        let restore = entries.iter().position(|entry| entry["event"] == "restore").unwrap() as u64;
        assert!(restore >= new - 1, "{restore} {new}");
        let doctor = region.origin.ask(Call::Doctor).await.unwrap().to_string();
        assert!(doctor.contains("CH-D0230"), "{doctor}");
        burst(&known, &region.destination, &region.origin, &sent).await;
        heard_past(&region, &region.origin, restore + 10).await;
        assert!(signed(&region.origin).await > restore);
        let found = region.coordinator.ask(Call::AuditReconcile).await.unwrap();
        let about = found["nodes"].as_array().unwrap();
        assert!(about.iter().all(|node| node["finding"] == "PROBING"), "{found}");

        // What was kept is the old copy now.
        region.origin.kill();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::rename(&kept, &folder).unwrap();
        let _ = region.origin.start().await;
        let said = std::fs::read_to_string(folder.join("serve.log")).unwrap();
        assert!(said.contains("old copy"), "{said}");
    });
}

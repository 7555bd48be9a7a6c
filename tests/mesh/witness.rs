//! A coordinator's node cosigns the heads of the others, forgets nothing when it is killed, and is waited for.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, Note, NoteKey};
use serde_json::Value;

use super::found;
use super::old_image::copy;
use super::region::Region;

/// How long a cosigned head may take on a busy machine; a network for training signs one each second.
const COSIGNED_SECS: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Kills of the witness.
const KILLS: u64 = 5;

/// The size of the newest head that carries the coordinator's signature, once it is above `past`.
async fn cosigned(region: &Region, past: u64) -> u64 {
    let coordinator = &region.coordinator.made;
    let name = clearhouse_protocol::audit::witness_name(region.net, coordinator.org, coordinator.node);
    let seed = coordinator.keys.service().witness_seed.expose();
    let public = clearhouse_protocol::keys::SigningKey::from_seed(seed).public();
    let key = NoteKey::new(&name, KeyKind::Witness, &public).unwrap();
    let began = Instant::now();
    loop {
        // Asking is itself an entry, so there is always a next head.
        let page: Value = region.destination.ask(Call::AuditEntries { from: 0 }).await.unwrap_or(Value::Null);
        if let Some(text) = page["checkpoint"].as_str() {
            let note = Note::parse(text.as_bytes()).unwrap();
            let size = Checkpoint::parse(note.text()).unwrap().size;
            if note.signed_by(&key).unwrap().is_some() && size > past {
                return size;
            }
        }
        assert!(began.elapsed() < COSIGNED_SECS, "no cosigned head above {past}: {page}");
        tokio::time::sleep(LOOK_EVERY * 12).await;
    }
}

/// Two offices that know each other, one of them the coordinator, and the size of the first head that it cosigned.
async fn met() -> (Region, u64) {
    let mut region = found("keep_content_open = true\n");
    let records = region.records.clone();
    region.destination.start().await.unwrap();
    region.coordinator.start().await.unwrap();
    region.destination.learn(&records).await.unwrap();
    region.coordinator.learn(&records).await.unwrap();
    let size = cosigned(&region, 0).await;
    (region, size)
}

#[test]
fn a_coordinator_cosigns_every_log_and_goes_on_after_each_kill() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut region, mut size) = met().await;
        let records = region.records.clone();
        for _ in 0..KILLS {
            region.coordinator.kill();
            tokio::time::sleep(LOOK_EVERY).await;
            region.coordinator.start().await.unwrap();
            // It remembers: what it signs next continues what it signed before the kill.
            size = cosigned(&region, size).await;
        }
        // The other side killed: it takes up its own log and its witness where they were.
        region.destination.kill();
        region.destination.start().await.unwrap();
        region.destination.session = None;
        region.destination.learn(&records).await.unwrap();
        cosigned(&region, size).await;
    });
}

/// More entries than one request to cosign takes along.
const AWAY_FOR: u64 = 1_024 + 600;

#[test]
fn a_coordinator_far_behind_mirrors_the_log_before_it_signs_and_a_lost_disk_is_taken_back_from_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut region, old) = met().await;
        let records = region.records.clone();
        region.destination.kill();
        let (folder, kept) = (region.destination.folder.clone(), region.destination.folder.with_extension("image"));
        copy(&folder, &kept);
        region.destination.session = None;
        region.destination.start().await.unwrap();
        region.destination.learn(&records).await.unwrap();
        region.coordinator.kill();
        for _ in 0..AWAY_FOR {
            // Each leaves an entry.
            region.destination.ask(Call::AuditEntries { from: 0 }).await.unwrap();
        }
        region.coordinator.start().await.unwrap();
        let signed = cosigned(&region, old + AWAY_FOR).await;

        // What it signed it has: the folder of before is brought up to it.
        region.destination.kill();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::rename(&kept, &folder).unwrap();
        region.destination.session = None;
        region.destination.start().await.unwrap();
        region.destination.learn(&records).await.unwrap();
        let page = region.destination.ask(Call::AuditList { from: Some(signed - 1), count: Some(1000) }).await.unwrap();
        let entries = page["entries"].as_array().unwrap();
        assert_eq!(entries[0]["event"], "erased", "it came back, and what it says did not: {}", entries[0]);
        assert!(entries.iter().any(|entry| entry["event"] == "restore"), "{page}");
        assert!(cosigned(&region, signed).await > signed);
    });
}

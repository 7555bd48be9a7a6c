//! What a node does by itself when time passes: it reads everything once a day, and erases the prekeys of weeks that
//! nobody needs any more. The program is the one people run; its clocks are moved ahead by `faults/shift.c`.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use clearhouse_protocol::limits::{DAY, HOUR, MINUTE, PREKEY_KEEP_MAX_SECS, WEEK};
use clearhouse_protocol::rows::Table;
use clearhouse_store::changes::{Changes, Put};
use clearhouse_store::{DurableStore, Store as _};
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::behind::behind;
use super::canaries::ask;
use super::erasure::keys;
use super::found;
use super::region::{Member, Region};

/// What is done by a tick has happened a few of them later.
const SOON: Duration = Duration::from_secs(3);
/// On a busy machine.
const LATE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CONTROL: &str = "shift";

/// Moves the clocks of a member's node ahead, from when it was started.
fn shift(member: &Member, secs: u64) {
    let beside = member.folder.join("shift.new");
    std::fs::write(&beside, secs.to_string()).unwrap();
    std::fs::rename(beside, member.folder.join(CONTROL)).unwrap();
}

async fn until(member: &Member, what: &str, done: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let doctor = ask(member, Call::Doctor).await;
        if done(&doctor) {
            return;
        }
        assert!(began.elapsed() < LATE, "{what}: {doctor}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn region(folder: &Path) -> Option<Region> {
    let program = behind(folder, "shift.c", "CLEARHOUSE_SHIFT", CONTROL)?;
    let config = "keep_content_open = true\nlog_level = \"info\"\n";
    Some(Region::found_with(&program, config, false, SystemClock.now()).unwrap())
}

fn run<F: Future<Output = ()>>(what: impl FnOnce(Region) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let Some(region) = region(folder.path()) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(region));
}

#[test]
fn everything_in_the_store_is_read_once_a_day() {
    run(|mut region| async move {
        let node = &mut region.origin;
        node.start().await.unwrap();
        shift(node, DAY - HOUR);
        tokio::time::sleep(SOON).await;
        assert!(ask(node, Call::Doctor).await["scrubbed"].is_null(), "not before a day is over");
        shift(node, DAY + MINUTE);
        until(node, "nothing was read", |doctor| doctor["scrubbed"].is_string()).await;
        let first = ask(node, Call::Doctor).await["scrubbed"].clone();
        shift(node, 2 * DAY - HOUR);
        tokio::time::sleep(SOON).await;
        assert_eq!(ask(node, Call::Doctor).await["scrubbed"], first, "once");
        shift(node, 2 * DAY + 2 * MINUTE);
        until(node, "not read again", |doctor| doctor["scrubbed"] != first).await;
    });
}

/// The weeks of the prekeys in a node's key file, looked at in a copy.
fn weeks(member: &Member) -> Vec<u64> {
    let aside = tempfile::tempdir().unwrap();
    for file in [files::KEYS, files::DEVICE, "credential"] {
        let to = aside.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(member.folder.join(file), to).unwrap();
    }
    keys(aside.path()).content().unwrap().prekeys().keys().copied().collect()
}

#[test]
fn a_node_erases_prekeys_that_are_outlived_once_somebody_else_says_that_the_time_has_passed() {
    run(|mut region| async move {
        let records = region.records.clone();
        for member in [&mut region.origin, &mut region.destination] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
            member.kill();
        }
        let began = SystemClock.now() / WEEK;
        assert_eq!(weeks(&region.origin).first(), Some(&began));
        // Two weeks after this week's prekey was outlived.
        let later = PREKEY_KEEP_MAX_SECS + 3 * WEEK;
        let (o, d) = (&mut region.origin, &mut region.destination);
        shift(o, later);
        o.session = None;
        o.start().await.unwrap();
        tokio::time::sleep(SOON).await;
        assert_eq!(weeks(o).first(), Some(&began), "its own clock alone says so");
        // The other node lives at the same time, signs a new descriptor, and is heard: after so long by a file.
        shift(d, later);
        d.start().await.unwrap();
        tokio::time::sleep(SOON).await;
        // Neither believes its own clock after so long before it hears the other's: here by what it signed.
        let heard = Instant::now();
        for hours in 1.. {
            for node in [&*o, &*d] {
                shift(node, later + hours * (HOUR + MINUTE));
            }
            tokio::time::sleep(SOON).await;
            o.session = None;
            o.learn(&wire::RecordBundle::default()).await.unwrap();
            let exported = ask(d, Call::DirectoryExport { org: None }).await;
            ask(o, Call::DirectoryImport { bundle: exported["bundle"].as_str().unwrap().to_owned() }).await;
            if weeks(o).first() > Some(&began) {
                break;
            }
            assert!(heard.elapsed() < LATE, "the prekeys of past weeks are still there: {:?}", weeks(o));
        }
        let now = (SystemClock.now() + later) / WEEK;
        let left = weeks(o);
        assert!(left.iter().all(|week| (week + 1) * WEEK + PREKEY_KEEP_MAX_SECS + WEEK > now * WEEK), "{left:?}");
        assert!(left.contains(&now), "and those of now are made");
    });
}

#[test]
fn doctor_tells_of_values_that_do_not_open() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut region = found("keep_content_open = true\nlog_level = \"info\"\n");
    runtime.block_on(async {
        let node = &mut region.origin;
        node.start().await.unwrap();
        assert!(!ask(node, Call::Doctor).await.to_string().contains("CH-D0102"));
        node.kill();
        // Sound for the store, and sealed by nobody.
        let mut store = DurableStore::open(&node.folder.join(files::STORE)).unwrap().0;
        let put = Put { table: Table::ConsentHistory as u8, key: [7; 32], value: vec![1; 200] };
        store.commit(&Changes { generation: store.generation(), puts: vec![put], ..Changes::default() }).unwrap();
        drop(store);
        node.start().await.unwrap();
        let doctor = ask(node, Call::Doctor).await;
        let told = doctor["findings"].as_array().unwrap().iter().find(|f| f["code"] == "CH-D0102").unwrap();
        assert!(told["text"].as_str().unwrap().contains("1 values of table ConsentHistory"), "{told}");
        assert_eq!(told["problem"], true);
    });
}

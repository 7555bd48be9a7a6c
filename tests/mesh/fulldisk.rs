//! Fills the disk under the real program. It acknowledges nothing it cannot keep, it does not end, it starts on the full
//! disk, and when there is room it goes on by itself: deposits and the log alike.
//!
//! Runs where `faults/powercut_node.sh` says so, for it needs a disk of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::load::{Sent, again, burst, holds};
use super::powercut::{CUTS, Kind, found_on_disk};
use super::region::Region;

/// Long enough for several heads of a training network.
const TICKS: Duration = Duration::from_secs(4);
/// A head may be signed just before the disk is full; then once more.
const TRIES: usize = 2;
/// How long the log may take to catch up on a busy machine.
const CATCH_UP: Duration = Duration::from_secs(60);

async fn status(region: &Region) -> Value {
    let log = || std::fs::read_to_string(region.origin.folder.join("serve.log")).unwrap_or_default();
    region.origin.ask(Call::Status).await.unwrap_or_else(|e| panic!("the node ended: {}\n{}", e.text, log()))
}

/// Writes until there is no room for another byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for len in [1 << 20, 4096, 1] {
        let piece = vec![7u8; len];
        while file.write_all(&piece).is_ok() {}
    }
    let _ = file.sync_all();
}

/// Waits until a head covers every event.
pub(super) async fn all_signed(region: &Region) {
    let began = Instant::now();
    loop {
        let status = status(region).await;
        if status["log_signed"] == status["events"] && status["events"].as_u64() > Some(0) {
            return;
        }
        assert!(began.elapsed() < CATCH_UP, "the log does not catch up: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_node_on_a_full_disk_lives_starts_and_goes_on_by_itself() {
    if std::env::var(CUTS).is_err() {
        println!("skipped: {CUTS} is not set; tests/faults/powercut_node.sh sets it");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_clearhouse"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut region, known, disk) = found_on_disk(program, 90, Kind::Ext4).await;
        all_signed(&region).await;
        // Something to sign for, and no room to sign it: it stands still between the two.
        let before = Sent::default();
        let filler = region.origin.folder.join("filler");
        for _ in 0..TRIES {
            let _ = std::fs::remove_file(&filler);
            let pid = region.origin.pid().and_then(|p| Pid::from_raw(p.try_into().ok()?)).unwrap();
            burst(&known, &region.destination, &region.origin, &before).await;
            kill_process(pid, Signal::STOP).unwrap();
            fill(&filler);
            kill_process(pid, Signal::CONT).unwrap();
            tokio::time::sleep(TICKS).await;
            let full = status(&region).await;
            if full["log_signed"].as_u64() < full["events"].as_u64() {
                break;
            }
        }
        let full = status(&region).await;
        assert!(full["log_signed"].as_u64() < full["events"].as_u64(), "the log met no full disk: {full}");
        assert!(full["free_bytes"].as_u64() < Some(1 << 20), "{full}");
        let refused = Sent::default();
        burst(&known, &region.destination, &region.origin, &refused).await;
        tokio::time::sleep(TICKS).await;
        holds(&known, &region.destination, &region.origin, &before).await.unwrap();
        holds(&known, &region.destination, &region.origin, &refused).await.unwrap();
        // A start on the full disk serves too.
        region.origin.kill();
        region.origin.start().await.unwrap_or_else(|f| panic!("no start on a full disk: {f:?}"));
        tokio::time::sleep(TICKS).await;
        holds(&known, &region.destination, &region.origin, &before).await.unwrap();
        std::fs::remove_file(&filler).unwrap();
        again(&known, &region.destination, &region.origin, &refused).await;
        all_signed(&region).await;
        println!("a full disk: {} before it, {} tried on it, all there, all signed", before.count(), refused.count());
        region.origin.kill();
        drop(disk);
    });
}

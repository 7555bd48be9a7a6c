//! Kills the real program at random moments under load. What was acknowledged is there afterwards, once.

use std::time::{Duration, Instant};

use clearhouse_node::clock::chance;
use rand_core::Rng as _;

use super::found;
use super::load::{Sent, again, burst, holds, judge};
use super::notice::directory;

/// Kills in one run; `CLEARHOUSE_KILLS` sets another number.
const KILLS: usize = 100;

#[test]
fn a_hundred_kills_under_load_lose_nothing_acknowledged_and_double_nothing() {
    let kills = std::env::var("CLEARHOUSE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // One account deposits everything here: the per-node rate of the door is not what is tried.
        let mut region = found("keep_content_open = true\nlog_level = \"info\"\n");
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let known = directory(&region);
        let sent = Sent::default();
        for round in 0..kills {
            let moment = Duration::from_millis(5 + chance().next_u64() % 120);
            let began = Instant::now();
            let pid = region.origin.pid();
            let killer = async {
                tokio::time::sleep(moment).await;
                kill_now(pid);
            };
            let last = Sent::default();
            tokio::join!(burst(&known, &region.destination, &region.origin, &last), killer);
            region.origin.kill();
            let back = region.origin.start().await.unwrap_or_else(|f| panic!("round {round}: {f:?}"));
            assert!(back < Duration::from_secs(10), "round {round}: {back:?} after {:?}", began.elapsed());
            let there = holds(&known, &region.destination, &region.origin, &last).await;
            there.unwrap_or_else(|what| panic!("round {round}: {what}"));
            again(&known, &region.destination, &region.origin, &last).await;
            sent.absorb(&last);
        }
        region.origin.session = None;
        region.origin.learn(&records).await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let cases = judge(&region.origin, &sent).await.unwrap_or_else(|what| panic!("{what}"));
        let acknowledged = sent.acknowledged().len();
        assert!(acknowledged > kills, "only {acknowledged} deposits were acknowledged: no load");
        println!(
            "{kills} kills: {acknowledged} acknowledged of {} sent, {cases} cases, 0 lost, 0 doubled",
            sent.count()
        );
    });
}

fn kill_now(pid: Option<u32>) {
    let Some(pid) = pid.and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw) else { return };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

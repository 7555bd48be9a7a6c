//! Kills the real program at random moments under load. What was acknowledged is there afterwards, once.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::chance;
use rand_core::Rng as _;

use super::found;
use super::notice::{directory, line, sealed_notice};

/// Kills in one run; `CLEARHOUSE_KILLS` sets another number.
const KILLS: usize = 100;
/// Deposits of one round: below the door's own rate for one node.
const ROUND_MAX: usize = 24;
/// Deposits under way at once.
const AT_ONCE: usize = 8;

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
        let (mut acknowledged, mut sent) = (Vec::<String>::new(), 0usize);
        for round in 0..kills {
            let moment = Duration::from_millis(5 + chance().next_u64() % 120);
            let load = async {
                let Ok(client) = line(&known, &region.coordinator, &region.origin).await else { return (vec![], 0) };
                let mut taken = Vec::new();
                let mut tried = 0;
                loop {
                    let letters: Vec<_> =
                        (0..AT_ONCE).map(|_| sealed_notice(&known, &region.coordinator, &region.origin)).collect();
                    tried += letters.len();
                    let mut under_way = tokio::task::JoinSet::new();
                    for letter in letters {
                        let client = client.clone();
                        under_way.spawn(async move {
                            let (code, letter) = letter;
                            let done = client.deposit(letter.mailbox, letter.digest, letter.bytes).await;
                            done.is_ok().then_some(code)
                        });
                    }
                    let mut broke = false;
                    while let Some(done) = under_way.join_next().await {
                        match done {
                            Ok(Some(code)) => taken.push(code),
                            Ok(None) | Err(_) => broke = true,
                        }
                    }
                    if broke || taken.len() >= ROUND_MAX {
                        return (taken, tried);
                    }
                }
            };
            let began = Instant::now();
            let pid = region.origin.pid();
            let killer = async {
                tokio::time::sleep(moment).await;
                kill_now(pid);
            };
            let ((taken, tried), ()) = tokio::join!(load, killer);
            acknowledged.extend(taken);
            sent += tried;
            region.origin.kill();
            let back = region.origin.start().await.unwrap_or_else(|f| panic!("round {round}: {f:?}"));
            assert!(back < Duration::from_secs(10), "round {round}: {back:?} after {:?}", began.elapsed());
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let rows = loop {
            region.origin.session = None;
            region.origin.learn(&records).await.unwrap();
            let status = region.origin.ask(Call::Status).await.unwrap();
            if status["sealed_letters"] == 0 || Instant::now() > deadline {
                assert_eq!(status["sealed_letters"], 0, "letters were left unopened");
                break status["rows"].as_u64().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let listed = region.origin.ask(Call::CaseList).await.unwrap();
        let codes: Vec<&str> =
            listed["cases"].as_array().unwrap().iter().map(|c| c["case"].as_str().unwrap()).collect();
        let lost: Vec<&String> = acknowledged.iter().filter(|a| !codes.contains(&a.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let distinct: std::collections::BTreeSet<&str> = codes.iter().copied().collect();
        assert_eq!(distinct.len(), codes.len(), "a notice had its effect twice");
        assert!(codes.len() <= sent);
        assert!(acknowledged.len() > kills, "only {} deposits were acknowledged: no load", acknowledged.len());
        println!(
            "{kills} kills: {} acknowledged of {sent} sent, {} cases, {rows} rows, 0 lost, 0 doubled",
            acknowledged.len(),
            codes.len()
        );
    });
}

fn kill_now(pid: Option<u32>) {
    let Some(pid) = pid.and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw) else { return };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

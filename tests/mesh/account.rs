//! A coordinator's node hears every log whole, over kills of either side, and never one that contradicts its head.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use serde_json::Value;

use super::found;
use super::load::{Sent, burst};
use super::notice::directory;
use super::region::{Member, Region};

/// How long the telling may take on a busy machine; a network for training tells each second.
const HEARD_SECS: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longer than some ticks of the region.
const QUIET: Duration = Duration::from_millis(1500);

/// What the coordinator has of each log: name, entries, whether it contradicts itself.
async fn heard(region: &Region) -> Vec<(String, u64, bool)> {
    let page = region.coordinator.ask(Call::AuditLogs).await.unwrap();
    let logs = page["heard"].as_array().unwrap().iter();
    let row = |log: &Value| {
        (
            log["with"].as_str().unwrap().to_owned(),
            log["entries"].as_u64().unwrap(),
            log["contradicted"].as_bool().unwrap(),
        )
    };
    logs.map(row).collect()
}

/// Waits until the coordinator has more than `past` entries of this member's log.
pub(super) async fn heard_past(region: &Region, member: &Member, past: u64) -> u64 {
    let began = Instant::now();
    loop {
        let all = heard(region).await;
        assert!(all.iter().all(|(.., contradicted)| !contradicted), "{all:?}");
        if let Some((_, entries, _)) = all.iter().find(|(name, ..)| name == member.name)
            && *entries > past
        {
            return *entries;
        }
        assert!(began.elapsed() < HEARD_SECS, "{} past {past}: {all:?}", member.name);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until this member has signed nothing new for some ticks, so that whoever cosigns its heads has the newest. How
/// many entries that has.
pub(super) async fn at_rest(member: &Member) -> u64 {
    let began = Instant::now();
    let signed = async || member.ask(Call::Status).await.unwrap()["log_signed"].as_u64().unwrap();
    let mut last = signed().await;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = signed().await;
        if now == last {
            return now;
        }
        assert!(began.elapsed() < HEARD_SECS, "it does not come to rest");
        last = now;
    }
}

async fn events(member: &Member) -> u64 {
    member.ask(Call::AuditLogs).await.unwrap()["events"].as_u64().unwrap()
}

#[test]
fn a_coordinator_hears_every_log_whole_over_kills() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let records = region.records.clone();
        for member in region.members() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let known = directory(&region);
        let sent = Sent::default();
        let mut past = (0, 0);
        for round in 0..3 {
            burst(&known, &region.destination, &region.origin, &sent).await;
            let goal = events(&region.origin).await;
            let again = match round {
                0 => None,
                1 => Some(&mut region.coordinator),
                _ => Some(&mut region.origin),
            };
            if let Some(member) = again {
                member.kill();
                member.start().await.unwrap();
                member.session = None;
                member.learn(&records).await.unwrap();
            }
            // What was recorded before is heard; what the telling itself records follows with the next thing to tell.
            past.0 = heard_past(&region, &region.origin, past.0.max(goal - 1)).await;
            past.1 = heard_past(&region, &region.destination, 0).await;
        }
        assert!(past.0 > 200, "{past:?}: more than two accounts were needed");
        let found = region.coordinator.ask(Call::AuditReconcile).await.unwrap();
        assert_eq!(
            (found["logs"].as_array().map(Vec::len), &found["alerts"]),
            (Some(2), &Value::Array(vec![])),
            "{found}"
        );
        // These notices were sent behind the back of the destination's node, which refuses the receipts: that is seen.
        assert!(found["nodes"].as_array().unwrap().iter().all(|node| node["finding"] == "PROBING"), "{found}");
        let refused = region.origin.ask(Call::AuditReconcile).await.err().unwrap();
        assert_eq!(refused.code, "CH-N0110");
    });
}

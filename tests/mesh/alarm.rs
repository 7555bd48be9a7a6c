//! An arrival is overdue while the coordinator is down and an end of the message goes away: the alarm is raised once, told
//! to each end when it can be, kept over kills, and ended by the word that was missing.

use std::time::{Duration, Instant};

use clearhouse_casework::forms::{ArrivalForm, DepartureForm, show_time};
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::SessionToken;
use clearhouse_protocol::limits::{DAY, HOUR};
use serde_json::Value;

use super::canaries::{accepted, ask, contact, text, until};
use super::found;
use super::region::{Member, Region, demo_passphrase};

/// How long a word may take on a busy machine.
const WAIT: Duration = Duration::from_secs(90);

/// Waits until the coordinator shows one alarm that is as it should be.
async fn the_alarm(region: &Region, done: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let page = ask(&region.coordinator, Call::AuditAlarms).await;
        let alarms = page["alarms"].as_array().unwrap();
        assert!(alarms.len() <= 1, "{page}");
        if let Some(alarm) = alarms.first().filter(|alarm| done(alarm)) {
            return alarm.clone();
        }
        assert!(began.elapsed() < WAIT, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(super) async fn sign_in(member: &mut Member, login: &str) {
    let passphrase = demo_passphrase(login).as_str().to_owned();
    member.session = None;
    let session = ask(member, Call::SignIn { login: text(login), passphrase }).await;
    member.session = session["token"].as_str().map(|token| SessionToken::new(token.to_owned()));
}

fn alarms(case: &Value, kind: &str) -> Vec<Value> {
    case["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["kind"] == kind).cloned().collect()
}

#[test]
fn an_overdue_arrival_alarms_both_ends_over_kills_and_ends_by_the_word_that_was_missing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let records = region.records.clone();
        let case = accepted(&mut region).await;
        assert_eq!(ask(&region.coordinator, Call::AuditAlarms).await["open"], 0);
        region.coordinator.kill();
        let now = SystemClock.now();
        let (left, expected) = (show_time(now - 2 * DAY), show_time(now - DAY - HOUR));
        let form = DepartureForm { outcome: text("Left"), at: Some(left), planned_arrival: Some(expected) };
        ask(&region.destination, Call::Depart { case: case.clone(), form }).await;
        until(&region.origin, &case, |shown| shown["state"] == "IN_TRANSIT").await;
        region.origin.kill();

        // The sender alone says that time is over; the other's account ends before. The coordinator waits for it.
        region.coordinator.start().await.unwrap();
        region.coordinator.session = None;
        region.coordinator.learn(&records).await.unwrap();
        region.origin.start().await.unwrap();
        sign_in(&mut region.origin, "ana").await;
        let raised = the_alarm(&region, |alarm| alarm["from_knows"] == true && alarm["to_knows"] == true).await;
        assert_eq!(
            ["kind", "from", "to"].map(|field| raised[field].as_str().unwrap().to_owned()),
            ["OVERDUE_ARRIVAL", "Porto Sicuro", "Casa Nova"]
        );
        // Nobody asked for it: the coordinator recorded by itself that it found something.
        let own = ask(&region.coordinator, Call::AuditList { from: Some(0), count: None }).await;
        assert!(own["entries"].as_array().unwrap().iter().any(|entry| entry["event"] == "findings made"), "{own}");
        for end in [&region.destination, &region.origin] {
            let shown = until(end, &case, |shown| alarms(shown, "OVERDUE_ARRIVAL").len() == 1).await;
            assert!(alarms(&shown, "OVERDUE_ARRIVAL")[0]["ended"].is_null());
            let list = ask(end, Call::CaseList).await;
            assert_eq!((&list["cases"][0]["alarm"], &list["cases"][0]["overdue"]), (&true.into(), &true.into()));
            assert_eq!(ask(end, Call::Status).await["alarms_heard"], 1);
        }

        // A coordinator that starts again raises nothing twice, and knows who took it up.
        let number = raised["alarm"].as_u64().unwrap();
        ask(&region.coordinator, Call::AuditAlarmTake { alarm: number }).await;
        let unknown = region.coordinator.ask(Call::AuditAlarmTake { alarm: number + 1 }).await.err().unwrap();
        assert_eq!(unknown.code, "CH-N0111");
        region.coordinator.kill();
        region.coordinator.start().await.unwrap();
        region.coordinator.session = None;
        region.coordinator.learn(&records).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let same = the_alarm(&region, |_| true).await;
        assert_eq!((&same["alarm"], &same["ended"]), (&raised["alarm"], &Value::Null));
        assert!(same["taken_by"].as_str().is_some_and(|by| !by.is_empty()));

        let met_by = Some(contact("Ana P.", "Manager"));
        let form = ArrivalForm { result: text("ArrivedMet"), at: None, needs_now: text("None"), met_by };
        ask(&region.origin, Call::Arrive { case: case.clone(), form }).await;
        the_alarm(&region, |alarm| alarm["ended"].is_string()).await;
        for end in [&region.destination, &region.origin] {
            let over = |shown: &Value| alarms(shown, "OVERDUE_ARRIVAL").iter().all(|alarm| alarm["ended"].is_string());
            until(end, &case, over).await;
            // And each end holds the other's word, proved by its log, that time was over.
            until(end, &case, |shown| alarms(shown, "TIME_OVER").len() == 1).await;
        }
    });
}

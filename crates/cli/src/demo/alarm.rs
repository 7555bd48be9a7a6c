//! The alarm: she left, was expected, and nobody says whether she arrived. Both offices' clocks say so in their logs, the
//! coordinator hears it from both and alarms both, without knowing whom it is about.

use std::time::Instant;

use clearhouse_node::calls::Call;
use serde_json::Value;

use super::journey::{WAIT_MAX, wait_for};
use super::region::{Member, Region};
use super::{Failure, Teller};

/// The alarm in a case as shown, if there is one.
fn alarm(shown: &Value) -> Option<&Value> {
    shown["alarms"].as_array()?.iter().find(|alarm| alarm["kind"] == "OVERDUE_ARRIVAL")
}

/// Waits until the coordinator raised the alarm and both offices heard it; an officer takes it up.
pub(super) async fn raised(region: &Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    for end in [&region.destination, &region.origin] {
        wait_for(end, case, |shown| alarm(shown).is_some()).await?;
    }
    let seen =
        of_coordinator(&region.coordinator, |alarm| alarm["from_knows"] == true && alarm["to_knows"] == true).await?;
    let number = seen["alarm"].as_u64().unwrap_or_default();
    region.coordinator.ask(Call::AuditAlarmTake { alarm: number }).await?;
    let text = format!(
        "expected yesterday, and no word of an arrival: the coordinator alarmed {} and {}, who both know; taken up",
        seen["from"].as_str().unwrap_or_default(),
        seen["to"].as_str().unwrap_or_default()
    );
    teller.step("Alarm", &text, Some(began.elapsed()));
    Ok(())
}

/// Waits until the word of the arrival ended it everywhere.
pub(super) async fn ended(region: &Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    for end in [&region.destination, &region.origin] {
        wait_for(end, case, |shown| alarm(shown).is_some_and(|alarm| alarm["ended"].is_string())).await?;
    }
    of_coordinator(&region.coordinator, |alarm| alarm["ended"].is_string()).await?;
    teller.step(
        "All clear",
        "the word of her arrival is in both logs: the alarm ended by itself",
        Some(began.elapsed()),
    );
    Ok(())
}

/// Waits until the coordinator's only alarm is as it should be.
async fn of_coordinator(coordinator: &Member, done: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let page = coordinator.ask(Call::AuditAlarms).await?;
        match page["alarms"].as_array().map(Vec::as_slice) {
            Some([alarm]) if done(alarm) => return Ok(alarm.clone()),
            Some([] | [_]) | None if Instant::now() < deadline => {
                tokio::time::sleep(super::journey::LOOK_EVERY).await;
            }
            Some(_) | None => return Err(Failure::new("CH-E0312", "The coordinator's alarm is not as it should be.")),
        }
    }
}

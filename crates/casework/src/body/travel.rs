//! Departure (M09) and arrival (M10). Refuses a departure without the hour at which silence becomes an alarm, and an
//! arrival that says "met" without saying by whom. Neither has room for a place.

use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1::{Arrival, Departure};

use super::codes::{ArrivalResult, Outcome};
use super::shape::{Checked, FaultKind, absent, code, contact, due, hold, listed};
use crate::deadlines::Rule;
use crate::htcds::codes::List;

/// Longest journey, seconds: a later arrival is a slip of the pen that would silence the alarm.
pub const JOURNEY_MAX_SECS: u64 = 14 * DAY;
/// Longest time between planned arrival and alarm, seconds.
pub const ARRIVAL_GRACE_MAX_SECS: u64 = 3 * DAY;

pub(super) fn check_departure(d: &Departure) -> Checked {
    let outcome = code(&d.outcome, Outcome::parse, "departure.outcome")?;
    hold(d.at > 0, FaultKind::Missing, "departure.at")?;
    match outcome {
        Outcome::Left => {
            hold(d.planned_arrival > 0, FaultKind::Missing, "departure.planned_arrival")?;
            let journey = d.planned_arrival.checked_sub(d.at);
            let sane = journey.is_some_and(|secs| secs <= JOURNEY_MAX_SECS);
            hold(sane, FaultKind::Contradiction, "departure.planned_arrival")?;
            let rules = [Rule::ArrivalConfirm, Rule::ArrivalConfirmChild];
            let alarm = due(d.arrival_due.as_ref(), &rules, "departure.arrival_due")?;
            let grace = alarm.at.checked_sub(d.planned_arrival);
            let sane = grace.is_some_and(|secs| secs <= ARRIVAL_GRACE_MAX_SECS);
            hold(sane, FaultKind::Contradiction, "departure.arrival_due")
        }
        Outcome::DidNotLeave | Outcome::ChoseNotToTravel => {
            absent(d.planned_arrival == 0, "departure.planned_arrival")?;
            absent(d.arrival_due.is_none(), "departure.arrival_due")
        }
    }
}

pub(super) fn check_arrival(a: &Arrival) -> Checked {
    let result = code(&a.result, ArrivalResult::parse, "arrival.result")?;
    hold(a.at > 0, FaultKind::Missing, "arrival.at")?;
    match result {
        ArrivalResult::ArrivedMet => {
            listed(&a.needs_now, List::NeedsNow, "arrival.needs_now")?;
            contact(a.met_by.as_ref(), "arrival.met_by").map(drop)
        }
        ArrivalResult::ArrivedNotMet
        | ArrivalResult::NotArrived
        | ArrivalResult::Diverted
        | ArrivalResult::ReturnedByBorder
        | ArrivalResult::ChoseNotToTravel => {
            absent(a.needs_now.is_empty(), "arrival.needs_now")?;
            absent(a.met_by.is_none(), "arrival.met_by")
        }
    }
}

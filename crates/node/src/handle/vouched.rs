//! What `status` and `doctor` say of those who cosign and mirror this node's log: whether they were heard since the start,
//! and whether a coordinator has what is in it.

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::Office;
use clearhouse_casework::office::telling::AtCoordinators;
use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::limits::UNCOSIGNED_SECS;
use clearhouse_store::Store;
use serde_json::Value;

use super::state::finding_of;
use crate::log::witnesses::Memory;
use crate::owner::World;

/// The code of [`UNASKED`].
const UNASKED_CODE: &str = "CH-D0232";
/// What is said while nobody has said that the folder is the newest.
const UNASKED: &str = "Too few of the nodes that cosign this node's log have answered since it started: what was waiting to \
    leave then waits until they do, and nothing is signed. Receipts and her own word go.";

/// What `status` says of the nodes that cosign this node's log.
pub(super) fn heard(memory: Memory) -> String {
    match memory {
        Memory::Whole => "heard since the start".to_owned(),
        Memory::Unasked => format!("{UNASKED_CODE}: {UNASKED}"),
        Memory::Older { .. } | Memory::Twin { .. } => "this node is about to stop".to_owned(),
    }
}

/// What `doctor` says of them.
pub(super) fn findings<S: Store>(world: &World<S>, memory: Memory, now: u64) -> Vec<Value> {
    let unasked = (memory == Memory::Unasked).then(|| {
        let next = "Check the line: clearhouse netcheck. If this folder was put back from an old copy, phone your partners \
                    before anything goes: ask what they had from this node since.";
        // For a moment that is so at each start, and in an office alone; it is a problem to those whose letter waits.
        let is_problem = !world.office.mail().is_newest(now).is_empty();
        finding_of(UNASKED_CODE, UNASKED.to_owned(), next, is_problem)
    });
    let missing = has_coordinators(&world.office, now).then(|| missing(world)).flatten();
    unasked.into_iter().chain(missing.and_then(|missing| uncosigned(missing, now))).collect()
}

/// Whether a coordinator's node is among those that cosign this node's log.
fn has_coordinators(office: &Office, now: u64) -> bool {
    let directory = office.directory();
    let is_coordinators = |node| directory.org_of(node).is_some_and(|org| directory.is_coordinator(org));
    directory.witnesses(office.me().node, now).into_iter().any(|(node, _)| is_coordinators(node))
}

/// Entries that no coordinator has.
struct Missing {
    /// What the coordinators have.
    known: Option<AtCoordinators>,
    /// How many are missing.
    count: u64,
    /// When the first of them was recorded, as far as that is known; unix seconds.
    since: u64,
}

fn missing<S: Store>(world: &World<S>) -> Option<Missing> {
    let known = world.office.at_coordinators();
    let first = known.map_or(0, |known| known.size);
    let store = world.ledger.store();
    let count = store.event_count().checked_sub(first).filter(|count| *count > 0)?;
    let leaf = store.events(first, 1).ok()?.pop()?;
    let opening = world.ledger.vault().open_event(&leaf).ok().and_then(|row| unpad(&row.opening));
    let since = opening.map_or(0, |opening| opening.time);
    Some(Missing { known, count, since })
}

fn uncosigned(missing: Missing, now: u64) -> Option<Value> {
    let Missing { known, count, since } = missing;
    let waited = now.saturating_sub(since.max(known.map_or(0, |known| known.at)));
    if waited <= UNCOSIGNED_SECS {
        return None;
    }
    let when = known.map_or_else(|| "yet".to_owned(), |known| format!("since {}", show_time(known.at)));
    let text = format!(
        "No coordinator has cosigned this node's log {when}, and {} nowhere else: if this disk is lost, that cannot be taken \
         back, and receipts are not proved.",
        if count == 1 { "1 entry is".to_owned() } else { format!("{count} entries are") },
    );
    let next =
        "Check the line: clearhouse netcheck; and phone a coordinator. Until then put no old copy of this folder back.";
    Some(finding_of("CH-D0231", text, next, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_casework::office::Now;
    use clearhouse_protocol::audit::AuditEvent;
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::limits::{DAY, HOUR};
    use clearhouse_protocol::mail::{FAULT_UNASKED, Outgoing};
    use clearhouse_protocol::rows::{Row, Table, Under};
    use clearhouse_store::MemoryStore;

    use super::*;
    use crate::clock::chance;
    use crate::fixture::world;

    fn commit(world: &mut World<MemoryStore>, step: &clearhouse_casework::office::Step) {
        world.ledger.commit(&step.rows, &step.events, &mut chance()).unwrap();
        world.office.take(step);
    }

    fn happens(world: &mut World<MemoryStore>, region: &Region, time: u64) {
        let mut rng = chance();
        let mut now = Now { time, rng: &mut rng, key: &region.members[1].sign };
        let step = world.office.note(AuditEvent::SignIn, None, &mut now);
        commit(world, &step);
    }

    fn told(world: &World<MemoryStore>, now: u64) -> Option<Value> {
        findings(world, Memory::Whole, now).into_iter().find(|finding| finding["code"] == "CH-D0231")
    }

    #[test]
    fn a_log_that_no_coordinator_has_for_a_day_is_a_finding_counted_from_its_first_entry_alone() {
        let region = Region::with_coordinators(1, 3, 1);
        let mut world = world(&region, 1, region.directory.clone());
        assert_eq!(told(&world, NOW + 9 * DAY), None, "nothing happened yet");
        happens(&mut world, &region, NOW);
        assert_eq!(told(&world, NOW + DAY), None);
        let never = told(&world, NOW + DAY + HOUR).unwrap();
        assert!(never["text"].as_str().unwrap().contains("log yet, and 1 entry is nowhere"), "{never}");
        let size = world.ledger.store().event_count();
        let step = world.office.has_coordinator(size, NOW + HOUR);
        commit(&mut world, &step);
        assert!(world.office.has_coordinator(size, NOW + DAY).rows.is_empty(), "no news");
        assert_eq!(told(&world, NOW + 9 * DAY), None, "a quiet log waits for nobody");
        // Nine days later something happens: it counts from then.
        happens(&mut world, &region, NOW + 9 * DAY);
        assert_eq!(told(&world, NOW + 9 * DAY + HOUR), None);
        let since = told(&world, NOW + 10 * DAY + HOUR).unwrap();
        assert!(since["text"].as_str().unwrap().contains(&show_time(NOW + HOUR)), "{since}");
        // A start finds the row.
        let row = step.rows[0].clone();
        let mut again = crate::fixture::world(&region, 1, region.directory.clone());
        again.office.apply([&row]);
        assert_eq!(again.office.at_coordinators(), Some(AtCoordinators { size, at: NOW + HOUR }));
    }

    #[test]
    fn where_no_coordinator_cosigns_nobody_is_told_to_phone_one_and_who_was_not_heard_is_said() {
        let region = Region::with_coordinators(1, 3, 1);
        // The coordinator's own node: members alone cosign its log.
        let mut own = world(&region, 0, region.directory.clone());
        happens(&mut own, &region, NOW);
        assert_eq!(told(&own, NOW + 9 * DAY), None);
        let unasked = findings(&own, Memory::Unasked, NOW);
        assert!(unasked.len() == 1 && unasked[0]["code"] == UNASKED_CODE, "{unasked:?}");
        assert_eq!(unasked[0]["problem"], false, "nothing waits for them");
        let waiting = Outgoing { fault: FAULT_UNASKED, ..Outgoing::default() };
        let (key, value) = (vec![9; 16], Some(prost::Message::encode_to_vec(&waiting)));
        let row = Row { table: Table::Outbox, key, value, under: Under::Service, must_be_new: false };
        own.office.apply([&row]);
        assert_eq!(findings(&own, Memory::Unasked, NOW)[0]["problem"], true);
        assert!(heard(Memory::Unasked).contains(UNASKED_CODE) && !heard(Memory::Whole).contains("CH-"));
    }
}

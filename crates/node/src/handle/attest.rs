//! A person says that the organisation's entry in the directory is right. Without that word an entry grows stale, and
//! nobody new is entrusted to it.

use clearhouse_casework::forms::show_time;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::ceremony::Attested;
use clearhouse_protocol::directory::RecordFault;
use clearhouse_protocol::limits::ATTESTED_SECS;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use serde_json::json;

use super::records::duty_hours;
use super::{Answer, Handle, failure, not_taken};
use crate::control::ControlFailure;

impl<S: Store + 'static> Handle<S> {
    /// Publishes a descriptor that says when this was attested, and what is new.
    pub(super) async fn attest(
        &self,
        actor: Actor,
        duty: Option<Vec<[u32; 3]>>,
        alternate: Option<String>,
        child_places: Option<bool>,
    ) -> Answer {
        if !actor.role.administers() && actor.role != Role::Manager {
            return Err(failure(
                "CH-R0111",
                "Not done: a manager or an administrator stands by the organisation's entry.",
            ));
        }
        let hours = |[day, from_minute, until_minute]: [u32; 3]| wire::DutyHours { day, from_minute, until_minute };
        let duty = duty.map(|duty| duty.into_iter().map(hours).collect());
        let said = self.owner.decide(move |world, now| {
            let held = world.office.directory().descriptor(world.office.me().node);
            let before = held.map(Attested::of).unwrap_or_default();
            let said = Attested {
                at: now.time,
                duty: duty.unwrap_or(before.duty),
                alternate: alternate.unwrap_or(before.alternate),
                child_places: child_places.or(before.child_places),
            };
            match world.office.attest(&said, &actor, now) {
                Ok(step) => (step, Ok(said)),
                Err(fault) => (Default::default(), Err(fault)),
            }
        });
        let said = said.await.map_err(not_taken)?.map_err(refused)?;
        Ok(json!({
            "schema": "ch.attested/1", "attested": show_time(said.at), "stale_from": show_time(said.at + ATTESTED_SECS),
            "duty": duty_hours(&said), "alternate": said.alternate, "child_places": said.child_places,
        }))
    }
}

fn refused(fault: Option<RecordFault>) -> ControlFailure {
    let Some(fault) = fault else {
        return failure(
            "CH-R0112",
            "Not done: this node is not in the directory yet. Send application.record to your coordinators first.",
        );
    };
    failure(
        "CH-U0114",
        format!(
            "Not done: {fault}. At most 14 stretches of duty hours, the role as one word; and an entry is changed at most \
             twice an hour. Nothing was changed."
        ),
    )
}

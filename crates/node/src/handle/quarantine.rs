//! Letters of senders who were revoked, through the local door: who sent them, what kind they are, and a manager's
//! decision. Shows nothing of what such a letter says before somebody has decided that it counts.

use clearhouse_casework::forms::show_time;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::limits::HOUR;
use clearhouse_protocol::mail::Letter;
use clearhouse_store::Store;
use clearhouse_wire::v1::MessageType;
use serde_json::{Value, json};

use super::show::org_label;
use super::{Answer, Handle, failure, not_taken};
use crate::owner::World;

impl<S: Store + 'static> Handle<S> {
    /// Takes or ends one letter, named by its digest or a beginning of it that only one has.
    pub(super) async fn quarantine_decide(&self, actor: Actor, letter: &str, take: bool) -> Answer {
        if actor.role != Role::Manager {
            return Err(failure(
                "CH-R0113",
                "Not done: a manager decides what becomes of a letter of a revoked sender.",
            ));
        }
        let wanted = letter.trim().to_ascii_lowercase();
        let decided = self.owner.decide(move |world, now| {
            let held = world.office.mail().quarantined();
            let mut named = held.iter().filter(|(digest, _)| digest.to_string().starts_with(&wanted));
            let found = named.next().filter(|_| !wanted.is_empty() && named.next().is_none());
            let step = found.and_then(|(digest, _)| world.office.decide_quarantined(*digest, take, &actor, now));
            let done = step.is_some();
            (step.unwrap_or_default(), done)
        });
        if !decided.await.map_err(not_taken)? {
            let text = "No letter of that id is in quarantine. `clearhouse inbox` shows all, with enough of each id.";
            return Err(failure("CH-N0113", text));
        }
        let (done, next) = if take {
            (
                "the letter is taken",
                "It is opened like any other now: clearhouse inbox. Its sender stays revoked and is told nothing.",
            )
        } else {
            ("the letter is ended, unopened", "If somebody may be on the way all the same, phone the coordinators.")
        };
        Ok(json!({"schema": "ch.done/1", "done": done, "next": next}))
    }
}

/// The letters that wait for a decision: what their signer said of them, and nothing of what they say.
pub(super) fn waiting<S: Store>(world: &World<S>) -> Vec<Value> {
    world.office.mail().quarantined().into_iter().map(|held| row(world, held)).collect()
}

fn row<S: Store>(world: &World<S>, (digest, letter): (Digest, &Letter)) -> Value {
    let held = letter.quarantine.clone().unwrap_or_default();
    let from = OrgId::try_from(held.org.as_slice()).map(|org| org_label(world, org)).unwrap_or_default();
    let kind = i32::try_from(held.msg_type).ok().and_then(|kind| MessageType::try_from(kind).ok());
    json!({
        "letter": digest.to_string(), "from": from, "kind": kind.map(|kind| kind.as_str_name().to_ascii_lowercase()),
        "signed": show_time(held.created), "came": show_time(letter.stored_hour * HOUR),
        "since": show_time(held.since), "ends": show_time(letter.expires),
    })
}

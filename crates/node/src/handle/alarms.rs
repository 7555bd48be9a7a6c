//! Alarms through the local door: at a coordinator what was raised, whom to phone, who took it up and whether both ends
//! know. Names organisations and days, never a message.

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::alarms::{End, Raised, party};
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::alarm::AlarmKind;
use clearhouse_protocol::ids::Digest;
use clearhouse_store::Store;
use serde_json::{Value, json};

use super::audit::may_read;
use super::show::org_label;
use super::{Answer, Handle, failure, not_taken};
use crate::owner::World;

impl<S: Store + 'static> Handle<S> {
    /// The alarms, those that go on first and the oldest of them on top.
    pub(super) async fn alarms(&self, actor: &Actor) -> Answer {
        may_read(actor)?;
        let shown = self.owner.look(|world| {
            let mut alarms: Vec<&Raised> = world.office.raised().collect();
            alarms.sort_by_key(|raised| (raised.ended_at > 0, raised.raised_at, raised.entry));
            let rows: Vec<Value> = alarms.into_iter().map(|raised| alarm(world, raised)).collect();
            json!({"schema": "ch.alarms/1", "open": world.office.alarms_open().0, "alarms": rows})
        });
        shown.await.map_err(not_taken)
    }

    /// A person takes an alarm up. Everybody who works at a coordinator may: somebody has to.
    pub(super) async fn alarm_take(&self, actor: Actor, entry: u64) -> Answer {
        let taken = self.owner.decide(move |world, now| {
            let step = world.office.take_up(entry, &actor, now);
            let known = step.is_some();
            (step.unwrap_or_default(), known)
        });
        if !taken.await.map_err(not_taken)? {
            return Err(failure(
                "CH-N0111",
                "There is no alarm of this number here. `clearhouse audit alarms` shows all.",
            ));
        }
        Ok(json!({
            "schema": "ch.done/1", "done": format!("alarm {entry} is taken up"),
            "next": "Phone both organisations. The alarm ends by itself when the word that is missing is in a log.",
        }))
    }
}

fn alarm<S: Store>(world: &World<S>, raised: &Raised) -> Value {
    let label = |bytes: &[u8]| party(bytes).map(|(org, _)| org_label(world, org));
    let time = |at: u64| (at > 0).then(|| show_time(at));
    json!({
        "alarm": raised.entry, "kind": kind_word(raised.kind()), "from": label(&raised.from), "to": label(&raised.to),
        "since": show_time(raised.since), "raised": show_time(raised.raised_at),
        "taken": time(raised.taken_at), "taken_by": raised.taken_by, "ended": time(raised.ended_at),
        "from_knows": world.office.alarm_reached(raised, End::Sender),
        "to_knows": world.office.alarm_reached(raised, End::Other),
    })
}

fn kind_word(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::OverdueArrival => "OVERDUE_ARRIVAL",
        AlarmKind::UnansweredNotice => "UNANSWERED",
        AlarmKind::Unspecified => "",
    }
}

/// What coordinators, and the other end, said about an envelope of a case.
pub(super) fn said_about<S: Store>(world: &World<S>, digest: Digest) -> Vec<Value> {
    let office = &world.office;
    let by = |node| office.directory().org_of(node).map(|org| org_label(world, org));
    let heard = office.alarms_about(digest).map(|(node, heard)| {
        let kind = AlarmKind::try_from(heard.kind).unwrap_or(AlarmKind::Unspecified);
        let ended = (heard.ended_at > 0).then(|| show_time(heard.ended_at));
        json!({
            "kind": kind_word(kind), "by": by(node), "since": show_time(heard.since),
            "heard": show_time(heard.heard_at), "ended": ended,
        })
    });
    let missed = office.missed_about(digest).map(|(node, missed)| {
        let (since, heard) = (show_time(missed.at), show_time(missed.proved_at));
        json!({"kind": "TIME_OVER", "by": by(node), "since": since, "heard": heard, "ended": null})
    });
    let erased = office.theirs_erased(digest).map(|(node, erased)| {
        let at = show_time(erased.heard_at);
        json!({"kind": "COPY_ERASED", "by": by(node), "since": at, "heard": at, "ended": null, "rule": erased.rule})
    });
    heard.chain(missed).chain(erased).collect()
}

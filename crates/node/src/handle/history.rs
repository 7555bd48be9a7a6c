//! What stays of erased cases through the local door: the history of their consents, for whoever has a case's whole code
//! from paper. Refuses to list them: a list of erased cases would be a list of persons.

use clearhouse_casework::consent::history::{History, Line};
use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::history::may_see;
use clearhouse_casework::office::{Now, Step};
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use prost::Message as _;
use serde_json::{Value, json};

use super::show::org_label;
use super::{Answer, Handle, failure, not_taken};
use crate::clock::Chance;
use crate::control::ControlFailure;
use crate::owner::World;

impl<S: Store + 'static> Handle<S> {
    /// What stays of the cases erased under this code. That somebody looked is an entry of the log.
    pub(super) async fn case_consents(&self, actor: Actor, code: String) -> Answer {
        if !may_see(&actor) {
            return Err(failure("CH-R0110", "Not done: what stays of erased cases is for a manager or an auditor."));
        }
        let found = self.owner.decide(move |world, now: &mut Now<'_, Chance>| match histories(world, &code) {
            Ok(found) => (world.office.note(AuditEvent::LocalAct, Some(&actor), now), Ok(found)),
            Err(failure) => (Step::default(), Err(failure)),
        });
        let histories = found.await.map_err(not_taken)??;
        Ok(json!({"schema": "ch.consent-history/1", "histories": histories}))
    }
}

fn histories<S: Store>(world: &World<S>, code: &str) -> Result<Vec<Value>, ControlFailure> {
    let keys = world.office.histories(code);
    if keys.is_empty() {
        return Err(failure(
            "CH-N0112",
            "Nothing stays under this code: no case with consents was erased under it, or the time is over. Give the whole \
             code, as it stands in her file; of a case that is still here, `clearhouse consent show` tells.",
        ));
    }
    let read = |key: &Vec<u8>| {
        let bytes = world.ledger.read(Table::ConsentHistory, key).ok().flatten()?;
        Some(history(world, &History::decode(bytes.as_slice()).ok()?))
    };
    let damaged = || {
        failure("CH-I0104", "What stays of this case does not open here. Nothing was changed. Run `clearhouse doctor`.")
    };
    keys.iter().map(|key| read(key).ok_or_else(damaged)).collect()
}

fn history<S: Store>(world: &World<S>, history: &History) -> Value {
    let lines: Vec<Value> = history.lines.iter().map(|said| line(world, said)).collect();
    json!({
        "erased": show_time(history.erased_at), "rule": history.rule, "role": history.role,
        "until": show_time(history.until), "incomplete": history.incomplete, "lines": lines,
    })
}

fn line<S: Store>(world: &World<S>, line: &Line) -> Value {
    let label = |org: &[u8]| OrgId::try_from(org).ok().map(|org| org_label(world, org));
    let time = |at: u64| (at > 0).then(|| show_time(at));
    json!({
        "said": line.said, "time": show_time(line.at), "purpose": line.purpose, "data_classes": line.classes,
        "receiver": label(&line.receiver), "given_by": line.given_by, "form": line.form, "expires": time(line.expires),
        "role": line.role, "by": label(&line.org), "opened": time(line.opened),
    })
}

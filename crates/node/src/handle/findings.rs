//! Reconciliation through the local door: a person at a coordinator asks what is missing, and what is found is signed
//! and recorded in the coordinator's own log, so that coordinators are held to account the same way.

use clearhouse_casework::forms::{show_day, show_time};
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::reconcile::Policy;
use clearhouse_protocol::reconcile::coarse::{Figures, Tally};
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_protocol::signed::sign;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};

use super::audit::may_read;
use super::show::org_label;
use super::{Answer, Handle, failure, not_taken};
use crate::owner::World;
use crate::reconcile::{ReconcileError, Reconciled, reconcile};

impl<S: Store + 'static> Handle<S> {
    /// Reconciles, signs, records, answers.
    pub(super) async fn audit_reconcile(&self, actor: Actor) -> Answer {
        may_read(&actor)?;
        let coordinator = self.owner.look(|world| world.office.directory().is_coordinator(world.office.me().org));
        if !coordinator.await.map_err(not_taken)? {
            return Err(failure(
                "CH-N0110",
                "Logs are held against each other at a coordinator. Here is this organisation's own: `clearhouse audit list`.",
            ));
        }
        let now = self.clock.now();
        let found = reconcile(&self.owner, Policy::default(), now).await.map_err(|error| match error {
            ReconcileError::NotTaken(stopping) => not_taken(stopping),
            error @ (ReconcileError::Page { .. } | ReconcileError::Bug) => {
                failure("CH-I0103", format!("{error}. Nothing was changed. Run `clearhouse doctor`."))
            }
        })?;
        let sign_it = move |world: &World<S>, then: &mut clearhouse_casework::office::Now<'_, crate::clock::Chance>| {
            let told = told(world, &found, now);
            let signed = sign(media::FINDINGS, told.to_string().into_bytes(), then.key);
            let digest = Digest(sha256(&signed.payload));
            let happening = Happening { digest: Some(digest), ..Happening::of(AuditEvent::FindingsMade) };
            let mut step = world.office.note_happening(&happening.by(actor.role.code()), then);
            step.rows.push(findings_row(digest, &signed));
            (step, (told, digest))
        };
        let (mut told, digest) = self.owner.decide(sign_it).await.map_err(not_taken)?;
        told["signed"] = json!(digest.to_string());
        Ok(told)
    }
}

/// What may be shown, in plain values: organisations, weeks and counts.
fn told<S: Store>(world: &World<S>, found: &Reconciled, now: u64) -> Value {
    let label = |org: OrgId| org_label(world, org);
    let alerts = found.coarse.alerts.iter();
    let alerts: Vec<Value> =
        alerts.map(|a| json!({"finding": a.kind.name(), "from": label(a.from), "to": label(a.to)})).collect();
    let nodes = found.coarse.nodes.iter();
    let nodes: Vec<Value> =
        nodes.map(|n| json!({"finding": n.kind.name(), "with": label(n.org), "week": n.week.map(week)})).collect();
    let corridors = found.coarse.corridors();
    let corridors: Vec<Value> = corridors.map(|(from, to, f)| corridor(&label(*from), &label(*to), f)).collect();
    let logs = found.logs.iter();
    let logs: Vec<Value> =
        logs.map(|l| json!({"with": label(l.party.0), "entries": l.entries, "fits": l.up_to})).collect();
    json!({
        "schema": "ch.audit-reconcile/1", "time": show_time(now), "logs": logs, "alerts": alerts, "nodes": nodes,
        "corridors": corridors, "waiting": found.waiting, "findings": found.findings,
    })
}

fn corridor(from: &str, to: &str, figures: &Figures) -> Value {
    match figures {
        Figures::Few { overdue } => json!({"from": from, "to": to, "overdue": overdue}),
        Figures::Counted { open, classes, oldest_week, findings } => {
            let class = |(class, count): (&u32, &u64)| {
                let known = wire::MessageType::try_from(i32::try_from(*class).unwrap_or(0));
                let name = known.map_or_else(|_| class.to_string(), |t| t.as_str_name().to_lowercase());
                json!({"class": name, "open": count})
            };
            let tally = |(kind, tally): (&clearhouse_protocol::reconcile::Kind, &Tally)| json!({"finding": kind.name(), "count": tally.count, "week": tally.week.map(week)});
            json!({
                "from": from, "to": to, "open": open, "oldest": oldest_week.map(week),
                "classes": classes.iter().map(class).collect::<Vec<_>>(),
                "findings": findings.iter().map(tally).collect::<Vec<_>>(),
            })
        }
    }
}

/// The Monday a week began.
fn week(monday: u64) -> String {
    show_day(monday / DAY)
}

/// Signed findings are kept as evidence, by the digest that the log's entry names.
fn findings_row(digest: Digest, signed: &wire::Signed) -> Row {
    Row {
        table: Table::Receipt,
        key: digest.to_vec(),
        value: Some(signed.encode_to_vec()),
        under: Under::Evidence,
        must_be_new: false,
    }
}

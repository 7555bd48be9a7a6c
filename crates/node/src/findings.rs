//! What a coordinator found, as it may be shown: organisations, weeks and counts, signed and recorded in the coordinator's
//! own log, so that coordinators are held to account the same way (protocol section 7.8).
//!
//! Refuses whatever is exact: it takes what reconciliation made coarse.

use clearhouse_casework::forms::{show_day, show_time};
use clearhouse_casework::office::{Now, Step};
use clearhouse_casework::roles::Role;
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::reconcile::Kind;
use clearhouse_protocol::reconcile::coarse::{Figures, Tally};
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_protocol::signed::sign;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};

use crate::clock::Chance;
use crate::handle::org_label;
use crate::owner::World;
use crate::reconcile::Reconciled;

/// Signs what was found, keeps it as evidence, and notes that it was made: by somebody in this role, or by the node
/// itself. The digest by which the log's entry names it.
pub(crate) fn record<S: Store>(
    world: &World<S>,
    told: &Value,
    role: Option<Role>,
    now: &mut Now<'_, Chance>,
) -> (Step, Digest) {
    let signed = sign(media::FINDINGS, told.to_string().into_bytes(), now.key);
    let digest = Digest(sha256(&signed.payload));
    let happening = Happening { digest: Some(digest), ..Happening::of(AuditEvent::FindingsMade) };
    let happening = happening.by(role.map_or("", Role::code));
    let mut step = world.office.note_happening(&happening, now);
    step.rows.push(findings_row(digest, &signed));
    (step, digest)
}

/// The part of what may be shown that changes only with what was found; by default, nothing.
#[derive(Clone, PartialEq)]
pub(crate) struct Gist([Value; 3]);

impl Default for Gist {
    fn default() -> Self {
        Self([json!([]), json!([]), json!([])])
    }
}

impl Gist {
    /// Of what [`told`] says.
    pub(crate) fn of(told: &Value) -> Self {
        Self(["alerts", "nodes", "corridors"].map(|part| told[part].clone()))
    }
}

/// What may be shown, in plain values: organisations, weeks and counts.
pub(crate) fn told<S: Store>(world: &World<S>, found: &Reconciled, now: u64) -> Value {
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
            let tally = |(kind, tally): (&Kind, &Tally)| json!({"finding": kind.name(), "count": tally.count, "week": tally.week.map(week)});
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

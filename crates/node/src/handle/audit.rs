//! The log through the local door: what happened, by roles and organisations; proofs; the entries for a folder that
//! strangers check. An auditor reads all of it, who works with cases as a mere caseworker none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_casework::forms::{show_day, show_time};
use clearhouse_casework::office::hearing::Heard;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::audit::{AuditEvent, unpad};
use clearhouse_protocol::ids::{Digest, NodeId, OrgId};
use clearhouse_store::Store;
use clearhouse_store::vault::VaultError;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};

use super::show::org_label;
use super::{Answer, Handle, failure, not_taken};
use crate::control::ControlFailure;
use crate::log::bundle::words;
use crate::owner::World;

/// Entries of one answer.
const ENTRIES_MAX: u64 = 1000;

impl<S: Store + 'static> Handle<S> {
    /// Entries from `from` on, opened; without it the newest.
    pub(super) async fn audit_list(&self, actor: &Actor, from: Option<u64>, count: Option<u64>) -> Answer {
        may_read(actor)?;
        let count = count.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
        let signed = self.log.head().map_or(0, |head| head.checkpoint.size);
        let listed = self.owner.look(move |world| {
            let total = world.ledger.store().event_count();
            let from = from.unwrap_or_else(|| total.saturating_sub(count));
            let page = world.ledger.store().events(from, usize::try_from(count).unwrap_or(usize::MAX));
            let entries: Vec<Value> = page?.iter().map(|leaf| entry(world, leaf, signed)).collect();
            let next = from + entries.len() as u64;
            let next = (next < total).then_some(next);
            Ok(json!({"schema": "ch.audit/1", "entries": entries, "events": total, "signed": signed, "next": next}))
        });
        listed.await.map_err(not_taken)?.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))
    }

    /// The proof that an entry is in the log.
    pub(super) async fn audit_prove(&self, actor: &Actor, index: u64) -> Answer {
        may_read(actor)?;
        let log = self.log.clone();
        let proof = tokio::task::spawn_blocking(move || log.prove(index)).await;
        let proof = proof.map_err(|_| damaged("an error of this program"))?.map_err(|e| damaged(&e.to_string()))?;
        let proof = proof.ok_or_else(|| {
            failure(
                "CH-N0108",
                "No signed head covers this entry yet, or there is none of this number. Try again after the next one.",
            )
        })?;
        Ok(json!({"schema": "ch.audit-proof/1", "index": index, "proof": proof.to_string()}))
    }

    /// A page of commitments for a folder. The first page fixes the head, names the key and brings the records, and
    /// that somebody takes the log away is an entry of the log.
    pub(super) async fn audit_entries(&self, actor: Actor, from: u64) -> Answer {
        may_read(&actor)?;
        if from == 0 {
            let note = move |world: &World<S>, now: &mut clearhouse_casework::office::Now<'_, crate::clock::Chance>| {
                (world.office.note(AuditEvent::Export, Some(&actor), now), ())
            };
            self.owner.decide(note).await.map_err(not_taken)?;
        }
        let head = self.log.head().ok_or_else(|| {
            failure("CH-N0109", "The log has no signed head yet. The first comes within a minute after the start.")
        })?;
        let (size, now) = (head.checkpoint.size, self.clock.now());
        let page = self.owner.look(move |world| {
            let count = usize::try_from(size.saturating_sub(from).min(ENTRIES_MAX)).unwrap_or(0);
            let page = world.ledger.store().events(from, count)?;
            let commitments = page.iter().flat_map(|leaf| leaf.commitment).collect::<Vec<u8>>();
            let (directory, me) = (world.office.directory(), world.office.me());
            let key = directory.log_key(me.node).map(|key| key.to_string());
            let mut records = directory.bundle(me.org);
            // Those who may have cosigned, so that their signatures can be told from others.
            for (node, _) in directory.witnesses(me.node, now) {
                let org = directory.org_of(node);
                records.records.extend(org.map(|org| directory.bundle(org).records).unwrap_or_default());
            }
            // Prekeys say nothing about a log.
            records.prekeys.clear();
            Ok((commitments, key, records.encode_to_vec()))
        });
        let page = page.await.map_err(not_taken)?;
        let (commitments, key, records) =
            page.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))?;
        Ok(json!({
            "schema": "ch.audit-entries/1", "from": from, "size": size, "checkpoint": head.note.to_string(),
            "key": key, "commitments": STANDARD.encode(commitments), "records": STANDARD.encode(records),
        }))
    }
}

impl<S: Store + 'static> Handle<S> {
    /// The logs heard of here, and who heard of this one.
    pub(super) async fn audit_logs(&self, actor: &Actor) -> Answer {
        may_read(actor)?;
        let logs = self.owner.look(|world| {
            let heard: Vec<Value> = world.office.heard().map(|(node, heard)| log_heard(world, node, heard)).collect();
            let told = world.office.told().into_iter();
            let told: Vec<Value> = told
                .map(|standing| {
                    let org = world.office.directory().org_of(standing.node);
                    json!({
                        "with": org.map(|org| org_label(world, org)), "node": standing.node.to_string(),
                        "took": standing.took, "refused": standing.refused,
                    })
                })
                .collect();
            json!({"schema": "ch.audit-logs/1", "heard": heard, "told": told, "events": world.office.event_count()})
        });
        logs.await.map_err(not_taken)
    }
}

fn log_heard<S: Store>(world: &World<S>, node: NodeId, heard: &Heard) -> Value {
    let org = OrgId::try_from(heard.org.as_slice()).ok().map(|org| org_label(world, org));
    json!({
        "with": org, "node": node.to_string(), "log": heard.origin, "entries": heard.size,
        "head": heard.head_size, "cosigned": (heard.head_at > 0).then(|| show_time(heard.head_at)),
        "heard": show_time(heard.heard_at), "contradicted": !heard.contradiction.is_empty(),
    })
}

pub(super) fn may_read(actor: &Actor) -> Result<(), ControlFailure> {
    match actor.role {
        Role::Auditor | Role::Administrator | Role::Manager => Ok(()),
        Role::Caseworker | Role::ChildOfficer => {
            Err(failure("CH-R0108", "Not done: the log is read by an auditor, an administrator or a manager."))
        }
    }
}

pub(super) fn damaged(why: &str) -> ControlFailure {
    failure("CH-I0102", format!("The log cannot be read here: {why}. Nothing was changed. Run `clearhouse doctor`."))
}

/// One entry in plain values. One whose opening does not open says so and is still an entry.
pub(super) fn entry<S: Store>(world: &World<S>, leaf: &clearhouse_store::EventLeaf, signed: u64) -> Value {
    let covered = leaf.index < signed;
    let opened = match world.ledger.vault().open_event(leaf) {
        // It verifies like any other, and explains nothing.
        Err(VaultError::Erased) => return json!({"index": leaf.index, "event": "erased", "signed": covered}),
        opened => opened.ok().and_then(|row| unpad(&row.opening)),
    };
    let Some(opening) = opened else {
        return json!({"index": leaf.index, "event": "not readable", "signed": covered});
    };
    let peer = OrgId::try_from(opening.peer_org.as_slice()).ok().map(|org| org_label(world, org));
    let short = |digest: &[u8]| Digest::try_from(digest).ok().map(|d| d.to_string()[..16].to_owned());
    let class = wire::MessageType::try_from(i32::try_from(opening.msg_class).unwrap_or(0)).ok();
    json!({
        "index": leaf.index,
        "time": show_time(opening.time),
        "event": words(opening.event().as_str_name()),
        "with": peer,
        "message": class.filter(|c| *c as i32 != 0).map(|c| words(c.as_str_name())),
        "due": (opening.due_day > 0).then(|| show_day(opening.due_day)),
        "role": Some(opening.actor_role.as_str()).filter(|role| !role.is_empty()),
        "envelope": short(&opening.envelope_digest),
        "answers": short(&opening.ref_digest),
        "signed": covered,
    })
}

//! Single entries of the log through the local door: one shown with how well it is proved, and some taken away as
//! evidence with the openings of exactly those.
//!
//! Refuses to choose by a case for somebody who may not see cases: which messages make a case is content.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::Now;
use clearhouse_casework::office::desk::Stop;
use clearhouse_casework::refusal::{Moment, Refusal};
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::audit::{AuditEvent, unpad};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::proofs::concerns;
use clearhouse_protocol::rows::EventRow;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};

use super::audit::{damaged, entry, may_read};
use super::show::{find_case, org_label};
use super::{Answer, Handle, failure, not_taken, stopped};
use crate::clock::Chance;
use crate::control::ControlFailure;
use crate::log::Head;
use crate::log::bundle::ENTRIES_MAX;
use crate::owner::World;

/// Entries of one answer with their openings: with the longest paths there can be, they fit a frame of the local door.
const EVIDENCE_MAX: usize = 256;
/// Entries looked through in one turn of the owner.
const PAGE: u64 = 1000;
/// Digits of a message's number that are asked for at least: as many as are shown.
const DIGITS_MIN: usize = 16;

/// What somebody wants evidence of.
enum Wanted {
    /// What concerns these envelopes.
    Messages(BTreeSet<Digest>),
    /// What concerns the envelope whose number begins so.
    Message(String),
    /// These entries, both ends included.
    Range(u64, u64),
}

impl<S: Store + 'static> Handle<S> {
    /// One entry, and how well it is proved.
    pub(super) async fn audit_show(&self, actor: &Actor, index: u64) -> Answer {
        may_read(actor)?;
        let (head, witnessed) = (self.log.head(), self.log.witnessed());
        let covers = |head: &Head| index < head.checkpoint.size;
        let (head, witnessed) = (head.filter(covers), witnessed.filter(covers));
        let now = self.clock.now();
        let shown = self.owner.look(move |world| {
            let leaf = world.ledger.store().events(index, 1)?.into_iter().next();
            let Some(leaf) = leaf else { return Ok(None) };
            let signed = head.is_some();
            let row = world.ledger.vault().open_event(&leaf).ok();
            let given = row.and_then(|row| unpad(&row.opening)).filter(|opening| concerns(opening).is_some());
            let given = given.map(|_| {
                let owed = world.office.owed_for(index);
                if owed || index >= world.office.proofs_cursor() { "owed" } else { "given" }
            });
            let proof = match (&witnessed, signed) {
                (Some(_), _) => "witnessed",
                (None, true) => "signed",
                (None, false) => "pending",
            };
            let head = witnessed.or(head).map(|head| head_of(world, &head, now));
            let entry = entry(world, &leaf, u64::from(signed) * (index + 1));
            Ok(Some(json!({
                "schema": "ch.audit-entry/1", "entry": entry, "proof": proof, "head": head, "other_side": given,
            })))
        });
        let shown = shown.await.map_err(not_taken)?;
        let shown = shown.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))?;
        shown.ok_or_else(|| {
            failure("CH-N0108", "There is no entry of this number. `clearhouse audit list` shows the newest.")
        })
    }

    /// Chooses entries for a bundle, with the head they will be proved under and the records that vouch for keys. That
    /// somebody takes evidence away is itself an entry.
    pub(super) async fn audit_choose(
        &self,
        actor: Actor,
        case: Option<String>,
        message: Option<String>,
        range: (Option<u64>, Option<u64>),
    ) -> Answer {
        may_read(&actor)?;
        let wanted = self.wanted(&actor, case, message, range).await?;
        let note = move |world: &World<S>, now: &mut Now<'_, Chance>| {
            (world.office.note(AuditEvent::Export, Some(&actor), now), ())
        };
        self.owner.decide(note).await.map_err(not_taken)?;
        let entries = self.choose(wanted).await?;
        let last = entries.last().copied().ok_or_else(|| {
            failure("CH-N0111", "Nothing in the log is about that. `clearhouse audit list` shows the newest entries.")
        })?;
        if entries.len() > ENTRIES_MAX {
            let text = format!(
                "That is {} entries; a bundle holds {ENTRIES_MAX}. Choose fewer, or take the whole log away with `clearhouse audit export`.",
                entries.len()
            );
            return Err(failure("CH-U0109", text));
        }
        let covers = |head: &Head| last < head.checkpoint.size;
        let head = self.log.witnessed().filter(covers).or_else(|| self.log.head().filter(covers));
        let head = head.ok_or_else(|| {
            let text = format!(
                "No signed head covers entry {last} yet, or there is none of this number. Try again after the next one."
            );
            failure("CH-N0108", text)
        })?;
        self.chosen(entries, head).await
    }

    async fn wanted(
        &self,
        actor: &Actor,
        case: Option<String>,
        message: Option<String>,
        range: (Option<u64>, Option<u64>),
    ) -> Result<Wanted, ControlFailure> {
        match (case, message, range) {
            (Some(case), None, (None, None)) => Ok(Wanted::Messages(self.messages_of(actor, case).await?)),
            (None, Some(message), (None, None)) => {
                let message = message.trim().to_ascii_lowercase();
                let digits = message.bytes().all(|c| c.is_ascii_hexdigit());
                if !digits || message.len() < DIGITS_MIN || message.len() > 2 * Digest::LEN {
                    return Err(failure(
                        "CH-U0109",
                        "A message is named by at least 16 digits of its number, as `clearhouse audit list --json` shows it.",
                    ));
                }
                Ok(Wanted::Message(message))
            }
            (None, None, (Some(from), Some(to))) if from <= to => Ok(Wanted::Range(from, to)),
            _ => Err(failure("CH-U0109", "Name one thing: a case, a message, or the first and the last entry.")),
        }
    }

    /// The envelopes of a case, for somebody who may see it.
    async fn messages_of(&self, actor: &Actor, code: String) -> Result<BTreeSet<Digest>, ControlFailure> {
        if !actor.role.handles_cases() {
            return Err(stopped(Stop::Refused(Refusal::NoContentRole), Moment::Act, ""));
        }
        let training = self.training;
        let found = self.owner.look(move |world| {
            let cases = world.office.cases().filter(|_| world.office.is_open()).ok_or(Stop::Locked)?;
            let case = find_case(cases.iter(), &code, training).ok_or(Stop::NoSuch)?;
            let mail = world.office.mail();
            let digest = |letter: &clearhouse_casework::case::Letter| {
                let bytes = if letter.is_out() {
                    mail.outgoing(letter.id())?.digest.as_slice()
                } else {
                    mail.seen(letter.signature().node, letter.id())?.digest.as_slice()
                };
                Digest::try_from(bytes).ok()
            };
            Ok(case.letters().iter().filter_map(digest).collect())
        });
        found.await.map_err(not_taken)?.map_err(|stop| stopped(stop, Moment::Act, ""))
    }

    /// The entries that are wanted, in order; one more than fit when there are more.
    async fn choose(&self, wanted: Wanted) -> Result<Vec<u64>, ControlFailure> {
        let wanted = match wanted {
            Wanted::Range(from, to) => return Ok((from..=to).take(ENTRIES_MAX + 1).collect()),
            wanted @ (Wanted::Messages(_) | Wanted::Message(_)) => std::sync::Arc::new(wanted),
        };
        let (mut entries, mut envelopes, mut from) = (Vec::new(), BTreeSet::new(), 0);
        loop {
            let asked = std::sync::Arc::clone(&wanted);
            let page = self.owner.look(move |world| {
                let page = world.ledger.store().events(from, usize::try_from(PAGE).unwrap_or(usize::MAX))?;
                let read = page.len() as u64;
                let about = |leaf: &clearhouse_store::EventLeaf| {
                    let opening = world.ledger.vault().open_event(leaf).ok().and_then(|row| unpad(&row.opening))?;
                    asked.names(&opening).map(|digest| (leaf.index, digest))
                };
                Ok((read, page.iter().filter_map(about).collect::<Vec<_>>()))
            });
            let page = page.await.map_err(not_taken)?;
            let (read, found) = page.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))?;
            for (index, digest) in found {
                entries.push(index);
                envelopes.insert(digest);
            }
            if matches!(*wanted, Wanted::Message(_)) && envelopes.len() > 1 {
                return Err(failure("CH-U0109", "Several messages' numbers begin so. Give more digits."));
            }
            if read == 0 || entries.len() > ENTRIES_MAX {
                return Ok(entries);
            }
            from += read;
        }
    }

    async fn chosen(&self, entries: Vec<u64>, head: Head) -> Answer {
        let now = self.clock.now();
        let chosen = self.owner.look(move |world| {
            let (directory, me) = (world.office.directory(), world.office.me());
            let mut orgs: BTreeSet<OrgId> =
                directory.all_witnesses().iter().filter_map(|one| directory.org_of(one.node?)).collect();
            for index in &entries {
                let leaf = world.ledger.store().events(*index, 1)?.into_iter().next();
                let row = leaf.and_then(|leaf| world.ledger.vault().open_event(&leaf).ok());
                let peer = row.and_then(|row| unpad(&row.opening)).map(|opening| opening.peer_org);
                orgs.extend(peer.and_then(|peer| OrgId::try_from(peer.as_slice()).ok()));
            }
            let mut records = directory.bundle(me.org);
            for org in orgs.into_iter().filter(|org| *org != me.org) {
                // The policy and the revocations came with the first.
                let known = |record: &wire::Signed| records.records.contains(record);
                let more: Vec<_> = directory.bundle(org).records.into_iter().filter(|record| !known(record)).collect();
                records.records.extend(more);
            }
            // Keys are needed, not where nodes are and how to write to them.
            records.prekeys.clear();
            records.records.retain(|record| record.payload_type != media::DESCRIPTOR);
            let told = head_of(world, &head, now);
            Ok(json!({
                "schema": "ch.audit-chosen/1", "entries": entries, "size": head.checkpoint.size, "head": told,
                "checkpoint": head.note.to_string(), "records": STANDARD.encode(records.encode_to_vec()),
            }))
        });
        chosen.await.map_err(not_taken)?.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))
    }

    /// Commitments, openings and paths of chosen entries, under the head of this size.
    pub(super) async fn audit_evidence(&self, actor: &Actor, entries: Vec<u64>, size: u64) -> Answer {
        may_read(actor)?;
        if entries.len() > EVIDENCE_MAX || entries.iter().any(|index| *index >= size) {
            return Err(failure("CH-U0109", "That is more than one answer holds, or not under that head."));
        }
        let read = self.owner.look(move |world| {
            let one = |index: u64| {
                let leaf = world.ledger.store().events(index, 1)?.into_iter().next();
                Ok(leaf.map(|leaf| (leaf.index, leaf.commitment, world.ledger.vault().open_event(&leaf).ok())))
            };
            entries.into_iter().map(one).collect::<Result<Vec<_>, _>>()
        });
        let read = read.await.map_err(not_taken)?;
        let read = read.map_err(|error: clearhouse_store::StoreError| damaged(&error.to_string()))?;
        let log = self.log.clone();
        let prove = move || -> Result<Vec<Value>, clearhouse_store::tile_files::TileError> {
            let read: Vec<_> = read.into_iter().flatten().collect();
            // Whoever asked has the head and holds each path against it.
            let paths = log.paths(read.iter().map(|(index, ..)| *index), size, None)?;
            let one = |((index, commitment, row), path): ((u64, Hash, Option<EventRow>), Vec<Hash>)| {
                json!({
                    "index": index, "commitment": STANDARD.encode(commitment), "path": STANDARD.encode(path.concat()),
                    "salt": row.as_ref().map(|row| STANDARD.encode(row.salt)),
                    "opening": row.as_ref().map(|row| STANDARD.encode(&row.opening)),
                })
            };
            Ok(read.into_iter().zip(paths).map(one).collect())
        };
        let proved = tokio::task::spawn_blocking(prove).await.map_err(|_| damaged("an error of this program"))?;
        let proved = proved.map_err(|error| damaged(&error.to_string()))?;
        Ok(json!({"schema": "ch.audit-evidence/1", "evidence": proved}))
    }
}

impl Wanted {
    /// The envelope because of which an entry is wanted.
    fn names(&self, opening: &wire::Opening) -> Option<Digest> {
        let both = [&opening.envelope_digest, &opening.ref_digest];
        both.into_iter().filter_map(|digest| Digest::try_from(digest.as_slice()).ok()).find(|digest| match self {
            Self::Messages(all) => all.contains(digest),
            Self::Message(begins) => digest.to_string().starts_with(begins.as_str()),
            Self::Range(..) => false,
        })
    }
}

/// A head in plain values: its size, who saw it, since when.
fn head_of<S: Store>(world: &World<S>, head: &Head, now: u64) -> Value {
    let (directory, me) = (world.office.directory(), world.office.me());
    let signed = directory.log_key(me.node).and_then(|key| SignedCheckpoint::of((*head.note).clone(), &key).ok());
    let standing = signed.and_then(|signed| directory.quorum(me.node, now).standing(&signed).ok());
    let seen = standing.iter().flat_map(|standing| &standing.seen);
    let saw: Vec<Value> = seen
        .map(|seen| {
            let org = seen.witness.node.and_then(|node| directory.org_of(node)).map(|org| org_label(world, org));
            json!({"label": org, "country": seen.witness.country, "time": show_time(seen.at)})
        })
        .collect();
    let time = standing.as_ref().and_then(|standing| standing.time).map(show_time);
    json!({
        "entries": head.checkpoint.size, "witnesses": saw, "time": time,
        "enough": standing.is_some_and(|standing| standing.reached),
    })
}

//! The directory through the local door, and this node's own presence in it: prekeys and descriptor kept fresh.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::records::Intake;
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::ceremony::{Attested, Presence, describe};
use clearhouse_protocol::directory::{Directory, RouteFault, pages};
use clearhouse_protocol::ids::{NodeId, OrgId, hex};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::{DAY, UNARY_MAX};
use clearhouse_protocol::rows::Table;
use clearhouse_protocol::words::words;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::Rng as _;
use serde_json::{Value, json};

use super::{Answer, Handle, failure, lock, not_taken};
use crate::clock::chance;
use crate::control::ControlFailure;
use crate::membership::membership;
use crate::prekeys::{erase_outlived, renew_prekeys};
use crate::relay::listed;
use crate::setup::readable;
use crate::sync::Reach;

/// A descriptor is renewed when it is older than this, so that peers always hold a fresh one.
const DESCRIPTOR_RENEW_SECS: u64 = DAY;

/// Whether a node can be written to about a person it knows nothing of.
fn state(directory: &Directory, org: OrgId, node: NodeId, now: u64) -> Result<(), RouteFault> {
    directory.recipient(org, node, now)?;
    if directory.is_suspended(node) {
        return Err(RouteFault::Suspended);
    }
    if directory.is_stale(node, now) { Err(RouteFault::Stale) } else { Ok(()) }
}

/// How far a coordinator's directory log is known here, and when the others last cosigned it.
fn log(directory: &Directory, node: NodeId) -> Value {
    let label = directory.org_of(node).and_then(|org| directory.org(org)).map(|org| org.label.clone());
    let heard = directory.newest_head(node).map(|head| show_time(head.fresh()));
    json!({"of": label, "node": node.to_string(), "entries": directory.followed(node), "heard": heard})
}

impl<S: Store + 'static> Handle<S> {
    pub(super) async fn directory_list(&self) -> Answer {
        let now = self.clock.now();
        let listed = self.owner.look(move |world| {
            let directory = world.office.directory();
            let row = |(id, org): (OrgId, &wire::OrgRecord)| {
                let usable = directory.nodes_of(id).map(|node| state(directory, id, node, now)).next();
                let state = match usable {
                    Some(Ok(_)) => "reachable by record".to_owned(),
                    Some(Err(fault)) => fault.to_string(),
                    None => "no node".to_owned(),
                };
                json!({
                    "org": id.to_string(), "label": org.label, "country": org.country, "roles": org.roles,
                    "competences": org.competences, "membership": membership(directory, org, now), "state": state,
                    "contested": directory.is_contested_about(id), "self": id == world.office.me().org,
                })
            };
            let policy = directory.policy();
            json!({
                "schema": "ch.directory/1", "network": policy.label, "net": directory.net().to_string(),
                "kind": if policy.kind() == wire::NetworkKind::Training { "training" } else { "live" },
                "organisations": directory.orgs().map(row).collect::<Vec<_>>(),
                "logs": directory.directory_logs().map(|(node, _)| log(directory, node)).collect::<Vec<_>>(),
            })
        });
        listed.await.map_err(not_taken)
    }

    pub(super) async fn directory_show(&self, org: String) -> Answer {
        let now = self.clock.now();
        let shown = self.owner.look(move |world| {
            let directory = world.office.directory();
            let id = find_org(directory, &org)?;
            let record = directory.org(id).ok_or(Missing)?;
            let nodes: Vec<Value> = directory
                .nodes_of(id)
                .map(|node| {
                    let d = directory.descriptor(node);
                    let languages = d.map(|d| d.languages.clone()).unwrap_or_default();
                    let mailboxes: Vec<&str> =
                        d.map(|d| d.mailboxes.iter().map(|m| m.endpoint.as_str()).collect()).unwrap_or_default();
                    let state = match state(directory, id, node, now) {
                        Ok(_) => "usable now".to_owned(),
                        Err(fault) => fault.to_string(),
                    };
                    let said = d.map(Attested::of).unwrap_or_default();
                    json!({
                        "node": node.to_string(), "endpoints": mailboxes, "languages": languages, "state": state,
                        "attested": (said.at > 0).then(|| show_time(said.at)), "duty": duty_hours(&said),
                        "alternate": said.alternate, "child_places": said.child_places,
                    })
                })
                .collect();
            let bundle = directory.bundle(id);
            let dsse = bundle.records.iter().find(|r| r.payload_type == clearhouse_protocol::labels::media::ORG);
            Ok::<Value, Missing>(json!({
                "schema": "ch.organisation/1", "org": id.to_string(), "label": record.label,
                "country": record.country, "roles": record.roles, "competences": record.competences,
                "membership": membership(directory, record, now), "version": record.version, "valid_until": record.valid_until, "nodes": nodes,
                "fingerprint": words(&record.org_root_pk), "dsse": dsse.map(dsse_json),
            }))
        });
        shown.await.map_err(not_taken)?.map_err(|Missing| no_org())
    }

    pub(super) async fn directory_export(&self, org: Option<String>) -> Answer {
        let found = self.owner.look(move |world| {
            let directory = world.office.directory();
            let id = org.map_or(Ok(world.office.me().org), |o| find_org(directory, &o))?;
            Ok::<Vec<u8>, Missing>(directory.bundle(id).encode_to_vec())
        });
        let bytes = found.await.map_err(not_taken)?.map_err(|Missing| no_org())?;
        Ok(json!({"schema": "ch.bundle/1", "bundle": STANDARD.encode(bytes)}))
    }

    /// All pages of one file are of the directory as it was at the first: it is kept until the last.
    pub(super) fn directory_page(&self, number: u32, ticket: Option<String>) -> Answer {
        let mut paging = lock(&self.paging);
        if ticket.is_none() {
            let directory = self.owner.signals.directory.borrow().clone();
            *paging = Some(Paging { ticket: hex(&chance().next_u64().to_be_bytes()), directory });
        }
        let ours = paging.as_ref().filter(|p| ticket.is_none_or(|ticket| ticket == p.ticket));
        let page = ours.and_then(|p| Some((p.ticket.clone(), pages::page(&p.directory, number)?)));
        let (ticket, page) = page.ok_or_else(|| {
            let text = "Somebody else writes the directory into a file, too, or there is no such page. Begin again.";
            failure("CH-P0103", text)
        })?;
        if number + 1 == page.of {
            *paging = None;
        }
        Ok(json!({
            "schema": "ch.directory-page/1", "ticket": ticket, "of": page.of, "page": STANDARD.encode(page.bytes),
        }))
    }

    /// What anybody may have: entries of a directory log and the head over them.
    pub(super) async fn directory_log(&self, of: String, first: u64) -> Answer {
        let shown = self.owner.look(move |world| {
            let directory = world.office.directory();
            let org = find_org(directory, &of)?;
            let (node, key) =
                directory.directory_logs().find(|(node, _)| directory.org_of(*node) == Some(org)).ok_or(Missing)?;
            let head = directory.newest_head(node).ok_or(Missing)?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            let left = usize::try_from(head.size().saturating_sub(first)).unwrap_or(usize::MAX);
            for leaf in world.office.entry_keys(node, first).into_iter().take(left) {
                let Some(entry) = world.ledger.read(Table::DirectoryEntry, &leaf).ok().flatten() else { break };
                bytes += entry.len();
                entries.push(STANDARD.encode(&*entry));
                if bytes > UNARY_MAX / 2 {
                    break;
                }
            }
            let mut records = directory.bundle(org);
            records.prekeys.clear();
            Ok::<Value, Missing>(json!({
                "schema": "ch.directory-log/1", "log": key.name(), "first": first, "size": head.size(),
                "entries": entries, "checkpoint": head.note().to_string(), "key": key.to_string(),
                "genesis": STANDARD.encode(directory.genesis().encode_to_vec()),
                "records": STANDARD.encode(records.encode_to_vec()),
            }))
        });
        shown.await.map_err(not_taken)?.map_err(|Missing| {
            failure(
                "CH-U0105",
                "No directory log of such an organisation is followed here, or nothing of it is read yet.",
            )
        })
    }

    pub(super) async fn directory_import(&self, actor: &Actor, bundle: &str) -> Answer {
        if !actor.role.administers() && !actor.role.handles_cases() {
            return Err(failure("CH-R0106", "Not done: an auditor changes nothing."));
        }
        let unreadable = || failure("CH-U0104", "This is not a file of directory records. Nothing was taken.");
        let bytes = STANDARD.decode(bundle).map_err(|_| unreadable())?;
        let bundle = wire::RecordBundle::decode(bytes.as_slice()).map_err(|_| unreadable())?;
        if self.clock.doubt().is_some() {
            let (me, wall) =
                (self.owner.look(|world| world.office.me().node).await.map_err(not_taken)?, self.clock.wall());
            let word = self.owner.signals.directory.borrow().newest_word_in(&bundle.records, me, wall);
            word.into_iter().for_each(|time| self.clock.attest(time));
        }
        let intake = self.take_records(bundle).await?;
        Ok(intake_json(&intake))
    }

    async fn take_records(&self, bundle: wire::RecordBundle) -> Result<Intake, ControlFailure> {
        self.owner.admit(bundle).await.map_err(not_taken)
    }

    /// Asks every coordinator's node and some others what is newer there, now.
    pub(super) async fn directory_refresh(&self) -> Answer {
        let brought = self.puller.round(Reach::WIDE).await.map_err(not_taken)?;
        let mut told = intake_json(&brought.intake);
        let faults: Vec<Value> = brought
            .faults
            .iter()
            .map(|(node, fault)| json!({"node": node.to_string(), "why": fault.to_string()}))
            .collect();
        told["answered"] = json!(brought.answered);
        told["unreachable"] = json!(brought.unreachable);
        told["not_followed"] = json!(faults);
        Ok(told)
    }

    /// Makes missing prekeys, erases those of weeks long past, and makes a new descriptor when the old one ages; nothing
    /// while cases are locked.
    pub async fn refresh_presence(&self) {
        let now = self.clock.now();
        let heard = self.owner.look(|world| {
            let me = world.office.me().node;
            world.office.directory().newest_word_of_others(me)
        });
        let heard = heard.await.ok().flatten();
        let keys = Arc::clone(&self.keys);
        let renewed = tokio::task::spawn_blocking(move || {
            let mut keys = lock(&keys);
            keys.content()?;
            let prekeys = renew_prekeys(&mut keys, now, &mut chance());
            let prekeys = prekeys.inspect_err(|error| tracing::error!(%error, "prekeys cannot be renewed")).ok()?;
            match erase_outlived(&mut keys, now, heard, &mut chance()) {
                Ok(0) => {}
                Ok(weeks) => tracing::info!(weeks, "prekeys of past weeks were erased"),
                Err(error) => tracing::error!(%error, "prekeys of past weeks cannot be erased"),
            }
            let tls = SigningKey::from_seed(keys.service().tls_seed.expose()).public();
            Some((prekeys, tls))
        });
        let Ok(Some((prekeys, tls))) = renewed.await else { return };
        let (endpoint, relays, languages) = (self.endpoint.clone(), self.relays.clone(), self.languages.clone());
        let decided = self.owner.decide(move |world, now| {
            let me = world.office.me().clone();
            let directory = world.office.directory();
            let current = directory.descriptor(me.node);
            let mailboxes = listed(&me, &endpoint, &relays, directory);
            let weeks: Vec<u64> = prekeys.iter().map(|(week, _)| *week).collect();
            let fresh = current.is_some_and(|d| {
                let same = d.prekeys.iter().map(|p| p.week).eq(weeks.iter().copied())
                    && d.tls_pks.iter().any(|pk| *pk == tls)
                    && d.mailboxes
                        .iter()
                        .map(|m| (m.node_id.as_slice(), &m.endpoint))
                        .eq(mailboxes.iter().map(|(_, keeper, endpoint)| (keeper.as_bytes(), endpoint)));
                same && d.serial * 3600 + DESCRIPTOR_RENEW_SECS > now.time
            });
            // Without an accreditation, or while it is not known where a keeper is, there is nothing to describe yet.
            if fresh || mailboxes.is_empty() || directory.cert(me.node).is_none() {
                return (Default::default(), true);
            }
            let presence = Presence {
                node: me.node,
                tls_pks: &[tls],
                mailboxes: &mailboxes,
                prekeys: &prekeys,
                languages: &languages,
                reads: &readable(),
                // What people said of it stays said until they say it anew.
                attested: &current.map(Attested::of).unwrap_or_default(),
            };
            let held = current.map_or(0, |held| held.serial);
            let bundle = wire::RecordBundle {
                records: vec![describe(me.net, &presence, now.key, held, now.time)],
                prekeys: prekeys
                    .iter()
                    .map(|(week, key)| wire::Prekey { week: *week, pk: key.as_bytes().to_vec() })
                    .collect(),
                published: vec![],
            };
            let (step, intake) = world.office.admit(&bundle, now);
            (step, intake.refused.is_empty())
        });
        if let Ok(false) = decided.await {
            tracing::error!("this node's own new descriptor was refused: this is a bug");
        }
        let (keys, prekeys) = (Arc::clone(&self.keys), self.prekeys.clone());
        let _ = tokio::task::spawn_blocking(move || lock(&keys).content().map(|c| prekeys.unlock(c))).await;
    }
}

/// The days of duty hours by their number.
const DAYS: [&str; 8] = ["every day", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Duty hours as people read them, one line for each stretch.
pub(super) fn duty_hours(said: &Attested) -> Vec<String> {
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let line = |hours: &wire::DutyHours| {
        let day = usize::try_from(hours.day).ok().and_then(|day| DAYS.get(day)).unwrap_or(&"?");
        format!("{day} {}-{} UTC", clock(hours.from_minute), clock(hours.until_minute))
    };
    said.duty.iter().map(line).collect()
}

/// A file of the whole directory under way.
pub(super) struct Paging {
    ticket: String,
    directory: Arc<Directory>,
}

struct Missing;

pub(super) fn no_org() -> ControlFailure {
    failure(
        "CH-N0102",
        "No organisation of that name or id is in the directory. `clearhouse directory list` shows all.",
    )
}

/// An organisation by id, or by a label that only one has.
pub(super) fn org_named(directory: &clearhouse_protocol::directory::Directory, text: &str) -> Option<OrgId> {
    find_org(directory, text).ok()
}

fn find_org(directory: &clearhouse_protocol::directory::Directory, text: &str) -> Result<OrgId, Missing> {
    if let Some(id) = OrgId::from_hex(text).filter(|id| directory.org(*id).is_some()) {
        return Ok(id);
    }
    let mut named = directory.orgs().filter(|(_, org)| org.label == text).map(|(id, _)| id);
    match (named.next(), named.next()) {
        (Some(id), None) => Ok(id),
        _ => Err(Missing),
    }
}

fn intake_json(intake: &Intake) -> Value {
    let refused: Vec<Value> =
        intake.refused.iter().map(|(n, fault)| json!({"record": n + 1, "why": fault.to_string()})).collect();
    json!({
        "schema": "ch.import/1", "new": intake.new, "known": intake.known, "contested": intake.contested,
        "waiting": intake.waiting,
        "refused": refused,
    })
}

/// A record as DSSE JSON, for outside verifiers.
fn dsse_json(signed: &wire::Signed) -> Value {
    let signatures: Vec<Value> =
        signed.signatures.iter().map(|s| json!({"keyid": hex(&s.key_id), "sig": STANDARD.encode(&s.sig)})).collect();
    json!({
        "payloadType": signed.payload_type, "payload": STANDARD.encode(&signed.payload), "signatures": signatures,
    })
}

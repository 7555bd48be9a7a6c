//! How the node is: the ten lines of `status` and the findings of `doctor`. Counts and times, nothing of a case.

use std::sync::Arc;
use std::time::Instant;

use clearhouse_casework::forms::show_time;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::clocks::watch::Doubt;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::mail::{Delivery, Outgoing};
use clearhouse_protocol::rows::Table;
use clearhouse_store::{Finding, Store, Weight};
use clearhouse_wire::v1::{MessageType, NetworkKind};
use serde_json::{Value, json};

use super::netcheck::span;
use super::{Answer, Handle, Scrubbed, astray, failure, lock, not_taken, standing, vouched};
use crate::control::ControlFailure;
use crate::pressing::Pressing;

/// What to do about a clock that is not trusted.
pub(super) const CLOCK_NEXT: &str = "Set the clock, and have it set by the network: timedatectl set-ntp true. The node \
    trusts it again by itself when it is right; after long absence, or a leap, when other nodes confirm it.";
/// How long `doctor` tells of a receipt that did not open.
const UNOPENED_RECEIPTS_SECS: u64 = 7 * DAY;

impl<S: Store + 'static> Handle<S> {
    pub(super) async fn status(&self) -> Answer {
        let now = self.clock.now();
        let (keep_open, training, started, endpoint) =
            (self.keep_open, self.training, self.started, self.endpoint.clone());
        let signed_in = lock(&self.sessions).len();
        let last_backup = self.last_backup().map(show_time);
        let witnesses = vouched::heard(*self.memory.borrow());
        let log_signed = self.log.head().map_or(0, |head| head.checkpoint.size);
        let clock = match (self.clock.doubt(), self.clock.is_confirmed()) {
            (Some(doubt), _) => format!("not trusted: {doubt}"),
            (None, true) => "trusted".to_owned(),
            (None, false) => "trusted; no other node has agreed with it since the start".to_owned(),
        };
        let state = self.owner.look(move |world| {
            let (office, stats) = (&world.office, world.ledger.store().stats());
            let me = office.me();
            let own = office.directory().may_speak(me.org, me.node, now);
            let mail = office.mail();
            let waiting = mail.all_outgoing().filter(|(_, o)| Delivery::of(o) == Delivery::Queued).count();
            let stored = mail.all_outgoing().filter(|(_, o)| Delivery::of(o) == Delivery::Stored).count();
            json!({
                "schema": "ch.status/1",
                "network": office.directory().policy().label,
                "kind": if training { "training" } else { "live" },
                "organisation": office.directory().org(me.org).map(|o| o.label.clone()),
                "org": me.org.to_string(),
                "node": me.node.to_string(),
                "endpoint": endpoint,
                "running_since": show_time(started),
                "accredited": own.is_ok(),
                "accreditation": own.err().map_or_else(|| "valid".to_owned(), |fault| fault.to_string()),
                "cases": if office.is_open() { "open" } else { "locked" },
                "kept_open_by_policy": keep_open,
                "signed_in": signed_in,
                "sealed_letters": mail.unopened().len(),
                "quarantined": mail.quarantined().len(),
                "waiting_to_leave": waiting,
                "stored_unanswered": stored,
                "alarms_raised": office.alarms_open().0,
                "alarms_heard": office.alarms_open().1,
                "overdue_cases": office.due_times().overdue(now),
                "organisations": office.directory().orgs().count(),
                "mailboxes": mailboxes(office.directory(), me.node),
                "kept_for_others": office.depot().held().0,
                "kept_for_others_bytes": office.depot().held().1,
                "directory": heard(office.directory().freshness(now)),
                "directory_out_of_date": matches!(office.directory().freshness(now), Freshness::Aged(_) | Freshness::Old(_)),
                "lost_root_keys": office.directory().lost_keys(now).filter(|waiting| !waiting.is_settled()).count(),
                "contested_records": office.directory().contested().count(),
                "clock": clock,
                "events": office.event_count(),
                "log_signed": log_signed,
                "witnesses": witnesses,
                "last_backup": last_backup,
                "generation": stats.generation,
                "rows": stats.rows,
                "free_bytes": stats.free_bytes,
                "low_on_space": stats.low_on_space,
            })
        });
        state.await.map_err(not_taken)
    }

    pub(super) async fn doctor(&self) -> Answer {
        let now = self.clock.now();
        let keep_open = self.keep_open;
        let mut findings = self.damage();
        findings.extend(astray::findings(&self.data, self.training));
        findings.extend(self.ground.map(|ground| {
            let text =
                format!("The node's folder or its keys lie on {ground}: a power cut may take what was acknowledged.");
            finding_of("CH-D0228", text, "Move the folder to a local disk with ext4 or xfs.", !self.training)
        }));
        let memory = *self.memory.borrow();
        let (off, doubt, counted) = (self.clock.off(), self.clock.doubt(), Arc::clone(&self.counters));
        let after = self.owner.look(|world| world.office.after_copy()).await.map_err(not_taken)?;
        findings.extend(self.backup_findings(after, now));
        let seen = self.owner.look(move |world| {
            let (office, stats) = (&world.office, world.ledger.store().stats());
            let me = office.me();
            let mut seen = Vec::new();
            let own_entry = office.directory().descriptor(me.node).is_some();
            if let Err(fault) = office.directory().may_speak(me.org, me.node, now) {
                let next = "Send application.record to your coordinators and import what comes back.";
                seen.push(finding_of("CH-D0201", format!("This node is not accredited: {fault}."), next, true));
            }
            let policy = office.directory().policy();
            if policy.not_after < now + 30 * DAY {
                let text = format!("The network's policy ends on {}.", show_time(policy.not_after));
                seen.push(finding_of("CH-D0202", text, "Import the next policy from a coordinator.", true));
            }
            if office.directory().is_stale(me.node, now + 15 * DAY) && own_entry {
                let text = "Nobody here has confirmed this organisation's entry for long.".to_owned();
                let next = "After 90 days nobody sends it a new case. Look at it and say: clearhouse directory attest";
                seen.push(finding_of("CH-D0205", text, next, true));
            }
            let unknown = office.mail().aside().count().saturating_sub(office.mail().dated_ahead().count());
            seen.extend(age_finding(office.directory(), unknown, now));
            seen.extend(dated_ahead_finding(office.mail().dated_ahead().count()));
            seen.extend(unopened_receipts_finding(office.mail().all_outgoing().map(|(_, out)| out), now));
            seen.extend(vouched::findings(world, memory, now));
            seen.extend(super::outbox::held_finding(office.mail().held_old().count()));
            seen.extend(standing::findings(office.directory(), (me.org, me.node), now));
            seen.extend(probing(office.directory(), &counted.pressing));
            for two in office.directory().contested() {
                let what = match two[0].payload_type.as_str() {
                    media::ROOT => "The network's policy",
                    media::ORG => "An organisation's record",
                    _ => "A node's certificate",
                };
                let text = format!("{what} was signed twice with one version: neither counts.");
                let next =
                    "Phone the coordinators; `clearhouse directory list` says whose, `directory export` writes both.";
                seen.push(finding_of("CH-D0204", text, next, true));
            }
            seen.extend(doubt.map(doubt_finding));
            if let Some(off) = off {
                let way = if off.ahead > 0 { "ahead of" } else { "behind" };
                let text = format!(
                    "This computer's clock is {} {way} {}.",
                    span(off.ahead.unsigned_abs()),
                    if off.others == 1 { "that of one other node".into() } else { format!("those of {} others", off.others) },
                );
                let next = "Set the clock, and have it set by the network: timedatectl set-ntp true. Until then letters are \
                            refused, and prekeys are kept.";
                seen.push(finding_of("CH-N0210", text, next, true));
            }
            if office.directory().orgs().count() < 2 {
                let text = "No other organisation is in the directory.".to_owned();
                seen.push(finding_of("CH-D0203", text, "Import their records: clearhouse directory import FILE", true));
            }
            if stats.low_on_space {
                let text = format!("Only {} MiB are free on the disk.", stats.free_bytes >> 20);
                seen.push(finding_of(
                    "CH-D0301",
                    text,
                    "Free some space: new messages are refused below the mark.",
                    true,
                ));
            }
            if stats.index_in_memory {
                let text = "The index on disk failed; the node runs from memory.".to_owned();
                seen.push(finding_of("CH-D0302", text, "Stop the node, delete store/index, start it again.", true));
            }
            if office.cases().is_some_and(|c| c.damaged() > 0) {
                let text = "Facts of cases cannot be read.".to_owned();
                seen.push(finding_of(
                    "CH-D0303",
                    text,
                    "Keep a copy of the folder and ask for help; nothing was deleted.",
                    true,
                ));
            }
            if office.staff().iter().filter(|(_, m)| m.is_active()).count() == 0 {
                let text = "Nobody can sign in yet.".to_owned();
                seen.push(finding_of(
                    "CH-D0401",
                    text,
                    "Take up the first invitation: clearhouse user accept LOGIN",
                    true,
                ));
            }
            if office.turn_due().is_some() && !office.is_open() {
                let text = "A case was erased, and the keys still have to turn.".to_owned();
                let next = "Unlock cases: clearhouse unlock. The node does the rest.";
                seen.push(finding_of("CH-D0404", text, next, true));
            }
            if keep_open {
                let text = "Cases stay open while the node runs, by policy.".to_owned();
                seen.push(finding_of("CH-D0402", text, "Set keep_content_open = false if people can unlock.", false));
            }
            seen
        });
        findings.extend(seen.await.map_err(not_taken)?);
        let problems = findings.iter().filter(|f| f["problem"] == json!(true)).count();
        let counters: serde_json::Map<String, Value> =
            self.counters.read().into_iter().map(|(name, n)| (name.to_owned(), json!(n))).collect();
        let scrubbed = lock(&self.scrubbed).at.map(show_time);
        Ok(json!({
            "schema": "ch.doctor/1", "problems": problems, "findings": findings, "door": counters, "scrubbed": scrubbed,
        }))
    }
}

impl<S: Store + 'static> Handle<S> {
    /// What the start and the last scrub found.
    fn damage(&self) -> Vec<Value> {
        let told = |finding: &Finding| {
            let next = "Ask the senders of damaged messages to send again; then `clearhouse doctor`.";
            finding_of("CH-D0101", finding.to_string(), next, finding.weight() != Weight::Note)
        };
        let unreadable = |(table, count): &(Table, usize)| {
            let text = format!("{count} values of table {table:?} do not open with this node's keys.");
            finding_of("CH-D0102", text, "Keep a copy of the folder and ask for help; nothing was deleted.", true)
        };
        let scrubbed = lock(&self.scrubbed);
        let found = self.findings.iter().chain(&scrubbed.findings).map(told);
        found.chain(self.unreadable.iter().map(unreadable)).collect()
    }

    /// Reads everything and keeps what it found for `doctor`. The owner does nothing else meanwhile.
    ///
    /// # Errors
    /// The node is stopping, or the store could not be read at all.
    pub async fn scrub(&self) -> Result<(), ControlFailure> {
        let found = self.owner.look(|world| world.ledger.store_mut().scrub()).await.map_err(not_taken)?;
        let findings = found.map_err(|error| failure("CH-I0103", format!("The store cannot be read: {error}.")))?;
        for finding in &findings {
            tracing::error!(%finding, "the scrub found");
        }
        *lock(&self.scrubbed) = Scrubbed { at: Some(self.clock.now()), findings };
        Ok(())
    }

    pub(super) async fn scrub_for(&self, actor: &Actor) -> Answer {
        if !actor.role.administers() && actor.role != Role::Manager {
            return Err(failure("CH-R0109", "Not done: an administrator or a manager has everything read."));
        }
        self.scrub().await?;
        self.doctor().await
    }
}

/// Where messages for this node are left, as its own entry says: in the order in which senders try.
fn mailboxes(directory: &Directory, me: NodeId) -> Vec<String> {
    let at = |keeper: &[u8]| {
        let keeper = NodeId::try_from(keeper).ok().filter(|node| *node != me)?;
        let org = directory.org_of(keeper).and_then(|org| directory.org(org));
        Some(org.map_or_else(|| "somebody unknown here".to_owned(), |org| org.label.clone()))
    };
    let all = directory.descriptor(me).into_iter().flat_map(|entry| &entry.mailboxes);
    all.map(|mailbox| at(&mailbox.node_id).unwrap_or_else(|| "this node".to_owned())).collect()
}

/// How old the newest word of enough coordinators is, in words.
fn heard(freshness: Freshness) -> String {
    match freshness {
        Freshness::NoLogs => "rests on signatures alone".to_owned(),
        Freshness::Fresh(at) => format!("heard from coordinators {}", show_time(at)),
        Freshness::Aged(0) | Freshness::Old(0) => "no coordinator heard yet".to_owned(),
        Freshness::Aged(at) | Freshness::Old(at) => format!("OUT OF DATE, coordinators last heard {}", show_time(at)),
    }
}

fn age_finding(directory: &Directory, aside: usize, now: u64) -> Option<Value> {
    let text = format!("The directory: {}.", heard(directory.freshness(now)));
    let next = "Check the line to the coordinators: clearhouse directory refresh";
    match directory.freshness(now) {
        Freshness::Fresh(_) => None,
        Freshness::NoLogs if directory.policy().kind() == NetworkKind::Training => None,
        Freshness::NoLogs => {
            let next = "Ask the coordinators to name their directory logs in the next policy.";
            Some(finding_of("CH-D0207", text, next, false))
        }
        Freshness::Aged(_) => Some(finding_of("CH-D0206", format!("{text} No profile leaves."), next, true)),
        Freshness::Old(_) => {
            let waiting = match aside {
                0 => String::new(),
                1 => " 1 letter of an organisation that never wrote here waits.".to_owned(),
                count => format!(" {count} letters of organisations that never wrote here wait."),
            };
            Some(finding_of("CH-D0206", format!("{text} Nobody new is written to.{waiting}"), next, true))
        }
    }
}

/// That the clock is not gone by, and what waits for it.
fn doubt_finding(doubt: Doubt) -> Value {
    let text = format!(
        "This computer's clock is not trusted: {doubt}. Until it is, no message of a case is sealed but that she withdraws, and letters stay closed."
    );
    finding_of("CH-N0211", text, CLOCK_NEXT, true)
}

/// Letters that wait for their own time.
fn dated_ahead_finding(count: usize) -> Option<Value> {
    let text = match count {
        0 => return None,
        1 => "1 letter is dated ahead of this node's clock and waits, sealed, for its time.".to_owned(),
        count => format!("{count} letters are dated ahead of this node's clock and wait, sealed, for their time."),
    };
    let next = "One of two clocks is wrong. Compare this computer's with a phone's; each opens by itself within the hour or so.";
    Some(finding_of("CH-D0220", text, next, false))
}

/// Receipts that did not open there, however often they went, of the last days.
fn unopened_receipts_finding<'a>(all: impl Iterator<Item = &'a Outgoing>, now: u64) -> Option<Value> {
    let is_one = |out: &&Outgoing| {
        let ended = Delivery::of(out) == Delivery::NotOpened && out.msg_type == MessageType::Receipt as u32;
        ended && out.settled_at.saturating_add(UNOPENED_RECEIPTS_SECS) > now
    };
    let text = match all.filter(is_one).count() {
        0 => return None,
        1 => "1 receipt of this node could not be opened by who it is for, also when it was sealed anew.".to_owned(),
        count => {
            format!(
                "{count} receipts of this node could not be opened by who they are for, also when they were sealed anew."
            )
        }
    };
    let next = "Check this computer's clock, look for whom: clearhouse outbox; and tell them by phone that their messages are here.";
    Some(finding_of("CH-D0221", text, next, true))
}

/// Who pressed on against the limits of this node's doors.
fn probing(directory: &Directory, pressing: &Pressing) -> Vec<Value> {
    let finding = |(org, refused): (OrgId, u64)| {
        let who = directory.org(org).map_or("an organisation", |org| org.label.as_str());
        let text =
            format!("PROBING: {who} pressed on against this node's limits: {refused} deposits refused in an hour.");
        let next = "Tell a coordinator. Nobody else's mail was displaced, and what was refused its sender still has.";
        finding_of("CH-D0211", text, next, true)
    };
    pressing.probing(directory, Instant::now()).into_iter().map(finding).collect()
}

pub(super) fn finding_of(code: &str, text: String, next: &str, problem: bool) -> Value {
    json!({"code": code, "text": text, "next": next, "problem": problem})
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::limits::{DIRECTORY_AGED_SECS, DIRECTORY_OLD_SECS};

    use super::*;

    #[test]
    fn an_old_directory_is_a_finding_that_says_what_no_longer_leaves() {
        let mut region = Region::with_logs(1, 4);
        assert_eq!(heard(region.directory.freshness(NOW)), "no coordinator heard yet");
        region.publish_all(NOW);
        let found = |secs| age_finding(&region.directory, 0, NOW + secs);
        assert_eq!(found(DIRECTORY_AGED_SECS - 1), None);
        let aged = found(DIRECTORY_AGED_SECS).unwrap();
        assert!(aged["code"] == "CH-D0206" && aged["text"].as_str().unwrap().ends_with("No profile leaves."), "{aged}");
        let old = found(DIRECTORY_OLD_SECS).unwrap();
        assert!(old["text"].as_str().unwrap().contains("OUT OF DATE") && old["problem"] == true, "{old}");
    }

    #[test]
    fn receipts_that_did_not_open_are_a_finding_for_some_days() {
        let out = |state: Delivery, kind: MessageType| Outgoing {
            state: state as u32,
            msg_type: kind as u32,
            settled_at: NOW,
            ..Outgoing::default()
        };
        let (receipt, notice) =
            (out(Delivery::NotOpened, MessageType::Receipt), out(Delivery::NotOpened, MessageType::ReturnNotice));
        let settled = out(Delivery::Settled, MessageType::Receipt);
        let found = |at| unopened_receipts_finding([&receipt, &notice, &settled].into_iter(), at);
        let said = found(NOW + UNOPENED_RECEIPTS_SECS - 1).unwrap();
        assert!(said["code"] == "CH-D0221" && said["text"].as_str().unwrap().starts_with("1 receipt "), "{said}");
        assert_eq!(found(NOW + UNOPENED_RECEIPTS_SECS), None);
    }

    #[test]
    fn letters_dated_ahead_are_counted_and_no_problem_of_their_own() {
        assert_eq!(dated_ahead_finding(0), None);
        let found = |count| dated_ahead_finding(count).unwrap();
        assert!(found(1)["text"].as_str().unwrap().starts_with("1 letter is") && found(1)["problem"] == false);
        assert!(found(2)["text"].as_str().unwrap().starts_with("2 letters are"));
    }

    #[test]
    fn a_live_network_without_directory_logs_is_told_so_and_a_training_one_is_not() {
        let code =
            |kind| age_finding(&Region::of_kind(1, 2, kind).directory, 0, NOW).map(|found| found["code"].clone());
        assert_eq!(code(NetworkKind::Training), None);
        assert_eq!(code(NetworkKind::Live), Some(json!("CH-D0207")));
    }
}

//! Cases as values for a screen: codes, lights with time, node and person, clocks, consents, messages. Holds no rule;
//! what may be shown was decided before.

use std::collections::BTreeSet;

use clearhouse_casework::body::CheckedBody;
use clearhouse_casework::case::timers::TimerState;
use clearhouse_casework::case::{Case, Direction, Fate, Letter, Light};
use clearhouse_casework::consent::DataClass;
use clearhouse_casework::deadlines::Deadlines;
use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::cases::{Document, case_code, document_key};
use clearhouse_casework::office::history::kept_until;
use clearhouse_protocol::ids::{Digest, MsgId, NodeId, OrgId, hex};
use clearhouse_protocol::mail::{Delivery, Outgoing};
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use serde_json::{Value, json};

use crate::owner::World;

/// The case of a code, or of a beginning of one that only one case has.
pub(super) fn find_case<'c>(cases: impl Iterator<Item = &'c Case>, code: &str, training: bool) -> Option<&'c Case> {
    let wanted = code.trim().to_ascii_uppercase();
    let bare = wanted.strip_prefix("T-").unwrap_or(&wanted).to_owned();
    if bare.is_empty() {
        return None;
    }
    let named = |c: &&Case| {
        let own = case_code(c.conversation(), training);
        own.strip_prefix("T-").unwrap_or(&own).starts_with(&bare)
    };
    let mut found = cases.filter(named);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// An organisation's name, or its id while the directory does not know it.
pub(crate) fn org_label<S: Store>(world: &World<S>, org: OrgId) -> String {
    world.office.directory().org(org).map_or_else(|| org.to_string(), |o| o.label.clone())
}

fn node_label<S: Store>(world: &World<S>, node: NodeId) -> String {
    let org = world.office.directory().org_of(node);
    org.map_or_else(|| node.to_string(), |org| format!("{} ({})", org_label(world, org), &hex(&node.0[..4])))
}

pub(super) fn newest(case: &Case, kind: wire::MessageType) -> Option<MsgId> {
    let of_kind = |l: &&Letter| l.kind().is_some_and(|k| k.message_type() == kind) && l.counts();
    case.letters().iter().filter(of_kind).max_by_key(|l| l.seq()).map(Letter::id)
}

pub(super) fn newest_unread(case: &Case) -> Option<MsgId> {
    case.letters().iter().rev().find(|l| !l.is_out() && l.read().is_none()).map(Letter::id)
}

/// The newest answer that accepts the case, with the contact it names.
pub(super) fn acceptance(case: &Case) -> Option<wire::Answer> {
    let answers = case.letters().iter().rev().filter_map(|l| match l.body()?.what()? {
        What::Answer(answer) => Some(answer.clone()),
        What::ReturnNotice(_)
        | What::Acknowledgement(_)
        | What::VictimProfile(_)
        | What::Departure(_)
        | What::Arrival(_)
        | What::Withdrawal(_) => None,
    });
    answers.into_iter().find(|a: &wire::Answer| a.answer == "Accepted" || a.answer == "AcceptedWithConditions")
}

fn light<S: Store>(world: &World<S>, light: Option<&Light>) -> Value {
    light.map_or(
        Value::Null,
        |l| json!({"at": l.at, "time": show_time(l.at), "node": node_label(world, l.node), "for": l.label}),
    )
}

/// One line of the list of cases.
pub(super) fn case_line<S: Store>(world: &World<S>, case: &Case, training: bool, now: u64) -> Value {
    if world.office.is_hidden(case.id()) {
        return erasing(world, case, training);
    }
    let deadlines = world.office.deadlines();
    let view = case.facts_view(deadlines);
    json!({
        "case": case_code(case.conversation(), training),
        "direction": direction(case),
        "with": org_label(world, case.peer_org()),
        "state": case.state().code(),
        "words": case.state().words(),
        "child": case.is_child(),
        "overdue": case.is_overdue(deadlines, now),
        "next_due": case.next_due(deadlines, now).map(show_time),
        "alarm": alarms(world, case).iter().any(|word| !is_word_alone(word) && word["ended"].is_null()),
        "waiting": view.waiting.iter().map(|w| w.words()).collect::<Vec<_>>(),
    })
}

/// A case that is being erased, or of which parts are: its code, by which rule, what that waits for, and until when the
/// history of its consents stays.
pub(super) fn erasing<S: Store>(world: &World<S>, case: &Case, training: bool) -> Value {
    let decision = world.office.being_erased(case.id());
    let waits = match decision {
        Some(decision) if decision.is_whole() && !world.office.is_heard(decision.event) => {
            "a coordinator's node to take the case's entries"
        }
        Some(_) => "the next beat of this node",
        None => "",
    };
    let stays = decision.filter(|decision| decision.is_whole() && !case.consent_history().is_empty());
    json!({
        "schema": "ch.erasing/1",
        "case": case_code(case.conversation(), training),
        "state": "BEING_ERASED",
        "words": "being erased",
        "rule": decision.map(|decision| decision.rule.clone()),
        "classes": decision.map(|decision| decision.classes.clone()).unwrap_or_default(),
        "since": decision.map(|decision| show_time(decision.at)),
        "waits_for": waits,
        "history_kept_until": stays.map(|decision| show_time(kept_until(decision))),
    })
}

fn direction(case: &Case) -> &'static str {
    match case.direction() {
        Direction::Sent => "sent",
        Direction::Received => "received",
    }
}

/// One case whole: five separate facts first, each with time, signing node and the person it was for.
pub(super) fn case<S: Store>(world: &World<S>, case: &Case, training: bool, now: u64) -> Value {
    if world.office.is_hidden(case.id()) {
        return erasing(world, case, training);
    }
    let deadlines = world.office.deadlines();
    let view = case.facts_view(deadlines);
    let letters: Vec<Value> = case.letters().iter().map(|l| letter(world, l)).collect();
    let not_taken: Vec<Value> = case
        .not_taken()
        .map(|n| json!({"message": n.id.to_string(), "type": n.msg_type, "time": show_time(n.at), "code": n.code}))
        .collect();
    json!({
        "schema": "ch.case/1",
        "case": case_code(case.conversation(), training),
        "direction": direction(case),
        "with": org_label(world, case.peer_org()),
        "state": case.state().code(),
        "words": case.state().words(),
        "child": case.is_child(),
        "facts": {
            "stored": light(world, view.stored.as_ref()),
            "received": light(world, view.received.as_ref()),
            "read": light(world, view.read.as_ref()),
            "accepted": light(world, view.accepted.as_ref()),
            "met": light(world, view.met.as_ref()),
        },
        "their_node_locked": view.their_node_locked,
        "risk_annex_missing": view.risk_annex_missing,
        "unprepared": view.unprepared,
        "gaps": view.gaps,
        "erased_classes": case.erased_classes().into_iter().map(DataClass::code).collect::<Vec<_>>(),
        "waiting": view.waiting.iter().map(|w| w.words()).collect::<Vec<_>>(),
        "alarms": alarms(world, case),
        "timers": timers(case, deadlines, now),
        "consents": consents(world, case, now),
        "messages": letters,
        "not_taken": not_taken,
    })
}

fn timers(case: &Case, deadlines: &Deadlines, now: u64) -> Vec<Value> {
    let word = |state| match state {
        TimerState::Running => "running",
        TimerState::Overdue => "overdue",
        TimerState::Met => "met",
        TimerState::MetLate => "met late",
        TimerState::Stopped => "stopped",
    };
    let row = |t: clearhouse_casework::case::timers::Timer| {
        json!({
            "rule": t.rule.id(), "due": show_time(t.due.at), "zone": t.due.zone, "state": word(t.state),
            "why": t.rule.line().doc,
        })
    };
    case.timers(deadlines, now).into_iter().map(row).collect()
}

pub(super) fn consents<S: Store>(world: &World<S>, case: &Case, now: u64) -> Vec<Value> {
    let row = |c: &wire::Consent| {
        let receiver = OrgId::try_from(c.recipient_org.as_slice()).map(|o| org_label(world, o)).unwrap_or_default();
        json!({
            "consent": hex(&c.id), "purpose": c.purpose, "receiver": receiver, "data_classes": c.data_classes,
            "given_by": c.given_by, "given": show_time(c.given_at), "expires": show_time(c.expires_at),
            "status": format!("{:?}", case.ledger().status(c, now)),
        })
    };
    case.ledger().consents().map(row).collect()
}

fn fate_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Waiting => "waiting here",
        Fate::Stored { locked: false } => "stored there",
        Fate::Stored { locked: true } => "stored, their node is locked",
        Fate::Received => "received by their node",
        Fate::Opened => "opened by a person",
        Fate::Refused(_) => "refused by their node",
        Fate::CannotRead => "kept sealed: they cannot read it yet",
        Fate::Recalled => "recalled",
        Fate::Failed => "could not be opened there",
        Fate::Expired => "expired undelivered",
    }
}

/// The envelope of a letter.
fn digest_of<S: Store>(world: &World<S>, l: &Letter) -> Option<Digest> {
    let mail = world.office.mail();
    let digest =
        if l.is_out() { &mail.outgoing(l.id())?.digest } else { &mail.seen(l.signature().node, l.id())?.digest };
    Digest::try_from(digest.as_slice()).ok()
}

/// Whether this is the other side's word and no alarm of a coordinator.
fn is_word_alone(word: &Value) -> bool {
    word["kind"] == "TIME_OVER" || word["kind"] == "COPY_ERASED"
}

/// What coordinators and the other end said about the messages of a case: alarms, and that time was over.
fn alarms<S: Store>(world: &World<S>, case: &Case) -> Vec<Value> {
    let digests = case.letters().iter().filter_map(|l| digest_of(world, l));
    let mut said: Vec<Value> = digests.flat_map(|digest| super::alarms::said_about(world, digest)).collect();
    // Said once about the case, and kept for each of its messages.
    let mut erased = BTreeSet::new();
    said.retain(|word| word["kind"] != "COPY_ERASED" || erased.insert(word["by"].to_string()));
    said
}

/// When the other node proved its part in a message by its log: what it did with ours, or that it sent theirs.
fn proved<S: Store>(world: &World<S>, l: &Letter) -> Option<String> {
    let mail = world.office.mail();
    let at = if l.is_out() {
        mail.outgoing(l.id()).map(|out| out.proved_at)
    } else {
        mail.letter(digest_of(world, l)?).map(|letter| letter.proved_at)
    };
    at.filter(|at| *at > 0).map(show_time)
}

fn kind_word(letter: &Letter) -> String {
    letter.kind().map_or_else(|| "unreadable".to_owned(), |k| k.message_type().as_str_name().to_ascii_lowercase())
}

fn letter<S: Store>(world: &World<S>, l: &Letter) -> Value {
    let refusal = match l.fate() {
        Fate::Refused(code) => Some(code.as_str_name()),
        Fate::Waiting
        | Fate::Stored { .. }
        | Fate::Received
        | Fate::Opened
        | Fate::CannotRead
        | Fate::Recalled
        | Fate::Failed
        | Fate::Expired => None,
    };
    let stored = l.is_out() && matches!(l.fate(), Fate::Stored { .. });
    let kept = world.office.mail().outgoing(l.id()).filter(|_| stored).and_then(|out| at_keeper(world, out));
    let body = l.body();
    json!({
        "message": l.id().to_string(), "kind": kind_word(l), "out": l.is_out(), "seq": l.seq(),
        "signed": show_time(l.sent_at()),
        "by": body.as_ref().map(|b| b.body().actor_label.clone()), "role": body.as_ref().map(|b| b.body().actor_role.clone()),
        "fate": if let Some(at) = kept { at } else if l.is_out() { fate_words(l.fate()).to_owned() } else if l.read().is_some() { "opened here".to_owned() } else { "not opened here yet".to_owned() },
        "refusal": refusal,
        "proved": proved(world, l),
        "stored": light(world, l.stored()), "received": light(world, l.received()), "read": light(world, l.read()),
    })
}

/// What waits for a person here.
pub(super) fn inbox<S: Store>(world: &World<S>, training: bool, now: u64) -> Value {
    let deadlines = world.office.deadlines();
    let mut items = Vec::new();
    for case in world.office.cases().into_iter().flat_map(|c| c.iter()) {
        for l in case.letters().iter().filter(|l| !l.is_out() && l.read().is_none()) {
            items.push(json!({
                "case": case_code(case.conversation(), training), "message": l.id().to_string(), "kind": kind_word(l),
                "from": org_label(world, case.peer_org()), "signed": show_time(l.sent_at()), "child": case.is_child(),
                "overdue": case.is_overdue(deadlines, now), "next_due": case.next_due(deadlines, now).map(show_time),
            }));
        }
    }
    json!({
        "schema": "ch.inbox/1", "messages": items, "sealed": world.office.mail().unopened().len(),
        "quarantined": super::quarantine::waiting(world),
    })
}

/// What a message says, for the person who just opened it.
pub(super) fn message<S: Store>(world: &World<S>, case: &Case, id: MsgId, training: bool, now: u64) -> Value {
    let Some(letter) = case.letter(id) else { return Value::Null };
    let body = letter.body();
    let says = body.as_ref().and_then(CheckedBody::what).map_or(Value::Null, |what| match what {
        What::ReturnNotice(n) => notice(n),
        What::Acknowledgement(a) => json!({
            "contact": contact(a.contact.as_ref()), "alternate": contact(a.alternate.as_ref()),
            "expected_answer": clearhouse_casework::forms::show_day(u64::from(a.expected_answer_day)),
        }),
        What::Answer(a) => json!({
            "answer": a.answer, "decline_reason": a.decline_reason, "conditions": a.conditions,
            "info_requested": a.info_requested, "services": a.services.iter().map(|s| s.service.clone()).collect::<Vec<_>>(),
            "contact": contact(a.contact.as_ref()), "alternate": contact(a.alternate.as_ref()),
        }),
        What::VictimProfile(_) => parts(world, case, now),
        What::Departure(d) => json!({
            "outcome": d.outcome, "at": show_time(d.at), "planned_arrival": show_time(d.planned_arrival),
        }),
        What::Arrival(a) => json!({
            "result": a.result, "at": show_time(a.at), "needs_now": a.needs_now, "met_by": contact(a.met_by.as_ref()),
        }),
        What::Withdrawal(w) => json!({"purpose": w.purpose, "data_classes": w.data_classes}),
    });
    json!({
        "schema": "ch.message/1", "case": case_code(case.conversation(), training), "message": id.to_string(),
        "kind": kind_word(letter), "from": org_label(world, case.peer_org()),
        "by": body.as_ref().map(|b| b.body().actor_label.clone()), "signed": show_time(letter.sent_at()), "says": says,
    })
}

fn contact(contact: Option<&wire::Contact>) -> Value {
    contact.map_or(Value::Null, |c| json!({"label": c.label, "role": c.role}))
}

fn notice(n: &wire::ReturnNotice) -> Value {
    let day = |d: u32| clearhouse_casework::forms::show_day(u64::from(d));
    json!({
        "age_band": n.age_band, "age_status": n.age_status, "age_basis": n.age_basis, "gender": n.gender,
        "citizenship": n.citizenship, "languages": n.languages, "dependant_bands": n.dependant_bands,
        "window_from": day(n.window_from_day), "window_to": day(n.window_to_day), "country": n.country,
        "region": n.region, "services": n.services, "risk_level": n.risk_level, "urgency": n.urgency,
        "voluntary": n.voluntary, "trafficking_status": n.trafficking_status, "referral_reason": n.referral_reason,
        "worker": contact(n.worker.as_ref()), "alternate": contact(n.alternate.as_ref()),
        "guardian_status": n.guardian_status,
        "acknowledge_by": n.acknowledge_by.as_ref().map(|d| show_time(d.at)),
        "answer_by": n.answer_by.as_ref().map(|d| show_time(d.at)),
    })
}

/// The parts of the profile that consent covers now, with their attachments' names.
fn parts<S: Store>(world: &World<S>, case: &Case, now: u64) -> Value {
    let mut shown = Vec::new();
    for visible in case.visible_parts(now) {
        let (key, _) = document_key(case.id(), visible.message, Document::Part(visible.class));
        let read = world.ledger.read(Table::Document, &key).ok().flatten();
        let part = read.as_ref().and_then(|bytes| super::acts::read_part(bytes));
        let notes =
            read.as_ref().and_then(|bytes| <wire::ProfilePart as prost::Message>::decode(bytes.as_slice()).ok());
        let notes: Vec<Value> = notes
            .iter()
            .flat_map(|p| &p.attachments)
            .map(|n| json!({"handle": hex(&n.name_tag), "name": n.name, "media_type": n.media_type}))
            .collect();
        shown.push(json!({
            "message": visible.message.to_string(), "data_class": visible.class.code(),
            "fields": part.map(|p| p.fields), "attachments": notes,
        }));
    }
    json!({"parts": shown})
}

pub(super) fn profile<S: Store>(world: &World<S>, case: &Case, training: bool, now: u64) -> Value {
    let parts = parts(world, case, now);
    json!({
        "schema": "ch.profile/1", "case": case_code(case.conversation(), training), "parts": parts["parts"],
    })
}

/// Where a message waits that lies in a mailbox another node keeps for its recipient.
pub(super) fn at_keeper<S: Store>(world: &World<S>, o: &Outgoing) -> Option<String> {
    let keeper = NodeId::try_from(o.keeper.as_slice()).ok().filter(|_| Delivery::of(o) == Delivery::Stored)?;
    let org = OrgId::try_from(o.peer_org.as_slice()).ok()?;
    let at = world.office.directory().org_of(keeper).map_or_else(|| keeper.to_string(), |org| org_label(world, org));
    Some(format!("at {at}, waiting for {} to fetch it", org_label(world, org)))
}

//! Erasing a case, or parts of its profile: decided by a person, final once a coordinator has its entries, and done to
//! the end whatever is cut short (protocol section 7.10, decision 20).
//!
//! 1. The *decision* is a row and an event. From then on the case is only shown as being erased.
//! 2. When a coordinator's node has taken every entry of the case, the decision's included, it becomes a *plan*: one
//!    commit with the CASE_ERASED events and a list of everything that has to go. From here there is no way back.
//! 3. The plan is carried out, part by part; each part can be repeated.
//! 4. A mark says that the wrapping keys still have to turn; only then is it gone from a disk that keeps old blocks.
//!
//! Refuses to erase what nobody read, what is on its way, and, unless somebody says so, what is still waited for. A
//! message that comes before 2 calls it off: it was written to people, and they have to see it.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::audit::{self, AuditEvent, Erasure, Happening};
use clearhouse_protocol::erased;
use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId};
use clearhouse_protocol::limits::{ERASED_NAMED_MAX, ERASED_RANGES_MAX};
use clearhouse_protocol::mail::Mailroom;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::cases::FactWriter;
use super::desk::Stop;
use super::{Now, Office, Step};
use crate::case::Case;
use crate::case::erase::ErasureRule;
use crate::case::fact::{Fact, PartsErased};
use crate::consent::DataClass;
use crate::refusal::Refusal;
use crate::roles::{Actor, Role};

/// Rows, keys and entries of one part of a plan: half of what one commit takes of each.
const PART: usize = 4096;

const INTENT: u8 = b'I';
const PLAN: u8 = b'P';
const TURN: u8 = b'T';

/// What a person asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// By which rule.
    pub rule: ErasureRule,
    /// These parts of the profile alone; none means the whole case.
    pub classes: Vec<DataClass>,
    /// Also while an answer or an arrival is still waited for. Coordinators will see that.
    pub although_open: bool,
}

/// A decision to erase, as it is kept. Field numbers are on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Decision {
    /// The role of who decided it. Who it was says the log of sign-ins.
    #[prost(string, tag = "1")]
    pub role: String,
    /// By which rule, see [`ErasureRule`].
    #[prost(string, tag = "2")]
    pub rule: String,
    /// Codes of the classes; none means the whole case.
    #[prost(string, repeated, tag = "3")]
    pub classes: Vec<String>,
    /// Also while something is waited for.
    #[prost(bool, tag = "4")]
    pub although_open: bool,
    /// Unix seconds.
    #[prost(uint64, tag = "5")]
    pub at: u64,
    /// Its entry in the node's log.
    #[prost(uint64, tag = "6")]
    pub event: u64,
}

impl Decision {
    /// Whether the whole case goes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.classes.is_empty()
    }

    fn classes(&self) -> Vec<DataClass> {
        self.classes.iter().filter_map(|code| DataClass::from_code(code)).collect()
    }
}

/// Everything that has to go, as it is kept.
#[derive(Clone, PartialEq, prost::Message)]
struct Plan {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<PlannedRow>,
    #[prost(message, repeated, tag = "2")]
    keys: Vec<PlannedKey>,
    #[prost(uint64, repeated, tag = "3")]
    events: Vec<u64>,
    #[prost(bool, tag = "4")]
    whole: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlannedRow {
    #[prost(uint32, tag = "1")]
    table: u32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

/// A data key: of a letter when there is a digest, of a class of the case otherwise.
#[derive(Clone, PartialEq, prost::Message)]
struct PlannedKey {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(uint32, tag = "2")]
    class: u32,
}

/// What is being erased.
#[derive(Default)]
pub(super) struct Erasing {
    decisions: BTreeMap<CaseId, Decision>,
    plans: BTreeMap<CaseId, Plan>,
    turn: Option<u32>,
}

impl Erasing {
    /// Takes one row; says of which case nothing may be known any more.
    pub(super) fn apply(&mut self, row: &Row) -> Option<CaseId> {
        let (kind, key) = row.key.split_first()?;
        let value = row.value.as_deref();
        if *kind == TURN {
            self.turn = value.and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
            return None;
        }
        let case = CaseId::try_from(key).ok()?;
        match (*kind, value) {
            (INTENT, Some(value)) => drop(self.decisions.insert(case, Decision::decode(value).ok()?)),
            (INTENT, None) => drop(self.decisions.remove(&case)),
            (PLAN, Some(value)) => drop(self.plans.insert(case, Plan::decode(value).ok()?)),
            (PLAN, None) => drop(self.plans.remove(&case)),
            _ => {}
        }
        self.is_gone(case).then_some(case)
    }

    /// Whether the rows of a case are on their way out: a fact of it that is still there is not one any more.
    pub(super) fn is_gone(&self, case: CaseId) -> bool {
        self.plans.get(&case).is_some_and(|plan| plan.whole)
    }
}

/// Which entries of the log are of a case. Shown every entry once, the newest first: what came in an envelope is known
/// by what was done with it later.
#[derive(Clone)]
pub struct Trail {
    digests: BTreeSet<Digest>,
    entries: BTreeSet<u64>,
}

impl Trail {
    /// Looks at one entry. Says whether it is of the case.
    pub fn see(&mut self, opening: &wire::Opening) -> bool {
        let known =
            |bytes: &[u8]| Digest::try_from(bytes).ok().filter(|digest| self.digests.contains(digest)).is_some();
        let named = [&opening.envelope_digest, &opening.ref_digest, &opening.replaces_digest];
        if !named.into_iter().any(|digest| known(digest)) && !self.entries.contains(&opening.index) {
            return false;
        }
        self.entries.insert(opening.index);
        let more = [&opening.envelope_digest, &opening.replaces_digest];
        self.digests.extend(more.into_iter().filter_map(|digest| Digest::try_from(digest.as_slice()).ok()));
        true
    }

    /// The entries found so far, in order.
    pub fn entries(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().copied()
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for index in self.entries() {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == index => *to = index,
                _ => ranges.push((index, index)),
            }
        }
        ranges
    }
}

/// Where rows of a case may stand that the office does not hold in memory: whoever has the store says which do.
#[derive(Clone, Default)]
pub struct Places {
    /// Parts of profiles: message and class. What is attached to them says the part itself.
    pub parts: Vec<(MsgId, DataClass)>,
    /// Receipts and proofs, by table and key.
    pub evidence: Vec<(Table, Vec<u8>)>,
}

/// One part of a plan, to be committed whole.
pub struct Part {
    /// Rows that go, and with the last part the plan itself.
    pub step: Step,
    /// Data keys that go.
    pub keys: Vec<Under>,
    /// Entries that are closed.
    pub closes: Vec<u64>,
    /// Nothing of this plan is left after it.
    pub is_last: bool,
}

impl Office {
    /// Decides that a case, or parts of its profile, is erased. Nothing goes yet.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`], [`Stop::Refused`]: then nothing changes.
    pub fn erase<R: CryptoRng>(
        &self,
        case: CaseId,
        actor: &Actor,
        order: &Order,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let (case, _) = self.to_act(case)?;
        case.may_erase(actor, &order.classes, order.although_open, now.time)?;
        self.guard_mail(case)?;
        if self.erasing.decisions.contains_key(&case.id()) {
            return Err(Refusal::BeingErased.into());
        }
        let mut step = Step::default();
        let happening = Happening::of(AuditEvent::ErasureDecided).by(actor.role.code());
        let event = self.record(&mut step, &happening, now).index;
        let decision = Decision {
            role: actor.role.code().to_owned(),
            rule: order.rule.code().to_owned(),
            classes: order.classes.iter().map(|class| class.code().to_owned()).collect(),
            although_open: order.although_open,
            at: now.time,
            event,
        };
        step.rows.push(row(INTENT, case.id().as_bytes(), Some(decision.encode_to_vec())));
        if decision.is_whole() {
            step.rows.push(self.urgent_row(event, now.time));
        }
        Ok(step)
    }

    /// Takes a decision to erase back. Nothing was erased.
    ///
    /// # Errors
    /// [`Stop::Locked`], [`Stop::NoSuch`], [`Refusal::NotBeingErased`], and for roles that may not erase either.
    pub fn keep<R: CryptoRng>(&self, case: CaseId, actor: &Actor, now: &mut Now<'_, R>) -> Result<Step, Stop> {
        let cases = self.cases.as_ref().ok_or(Stop::Locked)?;
        let case = cases.case(case).ok_or(Stop::NoSuch)?;
        case.may_keep(actor)?;
        let mut step = Step::default();
        self.call_off(case.id(), actor.role.code(), &mut step, now);
        if step.rows.is_empty() { Err(Refusal::NotBeingErased.into()) } else { Ok(step) }
    }

    /// Calls an erasure off that is not a plan yet, if there is one.
    pub(super) fn call_off<R: CryptoRng>(
        &self,
        case: CaseId,
        role: &'static str,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        if self.erasing.decisions.contains_key(&case) {
            step.rows.push(row(INTENT, case.as_bytes(), None));
            self.record(step, &Happening::of(AuditEvent::ErasureCalledOff).by(role), now);
        }
    }

    /// The decision that is about to erase a case or parts of it; `None` for any other.
    #[must_use]
    pub fn being_erased(&self, case: CaseId) -> Option<&Decision> {
        self.erasing.decisions.get(&case)
    }

    /// Whether a case as a whole is being erased: then nothing of it is shown and nobody acts on it.
    #[must_use]
    pub fn is_hidden(&self, case: CaseId) -> bool {
        self.erasing.decisions.get(&case).is_some_and(Decision::is_whole)
    }

    /// Cases whose erasure can become final now, as far as memory tells. Empty while content is locked.
    #[must_use]
    pub fn to_erase(&self, now: u64) -> Vec<CaseId> {
        let ready = |(id, decision): (&CaseId, &Decision)| {
            let case = self.cases.as_ref()?.case(*id)?;
            let told = !decision.is_whole() || self.is_heard(decision.event);
            (told && self.may_go(case, decision, now).is_ok()).then_some(*id)
        };
        self.erasing.decisions.iter().filter_map(ready).collect()
    }

    /// Plans that were not carried out to the end.
    #[must_use]
    pub fn plans(&self) -> Vec<CaseId> {
        self.erasing.plans.keys().copied().collect()
    }

    /// The epoch of the wrapping keys that still have to turn; `None` when nothing was erased since they did.
    #[must_use]
    pub fn turn_due(&self) -> Option<u32> {
        self.erasing.turn
    }

    /// The step after the wrapping keys turned.
    #[must_use]
    pub fn turned(&self) -> Step {
        Step { rows: vec![row(TURN, &[], None)], ..Step::default() }
    }

    /// What to look for in the log. `None` when cases are locked or there is no such case.
    #[must_use]
    pub fn trail(&self, case: CaseId) -> Option<Trail> {
        let case = self.cases.as_ref()?.case(case)?;
        let ours = self.mail.in_conversation(case.conversation(), case.peer_org());
        let ours = ours.filter_map(|(_, out)| Digest::try_from(out.digest.as_slice()).ok());
        let digests = ours.chain(self.came_in(case)).collect();
        Some(Trail { digests, entries: case.logged().iter().copied().collect() })
    }

    /// Where else rows of the case may stand.
    #[must_use]
    pub fn places(&self, case: CaseId, trail: &Trail) -> Places {
        let Some(found) = self.cases.as_ref().and_then(|cases| cases.case(case)) else { return Places::default() };
        let wanted = self.being_erased(case).map(Decision::classes).unwrap_or_default();
        let parts = found.parts().into_iter().filter(|(_, class)| wanted.is_empty() || wanted.contains(class));
        let mut places = Places { parts: parts.collect(), evidence: Vec::new() };
        if wanted.is_empty() {
            let receipts = self.mail.in_conversation(found.conversation(), found.peer_org());
            for (msg_id, _) in receipts {
                places.evidence.extend(super::mailing::receipt_keys(msg_id).map(|key| (Table::Receipt, key)));
            }
            for digest in &trail.digests {
                places.evidence.extend(super::proving::evidence_keys(*digest).map(|key| (Table::Receipt, key)));
            }
        }
        places
    }

    /// Makes a decision final: the events that say so and a plan of everything that goes, `found` included. `trail` has
    /// seen every entry of the log.
    ///
    /// # Errors
    /// [`Stop`]: something came between, and the decision stands as it was.
    pub fn plan<R: CryptoRng>(
        &self,
        id: CaseId,
        trail: &Trail,
        found: Vec<(Table, Vec<u8>)>,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Stop> {
        let cases = self.cases.as_ref().ok_or(Stop::Locked)?;
        let case = cases.case(id).ok_or(Stop::NoSuch)?;
        let decision = self.being_erased(id).ok_or(Refusal::NotBeingErased)?;
        self.may_go(case, decision, now.time)?;
        let last = trail.entries().last().unwrap_or(0).max(decision.event);
        if decision.is_whole() && !self.is_heard(last) {
            return Err(Refusal::BeingErased.into());
        }
        let mut step = Step::default();
        let mut plan = Plan { whole: decision.is_whole(), ..Plan::default() };
        plan.rows = found.into_iter().map(|(table, key)| planned(table, key)).collect();
        let role = Role::parse(&decision.role).map_or("", Role::code);
        if plan.whole {
            self.plan_case(case, trail, &mut plan);
            plan.events = trail.entries().collect();
            step.rows.extend(self.proving.without(&trail.entries));
            let ranges = trail.ranges();
            for ranges in ranges.chunks(ERASED_RANGES_MAX) {
                self.record_erased(ranges, &decision.rule, role, &mut step, now);
            }
            if ranges.is_empty() {
                self.record_erased(&[], &decision.rule, role, &mut step, now);
            }
            self.tell_partner(case, &decision.rule, &mut step, now)?;
        } else {
            let classes = decision.classes();
            plan.keys = classes
                .iter()
                .map(|class| PlannedKey { class: class.number().into(), ..PlannedKey::default() })
                .collect();
            let erased = PartsErased {
                classes: decision.classes.clone(),
                rule: decision.rule.clone(),
                at: now.time,
                role: decision.role.clone(),
            };
            step.rows.push(FactWriter::new(id, cases.next_fact(id)).row(&Fact::PartsErased(erased)));
            self.record_erased(&[], &decision.rule, role, &mut step, now);
        }
        step.rows.push(row(INTENT, id.as_bytes(), None));
        step.rows.push(row(PLAN, id.as_bytes(), Some(plan.encode_to_vec())));
        Ok(step)
    }

    /// Part `n`, from 0, of carrying out a plan. `epoch` is that of the wrapping keys now. `None` when there is no plan.
    #[must_use]
    pub fn part(&self, case: CaseId, n: usize, epoch: u32) -> Option<Part> {
        let plan = self.erasing.plans.get(&case)?;
        let rows = plan.rows.chunks(PART).nth(n).unwrap_or_default();
        let rows = rows.iter().filter_map(|row| {
            let table = Table::ALL.into_iter().find(|table| *table as u32 == row.table)?;
            Some(Row { table, key: row.key.clone(), value: None, under: Under::Service, must_be_new: false })
        });
        let mut step = Step { rows: rows.collect(), ..Step::default() };
        let keys = plan.keys.chunks(PART).nth(n).unwrap_or_default().iter().map(|key| under(case, key)).collect();
        let closes = plan.events.chunks(PART).nth(n).unwrap_or_default().to_vec();
        let parts = [plan.rows.len(), plan.keys.len(), plan.events.len()].map(|len| len.div_ceil(PART));
        let is_last = parts.into_iter().all(|parts| n + 1 >= parts);
        if is_last {
            step.rows.push(row(PLAN, case.as_bytes(), None));
            step.rows.push(row(TURN, &[], Some(epoch.to_be_bytes().to_vec())));
        }
        Some(Part { step, keys, closes, is_last })
    }

    /// Tells the other side that the copy here is gone. Who cannot be written to any more is not told; a full outbox is
    /// waited for.
    fn tell_partner<R: CryptoRng>(
        &self,
        case: &Case,
        rule: &str,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<(), Stop> {
        let ours = self.mail.in_conversation(case.conversation(), case.peer_org());
        let ours = ours.filter_map(|(_, out)| Digest::try_from(out.digest.as_slice()).ok());
        let mut digests: Vec<Digest> = self.came_in(case).into_iter().chain(ours).collect();
        digests.drain(..digests.len().saturating_sub(ERASED_NAMED_MAX));
        let Ok(node) = self.node_of(case.peer_org(), now.time) else { return Ok(()) };
        if digests.is_empty() {
            return Ok(());
        }
        let body = erased::compose(&erased::Erased { digests, rule: rule.to_owned() });
        match self.send_node_mail(wire::MessageType::Erased, (case.peer_org(), node), &body, step, now) {
            Ok(_) | Err(Stop::Route(_) | Stop::CannotRead | Stop::Seal(_)) => Ok(()),
            Err(stop @ (Stop::OutboxFull | Stop::Locked | Stop::NoSuch | Stop::Refused(_))) => Err(stop),
        }
    }

    /// What of the guards may have changed since the decision.
    fn may_go(&self, case: &Case, decision: &Decision, now: u64) -> Result<(), Stop> {
        case.erasable(&decision.classes(), decision.although_open, now)?;
        self.guard_mail(case)
    }

    /// Letters that this node has not opened may be of any case; receipts are mail of this one.
    fn guard_mail(&self, case: &Case) -> Result<(), Stop> {
        if !self.mail.unopened().is_empty() {
            return Err(Refusal::ErasureLettersWait.into());
        }
        let mut out = self.mail.in_conversation(case.conversation(), case.peer_org());
        if out.any(|(id, _)| self.mail.is_under_way(id)) {
            return Err(Refusal::ErasureUnderWay.into());
        }
        Ok(())
    }

    /// Whether somebody else keeps account of this entry: a coordinator's node, where there is another one.
    #[must_use]
    pub fn is_heard(&self, event: u64) -> bool {
        let another = |org: OrgId| org != self.me.org && self.directory.is_coordinator(org);
        if !self.directory.orgs().any(|(org, _)| another(org)) {
            return true;
        }
        self.told()
            .iter()
            .any(|standing| standing.took > event && self.directory.org_of(standing.node).is_some_and(another))
    }

    fn came_in(&self, case: &Case) -> Vec<Digest> {
        let theirs = case.letters().iter().filter(|letter| !letter.is_out());
        // Facts of earlier versions do not name the envelope; the mailroom remembers it for a while.
        let seen = theirs.filter_map(|letter| self.mail.seen(letter.signature().node, letter.id()));
        let seen = seen.filter_map(|taken| Digest::try_from(taken.digest.as_slice()).ok());
        case.came_in().iter().copied().chain(seen).collect()
    }

    fn plan_case(&self, case: &Case, trail: &Trail, plan: &mut Plan) {
        let id = case.id();
        let facts = self.cases.as_ref().map_or(0, |cases| cases.next_fact(id));
        plan.rows.extend((0..facts).map(|n| planned(Table::Fact, [id.as_bytes(), &n.to_be_bytes()].concat())));
        plan.rows.push(planned(Table::Timer, id.to_vec()));
        let unread = case.not_taken().map(|message| {
            planned(Table::Document, super::cases::document_key(id, message.id, super::cases::Document::Unread).0)
        });
        plan.rows.extend(unread);
        let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
        for (msg_id, out) in self.mail.in_conversation(case.conversation(), case.peer_org()) {
            plan.rows.push(planned(Table::Outbox, msg_id.to_vec()));
            nodes.extend(NodeId::try_from(out.peer_node.as_slice()).ok());
        }
        nodes.extend(case.letters().iter().filter(|letter| !letter.is_out()).map(|letter| letter.signature().node));
        let thread =
            |conversation: ConversationId, node| planned(Table::Conversation, Mailroom::thread_key(conversation, node));
        plan.rows.extend(nodes.into_iter().map(|node| thread(case.conversation(), node)));
        plan.rows.extend(trail.digests.iter().map(|digest| planned(Table::Envelope, digest.to_vec())));
        plan.rows.extend(self.alarms.keys_about(&trail.digests).into_iter().map(|key| planned(Table::Alarm, key)));
        let classes = DataClass::ALL.iter().map(|class| class.number());
        plan.keys = [0]
            .into_iter()
            .chain(classes)
            .map(|class| PlannedKey { class: class.into(), ..PlannedKey::default() })
            .collect();
        plan.keys.extend(trail.digests.iter().map(|digest| PlannedKey { digest: digest.to_vec(), class: 0 }));
    }

    fn record_erased<R: CryptoRng>(
        &self,
        ranges: &[(u64, u64)],
        rule: &str,
        role: &'static str,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        let index = self.next_event + step.events.len() as u64;
        let happening = Happening::of(AuditEvent::CaseErased).by(role);
        let erasure = Erasure { ranges, rule };
        step.events.extend(audit::record_erasure(
            &happening,
            erasure,
            self.me.net,
            &self.origin,
            index,
            now.time,
            now.rng,
        ));
    }
}

fn planned(table: Table, key: Vec<u8>) -> PlannedRow {
    PlannedRow { table: table as u32, key }
}

fn under(case: CaseId, key: &PlannedKey) -> Under {
    let class = u8::try_from(key.class).unwrap_or(0);
    Digest::try_from(key.digest.as_slice()).map_or(Under::Case(case, class), Under::Letter)
}

fn row(kind: u8, key: &[u8], value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Erasing, key: [&[kind], key].concat(), value, under: Under::Service, must_be_new: false }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! The plan of an erasure: everything that has to go, in one row; the commit that makes it final, and the parts in which
//! it is carried out.
//!
//! Refuses to become final while something of the case is not heard by a coordinator; once it is, refuses nothing and
//! forgets nothing: the plan is gone with its last part.

use std::collections::BTreeSet;

use clearhouse_protocol::audit::{self, AuditEvent, Erasure, Happening};
use clearhouse_protocol::erased;
use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, NodeId};
use clearhouse_protocol::limits::{ERASED_NAMED_MAX, ERASED_RANGES_MAX};
use clearhouse_protocol::mail::Mailroom;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::super::cases::{self, Document, FactWriter};
use super::super::desk::Stop;
use super::super::{Now, Office, Step};
use super::{INTENT, PLAN, TURN, Trail, row};
use crate::case::Case;
use crate::case::fact::{Fact, PartsErased};
use crate::consent::DataClass;
use crate::refusal::Refusal;
use crate::roles::Role;

/// Rows, keys and entries of one part of a plan: half of what one commit takes of each.
pub(super) const PART: usize = 4096;

/// Everything that has to go, as it is kept.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Plan {
    #[prost(message, repeated, tag = "1")]
    pub(super) rows: Vec<PlannedRow>,
    #[prost(message, repeated, tag = "2")]
    pub(super) keys: Vec<PlannedKey>,
    #[prost(uint64, repeated, tag = "3")]
    pub(super) events: Vec<u64>,
    #[prost(bool, tag = "4")]
    pub(super) whole: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PlannedRow {
    #[prost(uint32, tag = "1")]
    table: u32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

/// A data key: of a letter when there is a digest, of a class of the case otherwise.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PlannedKey {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(uint32, tag = "2")]
    class: u32,
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
            // In this commit or in none: a crash can neither lose it nor leave it twice.
            step.rows.extend(self.history_row(case, decision, now.rng));
            plan.events = trail.entries().collect();
            step.rows.extend(self.proving.without(&trail.entries));
            let ranges = trail.ranges();
            for ranges in ranges.chunks(ERASED_RANGES_MAX) {
                self.record_erased(ranges, &decision.rule, role, &mut step, now);
            }
            if ranges.is_empty() {
                self.record_erased(&[], &decision.rule, role, &mut step, now);
            }
            // Told without the pause: a disk lost before would bring the case back with a backup.
            if let Some(said) = step.events.last() {
                step.rows.push(self.urgent_row(said.index, now.time));
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

    pub(super) fn plan_case(&self, case: &Case, trail: &Trail, plan: &mut Plan) {
        let id = case.id();
        let facts = self.cases.as_ref().map_or(0, |cases| cases.next_fact(id));
        plan.rows.extend((0..facts).map(|n| planned(Table::Fact, [id.as_bytes(), &n.to_be_bytes()].concat())));
        plan.rows.push(planned(Table::Timer, id.to_vec()));
        let unread = case
            .not_taken()
            .map(|message| planned(Table::Document, cases::document_key(id, message.id, Document::Unread).0));
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
        let begun = Some(case.conversation()).filter(|conversation| self.mail.has_begun(*conversation));
        plan.rows.extend(begun.map(|conversation| planned(Table::Conversation, conversation.to_vec())));
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

    pub(super) fn record_erased<R: CryptoRng>(
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

pub(super) fn planned(table: Table, key: Vec<u8>) -> PlannedRow {
    PlannedRow { table: table as u32, key }
}

fn under(case: CaseId, key: &PlannedKey) -> Under {
    let class = u8::try_from(key.class).unwrap_or(0);
    Digest::try_from(key.digest.as_slice()).map_or(Under::Case(case, class), Under::Letter)
}

//! How a message leaves an office: composed, sealed to a node, queued, written down, and named in the log. Which envelope
//! a message settles, and by which envelope a letter of a case is known.
//!
//! Refuses to decide whether it may: the case was asked before.

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::envelope::{Attachment, Letter, seal};
use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId, StaffId};
use clearhouse_protocol::limits::{ENVELOPE_LIFE_SECS, RECEIPT_AGAIN_SECS, RECEIPTS_REMADE_MAX};
use clearhouse_protocol::mail::{Attempt, Outbound};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, Consent, MessageType};
use rand_core::CryptoRng;

use super::cases::{Document, FactWriter, document_row};
use super::desk::{Attached, Stop};
use super::witness::is_disclosure;
use super::{Effect, Now, Office, Step};
use crate::body::{self, BODY_VERSION, CheckedBody};
use crate::case::Case;
use crate::case::fact::{By, Fact, MessageOut};
use crate::consent::Purpose;
use crate::refusal::{Refusal, Subject};
use crate::roles::{ActKind, Actor};

/// One message to seal and queue.
pub(super) struct Parcel<'a> {
    pub(super) msg_type: u32,
    pub(super) body_version: u32,
    pub(super) to: (OrgId, NodeId),
    pub(super) conversation: ConversationId,
    pub(super) body: &'a [u8],
    pub(super) attachments: &'a [Attachment],
    pub(super) actor: Option<StaffId>,
    pub(super) case: Option<CaseId>,
    /// When it must not be opened any more: the end of the consent it rests on.
    pub(super) not_after: u64,
    /// A receipt: how often it was made again before.
    pub(super) remade: u32,
}

/// A message just queued.
pub(super) struct Queued {
    pub(super) msg_id: MsgId,
    pub(super) seq: u64,
    pub(super) digest: Digest,
}

impl Office {
    /// Seals a message to a node and queues it. The only way out of this office.
    pub(super) fn seal_and_queue<R: CryptoRng>(
        &self,
        parcel: &Parcel<'_>,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<Queued, Stop> {
        if !self.mail.outbox_has_room() {
            return Err(Stop::OutboxFull);
        }
        let to = self.directory.recipient(parcel.to.0, parcel.to.1, now.time).map_err(Stop::Route)?;
        if self.is_withheld(parcel.to.1, parcel.msg_type) {
            return Err(Stop::Route(RouteFault::Suspended));
        }
        if is_disclosure(parcel.msg_type) && self.directory.is_stale(parcel.to.1, now.time) {
            return Err(Stop::Route(RouteFault::Stale));
        }
        let corridor = self.directory.corridor(self.me.org, parcel.to.0, parcel.msg_type, now.time);
        corridor.map_err(|rule| Stop::Route(RouteFault::Corridor(rule)))?;
        if self.is_out_of_date(parcel.msg_type, now.time) {
            return Err(Stop::Route(RouteFault::OutOfDate));
        }
        if !to.reads.iter().any(|(t, v)| *t == parcel.msg_type && *v >= parcel.body_version) {
            return Err(Stop::CannotRead);
        }
        let place = self.mail.next_place_beside(&step.rows, parcel.conversation, parcel.to.1);
        let mut msg_id = [0u8; 16];
        now.rng.fill_bytes(&mut msg_id);
        let letter = Letter {
            net: self.me.net,
            msg_type: parcel.msg_type,
            body_version: parcel.body_version,
            msg_id: MsgId(msg_id),
            sender: (self.me.org, self.me.node),
            conversation: parcel.conversation,
            seq: place.seq,
            prev_digest: place.prev,
            created: now.time,
            expires: parcel.not_after.min(now.time + ENVELOPE_LIFE_SECS),
            actor: parcel.actor,
            body: parcel.body,
            attachments: parcel.attachments,
        };
        let sealed = seal(&letter, &to, 0, now.key, now.rng).map_err(Stop::Seal)?;
        let out = Outbound {
            sealed: &sealed,
            msg_id: letter.msg_id,
            peer: parcel.to,
            conversation: parcel.conversation,
            seq: place.seq,
            msg_type: parcel.msg_type,
            body: parcel.body,
            expires: letter.expires,
            case: parcel.case,
            prekey: to.prekey.id(),
            prev: letter.prev_digest,
            actor: letter.actor,
            not_before: self.may_leave_from(parcel.msg_type, now).max(pause_of(parcel.remade, now.time)),
            remade: parcel.remade,
        };
        let rows = self.mail.queue(&step.rows, &out, now.time);
        step.rows.extend(rows);
        step.effects.push(Effect::Deliver);
        Ok(Queued { msg_id: letter.msg_id, seq: place.seq, digest: sealed.digest })
    }

    /// When a message may leave. Where the network asks for cover a receipt goes at the log's next tick, or up to a quarter
    /// of one later: who watches the line does not learn when somebody read (attack case 37).
    fn may_leave_from<R: CryptoRng>(&self, msg_type: u32, now: &mut Now<'_, R>) -> u64 {
        let policy = self.directory.policy();
        if !policy.cover || msg_type != MessageType::Receipt as u32 {
            return 0;
        }
        let tick = u64::from(policy.log_tick_secs).max(1);
        let next = (now.time / tick).saturating_add(1).saturating_mul(tick);
        next.saturating_add(now.rng.next_u64() % (tick / 4 + 1))
    }

    /// Whether what coordinators said last is too old to tell somebody this: they may have been revoked since (protocol
    /// section 7.4, attack case 16). A notice goes longer than a profile: without it nobody meets her.
    fn is_out_of_date(&self, msg_type: u32, now: u64) -> bool {
        match self.directory.freshness(now) {
            Freshness::NoLogs | Freshness::Fresh(_) => false,
            Freshness::Aged(_) => msg_type == MessageType::VictimProfile as u32,
            Freshness::Old(_) => is_disclosure(msg_type),
        }
    }

    /// What to do when a recipient could not open a message: if it publishes another prekey by now, the same message is
    /// sealed to that and goes again, once for each prekey, as long as it may still leave (decision 23). `None` when a
    /// person has to look at it: nothing of the recipient's changed, or this node does not keep the whole body.
    pub(super) fn reseal<R: CryptoRng>(&self, msg_id: MsgId, now: &mut Now<'_, R>) -> Option<Step> {
        let out = self.mail.outgoing(msg_id).filter(|out| out.expires > now.time && !out.prekey.is_empty())?;
        let peer = (out.peer_org.as_slice().try_into().ok()?, out.peer_node.as_slice().try_into().ok()?);
        let to = self.directory.recipient(peer.0, peer.1, now.time).ok()?;
        let waits = self.is_withheld(peer.1, out.msg_type) || self.is_out_of_date(out.msg_type, now.time);
        if out.prekey == to.prekey.id().0 || out.case.is_empty() || waits {
            return None;
        }
        let mut step = Step::default();
        let Some(cases) = &self.cases else {
            // It waits for people to unlock: the mailbox is asked again, and says the same.
            step.rows = self.mail.attempted(msg_id, Attempt::Unclear { fault: 0 }, now.time, now.rng);
            return Some(step);
        };
        let case = cases.case(CaseId::try_from(out.case.as_slice()).ok()?)?;
        case.release_still_allowed(msg_id, now.time).ok()?;
        let body = case.letters().iter().find(|letter| letter.id() == msg_id)?.body()?;
        // The parts of a profile lie under keys of their own and are not in memory: a person sends it again.
        if !body.parts().is_empty() {
            return None;
        }
        let encoded = body.encode();
        let letter = Letter {
            net: self.me.net,
            msg_type: out.msg_type,
            body_version: BODY_VERSION,
            msg_id,
            sender: (self.me.org, self.me.node),
            conversation: ConversationId::try_from(out.conversation.as_slice()).ok()?,
            seq: out.seq,
            prev_digest: out.prev_digest.as_slice().try_into().ok(),
            created: now.time,
            expires: out.expires,
            actor: out.actor.as_slice().try_into().ok(),
            body: &encoded,
            attachments: &[],
        };
        let sealed = seal(&letter, &to, 0, now.key, now.rng).ok()?;
        step.rows = self.mail.reseal(msg_id, &sealed, to.prekey.id(), now.time);
        self.record(&mut step, &self.about_outgoing(AuditEvent::NotOpened, msg_id), now);
        let happening = Happening {
            answers: self.settles(case, &body),
            replaces: self.digest_of_ours(msg_id),
            due_day: due_day(&body),
            ..Happening::of(event_of(&body))
                .with(peer.0, peer.1)
                .about(sealed.digest, out.msg_type)
                .by(body.actor_role().code())
        };
        self.record(&mut step, &happening, now);
        step.effects.push(Effect::Deliver);
        Some(step)
    }

    #[expect(clippy::too_many_arguments, reason = "one sending, all of whose parts differ by caller")]
    pub(super) fn send_body<R: CryptoRng>(
        &self,
        case: &Case,
        actor: &Actor,
        body: &CheckedBody,
        attached: &[Attached],
        facts: &mut FactWriter,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) -> Result<MsgId, Stop> {
        let encoded = body.encode();
        let attachments: Vec<Attachment> = attached.iter().map(|(_, a)| a.clone()).collect();
        let parcel = Parcel {
            msg_type: body.kind().message_type() as u32,
            body_version: BODY_VERSION,
            to: (case.peer_org(), self.node_of(case.peer_org(), now.time)?),
            conversation: case.conversation(),
            body: &encoded,
            attachments: &attachments,
            actor: Some(actor.staff_id),
            case: Some(case.id()),
            not_after: body.consents().map(|c| c.expires_at).min().unwrap_or(u64::MAX),
            remade: 0,
        };
        let queued = self.seal_and_queue(&parcel, step, now)?;
        let fact = MessageOut {
            msg_id: queued.msg_id.to_vec(),
            msg_type: parcel.msg_type,
            body_version: parcel.body_version,
            seq: queued.seq,
            body: body.skeleton().to_vec(),
            at: now.time,
            by: Some(By::from(actor)),
        };
        step.rows.push(facts.row(&Fact::MessageOut(fact)));
        for (class, part) in body.parts() {
            step.rows.push(document_row(case.id(), queued.msg_id, Document::Part(class), Some(part.to_vec())));
        }
        for (class, attachment) in attached {
            let what = Document::Attachment(attachment.name_tag, *class);
            step.rows.push(document_row(case.id(), queued.msg_id, what, Some(attachment.bytes.to_vec())));
        }
        let happening = Happening {
            answers: self.settles(case, body),
            due_day: due_day(body),
            ..Happening::of(event_of(body))
                .with(parcel.to.0, parcel.to.1)
                .about(queued.digest, parcel.msg_type)
                .by(actor.role.code())
        };
        self.record(step, &happening, now);
        Ok(queued.msg_id)
    }

    /// Makes the body of a message: who acts, and the consents in force that its content needs. Which consent is
    /// missing is for the case to say.
    pub(super) fn compose(
        &self,
        case: &Case,
        actor: &Actor,
        what: What,
        in_reply_to: Option<MsgId>,
        now: u64,
    ) -> Result<CheckedBody, Stop> {
        let mut body = CaseBody {
            actor_label: actor.label.clone(),
            actor_role: actor.role.code().to_owned(),
            zone: self.me.zone.name().to_owned(),
            in_reply_to: in_reply_to.map(MsgId::to_vec).unwrap_or_default(),
            what: Some(what),
            ..CaseBody::default()
        };
        let needs = body::prepare(&body).map_err(Refusal::Body)?.needs();
        let mut consents: Vec<Consent> = Vec::new();
        for (purpose, class) in needs {
            let subject = Subject { purpose, class, receiver: case.receiver() };
            let of_purpose = || case.ledger().consents().filter(move |c| c.purpose == purpose.code());
            let covering = of_purpose().find(|c| case.ledger().covers(Some(c), &subject, now).is_ok());
            // None covers it: the newest of that purpose lets the case say what is wrong with it.
            let newest = || of_purpose().max_by_key(|c| c.given_at);
            if let Some(consent) = covering.or_else(newest)
                && !consents.iter().any(|c| c.id == consent.id)
            {
                consents.push(consent.clone());
            }
        }
        let mut consents = consents.into_iter();
        body.consent = consents.next();
        if let Some(What::VictimProfile(profile)) = &mut body.what {
            profile.consents = consents.collect();
        }
        Ok(body::prepare(&body).map_err(Refusal::Body)?)
    }

    /// The node of an organisation that can be written to now; one node per organisation in this version.
    pub(super) fn node_of(&self, org: OrgId, now: u64) -> Result<NodeId, Stop> {
        let mut fault = RouteFault::Unknown;
        for node in self.directory.nodes_of(org) {
            match self.directory.recipient(org, node, now) {
                Ok(_) => return Ok(node),
                Err(f) => fault = f,
            }
        }
        Err(Stop::Route(fault))
    }

    /// The envelope that a message settles, for those who hold logs against each other: the one it answers, of either
    /// side; for a newer notice the one before it; for her staying, and her word that takes back everything, whatever
    /// was still waited for.
    pub(super) fn settles(&self, case: &Case, body: &CheckedBody) -> Option<Digest> {
        let newest =
            |kind| case.letters().iter().filter(|l| l.kind() == Some(kind) && l.counts()).max_by_key(|l| l.seq());
        let takes_all_back = match body.what() {
            Some(What::Withdrawal(w)) => Purpose::parse(&w.purpose).is_some_and(Purpose::is_core),
            _ => body.act() == ActKind::Stay,
        };
        let settled = if takes_all_back {
            newest(body::Kind::Departure).or_else(|| case.notice()).map(crate::case::Letter::id)
        } else {
            let before = || case.notice().filter(|_| body.kind() == body::Kind::ReturnNotice);
            body.in_reply_to().or_else(|| before().map(crate::case::Letter::id))
        };
        settled.and_then(|id| self.digest_of_theirs(case.peer_org(), id).or_else(|| self.digest_of_ours(id)))
    }

    /// Names a letter of a case in an event: its envelope, its class and the other side.
    pub(super) fn name_letter(&self, case: &Case, letter: &crate::case::Letter, of: Happening) -> Option<Happening> {
        let (org, id) = (case.peer_org(), letter.id());
        if letter.is_out() {
            let out = self.mail.outgoing(id)?;
            let node = NodeId::try_from(out.peer_node.as_slice()).ok()?;
            return Some(of.with(org, node).about(self.digest_of_ours(id)?, out.msg_type));
        }
        let node = self.node_that_sent(org, id)?;
        let class = letter.kind()?.message_type() as u32;
        Some(of.with(org, node).about(self.digest_of_theirs(org, id)?, class))
    }

    pub(super) fn digest_of_ours(&self, msg_id: MsgId) -> Option<Digest> {
        Digest::try_from(self.mail.outgoing(msg_id)?.digest.as_slice()).ok()
    }

    pub(super) fn node_that_sent(&self, org: OrgId, msg_id: MsgId) -> Option<NodeId> {
        self.directory.nodes_of(org).find(|node| self.mail.seen(*node, msg_id).is_some())
    }

    pub(super) fn digest_of_theirs(&self, org: OrgId, msg_id: MsgId) -> Option<Digest> {
        let node = self.node_that_sent(org, msg_id)?;
        Digest::try_from(self.mail.seen(node, msg_id)?.digest.as_slice()).ok()
    }
}

/// From when on a receipt that was made again so often may leave, unix seconds: the first at once, as a newer key may be all it
/// lacked; each later one after a longer pause, in which a clock may be set right.
fn pause_of(remade: u32, now: u64) -> u64 {
    match remade.checked_sub(2) {
        None => 0,
        Some(later) => now.saturating_add(RECEIPT_AGAIN_SECS << (2 * later.min(RECEIPTS_REMADE_MAX))),
    }
}

fn event_of(body: &CheckedBody) -> AuditEvent {
    match (body.act(), body.what()) {
        (ActKind::Acknowledge, _) => AuditEvent::Acknowledged,
        (ActKind::Answer, Some(What::Answer(a))) if a.answer == "Declined" => AuditEvent::Declined,
        (ActKind::Answer, _) => AuditEvent::Accepted,
        (ActKind::SendProfile, _) => AuditEvent::Released,
        (ActKind::ConfirmArrival, Some(What::Arrival(a))) if a.result == "NotArrived" => AuditEvent::NotArrived,
        (ActKind::ConfirmArrival, _) => AuditEvent::Arrived,
        (_, _) => AuditEvent::Sent,
    }
}

fn due_day(body: &CheckedBody) -> u64 {
    let due = match body.what() {
        Some(What::ReturnNotice(n)) => n.answer_by.as_ref().map(|d| d.at),
        Some(What::Departure(d)) => d.arrival_due.as_ref().map(|d| d.at),
        _ => None,
    };
    due.unwrap_or(0) / clearhouse_protocol::limits::DAY
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

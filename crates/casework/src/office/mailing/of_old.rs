//! What was under way in a backup or an old copy that was put back: people may have recalled it since, or she may have
//! withdrawn, and nothing here remembers that. It ends, and a person looks and sends it again.
//!
//! Refuses to carry any of it but her own word. While cases are locked it cannot tell a departure from her staying, and
//! waits.

use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ids::{CaseId, MsgId};
use clearhouse_protocol::mail::{Attempt, FAULT_OF_OLD, FAULT_UNASKED, Outgoing};
use clearhouse_protocol::rows::Row;
use clearhouse_wire::v1::MessageType;
use rand_core::CryptoRng;

use super::{Effect, Now, Office, Step};
use crate::roles::ActKind;

impl Office {
    /// Rows that hold at most `limit` messages that were under way in the copy; none when all of them are.
    #[must_use]
    pub fn hold_old(&self, limit: usize, now: u64) -> Vec<Row> {
        self.mail.hold_old(limit, now)
    }

    /// What becomes of a message of an old copy in the place of an attempt; `None` when it may leave.
    pub(super) fn hold_back_old<R: CryptoRng>(&self, msg_id: MsgId, now: &mut Now<'_, R>) -> Option<Step> {
        let out = self.mail.outgoing(msg_id).filter(|out| out.of_old)?;
        let may_be_her_word = [MessageType::Departure, MessageType::Arrival].iter().any(|k| *k as u32 == out.msg_type);
        let mut step = Step::default();
        if may_be_her_word && self.cases.is_none() {
            step.rows = self.mail.attempted(msg_id, Attempt::Failed { fault: FAULT_OF_OLD }, now.time, now.rng);
            return Some(step);
        }
        if may_be_her_word && self.says_she_stays(msg_id, out) {
            return None;
        }
        step.rows = self.mail.end_old(msg_id, now.time);
        self.record(&mut step, &self.about_outgoing(AuditEvent::ExpiredUnsent, msg_id), now);
        Some(step)
    }

    /// [`Office::depart`] of a message that was here when the node started, while its witnesses have not said yet that this
    /// folder is the newest: what people decide on waits, because they may have recalled it since. Her own word, receipts and
    /// what nodes tell each other go.
    pub fn depart_unasked<R: CryptoRng>(&self, msg_id: MsgId, now: &mut Now<'_, R>) -> (Step, bool) {
        let (step, may_leave) = self.depart(msg_id, now);
        let waits = |out: &Outgoing| self.mail.may_be_recalled(msg_id) && !self.says_she_stays(msg_id, out);
        if !may_leave || !self.mail.outgoing(msg_id).is_some_and(waits) {
            return (step, may_leave);
        }
        let rows = self.mail.attempted(msg_id, Attempt::Failed { fault: FAULT_UNASKED }, now.time, now.rng);
        (Step { rows, ..Step::default() }, false)
    }

    /// Witnesses said that this folder is the newest: what waited for that goes.
    #[must_use]
    pub fn is_newest(&self, now: u64) -> Step {
        let rows = self.mail.is_newest(now);
        let effects = if rows.is_empty() { Vec::new() } else { vec![Effect::Deliver] };
        Step { rows, effects, ..Step::default() }
    }

    fn says_she_stays(&self, msg_id: MsgId, out: &Outgoing) -> bool {
        let case = CaseId::try_from(out.case.as_slice()).ok().and_then(|id| self.cases.as_ref()?.case(id));
        let body = case.and_then(|case| case.letter(msg_id)?.body());
        body.is_some_and(|body| body.act() == ActKind::Stay)
    }
}

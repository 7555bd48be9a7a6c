//! The office behind a router that lets nobody in: its mailbox at another office, what it fetches there, and what that one
//! keeps. The same steps as the product's, by hand: nothing is acknowledged before it is durable, nothing forgotten before
//! that.

use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::relay::Leave;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_protocol::limits::{FETCH_SLOTS, REPLAY_MEMORY_SECS};
use clearhouse_protocol::relay::{Depot, KeptState, rented};
use clearhouse_protocol::rows::Table;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use std::rc::Rc;

use super::Violation;
use super::courier::{CALL_SECS, INBOX_MAX};
use super::flaw::Flaw;
use super::net::{Call, Packet, Said, Site};
use super::node::{Ask, BEHIND, KEEPER, region};
use super::world::{SKEW_MAX, World};

/// The call of a deposit that was fetched: its answer is an acknowledgement to the keeper.
pub(super) const FETCHED: Call = Call::MAX;
/// What the keeper offers to keep in all, bytes.
const BYTES_MAX: u64 = 1 << 30;

/// The mailbox of the office behind a router.
pub(super) fn mailbox_there() -> MailboxId {
    rented(region().net, region().members[BEHIND].node, region().members[KEEPER].node)
}

/// What a keeper says of an envelope that it has or had for another node.
pub(super) fn outcome(depot: &Depot, digest: Digest) -> Option<wire::OutcomeReply> {
    let kept = depot.outcome(digest)?;
    let (state, expired) = match kept.state() {
        KeptState::Waiting => (wire::MailboxState::Stored, None),
        KeptState::Fetched => (wire::MailboxState::Fetched, None),
        KeptState::Expired => (wire::MailboxState::Expired, wire::Signed::decode(kept.expired.as_slice()).ok()),
    };
    Some(wire::OutcomeReply { state: state.into(), not_opened: None, expired })
}

impl World {
    /// Whether there is something to fetch: a call that waits at the keeper would be answered.
    pub(super) fn may_fetch(&self) -> bool {
        let waits = |site: Site| self.nodes[site].up.as_ref();
        let free = waits(BEHIND).is_some_and(|up| up.fetching.is_none_or(|(_, until)| until <= self.time));
        free && waits(KEEPER).is_some_and(|up| up.office.depot().waiting(mailbox_there()).next().is_some())
    }

    /// Asks the keeper for what lies there.
    pub(super) fn fetch(&mut self) -> Result<(), Violation> {
        let (now, keeper) = (self.nodes[BEHIND].clock(self.time), &region().members[KEEPER]);
        let Some(up) = self.nodes[BEHIND].up.as_mut() else { return Ok(()) };
        if up.directory.signing_key(keeper.org, keeper.node, now).is_err() {
            return Ok(());
        }
        self.calls += 1;
        up.fetching = Some((self.calls, self.time + CALL_SECS));
        let packet = Packet { call: self.calls, from: BEHIND, to: KEEPER, at: self.time, said: Said::Fetch };
        self.net.send(packet, &mut self.dice)
    }

    /// Somebody leaves an envelope for the office behind a router.
    pub(super) fn left_here(&mut self, packet: &Packet, outside: Outside, bytes: &[u8]) -> Result<(), Violation> {
        let now = self.nodes[KEEPER].clock(self.time);
        let Some(up) = self.nodes[KEEPER].up.as_mut() else { return Ok(()) };
        let tenant = &region().members[BEHIND];
        let stands = up.directory.signing_key(tenant.org, tenant.node, now).is_ok();
        if !stands || up.inbox.len() >= INBOX_MAX {
            return self.turn_away(KEEPER, packet.from, packet.call, stands);
        }
        let leave = Leave { mailbox: mailbox_there(), outside, bytes: bytes.to_vec(), bytes_max: BYTES_MAX };
        up.inbox.push_back(Ask::LeaveHere { call: packet.call, from: packet.from, leave });
        Ok(())
    }

    /// The keeper answers a fetch with the oldest of what it has.
    pub(super) fn hand_out(&mut self, packet: &Packet) -> Result<(), Violation> {
        if (packet.from, packet.to) != (BEHIND, KEEPER) {
            return Ok(());
        }
        let Some(up) = self.nodes[KEEPER].up.as_ref() else { return Ok(()) };
        let mut slots = Vec::new();
        for digest in up.office.depot().waiting(mailbox_there()).take(FETCH_SLOTS) {
            let bytes = up.ledger.read(Table::Envelope, &Depot::bytes_key(mailbox_there(), digest));
            let Ok(Some(bytes)) = bytes else {
                return Err(Violation::new(format!("P1: the envelope {digest} kept for another cannot be read back")));
            };
            slots.push((digest, Rc::from(bytes.as_slice())));
        }
        if self.flaw == Some(Flaw::ForgottenWhenHandedOut) {
            let digests = slots.iter().map(|(digest, _)| *digest).collect();
            self.ask(KEEPER, Ask::Acked(digests))?;
        }
        self.answer(KEEPER, BEHIND, packet.call, Said::Slots(slots))
    }

    /// What was fetched goes to the owner as if it had been left here.
    pub(super) fn take_in(&mut self, packet: &Packet) -> Result<(), Violation> {
        let (Some(up), Said::Slots(slots)) = (self.nodes[BEHIND].up.as_mut(), &packet.said) else { return Ok(()) };
        if up.fetching.is_none_or(|(call, _)| call != packet.call) {
            return Ok(());
        }
        up.fetching = None;
        for (digest, bytes) in slots {
            let outside = Outside::parse(bytes).ok().filter(|outside| outside.digest == *digest);
            let Some(mut outside) = outside.filter(|_| up.inbox.len() < INBOX_MAX) else { continue };
            outside.mailbox = mailbox_there();
            let deposit = Deposit { outside, bytes: bytes.to_vec() };
            up.inbox.push_back(Ask::Deposit { call: FETCHED, from: KEEPER, deposit });
        }
        if self.flaw == Some(Flaw::FetchedBeforeCommit) {
            let digests = slots.iter().map(|(digest, _)| *digest).collect();
            return self.answer(BEHIND, KEEPER, 0, Said::Ack(digests));
        }
        Ok(())
    }

    /// It is durable here: the keeper may forget it.
    pub(super) fn acknowledge(&mut self, digest: Digest) -> Result<(), Violation> {
        self.answer(BEHIND, KEEPER, 0, Said::Ack(vec![digest]))
    }

    /// After the calm, and at the very end.
    pub(super) fn nothing_kept_is_lost(&self) -> Result<(), Violation> {
        let mut kept =
            self.model.receipts().filter(|(site, digest, _)| *site == KEEPER && self.model.was_kept(*digest));
        kept.try_for_each(|(_, digest, expires)| self.judge_kept(digest, expires))
    }

    /// What the keeper signed for is there, at whoever it was for, or was said to have expired.
    fn judge_kept(&self, digest: Digest, expires: u64) -> Result<(), Violation> {
        let now = self.nodes[KEEPER].clock(self.time);
        let ends = [KEEPER, BEHIND].map(|site| self.nodes[site].up.as_ref());
        let [Some(keeper), Some(behind)] = ends else { return Ok(()) };
        let letter = behind.office.mail().letter(digest);
        let kept = keeper.office.depot().outcome(digest).map(|kept| kept.state());
        let gone = letter.is_none() && !matches!(kept, Some(KeptState::Waiting | KeptState::Expired));
        // Whom it was for may forget it by a clock that is ahead of the keeper's.
        if gone && expires + REPLAY_MEMORY_SECS >= now + 2 * SKEW_MAX {
            return Err(Violation::new(format!("P1: the keeper signed for {digest}, and nobody has it")));
        }
        Ok(())
    }
}

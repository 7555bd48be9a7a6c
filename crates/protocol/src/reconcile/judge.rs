//! What the accounts, laid side by side, come to. One digest after the other, in order, so that the same accounts give
//! the same report.
//!
//! A finding that rests on a node's silence is made only where that node's account reaches far enough. The two urgent
//! ones wait for a late account no longer than the grace: they accuse nobody, and no news is the alarm.

use std::collections::BTreeMap;

use clearhouse_wire::v1::MessageType;

use super::join::{Join, Record, RelayWord, Said, Side, Word};
use super::parties::No;
use super::{Finding, Kind, Party, settle};
use crate::ids::{Digest, OrgId};
use crate::limits::{DAY, ENVELOPE_LIFE_SECS, OPENINGS_KEPT_MAX_SECS, OPENINGS_KEPT_SECS};
use crate::mail::is_node_mail;

/// Sealings of one message that are looked through for an answer.
pub(super) const SEALINGS_MAX: usize = 16;

/// Open messages of one corridor, exact. Not to be shown: [`coarse`](super::coarse::coarse) it first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corridor {
    /// How many of each class (MessageType number) are not opened, not answered or not confirmed yet.
    pub open: BTreeMap<u32, u64>,
    /// The oldest of them, unix seconds.
    pub oldest: u64,
}

/// What was found, exact. It stays in the coordinator's process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In order, urgent ones first, nothing twice.
    pub findings: Vec<Finding>,
    /// How many questions cannot be answered because the account of this node does not reach far enough.
    pub unheard: BTreeMap<Party, u64>,
    /// Digests of which a side erased its account, and about which there is nothing more to find, those closed before
    /// included: remember them, so that [`Join::close`] keeps the other side's account from looking like a loss once
    /// openings are deleted. [`Join::settled`] says which may be.
    pub closed: Vec<Digest>,
    /// Open messages from one organisation to another.
    pub corridors: BTreeMap<(OrgId, OrgId), Corridor>,
}

impl Report {
    /// Before which time openings are needed no more, as of `now`: everything older came to an end
    /// [`OPENINGS_KEPT_SECS`] ago, or has not for [`OPENINGS_KEPT_MAX_SECS`]. What belongs to a message that is open may
    /// be older than the message by the life of an envelope.
    #[must_use]
    pub fn needed_from(&self, now: u64) -> u64 {
        let oldest = self.corridors.values().filter(|c| !c.open.is_empty()).map(|c| c.oldest).min();
        let needed = oldest.map_or(u64::MAX, |at| at.saturating_sub(ENVELOPE_LIFE_SECS + DAY));
        let (kept, at_most) = (now.saturating_sub(OPENINGS_KEPT_SECS), now.saturating_sub(OPENINGS_KEPT_MAX_SECS));
        needed.min(kept).max(at_most)
    }
}

struct Judge<'j> {
    join: &'j Join,
    now: u64,
    report: Report,
    /// Messages received and of these refused, by sender.
    taken: BTreeMap<No, (u64, u64)>,
}

impl Join {
    /// Judges everything taken so far, as of `now`. Changes nothing: ask again after taking more.
    #[must_use]
    pub fn report(&self, now: u64) -> Report {
        let mut judge = Judge { join: self, now, report: Report::default(), taken: BTreeMap::new() };
        for (digest, record) in &self.records {
            judge.envelope(digest, record);
        }
        judge.probing();
        settle(&mut judge.report.findings);
        judge.report
    }
}

impl Judge<'_> {
    fn envelope(&mut self, digest: &Digest, record: &Record) {
        let sent = sides(&record.sent, record.crowded.then(|| self.join.more_sent.get(digest)).flatten());
        let received = sides(&record.received, record.crowded.then(|| self.join.more_received.get(digest)).flatten());
        for side in &received {
            let taken = self.taken.entry(side.peer).or_default();
            taken.0 += 1;
            taken.1 += u64::from(side.refused);
        }
        let found = self.report.findings.len();
        let envelope = Envelope { digest, record, received: &received };
        let erased = sent.iter().chain(&received).any(|side| self.join.erased(side));
        if self.join.closed.contains(digest) {
            self.afterwards(&envelope, &sent);
            if erased && self.report.findings.len() == found {
                self.report.closed.push(*digest);
            }
            return;
        }
        let (mut open, mut waits) = (false, false);
        for side in &sent {
            open |= self.delivery(&envelope, side);
            open |= self.obligation(&envelope, side);
        }
        for (nth, side) in received.iter().enumerate() {
            if sent.is_empty() {
                waits |= self.unlogged(&envelope, side);
            }
            if !received[..nth].iter().any(|other| other.owner == side.owner) {
                open |= self.attention(&envelope, side);
            }
        }
        self.replay(&envelope);
        if open {
            self.count_open(sent.first().or(received.first()), sent.is_empty());
        }
        if erased && !open && !waits && self.report.findings.len() == found {
            self.report.closed.push(*digest);
        }
    }

    /// What can still be wrong with a message that was settled: somebody else has it now, or one has it twice.
    fn afterwards(&mut self, envelope: &Envelope<'_>, sent: &[Side]) {
        for side in sent.iter().filter(|_| !envelope.received.is_empty()) {
            self.delivery(envelope, side);
        }
        self.replay(envelope);
    }

    /// Did it arrive where it was sent? True while that is open.
    fn delivery(&mut self, envelope: &Envelope<'_>, sent: &Side) -> bool {
        if envelope.received.iter().any(|side| agree(sent, side)) {
            return false;
        }
        if let Some(other) = envelope.received.first() {
            let parties = [sent.owner, sent.peer, other.owner, other.peer];
            self.find(Kind::Misdirected, &parties, envelope, Some(other.index()), other.at());
            return false;
        }
        if [Said::Opened, Said::Had].iter().any(|said| self.says(envelope, *said, sent.peer)) {
            return false;
        }
        if self.says(envelope, Said::Ended, sent.owner) {
            return false;
        }
        let slack = self.join.policy.slack_secs();
        let deadline = sent.at().saturating_add(self.join.policy.received_within_secs).saturating_add(slack);
        if self.now >= deadline {
            self.missing(envelope, sent, deadline);
        }
        true
    }

    /// Its recipient does not say that it has it, and the time is over.
    fn missing(&mut self, envelope: &Envelope<'_>, sent: &Side, deadline: u64) {
        let (ends, index) = ([sent.owner, sent.peer], Some(sent.index()));
        let from = sent.at().saturating_sub(self.join.policy.slack_secs());
        let word = self.word(envelope.digest);
        let says = |word_is| word.is_some_and(|w| w.word == word_is);
        if says(Word::Holds) {
            return self.find(Kind::RecipientOffline, &ends, envelope, index, sent.at());
        }
        if !self.join.heard(sent.peer, from, deadline) {
            return self.unheard(sent.peer);
        }
        let stored = self.says(envelope, Said::Stored, sent.owner);
        let deposited = Join::somebody_says(envelope.record, Said::Deposited);
        let gap = |who, erased| self.join.gap(who, from, deadline, erased);
        let kind = if stored || deposited || says(Word::Fetched) {
            if gap(sent.peer, true) {
                Kind::ErasedUnopened
            } else if gap(sent.peer, false) {
                // A restore excuses the node and not the message: nobody can say that it is in anybody's hands.
                Kind::LostOrNotDeposited
            } else if deposited && !says(Word::Fetched) {
                Kind::RecipientOffline
            } else if let Some(RelayWord { relay, word: Word::NoRecord }) = word {
                // Its own storage receipt stands against the relay's word.
                return self.lost_by(relay, envelope, sent);
            } else {
                Kind::WithheldByRecipient
            }
        } else if gap(sent.peer, true) || gap(sent.owner, true) {
            // What would tell is among what was erased, on either side: no loss can be shown.
            return;
        } else if !self.join.heard(sent.owner, from, deadline) {
            return self.unheard(sent.owner);
        } else {
            Kind::LostOrNotDeposited
        };
        self.find(kind, &ends, envelope, index, sent.at());
    }

    fn lost_by(&mut self, relay: Party, envelope: &Envelope<'_>, sent: &Side) {
        self.find(Kind::LostOrNotDeposited, &[sent.owner, sent.peer], envelope, Some(sent.index()), sent.at());
        if let Some(finding) = self.report.findings.last_mut() {
            finding.parties.push(relay);
        }
    }

    /// Was an answer or an arrival due, and did it come? True while that is open.
    fn obligation(&mut self, envelope: &Envelope<'_>, sent: &Side) -> bool {
        let notice = u32::from(sent.class) == MessageType::ReturnNotice as u32;
        let departure = u32::from(sent.class) == MessageType::Departure as u32;
        if sent.due_day == 0 || !(notice || departure) || self.is_met(envelope, sent, notice) {
            return false;
        }
        let ends = [sent.owner, sent.peer];
        let theirs = envelope.received.iter().find(|side| side.owner == sent.peer);
        let opened = self.says(envelope, Said::Opened, sent.peer);
        // Erased before anybody opened it: that is the stronger finding, and attention() makes it.
        let by_recipient = theirs.filter(|side| opened && self.join.erased(side));
        if let Some(side) = by_recipient.or(self.join.erased(sent).then_some(sent)) {
            self.find(Kind::ErasedOpenNotice, &ends, envelope, Some(side.index()), side.at());
        }
        let kind = if notice { Kind::Unanswered } else { Kind::OverdueArrival };
        if let Some(since) = self.lapsed(envelope, sent) {
            self.find(kind, &ends, envelope, Some(sent.index()), since);
            return true;
        }
        let over = (u64::from(sent.due_day) + 1) * DAY;
        if self.now < over {
            return true;
        }
        let audited = self.join.standings.contains_key(&sent.peer);
        let waited = self.now >= over.saturating_add(self.join.policy.grace_secs);
        if self.join.heard(sent.peer, sent.at(), over) || (audited && waited) {
            self.find(kind, &ends, envelope, Some(sent.index()), over);
        } else {
            self.unheard(sent.peer);
        }
        true
    }

    /// Since when nothing came, by the word of the ends themselves: they know the hour, where others know the day. The
    /// side that owes it is believed at once; the side that waits, when the other's account reaches as far or is late.
    fn lapsed(&self, envelope: &Envelope<'_>, sent: &Side) -> Option<u64> {
        if let Some(owed) = self.join.lapsed(envelope.digest, sent.peer) {
            return Some(owed);
        }
        let missed = self.join.lapsed(envelope.digest, sent.owner)?;
        let waited = self.now >= missed.saturating_add(self.join.policy.alarm_wait_secs);
        (waited || self.join.heard(sent.peer, sent.at(), missed)).then_some(missed)
    }

    fn is_met(&self, envelope: &Envelope<'_>, sent: &Side, notice: bool) -> bool {
        let refused = envelope.received.iter().any(|side| side.owner == sent.peer && side.refused);
        let never_left = self.says(envelope, Said::Ended, sent.owner) && envelope.received.is_empty();
        let dropped = self.join.dropped(envelope.digest, envelope.record, [sent.owner, sent.peer]);
        refused || never_left || dropped || self.is_answered(envelope.digest, sent.peer, notice)
    }

    /// Whether `who` answered a message, or an earlier sealing of it.
    fn is_answered(&self, digest: &Digest, who: No, notice: bool) -> bool {
        let earlier = std::iter::successors(Some(digest), |digest| self.join.replaces.get(*digest));
        earlier.take(SEALINGS_MAX).filter_map(|digest| Some((digest, self.join.records.get(digest)?))).any(|(d, r)| {
            self.join.says(d, r, Said::Arrived, who) || notice && self.join.says(d, r, Said::Answered, who)
        })
    }

    /// Did a person open what was received? True while that is open.
    fn attention(&mut self, envelope: &Envelope<'_>, received: &Side) -> bool {
        let for_a_person = !is_node_mail(u32::from(received.class));
        if received.refused || !for_a_person || self.says(envelope, Said::Opened, received.owner) {
            return false;
        }
        let (ends, index) = ([received.peer, received.owner], Some(received.index()));
        if self.join.erased(received) {
            self.find(Kind::ErasedUnopened, &ends, envelope, index, received.at());
            return false;
        }
        let deadline = received.at().saturating_add(self.join.policy.opened_within_secs);
        let deadline = deadline.saturating_add(self.join.policy.slack_secs());
        if self.now >= deadline {
            if self.join.heard(received.owner, received.at(), deadline) {
                self.find(Kind::Unattended, &ends, envelope, index, received.at());
            } else {
                self.unheard(received.owner);
            }
        }
        true
    }

    /// Received, and nobody's log says that it was sent. True while that may still be said.
    fn unlogged(&mut self, envelope: &Envelope<'_>, received: &Side) -> bool {
        let (policy, sender) = (&self.join.policy, received.peer);
        if self.now < received.at().saturating_add(policy.grace_secs) {
            return true;
        }
        let until = received.at().saturating_add(policy.slack_secs());
        let from = received.at().saturating_sub(ENVELOPE_LIFE_SECS + policy.slack_secs());
        if self.join.forgotten(sender, from) {
            return false;
        }
        if !self.join.heard(sender, from, until) {
            self.unheard(sender);
            return true;
        }
        if ![true, false].iter().any(|erased| self.join.gap(sender, from, until, *erased)) {
            let ends = [sender, received.owner];
            self.find(Kind::UnloggedSender, &ends, envelope, Some(received.index()), received.at());
        }
        false
    }

    /// One envelope is taken in once, by one node, unless a restore lies between.
    fn replay(&mut self, envelope: &Envelope<'_>) {
        let Some((first, again)) = envelope.received.split_first() else { return };
        let twice = again
            .iter()
            .find(|side| side.owner != first.owner || !self.join.restored(side.owner, first.at(), side.at()));
        let Some(twice) = twice else { return };
        let mut parties = vec![first.peer];
        parties.extend(envelope.received.iter().map(|side| side.owner));
        self.find(Kind::Replay, &parties, envelope, Some(twice.index()), twice.at());
    }

    fn probing(&mut self) {
        let policy = &self.join.policy;
        let mut taken = std::mem::take(&mut self.taken);
        for (sender, refused) in &self.join.bad_receipts {
            let counts = taken.entry(*sender).or_default();
            *counts = (counts.0 + refused, counts.1 + refused);
        }
        for (sender, (all, refused)) in taken {
            let unusual = refused.saturating_mul(100) > all.saturating_mul(policy.probing_percent);
            if sender.is_some() && refused >= policy.probing_count && unusual {
                let parties = vec![self.join.parties.party(sender)];
                let finding = Finding { kind: Kind::Probing, parties, digest: None, index: None, since: 0 };
                self.report.findings.push(finding);
            }
        }
    }

    /// What relays say of a digest; the word that says most, when they differ.
    fn word(&self, digest: &Digest) -> Option<RelayWord> {
        let words = self.join.relays.get(digest)?;
        words.iter().max_by_key(|word| word.word).copied()
    }

    fn says(&self, envelope: &Envelope<'_>, said: Said, who: No) -> bool {
        self.join.says(envelope.digest, envelope.record, said, who)
    }

    fn unheard(&mut self, who: No) {
        *self.report.unheard.entry(self.join.parties.party(who)).or_default() += 1;
    }

    /// Counts a message as open, from the account of its sender or, without one, of its recipient.
    fn count_open(&mut self, side: Option<&Side>, of_recipient: bool) {
        let Some(side) = side else { return };
        let (from, to) = if of_recipient { (side.peer, side.owner) } else { (side.owner, side.peer) };
        let org = |no| self.join.parties.party(no).0;
        let corridor = self.report.corridors.entry((org(from), org(to))).or_default();
        corridor.oldest = if corridor.open.is_empty() { side.at() } else { corridor.oldest.min(side.at()) };
        *corridor.open.entry(u32::from(side.class)).or_default() += 1;
    }

    fn find(&mut self, kind: Kind, parties: &[No], envelope: &Envelope<'_>, index: Option<u64>, since: u64) {
        let mut named: Vec<Party> = Vec::with_capacity(parties.len());
        for no in parties {
            let party = self.join.parties.party(*no);
            if !named.contains(&party) {
                named.push(party);
            }
        }
        self.report.findings.push(Finding { kind, parties: named, digest: Some(*envelope.digest), index, since });
    }
}

struct Envelope<'a> {
    digest: &'a Digest,
    record: &'a Record,
    received: &'a [Side],
}

/// All accounts of one kind, in an order that does not depend on who came first.
fn sides(first: &Side, more: Option<&Vec<Side>>) -> Vec<Side> {
    let mut sides: Vec<Side> = [*first].into_iter().filter(|side| side.owner.is_some()).collect();
    sides.extend(more.into_iter().flatten());
    sides.sort_unstable_by_key(|side| (side.at(), side.index(), *side));
    sides
}

/// Whether two accounts of an envelope fit together.
fn agree(sent: &Side, received: &Side) -> bool {
    sent.peer == received.owner && received.peer == sent.owner && sent.class == received.class
}

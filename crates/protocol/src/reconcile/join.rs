//! The join: who said what about which envelope. One small record for each digest, whatever order the openings come in.
//!
//! Fed with [`Join::take`], asked with [`Join::report`]. Refuses to believe a node about anything but itself: whatever
//! a log says counts as the word of the node whose log it is.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1::{AuditEvent, MessageType, Opening};

use super::account::{Gap, Standing, covers};
use super::parties::{No, Parties};
use super::{Party, Policy};
use crate::ids::{Digest, NodeId, OrgId};
use crate::limits::OPENING_STEP_SECS;

/// What a relay says of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// It never had it.
    NoRecord,
    /// It has it, and nobody fetched it.
    Holds,
    /// The recipient fetched it.
    Fetched,
}

/// A word and the relay whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayWord {
    /// The relay.
    pub relay: Party,
    /// What it says.
    pub word: Word,
}

/// One side's account of an envelope, in 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Side {
    /// Whose log it is.
    pub(super) owner: No,
    /// Whom it names as the other side.
    pub(super) peer: No,
    pub(super) class: u16,
    pub(super) refused: bool,
    /// In steps of opening times.
    steps: u32,
    pub(super) due_day: u32,
    index: u32,
}

impl Side {
    const NONE: Self =
        Self { owner: No::NONE, peer: No::NONE, class: 0, refused: false, steps: 0, due_day: 0, index: 0 };

    pub(super) fn at(&self) -> u64 {
        u64::from(self.steps) * OPENING_STEP_SECS
    }

    pub(super) fn index(&self) -> u64 {
        u64::from(self.index)
    }
}

/// What else a node can say of a digest. A number is a place in [`Record::said`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// The recipient's mailbox signed that it has it.
    Stored = 0,
    /// Its sender does not expect a receipt any more.
    Ended = 1,
    /// It lies in my mailbox.
    Deposited = 2,
    /// A person here opened it.
    Opened = 3,
    /// I sent a receipt for it, or could not open it: either way I have it.
    Had = 4,
    /// I accepted or declined it.
    Answered = 5,
    /// She arrived, or did not.
    Arrived = 6,
    /// It does not count any more: withdrawn, replaced, or she stays.
    Dropped = 7,
}

const SAID: usize = 8;

/// Accounts of one digest by one node that are looked at: a log that repeats itself keeps nobody busy.
pub(super) const SIDES_MAX: usize = 4;

/// Everything said of one digest, as long as every role is played by one node.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) sent: Side,
    pub(super) received: Side,
    said: [No; SAID],
    /// More was said than fits here.
    pub(super) crowded: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self { sent: Side::NONE, received: Side::NONE, said: [No::NONE; SAID], crowded: false }
    }
}

/// The accounts of all nodes, laid side by side.
pub struct Join {
    pub(super) policy: Policy,
    pub(super) parties: Parties,
    pub(super) records: BTreeMap<Digest, Record>,
    /// A second sender or receiver of a digest, and a second node that said the same of it.
    pub(super) more_sent: BTreeMap<Digest, Vec<Side>>,
    pub(super) more_received: BTreeMap<Digest, Vec<Side>>,
    more_said: BTreeSet<(Digest, Said, No)>,
    pub(super) standings: BTreeMap<No, Standing>,
    pub(super) relays: BTreeMap<Digest, BTreeSet<RelayWord>>,
    /// An earlier sealing of the same message, by the later one.
    pub(super) replaces: BTreeMap<Digest, Digest>,
    /// A notice and a message that asks for more about it.
    pub(super) asked: BTreeSet<(Digest, Digest)>,
    pub(super) closed: BTreeSet<Digest>,
    /// When an end of a message recorded that what it asked for was not done in time, unix seconds.
    lapses: BTreeMap<(Digest, No), u64>,
    /// Receipts refused, by who sent them.
    pub(super) bad_receipts: BTreeMap<No, u64>,
}

impl Join {
    /// A join of nothing yet. `known` are the nodes of the directory: they are told apart whatever logs name.
    #[must_use]
    pub fn new(policy: Policy, known: impl IntoIterator<Item = Party>) -> Self {
        let mut parties = Parties::default();
        for party in known {
            parties.number(party);
        }
        Self {
            policy,
            parties,
            records: BTreeMap::new(),
            more_sent: BTreeMap::new(),
            more_received: BTreeMap::new(),
            more_said: BTreeSet::new(),
            standings: BTreeMap::new(),
            relays: BTreeMap::new(),
            replaces: BTreeMap::new(),
            asked: BTreeSet::new(),
            closed: BTreeSet::new(),
            lapses: BTreeMap::new(),
            bad_receipts: BTreeMap::new(),
        }
    }

    /// Says how far a node's account reaches. Without it, its silence counts for nothing; a later call replaces an
    /// earlier one.
    pub fn hear(&mut self, standing: Standing) {
        let no = self.parties.number(standing.party);
        self.standings.insert(no, standing);
    }

    /// How far a node's account reaches, if it was heard.
    pub(super) fn standing(&self, party: Party) -> Option<&Standing> {
        self.standings.get(&self.parties.known(party)?)
    }

    /// Notes what a relay says of a digest.
    pub fn relay_says(&mut self, digest: Digest, word: RelayWord) {
        self.relays.entry(digest).or_default().insert(word);
    }

    /// A digest that was settled before: what is not said of it any more is no finding. Needed for those in
    /// [`Report::closed`](super::Report::closed) of earlier reports whose openings were deleted.
    pub fn close(&mut self, digest: Digest) {
        self.closed.insert(digest);
    }

    /// Takes one opening of the log of `owner`: only such as [`account::examine`](super::account::examine) handed out,
    /// each once, in any order.
    pub fn take(&mut self, owner: Party, opening: &Opening) {
        let Ok(digest) = Digest::try_from(opening.envelope_digest.as_slice()) else { return };
        let me = self.parties.number(owner);
        let receipt = opening.msg_class == MessageType::Receipt as u32;
        match opening.event() {
            AuditEvent::Sent
            | AuditEvent::Acknowledged
            | AuditEvent::Accepted
            | AuditEvent::Declined
            | AuditEvent::Released
            | AuditEvent::Arrived
            | AuditEvent::NotArrived => self.sent(digest, me, opening),
            AuditEvent::AuditReceived if !receipt => self.received(digest, me, opening),
            AuditEvent::Rejected if !receipt => self.received(digest, me, opening),
            AuditEvent::Rejected => {
                let peer = self.peer(opening);
                if peer.is_some() {
                    *self.bad_receipts.entry(peer).or_default() += 1;
                }
            }
            // Receipts are mail without an account of their own: what they say stands in the log of who signed them.
            _ if receipt => {}
            AuditEvent::ReceiptReceived => self.said(digest, Said::Stored, me),
            AuditEvent::Recalled | AuditEvent::ExpiredUnsent => self.said(digest, Said::Ended, me),
            // Its sender names the other side, its recipient knows the digest alone.
            AuditEvent::NotOpened if !opening.peer_node.is_empty() => self.said(digest, Said::Ended, me),
            AuditEvent::NotOpened | AuditEvent::ReceiptSent => self.said(digest, Said::Had, me),
            AuditEvent::Deposited => self.said(digest, Said::Deposited, me),
            AuditEvent::AuditOpened => self.said(digest, Said::Opened, me),
            AuditEvent::Unanswered => drop(self.lapses.entry((digest, me)).or_insert(opening.time)),
            AuditEvent::Unspecified
            | AuditEvent::AuditReceived
            | AuditEvent::ExpiredAtRelay
            | AuditEvent::KeyErased
            | AuditEvent::CaseErased
            | AuditEvent::Backup
            | AuditEvent::Restore
            | AuditEvent::AdminLogin
            | AuditEvent::Revoked
            | AuditEvent::Dummy
            | AuditEvent::Unread
            | AuditEvent::AlarmRaised
            | AuditEvent::AlarmEnded
            | AuditEvent::AlarmTaken
            | AuditEvent::Quarantined
            | AuditEvent::Withdrawn
            | AuditEvent::Export
            | AuditEvent::KeyChange
            | AuditEvent::DirectoryChanged
            | AuditEvent::SignIn
            | AuditEvent::EquivocationFound
            | AuditEvent::FindingsMade
            | AuditEvent::ErasureDecided
            | AuditEvent::ErasureCalledOff
            | AuditEvent::Locked
            | AuditEvent::Unlocked
            | AuditEvent::StaffChanged
            | AuditEvent::LocalAct => {}
        }
    }

    fn sent(&mut self, digest: Digest, me: No, opening: &Opening) {
        let side = self.side(me, opening);
        let record = self.records.entry(digest).or_default();
        if record.sent == Side::NONE {
            record.sent = side;
        } else if record.sent != side {
            record.crowded = true;
            crowd(record.sent, self.more_sent.entry(digest).or_default(), side);
        }
        if let Ok(earlier) = Digest::try_from(opening.replaces_digest.as_slice()) {
            self.replaces.insert(digest, earlier);
            self.said(earlier, Said::Ended, me);
            self.said(earlier, Said::Dropped, me);
        }
        let Ok(answered) = Digest::try_from(opening.ref_digest.as_slice()) else { return };
        let event = opening.event();
        if matches!(event, AuditEvent::Accepted | AuditEvent::Declined) {
            self.said(answered, Said::Answered, me);
        } else if matches!(event, AuditEvent::Arrived | AuditEvent::NotArrived) {
            self.said(answered, Said::Arrived, me);
        } else if drops(opening) {
            self.said(answered, Said::Dropped, me);
        } else if event == AuditEvent::Sent && opening.msg_class == MessageType::Answer as u32 {
            self.asked.insert((answered, digest));
        }
    }

    fn received(&mut self, digest: Digest, me: No, opening: &Opening) {
        let side = self.side(me, opening);
        let record = self.records.entry(digest).or_default();
        if record.received == Side::NONE {
            record.received = side;
        } else {
            record.crowded = true;
            crowd(record.received, self.more_received.entry(digest).or_default(), side);
        }
    }

    fn said(&mut self, digest: Digest, said: Said, me: No) {
        let record = self.records.entry(digest).or_default();
        let place = &mut record.said[said as usize];
        if *place == No::NONE {
            *place = me;
        } else if *place != me {
            record.crowded = true;
            self.more_said.insert((digest, said, me));
        }
    }

    fn side(&mut self, owner: No, opening: &Opening) -> Side {
        Side {
            owner,
            peer: self.peer(opening),
            class: u16::try_from(opening.msg_class).unwrap_or(u16::MAX),
            refused: opening.event() == AuditEvent::Rejected,
            steps: u32::try_from(opening.time / OPENING_STEP_SECS).unwrap_or(u32::MAX),
            due_day: u32::try_from(opening.due_day).unwrap_or(u32::MAX),
            index: u32::try_from(opening.index).unwrap_or(u32::MAX),
        }
    }

    fn peer(&mut self, opening: &Opening) -> No {
        let org = OrgId::try_from(opening.peer_org.as_slice());
        let node = NodeId::try_from(opening.peer_node.as_slice());
        org.ok().zip(node.ok()).map_or(No::NONE, |party| self.parties.number(party))
    }

    /// Whether `who` said this of a digest.
    pub(super) fn says(&self, digest: &Digest, record: &Record, said: Said, who: No) -> bool {
        record.said[said as usize] == who && who.is_some()
            || record.crowded && self.more_said.contains(&(*digest, said, who))
    }

    /// Whether one of two said that a message does not count any more: of itself, or by a new one that follows a
    /// question about it.
    pub(super) fn dropped(&self, digest: &Digest, record: &Record, ends: [No; 2]) -> bool {
        let says = |d: &Digest, r: &Record| ends.iter().any(|who| self.says(d, r, Said::Dropped, *who));
        let questions = self.asked.range((*digest, Digest([0; 32]))..=(*digest, Digest([255; 32])));
        let mut questions = questions.filter_map(|(_, question)| Some((question, self.records.get(question)?)));
        says(digest, record) || questions.any(|(question, of)| says(question, of))
    }

    /// When a node recorded that what a message asked for was not done in time, if it did.
    pub(super) fn lapsed(&self, digest: &Digest, who: No) -> Option<u64> {
        self.lapses.get(&(*digest, who)).copied().filter(|_| who.is_some())
    }

    /// Whether anybody said this of a digest.
    pub(super) fn somebody_says(record: &Record, said: Said) -> bool {
        record.said[said as usize].is_some()
    }

    /// Whether everything that a node recorded from `from` to `to` is known.
    pub(super) fn heard(&self, who: No, from: u64, to: u64) -> bool {
        self.standings.get(&who).is_some_and(|s| s.heard_from <= from && to <= s.heard_until)
    }

    /// Whether what a node recorded at that time is not asked for any more, so that its silence will never tell.
    pub(super) fn forgotten(&self, who: No, from: u64) -> bool {
        self.standings.get(&who).is_some_and(|s| from < s.heard_from)
    }

    /// Whether a node declared leaves, never shown, that may tell of the time from `from` to `to`.
    pub(super) fn gap(&self, who: No, from: u64, to: u64, erased: bool) -> bool {
        let gaps = self.standings.get(&who).map_or([].as_slice(), |s| &s.gaps);
        gaps.iter().any(|gap: &Gap| gap.erased == erased && gap.earliest <= to && from <= gap.latest)
    }

    /// Whether a node erased this leaf with a case.
    pub(super) fn erased(&self, side: &Side) -> bool {
        self.standings.get(&side.owner).is_some_and(|s| covers(&s.erased, side.index()))
    }

    /// Whether a node restored between two times.
    pub(super) fn restored(&self, who: No, from: u64, to: u64) -> bool {
        self.standings.get(&who).is_some_and(|s| s.restores.iter().any(|at| (from..=to).contains(at)))
    }
}

/// Keeps one more account of a digest, unless its owner has enough of them.
fn crowd(first: Side, more: &mut Vec<Side>, side: Side) {
    let of_owner = [&first].into_iter().chain(more.iter()).filter(|other| other.owner == side.owner).count();
    if of_owner < SIDES_MAX {
        more.push(side);
    }
}

/// Whether a message that answers another one makes it not count any more: a notice that replaces a notice, a withdrawal,
/// or the word that she stays, which is a departure with nothing due.
fn drops(opening: &Opening) -> bool {
    let class = opening.msg_class;
    class == MessageType::ReturnNotice as u32
        || class == MessageType::Withdrawal as u32
        || class == MessageType::Departure as u32 && opening.due_day == 0
}

//! One case between one sender and one receiver, as a fold over its facts. Both ends fold the same signed messages and
//! come to the same [`State`]; what each end alone knows (what is stored, read, late) is shown beside it.
//!
//! Two rules keep the ends together. The state follows from the *set* of messages that count, never from the order in
//! which they happened to arrive: a later notice outranks an answer to an earlier one, a departure outranks an answer,
//! her own word outranks everything. And a message counts unless it was refused, recalled or never delivered, which
//! both ends learn from signed receipts. Refuses to decide anything by silence.
//!
//! [`Case::may`] guards what is sent from here by the state now; [`Case::accepts`] guards what a peer sends by what the
//! peer could have known when messages crossed.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::{CaseId, ConversationId, Digest, MsgId, NodeId, OrgId};

pub mod act;
pub mod child;
pub mod erase;
pub mod fact;
pub mod letter;
pub mod timers;
pub mod view;

mod apply;
mod derive;
mod history;
mod incoming;
mod release;

pub use act::Act;
pub use fact::Fact;
pub use letter::{Fate, Letter, Light};
pub use release::VisiblePart;
pub use timers::{Timer, TimerState};
pub use view::{View, Waiting};

use crate::body::Kind;
use crate::body::codes::codes;
use crate::consent::{DataClass, Ledger};
use crate::deadlines::Rule;

/// Most messages of one case, both directions. A withdrawal is taken beyond it.
pub const LETTERS_MAX: usize = 512;
/// Most open gaps remembered for one case.
pub const GAPS_MAX: usize = 64;

codes!(
    /// Where a case stands (domain section c, the states of this version).
    State {
        /// Nothing counts as sent.
        Draft = "DRAFT",
        /// The notice is signed and on its way.
        Notified = "NOTIFIED",
        /// The receiver's node has it.
        Delivered = "DELIVERED",
        /// A named person at the receiver has read it.
        Acknowledged = "ACKNOWLEDGED",
        /// They asked for more; the clock is paused.
        InfoRequested = "INFO_REQUESTED",
        /// They said no.
        Declined = "DECLINED",
        /// Nobody answered in time.
        Expired = "EXPIRED",
        /// They said yes, if.
        AcceptedCond = "ACCEPTED_COND",
        /// They said yes.
        Accepted = "ACCEPTED",
        /// The named worker has opened the profile.
        Prepared = "PREPARED",
        /// She has left.
        InTransit = "IN_TRANSIT",
        /// She came and was met.
        Arrived = "ARRIVED",
        /// She came and nobody was there.
        ArrivedUnmet = "ARRIVED_UNMET",
        /// She did not come.
        NoShow = "NO_SHOW",
        /// Consent to the whole was withdrawn.
        Withdrawn = "WITHDRAWN",
        /// She stays: a good end.
        Stayed = "STAYED",
    }
);

impl State {
    /// True when nothing more happens in this case: it ended by her own word.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Stayed | Self::Withdrawn)
    }

    /// The state in plain words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Draft => "not sent",
            Self::Notified => "sent, not there yet",
            Self::Delivered => "delivered, nobody has read it yet",
            Self::Acknowledged => "read, not answered yet",
            Self::InfoRequested => "more information asked for",
            Self::Declined => "declined",
            Self::Expired => "not answered in time",
            Self::AcceptedCond => "accepted with conditions, not settled yet",
            Self::Accepted => "accepted",
            Self::Prepared => "accepted, profile read",
            Self::InTransit => "on her way",
            Self::Arrived => "arrived and met",
            Self::ArrivedUnmet => "arrived, not met",
            Self::NoShow => "not arrived",
            Self::Withdrawn => "consent withdrawn",
            Self::Stayed => "she stays, by her own choice",
        }
    }
}

/// Which end of the case this office is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The notice goes out from here: the country where she is.
    Sent,
    /// The notice came in: the country she goes to.
    Received,
}

impl Direction {
    /// The number in [`fact::Opened`].
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Sent => 1,
            Self::Received => 2,
        }
    }

    fn parse(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Sent),
            2 => Some(Self::Received),
            _ => None,
        }
    }
}

/// Facts that do not begin a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the case does not begin with a readable opening fact; run doctor")]
pub struct NoCase;

/// A clock that ran out, as written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fired {
    /// Which clock.
    pub rule: Rule,
    /// When it was due, unix seconds.
    pub due: u64,
    /// When it was noticed, unix seconds.
    pub at: u64,
    /// The message that started it; none for a clock of the case itself.
    pub about: Option<MsgId>,
}

/// A message of theirs that was not taken, or is kept sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// The message.
    pub id: MsgId,
    /// `MessageType` as sent.
    pub msg_type: u32,
    /// Their position number.
    pub seq: u64,
    /// Unix seconds.
    pub at: u64,
    /// The code of the refusal; none when it waits sealed for a newer version.
    pub code: Option<String>,
}

/// One case.
pub struct Case {
    id: CaseId,
    direction: Direction,
    conversation: ConversationId,
    peer_org: OrgId,
    own_org: OrgId,
    own_node: NodeId,
    opened_at: u64,
    ledger: Ledger,
    witnesses: history::Witnesses,
    letters: Vec<Letter>,
    not_taken: BTreeMap<u64, NotTaken>,
    gaps: Vec<(u64, u64)>,
    fired: Vec<Fired>,
    stayed_here: Option<u64>,
    came_in: Vec<Digest>,
    logged: Vec<u64>,
    /// Classes of the profile erased here, each with how many messages there were then.
    erased_parts: Vec<(DataClass, usize)>,
    child: bool,
    unreadable: u32,
    state: State,
}

impl Case {
    /// Builds the case from its facts, first to last.
    ///
    /// # Errors
    /// [`NoCase`] when the first fact is not [`Fact::Opened`] or its ids are damaged.
    pub fn fold<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Result<Self, NoCase> {
        let mut facts = facts.into_iter();
        let Some(Fact::Opened(opened)) = facts.next() else { return Err(NoCase) };
        let mut case = Self::open(opened).ok_or(NoCase)?;
        facts.for_each(|fact| case.take(fact));
        case.state = case.derive();
        Ok(case)
    }

    /// Adds one fact. Never fails: a fact that is damaged is counted in [`Case::unreadable`] and shown.
    pub fn apply(&mut self, fact: &Fact) {
        self.take(fact);
        self.state = self.derive();
    }

    fn open(o: &fact::Opened) -> Option<Self> {
        Some(Self {
            id: CaseId::try_from(o.case.as_slice()).ok()?,
            direction: Direction::parse(o.direction)?,
            conversation: ConversationId::try_from(o.conversation.as_slice()).ok()?,
            peer_org: OrgId::try_from(o.peer_org.as_slice()).ok()?,
            own_org: OrgId::try_from(o.own_org.as_slice()).ok()?,
            own_node: NodeId::try_from(o.own_node.as_slice()).ok()?,
            opened_at: o.at,
            ledger: Ledger::default(),
            witnesses: history::Witnesses::default(),
            letters: Vec::new(),
            not_taken: BTreeMap::new(),
            gaps: Vec::new(),
            fired: Vec::new(),
            stayed_here: None,
            came_in: Vec::new(),
            logged: Vec::new(),
            erased_parts: Vec::new(),
            child: false,
            unreadable: 0,
            state: State::Draft,
        })
    }

    /// This office's id of the case.
    #[must_use]
    pub fn id(&self) -> CaseId {
        self.id
    }

    /// Which end this is.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The conversation its messages belong to.
    #[must_use]
    pub fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The other organisation.
    #[must_use]
    pub fn peer_org(&self) -> OrgId {
        self.peer_org
    }

    /// The organisation a consent of this case must name: whoever receives the person.
    #[must_use]
    pub fn receiver(&self) -> OrgId {
        match self.direction {
            Direction::Sent => self.peer_org,
            Direction::Received => self.own_org,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// True once any notice of this case spoke of a child or of somebody who may be one. Never false again.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.child
    }

    /// Consents and withdrawals.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Every message taken or sent, in the order this office learned of it.
    #[must_use]
    pub fn letters(&self) -> &[Letter] {
        &self.letters
    }

    /// One message.
    #[must_use]
    pub fn letter(&self, id: MsgId) -> Option<&Letter> {
        self.letters.iter().find(|l| l.id == id)
    }

    /// Their messages that were refused or wait sealed, by position.
    pub fn not_taken(&self) -> impl Iterator<Item = &NotTaken> {
        self.not_taken.values()
    }

    /// Clocks that ran out, as written down.
    #[must_use]
    pub fn fired(&self) -> &[Fired] {
        &self.fired
    }

    /// Facts of this case that could not be read. More than none is a finding for `doctor`.
    #[must_use]
    pub fn unreadable(&self) -> u32 {
        self.unreadable
    }

    /// The notice in force: the latest that counts.
    #[must_use]
    pub fn notice(&self) -> Option<&Letter> {
        self.latest(Kind::ReturnNotice, |_| true)
    }

    /// The number the next message from here gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.letters.iter().filter(|l| l.out).map(|l| l.seq).max().unwrap_or(0) + 1
    }
}

/// Adds to a list of a case, which holds no room for more: most are short, and there are thousands of cases.
fn keep<T>(list: &mut Vec<T>, new: T) {
    list.reserve_exact(1);
    list.push(new);
}

#[cfg(test)]
pub(crate) mod tests;

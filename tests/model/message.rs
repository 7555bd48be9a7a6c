//! One message: where it stands at each of the three nodes, what is on the line, and what each act does to it.

#![allow(clippy::wildcard_enum_match_arm, reason = "each place knows its own acts, and no other act can happen there")]

use super::{Act, Case, Place};

/// The sender's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Out {
    #[default]
    Nothing,
    Queued,
    /// The first attempt to carry it began and has not ended.
    Departing,
    /// It may be on its way.
    Leaving,
    Stored,
    Settled,
    /// Taken back before it left.
    Recalled,
    /// It may have left; after her word it does not go again.
    Stopped,
    Expired,
}

/// The keeper's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Kept {
    #[default]
    Nothing,
    Waiting,
    Fetched,
    Expired,
}

/// The receiver's rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum There {
    #[default]
    Nothing,
    Letter,
    Taken,
    /// It ended without an effect, and its sender is told so.
    NotTaken,
}

/// Packets that were sent. Each may arrive at any time, any number of times, or never.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Wire(u8);

impl Wire {
    pub(crate) const DEPOSIT: Self = Self(1);
    pub(crate) const STORED: Self = Self(2);
    pub(crate) const OFFER: Self = Self(4);
    pub(crate) const FETCHED: Self = Self(8);
    pub(crate) const RECEIPT: Self = Self(16);

    pub(crate) fn has(self, packet: Self) -> bool {
        self.0 & packet.0 != 0
    }

    fn put(&mut self, packet: Self) {
        self.0 |= packet.0;
    }
}

/// Bugs planted on purpose. A model that does not find them proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// The keeper says that it has what it has not committed.
    StoredBeforeCommit,
    /// The receiver tells the keeper before it has committed.
    FetchedBeforeCommit,
    /// The effect and the memory of it are two commits.
    MemoryInASecondCommit,
    /// Her word takes nothing back.
    WordTakesNothingBack,
    /// A message that rests on her word goes again after it.
    GoesAgainAfterHerWord,
    /// Opening does not ask whether the sender is revoked.
    OpensWhatIsRevoked,
    /// What was not taken is not answered.
    RefusesInSilence,
    /// A crash forgets what may be on its way, and takes it for queued.
    DepartureNotWritten,
}

impl Flaw {
    pub(super) const ALL: [Self; 8] = [
        Self::StoredBeforeCommit,
        Self::FetchedBeforeCommit,
        Self::MemoryInASecondCommit,
        Self::WordTakesNothingBack,
        Self::GoesAgainAfterHerWord,
        Self::OpensWhatIsRevoked,
        Self::RefusesInSilence,
        Self::DepartureNotWritten,
    ];
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Message {
    pub(crate) out: Out,
    /// The courier may put it on the line. Gone with the process.
    pub(crate) in_hand: bool,
    pub(crate) wire: Wire,
    pub(crate) kept: Kept,
    pub(crate) there: There,
    pub(crate) effects: u8,
    /// It was let go after her word: for the judge alone.
    pub(crate) departed_late: bool,
    /// It had its effect after the receiver knew that the sender is revoked: for the judge alone.
    pub(crate) effect_of_revoked: bool,
}

impl Message {
    /// Whether the receiver is done with it.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.there, There::Taken | There::NotTaken)
    }

    /// Whether it ended at the receiver without an effect.
    pub(crate) fn is_refused(&self) -> bool {
        self.there == There::NotTaken
    }

    /// Whether it waits to be carried, for the first time or again.
    fn is_waiting(&self) -> bool {
        matches!(self.out, Out::Queued | Out::Departing | Out::Leaving)
    }

    /// Whether an answer still says something new.
    fn may_settle(&self) -> bool {
        self.is_under_way() || matches!(self.out, Out::Stopped | Out::Expired)
    }

    /// Whether the sender waits for something.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.out, Out::Queued | Out::Departing | Out::Leaving | Out::Stored)
    }

    /// Her word, in the commit that makes it durable.
    pub(super) fn withdrawn(&mut self, flaw: Option<Flaw>) {
        if flaw == Some(Flaw::WordTakesNothingBack) {
            return;
        }
        self.out = match self.out {
            Out::Queued => Out::Recalled,
            Out::Departing | Out::Leaving if flaw != Some(Flaw::GoesAgainAfterHerWord) => Out::Stopped,
            other => other,
        };
    }

    /// On the line after it ended, by the courier that had it in hand.
    pub(super) fn carried_late(&self) -> Self {
        let mut late = *self;
        late.wire.put(Wire::DEPOSIT);
        late
    }

    pub(super) fn crashed(&mut self) {
        self.in_hand = false;
        if self.out == Out::Departing {
            self.out = Out::Leaving;
        }
    }

    /// What is after an act; `None` when it cannot happen.
    pub(super) fn after(self, act: Act, case: &Case, flaw: Option<Flaw>) -> Option<Self> {
        match act {
            Act::Send | Act::Recall | Act::Depart | Act::Carry | Act::NotLeft => self.at_the_sender(act, case, flaw),
            Act::HearStored | Act::HearReceipt | Act::Expire => self.at_the_sender(act, case, flaw),
            Act::Keep | Act::SayStored | Act::Offer | Act::HearFetched | Act::ExpireThere => {
                self.at_the_keeper(act, case, flaw)
            }
            Act::Fetch | Act::SayFetched | Act::Open | Act::SayReceipt => self.at_the_receiver(act, case, flaw),
        }
    }

    fn at_the_sender(mut self, act: Act, case: &Case, flaw: Option<Flaw>) -> Option<Self> {
        match act {
            Act::Send if self.out == Out::Nothing && !case.withdrawn && !case.over => self.out = Out::Queued,
            Act::Recall if self.out == Out::Queued => self.out = Out::Recalled,
            Act::Recall if matches!(self.out, Out::Departing | Out::Leaving) && case.withdrawn => {
                self.out = Out::Stopped
            }
            Act::Depart if self.is_waiting() && !self.in_hand && !case.over => {
                // What may be on its way already goes again only while her word lets it.
                if case.withdrawn && flaw != Some(Flaw::GoesAgainAfterHerWord) || case.knows(Place::Sender) {
                    return None;
                }
                if flaw != Some(Flaw::DepartureNotWritten) {
                    self.out = if self.out == Out::Queued { Out::Departing } else { Out::Leaving };
                }
                self.in_hand = true;
                self.departed_late |= case.withdrawn;
            }
            Act::Carry if self.in_hand => self.wire.put(Wire::DEPOSIT),
            Act::NotLeft if self.in_hand && self.out == Out::Departing && !self.wire.has(Wire::DEPOSIT) => {
                (self.out, self.in_hand) = (Out::Queued, false);
            }
            Act::HearStored if self.wire.has(Wire::STORED) && self.is_waiting() => {
                (self.out, self.in_hand) = (Out::Stored, false);
            }
            // An answer counts also after it was stopped, or its life was over.
            Act::HearReceipt if self.wire.has(Wire::RECEIPT) && self.may_settle() => {
                (self.out, self.in_hand) = (Out::Settled, false);
            }
            Act::Expire if case.over && self.is_under_way() => {
                (self.out, self.in_hand) = (Out::Expired, false);
            }
            _ => return None,
        }
        Some(self)
    }

    fn at_the_keeper(mut self, act: Act, case: &Case, flaw: Option<Flaw>) -> Option<Self> {
        let asked = self.wire.has(Wire::DEPOSIT);
        let early = flaw == Some(Flaw::StoredBeforeCommit);
        match act {
            Act::Keep if asked && self.kept == Kept::Nothing && !case.knows(Place::Keeper) && !case.over => {
                self.kept = Kept::Waiting;
            }
            Act::SayStored if asked && (self.kept != Kept::Nothing || early) => self.wire.put(Wire::STORED),
            Act::Offer if self.kept == Kept::Waiting => self.wire.put(Wire::OFFER),
            Act::HearFetched if self.wire.has(Wire::FETCHED) && self.kept == Kept::Waiting => self.kept = Kept::Fetched,
            Act::ExpireThere if case.over && self.kept == Kept::Waiting => self.kept = Kept::Expired,
            _ => return None,
        }
        Some(self)
    }

    fn at_the_receiver(mut self, act: Act, case: &Case, flaw: Option<Flaw>) -> Option<Self> {
        let early = flaw == Some(Flaw::FetchedBeforeCommit);
        match act {
            Act::Fetch if self.wire.has(Wire::OFFER) && self.there == There::Nothing => self.there = There::Letter,
            Act::SayFetched if self.wire.has(Wire::OFFER) && (self.there != There::Nothing || early) => {
                self.wire.put(Wire::FETCHED);
            }
            Act::Open if self.there == There::Letter => {
                let is_out = case.knows(Place::Receiver);
                if case.over || is_out && flaw != Some(Flaw::OpensWhatIsRevoked) {
                    self.there = There::NotTaken;
                } else {
                    self.effects = self.effects.saturating_add(1).min(2);
                    self.effect_of_revoked |= is_out;
                    if flaw != Some(Flaw::MemoryInASecondCommit) || self.effects > 1 {
                        self.there = There::Taken;
                    }
                }
            }
            Act::SayReceipt if self.there == There::Taken => self.wire.put(Wire::RECEIPT),
            Act::SayReceipt if self.there == There::NotTaken && flaw != Some(Flaw::RefusesInSilence) => {
                self.wire.put(Wire::RECEIPT);
            }
            _ => return None,
        }
        Some(self)
    }
}

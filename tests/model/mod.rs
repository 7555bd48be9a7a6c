//! The way of a message, small enough to be looked through whole: one office sends, one keeps the mailbox, one receives;
//! packets are lost, repeated and overtaken, the sender crashes, she withdraws, the sender's organisation is revoked and
//! each hears of that in its own time. Every state that can be reached is looked at, by `stateright`.
//!
//! What a node promises follows from what is durable, so replies are steps of their own that may come as often as the
//! durable state allows. Refuses to know keys, times or words: those are the simulation's ([`crate::sim`]), and each
//! path here is one that it takes as well.

mod message;
pub(crate) mod replay;

use message::{Flaw, Kept, Message, Out, There, Wire};
use stateright::{Checker, Model, Property};

/// Messages of one case on their way at once, each resting on her consent.
const MESSAGES: usize = 2;

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// Something happens to one message.
    Of(usize, Act),
    /// She withdraws; her word is durable at the sender.
    HerWord,
    /// The sender's process ends and starts again.
    Crash,
    /// A node hears that the sender is revoked.
    Revoked(Place),
    /// The envelopes' lives are over.
    TimeIsOver,
}

/// What happens to one message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) enum Act {
    /// A person sends; it is queued.
    Send,
    /// A person takes it back, if it certainly has not left.
    Recall,
    /// The sender's owner writes down that it may be on its way from now on.
    Depart,
    /// The courier puts it on the line.
    Carry,
    /// The courier had no line, at the first attempt: it certainly has not left.
    NotLeft,
    /// The mailbox's keeper takes it.
    Keep,
    /// The keeper says so, once or again.
    SayStored,
    /// The sender hears that.
    HearStored,
    /// The keeper hands it out to whoever fetches.
    Offer,
    /// The receiver takes it into its own store.
    Fetch,
    /// The receiver tells the keeper.
    SayFetched,
    /// The keeper hears that.
    HearFetched,
    /// The receiver's node opens it: the one effect, or none from somebody revoked or too late.
    Open,
    /// The receiver answers.
    SayReceipt,
    /// The sender hears that.
    HearReceipt,
    /// Its life is over at the sender.
    Expire,
    /// Its life is over at the keeper.
    ExpireThere,
}

impl Act {
    const ALL: [Self; 17] = [
        Self::Send,
        Self::Recall,
        Self::Depart,
        Self::Carry,
        Self::NotLeft,
        Self::Keep,
        Self::SayStored,
        Self::HearStored,
        Self::Offer,
        Self::Fetch,
        Self::SayFetched,
        Self::HearFetched,
        Self::Open,
        Self::SayReceipt,
        Self::HearReceipt,
        Self::Expire,
        Self::ExpireThere,
    ];
}

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Place {
    Sender,
    Keeper,
    Receiver,
}

/// What is common to all messages of the case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Case {
    /// She withdrew.
    pub(crate) withdrawn: bool,
    /// Who has heard that the sender is revoked: sender, keeper, receiver.
    pub(crate) revoked: [bool; 3],
    /// The lives of all envelopes are over.
    pub(crate) over: bool,
}

impl Case {
    fn knows(&self, place: Place) -> bool {
        self.revoked[place as usize]
    }
}

/// Everything there is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Region {
    case: Case,
    messages: [Message; MESSAGES],
}

impl Region {
    /// What is after a step; `None` when it cannot happen now.
    fn after(self, step: Step, flaw: Option<Flaw>) -> Option<Self> {
        let mut next = self;
        match step {
            Step::Of(n, act) => next.messages[n] = self.messages[n].after(act, &self.case, flaw)?,
            Step::HerWord => {
                next.case.withdrawn = true;
                next.messages.iter_mut().for_each(|message| message.withdrawn(flaw));
            }
            Step::Crash => next.messages.iter_mut().for_each(Message::crashed),
            Step::Revoked(place) => next.case.revoked[place as usize] = true,
            Step::TimeIsOver => next.case.over = true,
        }
        (next != self).then_some(next)
    }

    /// What a fair net makes of this without anybody's doing.
    fn at_rest(mut self, flaw: Option<Flaw>) -> Self {
        let acts = || Act::ALL.into_iter().filter(|act| !matches!(act, Act::Send | Act::Recall | Act::NotLeft));
        let steps = || (0..MESSAGES).flat_map(|n| acts().map(move |act| Step::Of(n, act)));
        while let Some(next) = steps().find_map(|step| self.after(step, flaw)) {
            self = next;
        }
        self
    }

    /// The same after the lives of all envelopes are over.
    fn in_the_end(self, flaw: Option<Flaw>) -> Self {
        let rest = self.at_rest(flaw);
        Self { case: Case { over: true, ..rest.case }, ..rest }.at_rest(flaw)
    }
}

/// The region as `stateright` walks it.
struct Walk {
    /// How many messages are sent.
    messages: usize,
    flaw: Option<Flaw>,
}

impl Model for Walk {
    type State = Region;
    type Action = Step;

    fn init_states(&self) -> Vec<Region> {
        vec![Region::default()]
    }

    fn actions(&self, region: &Region, steps: &mut Vec<Step>) {
        let acts = (0..self.messages).flat_map(|n| Act::ALL.map(|act| Step::Of(n, act)));
        let revoked = [Place::Sender, Place::Keeper, Place::Receiver].map(Step::Revoked);
        let all = acts.chain(revoked).chain([Step::HerWord, Step::Crash, Step::TimeIsOver]);
        steps.extend(all.filter(|step| region.after(*step, self.flaw).is_some()));
    }

    fn next_state(&self, region: &Region, step: Step) -> Option<Region> {
        region.after(step, self.flaw)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn each(region: &Region, holds: impl Fn(&Message) -> bool) -> bool {
            region.messages.iter().all(holds)
        }
        vec![
            Property::always("P1: who said that it is stored has it, or had it", |_, region: &Region| {
                each(region, |m| !m.wire.has(Wire::STORED) || m.kept != Kept::Nothing)
            }),
            Property::always("P1: a keeper lets go only of what is durable elsewhere", |_, region: &Region| {
                let there = |m: &Message| m.there != There::Nothing;
                each(region, |m| (m.kept != Kept::Fetched && !m.wire.has(Wire::FETCHED)) || there(m))
            }),
            Property::always("P2: one effect at most", |_, region: &Region| each(region, |m| m.effects <= 1)),
            Property::always("P2: a receipt says what happened", |_, region: &Region| {
                each(region, |m| !m.wire.has(Wire::RECEIPT) || m.is_answered())
            }),
            Property::always(
                "P3: a fair net and time bring every message to its end",
                |walk: &Walk, region: &Region| each(&region.in_the_end(walk.flaw), |m| !m.is_under_way()),
            ),
            Property::always("P3: nobody waits for what is answered there", |walk: &Walk, region: &Region| {
                each(&region.at_rest(walk.flaw), |m| !m.is_answered() || !m.is_under_way())
            }),
            Property::always(
                "P4: nothing departs after her word, and what was taken back never left",
                |_, region: &Region| {
                    each(region, |m| !m.departed_late && (m.out != Out::Recalled || !m.wire.has(Wire::DEPOSIT)))
                },
            ),
            Property::always("P4: her word ends what has not left", |_, region: &Region| {
                each(region, |m| !region.case.withdrawn || m.out != Out::Queued)
            }),
            Property::always("P14: who is known to be revoked has no effect", |_, region: &Region| {
                each(region, |m| !m.effect_of_revoked)
            }),
            Property::sometimes("a message arrives and is answered", |_, region: &Region| {
                each(region, |m| m.out == Out::Settled && m.effects == 1)
            }),
            Property::sometimes("her word stops one and is too late for another", |_, region: &Region| {
                region.case.withdrawn && region.messages[0].out == Out::Recalled && region.messages[1].effects == 1
            }),
        ]
    }
}

#[test]
fn every_state_that_can_be_reached_keeps_the_promises() {
    let checked = Walk { messages: MESSAGES, flaw: None }.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checked.state_count(), checked.unique_state_count());
    checked.assert_properties();
    assert!(checked.is_done() && checked.unique_state_count() > 900_000, "{}", checked.unique_state_count());
}

#[test]
fn every_planted_bug_is_found() {
    for flaw in Flaw::ALL {
        let checked = Walk { messages: 1, flaw: Some(flaw) }.checker().threads(2).spawn_bfs().join();
        let broken: Vec<_> = checked.discoveries().into_iter().filter(|(name, _)| name.starts_with('P')).collect();
        let (name, path) = broken.first().unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?}: {name}: {} steps", path.clone().into_actions().len());
    }
}

//! Holds what the simulation does with a message against the model: each way it takes must be one that the model knows.
//! What the simulation does not tell (that a packet left again, that a node heard of a revocation) may have happened.

use std::collections::HashSet;

use super::message::Message;
use super::{Act, Case};

/// Acts that may happen unseen between two that are seen.
const UNSEEN: [Act; 6] = [Act::NotLeft, Act::SayStored, Act::Offer, Act::SayFetched, Act::HearFetched, Act::SayReceipt];

/// The way of one message so far.
#[derive(Clone, Default)]
pub(crate) struct Way {
    /// Where it may stand in the model; empty before anything was seen.
    may_be: HashSet<Message>,
    /// It rests on what was withdrawn.
    withdrawn: bool,
    /// Her word was taken down in its case.
    may_stop: bool,
    seen: Vec<Act>,
    /// It came in an envelope that the model does not know.
    strange: bool,
}

impl Way {
    /// Takes down what was seen. False when no way of the model leads there.
    pub(crate) fn saw(&mut self, act: Act) -> bool {
        if self.strange {
            return true;
        }
        if self.seen.is_empty() {
            self.may_be.insert(Message::default());
        }
        self.seen.push(act);
        self.settle();
        self.may_be = self.may_be.iter().flat_map(|message| self.after(*message, act)).collect();
        !self.may_be.is_empty()
    }

    /// Her word: what rests on it must not depart any more.
    pub(crate) fn withdrawn(&mut self) {
        (self.withdrawn, self.may_stop) = (true, true);
    }

    /// Her word: what waits in her case is stopped, also what does not rest on it.
    pub(crate) fn may_stop(&mut self) {
        self.may_stop = true;
    }

    /// It is put on the line by what was decided before it ended.
    pub(crate) fn carried_late(&mut self) {
        self.may_be = self.may_be.iter().map(Message::carried_late).collect();
    }

    /// Its receiver says that it refused it, seen there or not.
    pub(crate) fn was_refused(&mut self) {
        self.settle();
        let opened: Vec<Message> = self.may_be.iter().flat_map(|message| self.after(*message, Act::Open)).collect();
        self.may_be.extend(opened.into_iter().filter(Message::is_refused));
    }

    /// Somebody sent it in another envelope, as the model does not.
    pub(crate) fn is_strange(&mut self) {
        self.strange = true;
    }

    /// What was seen.
    pub(crate) fn seen(&self) -> &[Act] {
        &self.seen
    }

    /// Whether the model followed it as far as this.
    pub(crate) fn was_followed_to(&self, act: Act) -> bool {
        !self.strange && self.seen.contains(&act)
    }

    fn after(&self, message: Message, act: Act) -> impl Iterator<Item = Message> + use<> {
        let withdrawn = self.withdrawn || self.may_stop && act == Act::Recall;
        let cases = [(false, [false; 3]), (true, [false; 3]), (false, [true; 3])];
        let cases = cases.map(|(over, revoked)| Case { withdrawn, revoked, over });
        cases.into_iter().filter_map(move |case| message.after(act, &case, None))
    }

    /// Adds everything that may have happened unseen, a crash of the sender among it.
    fn settle(&mut self) {
        let mut next: Vec<Message> = self.may_be.iter().copied().collect();
        while let Some(message) = next.pop() {
            let mut crashed = message;
            crashed.crashed();
            let unseen = UNSEEN.iter().flat_map(|act| self.after(message, *act));
            let new: Vec<_> = unseen.chain([crashed]).collect();
            next.extend(new.into_iter().filter(|message| self.may_be.insert(*message)));
        }
    }
}

#[test]
fn a_way_that_the_model_does_not_know_is_refused() {
    let follows = |acts: &[Act]| {
        let mut way = Way::default();
        acts.iter().all(|act| way.saw(*act))
    };
    let whole =
        [Act::Send, Act::Depart, Act::Carry, Act::Keep, Act::HearStored, Act::Fetch, Act::Open, Act::HearReceipt];
    assert!(follows(&whole));
    for left_out in 0..whole.len() - 1 {
        let acts: Vec<_> = whole.iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, act)| *act).collect();
        // That it was stored may remain unheard.
        assert_eq!(follows(&acts), whole[left_out] == Act::HearStored, "without {:?}", whole[left_out]);
    }
    assert!(!follows(&[Act::Send, Act::Depart, Act::Carry, Act::Recall]), "taken back after it left");
    let mut way = Way::default();
    assert!(way.saw(Act::Send));
    way.withdrawn();
    assert!(!way.saw(Act::Depart), "after her word");
}

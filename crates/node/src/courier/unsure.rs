//! What was in the outbox when the node started, while nobody has said yet that its folder is the newest: people may have
//! recalled it since, and nothing here would say so.
//!
//! Refuses to hold what is written after the start: nobody can have recalled that, and whoever writes now wants it to go.

use std::collections::BTreeSet;

use clearhouse_protocol::ids::MsgId;
use tokio::sync::watch;

use crate::log::witnesses::Memory;

/// See the module.
#[derive(Clone)]
pub struct Unsure {
    memory: watch::Receiver<Memory>,
    here: BTreeSet<MsgId>,
}

impl Unsure {
    /// These messages were here at the start.
    #[must_use]
    pub fn new(memory: watch::Receiver<Memory>, here: BTreeSet<MsgId>) -> Self {
        Self { memory, here }
    }

    /// Nothing was here.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(watch::channel(Memory::Whole).1, BTreeSet::new())
    }

    /// Whether a message may have been recalled since.
    pub(super) fn waits(&self, msg_id: MsgId) -> bool {
        self.here.contains(&msg_id) && *self.memory.borrow() != Memory::Whole
    }

    /// To wait by for the witnesses' word.
    pub(super) fn word(&self) -> Word {
        Word(self.memory.clone())
    }
}

/// The witnesses' word that the folder is the newest.
pub(super) struct Word(watch::Receiver<Memory>);

impl Word {
    /// Waits for it; `false` when it will not come.
    pub(super) async fn comes(&mut self) -> bool {
        self.0.wait_for(|memory| *memory == Memory::Whole).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_here_at_the_start_waits_until_witnesses_were_heard_and_nothing_else_does() {
        let memory = watch::Sender::new(Memory::Unasked);
        let (old, new) = (MsgId([1; 16]), MsgId([2; 16]));
        let unsure = Unsure::new(memory.subscribe(), BTreeSet::from([old]));
        assert!(unsure.waits(old) && !unsure.waits(new));
        memory.send_replace(Memory::Older { signed: 9 });
        assert!(unsure.waits(old), "a node that is about to stop sends nothing");
        let mut word = unsure.word();
        memory.send_replace(Memory::Whole);
        assert!(word.comes().await && !unsure.waits(old));
        drop(memory);
        assert!(unsure.word().comes().await, "it was said, whoever is gone since");
        let unheard = watch::Sender::new(Memory::Unasked);
        let mut word = Unsure::new(unheard.subscribe(), BTreeSet::new()).word();
        drop(unheard);
        assert!(!word.comes().await);
    }
}

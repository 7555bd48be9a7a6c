//! Whether another process signs with this node's keys: a copy of this folder that runs at the same time.
//!
//! Two such processes know nothing of each other, but their witnesses know both. Before each head, and now and then when
//! there is nothing to sign, the witnesses are asked what they hold of this log; what this process did not sign since a
//! witness last knew of nothing more was signed by another that lives. Whichever asks second stops, before it signs.
//! Refuses to take a restart for that: what was signed before this process began is only an older folder, see `resume`.

use std::collections::BTreeSet;
use std::sync::Arc;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use tokio::task::JoinSet;

use super::Head;
use super::witnesses::{Line, Memory, WITNESSES_MAX, Word};
use crate::clock::Clock;

/// Ticks without anything to sign after which the witnesses are asked all the same.
const IDLE_TICKS: u32 = 4;
/// A process that takes up a log signs nothing new before so many looks, one a tick, found nothing: whoever wrote the log
/// until now may be alive, and has signed by then what it acknowledged. So the newcomer stops, and not the one that
/// works. Only one that has nothing to sign is itself the one that stops.
const WATCH_TICKS: u32 = 3;
/// How long one look waits for a witness.
const ASK_ONE: std::time::Duration = std::time::Duration::from_secs(2);

/// What witnesses said in this run, by which a living twin is told from an old folder.
#[derive(Clone, Default)]
pub struct Heard {
    /// Those that knew of nothing more.
    nodes: BTreeSet<NodeId>,
    /// The log was taken back from a mirror up to here, though the last head signed here is smaller; 0 when it was not.
    up_to: u64,
}

impl Heard {
    /// Takes what a witness said; the reason to stop when it shows a signature of this node that is not of this process.
    pub(super) fn take(&mut self, node: NodeId, word: &Word) -> Option<Memory> {
        match word {
            Word::Silent => None,
            Word::More(signed) if *signed > self.up_to => Some(match self.nodes.contains(&node) {
                true => Memory::Twin { signed: *signed },
                false => Memory::Older { signed: *signed },
            }),
            Word::Other(signed) => Some(Memory::Twin { signed: *signed }),
            Word::Signed(_) | Word::NothingMore | Word::More(_) => {
                self.nodes.insert(node);
                None
            }
        }
    }

    /// What witnesses hold up to here was taken back, so that all who said so know of nothing more.
    pub(super) fn is_taken_back(&mut self, up_to: u64) {
        self.up_to = up_to;
    }
}

/// Asks, tick by tick.
pub struct Alone {
    line: Line,
    clock: Arc<dyn Clock>,
    heard: Heard,
    watch: u32,
    idle: u32,
}

impl Alone {
    /// `begun` when something was signed before this process took up the log.
    #[must_use]
    pub fn new(line: Line, clock: Arc<dyn Clock>, heard: Heard, begun: bool) -> Self {
        Self { line, clock, heard, watch: if begun { WATCH_TICKS } else { 0 }, idle: 0 }
    }

    /// Called once a tick: whether the witnesses are to be asked now.
    pub(super) fn is_due(&mut self, has_news: bool) -> bool {
        self.idle += 1;
        has_news || self.watch > 0 || self.idle >= IDLE_TICKS
    }

    /// Whether a new head may be signed, after a look that found nothing.
    pub(super) fn may_sign(&self) -> bool {
        self.watch == 0
    }

    /// Asks every witness what it holds, by the last head; the reason to stop if one shows what was not signed here. One
    /// that does not answer is passed over: a log goes on without it, as it does without its signature.
    pub(super) async fn look(&mut self, directory: &Arc<Directory>, head: &Head) -> Option<Memory> {
        self.idle = 0;
        let mut asked = JoinSet::new();
        for (node, key) in directory.witnesses(self.line.me, self.clock.now()).into_iter().take(WITNESSES_MAX) {
            let (line, directory, head) = (self.line.clone(), Arc::clone(directory), head.clone());
            asked.spawn(async move {
                let said = tokio::time::timeout(ASK_ONE, line.probe(&directory, (node, &key), &head));
                (node, said.await.ok().flatten().unwrap_or_default().word)
            });
        }
        let (mut answered, mut fatal) = (asked.is_empty(), None);
        while let Some(said) = asked.join_next().await {
            let Ok((node, word)) = said else { continue };
            answered |= !matches!(word, Word::Silent);
            fatal = fatal.or(self.heard.take(node, &word));
        }
        self.watch = self.watch.saturating_sub(u32::from(answered));
        fatal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId([1; 16]);
    const OTHER: NodeId = NodeId([2; 16]);

    #[test]
    fn more_from_a_witness_that_knew_of_nothing_more_is_a_living_twin_and_from_another_an_old_folder() {
        let mut heard = Heard::default();
        assert_eq!(heard.take(ONE, &Word::NothingMore), None);
        assert_eq!(heard.take(OTHER, &Word::Silent), None, "who says nothing has not spoken");
        assert_eq!(heard.take(OTHER, &Word::More(9)), Some(Memory::Older { signed: 9 }));
        assert_eq!(heard.take(ONE, &Word::More(9)), Some(Memory::Twin { signed: 9 }));
        assert_eq!(heard.take(OTHER, &Word::Other(3)), Some(Memory::Twin { signed: 3 }), "two histories are two");
    }

    #[test]
    fn what_was_taken_back_is_nothing_more_and_what_comes_after_is_a_twin() {
        let mut heard = Heard::default();
        assert_eq!(heard.take(ONE, &Word::More(9)), Some(Memory::Older { signed: 9 }));
        heard.is_taken_back(9);
        assert_eq!(heard.take(ONE, &Word::More(9)), None);
        assert_eq!(heard.take(ONE, &Word::More(10)), Some(Memory::Twin { signed: 10 }));
    }
}

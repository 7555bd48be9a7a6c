//! The index of a store in service and what it amounts to. What a durable commit does to the index is told to it a moment
//! later: whoever waits for the commit need not wait for that.
//!
//! Refuses to answer from an index that was not told of every commit.

use crate::census::Totals;
use crate::index::{Edits, Index};
use crate::shelf::{IndexFailed, Indexed};

/// See the module.
pub(crate) struct View {
    pub(crate) index: Index,
    /// What all commits amount to, the untold one included.
    pub(crate) totals: Totals,
    /// Why the index is in memory, until a scrub reports it.
    pub(crate) failed: Option<String>,
    /// What the newest commit does to the index, by the number of the commit.
    untold: Option<(u64, Edits)>,
    /// The index failed while it was told of a commit, and was not derived anew since.
    is_behind: bool,
}

impl View {
    /// An index that knows of every commit; why it is in memory, if it is.
    pub(crate) fn new(index: Index, totals: Totals, failed: Option<String>) -> Self {
        Self { index, totals, failed, untold: None, is_behind: false }
    }

    /// Takes what a commit does to the index. Everything before was told.
    pub(crate) fn owe(&mut self, seq: u64, edits: Edits, totals: Totals) {
        debug_assert!(self.untold.is_none(), "a commit was forgotten");
        (self.untold, self.totals) = (Some((seq, edits)), totals);
    }

    /// Tells the index what it was not told yet.
    ///
    /// # Errors
    /// [`IndexFailed`], again at each call, until there is another index.
    pub(crate) fn tell(&mut self) -> Indexed<()> {
        if self.is_behind {
            return Err(IndexFailed("it lacks a commit".to_owned()));
        }
        let Some((seq, edits)) = self.untold.take() else { return Ok(()) };
        let told = self.index.apply(seq, edits);
        self.is_behind = told.is_err();
        told
    }
}

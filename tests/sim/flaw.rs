//! Bugs planted on purpose. A simulation that does not find them finds nothing.

/// One planted bug. Each is what a tired hand could write; the header of [`super`] says which rule it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    /// The door hands out the storage receipt once the deposit is decided, before it is committed.
    ReceiptBeforeCommit,
    /// The courier carries what was decided and not yet committed.
    CarriesUncommitted,
    /// The store says yes to some batches and writes nothing.
    BatchForgotten,
    /// A row of a batch is left out now and then.
    RowForgotten,
    /// The ids of messages that had their effect are not written.
    DedupeNotKept,
    /// Messages under way are not read back at a start.
    OutboxNotReadBack,
    /// The fact that a person opened a message is left out; the receipt about it leaves all the same.
    OpeningNotWritten,
    /// An act is committed without its event.
    EventLeftOut,
    /// After a batch that the store refused, memory keeps what was decided.
    MemoryAheadOfStore,
    /// A repeated deposit gets a receipt signed anew.
    ReceiptSignedAgain,
    /// Parts of a profile are kept beside the vault, in clear.
    KeptInClear,
    /// Locking forgets to drop the cases.
    LockKeepsCases,
    /// What a withdrawal takes back stays in the outbox and is carried all the same.
    WithdrawalTakesNothingBack,
    /// A message is carried without writing down first that it may be on its way.
    LeavesUnannounced,
    /// What was fetched is acknowledged to its keeper before it is on the own disk.
    FetchedBeforeCommit,
    /// A keeper takes what it hands out for fetched.
    ForgottenWhenHandedOut,
    /// A node goes by its machine's clock, whatever speaks against it.
    ClockBelieved,
}

impl Flaw {
    /// Every planted bug.
    pub(super) const ALL: [Self; 17] = [
        Self::ReceiptBeforeCommit,
        Self::CarriesUncommitted,
        Self::BatchForgotten,
        Self::RowForgotten,
        Self::DedupeNotKept,
        Self::OutboxNotReadBack,
        Self::OpeningNotWritten,
        Self::EventLeftOut,
        Self::MemoryAheadOfStore,
        Self::ReceiptSignedAgain,
        Self::KeptInClear,
        Self::LockKeepsCases,
        Self::WithdrawalTakesNothingBack,
        Self::LeavesUnannounced,
        Self::FetchedBeforeCommit,
        Self::ForgottenWhenHandedOut,
        Self::ClockBelieved,
    ];
}

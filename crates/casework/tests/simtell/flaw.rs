//! Bugs planted on purpose. A simulation that does not find them finds nothing.

/// One planted bug: what a tired hand could write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// What a step sends leaves before the step is durable.
    SendsBeforeDurable,
    /// The page of an account is not in the commit that says that it was heard.
    PageNotKept,
    /// What a coordinator heard of others is not read back after a crash.
    HeardNotReadBack,
    /// An account leaves out an entry in the middle.
    LeavesOneOut,
    /// What is owed to the other end is not written down with how far the log was looked through.
    OwedNotKept,
    /// A commit writes its rows and not its events.
    EventsNotKept,
}

impl Flaw {
    /// Every planted bug.
    pub(crate) const ALL: [Self; 6] = [
        Self::SendsBeforeDurable,
        Self::PageNotKept,
        Self::HeardNotReadBack,
        Self::LeavesOneOut,
        Self::OwedNotKept,
        Self::EventsNotKept,
    ];
}

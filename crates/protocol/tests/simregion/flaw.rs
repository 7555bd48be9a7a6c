//! Bugs planted on purpose. A simulation that does not find them finds nothing.

/// One planted bug: what a tired hand could write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// A record counts when it is signed; no log has to show it.
    TakesUnproved,
    /// Entries of a log count, whoever cosigned the head, and the head is as new as it says.
    TakesAnyPage,
    /// A coordinator cosigns whatever another shows.
    CosignsAnything,
    /// A keeper takes every line that a witness sends, not the witness's own alone.
    GathersEveryLine,
    /// A keeper stops when a witness says that it has seen more of the log, without the keeper's own signature to show.
    BelievesASize,
    /// Two coordinators are enough to accredit and to revoke.
    TwoAreEnough,
    /// Who wakes up follows no log in its first round, nor reads on where others tell of a longer one.
    SkipsLogs,
    /// Revocations are not taken from bundles, nor out of logs.
    DropsRevocations,
}

impl Flaw {
    /// Every planted bug.
    pub(crate) const ALL: [Self; 8] = [
        Self::TakesUnproved,
        Self::TakesAnyPage,
        Self::CosignsAnything,
        Self::GathersEveryLine,
        Self::BelievesASize,
        Self::TwoAreEnough,
        Self::SkipsLogs,
        Self::DropsRevocations,
    ];
}

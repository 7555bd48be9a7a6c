//! Bugs planted on purpose. A simulation that does not find them finds nothing.

/// One planted bug: what a tired hand could write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// A witness sends its signature before what it remembers is durable.
    RepliesBeforeDurable,
    /// A witness signs whatever the log signed.
    IgnoresOldSize,
    /// A witness compares sizes and does not look at the proof.
    SkipsConsistency,
    /// A witness decides two requests against what it remembered before both.
    DecidesSideBySide,
    /// A witness does not keep the head it signed, only size and root.
    HeadNotKept,
    /// A witness does not keep the proof it found.
    ProofNotKept,
    /// A node starts without looking at its file of heads.
    NoHeadsFile,
    /// A node signs before the head is in its file.
    SignsBeforeHeadsFile,
    /// A node goes on after a witness told it that it had signed more.
    GoesOnAfterAlarm,
    /// More than half of the witnesses that answered count as a quorum.
    MajorityOfAnswers,
    /// The drawn count like the coordinators, and nobody in particular must have signed.
    NoCore,
}

impl Flaw {
    /// Every planted bug.
    pub(crate) const ALL: [Self; 11] = [
        Self::RepliesBeforeDurable,
        Self::IgnoresOldSize,
        Self::SkipsConsistency,
        Self::DecidesSideBySide,
        Self::HeadNotKept,
        Self::ProofNotKept,
        Self::NoHeadsFile,
        Self::SignsBeforeHeadsFile,
        Self::GoesOnAfterAlarm,
        Self::MajorityOfAnswers,
        Self::NoCore,
    ];
}

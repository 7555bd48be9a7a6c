//! Whether a case, or parts of its profile, may be erased, and what of it has to go.
//!
//! Erasing must never hide what nobody read, nor stop a message on its way, nor end a wait without a word. Refuses to
//! judge by time alone: a rule is somebody's decision, and somebody signs in for it.

use clearhouse_protocol::ids::{Digest, MsgId, StaffId};

use super::act::left;
use super::{Case, Fate, Letter};
use crate::body::Kind;
use crate::body::codes::{AnswerKind, codes};
use crate::consent::DataClass;
use crate::refusal::Refusal;
use crate::roles::{self, ActKind, Actor, Role};

codes!(
    /// By which rule something is erased: the `retention_rule` of the event that says so. A closed list, so that the
    /// reason for an erasure never says more than it has to.
    ErasureRule {
        /// The time for which it may be kept is over.
        RetentionEnded = "RetentionEnded",
        /// She, or her guardian, asked for it.
        PersonAsked = "PersonAsked",
        /// The consent it was kept under is withdrawn.
        ConsentWithdrawn = "ConsentWithdrawn",
        /// It was never meant to be here: a slip, a double.
        EnteredInError = "EnteredInError",
        /// A court or an authority for data protection ordered it.
        CourtOrdered = "CourtOrdered",
    }
);

impl Case {
    /// Whether `actor` may have this case erased at `now` (unix seconds); with `classes`, those parts of its profile
    /// alone. `although_open` passes over what is waited for, and over what nobody may read any more; never over what
    /// somebody still can.
    ///
    /// # Errors
    /// [`Refusal`]: then nothing changes.
    pub fn may_erase(
        &self,
        actor: &Actor,
        classes: &[DataClass],
        although_open: bool,
        now: u64,
    ) -> Result<(), Refusal> {
        roles::may(actor.role, ActKind::Erase, self.stakes(None))?;
        self.erasable(classes, although_open, now)
    }

    /// Whether `actor` may call an erasure off: whoever might have decided it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn may_keep(&self, actor: &Actor) -> Result<(), Refusal> {
        roles::may(actor.role, ActKind::Erase, self.stakes(None))
    }

    /// What of [`Case::may_erase`] is asked once more before it becomes final: what may have changed since.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn erasable(&self, classes: &[DataClass], although_open: bool, now: u64) -> Result<(), Refusal> {
        let mut unread = self.letters.iter().filter(|l| !l.out && l.read.is_none()).peekable();
        let never = unread.peek().is_some();
        if unread.any(|l| self.may_still_be_read(l.id, now)) {
            return Err(Refusal::ErasureUnopened);
        }
        if never && !although_open {
            return Err(Refusal::ErasureNeverOpened);
        }
        if self.not_taken.values().any(|n| n.code.is_none()) {
            return Err(Refusal::ErasureCannotRead);
        }
        if self.letters.iter().any(|l| l.out && matches!(l.fate(), Fate::Waiting | Fate::Stored { .. })) {
            return Err(Refusal::ErasureUnderWay);
        }
        if !classes.is_empty() {
            // The case stays, and with it everything that is waited for.
            let there = |class: &DataClass| self.parts().iter().any(|(_, of)| of == class);
            return if classes.iter().all(there) { Ok(()) } else { Err(Refusal::NothingToErase) };
        }
        match self.owed() {
            Some(due) if !although_open => Err(due),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether anybody here may still open a message. A manager opens what anybody else may.
    fn may_still_be_read(&self, id: MsgId, now: u64) -> bool {
        let manager = Actor { staff_id: StaffId([0; StaffId::LEN]), label: String::new(), role: Role::Manager };
        self.may_open(id, &manager, now).is_ok()
    }

    /// What somebody still has to say, here or there: an answer to the notice in force, or whether she arrived.
    fn owed(&self) -> Option<Refusal> {
        if self.state.is_end() {
            return None;
        }
        if let Some(journey) = self.journey().filter(|l| left(l)) {
            return self.arrival_of(journey.id).is_none().then_some(Refusal::ErasureArrivalDue);
        }
        let notice = self.notice()?;
        let answer = self.answer_to(notice.id).and_then(Letter::answer_kind);
        matches!(answer, None | Some(AnswerKind::InfoRequested)).then_some(Refusal::ErasureAnswerDue)
    }

    /// The parts of profiles that are kept here, whether or not they may be shown: message and class.
    #[must_use]
    pub fn parts(&self) -> Vec<(MsgId, DataClass)> {
        let profiles = self.letters.iter().filter(|l| l.kind() == Some(Kind::VictimProfile));
        let classes = profiles.filter_map(|l| Some((l.id, l.body()?.needs())));
        let parts = classes.flat_map(|(id, needs)| needs.into_iter().filter_map(move |(_, class)| Some((id, class?))));
        parts.filter(|(id, class)| !self.is_erased(*id, *class)).collect()
    }

    /// Whether the part of this class that a message brought was erased here.
    pub(super) fn is_erased(&self, message: MsgId, class: DataClass) -> bool {
        let place = self.letters.iter().position(|l| l.id == message);
        self.erased_parts.iter().any(|(of, newest)| *of == class && place.is_some_and(|place| place < *newest))
    }

    /// Classes of the profile that were erased here.
    #[must_use]
    pub fn erased_classes(&self) -> Vec<DataClass> {
        let mut classes: Vec<DataClass> = self.erased_parts.iter().map(|(class, _)| *class).collect();
        classes.sort_unstable_by_key(|class| class.number());
        classes.dedup();
        classes
    }

    /// The envelopes in which their messages came, as far as facts name them.
    #[must_use]
    pub fn came_in(&self) -> &[Digest] {
        &self.came_in
    }

    /// Entries of the node's log that are of this case and name no message of it.
    #[must_use]
    pub fn logged(&self) -> &[u64] {
        &self.logged
    }
}

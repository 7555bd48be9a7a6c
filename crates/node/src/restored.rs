//! A folder that was restored from a backup: what it has to hear before it may do anything, and what it says afterwards.
//!
//! Its keys have signed and sealed things it does not remember. So it starts only after a witness has said how far its log
//! went (see [`crate::log::resume`]), after the directory was fetched anew, so that nobody revoked since is let in or
//! written to, after every place in a conversation was moved on, so that none is used twice, and after what was under way is held, because it
//! may have been recalled since. Refuses to start as long as one
//! of these is not done; only who restored it can say that there is nobody to ask.

use std::path::{Path, PathBuf};

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::erasing::AfterCopy;
use clearhouse_casework::office::{Now, Step};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::limits::{DAY, DESCRIPTOR_AHEAD_SECS, RESTORE_TOLD_SECS, SKEW_SECS};
use clearhouse_store::Store;
use clearhouse_store::backup::keys::EXPIRES_SECS;
use serde::{Deserialize, Serialize};

use crate::clock::{Chance, Clock};
use crate::log::resume::Resumed;
use crate::owner::{NotTaken, Owner, World};
use crate::setup::files;
use crate::sync::partners::has_coordinators;
use crate::sync::{Brought, Puller, Reach};

/// Messages of the backup's outbox that are held in one commit.
pub(crate) const HELD_AT_ONCE: usize = 1000;
/// Bytes of the mark.
const MARK_MAX: u64 = 4 << 10;

/// What is known of the restore, in the folder itself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// When the backup was made, unix seconds.
    pub made: u64,
    /// When it was put back.
    pub restored: u64,
    /// Entries of the log in the backup.
    pub events: u64,
    /// Whoever restored it says that no witness and no other node can be asked.
    pub alone: bool,
    /// Whoever restored it says that it may be older than backups may be.
    #[serde(default)]
    pub although_expired: bool,
    /// Everything that has to be heard was heard.
    pub is_done: bool,
    /// Entries that were signed after the backup.
    pub missing: u64,
    /// Erasures among them of parts of a profile, of a case that nobody can name.
    pub parts: u64,
}

/// Why a restored node does not start yet.
#[derive(Debug, thiserror::Error)]
pub enum NotYet {
    /// No witness answered.
    #[error(
        "this node was restored from a backup and must not sign before its witnesses say how far its log went: too few \
         answered ({0}). Check the line and start again; clearhouse restore --help says what to do when there are none"
    )]
    Unwitnessed(usize),
    /// No coordinator gave newer records; where there is none, nobody.
    #[error(
        "this node was restored from a backup and does not know who was revoked since: no coordinator's node answered. \
         Check the line and start again; clearhouse restore --help says what to do when none of them will ever answer"
    )]
    NoDirectory,
    /// The backup is too old by the clocks of others.
    #[error(
        "this node was restored from a backup of {made}, and by the clocks of other nodes it is {now}: that is more than {} \
         days, and what was erased since may be in it. Nothing was signed or sent. Set this computer's clock and restore a \
         newer backup; when there is none, restore this one into another folder with --although-expired",
        EXPIRES_SECS / DAY
    )]
    Expired {
        /// When it was made.
        made: String,
        /// What others' clocks say.
        now: String,
    },
    /// The mark cannot be read or written.
    #[error("{}: {why}. Restore once more, into another folder", path.display())]
    Mark {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It could not be recorded.
    #[error("that this node was restored cannot be recorded: {0}")]
    NotTaken(#[from] NotTaken),
}

impl Mark {
    /// As it is kept.
    ///
    /// # Errors
    /// [`NotYet::Mark`]: it cannot be written as text, which does not happen.
    pub fn text(&self) -> Result<String, NotYet> {
        let failed = |e: toml::ser::Error| NotYet::Mark { path: files::RESTORED.into(), why: e.to_string() };
        toml::to_string(self).map_err(failed)
    }

    /// The mark in a node's folder; `None` where nothing was restored.
    ///
    /// # Errors
    /// [`NotYet::Mark`]: what cannot be read is not taken for none.
    pub fn read(data: &Path) -> Result<Option<Self>, NotYet> {
        let path = data.join(files::RESTORED);
        let failed = |why: &str| NotYet::Mark { path: path.clone(), why: why.to_owned() };
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.is_file() && meta.len() <= MARK_MAX => {}
            Ok(_) | Err(_) => return Err(failed("is not what `restore` wrote")),
        }
        let text = std::fs::read_to_string(&path).map_err(|_| failed("cannot be read"))?;
        toml::from_str(&text).map(Some).map_err(|_| failed("is not what `restore` wrote"))
    }

    fn keep(&self, data: &Path) -> Result<(), NotYet> {
        let path = data.join(files::RESTORED);
        let failed = |error: std::io::Error| NotYet::Mark { path: path.clone(), why: error.to_string() };
        let new = data.join("keys/restored.new");
        let text = self.text()?;
        let write = || {
            std::fs::write(&new, text)?;
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &path)?;
            crate::ground::sync(&data.join("keys"))
        };
        write().map_err(failed)
    }

    /// What `doctor` says of it, for two weeks.
    #[must_use]
    pub fn told(&self, now: u64) -> Option<(String, &'static str)> {
        let parts = parts_are_back(self.parts);
        let text = format!(
            "This node was restored on {} from a backup of {}. {} entries of its log came after that backup; what they say, and \
             messages and decisions of that time, are not here.{parts}",
            show_time(self.restored),
            show_time(self.made),
            self.missing
        );
        let next = "Ask every organisation you exchange cases with what it sent and received since, and make a backup.";
        (self.is_done && now < self.restored.saturating_add(RESTORE_TOLD_SECS)).then_some((text, next))
    }
}

/// What `doctor` says, for two weeks, of a folder that was an old copy and took its log back; not what the mark of a restore
/// says already.
#[must_use]
pub fn told_after_copy(after: AfterCopy, mark: Option<&Mark>, now: u64) -> Option<(String, &'static str)> {
    let is_said = |mark: &Mark| mark.told(now).is_some() && mark.missing >= after.entries && mark.parts >= after.parts;
    let is_over = now >= after.at.saturating_add(RESTORE_TOLD_SECS);
    if is_over || mark.is_some_and(is_said) {
        return None;
    }
    let text = format!(
        "This folder was an old copy when the node was started on {}. {} entries of its log came back from a coordinator; \
         what they say, and messages and decisions of that time, are not here.{}",
        show_time(after.at),
        after.entries,
        parts_are_back(after.parts)
    );
    Some((text, "Ask every organisation you exchange cases with what it sent and received since."))
}

fn parts_are_back(parts: u64) -> String {
    match parts {
        0 => String::new(),
        parts => format!(" {parts} times parts of a profile were erased since, and are here again: erase them again."),
    }
}

/// Refuses to go on when too few witnesses were heard.
///
/// # Errors
/// [`NotYet::Unwitnessed`].
pub fn is_witnessed(mark: &Mark, resumed: &Resumed) -> Result<(), NotYet> {
    let heard = resumed.is_whole() && resumed.answered > 0;
    if heard || mark.alone { Ok(()) } else { Err(NotYet::Unwitnessed(resumed.answered)) }
}

/// Whether what came of the directory is enough to know who was revoked since: from a coordinator, where there are any. A
/// member by itself could tell what it likes to be old.
fn is_informed(brought: &Brought, is_overseen: bool) -> bool {
    if is_overseen { brought.coordinators > 0 } else { brought.answered > 0 }
}

/// Refuses a backup that is too old by what others say of the time, when nobody said that it may be: by a clock of this
/// machine that is behind it looked young.
///
/// # Errors
/// [`NotYet::Expired`].
fn is_young(mark: &Mark, clock: &dyn Clock, signed_by_others: u64) -> Result<(), NotYet> {
    // Whoever was heard is believed here: at worst somebody has to say that it is to be restored all the same.
    let off = clock.off().map_or(0, |off| off.ahead);
    let heard = clock.wall().saturating_add_signed(off.saturating_neg());
    // Others may sign that much ahead.
    let now = clock.now().max(heard).max(signed_by_others.saturating_sub(DESCRIPTOR_AHEAD_SECS + SKEW_SECS));
    if now.saturating_sub(mark.made) <= EXPIRES_SECS || mark.although_expired {
        return Ok(());
    }
    Err(NotYet::Expired { made: show_time(mark.made), now: show_time(now) })
}

/// What is left to do before any door opens: newer records, places moved on, and the entry that says so.
///
/// # Errors
/// [`NotYet`]; starting again does what is left.
pub async fn catch_up<S: Store + 'static>(
    mut mark: Mark,
    data: &Path,
    (owner, puller): (&Owner<S>, &Puller<S>),
    taken_back: u64,
    clock: &dyn Clock,
) -> Result<Mark, NotYet> {
    let mut brought = puller.round(Reach::WIDE).await?;
    if brought.coordinators == 0 && brought.answered > 0 {
        // In an old backup coordinators' certificates are over, and they were not asked; others may have brought newer ones.
        brought = puller.round(Reach::WIDE).await?;
    }
    let me = puller.me;
    let is_overseen = owner.look(move |world| has_coordinators(world.office.directory(), me)).await?;
    if !is_informed(&brought, is_overseen) && !mark.alone {
        return Err(NotYet::NoDirectory);
    }
    let signed_by_others = owner.look(move |world| world.office.directory().newest_word_of_others(me)).await?;
    is_young(&mark, clock, signed_by_others.unwrap_or(0))?;
    // Before the courier looks at the outbox for the first time.
    while owner.decide(hold_some).await? > 0 {}
    let step = move |world: &World<S>, now: &mut Now<'_, Chance>| {
        // What came back from a mirror has said so in the log already.
        let mut step = match taken_back {
            0 => world.office.note(AuditEvent::Restore, None, now),
            _ => Step::default(),
        };
        step.rows.extend(world.office.move_on(now.time));
        (step, ())
    };
    owner.decide(step).await?;
    // Kept with the entries that came back: a start that ended before this line has not lost it.
    let parts = match taken_back {
        0 => 0,
        _ => owner.look(|world| world.office.after_copy().map_or(0, |after| after.parts)).await?,
    };
    (mark.is_done, mark.missing, mark.parts) = (true, mark.missing.max(taken_back), mark.parts.max(parts));
    mark.keep(data)?;
    tracing::warn!(at = clock.now(), missing = mark.missing, "this node goes on from a backup");
    Ok(mark)
}

/// Holds some of what was under way when the backup was made, and says how many.
fn hold_some<S: Store>(world: &World<S>, now: &mut Now<'_, Chance>) -> (Step, usize) {
    let step = Step { rows: world.office.hold_old(HELD_AT_ONCE, now.time), ..Step::default() };
    let held = step.rows.len();
    (step, held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearhouse_protocol::clocks::Reading;
    use clearhouse_protocol::ids::OrgId;

    use crate::clock::JudgedClock;
    use crate::log::alone::Heard;
    use crate::log::witnesses::Memory;

    fn mark() -> Mark {
        Mark {
            made: 100,
            restored: 200,
            events: 7,
            alone: false,
            although_expired: false,
            is_done: false,
            missing: 0,
            parts: 0,
        }
    }

    #[test]
    fn a_restored_node_goes_on_only_when_enough_witnesses_were_heard_or_somebody_says_there_are_none() {
        let resumed = |memory, answered| Resumed { memory, taken_back: 0, heard: Heard::default(), answered };
        assert!(is_witnessed(&mark(), &resumed(Memory::Whole, 2)).is_ok());
        assert!(
            is_witnessed(&mark(), &resumed(Memory::Whole, 0)).is_err(),
            "a directory without witnesses is no answer"
        );
        assert!(is_witnessed(&mark(), &resumed(Memory::Unasked, 1)).is_err());
        let alone = Mark { alone: true, ..mark() };
        assert!(is_witnessed(&alone, &resumed(Memory::Unasked, 0)).is_ok());
    }

    #[test]
    fn what_came_back_is_told_for_two_weeks_on_an_old_image_too_and_once_on_a_restored_folder() {
        let after = AfterCopy { at: 200, entries: 12, parts: 2, event: 40, last: 5 };
        let (text, _) = told_after_copy(after, None, 201).unwrap();
        assert!(text.contains("12 entries") && text.contains("2 times"), "{text}");
        assert!(told_after_copy(after, None, 200 + RESTORE_TOLD_SECS).is_none());
        let said = Mark { is_done: true, missing: 12, parts: 2, ..mark() };
        assert!(told_after_copy(after, Some(&said), 201).is_none());
        for less in [Mark { parts: 1, ..said.clone() }, Mark { is_done: false, ..said.clone() }] {
            assert!(told_after_copy(after, Some(&less), 201).is_some(), "what the mark does not say");
        }
    }

    #[test]
    fn a_member_alone_is_not_believed_about_the_directory_where_there_are_coordinators() {
        let of = |answered, coordinators| Brought { answered, coordinators, ..Brought::default() };
        assert!(is_informed(&of(2, 1), true) && is_informed(&of(1, 0), false));
        assert!(!is_informed(&of(5, 0), true) && !is_informed(&of(0, 0), false) && !is_informed(&of(0, 0), true));
    }

    #[test]
    fn an_expired_backup_that_looks_young_by_a_clock_behind_is_found_out_by_the_clocks_of_others() {
        const MADE: u64 = 1_700_000_000;
        let mark = Mark { made: MADE, ..mark() };
        // Days since the backup: by this machine, and by the clocks of two other organisations.
        let at = |wall: u64, others: &[u64]| {
            let clock = JudgedClock::over(move || Reading { wall: MADE + wall * DAY, up: 1000 }, MADE, MADE);
            for (org, theirs) in (1..).zip(others) {
                clock.hear(OrgId([org; 16]), MADE + theirs * DAY, 1000);
            }
            clock
        };
        let is_young = |clock: &JudgedClock, signed| is_young(&mark, clock, signed).is_ok();
        assert!(is_young(&at(2, &[]), MADE) && is_young(&at(2, &[2, 2]), MADE) && is_young(&at(2, &[34, 34]), MADE));
        assert!(!is_young(&at(2, &[36, 36]), MADE) && !is_young(&at(2, &[36]), MADE), "who was heard knows better");
        assert!(!is_young(&at(2, &[]), MADE + 37 * DAY), "what others signed since lies later");
        assert!(is_young(&at(2, &[2]), MADE + 35 * DAY), "others may sign ahead");
        let although = Mark { although_expired: true, ..mark.clone() };
        assert!(super::is_young(&although, &at(2, &[36, 36]), MADE).is_ok(), "somebody said so");
    }

    #[test]
    fn a_mark_is_kept_read_again_and_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Mark::read(folder.path()).unwrap().is_none());
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        mark().keep(folder.path()).unwrap();
        let read = Mark::read(folder.path()).unwrap().unwrap();
        assert_eq!((read.made, read.is_done, read.told(201)), (100, false, None));
        let done = Mark { is_done: true, missing: 12, parts: 2, ..mark() };
        let (text, _) = done.told(201).unwrap();
        assert!(text.contains("12 entries") && text.contains("2 times"), "{text}");
        assert!(done.told(200 + RESTORE_TOLD_SECS).is_none());
        std::fs::write(folder.path().join(files::RESTORED), "nothing").unwrap();
        assert!(Mark::read(folder.path()).is_err());
    }
}

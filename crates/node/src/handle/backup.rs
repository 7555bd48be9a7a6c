//! Backups, as people ask for them: making one, and the organisation's recovery key. An administrator's or a manager's.

use std::path::Path;
use std::sync::Arc;

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::Now;
use clearhouse_casework::office::erasing::AfterCopy;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ids::unhex;
use clearhouse_protocol::recovery::RecoveryKey;
use clearhouse_store::Store;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::state::finding_of;
use super::{Answer, Handle, failure, lock, not_taken};
use crate::backup::found::DUE_SECS;
use crate::backup::{BackupFault, Last, Maker};
use crate::clock::{Chance, chance};
use crate::control::ControlFailure;
use crate::owner::World;
use crate::restored::{Mark, told_after_copy};

impl<S: Store + 'static> Handle<S> {
    pub(super) async fn backup_create(&self, actor: Actor, folder: String) -> Answer {
        check_role(&actor)?;
        let Ok(_one) = self.backing_up.try_lock() else { return Err(told(&BackupFault::Busy)) };
        let maker = Maker {
            owner: self.owner.clone(),
            clock: Arc::clone(&self.clock),
            keys: self.keys(),
            data: self.data.clone(),
        };
        let made = maker.make(Path::new(&folder), Some(actor)).await.map_err(|fault| told(&fault))?;
        Ok(json!({
            "schema": "ch.backup/1",
            "file": made.records.display().to_string(),
            "keys": made.keys.display().to_string(),
            "made": show_time(made.about.created),
            "bytes": made.about.bytes,
            "commits": made.about.generation,
            "rows": made.about.rows,
            "entries": made.about.events,
            "head": head(&made.about.head),
            "sealed_to": made.about.key,
            "verified": "put back and read to the last row",
            "older_destroyed": made.older.destroyed,
            "older_other_key": made.older.other_key,
            "older_unreadable": made.older.unreadable,
        }))
    }

    pub(super) async fn backup_key(&self, actor: Actor, public: String, mark: Zeroizing<String>) -> Answer {
        check_role(&actor)?;
        let mark = unhex(&mark).map(Zeroizing::new);
        let key = unhex(&public).zip(mark).and_then(|(public, mark)| RecoveryKey::kept(&public, &mark).ok());
        let key = key.ok_or_else(|| failure("CH-U0120", "This is no recovery key. Nothing was changed."))?;
        // A backup under way is sealed to the key it began with.
        let Ok(_one) = self.backing_up.try_lock() else {
            let text = "The recovery key was not changed: a backup is being made. Try again in a minute.";
            return Err(failure("CH-P0120", text));
        };
        let words = key.words();
        let was = lock(&self.keys).service().recovery().map(RecoveryKey::words);
        // The entry first: there is no key without one. An entry whose change then failed is told to whoever asked.
        let note = move |world: &World<S>, now: &mut Now<'_, Chance>| {
            (world.office.note(AuditEvent::KeyChange, Some(&actor), now), ())
        };
        self.owner.decide(note).await.map_err(not_taken)?;
        let keys = self.keys();
        let set = tokio::task::spawn_blocking(move || lock(&keys).set_recovery(key, &mut chance()));
        set.await.map_err(|_| key_unknown("an error of this program"))?.map_err(key_unknown)?;
        Ok(json!({"schema": "ch.recovery-key/1", "key": words, "replaced": was}))
    }

    /// When the last verified backup was made.
    pub(super) fn last_backup(&self) -> Option<u64> {
        Last::read(&self.data).map(|last| last.made)
    }

    /// What `doctor` says of backups.
    pub(super) fn backup_findings(&self, after: Option<AfterCopy>, now: u64) -> Vec<Value> {
        let (has_key, epoch) = {
            let keys = lock(&self.keys);
            (keys.service().recovery().is_some(), keys.epoch())
        };
        let mark = Mark::read(&self.data).ok().flatten();
        let restored = mark.as_ref().and_then(|mark| mark.told(now));
        let restored = restored.map(|(text, next)| finding_of("CH-D0227", text, next, true));
        let after = after.and_then(|after| told_after_copy(after, mark.as_ref(), now));
        let restored = restored.into_iter().chain(after.map(|(text, next)| finding_of("CH-D0230", text, next, true)));
        let last = Last::read(&self.data);
        findings(has_key, last.as_ref(), epoch, now, !self.training).into_iter().chain(restored).collect()
    }
}

fn findings(has_key: bool, last: Option<&Last>, epoch: u32, now: u64, problem: bool) -> Vec<Value> {
    if !has_key {
        let text = "This node has no recovery key, so there can be no backup.".to_owned();
        return vec![finding_of("CH-D0225", text, "Make one: clearhouse backup key --help", problem)];
    }
    let next = "Make one: clearhouse backup create FOLDER";
    let text = match last {
        None => "There is no backup of this node.".to_owned(),
        Some(last) if last.made.saturating_add(DUE_SECS) < now => {
            format!("The last verified backup was made on {}.", show_time(last.made))
        }
        Some(last) if last.epoch != epoch => {
            "A case was erased since the last backup: its keys are still in that one, until a newer is made.".to_owned()
        }
        Some(_) => return Vec::new(),
    };
    vec![finding_of("CH-D0226", text, next, problem)]
}

/// The key file may hold either key: nobody may throw a sheet away by this.
fn key_unknown(why: impl std::fmt::Display) -> ControlFailure {
    let text = format!(
        "It is not certain that the recovery key was changed: {why}. The log has an entry of the change. Keep the new sheets \
         and the old ones, start the node anew, and ask again with another folder."
    );
    failure("CH-S0121", text)
}

fn check_role(actor: &Actor) -> Result<(), ControlFailure> {
    if actor.role.administers() || actor.role == Role::Manager {
        return Ok(());
    }
    Err(failure("CH-R0110", "Not done: an administrator or a manager makes backups."))
}

/// The root of a head's text, as people compare it; empty before the first.
pub(super) fn head(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().skip(1).take(2).collect::<Vec<_>>().join(" ")
}

fn told(fault: &BackupFault) -> ControlFailure {
    let (code, next) = match fault {
        BackupFault::Locked => ("CH-K0102", "Unlock them: clearhouse unlock."),
        BackupFault::NoRecoveryKey => ("CH-K0120", "Make one: clearhouse backup key."),
        BackupFault::Erasing | BackupFault::Busy => ("CH-P0120", "Try again in a minute."),
        BackupFault::Folder { .. } => ("CH-U0121", "Name a folder on another disk that the node may write to."),
        BackupFault::NotTaken(_) => ("CH-P0101", "Start the node and ask again."),
        BackupFault::Differs(_) => ("CH-I0120", "Run `clearhouse doctor --scrub`; older backups are as they were."),
        BackupFault::File { .. }
        | BackupFault::Records(_)
        | BackupFault::Keys(_)
        | BackupFault::Store(_)
        | BackupFault::Expired { .. }
        | BackupFault::ClockBehind { .. }
        | BackupFault::Taken(_)
        | BackupFault::Node(_) => ("CH-S0120", "Nothing was kept of it; older backups are as they were."),
    };
    failure(code, format!("There is no new backup: {fault}. {next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_an_old_and_an_overtaken_backup_are_findings() {
        let codes = |has_key, last: Option<(u64, u32)>, now| {
            let last = last.map(|(made, epoch)| Last { made, epoch, file: String::new() });
            let found = findings(has_key, last.as_ref(), 3, now, true);
            found.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(codes(false, None, 0), ["CH-D0225"]);
        assert_eq!(codes(true, None, 0), ["CH-D0226"]);
        assert_eq!(codes(true, Some((100, 3)), 100 + DUE_SECS), Vec::<String>::new());
        assert_eq!(codes(true, Some((100, 3)), 101 + DUE_SECS), ["CH-D0226"]);
        assert_eq!(codes(true, Some((100, 2)), 100), ["CH-D0226"]);
    }
}

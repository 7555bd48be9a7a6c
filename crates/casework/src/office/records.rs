//! The directory's side of the office: what comes in is checked, what is taken is kept exactly as it came.

use std::collections::BTreeMap;
use std::sync::Arc;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ceremony::{Attested, attest};
use clearhouse_protocol::directory::beforehand::{InParts, in_one};
use clearhouse_protocol::directory::lost_key::Wait;
use clearhouse_protocol::directory::{Checked, Directory, ROW_KINDS, RecordFault};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::limits::BUNDLE_MAX;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_protocol::signed::Verdicts;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::publishing::waiting::News;
use super::{Effect, Now, Office, Step};
use crate::deadlines::Deadlines;
use crate::roles::Actor;

/// The first byte of a prekey's row.
const PREKEY: u8 = b'R';

/// The first byte of the row of a record that waits.
const WAITS: u8 = b'A';

/// What became of a bundle of records.
#[derive(Default)]
pub struct Intake {
    /// Records that are new here.
    pub new: usize,
    /// Records already held.
    pub known: usize,
    /// Of the new ones those that wait: another root key, which the one before did not sign.
    pub waiting: usize,
    /// Records that contradict one that is held: from now on neither counts.
    pub contested: usize,
    /// Records refused, by their position in the bundle.
    pub refused: Vec<(usize, RecordFault)>,
    /// What of it entries of directory logs waited for: they are to be tried again.
    pub due: News,
}

/// The deadlines of a network: the defaults with the policy's overrides. An override outside its bounds is left out;
/// the floor protects people and a policy cannot lower it.
pub(super) fn deadlines_of(directory: &Directory) -> Deadlines {
    let policy = directory.policy();
    let training = policy.kind() == wire::NetworkKind::Training;
    let all: BTreeMap<String, u64> = policy.deadline_overrides.iter().map(|o| (o.rule.clone(), o.secs)).collect();
    Deadlines::with_overrides(&all, training).unwrap_or_else(|_| {
        let sound = all.into_iter().filter(|(rule, secs)| {
            Deadlines::with_overrides(&BTreeMap::from([(rule.clone(), *secs)]), training).is_ok()
        });
        Deadlines::with_overrides(&sound.collect(), training).unwrap_or_default()
    })
}

impl Office {
    /// Decides on a bundle of records from a file or a peer. Each record stands alone: what is sound is taken,
    /// whatever else the bundle holds. Records past [`BUNDLE_MAX`] are refused unread.
    pub fn admit<R: CryptoRng>(&self, bundle: &wire::RecordBundle, now: &mut Now<'_, R>) -> (Step, Intake) {
        self.admit_beside(bundle, self.directory.try_ahead(&bundle.records, &bundle.prekeys, &in_one), now)
    }

    /// [`Office::admit`], where [`Directory::try_ahead`] was done elsewhere: it is most of the work.
    pub fn admit_beside<R: CryptoRng>(
        &self,
        bundle: &wire::RecordBundle,
        verdicts: Verdicts,
        now: &mut Now<'_, R>,
    ) -> (Step, Intake) {
        let (step, mut intake, came) = self.admit_all(bundle, verdicts, now);
        intake.due = self.waiting.wanted(&came, &[]);
        (step, intake)
    }

    /// [`Office::admit_beside`], with all that came, whether anything waits for it or not.
    pub(super) fn admit_all<R: CryptoRng>(
        &self,
        bundle: &wire::RecordBundle,
        verdicts: Verdicts,
        now: &mut Now<'_, R>,
    ) -> (Step, Intake, News) {
        let mut came = News::default();
        let mut directory = (*self.directory).clone();
        let (mut step, mut intake) = (Step::default(), Intake::default());
        let mut rivals = Vec::new();
        let mut take = |position: usize, directory: &mut Directory, result, value: Vec<u8>| match result {
            Ok(Some(checked)) => {
                step.rows.extend(directory.rows_left_by(&checked).into_iter().map(|key| directory_row(key, None)));
                step.rows.push(record_row(&checked, value));
                came.add(&checked);
                intake.waiting += usize::from(matches!(checked, Checked::Announced(..)));
                if let Checked::Rival(rival) = &checked {
                    rivals.push(rival.hash());
                    intake.contested += 1;
                }
                directory.insert(checked);
                intake.new += 1;
            }
            Ok(None) => intake.known += 1,
            Err(fault) => intake.refused.push((position, fault)),
        };
        for (position, signed) in bundle.records.iter().take(BUNDLE_MAX).enumerate() {
            let result = directory.check_beside(signed, now.time, &verdicts);
            take(position, &mut directory, result, signed.encode_to_vec());
        }
        for (position, prekey) in bundle.prekeys.iter().take(BUNDLE_MAX).enumerate() {
            let result = directory.check_prekey_beside(prekey.week, &prekey.pk, &verdicts);
            take(bundle.records.len() + position, &mut directory, result, prekey.encode_to_vec());
        }
        for position in Self::take_published(&mut directory, bundle, &mut step) {
            intake.refused.push((bundle.records.len() + bundle.prekeys.len() + position, RecordFault::Proof));
        }
        if !step.rows.is_empty() {
            self.record(&mut step, &Happening::of(AuditEvent::DirectoryChanged), now);
            for rival in rivals {
                let found = Happening { digest: Some(Digest(rival)), ..Happening::of(AuditEvent::EquivocationFound) };
                self.record(&mut step, &found, now);
            }
            step.effects.push(Effect::DirectoryChanged);
            step.verdicts = verdicts;
        }
        (step, intake, came)
    }

    /// Begins the waits of root keys that the one before did not sign, and takes the records whose wait is over, each in one
    /// step with the rows that it leaves. With the organisations that have another key now: what that signed was refused.
    pub fn mind_lost_keys<R: CryptoRng>(&self, now: &mut Now<'_, R>) -> (Step, Vec<OrgId>) {
        let (mut step, mut changed) = (Step::default(), Vec::new());
        for wait in self.directory.waits_begun(now.time) {
            step.rows.push(directory_row(wait.row_key(), Some(wait.bytes())));
        }
        for checked in self.directory.waits_over(now.time) {
            let Checked::Org(org, record) = &checked else { continue };
            step.rows.extend(self.directory.rows_left_by(&checked).into_iter().map(|key| directory_row(key, None)));
            step.rows.push(record_row(&checked, record.raw().encode_to_vec()));
            changed.push(*org);
        }
        if !step.rows.is_empty() {
            self.record(&mut step, &Happening::of(AuditEvent::DirectoryChanged), now);
            step.effects.push(Effect::DirectoryChanged);
        }
        (step, changed)
    }

    /// Says that this organisation's entry is right: publishes a descriptor of this node with what a person attests.
    ///
    /// # Errors
    /// `None` when nothing describes this node yet; otherwise [`RecordFault`], and nothing changes.
    pub fn attest<R: CryptoRng>(
        &self,
        said: &Attested,
        actor: &Actor,
        now: &mut Now<'_, R>,
    ) -> Result<Step, Option<RecordFault>> {
        let held = self.directory.descriptor(self.me.node).ok_or(None)?;
        let records = vec![attest(held, said, now.key, now.time)];
        let (mut step, intake) =
            self.admit(&wire::RecordBundle { records, prekeys: Vec::new(), published: vec![] }, now);
        if let Some((_, fault)) = intake.refused.first() {
            return Err(Some(*fault));
        }
        self.record(&mut step, &Happening::of(AuditEvent::LocalAct).by(actor.role.code()), now);
        Ok(step)
    }

    /// Verifies beforehand what there is to verify of the records among kept rows, in as many parts as `in_parts` makes of
    /// it: a node that starts has all of its directory before it.
    #[must_use]
    pub fn try_rows(&self, rows: &[Row], in_parts: InParts<'_>) -> Verdicts {
        let of_it = rows.iter().filter(|row| row.table == Table::Directory && row.key.first() != Some(&PREKEY));
        let values = of_it.filter_map(|row| row.value.as_deref());
        let records: Vec<wire::Signed> = values.filter_map(|value| wire::Signed::decode(value).ok()).collect();
        self.directory.try_ahead(&records, &[], in_parts)
    }

    /// Takes one kept record back into memory. It was checked when it came and is checked again here: a store that
    /// was tampered with cannot bring in a record that no coordinator signed.
    pub(super) fn apply_record(&mut self, row: &Row, verdicts: &Verdicts) {
        let Some(value) = row.value.as_deref() else { return };
        let directory = Arc::make_mut(&mut self.directory);
        if let Some(wait) = Wait::kept(&row.key, value) {
            directory.begin_wait(&wait);
            return;
        }
        let signed = || wire::Signed::decode(value).ok();
        let checked = match row.key.first() {
            Some(&PREKEY) => {
                wire::Prekey::decode(value).ok().and_then(|p| directory.check_kept_prekey(p.week, &p.pk).ok().flatten())
            }
            Some(&WAITS) => signed().and_then(|s| directory.check_waiting(&s, verdicts).ok().flatten()),
            Some(_) | None => signed().and_then(|s| directory.check_kept(&s, verdicts).ok().flatten()),
        };
        if let Some(checked) = checked {
            let policy = matches!(checked, Checked::Policy(..));
            directory.insert(checked);
            if policy {
                self.deadlines = deadlines_of(&self.directory);
                self.look_at_all();
            }
        }
    }
}

fn record_row(checked: &Checked, value: Vec<u8>) -> Row {
    directory_row(Directory::row_key(checked), Some(value))
}

fn directory_row(key: Vec<u8>, value: Option<Vec<u8>>) -> Row {
    Row { table: Table::Directory, key, value, under: Under::Service, must_be_new: false }
}

/// Sorts the rows of each table, which lie together, into an order in which they can be taken: records so that each can
/// be checked ([`ROW_KINDS`]), stretches of a directory log one after the other.
pub fn reading_order(rows: &mut [Row]) {
    let rank = |row: &Row| ROW_KINDS.iter().position(|k| row.key.first() == Some(k));
    for rows in rows.chunk_by_mut(|one, next| one.table == next.table) {
        match rows.first().map(|row| row.table) {
            Some(Table::Directory) => rows.sort_by_cached_key(|row| (rank(row), row.key.clone())),
            Some(Table::DirectoryLog) => rows.sort_by(|a, b| a.key.cmp(&b.key)),
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

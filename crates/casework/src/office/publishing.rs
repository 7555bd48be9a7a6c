//! Directory logs in the office: what was followed of each coordinator's, and, at a coordinator's node, its own.
//!
//! Whatever a log shows is admitted like a record from anywhere else; the log only says that everybody was shown it. An
//! entry is kept once, however many logs have it. Refuses to enter a record twice, and to go on behind a log that showed
//! two histories.

pub mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;

use clearhouse_protocol::canon;
use clearhouse_protocol::directory::beforehand::in_one;
use clearhouse_protocol::directory::logs::{Entered, LogFault, Newest};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{BUNDLE_MAX, LOG_PAGE_ENTRIES_MAX};
use clearhouse_protocol::log::equivocation::Equivocation;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_protocol::signed::Verdicts;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use super::records::Intake;
use super::{Effect, Now, Office, Step};

/// Entries in one row.
const ROW_ENTRIES: usize = 256;
/// Records entered in one step.
const ENTER_MAX: usize = 256;
// Kinds of rows: a stretch of entries, the newest head of a log, a record proved to stand in a log.
const ENTRIES: u8 = b'L';
const HEAD: u8 = b'H';
// A longer head, the entries of which are still coming.
const PENDING: u8 = b'Q';
const PROVED: u8 = b'P';

impl Office {
    pub(super) fn apply_directory_log(&mut self, row: &Row) {
        let Some((kind, key)) = row.key.split_first() else { return };
        if *kind == waiting::WAITING {
            return self.waiting.apply(key, row.value.as_deref());
        }
        let Some(value) = row.value.as_deref() else { return };
        let directory = Arc::make_mut(&mut self.directory);
        let node = key.first_chunk::<16>().map(|node| NodeId(*node));
        match (*kind, node) {
            (ENTRIES, Some(node)) => {
                let page = key.get(16..).and_then(|page| page.try_into().ok()).map_or(0, u32::from_be_bytes);
                let (entered, _) = value.as_chunks::<{ Entered::LEN }>();
                let entered: Vec<Entered> = entered.iter().map(Entered::kept).collect();
                directory.take_entries(node, u64::from(page) * ROW_ENTRIES as u64, &entered);
            }
            (HEAD | PENDING, Some(node)) => {
                if let Some(newest) = Newest::kept(value) {
                    directory.take_newest(node, newest);
                }
            }
            (PROVED, _) => {
                if let Ok(record) = key.try_into() {
                    directory.publish(record);
                }
            }
            _ => {}
        }
    }

    /// Decides on what somebody showed of a coordinator's directory log: its next entries and a head. The records in it
    /// are admitted as far as they are sound; what they are refused for is in the [`Intake`]. What was refused for lack of
    /// something waits here ([`waiting`]).
    ///
    /// # Errors
    /// [`LogFault`]: nothing of the page is taken. Where it proves that the log shows two histories, the step keeps the
    /// proof.
    pub fn follow<R: CryptoRng>(
        &self,
        node: NodeId,
        page: &wire::DirectoryLogReply,
        now: &mut Now<'_, R>,
    ) -> (Step, Result<Intake, LogFault>) {
        self.follow_beside(node, page, self.directory.try_ahead(&records_in(page), &[], &in_one), now)
    }

    /// [`Office::follow`], where [`Directory::try_ahead`](clearhouse_protocol::directory::Directory::try_ahead) was done
    /// elsewhere with the [`records_in`] the page.
    ///
    /// # Errors
    /// As there.
    pub fn follow_beside<R: CryptoRng>(
        &self,
        node: NodeId,
        page: &wire::DirectoryLogReply,
        verdicts: Verdicts,
        now: &mut Now<'_, R>,
    ) -> (Step, Result<Intake, LogFault>) {
        let checked = match self.directory.check_page(node, page, now.time) {
            Ok(checked) => checked,
            Err(fault) => {
                let mut step = Step::default();
                if let (LogFault::Forked(Some(proof)), Some(log)) = (&fault, self.directory.directory_log(node)) {
                    self.keep_proof(node, &sha256(log.name().as_bytes()), proof, &mut step, now);
                }
                return (step, Err(fault));
            }
        };
        let entries = page.entries.iter().zip(checked.entered());
        let read = |entry: &[u8]| canon::claimed::<wire::Signed>(entry);
        let shown: Vec<_> = entries.filter_map(|(entry, at)| Some((at.leaf(), read(entry)?))).collect();
        let records = shown.iter().map(|(_, signed)| signed.clone()).collect();
        let bundle = wire::RecordBundle { records, ..wire::RecordBundle::default() };
        let (mut step, mut intake, came) = self.admit_all(&bundle, verdicts, now);
        let names = self.have_wait(node, &shown, &intake.refused, &mut step);
        intake.due = self.waiting.wanted(&came, &names);
        self.keep_entries(node, checked.first(), checked.entered(), &page.entries, &mut step);
        let held = self.directory.newest_head(node).map(|head| (head.size(), head.fresh()));
        let rises = held.is_none_or(|held| held < (checked.newest().size(), checked.newest().fresh()));
        if !checked.is_whole() || rises {
            let kind = if checked.is_whole() { HEAD } else { PENDING };
            step.rows.push(log_row([&[kind], node.as_bytes()].concat(), checked.newest().bytes()));
            step.effects.push(Effect::DirectoryChanged);
        }
        (step, Ok(intake))
    }

    /// Keeps the proof that a coordinator's directory log showed two histories, found when two who follow it met.
    #[must_use]
    pub fn keep_fork<R: CryptoRng>(&self, node: NodeId, proof: &Equivocation, now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        if let Some(log) = self.directory.directory_log(node).filter(|log| proof.check(log).is_ok()) {
            self.keep_proof(node, &sha256(log.name().as_bytes()), proof, &mut step, now);
        }
        step
    }

    /// At a coordinator's node: enters into its directory log what is held and does not stand in it yet. An empty step
    /// when there is nothing, or the policy names no log of this node.
    #[must_use]
    pub fn enter_records(&self) -> Step {
        let mut step = Step::default();
        if self.directory.directory_log(self.me.node).is_none() {
            return step;
        }
        let fresh = self.directory.to_enter(self.me.node).into_iter().take(ENTER_MAX);
        let entries: Vec<Vec<u8>> = fresh.map(wire::Signed::encode_to_vec).collect();
        if !entries.is_empty() {
            let entered: Vec<Entered> = entries.iter().map(|entry| Entered::of(entry)).collect();
            self.keep_entries(self.me.node, self.directory.followed(self.me.node), &entered, &entries, &mut step);
        }
        step
    }

    fn keep_entries(&self, node: NodeId, first: u64, entered: &[Entered], entries: &[Vec<u8>], step: &mut Step) {
        // A head alone changes none of them.
        if entered.is_empty() {
            return;
        }
        for (entered, entry) in entered.iter().zip(entries) {
            step.rows.push(Row {
                table: Table::DirectoryEntry,
                key: entered.leaf().to_vec(),
                value: Some(entry.clone()),
                under: Under::Service,
                must_be_new: false,
            });
        }
        // A row that was not full is written again with what follows.
        let start = first - first % ROW_ENTRIES as u64;
        let before = usize::try_from(first - start).unwrap_or(0);
        let all: Vec<Entered> = [self.directory.entered(node, start, before), entered].concat();
        for (n, row) in (start / ROW_ENTRIES as u64..).zip(all.chunks(ROW_ENTRIES)) {
            let page = u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
            let value = row.iter().flat_map(Entered::bytes).collect();
            step.rows.push(log_row([&[ENTRIES], node.as_bytes(), &page].concat(), value));
        }
    }

    /// Takes the proofs of a bundle that its records stand in a log; returns the places of those that do not hold. What is
    /// known to stand in one needs none.
    pub(super) fn take_published(
        directory: &mut clearhouse_protocol::directory::Directory,
        bundle: &wire::RecordBundle,
        step: &mut Step,
    ) -> Vec<usize> {
        let mut refused = Vec::new();
        if !directory.has_logs() {
            return refused;
        }
        let known: BTreeSet<[u8; 32]> = bundle.records.iter().map(|signed| sha256(&signed.payload)).collect();
        for (position, published) in bundle.published.iter().take(BUNDLE_MAX).enumerate() {
            match directory.check_published(published) {
                Ok(record) if directory.knows_published(&record) || !known.contains(&record) => {}
                Ok(record) => {
                    directory.publish(record);
                    step.rows.push(log_row([&[PROVED], record.as_slice()].concat(), published.encode_to_vec()));
                }
                Err(_) => refused.push(position),
            }
        }
        refused
    }

    /// The keys under which the entries of a directory log are kept that somebody asks for, from `first` on: at most
    /// [`LOG_PAGE_ENTRIES_MAX`]. [`Directory::page_of`](clearhouse_protocol::directory::Directory::page_of) makes the
    /// answer out of them.
    #[must_use]
    pub fn entry_keys(&self, node: NodeId, first: u64) -> Vec<[u8; 32]> {
        self.directory.entered(node, first, LOG_PAGE_ENTRIES_MAX).iter().map(Entered::leaf).collect()
    }
}

/// The records that a page of a directory log shows.
#[must_use]
pub fn records_in(page: &wire::DirectoryLogReply) -> Vec<wire::Signed> {
    page.entries.iter().filter_map(|entry| canon::claimed(entry)).collect()
}

fn log_row(key: Vec<u8>, value: Vec<u8>) -> Row {
    Row { table: Table::DirectoryLog, key, value: Some(value), under: Under::Service, must_be_new: false }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "publishing/tests.rs"]
mod tests;

//! Records that come in piles: their signatures are verified on all cores and beside the owner's thread, which then only
//! decides and commits. Without it, a coordinator's log of a thousand entries would stand between a message and its receipt.
//!
//! Decides nothing itself: what is not verified here is verified there.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use clearhouse_casework::office::Step;
use clearhouse_casework::office::publishing::records_in;
use clearhouse_casework::office::publishing::waiting::{News, Place};
use clearhouse_casework::office::records::Intake;
use clearhouse_protocol::directory::logs::LogFault;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::BUNDLE_MAX;
use clearhouse_protocol::rows::Table;
use clearhouse_protocol::signed::Verdicts;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use zeroize::Zeroizing;

use crate::owner::{NotTaken, Owner, World};

/// Threads that verify for one pile, at most: others have work to do, too.
const CORES_MAX: usize = 8;

/// Does the work in as many parts as there are cores. A part that ends by a bug has found nothing.
pub(crate) fn on_all_cores(work: &(dyn Fn(usize, usize) -> Verdicts + Sync)) -> Verdicts {
    let of = thread::available_parallelism().map_or(1, NonZero::get).min(CORES_MAX);
    thread::scope(|scope| {
        let part = |part| move || work(part, of);
        let others: Vec<_> = (1..of).map(|n| thread::Builder::new().spawn_scoped(scope, part(n))).collect();
        let mut all = work(0, of);
        // Without a thread to be had, its part is verified where it is decided.
        others.into_iter().flatten().for_each(|other| all.join(other.join().unwrap_or_default()));
        all
    })
}

impl<S: Store + 'static> Owner<S> {
    /// Takes what is sound of a bundle of records.
    ///
    /// # Errors
    /// [`NotTaken`]: then nothing of it was.
    pub async fn admit(&self, bundle: wire::RecordBundle) -> Result<Intake, NotTaken> {
        let directory = Arc::clone(&self.signals.directory.borrow());
        let tried = tokio::task::spawn_blocking(move || {
            // What is past the limit is refused unread.
            let records = &bundle.records[..bundle.records.len().min(BUNDLE_MAX)];
            let prekeys = &bundle.prekeys[..bundle.prekeys.len().min(BUNDLE_MAX)];
            let verdicts = directory.try_ahead(records, prekeys, &on_all_cores);
            (bundle, verdicts)
        });
        let (bundle, verdicts) = tried.await.map_err(|_| NotTaken::Bug)?;
        let intake = self.decide(move |world, now| world.office.admit_beside(&bundle, verdicts, now)).await?;
        self.with_waiting(intake).await
    }

    /// Takes what somebody showed of a coordinator's directory log, asked from entry `first` on; without it, for a head
    /// alone.
    ///
    /// # Errors
    /// [`NotTaken`]; a page that is not taken is an answer, not an error.
    pub async fn follow(
        &self,
        log: NodeId,
        first: Option<u64>,
        page: wire::DirectoryLogReply,
    ) -> Result<Result<Intake, LogFault>, NotTaken> {
        let directory = Arc::clone(&self.signals.directory.borrow());
        let tried = tokio::task::spawn_blocking(move || {
            let verdicts = directory.try_ahead(&records_in(&page), &[], &on_all_cores);
            (page, verdicts)
        });
        let (page, verdicts) = tried.await.map_err(|_| NotTaken::Bug)?;
        let taken = self.decide(move |world, now| {
            // Read from two peers at once: what the other brought is not a second history.
            if first.is_some_and(|first| world.office.directory().followed(log) != first) {
                return (Step::default(), Err(LogFault::Overtaken));
            }
            world.office.follow_beside(log, &page, verdicts, now)
        });
        match taken.await? {
            Ok(intake) => Ok(Ok(self.with_waiting(intake).await?)),
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// Adds what was taken because something else came.
    async fn with_waiting(&self, mut intake: Intake) -> Result<Intake, NotTaken> {
        if !intake.due.is_empty() {
            intake.new += self.try_again(std::mem::take(&mut intake.due)).await?;
        }
        Ok(intake)
    }

    /// Decides anew on the entries of directory logs that wait for what came, and on those that wait for these in turn; how
    /// many are new here. To be called for an organisation also when what it may do changes without a record.
    ///
    /// # Errors
    /// [`NotTaken`]: what was not tried by then waits on, and is tried at the next start.
    pub async fn try_again(&self, mut came: News) -> Result<usize, NotTaken> {
        let mut taken = 0;
        // Each round takes out at least one of what waits, of which there is an end.
        while !came.is_empty() {
            let due = {
                let came = std::mem::take(&mut came);
                self.look(move |world| world.office.waiting_for(&came)).await?
            };
            for places in due.chunks(BUNDLE_MAX) {
                let intake = self.try_some(places.to_vec()).await?;
                taken += intake.new;
                came.join(intake.due);
            }
        }
        Ok(taken)
    }

    async fn try_some(&self, places: Vec<Place>) -> Result<Intake, NotTaken> {
        let read = move |world: &mut World<S>| -> Vec<(Place, Option<wire::Signed>)> {
            // What cannot be read now waits on; what is not there at all does not.
            let read = |at: Place| Some((at, world.ledger.read(Table::DirectoryEntry, &at.1).ok()?));
            let signed = |bytes: Option<Zeroizing<Vec<u8>>>| wire::Signed::decode(bytes?.as_slice()).ok();
            places.into_iter().filter_map(read).map(|(at, bytes)| (at, signed(bytes))).collect()
        };
        let entries = self.look(read).await?;
        let directory = Arc::clone(&self.signals.directory.borrow());
        let tried = tokio::task::spawn_blocking(move || {
            let records: Vec<wire::Signed> = entries.iter().filter_map(|(_, signed)| signed.clone()).collect();
            let verdicts = directory.try_ahead(&records, &[], &on_all_cores);
            (entries, verdicts)
        });
        let (entries, verdicts) = tried.await.map_err(|_| NotTaken::Bug)?;
        self.decide(move |world, now| world.office.try_again(&entries, verdicts, now)).await
    }
}

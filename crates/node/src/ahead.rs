//! Records that come in piles: their signatures are verified on all cores and beside the owner's thread, which then only
//! decides and commits. Without it, a coordinator's log of a thousand entries would stand between a message and its receipt.
//!
//! Decides nothing itself: what is not verified here is verified there.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use clearhouse_casework::office::Step;
use clearhouse_casework::office::publishing::records_in;
use clearhouse_casework::office::records::Intake;
use clearhouse_protocol::directory::logs::LogFault;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::BUNDLE_MAX;
use clearhouse_protocol::signed::Verdicts;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;

use crate::owner::{NotTaken, Owner};

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
        self.decide(move |world, now| world.office.admit_beside(&bundle, verdicts, now)).await
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
        self.decide(move |world, now| {
            // Read from two peers at once: what the other brought is not a second history.
            if first.is_some_and(|first| world.office.directory().followed(log) != first) {
                return (Step::default(), Err(LogFault::Overtaken));
            }
            world.office.follow_beside(log, &page, verdicts, now)
        })
        .await
    }
}

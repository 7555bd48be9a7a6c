//! A coordinator's watch: holds the logs heard of against each other by itself, raises alarms, and sees that both ends
//! hear of them. On a node of anybody else it rests.
//!
//! Looks again when something new was heard, and at least every hour because time alone makes things late; never more
//! of the time than one part in ten. Refuses to decide what an alarm is: reconciliation finds, the office raises.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::alarms::Found;
use clearhouse_protocol::alarm::AlarmKind;
use clearhouse_protocol::reconcile::{Finding, Kind, Policy};
use clearhouse_store::Store;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::owner::{NotTaken, Owner, World};
use crate::reconcile::{ReconcileError, reconcile};
use crate::retention::delete_before;

/// Between two looks at whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Without anything new, logs are held against each other so often.
const AT_LEAST: Duration = Duration::from_secs(3600);
/// After a reconciliation, this many times its length is for other things.
const REST: u32 = 9;
/// What is needed no more is deleted so often.
const DELETE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What the watch stands on.
pub struct Watch<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What was heard when it was looked at last: entries of all logs, and when the last of them was heard.
type Heard = (u64, u64);

impl<S: Store + 'static> Watch<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let (mut seen, mut not_before, mut not_after) = (None, Instant::now(), Instant::now());
        let mut deleted: Option<Instant> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let heard = match self.owner.look(heard).await {
                Ok(Some(heard)) => heard,
                Ok(None) => continue,
                Err(_) => return,
            };
            let began = Instant::now();
            let due = began >= not_after || (began >= not_before && seen != Some(heard));
            if due {
                match self.look().await {
                    Ok(needed_from) if deleted.is_none_or(|at| at.elapsed() >= DELETE_EVERY) => {
                        deleted = Some(Instant::now());
                        if let Err(error) = delete_before(&self.owner, needed_from).await {
                            tracing::error!(%error, "openings that are needed no more cannot be deleted");
                        }
                    }
                    Ok(_) => {}
                    Err(ReconcileError::NotTaken(NotTaken::Stopping)) => return,
                    Err(error) => tracing::error!(%error, "alarms cannot be looked for"),
                }
                seen = Some(heard);
                not_before = Instant::now() + began.elapsed() * REST;
                not_after = not_before.max(Instant::now() + AT_LEAST);
            }
            if self.tell().await == Err(NotTaken::Stopping) {
                return;
            }
        }
    }

    /// Reconciles and raises. Before which time openings are needed no more.
    async fn look(&self) -> Result<u64, ReconcileError> {
        let reconciled = reconcile(&self.owner, Policy::default(), self.clock.now()).await?;
        let found: Vec<Found> = reconciled.urgent.iter().filter_map(found).collect();
        let raised = self.owner.decide(move |world, now| {
            let step = world.office.raise(&found, now);
            let open = world.office.alarms_open().0;
            let changed = !step.events.is_empty();
            (step, changed.then_some(open))
        });
        if let Some(open) = raised.await? {
            // Counts alone: whom to phone is for the eyes of who is signed in.
            tracing::warn!(open, "alarms changed: see `clearhouse audit alarms`");
        }
        Ok(reconciled.needed_from)
    }

    /// Queues what ends have to be told, one message at a time; one that cannot be reached keeps nobody else waiting.
    async fn tell(&self) -> Result<(), NotTaken> {
        let due = self.owner.look(|world| world.office.alarms_to_tell()).await?;
        for tell in due {
            let told = self.owner.decide(move |world, now| match world.office.tell_alarm(tell, now) {
                Ok(step) => (step, None),
                Err(stop) => (Default::default(), Some(stop)),
            });
            if let Some(stop) = told.await? {
                tracing::debug!(?stop, "an alarm waits for a way to an end");
            }
        }
        Ok(())
    }
}

/// How much was heard; `None` on a node that is not a coordinator's.
fn heard<S: Store>(world: &mut World<S>) -> Option<Heard> {
    let office = &world.office;
    if !office.directory().is_coordinator(office.me().org) {
        return None;
    }
    Some(office.heard().fold((0, 0), |(size, at), (_, heard)| (size + heard.size, at.max(heard.heard_at))))
}

/// An urgent finding as an alarm; `None` for any other.
fn found(finding: &Finding) -> Option<Found> {
    let kind = match finding.kind {
        Kind::OverdueArrival => AlarmKind::OverdueArrival,
        Kind::Unanswered => AlarmKind::UnansweredNotice,
        Kind::SplitView
        | Kind::NotWitnessed
        | Kind::LogMismatch
        | Kind::Unexplained
        | Kind::Backdated
        | Kind::Unattended
        | Kind::WithheldByRecipient
        | Kind::RecipientOffline
        | Kind::LostOrNotDeposited
        | Kind::UnloggedSender
        | Kind::Misdirected
        | Kind::Replay
        | Kind::ErasedUnopened
        | Kind::ErasedOpenNotice
        | Kind::Probing => return None,
    };
    let [from, to] = [finding.parties.first()?, finding.parties.get(1)?].map(|party| *party);
    Some(Found { kind, digest: finding.digest?, from, to, since: finding.since })
}

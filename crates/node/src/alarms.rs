//! A coordinator's watch: holds the logs heard of against each other by itself, raises alarms, sees that both ends hear of
//! them, records what it found, and deletes what is needed no more. On a node of anybody else it rests.
//!
//! Looks again when something new was heard, and at least every hour because time alone makes things late; never more
//! of the time than one part in ten. Refuses to decide what an alarm is: reconciliation finds, the office raises.

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::Step;
use clearhouse_casework::office::alarms::Found;
use clearhouse_protocol::alarm::AlarmKind;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::reconcile::{Finding, Kind, Policy};
use clearhouse_store::Store;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::findings::{Gist, record, told};
use crate::owner::{NotTaken, Owner, World};
use crate::reconcile::{ReconcileError, Reconciled, reconcile};
use crate::retention::{delete_before, let_go};

/// Between two looks at whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Without anything new, logs are held against each other so often.
const AT_LEAST: Duration = Duration::from_secs(3600);
/// After a reconciliation, this many times its length is for other things.
const REST: u32 = 9;
/// Findings are signed, and what is needed no more is deleted, so often.
const DAILY: Duration = Duration::from_secs(24 * 3600);

/// What the watch stands on.
pub struct Watch<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the watch remembers between two looks.
#[derive(Default)]
pub(crate) struct Kept {
    signed: Option<Signed>,
    deleted: Option<Instant>,
}

/// Findings that were signed.
struct Signed {
    gist: Gist,
    at: Instant,
}

/// What was heard when it was looked at last: entries of all logs, and when the last of them was heard.
type Heard = (u64, u64);

impl<S: Store + 'static> Watch<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let (mut seen, mut not_before, mut not_after) = (None, Instant::now(), Instant::now());
        let mut kept = Kept::default();
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
                match self.look(&mut kept).await {
                    Ok(()) => {}
                    Err(ReconcileError::NotTaken(NotTaken::Stopping)) => return,
                    Err(error) => tracing::error!(%error, "logs cannot be held against each other"),
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

    /// Signs and records what was found if it is not what was signed last; at most once a day.
    async fn sign(&self, found: Reconciled, last: &mut Option<Signed>) -> Result<Reconciled, NotTaken> {
        if last.as_ref().is_some_and(|last| last.at.elapsed() < DAILY) {
            return Ok(found);
        }
        let now = self.clock.now();
        let before = last.as_ref().map_or_else(Gist::default, |last| last.gist.clone());
        let made = self.owner.decide(move |world, then| {
            let told = told(world, &found, now);
            let gist = Gist::of(&told);
            let is_new = gist != before;
            let step = if is_new { record(world, &told, None, then).0 } else { Step::default() };
            (step, (found, is_new.then_some(gist)))
        });
        let (found, gist) = made.await?;
        if let Some(gist) = gist {
            *last = Some(Signed { gist, at: Instant::now() });
        }
        Ok(found)
    }

    /// Deletes what is needed no more: of erased cases as soon as they are settled, the rest once a day. Nothing while this
    /// node's clock alone says what time it is.
    async fn delete(&self, found: Reconciled, last: &mut Option<Instant>) -> Result<(), ReconcileError> {
        if self.clock.sure().saturating_add(DAY) < self.clock.now() {
            return Ok(());
        }
        let daily = last.is_none_or(|at| at.elapsed() >= DAILY);
        if daily {
            *last = Some(Instant::now());
            delete_before(&self.owner, found.needed_from).await?;
        }
        if daily || found.lets_go {
            let_go(&self.owner, found.settled).await?;
        }
        Ok(())
    }

    /// Reconciles and raises; then records what was found, and deletes.
    pub(crate) async fn look(&self, kept: &mut Kept) -> Result<(), ReconcileError> {
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
        let found = self.sign(reconciled, &mut kept.signed).await?;
        self.delete(found, &mut kept.deleted).await
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

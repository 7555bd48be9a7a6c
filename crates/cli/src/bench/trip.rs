//! The whole way of a return notice: sent by a person at one node, deposited, opened, written into a case at the
//! other, and its signed receipt deposited back, opened and settled. Every step is the product's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::Step;
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::owner::Owner;
use clearhouse_protocol::ids::{CaseId, Digest, MsgId, OrgId, StaffId};
use clearhouse_protocol::mail::Delivery;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{Consent, ReturnNotice};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::measure::{Outcome, Run, load, micros};
use super::node::{Commit, Commits, Counted, Node};
use super::rounds::IN_FLIGHT;
use crate::demo::person::Person;

/// A message that is not settled by then never will be.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// One round: what the sender's person saw, and what each node's store was asked.
#[derive(Default)]
pub(crate) struct Trips {
    pub(crate) run: Run,
    pub(crate) sender: Commits,
    pub(crate) receiver: Commits,
}

impl Trips {
    /// Adds another stretch of the same round.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.run.absorb(other.run);
        self.sender.absorb(other.sender);
        self.receiver.absorb(other.receiver);
    }
}

/// When a lone message was where, in milliseconds after it was sent.
#[derive(Clone, Copy)]
pub(crate) struct Milestones {
    /// Sealed and durable at the sender.
    pub(crate) queued: f64,
    /// Durable in the receiver's mailbox.
    pub(crate) stored: f64,
    /// Opened, verified, in its case, the receipt queued: durable at the receiver.
    pub(crate) received: f64,
    /// The receipt durable in the sender's mailbox.
    pub(crate) answered: f64,
    /// The receipt opened, verified and durable: what the sender's person is shown.
    pub(crate) settled: f64,
}

/// Both nodes and the person who sends.
pub(crate) struct Road<'a> {
    from: &'a Node,
    to: &'a Node,
    traveller: Arc<Traveller>,
    /// Looks for what is settled. It holds the sender's owner, which ends only when nobody does.
    watcher: AbortHandle,
}

impl Drop for Road<'_> {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

struct Traveller {
    owner: Owner<Counted>,
    actor: Actor,
    peer: OrgId,
    consent: Consent,
    notice: ReturnNotice,
    watch: Watch,
}

impl<'a> Road<'a> {
    /// Starts watching what is settled at `from`, on the calling runtime.
    pub(crate) async fn new(from: &'a Node, to: &'a Node, peer: OrgId) -> Outcome<Self> {
        let (now, person) = (SystemClock.now(), Person::invented(0, SystemClock.now()));
        let deadlines = from.owner.look(|world| world.office.deadlines().clone()).await?;
        let consent = person.consent("ShareNotice", vec![]).build(peer, &deadlines, now, &mut chance())?;
        let notice = person.notice.build(None, &deadlines, &Zone::utc(), now)?;
        let traveller = Arc::new(Traveller {
            owner: from.owner.clone(),
            actor: Actor { staff_id: StaffId([7; 16]), label: "Elena R.".to_owned(), role: Role::Caseworker },
            peer,
            consent,
            notice,
            watch: Watch::default(),
        });
        let (watching, tally) = (Arc::clone(&traveller), Arc::clone(&from.tally));
        let watcher = tokio::spawn(async move {
            loop {
                tally.rung.notified().await;
                if watching.look_for_settled().await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { from, to, traveller, watcher: watcher.abort_handle() })
    }

    /// One message after the other. Adds to `seen` when each was where.
    pub(crate) async fn alone(&self, count: usize, seen: &mut Vec<Milestones>) -> Outcome<Trips> {
        let mut all = Trips::default();
        for case in self.traveller.prepare(count).await? {
            self.forget_commits();
            let began = Instant::now();
            let run = self.run(vec![case], 1).await?;
            self.quiet().await?;
            let (sender, receiver) = (self.from.tally.take(), self.to.tally.take());
            seen.extend(milestones(began, &sender, &receiver, run.quantile_ms(0.5)));
            all.absorb(Trips { run, sender: Commits::of(&sender), receiver: Commits::of(&receiver) });
        }
        Ok(all)
    }

    /// As many as may be under way at once, until `count` are settled.
    pub(crate) async fn together(&self, count: usize) -> Outcome<Trips> {
        let cases = self.traveller.prepare(count).await?;
        self.forget_commits();
        let run = self.run(cases, IN_FLIGHT).await?;
        let (sender, receiver) = (Commits::of(&self.from.tally.take()), Commits::of(&self.to.tally.take()));
        self.quiet().await?;
        Ok(Trips { run, sender, receiver })
    }

    /// Bytes of the envelopes of a notice and of its receipt, once one has travelled.
    pub(crate) async fn sizes(&self) -> Outcome<(u64, u64)> {
        Ok((size(&self.from.owner, &self.to.owner).await?, size(&self.to.owner, &self.from.owner).await?))
    }

    async fn run(&self, cases: Vec<CaseId>, lanes: usize) -> Outcome<Run> {
        let (cases, traveller) = (Arc::new(Mutex::new(cases)), Arc::clone(&self.traveller));
        let next = move || lock(&cases).pop();
        let call = move |_, case| {
            let traveller = Arc::clone(&traveller);
            async move { traveller.send(case).await }
        };
        Run::of(load(lanes, next, call)).await
    }

    fn forget_commits(&self) {
        drop((self.from.tally.take(), self.to.tally.take()));
    }

    /// Waits until the receiver knows that its receipts are stored: the last of it is still under way when the
    /// sender has settled.
    async fn quiet(&self) -> Outcome<()> {
        let under_way = |world: &clearhouse_node::owner::World<Counted>| {
            world.office.mail().all_outgoing().any(|(_, out)| Delivery::of(out) == Delivery::Queued)
        };
        while self.to.owner.decide(move |world, _| (Step::default(), under_way(world))).await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// Bytes of some envelope that went from one node to the other.
async fn size(from: &Owner<Counted>, to: &Owner<Counted>) -> Outcome<u64> {
    let sent = from.look(|world| world.office.mail().all_outgoing().next().map(|(_, out)| out.digest.clone())).await?;
    let digest = Digest::try_from(sent.ok_or("nothing was sent")?.as_slice())?;
    let len = to.look(move |world| world.office.mail().letter(digest).map(|letter| letter.len)).await?;
    Ok(len.ok_or("nothing came")?)
}

impl Traveller {
    /// Opens cases and writes down the consent for each.
    async fn prepare(self: &Arc<Self>, count: usize) -> Outcome<Vec<CaseId>> {
        let mut opening = JoinSet::new();
        for _ in 0..count {
            let this = Arc::clone(self);
            opening.spawn(async move { this.open_case().await });
        }
        let mut cases = Vec::with_capacity(count);
        while let Some(case) = opening.join_next().await {
            cases.push(case??);
        }
        Ok(cases)
    }

    async fn open_case(&self) -> Outcome<CaseId> {
        let (actor, peer) = (self.actor.clone(), self.peer);
        let opened = self.owner.decide(move |world, now| match world.office.open_case(&actor, peer, now) {
            Ok((step, case)) => (step, Ok(case)),
            Err(stop) => (Step::default(), Err(stop)),
        });
        let case = opened.await?.map_err(|stop| format!("a case was not opened: {stop:?}"))?;
        let (actor, consent) = (self.actor.clone(), self.consent.clone());
        let recorded =
            self.owner.decide(move |world, now| match world.office.record_consent(case, &actor, consent, now) {
                Ok(step) => (step, Ok(case)),
                Err(stop) => (Step::default(), Err(stop)),
            });
        Ok(recorded.await?.map_err(|stop| format!("a consent was not recorded: {stop:?}"))?)
    }

    /// Sends the notice of a case and waits for the receiver's signed word that it has it.
    async fn send(&self, case: CaseId) -> Outcome<()> {
        let (actor, what) = (self.actor.clone(), What::ReturnNotice(self.notice.clone()));
        let sent = self.owner.decide(move |world, now| match world.office.send(case, &actor, what, None, &[], now) {
            Ok((step, msg_id)) => (step, Ok(msg_id)),
            Err(stop) => (Step::default(), Err(stop)),
        });
        let msg_id = sent.await?.map_err(|stop| format!("a notice was not sent: {stop:?}"))?;
        let settled = self.watch.wait_for(msg_id);
        // It may have settled before it was waited for.
        self.look_for_settled().await?;
        tokio::time::timeout(SETTLED_MAX, settled).await.map_err(|_| "a notice was not answered in time")??;
        Ok(())
    }

    /// Tells those whose message the office has settled. Asked as a decision that decides nothing, so that it waits
    /// for the commit it came in and ends no batch.
    async fn look_for_settled(&self) -> Outcome<()> {
        let waiting = self.watch.waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let found = self.owner.decide(move |world, _| {
            let mail = world.office.mail();
            let is_settled = |id: &MsgId| mail.outgoing(*id).is_some_and(|o| Delivery::of(o) == Delivery::Settled);
            (Step::default(), waiting.into_iter().filter(is_settled).collect::<Vec<_>>())
        });
        self.watch.tell(found.await?);
        Ok(())
    }
}

/// Who waits for which message.
#[derive(Default)]
struct Watch(Mutex<BTreeMap<MsgId, oneshot::Sender<()>>>);

impl Watch {
    fn wait_for(&self, msg_id: MsgId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        lock(&self.0).insert(msg_id, tell);
        told
    }

    fn waiting(&self) -> Vec<MsgId> {
        lock(&self.0).keys().copied().collect()
    }

    fn tell(&self, settled: Vec<MsgId>) {
        let mut waiting = lock(&self.0);
        for tell in settled.iter().filter_map(|id| waiting.remove(id)) {
            let _ = tell.send(());
        }
    }
}

/// Reads one lone message's way from the commits of both nodes. What else they committed meanwhile (how an attempt
/// ended, a timer) comes later than what it would be taken for; the median of a round bears the exceptions.
fn milestones(began: Instant, sender: &[Commit], receiver: &[Commit], settled: f64) -> Option<Milestones> {
    let after = |at: Instant| micros(at.saturating_duration_since(began)) / 1000.0;
    let (queued, stored, received) = (sender.first()?.ended, receiver.first()?.ended, receiver.get(1)?.ended);
    let answered = sender.iter().find(|c| c.ended > received)?.ended;
    Some(Milestones {
        queued: after(queued),
        stored: after(stored),
        received: after(received),
        answered: after(answered),
        settled,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

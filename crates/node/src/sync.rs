//! Keeps this node's directory equal to the others': each round it asks a few of them what is newer there and pulls that.
//!
//! Decides nothing about a record: what comes goes through [`Office::admit`](clearhouse_casework::office::Office::admit) as
//! a stranger's would. Refuses to push, to ask about one node alone because somebody wants to write to it, and to be kept
//! busy: every session has an end, and who lies or cannot be reached keeps nobody else waiting.

pub(crate) mod partners;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clearhouse_casework::office::records::Intake;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::buckets::{Buckets, SyncFault};
use clearhouse_protocol::ids::NodeId;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use rand_core::Rng as _;

use crate::clock::{Clock, chance};
use crate::limits::lock;
use crate::owner::{NotTaken, Owner};
use crate::rpc::client::Pool;
use crate::rpc::status::PeerError;
use partners::{Ending, Standings};

/// Between two rounds, in a live network.
const ROUND: Duration = Duration::from_secs(60);
/// The same while this node waits for somebody to confirm its clock: until then it seals nothing.
const ROUND_IN_DOUBT: Duration = Duration::from_secs(5);
/// Longest time for one session. What is not done then is done in the next.
const SESSION_TIME: Duration = Duration::from_secs(60);

/// A directory as committed, and how others are told of it.
#[derive(Clone)]
pub struct Told {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Its buckets.
    pub buckets: Arc<Buckets>,
    /// The time of the answer, unix seconds.
    pub now: u64,
}

/// Looks through each state of the directory once, whoever asks.
#[derive(Default)]
pub struct Teller {
    last: Mutex<Option<(Arc<Directory>, Arc<Buckets>)>>,
}

impl Teller {
    /// How `directory` is told.
    pub fn of(&self, directory: &Arc<Directory>, now: u64) -> Told {
        let mut last = lock(&self.last);
        if let Some((known, buckets)) = last.as_ref()
            && Arc::ptr_eq(known, directory)
        {
            return Told { directory: Arc::clone(directory), buckets: Arc::clone(buckets), now };
        }
        let buckets = Arc::new(Buckets::of(directory));
        *last = Some((Arc::clone(directory), Arc::clone(&buckets)));
        Told { directory: Arc::clone(directory), buckets, now }
    }
}

/// Whom a round asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Coordinators' nodes that should answer.
    pub coordinators: usize,
    /// Others that should.
    pub others: usize,
    /// Nodes that may be tried for each one that should answer.
    pub tries: usize,
    /// Whether nodes that are passed over for now are asked all the same.
    pub all: bool,
}

impl Reach {
    /// What a node does by itself: enough that news reaches everybody, and no more.
    pub const ROUTINE: Self = Self { coordinators: 2, others: 2, tries: 4, all: false };
    /// What a person asks for.
    pub const WIDE: Self = Self { coordinators: usize::MAX, others: 8, tries: 2, all: true };
}

/// What a round brought.
#[derive(Default)]
pub struct Brought {
    /// Nodes that were asked and answered.
    pub answered: usize,
    /// Coordinators' nodes among them.
    pub coordinators: usize,
    /// Nodes that could not be reached or broke off.
    pub unreachable: usize,
    /// Nodes whose answers were not followed, with why.
    pub faults: Vec<(NodeId, SyncFault)>,
    /// Records, all sessions together; positions mean nothing here.
    pub intake: Intake,
}

impl Brought {
    fn add(&mut self, intake: Intake) {
        self.intake.new += intake.new;
        self.intake.known += intake.known;
        self.intake.contested += intake.contested;
        self.intake.refused.extend(intake.refused);
    }
}

/// Why a session ended before its end.
enum Broken {
    /// The line, or a refusal.
    Peer(PeerError),
    /// What it said is not followed.
    Fault(SyncFault),
    /// This node cannot keep what came.
    Here(NotTaken),
}

impl From<PeerError> for Broken {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}

impl From<SyncFault> for Broken {
    fn from(fault: SyncFault) -> Self {
        Self::Fault(fault)
    }
}

/// What is remembered between rounds; gone when the process ends.
#[derive(Default)]
struct Memory {
    standings: Standings,
    /// Prekeys that were asked for and did not come: how often, and the round in which to ask again.
    barren: BTreeMap<(NodeId, u64), (u32, u64)>,
    /// What each peer was told of this node when it had not heard it, by its digest, and when.
    told: BTreeMap<NodeId, ([u8; 32], u64)>,
    /// When each peer was last asked for its own records, unix seconds.
    records: BTreeMap<NodeId, u64>,
}

/// See the module.
pub struct Puller<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This node.
    pub me: NodeId,
    /// How its directory is told.
    pub teller: Arc<Teller>,
    memory: Mutex<Memory>,
}

impl<S: Store + 'static> Puller<S> {
    /// Has asked nobody yet.
    #[must_use]
    pub fn new(owner: Owner<S>, pool: Arc<Pool>, clock: Arc<dyn Clock>, me: NodeId, teller: Arc<Teller>) -> Self {
        Self { owner, pool, clock, me, teller, memory: Mutex::default() }
    }

    /// Runs until the owner is gone: a round at once, then one after each pause.
    pub async fn run(self: Arc<Self>) {
        loop {
            if self.round(Reach::ROUTINE).await.is_err() && self.owner.look(|_| ()).await.is_err() {
                return;
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// A minute, or the tick of a training network; a quarter more or less, so that nodes that began together part.
    fn pause(&self) -> Duration {
        if self.clock.doubt().is_some() {
            return ROUND_IN_DOUBT;
        }
        let directory = self.directory();
        let policy = directory.policy();
        let every = match (policy.kind(), u64::from(policy.log_tick_secs)) {
            (wire::NetworkKind::Training, tick @ 1..) => ROUND.min(Duration::from_secs(tick)),
            (wire::NetworkKind::Training | wire::NetworkKind::Live | wire::NetworkKind::Unspecified, _) => ROUND,
        };
        let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis - millis / 4 + chance().next_u64() % (millis / 2).max(1))
    }

    /// Asks as many nodes as `reach` says, coordinators' first, and takes what is newer there.
    ///
    /// # Errors
    /// [`NotTaken`] when this node cannot keep what came. What others do wrong ends their session alone.
    pub async fn round(&self, reach: Reach) -> Result<Brought, NotTaken> {
        let now = self.clock.now();
        let (coordinators, others) = {
            let mut memory = lock(&self.memory);
            memory.standings.begin();
            partners::candidates(&self.directory(), self.me, now, &mut chance())
        };
        let mut brought = Brought::default();
        for (nodes, want, are_coordinators) in [(coordinators, reach.coordinators, true), (others, reach.others, false)]
        {
            let mut answered = 0;
            let mut tries = want.saturating_mul(reach.tries);
            for node in nodes {
                if answered == want || tries == 0 {
                    break;
                }
                if !reach.all && lock(&self.memory).standings.is_passed_over(node) {
                    continue;
                }
                tries -= 1;
                answered += usize::from(self.meet(node, &mut brought).await?);
            }
            brought.coordinators += if are_coordinators { answered } else { 0 };
        }
        Ok(brought)
    }

    /// One session with one node; whether it answered as it should.
    async fn meet(&self, node: NodeId, brought: &mut Brought) -> Result<bool, NotTaken> {
        let before = brought.intake.new;
        let ended = match tokio::time::timeout(SESSION_TIME, self.session(node, brought)).await {
            Ok(ended) => ended,
            // What came until then is kept; who brings nothing in all that time is passed over.
            Err(_) => Err(Broken::Peer(PeerError::Deadline(SESSION_TIME))),
        };
        let news = brought.intake.new > before;
        let ending = match ended {
            Ok(differs) if news || !differs => Ending::Good,
            Ok(_) => Ending::Barren,
            Err(Broken::Peer(error)) => {
                // Without its name: who is at work when is nobody's to read in a log.
                tracing::debug!(%error, "a peer is not in touch about the directory");
                brought.unreachable += 1;
                if news { Ending::Good } else { Ending::Away }
            }
            Err(Broken::Fault(fault)) => {
                tracing::warn!(%node, %fault, "what this node says of its directory is not followed");
                brought.faults.push((node, fault));
                // Its directory may have changed between digest and list: then it is as if it had not answered.
                if fault == SyncFault::OtherList { Ending::Away } else { Ending::Lied }
            }
            Err(Broken::Here(error)) => return Err(error),
        };
        lock(&self.memory).standings.ended(node, ending);
        let answered = matches!(ending, Ending::Good | Ending::Barren);
        brought.answered += usize::from(answered);
        Ok(answered)
    }

    fn directory(&self) -> Arc<Directory> {
        self.owner.signals.directory.borrow().clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

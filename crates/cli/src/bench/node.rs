//! A whole node inside this process, put together as `serve` does it, with two differences: its limits of pace are
//! lifted, which no configuration can, and its store keeps count of commits. Has no local socket and no people.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Office};
use clearhouse_node::clock::{Clock, SystemClock};
use clearhouse_node::courier::{Courier, Unsure};
use clearhouse_node::door::FrontDoor;
use clearhouse_node::limits::{Counters, Limits};
use clearhouse_node::listener::Listener;
use clearhouse_node::opener::{Opener, Prekeys};
use clearhouse_node::owner::{Owner, World};
use clearhouse_node::rpc::client::{Client, Pool};
use clearhouse_node::rpc::server::{Door, service};
use clearhouse_node::setup::files;
use clearhouse_node::tls::{Identity, Pins};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::MailboxId;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_store::finding::Finding;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_store::{Changes, CommitError, DurableStore, EventLeaf, Key, Page, Stats, Store, StoreError};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};
use zeroize::Zeroizing;

use super::measure::{Outcome, micros, thread_time};
use crate::demo::region::{Member, Region};

/// Paces that would end a benchmark after a second's work. Everything else is [`Limits::HARD`].
pub(crate) fn lifted() -> Limits {
    let unpaced = u32::MAX;
    Limits {
        deposits_per_minute: unpaced,
        outcomes_per_minute: unpaced,
        records_per_minute: unpaced,
        calls_per_minute: unpaced,
        chatter_per_second: unpaced,
        ..Limits::HARD
    }
}

/// Everything the region's records say, as every node of it will know it.
pub(crate) fn directory(region: &Region) -> Outcome<Directory> {
    let now = SystemClock.now();
    let mut directory = founded(region)?;
    for record in &region.records.records {
        if let Some(checked) = directory.check(record, now)? {
            directory.insert(checked);
        }
    }
    for prekey in &region.records.prekeys {
        if let Some(checked) = directory.check_prekey(prekey.week, &prekey.pk)? {
            directory.insert(checked);
        }
    }
    Ok(directory)
}

/// A directory that knows its founding record and nothing else.
pub(crate) fn founded(region: &Region) -> Outcome<Directory> {
    let genesis = std::fs::read(region.coordinator.folder.join(files::GENESIS))?;
    Ok(Directory::found(&wire::Signed::decode(genesis.as_slice())?, Some(region.net))?)
}

/// Who a member is, and where its door is.
pub(crate) fn me(region: &Region, member: &Member) -> Outcome<(Me, SocketAddr)> {
    let known = directory(region)?;
    let at = known.descriptor(member.made.node).and_then(|d| d.mailboxes.first()).ok_or("a node without mailbox")?;
    let me = Me {
        net: region.net,
        org: member.made.org,
        node: member.made.node,
        mailboxes: vec![MailboxId::try_from(at.id.as_slice())?],
        generation: 1,
        zone: Zone::utc(),
    };
    Ok((me, at.endpoint.parse()?))
}

/// A member's TLS key.
pub(crate) fn identity(member: &Member) -> Outcome<Identity> {
    Ok(Identity::from_seed(&Zeroizing::new(*member.made.keys.service().tls_seed.expose()))?)
}

/// One running node.
pub(crate) struct Node {
    /// The way to its owner.
    pub(crate) owner: Owner<Counted>,
    /// What its store was asked.
    pub(crate) tally: Arc<Tally>,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    runtime: Runtime,
    ended: oneshot::Receiver<Option<String>>,
}

impl Node {
    /// Starts the node of `member`, its cases open or locked. Its threads are named after `name`: `node-NAME` for
    /// its calls and openings, `owner-NAME` for its owner.
    pub(crate) fn start(region: &Region, member: &Member, name: &str, open: bool) -> Outcome<Self> {
        let runtime = threads(&format!("node-{name}"))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (me, at) = me(region, member)?;
        let tally = Arc::new(Tally::default());
        let office = Office::new(me.clone(), founded(region)?);
        let (owner, ended) = own(member, office, name, open, &tally, &clock)?;
        let records = region.records.clone();
        let intake = owner.decide(move |world, now| world.office.admit(&records, now));
        if !runtime.block_on(intake)?.refused.is_empty() {
            return Err("a record of the region was refused".into());
        }

        let prekeys = Prekeys::default();
        if let Some(content) = member.made.keys.content().filter(|_| open) {
            prekeys.unlock(content);
        }
        let witness =
            (clearhouse_protocol::audit::witness_name(me.net, me.org, me.node), SigningKey::from_seed(&[9; 32]));
        let (mailboxes, clock_of) = (me.mailboxes, Arc::clone(&clock));
        let (teller, keeping) = (Arc::default(), None);
        let door =
            FrontDoor { owner: owner.clone(), mailboxes, keeping, org: me.org, clock: clock_of, witness, teller };
        runtime.block_on(serve(member, door, &owner, at))?;
        let pool = Arc::new(Pool::new(identity(member)?, lifted()));
        let opener = Opener { owner: owner.clone(), prekeys, me: (me.org, me.node), clock: Arc::clone(&clock) };
        runtime.spawn(opener.run());
        runtime.spawn(Courier { owner: owner.clone(), pool, clock, unsure: Unsure::nothing() }.run());
        runtime.spawn(keep_time(owner.clone()));
        Ok(Self { owner, tally, at, runtime, ended })
    }

    /// Lines to this node, as `from` opens them.
    pub(crate) async fn lines(&self, to: &Member, from: &Member, count: usize) -> Outcome<Arc<Vec<Client>>> {
        lines(self.at, to, from, count).await
    }

    /// Stops it and waits until its store is closed.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        drop(self.owner);
        let _ = self.ended.blocking_recv();
    }
}

/// Lines to whoever listens at `at` with the key of `to`.
pub(crate) async fn lines(at: SocketAddr, to: &Member, from: &Member, count: usize) -> Outcome<Arc<Vec<Client>>> {
    let (theirs, ours) = (identity(to)?.public_key(), identity(from)?);
    let mut lines = Vec::new();
    for _ in 0..count {
        lines.push(Client::connect(&at.to_string(), &[theirs], &ours, &lifted()).await?);
    }
    Ok(Arc::new(lines))
}

/// Two threads of their own, as many as a small office's machine has.
pub(crate) fn threads(name: &str) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?)
}

/// Opens the store and starts its owner on threads that carry its name: a thread without one has its parent's.
fn own(
    member: &Member,
    office: Office,
    name: &str,
    open: bool,
    tally: &Arc<Tally>,
    clock: &Arc<dyn Clock>,
) -> Outcome<(Owner<Counted>, oneshot::Receiver<Option<String>>)> {
    let keys = &member.made.keys;
    let begin = || -> Outcome<_> {
        let (store, _) = DurableStore::open(&member.folder.join(files::STORE))?;
        let vault = Vault::new(keys.service(), keys.content().filter(|_| open))?;
        let store = Counted { inner: store, tally: Arc::clone(tally) };
        let (world, _) = World::load(office, Ledger::new(store, vault))?;
        let sign = SigningKey::from_seed(keys.service().node_seed.expose());
        Ok(Owner::start(world, sign, Arc::clone(clock)))
    };
    thread::scope(|scope| {
        let started = thread::Builder::new().name(format!("owner-{name}")).spawn_scoped(scope, begin)?;
        started.join().map_err(|_| "a node's owner could not be started")?
    })
}

/// Opens the public door at `at` on the calling runtime. Returns where it is.
pub(crate) async fn serve_door<D: Door>(
    member: &Member,
    door: D,
    pins: Arc<dyn Pins>,
    at: SocketAddr,
) -> Outcome<SocketAddr> {
    let (limits, counters) = (lifted(), Arc::new(Counters::default()));
    let service = service(Arc::new(door), Arc::clone(&pins), &limits, Arc::clone(&counters), false).await?;
    let listener = Listener::bind(at, &identity(member)?, pins, limits, counters).await?;
    let at = listener.local_addr()?;
    service.health.set(true).await;
    tokio::spawn(listener.serve(service, std::future::pending()));
    Ok(at)
}

async fn serve<D: Door>(member: &Member, door: D, owner: &Owner<Counted>, at: SocketAddr) -> Outcome<SocketAddr> {
    let signals = Arc::clone(&owner.signals);
    let pins = Arc::new(move |pk: &[u8; 32]| signals.directory.borrow().peer(pk, SystemClock.now()));
    serve_door(member, door, pins, at).await
}

async fn keep_time(owner: Owner<Counted>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if owner.decide(|world, now| (world.office.tick(now.time, now), ())).await.is_err() {
            return;
        }
    }
}

/// What a store was asked, in order.
#[derive(Default)]
pub(crate) struct Tally {
    commits: Mutex<Vec<Commit>>,
    /// Rung after each commit.
    pub(crate) rung: Notify,
}

/// One commit: one fdatasync of the journal, and the index brought up.
#[derive(Clone, Copy)]
pub(crate) struct Commit {
    /// When it was durable.
    pub(crate) ended: Instant,
    /// From the call to that.
    wall: Duration,
    /// Of it, the processor's share; the rest is waiting, for the disk or for a free core.
    cpu: Duration,
}

impl Tally {
    /// The commits since last asked.
    pub(crate) fn take(&self) -> Vec<Commit> {
        std::mem::take(&mut self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Commits of one stretch, added up: their number, microseconds from call to durable, and of these the processor's.
#[derive(Clone, Copy, Default)]
pub(crate) struct Commits {
    pub(crate) count: f64,
    pub(crate) wall_us: f64,
    pub(crate) cpu_us: f64,
}

impl Commits {
    pub(crate) fn of(commits: &[Commit]) -> Self {
        let add = |sum: Self, one: &Commit| Self {
            count: sum.count + 1.0,
            wall_us: sum.wall_us + micros(one.wall),
            cpu_us: sum.cpu_us + micros(one.cpu),
        };
        commits.iter().fold(Self::default(), add)
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.wall_us += other.wall_us;
        self.cpu_us += other.cpu_us;
    }
}

/// The node's own store, with a tally.
pub(crate) struct Counted {
    inner: DurableStore,
    tally: Arc<Tally>,
}

impl Store for Counted {
    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, CommitError> {
        let (began, cpu) = (Instant::now(), thread_time());
        let generation = self.inner.commit(changes)?;
        let (ended, cpu) = (Instant::now(), thread_time().saturating_sub(cpu));
        let commit = Commit { ended, wall: ended.duration_since(began), cpu };
        self.tally.commits.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
        self.tally.rung.notify_one();
        Ok(generation)
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.inner.settle()
    }

    fn get(&self, table: u8, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: u8, after: Option<Key>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(table, after, limit)
    }

    fn event_count(&self) -> u64 {
        self.inner.event_count()
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<EventLeaf>, StoreError> {
        self.inner.events(from, limit)
    }

    fn commitments(&self, from: u64, limit: usize) -> Result<Vec<[u8; 32]>, StoreError> {
        self.inner.commitments(from, limit)
    }

    fn scrub(&mut self) -> Result<Vec<Finding>, StoreError> {
        self.inner.scrub()
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.inner.compact()
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

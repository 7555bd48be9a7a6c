//! Starting a node, keeping it, stopping it. The order is the safety: folder taken, keys opened, store checked, memory
//! read, and only then the doors opened; the other way round when it stops.

mod fault;
mod folder;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::Office;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::Net;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::relay::rented;
use clearhouse_store::Store;
use clearhouse_store::keyfile::KdfCost;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::passphrase::PassphraseError;
use clearhouse_store::tile_files::TileFiles;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1 as wire;
use zeroize::Zeroizing;

use crate::alarms::Watch;
use crate::calls::Call;
use crate::clock::{Clock, JudgedClock};
use crate::config::{Config, ConfigError, Fault};
use crate::control::{ControlRequest, ControlSocket};
use crate::courier::{Courier, Unsure};
use crate::door::FrontDoor;
use crate::erasing::Eraser;
use crate::fetcher::Fetcher;
use crate::handle::{Handle, Parts, failure};
use crate::limits::Counters;
use crate::listener::Listener;
use crate::log::alone::Alone;
use crate::log::directory::Follower;
use crate::log::herald::Herald;
use crate::log::prover::Prover;
use crate::log::resume::resume;
use crate::log::teller::Teller;
use crate::log::view::View;
use crate::log::witnesses::{Line, Round};
use crate::log::{self, LogError};
use crate::opener::{Opener, Prekeys};
use crate::owner::{Owner, World};
use crate::relay::Keeping;
use crate::restored::{self, Mark};
use crate::rpc::client::Pool;
use crate::rpc::server::service;
use crate::setup::files;
use crate::sync::{Puller, Teller as DirectoryTeller};
use crate::tls::{Identity, Pins};
pub use fault::ServeError;
use folder::{can_sync, fits, me, open_keys, open_log, open_store, read_identity};

/// How often time is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often this node's presence is refreshed.
const REFRESH: Duration = Duration::from_secs(3600);
/// How often everything in the store is read and held against what it must be.
const SCRUB: Duration = Duration::from_secs(24 * 3600);
/// How often the store is asked whether it wants compaction.
const COMPACT: Duration = Duration::from_secs(300);

/// A node that is up, as its starter is told.
pub struct Up {
    /// Where it listens; `None` when it lets nobody in.
    pub listen: Option<SocketAddr>,
    /// The local socket.
    pub socket: PathBuf,
    /// Whether cases are open.
    pub open: bool,
    /// What the start found.
    pub findings: Vec<String>,
}

/// Runs the node of a configuration until `stop`. `ask` is called for the node's pass phrase when the configuration
/// names no file; `up` is told once both doors are open.
///
/// # Errors
/// [`ServeError`], before or after it was up.
pub async fn run(
    config_file: &Path,
    ask: impl FnOnce() -> Result<Option<Zeroizing<String>>, PassphraseError>,
    up: impl FnOnce(&Up),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let config = Config::read(config_file)?;
    harden();
    let (identity, genesis) = read_identity(&config)?;
    let directory = Directory::found(&genesis, Net::from_hex(&identity.net)).map_err(|fault| ServeError::File {
        path: config.data.join(files::GENESIS),
        why: format!("{fault}. Put it back from a coordinator"),
    })?;
    let kind = directory.policy().kind();
    let check = config.check_for(kind);
    check.map_err(|fault| ConfigError { file: config_file.to_owned(), line: None, key: None, fault })?;
    let training = kind == wire::NetworkKind::Training;
    let ground = config.untrusted_ground();
    if let Some(ground) = ground {
        tracing::warn!(ground, "the node's folder or its keys lie on what may lose them");
    }
    can_sync(&config)?;
    let me = me(&identity, &config.relays)?;
    if config.relays.contains(&me.node) {
        // Every other node would refuse such an entry, and nobody could write here.
        let (file, key) = (config_file.to_owned(), Some("relays".to_owned()));
        return Err(ConfigError { file, line: None, key, fault: Fault::OwnRelay }.into());
    }
    let keys = open_keys(&config, &me, ask)?;
    let (store, findings) = open_store(&config.data)?;
    // What a backup that was cut short left: second names of files that compaction gave up since.
    crate::backup::clear_pin(&config.data).map_err(|e| ServeError::Store(e.to_string()))?;
    for finding in &findings {
        tracing::warn!(finding = %finding, "the store");
    }

    let vault = Vault::new(keys.service(), keys.content()).map_err(|e| ServeError::Store(e.to_string()))?;
    let prekeys = Prekeys::default();
    if let Some(content) = keys.content() {
        prekeys.unlock(content);
    }
    let office = Office::new(me.clone(), directory);
    let (mut world, loaded) =
        World::load(office, Ledger::new(store, vault)).map_err(|e| ServeError::Store(e.to_string()))?;
    fits(&config.data, &me, world.office.directory())?;
    // What is being erased and has no way back is gone before anything new comes.
    world.finish_plans().map_err(|e| ServeError::Store(e.to_string()))?;
    let (signed, attested) = world.times_known().map_err(|e| ServeError::Store(e.to_string()))?;
    let clock: Arc<dyn Clock> = Arc::new(JudgedClock::of_machine(signed, attested));
    let mut told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    told.extend(ground.map(|ground| {
        format!(
            "this node's folder or its keys lie on {ground}: when the power fails, what was acknowledged may be gone"
        )
    }));
    for (table, count) in &loaded.damaged {
        tracing::warn!(?table, count, "values that do not open");
        told.push(format!("{count} values of table {table:?} do not open with this node's keys"));
    }
    let open = world.office.is_open();
    let tick_secs = world.office.directory().policy().log_tick_secs;
    let witness = SigningKey::from_seed(keys.service().witness_seed.expose());
    let log_key = SigningKey::from_seed(keys.service().log_seed.expose());
    let keeper = open_log(&config.data, &me, keys.service(), world.ledger.store())?;
    let sign = SigningKey::from_seed(keys.service().node_seed.expose());
    let tls = Identity::from_seed(&Zeroizing::new(*keys.service().tls_seed.expose()))?;
    let log_dir = config.data.join(files::LOG);
    let pool = Arc::new(Pool::new(tls.clone(), config.limits.clone()));
    let line = Line { pool: Arc::clone(&pool), me: me.node, files: TileFiles::new(&log_dir) };
    let mark = Mark::read(&config.data)?.filter(|mark| !mark.is_done);
    // A restored folder also asks when it signed nothing yet: it may have since.
    let newest = if mark.is_some() { Some(keeper.head()?) } else { keeper.watch().borrow().clone() };
    let begun = keeper.size() > 0 || mark.is_some();
    let resumed = resume(&line, &mut world, newest, &sign, clock.now()).await?;
    if let Some(mark) = &mark {
        restored::is_witnessed(mark, &resumed)?;
    }
    // Before anybody sees a case that was erased since, or opens a letter of one; where cases are locked, they go when they
    // are opened.
    world.retract_letters(&sign, clock.now()).map_err(|e| ServeError::Store(e.to_string()))?;
    world.retract().map_err(|e| ServeError::Store(e.to_string()))?;
    let alone = Alone::new(line.clone(), Arc::clone(&clock), resumed.heard.clone(), begun);
    if resumed.taken_back > 0 {
        told.push(format!(
            "this folder was an old copy: {} entries of its log came back from a coordinator without what they say, and \
             cases and messages of that time did not; ask your partners what they sent since",
            resumed.taken_back
        ));
    }
    // Whatever is waiting now may have been recalled since, if this folder is an old copy after all.
    let here = world.office.mail().all_outgoing().map(|(msg_id, _)| msg_id).collect();
    let (owner, ended) = Owner::start(world, sign, Arc::clone(&clock));

    let pins = {
        let (signals, clock) = (Arc::clone(&owner.signals), Arc::clone(&clock));
        Arc::new(move |pk: &[u8; 32]| signals.directory.borrow().peer(pk, clock.now()))
    };
    let counters = Arc::new(Counters::default());
    let limits = config.limits.clone();
    let pins: Arc<dyn Pins> = pins;
    let listener = match config.listen {
        Some(at) => Some(Listener::bind(at, &tls, Arc::clone(&pins), limits.clone(), Arc::clone(&counters)).await?),
        None => None,
    };
    let socket = ControlSocket::bind(&config.control_socket)?;
    let directory_teller = Arc::<DirectoryTeller>::default();
    let keeps = |bytes| Arc::new(Keeping::new(owner.clone(), Arc::clone(&clock), me.node, bytes));
    let keeping = config.keeps.map(keeps);
    let door = Arc::new(FrontDoor {
        teller: Arc::clone(&directory_teller),
        owner: owner.clone(),
        mailboxes: me.mailboxes.clone(),
        keeping: keeping.clone(),
        org: me.org,
        clock: Arc::clone(&clock),
        witness: (clearhouse_protocol::audit::witness_name(me.net, me.org, me.node), witness),
    });
    let (cosigned, witnessed) = (tokio::sync::watch::Sender::new(None), tokio::sync::watch::Sender::new(None));
    let memory = tokio::sync::watch::Sender::new(resumed.memory);
    let remembers = memory.subscribe();
    let mut service = service(door, Arc::clone(&pins), &limits, Arc::clone(&counters), config.reflection && training)
        .await
        .map_err(|e| ServeError::Fatal(e.to_string()))?;
    if let Some(keeping) = keeping {
        service = service.keeping(keeping, pins, &limits, Arc::clone(&counters));
    }
    let health = service.health.clone();
    let listen = listener.as_ref().map(Listener::local_addr).transpose();
    let listen = listen.map_err(|e| ServeError::Fatal(e.to_string()))?;
    let log_view = View::new(&log_dir, keeper.watch(), cosigned.subscribe(), witnessed.subscribe());
    let puller = Puller::new(owner.clone(), Arc::clone(&pool), Arc::clone(&clock), me.node, directory_teller);
    let puller = Arc::new(puller);
    if let Some(mark) = mark {
        let mark = restored::catch_up(mark, &config.data, (&owner, &puller), resumed.taken_back, &*clock).await?;
        told.extend(mark.told(clock.now()).map(|(text, _)| text));
    }
    let handle = Arc::new(Handle::new(Parts {
        puller: Arc::clone(&puller),
        owner: owner.clone(),
        keys,
        prekeys: prekeys.clone(),
        pool: Arc::clone(&pool),
        clock: Arc::clone(&clock),
        log: log_view.clone(),
        memory: remembers.clone(),
        findings,
        unreadable: loaded.damaged,
        cost: if training { KdfCost::FLOOR } else { KdfCost::STANDARD },
        training,
        keep_open: config.keep_content_open,
        counters: Arc::clone(&counters),
        data: config.data.clone(),
        ground,
        endpoint: config.endpoint.clone().or(listen.map(|at| at.to_string())).unwrap_or_default(),
        relays: config.relays.clone(),
        languages: identity.languages.clone(),
    }));

    let (halt, halted) = tokio::sync::watch::channel(false);
    let stopped = move || {
        let mut halted = halted.clone();
        async move { drop(halted.wait_for(|h| *h).await) }
    };
    let opener = Opener { owner: owner.clone(), prekeys, me: (me.org, me.node), clock: Arc::clone(&clock) };
    let witnesses = Round {
        owner: owner.clone(),
        clock: Arc::clone(&clock),
        line,
        heard: resumed.heard,
        heads: keeper.watch(),
        cosigned,
        witnessed,
        memory,
    };
    let teller = Teller { owner: owner.clone(), clock: Arc::clone(&clock), log: log_view.clone() };
    let prover = Prover { owner: owner.clone(), clock: Arc::clone(&clock), log: log_view, me: me.node };
    let eraser = Eraser { owner: owner.clone(), clock: Arc::clone(&clock), keys: handle.keys() };
    let herald = Herald { owner: owner.clone(), pool: Arc::clone(&pool), me: me.node };
    let follower = Follower {
        owner: owner.clone(),
        pool: Arc::clone(&pool),
        clock: Arc::clone(&clock),
        me: (me.org, me.node),
        key: log_key,
    };
    let watch = Watch { owner: owner.clone(), clock: Arc::clone(&clock) };
    let courier = Courier {
        owner: owner.clone(),
        pool: Arc::clone(&pool),
        clock: Arc::clone(&clock),
        unsure: Unsure::new(remembers.clone(), here),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for keeper in config.relays {
        let mailbox = rented(me.net, me.node, keeper);
        tasks.spawn(Fetcher { owner: owner.clone(), pool: Arc::clone(&pool), keeper, mailbox }.run());
    }
    tasks.spawn(opener.run());
    tasks.spawn(courier.run());
    tasks.spawn(puller.run());
    tasks.spawn(witnesses.run());
    tasks.spawn(teller.run());
    tasks.spawn(prover.run());
    tasks.spawn(herald.run());
    tasks.spawn(watch.run());
    tasks.spawn(follower.run());
    tasks.spawn(eraser.run());
    tasks.spawn(keep_time(Arc::clone(&handle), config.idle_lock_secs, config.keep_content_open));
    let porch = Arc::clone(&handle);
    let control = socket.serve(counters, move |request| answer(Arc::clone(&porch), request), stopped());
    let control = tokio::spawn(control);
    let mut log = tokio::spawn(log::keep(owner.clone(), keeper, tick_secs, remembers, alone));
    let closed = stopped();
    let public = tokio::spawn(async move {
        match listener {
            Some(listener) => listener.serve(service, closed).await,
            None => {
                closed.await;
                Ok(())
            }
        }
    });

    health.set(true).await;
    up(&Up { listen, socket: config.control_socket.clone(), open, findings: told });
    let fatal = tokio::select! {
        () = stop => None,
        why = ended => why.ok().flatten().map(ServeError::Fatal),
        why = &mut log => Some(why.unwrap_or(LogError::Broken).into()),
    };
    log.abort();
    health.set(false).await;
    owner.signals.polls.close();
    let _ = halt.send(true);
    let _ = control.await;
    let served = public.await;
    tasks.shutdown().await;
    drop((handle, owner));
    match (fatal, served) {
        (Some(why), _) => Err(why),
        (None, Ok(served)) => Ok(served?),
        (None, Err(_)) => Err(ServeError::Fatal("the public door ended by an error of this program".into())),
    }
}

async fn answer<S: Store + 'static>(handle: Arc<Handle<S>>, request: ControlRequest) -> crate::handle::Answer {
    match serde_json::from_value::<Call>(request.call) {
        Ok(call) => handle.ask(request.session.as_ref(), call).await,
        // serde's text may repeat a value of the call; only the shape is told.
        Err(_) => Err(failure(
            "CH-U0101",
            "The call is not one this node knows, or a field of its form is missing, unknown or of the wrong kind. `clearhouse config default --form NAME` prints a form that fits.",
        )),
    }
}

/// Ticks, idle lock, presence, scrub, compaction.
async fn keep_time<S: Store + 'static>(handle: Arc<Handle<S>>, idle_lock_secs: u64, keep_open: bool) {
    let clock = handle.clock();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut refreshed, mut compacted) = (None, tokio::time::Instant::now());
    let mut scrubbed = tokio::time::Instant::now();
    let mut directory = handle.owner().signals.directory.subscribe();
    loop {
        tick.tick().await;
        let sure = clock.sure();
        if handle.owner().decide(move |world, now| (world.office.tick(sure, now), ())).await
            == Err(crate::owner::NotTaken::Stopping)
        {
            return;
        }
        let open = handle.owner().look(|world| world.office.is_open()).await.unwrap_or(false);
        if open && !keep_open && clock.now().saturating_sub(handle.last_used()) >= idle_lock_secs {
            tracing::info!("nobody has worked for a while: cases are locked");
            let _ = handle.lock_cases(None).await;
        }
        if refreshed.is_none_or(|at: tokio::time::Instant| at.elapsed() >= REFRESH) {
            refreshed = Some(tokio::time::Instant::now());
            handle.refresh_presence().await;
        }
        // Where a keeper of this node's mailbox is may be known only now.
        if directory.has_changed().unwrap_or(false) {
            directory.mark_unchanged();
            let word =
                handle.owner().look(|world| world.office.directory().newest_word_of_others(world.office.me().node));
            word.await.ok().flatten().into_iter().for_each(|time| clock.attest(time));
            handle.refresh_presence().await;
        }
        if scrubbed.elapsed() >= SCRUB {
            scrubbed = tokio::time::Instant::now();
            if let Err(error) = handle.scrub().await {
                tracing::error!(code = error.code, "the daily scrub could not run");
            }
        }
        if compacted.elapsed() >= COMPACT {
            compacted = tokio::time::Instant::now();
            let done = handle.owner().look(|world| {
                let due = world.ledger.store().stats().compaction_due;
                if due { world.ledger.store_mut().compact() } else { Ok(()) }
            });
            let done = done.await;
            if let Ok(Err(error)) = done {
                tracing::warn!(error = %error, "compaction failed; it is tried again");
            }
        }
    }
}

/// No core dumps, and no panic text: a crash must not write keys or cases to a disk or a log. Where it happened is
/// enough to find it.
fn harden() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map_or_else(String::new, ToString::to_string);
        tracing::error!(at, "a panic; the message is withheld because it may repeat what was being handled");
    }));
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        tracing::warn!("core dumps could not be turned off");
    }
    // As many files as the system lets this process have. Fewer only make the door smaller.
    let files = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).is_err() {
        tracing::warn!("the number of open files could not be raised");
    }
}

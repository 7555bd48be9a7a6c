//! Follows the coordinators' directory logs and, at a coordinator's node that the policy names, keeps its own: enters the
//! records that are new here, signs the head, and has the other coordinators cosign it.
//!
//! A log is read from its own keeper first and from any other coordinator where that one is away: everybody who follows
//! it can tell it on. A coordinator's node reads all of them each time; any other so many in their turn that one of them is
//! honest and whole, and hears between how far the others are. Before this node signs a head it has heard from another
//! coordinator how far its own log went: a folder put back from an image would sign a second history. Refuses to judge what
//! it reads; that is the office's.

mod reading;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::publishing::waiting::News;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::logs::LogFault;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::{HOUR, LOG_SESSION_MAX};
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::witness::Request;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;

use crate::clock::Clock;
use crate::owner::{NotTaken, Owner};
use crate::rpc::client::{Address, Client, Pool};
pub(crate) use reading::{Read, read};
use turns::Turns;

/// How often a coordinator's node looks at the logs when the policy does not say.
const TICK_DEFAULT: Duration = Duration::from_secs(30);
/// How often any other node does; in a training network with the tick, where that is shorter.
const ROUND: Duration = Duration::from_secs(60);
/// A log that has nothing new is cosigned again after this, so that everybody knows that there is nothing new.
const COSIGN_AGAIN_SECS: u64 = 6 * HOUR;
/// A witness that has another size says which; it is asked again at most so often.
const TRIES: usize = 3;

/// What the following stands on.
pub struct Follower<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This node.
    pub me: (OrgId, NodeId),
    /// The key of this node's log.
    pub key: SigningKey,
}

impl<S: Store + 'static> Follower<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        let mut changed = self.owner.signals.directory.subscribe();
        // A node that ended between a record and what waited for it would not try that again.
        match self.owner.try_again(News::of_everybody()).await {
            Ok(_) => {}
            Err(NotTaken::Stopping) => return,
            Err(error) => tracing::warn!(%error, "entries of directory logs that wait were not tried again"),
        }
        let (mut own_heard, mut turns) = (false, Turns::default());
        loop {
            let directory = changed.borrow_and_update().clone();
            let logs: Vec<NodeId> = directory.directory_logs().map(|(node, _)| node).collect();
            let pause = self.pause(&directory);
            let keeps = logs.contains(&self.me.1);
            let each = if keeps { logs.len() } else { directory.logs_each_round() };
            let due = turns.due(&logs, each, pause, self.clock.now());
            for log in &due {
                match self.follow(*log, &logs).await {
                    Ok(Read::Whole) if *log == self.me.1 => own_heard = true,
                    Ok(_) => {}
                    Err(NotTaken::Stopping) => return,
                    Err(error) => tracing::warn!(%error, "what a directory log says was not taken"),
                }
            }
            match super::lost_keys::mind(&self.owner).await {
                Ok(()) => {}
                Err(NotTaken::Stopping) => return,
                Err(error) => tracing::warn!(%error, "how long a new root key waits was not kept"),
            }
            if own_heard && keeps {
                match self.keep().await {
                    Ok(()) => {}
                    Err(NotTaken::Stopping) => return,
                    Err(error) => tracing::warn!(%error, "records were not entered into the directory log"),
                }
            }
            tokio::time::sleep(pause).await;
            // A change wakes nobody: the next look comes anyway, and a round of its own for each change would be a storm.
            if changed.has_changed().is_err() {
                return;
            }
        }
    }

    fn pause(&self, directory: &Directory) -> Duration {
        let policy = directory.policy();
        let tick = Some(u64::from(policy.log_tick_secs)).filter(|secs| *secs > 0).map(Duration::from_secs);
        if directory.directory_log(self.me.1).is_some() {
            return tick.unwrap_or(TICK_DEFAULT);
        }
        match policy.kind() {
            wire::NetworkKind::Training => tick.map_or(ROUND, |tick| tick.min(ROUND)),
            wire::NetworkKind::Live | wire::NetworkKind::Unspecified => ROUND,
        }
    }

    /// Reads one log from whoever has it: its keeper, else the other coordinators.
    async fn follow(&self, log: NodeId, keepers: &[NodeId]) -> Result<Read, NotTaken> {
        let others = keepers.iter().filter(|node| **node != log);
        for peer in std::iter::once(&log).chain(others).filter(|peer| **peer != self.me.1) {
            let directory = self.owner.signals.directory.borrow().clone();
            let Some(client) = self.line(&directory, *peer).await else { continue };
            match read(&self.owner, log, *peer, &client, LOG_SESSION_MAX).await? {
                Read::Not => {}
                read @ (Read::Whole | Read::Part) => return Ok(read),
            }
        }
        Ok(Read::Not)
    }

    /// Enters what is new, and takes the head round when there is something new under it or it has aged.
    async fn keep(&self) -> Result<(), NotTaken> {
        self.owner.decide(|world, _| (world.office.enter_records(), ())).await?;
        let (org, node) = self.me;
        let directory = self.owner.look(|world| world.office.directory().clone()).await?;
        let head = directory.head_to_sign(node, org);
        let aged = |fresh: u64| self.clock.now().saturating_sub(fresh) >= COSIGN_AGAIN_SECS;
        let newest = directory.newest_head(node);
        if head.size == 0 || newest.is_some_and(|newest| newest.size() == head.size && !aged(newest.fresh())) {
            return Ok(());
        }
        // Deterministic: whoever dies after this signs the same again, because the entries are durable.
        let Ok(note) = head.sign(&self.key) else { return Ok(()) };
        let Some(note) = self.cosigned(&directory, &head, note).await else { return Ok(()) };
        let page = wire::DirectoryLogReply { head: note.to_string().into_bytes(), ..Default::default() };
        match self.owner.follow(node, None, page).await? {
            Ok(_) | Err(LogFault::NotWitnessed) => {}
            Err(fault) => tracing::error!(%fault, "this node's own directory log does not hold"),
        }
        Ok(())
    }

    /// The head with the signatures of the other coordinators that can be reached; `None` when one of them knows more of
    /// this log than is here.
    async fn cosigned(&self, directory: &Directory, head: &Checkpoint, mut note: Note) -> Option<Note> {
        for witness in directory.directory_witnesses(self.me.1).witnesses() {
            let Some(node) = witness.node else { continue };
            match self.ask(directory, (node, &witness.key), head, &note).await {
                // Its own line alone: a false one under another's name would spoil the head for everybody.
                Some(Ok(signed)) => drop(note.gather(&signed.only(&witness.key))),
                Some(Err(size)) => {
                    tracing::error!(
                        witness = %node, theirs = size, ours = head.size,
                        "a coordinator has seen more of this node's directory log than is here: nothing is signed until it is \
                         read back"
                    );
                    return None;
                }
                None => {}
            }
        }
        Some(note)
    }

    async fn ask(
        &self,
        directory: &Directory,
        (node, key): (NodeId, &NoteKey),
        head: &Checkpoint,
        note: &Note,
    ) -> Option<Result<Note, u64>> {
        let client = self.line(directory, node).await?;
        let mut old = directory.newest_head(self.me.1).map_or(0, |newest| newest.size());
        for _ in 0..TRIES {
            let path = directory.consistency(self.me.1, old, head.size);
            let request = Request { old, path, note: note.clone() };
            let reply = client.add_checkpoint(request.to_string().into_bytes(), Default::default()).await.ok()?;
            match reply.status {
                200 => {
                    let signed = Note::parse(&reply.note).ok()?;
                    let by = signed.text() == head.text() && matches!(signed.signed_by(key), Ok(Some(_)));
                    return by.then_some(Ok(signed));
                }
                409 if reply.size > head.size => {
                    // A size can be said by anybody, and would stop this log for good: this node's own signature shows it.
                    let log = directory.directory_log(self.me.1)?;
                    let more = SignedCheckpoint::open(&reply.note, &log).ok()?.checkpoint().size;
                    return (more > head.size).then_some(Err(more));
                }
                409 if reply.size != old => old = reply.size,
                status => {
                    tracing::warn!(witness = %node, status, "a coordinator does not cosign this node's directory log");
                    return None;
                }
            }
        }
        None
    }

    async fn line(&self, directory: &Directory, node: NodeId) -> Option<Client> {
        self.pool.client(&Address::of(directory, node)?).await.ok()
    }
}

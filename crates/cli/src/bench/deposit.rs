//! Sealed letters into the mailbox of a node whose cases are locked: stored durably, acknowledged, never opened. And
//! the same calls at a door behind which there is nothing, which is what the node's RPC costs by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clearhouse_casework::office::Step;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::server::Door;
use clearhouse_node::rpc::status::Refused;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::Sealed;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::keys::{SigningKey, VerifyKey};
use clearhouse_protocol::limits::MAILBOX_ITEMS_MAX;
use clearhouse_protocol::receipt::{check_storage, storage_batch};
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1::{
    AddCheckpointReply, AddCheckpointRequest, DepositReply, DirectoryLogReply, DirectoryLogRequest, OutcomeReply,
    OwnLogReply, RecordBundle,
};
use tokio::runtime::Runtime;

use super::measure::{Outcome, Run, during, load};
use super::node::{Commits, Node, lines, serve_door, threads};
use super::rounds::{IN_FLIGHT, LINES};
use super::sealing::Sealer;
use crate::demo::region::{Member, Region};

/// Letters of one burst: as many whole rows of all lanes as a mailbox holds unopened.
pub(crate) const BURST: usize = MAILBOX_ITEMS_MAX / IN_FLIGHT * IN_FLIGHT;

/// A door with nothing behind it.
struct NullDoor(DepositReply);

impl Door for NullDoor {
    fn deposit_allowed(&self, _: NodeId, _: MailboxId, _: u64) -> Result<(), Refused> {
        Ok(())
    }

    async fn deposit(&self, _: NodeId, _: MailboxId, _: Digest, _: Vec<u8>) -> Result<DepositReply, Refused> {
        Ok(self.0.clone())
    }

    async fn outcome(&self, _: NodeId, _: Digest) -> Result<OutcomeReply, Refused> {
        Err(Refused::NotOffered)
    }

    async fn records(&self, _: NodeId, _: Option<OrgId>) -> Result<RecordBundle, Refused> {
        Err(Refused::NotOffered)
    }

    async fn add_checkpoint(&self, _: NodeId, _: AddCheckpointRequest) -> Result<AddCheckpointReply, Refused> {
        Err(Refused::NotOffered)
    }

    async fn directory_log(&self, _: NodeId, _: NodeId, _: DirectoryLogRequest) -> Result<DirectoryLogReply, Refused> {
        Err(Refused::NotOffered)
    }

    async fn own_log(&self, _: NodeId, _: u64) -> Result<OwnLogReply, Refused> {
        Err(Refused::NotOffered)
    }

    async fn tell_equivocation(&self, _: NodeId, _: Vec<u8>) -> Result<(), Refused> {
        Err(Refused::NotOffered)
    }
}

/// A null door and lines to it.
pub(crate) struct Null {
    lines: Arc<Vec<Client>>,
    letter: Sealed,
    runtime: Runtime,
}

impl Null {
    /// Opens the door with the keys of `to`, and lines to it from `from` on the calling runtime.
    pub(crate) fn start(
        senders: &Runtime,
        directory: &Directory,
        (to, from): (&Member, &Member),
        sealer: &Sealer,
        body: usize,
    ) -> Outcome<Self> {
        let runtime = threads("null")?;
        let letter = sealer.seal(&vec![0xA5; body], &[])?;
        // The answer a real door gives within a full batch: one signed head and a path of six hashes.
        let key = SigningKey::from_seed(to.made.keys.service().node_seed.expose());
        let digests: Vec<Digest> = (0..IN_FLIGHT).map(|n| Digest([n as u8; 32])).collect();
        let receipt = storage_batch(to.made.net, to.made.node, &digests, 0, &key).pop();
        let door = NullDoor(DepositReply { receipt, locked: true });
        // Who calls is asked of the directory at every call, as a node does.
        let directory = directory.clone();
        let pins = Arc::new(move |pk: &[u8; 32]| directory.peer(pk, SystemClock.now()));
        let at = runtime.block_on(serve_door(to, door, pins, "127.0.0.1:0".parse()?))?;
        let lines = senders.block_on(lines(at, to, from, LINES))?;
        Ok(Self { lines, letter, runtime })
    }

    /// All lanes, for `time`.
    pub(crate) async fn measure(&self, time: Duration) -> Outcome<Run> {
        let (lines, letter) = (Arc::clone(&self.lines), self.letter.clone());
        let call = move |lane: usize, ()| {
            let (line, letter) = (lines[lane % lines.len()].clone(), letter.clone());
            async move { Ok(line.deposit(letter.mailbox, letter.digest, letter.bytes).await.map(drop)?) }
        };
        Run::of(load(IN_FLIGHT, during(time), call)).await
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.runtime.shutdown_background();
    }
}

/// A locked node's mailbox and lines to it.
pub(crate) struct Mailbox<'a> {
    node: &'a Node,
    lines: Arc<Vec<Client>>,
    sealer: Sealer,
    body: usize,
    keeper: (NodeId, VerifyKey),
    region: &'a Region,
}

impl<'a> Mailbox<'a> {
    pub(crate) async fn new(
        region: &'a Region,
        (node, to): (&'a Node, &'a Member),
        from: &Member,
        sealer: &Sealer,
        body: usize,
    ) -> Outcome<Self> {
        let key = SigningKey::from_seed(to.made.keys.service().node_seed.expose());
        Ok(Self {
            node,
            lines: node.lines(to, from, LINES).await?,
            sealer: sealer.clone(),
            body,
            keeper: (to.made.node, VerifyKey::admit(&key.public())?),
            region,
        })
    }

    /// One burst. Sealing before it and emptying the mailbox after it are not measured.
    pub(crate) async fn measure(&self) -> Outcome<(Run, Commits)> {
        let body = vec![0xA5; self.body];
        let letters: Vec<Sealed> = (0..BURST).map(|_| self.sealer.seal(&body, &[])).collect::<Outcome<_>>()?;
        let sample = letters.last().cloned().ok_or("an empty burst")?;
        drop(self.node.tally.take());
        let run = self.burst(letters).await?;
        let commits = Commits::of(&self.node.tally.take());
        self.check(sample).await?;
        self.empty().await?;
        Ok((run, commits))
    }

    async fn burst(&self, letters: Vec<Sealed>) -> Outcome<Run> {
        let lines = Arc::clone(&self.lines);
        let letters = Arc::new(Mutex::new(letters));
        let next = move || letters.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let call = move |lane: usize, letter: Sealed| {
            let line = lines[lane % lines.len()].clone();
            async move {
                let reply = line.deposit(letter.mailbox, letter.digest, letter.bytes).await?;
                if reply.locked { Ok(()) } else { Err("the node was to be locked".into()) }
            }
        };
        Run::of(load(IN_FLIGHT, next, call)).await
    }

    /// A repeated deposit is answered with the receipt of the first: it must hold, and all letters must be there.
    async fn check(&self, letter: Sealed) -> Outcome<()> {
        let line = self.lines.first().ok_or("no line")?;
        let reply = line.deposit(letter.mailbox, letter.digest, letter.bytes).await?;
        let receipt = reply.receipt.ok_or("a deposit without receipt")?;
        check_storage(&receipt, self.region.net, self.keeper.0, letter.digest, &self.keeper.1)?;
        let held = self.node.owner.look(|world| world.office.mail().unopened().len()).await?;
        if held == BURST { Ok(()) } else { Err(format!("{held} letters held of {BURST}").into()) }
    }

    async fn empty(&self) -> Outcome<()> {
        let gone = |table, digest: &Digest, under| Row {
            table,
            key: digest.as_bytes().to_vec(),
            value: None,
            under,
            must_be_new: false,
        };
        let emptied = self.node.owner.decide(move |world, _| {
            let letters = world.office.mail().unopened();
            let rows = letters
                .iter()
                .flat_map(|d| [gone(Table::Mailbox, d, Under::Service), gone(Table::Envelope, d, Under::Letter(*d))]);
            (Step { rows: rows.collect(), ..Step::default() }, ())
        });
        Ok(emptied.await?)
    }
}

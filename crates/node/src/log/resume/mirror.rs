//! What coordinators' nodes mirror of this node's own log, read for a folder that is an old copy, and which erasures that
//! proves.
//!
//! All of them are read side by side. What was erased is taken from every one, because each can leave an erasure out and
//! none can make one up: it has to open the commitment at its place in the log. Refuses to read past the head that this
//! node signed, to remember anything twice, and to wait for one that does not come to an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::audit::{AuditEvent, erasure_is_sound, reveal};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::OPENING_LEN;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::NoteKey;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_wire::v1 as wire;
use tokio::task::JoinSet;

use crate::log::witnesses::Line;
use crate::rpc::client::Address;

/// How long one mirror is read at most: a million entries come in less over a slow line, and a start must not hang on a
/// mirror that sends one at a time.
const MIRROR_TIME: Duration = Duration::from_secs(300);

/// The erasures of one mirror by their place in the log, not proved yet.
type Erasures = BTreeMap<u64, wire::OwnErasure>;

/// What all mirrors that answered hold.
#[derive(Default)]
pub(super) struct Mirrors {
    /// The commitments of each that make up a head of this node's own and reach far enough; the longest first.
    pub(super) logs: Vec<Vec<Hash>>,
    /// The erasures of each, also of those that do not reach so far.
    erasures: Vec<Erasures>,
}

impl Mirrors {
    /// Reads every coordinator's mirror of this node's log; the log has to reach `signed`.
    pub(super) async fn read(line: &Line, directory: &Arc<Directory>, signed: u64, now: u64) -> Self {
        let mut reading = JoinSet::new();
        for (_, node) in directory.coordinators(line.me, now) {
            let (line, directory) = (line.clone(), Arc::clone(directory));
            reading.spawn(async move {
                let mut read = Reading::default();
                // What came until then counts: an erasure is proved by itself.
                if tokio::time::timeout(MIRROR_TIME, pages(&line, &directory, node, &mut read)).await.is_err() {
                    tracing::warn!(%node, "this coordinator's mirror does not come to an end and is left");
                }
                read
            });
        }
        let mut mirrors = Self::default();
        while let Some(read) = reading.join_next().await {
            let Ok(read) = read else { continue };
            mirrors.logs.extend(read.log().filter(|log| log.len() as u64 >= signed));
            mirrors.erasures.push(read.erasures);
        }
        mirrors.logs.sort_by_key(|log| std::cmp::Reverse(log.len()));
        mirrors
    }

    /// The erasures that any mirror proves by the commitments of this log, each once, in their order.
    pub(super) fn proved(&self, log: &[Hash]) -> Vec<wire::Opening> {
        let mut all = BTreeMap::new();
        for (index, erasure) in self.erasures.iter().flatten() {
            if !all.contains_key(index)
                && let Some(opening) = proved(*index, erasure, log)
            {
                all.insert(*index, opening);
            }
        }
        all.into_values().collect()
    }
}

async fn pages(line: &Line, directory: &Directory, node: NodeId, read: &mut Reading) {
    let (Some(own), Some(address)) = (directory.log_key(line.me), Address::of(directory, node)) else { return };
    let Ok(client) = line.pool.client(&address).await else { return };
    let mut next = Some(0);
    while let Some(first) = next {
        let Ok(reply) = client.own_log(first).await else { return };
        next = read.take(reply, &own);
    }
}

/// What one mirror has shown so far.
#[derive(Default)]
struct Reading {
    head: Option<Checkpoint>,
    commitments: Vec<Hash>,
    erasures: Erasures,
}

impl Reading {
    /// Takes one answer. The entry from which to ask on; `None` when the mirror has no more, or shows what is none.
    fn take(&mut self, reply: wire::OwnLogReply, own: &NoteKey) -> Option<u64> {
        let shown = SignedCheckpoint::open(&reply.head, own).ok().map(|head| head.checkpoint().clone());
        self.head = shown.into_iter().chain(self.head.take()).max_by_key(|head| head.size);
        // Nothing is read beyond what this node signed for.
        let size = usize::try_from(self.head.as_ref()?.size).ok()?;
        let (page, rest) = reply.commitments.as_chunks::<32>();
        if !rest.is_empty() || page.is_empty() {
            return None;
        }
        let first = self.commitments.len();
        self.commitments.extend(page.iter().take(size.saturating_sub(first)));
        let came = first as u64..self.commitments.len() as u64;
        let is_one = |erasure: &wire::OwnErasure| {
            came.contains(&erasure.index) && erasure.salt.len() == 32 && erasure.opening.len() == OPENING_LEN
        };
        for erasure in reply.erasures.into_iter().filter(is_one) {
            self.erasures.entry(erasure.index).or_insert(erasure);
        }
        let had = self.commitments.len();
        (had < size && reply.next == had as u64).then_some(reply.next)
    }

    /// The log, when it is whole.
    fn log(&self) -> Option<Vec<Hash>> {
        let head = self.head.as_ref()?;
        let mut edge = Edge::default();
        self.commitments.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        (edge.size() == head.size && edge.root() == head.root).then(|| self.commitments.clone())
    }
}

/// What an erasure says, when it opens the commitment at its place.
fn proved(index: u64, erasure: &wire::OwnErasure, log: &[Hash]) -> Option<wire::Opening> {
    let commitment = log.get(usize::try_from(index).ok()?)?;
    let opening = reveal(commitment, erasure.salt.as_slice().try_into().ok()?, &erasure.opening)?;
    let sound = opening.index == index && erasure_is_sound(&opening);
    (sound && opening.event() == AuditEvent::CaseErased).then_some(opening)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

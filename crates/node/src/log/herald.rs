//! Tells every node that can be reached of each proof that a log showed two histories, until it has taken it.
//!
//! Whoever takes a proof tells others in its turn, so that one node that can be reached is enough. Refuses to judge: the
//! proof is checked by everybody for himself, and what it means for a message is the office's to say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::pae::sha256;
use clearhouse_store::Store;

use crate::owner::Owner;
use crate::rpc::client::{Address, Pool};

/// Nodes that could not be reached are tried again after this.
const AGAIN: Duration = Duration::from_secs(300);
/// Proofs told in one round. More logs with two histories than this are a region without trust.
const PROOFS_MAX: usize = 64;

/// What the telling stands on.
pub struct Herald<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// This node.
    pub me: NodeId,
}

impl<S: Store + 'static> Herald<S> {
    /// Runs until the owner is gone. A proof that is taken changes the directory: that wakes it.
    pub async fn run(self) {
        let mut changed = self.owner.signals.directory.subscribe();
        let mut told = BTreeSet::new();
        loop {
            let proofs = self.owner.look(|world| {
                let proofs = world.office.equivocations().take(PROOFS_MAX);
                proofs.map(|(about, proof)| (about, proof.to_owned())).collect::<Vec<_>>()
            });
            let Ok(proofs) = proofs.await else { return };
            for (about, proof) in proofs {
                self.tell(about, &proof, &mut told).await;
            }
            if tokio::time::timeout(AGAIN, changed.changed()).await.is_ok_and(|done| done.is_err()) {
                return;
            }
        }
    }

    async fn tell(&self, about: NodeId, proof: &str, told: &mut BTreeSet<(NodeId, [u8; 32])>) {
        let directory = self.owner.signals.directory.borrow().clone();
        let digest = sha256(proof.as_bytes());
        let nodes = directory.orgs().flat_map(|(org, _)| directory.nodes_of(org));
        for node in nodes.filter(|node| *node != self.me && *node != about) {
            if told.contains(&(node, digest)) {
                continue;
            }
            let Some(address) = Address::of(&directory, node) else { continue };
            let Ok(client) = self.pool.client(&address).await else { continue };
            match client.tell_equivocation(proof.as_bytes().to_vec()).await {
                Ok(()) => drop(told.insert((node, digest))),
                Err(error) => tracing::warn!(%node, %error, "a proof of two histories was not taken; it is told again"),
            }
        }
    }
}

//! Mailboxes that a node keeps for others: whose they are, what lies in them, and how it goes out to its owner.
//!
//! Pure. [`Depot`] is a fold over rows of the table Relay; its methods answer with the rows to keep. Refuses to know
//! more than it needs: who left an envelope is no field of anything here, times are hours, sizes are classes.

mod depot;
pub mod slots;

pub use depot::{Depot, Handle, Kept, KeptState, Leaving, Left};

use std::collections::BTreeMap;

use crate::directory::Directory;
use crate::ids::{MailboxId, Net, NodeId};
use crate::labels::RENTED_MAILBOX;
use crate::pae::hash;
use clearhouse_wire::v1::Descriptor;

/// The mailbox that `tenant` may have at another node, `keeper`. That it follows from both ids is what makes it safe to
/// rent without registering: nobody can name somebody else's mailbox as its own and fetch from it.
#[must_use]
pub fn rented(net: Net, tenant: NodeId, keeper: NodeId) -> MailboxId {
    let name = hash(RENTED_MAILBOX, &[net.as_bytes(), tenant.as_bytes(), keeper.as_bytes()]);
    let mut id = [0; MailboxId::LEN];
    id.copy_from_slice(&name[..MailboxId::LEN]);
    MailboxId(id)
}

/// Whether the mailboxes of a descriptor are ones its node may have: each at another keeper, each of another id, and
/// at any node but its own the one that [`rented`] names.
#[must_use]
pub fn are_its_own(descriptor: &Descriptor, net: Net, node: NodeId) -> bool {
    let all = &descriptor.mailboxes;
    let apart = |i: usize| all[..i].iter().all(|m| m.id != all[i].id && m.node_id != all[i].node_id);
    let own = |i: usize| match NodeId::try_from(all[i].node_id.as_slice()) {
        Ok(keeper) => keeper == node || all[i].id == rented(net, node, keeper).0,
        Err(_) => false,
    };
    (0..all.len()).all(|i| apart(i) && own(i))
}

/// Whose mailboxes one node keeps, by the descriptors a directory holds. Made anew when the directory changes.
#[derive(Default)]
pub struct Tenants(BTreeMap<MailboxId, NodeId>);

impl Tenants {
    /// The tenants of `keeper`. One pass over all descriptors.
    #[must_use]
    pub fn of(directory: &Directory, keeper: NodeId) -> Self {
        let rents = |(node, descriptor): (NodeId, &Descriptor)| {
            let there = |m: &&clearhouse_wire::v1::Mailbox| m.node_id == keeper.0 && node != keeper;
            let id = &descriptor.mailboxes.iter().find(there)?.id;
            Some((MailboxId::try_from(id.as_slice()).ok()?, node))
        };
        Self(directory.described().filter_map(rents).collect())
    }

    /// Whose mailbox this is, if that node may speak at `now` and its descriptor has not expired.
    #[must_use]
    pub fn tenant(&self, directory: &Directory, mailbox: MailboxId, now: u64) -> Option<NodeId> {
        let node = *self.0.get(&mailbox)?;
        directory.descriptor(node).filter(|d| d.expires > now)?;
        directory.may_speak(directory.org_of(node)?, node, now).ok()?;
        Some(node)
    }
}

#[cfg(test)]
mod tests;

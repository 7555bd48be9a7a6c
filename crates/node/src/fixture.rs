//! A member's node in memory, for the tests of this room. Refuses nothing: what it is to hold is given to it.

use std::sync::Arc;

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Office};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::fixture::Region;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_store::MemoryStore;
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;

use crate::clock::{Clock, chance};
use crate::owner::{Owner, World};

/// The office of the n-th member of a region.
pub(crate) fn office(region: &Region, member: usize, directory: Directory) -> Office {
    let member = &region.members[member];
    let me = Me {
        net: region.net,
        org: member.org,
        node: member.node,
        mailboxes: vec![member.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    Office::new(me, directory)
}

/// Its owner, with new keys, a store in memory and this clock.
pub(crate) fn owner(region: &Region, member: usize, directory: Directory, clock: Arc<dyn Clock>) -> Owner<MemoryStore> {
    Owner::start(world(region, member, directory), SigningKey::from_seed(&[1; 32]), clock).0
}

/// What such an owner owns.
pub(crate) fn world(region: &Region, member: usize, directory: Directory) -> World<MemoryStore> {
    let (service, content) = (ServiceKeys::generate(&mut chance()), ContentKeys::generate(&mut chance()));
    let ledger = Ledger::new(MemoryStore::new(), Vault::new(&service, Some(&content)).unwrap());
    World::load(office(region, member, directory), ledger).unwrap().0
}

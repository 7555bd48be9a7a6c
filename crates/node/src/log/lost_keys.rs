//! Root keys that wait: looks each round whether a wait begins or is over, and reads again what was refused meanwhile.
//!
//! What a new root key vouches for stands in the directory logs, and was refused while the old one was in force. It is read
//! once more from the entries that this node keeps, when the wait is over and at every start. Refuses to judge any of it:
//! that is the office's.

use clearhouse_casework::office::Step;
use clearhouse_casework::office::publishing::records_about;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::LOG_PAGE_ENTRIES_MAX;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;

use crate::owner::{NotTaken, Owner};

/// The organisations whose newest record came by a lost root key: a node that stopped right then has not read on.
pub(crate) fn changed_before(directory: &Directory) -> Vec<OrgId> {
    directory.orgs().filter(|(_, record)| record.lost_key).map(|(org, _)| org).collect()
}

/// One look; `before` are those that are read again in any case.
///
/// # Errors
/// [`NotTaken`], when nothing can be kept here.
pub(crate) async fn mind<S: Store + 'static>(owner: &Owner<S>, before: Vec<OrgId>) -> Result<(), NotTaken> {
    let mut changed = owner.decide(|world, now| world.office.mind_lost_keys(now)).await?;
    changed.extend(before);
    if changed.is_empty() {
        return Ok(());
    }
    let directory = owner.signals.directory.borrow().clone();
    for (log, _) in directory.directory_logs() {
        let mut first = 0;
        while first < directory.followed(log) {
            read_again(owner, (log, first), changed.clone()).await?;
            first += LOG_PAGE_ENTRIES_MAX as u64;
        }
    }
    Ok(())
}

/// A page of the entries kept of a log.
async fn read_again<S: Store + 'static>(
    owner: &Owner<S>,
    (log, first): (NodeId, u64),
    orgs: Vec<OrgId>,
) -> Result<(), NotTaken> {
    let taken = owner.decide(move |world, now| {
        let leaves = world.office.entry_keys(log, first).into_iter();
        let kept = leaves.filter_map(|leaf| world.ledger.read(Table::DirectoryEntry, &leaf).ok().flatten());
        let entries: Vec<Vec<u8>> = kept.map(|entry| entry.to_vec()).collect();
        let records = records_about(&entries, &orgs);
        if records.is_empty() {
            return (Step::default(), ());
        }
        let (step, _) = world.office.admit(&wire::RecordBundle { records, ..wire::RecordBundle::default() }, now);
        (step, ())
    });
    taken.await
}

//! What a coordinator's node deletes of what others showed it: the openings of messages that came to an end long ago
//! (protocol section 7.8). Commitments stay: the trees can be held against their heads for ever, and explain nothing.
//!
//! Goes page by page from the oldest, and stops at the first page with an entry that is still needed.

use clearhouse_casework::office::hearing::Page;
use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_store::Store;

use crate::owner::Owner;
use crate::reconcile::{ReconcileError, pages};

/// Deletes what entries recorded before `needed_from` (unix seconds) say, in every log heard of. Returns how many
/// entries; what a crash leaves is deleted the next time.
///
/// # Errors
/// [`ReconcileError`]: pages that cannot be read stay as they are.
pub async fn delete_before<S: Store + 'static>(owner: &Owner<S>, needed_from: u64) -> Result<u64, ReconcileError> {
    let logs = owner.look(|world| {
        let log = |(node, heard): (NodeId, &clearhouse_casework::office::hearing::Heard)| {
            Some((OrgId::try_from(heard.org.as_slice()).ok()?, node, heard.clone()))
        };
        world.office.heard().filter_map(log).collect::<Vec<_>>()
    });
    let mut deleted = 0;
    for (org, node, heard) in logs.await? {
        let mut first = heard.first;
        while first < heard.size {
            let mut next = first;
            let read = pages(owner, (org, node), &heard.origin, first, heard.size).await?;
            let read_to_end = read.len();
            let old: Vec<(u64, Page)> = read
                .into_iter()
                .take_while(|page| is_before(page, needed_from))
                .map(|page| {
                    let at = next;
                    next += page.entries.len() as u64;
                    (at, page)
                })
                .collect();
            if old.is_empty() {
                break;
            }
            let whole = old.len() == read_to_end;
            let closed = owner.decide(move |world, now| {
                let step = world.office.close_pages(node, &old, now);
                let done = step.is_some();
                (step.unwrap_or_default(), done)
            });
            if !closed.await? {
                break;
            }
            deleted += next - first;
            first = next;
            if !whole {
                break;
            }
        }
    }
    Ok(deleted)
}

/// Whether everything in a page was recorded before a time. What is closed already says nothing.
fn is_before(page: &Page, time: u64) -> bool {
    page.entries.iter().filter_map(|kept| unpad(&kept.opening)).all(|opening| opening.time < time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

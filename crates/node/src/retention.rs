//! What a coordinator's node deletes of what others showed it: the openings of messages that came to an end long ago,
//! and those of cases that were erased as soon as nothing is left to find (protocol section 7.8). Commitments stay: the
//! trees can be held against their heads for ever, and explain nothing.
//!
//! Refuses to judge: reconciliation says what is needed no more.

use std::sync::Arc;

use clearhouse_casework::office::hearing::{Heard, Kept, Page};
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::reconcile::{Party, Settled};
use clearhouse_store::Store;

use crate::owner::Owner;
use crate::reconcile::{ReconcileError, pages};

/// Deletes what entries recorded before `needed_from` (unix seconds) say, in every log heard of. Returns how many
/// entries; what a crash leaves is deleted the next time.
///
/// # Errors
/// [`ReconcileError`]: pages that cannot be read stay as they are.
pub async fn delete_before<S: Store + 'static>(owner: &Owner<S>, needed_from: u64) -> Result<u64, ReconcileError> {
    let mut deleted = 0;
    for (party, heard) in logs(owner).await? {
        let node = party.1;
        let mut first = heard.first;
        while first < heard.size {
            let mut next = first;
            let read = pages(owner, party, &heard.origin, first, heard.size).await?;
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
    page.entries.iter().filter_map(Kept::opening).all(|opening| opening.time < time)
}

/// Deletes what entries of erased cases say, as far as they are settled, in every log heard of; and forgets that a
/// message is settled once no log speaks of it any more. Returns how many entries were deleted. One commit for each look
/// at the pages, so that deposits go on meanwhile; what a crash leaves is deleted the next time.
///
/// # Errors
/// [`ReconcileError`]: pages that cannot be read stay as they are.
pub async fn let_go<S: Store + 'static>(owner: &Owner<S>, settled: Settled) -> Result<u64, ReconcileError> {
    let settled = Arc::new(settled);
    let mut deleted = 0;
    for (party, heard) in logs(owner).await? {
        let mut next = heard.first;
        while next < heard.size {
            let read = pages(owner, party, &heard.origin, next, heard.size).await?;
            let settled = Arc::clone(&settled);
            let from = next;
            next += read.iter().map(|page| page.entries.len() as u64).sum::<u64>();
            let trimmed = tokio::task::spawn_blocking(move || trim_all(&settled, party, from, read));
            let (count, changed) = trimmed.await.map_err(|_| ReconcileError::Bug)?;
            if !changed.is_empty() {
                let write = owner.decide(move |world, now| {
                    let step = world.office.let_go(party.1, &changed, now);
                    (step.unwrap_or_default(), ())
                });
                write.await?;
            }
            deleted += count;
        }
    }
    Ok(deleted)
}

/// The pages that change, by their first entry, and how many entries they let go of.
fn trim_all(settled: &Settled, party: Party, mut first: u64, pages: Vec<Page>) -> (u64, Vec<(u64, Page)>) {
    let (mut deleted, mut changed) = (0, Vec::new());
    for mut page in pages {
        let at = first;
        first += page.entries.len() as u64;
        if let Some(count) = trim(settled, party, &mut page) {
            deleted += count;
            changed.push((at, page));
        }
    }
    (deleted, changed)
}

/// Lets go of what may go in a page; how many entries, `None` when nothing changes.
fn trim(settled: &Settled, party: Party, page: &mut Page) -> Option<u64> {
    let (mut deleted, mut forgotten) = (0, 0);
    for kept in &mut page.entries {
        if kept.opening().is_some_and(|opening| settled.lets_go(party, &opening)) {
            *kept = kept.let_go();
            deleted += 1;
        } else if Digest::try_from(&kept.settled[..]).is_ok_and(|digest| settled.is_forgotten(&digest)) {
            kept.settled.clear();
            forgotten += 1;
        }
    }
    (deleted + forgotten > 0).then_some(deleted)
}

/// The logs heard of.
async fn logs<S: Store + 'static>(owner: &Owner<S>) -> Result<Vec<(Party, Heard)>, ReconcileError> {
    let logs = owner.look(|world| {
        let log =
            |(node, heard): (_, &Heard)| Some(((OrgId::try_from(heard.org.as_slice()).ok()?, node), heard.clone()));
        world.office.heard().filter_map(log).collect()
    });
    Ok(logs.await?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

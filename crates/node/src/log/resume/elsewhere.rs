//! What is durable of taking a log back before the first entry of it is: how far this node signed, and which log is being
//! taken back.
//!
//! A start may be cut short in the middle, and at the next one whoever knew of the most may be away. So what was shown once
//! counts until all of it is here. Refuses to go on below it: whatever is recorded there would be a second history.

use clearhouse_casework::office::erasing::Elsewhere;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_store::{Store, StoreError};

use super::BATCH;
use crate::clock::chance;
use crate::log::LogError;
use crate::owner::World;

/// How far the log has to come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// Entries that this node signed.
    pub(super) signed: u64,
    /// Entries that a mirror must have: all of them, or any where all were taken back by a start that was cut short after
    /// that.
    pub(super) of_a_mirror: u64,
}

/// How far the log has to come back, by what was shown now and what was ever shown; `None` when nothing is missing. It is
/// durable when this returns. `head` is the size of the last head signed here.
pub(super) fn wanted<S: Store>(
    world: &mut World<S>,
    head: u64,
    shown: Option<u64>,
) -> Result<Option<Wanted>, LogError> {
    let known = world.office.signed_elsewhere().filter(|known| known.signed > head).cloned().unwrap_or_default();
    let signed = known.signed.max(shown.unwrap_or(0));
    if signed == 0 {
        return Ok(None);
    }
    if signed > known.signed {
        keep(world, Some(&Elsewhere { signed, ..known.clone() }))?;
    }
    let is_all_here = known.size >= signed && is_here(world.ledger.store(), &known)?;
    Ok(Some(Wanted { signed, of_a_mirror: if is_all_here { 0 } else { signed } }))
}

/// Whether a log began to be taken back here, and is not yet said to be.
pub(super) fn is_under_way<S: Store>(world: &World<S>) -> bool {
    world.office.signed_elsewhere().is_some_and(|known| known.size > 0)
}

/// Makes durable which log is taken back now, before any entry of it is.
pub(super) fn begin<S: Store>(world: &mut World<S>, log: &[Hash]) -> Result<(), LogError> {
    let known = world.office.signed_elsewhere().cloned().unwrap_or_default();
    let mut edge = Edge::default();
    log.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
    if edge.size() <= known.size {
        return Ok(());
    }
    let next = Elsewhere { signed: known.signed.max(edge.size()), size: edge.size(), root: edge.root().to_vec() };
    keep(world, Some(&next))
}

/// Makes durable how far the log was signed, or that all of it is here.
pub(super) fn keep<S: Store>(world: &mut World<S>, known: Option<&Elsewhere>) -> Result<(), LogError> {
    let row = world.office.elsewhere(known);
    let commit = world.ledger.commit(std::slice::from_ref(&row), &[], &mut chance());
    commit.map_err(|error| LogError::NotTakenBack(error.to_string()))?;
    world.office.apply([&row]);
    Ok(())
}

/// Whether the log that was being taken back is here to its last entry.
fn is_here(store: &impl Store, known: &Elsewhere) -> Result<bool, StoreError> {
    let mut edge = Edge::default();
    while edge.size() < known.size {
        let left = usize::try_from(known.size - edge.size()).unwrap_or(usize::MAX);
        let page = store.commitments(edge.size(), left.min(BATCH))?;
        if page.is_empty() {
            return Ok(false);
        }
        page.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
    }
    Ok(edge.root().as_slice() == known.root.as_slice())
}

//! Making an erasure final, in the one order that never loses a survivor (decision 20, protocol section 7.10).
//!
//! 1. Every surviving data key is wrapped for the next epoch, beside the wraps of this one, and committed.
//! 2. The store is compacted: nothing older than that is left in it.
//! 3. The key file is replaced by one of the next epoch, and the device secret turns. *Here the erased are gone.*
//! 4. The vault takes the new keys.
//! 5. The wraps of the old epoch, which nothing opens any more, are removed.
//!
//! A crash before 3 leaves the old epoch whole, after it the new one; either can be erased from again. Refuses to start
//! while cases are locked, and to go past a wrapped key it cannot read: it might be a survivor's.

use clearhouse_protocol::rows::{Table, Under};
use rand_core::CryptoRng;

use crate::changes::Changes;
use crate::contract::{CommitError, PAGE_ROWS_MAX, Page, Store, StoreError};
use crate::keyfile::{KeyFileError, NextEpoch, Opened};
use crate::vault::{Vault, VaultError};

/// Why an erasure did not become final.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// A wrapped key in the store is damaged. Nothing was erased.
    #[error("{0} wrapped keys in the store are damaged; nothing was erased. Run doctor first")]
    WrapsDamaged(usize),
    /// The vault refused. Nothing was erased.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store could not be read or compacted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take the wraps.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The key file was not replaced, or not to the end: stop the process, and start and erase again.
    #[error("{0}. Stop and start again; the erasure is then repeated")]
    KeyFile(#[from] KeyFileError),
}

/// What an erasure came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Erased {
    /// The epoch of the key file now.
    pub epoch: u32,
    /// Data keys that survived.
    pub survivors: u64,
}

/// The steps, in order. Tests stop before each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Wrap,
    Compact,
    ReplaceKeyFile,
    TakeKeys,
    RemoveOld,
}

/// Makes the erasure of `erased`, and of everything whose wrap was removed before, final. Content must be open and no
/// commit under way; letters that arrive meanwhile wait. Ten thousand data keys take well under a second, the
/// compaction as long as the store is large.
///
/// # Errors
/// See [`ErasureError`]. After [`ErasureError::KeyFile`] and [`CommitError::Fatal`] the process must stop. After every
/// other error of steps 1 to 3 the node goes on with nothing erased; after one of step 5 the erasure is final, and the
/// next one clears what is left.
pub fn finalise(
    store: &mut (impl Store + ?Sized),
    vault: &Vault,
    opened: &mut Opened,
    erased: &[Under],
    rng: &mut impl CryptoRng,
) -> Result<Erased, ErasureError> {
    finalise_stepwise(store, vault, opened, erased, rng, &mut |_| true)
}

/// [`finalise`], asking `go_on` ahead of every step; `false` stops right there, as a crash would.
pub(crate) fn finalise_stepwise(
    store: &mut (impl Store + ?Sized),
    vault: &Vault,
    opened: &mut Opened,
    erased: &[Under],
    rng: &mut impl CryptoRng,
    go_on: &mut dyn FnMut(Step) -> bool,
) -> Result<Erased, ErasureError> {
    let mut go_on = |step| if go_on(step) { Ok(()) } else { Err(StoreError::Stopped) };
    vault.begin_turn()?;
    let next = opened.next_epoch(rng)?;
    go_on(Step::Wrap)?;
    let prepared = wrap_all(store, vault, &next, erased, rng).and_then(|survivors| {
        go_on(Step::Compact)?;
        store.compact()?;
        Ok(survivors)
    });
    let survivors = prepared.inspect_err(|_| vault.abandon_turn())?;
    go_on(Step::ReplaceKeyFile)?;
    opened.enter_epoch(next, rng)?;
    go_on(Step::TakeKeys)?;
    vault.end_turn(opened.service(), opened.content())?;
    go_on(Step::RemoveOld)?;
    remove_old(store, vault)?;
    Ok(Erased { epoch: opened.epoch(), survivors })
}

fn wrap_all(
    store: &mut (impl Store + ?Sized),
    vault: &Vault,
    next: &NextEpoch,
    erased: &[Under],
    rng: &mut impl CryptoRng,
) -> Result<u64, ErasureError> {
    // All pages are read before the first commit: it adds rows to the table that is being read.
    let mut survivors = 0;
    for page in pages(store)? {
        let rewrapped = vault.rewrap(next, &page.rows, erased, rng)?;
        survivors += rewrapped.puts.len() as u64;
        if !rewrapped.puts.is_empty() {
            store.commit(&Changes { generation: store.generation(), puts: rewrapped.puts, ..Changes::default() })?;
        }
    }
    Ok(survivors)
}

/// Removes wraps that no key opens any more: what an erasure that was cut short after its end left behind.
///
/// # Errors
/// See [`ErasureError`]; nothing that opens is touched.
pub fn remove_old(store: &mut (impl Store + ?Sized), vault: &Vault) -> Result<(), ErasureError> {
    for page in pages(store)? {
        let dels = vault.unusable_wraps(&page.rows)?;
        if !dels.is_empty() {
            store.commit(&Changes { generation: store.generation(), dels, ..Changes::default() })?;
        }
    }
    Ok(())
}

/// The whole wrap table, page by page.
fn pages(store: &(impl Store + ?Sized)) -> Result<Vec<Page>, ErasureError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(Table::Wrap as u8, after, PAGE_ROWS_MAX)?;
        if !page.damaged.is_empty() {
            return Err(ErasureError::WrapsDamaged(page.damaged.len()));
        }
        after = page.next;
        all.push(page);
        if after.is_none() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests;

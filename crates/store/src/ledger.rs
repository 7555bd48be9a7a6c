//! A store and the vault before it, as one thing: rows in clear on this side, sealed values on the other.
//!
//! What an owner and a simulation both need and nothing more. Decides nothing; remembers nothing between calls.

use clearhouse_protocol::rows::{EventRow, Row, Table, Under};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::contract::{CommitError, Store, StoreError};
use crate::erasure::{Erased, ErasureError, finalise, remove_old};
use crate::keyfile::Opened;
use crate::vault::{Batch, Vault, VaultError};

/// Rows read from the store in one page.
const PAGE: usize = 1024;

/// Why the ledger could not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There are values, and none of them opens.
    #[error(
        "the store does not open with this node's keys; nothing was changed. It is another node's, or the keys are: \
         put both back from the same backup"
    )]
    OtherKeys,
    /// What was erased after a backup or an old copy is still here, and could not be erased again.
    #[error("cases that were erased since this copy was made cannot be erased again: {0}. Cases stay locked")]
    NotErased(String),
}

/// Why a step was not made durable.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The vault would not seal it: nothing was written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What [`Ledger::load`] found.
#[derive(Default)]
pub struct Loaded {
    /// Rows that opened.
    pub rows: Vec<Row>,
    /// Rows of cases, passed over because cases are locked.
    pub locked: usize,
    /// Tables and counts of values that do not open: damage that must be shown, never skipped in silence.
    pub damaged: Vec<(Table, usize)>,
}

/// What a commit takes away for good, beside the rows it removes.
#[derive(Clone, Copy, Default)]
pub struct Gone<'a> {
    /// Whose data keys go, as in [`Batch::erase`].
    pub keys: &'a [Under],
    /// Earlier events that are closed.
    pub events: &'a [u64],
}

/// A store behind its vault.
pub struct Ledger<S> {
    store: S,
    vault: Vault,
}

impl<S: Store> Ledger<S> {
    /// Puts the vault before the store.
    pub fn new(store: S, vault: Vault) -> Self {
        Self { store, vault }
    }

    /// The vault, to lock and unlock.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// See [`Store::settle`].
    ///
    /// # Errors
    /// [`StoreError`]: stop the process.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.store.settle()
    }

    /// The store, for scrub and compaction.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Gives the store back, for a simulated crash.
    pub fn into_store(self) -> S {
        self.store
    }

    /// All rows of these tables, opened.
    ///
    /// # Errors
    /// [`ReadError::Store`] when a table cannot be read at all.
    pub fn load(&self, tables: &[Table]) -> Result<Loaded, ReadError> {
        let mut loaded = Loaded::default();
        for table in tables {
            let mut damaged = 0;
            let mut after = None;
            loop {
                let page = self.store.scan(*table as u8, after, PAGE)?;
                damaged += page.damaged.len();
                for (key, value) in &page.rows {
                    match self.vault.open(*table, key, value, &self.store) {
                        Ok(plain) => loaded.rows.push(Row {
                            table: *table,
                            key: plain.key,
                            value: Some(plain.value.to_vec()),
                            under: Under::Service,
                            must_be_new: false,
                        }),
                        Err(VaultError::Locked) => loaded.locked += 1,
                        Err(_) => damaged += 1,
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            if damaged > 0 {
                loaded.damaged.push((*table, damaged));
            }
        }
        Ok(loaded)
    }

    /// One row's value, opened.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, table: Table, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ReadError> {
        match self.store.get(table as u8, &self.vault.blind(table, key))? {
            Some(value) => Ok(Some(self.vault.open_at(table, key, &value, &self.store)?.value)),
            None => Ok(None),
        }
    }

    /// Makes what was taken away before final; see [`finalise`], whose errors say what to do.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub fn finalise_erasure(&mut self, keys: &mut Opened, rng: &mut impl CryptoRng) -> Result<Erased, ErasureError> {
        // The wraps of what is erased went with the commits that erased it. Naming it again would also take what was
        // begun under the same name since.
        finalise(&mut self.store, &self.vault, keys, &[], rng)
    }

    /// Removes what an erasure left behind that was cut short once it was final.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub fn clear_old_wraps(&mut self) -> Result<(), ErasureError> {
        remove_old(&mut self.store, &self.vault)
    }

    /// Seals and commits rows and events at once. When this returns, they are durable.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was taken, unless the commit error is fatal.
    pub fn commit(&mut self, rows: &[Row], events: &[EventRow], rng: &mut impl CryptoRng) -> Result<u64, LedgerError> {
        self.commit_erasing(rows, events, Gone::default(), rng)
    }

    /// [`Ledger::commit`] of what also takes something away for good. No other commit may be under way with values
    /// under a key that goes. The keys are out of the store with this commit and out of the world with the next
    /// [`finalise`].
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was taken, unless the commit error is fatal.
    pub fn commit_erasing(
        &mut self,
        rows: &[Row],
        events: &[EventRow],
        gone: Gone<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<u64, LedgerError> {
        let generation = self.store.generation();
        let batch = Batch { generation, rows, events, erase: gone.keys, close: gone.events };
        let (changes, ticket) = self.vault.seal(batch, &self.store, rng)?;
        match self.store.commit(&changes) {
            Ok(generation) => {
                self.vault.committed(ticket);
                Ok(generation)
            }
            Err(error) => {
                self.vault.abandoned(ticket);
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The vault: seals every row before a back end sees it, and opens what a back end returns (protocol section 7.10).
//!
//! Row keys become blind keys, values become boxes bound to their place, and the key of each box is the service key,
//! the evidence key, or a random data key of one (case, class) or one letter, wrapped in a row of its own. Losing the
//! wrap is erasing the case. Formats: `vault/value.rs` and `vault/wrap.rs`.
//!
//! Refuses, while cases are locked, to seal or open a case; letters, service and evidence rows go on, so that a locked
//! node still receives (decision 21). Refuses a value that stands at another key, table or case than it was put. Knows
//! no format of any row and prints nothing.

mod deks;
mod error;
mod turn;
mod value;
mod wrap;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use clearhouse_protocol::rows::{EventRow, Row, Table, Under};
use rand_core::CryptoRng;

pub use error::VaultError;
pub use turn::Rewrapped;
pub use value::{KEY_MAX, Plain};

use crate::aead;
use crate::changes::{Changes, EventLeaf, Key, Put};
use crate::contract::{Store, StoreError};
use crate::keyfile::{ContentKeys, ServiceKeys};
use crate::secret::{SecretBytes, never};
use deks::{Deks, Lent};
use value::{Handle, Kind, Place, Tag};

/// Seals and opens rows. Shared by reference between tasks; holds its own copies of the keys it needs and wipes them
/// when dropped or locked. No `Debug`, no `Clone`.
pub struct Vault {
    data: SecretBytes,
    evidence: SecretBytes,
    index: SecretBytes,
    deks: Mutex<Deks>,
}
never!(Vault: std::fmt::Debug, Clone);

/// Where the vault looks for a wrapped key before it makes a new one. Every [`Store`] is one.
pub trait WrapSource {
    /// The value of a row of the wrap table; `None` when there is no such row.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be known. Must never be turned into `None`: a second key would be made.
    fn wrap(&self, row: &Key) -> Result<Option<Vec<u8>>, StoreError>;
}

impl<S: Store + ?Sized> WrapSource for S {
    fn wrap(&self, row: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Table::Wrap as u8, row)
    }
}

/// What one commit is to say, in clear.
#[derive(Clone, Copy, Default)]
pub struct Batch<'a> {
    /// The store's generation the caller decided upon.
    pub generation: u64,
    /// Rows, in the order decided. Of several at one key the last stands.
    pub rows: &'a [Row],
    /// The node's record of its own acts.
    pub events: &'a [EventRow],
    /// Cases, classes and letters whose data keys go: nothing sealed under them opens again once the wrapping keys
    /// turn. Service and evidence have no data key and are passed over.
    pub erase: &'a [Under],
    /// Earlier events whose salt and opening go.
    pub close: &'a [u64],
}

/// Says how a sealed batch ended: give it to [`Vault::committed`] or [`Vault::abandoned`]. Forgetting it costs a wrap
/// written twice; after an erasure it keeps that key refused.
#[must_use = "tell the vault how the commit ended"]
pub struct Ticket {
    wraps: BTreeSet<Handle>,
    erased: BTreeSet<Handle>,
}

impl Vault {
    /// A vault with the keys of an open key file; locked when `content` is `None`.
    ///
    /// # Errors
    /// [`VaultError::OtherEpoch`] when the two do not belong together.
    pub fn new(service: &ServiceKeys, content: Option<&ContentKeys>) -> Result<Self, VaultError> {
        let deks = Deks::new(service.epoch, service.nmk.duplicate(), None);
        let vault = Self {
            data: service.data.duplicate(),
            evidence: service.evidence.duplicate(),
            index: service.index.duplicate(),
            deks: Mutex::new(deks),
        };
        content.map_or(Ok(()), |content| vault.unlock(content))?;
        Ok(vault)
    }

    /// Lets cases be sealed and opened.
    ///
    /// # Errors
    /// [`VaultError::OtherEpoch`].
    pub fn unlock(&self, content: &ContentKeys) -> Result<(), VaultError> {
        let mut deks = self.deks();
        if content.epoch != deks.epoch {
            return Err(VaultError::OtherEpoch);
        }
        deks.content = Some(content.nmk.duplicate());
        Ok(())
    }

    /// Drops and wipes every key of every case, at once.
    pub fn lock(&self) {
        self.deks().lock();
    }

    /// Whether cases are locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.deks().content.is_none()
    }

    /// The epoch of the wrapping keys.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.deks().epoch
    }

    /// The blind key under which a row stands.
    #[must_use]
    pub fn blind(&self, table: Table, key: &[u8]) -> Key {
        wrap::blind(&self.index, table as u8, key)
    }

    /// Seals one batch. Two sealings of the same batch differ. New data keys travel as wraps in the same batch.
    ///
    /// # Errors
    /// [`VaultError::Locked`] for a value of a case while cases are locked (removing is allowed);
    /// [`VaultError::WrapTable`]; [`VaultError::NotNew`]; [`VaultError::BeingErased`]; [`VaultError::Turning`];
    /// [`VaultError::KeyTooLong`]; [`VaultError::ValueTooLong`]; [`VaultError::WrapDamaged`]; [`VaultError::Store`].
    pub fn seal(
        &self,
        batch: Batch<'_>,
        source: &(impl WrapSource + ?Sized),
        rng: &mut impl CryptoRng,
    ) -> Result<(Changes, Ticket), VaultError> {
        let erase: BTreeSet<Handle> = batch.erase.iter().filter_map(|under| self.data_key(*under)).collect();
        let mut sealed = Sealed::default();
        for row in batch.rows {
            self.seal_row(row, &erase, &mut sealed, source, rng)?;
        }
        let epoch = self.deks().epoch;
        for handle in &erase {
            sealed.rows.insert((Table::Wrap as u8, wrap::row_key(&self.index, handle, epoch)), None);
        }
        let mut changes = Changes { generation: batch.generation, ..Changes::default() };
        for ((table, key), value) in sealed.rows {
            match value {
                Some(value) => changes.puts.push(Put { table, key, value }),
                None => changes.dels.push((table, key)),
            }
        }
        changes.must_be_new.extend(sealed.must_be_new);
        for event in batch.events {
            changes.events.push(self.seal_event(event, rng)?);
        }
        changes.closes = batch.close.to_vec();
        self.deks().start_erasing(&erase);
        Ok((changes, Ticket { wraps: sealed.wraps, erased: erase }))
    }

    /// The batch of this ticket is durable.
    pub fn committed(&self, ticket: Ticket) {
        let mut deks = self.deks();
        deks.confirm(&ticket.wraps);
        deks.erased(&ticket.erased);
    }

    /// The batch of this ticket was refused and will never be committed.
    pub fn abandoned(&self, ticket: Ticket) {
        self.deks().stop_erasing(&ticket.erased);
    }

    /// Opens the value that stands at a blind key.
    ///
    /// # Errors
    /// [`VaultError::Locked`]; [`VaultError::Damaged`]; [`VaultError::Erased`]; [`VaultError::Newer`];
    /// [`VaultError::WrapDamaged`]; [`VaultError::Store`].
    pub fn open(
        &self,
        table: Table,
        blind: &Key,
        value: &[u8],
        source: &(impl WrapSource + ?Sized),
    ) -> Result<Plain, VaultError> {
        let table = table as u8;
        let parsed = value::parse(&self.index, table, value)?;
        let key = self.key_for_opening(table, parsed.tag, source)?;
        value::open(&parsed, &key, Place { table, blind })
    }

    /// [`Vault::open`] of the value of a logical key.
    ///
    /// # Errors
    /// Those of [`Vault::open`].
    pub fn open_at(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        source: &(impl WrapSource + ?Sized),
    ) -> Result<Plain, VaultError> {
        self.open(table, &self.blind(table, key), value, source)
    }

    /// The wrap row that has to be fetched before this value can be opened; `None` when none is needed. For callers
    /// that cannot reach the store while opening.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], [`VaultError::Newer`].
    pub fn wanted_wrap(&self, table: Table, value: &[u8]) -> Result<Option<Key>, VaultError> {
        let tag = value::parse(&self.index, table as u8, value)?.tag;
        let deks = self.deks();
        let wanted = matches!(tag.kind, Kind::Case | Kind::Letter) && deks.lend(&tag.handle).is_none();
        Ok(wanted.then(|| wrap::row_key(&self.index, &tag.handle, deks.epoch)))
    }

    /// Opens an event leaf.
    ///
    /// # Errors
    /// [`VaultError::Erased`] for one that was closed; [`VaultError::Damaged`] (table 0), [`VaultError::Newer`].
    pub fn open_event(&self, leaf: &EventLeaf) -> Result<EventRow, VaultError> {
        let damaged = || VaultError::Damaged { table: EVENT_TABLE };
        // A leaf lost with the journal is empty too; it has lost its commitment as well.
        if leaf.sealed.is_empty() && leaf.commitment != [0; 32] {
            return Err(VaultError::Erased);
        }
        let (version, framed) = leaf.sealed.split_first().ok_or_else(damaged)?;
        if *version > value::VERSION {
            return Err(VaultError::Newer { found: *version, known: value::VERSION });
        }
        let aad = event_aad(*version, leaf.index, &leaf.commitment);
        let plain = aead::open_framed(&self.evidence, &aad, framed).map_err(|_| damaged())?;
        let (salt, opening) = plain.split_first_chunk::<32>().ok_or_else(damaged)?;
        Ok(EventRow { index: leaf.index, commitment: leaf.commitment, salt: *salt, opening: opening.to_vec() })
    }

    fn seal_event(&self, event: &EventRow, rng: &mut impl CryptoRng) -> Result<EventLeaf, VaultError> {
        let (index, commitment) = (event.index, event.commitment);
        let aad = event_aad(value::VERSION, index, &commitment);
        let nonce = aead::nonce(rng);
        let mut prefix = [value::VERSION; 1 + aead::NONCE_LEN];
        prefix[1..].copy_from_slice(&nonce);
        let sealed = aead::seal_after(&prefix, &self.evidence, &nonce, &aad, &[&event.salt, &event.opening])?;
        Ok(EventLeaf { index, commitment, sealed })
    }

    fn seal_row(
        &self,
        row: &Row,
        erase: &BTreeSet<Handle>,
        sealed: &mut Sealed,
        source: &(impl WrapSource + ?Sized),
        rng: &mut impl CryptoRng,
    ) -> Result<(), VaultError> {
        if row.table == Table::Wrap {
            return Err(VaultError::WrapTable);
        }
        let place = (row.table as u8, self.blind(row.table, &row.key));
        if row.must_be_new {
            if matches!(sealed.rows.get(&place), Some(Some(_))) {
                return Err(VaultError::NotNew { table: place.0 });
            }
            sealed.must_be_new.insert(place);
        }
        let Some(value) = &row.value else {
            sealed.rows.insert(place, None);
            return Ok(());
        };
        let tag = wrap::tag(&self.index, row.under);
        if erase.contains(&tag.handle) {
            return Err(VaultError::BeingErased);
        }
        let key = self.key_for_sealing(tag, sealed, source, rng)?;
        let at = Place { table: place.0, blind: &place.1 };
        let bytes = value::seal((&self.index, &key), tag, at, (&row.key, value), rng)?;
        sealed.rows.insert(place, Some(bytes));
        Ok(())
    }

    fn key_for_sealing(
        &self,
        tag: Tag,
        sealed: &mut Sealed,
        source: &(impl WrapSource + ?Sized),
        rng: &mut impl CryptoRng,
    ) -> Result<SecretBytes, VaultError> {
        match tag.kind {
            Kind::Service => return Ok(self.data.duplicate()),
            Kind::Evidence => return Ok(self.evidence.duplicate()),
            Kind::Case | Kind::Letter => {}
        }
        let (known, row) = self.known(tag)?;
        self.deks().check_writable(&tag.handle)?;
        let Lent { key, wrap, is_new } = match known {
            Some(lent) => lent,
            None => match source.wrap(&row)? {
                Some(wrap) => self.deks().admit(tag, &row, &wrap)?,
                None => self.deks().make(tag, row, rng)?,
            },
        };
        if let Some(wrap) = wrap {
            let place = (Table::Wrap as u8, wrap.row);
            if is_new {
                sealed.must_be_new.insert(place);
            }
            sealed.rows.insert(place, Some(wrap.bytes));
            sealed.wraps.insert(tag.handle);
        }
        Ok(key)
    }

    fn key_for_opening(
        &self,
        table: u8,
        tag: Tag,
        source: &(impl WrapSource + ?Sized),
    ) -> Result<SecretBytes, VaultError> {
        match tag.kind {
            Kind::Service | Kind::Evidence if tag.handle != [0; value::HANDLE_LEN] => {
                return Err(VaultError::Damaged { table });
            }
            Kind::Service => return Ok(self.data.duplicate()),
            Kind::Evidence => return Ok(self.evidence.duplicate()),
            Kind::Case | Kind::Letter => {}
        }
        let (known, row) = self.known(tag)?;
        if let Some(lent) = known {
            return Ok(lent.key);
        }
        let wrap = source.wrap(&row)?.ok_or(VaultError::Erased)?;
        Ok(self.deks().admit(tag, &row, &wrap)?.key)
    }

    /// The data key if it is open, and where its wrap stands. Refuses cases while they are locked.
    fn known(&self, tag: Tag) -> Result<(Option<Lent>, Key), VaultError> {
        let deks = self.deks();
        deks.nmk(tag.kind)?;
        Ok((deks.lend(&tag.handle), wrap::row_key(&self.index, &tag.handle, deks.epoch)))
    }

    fn data_key(&self, under: Under) -> Option<Handle> {
        let tag = wrap::tag(&self.index, under);
        matches!(tag.kind, Kind::Case | Kind::Letter).then_some(tag.handle)
    }

    fn deks(&self) -> MutexGuard<'_, Deks> {
        // A panic elsewhere must not keep us from locking: the state is consistent after every statement.
        self.deks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch on its way to [`Changes`], ordered by place so that the order of decisions does not reach the disk.
#[derive(Default)]
struct Sealed {
    rows: BTreeMap<(u8, Key), Option<Vec<u8>>>,
    must_be_new: BTreeSet<(u8, Key)>,
    wraps: BTreeSet<Handle>,
}

/// Stands for the event leaves where a table number is asked for; no table has it.
const EVENT_TABLE: u8 = 0;

fn event_aad(version: u8, index: u64, commitment: &[u8; 32]) -> Vec<u8> {
    pae_parts(labels::VALUE, &[&[EVENT_TABLE], &index.to_be_bytes(), commitment, &[version]])
}

#[cfg(test)]
mod tests;

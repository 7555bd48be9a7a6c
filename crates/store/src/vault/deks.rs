//! The data keys in memory: which are open, which are not yet durable, which are being erased.
//!
//! A new data key is *unconfirmed* until the commit that carries its wrap is durable; until then every batch sealed
//! under it carries the same wrap again. So a value is never on disk without its key, whichever of the batches fails.
//! Refuses to seal under a key that is being erased.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use crate::changes::Key;
use crate::secret::SecretBytes;
use crate::vault::error::VaultError;
use crate::vault::value::{Handle, Kind, Tag};
use crate::vault::wrap;

/// Data keys kept open at once. Above it all durable ones are dropped and fetched again when asked for.
pub(super) const DEKS_MAX: usize = 4096;

/// The wrapping keys of one epoch and the data keys they opened.
pub(super) struct Deks {
    pub(super) epoch: u32,
    pub(super) service: SecretBytes,
    pub(super) content: Option<SecretBytes>,
    /// Keys are being wrapped for the next epoch: no new ones now.
    pub(super) turning: bool,
    open: BTreeMap<Handle, Dek>,
    erasing: BTreeSet<Handle>,
}

struct Dek {
    kind: Kind,
    key: SecretBytes,
    /// Its wrap, while no commit that carries it is known to be durable.
    unconfirmed: Option<Wrap>,
}

/// A wrap row to be written.
#[derive(Clone)]
pub(super) struct Wrap {
    pub(super) row: Key,
    pub(super) bytes: Vec<u8>,
}

/// A data key to seal with, and the wrap that has to travel in the same batch.
pub(super) struct Lent {
    pub(super) key: SecretBytes,
    pub(super) wrap: Option<Wrap>,
    /// The wrap was made just now: the commit must find none.
    pub(super) is_new: bool,
}

impl Deks {
    pub(super) fn new(epoch: u32, service: SecretBytes, content: Option<SecretBytes>) -> Self {
        Self { epoch, service, content, turning: false, open: BTreeMap::new(), erasing: BTreeSet::new() }
    }

    /// The key that wraps keys of this kind.
    pub(super) fn nmk(&self, kind: Kind) -> Result<&SecretBytes, VaultError> {
        match kind {
            Kind::Case => self.content.as_ref().ok_or(VaultError::Locked),
            Kind::Letter => Ok(&self.service),
            Kind::Service | Kind::Evidence => Err(VaultError::WrapDamaged),
        }
    }

    /// A data key that is open already.
    pub(super) fn lend(&self, handle: &Handle) -> Option<Lent> {
        let dek = self.open.get(handle)?;
        Some(Lent { key: dek.key.duplicate(), wrap: dek.unconfirmed.clone(), is_new: false })
    }

    /// Opens a wrap from the store and keeps the key.
    pub(super) fn admit(&mut self, tag: Tag, row: &Key, wrap: &[u8]) -> Result<Lent, VaultError> {
        if let Some(lent) = self.lend(&tag.handle) {
            return Ok(lent);
        }
        let label = wrap::label(wrap)?;
        let (key, handle) = wrap::open(self.nmk(tag.kind)?, row, wrap)?;
        if (label.kind, label.epoch, handle) != (tag.kind, self.epoch, tag.handle) {
            return Err(VaultError::WrapDamaged);
        }
        let copy = key.duplicate();
        self.keep(tag, Dek { kind: tag.kind, key, unconfirmed: None });
        Ok(Lent { key: copy, wrap: None, is_new: false })
    }

    /// Makes a new data key, for a handle that has no wrap in the store.
    pub(super) fn make(&mut self, tag: Tag, row: Key, rng: &mut impl CryptoRng) -> Result<Lent, VaultError> {
        if let Some(lent) = self.lend(&tag.handle) {
            return Ok(lent);
        }
        if self.turning {
            return Err(VaultError::Turning);
        }
        let key = SecretBytes::random(rng);
        let bytes = wrap::seal(self.nmk(tag.kind)?, &row, tag, self.epoch, &key, rng)?;
        let (wrap, copy) = (Wrap { row, bytes }, key.duplicate());
        self.keep(tag, Dek { kind: tag.kind, key, unconfirmed: Some(wrap.clone()) });
        Ok(Lent { key: copy, wrap: Some(wrap), is_new: true })
    }

    /// Refuses a handle that is being erased.
    pub(super) fn check_writable(&self, handle: &Handle) -> Result<(), VaultError> {
        if self.erasing.contains(handle) { Err(VaultError::BeingErased) } else { Ok(()) }
    }

    /// The wraps of these handles are durable.
    pub(super) fn confirm(&mut self, handles: &BTreeSet<Handle>) {
        for handle in handles {
            if let Some(dek) = self.open.get_mut(handle) {
                dek.unconfirmed = None;
            }
        }
    }

    /// From now on nothing is sealed under these handles.
    pub(super) fn start_erasing(&mut self, handles: &BTreeSet<Handle>) {
        self.erasing.extend(handles);
    }

    /// The batch that erases them is durable: drop the keys. A later value gets a new key.
    pub(super) fn erased(&mut self, handles: &BTreeSet<Handle>) {
        for handle in handles {
            self.open.remove(handle);
            self.erasing.remove(handle);
        }
    }

    /// The batch that should have erased them will never be committed.
    pub(super) fn stop_erasing(&mut self, handles: &BTreeSet<Handle>) {
        for handle in handles {
            self.erasing.remove(handle);
        }
    }

    /// Drops the content key and every case's data keys.
    pub(super) fn lock(&mut self) {
        self.content = None;
        self.open.retain(|_, dek| dek.kind != Kind::Case);
    }

    /// Drops the data keys whose wraps are not known to be durable.
    pub(super) fn drop_unconfirmed(&mut self) {
        self.open.retain(|_, dek| dek.unconfirmed.is_none());
    }

    /// How many data keys are open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn keep(&mut self, tag: Tag, dek: Dek) {
        if self.open.len() >= DEKS_MAX {
            self.open.retain(|_, dek| dek.unconfirmed.is_some());
        }
        self.open.insert(tag.handle, dek);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn tag(n: usize) -> Tag {
        let mut handle = [0; 16];
        handle[..8].copy_from_slice(&(n as u64).to_le_bytes());
        Tag { kind: Kind::Letter, handle }
    }

    #[test]
    fn keys_are_kept_up_to_the_limit_and_only_durable_ones_are_dropped_at_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut deks = Deks::new(1, SecretBytes::random(&mut rng), None);
        for n in 0..DEKS_MAX {
            deks.make(tag(n), [0; 32], &mut rng).ok().unwrap();
        }
        deks.confirm(&(2..DEKS_MAX).map(|n| tag(n).handle).collect());
        assert_eq!(deks.len(), DEKS_MAX, "below the limit nothing is fetched twice");
        deks.make(tag(DEKS_MAX), [0; 32], &mut rng).ok().unwrap();
        // The two whose wraps are on no disk, and the new one.
        assert_eq!(deks.len(), 3);
        assert!([0, 1, DEKS_MAX].iter().all(|n| deks.lend(&tag(*n).handle).is_some()));
        deks.drop_unconfirmed();
        assert_eq!(deks.len(), 0);
    }
}

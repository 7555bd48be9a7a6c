//! Erasing for good: every data key that survives is wrapped anew under the keys of the next epoch, and the old
//! wrapping keys are then destroyed with the old key file (protocol section 7.10, decision 20, attack case 34).
//!
//! The order is kept by [`erasure`](crate::erasure): `begin_turn`; `rewrap` every page of the wrap table and commit what
//! it returns; replace the key file; `end_turn`; remove the `unusable_wraps`. Refuses new data keys in between: they
//! would be left behind.

use std::collections::BTreeSet;

use clearhouse_protocol::rows::{Table, Under};
use rand_core::CryptoRng;

use crate::changes::{Key, Put};
use crate::keyfile::{ContentKeys, NextEpoch, ServiceKeys};
use crate::vault::deks::Deks;
use crate::vault::error::VaultError;
use crate::vault::value::{Handle, Kind, Tag};
use crate::vault::{Vault, wrap};

/// What one page of the wrap table becomes.
#[derive(Default)]
pub struct Rewrapped {
    /// Wraps of the next epoch, to be committed before the key file is replaced. They may overwrite what an erasure
    /// that was cut short left.
    pub puts: Vec<Put>,
}

impl Vault {
    /// Stops the making of new data keys. Call it when no commit is under way.
    ///
    /// # Errors
    /// [`VaultError::Locked`].
    pub fn begin_turn(&self) -> Result<(), VaultError> {
        let mut deks = self.deks();
        deks.nmk(Kind::Case)?;
        deks.drop_unconfirmed();
        deks.turning = true;
        Ok(())
    }

    /// Gives up a turn before the key file was replaced.
    pub fn abandon_turn(&self) {
        self.deks().turning = false;
    }

    /// Wraps one page of the wrap table (row key, value) for the next epoch, leaving out what `erased` names.
    ///
    /// # Errors
    /// [`VaultError::Turning`] unless [`Vault::begin_turn`] was called; [`VaultError::OtherEpoch`];
    /// [`VaultError::Locked`]; [`VaultError::WrapDamaged`]: then nothing may be erased, or a survivor would be lost.
    pub fn rewrap(
        &self,
        next: &NextEpoch,
        page: &[(Key, Vec<u8>)],
        erased: &[Under],
        rng: &mut impl CryptoRng,
    ) -> Result<Rewrapped, VaultError> {
        let erased: BTreeSet<Handle> = erased.iter().filter_map(|under| self.data_key(*under)).collect();
        let deks = self.deks();
        if !deks.turning {
            return Err(VaultError::Turning);
        }
        if Some(next.service().epoch) != deks.epoch.checked_add(1) {
            return Err(VaultError::OtherEpoch);
        }
        let mut out = Rewrapped::default();
        for (row, bytes) in page {
            self.rewrap_one(&deks, next, (row, bytes), &erased, &mut out, rng)?;
        }
        Ok(out)
    }

    /// The key file is of the next epoch now: takes its keys and drops every data key, the erased ones for good.
    ///
    /// # Errors
    /// [`VaultError::OtherEpoch`].
    pub fn end_turn(&self, service: &ServiceKeys, content: Option<&ContentKeys>) -> Result<(), VaultError> {
        let mut deks = self.deks();
        let follows = Some(service.epoch) == deks.epoch.checked_add(1);
        if !follows || content.is_some_and(|content| content.epoch != service.epoch) {
            return Err(VaultError::OtherEpoch);
        }
        *deks = Deks::new(service.epoch, service.nmk.duplicate(), content.map(|content| content.nmk.duplicate()));
        Ok(())
    }

    /// The wraps of a page that are of another epoch than the vault: no key opens them, and they may be removed.
    ///
    /// # Errors
    /// [`VaultError::WrapDamaged`], [`VaultError::Newer`].
    pub fn unusable_wraps(&self, page: &[(Key, Vec<u8>)]) -> Result<Vec<(u8, Key)>, VaultError> {
        let epoch = self.deks().epoch;
        let labels = page.iter().map(|(row, bytes)| Ok((wrap::label(bytes)?.epoch, *row)));
        let labels: Vec<(u32, Key)> = labels.collect::<Result<_, VaultError>>()?;
        Ok(labels.into_iter().filter(|(of, _)| *of != epoch).map(|(_, row)| (Table::Wrap as u8, row)).collect())
    }

    fn rewrap_one(
        &self,
        deks: &Deks,
        next: &NextEpoch,
        (row, bytes): (&Key, &[u8]),
        erased: &BTreeSet<Handle>,
        out: &mut Rewrapped,
        rng: &mut impl CryptoRng,
    ) -> Result<(), VaultError> {
        let table = Table::Wrap as u8;
        let label = wrap::label(bytes)?;
        if label.epoch != deks.epoch {
            // Left by an erasure that was cut short: no key opens it.
            return Ok(());
        }
        let (dek, handle) = wrap::open(deks.nmk(label.kind)?, row, bytes)?;
        if erased.contains(&handle) {
            return Ok(());
        }
        let nmk = match label.kind {
            Kind::Case => &next.content().nmk,
            Kind::Letter | Kind::Service | Kind::Evidence => &next.service().nmk,
        };
        let epoch = next.service().epoch;
        let key = wrap::row_key(&self.index, &handle, epoch);
        let value = wrap::seal(nmk, &key, Tag { kind: label.kind, handle }, epoch, &dek, rng)?;
        out.puts.push(Put { table, key, value });
        Ok(())
    }
}

//! Whether a folder that was put back is the node that the backup says: the store opens and is whole, every row opens with
//! the keys, and the entries are those that were signed. Used when one is made, when one is verified, and when one is
//! restored. Changes nothing but the index, which every opening derives.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::leaf_hash;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::rows::Table;
use clearhouse_store::backup::keys::About;
use clearhouse_store::vault::{Vault, VaultError};
use clearhouse_store::{DurableStore, Store, Weight};

use super::BackupFault;
use crate::setup::files;

/// Rows and entries looked at in one page.
const PAGE: usize = 1000;
/// Where the text of the last head stands in the file of heads, which is authenticated by the service keys: see
/// [`clearhouse_store::heads`].
const HEAD_AT: usize = 17 + 4 + 8 + 8 + 4;

/// Makes a folder that only this user may enter.
pub(super) fn make_folder(path: &Path) -> Result<(), BackupFault> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| BackupFault::File { path: path.to_owned(), source })
}

/// Checks the node in `folder`; gives the text of the head that was signed last. With `deep`, reads every file again and
/// opens every row.
///
/// # Errors
/// [`BackupFault::Differs`] and what could not be read.
pub(super) fn check(folder: &Path, about: &About, vault: &Vault, deep: bool) -> Result<Vec<u8>, BackupFault> {
    let differs = |what: &str| BackupFault::Differs(what.to_owned());
    let opened = DurableStore::open(&folder.join(files::STORE));
    let (mut store, findings) = opened.map_err(|error| BackupFault::Differs(error.to_string()))?;
    if let Some(bad) = findings.iter().find(|finding| finding.weight() >= Weight::Loss) {
        return Err(BackupFault::Differs(bad.to_string()));
    }
    let stats = store.stats();
    if (stats.generation, stats.rows, stats.events) != (about.generation, about.rows, about.events)
        || stats.digest != *about.digest
    {
        return Err(differs("the store holds other rows"));
    }
    if deep {
        if let Some(bad) = store.scrub()?.iter().find(|finding| finding.weight() >= Weight::Loss) {
            return Err(BackupFault::Differs(bad.to_string()));
        }
        check_rows(&store, vault)?;
    }
    let path = folder.join(files::HEADS);
    let image = fs::read(&path).map_err(|source| BackupFault::File { path, source })?;
    let head = image.get(HEAD_AT..image.len().saturating_sub(32)).ok_or_else(|| differs("its file of heads is cut"))?;
    check_log(&store, head)?;
    Ok(head.to_vec())
}

fn check_rows(store: &DurableStore, vault: &Vault) -> Result<(), BackupFault> {
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Wrap) {
        let mut after = None;
        loop {
            let page = store.scan(table as u8, after, PAGE)?;
            let shut = |(key, value): &(_, Vec<u8>)| match vault.open(table, key, value, store) {
                // What was erased stays erased, here as there.
                Ok(_) | Err(VaultError::Erased) => false,
                Err(_) => true,
            };
            if !page.damaged.is_empty() || page.rows.iter().any(shut) {
                return Err(BackupFault::Differs(format!("values of table {table:?} do not open")));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// The entries must be those under the last head.
fn check_log(store: &DurableStore, head: &[u8]) -> Result<(), BackupFault> {
    let differs = || BackupFault::Differs("the log is not the one that was signed".to_owned());
    if head.is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(head).map_err(|_| differs())?;
    let head = Checkpoint::parse(text).map_err(|_| differs())?;
    let mut edge = Edge::default();
    while edge.size() < head.size {
        let wanted = usize::try_from(head.size - edge.size()).unwrap_or(usize::MAX).min(PAGE);
        let page = store.commitments(edge.size(), wanted)?;
        if page.is_empty() {
            return Err(differs());
        }
        page.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
    }
    if edge.root() == head.root { Ok(()) } else { Err(differs()) }
}

//! A backup: everything a node keeps as of one commit, in two files (protocol section 7.10).
//!
//! * the *records*: configuration and store as they lie, which is sealed; see [`records`];
//! * the *keys*: what opens them, sealed to the organisation's recovery key; see [`keys`].
//!
//! Two files and not one: destroying the keys of an older backup makes noise of its records, and a small file of its own can
//! be overwritten and removed where a header in the middle of a large one could only be hoped to go. Refuses to open
//! anything: whoever restores does.

pub mod keys;
pub mod records;

use std::fs;
use std::io;
use std::path::Path;

use crate::compaction::refused;
use crate::contract::StoreError;
use crate::durable::DurableStore;
use crate::files::{failed, private_folder, sync_folder};
use crate::format::{BODIES_DIR, FORMAT_FILE, segment_name};
use crate::journal::{Journal, segments_after};

/// See [`Store::pin`](crate::contract::Store::pin).
pub(crate) fn pin(store: &mut DurableStore, into: &Path) -> Result<(), StoreError> {
    let from = store.folder.dir.clone();
    // Whatever was appended so far is in segments that nothing is appended to any more.
    store.journal.roll().map_err(|error| refused(error, &from))?;
    let end = store.journal.end();
    let link = |name: &str| {
        let (old, new) = (from.join(name), into.join(name));
        match fs::hard_link(&old, &new) {
            // Linked beforehand, or a body that two rows name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(failed("copying", &old)),
        }
    };
    private_folder(into).map_err(failed("making", into))?;
    private_folder(&into.join(BODIES_DIR)).map_err(failed("making", into))?;
    link(FORMAT_FILE)?;
    let base = store.snapshot.point.seq;
    if base > 0 {
        let name = store.snapshot.path(&from);
        link(&crate::files::short_name(&name))?;
    }
    for archive in &store.snapshot.archives {
        link(&archive.file())?;
    }
    for first in segments_after(&from, base).map_err(failed("listing", &from))? {
        // The segment that is appended to next has a beginning of its own here.
        if first <= end.seq {
            link(&segment_name(first))?;
        }
    }
    Journal::create_segment(into, &store.folder.id, &end).map_err(failed("making a segment in", into))?;
    for hash in store.bodies.live() {
        link(&crate::bodies::Bodies::file(hash))?;
    }
    sync_folder(into).map_err(failed("confirming", into))
}

#[cfg(test)]
mod tests;

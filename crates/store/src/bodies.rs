//! Large values, each a file of its own named by the SHA-256 of its (sealed) bytes.
//!
//! A body is written, synced, renamed and its folder synced *before* the journal record that names it, so a record
//! never names what is not there. It is removed after the record that drops it is durable. What a crash leaves between
//! is an orphan, collected at the next start that finds nothing wrong. Refuses to return a byte that does not match
//! the name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{hex, unhex};

use crate::contract::{CommitError, StoreError};
use crate::files::{failed, length, names, private_folder, sync_folder, write_then_rename};
use crate::format::{BODIES_DIR, Hash, digest};

/// The bodies of a store, and how many rows name each.
pub(crate) struct Bodies {
    dir: PathBuf,
    live: BTreeMap<Hash, u32>,
}

impl Bodies {
    /// Opens the folder, making it if needed. No body counts as live yet.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let dir = store.join(BODIES_DIR);
        private_folder(&dir)?;
        Ok(Self { dir, live: BTreeMap::new() })
    }

    /// Starts over with the bodies that rows name.
    pub(crate) fn set_live(&mut self, live: BTreeMap<Hash, u32>) {
        self.live = live;
    }

    /// The file of a body, relative to the store's folder.
    pub(crate) fn file(hash: &Hash) -> String {
        format!("{BODIES_DIR}/{}", hex(hash))
    }

    /// Makes bodies durable. One that is there already is written again: its bytes may have rotted since. Returns them,
    /// to be handed to [`Bodies::discard`] if the commit that names them fails.
    ///
    /// # Errors
    /// [`CommitError::Full`], [`CommitError::NotTaken`]: nothing is left behind. [`CommitError::Fatal`] when the folder
    /// could not be synced: a second try might succeed without the first one's entries.
    pub(crate) fn write(&self, bodies: &[(Hash, &[u8])]) -> Result<Vec<Hash>, CommitError> {
        let mut made = Vec::new();
        for (hash, bytes) in bodies {
            if let Err(source) = write_then_rename(&self.path(hash), |out| out.write_all(bytes)) {
                self.discard(&made);
                return Err(CommitError::not_taken("writing a body", source));
            }
            made.push(*hash);
        }
        if !made.is_empty() {
            let doing = "confirming the folder of bodies";
            sync_folder(&self.dir).map_err(|source| CommitError::Fatal { doing, source })?;
        }
        Ok(made)
    }

    /// Removes bodies of a commit that failed. What cannot be removed is collected at the next start.
    pub(crate) fn discard(&self, made: &[Hash]) {
        for hash in made.iter().filter(|hash| !self.live.contains_key(*hash)) {
            let _ = fs::remove_file(self.path(hash));
        }
    }

    /// Counts the rows of a durable commit in and out, and removes the bodies no row names any more.
    pub(crate) fn settle(&mut self, added: &[Hash], dropped: &[Hash]) {
        for hash in added {
            *self.live.entry(*hash).or_default() += 1;
        }
        for hash in dropped {
            let Some(count) = self.live.get_mut(hash) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.live.remove(hash);
                let _ = fs::remove_file(self.path(hash));
            }
        }
    }

    /// Reads a body and holds it against its name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is missing or is not what its name says.
    pub(crate) fn read(&self, hash: &Hash, len: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(hash);
        let damaged = || StoreError::Damaged { file: Self::file(hash), offset: 0 };
        // The length first: a file that grew is not read into memory.
        if !self.is_whole_length(hash, len) {
            return Err(damaged());
        }
        let bytes = fs::read(&path).map_err(failed("reading", &path))?;
        if digest(&bytes) == *hash { Ok(bytes) } else { Err(damaged()) }
    }

    /// Whether a file of that name and length is there. Says nothing about its bytes.
    pub(crate) fn is_whole_length(&self, hash: &Hash, len: u64) -> bool {
        length(&self.path(hash)).is_ok_and(|found| found == Some(len))
    }

    /// The bodies that rows name.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Hash> {
        self.live.keys()
    }

    /// Removes every file no row names, temporary ones included. Returns how many there were.
    pub(crate) fn sweep(&self) -> io::Result<u64> {
        let mut removed = 0;
        for name in names(&self.dir)? {
            let hash = unhex(&name).and_then(|bytes| Hash::try_from(bytes).ok());
            if !hash.is_some_and(|hash| self.live.contains_key(&hash)) {
                fs::remove_file(self.dir.join(name))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hex(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Bodies) {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path()).unwrap();
        (dir, bodies)
    }

    #[test]
    fn a_body_is_removed_with_the_last_row_that_names_it() {
        let (_dir, mut bodies) = opened();
        let hash = digest(b"large");
        bodies.write(&[(hash, b"large")]).unwrap();
        bodies.settle(&[hash, hash], &[]);
        bodies.settle(&[], &[hash]);
        assert_eq!(bodies.read(&hash, 5).unwrap(), b"large");
        bodies.settle(&[], &[hash]);
        assert!(matches!(bodies.read(&hash, 5), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_changed_a_grown_and_a_missing_body_are_damage() {
        let (_dir, bodies) = opened();
        let hash = digest(b"large");
        bodies.write(&[(hash, b"large")]).unwrap();
        fs::write(bodies.path(&hash), b"lArge").unwrap();
        assert!(matches!(bodies.read(&hash, 5), Err(StoreError::Damaged { .. })));
        fs::write(bodies.path(&hash), b"larger").unwrap();
        assert!(matches!(bodies.read(&hash, 5), Err(StoreError::Damaged { .. })));
        fs::remove_file(bodies.path(&hash)).unwrap();
        assert!(matches!(bodies.read(&hash, 5), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_sweep_removes_what_no_row_names_and_nothing_else() {
        let (_dir, mut bodies) = opened();
        let (kept, orphan) = (digest(b"kept"), digest(b"orphan"));
        bodies.write(&[(kept, b"kept"), (orphan, b"orphan")]).unwrap();
        fs::write(bodies.dir.join("half.tmp"), b"").unwrap();
        bodies.settle(&[kept], &[]);
        assert_eq!(bodies.sweep().unwrap(), 2);
        assert_eq!(names(&bodies.dir).unwrap(), [hex(&kept)]);
    }

    #[test]
    fn writing_a_body_again_heals_it() {
        let (_dir, mut bodies) = opened();
        let hash = digest(b"large");
        bodies.write(&[(hash, b"large")]).unwrap();
        bodies.settle(&[hash], &[]);
        fs::write(bodies.path(&hash), b"lArge").unwrap();
        bodies.write(&[(hash, b"large")]).unwrap();
        assert_eq!(bodies.read(&hash, 5).unwrap(), b"large");
    }

    #[test]
    fn discarding_a_failed_commit_spares_a_body_another_row_names() {
        let (_dir, mut bodies) = opened();
        let hash = digest(b"large");
        bodies.write(&[(hash, b"large")]).unwrap();
        bodies.settle(&[hash], &[]);
        bodies.discard(&[hash]);
        assert!(bodies.is_whole_length(&hash, 5));
    }
}

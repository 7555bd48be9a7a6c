//! The folder of a store: whose it is, which version, and that only one process has it.
//!
//! The format file is written last when a store is made, so where it stands, a first segment stood too. Refuses a
//! folder with anything else in it, a newer version (untouched), and a second owner.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{hex, unhex};

use crate::contract::{StoreError, is_full};
use crate::files::{create_private, failed, length, names, private_folder, sync_folder, write_then_rename};
use crate::finding::Finding;
use crate::format::{
    BALLAST_FILE, BODIES_DIR, FORMAT_FILE, LOCK_FILE, PRODUCT, StoreId, TEMPORARY, VERSION, index_name, segment_name,
};
use crate::journal::Journal;
use crate::segment::{HEADING_LEN, Point};

/// Why a store could not be opened. Nothing was changed, except that space may have been given back.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error("{0}: this store is in use by another process; stop that one first")]
    InUse(PathBuf),
    /// The store was written by a newer version of this program.
    #[error("this store has format {found}, and this program reads up to {known}; install the newer program")]
    Newer {
        /// The store's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The folder holds something that is not a store.
    #[error("{0}: this folder is not a store of this program; give an empty folder or the right one")]
    NotAStore(PathBuf),
    /// The index has commits the journal does not: commits that were acknowledged are missing from the journal.
    /// Restore the journal, or accept the loss with a rebuild.
    #[error(
        "the index holds commit {index} but the journal ends at {journal}: acknowledged commits are missing from \
         {file}; restore it from a backup, or rebuild and ask the senders again"
    )]
    JournalBehind {
        /// The last commit of the index.
        index: u64,
        /// The last commit of the journal.
        journal: u64,
        /// The segment that ends too early.
        file: String,
    },
    /// The store is damaged in a way that cannot be worked around without losing what was acknowledged.
    #[error("{file}: damaged at byte {offset}; restore it from a backup, or rebuild and accept the loss")]
    Damaged {
        /// The file, relative to the store's folder.
        file: String,
        /// Where in it.
        offset: u64,
        /// What else was found on the way.
        findings: Vec<Finding>,
    },
    /// The disk is full, and the reserve is spent already.
    #[error("the disk is full, so the store cannot be opened; free some space")]
    Full,
    /// Reading or writing failed.
    #[error("{doing} {file} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file, relative to the store's folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged { file, offset } => Self::Damaged { file, offset, findings: Vec::new() },
            StoreError::Io { source, .. } if is_full(&source) => Self::Full,
            StoreError::Io { doing, file, source } => Self::Io { doing, file, source },
            StoreError::Refused(_) | StoreError::Stopped => {
                Self::Io { doing: "opening", file: String::new(), source: io::Error::other("the store has stopped") }
            }
        }
    }
}

/// A store's folder, owned by this process until this is dropped.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) id: StoreId,
    _lock: File,
}

impl Folder {
    /// Takes a folder, making a new store in it if it is missing or empty.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        if length(&dir.join(FORMAT_FILE)).map_err(failed("reading", dir))?.is_some() {
            // Read before anything is touched: a newer program's folder stays exactly as it is.
            read_format(dir)?;
            private_folder(dir).map_err(failed("opening", dir))?;
            let lock = lock(dir)?;
            return Ok(Self { dir: dir.to_owned(), id: read_format(dir)?, _lock: lock });
        }
        Self::create(dir)
    }

    /// Takes a folder that holds a store.
    ///
    /// # Errors
    /// [`OpenError::NotAStore`] when there is none in it.
    pub(crate) fn take_existing(dir: &Path) -> Result<Self, OpenError> {
        match length(&dir.join(FORMAT_FILE)).map_err(failed("reading", dir))? {
            Some(_) => Self::take(dir),
            None => Err(OpenError::NotAStore(dir.to_owned())),
        }
    }

    fn create(dir: &Path) -> Result<Self, OpenError> {
        if dir.exists() {
            refuse_strangers(dir)?;
        }
        private_folder(dir).map_err(failed("making", dir))?;
        let lock = lock(dir)?;
        let id = make(dir).map_err(failed("making a store in", dir))?;
        Ok(Self { dir: dir.to_owned(), id, _lock: lock })
    }
}

/// Makes the files of an empty store. The format file comes last: before it, the folder counts as unfinished.
fn make(dir: &Path) -> io::Result<StoreId> {
    let mut id = StoreId::default();
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    private_folder(&dir.join(BODIES_DIR))?;
    Journal::create_segment(dir, &id, &Point::genesis(&id))?;
    sync_folder(dir)?;
    let line = format_line(&id);
    write_then_rename(&dir.join(FORMAT_FILE), |out| out.write_all(line.as_bytes()))?;
    sync_folder(dir)?;
    Ok(id)
}

/// Refuses a folder with anything in it that an unfinished first start would not have left.
fn refuse_strangers(dir: &Path) -> Result<(), OpenError> {
    let first = segment_name(1);
    for name in names(dir).map_err(failed("listing", dir))? {
        let left_by_us = [LOCK_FILE, BALLAST_FILE].contains(&name.as_str())
            || name.ends_with(TEMPORARY)
            || (name == BODIES_DIR && names(&dir.join(BODIES_DIR)).is_ok_and(|bodies| bodies.is_empty()))
            || (name == first && length(&dir.join(&name)).is_ok_and(|len| len == Some(HEADING_LEN)));
        if !left_by_us {
            return Err(OpenError::NotAStore(dir.join(name)));
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let file = create_private(&path).map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("locking", &path)(source).into()),
    }
}

fn read_format(dir: &Path) -> Result<StoreId, OpenError> {
    let path = dir.join(FORMAT_FILE);
    let text = fs::read(&path).map_err(failed("reading", &path))?;
    let damaged = || OpenError::from(StoreError::Damaged { file: FORMAT_FILE.to_owned(), offset: 0 });
    let text = std::str::from_utf8(&text).map_err(|_| damaged())?;
    let mut words = text.strip_suffix('\n').ok_or_else(damaged)?.split(' ');
    if words.next() != Some(PRODUCT) {
        return Err(damaged());
    }
    let found: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(damaged)?;
    if found > VERSION {
        return Err(OpenError::Newer { found, known: VERSION });
    }
    let id = words.next().and_then(unhex).and_then(|bytes| StoreId::try_from(bytes).ok());
    id.filter(|id| text == format_line(id)).ok_or_else(damaged)
}

/// What the format file says, to the byte.
fn format_line(id: &StoreId) -> String {
    format!("{PRODUCT} {VERSION} {}\n", hex(id))
}

/// Removes an index, whatever state it is in.
pub(crate) fn remove_index(dir: &Path, base: u64) -> io::Result<()> {
    match fs::remove_dir_all(dir.join(index_name(base))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        assert!(matches!(Folder::take(dir.path()), Err(OpenError::InUse(_))));
        let id = first.id;
        drop(first);
        assert_eq!(Folder::take(dir.path()).unwrap().id, id);
    }

    #[test]
    fn a_newer_store_is_refused_and_left_exactly_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), "clearhouse-store 2 something else\n").unwrap();
        assert!(matches!(Folder::take(dir.path()), Err(OpenError::Newer { found: 2, known: 1 })));
        assert_eq!(names(dir.path()).unwrap(), [FORMAT_FILE]);
    }

    #[test]
    fn a_damaged_format_file_is_named() {
        let dir = crate::journal::tests::folder();
        drop(Folder::take(dir.path()).unwrap());
        let path = dir.path().join(FORMAT_FILE);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &changed).unwrap();
            let taken = Folder::take(dir.path());
            // "1" and "3" or "9" differ in a bit. The version is believed; the store is refused all the same.
            let named = matches!(taken, Err(OpenError::Damaged { .. } | OpenError::Newer { .. }));
            assert!(named || taken.is_ok_and(|folder| unnamed(&folder.id, &whole)), "bit {bit}");
        }
    }

    /// Another id than the file had: the first segment, which names its store, will not match.
    fn unnamed(id: &StoreId, whole: &[u8]) -> bool {
        !std::str::from_utf8(whole).unwrap().contains(&hex(id))
    }

    #[test]
    fn somebody_elses_folder_is_not_made_a_store() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("holiday.jpg"), b"").unwrap();
        assert!(matches!(Folder::take(dir.path()), Err(OpenError::NotAStore(_))));
        assert_eq!(names(dir.path()).unwrap(), ["holiday.jpg"]);
    }

    #[test]
    fn a_store_that_lost_its_format_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        drop(Folder::take(dir.path()).unwrap());
        fs::remove_file(dir.path().join(FORMAT_FILE)).unwrap();
        fs::write(dir.path().join(segment_name(1)), vec![0; 200]).unwrap();
        assert!(matches!(Folder::take(dir.path()), Err(OpenError::NotAStore(_))));
    }

    #[test]
    fn an_unfinished_first_start_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        drop(Folder::take(dir.path()).unwrap());
        fs::remove_file(dir.path().join(FORMAT_FILE)).unwrap();
        fs::write(dir.path().join("FORMAT.tmp"), b"clearh").unwrap();
        assert!(Folder::take(dir.path()).is_ok());
    }

    #[test]
    fn an_index_that_is_not_there_is_removed_and_one_that_cannot_be_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        remove_index(dir.path(), 7).unwrap();
        std::fs::write(dir.path().join(index_name(7)), b"no folder").unwrap();
        assert!(remove_index(dir.path(), 7).is_err());
    }
}

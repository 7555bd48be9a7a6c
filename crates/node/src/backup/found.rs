//! Which backups lie in a folder, what became of older ones, and when this node last made one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clearhouse_store::backup::keys::{self, About, KeysFile};
use serde::{Deserialize, Serialize};

use super::{BackupFault, KEYS_ENDING, RECORDS_ENDING};

/// Backups told of in one folder at most.
const FOUND_MAX: usize = 1000;
/// What this node remembers of its last backup, below its folder.
const LAST: &str = "backup.last";
/// Bytes of that.
const LAST_MAX: u64 = 8 << 10;
/// A backup that is this old has to be followed by another.
pub const DUE_SECS: u64 = 8 * clearhouse_protocol::limits::DAY;

/// One backup in a folder.
pub struct Found {
    /// Its records; they may be missing.
    pub records: PathBuf,
    /// Its keys.
    pub keys: PathBuf,
    /// What the keys say of it; `None` for keys that cannot be read.
    pub about: Option<About>,
}

/// The last backup that this node made and verified.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// When, unix seconds.
    pub made: u64,
    /// The epoch of the wrapping keys then: an erasure came since when it is another.
    pub epoch: u32,
    /// Where.
    pub file: String,
}

impl Last {
    /// What is remembered in a node's folder; `None` when there was none, or nothing can be made of it.
    #[must_use]
    pub fn read(data: &Path) -> Option<Self> {
        let path = data.join(LAST);
        let short = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LAST_MAX);
        short.then(|| fs::read_to_string(path).ok()).flatten().and_then(|text| toml::from_str(&text).ok())
    }

    /// Remembers it, whole or not at all.
    ///
    /// # Errors
    /// [`BackupFault::File`].
    pub fn write(&self, data: &Path) -> Result<(), BackupFault> {
        let (path, new) = (data.join(LAST), data.join("backup.last.new"));
        let write = || {
            let text = toml::to_string(self).map_err(std::io::Error::other)?;
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            crate::ground::sync(data)
        };
        write().map_err(|source| BackupFault::File { path, source })
    }
}

/// The file of keys of these records.
#[must_use]
pub fn keys_of(records: &Path) -> PathBuf {
    let mut name = records.as_os_str().to_owned();
    name.push(KEYS_ENDING);
    name.into()
}

/// The backups in a folder, the newest first.
///
/// # Errors
/// [`BackupFault::File`].
pub fn all(folder: &Path) -> Result<Vec<Found>, BackupFault> {
    let failed = |source| BackupFault::File { path: folder.to_owned(), source };
    let ending = format!("{RECORDS_ENDING}{KEYS_ENDING}");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_one = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(&ending));
        if is_one && found.len() < FOUND_MAX {
            let about = KeysFile::read(&path).ok().map(|file| file.about().clone());
            found.push(Found { records: path.with_extension(""), keys: path, about });
        }
    }
    found.sort_by_key(|one: &Found| std::cmp::Reverse(one.about.as_ref().map_or(0, |about| about.created)));
    Ok(found)
}

/// What became of the other backups in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Older {
    /// Of the same node and recovery key: their keys were destroyed.
    pub destroyed: usize,
    /// Of the same node and another recovery key. They stay: nobody has shown yet that the new key's sheets open anything,
    /// and only a person can tell when the old ones are not needed.
    pub other_key: usize,
    /// Keys that cannot be read, so that nobody knows whose they are. They stay.
    pub unreadable: usize,
}

/// Destroys the keys of every other backup of the same node in the folder that is sealed to the same recovery key, and
/// removes its records, which are noise then.
pub(super) fn destroy_older(folder: &Path, newest: &Path, about: &About) -> Result<Older, BackupFault> {
    let mut older = Older::default();
    for one in all(folder)?.into_iter().filter(|one| one.keys != newest) {
        match &one.about {
            None => older.unreadable += 1,
            Some(old) if old.node != about.node || old.net != about.net => {}
            Some(old) if old.key != about.key => older.other_key += 1,
            Some(_) => {
                destroy(&one.keys, &one.records)?;
                older.destroyed += 1;
            }
        }
    }
    Ok(older)
}

/// The keys first.
pub(super) fn destroy(keys: &Path, records: &Path) -> Result<(), BackupFault> {
    keys::destroy(keys)?;
    match fs::remove_file(records) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(BackupFault::File { path: records.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

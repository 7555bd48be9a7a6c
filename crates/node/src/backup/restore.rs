//! Putting a backup back into a folder that holds nothing, under a new pass phrase, and marked, so that the node asks
//! before it signs or sends anything. Starts nothing by itself.
//!
//! Refuses records that are not those of the keys, keys that this organisation's node did not make, and a backup that is
//! too old, unless told otherwise, or whose age this computer's clock cannot tell.

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_casework::forms::show_time;
use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::recovery::RecoverySecret;
use clearhouse_store::backup::keys::{About, EXPIRES_SECS, Keys, KeysFile};
use clearhouse_store::backup::records;
use clearhouse_store::keyfile::{DeviceSecret, KeyFile, NewSlot};
use clearhouse_store::vault::Vault;
use rand_core::CryptoRng;

use super::found::keys_of;
use super::{BackupFault, Unfinished, trial};
use crate::restored::Mark;
use crate::setup::{files, write_new};

/// A backup whose keys two sheets opened: it says the truth about itself.
pub struct Opened {
    records: PathBuf,
    file: KeysFile,
    keys: Keys,
}

/// What checking the records alone came to.
pub struct Looked {
    /// What the keys say of it, unproved.
    pub about: About,
    /// Parts of the records.
    pub parts: u64,
}

/// Checks what can be checked without sheets: every byte of the records against the digests beside them, and that the
/// keys are of these records. Whoever can write both could have exchanged both.
///
/// # Errors
/// [`BackupFault`].
pub fn look(records: &Path) -> Result<Looked, BackupFault> {
    let file = KeysFile::read(&keys_of(records))?;
    let (id, written) = records::read(records, None)?;
    if !file.fits(&id, &written) {
        return Err(records::RecordsFault::OtherKeys.into());
    }
    Ok(Looked { about: file.about().clone(), parts: written.parts })
}

impl Opened {
    /// Opens the keys beside these records.
    ///
    /// # Errors
    /// [`BackupFault::Keys`].
    pub fn open(records: &Path, secret: &RecoverySecret) -> Result<Self, BackupFault> {
        let file = KeysFile::read(&keys_of(records))?;
        let keys = file.open(secret)?;
        Ok(Self { records: records.to_owned(), file, keys })
    }

    /// What the backup says of itself: proved.
    #[must_use]
    pub fn about(&self) -> &About {
        self.file.about()
    }

    /// Whether it is too old to be restored without a word.
    ///
    /// # Errors
    /// [`BackupFault::ClockBehind`]: by this clock nobody can tell.
    pub fn is_expired(&self, now: u64) -> Result<bool, BackupFault> {
        let (made, shown) = (self.about().created, show_time(now));
        let behind = || BackupFault::ClockBehind { now: shown, made: show_time(made) };
        Ok(self.file.age(now).ok_or_else(behind)? > EXPIRES_SECS)
    }

    /// Refuses one that is too old.
    ///
    /// # Errors
    /// [`BackupFault::Expired`], [`BackupFault::ClockBehind`].
    pub fn check_age(&self, now: u64) -> Result<(), BackupFault> {
        match self.is_expired(now)? {
            true => Err(BackupFault::Expired { made: show_time(self.about().created) }),
            false => Ok(()),
        }
    }

    /// Puts it back into a folder of its own below `beside`, reads it to the last row, and removes it again.
    ///
    /// # Errors
    /// [`BackupFault`].
    pub fn verify(&self, beside: &Path) -> Result<(), BackupFault> {
        let back = Unfinished(beside.join(format!(".clearhouse-verify-{}", std::process::id())));
        trial::make_folder(&back.0)?;
        self.extract(&back.0, true)
    }

    /// Puts it back into a folder that is empty, all but the keys: configuration and store as they were, the paths of the
    /// configuration those of a new folder.
    ///
    /// # Errors
    /// [`BackupFault`]; what is in the folder then is to be thrown away.
    pub fn extract_into(self, folder: &Path) -> Result<Extracted, BackupFault> {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(BackupFault::Taken(folder.to_owned()));
        }
        self.extract(folder, true)?;
        settle_config(&folder.join(files::CONFIG))?;
        Ok(Extracted { about: self.file.about().clone(), keys: self.keys })
    }

    fn extract(&self, folder: &Path, deep: bool) -> Result<(), BackupFault> {
        let (id, written) = records::read(&self.records, Some(folder))?;
        if !self.file.fits(&id, &written) {
            return Err(records::RecordsFault::OtherKeys.into());
        }
        let keys = (&self.keys.service, Some(&self.keys.content));
        let vault = Vault::new(keys.0, keys.1).map_err(|e| BackupFault::Node(e.to_string()))?;
        let head = trial::check(folder, self.about(), &vault, deep)?;
        if head == self.about().head { Ok(()) } else { Err(BackupFault::Differs("another head was signed".to_owned())) }
    }
}

/// What whoever restores says of it.
#[derive(Clone, Copy)]
pub struct Said {
    /// Nobody can be asked.
    pub alone: bool,
    /// It may be older than backups may be.
    pub although_expired: bool,
}

/// A backup whose store is back in its place.
pub struct Extracted {
    about: About,
    keys: Keys,
}

impl Extracted {
    /// Puts the keys into a new key file that `slots` open, under a new device secret, and marks the folder as restored
    /// at `now`, with what whoever restores says of it.
    ///
    /// # Errors
    /// [`BackupFault`]; what is in the folder then is to be thrown away.
    pub fn finish(
        self,
        folder: &Path,
        slots: &[NewSlot<'_>],
        (now, said): (u64, Said),
        rng: &mut impl CryptoRng,
    ) -> Result<(), BackupFault> {
        let wrong = |e: &dyn std::fmt::Display| BackupFault::Node(e.to_string());
        let net = Net::try_from(self.about.net.as_slice()).map_err(|e| wrong(&e))?;
        let node = NodeId::try_from(self.about.node.as_slice()).map_err(|e| wrong(&e))?;
        // First, so that no folder with keys is ever without it.
        let mark = Mark {
            made: self.about.created,
            restored: now,
            events: self.about.events,
            alone: said.alone,
            although_expired: said.although_expired,
            is_done: false,
            missing: 0,
            parts: 0,
        };
        let mark = mark.text().map_err(|e| wrong(&e))?;
        write_new(&folder.join(files::RESTORED), mark.as_bytes()).map_err(|e| wrong(&e))?;
        let device = DeviceSecret::create(&folder.join(files::DEVICE), rng).map_err(|e| wrong(&e))?;
        let parts = (self.keys.service, self.keys.content);
        KeyFile::create(&folder.join(files::KEYS), (net, node), parts, slots, &device, rng).map_err(|e| wrong(&e))?;
        Ok(())
    }
}

/// Where the parts of a node lie in a folder that `init` or `restore` made; all else stays as its operator wrote it.
fn settle_config(path: &Path) -> Result<(), BackupFault> {
    const PLACES: [(&str, &str); 4] =
        [("data", "."), ("key_file", files::KEYS), ("device_secret", files::DEVICE), ("control_socket", files::SOCKET)];
    let failed = |source| BackupFault::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    let line = |line: &str| {
        let key = line.split('=').next().map(str::trim);
        let place = PLACES.iter().find(|(known, _)| Some(*known) == key);
        place.map_or_else(|| line.to_owned(), |(key, place)| format!("{key} = \"{place}\""))
    };
    let settled: Vec<String> = text.lines().map(line).collect();
    fs::write(path, settled.join("\n") + "\n").map_err(failed)
}

//! Making a backup of a running node, and holding it against what it must be before anybody relies on it.
//!
//! The owner only gives the store's files second names and seals the keys; copying and checking are beside it. What was
//! made is put back into a folder of its own and read there to the last row, with the keys of this process, before it is
//! called a backup. Refuses to begin while an erasure is under way, and gives up what an erasure overtook: a backup must
//! not keep the key that the erasure destroyed (promise P11).

pub mod found;
pub mod restore;
mod trial;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::Now;
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ids::hex;
use clearhouse_store::backup::keys::{self, About, KeysFault, Sealed};
use clearhouse_store::backup::records::{self, RecordsFault, Writer, Written};
use clearhouse_store::keyfile::Opened;
use clearhouse_store::vault::Vault;
use clearhouse_store::{Store, StoreError};
use rand_core::Rng as _;

use crate::clock::{Chance, Clock, chance};
use crate::owner::{NotTaken, Owner, World};
use crate::setup::files;
pub use found::{Found, Last, Older};

/// How the records end in their name.
pub const RECORDS_ENDING: &str = ".backup";
/// What the keys have behind that.
pub const KEYS_ENDING: &str = ".keys";
/// Where the store's files have their second names while they are copied, below the node's folder.
const PIN: &str = "backup.pin";
/// How often a backup that an erasure overtook is begun anew.
const TRIES: u32 = 3;

/// Why there is no backup, or why one is not taken. Each says what became of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// The content keys are not at hand.
    #[error("cases are locked, and their keys belong in a backup: nothing was written")]
    Locked,
    /// Nothing to seal the keys to.
    #[error("this node has no recovery key: nothing was written")]
    NoRecoveryKey,
    /// Something is being erased.
    #[error("a case is being erased: nothing was written. Try again in a minute")]
    Erasing,
    /// Another one is being made.
    #[error("another backup is being made: nothing was written")]
    Busy,
    /// The folder is not there, or lies in the node's own.
    #[error("{}: {why}. Nothing was written", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The records.
    #[error("its records: {0}")]
    Records(#[from] RecordsFault),
    /// The keys.
    #[error("its keys: {0}")]
    Keys(#[from] KeysFault),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// What was put back is not what it must be.
    #[error("what was put back from it is not what it must be: {0}")]
    Differs(String),
    /// Too old.
    #[error(
        "it was made {made}, more than 35 days ago: cases that were erased since would come back. Restore a newer one; \
         only if there is none, say --although-expired"
    )]
    Expired {
        /// When.
        made: String,
    },
    /// This computer's clock cannot tell how old it is.
    #[error(
        "this computer's clock shows {now}, and it was made {made}: by this clock nobody can tell how old it is. Nothing was \
         restored. Set the clock, then restore"
    )]
    ClockBehind {
        /// What the clock shows.
        now: String,
        /// When it was made.
        made: String,
    },
    /// The folder a restore is to fill holds something.
    #[error("{} is not empty: nothing was restored. Name a folder that does not exist", .0.display())]
    Taken(PathBuf),
    /// The restored folder's own key file could not be made.
    #[error("{0}")]
    Node(String),
    /// The node is stopping or its owner refused.
    #[error("{0}")]
    NotTaken(#[from] NotTaken),
}

/// A backup that was made and verified.
pub struct Made {
    /// Its records.
    pub records: PathBuf,
    /// Its keys.
    pub keys: PathBuf,
    /// What it says of itself.
    pub about: About,
    /// What became of older ones in the same folder.
    pub older: Older,
}

/// What making one stands on.
pub struct Maker<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The open key file.
    pub keys: Arc<Mutex<Opened>>,
    /// The node's folder.
    pub data: PathBuf,
}

/// The store as of one commit, and the keys as of the same.
struct Pinned {
    sealed: Sealed,
    about: About,
    heads: Vec<u8>,
    vault: Vault,
    id: [u8; records::ID_LEN],
}

/// Files under way; removed again unless they were put in their places.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

impl<S: Store + 'static> Maker<S> {
    /// Makes a backup in `folder`, verifies it, destroys the keys of older ones of this node there, and records that in
    /// the log.
    ///
    /// # Errors
    /// [`BackupFault`]: there is no new backup, and older ones are as they were.
    pub async fn make(&self, folder: &Path, by: Option<Actor>) -> Result<Made, BackupFault> {
        check_folder(folder, &self.data)?;
        clear_pin(&self.data)?;
        let mut tries = 0;
        let (about, records, keys) = loop {
            let pinned = self.pin().await?;
            let _pin = Unfinished(self.data.join(PIN));
            clear_folder(folder, &pinned.about)?;
            probe(folder, &pinned)?;
            let (id, epoch) = (pinned.id, pinned.about.epoch);
            let (data, to) = (self.data.clone(), folder.to_owned());
            let written = tokio::task::spawn_blocking(move || write(&data, &to, pinned));
            let (about, sealed, unfinished) = written.await.map_err(|_| NotTaken::Bug)??;
            if self.is_overtaken(epoch).await? {
                tries += 1;
                if tries == TRIES {
                    return Err(BackupFault::Erasing);
                }
                continue;
            }
            let name = name(&about, &id);
            let (records, keys) = put_in_place(folder, &name, &sealed, unfinished)?;
            // Between the look and the name an erasure may have become final.
            if self.is_overtaken(epoch).await? {
                found::destroy(&keys, &records)?;
                return Err(BackupFault::Erasing);
            }
            break (about, records, keys);
        };
        let older = found::destroy_older(folder, &keys, &about)?;
        let note = move |world: &World<S>, now: &mut Now<'_, Chance>| {
            (world.office.note(AuditEvent::Backup, by.as_ref(), now), ())
        };
        self.owner.decide(note).await?;
        Last { made: about.created, epoch: about.epoch, file: records.display().to_string() }.write(&self.data)?;
        Ok(Made { records, keys, about, older })
    }

    /// Whether the keys turned since, or are about to.
    async fn is_overtaken(&self, epoch: u32) -> Result<bool, BackupFault> {
        let keys = Arc::clone(&self.keys);
        let look = move |world: &mut World<S>| {
            let turned = keys.lock().unwrap_or_else(PoisonError::into_inner).epoch() != epoch;
            turned || is_erasing(world)
        };
        Ok(self.owner.look(look).await?)
    }

    /// Between two batches: nothing is decided or erased meanwhile.
    async fn pin(&self) -> Result<Pinned, BackupFault> {
        let (keys, data, created) = (Arc::clone(&self.keys), self.data.clone(), self.clock.now());
        let pin = move |world: &mut World<S>, _: &mut Now<'_, Chance>| {
            let keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
            (pin_here(world, &keys, &data, created), None)
        };
        self.owner.alone(pin).await?
    }
}

fn is_erasing<S: Store>(world: &World<S>) -> bool {
    world.office.turn_due().is_some() || !world.office.plans().is_empty()
}

fn pin_here<S: Store>(world: &mut World<S>, keys: &Opened, data: &Path, created: u64) -> Result<Pinned, BackupFault> {
    if is_erasing(world) {
        // The wrap of what was erased stands in older segments still, under keys that have not turned.
        return Err(BackupFault::Erasing);
    }
    if keys.service().recovery().is_none() {
        return Err(BackupFault::NoRecoveryKey);
    }
    if keys.content().is_none() {
        return Err(BackupFault::Locked);
    }
    let (mut rng, mut id) = (chance(), [0; records::ID_LEN]);
    rng.fill_bytes(&mut id);
    let sealed = Sealed::seal(keys, id, &mut rng)?;
    let vault = Vault::new(keys.service(), keys.content()).map_err(|e| BackupFault::Node(e.to_string()))?;
    // Before the store: what was signed is never ahead of what is kept.
    let path = data.join(files::HEADS);
    let heads = fs::read(&path).map_err(|source| BackupFault::File { path, source })?;
    world.ledger.store_mut().pin(&data.join(PIN))?;
    let (stats, me) = (world.ledger.store().stats(), world.office.me());
    let about = About {
        created,
        net: me.net.to_vec(),
        node: me.node.to_vec(),
        generation: stats.generation,
        rows: stats.rows,
        digest: stats.digest.to_vec(),
        events: stats.events,
        epoch: keys.epoch(),
        ..About::default()
    };
    Ok(Pinned { sealed, about, heads, vault, id })
}

/// Copies what was pinned into a file without a name yet, and puts it back beside that to see that it is whole. Returns
/// what it is, its keys' bytes, and the file.
fn write(data: &Path, folder: &Path, pinned: Pinned) -> Result<(About, Vec<u8>, Unfinished), BackupFault> {
    let path = folder.join(format!(".{}-{}.unfinished", beginning(&pinned.about), hex(&pinned.id)));
    let unfinished = Unfinished(path.clone());
    let mut writer = Writer::begin(&path, pinned.id)?;
    for name in [files::CONFIG, files::IDENTITY, files::GENESIS] {
        writer.file(name, &data.join(name))?;
    }
    if data.join(files::APPLICATION).exists() {
        writer.file(files::APPLICATION, &data.join(files::APPLICATION))?;
    }
    writer.part(files::HEADS, pinned.heads.len() as u64, &mut pinned.heads.as_slice())?;
    add_folder(&mut writer, files::STORE, &data.join(PIN))?;
    let written = writer.finish()?;
    let mut about = pinned.about;
    let back = Unfinished(folder.join(format!(".{}-{}.trial", beginning(&about), hex(&pinned.id))));
    trial::make_folder(&back.0)?;
    let again: ([u8; records::ID_LEN], Written) = records::read(&path, Some(&back.0))?;
    if again != (pinned.id, written) {
        return Err(BackupFault::Differs("the file is not what was written".to_owned()));
    }
    about.head = trial::check(&back.0, &about, &pinned.vault, true)?;
    let sealed = pinned.sealed.complete(about.clone(), &written);
    (about.bytes, about.id, about.key) = (written.bytes, pinned.id.to_vec(), pinned.sealed.key());
    Ok((about, sealed, unfinished))
}

fn add_folder(writer: &mut Writer, name: &str, folder: &Path) -> Result<(), BackupFault> {
    let failed = |source| BackupFault::File { path: folder.to_owned(), source };
    let mut entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(failed)?.is_dir() {
            add_folder(writer, &name, &entry.path())?;
        } else {
            writer.file(&name, &entry.path())?;
        }
    }
    Ok(())
}

/// Gives records and keys their names, the keys last: records without keys are noise, and nobody takes them for a backup.
fn put_in_place(
    folder: &Path,
    name: &str,
    sealed: &[u8],
    unfinished: Unfinished,
) -> Result<(PathBuf, PathBuf), BackupFault> {
    let records = folder.join(format!("{name}{RECORDS_ENDING}"));
    let keys = folder.join(format!("{name}{RECORDS_ENDING}{KEYS_ENDING}"));
    let failed = |source| BackupFault::File { path: records.clone(), source };
    if records.symlink_metadata().is_ok() || keys.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(&unfinished.0, &records).map_err(failed)?;
    crate::ground::sync(folder).map_err(failed)?;
    keys::create(&keys, sealed).inspect_err(|_| {
        // Keys that stayed and cannot be read again would be destroyed by no later backup.
        let _ = keys::destroy(&keys);
        let _ = fs::remove_file(&records);
    })?;
    Ok((records, keys))
}

/// `clearhouse-<node>-<day>-<time>-<id>`, the beginnings alone.
fn name(about: &About, id: &[u8]) -> String {
    let digits: String = show_time(about.created).chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(digits.len().min(8));
    format!("{}-{day}-{time}-{}", beginning(about), &hex(id)[..8])
}

/// How every name that a node gives begins.
fn beginning(about: &About) -> String {
    format!("clearhouse-{}", &hex(&about.node)[..8.min(2 * about.node.len())])
}

/// Removes what a process that was ended left in the folder: what has no name yet, and records without keys. Only one
/// process makes backups of a node at a time.
fn clear_folder(folder: &Path, about: &About) -> Result<(), BackupFault> {
    let failed = |source| BackupFault::File { path: folder.to_owned(), source };
    let own = beginning(about);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let (path, name) = entry.map(|e| (e.path(), e.file_name().to_string_lossy().into_owned())).map_err(failed)?;
        let nameless = name.starts_with(&format!(".{own}-"))
            && [".unfinished", ".trial", ".probe", ".probe.new"].iter().any(|ending| name.ends_with(ending));
        let keyless = name.starts_with(&own) && name.ends_with(RECORDS_ENDING) && !found::keys_of(&path).exists();
        if nameless || keyless {
            drop(Unfinished(path));
        }
    }
    Ok(())
}

/// Before anything is copied: the keys must lie there so that nobody else reads them.
fn probe(folder: &Path, pinned: &Pinned) -> Result<(), BackupFault> {
    let path = folder.join(format!(".{}-{}.probe", beginning(&pinned.about), hex(&pinned.id)));
    let refused = |fault: KeysFault| BackupFault::Folder {
        folder: folder.to_owned(),
        why: format!("cannot keep a file that nobody else reads ({fault}); a stick with ext4 can, one with FAT cannot"),
    };
    keys::probe(&path).map_err(refused)
}

fn check_folder(folder: &Path, data: &Path) -> Result<(), BackupFault> {
    let refused = |why: &str| BackupFault::Folder { folder: folder.to_owned(), why: why.to_owned() };
    if !folder.is_absolute() || !folder.is_dir() {
        return Err(refused("is no folder that this node can see"));
    }
    let real = |path: &Path| path.canonicalize().map_err(|source| BackupFault::File { path: path.to_owned(), source });
    if real(folder)?.starts_with(real(data)?) {
        return Err(refused("lies in the node's own folder, and would be lost with it"));
    }
    Ok(())
}

/// Removes what a process that was ended left of a copy.
///
/// # Errors
/// [`BackupFault::File`].
pub fn clear_pin(data: &Path) -> Result<(), BackupFault> {
    let path = data.join(PIN);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(BackupFault::File { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

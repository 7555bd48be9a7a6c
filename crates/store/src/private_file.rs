//! Small files that only this user may read: how they are read, made, replaced and destroyed.
//!
//! Refuses a file others can read, a file of another user, a link where a file should be, and to replace a file that
//! changed since it was read. A crash at any step of a replacement leaves the old file or the new one, never neither;
//! the next start clears what the crash left (reliability section 5, row 28).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};
use zeroize::Zeroizing;

use crate::files;

/// Why a private file could not be used. Paths are named, contents never.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is no such file.
    #[error("there is no file {}", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It was to be made, and something stands there already.
    #[error("{} exists already; it is not overwritten. Move it away if you mean to start anew", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Group or others may read or write it.
    #[error("others on this machine may read {} (mode {mode:04o}); run: chmod 600 {}", .path.display(), shell(.path))]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it.
    #[error("{} belongs to user {owner}, this program runs as user {me}; run: chown {me} {}", .path.display(), shell(.path))]
    NotYours {
        /// The file.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        me: u32,
    },
    /// A folder, a link, a pipe or a device.
    #[error("{} is not a plain file", .path.display())]
    NotPlain {
        /// The file.
        path: PathBuf,
    },
    /// More bytes than any such file has.
    #[error("{} is longer than {max} bytes, so it is not what it should be", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// Another program replaced it since it was read.
    #[error("{} was changed by another program since this one read it; nothing was written. Restart and try again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// What was read back is not what was written.
    #[error("{} does not hold what was just written to it; do not trust this disk", .path.display())]
    NotProven {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Whose file it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This user's alone.
    Me,
    /// This user's, or handed over by root: systemd gives credentials as root's files of mode 0440 with an access
    /// list for the service, and the list shows as the group's bits.
    MeOrRoot,
}

/// Whether the blocks of a replaced file are overwritten before they are given up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Previous {
    /// Overwritten: it held keys.
    Erase,
    /// Left to the file system.
    Release,
}

/// The steps of [`replace`], in order. Tests stop it before each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    WriteNew,
    SyncNew,
    KeepOld,
    Rename,
    SyncFolder,
    Prove,
    EraseOld,
    RemoveOld,
}

/// Reads a private file after checking owner and mode on the open file itself.
pub(crate) fn read(path: &Path, max: usize, owner: Owner) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let file = open_checked(path, owner)?;
    read_open(&file, path, max)
}

/// Makes a private file of mode 0600, whole or not at all. An existing one is refused.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    if path.symlink_metadata().is_ok() {
        return Err(PrivateFileError::Exists { path: path.to_owned() });
    }
    let new = sibling(path, ".new");
    write_new(&new, bytes)?;
    // A link refuses to land on an existing name, a rename does not; where links are unknown, the check above stands.
    match fs::hard_link(&new, path) {
        Ok(()) => fs::remove_file(&new).map_err(io("remove", &new))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            destroy_one(&new)?;
            return Err(PrivateFileError::Exists { path: path.to_owned() });
        }
        Err(_) => fs::rename(&new, path).map_err(io("rename", &new))?,
    }
    sync_folder(path)?;
    prove(path, bytes)
}

/// Replaces `current`, which must still be what is on disk, by `bytes`: write, sync, rename, sync the folder, read
/// back, and only then give up the old blocks.
pub(crate) fn replace(path: &Path, current: &[u8], bytes: &[u8], previous: Previous) -> Result<(), PrivateFileError> {
    replace_stepwise(path, current, bytes, previous, &mut |_| Ok(()))
}

/// [`replace`], asking `before` ahead of every step. An error from it stops right there and cleans nothing up, as a
/// power cut would.
pub(crate) fn replace_stepwise(
    path: &Path,
    current: &[u8],
    bytes: &[u8],
    previous: Previous,
    before: &mut dyn FnMut(Step) -> io::Result<()>,
) -> Result<(), PrivateFileError> {
    let mut before = |step| before(step).map_err(io("replace", path));
    let mut held = lock(path)?;
    let found = read_open(&held, path, current.len())?;
    if *found != *current {
        return Err(PrivateFileError::Changed { path: path.to_owned() });
    }
    let (new, old) = (sibling(path, ".new"), sibling(path, ".old"));
    before(Step::WriteNew)?;
    clear(path, &new)?;
    clear(path, &old)?;
    let mut file = open_new(&new)?;
    file.write_all(bytes).map_err(io("write", &new))?;
    before(Step::SyncNew)?;
    file.sync_all().map_err(io("sync", &new))?;
    before(Step::KeepOld)?;
    if previous == Previous::Erase && fs::hard_link(path, &old).is_ok() {
        // A second name, so that a crash after the rename leaves the old blocks where `settle` finds them. Where links
        // are unknown (a USB stick), the open handle below still reaches them.
        sync_folder(path)?;
    }
    before(Step::Rename)?;
    fs::rename(&new, path).map_err(io("rename", &new))?;
    before(Step::SyncFolder)?;
    sync_folder(path)?;
    before(Step::Prove)?;
    prove(path, bytes)?;
    if previous == Previous::Erase {
        before(Step::EraseOld)?;
        overwrite(&mut held, path)?;
        before(Step::RemoveOld)?;
        remove(&old)?;
        sync_folder(path)?;
    }
    Ok(())
}

/// Clears what a crash left beside the file. Does nothing while another process is replacing it, and nothing when the
/// file itself is missing: then the remains may be all there is.
pub(crate) fn settle(path: &Path) -> Result<(), PrivateFileError> {
    let (new, old) = (sibling(path, ".new"), sibling(path, ".old"));
    if !present(&new) && !present(&old) {
        return Ok(());
    }
    let Ok(held) = open_to_write(path) else { return Ok(()) };
    if held.try_lock().is_err() || !same_file(&held, path) {
        return Ok(());
    }
    clear(path, &new)?;
    clear(path, &old)?;
    sync_folder(path)
}

/// Overwrites and removes the file and its remains. Missing ones are no error.
pub(crate) fn destroy(path: &Path) -> Result<(), PrivateFileError> {
    for victim in [path.to_owned(), sibling(path, ".new"), sibling(path, ".old")] {
        destroy_one(&victim)?;
    }
    sync_folder(path)
}

/// The path with `suffix` appended to its last part.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether anything stands at this path.
pub(crate) fn present(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn open_checked(path: &Path, owner: Owner) -> Result<File, PrivateFileError> {
    // A credential may be a link into a mounted secret; a key file is replaced by rename and so must be itself.
    // NONBLOCK: a pipe put in its place is refused below instead of hanging us here.
    let flags = match owner {
        Owner::Me => OFlags::NOFOLLOW.union(OFlags::NONBLOCK),
        Owner::MeOrRoot => OFlags::NONBLOCK,
    };
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|source| if path.is_symlink() { not_plain(path) } else { unopened(path, source) })?;
    check(&file, path, owner)?;
    Ok(file)
}

fn check(file: &File, path: &Path, owner: Owner) -> Result<(), PrivateFileError> {
    let meta = file.metadata().map_err(io("inspect", path))?;
    if !meta.is_file() {
        return Err(not_plain(path));
    }
    check_rights((meta.uid(), meta.mode() & 0o7777), path, owner, rustix::process::geteuid().as_raw())
}

/// Whether user `me` may take a file of this user and mode.
fn check_rights((uid, mode): (u32, u32), path: &Path, owner: Owner, me: u32) -> Result<(), PrivateFileError> {
    let handed_over = owner == Owner::MeOrRoot && uid == 0;
    if uid != me && !handed_over {
        return Err(PrivateFileError::NotYours { path: path.to_owned(), owner: uid, me });
    }
    let forbidden = if handed_over && me != 0 { 0o7037 } else { 0o7077 };
    if mode & forbidden != 0 {
        return Err(PrivateFileError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

fn read_open(file: &File, path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    // One buffer of the final size: a growing one would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0u8; max + 1]);
    let mut len = 0;
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut bytes[len..]));
        match read.map_err(io::Error::from).map_err(io("read", path))? {
            0 => break,
            n => len += n,
        }
    }
    if len > max {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), max });
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Opens the file and holds its lock, making sure that the lock is on the file that has the name now.
fn lock(path: &Path) -> Result<File, PrivateFileError> {
    for _ in 0..LOCK_TRIES {
        let file = open_to_write(path)?;
        file.lock().map_err(io("lock", path))?;
        if same_file(&file, path) {
            check(&file, path, Owner::Me)?;
            return Ok(file);
        }
    }
    Err(PrivateFileError::Changed { path: path.to_owned() })
}

/// How often a replacement that overtakes ours is waited for.
const LOCK_TRIES: u32 = 16;

fn open_to_write(path: &Path) -> Result<File, PrivateFileError> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|source| unopened(path, source))
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(a), Ok(b)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn open_new(path: &Path) -> Result<File, PrivateFileError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("make", path))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    destroy_one(path)?;
    let mut file = open_new(path)?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}

/// Removes `remains` of an earlier replacement of `path`: only the name if it is the file itself, else its blocks too.
fn clear(path: &Path, remains: &Path) -> Result<(), PrivateFileError> {
    let Ok(file) = open_to_write(remains) else { return remove(remains) };
    if same_file(&file, path) { remove(remains) } else { destroy_one(remains) }
}

fn destroy_one(path: &Path) -> Result<(), PrivateFileError> {
    match open_to_write(path) {
        Ok(mut file) => {
            overwrite(&mut file, path)?;
            remove(path)
        }
        Err(PrivateFileError::Missing { .. }) => Ok(()),
        Err(_) => remove(path),
    }
}

/// Overwrites the blocks in place. Flash may keep the old ones all the same: THREATS says so.
fn overwrite(file: &mut File, path: &Path) -> Result<(), PrivateFileError> {
    let len = file.metadata().map_err(io("inspect", path))?.len();
    file.seek(SeekFrom::Start(0)).map_err(io("overwrite", path))?;
    io::copy(&mut io::repeat(0).take(len), file).map_err(io("overwrite", path))?;
    file.sync_all().map_err(io("sync", path))
}

fn remove(path: &Path) -> Result<(), PrivateFileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), PrivateFileError> {
    files::sync_parent(path).map_err(io("sync the folder of", path))
}

/// Reads back what was written, from the disk where the system lets us drop its copy.
fn prove(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let file = open_checked(path, Owner::Me)?;
    // Best effort: without it the check still finds a file that was swapped, cut or never renamed.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    match read_open(&file, path, bytes.len()) {
        Ok(found) if *found == *bytes => Ok(()),
        Ok(_) | Err(PrivateFileError::TooLong { .. }) => Err(PrivateFileError::NotProven { path: path.to_owned() }),
        Err(other) => Err(other),
    }
}

fn unopened(path: &Path, source: io::Error) -> PrivateFileError {
    if source.kind() == io::ErrorKind::NotFound {
        return PrivateFileError::Missing { path: path.to_owned() };
    }
    PrivateFileError::Io { what: "open", path: path.to_owned(), source }
}

fn not_plain(path: &Path) -> PrivateFileError {
    PrivateFileError::NotPlain { path: path.to_owned() }
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    move |source| PrivateFileError::Io { what, path: path.to_owned(), source }
}

/// The path as a shell reads it, for a command the reader may copy.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b)) && !text.starts_with('-');
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
pub(crate) mod tests;

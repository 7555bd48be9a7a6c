//! The few ways this room touches the file system, each leaving it durable. Refuses world-readable files.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::contract::StoreError;
use crate::format::TEMPORARY;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Makes a folder that only its owner may enter, or tightens one that exists. Durable, its parent's entry included.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    let Err(refused) = DirBuilder::new().mode(FOLDER_MODE).create(path) else { return sync_parent(path) };
    let Ok(meta) = fs::metadata(path) else { return Err(refused) };
    if !meta.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))?;
    }
    Ok(())
}

/// Makes names created, renamed or removed in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// [`sync_folder`] of the folder that `path` is in.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Opens a file to write from the start, made private if it is new.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// Writes a file under a temporary name, syncs it and gives it its name. The caller syncs the folder, so that several
/// files cost one sync. Whatever fails, no file of that name appears, and a file that had it stays as it was.
pub(crate) fn write_then_rename<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> io::Result<T> {
    let temporary = temporary(path);
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 18, create_private(&temporary)?);
        let told = write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(told)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The name a file has while it is written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// Reads `len` bytes at `offset`; `Ok(None)` when the file is missing or shorter.
pub(crate) fn read_at(path: &Path, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    LastFile::default().read_at(path, offset, len)
}

/// The file that was read last, kept open: reads of one file come in rows. Only for files that grow but never change.
#[derive(Default)]
pub(crate) struct LastFile(RefCell<Option<(PathBuf, File)>>);

impl LastFile {
    /// As [`read_at`].
    pub(crate) fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; len];
        let read = self.with(path, |file| file.read_exact_at(&mut bytes, offset));
        match read {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes it. A file that was removed keeps its space while it is open.
    pub(crate) fn close(&self) {
        self.0.replace(None);
    }

    fn with<T>(&self, path: &Path, read: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let (open, file) = match self.0.take() {
            Some((open, file)) if open == path => (open, file),
            _ => (path.to_owned(), File::open(path)?),
        };
        let done = read(&file);
        self.0.replace(Some((open, file)));
        done
    }
}

/// The length of a file; `None` when there is none.
pub(crate) fn length(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names in a folder, sorted; names that are not UTF-8 are none of ours and come out lossy.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The last part of a path, for an error or a finding.
pub(crate) fn short_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Turns an error of the system into ours, naming the file.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let file = short_name(path);
    move |source| StoreError::Io { doing, file, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, open) = (dir.path().join("new"), dir.path().join("open"));
        private_folder(&folder).unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        private_folder(&open).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&open)), (0o700, 0o700));
        write_then_rename(&folder.join("a"), |out| out.write_all(b"x")).unwrap();
        assert_eq!(mode(&folder.join("a")), 0o600);
    }

    #[test]
    fn what_cannot_be_looked_at_is_an_error_and_not_a_file_that_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"four").unwrap();
        assert_eq!(length(&file).unwrap(), Some(4));
        assert_eq!((length(dir.path()).unwrap(), length(&dir.path().join("none")).unwrap()), (None, None));
        assert!(length(&file.join("below")).is_err());
        let refused = |path: &Path| private_folder(path).err().map(|error| error.kind());
        assert_eq!(refused(&file), Some(io::ErrorKind::NotADirectory));
        assert_eq!(refused(&dir.path().join("none/below")), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_then_rename(&path, |out| out.write_all(b"old")).unwrap();
        let failed: io::Result<()> = write_then_rename(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()).unwrap(), ["a"]);
    }

    #[test]
    fn a_short_or_missing_file_is_told_from_a_failing_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(read_at(&path, 0, 1).unwrap(), None);
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_at(&path, 3, 2).unwrap().as_deref(), Some(&b"45"[..]));
        assert_eq!(read_at(&path, 3, 3).unwrap(), None);
        assert!(read_at(dir.path(), 0, 1).is_err());
    }

    #[test]
    fn the_last_file_is_told_from_others_and_seen_to_grow() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, b"1").unwrap();
        fs::write(&other, b"2").unwrap();
        let last = LastFile::default();
        for path in [&one, &other, &one, &one] {
            assert_eq!(last.read_at(path, 0, 1).unwrap(), Some(fs::read(path).unwrap()));
        }
        OpenOptions::new().append(true).open(&one).unwrap().write_all(b"more").unwrap();
        assert_eq!(last.read_at(&one, 1, 4).unwrap().as_deref(), Some(&b"more"[..]));
        assert_eq!(last.read_at(&one, 1, 5).unwrap(), None);
        fs::remove_file(&one).unwrap();
        last.close();
        assert_eq!(last.read_at(&one, 0, 1).unwrap(), None);
    }

    #[test]
    fn the_folder_of_a_path_is_synced_and_of_a_bare_name_the_one_that_is_worked_in() {
        let dir = tempfile::tempdir().unwrap();
        sync_parent(&dir.path().join("file")).unwrap();
        sync_parent(Path::new("file")).unwrap();
        assert!(sync_parent(&dir.path().join("none/file")).is_err());
    }

    #[test]
    fn a_folder_that_is_private_is_left_as_it_is_and_a_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (closed, file) = (dir.path().join("closed"), dir.path().join("file"));
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
        private_folder(&closed).unwrap();
        assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o777, 0o500);
        fs::write(&file, b"").unwrap();
        assert_eq!(private_folder(&file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}

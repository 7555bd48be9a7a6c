//! Files this program makes for people: new ones only, of mode 0600, whole or not at all. Refuses to overwrite, to
//! follow a link, and to read more than a named limit.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::interrupt;
use crate::trouble::{Code, Trouble};

/// A file being made. Removed again unless [`NewFile::keep`] is called.
pub(crate) struct NewFile {
    path: PathBuf,
    file: Option<File>,
}

impl NewFile {
    /// Makes an empty file that did not exist.
    ///
    /// # Errors
    /// [`Code::Exists`] when something stands there, a link included; [`Code::File`] otherwise.
    pub(crate) fn create(path: &Path) -> Result<Self, Trouble> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match opened {
            Ok(file) => {
                interrupt::begun(path);
                Ok(Self { path: path.to_owned(), file: Some(file) })
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!("{} exists already and is not overwritten. Nothing was written.", path.display());
                Err(Trouble::new(Code::Exists, text, "Name a file that does not exist"))
            }
            Err(e) => Err(cannot("write", path, &e)),
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Code::File`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let Self { path, file } = self;
        file.as_mut().map_or(Ok(()), |f| f.write_all(bytes)).map_err(|e| cannot("write", path, &e))
    }

    /// The file is whole.
    ///
    /// # Errors
    /// [`Code::File`] when it cannot be brought to the disk.
    pub(crate) fn keep(mut self) -> Result<(), Trouble> {
        let file = self.file.take();
        let synced = file.map_or(Ok(()), |f| f.sync_all());
        interrupt::ended(&self.path);
        synced.map_err(|e| {
            let _ = fs::remove_file(&self.path);
            cannot("write", &self.path, &e)
        })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
            interrupt::ended(&self.path);
        }
    }
}

/// Makes a new file with these bytes.
///
/// # Errors
/// As [`NewFile::create`].
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let mut file = NewFile::create(path)?;
    file.write(bytes)?;
    file.keep()
}

/// A folder that is made beside its place and moved there when it is whole, so that a run that was stopped leaves
/// nothing that looks finished and can be repeated. A folder that holds something already is filled in place.
pub(crate) struct NewFolder {
    folder: PathBuf,
    unfinished: Option<PathBuf>,
}

impl NewFolder {
    /// Looks at the place; changes nothing.
    ///
    /// # Errors
    /// [`Code::File`] when it cannot be a folder.
    pub(crate) fn choose(folder: &Path) -> Result<Self, Trouble> {
        let held = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(cannot("use", folder, &e)),
        };
        let name = folder.file_name();
        let unfinished = name.filter(|_| !held).map(|name| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(".unfinished");
            folder.with_file_name(hidden)
        });
        Ok(Self { folder: folder.to_owned(), unfinished })
    }

    /// Whether something stands there already.
    pub(crate) fn is_taken(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Fills it by `make`, which is told where to work.
    ///
    /// # Errors
    /// Those of `make`, and [`Code::File`].
    pub(crate) fn fill<T>(&self, make: impl FnOnce(&Path) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let Some(unfinished) = &self.unfinished else { return make(&self.folder) };
        // Left by a run that was stopped. It never was in use: nothing has left it and nobody knows its keys.
        remove(unfinished)?;
        private_folder(unfinished)?;
        interrupt::begun(unfinished);
        let made = make(unfinished).and_then(|made| {
            fs::rename(unfinished, &self.folder).map_err(|e| cannot("make", &self.folder, &e))?;
            Ok(made)
        });
        interrupt::ended(unfinished);
        made.inspect_err(|_| drop(remove(unfinished)))
    }
}

fn remove(folder: &Path) -> Result<(), Trouble> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot("remove", folder, &e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// [`Code::NoFile`], [`Code::File`], or `too_long` for more.
pub(crate) fn read(path: &Path, max: usize, too_long: Code) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let open = || -> io::Result<File> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
    };
    let file = open().map_err(|e| cannot("read", path, &e))?;
    take(file, max).map_err(|e| cannot("read", path, &e))?.ok_or_else(|| longer(path, max, too_long))
}

/// Reads stdin, at most `max` bytes.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_stdin(max: usize, too_long: Code) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let path = Path::new("stdin");
    take(io::stdin().lock(), max).map_err(|e| cannot("read", path, &e))?.ok_or_else(|| longer(path, max, too_long))
}

fn take(from: impl io::Read, max: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max).then_some(bytes))
}

fn longer(path: &Path, max: usize, code: Code) -> Trouble {
    let text = format!("{} is longer than {} KiB. Is it the right file?", path.display(), max >> 10);
    Trouble::new(code, text, "Name another file")
}

/// Makes a folder of mode 0700 where there is none.
///
/// # Errors
/// [`Code::File`].
pub(crate) fn private_folder(path: &Path) -> Result<(), Trouble> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| cannot("make", path, &e))
}

/// Why the system did not let us use a file.
pub(crate) fn cannot(what: &str, path: &Path, error: &io::Error) -> Trouble {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::NoFile } else { Code::File };
    let shown: String = path.display().to_string().chars().take(PATH_SHOWN_MAX).collect();
    Trouble::new(code, format!("Cannot {what} {shown}: {error}."), "Look at the path and its folder")
}

/// Characters of a path that are repeated in an error.
const PATH_SHOWN_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_made_private_and_never_over_another_or_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_new(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path, b"two").unwrap_err().code, Code::Exists.word());
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        symlink(&target, &link).unwrap();
        assert_eq!(write_new(&link, b"three").unwrap_err().code, Code::Exists.word());
        assert!(!target.exists());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_file_that_is_not_finished_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut file = NewFile::create(&path).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all_and_a_stopped_run_can_be_repeated() {
        let top = tempfile::tempdir().unwrap();
        let place = top.path().join("made");
        let failed: Result<(), Trouble> = NewFolder::choose(&place).unwrap().fill(|work| {
            write_new(&work.join("half"), b"half")?;
            Err(Trouble::interrupted())
        });
        assert!(failed.is_err() && fs::read_dir(top.path()).unwrap().next().is_none());
        // What a killed run leaves.
        private_folder(&top.path().join(".made.unfinished")).unwrap();
        write_new(&top.path().join(".made.unfinished/half"), b"half").unwrap();
        NewFolder::choose(&place).unwrap().fill(|work| write_new(&work.join("whole"), b"whole")).unwrap();
        let names: Vec<_> = fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["whole"]);
        assert!(NewFolder::choose(&place).unwrap().is_taken());
        assert!(!top.path().join(".made.unfinished").exists());
    }

    #[test]
    fn reading_stops_at_the_limit_and_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        write_new(&path, &[7; 1025]).unwrap();
        assert_eq!(read(&path, 1024, Code::Form).unwrap_err().code, Code::Form.word());
        assert_eq!(read(&path, 1025, Code::Form).unwrap().len(), 1025);
        assert_eq!(read(&folder.path().join("none"), 1, Code::Form).unwrap_err().code, Code::NoFile.word());
        assert_eq!(read(folder.path(), 1, Code::Form).unwrap_err().code, Code::File.word());
    }
}

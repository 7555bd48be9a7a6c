//! Reading a small secret from a file that only its owner can read.

use super::fault::{ConfigError, Fault, Place};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The contents of `file`, one trailing line end taken off when `is_text`.
///
/// The open file is judged, not its name, so it cannot be exchanged in between. It must be an ordinary file of 1 to
/// 4096 bytes, belong to this process's user or to root, and be closed to everyone else.
///
/// # Errors
/// [`ConfigError`] with what to run. It never repeats the contents.
pub fn read_secret(file: &Path, is_text: bool) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let place = Place { file };
    let unreadable = |e: std::io::Error| place.whole(Fault::Unreadable(e.kind()));
    let mut open = File::open(file).map_err(unreadable)?;
    let meta = open.metadata().map_err(unreadable)?;
    if !meta.is_file() || meta.len() == 0 || meta.len() > SECRET_MAX {
        return Err(place.whole(Fault::SecretShape));
    }
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(place.whole(Fault::SecretOwner));
    }
    if meta.mode() & OPEN_TO_OTHERS != 0 {
        return Err(place.whole(Fault::SecretMode(file.into())));
    }
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_MAX as usize + 1));
    let read = (&mut open).take(SECRET_MAX + 1).read_to_end(&mut secret).map_err(unreadable)?;
    if read == 0 || read as u64 > SECRET_MAX {
        return Err(place.whole(Fault::SecretShape));
    }
    if is_text && secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    Ok(secret)
}

/// Longest secret.
const SECRET_MAX: u64 = 4096;
/// Any right of the group or of others.
const OPEN_TO_OTHERS: u32 = 0o077;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn file(name: &str, contents: &[u8], mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("clearhouse-{}-{name}", std::process::id()));
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_only_when_it_is_text() {
        let path = file("good", b"correct horse\r\n", 0o600);
        assert_eq!(&**read_secret(&path, true).unwrap(), b"correct horse");
        assert_eq!(&**read_secret(&path, false).unwrap(), b"correct horse\r\n");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_secret_others_can_read_is_refused_with_the_command_that_mends_it() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let path = file("open", b"correct horse", mode);
            let error = read_secret(&path, true).unwrap_err();
            assert_eq!(error.fault, Fault::SecretMode(path.clone()));
            assert!(error.to_string().contains("chmod 600") && !error.to_string().contains("horse"));
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_is_empty_too_long_or_no_file_is_no_secret() {
        for contents in [vec![], vec![1; SECRET_MAX as usize + 1]] {
            let path = file("shape", &contents, 0o600);
            assert_eq!(read_secret(&path, true).unwrap_err().fault, Fault::SecretShape);
            fs::remove_file(path).unwrap();
        }
        assert_eq!(read_secret(&std::env::temp_dir(), true).unwrap_err().fault, Fault::SecretShape);
        let missing = read_secret(Path::new("/no/such/file"), true).unwrap_err().fault;
        assert_eq!(missing, Fault::Unreadable(std::io::ErrorKind::NotFound));
    }
}

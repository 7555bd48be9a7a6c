//! Sessions of the people who signed in with this program, one file of mode 0600 each in the node's folder.
//!
//! Refuses a login that could name another file. A session opens nothing by itself: the node forgets it when it stops.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_casework::office::people::LOGIN_MAX;
use clearhouse_node::config::read_secret;
use clearhouse_node::control::SessionToken;

use crate::files;
use crate::trouble::{Code, Trouble};

/// Folder of the sessions in a node's folder.
const FOLDER: &str = "sessions";
/// Sessions that are listed.
const LISTED_MAX: usize = 64;

/// A login name: 2 to 32 lower-case letters, digits, dots or hyphens, and not dots alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Login(String);

impl Login {
    /// Reads a login.
    ///
    /// # Errors
    /// [`Code::WhoActs`].
    pub(crate) fn parse(text: &str) -> Result<Self, Trouble> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if begins && (2..=LOGIN_MAX).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let text = "A login is 2 to 32 lower-case letters, digits, dots or hyphens, and begins with a letter or digit.";
        Err(Trouble::new(Code::WhoActs, text, "clearhouse user list"))
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn path(node: &Path, login: &Login) -> PathBuf {
    node.join(FOLDER).join(login.as_str())
}

/// The session kept for `login`, if there is one.
///
/// # Errors
/// [`Code::Secret`] for a file others can read.
pub(crate) fn read(node: &Path, login: &Login) -> Result<Option<SessionToken>, Trouble> {
    let path = path(node, login);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_secret(&path, true)?;
    Ok(std::str::from_utf8(&bytes).ok().map(|text| SessionToken::new(text.to_owned())))
}

/// Keeps a session, in place of the one before.
///
/// # Errors
/// [`Code::File`].
pub(crate) fn write(node: &Path, login: &Login, token: &SessionToken) -> Result<(), Trouble> {
    files::private_folder(&node.join(FOLDER))?;
    let path = path(node, login);
    let new = path.with_file_name(format!(".new-{}-{}", std::process::id(), login));
    files::write_new(&new, token.as_str().as_bytes())?;
    fs::rename(&new, &path).map_err(|e| files::cannot("write", &path, &e))
}

/// Forgets a session.
pub(crate) fn forget(node: &Path, login: &Login) {
    let _ = fs::remove_file(path(node, login));
}

/// Who has a session here, in order.
pub(crate) fn list(node: &Path) -> Vec<Login> {
    let entries = fs::read_dir(node.join(FOLDER)).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    let mut logins: Vec<Login> = names.filter_map(|n| Login::parse(&n).ok()).take(LISTED_MAX).collect();
    logins.sort();
    logins
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_login_names_no_other_file() {
        for bad in ["", "a", "..", ".a", "a/b", "../x", "Ana", "a b", "-rf", &"a".repeat(33), "ана"] {
            assert!(Login::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Login::parse("ana.p-2").map(|l| l.to_string()).ok().as_deref(), Some("ana.p-2"));
    }

    #[test]
    fn a_session_is_kept_private_replaced_and_forgotten() {
        let node = tempfile::tempdir().unwrap();
        let ana = Login::parse("ana").unwrap();
        assert!(read(node.path(), &ana).unwrap().is_none() && list(node.path()).is_empty());
        for token in ["first", "second"] {
            write(node.path(), &ana, &SessionToken::new(token.into())).unwrap();
            assert_eq!(read(node.path(), &ana).unwrap().unwrap().as_str(), token);
        }
        let file = path(node.path(), &ana);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(list(node.path()).len(), 1);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(node.path(), &ana).err().unwrap().code, Code::Secret.word());
        forget(node.path(), &ana);
        assert!(list(node.path()).is_empty());
    }
}

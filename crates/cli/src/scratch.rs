//! A folder of this program's own, below one that was named, for commands that try things: gone with them on every way
//! out: Ctrl-C, SIGTERM and a closed terminal included. Refuses to work in the folder of a node, or anywhere below one.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clearhouse_node::setup::files;

use crate::files::cannot;
use crate::interrupt;
use crate::trouble::{Code, Trouble};

/// The folder. Removed when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    beside: PathBuf,
}

impl Scratch {
    /// Makes it below `folder`, or below the temporary folder, for the command of that name.
    ///
    /// # Errors
    /// [`Code::Arguments`] where a node lives; [`Code::File`].
    pub(crate) fn make(folder: Option<&Path>, command: &str) -> Result<Self, Trouble> {
        let named = folder.map_or_else(std::env::temp_dir, Path::to_owned);
        let beside = named.canonicalize().map_err(|e| cannot("use", &named, &e))?;
        if let Some(node) = beside.ancestors().find(|above| is_a_nodes(above)) {
            let text = format!(
                "{} belongs to a node. Nothing was done: what is tried must not lie beside what must not be lost.",
                node.display()
            );
            return Err(Trouble::new(Code::Arguments, text, format!("clearhouse {command} --folder ANOTHER_FOLDER")));
        }
        let path = beside.join(format!("clearhouse-{command}-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|e| cannot("make", &path, &e))?;
        interrupt::begun(&path);
        Ok(Self { path, beside })
    }

    /// Where to work.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it was made in, which stays.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        interrupt::ended(&self.path);
    }
}

/// Whether a node was made in this folder, whole or not.
fn is_a_nodes(folder: &Path) -> bool {
    [files::IDENTITY, files::KEYS, files::CONFIG].iter().any(|name| folder.join(name).symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_gone_with_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(Some(folder.path()), "try").unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("file"), b"x").unwrap();
        drop(scratch);
        assert!(!path.exists() && folder.path().exists());
    }

    #[test]
    fn a_nodes_folder_and_what_is_below_it_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("store");
        fs::create_dir(&below).unwrap();
        fs::write(folder.path().join(files::IDENTITY), b"").unwrap();
        for place in [folder.path(), &below] {
            let refused = Scratch::make(Some(place), "try").err().unwrap();
            assert!(refused.code == "CH-U0901" && refused.text.contains("belongs to a node"), "{}", refused.text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

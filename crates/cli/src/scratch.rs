//! A folder of this program's own, below one that was named, for commands that try things: gone with them on every way
//! out: Ctrl-C, SIGTERM and a closed terminal included. Refuses to work in the folder of a node, or anywhere below one.

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_node::setup::files;

use crate::files::cannot;
use crate::fresh_folder;
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
        let made = fresh_folder::make(&beside, &name(command, std::process::id()));
        let path = made.map_err(|e| cannot("make a folder in", &beside, &e))?;
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

/// A folder directly in the scratch folder of the process that started this one, which runs the command of that name. Takes
/// no other: what is written there is thrown away, and a folder named by hand may be the store of a node.
///
/// # Errors
/// [`Code::Arguments`]: nothing was opened and nothing was written.
pub(crate) fn of_whoever_started_this(folder: &Path, command: &str) -> Result<PathBuf, Trouble> {
    below(folder, command, std::os::unix::process::parent_id())
}

fn below(folder: &Path, command: &str, owner: u32) -> Result<PathBuf, Trouble> {
    let refused = || {
        let text = format!(
            "{} is no folder of a clearhouse {command} that started this program. Nothing was opened and nothing was \
             written.",
            folder.display()
        );
        Trouble::new(Code::Arguments, text, format!("clearhouse {command}"))
    };
    let parent = folder.parent().and_then(|parent| parent.canonicalize().ok()).ok_or_else(refused)?;
    let path = parent.join(folder.file_name().ok_or_else(refused)?);
    let found = parent.file_name().and_then(|found| found.to_str());
    let is_the_owners = found.is_some_and(|found| fresh_folder::is_named(found, &name(command, owner)));
    // A link could lead anywhere.
    let is_link = path.symlink_metadata().is_ok_and(|about| about.is_symlink());
    if !is_the_owners || is_link || path.ancestors().any(is_a_nodes) {
        return Err(refused());
    }
    Ok(path)
}

/// What the name of a command's folder begins with, so that it is known again.
fn name(command: &str, process: u32) -> String {
    format!("clearhouse-{command}-{process}")
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

    #[test]
    fn a_process_of_its_own_works_in_the_folder_of_whoever_started_it_and_in_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(Some(folder.path()), "try").unwrap();
        let (me, own) = (std::process::id(), scratch.path().join("killed"));
        let taken = |folder: &Path, command, owner| below(folder, command, owner).is_ok();
        assert!(taken(&own, "try", me));
        fs::create_dir(&own).unwrap();
        assert!(taken(&own, "try", me));
        // Another command's, another process's, deeper, beside, the folder itself, one that is not there.
        assert!(!taken(&own, "other", me) && !taken(&own, "try", me + 1) && !taken(&own.join("deeper"), "try", me));
        assert!(!taken(&folder.path().join("store"), "try", me) && !taken(scratch.path(), "try", me));
        assert!(!taken(&scratch.path().join(".."), "try", me) && !taken(&own.join("none/store"), "try", me));
        std::os::unix::fs::symlink(folder.path(), scratch.path().join("link")).unwrap();
        assert!(!taken(&scratch.path().join("link"), "try", me));
        fs::write(folder.path().join(files::IDENTITY), b"").unwrap();
        assert!(!taken(&own, "try", me));
    }
}

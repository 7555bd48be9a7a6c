//! The last step: every byte that any node of the demo has on its disk, searched for the person.

use std::path::{Path, PathBuf};

use super::person::Person;
use super::region::Region;
use super::{Failure, Teller};

/// What was found of the person in one folder.
#[derive(Default, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) hits: usize,
    pub(crate) bytes: u64,
}

/// Searches every byte the coordinator has, and what all the others have on disk, for the person.
pub(super) fn searched(region: &Region, others: &[&Path], person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    let ends = [region.destination.folder.as_path(), &region.origin.folder];
    let mut found = Vec::new();
    for folder in [region.coordinator.folder.as_path()].iter().chain(&ends).chain(others) {
        let here = search(folder, &person.canaries)
            .map_err(|e| Failure::new("CH-E0303", format!("A folder could not be searched: {e}.")))?;
        found.push(here);
    }
    if found.iter().any(|here| here.hits > 0 || here.bytes == 0) {
        return Err(Failure::new("CH-E0304", "A name was found on a disk in clear, or nothing was there to search."));
    }
    let (coordinator, rest) = found.split_first().ok_or_else(|| Failure::bug("a folder"))?;
    let text = format!(
        "its disk ({} KiB) was searched for {} names and dates of the case: {} found; the same on the {} others' disks: {}",
        coordinator.bytes / 1024,
        person.canaries.len(),
        coordinator.hits,
        rest.len(),
        rest.iter().map(|here| here.hits).sum::<usize>()
    );
    teller.step("Coordinator", &text, None);
    Ok(())
}

/// Searches every file below a folder.
pub(crate) fn search(folder: &Path, canaries: &[String]) -> std::io::Result<Found> {
    let mut found = Found::default();
    look(folder, canaries, &mut found)?;
    Ok(found)
}

fn look(folder: &Path, canaries: &[String], found: &mut Found) -> std::io::Result<()> {
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| (e.path(), e.file_type())));
    for entry in paths {
        let (path, kind): (PathBuf, _) = entry?;
        let kind = kind?;
        if kind.is_dir() {
            look(&path, canaries, found)?;
        } else if kind.is_file() {
            // A file of the index may go away while it is looked at; its content is in the others.
            let Ok(content) = std::fs::read(path) else { continue };
            found.bytes += content.len() as u64;
            found.hits += canaries.iter().filter(|c| memchr::memmem::find(&content, c.as_bytes()).is_some()).count();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_a_disk_is_found_in_any_folder_and_any_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("deep/er")).unwrap();
        std::fs::write(folder.path().join("deep/er/file"), b"\0\0Marija K.\0").unwrap();
        std::fs::write(folder.path().join("other"), b"nothing of hers").unwrap();
        let found = search(folder.path(), &["Marija K.".to_owned(), "1990-02-03".to_owned()]).unwrap();
        assert_eq!((found.hits, found.bytes), (1, 27));
    }
}

//! The last step: every byte that any node of the demo has on its disk, searched for the person.

use std::path::{Path, PathBuf};

use super::person::Person;
use super::region::Region;
use super::{Failure, Teller};

/// What was found of the person in one folder.
#[derive(Default, Clone, Copy)]
struct Found {
    hits: usize,
    bytes: u64,
}

/// Searches every byte the coordinator has, and what all the others have on disk, for the person.
pub(super) fn searched(region: &Region, others: &[&Path], person: &Person, teller: &mut Teller) -> Result<(), Failure> {
    let ends = [region.destination.folder.as_path(), &region.origin.folder];
    let mut found = Vec::new();
    for folder in [region.coordinator.folder.as_path()].iter().chain(&ends).chain(others) {
        let mut here = Found::default();
        search(folder, &person.canaries, &mut here)
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

fn search(folder: &Path, canaries: &[String], found: &mut Found) -> std::io::Result<()> {
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| (e.path(), e.file_type())));
    for entry in paths {
        let (path, kind): (PathBuf, _) = entry?;
        let kind = kind?;
        if kind.is_dir() {
            search(&path, canaries, found)?;
        } else if kind.is_file() {
            // A file of the index may go away while it is looked at; its content is in the others.
            let Ok(content) = std::fs::read(path) else { continue };
            found.bytes += content.len() as u64;
            found.hits += canaries.iter().filter(|c| memchr::memmem::find(&content, c.as_bytes()).is_some()).count();
        }
    }
    Ok(())
}

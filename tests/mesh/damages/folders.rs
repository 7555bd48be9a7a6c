//! Folders of nodes, and what can happen to a file in one. Refuses to call a damage what leaves a file as it was.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

/// Not read by a node in service, or an operator's own: the configuration, what a ceremony made, what stands in memory only.
const NOT_KEPT: [&str; 9] = [
    "node.toml",
    "application.record",
    "organisation-root.key",
    "self-revocation.record",
    "control.sock",
    "serve.log",
    "BALLAST",
    "sessions",
    "checkpoint",
];
#[derive(Debug, Clone, Copy)]
pub(super) enum Damage {
    Flip,
    ZeroBlock,
    Cut,
    Empty,
    Missing,
    Swapped,
    Yesterday,
}

pub(super) const ALL: [Damage; 7] =
    [Damage::Flip, Damage::ZeroBlock, Damage::Cut, Damage::Empty, Damage::Missing, Damage::Swapped, Damage::Yesterday];

/// Copies of folders: the node's today and yesterday, and another node's.
pub(super) struct Folders {
    pub(super) today: PathBuf,
    pub(super) yesterday: PathBuf,
    pub(super) other: PathBuf,
}

impl Folders {
    /// Damages a file of a copy; false when that leaves it as it was.
    pub(super) fn damage(&self, image: &Path, file: &Path, how: Damage, dice: &mut ChaCha20Rng) -> bool {
        let path = image.join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let mut below = |n: usize| usize::try_from(dice.next_u64() % u64::try_from(n).unwrap()).unwrap();
        match how {
            Damage::Flip | Damage::ZeroBlock | Damage::Cut if bytes.is_empty() => return false,
            Damage::Flip => {
                // Most of an index is room that nothing stands in yet.
                let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                let bit = below(used.len() * 8);
                bytes[used[bit / 8]] ^= 1 << (bit % 8);
            }
            Damage::ZeroBlock => {
                let from = below(bytes.len()) / 4096 * 4096;
                let to = bytes.len().min(from + 4096);
                bytes[from..to].fill(0);
            }
            Damage::Cut => bytes.truncate(below(bytes.len())),
            Damage::Empty => bytes.clear(),
            Damage::Missing => {
                fs::remove_file(path).unwrap();
                return true;
            }
            Damage::Swapped | Damage::Yesterday => {
                let from = if matches!(how, Damage::Swapped) { &self.other } else { &self.yesterday };
                let Some(found) = counterpart(from, file) else { return false };
                bytes = fs::read(found).unwrap();
            }
        }
        if bytes != whole {
            fs::write(path, &bytes).unwrap();
        }
        bytes != whole
    }
}

/// The file of another folder that stands where this one does: of the same name, or the same but for a number.
fn counterpart(folder: &Path, file: &Path) -> Option<PathBuf> {
    let kind = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let start = name.split('-').next().unwrap_or_default().to_owned();
        (path.parent().map(Path::to_owned), if name.len() == 64 { String::new() } else { start })
    };
    if folder.join(file).is_file() {
        return Some(folder.join(file));
    }
    listed(folder).into_iter().find(|other| kind(other) == kind(file)).map(|other| folder.join(other))
}

/// Every file of a folder that a node in service relies on, relative to it, sorted.
pub(super) fn listed(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if NOT_KEPT.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() { open.push(path) } else { found.push(path.strip_prefix(folder).unwrap().to_owned()) }
        }
    }
    found.sort();
    found
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() && entry.file_name() != "BALLAST" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

//! The 196 published Merkle proofs, most of them wrong (transparency-dev/merkle).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{published, workspace};
use crate::log::Hash;
use crate::log::tree::{self, Hashes};
use crate::merkle;
use crate::pae::sha256;

const PROOFS: &str = "tlog/merkle-proofs";

/// Every file below a folder of the published ones.
fn files(kind: &str) -> Vec<PathBuf> {
    let (mut all, mut folders) = (Vec::new(), vec![workspace().join("../shared/vectors").join(PROOFS).join(kind)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the published proofs").flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { all.push(path) }
        }
    }
    all.sort();
    all
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a published file")).expect("a published file is JSON")
}

/// A hash of the file; `None` for one that is no SHA-256 hash, which no caller of ours could even hand over.
fn hash(value: &Value) -> Option<[u8; 32]> {
    STANDARD.decode(value.as_str()?).ok()?.try_into().ok()
}

fn path(value: &Value) -> Option<Vec<[u8; 32]>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

fn judge(kind: &str, verify: impl Fn(&Value) -> Option<bool>) -> [usize; 2] {
    let mut counts = [0, 0];
    for file in files(kind) {
        let case = read(&file);
        // Dummy roots of 12 bytes, which the file calls right.
        if file.ends_with("additional/sizes-are-equal-one-and-proof-is-empty.json") {
            continue;
        }
        let wrong = case["wantErr"].as_bool().expect("a verdict");
        assert_eq!(verify(&case).unwrap_or(false), !wrong, "{}: {}", file.display(), case["desc"]);
        counts[usize::from(wrong)] += 1;
    }
    counts
}

#[test]
fn attack_24_published_merkle_proofs_are_judged_as_published() {
    if published("README.md").is_none() {
        return;
    }
    let inclusion = judge("inclusion", |case| {
        let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
        Some(merkle::includes(
            &leaf,
            case["leafIdx"].as_u64()?,
            case["treeSize"].as_u64()?,
            &path(&case["proof"])?,
            &root,
        ))
    });
    let consistency = judge("consistency", |case| {
        let (old, new) = (hash(&case["root1"])?, hash(&case["root2"])?);
        let (from, to) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
        Some(merkle::extends((from, &old), (to, &new), &path(&case["proof"])?))
    });
    assert_eq!(inclusion.iter().chain(&consistency).sum::<usize>(), 195, "{inclusion:?} {consistency:?}");
    assert_eq!(inclusion[1] + consistency[1], 184, "how many must fail");
}

/// A tree of any size whose leaves are all the same: what no memory holds can still be proved.
struct Endless {
    levels: Vec<Hash>,
}

impl Endless {
    fn of(leaf: &[u8]) -> Self {
        let mut levels = vec![merkle::leaf(leaf)];
        for level in 0..63 {
            levels.push(merkle::node(&levels[level], &levels[level]));
        }
        Self { levels }
    }
}

impl Hashes for Endless {
    type Error = std::convert::Infallible;

    fn at(&self, level: u32, _: u64) -> Result<Hash, Self::Error> {
        Ok(self.levels[level as usize])
    }
}

/// Sizes at which numbers of 32, 63 and 64 bits end.
const EXTREMES: [u64; 9] =
    [1 << 32, (1 << 32) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 2, u64::MAX - 1, u64::MAX, u64::MAX / 3];

#[test]
fn attack_24_places_at_the_ends_of_64_bits_are_proved_and_none_beyond_them() {
    let (tree, other) = (Endless::of(b"same"), Endless::of(b"else"));
    let leaf = tree.levels[0];
    for size in EXTREMES {
        let root = tree::root(&tree, size).expect("it is there");
        for index in [0, 1, size / 2, size - 2, size - 1] {
            let path = tree::inclusion(&tree, index, size).expect("it is there");
            let holds =
                |leaf: &Hash, index, size, path: &[Hash], root: &Hash| merkle::includes(leaf, index, size, path, root);
            assert!(holds(&leaf, index, size, &path, &root), "{index} of {size}");
            assert!(!holds(&other.levels[0], index, size, &path, &root), "{index} of {size}: another leaf");
            assert!(!holds(&leaf, index, size, &path, &[0; 32]), "{index} of {size}: another root");
            assert!(!holds(&leaf, size, size, &path, &root) && !holds(&leaf, u64::MAX, size, &path, &root));
            assert!(!holds(&leaf, index, size, &path[1..], &root), "{index} of {size}: shorter");
            assert!(
                !holds(&leaf, index, size, &[path.clone(), vec![leaf]].concat(), &root),
                "{index} of {size}: longer"
            );
            assert!(!holds(&leaf, index, 0, &path, &root) && !holds(&leaf, index, 1, &path, &root));
        }
        for old in [1, 2, size / 2, size - 1] {
            let before = tree::root(&tree, old).expect("it is there");
            let path = tree::consistency(&tree, old, size).expect("it is there");
            let holds = |old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]| merkle::extends(old, new, path);
            assert!(holds((old, &before), (size, &root), &path), "{old} to {size}");
            assert!(!holds((old, &[0; 32]), (size, &root), &path) && !holds((old, &before), (size, &[0; 32]), &path));
            assert!(!holds((size, &root), (old, &before), &path), "{size} back to {old}");
            assert!(!holds((old, &before), (size, &root), &path[..path.len() - 1]), "{old} to {size}: shorter");
        }
    }
}

#[test]
fn attack_24_nothing_is_in_the_empty_tree_and_every_tree_begins_with_it() {
    let (empty, leaf) = (sha256(&[]), merkle::leaf(b"same"));
    for (index, size) in [(0, 0), (u64::MAX, 0), (1, 0), (u64::MAX, u64::MAX)] {
        assert!(
            !merkle::includes(&leaf, index, size, &[], &empty) && !merkle::includes(&empty, index, size, &[], &empty)
        );
        assert!(!merkle::includes(&leaf, index, size, &[leaf], &leaf));
    }
    assert!(merkle::extends((0, &empty), (0, &empty), &[]));
    assert!(merkle::extends((0, &empty), (u64::MAX, &leaf), &[]));
    // The empty tree has one root, and needs no proof.
    assert!(!merkle::extends((0, &leaf), (7, &leaf), &[]) && !merkle::extends((0, &empty), (7, &leaf), &[leaf]));
    assert!(!merkle::extends((0, &empty), (0, &leaf), &[]) && !merkle::extends((7, &leaf), (0, &empty), &[]));
}

//! The 196 published Merkle proofs, most of them wrong (transparency-dev/merkle).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{published, workspace};
use crate::merkle;

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
fn attack_12_published_merkle_proofs() {
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

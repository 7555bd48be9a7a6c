//! Merkle trees of RFC 6962, section 2.1: hashes, trees over leaves held in memory, and the two verifications. Trees
//! too large for memory are [`log::tree`](crate::log::tree)'s.

use crate::pae::sha256;
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// SHA-256 begins with these words (FIPS 180-4, section 5.3.3).
const FIRST: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Bytes of a leaf that fit one block of SHA-256, beside what is before and behind them.
const SHORT_LEAF: usize = 64 - 1 - 9;

/// Hash of one leaf.
#[must_use]
pub fn leaf(data: &[u8]) -> [u8; 32] {
    if data.len() > SHORT_LEAF {
        return Sha256::new().chain_update([0]).chain_update(data).finalize().into();
    }
    let mut block = [0; 64];
    block[1..=data.len()].copy_from_slice(data);
    block[1 + data.len()] = 0x80;
    block[62..].copy_from_slice(&(8 * (1 + data.len() as u16)).to_be_bytes());
    digest(&[block])
}

/// Hash of two subtrees.
#[must_use]
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let (most, last) = right.split_at(31);
    let mut blocks = [[0; 64]; 2];
    blocks[0][0] = 1;
    blocks[0][1..33].copy_from_slice(left);
    blocks[0][33..].copy_from_slice(most);
    blocks[1][..1].copy_from_slice(last);
    blocks[1][1] = 0x80;
    blocks[1][62..].copy_from_slice(&(8 * 65u16).to_be_bytes());
    digest(&blocks)
}

/// SHA-256 of blocks that are padded already. Trees are made of these two short messages alone, and a hasher that
/// takes messages piece by piece needs half as long again for them.
fn digest(blocks: &[[u8; 64]]) -> [u8; 32] {
    let mut state = FIRST;
    compress256(&mut state, blocks);
    let mut out = [0; 32];
    out.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    out
}

/// The largest power of two below `n`; `n` is at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Root of a tree over leaf hashes; of no leaves, SHA-256 of nothing.
#[must_use]
pub fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Inclusion path of leaf `index`, nearest sibling first. Empty for an index out of range.
#[must_use]
pub fn path(leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, sibling) =
        if index < k { (path(left, index), root(right)) } else { (path(right, index - k), root(left)) };
    below.push(sibling);
    below
}

/// Whether `path` leads from leaf `index` of `size` to `root` (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn includes(leaf: &[u8; 32], index: u64, size: u64, path: &[[u8; 32]], root: &[u8; 32]) -> bool {
    if index >= size {
        return false;
    }
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            hash = node(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` shows that the tree of `old_size` leaves with `old_root` is the beginning of the tree of `new_size`
/// leaves with `new_root` (RFC 9162, section 2.1.4.2). Every tree begins with the
/// empty one, which has one root and needs no proof.
#[must_use]
pub fn extends(
    (old_size, old_root): (u64, &[u8; 32]),
    (new_size, new_root): (u64, &[u8; 32]),
    path: &[[u8; 32]],
) -> bool {
    if old_size >= new_size {
        return old_size == new_size && path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && *old_root == root(&[]);
    }
    // A whole subtree is its own proof: the path then leaves the old root out.
    let (first, rest) = match path.split_first() {
        Some(_) if old_size.is_power_of_two() => (old_root, path),
        Some((first, rest)) => (first, rest),
        None => return false,
    };
    unfold(old_size, new_size, first, rest) == Some((*old_root, *new_root))
}

/// The roots of the first `old_size` leaves and of all `new_size` that follow from a consistency proof: `first` is the
/// largest subtree at the right edge of the old tree, `rest` its siblings. `None` when the path is not one for these
/// sizes, or the old tree is empty or not the smaller.
///
/// Each hash has one place in the larger tree, and the old root follows from some of those that the new one follows from.
/// So there are no two paths to one new root with different old ones.
#[must_use]
pub fn unfold(old_size: u64, new_size: u64, first: &[u8; 32], rest: &[[u8; 32]]) -> Option<([u8; 32], [u8; 32])> {
    if old_size == 0 || old_size >= new_size {
        return None;
    }
    let (mut position, mut last) = (old_size - 1, new_size - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            old = node(sibling, &old);
            new = node(sibling, &new);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new = node(&new, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<[u8; 32]> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn leaves_and_nodes_are_what_a_plain_sha_256_says_they_are() {
        let bytes: Vec<u8> = (0..200).collect();
        for len in 0..bytes.len() {
            assert_eq!(leaf(&bytes[..len]), sha256(&[&[0], &bytes[..len]].concat()), "{len}");
        }
        let (left, right) = (leaf(b"left"), leaf(b"right"));
        assert_eq!(node(&left, &right), sha256(&[&[1], left.as_slice(), &right].concat()));
    }

    #[test]
    fn nothing_unfolds_from_no_leaves_or_into_no_more() {
        let hashes = [[1; 32]; 3];
        for (old, new) in [(0, 5), (5, 5), (6, 5), (0, 0)] {
            for rest in 0..hashes.len() {
                assert_eq!(unfold(old, new, &[1; 32], &hashes[..rest]), None, "{old} of {new}");
            }
        }
    }

    #[test]
    fn every_path_of_every_small_tree_leads_to_its_root_and_to_no_other() {
        assert_eq!(root(&[]), sha256(&[]));
        for n in 1..40 {
            let leaves = leaves(n);
            let root = root(&leaves);
            for i in 0..n {
                let path = path(&leaves, i);
                assert!(includes(&leaves[i], i as u64, n as u64, &path, &root));
                assert!(!includes(&leaves[i], i as u64, n as u64, &path, &[0; 32]));
                assert!(!includes(&leaf(b"other"), i as u64, n as u64, &path, &root));
                assert!(!includes(&leaves[i], n as u64, n as u64, &path, &root));
                if !path.is_empty() {
                    assert!(!includes(&leaves[i], i as u64, n as u64, &path[1..], &root));
                    assert!(!includes(&leaves[i], i as u64, n as u64, &[path.clone(), vec![[1; 32]]].concat(), &root));
                }
            }
        }
    }
}

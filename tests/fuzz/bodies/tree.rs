//! Hash trees: proofs of inclusion and consistency, edges, tiles and entry bundles.
//!
//! Promises: what the tree itself proves holds; nothing that was changed does; no size or place that somebody makes up
//! stops anything.

use clearhouse_protocol::log::tiles::{bundled, hashes_of, read_bundle};
use clearhouse_protocol::log::tree::{Edge, Levels, consistency, inclusion, prefix, root};
use clearhouse_protocol::log::{Hash, LEAF_LEN, commitment};
use clearhouse_protocol::merkle::{self, extends, includes, unfold};

use super::bytes::Bytes;
use super::{Seed, seed};

/// Leaves of the largest tree.
const LEAVES_MAX: usize = 70;

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 5 {
        0 => proved(&mut bytes),
        1 => made_up(&mut bytes),
        2 => edge(&mut bytes),
        3 => bundle(bytes.rest()),
        _ => grown(&mut bytes),
    }
}

/// A tree of as many leaves as the next byte says, each its own.
fn leaves(bytes: &mut Bytes<'_>) -> Vec<Hash> {
    let salt = bytes.u8();
    (0..=bytes.below(LEAVES_MAX)).map(|n| merkle::leaf(&[salt, n as u8])).collect()
}

/// Proofs of a tree, changed at one place or not.
fn proved(bytes: &mut Bytes<'_>) {
    let leaves = leaves(bytes);
    let (size, levels) = (leaves.len() as u64, Levels::over(leaves.clone()));
    let Ok(top) = root(&levels, size);
    assert_eq!(top, merkle::root(&leaves));
    let index = bytes.below(leaves.len());
    let (mask, at, length) = (bytes.u8(), usize::from(bytes.u16()), bytes.u8());
    let Ok(mut path) = inclusion(&levels, index as u64, size);
    let is_changed = change(&mut path, at, mask, length);
    assert_eq!(includes(&leaves[index], index as u64, size, &path, &top), !is_changed, "{index} of {size}");
    let old = bytes.below(leaves.len() + 1);
    let before = merkle::root(&leaves[..old]);
    let Ok(mut path) = consistency(&levels, old as u64, size);
    let is_changed = change(&mut path, at, mask, length);
    assert_eq!(extends((old as u64, &before), (size, &top), &path), !is_changed, "{old} to {size}");
    if (1..leaves.len()).contains(&old) {
        let Ok(path) = prefix(&levels, old as u64, size);
        let (first, rest) = path.split_first().expect("a beginning has a root");
        assert_eq!(unfold(old as u64, size, first, rest), Some((before, top)));
    }
}

/// Changes a byte of a path, or leaves out its last hash, or adds one. Whether it did.
fn change(path: &mut Vec<Hash>, at: usize, mask: u8, length: u8) -> bool {
    match length % 4 {
        1 => return path.pop().is_some(),
        2 => {
            path.push([mask; 32]);
            return true;
        }
        _ => {}
    }
    let place = at % (path.len() * 32).max(1);
    let Some(hash) = path.get_mut(place / 32) else { return false };
    hash[place % 32] ^= mask;
    mask != 0
}

/// Sizes and hashes of anybody's choice.
fn made_up(bytes: &mut Bytes<'_>) {
    let (index, size, other) = (bytes.u64(), bytes.u64(), bytes.u64());
    let (leaf, top) = (bytes.array(), bytes.array());
    let path = bytes.rest().as_chunks::<32>().0;
    assert!(!includes(&leaf, index, size, path, &top) || index < size);
    assert!(!extends((size, &leaf), (other, &top), path) || size <= other);
    if let Some((first, rest)) = path.split_first() {
        assert!(unfold(size, other, first, rest).is_none() || (size > 0 && size < other));
    }
}

/// An edge that was kept, whatever it says, and goes on growing.
fn edge(bytes: &mut Bytes<'_>) {
    let (size, level, count) = (bytes.u64(), u32::from(bytes.u8() % 70), bytes.u8() % 8);
    let Some(mut edge) = Edge::kept(size, bytes.rest()) else { return };
    assert!(Edge::kept(edge.size(), &edge.roots()).as_ref() == Some(&edge), "an edge is kept otherwise");
    // Nothing reads an edge of more leaves than there can be.
    if size > u64::MAX >> 2 {
        return;
    }
    let before = edge.size();
    let is_grown = edge.push_whole(level, [1; 32]);
    assert_eq!(is_grown, edge.size() > before);
    (0..count).for_each(|n| edge.push([n; 32]));
    assert_eq!(edge.roots().len(), 32 * edge.size().count_ones() as usize);
    let _ = edge.root();
}

fn bundle(bytes: &[u8]) {
    let Some(leaves) = read_bundle(bytes) else { return };
    assert_eq!(leaves.len() * (LEAF_LEN + 2), bytes.len());
    let again: Vec<u8> = leaves.iter().filter_map(|leaf| bundled(leaf)).flatten().collect();
    assert!(again == bytes, "a bundle that was read is written otherwise");
    assert_eq!(hashes_of(&leaves).len(), leaves.len());
    let _ = leaves.iter().filter_map(|leaf| commitment(leaf)).count();
}

/// An edge that grows leaf by leaf is that of the tree, at every size.
fn grown(bytes: &mut Bytes<'_>) {
    let leaves = leaves(bytes);
    let levels = Levels::over(leaves.clone());
    let size = bytes.below(leaves.len() + 1);
    let Ok(mut edge) = Edge::of(&levels, size as u64);
    assert_eq!(edge.root(), merkle::root(&leaves[..size]));
    leaves[size..].iter().for_each(|leaf| edge.push(*leaf));
    assert_eq!(edge.root(), merkle::root(&leaves));
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let leaf = [&[0, 33, 1][..], &[7; 32]].concat();
    vec![
        seed("proved", 0, &[1, 6, 3, 0, 0, 0, 0, 4]),
        seed("proved-changed", 0, &[1, 6, 3, 1, 0, 40, 0, 4]),
        seed("proved-shorter", 0, &[1, 6, 3, 0, 0, 0, 1, 4]),
        seed("proved-longer", 0, &[1, 6, 3, 0, 0, 0, 2, 4]),
        seed("made-up", 1, &[[0; 24].as_slice(), &[0xff; 128]].concat()),
        seed("made-up-huge", 1, &[0xff; 200]),
        seed("edge", 2, &[[0, 0, 0, 0, 0, 0, 0, 5, 0, 3].as_slice(), &[2; 64]].concat()),
        seed("edge-short", 2, &[0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 9]),
        seed("bundle", 3, &leaf.repeat(3)),
        seed("bundle-cut", 3, &leaf[..20]),
        seed("grown", 4, &[1, 69, 20]),
    ]
}

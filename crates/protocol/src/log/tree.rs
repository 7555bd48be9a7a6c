//! Roots and proofs of a tree that does not lie in memory: whatever holds its hashes is asked for whole subtrees.
//!
//! RFC 6962, section 2.1. Each proof asks for a number of hashes that grows with the logarithm of the tree.

use std::convert::Infallible;

use super::Hash;
use crate::merkle::node;
use crate::pae::sha256;

/// Hashes of whole subtrees: `at(level, index)` is the root over the leaves `index << level .. (index + 1) << level`.
pub trait Hashes {
    /// Why a hash cannot be had.
    type Error;

    /// One hash. It is only asked for subtrees that lie wholly within the tree.
    ///
    /// # Errors
    /// Whatever kept it from being read.
    fn at(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` leaves.
///
/// # Errors
/// Of [`Hashes::at`].
pub fn root<H: Hashes>(hashes: &H, size: u64) -> Result<Hash, H::Error> {
    if size == 0 { Ok(sha256(&[])) } else { subtree(hashes, 0, size) }
}

/// The proof that leaf `index` is among the first `size`, nearest sibling first. Empty for an index out of range.
///
/// # Errors
/// Of [`Hashes::at`].
pub fn inclusion<H: Hashes>(hashes: &H, index: u64, size: u64) -> Result<Vec<Hash>, H::Error> {
    if index >= size {
        return Ok(Vec::new());
    }
    let mut path = Vec::with_capacity((u64::BITS - (size - 1).leading_zeros()) as usize);
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree(hashes, middle, to)?);
            to = middle;
        } else {
            path.push(subtree(hashes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` leaves are the beginning of the first `new`. Empty when there is nothing to prove:
/// no old leaves, equal sizes, or sizes in the wrong order.
///
/// # Errors
/// Of [`Hashes::at`].
pub fn consistency<H: Hashes>(hashes: &H, old: u64, new: u64) -> Result<Vec<Hash>, H::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(subtree(hashes, middle, to)?);
            to = middle;
        } else {
            path.push(subtree(hashes, from, middle)?);
            from = middle;
        }
    }
    // The left edge is the old tree itself, whose root the other side has.
    if from > 0 {
        path.push(subtree(hashes, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// What [`merkle::unfold`](crate::merkle::unfold) reads: [`consistency`] with the subtree it begins at, which that leaves
/// out where the old tree is whole. Empty for sizes between which there is nothing to show.
///
/// # Errors
/// Of [`Hashes::at`].
pub fn prefix<H: Hashes>(hashes: &H, old: u64, new: u64) -> Result<Vec<Hash>, H::Error> {
    let mut path = consistency(hashes, old, new)?;
    if old.is_power_of_two() && old < new {
        path.insert(0, subtree(hashes, 0, old)?);
    }
    Ok(path)
}

/// The root over the leaves `from..to`, where `from` is a multiple of the largest power of two that fits.
fn subtree<H: Hashes>(hashes: &H, from: u64, to: u64) -> Result<Hash, H::Error> {
    let size = to - from;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return hashes.at(level, from >> level);
    }
    let middle = from + split(size);
    Ok(node(&subtree(hashes, from, middle)?, &subtree(hashes, middle, to)?))
}

/// The largest power of two below `n`; `n` is at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// Leaf hashes in memory, and the hashes of all whole subtrees over them.
#[derive(Clone)]
pub struct Levels {
    width: usize,
    /// Level after level, the leaves first.
    hashes: Vec<Hash>,
}

impl Levels {
    /// Hashes each subtree once.
    #[must_use]
    pub fn over(leaves: Vec<Hash>) -> Self {
        let (width, mut hashes) = (leaves.len(), leaves);
        hashes.reserve_exact(width.saturating_sub(1));
        let (mut from, mut len) = (0, width);
        while len > 1 {
            for left in (from..from + len - 1).step_by(2) {
                let above = node(&hashes[left], &hashes[left + 1]);
                hashes.push(above);
            }
            from += len;
            len /= 2;
        }
        Self { width, hashes }
    }

    /// How many leaves there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The root over the leaves `place << above .. (place + 1) << above`; `None` unless all of them are there.
    #[must_use]
    pub fn hash(&self, above: u32, place: usize) -> Option<Hash> {
        self.width.checked_shr(above).filter(|len| place < *len)?;
        self.hashes.get(self.start(above) + place).copied()
    }

    /// From a level up, its subtrees as the leaves. For a width that is a multiple of theirs.
    #[must_use]
    pub fn from_level(&self, above: u32) -> Self {
        let hashes = self.hashes.get(self.start(above)..).unwrap_or_default().to_vec();
        Self { width: self.width.checked_shr(above).unwrap_or(0), hashes }
    }

    /// The root, of a width that is a power of two.
    #[must_use]
    pub fn top(&self) -> Option<Hash> {
        self.hashes.last().copied()
    }

    /// Bytes of all hashes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.hashes.len() * size_of::<Hash>()
    }

    fn start(&self, above: u32) -> usize {
        (0..above.min(usize::BITS)).map(|level| self.width >> level).sum()
    }
}

impl Hashes for Levels {
    type Error = Infallible;

    fn at(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        // Beyond the leaves, against the contract: a hash that no root agrees with.
        Ok(usize::try_from(index).ok().and_then(|index| self.hash(level, index)).unwrap_or([0; 32]))
    }
}

/// The roots of the whole subtrees along the right edge: all that is needed to append, and to know the root.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// Largest subtree first, one for each bit of `size`.
    roots: Vec<Hash>,
}

impl Edge {
    /// The edge of the first `size` leaves.
    ///
    /// # Errors
    /// Of [`Hashes::at`].
    pub fn of<H: Hashes>(hashes: &H, size: u64) -> Result<Self, H::Error> {
        let levels = (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1);
        let roots = levels.map(|level| hashes.at(level, (size >> level) - 1)).collect::<Result<_, _>>()?;
        Ok(Self { size, roots })
    }

    /// An edge as it was kept: how many leaves, and [`Edge::roots`]. `None` when they do not go together.
    #[must_use]
    pub fn kept(size: u64, roots: &[u8]) -> Option<Self> {
        let (roots, rest) = roots.as_chunks();
        let fits = rest.is_empty() && roots.len() == size.count_ones() as usize;
        fits.then(|| Self { size, roots: roots.to_vec() })
    }

    /// The roots of the whole subtrees, largest first, 32 bytes each: what is kept of an edge besides its size.
    #[must_use]
    pub fn roots(&self) -> Vec<u8> {
        self.roots.concat()
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                right = node(&left, &right);
            }
        }
        self.roots.push(right);
        self.size += 1;
    }

    /// Appends a whole subtree of `1 << level` leaves by its root. Does nothing and says so where such a one cannot begin.
    #[must_use]
    pub fn push_whole(&mut self, level: u32, root: Hash) -> bool {
        let leaves = 1u64.checked_shl(level).unwrap_or(0);
        if leaves == 0 || !self.size.is_multiple_of(leaves) || self.size.checked_add(leaves).is_none() {
            return false;
        }
        let mut right = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.roots.pop() {
                right = node(&left, &right);
            }
        }
        self.roots.push(right);
        self.size += leaves;
        true
    }

    /// The root of all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let smallest = roots.next().copied();
        smallest.map_or_else(|| sha256(&[]), |first| roots.fold(first, |right, left| node(left, &right)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle;

    /// Hashes computed from leaves each time.
    struct Leaves(Vec<Hash>);

    impl Hashes for Leaves {
        type Error = Infallible;

        fn at(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let (from, len) = ((index as usize) << level, 1 << level);
            Ok(merkle::root(&self.0[from..from + len]))
        }
    }

    fn leaves(n: u64) -> Leaves {
        Leaves((0..n).map(|i| merkle::leaf(&i.to_be_bytes())).collect())
    }

    #[test]
    fn proofs_of_every_small_tree_are_those_of_the_tree_in_memory() {
        for n in 0..70u64 {
            let tree = leaves(n);
            let top = root(&tree, n).unwrap();
            assert_eq!(top, merkle::root(&tree.0));
            let levels = Levels::over(tree.0.clone());
            for i in 0..n {
                assert_eq!(inclusion(&tree, i, n).unwrap(), merkle::path(&tree.0, i as usize));
                assert_eq!(inclusion(&levels, i, n).unwrap(), merkle::path(&tree.0, i as usize));
            }
            assert_eq!(root(&levels, n).unwrap(), top);
            assert_eq!(inclusion(&tree, n, n).unwrap(), Vec::<Hash>::new());
        }
    }

    #[test]
    fn levels_hold_every_whole_subtree_and_nothing_beyond_them() {
        for n in [0usize, 1, 2, 3, 7, 8, 31] {
            let tree = leaves(n as u64);
            let levels = Levels::over(tree.0.clone());
            for above in 0..8 {
                for place in 0..n {
                    let whole = (place + 1) << above <= n;
                    let expected = whole.then(|| tree.at(above, place as u64).unwrap());
                    assert_eq!(levels.hash(above, place), expected, "{above} {place} of {n}");
                }
            }
            assert_eq!((levels.hash(64, 0), levels.hash(u32::MAX, 0), levels.width()), (None, None, n));
        }
        let levels = Levels::over(leaves(32).0);
        assert_eq!(levels.from_level(3).hash(1, 1), levels.hash(4, 1));
        assert_eq!((levels.from_level(3).top(), levels.from_level(3).width()), (levels.top(), 4));
        assert_eq!(levels.from_level(3).bytes(), 7 * 32);
    }

    #[test]
    fn every_beginning_of_every_small_tree_is_proved_and_no_other() {
        for new in 0..70u64 {
            let tree = leaves(new);
            let top = root(&tree, new).unwrap();
            for old in 0..=new {
                let before = root(&tree, old).unwrap();
                let path = consistency(&tree, old, new).unwrap();
                let holds = |old_root: &Hash, new_root: &Hash, path: &[Hash]| {
                    merkle::extends((old, old_root), (new, new_root), path)
                };
                assert!(holds(&before, &top, &path), "{old} of {new}");
                assert!(!holds(&[1; 32], &top, &path), "{old} of {new}: another beginning");
                if old > 0 {
                    assert!(!holds(&before, &[1; 32], &path), "{old} of {new}: another end");
                    assert!(!holds(&before, &top, &[path.clone(), vec![[1; 32]]].concat()), "{old} of {new}: longer");
                }
                if !path.is_empty() {
                    assert!(!holds(&before, &top, &path[1..]), "{old} of {new}: shorter");
                }
                assert!(!merkle::extends((new + 1, &top), (new, &before), &path));
            }
        }
    }

    #[test]
    fn a_beginning_is_shown_where_one_tree_is_smaller_and_nowhere_else() {
        let tree = leaves(12);
        for (old, new, len) in [(8, 12, 2), (7, 12, 5), (8, 8, 0), (12, 8, 0), (0, 8, 0)] {
            assert_eq!(prefix(&tree, old, new).unwrap().len(), len, "{old} of {new}");
        }
    }

    #[test]
    fn an_edge_takes_whole_subtrees_where_they_can_begin_and_is_the_one_of_their_leaves() {
        let tree = leaves(64);
        for level in 0..4 {
            let mut edge = Edge::default();
            for index in 0..64 >> level {
                assert!(edge.push_whole(level, tree.at(level, index).unwrap()));
                assert!(edge == Edge::of(&tree, (index + 1) << level).unwrap());
            }
            edge.push([1; 32]);
            let before = edge.clone();
            assert_eq!(edge.push_whole(level, [2; 32]), level == 0, "nothing larger begins after an odd leaf");
            assert!(level == 0 || edge == before);
        }
        assert!(!Edge::default().push_whole(64, [0; 32]));
    }

    #[test]
    fn an_edge_grows_with_the_tree_and_can_be_taken_up_anywhere() {
        let tree = leaves(70);
        let mut edge = Edge::default();
        for n in 0..70u64 {
            assert_eq!((edge.size(), edge.root()), (n, root(&tree, n).unwrap()));
            assert!(edge == Edge::of(&tree, n).unwrap());
            assert!(Edge::kept(n, &edge.roots()).is_some_and(|kept| kept == edge));
            assert!(Edge::kept(n, &[edge.roots(), vec![0; 32]].concat()).is_none());
            assert!(Edge::kept(n, &[edge.roots(), vec![0]].concat()).is_none());
            edge.push(tree.0[n as usize]);
        }
    }
}

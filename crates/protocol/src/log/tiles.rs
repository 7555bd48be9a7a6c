//! Tiles: the tree in pieces of 256 hashes, as files that any C2SP tool reads (tlog-tiles). Leaves lie beside them in
//! entry bundles.
//!
//! A tile of tile level `L` holds hashes of tree level `8 * L`. Only whole subtrees have a hash, so the last tile of a
//! level may be narrower; it is then kept under a name that says how wide it is.

mod tiled;

use super::{Hash, LEAF_LEN};
use crate::merkle::{leaf, root};

pub use tiled::{Remembered, Tiled};

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Tree levels that one tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// Tile levels of the largest tree there can be.
pub const TILE_LEVELS: u32 = 64 / TILE_HEIGHT;

/// One tile, or one entry bundle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TileId {
    /// Tile level; `None` for a bundle of entries.
    pub level: Option<u32>,
    /// Which one of its level, from 0.
    pub index: u64,
    /// Hashes in it: 1 to 256.
    pub width: u64,
}

impl TileId {
    /// Where it lies: `tile/<L>/<N>` or `tile/entries/<N>`, with `.p/<W>` while it is not full. `N` is written in
    /// groups of three digits, all but the last with an `x` before them.
    #[must_use]
    pub fn path(&self) -> String {
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let partial = if self.width < TILE_WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{level}/{}{partial}", groups.join("/"))
    }

    /// The narrower tile that stood in its place in a tree of `old` leaves, if one did.
    #[must_use]
    pub fn narrower(&self, old: u64) -> Option<Self> {
        let had = old.checked_shr(self.level.unwrap_or(0) * TILE_HEIGHT).unwrap_or(0);
        let width = had.saturating_sub(self.index * TILE_WIDTH);
        (0 < width && width < self.width).then_some(Self { width, ..*self })
    }
}

/// The tiles of a level of a tree of `size` leaves, from the first that a tree of `since` leaves did not have whole.
pub fn of_level(level: u32, since: u64, size: u64) -> impl Iterator<Item = TileId> {
    let shift = level * TILE_HEIGHT;
    let (had, has) = (since.checked_shr(shift).unwrap_or(0), size.checked_shr(shift).unwrap_or(0));
    let all = had / TILE_WIDTH..has.div_ceil(TILE_WIDTH);
    let width = move |index: u64| (has - index * TILE_WIDTH).min(TILE_WIDTH);
    all.filter(move |_| has > had).map(move |index| TileId { level: Some(level), index, width: width(index) })
}

/// Every tile that a tree has at `size` and had not at `since`, level by level.
pub fn added(since: u64, size: u64) -> impl Iterator<Item = TileId> {
    (0..TILE_LEVELS).flat_map(move |level| of_level(level, since, size))
}

/// The entry bundles that a tree has at `size` and had not at `since`.
pub fn bundles_added(since: u64, size: u64) -> impl Iterator<Item = TileId> {
    of_level(0, since, size).map(|tile| TileId { level: None, ..tile })
}

/// One entry as it stands in an entry bundle, behind its length in two bytes. `None` for one longer than that can say.
#[must_use]
pub fn bundled(entry: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(entry.len()).ok()?;
    Some([&len.to_be_bytes()[..], entry].concat())
}

/// Reads an entry bundle of leaves of ours. `None` for one cut off, or with a leaf of another length.
#[must_use]
pub fn read_bundle(bytes: &[u8]) -> Option<Vec<[u8; LEAF_LEN]>> {
    let mut leaves = Vec::with_capacity(bytes.len() / (LEAF_LEN + 2));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (leaf, after) = after.split_first_chunk::<LEAF_LEN>()?;
        (usize::from(u16::from_be_bytes(*len)) == LEAF_LEN).then_some(())?;
        leaves.push(*leaf);
        rest = after;
    }
    Some(leaves)
}

/// The level-0 hashes of a bundle.
#[must_use]
pub fn hashes_of(leaves: &[[u8; LEAF_LEN]]) -> Vec<Hash> {
    leaves.iter().map(|data| leaf(data)).collect()
}

/// Whatever holds tiles.
pub trait Tiles {
    /// Why a tile cannot be had.
    type Error;

    /// The hashes of a tile: exactly as many as its width, or an error.
    ///
    /// # Errors
    /// Whatever kept it from being read.
    fn tile(&self, id: TileId) -> Result<Vec<Hash>, Self::Error>;

    /// Some hashes of a full tile, from number `from` on: as many as `into` has room for, or an error.
    ///
    /// # Errors
    /// As [`Tiles::tile`].
    fn part(&self, id: TileId, from: usize, into: &mut [Hash]) -> Result<(), Self::Error> {
        let all = self.tile(id)?;
        let some = all.get(from..from + into.len()).ok_or_else(|| self.damaged(id))?;
        into.copy_from_slice(some);
        Ok(())
    }

    /// The error that says that the hashes of a tile are not those of the log.
    fn damaged(&self, id: TileId) -> Self::Error;
}

/// The tiles that appending `fresh` leaf hashes to a tree of `old` leaves adds or widens, lowest level first.
///
/// # Errors
/// Of [`Tiles::tile`]: each level's last tile is read once.
pub fn grow<T: Tiles>(tiles: &T, old: u64, fresh: &[Hash]) -> Result<Vec<(TileId, Vec<Hash>)>, T::Error> {
    let new = old + fresh.len() as u64;
    let mut added = Vec::new();
    let mut fresh = fresh.to_vec();
    for level in 0..TILE_LEVELS {
        let had = old >> (level * TILE_HEIGHT);
        let mut above = Vec::new();
        let mut rest = fresh.as_slice();
        for id in of_level(level, old, new) {
            let held = had.saturating_sub(id.index * TILE_WIDTH).min(TILE_WIDTH);
            let mut hashes = if held > 0 { tiles.tile(TileId { width: held, ..id })? } else { Vec::new() };
            let (now, later) = rest.split_at(rest.len().min((id.width - held) as usize));
            hashes.extend_from_slice(now);
            rest = later;
            if id.width == TILE_WIDTH {
                above.push(root(&hashes));
            }
            added.push((id, hashes));
        }
        if above.is_empty() {
            break;
        }
        fresh = above;
    }
    Ok(added)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Tiles held in memory, as wide as they were written.
    #[derive(Default)]
    pub(super) struct Shelf(pub(super) BTreeMap<(u32, u64), Vec<Hash>>);

    impl Tiles for Shelf {
        type Error = TileId;

        fn tile(&self, id: TileId) -> Result<Vec<Hash>, TileId> {
            let held = self.0.get(&(id.level.ok_or(id)?, id.index)).ok_or(id)?;
            held.get(..id.width as usize).map(<[Hash]>::to_vec).ok_or(id)
        }

        fn damaged(&self, id: TileId) -> TileId {
            id
        }
    }

    pub(super) fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    pub(super) fn shelf(leaves: &[Hash]) -> Shelf {
        let mut shelf = Shelf::default();
        for id in added(0, leaves.len() as u64) {
            let span = 1usize << (id.level.unwrap() * TILE_HEIGHT);
            let from = (id.index * TILE_WIDTH) as usize;
            let hashes = (from..from + id.width as usize).map(|i| root(&leaves[i * span..(i + 1) * span])).collect();
            shelf.0.insert((id.level.unwrap(), id.index), hashes);
        }
        shelf
    }

    #[test]
    fn a_tree_that_grows_in_any_steps_has_the_tiles_it_has_at_once() {
        let leaves = leaves(70_000);
        for step in [1, 3, 255, 256, 257, 40_000] {
            let end = (step * 300).min(70_000);
            let (mut grown, mut at) = (Shelf::default(), 0);
            while at < end {
                let next = (at + step).min(end);
                for (id, hashes) in grow(&grown, at as u64, &leaves[at..next]).unwrap() {
                    assert_eq!(hashes.len() as u64, id.width);
                    grown.0.insert((id.level.unwrap(), id.index), hashes);
                }
                at = next;
            }
            assert!(grown.0 == shelf(&leaves[..end]).0, "steps of {step}");
        }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        let id = |level, index, width| TileId { level, index, width }.path();
        assert_eq!(id(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(id(Some(1), 0, 256), "tile/1/000");
        assert_eq!(id(Some(2), 999, 17), "tile/2/999.p/17");
        assert_eq!(id(None, 273, 112), "tile/entries/273.p/112");
    }

    #[test]
    fn what_is_added_is_what_was_not_there() {
        // The example of tlog-tiles: a tree of 70,000 leaves.
        let all: Vec<_> = added(0, 70_000).collect();
        let count = |level| all.iter().filter(|t| t.level == Some(level)).count();
        assert_eq!([count(0), count(1), count(2), count(3)], [274, 2, 1, 0]);
        assert_eq!(all.iter().find(|t| t.level == Some(1) && t.index == 1).unwrap().width, 17);
        let narrower = |old| added(old, 257).map(|t| t.narrower(old).map(|n| n.path())).collect::<Vec<_>>();
        assert_eq!(narrower(255), [Some("tile/0/000.p/255".to_owned()), None, None]);
        assert_eq!(narrower(256), [None]);
        let above = TileId { level: Some(1), index: 1, width: 18 };
        assert_eq!(above.narrower(70_000).map(|tile| tile.width), Some(17), "of 256 leaves each");
        assert_eq!([65_536, 70_144, 0].map(|old| above.narrower(old)), [None; 3], "it had not begun, or was as wide");
        let later: Vec<String> = added(255, 257).map(|t| t.path()).collect();
        assert_eq!(later, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]);
        assert_eq!(added(70_000, 70_000).count(), 0);
        assert_eq!(added(70_000, 3).count(), 0);
        assert_eq!(bundles_added(255, 256).map(|t| t.path()).collect::<Vec<_>>(), ["tile/entries/000"]);
    }

    #[test]
    fn a_bundle_reads_back_and_a_damaged_one_does_not() {
        let leaves = [[3u8; LEAF_LEN], [4; LEAF_LEN]];
        let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| bundled(leaf).unwrap()).collect();
        assert_eq!(read_bundle(&bytes).unwrap(), leaves);
        assert_eq!(hashes_of(&leaves), leaves.map(|one| leaf(&one)));
        let longest = vec![5; usize::from(u16::MAX)];
        assert_eq!(bundled(&longest).map(|all| all.len()), Some(longest.len() + 2));
        assert!(bundled(&[longest.as_slice(), &[5]].concat()).is_none());
        assert_eq!(read_bundle(&[]).unwrap(), Vec::<[u8; LEAF_LEN]>::new());
        for len in 1..bytes.len() {
            assert!(len == 35 || read_bundle(&bytes[..len]).is_none(), "{len}");
        }
        let mut other = bytes;
        other[1] = 32;
        assert!(read_bundle(&other).is_none());
    }
}

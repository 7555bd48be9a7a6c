//! The hashes of a tree out of its tiles: what a proof reads.
//!
//! A tile of 256 leaves has 255 hashes above them, and a proof needs nearly all of them to know eight. So the upper half
//! of a tile that was read once is remembered, and of the tile itself only the 16 hashes around a leaf are read again.
//!
//! Refuses hashes that do not lead to the tile above: what is read of a full tile is hashed up to a hash that is known
//! already, the first time all of it, later the part. The tiles of the right edge have nothing above them; whoever has
//! the root holds it against [`tree::root`](super::super::tree::root), which reads all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::{TILE_HEIGHT, TILE_WIDTH, TileId, Tiles};
use crate::log::Hash;
use crate::log::tree::{Hashes, Levels};

/// Levels of a tile that are read again when they are needed: groups of 16 hashes.
const GROUP_HEIGHT: u32 = 4;
const GROUP_WIDTH: usize = 1 << GROUP_HEIGHT;
/// Bytes remembered of tiles of leaves: 31 hashes of each, which is enough for a log of two million entries.
const LOWEST_BYTES_MAX: usize = 8 << 20;
/// Bytes remembered of the tiles above them: 511 hashes of each, which is enough for four million entries.
const UPPER_BYTES_MAX: usize = 1 << 20;

/// Tiles, the first to come the first to go.
struct Held<K> {
    most: usize,
    bytes: usize,
    tiles: BTreeMap<K, Levels>,
    order: VecDeque<K>,
}

impl<K: Ord + Copy> Held<K> {
    fn up_to(most: usize) -> Self {
        Self { most, bytes: 0, tiles: BTreeMap::new(), order: VecDeque::new() }
    }

    fn keep(&mut self, key: K, tile: Levels) {
        self.bytes += tile.bytes();
        if let Some(old) = self.tiles.insert(key, tile) {
            self.bytes -= old.bytes();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > self.most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.tiles.remove(&oldest).map_or(0, |gone| gone.bytes());
        }
    }
}

/// What readers of one log remember of its tiles, at most 9 MiB of hashes. Of full tiles only, which never change: it
/// stays right when the log grows, and says nothing of how large it is.
pub struct Remembered {
    /// The upper levels of tiles of leaves, by index.
    lowest: Held<u64>,
    /// Tiles above them, by tile level and index.
    upper: Held<(u32, u64)>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { lowest: Held::up_to(LOWEST_BYTES_MAX), upper: Held::up_to(UPPER_BYTES_MAX) }
    }
}

impl Remembered {
    /// Bytes of hashes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lowest.bytes + self.upper.bytes
    }
}

/// The tile of leaves that was asked for last, as far as it is needed again.
struct Near {
    index: u64,
    /// Its upper levels, over the roots of its groups.
    upper: Levels,
    group: Option<(usize, Levels)>,
}

impl Near {
    /// A group, which the tile's upper levels vouch for.
    fn group<T: Tiles>(&mut self, tiles: &T, id: TileId, number: usize) -> Result<&Levels, T::Error> {
        let group = match self.group.take() {
            Some((held, group)) if held == number => group,
            _ => {
                let mut hashes = vec![[0; 32]; GROUP_WIDTH];
                tiles.part(id, number * GROUP_WIDTH, &mut hashes)?;
                let group = Levels::over(hashes);
                if group.top() != self.upper.hash(0, number) {
                    return Err(tiles.damaged(id));
                }
                group
            }
        };
        Ok(&self.group.insert((number, group)).1)
    }
}

struct State {
    remembered: Remembered,
    /// By tile level: the tile that is not full at this size.
    edge: BTreeMap<u32, Levels>,
    near: Option<Near>,
}

/// The hashes of a tree of a given size, out of its tiles.
pub struct Tiled<'a, T> {
    tiles: &'a T,
    size: u64,
    state: RefCell<State>,
}

impl<'a, T: Tiles> Tiled<'a, T> {
    /// The tree of the first `size` leaves.
    #[must_use]
    pub fn new(tiles: &'a T, size: u64) -> Self {
        Self::with(tiles, size, Remembered::default())
    }

    /// The same for somebody who read this log before, at any size.
    #[must_use]
    pub fn with(tiles: &'a T, size: u64, remembered: Remembered) -> Self {
        Self { tiles, size, state: RefCell::new(State { remembered, edge: BTreeMap::new(), near: None }) }
    }

    /// What was read, for the next reader.
    #[must_use]
    pub fn into_remembered(self) -> Remembered {
        self.state.into_inner().remembered
    }

    /// Hashes that the tree has at a tile level.
    fn whole(&self, level: u32) -> u64 {
        self.size.checked_shr(level * TILE_HEIGHT).unwrap_or(0)
    }

    fn of_edge(&self, level: u32, index: u64, above: u32, place: usize) -> Result<Hash, T::Error> {
        let width = self.whole(level).saturating_sub(index * TILE_WIDTH);
        let id = TileId { level: Some(level), index, width };
        if !self.state.borrow().edge.contains_key(&level) {
            let tile = Levels::over(self.tiles.tile(id)?);
            self.state.borrow_mut().edge.insert(level, tile);
        }
        let found = self.state.borrow().edge.get(&level).and_then(|tile| tile.hash(above, place));
        found.ok_or_else(|| self.tiles.damaged(id))
    }

    fn of_upper(&self, id: TileId, level: u32, above: u32, place: usize) -> Result<Hash, T::Error> {
        let key = (level, id.index);
        let known = self.state.borrow().remembered.upper.tiles.get(&key).and_then(|tile| tile.hash(above, place));
        if let Some(known) = known {
            return Ok(known);
        }
        let tile = self.read(id, level)?;
        let found = tile.hash(above, place).ok_or_else(|| self.tiles.damaged(id));
        self.state.borrow_mut().remembered.upper.keep(key, tile);
        found
    }

    fn of_lowest(&self, id: TileId, above: u32, place: usize) -> Result<Hash, T::Error> {
        self.come_near(id)?;
        let state = &mut *self.state.borrow_mut();
        let near = state.near.as_mut().ok_or_else(|| self.tiles.damaged(id))?;
        let found = if above >= GROUP_HEIGHT {
            near.upper.hash(above - GROUP_HEIGHT, place)
        } else {
            let group = place >> (GROUP_HEIGHT - above);
            near.group(self.tiles, id, group)?.hash(above, place % (GROUP_WIDTH >> above))
        };
        found.ok_or_else(|| self.tiles.damaged(id))
    }

    /// Has the upper levels of a tile of leaves at hand.
    fn come_near(&self, id: TileId) -> Result<(), T::Error> {
        let index = id.index;
        let known = {
            let state = self.state.borrow();
            if state.near.as_ref().is_some_and(|near| near.index == index) {
                return Ok(());
            }
            state.remembered.lowest.tiles.get(&index).cloned()
        };
        let upper = match known {
            Some(upper) => upper,
            None => {
                let upper = self.read(id, 0)?.from_level(GROUP_HEIGHT);
                self.state.borrow_mut().remembered.lowest.keep(index, upper.clone());
                upper
            }
        };
        self.state.borrow_mut().near = Some(Near { index, upper, group: None });
        Ok(())
    }

    /// A full tile, which the tile above vouches for.
    fn read(&self, id: TileId, level: u32) -> Result<Levels, T::Error> {
        let vouched = self.at((level + 1) * TILE_HEIGHT, id.index)?;
        let tile = Levels::over(self.tiles.tile(id)?);
        if tile.width() as u64 == TILE_WIDTH && tile.top() == Some(vouched) {
            Ok(tile)
        } else {
            Err(self.tiles.damaged(id))
        }
    }
}

impl<T: Tiles> Hashes for Tiled<'_, T> {
    type Error = T::Error;

    fn at(&self, level: u32, index: u64) -> Result<Hash, T::Error> {
        let (level, above) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << above;
        let id = TileId { level: Some(level), index: first / TILE_WIDTH, width: TILE_WIDTH };
        let place = (first % TILE_WIDTH) as usize >> above;
        match (self.whole(level) / TILE_WIDTH, level) {
            (full, _) if id.index >= full => self.of_edge(level, id.index, above, place),
            (_, 0) => self.of_lowest(id, above, place),
            _ => self.of_upper(id, level, above, place),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::tests::{Shelf, leaves, shelf};
    use super::*;
    use crate::log::tree;
    use crate::merkle::{includes, root};

    /// A shelf that counts what is read of it.
    struct Counting<'a> {
        shelf: &'a Shelf,
        whole: Cell<usize>,
        parts: Cell<usize>,
    }

    impl<'a> Counting<'a> {
        fn new(shelf: &'a Shelf) -> Self {
            Self { shelf, whole: Cell::new(0), parts: Cell::new(0) }
        }
    }

    impl Tiles for Counting<'_> {
        type Error = TileId;

        fn tile(&self, id: TileId) -> Result<Vec<Hash>, TileId> {
            self.whole.set(self.whole.get() + 1);
            self.shelf.tile(id)
        }

        fn part(&self, id: TileId, from: usize, into: &mut [Hash]) -> Result<(), TileId> {
            self.parts.set(self.parts.get() + 1);
            self.shelf.part(id, from, into)
        }

        fn damaged(&self, id: TileId) -> TileId {
            id
        }
    }

    fn id(level: u32, index: u64, width: u64) -> TileId {
        TileId { level: Some(level), index, width }
    }

    #[test]
    fn a_tree_of_tiles_is_the_tree_in_memory() {
        for n in [1, 2, 255, 256, 257, 511, 512, 513, 65_536, 65_537, 70_000] {
            let leaves = leaves(n);
            let (shelf, top) = (shelf(&leaves), root(&leaves));
            let tiled = Tiled::new(&shelf, n);
            assert_eq!(tree::root(&tiled, n).unwrap(), top, "{n}");
            // With what was remembered, in any order, and in more tiles than one has at hand.
            for index in [0, n / 3, n - 1].into_iter().chain((0..n).step_by(211)).chain((0..n).step_by(997)) {
                let path = tree::inclusion(&tiled, index, n).unwrap();
                assert!(includes(&leaves[index as usize], index, n, &path, &top));
            }
        }
    }

    #[test]
    fn a_log_that_grew_is_read_right_with_what_was_remembered_of_it() {
        let leaves = leaves(70_000);
        let mut remembered = Remembered::default();
        for n in [1, 200, 255, 256, 300, 511, 512, 20_000, 65_535, 65_536, 65_700, 70_000] {
            // As it lies on the disk at that size: its narrower tiles are gone.
            let (shelf, top) = (shelf(&leaves[..n as usize]), root(&leaves[..n as usize]));
            let tiled = Tiled::with(&shelf, n, remembered);
            assert_eq!(tree::root(&tiled, n).unwrap(), top, "{n}");
            for index in [0, 255, 256, n / 2, n.saturating_sub(257), n - 1] {
                let path = tree::inclusion(&tiled, index, n).unwrap();
                assert_eq!(path.is_empty(), index >= n || n == 1);
                assert!(index >= n || includes(&leaves[index as usize], index, n, &path, &top), "{index} of {n}");
            }
            remembered = tiled.into_remembered();
        }
        // And an older head still is.
        let (shelf, top) = (shelf(&leaves), root(&leaves[..65_700]));
        let tiled = Tiled::with(&shelf, 65_700, remembered);
        assert!(includes(&leaves[65_690], 65_690, 65_700, &tree::inclusion(&tiled, 65_690, 65_700).unwrap(), &top));
    }

    #[test]
    fn no_damaged_hash_of_a_full_tile_gets_into_a_proof_and_its_tile_is_named() {
        let n = 70_000;
        let leaves = leaves(n);
        let whole = shelf(&leaves);
        for (level, index, place) in [(0, 7, 0), (0, 7, 255), (0, 200, 100), (0, 0, 17), (1, 0, 3), (1, 0, 255)] {
            let mut spoilt = shelf(&leaves);
            spoilt.0.get_mut(&(level, index)).unwrap()[place][0] ^= 1;
            let named = Some(id(level, index, 256));
            let below = (index * TILE_WIDTH + place as u64) << (level * TILE_HEIGHT);
            let prove = |tiled: &Tiled<'_, Shelf>| {
                [65_000, below ^ 1, 64_000].into_iter().try_for_each(|at| tree::inclusion(tiled, at, n).map(|_| ()))
            };
            // Read for the first time.
            assert_eq!(prove(&Tiled::new(&spoilt, n)).err(), named);
            // Spoilt after its upper half was remembered.
            let before = Tiled::new(&whole, n);
            prove(&before).unwrap();
            let after = Tiled::with(&spoilt, n, before.into_remembered());
            assert_eq!(prove(&after).err(), named.filter(|_| level == 0), "what is in memory is not read again");
        }
        // Too few hashes, against the contract.
        let mut short = shelf(&leaves);
        short.0.get_mut(&(0, 9)).unwrap().pop();
        assert_eq!(tree::inclusion(&Tiled::new(&short, n), 9 * TILE_WIDTH, n).err(), Some(id(0, 9, 256)));
    }

    #[test]
    fn damage_at_the_edge_shows_in_the_root() {
        let n = 70_000;
        let leaves = leaves(n);
        for (level, index, width) in [(0, 273, 112), (1, 1, 17), (2, 0, 1)] {
            for place in [0, width / 2, width - 1] {
                let mut spoilt = shelf(&leaves);
                spoilt.0.get_mut(&(level, index)).unwrap()[place][31] ^= 1;
                // Either the hash above a full tile, or nothing else knows of it.
                assert_ne!(tree::root(&Tiled::new(&spoilt, n), n).ok(), Some(root(&leaves)), "{level} {place}");
            }
        }
    }

    #[test]
    fn a_tile_is_read_whole_once_and_then_a_group_at_a_time() {
        let n = 70_000;
        let shelf = shelf(&leaves(n));
        let counting = Counting::new(&shelf);
        let tiled = Tiled::new(&counting, n);
        let read = |index: u64| {
            let before = (counting.whole.get(), counting.parts.get());
            tree::inclusion(&tiled, index, n).unwrap();
            (counting.whole.get() - before.0, counting.parts.get() - before.1)
        };
        // Every kind of tile above is read by the first proof.
        read(69_999);
        read(0);
        assert_eq!(read(1000), (1, 1));
        assert_eq!(read(1001), (0, 0), "its neighbour");
        assert_eq!(read(1020), (0, 1), "another group of the tile");
        assert_eq!(read(5000), (1, 1), "another tile");
        assert_eq!(read(1000), (0, 1), "the first again");
        let remembered = tiled.into_remembered();
        // The upper halves of the tiles of 0, 1000 and 5000, and the full tile above them.
        assert_eq!(remembered.bytes(), 3 * 31 * 32 + 511 * 32);
        let again = Tiled::with(&counting, n, remembered);
        let before = counting.whole.get();
        tree::inclusion(&again, 5000, n).unwrap();
        assert_eq!(counting.whole.get() - before, 2, "the edge of the tree is read by each reader");
    }

    #[test]
    fn what_is_remembered_has_a_limit_and_the_oldest_goes() {
        let tile = || Levels::over(vec![[0; 32]; GROUP_WIDTH]);
        let mut held = Held::up_to(3 * tile().bytes());
        for key in [1u64, 2, 2, 3, 1] {
            held.keep(key, tile());
        }
        assert_eq!(held.tiles.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        for key in 4..100 {
            held.keep(key, tile());
            assert_eq!((held.bytes, held.tiles.len(), held.order.len()), (3 * tile().bytes(), 3, 3));
        }
        assert_eq!(held.tiles.keys().copied().collect::<Vec<_>>(), [97, 98, 99]);
        let most = Remembered::default();
        assert_eq!(most.lowest.most + most.upper.most, 9 << 20);
        // One of each kind weighs what the limits were reckoned with.
        assert_eq!((tile().bytes(), Levels::over(vec![[0; 32]; 256]).bytes()), (31 * 32, 511 * 32));
    }
}

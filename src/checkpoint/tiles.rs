//! An anchored tree by its tiles, and stretches of today's trail compared with them while they are read.
//!
//! A tile is 256 leaves that stand one behind the other in an organisation's tree. Of each the anchor keeps the id of its
//! first entry and its root. Whoever reads entries in id order so knows which tile each belongs to, wherever the reading
//! starts: a tile read whole is compared on the spot, and one that a key range cuts in two stays open until its neighbour is
//! joined. Of a trail that is as it was, a few bytes remain for each range.
//!
//! An entry belongs to the last tile that begins at or before its id, so what was inserted or removed anywhere makes a tile
//! differ. Entries behind the newest anchored one belong to none.

use serde::{Deserialize, Serialize};

use super::merkle::{Hash, Node, NodeSource, Range, TILE_HEIGHT, TILE_WIDTH};

/// Leaves of a tile.
pub const WIDTH: u64 = TILE_WIDTH as u64;

/// An organisation's anchored tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// How many leaves it has.
    pub size: u64,
    /// Of each tile, the id of its first entry; ascending.
    pub first_ids: Vec<i64>,
    /// Of each tile, its root. The last tile may have fewer than 256 leaves.
    pub roots: Vec<Hash>,
    /// The id of the newest anchored entry.
    pub last_id: i64,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Tile(u64),
    Behind,
}

impl Tree {
    /// How many leaves a tile has.
    #[must_use]
    pub fn width(&self, tile: u64) -> u64 {
        (self.size - (tile * WIDTH).min(self.size)).min(WIDTH)
    }

    /// How many tiles there are.
    #[must_use]
    pub fn tiles(&self) -> u64 {
        self.size.div_ceil(WIDTH)
    }

    /// The root of the whole tree, by its tiles' roots.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.roots)
    }

    /// The tile that an entry with this id belongs to, whether or not it is in it.
    #[must_use]
    pub fn tile_of(&self, id: i64) -> u64 {
        (self.first_ids.partition_point(|&first| first <= id) as u64).saturating_sub(1)
    }

    /// The lowest and the highest id that belong to these tiles.
    #[must_use]
    pub fn ids(&self, first: u64, last: u64) -> (i64, i64) {
        let low = match first {
            0 => i64::MIN,
            tile => self.first_ids[tile as usize],
        };
        let next = self.first_ids.get(last as usize + 1);
        (low, next.map_or(self.last_id, |&next| next - 1))
    }

    fn place(&self, id: i64, hint: u64) -> Place {
        if self.size == 0 || id > self.last_id {
            return Place::Behind;
        }
        // Nearly always the tile of the entry before, or the next one.
        let begins = |tile: u64| {
            self.first_ids
                .get(tile as usize)
                .is_none_or(|&first| first > id)
        };
        for tile in [hint, hint + 1] {
            let starts = (tile as usize) < self.first_ids.len() && (tile == 0 || !begins(tile));
            if starts && begins(tile + 1) {
                return Place::Tile(tile);
            }
        }
        Place::Tile(self.tile_of(id))
    }

    fn matches(&self, open: &Open) -> bool {
        open.leaves.len() as u64 == self.width(open.tile)
            && self.roots.get(open.tile as usize) == Some(&tile_root(&open.leaves))
    }
}

/// The root of a tile with these leaves.
#[must_use]
pub fn tile_root(leaves: &[Hash]) -> Hash {
    let mut range = Range::empty_at(0);
    for &leaf in leaves {
        range.append(leaf);
    }
    range.root().unwrap_or(Hash::EMPTY)
}

/// The root over the roots of complete subtrees of one level, the last of which may be smaller: RFC 6962 splits at the
/// largest power of two, so a tree of subtrees is built like one of leaves.
fn fold(roots: &[Hash]) -> Hash {
    tile_root(roots)
}

/// The nodes of a tree, given the leaves of the tiles that are asked for.
pub struct Nodes<'a, F> {
    /// The tree.
    pub tree: &'a Tree,
    /// Hands over a tile's leaves.
    pub leaves: F,
}

impl<E, F: FnMut(u64) -> Result<Vec<Hash>, E>> NodeSource for Nodes<'_, F> {
    type Error = E;

    fn node(&mut self, node: Node) -> Result<Hash, E> {
        let Node { level, index } = node;
        if level >= TILE_HEIGHT {
            let up = level - TILE_HEIGHT;
            let (first, end) = (index << up, (index + 1) << up);
            let end = end.min(self.tree.roots.len() as u64);
            return Ok(fold(&self.tree.roots[first as usize..end as usize]));
        }
        let first = index << level;
        let leaves = (self.leaves)(first / WIDTH)?;
        let start = (first % WIDTH) as usize;
        let end = (start + (1 << level)).min(leaves.len());
        Ok(tile_root(leaves.get(start..end).unwrap_or_default()))
    }
}

/// A tile of which not all entries may have been read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    tile: u64,
    /// No more than one beyond a tile's width: then it differs, however many there are.
    leaves: Vec<Hash>,
}

impl Open {
    fn push(&mut self, leaf: Hash) {
        if self.leaves.len() as u64 <= WIDTH {
            self.leaves.push(leaf);
        }
    }

    fn join(&mut self, next: Self) {
        for leaf in next.leaves {
            self.push(leaf);
        }
    }
}

/// Tiles one behind the other that were compared with the same outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    first: u64,
    last: u64,
    matches: bool,
}

/// Entries behind the newest anchored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tail {
    /// How many.
    pub entries: u64,
    /// The first of them.
    pub first_id: i64,
    /// The last of them.
    pub last_id: i64,
}

impl Tail {
    fn add(&mut self, next: Self) {
        if next.entries == 0 {
            return;
        }
        if self.entries == 0 {
            self.first_id = next.first_id;
        }
        self.entries += next.entries;
        self.last_id = next.last_id;
    }
}

/// A stretch of an organisation's trail, compared with its tree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stretch {
    /// The first tile, which may have begun before the stretch.
    head: Option<Open>,
    /// Tiles between the first and the last.
    between: Vec<Run>,
    /// The last tile, unless it is the first as well; it may go on behind the stretch.
    tail: Option<Open>,
    behind: Tail,
}

impl Stretch {
    /// Adds the leaf of the next entry in id order.
    #[inline]
    pub fn push(&mut self, tree: &Tree, id: i64, leaf: impl FnOnce() -> Hash) {
        let last = self.tail.as_ref().or(self.head.as_ref());
        let tile = match tree.place(id, last.map_or(0, |open| open.tile)) {
            Place::Tile(tile) => tile,
            Place::Behind => {
                return self.behind.add(Tail {
                    entries: 1,
                    first_id: id,
                    last_id: id,
                });
            }
        };
        let last = self.tail.as_mut().or(self.head.as_mut());
        match last {
            Some(open) if open.tile == tile => open.push(leaf()),
            _ => {
                let mut leaves = Vec::with_capacity(WIDTH as usize);
                leaves.push(leaf());
                self.append(tree, Open { tile, leaves });
            }
        }
    }

    fn append(&mut self, tree: &Tree, open: Open) {
        if self.head.is_none() {
            self.head = Some(open);
        } else if let Some(done) = self.tail.replace(open) {
            self.close(tree, &done);
        }
    }

    fn close(&mut self, tree: &Tree, open: &Open) {
        let matches = tree.matches(open);
        self.note(Run {
            first: open.tile,
            last: open.tile,
            matches,
        });
    }

    fn note(&mut self, run: Run) {
        match self.between.last_mut() {
            Some(last) if last.last + 1 == run.first && last.matches == run.matches => {
                last.last = run.last;
            }
            _ => self.between.push(run),
        }
    }

    /// Joins the stretch that follows.
    #[must_use]
    pub fn join(mut self, tree: &Tree, mut next: Self) -> Self {
        if let Some(first) = next.head.take() {
            let last = self.tail.as_mut().or(self.head.as_mut());
            match last {
                Some(open) if open.tile == first.tile => open.join(first),
                _ => self.append(tree, first),
            }
        }
        if !next.between.is_empty() || next.tail.is_some() {
            // What was last until now is complete.
            if let Some(done) = self.tail.take() {
                self.close(tree, &done);
            }
        }
        for run in next.between {
            self.note(run);
        }
        if let Some(tail) = next.tail {
            self.tail = Some(tail);
        }
        self.behind.add(next.behind);
        self
    }

    /// What the whole trail comes to.
    #[must_use]
    pub fn finish(mut self, tree: &Tree) -> Compared {
        let mut wrong: Vec<(u64, u64)> = Vec::new();
        let mut note = |first: u64, last: u64| match wrong.last_mut() {
            Some(run) if run.1 + 1 == first => run.1 = last,
            _ => wrong.push((first, last)),
        };
        let (head, tail) = (self.head.take(), self.tail.take());
        let single = |open: &Open| Run {
            first: open.tile,
            last: open.tile,
            matches: tree.matches(open),
        };
        let runs = head
            .iter()
            .map(single)
            .chain(core::mem::take(&mut self.between));
        let runs = runs.chain(tail.iter().map(single));
        let mut next = 0;
        for run in runs {
            if run.first > next {
                note(next, run.first - 1);
            }
            if !run.matches {
                note(run.first, run.last);
            }
            next = run.last + 1;
        }
        if next < tree.tiles() {
            note(next, tree.tiles() - 1);
        }
        Compared {
            wrong,
            behind: self.behind,
        }
    }
}

/// A trail compared with its anchored tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Tiles that are not as they were, from first to last, ascending. None: every anchored entry is.
    pub wrong: Vec<(u64, u64)>,
    /// What no anchor vouches for yet.
    pub behind: Tail,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::{leaf::Leaf, merkle};

    fn leaf(id: i64) -> Hash {
        Leaf::sealed(id, b"h").leaf_hash()
    }

    fn tree(ids: &[i64]) -> Tree {
        Tree {
            size: ids.len() as u64,
            first_ids: ids.chunks(256).map(|tile| tile[0]).collect(),
            roots: ids
                .chunks(256)
                .map(|tile| tile_root(&tile.iter().map(|&id| leaf(id)).collect::<Vec<_>>()))
                .collect(),
            last_id: ids.last().copied().unwrap_or_default(),
        }
    }

    fn whole_root(ids: &[i64]) -> Hash {
        tile_root(&ids.iter().map(|&id| leaf(id)).collect::<Vec<_>>())
    }

    /// Reads `ids`, cut before each of `cuts`, joined by halves or from the left.
    fn compare(tree: &Tree, ids: &[i64], cuts: &[usize], by_halves: bool) -> Compared {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (ids.len() + 1)).collect();
        cuts.extend([0, ids.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<Stretch> = cuts
            .windows(2)
            .map(|range| {
                let mut stretch = Stretch::default();
                for &id in &ids[range[0]..range[1]] {
                    stretch.push(tree, id, || leaf(id));
                }
                stretch
            })
            .collect();
        while by_halves && parts.len() > 1 {
            let mut rest = parts.into_iter();
            let mut joined = Vec::new();
            while let Some(left) = rest.next() {
                joined.push(match rest.next() {
                    Some(right) => left.join(tree, right),
                    None => left,
                });
            }
            parts = joined;
        }
        let joined = parts
            .into_iter()
            .reduce(|left, right| left.join(tree, right));
        joined.unwrap_or_default().finish(tree)
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_same_tiles_differ(
            size in 0..1500_i64,
            later in 0..300_i64,
            gone in prop::collection::btree_set(0..1500_i64, 0..6),
            new in prop::collection::btree_set(0..3000_i64, 0..3),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            by_halves: bool,
        ) {
            // Even ids are anchored, odd ones come in between.
            let anchored: Vec<i64> = (0..size).map(|n| 2 * n).collect();
            let tree = tree(&anchored);
            prop_assert_eq!(tree.root(), whole_root(&anchored));
            let mut live: Vec<i64> = (0..size + later)
                .filter(|n| !gone.contains(n) || *n >= size)
                .map(|n| 2 * n)
                .collect();
            live.extend(new.iter().map(|n| 2 * n + 1).filter(|&id| id < tree.last_id));
            live.sort_unstable();
            let found = compare(&tree, &live, &cuts, by_halves);
            let mut expected: Vec<u64> = Vec::new();
            for tile in 0..tree.tiles() {
                let (low, high) = tree.ids(tile, tile);
                let within = |ids: &[i64]| -> Vec<i64> {
                    ids.iter().copied().filter(|id| (low..=high).contains(id)).collect()
                };
                if within(&live) != within(&anchored) {
                    expected.push(tile);
                }
            }
            let wrong: Vec<u64> = found.wrong.iter().flat_map(|&(first, last)| first..=last).collect();
            prop_assert_eq!(wrong, expected);
            let behind = live.iter().filter(|&&id| size == 0 || id > tree.last_id).count();
            prop_assert_eq!(found.behind.entries, behind as u64);
        }

        #[test]
        fn proofs_are_made_of_tiles(size in 1..3000_u64, index in any::<u64>(), old in any::<u64>()) {
            let ids: Vec<i64> = (0..size.cast_signed()).collect();
            let (index, old) = (index % size, 1 + old % size);
            let tree = tree(&ids);
            let mut nodes = Nodes {
                tree: &tree,
                leaves: |tile: u64| {
                    let tile = ids.chunks(256).nth(tile as usize).unwrap_or_default();
                    Ok::<_, ()>(tile.iter().map(|&id| leaf(id)).collect())
                },
            };
            let proof = merkle::inclusion_proof(&mut nodes, index, size).expect("a proof");
            let entry = leaf(index.cast_signed());
            prop_assert_eq!(merkle::verify_inclusion(&entry, index, size, &proof, &tree.root()), Ok(()));
            let proof = merkle::consistency_proof(&mut nodes, old, size).expect("a proof");
            let before = whole_root(&ids[..old as usize]);
            prop_assert_eq!(
                merkle::verify_consistency(old, &before, size, &tree.root(), &proof),
                Ok(())
            );
        }
    }
}

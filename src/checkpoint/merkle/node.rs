//! Where nodes stand: by level and index, in spans of leaves, and in tiles.

use serde::{Deserialize, Serialize};

use super::hash::{Hash, node_hash};

/// Levels of a tile, as in C2SP's tlog-tiles: a tile holds the hashes of every eighth level.
pub const TILE_HEIGHT: u8 = 8;

/// Hashes in a whole tile.
pub const TILE_WIDTH: u16 = 1 << TILE_HEIGHT;

/// A complete subtree: `2^level` leaves from `index * 2^level` on. Level 0 is the leaves' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// 0 to 63.
    pub level: u8,
    /// Its place among the nodes of its level.
    pub index: u64,
}

impl Node {
    /// The leaf with this index.
    #[must_use]
    pub fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// The two nodes below; none below a leaf.
    #[must_use]
    pub fn children(self) -> Option<(Self, Self)> {
        let level = self.level.checked_sub(1)?;
        let index = self.index.checked_mul(2)?;
        let right = Self {
            level,
            index: index + 1,
        };
        Some((Self { level, index }, right))
    }

    /// The last leaf's index plus one. A tree of fewer leaves does not have the node.
    #[must_use]
    pub fn end(self) -> Option<u64> {
        let width = 1_u64.checked_shl(self.level.into())?;
        self.index.checked_add(1)?.checked_mul(width)
    }
}

/// The leaves from `begin` to before `end`, where RFC 6962 makes one subtree of them: `begin` is a multiple of the
/// smallest power of two that is not below their number.
///
/// A complete subtree is one node. The right edge of a tree is several, the largest first, folded into one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Span {
    /// The whole tree of `size` leaves.
    #[must_use]
    pub fn tree(size: u64) -> Self {
        Self {
            begin: 0,
            end: size,
        }
    }

    /// The complete nodes that it consists of, the largest first; none for an empty tree.
    pub fn nodes(self) -> impl Iterator<Item = Node> {
        let mut begin = self.begin;
        core::iter::from_fn(move || {
            let level = (self.end - begin).checked_ilog2()?;
            let index = begin >> level;
            begin += 1 << level;
            let level = level as u8;
            Some(Node { level, index })
        })
    }
}

/// Folds a right edge, the largest subtree first, into its root.
#[must_use]
pub(super) fn fold(edge: &[Hash]) -> Hash {
    let mut nodes = edge.iter().rev();
    nodes.next().map_or(Hash::EMPTY, |&last| {
        nodes.fold(last, |right, left| node_hash(left, &right))
    })
}

/// Hashes of one level that are stored together, as in C2SP's tlog-tiles: those of every eighth level, 256 in a
/// whole tile and fewer at the right edge. Nodes of the levels between are folded from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// 0 to 7; its hashes are nodes of eight times this level.
    pub level: u8,
    /// Its place among the tiles of its level.
    pub index: u64,
    /// How many hashes it holds, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// The tile that holds `node`, or what it is folded from, as wide as a tree of `size` leaves has it; `None` where
    /// such a tree does not have the node.
    #[must_use]
    pub fn of(node: Node, size: u64) -> Option<Self> {
        if node.end()? > size {
            return None;
        }
        let level = node.level / TILE_HEIGHT;
        let index = node.index >> (TILE_HEIGHT - node.level % TILE_HEIGHT);
        let hashes = size >> (level * TILE_HEIGHT);
        let width = (hashes - index * u64::from(TILE_WIDTH)).min(TILE_WIDTH.into()) as u16;
        Some(Self {
            level,
            index,
            width,
        })
    }

    /// The node whose hash stands at `slot`.
    #[must_use]
    pub fn node(self, slot: u16) -> Option<Node> {
        if slot >= self.width {
            return None;
        }
        let level = self.level.checked_mul(TILE_HEIGHT)?;
        let first = self.index.checked_mul(TILE_WIDTH.into())?;
        let index = first.checked_add(slot.into())?;
        Some(Node { level, index })
    }

    /// Which of the tile's hashes make up `node`: one where the tile holds it, else a power of two; `None` where the
    /// tile does not have all of them.
    #[must_use]
    pub fn slots(self, node: Node) -> Option<core::ops::Range<usize>> {
        let up = node.level % TILE_HEIGHT;
        let is_here = node.level / TILE_HEIGHT == self.level
            && node.index >> (TILE_HEIGHT - up) == self.index;
        let begin = (node.index << up) as usize % usize::from(TILE_WIDTH);
        let end = begin + (1 << up);
        (is_here && end <= self.width.into()).then_some(begin..end)
    }

    /// The hash of `node` from the tile's hashes; `None` where it does not follow from them.
    #[must_use]
    pub fn hash(self, hashes: &[Hash], node: Node) -> Option<Hash> {
        let mut level = hashes.get(self.slots(node)?)?.to_vec();
        while level.len() > 1 {
            level = level
                .chunks_exact(2)
                .map(|pair| node_hash(&pair[0], &pair[1]))
                .collect();
        }
        level.first().copied()
    }
}

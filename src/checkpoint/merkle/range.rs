//! Compact ranges: neighbouring leaves in as few hashes as their place in the tree allows.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::hash::{Hash, node_hash};
use super::node::fold;

/// The most leaves that a range may end with: more than ids there are.
pub const MAX_LEAVES: u64 = 1 << 63;

/// Why ranges cannot be joined or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RangeError {
    /// The second does not begin where the first ends.
    #[error("a range that ends at {end} cannot be joined with one that begins at {begin}")]
    Gap {
        /// Of the first.
        end: u64,
        /// Of the second.
        begin: u64,
    },
    /// It ends before it begins, or beyond [`MAX_LEAVES`].
    #[error("a range cannot go from {begin} to {end}")]
    Bounds {
        /// First leaf.
        begin: u64,
        /// Last leaf plus one.
        end: u64,
    },
    /// Not as many hashes as such a range has.
    #[error("a range from {begin} to {end} has {expected} hashes, not {found}")]
    Nodes {
        /// First leaf.
        begin: u64,
        /// Last leaf plus one.
        end: u64,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

/// The leaves from `begin` to before `end`, as the hashes of the fewest complete subtrees that cover them, from left
/// to right. There are at most two for each level, so a range of any length is small.
///
/// A trail is read in key ranges by several readers at once: each appends the leaves of its range, and neighbours are
/// joined. Neither the number of readers nor where ranges end can change what comes out. One that begins at 0 is a
/// tree's *frontier*: it has a [root](Self::root), and can be kept to append to later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Range {
    begin: u64,
    end: u64,
    nodes: Vec<Hash>,
}

impl Range {
    /// No leaves; the next one has the index `begin`.
    ///
    /// # Panics
    /// If `begin` is beyond [`MAX_LEAVES`].
    #[must_use]
    pub fn empty_at(begin: u64) -> Self {
        assert!(begin <= MAX_LEAVES, "no tree has {begin} leaves");
        Self {
            begin,
            end: begin,
            nodes: Vec::new(),
        }
    }

    /// A range that was taken apart.
    ///
    /// # Errors
    /// If there is no such range. Whether the hashes are right cannot be told.
    pub fn from_parts(begin: u64, end: u64, nodes: Vec<Hash>) -> Result<Self, RangeError> {
        if begin > end || end > MAX_LEAVES {
            return Err(RangeError::Bounds { begin, end });
        }
        let expected = levels(begin, end).count();
        if nodes.len() != expected {
            let found = nodes.len();
            return Err(RangeError::Nodes {
                begin,
                end,
                expected,
                found,
            });
        }
        Ok(Self { begin, end, nodes })
    }

    /// The first leaf's index.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The last leaf's index plus one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether it has no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// The hashes of its subtrees, from left to right.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends the leaf with this hash: one more hash to compute on average, and no allocation once the range has
    /// room for its levels.
    #[inline]
    pub fn append(&mut self, leaf: Hash) {
        self.push(0, leaf);
    }

    /// Appends the leaves of `next`, which stays as it is.
    ///
    /// # Errors
    /// If `next` does not begin where this one ends.
    pub fn append_range(&mut self, next: &Self) -> Result<(), RangeError> {
        if next.begin != self.end {
            return Err(RangeError::Gap {
                end: self.end,
                begin: next.begin,
            });
        }
        for (level, &node) in levels(next.begin, next.end).zip(&next.nodes) {
            self.push(level, node);
        }
        Ok(())
    }

    /// The root of the tree; `None` where it does not begin with the first leaf.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        (self.begin == 0).then(|| fold(&self.nodes))
    }

    /// Appends a complete subtree, and merges it with the siblings before it. Where the sibling lies within the
    /// range, it is the last node: any larger subtree that ends there would have to begin at an odd place.
    #[inline]
    fn push(&mut self, mut level: u32, mut node: Hash) {
        let mut index = self.end >> level;
        self.end += 1 << level;
        while index & 1 == 1 && (index - 1) << level >= self.begin {
            let Some(left) = self.nodes.pop() else { break };
            node = node_hash(&left, &node);
            level += 1;
            index >>= 1;
        }
        self.nodes.push(node);
    }
}

/// The levels of the fewest complete subtrees that cover the leaves, from left to right: as large as where they begin
/// and what is left of the range allow.
fn levels(mut begin: u64, end: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let level = (end - begin).checked_ilog2()?.min(begin.trailing_zeros());
        begin += 1 << level;
        Some(level)
    })
}

/// A [`Range`] as it is written down.
#[derive(Serialize, Deserialize)]
struct Parts {
    begin: u64,
    end: u64,
    nodes: Vec<Hash>,
}

impl From<Range> for Parts {
    fn from(range: Range) -> Self {
        let Range { begin, end, nodes } = range;
        Self { begin, end, nodes }
    }
}

impl TryFrom<Parts> for Range {
    type Error = RangeError;

    fn try_from(parts: Parts) -> Result<Self, RangeError> {
        Self::from_parts(parts.begin, parts.end, parts.nodes)
    }
}

//! All trees of one anchor, ready to compare today's trails with.

use core::fmt;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    coverage::Sizes,
    leaf::{Leaf, LeafKind},
    merkle::Hash,
    tiles::{Tree, tile_root},
};
use crate::trail::{hash::HEX_LENGTH, payload::PayloadHasher, row::Row};

/// A leaf as it is kept beside its tree, so that what differs can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLeaf {
    /// The entry.
    pub id: i64,
    /// Whether it had an `entry_hash`.
    pub is_sealed: bool,
    /// The leaf's hash.
    pub hash: Hash,
}

impl KeptLeaf {
    /// The leaf of an entry.
    #[inline]
    #[must_use]
    pub fn of_row(row: &Row<'_>, hasher: &mut PayloadHasher) -> Self {
        let mut space = [0; HEX_LENGTH];
        let leaf = Leaf::of_row(row, hasher, &mut space);
        Self {
            id: leaf.id,
            is_sealed: leaf.kind == LeafKind::Sealed,
            hash: leaf.leaf_hash(),
        }
    }
}

/// An organisation's tree and the statements about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchoredTree {
    /// Its tiles, whose root was found to be the signed one.
    pub tree: Tree,
    /// When the newest checkpoint of this size was signed.
    pub time: Timestamp,
    /// When the first checkpoint of the organisation was signed, and the newest entry then.
    pub first: (Timestamp, i64),
}

/// Hands over the leaves of an organisation's tile, or says why not.
pub type Leaves = dyn Fn(i64, u64) -> Result<Vec<KeptLeaf>, String> + Send + Sync;

/// An authenticated anchor.
pub struct Anchored {
    /// The number of its inventory.
    pub number: u64,
    /// When that was signed.
    pub time: Timestamp,
    /// By organisation.
    pub trees: BTreeMap<i64, AnchoredTree>,
    /// What the trees' tiles consist of; asked only for what differs.
    pub leaves: Box<Leaves>,
}

impl fmt::Debug for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchored")
            .field("number", &self.number)
            .field("organizations", &self.trees.len())
            .finish_non_exhaustive()
    }
}

impl Anchored {
    /// The leaves of a tile, if they are those that were signed.
    ///
    /// # Errors
    /// Why they cannot be had, or that they are not.
    pub fn kept(&self, organization_id: i64, tile: u64) -> Result<Vec<KeptLeaf>, String> {
        let tree = self.tree(organization_id).ok_or("there is no such tree")?;
        let mut leaves = (self.leaves)(organization_id, tile)?;
        leaves.truncate(usize::try_from(tree.width(tile)).unwrap_or_default());
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.hash).collect();
        let at = usize::try_from(tile).unwrap_or(usize::MAX);
        let first = leaves.first().map(|leaf| leaf.id);
        if tree.roots.get(at) == Some(&tile_root(&hashes))
            && tree.first_ids.get(at).copied() == first
        {
            Ok(leaves)
        } else {
            Err("it is not what was signed".to_owned())
        }
    }

    /// How many entries each tree has.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let trees = self.trees.iter();
        trees.map(|(&id, tree)| (id, tree.tree.size)).collect()
    }

    /// The tree of an organisation.
    #[must_use]
    pub fn tree(&self, organization_id: i64) -> Option<&Tree> {
        self.trees
            .get(&organization_id)
            .map(|anchored| &anchored.tree)
    }
}

//! All trees of one anchor, ready to compare today's trails with.

use core::fmt;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    leaf::{Leaf, LeafKind},
    merkle::Hash,
    tiles::Tree,
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
    /// The tree of an organisation.
    #[must_use]
    pub fn tree(&self, organization_id: i64) -> Option<&Tree> {
        self.trees
            .get(&organization_id)
            .map(|anchored| &anchored.tree)
    }
}

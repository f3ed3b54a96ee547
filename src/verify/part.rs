//! What reading a part of the trail leaves: its chain folded, and how it compares with the anchored trees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{anchored::Anchored, tiles::Stretch},
    trail::segment::{Folder, Segment},
};

/// A part of the trail, read and checked. Neighbours join.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Part {
    /// The chains.
    pub segment: Segment,
    /// By organisation, the trail compared with its tree. Only organisations that have one.
    pub stretches: BTreeMap<i64, Stretch>,
}

/// Joins neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joiner<'a> {
    pub(super) folder: Folder,
    pub(super) anchored: Option<&'a Anchored>,
}

impl Joiner<'_> {
    /// Joins two neighbours, `left` being the one with the lower ids.
    pub(super) fn join(&self, left: Part, right: Part) -> Part {
        let segment = self.folder.join(left.segment, right.segment);
        let mut stretches = left.stretches;
        for (id, stretch) in right.stretches {
            if let Some(tree) = self.anchored.and_then(|anchored| anchored.tree(id)) {
                let before = stretches.remove(&id).unwrap_or_default();
                stretches.insert(id, before.join(tree, stretch));
            }
        }
        Part { segment, stretches }
    }
}

//! Entries beside the leaves that the newest anchor has of them.

use crate::{
    checkpoint::{
        anchored::{Anchored, KeptLeaf},
        tiles::{Tree, WIDTH},
    },
    trail::{payload::PayloadHasher, row::Row},
};

/// What the newest anchor says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// The entry is what was anchored; its index in the tree.
    Matches(u64),
    /// The entry is other than what was anchored; its index in the tree.
    Differs(u64),
    /// The tree ends behind it, and does not have it.
    Absent,
    /// What is kept of the tree there cannot be read, or is not what was signed.
    Unreadable,
    /// It came later than the anchor, or there is none.
    NotYet,
}

impl Leaf {
    /// As files spell it; empty for what is not anchored yet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Matches(_) => "matches",
            Self::Differs(_) => "differs",
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
            Self::NotYet => "",
        }
    }

    /// Its place in the tree, where it has one.
    pub(super) fn index(self) -> Option<u64> {
        match self {
            Self::Matches(index) | Self::Differs(index) => Some(index),
            Self::Absent | Self::Unreadable | Self::NotYet => None,
        }
    }
}

/// Looks up leaves of one organisation in order of id; one tile is in memory.
pub(super) struct Leaves<'a> {
    anchored: Option<(&'a Anchored, &'a Tree)>,
    organization_id: i64,
    hasher: PayloadHasher,
    tile: Option<(u64, Result<Vec<KeptLeaf>, String>)>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(anchored: Option<&'a Anchored>, organization_id: i64) -> Self {
        let tree = anchored.and_then(|anchored| Some((anchored, anchored.tree(organization_id)?)));
        Self {
            anchored: tree,
            organization_id,
            hasher: PayloadHasher::default(),
            tile: None,
        }
    }

    /// The number of the anchor.
    pub(super) fn anchor(&self) -> Option<u64> {
        self.anchored.map(|(anchored, _)| anchored.number)
    }

    /// What the anchor says of this entry.
    pub(super) fn of(&mut self, row: &Row<'_>) -> Leaf {
        let Some((anchored, tree)) = self.anchored else {
            return Leaf::NotYet;
        };
        if row.id > tree.last_id {
            return Leaf::NotYet;
        }
        let wanted = tree.tile_of(row.id);
        if self.tile.as_ref().is_none_or(|(tile, _)| *tile != wanted) {
            let kept = anchored.kept(self.organization_id, wanted);
            self.tile = Some((wanted, kept));
        }
        let Some((_, Ok(leaves))) = &self.tile else {
            return Leaf::Unreadable;
        };
        match leaves.binary_search_by_key(&row.id, |leaf| leaf.id) {
            Err(_) => Leaf::Absent,
            Ok(at) => {
                let index = wanted * WIDTH + at as u64;
                if leaves[at].hash == KeptLeaf::of_row(row, &mut self.hasher).hash {
                    Leaf::Matches(index)
                } else {
                    Leaf::Differs(index)
                }
            }
        }
    }
}

//! Entries beside the leaves that the newest anchor has of them.
//!
//! Tiles are read before the rows that they cover: while PostgreSQL's rows are handed out, a runtime drives the connection on the
//! same thread, and nothing else can be waited for.

use std::collections::VecDeque;

use crate::{
    checkpoint::{
        anchored::{Anchored, KeptLeaf},
        tiles::{Tree, WIDTH},
    },
    qwed::IdRange,
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

/// A tile's number, and its leaves, or why they cannot be had.
type Tile = (u64, Result<Vec<KeptLeaf>, String>);

/// Looks up leaves of one organisation in order of id; the tiles of one range of ids are in memory.
pub(super) struct Leaves<'a> {
    anchored: Option<(&'a Anchored, &'a Tree)>,
    organization_id: i64,
    hasher: PayloadHasher,
    /// One after the other.
    tiles: VecDeque<Tile>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(anchored: Option<&'a Anchored>, organization_id: i64) -> Self {
        let tree = anchored.and_then(|anchored| Some((anchored, anchored.tree(organization_id)?)));
        Self {
            anchored: tree,
            organization_id,
            hasher: PayloadHasher::default(),
            tiles: VecDeque::new(),
        }
    }

    /// The number of the anchor.
    pub(super) fn anchor(&self) -> Option<u64> {
        self.anchored.map(|(anchored, _)| anchored.number)
    }

    /// Reads the tiles that cover this range, which begins behind the one before. Waits for our database.
    pub(super) fn prepare(&mut self, range: IdRange) {
        let Some((anchored, tree)) = self.anchored.filter(|(_, tree)| range.low <= tree.last_id)
        else {
            self.tiles.clear();
            return;
        };
        let first = tree.tile_of(range.low);
        let last = tree.tile_of(range.high.min(tree.last_id));
        self.tiles.retain(|(tile, _)| *tile >= first);
        let next = self.tiles.back().map_or(first, |(tile, _)| tile + 1);
        for tile in next..=last {
            let kept = anchored.kept(self.organization_id, tile);
            self.tiles.push_back((tile, kept));
        }
    }

    /// What the anchor says of this entry, which lies in the range that was prepared.
    pub(super) fn of(&mut self, row: &Row<'_>) -> Leaf {
        let Some((_, tree)) = self.anchored.filter(|(_, tree)| row.id <= tree.last_id) else {
            return Leaf::NotYet;
        };
        let wanted = tree.tile_of(row.id);
        let first = self.tiles.front().map_or(wanted, |(tile, _)| *tile);
        let at = usize::try_from(wanted.saturating_sub(first)).unwrap_or(usize::MAX);
        let tile = self.tiles.get(at).filter(|(tile, _)| *tile == wanted);
        let Some((_, Ok(leaves))) = tile else {
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

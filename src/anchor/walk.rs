//! Comparing a trail with inventories alone, without the tiles that our database keeps: for anchors from the archive, and for
//! what a drill restored.

use std::collections::BTreeMap;

use super::{AnchorError, pages::read_pages};
use crate::{
    checkpoint::{
        anchored::KeptLeaf,
        inventory::Inventory,
        merkle::{Hash, Range},
        tiles::{WIDTH, tile_root},
    },
    progress::Progress,
    qwed::{IdRange, Reader},
    trail::payload::PayloadHasher,
};

/// What inventories say of one organisation: by size, the root, and the first anchor that has it.
pub type Signed = BTreeMap<u64, (Hash, u64)>;

/// A trail that was walked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walked {
    /// How many entries it has.
    pub entries: u64,
    /// The newest.
    pub last_id: Option<i64>,
    /// Of each 256 entries, the first id and the root over their leaves.
    pub tiles: Vec<(i64, Hash)>,
    /// How many sizes were found to have the root that was signed.
    pub matched: u64,
    /// The largest size up to which everything is as it was signed.
    pub sound: u64,
    /// The entry that this size ends with.
    pub id_at_sound: Option<i64>,
    /// The first entry behind all sizes that were signed.
    pub first_behind: Option<i64>,
    /// The first size whose root is another than the signed one, and the anchor that has it. A size that the trail does not
    /// reach is none.
    pub wrong: Option<(u64, u64)>,
}

/// Collects what inventories say of each organisation.
#[must_use]
pub fn signed(inventories: &[Inventory]) -> BTreeMap<i64, Signed> {
    let mut all: BTreeMap<i64, Signed> = BTreeMap::new();
    for inventory in inventories {
        for organization in &inventory.organizations {
            if let (Some(id), true) = (organization.id, organization.size > 0) {
                let sizes = all.entry(id).or_default();
                sizes
                    .entry(organization.size)
                    .or_insert((organization.root, inventory.number));
            }
        }
    }
    all
}

/// Reads an organisation's entries up to an id, and compares them with the roots that were signed.
///
/// # Errors
/// If the database cannot be read, or it is to stop.
pub fn walk(
    reader: &mut Reader,
    organization_id: i64,
    up_to: i64,
    signed: &Signed,
    progress: &Progress,
) -> Result<Walked, AnchorError> {
    let range = IdRange {
        low: i64::MIN,
        high: up_to,
    };
    let mut walked = Walked::default();
    let mut hasher = PayloadHasher::default();
    let mut complete = Range::empty_at(0);
    let mut open: Vec<Hash> = Vec::with_capacity(WIDTH as usize);
    let mut first_id = 0;
    let mut sizes = signed.iter().peekable();
    let largest = signed.last_key_value().map_or(0, |(&size, _)| size);
    read_pages(reader, organization_id, range, progress, |row| {
        let leaf = KeptLeaf::of_row(row, &mut hasher);
        if open.is_empty() {
            first_id = leaf.id;
        }
        open.push(leaf.hash);
        if walked.entries == largest {
            walked.first_behind = Some(leaf.id);
        }
        walked.entries += 1;
        walked.last_id = Some(leaf.id);
        if let Some((&size, &(root, number))) = sizes.next_if(|(size, _)| **size == walked.entries)
        {
            let mut all = complete.clone();
            all.append(tile_root(&open));
            if walked.wrong.is_none() && all.root() == Some(root) {
                walked.matched += 1;
                walked.sound = size;
                walked.id_at_sound = Some(leaf.id);
            } else if walked.wrong.is_none() {
                walked.wrong = Some((size, number));
            }
        }
        if open.len() as u64 == WIDTH {
            let root = tile_root(&open);
            walked.tiles.push((first_id, root));
            complete.append(root);
            open.clear();
        }
        true
    })?;
    if !open.is_empty() {
        walked.tiles.push((first_id, tile_root(&open)));
    }
    Ok(walked)
}

//! Stretches of the table folded into summaries that join.
//!
//! A trail is read in key ranges by several readers at once, or by several processes. Each folds the rows of
//! its range, in id order, into a [`Segment`]; neighbours join into one, and joining is associative, so that
//! neither the number of readers nor where ranges end can change what comes out (a property test holds this).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};

use super::{
    broken::{extend_limited, push_limited},
    chain::Trail,
    check::RowCheck,
    hash::HashText,
    row::Row,
};

/// A stretch of the table: the trails of all organisations in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Segment {
    /// By organisation id.
    #[serde(serialize_with = "in_order")]
    pub trails: HashMap<i64, Trail>,
    /// Ids of rows that belong to no organisation, up to the limit.
    pub homeless: Vec<i64>,
    /// How many rows belong to no organisation.
    pub homeless_total: u64,
    /// How many rows were read and checked.
    pub rows: u64,
    /// Organisation of the first row that has a hash.
    first_hashed_in: Option<i64>,
    /// Hash of the newest row that has one; blank where none has.
    last_hash: HashText,
}

/// A map has no order of its own, and equal segments have to be equal bytes.
fn in_order<S: Serializer>(trails: &HashMap<i64, Trail>, to: S) -> Result<S::Ok, S::Error> {
    trails.iter().collect::<BTreeMap<_, _>>().serialize(to)
}

/// Folds rows into segments.
#[derive(Debug, Clone, Copy)]
pub struct Folder {
    /// How many ids, suspects and links are kept of each sort.
    pub limit: usize,
    /// Whether rows of all organisations pass by, so that the row before in the table is known.
    pub whole_table: bool,
}

impl Folder {
    /// Adds the next row in id order; `counted` says whether it lies in the period that is verified.
    #[inline]
    pub fn push(&self, segment: &mut Segment, row: &Row<'_>, check: &RowCheck, counted: bool) {
        segment.rows += 1;
        if let Some(organization_id) = row.organization_id.integer() {
            let is_known = self.whole_table && !segment.last_hash.is_blank();
            let preceding = is_known.then_some(&segment.last_hash);
            let trail = segment.trails.entry(organization_id).or_default();
            trail.push(row, check, counted, preceding, self.limit);
            if !row.entry_hash.is_blank() && segment.last_hash.is_blank() {
                segment.first_hashed_in = Some(organization_id);
            }
        } else {
            segment.homeless_total += 1;
            push_limited(&mut segment.homeless, row.id, self.limit);
        }
        if !row.entry_hash.is_blank() {
            segment.last_hash = row.entry_hash.into();
        }
    }

    /// Passes a row that is not verified, and only stands between others.
    pub fn pass(&self, segment: &mut Segment, row: &Row<'_>) {
        if !row.entry_hash.is_blank() {
            segment.last_hash = row.entry_hash.into();
        }
    }

    /// Joins two neighbouring stretches, `left` being the one with the lower ids.
    #[must_use]
    pub fn join(&self, mut left: Segment, mut right: Segment) -> Segment {
        if left.last_hash.is_blank() {
            left.first_hashed_in = right.first_hashed_in;
        } else if self.whole_table
            && let Some(organization_id) = right.first_hashed_in
            && let Some(trail) = right.trails.get_mut(&organization_id)
        {
            trail.set_preceding(&left.last_hash);
        }
        for (organization_id, trail) in right.trails {
            let before = left.trails.remove(&organization_id).unwrap_or_default();
            left.trails
                .insert(organization_id, before.join(trail, self.limit));
        }
        extend_limited(&mut left.homeless, right.homeless, self.limit);
        left.homeless_total += right.homeless_total;
        left.rows += right.rows;
        if !right.last_hash.is_blank() {
            left.last_hash = right.last_hash;
        }
        left
    }

    /// Decides what is still open in a segment that is complete: each organisation's trail starts behind what
    /// `before` says of it (nothing, unless only a period is verified).
    pub fn finish(&self, segment: &mut Segment, mut before: impl FnMut(i64) -> Option<Trail>) {
        for (&organization_id, trail) in &mut segment.trails {
            if let Some(before) = before(organization_id) {
                *trail = before.join(core::mem::take(trail), self.limit);
            }
            trail.finish(self.limit);
        }
    }
}

#[cfg(test)]
mod tests;

//! Erased entries as readers see them: rows beside their tombstones, and stand-ins where rows are gone.

use super::{HashSet, IdRange, Occurrence, among, owned::OwnedRow};
use crate::trail::{
    row::Row,
    tombstone::{Tombstone, Tombstones},
};

/// A row with what its tombstone says of it.
pub(super) fn seen<'a>(erased: &'a Tombstones, row: &Row<'a>) -> Row<'a> {
    Row {
        erased: erased.get(row.id).and_then(|tombstone| tombstone.on(row)),
        ..*row
    }
}

/// Ids below this one.
pub(super) fn below(id: i64) -> IdRange {
    IdRange {
        low: i64::MIN,
        high: id.saturating_sub(1),
    }
}

/// Ids above this one.
pub(super) fn above(id: i64) -> IdRange {
    IdRange {
        low: id.saturating_add(1),
        high: i64::MAX,
    }
}

/// What is looked up among tombstones.
pub(super) trait Look {
    /// Stand-ins for rows that are gone, in order of id.
    fn gone(
        &self,
        organization: Option<i64>,
        range: IdRange,
    ) -> impl DoubleEndedIterator<Item = Row<'_>>;

    /// Where rows lie, given where those lie that are there.
    fn bounds(
        &self,
        organization: Option<i64>,
        range: IdRange,
        found: Option<IdRange>,
    ) -> Option<IdRange>;

    /// Where these hashes occur in rows that are gone.
    fn occurrences(&self, hashes: &HashSet, range: IdRange) -> Vec<Occurrence>;
}

impl Look for Tombstones {
    fn gone(
        &self,
        organization: Option<i64>,
        range: IdRange,
    ) -> impl DoubleEndedIterator<Item = Row<'_>> {
        let all = self.between(range.low, range.high).iter();
        let of_organization =
            move |it: &&Tombstone| organization.is_none_or(|id| it.organization_id() == id);
        all.filter(of_organization).filter_map(Tombstone::stand_in)
    }

    fn bounds(
        &self,
        organization: Option<i64>,
        range: IdRange,
        found: Option<IdRange>,
    ) -> Option<IdRange> {
        let mut gone = self.gone(organization, range).map(|row| row.id);
        let (first, last) = (gone.next(), gone.next_back());
        let low = found
            .map(|found| found.low)
            .into_iter()
            .chain(first)
            .min()?;
        let high = found.map(|found| found.high).into_iter();
        let high = high.chain(first).chain(last).max()?;
        Some(IdRange { low, high })
    }

    fn occurrences(&self, hashes: &HashSet, range: IdRange) -> Vec<Occurrence> {
        let mut found = Vec::new();
        for row in self.gone(None, range) {
            for (value, is_own) in [(row.entry_hash, true), (row.previous_hash, false)] {
                if let Some(hash) = value.text().filter(|text| hashes.contains(*text)) {
                    found.push(Occurrence {
                        id: row.id,
                        organization_id: row.organization_id.integer(),
                        hash: hash.to_vec(),
                        is_own,
                    });
                }
            }
        }
        found
    }
}

/// Lays tombstones over rows that are handed out in order of id.
pub(super) struct Overlay<'e> {
    tombstones: core::iter::Peekable<core::slice::Iter<'e, Tombstone>>,
    organization: Option<i64>,
}

impl<'e> Overlay<'e> {
    pub(super) fn new(erased: &'e Tombstones, organization: Option<i64>, range: IdRange) -> Self {
        Self {
            tombstones: erased.between(range.low, range.high).iter().peekable(),
            organization,
        }
    }

    /// Hands out a row that is there, and before it those that are gone.
    pub(super) fn row(&mut self, row: &Row<'_>, visit: &mut impl FnMut(&Row<'_>)) {
        while let Some(tombstone) = self.tombstones.next_if(|it| it.id() < row.id) {
            self.stand_in(tombstone, visit);
        }
        match self.tombstones.next_if(|it| it.id() == row.id) {
            Some(tombstone) => visit(&Row {
                erased: tombstone.on(row),
                ..*row
            }),
            None => visit(row),
        }
    }

    /// Hands out those that are gone behind the last row.
    pub(super) fn finish(mut self, visit: &mut impl FnMut(&Row<'_>)) {
        while let Some(tombstone) = self.tombstones.next() {
            self.stand_in(tombstone, visit);
        }
    }

    fn stand_in(&self, tombstone: &Tombstone, visit: &mut impl FnMut(&Row<'_>)) {
        let id = tombstone.organization_id();
        if self.organization.is_none_or(|wanted| wanted == id)
            && let Some(row) = tombstone.stand_in()
        {
            visit(&row);
        }
    }
}

/// The first row or the last that is as wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    range: IdRange,
    is_last: bool,
    organization: Option<i64>,
    is_hashed: bool,
}

impl Wanted {
    pub(super) fn first(range: IdRange) -> Self {
        Self {
            range,
            is_last: false,
            organization: None,
            is_hashed: false,
        }
    }

    pub(super) fn last(range: IdRange) -> Self {
        Self {
            is_last: true,
            ..Self::first(range)
        }
    }

    /// Only of this organisation.
    pub(super) fn of(self, organization_id: i64) -> Self {
        Self {
            organization: Some(organization_id),
            ..self
        }
    }

    /// Only with an entry hash.
    pub(super) fn hashed(self) -> Self {
        Self {
            is_hashed: true,
            ..self
        }
    }

    pub(super) fn sql(&self) -> String {
        let condition = among(self.organization, self.range);
        let hashed = if self.is_hashed {
            " AND entry_hash <> ''"
        } else {
            ""
        };
        let order = if self.is_last { "DESC" } else { "ASC" };
        format!("{condition}{hashed} ORDER BY id {order} LIMIT 1")
    }

    /// The row that was found, or one that is gone and stood nearer.
    pub(super) fn nearer(&self, found: Option<OwnedRow>, erased: &Tombstones) -> Option<OwnedRow> {
        let is_wanted = |row: &Row<'_>| !self.is_hashed || !row.entry_hash.is_blank();
        let mut gone = erased.gone(self.organization, self.range).filter(is_wanted);
        let gone = if self.is_last {
            gone.next_back()
        } else {
            gone.next()
        };
        let is_nearer = |gone: &Row<'_>| {
            found.as_ref().is_none_or(|found| {
                let id = found.row().id;
                if self.is_last {
                    gone.id > id
                } else {
                    gone.id < id
                }
            })
        };
        match gone.filter(is_nearer) {
            Some(gone) => Some(OwnedRow::from(&gone)),
            None => found,
        }
    }
}

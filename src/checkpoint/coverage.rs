//! When each place of the anchored trails was last checked in full, and what is to be checked next.
//!
//! A place is a tile of an organisation's tree; places are in order of organisation and tile, and stay where they are however the
//! trails grow. What was checked at one time is a span of places, so that a few spans cover everything. A tile that was added
//! since belongs to the span that it falls into, and so passes for checked earlier than it was, never later.
//!
//! The oldest is checked first, and of that as much as keeps everything within so many days: the part of all entries
//! that the time since the last run is of these days, so that equal times make equal slices and a run that was missed is made up for by
//! the next. What is overdue all the same is checked whatever that comes to.

use std::collections::BTreeMap;

use super::tiles::WIDTH;

/// A day in microseconds.
pub const DAY: i64 = 24 * HOUR;
const HOUR: i64 = 3_600_000_000;

/// How many entries each organisation's tree has.
pub type Sizes = BTreeMap<i64, u64>;

/// A tile of an organisation's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The organisation.
    pub organization_id: i64,
    /// The tile, from 0.
    pub tile: u64,
}

impl Place {
    const FIRST: Self = Self {
        organization_id: i64::MIN,
        tile: 0,
    };
}

/// The places from one on to before another; to the last where that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The first.
    pub from: Place,
    /// The one behind the last.
    pub to: Option<Place>,
}

impl Reach {
    /// The tiles that it has in trees of these sizes.
    pub fn tiles(self, sizes: &Sizes) -> impl Iterator<Item = Tiles> {
        let Self { from, to } = self;
        let trees = sizes.range(from.organization_id..);
        trees
            .take_while(move |&(&id, _)| to.is_none_or(|to| id <= to.organization_id))
            .filter_map(move |(&organization_id, &size)| {
                let is_at = |place: &Place| place.organization_id == organization_id;
                let first = if is_at(&from) { from.tile } else { 0 };
                let end = size.div_ceil(WIDTH);
                let end = to.filter(is_at).map_or(end, |to| to.tile.min(end));
                (first < end).then_some(Tiles {
                    organization_id,
                    first,
                    end,
                })
            })
    }

    fn entries(self, sizes: &Sizes) -> u64 {
        self.tiles(sizes).map(|tiles| tiles.entries(sizes)).sum()
    }
}

/// Tiles of a tree that stand one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tiles {
    /// The organisation.
    pub organization_id: i64,
    /// The first.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
}

impl Tiles {
    /// How many entries they have in trees of these sizes.
    #[must_use]
    pub fn entries(&self, sizes: &Sizes) -> u64 {
        let size = sizes.get(&self.organization_id).copied().unwrap_or(0);
        let before = |tile: u64| tile.saturating_mul(WIDTH).min(size);
        before(self.end) - before(self.first)
    }

    /// The same in parts of at most so many tiles.
    pub fn parts(self, tiles: u64) -> impl Iterator<Item = Self> {
        let step = usize::try_from(tiles).unwrap_or(usize::MAX);
        (self.first..self.end).step_by(step).map(move |first| Self {
            first,
            end: self.end.min(first.saturating_add(tiles)),
            ..self
        })
    }
}

/// In order, each once, what is in any of these.
#[must_use]
pub fn union(mut tiles: Vec<Tiles>) -> Vec<Tiles> {
    tiles.sort_unstable();
    let mut joined: Vec<Tiles> = Vec::with_capacity(tiles.len());
    for tiles in tiles {
        match joined.last_mut() {
            Some(last)
                if last.organization_id == tiles.organization_id && tiles.first <= last.end =>
            {
                last.end = last.end.max(tiles.end);
            }
            _ => joined.push(tiles),
        }
    }
    joined
}

/// The tiles that trees have got since they had `former` entries: what no run before has seen.
#[must_use]
pub fn grown(former: &Sizes, sizes: &Sizes) -> Vec<Tiles> {
    let trees = sizes.iter().filter_map(|(&organization_id, &size)| {
        let before = former.get(&organization_id).copied().unwrap_or(0);
        (before < size).then_some(Tiles {
            organization_id,
            first: before / WIDTH,
            end: size.div_ceil(WIDTH),
        })
    });
    trees.collect()
}

/// Places that were checked at one time; they end where the next span begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: Place,
    /// When the run began that checked them, in microseconds since 1970.
    pub checked_at: i64,
    /// How many entries they had at the last run.
    pub entries: u64,
}

/// What a run checked in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// When it began, in microseconds since 1970.
    pub began_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// The anchor that the trails were compared with.
    pub anchor: u64,
    /// The sizes of that anchor's trees.
    pub sizes: Sizes,
    /// What of it; everything where that is none.
    pub slice: Option<Vec<Reach>>,
}

/// When each place was last checked in full. There is none before everything was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// When the last run began, in microseconds since 1970.
    pub ran_at: i64,
    /// The anchor that it went by: each entry which that covers was checked at least once.
    pub anchor: u64,
    /// When the last run began whose end is that of a round; what was checked later belongs to the one under way.
    pub round_began_at: i64,
    /// When the last round began that is complete, and when it ended.
    pub last_round: (i64, i64),
    /// In order, the first from the first place on.
    pub spans: Vec<Span>,
}

impl Coverage {
    /// What is known after a run. A slice adds to what was known before, and to nothing if that is gone.
    #[must_use]
    pub fn after(former: Option<Self>, run: &Checked) -> Option<Self> {
        let Some(slice) = &run.slice else {
            let span = Span {
                from: Place::FIRST,
                checked_at: run.began_at,
                entries: run.sizes.values().sum(),
            };
            return Some(Self {
                ran_at: run.began_at,
                anchor: run.anchor,
                round_began_at: run.began_at,
                last_round: (run.began_at, run.ended_at),
                spans: vec![span],
            });
        };
        let mut coverage = former?;
        for &reach in slice {
            coverage.assign(reach, run.began_at);
        }
        coverage.ran_at = run.began_at;
        coverage.anchor = coverage.anchor.max(run.anchor);
        let reaches: Vec<Reach> = coverage.reaches().map(|(_, reach)| reach).collect();
        for (span, reach) in coverage.spans.iter_mut().zip(reaches) {
            span.entries = reach.entries(&run.sizes);
        }
        let is_round = |oldest: &Span| oldest.checked_at > coverage.round_began_at;
        if coverage.oldest().is_some_and(is_round) {
            coverage.last_round = (coverage.round_began_at, run.ended_at);
            coverage.round_began_at = run.began_at;
        }
        Some(coverage)
    }

    /// What is to be checked now, so that nothing is left that was last checked `days` ago or earlier.
    #[must_use]
    pub fn slice(&self, sizes: &Sizes, now: i64, days: u32) -> Vec<Reach> {
        let all_days = i64::from(days) * DAY;
        let elapsed = now.saturating_sub(self.ran_at).clamp(HOUR, all_days);
        let total: u64 = sizes.values().sum();
        let part = u128::from(total) * u128::from(elapsed.unsigned_abs());
        let part = part.div_ceil(u128::from(all_days.unsigned_abs()));
        let mut left = u64::try_from(part).unwrap_or(u64::MAX);
        let mut oldest_first: Vec<_> = self.reaches().collect();
        oldest_first.sort_by_key(|(span, _)| (span.checked_before(now), span.from));
        let mut slice = Vec::new();
        for (span, reach) in oldest_first {
            let is_overdue = !span.is_within(now, days);
            let entries = reach.entries(sizes);
            if is_overdue || entries <= left {
                slice.push(reach);
                left = left.saturating_sub(entries);
                continue;
            }
            for tiles in reach.tiles(sizes) {
                let entries = tiles.entries(sizes);
                if entries < left {
                    left -= entries;
                    continue;
                }
                if left > 0 {
                    let to = Place {
                        organization_id: tiles.organization_id,
                        tile: tiles.first + left.div_ceil(WIDTH),
                    };
                    slice.push(Reach {
                        to: Some(to),
                        ..reach
                    });
                }
                break;
            }
            break;
        }
        slice
    }

    /// The span that was not checked for longest, of those that have entries.
    #[must_use]
    pub fn oldest(&self) -> Option<&Span> {
        let spans = self.spans.iter().filter(|span| span.entries > 0);
        spans.min_by_key(|span| (span.checked_at, span.from))
    }

    /// The tiles that come next in a slice.
    #[must_use]
    pub fn next(&self, sizes: &Sizes) -> Option<Tiles> {
        let oldest = self.oldest()?.from;
        let mut reaches = self.reaches().filter(|(span, _)| span.from == oldest);
        reaches.find_map(|(_, reach)| reach.tiles(sizes).next())
    }

    /// How many entries there are, and how many of them were checked in the last `days`.
    #[must_use]
    pub fn entries(&self, now: i64, days: u32) -> (u64, u64) {
        let sum = |spans: &mut dyn Iterator<Item = &Span>| spans.map(|span| span.entries).sum();
        let mut covered = self.spans.iter().filter(|span| span.is_within(now, days));
        (sum(&mut self.spans.iter()), sum(&mut covered))
    }

    fn reaches(&self) -> impl Iterator<Item = (&Span, Reach)> {
        let ends = self.spans.iter().skip(1).map(|span| Some(span.from));
        let ends = ends.chain([None]);
        self.spans.iter().zip(ends).map(|(span, to)| {
            let from = span.from;
            (span, Reach { from, to })
        })
    }

    fn assign(&mut self, reach: Reach, checked_at: i64) {
        let Reach { from, to } = reach;
        let behind = to.and_then(|to| {
            let span = self.spans.iter().rfind(|span| span.from <= to)?;
            Some(Span { from: to, ..*span })
        });
        let is_before_end = |place: Place| to.is_none_or(|to| place <= to);
        self.spans
            .retain(|span| span.from < from || !is_before_end(span.from));
        let checked = Span {
            from,
            checked_at,
            entries: 0,
        };
        self.spans
            .extend([Some(checked), behind].into_iter().flatten());
        self.spans.sort_unstable_by_key(|span| span.from);
        self.spans
            .dedup_by(|next, span| next.checked_at == span.checked_at);
    }
}

impl Span {
    /// When it was last checked for all that is known: a time to come is that of a clock that was wrong.
    fn checked_before(&self, now: i64) -> i64 {
        if self.checked_at > now.saturating_add(HOUR) {
            i64::MIN
        } else {
            self.checked_at
        }
    }

    fn is_within(&self, now: i64, days: u32) -> bool {
        self.checked_before(now) > now.saturating_sub(i64::from(days) * DAY)
    }
}

#[cfg(test)]
mod tests;

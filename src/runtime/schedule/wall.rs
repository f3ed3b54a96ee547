//! What a clock on a wall shows, and when.
//!
//! Goes by a zone's offsets between its changes, and never asks jiff which instants a wall time has: where jiff's table
//! of changes ends and its rule begins, it sees an hour repeated that is not (Nuuk, 2023-10-28 23:00, when only the
//! name of the offset changed), and croner panics on the answer.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::time::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// More than any offset and any change of a clock: zones have moved across the date line, by 24 hours.
const WIDEST_CHANGE: SignedDuration = SignedDuration::from_hours(50);

/// When clocks show a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// As nearly always.
    Once(Timestamp),
    /// In both passes of a repeated hour.
    Twice(Timestamp, Timestamp),
    /// Never: it is left out, and clocks go on at this instant.
    Never(Timestamp),
}

/// When clocks in a zone show a time. `None` at the ends of time only.
pub(super) fn shown(zone: &TimeZone, wall: DateTime) -> Option<Shown> {
    let near = Offset::UTC.to_timestamp(wall).ok()?;
    let mut start = near.checked_sub(WIDEST_CHANGE).ok()?;
    let last = near.checked_add(WIDEST_CHANGE).ok()?;
    let (mut first, mut gap) = (None, None);
    let changes = zone.following(start).map(|change| change.timestamp());
    for end in changes.map(Some).chain([None]) {
        let here = zone.to_offset(start).to_timestamp(wall).ok()?;
        let is_before_end = end.is_none_or(|end| here < end);
        match first {
            _ if here < start => gap = gap.or(Some(start)),
            None if is_before_end => first = Some(here),
            Some(first) if is_before_end => return Some(Shown::Twice(first, here)),
            _ => {}
        }
        match end {
            Some(end) if end <= last => start = end,
            _ => break,
        }
    }
    first.map(Shown::Once).or(gap.map(Shown::Never))
}

/// An instant and what clocks in its zone show, for croner's search.
#[derive(Debug, Clone)]
pub(super) struct Moment<'z> {
    zone: &'z TimeZone,
    pub(super) instant: Timestamp,
    pub(super) wall: DateTime,
}

impl<'z> Moment<'z> {
    pub(super) fn new(zone: &'z TimeZone, instant: Timestamp) -> Self {
        Self {
            zone,
            instant,
            wall: zone.to_datetime(instant),
        }
    }
}

impl CronDateTime for Moment<'_> {
    fn to_civil(&self) -> CivilDateTime {
        self.wall.to_civil()
    }

    fn civil_weekday(&self) -> Weekday {
        self.wall.civil_weekday()
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        // A time without a zone resolves to itself.
        let Resolution::Single(wall) = self.wall.resolve_civil(civil)? else {
            return Err(CronError::InvalidTime);
        };
        let at = |instant| Self {
            zone: self.zone,
            instant,
            wall,
        };
        match shown(self.zone, wall).ok_or(CronError::InvalidTime)? {
            Shown::Once(instant) => Ok(Resolution::Single(at(instant))),
            Shown::Twice(first, second) => Ok(Resolution::Ambiguous(at(first), at(second))),
            Shown::Never(_) => Ok(Resolution::Gap),
        }
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let moved = SignedDuration::from_secs(seconds);
        let instant = self.instant.checked_add(moved).ok()?;
        Some(Self::new(self.zone, instant))
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }
}

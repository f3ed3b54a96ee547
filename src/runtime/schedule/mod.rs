//! Schedules: which job runs when.
//!
//! Nearly everything here is pure: files and times in, decisions out. [`fn@load`] finds the files, [`mod@file`] reads one,
//! [`calendar`] knows its fires, [`mod@decide`] says which of them are due, late or to be left. What is not here: the clock, the table of cursors, and the
//! table `schedule_fire` whose primary key (schedule, fire time) is what keeps any number of replicas from firing twice.
//! Nothing here may be relied on for that; it is enough that no fire is lost.

pub mod calendar;
pub mod decide;
pub mod file;
mod load;
mod wall;

use jiff::Timestamp;

pub use calendar::{Calendar, CalendarError};
pub use decide::{Decisions, Fire, ON_TIME, Skip, SkipReason, decide};
pub use file::{Misfire, MisfirePolicy, Overlap, Schedule};
pub use load::{check, load};

/// The schedules that ship with the program: file name and text.
pub const SHIPPED: [(&str, &str); 10] = [
    (
        "continue_erasures.toml",
        include_str!("../../../jobs/continue_erasures.toml"),
    ),
    (
        "daily_checklist.toml",
        include_str!("../../../jobs/daily_checklist.toml"),
    ),
    (
        "daily_key_check.toml",
        include_str!("../../../jobs/daily_key_check.toml"),
    ),
    (
        "hourly_anchor.toml",
        include_str!("../../../jobs/hourly_anchor.toml"),
    ),
    (
        "monthly_report.toml",
        include_str!("../../../jobs/monthly_report.toml"),
    ),
    (
        "nightly_backup.toml",
        include_str!("../../../jobs/nightly_backup.toml"),
    ),
    (
        "nightly_verification.toml",
        include_str!("../../../jobs/nightly_verification.toml"),
    ),
    (
        "quarterly_report.toml",
        include_str!("../../../jobs/quarterly_report.toml"),
    ),
    (
        "rolling_verification.toml",
        include_str!("../../../jobs/rolling_verification.toml"),
    ),
    (
        "weekly_drill.toml",
        include_str!("../../../jobs/weekly_drill.toml"),
    ),
];

/// The longest list that [`preview`] makes.
const PREVIEW_MAX: usize = 1000;

/// A fire to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// When.
    pub fire_time: Timestamp,
    /// What clocks in the schedule's zone will show: `Sun 2026-03-29 03:00:00 CEST`.
    pub local: String,
}

/// The next fires of a schedule after `now`, at most 1000, whether or not it is paused.
#[must_use]
pub fn preview(schedule: &Schedule, now: Timestamp, count: usize) -> Vec<Upcoming> {
    let calendar = schedule.calendar();
    let fires = calendar.between(now, Timestamp::MAX);
    let upcoming = |fire_time| Upcoming {
        fire_time,
        local: calendar.local(fire_time),
    };
    fires.take(count.min(PREVIEW_MAX)).map(upcoming).collect()
}

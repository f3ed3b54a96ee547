//! Which fires are due.
//!
//! Every schedule has a cursor in the database: the newest fire that was considered. A tick looks at the fires between
//! the cursor and now, says for each whether it starts a job, and moves the cursor to the newest of them. The caller
//! writes the rows of the fires and the cursor in one transaction, so a crash repeats the decision or keeps it, and
//! nothing between is lost.
//!
//! **Replicas and clocks.** Replicas share the cursor; whoever ticks first decides. A decision that was made before is
//! harmless, because the fires' primary key (schedule, fire time) lets each in only once. That is why a cursor that is
//! ahead of the clock can be set back: either this clock is slow, or the one that wrote the cursor was fast. It is set
//! to [`ON_TIME`] before now, not to now: what fell due in between, a clock that ran days ahead may have left as too
//! old, and here it is still on time. Further back would make up for what was left on purpose. With the policy `skip`
//! clocks must agree within [`ON_TIME`], or one that runs ahead finds late what for the others has not come yet.

use jiff::{SignedDuration, Timestamp};

use super::file::{MisfirePolicy, Schedule};

/// How late a fire may be and still count as on time, and how far a cursor may be ahead of a clock.
pub const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// How many of the skipped fires are listed.
pub const SKIPPED_LISTED: usize = 20;

/// How many skipped fires are counted: a second-by-second schedule whose cursor is years back is not walked through.
pub const SKIPPED_COUNTED: usize = 1000;

/// What a tick decided for one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisions {
    /// What starts a job, oldest first. At most the misfires' `max` and those of the last minute.
    pub fires: Vec<Fire>,
    /// What does not, oldest first: the newest [`SKIPPED_LISTED`]. For the log; after a reset some may have fired
    /// long before.
    pub skipped: Vec<Skip>,
    /// How many were skipped in all, at most [`SKIPPED_COUNTED`], which then means "or more".
    pub skipped_count: usize,
    /// The new cursor: the newest fire considered; as it was if there was none.
    pub cursor: Timestamp,
    /// Whether the cursor was ahead of the clock and was set back.
    pub reset: bool,
}

/// A fire that starts a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// When it was due: the job gets this, and it is half of the primary key.
    pub fire_time: Timestamp,
    /// Whether it makes up for one that was missed.
    pub late: bool,
}

/// A fire that starts no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// When it was due.
    pub fire_time: Timestamp,
    /// Why it does not.
    pub reason: SkipReason,
}

/// Why a fire starts no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The schedule is paused.
    Paused,
    /// It was missed, and the policy makes up for none.
    Missed,
    /// It was missed longer ago than the window.
    TooOld,
    /// It was missed, and newer ones are made up for instead (`once`, or the maximum of `all`).
    Superseded,
}

/// Decides about the fires of `schedule` that are after `cursor` and not after `now`. A definition that has no cursor
/// yet (see [`Schedule::definition_hash`]) starts with `now` as its cursor.
#[must_use]
pub fn decide(schedule: &Schedule, cursor: Timestamp, now: Timestamp) -> Decisions {
    let on_time = back(now, ON_TIME);
    let reset = back(cursor, ON_TIME) > now;
    let from = if reset { on_time } else { cursor };
    let oldest = back(
        now,
        SignedDuration::from_hours(schedule.misfire.window_hours.into()),
    );
    let mut room = match schedule.misfire.policy {
        MisfirePolicy::Skip => 0,
        MisfirePolicy::Once => 1,
        MisfirePolicy::All => schedule.misfire.max,
    };

    let mut decisions = Decisions {
        fires: Vec::new(),
        skipped: Vec::new(),
        skipped_count: 0,
        cursor: from,
        reset,
    };
    for fire_time in schedule.calendar().between_newest_first(from, now) {
        decisions.cursor = decisions.cursor.max(fire_time);
        let late = fire_time < on_time;
        let reason = if schedule.paused {
            SkipReason::Paused
        } else if !late {
            decisions.fires.push(Fire { fire_time, late });
            continue;
        } else if schedule.misfire.policy == MisfirePolicy::Skip {
            SkipReason::Missed
        } else if fire_time < oldest {
            SkipReason::TooOld
        } else if room == 0 {
            SkipReason::Superseded
        } else {
            room -= 1;
            decisions.fires.push(Fire { fire_time, late });
            continue;
        };
        decisions.skipped_count += 1;
        if decisions.skipped.len() < SKIPPED_LISTED {
            decisions.skipped.push(Skip { fire_time, reason });
        }
        // Everything older is skipped as well: fires are made up for from the newest on.
        if decisions.skipped_count == SKIPPED_COUNTED {
            break;
        }
    }
    decisions.fires.reverse();
    decisions.skipped.reverse();
    decisions
}

fn back(instant: Timestamp, duration: SignedDuration) -> Timestamp {
    instant.checked_sub(duration).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

//! When a cron expression fires in a time zone.
//!
//! Times of day belong to wall clocks, which skip an hour in spring and repeat one in autumn. Two kinds of expression
//! want two answers:
//!
//! - **Fixed times**: seconds, minutes and hours are numbers or lists of numbers (`30 2 * * *`, `0 2,14 * * *`). Each
//!   fires once a day that it names. A time in the gap fires at the first moment after it, and several of one gap fire
//!   once, together. A time in the repeated hour fires in the first of its two passes.
//! - **Intervals**: anything with a range, a step or a wildcard among them (`*/15 * * * *`, `0 8-18 * * *`). They fire
//!   whenever the wall clock shows a time that matches: evenly in elapsed time, in both passes of the repeated hour, and
//!   not at all for what the gap leaves out.
//!
//! The second kind is croner's own rule, and its search is used. The first is not quite: croner 4.0.3 takes a list for
//! an interval, so it loses the 02:30 of `30 2,14 * * *` in spring and runs it twice in autumn; it drops a fire whose
//! gap ends on a day that the expression does not name (Saturdays 23:30 in Nuuk, whose clock goes from 23:00 to Sunday
//! 00:00); and it gives up on gaps of more than two hours. So fixed times are searched on the bare wall clock, where
//! croner knows no gaps, and each is then placed in the zone here.
//!
//! What is left out on purpose: the year field, because a schedule that ends needs no worker, and fractions of a
//! second: every fire is at a whole second.

use std::sync::LazyLock;

use croner::Cron;
use croner::JobType;
use croner::errors::CronError;
use croner::parser::{CronParser, Year};
use jiff::civil::{DateTime, date};
use jiff::tz::{TimeZone, TimeZoneDatabase, TimeZoneName};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::wall::{Moment, Shown, shown};
use crate::config::nearest;

/// The zones as this program was built with them: all replicas of a version agree, whatever their machines hold.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The short forms of expressions.
const NICKNAMES: [&str; 6] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@hourly",
];

/// The fields of an expression. The first may be left out.
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day", "month", "weekday"];

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    expression: String,
    cron: Cron,
    zone: TimeZone,
    is_fixed: bool,
}

/// Why there is no such calendar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarError {
    /// The expression has too few or too many fields, or is a short form that does not exist.
    #[error(
        "cron = {expression:?} has {found} of the fields: write five (minute hour day month weekday), six with the \
         seconds first, or one of {}{}", NICKNAMES.join(", "), did_you_mean(.nearest)
    )]
    Fields {
        /// As written.
        expression: String,
        /// How many there are.
        found: usize,
        /// The short form that was probably meant.
        nearest: Option<String>,
    },
    /// A field cannot be read.
    #[error(
        "cron = {expression:?} cannot be read: {problem}, in the field {field}; an expression is \
         {}, for example \"{}0 2 * * *\" for 02:00 each day", FIELDS[6 - fields..].join(" "), if *.fields == 6 { "0 " } else { "" }
    )]
    Field {
        /// As written.
        expression: String,
        /// The parser's words.
        problem: String,
        /// The field's name.
        field: &'static str,
        /// How many there are, 5 or 6.
        fields: usize,
    },
    /// No day ever matches.
    #[error(
        "cron = {expression:?} never fires: no year has a day that matches; look at day and month, and write L for the \
         last day of a month"
    )]
    Never {
        /// As written.
        expression: String,
    },
    /// There is no such time zone.
    #[error(
        "timezone = {name:?} is no time zone of the IANA database: write a name such as \"Europe/Berlin\" or \
         \"UTC\"{}", did_you_mean(.nearest)
    )]
    Zone {
        /// As written.
        name: String,
        /// The zone that was probably meant.
        nearest: Option<String>,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    let meant = nearest.as_ref();
    meant.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

impl Calendar {
    /// An expression of five fields (minute, hour, day, month, weekday), of six with the seconds first, or a short
    /// form (`@daily`), in an IANA time zone. As in every cron, a day matches if its date *or* its weekday does when
    /// both are given; a `+` before the weekday asks for both.
    ///
    /// # Errors
    /// All that is wrong, at least one.
    pub fn new(expression: &str, timezone: &str) -> Result<Self, Vec<CalendarError>> {
        match (parse_cron(expression), parse_zone(timezone)) {
            (Ok(cron), Ok(zone)) => Ok(Self {
                expression: expression.to_owned(),
                is_fixed: is_fixed(&cron, expression),
                cron,
                zone,
            }),
            (cron, zone) => Err([cron.err(), zone.err()].into_iter().flatten().collect()),
        }
    }

    /// The time zone's name.
    #[must_use]
    pub fn timezone(&self) -> &str {
        // Zones are found by their names, so they have one.
        self.zone.iana_name().unwrap_or_default()
    }

    /// What tells this definition from another one: SHA-256 in hex over expression and time zone. The cursor in the
    /// database belongs to it, so that a changed expression starts anew instead of making up for fires that it never
    /// had. Spaces do not count.
    #[must_use]
    pub fn definition_hash(&self) -> String {
        let mut hash = Sha256::new();
        for field in self.expression.split_whitespace() {
            hash.update(field);
            hash.update(b" ");
        }
        hash.update(b"\n");
        hash.update(self.timezone());
        let hex = |byte: &u8| format!("{byte:02x}");
        hash.finalize().iter().map(hex).collect()
    }

    /// The first fire strictly after an instant. `None` only near the end of time (the year 5000).
    #[must_use]
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        // Fires are at whole seconds: after 02:00:00.5 is what is after 02:00:00.
        let second = floor(instant)?;
        let start = Moment::new(&self.zone, second);
        if !self.is_fixed {
            let found = self.cron.find_next_occurrence(&start, false).ok()?;
            return Some(found.instant);
        }
        let mut wall = start.wall;
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let found = self.place(wall)?;
            // In the second pass of a repeated hour, what is later on the wall was in the first one.
            if found > second {
                return Some(found);
            }
        }
    }

    /// The last fire at or before an instant.
    #[must_use]
    pub fn latest(&self, instant: Timestamp) -> Option<Timestamp> {
        let second = floor(instant)?;
        let start = Moment::new(&self.zone, second);
        if !self.is_fixed {
            let found = self.cron.find_previous_occurrence(&start, true).ok()?;
            return Some(found.instant);
        }
        // In the second pass of a repeated hour the wall has been later already than it is now.
        let yesterday = self.zone.to_offset(second.checked_sub(DAY).ok()?);
        let lead = yesterday.seconds() - self.zone.to_offset(second).seconds();
        let lead = SignedDuration::from_secs(lead.max(0).into());
        let mut wall = start.wall.checked_add(lead).ok()?;
        let mut is_inclusive = true;
        loop {
            wall = self
                .cron
                .find_previous_occurrence(&wall, is_inclusive)
                .ok()?;
            is_inclusive = false;
            let found = self.place(wall)?;
            if found <= second {
                return Some(found);
            }
        }
    }

    /// The fires after one instant, up to and with another, oldest first. Lazy: what is not taken is not searched.
    pub fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(after), |fire| self.after(*fire))
            .take_while(move |fire| *fire <= until)
    }

    /// The same fires, newest first: the recent past of an expression that fires each second is found without
    /// walking there from years back.
    pub fn between_newest_first(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let before = |fire: &Timestamp| self.latest(fire.checked_sub(SECOND).ok()?);
        std::iter::successors(self.latest(until), before).take_while(move |fire| *fire > after)
    }

    /// What clocks in the zone show at an instant, for people: `Sun 2026-03-29 03:00:00 CEST`.
    #[must_use]
    pub fn local(&self, instant: Timestamp) -> String {
        let local = instant.to_zoned(self.zone.clone());
        local.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// The instant of a fixed time: the first of two, and the end of the gap for one that does not exist. Later on
    /// the wall is never earlier here, which both searches need.
    fn place(&self, wall: DateTime) -> Option<Timestamp> {
        Some(match shown(&self.zone, wall)? {
            Shown::Once(instant) | Shown::Twice(instant, _) | Shown::Never(instant) => instant,
        })
    }
}

/// The last whole second not after an instant, also before 1970.
fn floor(instant: Timestamp) -> Option<Timestamp> {
    let second = instant.as_second() - i64::from(instant.subsec_nanosecond() < 0);
    Timestamp::from_second(second).ok()
}

fn is_fixed(cron: &Cron, expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let times = match fields.len() {
        5 => &fields[..2],
        6 => &fields[..3],
        _ => &[],
    };
    let is_list = |field: &&str| field.bytes().all(|b| b.is_ascii_digit() || b == b',');
    cron.determine_job_type() == JobType::FixedTime
        || (!times.is_empty() && times.iter().all(is_list))
}

fn parse_cron(expression: &str) -> Result<Cron, CalendarError> {
    let found = expression.split_whitespace().count();
    let is_nickname = NICKNAMES.contains(&expression.trim().to_ascii_lowercase().as_str());
    if !matches!(found, 5 | 6) && !is_nickname {
        let meant = nearest(expression.trim(), NICKNAMES);
        return Err(CalendarError::Fields {
            expression: expression.to_owned(),
            found,
            nearest: meant.map(str::to_owned),
        });
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    let cron = parser.parse(expression).map_err(|error| {
        // The parser does not say where: the field at fault is the one that cannot be read alone.
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let alone = |index: &usize| {
            let mut others = vec!["*"; found];
            others[*index] = fields[*index];
            parser.parse(&others.join(" ")).is_err()
        };
        let at = (0..found).find(alone).unwrap_or_default();
        CalendarError::Field {
            expression: expression.to_owned(),
            problem: match error {
                CronError::IllegalCharacters(problem)
                | CronError::ComponentError(problem)
                | CronError::InvalidPattern(problem) => problem,
                other => other.to_string(),
            }
            .trim_end_matches('.')
            .replace("CronPattern contains illegal", "illegal"),
            field: FIELDS[FIELDS.len() - found + at],
            fields: found,
        }
    })?;
    // From any time on: what matches no day until the year 5000 never does.
    let any_time = date(1970, 1, 1).at(0, 0, 0, 0);
    match cron.find_next_occurrence(&any_time, true) {
        Ok(_) => Ok(cron),
        Err(_) => Err(CalendarError::Never {
            expression: expression.to_owned(),
        }),
    }
}

fn parse_zone(name: &str) -> Result<TimeZone, CalendarError> {
    let found = ZONES.get(name).ok();
    // By its own spelling only: the name is part of the definition. Etc/Unknown is a zone to jiff and to nobody else.
    let found = found.filter(|zone| zone.iana_name() == Some(name) && !zone.is_unknown());
    found.ok_or_else(|| {
        let zones: Vec<TimeZoneName<'_>> = ZONES.available().collect();
        let zones = || zones.iter().map(TimeZoneName::as_str);
        // Many know only the city.
        let city = |zone: &&str| {
            let city = zone.rsplit('/').next().unwrap_or_default();
            city.eq_ignore_ascii_case(&name.replace(' ', "_"))
        };
        let meant = zones().find(city).or_else(|| nearest(name, zones()));
        CalendarError::Zone {
            name: name.to_owned(),
            nearest: meant.map(str::to_owned),
        }
    })
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;

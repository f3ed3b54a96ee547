//! The fires of some rules, without croner and jiff: chrono's time zones and plain enumeration of days.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime};
use chrono::{TimeDelta, TimeZone, Timelike, Weekday};
use chrono_tz::Tz;
use jiff::Timestamp;

pub(super) struct Rule {
    pub(super) expression: &'static str,
    pub(super) is_day: fn(NaiveDate) -> bool,
    pub(super) times: Times,
}

pub(super) enum Times {
    /// Each once a day.
    Fixed(Vec<NaiveTime>),
    /// Whenever a clock shows a time that matches.
    Interval(fn(NaiveTime) -> bool),
}

pub(super) fn rules() -> Vec<Rule> {
    let any: fn(NaiveDate) -> bool = |_| true;
    let fixed = |expression, is_day, times: &[NaiveTime]| Rule {
        expression,
        is_day,
        times: Times::Fixed(times.to_vec()),
    };
    let interval = |expression, is_day, is_time| Rule {
        expression,
        is_day,
        times: Times::Interval(is_time),
    };
    let at = |hour, minute| time(hour, minute, 0);
    vec![
        fixed("30 2 * * *", any, &[at(2, 30)]),
        fixed("@daily", any, &[at(0, 0)]),
        fixed("15 2,14 * * *", any, &[at(2, 15), at(14, 15)]),
        fixed(
            "0,20,40 1,2 * * *",
            any,
            &[
                at(1, 0),
                at(1, 20),
                at(1, 40),
                at(2, 0),
                at(2, 20),
                at(2, 40),
            ],
        ),
        fixed("17 30 2 * * *", any, &[time(2, 30, 17)]),
        fixed(
            "0 3 L * *",
            |day| day.succ_opt().unwrap().day() == 1,
            &[at(3, 0)],
        ),
        fixed(
            "15 2 * * SUN",
            |day| day.weekday() == Weekday::Sun,
            &[at(2, 15)],
        ),
        fixed(
            "30 23 * * 6",
            |day| day.weekday() == Weekday::Sat,
            &[at(23, 30)],
        ),
        fixed(
            "0 9 * * MON-FRI",
            |day| day.weekday().number_from_monday() <= 5,
            &[at(9, 0)],
        ),
        fixed(
            "0 0 13 * 5",
            |day| day.day() == 13 || day.weekday() == Weekday::Fri,
            &[at(0, 0)],
        ),
        interval("@hourly", any, |t| t.minute() == 0 && t.second() == 0),
        interval("*/15 * * * *", any, |t| {
            t.minute() % 15 == 0 && t.second() == 0
        }),
        interval("30 1-3 * * *", any, |t| {
            (1..=3).contains(&t.hour()) && t.minute() == 30 && t.second() == 0
        }),
        interval("*/20 30 2 * * *", any, |t| {
            t.hour() == 2 && t.minute() == 30 && t.second() % 20 == 0
        }),
        interval(
            "0 */2 1 * *",
            |day| day.day() == 1,
            |t| t.hour() % 2 == 0 && t.minute() == 0 && t.second() == 0,
        ),
    ]
}

fn time(hour: u32, minute: u32, second: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, second).unwrap()
}

pub(super) fn local(zone: Tz, instant: Timestamp) -> DateTime<Tz> {
    zone.timestamp_opt(instant.as_second(), 0).unwrap()
}

/// The first moment after a gap: clocks are changed at whole minutes.
fn end_of_gap(zone: Tz, wall: NaiveDateTime) -> DateTime<Tz> {
    let whole = wall.with_second(0).unwrap().and_utc();
    let long_before = whole - TimeDelta::hours(50);
    let minutes = (0..).map(|minute| long_before + TimeDelta::minutes(minute));
    minutes
        .map(|minute| minute.with_timezone(&zone))
        .find(|minute| minute.naive_local() > wall)
        .unwrap()
}

/// The fires in (after, until].
pub(super) fn oracle(rule: &Rule, zone: Tz, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut fires = BTreeSet::new();
    let first = local(zone, after).date_naive().pred_opt().unwrap();
    let last = local(zone, until).date_naive().succ_opt().unwrap();
    let every_second = (0..86_400).map(|s| time(s / 3600, s / 60 % 60, s % 60));
    let times: Vec<NaiveTime> = match &rule.times {
        Times::Fixed(times) => times.clone(),
        Times::Interval(is_time) => every_second.filter(|time| is_time(*time)).collect(),
    };
    let days = first.iter_days().take_while(|day| *day <= last);
    for day in days.filter(|day| (rule.is_day)(*day)) {
        for wall in times.iter().map(|time| day.and_time(*time)) {
            match (zone.from_local_datetime(&wall), &rule.times) {
                (MappedLocalTime::Single(once), _) => fires.insert(once.timestamp()),
                (MappedLocalTime::Ambiguous(first, _), Times::Fixed(_)) => {
                    fires.insert(first.timestamp())
                }
                (MappedLocalTime::Ambiguous(first, second), Times::Interval(_)) => {
                    fires.insert(first.timestamp());
                    fires.insert(second.timestamp())
                }
                (MappedLocalTime::None, Times::Fixed(_)) => {
                    fires.insert(end_of_gap(zone, wall).timestamp())
                }
                (MappedLocalTime::None, Times::Interval(_)) => false,
            };
        }
    }
    let fires = fires
        .into_iter()
        .map(|second| Timestamp::from_second(second).unwrap());
    fires
        .filter(|fire| *fire > after && *fire <= until)
        .collect()
}

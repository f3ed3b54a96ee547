//! The fires of some rules, without croner and chrono: jiff's time zones and plain enumeration of days.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday, time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

pub(super) struct Rule {
    pub(super) expression: &'static str,
    pub(super) is_day: fn(Date) -> bool,
    pub(super) times: Times,
}

pub(super) enum Times {
    /// Each once a day.
    Fixed(Vec<Time>),
    /// Whenever a clock shows a time that matches.
    Interval(fn(Time) -> bool),
}

pub(super) fn rules() -> Vec<Rule> {
    let any: fn(Date) -> bool = |_| true;
    let fixed = |expression, is_day, times: &[Time]| Rule {
        expression,
        is_day,
        times: Times::Fixed(times.to_vec()),
    };
    let interval = |expression, is_day, is_time| Rule {
        expression,
        is_day,
        times: Times::Interval(is_time),
    };
    let at = |hour, minute| time(hour, minute, 0, 0);
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
        fixed("17 30 2 * * *", any, &[time(2, 30, 17, 0)]),
        fixed("0 3 L * *", |day| day == day.last_of_month(), &[at(3, 0)]),
        fixed(
            "15 2 * * SUN",
            |day| day.weekday() == Weekday::Sunday,
            &[at(2, 15)],
        ),
        fixed(
            "30 23 * * 6",
            |day| day.weekday() == Weekday::Saturday,
            &[at(23, 30)],
        ),
        fixed(
            "0 9 * * MON-FRI",
            |day| day.weekday().to_monday_one_offset() <= 5,
            &[at(9, 0)],
        ),
        fixed(
            "0 0 13 * 5",
            |day| day.day() == 13 || day.weekday() == Weekday::Friday,
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

fn midnight(day: Date) -> i64 {
    let civil = day.to_datetime(Time::midnight());
    jiff::tz::Offset::UTC
        .to_timestamp(civil)
        .unwrap()
        .as_second()
}

/// The fires in (after, until], without croner and chrono.
pub(super) fn oracle(
    rule: &Rule,
    zone: &TimeZone,
    after: Timestamp,
    until: Timestamp,
) -> Vec<Timestamp> {
    let mut fires = BTreeSet::new();
    let first = zone.to_datetime(after).date().yesterday().unwrap();
    let last = zone.to_datetime(until).date().tomorrow().unwrap();
    let days: Vec<Date> = first
        .series(1.day())
        .take_while(|day| *day <= last)
        .filter(|day| (rule.is_day)(*day))
        .collect();
    match &rule.times {
        Times::Fixed(times) => {
            for civil in days
                .iter()
                .flat_map(|day| times.iter().map(|t| day.to_datetime(*t)))
            {
                fires.insert(match zone.to_ambiguous_timestamp(civil).offset() {
                    AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).unwrap(),
                    AmbiguousOffset::Fold { before, after } => {
                        let first = before.to_timestamp(civil).unwrap();
                        // Where its table ends and its rule begins, jiff sees a fold that is none: Nuuk,
                        // 2023-10-28 23:00, when only the name of the offset changed.
                        if zone.to_datetime(first) == civil {
                            first
                        } else {
                            after.to_timestamp(civil).unwrap()
                        }
                    }
                    AmbiguousOffset::Gap { after, .. } => {
                        let before_the_gap = after.to_timestamp(civil).unwrap();
                        zone.following(before_the_gap).next().unwrap().timestamp()
                    }
                });
            }
        }
        Times::Interval(is_time) => {
            let seconds: Vec<i64> = (0..86_400_i32)
                .filter(|s| {
                    let part = |n: i32| i8::try_from(n).unwrap();
                    is_time(time(part(s / 3600), part(s / 60 % 60), part(s % 60), 0))
                })
                .map(i64::from)
                .collect();
            // Between two changes of its offset a zone is as plain as UTC.
            let mut start = i64::MIN;
            let before = after.checked_sub(SignedDuration::from_hours(24)).unwrap();
            let changes = zone.following(before).map(|change| change.timestamp());
            let changes = changes.take_while(|change| *change <= until);
            let mut from = before;
            for end in changes.map(Some).chain([None]) {
                let offset = i64::from(zone.to_offset(from).seconds());
                let until = end.map_or(i64::MAX, Timestamp::as_second);
                for day in &days {
                    let midnight = midnight(*day) - offset;
                    if midnight + 86_400 < start || midnight > until {
                        continue;
                    }
                    let here = seconds.iter().map(|second| midnight + second);
                    let here = here.filter(|second| (start..until).contains(second));
                    fires.extend(here.map(|second| Timestamp::from_second(second).unwrap()));
                }
                start = until;
                from = end.unwrap_or(from);
            }
        }
    }
    fires.retain(|fire| *fire > after && *fire <= until);
    fires.into_iter().collect()
}

//! The calendar against an oracle that shares nothing with it: chrono's time zones (their database is an older one
//! than jiff's, so zones are compared over the years in which both agree) and plain enumeration of days.

use chrono::Offset as _;
use chrono_tz::Tz;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Calendar, parse_zone};

#[path = "calendar_oracle.rs"]
mod oracle;

use oracle::{local, oracle, rules};

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    // Half an hour of summer time.
    "Australia/Lord_Howe",
    // Summer time all year but in Ramadan.
    "Africa/Casablanca",
    // Gave summer time up in 2021.
    "Pacific/Apia",
    "America/Sao_Paulo",
    // From 2024 on its gap is the last hour of a Saturday.
    "America/Nuuk",
    // Changes at midnight.
    "America/Havana",
];

fn zone(name: &str) -> TimeZone {
    parse_zone(name).unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(expression: &str, timezone: &str) -> Calendar {
    Calendar::new(expression, timezone).unwrap()
}

/// The end of the comparison: before a zone's rules differ between the two databases.
fn agree_until(name: &str) -> Timestamp {
    match name {
        // Morocco and Cuba gave their clock changes up in 2026, which chrono-tz does not know yet.
        "Africa/Casablanca" => utc("2026-09-01T00:00:00Z"),
        "America/Havana" => utc("2026-09-01T00:00:00Z"),
        _ => utc("2030-01-01T00:00:00Z"),
    }
}

#[test]
fn ten_years_of_fires_are_those_of_the_oracle() {
    for name in ZONES {
        let (start, end) = (utc("2020-01-01T00:00:00Z"), agree_until(name));
        for rule in rules() {
            // 350,000 fires in ten years are enough of them twice: with whole hours and with half ones.
            let is_dense = rule.expression.starts_with("*/15");
            if is_dense && !["Europe/Berlin", "Australia/Lord_Howe"].contains(&name) {
                continue;
            }
            let calendar = calendar(rule.expression, name);
            let expected = oracle(&rule, name.parse().unwrap(), start, end);
            let found: Vec<_> = calendar.between(start, end).collect();
            let differs = found.iter().zip(&expected).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{} in {name}", rule.expression);
            assert_eq!(found.len(), expected.len(), "{} in {name}", rule.expression);
        }
    }
}

#[test]
fn the_two_databases_agree() {
    for name in ZONES {
        let (tz, chrono): (_, Tz) = (zone(name), name.parse().unwrap());
        let mut at = utc("2020-01-01T00:00:00Z");
        while at < agree_until(name) {
            let theirs = local(chrono, at).offset().fix().local_minus_utc();
            assert_eq!(theirs, tz.to_offset(at).seconds(), "{name} at {at}");
            at += SignedDuration::from_mins(30);
        }
    }
}

/// What the older database does not know.
#[test]
fn the_newest_rules_are_known() {
    for (name, offset_hours) in [("Africa/Casablanca", 0), ("America/Havana", -4)] {
        for day in ["2027-01-15T12:00:00Z", "2027-07-15T12:00:00Z"] {
            let offset = zone(name).to_offset(utc(day));
            assert_eq!(offset.seconds(), offset_hours * 3600, "{name} on {day}");
        }
    }
}

#[test]
fn newest_first_is_the_same_backwards() {
    // Around the changes of a year and a half, where the two directions could differ.
    for name in ZONES {
        let (start, end) = (utc("2023-09-01T00:00:00Z"), utc("2025-01-01T00:00:00Z"));
        let changes: Vec<_> = zone(name)
            .following(start)
            .map(|change| change.timestamp())
            .take_while(|change| *change < end)
            .collect();
        for rule in rules() {
            let calendar = calendar(rule.expression, name);
            for change in &changes {
                let day = SignedDuration::from_hours(50);
                let (from, to) = (*change - day, *change + day);
                let mut backwards: Vec<_> = calendar.between_newest_first(from, to).collect();
                backwards.reverse();
                let forwards: Vec<_> = calendar.between(from, to).collect();
                assert_eq!(backwards, forwards, "{} in {name}", rule.expression);
                // Also when asked in the middle of a gap or of either pass of a fold.
                for minutes in (-130..130).step_by(10) {
                    let at = *change + SignedDuration::from_mins(minutes);
                    let next = forwards.iter().find(|fire| **fire > at);
                    let last = forwards.iter().rfind(|fire| **fire <= at);
                    if let Some(last) = last {
                        assert_eq!(
                            calendar.latest(at),
                            Some(*last),
                            "{} in {name}",
                            rule.expression
                        );
                    }
                    if let Some(next) = next {
                        assert_eq!(
                            calendar.after(at),
                            Some(*next),
                            "{} in {name}",
                            rule.expression
                        );
                    }
                }
            }
        }
    }
}

fn shown(expression: &str, timezone: &str, from: &str, to: &str) -> Vec<String> {
    let calendar = calendar(expression, timezone);
    let fires = calendar.between(utc(from), utc(to));
    fires.map(|fire| calendar.local(fire)).collect()
}

#[test]
fn a_fixed_time_fires_once_on_the_days_of_both_changes() {
    let spring = [
        "Sun 2026-03-29 03:00:00 CEST",
        "Mon 2026-03-30 02:30:00 CEST",
    ];
    let autumn = [
        "Sun 2026-10-25 02:30:00 CEST",
        "Mon 2026-10-26 02:30:00 CET",
    ];
    let (s0, s1) = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    let (a0, a1) = ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(shown("30 2 * * *", "Europe/Berlin", s0, s1), spring);
    assert_eq!(shown("30 2 * * *", "Europe/Berlin", a0, a1), autumn);
    // As a list, which croner itself loses in spring and runs twice in autumn.
    assert_eq!(
        shown("20,30,40 2 * * *", "Europe/Berlin", s0, s1)[0],
        spring[0]
    );
    assert_eq!(shown("20,30,40 2 * * *", "Europe/Berlin", s0, s1).len(), 4);
    assert_eq!(shown("20,30,40 2 * * *", "Europe/Berlin", a0, a1).len(), 6);
}

#[test]
fn an_interval_fires_by_elapsed_time() {
    let calendar = calendar("*/30 * * * *", "Europe/Berlin");
    for day in ["2026-03-29", "2026-10-25"] {
        let start = utc(&format!("{day}T00:00:00Z"));
        let fires: Vec<_> = calendar
            .between(start, start + SignedDuration::from_hours(3))
            .collect();
        let every: Vec<_> = (1..=6)
            .map(|n| start + SignedDuration::from_mins(30 * n))
            .collect();
        assert_eq!(fires, every);
    }
}

#[test]
fn a_gap_may_end_on_a_day_that_is_not_named_or_last_a_day() {
    let nuuk = shown(
        "30 23 * * SAT",
        "America/Nuuk",
        "2024-03-25T00:00:00Z",
        "2024-04-01T00:00:00Z",
    );
    assert_eq!(nuuk, ["Sun 2024-03-31 00:00:00 -01"]);
    // Samoa had no 30 December 2011. What that day should have seen comes as the next begins.
    let apia = shown(
        "0 9 * * *",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        "2011-12-31T00:00:00Z",
    );
    assert_eq!(
        apia,
        [
            "Thu 2011-12-29 09:00:00 -10",
            "Sat 2011-12-31 00:00:00 +14",
            "Sat 2011-12-31 09:00:00 +14"
        ]
    );
}

/// Why fixed times are not left to croner. If this fails, it may have become unnecessary.
#[test]
fn croner_alone_would_lose_fires() {
    let alone = |expression: &str, name: &str, from: &str| {
        let start = utc(from).to_zoned(zone(name));
        let cron: Cron = expression.parse().unwrap();
        let next = cron.find_next_occurrence(&start, false).unwrap();
        next.strftime("%m-%d %H:%M %Z").to_string()
    };
    let (spring, autumn) = ("2026-03-28T18:00:00Z", "2026-10-25T00:30:00Z");
    assert_eq!(
        alone("30 2,14 * * *", "Europe/Berlin", spring),
        "03-29 14:30 CEST"
    );
    assert_eq!(
        alone("30 2,14 * * *", "Europe/Berlin", autumn),
        "10-25 02:30 CET"
    );
    assert_eq!(
        alone("30 23 * * SAT", "America/Nuuk", "2024-03-25T00:00:00Z"),
        "04-06 23:30 -01"
    );
}

#[test]
fn parts_of_a_second_do_not_count() {
    let calendar = calendar("0 0 * * * *", "UTC");
    let hour = utc("2026-01-01T02:00:00Z");
    let next = Some(utc("2026-01-01T03:00:00Z"));
    assert_eq!(calendar.after(hour), next);
    assert_eq!(calendar.after(utc("2026-01-01T02:00:00.5Z")), next);
    assert_eq!(calendar.after(utc("2026-01-01T01:59:59.999Z")), Some(hour));
    assert_eq!(calendar.latest(utc("2026-01-01T02:00:00.5Z")), Some(hour));
    // Before 1970 too, where cutting off would round up.
    let old = utc("1969-12-31T23:00:00Z");
    assert_eq!(calendar.after(utc("1969-12-31T22:59:59.5Z")), Some(old));
    assert_eq!(
        calendar.latest(utc("1969-12-31T22:59:59.5Z")),
        Some(utc("1969-12-31T22:00:00Z"))
    );
    assert_eq!(calendar.after(Timestamp::MAX), None);
    assert_eq!(calendar.latest(Timestamp::MIN), None);
}

#[test]
fn a_definition_is_its_expression_and_its_zone() {
    let hash = |expression, zone| calendar(expression, zone).definition_hash();
    assert_eq!(hash("0 2 * * *", "UTC"), hash(" 0  2 * * *", "UTC"));
    assert_ne!(hash("0 2 * * *", "UTC"), hash("0 2 * * *", "Europe/Berlin"));
    assert_ne!(hash("0 2 * * *", "UTC"), hash("0 3 * * *", "UTC"));
    // It is stored: it must never change for a definition that did not.
    assert_eq!(
        hash("0 2 * * *", "UTC"),
        "4992f8057e381901e01b3ce44d55cffeaea7cc389ec31945583366ed40d55672"
    );
}

#[test]
fn what_is_no_calendar_says_why() {
    let problems = |expression, zone| {
        let errors = Calendar::new(expression, zone).unwrap_err();
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let all = [
        problems("0 2 * *", "UTC"),
        problems("0 0 2 * * * 2030", "UTC"),
        problems("@dayly", "UTC"),
        problems("61 2 * * *", "UTC"),
        problems("0 0 x * * *", "UTC"),
        problems("0 2 31 2 *", "UTC"),
        problems("0 2 * * *", "Europe/Berln"),
        problems("", "New York"),
        problems("0 2 * * *", "CEST"),
    ];
    insta::assert_snapshot!(all.join("\n"), @r###"
    cron = "0 2 * *" has 4 of the fields: write five (minute hour day month weekday), six with the seconds first, or one of @yearly, @annually, @monthly, @weekly, @daily, @hourly
    cron = "0 0 2 * * * 2030" has 7 of the fields: write five (minute hour day month weekday), six with the seconds first, or one of @yearly, @annually, @monthly, @weekly, @daily, @hourly
    cron = "@dayly" has 1 of the fields: write five (minute hour day month weekday), six with the seconds first, or one of @yearly, @annually, @monthly, @weekly, @daily, @hourly; did you mean "@daily"?
    cron = "61 2 * * *" cannot be read: Number out of bounds, in the field minute; an expression is minute hour day month weekday, for example "0 2 * * *" for 02:00 each day
    cron = "0 0 x * * *" cannot be read: illegal character 'X' in part 'X', in the field hour; an expression is second minute hour day month weekday, for example "0 0 2 * * *" for 02:00 each day
    cron = "0 2 31 2 *" never fires: no year has a day that matches; look at day and month, and write L for the last day of a month
    timezone = "Europe/Berln" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "Europe/Berlin"?
    cron = "" has 0 of the fields: write five (minute hour day month weekday), six with the seconds first, or one of @yearly, @annually, @monthly, @weekly, @daily, @hourly
    timezone = "New York" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "America/New_York"?
    timezone = "CEST" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "CET"?
    "###);
}

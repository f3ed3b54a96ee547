use proptest::prelude::*;

use super::*;

fn time(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_microsecond()
}

fn key(created_at: Moment) -> ApiKey {
    ApiKey {
        id: 1,
        organization_id: Some(1),
        user_id: None,
        preview: "qwed_live_****AAAA".to_owned(),
        is_active: true,
        created_at,
        last_used_at: Moment::Missing,
        revoked_at: Moment::Missing,
        expires_at: Moment::Missing,
        rotation_required: Some(false),
    }
}

fn judge_at(now: i64, key: &ApiKey) -> KeyFinding {
    let now = Timestamp::from_microsecond(now).expect("within the calendar");
    Rule::new(Policy::default(), now, &[]).judge(key)
}

fn aged(micros: i64) -> KeyFinding {
    let now = time("2026-11-23T02:00:00.123456Z");
    judge_at(now, &key(Moment::Micros(now - micros)))
}

#[test]
fn ninety_days_to_the_microsecond_are_allowed() {
    let limit = 90 * DAY_MICROS;
    for (micros, status, age_days) in [
        (limit - 1, Status::DueSoon, 89),
        (limit, Status::DueSoon, 90),
        (limit + 1, Status::Overdue, 90),
        (76 * DAY_MICROS - 1, Status::Ok, 75),
        (76 * DAY_MICROS, Status::DueSoon, 76),
        (0, Status::Ok, 0),
    ] {
        let finding = aged(micros);
        assert_eq!(
            (finding.status, finding.age_days),
            (status, Some(age_days)),
            "{micros}"
        );
    }
}

#[test]
fn nanoseconds_of_the_clock_do_not_count() {
    let created = time("2026-01-01T00:00:00Z");
    let now = Timestamp::from_nanosecond(i128::from(created + 90 * DAY_MICROS) * 1000 + 999);
    let rule = Rule::new(Policy::default(), now.expect("a time"), &[]);
    assert_eq!(
        rule.judge(&key(Moment::Micros(created))).status,
        Status::DueSoon
    );
}

/// Ninety days are 90 × 24 hours, over the end of daylight saving and over a leap day as anywhere.
#[test]
fn calendars_do_not_matter() {
    for (created, limit) in [
        ("2026-03-01T02:30:00Z", "2026-05-30T02:30:00Z"),
        ("2026-09-01T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("2028-01-15T12:00:00Z", "2028-04-14T12:00:00Z"),
        ("2027-01-15T12:00:00Z", "2027-04-15T12:00:00Z"),
        ("2028-02-29T00:00:00Z", "2028-05-29T00:00:00Z"),
        ("1969-12-01T00:00:00Z", "1970-03-01T00:00:00Z"),
    ] {
        let key = key(Moment::Micros(time(created)));
        let at_limit = judge_at(time(limit), &key);
        assert_eq!(at_limit.status, Status::DueSoon, "{created}");
        assert_eq!(at_limit.due_at, Some(limit.parse().expect("a time")));
        assert_eq!(
            judge_at(time(limit) + 1, &key).status,
            Status::Overdue,
            "{created}"
        );
    }
}

#[test]
fn an_unknown_age_is_said_to_be_unknown() {
    let now = time("2026-11-23T00:00:00Z");
    for (created, word) in [
        (Moment::Missing, "missing"),
        (Moment::Unreadable, "cannot be read"),
        (Moment::Micros(i64::MAX), "cannot be read"),
        (Moment::Micros(i64::MIN), "cannot be read"),
        (Moment::Micros(now + DAY_MICROS + 1), "1 day in the future"),
        (
            Moment::Micros(now + 1000 * DAY_MICROS),
            "1000 days in the future",
        ),
    ] {
        let finding = judge_at(now, &key(created));
        assert_eq!(
            finding.status,
            Status::NeverRotatedUnknownAge,
            "{finding:?}"
        );
        assert_eq!((finding.age_days, finding.due_at), (None, None));
        assert!(finding.reason.contains(word), "{finding:?}");
    }
}

#[test]
fn a_clock_that_is_a_little_ahead_makes_a_new_key() {
    let now = time("2026-11-23T00:00:00Z");
    for skew in [1, DAY_MICROS] {
        let finding = judge_at(now, &key(Moment::Micros(now + skew)));
        assert_eq!((finding.status, finding.age_days), (Status::Ok, Some(0)));
        assert!(finding.created_in_future);
        assert!(finding.reason.contains("in the future"), "{finding:?}");
    }
    assert!(!judge_at(now, &key(Moment::Micros(now))).created_in_future);
}

#[test]
fn precedence() {
    let now = time("2026-11-23T00:00:00Z");
    let expired = |created| ApiKey {
        expires_at: Moment::Micros(now),
        ..key(created)
    };
    let old = judge_at(now, &expired(Moment::Micros(now - 91 * DAY_MICROS)));
    assert_eq!((old.status, old.expired), (Status::Overdue, true));
    assert!(old.reason.contains("expired on 2026-11-23"), "{old:?}");
    assert!(old.remedy.contains("revoke"), "{old:?}");
    for created in [
        Moment::Missing,
        Moment::Micros(now - 80 * DAY_MICROS),
        Moment::Micros(now),
    ] {
        assert_eq!(
            judge_at(now, &expired(created)).status,
            Status::ExpiredButActive
        );
    }
    // A key lives until the instant of its expiry.
    let mut key = expired(Moment::Micros(now));
    key.expires_at = Moment::Micros(now + 1);
    assert_eq!(judge_at(now, &key).status, Status::Ok);
    key.expires_at = Moment::Unreadable;
    let unreadable = judge_at(now, &key);
    assert_eq!(unreadable.status, Status::Ok);
    assert!(unreadable.reason.contains("expires_at cannot be read"));
}

#[test]
fn use_is_an_attribute() {
    let now = time("2026-11-23T00:00:00Z");
    let mut key = key(Moment::Micros(now));
    let attributes = |key: &ApiKey| {
        let finding = judge_at(now, key);
        assert_eq!(finding.status, Status::Ok);
        (finding.never_used, finding.dormant)
    };
    assert_eq!(attributes(&key), (true, false));
    key.last_used_at = Moment::Micros(now - 90 * DAY_MICROS);
    assert_eq!(attributes(&key), (false, false));
    key.last_used_at = Moment::Micros(now - 90 * DAY_MICROS - 1);
    assert_eq!(attributes(&key), (false, true));
    key.last_used_at = Moment::Unreadable;
    assert_eq!(attributes(&key), (false, false));
    // Where QWED does not record use, nothing is known of it.
    key.last_used_at = Moment::Missing;
    let at = Timestamp::from_microsecond(now).expect("a time");
    let rule = Rule::new(Policy::default(), at, &["last_used_at"]);
    assert!(!rule.judge(&key).never_used);
}

#[test]
fn a_revoked_key_is_inactive_whatever_the_flag_says() {
    let active = key(Moment::Missing);
    assert!(!is_inactive(&active));
    for revoked_at in [Moment::Micros(0), Moment::Unreadable] {
        assert!(is_inactive(&ApiKey {
            revoked_at,
            ..active.clone()
        }));
    }
    assert!(is_inactive(&ApiKey {
        is_active: false,
        ..active
    }));
}

/// Any time at all: within the calendar mostly, and the ends of the numbers.
fn moments() -> impl Strategy<Value = Moment> {
    prop_oneof![
        8 => (0..4_102_444_800_000_000_i64).prop_map(Moment::Micros),
        1 => any::<i64>().prop_map(Moment::Micros),
        1 => Just(Moment::Missing),
        1 => Just(Moment::Unreadable),
    ]
}

proptest! {
    #[test]
    fn time_only_makes_it_worse(
        created in moments(),
        expires in moments(),
        now in 0..4_102_444_800_000_000_i64,
        later in 0..400 * DAY_MICROS,
        max_age_days in 1..1000_u32,
        part in 0.0..1.0_f64,
    ) {
        let due_soon_days = (f64::from(max_age_days) * part) as u32;
        let policy = Policy { max_age_days, due_soon_days, ..Policy::default() };
        prop_assert!(policy.validate().is_ok());
        let key = ApiKey { expires_at: expires, ..key(created) };
        let judge = |micros| {
            let now = Timestamp::from_microsecond(micros).expect("within the calendar");
            Rule::new(policy, now, &[]).judge(&key)
        };
        let (first, second) = (judge(now), judge(now + later));
        // A created_at far in the future is the only thing that time heals.
        if first.status != Status::NeverRotatedUnknownAge {
            prop_assert!(second.status <= first.status, "{:?} {:?}", first, second);
        }
        let age = |at: i64| i128::from(at) - i128::from(created.micros().unwrap_or_default());
        let is_overdue = created.timestamp().is_some()
            && age(now) > i128::from(max_age_days) * i128::from(DAY_MICROS);
        prop_assert_eq!(first.status == Status::Overdue, is_overdue);
        prop_assert_eq!(first.age_days.is_some(), first.due_at.is_some());
        if first.status == Status::Overdue {
            prop_assert!(first.due_at < Timestamp::from_microsecond(now).ok());
        }
    }
}

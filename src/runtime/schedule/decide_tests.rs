//! Decisions against a plain model, and whole histories of replicas against what must hold whatever the clocks do.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::runtime::schedule::SHIPPED;

fn schedule(cron: &str, timezone: &str, misfire: &str) -> Schedule {
    let text = format!(
        "name = \"s\"\ndescription = \"d\"\nkind = \"k\"\ncron = {cron:?}\ntimezone = {timezone:?}\n\
         [misfire]\n{misfire}\n"
    );
    Schedule::parse(Path::new("s.toml"), &text).unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn fires(decisions: &Decisions) -> Vec<String> {
    let fires = decisions.fires.iter();
    fires
        .map(|fire| {
            let late = if fire.late { " late" } else { "" };
            format!("{}{late}", fire.fire_time.strftime("%d %H:%M"))
        })
        .collect()
}

const HOURLY: &str = "0 * * * *";

#[test]
fn each_policy_makes_up_for_its_fires() {
    let decide_at = |misfire, now| {
        let schedule = schedule(HOURLY, "UTC", misfire);
        decide(&schedule, utc("2026-01-05T00:00:00Z"), utc(now))
    };
    let five = "2026-01-05T05:01:00Z";
    let skip = decide_at("policy = \"skip\"", five);
    assert_eq!(fires(&skip), ["05 05:00"]);
    assert_eq!((skip.skipped.len(), skip.skipped_count), (4, 4));
    assert_eq!(skip.skipped[0].reason, SkipReason::Missed);
    let once = decide_at("policy = \"once\"", five);
    assert_eq!(fires(&once), ["05 04:00 late", "05 05:00"]);
    assert_eq!(once.skipped[0].reason, SkipReason::Superseded);
    let all = decide_at("policy = \"all\"\nmax = 3", five);
    assert_eq!(
        fires(&all),
        [
            "05 02:00 late",
            "05 03:00 late",
            "05 04:00 late",
            "05 05:00"
        ]
    );
    let old = decide_at("policy = \"all\"\nwindow_hours = 2", "2026-01-05T05:02:00Z");
    assert_eq!(fires(&old), ["05 04:00 late", "05 05:00 late"]);
    assert_eq!(old.skipped[0].reason, SkipReason::TooOld);
    for decisions in [skip, once, all, old] {
        assert_eq!(decisions.cursor, utc("2026-01-05T05:00:00Z"));
        assert!(!decisions.reset);
    }
}

#[test]
fn nothing_is_due_twice_or_before_its_time() {
    let schedule = schedule(HOURLY, "UTC", "policy = \"all\"");
    let cursor = utc("2026-01-05T01:00:00Z");
    for now in ["2026-01-05T01:00:00Z", "2026-01-05T01:59:59.999Z"] {
        let decisions = decide(&schedule, cursor, utc(now));
        assert_eq!(fires(&decisions), [""; 0]);
        assert_eq!(decisions.cursor, cursor);
    }
    let decisions = decide(&schedule, cursor, utc("2026-01-05T02:00:00Z"));
    assert_eq!(fires(&decisions), ["05 02:00"]);
}

#[test]
fn a_cursor_ahead_of_the_clock_is_set_back_to_what_is_on_time() {
    let schedule = schedule(HOURLY, "UTC", "policy = \"once\"");
    let now = utc("2026-01-05T02:00:30Z");
    // Another clock may be a little ahead.
    let near = decide(&schedule, now + ON_TIME, now);
    assert_eq!(
        (near.reset, near.fires.len(), near.cursor),
        (false, 0, now + ON_TIME)
    );
    // A clock that was ten days ahead left 02:00 as too old. It is not lost.
    let far = decide(&schedule, utc("2026-01-15T00:00:00Z"), now);
    assert!(far.reset);
    assert_eq!(fires(&far), ["05 02:00"]);
    assert_eq!(far.cursor, utc("2026-01-05T02:00:00Z"));
    let quiet = decide(
        &schedule,
        utc("2026-01-15T00:00:00Z"),
        utc("2026-01-05T02:30:00Z"),
    );
    assert_eq!((quiet.reset, quiet.fires.len()), (true, 0));
    assert_eq!(quiet.cursor, utc("2026-01-05T02:29:00Z"));
}

#[test]
fn a_pause_is_not_made_up_for() {
    let mut schedule = schedule(HOURLY, "UTC", "policy = \"all\"");
    schedule.paused = true;
    let paused = decide(
        &schedule,
        utc("2026-01-05T00:00:00Z"),
        utc("2026-01-05T03:00:10Z"),
    );
    assert_eq!((paused.fires.len(), paused.skipped_count), (0, 3));
    assert_eq!(paused.skipped[2].reason, SkipReason::Paused);
    schedule.paused = false;
    let after = decide(&schedule, paused.cursor, utc("2026-01-05T04:00:10Z"));
    assert_eq!(fires(&after), ["05 04:00"]);
}

#[test]
fn years_of_seconds_are_not_walked_through() {
    let misfire = "policy = \"all\"\nmax = 1000\nwindow_hours = 8784";
    let schedule = schedule("* * * * * *", "Europe/Berlin", misfire);
    let now = utc("2026-01-05T00:00:00Z");
    let decisions = decide(&schedule, utc("1990-01-01T00:00:00Z"), now);
    assert_eq!(decisions.fires.len(), 61 + 1000);
    assert_eq!(decisions.fires[0].fire_time, now - seconds(1060));
    assert_eq!(decisions.skipped.len(), SKIPPED_LISTED);
    assert_eq!(decisions.skipped_count, SKIPPED_COUNTED);
    assert_eq!(decisions.cursor, now);
    assert_eq!(decide(&schedule, decisions.cursor, now).fires, []);
}

#[test]
fn what_ships_is_read_and_fires() {
    for (file_name, text) in SHIPPED {
        let schedule = Schedule::parse(Path::new(file_name), text).unwrap();
        assert_eq!(schedule.paused, schedule.name == "rolling_verification");
        let next = crate::runtime::schedule::preview(&schedule, utc("2026-01-05T00:00:00Z"), 2);
        assert_eq!(next.len(), 2);
        let apart = next[1].fire_time.duration_since(next[0].fire_time);
        let minutes = match schedule.name.as_str() {
            "continue_erasures" => 10,
            name if name.starts_with("hourly") => 60,
            // From 1 February to 1 March, and from 1 April to 1 July.
            "monthly_report" => 28 * 24 * 60,
            "quarterly_report" => 91 * 24 * 60,
            name if name.starts_with("weekly") => 7 * 24 * 60,
            _ => 24 * 60,
        };
        assert_eq!(apart, SignedDuration::from_mins(minutes));
    }
}

/// The policies again, written the long way round: every fire listed, oldest first.
fn model(schedule: &Schedule, cursor: Timestamp, now: Timestamp) -> Vec<Fire> {
    let from = if cursor > now + ON_TIME {
        now - ON_TIME
    } else {
        cursor
    };
    let due: Vec<_> = schedule.calendar().between(from, now).collect();
    let is_late = |fire: &Timestamp| now.duration_since(*fire) > ON_TIME;
    let window = SignedDuration::from_hours(schedule.misfire.window_hours.into());
    let missed: Vec<_> = due.iter().filter(|fire| is_late(fire)).collect();
    let keep = match schedule.misfire.policy {
        MisfirePolicy::Skip => 0,
        MisfirePolicy::Once => 1,
        MisfirePolicy::All => usize::try_from(schedule.misfire.max).unwrap(),
    };
    let dropped = missed.len().saturating_sub(keep);
    let made_up = missed
        .into_iter()
        .skip(dropped)
        .filter(|fire| now.duration_since(**fire) <= window);
    let late = made_up.map(|fire| Fire {
        fire_time: *fire,
        late: true,
    });
    let on_time = due.iter().filter(|fire| !is_late(fire)).map(|fire| Fire {
        fire_time: *fire,
        late: false,
    });
    late.chain(on_time).collect()
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    const CRONS: [&str; 6] = [
        "*/5 * * * *",
        HOURLY,
        "30 2 * * *",
        "*/40 * * * * *",
        "0,20 1,2,3 * * *",
        "0 0 * * *",
    ];
    const ZONES: [&str; 3] = ["UTC", "Europe/Berlin", "Australia/Lord_Howe"];
    let misfires = prop_oneof![
        Just("policy = \"skip\"".to_owned()),
        (1..48_u32).prop_map(|hours| format!("policy = \"once\"\nwindow_hours = {hours}")),
        (1..48_u32, 1..30_u32).prop_map(|(hours, max)| format!(
            "policy = \"all\"\nwindow_hours = {hours}\nmax = {max}"
        )),
    ];
    (
        prop::sample::select(&CRONS[..]),
        prop::sample::select(&ZONES[..]),
        misfires,
    )
        .prop_map(|(cron, zone, misfire)| schedule(cron, zone, &misfire))
}

/// Somewhere in the days around the changes of clocks in March and April 2026.
fn any_time() -> impl Strategy<Value = Timestamp> {
    let start = utc("2026-03-28T00:00:00Z").as_millisecond();
    (0..10 * 86_400_000_i64).prop_map(move |ms| Timestamp::from_millisecond(start + ms).unwrap())
}

/// What may happen next to one of the replicas that share a database.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, in milliseconds, and a replica ticks. Most ticks are close together, some replicas sleep.
    Tick(usize, i64),
    /// A replica's clock is set, in seconds from the true time.
    Set(usize, i64),
    /// Time passes with no replica running, in seconds. Restarts lose nothing but time: replicas hold no state.
    Down(i64),
}

fn any_event(skews: std::ops::Range<i64>) -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => (0..3_usize, 0..30_000_i64).prop_map(|(replica, ms)| Event::Tick(replica, ms)),
        4 => (0..3_usize, 0..7_200_000_i64).prop_map(|(replica, ms)| Event::Tick(replica, ms)),
        2 => (0..3_usize, skews).prop_map(|(replica, skew)| Event::Set(replica, skew)),
        1 => (0..40_000_i64).prop_map(Event::Down),
    ]
}

/// Plays a history on the tables as the database has them; the primary key lets a fire in once.
/// Calls `check` at each tick with the replica's now.
fn play(
    schedule: &Schedule,
    start: Timestamp,
    events: &[Event],
    mut check: impl FnMut(Timestamp, Timestamp, &Decisions),
) -> (BTreeSet<Timestamp>, Timestamp) {
    let (mut time, mut skews) = (start, [0; 3]);
    let (mut cursor, mut fired) = (start, BTreeSet::new());
    for event in events {
        match *event {
            Event::Down(pause) => time += seconds(pause),
            Event::Set(replica, skew) => skews[replica] = skew,
            Event::Tick(replica, pause) => {
                time += SignedDuration::from_millis(pause);
                let now = time + seconds(skews[replica]);
                let decisions = decide(schedule, cursor, now);
                check(cursor, now, &decisions);
                fired.extend(decisions.fires.iter().map(|fire| fire.fire_time));
                cursor = decisions.cursor;
            }
        }
    }
    (fired, time)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_is_that_of_the_model(schedule in any_schedule(), cursor in any_time(), now in any_time()) {
        let decisions = decide(&schedule, cursor, now);
        prop_assert_eq!(&decisions.fires, &model(&schedule, cursor, now));
        let from = if decisions.reset { now - ON_TIME } else { cursor };
        let newest = schedule.calendar().between(from, now).last();
        prop_assert_eq!(decisions.cursor, newest.unwrap_or(from));
    }

    /// With right clocks: what each policy promises, over any history of ticks and outages.
    #[test]
    fn one_right_clock_fires_exactly_what_the_policy_says(
        schedule in any_schedule(),
        start in any_time(),
        events in prop::collection::vec(any_event(0..1), 1..60),
    ) {
        let mut expected = BTreeSet::new();
        let mut ticked = start;
        let mut decided = 0;
        let (fired, _) = play(&schedule, start, &events, |_, now, decisions| {
            // The last tick stands for the cursor: between the two nothing was due.
            expected.extend(model(&schedule, ticked, now).into_iter().map(|fire| fire.fire_time));
            decided += decisions.fires.len();
            ticked = now;
        });
        prop_assert_eq!(fired.len(), decided, "a fire was decided twice");
        prop_assert_eq!(fired, expected);
    }

    /// With clocks that differ and jump: nothing that a policy makes up for is lost, and nothing fires that no
    /// replica's clock had reached, or that the calendar does not have.
    #[test]
    fn replicas_with_wrong_clocks_lose_nothing(
        cron in prop::sample::select(&["*/5 * * * *", HOURLY, "30 2 * * *", "0,20 1,2,3 * * *"][..]),
        start in any_time(),
        // From two hours slow to half a minute fast.
        events in prop::collection::vec(any_event(-7200..30), 1..60),
    ) {
        let schedule = schedule(cron, "Europe/Berlin", "policy = \"all\"\nwindow_hours = 8784\nmax = 1000");
        let mut reached = start;
        let (fired, _) = play(&schedule, start, &events, |_, now, decisions| {
            reached = reached.max(now);
            assert!(decisions.fires.iter().all(|fire| fire.fire_time <= now));
            assert!(decisions.fires.is_sorted_by_key(|fire| fire.fire_time));
        });
        let due: BTreeSet<_> = schedule.calendar().between(start, reached).collect();
        let lost: Vec<_> = due.difference(&fired).collect();
        prop_assert!(lost.is_empty(), "lost {lost:?}");
        // A slow clock sets the cursor to before the start; the fires there are real ones all the same.
        let slowest = start - seconds(7200 + 60);
        let all: BTreeSet<_> = schedule.calendar().between(slowest, reached).collect();
        prop_assert!(fired.is_subset(&all));
    }

    /// With any policy, whatever the clocks: a fire for which some replica ticked in time happens, if no clock is
    /// more than the tolerance fast.
    #[test]
    fn what_is_seen_on_time_always_fires(
        schedule in any_schedule(),
        start in any_time(),
        events in prop::collection::vec(any_event(-100_000..30), 1..60),
    ) {
        let mut seen = BTreeSet::new();
        let mut considered = BTreeSet::new();
        let (fired, _) = play(&schedule, start, &events, |cursor, now, _| {
            let from = cursor.min(now - ON_TIME);
            for fire in schedule.calendar().between((now - ON_TIME).max(start), now) {
                // Unless a faster clock had found it late first.
                if fire >= now - ON_TIME && !considered.contains(&fire) {
                    seen.insert(fire);
                }
            }
            considered.extend(schedule.calendar().between(from, now));
        });
        let lost: Vec<_> = seen.difference(&fired).collect();
        prop_assert!(lost.is_empty(), "lost {lost:?}");
    }
}

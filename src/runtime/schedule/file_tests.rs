use super::*;
use crate::runtime::schedule::SHIPPED;

const WHOLE: &str = r#"
name = "weekly-report"
description = "Writes the report"
kind = "report"
cron = "0 30 6 * * MON"
timezone = "Europe/Berlin"
overlap = "queue"
priority = -5
paused = true

[payload]
since = 2026-01-01
limits = { share = 0.5, rows = [1, 2] }
full = true

[misfire]
policy = "all"
window_hours = 48
max = 3
"#;

#[test]
fn every_key_is_read() {
    let schedule = Schedule::parse(Path::new("weekly-report.toml"), WHOLE).unwrap();
    let expected = serde_json::json!({
        "since": "2026-01-01", "limits": {"share": 0.5, "rows": [1, 2]}, "full": true,
    });
    assert_eq!(schedule.payload, expected);
    assert_eq!(schedule.name, "weekly-report");
    assert_eq!(schedule.kind, "report");
    assert_eq!(schedule.timezone, "Europe/Berlin");
    assert_eq!(schedule.overlap, Overlap::Queue);
    assert_eq!(schedule.priority, Some(-5));
    assert!(schedule.paused);
    let misfire = Misfire {
        policy: MisfirePolicy::All,
        window_hours: 48,
        max: 3,
    };
    assert_eq!(schedule.misfire, misfire);
}

#[test]
fn what_may_be_left_out_has_its_default() {
    let text = "name = \"a\"\ndescription = \"b\"\nkind = \"c\"\ncron = \"@daily\"\n";
    let schedule = Schedule::parse(Path::new("a.toml"), text).unwrap();
    assert_eq!(schedule.payload, serde_json::json!({}));
    assert_eq!(schedule.timezone, "UTC");
    assert_eq!(schedule.overlap, Overlap::Skip);
    assert_eq!(schedule.priority, None);
    assert!(!schedule.paused);
    let misfire = Misfire {
        policy: MisfirePolicy::Once,
        window_hours: 24,
        max: 10,
    };
    assert_eq!(schedule.misfire, misfire);
}

#[test]
fn what_ships_is_valid_and_says_what_is_the_default() {
    for (file_name, text) in SHIPPED {
        let schedule = Schedule::parse(Path::new(file_name), text).unwrap();
        // The model for others says what is the default; what is rarer may be made up for longer.
        let is_model = schedule.name == "nightly_verification";
        let window = schedule.misfire.window_hours;
        assert!(window == WINDOW_HOURS_DEFAULT || (!is_model && window > WINDOW_HOURS_DEFAULT));
        // What is commented out is valid too.
        let shown = text.replace("# priority = 0", "priority = 0");
        Schedule::parse(Path::new(file_name), &shown).unwrap();
    }
}

#[test]
fn problems_say_what_to_do() {
    let problems = |text: &str| {
        let problems = Schedule::parse(Path::new("jobs/night.toml"), text).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    let all = [
        problems("name = \"night\"\ncorn = \"0 2 * * *\"\n[misfire]\nwindow = 5\nmaximum = 2\n"),
        problems("[payload]\nanything = nan\n"),
        problems(
            "name = \"Nightly\"\ndescription = \"x\"\nkind = \"verify trail\"\ncron = \"0 2 30 2 *\"\ntimezone = \
             \"Berlin\"\n[misfire]\nwindow_hours = 0\nmax = 5000\n",
        ),
        problems("name = \"night\"\n\nmisfire = { policy = \"twice\" }\n"),
        problems("name = \"night\"\npriority = \"high\"\n"),
        problems("name = night\n"),
    ];
    insta::assert_snapshot!(all.join("\n--\n"), @r###"
    jobs/night.toml:2: unknown key corn; did you mean cron?
    jobs/night.toml:4: unknown key misfire.window; did you mean misfire.window_hours?
    jobs/night.toml:5: unknown key misfire.maximum; did you mean misfire.max?
    --
    jobs/night.toml: name is missing: add for example name = "nightly"
    jobs/night.toml: description is missing: add for example description = "What the job is for"
    jobs/night.toml: kind is missing: add for example kind = "verify_trail"
    jobs/night.toml: cron is missing: add for example cron = "0 2 * * *"
    jobs/night.toml:2: payload.anything = NaN does not exist in JSON: write a finite number
    --
    jobs/night.toml:1: name = "Nightly" must be lower-case letters, digits, "-" and "_", start with a letter, and have at most 64 characters
    jobs/night.toml:1: name = "Nightly" must be that of its file, "night.toml": rename one of them (a schedule with a new name starts anew)
    jobs/night.toml:3: kind = "verify trail" must be lower-case letters, digits, "-" and "_", start with a letter, and have at most 64 characters
    jobs/night.toml:4: cron = "0 2 30 2 *" never fires: no year has a day that matches; look at day and month, and write L for the last day of a month
    jobs/night.toml:5: timezone = "Berlin" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "Europe/Berlin"?
    jobs/night.toml:7: misfire.window_hours = 0 must be 1 to 8784
    jobs/night.toml:8: misfire.max = 5000 must be 1 to 1000
    jobs/night.toml:8: misfire.max is for policy = "all": remove it, or change the policy
    --
    jobs/night.toml:3: misfire.policy: expected "skip" or "once" or "all", found other text
    --
    jobs/night.toml:2: priority: expected an integer from -2147483648 to 2147483647, found text
    --
    jobs/night.toml:1: no valid TOML: invalid float, expected `nan`
    "###);
}

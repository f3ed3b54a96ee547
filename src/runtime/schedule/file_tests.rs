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
    let schedule = Schedule::parse("weekly-report.toml", WHOLE).unwrap();
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
    // The list of keys for messages is the one that serde has.
    let document: toml::Table = WHOLE.parse().unwrap();
    let mut listed = KEYS[0].1.to_vec();
    listed.sort_unstable();
    assert_eq!(document.keys().collect::<Vec<_>>(), listed);
    let misfire = document["misfire"].as_table().unwrap();
    assert_eq!(misfire.len(), KEYS[1].1.len());
}

#[test]
fn what_may_be_left_out_has_its_default() {
    let text = "name = \"a\"\ndescription = \"b\"\nkind = \"c\"\ncron = \"@daily\"\n";
    let schedule = Schedule::parse("a.toml", text).unwrap();
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
        let schedule = Schedule::parse(file_name, text).unwrap();
        assert_eq!(schedule.misfire.window_hours, WINDOW_HOURS_DEFAULT);
        // What is commented out is valid too.
        let shown = text.replace("# priority = 0", "priority = 0");
        Schedule::parse(file_name, &shown).unwrap();
    }
}

#[test]
fn problems_say_what_to_do() {
    let problems = |text: &str| Schedule::parse("night.toml", text).unwrap_err().join("\n");
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
    line 2: unknown key "corn"; did you mean "cron"?
    line 4: unknown key "window"; did you mean "window_hours"?
    line 5: unknown key "maximum"; the keys are policy, window_hours, max
    --
    name is missing: add for example name = "nightly"
    description is missing: add for example description = "What the job is for"
    kind is missing: add for example kind = "verify_trail"
    cron is missing: add for example cron = "0 2 * * *"
    payload.anything = NaN does not exist in JSON: write a finite number
    --
    name = "Nightly" must be lower-case letters, digits, "-" and "_", start with a letter, and have at most 64 characters
    kind = "verify trail" must be lower-case letters, digits, "-" and "_", start with a letter, and have at most 64 characters
    name = "Nightly" must be that of its file, "night.toml": rename one of them (a schedule with a new name starts anew)
    cron = "0 2 30 2 *" never fires: no year has a day that matches; look at day and month, and write L for the last day of a month
    timezone = "Berlin" is no time zone of the IANA database: write a name such as "Europe/Berlin" or "UTC"; did you mean "Europe/Berlin"?
    misfire.window_hours = 0 must be 1 to 8784
    misfire.max = 5000 must be 1 to 1000
    misfire.max is for policy = "all": remove it, or change the policy
    --
    line 3: unknown variant `twice`, expected one of `skip`, `once`, `all`
    --
    line 2: invalid type: string "high", expected i32
    --
    line 1: invalid float, expected `nan`
    "###);
}

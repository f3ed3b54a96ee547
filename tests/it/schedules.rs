//! `trailkeeper schedules`, and what `config check` says of schedules.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use trailkeeper::{config::Config, jobs, runtime::schedule, state::Store};

use crate::support::program::{Program, Run};
use crate::support::store::{block_on, number};

/// A directory of schedules beside a configuration and a state database.
struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let at = directory.path();
        fs::create_dir(at.join("jobs")).expect("make a directory");
        for (name, text) in files {
            fs::write(at.join("jobs").join(name), text).expect("write a schedule");
        }
        let config = format!(
            "data_dir = {:?}\n[jobs]\ndir = {:?}\n",
            at.join("data"),
            at.join("jobs")
        );
        fs::write(at.join("tk.toml"), config).expect("write the configuration");
        Self(directory)
    }

    /// One schedule that is sound, and one whose file pauses it.
    fn sound() -> Self {
        Self::new(&[
            (
                "yearly.toml",
                &text_of("yearly", "@yearly", "priority = 7\npayload.name = \"x\"\n"),
            ),
            (
                "hourly.toml",
                &text_of("hourly", "0 * * * *", "paused = true\n"),
            ),
        ])
    }

    fn program(&self, command: &[&str]) -> Program {
        Program::bare()
            .args(command)
            .arg("--config")
            .arg(self.0.path().join("tk.toml"))
    }

    #[track_caller]
    fn succeeds(&self, command: &[&str]) -> (Run, Value) {
        let (run, document) = self.program(command).json();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        (run, document)
    }

    fn has_database(&self) -> bool {
        self.0.path().join("data").exists()
    }

    fn redacted(&self, text: &str) -> String {
        text.replace(&self.0.path().display().to_string(), "[DIRECTORY]")
    }
}

fn text_of(name: &str, cron: &str, rest: &str) -> String {
    format!("name = {name:?}\ndescription = \"d\"\nkind = \"probe\"\ncron = {cron:?}\n{rest}")
}

#[test]
fn preview_needs_no_database() {
    let place = Place::sound();
    let command = ["schedules", "preview", "hourly", "--count", "3"];
    let (_, document) = place.succeeds(&command);
    assert_eq!(document["timezone"], "UTC");
    let fires = document["fires"].as_array().expect("a list");
    let hour = |fire: &Value| {
        let time: jiff::Timestamp = fire["utc"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a time");
        time.as_second() / 3600
    };
    let hours: Vec<i64> = fires.iter().map(hour).collect();
    assert_eq!(hours, [hours[0], hours[0] + 1, hours[0] + 2]);
    let run = place.program(&command).run();
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout.lines().next(), Some("hourly  0 * * * *  UTC"));
    assert_eq!(run.stdout.lines().count(), 4);
    let (_, document) = place.succeeds(&["schedules", "preview", "yearly"]);
    assert_eq!(document["fires"].as_array().map(Vec::len), Some(10));
    assert!(!place.has_database());
}

#[test]
fn an_operator_has_the_last_word_on_pauses() {
    let place = Place::sound();
    let pauses = || {
        let (_, document) = place.succeeds(&["schedules", "list"]);
        let entries = document["schedules"].as_array().expect("a list").clone();
        let entry = |entry: &Value| json!([entry["name"], entry["paused"], entry["decided_by"]]);
        entries.iter().map(entry).collect::<Value>()
    };
    assert_eq!(
        pauses(),
        json!([["hourly", true, "file"], ["yearly", false, "file"]])
    );
    let (_, document) = place.succeeds(&["schedules", "pause", "yearly"]);
    assert_eq!(document, json!({"name": "yearly", "paused": true}));
    place.succeeds(&["schedules", "resume", "hourly"]);
    assert_eq!(
        pauses(),
        json!([["hourly", false, "operator"], ["yearly", true, "operator"]])
    );
    let run = place.program(&["schedules", "pause", "yearly"]).run();
    assert_eq!(run.stdout, "yearly is paused\n");
    let run = place.program(&["schedules", "resume", "yearly"]).run();
    assert!(
        run.stdout.starts_with("yearly is not paused; next 2"),
        "{run:?}"
    );
    let run = place.program(&["schedules", "list"]).run();
    assert!(
        run.stdout
            .contains("\nyearly  probe\n  cron  @yearly  UTC\n  next  2"),
        "{run:?}"
    );
}

#[test]
fn run_now_queues_the_job_of_a_schedule() {
    let place = Place::sound();
    let (_, document) = place.succeeds(&["schedules", "run-now", "yearly"]);
    assert_eq!(
        (&document["kind"], &document["new"]),
        (&json!("probe"), &json!(true))
    );
    let run = place.program(&["schedules", "run-now", "hourly"]).run();
    assert!(run.stdout.starts_with("queued probe "), "{run:?}");
    block_on(async {
        let url = format!("sqlite://{}/data/trailkeeper.db", place.0.path().display());
        let store = Store::open(&url, 1).await.expect("open the store");
        let id = document["id"].as_str().expect("an id");
        let as_asked = format!(
            "SELECT count(*) FROM job WHERE id = '{id}' AND source = 'schedule:yearly' AND priority = 7 AND \
             payload = '{{\"name\":\"x\"}}' AND schedule IS NULL"
        );
        assert_eq!(number(&store, &as_asked).await, 1);
        assert_eq!(number(&store, "SELECT count(*) FROM job").await, 2);
        // What an operator asks for is no fire.
        assert_eq!(
            number(&store, "SELECT count(*) FROM schedule_fire").await,
            0
        );
    });
}

#[test]
fn what_cannot_be_done_is_refused_before_there_is_a_database() {
    let place = Place::sound();
    let failure = |place: &Place, command: &[&str]| {
        let run = place.program(command).run();
        let (code, line) = run.failure();
        assert_eq!(code, Some(2), "{run:?}");
        assert!(!place.has_database());
        place.redacted(line)
    };
    let unfit = Place::new(&[
        (
            "kind.toml",
            "name = \"kind\"\ndescription = \"d\"\nkind = \"prob\"\ncron = \"@daily\"\n",
        ),
        (
            "payload.toml",
            &text_of("payload", "@daily", "payload.nmae = \"x\"\n"),
        ),
    ]);
    let broken = Place::new(&[("a.toml", "name = \"b\"\ncorn = \"@daily\"\nzone = 1\n")]);
    let lines = [
        failure(&place, &["schedules", "pause", "yaerly"]),
        failure(&place, &["schedules", "resume", "nightly"]),
        failure(&place, &["schedules", "run-now", "yaerly"]),
        failure(&place, &["schedules", "preview", "yaerly"]),
        failure(&Place::new(&[]), &["schedules", "pause", "nightly"]),
        failure(&unfit, &["schedules", "run-now", "kind"]),
        failure(&unfit, &["schedules", "run-now", "payload"]),
        failure(&broken, &["schedules", "list"]),
    ];
    insta::assert_snapshot!("schedules_refused", lines.join("\n"));
}

#[test]
fn a_database_that_cannot_be_had_is_no_wrong_usage() {
    let place = Place::sound();
    let run = place
        .program(&["schedules", "list"])
        .env(
            "TRAILKEEPER__STATE__URL",
            "postgresql://tk:hunter2@127.0.0.1:1/tk",
        )
        .run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn what_ships_is_listed_without_a_directory() {
    let place = Place::sound();
    fs::write(
        place.0.path().join("tk.toml"),
        format!("data_dir = {:?}\n", place.0.path()),
    )
    .expect("write");
    let (_, document) = place.succeeds(&["schedules", "list"]);
    let names: Vec<_> = document["schedules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(
        names,
        [
            "continue_erasures",
            "daily_checklist",
            "daily_key_check",
            "hourly_anchor",
            "monthly_report",
            "nightly_backup",
            "nightly_verification",
            "quarterly_report",
            "rolling_verification",
            "weekly_drill"
        ]
    );
    assert_eq!(document["schedules"][0]["last"], Value::Null);
}

/// A file in `jobs/` that is not built in would fire only where somebody copied it.
#[test]
fn every_file_of_jobs_ships() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("jobs/")
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    let shipped: Vec<_> = schedule::SHIPPED.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, shipped);
}

/// What ships has to run as it is, without a word of configuration.
#[test]
fn what_ships_fits_the_kinds_that_ship() {
    let shipped = schedule::load(None).expect("the schedules that ship");
    let registry = jobs::registry(&Config::default());
    assert_eq!(schedule::check(&shipped, &registry), Ok(()));
    assert_eq!(shipped.len(), schedule::SHIPPED.len());
}

#[test]
fn config_check_reads_schedules_and_kinds() {
    let place = Place::new(&[
        ("a.toml", "name = \"b\"\ncorn = \"@daily\"\n"),
        (
            "b.toml",
            &text_of("b", "0 2 31 2 *", "timezone = \"Berlin\"\n"),
        ),
    ]);
    let check = |place: &Place| place.program(&["config", "check"]).run();
    let run = check(&place);
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), ""), "{run:?}");
    let unfit = Place::new(&[
        (
            "a.toml",
            &text_of("a", "@daily", "[payload]\nnmae = \"x\"\n"),
        ),
        (
            "b.toml",
            "name = \"b\"\ndescription = \"d\"\nkind = \"prob\"\ncron = \"@daily\"\n",
        ),
    ]);
    let config = unfit.0.path().join("tk.toml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, format!("{text}[jobs.kinds.porbe]\npriority = 3\n")).expect("write");
    let other = check(&unfit);
    assert_eq!(other.code, Some(2), "{other:?}");
    let both = place.redacted(&run.stdout) + "--\n" + &unfit.redacted(&other.stdout);
    insta::assert_snapshot!("config_check_schedules", both);
    let (_, document) = unfit.program(&["config", "check"]).json();
    assert_eq!(document["problems"][1]["key"], "payload");
    assert_eq!(document["problems"][1]["line"], 5);
    assert_eq!(check(&Place::sound()).code, Some(0));
}

//! What the database says, as Prometheus is told it.

use std::path::Path;

use trailkeeper::{
    clock::Clock,
    metrics::{self, Metrics, Start},
    sampler::{Sampler, Settings},
    state::erasures::ErasureRow,
};

use crate::support::{
    program::Program,
    store::{TestStore, job},
};

const DAY: i64 = 86_400_000_000;

crate::on_both![
    open_requests_are_counted,
    what_was_survives_a_restart,
    organisations_beyond_the_cap_are_one,
    queued_jobs_are_counted_once_committed,
];

async fn ask(test: &TestStore, user_id: i64, state: &str, due_in: i64) {
    let row = ErasureRow {
        id: format!("request-{user_id}"),
        organization_id: 1,
        user_id,
        state: state.to_owned(),
        due_at: Clock.now().as_microsecond() + due_in,
        ..ErasureRow::default()
    };
    let mut tx = test.store.begin().await.expect("begin");
    tx.insert_erasure(&row).await.expect("insert");
    tx.commit("test").await.expect("commit");
}

/// The lines about erasures after one sample.
async fn sampled(test: &TestStore, metrics: &Metrics) -> Vec<String> {
    sampler(test, metrics, 100).sample().await;
    let text = metrics.text().expect("text");
    let lines = text.lines();
    let about = lines.filter(|line| line.starts_with("trailkeeper_erasure"));
    about.map(str::to_owned).collect()
}

fn sampler(test: &TestStore, metrics: &Metrics, max_organizations: usize) -> Sampler {
    let settings = Settings {
        rolling_days: 7,
        max_organizations,
        schedules: vec!["nightly".to_owned()],
    };
    Sampler::new(test.store.clone(), metrics.clone(), Clock, settings)
}

/// A value; `series` is spelled as Prometheus shows it.
#[track_caller]
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text().expect("text");
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    let value = text.lines().find_map(value);
    value.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

async fn open_requests_are_counted(test: TestStore) {
    let metrics = Metrics::new();
    ask(&test, 1, "completed", -DAY).await;
    let lines = sampled(&test, &metrics).await;
    let of_none: Vec<String> = [
        "approved",
        "awaiting_approval",
        "executing",
        "on_hold",
        "planned",
        "received",
        "waiting_for_head",
    ]
    .iter()
    .map(|state| format!("trailkeeper_erasures{{state=\"{state}\"}} 0"))
    .chain(["trailkeeper_erasures_overdue 0".to_owned()])
    .collect();
    assert_eq!(lines, of_none);

    for (user, state, due_in) in [
        (2, "awaiting_approval", 3 * DAY),
        (3, "awaiting_approval", 2 * DAY),
        (4, "on_hold", 9 * DAY),
    ] {
        ask(&test, user, state, due_in).await;
    }
    let due = |lines: &[String]| -> f64 {
        let name = "trailkeeper_erasure_due_seconds ";
        let value = lines.iter().find_map(|line| line.strip_prefix(name));
        value.expect("a value").parse().expect("a number")
    };
    let lines = sampled(&test, &metrics).await;
    for line in [
        "trailkeeper_erasures{state=\"awaiting_approval\"} 2",
        "trailkeeper_erasures{state=\"on_hold\"} 1",
        "trailkeeper_erasures{state=\"approved\"} 0",
        "trailkeeper_erasures_overdue 0",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line}: {lines:?}");
    }
    let left = due(&lines) / 86_400.0;
    assert!((1.9..2.0).contains(&left), "{left} days");

    ask(&test, 5, "executing", -DAY).await;
    let lines = sampled(&test, &metrics).await;
    assert!(
        lines
            .iter()
            .any(|line| line == "trailkeeper_erasures_overdue 1"),
        "{lines:?}"
    );
    assert!(due(&lines) < -86_400.0, "{lines:?}");

    // The last one that is carried out leaves no time to wait for.
    test.execute("UPDATE erasure SET state = 'completed'").await;
    assert_eq!(sampled(&test, &metrics).await, of_none);
}

/// Whatever alerts look at is there from the start, and 0 where it never was.
#[test]
fn series_are_there_from_the_start() {
    let metrics = Metrics::new();
    metrics.start(&Start {
        kinds: vec!["probe"],
        job_states: vec!["dead"],
        schedules: vec!["nightly"],
        routes: vec![("/v1/jobs", "GET", 200)],
        channels: vec!["oncall"],
    });
    for series in [
        "trailkeeper_alerts_firing{severity=\"critical\"}",
        "trailkeeper_anchor_newest_timestamp_seconds",
        "trailkeeper_backup_newest_timestamp_seconds",
        "trailkeeper_backup_objects_not_locked",
        "trailkeeper_drill_last_timestamp_seconds",
        "trailkeeper_erasures_overdue",
        "trailkeeper_full_check_last_timestamp_seconds",
        "trailkeeper_http_requests_total{method=\"GET\",route=\"/v1/jobs\",status=\"500\"}",
        "trailkeeper_job_runs_total{ending=\"dead\",kind=\"probe\"}",
        "trailkeeper_jobs_enqueued_total{kind=\"probe\"}",
        "trailkeeper_jobs_rescued_total{state=\"retried\"}",
        "trailkeeper_jobs{kind=\"probe\",state=\"dead\"}",
        "trailkeeper_notifications_oldest_seconds{channel=\"oncall\"}",
        "trailkeeper_notifications_total{channel=\"oncall\",result=\"given_up\"}",
        "trailkeeper_outbox_oldest_age_seconds",
        "trailkeeper_queue_oldest_age_seconds",
        "trailkeeper_sample_last_timestamp_seconds",
        "trailkeeper_schedule_fires_total{decision=\"skipped_late\",schedule=\"nightly\"}",
        "trailkeeper_schedule_last_fire_timestamp_seconds{schedule=\"nightly\"}",
        "trailkeeper_verification_last_success_timestamp_seconds{extent=\"whole\"}",
    ] {
        assert!(value(&metrics, series).abs() < f64::EPSILON, "{series}");
    }
}

/// A process that has just begun tells what the one before did.
async fn what_was_survives_a_restart(test: TestStore) {
    let metrics = Metrics::new();
    sampler(&test, &metrics, 100).sample().await;
    let now = Clock.now().as_microsecond() as f64 / 1e6;
    let made = value(&metrics, "trailkeeper_state_created_timestamp_seconds");
    assert!((now - made).abs() < 600.0, "{made}, and now is {now}");
    let full = "trailkeeper_full_check_last_timestamp_seconds";
    assert!(value(&metrics, full).abs() < f64::EPSILON);
    for statement in [
        "INSERT INTO verification_run (job_id, began_at, ended_at, extent, organizations, verdict, entries, not_intact) VALUES \
         ('j1', 100000000, 110000000, 'whole', '[]', 'intact', 500, '{}'), \
         ('j2', 200000000, 202000000, 'part', '[]', 'intact', 20, '{}'), \
         ('j3', 300000000, 302000000, 'whole', '[7]', 'intact', 20, '{}')",
        "INSERT INTO schedule_fire (schedule, fire_time, decision, decided_at) VALUES ('nightly', 50000000, 'fired', 53000000)",
        "INSERT INTO archive_manifest (number, name, sha256, note, made_at, retain_until, stored_at) VALUES \
         (1, 'm1', '', '', 40000000, 90000000, 41000000), (2, 'm2', '', '', 60000000, 95000000, NULL)",
        "INSERT INTO archive_object (name, kind, run, relation, organization, first_id, last_id, row_count, sha256, size_bytes, \
         retain_until, stored_at, lock_problem, manifest) VALUES \
         ('a', 'segment', 'r', 'verificationlog', '1', 1, 2, 2, '', 1000, 80000000, 1, NULL, 1), \
         ('b', 'segment', 'r', 'user', '1', 1, 2, 2, '', 200, 70000000, 1, 'no lock', 1), \
         ('c', 'segment', 'r', 'user', '1', 1, 2, 2, '', 30, 70000000, 1, NULL, 1)",
        "INSERT INTO archive_removal (name, sha256, size_bytes, retain_until, plan, intended_at, removed_at) VALUES \
         ('c', '', 30, 1, '', 1, 2)",
        "INSERT INTO anchor_run (number, made_at, note, organizations, entries) VALUES (1, 30000000, '', 1, 12)",
    ] {
        test.execute(statement).await;
    }
    // Another process.
    let metrics = Metrics::new();
    sampler(&test, &metrics, 100).sample().await;
    for (series, expected) in [
        (full, 110.0),
        (
            "trailkeeper_verification_last_success_timestamp_seconds{extent=\"whole\"}",
            110.0,
        ),
        (
            "trailkeeper_verification_last_success_timestamp_seconds{extent=\"part\"}",
            202.0,
        ),
        (
            "trailkeeper_verification_last_duration_seconds{extent=\"whole\"}",
            10.0,
        ),
        (
            "trailkeeper_verification_last_entries_per_second{extent=\"part\"}",
            10.0,
        ),
        ("trailkeeper_trail_verified_up_to_timestamp_seconds", 200.0),
        (
            "trailkeeper_schedule_last_fire_timestamp_seconds{schedule=\"nightly\"}",
            50.0,
        ),
        (
            "trailkeeper_schedule_lag_seconds{schedule=\"nightly\"}",
            3.0,
        ),
        // The second one's manifest was never seen in the store.
        ("trailkeeper_backup_newest_timestamp_seconds", 40.0),
        ("trailkeeper_archive_objects{lock=\"locked\"}", 2.0),
        ("trailkeeper_archive_objects{lock=\"not_locked\"}", 1.0),
        ("trailkeeper_archive_bytes", 1200.0),
        ("trailkeeper_archive_first_lock_end_timestamp_seconds", 80.0),
        ("trailkeeper_anchor_newest_timestamp_seconds", 30.0),
        ("trailkeeper_anchor_entries", 12.0),
    ] {
        let found = value(&metrics, series);
        assert!((found - expected).abs() < 1e-6, "{series}: {found}");
    }
    assert!(value(&metrics, "trailkeeper_sample_last_timestamp_seconds") > 0.0);
    // What cannot be read is as old as it is.
    test.execute("ALTER TABLE anchor_run RENAME TO gone").await;
    let metrics = Metrics::new();
    sampler(&test, &metrics, 100).sample().await;
    assert!(value(&metrics, "trailkeeper_sample_last_timestamp_seconds").abs() < f64::EPSILON);
    assert!(
        (value(&metrics, full) - 110.0).abs() < 1e-6,
        "the others are told"
    );
}

async fn organisations_beyond_the_cap_are_one(test: TestStore) {
    let verdicts = "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id) VALUES \
                    ('2', 'intact', 1, 2000000, 5, 0, 'j'), ('10', 'intact', 1, 4000000, 5, 1, 'j'), \
                    ('11', 'tampered', 1, 3000000, 5, 2, 'j'), ('anchors', 'intact', 1, 3000000, 0, 0, 'j')";
    test.execute(verdicts).await;
    let metrics = Metrics::new();
    let mut sampler = sampler(&test, &metrics, 1);
    sampler.sample().await;
    for (series, expected) in [
        (
            "trailkeeper_trail_verdict{organization=\"2\",verdict=\"intact\"}",
            1.0,
        ),
        (
            "trailkeeper_trail_verdict{organization=\"anchors\",verdict=\"intact\"}",
            1.0,
        ),
        (
            "trailkeeper_trail_verdict{organization=\"other\",verdict=\"tampered\"}",
            1.0,
        ),
        (
            "trailkeeper_trail_verdict{organization=\"other\",verdict=\"intact\"}",
            0.0,
        ),
        ("trailkeeper_trail_findings{organization=\"other\"}", 3.0),
        (
            "trailkeeper_trail_last_verified_timestamp_seconds{organization=\"other\"}",
            3.0,
        ),
    ] {
        let found = value(&metrics, series);
        assert!((found - expected).abs() < 1e-6, "{series}: {found}");
    }
    let text = metrics.text().expect("text");
    assert!(!text.contains("organization=\"10\""), "{text}");
    // What is gone is told no more.
    test.execute("DELETE FROM verdict WHERE organization IN ('10', '11')")
        .await;
    sampler.sample().await;
    let text = metrics.text().expect("text");
    assert!(!text.contains("organization=\"other\""), "{text}");
    assert!(text.contains("organization=\"2\""), "{text}");
}

async fn queued_jobs_are_counted_once_committed(test: TestStore) {
    let metrics = Metrics::new();
    let store = test.store.clone().counting(metrics.enqueued.clone());
    let mut unique = job("one");
    unique.unique_key = Some("key".to_owned());
    let mut equal = job("two");
    equal.unique_key = Some("key".to_owned());
    let mut tx = store.begin().await.expect("begin");
    tx.insert_jobs(&[unique.clone()]).await.expect("insert");
    tx.rollback().await.expect("roll back");
    store.enqueue(&[unique.clone()]).await.expect("queue");
    store.enqueue(&[equal]).await.expect("queue");
    let series = format!("trailkeeper_jobs_enqueued_total{{kind={:?}}}", unique.kind);
    let found = value(&metrics, &series);
    assert!((found - 1.0).abs() < f64::EPSILON, "{found}");
}

#[test]
fn the_document_is_that_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, metrics::markdown()).expect("write the document");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == metrics::markdown(),
        "docs/metrics.md is out of date; UPDATE_SCHEMAS=1 scripts/test the_document_is_that writes it anew"
    );
    let run = Program::bare().args(["schema", "metrics"]).run();
    assert_eq!(run.stdout, found);
    let (_, all) = Program::bare().args(["schema", "metrics"]).json();
    assert_eq!(all.as_array().map(Vec::len), Some(metrics::ALL.len()));
}

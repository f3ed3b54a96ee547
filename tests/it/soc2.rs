//! SOC 2 evidence: each number is what SQL says, and nothing passes that was not measured.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use trailkeeper::{
    clock::Clock,
    config::{Config, Environment},
    jobs::report_soc2::wanted,
    progress::Progress,
    qwed::questions::{Parameter, Questions},
    report::{
        facts::Wanted,
        model::{Control, Origin, Period, Report, Status},
        produce::{self, Made, Order, ReportError, Span},
    },
    state::{jobs::State, reports::VerificationRow},
};

use crate::{
    export::{Qwed, blocking},
    support::{
        program::Program,
        store::{TestStore, block_on, job},
        trails,
        worker::Worker,
    },
    worker::Scene,
};

crate::on_both![
    numbers_are_those_of_sql,
    statements_answer_again_what_they_answered,
    what_is_missing_is_unknown,
    tampering_fails,
    runs_are_named_by_what_became_of_them,
    a_report_is_kept_whole_or_not_at_all,
];

const KEY: &str = "fixture-audit-key-0123456789abcdef-0123";

/// The tables of the exports' tests, with a trail that the real QWED wrote.
fn qwed(test: &TestStore) -> Qwed<'_> {
    let qwed = Qwed::filled(test);
    let mut sql = "DELETE FROM verificationlog;\n".to_owned();
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/answers/server.db"
    );
    let server = trails::open(file.as_ref());
    let columns = "id, organization_id, user_id, query, result, is_verified, domain, timestamp, entry_hash, \
                   hmac_signature, previous_hash, raw_llm_output, api_key_id, verifier_version, admission";
    let mut statement = server
        .prepare(&format!("SELECT {columns} FROM verificationlog"))
        .expect("prepare");
    let mut rows = statement.query(()).expect("query");
    while let Some(row) = rows.next().expect("a row") {
        let value = |index: usize| match row.get_ref(index).expect("a value") {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) if index == 5 => (number != 0).to_string(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Text(text) => {
                format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''"))
            }
            other => panic!("an unexpected value {other:?}"),
        };
        let values: Vec<String> = (0..15).map(value).collect();
        let _ = writeln!(
            sql,
            "INSERT INTO verificationlog ({columns}) VALUES ({});",
            values.join(", ")
        );
    }
    sql.push_str(
        "INSERT INTO securityevent VALUES (3, 1, NULL, 'rate_limit_exceeded', 'q', 'r', 'gateway', 'medium', '2026-11-21 10:00:00.000000'), \
         (4, 1, NULL, 'injection', 'q', 'r', 'guard', 'critical', '2026-11-22 10:00:00.000000'), \
         (5, 1, NULL, 'injection', 'q', 'r', 'guard', 'low', '2026-11-10 10:00:00.000000'), \
         (6, 2, NULL, 'injection', 'q', 'r', 'guard', 'high', '2026-11-22 10:00:00.000000');",
    );
    qwed.run(&sql);
    qwed
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A period that the trail lies in.
fn november() -> Period {
    let span = Span::Between(time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
    span.period(time("2026-12-02T00:00:00Z")).expect("a period")
}

fn config(test: &TestStore) -> Config {
    let path = test.directory.path().join("report.toml");
    let text = format!(
        "data_dir = {:?}\n",
        test.directory.path().display().to_string()
    );
    std::fs::write(&path, text).expect("write");
    Config::load(Some(&path), &Environment::default()).expect("a configuration")
}

fn order(test: &TestStore, qwed: &Qwed<'_>) -> Order {
    Order {
        config: config(test),
        configuration_sha256: "0".repeat(64),
        store: test.store.clone(),
        qwed: qwed.url.clone(),
        ring: trails::ring(KEY),
        organizations: vec![1],
        period: november(),
        wanted: Ok(Vec::new()),
        clock: Clock,
    }
}

async fn made(order: &Order) -> Made {
    let progress = Arc::new(Progress::default());
    let mut made = produce::produce(order, &progress).await.expect("a report");
    assert_eq!(made.len(), 1);
    made.remove(0)
}

async fn report(test: &TestStore, qwed: &Qwed<'_>) -> Report {
    made(&order(test, qwed)).await.report
}

#[track_caller]
fn control<'r>(report: &'r Report, id: &str) -> &'r Control {
    let found = report.controls.iter().find(|it| it.id == id);
    found.expect("a control of this name")
}

#[track_caller]
fn measured(report: &Report, id: &str, name: &str) -> Value {
    let control = control(report, id);
    let measure = control.measured.iter().find(|it| it.name == name);
    measure.expect("a measure of this name").value.clone()
}

fn questions(qwed: &Qwed<'_>) -> Questions {
    Questions::open(&qwed.url).expect("open")
}

/// A number that a statement of the test's own finds.
fn number(qwed: &Qwed<'_>, sql: &str) -> Value {
    blocking(|| {
        let rows = questions(qwed).ask(sql, &[]).expect("ask");
        rows[0][0].clone()
    })
}

async fn numbers_are_those_of_sql(test: TestStore) {
    let qwed = qwed(&test);
    let report = report(&test, &qwed).await;
    let own = "FROM verificationlog WHERE organization_id = 1";
    for (control, name, sql) in [
        ("trail_integrity", "entries", format!("SELECT count(*) {own}")),
        ("trail_integrity", "entries_checked", format!("SELECT count(*) {own}")),
        ("trail_integrity", "entries_in_period", format!("SELECT count(*) {own} AND timestamp >= '2026-11-01' AND timestamp < '2026-12-01'")),
        ("trail_integrity", "claims_verified_in_period", format!("SELECT count(*) {own} AND is_verified")),
        ("trail_integrity", "first_entry_id", format!("SELECT CAST(min(id) AS BIGINT) {own}")),
        ("trail_integrity", "last_entry_id", format!("SELECT CAST(max(id) AS BIGINT) {own}")),
        ("trail_integrity", "entries_of_others", format!("SELECT count(*) FROM verificationlog WHERE organization_id <> 1 AND id < (SELECT max(id) {own})")),
        ("user_access", "users_active", "SELECT count(*) FROM \"user\" WHERE organization_id = 1 AND is_active".to_owned()),
        ("user_access", "users_inactive", "SELECT count(*) FROM \"user\" WHERE organization_id = 1 AND NOT is_active".to_owned()),
        ("user_access", "owners_active", "SELECT count(*) FROM \"user\" WHERE organization_id = 1 AND is_active AND role = 'owner'".to_owned()),
        ("user_access", "users_without_entries", format!("SELECT count(*) FROM \"user\" WHERE organization_id = 1 AND is_active AND id NOT IN (SELECT user_id {own} AND user_id IS NOT NULL)")),
        ("api_keys", "keys_active", "SELECT count(*) FROM apikey WHERE organization_id = 1 AND is_active AND revoked_at IS NULL".to_owned()),
        ("api_keys", "keys_revoked", "SELECT count(*) FROM apikey WHERE organization_id = 1 AND revoked_at IS NOT NULL".to_owned()),
        ("security_events", "events_in_period", "SELECT count(*) FROM securityevent WHERE organization_id = 1 AND timestamp >= '2026-11-01'".to_owned()),
        ("security_events", "events_unreviewed", "SELECT count(*) FROM securityevent WHERE organization_id = 1 AND severity IN ('high', 'critical')".to_owned()),
        ("rate_limiting", "max_requests_per_minute", "SELECT CAST(max_requests_per_minute AS BIGINT) FROM resourcequota WHERE organization_id = 1".to_owned()),
    ] {
        assert_eq!(measured(&report, control, name), number(&qwed, &sql), "{control}.{name}");
    }
    assert_eq!(
        measured(&report, "rate_limiting", "limit_events_in_period"),
        json!(1)
    );
    assert_eq!(measured(&report, "trail_integrity", "ids_absent"), json!(0));
    // What is drawn adds up to what is counted.
    let trail = control(&report, "trail_integrity");
    let drawn: f64 = trail.charts[0]
        .series
        .iter()
        .flat_map(|it| &it.values)
        .sum();
    assert_eq!(
        json!(drawn as i64),
        measured(&report, "trail_integrity", "entries_in_period")
    );
    let access = control(&report, "user_access");
    let entries: i64 = access.tables[0]
        .rows
        .iter()
        .map(|row| row[4].as_i64().expect("a number"))
        .sum();
    let with_user =
        "SELECT count(*) FROM verificationlog WHERE organization_id = 1 AND user_id IS NOT NULL";
    assert_eq!(json!(entries), number(&qwed, with_user));
    assert_eq!(
        (
            report.organization.name.as_deref(),
            report.organization.tier.as_deref()
        ),
        (Some("Organisation One"), Some("pro"))
    );
    // Nobody's name or address reaches a report.
    let text = serde_json::to_string(&report).expect("JSON");
    for personal in ["example.org", "of-ada", "SECRET-"] {
        assert!(
            !text.to_lowercase().contains(&personal.to_lowercase()),
            "{personal} is in the report"
        );
    }
}

async fn statements_answer_again_what_they_answered(test: TestStore) {
    let qwed = qwed(&test);
    let report = report(&test, &qwed).await;
    let mut asked = 0;
    for obtained in report.controls.iter().flat_map(|it| &it.obtained) {
        if !obtained.query.starts_with("SELECT") {
            continue;
        }
        asked += 1;
        let rows = match obtained.origin {
            Origin::State => test
                .store
                .ask(&obtained.query, &obtained.parameters)
                .await
                .expect("ask"),
            _ => blocking(|| {
                let parameter = |value: &Value| match value.as_i64() {
                    Some(number) => Parameter::Integer(number),
                    None => Parameter::Text(value.as_str().expect("text").to_owned()),
                };
                let parameters: Vec<_> = obtained.parameters.iter().map(parameter).collect();
                questions(&qwed)
                    .ask(&obtained.query, &parameters)
                    .expect("ask")
            }),
        };
        assert_eq!(rows.len() as u64, obtained.rows, "{}", obtained.query);
    }
    assert!(asked > 12, "{asked} statements");
}

async fn what_is_missing_is_unknown(test: TestStore) {
    let qwed = qwed(&test);
    for table in ["securityevent", "resourcequota"] {
        qwed.run(&format!("DROP TABLE {table};"));
    }
    let report = report(&test, &qwed).await;
    for id in [
        "trail_integrity",
        "security_events",
        "rate_limiting",
        "signing_keys",
        "compliance_ledger",
    ] {
        let control = control(&report, id);
        assert_eq!(control.status, Status::Unknown, "{id}: {}", control.reason);
        assert!(!control.remedy.is_empty(), "{id} says what to do");
    }
    assert_eq!(
        json!(report.compliance_status),
        json!({
            "audit_trail_complete": "UNKNOWN",
            "access_logs_retained": "FAIL",
            "security_monitoring": "UNKNOWN",
            "encryption_at_rest": "UNKNOWN",
            "encryption_in_transit": "UNKNOWN",
        })
    );
    for id in ["erasure_requests", "exceptions"] {
        assert_eq!(control(&report, id).status, Status::NotApplicable, "{id}");
    }
    let summary = report.summary;
    let all = summary.pass + summary.fail + summary.unknown + summary.not_applicable;
    assert_eq!(all, report.controls.len() as u64);
}

async fn tampering_fails(test: TestStore) {
    let qwed = qwed(&test);
    qwed.run("UPDATE verificationlog SET query = 'other' WHERE id = 7;");
    qwed.run("UPDATE \"user\" SET is_active = false WHERE organization_id = 1 AND role = 'owner';");
    let made = made(&order(&test, &qwed)).await;
    let trail = control(&made.report, "trail_integrity");
    assert_eq!(trail.status, Status::Fail);
    assert_eq!(
        measured(&made.report, "trail_integrity", "verdict"),
        json!("tampered")
    );
    let findings = trail
        .tables
        .iter()
        .find(|it| it.name == "findings")
        .expect("findings");
    assert_eq!(findings.rows[0][0], json!(7));
    assert_eq!(made.verified.organizations.len(), 1);
    let access = control(&made.report, "user_access");
    assert_eq!(
        (access.status, access.reason.as_str()),
        (Status::Fail, "No active user is an owner.")
    );
}

async fn runs_are_named_by_what_became_of_them(test: TestStore) {
    let qwed = qwed(&test);
    let mut order = order(&test, &qwed);
    let nights: Vec<Wanted> = (1..=8)
        .map(|day| Wanted {
            schedule: "nightly_verification".to_owned(),
            fire_time: time(&format!("2026-11-0{day}T02:00:00Z")),
            organizations: if day % 2 == 0 { vec![1, 2] } else { Vec::new() },
        })
        .collect();
    let fire = |day: usize| nights[day - 1].fire_time.as_microsecond();
    // Before the first record; intact; incomplete for this organisation; tampered with, but another one; missed; dead; skipped.
    let mut jobs = Vec::new();
    for day in 2..=4 {
        let new = job(&format!("night {day}"));
        jobs.push((day, new));
    }
    for (day, new) in &jobs {
        test.store
            .enqueue(std::slice::from_ref(new))
            .await
            .expect("enqueue");
        let set = format!(
            "UPDATE job SET schedule = 'nightly_verification', fire_time = {} WHERE id = '{}'",
            fire(*day),
            new.id
        );
        test.execute(&set).await;
        let not_intact = match day {
            3 => json!({"1": "incomplete"}),
            4 => json!({"2": "tampered"}),
            _ => json!({}),
        };
        let mut tx = test.store.begin().await.expect("begin");
        let run = VerificationRow {
            job_id: new.id.clone(),
            began_at: fire(*day),
            ended_at: fire(*day) + 5_000_000,
            extent: "whole".to_owned(),
            organizations: "[]".to_owned(),
            verdict: "intact".to_owned(),
            entries: 15,
            not_intact: not_intact.to_string(),
        };
        tx.note_verification(&run).await.expect("note");
        // A run is noted once.
        tx.note_verification(&run).await.expect("note");
        tx.commit("test").await.expect("commit");
    }
    let dead = job("dead night");
    test.store
        .enqueue(std::slice::from_ref(&dead))
        .await
        .expect("enqueue");
    test.execute(&format!(
        "UPDATE job SET state = 'dead', error = 'no database' WHERE id = '{}'",
        dead.id
    ))
    .await;
    for (day, decision, job) in [
        (2, "fired", "NULL".to_owned()),
        (6, "fired", format!("'{}'", dead.id)),
        (7, "skipped_late", "NULL".to_owned()),
    ] {
        let insert = format!(
            "INSERT INTO schedule_fire (schedule, fire_time, decision, job_id, decided_at) VALUES ('nightly_verification', {}, '{decision}', {job}, 0)",
            fire(day)
        );
        test.execute(&insert).await;
    }
    // What looks at others only is nobody's to miss here.
    let of_others = nights.iter().map(|it| Wanted {
        schedule: "of_others".to_owned(),
        organizations: vec![2],
        ..it.clone()
    });
    order.wanted = Ok(nights.iter().cloned().chain(of_others).collect());
    let report = made(&order).await.report;
    let control = control(&report, "scheduled_verification");
    let mut outcomes: Vec<(String, String)> = control.tables[0]
        .rows
        .iter()
        .map(|row| {
            (
                row[1].as_str().expect("text").to_owned(),
                row[2].as_str().expect("text").to_owned(),
            )
        })
        .collect();
    outcomes.sort();
    let named: Vec<&str> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.as_str())
        .collect();
    assert_eq!(
        named,
        [
            "unknown",
            "intact",
            "incomplete",
            "intact",
            "missed",
            "failed",
            "missed",
            "missed"
        ]
    );
    assert_eq!(control.status, Status::Fail);
    for part in [
        "3 scheduled runs did not happen.",
        "1 scheduled run came to no verdict.",
        "1 scheduled run could not verify all.",
    ] {
        assert!(control.reason.contains(part), "{}", control.reason);
    }
    assert_eq!(
        measured(&report, "scheduled_verification", "runs_wanted"),
        json!(8)
    );
    assert_eq!(
        measured(&report, "scheduled_verification", "days_with_intact_run"),
        json!(2)
    );
}

async fn a_report_is_kept_whole_or_not_at_all(test: TestStore) {
    let qwed = qwed(&test);
    let report = report(&test, &qwed).await;
    let mut tx = test.store.begin().await.expect("begin");
    let row = produce::keep(&mut tx, None, &report, Some("packs/a.zip"), None)
        .await
        .expect("keep");
    tx.commit("test").await.expect("commit");
    let listed = test.store.reports(Some(1), 10).await.expect("list");
    assert_eq!(listed, std::slice::from_ref(&row));
    assert_eq!(test.store.reports(Some(2), 10).await.expect("list"), []);
    let (found, document) = test
        .store
        .report(&report.id)
        .await
        .expect("read")
        .expect("a report");
    assert_eq!(found, row);
    assert_eq!(
        serde_json::from_str::<Report>(&document).expect("a report"),
        report
    );
    assert_eq!(test.store.report("none").await.expect("read"), None);
}

#[test]
fn periods_are_the_calendars() {
    let now = time("2026-11-23T12:00:00Z");
    let of = |span: Span| {
        let period = span.period(now).expect("a period");
        (
            period.start.to_string(),
            period.end.to_string(),
            period.days,
        )
    };
    let whole =
        |from: &str, to: &str, days| (format!("{from}T00:00:00Z"), format!("{to}T00:00:00Z"), days);
    assert_eq!(
        of(Span::PreviousMonth),
        whole("2026-10-01", "2026-11-01", 31)
    );
    assert_eq!(
        of(Span::PreviousQuarter),
        whole("2026-07-01", "2026-10-01", 92)
    );
    assert_eq!(of(Span::Days(90)).2, 90);
    let new_year = Span::PreviousQuarter
        .period(time("2026-01-01T00:00:00Z"))
        .expect("a period");
    assert_eq!(new_year.start, time("2025-10-01T00:00:00Z"));
    for (from, to) in [
        ("2026-11-02T00:00:00Z", "2026-11-02T00:00:00Z"),
        ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
    ] {
        let refused = Span::Between(time(from), time(to)).period(now);
        assert!(matches!(refused, Err(ReportError::Period(_))));
    }
}

/// Schedules that verify, and no others, are those that runs are wanted by.
#[test]
fn what_ships_wants_a_run_each_night() {
    let wanted =
        wanted(&Config::default(), november(), time("2026-11-11T00:00:00Z")).expect("schedules");
    let nights = wanted
        .iter()
        .filter(|it| it.schedule == "nightly_verification")
        .count();
    assert_eq!((wanted.len(), nights), (10, 10));
}

#[test]
fn a_worker_makes_keeps_and_signs_for_it() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let mut asked = job("report");
        asked.kind = "report_soc2".to_owned();
        asked.payload = json!({"days": 30});
        scene
            .store()
            .enqueue(std::slice::from_ref(&asked))
            .await
            .expect("enqueue");
        let mut anchored = job("anchor");
        anchored.kind = "anchor".to_owned();
        anchored.payload = json!({});
        // There is a key for the ledger from the first anchor on.
        let mut worker = Worker::start(&scene.setting, "a");
        scene
            .store()
            .enqueue(std::slice::from_ref(&anchored))
            .await
            .expect("enqueue");
        scene.settle().await;
        let again = trailkeeper::state::jobs::NewJob {
            id: format!("{}2", asked.id),
            ..asked.clone()
        };
        scene
            .store()
            .enqueue(std::slice::from_ref(&again))
            .await
            .expect("enqueue");
        scene.settle().await;
        worker.kill();
        for id in [&asked.id, &again.id] {
            let ended = scene.store().job(id).await.expect("read").expect("a job");
            assert_eq!(ended.state, State::Succeeded, "{:?}", ended.error);
        }
        let reports = scene.store().reports(None, 100).await.expect("list");
        let organizations = reports.len() / 2;
        assert!(organizations > 1, "{organizations} organisations");
        let entries = scene
            .store()
            .ledger_of_act("report.made", 0, 100)
            .await
            .expect("read");
        assert!(
            entries.len() >= organizations,
            "the ledger has {} of them",
            entries.len()
        );
        let detail = trailkeeper::ledger::detail(&entries[entries.len() - 1]);
        let named = reports
            .iter()
            .find(|row| detail["report_id"] == json!(row.id))
            .expect("a report");
        assert_eq!(detail["sha256"], json!(named.sha256));

        let (path, _) = scene.setting.write("list");
        let list = |arguments: &[&str]| {
            Program::bare()
                .env("QWED_AUDIT_SECRET_KEY", &scene.setting.key)
                .env("TRAILKEEPER_CONFIG", &path)
                .args(arguments)
                .json()
        };
        let (_, listed) = list(&["report", "list"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(reports.len()));
        let (printed, shown) = list(&["report", "show", &named.id]);
        let sha256 = trailkeeper::http::hash_of_token(&printed.stdout);
        assert_eq!(sha256, named.sha256, "what is printed is what was signed");
        assert_eq!(shown["organization"]["id"], json!(named.organization_id));
        let (run, made) = list(&["report", "soc2", "--org", "1", "--days", "7"]);
        assert_eq!(
            (made[0]["period"]["days"].clone(), run.code),
            (json!(7), Some(1))
        );
        let (_, listed) = list(&["report", "list", "--org", "1", "--limit", "1"]);
        assert_eq!(listed[0]["id"], made[0]["id"]);
    });
}

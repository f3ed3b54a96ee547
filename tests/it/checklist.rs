//! The compliance checklist and reviews of security events, by what two databases hold.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use trailkeeper::{
    checkpoint::note::SecretKey,
    clock::Clock,
    ledger::{self, Act, Scribe},
    progress::Progress,
    reviews::{self, NewReview, Noted, ReviewError},
    state::fault,
};

use crate::{
    export::{Qwed, blocking},
    support::{program::Program, store::TestStore, trails::KEY, worker::Worker},
};

const ORIGIN: &str = "audit.example.org";

fn key() -> SecretKey {
    SecretKey::from_seed(ORIGIN, &[7; 32]).expect("a key")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Three severe events of organisation 1 and one of organisation 2.
const EVENTS: &str = r#"
DELETE FROM securityevent;
INSERT INTO securityevent VALUES
  (1, 1, 10, 'BLOCKED', 'q', 'an injection', NULL, 'high', 'T1'),
  (2, 1, NULL, 'BLOCKED', 'q', 'another', NULL, 'CRITICAL', 'T2'),
  (3, 1, NULL, 'SANITIZED', 'q', 'r', NULL, 'medium', 'T2'),
  (4, 2, NULL, 'BLOCKED', 'q', 'r', NULL, 'high', 'T2'),
  (5, 1, NULL, 'BLOCKED', 'q', 'the newest', NULL, 'high', 'T3');
"#;

crate::on_both![
    a_review_covers_what_was_there_up_to_its_time,
    a_review_that_means_nothing_is_refused,
    the_program_reviews_lists_and_fills_in,
    a_worker_fills_it_in_and_tells_prometheus,
];

/// Notes a review, at noon of the last day of July.
async fn review(
    test: &TestStore,
    qwed: &Qwed<'_>,
    organization_id: Option<i64>,
    until: &str,
) -> Result<Noted, ReviewError> {
    let new = NewReview {
        organization_id,
        until: at(until),
        by: " Ada ".to_owned(),
        note: "Case 2026/17".to_owned(),
    };
    let now = at("2026-07-31T12:00:00Z");
    let prepared = blocking(|| reviews::prepare(&qwed.url, &new, now, &Progress::default()))?;
    let key = key();
    let scribe = Scribe {
        origin: ORIGIN,
        key: &key,
        actor: "a test",
        now,
    };
    reviews::note(&test.store, &scribe, &prepared).await
}

/// The severe events that nobody reviewed, the newest first.
async fn open(test: &TestStore, qwed: &Qwed<'_>, organization: Option<i64>) -> Vec<i64> {
    let keys = [key().verifier()];
    let noted = reviews::all(&test.store, ORIGIN, &keys)
        .await
        .expect("read");
    let survey =
        blocking(|| reviews::survey(&qwed.url, organization, &noted, 10, &Progress::default()));
    let survey = survey.expect("survey");
    assert_eq!(survey.unreviewed, survey.listed.len() as u64);
    survey.listed.iter().map(|event| event.id).collect()
}

async fn a_review_covers_what_was_there_up_to_its_time(test: TestStore) {
    let qwed = Qwed::filled(&test);
    qwed.run(EVENTS);
    assert_eq!(open(&test, &qwed, None).await, [5, 4, 2, 1]);
    assert_eq!(open(&test, &qwed, Some(1)).await, [5, 2, 1]);
    let noted = review(&test, &qwed, Some(1), "2026-06-01T08:00:00Z").await;
    let noted = noted.expect("review").review;
    assert_eq!(
        (noted.events, noted.severe, noted.newest_event_id),
        (3, 2, 5)
    );
    assert_eq!(noted.by, "Ada");
    assert_eq!(open(&test, &qwed, None).await, [5, 4]);
    // What is put in afterwards with an earlier time is new.
    qwed.run(
        "INSERT INTO securityevent VALUES (6, 1, NULL, 'BLOCKED', 'q', 'late', NULL, 'high', 'T1')",
    );
    assert_eq!(open(&test, &qwed, Some(1)).await, [6, 5]);
    review(&test, &qwed, None, "2026-07-02T00:00:00Z")
        .await
        .expect("review");
    assert_eq!(open(&test, &qwed, None).await, [0; 0]);
    // Only what the key signed is a review.
    test.execute("UPDATE ledger SET note = replace(note, 'Case 2026/17', 'Case 2026/18')")
        .await;
    assert_eq!(open(&test, &qwed, None).await, [6, 5, 4, 2, 1]);
}

async fn a_review_that_means_nothing_is_refused(test: TestStore) {
    let qwed = Qwed::filled(&test);
    for (organization, until, part) in [
        (None, "2026-07-31T12:00:00.000001Z", "is yet to come"),
        (
            Some(99),
            "2026-07-01T00:00:00Z",
            "there is no organisation 99",
        ),
    ] {
        let error = review(&test, &qwed, organization, until)
            .await
            .expect_err("refused");
        assert!(
            matches!(error, ReviewError::Refused(_)) && error.to_string().contains(part),
            "{error}"
        );
    }
    let long = "x".repeat(reviews::MAX_NOTE_CHARS + 1);
    for (by, note) in [("", "n"), (" ", "n"), ("b", ""), ("b", long.as_str())] {
        let new = NewReview {
            organization_id: None,
            until: Timestamp::UNIX_EPOCH,
            by: by.to_owned(),
            note: note.to_owned(),
        };
        let refused =
            blocking(|| reviews::prepare(&qwed.url, &new, Clock.now(), &Progress::default()));
        assert!(matches!(refused, Err(ReviewError::Refused(_))));
    }
    assert_eq!(test.number("SELECT count(*) FROM ledger").await, 0);
    use fault::Way::{Failed, FailedButPersisted};
    for (way, there) in [(Failed, 0), (FailedButPersisted, 1)] {
        fault::set("event review", way, 1);
        let broken = review(&test, &qwed, None, "2026-07-01T00:00:00Z").await;
        broken.expect_err("broken");
        assert_eq!(test.number("SELECT count(*) FROM ledger").await, there);
    }
    let keys = [key().verifier()];
    let report = ledger::verify(&test.store, ORIGIN, &keys)
        .await
        .expect("verify");
    assert_eq!(report.findings, []);
}

fn program(test: &TestStore, key_file: &Path, arguments: &[&str]) -> Program {
    let database = match &test.server {
        Some(server) => server.url("qwed"),
        None => crate::support::trails::sqlite_url(&test.directory.path().join("qwed.db")),
    };
    Program::bare()
        .env("TRAILKEEPER__STATE__URL", &test.url)
        .env("TRAILKEEPER__ANCHORS__ORIGIN", ORIGIN)
        .env("TRAILKEEPER__ANCHORS__KEY_FILE", key_file)
        .env("QWED_AUDIT_SECRET_KEY", KEY)
        .env("DATABASE_URL", database)
        .args(arguments)
}

fn statuses(checklist: &Value) -> BTreeMap<String, String> {
    let items = checklist["items"].as_array().expect("items");
    assert_eq!(items.len(), 7);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    items
        .iter()
        .map(|item| (text(&item["id"]), text(&item["status"])))
        .collect()
}

/// From nothing done to all done, by commands and what jobs leave.
async fn the_program_reviews_lists_and_fills_in(test: TestStore) {
    let qwed = Qwed::filled(&test);
    qwed.run(EVENTS);
    let key_file = test.directory.path().join("anchor.key");
    let run = |arguments: &[&str]| program(&test, &key_file, arguments);
    let review = [
        "events",
        "review",
        "--by",
        "Ada",
        "--note",
        "Case 2026/17",
        "--until",
    ];
    // Without a key there is no ledger, and so no review.
    let refused = run(&[&review[..], &["2026-07-02"]].concat()).run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    trailkeeper::private::create_file(&key_file, key().to_text().as_bytes()).expect("keep the key");
    let refused = run(&[&review[..], &["2999-01-01"]].concat()).run();
    let (code, line) = refused.failure();
    assert_eq!(code, Some(2));
    assert!(line.contains("yet to come"), "{line}");

    let (first, checklist) = run(&["checklist"]).json();
    let found = statuses(&checklist);
    let expected = [
        ("audit_logs_verified", "unknown"),
        // Keys of May and one that has expired.
        ("api_keys_rotated", "fail"),
        ("soc2_report_generated", "unknown"),
        ("secret_key_secured", "unknown"),
        ("gdpr_export_tested", "unknown"),
        ("security_events_reviewed", "fail"),
        ("rate_limiting_active", "unknown"),
    ];
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(id, status)| ((*id).to_owned(), (*status).to_owned()))
        .collect();
    assert_eq!((first.code, found), (Some(1), expected), "{checklist:#}");

    // What is to do is done.
    qwed.run("UPDATE apikey SET is_active = false");
    let minute_ago = Clock.now() - SignedDuration::from_mins(1);
    let now = minute_ago.strftime("%Y-%m-%d %H:%M:%S.000000").to_string();
    qwed.run(&format!(
        "INSERT INTO securityevent VALUES (90, 1, NULL, 'RATE_LIMITED', 'q', 'too often', NULL, 'high', '{now}')"
    ));
    let until = minute_ago.to_string();
    let unknown: Vec<_> = run(&["events", "list"])
        .run()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(unknown[1].contains("RATE_LIMITED"), "{unknown:?}");
    let (reviewed, noted) = run(&[&review[..], &[until.as_str()]].concat()).json();
    assert_eq!(
        (reviewed.code, &noted["entry"]),
        (Some(0), &json!(1)),
        "{reviewed:?}"
    );
    let none = run(&["events", "list"]).run();
    assert!(
        none.stdout
            .starts_with("no high or critical event is unreviewed"),
        "{none:?}"
    );
    let (_, ledger) = run(&["ledger", "list"]).json();
    assert_eq!(ledger["entries"][0]["act"], json!(Act::ReviewEvents.name()));
    assert_eq!(ledger["entries"][0]["detail"]["by"], json!("Ada"));
    let micros = Clock.now().as_microsecond();
    for organization in [1, 2] {
        test.execute(&format!(
            "INSERT INTO verdict (organization, verdict, since, checked_at, entries, findings, job_id) \
             VALUES ('{organization}', 'intact', {micros}, {micros}, 1, 0, 'j')"
        ))
        .await;
    }
    // An old one beside it does not count.
    for (id, organization, age_days) in [("a", 1, 0), ("b", 2, 0), ("c", 1, 200)] {
        let made = micros - age_days * 86_400_000_000_i64;
        test.execute(&format!(
            "INSERT INTO report (id, kind, organization_id, period_start, period_end, generated_at, passed, failed, unknown, \
             not_applicable, sha256, document) VALUES ('{id}', 'soc2', {organization}, 0, 1, {made}, 1, 0, 0, 0, 'x', '{{}}')"
        ))
        .await;
    }
    let out = test.directory.path().join("ada.zip").display().to_string();
    let export = run(&[
        "export", "subject", "--org", "1", "--user", "10", "--out", &out,
    ])
    .run();
    assert_eq!(export.code, Some(0), "{export:?}");

    // All but that nobody says since when the key is in use.
    let (still, checklist) = run(&["checklist"]).json();
    assert_eq!(still.code, Some(4), "{checklist:#}");
    assert_eq!(checklist["status"], "unknown");
    let config = test.directory.path().join("tk.toml");
    std::fs::write(
        &config,
        format!(
            "[[qwed.keys]]\nid = \"now\"\nenv = \"QWED_AUDIT_SECRET_KEY\"\nnot_before = {:?}\n",
            until
        ),
    )
    .expect("write");
    let config = config.display().to_string();
    let with_config = ["checklist", "--config", config.as_str()];
    let (passed, checklist) = run(&with_config).json();
    assert_eq!(
        (passed.code, &checklist["status"]),
        (Some(0), &json!("pass")),
        "{checklist:#}"
    );
    let text = run(&with_config).run();
    assert!(
        text.stdout
            .ends_with("7 of 7 items pass, 0 fail, 0 are unknown\n"),
        "{text:?}"
    );
    let (one, checklist) = run(&[&with_config[..], &["--org", "1"]].concat()).json();
    assert_eq!(
        (one.code, &checklist["organization_id"]),
        (Some(0), &json!(1))
    );
    let nobody = run(&["checklist", "--org", "99"]).run();
    assert_eq!(
        nobody.failure(),
        (Some(2), "trailkeeper: there is no organisation 99")
    );

    // Nobody knows of events where there is no table of them.
    qwed.run("ALTER TABLE securityevent RENAME TO elsewhere");
    let blind = run(&["events", "list"]).run();
    assert_eq!(blind.code, Some(3), "{blind:?}");
    assert!(blind.stderr.contains("no table securityevent"), "{blind:?}");
    let refused = run(&[&review[..], &[until.as_str()]].concat()).run();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let (_, checklist) = run(&with_config).json();
    assert_eq!(statuses(&checklist)["security_events_reviewed"], "unknown");
    qwed.run("ALTER TABLE elsewhere RENAME TO securityevent");

    // Somebody cuts the ledger's entry.
    test.execute("UPDATE ledger SET note = replace(note, 'Ada', 'Eve') WHERE number = 1")
        .await;
    let (broken, checklist) = run(&with_config).json();
    let found = statuses(&checklist);
    assert_eq!(
        (broken.code, found["security_events_reviewed"].as_str()),
        (Some(1), "fail")
    );
}

async fn a_worker_fills_it_in_and_tells_prometheus(test: TestStore) {
    Qwed::filled(&test);
    let url = match &test.server {
        Some(server) => server.url("qwed"),
        None => crate::support::trails::sqlite_url(&test.directory.path().join("qwed.db")),
    };
    let directory = test.directory.path();
    let setting = crate::support::worker::Setting::new(directory, &test.url, &url, KEY);
    let worker = Worker::start(&setting.without_schedules(), "worker");
    let mut job = crate::support::store::job("checklist");
    (job.kind, job.payload) = ("compliance_checklist".to_owned(), json!({}));
    let id = job.id.clone();
    test.store.enqueue(&[job]).await.expect("queue");
    let deadline = std::time::Instant::now() + crate::support::worker::PATIENCE;
    let metric = "trailkeeper_checklist_items{item=\"api_keys_rotated\",status=\"fail\"} 1";
    loop {
        let (_, text) = worker.get("/metrics").expect("metrics");
        if text.contains(metric) {
            let items = text
                .lines()
                .filter(|line| line.starts_with("trailkeeper_checklist_items{"));
            assert_eq!(items.clone().count(), 21);
            assert_eq!(items.filter(|line| line.ends_with(" 1")).count(), 7);
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{text}\n{}",
            worker.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let job = test.store.job(&id).await.expect("look").expect("it");
    let outcome = job.outcome.expect("an outcome");
    assert_eq!(statuses(&outcome)["api_keys_rotated"], "fail");
}

//! How old QWED's API keys are, over both databases, and what flagging does to a table of QWED's.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use rusqlite::{Connection, types::Value as Sql};
use serde_json::{Value, json};
use tempfile::TempDir;
use trailkeeper::{
    demo::generator::SqliteWriter,
    keys::{
        KeysError, Policy, check,
        report::{KeyReport, Status},
    },
    qwed::{
        api_keys::{Due, Flagger, KeyReader},
        url::DatabaseUrl,
    },
};

use crate::support::{
    loaded::{TIME_TYPES, make_key_tables},
    postgres::Postgres,
    tools::tool,
    trails::{KEY, open, sqlite_url},
};

const DATABASE: &str = "qwed";
const NOW: &str = "2026-11-23T02:00:00Z";

const PEOPLE: &str = r#"
INSERT INTO organization (id, name, display_name, tier, is_active, created_at) VALUES
  (1, 'one', 'One', 'pro', true, '2026-01-01 00:00:00'), (2, 'two', 'Two', 'pro', true, '2026-01-01 00:00:00'),
  (3, 'three', 'Three', 'pro', true, '2026-01-01 00:00:00');
INSERT INTO "user" (id, email, password_hash, organization_id, role, is_active, created_at) VALUES
  (10, 'a@example.com', 'x', 1, 'owner', true, '2026-01-01 00:00:00'),
  (20, 'b@example.com', 'x', 2, 'owner', true, '2026-01-01 00:00:00');
"#;

/// Every kind of key, as of [`NOW`].
const KEYS: &str = "
INSERT INTO apikey (id, key_hash, key_preview, organization_id, user_id, is_active, created_at, last_used_at, revoked_at,
  expires_at, rotation_required) VALUES
  (1, 'hash01', 'qwed_live_****0001', 1, 10, true, '2026-08-25 02:00:00.000000', '2026-11-23 01:00:00.000000', NULL, NULL, false),
  (2, 'hash02', 'qwed_live_****0002', 1, 10, true, '2026-08-25 01:59:59.999999', '2026-11-23 01:00:00.000000', NULL, NULL, false),
  (3, 'hash03', 'qwed_live_****0003', 1, NULL, true, '2026-11-20 00:00:00.000000', NULL, NULL, '2027-02-18 00:00:00.000000', false),
  (4, 'hash04', 'qwed_live_****0004', 1, 10, true, '2026-10-20 00:00:00.000000', NULL, NULL, '2026-11-19 00:00:00.000000', false),
  (5, 'hash05', 'qwed_live_****0005', 1, 10, true, '2026-03-01 12:00:00.000000', NULL, NULL, '2026-05-30 12:00:00.000000', true),
  (6, 'hash06', 'qwed_live_****0006', 1, 10, false, '2026-03-02 00:00:00.000000', NULL, '2026-04-01 00:00:00.000000', NULL, false),
  (7, 'hash07', 'qwed_live_****0007', 1, 10, true, '2026-03-03 00:00:00.000000', NULL, '2026-04-01 00:00:00.000000', NULL, false),
  (8, 'hash08', 'qwed_live_****0008', 1, 10, false, '2026-03-04 00:00:00.000000', NULL, NULL, NULL, false),
  (9, 'hash09', 'qwed_live_****0009', 2, 20, true, '2025-11-23 02:00:00.000000', '2026-01-01 00:00:00.000000', NULL, NULL, false),
  (10, 'hash10', 'qwed_live_****0010', 2, 20, true, '2026-11-23 03:00:00.000000', NULL, NULL, NULL, false);
";

/// A database of QWED's of either kind, to be filled and looked at.
enum Qwed<'a> {
    Sqlite { path: PathBuf, _directory: TempDir },
    Postgres(&'a Postgres),
}

impl<'a> Qwed<'a> {
    fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        SqliteWriter::create(&path).expect("make the tables");
        Self::Sqlite {
            path,
            _directory: directory,
        }
        .filled()
    }

    fn postgres(server: &'a Postgres, time_type: &str) -> Self {
        make_key_tables(server, DATABASE, time_type);
        Self::Postgres(server).filled()
    }

    fn filled(self) -> Self {
        self.run(PEOPLE);
        self.run(KEYS);
        self
    }

    fn run(&self, sql: &str) {
        match self {
            Self::Sqlite { path, .. } => open(path).execute_batch(sql).expect("run SQL"),
            Self::Postgres(server) => drop(server.psql(DATABASE, sql)),
        }
    }

    fn url(&self) -> DatabaseUrl {
        let url = match self {
            Self::Sqlite { path, .. } => sqlite_url(path),
            Self::Postgres(server) => server.url(DATABASE),
        };
        url.parse().expect("a URL")
    }

    /// The whole table but for the flag.
    fn rest(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => {
                let connection = open(path);
                let sql = "SELECT id, key_hash, key_preview, organization_id, user_id, name, is_active, created_at, \
                           last_used_at, revoked_at, expires_at FROM apikey ORDER BY id";
                let mut statement = connection.prepare(sql).expect("prepare");
                let rows = statement
                    .query_map((), |row| {
                        (0..11)
                            .map(|index| row.get::<_, Sql>(index))
                            .collect::<Result<Vec<_>, _>>()
                    })
                    .expect("query");
                format!("{:?}", rows.collect::<Result<Vec<_>, _>>().expect("rows"))
            }
            Self::Postgres(server) => server.psql(
                DATABASE,
                "SELECT to_jsonb(apikey) - 'rotation_required' FROM apikey ORDER BY id",
            ),
        }
    }

    /// The ids of flagged keys.
    fn flagged(&self) -> Vec<i64> {
        let sql = "SELECT id FROM apikey WHERE rotation_required ORDER BY id";
        match self {
            Self::Sqlite { path, .. } => open(path)
                .prepare(sql)
                .expect("prepare")
                .query_map((), |row| row.get(0))
                .expect("query")
                .collect::<Result<_, _>>()
                .expect("ids"),
            Self::Postgres(server) => server
                .psql(DATABASE, sql)
                .lines()
                .map(|id| id.parse().expect("an id"))
                .collect(),
        }
    }
}

fn server() -> Postgres {
    let server = Postgres::start();
    server.create_database(DATABASE);
    server
}

/// Runs a test over a fresh database of each kind.
fn over_all(test: impl Fn(&Qwed<'_>)) {
    test(&Qwed::sqlite());
    let server = server();
    for time_type in TIME_TYPES {
        test(&Qwed::postgres(&server, time_type));
    }
}

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn look(url: &DatabaseUrl, flag: Option<&DatabaseUrl>) -> KeyReport {
    check(url, flag, Policy::default(), &[], now()).expect("check")
}

fn document(report: &KeyReport) -> Value {
    let mut document = serde_json::to_value(report).expect("a document");
    let fields = document.as_object_mut().expect("an object");
    assert!(fields.remove("database").is_some());
    document
}

fn statuses(report: &KeyReport) -> Vec<(i64, Status)> {
    let findings = report.findings.iter();
    findings.map(|f| (f.key_id, f.status)).collect()
}

#[test]
fn every_kind_of_key_is_told_alike() {
    over_all(|qwed| {
        let before = qwed.rest();
        let report = look(&qwed.url(), None);
        let text = serde_json::to_string_pretty(&document(&report)).expect("a document");
        insta::assert_snapshot!("report", text);
        assert!(!text.contains("hash"), "no hash is told");
        assert_eq!((qwed.rest(), qwed.flagged()), (before, vec![5]));
    });
}

#[test]
fn overdue_keys_are_flagged_once_and_nothing_else_changes() {
    over_all(|qwed| {
        let (url, before) = (qwed.url(), qwed.rest());
        let first = look(&url, Some(&url));
        assert_eq!(
            (first.flagging.flagged_now, first.flagging.already_flagged),
            (2, 1)
        );
        assert_eq!(
            (first.flagging.not_flagged, &first.flagging.problem),
            (0, &None)
        );
        assert_eq!(first.totals.rotation_required, 3);
        for finding in &first.findings {
            let is_overdue = finding.status == Status::Overdue;
            assert_eq!(finding.rotation_required, Some(is_overdue), "{finding:?}");
        }
        assert_eq!(
            (qwed.rest(), qwed.flagged()),
            (before.clone(), vec![2, 5, 9])
        );

        let second = look(&url, Some(&url));
        assert_eq!(
            (second.flagging.flagged_now, second.flagging.already_flagged),
            (0, 3)
        );
        assert_eq!(statuses(&second), statuses(&first));
        // A flag is never taken back, even where a longer limit would not set it.
        let lenient = Policy {
            max_age_days: 1000,
            ..Policy::default()
        };
        check(&url, Some(&url), lenient, &[], now()).expect("check");
        assert_eq!((qwed.rest(), qwed.flagged()), (before, vec![2, 5, 9]));
    });
}

#[test]
fn only_the_organisations_asked_for() {
    over_all(|qwed| {
        let url = qwed.url();
        let report = check(&url, Some(&url), Policy::default(), &[2, 3], now()).expect("check");
        assert_eq!(statuses(&report), [(9, Status::Overdue), (10, Status::Ok)]);
        let counts: Vec<_> = report
            .organizations
            .iter()
            .map(|organization| (organization.organization_id, organization.counts.active))
            .collect();
        assert_eq!(counts, [(Some(2), 2), (Some(3), 0)]);
        assert_eq!(qwed.flagged(), [5, 9]);
        let error = check(&url, None, Policy::default(), &[2, 77], now()).expect_err("refused");
        assert!(
            matches!(error, KeysError::UnknownOrganization(77)),
            "{error}"
        );
    });
}

#[test]
fn an_older_table_lacks_what_it_lacks() {
    over_all(|qwed| {
        for column in [
            "rotation_required",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ] {
            qwed.run(&format!("ALTER TABLE apikey DROP COLUMN {column}"));
        }
        let url = qwed.url();
        let report = look(&url, Some(&url));
        assert_eq!(
            report.missing_columns,
            [
                "last_used_at",
                "revoked_at",
                "expires_at",
                "rotation_required"
            ]
        );
        assert_eq!((report.totals.overdue, report.totals.never_used), (4, 0));
        assert_eq!(
            (report.flagging.flagged_now, report.flagging.not_flagged),
            (0, 4)
        );
        let problem = report.flagging.problem.expect("a problem");
        assert!(problem.contains("no column rotation_required"), "{problem}");
    });
}

#[test]
fn without_a_table_there_is_no_answer() {
    over_all(|qwed| {
        qwed.run("ALTER TABLE apikey DROP COLUMN is_active");
        let error = check(&qwed.url(), None, Policy::default(), &[], now()).expect_err("refused");
        assert!(error.to_string().contains("lacks is_active"), "{error}");
        qwed.run("DROP TABLE apikey");
        let error = check(&qwed.url(), None, Policy::default(), &[], now()).expect_err("refused");
        assert!(
            error.to_string().contains("it has no table \"apikey\""),
            "{error}"
        );
        qwed.run("CREATE TABLE apikey (id INTEGER, organization_id INTEGER, is_active BOOLEAN)");
        let error = check(&qwed.url(), None, Policy::default(), &[], now()).expect_err("refused");
        assert!(error.to_string().contains("primary key"), "{error}");
    });
}

#[test]
fn many_keys_are_counted_and_the_worst_are_listed() {
    over_all(|qwed| {
        let numbers =
            "WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 6100)";
        let columns = "(id, key_hash, key_preview, organization_id, is_active, created_at, rotation_required)";
        let (long_ago, lately) = ("2026-07-01 00:00:00.000000", "2026-11-01 00:00:00.000000");
        // One in ten is overdue, those with the highest ids among them.
        let time = match qwed {
            Qwed::Sqlite { .. } => format!("iif(i % 10 = 0, '{long_ago}', '{lately}')"),
            Qwed::Postgres(_) => {
                format!("(CASE WHEN i % 10 = 0 THEN '{long_ago}' ELSE '{lately}' END)::timestamp")
            }
        };
        qwed.run(&format!(
            "INSERT INTO apikey {columns} {numbers} SELECT i, 'h' || i, 'qwed_live_****' || i, 3, true, {time}, false FROM n"
        ));
        let url = qwed.url();
        let policy = Policy {
            max_listed: 4,
            ..Policy::default()
        };
        let report = check(&url, Some(&url), policy, &[], now()).expect("check");
        assert_eq!((report.totals.active, report.totals.overdue), (6007, 603));
        assert_eq!(report.organizations[2].counts.overdue, 600);
        let listed: Vec<i64> = report.findings.iter().map(|f| f.key_id).collect();
        assert_eq!(
            (listed, report.findings_left_out),
            (vec![9, 5, 110, 120], 6003)
        );
        assert_eq!((report.inactive.len(), report.inactive_left_out), (3, 0));
        assert_eq!(
            (report.flagging.flagged_now, report.flagging.already_flagged),
            (602, 1)
        );
        assert_eq!(qwed.flagged().len(), 603);
    });
}

/// Between reading and flagging a key may be revoked, or rotated in place, or be gone.
#[test]
fn a_key_that_changed_is_not_flagged() {
    over_all(|qwed| {
        let reader = KeyReader::open(&qwed.url(), &[]).expect("open");
        let mut flagger = Flagger::open(&qwed.url(), &reader).expect("open");
        let day = 86_400_000_000;
        let created = |text: &str| text.parse::<Timestamp>().expect("a time").as_microsecond();
        let due = |id, created_micros| Due { id, created_micros };
        let second = created("2026-08-25T01:59:59.999999Z");
        let flagged = flagger
            .flag(&[
                due(2, second + 1),
                due(5, created("2026-03-01T12:00:00Z")),
                due(6, created("2026-03-02T00:00:00Z")),
                due(7, created("2026-03-03T00:00:00Z")),
                due(8, created("2026-03-04T00:00:00Z")),
                due(9, created("2025-11-23T02:00:00Z") - day),
                due(99, second),
            ])
            .expect("flag");
        assert_eq!((flagged, qwed.flagged()), (vec![], vec![5]));
        assert_eq!(flagger.flag(&[due(2, second)]), Ok(vec![2]));
        assert_eq!(qwed.flagged(), [2, 5]);
    });
}

#[test]
fn sqlite_times_in_other_spellings() {
    let qwed = Qwed::sqlite();
    qwed.run("DELETE FROM apikey");
    for (id, created_at) in [
        (1, "'2026-11-01T00:00:00Z'"),
        (2, "'2026-11-01 02:00:00+02:00'"),
        (3, "'2026-11-01'"),
        (4, "'2026-11-01 00:00:00'"),
        (5, "'yesterday'"),
        (6, "''"),
        (7, "1793491200"),
        (8, "x'00'"),
    ] {
        qwed.run(&format!(
            "INSERT INTO apikey VALUES ({id}, 'h{id}', x'ff', 1, 10, NULL, 1, {created_at}, NULL, NULL, NULL, 0)"
        ));
    }
    let report = look(&qwed.url(), Some(&qwed.url()));
    let unknown = Status::NeverRotatedUnknownAge;
    assert_eq!(
        (report.totals.ok, report.totals.never_rotated_unknown_age),
        (4, 4)
    );
    for finding in &report.findings {
        match finding.key_id {
            1..=4 => assert_eq!((finding.status, finding.age_days), (Status::Ok, Some(22))),
            _ => assert_eq!((finding.status, finding.age_days), (unknown, None)),
        }
    }
    assert_eq!(report.flagging.flagged_now, 0);
}

#[test]
fn postgres_times_without_end_and_without_value() {
    let server = server();
    for time_type in TIME_TYPES {
        let qwed = Qwed::postgres(&server, time_type);
        qwed.run(
            "ALTER TABLE apikey ALTER created_at DROP NOT NULL; ALTER TABLE apikey ALTER rotation_required DROP NOT NULL; \
             UPDATE apikey SET rotation_required = NULL WHERE id = 2; \
             UPDATE apikey SET created_at = NULL WHERE id = 1; \
             UPDATE apikey SET created_at = 'infinity' WHERE id = 3; \
             UPDATE apikey SET created_at = '-infinity' WHERE id = 9; \
             UPDATE apikey SET created_at = '0044-03-15 BC' WHERE id = 10; \
             UPDATE apikey SET expires_at = '-infinity' WHERE id = 4; \
             UPDATE apikey SET expires_at = '200000-01-01' WHERE id = 2",
        );
        let report = look(&qwed.url(), Some(&qwed.url()));
        let unknown = Status::NeverRotatedUnknownAge;
        assert_eq!(
            statuses(&report),
            [
                (5, Status::Overdue),
                (2, Status::Overdue),
                (4, Status::ExpiredButActive),
                (1, unknown),
                (3, unknown),
                (9, unknown),
                (10, unknown),
            ]
        );
        assert!(!report.findings[1].expired);
        assert_eq!(qwed.flagged(), [2, 5]);
    }
}

/// The URL of a server's database for another role.
fn as_role(server: &Postgres, role: &str) -> DatabaseUrl {
    let url = server
        .url(DATABASE)
        .replace("postgres@", &format!("{role}@"));
    url.parse().expect("a URL")
}

#[test]
fn the_least_privileges_suffice() {
    let server = server();
    for time_type in TIME_TYPES {
        let qwed = Qwed::postgres(&server, time_type);
        qwed.run(
            "DROP ROLE IF EXISTS reader; DROP ROLE IF EXISTS flagger; CREATE ROLE reader LOGIN; CREATE ROLE flagger LOGIN; \
             GRANT SELECT (id, organization_id, user_id, key_preview, is_active, created_at, last_used_at, revoked_at, \
             expires_at, rotation_required) ON apikey TO reader; \
             GRANT SELECT (id, is_active, revoked_at, created_at, rotation_required), UPDATE (rotation_required) ON apikey \
             TO flagger;",
        );
        let (reader, flagger) = (as_role(&server, "reader"), as_role(&server, "flagger"));

        let refused = look(&reader, Some(&reader));
        assert_eq!(
            (refused.totals.overdue, refused.flagging.not_flagged),
            (3, 2)
        );
        let problem = refused.flagging.problem.expect("a problem");
        insta::assert_snapshot!("no_permission", problem);
        assert_eq!(qwed.flagged(), [5]);

        let done = look(&reader, Some(&flagger));
        assert_eq!(
            (done.flagging.flagged_now, done.flagging.problem),
            (2, None)
        );
        assert_eq!(qwed.flagged(), [2, 5, 9]);
        // With nothing left to set, a role that may not set it is no problem.
        assert_eq!(look(&reader, Some(&reader)).flagging.problem, None);
        qwed.run("DROP OWNED BY reader; DROP OWNED BY flagger;");
    }
}

#[test]
fn a_flagger_that_cannot_be_reached_hides_nothing() {
    let server = server();
    let qwed = Qwed::postgres(&server, TIME_TYPES[0]);
    let mut expected = document(&look(&qwed.url(), None));
    let nobody: DatabaseUrl = "postgresql://nobody@127.0.0.1:1/qwed"
        .parse()
        .expect("a URL");
    let elsewhere: DatabaseUrl = "sqlite:////tmp/other.db".parse().expect("a URL");
    for flag in [nobody, elsewhere] {
        let mut found = document(&look(&qwed.url(), Some(&flag)));
        let flagging = found["flagging"].take();
        expected["flagging"].take();
        assert_eq!(found, expected);
        assert_eq!(flagging["requested"], json!(true));
        assert!(flagging["problem"].is_string(), "{flagging}");
    }
}

#[test]
fn a_tokio_job_may_check_on_a_blocking_thread() {
    let server = server();
    let url = Qwed::postgres(&server, TIME_TYPES[0]).url();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(async {
        let job = tokio::task::spawn_blocking(move || look(&url, Some(&url)));
        job.await.expect("no panic")
    });
    assert_eq!(report.flagging.flagged_now, 2);
}

fn locked(path: &Path, sql: &str) -> Connection {
    let other = open(path);
    other.execute_batch(sql).expect("take a lock");
    other
}

/// QWED gives up after five seconds, so nobody may be kept out for long by a flag that has to wait.
#[test]
fn on_sqlite_others_come_first() {
    let qwed = Qwed::sqlite();
    let Qwed::Sqlite { path, .. } = &qwed else {
        unreachable!("it is SQLite")
    };
    let url = qwed.url();
    for (sql, word) in [
        ("BEGIN; SELECT * FROM apikey", "being read"),
        ("BEGIN IMMEDIATE", "locked for 5 s"),
    ] {
        let other = locked(path, sql);
        let report = look(&url, Some(&url));
        assert_eq!((report.totals.overdue, report.flagging.not_flagged), (3, 2));
        let problem = report.flagging.problem.expect("a problem");
        assert!(problem.contains(word), "{problem}");
        other.execute_batch("COMMIT").expect("the lock goes");
        assert_eq!(qwed.flagged(), [5]);
    }
    assert_eq!(look(&url, Some(&url)).flagging.flagged_now, 2);
    let mode: String = open(path)
        .query_row("PRAGMA journal_mode", (), |row| row.get(0))
        .expect("ask");
    assert_eq!(mode, "delete");
}

/// Many flags are set while the real QWED appends to its trail in the same file.
#[test]
fn a_running_qwed_is_not_disturbed() {
    let qwed = Qwed::sqlite();
    qwed.run(
        "INSERT INTO apikey (id, key_hash, key_preview, organization_id, is_active, created_at, rotation_required) \
         WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 15100) \
         SELECT i, 'h' || i, 'p', 3, true, '2026-07-01 00:00:00.000000', false FROM n",
    );
    let url = qwed.url();
    let Qwed::Sqlite { path, .. } = &qwed else {
        unreachable!("it is SQLite")
    };
    let mut writer = tool("live_writer.py")
        .args(["--org", "2", "--appends", "300"])
        .env("DATABASE_URL", sqlite_url(path))
        .env("QWED_AUDIT_SECRET_KEY", KEY)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start live_writer.py");
    let mut output = BufReader::new(writer.stdout.take().expect("stdout is piped")).lines();
    let mut line = || output.next().expect("a line").expect("UTF-8");
    assert_eq!(line(), "ready");
    let report = look(&url, Some(&url));
    let written: Value = serde_json::from_str(&line()).expect("JSON");
    assert!(writer.wait().expect("wait").success());
    assert_eq!(report.flagging.problem, None);
    assert_eq!(report.flagging.flagged_now, 15_002);
    assert_eq!(
        (&written["appended"], &written["failed"]),
        (&json!(300), &json!(0)),
        "{written}"
    );
}

#[test]
fn another_file_is_never_flagged() {
    let (qwed, other) = (Qwed::sqlite(), Qwed::sqlite());
    let problem = look(&qwed.url(), Some(&other.url())).flagging.problem;
    assert!(problem.expect("a problem").contains("another file"));
    assert_eq!((qwed.flagged(), other.flagged()), (vec![5], vec![5]));
}

/// `api_keys.py`, on this database.
fn python(url: &str, arguments: &[&str]) -> String {
    let output = tool("api_keys.py")
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("QWED_AUDIT_SECRET_KEY", KEY)
        .output()
        .expect("start api_keys.py");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "api_keys.py: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_real_qwed_sees_the_flag() {
    let directory = tempfile::tempdir().expect("make a directory");
    let server = server();
    for url in [
        sqlite_url(&directory.path().join("qwed.db")),
        server.url(DATABASE),
    ] {
        let times = [
            "2026-11-20T10:11:12.131415",
            "2026-08-25T02:00:00",
            "2026-08-25T01:59:59.999999",
        ];
        python(&url, &[&["make"], &times[..]].concat());
        let database: DatabaseUrl = url.parse().expect("a URL");
        let report = look(&database, Some(&database));
        assert_eq!(
            statuses(&report),
            [(3, Status::Overdue), (2, Status::DueSoon), (1, Status::Ok)]
        );
        assert_eq!(
            (report.findings[0].owner_id, report.missing_columns.len()),
            (Some(7), 0)
        );
        let shown: Value = serde_json::from_str(&python(&url, &["show"])).expect("JSON");
        assert_eq!(
            shown,
            json!([[1, true, false], [2, true, false], [3, true, true]])
        );
    }
}

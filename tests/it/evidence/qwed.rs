//! The profile that is QWED's own, and the full one beside it, on databases of both kinds.

use std::fs;
use std::path::PathBuf;

use trailkeeper::{
    evidence::{EvidenceError, Profile, Trail, write_log},
    progress::Progress,
    qwed::{Database, Period, url::DatabaseUrl},
};

use super::{all_of, events, log, rows};
use crate::{
    export::{Qwed, blocking},
    support::{
        loaded,
        store::TestStore,
        trails::{FIXTURE_KEY, fixture, open, ring},
    },
};

fn answers(name: &str) -> PathBuf {
    fixture("").with_file_name("answers").join(name)
}

/// What QWED 8.0.0's server answered; the recording has no carriage returns.
fn recorded() -> String {
    let text = fs::read_to_string(answers("answers.txt")).expect("read the answers");
    let request = "### GET /admin/compliance/export/csv?organization_id=1 [owner_of_1]\n";
    let (_, answer) = text.split_once(request).expect("the answer");
    let (head, rest) = answer.split_once("\n\n").expect("a body");
    let (body, _) = rest.split_once("\n\n").expect("an end");
    let body = format!("{body}\n").replace('\n', "\r\n");
    assert!(head.contains(&format!("content-length: {}", body.len())));
    body
}

crate::on_both![
    the_profile_of_qweds_is_byte_for_byte_its_export,
    events_are_in_both_profiles,
    every_fixture_is_judged_as_qwed_does,
];

/// The database that the answers were recorded on, of the same kind as the store's.
fn server(test: &TestStore) -> DatabaseUrl {
    match &test.server {
        None => {
            let path = test.directory.path().join("server.db");
            fs::copy(answers("server.db"), &path).expect("copy the database");
            DatabaseUrl::Sqlite(path)
        }
        Some(server) => {
            server.create_database("qwed");
            loaded::make_tables(server, "qwed", loaded::TIME_TYPES[0]);
            let mut sql = String::new();
            for table in ["organization", "verificationlog"] {
                loaded::copy_table(&answers("server.db"), table, &mut sql);
            }
            server.psql("qwed", &sql);
            server.url("qwed").parse().expect("a URL")
        }
    }
}

async fn the_profile_of_qweds_is_byte_for_byte_its_export(test: TestStore) {
    let url = server(&test);
    let scratch = test.directory.path().join("scratch");
    blocking(|| {
        let database = Database::open(&url).expect("open");
        let (written, text) = log(&database, FIXTURE_KEY, &all_of(1, Profile::Qwed), &scratch);
        assert_eq!(text, recorded());
        assert_eq!((written.rows, written.erased), (15, 0));
        // What fits into memory touches no disk.
        assert!(!scratch.exists());

        // Every number and text of the full one is that of the database.
        let (written, text) = log(&database, FIXTURE_KEY, &all_of(1, Profile::Full), &scratch);
        assert_eq!(
            written.verdicts.into_iter().collect::<Vec<_>>(),
            [("verified", 15)]
        );
        let found = rows(&text);
        let connection = open(&answers("server.db"));
        let mut select = connection
            .prepare(
                "SELECT id, query, replace(timestamp, ' ', 'T') || 'Z', entry_hash, result FROM verificationlog \
                 WHERE organization_id = 1 ORDER BY id",
            )
            .expect("prepare");
        let expected = select.query_map((), |row| {
            let id: i64 = row.get(0)?;
            Ok((
                id.to_string(),
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        });
        let expected: Vec<(String, String, String, String, String)> = expected
            .expect("query")
            .map(|row| row.expect("a row"))
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].clone();
                (
                    text("id"),
                    text("query"),
                    text("timestamp"),
                    text("entry_hash"),
                    text("result"),
                )
            })
            .collect();
        assert_eq!(found, expected);

        // Both ends of a period belong to it.
        let ends: Vec<i64> = [2, 4]
            .iter()
            .map(|&at| {
                let time: jiff::Timestamp = expected[at].2.parse().expect("a time");
                time.as_microsecond()
            })
            .collect();
        let asked = trailkeeper::evidence::Asked {
            period: Period {
                from: Some(ends[0]),
                to: Some(ends[1]),
            },
            ..all_of(1, Profile::Full)
        };
        let (_, text) = log(&database, FIXTURE_KEY, &asked, &scratch);
        let of_period = rows(&text);
        let ids: Vec<_> = of_period.iter().map(|row| row["id"].as_str()).collect();
        assert_eq!(ids, ["5", "7", "9"]);
        // Its first entry refers to one outside, and is judged all the same.
        assert!(of_period.iter().all(|row| row["verdict"] == "verified"));

        let trail = Trail {
            database: &database,
            ring: &ring(FIXTURE_KEY),
            anchored: None,
            scratch: &scratch,
            progress: &Progress::default(),
        };
        let nobody = write_log(&mut Vec::new(), &trail, &all_of(99, Profile::Full));
        assert!(matches!(nobody, Err(EvidenceError::NoOrganization(99))));
        let progress = Progress::default();
        progress.stop();
        let stopped = Trail {
            progress: &progress,
            ..trail
        };
        let stopped = write_log(&mut Vec::new(), &stopped, &all_of(1, Profile::Full));
        assert!(matches!(stopped, Err(EvidenceError::Interrupted)));
    });
}

const EVENTS: &str = r#"
DELETE FROM securityevent;
INSERT INTO securityevent VALUES
  (1, 1, 10, 'BLOCKED', '=cmd|calc', 'an "injection", twice', 'Base64 Detection', 'high', 'T1'),
  (2, 1, NULL, 'SANITIZED', 'QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ', '-5', NULL, 'low', 'T3'),
  (3, 2, NULL, 'BLOCKED', 'of another', 'x', NULL, 'critical', 'T1'),
  (4, 1, NULL, 'BLOCKED', '@x', '+1', '', 'medium', 'T2');
"#;

async fn events_are_in_both_profiles(test: TestStore) {
    let qwed = Qwed::filled(&test);
    qwed.run(EVENTS);
    let scratch = test.directory.path();
    blocking(|| {
        let text = events(&qwed.url, &all_of(1, Profile::Qwed), scratch);
        let cut = "Q".repeat(50);
        assert_eq!(
            text,
            format!(
                "ID,Timestamp,Event Type,Severity,Security Layer,Reason,Query Preview\r\n\
                 2,2026-07-01T08:00:00.123456+00:00,SANITIZED,low,N/A,-5,{cut}...\r\n\
                 4,2026-06-01T08:00:00+00:00,BLOCKED,medium,N/A,+1,@x\r\n\
                 1,2026-05-01T08:00:00+00:00,BLOCKED,high,Base64 Detection,\"an \"\"injection\"\", twice\",=cmd|calc\r\n"
            )
        );
        let text = events(&qwed.url, &all_of(1, Profile::Full), scratch);
        assert_eq!(
            text,
            format!(
                "id,organization_id,user_id,event_type,query,reason,security_layer,severity,timestamp\r\n\
                 1,1,10,BLOCKED,'=cmd|calc,\"an \"\"injection\"\", twice\",Base64 Detection,high,2026-05-01T08:00:00Z\r\n\
                 2,1,,SANITIZED,{cut}Q,'-5,,low,2026-07-01T08:00:00.123456Z\r\n\
                 4,1,,BLOCKED,'@x,'+1,,medium,2026-06-01T08:00:00Z\r\n"
            )
        );
        let time = |text: &str| {
            let time: jiff::Timestamp = text.parse().expect("a time");
            Some(time.as_microsecond())
        };
        let asked = trailkeeper::evidence::Asked {
            period: Period {
                from: time("2026-06-01T08:00:00Z"),
                to: time("2026-06-30T00:00:00Z"),
            },
            ..all_of(1, Profile::Full)
        };
        let found = rows(&events(&qwed.url, &asked, scratch));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["id"], "4");
    });
}

/// `verified` and `legacy` are exactly what QWED itself verifies, and finds unchained.
async fn every_fixture_is_judged_as_qwed_does(test: TestStore) {
    let names = [
        "g1_two_orgs",
        "g4_two_orgs",
        "t_query_edited",
        "t_middle_row_deleted",
        "upgraded",
    ];
    for name in names {
        let url = match &test.server {
            None => DatabaseUrl::Sqlite(fixture(name)),
            Some(server) => {
                server.psql("postgres", "DROP DATABASE IF EXISTS qwed WITH (FORCE)");
                server.create_database("qwed");
                loaded::load_fixture(server, "qwed", name, loaded::TIME_TYPES[1]);
                server.url("qwed").parse().expect("a URL")
            }
        };
        let said = fixture(name).with_extension("json");
        let said = fs::read_to_string(said).expect("read");
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        blocking(|| {
            let database = Database::open(&url).expect("open");
            let organizations = said["trails"].as_object().expect("trails").keys();
            for organization in organizations {
                let id = organization.parse().expect("an id");
                let asked = all_of(id, Profile::Full);
                let (_, text) = log(&database, FIXTURE_KEY, &asked, test.directory.path());
                for row in rows(&text) {
                    let of_qwed = &said["entries"][&row["id"]];
                    let verdict = row["verdict"].as_str();
                    let is_valid = of_qwed["valid"] == true;
                    assert_eq!(verdict == "verified", is_valid, "{name} {row:?} {of_qwed}");
                    let is_legacy = of_qwed["legacy"] == true;
                    assert_eq!(verdict == "legacy", is_legacy, "{name} {row:?} {of_qwed}");
                }
            }
        });
    }
}

//! `trailkeeper consent` and `trailkeeper verify --ledger`, as an operator uses them.

use serde_json::json;

use super::{AUDIT_KEY, ORIGIN, anchor_key};
use crate::support::{program::Program, store::TestStore};

fn program(test: &TestStore, arguments: &[&str]) -> Program {
    Program::bare()
        .env("TRAILKEEPER__DATA_DIR", test.directory.path())
        .env("TRAILKEEPER__STATE__URL", &test.url)
        .env("TRAILKEEPER__ANCHORS__ORIGIN", ORIGIN)
        .env("QWED_AUDIT_SECRET_KEY", AUDIT_KEY)
        .args(arguments)
}

#[track_caller]
fn text(test: &TestStore, arguments: &[&str]) -> String {
    let run = program(test, arguments).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    run.stdout
}

crate::on_both![an_operator_records_and_asks, an_auditor_verifies];

const RECORD: [&str; 6] = ["consent", "record", "--org", "1", "--record-id", "r-1"];

fn keep_anchor_key(test: &TestStore) {
    let path = test.directory.path().join("anchor.key");
    trailkeeper::private::create_file(&path, anchor_key().to_text().as_bytes()).expect("keep");
}

async fn an_operator_records_and_asks(test: TestStore) {
    keep_anchor_key(&test);
    let record = |arguments: &[&str]| {
        text(
            &test,
            &[&["consent", "record", "--org", "1"], arguments].concat(),
        )
    };
    let granted = [
        "--record-id",
        "r-1",
        "--user",
        "5",
        "--status",
        "granted",
        "--type",
        "explicit",
        "--purpose",
        "newsletter",
        "--purpose",
        "research, medical",
        "--notice-version",
        "2026-05",
        "--channel",
        "web form",
        "--time",
        "2026-05-08T12:30:00Z",
    ];
    let mut said = record(&granted);
    said += &record(&granted);
    said += &record(&[
        "--record-id",
        "r-2",
        "--email",
        "Ada@example.org",
        "--status",
        "withdrawn",
        "--purpose",
        "newsletter",
        "--time",
        "2026-06-01T00:00:00Z",
    ]);
    insta::assert_snapshot!("consent_record", said);

    // Somebody may be known by several names.
    let both = ["--org", "1", "--user", "5", "--email", "ada@EXAMPLE.org"];
    let ask = |command: &str, shape: &str| {
        let arguments = [&["consent", command], &both[..], &["--format", shape]].concat();
        text(&test, &arguments)
    };
    insta::assert_snapshot!("consent_status", ask("status", "text"));
    insta::assert_snapshot!("consent_status_csv", ask("status", "csv"));
    insta::assert_snapshot!("consent_history", ask("history", "text"));
    let export = text(
        &test,
        &["consent", "export", "--org", "1", "--format", "csv"],
    );
    let lines: Vec<&str> = export.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("sequence,record_id,organization_id,user_id,email,"),
        "{export}"
    );
    assert!(
        lines[1].starts_with("1,r-1,1,5,,,granted,explicit,\"newsletter; research, medical\","),
        "{export}"
    );
    let (_, export) = program(&test, &["consent", "export", "--org", "1"]).json();
    assert_eq!(export[1]["without_grant"], json!(true));
    assert_eq!(export[1]["previous_hash"], export[0]["entry_hash"]);

    let run = program(&test, &["consent", "status", "--org", "1"]).run();
    let told =
        "trailkeeper: whose? Give --user, --email or --subject, or several of them for one person";
    assert_eq!(run.failure(), (Some(2), told));
    let run = program(&test, &RECORD)
        .args(["--status", "granted", "--purpose", "x", "--user", "6"])
        .run();
    let told = "trailkeeper: there is another record with this record_id";
    assert_eq!(run.failure(), (Some(2), told));
    let run = Program::bare()
        .env("TRAILKEEPER__STATE__URL", &test.url)
        .args(RECORD)
        .args(["--status", "granted", "--purpose", "x", "--user", "6"])
        .run();
    assert_eq!(
        run.failure().0,
        Some(3),
        "without a key nothing is recorded"
    );
}

async fn an_auditor_verifies(test: TestStore) {
    keep_anchor_key(&test);
    let verify = ["verify", "--ledger"];
    assert_eq!(
        text(&test, &verify),
        "compliance ledger: 0 entries are as they were signed\nintact\n"
    );
    for number in 1..=4 {
        let id = format!("r-{number}");
        let arguments = [
            "consent",
            "record",
            "--org",
            "7",
            "--subject",
            "customer 9",
            "--status",
            "granted",
            "--purpose",
            "ads",
            "--record-id",
            &id,
        ];
        text(&test, &arguments);
    }
    insta::assert_snapshot!("verify_ledger_intact", text(&test, &verify));
    test.execute("DELETE FROM consent WHERE sequence = 2").await;
    test.execute("UPDATE consent SET query = replace(query, 'ads', 'all') WHERE sequence = 3")
        .await;
    let run = program(&test, &verify).run();
    assert_eq!(run.code, Some(1), "{run:?}");
    insta::assert_snapshot!("verify_ledger_tampered", run.stdout);
    let (run, document) = program(&test, &verify).json();
    assert_eq!(run.code, Some(1));
    assert_eq!(document["verdict"], json!("tampered"));
    assert_eq!(document["ledger"]["findings"], json!([]));
    assert_eq!(document["consents"][0]["records"], json!(3));
    // An entry of the ledger itself.
    test.execute("DELETE FROM consent").await;
    test.execute("DELETE FROM ledger WHERE number = 1").await;
    let (run, document) = program(&test, &verify).json();
    assert_eq!(run.code, Some(1));
    assert_eq!(document["ledger"]["findings"][0]["number"], json!(2));
    assert_eq!(
        document["consents"][0]["findings"][0]["kind"],
        json!("organisation_vanished")
    );
}

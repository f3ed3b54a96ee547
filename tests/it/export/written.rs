//! What an export has, and what it must not have.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use trailkeeper::{
    export::{self, Asked, ExportError, Notice, OwnRecords, Source, Words},
    progress::Progress,
    qwed::tables::Cell,
};

use super::{Opened, Qwed, blocking, made_at};
use crate::support::store::{TestStore, block_on};

crate::on_both![
    a_user_gets_all_that_refers_to_them_and_nothing_else,
    an_organisation_gets_all_of_its_own,
    records_of_our_own_go_with_it,
    rows_far_apart_are_all_found,
];

/// Whose texts must not be there.
#[track_caller]
fn assert_without(opened: &Opened, markers: &[&str]) {
    for marker in markers
        .iter()
        .chain(&["SECRET", "\"password", "\"key_hash\"", "\"agent_token\""])
    {
        let lines = opened.everything.lines();
        let found: Vec<_> = lines.filter(|line| line.contains(marker)).collect();
        assert_eq!(found, Vec::<&str>::new(), "{marker}");
    }
}

async fn a_user_gets_all_that_refers_to_them_and_nothing_else(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let (made, opened) = qwed.export(1, &Asked::User(10));
    for (list, ids) in [
        ("user", vec![10]),
        ("apikey", vec![1]),
        ("agent", vec![1]),
        ("agentpermission", vec![1]),
        ("verificationlog", vec![1, 50_000]),
        ("securityevent", vec![1]),
        ("agentactivity", vec![1]),
        ("toolcall", vec![1]),
        // Of an agent of Bob's, without what it did for him.
        ("toolcall_approvals", vec![2]),
    ] {
        assert_eq!(opened.ids(list).as_ref(), Some(&ids), "{list}");
        assert_eq!(made.tables[list], ids.len() as u64, "{list}");
    }
    assert_eq!((made.records, made.tables.len()), (10, 9));
    assert_eq!((made.organization_id, made.user_id), (1, Some(10)));
    assert_without(
        &opened,
        &["of-bob", "of-zoe", "of-nobody", "bob@", "192.0.2.8"],
    );
    let withheld = json!(["user.password_hash", "apikey.key_hash", "agent.agent_token"]);
    assert_eq!(opened.manifest["columns_withheld"], withheld);

    let tables = &opened.data["tables"];
    let entry = &tables["verificationlog"][0];
    assert_eq!(entry["query"], "=cmd|'/C calc'!A0 of-ada");
    // As it is stored, though no JSON reader would write it so.
    assert_eq!(entry["result"], r#"{"value": 1e400, "a": "é"}"#);
    let values = (
        &entry["is_verified"],
        &entry["raw_llm_output"],
        &entry["api_key_id"],
    );
    assert_eq!(values, (&json!(true), &Value::Null, &json!(1)));
    let entry = &tables["verificationlog"][1];
    let query = "of-ada, \"quoted\"\non two lines; 東京 😀 ";
    assert_eq!(
        (&entry["query"], &entry["domain"]),
        (&json!(query), &json!("-1"))
    );
    let activity = &tables["agentactivity"][0];
    let numbers = (&activity["cost"], &activity["latency_ms"]);
    assert_eq!(numbers, (&json!(0.300_000_000_000_000_04), &json!(-1.5)));
    assert_eq!(
        tables["agent"][0]["current_cost_today"].as_f64(),
        Some(12.5)
    );
    assert_eq!(opened.data["own"], json!({}));

    // Somebody of whom there is nothing but the account.
    let (made, opened) = qwed.export(1, &Asked::User(12));
    assert_eq!(
        (made.records, opened.ids("verificationlog")),
        (1, Some(vec![]))
    );
    // The approvals of user 101 are none of user 10's, nor of user 1's.
    assert_eq!(opened.ids("toolcall_approvals"), Some(vec![]));
}

async fn an_organisation_gets_all_of_its_own(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let (made, opened) = qwed.export(1, &Asked::Organization);
    for (list, ids) in [
        ("organization", vec![1]),
        ("user", vec![10, 11, 12, 13]),
        ("resourcequota", vec![1]),
        ("apikey", vec![1, 2, 3]),
        ("agent", vec![1, 2]),
        ("agentpermission", vec![1, 2]),
        ("verificationlog", vec![1, 2, 3, 50_000]),
        ("securityevent", vec![1, 2]),
        ("agentactivity", vec![1, 2]),
        ("toolcall", vec![1, 2, 3]),
    ] {
        assert_eq!(opened.ids(list), Some(ids), "{list}");
    }
    assert_eq!((made.records, made.user_id), (24, None));
    assert_without(&opened, &["of-zoe", "zoe@"]);
    assert!(!opened.everything.contains("class=\"note\""));

    // Not active, and with its rights all the same.
    let (made, opened) = qwed.export(2, &Asked::Organization);
    assert_eq!((made.records, made.organization_is_active), (6, false));
    assert_eq!(opened.manifest["organization_is_active"], json!(false));
    assert!(
        opened
            .everything
            .contains("The organisation is not active any more.")
    );
    assert_without(&opened, &["of-ada", "of-bob"]);
}

/// A list in two pages.
struct Consents(Vec<Vec<Vec<Cell>>>);

impl OwnRecords for Consents {
    fn name(&self) -> &'static str {
        "consent"
    }

    fn words(&self) -> Words {
        Words {
            title: "Consent",
            what: "What you agreed to.",
            why: "To be able to show it.",
            how_long: "Three years.",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["purpose", "given_at", "is_given"]
    }

    fn time_field(&self) -> Option<&'static str> {
        Some("given_at")
    }

    fn next_page(&mut self) -> Result<Vec<Vec<Cell>>, ExportError> {
        Ok(self.0.pop().unwrap_or_default())
    }
}

async fn records_of_our_own_go_with_it(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let consent = |purpose: &str, at: &str| {
        let text = |text: &str| Cell::Text(text.into());
        vec![text(purpose), text(at), Cell::Bool(true)]
    };
    let later = vec![consent("=later", "2026-03-01T00:00:00Z")];
    let consents = Consents(vec![later, vec![consent("news", "2026-02-01T00:00:00Z")]]);
    let (target, path) = (qwed.target(1, &Asked::User(12)), qwed.file());
    let mut own: Vec<Box<dyn OwnRecords>> = vec![Box::new(consents)];
    let made = qwed.write(&target, &mut own, &path).expect("export");
    let opened = Opened::read(&path);
    assert_eq!((made.records, made.tables["consent"]), (3, 2));
    let consents = &opened.data["own"]["consent"];
    assert_eq!(
        consents[0],
        json!({"purpose": "news", "given_at": "2026-02-01T00:00:00Z", "is_given": true})
    );
    assert_eq!(consents[1]["purpose"], "=later");
    let row = "<td>2</td><td>2026-02-01T00:00</td><td>2026-03-01T00:00</td><td>To be able to show it.</td>";
    assert!(opened.everything.contains(row), "{}", opened.everything);
}

/// A window of ids holds none, one, or more rows than a page.
async fn rows_far_apart_are_all_found(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let made = "true, 'MATH', 'T2', NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    qwed.run("DELETE FROM verificationlog");
    qwed.run(&format!(
        "INSERT INTO verificationlog SELECT -5, 1, 10, 'q', '{{}}', {made}"
    ));
    qwed.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO verificationlog \
         SELECT 1000000 + i, 1, 10 + i % 2, 'q', '{{}}', {made} FROM n"
    ));
    qwed.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70) INSERT INTO verificationlog \
         SELECT 2000000 + i * 20000, 1, CASE WHEN i % 10 = 0 THEN 10 ELSE 11 END, 'q', '{{}}', {made} FROM n"
    ));
    let (_, opened) = qwed.export(1, &Asked::User(10));
    let ids = opened.ids("verificationlog").expect("a list");
    let mut expected = vec![-5];
    expected.extend((1..=1500).map(|i| 1_000_000 + 2 * i));
    expected.extend((1..=7).map(|i| 2_000_000 + i * 200_000));
    assert_eq!(ids, expected);
}

#[test]
fn a_lay_person_can_read_it() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        let target = qwed.target(1, &Asked::User(10));
        let path = qwed.file();
        let notice = Notice {
            controller: "Example Ltd, 1 High Street <London>".to_owned(),
            contact: "privacy@example.org".to_owned(),
            retention: "Accounts are deleted a year after the last login.".to_owned(),
        };
        let source = Source {
            url: &qwed.url,
            target: &target,
            notice: &notice,
            made_at: made_at(),
        };
        let progress = Progress::default();
        blocking(|| export::to_file(source, &mut [], &path, &progress)).expect("export");
        assert_eq!(progress.rows(), 10);
        let file = fs::File::open(&path).expect("open");
        let mut archive = zip::ZipArchive::new(file).expect("a zip");
        let readme = archive.by_name("README.html").expect("the page");
        let readme = std::io::read_to_string(readme).expect("text");
        insta::assert_snapshot!("readme", readme);
    });
}

#[test]
fn nothing_is_overwritten_and_nothing_half_done_is_left() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        let target = qwed.target(1, &Asked::User(10));
        let directory = test.directory.path().join("exports");
        fs::create_dir(&directory).expect("make a directory");
        let path = directory.join("ada.zip");
        let files = || fs::read_dir(&directory).expect("list").count();
        qwed.write(&target, &mut [], &path).expect("export");
        let mode = fs::metadata(&path).expect("it").permissions().mode();
        assert_eq!((mode & 0o777, files()), (0o600, 1));
        let before = fs::read(&path).expect("read");
        let again = qwed.write(&target, &mut [], &path);
        assert!(matches!(again, Err(ExportError::Exists(_))), "{again:?}");
        assert_eq!((fs::read(&path).expect("read"), files()), (before, 1));

        let progress = Progress::default();
        progress.stop();
        let source = Source {
            url: &qwed.url,
            target: &target,
            notice: &Notice::default(),
            made_at: made_at(),
        };
        let other = directory.join("other.zip");
        let stopped = blocking(|| export::to_file(source, &mut [], &other, &progress));
        assert!(
            matches!(stopped, Err(ExportError::Interrupted)),
            "{stopped:?}"
        );
        assert_eq!(files(), 1);
        let nowhere = directory.join("none/x.zip");
        let refused = qwed.write(&target, &mut [], &nowhere);
        assert!(matches!(refused, Err(ExportError::Write(_))), "{refused:?}");
    });
}

/// Any value in any column, as SQLite allows it; and names that are hostile.
#[test]
fn whatever_is_stored_can_be_exported() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        qwed.run(
            "INSERT INTO verificationlog (id, organization_id, user_id, query, result, is_verified, domain, timestamp) VALUES \
             (901, 1, 10, x'00ff', 1.5, 'yes', x'', 7), (902, 1, 10, '', CAST(x'ff61' AS TEXT), 9e999, '', ''), \
             (903, 1, '10', 5, -9223372036854775808, 1, 'a' || char(0) || 'b', 0.1), (904, 1, 10.0, 'q', '{}', 1, 'd', 't'); \
             UPDATE user SET email = '<script>alert(1)</script>@example.org', permissions = '\"''`;\\' WHERE id = 10",
        );
        let (_, opened) = qwed.export(1, &Asked::User(10));
        let entries = &opened.data["tables"]["verificationlog"];
        let entry = |id: i64| {
            let entries = entries.as_array().expect("a list");
            let entry = entries.iter().find(|entry| entry["id"] == id);
            entry.expect("the entry").clone()
        };
        assert_eq!(entry(901)["query"], json!({"base64": "AP8="}));
        assert_eq!(entry(901)["result"], json!("1.5"));
        assert_eq!(entry(902)["result"], json!({"base64": "/2E="}));
        assert_eq!(entry(902)["is_verified"], json!({"real": "inf"}));
        assert_eq!(entry(903)["domain"], json!("a\0b"));
        assert_eq!(entry(904)["user_id"], json!(10));
        assert!(!opened.everything.contains("<b><script>"));
        assert!(opened.everything.contains("&lt;script&gt;"));
    });
}

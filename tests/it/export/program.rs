//! `trailkeeper export subject`.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Opened, Qwed};
use crate::support::{
    program::{Program, Run},
    store::{TestStore, block_on},
    trails::{generate, sqlite_url},
};

fn export(directory: &Path, database: &str, arguments: &[&str]) -> Program {
    let data = directory.join("data").display().to_string();
    Program::bare()
        .env("TRAILKEEPER__DATA_DIR", data)
        .args(["export", "subject", "--database", database])
        .args(arguments)
}

crate::on_both![the_program_exports_or_says_why_not];

async fn the_program_exports_or_says_why_not(test: TestStore) {
    let qwed = Qwed::filled(&test);
    let directory = test.directory.path();
    let database = match &test.server {
        Some(server) => server.url("qwed"),
        None => sqlite_url(&directory.join("qwed.db")),
    };
    let out = qwed.file();
    let path = out.display().to_string();
    let run = |arguments: &[&str]| -> Run {
        let all = [arguments, &["--out", &path]].concat();
        export(directory, &database, &all).run()
    };
    for (arguments, code, part) in [
        (&["--org", "1", "--user", "99"][..], 2, "no such user"),
        (&["--org", "1", "--user", "20"], 2, "no such user"),
        (&["--org", "9", "--all"], 2, "no such organisation"),
        (
            &["--org", "1", "--email", "eve@example.org"],
            2,
            "2 users have this e-mail address",
        ),
        (
            &["--org", "1", "--email", "eve"],
            2,
            "not of the form name@domain",
        ),
    ] {
        let run = run(arguments);
        let (found, line) = run.failure();
        assert_eq!(found, Some(code), "{arguments:?}");
        assert!(line.contains(part) && !line.contains("eve"), "{line}");
        assert!(!out.exists());
    }
    for arguments in [
        &["--org", "1"][..],
        &["--org", "1", "--user", "10", "--all"],
        &["--user", "10"],
    ] {
        assert_eq!(run(arguments).code, Some(2), "{arguments:?}");
    }
    let found = run(&["--org", "1", "--email", "ada@example.org"]);
    assert_eq!(found.code, Some(0));
    let without =
        "not in it: consents, requests for erasure and legal holds, as there is no state database ";
    assert!(found.stderr.starts_with(without), "{found:?}");
    assert!(found.stdout.starts_with("10 records in "), "{found:?}");
    assert!(
        found.stdout.contains("verificationlog     2\n"),
        "{found:?}"
    );
    let ids = Opened::read(&out).ids("verificationlog");
    assert_eq!(ids, Some(vec![1, 50_000]));
    let again = run(&["--org", "1", "--user", "10"]);
    let (code, line) = again.failure();
    assert_eq!(code, Some(2));
    assert!(line.contains("nothing is overwritten"), "{line}");
    // Without a key there is no ledger, and no state database is made for it.
    assert!(!directory.join("data").exists());
}

#[test]
fn the_ledger_has_it_where_there_is_a_key() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let qwed = Qwed::filled(&test);
        let directory = test.directory.path();
        let database = sqlite_url(&directory.join("qwed.db"));
        let key = directory.join("data/anchor.key");
        fs::create_dir(directory.join("data")).expect("make a directory");
        let arguments = ["keygen", "--out"];
        let made = Program::bare().args(arguments).arg(&key).run();
        assert_eq!(made.code, Some(0), "{made:?}");
        let out = qwed.file();
        let out = out.display().to_string();
        let arguments = ["--org", "2", "--all", "--out", &out];
        let (run, made) = export(directory, &database, &arguments).json();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(made["organization_is_active"], json!(false));
        let data = directory.join("data").display().to_string();
        let ledger = Program::bare().env("TRAILKEEPER__DATA_DIR", data);
        let (_, listed) = ledger.args(["ledger", "list"]).json();
        let entry = &listed["entries"][0];
        assert_eq!(entry["act"], json!("subject.export"), "{listed}");
        assert_eq!(entry["detail"]["sha256"], made["sha256"]);
        assert!(!listed.to_string().contains("example.org"));
    });
}

#[test]
fn what_cannot_be_read_is_no_export() {
    let directory = tempfile::tempdir().expect("make a directory");
    let out = directory.path().join("x.zip");
    let database = sqlite_url(&directory.path().join("none.db"));
    let out_text = out.display().to_string();
    let arguments = ["--org", "1", "--all", "--out", &out_text];
    let run = export(directory.path(), &database, &arguments).run();
    assert_eq!(run.failure().0, Some(3));
    assert!(!out.exists());
}

/// Twice as many entries take no more memory, and what they take is little.
#[test]
fn memory_is_bounded_whatever_there_is() {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    generate(&path, 1, 1, 200_000);
    let out = directory.path().join("all.zip");
    let out_text = out.display().to_string();
    let arguments = ["--org", "1", "--all", "--out", &out_text];
    let command = export(directory.path(), &sqlite_url(&path), &arguments).into_command();
    let (answer, peak) = crate::limits::run_watched(command);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    eprintln!("peak memory: {} MB", peak / 1_000_000);
    assert!(peak < 100_000_000, "{} MB", peak / 1_000_000);
    assert!(fs::metadata(&out).expect("the zip").len() > 10_000_000);
}

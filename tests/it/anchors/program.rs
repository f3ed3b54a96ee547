//! Anchors through the built program, as an operator and an auditor use them.

use serde_json::Value;
use tempfile::TempDir;

use super::append;
use crate::support::{
    program::Program,
    tamper::Trail,
    trails::{KEY, generate},
};

struct Desk {
    directory: TempDir,
}

impl Desk {
    fn program(&self, arguments: &[&str]) -> Program {
        let qwed = format!(
            "sqlite:///{}",
            self.directory.path().join("qwed.db").display()
        );
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", self.directory.path().join("data"))
            .env("DATABASE_URL", qwed)
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .directory(self.directory.path())
            .args(arguments)
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let (run, document) = self.program(arguments).json();
        assert_eq!(run.code, Some(code), "{run:?}");
        document
    }

    /// What is printed, without what differs from run to run.
    #[track_caller]
    fn text(&self, code: i32, arguments: &[&str]) -> String {
        let run = self.program(arguments).run();
        assert_eq!(run.code, Some(code), "{run:?}");
        let words = |line: &str| {
            let word = |word: &str| {
                if word.contains("T") && word.trim_end_matches(':').ends_with('Z') {
                    "[TIME]".to_owned()
                } else if word.starts_with("trailkeeper+") {
                    "[KEY]".to_owned()
                } else {
                    word.to_owned()
                }
            };
            let line: Vec<String> = line.split(' ').map(word).collect();
            let line = line.join(" ");
            // Rates, and the time of the last line.
            let line = line.split(" in ").next().unwrap_or_default();
            let is_rate = |end: &str| end.ends_with("/s");
            let line = match line.rsplit_once(", ") {
                Some((line, end)) if is_rate(end) => line,
                _ => line,
            };
            line.to_owned() + "\n"
        };
        run.stdout.lines().map(words).collect()
    }
}

#[test]
fn an_operator_anchors_and_learns_of_what_is_gone() {
    let desk = Desk {
        directory: tempfile::tempdir().expect("make a directory"),
    };
    let path = desk.directory.path().join("qwed.db");
    let generator = generate(&path, 2, 4, 600);
    let mut said = desk.text(0, &["verify", "--no-progress"]);
    said += &desk.text(0, &["anchor", "list"]);
    said += &desk.text(0, &["anchor", "create"]);
    said += &desk.text(0, &["verify", "--no-progress"]);
    append(&path, generator, 7);
    said += &desk.text(0, &["verify", "--no-progress"]);
    said += &desk.text(0, &["anchor", "create"]);
    said += &desk.text(0, &["anchor", "verify"]);
    let proof = desk.program(&["anchor", "prove", "300"]).run();
    assert_eq!(proof.code, Some(0), "{proof:?}");
    assert!(proof.stdout.starts_with("c2sp.org/tlog-proof@v1\nindex "));
    let trail = Trail::open(&path);
    trail.run("DELETE FROM verificationlog WHERE id > 590");
    said += &desk.text(1, &["verify", "--no-progress"]);
    said += &desk.text(0, &["verify", "--no-progress", "--anchors", "none"]);
    insta::assert_snapshot!("operator", said);
    let report = desk.json(1, &["verify", "--no-progress"]);
    assert_eq!(report["anchors"]["number"], 2);
    assert_eq!(report["organizations"][0]["anchor"]["is_extended"], false);
    let listed = desk.json(0, &["anchor", "list"]);
    assert_eq!(listed["anchors"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_not_new_is_told_from_what_is_not_there() {
    let desk = Desk {
        directory: tempfile::tempdir().expect("make a directory"),
    };
    let path = desk.directory.path().join("qwed.db");
    let generator = generate(&path, 2, 4, 600);
    desk.json(0, &["anchor", "create"]);
    let mut said = desk.text(0, &["verify", "--no-progress", "--since-anchor"]);
    append(&path, generator, 1);
    said += &desk.text(0, &["verify", "--no-progress", "--since-anchor"]);
    let trail = Trail::open(&path);
    trail.run("DELETE FROM verificationlog WHERE organization_id = 2");
    trail.run("DELETE FROM organization WHERE id = 2");
    for also in [&[][..], &["--since-anchor"]] {
        let asked = [&["verify", "--no-progress", "--org", "2"], also].concat();
        said += &desk.text(1, &asked);
    }
    insta::assert_snapshot!("new", said);
    // A period is compared with no anchor, which so says nothing of it.
    let of_period = [
        "verify",
        "--no-progress",
        "--org",
        "2",
        "--from",
        "2020-01-01",
    ];
    let run = desk.program(&of_period).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(line.contains("there is no organisation 2"), "{line}");
}

#[test]
fn keys_are_asked_for_where_they_are_missing() {
    let desk = Desk {
        directory: tempfile::tempdir().expect("make a directory"),
    };
    generate(&desk.directory.path().join("qwed.db"), 1, 4, 10);
    let created = desk.json(0, &["anchor", "create"]);
    let key = desk.directory.path().join("data/anchor.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&key).expect("the key").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    std::fs::rename(&key, key.with_extension("away")).expect("take the key away");
    let run = desk.program(&["verify", "--no-progress"]).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(
        line.contains("no key to tell whether they were signed"),
        "{line}"
    );
    let public = created["public_key"].as_str().expect("a key");
    desk.json(0, &["verify", "--no-progress", "--public-key", public]);
    let other = "example.com/foo+530d903d+AYSXhSxZXCYVpLmMPZsz8jmVyAXXD9LqVRqxIWHoN2qj";
    let run = desk
        .program(&["verify", "--no-progress", "--public-key", other])
        .run();
    assert_ne!(run.code, Some(0), "{run:?}");
    // A second key would make the first anchors worthless.
    let run = desk.program(&["anchor", "create"]).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(
        line.contains("copy it from the worker that signed anchors before"),
        "{line}"
    );
}

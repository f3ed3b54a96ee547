//! `audit certificate` and `erase tombstones`, on what the demo erased.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    program::{Program, Run},
    tools::tool,
};

/// A demo that is over, and the one request in it.
struct Demo {
    directory: TempDir,
    request: String,
}

impl Demo {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let run = Program::bare()
            .args(["demo", "--once", "--directory"])
            .arg(directory.path())
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        let mut demo = Self {
            directory,
            request: String::new(),
        };
        let (_, listed) = demo.erase(&["list"]).json();
        demo.request = text(&listed["requests"][0]["id"]);
        demo
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn erase(&self, arguments: &[&str]) -> Program {
        Program::bare()
            .arg("erase")
            .args(arguments)
            .arg("--config")
            .arg(self.path("trailkeeper.toml"))
    }

    /// Writes the tombstones of a request to `tombstones`, after `change`.
    fn tombstones(&self, request: &str, change: impl FnOnce(&mut Vec<String>)) {
        let run = self.erase(&["tombstones", request]).run();
        assert_eq!(run.code, Some(0), "{run:?}");
        let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        change(&mut lines);
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.path("tombstones"), lines).expect("write");
    }

    /// What a program says that goes by the documentation alone.
    fn outside(&self) -> String {
        let output = tool("check_tombstones.py")
            .args(["erasure.note", "tombstones", "trailkeeper-demo.db"])
            .current_dir(self.directory.path())
            .output()
            .expect("run check_tombstones.py");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn audit(&self, certificate: &str) -> Program {
        Program::bare()
            .directory(self.directory.path())
            .args(["audit", "certificate", certificate])
            .args(["--public-key", "@anchor.pub"])
    }

    fn audit_with_tombstones(&self) -> (Run, Value) {
        self.audit("erasure.note")
            .args(["--tombstones", "tombstones"])
            .json()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn says_what_was_erased() {
    let demo = Demo::new();
    let (run, document) = demo.audit("erasure.note").json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(document["proven"], json!(true));
    let certificate = &document["certificate"];
    assert_eq!(certificate["tombstones"]["count"], json!(33));
    demo.tombstones(&demo.request, |lines| assert_eq!(lines.len(), 33));
    assert_eq!(demo.outside(), "33 left, 0 gone\n");
    let run = demo
        .audit("erasure.note")
        .args(["--tombstones", "tombstones"])
        .run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let mut shown = run.stdout;
    for (value, name) in [
        (&certificate["request"], "[REQUEST]"),
        (&certificate["subject"], "[SUBJECT]"),
        (&certificate["plan"], "[PLAN]"),
        (&certificate["requested_at"], "[REQUESTED]"),
        (&certificate["approved_at"], "[APPROVED]"),
        (&certificate["completed_at"], "[COMPLETED]"),
        (&certificate["archive"]["locked_until"], "[LOCKED]"),
        (&certificate["tombstones"]["root"], "[ROOT]"),
    ] {
        shown = shown.replace(&text(value), name);
    }
    let key = fs::read_to_string(demo.path("anchor.pub")).expect("read");
    let id = key.split('+').nth(1).expect("a key's id");
    insta::assert_snapshot!("certificate", shown.replace(id, "[KEY]"));
}

#[test]
fn finds_other_tombstones() {
    let demo = Demo::new();
    let changes: [fn(&mut Vec<String>); 4] = [
        |lines| drop(lines.remove(7)),
        |lines| lines.swap(0, 32),
        |lines| lines.push(lines[3].clone()),
        |lines| {
            let last = lines[5].pop().expect("a digit");
            lines[5].push(if last == '0' { '1' } else { '0' });
        },
    ];
    for change in changes {
        demo.tombstones(&demo.request, change);
        let (run, document) = demo.audit_with_tombstones();
        assert_eq!(run.code, Some(1), "{run:?}");
        let reason = text(&document["reason"]);
        assert!(reason.contains("are not those"), "{reason}");
    }
    // What is no tombstone is nothing that could be compared.
    demo.tombstones(&demo.request, |lines| lines[1].push(' '));
    let run = demo
        .audit("erasure.note")
        .args(["--tombstones", "tombstones"])
        .run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3), "{run:?}");
    assert!(line.contains("line 2 of the tombstones"), "{line}");
}

#[test]
fn believes_none_but_the_keys_given() {
    let demo = Demo::new();
    let genuine = fs::read_to_string(demo.path("erasure.note")).expect("read");
    let forged = genuine.replacen("\"rows\": 33", "\"rows\": 34", 1);
    assert_ne!(forged, genuine);
    fs::write(demo.path("forged"), forged).expect("write");
    let (run, document) = demo.audit("forged").json();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(text(&document["reason"]).contains("not genuine"));
    // Nothing of what a forger wrote is told as if it were true.
    assert_eq!(document["certificate"], Value::Null);

    let unchecked = |run: &Run, why: &str| {
        let (code, line) = run.failure();
        assert_eq!(code, Some(3), "{run:?}");
        assert!(line.contains(why), "{line}");
    };
    fs::write(demo.path("text"), "no note\n").expect("write");
    unchecked(&demo.audit("text").run(), "is not a certificate");
    unchecked(&demo.audit("nothing").run(), "cannot read nothing");
    // Signed by the same key, and something else.
    let anchors = demo.path("state/objects/anchors");
    let note = fs::read_dir(&anchors)
        .expect("anchors")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.is_file())
        .expect("a statement");
    fs::copy(note, demo.path("anchor")).expect("copy");
    unchecked(&demo.audit("anchor").run(), "is not a certificate");

    let made = Program::bare()
        .directory(demo.directory.path())
        .args(["keygen", "--name", "other", "--out", "secret"])
        .args(["--public", "other.pub"])
        .run();
    assert_eq!(made.code, Some(0), "{made:?}");
    let with_other = Program::bare()
        .directory(demo.directory.path())
        .args(["audit", "certificate", "erasure.note"])
        .args(["--public-key", "@other.pub"])
        .run();
    unchecked(&with_other, "cannot be trusted");
}

#[test]
fn holds_for_entries_that_were_deleted() {
    let demo = Demo::new();
    let policy = r#"{"entries": "delete", "user": "anonymise"}"#;
    let asked = demo.erase(&["request", "--org", "1", "--user", "104", "--policy", policy]);
    let (_, asked) = asked.json();
    let id = text(&asked["request"]["id"]);
    let plan = text(&asked["request"]["plan_digest"]);
    for arguments in [vec!["approve", &id, "--plan", &plan], vec!["execute", &id]] {
        let run = demo.erase(&arguments).run();
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let certificate = demo.erase(&["certificate", &id]).run();
    fs::write(demo.path("erasure.note"), certificate.stdout).expect("write");
    demo.tombstones(&id, |lines| {
        // An entry from before the chain has no hash to leave behind, so it stays as a shell.
        let (gone, left): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line.contains(" deleted "));
        assert!(gone.len() > 20, "{gone:?}");
        assert!(!left.is_empty());
        assert!(left.iter().all(|line| line.contains(" anonymised 0 ")));
    });
    let (run, document) = demo.audit_with_tombstones();
    assert_eq!(run.code, Some(0), "{run:?}");
    let erased = &document["certificate"]["erased"]["tables"];
    let manners = erased["verificationlog"].as_array().expect("a list");
    assert_eq!(manners[0]["manner"], json!("anonymised"));
    assert_eq!(manners[1]["manner"], json!("deleted"));
    assert_eq!(erased["user"][0]["manner"], json!("anonymised"));
    let said = demo.outside();
    assert!(!said.ends_with(" 0 gone\n"), "{said}");
    // The tombstones of the other request are others.
    demo.tombstones(&demo.request, |_| ());
    assert_eq!(demo.audit_with_tombstones().0.code, Some(1));
}

#[test]
fn prints_no_tombstones_but_signed_ones() {
    let demo = Demo::new();
    let (code, line) = {
        let run = demo.erase(&["tombstones", "nobody"]).run();
        let (code, line) = run.failure();
        (code, line.to_owned())
    };
    assert_eq!(code, Some(2));
    assert!(line.contains("there is no request nobody"), "{line}");
    let state = rusqlite::Connection::open(demo.path("state/trailkeeper.db")).expect("open");
    let changed = state.execute(
        "UPDATE ledger SET note = replace(note, ' anonymised A+ ', ' anonymised ? ') WHERE act = 'erasure.tombstones'",
        (),
    );
    assert_eq!(changed.expect("change"), 1);
    let run = demo.erase(&["tombstones", &demo.request]).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(1), "{run:?}");
    assert!(line.contains("does not hold this request's"), "{line}");
}

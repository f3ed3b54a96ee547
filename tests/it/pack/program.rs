//! Packs through the built program, as an operator and an auditor use them.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{Members, other_signer, sample};
use crate::support::{
    program::Program,
    trails::{KEY, generate},
};

struct Office {
    directory: TempDir,
}

impl Office {
    /// An anchored trail with a report on it.
    fn open() -> Self {
        let office = Self {
            directory: tempfile::tempdir().expect("make a directory"),
        };
        generate(&office.path("qwed.db"), 2, 4, 200);
        office.json(0, &["anchor", "create"]);
        let verified =
            office.program(&["verify", "--no-progress", "--org", "1", "--format", "json"]);
        let verified = verified.run();
        let record: Value = verified.json();
        fs::write(office.path("verification.json"), &verified.stdout).expect("write");
        let entries = record["entries"].as_u64().expect("a number");
        let report = sample::report(1, "trailkeeper", "intact", entries);
        let report = serde_json::to_vec(&report).expect("JSON");
        fs::write(office.path("report.json"), report).expect("write");
        fs::write(office.path("log.csv"), "id\r\n1\r\n").expect("write");
        office
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", self.path("data"))
            .env(
                "DATABASE_URL",
                format!("sqlite:///{}", self.path("qwed.db").display()),
            )
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "none")
            .directory(self.directory.path())
            .args(arguments)
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let (run, document) = self.program(arguments).json();
        assert_eq!(run.code, Some(code), "{run:?}");
        document
    }

    fn make<'a>(&self, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let arguments = [
            "audit-pack",
            "make",
            "--report",
            "report.json",
            "--verification",
            "verification.json",
            "--log",
            "log.csv",
            "--out",
            out,
        ];
        [&arguments[..], more].concat()
    }
}

/// In a directory without anything, as an auditor has it.
fn auditor(directory: &Path, arguments: &[&str]) -> Program {
    Program::bare().directory(directory).args(arguments)
}

#[test]
fn an_operator_makes_a_pack_and_an_auditor_checks_it() {
    let office = Office::open();
    let made = office.json(0, &office.make("pack.zip", &["--store"]));
    assert_eq!(made["sampled"], 25);
    assert_eq!(made["stored"]["objects"][0]["sha256"], made["sha256"]);
    // Only its owner's, and never overwritten.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(office.path("pack.zip"))
            .expect("the pack")
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again = office.program(&office.make("pack.zip", &[])).run();
    assert_eq!(again.failure().0, Some(2));
    let seeded = office.json(
        0,
        &office.make("seeded.zip", &["--seed", "dice: 3 1 6 2", "--count", "7"]),
    );
    assert_eq!(seeded["sampled"], 7);

    let desk = tempfile::tempdir().expect("make a directory");
    let at = |name: &str| desk.path().join(name);
    fs::copy(office.path("pack.zip"), at("pack.zip")).expect("copy");
    fs::copy(office.path("seeded.zip"), at("seeded.zip")).expect("copy");
    let mut members = Members::of(&at("pack.zip"));
    let key = String::from_utf8(members.get("public-key").clone()).expect("text");
    let key = key.trim_end();

    let unknown = auditor(desk.path(), &["audit-pack", "verify", "pack.zip"]).run();
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    let known = auditor(
        desk.path(),
        &["audit-pack", "verify", "pack.zip", "--key", key],
    )
    .run();
    assert_eq!(known.code, Some(0), "{known:?}");
    let mut said = String::new();
    for line in known.stdout.lines() {
        // What differs from run to run.
        let line = line.split(" (").next().unwrap_or_default();
        let words = line.split(' ').map(|word| {
            let is_time = word.ends_with('Z') && word.contains('T') && !word.contains(":00:00Z");
            if is_time { "[TIME]" } else { word }
        });
        said += &(words.collect::<Vec<_>>().join(" ") + "\n");
    }
    insta::assert_snapshot!("auditor", said);
    let other = other_signer().verifier().to_string();
    let other = other.as_str();
    let stranger = auditor(
        desk.path(),
        &["audit-pack", "verify", "pack.zip", "--key", other],
    )
    .run();
    assert_eq!(stranger.failure().0, Some(3));
    let both = [
        "audit-pack",
        "verify",
        "seeded.zip",
        "--key",
        key,
        "--key",
        other,
    ];
    let (run, document) = auditor(desk.path(), &both).json();
    assert_eq!(
        (run.code, &document["outcome"]),
        (Some(0), &"passed".into()),
        "{run:?}"
    );

    // The same sample by hand, and each proof by itself.
    let sampled = Members::of(&at("seeded.zip")).json("sample.json");
    let population = sampled["population"].to_string();
    let draw = [
        "sample",
        "--seed",
        "dice: 3 1 6 2",
        "--population",
        &population,
        "--count",
        "7",
    ];
    let (_, drawn) = auditor(desk.path(), &draw).json();
    let entries = sampled["entries"].as_array().expect("entries");
    let indexes: Vec<Value> = entries.iter().map(|entry| entry["index"].clone()).collect();
    assert_eq!(drawn["indexes"], Value::from(indexes));
    let lines = auditor(desk.path(), &draw).run().stdout;
    assert_eq!(lines.lines().count(), 7);
    let id = &entries[0]["entry_id"];
    let mut members = Members::of(&at("seeded.zip"));
    for kind in ["entry.json", "tlog-proof"] {
        fs::write(at(kind), members.get(&format!("proofs/{id}.{kind}"))).expect("write");
    }
    let check = [
        "audit",
        "verify",
        "--entry-file",
        "entry.json",
        "--proof",
        "tlog-proof",
        "--public-key",
        key,
    ];
    let (run, document) = auditor(desk.path(), &check).json();
    assert_eq!(
        (run.code, &document["proven"]),
        (Some(0), &true.into()),
        "{run:?}"
    );
    // The program's own proof is the same to the byte.
    let prove = office.program(&["anchor", "prove", &id.to_string()]).run();
    assert_eq!(
        prove.stdout.as_bytes(),
        members.get(&format!("proofs/{id}.tlog-proof"))
    );

    let mut changed = Members::of(&at("pack.zip"));
    changed.get("README.txt").push(b' ');
    fs::write(at("changed.zip"), changed.zip()).expect("write");
    let (run, document) = auditor(
        desk.path(),
        &["audit-pack", "verify", "changed.zip", "--key", key],
    )
    .json();
    assert_eq!(
        (run.code, &document["outcome"]),
        (Some(1), &"failed".into()),
        "{run:?}"
    );
    for missing in ["none.zip", "."] {
        let run = auditor(desk.path(), &["audit-pack", "verify", missing]).run();
        assert_eq!(run.failure().0, Some(3));
    }
}

#[test]
fn what_cannot_make_a_pack_is_told() {
    let office = Office::open();
    let run = auditor(
        office.directory.path(),
        &["sample", "--seed", "", "--population", "9"],
    )
    .run();
    assert_eq!(run.failure().0, Some(2));
    // A directory locks nothing.
    let unlocked = office.program(&office.make("unlocked.zip", &["--store"]));
    let unlocked = unlocked
        .env("TRAILKEEPER__OBJECTS__LOCK_MODE", "COMPLIANCE")
        .run();
    let (code, line) = unlocked.failure();
    assert_eq!(code, Some(3));
    assert!(line.contains("is not locked as configured"), "{line}");
    assert!(office.path("unlocked.zip").exists());
    fs::write(office.path("verification.json"), "{}").expect("write");
    let run = office.program(&office.make("pack.zip", &[])).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(line.contains("verification.json cannot be used"), "{line}");
    assert!(!office.path("pack.zip").exists());
    let left = fs::read_dir(office.directory.path()).expect("list");
    let names = left.map(|entry| {
        entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("text")
    });
    assert!(!names.into_iter().any(|name| name.contains("pack.zip")));
}

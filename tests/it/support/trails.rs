//! Trails to verify: QWED's own from the fixtures, and generated ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;
use trailkeeper::{
    demo::generator::{Generator, SqliteWriter},
    progress::Progress,
    qwed::{Database, url::DatabaseUrl},
    trail::keys::{Key, KeyRing},
    verify::{self, Options, Scope, VerifyError, report::Report},
};

/// The key that signed the fixtures.
pub(crate) const FIXTURE_KEY: &str = "fixture-audit-key-0123456789abcdef-0123";
/// The key that signs generated trails here.
pub(crate) const KEY: &str = "integration-test-audit-key-0123456789abcdef";

/// A generator that signs with [`KEY`].
pub(crate) fn generator(organizations: i64, seed: u64) -> Generator {
    Generator::new(Key::new("default", KEY.as_bytes()), organizations, seed)
}

/// Makes a SQLite database of generated entries.
pub(crate) fn generate(path: &Path, organizations: i64, seed: u64, entries: u64) -> Generator {
    let mut generator = generator(organizations, seed);
    SqliteWriter::create(path)
        .and_then(|mut writer| writer.write(&mut generator, entries))
        .expect("generate a trail");
    generator
}

/// The names of all fixtures that are databases, without `.db`.
pub(crate) fn fixtures() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("list tests/fixtures")
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".db").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() > 20, "fixtures are missing: {names:?}");
    names
}

/// Where a fixture is.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("{name}.db"))
}

/// The URL of a SQLite file.
pub(crate) fn sqlite_url(path: &Path) -> String {
    // An absolute path starts with the fourth slash.
    format!("sqlite:///{}", path.display())
}

/// A ring of one key, named as the program names it.
pub(crate) fn ring(secret: &str) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(vec![Key::new("default", secret.as_bytes())]))
}

/// Verifies a SQLite file within this process.
pub(crate) fn verify_file(
    path: &Path,
    secret: &str,
    scope: &Scope,
    options: &Options,
) -> Result<Report, VerifyError> {
    let database = Database::open(&DatabaseUrl::Sqlite(path.to_owned()))?;
    verify::verify(
        &database,
        &ring(secret),
        scope,
        options,
        &Progress::default(),
    )
}

/// Opens a SQLite file to tamper with it: fast, with nothing that outlives a crash.
pub(crate) fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("open the database");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF")
        .expect("set up the connection");
    connection
}

/// `trailkeeper verify`, to which arguments can be added.
pub(crate) fn program(url: &str, secret: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
    command
        .args(["verify", "--no-progress", "--database", url])
        .env("QWED_AUDIT_SECRET_KEY", secret)
        .stdin(Stdio::null());
    // What a developer has set is not for the program under test.
    for (name, _) in std::env::vars_os() {
        let name_bytes = name.as_encoded_bytes();
        if name_bytes.starts_with(b"PG")
            || name_bytes.starts_with(b"TRAILKEEPER_")
            || name == "DATABASE_URL"
            || name == "AUDIT_SECRET_KEY"
        {
            command.env_remove(name);
        }
    }
    // Nor is what a worker keeps on this machine.
    command.env("TRAILKEEPER__DATA_DIR", "/nonexistent/trailkeeper");
    command
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

impl Answer {
    /// The one JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => document,
            Err(error) => panic!("no JSON document ({error}): {self:?}"),
        }
    }

    /// Fails unless the program gave up with exit code 3 and one clear line, whose words include all of `parts`.
    #[track_caller]
    pub(crate) fn assert_could_not_check(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(3), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:?}");
        }
    }
}

/// Runs the program to its end.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Answer {
    command.output().expect("run trailkeeper").into()
}

/// The report that the program prints, without what differs from run to run.
#[track_caller]
pub(crate) fn report(url: &str, secret: &str, arguments: &[&str]) -> Value {
    let mut command = program(url, secret);
    command.args(["--format", "json"]).args(arguments);
    let answer = run(command);
    let mut document = answer.json();
    let code = match document["verdict"].as_str() {
        Some("intact") => 0,
        Some("tampered") => 1,
        Some("incomplete") => 4,
        _ => panic!("no verdict: {answer:?}"),
    };
    assert_eq!(answer.code, Some(code), "{answer:?}");
    forget_times(&mut document);
    document
}

/// Takes out of a report what differs from run to run.
pub(crate) fn forget_times(document: &mut Value) {
    let fields = document.as_object_mut().expect("a report is an object");
    for field in ["started_at", "duration_seconds", "entries_per_second"] {
        assert!(fields.remove(field).is_some(), "the report has no {field}");
    }
}

//! A running QWED is never disturbed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Value, json};
use trailkeeper::{
    demo::generator::{Entry, Generator},
    trail::time::stored_text,
};

use crate::support::{
    loaded::{add_organizations, copy_entries},
    postgres::Postgres,
    tools::tool,
    trails::{KEY, generate, generator, program, report, run, sqlite_url},
};

/// Enough that a verification takes a while.
const ENTRIES: u64 = 100_000;
const APPENDS: u64 = 1000;
const ORGANIZATIONS: i64 = 3;

/// The real QWED 8.0.0, appending to organisation 2.
pub(crate) struct Writer {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Writer {
    /// Starts it, and returns when it is about to append.
    pub(crate) fn start(url: &str, appends: u64) -> Self {
        let mut child = tool("live_writer.py")
            .args(["--org", "2", "--appends", &appends.to_string()])
            .env("DATABASE_URL", url)
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start live_writer.py; scripts/setup installs its Python");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut writer = Self {
            child,
            output: BufReader::new(stdout),
        };
        assert_eq!(writer.line(), "ready", "live_writer.py did not start");
        writer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read a line");
        line.trim_end().to_owned()
    }

    /// Waits for its end; answers what became of its appends.
    pub(crate) fn end(mut self) -> Value {
        let line = self.line();
        let status = self.child.wait().expect("wait for live_writer.py");
        assert!(status.success(), "live_writer.py: {status}");
        serde_json::from_str(&line).expect("live_writer.py ends with a line of JSON")
    }
}

/// Verifies again and again until `write` has ended; fails if any verdict is not intact.
fn verify_during<T: Send>(url: &str, write: impl FnOnce() -> T + Send) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let written = write();
            done.store(true, Relaxed);
            written
        });
        let mut counts = Vec::new();
        for threads in ["2", "3", "4"].into_iter().cycle() {
            let mut command = program(url, KEY);
            command.args(["--format", "json", "--threads", threads]);
            let answer = run(command);
            assert_eq!(answer.code, Some(0), "{answer:?}");
            let document = answer.json();
            assert_eq!(document["verdict"], "intact", "{document}");
            counts.push(document["entries"].as_u64().expect("a count"));
            // A writer that panicked never says that it is done.
            if done.load(Relaxed) || writing.is_finished() {
                break;
            }
        }
        let written = writing.join().expect("the writer");
        // Each saw all that was committed when it started, and perhaps some more.
        assert!(counts.is_sorted(), "{counts:?}");
        assert!(
            counts
                .iter()
                .all(|n| (ENTRIES..=ENTRIES + APPENDS).contains(n))
        );
        written
    })
}

#[track_caller]
fn assert_whole(url: &str) {
    let whole = report(url, KEY, &[]);
    assert_eq!(whole["entries"], ENTRIES + APPENDS);
    assert_eq!(whole["verdict"], "intact", "{whole}");
}

#[track_caller]
fn journal_mode(path: &Path) -> String {
    let connection = Connection::open(path).expect("open");
    connection
        .query_row("PRAGMA journal_mode", (), |row| row.get(0))
        .expect("ask for the journal's mode")
}

#[test]
fn no_append_of_qweds_fails_on_sqlite() {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    generate(&path, ORGANIZATIONS, 1, ENTRIES);
    let url = sqlite_url(&path);
    let writer = Writer::start(&url, APPENDS);
    assert_eq!(journal_mode(&path), "delete");
    let outcome = verify_during(&url, || writer.end());
    assert_eq!(
        outcome,
        json!({"appended": APPENDS, "failed": 0, "errors": []})
    );
    assert_whole(&url);
    assert_eq!(journal_mode(&path), "delete");
}

#[test]
fn no_append_of_qweds_fails_on_postgresql() {
    let server = Postgres::start();
    server.create_database("qwed");
    let url = server.url("qwed");
    // Its own tables, with its own types and constraints.
    let outcome = Writer::start(&url, 0).end();
    assert_eq!(outcome["failed"], 0, "{outcome}");
    server.psql("qwed", "DELETE FROM organization");
    add_organizations(&server, "qwed", ORGANIZATIONS);
    server.psql(
        "qwed",
        &format!(
            "INSERT INTO \"user\" (id, email, password_hash, organization_id, role, is_active, created_at) \
             SELECT id, id || '@example.com', 'x', id / 100, 'member', true, now() \
             FROM generate_series(100, {ORGANIZATIONS}99) AS id"
        ),
    );
    let rows = copy_entries(
        &mut generator(ORGANIZATIONS, 1),
        ENTRIES as usize,
        |entry| Some(entry.id),
    );
    server.psql("qwed", &rows);
    server.psql(
        "qwed",
        "SELECT setval('verificationlog_id_seq', max(id)) FROM verificationlog",
    );

    let writer = Writer::start(&url, APPENDS);
    let outcome = verify_during(&url, || writer.end());
    assert_eq!(
        outcome,
        json!({"appended": APPENDS, "failed": 0, "errors": []})
    );
    assert_whole(&url);
}

/// Locks as QWED does through Python's sqlite3, without the time that QWED spends between its appends.
#[test]
fn no_append_of_a_writer_that_never_pauses_fails_on_sqlite() {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    let mut generator = generate(&path, ORGANIZATIONS, 1, ENTRIES);
    assert_eq!(journal_mode(&path), "delete");
    let url = sqlite_url(&path);
    let errors: Vec<String> = verify_during(&url, || {
        let mut connection = Connection::open(&path).expect("open");
        connection
            .busy_timeout(Duration::from_secs(5))
            .expect("set the timeout");
        (0..APPENDS)
            .filter_map(|_| append(&mut connection, &mut generator).err())
            .map(|error| error.to_string())
            .collect()
    });
    assert!(
        errors.is_empty(),
        "{} appends failed: {:?}",
        errors.len(),
        errors[0]
    );
    assert_whole(&url);
}

fn append(connection: &mut Connection, generator: &mut Generator) -> rusqlite::Result<()> {
    let entry = generator.next_entry();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&transaction, &entry)?;
    transaction.commit()
}

fn insert(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let text = |hex: &[u8; 64]| String::from_utf8_lossy(hex).into_owned();
    let chain = entry.chain.as_ref().expect("generated entries are signed");
    connection
        .prepare_cached(
            "INSERT INTO verificationlog VALUES (?1,?2,?3,?4,?5,1,'MATH',?6,?7,?8,?9,?10,?2,'8.0.0','ADMIT')",
        )?
        .execute((
            entry.id,
            entry.organization_id,
            entry.user_id,
            &entry.query,
            &entry.result,
            stored_text(entry.timestamp),
            text(&chain.entry_hash),
            text(&chain.hmac_signature),
            chain.previous_hash.as_ref().map(text),
            &entry.raw_llm_output,
        ))
        .map(|_| ())
}

//! Giant and deeply nested entries, memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use trailkeeper::{
    demo::generator::SqliteWriter,
    trail::{
        hash::{Hex, to_hex},
        keys::Key,
        payload::{Form, PayloadHasher},
        row::{Row, Value},
        time::{Time, stored_text},
    },
};

use crate::support::trails::{Answer, KEY, generate, open, program, sqlite_url};

const MB: u64 = 1_000_000;
/// Length of a giant result.
const GIANT: usize = 100_000_000;
/// Nesting far beyond what any recursion survives.
const DEPTH: usize = 100_000;
/// What the program may take for an entry of [`GIANT`] bytes, whatever it is made of: the row, its canonical form, and
/// what must be noted of its structure.
const GIANT_PEAK: u64 = 8 * GIANT as u64 + 200 * MB;
/// What it may take for any number of usual entries.
const USUAL_PEAK: u64 = 200 * MB;

/// A valid trail of three entries, of which the second has this result.
fn trail_around(path: &Path, result: &str) {
    SqliteWriter::create(path).expect("make the tables");
    let connection = open(path);
    connection
        .execute(
            "INSERT INTO organization VALUES (1, 'org1', 'Organisation 1', 'pro', 1, ?1)",
            [stored_text(0)],
        )
        .expect("add the organisation");
    let small = r#"{"status": "VERIFIED"}"#;
    let mut head = None;
    for (id, result) in [(1, small), (2, result), (3, small)] {
        head = Some(append(&connection, id, result, head));
    }
}

/// Signs and inserts an entry as QWED 8.0.0 does; answers its hash.
fn append(connection: &Connection, id: i64, result: &str, previous: Option<Hex>) -> Hex {
    let mut hasher = PayloadHasher::default();
    let row = Row {
        id,
        organization_id: Value::Integer(1),
        user_id: Value::Null,
        query: Value::Text(b"query"),
        result: Value::Text(result.as_bytes()),
        is_verified: Value::Integer(1),
        domain: Value::Text(b"MATH"),
        timestamp: Time::Micros(id),
        entry_hash: Value::Null,
        hmac_signature: Value::Null,
        previous_hash: previous
            .as_ref()
            .map_or(Value::Null, |hash| Value::Text(hash)),
        raw_llm_output: Value::Null,
        api_key_id: Value::Null,
        verifier_version: Value::Text(b"8.0.0"),
        admission: Value::Text(b"ADMIT"),
        erased: None,
    };
    // A result that is not JSON has no hash; any will do.
    let hash = hasher
        .load(&row)
        .and_then(|()| hasher.hash(&row, Form::ALL[0]))
        .map_or([b'0'; 64], |digest| to_hex(&digest));
    let signature = Key::new("default", KEY.as_bytes()).sign(&hash);
    let text = |hex: &Hex| String::from_utf8_lossy(hex).into_owned();
    connection
        .execute(
            "INSERT INTO verificationlog VALUES \
             (?1, 1, NULL, 'query', ?2, 1, 'MATH', ?3, ?4, ?5, ?6, NULL, NULL, '8.0.0', 'ADMIT')",
            (
                id,
                result,
                stored_text(id),
                text(&hash),
                text(&signature),
                previous.as_ref().map(text),
            ),
        )
        .expect("insert an entry");
    hash
}

/// Runs the program and watches its memory; answers the highest resident size in bytes as well.
pub(crate) fn run_watched(mut command: Command) -> (Answer, u64) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run trailkeeper");
    let mut peak = 0;
    // The document is short, so that the pipes cannot fill up meanwhile.
    while child.try_wait().expect("look at trailkeeper").is_none() {
        peak = peak.max(peak_of(&child));
        pause();
    }
    let output = child.wait_with_output().expect("read its output");
    assert!(
        peak > 0,
        "/proc tells no memory; Linux is needed to measure it"
    );
    (output.into(), peak)
}

/// The kernel keeps the highest value itself, so a look now and then misses little.
fn peak_of(child: &Child) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program's memory can only be polled"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Verifies a file, and fails if that takes more than `most` bytes of memory.
#[track_caller]
fn verify_within(path: &Path, most: u64) -> Answer {
    let mut command = program(&sqlite_url(path), KEY);
    command.args([
        "--format",
        "json",
        "--threads",
        "2",
        "--max-findings",
        "100",
    ]);
    let (answer, peak) = run_watched(command);
    assert!(answer.code.is_some(), "ended by a signal: {answer:?}");
    eprintln!("peak memory: {} MB", peak / MB);
    assert!(peak < most, "{} MB, more than {} MB", peak / MB, most / MB);
    answer
}

/// Fails unless an entry with this result is intact, within so much memory. Answers where it is.
#[track_caller]
fn assert_intact(result: &str, most: u64) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    trail_around(&path, result);
    let answer = verify_within(&path, most);
    let document = answer.json();
    assert_eq!(document["verdict"], "intact", "{document}");
    assert_eq!(document["entries"], 3);
    assert_eq!(answer.code, Some(0));
    (directory, path)
}

/// The same, and that it is found, within as much memory, when it has been tampered with.
#[track_caller]
fn assert_intact_and_guarded(result: &str, most: u64) {
    let (_directory, path) = assert_intact(result, most);
    open(&path)
        .execute(
            "UPDATE verificationlog SET \"query\" = 'x' WHERE id = 2",
            (),
        )
        .expect("tamper");
    let answer = verify_within(&path, most);
    let document = answer.json();
    assert_eq!(
        document["organizations"][0]["qwed"]["failed_entries"],
        serde_json::json!([2])
    );
    assert_eq!(
        document["organizations"][0]["findings"][0]["kind"],
        "content_changed"
    );
    assert_eq!(answer.code, Some(1));
}

#[track_caller]
fn assert_malformed(result: &str, most: u64) {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    trail_around(&path, result);
    let answer = verify_within(&path, most);
    let document = answer.json();
    assert_eq!(
        document["organizations"][0]["findings"][0]["kind"],
        "result_malformed"
    );
    assert_eq!(answer.code, Some(1));
}

#[test]
fn deep_nesting_costs_neither_stack_nor_memory() {
    let nested =
        |open: &str, close: &str| format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
    for result in [
        nested("[", "]"),
        nested("{\"a\": ", "}"),
        nested("{\"b\": 0, \"a\": ", "}"),
        nested("[{\"a\":[ ", "]}]"),
        nested("{\"a\":0,\"a\":", "}"),
    ] {
        assert_intact_and_guarded(&result, USUAL_PEAK);
    }
}

#[test]
fn deep_nesting_that_never_closes_is_malformed() {
    for open in ["[", "{\"a\": ", "[{\"b\":1,\"a\":"] {
        assert_malformed(&open.repeat(DEPTH), USUAL_PEAK);
        assert_malformed(
            &open.repeat(20 * DEPTH),
            USUAL_PEAK + 40 * open.len() as u64 * MB,
        );
    }
}

#[test]
fn a_giant_result_of_ascii() {
    assert_intact_and_guarded(&format!("\"{}\"", "x".repeat(GIANT)), GIANT_PEAK);
}

#[test]
fn a_giant_result_of_other_scripts() {
    let piece = "é東😀";
    assert_intact(
        &format!(
            "{{\"b\":1,\"a\":\"{}\"}}",
            piece.repeat(GIANT / piece.len())
        ),
        GIANT_PEAK,
    );
}

#[test]
fn a_giant_result_of_numbers() {
    // Not as CPython writes them, so that all of it has to be written anew.
    let piece = "1.50,-0.1,1E5,12,";
    assert_intact(
        &format!("[{}0]", piece.repeat(GIANT / piece.len())),
        GIANT_PEAK,
    );
}

#[test]
fn two_hundred_thousand_entries_take_no_more_memory_than_a_few() {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    generate(&path, 3, 1, 200_000);
    let answer = verify_within(&path, USUAL_PEAK);
    let document = answer.json();
    assert_eq!(document["verdict"], "intact", "{document}");
    assert_eq!(document["entries"], 200_000);
    // Half of the links broken, and one entry in five changed: what is found is bounded as well.
    open(&path)
        .execute_batch(
            "DELETE FROM verificationlog WHERE id % 2 = 0; \
             UPDATE verificationlog SET domain = 'SQL' WHERE id % 5 = 0",
        )
        .expect("tamper");
    let document = verify_within(&path, USUAL_PEAK).json();
    assert_eq!(document["verdict"], "tampered");
    assert_eq!(document["entries"], 100_000);
    for organization in document["organizations"].as_array().expect("organisations") {
        assert_eq!(organization["findings"].as_array().map(Vec::len), Some(100));
    }
}

//! What must hold for any trail.

use std::path::Path;

use rusqlite::{Connection, types::Value};
use trailkeeper::{
    qwed::Period,
    trail::finding::Verdict,
    verify::{Options, Scope, report::Report},
};

use crate::support::{
    tools,
    trails::{self, FIXTURE_KEY, KEY, fixture, fixtures, generate, open, verify_file},
};

/// Everything that is hashed, signed or chained; `id` alone is not, though order hangs on it.
const COVERED: [&str; 14] = [
    "organization_id",
    "user_id",
    "query",
    "result",
    "is_verified",
    "domain",
    "timestamp",
    "entry_hash",
    "hmac_signature",
    "previous_hash",
    "raw_llm_output",
    "api_key_id",
    "verifier_version",
    "admission",
];

/// One reader, and pages so small that the trail is cut in many places.
const SMALL: Options = Options {
    threads: 1,
    max_findings: 1000,
    range_ids: 64,
    anchored: None,
};

fn verdict(path: &Path, secret: &str) -> Verdict {
    verify_file(path, secret, &Scope::default(), &SMALL)
        .expect("verify")
        .verdict
}

/// A trail that may be tampered with, and is as it was afterwards.
struct Victim {
    path: std::path::PathBuf,
    secret: &'static str,
    connection: Connection,
    _directory: tempfile::TempDir,
}

impl Victim {
    fn generated(organizations: i64, seed: u64, entries: u64) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        generate(&path, organizations, seed, entries);
        Self::new(directory, path, KEY)
    }

    fn of_fixture(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        std::fs::copy(fixture(name), &path).expect("copy the fixture");
        Self::new(directory, path, FIXTURE_KEY)
    }

    fn new(directory: tempfile::TempDir, path: std::path::PathBuf, secret: &'static str) -> Self {
        let connection = open(&path);
        let victim = Self {
            path,
            secret,
            connection,
            _directory: directory,
        };
        assert_eq!(verdict(&victim.path, secret), Verdict::Intact);
        victim
    }

    fn ids(&self, sql: &str) -> Vec<i64> {
        let mut statement = self.connection.prepare(sql).expect("prepare");
        statement
            .query_map((), |row| row.get(0))
            .expect("query")
            .collect::<Result<_, _>>()
            .expect("read ids")
    }

    fn columns(&self) -> Vec<String> {
        let mut statement = self
            .connection
            .prepare("SELECT name FROM pragma_table_info('verificationlog')")
            .expect("prepare");
        statement
            .query_map((), |row| row.get(0))
            .expect("query")
            .collect::<Result<_, _>>()
            .expect("read columns")
    }

    fn value(&self, column: &str, id: i64) -> Value {
        self.connection
            .query_row(
                &format!("SELECT \"{column}\" FROM verificationlog WHERE id = ?1"),
                [id],
                |row| row.get(0),
            )
            .expect("read a value")
    }

    /// Sets a column of a row without a look at types: text may become what is not UTF-8.
    fn set(&self, column: &str, id: i64, value: &Value) {
        let changed = match value {
            Value::Text(text) => self.connection.execute(
                &format!("UPDATE verificationlog SET \"{column}\" = ?1 WHERE id = ?2"),
                (text, id),
            ),
            other => self.connection.execute(
                &format!("UPDATE verificationlog SET \"{column}\" = ?1 WHERE id = ?2"),
                (other, id),
            ),
        };
        assert_eq!(changed.expect("change a value"), 1);
    }

    /// As [`Self::set`], with bytes that may not be UTF-8 for text.
    fn set_text(&self, column: &str, id: i64, bytes: &[u8]) {
        let sql =
            format!("UPDATE verificationlog SET \"{column}\" = CAST(?1 AS TEXT) WHERE id = ?2");
        let changed = self.connection.execute(&sql, (bytes, id));
        assert_eq!(changed.expect("change a value"), 1);
    }

    fn change(&self, sql: &str) {
        self.connection
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    #[track_caller]
    fn assert_found(&self, what: impl FnOnce() -> String) {
        let verdict = verdict(&self.path, self.secret);
        assert_eq!(verdict, Verdict::Tampered, "not found: {}", what());
    }

    /// Flips a bit of every byte of every covered column of these rows, one after the other.
    fn flip_every_byte(&self, ids: &[i64], rng: &mut fastrand::Rng) -> u64 {
        let present = self.columns();
        let mut flips = 0;
        for &id in ids {
            for column in COVERED.iter().filter(|c| present.iter().any(|p| p == *c)) {
                let before = self.value(column, id);
                match &before {
                    Value::Text(text) => {
                        for at in 0..text.len() {
                            // Any bit: what is no longer UTF-8 or no longer JSON has to be found as well.
                            let bit = rng.u32(..8);
                            let mut bytes = text.clone().into_bytes();
                            bytes[at] ^= 1 << bit;
                            if *column == "result" && means_the_same(text.as_bytes(), &bytes) {
                                continue;
                            }
                            self.set_text(column, id, &bytes);
                            self.assert_found(|| {
                                format!("bit {bit} of byte {at} of {column} of entry {id}")
                            });
                            flips += 1;
                        }
                    }
                    Value::Integer(number) => {
                        for byte in 0..8 {
                            let bit = byte * 8 + rng.u32(..8);
                            self.set(column, id, &Value::Integer(number ^ (1 << bit)));
                            self.assert_found(|| format!("bit {bit} of {column} of entry {id}"));
                            flips += 1;
                        }
                    }
                    Value::Null => {
                        for value in [Value::Text(String::new()), Value::Integer(0)] {
                            self.set(column, id, &value);
                            self.assert_found(|| {
                                format!("{column} of entry {id}: {value:?} for NULL")
                            });
                            flips += 1;
                        }
                    }
                    other => panic!("{column} of entry {id} holds {other:?}"),
                }
                self.set(column, id, &before);
            }
        }
        assert_eq!(
            verdict(&self.path, self.secret),
            Verdict::Intact,
            "restored"
        );
        flips
    }
}

/// Whether two results decode to the same value: an upper-case letter in an escape and a tab for a space are other
/// bytes, and nothing that QWED hashes.
fn means_the_same(left: &[u8], right: &[u8]) -> bool {
    use trailkeeper::trail::json::canonical;
    matches!((canonical(left), canonical(right)), (Ok(left), Ok(right)) if left == right)
}

#[test]
fn any_flipped_byte_of_a_generated_trail_is_found() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    let victim = Victim::generated(2, rng.u64(..), 12);
    let mut ids = victim.ids("SELECT id FROM verificationlog ORDER BY id");
    // The first and the last of a trail have no neighbour on one side.
    let mut rows = vec![ids.remove(0), ids.pop().expect("twelve entries")];
    rng.shuffle(&mut ids);
    rows.extend(&ids[..3]);
    let flips = victim.flip_every_byte(&rows, &mut rng);
    assert!(flips > 4_000, "only {flips} bytes were flipped");
}

#[test]
fn any_flipped_byte_of_a_trail_of_an_older_release_is_found() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    for name in ["g2_two_orgs", "g3_two_orgs", "g4_two_orgs", "g4_admission"] {
        let victim = Victim::of_fixture(name);
        let mut ids = victim.ids("SELECT id FROM verificationlog ORDER BY id");
        rng.shuffle(&mut ids);
        let flips = victim.flip_every_byte(&ids[..3], &mut rng);
        assert!(flips > 800, "{name}: only {flips} bytes were flipped");
    }
}

#[test]
fn deleting_any_entry_but_an_organisations_newest_is_found() {
    let victim = Victim::generated(3, tools::seed(), 200);
    let ids = victim.ids(
        "SELECT id FROM verificationlog WHERE id NOT IN \
         (SELECT max(id) FROM verificationlog GROUP BY organization_id)",
    );
    assert_eq!(ids.len(), 197);
    victim.change("CREATE TEMP TABLE kept AS SELECT * FROM verificationlog WHERE 0");
    for id in ids {
        victim.change(&format!(
            "INSERT INTO kept SELECT * FROM verificationlog WHERE id = {id}; \
             DELETE FROM verificationlog WHERE id = {id}"
        ));
        victim.assert_found(|| format!("entry {id} was deleted"));
        victim.change("INSERT INTO verificationlog SELECT * FROM kept; DELETE FROM kept");
    }
    assert_eq!(verdict(&victim.path, KEY), Verdict::Intact);
}

#[test]
fn deleting_any_stretch_but_an_end_is_found() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    let victim = Victim::generated(1, rng.u64(..), 100);
    victim.change("CREATE TEMP TABLE kept AS SELECT * FROM verificationlog");
    for _ in 0..200 {
        let low = rng.i64(1..100);
        let high = rng.i64(low..100);
        victim.change(&format!(
            "DELETE FROM verificationlog WHERE id BETWEEN {low} AND {high}"
        ));
        victim.assert_found(|| format!("entries {low} to {high} were deleted"));
        victim.change(&format!(
            "INSERT INTO verificationlog SELECT * FROM kept WHERE id BETWEEN {low} AND {high}"
        ));
    }
}

#[test]
fn a_copy_of_any_entry_is_found() {
    let victim = Victim::generated(2, tools::seed(), 60);
    // Ids become even, so that a copy can stand anywhere.
    victim.change("UPDATE verificationlog SET id = -id * 2; UPDATE verificationlog SET id = -id");
    assert_eq!(verdict(&victim.path, KEY), Verdict::Intact);
    let columns: Vec<String> = victim.columns().into_iter().filter(|c| c != "id").collect();
    let columns = format!("\"{}\"", columns.join("\",\""));
    for id in victim.ids("SELECT id FROM verificationlog ORDER BY id") {
        for place in [id - 1, id + 1, 1, 121, 1_000_000_000_000, -7] {
            victim.change(&format!(
                "INSERT INTO verificationlog (id, {columns}) \
                 SELECT {place}, {columns} FROM verificationlog WHERE id = {id}"
            ));
            victim.assert_found(|| format!("a copy of entry {id} stands at {place}"));
            victim.change(&format!("DELETE FROM verificationlog WHERE id = {place}"));
        }
    }
    assert_eq!(verdict(&victim.path, KEY), Verdict::Intact);
}

#[test]
fn swapping_any_two_entries_of_an_organisation_is_found() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    let victim = Victim::generated(2, rng.u64(..), 60);
    let ids = victim.ids("SELECT id FROM verificationlog WHERE organization_id = 1 ORDER BY id");
    let mut pairs: Vec<(i64, i64)> = ids.windows(2).map(|pair| (pair[0], pair[1])).collect();
    for _ in 0..200 {
        let (left, right) = (rng.usize(..ids.len()), rng.usize(..ids.len()));
        if left != right {
            pairs.push((ids[left], ids[right]));
        }
    }
    let swap = |left: i64, right: i64| {
        victim.change(&format!(
            "UPDATE verificationlog SET id = -1 WHERE id = {left}; \
             UPDATE verificationlog SET id = {left} WHERE id = {right}; \
             UPDATE verificationlog SET id = {right} WHERE id = -1"
        ));
    };
    for (left, right) in pairs {
        swap(left, right);
        victim.assert_found(|| format!("entries {left} and {right} changed places"));
        swap(left, right);
    }
    assert_eq!(verdict(&victim.path, KEY), Verdict::Intact);
}

#[test]
fn exchanging_the_same_column_of_two_entries_is_found() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    let victim = Victim::generated(1, rng.u64(..), 40);
    let mut found = 0;
    for _ in 0..200 {
        let (left, right) = (rng.i64(1..41), rng.i64(1..41));
        for column in COVERED {
            let (a, b) = (victim.value(column, left), victim.value(column, right));
            if a == b {
                continue;
            }
            victim.set(column, left, &b);
            victim.set(column, right, &a);
            victim.assert_found(|| format!("{column} of entries {left} and {right} exchanged"));
            victim.set(column, left, &a);
            victim.set(column, right, &b);
            found += 1;
        }
    }
    assert!(found > 1_000, "only {found} columns were exchanged");
}

/// The report without its times, as text that shows where two differ.
fn told(path: &Path, secret: &str, scope: &Scope, options: Options) -> String {
    let report: Report = verify_file(path, secret, scope, &options).expect("verify");
    // In process nothing sets the times.
    serde_json::to_string_pretty(&report).expect("a report is JSON")
}

/// The lines in which two texts differ.
fn difference(expected: &str, found: &str) -> String {
    let (mut expected, mut found): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), found.lines().collect());
    while !expected.is_empty() && expected.last() == found.last() {
        expected.pop();
        found.pop();
    }
    let same = expected
        .iter()
        .zip(&found)
        .take_while(|(a, b)| a == b)
        .count();
    format!(
        "- {}\n+ {}",
        expected[same..].join("\n- "),
        found[same..].join("\n+ ")
    )
}

/// Fails if any way of dividing the work changes a word of the report.
fn assert_independent(what: &str, path: &Path, secret: &str, scope: &Scope, findings: usize) {
    let options = |threads, range_ids| Options {
        threads,
        max_findings: findings,
        range_ids,
        anchored: None,
    };
    let expected = told(
        path,
        secret,
        scope,
        options(1, Options::default().range_ids),
    );
    for threads in [1, 2, 3, 8] {
        for range_ids in [1, 2, 7, 1000, Options::default().range_ids] {
            let found = told(path, secret, scope, options(threads, range_ids));
            assert!(
                found == expected,
                "{what}, at most {findings} findings: {threads} threads and ranges of {range_ids} ids tell otherwise:\n{}",
                difference(&expected, &found)
            );
        }
    }
}

#[test]
fn the_report_on_a_fixture_does_not_depend_on_how_the_work_is_divided() {
    for name in fixtures() {
        let path = fixture(&name);
        for findings in [1000, 3] {
            let scope = Scope::default();
            assert_independent(&name, &path, FIXTURE_KEY, &scope, findings);
        }
        let scope = Scope {
            organizations: vec![1],
            ..Scope::default()
        };
        assert_independent(&name, &path, FIXTURE_KEY, &scope, 1000);
    }
}

#[test]
fn the_report_on_a_tampered_trail_does_not_depend_on_how_the_work_is_divided() {
    let seed = tools::seed();
    for round in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(round));
        let victim = Victim::generated(4, rng.u64(..), 400);
        tamper(&victim, &mut rng);
        let what = format!("round {round} of TRAILKEEPER_SEED={seed}");
        for findings in [1000, 2] {
            assert_independent(&what, &victim.path, KEY, &Scope::default(), findings);
        }
        let scope = Scope {
            organizations: vec![3, 1],
            ..Scope::default()
        };
        assert_independent(&what, &victim.path, KEY, &scope, 1000);
        let scope = Scope {
            organizations: vec![],
            period: period_of(&victim, 100, 300),
        };
        assert_independent(&what, &victim.path, KEY, &scope, 1000);
    }
}

/// Two entries blanked, each of which breaks the link of the one behind it: the second is beyond the limit.
#[test]
fn what_lies_beyond_the_limit_is_counted_alike_however_the_work_is_divided() {
    let victim = Victim::generated(1, 1, 12);
    victim.change("UPDATE verificationlog SET entry_hash = NULL WHERE id IN (3, 7)");
    for findings in [1000, 3, 2, 1] {
        let what = "entries 3 and 7 of 12 blanked";
        assert_independent(what, &victim.path, KEY, &Scope::default(), findings);
    }
}

/// A handful of all that can be done to a trail, in random places.
fn tamper(victim: &Victim, rng: &mut fastrand::Rng) {
    for _ in 0..rng.u32(3..12) {
        let id = rng.i64(2..400);
        let other = rng.i64(2..400);
        match rng.u32(..8) {
            0 => victim.change(&format!(
                "DELETE FROM verificationlog WHERE id BETWEEN {id} AND {id} + 3"
            )),
            1 => victim.change(&format!(
                "UPDATE verificationlog SET \"query\" = 'x' WHERE id = {id}"
            )),
            2 => victim.change(&format!(
                "UPDATE verificationlog SET entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL \
                 WHERE id BETWEEN {id} AND {id} + 5"
            )),
            3 => victim.change(&format!(
                "UPDATE verificationlog SET hmac_signature = NULL WHERE id BETWEEN {id} AND {id} + 9"
            )),
            4 => victim.change(&format!(
                "UPDATE verificationlog SET organization_id = 2 WHERE id = {id}"
            )),
            5 => victim.change(&format!(
                "UPDATE verificationlog SET result = '{{' WHERE id = {id}"
            )),
            6 => victim.change(&format!(
                "UPDATE verificationlog SET previous_hash = (SELECT entry_hash FROM verificationlog WHERE id = {other}) \
                 WHERE id = {id}"
            )),
            _ if id != other => victim.change(&format!(
                "UPDATE verificationlog SET id = -1 WHERE id = {id}; \
                 UPDATE verificationlog SET id = {id} WHERE id = {other}; \
                 UPDATE verificationlog SET id = {other} WHERE id = -1"
            )),
            _ => {}
        }
    }
}

/// The period from one entry's time to another's, wherever tampering moved them.
fn period_of(victim: &Victim, low: i64, high: i64) -> Period {
    let time = |id: i64, order: &str| {
        let text: String = victim
            .connection
            .query_row(
                &format!(
                    "SELECT timestamp FROM verificationlog WHERE id >= {id} ORDER BY id {order} LIMIT 1"
                ),
                (),
                |row| row.get(0),
            )
            .expect("read a time");
        trailkeeper::trail::time::Time::Text(text.as_bytes())
            .micros()
            .expect("a time")
    };
    let (from, to) = (time(low, "ASC"), time(high, "ASC"));
    Period {
        from: Some(from.min(to)),
        to: Some(from.max(to)),
    }
}

#[test]
fn an_intact_trail_is_intact_however_it_is_cut() {
    let mut rng = fastrand::Rng::with_seed(tools::seed());
    for entries in [1, 2, 3, 17, 1001] {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        generate(&path, 5, rng.u64(..), entries);
        assert_independent(
            &format!("{entries} entries"),
            &path,
            KEY,
            &Scope::default(),
            1000,
        );
        let report = verify_file(&path, KEY, &Scope::default(), &SMALL).expect("verify");
        assert_eq!(report.verdict, Verdict::Intact);
        assert_eq!(report.entries, entries);
        assert!(report.organizations.iter().all(|o| o.findings_total == 0));
    }
    // The wrong key proves nothing.
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("qwed.db");
    generate(&path, 1, rng.u64(..), 10);
    let wrong = "another-key-0123456789abcdef-0123456789abcdef";
    assert_eq!(
        trails::verify_file(&path, wrong, &Scope::default(), &SMALL)
            .expect("verify")
            .verdict,
        Verdict::Tampered
    );
}

//! The commands, as an operator runs them, and what becomes of one that is killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use trailkeeper::{checkpoint::note::SecretKey, private};

use crate::support::{
    program::Program,
    store::block_on,
    trails::{self, FIXTURE_KEY, KEY, fixture, sqlite_url},
};

/// A configuration for a copy of a trail.
struct Desk {
    directory: tempfile::TempDir,
    key: &'static str,
}

impl Desk {
    fn new(key: &'static str, make: impl FnOnce(&std::path::Path)) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("qwed.db");
        make(&path);
        let text = format!(
            "data_dir = {:?}\n[qwed]\ndatabase_url = {:?}\n",
            directory.path().display().to_string(),
            sqlite_url(&path)
        );
        std::fs::write(directory.path().join("t.toml"), text).expect("write");
        let anchor = SecretKey::from_seed("trailkeeper", &[7; 32]).expect("a key");
        let place = directory.path().join("anchor.key");
        private::create_file(&place, anchor.to_text().as_bytes()).expect("keep the key");
        Self { directory, key }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", self.key)
            .args(arguments)
            .arg("--config")
            .arg(self.directory.path().join("t.toml"))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let (run, document) = self.program(arguments).json();
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        document
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(arguments).into_command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

#[test]
fn an_operator_erases_somebody_without_a_worker() {
    let desk = Desk::new(FIXTURE_KEY, |path| {
        std::fs::copy(fixture("g4_two_orgs"), path).expect("copy");
    });
    let asked = desk.json(&[
        "erase",
        "request",
        "--org",
        "1",
        "--email",
        "u12@example.com",
        "--reference",
        "T-1",
    ]);
    assert_eq!(
        (&asked["outcome"], &asked["request"]["state"]),
        (&"new".into(), &"awaiting_approval".into())
    );
    let id = asked["request"]["id"].as_str().expect("an id").to_owned();
    let text = desk.program(&["erase", "plan", &id]).run();
    assert_eq!(text.code, Some(0), "{text:?}");
    for part in [
        "awaiting_approval",
        "verificationlog: 9 rows anonymised",
        "user: 1 row deleted",
        "erase approve",
    ] {
        assert!(text.stdout.contains(part), "no {part:?} in {}", text.stdout);
    }
    let early = desk.program(&["erase", "certificate", &id]).run();
    assert_eq!(
        (early.code, early.stdout.as_str()),
        (Some(1), ""),
        "{early:?}"
    );
    let wrong = desk
        .program(&["erase", "approve", &id, "--plan", "000000000000"])
        .run();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let digest = asked["request"]["plan_digest"].as_str().expect("a digest");
    desk.json(&["erase", "approve", &id, "--plan", &digest[..12]]);
    let done = desk.json(&["erase", "execute", &id]);
    assert_eq!(done["state"], "completed", "{done}");
    let certificate = desk.program(&["erase", "certificate", &id]).run();
    assert!(
        certificate
            .stdout
            .contains("trailkeeper erasure certificate 1"),
        "{certificate:?}"
    );
    let again = desk.json(&["erase", "request", "--org", "1", "--user", "12"]);
    assert_eq!(
        (&again["outcome"], &again["request"]["id"]),
        (&"done".into(), &id.as_str().into())
    );
    let (refused, document) = desk
        .program(&["erase", "request", "--org", "2", "--user", "12"])
        .json();
    assert_eq!(
        (refused.code, &document["reason"]),
        (Some(1), &"unknown_subject".into())
    );
    let list = desk.program(&["erase", "list"]).run();
    assert!(
        list.stdout.contains(&id) && list.stdout.contains("completed"),
        "{list:?}"
    );
    let verified = desk.program(&["verify"]).run();
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(
        verified.stdout.contains("(9 erased)"),
        "{}",
        verified.stdout
    );
    // Without the tombstones nobody can tell, and the finding says what to do.
    let alone = desk.program(&["verify", "--anchors", "none"]).run();
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(
        alone.stdout.contains("no tombstone vouches"),
        "{}",
        alone.stdout
    );
    let unknown = desk.program(&["erase", "status", "nothing"]).run();
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

/// Killed at any moment, again and again, it comes to the same end.
#[test]
fn a_command_that_is_killed_is_gone_on_with() {
    let desk = Desk::new(KEY, |path| {
        trails::generate(path, 1, 11, 12_000);
        let url = sqlite_url(path).parse().expect("a URL");
        let sql = block_on(async move {
            let entry = move || crate::support::appended::nobodys_entry(&url, 1, KEY);
            tokio::task::spawn_blocking(entry).await.expect("no panic")
        });
        trails::open(path).execute_batch(&sql).expect("append");
    });
    let asked = desk.json(&[
        "erase",
        "request",
        "--org",
        "1",
        "--user",
        "103",
        "--allow-only-owner",
        "--policy",
        r#"{"entries": "delete"}"#,
    ]);
    let id = asked["request"]["id"].as_str().expect("an id").to_owned();
    let entries = asked["request"]["plan"]["entries"]["rows"]
        .as_u64()
        .expect("a number");
    assert!(entries > 200, "{entries}");
    let digest = asked["request"]["plan_digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    desk.json(&["erase", "approve", &id, "--plan", &digest]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut kills = 0;
    for round in 0..60_u64 {
        let mut child = desk
            .command(&["erase", "execute", &id])
            .spawn()
            .expect("start");
        // Longer each time, so that it comes to an end.
        let patience = Duration::from_millis(random.u64(5..40 + 25 * round));
        let ended = wait(&mut child, patience);
        if ended {
            break;
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        kills += 1;
    }
    assert!(kills > 2, "{kills}");
    let done = desk.json(&["erase", "execute", &id]);
    assert_eq!(done["state"], "completed", "{done}");
    let (run, report) = desk.program(&["verify"]).json();
    assert_eq!(
        (run.code, &report["verdict"]),
        (Some(0), &"intact".into()),
        "{report}"
    );
    assert_eq!(report["organizations"][0]["erased"]["deleted"], entries);
    let ledger = desk.json(&["ledger", "verify"]);
    assert_eq!(ledger["findings"], serde_json::json!([]));
}

fn wait(child: &mut std::process::Child, patience: Duration) -> bool {
    let deadline = std::time::Instant::now() + patience;
    while std::time::Instant::now() < deadline {
        if child.try_wait().expect("look").is_some() {
            return true;
        }
        crate::support::worker::pause(2);
    }
    false
}

/// With anchors that were made before and after: rows without hash and rows that are gone are covered as they were.
#[test]
fn what_was_anchored_is_still_vouched_for() {
    for (name, policy) in [
        ("upgraded", "{}"),
        ("upgraded", r#"{"entries": "delete"}"#),
        ("g1_two_orgs", r#"{"entries": "delete"}"#),
        ("g2_two_orgs", r#"{"entries": "delete"}"#),
        ("weird_results", "{}"),
    ] {
        let desk = Desk::new(FIXTURE_KEY, |path| {
            std::fs::copy(fixture(name), path).expect("copy");
        });
        desk.json(&["anchor", "create"]);
        for user in ["10", "12"] {
            let asked = desk.json(&[
                "erase",
                "request",
                "--org",
                "1",
                "--user",
                user,
                "--allow-only-owner",
                "--allow-large",
                "--policy",
                policy,
            ]);
            let id = asked["request"]["id"].as_str().expect("an id").to_owned();
            let digest = asked["request"]["plan_digest"]
                .as_str()
                .expect("a digest")
                .to_owned();
            desk.json(&["erase", "approve", &id, "--plan", &digest]);
            desk.json(&["erase", "execute", &id]);
        }
        for arguments in [
            &["verify"][..],
            &["verify", "--since-anchor"],
            &["verify", "--org", "1"],
        ] {
            let (run, report) = desk.program(arguments).json();
            assert_eq!(
                (run.code, &report["verdict"]),
                (Some(0), &"intact".into()),
                "{name}: {report}"
            );
        }
        let (_, report) = desk.program(&["verify"]).json();
        assert_eq!(
            report["organizations"][0]["anchor"]["is_extended"], true,
            "{name}: {report}"
        );
        desk.json(&["anchor", "create"]);
        let (run, report) = desk.program(&["verify"]).json();
        assert_eq!(
            (run.code, &report["verdict"]),
            (Some(0), &"intact".into()),
            "{name}: {report}"
        );
    }
}

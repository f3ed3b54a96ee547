//! Queueing jobs and waiting for them.

use std::io::Write as _;
use std::process::{Child, Stdio};

use serde_json::json;
use trailkeeper::state::jobs::{Ending, State};

use super::{all, claim, death, document, end, masked, program, refusal, success, text};
use crate::support::{
    program::{Program, Run},
    store::{TestStore, block_on},
};

#[test]
fn a_command_that_is_repeated_changes_nothing() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let request = [
            "enqueue",
            "probe",
            "--payload",
            r#"{"name":"a"}"#,
            "--id",
            "m-1",
        ];
        let first = document(&test, &request);
        assert_eq!(first["new"], true);
        let id = first["id"].as_str().expect("an id");
        let second = text(&test, &request);
        assert_eq!(
            second,
            format!("nothing new: probe {id} stands for it (queued)\n")
        );
        let claimed = claim(&test.store).await;
        end(&test.store, &claimed, success()).await;
        let third = document(&test, &request);
        assert_eq!((&third["new"], &third["id"]), (&json!(false), &first["id"]));
        assert_eq!(third["job"]["state"], "succeeded");
        assert_eq!(all(&test.store).await, [State::Succeeded]);
        // The same name for something else is a mistake.
        let error = refusal(&test, &["enqueue", "probe", "--id", "m-1"]);
        assert!(error.contains("used before for another job"), "{error}");
        // Another name is another job.
        document(
            &test,
            &[
                "enqueue",
                "probe",
                "--payload",
                r#"{"name":"a"}"#,
                "--id",
                "m-2",
            ],
        );
        assert_eq!(all(&test.store).await.len(), 2);
    });
}

#[test]
fn a_job_is_queued_as_asked() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let file = test.directory.path().join("payload.json");
        std::fs::write(&file, r#"{"name": "from a file"}"#).expect("write a payload");
        let at = format!("@{}", file.display());
        let queued = document(
            &test,
            &[
                "enqueue",
                "probe",
                "--payload",
                &at,
                "--priority",
                "-7",
                "--delay",
                "3600",
            ],
        );
        let job = &queued["job"];
        assert_eq!(job["payload"], json!({"name": "from a file"}));
        assert_eq!(job["priority"], -7);
        let shown = text(&test, &["jobs", "show", job["id"].as_str().expect("an id")]);
        assert!(shown.contains("(in 59 min)"), "{shown}");
        let mut child = program(&test, &["enqueue", "probe", "--payload", "@-"])
            .into_command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(br#"{"name": "piped"}"#).expect("write");
        drop(stdin);
        let run = Run::from(child.wait_with_output().expect("wait"));
        assert!(run.stdout.starts_with("queued probe "), "{run:?}");
        assert_eq!(claim(&test.store).await.payload, json!({"name": "piped"}));
    });
}

#[test]
fn what_does_not_fit_is_refused_in_one_line() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let missing = "@/nowhere/payload.json";
        let errors = [
            &["enqueue", "prob"][..],
            &[
                "enqueue",
                "probe",
                "--payload",
                r#"{"nmae": "x", "sleep_ms": "long"}"#,
            ],
            &["enqueue", "probe", "--payload", "{"],
            // A job that PostgreSQL could not do, however often it is tried.
            &["enqueue", "probe", "--payload", r#"{"name": "a\u0000b"}"#],
            &["enqueue", "probe", "--payload", missing],
            &["jobs", "show", "ffffffff"],
            &["jobs", "retry", "ab"],
            &["schema", "prob"],
        ]
        .map(|arguments| refusal(&test, arguments));
        insta::assert_snapshot!("refusals", errors.join("\n"));
        let too_large = format!(r#"{{"name":"{}"}}"#, "x".repeat(2000));
        let run = program(&test, &["enqueue", "probe", "--payload", &too_large])
            .env("TRAILKEEPER__AMQP__MAX_BODY_BYTES", "1024")
            .run();
        let (code, line) = run.failure();
        assert_eq!(code, Some(2));
        assert!(line.contains("more than 1024 bytes"), "{line}");
        assert!(all(&test.store).await.is_empty());
        // Before the database is asked for anything.
        let run = Program::bare()
            .env(
                "TRAILKEEPER__STATE__URL",
                "postgresql://t:hunter2@127.0.0.1:1/x",
            )
            .args(["enqueue", "prob"])
            .run();
        assert_eq!(run.failure().0, Some(2));
    });
}

fn waiting(test: &TestStore, format: &str) -> Child {
    program(test, &["enqueue", "probe", "--wait", "--format", format])
        .into_command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start")
}

fn ended(child: Child) -> Run {
    Run::from(child.wait_with_output().expect("wait"))
}

#[test]
fn a_wait_ends_as_the_job_does() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let child = waiting(&test, "text");
        let claimed = claim(store).await;
        end(store, &claimed, success()).await;
        let run = ended(child);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        insta::assert_snapshot!("waited", masked(&run.stdout, &[&claimed.id]));
        let child = waiting(&test, "json");
        let claimed = claim(store).await;
        end(store, &claimed, death("out of luck")).await;
        let run = ended(child);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(run.json()["job"]["error"], "out of luck");
        let child = waiting(&test, "text");
        let claimed = claim(store).await;
        end(store, &claimed, Ending::Cancelled).await;
        let run = ended(child);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stdout.ends_with("\ncancelled\n"), "{run:?}");
        let child = waiting(&test, "text");
        let claimed = claim(store).await;
        test.execute("DELETE FROM job").await;
        let run = ended(child);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stderr.contains(&claimed.id), "{run:?}");
    });
}

#[test]
fn whoever_stops_waiting_does_not_stop_the_job() {
    block_on(async {
        let test = TestStore::sqlite().await;
        for signal in ["INT", "TERM"] {
            let child = waiting(&test, "text");
            // Signals are caught before the job is queued.
            let claimed = claim(&test.store).await;
            let sent = std::process::Command::new("sh")
                .args(["-c", &format!("kill -{signal} {}", child.id())])
                .status();
            assert!(sent.expect("send the signal").success());
            let run = ended(child);
            assert_eq!(run.code, Some(130), "{run:?}");
            let hint = format!("the job goes on: trailkeeper jobs show {}\n", claimed.id);
            assert!(run.stderr.ends_with(&hint), "{run:?}");
            let job = test.store.job(&claimed.id).await.expect("read");
            let job = job.expect("it is there");
            assert_eq!((job.state, job.cancel_requested), (State::Running, false));
        }
    });
}

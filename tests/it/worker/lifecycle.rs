//! Starting, stopping, and what the worker says of itself.

use serde_json::{Value, json};
use trailkeeper::state::jobs::State;

use super::{Scene, probe};
use crate::support::{
    program::Program,
    store::block_on,
    worker::{Worker, until},
};

#[test]
fn it_says_that_it_lives_is_ready_and_what_it_does() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let worker = Worker::start(&scene.setting, "worker");
        assert_eq!(worker.get("/livez"), Some((200, "ok\n".to_owned())));
        let (status, body) = worker.get("/readyz").expect("an answer");
        let ready: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        assert_eq!(
            ready,
            json!({"ready": true, "checks": {"shutdown": "ok", "state": "ok"}})
        );
        assert_eq!(worker.get("/nothing").map(|(status, _)| status), Some(404));

        scene
            .store()
            .enqueue(&[probe(json!({}))])
            .await
            .expect("enqueue");
        let done = "trailkeeper_job_runs_total{ending=\"succeeded\",kind=\"probe\"}";
        until("the job is done", || worker.metric(done) == Some(1.0));
        let (_, metrics) = worker.get("/metrics").expect("an answer");
        for line in metrics
            .lines()
            .filter(|line| line.starts_with("# HELP trailkeeper_"))
        {
            assert!(
                line.ends_with('.') || line.contains("organization"),
                "a sentence: {line}"
            );
        }
        assert!(metrics.contains("process_resident_memory_bytes"));
    });
}

/// For whoever has no other program to ask with, as in a container.
#[test]
fn the_program_asks_a_worker() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let config = scene.setting.directory.join("worker.toml");
        let ask = |arguments: &[&str]| {
            let program = Program::bare().arg("health").args(arguments);
            program.arg("--config").arg(&config).run()
        };
        let mut worker = Worker::start(&scene.setting, "worker");
        let lives = ask(&[]);
        assert_eq!(
            (lives.code, lives.stdout.as_str()),
            (Some(0), "ok\n"),
            "{lives:?}"
        );
        let ready = ask(&["--ready"]);
        assert_eq!(ready.code, Some(0), "{ready:?}");
        assert!(ready.stdout.contains("\"ready\":true"), "{ready:?}");
        worker.kill();
        let run = ask(&[]);
        let (code, line) = run.failure();
        assert_eq!(code, Some(3));
        assert!(line.contains("no worker answers at"), "{line}");
    });
}

/// Running jobs get time to end; nothing new is begun.
#[test]
fn the_first_signal_drains() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        scene.setting = scene.setting.with("jobs", "concurrency = 1");
        let slow = probe(json!({"sleep_ms": 1500}));
        let next = probe(json!({}));
        scene
            .store()
            .enqueue(&[slow.clone(), next.clone()])
            .await
            .expect("enqueue");
        let mut worker = Worker::start(&scene.setting, "worker");
        until("it runs", || {
            worker.metric("trailkeeper_job_runs_in_progress{kind=\"probe\"}") == Some(1.0)
        });
        worker.signal("TERM");
        until("it is not ready", || {
            worker
                .get("/readyz")
                .is_none_or(|(status, _)| status == 503)
        });
        assert_eq!(worker.wait_end().code(), Some(0), "{}", worker.log());
        let state = async |id: &str| scene.store().job(id).await.expect("read").expect("a job");
        assert_eq!(state(&slow.id).await.state, State::Succeeded);
        assert_eq!(state(&next.id).await.state, State::Queued);
    });
}

/// What does not end in time is given back, and costs no attempt.
#[test]
fn what_does_not_end_in_time_is_given_back() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        scene.setting = scene.setting.with("jobs", "drain_seconds = 1");
        let endless = probe(json!({"sleep_ms": 50_000}));
        scene
            .store()
            .enqueue(std::slice::from_ref(&endless))
            .await
            .expect("enqueue");
        let mut worker = Worker::start(&scene.setting, "worker");
        until("it runs", || {
            worker.metric("trailkeeper_job_runs_in_progress{kind=\"probe\"}") == Some(1.0)
        });
        worker.signal("INT");
        assert_eq!(worker.wait_end().code(), Some(0), "{}", worker.log());
        let job = scene
            .store()
            .job(&endless.id)
            .await
            .expect("read")
            .expect("a job");
        assert_eq!((job.state, job.attempt), (State::Queued, 0));
    });
}

#[test]
fn the_second_signal_ends_at_once() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let endless = probe(json!({"sleep_ms": 50_000, "stubborn": true}));
        scene
            .store()
            .enqueue(std::slice::from_ref(&endless))
            .await
            .expect("enqueue");
        let mut worker = Worker::start(&scene.setting, "worker");
        until("it runs", || {
            worker.metric("trailkeeper_job_runs_in_progress{kind=\"probe\"}") == Some(1.0)
        });
        worker.signal("TERM");
        until("it drains", || worker.log().contains("shutting down"));
        worker.signal("TERM");
        assert_eq!(worker.wait_end().code(), Some(130), "{}", worker.log());
    });
}

/// Jobs that fail, panic, take too long or are cancelled, each with its own end.
#[test]
fn jobs_end_as_they_must() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        scene.setting = scene
            .setting
            .with("jobs", "retry_base_seconds = 0")
            .with("jobs.kinds.probe", "timeout_seconds = 2");
        let mut fails = probe(json!({"fail": true}));
        fails.max_attempts = 5;
        let recovers = probe(json!({"fail_until_attempt": 3}));
        let mut panics = probe(json!({"panic": true}));
        panics.max_attempts = 2;
        let mut slow = probe(json!({"sleep_ms": 60_000}));
        slow.max_attempts = 1;
        let cancelled = probe(json!({"sleep_ms": 1_900}));
        let parent = probe(json!({"children": 5, "child": {"sleep_ms": 10}}));
        let all = [&fails, &recovers, &panics, &slow, &cancelled, &parent];
        let jobs: Vec<_> = all.into_iter().cloned().collect();
        scene.store().enqueue(&jobs).await.expect("enqueue");
        let _worker = Worker::start(&scene.setting, "worker");
        scene.store().cancel(&cancelled.id).await.expect("cancel");
        scene.settle().await;
        let ended = async |id: &str| {
            let job = scene.store().job(id).await.expect("read").expect("a job");
            (job.state, job.attempt, job.error.unwrap_or_default())
        };
        assert_eq!(
            ended(&fails.id).await,
            (State::Dead, 1, "asked to fail for good".to_owned())
        );
        assert_eq!(
            ended(&recovers.id).await,
            (State::Succeeded, 3, String::new())
        );
        let (state, attempt, error) = ended(&panics.id).await;
        assert_eq!(
            (state, attempt, error.as_str()),
            (State::Dead, 2, "panicked: asked to panic")
        );
        let (state, _, error) = ended(&slow.id).await;
        assert_eq!(
            (state, error.as_str()),
            (State::Dead, "took longer than its 2 seconds")
        );
        assert_eq!(ended(&cancelled.id).await.0, State::Cancelled);
        assert_eq!(
            ended(&parent.id).await,
            (State::Succeeded, 1, String::new())
        );
    });
}

#[test]
fn what_is_wrong_is_said_before_anything_begins() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let (config, _) = scene.setting.write("taken");
        let text = std::fs::read_to_string(&config).expect("read");
        let line = text
            .lines()
            .find(|line| line.starts_with("listen"))
            .expect("a line");
        std::fs::write(
            &config,
            text.replace(line, &format!("listen = \"{address}\"")),
        )
        .expect("write");
        let run = crate::support::program::Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", &scene.setting.key)
            .args(["run".as_ref(), "--config".as_ref(), config.as_os_str()])
            .run();
        assert_eq!(run.code, Some(3));
        assert!(
            run.stderr
                .contains("set metrics.listen to an address that is free"),
            "{run:?}"
        );
        scene.setting.key.clear();
        let mut worker = Worker::spawn(&scene.setting, "keyless");
        assert_eq!(worker.wait_end().code(), Some(3));
        assert!(worker.log().contains("no signing key"), "{}", worker.log());
    });
}

#[test]
fn each_line_about_a_job_says_which() {
    block_on(async {
        let mut scene = Scene::on_sqlite().await;
        // Only errors: they are not to be without it.
        let log = "format = \"json\"\nlevel = \"error\"";
        scene.setting = scene.setting.with("log", log);
        let worker = Worker::start(&scene.setting, "worker");
        let mut job = probe(json!({"fail": true}));
        job.max_attempts = 1;
        scene
            .store()
            .enqueue(std::slice::from_ref(&job))
            .await
            .expect("enqueue");
        until("it is told", || worker.log().contains("dead"));
        let log = worker.log();
        let line = log.lines().find(|line| line.contains("dead"));
        let line: Value = serde_json::from_str(line.expect("a line")).expect("JSON");
        assert_eq!(
            line["span"],
            json!({"name": "run", "job": job.id, "kind": "probe", "attempt": 1})
        );
        assert_eq!(
            (&line["level"], &line["message"]),
            (&json!("ERROR"), &json!("dead"))
        );
    });
}

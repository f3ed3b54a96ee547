//! `trailkeeper notify`.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{
    SECRET,
    receiver::{Answer, Receiver},
};
use crate::support::{
    program::{Program, Run},
    store::block_on,
};

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new(lines: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let text = format!("[[notify.channels]]\nname = \"chat\"\nallow_private = true\n{lines}\n");
        fs::write(directory.path().join("tk.toml"), text).expect("write a configuration");
        Self { directory }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let config = self.directory.path().join("tk.toml");
        let program = Program::bare().arg("notify").args(arguments);
        program.arg("--config").arg(config)
    }

    /// Runs while a receiver in this process answers.
    async fn run(&self, arguments: &[&str]) -> Run {
        let program = self.program(arguments);
        let run = tokio::task::spawn_blocking(|| program.run())
            .await
            .expect("a run");
        let told = format!("{run:?}");
        assert!(!told.contains("hunter2"), "{told}");
        run
    }
}

fn slack(port: u16) -> String {
    format!(
        "type = \"slack\"\nurl = \"http://127.0.0.1:{port}/services/{SECRET}\"\ntimeout_seconds = 1"
    )
}

#[test]
fn a_test_says_whether_it_arrived() {
    block_on(async {
        let receiver = Receiver::start([Answer::with("200 OK", "", "ok")]).await;
        let scene = Scene::new(&slack(receiver.port));
        let run = scene.run(&["test", "chat"]).await;
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        assert!(
            run.stdout.starts_with("127.0.0.1 took the test "),
            "{run:?}"
        );
        let request = receiver.requests().pop().expect("a request");
        assert!(
            request.contains("*[test]* A test: messages of trailkeeper arrive here"),
            "{request}"
        );
        let run = scene.run(&["test", "chat", "--format", "json"]).await;
        let document = run.json();
        assert_eq!((run.code, &document["is_taken"]), (Some(0), &json!(true)));
        assert!(
            document["elapsed_ms"].is_u64() && document["id"].is_string(),
            "{document}"
        );
    });
}

#[test]
fn a_test_says_why_it_did_not_and_what_to_do() {
    block_on(async {
        let receiver = Receiver::start([
            Answer::with("404 Not Found", "", "no_service"),
            Answer::with("404 Not Found", "", "no_service"),
            Answer::Silence,
        ])
        .await;
        let scene = Scene::new(&slack(receiver.port));
        let run = scene.run(&["test", "chat"]).await;
        let (code, line) = run.failure();
        assert_eq!(code, Some(3));
        assert!(
            line.contains("127.0.0.1: answers 404 Not Found: no_service"),
            "{line}"
        );
        assert!(
            line.contains("look at its keys in notify.channels"),
            "{line}"
        );
        let run = scene.run(&["test", "chat", "--format", "json"]).await;
        let document = run.json();
        assert_eq!((run.code, &document["is_taken"]), (Some(3), &json!(false)));
        assert_eq!(document["is_final"], true);
        let run = scene.run(&["test", "chat"]).await;
        let (code, line) = run.failure();
        assert!(
            code == Some(3) && line.contains("no answer within 1 seconds"),
            "{line}"
        );
    });
}

#[test]
fn what_is_not_there_or_cannot_be_used() {
    block_on(async {
        let scene = Scene::new(&slack(1));
        let run = scene.run(&["test", "chatt"]).await;
        let (code, line) = run.failure();
        assert!(
            code == Some(2) && line.contains("did you mean \"chat\"?"),
            "{line}"
        );
        let unusable = Scene::new(&format!("{}\nca_file = \"/no/such\"", slack(1)));
        let run = unusable.run(&["test", "chat"]).await;
        let (code, line) = run.failure();
        assert!(
            code == Some(2) && line.contains("cannot be used: ca_file \"/no/such\""),
            "{line}"
        );
        let run = scene.run(&["list"]).await;
        assert!(
            run.code == Some(0) && run.stdout.contains("slack"),
            "{run:?}"
        );
        let config = scene.directory.path().join("tk.toml");
        for format in ["text", "json"] {
            let show = Program::bare().args(["config", "show", "--format", format]);
            let run = show.arg("--config").arg(&config).run();
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(run.stdout.contains("http://127.0.0.1:1/***"), "{run:?}");
            assert!(!run.stdout.contains("hunter2"), "{run:?}");
        }
    });
}

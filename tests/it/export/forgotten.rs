//! Exports of somebody who is erased go with them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trailkeeper::{checkpoint::note::SecretKey, private, state::jobs::State};

use super::Qwed;
use crate::support::{
    program::{Program, Run},
    store::{TestStore, job},
    trails::sqlite_url,
    worker::{PATIENCE, Setting, Worker},
};

const KEY: &str = "export-audit-key-0123456789abcdef-012345";
/// Exports of others whose names begin alike, and of everybody.
const OTHERS: [&str; 3] = ["user-1", "user-110", "all"];

crate::on_both![
    a_command_that_erases_removes_exports,
    a_worker_that_erases_removes_exports,
];

struct Scene<'t> {
    test: &'t TestStore,
    database: String,
    data: PathBuf,
}

impl<'t> Scene<'t> {
    /// Bob, of whom there is nothing in the trail, and exports.
    fn new(test: &'t TestStore) -> Self {
        let qwed = Qwed::filled(test);
        qwed.run("DELETE FROM verificationlog");
        let directory = test.directory.path();
        let data = directory.join("data");
        for name in OTHERS.iter().chain(&["user-11"]) {
            let of_whom = exports(&data).join(name);
            fs::create_dir_all(&of_whom).expect("make a directory");
            for export in ["a.zip", "b.zip"] {
                fs::write(of_whom.join(export), "of-bob").expect("write");
            }
        }
        let key = SecretKey::from_seed("trailkeeper", &[7; 32]).expect("a key");
        let key_file = data.join("anchor.key");
        private::create_file(&key_file, key.to_text().as_bytes()).expect("keep the key");
        Self {
            test,
            database: match &test.server {
                Some(server) => server.url("qwed"),
                None => sqlite_url(&directory.join("qwed.db")),
            },
            data,
        }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::bare()
            .env("TRAILKEEPER__DATA_DIR", &self.data)
            .env("TRAILKEEPER__STATE__URL", &self.test.url)
            .env("DATABASE_URL", &self.database)
            .env("QWED_AUDIT_SECRET_KEY", KEY)
            .args(arguments)
    }

    /// A request about Bob that somebody approved.
    fn approved(&self) -> String {
        let (run, asked) = self
            .program(&[
                "erase",
                "request",
                "--org",
                "1",
                "--user",
                "11",
                "--allow-large",
            ])
            .json();
        assert_eq!(run.code, Some(0), "{run:?}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let id = text(&asked["request"]["id"]);
        let plan = text(&asked["request"]["plan_digest"]);
        let run = self
            .program(&["erase", "approve", &id, "--plan", &plan])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(self.left().len(), 4, "nothing is erased yet");
        id
    }

    fn execute(&self, id: &str) -> Run {
        let run = self.program(&["erase", "execute", id]).run();
        assert_eq!(run.code, Some(0), "{run:?}");
        run
    }

    /// Whose exports there are.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir(exports(&self.data)).expect("list") {
            let path = entry.expect("an entry").path();
            if fs::read_dir(&path).expect("list").count() > 0 {
                let name = path.file_name().expect("a name");
                left.push(name.to_string_lossy().into_owned());
            }
        }
        left.sort();
        left
    }

    #[track_caller]
    fn assert_forgotten(&self) {
        let mut others = OTHERS;
        others.sort_unstable();
        assert_eq!(self.left(), others);
    }
}

fn exports(data: &Path) -> PathBuf {
    data.join("objects/exports/organization-1")
}

async fn a_command_that_erases_removes_exports(test: TestStore) {
    let scene = Scene::new(&test);
    let id = scene.approved();
    // A store that is away keeps nobody from being erased.
    let objects = scene.data.join("objects");
    let aside = scene.data.join("aside");
    fs::rename(&objects, &aside).expect("move");
    fs::write(&objects, "no directory").expect("write");
    let run = scene.execute(&id);
    assert!(run.stdout.contains("completed"), "{run:?}");
    let told = "exports of this user were not removed: ";
    assert!(run.stderr.starts_with(told), "{run:?}");
    fs::remove_file(&objects).expect("remove");
    fs::rename(&aside, &objects).expect("move");
    assert_eq!(scene.left().len(), 4);
    // And the same once more.
    assert_eq!(scene.execute(&id).stderr, "");
    scene.assert_forgotten();
}

async fn a_worker_that_erases_removes_exports(test: TestStore) {
    let scene = Scene::new(&test);
    scene.approved();
    let directory = test.directory.path();
    let mut setting = Setting::new(directory, &test.url, &scene.database, KEY);
    setting.data_dir.clone_from(&scene.data);
    let worker = Worker::start(&setting.without_schedules(), "worker");
    let mut new = job("continue_erasures");
    (new.kind, new.payload) = ("continue_erasures".to_owned(), json!({}));
    let id = new.id.clone();
    test.store.enqueue(&[new]).await.expect("enqueue");
    let deadline = std::time::Instant::now() + PATIENCE;
    let ended = loop {
        let view = test.store.job(&id).await.expect("read").expect("a job");
        if view.state.is_final() {
            break view;
        }
        assert!(std::time::Instant::now() < deadline, "{}", worker.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(ended.state, State::Succeeded, "{}", worker.log());
    let outcome = ended.outcome.expect("an outcome");
    assert_eq!(outcome["completed"], json!(1), "{outcome}");
    scene.assert_forgotten();
}

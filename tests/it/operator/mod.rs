//! What operators do with jobs, through the built program. Workers are played by the tests themselves.

mod connect;
mod dead;
mod enqueue;
mod letters;

use std::time::Duration;

use serde_json::{Value, json};
use trailkeeper::state::{
    Store,
    jobs::{Advance, Claimed, Ending, Filter, Finish, NewJob, Room, State},
};

use crate::support::{
    program::Program,
    store::{TestStore, block_on, job},
};

crate::on_both![a_day_of_an_operator];

const LEASE: Duration = Duration::from_secs(60);

/// The program, on this database.
fn program(test: &TestStore, arguments: &[&str]) -> Program {
    Program::bare()
        .env("TRAILKEEPER__STATE__URL", &test.url)
        .args(arguments)
}

/// What a run that went well printed.
#[track_caller]
fn text(test: &TestStore, arguments: &[&str]) -> String {
    let run = program(test, arguments).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    run.stdout
}

#[track_caller]
fn document(test: &TestStore, arguments: &[&str]) -> Value {
    let (run, document) = program(test, arguments).json();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    document
}

#[track_caller]
fn refusal(test: &TestStore, arguments: &[&str]) -> String {
    let run = program(test, arguments).run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(2), "{run:?}");
    line.to_owned()
}

async fn all(store: &Store) -> Vec<State> {
    let filter = Filter {
        limit: 100,
        ..Filter::default()
    };
    let jobs = store.jobs(&filter).await.expect("list");
    jobs.iter().map(|job| job.state).collect()
}

async fn claim(store: &Store) -> Claimed {
    let room = Room {
        total: 1,
        kinds: vec!["probe".to_owned()],
        is_idle: true,
        ..Room::default()
    };
    for _ in 0..200 {
        let mut claim = store.claim("worker-1", LEASE, &room).await.expect("claim");
        if let Some(job) = claim.pop() {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("there is no job to claim");
}

async fn end(store: &Store, job: &Claimed, ending: Ending) {
    let finish = Finish {
        id: job.id.clone(),
        kind: job.kind.clone(),
        fence: job.fence,
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        redacted: None,
        trace: None,
        ending,
    };
    store.finish(&[finish]).await.expect("finish");
}

fn success() -> Ending {
    Ending::Succeeded {
        outcome: json!({"verdict": "intact", "entries": 1200}),
        memo: None,
        done: Some(1200),
        events: Vec::new(),
        effects: None,
    }
}

fn death(error: &str) -> Ending {
    Ending::Dead {
        error: error.to_owned(),
    }
}

async fn enqueue(store: &Store, job: NewJob) -> String {
    let id = job.id.clone();
    store.enqueue(&[job]).await.expect("enqueue");
    id
}

/// A job that died of this.
async fn dead(store: &Store, name: &str, error: &str) -> String {
    let id = enqueue(store, job(name)).await;
    let claimed = claim(store).await;
    assert_eq!(claimed.id, id);
    end(store, &claimed, death(error)).await;
    id
}

fn tail(id: &str) -> &str {
    &id[id.len() - 8..]
}

/// Puts everything that happened a little into the past, so that "3 min ago" stays so for a while.
async fn age(test: &TestStore) {
    test.execute(
        "UPDATE job SET created_at = {now} - 7260000000, started_at = started_at - started_at + {now} - 245000000, \
         finished_at = finished_at - finished_at + {now} - 185000000",
    )
    .await;
}

/// The text without what is new in each run: ids (and their ends, as long as before) and times.
fn masked(text: &str, ids: &[&str]) -> String {
    let mut text = text.to_owned();
    for (number, id) in ids.iter().enumerate() {
        text = text
            .replace(id, &format!("[ID {number}]"))
            .replace(tail(id), &format!("<tail-{number}>"));
    }
    let mut masked = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("Z (") {
        let start = at.saturating_sub("2026-05-08T12:30:00".len());
        masked.push_str(&rest[..start]);
        masked.push_str("[TIME] (");
        rest = &rest[at + 3..];
    }
    masked + rest
}

async fn a_day_of_an_operator(test: TestStore) {
    let store = &test.store;
    assert_eq!(text(&test, &["jobs", "list"]), "no jobs\n");
    let queued = document(
        &test,
        &["enqueue", "probe", "--payload", r#"{"name":"first"}"#],
    );
    assert_eq!(queued["new"], true);
    let id = queued["id"].as_str().expect("an id").to_owned();
    assert_eq!(queued["job"]["state"], "queued");
    assert_eq!(queued["job"]["source"], "cli");
    let claimed = claim(store).await;
    let advance = Advance {
        id: id.clone(),
        fence: claimed.fence,
        done: 370,
        total: Some(1000),
    };
    let held = store.heartbeat("worker-1", LEASE, &[advance]).await;
    assert_eq!(held.expect("heartbeat").len(), 1);
    let listed = text(&test, &["jobs", "list", "--state", "running"]);
    assert!(listed.contains("370/1,000 (37 %)"), "{listed}");
    // Cancelling asks the worker, who says when it is done.
    let answer = text(&test, &["jobs", "cancel", tail(&id)]);
    assert_eq!(
        answer,
        format!("probe {id} is running; its worker was asked to stop it\n")
    );
    let shown = text(&test, &["jobs", "show", tail(&id)]);
    assert!(shown.contains("running (was asked to stop)"), "{shown}");
    end(store, &claimed, Ending::Cancelled).await;
    let error = refusal(&test, &["jobs", "cancel", &id]);
    assert!(error.contains("it is cancelled"), "{error}");
    // Once more, until it dies.
    assert_eq!(
        text(&test, &["jobs", "retry", &id]),
        format!("queued probe {id} again\n")
    );
    let claimed = claim(store).await;
    end(store, &claimed, death("no \u{1b}[31mluck")).await;
    let shown = document(&test, &["dead", "show", tail(&id)]);
    assert_eq!(shown["job"]["error"], "no \u{1b}[31mluck");
    let made = shown["job"]["created_at"].as_str().expect("a time");
    assert!(made.starts_with("20") && made.ends_with('Z'), "{made}");
    assert_eq!(
        document(&test, &["dead", "replay", &id]),
        json!({"replayed": 1})
    );
    let waiting = text(&test, &["jobs", "cancel", &id]);
    assert_eq!(waiting, format!("cancelled probe {id}\n"));
    let migrated = document(&test, &["migrate"]);
    assert_eq!(migrated["migrations"].as_u64().expect("a number"), {
        test.number("SELECT count(*) FROM _sqlx_migrations").await as u64
    });
}

#[test]
fn a_list_is_read_at_a_glance() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let done = enqueue(store, job("done")).await;
        let claimed = claim(store).await;
        end(store, &claimed, success()).await;
        let dead = dead(
            store,
            "dead",
            "cannot reach QWED's database: no route to host",
        )
        .await;
        let waiting = enqueue(
            store,
            NewJob {
                source: "schedule:nightly".to_owned(),
                ..job("waits")
            },
        )
        .await;
        age(&test).await;
        let ids = [done.as_str(), &dead, &waiting];
        let listed = text(&test, &["jobs", "list"]);
        insta::assert_snapshot!("jobs_list", masked(&listed, &ids));
        let listed = text(&test, &["dead", "list"]);
        insta::assert_snapshot!("dead_list", masked(&listed, &ids));
        let shown = text(&test, &["jobs", "show", &done]);
        insta::assert_snapshot!("jobs_show", masked(&shown, &ids));
        let shown = text(&test, &["dead", "show", tail(&dead)]);
        insta::assert_snapshot!("dead_show", masked(&shown, &ids));
        let listed = text(&test, &["jobs", "list", "--limit", "2"]);
        assert!(
            listed.ends_with("and more; --limit says how many to list\n"),
            "{listed}"
        );
        let listed = document(
            &test,
            &["jobs", "list", "--state", "dead", "--state", "queued"],
        );
        assert_eq!(listed["jobs"].as_array().expect("a list").len(), 2);
        assert_eq!(listed["has_more"], false);
        let listed = text(&test, &["jobs", "list", "--kind", "other"]);
        assert_eq!(listed, "no jobs\n");
    });
}

#[test]
fn a_parent_is_shown_with_its_parts() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        let parent = enqueue(store, job("parent")).await;
        let claimed = claim(store).await;
        let children = vec![job("0"), job("1")];
        let waits = Ending::Waits {
            children,
            memo: Vec::new(),
            total: Some(2400),
        };
        end(store, &claimed, waits).await;
        let claimed = claim(store).await;
        end(store, &claimed, success()).await;
        age(&test).await;
        let parts = store.children(&parent).await.expect("children");
        let ids = [parent.as_str(), &parts[0].0.id, &parts[1].0.id];
        let shown = text(&test, &["jobs", "show", &parent]);
        insta::assert_snapshot!("jobs_show_parent", masked(&shown, &ids));
        let shown = document(&test, &["jobs", "show", &parent]);
        assert_eq!(shown["children"][1]["part"], 1);
        // A list is of whole jobs.
        let listed = document(&test, &["jobs", "list"]);
        assert_eq!(listed["jobs"].as_array().expect("a list").len(), 1);
        let shown = text(&test, &["jobs", "show", ids[1]]);
        assert!(
            shown.contains(&format!("part      0 of job {parent}")),
            "{shown}"
        );
    });
}

/// Who listens on AMQP is told, if there is a broker that could tell.
#[test]
fn a_cancel_is_told_where_somebody_listens() {
    block_on(async {
        let test = TestStore::sqlite().await;
        for (broker, events) in [("", 0), ("amqp://mq.example", 1)] {
            let id = enqueue(&test.store, job("a")).await;
            let run = program(&test, &["jobs", "cancel", &id])
                .env("TRAILKEEPER__AMQP__URL", broker)
                .run();
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_eq!(test.number("SELECT count(*) FROM outbox").await, events);
        }
    });
}

#[test]
fn a_database_that_is_away_or_too_new_is_told_once() {
    block_on(async {
        let away = Program::bare()
            .env("TRAILKEEPER__STATE__URL", "sqlite:///proc/none/state.db")
            .arg("migrate")
            .run();
        let (code, line) = away.failure();
        assert_eq!(code, Some(3), "{line}");
        let test = TestStore::sqlite().await;
        let migrated = text(&test, &["migrate"]);
        let migrated =
            migrated.replace(&test.directory.path().display().to_string(), "[DIRECTORY]");
        insta::assert_snapshot!("migrate", migrated);
        test.execute(
            "INSERT INTO _sqlx_migrations SELECT 99, 'from the future', installed_on, success, checksum, \
             execution_time FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
        let run = program(&test, &["migrate"]).run();
        let (code, line) = run.failure();
        assert_eq!(code, Some(3));
        assert_eq!(line.matches("newer than this program").count(), 1, "{line}");
        test.execute("DELETE FROM _sqlx_migrations WHERE version IN (2, 99)")
            .await;
        let run = program(&test, &["jobs", "list"]).run();
        let (older, told) = run.failure();
        assert_eq!(older, Some(3));
        assert!(told.contains("of an older release"), "{told}");
    });
}

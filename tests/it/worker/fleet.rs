//! Several workers share one verification.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trailkeeper::{
    demo::generator::{Generator, SqliteWriter},
    state::jobs::{NewJob, State},
    trail::keys::Key,
};

use super::Scene;
use crate::support::{
    program::Program,
    store::{block_on, job},
    worker::{Worker, until},
};

const ENTRIES: u64 = 60_000;

/// A trail of a few organisations that takes a moment, with one entry changed.
fn large_trail(scene: &mut Scene) {
    let path = scene.setting.directory.join("large.db");
    let mut generator = Generator::new(Key::new("k", scene.setting.key.as_bytes()), 4, 1);
    let mut writer = SqliteWriter::create(&path).expect("make the database");
    writer
        .write(&mut generator, ENTRIES)
        .expect("write entries");
    drop(writer);
    let file = rusqlite::Connection::open(&path).expect("open");
    file.execute(
        "UPDATE verificationlog SET is_verified = NOT is_verified WHERE id = 31234",
        [],
    )
    .expect("tamper");
    scene.setting.qwed_url = format!("sqlite:///{}", path.display());
}

fn verification() -> NewJob {
    NewJob {
        kind: "verify_trail".to_owned(),
        payload: json!({}),
        ..job("verify")
    }
}

/// What counts of a report: not when and how fast.
fn verdicts(report: &Value) -> Value {
    json!({
        "verdict": report["verdict"],
        "entries": report["entries"],
        "organizations": report["organizations"],
        "keys": report["keys"],
    })
}

async fn shared(cut: &'static str) {
    let mut scene = Scene::on_postgres().await;
    large_trail(&mut scene);
    scene.setting = scene
        .setting
        .with(
            "verify",
            format!("piece_entries = 2000\ncut = {cut:?}\nthreads = 1"),
        )
        .with("jobs", "lease_seconds = 2\nretry_base_seconds = 0");
    // Both are ready before there is work, else the first may finish it alone.
    let mut workers = [
        Worker::start(&scene.setting, "a"),
        Worker::start(&scene.setting, "b"),
    ];
    let wanted = verification();
    scene
        .store()
        .enqueue(std::slice::from_ref(&wanted))
        .await
        .expect("enqueue");
    until("both are at it", || {
        let done = "trailkeeper_job_runs_total{ending=\"succeeded\",kind=\"verify_piece\"}";
        workers.iter().all(|worker| worker.metric(done) > Some(1.0))
    });
    // Killing one half-way costs only the pieces that it was at.
    workers[0].kill();
    scene.settle().await;
    let verified = scene
        .store()
        .job(&wanted.id)
        .await
        .expect("read")
        .expect("a job");
    assert_eq!(verified.state, State::Succeeded, "{:?}", verified.error);
    let outcome = verified.outcome.expect("an outcome");

    let (_, direct) = Program::bare()
        .env("QWED_AUDIT_SECRET_KEY", &scene.setting.key)
        .args(["verify", "--database", &scene.setting.qwed_url])
        .json();
    let mut expected = verdicts(&direct);
    // The worker names a lone key of the environment as the command does.
    expected["keys"] = outcome["keys"].clone();
    assert_eq!(verdicts(&outcome), expected);
    assert_eq!(
        (&outcome["verdict"], &outcome["entries"]),
        (&json!("tampered"), &json!(ENTRIES))
    );

    let children = scene.store().children(&wanted.id).await.expect("children");
    assert_eq!(outcome["pieces"], json!(children.len()));
    assert!(children.len() > 10, "{} pieces", children.len());
    let mut by_worker: BTreeMap<&str, u64> = BTreeMap::new();
    let mut repeated = 0;
    for (child, _) in &children {
        let result = child.outcome.as_ref().expect("an outcome");
        let worker = result["worker"].as_str().expect("a name");
        *by_worker.entry(worker).or_default() += result["entries"].as_u64().expect("a number");
        repeated += usize::from(child.attempt > 1);
    }
    assert_eq!(by_worker.len(), 2, "{by_worker:?}");
    assert_eq!(by_worker.values().sum::<u64>(), ENTRIES);
    assert!(
        repeated <= 2,
        "{repeated} pieces had to be checked again, and it was at two at most"
    );

    let verdict = scene.store().verdicts().await.expect("verdicts");
    let tampered: Vec<&str> = verdict
        .iter()
        .filter(|row| row.verdict == "tampered")
        .map(|row| row.organization.as_str())
        .collect();
    assert_eq!((verdict.len(), tampered.len()), (4, 1));
}

#[test]
fn two_workers_share_a_verification_by_organisation() {
    block_on(shared("organization"));
}

#[test]
fn two_workers_share_a_verification_by_key_range() {
    block_on(shared("key_range"));
}

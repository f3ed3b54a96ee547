//! Anchors by a worker: made after a verification, compared by the next, missed when they are gone.

use serde_json::{Value, json};
use trailkeeper::{
    demo,
    state::jobs::{JobView, State},
};

use super::Scene;
use crate::support::{
    store::{block_on, job},
    worker::Worker,
};

pub(super) async fn done(scene: &Scene, kind: &str) -> JobView {
    let mut job = job(kind);
    job.kind = kind.to_owned();
    job.payload = json!({});
    let id = job.id.clone();
    scene.store().enqueue(&[job]).await.expect("enqueue");
    scene.settle().await;
    scene
        .store()
        .job(&id)
        .await
        .expect("read")
        .expect("the job")
}

async fn verified(scene: &Scene) -> Value {
    let job = done(scene, "verify_trail").await;
    assert_eq!(job.state, State::Succeeded, "{job:?}");
    job.outcome.expect("a report")
}

fn kinds(findings: &Value) -> Vec<&str> {
    let findings = findings.as_array().into_iter().flatten();
    findings
        .filter_map(|finding| finding["kind"].as_str())
        .collect()
}

#[test]
fn a_worker_anchors_compares_and_misses() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let sample = scene.setting.directory.join("qwed.db");
        let _worker = Worker::start(&scene.setting, "worker");

        let first = verified(&scene).await;
        assert_eq!(first["anchors"]["number"], Value::Null);
        assert_eq!(
            scene
                .state
                .number("SELECT max(number) FROM anchor_run")
                .await,
            1
        );

        let second = verified(&scene).await;
        assert_eq!(second["anchors"]["number"], 1);
        assert_eq!(second["organizations"][0]["anchor"]["is_extended"], true);
        assert_eq!(
            second["organizations"][0]["verdict"], "intact",
            "legacy rows are anchored"
        );
        assert_eq!(second["organizations"][2]["verdict"], "intact");

        demo::remove_newest(&sample).expect("remove entries");
        let third = verified(&scene).await;
        assert_eq!(third["organizations"][2]["verdict"], "tampered");
        assert_eq!(
            kinds(&third["organizations"][2]["findings"]),
            ["tail_removed"]
        );

        for table in ["anchor_checkpoint", "anchor_tile", "anchor_run"] {
            scene.state.execute(&format!("DELETE FROM {table}")).await;
        }
        let fourth = verified(&scene).await;
        assert_eq!(kinds(&fourth["anchors"]["findings"]), ["anchor_gap"]);
        assert_eq!(fourth["verdict"], "tampered");
        // None is made as if it were the first.
        let job = done(&scene, "anchor").await;
        assert_eq!(job.state, State::Dead, "{job:?}");
        assert_eq!(
            scene.state.number("SELECT count(*) FROM anchor_run").await,
            0
        );
    });
}

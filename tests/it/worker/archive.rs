//! Backups and drills by a worker.

use std::fs;

use serde_json::json;
use trailkeeper::state::jobs::State;

use super::{Scene, anchors::done};
use crate::support::{store::block_on, worker::Worker};

#[test]
fn a_worker_backs_up_and_drills() {
    block_on(async {
        let scene = Scene::on_sqlite().await;
        let _worker = Worker::start(&scene.setting, "worker");
        let early = done(&scene, "drill").await.outcome.expect("an outcome");
        assert!(early["skipped"].is_string(), "{early}");
        let made = done(&scene, "backup").await;
        assert_eq!(made.state, State::Succeeded, "{made:?}");

        let drilled = done(&scene, "drill").await;
        assert_eq!(drilled.state, State::Succeeded, "{drilled:?}");
        let drilled = drilled.outcome.expect("an outcome");
        // The sample holds a trail that was tampered with: so does what comes back.
        assert_eq!(
            (&drilled["passed"], &drilled["problems"]),
            (&json!(true), &json!([]))
        );
        assert_eq!(drilled["verdict"], json!("tampered"));
        assert_eq!(
            drilled["same_as_live"],
            made.outcome.expect("an outcome")["entries"]
        );
        assert!(drilled["recovery_seconds"].as_f64().expect("a number") > 0.0);

        let data = &scene.setting.data_dir;
        fs::remove_dir_all(data.join("objects/segments/1")).expect("remove segments");
        let drilled = done(&scene, "drill").await.outcome.expect("an outcome");
        assert_eq!(drilled["passed"], json!(false));
        let ledger = "SELECT count(*) FROM ledger WHERE act = 'archive.drill'";
        assert_eq!(scene.state.number(ledger).await, 2);
        let scratch = fs::read_dir(data.join("scratch")).expect("list");
        assert_eq!(scratch.count(), 1, "nothing but the lock is left");
    });
}

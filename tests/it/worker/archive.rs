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

        // Anchors are archived by the next one, without a backup; cut off in our database, they are missed.
        for _ in 0..3 {
            assert_eq!(done(&scene, "anchor").await.state, State::Succeeded);
        }
        let newest = "SELECT max(first_id) FROM archive_object WHERE kind = 'anchor' AND stored_at IS NOT NULL";
        assert_eq!(scene.state.number(newest).await, 2);
        for table in ["anchor_checkpoint", "anchor_run"] {
            scene
                .state
                .execute(&format!("DELETE FROM {table} WHERE number > 1"))
                .await;
        }
        let verified = done(&scene, "verify_trail")
            .await
            .outcome
            .expect("a report");
        let findings = verified["anchors"]["findings"].as_array().expect("a list");
        let detail = findings[0]["detail"].as_str().expect("text");
        assert!(detail.contains("the archive has anchor 2"), "{findings:?}");

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

//! Dead jobs.

use serde_json::json;
use trailkeeper::state::jobs::State;

use super::{all, claim, dead, death, document, end, enqueue, refusal, tail, text};
use crate::support::store::{TestStore, block_on, job};

#[test]
fn dead_jobs_are_run_again_or_deleted() {
    block_on(async {
        let test = TestStore::sqlite().await;
        let store = &test.store;
        for name in ["a", "b", "c"] {
            dead(store, name, "no").await;
        }
        assert_eq!(
            text(&test, &["dead", "replay", "--all"]),
            "queued 3 dead jobs again\n"
        );
        assert_eq!(
            text(&test, &["dead", "replay", "--all"]),
            "queued 0 dead jobs again\n"
        );
        let mut ids = Vec::new();
        for _ in 0..3 {
            let claimed = claim(store).await;
            assert_eq!(claimed.attempt, 1);
            end(store, &claimed, death("again")).await;
            ids.push(claimed.id);
        }
        // Nothing is deleted that nobody confirmed.
        for arguments in [&["dead", "purge", "--all"][..], &["dead", "purge", &ids[0]]] {
            let error = refusal(&test, arguments);
            assert!(error.contains("nothing was deleted; --yes"), "{error}");
        }
        assert_eq!(all(store).await, [State::Dead; 3]);
        let purged = text(&test, &["dead", "purge", tail(&ids[0]), "--yes"]);
        assert_eq!(purged, "deleted 1 dead job\n");
        let alive = enqueue(store, job("alive")).await;
        let error = refusal(&test, &["dead", "purge", &alive, "--yes"]);
        assert!(error.contains("is not dead: it is queued"), "{error}");
        let purged = document(&test, &["dead", "purge", "--all", "--yes"]);
        assert_eq!(purged, json!({"purged": 2}));
        assert_eq!(all(store).await, [State::Queued]);
    });
}

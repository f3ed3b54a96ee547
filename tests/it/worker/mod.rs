//! The worker as a process: killed, poisoned, drained, beside others of its kind.

mod anchors;
mod archive;
mod broker;
mod chaos;
mod consent;
mod erasure;
mod export;
mod fleet;
mod lifecycle;
mod rolling;
mod schedules;
mod systemd;
#[cfg(feature = "otel")]
mod traces;

use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use trailkeeper::{
    demo,
    state::{
        Store,
        jobs::{Filter, JobView, NewJob, State},
    },
};

use crate::support::{
    store::{TestStore, job},
    worker::{PATIENCE, Setting},
};

/// A sample of a QWED database and an empty state database.
pub(super) struct Scene {
    pub(super) state: TestStore,
    pub(super) setting: Setting,
    _directory: TempDir,
}

impl Scene {
    pub(super) async fn on_postgres() -> Self {
        Self::with(TestStore::postgres().await)
    }

    pub(super) async fn on_sqlite() -> Self {
        Self::with(TestStore::sqlite().await)
    }

    fn with(state: TestStore) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let sample = directory.path().join("qwed.db");
        demo::make_sample(&sample, jiff::Timestamp::UNIX_EPOCH).expect("make the sample");
        let qwed_url = format!("sqlite:///{}", sample.display());
        let setting = Setting::new(directory.path(), &state.url, &qwed_url, demo::KEY);
        Self {
            state,
            setting: setting.without_schedules(),
            _directory: directory,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.state.store
    }

    /// Rows that jobs left, and how many jobs left them.
    pub(super) async fn effects(&self) -> (i64, i64) {
        let rows = self.state.number("SELECT count(*) FROM probe_effect").await;
        let jobs = self
            .state
            .number("SELECT count(DISTINCT job_id) FROM probe_effect")
            .await;
        (rows, jobs)
    }

    pub(super) async fn make_effect_table(&self) {
        self.state
            .execute("CREATE TABLE IF NOT EXISTS probe_effect (job_id TEXT NOT NULL)")
            .await;
    }

    /// Waits until no job is left to run.
    pub(super) async fn settle(&self) {
        let deadline = Instant::now() + PATIENCE * 4;
        loop {
            let open = "SELECT count(*) FROM job WHERE finished_at IS NULL";
            let open = self.state.number(open).await;
            if open == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{open} jobs are still open: {:#?}",
                self.some().await
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn some(&self) -> Vec<JobView> {
        let filter = Filter {
            states: vec![State::Queued, State::Running, State::Retrying],
            limit: 5,
            ..Filter::default()
        };
        self.store().jobs(&filter).await.expect("list")
    }

    pub(super) async fn count(&self, state: State) -> usize {
        let counts = self.store().job_counts().await.expect("count");
        let of_state = counts.iter().filter(|(other, _, _)| *other == state);
        of_state.map(|(_, _, jobs)| *jobs as usize).sum()
    }
}

/// A probe with this payload.
pub(super) fn probe(payload: Value) -> NewJob {
    NewJob {
        payload,
        max_attempts: 30,
        ..job("probe")
    }
}

/// A probe that leaves its mark when it is done.
pub(super) fn marking(sleep_ms: u64) -> NewJob {
    probe(json!({"effect": true, "sleep_ms": sleep_ms}))
}

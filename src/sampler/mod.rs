//! Keeps those metrics up to date that stand in the database: they are every worker's, and survive its restart.
//!
//! Each part is read by itself, so that one that fails does not keep the others from being told. Counts over whole tables that grow are
//! made less often.

mod archive;
mod labels;
mod rights;
mod trails;
mod work;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{labels::Shown, trails::Counts};
use crate::{
    clock::Clock,
    metrics::Metrics,
    state::{StateError, Store},
};

/// How old a sample may be.
const EVERY: Duration = Duration::from_secs(10);
/// How old counts over whole tables may be.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Within how many days everything is to be checked in full.
    pub rolling_days: u32,
    /// Organisations that have labels of their own.
    pub max_organizations: usize,
    /// The names of the schedules.
    pub schedules: Vec<String>,
}

/// Reads the database.
pub struct Sampler {
    store: Store,
    metrics: Metrics,
    clock: Clock,
    settings: Settings,
    counted: Option<Instant>,
    /// What the newest verification of each trail counted, by the job that made it.
    counts: HashMap<String, Counts>,
    /// The job whose API keys are shown.
    keys_of: Option<String>,
    trails: Shown,
    keys: Shown,
}

impl Sampler {
    /// One that has not read anything yet.
    #[must_use]
    pub fn new(store: Store, metrics: Metrics, clock: Clock, settings: Settings) -> Self {
        Self {
            store,
            metrics,
            clock,
            settings,
            counted: None,
            counts: HashMap::new(),
            keys_of: None,
            trails: Shown::default(),
            keys: Shown::default(),
        }
    }

    /// Samples until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = async {
                tokio::time::sleep(EVERY).await;
                self.sample().await;
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    /// Reads everything once. What cannot be read stays as it was, and the time of the sample tells that it is old.
    pub async fn sample(&mut self) {
        let began = self.clock.now();
        let counts = self
            .counted
            .is_none_or(|counted| counted.elapsed() >= COUNT_EVERY);
        let mut results = vec![
            self.work().await,
            self.trails().await,
            self.verifications().await,
            self.anchors().await,
            self.archive().await,
            self.erasures().await,
            self.checklist().await,
            self.api_keys().await,
        ];
        if counts {
            results.push(self.count().await);
        }
        let mut is_whole = true;
        for error in results.into_iter().filter_map(Result::err) {
            is_whole = false;
            tracing::debug!(%error, "cannot sample the database for metrics");
        }
        if is_whole {
            let at = began.as_microsecond();
            self.metrics.sampled_seconds.set(seconds(at));
            if counts {
                self.counted = Some(Instant::now());
            }
        }
    }

    async fn count(&self) -> Result<(), StateError> {
        let made_at = self.store.made_at().await?;
        self.metrics.state_made_seconds.set(seconds(made_at));
        self.schedules().await?;
        self.archive_numbers().await?;
        self.consents().await
    }
}

/// Microseconds in seconds.
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

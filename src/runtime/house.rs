//! Takes leases of vanished workers away and clears old results; and how long retries wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::worker::{Settings, Worker};

/// Leases of others are looked at so often.
const RESCUE_EVERY: Duration = Duration::from_secs(5);
/// Old results are cleared away so often.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

impl<S: Send + Sync + 'static> Worker<S> {
    /// How long to wait after the `attempt`th attempt, in microseconds: anything up to a limit that doubles, so that
    /// jobs that failed together do not come back together ("full jitter").
    pub(super) fn delay(&self, attempt: i64) -> i64 {
        let doublings = u32::try_from(attempt.clamp(1, 31) - 1).unwrap_or(0);
        let limit = self
            .settings
            .retry_base
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.settings.retry_max);
        let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
        fastrand::i64(0..=micros)
    }

    /// Takes leases of vanished workers away and clears old results.
    pub(super) async fn keep_house(self: Arc<Self>, stop: CancellationToken) {
        let every = RESCUE_EVERY.min(self.settings.lease / 2);
        let mut expired: Option<Instant> = None;
        loop {
            match self.store.rescue(|attempt| self.delay(attempt)).await {
                Ok(rescued) => {
                    for (state, jobs) in [
                        ("retried", rescued.retried),
                        ("dead", rescued.dead),
                        ("cancelled", rescued.cancelled),
                    ] {
                        self.metrics
                            .rescued
                            .with_label_values(&[state])
                            .inc_by(jobs);
                    }
                    if rescued != Default::default() {
                        tracing::warn!(?rescued, "took over jobs of workers that vanished");
                    }
                }
                Err(error) => tracing::debug!(%error, "cannot look for jobs of vanished workers"),
            }
            if expired.is_none_or(|at| at.elapsed() > EXPIRE_EVERY) {
                let Settings {
                    keep_results_days,
                    keep_inbox_days,
                    ..
                } = self.settings;
                match self.store.expire(keep_results_days, keep_inbox_days).await {
                    Ok(_) => expired = Some(Instant::now()),
                    Err(error) => tracing::debug!(%error, "cannot clear old results"),
                }
            }
            let pause = tokio::time::sleep(every);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}

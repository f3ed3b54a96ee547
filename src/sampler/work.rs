//! Jobs, events and schedules.

use std::collections::HashSet;

use super::{Sampler, seconds};
use crate::state::{StateError, jobs::State};

impl Sampler {
    pub(super) async fn work(&self) -> Result<(), StateError> {
        let metrics = &self.metrics;
        let counts = self.store.job_counts().await?;
        let kinds: HashSet<&str> = counts.iter().map(|(_, kind, _)| kind.as_str()).collect();
        for kind in kinds {
            for state in State::ALL {
                let of_both = counts
                    .iter()
                    .find(|(s, k, _)| *s == state && k.as_str() == kind);
                metrics
                    .jobs
                    .with_label_values(&[state.name(), kind])
                    .set(of_both.map_or(0, |(_, _, jobs)| *jobs));
            }
        }
        let (oldest, now) = self.store.oldest_due().await?;
        let age = |since: Option<i64>| since.map_or(0, |since| (now - since).max(0));
        metrics.queue_age_seconds.set(seconds(age(oldest)));
        let (depth, oldest) = self.store.outbox_depth().await?;
        metrics.outbox_depth.set(depth);
        metrics.outbox_age_seconds.set(seconds(age(oldest)));
        Ok(())
    }

    /// The newest fires.
    pub(super) async fn schedules(&self) -> Result<(), StateError> {
        let fires = self.store.last_fires().await?;
        for name in &self.settings.schedules {
            if let Some(fire) = fires.get(name) {
                let lag = (fire.decided_at - fire.fire_time).max(0);
                self.metrics
                    .last_fire_seconds
                    .with_label_values(&[name])
                    .set(seconds(fire.fire_time));
                self.metrics
                    .schedule_lag_seconds
                    .with_label_values(&[name])
                    .set(seconds(lag));
            }
        }
        Ok(())
    }
}

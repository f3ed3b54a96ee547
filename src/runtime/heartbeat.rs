//! Keeps the leases of running jobs, stores how far they are, and stops those that are to stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{attempt::Stop, worker::Worker};
use crate::state::jobs::{Advance, Held};

/// An operator's wish to cancel is heard within this, however long leases are and whatever becomes of the sign.
const LISTEN_EVERY: Duration = Duration::from_secs(2);
/// Signs that something was written come often; they are followed no more often than this.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

impl<S: Send + Sync + 'static> Worker<S> {
    /// Extends leases three times in their length, until cancelled.
    pub(super) async fn keep_leases(self: Arc<Self>, stop: CancellationToken) {
        let every = (self.settings.lease / 3).min(LISTEN_EVERY);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wakes = self.store.wakes();
        let mut follow_from = Instant::now();
        loop {
            // Waited for here and not behind the beat: what is due by the clock must not wait with it.
            let followed = async {
                tokio::time::sleep_until(follow_from).await;
                wakes.changed().await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                due = ticks.tick() => {
                    let late = Instant::now().saturating_duration_since(due);
                    self.metrics.heartbeat_delay_seconds.observe(late.as_secs_f64());
                    self.beat().await;
                }
                // It may be a wish to cancel.
                Ok(()) = followed => {
                    self.listen().await;
                    follow_from = Instant::now() + FOLLOW_EVERY;
                }
            }
        }
    }

    /// Stops the runs whose jobs are to be cancelled. What cannot be read now, the next heartbeat brings.
    async fn listen(&self) {
        if self.running().is_empty() {
            return;
        }
        let Ok(wishes) = self.store.cancel_requests(&self.owner).await else {
            return;
        };
        let running = self.running();
        for (id, fence) in wishes {
            if let Some(run) = running.get(&id).filter(|run| run.fence == fence) {
                run.stop(Stop::Cancelled);
            }
        }
    }

    async fn beat(&self) {
        let (known, advances) = {
            let running = self.running();
            let known: Vec<(String, i64)> = running
                .iter()
                .map(|(id, run)| (id.clone(), run.fence))
                .collect();
            let advances: Vec<Advance> = running
                .iter()
                .map(|(id, run)| {
                    let (done, total) = run.progress.get();
                    Advance {
                        id: id.clone(),
                        fence: run.fence,
                        done,
                        total,
                    }
                })
                .filter(|advance| advance.done > 0 || advance.total.is_some())
                .collect();
            (known, advances)
        };
        if known.is_empty() {
            return;
        }
        let beaten = self
            .store
            .heartbeat(&self.owner, self.settings.lease, &advances)
            .await;
        match beaten {
            Ok(held) => self.compare(&known, &held),
            Err(error) => {
                self.metrics.heartbeat_failures.inc();
                tracing::warn!(%error, "a heartbeat did not reach the database");
            }
        }
    }

    /// Stops runs whose lease is gone or whose job is to be cancelled. Runs that began after the heartbeat was sent
    /// are not among `known`.
    fn compare(&self, known: &[(String, i64)], held: &[Held]) {
        let held: HashMap<&str, &Held> = held.iter().map(|held| (held.id.as_str(), held)).collect();
        let running = self.running();
        for (id, fence) in known {
            let Some(run) = running.get(id).filter(|run| run.fence == *fence) else {
                continue;
            };
            match held.get(id.as_str()) {
                Some(held) if held.fence == *fence => {
                    if held.cancel_requested {
                        run.stop(Stop::Cancelled);
                    }
                }
                // The run has ended and only its task does not know yet, or somebody took the lease.
                _ => run.stop(Stop::LeaseLost),
            }
        }
    }
}

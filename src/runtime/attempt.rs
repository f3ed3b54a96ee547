//! One run of a job: within its time, stopped when it has to be, its end written.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    finisher::Request,
    job::{Context, Done, JobError, Outcome, Progress, Wait},
    registry::Kind,
    worker::Worker,
};
use crate::{
    state::jobs::{Claimed, Ending, Finish, Finished},
    trace,
};

/// A run that is told to stop has this long to do so.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How often a run that has to be alone looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest error that is kept, in characters.
const MAX_ERROR: usize = 4000;

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// An operator wants it.
    Cancelled = 1,
    /// Somebody else has the lease.
    LeaseLost = 2,
    /// The worker shuts down.
    Shutdown = 3,
    /// It took too long.
    Timeout = 4,
}

/// A run under way.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) fence: i64,
    pub(super) progress: Arc<Progress>,
    pub(super) kind: &'static str,
    /// Nothing else may run beside it.
    pub(super) is_alone: bool,
    pub(super) token: CancellationToken,
    pub(super) why: Arc<AtomicU8>,
}

impl Run {
    /// Tells the run to stop; the first reason counts.
    pub(super) fn stop(&self, why: Stop) {
        let _ = self.why.compare_exchange(0, why as u8, Relaxed, Relaxed);
        self.token.cancel();
    }

    fn why(&self) -> Option<Stop> {
        match self.why.load(Relaxed) {
            1 => Some(Stop::Cancelled),
            2 => Some(Stop::LeaseLost),
            3 => Some(Stop::Shutdown),
            4 => Some(Stop::Timeout),
            _ => None,
        }
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Runs the job and writes how it ended; answers that in a word.
    pub(super) async fn run_and_finish(&self, job: Claimed, run: &Run) -> &'static str {
        let Some(kind) = self.registry.kind(&job.kind) else {
            return "unknown";
        };
        let began = Instant::now();
        let result = match self.wait_until_alone(run).await {
            Ok(()) => self.attempt(kind, &job, run).await,
            Err(error) => Err(error),
        };
        self.metrics
            .run_seconds
            .with_label_values(&[kind.name])
            .observe(began.elapsed().as_secs_f64());
        let why = run.why();
        let ending = match result {
            Ok(outcome) => ending_of(outcome),
            Err(_) if why == Some(Stop::LeaseLost) => return "lease_lost",
            Err(_) if why == Some(Stop::Shutdown) => {
                let jobs = [(job.id.clone(), job.fence)];
                if let Err(error) = self.store.release(&self.owner, &jobs).await {
                    tracing::warn!(%error, "cannot give the job back; its lease will run out");
                }
                return "released";
            }
            Err(_) if why == Some(Stop::Cancelled) => Ending::Cancelled,
            Err(error) => self.failure(&job, &error),
        };
        let finish = Finish {
            id: job.id.clone(),
            kind: job.kind.clone(),
            fence: job.fence,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            redacted: kind.redacted(&job.payload),
            trace: trace::current(),
            ending,
        };
        let (answer, written) = oneshot::channel();
        if self
            .finishes
            .send(Request { finish, answer })
            .await
            .is_err()
        {
            return "lost";
        }
        match written.await {
            Ok(Finished::Written("running")) => "waiting",
            Ok(Finished::Written(state)) => {
                tracing::debug!(state, "ended");
                state
            }
            Ok(Finished::LeaseLost) => {
                tracing::warn!("lost the lease before the end was written");
                "lease_lost"
            }
            Err(_) => "lost",
        }
    }

    /// A job that may have crashed a worker waits until nothing else runs here; nothing new is begun meanwhile.
    async fn wait_until_alone(&self, run: &Run) -> Result<(), JobError> {
        while run.is_alone && self.running_count() > 1 {
            let pause = tokio::time::sleep(LOOK_EVERY);
            if run.token.run_until_cancelled(pause).await.is_none() {
                return Err(JobError::retry(anyhow::anyhow!("stopped before it began")));
            }
        }
        Ok(())
    }

    /// One attempt, within its time.
    async fn attempt(&self, kind: &Kind<S>, job: &Claimed, run: &Run) -> Result<Outcome, JobError> {
        let registry = Arc::clone(&self.registry);
        let context = Arc::new(Context {
            job_id: job.id.clone(),
            attempt: job.attempt,
            fire_time: job
                .fire_time
                .and_then(|micros| Timestamp::from_microsecond(micros).ok()),
            memo: job.memo.clone(),
            store: self.store.clone(),
            services: Arc::clone(&self.services),
            progress: Arc::clone(&run.progress),
            cancel: run.token.clone(),
            worker: self.owner.clone(),
            maker: Arc::new(move |kind, payload| {
                registry.new_child(kind, payload).map_err(JobError::fail)
            }),
        });
        let work = AssertUnwindSafe((kind.run)(job.payload.clone(), context)).catch_unwind();
        let mut work = std::pin::pin!(work);
        let in_time = tokio::select! {
            result = &mut work => Some(result),
            () = tokio::time::sleep(kind.timeout) => {
                run.stop(Stop::Timeout);
                None
            }
            () = run.token.cancelled() => None,
        };
        let result = match in_time {
            Some(result) => Some(result),
            // A run that listens ends by itself, and may even have succeeded.
            None => timeout(GRACE, &mut work).await.ok(),
        };
        match result {
            Some(Ok(Ok(outcome))) => Ok(outcome),
            Some(Ok(Err(error))) if run.why() != Some(Stop::Timeout) => Err(error),
            Some(Err(panic)) => Err(JobError::retry(anyhow::anyhow!(
                "panicked: {}",
                message(panic.as_ref())
            ))),
            Some(Ok(Err(_))) | None => Err(JobError::retry(anyhow::anyhow!(
                "took longer than its {} seconds",
                kind.timeout.as_secs_f64()
            ))),
        }
    }

    fn failure(&self, job: &Claimed, error: &JobError) -> Ending {
        let text: String = error
            .to_string()
            // PostgreSQL's text holds any character but this.
            .replace('\0', "\u{fffd}")
            .chars()
            .take(MAX_ERROR)
            .collect();
        let is_last = job.attempt >= job.max_attempts;
        if error.is_permanent || is_last {
            tracing::error!(error = text, "dead");
            Ending::Dead { error: text }
        } else {
            tracing::warn!(error = text, "will be retried");
            Ending::Failed {
                error: text,
                delay_micros: self.delay(job.attempt),
            }
        }
    }
}

fn ending_of(outcome: Outcome) -> Ending {
    match outcome {
        Outcome::Done(Done {
            result,
            memo,
            done,
            events,
            effects,
        }) => Ending::Succeeded {
            outcome: result,
            memo,
            done,
            events,
            effects,
        },
        Outcome::Wait(Wait {
            children,
            memo,
            total,
        }) => Ending::Waits {
            children,
            memo,
            total,
        },
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

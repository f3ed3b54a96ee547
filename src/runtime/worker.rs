//! Claims jobs and runs them.
//!
//! A worker has room for so many runs. It looks for jobs when something was written, when a run ends, and once a second;
//! what it claims it registers before anything can go wrong with it. Each run is a task of its own; a panic in it is a
//! failed attempt. A crash of the whole process is noticed by the others when the leases run out.
//!
//! On a shutdown it claims nothing more, lets runs end for a while, then cancels them and gives their jobs back,
//! untouched, for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    attempt::{GRACE, Run, Stop},
    finisher::{self, Request},
    registry::Registry,
};
use crate::{
    metrics::Metrics,
    state::{
        Store,
        jobs::{Claimed, Room, new_id},
    },
    trace,
};

/// Without any sign, the queue is looked at so often: for retries that come due, and should a sign be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time for each of the last steps of a shutdown.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How a worker behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Runs side by side.
    pub concurrency: usize,
    /// For how long a job is a worker's own without a sign of life.
    pub lease: Duration,
    /// The first retry waits up to this; each further one up to twice as long.
    pub retry_base: Duration,
    /// No retry waits longer.
    pub retry_max: Duration,
    /// How long a shutdown lets runs go on.
    pub drain: Duration,
    /// Queues that it serves; all where empty.
    pub queues: Vec<String>,
    /// How long results are kept.
    pub keep_results_days: u32,
    /// How long message ids are remembered.
    pub keep_inbox_days: u32,
}

/// One worker process.
pub struct Worker<S> {
    pub(super) store: Store,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    /// Its name in leases; unlike any other's.
    pub(super) owner: String,
    pub(super) registry: Arc<Registry<S>>,
    pub(super) services: Arc<S>,
    running: Mutex<HashMap<String, Run>>,
    ended: Notify,
    tasks: TaskTracker,
    pub(super) finishes: mpsc::Sender<Request>,
    finisher: Mutex<Option<mpsc::Receiver<Request>>>,
    /// When it last looked for jobs, in milliseconds since `began`.
    turned: AtomicU64,
    began: Instant,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker that has not begun.
    #[must_use]
    pub fn new(
        store: Store,
        registry: Arc<Registry<S>>,
        services: Arc<S>,
        settings: Settings,
        metrics: Metrics,
        name: &str,
    ) -> Arc<Self> {
        let (finishes, receiver) = mpsc::channel(settings.concurrency.max(1) * 2);
        let id = new_id();
        Arc::new(Self {
            owner: format!("{name}/{}", &id[id.len() - 12..]),
            store,
            settings,
            metrics,
            registry,
            services,
            running: Mutex::default(),
            ended: Notify::new(),
            tasks: TaskTracker::new(),
            finishes,
            finisher: Mutex::new(Some(receiver)),
            turned: AtomicU64::new(0),
            began: Instant::now(),
        })
    }

    /// Its name in leases.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.owner
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has not looked for jobs. A worker that is alive does so every few seconds.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let turned = Duration::from_millis(self.turned.load(Relaxed));
        self.began.elapsed().saturating_sub(turned)
    }

    fn turn(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned.store(elapsed, Relaxed);
    }

    /// How many runs are under way.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running().len()
    }

    /// Works until `stop`, then lets runs end, cancels those that do not, and gives their jobs back.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let receiver = self
            .finisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(receiver) = receiver else { return };
        let finisher = tokio::spawn(finisher::run(self.store.clone(), receiver));
        let beating = CancellationToken::new();
        let heart = tokio::spawn(Arc::clone(&self).keep_leases(beating.clone()));
        let keeper = tokio::spawn(Arc::clone(&self).keep_house(stop.clone()));

        Arc::clone(&self).claim_until(&stop).await;
        self.drain().await;

        beating.cancel();
        // A database that hangs must not keep the worker: leases run out by themselves.
        let _ = timeout(LAST_WORDS, async { tokio::join!(heart, keeper) }).await;
        // The finisher holds no sender; ours is the last once the tasks are gone.
        finisher.abort();
        let _ = finisher.await;
        let given_back = timeout(LAST_WORDS, self.store.release_unknown(&self.owner, &[])).await;
        if !matches!(given_back, Ok(Ok(_))) {
            tracing::warn!("cannot give jobs back; others take them when their leases run out");
        }
    }

    async fn claim_until(self: Arc<Self>, stop: &CancellationToken) {
        let mut wakes = self.store.wakes();
        let mut failures = 0;
        while !stop.is_cancelled() {
            self.turn();
            wakes.mark_unchanged();
            match self.claim().await {
                Ok(0) => failures = 0,
                Ok(_) => {
                    failures = 0;
                    continue;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "cannot claim jobs");
                    self.give_back_unknown().await;
                }
            }
            let pause = LOOK_EVERY * 2_u32.pow(failures.min(4));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.ended.notified() => {}
                () = tokio::time::sleep(pause) => {}
                _ = wakes.changed(), if failures == 0 => {}
            }
        }
    }

    /// Claims what there is room for and sets it going; answers how many.
    async fn claim(self: &Arc<Self>) -> Result<usize, crate::state::StateError> {
        let room = self.room();
        if room.total == 0 {
            return Ok(0);
        }
        let jobs = self
            .store
            .claim(&self.owner, self.settings.lease, &room)
            .await?;
        let count = jobs.len();
        for job in jobs {
            self.start(job);
        }
        Ok(count)
    }

    fn room(&self) -> Room {
        let running = self.running();
        let is_alone = running.values().any(|run| run.is_alone);
        let total = if is_alone {
            0
        } else {
            self.settings.concurrency.saturating_sub(running.len())
        };
        let mut by_kind = HashMap::new();
        for kind in self.registry.kinds() {
            if let Some(limit) = kind.concurrency {
                let taken = running.values().filter(|run| run.kind == kind.name).count();
                by_kind.insert(kind.name.to_owned(), limit.saturating_sub(taken));
            }
        }
        Room {
            total,
            by_kind,
            kinds: self
                .registry
                .kinds()
                .map(|kind| kind.name.to_owned())
                .collect(),
            queues: self.settings.queues.clone(),
            is_idle: running.is_empty(),
        }
    }

    /// After a claim whose answer was lost, jobs may be leased to us that we know nothing of.
    async fn give_back_unknown(&self) {
        let known: Vec<(String, i64)> = self
            .running()
            .iter()
            .map(|(id, run)| (id.clone(), run.fence))
            .collect();
        match self.store.release_unknown(&self.owner, &known).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "gave back jobs whose claim was not answered"),
            Err(error) => tracing::debug!(%error, "cannot look for jobs to give back"),
        }
    }

    fn start(self: &Arc<Self>, job: Claimed) {
        let Some(kind) = self.registry.kind(&job.kind) else {
            return;
        };
        let run = Run {
            fence: job.fence,
            progress: Arc::default(),
            kind: kind.name,
            is_alone: job.is_suspect,
            token: CancellationToken::new(),
            why: Arc::default(),
        };
        self.running().insert(job.id.clone(), run.clone());
        self.metrics.running.with_label_values(&[kind.name]).inc();
        let waited = Duration::from_micros(job.waited_micros.max(0).unsigned_abs());
        self.metrics
            .wait_seconds
            .with_label_values(&[kind.name])
            .observe(waited.as_secs_f64());
        let worker = Arc::clone(self);
        self.tasks.spawn(async move {
            let (id, kind) = (job.id.clone(), job.kind.clone());
            let span = span(&job);
            let within = trace::adopt(&span, job.trace.clone());
            if let Some(within) = &within {
                span.record("trace", within.trace_id());
            }
            let running = worker.run_and_finish(job, &run).instrument(span);
            let ending = trace::within(within, running).await;
            worker.running().remove(&id);
            worker.metrics.running.with_label_values(&[&kind]).dec();
            worker
                .metrics
                .runs
                .with_label_values(&[kind.as_str(), ending])
                .inc();
            worker.ended.notify_one();
        });
    }

    /// Lets runs end, then cancels them.
    async fn drain(&self) {
        self.tasks.close();
        let runs = self.running_count();
        if runs > 0 {
            tracing::info!(
                runs,
                seconds = self.settings.drain.as_secs(),
                "waiting for runs to end"
            );
        }
        if timeout(self.settings.drain, self.tasks.wait())
            .await
            .is_ok()
        {
            return;
        }
        for run in self.running().values() {
            run.stop(Stop::Shutdown);
        }
        if timeout(GRACE + Duration::from_secs(5), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("runs do not end; their jobs are given back all the same");
        }
    }
}

/// What every line says that is logged while a job runs. An error's level, since a filter that lets only errors through must not
/// leave them without it.
fn span(job: &Claimed) -> tracing::Span {
    let organizations = organizations(&job.payload);
    let span = tracing::error_span!(
        "run",
        job = job.id,
        kind = job.kind,
        attempt = job.attempt,
        organization = tracing::field::Empty,
        trace = tracing::field::Empty
    );
    if !organizations.is_empty() {
        span.record("organization", organizations);
    }
    span
}

/// The organisations that a payload names, in the words that all kinds use; empty for all.
fn organizations(payload: &Value) -> String {
    let one = payload.get("organization_id").and_then(Value::as_i64);
    let more = payload.get("organizations").and_then(Value::as_array);
    let more = more.into_iter().flatten().filter_map(Value::as_i64);
    let ids: Vec<String> = one
        .into_iter()
        .chain(more)
        .map(|id| id.to_string())
        .collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_name_the_organisations_of_a_job() {
        for (payload, named) in [
            (json!({}), ""),
            (json!({"organization_id": 7, "user_id": 103}), "7"),
            (json!({"organizations": [1, 2]}), "1,2"),
            (json!({"organizations": null, "organization_id": "x"}), ""),
        ] {
            assert_eq!(organizations(&payload), named, "{payload}");
        }
    }
}

//! Claims jobs and runs them.
//!
//! A worker has room for so many runs. It looks for jobs when something was written, when a run ends, and once a second;
//! what it claims it registers before anything can go wrong with it. Each run is a task of its own; a panic in it is a
//! failed attempt. A crash of the whole process is noticed by the others when the leases run out.
//!
//! On a shutdown it claims nothing more, lets runs end for a while, then cancels them and gives their jobs back,
//! untouched, for others.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    finisher::{self, Request},
    job::{Context, Done, JobError, Outcome, Progress, Wait},
    registry::{Kind, Registry},
};
use crate::{
    metrics::Metrics,
    state::{
        Store,
        jobs::{Claimed, Ending, Finish, Finished, Room, new_id},
    },
};

/// Without any sign, the queue is looked at so often: for retries that come due, and should a sign be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Leases of others are looked at so often.
const RESCUE_EVERY: Duration = Duration::from_secs(5);
/// Old results are cleared away so often.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);
/// A run that is told to stop has this long to do so.
const GRACE: Duration = Duration::from_secs(10);
/// Longest error that is kept, in characters.
const MAX_ERROR: usize = 4000;

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
    kind: &'static str,
    /// Nothing else may run beside it.
    is_alone: bool,
    token: CancellationToken,
    why: Arc<AtomicU8>,
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

/// One worker process.
pub struct Worker<S> {
    pub(super) store: Store,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    /// Its name in leases; unlike any other's.
    pub(super) owner: String,
    registry: Arc<Registry<S>>,
    services: Arc<S>,
    running: Mutex<HashMap<String, Run>>,
    ended: Notify,
    tasks: TaskTracker,
    finishes: mpsc::Sender<Request>,
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
        let _ = tokio::join!(heart, keeper);
        // The finisher holds no sender; ours is the last once the tasks are gone.
        finisher.abort();
        let _ = finisher.await;
        if let Err(error) = self.store.release_unknown(&self.owner, &[]).await {
            tracing::warn!(%error, "cannot give jobs back; others take them when their leases run out");
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
        let claim = self
            .store
            .claim(&self.owner, self.settings.lease, &room)
            .await?;
        if claim.should_drain {
            tracing::debug!("a job that may have crashed a worker waits to run alone");
        }
        let count = claim.jobs.len();
        for job in claim.jobs {
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
            let ending = worker.run_and_finish(job, &run).await;
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

    /// Runs the job and writes how it ended; answers that in a word.
    async fn run_and_finish(&self, job: Claimed, run: &Run) -> &'static str {
        let Some(kind) = self.registry.kind(&job.kind) else {
            return "unknown";
        };
        let began = Instant::now();
        let result = self.attempt(kind, &job, run).await;
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
                    tracing::warn!(job = job.id, %error, "cannot give the job back; its lease will run out");
                }
                return "released";
            }
            Err(_) if why == Some(Stop::Cancelled) => Ending::Cancelled,
            Err(error) => self.failure(kind, &job, &error),
        };
        let finish = Finish {
            id: job.id.clone(),
            kind: job.kind.clone(),
            fence: job.fence,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
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
                tracing::debug!(job = job.id, kind = job.kind, state, "ended");
                state
            }
            Ok(Finished::LeaseLost) => {
                tracing::warn!(
                    job = job.id,
                    kind = job.kind,
                    "lost the lease before the end was written"
                );
                "lease_lost"
            }
            Err(_) => "lost",
        }
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

    fn failure(&self, kind: &Kind<S>, job: &Claimed, error: &JobError) -> Ending {
        let text: String = error.to_string().chars().take(MAX_ERROR).collect();
        let is_last = job.attempt >= job.max_attempts;
        if error.is_permanent || is_last {
            tracing::error!(
                job = job.id,
                kind = kind.name,
                attempt = job.attempt,
                error = text,
                "dead"
            );
            Ending::Dead { error: text }
        } else {
            tracing::warn!(
                job = job.id,
                kind = kind.name,
                attempt = job.attempt,
                error = text,
                "will be retried"
            );
            Ending::Failed {
                error: text,
                delay_micros: self.delay(job.attempt),
            }
        }
    }

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
    async fn keep_house(self: Arc<Self>, stop: CancellationToken) {
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

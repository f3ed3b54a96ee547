//! Queues the jobs of schedules when they are due.
//!
//! tokio-cron-scheduler ticks once a second, and that is all it does: when a schedule fires is the calendar's matter
//! ([`super::schedule`]), and that it fires once is the database's (`state::schedules`). Every worker does all of this;
//! there is no leader, so none can be missing.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::{
    registry::{Refusal, Registry},
    schedule::{Decisions, Schedule, SkipReason, decide, file},
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    state::{
        StateError, Store,
        jobs::NewJob,
        schedules::{Decision, Fire, Overlap},
    },
};

/// What a schedule knows of itself is read again so often, due or not: an operator may have paused it.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// What is remembered of a schedule between ticks, to save looking into the database.
#[derive(Debug, Clone, Copy)]
struct Known {
    looked: Timestamp,
    due: Option<Timestamp>,
}

/// Watches over all schedules.
pub struct Scheduler<S> {
    store: Store,
    registry: Arc<Registry<S>>,
    schedules: Vec<Schedule>,
    clock: Clock,
    metrics: Metrics,
    known: Mutex<HashMap<String, Known>>,
}

impl<S: Send + Sync + 'static> Scheduler<S> {
    /// A scheduler that does not tick yet.
    #[must_use]
    pub fn new(
        store: Store,
        registry: Arc<Registry<S>>,
        schedules: Vec<Schedule>,
        clock: Clock,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            registry,
            schedules,
            clock,
            metrics,
            known: Mutex::default(),
        })
    }

    /// Ticks once a second from now on; whoever holds the answer stops it.
    ///
    /// # Errors
    /// If the ticker cannot be started.
    pub async fn start(self: Arc<Self>) -> Result<JobScheduler, JobSchedulerError> {
        let ticker = JobScheduler::new().await?;
        let tick = Job::new_async("* * * * * *", move |_, _| {
            let scheduler = Arc::clone(&self);
            Box::pin(async move { scheduler.tick().await })
        })?;
        ticker.add(tick).await?;
        ticker.start().await?;
        Ok(ticker)
    }

    /// Looks at all schedules. A tick that finds the one before still at work leaves it to that.
    pub async fn tick(&self) {
        let Ok(mut known) = self.known.try_lock() else {
            return;
        };
        let now = self.clock.now();
        let open: Vec<&Schedule> = self
            .schedules
            .iter()
            .filter(|schedule| is_open(known.get(&schedule.name), now))
            .collect();
        if open.is_empty() {
            return;
        }
        let paused = match self.store.paused_schedules().await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::warn!(%error, "cannot look at the schedules");
                return;
            }
        };
        for schedule in open {
            let mut schedule = schedule.clone();
            schedule.paused = *paused.get(&schedule.name).unwrap_or(&schedule.paused);
            let is_paused = self
                .metrics
                .schedule_paused
                .with_label_values(&[&schedule.name]);
            is_paused.set(schedule.paused.into());
            match self.reconcile(&schedule, now).await {
                Ok(due) => {
                    self.tell_next(&schedule.name, due);
                    known.insert(schedule.name.clone(), Known { looked: now, due });
                }
                Err(error) => {
                    tracing::warn!(schedule = schedule.name, %error, "cannot decide about the schedule");
                }
            }
        }
    }

    /// Decides about everything that has become due, and answers what will be next.
    async fn reconcile(
        &self,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StateError> {
        let definition = schedule.definition_hash();
        let cursor = self
            .store
            .schedule_cursor(&schedule.name, &definition)
            .await?;
        let cursor = cursor.and_then(|micros| Timestamp::from_microsecond(micros).ok());
        let decisions = match cursor {
            // A definition that is new has missed nothing.
            None => Decisions {
                fires: Vec::new(),
                skipped: Vec::new(),
                skipped_count: 0,
                cursor: now,
                reset: false,
            },
            Some(cursor) => decide(schedule, cursor, now),
        };
        if cursor != Some(decisions.cursor) {
            if decisions.reset {
                tracing::warn!(
                    schedule = schedule.name,
                    "the schedule was ahead of the clock and has been set back"
                );
            }
            let fires = self.fires(schedule, &decisions);
            let decided = self
                .store
                .decide_fires(
                    &schedule.name,
                    &definition,
                    decisions.cursor.as_microsecond(),
                    overlap(schedule.overlap),
                    fires,
                )
                .await?;
            self.tell(schedule, &decided, &decisions);
        }
        Ok(schedule.calendar().after(decisions.cursor.max(now)))
    }

    fn tell_next(&self, schedule: &str, due: Option<Timestamp>) {
        let gauge = &self.metrics.next_fire_seconds;
        match due {
            Some(due) => gauge
                .with_label_values(&[schedule])
                .set(due.as_microsecond() as f64 / 1e6),
            None => drop(gauge.remove_label_values(&[schedule])),
        }
    }

    fn fires(&self, schedule: &Schedule, decisions: &Decisions) -> Vec<Fire> {
        // Fires that a pause kept from happening are no news.
        let skipped = decisions
            .skipped
            .iter()
            .filter(|skip| skip.reason != SkipReason::Paused)
            .map(|skip| Fire {
                fire_time: skip.fire_time.as_microsecond(),
                job: None,
            });
        let mut fires: Vec<Fire> = skipped.collect();
        for fire in &decisions.fires {
            let fire_time = fire.fire_time.as_microsecond();
            match job_of(&self.registry, schedule) {
                Ok(mut job) => {
                    job.fired = Some((schedule.name.clone(), fire_time));
                    fires.push(Fire {
                        fire_time,
                        job: Some(job),
                    });
                }
                Err(error) => {
                    tracing::error!(schedule = schedule.name, %error, "the schedule asks for what is no job");
                }
            }
        }
        fires.sort_by_key(|fire| fire.fire_time);
        fires
    }

    fn tell(&self, schedule: &Schedule, decided: &[(i64, Decision)], decisions: &Decisions) {
        for (fire_time, decision) in decided {
            let (word, message) = match decision {
                Decision::Fired => ("fired", "fired"),
                Decision::SkippedLate => {
                    ("skipped_late", "a fire was missed and is not made up for")
                }
                Decision::SkippedOverlap => (
                    "skipped_overlap",
                    "did not fire, as an earlier job has not ended",
                ),
            };
            self.metrics
                .fires
                .with_label_values(&[schedule.name.as_str(), word])
                .inc();
            let due = Timestamp::from_microsecond(*fire_time).unwrap_or_default();
            self.metrics
                .last_fire_seconds
                .with_label_values(&[&schedule.name])
                .set(*fire_time as f64 / 1e6);
            let lag = self.clock.now().duration_since(due).as_secs_f64();
            self.metrics
                .schedule_lag_seconds
                .with_label_values(&[&schedule.name])
                .set(lag.max(0.0));
            if *decision == Decision::Fired {
                tracing::info!(schedule = schedule.name, %due, message);
            } else {
                tracing::warn!(schedule = schedule.name, %due, message);
            }
        }
        if decisions.skipped_count > decisions.skipped.len() {
            tracing::warn!(
                schedule = schedule.name,
                fires = decisions.skipped_count,
                "more fires were missed than are recorded one by one"
            );
        }
    }
}

/// Whether there may be something to decide.
fn is_open(known: Option<&Known>, now: Timestamp) -> bool {
    let Some(known) = known else { return true };
    let since = now.duration_since(known.looked);
    known.due.is_some_and(|due| due <= now) || since > LOOK_EVERY || since.is_negative()
}

/// The job that a schedule asks for. Whether an earlier one stands in its way is its overlap policy's matter, not that of
/// uniqueness.
///
/// # Errors
/// If its kind does not exist or its payload does not fit.
pub fn job_of<S: Send + Sync + 'static>(
    registry: &Registry<S>,
    schedule: &Schedule,
) -> Result<NewJob, Refusal> {
    let source = format!("schedule:{}", schedule.name);
    let payload: Value = schedule.payload.clone();
    let mut job = registry.new_job(&schedule.kind, payload, &source)?;
    job.unique_key = None;
    if let Some(priority) = schedule.priority {
        job.priority = priority.into();
    }
    Ok(job)
}

fn overlap(overlap: file::Overlap) -> Overlap {
    match overlap {
        file::Overlap::Skip => Overlap::Skip,
        file::Overlap::Queue => Overlap::Queue,
        file::Overlap::Allow => Overlap::Allow,
    }
}

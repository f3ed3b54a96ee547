//! What the schedules remember, so that nothing fires twice and nothing is lost.
//!
//! Any worker may decide about any fire at any time: the primary key of `schedule_fire` lets one of them win, and the
//! job is queued in the same transaction.

use std::collections::HashMap;

use serde::Serialize;

use super::{StateError, Store, column, jobs::NewJob};

/// What happens to a fire while an earlier job of the schedule has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is passed over.
    Skip,
    /// It waits in the queue, unless one waits there already.
    Queue,
    /// It runs beside the other.
    Allow,
}

/// What became of a fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A job was queued.
    Fired,
    /// It came too late by the schedule's policy.
    SkippedLate,
    /// An earlier job had not ended.
    SkippedOverlap,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::SkippedLate => "skipped_late",
            Self::SkippedOverlap => "skipped_overlap",
        }
    }
}

/// One fire to be decided.
#[derive(Debug, Clone)]
pub struct Fire {
    /// When it was due, in microseconds since 1970.
    pub fire_time: i64,
    /// The job to queue; `None` to pass it over as too late.
    pub job: Option<NewJob>,
}

/// The newest decisions about a schedule.
#[derive(Debug, Clone, Serialize)]
pub struct LastFire {
    /// When it was due, in microseconds since 1970.
    pub fire_time: i64,
    /// What was decided.
    pub decision: String,
    /// The job, if one was queued.
    pub job_id: Option<String>,
    /// When it was decided, in microseconds since 1970.
    #[serde(skip)]
    pub decided_at: i64,
}

impl Store {
    /// How far a definition has been considered, if ever.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn schedule_cursor(
        &self,
        schedule: &str,
        definition: &str,
    ) -> Result<Option<i64>, StateError> {
        let select = self
            .query("SELECT considered_until FROM schedule_cursor WHERE schedule = $1 AND definition = $2")
            .bind(schedule.to_owned())
            .bind(definition.to_owned());
        let rows = self.read(select).await?;
        rows.first()
            .map(|row| column(row, "considered_until"))
            .transpose()
    }

    /// Decides about fires and notes how far the definition is considered, all in one transaction. Fires that another
    /// worker has decided about are left as they are. Answers what was decided here.
    ///
    /// # Errors
    /// As [`Self::schedule_cursor`].
    pub async fn decide_fires(
        &self,
        schedule: &str,
        definition: &str,
        considered_until: i64,
        overlap: Overlap,
        fires: Vec<Fire>,
    ) -> Result<Vec<(i64, Decision)>, StateError> {
        let mut tx = self.begin().await?;
        let mut decided = Vec::new();
        for fire in fires {
            let insert = tx
                .query(
                    "INSERT INTO schedule_fire (schedule, fire_time, decision, job_id, decided_at) \
                     VALUES ($1, $2, $3, $4, {now}) ON CONFLICT DO NOTHING",
                )
                .bind(schedule.to_owned())
                .bind(fire.fire_time)
                .bind(match &fire.job {
                    Some(_) => Decision::Fired.name(),
                    None => Decision::SkippedLate.name(),
                })
                .bind(fire.job.as_ref().map(|job| job.id.clone()));
            if tx.execute(insert).await? == 0 {
                continue;
            }
            let Some(job) = fire.job else {
                decided.push((fire.fire_time, Decision::SkippedLate));
                continue;
            };
            let busy = match overlap {
                Overlap::Allow => None,
                Overlap::Queue => Some("AND state = 'queued' AND started_at IS NULL"),
                Overlap::Skip => Some(""),
            };
            let is_busy = match busy {
                None => false,
                Some(condition) => {
                    let select = tx
                        .query(&format!(
                            "SELECT 1 FROM job WHERE schedule = $1 AND finished_at IS NULL {condition} LIMIT 1"
                        ))
                        .bind(schedule.to_owned());
                    !tx.fetch(select).await?.is_empty()
                }
            };
            if is_busy {
                let update = tx
                    .query(
                        "UPDATE schedule_fire SET decision = 'skipped_overlap', job_id = NULL WHERE schedule = $1 \
                         AND fire_time = $2",
                    )
                    .bind(schedule.to_owned())
                    .bind(fire.fire_time);
                tx.execute(update).await?;
                decided.push((fire.fire_time, Decision::SkippedOverlap));
            } else {
                tx.insert_jobs(&[job]).await?;
                decided.push((fire.fire_time, Decision::Fired));
            }
        }
        let cursor = tx
            .query(
                "INSERT INTO schedule_cursor (schedule, definition, considered_until) VALUES ($1, $2, $3) \
                 ON CONFLICT (schedule, definition) DO UPDATE SET considered_until = excluded.considered_until",
            )
            .bind(schedule.to_owned())
            .bind(definition.to_owned())
            .bind(considered_until);
        tx.execute(cursor).await?;
        tx.commit("decide_fires").await?;
        Ok(decided)
    }

    /// What operators said about schedules: paused or not, whatever their files say.
    ///
    /// # Errors
    /// As [`Self::schedule_cursor`].
    pub async fn paused_schedules(&self) -> Result<HashMap<String, bool>, StateError> {
        let rows = self
            .read(self.query("SELECT schedule, paused FROM schedule_pause"))
            .await?;
        rows.iter()
            .map(|row| Ok((column(row, "schedule")?, column::<i64>(row, "paused")? != 0)))
            .collect()
    }

    /// Pauses a schedule or lets it go on.
    ///
    /// # Errors
    /// As [`Self::schedule_cursor`].
    pub async fn pause_schedule(&self, schedule: &str, paused: bool) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        let upsert = tx
            .query(
                "INSERT INTO schedule_pause (schedule, paused, changed_at) VALUES ($1, $2, {now}) \
                 ON CONFLICT (schedule) DO UPDATE SET paused = excluded.paused, changed_at = excluded.changed_at",
            )
            .bind(schedule.to_owned())
            .bind(i64::from(paused));
        tx.execute(upsert).await?;
        tx.wake();
        tx.commit("pause_schedule").await
    }

    /// The newest decision about each schedule.
    ///
    /// # Errors
    /// As [`Self::schedule_cursor`].
    pub async fn last_fires(&self) -> Result<HashMap<String, LastFire>, StateError> {
        let select = self.query(
            "SELECT f.schedule, f.fire_time, f.decision, f.job_id, f.decided_at FROM schedule_fire AS f JOIN \
             (SELECT schedule, max(fire_time) AS newest FROM schedule_fire GROUP BY schedule) AS last \
             ON last.schedule = f.schedule AND last.newest = f.fire_time",
        );
        let rows = self.read(select).await?;
        rows.iter()
            .map(|row| {
                let fire = LastFire {
                    fire_time: column(row, "fire_time")?,
                    decision: column(row, "decision")?,
                    job_id: column(row, "job_id")?,
                    decided_at: column(row, "decided_at")?,
                };
                Ok((column(row, "schedule")?, fire))
            })
            .collect()
    }
}

//! What operators do with jobs: look, cancel, try again, clear away.

use serde::Serialize;
use serde_json::Value;
use sqlx::any::AnyRow;

use super::{State, json, optional_json};
use crate::state::{StateError, Store, Tx, column, places_from, statement};

/// Rows deleted in one transaction, so that nothing waits long.
const PURGE_ROWS: i64 = 1000;
/// Decisions of schedules and what verifications came to: four quarters, and what it takes to report on them.
const KEEP_RUNS_DAYS: u32 = 400;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In these states; in any where empty.
    pub states: Vec<State>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Children of this job. Without it, jobs that have no parent.
    pub parent: Option<String>,
    /// At most so many, the newest first.
    pub limit: i64,
}

/// A job as operators see it. Times are microseconds since 1970 UTC.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "named after the columns, which the migrations explain"
)]
pub struct JobView {
    pub id: String,
    pub kind: String,
    pub queue: String,
    pub state: State,
    /// Whether it only waits for its children.
    pub waits_for_children: bool,
    pub priority: i64,
    pub attempt: i64,
    pub max_attempts: i64,
    pub cancel_requested: bool,
    pub progress_done: Option<i64>,
    pub progress_total: Option<i64>,
    pub payload: Value,
    pub outcome: Option<Value>,
    pub error: Option<String>,
    pub source: String,
    pub schedule: Option<String>,
    pub fire_time: Option<i64>,
    pub parent_id: Option<String>,
    pub part: Option<i64>,
    pub open_children: i64,
    pub worker: Option<String>,
    pub run_at: i64,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

/// A parent's progress is what its children have done.
const VIEW: &str = "SELECT id, kind, queue, state, priority, attempt, max_attempts, cancel_requested, \
    CASE WHEN open_children > 0 THEN (SELECT CAST(COALESCE(sum(progress_done), 0) AS BIGINT) FROM job AS child \
        WHERE child.parent_id = job.id) ELSE progress_done END AS progress_done, \
    progress_total, payload, outcome, error, source, schedule, fire_time, parent_id, part, open_children, worker, \
    lease_owner, run_at, created_at, started_at, finished_at FROM job";

impl Store {
    /// Jobs that fit, the newest first.
    ///
    /// # Errors
    /// If the database fails; so all methods here.
    pub async fn jobs(&self, filter: &Filter) -> Result<Vec<JobView>, StateError> {
        let mut arguments: Vec<String> = Vec::new();
        let mut conditions = Vec::new();
        if !filter.states.is_empty() {
            let places = places_from(1, filter.states.len());
            conditions.push(format!("state IN ({places})"));
            arguments.extend(filter.states.iter().map(|state| state.name().to_owned()));
        }
        if let Some(kind) = &filter.kind {
            arguments.push(kind.clone());
            conditions.push(format!("kind = ${}", arguments.len()));
        }
        if let Some(parent) = &filter.parent {
            arguments.push(parent.clone());
            conditions.push(format!("parent_id = ${}", arguments.len()));
        } else {
            conditions.push("parent_id IS NULL".to_owned());
        }
        let order = if filter.parent.is_some() {
            "part"
        } else {
            "created_at DESC, id DESC"
        };
        let sql = format!(
            "{VIEW} WHERE {} ORDER BY {order} LIMIT {}",
            conditions.join(" AND "),
            filter.limit.max(1)
        );
        let mut select = statement(sql);
        for argument in arguments {
            select = select.bind(argument);
        }
        let rows = self.read(select).await?;
        rows.iter().map(JobView::read).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn job(&self, id: &str) -> Result<Option<JobView>, StateError> {
        let select = statement(format!("{VIEW} WHERE id = $1")).bind(id.to_owned());
        self.read(select)
            .await?
            .first()
            .map(JobView::read)
            .transpose()
    }

    /// The only job whose id starts or ends with `part`, so that nobody has to type all of it.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub async fn find_job(&self, part: &str) -> Result<JobView, StateError> {
        if let Some(job) = self.job(part).await? {
            return Ok(job);
        }
        let is_plain = part.len() >= 4 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let rows = if is_plain {
            let sql = format!("{VIEW} WHERE id LIKE $1 OR id LIKE $2 LIMIT 2");
            let select = statement(sql)
                .bind(format!("{part}%"))
                .bind(format!("%{part}"));
            self.read(select).await?
        } else {
            Vec::new()
        };
        match rows.as_slice() {
            [row] => JobView::read(row),
            [] => Err(StateError::Refused(format!(
                "there is no job {part}; trailkeeper jobs list shows those that there are"
            ))),
            _ => Err(StateError::Refused(format!(
                "more than one job has an id like {part}; give more of it"
            ))),
        }
    }

    /// The children of a job, in the order of their parts, each with the bytes that it kept.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn children(
        &self,
        parent: &str,
    ) -> Result<Vec<(JobView, Option<Vec<u8>>)>, StateError> {
        let sql = format!(
            "{} WHERE parent_id = $1 ORDER BY part",
            VIEW.replace("SELECT id", "SELECT memo, id")
        );
        let rows = self.read(statement(sql).bind(parent.to_owned())).await?;
        rows.iter()
            .map(|row| Ok((JobView::read(row)?, column(row, "memo")?)))
            .collect()
    }

    /// How many jobs there are, by state and kind.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn job_counts(&self) -> Result<Vec<(State, String, i64)>, StateError> {
        let select =
            self.query("SELECT state, kind, count(*) AS jobs FROM job GROUP BY state, kind");
        let rows = self.read(select).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    State::read(row)?,
                    column(row, "kind")?,
                    column(row, "jobs")?,
                ))
            })
            .collect()
    }

    /// When the oldest job that is due was due, in microseconds since 1970, and the database's present.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn oldest_due(&self) -> Result<(Option<i64>, i64), StateError> {
        let select = self.query(
            "SELECT min(run_at) AS oldest, {now} AS now FROM job WHERE state IN ('queued', 'retrying') \
             AND run_at <= {now}",
        );
        let rows = self.read(select).await?;
        Ok((column(&rows[0], "oldest")?, column(&rows[0], "now")?))
    }

    /// Cancels a job and its children: at once where nobody runs them, else as soon as whoever does looks.
    ///
    /// # Errors
    /// If the job has ended already.
    pub async fn cancel(&self, id: &str) -> Result<State, StateError> {
        let mut tx = self.begin().await?;
        tx.cancel_job(id).await?;
        tx.commit("cancel").await?;
        let job = self.job(id).await?;
        Ok(job.map_or(State::Cancelled, |job| job.state))
    }

    /// Queues a job that is dead or was cancelled again, with all its attempts; of a parent only the children that
    /// failed run again. A child alone cannot: its parent has counted its end already.
    ///
    /// # Errors
    /// If the job has not ended, or succeeded, or is a child.
    pub async fn retry(&self, id: &str) -> Result<(), StateError> {
        let mut tx = self.begin().await?;
        tx.retry_job(id).await?;
        tx.commit("retry").await
    }

    /// The ids of dead jobs, the oldest first; children stand and fall with their parents.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn dead_jobs(&self, limit: i64) -> Result<Vec<String>, StateError> {
        let select = self.query(
            "SELECT id FROM job WHERE state = 'dead' AND parent_id IS NULL ORDER BY created_at, id LIMIT $1",
        );
        let rows = self.read(select.bind(limit)).await?;
        rows.iter().map(|row| column(row, "id")).collect()
    }

    /// Deletes dead jobs, or only the one given, with their children.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn purge_dead(&self, id: Option<&str>) -> Result<u64, StateError> {
        let mut tx = self.begin().await?;
        let delete = match id {
            Some(id) => tx
                .query("DELETE FROM job WHERE state = 'dead' AND parent_id IS NULL AND id = $1")
                .bind(id.to_owned()),
            None => tx.query("DELETE FROM job WHERE state = 'dead' AND parent_id IS NULL"),
        };
        let deleted = tx.execute(delete).await?;
        tx.commit("purge_dead").await?;
        Ok(deleted)
    }

    /// Deletes jobs that succeeded or were cancelled over `keep_results_days` ago, and inbox rows older than
    /// `keep_inbox_days`. What schedules decided and what verifications came to stays for over a year, as reports name it. Dead jobs stay
    /// until an operator purges them.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub async fn expire(
        &self,
        keep_results_days: u32,
        keep_inbox_days: u32,
    ) -> Result<u64, StateError> {
        let jobs = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE finished_at < {now} - $1 AND \
                    parent_id IS NULL AND state IN ('succeeded', 'cancelled') ORDER BY finished_at LIMIT $2)";
        let inbox = "DELETE FROM inbox WHERE received_at < {now} - $1 AND NOT EXISTS (SELECT 1 FROM job WHERE \
                     job.id = inbox.job_id AND job.finished_at IS NULL) AND job_id IN (SELECT job_id FROM inbox \
                     WHERE received_at < {now} - $1 ORDER BY received_at LIMIT $2)";
        let mut total = 0;
        let fires = "DELETE FROM schedule_fire WHERE decided_at < {now} - $1 AND fire_time IN (SELECT fire_time FROM \
                     schedule_fire WHERE decided_at < {now} - $1 ORDER BY fire_time LIMIT $2)";
        let runs = "DELETE FROM verification_run WHERE job_id IN (SELECT job_id FROM verification_run WHERE \
                    ended_at < {now} - $1 ORDER BY ended_at LIMIT $2)";
        for (text, days) in [
            (jobs, keep_results_days),
            (fires, keep_results_days.max(KEEP_RUNS_DAYS)),
            (runs, keep_results_days.max(KEEP_RUNS_DAYS)),
            (inbox, keep_inbox_days),
        ] {
            loop {
                let mut tx = self.begin().await?;
                let delete = tx
                    .query(text)
                    .bind(i64::from(days) * 86_400_000_000)
                    .bind(PURGE_ROWS);
                let deleted = tx.execute(delete).await?;
                tx.commit("expire").await?;
                total += deleted;
                if deleted < PURGE_ROWS as u64 {
                    break;
                }
            }
        }
        Ok(total)
    }
}

impl Tx {
    /// [`Store::cancel`] as part of this transaction.
    ///
    /// # Errors
    /// If the job has ended already.
    pub async fn cancel_job(&mut self, id: &str) -> Result<(), StateError> {
        // Children first, and all of them before the parent: the order in which their ends are written.
        let lock = self
            .query("SELECT id FROM job WHERE parent_id = $1 ORDER BY id {for_update}")
            .bind(id.to_owned());
        self.fetch(lock).await?;
        self.cancel_rows("parent_id = $1", id).await?;
        let changed = self.cancel_rows("id = $1", id).await?;
        if changed == 0 {
            let state = self.store().job(id).await?.map(|job| job.state.name());
            return Err(StateError::Refused(match state {
                Some(state) => format!("job {id} has ended already: it is {state}"),
                None => format!("there is no job {id}"),
            }));
        }
        self.wake();
        Ok(())
    }

    /// [`Store::retry`] as part of this transaction.
    ///
    /// # Errors
    /// If the job has not ended, or succeeded, or is a child.
    pub async fn retry_job(&mut self, id: &str) -> Result<(), StateError> {
        let reset = "UPDATE job SET state = 'queued', attempt = 0, crashes = 0, fence = fence + 1, error = NULL, \
                     cancel_requested = 0, started_at = NULL, finished_at = NULL, run_at = {now} \
                     WHERE state IN ('dead', 'cancelled') AND";
        let again = self
            .query(&format!("{reset} id = $1 AND parent_id IS NULL"))
            .bind(id.to_owned());
        if self.execute(again).await? == 0 {
            let parent = self.store().job(id).await?.and_then(|job| job.parent_id);
            return Err(StateError::Refused(match parent {
                Some(parent) => format!("job {id} is a part of job {parent}; try that one again"),
                None => {
                    format!("job {id} is not dead or cancelled, so there is nothing to try again")
                }
            }));
        }
        // A job that was cancelled has forgotten its plan and makes a new one, with new children.
        let forgotten = self
            .query("DELETE FROM job WHERE parent_id = $1 AND (SELECT memo FROM job WHERE id = $1) IS NULL")
            .bind(id.to_owned());
        self.execute(forgotten).await?;
        let children = self
            .query(&format!("{reset} parent_id = $1"))
            .bind(id.to_owned());
        let children = self.execute(children).await?;
        if children > 0 {
            let wait = self
                .query("UPDATE job SET state = 'running', open_children = $1 WHERE id = $2")
                .bind(children as i64)
                .bind(id.to_owned());
            self.execute(wait).await?;
        }
        self.wake();
        Ok(())
    }

    /// Cancels rows that nobody runs, and asks whoever runs the others to stop.
    async fn cancel_rows(&mut self, condition: &str, id: &str) -> Result<u64, StateError> {
        let waiting = self
            .query(&format!(
                "SELECT id, kind, parent_id FROM job WHERE {condition} AND lease_owner IS NULL AND finished_at IS NULL"
            ))
            .bind(id.to_owned());
        let waiting = self.fetch(waiting).await?;
        let mut changed = 0;
        for row in &waiting {
            let (id, kind): (String, String) = (column(row, "id")?, column(row, "kind")?);
            let update = self
                .query(
                    "UPDATE job SET state = 'cancelled', fence = fence + 1, unique_key = NULL, open_children = 0, \
                     memo = NULL, finished_at = {now} WHERE id = $1 AND lease_owner IS NULL AND finished_at IS NULL",
                )
                .bind(id.clone());
            let updated = self.execute(update).await?;
            if updated > 0 {
                let data = serde_json::json!({"job_id": id, "kind": kind, "state": "cancelled"});
                let parent: Option<&str> = column(row, "parent_id")?;
                self.ended(&id, &kind, parent, "cancelled", data).await?;
            }
            changed += updated;
        }
        let running = self
            .query(&format!(
                "UPDATE job SET cancel_requested = 1 WHERE {condition} AND lease_owner IS NOT NULL"
            ))
            .bind(id.to_owned());
        Ok(changed + self.execute(running).await?)
    }
}

impl JobView {
    fn read(row: &AnyRow) -> Result<Self, StateError> {
        let state = State::read(row)?;
        let lease_owner: Option<String> = column(row, "lease_owner")?;
        Ok(Self {
            id: column(row, "id")?,
            kind: column(row, "kind")?,
            queue: column(row, "queue")?,
            state,
            waits_for_children: state == State::Running && lease_owner.is_none(),
            priority: column(row, "priority")?,
            attempt: column(row, "attempt")?,
            max_attempts: column(row, "max_attempts")?,
            cancel_requested: column::<i64>(row, "cancel_requested")? != 0,
            progress_done: column(row, "progress_done")?,
            progress_total: column(row, "progress_total")?,
            payload: json(column(row, "payload")?)?,
            outcome: optional_json(column(row, "outcome")?)?,
            error: column(row, "error")?,
            source: column(row, "source")?,
            schedule: column(row, "schedule")?,
            fire_time: column(row, "fire_time")?,
            parent_id: column(row, "parent_id")?,
            part: column(row, "part")?,
            open_children: column(row, "open_children")?,
            worker: column(row, "worker")?,
            run_at: column(row, "run_at")?,
            created_at: column(row, "created_at")?,
            started_at: column(row, "started_at")?,
            finished_at: column(row, "finished_at")?,
        })
    }
}

//! Putting jobs into the queue.

use std::collections::HashMap;

use super::NewJob;
use crate::state::{StateError, Store, Tx, column, places_from, statement};

/// Rows of one INSERT. PostgreSQL takes 65,535 arguments in a statement, SQLite 32,766.
const ROWS: usize = 200;
const COLUMNS: usize = 14;
/// A job that is equal to a queued one can lose it to a worker between two looks; a handful of tries is plenty.
const TRIES: usize = 20;

/// What became of a job that was to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// The job, or the equal one that was queued already.
    pub id: String,
    /// Whether it is the job that was given.
    pub is_new: bool,
}

impl Store {
    /// Queues jobs, all or none. An answer that was lost is no harm: the same call again changes nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, StateError> {
        let mut tx = self.begin().await?;
        let queued = tx.insert_jobs(jobs).await?;
        tx.commit("enqueue").await?;
        Ok(queued)
    }
}

impl Tx {
    /// Queues jobs as part of this transaction; the answers are in the order given.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_jobs(&mut self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, StateError> {
        self.insert(jobs, None).await
    }

    /// Queues the children of `parent`, whose parts are numbered as given.
    pub(super) async fn insert_children(
        &mut self,
        jobs: &[NewJob],
        parent: &str,
    ) -> Result<(), StateError> {
        self.insert(jobs, Some(parent)).await.map(|_| ())
    }

    async fn insert(
        &mut self,
        jobs: &[NewJob],
        parent: Option<&str>,
    ) -> Result<Vec<Enqueued>, StateError> {
        let mut known: HashMap<String, String> = HashMap::new();
        for (batch, jobs) in jobs.chunks(ROWS).enumerate() {
            let mut open: Vec<(usize, &NewJob)> = jobs
                .iter()
                .enumerate()
                .map(|(index, job)| (batch * ROWS + index, job))
                .collect();
            for tries in 0.. {
                self.insert_rows(&open, parent, &mut known).await?;
                open.retain(|(_, job)| !known.contains_key(&job.id));
                if open.is_empty() {
                    break;
                }
                if tries == TRIES {
                    return Err(StateError::Refused(
                        "equal jobs come and go too fast to tell which one is queued; try again"
                            .to_owned(),
                    ));
                }
            }
        }
        self.wake();
        let new = jobs.iter().filter(|job| known[&job.id] == job.id);
        self.note_queued(new.map(|job| job.kind.clone()));
        Ok(jobs
            .iter()
            .map(|job| Enqueued {
                is_new: known[&job.id] == job.id,
                id: known[&job.id].clone(),
            })
            .collect())
    }

    /// Inserts rows, and learns which job each of them stands for now.
    async fn insert_rows(
        &mut self,
        jobs: &[(usize, &NewJob)],
        parent: Option<&str>,
        known: &mut HashMap<String, String>,
    ) -> Result<(), StateError> {
        let rows: Vec<String> = (0..jobs.len()).map(|row| one_row(row * COLUMNS)).collect();
        let sql = self.store().sql(&format!(
            "INSERT INTO job (id, kind, queue, payload, state, priority, run_at, max_attempts, unique_key, source, \
             schedule, fire_time, parent_id, part, traceparent, created_at) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            rows.join(", ")
        ));
        let mut insert = statement(sql).persistent(jobs.len() == 1);
        for (part, job) in jobs {
            let (schedule, fire_time) = match &job.fired {
                Some((schedule, fire_time)) => (Some(schedule.clone()), Some(*fire_time)),
                None => (None, None),
            };
            insert = insert
                .bind(job.id.clone())
                .bind(job.kind.clone())
                .bind(job.queue.clone())
                .bind(job.payload.to_string())
                .bind(job.priority)
                .bind(job.delay_micros)
                .bind(job.max_attempts)
                .bind(job.unique_key.clone())
                .bind(job.source.clone())
                .bind(schedule)
                .bind(fire_time)
                .bind(parent.map(str::to_owned))
                .bind(parent.map(|_| *part as i64))
                .bind(self.trace_or(job.trace.as_ref()));
        }
        for row in self.fetch(insert).await? {
            let id: String = column(&row, "id")?;
            known.insert(id.clone(), id);
        }
        self.find_equals(jobs, known).await
    }

    /// Finds what stood in the way of those that were not inserted: themselves, or an equal job.
    async fn find_equals(
        &mut self,
        jobs: &[(usize, &NewJob)],
        known: &mut HashMap<String, String>,
    ) -> Result<(), StateError> {
        let missing: Vec<&NewJob> = jobs
            .iter()
            .map(|(_, job)| *job)
            .filter(|job| !known.contains_key(&job.id))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let keys: Vec<&String> = missing
            .iter()
            .filter_map(|job| job.unique_key.as_ref())
            .collect();
        let sql = format!(
            "SELECT id, unique_key FROM job WHERE id IN ({}) OR unique_key IN ({}) {{for_update}}",
            places_from(1, missing.len()),
            if keys.is_empty() {
                "NULL".to_owned()
            } else {
                places_from(1 + missing.len(), keys.len())
            }
        );
        // Locked, so that nobody runs it before who asks is known: a run that has begun answers for no later message.
        let mut select = self.query(&sql).persistent(false);
        for job in &missing {
            select = select.bind(job.id.clone());
        }
        for key in keys {
            select = select.bind(key.clone());
        }
        let mut by_key = HashMap::new();
        for row in self.fetch(select).await? {
            let id: String = column(&row, "id")?;
            if let Some(key) = column::<Option<String>>(&row, "unique_key")? {
                by_key.insert(key, id.clone());
            }
            if missing.iter().any(|job| job.id == id) {
                known.insert(id.clone(), id);
            }
        }
        for job in missing {
            if let Some(equal) = job.unique_key.as_ref().and_then(|key| by_key.get(key)) {
                known.entry(job.id.clone()).or_insert_with(|| equal.clone());
            }
        }
        Ok(())
    }
}

/// The places of one row, `before` of them being taken.
fn one_row(before: usize) -> String {
    let place = |nth: usize| format!("${}", before + nth);
    let list = |from: usize, to: usize| (from..=to).map(place).collect::<Vec<_>>().join(", ");
    format!(
        "({}, 'queued', {}, {{now}} + {}, {}, {{now}})",
        list(1, 4),
        place(5),
        place(6),
        list(7, COLUMNS)
    )
}

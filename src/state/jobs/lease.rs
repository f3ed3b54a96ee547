//! Keeping leases, giving them back, and taking away those that ran out.

use std::time::Duration;

use super::new_id;
use crate::state::{
    StateError, Store, Tx, column,
    outbox::{Event, Outgoing},
    statement,
};

/// A job that is still ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: String,
    /// The claim's number.
    pub fence: i64,
    /// Whether an operator wants it stopped.
    pub cancel_requested: bool,
}

/// Jobs whose worker vanished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Will be run again.
    pub retried: u64,
    /// Had no attempt left.
    pub dead: u64,
    /// Were to be cancelled anyway.
    pub cancelled: u64,
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The job.
    pub id: String,
    /// The claim's number.
    pub fence: i64,
    /// What is done.
    pub done: i64,
    /// Of how much, where known.
    pub total: Option<i64>,
}

impl Store {
    /// Extends all leases of `owner`, notes how far its jobs are, and answers which jobs it still holds.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn heartbeat(
        &self,
        owner: &str,
        lease: Duration,
        advances: &[Advance],
    ) -> Result<Vec<Held>, StateError> {
        let mut tx = self.begin().await?;
        let held = tx
            .fetch(
                tx.query(
                    "UPDATE job SET lease_until = {now} + $1 WHERE lease_owner = $2 RETURNING id, fence, \
                     cancel_requested",
                )
                .bind(lease.as_micros() as i64)
                .bind(owner.to_owned()),
            )
            .await?;
        for advance in advances {
            let update = tx
                .query(
                    "UPDATE job SET progress_done = $1, progress_total = $2 WHERE id = $3 AND fence = $4 \
                     AND lease_owner = $5",
                )
                .bind(advance.done)
                .bind(advance.total)
                .bind(advance.id.clone())
                .bind(advance.fence)
                .bind(owner.to_owned());
            tx.execute(update).await?;
        }
        tx.commit("heartbeat").await?;
        held.iter()
            .map(|row| {
                Ok(Held {
                    id: column(row, "id")?,
                    fence: column(row, "fence")?,
                    cancel_requested: column::<i64>(row, "cancel_requested")? != 0,
                })
            })
            .collect()
    }

    /// The jobs that `owner` holds and somebody wishes to be cancelled, with their fences. Only reads: what is done whenever
    /// anything was written must write nothing itself.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn cancel_requests(&self, owner: &str) -> Result<Vec<(String, i64)>, StateError> {
        let held = "SELECT id, fence FROM job WHERE lease_owner = $1 AND cancel_requested = 1";
        let rows = self.read(self.query(held).bind(owner.to_owned())).await?;
        rows.iter()
            .map(|row| Ok((column(row, "id")?, column(row, "fence")?)))
            .collect()
    }

    /// Gives jobs back untouched, as if they had not been claimed: a clean shutdown costs no attempt.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release(&self, owner: &str, jobs: &[(String, i64)]) -> Result<(), StateError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for (id, fence) in jobs {
            // What an operator wished to cancel is not run again: it counts as run out, and so ends.
            let end = tx
                .query("UPDATE job SET lease_until = 0 WHERE id = $1 AND fence = $2 AND cancel_requested = 1")
                .bind(id.clone())
                .bind(*fence);
            tx.execute(end).await?;
            let update = tx
                .query(
                    "UPDATE job SET state = CASE WHEN attempt > 1 THEN 'retrying' ELSE 'queued' END, \
                     attempt = attempt - 1, fence = fence + 1, lease_owner = NULL, lease_until = NULL, \
                     run_at = {now} WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND cancel_requested = 0",
                )
                .bind(id.clone())
                .bind(*fence)
                .bind(owner.to_owned());
            tx.execute(update).await?;
        }
        tx.wake();
        tx.commit("release").await
    }

    /// Gives back what is leased to `owner` and not among `known`: claims whose answer was lost.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release_unknown(
        &self,
        owner: &str,
        known: &[(String, i64)],
    ) -> Result<u64, StateError> {
        let rows = self
            .read(
                self.query("SELECT id, fence FROM job WHERE lease_owner = $1")
                    .bind(owner.to_owned()),
            )
            .await?;
        let mut unknown = Vec::new();
        for row in &rows {
            let job: (String, i64) = (column(row, "id")?, column(row, "fence")?);
            if !known.contains(&job) {
                unknown.push(job);
            }
        }
        self.release(owner, &unknown).await?;
        Ok(unknown.len() as u64)
    }

    /// Takes leases away that have run out: their worker vanished, which counts as an attempt. `delay` says, by the
    /// number of attempts made, how many microseconds to wait before the next.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rescue(&self, delay: impl Fn(i64) -> i64) -> Result<Rescued, StateError> {
        let mut tx = self.begin().await?;
        let expired = tx
            .fetch(tx.query(
                "SELECT id, kind, parent_id, attempt, max_attempts, cancel_requested, worker FROM job \
                 WHERE lease_owner IS NOT NULL AND lease_until < {now} ORDER BY lease_until LIMIT 500 {skip_locked}",
            ))
            .await?;
        let mut rescued = Rescued::default();
        for row in &expired {
            let id: String = column(row, "id")?;
            let (attempt, max): (i64, i64) =
                (column(row, "attempt")?, column(row, "max_attempts")?);
            let worker: Option<&str> = column(row, "worker")?;
            let error = format!(
                "worker {} vanished while it ran this job (attempt {attempt} of {max})",
                worker.unwrap_or("?")
            );
            let state = if column::<i64>(row, "cancel_requested")? != 0 {
                rescued.cancelled += 1;
                "cancelled"
            } else if attempt >= max {
                rescued.dead += 1;
                "dead"
            } else {
                rescued.retried += 1;
                "retrying"
            };
            let is_final = state != "retrying";
            let update = tx
                .query(
                    "UPDATE job SET state = $1, fence = fence + 1, crashes = crashes + 1, lease_owner = NULL, \
                     lease_until = NULL, error = $2, run_at = {now} + $3, \
                     finished_at = CASE WHEN $4 THEN {now} ELSE NULL END WHERE id = $5",
                )
                .bind(state)
                .bind(error.clone())
                .bind(delay(attempt))
                .bind(is_final)
                .bind(id.clone());
            tx.execute(update).await?;
            if is_final {
                let kind: String = column(row, "kind")?;
                let data =
                    serde_json::json!({"job_id": id, "kind": kind, "state": state, "error": error});
                let parent: Option<&str> = column(row, "parent_id")?;
                tx.ended(&id, &kind, parent, state, data).await?;
            }
        }
        if expired.is_empty() {
            tx.rollback().await?;
        } else {
            tx.wake();
            tx.commit("rescue").await?;
        }
        Ok(rescued)
    }
}

impl Tx {
    /// What follows from a job's end: its event, the answers to those who asked, and one child less to wait for.
    pub(super) async fn ended(
        &mut self,
        id: &str,
        kind: &str,
        parent: Option<&str>,
        state: &str,
        data: serde_json::Value,
    ) -> Result<(), StateError> {
        if let Some(parent) = parent {
            return self.child_ended(parent).await;
        }
        if !self.store().publishes_events {
            return Ok(());
        }
        let event_type = format!("job.{state}");
        let replies = self
            .fetch(
                self.query("SELECT reply_to, correlation_id FROM inbox WHERE job_id = $1 AND reply_to IS NOT NULL")
                    .bind(id.to_owned()),
            )
            .await?;
        let event = Event {
            id: new_id(),
            event_type: event_type.clone(),
            subject: Some(format!("{kind}/{id}")),
            data,
        };
        for row in &replies {
            let reply = Outgoing::reply(
                &event,
                column(row, "reply_to")?,
                column(row, "correlation_id")?,
            );
            self.send(&reply).await?;
        }
        self.send(&Outgoing::event(&event)).await
    }

    /// Tells the parent that a child has ended; the last one sets it going again.
    async fn child_ended(&mut self, parent: &str) -> Result<(), StateError> {
        let sql = self.store().sql(
            "UPDATE job SET open_children = open_children - 1, \
             state = CASE WHEN open_children = 1 THEN 'queued' ELSE state END, run_at = {now} \
             WHERE id = $1 AND state = 'running' AND open_children > 0 RETURNING open_children",
        );
        let rows = self.fetch(statement(sql).bind(parent.to_owned())).await?;
        if let Some(row) = rows.first()
            && column::<i64>(row, "open_children")? == 0
        {
            self.wake();
        }
        Ok(())
    }

    /// Forgets the bytes that children kept for their parent.
    pub(super) async fn clear_children(&mut self, parent: &str) -> Result<(), StateError> {
        let update = self
            .query("UPDATE job SET memo = NULL WHERE parent_id = $1 AND memo IS NOT NULL")
            .bind(parent.to_owned());
        self.execute(update).await.map(|_| ())
    }
}

//! Ending a run: success, failure, a wait for children, a stop.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::NewJob;
use crate::{
    state::{StateError, Store, Tx, column, outbox::Event},
    trace::TraceParent,
};

/// Writes that belong to a job's success and happen with it, or not at all.
pub trait Effects: Send + Sync {
    /// Writes, and answers the events that tell of it. May be called again after a transaction that failed.
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>>;
}

/// How a run ended.
#[derive(Clone)]
pub enum Ending {
    /// Done.
    Succeeded {
        /// What was found.
        outcome: Value,
        /// What its parent needs of it.
        memo: Option<Vec<u8>>,
        /// Entries or the like that it went through.
        done: Option<i64>,
        /// Further events.
        events: Vec<Event>,
        /// Further writes.
        effects: Option<Arc<dyn Effects>>,
    },
    /// Wait until all of these have ended, then run again.
    Waits {
        /// Queued together with the wait.
        children: Vec<NewJob>,
        /// What to know then.
        memo: Vec<u8>,
        /// What there is to do in all.
        total: Option<i64>,
    },
    /// Failed; try again after so many microseconds, if an attempt is left.
    Failed {
        /// Why, with the whole chain.
        error: String,
        /// How long to wait.
        delay_micros: i64,
    },
    /// Failed, and another attempt would as well.
    Dead {
        /// Why, with the whole chain.
        error: String,
    },
    /// Stopped because an operator wished it.
    Cancelled,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded { .. } => "Succeeded",
            Self::Waits { .. } => "Waits",
            Self::Failed { .. } => "Failed",
            Self::Dead { .. } => "Dead",
            Self::Cancelled => "Cancelled",
        })
    }
}

/// A run that ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The job.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The claim's number.
    pub fence: i64,
    /// Which attempt it was, and of how many.
    pub attempt: i64,
    /// Attempts before it is dead.
    pub max_attempts: i64,
    /// What is kept of the payload if the job succeeded; none where that is all of it. Whatever may be run again keeps all.
    pub redacted: Option<Value>,
    /// The trace in which its children and what it tells go on.
    pub trace: Option<TraceParent>,
    /// How it ended.
    pub ending: Ending,
}

/// What became of a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is written.
    Written(&'static str),
    /// The lease was lost, and with it the right to write: somebody else runs the job, or it ended.
    LeaseLost,
}

impl Store {
    /// Ends runs, all in one transaction. After an answer that was lost the same call changes nothing more.
    ///
    /// # Errors
    /// If the database fails. One job's effects can fail all of the batch: try them one by one then.
    pub async fn finish(&self, batch: &[Finish]) -> Result<Vec<Finished>, StateError> {
        let mut tx = self.begin().await?;
        let mut written = vec![Finished::LeaseLost; batch.len()];
        // Parents are updated as children end: in one order everywhere, so that no two workers wait for each other.
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by(|&a, &b| batch[a].id.cmp(&batch[b].id));
        for index in order {
            written[index] = tx.finish_one(&batch[index]).await?;
        }
        tx.commit("finish").await?;
        Ok(written)
    }
}

impl Tx {
    async fn finish_one(&mut self, finish: &Finish) -> Result<Finished, StateError> {
        self.trace.clone_from(&finish.trace);
        let mut row = EndedRow::of(finish);
        if !row.is_final && self.is_to_be_cancelled(finish).await? {
            row = EndedRow::cancelled();
        }
        let update = self
            .query(
                "UPDATE job SET state = $1, error = $2, outcome = $3, memo = CASE WHEN $4 THEN $5 ELSE memo END, \
                 progress_done = COALESCE($6, progress_done), progress_total = COALESCE($7, progress_total), \
                 run_at = {now} + $8, open_children = $9, attempt = attempt - $10, \
                 finished_at = CASE WHEN $11 THEN {now} ELSE NULL END, lease_owner = NULL, lease_until = NULL, \
                 payload = COALESCE($14, payload) WHERE id = $12 AND fence = $13 AND lease_owner IS NOT NULL RETURNING parent_id, CAST((SELECT count(*) \
                 FROM job AS child WHERE child.parent_id = job.id AND child.memo IS NOT NULL) AS BIGINT) AS memos",
            )
            .bind(row.state)
            .bind(row.error.clone())
            .bind(row.outcome)
            .bind(row.sets_memo)
            .bind(row.memo)
            .bind(row.done)
            .bind(row.total)
            .bind(row.delay_micros)
            .bind(row.children)
            // The phase that ends here went well, so it is not counted as an attempt.
            .bind(i64::from(row.children > 0))
            .bind(row.is_final)
            .bind(finish.id.clone())
            .bind(finish.fence)
            .bind(row.payload);
        let updated = self.fetch(update).await?;
        let Some(updated) = updated.first() else {
            return self.was_written(finish, row.state).await;
        };
        let mut outcome = &Value::Null;
        match &finish.ending {
            _ if row.state == "cancelled" => {}
            Ending::Waits { children, .. } => self.insert_children(children, &finish.id).await?,
            Ending::Succeeded {
                events,
                effects,
                outcome: found,
                ..
            } => {
                outcome = found;
                for event in events {
                    self.publish(event).await?;
                }
                if let Some(effects) = effects {
                    for event in effects.apply(self).await? {
                        self.publish(&event).await?;
                    }
                }
            }
            _ => {}
        }
        if row.is_final {
            let data = json!({
                "job_id": finish.id, "kind": finish.kind, "state": row.state, "outcome": outcome, "error": row.error,
            });
            let parent: Option<&str> = column(updated, "parent_id")?;
            self.ended(&finish.id, &finish.kind, parent, row.state, data)
                .await?;
            // A dead parent keeps what its children found: an operator may have it tried again.
            if row.state != "dead" && column::<i64>(updated, "memos")? > 0 {
                self.clear_children(&finish.id).await?;
            }
        }
        Ok(Finished::Written(row.state))
    }

    /// Whether an operator wished to cancel a job that would go on.
    async fn is_to_be_cancelled(&mut self, finish: &Finish) -> Result<bool, StateError> {
        let select = self
            .query("SELECT 1 FROM job WHERE id = $1 AND cancel_requested = 1 {for_update}")
            .bind(finish.id.clone());
        Ok(!self.fetch(select).await?.is_empty())
    }

    /// Whether a finish that changed nothing did so because it had been written before. Claims and rescues count the
    /// fence up, so a job without lease under our number was ended by us.
    async fn was_written(
        &mut self,
        finish: &Finish,
        state: &'static str,
    ) -> Result<Finished, StateError> {
        let select = self
            .query("SELECT 1 FROM job WHERE id = $1 AND fence = $2 AND lease_owner IS NULL")
            .bind(finish.id.clone())
            .bind(finish.fence);
        Ok(if self.fetch(select).await?.is_empty() {
            Finished::LeaseLost
        } else {
            Finished::Written(state)
        })
    }
}

/// What the row says after a run.
struct EndedRow {
    state: &'static str,
    is_final: bool,
    error: Option<String>,
    outcome: Option<String>,
    /// What is kept of the payload; all where none.
    payload: Option<String>,
    sets_memo: bool,
    memo: Option<Vec<u8>>,
    done: Option<i64>,
    total: Option<i64>,
    delay_micros: i64,
    children: i64,
}

impl EndedRow {
    fn cancelled() -> Self {
        Self {
            state: "cancelled",
            is_final: true,
            error: None,
            outcome: None,
            payload: None,
            sets_memo: true,
            memo: None,
            done: None,
            total: None,
            delay_micros: 0,
            children: 0,
        }
    }

    fn of(finish: &Finish) -> Self {
        let mut row = Self::cancelled();
        match &finish.ending {
            Ending::Succeeded {
                outcome,
                memo,
                done,
                ..
            } => {
                row.state = "succeeded";
                row.outcome = Some(outcome.to_string());
                row.payload = finish.redacted.as_ref().map(Value::to_string);
                row.memo.clone_from(memo);
                (row.done, row.total) = (*done, *done);
            }
            Ending::Waits {
                children,
                memo,
                total,
            } => {
                row.state = "running";
                row.is_final = false;
                row.memo = Some(memo.clone());
                (row.done, row.total) = (Some(0), *total);
                row.children = children.len() as i64;
            }
            Ending::Failed {
                error,
                delay_micros,
            } if finish.attempt < finish.max_attempts => {
                row.state = "retrying";
                row.is_final = false;
                row.error = Some(error.clone());
                row.sets_memo = false;
                row.delay_micros = *delay_micros;
            }
            Ending::Failed { error, .. } | Ending::Dead { error } => {
                row.state = "dead";
                row.error = Some(error.clone());
                row.sets_memo = false;
            }
            Ending::Cancelled => {}
        }
        row
    }
}

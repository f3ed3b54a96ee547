//! Floor 2: what operators do with jobs, each act together with its entry in the ledger.

use serde_json::json;

use crate::{
    ledger::{Act, Scribe},
    state::{
        StateError, Store,
        jobs::{Enqueued, NewJob, State},
    },
};

/// Where operators' orders are taken.
pub struct Desk<'a> {
    /// Our database.
    pub store: &'a Store,
    /// Adds to the ledger; none where there is no key that signs entries.
    pub scribe: Option<Scribe<'a>>,
}

impl Desk<'_> {
    /// Queues a job, or finds the equal one that is queued.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn enqueue(&self, job: &NewJob) -> Result<Enqueued, StateError> {
        let mut tx = self.store.begin().await?;
        let queued = tx.insert_jobs(std::slice::from_ref(job)).await?;
        let queued = queued.into_iter().next();
        let queued = queued.ok_or_else(|| StateError::Refused("no job was queued".to_owned()))?;
        if let Some(scribe) = &self.scribe {
            // Not the payload: it may say whom a job is about, and the ledger forgets nothing.
            let detail = json!({"job": queued.id, "kind": job.kind, "new": queued.is_new});
            scribe.append(&mut tx, Act::EnqueueJob, detail).await?;
        }
        tx.commit("operator enqueue").await?;
        Ok(queued)
    }

    /// Cancels a job and its children.
    ///
    /// # Errors
    /// If the job has ended already, or the database fails.
    pub async fn cancel(&self, id: &str) -> Result<State, StateError> {
        let mut tx = self.store.begin().await?;
        tx.cancel_job(id).await?;
        if let Some(scribe) = &self.scribe {
            let detail = json!({"job": id});
            scribe.append(&mut tx, Act::CancelJob, detail).await?;
        }
        tx.commit("operator cancel").await?;
        let job = self.store.job(id).await?;
        Ok(job.map_or(State::Cancelled, |job| job.state))
    }

    /// Queues a job that is dead or was cancelled again.
    ///
    /// # Errors
    /// If the job has not ended, or succeeded, or is a child, or the database fails.
    pub async fn retry(&self, id: &str) -> Result<(), StateError> {
        let mut tx = self.store.begin().await?;
        tx.retry_job(id).await?;
        if let Some(scribe) = &self.scribe {
            let detail = json!({"job": id});
            scribe.append(&mut tx, Act::RetryJob, detail).await?;
        }
        tx.commit("operator retry").await
    }
}

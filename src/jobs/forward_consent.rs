//! Tells QWED of a consent record.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Services;
use crate::{
    consent::{ForwardError, Forwarder, Record},
    runtime::job::{Context, Job, JobError, Outcome},
    state::jobs::NewJob,
};

/// Attempts before an operator has to look: with the default pauses about a day.
const ATTEMPTS: i64 = 100;

/// Tells the QWED at consent.qwed_url of a consent record, at least once. Queued with each record where consent.forward_to_qwed is
/// set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardConsent {
    /// The organisation whose record it is.
    pub organization_id: i64,
    /// The record.
    pub record_id: String,
}

impl ForwardConsent {
    /// The job, such that it outlives a QWED that is away for long.
    pub(super) fn patient(job: NewJob) -> NewJob {
        NewJob {
            max_attempts: job.max_attempts.max(ATTEMPTS),
            ..job
        }
    }
}

impl Job<Services> for ForwardConsent {
    const KIND: &'static str = "forward_consent";
    const TIMEOUT: Duration = Duration::from_secs(120);
    const CONCURRENCY: Option<usize> = Some(4);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let row = context
            .store
            .consent_named(self.organization_id, &self.record_id)
            .await
            .map_err(JobError::retry)?
            .ok_or_else(|| JobError::fail(anyhow::anyhow!("there is no such consent record")))?;
        let record = Record::read(&row)
            .map_err(|problem| JobError::fail(anyhow::anyhow!("the consent record: {problem}")))?;
        let forwarder = Forwarder::open(&context.services.config.consent).map_err(decide)?;
        forwarder.forward(&record).await.map_err(decide)?;
        Ok(Outcome::done(json!({
            "organization_id": self.organization_id,
            "sequence": record.note.sequence,
        })))
    }
}

fn decide(error: ForwardError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

//! Fills in the compliance checklist.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Services, follow, verification::graveyard};
use crate::{
    checklist::{self, Sources},
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome},
};

/// Says of each item of QWED's compliance checklist whether it is fulfilled: pass, fail or unknown, with what was measured and
/// what to do.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ComplianceChecklist {
    /// Only this organisation; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub organization_id: Option<i64>,
}

impl Job<Services> for ComplianceChecklist {
    const KIND: &'static str = "compliance_checklist";
    const TIMEOUT: Duration = Duration::from_secs(1800);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let sources = Sources {
            config: services.config.clone(),
            qwed: Ok(services.qwed.clone()),
            store: Some(context.store.clone()),
            keys: graveyard(services, &context.store)?.keys,
            ring: Ok(Arc::clone(&services.ring)),
            organization_id: self.organization_id,
            now: services.clock.now(),
        };
        let progress = Arc::new(Progress::default());
        let gathering = checklist::gather(&sources, &progress);
        let facts = follow(context, &progress, gathering, |_| ()).await;
        if progress.is_stopped() {
            return Err(JobError::retry(anyhow::anyhow!("interrupted")));
        }
        if let Some(id) = facts.unknown_organization() {
            return Err(JobError::fail(anyhow::anyhow!(
                "there is no organisation {id}"
            )));
        }
        let checklist = checklist::take(&facts);
        Ok(Outcome::Done(Done {
            done: i64::try_from(checklist.items.len()).ok(),
            result: serde_json::to_value(&checklist).map_err(JobError::fail)?,
            ..Done::default()
        }))
    }
}

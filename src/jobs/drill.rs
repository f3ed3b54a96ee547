//! Proves that the archive can be restored.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Services, anchoring::keys, backup::decide, follow};
use crate::{
    anchor::Keys,
    backup::{self, Drilled},
    ledger::{Act, Scribe},
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Restores the newest backup into a scratch database, verifies it, compares it with anchors and the live trail, and destroys
/// it. Takes nothing. That it did not pass is an outcome, not a failure.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drill {}

impl Job<Services> for Drill {
    const KIND: &'static str = "drill";
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let config = &services.config;
        let Some(keys) = keys(context).await? else {
            let reason = "there is no anchor key, so nothing is archived yet";
            return Ok(Outcome::done(json!({"skipped": reason})));
        };
        if context
            .store
            .newest_archive_manifest()
            .await
            .map_err(JobError::retry)?
            .is_none()
        {
            let reason = "nothing is archived yet";
            return Ok(Outcome::done(json!({"skipped": reason})));
        }
        let now = services.clock.now();
        let (store, live) = (context.store.clone(), services.qwed.clone());
        let (verifiers, ring) = (keys.verifiers.clone(), Arc::clone(&services.ring));
        let drill = backup::Drill::configured(config, store, live, verifiers, ring);
        let progress = Arc::new(Progress::default());
        let drilling = backup::drill(drill.map_err(decide)?, now, &progress);
        let drilled = follow(context, &progress, drilling, |_| ()).await;
        let drilled = drilled.map_err(decide)?;
        for problem in &drilled.problems {
            tracing::error!(problem, "the drill of the archive did not pass");
        }
        let result = serde_json::to_value(&drilled).map_err(JobError::fail)?;
        Ok(Outcome::Done(Done {
            result: result.clone(),
            done: i64::try_from(drilled.rows).ok(),
            effects: Some(Arc::new(Recorded {
                keys,
                origin: config.anchors.origin.clone(),
                actor: format!("job {}", context.job_id),
                now,
                drilled,
                result,
            })),
            ..Done::default()
        }))
    }
}

/// Records the drill, and tells if it did not pass.
struct Recorded {
    keys: Keys,
    origin: String,
    actor: String,
    now: Timestamp,
    drilled: Drilled,
    result: Value,
}

impl Effects for Recorded {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        let scribe = Scribe {
            origin: &self.origin,
            key: &self.keys.signer,
            actor: &self.actor,
            now: self.now,
        };
        Box::pin(async move {
            scribe.append(tx, Act::Drill, self.result.clone()).await?;
            if self.drilled.passed {
                return Ok(Vec::new());
            }
            Ok(vec![Event {
                id: new_id(),
                event_type: "archive.drill_failed".to_owned(),
                subject: Some("archive".to_owned()),
                data: self.result.clone(),
            }])
        })
    }
}

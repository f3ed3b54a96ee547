//! Archives what is new in write-once storage.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Services, anchoring::keys, follow};
use crate::{
    backup::{self, BackupError, Options, Unlocked},
    objects::Vault,
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Objects that get an event of their own; the result lists them all.
const EVENTS: usize = 100;

/// Archives the entries that are new, and all other tables of QWED's. Takes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {}

impl Job<Services> for Backup {
    const KIND: &'static str = "backup";
    // The first one archives everything.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let config = &services.config;
        let vault = Vault::open(config).map_err(|error| decide(error.into()))?;
        let kek = backup::kek(config, &context.store).await.map_err(decide)?;
        let (Some(kek), Some(keys)) = (kek, keys(context).await?) else {
            let reason = "there is no anchor key or no key-encryption key: make them once (trailkeeper keygen; openssl rand \
                          -base64 32), give them to every worker, and set anchors.key_file and backup.kek_file";
            tracing::warn!(reason, "nothing is archived");
            return Ok(Outcome::Done(Done {
                result: json!({"skipped": reason}),
                ..Done::default()
            }));
        };
        let progress = Arc::new(Progress::default());
        let making = backup::run(
            &context.store,
            &vault,
            &services.qwed,
            &config.anchors.origin,
            &keys,
            &kek,
            services.clock.now(),
            Options::default(),
            &progress,
        );
        let made = follow(context, &progress, making, |_| ())
            .await
            .map_err(decide)?;
        let now = services.clock.now();
        let exported = backup::export_keys(config, &context.store, &keys, made.number, now)
            .await
            .map_err(decide)?;
        if exported.names.is_empty() {
            tracing::warn!("{}", backup::NO_EXPORT);
        }
        let mut result = serde_json::to_value(&made).map_err(JobError::fail)?;
        result["recovery"] = serde_json::to_value(&exported).map_err(JobError::fail)?;
        let mut not_locked = made.not_locked;
        not_locked.extend(exported.not_locked);
        Ok(Outcome::Done(Done {
            result,
            done: Some(made.rows),
            effects: Some(Arc::new(NotLocked(not_locked))),
            ..Done::default()
        }))
    }
}

pub(super) fn decide(error: BackupError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

/// Tells of objects that are not locked as configured.
struct NotLocked(Vec<Unlocked>);

impl Effects for NotLocked {
    fn apply<'t>(&'t self, _: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        let event = |unlocked: &Unlocked| Event {
            id: new_id(),
            event_type: "archive.not_locked".to_owned(),
            subject: Some(format!("archive/{}", unlocked.object)),
            data: json!(unlocked),
        };
        let events = self.0.iter().take(EVENTS).map(event).collect();
        Box::pin(async move { Ok(events) })
    }
}

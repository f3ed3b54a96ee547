//! Anchors every trail: signs how many entries each has and what they hash to, also when nothing changed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Services,
    anchoring::{decide, keys},
    follow,
};
use crate::{
    anchor::{self, Keys, Made},
    backup,
    objects::Vault,
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{StateError, Tx, jobs::Effects, outbox::Event},
};

/// Signs where every organisation's trail stands. Takes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Anchor {}

impl Job<Services> for Anchor {
    const KIND: &'static str = "anchor";
    // The first one reads everything.
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    // Two at a time would only take each other's number.
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let Some(keys) = keys(context).await? else {
            let reason = "there is no anchor key: make one by trailkeeper keygen, give the file to every worker, and set \
                          anchors.key_file";
            tracing::warn!(reason, "nothing is anchored");
            return Ok(Outcome::Done(Done {
                result: json!({"skipped": reason}),
                ..Done::default()
            }));
        };
        archive_former(context, &keys).await;
        let services = &context.services;
        let progress = Arc::new(Progress::default());
        let now = services.clock.now();
        let origin = &services.config.anchors.origin;
        let making = anchor::make(
            &context.store,
            &services.qwed,
            origin,
            &keys,
            now,
            &progress,
        );
        let made = follow(context, &progress, making, |_| ())
            .await
            .map_err(decide)?;
        let result = json!({
            "number": made.run.number,
            "entries": made.run.entries,
            "new_entries": made.new_entries,
            "organizations": made.run.organizations,
            "public_key": keys.signer.verifier().to_string(),
        });
        Ok(Outcome::Done(Done {
            result,
            done: i64::try_from(made.new_entries).ok(),
            effects: Some(Arc::new(Kept(made))),
            ..Done::default()
        }))
    }
}

/// Archives the anchors before this one. That the archive is away must not keep a trail from being anchored.
async fn archive_former(context: &Context<Services>, keys: &Keys) {
    let services = &context.services;
    let config = &services.config;
    let archived = async {
        let vault = Vault::open(config)?;
        let (origin, now) = (&config.anchors.origin, services.clock.now());
        backup::archive_anchors(&context.store, &vault, origin, &keys.verifiers, now).await
    };
    if let Err(error) = archived.await {
        tracing::warn!(%error, "anchors are not archived; the next backup tries again");
    }
}

/// Keeps the run together with the job's end.
struct Kept(Made);

impl Effects for Kept {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let Made {
                run,
                checkpoints,
                last_tiles,
                ..
            } = &self.0;
            tx.insert_anchor(run, checkpoints, last_tiles).await?;
            Ok(Vec::new())
        })
    }
}

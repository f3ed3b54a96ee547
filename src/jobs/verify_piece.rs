//! Checks one piece of a trail for the `verify_trail` job that waits for it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Services, anchoring,
    verification::{self, Work},
};
use crate::{
    runtime::job::{Context, Done, Job, JobError, Outcome, Uniqueness},
    verify::{
        Options,
        pieces::{self, Piece},
    },
};

/// One piece of a trail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VerifyPiece(pub Piece);

impl Job<Services> for VerifyPiece {
    const KIND: &'static str = "verify_piece";
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const UNIQUENESS: Uniqueness = Uniqueness::None;
    // A large piece keeps all cores busy; a second one fills the gaps while the first waits for its database.
    const CONCURRENCY: Option<usize> = Some(2);
    const INTERNAL: bool = true;

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let piece = self.0.clone();
        let estimate = i64::try_from(piece.entries_estimate).ok();
        if let Some(estimate) = estimate {
            context.progress.expect(estimate);
        }
        let anchored = match piece.anchor {
            None => None,
            Some(number) => {
                let loaded = anchoring::load(context, Some(number)).await?;
                let anchored = loaded.anchored;
                let usable = anchored.filter(|anchored| anchored.trees.len() == piece.trees);
                let gone = anyhow::anyhow!(
                    "anchor {number} is not what it was when this verification was planned"
                );
                Some(usable.ok_or_else(|| JobError::fail(gone))?)
            }
        };
        let part = verification::run(context, move |work: &Work| {
            let options = Options {
                anchored: anchored.as_deref(),
                ..work.options
            };
            pieces::check(&work.database, &work.ring, &piece, &options, &work.progress)
        })
        .await?;
        Ok(Outcome::Done(Done {
            result: json!({"entries": part.segment.rows, "worker": context.worker}),
            memo: Some(part.to_bytes()),
            done: i64::try_from(part.segment.rows).ok(),
            ..Done::default()
        }))
    }
}

//! Goes on with erasures that wait for nobody but us, and warns of those whose time runs out.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Services,
    anchoring::keys,
    erase_subject::{carry_out, decide, office},
};
use crate::{
    erasure::{self, Request, State},
    holds,
    runtime::job::{Context, Done, Job, JobError, Outcome},
};

/// Requests that are read at a time.
const PAGE: u32 = 200;

/// Goes on with erasures: those that were approved, that were cut off, that waited for an entry to be no longer the newest, or for
/// a hold to end.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContinueErasures {
    /// Only this request; all where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Job<Services> for ContinueErasures {
    const KIND: &'static str = "continue_erasures";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let store = &context.store;
        let has_any = !store
            .open_erasures("", 1)
            .await
            .map_err(JobError::retry)?
            .is_empty();
        if !has_any || keys(context).await?.is_none() {
            return Ok(Outcome::done(json!({"open": 0})));
        }
        let office = office(context).await?;
        let mut rounds = Rounds::default();
        if let Some(id) = &self.request {
            let mut request = office.request(id).await.map_err(decide)?;
            carry_out(context, &office, &mut request).await?;
            rounds.count(&request);
        } else {
            let mut after = String::new();
            loop {
                let page = store.open_erasures(&after, PAGE).await;
                let page = page.map_err(JobError::retry)?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.id);
                for row in page {
                    if context.cancel.is_cancelled() {
                        return Err(JobError::retry(anyhow::anyhow!("interrupted")));
                    }
                    let mut request = Request::read(row).map_err(JobError::fail)?;
                    // One that fails must not keep the others waiting.
                    if let Err(error) = round(context, &office, &mut request).await {
                        tracing::error!(request = request.id, %error, "an erasure did not go on");
                        rounds
                            .failed
                            .push(json!({"request": request.id, "error": error.to_string()}));
                    }
                    rounds.count(&request);
                }
            }
        }
        Ok(Outcome::Done(Done {
            result: json!({
                "open": rounds.open,
                "completed": rounds.completed,
                "awaiting_approval": rounds.awaiting_approval,
                "overdue": rounds.overdue,
                "failed": rounds.failed,
            }),
            ..Done::default()
        }))
    }
}

#[derive(Default)]
struct Rounds {
    open: u64,
    completed: u64,
    awaiting_approval: u64,
    overdue: u64,
    failed: Vec<serde_json::Value>,
}

impl Rounds {
    fn count(&mut self, request: &Request) {
        match request.state {
            State::Completed => self.completed += 1,
            State::AwaitingApproval => {
                self.open += 1;
                self.awaiting_approval += 1;
            }
            state if !state.has_ended() => self.open += 1,
            _ => {}
        }
        let is_overdue = request.warned_at.is_some_and(|at| at > request.due_at);
        self.overdue += u64::from(is_overdue && !request.state.has_ended());
    }
}

async fn round(
    context: &Context<Services>,
    office: &erasure::Office,
    request: &mut Request,
) -> Result<(), JobError> {
    erasure::warn(office, request).await.map_err(decide)?;
    let waits = match request.state {
        State::AwaitingApproval => true,
        State::OnHold => {
            let (organization, user) = (request.organization_id, Some(request.user_id));
            let holds = holds::active(&context.store, organization, user, office.now).await;
            !holds.map_err(JobError::retry)?.is_empty()
        }
        _ => false,
    };
    if waits {
        return Ok(());
    }
    carry_out(context, office, request).await
}

//! Records what somebody says about a consent.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Services, forward_consent::ForwardConsent, redact_texts, scribing::pen};
use crate::{
    config::Config,
    consent::{RecordError, Recorder, Rejection, Statement},
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError,
        jobs::{NewJob, new_id},
        outbox::Event,
    },
};

/// Records that somebody consents, or takes a consent back. The same statement again is the same record; what cannot be recorded
/// is an outcome, not a failure.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RecordConsent(pub Statement);

impl Job<Services> for RecordConsent {
    const KIND: &'static str = "record_consent";
    const TIMEOUT: Duration = Duration::from_secs(120);
    // They take turns in the database, and each that waits there holds a connection.
    const CONCURRENCY: Option<usize> = Some(4);

    /// The record has them; here they would be a copy.
    fn redact(payload: &mut Value) {
        redact_texts(payload, &["email", "subject", "evidence"]);
    }

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let Self(statement) = self;
        let forward = forward(&services.config, statement, |kind, payload| {
            (context.maker)(kind, payload)
        })?;
        let pen = pen(context)?;
        let scribe = pen.as_ref().map(super::scribing::Pen::scribe);
        let recorder = Recorder {
            ring: &services.ring,
            actor: &super::scribing::actor(context),
            now: services.clock.now(),
            scribe: scribe.as_ref(),
            forward: forward.as_ref(),
        };
        match recorder.record(&context.store, statement).await {
            Ok(recorded) => {
                let record = &recorded.record;
                Ok(Outcome::done(json!({
                    "recorded": true,
                    "new": recorded.is_new,
                    "organization_id": statement.organization_id,
                    "record_id": statement.record_id,
                    "sequence": record.note.sequence,
                    "entry_hash": record.entry_hash,
                    "without_grant": record.note.without_grant,
                })))
            }
            Err(RecordError::Rejected(rejection)) => Ok(rejected(statement, &rejection)),
            Err(error @ RecordError::NoKey) => Err(JobError::fail(error)),
            Err(RecordError::State(error @ StateError::Corrupt(_))) => Err(JobError::fail(error)),
            Err(RecordError::State(error)) => Err(JobError::retry(error)),
        }
    }
}

/// The job that forwards a record, where the configuration wants that.
pub(crate) fn forward(
    config: &Config,
    statement: &Statement,
    make: impl Fn(&str, Value) -> Result<NewJob, JobError>,
) -> Result<Option<NewJob>, JobError> {
    if !config.consent.forward_to_qwed {
        return Ok(None);
    }
    let payload = serde_json::to_value(ForwardConsent {
        organization_id: statement.organization_id,
        record_id: statement.record_id.clone(),
    });
    let job = make(ForwardConsent::KIND, payload.map_err(JobError::fail)?)?;
    Ok(Some(ForwardConsent::patient(job)))
}

fn rejected(statement: &Statement, rejection: &Rejection) -> Outcome {
    let data = json!({
        "recorded": false,
        "organization_id": statement.organization_id,
        "record_id": statement.record_id,
        "reason": rejection.reason(),
        "detail": rejection.to_string(),
    });
    Outcome::Done(Done {
        result: data.clone(),
        events: vec![Event {
            id: new_id(),
            event_type: "consent.rejected".to_owned(),
            subject: Some(format!("organization/{}", statement.organization_id)),
            data,
        }],
        ..Done::default()
    })
}

//! Gives people what is held about them: a zip in the store of objects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{Services, anchoring, follow, own_records, redact_texts};
use crate::{
    anchor,
    checkpoint::note::SecretKey,
    export::{self, Asked, ExportError, Notice, Order, Rejection, Target},
    ledger::{Act, Scribe},
    objects::Vault,
    progress::Progress,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Puts what is held about a user, or about a whole organisation, into the store of objects, as a zip that people and
/// programs can read. Exactly one of user_id, email and whole_organization is given. That there is no such user is an
/// outcome, not a failure.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["user_id"]},
    {"required": ["email"]},
    {"required": ["whole_organization"]},
]))]
pub struct ExportSubjectData {
    /// The organisation.
    pub organization_id: i64,
    /// The user, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub user_id: Option<i64>,
    /// The user, by e-mail address, without regard to case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub email: Option<String>,
    /// Everything about the organisation and its users instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("const" = true))]
    pub whole_organization: bool,
}

impl Job<Services> for ExportSubjectData {
    const KIND: &'static str = "export_subject_data";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    // Each takes room on the disk.
    const CONCURRENCY: Option<usize> = Some(2);

    fn redact(payload: &mut Value) {
        redact_texts(payload, &["email"]);
    }

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let config = &services.config;
        let asked = self.asked()?;
        let (url, organization_id) = (services.qwed.clone(), self.organization_id);
        let resolving =
            tokio::task::spawn_blocking(move || export::resolve(&url, organization_id, &asked));
        let resolved = resolving.await.map_err(JobError::fail)?;
        let target = match resolved.map_err(|error| decide(error.into()))? {
            Ok(target) => target,
            Err(rejection) => return self.rejected(rejection),
        };
        let vault = Vault::open_for_exports(config).map_err(|error| decide(error.into()))?;
        let key = anchor::load_key(&config.anchor_key_file()).map_err(anchoring::decide)?;
        let now = services.clock.now();
        let scratch = config.export_directory();
        let order = Order {
            vault: &vault,
            scratch: &scratch,
            id: &context.job_id,
            keep_days: config.export.keep_days,
        };
        let notice = Notice::from(&config.export);
        let progress = Arc::new(Progress::default());
        let handle = Handle::current();
        let own = own_records::about(&target, &context.store, &handle, now);
        let making = export::deliver(
            &order,
            &services.qwed,
            &target,
            &notice,
            own,
            now,
            &progress,
        );
        let delivered = follow(context, &progress, making, |_| ()).await;
        let delivered = delivered.map_err(decide)?;
        if let Some(until) = delivered.locked_until {
            tracing::warn!(
                object = delivered.object,
                %until,
                "the store locks exports, so that personal data in them cannot be removed; set export.url to a bucket that locks \
                 nothing by itself"
            );
        }
        sweep(&vault, config.export.keep_days, now).await;
        let result = serde_json::to_value(&delivered).map_err(JobError::fail)?;
        Ok(Outcome::Done(Done {
            result: result.clone(),
            done: i64::try_from(delivered.made.records).ok(),
            effects: Some(Arc::new(Recorded {
                key,
                origin: config.anchors.origin.clone(),
                actor: format!("job {}", context.job_id),
                now,
                subject: name(&target),
                result,
            })),
            ..Done::default()
        }))
    }
}

impl ExportSubjectData {
    fn asked(&self) -> Result<Asked, JobError> {
        match (self.user_id, &self.email, self.whole_organization) {
            (Some(id), None, false) => Ok(Asked::User(id)),
            (None, Some(email), false) => Ok(Asked::Email(email.clone())),
            (None, None, true) => Ok(Asked::Organization),
            _ => Err(JobError::fail(anyhow::anyhow!(
                "give one of \"user_id\", \"email\" and \"whole_organization\""
            ))),
        }
    }

    /// Ends a job that has nobody to export. Whoever asked knows the address that they gave; nobody else learns it.
    fn rejected(&self, rejection: Rejection) -> Result<Outcome, JobError> {
        let mut result = serde_json::to_value(rejection).map_err(JobError::fail)?;
        result["organization_id"] = self.organization_id.into();
        result["user_id"] = self.user_id.into();
        result["detail"] = rejection.to_string().into();
        let event = Event {
            id: new_id(),
            event_type: "subject.export_rejected".to_owned(),
            subject: Some(format!("organization/{}", self.organization_id)),
            data: result.clone(),
        };
        result["rejected"] = true.into();
        Ok(Outcome::Done(Done {
            result,
            events: vec![event],
            ..Done::default()
        }))
    }
}

/// What is over goes with the next export. That it cannot go now must not keep anybody from what was made for them.
async fn sweep(vault: &Vault, keep_days: u32, now: Timestamp) {
    match export::sweep(vault, keep_days, now).await {
        Ok(swept) if swept.refused > 0 => {
            let refused = swept.refused;
            tracing::warn!(refused, "the store keeps exports that should be removed");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "old exports were not removed; the next export tries again");
        }
    }
}

fn name(target: &Target) -> String {
    let organization = target.organization_id();
    match target.user_id() {
        Some(user) => format!("organization/{organization}/user/{user}"),
        None => format!("organization/{organization}"),
    }
}

fn decide(error: ExportError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

/// Records the export, and tells of it.
struct Recorded {
    /// Signs the ledger; there is none before the first anchor.
    key: Option<SecretKey>,
    origin: String,
    actor: String,
    now: Timestamp,
    subject: String,
    result: Value,
}

impl Effects for Recorded {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            if let Some(key) = &self.key {
                let scribe = Scribe {
                    origin: &self.origin,
                    key,
                    actor: &self.actor,
                    now: self.now,
                };
                let detail = self.result.clone();
                scribe.append(tx, Act::Export, detail).await?;
            }
            let mut data = self.result.clone();
            // Who wants to know it file by file finds it in the manifest.
            if let Some(data) = data.as_object_mut() {
                data.remove("files");
            }
            Ok(vec![Event {
                id: new_id(),
                event_type: "subject.exported".to_owned(),
                subject: Some(self.subject.clone()),
                data,
            }])
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_one_subject_is_named() {
        let schema = schemars::schema_for!(ExportSubjectData).to_value();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for payload in [
            json!({"organization_id": 1, "user_id": 10}),
            json!({"organization_id": 1, "email": "ada@example.org"}),
            json!({"organization_id": 1, "whole_organization": true}),
        ] {
            assert!(validator.is_valid(&payload), "{payload}");
            let job: ExportSubjectData = serde_json::from_value(payload.clone()).expect("a job");
            assert!(job.asked().is_ok());
            assert_eq!(serde_json::to_value(job).expect("JSON"), payload);
        }
        for payload in [
            json!({"organization_id": 1}),
            json!({"user_id": 10}),
            json!({"organization_id": 1, "user_id": null}),
            json!({"organization_id": 1, "user_id": 10, "email": "ada@example.org"}),
            json!({"organization_id": 1, "whole_organization": false}),
            json!({"organization_id": 1, "user_id": 10, "whole_organization": true}),
            json!({"organization_id": 1, "user": 10}),
        ] {
            assert!(!validator.is_valid(&payload), "{payload}");
        }
    }
}

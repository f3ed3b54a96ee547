//! Gives auditors QWED's records as CSV: files in the store of objects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    Services, anchoring, follow,
    scribing::{Pen, pen},
    verification::graveyard,
};
use crate::{
    config::parse_micros,
    evidence::{self, Asked, Content, EvidenceError, Order, Profile},
    ledger::Act,
    objects::Vault,
    progress::Progress,
    qwed::Period,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Puts an organisation's audit trail and security events of a period into the store of objects, as CSV with a manifest beside each.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportEvidence {
    /// The organisation.
    pub organization_id: i64,
    /// How rows are spelled.
    #[serde(default)]
    pub profile: Profile,
    /// Which records; all where the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// Only records from this time on (ISO 8601; UTC unless it has an offset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub from: Option<String>,
    /// Only records up to this time, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub to: Option<String>,
}

impl Job<Services> for ExportEvidence {
    const KIND: &'static str = "export_evidence";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    // Each takes room on the disk.
    const CONCURRENCY: Option<usize> = Some(2);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let config = &services.config;
        let made_at = services.clock.now();
        let asked = self.asked(made_at)?;
        let vault = Vault::open_for_exports(config).map_err(|error| decide(error.into()))?;
        let loaded = match asked.profile {
            Profile::Full => anchoring::load(context, None).await?,
            Profile::Qwed => crate::anchor::Loaded::default(),
        };
        let order = Order {
            asked,
            url: services.qwed.clone(),
            graveyard: Some(graveyard(services, &context.store)?),
            handle: Handle::current(),
            ring: Arc::clone(&services.ring),
            anchored: loaded.anchored,
            anchor_findings: loaded.findings.into_iter().map(|it| it.detail).collect(),
            scratch: config.export_directory(),
            made_at,
        };
        let (keep_days, id) = (config.export.keep_days, &context.job_id);
        let mut files = Vec::new();
        for content in self.contents() {
            let progress = Arc::new(Progress::default());
            let making = evidence::deliver(&order, content, &vault, id, keep_days, &progress);
            let delivered = follow(context, &progress, making, |_| ()).await;
            let delivered = delivered.map_err(decide)?;
            if let Some(until) = delivered.locked_until {
                tracing::warn!(
                    object = delivered.object,
                    %until,
                    "the store locks exports, so that personal data in them cannot be removed; set export.url to a bucket \
                     that locks nothing by itself"
                );
            }
            files.push(delivered);
        }
        let rows: u64 = files.iter().map(|file| file.manifest.written.rows).sum();
        let result = json!({
            "organization_id": self.organization_id,
            "profile": self.profile,
            "rows": rows,
            "files": files,
        });
        Ok(Outcome::Done(Done {
            done: i64::try_from(rows).ok(),
            effects: Some(Arc::new(Recorded {
                pen: pen(context)?,
                organization_id: self.organization_id,
                result: result.clone(),
            })),
            result,
            ..Done::default()
        }))
    }
}

impl ExportEvidence {
    fn contents(&self) -> Vec<Content> {
        let mut contents = match self.contents.is_empty() {
            true => vec![Content::VerificationLog, Content::SecurityEvents],
            false => self.contents.clone(),
        };
        contents.dedup();
        contents
    }

    fn asked(&self, now: Timestamp) -> Result<Asked, JobError> {
        let time = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_micros(text).map(Some).ok_or_else(|| {
                JobError::fail(anyhow::anyhow!("{name:?} is {text:?}, which is no time"))
            }),
        };
        let period = Period {
            from: time("from", &self.from)?,
            to: time("to", &self.to)?,
        };
        if let (Some(from), Some(to)) = (period.from, period.to)
            && from > to
        {
            return Err(JobError::fail(anyhow::anyhow!(
                "\"from\" must not be after \"to\""
            )));
        }
        let asked = Asked {
            organization_id: self.organization_id,
            period,
            profile: self.profile,
        };
        Ok(asked.with_qweds_period(now))
    }
}

fn decide(error: EvidenceError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

/// Records what was taken out, and tells of it.
struct Recorded {
    /// Signs the ledger; there is none before the first anchor.
    pen: Option<Pen>,
    organization_id: i64,
    result: Value,
}

impl Effects for Recorded {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            if let Some(pen) = &self.pen {
                let detail = self.result.clone();
                pen.scribe().append(tx, Act::ExportEvidence, detail).await?;
            }
            Ok(vec![Event {
                id: new_id(),
                event_type: "evidence.exported".to_owned(),
                subject: Some(format!("organization/{}", self.organization_id)),
                data: self.result.clone(),
            }])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(payload: Value) -> Result<Asked, JobError> {
        let job: ExportEvidence = serde_json::from_value(payload).expect("a payload");
        job.asked("2026-05-31T00:00:00Z".parse().expect("a time"))
    }

    #[test]
    fn only_qweds_profile_looks_back_thirty_days_by_itself() {
        let full = asked(json!({"organization_id": 1})).expect("sound");
        assert_eq!(full.period, Period::default());
        let qwed = asked(json!({"organization_id": 1, "profile": "qwed"})).expect("sound");
        let days = |micros: i64| micros / 86_400_000_000;
        let (from, to) = (
            qwed.period.from.expect("a start"),
            qwed.period.to.expect("an end"),
        );
        assert_eq!(days(to - from), 30);
        let from = asked(json!({"organization_id": 1, "profile": "qwed", "from": "2026-01-01"}));
        assert_eq!(from.expect("sound").period.to, None);
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for (from, to) in [("yesterday", "2026-01-01"), ("2026-01-02", "2026-01-01")] {
            let payload = json!({"organization_id": 1, "from": from, "to": to});
            assert!(asked(payload).expect_err("refused").is_permanent);
        }
    }
}

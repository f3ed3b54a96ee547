//! Tells how old QWED's API keys are and flags those that are overdue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Services,
    scribing::{Pen, pen},
};
use crate::{
    keys::{
        self, KeysError, Policy,
        report::{KeyFinding, Status},
    },
    ledger::Act,
    qwed::ReadError,
    runtime::job::{Context, Done, Job, JobError, Outcome},
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Keys that one entry of the ledger names.
const ENTRY_IDS: usize = 1000;

/// Checks the age of QWED's API keys, and marks those that are overdue for rotation in QWED's database unless the
/// configuration says otherwise.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckApiKeys {
    /// Only the keys of these organisations; all where the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<i64>,
}

impl Job<Services> for CheckApiKeys {
    const KIND: &'static str = "check_api_keys";
    const TIMEOUT: Duration = Duration::from_secs(1800);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = Arc::clone(&context.services);
        let organizations = self.organizations.clone();
        let now = services.clock.now();
        let report = tokio::task::spawn_blocking(move || {
            let section = &services.config.keys;
            let policy = Policy {
                max_age_days: section.max_age_days,
                due_soon_days: section.due_soon_days,
                dormant_days: section.dormant_days,
                ..Policy::default()
            };
            let flag = services.flag.as_ref().filter(|_| section.flag_in_database);
            keys::check(&services.qwed, flag, policy, &organizations, now)
        })
        .await
        .map_err(JobError::retry)?
        .map_err(decide)?;
        if let Some(problem) = &report.flagging.problem {
            tracing::warn!(
                problem,
                "overdue API keys could not be flagged in QWED's database"
            );
        }
        let overdue: Vec<KeyFinding> = report
            .findings
            .iter()
            .filter(|finding| finding.status == Status::Overdue)
            .cloned()
            .collect();
        let effects = Overdue {
            pen: pen(context)?,
            flagged: report.flagging.flagged_ids.iter().copied().collect(),
            keys: overdue,
            is_complete: self.organizations.is_empty() && report.findings_left_out == 0,
        };
        Ok(Outcome::Done(Done {
            done: i64::try_from(report.totals.active).ok(),
            result: serde_json::to_value(&report).map_err(JobError::fail)?,
            effects: Some(Arc::new(effects)),
            ..Done::default()
        }))
    }
}

/// Whether trying again may help.
fn decide(error: KeysError) -> JobError {
    match error {
        KeysError::Read(ReadError::NotQwed { .. })
        | KeysError::Policy(_)
        | KeysError::UnknownOrganization(_) => JobError::fail(error),
        KeysError::Read(_) => JobError::retry(error),
    }
}

/// Tells of keys that have become overdue, of each once.
struct Overdue {
    pen: Option<Pen>,
    /// Those that this run flagged.
    flagged: BTreeSet<i64>,
    keys: Vec<KeyFinding>,
    is_complete: bool,
}

impl Overdue {
    /// Keys are flagged in QWED's database before this transaction. A run that was cut short in between is made up for: what is
    /// newly overdue and found flagged was flagged by it.
    async fn note_flagged(&self, tx: &mut Tx, new: &[i64]) -> Result<(), StateError> {
        let is_flagged = |id: &&i64| {
            let key = self.keys.iter().find(|key| key.key_id == **id);
            key.is_some_and(|key| key.rotation_required == Some(true))
        };
        let found = new.iter().filter(is_flagged);
        let all: BTreeSet<i64> = self.flagged.iter().chain(found).copied().collect();
        let (Some(pen), false) = (&self.pen, all.is_empty()) else {
            return Ok(());
        };
        let all: Vec<i64> = all.into_iter().collect();
        for ids in all.chunks(ENTRY_IDS) {
            let detail = json!({ "key_ids": ids });
            pen.scribe().append(tx, Act::FlagKeys, detail).await?;
        }
        Ok(())
    }
}

impl Effects for Overdue {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let ids: Vec<i64> = self.keys.iter().map(|key| key.key_id).collect();
            let new = tx.note_overdue_keys(&ids, self.is_complete).await?;
            self.note_flagged(tx, &new).await?;
            let new = self.keys.iter().filter(|key| new.contains(&key.key_id));
            Ok(new
                .map(|key| Event {
                    id: new_id(),
                    event_type: "api_key.overdue".to_owned(),
                    subject: Some(format!("api_key/{}", key.key_id)),
                    data: json!(key),
                })
                .collect())
        })
    }
}

//! Requests of data subjects, consents, API keys and the checklist.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Sampler,
    labels::{OTHER, labels},
    seconds,
};
use crate::{
    checklist::Status,
    erasure,
    state::{
        StateError,
        jobs::{Filter, JobView, State},
    },
};

/// Checklists that are looked through for one of all organisations.
const LOOKED_AT: i64 = 50;
/// How an API key can stand.
const KEY_STATUSES: [&str; 5] = [
    "ok",
    "due_soon",
    "overdue",
    "expired_but_active",
    "never_rotated_unknown_age",
];

impl Sampler {
    pub(super) async fn erasures(&self) -> Result<(), StateError> {
        let now = self.clock.now().as_microsecond();
        let counts = self.store.open_erasure_counts(now).await?;
        let metrics = &self.metrics;
        let open = erasure::State::ALL.into_iter();
        for state in open.filter(|state| !state.has_ended()) {
            let of_state = counts.iter().find(|it| it.state == state.name());
            let requests = of_state.map_or(0, |it| it.requests);
            let gauge = metrics.erasures.with_label_values(&[state.name()]);
            gauge.set(requests);
        }
        let overdue = counts.iter().map(|it| it.overdue).sum();
        metrics.erasures_overdue.set(overdue);
        // No number is that of none: 0 would be due now.
        let due = &metrics.erasure_due_seconds;
        match counts.iter().map(|it| it.due_at).min() {
            Some(due_at) => due
                .with_label_values::<&str>(&[])
                .set(seconds(due_at - now)),
            None => due.reset(),
        }
        Ok(())
    }

    pub(super) async fn consents(&self) -> Result<(), StateError> {
        for (status, records) in self.store.consent_counts().await? {
            let gauge = self.metrics.consents.with_label_values(&[&status]);
            gauge.set(records);
        }
        Ok(())
    }

    /// The newest checklist of all organisations.
    pub(super) async fn checklist(&self) -> Result<(), StateError> {
        let jobs = self.succeeded("compliance_checklist", LOOKED_AT).await?;
        let of_all = |job: &JobView| job.payload["organization_id"].is_null();
        let Some(job) = jobs.into_iter().find(of_all) else {
            return Ok(());
        };
        let outcome = job.outcome.unwrap_or_default();
        let items = outcome["items"].as_array().into_iter().flatten();
        for (item, name) in items.filter_map(|item| Some((item, item["id"].as_str()?))) {
            for status in Status::ALL {
                let gauge = self
                    .metrics
                    .checklist_items
                    .with_label_values(&[name, status.name()]);
                gauge.set(i64::from(item["status"] == status.name()));
            }
        }
        Ok(())
    }

    /// The newest check's counts.
    pub(super) async fn api_keys(&mut self) -> Result<(), StateError> {
        let jobs = self.succeeded("check_api_keys", 1).await?;
        let Some(job) = jobs.into_iter().next() else {
            return Ok(());
        };
        if self.keys_of.as_ref() == Some(&job.id) {
            return Ok(());
        }
        let outcome = job.outcome.unwrap_or_default();
        let organizations = outcome["organizations"].as_array();
        let organizations: Vec<_> = organizations
            .into_iter()
            .flatten()
            .map(|it| {
                let id = it["organization_id"].as_i64().map(|id| id.to_string());
                (id.unwrap_or_default(), it)
            })
            .collect();
        let ids = organizations.iter().map(|(id, _)| id.as_str());
        let labels = labels(ids, self.settings.max_organizations);
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (id, organization) in &organizations {
            let label = labels.get(id.as_str()).unwrap_or(&OTHER);
            for status in KEY_STATUSES {
                let keys = organization[status].as_i64().unwrap_or(0);
                *sums.entry((label, status)).or_default() += keys;
            }
        }
        let mut shown = BTreeSet::new();
        let gauges = &self.metrics.api_keys;
        for ((label, status), keys) in sums {
            gauges.with_label_values(&[label, status]).set(keys);
            shown.insert(vec![label.to_owned(), status.to_owned()]);
        }
        self.keys.keep_only(shown, |gone| {
            let _ = gauges.remove_label_values(gone);
        });
        self.keys_of = Some(job.id);
        Ok(())
    }

    async fn succeeded(&self, kind: &str, limit: i64) -> Result<Vec<JobView>, StateError> {
        let filter = Filter {
            states: vec![State::Succeeded],
            kind: Some(kind.to_owned()),
            parent: None,
            limit,
        };
        self.store.jobs(&filter).await
    }
}

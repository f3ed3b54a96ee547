//! Keeps those metrics up to date that stand in the database: they are every worker's, and survive its restart.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    checklist::Status,
    clock::Clock,
    erasure,
    ledger::{self, Act},
    metrics::Metrics,
    state::{
        StateError, Store,
        jobs::{Filter, JobView, State},
    },
};

/// How old a sample may be.
const EVERY: Duration = Duration::from_secs(10);
/// Checklists that are looked through for one of all organisations.
const LOOKED_AT: i64 = 50;
/// Organisations that get label values of their own; beyond them a metric would cost more than it tells.
const MAX_ORGANIZATIONS: usize = 200;

/// Samples until cancelled.
pub async fn run(
    store: Store,
    metrics: Metrics,
    clock: Clock,
    rolling_days: u32,
    stop: CancellationToken,
) {
    let mut sampler = Sampler {
        store,
        metrics,
        clock,
        rolling_days,
        keys_of: None,
    };
    loop {
        if let Err(error) = sampler.sample().await {
            tracing::debug!(%error, "cannot sample the database for metrics");
        }
        let pause = tokio::time::sleep(EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

struct Sampler {
    store: Store,
    metrics: Metrics,
    clock: Clock,
    /// Within how many days everything is to be checked in full.
    rolling_days: u32,
    /// The job whose API keys are shown.
    keys_of: Option<String>,
}

impl Sampler {
    async fn sample(&mut self) -> Result<(), StateError> {
        self.jobs().await?;
        self.verdicts().await?;
        self.coverage().await?;
        self.archive().await?;
        self.erasures().await?;
        self.checklist().await?;
        self.api_keys().await
    }

    async fn jobs(&self) -> Result<(), StateError> {
        let counts = self.store.job_counts().await?;
        let kinds: HashSet<&str> = counts.iter().map(|(_, kind, _)| kind.as_str()).collect();
        for kind in kinds {
            for state in State::ALL {
                let of_both = counts
                    .iter()
                    .find(|(s, k, _)| *s == state && k.as_str() == kind);
                self.metrics
                    .jobs
                    .with_label_values(&[state.name(), kind])
                    .set(of_both.map_or(0, |(_, _, jobs)| *jobs));
            }
        }
        let (oldest, now) = self.store.oldest_due().await?;
        let age = oldest.map_or(0, |oldest| (now - oldest).max(0));
        self.metrics.queue_age_seconds.set(age as f64 / 1e6);
        let (depth, _) = self.store.outbox_depth().await?;
        self.metrics.outbox_depth.set(depth);
        Ok(())
    }

    async fn verdicts(&self) -> Result<(), StateError> {
        for row in self.store.verdicts().await?.iter().take(MAX_ORGANIZATIONS) {
            for verdict in ["intact", "incomplete", "tampered"] {
                self.metrics
                    .verdict
                    .with_label_values(&[row.organization.as_str(), verdict])
                    .set(i64::from(row.verdict == verdict));
            }
            self.metrics
                .verified_seconds
                .with_label_values(&[&row.organization])
                .set(row.checked_at as f64 / 1e6);
        }
        Ok(())
    }

    /// The newest backup and the newest drill.
    async fn archive(&self) -> Result<(), StateError> {
        let Metrics {
            backup_seconds,
            not_locked,
            drill_seconds,
            drill_passed,
            drill_recovery_seconds,
            ..
        } = &self.metrics;
        if let Some(newest) = self.store.newest_archive_manifest().await? {
            backup_seconds.set(newest.made_at as f64 / 1e6);
            let unlocked = self.store.unlocked_archive_objects(newest.number).await?;
            not_locked.set(unlocked.len() as i64);
        }
        let newest = self.store.newest_ledger(Some(Act::Drill.name()), 1).await?;
        if let Some(row) = newest.first() {
            let detail = ledger::detail(row);
            drill_seconds.set(row.at as f64 / 1e6);
            drill_passed.set(i64::from(detail["passed"] == true));
            drill_recovery_seconds.set(detail["recovery_seconds"].as_f64().unwrap_or_default());
        }
        Ok(())
    }

    async fn erasures(&self) -> Result<(), StateError> {
        let now = self.clock.now().as_microsecond();
        let counts = self.store.open_erasure_counts(now).await?;
        let Metrics {
            erasures,
            erasures_overdue,
            erasure_due_seconds,
            ..
        } = &self.metrics;
        let open = erasure::State::ALL.into_iter();
        for state in open.filter(|state| !state.has_ended()) {
            let of_state = counts.iter().find(|it| it.state == state.name());
            let requests = of_state.map_or(0, |it| it.requests);
            erasures.with_label_values(&[state.name()]).set(requests);
        }
        erasures_overdue.set(counts.iter().map(|it| it.overdue).sum());
        // No number is that of none: 0 would be due now.
        match counts.iter().map(|it| it.due_at).min() {
            Some(due_at) => erasure_due_seconds
                .with_label_values::<&str>(&[])
                .set((due_at - now) as f64 / 1e6),
            None => erasure_due_seconds.reset(),
        }
        Ok(())
    }

    /// The newest checklist of all organisations.
    async fn checklist(&self) -> Result<(), StateError> {
        let newest = Filter {
            states: vec![State::Succeeded],
            kind: Some("compliance_checklist".to_owned()),
            parent: None,
            limit: LOOKED_AT,
        };
        let jobs = self.store.jobs(&newest).await?;
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

    async fn coverage(&self) -> Result<(), StateError> {
        let Some(coverage) = self.store.coverage().await? else {
            return Ok(());
        };
        let oldest = coverage
            .oldest()
            .map_or(coverage.ran_at, |span| span.checked_at);
        let metrics = &self.metrics;
        metrics.full_check_oldest_seconds.set(oldest as f64 / 1e6);
        let now = self.clock.now().as_microsecond();
        let (all, covered) = coverage.entries(now, self.rolling_days);
        for (which, entries) in [("all", all), ("covered", covered)] {
            let entries = i64::try_from(entries).unwrap_or(i64::MAX);
            let gauge = metrics.full_check_entries.with_label_values(&[which]);
            gauge.set(entries);
        }
        Ok(())
    }

    /// The newest check's counts.
    async fn api_keys(&mut self) -> Result<(), StateError> {
        let newest = Filter {
            states: vec![State::Succeeded],
            kind: Some("check_api_keys".to_owned()),
            parent: None,
            limit: 1,
        };
        let jobs = self.store.jobs(&newest).await?;
        let Some(job) = jobs.into_iter().next() else {
            return Ok(());
        };
        if self.keys_of.as_ref() == Some(&job.id) {
            return Ok(());
        }
        self.metrics.api_keys.reset();
        let outcome = job.outcome.unwrap_or_default();
        let organizations = outcome["organizations"].as_array();
        for organization in organizations.into_iter().flatten().take(MAX_ORGANIZATIONS) {
            let id = organization["organization_id"]
                .as_i64()
                .map_or_else(String::new, |id| id.to_string());
            for status in [
                "ok",
                "due_soon",
                "overdue",
                "expired_but_active",
                "never_rotated_unknown_age",
            ] {
                self.metrics
                    .api_keys
                    .with_label_values(&[id.as_str(), status])
                    .set(organization[status].as_i64().unwrap_or(0));
            }
        }
        self.keys_of = Some(job.id);
        Ok(())
    }
}

//! Verdicts, verifications and anchors.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::{
    Sampler,
    labels::{OTHER, labels},
    seconds,
};
use crate::{
    state::{StateError, verdicts::VerdictRow},
    verify::report::OrganizationReport,
};

/// From the best to the worst.
const VERDICTS: [&str; 3] = ["intact", "incomplete", "tampered"];
const STATES: [&str; 4] = ["verified", "failed", "legacy", "erased"];

/// What a verification counted, by organisation.
pub(super) type Counts = HashMap<String, Counted>;

/// What it counted of one trail.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// In the order of [`STATES`].
    entries: [u64; 4],
    unanchored: u64,
}

impl Counted {
    fn of(report: &OrganizationReport) -> Self {
        let erased = report.erased.anonymised;
        // What QWED counts as failed and is sound: as former releases wrote it, or erased.
        let sound = report.excused_count.saturating_sub(erased);
        let failed = report.failed_count.saturating_sub(report.excused_count);
        Self {
            entries: [
                report.qwed.verified_entries.saturating_add(sound),
                failed,
                report.legacy_count,
                erased.saturating_add(report.erased.deleted),
            ],
            unanchored: report.anchor.as_ref().map_or(0, |it| it.unanchored_entries),
        }
    }
}

/// What is told under one label.
#[derive(Debug, Default)]
struct Told {
    /// The worst, as an index.
    verdict: usize,
    /// The oldest.
    checked_at: i64,
    findings: i64,
    counted: Counted,
}

impl Sampler {
    pub(super) async fn trails(&mut self) -> Result<(), StateError> {
        let rows = self.store.verdicts().await?;
        self.look_up_counts(&rows).await?;
        let ids = rows.iter().map(|row| row.organization.as_str());
        let labels = labels(ids, self.settings.max_organizations);
        let mut told: BTreeMap<&str, Told> = BTreeMap::new();
        for row in &rows {
            let label = labels.get(row.organization.as_str()).unwrap_or(&OTHER);
            let verdict = VERDICTS.iter().position(|verdict| *verdict == row.verdict);
            let counts = self.counts.get(&row.job_id);
            let counted = counts.and_then(|counts| counts.get(&row.organization));
            let all = told.entry(label).or_insert_with(|| Told {
                checked_at: i64::MAX,
                ..Told::default()
            });
            all.verdict = all.verdict.max(verdict.unwrap_or_default());
            all.checked_at = all.checked_at.min(row.checked_at);
            all.findings += row.findings;
            let Counted {
                entries,
                unanchored,
            } = counted.copied().unwrap_or_default();
            for (sum, entries) in all.counted.entries.iter_mut().zip(entries) {
                *sum += entries;
            }
            all.counted.unanchored += unanchored;
        }
        let mut shown = BTreeSet::new();
        for (label, told) in told {
            self.tell(label, &told);
            shown.insert(vec![label.to_owned()]);
        }
        let metrics = &self.metrics;
        self.trails.keep_only(shown, |gone| {
            for verdict in VERDICTS {
                let _ = metrics.verdict.remove_label_values(&[gone[0], verdict]);
            }
            for state in STATES {
                let _ = metrics.trail_entries.remove_label_values(&[gone[0], state]);
            }
            let _ = metrics.verified_seconds.remove_label_values(gone);
            let _ = metrics.findings.remove_label_values(gone);
            let _ = metrics.unanchored.remove_label_values(gone);
        });
        Ok(())
    }

    fn tell(&self, label: &str, told: &Told) {
        let metrics = &self.metrics;
        for (place, verdict) in VERDICTS.iter().enumerate() {
            metrics
                .verdict
                .with_label_values(&[label, verdict])
                .set(i64::from(place == told.verdict));
        }
        for (state, entries) in STATES.iter().zip(told.counted.entries) {
            metrics
                .trail_entries
                .with_label_values(&[label, state])
                .set(count(entries));
        }
        let label = [label];
        metrics
            .verified_seconds
            .with_label_values(&label)
            .set(seconds(told.checked_at));
        let findings = metrics.findings.with_label_values(&label);
        findings.set(told.findings);
        let unanchored = metrics.unanchored.with_label_values(&label);
        unanchored.set(count(told.counted.unanchored));
    }

    /// Reads the outcomes of the verifications that these verdicts come from, each once.
    async fn look_up_counts(&mut self, rows: &[VerdictRow]) -> Result<(), StateError> {
        let jobs: BTreeSet<&str> = rows.iter().map(|row| row.job_id.as_str()).collect();
        self.counts.retain(|job, _| jobs.contains(job.as_str()));
        for id in jobs {
            if self.counts.contains_key(id) {
                continue;
            }
            // It may have been cleared away since.
            let job = self.store.job(id).await?;
            let outcome = job.and_then(|job| job.outcome).unwrap_or_default();
            let trails = Vec::<OrganizationReport>::deserialize(&outcome["organizations"]);
            let counts = trails.unwrap_or_default().into_iter().map(|report| {
                let id = report.organization_id.map(|id| id.to_string());
                (id.unwrap_or_default(), Counted::of(&report))
            });
            self.counts.insert(id.to_owned(), counts.collect());
        }
        Ok(())
    }

    /// The newest verifications, and what was checked in full.
    pub(super) async fn verifications(&self) -> Result<(), StateError> {
        let metrics = &self.metrics;
        let (mut last_full, mut up_to) = (0, 0);
        for extent in ["whole", "part"] {
            let Some(newest) = self.store.newest_verification(extent).await? else {
                continue;
            };
            if extent == "whole" {
                last_full = newest.ended_at;
            }
            up_to = up_to.max(newest.began_at);
            let took = seconds((newest.ended_at - newest.began_at).max(1));
            let label = [extent];
            metrics
                .verification_seconds
                .with_label_values(&label)
                .set(seconds(newest.ended_at));
            metrics
                .verification_duration_seconds
                .with_label_values(&label)
                .set(took);
            metrics
                .verification_speed
                .with_label_values(&label)
                .set(newest.entries as f64 / took);
        }
        metrics.verified_up_to_seconds.set(seconds(up_to));
        let coverage = self.store.coverage().await?;
        if let Some(coverage) = &coverage {
            last_full = last_full.max(coverage.ran_at);
            let oldest = coverage
                .oldest()
                .map_or(coverage.ran_at, |span| span.checked_at);
            metrics.full_check_oldest_seconds.set(seconds(oldest));
            let now = self.clock.now().as_microsecond();
            let (all, covered) = coverage.entries(now, self.settings.rolling_days);
            for (which, entries) in [("all", all), ("covered", covered)] {
                let gauge = metrics.full_check_entries.with_label_values(&[which]);
                gauge.set(count(entries));
            }
        }
        metrics.full_check_seconds.set(seconds(last_full));
        Ok(())
    }

    pub(super) async fn anchors(&self) -> Result<(), StateError> {
        if let Some(newest) = self.store.newest_anchor().await? {
            self.metrics.anchor_seconds.set(seconds(newest.made_at));
            self.metrics.anchor_entries.set(newest.entries);
        }
        Ok(())
    }
}

fn count(entries: u64) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

//! Reads the facts, each part by itself, so that one that cannot be read keeps no other from being judged.
//!
//! They are what `sampler` tells Prometheus of, read by the same calls.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::{Backup, Drill, Erasures, Facts, FullCheck, Verdict};
use crate::{
    checklist::Status,
    erasure,
    ledger::{self, Act},
    state::{
        StateError, Store,
        jobs::{Filter, JobView, State},
        reports::VerificationRow,
    },
};

/// How old may be what is read from outcomes of jobs, which are long.
const OUTCOMES_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Checklists that are looked through for one of all organisations.
const LOOKED_AT: i64 = 50;
/// For how long a trail counts as one that was intact.
const INTACT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Verifications that are looked through for it.
const MAX_RUNS: u32 = 2000;

/// Reads facts, and keeps for a while those that take long.
#[derive(Debug)]
pub(super) struct Gatherer {
    store: Store,
    outcomes_at: Option<Timestamp>,
    overdue_keys: Option<BTreeMap<String, i64>>,
    failing_items: Option<Vec<String>>,
}

impl Gatherer {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            outcomes_at: None,
            overdue_keys: None,
            failing_items: None,
        }
    }

    /// Everything that can be read.
    pub(super) async fn facts(&mut self, now: Timestamp) -> Facts {
        let is_old = |at: Timestamp| now.duration_since(at).abs() >= OUTCOMES_EVERY;
        if self.outcomes_at.is_none_or(is_old) {
            self.overdue_keys = read("API keys", self.overdue_keys().await);
            self.failing_items = read("the checklist", self.failing_items().await);
            self.outcomes_at = Some(now);
        }
        let waiting = read("what waits", self.waiting().await);
        Facts {
            now,
            made_at: read("its age", self.store.made_at().await),
            verdicts: read("verdicts", self.verdicts(now).await),
            full_check: read("verifications", self.full_check().await),
            anchored_at: read("anchors", self.anchored_at().await),
            backup: read("backups", self.backup().await),
            drill: read("drills", self.drill().await),
            dead: read("jobs", self.dead().await),
            queue_seconds: waiting.map(|(queue, _)| queue),
            outbox_seconds: waiting.map(|(_, outbox)| outbox),
            erasures: read("erasures", self.erasures(now).await),
            overdue_keys: self.overdue_keys.clone(),
            failing_items: self.failing_items.clone(),
        }
    }

    async fn verdicts(&self, now: Timestamp) -> Result<Vec<Verdict>, StateError> {
        let rows = self.store.verdicts().await?;
        let mut runs = Vec::new();
        if rows.iter().any(|row| row.verdict == "incomplete") {
            let since = now.as_microsecond() - micros(INTACT);
            runs = self.store.verification_runs(since, MAX_RUNS).await?;
        }
        let verdicts = rows.into_iter().map(|row| Verdict {
            was_intact: runs
                .iter()
                .any(|run| run.began_at >= row.first_at && found_intact(run, &row.organization)),
            organization: row.organization,
            verdict: row.verdict,
            since: row.since,
        });
        Ok(verdicts.collect())
    }

    async fn full_check(&self) -> Result<FullCheck, StateError> {
        let whole = self.store.newest_verification("whole").await?;
        let last_at = whole.map_or(0, |newest| newest.ended_at);
        let coverage = self.store.coverage().await?;
        Ok(coverage.map_or(
            FullCheck {
                last_at,
                oldest_at: 0,
            },
            |coverage| FullCheck {
                last_at: last_at.max(coverage.ran_at),
                oldest_at: coverage
                    .oldest()
                    .map_or(coverage.ran_at, |span| span.checked_at),
            },
        ))
    }

    async fn anchored_at(&self) -> Result<i64, StateError> {
        let newest = self.store.newest_anchor().await?;
        Ok(newest.map_or(0, |anchor| anchor.made_at))
    }

    async fn backup(&self) -> Result<Backup, StateError> {
        let stored_at = self.store.newest_stored_backup().await?;
        let unlocked = match self.store.newest_archive_manifest().await? {
            Some(newest) => self.store.unlocked_archive_objects(newest.number).await?,
            None => Vec::new(),
        };
        Ok(Backup {
            stored_at: stored_at.unwrap_or_default(),
            not_locked: unlocked.len() as i64,
        })
    }

    async fn drill(&self) -> Result<Drill, StateError> {
        let newest = self.store.newest_ledger(Some(Act::Drill.name()), 1).await?;
        Ok(newest.first().map_or_else(Drill::default, |row| Drill {
            at: row.at,
            passed: ledger::detail(row)["passed"] == true,
        }))
    }

    async fn dead(&self) -> Result<BTreeMap<String, i64>, StateError> {
        let counts = self.store.job_counts().await?.into_iter();
        let dead = counts.filter(|(state, ..)| *state == State::Dead);
        Ok(dead.map(|(_, kind, jobs)| (kind, jobs)).collect())
    }

    /// Seconds for which the oldest job, and the oldest event, have been waiting. By the database's clock, as they were written.
    async fn waiting(&self) -> Result<(i64, i64), StateError> {
        let (oldest, now) = self.store.oldest_due().await?;
        let age =
            |since: Option<i64>| since.map_or(0, |since| now.saturating_sub(since) / 1_000_000);
        let (_, event) = self.store.outbox_depth().await?;
        Ok((age(oldest), age(event)))
    }

    async fn erasures(&self, now: Timestamp) -> Result<Erasures, StateError> {
        let counts = self.store.open_erasure_counts(now.as_microsecond()).await?;
        let waits = |state: &str| state == erasure::State::AwaitingApproval.name();
        let awaiting = counts.iter().filter(|it| waits(&it.state));
        Ok(Erasures {
            first_due_at: counts.iter().map(|it| it.due_at).min(),
            overdue: counts.iter().map(|it| it.overdue).sum(),
            awaiting_approval: awaiting.map(|it| it.requests).sum(),
        })
    }

    /// From the newest check of API keys.
    async fn overdue_keys(&self) -> Result<BTreeMap<String, i64>, StateError> {
        let newest = self.succeeded("check_api_keys", 1).await?.pop();
        let outcome = newest.and_then(|job| job.outcome).unwrap_or_default();
        let organizations = outcome["organizations"].as_array().into_iter().flatten();
        let overdue = organizations.map(|it| {
            let id = it["organization_id"].as_i64().map(|id| id.to_string());
            (
                id.unwrap_or_default(),
                it["overdue"].as_i64().unwrap_or_default(),
            )
        });
        Ok(overdue.collect())
    }

    /// From the newest checklist of all organisations.
    async fn failing_items(&self) -> Result<Vec<String>, StateError> {
        let jobs = self.succeeded("compliance_checklist", LOOKED_AT).await?;
        let of_all = |job: &JobView| job.payload["organization_id"].is_null();
        let newest = jobs.into_iter().find(of_all);
        let outcome = newest.and_then(|job| job.outcome).unwrap_or_default();
        let items = outcome["items"].as_array().into_iter().flatten();
        let failing = items.filter(|item| item["status"] == Status::Fail.name());
        Ok(failing
            .filter_map(|item| item["id"].as_str().map(str::to_owned))
            .collect())
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

/// Whether a verification looked at this organisation and found its trail intact.
fn found_intact(run: &VerificationRow, organization: &str) -> bool {
    let asked: Vec<Value> = serde_json::from_str(&run.organizations).unwrap_or_default();
    let is_asked = |it: &Value| it.as_i64().is_some_and(|id| id.to_string() == organization);
    // What cannot be read is no proof of anything.
    let others: Option<HashMap<String, Value>> = serde_json::from_str(&run.not_intact).ok();
    (asked.is_empty() || asked.iter().any(is_asked))
        && others.is_some_and(|others| !others.contains_key(organization))
}

fn read<T>(what: &str, result: Result<T, StateError>) -> Option<T> {
    result
        .inspect_err(|error| tracing::debug!(%error, "cannot judge {what}"))
        .ok()
}

fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

//! Says of facts which alerts are on: the expressions of `config/alerts.yml`, with their thresholds.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use crate::notify::rules::{Rule, rule};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const MICROS: i64 = 1_000_000;

/// An alert that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub rule: &'static Rule,
    /// What tells it from others.
    pub labels: BTreeMap<String, String>,
    /// Its number: a count, or seconds.
    pub value: i64,
    /// Since when, in microseconds since 1970, where that is known.
    pub since: Option<i64>,
}

/// What was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Alerts that are on.
    pub found: Vec<Found>,
    /// The names of alerts that could be judged; others stay as they are.
    pub judged: BTreeSet<&'static str>,
}

/// Judges everything that can be.
#[must_use]
pub fn judge(facts: &Facts) -> Judgement {
    let mut it = Judgement::default();
    trails(facts, &mut it);
    verifications(facts, &mut it);
    archive(facts, &mut it);
    work(facts, &mut it);
    rights(facts, &mut it);
    compliance(facts, &mut it);
    it
}

impl Judgement {
    /// One alert without labels: unknown, off, or on with its number.
    fn one(&mut self, name: &str, state: Option<Option<i64>>) {
        self.each(name, "", state.map(|on| on.map(|value| ("", value, None))));
    }

    /// Alerts that differ in one label: unknown, or those that are on, with their numbers and since when they are.
    fn each<'l>(
        &mut self,
        name: &str,
        label: &str,
        on: Option<impl IntoIterator<Item = (&'l str, i64, Option<i64>)>>,
    ) {
        let (Some(rule), Some(on)) = (rule(name), on) else {
            return;
        };
        self.judged.insert(rule.name);
        self.found.extend(on.into_iter().map(|(of, value, since)| {
            let label = (!label.is_empty()).then(|| (label.to_owned(), of.to_owned()));
            Found {
                rule,
                labels: label.into_iter().collect(),
                value,
                since,
            }
        }));
    }
}

impl Facts {
    /// How many seconds ago a time was.
    fn age(&self, at: i64) -> i64 {
        self.now.as_microsecond().saturating_sub(at) / MICROS
    }

    /// Whether something is older than so many seconds, which it can only be if it was due since the database was made.
    fn is_overdue(&self, at: Option<i64>, seconds: i64) -> Option<Option<i64>> {
        let (at, made_at) = (at?, self.made_at?);
        let age = self.age(at);
        Some((age > seconds && self.age(made_at) > seconds).then_some(age))
    }
}

fn trails(facts: &Facts, it: &mut Judgement) {
    let of = |verdict: &'static str| {
        let rows = facts.verdicts.as_ref()?.iter();
        Some(rows.filter(move |row| row.verdict == verdict))
    };
    let failed =
        of("tampered").map(|rows| rows.map(|row| (row.organization.as_str(), 1, Some(row.since))));
    it.each("TrailkeeperIntegrityFailed", "organization", failed);
    let degraded = of("incomplete").map(|rows| {
        let rows = rows.filter(|row| row.was_intact);
        rows.map(|row| (row.organization.as_str(), 1, None))
    });
    it.each("TrailkeeperIntegrityDegraded", "organization", degraded);
}

fn verifications(facts: &Facts, it: &mut Judgement) {
    let check = facts.full_check;
    let stale = |at: i64, seconds: i64| {
        let age = facts.age(at);
        (at > 0 && age > seconds).then_some(age)
    };
    let last = check.map(|check| stale(check.last_at, 36 * HOUR));
    it.one("TrailkeeperVerificationStale", last);
    let never = check.zip(facts.made_at).map(|(check, made_at)| {
        let age = facts.age(made_at);
        (check.last_at == 0 && age > 26 * HOUR).then_some(age)
    });
    it.one("TrailkeeperVerificationNeverSucceeded", never);
    let oldest = check.map(|check| stale(check.oldest_at, 8 * DAY));
    it.one("TrailkeeperFullCheckOverdue", oldest);
    let anchor = facts.is_overdue(facts.anchored_at, 3 * HOUR);
    it.one("TrailkeeperAnchorStale", anchor);
}

fn archive(facts: &Facts, it: &mut Judgement) {
    let stored_at = facts.backup.map(|backup| backup.stored_at);
    let failed = facts.is_overdue(stored_at, 36 * HOUR);
    it.one("TrailkeeperArchiveFailed", failed);
    let not_locked = facts.backup.map(|backup| above(backup.not_locked, 0));
    it.one("TrailkeeperArchiveNotLocked", not_locked);
    let failed = facts
        .drill
        .map(|drill| (drill.at > 0 && !drill.passed).then_some(0));
    it.one("TrailkeeperDrillFailed", failed);
    let stale = facts.is_overdue(facts.drill.map(|drill| drill.at), 8 * DAY);
    it.one("TrailkeeperDrillStale", stale);
}

fn work(facts: &Facts, it: &mut Judgement) {
    it.each("TrailkeeperDeadJobs", "kind", counted(facts.dead.as_ref()));
    let queue = facts.queue_seconds.map(|age| above(age, 600));
    it.one("TrailkeeperQueueOld", queue);
    let outbox = facts.outbox_seconds.map(|age| above(age, 900));
    it.one("TrailkeeperOutboxStuck", outbox);
}

fn rights(facts: &Facts, it: &mut Judgement) {
    let near = facts.erasures.map(|erasures| {
        let left = erasures.first_due_at.map(|due| -facts.age(due));
        left.filter(|left| *left > 0 && *left < 7 * DAY)
    });
    it.one("TrailkeeperErasureDeadlineNear", near);
    let passed = facts.erasures.map(|erasures| above(erasures.overdue, 0));
    it.one("TrailkeeperErasureDeadlinePassed", passed);
    let awaiting = facts
        .erasures
        .map(|erasures| above(erasures.awaiting_approval, 0));
    it.one("TrailkeeperErasureAwaitsApproval", awaiting);
}

fn compliance(facts: &Facts, it: &mut Judgement) {
    let keys = counted(facts.overdue_keys.as_ref());
    it.each("TrailkeeperKeysOverdue", "organization", keys);
    let items = facts
        .failing_items
        .as_ref()
        .map(|items| items.iter().map(|item| (item.as_str(), 1, None)));
    it.each("TrailkeeperChecklistFailing", "item", items);
}

fn above(value: i64, limit: i64) -> Option<i64> {
    (value > limit).then_some(value)
}

fn counted(
    counts: Option<&BTreeMap<String, i64>>,
) -> Option<impl Iterator<Item = (&str, i64, Option<i64>)>> {
    let counts = counts?.iter().filter(|(_, count)| **count > 0);
    Some(counts.map(|(of, count)| (of.as_str(), *count, None)))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

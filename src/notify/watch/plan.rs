//! From what was judged to what changes, and who is told: pure, so that each case can be looked at.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::judge::{Found, Judgement};
use crate::{
    config::{Channel, Notify},
    notify::{Alert, Moment, Notice, Severity, rules},
    state::{
        alerts::{AlertRow, Change, Step},
        jobs::new_id,
        notices::{LastNotice, NewNotice},
    },
};

const SECOND: i64 = 1_000_000;
/// How old it may be when an alert was last seen to go on, as the database has it.
const SEEN_EVERY: i64 = 60 * SECOND;

/// What is known of alerts that are not over.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) open: Vec<AlertRow>,
    pub(super) told: Vec<LastNotice>,
}

/// What changes at `now`.
pub(super) fn plan(
    config: &Notify,
    known: &Known,
    judgement: &Judgement,
    now: Timestamp,
) -> Vec<Change> {
    let planner = Planner { config, known, now };
    let mut open: HashMap<&str, &AlertRow> = known
        .open
        .iter()
        .map(|row| (row.identity.as_str(), row))
        .collect();
    let mut changes = Vec::new();
    for found in &judgement.found {
        let fresh = planner.fresh(found);
        let before = open.remove(fresh.identity.as_str());
        changes.extend(planner.on(found, fresh, before));
    }
    let judged = |row: &&&AlertRow| judgement.judged.contains(row.name.as_str());
    let over = open.values().filter(judged);
    changes.extend(over.map(|row| planner.off(row)));
    changes
}

struct Planner<'p> {
    config: &'p Notify,
    known: &'p Known,
    now: Timestamp,
}

impl Planner<'_> {
    /// The row of an alert that begins.
    fn fresh(&self, found: &Found) -> AlertRow {
        let now = self.now.as_microsecond();
        let (summary, description) = found.rule.words(&found.labels, found.value);
        let is_told = found.rule.wait_seconds == 0;
        let organization = found.labels.get("organization");
        let mut row = AlertRow {
            identity: String::new(),
            name: found.rule.name.to_owned(),
            labels: serde_json::json!(found.labels).to_string(),
            severity: found.rule.severity.name().to_owned(),
            summary,
            description,
            organization_id: organization.and_then(|id| id.parse().ok()),
            starts_at: found.since.unwrap_or(now),
            fired_at: is_told.then_some(now),
            last_seen: now,
            ends_at: None,
        };
        row.identity = alert(self.config, &row).identity();
        row
    }

    /// What changes of an alert that is on.
    fn on(&self, found: &Found, fresh: AlertRow, before: Option<&AlertRow>) -> Option<Change> {
        let now = self.now.as_microsecond();
        let Some(before) = before else {
            return Some(self.change(fresh, Step::Begin));
        };
        let mut row = AlertRow {
            starts_at: before.starts_at,
            fired_at: before.fired_at,
            ..fresh
        };
        if before.fired_at.is_none() {
            let is_long_enough =
                now.saturating_sub(before.starts_at) >= found.rule.wait_seconds * SECOND;
            row.fired_at = Some(now);
            return is_long_enough.then(|| self.change(row, Step::Fire));
        }
        let change = self.change(row, Step::GoOn);
        let is_stale = now.saturating_sub(before.last_seen) >= SEEN_EVERY;
        (is_stale || !change.notices.is_empty()).then_some(change)
    }

    /// What changes of an alert that is off.
    fn off(&self, before: &AlertRow) -> Change {
        if before.fired_at.is_none() {
            return self.change(before.clone(), Step::Forget);
        }
        let row = AlertRow {
            ends_at: Some(self.now.as_microsecond()),
            ..before.clone()
        };
        self.change(row, Step::End)
    }

    fn change(&self, row: AlertRow, step: Step) -> Change {
        let told = alert(self.config, &row);
        let notices = match step {
            Step::Forget => Vec::new(),
            Step::Begin | Step::Fire if row.fired_at.is_none() => Vec::new(),
            Step::Begin | Step::Fire => {
                let receivers = self.config.receivers(&told).into_iter();
                let notice = |it: &Channel| self.notice(it, &told, Moment::Firing, None);
                receivers.map(notice).collect()
            }
            Step::GoOn => {
                let receivers = self.config.receivers(&told).into_iter();
                let notice = |it: &Channel| self.again(it, &row, &told);
                receivers.filter_map(notice).collect()
            }
            // Whoever was told hears of the end, wherever routes lead by now.
            Step::End => {
                let channels = self.config.channels.iter();
                let was_told = |it: &&Channel| self.last(it, &row).is_some();
                let notice = |it: &Channel| self.notice(it, &told, Moment::Resolved, None);
                channels.filter(was_told).map(notice).collect()
            }
        };
        Change {
            alert: row,
            step,
            notices,
        }
    }

    /// What a channel was last told of an alert since it fired.
    fn last(&self, channel: &Channel, row: &AlertRow) -> Option<&LastNotice> {
        let mut told = self.known.told.iter();
        told.find(|it| {
            it.channel == channel.name
                && it.identity == row.identity
                && row.fired_at.is_some_and(|at| it.created_at >= at)
        })
    }

    /// What a channel is told of an alert that goes on: the beginning, if it is new to the channel; or a reminder, when it is time and
    /// nothing waits for it.
    fn again(&self, channel: &Channel, row: &AlertRow, told: &Alert) -> Option<NewNotice> {
        let Some(last) = self.last(channel, row) else {
            let since = row.fired_at? - 1;
            return Some(self.notice(channel, told, Moment::Firing, Some(since)));
        };
        let seconds = match channel.resends() {
            true => self.config.resend_seconds,
            false => self.config.remind_after_seconds,
        };
        let since = self.now.as_microsecond() - i64::from(seconds) * SECOND;
        let is_due = last.open == 0 && last.created_at <= since;
        is_due.then(|| self.notice(channel, told, Moment::Reminder, Some(since)))
    }

    fn notice(
        &self,
        channel: &Channel,
        told: &Alert,
        moment: Moment,
        since: Option<i64>,
    ) -> NewNotice {
        let notice = Notice {
            id: new_id(),
            moment,
            alert: told.clone(),
            at: self.now,
        };
        new_notice(channel, Some(told.identity()), &notice, since)
    }
}

/// A notice as it is kept.
pub(in crate::notify) fn new_notice(
    channel: &Channel,
    identity: Option<String>,
    notice: &Notice,
    since: Option<i64>,
) -> NewNotice {
    NewNotice {
        id: notice.id.clone(),
        channel: channel.name.clone(),
        identity,
        moment: notice.moment.name().to_owned(),
        urgency: notice.alert.severity as i64,
        body: serde_json::json!(notice).to_string(),
        since,
    }
}

/// An alert as it is told.
fn alert(config: &Notify, row: &AlertRow) -> Alert {
    let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or_default();
    let rule = rules::rule(&row.name);
    let labels: BTreeMap<String, String> = serde_json::from_str(&row.labels).unwrap_or_default();
    let mut severities = Severity::ALL.into_iter();
    Alert {
        severity: severities
            .find(|it| it.name() == row.severity)
            .unwrap_or(Severity::Critical),
        runbook_url: rule.map_or_else(String::new, |rule| rule.runbook(&config.runbooks_url)),
        link: rule.and_then(|rule| link(config, rule, row.organization_id)),
        name: row.name.clone(),
        labels,
        summary: row.summary.clone(),
        description: row.description.clone(),
        starts_at: time(row.starts_at),
        ends_at: row.ends_at.map(time),
    }
}

/// The page that shows it; none without a status page.
fn link(config: &Notify, rule: &rules::Rule, organization_id: Option<i64>) -> Option<String> {
    let base = config.status_url.trim_end_matches('/');
    if base.is_empty() {
        return None;
    }
    // Only the front page has parts about single organisations.
    let page = match organization_id.filter(|_| rule.page == "/status") {
        Some(id) => format!("/status/organizations/{id}"),
        None => rule.page.to_owned(),
    };
    Some(format!("{base}{page}"))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

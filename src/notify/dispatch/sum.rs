//! One message instead of many: what is told of those that a limit held back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    config::{Channel, Notify},
    notify::{Alert, Moment, Notice, Severity, rules, watch::plan::new_notice},
    state::{held::HeldNotice, jobs::new_id, notices::NewNotice},
};

/// Its name: it is about several alerts.
pub const NAME: &str = "TrailkeeperMoreAlerts";
/// Names of alerts that are listed.
const LISTED: usize = 10;

/// The message about these; none where there are none.
pub(super) fn sum(
    config: &Notify,
    channel: &Channel,
    held: &[HeldNotice],
    now: Timestamp,
) -> Option<NewNotice> {
    let held: Vec<Notice> = held
        .iter()
        .filter_map(|it| serde_json::from_str(&it.body).ok())
        .collect();
    let worst = held.iter().max_by_key(|it| it.alert.severity)?;
    let mut counts: BTreeMap<(std::cmp::Reverse<Severity>, &str), usize> = BTreeMap::new();
    for notice in &held {
        let alert = &notice.alert;
        let key = (std::cmp::Reverse(alert.severity), alert.name.as_str());
        *counts.entry(key).or_default() += 1;
    }
    let listed: Vec<String> = counts
        .iter()
        .take(LISTED)
        .map(|((_, name), count)| format!("{name} ({count})"))
        .collect();
    let rest = match counts.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} other kinds"),
    };
    let more = if held.len() == 1 { "alert" } else { "alerts" };
    let alert = Alert {
        name: NAME.to_owned(),
        labels: BTreeMap::from([("channel".to_owned(), channel.name.clone())]),
        severity: worst.alert.severity,
        summary: format!("{} more {more}", held.len()),
        description: format!(
            "There was more to tell than notify.max_per_hour ({}) lets through. What was held back: {}{rest}.",
            config.max_per_hour,
            listed.join(", ")
        ),
        runbook_url: rules::rule(&worst.alert.name)
            .map_or_else(String::new, |rule| rule.runbook(&config.runbooks_url)),
        link: worst.alert.link.clone(),
        starts_at: held.iter().map(|it| it.at).min().unwrap_or(now),
        ends_at: None,
    };
    let notice = Notice {
        id: new_id(),
        moment: Moment::Reminder,
        alert,
        at: now,
    };
    Some(new_notice(channel, None, &notice, None))
}

//! Whether use is limited.

use serde_json::Value;

use super::{Draft, integer, text};
use crate::report::{facts::Facts, model::Control};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "rate_limiting",
        "Requests are limited",
        &["A1.2", "CC6.1"],
        "The organisation has a quota in QWED, with limits above zero for a day, a minute and at the same time.",
    );
    if let Some(quota) = draft.take(&facts.quota) {
        if quota.rows.is_empty() {
            draft.fails("The organisation has no quota of its own.");
        }
        for (column, name, label) in [
            (0, "max_requests_per_day", "Requests per day"),
            (1, "max_requests_per_minute", "Requests per minute"),
            (2, "max_concurrent_requests", "Requests at the same time"),
        ] {
            let value = quota.value(column);
            if !quota.rows.is_empty() && value.as_i64().is_none_or(|it| it <= 0) {
                draft.fails(format!("{label}: there is no limit above zero."));
            }
            draft.measure(name, label, value, Some("requests"));
        }
    }
    if let Some(events) = draft.take(&facts.events) {
        let is_limit = |row: &&Vec<Value>| {
            let kind = text(row.first()).to_lowercase();
            ["rate_limit", "rate limit", "quota", "throttle"]
                .iter()
                .any(|it| kind.contains(it))
        };
        let limited: i64 = events
            .rows
            .iter()
            .filter(is_limit)
            .map(|row| integer(row.get(4)))
            .sum();
        draft.measure(
            "limit_events_in_period",
            "Security events about limits in the period",
            limited,
            Some("events"),
        );
    }
    draft.judge(
        "The organisation has a quota with limits.",
        "Set the organisation's quota in QWED (table resourcequota).",
        "It shows that limits are configured. That QWED enforces them is not probed; refused requests that QWED does not record as security events do not show.",
    )
}

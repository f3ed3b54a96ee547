//! Whether security events were looked at.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::{
    report::{
        facts::Facts,
        model::{Chart, ChartKind, Control, Origin, Series},
    },
    reviews::Event,
};

/// A week is unusual when it has more events than the mean of all weeks and this many standard deviations.
const UNUSUAL_DEVIATIONS: f64 = 3.0;

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "security_events",
        "Security events are reviewed",
        &["CC7.2", "CC7.3"],
        "Each security event of severity high or critical was reviewed by somebody who signed for it in the ledger.",
    );
    if let Some(events) = draft.take(&facts.events) {
        let total: i64 = events.rows.iter().map(|row| integer(row.get(4))).sum();
        draft.measure(
            "events_in_period",
            "Security events in the period",
            total,
            Some("events"),
        );
        for (column, name, title) in [
            (0, "by_type", "Events by type"),
            (1, "by_severity", "Events by severity"),
            (2, "by_layer", "Events by the layer that noticed them"),
        ] {
            let sums = sums(&events.rows, column);
            let rows = sums.iter().map(|(name, sum)| vec![json!(name), json!(sum)]);
            draft.table(
                name,
                title,
                &["name", "events"],
                rows.collect(),
                facts.policy.max_rows,
            );
        }
        weeks(&events.rows, &mut draft);
    }
    if let Some(reviewed) = draft.known(&facts.reviewed) {
        let how = format!(
            "trailkeeper events list --org {}: each row of securityevent of severity high or critical, held against \
             the entries of the ledger of act events.reviewed",
            facts.organization_id
        );
        draft.obtained(&facts.obtained(Origin::Qwed, &how, reviewed.severe));
        draft.measure(
            "events_severe",
            "High and critical events in all",
            reviewed.severe,
            Some("events"),
        );
        draft.measure(
            "events_unreviewed",
            "Of these, nobody reviewed",
            reviewed.unreviewed,
            Some("events"),
        );
        if reviewed.unreviewed > 0 {
            draft.fails(format!(
                "Nobody reviewed {}.",
                count(
                    reviewed.unreviewed,
                    "event of severity high or critical",
                    "events of severity high or critical"
                )
            ));
        }
        let row = |it: &Event| {
            vec![
                json!(it.id),
                json!(it.event_type),
                json!(it.severity),
                json!(it.security_layer),
                json!(it.timestamp.map(|at| at.to_string())),
            ]
        };
        let rows = reviewed.listed.iter().map(row).collect();
        let columns = ["event", "type", "severity", "layer", "at"];
        draft.table(
            "unreviewed",
            "Events that nobody reviewed, the newest first",
            &columns,
            rows,
            facts.policy.max_rows,
        );
        if let Some(table) = draft.control.tables.last_mut() {
            table.rows_total = reviewed.unreviewed;
        }
    }
    draft.judge(
        "Each event of severity high or critical was reviewed.",
        "Look at the events named in QWED, act on them, and sign for it: \"trailkeeper events review --until T --by WHO --note …\".",
        "It shows what QWED's layers noticed and recorded, not what they missed; and that somebody signed for a review, not how well they looked. \
         An unusual week is one far above the mean of the period's weeks, nothing more.",
    )
}

/// Events by the name in a column, the most frequent first.
fn sums(rows: &[Vec<Value>], column: usize) -> Vec<(String, i64)> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for row in rows {
        *sums.entry(text(row.get(column))).or_default() += integer(row.get(4));
    }
    let name = |name: &str| if name.is_empty() { "none" } else { name }.to_owned();
    let mut sums: Vec<_> = sums.into_iter().map(|(it, sum)| (name(it), sum)).collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    sums
}

fn weeks(rows: &[Vec<Value>], draft: &mut Draft) {
    let mut weeks: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for row in rows {
        let week = weeks.entry(text(row.get(3))).or_default();
        *week.entry(text(row.get(1))).or_default() += integer(row.get(4));
    }
    if weeks.is_empty() {
        return;
    }
    let totals: Vec<f64> = weeks
        .values()
        .map(|it| it.values().sum::<i64>() as f64)
        .collect();
    let mean = totals.iter().sum::<f64>() / totals.len() as f64;
    let variance = totals.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / totals.len() as f64;
    let limit = mean + UNUSUAL_DEVIATIONS * variance.sqrt();
    let unusual: Vec<&str> = weeks
        .keys()
        .zip(&totals)
        .filter(|(_, total)| **total > limit)
        .map(|(week, _)| *week)
        .collect();
    draft.measure(
        "unusual_weeks",
        "Weeks with unusually many events",
        unusual.join(", "),
        None,
    );
    let mut severities: Vec<&str> = weeks.values().flat_map(|it| it.keys().copied()).collect();
    severities.sort_unstable();
    severities.dedup();
    let series = severities.iter().map(|severity| Series {
        name: if severity.is_empty() {
            "none"
        } else {
            severity
        }
        .to_owned(),
        values: weeks
            .values()
            .map(|it| it.get(severity).copied().unwrap_or(0) as f64)
            .collect(),
    });
    draft.chart(Chart {
        name: "events_by_week".to_owned(),
        title: "Security events by week and severity".to_owned(),
        kind: ChartKind::StackedBars,
        unit: "events".to_owned(),
        labels: weeks.keys().map(|it| (*it).to_owned()).collect(),
        series: series.collect(),
    });
}

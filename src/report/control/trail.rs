//! Whether the trail is what was written, all of it.

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::{
    report::{
        facts::Facts,
        model::{Chart, ChartKind, Control, Origin, Series},
    },
    trail::finding::Verdict,
};

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "trail_integrity",
        "The audit trail is complete and unaltered",
        &["CC7.2", "PI1.4", "PI1.5"],
        "Every entry's hash and signature are valid, each follows the one before, and the trail extends what was anchored before.",
    );
    let mut checked = None;
    if let Some(report) = draft.known(&facts.verified) {
        let id = Some(facts.organization_id);
        let trail = report
            .organizations
            .iter()
            .find(|it| it.organization_id == id);
        draft.measure("verdict", "Verdict", report.verdict.to_string(), None);
        draft.measure(
            "entries_checked",
            "Entries checked",
            report.entries,
            Some("entries"),
        );
        draft.measure(
            "verified_at",
            "Verification began",
            report.started_at.clone(),
            None,
        );
        let how = format!(
            "trailkeeper verify --org {}: hash, signature and chain of every entry, compared with the newest anchor",
            facts.organization_id
        );
        draft.obtained(&facts.obtained(Origin::Verification, &how, report.entries));
        match report.verdict {
            Verdict::Intact => {}
            Verdict::Incomplete => draft.is_unknown("Some of the trail cannot be verified."),
            Verdict::Tampered => draft.fails("The trail is not what was written."),
        }
        if let Some(trail) = trail {
            checked = Some(trail.qwed.total_entries);
            let erased = trail.erased.anonymised + trail.erased.deleted;
            let failed = trail.failed_count.saturating_sub(trail.excused_count);
            draft.measure(
                "entries_failed",
                "Entries that failed",
                failed,
                Some("entries"),
            );
            draft.measure(
                "entries_legacy",
                "Entries without hashes",
                trail.legacy_count,
                Some("entries"),
            );
            draft.measure(
                "entries_erased",
                "Entries erased with a tombstone",
                erased,
                Some("entries"),
            );
            draft.measure(
                "head_hash",
                "Hash of the newest entry",
                json!(trail.qwed.head_hash),
                None,
            );
            let anchor = trail.anchor.as_ref();
            draft.measure(
                "anchor",
                "Newest anchor",
                json!(anchor.map(|it| it.number)),
                None,
            );
            draft.measure(
                "anchored_at",
                "Anchored at",
                json!(anchor.map(|it| it.time.clone())),
                None,
            );
            draft.measure(
                "anchored_entries",
                "Entries that the anchor covers",
                json!(anchor.map(|it| it.entries)),
                Some("entries"),
            );
            draft.measure(
                "unanchored_entries",
                "Entries since",
                json!(anchor.map(|it| it.unanchored_entries)),
                Some("entries"),
            );
            if anchor.is_none() && trail.qwed.total_entries > 0 {
                draft.is_unknown("No anchor vouches for the end of the trail, so entries removed there would not show.");
            }
            let rows: Vec<Vec<Value>> = trail
                .findings
                .iter()
                .map(|it| {
                    vec![
                        json!(it.entry_id),
                        json!(it.kind),
                        json!(it.severity),
                        json!(it.detail),
                    ]
                })
                .collect();
            if !rows.is_empty() {
                draft.table(
                    "findings",
                    "What the verification found",
                    &["entry", "kind", "severity", "detail"],
                    rows,
                    facts.policy.max_rows,
                );
                if let Some(table) = draft.control.tables.last_mut() {
                    table.rows_total = table.rows_total.max(trail.findings_total);
                }
            }
        }
    }
    if let Some(anchors) = draft.take(&facts.anchors) {
        draft.measure(
            "anchors_in_period",
            "Anchors made in the period",
            anchors.number(0),
            Some("anchors"),
        );
    }
    population(facts, &mut draft, checked);
    days(facts, &mut draft);
    draft.judge(
        "Every entry is as it was written, and none is missing from what was anchored.",
        "See docs/verification.md and \"trailkeeper verify\": keep the database as it is, find the entries named, and compare with a backup (\"trailkeeper archive restore\").",
        "It does not show that QWED recorded every request, nor that entries newer than the last anchor were not removed. Whoever holds the signing key can write new entries.",
    )
}

/// That as many entries were checked as there are, and what the numbers between them are.
fn population(facts: &Facts, draft: &mut Draft, checked: Option<u64>) {
    let Some(answer) = draft.take(&facts.population) else {
        return;
    };
    let [entries, others] = [answer.number(0), answer.number(1)];
    let (first, last) = (answer.value(2), answer.value(3));
    let span = match (first.as_i64(), last.as_i64()) {
        (Some(first), Some(last)) => last - first + 1,
        _ => 0,
    };
    draft.measure(
        "entries",
        "Entries of the organisation in the table",
        entries,
        Some("entries"),
    );
    draft.measure("first_entry_id", "First entry", first, None);
    draft.measure("last_entry_id", "Last entry", last, None);
    draft.measure(
        "entries_of_others",
        "Ids between them that belong to other organisations",
        others,
        Some("ids"),
    );
    draft.measure(
        "ids_absent",
        "Ids between them that no row has",
        span - entries - others,
        Some("ids"),
    );
    draft.measure(
        "entries_in_period",
        "Entries in the period",
        answer.number(4),
        Some("entries"),
    );
    draft.measure(
        "claims_verified_in_period",
        "Of these, claims that QWED verified",
        answer.number(5),
        Some("entries"),
    );
    draft.measure(
        "oldest_entry_at",
        "Time of the oldest entry",
        answer.value(6),
        None,
    );
    draft.measure(
        "newest_entry_at",
        "Time of the newest entry",
        answer.value(7),
        None,
    );
    // The trail may have grown between the two, never shrunk.
    let entries = u64::try_from(entries).unwrap_or(0);
    match checked {
        Some(checked) if entries < checked => draft.fails(format!(
            "The table has {}, fewer than the {checked} that were verified moments before.",
            count(entries, "entry", "entries")
        )),
        None if entries > 0 => draft.is_unknown(format!(
            "{} could not be counted against a verification.",
            count(entries, "entry", "entries")
        )),
        _ => {}
    }
}

fn days(facts: &Facts, draft: &mut Draft) {
    let Some(answer) = draft.take(&facts.days) else {
        return;
    };
    if answer.rows.is_empty() {
        return;
    }
    let labels = answer.rows.iter().map(|row| text(row.first()).to_owned());
    let values = |of: &dyn Fn(&[Value]) -> i64| {
        let value = |row: &Vec<Value>| of(row) as f64;
        answer.rows.iter().map(value).collect::<Vec<f64>>()
    };
    draft.chart(Chart {
        name: "entries_by_day".to_owned(),
        title: "Entries by day, by whether QWED verified the claim".to_owned(),
        kind: ChartKind::StackedBars,
        unit: "entries".to_owned(),
        labels: labels.collect(),
        series: vec![
            Series {
                name: "verified".to_owned(),
                values: values(&|row| integer(row.get(2))),
            },
            Series {
                name: "not verified".to_owned(),
                values: values(&|row| integer(row.get(1)) - integer(row.get(2))),
            },
        ],
    });
}

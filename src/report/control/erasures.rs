//! Whether requests for erasure were carried out in time.

use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::report::{
    facts::{Facts, time_text},
    model::Control,
};

/// States in which nothing is left to do.
const ENDED: [&str; 3] = ["completed", "rejected", "cancelled"];

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "erasure_requests",
        "Requests for erasure are carried out in time",
        &["P4.3", "P5.1"],
        "Each request that was open in the period ended before its deadline, or its deadline has not come.",
    );
    let Some(answer) = draft.take(&facts.erasures) else {
        return end(draft);
    };
    if answer.rows.is_empty() {
        return draft.not_applicable("No request for erasure was open in the period.");
    }
    let now = facts.now.as_microsecond();
    let (mut done, mut late, mut overdue, mut open) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut rows = Vec::new();
    for row in &answer.rows {
        let state = text(row.get(1));
        let (due, ended) = (integer(row.get(3)), row.get(5).and_then(Value::as_i64));
        let is_late = ended.unwrap_or(now) > due;
        let has_ended = ENDED.contains(&state);
        match (has_ended, is_late) {
            (true, true) if ended.is_some() => late += 1,
            (true, _) => done += 1,
            (false, true) => overdue += 1,
            (false, false) => open += 1,
        }
        let days = (!has_ended).then(|| (due - now).div_euclid(86_400_000_000));
        rows.push(vec![
            json!(text(row.first())),
            json!(state),
            json!(time_text(integer(row.get(2)))),
            json!(time_text(due)),
            json!(row.get(4).is_some_and(|it| !it.is_null())),
            json!(ended.map(time_text)),
            json!(days),
        ]);
    }
    draft.measure(
        "requests",
        "Requests that were open in the period",
        answer.rows.len(),
        Some("requests"),
    );
    draft.measure("requests_in_time", "Ended in time", done, Some("requests"));
    draft.measure("requests_late", "Carried out late", late, Some("requests"));
    draft.measure(
        "requests_open",
        "Open, with time left",
        open,
        Some("requests"),
    );
    draft.measure(
        "requests_overdue",
        "Open, past the deadline",
        overdue,
        Some("requests"),
    );
    if late > 0 {
        draft.fails(count(
            late,
            "request was carried out late.",
            "requests were carried out late.",
        ));
    }
    if overdue > 0 {
        draft.fails(count(
            overdue,
            "request is past its deadline.",
            "requests are past their deadline.",
        ));
    }
    let columns = [
        "request",
        "state",
        "asked at",
        "due at",
        "extended",
        "ended at",
        "days left",
    ];
    draft.table(
        "requests",
        "Requests for erasure",
        &columns,
        rows,
        facts.policy.max_rows,
    );
    end(draft)
}

fn end(draft: Draft) -> Control {
    draft.judge(
        "Each request ended in time, or has time left.",
        "See \"trailkeeper erase list\"; plan, approve and execute what is open, or extend it with a reason within Art. 12(3) GDPR.",
        "Requests that never reached trailkeeper are not known to it. A request that was turned down or taken back has no time of its end.",
    )
}

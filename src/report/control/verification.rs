//! Whether the trail was verified whenever it was to be.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Draft, count, integer, text};
use crate::report::{
    facts::{Facts, Wanted, time_text},
    model::{Control, Origin},
};

/// How a wanted run ended.
#[derive(Clone)]
struct Run {
    outcome: &'static str,
    detail: String,
    ended_at: Option<i64>,
    entries: Option<i64>,
}

pub(super) fn control(facts: &Facts) -> Control {
    let mut draft = Draft::new(
        "scheduled_verification",
        "The trail was verified whenever a schedule wanted it",
        &["CC7.2", "CC7.3", "PI1.5"],
        "Each run that a schedule wanted in the period came to a verdict, and each verdict on the organisation was intact.",
    );
    let is_ours = |it: &&Wanted| it.is_about(facts.organization_id);
    let wanted = draft.known(&facts.wanted);
    let wanted: Option<Vec<Wanted>> =
        wanted.map(|all| all.iter().filter(is_ours).cloned().collect());
    let runs = draft.take(&facts.runs);
    let fires = draft.take(&facts.fires);
    let first_fires = draft.take(&facts.first_fires);
    let (Some(wanted), Some(runs), Some(fires), Some(first_fires)) =
        (wanted, runs, fires, first_fires)
    else {
        return end(draft);
    };
    let how = "each schedule of kind verify_trail that is not paused, and looks at the organisation, its fires in the period by its calendar";
    draft.obtained(&facts.obtained(Origin::Configuration, how, wanted.len() as u64));
    let since: BTreeMap<&str, i64> = first_fires
        .rows
        .iter()
        .map(|row| (text(row.first()), integer(row.get(1))))
        .collect();
    let by_fire = by_fire(facts, &runs.rows);
    let decided: BTreeMap<(&str, i64), &Vec<Value>> = fires
        .rows
        .iter()
        .map(|row| ((text(row.first()), integer(row.get(1))), row))
        .collect();
    let mut rows = Vec::new();
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut days = BTreeSet::new();
    for Wanted {
        schedule,
        fire_time,
        ..
    } in &wanted
    {
        let fire = fire_time.as_microsecond();
        let key = (schedule.as_str(), fire);
        let run = match (by_fire.get(&key), decided.get(&key)) {
            (Some(run), _) => run.clone(),
            (None, Some(row)) => undecided(row),
            (None, None) => unknown(since.get(schedule.as_str()).copied(), *fire_time),
        };
        *tally.entry(run.outcome).or_default() += 1;
        if run.outcome == "intact" {
            days.insert(fire / 86_400_000_000);
        }
        rows.push(vec![
            json!(schedule),
            json!(time_text(fire)),
            json!(run.outcome),
            json!(run.ended_at.map(time_text)),
            json!(run.entries),
            json!(run.detail),
        ]);
    }
    let of = |outcome: &str| tally.get(outcome).copied().unwrap_or(0);
    draft.measure(
        "runs_wanted",
        "Runs that schedules wanted",
        wanted.len(),
        Some("runs"),
    );
    for (outcome, label) in OUTCOMES {
        draft.measure(&format!("runs_{outcome}"), label, of(outcome), Some("runs"));
    }
    draft.measure(
        "runs_by_hand",
        "Runs that somebody else asked for",
        by_hand(&runs.rows),
        Some("runs"),
    );
    draft.measure(
        "days_with_intact_run",
        "Days with a scheduled run that found the trail intact",
        days.len(),
        Some("days"),
    );
    // What needs a look comes first; a table that is cut must not cut that.
    rows.sort_by_key(|row| row.get(2) == Some(&json!("intact")));
    draft.table(
        "runs",
        "Scheduled runs of the period, those that were not intact first",
        &[
            "schedule",
            "wanted at",
            "outcome",
            "ended at",
            "entries",
            "detail",
        ],
        rows,
        facts.policy.max_rows,
    );
    if wanted.is_empty() {
        draft.fails("No schedule verifies the trail.");
    }
    for (outcome, one, more) in [
        (
            "tampered",
            "scheduled run found the trail tampered with.",
            "scheduled runs found the trail tampered with.",
        ),
        (
            "missed",
            "scheduled run did not happen.",
            "scheduled runs did not happen.",
        ),
        (
            "failed",
            "scheduled run came to no verdict.",
            "scheduled runs came to no verdict.",
        ),
    ] {
        if of(outcome) > 0 {
            draft.fails(count(of(outcome), one, more));
        }
    }
    if of("incomplete") > 0 {
        draft.is_unknown(count(
            of("incomplete"),
            "scheduled run could not verify all.",
            "scheduled runs could not verify all.",
        ));
    }
    if of("running") > 0 {
        draft.is_unknown(count(
            of("running"),
            "scheduled run has not ended.",
            "scheduled runs have not ended.",
        ));
    }
    if of("unknown") > 0 {
        draft.is_unknown(format!(
            "Nothing is recorded of {}, which lie before the first record of their schedule.",
            count(of("unknown"), "run", "runs")
        ));
    }
    end(draft)
}

const OUTCOMES: [(&str, &str); 7] = [
    ("intact", "Found the trail intact"),
    ("incomplete", "Could not verify all of it"),
    ("tampered", "Found it tampered with"),
    ("failed", "Came to no verdict"),
    ("missed", "Did not happen"),
    ("running", "Have not ended"),
    ("unknown", "Nothing is recorded"),
];

fn end(draft: Draft) -> Control {
    draft.judge(
        "Each run that a schedule wanted came to a verdict, and found the trail intact.",
        "Look at the runs named; see that workers run at night and that alerts on stale verification are in force.",
        "Schedules are taken as they are configured now; had they been others, fires of then are not known. A run of extent \"part\" checks what is new and a slice of the rest, not everything.",
    )
}

/// Runs that came to a verdict, by schedule and fire. A run that was not asked about this organisation does not count for it.
fn by_fire<'a>(facts: &Facts, rows: &'a [Vec<Value>]) -> BTreeMap<(&'a str, i64), Run> {
    let own = facts.organization_id;
    let asked = |row: &Vec<Value>| {
        let organizations: Vec<i64> = serde_json::from_str(text(row.get(5))).unwrap_or_default();
        organizations.is_empty() || organizations.contains(&own)
    };
    let run = |row: &'a Vec<Value>| {
        let fire = row.get(1)?.as_i64()?;
        let not_intact: BTreeMap<String, String> = serde_json::from_str(text(row.get(8))).ok()?;
        let outcome = match not_intact.get(&own.to_string()).map(String::as_str) {
            None => "intact",
            Some("tampered") => "tampered",
            Some(_) => "incomplete",
        };
        let run = Run {
            outcome,
            detail: format!("extent {}", text(row.get(4))),
            ended_at: row.get(3).and_then(Value::as_i64),
            entries: row.get(7).and_then(Value::as_i64),
        };
        Some(((text(row.first()), fire), run))
    };
    rows.iter()
        .filter(|row| asked(row))
        .filter_map(run)
        .collect()
}

/// A fire that was decided about, and of which no verdict is known.
fn undecided(row: &[Value]) -> Run {
    let (decision, state) = (text(row.get(2)), text(row.get(3)));
    let (outcome, detail) = match (decision, state) {
        ("fired", "dead" | "cancelled") => (
            "failed",
            format!("its job is {state}: {}", text(row.get(4))),
        ),
        ("fired", "queued" | "running" | "retrying") => ("running", format!("its job is {state}")),
        ("fired", "succeeded") => (
            "failed",
            "its job ended without noting a verdict".to_owned(),
        ),
        ("fired", _) => ("unknown", "its job is not kept any more".to_owned()),
        ("skipped_overlap", _) => ("missed", "the run before had not ended".to_owned()),
        _ => ("missed", "no worker was there in time".to_owned()),
    };
    Run {
        outcome,
        detail,
        ended_at: None,
        entries: None,
    }
}

/// A fire that nobody decided about.
fn unknown(since: Option<i64>, fire: Timestamp) -> Run {
    let is_before = since.is_none_or(|since| fire.as_microsecond() < since);
    let (outcome, detail) = if is_before {
        ("unknown", "before the first record of the schedule")
    } else {
        ("missed", "no worker decided about it")
    };
    Run {
        outcome,
        detail: detail.to_owned(),
        ended_at: None,
        entries: None,
    }
}

fn by_hand(rows: &[Vec<Value>]) -> usize {
    rows.iter()
        .filter(|row| row.first().is_none_or(Value::is_null))
        .count()
}

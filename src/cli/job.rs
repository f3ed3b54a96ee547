//! A job as people and programs read it.

use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::Style;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    table::{Cell, table, visible},
    text::{BAD, DOUBTFUL, FAINT, GOOD},
};
use crate::{
    state::jobs::{JobView, State},
    when,
};

/// Fewest characters of an id that stand for it in a table.
const MIN_TAIL: usize = 8;
/// What a table shows of a text whose length others decide.
const MAX_SOURCE: usize = 40;
const MAX_ERROR: usize = 80;

/// As JSON: the columns, with times in RFC 3339.
pub(super) fn document(job: &JobView) -> Value {
    // Cannot fail: it has only texts for keys.
    let mut document = serde_json::to_value(job).unwrap_or_default();
    for key in [
        "fire_time",
        "run_at",
        "created_at",
        "started_at",
        "finished_at",
    ] {
        if let Some(micros) = document[key].as_i64() {
            document[key] = when::rfc3339(micros).into();
        }
    }
    document
}

pub(super) fn documents(jobs: &[JobView]) -> Vec<Value> {
    jobs.iter().map(document).collect()
}

/// A line for each job.
pub(super) fn list(out: &mut dyn Write, jobs: &[JobView], now: Timestamp) -> io::Result<()> {
    let length = tail_length(jobs);
    let row = |job: &JobView| {
        [
            tail(&job.id, length).into(),
            job.kind.as_str().into(),
            Cell::styled(job.state.name(), style(job.state)),
            progress(job).into(),
            attempt(job).into(),
            when::relative(job.created_at, now).into(),
            Cell::cut(&job.source, MAX_SOURCE),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    let head = [
        "ID", "KIND", "STATE", "PROGRESS", "ATTEMPT", "MADE", "SOURCE",
    ];
    table(out, head, &rows)
}

/// A line for each dead job: what matters is why.
pub(super) fn list_dead(out: &mut dyn Write, jobs: &[JobView], now: Timestamp) -> io::Result<()> {
    let length = tail_length(jobs);
    let row = |job: &JobView| {
        let ended = job.finished_at.unwrap_or(job.run_at);
        [
            tail(&job.id, length).into(),
            job.kind.as_str().into(),
            attempt(job).into(),
            when::relative(ended, now).into(),
            Cell::cut(&job.source, MAX_SOURCE),
            Cell::cut(job.error.as_deref().unwrap_or_default(), MAX_ERROR),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    table(
        out,
        ["ID", "KIND", "ATTEMPT", "DIED", "SOURCE", "ERROR"],
        &rows,
    )
}

/// A line for each child, in the order of their parts.
fn list_children(out: &mut dyn Write, children: &[JobView]) -> io::Result<()> {
    let length = tail_length(children);
    let row = |job: &JobView| {
        [
            job.part
                .map_or(String::new(), |part| part.to_string())
                .into(),
            tail(&job.id, length).into(),
            job.kind.as_str().into(),
            Cell::styled(job.state.name(), style(job.state)),
            progress(job).into(),
            attempt(job).into(),
            job.worker.as_deref().unwrap_or("-").into(),
        ]
    };
    let rows: Vec<_> = children.iter().map(row).collect();
    let head = [
        "PART", "ID", "KIND", "STATE", "PROGRESS", "ATTEMPT", "WORKER",
    ];
    table(out, head, &rows)
}

/// Everything about a job.
pub(super) fn show(
    out: &mut dyn Write,
    job: &JobView,
    children: &[JobView],
    now: Timestamp,
) -> io::Result<()> {
    let colour = style(job.state);
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<10}{}", visible(text));
    line("id", &job.id)?;
    line("kind", &job.kind)?;
    let state = match job {
        job if job.waits_for_children => format!(
            " (waits for {} of its children)",
            HumanCount(job.open_children.unsigned_abs())
        ),
        job if job.cancel_requested && !job.state.is_final() => " (was asked to stop)".to_owned(),
        _ => String::new(),
    };
    writeln!(out, "{:<10}{colour}{}{colour:#}{state}", "state", job.state)?;
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<10}{}", visible(text));
    line("progress", &progress(job))?;
    line("attempt", &attempt(job))?;
    line(
        "queue",
        &format!("{}, priority {}", job.queue, job.priority),
    )?;
    line("source", &job.source)?;
    if let Some(schedule) = &job.schedule {
        let fire = job.fire_time.map(when::rfc3339).unwrap_or_default();
        line("schedule", &format!("{schedule}, for {fire}"))?;
    }
    if let Some(parent) = &job.parent_id {
        line(
            "part",
            &format!("{} of job {parent}", job.part.unwrap_or_default()),
        )?;
    }
    if let Some(worker) = &job.worker {
        line("worker", worker)?;
    }
    let due = (!job.state.is_final() && job.state != State::Running).then_some(job.run_at);
    for (name, time) in [
        ("made", Some(job.created_at)),
        ("due", due),
        ("started", job.started_at),
        ("ended", job.finished_at),
    ] {
        if let Some(time) = time {
            line(name, &when::full(time, now))?;
        }
    }
    if let Some(error) = &job.error {
        writeln!(out, "\n{FAINT}error{FAINT:#}\n{}", visible(error))?;
    }
    section(out, "payload", Some(&job.payload))?;
    section(out, "outcome", job.outcome.as_ref())?;
    if !children.is_empty() {
        writeln!(out, "\n{FAINT}children{FAINT:#}")?;
        list_children(out, children)?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, name: &str, value: Option<&Value>) -> io::Result<()> {
    match value {
        Some(value) => writeln!(
            out,
            "\n{FAINT}{name}{FAINT:#}\n{}",
            visible(&format!("{value:#}"))
        ),
        None => Ok(()),
    }
}

/// How a job that somebody waited for has ended.
pub(super) fn end(out: &mut dyn Write, job: &JobView) -> io::Result<()> {
    let colour = style(job.state);
    write!(out, "{colour}{}{colour:#}", job.state)?;
    match (&job.error, &job.outcome) {
        (Some(error), _) => writeln!(out, ": {}", visible(error)),
        (None, Some(outcome)) => writeln!(out, ":\n{}", visible(&format!("{outcome:#}"))),
        (None, None) => writeln!(out),
    }
}

pub(super) fn style(state: State) -> Style {
    match state {
        State::Queued => FAINT,
        State::Running => Style::new(),
        State::Succeeded => GOOD,
        State::Retrying | State::Cancelled => DOUBTFUL,
        State::Dead => BAD,
    }
}

/// `1,200/5,000 (24 %)`.
pub(super) fn progress(job: &JobView) -> String {
    let count = |number: i64| HumanCount(number.unsigned_abs());
    match (job.progress_done, job.progress_total) {
        (Some(done), Some(total)) if total > 0 => {
            // Through 128 bits: a hundred times a count may not fit into 64.
            let percent = i128::from(done) * 100 / i128::from(total);
            format!("{}/{} ({percent} %)", count(done), count(total))
        }
        (Some(done), Some(total)) => format!("{}/{}", count(done), count(total)),
        (Some(done), None) => count(done).to_string(),
        (None, _) => "-".to_owned(),
    }
}

fn attempt(job: &JobView) -> String {
    format!("{}/{}", job.attempt, job.max_attempts)
}

/// How many of their last characters tell the ids of a list apart. Their first ones are times, which resemble each
/// other.
fn tail_length(jobs: &[JobView]) -> usize {
    let longest = jobs.iter().map(|job| job.id.len()).max().unwrap_or(0);
    let tells_apart = |length: &usize| {
        let mut seen = HashSet::new();
        jobs.iter().all(|job| seen.insert(tail(&job.id, *length)))
    };
    (MIN_TAIL..longest).find(tells_apart).unwrap_or(longest)
}

fn tail(id: &str, length: usize) -> &str {
    let start = id.len().saturating_sub(length);
    id.get(start..).unwrap_or(id)
}

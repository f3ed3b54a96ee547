//! Jobs: what waits, runs, came to something or to nothing, and what an operator wants done.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    form::Form,
    session::see,
    shell::{Badge, Moment, Shell, Tone, grouped, page, where_allowed},
};
use crate::{
    config::Scope,
    http::{
        Call, Fault, kinds,
        v1::{find_job, pen, wanted_state},
    },
    runtime::{registry::Refusal, scheduler::job_of},
    state::jobs::{Filter, JobView, NewJob, State},
};

const HERE: &str = "/status/jobs";
/// Jobs that are listed.
const LISTED: i64 = 100;
/// Characters of a document that are shown.
const SHOWN: usize = 64 * 1024;
/// Seconds until the page of a job that has not ended asks again.
const REFRESH: u32 = 3;

#[derive(Template)]
#[template(path = "http/pages/jobs.html")]
struct List {
    shell: Shell,
    states: Vec<(State, String, bool)>,
    is_filtered: bool,
    kinds: Vec<&'static str>,
    jobs: Vec<Row>,
    has_more: bool,
}

struct Row {
    id: String,
    kind: String,
    state: State,
    waits: bool,
    source: String,
    created_at: Moment,
    took: Option<String>,
    error: Option<String>,
}

impl Row {
    fn badge(&self) -> Badge<'static> {
        badge(self.state, self.waits)
    }
}

fn badge(state: State, waits: bool) -> Badge<'static> {
    Badge {
        tone: match state {
            State::Succeeded => Tone::Good,
            State::Retrying => Tone::Doubtful,
            State::Dead => Tone::Bad,
            _ => Tone::Plain,
        },
        word: match waits {
            true => "waiting for its parts",
            false => state.name(),
        },
    }
}

fn row(job: JobView, now: Timestamp) -> Row {
    Row {
        took: took(&job),
        created_at: Moment::micros(job.created_at, now),
        id: job.id,
        kind: job.kind,
        state: job.state,
        waits: job.waits_for_children,
        source: job.source,
        error: job.error,
    }
}

/// How long it took from its first attempt to its end.
fn took(job: &JobView) -> Option<String> {
    let micros = job.finished_at? - job.started_at?;
    let seconds = micros.max(0) as f64 / 1e6;
    Some(match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", (seconds / 60.0) as u64, seconds as u64 % 60),
    })
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let api = &call.api;
    let wanted = wanted_state(&call)?;
    let filter = Filter {
        states: wanted.into_iter().collect(),
        kind: None,
        parent: None,
        limit: LISTED + 1,
    };
    let mut jobs = api.store.jobs(&filter).await?;
    let has_more = jobs.len() as i64 > LISTED;
    jobs.truncate(LISTED as usize);
    let counts = api.store.job_counts().await?;
    let states = State::ALL.map(|state| {
        let of_state = counts.iter().filter(|(it, ..)| *it == state);
        let jobs: i64 = of_state.map(|(.., jobs)| jobs).sum();
        (state, grouped(jobs), wanted == Some(state))
    });
    let operator = call.operator()?;
    for job in &mut jobs {
        kinds::redact(operator, job);
    }
    let kinds = api.registry.kinds();
    let kinds = kinds.filter(|kind| !kind.is_internal && kinds::may_ask(operator, kind.name));
    let now = api.now();
    let shown = List {
        shell: Shell::new(&call, HERE, "Jobs"),
        states: states.to_vec(),
        is_filtered: wanted.is_some(),
        kinds: kinds.map(|kind| kind.name).collect(),
        jobs: jobs.into_iter().map(|job| row(job, now)).collect(),
        has_more,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[derive(Template)]
#[template(path = "http/pages/job.html")]
struct One {
    shell: Shell,
    job: Row,
    facts: Vec<(&'static str, String)>,
    times: Vec<(&'static str, Moment)>,
    progress: Option<(i64, Option<i64>)>,
    payload: String,
    outcome: Option<String>,
    parent: Option<String>,
    children: Vec<Row>,
    may_retry: bool,
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let api = &call.api;
    let job = find_job(&call).await?;
    let children = Filter {
        states: Vec::new(),
        kind: None,
        parent: Some(job.id.clone()),
        limit: LISTED,
    };
    let mut children = api.store.jobs(&children).await?;
    for child in &mut children {
        kinds::redact(call.operator()?, child);
    }
    let now = api.now();
    let mut facts = vec![
        ("Id", job.id.clone()),
        ("Wanted by", job.source.clone()),
        ("Queue", job.queue.clone()),
        (
            "Attempt",
            format!("{} of {}", job.attempt, job.max_attempts),
        ),
    ];
    let words = [("Schedule", &job.schedule), ("Worker", &job.worker)];
    facts.extend(
        words
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    if job.cancel_requested && !job.state.is_final() {
        facts.push(("Cancelled", "it ends as soon as it notices".to_owned()));
    }
    let times = [
        ("Was due by its schedule", job.fire_time),
        ("Queued", Some(job.created_at)),
        ("Due", Some(job.run_at).filter(|_| !job.state.is_final())),
        ("First begun", job.started_at),
        ("Ended", job.finished_at),
    ];
    let times = times
        .into_iter()
        .filter_map(|(name, at)| Some((name, Moment::micros(at?, now))));
    let mut shell = Shell::new(&call, HERE, format!("Job {}", job.kind));
    shell.refresh = (!job.state.is_final()).then_some(REFRESH);
    let shown = One {
        facts,
        times: times.collect(),
        progress: job.progress_done.map(|done| (done, job.progress_total)),
        payload: document(&job.payload),
        outcome: job.outcome.as_ref().map(document),
        parent: job.parent_id.clone(),
        children: children.into_iter().map(|child| row(child, now)).collect(),
        may_retry: shell.may_run()
            && job.parent_id.is_none()
            && matches!(job.state, State::Dead | State::Cancelled),
        job: row(job, now),
        shell,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// JSON as people read it, cut where it is long.
fn document(value: &Value) -> String {
    let mut text = format!("{value:#}");
    if text.len() > SHOWN {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(SHOWN));
        text += &format!("\n… and {} more bytes", whole - SHOWN);
    }
    text
}

/// Queues what a form asks for: a schedule's job now, or one of a kind with a payload.
pub(super) async fn enqueue(call: Call) -> Result<Response, Fault> {
    let form = Form::of(&call);
    let job = new_job(&call, &form)?;
    let queued = pen(&call)?.desk(&call).enqueue(&job).await?;
    let shown = format!("{HERE}/{}", queued.id);
    Ok(see(&where_allowed(&call, Scope::JobsRead, shown)?))
}

fn new_job(call: &Call, form: &Form) -> Result<NewJob, Fault> {
    let unfit = |detail: String| Fault::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let refused = |refusal: Refusal| unfit(refusal.to_string());
    let api = &call.api;
    let source = call.operator()?.actor();
    if let Some(name) = form.get("schedule") {
        let schedule = api.schedules.iter().find(|it| it.name == name);
        let schedule = schedule.ok_or_else(|| Fault::not_found("there is no such schedule"))?;
        kinds::permit(call.operator()?, &schedule.kind)?;
        let job = job_of(&api.registry, schedule).map_err(refused)?;
        return Ok(NewJob { source, ..job });
    }
    let kind = form
        .get("kind")
        .ok_or_else(|| unfit("a kind has to be chosen".to_owned()))?;
    kinds::permit(call.operator()?, kind)?;
    let payload = serde_json::from_str(form.get("payload").unwrap_or("{}"))
        .map_err(|error| unfit(format!("the payload is no JSON: {error}")))?;
    api.registry
        .new_job(kind, payload, &source)
        .map_err(refused)
}

/// Queues a job again that is dead or was cancelled.
pub(super) async fn retry(call: Call) -> Result<Response, Fault> {
    let JobView { id, kind, .. } = find_job(&call).await?;
    kinds::permit(call.operator()?, &kind)?;
    pen(&call)?.desk(&call).retry(&id).await?;
    let shown = format!("{HERE}/{id}");
    Ok(see(&where_allowed(&call, Scope::JobsRead, shown)?))
}

//! Jobs.

use std::collections::BTreeMap;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{answer, at, limit, pen};
use crate::{
    config::Scope,
    http::{
        Answer, Call, Doc, Fault, Param, ParamKind, Place, Route, Rule, body::json, kinds,
        route::handler,
    },
    state::jobs::{Filter, JobView, State},
};

const ID: Param = Param {
    name: "id",
    place: Place::Path,
    kind: ParamKind::Text,
    is_required: true,
    about: "The job",
};
const UNKNOWN: (u16, &str) = (404, "There is no such job");

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Which workers may claim it.
    pub queue: String,
    /// `queued`, `running`, `retrying`, `succeeded`, `dead` or `cancelled`.
    #[schemars(with = "String")]
    pub state: State,
    /// Whether it only waits for its children.
    pub waits_for_children: bool,
    /// Higher ones are claimed first.
    pub priority: i64,
    /// How often it was tried.
    pub attempt: i64,
    /// Attempts before it is dead.
    pub max_attempts: i64,
    /// Whether it is to stop.
    pub cancel_requested: bool,
    /// How far it is.
    pub progress_done: Option<i64>,
    /// Of how much.
    pub progress_total: Option<i64>,
    /// What it is about. Personal data are taken out of it once it has succeeded. Null where reading it takes another scope.
    pub payload: Value,
    /// What came of it.
    pub outcome: Option<Value>,
    /// Why its last attempt failed.
    pub error: Option<String>,
    /// Who wanted it.
    pub source: String,
    /// The schedule that made it.
    pub schedule: Option<String>,
    /// For when.
    #[schemars(with = "Option<String>")]
    pub fire_time: Option<Timestamp>,
    /// The job whose part it is.
    pub parent_id: Option<String>,
    /// Children that have not ended.
    pub open_children: i64,
    /// Who runs it.
    pub worker: Option<String>,
    /// When it may be claimed.
    #[schemars(with = "Option<String>")]
    pub run_at: Option<Timestamp>,
    /// When it was queued.
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// When it was first claimed.
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
}

impl From<JobView> for Job {
    fn from(job: JobView) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state,
            waits_for_children: job.waits_for_children,
            priority: job.priority,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            cancel_requested: job.cancel_requested,
            progress_done: job.progress_done,
            progress_total: job.progress_total,
            payload: job.payload,
            outcome: job.outcome,
            error: job.error,
            source: job.source,
            schedule: job.schedule,
            fire_time: job.fire_time.and_then(at),
            parent_id: job.parent_id,
            open_children: job.open_children,
            worker: job.worker,
            run_at: at(job.run_at),
            created_at: at(job.created_at),
            started_at: job.started_at.and_then(at),
            finished_at: job.finished_at.and_then(at),
        }
    }
}

/// Jobs, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Jobs {
    /// Those that fit.
    pub jobs: Vec<Job>,
    /// Whether there are more of them than were asked for.
    pub has_more: bool,
}

/// A job that is to be queued.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// Its kind.
    pub kind: String,
    /// What it is about, as the kind's schema has it.
    #[serde(default)]
    pub payload: BTreeMap<String, Value>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Queued {
    /// The job, or an equal one that was queued already.
    pub id: String,
    /// Whether it is a new one.
    pub new: bool,
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/jobs",
            rule: Rule::Scope(Scope::JobsRead),
            is_long: false,
            doc: Doc {
                summary: "List jobs, the newest first",
                params: &[
                    Param {
                        name: "state",
                        place: Place::Query,
                        kind: ParamKind::Text,
                        is_required: false,
                        about: "Only jobs in this state",
                    },
                    Param {
                        name: "kind",
                        place: Place::Query,
                        kind: ParamKind::Text,
                        is_required: false,
                        about: "Only jobs of this kind",
                    },
                    super::LIMIT,
                ],
                body: None,
                answer: answer("The jobs", |generator| generator.subschema_for::<Jobs>()),
                faults: &[],
            },
            handler: handler!(list),
        },
        Route {
            method: Method::POST,
            path: "/v1/jobs",
            rule: Rule::Scope(Scope::JobsWrite),
            is_long: false,
            doc: Doc {
                summary: "Queue a job",
                params: &[],
                body: Some(|generator| generator.subschema_for::<NewJob>()),
                answer: Answer {
                    status: 202,
                    ..answer("It is queued", |generator| {
                        generator.subschema_for::<Queued>()
                    })
                },
                faults: &[(422, "There is no such kind, or the payload does not fit it")],
            },
            handler: handler!(enqueue),
        },
        Route {
            method: Method::GET,
            path: "/v1/jobs/{id}",
            rule: Rule::Scope(Scope::JobsRead),
            is_long: false,
            doc: Doc {
                summary: "Show a job",
                params: &[ID],
                body: None,
                answer: answer("The job", |generator| generator.subschema_for::<Job>()),
                faults: &[UNKNOWN],
            },
            handler: handler!(show),
        },
        Route {
            method: Method::POST,
            path: "/v1/jobs/{id}/cancel",
            rule: Rule::Scope(Scope::JobsWrite),
            is_long: false,
            doc: Doc {
                summary: "Cancel a job and its children",
                params: &[ID],
                body: None,
                answer: answer("The job as it is then", |generator| {
                    generator.subschema_for::<Job>()
                }),
                faults: &[UNKNOWN, (409, "The job has ended")],
            },
            handler: handler!(cancel),
        },
        Route {
            method: Method::POST,
            path: "/v1/jobs/{id}/retry",
            rule: Rule::Scope(Scope::JobsWrite),
            is_long: false,
            doc: Doc {
                summary: "Queue a job again that is dead or was cancelled",
                params: &[ID],
                body: None,
                answer: answer("The job as it is then", |generator| {
                    generator.subschema_for::<Job>()
                }),
                faults: &[UNKNOWN, (409, "The job is neither dead nor cancelled")],
            },
            handler: handler!(retry),
        },
    ]
}

async fn list(call: Call) -> Result<Response, Fault> {
    let state = wanted_state(&call)?;
    let limit = limit(&call)?;
    let filter = Filter {
        states: state.into_iter().collect(),
        kind: call.parameter("kind").map(str::to_owned),
        parent: None,
        limit: limit + 1,
    };
    let mut jobs = call.api.store.jobs(&filter).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = jobs.len() > wanted;
    jobs.truncate(wanted);
    let operator = call.operator()?;
    for job in &mut jobs {
        kinds::redact(operator, job);
    }
    let jobs = jobs.into_iter().map(Job::from).collect();
    Ok(json(StatusCode::OK, &Jobs { jobs, has_more }))
}

/// The state that the query asks for; none where any will do.
pub(in crate::http) fn wanted_state(call: &Call) -> Result<Option<State>, Fault> {
    let Some(name) = call.parameter("state") else {
        return Ok(None);
    };
    let found = State::ALL.into_iter().find(|state| state.name() == name);
    found
        .map(Some)
        .ok_or_else(|| Fault::bad_request("there is no such state of jobs"))
}

/// The job whose id stands in the path, as far as the operator may read it.
pub(in crate::http) async fn find_job(call: &Call) -> Result<JobView, Fault> {
    let job = call.api.store.job(call.placeholder("id")).await?;
    let mut job = job.ok_or_else(|| {
        Fault::not_found("there is no such job; those that succeeded are kept for some days only")
    })?;
    kinds::redact(call.operator()?, &mut job);
    Ok(job)
}

async fn show(call: Call) -> Result<Response, Fault> {
    let job = find_job(&call).await?;
    Ok(json(StatusCode::OK, &Job::from(job)))
}

async fn enqueue(call: Call) -> Result<Response, Fault> {
    let new: NewJob = call.document()?;
    kinds::permit(call.operator()?, &new.kind)?;
    let source = call.operator()?.actor();
    let payload = Value::Object(new.payload.into_iter().collect());
    let job = call.api.registry.new_job(&new.kind, payload, &source);
    let job =
        job.map_err(|refusal| Fault::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()))?;
    let queued = pen(&call)?.desk(&call).enqueue(&job).await?;
    let answer = Queued {
        id: queued.id,
        new: queued.is_new,
    };
    Ok(json(StatusCode::ACCEPTED, &answer))
}

async fn cancel(call: Call) -> Result<Response, Fault> {
    let id = find_job(&call).await?.id;
    pen(&call)?.desk(&call).cancel(&id).await?;
    show(call).await
}

async fn retry(call: Call) -> Result<Response, Fault> {
    let JobView { id, kind, .. } = find_job(&call).await?;
    kinds::permit(call.operator()?, &kind)?;
    pen(&call)?.desk(&call).retry(&id).await?;
    show(call).await
}

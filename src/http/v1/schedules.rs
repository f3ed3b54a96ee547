//! Schedules.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{answer, at};
use crate::{
    config::Scope,
    http::{Call, Doc, Fault, Route, Rule, api::Api, body::json, route::handler},
    runtime::schedule::preview,
    state::StateError,
};

/// All schedules.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schedules {
    /// By name.
    pub schedules: Vec<Schedule>,
}

/// A schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The kind of job that it queues.
    pub kind: String,
    /// When, as a cron expression.
    pub cron: String,
    /// The time zone that it is read in.
    pub timezone: String,
    /// Whether nothing fires.
    pub paused: bool,
    /// When it fires next by its calendar, also if it is paused.
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
    /// The newest fire that was decided about.
    pub last: Option<Fire>,
}

/// A fire that was decided about.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fire {
    /// When it was due.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// `fired`, `skipped_late` or `skipped_overlap`.
    pub decision: String,
    /// The job that it queued.
    pub job_id: Option<String>,
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: Method::GET,
        path: "/v1/schedules",
        rule: Rule::Scope(Scope::JobsRead),
        is_long: false,
        doc: Doc {
            summary: "List schedules",
            params: &[],
            body: None,
            answer: answer("The schedules", |generator| {
                generator.subschema_for::<Schedules>()
            }),
            faults: &[],
        },
        handler: handler!(list),
    }]
}

async fn list(call: Call) -> Result<Response, Fault> {
    let schedules = all_schedules(&call.api).await?;
    Ok(json(StatusCode::OK, &Schedules { schedules }))
}

/// All schedules as they stand, by name.
pub(in crate::http) async fn all_schedules(api: &Api) -> Result<Vec<Schedule>, StateError> {
    let said = api.store.paused_schedules().await?;
    let mut fires = api.store.last_fires().await?;
    let now = api.now();
    let schedules = api.schedules.iter().map(|schedule| {
        let last = fires.remove(&schedule.name).map(|last| Fire {
            at: at(last.fire_time),
            decision: last.decision,
            job_id: last.job_id,
        });
        let next = preview(schedule, now, 1).pop();
        Schedule {
            name: schedule.name.clone(),
            description: schedule.description.clone(),
            kind: schedule.kind.clone(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            // An operator's word counts more than the file's.
            paused: said.get(&schedule.name).copied().unwrap_or(schedule.paused),
            next: next.map(|next| next.fire_time),
            last,
        }
    });
    Ok(schedules.collect())
}

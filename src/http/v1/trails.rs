//! What is known of trails: verdicts, anchors, and the age of API keys.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{LIMIT, answer, anything, at, limit};
use crate::{
    config::Scope,
    http::{
        Call, Doc, Fault, Param, ParamKind, Place, Route, Rule,
        body::json,
        route::{Handler, handler},
    },
    keys::{self, Policy, report::KeyReport},
    state::anchors::AnchorRun,
};

/// The newest verdict on each trail.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdicts {
    /// By organisation.
    pub verdicts: Vec<Verdict>,
}

/// A verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// The organisation; none for entries that belong to none.
    pub organization_id: Option<i64>,
    /// `intact`, `incomplete` or `tampered`.
    pub verdict: String,
    /// Since when.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// When it was last found to be so.
    #[schemars(with = "Option<String>")]
    pub checked_at: Option<Timestamp>,
    /// Entries verified.
    pub entries: i64,
    /// Findings.
    pub findings: i64,
    /// The job that found it, whose outcome says more.
    pub job_id: String,
}

/// Anchors, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Anchors {
    /// Those that were asked for.
    pub anchors: Vec<Anchor>,
}

/// An anchor, as our database keeps it. What counts of it is its signature.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Anchor {
    /// Its number.
    pub number: i64,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub made_at: Option<Timestamp>,
    /// How many organisations it names.
    pub organizations: i64,
    /// How many entries they have.
    pub entries: i64,
    /// The signed inventory.
    pub note: String,
}

impl From<AnchorRun> for Anchor {
    fn from(run: AnchorRun) -> Self {
        Self {
            number: run.number,
            made_at: at(run.made_at),
            organizations: run.organizations,
            entries: run.entries,
            note: run.note,
        }
    }
}

fn route(path: &'static str, is_long: bool, doc: Doc, handler: Handler) -> Route {
    Route {
        method: Method::GET,
        path,
        rule: Rule::Scope(Scope::TrailsRead),
        is_long,
        doc,
        handler,
    }
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            "/v1/verdicts",
            false,
            Doc {
                summary: "The newest verdict on each trail",
                params: &[],
                body: None,
                answer: answer("The verdicts", |generator| {
                    generator.subschema_for::<Verdicts>()
                }),
                faults: &[],
            },
            handler!(verdicts),
        ),
        route(
            "/v1/anchors",
            false,
            Doc {
                summary: "List anchors, the newest first",
                params: &[
                    LIMIT,
                    Param {
                        name: "before",
                        place: Place::Query,
                        kind: ParamKind::Integer,
                        is_required: false,
                        about: "Only anchors with lower numbers",
                    },
                ],
                body: None,
                answer: answer("The anchors", |generator| {
                    generator.subschema_for::<Anchors>()
                }),
                faults: &[],
            },
            handler!(anchors),
        ),
        route(
            "/v1/anchors/latest",
            false,
            Doc {
                summary: "The newest anchor",
                params: &[],
                body: None,
                answer: answer("The anchor", |generator| {
                    generator.subschema_for::<Anchor>()
                }),
                faults: &[(404, "There is no anchor yet")],
            },
            handler!(latest),
        ),
        route(
            "/v1/keys",
            true,
            Doc {
                summary: "The age of QWED's API keys, as of now; none is marked",
                params: &[],
                body: None,
                answer: answer("The report", anything),
                faults: &[],
            },
            handler!(api_keys),
        ),
    ]
}

async fn verdicts(call: Call) -> Result<Response, Fault> {
    let verdicts = call.api.store.verdicts().await?.into_iter();
    let verdicts = verdicts.map(|row| Verdict {
        organization_id: row.organization.parse().ok(),
        verdict: row.verdict,
        since: at(row.since),
        checked_at: at(row.checked_at),
        entries: row.entries,
        findings: row.findings,
        job_id: row.job_id,
    });
    let verdicts = verdicts.collect();
    Ok(json(StatusCode::OK, &Verdicts { verdicts }))
}

async fn anchors(call: Call) -> Result<Response, Fault> {
    let limit = u32::try_from(limit(&call)?).unwrap_or(1);
    let before = match call.parameter("before") {
        None => i64::MAX,
        Some(text) => text
            .parse()
            .map_err(|_| Fault::bad_request("before has to be a number"))?,
    };
    let runs = call.api.store.anchors_before(before, limit).await?;
    let anchors = runs.into_iter().map(Anchor::from).collect();
    Ok(json(StatusCode::OK, &Anchors { anchors }))
}

async fn latest(call: Call) -> Result<Response, Fault> {
    let newest = call.api.store.newest_anchor().await?;
    let newest = newest.ok_or_else(|| Fault::not_found("there is no anchor yet"))?;
    Ok(json(StatusCode::OK, &Anchor::from(newest)))
}

async fn api_keys(call: Call) -> Result<Response, Fault> {
    Ok(json(StatusCode::OK, &check_keys(&call).await?))
}

/// Looks at QWED's API keys as configured, and marks none.
pub(in crate::http) async fn check_keys(call: &Call) -> Result<KeyReport, Fault> {
    let services = std::sync::Arc::clone(&call.api.services);
    let now = call.api.now();
    let report = tokio::task::spawn_blocking(move || {
        let section = &services.config.keys;
        let policy = Policy {
            max_age_days: section.max_age_days,
            due_soon_days: section.due_soon_days,
            dormant_days: section.dormant_days,
            ..Policy::default()
        };
        keys::check(&services.qwed, None, policy, &[], now)
    });
    let report = report.await;
    let report = report.map_err(|_| Fault::unavailable("the request was given up"))?;
    report.map_err(|error| Fault::failed("QWED's API keys cannot be checked", &error.into()))
}

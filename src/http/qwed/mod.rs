//! QWED 8.0.0's four compliance endpoints: its paths, parameters, words and shapes.

mod csv;
pub mod validation;

use std::collections::BTreeMap;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use jiff::Timestamp;
use serde::Serialize;

use self::validation::{integer, time};
use super::{
    Answer, Api, Call, Doc, Fault, Param, ParamKind, Place, Route, Rule, body::json, route::handler,
};
use crate::{
    answers::{Summary, TrailAnswer, isoformat},
    qwed::Period,
    report::model,
};

const FOREIGN: &str = "Cannot access another organization's data";
const NO_ENTRY: &str = "Audit log entry not found";

const REFUSALS: (u16, &str) = (
    403,
    "The API key is not live, or its user is neither owner nor admin, or it is another organisation's data",
);
const NO_KEY: (u16, &str) = (401, "There is no API key");
const WRONG: (u16, &str) = (422, "A parameter is missing or cannot be read");

const fn answer(about: &'static str, media: &'static str) -> Answer {
    Answer {
        status: 200,
        about,
        media,
        schema: None,
    }
}

/// The routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/admin/compliance/verify/{log_id}",
            rule: Rule::QwedAdmin,
            is_long: false,
            doc: Doc {
                summary: "Verify one entry of the own organisation",
                params: &[Param {
                    name: "log_id",
                    place: Place::Path,
                    kind: ParamKind::Integer,
                    is_required: true,
                    about: "The entry",
                }],
                body: None,
                answer: answer("What QWED says of the entry", "application/json"),
                faults: &[
                    NO_KEY,
                    REFUSALS,
                    (404, "The organisation has no such entry"),
                    WRONG,
                ],
            },
            handler: handler!(entry),
        },
        Route {
            method: Method::GET,
            path: "/admin/compliance/verify-trail",
            rule: Rule::QwedAdmin,
            is_long: true,
            doc: Doc {
                summary: "Verify the own organisation's trail, or a period of it",
                params: &[
                    Param {
                        name: "start",
                        place: Place::Query,
                        kind: ParamKind::Time,
                        is_required: false,
                        about: "Entries from this time on; UTC unless it has an offset",
                    },
                    Param {
                        name: "end",
                        place: Place::Query,
                        kind: ParamKind::Time,
                        is_required: false,
                        about: "Entries up to this time, itself included",
                    },
                ],
                body: None,
                answer: answer("What QWED says of the trail", "application/json"),
                faults: &[
                    (400, "The period ends before it starts"),
                    NO_KEY,
                    REFUSALS,
                    WRONG,
                ],
            },
            handler: handler!(trail),
        },
        Route {
            method: Method::GET,
            path: "/admin/compliance/report/soc2/{org_id}",
            rule: Rule::QwedAdmin,
            is_long: true,
            doc: Doc {
                summary: "QWED's security activity summary of the last 90 days",
                params: &[Param {
                    name: "org_id",
                    place: Place::Path,
                    kind: ParamKind::Integer,
                    is_required: true,
                    about: "The own organisation",
                }],
                body: None,
                answer: answer("The summary", "application/json"),
                faults: &[NO_KEY, REFUSALS, WRONG],
            },
            handler: handler!(summary),
        },
        Route {
            method: Method::GET,
            path: "/admin/compliance/export/csv",
            rule: Rule::QwedAdmin,
            is_long: true,
            doc: Doc {
                summary: "The entries of the last 30 days, the newest first",
                params: &[Param {
                    name: "organization_id",
                    place: Place::Query,
                    kind: ParamKind::Integer,
                    is_required: true,
                    about: "The own organisation",
                }],
                body: None,
                answer: answer("QWED's columns", "text/csv"),
                faults: &[NO_KEY, REFUSALS, WRONG],
            },
            handler: handler!(export),
        },
    ]
}

/// An entry as QWED answers for it: what of our report is not QWED's is left out.
#[derive(Serialize)]
struct EntryAnswer {
    valid: bool,
    legacy: bool,
    checks: crate::verify::entry::Checks,
    errors: Vec<String>,
    log_id: i64,
    timestamp: Option<String>,
}

async fn entry(call: Call) -> Result<Response, Fault> {
    let admin = call.admin()?;
    let id = integer(Place::Path, "log_id", Some(call.placeholder("log_id")))?;
    let not_found = || Fault::not_found(NO_ENTRY);
    // A number that is no id of a row's is none of an entry's.
    let id = id.ok_or_else(not_found)?;
    let report = call.api.answers.entry(admin.organization_id, id).await?;
    let report = report.ok_or_else(not_found)?;
    let answer = EntryAnswer {
        valid: report.valid,
        legacy: report.legacy,
        checks: report.checks,
        errors: report.errors,
        log_id: report.log_id,
        timestamp: report.timestamp,
    };
    Ok(json(StatusCode::OK, &answer))
}

#[derive(Serialize)]
struct TrailDocument {
    organization_id: i64,
    start: Option<String>,
    end: Option<String>,
    #[serde(flatten)]
    answer: TrailAnswer,
}

async fn trail(call: Call) -> Result<Response, Fault> {
    let admin = call.admin()?;
    let (from, to) = match (
        time("start", call.parameter("start")),
        time("end", call.parameter("end")),
    ) {
        (Ok(from), Ok(to)) => (from, to),
        // All that is wrong is told at once.
        (Err(mut one), Err(other)) => {
            one.invalid.extend(other.invalid);
            return Err(one);
        }
        (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => return Err(fault),
    };
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Fault::bad_request("start must not be after end"));
    }
    let organization_id = admin.organization_id;
    let period = Period { from, to };
    let answer = call.api.answers.trail(organization_id, period).await?;
    let document = TrailDocument {
        organization_id,
        start: from.map(isoformat),
        end: to.map(isoformat),
        answer,
    };
    Ok(json(StatusCode::OK, &document))
}

/// QWED's fields in QWED's order; what is ours comes behind them.
#[derive(Serialize)]
struct SummaryDocument {
    #[serde(flatten)]
    summary: Summary,
    generated_at: String,
    report_version: &'static str,
    /// Absent before the first report, so that nothing differs from QWED's answer then.
    #[serde(skip_serializing_if = "Option::is_none")]
    trailkeeper: Option<Evidence>,
}

/// What our newest report says.
#[derive(Serialize)]
struct Evidence {
    report_id: String,
    generated_at: Timestamp,
    period: model::Period,
    compliance_status: BTreeMap<String, model::GuideStatus>,
    summary: model::Summary,
}

async fn summary(call: Call) -> Result<Response, Fault> {
    let admin = call.admin()?;
    let id = integer(Place::Path, "org_id", Some(call.placeholder("org_id")))?;
    if id != Some(admin.organization_id) {
        return Err(Fault::new(StatusCode::FORBIDDEN, FOREIGN));
    }
    let api = &call.api;
    let summary = api
        .answers
        .summary(admin.organization_id, api.now())
        .await?;
    let summary = summary.ok_or_else(|| Fault::not_found("Organization not found"))?;
    let document = SummaryDocument {
        summary,
        generated_at: isoformat(api.now().as_microsecond()),
        report_version: "2.0",
        trailkeeper: evidence(api, admin.organization_id).await?,
    };
    Ok(json(StatusCode::OK, &document))
}

/// The newest evidence report that was kept, beside QWED's own fields.
async fn evidence(api: &Api, organization_id: i64) -> Result<Option<Evidence>, Fault> {
    let newest = api.store.reports(Some(organization_id), 1).await?;
    let Some(newest) = newest.first() else {
        return Ok(None);
    };
    let found = api.store.report(&newest.id).await?;
    let report =
        found.and_then(|(_, document)| serde_json::from_str::<model::Report>(&document).ok());
    Ok(report.map(|report| Evidence {
        report_id: report.id,
        generated_at: report.generated_at,
        period: report.period,
        compliance_status: report.compliance_status,
        summary: report.summary,
    }))
}

async fn export(call: Call) -> Result<Response, Fault> {
    let admin = call.admin()?;
    let id = integer(
        Place::Query,
        "organization_id",
        call.parameter("organization_id"),
    )?;
    if id != Some(admin.organization_id) {
        return Err(Fault::new(StatusCode::FORBIDDEN, FOREIGN));
    }
    csv::export(&call.api, admin.organization_id).await
}

//! SOC 2 evidence reports that were kept. They are made by jobs of kind `report_soc2`.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{LIMIT, answer, at, limit};
use crate::{
    config::Scope,
    http::{
        Call, Doc, Fault, Param, ParamKind, Place, Route, Rule,
        body::{json, typed},
        route::handler,
    },
    report::{model, render},
    state::reports::ReportRow,
};

/// Reports, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reports {
    /// Those that were asked for.
    pub reports: Vec<Report>,
}

/// A report without its document.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Its id.
    pub id: String,
    /// `soc2`.
    pub kind: String,
    /// Whom it is about.
    pub organization_id: i64,
    /// What it covers, from here on.
    #[schemars(with = "Option<String>")]
    pub period_start: Option<Timestamp>,
    /// Up to and without this.
    #[schemars(with = "Option<String>")]
    pub period_end: Option<Timestamp>,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub generated_at: Option<Timestamp>,
    /// Controls that passed.
    pub pass: i64,
    /// Controls that failed.
    pub fail: i64,
    /// Controls that could not be measured.
    pub unknown: i64,
    /// Controls that ask about nothing that there is.
    pub not_applicable: i64,
    /// SHA-256 of the document, which the ledger has as well.
    pub sha256: String,
    /// The auditor pack in the archive.
    pub pack: Option<String>,
    /// The job that made it.
    pub job_id: Option<String>,
}

impl From<ReportRow> for Report {
    fn from(row: ReportRow) -> Self {
        let [pass, fail, unknown, not_applicable] = row.counts;
        Self {
            id: row.id,
            kind: row.kind,
            organization_id: row.organization_id,
            period_start: at(row.period_start),
            period_end: at(row.period_end),
            generated_at: at(row.generated_at),
            pass,
            fail,
            unknown,
            not_applicable,
            sha256: row.sha256,
            pack: row.pack,
            job_id: row.job_id,
        }
    }
}

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/reports",
            rule: Rule::Scope(Scope::TrailsRead),
            is_long: false,
            doc: Doc {
                summary: "List SOC 2 evidence reports, the newest first",
                params: &[
                    LIMIT,
                    Param {
                        name: "organization_id",
                        place: Place::Query,
                        kind: ParamKind::Integer,
                        is_required: false,
                        about: "Only reports on this organisation",
                    },
                ],
                body: None,
                answer: answer("The reports", |generator| {
                    generator.subschema_for::<Reports>()
                }),
                faults: &[],
            },
            handler: handler!(list),
        },
        Route {
            method: Method::GET,
            path: "/v1/reports/{id}",
            rule: Rule::Scope(Scope::TrailsRead),
            is_long: false,
            doc: Doc {
                summary: "A report: its document, or the same for people",
                params: &[
                    Param {
                        name: "id",
                        place: Place::Path,
                        kind: ParamKind::Text,
                        is_required: true,
                        about: "The report",
                    },
                    Param {
                        name: "format",
                        place: Place::Query,
                        kind: ParamKind::Text,
                        is_required: false,
                        about: "json, html or pdf; json unless it is given",
                    },
                ],
                body: None,
                answer: answer(
                    "The report; as text/html or application/pdf where that was asked for",
                    |generator| generator.subschema_for::<model::Report>(),
                ),
                faults: &[(404, "There is no such report")],
            },
            handler: handler!(show),
        },
    ]
}

async fn list(call: Call) -> Result<Response, Fault> {
    let limit = u32::try_from(limit(&call)?).unwrap_or(1);
    let organization = call.parameter("organization_id").map(str::parse);
    let organization = organization
        .transpose()
        .map_err(|_| Fault::bad_request("organization_id has to be a number"))?;
    let rows = call.api.store.reports(organization, limit).await?;
    let reports = rows.into_iter().map(Report::from).collect();
    Ok(json(StatusCode::OK, &Reports { reports }))
}

async fn show(call: Call) -> Result<Response, Fault> {
    let format = call.parameter("format").unwrap_or("json");
    rendered(&call, format).await
}

/// The report whose id stands in the path, in a format.
pub(in crate::http) async fn rendered(call: &Call, format: &str) -> Result<Response, Fault> {
    let found = call.api.store.report(call.placeholder("id")).await?;
    let (_, document) = found.ok_or_else(|| Fault::not_found("there is no such report"))?;
    let format = format.to_owned();
    let kind = match format.as_str() {
        // As it was kept, so that its SHA-256 is the one that the ledger has.
        "json" => {
            return Ok(typed(
                StatusCode::OK,
                "application/json",
                Body::from(document),
            ));
        }
        "html" => "text/html; charset=utf-8",
        "pdf" => "application/pdf",
        _ => return Err(Fault::bad_request("format has to be json, html or pdf")),
    };
    let rendering = tokio::task::spawn_blocking(move || {
        let report: model::Report = serde_json::from_str(&document)?;
        anyhow::Ok(match format.as_str() {
            "html" => render::html(&report).into_bytes(),
            _ => render::pdf(&report)?,
        })
    });
    let rendered = rendering.await;
    let rendered = rendered.map_err(|_| Fault::unavailable("the request was given up"))?;
    let rendered =
        rendered.map_err(|error| Fault::failed("the report cannot be rendered", &error))?;
    let mut response = typed(StatusCode::OK, kind, Body::from(rendered));
    if let Ok(policy) = HeaderValue::from_str(&render::content_security_policy()) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

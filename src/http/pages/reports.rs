//! Reports for auditors, to read and to take along.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::shell::{Moment, Shell, page};
use crate::http::{Call, Fault, v1::rendered};

const HERE: &str = "/status/reports";
/// Reports that are listed.
const LISTED: u32 = 100;

#[derive(Template)]
#[template(path = "http/pages/reports.html")]
struct Page {
    shell: Shell,
    reports: Vec<Row>,
}

struct Row {
    id: String,
    organization_id: i64,
    from: Moment,
    to: Moment,
    made_at: Moment,
    /// Controls that passed, failed, are unknown, and are not applicable.
    counts: [i64; 4],
    pack: Option<String>,
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let now = call.api.now();
    let rows = call.api.store.reports(None, LISTED).await?.into_iter();
    let rows = rows.map(|row| Row {
        id: row.id,
        organization_id: row.organization_id,
        from: Moment::micros(row.period_start, now).plain(),
        to: Moment::micros(row.period_end, now).plain(),
        made_at: Moment::micros(row.generated_at, now),
        counts: row.counts,
        pack: row.pack,
    });
    let shown = Page {
        reports: rows.collect(),
        shell: Shell::new(&call, HERE, "Reports"),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// A report as HTML, PDF or JSON.
pub(super) async fn download(call: Call) -> Result<Response, Fault> {
    let format = call.placeholder("format");
    let mut response = rendered(&call, format).await?;
    // HTML is read where it is; what is kept gets a name that tells it from others.
    if format != "html" {
        let name = format!(
            "attachment; filename=\"soc2-{}.{format}\"",
            call.placeholder("id")
        );
        if let Ok(name) = HeaderValue::from_str(&name) {
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, name);
        }
    }
    Ok(response)
}

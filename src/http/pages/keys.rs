//! QWED's API keys: which are too old.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::shell::{Badge, Moment, Shell, Tone, grouped, page};
use crate::{
    http::{Call, Fault, v1::check_keys},
    keys::report::{KeyFinding, Status},
};

const HERE: &str = "/status/keys";

#[derive(Template)]
#[template(path = "http/pages/keys.html")]
struct Page {
    shell: Shell,
    max_age_days: u32,
    counts: Vec<(Badge<'static>, String)>,
    keys: Vec<Key>,
    left_out: u64,
}

struct Key {
    id: i64,
    preview: String,
    organization: String,
    status: String,
    tone: Tone,
    age: String,
    last_used: Option<Moment>,
    reason: String,
    remedy: String,
}

impl Key {
    fn badge(&self) -> Badge<'_> {
        Badge {
            tone: self.tone,
            word: &self.status,
        }
    }
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Ok => Tone::Good,
        Status::Overdue | Status::ExpiredButActive => Tone::Bad,
        Status::NeverRotatedUnknownAge | Status::DueSoon => Tone::Doubtful,
    }
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let report = check_keys(&call).await?;
    let now = call.api.now();
    let totals = &report.totals;
    let counts = [
        (Status::Overdue, "overdue", totals.overdue),
        (
            Status::ExpiredButActive,
            "expired but active",
            totals.expired_but_active,
        ),
        (
            Status::NeverRotatedUnknownAge,
            "of unknown age",
            totals.never_rotated_unknown_age,
        ),
        (Status::DueSoon, "due soon", totals.due_soon),
        (Status::Ok, "ok", totals.ok),
    ];
    let counts = counts.map(|(status, word, keys)| {
        let badge = Badge {
            tone: tone(status),
            word,
        };
        (badge, grouped(keys))
    });
    let key = |it: KeyFinding| Key {
        id: it.key_id,
        preview: it.preview,
        organization: it
            .organization_id
            .map_or_else(|| "none".to_owned(), |id| id.to_string()),
        status: it.status.to_string(),
        tone: tone(it.status),
        age: it
            .age_days
            .map_or_else(|| "unknown".to_owned(), |days| format!("{days} d")),
        last_used: it.last_used_at.map(|at| Moment::of(at, now)),
        reason: it.reason,
        // A key that is as it should be needs nothing.
        remedy: match it.status {
            Status::Ok => String::new(),
            _ => it.remedy,
        },
    };
    let shown = Page {
        shell: Shell::new(&call, HERE, "API keys"),
        max_age_days: call.api.services.config.keys.max_age_days,
        counts: counts.to_vec(),
        left_out: report.findings_left_out,
        keys: report.findings.into_iter().map(key).collect(),
    };
    Ok(page(StatusCode::OK, &shown))
}

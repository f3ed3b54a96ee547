//! Schedules: what is due when, and what became of it the last time.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::shell::{Badge, Moment, Shell, Tone, page};
use crate::{
    http::{Call, Fault},
    runtime::schedule::preview,
};

const HERE: &str = "/status/schedules";

#[derive(Template)]
#[template(path = "http/pages/schedules.html")]
struct Page {
    shell: Shell,
    schedules: Vec<Row>,
}

struct Row {
    name: String,
    description: String,
    kind: String,
    cron: String,
    timezone: String,
    is_paused: bool,
    next: Option<Moment>,
    last: Option<Last>,
}

/// The newest fire.
struct Last {
    at: Moment,
    decision: String,
    job_id: Option<String>,
}

impl Last {
    fn badge(&self) -> Badge<'_> {
        match self.decision.as_str() {
            "fired" => Badge {
                tone: Tone::Good,
                word: "fired",
            },
            "skipped_late" => Badge {
                tone: Tone::Bad,
                word: "missed: no worker was there in time",
            },
            "skipped_overlap" => Badge {
                tone: Tone::Doubtful,
                word: "left out: the one before still ran",
            },
            other => Badge {
                tone: Tone::Plain,
                word: other,
            },
        }
    }
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let api = &call.api;
    let said = api.store.paused_schedules().await?;
    let mut fires = api.store.last_fires().await?;
    let now = api.now();
    let rows = api.schedules.iter().map(|schedule| {
        let next = preview(schedule, now, 1).pop();
        let last = fires.remove(&schedule.name).map(|last| Last {
            at: Moment::micros(last.fire_time, now),
            decision: last.decision,
            job_id: last.job_id,
        });
        Row {
            name: schedule.name.clone(),
            description: schedule.description.clone(),
            kind: schedule.kind.clone(),
            cron: schedule.cron.clone(),
            timezone: schedule.timezone.clone(),
            // An operator's word counts more than the file's.
            is_paused: said.get(&schedule.name).copied().unwrap_or(schedule.paused),
            next: next.map(|next| Moment::of(next.fire_time, now)),
            last,
        }
    });
    let shown = Page {
        schedules: rows.collect(),
        shell: Shell::new(&call, HERE, "Schedules"),
    };
    Ok(page(StatusCode::OK, &shown))
}

//! Schedules: what is due when, and what became of it the last time.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::shell::{Badge, Moment, Shell, Tone, page};
use crate::http::{
    Call, Fault,
    v1::{all_schedules, schedules::Schedule},
};

const HERE: &str = "/status/schedules";

#[derive(Template)]
#[template(path = "http/pages/schedules.html")]
struct Page {
    shell: Shell,
    schedules: Vec<Row>,
}

struct Row {
    it: Schedule,
    next: Option<Moment>,
    last: Option<Last>,
}

/// The newest fire.
struct Last {
    at: Option<Moment>,
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
    let now = call.api.now();
    let schedules = all_schedules(&call.api).await?.into_iter();
    let rows = schedules.map(|mut it| Row {
        next: it.next.map(|next| Moment::of(next, now)),
        last: it.last.take().map(|last| Last {
            at: last.at.map(|at| Moment::of(at, now)),
            decision: last.decision,
            job_id: last.job_id,
        }),
        it,
    });
    let shown = Page {
        schedules: rows.collect(),
        shell: Shell::new(&call, HERE, "Schedules"),
    };
    Ok(page(StatusCode::OK, &shown))
}

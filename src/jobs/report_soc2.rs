//! Makes SOC 2 evidence reports.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Services, follow,
    packing::Packing,
    scribing::{Pen, pen},
    verify_trail::VerifyTrail,
};
use crate::{
    anchor,
    config::{Config, parse_micros},
    objects::Vault,
    pack::StoredPack,
    progress::Progress,
    report::{
        facts::Wanted,
        model::{Period, Report},
        produce::{self, Made, Order, ReportError, Span},
    },
    runtime::{
        job::{Context, Done, Job, JobError, Outcome},
        schedule,
    },
    state::{
        StateError, Tx,
        jobs::{Effects, new_id},
        outbox::Event,
    },
};

/// Makes a SOC 2 evidence report on each organisation, and keeps it. At most one of "days", "calendar", and "from" with "to" is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSoc2 {
    /// Only on these organisations; on all where the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<i64>,
    /// Days up to now; report.period_days where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3660))]
    pub days: Option<u32>,
    /// The last calendar month or quarter, in UTC, that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// From this time on: ISO 8601, UTC unless it has an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"))]
    pub from: Option<String>,
    /// Up to this time, itself not included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"))]
    pub to: Option<String>,
}

/// A part of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// The last month that is over.
    PreviousMonth,
    /// The last quarter that is over.
    PreviousQuarter,
}

impl ReportSoc2 {
    /// What the report covers.
    ///
    /// # Errors
    /// If several are given, or a time is none.
    pub fn span(&self, default_days: u32) -> Result<Span, ReportError> {
        let refused = |text: &str| ReportError::Period(text.to_owned());
        let time = |text: &str| {
            let micros = parse_micros(text);
            let time = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            time.ok_or_else(|| {
                refused(&format!(
                    "{text:?} is not a time; use a form like 2026-05-08T12:30:00Z"
                ))
            })
        };
        match (&self.days, &self.calendar, &self.from, &self.to) {
            (None, None, None, None) => Ok(Span::Days(default_days)),
            (Some(days), None, None, None) => Ok(Span::Days(*days)),
            (None, Some(Calendar::PreviousMonth), None, None) => Ok(Span::PreviousMonth),
            (None, Some(Calendar::PreviousQuarter), None, None) => Ok(Span::PreviousQuarter),
            (None, None, Some(from), Some(to)) => Ok(Span::Between(time(from)?, time(to)?)),
            _ => Err(refused(
                "give at most one of \"days\", \"calendar\", and \"from\" together with \"to\"",
            )),
        }
    }
}

/// The runs of verifications that schedules want in a period and up to now.
///
/// # Errors
/// If the schedules cannot be read.
pub fn wanted(config: &Config, period: Period, now: Timestamp) -> Result<Vec<Wanted>, String> {
    let directory = Some(config.jobs.dir.as_path()).filter(|path| *path != Path::new(""));
    let schedules = schedule::load(directory);
    let schedules = schedules.map_err(|_| "The schedules cannot be read.".to_owned())?;
    let instant = SignedDuration::from_micros(1);
    let before = |at: Timestamp| at.checked_sub(instant).unwrap_or(at);
    let until = before(period.end.min(now));
    let mut wanted = Vec::new();
    for schedule in schedules {
        if schedule.kind == VerifyTrail::KIND && !schedule.paused {
            let asked: VerifyTrail =
                serde_json::from_value(schedule.payload.clone()).map_err(|error| {
                    format!("The schedule {} cannot be read: {error}.", schedule.name)
                })?;
            // A part of a trail says nothing about the rest.
            if asked.from.is_some() || asked.to.is_some() {
                continue;
            }
            let fires = schedule.calendar().between(before(period.start), until);
            wanted.extend(fires.map(|fire_time| Wanted {
                schedule: schedule.name.clone(),
                fire_time,
                organizations: asked.organizations.clone(),
            }));
        }
    }
    wanted.sort_by(|a, b| (a.fire_time, &a.schedule).cmp(&(b.fire_time, &b.schedule)));
    Ok(wanted)
}

impl Job<Services> for ReportSoc2 {
    const KIND: &'static str = "report_soc2";
    const TIMEOUT: Duration = Duration::from_secs(6 * 3600);
    const CONCURRENCY: Option<usize> = Some(1);

    async fn run(&self, context: &Context<Services>) -> Result<Outcome, JobError> {
        let services = &context.services;
        let config = &services.config;
        let now = services.clock.now();
        let span = self.span(config.report.period_days).map_err(decide)?;
        let period = span.period(now).map_err(decide)?;
        let order = Order {
            config: config.clone(),
            configuration_sha256: services.configuration_sha256.clone(),
            store: context.store.clone(),
            qwed: services.qwed.clone(),
            ring: Arc::clone(&services.ring),
            organizations: self.organizations.clone(),
            period,
            wanted: wanted(config, period, now),
            clock: services.clock,
        };
        let progress = Arc::new(Progress::default());
        let entries = &services.metrics.entries;
        let producing = produce::produce(&order, &progress);
        let made = follow(context, &progress, producing, |rows| entries.inc_by(rows)).await;
        let made = made.map_err(decide)?;
        let mut reports = Vec::new();
        for made in made {
            let pack = pack(context, &made).await;
            if let Some(problem) = &pack.problem {
                tracing::warn!(
                    organization_id = made.report.organization.id,
                    problem,
                    pack = pack.name,
                    "the report is kept, and is not in the archive as a locked auditor pack"
                );
            }
            reports.push((made.report, pack));
        }
        let listed: Vec<Value> = reports.iter().map(told).collect();
        Ok(Outcome::Done(Done {
            result: json!({ "period": period, "reports": listed }),
            done: i64::try_from(reports.len()).ok(),
            effects: Some(Arc::new(Kept {
                pen: pen(context)?,
                job_id: context.job_id.clone(),
                reports,
            })),
            ..Done::default()
        }))
    }
}

/// A report, and what became of its pack.
type Packed = (Report, Pack);

/// What became of a pack.
struct Pack {
    /// Its name in the archive; none where it is not there.
    name: Option<String>,
    /// Why it is not there, or not locked.
    problem: Option<String>,
}

/// Puts the report into the archive as an auditor pack. That this fails must not cost the report.
async fn pack(context: &Context<Services>, made: &Made) -> Pack {
    match try_pack(context, made).await {
        Ok(stored) => Pack {
            problem: stored
                .lock_problem()
                .map(|problem| format!("it is not locked as configured: {problem}")),
            name: stored.objects.first().map(|object| object.name.clone()),
        },
        Err(problem) => Pack {
            name: None,
            problem: Some(problem),
        },
    }
}

async fn try_pack(context: &Context<Services>, made: &Made) -> Result<StoredPack, String> {
    let services = &context.services;
    let config = &services.config;
    let key = anchor::load_key(&config.anchor_key_file()).map_err(|error| error.to_string())?;
    let signer = key.ok_or("there is no anchor key, which signs packs")?;
    let keys = anchor::public_keys(&config.anchor_key_file(), &config.anchors.public_keys);
    let vault = Vault::open(config).map_err(|error| error.to_string())?;
    let packing = Packing {
        store: &context.store,
        qwed: &services.qwed,
        vault: &vault,
        scratch: &config.export_directory(),
        origin: &config.anchors.origin,
        keys: keys.map_err(|error| error.to_string())?,
        signer,
    };
    packing.pack(made).await.map_err(|error| error.to_string())
}

/// What a job's outcome and an event tell of a report.
fn told((report, pack): &Packed) -> Value {
    json!({
        "report_id": report.id,
        "organization_id": report.organization.id,
        "period": report.period,
        "summary": report.summary,
        "compliance_status": report.compliance_status,
        "pack": pack.name,
        "pack_problem": pack.problem,
    })
}

fn decide(error: ReportError) -> JobError {
    if error.is_transient() {
        JobError::retry(error)
    } else {
        JobError::fail(error)
    }
}

/// Keeps the reports with the end of the job.
struct Kept {
    pen: Option<Pen>,
    job_id: String,
    reports: Vec<Packed>,
}

impl Effects for Kept {
    fn apply<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<Vec<Event>, StateError>> {
        Box::pin(async move {
            let mut events = Vec::new();
            for packed in &self.reports {
                let (report, pack) = packed;
                let pack = pack.name.as_deref();
                let scribe = self.pen.as_ref().map(Pen::scribe);
                let job_id = Some(self.job_id.as_str());
                let row = produce::keep(tx, scribe, report, pack, job_id).await?;
                let mut data = told(packed);
                data["sha256"] = row.sha256.into();
                events.push(Event {
                    id: new_id(),
                    event_type: "report.made".to_owned(),
                    subject: Some(format!("organization/{}", report.organization.id)),
                    data,
                });
            }
            Ok(events)
        })
    }
}

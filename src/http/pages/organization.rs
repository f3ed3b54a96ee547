//! An organisation: how its trail stands, what was found in it, and what happened to it.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};
use jiff::Timestamp;
use serde_json::json;

use super::{
    home::name_of,
    shell::{Badge, HOME, Moment, Shell, Tone, grouped, page, tone_of_verdict},
    strip::{self, Happened, Strip},
};
use crate::{
    http::{Call, Fault, api::Api},
    state::{
        StateError,
        reports::VerificationRow,
        verdicts::{ANCHORS, VerdictRow},
    },
    trail::finding::{Kind, Severity},
    verify::{
        advice,
        report::{OrganizationReport, Report},
    },
};

/// Verifications and anchors that the timeline is made of.
const RUNS: u32 = 10_000;
/// Anchors that the page about them all is made of: an hourly one for all of the days.
const ANCHORS_LISTED: u32 = 2200;
/// How many of them are listed.
const LISTED: usize = 40;
/// Reports that are listed.
const REPORTS: u32 = 5;
/// Findings that are listed.
const FINDINGS: usize = 200;

#[derive(Template)]
#[template(path = "http/pages/organization.html")]
struct Page {
    shell: Shell,
    /// The payload of a verification of this trail; none for entries of no organisation, which have none.
    payload: Option<String>,
    verdict: String,
    job_id: String,
    since: Moment,
    checked_at: Moment,
    entries: String,
    findings_total: u64,
    /// What the verification said of anchors; none where its job is not kept any more.
    details: Option<Details>,
    strip: Strip,
    events: Vec<Event>,
    more_events: usize,
    reports: Vec<(String, Moment, [i64; 4])>,
    /// The hold, whom it is about, why, and since when.
    holds: Vec<(String, String, String, Moment)>,
}

impl Page {
    fn badge(&self) -> Badge<'_> {
        Badge {
            tone: tone_of_verdict(&self.verdict),
            word: &self.verdict,
        }
    }
}

/// What the job that found the verdict has beyond it.
struct Details {
    facts: Vec<(&'static str, String)>,
    findings: Vec<Found>,
    left_out: u64,
}

struct Found {
    place: String,
    kind: &'static str,
    tone: Tone,
    detail: String,
    advice: &'static str,
}

impl Found {
    fn badge(&self) -> Badge<'_> {
        Badge {
            tone: self.tone,
            word: self.kind,
        }
    }
}

struct Event {
    at: Moment,
    what: String,
    verdict: Option<String>,
    job_id: Option<String>,
}

impl Event {
    fn badge(&self) -> Option<Badge<'_>> {
        self.verdict.as_deref().map(|word| Badge {
            tone: tone_of_verdict(word),
            word,
        })
    }
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let api = &call.api;
    let now = api.now();
    let organization = match call.placeholder("organization") {
        "none" => String::new(),
        id => id.to_owned(),
    };
    let verdicts = api.store.verdicts().await?;
    let row = verdicts
        .into_iter()
        .find(|row| row.organization == organization);
    let row =
        row.ok_or_else(|| Fault::not_found("no trail of such an organisation was verified yet"))?;
    let id: Option<i64> = organization.parse().ok();
    let happened = happened(api, &row, id, now).await?;
    let times: Vec<_> = happened.iter().map(|it| (it.0, it.1.clone())).collect();
    let more_events = happened.len().saturating_sub(LISTED);
    let mut reports = Vec::new();
    let mut holds = Vec::new();
    if let Some(id) = id {
        for report in api.store.reports(Some(id), REPORTS).await? {
            reports.push((
                report.id,
                Moment::micros(report.generated_at, now),
                report.counts,
            ));
        }
        for hold in api
            .store
            .active_holds(id, None, now.as_microsecond())
            .await?
        {
            let about = hold
                .user
                .map_or_else(|| "everybody".to_owned(), |user| format!("user {user}"));
            holds.push((
                hold.id,
                about,
                hold.reason,
                Moment::micros(hold.placed_at, now),
            ));
        }
    }
    let shown = Page {
        shell: Shell::new(&call, HOME, name_of(&organization)),
        payload: id.map(|id| json!({"organizations": [id]}).to_string()),
        since: Moment::micros(row.since, now),
        checked_at: Moment::micros(row.checked_at, now),
        entries: grouped(row.entries),
        findings_total: row.findings.unsigned_abs(),
        details: details(api, &row, id).await?,
        strip: Strip::of(&times, now),
        events: happened
            .into_iter()
            .take(LISTED)
            .map(|it| event(it, now))
            .collect(),
        more_events,
        reports,
        holds,
        verdict: row.verdict,
        job_id: row.job_id,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// What happened to a trail: when, what, in words, and the job that did it.
type Happening = (Timestamp, Happened, String, Option<String>);

/// The newest first.
async fn happened(
    api: &Api,
    row: &VerdictRow,
    id: Option<i64>,
    now: Timestamp,
) -> Result<Vec<Happening>, StateError> {
    let since = strip::start(now).as_microsecond();
    let mut happened = Vec::new();
    let is_anchors = row.organization == ANCHORS;
    // What runs said of the anchors is not kept with them.
    let runs = match is_anchors {
        true => Vec::new(),
        false => api.store.verification_runs(since, RUNS).await?,
    };
    for run in runs {
        // Before that, a verification of all trails was not one of this.
        if run.ended_at < row.first_at {
            continue;
        }
        let Some(verdict) = verdict_of(&run, &row.organization, id) else {
            continue;
        };
        if let Ok(at) = Timestamp::from_microsecond(run.ended_at) {
            let what = match run.extent.as_str() {
                "whole" => "verified in full".to_owned(),
                _ => "verified since the newest anchor".to_owned(),
            };
            happened.push((at, Happened::Verified(verdict), what, Some(run.job_id)));
        }
    }
    let anchors = match id {
        Some(id) => api.store.anchors_of(id, since, RUNS).await?,
        None if is_anchors => {
            let runs = api.store.anchors_before(i64::MAX, ANCHORS_LISTED).await?;
            let runs = runs.iter().filter(|run| run.made_at >= since);
            runs.map(|run| (run.number, run.made_at)).collect()
        }
        None => Vec::new(),
    };
    for (number, made_at) in anchors {
        if let Ok(at) = Timestamp::from_microsecond(made_at) {
            let what = format!("anchor {number} signed");
            happened.push((at, Happened::Anchored, what, None));
        }
    }
    happened.sort_by_key(|it| std::cmp::Reverse(it.0));
    Ok(happened)
}

/// What a run said of a trail; none if it did not look at it.
fn verdict_of(run: &VerificationRow, organization: &str, id: Option<i64>) -> Option<String> {
    // What cannot be read says nothing.
    let asked: Vec<i64> = serde_json::from_str(&run.organizations).ok()?;
    if !asked.is_empty() && !id.is_some_and(|id| asked.contains(&id)) {
        return None;
    }
    let not_intact: BTreeMap<String, String> = serde_json::from_str(&run.not_intact).ok()?;
    let verdict = not_intact.get(organization);
    Some(verdict.map_or_else(|| "intact".to_owned(), Clone::clone))
}

fn event((at, what, words, job_id): Happening, now: Timestamp) -> Event {
    Event {
        at: Moment::of(at, now),
        what: words,
        verdict: match what {
            Happened::Verified(verdict) => Some(verdict),
            Happened::Anchored => None,
        },
        job_id,
    }
}

/// What the job says that found the verdict, as long as it is kept.
async fn details(
    api: &Api,
    row: &VerdictRow,
    id: Option<i64>,
) -> Result<Option<Details>, StateError> {
    let job = api.store.job(&row.job_id).await?;
    let outcome = job.and_then(|job| job.outcome);
    let Some(report) = outcome.and_then(|it| serde_json::from_value::<Report>(it).ok()) else {
        return Ok(None);
    };
    let is_anchors = row.organization == ANCHORS;
    let mut trails = report.organizations.iter();
    let trail = trails.find(|it| !is_anchors && it.organization_id == id);
    if trail.is_none() && !is_anchors {
        return Ok(None);
    }
    let of_trail = trail.iter().flat_map(|trail| &trail.findings).map(|it| {
        let place = match it.last_entry_id {
            Some(last) => format!("entries {} to {last}", it.entry_id),
            None => format!("entry {}", it.entry_id),
        };
        found(place, it.kind, it.severity, &it.detail)
    });
    let anchors = report.anchors.iter().filter(|_| is_anchors);
    let anchors = anchors.flat_map(|anchors| &anchors.findings);
    let anchors = anchors.map(|it| ("anchors", it));
    let around = anchors.chain(report.tombstones.iter().map(|it| ("erasures", it)));
    let around =
        around.map(|(place, it)| found(place.to_owned(), it.kind, it.severity, &it.detail));
    let mut findings: Vec<Found> = of_trail.chain(around).collect();
    let not_kept = trail.map_or(0, |trail| {
        trail
            .findings_total
            .saturating_sub(trail.findings.len() as u64)
    });
    let left_out = not_kept + findings.len().saturating_sub(FINDINGS) as u64;
    findings.truncate(FINDINGS);
    Ok(Some(Details {
        facts: trail.map_or_else(Vec::new, facts),
        findings,
        left_out,
    }))
}

fn found(place: String, kind: Kind, severity: Severity, detail: &str) -> Found {
    Found {
        place,
        kind: kind.name(),
        tone: match severity {
            Severity::Info => Tone::Plain,
            Severity::Warning | Severity::Incomplete => Tone::Doubtful,
            Severity::Tampered => Tone::Bad,
        },
        detail: detail.to_owned(),
        advice: advice(kind),
    }
}

fn facts(trail: &OrganizationReport) -> Vec<(&'static str, String)> {
    let answer = &trail.qwed;
    let mut facts = vec![
        ("Verified", grouped(trail.verified_count())),
        (
            "Failed",
            grouped(trail.failed_count.saturating_sub(trail.excused_count)),
        ),
        ("Without hash (legacy)", grouped(trail.legacy_count)),
        (
            "Erased",
            grouped(trail.erased.anonymised + trail.erased.deleted),
        ),
    ];
    if let (Some(first), Some(last)) = (answer.first_entry_id, answer.last_entry_id) {
        facts.push(("Entries", format!("{first} to {last}")));
    }
    if let Some(head) = &answer.head_hash {
        facts.push(("Head", head.clone()));
    }
    facts.push((
        "Anchor",
        match &trail.anchor {
            None => "not compared with one".to_owned(),
            Some(anchor) if !anchor.is_extended => {
                format!("anchor {} is not what is there", anchor.number)
            }
            Some(anchor) => format!(
                "anchor {} covers {} entries; {} are newer",
                anchor.number,
                grouped(anchor.entries),
                grouped(anchor.unanchored_entries)
            ),
        },
    ));
    facts
}

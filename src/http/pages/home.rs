//! The overview: how every trail stands, and what comes next.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use jiff::{SignedDuration, Timestamp};

use super::{
    archive::standing,
    shell::{Badge, HOME, Moment, Shell, Tone, grouped, page, tone_of_verdict},
};
use crate::{
    checklist::{Checklist, Status, VERIFIED_HOURS},
    config::Scope,
    http::{Call, Fault, api::Api, v1::all_schedules},
    ledger::{self, Act},
    state::{
        StateError,
        jobs::{Filter, State},
        verdicts::{ANCHORS, VerdictRow},
    },
};

/// Fires to come that are shown.
const NEXT: usize = 6;
/// Checklists among which the newest of all organisations is looked for.
const CHECKLISTS: i64 = 50;

#[derive(Template)]
#[template(path = "http/pages/home.html")]
struct Page {
    shell: Shell,
    headline: String,
    tone: Tone,
    counts: Vec<(Badge<'static>, usize)>,
    trails: Vec<Trail>,
    facts: Vec<(&'static str, Option<Moment>, String)>,
    checklist: Option<(Moment, Vec<Item>)>,
    next: Vec<Next>,
}

/// A row of the table of trails.
struct Trail {
    /// As in the address of its page.
    id: String,
    name: String,
    verdict: String,
    since: Moment,
    checked_at: Moment,
    entries: String,
    findings: i64,
}

impl Trail {
    fn badge(&self) -> Badge<'_> {
        Badge {
            tone: tone_of_verdict(&self.verdict),
            word: &self.verdict,
        }
    }
}

struct Item {
    title: String,
    status: Badge<'static>,
    reason: String,
    remedy: Option<String>,
}

struct Next {
    schedule: String,
    kind: String,
    at: Moment,
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let api = &call.api;
    let now = api.now();
    let mut rows = api.store.verdicts().await?;
    // The worst come first.
    rows.sort_by_key(|row| {
        let tone = tone_of_verdict(&row.verdict);
        (
            std::cmp::Reverse(tone),
            row.organization.parse().unwrap_or(0_i64),
        )
    });
    let (headline, tone) = headline(&rows, now);
    let counts = ["intact", "incomplete", "tampered"].map(|verdict| {
        let badge = Badge {
            tone: tone_of_verdict(verdict),
            word: verdict,
        };
        let trails = trails(&rows).filter(|row| row.verdict == verdict);
        (badge, trails.count())
    });
    let page_ = Page {
        shell: Shell::new(&call, HOME, "Overview"),
        headline,
        tone,
        counts: counts.to_vec(),
        trails: rows.into_iter().map(|row| trail(row, now)).collect(),
        facts: facts(api, now, call.operator()?.may(Scope::ErasuresRead)).await?,
        checklist: checklist(api, now).await?,
        next: next(api, now).await?,
    };
    Ok(page(StatusCode::OK, &page_))
}

fn trails(rows: &[VerdictRow]) -> impl Iterator<Item = &VerdictRow> {
    rows.iter().filter(|row| row.organization != ANCHORS)
}

fn headline(rows: &[VerdictRow], now: Timestamp) -> (String, Tone) {
    let (mut headline, mut tone) = headline_of_trails(rows);
    // What is older says little of today: a night was missed.
    let oldest = now - SignedDuration::from_hours(VERIFIED_HOURS);
    let is_old = |row: &&VerdictRow| row.checked_at < oldest.as_microsecond();
    let old = trails(rows).filter(is_old).count();
    if old > 0 {
        headline += &format!("; {old} not verified for over {} hours", VERIFIED_HOURS);
        tone = tone.max(Tone::Doubtful);
    }
    let mut anchors = rows.iter().filter(|row| row.organization == ANCHORS);
    if let Some(row) = anchors.find(|row| row.verdict != "intact") {
        headline += &format!("; the anchors are {}", row.verdict);
        tone = tone.max(tone_of_verdict(&row.verdict));
    }
    (headline, tone)
}

fn headline_of_trails(rows: &[VerdictRow]) -> (String, Tone) {
    let of = |verdict: &str| trails(rows).filter(|row| row.verdict == verdict).count();
    let (all, tampered, incomplete) = (trails(rows).count(), of("tampered"), of("incomplete"));
    match (all, tampered, incomplete) {
        (0, ..) => ("No trail was verified yet".to_owned(), Tone::Doubtful),
        (1, 0, 0) => (
            "The trail was intact when it was last verified".to_owned(),
            Tone::Good,
        ),
        (_, 0, 0) => (
            format!("All {all} trails that are known were intact when they were last verified"),
            Tone::Good,
        ),
        (_, 0, _) => (
            format!("{incomplete} of {all} trails cannot be verified in full"),
            Tone::Doubtful,
        ),
        _ => (
            format!("{tampered} of {all} trails were tampered with"),
            Tone::Bad,
        ),
    }
}

/// What an organisation is called here; QWED's name of it is in QWED's database.
pub(super) fn name_of(organization: &str) -> String {
    match organization {
        "" => "Entries of no organisation".to_owned(),
        ANCHORS => "The anchors themselves".to_owned(),
        id => format!("Organisation {id}"),
    }
}

fn trail(row: VerdictRow, now: Timestamp) -> Trail {
    Trail {
        name: name_of(&row.organization),
        id: match row.organization.as_str() {
            "" => "none".to_owned(),
            id => id.to_owned(),
        },
        verdict: row.verdict,
        since: Moment::micros(row.since, now),
        checked_at: Moment::micros(row.checked_at, now),
        entries: grouped(row.entries),
        findings: row.findings,
    }
}

/// What there is beside trails, each with when.
async fn facts(
    api: &Api,
    now: Timestamp,
    may_see_erasures: bool,
) -> Result<Vec<(&'static str, Option<Moment>, String)>, StateError> {
    let mut facts = Vec::new();
    let newest = api.store.newest_anchor().await?;
    facts.push(match newest {
        Some(run) => {
            let entries = grouped(run.entries);
            let moment = Moment::micros(run.made_at, now);
            (
                "Newest anchor",
                Some(moment),
                format!("number {}, over {entries} entries", run.number),
            )
        }
        None => (
            "Newest anchor",
            None,
            "none yet: had the newest entries been removed, nothing would show it".to_owned(),
        ),
    });
    let backup = api.store.newest_archive_manifest().await?;
    facts.push(match backup {
        Some(backup) => {
            let numbers = api.store.archive_numbers().await?;
            let (_, standing) = standing(&backup, numbers.not_locked);
            (
                "Newest backup",
                Some(Moment::micros(backup.made_at, now)),
                format!("number {}, {standing}", backup.number),
            )
        }
        None => ("Newest backup", None, "none yet".to_owned()),
    });
    let drills = api.store.newest_ledger(Some(Act::Drill.name()), 1).await?;
    facts.push(match drills.first() {
        Some(row) => {
            let word = match ledger::detail(row)["passed"] == true {
                true => "passed",
                false => "did not pass",
            };
            (
                "Newest drill",
                Some(Moment::micros(row.at, now)),
                word.to_owned(),
            )
        }
        None => (
            "Newest drill",
            None,
            "none yet: nobody knows whether the archive can be restored".to_owned(),
        ),
    });
    let counts = api.store.job_counts().await?;
    let of = |state| {
        counts
            .iter()
            .filter(|(it, ..)| *it == state)
            .map(|(.., jobs)| jobs)
            .sum::<i64>()
    };
    let waiting = of(State::Queued) + of(State::Retrying);
    let (running, dead) = (of(State::Running), of(State::Dead));
    facts.push((
        "Jobs",
        None,
        format!("{waiting} waiting, {running} running, {dead} dead"),
    ));
    if may_see_erasures {
        let open = api.store.open_erasure_counts(now.as_microsecond()).await?;
        let requests: i64 = open.iter().map(|it| it.requests).sum();
        let overdue: i64 = open.iter().map(|it| it.overdue).sum();
        let first = open.iter().map(|it| it.due_at).min();
        let first = first.map(|due| Moment::micros(due, now));
        let what = match first {
            Some(_) => format!("{requests} open, {overdue} overdue; the first is due then"),
            None => "none open".to_owned(),
        };
        facts.push(("Erasure requests", first, what));
    }
    Ok(facts)
}

/// The newest checklist of all organisations.
async fn checklist(api: &Api, now: Timestamp) -> Result<Option<(Moment, Vec<Item>)>, StateError> {
    let newest = Filter {
        states: vec![State::Succeeded],
        kind: Some("compliance_checklist".to_owned()),
        parent: None,
        limit: CHECKLISTS,
    };
    let jobs = api.store.jobs(&newest).await?.into_iter();
    let mut of_all = jobs.filter(|job| job.payload["organization_id"].is_null());
    let outcome = of_all.next().and_then(|job| job.outcome);
    let Some(checklist) = outcome.and_then(|it| serde_json::from_value::<Checklist>(it).ok())
    else {
        return Ok(None);
    };
    let items = checklist.items.into_iter().map(|item| Item {
        title: item.title,
        status: Badge {
            tone: match item.status {
                Status::Pass => Tone::Good,
                Status::Unknown => Tone::Doubtful,
                Status::Fail => Tone::Bad,
            },
            word: item.status.name(),
        },
        reason: item.reason,
        remedy: item.remedy,
    });
    Ok(Some((Moment::of(checklist.taken_at, now), items.collect())))
}

/// What fires next.
async fn next(api: &Api, now: Timestamp) -> Result<Vec<Next>, StateError> {
    let schedules = all_schedules(api).await?.into_iter();
    let live = schedules.filter(|it| !it.paused);
    let mut fires: Vec<_> = live.filter_map(|it| Some((it.next?, it))).collect();
    fires.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
    fires.truncate(NEXT);
    let next = fires.into_iter().map(|(at, schedule)| Next {
        schedule: schedule.name,
        kind: schedule.kind,
        at: Moment::of(at, now),
    });
    Ok(next.collect())
}

//! Requests for erasure: how long there is, what would be erased, and the approval, which is asked for twice.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use jiff::Timestamp;

use super::{
    form::Form,
    session::see,
    shell::{Badge, Moment, Shell, Tone, grouped, page, where_allowed},
};
use crate::{
    config::{EraseEntries, Scope},
    erasure::{self, Plan, Request, State},
    holds::{self, Hold},
    http::{Call, Fault, v1::office},
};

const HERE: &str = "/status/erasures";
/// Requests that are shown, of those that are open and of those that have ended.
const OPEN: u32 = 1000;
const ENDED: u32 = 50;
/// Days before the end from which somebody should look.
const SOON: u64 = 7;
/// What has to be typed.
const WORD: &str = "erase";

#[derive(Template)]
#[template(path = "http/pages/erasures.html")]
struct List {
    shell: Shell,
    open: Vec<Row>,
    has_more: bool,
    ended: Vec<Row>,
}

struct Row {
    id: String,
    organization_id: i64,
    user_id: i64,
    state: State,
    note: Option<String>,
    due: Moment,
    left: (Tone, String),
    requested: Moment,
    completed: Option<Moment>,
}

impl Row {
    fn of(request: &Request, now: Timestamp) -> Self {
        Self {
            id: request.id.clone(),
            organization_id: request.organization_id,
            user_id: request.user_id,
            state: request.state,
            note: request.note.clone(),
            due: Moment::of(request.due_at, now),
            left: left(request.due_at, now),
            requested: Moment::of(request.requested_at, now),
            completed: request.completed_at.map(|at| Moment::of(at, now)),
        }
    }

    fn badge(&self) -> Badge<'static> {
        Badge {
            tone: match self.state {
                State::Completed => Tone::Good,
                State::AwaitingApproval | State::OnHold => Tone::Doubtful,
                _ => Tone::Plain,
            },
            word: self.state.name(),
        }
    }

    fn days(&self) -> Badge<'_> {
        Badge {
            tone: self.left.0,
            word: &self.left.1,
        }
    }

    fn has_ended(&self) -> bool {
        self.state.has_ended()
    }
}

/// How many whole days are left, or how many it is too late, and what that means.
fn left(due_at: Timestamp, now: Timestamp) -> (Tone, String) {
    let seconds = due_at.duration_since(now).as_secs();
    let days = seconds.unsigned_abs() / 86_400;
    let word = match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    match seconds {
        ..0 => (Tone::Bad, format!("{word} over")),
        _ if days <= SOON => (Tone::Doubtful, format!("{word} left")),
        _ => (Tone::Good, format!("{word} left")),
    }
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let store = &call.api.store;
    let now = call.api.now();
    let mut open = Vec::new();
    for row in store.open_erasures("", OPEN).await? {
        open.push(Request::read(row)?);
    }
    let has_more = open.len() == OPEN as usize;
    open.sort_by_key(|request| request.due_at);
    let mut ended = Vec::new();
    for row in store.ended_erasures(ENDED).await? {
        ended.push(Row::of(&Request::read(row)?, now));
    }
    let shown = List {
        shell: Shell::new(&call, HERE, "Erasure requests"),
        open: open.iter().map(|request| Row::of(request, now)).collect(),
        has_more,
        ended,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[derive(Template)]
#[template(path = "http/pages/erasure.html")]
struct One {
    shell: Shell,
    row: Row,
    facts: Vec<(&'static str, String)>,
    plan: Option<Planned>,
    done: Vec<(String, String, String)>,
    may_approve: bool,
}

/// A plan as people read it.
struct Planned {
    digest: String,
    rows: Vec<(String, String, String)>,
    facts: Vec<(&'static str, String)>,
    too_large: Option<String>,
    /// Whether a legal hold keeps it for now.
    is_held: bool,
}

impl Planned {
    fn of(plan: &Plan, digest: &str, holds: &[Hold]) -> Self {
        let entries = &plan.entries;
        let manner = match plan.policy.entries {
            EraseEntries::Anonymise => "anonymised",
            EraseEntries::Delete => "deleted",
        };
        let mut rows = vec![(
            "verificationlog".to_owned(),
            manner.to_owned(),
            grouped(entries.rows),
        )];
        rows.extend(
            plan.tables
                .iter()
                .map(|it| (it.table.clone(), it.manner.clone(), grouped(it.rows))),
        );
        let mut facts = vec![
            (
                "Of the organisation's",
                format!("{} entries", grouped(entries.of)),
            ),
            (
                "Takes about",
                format!("{} s", grouped(plan.estimate_seconds)),
            ),
        ];
        if let Some(newest) = entries.newest {
            facts.push(("Has to wait", format!("entry {newest} is the organisation's newest; it is erased when there is another")));
        }
        if entries.faulty > 0 {
            facts.push((
                "Fail their checks",
                format!(
                    "{} of these entries; they go on being reported",
                    grouped(entries.faulty)
                ),
            ));
        }
        let archive = &plan.archive;
        if archive.segments > 0 {
            let until = archive.locked_until.map_or_else(String::new, |at| {
                let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
                format!(" that are locked until {day}")
            });
            let keys = match archive.keys {
                0 => String::new(),
                1 => "; the key to the subject's fields in them is destroyed".to_owned(),
                keys => format!(
                    "; {} keys to the subject's fields in them are destroyed",
                    grouped(keys)
                ),
            };
            facts.push((
                "In the archive",
                format!("{} segments{until}{keys}", grouped(archive.segments)),
            ));
        }
        if plan.mentions.entries > 0 {
            facts.push((
                "Mentioned elsewhere",
                format!(
                    "in {} entries of others, which are left",
                    grouped(plan.mentions.entries)
                ),
            ));
        }
        // Those of now: one that came after the plan keeps the request as well, and one that was released does not.
        facts.extend(holds.iter().map(|hold| ("Legal hold", hold.reason.clone())));
        Self {
            digest: digest.to_owned(),
            rows,
            facts,
            too_large: plan.too_large.clone(),
            is_held: !holds.is_empty(),
        }
    }

    async fn read(call: &Call, request: &Request) -> Result<Option<Self>, Fault> {
        let (Some(plan), Some(digest)) = (&request.plan, &request.plan_digest) else {
            return Ok(None);
        };
        let api = &call.api;
        let (organization, user) = (request.organization_id, request.user_id);
        let holds = holds::active(&api.store, organization, Some(user), api.now()).await?;
        Ok(Some(Self::of(plan, digest, &holds)))
    }
}

async fn find(call: &Call) -> Result<Request, Fault> {
    let row = call.api.store.erasure(call.placeholder("id")).await?;
    let row = row.ok_or_else(|| Fault::not_found("there is no such request"))?;
    Ok(Request::read(row)?)
}

fn nothing_to_approve(request: &Request) -> Fault {
    Fault::conflict(format!(
        "the request is {}: there is nothing to approve",
        request.state
    ))
}

fn can_be_approved(request: &Request) -> bool {
    request.state == State::AwaitingApproval && request.plan.is_some()
}

pub(super) async fn show(call: Call) -> Result<Response, Fault> {
    let request = find(&call).await?;
    let plan = Planned::read(&call, &request).await?;
    let now = call.api.now();
    let shell = Shell::new(&call, HERE, "Erasure request");
    let mut facts = vec![
        ("Id", request.id.clone()),
        ("Subject", request.subject_ref.clone()),
        ("Asked by", request.requester.clone()),
    ];
    let maybe = [
        ("Reference", &request.reference),
        ("Reason", &request.reason),
        ("Prolonged", &request.extension),
        ("Approved by", &request.approved_by),
        ("Approved plan", &request.approved_digest),
        (
            "Certificate",
            &request
                .certificate
                .as_ref()
                .map(|_| format!("trailkeeper erase certificate {}", request.id)),
        ),
    ];
    facts.extend(
        maybe
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?))),
    );
    let tables = request.progress.tables.iter();
    let done = tables.flat_map(|(table, done)| {
        done.iter()
            .map(move |it| (table.clone(), it.manner.clone(), grouped(it.rows)))
    });
    let shown = One {
        may_approve: can_be_approved(&request) && shell.may(Scope::ErasuresApprove),
        shell,
        row: Row::of(&request, now),
        facts,
        plan,
        done: done.collect(),
    };
    Ok(page(StatusCode::OK, &shown))
}

#[derive(Template)]
#[template(path = "http/pages/approve.html")]
struct Confirm {
    shell: Shell,
    row: Row,
    plan: Planned,
    word: &'static str,
    /// What was wrong with the form that was sent.
    problem: Option<&'static str>,
}

/// Asks whether it is meant.
pub(super) async fn confirm(call: Call) -> Result<Response, Fault> {
    ask(&call, None, StatusCode::OK).await
}

async fn ask(
    call: &Call,
    problem: Option<&'static str>,
    status: StatusCode,
) -> Result<Response, Fault> {
    let request = find(call).await?;
    let plan = Planned::read(call, &request)
        .await?
        .filter(|_| can_be_approved(&request));
    let plan = plan.ok_or_else(|| nothing_to_approve(&request))?;
    let shown = Confirm {
        shell: Shell::new(call, HERE, "Approve an erasure"),
        row: Row::of(&request, call.api.now()),
        plan,
        word: WORD,
        problem,
    };
    Ok(page(status, &shown))
}

/// Approves the plan that was shown, and no other.
pub(super) async fn approve(call: Call) -> Result<Response, Fault> {
    let form = Form::of(&call);
    let unmeant = match (form.get("word"), form.get("allow_large")) {
        (Some(word), _) if !word.trim().eq_ignore_ascii_case(WORD) => {
            Some("Nothing was approved: the word is another.")
        }
        (None, _) => Some("Nothing was approved: the word has to be typed."),
        _ => None,
    };
    if unmeant.is_some() {
        return ask(&call, unmeant, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    let mut request = find(&call).await?;
    if !can_be_approved(&request) {
        return Err(nothing_to_approve(&request));
    }
    let office = office(&call)?;
    let plan = form.get("plan").unwrap_or_default();
    let allow_large = form.get("allow_large").is_some();
    erasure::approve(&office, &mut request, plan, allow_large).await?;
    let shown = format!("{HERE}/{}", request.id);
    Ok(see(&where_allowed(&call, Scope::ErasuresRead, shown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_ones() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        let left = |due: &str| left(due.parse().expect("a time"), now);
        for (due, tone, words) in [
            ("2026-12-23T12:00:00Z", Tone::Good, "30 days left"),
            ("2026-11-30T12:00:00Z", Tone::Doubtful, "7 days left"),
            ("2026-11-24T12:00:00Z", Tone::Doubtful, "1 day left"),
            (
                "2026-11-24T11:59:59Z",
                Tone::Doubtful,
                "less than a day left",
            ),
            ("2026-11-23T11:59:59Z", Tone::Bad, "less than a day over"),
            ("2026-11-21T12:00:00Z", Tone::Bad, "2 days over"),
        ] {
            assert_eq!(left(due), (tone, words.to_owned()), "{due}");
        }
    }
}

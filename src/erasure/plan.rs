//! What a request would erase. Nothing is written to QWED's database.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ErasureError, Office,
    entries::{Survey, survey},
    event,
    policy::Policy,
    request::{Request, State},
    signed::expect_request,
    tables::{Whose, actions, has_user},
};
use crate::{
    config::EraseEntries,
    holds,
    ledger::Act,
    objects::Digest,
    progress::Progress,
    qwed::{
        erase::Eraser,
        subject::{self, Found, Wanted},
    },
};

/// The format that this program writes and reads.
const FORMAT: &str = "trailkeeper erasure plan 1";
/// Segments of the archive that are named.
const NAMED: usize = 200;
/// Rows that are erased in a second on a machine with two cores, SQLite's slow disk included.
const ROWS_PER_SECOND: u64 = 1000;

/// What a request would erase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The format's name and version.
    pub format: String,
    /// The request.
    pub request: String,
    /// The subject's organisation.
    pub organization_id: i64,
    /// The subject.
    pub user_id: i64,
    /// What is done with which table.
    pub policy: Policy,
    /// Entries of the trail.
    pub entries: Entries,
    /// Rows of other tables.
    pub tables: Vec<Rows>,
    /// Legal holds that keep the request.
    pub holds: Vec<Held>,
    /// Copies in the archive.
    pub archive: Archived,
    /// Entries of others that mention the subject's address. They are not touched.
    pub mentions: Mentions,
    /// About how long it takes, in seconds.
    pub estimate_seconds: u64,
    /// Why it is not carried out unless that is allowed; none if it is no larger than usual.
    pub too_large: Option<String>,
}

/// Entries of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// How many are erased.
    pub rows: u64,
    /// The first.
    pub first_id: Option<i64>,
    /// The last.
    pub last_id: Option<i64>,
    /// The SHA-256 of their ids, the newest's included, one a line, in hexadecimal.
    pub ids_sha256: String,
    /// The organisation's newest entry, where it is the subject's: it has to wait for the next one.
    pub newest: Option<i64>,
    /// How many fail their checks: they go on being reported.
    pub faulty: u64,
    /// How many have no hash.
    pub unsealed: u64,
    /// How many the organisation has in all.
    pub of: u64,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The table.
    pub table: String,
    /// What is done: `anonymised`, `deleted` or `detached`.
    pub manner: String,
    /// With how many rows.
    pub rows: u64,
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The hold.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Until when, if that is known.
    pub until: Option<Timestamp>,
}

/// Copies in the archive that can hold something of the subject's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Archived {
    /// How many segments.
    pub segments: u64,
    /// Some of them by name.
    pub names: Vec<String>,
    /// When the last lock on any of them ends.
    pub locked_until: Option<Timestamp>,
    /// Keys that make the subject's fields in them readable, and are destroyed.
    pub keys: u64,
}

/// Entries that mention the subject.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mentions {
    /// How many.
    pub entries: u64,
    /// The first of them.
    pub ids: Vec<i64>,
}

impl Plan {
    /// The digest that an approval is bound to: of what is erased and how. What only tells more about it may change meanwhile:
    /// the estimate, where copies are archived, who mentions the subject.
    #[must_use]
    pub fn digest(&self) -> String {
        let bound = json!({
            "format": self.format,
            "request": self.request,
            "organization_id": self.organization_id,
            "user_id": self.user_id,
            "policy": self.policy,
            "entries": {
                "ids_sha256": self.entries.ids_sha256,
                "faulty": self.entries.faulty,
                "unsealed": self.entries.unsealed,
            },
            "tables": self.tables,
        });
        Digest::of(bound.to_string().as_bytes()).to_string()
    }

    /// Rows that are erased in all.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let tables = self.tables.iter().map(|it| it.rows);
        self.entries.rows + u64::from(self.entries.newest.is_some()) + tables.sum::<u64>()
    }
}

/// Looks up what a request would erase, and keeps that with the request. One that a producer signed is approved by that.
///
/// # Errors
/// If a database fails, or the request is beyond planning.
pub async fn plan(
    office: &Office,
    request: &mut Request,
    progress: &Arc<Progress>,
) -> Result<(), ErasureError> {
    if request.state.has_ended() || request.state.has_begun() {
        return Err(ErasureError::Refused(format!(
            "the request is {}: there is nothing left to plan",
            request.state
        )));
    }
    expect_request(office, request).await?;
    let plan = make(office, request, progress).await?;
    note(office, request, plan).await
}

/// Keeps a plan with its request.
pub(super) async fn note(
    office: &Office,
    request: &mut Request,
    plan: Plan,
) -> Result<(), ErasureError> {
    let digest = plan.digest();
    let was = (request.state, request.plan_digest.clone());
    let is_same = was.1.as_ref() == Some(&digest);
    let is_approved = is_same && request.approved_digest.as_ref() == Some(&digest);
    let too_large = plan
        .too_large
        .clone()
        .filter(|_| !request.options.allow_large);
    (request.state, request.note) = if let Some(too_large) = too_large {
        (State::AwaitingApproval, Some(too_large))
    } else if !plan.holds.is_empty() {
        (State::OnHold, Some(held(&plan.holds)))
    } else if is_approved {
        (State::Approved, None)
    } else {
        (State::AwaitingApproval, None)
    };
    let summary = json!({
        "request": request.id,
        "plan": digest,
        "rows": plan.rows(),
        "entries": plan.entries.rows,
        "holds": plan.holds.len(),
    });
    request.plan_digest = Some(digest.clone());
    request.plan = Some(plan);
    let mut acts = Vec::new();
    let mut events = Vec::new();
    if !is_same {
        acts.push((Act::ErasurePlanned, summary.clone()));
    }
    if let (State::AwaitingApproval, None, Some(producer)) = (
        request.state,
        &request.note,
        request.options.producer.clone(),
    ) {
        request.state = State::Approved;
        request.approved_by = Some(format!("producer {producer}"));
        request.approved_at = Some(office.now);
        request.approved_digest = Some(digest.clone());
        acts.push((
            Act::ErasureApproved,
            json!({"request": request.id, "plan": digest, "by": request.approved_by}),
        ));
    }
    if was.0 != request.state || !is_same {
        events.push(event("planned", request, summary));
    }
    office.save(request, "erasure plan", acts, &events).await?;
    Ok(())
}

pub(super) fn held(holds: &[Held]) -> String {
    let list: Vec<&str> = holds.iter().map(|hold| hold.id.as_str()).collect();
    format!("a legal hold keeps it: {}", list.join(", "))
}

/// What the request would erase now.
pub(super) async fn make(
    office: &Office,
    request: &Request,
    progress: &Arc<Progress>,
) -> Result<Plan, ErasureError> {
    let (organization_id, user_id) = (request.organization_id, request.user_id);
    let (store, now) = (&office.store, office.now);
    let holds = holds::active(store, organization_id, Some(user_id), now).await?;
    let hold = |hold: holds::Hold| Held {
        id: hold.id,
        reason: hold.reason,
        until: hold.until,
    };
    let holds = holds.into_iter().map(hold).collect();
    let handle = tokio::runtime::Handle::current();
    let (inner, policy, shared) = (office.clone(), request.policy, Arc::clone(progress));
    let whose = Whose {
        organization_id,
        user_id,
    };
    let looked =
        tokio::task::spawn_blocking(move || look(&inner, &handle, whose, &policy, &shared));
    let (survey, tables) = looked
        .await
        .map_err(|error| ErasureError::Refused(error.to_string()))??;
    // Whether the last of them has to wait changes with each entry of anybody's, and not what is erased.
    let ids = survey.ids.iter().chain(&survey.newest);
    let ids: String = ids.map(|id| format!("{id}\n")).collect();
    let entries = Entries {
        rows: survey.ids.len() as u64,
        first_id: survey.ids.first().copied().or(survey.newest),
        last_id: survey.newest.or(survey.ids.last().copied()),
        ids_sha256: Digest::of(ids.as_bytes()).to_string(),
        newest: survey.newest,
        faulty: survey.faulty,
        unsealed: survey.unsealed,
        of: survey.all,
    };
    let archive = archived(office, request, &entries).await?;
    let mut plan = Plan {
        format: FORMAT.to_owned(),
        request: request.id.clone(),
        organization_id,
        user_id,
        policy: request.policy,
        entries,
        tables,
        holds,
        archive,
        mentions: Mentions {
            entries: survey.mentioned,
            ids: survey.mentions,
        },
        estimate_seconds: 0,
        too_large: None,
    };
    let rows = plan.rows();
    plan.estimate_seconds = rows.div_ceil(ROWS_PER_SECOND);
    let own = plan.entries.rows + u64::from(plan.entries.newest.is_some());
    plan.too_large = if rows > u64::from(office.settings.max_rows) {
        Some(format!(
            "{rows} rows are more than erasure.max_rows ({}): is it the right subject? Allow it with --allow-large",
            office.settings.max_rows
        ))
    } else if own * 2 > plan.entries.of && plan.entries.of >= MIN_HALF {
        Some(format!(
            "{own} of the organisation's {} entries are more than half: is it the right subject? Allow it with --allow-large",
            plan.entries.of
        ))
    } else {
        None
    };
    Ok(plan)
}

/// Organisations with fewer entries are not asked whether half of them is too much.
const MIN_HALF: u64 = 10;

fn look(
    office: &Office,
    handle: &tokio::runtime::Handle,
    whose: Whose,
    policy: &Policy,
    progress: &Progress,
) -> Result<(Survey, Vec<Rows>), ErasureError> {
    let Whose {
        organization_id,
        user_id,
    } = whose;
    let email = match office.settings.find_mentions {
        true => match subject::find(&office.qwed, organization_id, &Wanted::User(user_id))? {
            Found::One(subject) => subject.email,
            _ => None,
        },
        false => None,
    };
    let database = office.graveyard().open(handle, &office.qwed)?;
    let survey = survey(
        office,
        &database,
        organization_id,
        user_id,
        email.as_deref(),
        progress,
    )?;
    let mut eraser = Eraser::open(&office.erase)?;
    let mut tables = Vec::new();
    for action in actions(&mut eraser, whose, policy)? {
        tables.push(Rows {
            table: action.table.to_owned(),
            manner: action.manner.to_owned(),
            rows: action.count(&mut eraser)?,
        });
    }
    tables.push(Rows {
        table: "user".to_owned(),
        manner: match policy.user {
            EraseEntries::Anonymise => "anonymised",
            EraseEntries::Delete => "deleted",
        }
        .to_owned(),
        rows: u64::from(has_user(&mut eraser, whose)?),
    });
    Ok((survey, tables))
}

/// Copies that can hold something of the subject's: segments of the organisation around the subject's entries, and those of
/// other tables.
pub(super) async fn archived(
    office: &Office,
    request: &Request,
    entries: &Entries,
) -> Result<Archived, ErasureError> {
    let store = &office.store;
    let organization = request.organization_id.to_string();
    let found = store.archived_segments(&organization).await?;
    let is_touched = |first: i64, last: i64| match (entries.first_id, entries.last_id) {
        (Some(from), Some(to)) => first <= to && from <= last,
        _ => false,
    };
    let touched = found
        .into_iter()
        .filter(|it| it.relation != "verificationlog" || is_touched(it.first_id, it.last_id));
    let mut archived = Archived::default();
    let mut until = i64::MIN;
    for object in touched {
        archived.segments += 1;
        until = until.max(object.retain_until);
        if archived.names.len() < NAMED {
            archived.names.push(object.name);
        }
    }
    if archived.segments > 0 {
        archived.locked_until = Timestamp::from_microsecond(until).ok();
    }
    let subject = crate::backup::subject(Some(request.organization_id), Some(request.user_id));
    archived.keys = store.subject_keys(&[subject]).await?.len() as u64;
    Ok(archived)
}

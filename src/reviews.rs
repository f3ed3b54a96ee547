//! Floor 2: reviews of QWED's security events: that somebody looked at them is an act, which the compliance ledger has.
//!
//! A review says up to when events were looked at, by whom, and which was the newest event that there was. The ledger's signed
//! entry is the review; there is no table of it. An event counts as reviewed if it is not later than a review of its organisation
//! says, and was there when that was made: one that is put in afterwards with an earlier time is new.
//!
//! Severe events, `high` and `critical` by QWED's word, are those that must not go unreviewed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    checkpoint::note::VerifierKey,
    ledger::{self, Act, Scribe},
    progress::Progress,
    qwed::{
        ReadError,
        tables::{Cell, Part, Record, TableSchema, Tables},
        url::DatabaseUrl,
    },
    state::{StateError, Store},
    trail::time::parse_utc,
};

/// Characters that a note may have.
pub const MAX_NOTE_CHARS: usize = 1000;
/// Characters that the name of whoever reviewed may have.
pub const MAX_BY_CHARS: usize = 200;
/// Entries of the ledger that are read at a time.
const PAGE: u32 = 500;
const TABLE: &str = "securityevent";
/// What is read of an event. Its query may be personal, and nobody needs it to know what is open.
const COLUMNS: [&str; 8] = [
    "id",
    "organization_id",
    "event_type",
    "reason",
    "security_layer",
    "severity",
    "timestamp",
    "user_id",
];

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Only events of this organisation; of all where there is none.
    pub organization_id: Option<i64>,
    /// Events up to this time were looked at.
    pub until: Timestamp,
    /// By whom.
    pub by: String,
    /// What was found.
    pub note: String,
    /// Events up to that time, of that organisation.
    pub events: u64,
    /// Severe ones among them.
    pub severe: u64,
    /// The newest event that there was, of any organisation and time; 0 if there was none.
    pub newest_event_id: i64,
}

impl Review {
    fn covers(&self, event: &Event) -> bool {
        self.organization_id
            .is_none_or(|id| Some(id) == event.organization_id)
            && event.id <= self.newest_event_id
            && event.timestamp.is_some_and(|time| time <= self.until)
    }
}

/// A review as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// The entry's number.
    pub entry: i64,
    /// When it was made.
    pub at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub review: Review,
}

/// A security event, as far as a review needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its id.
    pub id: i64,
    /// Its organisation.
    pub organization_id: Option<i64>,
    /// When it happened; `None` where the column holds no time.
    pub timestamp: Option<Timestamp>,
    /// QWED's word for what happened.
    pub event_type: String,
    /// QWED's word for how bad it is.
    pub severity: String,
    /// Which layer of QWED noticed it.
    pub security_layer: Option<String>,
    /// Why, in QWED's words.
    pub reason: String,
}

impl Event {
    /// Whether it must not go unreviewed.
    #[must_use]
    pub fn is_severe(&self) -> bool {
        ["high", "critical"].contains(&self.severity.to_ascii_lowercase().as_str())
    }

    /// Whether QWED, or what stands before it, turned somebody away for asking too often.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        let kind = self.event_type.to_ascii_uppercase();
        kind.contains("RATE_LIMIT") || kind.contains("RATELIMIT")
    }
}

/// Why events could not be looked up or reviewed.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// QWED's database cannot be read.
    #[error(transparent)]
    Qwed(#[from] ReadError),
    /// Ours failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// QWED's database has no security events.
    #[error("QWED's database has no table securityevent: whether there are events nobody knows")]
    NoTable,
    /// A review that would mean nothing.
    #[error("{0}")]
    Refused(String),
    /// Stopped on request.
    #[error("interrupted")]
    Interrupted,
}

/// What there is of events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Survey {
    /// All of them.
    pub events: u64,
    /// Severe ones.
    pub severe: u64,
    /// Severe ones that nobody has reviewed.
    pub unreviewed: u64,
    /// When the oldest of these happened.
    pub oldest_unreviewed: Option<Timestamp>,
    /// How many there are of these by organisation, "" for none.
    pub unreviewed_by_organization: BTreeMap<String, u64>,
    /// The newest of these by id, as many as were asked for.
    pub listed: Vec<Event>,
    /// When somebody was last turned away for asking too often.
    pub newest_rate_limit: Option<Timestamp>,
}

/// All reviews that the ledger has; only what one of `keys` signed counts.
///
/// # Errors
/// If the database fails.
pub async fn all(
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Vec<Noted>, StateError> {
    let (mut reviews, mut after) = (Vec::new(), 0);
    loop {
        let act = Act::ReviewEvents.name();
        let page = store.ledger_of_act(act, after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(reviews);
        };
        after = last.number;
        for row in &page {
            let Ok(entry) = ledger::open(row, origin, keys) else {
                continue;
            };
            if let Ok(review) = serde_json::from_value(entry.detail) {
                reviews.push(Noted {
                    entry: entry.number,
                    at: entry.at,
                    review,
                });
            }
        }
    }
}

/// Looks through the events, of one organisation or of all, and lists up to `listed` severe ones that none of `reviews` covers.
/// Blocking.
///
/// # Errors
/// If the database cannot be read, or it is to stop.
pub fn survey(
    url: &DatabaseUrl,
    organization: Option<i64>,
    reviews: &[Noted],
    listed: usize,
    progress: &Progress,
) -> Result<Survey, ReviewError> {
    let mut survey = Survey::default();
    each(url, organization, progress, |event| {
        survey.events += 1;
        if event.is_rate_limit() {
            survey.newest_rate_limit = survey.newest_rate_limit.max(event.timestamp);
        }
        if !event.is_severe() {
            return;
        }
        survey.severe += 1;
        if reviews.iter().any(|noted| noted.review.covers(&event)) {
            return;
        }
        survey.unreviewed += 1;
        let organization = event
            .organization_id
            .map_or_else(String::new, |id| id.to_string());
        *survey
            .unreviewed_by_organization
            .entry(organization)
            .or_default() += 1;
        survey.oldest_unreviewed = match (survey.oldest_unreviewed, event.timestamp) {
            (Some(oldest), Some(time)) => Some(oldest.min(time)),
            (oldest, time) => oldest.or(time),
        };
        survey.listed.push(event);
        // The newest are kept; twice as many are let in, so that few are moved.
        if survey.listed.len() > listed.saturating_mul(2) {
            survey.listed.drain(..survey.listed.len() - listed);
        }
    })?;
    let over = survey.listed.len().saturating_sub(listed);
    survey.listed.drain(..over);
    survey.listed.reverse();
    Ok(survey)
}

/// What somebody says they reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReview {
    /// Only events of this organisation; of all where there is none.
    pub organization_id: Option<i64>,
    /// Up to when.
    pub until: Timestamp,
    /// By whom.
    pub by: String,
    /// What was found.
    pub note: String,
}

/// Finds out what a review covers. Blocking.
///
/// # Errors
/// If it lies in the future, says nothing, names an organisation that there is not, or the database cannot be read.
pub fn prepare(
    url: &DatabaseUrl,
    new: &NewReview,
    now: Timestamp,
    progress: &Progress,
) -> Result<Review, ReviewError> {
    if new.until > now {
        return Err(ReviewError::Refused(format!(
            "nobody can have reviewed events up to {}, which is yet to come",
            new.until
        )));
    }
    let text = |name: &str, text: &str, max: usize| {
        let text = text.trim();
        match text.chars().count() {
            0 => Err(ReviewError::Refused(format!("a review needs {name}"))),
            count if count > max => Err(ReviewError::Refused(format!(
                "{name} of a review has at most {max} characters"
            ))),
            _ => Ok(text.to_owned()),
        }
    };
    let mut review = Review {
        organization_id: new.organization_id,
        until: new.until,
        by: text("the name of whoever made it", &new.by, MAX_BY_CHARS)?,
        note: text("a note", &new.note, MAX_NOTE_CHARS)?,
        events: 0,
        severe: 0,
        newest_event_id: 0,
    };
    if let Some(id) = new.organization_id
        && !is_known(url, id)?
    {
        return Err(ReviewError::Refused(format!(
            "there is no organisation {id}"
        )));
    }
    each(url, new.organization_id, progress, |event| {
        review.newest_event_id = review.newest_event_id.max(event.id);
        if event.timestamp.is_some_and(|time| time <= review.until) {
            review.events += 1;
            review.severe += u64::from(event.is_severe());
        }
    })?;
    Ok(review)
}

/// Notes a review in the ledger, and answers its entry's number.
///
/// # Errors
/// If the database fails, or the entry cannot be signed.
pub async fn note(
    store: &Store,
    scribe: &Scribe<'_>,
    review: &Review,
) -> Result<Noted, ReviewError> {
    let detail = serde_json::to_value(review)
        .map_err(|error| ReviewError::Refused(format!("the review cannot be written: {error}")))?;
    let mut tx = store.begin().await?;
    let entry = scribe.append(&mut tx, Act::ReviewEvents, detail).await?;
    tx.commit("event review").await?;
    Ok(Noted {
        entry,
        at: scribe.now,
        review: review.clone(),
    })
}

fn is_known(url: &DatabaseUrl, id: i64) -> Result<bool, ReadError> {
    let mut tables = Tables::open(url, &["organization"])?;
    let Some(mut schema) = tables.schemas().first().cloned() else {
        return Ok(false);
    };
    schema.columns.retain(|column| column.name == "id");
    tables.begin(&schema, Part::Holding("id", id), None)?;
    Ok(!tables.next_page()?.is_empty())
}

/// Hands events to `visit` in order of id.
fn each(
    url: &DatabaseUrl,
    organization: Option<i64>,
    progress: &Progress,
    mut visit: impl FnMut(Event),
) -> Result<(), ReviewError> {
    let mut tables = Tables::open(url, &[TABLE])?;
    // None is not the same as none that are severe.
    let schema = tables.schemas().first().cloned();
    let mut schema = schema.ok_or(ReviewError::NoTable)?;
    schema
        .columns
        .retain(|column| COLUMNS.contains(&column.name.as_str()));
    let part = organization.map_or(Part::All, |id| Part::Organization(Some(id)));
    tables.begin(&schema, part, None)?;
    loop {
        if progress.is_stopped() {
            return Err(ReviewError::Interrupted);
        }
        let page = tables.next_page()?;
        if page.is_empty() {
            return Ok(());
        }
        progress.add(page.len() as u64, 0);
        for record in &page {
            visit(event(&schema, record));
        }
    }
}

fn event(schema: &TableSchema, record: &Record) -> Event {
    let cell = |name: &str| {
        let at = schema.columns.iter().position(|column| column.name == name);
        at.and_then(|at| record.cells.get(at))
    };
    let text = |name: &str| match cell(name) {
        Some(Cell::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let time = text("timestamp").and_then(|text| parse_utc(&text));
    Event {
        id: record.id,
        organization_id: cell("organization_id").and_then(Cell::integer),
        timestamp: time.and_then(|civil| jiff::tz::Offset::UTC.to_timestamp(civil).ok()),
        event_type: text("event_type").unwrap_or_default(),
        severity: text("severity").unwrap_or_default(),
        security_layer: text("security_layer"),
        reason: text("reason").unwrap_or_default(),
    }
}

//! What controls judge by, and how it was asked for.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::model::{Obtained, Origin, Period, Window};
use crate::{
    checklist::Checklist, keys::report::KeyReport, ledger, reviews::Survey, trail::keys::KeyRing,
    verify,
};

/// Rows, and the question that they answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// How they were obtained.
    pub obtained: Obtained,
}

impl Answer {
    /// A whole number of the first row; 0 where SQL has a sum of nothing.
    #[must_use]
    pub fn number(&self, column: usize) -> i64 {
        let cell = self.rows.first().and_then(|row| row.get(column));
        cell.and_then(Value::as_i64).unwrap_or(0)
    }

    /// A value of the first row; null where there is none.
    #[must_use]
    pub fn value(&self, column: usize) -> Value {
        let cell = self.rows.first().and_then(|row| row.get(column));
        cell.cloned().unwrap_or(Value::Null)
    }
}

/// What is known, or why it is not.
pub type Known<T> = Result<T, String>;

/// A run that a schedule wanted in the period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The schedule.
    pub schedule: String,
    /// When it was to run.
    pub fire_time: Timestamp,
    /// The organisations that it looks at; all where there are none.
    pub organizations: Vec<i64>,
}

impl Wanted {
    /// Whether it looks at this organisation.
    #[must_use]
    pub fn is_about(&self, organization_id: i64) -> bool {
        self.organizations.is_empty() || self.organizations.contains(&organization_id)
    }
}

/// What the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A drill that passed may be so old at the end of the period.
    pub drill_max_age_days: u32,
    /// Entries have to be kept for so long.
    pub retention_days: u32,
    /// A signing key may be so old.
    pub secret_max_age_days: u32,
    /// Rows that a table lists.
    pub max_rows: usize,
}

/// A key that signs the trail, as far as a report may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name.
    pub id: String,
    /// What is wrong with it.
    pub weakness: Option<String>,
    /// Since when it signs, if the configuration says so.
    pub since: Option<Timestamp>,
    /// Until when it signed, if the configuration says so.
    pub until: Option<Timestamp>,
}

impl SigningKey {
    /// Those of a ring.
    #[must_use]
    pub fn of(ring: &KeyRing) -> Vec<Self> {
        let time = |micros: Option<i64>| micros.and_then(|it| Timestamp::from_microsecond(it).ok());
        let key = |key: &crate::trail::keys::Key| {
            let (since, until) = key.validity();
            Self {
                id: key.id().to_owned(),
                weakness: key.weakness().map(|weakness| weakness.to_string()),
                since: time(since),
                until: time(until),
            }
        };
        ring.keys().iter().map(key).collect()
    }
}

/// An entry of the ledger that was authenticated.
pub type LedgerEntry = ledger::Entry;

/// All that controls judge by.
pub struct Facts {
    /// Whom it is about.
    pub organization_id: i64,
    /// What it covers.
    pub period: Period,
    /// When it was asked.
    pub now: Timestamp,
    /// What the configuration says.
    pub policy: Policy,
    /// What verifying the organisation's whole trail came to.
    pub verified: Known<verify::report::Report>,
    /// Where the trail lies, and how much of it is in the period.
    pub population: Known<Answer>,
    /// Entries by day of the period: day, entries, verified claims.
    pub days: Known<Answer>,
    /// Runs that schedules wanted.
    pub wanted: Known<Vec<Wanted>>,
    /// What verifications of the period came to.
    pub runs: Known<Answer>,
    /// What schedules decided in the period, and jobs that did not come to a verdict.
    pub fires: Known<Answer>,
    /// When each schedule first decided anything that is still known.
    pub first_fires: Known<Answer>,
    /// Anchors of the period.
    pub anchors: Known<Answer>,
    /// Segments of the organisation's trail in the archive.
    pub segments: Known<Answer>,
    /// The newest backup.
    pub backup: Known<Answer>,
    /// Locks as the object store told them just now; none where no archive is configured.
    pub lock: Known<Option<Answer>>,
    /// Drills up to the end of the period, the newest first.
    pub drills: Known<Vec<LedgerEntry>>,
    /// Configurations that workers began with in the period.
    pub configurations: Known<Vec<LedgerEntry>>,
    /// What verifying the ledger came to.
    pub ledger: Known<ledger::Report>,
    /// Users of the organisation.
    pub users: Known<Answer>,
    /// Entries of the period by user.
    pub activity: Known<Answer>,
    /// API keys.
    pub keys: Known<KeyReport>,
    /// Security events of the period by type, severity, layer and week's Monday.
    pub events: Known<Answer>,
    /// Security events against the reviews of them.
    pub reviewed: Known<Survey>,
    /// The items of QWED's checklist.
    pub checklist: Known<Checklist>,
    /// The organisation's quota.
    pub quota: Known<Answer>,
    /// The keys that sign the trail.
    pub signing_keys: Vec<SigningKey>,
    /// Requests for erasure that were open in the period.
    pub erasures: Known<Answer>,
    /// Legal holds of the organisation.
    pub holds: Known<Answer>,
    /// Schedules that are paused.
    pub paused: Known<Answer>,
}

impl Facts {
    /// The period as questions name it.
    #[must_use]
    pub fn window(&self) -> Window {
        Window {
            from: self.period.start,
            to: self.period.end,
        }
    }

    /// How something was obtained that no statement was asked for.
    #[must_use]
    pub fn obtained(&self, origin: Origin, how: &str, rows: u64) -> Obtained {
        Obtained {
            origin,
            query: how.to_owned(),
            parameters: Vec::new(),
            window: None,
            rows,
            at: self.now,
        }
    }
}

/// `2026-11-23T12:00:00.25Z`, from microseconds: RFC 3339, as exact as it is known, for values that machines read too.
#[must_use]
pub fn time_text(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| "unknown".to_owned(), |at| at.to_string())
}

/// `2026-11-23 12:00 UTC`, for sentences.
#[must_use]
pub fn moment_text(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}

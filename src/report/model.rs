//! A report as data: what every rendering shows, and nothing that one of them computes for itself.
//!
//! A [`Control`] is a question about a period, its answer, what was measured to get there and how it was measured. What could
//! not be measured is [`Status::Unknown`]. The names of JSON members are a format that others read: members may be added.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::criteria::Criterion;

/// What a report says it is.
pub const REPORT_TYPE: &str = "SOC 2 evidence";
/// The version of this shape; the first number counts up when members change their meaning.
pub const REPORT_VERSION: &str = "1.0";
/// What a report is not.
pub const DISCLAIMER: &str = "Computed by trailkeeper from QWED's database and from its own records, as each control says. It is evidence \
     for criteria and neither an opinion on them nor an attestation: that is for an auditor.";

/// The answer to a control's question.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was measured, and is not as it has to be.
    Fail,
    /// It could not be measured, or not all of it.
    Unknown,
    /// It was measured, and is as it has to be.
    Pass,
    /// There is nothing in this deployment that it asks about.
    NotApplicable,
}

impl Status {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Fail, Self::Unknown, Self::Pass, Self::NotApplicable];

    /// As JSON spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Pass => "pass",
            Self::NotApplicable => "not_applicable",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What QWED's compliance guide shows, in its spelling: `PASS`, `FAIL`, `UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GuideStatus {
    /// See [`Status::Pass`].
    Pass,
    /// See [`Status::Fail`].
    Fail,
    /// See [`Status::Unknown`].
    Unknown,
    /// See [`Status::NotApplicable`].
    NotApplicable,
}

impl From<Status> for GuideStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pass => Self::Pass,
            Status::Fail => Self::Fail,
            Status::Unknown => Self::Unknown,
            Status::NotApplicable => Self::NotApplicable,
        }
    }
}

/// A SOC 2 evidence report on one organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// A UUID; renderings and packs name it.
    pub id: String,
    /// [`REPORT_TYPE`].
    pub report_type: String,
    /// [`REPORT_VERSION`].
    pub report_version: String,
    /// [`DISCLAIMER`].
    pub disclaimer: String,
    /// Whom it is about.
    pub organization: Organization,
    /// What it covers.
    pub period: Period,
    /// When it was made.
    #[schemars(with = "String")]
    pub generated_at: Timestamp,
    /// The members that QWED's guide shows: `audit_trail_complete`, `access_logs_retained` and the others.
    pub compliance_status: BTreeMap<String, GuideStatus>,
    /// How many controls have which status.
    pub summary: Summary,
    /// The controls, in a fixed order.
    pub controls: Vec<Control>,
    /// What made it.
    pub provenance: Provenance,
}

/// An organisation of QWED's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// Its id.
    pub id: i64,
    /// The name that it is shown by, if QWED knows it.
    pub name: Option<String>,
    /// QWED's tier.
    pub tier: Option<String>,
    /// Whether it is in use; absent where QWED does not know the organisation.
    pub is_active: Option<bool>,
}

/// From `start` on, up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// The first instant that counts.
    #[schemars(with = "String")]
    pub start: Timestamp,
    /// The first that does not.
    #[schemars(with = "String")]
    pub end: Timestamp,
    /// Days between, rounded.
    pub days: i64,
}

/// How many controls have which status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "as in Status")]
pub struct Summary {
    pub pass: u64,
    pub fail: u64,
    pub unknown: u64,
    pub not_applicable: u64,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(controls: &[Control]) -> Self {
        let count = |status| controls.iter().filter(|it| it.status == status).count() as u64;
        Self {
            pass: count(Status::Pass),
            fail: count(Status::Fail),
            unknown: count(Status::Unknown),
            not_applicable: count(Status::NotApplicable),
        }
    }
}

/// A question, its answer, and what the answer rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// A name that stays: `trail_integrity`.
    pub id: String,
    /// In words.
    pub title: String,
    /// The criteria that it is evidence for. It does not say that they are met.
    pub evidence_for: Vec<Criterion>,
    /// What passes.
    pub requirement: String,
    /// The answer.
    pub status: Status,
    /// Why that is the answer, in a sentence or two.
    pub reason: String,
    /// What to do; empty where nothing is.
    pub remedy: String,
    /// What it does not show.
    pub limits: String,
    /// What was measured, in the order to show it.
    pub measured: Vec<Measure>,
    /// Populations and lists, in the order to show them.
    pub tables: Vec<Table>,
    /// What to draw.
    pub charts: Vec<Chart>,
    /// How it was obtained.
    pub obtained: Vec<Obtained>,
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// A name that stays: `entries_in_period`.
    pub name: String,
    /// In words.
    pub label: String,
    /// A number, text, true or false; null where it is not known.
    pub value: Value,
    /// `days`, `bytes`, `entries`; none for what has no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A list of rows. It may be cut; `rows_total` is exact all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// A name that stays, and the name of its CSV file: `runs`.
    pub name: String,
    /// Its caption.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of as many values: numbers, text, true, false or null.
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are, listed here or not.
    pub rows_total: u64,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chart {
    /// A name that stays.
    pub name: String,
    /// Its caption, which says what is seen without seeing it.
    pub title: String,
    /// How to draw it.
    pub kind: ChartKind,
    /// What the values are.
    pub unit: String,
    /// Labels of the horizontal axis: dates of days or of weeks' Mondays, or names.
    pub labels: Vec<String>,
    /// Values by series, as many as labels each.
    pub series: Vec<Series>,
}

/// How to draw a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Bars, the series of one label on top of each other.
    StackedBars,
    /// Bars beside each other.
    Bars,
}

/// Values of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its values.
    pub values: Vec<f64>,
}

/// Where values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// QWED's database.
    Qwed,
    /// trailkeeper's own database.
    State,
    /// The configuration and its keys.
    Configuration,
    /// A verification of the trail, made for this report.
    Verification,
    /// The object store of the archive.
    Archive,
}

/// How values were obtained, such that somebody else can obtain them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Obtained {
    /// From where.
    pub origin: Origin,
    /// The SQL statement, or what was done in words.
    pub query: String,
    /// The statement's parameters, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Value>,
    /// The window that it asks about, in UTC; none where it asks about the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many rows answered.
    pub rows: u64,
    /// When it was asked.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// From `from` on, up to and without `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Where it begins.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// Where it ends.
    #[schemars(with = "String")]
    pub to: Timestamp,
}

/// What made a report, of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// `trailkeeper`.
    pub program: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the configuration in effect, secrets left out, in hexadecimal.
    pub configuration_sha256: String,
    /// QWED's database, without its password.
    pub qwed_database: String,
    /// `sqlite` or `postgresql`.
    pub qwed_dialect: String,
    /// What the server says it is, if it says so.
    pub qwed_server: Option<String>,
    /// Our own database, without its password.
    pub state_database: String,
    /// The origin of anchors and of the ledger.
    pub anchor_origin: String,
    /// The public key that signs anchors, as a verifier line; none where no key is configured.
    pub anchor_key: Option<String>,
}

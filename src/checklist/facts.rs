//! What the checklist goes by: plain facts, and why some are missing.

use jiff::Timestamp;

use crate::{
    keys::report::KeyCounts,
    reviews::{Noted, Survey},
    trail::keys::Weakness,
};

/// A fact, or why it is not known, in a sentence.
pub type Known<T> = Result<T, String>;

/// Everything that the checklist goes by.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// Which organisation it is about; all where there is none.
    pub organization_id: Option<i64>,
    /// QWED's organisations.
    pub organizations: Known<Vec<OrganizationFact>>,
    /// The newest verdicts, those on entries without an organisation and on anchors among them.
    pub verdicts: Known<Vec<VerdictFact>>,
    /// QWED's API keys, counted.
    pub api_keys: Known<KeyCounts>,
    /// For how many days a key may be used.
    pub max_key_age_days: u32,
    /// Reports that were made, the newest first.
    pub reports: Known<Vec<Ran>>,
    /// The audit keys.
    pub audit_keys: Known<Vec<KeyFact>>,
    /// The newest export of what is held about somebody.
    pub export: Known<Option<Ran>>,
    /// When such an export last failed for good.
    pub failed_export: Known<Option<Ran>>,
    /// Security events.
    pub events: Known<Events>,
}

impl Facts {
    /// The organisation that was asked about, if QWED is known not to have it.
    #[must_use]
    pub fn unknown_organization(&self) -> Option<i64> {
        let found = self.organizations.as_ref().ok()?;
        let is_there = |id: &i64| found.iter().any(|it| it.id == *id);
        self.organization_id.filter(|id| !is_there(id))
    }
}

/// One of QWED's organisations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationFact {
    /// Its id.
    pub id: i64,
    /// Whether it is in use.
    pub is_active: bool,
    /// Whether it has entries in the audit trail.
    pub has_entries: bool,
    /// How often it may ask, if that is set.
    pub quota: Option<Quota>,
}

/// How often an organisation may ask; what is no number is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In a day.
    pub per_day: Option<i64>,
    /// In a minute.
    pub per_minute: Option<i64>,
    /// At a time.
    pub concurrent: Option<i64>,
}

impl Quota {
    /// Whether it limits at all: each number is set, and above zero.
    #[must_use]
    pub fn limits(&self) -> bool {
        [self.per_day, self.per_minute, self.concurrent]
            .iter()
            .all(|limit| limit.is_some_and(|limit| limit > 0))
    }
}

/// The newest verdict on a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictFact {
    /// The organisation's id, or what else it is on.
    pub organization: String,
    /// `intact`, `incomplete` or `tampered`.
    pub verdict: String,
    /// When it was found.
    pub checked_at: Timestamp,
}

/// Something that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The job, or the ledger's entry.
    pub reference: String,
    /// The organisation that it was about; all where there is none.
    pub organization_id: Option<i64>,
    /// When it ended.
    pub at: Timestamp,
}

/// An audit key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFact {
    /// Its name in reports.
    pub id: String,
    /// Why it proves less than it should.
    pub weakness: Option<Weakness>,
    /// Since when it is in use, if that is known.
    pub since: Option<Timestamp>,
    /// Whether QWED may sign with it now.
    pub is_in_use: bool,
    /// Whether others than its owner and group can read its file.
    pub is_exposed: bool,
}

/// Security events and their reviews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// What there is of events.
    pub survey: Survey,
    /// The newest review that covers the organisations in question.
    pub newest_review: Option<Noted>,
}

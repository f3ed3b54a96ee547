//! Floor 2: the seven items of the checklist in QWED's compliance guide, each computed.
//!
//! ```text
//! our database, QWED's database, the key ring ──▶ gather: Facts ──▶ take: Checklist (pure)
//! ```
//!
//! Nothing passes that was not computed. What is not known, because nobody did it yet or it could not be looked up, is
//! `unknown`, never `pass`. What the items cannot show stands in `docs/evidence.md`.

mod facts;
mod gather;
mod items;
#[cfg(test)]
mod items_tests;
mod records;
mod secrets;
mod watching;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    facts::{Events, Facts, KeyFact, Known, OrganizationFact, Quota, Ran, VerdictFact},
    gather::{Sources, gather},
    records::VERIFIED_HOURS,
};

/// How an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is fulfilled, by what was measured.
    Pass,
    /// It is not.
    Fail,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Unknown];

    /// As documents spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// An item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its name in documents and metrics.
    pub id: String,
    /// What it is called in QWED's guide.
    pub title: String,
    /// How it stands.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What was measured.
    pub evidence: Value,
    /// What to do; none where it passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The checklist as it was filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checklist {
    /// When.
    pub taken_at: Timestamp,
    /// Of which organisation; of all where there is none.
    pub organization_id: Option<i64>,
    /// The worst of the items: `fail`, then `unknown`.
    pub status: Status,
    /// All seven.
    pub items: Vec<Item>,
}

/// The names of all items, in their order.
pub const ITEMS: [&str; 7] = [
    "audit_logs_verified",
    "api_keys_rotated",
    "soc2_report_generated",
    "secret_key_secured",
    "gdpr_export_tested",
    "security_events_reviewed",
    "rate_limiting_active",
];

/// Fills in the checklist.
#[must_use]
pub fn take(facts: &Facts) -> Checklist {
    let items = items::all(facts);
    let has = |status| items.iter().any(|item| item.status == status);
    let status = if has(Status::Fail) {
        Status::Fail
    } else if has(Status::Unknown) {
        Status::Unknown
    } else {
        Status::Pass
    };
    Checklist {
        taken_at: facts.now,
        organization_id: facts.organization_id,
        status,
        items,
    }
}

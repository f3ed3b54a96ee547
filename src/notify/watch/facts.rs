//! What alerts are judged by. Of each part it is known that it could be read: what could not is judged neither way.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What the database says. Times are in microseconds since 1970, and 0 where something never was.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// When they were read.
    pub now: Timestamp,
    /// When the state database was made.
    pub made_at: Option<i64>,
    /// The newest verdict on each trail.
    pub verdicts: Option<Vec<Verdict>>,
    /// Verifications of everything.
    pub full_check: Option<FullCheck>,
    /// When the newest anchor was made.
    pub anchored_at: Option<i64>,
    /// The newest backup.
    pub backup: Option<Backup>,
    /// The newest drill.
    pub drill: Option<Drill>,
    /// Jobs that failed for good, by kind.
    pub dead: Option<BTreeMap<String, i64>>,
    /// For how many seconds the oldest job that is due has been waiting.
    pub queue_seconds: Option<i64>,
    /// For how many seconds the oldest event has been waiting to be sent.
    pub outbox_seconds: Option<i64>,
    /// Requests for erasure that are not ended.
    pub erasures: Option<Erasures>,
    /// API keys that are due for rotation, by organisation.
    pub overdue_keys: Option<BTreeMap<String, i64>>,
    /// Items that the newest checklist of all organisations says are not fulfilled.
    pub failing_items: Option<Vec<String>>,
}

/// A verdict on a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The organisation's id; empty for entries that belong to none, `anchors` for the anchors.
    pub organization: String,
    /// `intact`, `incomplete` or `tampered`.
    pub verdict: String,
    /// Since when.
    pub since: i64,
    /// Whether the trail was found intact within the last 14 days; asked for of what is incomplete alone.
    pub was_intact: bool,
}

/// Verifications of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FullCheck {
    /// When the last one had its turn.
    pub last_at: i64,
    /// When those entries were last checked in full that were not for longest.
    pub oldest_at: i64,
}

/// The newest backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backup {
    /// When it was made that the store is known to have.
    pub stored_at: i64,
    /// Its objects that are not locked as configured.
    pub not_locked: i64,
}

/// The newest drill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drill {
    /// When it ended.
    pub at: i64,
    /// Whether it passed.
    pub passed: bool,
}

/// Requests for erasure that are not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erasures {
    /// When the first has to be done by.
    pub first_due_at: Option<i64>,
    /// How many are late.
    pub overdue: i64,
    /// How many wait for an approval.
    pub awaiting_approval: i64,
}

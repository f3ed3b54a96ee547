//! What QWED's `verify-trail` answers, field for field.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::isoformat;
use crate::{qwed::Period, trail::hash::to_hex, verify::walk::Walk};

/// QWED's words on what its check covers.
const SCOPE: &str = "Signature and hash-chain check of the audit entries recorded in the period. It does not show that every request \
                     was recorded.";

/// What a trail is, to QWED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrailStatus {
    /// There are entries, and all of them check out.
    Verified,
    /// Some do not.
    NotVerified,
    /// There are none.
    NoEntries,
}

/// QWED's answer on a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are QWED's")]
pub struct TrailAnswer {
    pub status: TrailStatus,
    pub proof_ref: Option<String>,
    pub evidence: Option<Evidence>,
    pub scope: &'static str,
    pub total_entries: u64,
    pub verified_entries: u64,
    pub failed_entries: u64,
    pub first_failed_entry_id: Option<i64>,
    pub legacy_entries: u64,
    pub errors: Vec<String>,
    pub total_errors: u64,
    pub errors_truncated: bool,
}

/// What a verified trail was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are QWED's")]
pub struct Evidence {
    pub organization_id: i64,
    pub period_start: Option<String>,
    pub period_end: Option<String>,
    pub first_entry_id: i64,
    pub last_entry_id: i64,
    pub entries: u64,
    pub head_hash: String,
}

impl TrailAnswer {
    /// The answer after a walk.
    #[must_use]
    pub fn new(organization_id: i64, period: Period, walk: Walk) -> Self {
        let is_valid = walk.is_valid();
        let evidence = match (walk.first_id, walk.last_id, walk.head_hash) {
            (Some(first_entry_id), Some(last_entry_id), Some(head_hash))
                if is_valid && !head_hash.is_empty() =>
            {
                Some(Evidence {
                    organization_id,
                    period_start: period.from.map(isoformat),
                    period_end: period.to.map(isoformat),
                    first_entry_id,
                    last_entry_id,
                    entries: walk.total,
                    head_hash,
                })
            }
            _ => None,
        };
        let status = match (walk.total, &evidence) {
            (0, _) => TrailStatus::NoEntries,
            (_, Some(_)) => TrailStatus::Verified,
            (_, None) => TrailStatus::NotVerified,
        };
        Self {
            status,
            proof_ref: evidence.as_ref().map(Evidence::proof_ref),
            evidence,
            scope: SCOPE,
            total_entries: walk.total,
            verified_entries: walk.verified,
            failed_entries: walk.failed,
            first_failed_entry_id: walk.first_failed_id,
            legacy_entries: walk.legacy,
            errors_truncated: walk.total_errors > walk.errors.len() as u64,
            errors: walk.errors,
            total_errors: walk.total_errors,
        }
    }
}

impl Evidence {
    /// The SHA-256 of what `json.dumps(evidence, sort_keys=True)` writes in Python. All texts in it are times and a hash that
    /// was found valid, so that nothing needs to be escaped.
    #[must_use]
    pub fn proof_ref(&self) -> String {
        let time = |time: &Option<String>| match time {
            Some(time) => format!("\"{time}\""),
            None => "null".to_owned(),
        };
        let json = format!(
            "{{\"entries\": {}, \"first_entry_id\": {}, \"head_hash\": \"{}\", \"last_entry_id\": {}, \
             \"organization_id\": {}, \"period_end\": {}, \"period_start\": {}}}",
            self.entries,
            self.first_entry_id,
            self.head_hash,
            self.last_entry_id,
            self.organization_id,
            time(&self.period_end),
            time(&self.period_start),
        );
        let hex = to_hex(&Sha256::digest(json).into());
        format!("sha256:{}", String::from_utf8_lossy(&hex))
    }
}

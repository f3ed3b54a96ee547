//! What a check of the keys answers, in the shape of its JSON document.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Policy, listing::Listing};
use crate::qwed::{Dialect, api_keys::ApiKey};

/// What an active key is, the worst first. Where several hold, the first of them is the key's status; expiry, dormancy and
/// the like are told as attributes too, so none is lost. A known excess of age comes before expiry, since keys that QWED issues
/// for 90 days expire as they become overdue; expiry before an unknown age, since revoking settles both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Older than the policy allows.
    Overdue,
    /// Past its expiry, so that QWED refuses it, and still marked active.
    ExpiredButActive,
    /// Nothing tells its age; counts as never rotated.
    NeverRotatedUnknownAge,
    /// Young enough, and not for long.
    DueSoon,
    /// Young enough.
    Ok,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overdue => "overdue",
            Self::ExpiredButActive => "expired_but_active",
            Self::NeverRotatedUnknownAge => "never_rotated_unknown_age",
            Self::DueSoon => "due_soon",
            Self::Ok => "ok",
        })
    }
}

/// An active key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFinding {
    /// The key's id.
    pub key_id: i64,
    /// QWED's masked preview, such as `qwed_live_****AAAA`; never the key or its hash.
    pub preview: String,
    /// Whose it is.
    pub organization_id: Option<i64>,
    /// The user whom it was issued to.
    pub owner_id: Option<i64>,
    /// Since when it exists, if that can be read.
    pub created_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When QWED stops accepting it.
    pub expires_at: Option<Timestamp>,
    /// Its age in whole days, rounded down.
    pub age_days: Option<i64>,
    /// The age in days that it may not pass.
    pub threshold_days: u32,
    /// The last instant at which it is not overdue.
    pub due_at: Option<Timestamp>,
    /// What it is.
    pub status: Status,
    /// Whether it was never used; never true where QWED does not record use.
    pub never_used: bool,
    /// Whether it was used, but not for long.
    pub dormant: bool,
    /// Whether it is past its expiry.
    pub expired: bool,
    /// Whether it claims to have been created in the future.
    pub created_in_future: bool,
    /// QWED's flag as it stands after this run; absent where it is NULL or QWED has no such column.
    pub rotation_required: Option<bool>,
    /// Why it has this status, in words.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// Why a key is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inactivity {
    /// It has a time of revocation; QWED refuses it, whatever `is_active` says.
    Revoked,
    /// It is not marked active.
    Inactive,
}

/// A key that QWED does not accept any more, and whose age does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in KeyFinding")]
pub struct InactiveKey {
    pub key_id: i64,
    pub preview: String,
    pub organization_id: Option<i64>,
    pub owner_id: Option<i64>,
    pub created_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub state: Inactivity,
}

/// How many keys there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyCounts {
    /// Active keys; the next five add up to it.
    pub active: u64,
    /// Of status `overdue`.
    pub overdue: u64,
    /// Of status `expired_but_active`.
    pub expired_but_active: u64,
    /// Of status `never_rotated_unknown_age`.
    pub never_rotated_unknown_age: u64,
    /// Of status `due_soon`.
    pub due_soon: u64,
    /// Of status `ok`.
    pub ok: u64,
    /// Active keys that were never used.
    pub never_used: u64,
    /// Active keys that have not been used for long.
    pub dormant: u64,
    /// Active keys with QWED's flag set.
    pub rotation_required: u64,
    /// Keys with a time of revocation.
    pub revoked: u64,
    /// Keys not marked active, without a time of revocation.
    pub inactive: u64,
}

impl KeyCounts {
    fn count(&mut self, finding: &KeyFinding) {
        self.active += 1;
        *match finding.status {
            Status::Overdue => &mut self.overdue,
            Status::ExpiredButActive => &mut self.expired_but_active,
            Status::NeverRotatedUnknownAge => &mut self.never_rotated_unknown_age,
            Status::DueSoon => &mut self.due_soon,
            Status::Ok => &mut self.ok,
        } += 1;
        self.never_used += u64::from(finding.never_used);
        self.dormant += u64::from(finding.dormant);
        self.rotation_required += u64::from(finding.rotation_required == Some(true));
    }

    fn count_inactive(&mut self, state: Inactivity) {
        *match state {
            Inactivity::Revoked => &mut self.revoked,
            Inactivity::Inactive => &mut self.inactive,
        } += 1;
    }
}

/// The keys of one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationKeys {
    /// Which; absent for keys that belong to none.
    pub organization_id: Option<i64>,
    /// Its keys.
    #[serde(flatten)]
    pub counts: KeyCounts,
}

/// What became of QWED's flag on the overdue keys. The three numbers add up to those.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flagging {
    /// Whether flags were to be set.
    pub requested: bool,
    /// Set by this run.
    pub flagged_now: u64,
    /// Which those are; for the ledger, as findings may be left out of the document.
    #[serde(skip)]
    pub flagged_ids: Vec<i64>,
    /// Set before.
    pub already_flagged: u64,
    /// Overdue and not flagged.
    pub not_flagged: u64,
    /// Why some could not be flagged, and what to do.
    pub problem: Option<String>,
}

/// The outcome for all keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// The time that ages are told for.
    pub checked_at: Timestamp,
    /// The kind of database.
    pub database: Dialect,
    /// What was expected.
    pub policy: Policy,
    /// All keys together.
    pub totals: KeyCounts,
    /// By organisation, in order of id: each that has keys or was asked for.
    pub organizations: Vec<OrganizationKeys>,
    /// Active keys: by status, the worst first, then the oldest.
    pub findings: Vec<KeyFinding>,
    /// Active keys that are counted and not listed.
    pub findings_left_out: u64,
    /// Inactive and revoked keys, the oldest first.
    pub inactive: Vec<InactiveKey>,
    /// Inactive keys that are counted and not listed.
    pub inactive_left_out: u64,
    /// What became of QWED's flag.
    pub flagging: Flagging,
    /// Columns of QWED 8.0.0 that this database lacks; what they would tell is taken as not set.
    pub missing_columns: Vec<String>,
}

/// A number and what it counts.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Collects a report. Memory: the listed keys, and a hundred bytes for each organisation.
pub(super) struct Builder {
    policy: Policy,
    now: Timestamp,
    totals: KeyCounts,
    organizations: BTreeMap<Option<i64>, KeyCounts>,
    findings: Listing<(Status, Option<Timestamp>, i64), KeyFinding>,
    inactive: Listing<(Option<Timestamp>, i64), InactiveKey>,
}

impl Builder {
    pub(super) fn new(policy: Policy, now: Timestamp, organizations: &[i64]) -> Self {
        Self {
            policy,
            now,
            totals: KeyCounts::default(),
            organizations: organizations
                .iter()
                .map(|&id| (Some(id), KeyCounts::default()))
                .collect(),
            findings: Listing::new(policy.max_listed),
            inactive: Listing::new(policy.max_listed),
        }
    }

    pub(super) fn active(&mut self, finding: KeyFinding) {
        self.totals.count(&finding);
        let organization = self.organizations.entry(finding.organization_id);
        organization.or_default().count(&finding);
        let rank = (finding.status, finding.created_at, finding.key_id);
        self.findings.insert(rank, finding);
    }

    pub(super) fn inactive(&mut self, key: &ApiKey) {
        let state = match key.revoked_at {
            crate::qwed::api_keys::Moment::Missing => Inactivity::Inactive,
            _ => Inactivity::Revoked,
        };
        self.totals.count_inactive(state);
        let organization = self.organizations.entry(key.organization_id);
        organization.or_default().count_inactive(state);
        let created_at = key.created_at.timestamp();
        self.inactive.insert(
            (created_at, key.id),
            InactiveKey {
                key_id: key.id,
                preview: key.preview.clone(),
                organization_id: key.organization_id,
                owner_id: key.user_id,
                created_at,
                last_used_at: key.last_used_at.timestamp(),
                revoked_at: key.revoked_at.timestamp(),
                state,
            },
        );
    }

    pub(super) fn finish(
        self,
        database: Dialect,
        missing_columns: &[&'static str],
        flagging: Flagging,
    ) -> KeyReport {
        let (findings, findings_left_out) = self.findings.finish();
        let (inactive, inactive_left_out) = self.inactive.finish();
        KeyReport {
            checked_at: self.now,
            database,
            policy: self.policy,
            totals: self.totals,
            organizations: self
                .organizations
                .into_iter()
                .map(|(organization_id, counts)| OrganizationKeys {
                    organization_id,
                    counts,
                })
                .collect(),
            findings,
            findings_left_out,
            inactive,
            inactive_left_out,
            flagging,
            missing_columns: missing_columns
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
        }
    }
}

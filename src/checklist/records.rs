//! Items that something has to be done for again and again: verifications, reports, exports.

use jiff::SignedDuration;
use serde_json::json;

use super::{
    Facts, Ran, Status,
    items::{Judged, days, is_older, known, list, named},
};

/// A night, and two hours for the verification itself.
pub const VERIFIED_HOURS: i64 = 26;
/// A quarter, at its longest.
const REPORT_DAYS: i64 = 92;
const EXPORT_DAYS: i64 = 92;

pub(super) fn logs_verified(facts: &Facts) -> Judged {
    known(&facts.organizations, |organizations| {
        known(&facts.verdicts, |verdicts| {
            let asked = facts.organization_id;
            let is_asked = |name: &str| match asked {
                None => true,
                // Anchors vouch for every trail.
                Some(id) => name == id.to_string() || name == "anchors",
            };
            let verdicts: Vec<_> = verdicts
                .iter()
                .filter(|it| is_asked(&it.organization))
                .collect();
            let of = |verdict: &str| -> Vec<&str> {
                let of_it = verdicts.iter().filter(|it| it.verdict == verdict);
                of_it.map(|it| it.organization.as_str()).collect()
            };
            let max_age = SignedDuration::from_hours(VERIFIED_HOURS);
            // Of an organisation that is gone the last verdict stays; that it went is what anchors tell.
            let is_there = |name: &str| match name.parse::<i64>() {
                Ok(id) => organizations.iter().any(|it| it.id == id && it.has_entries),
                Err(_) => true,
            };
            let stale: Vec<&str> = verdicts
                .iter()
                .filter(|it| is_there(&it.organization))
                .filter(|it| is_older(facts, it.checked_at, max_age))
                .map(|it| it.organization.as_str())
                .collect();
            let with_entries = organizations.iter().filter(|it| it.has_entries);
            let missing: Vec<String> = with_entries
                .map(|it| it.id.to_string())
                .filter(|id| is_asked(id))
                .filter(|id| verdicts.iter().all(|it| it.organization != *id))
                .collect();
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            let (tampered, incomplete) = (of("tampered"), of("incomplete"));
            let oldest = verdicts.iter().map(|it| it.checked_at).min();
            let evidence = json!({
                "verdicts": verdicts.len(),
                "intact": of("intact").len(),
                "tampered": named(&tampered),
                "incomplete": named(&incomplete),
                "stale": named(&stale),
                "never_verified": named(&missing),
                "oldest_verification": oldest,
                "max_age_hours": VERIFIED_HOURS,
            });
            let (status, reason) = if !tampered.is_empty() {
                let reason = format!("tampered with: {}", list(&tampered));
                (Status::Fail, reason)
            } else if !stale.is_empty() {
                let reason = format!(
                    "not verified within {VERIFIED_HOURS} hours: {}",
                    list(&stale)
                );
                (Status::Fail, reason)
            } else if !missing.is_empty() {
                (
                    Status::Unknown,
                    format!("never verified: {}", list(&missing)),
                )
            } else if !incomplete.is_empty() {
                let reason = format!("some entries cannot be verified: {}", list(&incomplete));
                (Status::Unknown, reason)
            } else if verdicts.is_empty() {
                (Status::Unknown, "nothing was verified yet".to_owned())
            } else {
                let reason = format!(
                    "all trails were verified within {VERIFIED_HOURS} hours and are intact"
                );
                (Status::Pass, reason)
            };
            (status, reason, evidence)
        })
    })
}

pub(super) fn report_generated(facts: &Facts) -> Judged {
    known(&facts.organizations, |organizations| {
        known(&facts.reports, |reports| {
            let asked = organizations
                .iter()
                .filter(|it| match facts.organization_id {
                    None => it.is_active,
                    Some(id) => it.id == id,
                });
            let (mut missing, mut old, mut newest) = (Vec::new(), Vec::new(), None);
            for organization in asked {
                let id = organization.id;
                let of_it = reports
                    .iter()
                    .find(|it| it.organization_id.is_none_or(|other| other == id));
                match of_it {
                    None => missing.push(id.to_string()),
                    Some(report) => {
                        if is_older(facts, report.at, days(REPORT_DAYS)) {
                            old.push(id.to_string());
                        }
                        newest = newest.max(Some(report.at));
                    }
                }
            }
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            let evidence = json!({
                "newest_report": newest,
                "too_old": named(&old),
                "none_known": named(&missing),
                "max_age_days": REPORT_DAYS,
            });
            let (status, reason) = if !old.is_empty() {
                let reason = format!(
                    "the newest report is older than {REPORT_DAYS} days: {}",
                    list(&old)
                );
                (Status::Fail, reason)
            } else if !missing.is_empty() {
                let reason = format!("no report is kept about: {}", list(&missing));
                (Status::Unknown, reason)
            } else if newest.is_none() {
                (Status::Unknown, "there is no organisation".to_owned())
            } else {
                let reason =
                    format!("each organisation has a report of the last {REPORT_DAYS} days");
                (Status::Pass, reason)
            };
            (status, reason, evidence)
        })
    })
}

pub(super) fn export_tested(facts: &Facts) -> Judged {
    known(&facts.export, |export| {
        known(&facts.failed_export, |failed| {
            let shown = |ran: &Option<Ran>| {
                ran.as_ref().map(|ran| {
                    json!({"reference": ran.reference, "at": ran.at, "organization_id": ran.organization_id})
                })
            };
            let evidence = json!({
                "newest": shown(export),
                "newest_failed": shown(failed),
                "max_age_days": EXPORT_DAYS,
            });
            let newest = export.as_ref().map(|it| it.at);
            let is_broken = failed.as_ref().is_some_and(|it| Some(it.at) > newest);
            let (status, reason) = match export {
                _ if is_broken => (Status::Fail, "the newest export failed".to_owned()),
                None => (Status::Unknown, "no export is known".to_owned()),
                Some(export) if is_older(facts, export.at, days(EXPORT_DAYS)) => {
                    let reason = format!("the newest export is older than {EXPORT_DAYS} days");
                    (Status::Fail, reason)
                }
                Some(export) => {
                    let reason = format!("an export succeeded: {}", export.reference);
                    (Status::Pass, reason)
                }
            };
            (status, reason, evidence)
        })
    })
}

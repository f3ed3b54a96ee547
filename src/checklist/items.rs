//! The rules of the seven items. A thing that was never done, or cannot be looked up, is `unknown`; one that was done and is too
//! long ago, or went wrong, is `fail`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Facts, ITEMS, Item, Known, Quota, Ran, Status};

/// A night, and two hours for the verification itself.
const VERIFIED_HOURS: i64 = 26;
/// A quarter, at its longest.
const REPORT_DAYS: i64 = 92;
const EXPORT_DAYS: i64 = 92;
/// A year.
const AUDIT_KEY_DAYS: i64 = 366;
/// How old the newest review may be.
const REVIEW_DAYS: i64 = 31;
/// How long a severe event may wait for its review.
const SEVERE_DAYS: i64 = 7;
/// How long ago a limit must have been seen at work.
const LIMIT_DAYS: i64 = 92;
/// Organisations that evidence names one by one.
const NAMED: usize = 20;

/// An item's status, why, and what was measured.
type Judged = (Status, String, Value);

pub(super) fn all(facts: &Facts) -> Vec<Item> {
    let titles = [
        "Audit logs verified",
        "API keys rotated",
        "SOC 2 report generated",
        "Secret key secured",
        "GDPR export tested",
        "Security events reviewed",
        "Rate limiting active",
    ];
    let judged: [(Judged, &str); 7] = [
        (
            logs_verified(facts),
            "Run \"trailkeeper enqueue verify_trail --wait\", look at what it finds, and let the nightly verification run.",
        ),
        (
            keys_rotated(facts),
            "Make new keys in QWED for those that \"trailkeeper enqueue check_api_keys --wait\" names, and revoke the old ones.",
        ),
        (
            report_generated(facts),
            "Run \"trailkeeper enqueue report_soc2 --wait\" for each organisation, and let its schedule run.",
        ),
        (
            key_secured(facts),
            "Give QWED a random audit key of at least 32 bytes, keep it where only QWED and this program can read it, list it with the \
             old one under qwed.keys, and say by not_before since when it is in use.",
        ),
        (
            export_tested(facts),
            "Run \"trailkeeper export subject\" for a test user with the anchor key at hand, and look at what is in the zip.",
        ),
        (
            events_reviewed(facts),
            "Look at \"trailkeeper events list\", follow up, and say so by \"trailkeeper events review --until T --by WHO --note …\".",
        ),
        (
            rate_limited(facts),
            "Give every active organisation limits above zero in QWED's resourcequota, ask more often than they allow, and have the 429 \
             noted as a security event of the type RATE_LIMIT.",
        ),
    ];
    let items = ITEMS.into_iter().zip(titles).zip(judged);
    items
        .map(|((id, title), ((status, reason, evidence), remedy))| Item {
            id: id.to_owned(),
            title: title.to_owned(),
            status,
            reason,
            evidence,
            remedy: (status != Status::Pass).then(|| remedy.to_owned()),
        })
        .collect()
}

/// What follows from a fact; without it nothing is known.
fn known<T>(fact: &Known<T>, judge: impl FnOnce(&T) -> Judged) -> Judged {
    match fact {
        Ok(fact) => judge(fact),
        Err(problem) => (Status::Unknown, problem.clone(), Value::Null),
    }
}

fn is_older(facts: &Facts, at: Timestamp, age: SignedDuration) -> bool {
    facts.now.duration_since(at) > age
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn logs_verified(facts: &Facts) -> Judged {
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
            let stale: Vec<&str> = verdicts
                .iter()
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

fn keys_rotated(facts: &Facts) -> Judged {
    known(&facts.api_keys, |keys| {
        let mut evidence = json!(keys);
        evidence["max_age_days"] = facts.max_key_age_days.into();
        let (status, reason) = if keys.overdue > 0 || keys.expired_but_active > 0 {
            let reason = format!(
                "{} of {} active keys are overdue, {} have expired and are still marked active",
                keys.overdue, keys.active, keys.expired_but_active
            );
            (Status::Fail, reason)
        } else if keys.never_rotated_unknown_age > 0 {
            let reason = format!(
                "nothing tells the age of {} of {} active keys",
                keys.never_rotated_unknown_age, keys.active
            );
            (Status::Unknown, reason)
        } else {
            let reason = format!(
                "none of {} active keys is older than {} days",
                keys.active, facts.max_key_age_days
            );
            (Status::Pass, reason)
        };
        (status, reason, evidence)
    })
}

fn report_generated(facts: &Facts) -> Judged {
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
                    "the newest report is older than {REPORT_DAYS} days: organisation {}",
                    list(&old)
                );
                (Status::Fail, reason)
            } else if !missing.is_empty() || newest.is_none() {
                let reason = "no report is known; jobs that ended long ago are forgotten";
                (Status::Unknown, reason.to_owned())
            } else {
                let reason =
                    format!("each organisation has a report of the last {REPORT_DAYS} days");
                (Status::Pass, reason)
            };
            (status, reason, evidence)
        })
    })
}

fn key_secured(facts: &Facts) -> Judged {
    known(&facts.audit_keys, |keys| {
        let listed: Vec<Value> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id,
                    "weakness": key.weakness.map(|it| it.to_string()),
                    "in_use": key.is_in_use,
                    "since": key.since,
                    "readable_by_others": key.is_exposed,
                })
            })
            .collect();
        let evidence = json!({"keys": listed, "max_age_days": AUDIT_KEY_DAYS});
        let used: Vec<_> = keys.iter().filter(|key| key.is_in_use).collect();
        let weak = used.iter().find_map(|key| Some((key, key.weakness?)));
        let exposed = keys.iter().find(|key| key.is_exposed);
        // With several keys in use the newest is the one that QWED signs with.
        let newest = used.iter().max_by_key(|key| key.since);
        let (status, reason) = if let Some((key, weakness)) = weak {
            (Status::Fail, format!("key {}: {weakness}", key.id))
        } else if let Some(key) = exposed {
            let reason = format!(
                "key {}: everybody on this machine can read its file",
                key.id
            );
            (Status::Fail, reason)
        } else {
            match newest.map(|key| (key, key.since)) {
                None => (Status::Unknown, "no key is in use now".to_owned()),
                Some((key, None)) => {
                    let reason = format!(
                        "key {} is strong; since when it is in use nobody has said",
                        key.id
                    );
                    (Status::Unknown, reason)
                }
                Some((key, Some(since))) if is_older(facts, since, days(AUDIT_KEY_DAYS)) => {
                    let reason = format!(
                        "key {} is in use for more than {AUDIT_KEY_DAYS} days",
                        key.id
                    );
                    (Status::Fail, reason)
                }
                Some((key, Some(_))) => {
                    let reason = format!(
                        "key {} is strong, and in use for no more than {AUDIT_KEY_DAYS} days",
                        key.id
                    );
                    (Status::Pass, reason)
                }
            }
        };
        (status, reason, evidence)
    })
}

fn export_tested(facts: &Facts) -> Judged {
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

fn events_reviewed(facts: &Facts) -> Judged {
    known(&facts.events, |events| {
        let survey = &events.survey;
        let review = events.newest_review.as_ref();
        let evidence = json!({
            "events": survey.events,
            "severe": survey.severe,
            "unreviewed_severe": survey.unreviewed,
            "oldest_unreviewed": survey.oldest_unreviewed,
            "newest_review": review.map(|it| json!({"entry": it.entry, "at": it.at, "until": it.review.until})),
            "max_review_age_days": REVIEW_DAYS,
            "max_wait_days": SEVERE_DAYS,
        });
        let oldest = survey.oldest_unreviewed;
        let waits_long = survey.unreviewed > 0
            && oldest.is_none_or(|oldest| is_older(facts, oldest, days(SEVERE_DAYS)));
        let (status, reason) = if waits_long {
            let reason = format!(
                "{} high and critical events are not reviewed, the oldest for more than {SEVERE_DAYS} days",
                survey.unreviewed
            );
            (Status::Fail, reason)
        } else {
            match review {
                None => (Status::Unknown, "nobody has reviewed events".to_owned()),
                Some(review) if is_older(facts, review.review.until, days(REVIEW_DAYS)) => {
                    let reason = format!(
                        "events after {} are not reviewed, which is more than {REVIEW_DAYS} days ago",
                        review.review.until
                    );
                    (Status::Fail, reason)
                }
                Some(_) if survey.unreviewed > 0 => {
                    let reason = format!(
                        "{} high and critical events wait for their review",
                        survey.unreviewed
                    );
                    (Status::Unknown, reason)
                }
                Some(review) => {
                    let reason = format!(
                        "all high and critical events are reviewed, and others up to {}",
                        review.review.until
                    );
                    (Status::Pass, reason)
                }
            }
        };
        (status, reason, evidence)
    })
}

/// That limits are set is not that they are kept: QWED 8.0.0 never reads its own table of them. So only a limit that was seen at
/// work passes.
fn rate_limited(facts: &Facts) -> Judged {
    known(&facts.organizations, |organizations| {
        known(&facts.events, |events| {
            let asked: Vec<_> = organizations
                .iter()
                .filter(|it| match facts.organization_id {
                    None => it.is_active,
                    Some(id) => it.id == id,
                })
                .collect();
            let has_none = asked
                .iter()
                .filter(|it| !it.quota.as_ref().is_some_and(Quota::limits));
            let without: Vec<String> = has_none.map(|it| it.id.to_string()).collect();
            let without: Vec<&str> = without.iter().map(String::as_str).collect();
            let seen = events.survey.newest_rate_limit;
            let evidence = json!({
                "organizations": asked.len(),
                "without_limits": named(&without),
                "newest_limit_event": seen,
                "max_age_days": LIMIT_DAYS,
            });
            let is_recent = seen.is_some_and(|at| !is_older(facts, at, days(LIMIT_DAYS)));
            let (status, reason) = if !without.is_empty() {
                let reason = format!("no limits are set: organisation {}", list(&without));
                (Status::Fail, reason)
            } else if asked.is_empty() {
                (Status::Unknown, "no organisation is active".to_owned())
            } else if is_recent {
                let reason =
                    "limits are set, and somebody who asked too often was turned away".to_owned();
                (Status::Pass, reason)
            } else {
                let reason = format!(
                    "limits are set, and nothing of the last {LIMIT_DAYS} days shows that the server keeps to them"
                );
                (Status::Unknown, reason)
            };
            (status, reason, evidence)
        })
    })
}

/// The first of them, and how many there are.
fn named(all: &[&str]) -> Value {
    json!({"count": all.len(), "first": all.iter().take(NAMED).collect::<Vec<_>>()})
}

/// In words. Entries that belong to no organisation have no name.
fn list(all: &[&str]) -> String {
    let word = |name: &&str| match *name {
        "" => "entries without organisation".to_owned(),
        name => name.to_owned(),
    };
    let first: Vec<String> = all.iter().take(NAMED).map(word).collect();
    match all.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

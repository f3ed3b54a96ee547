//! Items that QWED's security events tell about.

use serde_json::json;

use super::{
    Facts, Quota, Status,
    items::{Judged, days, is_older, known, list, named},
};

/// How old the newest review may be.
const REVIEW_DAYS: i64 = 31;
/// How long a severe event may wait for its review.
const SEVERE_DAYS: i64 = 7;
/// How long ago a limit must have been seen at work.
const LIMIT_DAYS: i64 = 92;

pub(super) fn events_reviewed(facts: &Facts) -> Judged {
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
pub(super) fn rate_limited(facts: &Facts) -> Judged {
    known(&facts.organizations, |organizations| {
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
        let events = facts.events.as_ref();
        let seen = events.ok().and_then(|it| it.survey.newest_rate_limit);
        let evidence = json!({
            "organizations": asked.len(),
            "without_limits": named(&without),
            "newest_limit_event": seen,
            "max_age_days": LIMIT_DAYS,
        });
        let is_recent = seen.is_some_and(|at| !is_older(facts, at, days(LIMIT_DAYS)));
        let (status, reason) = if !without.is_empty() {
            let reason = format!("no limits are set: {}", list(&without));
            (Status::Fail, reason)
        } else if asked.is_empty() {
            (Status::Unknown, "no organisation is active".to_owned())
        } else if let Err(problem) = events {
            (Status::Unknown, problem.clone())
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
}
